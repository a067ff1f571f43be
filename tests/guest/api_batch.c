// SPDX-License-Identifier: GPL-2.0
/* VFIO_PREREG_BATCH: what is refused, that then nothing of it was done, and what is mapped when it is done. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "api.h"
#include "suite.h"
#include "type1.h"

#define WINDOW_BYTES DEFAULT_WINDOW_BYTES
#define MAPPINGS_MAX "/sys/module/" PREREG_MODULE "/parameters/mappings_max"
#define MAP VFIO_PREREG_BATCH_MAP
#define UNMAP VFIO_PREREG_BATCH_UNMAP

static struct vfio_prereg_batch_entry entry_map(uint64_t iova, const void *vaddr, uint64_t size)
{
	return (struct vfio_prereg_batch_entry){
		.iova = iova, .vaddr = (uintptr_t)vaddr, .size = size, .flags = VFIO_MAP_RW,
	};
}

static struct vfio_prereg_batch_entry entry_unmap(uint64_t iova, uint64_t size)
{
	return (struct vfio_prereg_batch_entry){ .iova = iova, .size = size };
}

static void expect_mapped(long long mappings, long long bytes, const char *what)
{
	struct meter_stats stats;

	tap_expect_ret(meter_stats_read(&stats), 0, "counters");
	tap_expect_eq(stats.mapped_bytes, bytes, "%s: mapped bytes", what);
	tap_expect_eq(stats.mappings, mappings, "%s: mappings", what);
}

/* It is done. */
static void expect_done(int fd, uint32_t flags, const struct vfio_prereg_batch_entry *entries, uint32_t n,
			const char *what)
{
	uint32_t refused;

	tap_expect_ret(vfio_batch(fd, flags, entries, n, &refused), 0, "%s", what);
	tap_expect_eq(refused, n, "%s: refused", what);
}

/* Entry number @entry is refused with @want, and nothing is changed. */
static void expect_refused(int fd, uint32_t flags, const struct vfio_prereg_batch_entry *entries, uint32_t n,
			   int want, uint32_t entry, const char *what)
{
	uint32_t refused;

	api_unchanged(vfio_batch(fd, flags, entries, n, &refused), want, "%s", what);
	tap_expect_eq(refused, entry, "%s: refused", what);
}

