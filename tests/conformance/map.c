// SPDX-License-Identifier: GPL-2.0
/* MAP and UNMAP in the default window. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "conformance.h"
#include "meter.h"

#define NEW_PAGE 10	/* of @mem: mapped nowhere at first */

static void run_replace(const struct scenario *s)
{
	struct box box;
	char *old, *new;

	(void)s;
	if (!box_open(&box))
		return;
	old = box.mem + page();
	new = box.mem + NEW_PAGE * page();
	tap_expect(edu_reaches(&box.rig.edu, IOVA + page(), old, 64, fresh_seed()), "the old page is used before");
	say_ret(vfio_map(box.fd, IOVA + page(), new, page(), MAP_RW));
	say_reach(&box, IOVA + page(), new);
	say("old page %s", device_writes(&box, IOVA + page(), old) ? "reached" : "not reached");
	say("next page %s", device_sees(&box, IOVA + 2 * page(), old + page()));
	box_close(&box);
}

/* All of a region's mappings are replaced with another's: nothing of it is mapped any more. */
static void run_replace_region(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	tap_expect_ret(spapr_register(box.fd, box.spare, SPARE_PAGES * page()), 0, "REGISTER");
	say_ret(vfio_map(box.fd, IOVA, box.spare, MAPPED_PAGES * page(), MAP_RW));
	tap_expect_ret(vfio_unmap(box.fd, CONTROL_IOVA, page()), 0, "UNMAP");
	say_ret(spapr_unregister(box.fd, box.mem, REGION_PAGES * page()));
	say("%lld pages pinned", pins(SPARE_PAGES));
	box_close(&box);
}

static void run_permissions(const struct scenario *s)
{
	struct box box;
	char *va;

	if (!box_open(&box))
		return;
	va = box.mem + NEW_PAGE * page();
	say_ret(vfio_map(box.fd, IOVA2, va, page(), s->call.flags));
	say("%s", device_sees(&box, IOVA2, va));
	box_close(&box);
}

/* A mapping for both is replaced with one for reading. */
static void run_less(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	say("%s", device_sees(&box, IOVA, box.mem));
	say_ret(vfio_map(box.fd, IOVA, box.mem, page(), MAP_RO));
	say("%s", device_sees(&box, IOVA, box.mem));
	box_close(&box);
}

/* A MAP that runs over its region's end: is a part of it mapped? */
static void run_over_region(const struct scenario *s)
{
	struct box box;

	if (!box_open(&box))
		return;
	if (s->call.flags) {
		/* Another region right behind it. */
		if (!place_pages(box.mem + REGION_PAGES * page(), 4))
			return;
		tap_expect_ret(spapr_register(box.fd, box.mem + REGION_PAGES * page(), 4 * page()), 0, "REGISTER");
	}
	say_ret(vfio_map(box.fd, IOVA2, box.mem + NEW_PAGE * page(), 8 * page(), MAP_RW));
	say("its first page: %s", device_sees(&box, IOVA2, box.mem + NEW_PAGE * page()));
	if (s->call.flags)
		say("its last page: %s", device_sees(&box, IOVA2 + 7 * page(), box.mem + (NEW_PAGE + 7) * page()));
	box_close(&box);
}

/* A MAP over a mapping fails: is the mapping as it was? */
static void run_failed_over(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	say_ret(vfio_map(box.fd, IOVA, box.mem + NEW_PAGE * page(), 8 * page(), MAP_RW));
	say("old mapping: %s", device_sees(&box, IOVA, box.mem));
	box_close(&box);
}

static void run_over_window(const struct scenario *s)
{
	const uint64_t last = DEFAULT_WINDOW - WPAGE;
	struct box box;
	char *va;

	if (!box_open(&box))
		return;
	va = box.mem + NEW_PAGE * page();
	if (s->call.nr == CALL_MAP) {
		say_ret(vfio_map(box.fd, last, va, 2 * WPAGE, MAP_RW));
	} else {
		tap_expect_ret(vfio_map(box.fd, last, va, WPAGE, MAP_RW), 0, "MAP of the last page");
		say_ret(vfio_unmap(box.fd, last, 2 * WPAGE));
	}
	say("the window's last page: %s", device_sees(&box, last, va));
	box_close(&box);
}

