// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench.h"
#include "proc.h"

const char *const backing_name[BACKINGS] = {
	[BACKING_SMALL] = "small",
	[BACKING_THP] = "thp",
	[BACKING_SCATTERED] = "scattered",
	[BACKING_WINDOW_64K] = "window64k",
	[BACKING_WINDOW_2M] = "window2m",
};

size_t backing_page(enum backing backing)
{
	switch (backing) {
	case BACKING_WINDOW_64K:
		return 64ul << 10;
	case BACKING_WINDOW_2M:
		return 2 * MIB;
	default:
		return PAGE_BYTES;
	}
}

static char *reserve(size_t bytes)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED || madvise(p, bytes, MADV_NOHUGEPAGE))
		bench_die("no address space for %zu MiB: %s", bytes / MIB, strerror(errno));
	return p;
}

/* Every other page the kernel hands out goes elsewhere, and back to it at the end. */
static void *memory_scattered(size_t bytes)
{
	char *p = reserve(bytes), *between = reserve(bytes);
	size_t i;

	for (i = 0; i < bytes; i += PAGE_BYTES)
		p[i] = between[i] = 1;
	munmap(between, bytes);
	return p;
}

void *memory_get(size_t bytes, enum backing backing)
{
	enum mem_kind kind = backing == BACKING_THP ? MEM_THP : MEM_SMALL;
	void *p;

	if (backing == BACKING_SCATTERED)
		return memory_scattered(bytes);
	if (backing_page(backing) > PAGE_BYTES) {
		kind = MEM_HUGETLB;
		if (!mem_hugetlb_reserve(bytes / (2 * MIB)))
			bench_die("no %zu huge pages", bytes / (2 * MIB));
	}
	p = mem_alloc(bytes, kind);
	if (!p)
		bench_die("no %zu MiB of memory: %s", bytes / MIB, strerror(errno));
	if (backing == BACKING_THP && bytes >= 2 * MIB && mem_huge_kib(p) < (long long)bytes / 1024)
		bench_die("only %lld of %zu KiB came as huge pages", mem_huge_kib(p), bytes / 1024);
	return p;
}

void memory_put(void *p, size_t bytes)
{
	munmap(p, bytes);
}
