// SPDX-License-Identifier: GPL-2.0
/* Page sizes of an IOMMU, large entries and what is cut out of them, what it keeps in its TLB, and pages that a device wrote. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "iommu.h"
#include "meter.h"
#include "suite.h"
#include "tap.h"

#define MAX_BLOCK (64 * MIB)
#define MAX_SIZES 8

/* What memory can be mapped in: the CPU's page, which an SMMU's own page follows, and no IOMMU's page is larger. */
void test_granule(void)
{
	const int klog = meter_klog_open();
	struct vfio_iommu_spapr_tce_info info;
	struct rig rig;
	char *p;

	if (!rig_open(&rig, VFIO_EDU0) || !tap_expect_ret(spapr_get_info(rig.container, &info), 0, "GET_INFO"))
		return;
	if (rig_has_tables(rig.container)) {
		rig_close(&rig);
		tap_skip("windows are tables here");
		return;
	}
	tap_expect_eq(info.ddw.pgsizes & -info.ddw.pgsizes, PAGE, "the smallest page of windows");
	p = rig_own(&rig, 8 * PAGE, MEM_SMALL, IOVA);
	if (!p)
		return;
	tap_step("parts of a page");
	tap_expect_ret(vfio_map(rig.container, IOVA2, p, PAGE / 2, VFIO_MAP_RW), -EINVAL, "MAP of half a page");
	tap_expect_ret(vfio_map(rig.container, IOVA2 + PAGE / 2, p, PAGE, VFIO_MAP_RW), -EINVAL, "MAP at half a page");
	tap_expect_ret(vfio_map(rig.container, IOVA2, p + PAGE / 2, PAGE, VFIO_MAP_RW), -EINVAL, "MAP from half a page on");
	tap_expect_ret(vfio_unmap(rig.container, IOVA + PAGE, PAGE / 2), -EINVAL, "UNMAP of half a page");
	tap_expect_ret(vfio_unmap(rig.container, IOVA + PAGE / 2, PAGE), -EINVAL, "UNMAP over half a page");
	tap_expect_ret(spapr_register(rig.container, p + PAGE / 2, PAGE), -EINVAL, "REGISTER from half a page on");
	tap_expect_ret(spapr_register(rig.container, p, PAGE / 2), -EINVAL, "REGISTER of half a page");
	tap_expect_ret(spapr_create(rig.container, __builtin_ctzl(PAGE) - 1, MIB, 1, NULL), -EINVAL,
		       "CREATE with half a page");
	rig_expect_reach(&rig, IOVA + PAGE + PAGE / 2 - 32, p + PAGE + PAGE / 2 - 32, "the page they were tried on");
	tap_step("a page of eight");
	tap_expect_ret(vfio_unmap(rig.container, IOVA + 3 * PAGE, PAGE), 0, "UNMAP");
	iommu_expect_away(&rig, IOVA + 3 * PAGE, p + 3 * PAGE, "its first bytes");
	iommu_expect_away(&rig, IOVA + 4 * PAGE - 64, p + 4 * PAGE - 64, "its last bytes");
	rig_expect_reach(&rig, IOVA + 3 * PAGE - 64, p + 3 * PAGE - 64, "before it");
	rig_expect_reach(&rig, IOVA + 4 * PAGE, p + 4 * PAGE, "behind it");
	/* Whoever asks for that gets no line of the kernel's log. */
	tap_expect(!meter_klog_find(klog, "unaligned"), "the IOMMU core was asked for parts of a page");
	close(klog);
	rig_close(&rig);
}

static int by_size(const void *a, const void *b)
{
	const unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;

	return x < y ? -1 : x > y;
}

/* Sizes of hugetlb pages up to MAX_BLOCK: runs of memory that page tables have large entries for, or hints. */
static size_t huge_sizes(unsigned long *sizes)
{
	DIR *dir = opendir("/sys/kernel/mm/hugepages");
	struct dirent *entry;
	unsigned long kib;
	size_t n = 0;

	while (dir && n < MAX_SIZES && (entry = readdir(dir)))
		if (sscanf(entry->d_name, "hugepages-%lukB", &kib) == 1 && kib << 10 <= MAX_BLOCK)
			sizes[n++] = kib << 10;
	if (dir)
		closedir(dir);
	qsort(sizes, n, sizeof(*sizes), by_size);
	return n;
}

