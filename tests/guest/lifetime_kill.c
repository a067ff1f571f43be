// SPDX-License-Identifier: GPL-2.0
/* Owners that die at a bad moment, and hundreds that die at any moment. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lifetime.h"
#include "meter.h"
#include "pinwatch.h"
#include "rng.h"
#include "tap.h"


enum {
	MSG_READY = 1,
	MSG_GO,
};

/*
 * true when the module says that nothing is registered, mapped, pinned or owned. An owner's own struct
 * goes an SRCU period after all of that.
 */
static bool nothing_owned(struct meter_stats *stats)
{
	const uint64_t deadline = meter_now_ns() + proc_limit_ms(5000) * 1000000;
	bool late = false;

	while (!meter_stats_read(stats) && !stats->regions && !stats->pinned_pages &&
	       !stats->charged_pages && !stats->mappings && !stats->mapped_bytes) {
		if (!stats->owners)
			return true;
		if (late)
			return false;
		meter_sleep_ms(2);
		late = meter_now_ns() > deadline;
	}
	return false;
}

/* A child of the owner that holds the fds until the judge closes its end of @sock. */
static void fork_holder(int sock)
{
	int msg;

	if (fork())
		return;
	sock_recv(sock, &msg);
	_exit(0);
}

/* Lets holders go and waits for all orphans of the owner, which are ours as their subreaper. */
static void release_holders(struct proc *owner)
{
	const uint64_t deadline = meter_now_ns() + proc_limit_ms(5000) * 1000000;

	owner->pid = -1;
	proc_kill(owner);
	while (waitpid(-1, NULL, 0) > 0)
		;
	while (meter_module_refs(PREREG_MODULE) && meter_now_ns() < deadline)
		meter_sleep_ms(1);
	tap_expect_eq(meter_module_refs(PREREG_MODULE), 0, "references to the module");
}

struct big {
	size_t bytes;
	struct pinwatch watch;
	atomic_bool *returned;	/* shared with the judge: REGISTER came back */
};

static int register_big(int sock, void *arg)
{
	const struct big *big = arg;
	struct vfio_dev dev;
	void *p;

	if (!tap_expect_ret(vfio_dev_open(&dev, VFIO_EDU0, TYPE7), 0, "open the device"))
		return 1;
	/* While there is no pinned memory to copy. */
	fork_holder(sock);
	p = mem_alloc(big->bytes, MEM_SMALL);
	if (!tap_expect(p, "%zu MiB: %s", big->bytes >> 20, strerror(errno)))
		return 1;
	sock_send(sock, MSG_READY);
	spapr_register(dev.container, p, big->bytes);
	*big->returned = true;
	meter_sleep_ms(60000);
	return 0;
}

/* Kills the owner when it has pinned @at_pages; true when REGISTER was still under way. */
static bool kill_in_register(struct big *big, long long at_pages)
{
	struct meter_stats stats;
	struct proc owner;
	uint64_t start;
	bool hit;

	*big->returned = false;
	if (!tap_expect_ret(proc_start(&owner, register_big, big), 0, "start") ||
	    !tap_expect_ret(sock_expect(owner.sock, MSG_READY), 0, "owner is ready"))
		return false;
	/* Not the exact counter: asking it takes as long as a good part of a REGISTER of large pages. */
	while (pinwatch_pins(&big->watch) - meter_baseline_pins() < at_pages && !*big->returned)
		;
	start = meter_now_ns();
	kill(owner.pid, SIGKILL);
	tap_expect_eq(pid_wait(owner.pid, 20000), 128 + SIGKILL, "the owner's exit status");
	hit = !*big->returned;
	tap_diag("killed at %lld pages: REGISTER %s, dead after %llu ms", at_pages,
		 hit ? "was under way" : "had returned",
		 (unsigned long long)(meter_now_ns() - start) / 1000000);
	/* Freeing a gigabyte under TCG takes most of it; a REGISTER run to its end more. */
	tap_expect(meter_now_ns() - start < proc_limit_ms(5000) * 1000000,
		   "the owner took longer than 5 s to die");
	tap_expect_eq(rig_pins(), 0, "pinned pages after the kill");
	tap_expect(nothing_owned(&stats), "after the kill: %s", meter_stats_text(&stats));
	release_holders(&owner);
	return hit;
}

void test_kill_in_register(void)
{
	struct big big = { .bytes = 2 * lifetime_mb * MIB };
	unsigned int hits = 0, i;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (!tap_expect_ret(pinwatch_open(&big.watch), 0, "/proc/vmstat"))
		return;
	big.returned = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	tap_step("SIGKILL an owner at several points of a REGISTER of %zu MiB of small pages",
		 big.bytes >> 20);
	/* Four are enough, but for a machine so fast, or a host so busy, that all came too late. */
	for (i = 0; i < 4 || (i < 64 && !hits && !tap_failures()); i++)
		hits += kill_in_register(&big, big.bytes / PAGE * (i % 4) / 5 + 1);
	tap_expect(hits > 0, "no kill met a REGISTER under way");
}

