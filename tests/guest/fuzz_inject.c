// SPDX-License-Identifier: GPL-2.0
/*
 * Out of memory at every place: a call is made again and again, and the n-th
 * allocation in it fails, for n = 1, 2, 3 … until it has no n-th one. It must
 * succeed or answer ENOMEM with everything as it was. Needs a kernel with
 * CONFIG_FAULT_INJECTION (/proc/self/fail-nth). Where that kernel also has
 * CONFIG_FAULT_INJECTION_USERCOPY, copying the argument is one of the places,
 * and the answer then EFAULT.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz.h"
#include "meter.h"
#include "proc.h"
#include "rig.h"
#include "suite.h"
#include "tap.h"

#define MAX_N 2000
#define IOVA 0x10000000ull
#define IOVA_THP 0x20000000ull
#define SCATTERED_BYTES MIB
#define THP_BYTES (4 * MIB)
#define SCATTERED_BATCH 150	/* more than the IOMMU driver is given at once */

static int fail_nth = -1;

struct inject {
	struct rig rig;
	int fd;			/* container of the first device */
	int second_group;	/* attached to nothing */
	uint64_t window1;	/* where the second window starts */
	uint64_t fresh;		/* IOVA of a GiB in which nothing was mapped before */
	char *page;		/* 1 page, never registered by a step before */
	char *scattered;
	char *thp;
	char *other;		/* registered, one page, to be mapped over others */
};

/* What is compared around a failed call. */
struct state {
	long long pins, vmlck_kib;
	struct meter_stats stats;
};

static void state_read(struct state *s)
{
	memset(s, 0, sizeof(*s));
	s->pins = meter_pins();
	s->vmlck_kib = meter_vmlck_kib(0);
	meter_stats_read(&s->stats);
}

static bool state_is(const struct state *want)
{
	const uint64_t deadline = meter_now_ns() + proc_limit_ms(5000) * 1000000;
	struct state now;
	bool late;

	do {
		late = meter_now_ns() > deadline;
		state_read(&now);
		if (!memcmp(&now, want, sizeof(now)))
			return true;
		meter_sleep_ms(2);
	} while (!late);
	tap_diag("pins %lld VmLck %lld, were %lld and %lld", now.pins, now.vmlck_kib, want->pins,
		 want->vmlck_kib);
	tap_diag("now  %s", meter_stats_text(&now.stats));
	tap_diag("were %s", meter_stats_text(&want->stats));
	return false;
}

struct step {
	const char *name;
	int (*call)(struct inject *in);
	/* Takes back what a successful call did. */
	int (*undo)(struct inject *in);
	/* Must still be reached by the device when the call failed; 0: nothing. */
	uint64_t (*reach)(struct inject *in, char **va);
	bool cuts;		/* a failed call may leave one mapping as two */
	bool answers;		/* copies its struct back, besides copying it in at first */
	bool any_error;		/* the answer is VFIO's or the IOMMU driver's, not ours */
	bool cannot_fail;	/* allocates nothing that it needs */
};

static int do_register_page(struct inject *in)
{
	return spapr_register(in->fd, in->page, PAGE);
}

static int undo_register_page(struct inject *in)
{
	return spapr_unregister(in->fd, in->page, PAGE);
}

static int do_register_scattered(struct inject *in)
{
	return spapr_register(in->fd, in->scattered, SCATTERED_BYTES);
}

static int do_unregister_scattered(struct inject *in)
{
	return spapr_unregister(in->fd, in->scattered, SCATTERED_BYTES);
}

static int do_register_thp(struct inject *in)
{
	return spapr_register(in->fd, in->thp, THP_BYTES);
}

static int do_unregister_thp(struct inject *in)
{
	return spapr_unregister(in->fd, in->thp, THP_BYTES);
}

static int do_map_scattered(struct inject *in)
{
	return vfio_map(in->fd, IOVA, in->scattered, SCATTERED_BYTES, VFIO_MAP_RW);
}

static int do_map_thp(struct inject *in)
{
	return vfio_map(in->fd, IOVA_THP, in->thp, THP_BYTES, VFIO_MAP_RW);
}

static int do_unmap_thp(struct inject *in)
{
	return vfio_unmap(in->fd, IOVA_THP, THP_BYTES);
}

/*
 * IOMMU drivers keep emptied page tables. For one more call that needs new ones
 * its IOVA must be new, too.
 */
#define FRESH_BYTES (1ull << 30)
#define FRESH_WINDOW_BYTES (1ull << 38)