void test_batch_refused(void)
{
	struct vfio_prereg_batch_entry entries[6];
	struct api a;
	size_t i;

	if (!api_open(&a))
		return;
	const uint64_t m = (uintptr_t)a.mem, end = m + REG_BYTES;
	const struct {
		const char *what;
		struct vfio_prereg_batch_entry entry;
		int want;
	} rows[] = {
		{ "right behind the window", { WINDOW_BYTES, m, PAGE, VFIO_MAP_RW, 0 }, -ENXIO },
		{ "over the window's end", { WINDOW_BYTES - PAGE, m, 2 * PAGE, VFIO_MAP_RW, 0 }, -ENXIO },
		{ "that wraps", { IOVA2, m, -PAGE, VFIO_MAP_RW, 0 }, -ENXIO },
		{ "of unregistered memory", { IOVA2, (uintptr_t)a.spare, PAGE, VFIO_MAP_RW, 0 }, -EINVAL },
		{ "of kernel memory", { IOVA2, 0xffff888000000000ull, PAGE, VFIO_MAP_RW, 0 }, -EINVAL },
		{ "from before a region", { IOVA2, m - PAGE, 2 * PAGE, VFIO_MAP_RW, 0 }, -EINVAL },
		{ "over a region's end", { IOVA2, end - PAGE, 2 * PAGE, VFIO_MAP_RW, 0 }, -EINVAL },
		{ "of memory that wraps", { IOVA2, -PAGE, 2 * PAGE, VFIO_MAP_RW, 0 }, -EINVAL },
		{ "without flags", { IOVA2, m, PAGE, 0, 0 }, -EINVAL },
		{ "with a flag more", { IOVA2, m, PAGE, VFIO_MAP_RW | VFIO_DMA_MAP_FLAG_VADDR, 0 }, -EINVAL },
		{ "with something reserved", { IOVA2, m, PAGE, VFIO_MAP_RW, 1 }, -EINVAL },
		{ "of an unaligned vaddr", { IOVA2, m + 8, PAGE, VFIO_MAP_RW, 0 }, -EINVAL },
		{ "of an unaligned size", { IOVA2, m, PAGE + 8, VFIO_MAP_RW, 0 }, -EINVAL },
		{ "at an unaligned iova", { IOVA2 + 8, m, PAGE, VFIO_MAP_RW, 0 }, -EINVAL },
		{ "of size 0", { IOVA2, m, 0, VFIO_MAP_RW, 0 }, -EINVAL },
		{ "over what is mapped", { IOVA, m, PAGE, VFIO_MAP_RW, 0 }, -EEXIST },
		{ "over its end", { IOVA + MAPPED_BYTES - PAGE, m, 4 * PAGE, VFIO_MAP_RW, 0 }, -EEXIST },
		{ "around it", { IOVA - PAGE, m, MAPPED_BYTES + 2 * PAGE, VFIO_MAP_RW, 0 }, -EEXIST },
		{ "over the first entry", { IOVA2 + 16 * PAGE, m, PAGE, VFIO_MAP_RW, 0 }, -EEXIST },
		{ "over the end of the one before", { IOVA2 + 19 * PAGE, m, 2 * PAGE, VFIO_MAP_RW, 0 }, -EEXIST },
	};
	const struct {
		const char *what;
		struct vfio_prereg_batch_entry entry;
		int want;
	} unmap_rows[] = {
		{ "behind the window", { WINDOW_BYTES, 0, PAGE, 0, 0 }, -ENXIO },
		{ "over the window's end", { WINDOW_BYTES - PAGE, 0, 2 * PAGE, 0, 0 }, -ENXIO },
		{ "that wraps", { IOVA2, 0, -PAGE, 0, 0 }, -ENXIO },
		{ "at an unaligned iova", { IOVA2 + 8, 0, PAGE, 0, 0 }, -EINVAL },
		{ "of an unaligned size", { IOVA2, 0, PAGE + 8, 0, 0 }, -EINVAL },
		{ "of size 0", { IOVA2, 0, 0, 0, 0 }, -EINVAL },
		{ "with a vaddr", { IOVA2, m, PAGE, 0, 0 }, -EINVAL },
		{ "with flags", { IOVA2, 0, PAGE, VFIO_MAP_RW, 0 }, -EINVAL },
		{ "with something reserved", { IOVA2, 0, PAGE, 0, 1 }, -EINVAL },
		{ "of a mapping's first page", { IOVA, 0, PAGE, 0, 0 }, -EINVAL },
		{ "of a mapping's last page", { IOVA + MAPPED_BYTES - PAGE, 0, PAGE, 0, 0 }, -EINVAL },
		{ "of its middle", { IOVA + PAGE, 0, PAGE, 0, 0 }, -EINVAL },
		{ "of its start and a hole", { IOVA - PAGE, 0, 2 * PAGE, 0, 0 }, -EINVAL },
		{ "of its end and a hole", { IOVA + PAGE, 0, MAPPED_BYTES, 0, 0 }, -EINVAL },
	};

	tap_step("a MAP's fifth entry, and then a sixth that is no better");
	for (i = 0; i < 4; i++)
		entries[i] = entry_map(IOVA2 + (16 + i) * PAGE, a.mem + 2 * i * PAGE, PAGE);
	entries[5] = (struct vfio_prereg_batch_entry){ .reserved = 1 };
	for (i = 0; i < SUITE_SIZE(rows); i++) {
		entries[4] = rows[i].entry;
		expect_refused(a.fd, MAP, entries, 5, rows[i].want, 4, rows[i].what);
		expect_refused(a.fd, MAP, entries, 6, rows[i].want, 4, rows[i].what);
	}
	tap_step("an UNMAP's second entry");
	entries[0] = entry_unmap(IOVA, MAPPED_BYTES);
	for (i = 0; i < SUITE_SIZE(unmap_rows); i++) {
		entries[1] = unmap_rows[i].entry;
		expect_refused(a.fd, UNMAP, entries, 2, unmap_rows[i].want, 1, unmap_rows[i].what);
	}
	api_close(&a);
}

