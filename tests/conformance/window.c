// SPDX-License-Identifier: GPL-2.0
/* CREATE and REMOVE, and what windows cost. */
#include <errno.h>
#include <string.h>

#include "conformance.h"
#include "meter.h"

#define GIB (1ull << 30)
#define CHURN 50

/*
 * CREATE as the only window: upstream makes and charges the default one with the first CREATE
 * unless that was removed before.
 */
static bool open_without_window(struct box *box)
{
	return box_open_bare(box) && tap_expect_ret(spapr_remove(box->fd, 0), 0, "REMOVE of the default window");
}

static void run_create(const struct scenario *s)
{
	uint64_t start = 0;
	struct box box;
	int ret;

	if (!open_without_window(&box))
		return;
	ret = spapr_create(box.fd, s->call.shift, s->call.window, s->call.levels, &start);
	say_ret(ret);
	if (!ret)
		say("at 0x%llx", (unsigned long long)start);
	else if (charge_kib())
		say("%lld KiB stay charged", charge_kib());
	box_close(&box);
}

/* A window of 1 GiB in 4 KiB pages; its last page is mapped. */
static void run_levels(const struct scenario *s)
{
	const uint64_t last = GIB - page();
	struct box box;
	int ret;

	if (!open_without_window(&box))
		return;
	ret = spapr_create(box.fd, 12, GIB, s->call.levels, NULL);
	say_ret(ret);
	if (!ret) {
		tap_expect_ret(spapr_register(box.fd, box.mem, page()), 0, "REGISTER");
		say_ret(vfio_map(box.fd, last, box.mem, page(), MAP_RW));
		say_reach(&box, last, box.mem);
		say_ret(spapr_remove(box.fd, 0));
	}
	if (charge_kib() != (ret ? 0 : (long long)page() >> 10))
		say("%lld KiB stay charged", charge_kib());
	box_close(&box);
}

static void run_second(const struct scenario *s)
{
	uint64_t start;
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	say_ret(spapr_create(box.fd, 12, MIB, 1, &start));
	say("at 0x%llx", (unsigned long long)start);
	say_ret(vfio_map(box.fd, start, box.mem, page(), MAP_RW));
	say_reach(&box, start, box.mem);
	say_ret(spapr_create(box.fd, 12, MIB, 1, NULL));
	box_close(&box);
}

/* The first slot again, while there is a second window. */
static void run_slot_again(const struct scenario *s)
{
	uint64_t start, second;
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	tap_expect_ret(spapr_create(box.fd, 12, MIB, 1, &second), 0, "CREATE");
	say_ret(spapr_remove(box.fd, 0));
	say_ret(spapr_create(box.fd, 12, GIB, 1, &start));
	say("at 0x%llx", (unsigned long long)start);
	say_ret(vfio_map(box.fd, second, box.mem, page(), MAP_RW));
	say_reach(&box, second, box.mem);
	box_close(&box);
}

/* The last page inside, and the one behind, the size that was asked for. */
static void run_size(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!open_without_window(&box))
		return;
	say_ret(spapr_create(box.fd, 12, MIB, 1, NULL));
	tap_expect_ret(spapr_register(box.fd, box.mem, page()), 0, "REGISTER");
	say_ret(vfio_map(box.fd, MIB - WPAGE, box.mem, WPAGE, MAP_RW));
	say_ret(vfio_map(box.fd, MIB, box.mem, WPAGE, MAP_RW));
	box_close(&box);
}

static void run_cost(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!open_without_window(&box))
		return;
	say("%lld", charge_kib());
	tap_expect_ret(spapr_create(box.fd, 12, GIB, 1, NULL), 0, "CREATE");
	say("%lld", charge_kib());
	tap_expect_ret(spapr_remove(box.fd, 0), 0, "REMOVE");
	say("%lld KiB", charge_kib());
	box_close(&box);
}

