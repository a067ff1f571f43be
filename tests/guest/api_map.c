// SPDX-License-Identifier: GPL-2.0
/* MAP and UNMAP: what is refused, what is replaced, what is left of a mapping that loses a part. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "api.h"
#include "suite.h"

#define WINDOW_BYTES DEFAULT_WINDOW_BYTES
#define MAPPINGS_MAX "/sys/module/" PREREG_MODULE "/parameters/mappings_max"

static void expect_mapped(long long mappings, long long bytes, const char *what)
{
	struct meter_stats stats;

	tap_expect_ret(meter_stats_read(&stats), 0, "counters");
	tap_expect_eq(stats.mapped_bytes, bytes, "%s: mapped bytes", what);
	if (mappings >= 0)
		tap_expect_eq(stats.mappings, mappings, "%s: mappings", what);
}

void test_before_register(void)
{
	struct rig rig;
	char *p;

	if (!rig_open(&rig, VFIO_EDU0))
		return;
	p = mem_alloc(PAGE, MEM_SMALL);
	api_unchanged(vfio_map(rig.container, IOVA, p, PAGE, VFIO_MAP_RW), -EPERM, "MAP");
	api_unchanged(vfio_unmap(rig.container, IOVA, PAGE), -EPERM, "UNMAP");
	api_unchanged(spapr_unregister(rig.container, p, PAGE), -EPERM, "UNREGISTER");
	tap_step("a REGISTER that fails makes nobody the owner");
	api_unchanged(spapr_register(rig.container, p, 0), -EINVAL, "REGISTER");
	api_unchanged(spapr_register(rig.container, (void *)PAGE, PAGE), -EFAULT, "REGISTER");
	api_unchanged(vfio_map(rig.container, IOVA, p, PAGE, VFIO_MAP_RW), -EPERM, "MAP");
	tap_step("a CREATE does, and MAP still wants a REGISTER");
	tap_expect_ret(spapr_create(rig.container, IOMMU_SHIFT, MIB, 1, NULL), 0, "CREATE");
	api_unchanged(vfio_map(rig.container, IOVA, p, PAGE, VFIO_MAP_RW), -EPERM, "MAP");
	api_unchanged(vfio_unmap(rig.container, IOVA, PAGE), -EPERM, "UNMAP");
	api_unchanged(spapr_unregister(rig.container, p, PAGE), -ENOENT, "UNREGISTER");
	rig_close(&rig);
}

void test_map_refused(void)
{
	struct api a;
	char *mem;
	size_t i;

	if (!api_open(&a))
		return;
	mem = a.mem;
	/* A second region right behind the first. */
	api_map_fixed(mem + REG_BYTES, 8 * PAGE, PROT_READ | PROT_WRITE);
	tap_expect_ret(spapr_register(a.fd, mem + REG_BYTES, 8 * PAGE), 0, "REGISTER");
	const uint64_t m = (uintptr_t)mem, end = m + REG_BYTES;
	const struct {
		const char *what;
		uint64_t iova, vaddr, size;
		uint32_t flags;
		int want;
	} rows[] = {
		{ "right behind the window", WINDOW_BYTES, m, PAGE, VFIO_MAP_RW, -ENXIO },
		{ "where the second window would be", a.window1, m, PAGE, VFIO_MAP_RW, -ENXIO },
		{ "at the last page of all", -PAGE, m, PAGE, VFIO_MAP_RW, -ENXIO },
		{ "over the window's end", WINDOW_BYTES - PAGE, m, 2 * PAGE, VFIO_MAP_RW, -ENXIO },
		{ "that wraps", -PAGE, m, 2 * PAGE, VFIO_MAP_RW, -ENXIO },
		{ "that wraps from inside the window", IOVA, m, -PAGE, VFIO_MAP_RW, -ENXIO },
		{ "of unregistered memory", IOVA2, (uintptr_t)a.spare, PAGE, VFIO_MAP_RW, -EINVAL },
		{ "of nothing", IOVA2, 0, PAGE, VFIO_MAP_RW, -EINVAL },
		{ "of kernel memory", IOVA2, 0xffff888000000000ull, PAGE, VFIO_MAP_RW, -EINVAL },
		{ "of the page before a region", IOVA2, m - PAGE, PAGE, VFIO_MAP_RW, -EINVAL },
		{ "from before a region into it", IOVA2, m - PAGE, 2 * PAGE, VFIO_MAP_RW, -EINVAL },
		{ "over a region's end", IOVA2, end + 7 * PAGE, 2 * PAGE, VFIO_MAP_RW, -EINVAL },
		{ "over a region's end into the next", IOVA2, end - PAGE, 2 * PAGE, VFIO_MAP_RW, -EINVAL },
		{ "of a region and all of the next", IOVA2, m, REG_BYTES + 8 * PAGE, VFIO_MAP_RW, -EINVAL },
		{ "of a vaddr range that wraps", IOVA2, -PAGE, 2 * PAGE, VFIO_MAP_RW, -EINVAL },
		{ "without flags", IOVA2, m, PAGE, 0, -EINVAL },
		{ "with VFIO_DMA_MAP_FLAG_VADDR", IOVA2, m, PAGE,
		  VFIO_MAP_RW | VFIO_DMA_MAP_FLAG_VADDR, -EINVAL },
		{ "with an unknown flag only", IOVA2, m, PAGE, 1u << 31, -EINVAL },
		{ "of an unaligned vaddr", IOVA2, m + 8, PAGE, VFIO_MAP_RW, -EINVAL },
		{ "of an unaligned size", IOVA2, m, PAGE + 8, VFIO_MAP_RW, -EINVAL },
		{ "of less than a page", IOVA2, m, 8, VFIO_MAP_RW, -EINVAL },
		{ "at an unaligned iova", IOVA2 + 8, m, PAGE, VFIO_MAP_RW, -EINVAL },
		{ "of size 0", IOVA2, m, 0, VFIO_MAP_RW, -EINVAL },
		{ "of size 0 over a mapping", IOVA, m, 0, VFIO_MAP_RW, -EINVAL },
		{ "of unregistered memory over a mapping", IOVA, (uintptr_t)a.spare, PAGE,
		  VFIO_MAP_RW, -EINVAL },
		{ "that starts on a mapping and runs over a region's end", IOVA, end - PAGE, 2 * PAGE,
		  VFIO_MAP_RW, -EINVAL },
	};
	for (i = 0; i < SUITE_SIZE(rows); i++)
		api_unchanged(vfio_map(a.fd, rows[i].iova, (void *)rows[i].vaddr, rows[i].size,
				       rows[i].flags), rows[i].want, "MAP %s", rows[i].what);
	tap_step("the first and the last page of the window can be mapped");
	tap_expect_ret(vfio_map(a.fd, 0, mem, PAGE, VFIO_MAP_RW), 0, "the first page");
	tap_expect_ret(vfio_map(a.fd, WINDOW_BYTES - PAGE, mem + PAGE, PAGE, VFIO_MAP_RW), 0,
		       "the last page");
	rig_expect_reach(&a.rig, 0, mem, "IOVA 0");
	rig_expect_reach(&a.rig, WINDOW_BYTES - 64, mem + 2 * PAGE - 64, "the window's last bytes");
	api_close(&a);
}