void test_batch_arguments(void)
{
	struct vfio_prereg_batch arg = { .argsz = sizeof(arg), .flags = MAP, .nentries = 2 };
	struct vfio_prereg_batch_entry entry;
	struct rig rig;
	uint32_t flags;
	struct api a;
	char *page;

	tap_step("before there is an owner");
	if (!rig_open(&rig, VFIO_EDU0))
		return;
	entry = entry_map(IOVA, NULL, PAGE);
	expect_refused(rig.container, MAP, &entry, 1, -EPERM, 1, "MAP");
	entry = entry_unmap(IOVA, PAGE);
	expect_refused(rig.container, UNMAP, &entry, 1, -EPERM, 1, "UNMAP");
	rig_close(&rig);

	if (!api_open(&a))
		return;
	tap_step("a MAP or an UNMAP, and nothing else");
	entry = entry_map(IOVA2, a.mem, PAGE);
	for (flags = 0; flags < 16; flags++)
		if (flags != MAP && flags != UNMAP)
			api_unchanged(vfio_batch(a.fd, flags, &entry, 1, NULL), -EINVAL, "flags %u", flags);
	tap_step("none, and too many");
	expect_done(a.fd, MAP, NULL, 0, "no MAP");
	expect_done(a.fd, UNMAP, NULL, 0, "no UNMAP");
	expect_refused(a.fd, MAP, &entry, VFIO_PREREG_BATCH_MAX + 1, -E2BIG, VFIO_PREREG_BATCH_MAX + 1,
		       "one too many");
	expect_refused(a.fd, UNMAP, &entry, UINT32_MAX, -E2BIG, UINT32_MAX, "far too many");
	tap_step("entries that are not there, or not all");
	page = api_hole(4 * PAGE);
	api_map_fixed(page, PAGE, PROT_READ | PROT_WRITE);
	memcpy(page + PAGE - sizeof(entry), &entry, sizeof(entry));
	expect_refused(a.fd, MAP, (void *)(page + PAGE - sizeof(entry)), 2, -EFAULT, 2, "the second one is not");
	expect_refused(a.fd, MAP, (void *)(page + 2 * PAGE), 1, -EFAULT, 1, "none is");
	expect_refused(a.fd, UNMAP, (void *)0xffff888000000000ul, 1, -EFAULT, 1, "kernel memory");
	expect_done(a.fd, MAP, (void *)(page + PAGE - sizeof(entry)), 1, "the first one is");
	entry = entry_unmap(IOVA2, PAGE);
	expect_done(a.fd, UNMAP, &entry, 1, "UNMAP of it");
	tap_step("an answer that cannot be written");
	arg.nentries = 1;
	arg.entries = (uintptr_t)page + PAGE - sizeof(entry);
	memcpy(page, &arg, sizeof(arg));
	mprotect(page, PAGE, PROT_READ);
	api_unchanged(vfio_ioctl(a.fd, VFIO_PREREG_BATCH, page), -EFAULT, "a MAP that would be fine");
	mprotect(page, PAGE, PROT_READ | PROT_WRITE);
	tap_expect_ret(vfio_ioctl(a.fd, VFIO_PREREG_BATCH, page), 0, "the same, writable");
	expect_done(a.fd, UNMAP, &entry, 1, "UNMAP of it");
	tap_step("too many mappings: the sum counts, and who is too many is told");
	{
		struct vfio_prereg_batch_entry many[8];
		char text[32];
		long long max;
		size_t i;

		for (i = 0; i < 8; i++)
			many[i] = entry_map(IOVA2 + 2 * i * PAGE, a.mem, PAGE);
		tap_expect_ret(meter_file_read(MAPPINGS_MAX, &max), 0, "read mappings_max");
		tap_expect_ret(vfio_unmap(a.fd, IOVA, MAPPED_BYTES), 0, "UNMAP of all");
		tap_expect_ret(meter_file_write(MAPPINGS_MAX, "6"), 0, "write mappings_max");
		expect_refused(a.fd, MAP, many, 8, -ENOSPC, 6, "eight of six");
		expect_done(a.fd, MAP, many, 6, "six of six");
		snprintf(text, sizeof(text), "%lld", max);
		tap_expect_ret(meter_file_write(MAPPINGS_MAX, text), 0, "restore mappings_max");
		many[0] = entry_unmap(0, WINDOW_BYTES);
		expect_done(a.fd, UNMAP, many, 1, "UNMAP of the window");
		tap_expect_ret(vfio_map(a.fd, IOVA, a.mem, MAPPED_BYTES, VFIO_MAP_RW), 0, "as it was");
	}
	if (!type1_unfit()) {
		tap_step("a container of type 3 has no such call");
		if (!rig_open_type(&rig, VFIO_EDU1, VFIO_TYPE1v2_IOMMU))
			return;
		api_unchanged(vfio_batch(rig.container, MAP, &entry, 1, NULL), -ENOTTY, "BATCH");
		tap_expect_ret(vfio_check_extension(rig.container, VFIO_PREREG_EXTENSION),
			       VFIO_PREREG_HAS_KEEP | VFIO_PREREG_HAS_INFO, "VFIO_PREREG_EXTENSION");
		rig_close(&rig);
	}
	api_close(&a);
}

