// SPDX-License-Identifier: GPL-2.0
/*
 * The end of processes whose memory drivers have pinned, and drivers that do not let go. vfio_prereg gives an mm's
 * memory back at its last mmput; the kernel's own driver when it is unmapped or the container goes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "emulated.h"
#include "meter.h"
#include "proc.h"
#include "tap.h"

#define N_PAGES 64

enum {
	MSG_READY = 1,
	MSG_GO,
};

int emulated_exec_main(const char *text)
{
	const int sock = atoi(text);
	int msg;

	if (sock_send(sock, MSG_READY))
		return 1;
	return sock_recv(sock, &msg);
}

/* An owner of mapped memory, and how it ends. */
struct owner {
	bool pins;		/* it has the device pin its pages; else the judge does */
	bool execve;
	char *p;		/* its memory, at an address where the judge has some, too */
};

static int run_owner(int sock, void *arg)
{
	const struct owner *owner = arg;
	struct vfio_dev dev;
	char text[16];
	int msg;

	mem_fill(owner->p, N_PAGES * PAGE, 77);
	if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU) ||
	    !tap_expect_ret(vfio_map(dev.container, IOVA, owner->p, N_PAGES * PAGE, VFIO_MAP_RW), 0, "MAP"))
		return 1;
	if (owner->pins)
		tap_expect_ret(testdev_pin(dev.device, IOVA, 4, TESTDEV_RW), 0, "the owner has 4 pinned");
	if (!tap_expect_ret(sock_send_fds(sock, (int[]){ dev.container, dev.group, dev.device }, 3), 0, "send the fds") ||
	    sock_recv(sock, &msg))
		return 1;
	if (owner->execve) {
		snprintf(text, sizeof(text), "%d", sock);
		fcntl(sock, F_SETFD, 0);
		execl("/proc/self/exe", "emulated", EXEC_ARG, text, NULL);
		tap_expect(false, "execve: %s", strerror(errno));
	}
	return 1;
}

/* vfio_prereg: nothing of the owner is left, the driver was told, and the container is as good as new. */
static void judge_ours(struct vfio_dev *dev)
{
	const struct test_device_state state = testdev_state(dev->device);
	struct meter_stats stats;
	char data[8], *p;

	tap_expect_eq(rig_pins(), 0, "pinned pages after the owner's end");
	tap_expect_eq(state.notified, 1, "notifications");
	tap_expect_eq(state.iova, IOVA, "the notification's IOVA");
	tap_expect_eq(state.bytes, N_PAGES * PAGE, "the notification's bytes");
	tap_expect_eq(state.pinned, 0, "pages that the device still has pinned");
	tap_expect_ret(meter_stats_read(&stats), 0, "counters");
	tap_expect(!stats.regions && !stats.pinned_pages && !stats.charged_pages && !stats.mappings && !stats.mapped_bytes,
		   "counters after the owner's end: %s", meter_stats_text(&stats));
	tap_expect_ret(testdev_pin(dev->device, IOVA, 1, TESTDEV_RW), -EINVAL, "pin");
	tap_expect_ret(testdev_read(dev->device, IOVA, data, 8, TEST_DEVICE_COPY_THREAD), -EINVAL, "read");
	tap_step("another process maps and pins there");
	p = emulated_map(dev, N_PAGES * PAGE, IOVA);
	if (!p)
		return;
	tap_expect_ret(testdev_pin(dev->device, IOVA, 4, TESTDEV_RW), 0, "pin 4");
	emulated_expect_page(dev, IOVA, p);
	emulated_expect_held(4, 4, "of the new process");
}

static void judge_upstream(struct vfio_dev *dev)
{
	char data[8];

	tap_expect_eq(rig_pins(), 4, "pinned pages after the owner's end");
	tap_expect_eq(testdev_state(dev->device).notified, 0, "notifications");
	tap_expect_ret(testdev_pin(dev->device, IOVA + 8 * PAGE, 1, TESTDEV_RW), -ENODEV, "pin");
	tap_expect_ret(testdev_read(dev->device, IOVA, data, 8, TEST_DEVICE_COPY_THREAD), -EPERM, "read");
	tap_expect_ret(vfio_unmap(dev->container, IOVA, N_PAGES * PAGE), 0, "UNMAP");
	tap_expect_eq(testdev_state(dev->device).notified, 1, "notifications");
	tap_expect_eq(rig_pins(), 0, "pinned pages after UNMAP");
}