static uint64_t fresh_iova(struct inject *in)
{
	in->fresh += FRESH_BYTES;
	if (in->fresh >= in->window1 + FRESH_WINDOW_BYTES)
		in->fresh = in->window1;
	return in->fresh;
}

static int do_map_fresh_scattered(struct inject *in)
{
	return vfio_map(in->fd, fresh_iova(in), in->scattered, SCATTERED_BYTES, VFIO_MAP_RW);
}

static int do_map_fresh_thp(struct inject *in)
{
	return vfio_map(in->fd, fresh_iova(in), in->thp, THP_BYTES, VFIO_MAP_RW);
}

static int undo_map_fresh(struct inject *in)
{
	return vfio_unmap(in->fd, in->fresh, THP_BYTES);
}

static int do_replace_scattered(struct inject *in)
{
	return vfio_map(in->fd, IOVA + 64 * PAGE, in->other, PAGE, VFIO_MAP_RW);
}

static int do_replace_thp(struct inject *in)
{
	return vfio_map(in->fd, IOVA_THP + MIB, in->other, PAGE, VFIO_MAP_RW);
}

static int do_cut_scattered(struct inject *in)
{
	return vfio_unmap(in->fd, IOVA + 64 * PAGE, PAGE);
}

static int do_cut_thp(struct inject *in)
{
	return vfio_unmap(in->fd, IOVA_THP + MIB, PAGE);
}

/* Mapping all of it again makes one mapping of the rests. */
static int undo_replace_scattered(struct inject *in)
{
	return do_map_scattered(in);
}

static int undo_replace_thp(struct inject *in)
{
	return do_map_thp(in);
}

static uint64_t reach_scattered(struct inject *in, char **va)
{
	*va = in->scattered + 64 * PAGE;
	return IOVA + 64 * PAGE;
}

static uint64_t reach_thp(struct inject *in, char **va)
{
	*va = in->thp + MIB;
	return IOVA_THP + MIB;
}

static int do_create(struct inject *in)
{
	return spapr_create(in->fd, IOMMU_SHIFT, MIB, 1, NULL);
}

static int do_remove(struct inject *in)
{
	return spapr_remove(in->fd, in->window1);
}

/* Another group into the container, behind mappings that must be made for it too. */
static int do_join(struct inject *in)
{
	return vfio_group_attach(in->second_group, in->fd);
}

static int do_leave(struct inject *in)
{
	return vfio_group_detach(in->second_group);
}

/* A container of its own for the second group. */
static int second_container = -1;

static int do_new_container(struct inject *in)
{
	int ret = vfio_container_open();

	if (ret < 0)
		return ret;
	second_container = ret;
	ret = vfio_group_attach(in->second_group, second_container);
	if (!ret) {
		ret = vfio_set_iommu(second_container, TYPE7);
		if (ret)
			vfio_group_detach(in->second_group);
	}
	if (ret) {
		close(second_container);
		second_container = -1;
	}
	return ret;
}

static int undo_new_container(struct inject *in)
{
	int ret = vfio_group_detach(in->second_group);

	close(second_container);
	second_container = -1;
	return ret;
}

static int do_register_shared(struct inject *in)
{
	return spapr_register(second_container, in->scattered, SCATTERED_BYTES);
}

static int undo_register_shared(struct inject *in)
{
	return spapr_unregister(second_container, in->scattered, SCATTERED_BYTES);
}

/* A page for each entry, where nothing was before. */
static int batch_fresh(struct inject *in, const char *p)
{
	struct vfio_prereg_batch_entry entries[SCATTERED_BATCH];
	uint64_t iova = fresh_iova(in);
	size_t i;

	for (i = 0; i < SCATTERED_BATCH; i++)
		entries[i] = (struct vfio_prereg_batch_entry){
			.iova = iova + i * PAGE, .vaddr = (uintptr_t)p + i * PAGE, .size = PAGE,
			.flags = VFIO_MAP_RW,
		};
	return vfio_batch(in->fd, VFIO_PREREG_BATCH_MAP, entries, SCATTERED_BATCH, NULL);
}

static int do_batch_scattered(struct inject *in)
{
	return batch_fresh(in, in->scattered);
}

static int do_batch_thp(struct inject *in)
{
	return batch_fresh(in, in->thp);
}

static const struct step steps[] = {
	{ .name = "REGISTER of a page", .call = do_register_page, .undo = undo_register_page },
	{ .name = "REGISTER of scattered pages", .call = do_register_scattered,
	  .undo = do_unregister_scattered },
	{ .name = "REGISTER of huge pages", .call = do_register_thp, .undo = do_unregister_thp },
	{ .name = "CREATE", .answers = true, .call = do_create, .undo = do_remove },
	{ .name = "second container", .call = do_new_container, .undo = undo_new_container,
	  .any_error = true },
};

