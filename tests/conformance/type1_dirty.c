// SPDX-License-Identifier: GPL-2.0
/* Types 1 and 3: which pages a device may have written. The first version refuses all of it. */
#include <string.h>
#include <sys/mman.h>

#include "type1_box.h"

#define START VFIO_IOMMU_DIRTY_PAGES_FLAG_START
#define STOP VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP
#define GET VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP

/* What a scenario asks with: its call's iova and size, and of the bitmap page size, bytes and place. */
#define BITMAP_BYTES(n) .call.window = (n)
#define PAGE_SHIFT(n) .call.shift = (n)
#define KERNEL_POINTER 1u
#define NO_POINTER 2u

static uint64_t bits[8];

static struct type1_bitmap ask(const struct scenario *s, struct box *box)
{
	struct type1_bitmap bitmap = {
		.pgsize = s->call.shift ? 1ull << s->call.shift : page(),
		.bits = bits,
		.bits_bytes = s->call.window ? s->call.window : sizeof(bits),
	};

	memset(bits, 0, sizeof(bits));
	if (s->call.flags == KERNEL_POINTER)
		bitmap.bits = (void *)0xffff888000000000ull;
	else if (s->call.flags == NO_POINTER)
		bitmap.bits = box->hole;
	return bitmap;
}

/* All words up to the last one with bits. */
static void say_bits(void)
{
	size_t i, n = COUNT(bits);

	while (n && !bits[n - 1])
		n--;
	for (i = 0; i < n; i++)
		say("0x%llx", (unsigned long long)bits[i]);
	if (!n)
		say("no bits");
}

static void run_flags(const struct scenario *s)
{
	struct box box;

	if (!box_open(&box))
		return;
	if (s->call.page)
		tap_expect(type1_dirty(box.fd, s->call.page) <= 0, "the first call");
	say_ret(type1_dirty(box.fd, s->call.flags));
	box_close(&box);
}

static void run_argsz(const struct scenario *s)
{
	struct vfio_iommu_type1_dirty_bitmap arg = { .argsz = s->call.bytes, .flags = s->call.flags };
	struct box box;

	if (!box_open(&box))
		return;
	say_ret(vfio_ioctl(box.fd, VFIO_IOMMU_DIRTY_PAGES, &arg));
	box_close(&box);
}

/* GET_BITMAP without START; or after it, or after STOP. */
static void run_get(const struct scenario *s)
{
	struct type1_bitmap bitmap;
	struct box box;

	if (!box_open(&box))
		return;
	bitmap = ask(s, &box);
	if (s->call.page >= 1)
		tap_expect_ret(type1_dirty(box.fd, START), 0, "START");
	if (s->call.page >= 2)
		tap_expect_ret(type1_dirty(box.fd, STOP), 0, "STOP");
	say_ret(type1_dirty_bitmap(box.fd, s->call.iova, s->call.pages * page() + s->call.bytes, &bitmap));
	say_bits();
	box_close(&box);
}

/* Twice; does the first GET_BITMAP make pages clean? */
static void run_get_twice(const struct scenario *s)
{
	struct type1_bitmap bitmap;
	struct box box;
	int i;

	if (!box_open(&box))
		return;
	tap_expect_ret(type1_dirty(box.fd, START), 0, "START");
	for (i = 0; i < 2; i++) {
		bitmap = ask(s, &box);
		say_ret(type1_dirty_bitmap(box.fd, IOVA, MAPPED_PAGES * page(), &bitmap));
		say_bits();
	}
	box_close(&box);
}

/* Into a bitmap that has all bits set; the first 64 pages are a mapping of 8 and nothing. */
static void run_get_over(const struct scenario *s)
{
	struct type1_bitmap bitmap;
	struct box box;

	if (!box_open(&box))
		return;
	bitmap = ask(s, &box);
	bits[0] = -1;
	tap_expect_ret(type1_dirty(box.fd, START), 0, "START");
	say_ret(type1_dirty_bitmap(box.fd, IOVA, 64 * page(), &bitmap));
	say_bits();
	box_close(&box);
}