/* A mapping of many sorts, then all that one call may do to it; what the device sees of that, each time. */
static void batch_dma(void)
{
	struct vfio_prereg_batch_entry entries[4];
	struct rig second;
	struct api a;

	if (!api_open(&a) || !rig_join(&second, VFIO_EDU1, a.fd))
		return;
	tap_step("three places, in no order, by one call");
	entries[0] = entry_map(IOVA2 + MIB, a.mem + 40 * PAGE, 2 * PAGE);
	entries[1] = entry_map(IOVA2, a.mem + 50 * PAGE, PAGE);
	entries[2] = entry_map(IOVA2 + PAGE, a.mem + 60 * PAGE, PAGE);
	expect_done(a.fd, MAP, entries, 3, "MAP");
	expect_mapped(4, MAPPED_BYTES + 4 * PAGE, "mapped");
	rig_expect_reach(&a.rig, IOVA2 + MIB + PAGE, a.mem + 41 * PAGE, "the first place");
	rig_expect_reach(&a.rig, IOVA2, a.mem + 50 * PAGE, "the second place");
	rig_expect_reach(&second, IOVA2 + PAGE, a.mem + 60 * PAGE, "the third place, by the other device");
	tap_step("all or nothing: the last of four is refused, and the device reaches none of them");
	entries[0] = entry_map(IOVA2 + 2 * MIB, a.mem, PAGE);
	entries[1] = entry_map(IOVA2 + 3 * MIB, a.mem, PAGE);
	entries[2] = entry_map(IOVA2 + 2 * PAGE, a.mem, PAGE);
	entries[3] = entry_map(IOVA2 + MIB + PAGE, a.mem, PAGE);
	expect_refused(a.fd, MAP, entries, 4, -EEXIST, 3, "MAP");
	rig_expect_fault(&a.rig, IOVA2 + 2 * MIB, true, "the first entry's page");
	rig_expect_fault(&second, IOVA2 + 2 * PAGE, true, "the third entry's page");
	rig_expect_reach(&a.rig, IOVA2 + MIB + PAGE, a.mem + 41 * PAGE, "what was mapped there");
	tap_step("an UNMAP whose last entry would cut a mapping takes nothing away");
	entries[0] = entry_unmap(IOVA2, PAGE);
	entries[1] = entry_unmap(IOVA, MAPPED_BYTES);
	entries[2] = entry_unmap(IOVA2 + MIB, PAGE);
	expect_refused(a.fd, UNMAP, entries, 3, -EINVAL, 2, "UNMAP");
	rig_expect_reach(&a.rig, IOVA2, a.mem + 50 * PAGE, "the first entry's page");
	rig_expect_reach(&second, IOVA, a.mem, "the second entry's page");
	tap_step("three places and a hole, by one call: what is left is left");
	entries[1] = entry_unmap(IOVA2 + MIB - PAGE, 4 * PAGE);
	entries[2] = entry_unmap(IOVA + 16 * MIB, PAGE);
	expect_done(a.fd, UNMAP, entries, 3, "UNMAP");
	expect_mapped(2, MAPPED_BYTES + PAGE, "unmapped");
	rig_expect_fault(&a.rig, IOVA2, true, "the first place");
	rig_expect_fault(&second, IOVA2 + MIB + PAGE, true, "the second place");
	rig_expect_reach(&a.rig, IOVA2 + PAGE, a.mem + 60 * PAGE, "the third place");
	rig_close(&second);
	api_close(&a);
}