static bool huge_reserve(unsigned long size, unsigned int pages)
{
	char path[96], text[16];
	long long got;
	int try;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%lukB/nr_hugepages", size >> 10);
	snprintf(text, sizeof(text), "%u", pages);
	for (try = 0; try < 10; try++) {
		if (meter_file_write(path, text) || meter_file_read(path, &got))
			return false;
		if (got >= pages)
			return true;
		/* Something lies in the way, for the moment. */
		meter_file_write("/proc/sys/vm/drop_caches", "3");
		meter_file_write("/proc/sys/vm/compact_memory", "1");
		meter_sleep_ms(50);
	}
	return false;
}

static char *huge_page(unsigned long size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | __builtin_ctzl(size) << MAP_HUGE_SHIFT, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	memset(p, 1, size);
	return p;
}

/* @block of contiguous memory is mapped at @iova: pieces out of it, and into it, and all that is around them. */
static void cut_block(struct rig *rig, char *block, unsigned long size, uint64_t iova, char *other)
{
	const unsigned long middle = size / 2;

	tap_expect_ret(vfio_map(rig->container, iova, block, size, VFIO_MAP_RW), 0, "MAP");
	rig_expect_reach(rig, iova + middle - 32, block + middle - 32, "its middle");
	tap_expect_ret(vfio_unmap(rig->container, iova + middle, PAGE), 0, "UNMAP of a page");
	rig_expect_reach(rig, iova + middle - 64, block + middle - 64, "before the hole");
	rig_expect_reach(rig, iova + middle + PAGE, block + middle + PAGE, "behind the hole");
	iommu_expect_away(rig, iova + middle, block + middle, "the hole");
	tap_expect_ret(vfio_map(rig->container, iova + middle, other, PAGE, VFIO_MAP_RW), 0, "MAP into the hole");
	rig_expect_reach(rig, iova + middle, other, "what is in the hole");
	tap_expect_ret(vfio_unmap(rig->container, iova, PAGE), 0, "UNMAP of the first page");
	tap_expect_ret(vfio_unmap(rig->container, iova + size - PAGE, PAGE), 0, "UNMAP of the last page");
	rig_expect_reach(rig, iova + PAGE, block + PAGE, "behind the first page");
	rig_expect_reach(rig, iova + size - PAGE - 64, block + size - PAGE - 64, "before the last page");
	tap_expect_ret(vfio_unmap(rig->container, iova, size), 0, "UNMAP of the rest");
	tap_expect_ret(vfio_map(rig->container, iova, block, middle, VFIO_MAP_RW), 0, "MAP of the first half");
	tap_expect_ret(vfio_map(rig->container, iova + middle, block + middle, middle, VFIO_MAP_RW), 0,
		       "MAP of the second half");
	rig_expect_reach(rig, iova + middle - 32, block + middle - 32, "both halves");
	tap_expect_ret(vfio_unmap(rig->container, iova + middle / 2, middle), 0, "UNMAP over both");
	rig_expect_reach(rig, iova, block, "the first half's start");
	rig_expect_reach(rig, iova + size - 64, block + size - 64, "the second half's end");
	iommu_expect_away(rig, iova + middle, block + middle, "between them");
	tap_expect_ret(vfio_unmap(rig->container, iova, size), 0, "UNMAP of all");
}