static void owner_ends(struct owner *owner)
{
	struct vfio_dev dev = { .container = -1, .group = -1, .device = -1, .owns_container = true };
	struct proc proc;
	char data[64];
	int fds[3];

	owner->p = mem_alloc(N_PAGES * PAGE, MEM_SMALL);
	if (!tap_expect(owner->p, "memory: %s", strerror(errno)) ||
	    !tap_expect_ret(proc_start(&proc, run_owner, owner), 0, "fork") ||
	    !tap_expect_ret(sock_recv_fds(proc.sock, fds, 3), 0, "receive the fds"))
		return;
	dev.container = fds[0];
	dev.group = fds[1];
	dev.device = fds[2];
	tap_step("an owner's pages are pinned%s", owner->pins ? "" : " by another process that has its fds");
	if (!owner->pins)
		tap_expect_ret(testdev_pin(dev.device, IOVA, 4, TESTDEV_RW), 0, "pin 4 of the owner's");
	tap_expect_eq(rig_pins(), 4, "pinned pages while it lives");
	tap_expect_eq((meter_vmlck_kib(proc.pid) << 10) / (long long)PAGE, 4, "pages the owner is charged");
	tap_expect_eq(meter_vmlck_kib(0), 0, "KiB the other process is charged");
	tap_expect_ret(testdev_read(dev.device, IOVA, data, 64, TEST_DEVICE_COPY_PAGES), 0, "read a page");
	tap_expect(mem_matches(data, 64, 77), "it is the owner's page");
	tap_step("its memory is not the other process's to read; it is a kernel thread's");
	tap_expect_ret(testdev_read(dev.device, IOVA, data, 64, 0), -EFAULT, "read in the other process");
	memset(data, 0, 64);
	tap_expect_ret(testdev_read(dev.device, IOVA, data, 64, TEST_DEVICE_COPY_THREAD), 0, "read in a thread");
	tap_expect(mem_matches(data, 64, 77), "it is the owner's memory");
	tap_step("the owner ends");
	if (owner->execve) {
		sock_send(proc.sock, MSG_GO);
		tap_expect_ret(sock_expect(proc.sock, MSG_READY), 0, "the new program runs");
	} else {
		kill(proc.pid, SIGKILL);
		tap_expect_eq(pid_wait(proc.pid, 20000), 128 + SIGKILL, "the owner's exit status");
	}
	if (emulated_ours)
		judge_ours(&dev);
	else
		judge_upstream(&dev);
	proc_kill(&proc);
	vfio_dev_close(&dev);
	emulated_expect_held(0, 0, "after close");
}

void test_owner_killed(void)
{
	owner_ends(&(struct owner){ .pins = false });
}

void test_owner_killed_pinned_by_it(void)
{
	owner_ends(&(struct owner){ .pins = true });
}

void test_owner_execve(void)
{
	owner_ends(&(struct owner){ .execve = true });
}

/* A process that maps its memory into a container that it was born with. */
static int mapping_child(int sock, void *arg)
{
	char *p = emulated_map(arg, 8 * PAGE, IOVA);
	int msg;

	if (!p)
		return 1;
	mem_fill(p, 8 * PAGE, 88);
	sock_send(sock, MSG_READY);
	sock_recv(sock, &msg);
	return 0;
}

