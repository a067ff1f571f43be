// SPDX-License-Identifier: GPL-2.0
/* Types 1 and 3: several processes with one container, and how it ends. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meter.h"
#include "type1_box.h"

#define GUEST_PAGES 4	/* what a second process maps, at IOVA2 */

/* A child that runs @fn and is waited for. */
static void in_child(void (*fn)(struct box *box), struct box *box)
{
	const pid_t pid = fork();

	if (!pid) {
		fn(box);
		_exit(0);
	}
	tap_expect_eq(pid_wait(pid, 20000), 0, "the child's exit status");
}

/* A child that has mapped its @spare at IOVA2 and waits to be killed. */
static pid_t guest_start(struct box *box)
{
	int pair[2];
	char ready;
	pid_t pid;

	tap_expect(!pipe(pair), "pipe");
	pid = fork();
	if (!pid) {
		close(pair[0]);
		memset(box->spare, 2, GUEST_PAGES * page());
		tap_expect_ret(vfio_map(box->fd, IOVA2, box->spare, GUEST_PAGES * page(), MAP_RW), 0, "MAP by the child");
		tap_expect(write(pair[1], "r", 1) == 1, "write");
		for (;;)
			pause();
	}
	close(pair[1]);
	tap_expect(read(pair[0], &ready, 1) == 1, "the child is ready");
	close(pair[0]);
	return pid;
}

static void guest_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	pid_wait(pid, 20000);
}

static void every_call(struct box *box)
{
	union type1_info info;

	say_ret(type1_get_info(box->fd, &info));
	say_ret(vfio_check_extension(box->fd, VFIO_TYPE1_IOMMU));
	say_ret(vfio_map(box->fd, IOVA2, box->spare, page(), MAP_RW));
	say_ret(type1_dirty(box->fd, VFIO_IOMMU_DIRTY_PAGES_FLAG_START));
	say_unmap(box, IOVA2, page(), 0);
	say_unmap(box, IOVA, MAPPED_PAGES * page(), 0);
}

static void run_foreign(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	in_child(every_call, &box);
	say("%lld pinned", pins(1));
	say("%lld charged", charge());
	box_close(&box);
}

/* The child maps its own memory beside its parent's: who pays, what the device reaches. */
static void map_own(struct box *box)
{
	struct held before = held_now();

	say_ret(vfio_map(box->fd, IOVA, box->spare, page(), MAP_RW));
	say_map(box, box->spare, GUEST_PAGES * page(), MAP_RW);
	before.charge = charge() - before.charge;
	tap_expect_eq(before.charge, GUEST_PAGES, "the child's own charge");
	say_reach(box, IOVA2, box->spare);
}

static void run_guest(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	in_child(map_own, &box);
	say_reach(&box, IOVA, box.mem);
	say("%lld charged", charge());
	box_close(&box);
}

/* A process that mapped memory is killed; its parent has the container. */
static void run_guest_dies(const struct scenario *s)
{
	struct held before;
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	before = held_now();
	guest_kill(guest_start(&box));
	say_change(&before);
	say_reach(&box, IOVA, box.mem);
	say_ret(vfio_map(box.fd, IOVA2, box.mem, page(), MAP_RW));
	say_unmap(&box, IOVA2, GUEST_PAGES * page(), 0);
	say("%lld pinned", pins(9));
	box_close(&box);
}

/* Its parent unmaps what the child mapped, while that lives. */
static void run_unmap_guest(const struct scenario *s)
{
	struct held before;
	struct box box;
	pid_t pid;

	(void)s;
	if (!box_open(&box))
		return;
	before = held_now();
	pid = guest_start(&box);
	say_unmap(&box, IOVA2, GUEST_PAGES * page(), 0);
	say_change(&before);
	say("%lld KiB charged to the child", meter_vmlck_kib(pid));
	guest_kill(pid);
	box_close(&box);
}

static void run_unmap_all(const struct scenario *s)
{
	struct box box;
	pid_t pid;

	(void)s;
	if (!box_open(&box))
		return;
	pid = guest_start(&box);
	say_unmap(&box, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL);
	say("%lld pinned", pins(0));
	guest_kill(pid);
	box_close(&box);
}

/* The process that mapped executes another program, which has the fds. */
static void run_execve(const struct scenario *s)
{
	struct box box;
	int pair[2];
	char ready;
	pid_t pid;

	(void)s;
	tap_expect(!pipe(pair), "pipe");
	if (!box_open_bare(&box))
		return;
	pid = fork();
	if (!pid) {
		tap_expect_ret(vfio_map(box.fd, IOVA, box.mem, MAPPED_PAGES * page(), MAP_RW), 0, "MAP");
		dup2(pair[1], STDOUT_FILENO);
		execl("/bin/sh", "sh", "-c", "echo; exec sleep 1000", NULL);
		_exit(1);
	}
	tap_expect(read(pair[0], &ready, 1) == 1, "the program runs");
	say("%lld pinned", pins(0));
	say_ret(vfio_map(box.fd, IOVA, box.mem, MAPPED_PAGES * page(), MAP_RW));
	say_unmap(&box, IOVA, MAPPED_PAGES * page(), 0);
	guest_kill(pid);
	close(pair[0]);
	close(pair[1]);
	box_close(&box);
}