/* @shift: how far IOVAs are from where an entry of the whole size could be. */
static void cut_blocks(uint64_t shift)
{
	unsigned long sizes[MAX_SIZES];
	struct rig rig;
	char *other;
	size_t n, i;

	n = huge_sizes(sizes);
	if (!n) {
		tap_skip("this kernel has no hugetlb pages");
		return;
	}
	if (!rig_open(&rig, VFIO_EDU0))
		return;
	other = rig_own(&rig, PAGE, MEM_SMALL, IOVA);
	for (i = 0; other && i < n; i++) {
		char *block = huge_reserve(sizes[i], 1) ? huge_page(sizes[i]) : NULL;

		tap_step("%lu KiB of contiguous memory", sizes[i] >> 10);
		if (tap_expect(block, "memory") &&
		    tap_expect_ret(spapr_register(rig.container, block, sizes[i]), 0, "REGISTER")) {
			cut_block(&rig, block, sizes[i], IOVA2 + shift, other);
			tap_expect_ret(spapr_unregister(rig.container, block, sizes[i]), 0, "UNREGISTER");
		}
		if (block)
			munmap(block, sizes[i]);
		huge_reserve(sizes[i], 0);
	}
	rig_close(&rig);
}

void test_blocks(void)
{
	cut_blocks(0);
}

void test_unaligned_blocks(void)
{
	cut_blocks(PAGE);
}

#define STALE_PARTS 3
#define STALE_PAGES 2		/* of a part */
#define STALE_STRIDE 5		/* pages from part to part */

struct stale {
	struct rig rig;
	char *p;
};

static uint64_t stale_iova(unsigned int page)
{
	return IOVA2 + (page / STALE_PAGES * STALE_STRIDE + page % STALE_PAGES) * PAGE;
}

static void stale_fill(struct stale *s)
{
	unsigned int i;

	for (i = 0; i < STALE_PARTS; i++)
		tap_expect_ret(vfio_map(s->rig.container, stale_iova(i * STALE_PAGES), s->p + i * STALE_PAGES * PAGE,
					STALE_PAGES * PAGE, VFIO_MAP_RW), 0, "MAP");
	/* Now the IOMMU knows all of them by heart. */
	for (i = 0; i < STALE_PARTS * STALE_PAGES; i++) {
		s->p[i * PAGE] = 0;
		tap_expect_ret(edu_dma_write(&s->rig.edu, stale_iova(i), 0, 64), 0, "write");
		tap_expect((unsigned char)s->p[i * PAGE] == 0xa5, "the device does not reach page %u", i);
	}
	mem_fill(s->p, STALE_PARTS * STALE_PAGES * PAGE, 1);
}

/* Pages @from to @to are gone, and the first use of each finds it so. */
static void stale_expect_gone(struct stale *s, unsigned int from, unsigned int to, const char *how)
{
	unsigned int i;

	for (i = from; i <= to; i++)
		tap_expect_ret(edu_dma_write(&s->rig.edu, stale_iova(i), 0, 64), 0, "write");
	tap_expect(mem_matches(s->p, STALE_PARTS * STALE_PAGES * PAGE, 1), "%s: the device reached what was unmapped", how);
}

/*
 * Whatever takes mappings away has flushed the IOTLB when it returns, also where the kernel is told to flush lazily
 * (iommu.strict=0).
 */
void test_flush(void)
{
	const uint64_t all = STALE_PARTS * STALE_STRIDE * PAGE;
	struct stale s;
	char *scratch;
	unsigned int i;

	if (!rig_open(&s.rig, VFIO_EDU0))
		return;
	s.p = mem_alloc_scattered(STALE_PARTS * STALE_PAGES * PAGE);
	scratch = rig_own(&s.rig, PAGE, MEM_SMALL, IOVA);
	if (!s.p || !scratch ||
	    !tap_expect_ret(spapr_register(s.rig.container, s.p, STALE_PARTS * STALE_PAGES * PAGE), 0, "REGISTER"))
		return;
	memset(scratch, 0xa5, PAGE);
	tap_expect_ret(edu_dma_read(&s.rig.edu, IOVA, 0, 64), 0, "load the device's buffer");

	tap_step("UNMAP of one page");
	stale_fill(&s);
	tap_expect_ret(vfio_unmap(s.rig.container, stale_iova(0), PAGE), 0, "UNMAP");
	stale_expect_gone(&s, 0, 0, "UNMAP of a page");
	tap_step("UNMAP of each mapping");
	stale_fill(&s);
	for (i = 0; i < STALE_PARTS; i++)
		tap_expect_ret(vfio_unmap(s.rig.container, stale_iova(i * STALE_PAGES), STALE_PAGES * PAGE), 0, "UNMAP");
	stale_expect_gone(&s, 0, STALE_PARTS * STALE_PAGES - 1, "UNMAP of each");
	tap_step("one UNMAP of all");
	stale_fill(&s);
	tap_expect_ret(vfio_unmap(s.rig.container, IOVA2, all), 0, "UNMAP");
	stale_expect_gone(&s, 0, STALE_PARTS * STALE_PAGES - 1, "UNMAP of all");
	tap_step("other memory instead");
	stale_fill(&s);
	for (i = 0; i < STALE_PARTS * STALE_PAGES; i++)
		tap_expect_ret(vfio_map(s.rig.container, stale_iova(i), scratch, PAGE, VFIO_MAP_RW), 0, "MAP");
	stale_expect_gone(&s, 0, STALE_PARTS * STALE_PAGES - 1, "MAP of other memory");
	tap_step("REMOVE of the window");
	stale_fill(&s);
	tap_expect_ret(spapr_remove(s.rig.container, 0), 0, "REMOVE");
	stale_expect_gone(&s, 0, STALE_PARTS * STALE_PAGES - 1, "REMOVE");
	rig_expect_fault(&s.rig, stale_iova(0), true, "in the removed window");
	rig_close(&s.rig);
}