static void run_window_ends(const struct scenario *s)
{
	struct box box;
	char *va;

	(void)s;
	if (!box_open(&box))
		return;
	va = box.mem + NEW_PAGE * page();
	say_ret(vfio_map(box.fd, 0, va, WPAGE, MAP_RW));
	say_ret(vfio_map(box.fd, DEFAULT_WINDOW - WPAGE, va, WPAGE, MAP_RW));
	say_reach(&box, 0, va);
	say_reach(&box, DEFAULT_WINDOW - 64, va + WPAGE - 64);
	box_close(&box);
}

static void run_twice(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	say_ret(vfio_map(box.fd, IOVA2, box.mem, page(), MAP_RW));
	say_reach(&box, IOVA2, box.mem);
	say_ret(vfio_unmap(box.fd, IOVA2, page()));
	say_reach(&box, IOVA, box.mem);
	box_close(&box);
}

static void run_limit(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open_bare(&box))
		return;
	tap_expect(proc_limit_memlock(2 * MIB), "limit RLIMIT_MEMLOCK");
	say_ret(spapr_register(box.fd, box.mem, page()));
	say_ret(vfio_map(box.fd, IOVA, box.mem, page(), MAP_RW));
	say("%lld pages charged", charge());
	box_close(&box);
}

#define MAP_CALL .run = run_call, .call.nr = CALL_MAP
#define ONE_PAGE .call.pages = 1, .call.flags = MAP_RW

