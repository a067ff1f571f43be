// SPDX-License-Identifier: GPL-2.0
/* Pins that outlive their UNMAP: that they save the next MAP its work, and that they never outlive what they are of. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meter.h"
#include "tap.h"
#include "type1_tests.h"

#define PAGES 16
#define KEEP_BYTES (64 * MIB)
#define KEEP_MIB_FILE "/sys/module/vfio_prereg/parameters/keep_mib"

static bool keeper_open(struct bench *bench, uint64_t bytes)
{
	return bench_open(bench, VFIO_EDU0) && tap_expect_ret(type1_keep(bench->container, bytes), 0, "KEEP");
}

/* MAP and UNMAP: what stays is kept. */
static void map_and_unmap(struct bench *bench, char *p, size_t pages)
{
	bench_map(bench, IOVA, p, pages);
	bench_unmap(bench, IOVA, pages);
}

void test_kept(void)
{
	struct vfio_prereg_info info;
	struct bench bench;
	char *p;

	if (!keeper_open(&bench, KEEP_BYTES))
		return;
	p = memory(PAGES);
	tap_step("UNMAP keeps the pin and the charge; the device is kept away");
	bench_map(&bench, IOVA, p, PAGES);
	rig_expect_reach(&bench.rig, IOVA, p, "mapped memory");
	bench_unmap(&bench, IOVA, PAGES);
	expect_held(PAGES, PAGES, PAGES, "after UNMAP");
	rig_expect_fault(&bench.rig, IOVA, true, "after UNMAP");
	tap_expect_ret(type1_prereg_info(bench.container, &info), 0, "GET_INFO");
	tap_expect_eq(info.kept_bytes, PAGES * PAGE, "kept bytes");
	tap_expect_eq(info.registered_bytes, (PAGES + 1) * PAGE, "registered bytes");
	tap_expect_eq(info.mappings, 1, "mappings");
	tap_step("MAP of all of it, and of parts, pins nothing");
	bench_map(&bench, IOVA, p, PAGES);
	expect_held(PAGES, PAGES, 0, "mapped again");
	rig_expect_reach(&bench.rig, IOVA, p, "what is mapped again");
	bench_unmap(&bench, IOVA, PAGES);
	bench_map(&bench, IOVA, p + 3 * PAGE, 2);
	bench_map(&bench, IOVA2, p + 4 * PAGE, 8);
	expect_held(PAGES, PAGES, 0, "parts are mapped");
	rig_expect_reach(&bench.rig, IOVA2 + PAGE, p + 5 * PAGE, "a part");
	bench_unmap(&bench, IOVA, 2);
	bench_unmap(&bench, IOVA2, 8);
	expect_held(PAGES, PAGES, PAGES, "after their UNMAP");
	tap_step("KEEP of 0 gives it back");
	tap_expect_ret(type1_keep(bench.container, 0), 0, "KEEP of 0");
	expect_held(0, 0, 0, "after it");
	map_and_unmap(&bench, p, PAGES);
	expect_held(0, 0, 0, "after the next UNMAP");
	bench_close(&bench);
}

void test_kept_arguments(void)
{
	struct vfio_prereg_keep keep = { .argsz = sizeof(keep) - 1, .bytes = MIB };
	struct vfio_prereg_info info = { .argsz = sizeof(info) - 1 };
	struct bench bench;
	struct rig spapr;

	if (!bench_open(&bench, VFIO_EDU0) || !rig_open(&spapr, VFIO_EDU1))
		return;
	tap_expect_ret(vfio_ioctl(bench.container, VFIO_PREREG_KEEP, &keep), -EINVAL, "KEEP, argsz too small");
	keep.argsz = sizeof(keep);
	keep.flags = 1;
	tap_expect_ret(vfio_ioctl(bench.container, VFIO_PREREG_KEEP, &keep), -EINVAL, "KEEP, a flag");
	tap_expect_ret(vfio_ioctl(bench.container, VFIO_PREREG_KEEP, (void *)PAGE), -EFAULT, "KEEP, no struct");
	tap_expect_ret(vfio_ioctl(bench.container, VFIO_PREREG_GET_INFO, &info), -EINVAL, "GET_INFO, argsz too small");
	info.argsz = sizeof(info);
	info.flags = 1;
	tap_expect_ret(vfio_ioctl(bench.container, VFIO_PREREG_GET_INFO, &info), -EINVAL, "GET_INFO, a flag");
	tap_expect_ret(vfio_ioctl(bench.container, VFIO_PREREG_GET_INFO, (void *)PAGE), -EFAULT, "GET_INFO, no struct");
	tap_step("a container of type 7 keeps nothing, but tells");
	tap_expect_ret(type1_keep(spapr.container, MIB), -ENOTTY, "KEEP");
	tap_expect_ret(type1_prereg_info(spapr.container, &info), 0, "GET_INFO");
	tap_expect_eq(info.registered_bytes, PAGE, "registered bytes of the process");
	tap_expect_eq(info.mappings, 0, "mappings of the container");
	rig_close(&spapr);
	bench_close(&bench);
}