void test_map_replaces(void)
{
	struct api a;

	if (!api_open(&a))
		return;
	expect_mapped(1, MAPPED_BYTES, "at first");
	tap_step("over exactly the same range, with other memory");
	tap_expect_ret(vfio_map(a.fd, IOVA, a.mem + 32 * PAGE, MAPPED_BYTES, VFIO_MAP_RW), 0, "MAP");
	expect_mapped(1, MAPPED_BYTES, "replaced");
	rig_expect_reach(&a.rig, IOVA, a.mem + 32 * PAGE, "the new memory");
	tap_step("over the middle of a mapping: three are left");
	tap_expect_ret(vfio_map(a.fd, IOVA + 8 * PAGE, a.mem, 4 * PAGE, VFIO_MAP_RW), 0, "MAP");
	expect_mapped(3, MAPPED_BYTES, "in the middle");
	rig_expect_reach(&a.rig, IOVA + 8 * PAGE, a.mem, "the new middle");
	rig_expect_reach(&a.rig, IOVA + 7 * PAGE, a.mem + 39 * PAGE, "the page before it");
	rig_expect_reach(&a.rig, IOVA + 12 * PAGE, a.mem + 44 * PAGE, "the page behind it");
	tap_step("over a mapping's end and the hole behind it");
	tap_expect_ret(vfio_map(a.fd, IOVA + 30 * PAGE, a.mem + 4 * PAGE, 4 * PAGE, VFIO_MAP_RW), 0,
		       "MAP");
	expect_mapped(4, MAPPED_BYTES + 2 * PAGE, "over the end");
	tap_step("over all of it, and more");
	tap_expect_ret(vfio_map(a.fd, IOVA - 4 * PAGE, a.mem, 48 * PAGE, VFIO_MAP_RW), 0, "MAP");
	expect_mapped(1, 48 * PAGE, "over all");
	rig_expect_reach(&a.rig, IOVA - 4 * PAGE, a.mem, "its first page");
	rig_expect_reach(&a.rig, IOVA + 43 * PAGE, a.mem + 47 * PAGE, "its last page");
	tap_step("a replaced mapping's region is free when nothing else maps it");
	tap_expect_ret(vfio_hold(a.fd, TYPE7, a.spare, 48 * PAGE, IOVA - 4 * PAGE), 0, "own others");
	tap_expect_ret(spapr_unregister(a.fd, a.mem, REG_BYTES), 0, "UNREGISTER of the replaced");
	tap_expect_ret(vfio_unmap(a.fd, IOVA - 4 * PAGE, 48 * PAGE), 0, "UNMAP");
	expect_mapped(0, 0, "at the end");
	tap_expect_ret(vfio_hold(a.fd, TYPE7, a.mem, REG_BYTES, IOVA), 0, "as it was");
	api_close(&a);
}

