// SPDX-License-Identifier: GPL-2.0
/* Windows: what GET_INFO promises, CREATE and REMOVE, their page sizes, their order. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "api.h"
#include "suite.h"

#define DEFAULT_BYTES DEFAULT_WINDOW_BYTES
/* QEMU's VT-d: 39 bits. */

void test_info(void)
{
	struct vfio_iommu_spapr_tce_info info;
	union {
		struct vfio_iommu_spapr_tce_info info;
		unsigned char bytes[64];
	} part;
	struct api a;
	size_t i;

	if (!api_open(&a))
		return;
	tap_expect_ret(spapr_get_info(a.fd, &info), 0, "GET_INFO");
	tap_expect_eq(info.flags, VFIO_IOMMU_SPAPR_INFO_DDW, "flags");
	tap_expect_eq(info.dma32_window_start, 0, "start of the default window");
	tap_expect_eq(info.dma32_window_size, DEFAULT_BYTES, "size of the default window");
	tap_expect_eq(info.ddw.max_dynamic_windows_supported, 2, "windows");
	tap_expect(info.ddw.levels >= 1, "levels");
	tap_diag("page sizes 0x%llx, up to %u levels", (unsigned long long)info.ddw.pgsizes,
		 info.ddw.levels);
	if (!a.tables)
		tap_expect_eq(info.ddw.pgsizes, (2ull << 30) - IOMMU_PAGE, "page sizes: the IOMMU's to 1 GiB");
	tap_expect(info.ddw.pgsizes & IOMMU_PAGE, "no windows of the IOMMU's pages");
	tap_expect(info.ddw.pgsizes & PAGE, "no windows of the CPU's pages");
	tap_expect(!(info.ddw.pgsizes & (IOMMU_PAGE - 1)), "pages of less than the IOMMU's");
	tap_step("a struct from before DDW gets no more than it has room for");
	memset(&part, 0xee, sizeof(part));
	part.info.argsz = offsetof(struct vfio_iommu_spapr_tce_info, ddw);
	tap_expect_ret(vfio_ioctl(a.fd, VFIO_IOMMU_SPAPR_TCE_GET_INFO, &part), 0, "GET_INFO");
	tap_expect_eq(part.info.dma32_window_size, DEFAULT_BYTES, "size of the default window");
	for (i = offsetof(struct vfio_iommu_spapr_tce_info, ddw); i < sizeof(part); i++)
		tap_expect_eq(part.bytes[i], 0xee, "byte %zu behind the struct", i);
	memset(&part, 0xee, sizeof(part));
	part.info.argsz = sizeof(part);
	tap_expect_ret(vfio_ioctl(a.fd, VFIO_IOMMU_SPAPR_TCE_GET_INFO, &part), 0, "GET_INFO, longer");
	for (i = sizeof(part.info); i < sizeof(part); i++)
		tap_expect_eq(part.bytes[i], 0xee, "byte %zu behind the struct", i);
	api_close(&a);
}

void test_create_refused(void)
{
	struct vfio_iommu_spapr_tce_info info;
	uint32_t shift;
	uint64_t start;
	struct api a;
	size_t i;

	if (!api_open(&a))
		return;
	tap_expect_ret(spapr_get_info(a.fd, &info), 0, "GET_INFO");
	for (shift = 0; shift < 64; shift++)
		if (!(info.ddw.pgsizes >> shift & 1))
			api_unchanged(spapr_create(a.fd, shift, shift < 20 ? MIB : 1ull << shift, 1, NULL),
				      -EINVAL, "CREATE, page shift %u", shift);
	const struct {
		const char *what;
		uint32_t shift;
		uint64_t size;
		uint32_t levels;
		int want;
	} rows[] = {
		{ "page shift 64", 64, MIB, 1, -EINVAL },
		{ "page shift 12 + 64", 76, MIB, 1, -EINVAL },
		{ "the largest page shift", UINT32_MAX, MIB, 1, -EINVAL },
		{ "size 0", IOMMU_SHIFT, 0, 1, -EINVAL },
		{ "a size that is no power of two", IOMMU_SHIFT, 3 * IOMMU_PAGE, 1, -EINVAL },
		{ "less than a page", IOMMU_SHIFT, IOMMU_PAGE / 2, 1, -EINVAL },
		{ "less than a page of 64 KiB", 16, IOMMU_PAGE, 1, -EINVAL },
		{ "the largest size", IOMMU_SHIFT, UINT64_MAX, 1, -EINVAL },
		{ "no level", IOMMU_SHIFT, MIB, 0, -EINVAL },
		{ "a level too many", IOMMU_SHIFT, MIB, info.ddw.levels + 1, -EINVAL },
		{ "many levels", IOMMU_SHIFT, MIB, UINT32_MAX, -EINVAL },
	};
	for (i = 0; i < SUITE_SIZE(rows); i++)
		api_unchanged(spapr_create(a.fd, rows[i].shift, rows[i].size, rows[i].levels, NULL),
			      rows[i].want, "CREATE, %s", rows[i].what);
	tap_step("none of them took a slot");
	tap_expect_ret(spapr_create(a.fd, IOMMU_SHIFT, MIB, 1, &start), 0, "CREATE");
	tap_expect(start == a.window1, "start of the second window: 0x%llx", (unsigned long long)start);
	api_unchanged(spapr_create(a.fd, IOMMU_SHIFT, MIB, 1, NULL), -ENOSPC, "a third window");
	api_unchanged(spapr_create(a.fd, IOMMU_SHIFT, 0, 1, NULL), -EINVAL, "a third window of size 0");
	api_close(&a);
}

