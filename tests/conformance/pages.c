// SPDX-License-Identifier: GPL-2.0
/* Windows of 64 KiB, 2 MiB and 1 GiB pages, and the memory that can be mapped in them. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conformance.h"
#include "meter.h"

#define MIB2 (2 * MIB)
#define GIB_BYTES (1ul << 30)
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif
#define PFN_MASK ((1ull << 55) - 1)

/* How the scenario's memory is laid out. */
enum {
	SCATTERED = MEM_HUGETLB + 1,
	CONTIGUOUS,		/* in physical memory, and aligned there, but of small pages */
	MIXED,			/* 2 MiB of such, then scattered pages */
	HUGE_THEN_SMALL,	/* 2 MiB of hugetlb, then scattered pages */
	GIGANTIC,		/* one hugetlb page of 1 GiB; the guest reserves it when it boots */
};

static size_t round_up(size_t bytes, size_t to)
{
	return (bytes + to - 1) / to * to;
}

static char *gigantic(void)
{
	char *p = mmap(NULL, GIB_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | 30 << MAP_HUGE_SHIFT, -1, 0);

	return p == MAP_FAILED || madvise(p, GIB_BYTES, MADV_POPULATE_WRITE) ? NULL : p;
}

/* Address space at a multiple of @align. */
static char *aligned_space(size_t bytes, size_t align)
{
	char *raw = mmap(NULL, bytes + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return raw == MAP_FAILED ? NULL : (char *)round_up((uintptr_t)raw, align);
}

/* A gigabyte of small pages, where they come to lie. */
static char *gigabyte(void)
{
	char *p = aligned_space(GIB_BYTES, GIB_BYTES);

	if (!p || mprotect(p, GIB_BYTES, PROT_READ | PROT_WRITE) || madvise(p, GIB_BYTES, MADV_NOHUGEPAGE) ||
	    madvise(p, GIB_BYTES, MADV_POPULATE_WRITE))
		return NULL;
	return p;
}

struct frame {
	uint64_t pfn;
	char *va;
};

static int by_pfn(const void *a, const void *b)
{
	const struct frame *x = a, *y = b;

	return x->pfn < y->pfn ? -1 : x->pfn > y->pfn;
}

/* The pages of @pool by where they lie in memory; -errno. */
static int look_up(char *pool, size_t pages, struct frame *frames)
{
	uint64_t entries[512];
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	size_t i, k;

	for (i = 0; i < pages; i += k) {
		const size_t n = pages - i < 512 ? pages - i : 512;

		if (pread(fd, entries, n * 8, ((uintptr_t)pool / page() + i) * 8) != (ssize_t)(n * 8)) {
			close(fd);
			return -EIO;
		}
		for (k = 0; k < n; k++)
			frames[i + k] = (struct frame){ entries[k] & PFN_MASK, pool + (i + k) * page() };
	}
	close(fd);
	return 0;
}

/* Moves @n pages, neighbours in memory, side by side to @to. */
static bool assemble(const struct frame *frames, size_t n, char *to)
{
	size_t i, k;

	for (i = 0; i < n; i += k) {
		for (k = 1; i + k < n && frames[i + k].va == frames[i].va + k * page(); k++)
			;
		if (mremap(frames[i].va, k * page(), k * page(), MREMAP_MAYMOVE | MREMAP_FIXED, to + i * page()) == MAP_FAILED)
			return false;
	}
	return true;
}

/* Out of @pool_bytes of small pages, puts those that make up an aligned stretch of @bytes at @to; false: there is none. */
static bool contiguous_from(size_t pool_bytes, char *to, size_t bytes)
{
	const size_t n = bytes / page(), pages = pool_bytes / page();
	char *pool = mem_alloc(pool_bytes, MEM_SMALL);
	bool found = false;
	struct frame *frames = malloc(pages * sizeof(*frames));
	size_t i;

	if (pool && frames && !look_up(pool, pages, frames)) {
		qsort(frames, pages, sizeof(*frames), by_pfn);
		for (i = 0; i + n <= pages && !found; i++)
			found = frames[i].pfn % n == 0 && frames[i + n - 1].pfn == frames[i].pfn + n - 1 &&
				assemble(frames + i, n, to);
	}
	free(frames);
	/* Not the places that pages were moved away from: others may have them by now. */
	if (!found)
		mem_free(pool, pool_bytes);
	return found;
}

/*
 * The same with more and more pages, up to most of what is free: a gigabyte is found in a guest that was just
 * booted. What is left over stays mapped until the scenario's process ends.
 */
static bool contiguous_at(char *to, size_t bytes)
{
	const size_t free_bytes = meter_free_kib() * 1024ull;
	const size_t most = free_bytes > 1024 * MIB ? (free_bytes - 640 * MIB) & -MIB2 : 0;
	size_t pool_bytes = bytes < GIB_BYTES ? 64 * MIB + bytes : most;
	bool found = false;

	meter_file_write("/proc/sys/vm/compact_memory", "1");
	for (; !found && pool_bytes && pool_bytes <= most; pool_bytes *= 4)
		found = contiguous_from(pool_bytes, to, bytes);
	return found;
}

static char *contiguous(size_t bytes)
{
	char *to = aligned_space(bytes, bytes);

	return to && contiguous_at(to, bytes) ? to : NULL;
}

/* 2 MiB of some kind, then scattered pages. */
static char *mixed(int kind, size_t bytes)
{
	char *whole = aligned_space(bytes, MIB2), *rest = mem_alloc_scattered(bytes - MIB2);

	if (!whole || !rest ||
	    mremap(rest, bytes - MIB2, bytes - MIB2, MREMAP_MAYMOVE | MREMAP_FIXED, whole + MIB2) == MAP_FAILED)
		return NULL;
	if (kind == MIXED)
		return contiguous_at(whole, MIB2) ? whole : NULL;
	if (meter_meminfo_kib("Hugepagesize") != MIB2 >> 10 || !mem_hugetlb_reserve(1))
		return NULL;
	if (mmap(whole, MIB2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED, -1, 0) == MAP_FAILED)
		return NULL;
	return madvise(whole, MIB2, MADV_POPULATE_WRITE) ? NULL : whole;
}

/* @bytes, or more where they are hugetlb pages; NULL after say_skip(). */
static char *memory(int kind, size_t *bytes)
{
	const size_t huge = meter_meminfo_kib("Hugepagesize") * 1024;
	char *p = NULL;

	switch (kind) {
	case GIGANTIC:
		p = gigantic();
		break;
	case MEM_HUGETLB:
		if (meter_meminfo_kib("Hugepagesize") <= 0)
			break;
		*bytes = round_up(*bytes, huge);
		if (mem_hugetlb_reserve(*bytes / huge))
			p = mem_alloc(*bytes, kind);
		break;
	case SCATTERED:
		p = *bytes < GIB_BYTES ? mem_alloc_scattered(*bytes) : gigabyte();
		break;
	case CONTIGUOUS:
		p = contiguous(*bytes);
		break;
	case MIXED:
	case HUGE_THEN_SMALL:
		p = mixed(kind, *bytes);
		break;
	case MEM_THP:
		p = mem_alloc(*bytes, kind);
		if (p && mem_huge_kib(p) < (long long)*bytes >> 10)
			p = NULL;
		break;
	}
	if (!p)
		say_skip("no %s are to be had", kind == CONTIGUOUS || kind == MIXED ? "contiguous pages" : "huge pages");
	return p;
}

static void give_back(char *p, size_t bytes, int kind)
{
	munmap(p, bytes);
	if (kind == MEM_HUGETLB || kind == HUGE_THEN_SMALL)
		mem_hugetlb_reserve(0);
}

/* A window of pages of 2^shift bytes; two of them are mapped (one of 1 GiB), the device reaches the first and the last bytes. */
static void run_pages(const struct scenario *s)
{
	const size_t wpage = 1ul << s->call.shift;
	size_t bytes = wpage == GIB_BYTES ? wpage : 4 * MIB;
	/* In mixed memory the second page is the first one that is not contiguous. */
	const size_t from = (int)s->kind == MIXED || (int)s->kind == HUGE_THEN_SMALL ? MIB2 - wpage : 0;
	const size_t mapped = wpage == GIB_BYTES ? wpage : 2 * wpage;
	struct box box;
	char *p;
	int ret;

	p = memory(s->kind, &bytes);
	if (!p || !box_open_bare(&box))
		return;
	tap_expect_ret(spapr_remove(box.fd, 0), 0, "REMOVE");
	tap_expect_ret(spapr_create(box.fd, s->call.shift, 1ull << (s->call.shift < 30 ? 32 : 36), 1, NULL), 0, "CREATE");
	tap_expect_ret(spapr_register(box.fd, p, bytes), 0, "REGISTER");
	ret = vfio_map(box.fd, wpage, p + from, mapped, MAP_RW);
	say_ret(ret);
	if (ret) {
		say("%s", device_writes(&box, wpage, p + from) ? "a part is mapped" : "nothing is mapped");
	} else {
		say_reach(&box, wpage, p + from);
		say_reach(&box, wpage + mapped - 64, p + from + mapped - 64);
		say_ret(vfio_unmap(box.fd, wpage, mapped));
	}
	box_close(&box);
	pins(0);
	give_back(p, bytes, s->kind);
}

/* In a window of 2 MiB pages, what is a multiple of 64 KiB only. */
static void run_unaligned(const struct scenario *s)
{
	const size_t odd = 65536;
	struct box box;
	char *p;

	(void)s;
	p = mem_alloc(8 * MIB, MEM_SMALL);
	if (!p || !box_open_bare(&box))
		return;
	tap_expect_ret(spapr_remove(box.fd, 0), 0, "REMOVE");
	tap_expect_ret(spapr_create(box.fd, 21, 1ull << 32, 1, NULL), 0, "CREATE");
	tap_expect_ret(spapr_register(box.fd, p, 8 * MIB), 0, "REGISTER");
	say_ret(vfio_map(box.fd, MIB2, p + odd, MIB2, MAP_RW));
	say_ret(vfio_map(box.fd, MIB2, p, MIB2 + odd, MAP_RW));
	say_ret(vfio_map(box.fd, MIB2 + odd, p, MIB2, MAP_RW));
	say_ret(vfio_unmap(box.fd, MIB2, odd));
	say_ret(vfio_unmap(box.fd, MIB2 + odd, MIB2));
	box_close(&box);
}

#define PAGES(sh, k) .run = run_pages, .call.shift = sh, .kind = (enum mem_kind)(k), .timeout_s = 180
#define WORKS "0, reached, reached, 0"
#define ANY_MEMORY "an iommu_domain's window page is no hardware entry"

static const struct scenario window_pages[] = {
	{ .name = "pages-64k-hugetlb", .what = "64 KiB pages, hugetlb memory", PAGES(16, MEM_HUGETLB), .upstream = WORKS },
	{ .name = "pages-64k-thp", .what = "64 KiB pages, transparent huge pages", PAGES(16, MEM_THP),
	  .upstream = "EINVAL, nothing is mapped", .upstream_64k = WORKS, .ours = WORKS, .verdict = EXTENSION,
	  .why = "contiguous memory will do, it need not be hugetlb" },
	{ .name = "pages-64k-contiguous", .what = "64 KiB pages, contiguous small pages", PAGES(16, CONTIGUOUS),
	  .upstream = "EINVAL, nothing is mapped", .upstream_64k = WORKS, .ours = WORKS, .verdict = EXTENSION,
	  .why = "contiguous memory will do, it need not be hugetlb" },
	{ .name = "pages-64k-scattered", .what = "64 KiB pages, scattered small pages", PAGES(16, SCATTERED),
	  .upstream = "EINVAL, nothing is mapped", .upstream_64k = WORKS, .domain = WORKS, .why = ANY_MEMORY },
	{ .name = "pages-64k-mixed", .what = "64 KiB pages: the first contiguous, the second not", PAGES(16, MIXED),
	  .upstream = "EINVAL, nothing is mapped", .upstream_64k = WORKS, .domain = WORKS, .why = ANY_MEMORY },
	{ .name = "pages-2m-hugetlb", .what = "2 MiB pages, hugetlb memory", PAGES(21, MEM_HUGETLB), .upstream = WORKS },
	{ .name = "pages-64k-huge-then-small", .what = "64 KiB pages: the first in a hugetlb page, the second in small ones",
	  PAGES(16, HUGE_THEN_SMALL), .upstream = "EPERM, nothing is mapped", .upstream_64k = WORKS,
	  .ours = "EINVAL, nothing is mapped", .ours_64k = WORKS, .domain = WORKS, .verdict = FIXED,
	  .why = "upstream takes small pages behind a hugetlb page for such, and has another errno when it notices "
		 "(" ANY_MEMORY ")" },
	{ .name = "pages-2m-thp", .what = "2 MiB pages, transparent huge pages", PAGES(21, MEM_THP),
	  .upstream = "EINVAL, nothing is mapped", .ours = WORKS, .verdict = EXTENSION,
	  .why = "contiguous memory will do, it need not be hugetlb" },
	{ .name = "pages-2m-contiguous", .what = "2 MiB pages, contiguous small pages", PAGES(21, CONTIGUOUS),
	  .upstream = "EINVAL, nothing is mapped", .ours = WORKS, .verdict = EXTENSION,
	  .why = "contiguous memory will do, it need not be hugetlb" },
	{ .name = "pages-2m-scattered", .what = "2 MiB pages, scattered small pages", PAGES(21, SCATTERED),
	  .upstream = "EINVAL, nothing is mapped", .domain = WORKS, .why = ANY_MEMORY },
	{ .name = "pages-2m-mixed", .what = "2 MiB pages: the first contiguous, the second not", PAGES(21, MIXED),
	  .upstream = "EINVAL, nothing is mapped", .domain = WORKS, .why = ANY_MEMORY },
	{ .name = "pages-1g-hugetlb", .what = "1 GiB pages, a hugetlb page of 1 GiB", PAGES(30, GIGANTIC), .upstream = WORKS },
	{ .name = "pages-1g-contiguous", .what = "1 GiB pages, a contiguous gigabyte of small pages", PAGES(30, CONTIGUOUS),
	  .upstream = "EINVAL, nothing is mapped", .ours = WORKS, .verdict = EXTENSION,
	  .why = "contiguous memory will do, it need not be hugetlb" },
	{ .name = "pages-1g-scattered", .what = "1 GiB pages, a gigabyte of small pages anywhere", PAGES(30, SCATTERED),
	  .upstream = "EINVAL, nothing is mapped", .domain = WORKS, .why = ANY_MEMORY },
	{ .name = "pages-unaligned", .what = "2 MiB pages, a multiple of 64 KiB: MAP's vaddr, size, iova; UNMAP's size, iova",
	  .run = run_unaligned, .upstream = "EINVAL, EINVAL, 1, EINVAL, 1", .ours = "EINVAL, EINVAL, EINVAL, EINVAL, EINVAL",
	  .verdict = FIXED, .why = "a refused call must not answer a positive number" },
};

const struct scenario_group group_window_pages = { "Large pages", window_pages, COUNT(window_pages) };