void test_unmap_refused(void)
{
	struct vfio_iommu_type1_dma_unmap arg = { .argsz = sizeof(arg) };
	struct api a;
	size_t i;

	if (!api_open(&a))
		return;
	const struct {
		const char *what;
		uint64_t iova, size;
		int want;
	} rows[] = {
		{ "behind the window", WINDOW_BYTES, PAGE, -ENXIO },
		{ "size 0 behind the window", WINDOW_BYTES, 0, -ENXIO },
		{ "over the window's end", WINDOW_BYTES - PAGE, 2 * PAGE, -ENXIO },
		{ "from a mapping over the window's end", IOVA, WINDOW_BYTES, -ENXIO },
		{ "that wraps", -PAGE, 2 * PAGE, -ENXIO },
		{ "that wraps from a mapping", IOVA, -PAGE, -ENXIO },
		{ "at an unaligned iova", IOVA + 8, PAGE, -EINVAL },
		{ "of an unaligned size", IOVA, PAGE + 8, -EINVAL },
		{ "of less than a page", IOVA, 8, -EINVAL },
		{ "of size 0", IOVA, 0, 0 },
		{ "of a hole", IOVA2, 16 * PAGE, 0 },
		{ "of the window's first page, a hole", 0, PAGE, 0 },
		{ "of the window's last page, a hole", WINDOW_BYTES - PAGE, PAGE, 0 },
		{ "of the page before a mapping", IOVA - PAGE, PAGE, 0 },
		{ "of the page behind a mapping", IOVA + MAPPED_BYTES, PAGE, 0 },
	};
	for (i = 0; i < SUITE_SIZE(rows); i++)
		api_unchanged(vfio_unmap(a.fd, rows[i].iova, rows[i].size), rows[i].want, "UNMAP %s",
			      rows[i].what);
	arg.flags = VFIO_DMA_UNMAP_FLAG_ALL;
	api_unchanged(vfio_ioctl(a.fd, VFIO_IOMMU_UNMAP_DMA, &arg), -EINVAL, "UNMAP all by flag");
	tap_step("DPDK's mistake: an UNMAP in a MAP's struct (iova 0, size the IOVA) is taken as it is");
	tap_expect_ret(vfio_unmap(a.fd, 0, IOVA), 0, "UNMAP of [0, IOVA)");
	expect_mapped(1, MAPPED_BYTES, "afterwards");
	tap_step("the whole window in one call");
	tap_expect_ret(vfio_map(a.fd, 0, a.mem, PAGE, VFIO_MAP_RW), 0, "MAP");
	tap_expect_ret(vfio_map(a.fd, WINDOW_BYTES - PAGE, a.mem, PAGE, VFIO_MAP_RW), 0, "MAP");
	tap_expect_ret(vfio_unmap(a.fd, 0, WINDOW_BYTES), 0, "UNMAP of the window");
	expect_mapped(0, 0, "afterwards");
	tap_expect_ret(vfio_map(a.fd, IOVA, a.mem, MAPPED_BYTES, VFIO_MAP_RW), 0, "MAP");
	api_close(&a);
}