void test_remove(void)
{
	struct meter_stats stats;
	uint64_t start;
	struct api a;

	if (!api_open(&a))
		return;
	tap_expect_ret(spapr_create(a.fd, IOMMU_SHIFT, 1ull << 30, 1, &start), 0, "CREATE");
	api_unchanged(spapr_remove(a.fd, PAGE), -EINVAL, "REMOVE inside the default window");
	api_unchanged(spapr_remove(a.fd, IOVA), -EINVAL, "REMOVE where something is mapped");
	api_unchanged(spapr_remove(a.fd, DEFAULT_BYTES), -EINVAL, "REMOVE behind the default window");
	api_unchanged(spapr_remove(a.fd, start + PAGE), -EINVAL, "REMOVE inside the second window");
	api_unchanged(spapr_remove(a.fd, UINT64_MAX), -EINVAL, "REMOVE of the last address");
	tap_step("REMOVE of a window with mappings unmaps them, and only them");
	tap_expect_ret(vfio_map(a.fd, start, a.mem, PAGE, VFIO_MAP_RW), 0, "MAP");
	tap_expect_ret(vfio_map(a.fd, start + MIB, a.mem, PAGE, VFIO_MAP_RW), 0, "MAP");
	tap_expect_ret(spapr_remove(a.fd, start), 0, "REMOVE");
	tap_expect_ret(meter_stats_read(&stats), 0, "counters");
	tap_expect_eq(stats.mapped_bytes, MAPPED_BYTES, "mapped bytes");
	api_unchanged(vfio_map(a.fd, start, a.mem, PAGE, VFIO_MAP_RW), -ENXIO, "MAP in no window");
	api_unchanged(vfio_unmap(a.fd, start, PAGE), -ENXIO, "UNMAP in no window");
	api_unchanged(spapr_remove(a.fd, start), -EINVAL, "REMOVE again");
	rig_expect_reach(&a.rig, IOVA, a.mem, "the default window");
	tap_step("REMOVE of the default window: its region can be unregistered");
	tap_expect_ret(spapr_remove(a.fd, 0), 0, "REMOVE");
	tap_expect_ret(spapr_unregister(a.fd, a.mem, REG_BYTES), 0, "UNREGISTER");
	tap_expect_eq(rig_pins(), 0, "pinned pages");
	tap_expect_ret(spapr_create(a.fd, IOMMU_SHIFT, DEFAULT_BYTES, 1, &start), 0, "CREATE");
	tap_expect_eq(start, 0, "start of the new first window");
	tap_expect_ret(vfio_hold(a.fd, TYPE7, a.mem, REG_BYTES, IOVA), 0, "REGISTER and MAP");
	api_close(&a);
}