/* The middle of the memory goes first, then all of it. */
static void take_away(char *p, size_t bytes, int advice)
{
	if (advice) {
		tap_expect(!madvise(p + 8 * MIB, 8 * MIB, advice), "madvise");
		tap_expect(!madvise(p, bytes, advice), "madvise");
		memset(p, 1, bytes);
	} else {
		tap_expect(!munmap(p + 8 * MIB, 8 * MIB), "munmap");
		tap_expect(!munmap(p, bytes), "munmap");
	}
}

static int registered_then_gone(int sock, void *arg)
{
	const int advice = *(int *)arg;	/* 0: munmap() */
	const enum mem_kind kinds[] = { MEM_SMALL, MEM_THP, MEM_SHARED };
	const size_t bytes = 32 * MIB;
	struct vfio_dev dev;
	unsigned int i;
	char *p[3];
	int msg;

	if (!tap_expect_ret(vfio_dev_open(&dev, VFIO_EDU0, TYPE7), 0, "open the device"))
		return 1;
	/* All of it first: an address that is free again would be handed out again. */
	for (i = 0; i < 3; i++) {
		p[i] = mem_alloc(bytes, kinds[i]);
		if (!tap_expect(p[i], "memory"))
			return 1;
		tap_expect_ret(vfio_hold(dev.container, TYPE7, p[i], bytes,
					 0x10000000 + i * 0x10000000ull), 0, "own 32 MiB");
	}
	for (i = 0; i < 3; i++)
		take_away(p[i], bytes, advice);
	/* What is gone for the process is still registered, and can be given back. */
	tap_expect_eq(rig_pins(), 3 * bytes / PAGE, "pinned pages");
	tap_expect_ret(vfio_unmap(dev.container, 0x20000000, bytes), 0, "UNMAP");
	tap_expect_ret(spapr_unregister(dev.container, p[1], bytes), 0, "UNREGISTER");
	tap_expect_eq(rig_pins(), 2 * bytes / PAGE, "pinned pages");
	tap_expect_eq(meter_vmlck_kib(0),
		      (2 * bytes >> 10) + rig_default_table_pages(dev.container) * (PAGE >> 10), "VmLck");
	sock_send(sock, MSG_READY);
	sock_recv(sock, &msg);
	return 0;
}

static void gone_before_death(int advice)
{
	struct meter_stats stats;
	struct proc owner;

	if (!tap_expect_ret(proc_start(&owner, registered_then_gone, &advice), 0, "start") ||
	    !tap_expect_ret(sock_expect(owner.sock, MSG_READY), 0, "owner is ready"))
		return;
	tap_step("kill the owner that no longer has the memory which it registered");
	proc_kill(&owner);
	tap_expect_eq(rig_pins(), 0, "pinned pages after the kill");
	tap_expect(nothing_owned(&stats), "after the kill: %s", meter_stats_text(&stats));
}

void test_unmapped_before_death(void)
{
	gone_before_death(0);
}

void test_dontneed_before_death(void)
{
	gone_before_death(MADV_DONTNEED);
}

/* What a victim of kill-cycles does while it waits for its end. */
enum deed {
	DEED_IDLE,
	DEED_MAP_LOOP,
	DEED_REGISTER_LOOP,
	DEED_WINDOW_LOOP,
	DEED_FORK_LOOP,
	DEED_DONTNEED_LOOP,
	DEED_EXIT,
	DEED_EXECVE,
	N_DEEDS,
};

static const char *const deed_name[N_DEEDS] = {
	"idle", "map", "register", "window", "fork", "dontneed", "exit", "execve",
};

struct victim {
	struct rng rng;
	enum deed deed;
	bool holder;		/* a child holds the fds */
	bool second_device;	/* in a container of its own */
	bool thread;		/* the deed is done by a second thread */
	unsigned int regions;
	enum mem_kind kind;
	size_t region_bytes;
	/* Of the victim itself. */
	struct vfio_dev dev[2];
	char *p[8];
};

static void do_deed(struct victim *v, unsigned int round)
{
	const int c = v->dev[0].container;
	const unsigned int k = round % v->regions;
	const uint64_t iova = 0x1000000ull + k * 0x1000000ull;
	pid_t pid;

	switch (v->deed) {
	case DEED_MAP_LOOP:
		vfio_unmap(c, iova, v->region_bytes);
		vfio_map(c, iova, v->p[k], v->region_bytes, VFIO_MAP_RW);
		break;
	case DEED_REGISTER_LOOP:
		vfio_unmap(c, iova, v->region_bytes);
		spapr_unregister(c, v->p[k], v->region_bytes);
		spapr_register(c, v->p[k], v->region_bytes);
		break;
	case DEED_WINDOW_LOOP:
		spapr_remove(c, 0);
		spapr_create(c, IOMMU_SHIFT, 1ull << 30, 1, NULL);
		vfio_map(c, iova, v->p[k], v->region_bytes, VFIO_MAP_RW);
		break;
	case DEED_FORK_LOOP:
		pid = fork();
		if (!pid)
			_exit(0);
		waitpid(pid, NULL, 0);
		break;
	case DEED_DONTNEED_LOOP:
		madvise(v->p[k], v->region_bytes, MADV_DONTNEED);
		memset(v->p[k], round, v->region_bytes);
		break;
	case DEED_EXIT:
		_exit(0);
	case DEED_EXECVE:
		execl("/proc/self/exe", "lifetime", EXIT_ARG, NULL);
		_exit(1);
	default:
		meter_sleep_ms(1);
	}
}

