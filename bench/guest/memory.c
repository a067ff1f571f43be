// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"
#include "proc.h"

/* To find memory that is not aligned. */
#define SMALL_TRIES	8

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

/* Does more than an eighth of its 2 MiB start at multiples of that in physical memory? */
static bool memory_aligned(const char *p, size_t bytes)
{
	const uint64_t pfn_mask = (1ull << 55) - 1;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	size_t at, aligned = 0;
	uint64_t entry;

	if (fd < 0)
		bench_die("open /proc/self/pagemap: %s", strerror(errno));
	for (at = 0; at < bytes; at += 2 * MIB) {
		if (pread(fd, &entry, sizeof(entry),
			  ((uintptr_t)p + at) / PAGE_BYTES * sizeof(entry)) != sizeof(entry))
			bench_die("read /proc/self/pagemap: %s", strerror(errno));
		aligned += (entry & pfn_mask) % (2 * MIB / PAGE_BYTES) == 0;
	}
	close(fd);
	return aligned > bytes / (2 * MIB) / 8;
}

/*
 * Single pages that came in the order of a huge page would be mapped as one. That is luck, another
 * one on each kernel, and not what is measured: a page more is taken then, so that all the others
 * come one later.
 */
static void *memory_small(size_t bytes)
{
	char *p = mem_alloc(bytes, MEM_SMALL);
	int tries;

	for (tries = 0; p && memory_aligned(p, bytes) && tries < SMALL_TRIES; tries++) {
		munmap(p, bytes);
		if (!mem_alloc(PAGE_BYTES, MEM_SMALL))
			return NULL;
		p = mem_alloc(bytes, MEM_SMALL);
	}
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
	p = kind == MEM_SMALL ? memory_small(bytes) : mem_alloc(bytes, kind);
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