static void window_of_pages(struct api *a, unsigned int shift, char *p, size_t bytes)
{
	const uint64_t page = 1ull << shift;
	uint64_t start;

	tap_step("a window of pages of 2^%u bytes", shift);
	if (!tap_expect_ret(spapr_create(a->fd, shift, 1ull << 32, 1, &start), 0, "CREATE"))
		return;
	if (page > IOMMU_PAGE) {
		api_unchanged(vfio_map(a->fd, start + IOMMU_PAGE, p, page, VFIO_MAP_RW), -EINVAL,
			      "iova no multiple of the page");
		api_unchanged(vfio_map(a->fd, start, p, IOMMU_PAGE, VFIO_MAP_RW), -EINVAL,
			      "size no multiple of the page");
		api_unchanged(vfio_unmap(a->fd, start, IOMMU_PAGE), -EINVAL,
			      "UNMAP, size no multiple of the page");
		api_unchanged(vfio_unmap(a->fd, start + IOMMU_PAGE, page), -EINVAL,
			      "UNMAP, iova no multiple of the page");
		api_unchanged(vfio_map(a->fd, start, p + IOMMU_PAGE, page, VFIO_MAP_RW), -EINVAL,
			      "vaddr no multiple of the page");
	}
	if (2 * page > bytes) {
		tap_diag("no memory is registered for two such pages: none mapped");
	} else if (a->tables && page > PAGE) {
		/* An entry is one address. */
		api_unchanged(vfio_map(a->fd, start + page, p, 2 * page, VFIO_MAP_RW), -EINVAL,
			      "MAP of memory in smaller pieces");
	} else {
		tap_expect_ret(vfio_map(a->fd, start + page, p, 2 * page, VFIO_MAP_RW), 0, "MAP");
		rig_expect_reach(&a->rig, start + 2 * page - 32, p + page - 32, "both pages");
		tap_expect_ret(vfio_unmap(a->fd, start + page, page), 0, "UNMAP of the first");
		rig_expect_reach(&a->rig, start + 2 * page, p + page, "the second");
	}
	tap_expect_ret(spapr_remove(a->fd, start), 0, "REMOVE");
}

void test_window_pages(void)
{
	static const unsigned int shifts[] = { 12, 13, 16, 21, 30 };
	struct vfio_iommu_spapr_tce_info info;
	const size_t bytes = 4 * MIB;
	struct api a;
	char *p;
	size_t i;

	if (!api_open(&a))
		return;
	/* Pages in any order. Where a window is a mere range its page size asks nothing of memory. */
	p = mem_alloc_scattered(bytes);
	if (!tap_expect(p, "memory") ||
	    !tap_expect_ret(spapr_get_info(a.fd, &info), 0, "GET_INFO") ||
	    !tap_expect_ret(spapr_register(a.fd, p, bytes), 0, "REGISTER"))
		return;
	for (i = 0; i < SUITE_SIZE(shifts); i++)
		if (info.ddw.pgsizes >> shifts[i] & 1)
			window_of_pages(&a, shifts[i], p, bytes);
	api_close(&a);
}

/* What DPDK does. A table of that many entries wants several levels. */
void test_window_huge(void)
{
	unsigned int aperture, levels;
	uint64_t start = 1, window, end;
	struct api a;

	if (!api_open(&a))
		return;
	/* 2^47 is what DPDK asks for; tables may be as large. */
	aperture = a.tables ? 47 : rig_aperture_bits();
	/* No window is larger than 2^63. */
	if (aperture > 63)
		aperture = 63;
	if (a.tables || aperture < 47)
		window = 1ull << 47;
	else
		window = 1ull << (aperture < 63 ? aperture + 1 : 63);
	levels = a.tables ? 3 : 1;
	end = 1ull << aperture;
	tap_expect_ret(spapr_remove(a.fd, 0), 0, "REMOVE of the default window");
	if (a.tables)
		api_unchanged(spapr_create(a.fd, IOMMU_SHIFT, window, 1, NULL), -ENOMEM,
			      "CREATE of 2^47 bytes with one level");
	tap_expect_ret(spapr_create(a.fd, IOMMU_SHIFT, window, levels, &start), 0, "CREATE of 2^47 bytes or more");
	tap_expect_eq(start, 0, "its start");
	tap_step("up to the end of what the IOMMU translates, and no further");
	tap_expect_ret(vfio_map(a.fd, IOVA, a.mem, MAPPED_BYTES, VFIO_MAP_RW), 0, "MAP below 4 GiB");
	tap_expect_ret(vfio_map(a.fd, end - PAGE, a.mem, PAGE, VFIO_MAP_RW), 0, "MAP at its end");
	rig_expect_reach(&a.rig, end - PAGE, a.mem, "the last page");
	if (end < window) {
		api_unchanged(vfio_map(a.fd, end, a.mem, PAGE, VFIO_MAP_RW), -ENXIO, "MAP behind it");
		api_unchanged(vfio_map(a.fd, end - PAGE, a.mem, 2 * PAGE, VFIO_MAP_RW), -ENXIO,
			      "MAP over its end");
	}
	api_unchanged(vfio_unmap(a.fd, window / 2, window / 4), 0, "UNMAP where nothing is");
	api_unchanged(vfio_map(a.fd, window - PAGE, a.mem, 2 * PAGE, VFIO_MAP_RW), -ENXIO,
		      "MAP over the window's end");
	tap_step("a second one lies behind it, a third one nowhere");
	tap_expect_ret(spapr_create(a.fd, IOMMU_SHIFT, MIB, 1, &start), 0, "CREATE");
	end = a.window1 > window ? a.window1 : window;
	tap_expect(start == end, "start of the second: 0x%llx", (unsigned long long)start);
	api_unchanged(spapr_create(a.fd, IOMMU_SHIFT, MIB, 1, NULL), -ENOSPC, "a third window");
	tap_step("all of it goes with one UNMAP");
	tap_expect_ret(vfio_unmap(a.fd, 0, window), 0, "UNMAP of the window");
	tap_expect_ret(spapr_unregister(a.fd, a.mem, REG_BYTES), 0, "UNREGISTER");
	tap_expect_ret(vfio_hold(a.fd, TYPE7, a.mem, REG_BYTES, IOVA), 0, "REGISTER and MAP");
	api_close(&a);
}