void test_batch_dma(void)
{
	batch_dma();
}

/* The same, where each of the two devices has page tables of its own. */
void test_batch_domains(void)
{
	api_own_domains(batch_dma);
}

/* All of a huge page in one call, in pages: each can go alone, so the IOMMU must not have a huge page for them. */
void test_batch_thp(void)
{
	const uint32_t n = 2 * MIB / PAGE;
	struct vfio_prereg_batch_entry *entries = calloc(n + 1, sizeof(*entries));
	const size_t bytes = 4 * MIB;
	struct api a;
	uint32_t i;
	char *p;

	if (!entries || !api_open(&a))
		return;
	p = mem_alloc(bytes, MEM_THP);
	if (!tap_expect(p, "memory") || !tap_expect_ret(spapr_register(a.fd, p, bytes), 0, "REGISTER"))
		return;
	tap_diag("%lld of %zu KiB are huge", mem_huge_kib(p), bytes >> 10);
	for (i = 0; i < n; i++)
		entries[i] = entry_map(IOVA2 + i * PAGE, p + i * PAGE, PAGE);
	entries[n] = entry_map(IOVA2 + 2 * MIB, p + 2 * MIB, 2 * MIB);
	expect_done(a.fd, MAP, entries, n + 1, "MAP");
	expect_mapped(n + 2, MAPPED_BYTES + bytes, "in pages");
	tap_step("a page out of the middle, by a single call; its neighbours stay");
	tap_expect_ret(vfio_unmap(a.fd, IOVA2 + MIB, PAGE), 0, "UNMAP");
	rig_expect_fault(&a.rig, IOVA2 + MIB, true, "the page");
	rig_expect_reach(&a.rig, IOVA2 + MIB - 64, p + MIB - 64, "the page before it");
	rig_expect_reach(&a.rig, IOVA2 + MIB + PAGE, p + MIB + PAGE, "the page behind it");
	rig_expect_reach(&a.rig, IOVA2, p, "the first page");
	tap_step("every other one by one call");
	for (i = 0; i < n / 2; i++)
		entries[i] = entry_unmap(IOVA2 + 2 * i * PAGE, PAGE);
	expect_done(a.fd, UNMAP, entries, n / 2, "UNMAP");
	expect_mapped(2 + n / 2, MAPPED_BYTES + MIB + 2 * MIB, "every other one");
	rig_expect_fault(&a.rig, IOVA2 + 2 * MIB - 2 * PAGE, true, "an even page");
	rig_expect_reach(&a.rig, IOVA2 + 2 * MIB - PAGE, p + 2 * MIB - PAGE, "an odd page");
	rig_expect_reach(&a.rig, IOVA2 + 4 * MIB - 64, p + 4 * MIB - 64, "the huge page behind");
	tap_step("the rest");
	entries[0] = entry_unmap(IOVA2, bytes);
	expect_done(a.fd, UNMAP, entries, 1, "UNMAP");
	expect_mapped(1, MAPPED_BYTES, "the rest");
	rig_expect_fault(&a.rig, IOVA2 + 4 * MIB - PAGE, true, "the huge page's end");
	tap_expect_ret(spapr_unregister(a.fd, p, bytes), 0, "UNREGISTER");
	mem_free(p, bytes);
	free(entries);
	api_close(&a);
}