void test_unmap_parts(void)
{
	struct api a;

	if (!api_open(&a))
		return;
	tap_step("start, end and middle of a mapping of 32 pages");
	tap_expect_ret(vfio_unmap(a.fd, IOVA, PAGE), 0, "UNMAP of its start");
	expect_mapped(1, 31 * PAGE, "without its start");
	tap_expect_ret(vfio_unmap(a.fd, IOVA + 31 * PAGE, PAGE), 0, "UNMAP of its end");
	expect_mapped(1, 30 * PAGE, "without its end");
	tap_expect_ret(vfio_unmap(a.fd, IOVA + 10 * PAGE, 5 * PAGE), 0, "UNMAP of its middle");
	expect_mapped(2, 25 * PAGE, "without its middle");
	rig_expect_reach(&a.rig, IOVA + PAGE, a.mem + PAGE, "the first page left");
	rig_expect_reach(&a.rig, IOVA + 10 * PAGE - 64, a.mem + 10 * PAGE - 64, "before the middle");
	rig_expect_reach(&a.rig, IOVA + 15 * PAGE, a.mem + 15 * PAGE, "behind the middle");
	rig_expect_reach(&a.rig, IOVA + 31 * PAGE - 64, a.mem + 31 * PAGE - 64, "the last page left");
	rig_expect_fault(&a.rig, IOVA + 12 * PAGE, true, "the middle");
	tap_step("a range over both rests and the hole between them");
	tap_expect_ret(vfio_unmap(a.fd, IOVA + 5 * PAGE, 20 * PAGE), 0, "UNMAP");
	expect_mapped(2, 10 * PAGE, "two rests");
	tap_step("the holes can be mapped again");
	tap_expect_ret(vfio_map(a.fd, IOVA, a.mem, MAPPED_BYTES, VFIO_MAP_RW), 0, "MAP");
	expect_mapped(1, MAPPED_BYTES, "whole again");
	api_close(&a);
}

void test_unmap_thp(void)
{
	const size_t bytes = 6 * MIB;
	struct api a;
	char *p;

	if (!api_open(&a))
		return;
	p = rig_own(&a.rig, bytes, MEM_THP, IOVA2);
	if (!p)
		return;
	tap_diag("%lld of %zu KiB are huge", mem_huge_kib(p), bytes >> 10);
	tap_step("a page out of the middle of a huge page");
	tap_expect_ret(vfio_unmap(a.fd, IOVA2 + 3 * MIB, PAGE), 0, "UNMAP of a page");
	expect_mapped(3, MAPPED_BYTES + bytes - PAGE, "without a page");
	rig_expect_reach(&a.rig, IOVA2 + 3 * MIB - 64, p + 3 * MIB - 64, "the page before it");
	rig_expect_reach(&a.rig, IOVA2 + 3 * MIB + PAGE, p + 3 * MIB + PAGE, "the page behind it");
	rig_expect_reach(&a.rig, IOVA2 + 2 * MIB, p + 2 * MIB, "the huge page's start");
	rig_expect_reach(&a.rig, IOVA2 + 4 * MIB - 64, p + 4 * MIB - 64, "the huge page's end");
	rig_expect_reach(&a.rig, IOVA2 + 2 * MIB - 64, p + 2 * MIB - 64, "the huge page before");
	rig_expect_reach(&a.rig, IOVA2 + 4 * MIB, p + 4 * MIB, "the huge page behind");
	rig_expect_fault(&a.rig, IOVA2 + 3 * MIB, true, "the unmapped page");
	tap_step("other memory into the middle of a huge page");
	tap_expect_ret(vfio_map(a.fd, IOVA2 + MIB, a.mem, PAGE, VFIO_MAP_RW), 0, "MAP");
	rig_expect_reach(&a.rig, IOVA2 + MIB, a.mem, "the other memory");
	rig_expect_reach(&a.rig, IOVA2 + MIB - 64, p + MIB - 64, "before it");
	rig_expect_reach(&a.rig, IOVA2 + MIB + PAGE, p + MIB + PAGE, "behind it");
	tap_step("over the boundary of two huge pages");
	tap_expect_ret(vfio_unmap(a.fd, IOVA2 + 4 * MIB - PAGE, MIB), 0, "UNMAP");
	rig_expect_reach(&a.rig, IOVA2 + 4 * MIB - PAGE - 64, p + 4 * MIB - PAGE - 64, "before it");
	rig_expect_reach(&a.rig, IOVA2 + 5 * MIB - PAGE, p + 5 * MIB - PAGE, "behind it");
	api_close(&a);
}

