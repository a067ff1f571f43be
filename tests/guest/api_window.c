// SPDX-License-Identifier: GPL-2.0
/* Windows: what GET_INFO promises, CREATE and REMOVE, their page sizes, their order. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "api.h"
#include "suite.h"

#define DEFAULT_BYTES (2ull << 30)
#define MSI_START 0xfee00000ull
#define MSI_END 0xfef00000ull
/* QEMU's VT-d: 39 bits. */
#define APERTURE_END (1ull << 39)

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
	tap_expect_eq(info.ddw.levels, 1, "levels");
	tap_expect_eq(info.ddw.pgsizes, (2ull << 30) - PAGE, "page sizes: 4 KiB to 1 GiB");
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
	static const struct {
		const char *what;
		uint32_t shift;
		uint64_t size;
		uint32_t levels;
		int want;
	} rows[] = {
		{ "page shift 0", 0, MIB, 1, -EINVAL },
		{ "page shift 11", 11, MIB, 1, -EINVAL },
		{ "page shift 31", 31, 1ull << 32, 1, -EINVAL },
		{ "page shift 32", 32, 1ull << 33, 1, -EINVAL },
		{ "page shift 63", 63, 1ull << 63, 1, -EINVAL },
		{ "page shift 64", 64, MIB, 1, -EINVAL },
		{ "page shift 12 + 64", 76, MIB, 1, -EINVAL },
		{ "the largest page shift", UINT32_MAX, MIB, 1, -EINVAL },
		{ "size 0", 12, 0, 1, -EINVAL },
		{ "a size that is no power of two", 12, 3 * PAGE, 1, -EINVAL },
		{ "less than a page", 12, 2048, 1, -EINVAL },
		{ "less than a page of 64 KiB", 16, PAGE, 1, -EINVAL },
		{ "the largest size", 12, UINT64_MAX, 1, -EINVAL },
		{ "no level", 12, MIB, 0, -EINVAL },
		{ "two levels", 12, MIB, 2, -EINVAL },
		{ "many levels", 12, MIB, UINT32_MAX, -EINVAL },
	};
	uint64_t start;
	struct api a;
	size_t i;

	if (!api_open(&a))
		return;
	for (i = 0; i < SUITE_SIZE(rows); i++)
		api_unchanged(spapr_create(a.fd, rows[i].shift, rows[i].size, rows[i].levels, NULL),
			      rows[i].want, "CREATE, %s", rows[i].what);
	tap_step("none of them took a slot");
	tap_expect_ret(spapr_create(a.fd, 12, MIB, 1, &start), 0, "CREATE");
	tap_expect_eq(start, VFIO_WINDOW1_START, "start of the second window");
	api_unchanged(spapr_create(a.fd, 12, MIB, 1, NULL), -ENOSPC, "a third window");
	api_unchanged(spapr_create(a.fd, 12, 0, 1, NULL), -EINVAL, "a third window of size 0");
	api_close(&a);
}

void test_remove(void)
{
	struct meter_stats stats;
	uint64_t start;
	struct api a;

	if (!api_open(&a))
		return;
	tap_expect_ret(spapr_create(a.fd, 12, 1ull << 30, 1, &start), 0, "CREATE");
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
	tap_expect_ret(spapr_create(a.fd, 12, DEFAULT_BYTES, 1, &start), 0, "CREATE");
	tap_expect_eq(start, 0, "start of the new first window");
	tap_expect_ret(vfio_hold(a.fd, TYPE7, a.mem, REG_BYTES, IOVA), 0, "REGISTER and MAP");
	api_close(&a);
}