static const struct scenario maps[] = {
	{ .name = "map-behind-window", .what = "MAP right behind the window", MAP_CALL, ONE_PAGE,
	  .call.iova = DEFAULT_WINDOW, .upstream = "ENXIO" },
	{ .name = "map-no-window", .what = "MAP where the second window would be", MAP_CALL, ONE_PAGE,
	  .call.iova = 0x800000000000000ull, .upstream = "ENXIO" },
	{ .name = "map-last-page", .what = "MAP at the last page of all addresses", MAP_CALL, ONE_PAGE,
	  .call.iova = -WPAGE, .upstream = "ENXIO" },
	{ .name = "map-wraps-behind", .what = "MAP of two pages there, which wraps", MAP_CALL,
	  .call.iova = -WPAGE, .call.pages = 2, .call.flags = MAP_RW, .upstream = "ENXIO" },
	{ .name = "map-wraps", .what = "MAP from inside the window that wraps", MAP_CALL, .call.iova = IOVA2,
	  .call.pages = -1, .call.flags = MAP_RW, .upstream = "EINVAL", .ours = "ENXIO", .verdict = FIXED,
	  .why = "upstream maps page by page and unmaps when the memory ends; the range was wrong from the start" },
	{ .name = "map-window-ends", .what = "MAP of the window's first and last page; DMA to both", .run = run_window_ends,
	  .upstream = "0, 0, reached, reached" },
	{ .name = "map-unregistered", .what = "MAP of memory that is not registered", MAP_CALL, ONE_PAGE,
	  .call.place = AT_SPARE, .call.iova = IOVA2, .upstream = "EINVAL" },
	{ .name = "map-nothing", .what = "MAP of addresses where nothing is", MAP_CALL, ONE_PAGE,
	  .call.place = AT_HOLE, .call.iova = IOVA2, .upstream = "EINVAL" },
	{ .name = "map-before-region", .what = "MAP from the page before a region into it", MAP_CALL,
	  .call.page = -1, .call.pages = 2, .call.iova = IOVA2, .call.flags = MAP_RW, .upstream = "EINVAL" },
	{ .name = "map-no-flags", .what = "MAP without flags", MAP_CALL, .call.pages = 1, .call.iova = IOVA2, .upstream = "EINVAL" },
	{ .name = "map-vaddr-unaligned", .what = "MAP, unaligned vaddr", MAP_CALL, ONE_PAGE, .call.byte = 8,
	  .call.iova = IOVA2, .upstream = "EINVAL" },
	{ .name = "map-size-unaligned", .what = "MAP, unaligned size", MAP_CALL, ONE_PAGE, .call.bytes = 8,
	  .call.iova = IOVA2, .upstream = "EINVAL" },
	{ .name = "map-iova-unaligned", .what = "MAP, unaligned iova", MAP_CALL, ONE_PAGE, .call.iova = IOVA2 + 8,
	  .upstream = "1", .ours = "EINVAL", .verdict = FIXED, .why = "a refused call must not answer a positive number" },
	{ .name = "map-size-0", .what = "MAP, size 0", MAP_CALL, .call.iova = IOVA2, .call.flags = MAP_RW,
	  .upstream = "0", .ours = "EINVAL", .verdict = FIXED, .why = "nothing can be mapped; type 1 refuses it, too" },
	{ .name = "map-over-region", .what = "MAP of 8 pages over a region's end; what is mapped", .run = run_over_region,
	  .upstream = "EINVAL, its first page: nothing" },
	{ .name = "map-into-next-region", .what = "MAP of 8 pages over a region's end, another one begins there",
	  .run = run_over_region, .call.flags = 1,
	  .upstream = "0, its first page: read and write, its last page: read and write",
	  .ours = "EINVAL, its first page: nothing, its last page: nothing", .verdict = LEFT_OUT,
	  .why = "a mapping of ours belongs to one region, whose UNREGISTER has to see it" },
	{ .name = "map-replace", .what = "MAP over a mapped page: the device sees the new page, the old one, the next one",
	  .run = run_replace, .upstream = "0, reached, old page not reached, next page read and write" },
	{ .name = "map-replace-region", .what = "MAP over all of a region's mappings; UNREGISTER of that region; pins",
	  .run = run_replace_region, .upstream = "0, 0, 16 pages pinned" },
	{ .name = "map-failed-over", .what = "MAP over a mapping fails at its fifth page of 8; the old mapping", .run = run_failed_over,
	  .upstream = "EINVAL, old mapping: nothing", .ours = "EINVAL, old mapping: read and write", .verdict = FIXED,
	  .why = "a call that fails changes nothing" },
	{ .name = "map-twice", .what = "MAP of the same page at two IOVAs; UNMAP of one", .run = run_twice,
	  .upstream = "0, reached, 0, reached" },
	{ .name = "map-read-only", .what = "MAP for reading: what the device can do", .run = run_permissions, .call.flags = MAP_RO,
	  .upstream = "0, read" },
	{ .name = "map-write-only", .what = "MAP for writing: what the device can do", .run = run_permissions, .call.flags = MAP_WO,
	  .upstream = "0, read and write" },
	{ .name = "map-read-write", .what = "MAP for both: what the device can do", .run = run_permissions, .call.flags = MAP_RW,
	  .upstream = "0, read and write" },
	{ .name = "map-none", .what = "MAP for nothing: what the device can do", .run = run_permissions,
	  .upstream = "EINVAL, nothing" },
	{ .name = "map-less", .what = "MAP for reading over a mapping for both", .run = run_less, .upstream = "read and write, 0, read" },
	{ .name = "map-limit", .what = "the first MAP with a limit of 2 MiB: the default window's table is 8 MiB", .run = run_limit,
	  .upstream = "0, ENOMEM, 1 pages charged", .domain = "0, 0, 1 pages charged",
	  .why = "a window of an iommu_domain has no table of its own" },
	{ .name = "map-over-window", .what = "MAP of two pages at the window's last; that page", .run = run_over_window,
	  .call.nr = CALL_MAP, .spoils = true,
	  .upstream = "0, the window's last page: read and write; 16 pages stay pinned; the kernel warns",
	  .ours = "ENXIO, the window's last page: nothing", .verdict = FIXED,
	  .why = "upstream writes the second entry into kernel memory behind its table" },
};

