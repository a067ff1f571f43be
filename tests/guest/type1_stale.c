// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that a process gives up while it is mapped for DMA: devices keep the old pages, what is mapped
 * after that gets the new ones, and it is told.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meter.h"
#include "tap.h"
#include "type1_tests.h"

#define OLD_SEED 1
#define NEW_SEED 2
#define PAGES 8

static bool new_memory(char *p, size_t bytes)
{
	return mmap(p, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p &&
	       !madvise(p, bytes, MADV_NOHUGEPAGE);
}

static bool unmap(char *p, size_t bytes, int fd)
{
	(void)fd;
	return !munmap(p, bytes) && new_memory(p, bytes);
}

static bool map_over(char *p, size_t bytes, int fd)
{
	(void)fd;
	return new_memory(p, bytes);
}

static bool move(char *p, size_t bytes, int fd)
{
	char *to = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)fd;
	return to != MAP_FAILED && mremap(p, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to && new_memory(p, bytes);
}

static bool discard(char *p, size_t bytes, int fd)
{
	(void)fd;
	return !madvise(p, bytes, MADV_DONTNEED);
}

static bool discard_lazily(char *p, size_t bytes, int fd)
{
	(void)fd;
	return !madvise(p, bytes, MADV_FREE);
}

static bool punch(char *p, size_t bytes, int fd)
{
	(void)p;
	return !fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, bytes);
}

static bool truncate_file(char *p, size_t bytes, int fd)
{
	(void)p;
	return !ftruncate(fd, 0) && !ftruncate(fd, bytes);
}

const struct give_up give_ups[] = {
	{ .name = "munmap()", .run = unmap },
	{ .name = "mmap() over it", .run = map_over },
	{ .name = "mremap()", .run = move },
	{ .name = "MADV_DONTNEED", .run = discard },
	{ .name = "MADV_FREE", .run = discard_lazily, .same_page = true },
	{ .name = "a hole punched into its file", .file = true, .run = punch },
	{ .name = "a hole punched into its file by another process", .file = true, .by_other = true, .run = punch },
	{ .name = "its file made shorter", .file = true, .run = truncate_file },
};

const size_t n_give_ups = sizeof(give_ups) / sizeof(give_ups[0]);

char *give_up_memory(const struct give_up *way, size_t pages, int *fd)
{
	const size_t bytes = pages * PAGE;
	char *p;

	*fd = -1;
	if (!way->file)
		return memory(pages);
	*fd = memfd_create("type1", MFD_CLOEXEC);
	if (!tap_expect(*fd >= 0 && !ftruncate(*fd, bytes), "memfd: %s", strerror(errno)))
		return NULL;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	return tap_expect(p != MAP_FAILED, "mmap: %s", strerror(errno)) ? p : NULL;
}

bool give_up_run(const struct give_up *way, char *p, size_t pages, int fd)
{
	int status = 1;
	pid_t pid;

	if (!way->by_other)
		return tap_expect(way->run(p, pages * PAGE, fd), "%s: %s", way->name, strerror(errno));
	pid = fork();
	if (!pid) {
		/* It has the file, but not the memory. */
		munmap(p, pages * PAGE);
		_exit(!way->run(NULL, pages * PAGE, fd));
	}
	waitpid(pid, &status, 0);
	return tap_expect(!status, "%s: status %d", way->name, status);
}

void fill_pages(char *p, size_t pages, uint32_t seed)
{
	size_t i;

	for (i = 0; i < pages; i++)
		mem_fill(p + i * PAGE, 64, seed);
}

/* Asserts that one more stale mapping is told, and which; what happens to a file is not told. */
static void expect_told(struct bench *bench, const struct give_up *way, const struct vfio_prereg_info *before, char *p, size_t pages)
{
	struct vfio_prereg_info now;

	tap_expect_ret(type1_prereg_info(bench->container, &now), 0, "GET_INFO");
	tap_expect_eq(now.stale_mappings - before->stale_mappings, !way->file, "stale mappings");
	if (way->file)
		return;
	tap_expect(now.stale_vaddr == (uintptr_t)p && now.stale_bytes == pages * PAGE && now.stale_pid == getpid(),
		   "told are %llu bytes at 0x%llx of process %d", (unsigned long long)now.stale_bytes,
		   (unsigned long long)now.stale_vaddr, now.stale_pid);
}