void test_window_pages(void)
{
	static const unsigned int shifts[] = { 12, 13, 16, 21, 30 };
	const size_t bytes = 4 * MIB;
	uint64_t start;
	struct api a;
	char *p;
	size_t i;

	if (!api_open(&a))
		return;
	/* 4 KiB pages in any order: a window's page size asks nothing of memory. */
	p = mem_alloc_scattered(bytes);
	if (!tap_expect(p, "memory") ||
	    !tap_expect_ret(spapr_register(a.fd, p, bytes), 0, "REGISTER"))
		return;
	for (i = 0; i < SUITE_SIZE(shifts); i++) {
		const uint64_t page = 1ull << shifts[i];

		tap_step("a window of pages of 2^%u bytes", shifts[i]);
		tap_expect_ret(spapr_create(a.fd, shifts[i], 1ull << 32, 1, &start), 0, "CREATE");
		if (page > PAGE) {
			api_unchanged(vfio_map(a.fd, start + PAGE, p, page, VFIO_MAP_RW), -EINVAL,
				      "iova no multiple of the page");
			api_unchanged(vfio_map(a.fd, start, p, PAGE, VFIO_MAP_RW), -EINVAL,
				      "size no multiple of the page");
			api_unchanged(vfio_unmap(a.fd, start, PAGE), -EINVAL,
				      "UNMAP, size no multiple of the page");
			api_unchanged(vfio_unmap(a.fd, start + PAGE, page), -EINVAL,
				      "UNMAP, iova no multiple of the page");
			api_unchanged(vfio_map(a.fd, start, p + PAGE, page, VFIO_MAP_RW), -EINVAL,
				      "vaddr no multiple of the page");
		}
		if (page <= MIB * 2) {
			tap_expect_ret(vfio_map(a.fd, start + page, p, 2 * page, VFIO_MAP_RW), 0, "MAP");
			rig_expect_reach(&a.rig, start + 2 * page - 32, p + page - 32, "both pages");
			tap_expect_ret(vfio_unmap(a.fd, start + page, page), 0, "UNMAP of the first");
			rig_expect_reach(&a.rig, start + 2 * page, p + page, "the second");
		}
		tap_expect_ret(spapr_remove(a.fd, start), 0, "REMOVE");
	}
	api_close(&a);
}

/* What DPDK does. */
void test_window_huge(void)
{
	uint64_t start = 1;
	struct api a;

	if (!api_open(&a))
		return;
	tap_expect_ret(spapr_remove(a.fd, 0), 0, "REMOVE of the default window");
	tap_expect_ret(spapr_create(a.fd, 12, 1ull << 47, 1, &start), 0, "CREATE of 2^47 bytes");
	tap_expect_eq(start, 0, "its start");
	tap_step("up to the end of what the IOMMU translates, and no further");
	tap_expect_ret(vfio_map(a.fd, IOVA, a.mem, MAPPED_BYTES, VFIO_MAP_RW), 0, "MAP below 4 GiB");
	tap_expect_ret(vfio_map(a.fd, APERTURE_END - PAGE, a.mem, PAGE, VFIO_MAP_RW), 0, "MAP at its end");
	rig_expect_reach(&a.rig, APERTURE_END - PAGE, a.mem, "the aperture's last page");
	api_unchanged(vfio_map(a.fd, APERTURE_END, a.mem, PAGE, VFIO_MAP_RW), -ENXIO,
		      "MAP behind the aperture");
	api_unchanged(vfio_map(a.fd, APERTURE_END - PAGE, a.mem, 2 * PAGE, VFIO_MAP_RW), -ENXIO,
		      "MAP over the aperture's end");
	api_unchanged(vfio_unmap(a.fd, APERTURE_END, 1ull << 46), 0, "UNMAP behind the aperture");
	api_unchanged(vfio_map(a.fd, (1ull << 47) - PAGE, a.mem, 2 * PAGE, VFIO_MAP_RW), -ENXIO,
		      "MAP over the window's end");
	tap_step("a second one lies behind it, a third one nowhere");
	tap_expect_ret(spapr_create(a.fd, 12, MIB, 1, &start), 0, "CREATE");
	tap_expect_eq(start, 1ull << 47, "start of the second");
	api_unchanged(spapr_create(a.fd, 12, MIB, 1, NULL), -ENOSPC, "a third window");
	tap_step("all of it goes with one UNMAP");
	tap_expect_ret(vfio_unmap(a.fd, 0, 1ull << 47), 0, "UNMAP of 2^47 bytes");
	tap_expect_ret(spapr_unregister(a.fd, a.mem, REG_BYTES), 0, "UNREGISTER");
	tap_expect_ret(vfio_hold(a.fd, TYPE7, a.mem, REG_BYTES, IOVA), 0, "REGISTER and MAP");
	api_close(&a);
}

