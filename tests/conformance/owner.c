// SPDX-License-Identifier: GPL-2.0
/* Who may call, what a call may be handed, and what a container says of itself. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conformance.h"
#include "meter.h"

#define ANSWERS_MAX 8

/* Several answers: one if they are all the same. */
static void say_all(const int *ret, size_t n)
{
	size_t i;

	for (i = 1; i < n; i++)
		if (ret[i] != ret[0])
			break;
	if (i == n)
		say_ret(ret[0]);
	else
		for (i = 0; i < n; i++)
			say_ret(ret[i]);
}

static void every_call(struct box *box, int *ret)
{
	struct vfio_iommu_spapr_tce_info info;

	ret[0] = spapr_get_info(box->fd, &info);
	ret[1] = spapr_register(box->fd, box->spare, page());
	ret[2] = spapr_unregister(box->fd, box->mem, REGION_PAGES * page());
	ret[3] = vfio_map(box->fd, IOVA2, box->mem, page(), MAP_RW);
	ret[4] = vfio_unmap(box->fd, IOVA, page());
	ret[5] = spapr_create(box->fd, 12, 1ull << 30, 1, NULL);
	ret[6] = spapr_remove(box->fd, 0);
}

static void run_foreign(const struct scenario *s)
{
	struct box box;
	int ret[7];
	pid_t pid;

	(void)s;
	if (!box_open(&box))
		return;
	pid = fork();
	if (!pid) {
		every_call(&box, ret);
		say_all(ret, COUNT(ret));
		_exit(0);
	}
	pid_wait(pid, 20000);
	say_reach(&box, IOVA, box.mem);
	box_close(&box);
}

/* A child's call fails; may another process use the container then? */
static void run_failed_owner(const struct scenario *s)
{
	struct vfio_iommu_spapr_tce_info info;
	struct box box;
	pid_t pid;

	if (!box_open_bare(&box))
		return;
	pid = fork();
	if (!pid) {
		if (s->call.nr == CALL_REGISTER)
			say_ret(spapr_register(box.fd, box.mem + 1, page()));
		else
			say_ret(spapr_create(box.fd, 11, MIB, 1, NULL));
		_exit(0);
	}
	pid_wait(pid, 20000);
	say_ret(spapr_get_info(box.fd, &info));
	box_close(&box);
}

/* The owner is killed; its parent has the same fds. */
static void run_heir(const struct scenario *s)
{
	struct vfio_iommu_spapr_tce_info info;
	struct box box;
	pid_t pid;

	(void)s;
	if (!box_open_bare(&box))
		return;
	pid = fork();
	if (!pid) {
		tap_expect_ret(vfio_hold(box.fd, TYPE7, box.mem, MAPPED_PAGES * page(), IOVA), 0, "REGISTER and MAP");
		raise(SIGKILL);
	}
	pid_wait(pid, 20000);
	say("%lld pages pinned", pins(0));
	say_ret(spapr_get_info(box.fd, &info));
	say_ret(spapr_register(box.fd, box.mem, page()));
	box_close(&box);
}

static void run_before_register(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open_bare(&box))
		return;
	say_ret(vfio_map(box.fd, IOVA, box.mem, page(), MAP_RW));
	say_ret(vfio_unmap(box.fd, IOVA, page()));
	say_ret(spapr_unregister(box.fd, box.mem, page()));
	tap_expect_ret(spapr_remove(box.fd, 0), 0, "REMOVE makes us the owner");
	say_ret(vfio_map(box.fd, IOVA, box.mem, page(), MAP_RW));
	say_ret(vfio_unmap(box.fd, IOVA, page()));
	say_ret(spapr_unregister(box.fd, box.mem, page()));
	box_close(&box);
}