/* With scattered and huge memory registered. */
static const struct step map_steps[] = {
	{ .name = "MAP of scattered pages", .call = do_map_fresh_scattered, .undo = undo_map_fresh },
	{ .name = "MAP of huge pages", .call = do_map_fresh_thp, .undo = undo_map_fresh },
	/* Also tells whether the call may write its answer. */
	{ .name = "batch of scattered pages", .call = do_batch_scattered, .undo = undo_map_fresh,
	  .answers = true },
	{ .name = "batch of pages of huge ones", .call = do_batch_thp, .undo = undo_map_fresh,
	  .answers = true },
};

/* With both mapped. */
static const struct step mapped_steps[] = {
	{ .name = "MAP over a page of many", .call = do_replace_scattered, .cuts = true,
	  .undo = undo_replace_scattered, .reach = reach_scattered },
	{ .name = "MAP over a part of a huge page", .call = do_replace_thp, .cuts = true,
	  .undo = undo_replace_thp, .reach = reach_thp },
	{ .name = "UNMAP of a page of many", .call = do_cut_scattered, .cuts = true,
	  .undo = undo_replace_scattered, .reach = reach_scattered },
	{ .name = "UNMAP of a part of a huge page", .call = do_cut_thp, .cuts = true,
	  .undo = undo_replace_thp, .reach = reach_thp },
	{ .name = "second group", .call = do_join, .undo = do_leave, .any_error = true,
	  .reach = reach_thp },
	{ .name = "UNMAP of all", .call = do_unmap_thp, .undo = do_map_thp, .cannot_fail = true },
};

static const struct step shared_steps[] = {
	{ .name = "REGISTER in a second container", .call = do_register_shared,
	  .undo = undo_register_shared },
	{ .name = "UNREGISTER in a second container", .call = undo_register_shared,
	  .undo = do_register_shared, .cannot_fail = true },
};

/* Arms the n-th allocation of this thread, or with 0 none. */
static void arm(unsigned int n)
{
	char text[16];
	const int len = snprintf(text, sizeof(text), "%u", n);

	/* The write itself may be made to fail by what is armed still; once. */
	if (pwrite(fail_nth, text, len, 0) != len)
		tap_expect(pwrite(fail_nth, text, len, 0) == len, "fail-nth");
}

/* Did the armed one fail? No, if it is this read that fails. */
static bool injected(void)
{
	char text[16] = "";

	return pread(fail_nth, text, sizeof(text) - 1, 0) > 0 && atoi(text) == 0;
}

/* May @step answer @ret because of the failure at its n-th place? */
static bool answer_allowed(const struct step *step, unsigned int n, int ret)
{
	if (ret == -EFAULT && (n == 1 || step->answers))
		return !access("/sys/kernel/debug/fail_usercopy", F_OK);
	if (step->any_error)
		return ret < 0;
	return ret == -ENOMEM && !step->cannot_fail;
}

static void run_step(struct inject *in, const struct step *step)
{
	unsigned int n, failed = 0;
	struct state before;

	for (n = 1; n < MAX_N; n++) {
		bool hit;
		int ret;

		state_read(&before);
		arm(n);
		ret = step->call(in);
		hit = injected();
		arm(0);
		if (!ret) {
			tap_expect_ret(step->undo(in), 0, "%s, n %u: undo", step->name, n);
			if (!hit)
				break;
		} else {
			char *va;
			uint64_t iova = step->reach ? step->reach(in, &va) : 0;

			failed++;
			tap_expect(hit, "%s, n %u: %s, and nothing was made to fail", step->name, n,
				   tap_ret_name(ret));
			tap_expect(answer_allowed(step, n, ret), "%s, n %u: answered %s",
				   step->name, n, tap_ret_name(ret));
			if (iova)
				rig_expect_reach(&in->rig, iova, va, step->name);
			if (step->cuts) {
				struct meter_stats now;

				meter_stats_read(&now);
				tap_expect_eq(now.mapped_bytes, before.stats.mapped_bytes,
					      "%s, n %u: mapped bytes", step->name, n);
				tap_expect_ret(step->undo(in), 0, "%s, n %u: make it one again",
					       step->name, n);
			}
			tap_expect(state_is(&before), "%s, n %u: state changed", step->name, n);
		}
		if (tap_failures())
			break;
	}
	tap_expect(n < MAX_N, "%s has more than %d allocations", step->name, MAX_N);
	tap_diag("%s: %u allocations, %u failed the call", step->name, n - 1, failed);
}

