// SPDX-License-Identifier: GPL-2.0
/* Types 1 and 3: UNMAP, where the two differ. */
#include <string.h>
#include <sys/mman.h>

#include "meter.h"
#include "type1_box.h"

#define ALL VFIO_DMA_UNMAP_FLAG_ALL
#define SECOND_PAGE 20		/* from IOVA: where a second mapping of 4 pages is, of @spare */
#define SECOND_IOVA (IOVA + SECOND_PAGE * page())
#define SECOND_PAGES 4

static void run_argsz(const struct scenario *s)
{
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap) - 1, .iova = IOVA, .size = MAPPED_PAGES * page() };
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	say_ret(vfio_ioctl(box.fd, VFIO_IOMMU_UNMAP_DMA, &unmap));
	unmap.argsz = sizeof(unmap) + 1000;
	say_ret(vfio_ioctl(box.fd, VFIO_IOMMU_UNMAP_DMA, &unmap));
	box_close(&box);
}

/* A part of a mapping; what the device can do to its first page and its last. */
static void run_part(const struct scenario *s)
{
	struct held before;
	struct box box;

	if (!box_open(&box))
		return;
	before = held_now();
	say_unmap(&box, s->call.iova, s->call.pages * page(), 0);
	say_change(&before);
	say("%s", device_writes(&box, IOVA, box.mem) ? "reached" : "not reached");
	say("%s", device_writes(&box, IOVA + (MAPPED_PAGES - 1) * page(), box.mem + (MAPPED_PAGES - 1) * page()) ? "reached" : "not reached");
	box_close(&box);
}

/* Of two mappings with a hole between them; whether the device reaches the first and the second. */
static void run_two(const struct scenario *s)
{
	struct box box;

	if (!box_open(&box))
		return;
	tap_expect_ret(vfio_map(box.fd, SECOND_IOVA, box.spare, SECOND_PAGES * page(), MAP_RW), 0, "MAP");
	say_unmap(&box, IOVA + s->call.page * page(), s->call.pages * page(), 0);
	say("%s", device_writes(&box, IOVA, box.mem) ? "reached" : "not reached");
	say("%s", device_writes(&box, SECOND_IOVA, box.spare) ? "reached" : "not reached");
	box_close(&box);
}

/* Of memory that is not there any more. */
static void run_no_memory(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	munmap(box.mem, MAPPED_PAGES * page());
	say("%lld pinned", pins(MAPPED_PAGES + 1));
	say_unmap(&box, IOVA, MAPPED_PAGES * page(), 0);
	say("%lld pinned", pins(1));
	box_close(&box);
}

static void run_read_only(const struct scenario *s)
{
	struct vfio_iommu_type1_dma_unmap *unmap;
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	unmap = (void *)box.spare;
	*unmap = (struct vfio_iommu_type1_dma_unmap){ .argsz = sizeof(*unmap), .iova = IOVA, .size = MAPPED_PAGES * page() };
	mprotect(box.spare, page(), PROT_READ);
	say_ret(vfio_ioctl(box.fd, VFIO_IOMMU_UNMAP_DMA, unmap));
	say("%lld pinned", pins(1));
	box_close(&box);
}

/* What a refused call leaves in the field where the size unmapped would be. */
static void run_refused_size(const struct scenario *s)
{
	uint64_t size;
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	say_ret(type1_unmap(box.fd, IOVA + 8, MAPPED_PAGES * page(), 0, &size));
	say("%s", size == MAPPED_PAGES * page() ? "size as it was" : "size changed");
	box_close(&box);
}

/* The flag of VFIO_UPDATE_VADDR, and the mapping put right again. */
static void run_vaddr(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	say_unmap(&box, IOVA, MAPPED_PAGES * page(), VFIO_DMA_UNMAP_FLAG_VADDR);
	say_reach(&box, IOVA, box.mem);
	say_ret(vfio_map(box.fd, IOVA, box.mem, MAPPED_PAGES * page(), VFIO_DMA_MAP_FLAG_VADDR));
	box_close(&box);
}

