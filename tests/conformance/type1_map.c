// SPDX-License-Identifier: GPL-2.0
/* Types 1 and 3: MAP, the arguments and the IOVAs. */
#include <string.h>
#include <sys/mman.h>

#include "meter.h"
#include "type1_box.h"

static void run_argsz(const struct scenario *s)
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map) - 1, .flags = MAP_RW, .iova = IOVA2, .size = page() };
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	map.vaddr = (uintptr_t)box.spare;
	say_ret(vfio_ioctl(box.fd, VFIO_IOMMU_MAP_DMA, &map));
	map.argsz = sizeof(map) + 1000;
	say_ret(vfio_ioctl(box.fd, VFIO_IOMMU_MAP_DMA, &map));
	box_close(&box);
}

static void run_permissions(const struct scenario *s)
{
	struct box box;

	if (!box_open(&box))
		return;
	say_map(&box, box.spare, page(), s->call.flags);
	say("%s", device_sees(&box, IOVA2, box.spare));
	box_close(&box);
}

/* MAP over what is mapped at IOVA: is that as it was? */
static void run_overlap(const struct scenario *s)
{
	struct held before;
	struct box box;

	if (!box_open(&box))
		return;
	before = held_now();
	say_ret(box_call(&box, &s->call));
	say_change(&before);
	say_reach(&box, IOVA, box.mem);
	box_close(&box);
}

/* At the end of what GET_INFO offers, s->call.page pages off. */
static void run_aperture(const struct scenario *s)
{
	const struct vfio_iommu_type1_info_cap_iova_range *ranges;
	uint64_t iova;
	struct box box;

	if (!box_open(&box))
		return;
	ranges = iova_ranges(&box);
	if (!ranges)
		return;
	iova = ranges->iova_ranges[ranges->nr_iovas - 1].end + 1 + s->call.page * page();
	if (!vfio_map(box.fd, iova, box.spare, s->call.pages * page(), MAP_RW)) {
		say("0");
		say_reach(&box, iova + s->call.pages * page() - 64, box.spare + s->call.pages * page() - 64);
	} else {
		say_ret(vfio_map(box.fd, iova, box.spare, s->call.pages * page(), MAP_RW));
	}
	box_close(&box);
}

/* The same at the end of the first range, where reserved IOVAs begin. */
static void run_reserved(const struct scenario *s)
{
	const struct vfio_iommu_type1_info_cap_iova_range *ranges;
	struct box box;

	if (!box_open(&box))
		return;
	ranges = iova_ranges(&box);
	if (!ranges)
		return;
	if (ranges->nr_iovas < 2)
		say_skip("this IOMMU reserves no IOVAs");
	else
		say_ret(vfio_map(box.fd, ranges->iova_ranges[0].end + 1 + s->call.page * page(), box.spare,
				 s->call.pages * page(), MAP_RW));
	box_close(&box);
}

/* From the page before the reserved IOVAs to the page behind them. */
static void run_over_reserved(const struct scenario *s)
{
	const struct vfio_iommu_type1_info_cap_iova_range *ranges;
	uint64_t start, bytes;
	struct box box;
	void *p;

	(void)s;
	if (!box_open(&box))
		return;
	ranges = iova_ranges(&box);
	if (!ranges)
		return;
	if (ranges->nr_iovas < 2) {
		say_skip("this IOMMU reserves no IOVAs");
		return;
	}
	start = ranges->iova_ranges[0].end + 1 - page();
	bytes = ranges->iova_ranges[1].start + page() - start;
	p = mem_alloc(bytes, MEM_SMALL);
	if (tap_expect(p, "memory"))
		say_ret(vfio_map(box.fd, start, p, bytes, MAP_RW));
	box_close(&box);
	mem_free(p, bytes);
}

/* The same page at two IOVAs. */
static void run_twice(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	say_map(&box, box.mem, page(), MAP_RW);
	say_reach(&box, IOVA2, box.mem);
	say_unmap(&box, IOVA, MAPPED_PAGES * page(), 0);
	say_reach(&box, IOVA2, box.mem);
	say("%lld pinned", pins(2));
	box_close(&box);
}

/* Memory in two containers of one process. */
static void run_two_containers(const struct scenario *s)
{
	struct rig second;
	struct held before;
	struct box box;

	(void)s;
	if (!box_open_bare(&box) || !rig_open_type(&second, VFIO_EDU1, container_type()))
		return;
	before = held_now();
	tap_expect_ret(vfio_map(box.fd, IOVA, box.mem, MAPPED_PAGES * page(), MAP_RW), 0, "MAP");
	say_change(&before);
	before = held_now();
	say_ret(vfio_map(second.container, IOVA, box.mem, MAPPED_PAGES * page(), MAP_RW));
	say_change(&before);
	say("%s", edu_reaches(&second.edu, IOVA, box.mem, 64, fresh_seed()) ? "reached" : "not reached");
	say_unmap(&box, IOVA, MAPPED_PAGES * page(), 0);
	say("%s", edu_reaches(&second.edu, IOVA, box.mem, 64, fresh_seed()) ? "reached" : "not reached");
	rig_close(&second);
	say("%lld pinned", pins(0));
	box_close(&box);
}

