// SPDX-License-Identifier: GPL-2.0
/* Windows of 64 KiB, 2 MiB and 1 GiB pages, and the memory that can be mapped in them. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "conformance.h"
#include "meter.h"

#define HUGE_BYTES (2 * MIB)
#define GIB_BYTES (1ul << 30)
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif

/* How the scenario's memory is laid out. */
enum {
	SCATTERED = MEM_HUGETLB + 1,
	MIXED,			/* 2 MiB of huge page, then scattered pages */
	GIGANTIC,		/* one hugetlb page of 1 GiB; the runner reserves it when the guest boots */
};

static char *gigantic(void)
{
	char *p = mmap(NULL, GIB_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | 30 << MAP_HUGE_SHIFT, -1, 0);

	return p == MAP_FAILED || madvise(p, GIB_BYTES, MADV_POPULATE_WRITE) ? NULL : p;
}

/* Transparent huge pages at a multiple of a gigabyte. */
static char *aligned_thp(size_t bytes)
{
	char *raw = mmap(NULL, bytes + GIB_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *p = (char *)(((uintptr_t)raw + GIB_BYTES - 1) & ~(GIB_BYTES - 1));

	if (raw == MAP_FAILED || madvise(p, bytes, MADV_HUGEPAGE) || madvise(p, bytes, MADV_POPULATE_WRITE))
		return NULL;
	return p;
}

static char *mixed(size_t bytes)
{
	char *p = mem_alloc(bytes, MEM_THP), *scattered = mem_alloc_scattered(bytes);

	if (!p || !scattered)
		return NULL;
	return mremap(scattered, bytes - HUGE_BYTES, bytes - HUGE_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, p + HUGE_BYTES) ==
	       MAP_FAILED ? NULL : p;
}

/* NULL after say_skip() or a failed assertion. */
static char *memory(int kind, size_t bytes)
{
	char *p;

	if (kind == GIGANTIC) {
		p = gigantic();
		if (!p)
			say_skip("no huge page of 1 GiB is to be had");
		return p;
	}
	if (bytes >= GIB_BYTES && meter_free_kib() < 1280 * 1024) {
		say_skip("no gigabyte is free (%lld KiB)", meter_free_kib());
		return NULL;
	}
	if (kind == MEM_HUGETLB && !mem_hugetlb_reserve(bytes / HUGE_BYTES)) {
		say_skip("no huge pages are to be had");
		return NULL;
	}
	if (kind == SCATTERED)
		p = mem_alloc_scattered(bytes);
	else if (kind == MIXED)
		p = mixed(bytes);
	else if (bytes >= GIB_BYTES)
		p = aligned_thp(bytes);
	else
		p = mem_alloc(bytes, kind);
	tap_expect(p, "memory: %s", strerror(errno));
	if (p && kind == MEM_THP && mem_huge_kib(p) < (long long)bytes >> 10) {
		say_skip("no transparent huge pages are to be had (%lld KiB are huge)", mem_huge_kib(p));
		return NULL;
	}
	return p;
}

static void give_back(char *p, size_t bytes, int kind)
{
	munmap(p, bytes);
	if (kind == MEM_HUGETLB)
		mem_hugetlb_reserve(0);
}

/* A window of pages of 2^shift bytes; two of them are mapped (one of 1 GiB), the device reaches the first and the last bytes. */
static void run_pages(const struct scenario *s)
{
	const size_t wpage = 1ul << s->call.shift, bytes = wpage == GIB_BYTES ? wpage : 4 * MIB;
	/* In mixed memory the second page is the first one that is not contiguous. */
	const size_t from = (int)s->kind == MIXED ? HUGE_BYTES - wpage : 0;
	const size_t mapped = wpage == GIB_BYTES ? wpage : 2 * wpage;
	struct box box;
	char *p;
	int ret;

	p = memory(s->kind, bytes);
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

	p = memory(MEM_HUGETLB, 6 * MIB);
	if (!p || !box_open_bare(&box))
		return;
	tap_expect_ret(spapr_remove(box.fd, 0), 0, "REMOVE");
	tap_expect_ret(spapr_create(box.fd, 21, 1ull << 32, 1, NULL), 0, "CREATE");
	tap_expect_ret(spapr_register(box.fd, p, 6 * MIB), 0, "REGISTER");
	say_ret(vfio_map(box.fd, HUGE_BYTES, p + odd, HUGE_BYTES, MAP_RW));
	say_ret(vfio_map(box.fd, HUGE_BYTES, p, HUGE_BYTES + odd, MAP_RW));
	say_ret(vfio_map(box.fd, HUGE_BYTES + odd, p, HUGE_BYTES, MAP_RW));
	say_ret(vfio_unmap(box.fd, HUGE_BYTES, odd));
	say_ret(vfio_unmap(box.fd, HUGE_BYTES + odd, HUGE_BYTES));
	box_close(&box);
	pins(0);
	give_back(p, 6 * MIB, MEM_HUGETLB);
	(void)s;
}

#define PAGES(sh, k) .run = run_pages, .call.shift = sh, .kind = (enum mem_kind)(k), .timeout_s = 180
#define WORKS "0, reached, reached, 0"
#define ANY_MEMORY "an iommu_domain's window page is no hardware entry"

static const struct scenario window_pages[] = {
	{ .name = "pages-64k-hugetlb", .what = "64 KiB pages, hugetlb memory", PAGES(16, MEM_HUGETLB), .upstream = WORKS },
	{ .name = "pages-64k-thp", .what = "64 KiB pages, transparent huge pages", PAGES(16, MEM_THP),
	  .upstream = "EINVAL, nothing is mapped", .upstream_64k = WORKS, .ours = WORKS, .verdict = EXTENSION,
	  .why = "contiguous memory will do, it need not be hugetlb" },
	{ .name = "pages-64k-scattered", .what = "64 KiB pages, scattered small pages", PAGES(16, SCATTERED),
	  .upstream = "EINVAL, nothing is mapped", .upstream_64k = WORKS, .domain = WORKS, .why = ANY_MEMORY },
	{ .name = "pages-64k-mixed", .what = "64 KiB pages: the first contiguous, the second not", PAGES(16, MIXED),
	  .upstream = "EINVAL, nothing is mapped", .upstream_64k = WORKS, .domain = WORKS, .why = ANY_MEMORY },
	{ .name = "pages-2m-hugetlb", .what = "2 MiB pages, hugetlb memory", PAGES(21, MEM_HUGETLB), .upstream = WORKS },
	{ .name = "pages-2m-thp", .what = "2 MiB pages, transparent huge pages", PAGES(21, MEM_THP),
	  .upstream = "EINVAL, nothing is mapped", .ours = WORKS, .verdict = EXTENSION,
	  .why = "contiguous memory will do, it need not be hugetlb" },
	{ .name = "pages-2m-scattered", .what = "2 MiB pages, scattered small pages", PAGES(21, SCATTERED),
	  .upstream = "EINVAL, nothing is mapped", .domain = WORKS, .why = ANY_MEMORY },
	{ .name = "pages-2m-mixed", .what = "2 MiB pages: the first contiguous, the second not", PAGES(21, MIXED),
	  .upstream = "EINVAL, nothing is mapped", .domain = WORKS, .why = ANY_MEMORY },
	{ .name = "pages-1g-hugetlb", .what = "1 GiB pages, a hugetlb page of 1 GiB", PAGES(30, GIGANTIC), .upstream = WORKS },
	{ .name = "pages-1g-thp", .what = "1 GiB pages, transparent huge pages", PAGES(30, MEM_THP),
	  .upstream = "EINVAL, nothing is mapped", .domain = WORKS, .why = ANY_MEMORY },
	{ .name = "pages-unaligned", .what = "2 MiB pages, a multiple of 64 KiB: MAP's vaddr, size, iova; UNMAP's size, iova",
	  .run = run_unaligned, .upstream = "EINVAL, EINVAL, 1, EINVAL, 1", .ours = "EINVAL, EINVAL, EINVAL, EINVAL, EINVAL",
	  .verdict = FIXED, .why = "a refused call must not answer a positive number" },
};

const struct scenario_group group_window_pages = { "Large pages", window_pages, COUNT(window_pages) };