/* What new containers keep, without being told. */
void test_kept_default(void)
{
	struct bench bench;
	long long usual;
	char text[16];
	char *p;

	tap_expect_ret(meter_file_read(KEEP_MIB_FILE, &usual), 0, "read keep_mib");
	tap_expect_eq(usual, 0, "keep_mib");
	p = memory(PAGES);
	if (!bench_open(&bench, VFIO_EDU0))
		return;
	map_and_unmap(&bench, p, PAGES);
	expect_held(0, 0, 0, "with keep_mib=0");
	bench_close(&bench);
	tap_expect_ret(meter_file_write(KEEP_MIB_FILE, "1"), 0, "write keep_mib");
	if (!bench_open(&bench, VFIO_EDU0))
		return;
	map_and_unmap(&bench, p, PAGES);
	expect_held(PAGES, PAGES, PAGES, "with keep_mib=1");
	bench_close(&bench);
	snprintf(text, sizeof(text), "%lld", usual);
	tap_expect_ret(meter_file_write(KEEP_MIB_FILE, text), 0, "write keep_mib");
}

/* Whatever changes what is at the addresses, the pin goes first, and the next MAP reaches what is there. */
static void kept_dropped(struct bench *bench, const struct give_up *way)
{
	char *p;
	int fd;

	tap_step("%s", way->name);
	p = give_up_memory(way, PAGES, &fd);
	if (!p)
		return;
	fill_pages(p, PAGES, 1);
	map_and_unmap(bench, p, PAGES);
	expect_held(PAGES, PAGES, PAGES, "kept");
	if (!give_up_run(way, p, PAGES, fd))
		return;
	tap_expect_eq(rig_pins(), 1, "%s: pinned pages", way->name);
	tap_expect_eq(meter_stat("kept_pages"), 0, "%s: kept pages", way->name);
	fill_pages(p, PAGES, 2);
	bench_map(bench, IOVA, p, PAGES);
	/* The charge of what was dropped is given back by now. */
	expect_held(PAGES, PAGES, 0, "mapped again");
	tap_expect(bench_reads(bench, IOVA, 2), "%s: the device reads what is there now", way->name);
	rig_expect_reach(&bench->rig, IOVA + (PAGES - 1) * PAGE, p + (PAGES - 1) * PAGE, "the last page");
	bench_unmap(bench, IOVA, PAGES);
	munmap(p, PAGES * PAGE);
	tap_expect_eq(rig_pins(), 1, "pinned pages when the memory is gone");
	close(fd);
}

static bool discard_page(char *p, size_t bytes, int fd)
{
	(void)fd;
	return !madvise(p + bytes / 2, PAGE, MADV_DONTNEED);
}

void test_kept_dropped(void)
{
	struct vfio_prereg_info info;
	struct bench bench;
	size_t i;

	if (!keeper_open(&bench, KEEP_BYTES))
		return;
	for (i = 0; i < n_give_ups; i++)
		kept_dropped(&bench, &give_ups[i]);
	kept_dropped(&bench, &(struct give_up){ .name = "MADV_DONTNEED of a page in it", .run = discard_page });
	tap_expect_ret(type1_prereg_info(bench.container, &info), 0, "GET_INFO");
	tap_expect_eq(info.stale_mappings, 0, "stale mappings");
	bench_close(&bench);
}