/* A file without a disk, not yet written to; what the device puts there is the file's when nobody has it mapped any more. */
static void written_file(struct rig *rig, const char *kind, unsigned int flags, size_t bytes)
{
	const size_t at[] = { 0, bytes / 2, bytes - 64 };
	const int file = memfd_create(kind, MFD_CLOEXEC | flags);
	volatile char sum = 0;
	char text[64];
	size_t i;
	char *p;

	tap_step("%s of %zu KiB", kind, bytes >> 10);
	if (!tap_expect(file >= 0 && !ftruncate(file, bytes), "memfd: %s", strerror(errno)))
		return;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (!tap_expect(p != MAP_FAILED, "mmap: %s", strerror(errno)))
		return;
	for (i = 0; i < bytes; i += PAGE)
		sum += p[i];
	if (!tap_expect_ret(vfio_hold(rig->container, TYPE7, p, bytes, IOVA2), 0, "REGISTER and MAP"))
		return;
	for (i = 0; i < SUITE_SIZE(at); i++)
		tap_expect_ret(edu_dma_write(&rig->edu, IOVA2 + at[i], 0, sizeof(text)), 0, "write");
	tap_expect_ret(vfio_unmap(rig->container, IOVA2, bytes), 0, "UNMAP");
	tap_expect_ret(spapr_unregister(rig->container, p, bytes), 0, "UNREGISTER");
	tap_expect(!munmap(p, bytes), "munmap");
	/* Clean pages are thrown away. */
	tap_expect_ret(meter_file_write("/proc/sys/vm/drop_caches", "3"), 0, "drop_caches");
	for (i = 0; i < SUITE_SIZE(at); i++) {
		memset(text, 0, sizeof(text));
		tap_expect(pread(file, text, sizeof(text), at[i]) == sizeof(text) && mem_matches(text, sizeof(text), 9),
			   "%s: what the device wrote at %zu is lost", kind, at[i]);
	}
	close(file);
}

void test_file_contents(void)
{
	struct rig rig;
	char *scratch;
	long long kib;

	if (!rig_open(&rig, VFIO_EDU0))
		return;
	scratch = rig_own(&rig, PAGE, MEM_SMALL, IOVA);
	if (!scratch)
		return;
	mem_fill(scratch, 64, 9);
	tap_expect_ret(edu_dma_read(&rig.edu, IOVA, 0, 64), 0, "load the device's buffer");
	written_file(&rig, "shared memory", 0, 16 * PAGE);
	kib = meter_meminfo_kib("Hugepagesize");
	if (kib > 0 && kib << 10 <= (long long)MAX_BLOCK && mem_hugetlb_reserve(1)) {
		written_file(&rig, "hugetlb memory", MFD_HUGETLB, kib << 10);
		mem_hugetlb_reserve(0);
	} else {
		tap_diag("this kernel gives no hugetlb pages: left out");
	}
	rig_close(&rig);
}