void test_two_owners(void)
{
	struct vfio_dev dev;
	struct proc child;
	uint64_t deadline;
	char data[64], *p;

	if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU))
		return;
	tap_step("two processes map, side by side; a driver pins of both, and over the border");
	if (!tap_expect_ret(proc_start(&child, mapping_child, &dev), 0, "fork") ||
	    !tap_expect_ret(sock_expect(child.sock, MSG_READY), 0, "the child has mapped"))
		return;
	p = emulated_map(&dev, 8 * PAGE, IOVA + 8 * PAGE);
	if (!p)
		return;
	mem_fill(p, 8 * PAGE, 99);
	tap_expect_ret(testdev_pin(dev.device, IOVA, 2, TESTDEV_RW), 0, "pin 2 of the child's");
	tap_expect_ret(testdev_pin(dev.device, IOVA + 7 * PAGE, 2, TESTDEV_RW), 0, "pin one of each");
	tap_expect_ret(testdev_pin(dev.device, IOVA + 15 * PAGE, 1, TESTDEV_RW), 0, "pin 1 of the parent's");
	emulated_expect_held(5, 2, "of both");
	tap_expect_eq((meter_vmlck_kib(child.pid) << 10) / (long long)PAGE, 3, "pages the child is charged");
	emulated_expect_page(&dev, IOVA + 15 * PAGE, p + 7 * PAGE);
	tap_expect_ret(testdev_read(dev.device, IOVA + PAGE, data, 64, TEST_DEVICE_COPY_PAGES), 0, "read the child's page");
	tap_expect(!memcmp(data, (mem_fill(p, 2 * PAGE, 88), p + PAGE), 64), "it is the child's page");
	tap_step("the child is killed");
	proc_kill(&child);
	if (emulated_ours) {
		tap_expect_eq(testdev_state(dev.device).notified, 1, "notifications");
		deadline = meter_now_ns() + proc_limit_ms(5000) * 1000000;
		/* The parent's charge is returned by a work item: the child could not wait for the parent's mmap_lock. */
		while (meter_vmlck_kib(0) << 10 > (long long)PAGE && meter_now_ns() < deadline)
			meter_sleep_ms(1);
		emulated_expect_held(1, 1, "after the child's end");
	} else {
		emulated_expect_held(5, 2, "after the child's end");
	}
	tap_step("the parent's mapping is as it was");
	emulated_expect_page(&dev, IOVA + 15 * PAGE, p + 7 * PAGE);
	tap_expect_ret(testdev_pin(dev.device, IOVA + 8 * PAGE, 1, TESTDEV_RW), 0, "pin 1 more");
	emulated_expect_page(&dev, IOVA + 8 * PAGE, p);
	tap_expect_ret(vfio_unmap(dev.container, IOVA + 8 * PAGE, 8 * PAGE), 0, "UNMAP");
	vfio_dev_close(&dev);
	emulated_expect_held(0, 0, "after close");
}

#define COPY_BYTES MIB
#define COPY_ROUNDS 40

struct copier {
	int device;
	atomic_bool stop;
	atomic_ulong copies;
};

static void *copy_without_end(void *arg)
{
	struct copier *copier = arg;
	char *data = calloc(1, COPY_BYTES);

	while (data && !copier->stop) {
		const int ret = testdev_write(copier->device, IOVA, data, COPY_BYTES, TEST_DEVICE_COPY_THREAD);

		/* EPERM: the kernel's driver has the mapping, and its mm is gone. */
		tap_expect(!ret || ret == -EINVAL || ret == -EFAULT || ret == -EPERM, "write: %s",
			   tap_ret_name(ret));
		copier->copies += !ret;
	}
	free(data);
	return NULL;
}

static int big_child(int sock, void *arg)
{
	struct vfio_dev *dev = arg;
	char *p = mem_alloc(COPY_BYTES, MEM_SMALL);
	int msg, ret;

	/* The last child's mapping goes when the thread lets go of its mm. */
	do
		ret = vfio_map(dev->container, IOVA, p, COPY_BYTES, VFIO_MAP_RW);
	while (ret == -EEXIST);
	if (!tap_expect_ret(ret, 0, "MAP"))
		return 1;
	sock_send(sock, MSG_READY);
	sock_recv(sock, &msg);
	return 0;
}

void test_owner_killed_in_copy(void)
{
	struct copier copier = { 0 };
	struct vfio_dev dev;
	pthread_t thread;
	struct proc child;
	int round;

	if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU))
		return;
	copier.device = dev.device;
	tap_step("a kernel thread writes to a process's memory when it is killed: the thread may be the mm's last user");
	if (!tap_expect(!pthread_create(&thread, NULL, copy_without_end, &copier), "thread"))
		return;
	for (round = 0; round < COPY_ROUNDS; round++) {
		const unsigned long before = copier.copies;

		if (!tap_expect_ret(proc_start(&child, big_child, &dev), 0, "fork") ||
		    !tap_expect_ret(sock_expect(child.sock, MSG_READY), 0, "the child has mapped"))
			break;
		while (copier.copies < before + 2)
			meter_sleep_ms(1);
		proc_kill(&child);
		if (!emulated_ours)
			tap_expect_ret(vfio_unmap(dev.container, IOVA, COPY_BYTES), 0, "UNMAP");
	}
	copier.stop = true;
	pthread_join(thread, NULL);
	tap_diag("%lu copies", copier.copies);
	vfio_dev_close(&dev);
}