/* The largest windows there can be, where they cost nothing. */
static void largest_windows(struct api *a)
{
	uint64_t start;

	tap_expect_ret(spapr_create(a->fd, IOMMU_SHIFT, 1ull << 63, 1, &start), 0, "CREATE of 2^63");
	tap_expect_eq(start, 0, "start of the first");
	tap_expect_ret(spapr_create(a->fd, IOMMU_SHIFT, 1ull << 63, 1, &start), 0, "CREATE of 2^63");
	tap_expect(start == 1ull << 63, "start of the second: 0x%llx", (unsigned long long)start);
	if (rig_aperture_bits() < 64)
		api_unchanged(vfio_map(a->fd, -PAGE, a->mem, PAGE, VFIO_MAP_RW), -ENXIO, "MAP of the last page");
	api_unchanged(vfio_map(a->fd, -PAGE, a->mem, 2 * PAGE, VFIO_MAP_RW), -ENXIO, "MAP that wraps");
	api_unchanged(vfio_unmap(a->fd, -PAGE, PAGE), 0, "UNMAP of the last page");
	api_unchanged(vfio_unmap(a->fd, -PAGE, 2 * PAGE), -ENXIO, "UNMAP that wraps");
	tap_expect_ret(vfio_unmap(a->fd, 1ull << 63, 1ull << 63), 0, "UNMAP of the second window");
}

/* And where no platform makes them. */
static void too_large_windows(struct api *a)
{
	unsigned int shift;

	for (shift = 55; shift < 64; shift++)
		api_unchanged(spapr_create(a->fd, IOMMU_SHIFT, 1ull << shift, 5, NULL), -EINVAL,
			      "CREATE of 2^%u", shift);
	tap_expect_ret(spapr_create(a->fd, IOMMU_SHIFT, DEFAULT_BYTES, 1, NULL), 0, "CREATE");
}

void test_window_order(void)
{
	uint64_t start;
	struct api a;

	if (!api_open(&a))
		return;
	tap_step("the default window and a second one; then the first slot again");
	tap_expect_ret(spapr_create(a.fd, IOMMU_SHIFT, MIB, 1, &start), 0, "CREATE");
	tap_expect(start == a.window1, "start of the second: 0x%llx", (unsigned long long)start);
	tap_expect_ret(vfio_map(a.fd, start, a.mem, MIB > REG_BYTES ? REG_BYTES : MIB, VFIO_MAP_RW), 0,
		       "MAP");
	tap_expect_ret(spapr_remove(a.fd, 0), 0, "REMOVE of the default window");
	api_unchanged(spapr_create(a.fd, IOMMU_SHIFT, a.window1 * 2, 1, NULL), -ENOSPC,
		      "a first window that would reach into the second");
	tap_expect_ret(spapr_create(a.fd, 16, a.tables ? 1ull << 33 : a.window1, 1, &start), 0,
		       "CREATE of one that fits");
	tap_expect_eq(start, 0, "start of the first");
	rig_expect_reach(&a.rig, a.window1, a.mem, "the second window all the while");
	tap_step("the largest windows there can be");
	tap_expect_ret(spapr_remove(a.fd, 0), 0, "REMOVE");
	tap_expect_ret(spapr_remove(a.fd, a.window1), 0, "REMOVE");
	if (a.tables)
		too_large_windows(&a);
	else
		largest_windows(&a);
	tap_expect_ret(vfio_map(a.fd, IOVA, a.mem, MAPPED_BYTES, VFIO_MAP_RW), 0, "MAP");
	api_close(&a);
}