/* Maps memory at IOVA, gives it up, and maps what is there then at IOVA2. */
static void stale(struct bench *bench, const struct give_up *way)
{
	struct vfio_prereg_info before;
	char *p;
	int fd;

	tap_step("%s", way->name);
	p = give_up_memory(way, PAGES, &fd);
	if (!p)
		return;
	fill_pages(p, PAGES, OLD_SEED);
	bench_map(bench, IOVA, p, PAGES);
	tap_expect_ret(type1_prereg_info(bench->container, &before), 0, "GET_INFO");
	if (!give_up_run(way, p, PAGES, fd))
		return;
	expect_told(bench, way, &before, p, PAGES);
	expect_held(PAGES, PAGES, 0, "given up");
	fill_pages(p, PAGES, NEW_SEED);
	tap_expect(bench_reads(bench, IOVA, OLD_SEED), "%s: the device reads the old page", way->name);
	bench_map(bench, IOVA2, p, PAGES);
	expect_held(2 * PAGES, 2 * PAGES, 0, "with the new memory");
	tap_expect(bench_reads(bench, IOVA2, NEW_SEED), "%s: the device reads the new page where that is mapped", way->name);
	rig_expect_reach(&bench->rig, IOVA2 + (PAGES - 1) * PAGE, p + (PAGES - 1) * PAGE, "the new memory");
	tap_expect_ret(edu_dma_write(&bench->rig.edu, IOVA + PAGE, 0, 64), 0, "DMA to the old page");
	tap_expect(mem_matches(p + PAGE, 64, NEW_SEED), "%s: the device changed the new page through the old mapping", way->name);
	bench_unmap(bench, IOVA, PAGES);
	rig_expect_reach(&bench->rig, IOVA2, p, "the new memory, alone");
	bench_unmap(bench, IOVA2, PAGES);
	expect_held(0, 0, 0, "unmapped");
	munmap(p, PAGES * PAGE);
	close(fd);
}

void test_stale(void)
{
	struct bench bench;
	size_t i;

	if (!bench_open(&bench, VFIO_EDU0))
		return;
	for (i = 0; i < n_give_ups; i++)
		if (!give_ups[i].same_page)
			stale(&bench, &give_ups[i]);
	bench_close(&bench);
}

void test_stale_told_once(void)
{
	struct vfio_prereg_info info;
	const int klog = meter_klog_open();
	struct bench bench;
	char want[64];
	char *p;

	if (!bench_open(&bench, VFIO_EDU0))
		return;
	p = memory(4 * PAGES);
	tap_step("memory that is not mapped for DMA, or that is kept from it, is nobody's business");
	bench_map(&bench, IOVA, p, PAGES);
	tap_expect(!madvise(p + PAGES * PAGE, PAGES * PAGE, MADV_DONTNEED), "madvise");
	tap_expect(!mprotect(p, PAGES * PAGE, PROT_READ), "mprotect");
	tap_expect(!meter_klog_find(klog, "devices still have mapped"), "nothing is told in the log");
	tap_step("a part of mapped memory: told in the log");
	tap_expect(!madvise(p + 2 * PAGE, PAGE, MADV_DONTNEED), "madvise");
	snprintf(want, sizeof(want), "[%d] unmapped memory at 0x%lx (%zu bytes)", getpid(), (unsigned long)p + 2 * PAGE, PAGE);
	tap_expect(meter_klog_find(klog, want), "the log has \"%s\"", want);
	tap_step("the next one is only counted");
	bench_map(&bench, IOVA2, p + 2 * PAGES * PAGE, PAGES);
	tap_expect(!munmap(p + 2 * PAGES * PAGE, 2 * PAGES * PAGE), "munmap");
	tap_expect(!meter_klog_find(klog, "devices still have mapped"), "nothing more is told in the log");
	tap_expect_ret(type1_prereg_info(bench.container, &info), 0, "GET_INFO");
	tap_expect_eq(info.stale_mappings, 2, "stale mappings");
	tap_expect_eq(info.stale_bytes, PAGES * PAGE, "bytes of the last one");
	tap_step("UNMAP is as ever");
	bench_unmap(&bench, IOVA, PAGES);
	bench_unmap(&bench, IOVA2, PAGES);
	expect_held(0, 0, 0, "at the end");
	close(klog);
	bench_close(&bench);
}