#define UNMAP_CALL .run = run_type1_call, .call.nr = CALL_UNMAP
#define PART(first, n) .run = run_part, .call.iova = IOVA + (first) * WPAGE, .call.pages = (n)
#define TWO(first, n) .run = run_two, .call.page = (first), .call.pages = (n)
#define OVERFLOWS .upstream = "EINVAL", .since = KERNEL(6, 18), .newer = "EOVERFLOW", .ours = "EOVERFLOW", .verdict = NEWER, \
	.why = "newer kernels tell a range that wraps from others"
#define UNMAPPED_8 "0, 8 pages, -8 pinned, -8 charged"
#define UNMAPPED_9 "0, 9 pages, -9 pinned, -9 charged"

static const struct scenario unmaps[] = {
	{ .name = "unmap", .what = "UNMAP of a mapping of 8 pages; DMA to its first and last page", PART(0, 8),
	  .upstream = UNMAPPED_8 ", not reached, not reached" },
	{ .name = "unmap-argsz", .what = "UNMAP, argsz too small; argsz larger than the struct", .run = run_argsz, .upstream = "EINVAL, 0" },
	{ .name = "unmap-flags-unknown", .what = "UNMAP with an unknown flag", UNMAP_CALL, .call.iova = IOVA, .call.pages = 8,
	  .call.flags = 1u << 31, .upstream = "EINVAL" },
	{ .name = "unmap-size-0", .what = "UNMAP, size 0", UNMAP_CALL, .call.iova = IOVA, .upstream = "EINVAL" },
	{ .name = "unmap-size-unaligned", .what = "UNMAP, unaligned size", UNMAP_CALL, .call.iova = IOVA, .call.pages = 8, .call.bytes = 8,
	  .upstream = "EINVAL" },
	{ .name = "unmap-iova-unaligned", .what = "UNMAP, unaligned iova", UNMAP_CALL, .call.iova = IOVA + 8, .call.pages = 8, .upstream = "EINVAL" },
	{ .name = "unmap-refused-size", .what = "a refused UNMAP: its field for the size unmapped", .run = run_refused_size,
	  .upstream = "EINVAL, size as it was" },
	{ .name = "unmap-wraps", .what = "UNMAP that wraps around", UNMAP_CALL, .call.iova = IOVA, .call.pages = -1, OVERFLOWS },
	{ .name = "unmap-wraps-behind", .what = "UNMAP of two pages at the last page of all IOVAs", UNMAP_CALL, .call.iova = -WPAGE,
	  .call.pages = 2, OVERFLOWS },
	{ .name = "unmap-wraps-unaligned", .what = "UNMAP that wraps around, unaligned", UNMAP_CALL, .call.iova = IOVA + 8, .call.pages = -1,
	  .upstream = "EINVAL" },
	{ .name = "unmap-nothing", .what = "UNMAP where nothing is mapped", UNMAP_CALL, .call.iova = IOVA2, .call.pages = 16, .upstream = "0, 0 pages" },
	{ .name = "unmap-beyond", .what = "UNMAP behind the IOMMU's last address", UNMAP_CALL, .call.iova = 1ull << 60, .call.pages = 16,
	  .upstream = "0, 0 pages" },
	{ .name = "unmap-last-page", .what = "UNMAP of the last page of all IOVAs", UNMAP_CALL, .call.iova = -WPAGE, .call.pages = 1,
	  .upstream = "0, 0 pages" },
	{ .name = "unmap-all-but-last", .what = "UNMAP of all IOVAs but the last page", UNMAP_CALL, .call.pages = -1, .upstream = UNMAPPED_9 },
	{ .name = "unmap-all-but-first", .what = "UNMAP of all IOVAs but the first page", UNMAP_CALL, .call.iova = WPAGE, .call.pages = -1,
	  .upstream = "0, 0 pages", .since = KERNEL(6, 18), .newer = UNMAPPED_9, .ours = UNMAPPED_9, .verdict = NEWER,
	  .why = "older kernels' sums overflow" },
	{ .name = "unmap-first-half", .what = "UNMAP of a mapping's first half; DMA to its first and last page", PART(0, 4),
	  .upstream = "v1: " UNMAPPED_8 ", not reached, not reached; v2: EINVAL, reached, reached" },
	{ .name = "unmap-second-half", .what = "UNMAP of its second half", PART(4, 4),
	  .upstream = "v1: 0, 0 pages, reached, reached; v2: EINVAL, reached, reached" },
	{ .name = "unmap-middle", .what = "UNMAP of its middle", PART(2, 4),
	  .upstream = "v1: 0, 0 pages, reached, reached; v2: EINVAL, reached, reached" },
	{ .name = "unmap-over-head", .what = "UNMAP from before it into it", PART(-4, 8),
	  .upstream = "v1: " UNMAPPED_8 ", not reached, not reached; v2: EINVAL, reached, reached" },
	{ .name = "unmap-over-tail", .what = "UNMAP from inside it to behind it", PART(4, 8),
	  .upstream = "v1: 0, 0 pages, reached, reached; v2: EINVAL, reached, reached" },
	{ .name = "unmap-around", .what = "UNMAP of more than it on both sides", PART(-4, 16), .upstream = UNMAPPED_8 ", not reached, not reached" },
	{ .name = "unmap-two", .what = "UNMAP of two mappings and the hole between them; DMA to the first and the second", TWO(0, 24),
	  .upstream = "0, 12 pages, not reached, not reached" },
	{ .name = "unmap-into-second", .what = "UNMAP of the first and a part of the second", TWO(0, 22),
	  .upstream = "v1: 0, 12 pages, not reached, not reached; v2: EINVAL, reached, reached" },
	{ .name = "unmap-from-first", .what = "UNMAP of a part of the first and of the second", TWO(2, 22),
	  .upstream = "v1: 0, 0 pages, reached, reached; v2: EINVAL, reached, reached" },
	{ .name = "unmap-no-memory", .what = "pins after munmap() of mapped memory; UNMAP; pins", .run = run_no_memory,
	  .upstream = "9 pinned, 0, 8 pages, 1 pinned" },
	{ .name = "unmap-read-only", .what = "UNMAP that cannot write its answer; pins", .run = run_read_only, .upstream = "EFAULT, 1 pinned" },
	{ .name = "unmap-flag-all", .what = "UNMAP with VFIO_DMA_UNMAP_FLAG_ALL", UNMAP_CALL, .call.flags = ALL, .upstream = UNMAPPED_9 },
	{ .name = "unmap-flag-all-iova", .what = "the same with an iova", UNMAP_CALL, .call.flags = ALL, .call.iova = IOVA, .upstream = "EINVAL" },
	{ .name = "unmap-flag-all-size", .what = "the same with a size", UNMAP_CALL, .call.flags = ALL, .call.pages = 8, .upstream = "EINVAL" },
	{ .name = "unmap-flag-all-dirty", .what = "the same with _GET_DIRTY_BITMAP", UNMAP_CALL,
	  .call.flags = ALL | VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, .upstream = "EINVAL" },
	{ .name = "unmap-flag-vaddr", .what = "UNMAP with VFIO_DMA_UNMAP_FLAG_VADDR; DMA; MAP with VFIO_DMA_MAP_FLAG_VADDR", .run = run_vaddr,
	  .upstream = "0, 8 pages, reached, 0", .ours = "EINVAL, reached, EINVAL", .verdict = LEFT_OUT,
	  .why = "VFIO_UPDATE_VADDR is not offered" },
};

const struct scenario_group group_type1_unmap = { "UNMAP", unmaps, COUNT(unmaps) };