/* Of the page sizes up to 2 MiB, the @nr-th, from the start again behind the last. */
static unsigned int nth_shift(uint64_t pgsizes, unsigned int nr)
{
	unsigned int shift = 0;

	pgsizes &= (4 * MIB) - 1;
	for (nr %= __builtin_popcountll(pgsizes); ; shift++)
		if (pgsizes >> shift & 1 && !nr--)
			return shift;
}

void test_window_churn(void)
{
	struct vfio_iommu_spapr_tce_info info;
	struct api_state before;
	struct api a;
	uint64_t start;
	int i, ret;

	if (!api_open(&a) || !tap_expect_ret(spapr_get_info(a.fd, &info), 0, "GET_INFO"))
		return;
	api_state_read(&before);
	for (i = 0; i < 300; i++) {
		const unsigned int shift = nth_shift(info.ddw.pgsizes, i);
		const uint64_t bytes = PAGE << i % 7;

		/* Two levels keep tables of any of these sizes small. */
		tap_expect_ret(spapr_create(a.fd, shift, 1ull << (32 + i % 8), a.tables ? 2 : 1, &start),
			       0, "CREATE %d", i);
		ret = vfio_map(a.fd, start + 4 * MIB, a.mem, bytes, VFIO_MAP_RW);
		if (bytes % (1ull << shift))
			tap_expect_ret(ret, -EINVAL, "MAP %d", i);
		else if (a.tables && 1ull << shift > PAGE)
			/* Small pages one behind the other, or not. */
			tap_expect(!ret || ret == -EINVAL, "MAP %d: %s", i, tap_ret_name(ret));
		else
			tap_expect_ret(ret, 0, "MAP %d", i);
		tap_expect_ret(spapr_remove(a.fd, start), 0, "REMOVE %d", i);
		if (tap_failures())
			break;
	}
	api_state_expect(&before, "300 windows made, used and removed");
	api_close(&a);
}

/* Where writes of a device are interrupts: [*first, *last]; false: no such range. */
static bool msi_range(const char *bdf, uint64_t *first, uint64_t *last)
{
	unsigned long long a, b;
	char path[128];
	bool found = false;
	char type[32];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group/reserved_regions", bdf);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && fscanf(f, "%llx %llx %31s", &a, &b, type) == 3)
		found = !strcmp(type, "msi");
	fclose(f);
	*first = a;
	*last = b;
	return found;
}

/* The MSI range is a hole in a window that contains it. */
void test_reserved_iova(void)
{
	uint64_t first, last;
	struct api a;
	size_t i;

	if (!msi_range(VFIO_EDU0, &first, &last)) {
		tap_skip("this IOMMU reserves no range for interrupts");
		return;
	}
	if (!api_open(&a))
		return;
	tap_expect_ret(spapr_remove(a.fd, 0), 0, "REMOVE");
	tap_expect_ret(spapr_create(a.fd, IOMMU_SHIFT, 1ull << 33, 1, NULL), 0, "CREATE of 8 GiB");
	tap_expect_ret(vfio_map(a.fd, IOVA, a.mem, MAPPED_BYTES, VFIO_MAP_RW), 0, "MAP");
	const uint64_t end = last + 1;
	const struct {
		const char *what;
		uint64_t iova, size;
		int want;
	} rows[] = {
		{ "its first page", first, PAGE, -ENXIO },
		{ "its last page", end - PAGE, PAGE, -ENXIO },
		{ "over its start", first - PAGE, 2 * PAGE, -ENXIO },
		{ "over its end", end - PAGE, 2 * PAGE, -ENXIO },
	};
	for (i = 0; i < SUITE_SIZE(rows); i++)
		api_unchanged(vfio_map(a.fd, rows[i].iova, a.mem, rows[i].size, VFIO_MAP_RW),
			      rows[i].want, "MAP into the MSI range, %s", rows[i].what);
	tap_expect_ret(vfio_map(a.fd, first - PAGE, a.mem, PAGE, VFIO_MAP_RW), 0, "before it");
	tap_expect_ret(vfio_map(a.fd, end, a.mem + PAGE, PAGE, VFIO_MAP_RW), 0, "behind it");
	rig_expect_reach(&a.rig, first - PAGE, a.mem, "the page before the MSI range");
	rig_expect_reach(&a.rig, end, a.mem + PAGE, "the page behind the MSI range");
	tap_expect_ret(vfio_unmap(a.fd, first - MIB, 4 * MIB), 0, "UNMAP over the MSI range");
	api_close(&a);
}