/* As many as one call takes, of memory in single pages, in an order that is none. */
void test_batch_most(void)
{
	const uint64_t page = IOMMU_PAGE;
	const uint32_t n = VFIO_PREREG_BATCH_MAX;
	struct vfio_prereg_batch_entry *entries = calloc(n, sizeof(*entries));
	const size_t bytes = 8 * MIB;
	uint64_t start, ns;
	struct api a;
	uint32_t i;
	char *p;

	if (!entries || !api_open(&a))
		return;
	p = mem_alloc_scattered(bytes);
	if (!tap_expect(p, "memory") || !tap_expect_ret(spapr_register(a.fd, p, bytes), 0, "REGISTER"))
		return;
	for (i = 0; i < n; i++)
		entries[i] = entry_map(IOVA2 + i * 40503ull % n * page, p + i * page % bytes, page);
	start = meter_now_ns();
	expect_done(a.fd, MAP, entries, n, "MAP");
	ns = meter_now_ns() - start;
	tap_diag("MAP of %u, in no order: %llu ms", n, (unsigned long long)ns / 1000000);
	expect_mapped(1 + n, MAPPED_BYTES + (long long)(n * page), "mapped");
	for (i = 1; i < n; i += n / 4)
		rig_expect_reach(&a.rig, IOVA2 + i * 40503ull % n * page, p + i * page % bytes, "one of them");
	for (i = 0; i < n; i++)
		entries[i] = entry_unmap(IOVA2 + i * 40503ull % n * page, page);
	start = meter_now_ns();
	expect_done(a.fd, UNMAP, entries, n, "UNMAP");
	ns = meter_now_ns() - start;
	tap_diag("UNMAP of %u, in no order: %llu ms", n, (unsigned long long)ns / 1000000);
	expect_mapped(1, MAPPED_BYTES, "unmapped");
	rig_expect_fault(&a.rig, IOVA2 + (n - 1) * page, true, "the last one");
	tap_expect_ret(spapr_unregister(a.fd, p, bytes), 0, "UNREGISTER");
	mem_free(p, bytes);
	free(entries);
	api_close(&a);
}

/* A batch as the first MAP of all: it opens the default window, whose tables are charged on POWER. */
void test_batch_window(void)
{
	struct vfio_prereg_batch_entry entries[2];
	long long before, table;
	struct rig rig;
	uint64_t start;
	char *p;

	if (!rig_open(&rig, VFIO_EDU0))
		return;
	p = mem_alloc(4 * PAGE, MEM_SMALL);
	table = rig_default_table_pages(rig.container);
	tap_expect_ret(spapr_register(rig.container, p, 4 * PAGE), 0, "REGISTER");
	before = meter_vmlck_kib(0);
	tap_step("what is refused opens nothing");
	entries[0] = entry_map(IOVA, p, PAGE);
	entries[1] = entry_map(IOVA2, p, 8 * PAGE);
	expect_refused(rig.container, MAP, entries, 2, -EINVAL, 1, "MAP over the region's end");
	tap_step("what is done does, and pays for it");
	entries[1].size = PAGE;
	expect_done(rig.container, MAP, entries, 2, "MAP");
	tap_expect_eq(meter_vmlck_kib(0) - before, table * (long long)PAGE / 1024, "charged for the window");
	rig_expect_reach(&rig, IOVA, p, "the first entry");
	rig_expect_reach(&rig, IOVA2, p, "the second entry");
	tap_step("entries in both windows");
	tap_expect_ret(spapr_create(rig.container, IOMMU_SHIFT, MIB, 1, &start), 0, "CREATE");
	entries[0] = entry_map(start, p + PAGE, PAGE);
	entries[1] = entry_map(IOVA + PAGE, p + 2 * PAGE, PAGE);
	expect_done(rig.container, MAP, entries, 2, "MAP");
	rig_expect_reach(&rig, start, p + PAGE, "the second window");
	rig_expect_reach(&rig, IOVA + PAGE, p + 2 * PAGE, "the first window");
	entries[0] = entry_unmap(start, MIB);
	entries[1] = entry_unmap(0, DEFAULT_WINDOW_BYTES);
	expect_done(rig.container, UNMAP, entries, 2, "UNMAP of both");
	rig_expect_fault(&rig, start, true, "the second window");
	rig_expect_fault(&rig, IOVA, true, "the first window");
	expect_mapped(0, 0, "at the end");
	rig_close(&rig);
}