/* A pin for writing is no way around mprotect(). */
void test_kept_protected(void)
{
	struct bench bench;
	char *p;

	if (!keeper_open(&bench, KEEP_BYTES))
		return;
	p = memory(PAGES);
	map_and_unmap(&bench, p, PAGES);
	tap_step("read-only: MAP for writing is refused");
	tap_expect(!mprotect(p, PAGES * PAGE, PROT_READ), "mprotect");
	tap_expect_ret(vfio_map(bench.container, IOVA, p, PAGES * PAGE, VFIO_MAP_RW), -EFAULT, "MAP for both");
	expect_held(0, 0, 0, "after it");
	tap_step("a pin for reading does not do for MAP for writing");
	tap_expect_ret(vfio_map(bench.container, IOVA, p, PAGES * PAGE, VFIO_DMA_MAP_FLAG_READ), 0, "MAP for reading");
	bench_unmap(&bench, IOVA, PAGES);
	tap_expect_ret(vfio_map(bench.container, IOVA, p, PAGES * PAGE, VFIO_MAP_RW), -EFAULT, "MAP for both");
	tap_expect(!mprotect(p, PAGES * PAGE, PROT_READ | PROT_WRITE), "mprotect");
	bench_map(&bench, IOVA, p, PAGES);
	rig_expect_reach(&bench.rig, IOVA, p, "what is writable again");
	bench_close(&bench);
}

void test_kept_fork(void)
{
	struct bench bench;
	pid_t child;
	char *p;

	if (!keeper_open(&bench, KEEP_BYTES))
		return;
	p = memory(PAGES);
	map_and_unmap(&bench, p, PAGES);
	tap_step("fork; parent and child write");
	child = fork();
	if (!child) {
		fill_pages(p, PAGES, 3);
		for (;;)
			pause();
	}
	fill_pages(p, PAGES, 2);
	bench_map(&bench, IOVA, p, PAGES);
	tap_expect(bench_reads(&bench, IOVA, 2), "the device reads what the parent wrote");
	rig_expect_reach(&bench.rig, IOVA + PAGE, p + PAGE, "the parent's memory");
	bench_unmap(&bench, IOVA, PAGES);
	tap_step("the child ends; the parent writes again");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	fill_pages(p, PAGES, 4);
	bench_map(&bench, IOVA, p, PAGES);
	tap_expect(bench_reads(&bench, IOVA, 4), "the device reads what the parent wrote then");
	bench_close(&bench);
}

/* A page of a file, which the process's first write replaces by one of its own. */
void test_kept_private_file(void)
{
	const int fd = memfd_create("type1", MFD_CLOEXEC);
	struct bench bench;
	char *p;

	if (!tap_expect(fd >= 0 && !ftruncate(fd, PAGE), "memfd: %s", strerror(errno)) || !keeper_open(&bench, KEEP_BYTES))
		return;
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (!tap_expect(p != MAP_FAILED, "mmap: %s", strerror(errno)))
		return;
	tap_step("mapped for reading, unmapped, written");
	tap_expect_ret(vfio_map(bench.container, IOVA, p, PAGE, VFIO_DMA_MAP_FLAG_READ), 0, "MAP for reading");
	bench_unmap(&bench, IOVA, 1);
	fill_pages(p, 1, 5);
	tap_step("the next MAP is of the page that the process has then");
	tap_expect_ret(vfio_map(bench.container, IOVA, p, PAGE, VFIO_DMA_MAP_FLAG_READ), 0, "MAP for reading");
	tap_expect(bench_reads(&bench, IOVA, 5), "the device reads what the process wrote");
	bench_unmap(&bench, IOVA, 1);
	bench_map(&bench, IOVA, p, 1);
	rig_expect_reach(&bench.rig, IOVA, p, "the page, mapped for both");
	close(fd);
	bench_close(&bench);
}

void test_kept_limit(void)
{
	struct bench bench;
	char *p, *q;

	if (!keeper_open(&bench, PAGES * PAGE))
		return;
	p = memory(PAGES);
	q = memory(PAGES + 1);
	tap_step("up to the limit, the oldest makes room");
	map_and_unmap(&bench, p, 10);
	map_and_unmap(&bench, q, 6);
	expect_held(16, 16, 16, "with two, which fit");
	map_and_unmap(&bench, p + 12 * PAGE, 2);
	expect_held(8, 8, 8, "with a third, for which the first went");
	bench_map(&bench, IOVA, q, 6);
	expect_held(8, 8, 2, "the second is used again");
	bench_unmap(&bench, IOVA, 6);
	tap_step("what is larger than the limit is not kept, and nothing goes for it");
	map_and_unmap(&bench, p, PAGES);
	map_and_unmap(&bench, q, PAGES + 1);
	tap_expect(meter_stat("kept_pages") <= PAGES, "kept pages: %lld", meter_stat("kept_pages"));
	bench_close(&bench);
	expect_held(0, 0, 0, "closed");
}