void test_unmap_gigabyte(void)
{
	const size_t bytes = 1024 * MIB;
	const uint64_t iova = 0x40000000;
	struct api a;
	char *p;

	if (meter_free_kib() < 1200 * 1024) {
		tap_skip("no gigabyte is free (%lld KiB)", meter_free_kib());
		return;
	}
	if (!api_open(&a))
		return;
	tap_step("one mapping of 1 GiB");
	p = rig_own(&a.rig, bytes, MEM_THP, iova);
	if (!p)
		return;
	expect_mapped(2, MAPPED_BYTES + bytes, "at first");
	tap_step("a page out of its middle");
	tap_expect_ret(vfio_unmap(a.fd, iova + 512 * MIB, PAGE), 0, "UNMAP of a page");
	expect_mapped(3, MAPPED_BYTES + bytes - PAGE, "without a page");
	rig_expect_reach(&a.rig, iova + 512 * MIB - 64, p + 512 * MIB - 64, "the page before it");
	rig_expect_reach(&a.rig, iova + 512 * MIB + PAGE, p + 512 * MIB + PAGE, "the page behind it");
	rig_expect_fault(&a.rig, iova + 512 * MIB, true, "the unmapped page");
	tap_step("half of what is left");
	tap_expect_ret(vfio_unmap(a.fd, iova + 256 * MIB, 512 * MIB), 0, "UNMAP of 512 MiB");
	expect_mapped(3, MAPPED_BYTES + 512 * MIB, "without the half");
	rig_expect_reach(&a.rig, iova, p, "its first bytes");
	rig_expect_reach(&a.rig, iova + 256 * MIB - 64, p + 256 * MIB - 64, "the first rest's end");
	rig_expect_reach(&a.rig, iova + 768 * MIB, p + 768 * MIB, "the second rest's start");
	rig_expect_reach(&a.rig, iova + bytes - 64, p + bytes - 64, "its last bytes");
	api_close(&a);
}

/* Where the CPU's pages are larger than the window's, parts of them are mapped and unmapped. */
void test_map_pieces(void)
{
	const uint64_t piece = IOMMU_PAGE;
	struct api a;

	if (PAGE == piece) {
		tap_skip("the CPU's pages are no larger than the window's");
		return;
	}
	if (!api_open(&a))
		return;
	tap_step("one piece out of the middle of a page");
	tap_expect_ret(vfio_map(a.fd, IOVA2, a.mem + 3 * piece, piece, VFIO_MAP_RW), 0, "MAP");
	expect_mapped(2, MAPPED_BYTES + piece, "a piece");
	rig_expect_reach(&a.rig, IOVA2 + piece - 64, a.mem + 4 * piece - 64, "the piece's end");
	rig_expect_fault(&a.rig, IOVA2 + piece, true, "behind the piece");
	api_unchanged(spapr_unregister(a.fd, a.mem, REG_BYTES), -EBUSY, "UNREGISTER");
	tap_step("over the boundary of two pages");
	tap_expect_ret(vfio_map(a.fd, IOVA2, a.mem + 2 * PAGE - piece, 2 * piece, VFIO_MAP_RW), 0,
		       "MAP");
	rig_expect_reach(&a.rig, IOVA2 + piece - 32, a.mem + 2 * PAGE - 32, "both sides");
	tap_step("unmapped out of the middle of a page");
	tap_expect_ret(vfio_unmap(a.fd, IOVA + PAGE + piece, piece), 0, "UNMAP");
	expect_mapped(3, MAPPED_BYTES + piece, "without a piece");
	rig_expect_reach(&a.rig, IOVA + PAGE + piece - 64, a.mem + PAGE + piece - 64, "before it");
	rig_expect_reach(&a.rig, IOVA + PAGE + 2 * piece, a.mem + PAGE + 2 * piece, "behind it");
	rig_expect_fault(&a.rig, IOVA + PAGE + piece, true, "the piece");
	tap_step("less than a piece, and memory in pieces, are refused");
	api_unchanged(vfio_map(a.fd, IOVA2, a.mem, piece / 2, VFIO_MAP_RW), -EINVAL, "half a piece");
	api_unchanged(spapr_register(a.fd, a.spare, piece), -EINVAL, "REGISTER of a piece");
	api_unchanged(spapr_register(a.fd, a.spare + piece, PAGE), -EINVAL,
		      "REGISTER of a page that begins at a piece");
	api_close(&a);
}