static void run_cost_default(const struct scenario *s)
{
	long long registered;
	struct box box;

	(void)s;
	if (!box_open_bare(&box))
		return;
	tap_expect_ret(spapr_register(box.fd, box.mem, page()), 0, "REGISTER");
	registered = charge_kib();
	tap_expect_ret(vfio_map(box.fd, IOVA, box.mem, page(), MAP_RW), 0, "MAP");
	say("%lld", charge_kib() - registered);
	tap_expect_ret(spapr_remove(box.fd, 0), 0, "REMOVE");
	say("%lld KiB", charge_kib() - registered);
	box_close(&box);
}

static void run_limit(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!open_without_window(&box))
		return;
	tap_expect(proc_limit_memlock(2 * MIB), "limit RLIMIT_MEMLOCK");
	say_ret(spapr_create(box.fd, 12, GIB, 1, NULL));
	say("%lld KiB charged", charge_kib());
	box_close(&box);
}

/* The limit is enough for the default window's table (8 MiB), not for the second's. */
static void run_limit_halfway(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open_bare(&box))
		return;
	tap_expect(proc_limit_memlock(10 * MIB), "limit RLIMIT_MEMLOCK");
	say_ret(spapr_create(box.fd, 12, GIB, 1, NULL));
	say("%lld KiB charged", charge_kib());
	box_close(&box);
}

static void run_remove_unused(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open_bare(&box))
		return;
	tap_expect_ret(spapr_register(box.fd, box.mem, page()), 0, "REGISTER");
	say_ret(spapr_remove(box.fd, 0));
	say_ret(vfio_map(box.fd, IOVA, box.mem, page(), MAP_RW));
	say_ret(spapr_remove(box.fd, 0));
	box_close(&box);
}

static void run_remove_default(const struct scenario *s)
{
	uint64_t start = 1;
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	say_ret(spapr_remove(box.fd, 0));
	say("%s", device_writes(&box, IOVA, box.mem) ? "reached" : "not reached");
	say_ret(spapr_unregister(box.fd, box.mem, REGION_PAGES * page()));
	say_ret(spapr_create(box.fd, 12, GIB, 1, &start));
	say("at 0x%llx", (unsigned long long)start);
	box_close(&box);
}

/* REMOVE at an offset into a window that is in use. */
static void run_remove_inside(const struct scenario *s)
{
	struct box box;

	if (!box_open(&box))
		return;
	say_ret(spapr_remove(box.fd, s->call.iova));
	say("%s", device_writes(&box, IOVA, box.mem) ? "reached" : "not reached");
	box_close(&box);
}

static void run_remove_inside_unused(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open_bare(&box))
		return;
	say_ret(spapr_remove(box.fd, IOVA));
	box_close(&box);
}

static void run_remove_second(const struct scenario *s)
{
	uint64_t start;
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	tap_expect_ret(spapr_create(box.fd, 12, MIB, 1, &start), 0, "CREATE");
	tap_expect_ret(vfio_map(box.fd, start, box.mem + 10 * page(), page(), MAP_RW), 0, "MAP");
	say_ret(spapr_remove(box.fd, start));
	say("%s", device_writes(&box, start, box.mem + 10 * page()) ? "reached" : "not reached");
	say_ret(vfio_map(box.fd, start, box.mem, page(), MAP_RW));
	say_reach(&box, IOVA, box.mem);
	box_close(&box);
}

static void run_churn(const struct scenario *s)
{
	long long before;
	uint64_t start;
	struct box box;
	int i, ret = 0;

	(void)s;
	if (!box_open(&box))
		return;
	before = charge_kib();
	for (i = 0; i < CHURN && !ret; i++) {
		ret = spapr_create(box.fd, 12, 64 * MIB << i % 4, 1 + i % 3 * (s->call.levels > 1), &start);
		if (!ret)
			ret = vfio_map(box.fd, start + i * MIB, box.mem, page(), MAP_RW);
		if (!ret)
			ret = spapr_remove(box.fd, start);
	}
	say("%d rounds", i);
	say_ret(ret);
	say("%lld KiB left charged", charge_kib() - before);
	say_reach(&box, IOVA, box.mem);
	box_close(&box);
}