void test_window_order(void)
{
	uint64_t start;
	struct api a;

	if (!api_open(&a))
		return;
	tap_step("the default window and a second one; then the first slot again");
	tap_expect_ret(spapr_create(a.fd, 12, MIB, 1, &start), 0, "CREATE");
	tap_expect_eq(start, VFIO_WINDOW1_START, "start of the second");
	tap_expect_ret(vfio_map(a.fd, start, a.mem, MIB > REG_BYTES ? REG_BYTES : MIB, VFIO_MAP_RW), 0,
		       "MAP");
	tap_expect_ret(spapr_remove(a.fd, 0), 0, "REMOVE of the default window");
	api_unchanged(spapr_create(a.fd, 12, VFIO_WINDOW1_START * 2, 1, NULL), -ENOSPC,
		      "a first window that would reach into the second");
	tap_expect_ret(spapr_create(a.fd, 16, VFIO_WINDOW1_START, 1, &start), 0,
		       "CREATE of one that just fits");
	tap_expect_eq(start, 0, "start of the first");
	rig_expect_reach(&a.rig, VFIO_WINDOW1_START, a.mem, "the second window all the while");
	tap_step("the largest windows there can be");
	tap_expect_ret(spapr_remove(a.fd, 0), 0, "REMOVE");
	tap_expect_ret(spapr_remove(a.fd, VFIO_WINDOW1_START), 0, "REMOVE");
	tap_expect_ret(spapr_create(a.fd, 12, 1ull << 63, 1, &start), 0, "CREATE of 2^63");
	tap_expect_eq(start, 0, "start of the first");
	tap_expect_ret(spapr_create(a.fd, 12, 1ull << 63, 1, &start), 0, "CREATE of 2^63");
	tap_expect(start == 1ull << 63, "start of the second: 0x%llx", (unsigned long long)start);
	api_unchanged(vfio_map(a.fd, -PAGE, a.mem, PAGE, VFIO_MAP_RW), -ENXIO, "MAP of the last page");
	api_unchanged(vfio_map(a.fd, -PAGE, a.mem, 2 * PAGE, VFIO_MAP_RW), -ENXIO, "MAP that wraps");
	api_unchanged(vfio_unmap(a.fd, -PAGE, PAGE), 0, "UNMAP of the last page");
	api_unchanged(vfio_unmap(a.fd, -PAGE, 2 * PAGE), -ENXIO, "UNMAP that wraps");
	tap_expect_ret(vfio_unmap(a.fd, 1ull << 63, 1ull << 63), 0, "UNMAP of the second window");
	tap_expect_ret(vfio_map(a.fd, IOVA, a.mem, MAPPED_BYTES, VFIO_MAP_RW), 0, "MAP");
	api_close(&a);
}

void test_window_churn(void)
{
	struct api_state before;
	struct api a;
	uint64_t start;
	int i;

	if (!api_open(&a))
		return;
	api_state_read(&before);
	for (i = 0; i < 300; i++) {
		tap_expect_ret(spapr_create(a.fd, 12 + i % 10, 1ull << (32 + i % 8), 1, &start), 0,
			       "CREATE %d", i);
		tap_expect_ret(vfio_map(a.fd, start + 4 * MIB, a.mem, PAGE << i % 7, VFIO_MAP_RW),
			       i % 7 < i % 10 ? -EINVAL : 0, "MAP %d", i);
		tap_expect_ret(spapr_remove(a.fd, start), 0, "REMOVE %d", i);
		if (tap_failures())
			break;
	}
	api_state_expect(&before, "300 windows made, used and removed");
	api_close(&a);
}

/* The MSI range is a hole in a window that contains it. */
void test_reserved_iova(void)
{
	struct api a;
	size_t i;

	if (!api_open(&a))
		return;
	tap_expect_ret(spapr_remove(a.fd, 0), 0, "REMOVE");
	tap_expect_ret(spapr_create(a.fd, 12, 1ull << 33, 1, NULL), 0, "CREATE of 8 GiB");
	tap_expect_ret(vfio_map(a.fd, IOVA, a.mem, MAPPED_BYTES, VFIO_MAP_RW), 0, "MAP");
	const struct {
		const char *what;
		uint64_t iova, size;
		int want;
	} rows[] = {
		{ "its first page", MSI_START, PAGE, -ENXIO },
		{ "its last page", MSI_END - PAGE, PAGE, -ENXIO },
		{ "over its start", MSI_START - PAGE, 2 * PAGE, -ENXIO },
		{ "over its end", MSI_END - PAGE, 2 * PAGE, -ENXIO },
	};
	for (i = 0; i < SUITE_SIZE(rows); i++)
		api_unchanged(vfio_map(a.fd, rows[i].iova, a.mem, rows[i].size, VFIO_MAP_RW),
			      rows[i].want, "MAP into the MSI range, %s", rows[i].what);
	tap_expect_ret(vfio_map(a.fd, MSI_START - PAGE, a.mem, PAGE, VFIO_MAP_RW), 0, "before it");
	tap_expect_ret(vfio_map(a.fd, MSI_END, a.mem + PAGE, PAGE, VFIO_MAP_RW), 0, "behind it");
	rig_expect_reach(&a.rig, MSI_START - PAGE, a.mem, "the page before the MSI range");
	rig_expect_reach(&a.rig, MSI_END, a.mem + PAGE, "the page behind the MSI range");
	tap_expect_ret(vfio_unmap(a.fd, MSI_START - MIB, 4 * MIB), 0, "UNMAP over the MSI range");
	api_close(&a);
}