void test_mappings_max(void)
{
	/* A mapping counts once more for every 2 MiB of it; this one does not. */
	const size_t bytes = MAPPED_BYTES - PAGE;
	struct api a;
	char text[32];
	long long max;
	size_t i;

	if (!tap_expect_ret(meter_file_read(MAPPINGS_MAX, &max), 0, "read mappings_max") ||
	    !api_open(&a))
		return;
	tap_expect(max > 1000, "mappings_max is %lld", max);
	tap_expect_ret(vfio_unmap(a.fd, IOVA + bytes, PAGE), 0, "UNMAP of the last page");
	tap_expect_ret(meter_file_write(MAPPINGS_MAX, "4"), 0, "write mappings_max");
	for (i = 0; i < 3; i++)
		tap_expect_ret(vfio_map(a.fd, IOVA2 + 2 * i * PAGE, a.mem, PAGE, VFIO_MAP_RW), 0,
			       "mapping %zu", i + 2);
	api_unchanged(vfio_map(a.fd, IOVA2 + 8 * PAGE, a.mem, PAGE, VFIO_MAP_RW), -ENOSPC,
		      "a fifth mapping");
	tap_step("what takes mappings away works at the limit");
	tap_expect_ret(vfio_unmap(a.fd, IOVA2, PAGE), 0, "UNMAP");
	tap_expect_ret(vfio_map(a.fd, IOVA2 + 8 * PAGE, a.mem, PAGE, VFIO_MAP_RW), 0, "MAP");
	api_unchanged(vfio_map(a.fd, IOVA2 + 16 * PAGE, a.mem, PAGE, VFIO_MAP_RW), -ENOSPC,
		      "a fifth mapping");
	tap_expect_ret(vfio_unmap(a.fd, IOVA2, 64 * PAGE), 0, "UNMAP of three");
	expect_mapped(1, bytes, "one is left");
	tap_step("an UNMAP that cuts may go on to twice the limit");
	for (i = 0; i < 6; i++)
		tap_expect_ret(vfio_unmap(a.fd, IOVA + (1 + 2 * i) * PAGE, PAGE), 0, "cut %zu", i);
	expect_mapped(7, bytes - 6 * PAGE, "seven are left");
	/* It may leave a mapping in two that say what one said: their number is not looked at. */
	tap_expect_ret(vfio_unmap(a.fd, IOVA + 20 * PAGE, PAGE), -ENOSPC, "one more");
	expect_mapped(-1, bytes - 6 * PAGE, "nothing was unmapped");
	rig_expect_reach(&a.rig, IOVA + 20 * PAGE, a.mem + 20 * PAGE, "what was not unmapped");
	rig_expect_reach(&a.rig, IOVA + 30 * PAGE, a.mem + 30 * PAGE, "what is behind it");
	api_unchanged(vfio_map(a.fd, IOVA2, a.mem, PAGE, VFIO_MAP_RW), -ENOSPC, "a MAP");
	tap_expect_ret(vfio_unmap(a.fd, IOVA, MAPPED_BYTES), 0, "UNMAP of all");
	tap_expect_ret(vfio_map(a.fd, IOVA, a.mem, MAPPED_BYTES, VFIO_MAP_RW), 0, "MAP");
	snprintf(text, sizeof(text), "%lld", max);
	tap_expect_ret(meter_file_write(MAPPINGS_MAX, text), 0, "restore mappings_max");
	api_close(&a);
}