#define CREATE_CALL(sh, bytes, lv) .run = run_create, .call = { .nr = CALL_CREATE, .shift = sh, .window = bytes, .levels = lv }
#define REMOVE_CALL .run = run_call, .call.nr = CALL_REMOVE

static const struct scenario windows[] = {
	{ .name = "create-first", .what = "REMOVE of the default window, CREATE", CREATE_CALL(12, GIB, 1), .upstream = "0, at 0x0" },
	{ .name = "create-second", .what = "CREATE of a second window; MAP in it, DMA; CREATE of a third", .run = run_second,
	  .upstream = "0, at 0x800000000000000, 0, reached, ENOSPC", .domain = "0, at 0x1000000000, 0, reached, ENOSPC",
	  .why = "few IOMMUs translate as many bits as a PHB" },
	{ .name = "create-slot-again", .what = "a second window; REMOVE of the first, CREATE; the second one goes on",
	  .run = run_slot_again, .upstream = "0, 0, at 0x0, 0, reached" },
	{ .name = "create-shift-11", .what = "CREATE, page_shift 11", CREATE_CALL(11, GIB, 1), .upstream = "EINVAL" },
	{ .name = "create-shift-13", .what = "CREATE, page_shift 13, which no PHB offers", CREATE_CALL(13, GIB, 1),
	  .upstream = "EINVAL", .domain = "0, at 0x0", .why = "an iommu_domain offers every power of two" },
	{ .name = "create-shift-31", .what = "CREATE, page_shift 31", CREATE_CALL(31, 1ull << 33, 1), .upstream = "EINVAL" },
	{ .name = "create-shift-76", .what = "CREATE, page_shift 12 + 64", CREATE_CALL(76, GIB, 1), .upstream = "EINVAL" },
	{ .name = "create-shift-140", .what = "CREATE, page_shift 12 + 128", CREATE_CALL(140, GIB, 1),
	  .upstream = "EINVAL, 4096 KiB stay charged", .ours = "EINVAL", .verdict = FIXED,
	  .why = "upstream shifts 1 by what it was given; what a failed CREATE charged is lost" },
	{ .name = "create-size-0", .what = "CREATE, size 0", CREATE_CALL(12, 0, 1), .upstream = "EINVAL" },
	{ .name = "create-size-odd", .what = "CREATE, a size that is no power of two", CREATE_CALL(12, 3 * MIB, 1), .upstream = "EINVAL" },
	{ .name = "create-size-small", .what = "CREATE, half a page of 64 KiB", CREATE_CALL(16, 32768, 1),
	  .upstream = "0, at 0x0", .ours = "EINVAL", .verdict = FIXED, .why = "a window of no page" },
	{ .name = "create-levels-0", .what = "CREATE, no level", CREATE_CALL(12, GIB, 0), .upstream = "EINVAL" },
	{ .name = "create-levels-6", .what = "CREATE, 6 levels", CREATE_CALL(12, GIB, 6), .upstream = "EINVAL" },
	{ .name = "create-levels-many", .what = "CREATE, 2^32 - 1 levels", CREATE_CALL(12, GIB, UINT32_MAX), .upstream = "EINVAL" },
	{ .name = "create-levels-1", .what = "CREATE, 1 level; MAP of the window's last page, DMA; REMOVE", .run = run_levels,
	  .call.levels = 1, .upstream = "0, 0, reached, 0" },
	{ .name = "create-levels-2", .what = "CREATE, 2 levels; MAP of the window's last page, DMA; REMOVE", .run = run_levels, .call.levels = 2,
	  .upstream = "0, 0, reached, 0" },
	{ .name = "create-levels-3", .what = "CREATE, 3 levels; MAP of the window's last page, DMA; REMOVE", .run = run_levels, .call.levels = 3,
	  .upstream = "0, 0, reached, 0" },
	{ .name = "create-levels-4", .what = "CREATE, 4 levels; MAP of the window's last page, DMA; REMOVE", .run = run_levels, .call.levels = 4,
	  .upstream = "0, 0, reached, 0", .upstream_64k = "EINVAL, 4480 KiB stay charged", .ours = "0, 0, reached, 0", .ours_64k = "EINVAL",
	  .verdict = FIXED, .why = "with pages of 64 KiB the platform refuses so many, and upstream keeps the charge" },
	{ .name = "create-levels-5", .what = "CREATE, 5 levels, which the platform offers and then refuses", .run = run_levels,
	  .call.levels = 5, .upstream = "EINVAL, 4128 KiB stay charged", .upstream_64k = "EINVAL, 4608 KiB stay charged", .ours = "EINVAL", .verdict = FIXED,
	  .domain = "0, 0, reached, 0", .why = "what a failed CREATE charged is lost; levels mean nothing to an iommu_domain" },
	{ .name = "create-size-asked", .what = "CREATE of 1 MiB; MAP of its last page; of the page behind", .run = run_size,
	  .upstream = "0, 0, 0", .ours = "0, 0, ENXIO", .verdict = FIXED, .why = "the window ends where the table does, not where it was asked to" },
	{ .name = "create-cost", .what = "charge before CREATE of 1 GiB in 4 KiB pages, after it, after REMOVE", .run = run_cost,
	  .upstream = "0, 4096, 0 KiB", .domain = "0, 0, 0 KiB", .why = "a window of an iommu_domain has no table of its own" },
	{ .name = "default-cost", .what = "charge of the default window: after the first MAP, after REMOVE", .run = run_cost_default,
	  .upstream = "8192, 0 KiB", .domain = "0, 0 KiB", .why = "a window of an iommu_domain has no table of its own" },
	{ .name = "create-limit", .what = "CREATE whose table is above RLIMIT_MEMLOCK; charge", .run = run_limit,
	  .upstream = "ENOMEM, 0 KiB charged", .domain = "0, 0 KiB charged",
	  .why = "a window of an iommu_domain has no table of its own" },
	{ .name = "create-limit-halfway", .what = "CREATE with a limit for one table, the default window not used yet; charge", .run = run_limit_halfway,
	  .upstream = "ENOMEM, 8192 KiB charged", .ours = "0, 4096 KiB charged", .domain = "0, 0 KiB charged", .verdict = FIXED,
	  .why = "upstream makes the default window's table first, and keeps it when the call fails; ours makes it when it is used" },
	{ .name = "remove-unused-default", .what = "REMOVE of the default window before use; MAP; REMOVE again", .run = run_remove_unused,
	  .upstream = "0, ENXIO, EINVAL" },
	{ .name = "remove-default", .what = "REMOVE of the default window with mappings: DMA; UNREGISTER; CREATE", .run = run_remove_default,
	  .upstream = "0, not reached, 0, 0, at 0x0" },
	{ .name = "remove-no-window", .what = "REMOVE where no window is", REMOVE_CALL, .call.iova = DEFAULT_WINDOW, .upstream = "EINVAL" },
	{ .name = "remove-inside-unused", .what = "REMOVE inside the default window before use", .run = run_remove_inside_unused,
	  .upstream = "EINVAL" },
	{ .name = "remove-inside", .what = "REMOVE inside a window with mappings; DMA", .run = run_remove_inside, .call.iova = IOVA2,
	  .upstream = "0, not reached", .ours = "EINVAL, reached", .verdict = FIXED, .why = "a wrong address must not cost a window" },
	{ .name = "remove-second", .what = "REMOVE of a second window with mappings: DMA; MAP there; the first goes on",
	  .run = run_remove_second, .upstream = "0, not reached, ENXIO, reached" },
	{ .name = "window-churn", .what = "50 times CREATE, MAP, REMOVE of a second window", .run = run_churn, .timeout_s = 180,
	  .upstream = "50 rounds, 0, 0 KiB left charged, reached" },
	{ .name = "window-churn-levels", .what = "50 times CREATE with 1 to 3 levels, MAP, REMOVE of a second window", .run = run_churn, .call.levels = 3, .timeout_s = 180,
	  .upstream = "50 rounds, 0, 0 KiB left charged, reached" },
};

const struct scenario_group group_window = { "Windows", windows, COUNT(windows) };