static void run_after_unregister(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	tap_expect_ret(vfio_unmap(box.fd, 0, DEFAULT_WINDOW), 0, "UNMAP");
	tap_expect_ret(spapr_unregister(box.fd, box.mem, REGION_PAGES * page()), 0, "UNREGISTER");
	say_ret(vfio_map(box.fd, IOVA, box.mem, page(), MAP_RW));
	say_ret(vfio_unmap(box.fd, IOVA, page()));
	box_close(&box);
}

static void run_extension(const struct scenario *s)
{
	struct box box;

	if (!box_open_bare(&box))
		return;
	say("%d", vfio_check_extension(box.fd, s->call.flags));
	box_close(&box);
}

static const struct scenario owner[] = {
	{ .name = "foreign-process", .what = "every call, GET_INFO too, by a forked child of the owner; then a DMA of the owner's",
	  .run = run_foreign, .upstream = "EPERM, reached" },
	{ .name = "fork", .what = "the owner forks: DMA to its pages while the child lives, and after", .run = run_fork,
	  .upstream = "reached, reached" },
	{ .name = "failed-register-owner", .what = "a child's REGISTER fails; then GET_INFO by its parent",
	  .run = run_failed_owner, .call = { .nr = CALL_REGISTER },
	  .upstream = "EINVAL, EPERM", .ours = "EINVAL, 0", .verdict = FIXED,
	  .why = "a call that failed made its caller the owner for good" },
	{ .name = "failed-create-owner", .what = "a child's CREATE fails; then GET_INFO by its parent",
	  .run = run_failed_owner, .call = { .nr = CALL_CREATE },
	  .upstream = "EINVAL, EPERM", .ours = "EINVAL, 0", .verdict = FIXED,
	  .why = "a call that failed made its caller the owner for good" },
	{ .name = "heir", .what = "the owner of 8 pages is killed; its parent has the fds: pins, GET_INFO, REGISTER",
	  .run = run_heir, .upstream = "8 pages pinned, EPERM, EPERM", .ours = "0 pages pinned, 0, 0", .verdict = FIXED,
	  .why = "pages belong to the address space, not to the fd; the container can be owned anew" },
	{ .name = "before-register", .what = "MAP, UNMAP, UNREGISTER before anything; the same after a REMOVE",
	  .run = run_before_register, .upstream = "EPERM, EPERM, EPERM, EPERM, EPERM, ENOENT" },
	{ .name = "after-unregister", .what = "MAP and UNMAP after UNREGISTER of all", .run = run_after_unregister,
	  .upstream = "EINVAL, 0" },
	{ .name = "extension-7", .what = "CHECK_EXTENSION(VFIO_SPAPR_TCE_v2_IOMMU)", .run = run_extension,
	  .call = { .flags = VFIO_SPAPR_TCE_v2_IOMMU }, .upstream = "1" },
	{ .name = "extension-2", .what = "CHECK_EXTENSION(VFIO_SPAPR_TCE_IOMMU), the first version", .run = run_extension,
	  .call = { .flags = VFIO_SPAPR_TCE_IOMMU }, .upstream = "1", .ours = "0", .verdict = LEFT_OUT,
	  .why = "v1 pins in MAP, page by page; nobody needs it beside v2" },
	{ .name = "extension-1", .what = "CHECK_EXTENSION(VFIO_TYPE1_IOMMU)", .run = run_extension,
	  .call = { .flags = VFIO_TYPE1_IOMMU }, .upstream = "0" },
	{ .name = "extension-coherency", .what = "CHECK_EXTENSION(VFIO_DMA_CC_IOMMU)", .run = run_extension,
	  .call = { .flags = VFIO_DMA_CC_IOMMU }, .upstream = "0" },
	{ .name = "extension-eeh", .what = "CHECK_EXTENSION(VFIO_EEH)", .run = run_extension,
	  .call = { .flags = VFIO_EEH }, .upstream = "1", .domain = "0", .why = "EEH is POWER's" },
};

const struct scenario_group group_owner = { "Owner", owner, COUNT(owner) };

#define ARGSZ_SHORT 1u
#define FLAGS_SET 2u