/* A device that comes later finds what is mapped. */
static void run_second_group(const struct scenario *s)
{
	struct rig second;
	struct held before;
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	before = held_now();
	if (!rig_join(&second, VFIO_EDU1, box.fd))
		return;
	say("%s", edu_reaches(&second.edu, IOVA, box.mem, 64, fresh_seed()) ? "reached" : "not reached");
	say_change(&before);
	rig_close(&second);
	box_close(&box);
}

#define MAP_FROM(where) .run = run_type1_call, .call.nr = CALL_MAP, .call.place = (where)
#define MAP_CALL MAP_FROM(AT_SPARE)
#define ONE_PAGE .call.pages = 1, .call.flags = MAP_RW
#define AT(address) .call.iova = (address)
#define OVERFLOWS .upstream = "EINVAL", .since = KERNEL(6, 18), .newer = "EOVERFLOW", .ours = "EOVERFLOW", .verdict = NEWER, \
	.why = "newer kernels tell a range that wraps from others"
#define OVER_FROM(where) .run = run_overlap, .call.nr = CALL_MAP, .call.place = (where), .call.flags = MAP_RW
#define OVER OVER_FROM(AT_SPARE)
#define ONE_CHARGE "an address space pays for its memory once"

static const struct scenario maps[] = {
	{ .name = "map", .what = "MAP of 16 pages", MAP_CALL, AT(IOVA2), .call.pages = SPARE_PAGES, .call.flags = MAP_RW,
	  .upstream = "0, +16 pinned, +16 charged" },
	{ .name = "map-argsz", .what = "MAP, argsz too small; argsz larger than the struct", .run = run_argsz, .upstream = "EINVAL, 0" },
	{ .name = "map-no-flags", .what = "MAP without flags", MAP_CALL, AT(IOVA2), .call.pages = 1, .upstream = "EINVAL" },
	{ .name = "map-flags-unknown", .what = "MAP with an unknown flag", MAP_CALL, AT(IOVA2), .call.pages = 1, .call.flags = MAP_RW | 1u << 31,
	  .upstream = "EINVAL" },
	{ .name = "map-vaddr-flag", .what = "MAP with VFIO_DMA_MAP_FLAG_VADDR where nothing is mapped", MAP_CALL, AT(IOVA2), .call.pages = 1,
	  .call.flags = VFIO_DMA_MAP_FLAG_VADDR, .upstream = "ENOENT", .ours = "EINVAL", .verdict = LEFT_OUT,
	  .why = "a flag of VFIO_UPDATE_VADDR, which is not offered" },
	{ .name = "map-vaddr-flag-mapped", .what = "the same over a mapping", MAP_CALL, AT(IOVA), .call.pages = MAPPED_PAGES,
	  .call.flags = VFIO_DMA_MAP_FLAG_VADDR, .upstream = "EINVAL" },
	{ .name = "map-vaddr-flag-read", .what = "MAP with VFIO_DMA_MAP_FLAG_VADDR and _READ", MAP_CALL, AT(IOVA2), .call.pages = 1,
	  .call.flags = VFIO_DMA_MAP_FLAG_VADDR | MAP_RO, .upstream = "EINVAL" },
	{ .name = "map-read-only", .what = "MAP for reading: what the device can do", .run = run_permissions, .call.flags = MAP_RO,
	  .upstream = "0, +1 pinned, +1 charged, read" },
	{ .name = "map-read-write", .what = "MAP for both", .run = run_permissions, .call.flags = MAP_RW,
	  .upstream = "0, +1 pinned, +1 charged, read and write" },
	{ .name = "map-size-0", .what = "MAP, size 0", MAP_CALL, AT(IOVA2), .call.flags = MAP_RW, .upstream = "EINVAL" },
	{ .name = "map-vaddr-unaligned", .what = "MAP, unaligned vaddr", MAP_CALL, AT(IOVA2), ONE_PAGE, .call.byte = 8, .upstream = "EINVAL" },
	{ .name = "map-size-unaligned", .what = "MAP, unaligned size", MAP_CALL, AT(IOVA2), ONE_PAGE, .call.bytes = 8, .upstream = "EINVAL" },
	{ .name = "map-iova-unaligned", .what = "MAP, unaligned iova", MAP_CALL, AT(IOVA2 + 8), ONE_PAGE, .upstream = "EINVAL" },
	{ .name = "map-iova-wraps", .what = "MAP whose IOVAs wrap around", MAP_CALL, AT(-WPAGE), .call.pages = 2, .call.flags = MAP_RW, OVERFLOWS },
	{ .name = "map-vaddr-wraps", .what = "MAP whose addresses wrap around", MAP_FROM(AT_ZERO), AT(IOVA2), .call.page = -1,
	  .call.pages = 2, .call.flags = MAP_RW, OVERFLOWS },
	{ .name = "map-size-wraps", .what = "MAP, size the last page of all", MAP_CALL, AT(IOVA2), .call.pages = -1, .call.flags = MAP_RW, OVERFLOWS },
	{ .name = "map-wraps-unaligned", .what = "MAP whose IOVAs wrap around, unaligned", MAP_CALL, AT(-WPAGE + 8), .call.pages = 2,
	  .call.flags = MAP_RW, OVERFLOWS },
	{ .name = "map-wraps-no-flags", .what = "MAP whose IOVAs wrap around, without flags", MAP_CALL, AT(-WPAGE), .call.pages = 2, OVERFLOWS },
	{ .name = "map-last-page", .what = "MAP at the last page of all IOVAs", MAP_CALL, AT(-WPAGE), ONE_PAGE, .upstream = "EINVAL" },
	{ .name = "map-over-same", .what = "MAP over exactly a mapping; DMA to that", OVER, AT(IOVA), .call.pages = MAPPED_PAGES,
	  .upstream = "EEXIST, reached" },
	{ .name = "map-over-head", .what = "MAP over a mapping's first pages", OVER, AT(IOVA - 4 * WPAGE), .call.pages = 8, .upstream = "EEXIST, reached" },
	{ .name = "map-over-tail", .what = "MAP over a mapping's last page", OVER, AT(IOVA + 7 * WPAGE), .call.pages = 8, .upstream = "EEXIST, reached" },
	{ .name = "map-over-middle", .what = "MAP inside a mapping", OVER, AT(IOVA + 3 * WPAGE), .call.pages = 1, .upstream = "EEXIST, reached" },
	{ .name = "map-over-all", .what = "MAP around a mapping", OVER, AT(IOVA - WPAGE), .call.pages = 16, .upstream = "EEXIST, reached" },
	{ .name = "map-before", .what = "MAP right before a mapping", OVER, AT(IOVA - 4 * WPAGE), .call.pages = 4,
	  .upstream = "0, +4 pinned, +4 charged, reached" },
	{ .name = "map-behind", .what = "MAP right behind a mapping", OVER, AT(IOVA + 8 * WPAGE), .call.pages = 4,
	  .upstream = "0, +4 pinned, +4 charged, reached" },
	{ .name = "map-over-no-memory", .what = "MAP over a mapping, of addresses where nothing is", OVER_FROM(AT_HOLE), AT(IOVA),
	  .call.pages = 1, .upstream = "EEXIST, reached" },
	{ .name = "map-aperture-last", .what = "MAP of the last page that GET_INFO offers", .run = run_aperture, .call.page = -1, .call.pages = 1,
	  .upstream = "0, reached" },
	{ .name = "map-aperture-behind", .what = "MAP of the page behind it", .run = run_aperture, .call.pages = 1, .upstream = "EINVAL" },
	{ .name = "map-aperture-over", .what = "MAP of both", .run = run_aperture, .call.page = -1, .call.pages = 2, .upstream = "EINVAL" },
	{ .name = "map-reserved", .what = "MAP of a reserved page", .run = run_reserved, .call.pages = 1, .upstream = "EINVAL" },
	{ .name = "map-reserved-into", .what = "MAP from the page before into the reserved ones", .run = run_reserved, .call.page = -1,
	  .call.pages = 2, .upstream = "EINVAL" },
	{ .name = "map-reserved-before", .what = "MAP up to the reserved ones", .run = run_reserved, .call.page = -2, .call.pages = 2, .upstream = "0" },
	{ .name = "map-reserved-over", .what = "MAP from before the reserved ones to behind them", .run = run_over_reserved, .upstream = "EINVAL" },
	{ .name = "map-twice", .what = "MAP of a mapped page at another IOVA; UNMAP of the first mapping", .run = run_twice,
	  .upstream = "0, +1 pinned, +1 charged, reached, 0, 8 pages, reached, 2 pinned",
	  .ours = "0, reached, 0, 8 pages, reached, 9 pinned", .verdict = FIXED,
	  .why = ONE_CHARGE "; it stays as a whole as long as a part is mapped" },
	{ .name = "map-two-containers", .what = "MAP of the same 8 pages in two containers; UNMAP in the first; close of the second",
	  .run = run_two_containers,
	  .upstream = "+8 pinned, +8 charged, 0, +8 pinned, +8 charged, reached, 0, 8 pages, reached, 0 pinned",
	  .ours = "+8 pinned, +8 charged, 0, reached, 0, 8 pages, reached, 0 pinned", .verdict = FIXED, .why = ONE_CHARGE },
	{ .name = "map-second-group", .what = "a group that is added later: its device, pins, charge", .run = run_second_group, .upstream = "reached" },
};

const struct scenario_group group_type1_map = { "MAP", maps, COUNT(maps) };