/* Two mappings of a range, and a bitmap of which only the first page is there: the second one's bits are behind it. */
static void run_unmap_half(const struct scenario *s)
{
	const uint64_t far = IOVA + page() * 8 * page();
	uint64_t unmapped;
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	tap_expect_ret(type1_dirty(box.fd, START), 0, "START");
	tap_expect_ret(vfio_map(box.fd, far, box.spare, 4 * page(), MAP_RW), 0, "MAP");
	munmap(box.mem + page(), page());
	say_ret(type1_unmap_dirty(box.fd, IOVA, far + 4 * page() - IOVA,
				  &(struct type1_bitmap){ page(), box.mem, 2 * page() }, &unmapped));
	say("%lld pinned", pins(13));
	box_close(&box);
}

/* Mappings made after START, one for reading, with holes: 8 pages, 4 from page 12, 2 from page 100. */
static void run_get_several(const struct scenario *s)
{
	struct type1_bitmap bitmap;
	struct box box;

	if (!box_open(&box))
		return;
	tap_expect_ret(type1_dirty(box.fd, START), 0, "START");
	tap_expect_ret(vfio_map(box.fd, IOVA + 12 * page(), box.spare, 4 * page(), MAP_RO), 0, "MAP");
	tap_expect_ret(vfio_map(box.fd, IOVA + 100 * page(), box.spare + 4 * page(), 2 * page(), MAP_RW), 0, "MAP");
	bitmap = ask(s, &box);
	say_ret(type1_dirty_bitmap(box.fd, IOVA, 128 * page(), &bitmap));
	say_bits();
	box_close(&box);
}

static void run_unmap(const struct scenario *s)
{
	struct type1_bitmap bitmap;
	uint64_t unmapped;
	struct box box;
	int ret;

	if (!box_open(&box))
		return;
	bitmap = ask(s, &box);
	if (s->call.page)
		type1_dirty(box.fd, START);
	ret = type1_unmap_dirty(box.fd, s->call.iova, s->call.pages * page() + s->call.bytes, &bitmap, &unmapped);
	say_ret(ret);
	if (!ret)
		say("%llu pages", (unsigned long long)unmapped / page());
	say_bits();
	say("%lld pinned", pins(!ret && unmapped ? 1 : 9));
	box_close(&box);
}

static void run_unmap_argsz(const struct scenario *s)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, .iova = IOVA, .size = MAPPED_PAGES * page(),
	};
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	type1_dirty(box.fd, START);
	say_ret(vfio_ioctl(box.fd, VFIO_IOMMU_UNMAP_DMA, &unmap));
	box_close(&box);
}

#define V2 .type = VFIO_TYPE1v2_IOMMU
#define FLAGS(first, then) .run = run_flags, .call.page = (first), .call.flags = (then)
#define V1_REFUSES(answer) "v1: EACCES; v2: " answer
#define NOT_STARTED 0
#define STARTED 1
#define STOPPED 2
#define GET_BITMAP(when, at, n) V2, .run = run_get, .call.page = (when), .call.iova = (at), .call.pages = (n)
#define UNMAP_BITMAP(when, at, n) V2, .run = run_unmap, .call.page = (when), .call.iova = (at), .call.pages = (n)
#define REFUSED "EINVAL, no bits"
#define NOT_UNMAPPED "EINVAL, no bits, 9 pinned"
#define OVERFLOWS .upstream = REFUSED, .since = KERNEL(6, 18), .newer = "EOVERFLOW, no bits", .ours = "EOVERFLOW, no bits", \
	.verdict = NEWER, .why = "newer kernels tell a range that wraps from others"