static void run_steps(struct inject *in, const struct step *list, size_t n)
{
	size_t i;

	for (i = 0; i < n && !tap_failures(); i++)
		run_step(in, &list[i]);
}

/* An owner's end must not need memory. */
static void inject_exit(struct inject *in, unsigned int n)
{
	const pid_t pid = fork();
	struct vfio_dev dev;

	if (!pid) {
		char *p = mem_alloc_scattered(SCATTERED_BYTES);

		if (vfio_dev_open(&dev, VFIO_EDU1, TYPE7) || !p ||
		    vfio_hold(dev.container, TYPE7, p, SCATTERED_BYTES, IOVA) ||
		    vfio_unmap(dev.container, IOVA + 64 * PAGE, PAGE))
			_exit(1);
		close(fail_nth);
		fail_nth = open("/proc/self/fail-nth", O_RDWR);
		arm(n);
		_exit(0);
	}
	(void)in;
	tap_expect_eq(pid_wait(pid, 20000), 0, "exit with allocation %u failing", n);
}

/*
 * Allocations of ours are sleeping ones, which fault injection leaves out unless
 * it is told. And no stack trace for each: that is what trouble looks like.
 */
static void prepare_injection(void)
{
	static const char *const settings[][2] = {
		{ "failslab/ignore-gfp-wait", "N" },
		{ "failslab/verbose", "0" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" },
		{ "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "fail_page_alloc/min-order", "0" },
		{ "fail_page_alloc/verbose", "0" },
		{ "fail_usercopy/verbose", "0" },
	};
	char path[96];
	size_t i;

	for (i = 0; i < SUITE_SIZE(settings); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s", settings[i][0]);
		if (!access(path, F_OK))
			tap_expect_ret(meter_file_write(path, settings[i][1]), 0, "%s", path);
	}
}

void test_fail_inject(void)
{
	struct inject in;
	struct state before;
	unsigned int n;

	fail_nth = open("/proc/self/fail-nth", O_RDWR);
	if (fail_nth < 0) {
		tap_skip("this kernel injects no faults (CONFIG_FAULT_INJECTION)");
		return;
	}
	prepare_injection();
	if (!rig_open(&in.rig, VFIO_EDU0))
		return;
	in.fd = in.rig.container;
	in.window1 = rig_window1(in.fd);
	in.page = mem_alloc(PAGE, MEM_SMALL);
	in.other = mem_alloc(PAGE, MEM_SMALL);
	in.scattered = mem_alloc_scattered(SCATTERED_BYTES);
	in.thp = mem_alloc(THP_BYTES, MEM_THP);
	in.second_group = vfio_group_open(VFIO_EDU1);
	if (!tap_expect(in.page && in.other && in.scattered && in.thp && in.second_group >= 0, "memory"))
		return;
	tap_step("the first call of a process that owns nothing");
	run_step(&in, &steps[0]);
	tap_step("memory and windows");
	tap_expect_ret(spapr_register(in.fd, in.other, PAGE), 0, "REGISTER");
	run_steps(&in, steps, SUITE_SIZE(steps));
	tap_step("mappings");
	tap_expect_ret(do_register_scattered(&in), 0, "REGISTER");
	tap_expect_ret(do_register_thp(&in), 0, "REGISTER");
	tap_expect_ret(spapr_create(in.fd, IOMMU_SHIFT, FRESH_WINDOW_BYTES, rig_has_tables(in.fd) ? 3 : 1,
				    &in.fresh), 0, "CREATE");
	run_steps(&in, map_steps, SUITE_SIZE(map_steps));
	tap_step("parts of mappings, and a second group");
	tap_expect_ret(do_map_scattered(&in), 0, "MAP");
	tap_expect_ret(do_map_thp(&in), 0, "MAP");
	run_steps(&in, mapped_steps, SUITE_SIZE(mapped_steps));
	tap_step("a region shared by two containers");
	tap_expect_ret(do_new_container(&in), 0, "second container");
	run_step(&in, &shared_steps[0]);
	tap_expect_ret(do_register_shared(&in), 0, "REGISTER");
	run_step(&in, &shared_steps[1]);
	undo_new_container(&in);
	close(in.second_group);
	tap_step("the end of an owner");
	state_read(&before);
	for (n = 1; n <= 20 && !tap_failures(); n++) {
		inject_exit(&in, n);
		tap_expect(state_is(&before), "exit, n %u: state changed", n);
	}
	rig_close(&in.rig);
}