#define BAD_PAGES 2

/*
 * For drivers that do not unpin: their pages are lost, as they may still be written. The kernel's own driver stops the
 * machine (BUG_ON) or warns.
 */
static bool open_bad(struct vfio_dev *dev)
{
	if (!emulated_ours) {
		tap_skip("the kernel's driver does not bear this");
		return false;
	}
	return emulated_open(dev, 0, VFIO_TYPE1v2_IOMMU) &&
	       tap_expect_ret(testdev_mode(dev->device, TEST_DEVICE_KEEP_AT_UNMAP | TEST_DEVICE_KEEP_AT_CLOSE), 0, "mode");
}

/* Closes the device; asserts that its pages stay pinned, and that it is said. */
static void close_bad(struct vfio_dev *dev, int klog)
{
	vfio_dev_close(dev);
	emulated_expect_held(BAD_PAGES, 0, "after close");
	tap_expect(meter_klog_find(klog, "2 pages stay pinned"), "no word of it in the log");
	close(klog);
	/* So that the next test finds none. */
	meter_lose(BAD_PAGES);
	if (emulated_open(dev, 0, VFIO_TYPE1v2_IOMMU))
		tap_expect_ret(testdev_drop(dev->device), 0, "drop the lost pages");
	vfio_dev_close(dev);
}

void test_bad_at_unmap(void)
{
	const int klog = meter_klog_open();
	struct vfio_dev dev;

	if (!open_bad(&dev) || !emulated_map(&dev, 8 * PAGE, IOVA))
		return;
	tap_expect_ret(testdev_pin(dev.device, IOVA, BAD_PAGES, TESTDEV_RW), 0, "pin");
	tap_step("a driver does not unpin when it is told of an UNMAP: the mapping goes, its pages are lost");
	tap_expect_ret(vfio_unmap(dev.container, IOVA, 8 * PAGE), 0, "UNMAP");
	tap_expect(testdev_state(dev.device).notified >= 1, "the driver was told");
	emulated_expect_held(BAD_PAGES, 0, "after UNMAP");
	tap_expect_ret(testdev_pin(dev.device, IOVA, 1, TESTDEV_RW), -EINVAL, "pin what is unmapped");
	tap_step("mapped again, it is another mapping");
	if (!emulated_map(&dev, 8 * PAGE, IOVA))
		return;
	tap_expect_ret(vfio_unmap(dev.container, IOVA, 8 * PAGE), 0, "UNMAP");
	close_bad(&dev, klog);
}

void test_bad_at_close(void)
{
	const int klog = meter_klog_open();
	struct vfio_dev dev;

	if (!open_bad(&dev) || !emulated_map(&dev, 8 * PAGE, IOVA))
		return;
	tap_expect_ret(testdev_pin(dev.device, IOVA, BAD_PAGES, TESTDEV_RW), 0, "pin");
	tap_step("a driver does not unpin when its device is closed");
	close_bad(&dev, klog);
}

static int bad_child(int sock, void *arg)
{
	struct vfio_dev *dev = arg;

	if (!emulated_map(dev, 8 * PAGE, IOVA))
		return 1;
	tap_expect_ret(testdev_pin(dev->device, IOVA, BAD_PAGES, TESTDEV_RW), 0, "pin");
	sock_send(sock, MSG_READY);
	return sock_expect(sock, MSG_GO);
}

void test_bad_at_death(void)
{
	const int klog = meter_klog_open();
	struct meter_stats stats;
	struct vfio_dev dev;
	struct proc child;

	if (!open_bad(&dev))
		return;
	tap_step("a driver does not unpin when the owner of the memory dies");
	if (!tap_expect_ret(proc_start(&child, bad_child, &dev), 0, "fork") ||
	    !tap_expect_ret(sock_expect(child.sock, MSG_READY), 0, "the child has mapped"))
		return;
	proc_kill(&child);
	tap_expect(testdev_state(dev.device).notified >= 1, "the driver was told");
	tap_expect_ret(meter_stats_read(&stats), 0, "counters");
	tap_expect(!stats.regions && !stats.charged_pages && !stats.mappings && !stats.mapped_bytes,
		   "counters after the owner's end: %s", meter_stats_text(&stats));
	close_bad(&dev, klog);
}