/* Every call's struct with one thing wrong. GET_INFO's flags are an answer. */
static void run_struct(const struct scenario *s)
{
	const uint32_t wrong = s->call.flags;
	struct vfio_iommu_spapr_tce_info info = { .argsz = sizeof(info) };
	struct vfio_iommu_spapr_register_memory mem = { .argsz = sizeof(mem) };
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map), .flags = MAP_RW };
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap) };
	struct vfio_iommu_spapr_tce_create create = { .argsz = sizeof(create) };
	struct vfio_iommu_spapr_tce_remove remove = { .argsz = sizeof(remove) };
	int ret[ANSWERS_MAX];
	struct box box;
	size_t n = 0;

	if (!box_open(&box))
		return;
	if (wrong == ARGSZ_SHORT) {
		info.argsz = offsetof(struct vfio_iommu_spapr_tce_info, ddw) - 1;
		mem.argsz = map.argsz = unmap.argsz = create.argsz = remove.argsz = 8;
		ret[n++] = vfio_ioctl(box.fd, VFIO_IOMMU_SPAPR_TCE_GET_INFO, &info);
	} else {
		mem.flags = map.flags = unmap.flags = create.flags = remove.flags = 1u << 31;
	}
	mem.vaddr = (uintptr_t)box.spare;
	mem.size = map.size = unmap.size = page();
	map.vaddr = (uintptr_t)box.mem;
	map.iova = unmap.iova = IOVA2;
	create.page_shift = 12;
	create.window_size = MIB;
	create.levels = 1;
	ret[n++] = vfio_ioctl(box.fd, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, &mem);
	ret[n++] = vfio_ioctl(box.fd, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, &mem);
	ret[n++] = vfio_ioctl(box.fd, VFIO_IOMMU_MAP_DMA, &map);
	ret[n++] = vfio_ioctl(box.fd, VFIO_IOMMU_UNMAP_DMA, &unmap);
	ret[n++] = vfio_ioctl(box.fd, VFIO_IOMMU_SPAPR_TCE_CREATE, &create);
	ret[n++] = vfio_ioctl(box.fd, VFIO_IOMMU_SPAPR_TCE_REMOVE, &remove);
	say_all(ret, n);
	box_close(&box);
}

static void run_bad_pointer(const struct scenario *s)
{
	int ret[N_SPAPR_CALLS], call;
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	for (call = 0; call < N_SPAPR_CALLS; call++)
		ret[call] = vfio_ioctl(box.fd, call_request(call), box.hole);
	say_all(ret, N_SPAPR_CALLS);
	box_close(&box);
}

/* CREATE can read its struct, but not write the answer there: is the window there? */
static void run_create_read_only(const struct scenario *s)
{
	struct vfio_iommu_spapr_tce_create *create;
	struct box box;

	(void)s;
	if (!box_open_bare(&box))
		return;
	tap_expect_ret(spapr_remove(box.fd, 0), 0, "REMOVE");
	create = (void *)box.spare;
	*create = (struct vfio_iommu_spapr_tce_create){ .argsz = sizeof(*create), .page_shift = 12, .window_size = MIB, .levels = 1 };
	mprotect(create, page(), PROT_READ);
	say_ret(vfio_ioctl(box.fd, VFIO_IOMMU_SPAPR_TCE_CREATE, create));
	say("%s", spapr_remove(box.fd, 0) ? "no window" : "the window is there");
	box_close(&box);
}

static void run_info(const struct scenario *s)
{
	struct vfio_iommu_spapr_tce_info info;
	struct box box;

	(void)s;
	if (!box_open_bare(&box))
		return;
	say_ret(spapr_get_info(box.fd, &info));
	say("%u MiB at %u", info.dma32_window_size >> 20, info.dma32_window_start);
	say("flags %u", info.flags);
	say("pages 0x%llx", (unsigned long long)info.ddw.pgsizes);
	say("%u windows", info.ddw.max_dynamic_windows_supported);
	say("%u levels", info.ddw.levels);
	box_close(&box);
}