#define BELONGS "memory belongs to the address space, not to the fd"

static const struct scenario process[] = {
	{ .name = "foreign-process", .what = "by a forked child: GET_INFO, CHECK_EXTENSION, MAP, START, UNMAP of its own and of its parent's; pins, charge",
	  .run = run_foreign, .upstream = "v1: 0, 1, 0, EACCES, 0, 1 pages, 0, 8 pages, 1 pinned, 1 charged; "
					  "v2: 0, 1, 0, 0, 0, 1 pages, 0, 8 pages, 1 pinned, 1 charged" },
	{ .name = "foreign-memory", .what = "a child maps 4 pages of its own: over its parent's, beside them; DMA to both", .run = run_guest,
	  .upstream = "EEXIST, 0, +4 pinned, +4 charged, reached, reached, 9 charged" },
	{ .name = "foreign-dies", .what = "that child is killed: pins, DMA to its parent's memory, MAP at the child's IOVA, UNMAP there; pins",
	  .run = run_guest_dies, .upstream = "+4 pinned, reached, EEXIST, 0, 4 pages, 9 pinned", .ours = "reached, 0, 0, 1 pages, 9 pinned",
	  .verdict = FIXED, .why = BELONGS },
	{ .name = "foreign-unmap", .what = "its parent unmaps it while it lives: pins, what the child is charged", .run = run_unmap_guest,
	  .upstream = "0, 4 pages, 0 KiB charged to the child" },
	{ .name = "foreign-unmap-all", .what = "UNMAP with VFIO_DMA_UNMAP_FLAG_ALL of both processes' mappings", .run = run_unmap_all,
	  .upstream = "0, 13 pages, 0 pinned" },
	{ .name = "execve", .what = "the process that mapped executes a program, its parent has the fds: pins, MAP there, UNMAP", .run = run_execve,
	  .upstream = "8 pinned, EEXIST, 0, 8 pages", .ours = "0 pinned, 0, 0, 8 pages", .verdict = FIXED, .why = BELONGS },
	{ .name = "fork", .what = "the process forks: DMA to its pages while the child lives, and after", .run = run_fork, .upstream = "reached, reached" },
};

const struct scenario_group group_type1_process = { "Processes", process, COUNT(process) };

static void run_close(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	box_close(&box);
	say("%lld pinned", pins(0));
	say("%lld charged", charge());
}

/* Only the group leaves; the container's fd stays open. */
static void run_detach(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	box_detach(&box);
	say("%lld pinned", pins(0));
	say("%lld charged", charge());
	box_close(&box);
}

#define NOTHING_HELD "0 MB held, 0 MB pinned"
#define HELD .run = run_held, .type = VFIO_TYPE1v2_IOMMU, .timeout_s = 120
#define OUTLIVES .upstream = "64 MB held, 64 MB pinned", .ours = NOTHING_HELD, .verdict = FIXED, .why = BELONGS

static const struct scenario ends[] = {
	{ .name = "close", .what = "close of all fds with 9 pages mapped: pins, charge", .run = run_close, .upstream = "0 pinned, 0 charged" },
	{ .name = "detach", .what = "the last group leaves the container: pins, charge", .run = run_detach, .upstream = "0, 0 pinned, 0 charged" },
	{ .name = "held-nobody", .what = "killed, nobody outlives it: of 64 MB", HELD, .upstream = NOTHING_HELD },
	{ .name = "held-child", .what = "killed, a child inherited the fds: of 64 MB", HELD, OUTLIVES },
	{ .name = "held-scm-rights", .what = "killed, a process got the fds (SCM_RIGHTS): of 64 MB", HELD, OUTLIVES },
	{ .name = "held-execve", .what = "execve(), the new program has the fds: of 64 MB", HELD, OUTLIVES },
	{ .name = "held-proc-mem", .what = "killed, somebody has /proc/PID/mem open: of 64 MB", HELD, .upstream = NOTHING_HELD },
	{ .name = "held-thread", .what = "main ends, a thread outlives it and ends: of 64 MB", HELD, .upstream = NOTHING_HELD },
	{ .name = "held-normal-exit", .what = "a normal exit: of 64 MB", HELD, .upstream = NOTHING_HELD },
};

const struct scenario_group group_type1_end = { "The end", ends, COUNT(ends) };