static const struct scenario dirty[] = {
	{ .name = "dirty-start", .what = "DIRTY_PAGES START", FLAGS(0, START), .upstream = V1_REFUSES("0") },
	{ .name = "dirty-start-twice", .what = "START again", FLAGS(START, START), .upstream = V1_REFUSES("0") },
	{ .name = "dirty-stop", .what = "STOP", FLAGS(START, STOP), .upstream = V1_REFUSES("0") },
	{ .name = "dirty-stop-first", .what = "STOP without START", FLAGS(0, STOP), .upstream = V1_REFUSES("0") },
	{ .name = "dirty-no-flags", .what = "DIRTY_PAGES without flags", FLAGS(0, 0), .upstream = V1_REFUSES("EINVAL") },
	{ .name = "dirty-two-flags", .what = "START and STOP at once", FLAGS(0, START | STOP), .upstream = V1_REFUSES("EINVAL") },
	{ .name = "dirty-flags-unknown", .what = "an unknown flag", FLAGS(0, 1u << 31), .upstream = V1_REFUSES("EINVAL") },
	{ .name = "dirty-flags-unknown-too", .what = "START and an unknown flag", FLAGS(0, START | 1u << 31), .upstream = V1_REFUSES("EINVAL") },
	{ .name = "dirty-argsz", .what = "START, argsz too small", .run = run_argsz, .call = { .bytes = 7, .flags = START }, .upstream = V1_REFUSES("EINVAL") },
	{ .name = "dirty-argsz-range", .what = "GET_BITMAP, argsz without room for the range", .run = run_argsz, .call = { .bytes = 8, .flags = GET },
	  .upstream = V1_REFUSES("EINVAL") },
	{ .name = "dirty-get", .what = "GET_BITMAP after START", GET_BITMAP(STARTED, IOVA, 8), .upstream = "0, 0xff" },
	{ .name = "dirty-get-twice", .what = "GET_BITMAP twice", V2, .run = run_get_twice, .upstream = "0, 0xff, 0, 0xff" },
	{ .name = "dirty-get-not-started", .what = "GET_BITMAP without START", GET_BITMAP(NOT_STARTED, IOVA, 8), .upstream = REFUSED },
	{ .name = "dirty-get-stopped", .what = "GET_BITMAP after STOP", GET_BITMAP(STOPPED, IOVA, 8), .upstream = REFUSED },
	{ .name = "dirty-get-several", .what = "GET_BITMAP of 128 pages: mappings of 8, of 4 (for reading) at 12, of 2 at 100, made after START", V2,
	  .run = run_get_several, .upstream = "0, 0xf0ff, 0x3000000000" },
	{ .name = "dirty-get-more", .what = "GET_BITMAP from before a mapping to behind it", GET_BITMAP(STARTED, IOVA - 4 * WPAGE, 16),
	  .upstream = "0, 0xff0" },
	{ .name = "dirty-get-over", .what = "GET_BITMAP of 64 pages, 8 of them mapped, into a bitmap with all bits set", V2, .run = run_get_over,
	  .upstream = "0, 0xff", .ours = "0, 0xffffffffffffffff", .verdict = FIXED, .why = "bits of pages that are not mapped are nobody's" },
	{ .name = "dirty-get-part", .what = "GET_BITMAP of a mapping's first half", GET_BITMAP(STARTED, IOVA, 4), .upstream = REFUSED },
	{ .name = "dirty-get-tail", .what = "GET_BITMAP of its second half", GET_BITMAP(STARTED, IOVA + 4 * WPAGE, 4), .upstream = REFUSED },
	{ .name = "dirty-get-nothing", .what = "GET_BITMAP where nothing is mapped", GET_BITMAP(STARTED, IOVA2, 8), .upstream = "0, no bits" },
	{ .name = "dirty-get-size-0", .what = "GET_BITMAP, size 0", GET_BITMAP(STARTED, IOVA, 0), .upstream = REFUSED },
	{ .name = "dirty-get-size", .what = "GET_BITMAP, unaligned size", GET_BITMAP(STARTED, IOVA, 8), .call.bytes = 8, .upstream = REFUSED },
	{ .name = "dirty-get-iova", .what = "GET_BITMAP, unaligned iova", GET_BITMAP(STARTED, IOVA + 8, 8), .upstream = REFUSED },
	{ .name = "dirty-get-wraps", .what = "GET_BITMAP that wraps around", GET_BITMAP(STARTED, -WPAGE, 2), OVERFLOWS },
	{ .name = "dirty-get-pages", .what = "GET_BITMAP, a bit for 8 KiB", GET_BITMAP(STARTED, IOVA, 8), PAGE_SHIFT(13), .upstream = REFUSED },
	{ .name = "dirty-get-short", .what = "GET_BITMAP, a bitmap that is too small", GET_BITMAP(STARTED, IOVA, 128), BITMAP_BYTES(8), .upstream = REFUSED },
	{ .name = "dirty-get-large", .what = "GET_BITMAP, a bitmap larger than GET_INFO allows", GET_BITMAP(STARTED, IOVA, 8),
	  BITMAP_BYTES((1ull << 28) + 8), .upstream = REFUSED },
	{ .name = "dirty-get-no-bitmap", .what = "GET_BITMAP, a bitmap that is not there", GET_BITMAP(STARTED, IOVA, 8), .call.flags = NO_POINTER,
	  .upstream = "EFAULT, no bits" },
	{ .name = "dirty-get-kernel", .what = "GET_BITMAP, a bitmap at an address of the kernel's", GET_BITMAP(STARTED, IOVA, 8),
	  .call.flags = KERNEL_POINTER, .upstream = REFUSED },
	{ .name = "dirty-unmap", .what = "UNMAP with _GET_DIRTY_BITMAP; pins", UNMAP_BITMAP(STARTED, IOVA, 8), .upstream = "0, 8 pages, 0xff, 1 pinned" },
	{ .name = "dirty-unmap-v1", .what = "the same in a container of type 1", .type = VFIO_TYPE1_IOMMU, .run = run_unmap,
	  .call = { .page = STARTED, .iova = IOVA, .pages = 8 }, .upstream = NOT_UNMAPPED },
	{ .name = "dirty-unmap-not-started", .what = "the same without START", UNMAP_BITMAP(NOT_STARTED, IOVA, 8), .upstream = NOT_UNMAPPED },
	{ .name = "dirty-unmap-more", .what = "UNMAP with it of more than the mapping", UNMAP_BITMAP(STARTED, IOVA - 4 * WPAGE, 16),
	  .upstream = "0, 8 pages, 0xff0, 1 pinned" },
	{ .name = "dirty-unmap-part", .what = "UNMAP with it of a part", UNMAP_BITMAP(STARTED, IOVA, 4), .upstream = NOT_UNMAPPED },
	{ .name = "dirty-unmap-nothing", .what = "UNMAP with it where nothing is mapped", UNMAP_BITMAP(STARTED, IOVA2, 8),
	  .upstream = "0, 0 pages, no bits, 9 pinned" },
	{ .name = "dirty-unmap-size-0", .what = "UNMAP with it, size 0", UNMAP_BITMAP(STARTED, IOVA, 0), .upstream = NOT_UNMAPPED },
	{ .name = "dirty-unmap-size", .what = "UNMAP with it, unaligned size", UNMAP_BITMAP(STARTED, IOVA, 8), .call.bytes = 8, .upstream = NOT_UNMAPPED },
	{ .name = "dirty-unmap-wraps", .what = "UNMAP with it that wraps around", UNMAP_BITMAP(STARTED, -WPAGE, 2), .upstream = NOT_UNMAPPED,
	  .since = KERNEL(6, 18), .newer = "EOVERFLOW, no bits, 9 pinned", .ours = "EOVERFLOW, no bits, 9 pinned", .verdict = NEWER,
	  .why = "newer kernels tell a range that wraps from others" },
	{ .name = "dirty-unmap-pages", .what = "UNMAP with it, a bit for 8 KiB", UNMAP_BITMAP(STARTED, IOVA, 8), PAGE_SHIFT(13), .upstream = NOT_UNMAPPED },
	{ .name = "dirty-unmap-short", .what = "UNMAP with it, a bitmap that is too small", UNMAP_BITMAP(STARTED, IOVA, 128), BITMAP_BYTES(8),
	  .upstream = NOT_UNMAPPED },
	{ .name = "dirty-unmap-large", .what = "UNMAP with it, a bitmap larger than GET_INFO allows", UNMAP_BITMAP(STARTED, IOVA, 8),
	  BITMAP_BYTES((1ull << 28) + 8), .upstream = NOT_UNMAPPED },
	{ .name = "dirty-unmap-no-bitmap", .what = "UNMAP with it, a bitmap that is not there", UNMAP_BITMAP(STARTED, IOVA, 8), .call.flags = NO_POINTER,
	  .upstream = "EFAULT, no bits, 9 pinned" },
	{ .name = "dirty-unmap-half-bitmap", .what = "UNMAP with it of two mappings, a bitmap that has room for the first only; pins", V2,
	  .run = run_unmap_half, .upstream = "EFAULT, 5 pinned", .ours = "EFAULT, 13 pinned", .verdict = FIXED,
	  .why = "a call that fails changes nothing" },
	{ .name = "dirty-unmap-kernel", .what = "UNMAP with it, a bitmap at an address of the kernel's", UNMAP_BITMAP(STARTED, IOVA, 8),
	  .call.flags = KERNEL_POINTER, .upstream = NOT_UNMAPPED },
	{ .name = "dirty-unmap-argsz", .what = "UNMAP with it, argsz without room for the bitmap", .run = run_unmap_argsz, .upstream = "EINVAL" },
};

const struct scenario_group group_type1_dirty = { "DIRTY_PAGES", dirty, COUNT(dirty) };