static void *deed_thread(void *arg)
{
	unsigned int round;

	for (round = 0;; round++)
		do_deed(arg, round);
	return NULL;
}

static int run_victim(int sock, void *arg)
{
	struct victim *v = arg;
	pthread_t thread;
	unsigned int i;
	int ret;

	ret = vfio_dev_open(&v->dev[0], VFIO_EDU0, TYPE7);
	if (!ret && v->second_device)
		ret = vfio_dev_open(&v->dev[1], VFIO_EDU1, TYPE7);
	if (!tap_expect_ret(ret, 0, "open the devices"))
		return 1;
	if (v->holder)
		fork_holder(sock);
	for (i = 0; i < v->regions; i++) {
		v->p[i] = mem_alloc(v->region_bytes, v->kind);
		if (!tap_expect(v->p[i], "memory"))
			return 1;
		ret = vfio_hold(v->dev[0].container, TYPE7, v->p[i], v->region_bytes,
				0x1000000ull + i * 0x1000000ull);
		tap_expect_ret(ret, 0, "own a region");
		if (v->second_device) {
			ret = vfio_hold(v->dev[1].container, TYPE7, v->p[i], v->region_bytes,
					0x2000000ull + i * 0x1000000ull);
			tap_expect_ret(ret, 0, "own it in the second container");
		}
	}
	sock_send(sock, MSG_READY);
	if (v->thread && pthread_create(&thread, NULL, deed_thread, v))
		return 1;
	if (v->thread)
		meter_sleep_ms(60000);
	deed_thread(v);
	return 0;
}

static void choose(struct victim *v, struct rng *rng)
{
	const size_t sizes[] = { PAGE, 64 << 10, 1 << 20, 4 << 20, 8 << 20 };

	memset(v, 0, sizeof(*v));
	v->deed = rng_below(rng, N_DEEDS);
	v->holder = rng_below(rng, 2);
	v->second_device = !rng_below(rng, 4);
	v->thread = rng_below(rng, 2);
	v->regions = 1 + rng_below(rng, 4);
	v->kind = (enum mem_kind[]){ MEM_SMALL, MEM_THP, MEM_SHARED }[rng_below(rng, 3)];
	v->region_bytes = sizes[rng_below(rng, 5)];
}

static bool run_cycle(struct rng *rng, long cycle)
{
	struct meter_stats stats;
	struct proc proc;
	struct victim v;
	unsigned int failures = tap_failures();

	choose(&v, rng);
	if (!tap_expect_ret(proc_start(&proc, run_victim, &v), 0, "start") ||
	    !tap_expect_ret(sock_expect(proc.sock, MSG_READY), 0, "the victim is ready"))
		return false;
	meter_sleep_ms(rng_below(rng, 30));
	kill(proc.pid, SIGKILL);
	pid_wait(proc.pid, 10000);
	tap_expect_eq(rig_pins(), 0, "pinned pages after the kill");
	tap_expect(nothing_owned(&stats), "after the kill: %s", meter_stats_text(&stats));
	release_holders(&proc);
	if (tap_failures() == failures)
		return true;
	tap_diag("cycle %ld: %s%s, %u regions of %zu KiB, kind %d%s%s", cycle, deed_name[v.deed],
		 v.thread ? " in a thread" : "", v.regions, v.region_bytes >> 10, v.kind,
		 v.holder ? ", held fds" : "", v.second_device ? ", two containers" : "");
	return false;
}

#define WARM_UP_CYCLES 20

/* How much less memory is free after the cycles. A checker that keeps freed objects takes some. */
static long long drift_kib(struct rng *rng)
{
	const long long before = meter_free_settled_kib();
	long long drift;
	long cycle;

	for (cycle = 0; cycle < lifetime_cycles && run_cycle(rng, cycle); cycle++)
		;
	drift = before - meter_free_settled_kib();
	tap_diag("%ld cycles, free memory changed by %lld KiB", cycle, -drift);
	return drift;
}

void test_cycles(void)
{
	long seed = lifetime_seed ? lifetime_seed : (long)(meter_now_ns() & 0x7fffffff);
	struct rng rng = rng_stream(seed, 0);
	const long long limit = lifetime_held_kib > 2048 ? lifetime_held_kib : 2048;
	long long drift;
	long cycle;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	tap_diag("--seed %ld", seed);
	tap_step("%ld owners are killed while they do something", lifetime_cycles);
	for (cycle = 0; cycle < WARM_UP_CYCLES; cycle++)
		if (!run_cycle(&rng, cycle))
			return;
	drift = drift_kib(&rng);
	/* What the kernel keeps, it keeps once; what is lost is lost each time. */
	if (drift > limit && !tap_failures())
		drift = drift_kib(&rng);
	tap_expect(drift <= limit, "%lld KiB are lost after %ld cycles", drift, lifetime_cycles);
}