const struct scenario_group group_map = { "MAP", maps, COUNT(maps) };

static void run_middle(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	say_ret(vfio_unmap(box.fd, IOVA + 2 * page(), page()));
	say("before it %s", device_sees(&box, IOVA + page(), box.mem + page()));
	say("there %s", device_sees(&box, IOVA + 2 * page(), box.mem + 2 * page()));
	say("behind it %s", device_sees(&box, IOVA + 3 * page(), box.mem + 3 * page()));
	box_close(&box);
}

/* A range that is mapped in parts, once by two calls. */
static void run_holes(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	tap_expect_ret(vfio_unmap(box.fd, IOVA + page(), page()), 0, "UNMAP");
	tap_expect_ret(vfio_map(box.fd, IOVA + 20 * page(), box.mem + NEW_PAGE * page(), page(), MAP_RW), 0, "MAP");
	say_ret(vfio_unmap(box.fd, IOVA - page(), 30 * page()));
	say("%s", device_sees(&box, IOVA, box.mem));
	say("%s", device_sees(&box, IOVA + 20 * page(), box.mem + NEW_PAGE * page()));
	box_close(&box);
}

static void run_whole(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	say_ret(vfio_unmap(box.fd, 0, DEFAULT_WINDOW));
	say("%s", device_writes(&box, IOVA, box.mem) ? "reached" : "not reached");
	say_ret(spapr_unregister(box.fd, box.mem, REGION_PAGES * page()));
	box_close(&box);
}

#define UNMAP_CALL .run = run_call, .call.nr = CALL_UNMAP

static const struct scenario unmaps[] = {
	{ .name = "unmap-hole", .what = "UNMAP where nothing is mapped", UNMAP_CALL, .call.iova = IOVA2, .call.pages = 16, .upstream = "0" },
	{ .name = "unmap-size-0", .what = "UNMAP, size 0", UNMAP_CALL, .call.iova = IOVA, .upstream = "0" },
	{ .name = "unmap-no-window", .what = "UNMAP outside every window", UNMAP_CALL, .call.iova = DEFAULT_WINDOW, .call.pages = 1,
	  .upstream = "ENXIO" },
	{ .name = "unmap-size-unaligned", .what = "UNMAP, unaligned size", UNMAP_CALL, .call.iova = IOVA, .call.pages = 1,
	  .call.bytes = 8, .upstream = "EINVAL" },
	{ .name = "unmap-iova-unaligned", .what = "UNMAP, unaligned iova", UNMAP_CALL, .call.iova = IOVA + 8, .call.pages = 1,
	  .upstream = "1", .ours = "EINVAL", .verdict = FIXED, .why = "a refused call must not answer a positive number" },
	{ .name = "unmap-middle", .what = "UNMAP of a page in the middle: what the device can do around it", .run = run_middle,
	  .upstream = "0, before it read and write, there nothing, behind it read and write" },
	{ .name = "unmap-holes", .what = "UNMAP of a range with holes and two mappings in it", .run = run_holes,
	  .upstream = "0, nothing, nothing" },
	{ .name = "unmap-window", .what = "UNMAP of the whole window; DMA; UNREGISTER", .run = run_whole, .upstream = "0, not reached, 0" },
	{ .name = "unmap-over-window", .what = "UNMAP of two pages at the window's last; that page", .run = run_over_window,
	  .call.nr = CALL_UNMAP, .spoils = true, .upstream = "0, the window's last page: nothing",
	  .ours = "ENXIO, the window's last page: read and write", .verdict = FIXED,
	  .why = "upstream clears kernel memory behind its table" },
};

const struct scenario_group group_unmap = { "UNMAP", unmaps, COUNT(unmaps) };