static void run_info_old(const struct scenario *s)
{
	struct vfio_iommu_spapr_tce_info info;
	struct box box;

	(void)s;
	if (!box_open_bare(&box))
		return;
	memset(&info, 0xee, sizeof(info));
	info.argsz = offsetof(struct vfio_iommu_spapr_tce_info, ddw);
	say_ret(vfio_ioctl(box.fd, VFIO_IOMMU_SPAPR_TCE_GET_INFO, &info));
	say("%u MiB", info.dma32_window_size >> 20);
	say("%s", info.ddw.pgsizes == 0xeeeeeeeeeeeeeeeeull ? "nothing behind it" : "more than was asked for");
	box_close(&box);
}

static void run_unknown(const struct scenario *s)
{
	struct box box;
	int ret[3];

	(void)s;
	if (!box_open(&box))
		return;
	ret[0] = vfio_ioctl(box.fd, VFIO_IOMMU_ENABLE, NULL);
	ret[1] = vfio_ioctl(box.fd, VFIO_IOMMU_DISABLE, NULL);
	ret[2] = vfio_ioctl(box.fd, _IO(VFIO_TYPE, VFIO_BASE + 99), NULL);
	say_all(ret, COUNT(ret));
	box_close(&box);
}

static void run_eeh(const struct scenario *s)
{
	struct vfio_eeh_pe_op op = { .argsz = sizeof(op), .op = s->call.flags };
	struct box box;

	if (!box_open_bare(&box))
		return;
	say_ret(vfio_ioctl(box.fd, VFIO_EEH_PE_OP, &op));
	box_close(&box);
}

static const struct scenario arguments[] = {
	{ .name = "argsz-short", .what = "every call with an argsz that is too small", .run = run_struct,
	  .call = { .flags = ARGSZ_SHORT }, .upstream = "EINVAL" },
	{ .name = "flags-unknown", .what = "every call that has flags with an unknown one", .run = run_struct,
	  .call = { .flags = FLAGS_SET }, .upstream = "EINVAL" },
	{ .name = "bad-pointer", .what = "every call with a struct that is not there", .run = run_bad_pointer, .upstream = "EFAULT" },
	{ .name = "create-read-only", .what = "CREATE that cannot write its answer; is there a window?", .run = run_create_read_only,
	  .upstream = "EFAULT, the window is there", .ours = "EFAULT, no window", .verdict = FIXED,
	  .why = "a call that fails changes nothing" },
	{ .name = "info", .what = "GET_INFO", .run = run_info,
	  .upstream = "0, 2048 MiB at 0, flags 1, pages 0x40211000, 2 windows, 5 levels",
	  .domain = "0, 2048 MiB at 0, flags 1, pages 0x7ffff000, 2 windows, 5 levels",
	  .why = "a window's page is no hardware entry on an iommu_domain" },
	{ .name = "info-old-struct", .what = "GET_INFO with the struct from before DDW", .run = run_info_old,
	  .upstream = "0, 2048 MiB, nothing behind it" },
	{ .name = "unknown-ioctl", .what = "ENABLE and DISABLE (of v1), and a number nobody uses", .run = run_unknown, .upstream = "ENOTTY" },
	{ .name = "eeh-state", .what = "EEH_PE_OP: the state of the PE", .run = run_eeh, .call = { .flags = VFIO_EEH_PE_GET_STATE },
	  .upstream = "0", .domain = "ENOTTY", .why = "EEH is POWER's" },
	{ .name = "eeh-unknown", .what = "EEH_PE_OP: an operation that does not exist", .run = run_eeh, .call = { .flags = 99 },
	  .upstream = "EINVAL", .domain = "ENOTTY", .why = "EEH is POWER's" },
};

const struct scenario_group group_arguments = { "Arguments", arguments, COUNT(arguments) };