void test_kept_memlock(void)
{
	struct bench bench;
	char *p, *q;

	if (!keeper_open(&bench, KEEP_BYTES))
		return;
	p = memory(PAGES);
	q = memory(PAGES);
	tap_expect(proc_limit_memlock((PAGES + 4) * PAGE), "limit RLIMIT_MEMLOCK");
	map_and_unmap(&bench, p, PAGES);
	expect_held(PAGES, PAGES, PAGES, "kept");
	tap_step("MAP of other memory, for which the limit has no room beside what is kept");
	bench_map(&bench, IOVA, q, PAGES);
	expect_held(PAGES, PAGES, 0, "after it");
	rig_expect_reach(&bench.rig, IOVA, q, "the other memory");
	tap_step("what is mapped does not make room");
	tap_expect_ret(vfio_map(bench.container, IOVA2, p, PAGES * PAGE, VFIO_MAP_RW), -ENOMEM, "MAP above the limit");
	bench_close(&bench);
}

void test_kept_pressure(void)
{
	struct bench bench;
	char *p;

	if (!keeper_open(&bench, KEEP_BYTES))
		return;
	p = memory(PAGES);
	map_and_unmap(&bench, p, PAGES);
	tap_step("the kernel wants memory back");
	tap_expect(meter_file_write("/proc/sys/vm/drop_caches", "2") >= 0, "drop_caches");
	tap_expect_eq(rig_pins(), 1, "pinned pages");
	bench_map(&bench, IOVA, p, PAGES);
	expect_held(PAGES, PAGES, 0, "mapped again");
	rig_expect_reach(&bench.rig, IOVA, p, "what is mapped again");
	tap_step("what is mapped stays");
	tap_expect(meter_file_write("/proc/sys/vm/drop_caches", "2") >= 0, "drop_caches");
	expect_held(PAGES, PAGES, 0, "after it");
	bench_close(&bench);
}

void test_kept_close(void)
{
	struct bench a, b;
	char *p;

	if (!keeper_open(&a, KEEP_BYTES) || !bench_open(&b, VFIO_EDU1))
		return;
	p = memory(PAGES);
	map_and_unmap(&a, p, PAGES);
	expect_held(PAGES, PAGES, PAGES, "kept");
	tap_step("another container of the process uses it, which keeps nothing");
	bench_map(&b, IOVA, p, PAGES);
	expect_held(PAGES, PAGES, 0, "mapped there");
	rig_expect_reach(&b.rig, IOVA, p, "it there");
	bench_unmap(&b, IOVA, PAGES);
	expect_held(0, 0, 0, "unmapped there");
	tap_step("with the last container all goes");
	map_and_unmap(&a, p, PAGES);
	bench_close(&b);
	expect_held(PAGES, PAGES, PAGES, "one container left");
	bench_close(&a);
	expect_held(0, 0, 0, "none left");
}

/* Keeps memory, and is killed; the test has its fds. */
static int keeper_child(int sock, void *arg)
{
	struct bench *bench = arg;
	char *p = memory(PAGES);
	int msg;

	map_and_unmap(bench, p, PAGES);
	tap_expect_eq(meter_stat("kept_pages"), PAGES, "kept pages");
	sock_send(sock, MSG_READY);
	sock_recv(sock, &msg);
	return 1;
}

void test_kept_exit(void)
{
	struct bench bench;
	struct proc keeper;

	if (!keeper_open(&bench, KEEP_BYTES))
		return;
	tap_step("a process keeps memory; another one has its container");
	if (!tap_expect_ret(proc_start(&keeper, keeper_child, &bench), 0, "fork") ||
	    !tap_expect_ret(sock_expect(keeper.sock, MSG_READY), 0, "it is ready"))
		return;
	tap_expect_eq(rig_pins(), PAGES + 1, "pinned pages");
	tap_step("it is killed");
	proc_kill(&keeper);
	expect_held(0, 0, 0, "after the kill");
	bench_close(&bench);
}
