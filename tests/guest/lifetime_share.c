// SPDX-License-Identifier: GPL-2.0
/* Who shares an owner's memory or container, and what that changes for its life. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lifetime.h"
#include "meter.h"
#include "rig.h"
#include "tap.h"

#define IOVA 0x10000000ull
#define IOVA2 0x20000000ull

enum {
	MSG_READY = 1,
	MSG_GO,
	MSG_DONE,
};

/* An owner: a device, and memory that is registered and mapped at IOVA. */
struct owner {
	struct rig rig;
	size_t bytes;
	char *p;
};

static bool owner_open(struct owner *o, size_t bytes, enum mem_kind kind)
{
	o->bytes = bytes;
	if (!rig_open(&o->rig, VFIO_EDU0))
		return false;
	o->p = rig_own(&o->rig, bytes, kind, IOVA);
	return o->p;
}

/* The device reads and writes the last bytes of the memory. */
static void owner_check_dma(struct owner *o, const char *when)
{
	const size_t offset = o->bytes - 64;

	rig_expect_reach(&o->rig, IOVA + offset, o->p + offset, when);
}

static void fork_device_view(size_t bytes, enum mem_kind kind, const char *what)
{
	struct owner o;
	pid_t child;
	int status;

	tap_step("own %zu KiB of %s for DMA", bytes >> 10, what);
	if (!owner_open(&o, bytes, kind))
		return;
	mem_fill(o.p, bytes, 1);
	tap_step("fork a child that writes its copy of all of it");
	child = fork();
	if (!child) {
		mem_fill(o.p, bytes, 2);
		meter_sleep_ms(30000);
		_exit(0);
	}
	tap_step("the parent writes after the fork: the device must see that, not the child's");
	meter_sleep_ms(20);
	owner_check_dma(&o, "the parent's memory after fork()");
	rig_expect_reach(&o.rig, IOVA, o.p, "its first page");
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	owner_check_dma(&o, "the parent's memory after the child's end");
	rig_close(&o.rig);
	mem_free(o.p, bytes);
}

void test_fork_device_view(void)
{
	fork_device_view(16 * PAGE, MEM_SMALL, "small pages");
	fork_device_view(4 * MIB, MEM_THP, "huge pages");
}

struct two {
	struct vfio_dev a, b;
	struct edu edu_b;
	void *p;
};

static bool two_open(struct two *two)
{
	if (!tap_expect_ret(vfio_dev_open(&two->a, VFIO_EDU0, TYPE7), 0, "first container") ||
	    !tap_expect_ret(vfio_dev_open(&two->b, VFIO_EDU1, TYPE7), 0, "second container") ||
	    !tap_expect_ret(edu_open(&two->edu_b, two->b.device), 0, "edu engine"))
		return false;
	two->p = mem_alloc(MIB, MEM_SMALL);
	return tap_expect(two->p, "memory");
}

/* @table: what is charged besides, for tables of windows. */
static void expect_shared(long long regions, long long pages, long long table)
{
	struct meter_stats stats;

	tap_expect_eq(rig_pins(), pages, "pinned pages");
	tap_expect_eq(meter_vmlck_kib(0), (pages + table) * (PAGE >> 10), "VmLck");
	tap_expect_ret(meter_stats_read(&stats), 0, "counters");
	tap_expect_eq(stats.regions, regions, "regions");
	tap_expect_eq(stats.pinned_pages, pages, "pages that the module says it pins");
	tap_expect_eq(stats.charged_pages, pages + table, "pages that the module says it charged");
}

void test_two_containers(void)
{
	long long table;
	struct two two;
	int a, b;

	if (!two_open(&two))
		return;
	table = rig_default_table_pages(two.a.container);
	a = two.a.container;
	b = two.b.container;
	tap_step("REGISTER 1 MiB in one container, then in the other: one pin, one charge");
	tap_expect_ret(spapr_register(a, two.p, MIB), 0, "REGISTER in A");
	expect_shared(1, MIB / PAGE, 0);
	tap_expect_ret(spapr_register(b, two.p, MIB), 0, "REGISTER in B");
	expect_shared(1, MIB / PAGE, 0);
	tap_expect_ret(spapr_register(b, two.p, MIB), -EBUSY, "REGISTER in B again");
	tap_step("map it in both; a mapping in B is no reason to refuse UNREGISTER in A");
	tap_expect_ret(vfio_map(a, IOVA, two.p, MIB, VFIO_MAP_RW), 0, "MAP in A");
	tap_expect_ret(vfio_map(b, IOVA2, two.p, MIB, VFIO_MAP_RW), 0, "MAP in B");
	tap_expect_ret(spapr_unregister(a, two.p, MIB), -EBUSY, "UNREGISTER in A, mapped there");
	tap_expect_ret(vfio_unmap(a, IOVA, MIB), 0, "UNMAP in A");
	tap_expect_ret(spapr_unregister(a, two.p, MIB), 0, "UNREGISTER in A");
	expect_shared(1, MIB / PAGE, 2 * table);
	tap_step("the device in B still reaches it");
	mem_fill(two.p, 256, 7);
	tap_expect_ret(edu_copy(&two.edu_b, IOVA2 + MIB / 2, IOVA2, 256), 0, "DMA in B");
	tap_expect(mem_matches((char *)two.p + MIB / 2, 256, 7), "B's device moved the data");
	tap_step("the last container's UNREGISTER puts the pages");
	tap_expect_ret(spapr_unregister(b, two.p, MIB), -EBUSY, "UNREGISTER in B, mapped there");
	tap_expect_ret(vfio_unmap(b, IOVA2, MIB), 0, "UNMAP in B");
	tap_expect_ret(spapr_unregister(b, two.p, MIB), 0, "UNREGISTER in B");
	expect_shared(0, 0, 2 * table);
	tap_step("closing a container puts its share only");
	tap_expect_ret(vfio_hold(a, TYPE7, two.p, MIB, IOVA), 0, "own in A");
	tap_expect_ret(vfio_hold(b, TYPE7, two.p, MIB, IOVA2), 0, "own in B");
	edu_close(&two.edu_b);
	vfio_dev_close(&two.b);
	expect_shared(1, MIB / PAGE, table);
	vfio_dev_close(&two.a);
	expect_shared(0, 0, 0);
}

static int two_containers_owner(int sock, void *arg)
{
	struct two two;
	int msg;

	(void)arg;
	if (!two_open(&two))
		return 1;
	/* A child that holds all four fds, until it is killed. */
	if (!fork()) {
		pause();
		_exit(0);
	}
	tap_expect_ret(vfio_hold(two.a.container, TYPE7, two.p, MIB, IOVA), 0, "own in A");
	tap_expect_ret(vfio_hold(two.b.container, TYPE7, two.p, MIB, IOVA), 0, "own in B");
	tap_expect_ret(vfio_map(two.b.container, IOVA2, two.p, MIB, VFIO_MAP_RW), 0,
		       "MAP in B again");
	expect_shared(1, MIB / PAGE, 2 * rig_default_table_pages(two.a.container));
	sock_send(sock, MSG_READY);
	sock_recv(sock, &msg);
	return 0;
}

void test_two_containers_kill(void)
{
	struct meter_stats stats;
	struct proc owner;

	tap_step("an owner shares a region between two containers; a child holds all fds");
	if (!tap_expect_ret(proc_start(&owner, two_containers_owner, NULL), 0, "start") ||
	    !tap_expect_ret(sock_expect(owner.sock, MSG_READY), 0, "owner is ready"))
		return;
	tap_step("kill the owner: both containers stay, nothing is left in them");
	proc_kill(&owner);
	tap_expect_eq(rig_pins(), 0, "pinned pages after the kill");
	tap_expect_ret(meter_stats_read(&stats), 0, "counters");
	tap_expect_eq(stats.containers, 2, "containers");
	tap_expect(!stats.owners && !stats.regions && !stats.mappings && !stats.charged_pages,
		   "after the kill: %s", meter_stats_text(&stats));
}

/* Every call answers EPERM to a process that is not the owner. */
static void expect_eperm(int container, void *p, size_t bytes)
{
	struct vfio_iommu_spapr_tce_info info;

	tap_expect_ret(spapr_get_info(container, &info), -EPERM, "foreign GET_INFO");
	tap_expect_ret(spapr_register(container, p, bytes), -EPERM, "foreign REGISTER");
	tap_expect_ret(spapr_unregister(container, p, bytes), -EPERM, "foreign UNREGISTER");
	tap_expect_ret(vfio_map(container, IOVA2, p, bytes, VFIO_MAP_RW), -EPERM,
		       "foreign MAP");
	tap_expect_ret(vfio_unmap(container, IOVA, bytes), -EPERM, "foreign UNMAP");
	tap_expect_ret(spapr_create(container, IOMMU_SHIFT, 1ull << 30, 1, NULL), -EPERM, "foreign CREATE");
	tap_expect_ret(spapr_remove(container, 0), -EPERM, "foreign REMOVE");
}

static int foreign_child(int sock, void *arg)
{
	struct owner *o = arg;
	int msg;

	expect_eperm(o->rig.container, o->p, o->bytes);
	sock_send(sock, MSG_DONE);
	sock_recv(sock, &msg);
	return 0;
}

void test_foreign_mm(void)
{
	struct meter_stats before, after;
	struct proc child;
	struct owner o;

	if (!owner_open(&o, 64 << 10, MEM_SMALL))
		return;
	tap_expect_ret(meter_stats_read(&before), 0, "counters");
	tap_step("a forked child calls everything with the inherited fds: EPERM");
	if (!tap_expect_ret(proc_start(&child, foreign_child, &o), 0, "fork"))
		return;
	tap_expect_ret(sock_expect(child.sock, MSG_DONE), 0, "child is done");
	tap_expect_ret(meter_stats_read(&after), 0, "counters");
	tap_expect(!memcmp(&before, &after, sizeof(before)), "nothing changed: %s",
		   meter_stats_text(&after));
	owner_check_dma(&o, "its memory after the foreign calls");
	proc_kill(&child);
	owner_check_dma(&o, "its memory after the foreign process's end");
	rig_close(&o.rig);
}

/* Takes over the container of @dev: registers, maps and does DMA. */
static void own_anew(struct vfio_dev *dev)
{
	struct owner o = { .rig = { .dev = *dev, .container = dev->container }, .bytes = 128 << 10 };
	struct vfio_iommu_spapr_tce_info info;

	tap_expect_ret(spapr_get_info(dev->container, &info), 0, "GET_INFO of an orphan");
	o.p = mem_alloc(o.bytes, MEM_SMALL);
	if (!tap_expect(o.p, "memory"))
		return;
	tap_expect_ret(vfio_map(dev->container, IOVA, o.p, o.bytes, VFIO_MAP_RW), -EPERM,
		       "MAP before REGISTER");
	tap_expect_ret(vfio_hold(dev->container, TYPE7, o.p, o.bytes, IOVA), 0,
		       "REGISTER and MAP at the dead owner's IOVA");
	if (tap_expect_ret(edu_open(&o.rig.edu, dev->device), 0, "edu engine"))
		owner_check_dma(&o, "the new owner's memory");
	edu_close(&o.rig.edu);
	tap_expect_eq(rig_pins(), o.bytes / PAGE, "the new owner's pinned pages");
}

struct heir {
	struct vfio_dev dev;
	int sock;
};

static int heir_child(int sock, void *arg)
{
	struct heir *heir = arg;
	int msg;

	sock_send(heir->sock, MSG_READY);
	if (sock_recv(heir->sock, &msg))
		return 1;
	expect_eperm(heir->dev.container, &msg, PAGE);
	sock_send(heir->sock, MSG_READY);
	if (sock_recv(heir->sock, &msg))
		return 1;
	own_anew(&heir->dev);
	sock_send(heir->sock, MSG_DONE);
	sock_recv(heir->sock, &msg);
	(void)sock;
	return 0;
}

static int dying_owner(int sock, void *arg)
{
	struct heir heir = { .sock = *(int *)arg };
	struct proc child;
	void *p;
	int msg;

	if (!tap_expect_ret(vfio_dev_open(&heir.dev, VFIO_EDU0, TYPE7), 0, "open the device") ||
	    !tap_expect_ret(proc_start(&child, heir_child, &heir), 0, "fork the heir"))
		return 1;
	p = mem_alloc(8 * MIB, MEM_SMALL);
	tap_expect_ret(vfio_hold(heir.dev.container, TYPE7, p, 8 * MIB, IOVA), 0, "own 8 MiB");
	sock_send(sock, MSG_READY);
	sock_recv(sock, &msg);
	return 0;
}

void test_new_owner(void)
{
	struct proc owner;
	int pair[2];

	tap_step("an owner has 8 MiB mapped; its child holds the fds and is refused");
	if (!rig_start_owner(&owner, dying_owner, pair, MSG_READY))
		return;
	sock_send(pair[0], MSG_GO);
	tap_expect_ret(sock_expect(pair[0], MSG_READY), 0, "child was refused");
	tap_expect_eq(rig_pins(), 8 * MIB / PAGE, "the owner's pinned pages");
	tap_step("kill the owner");
	proc_kill(&owner);
	tap_expect_eq(rig_pins(), 0, "pinned pages");
	tap_step("the child registers, maps at the old IOVA and moves data");
	sock_send(pair[0], MSG_GO);
	tap_expect_ret(sock_expect(pair[0], MSG_DONE), 0, "child is done");
	sock_send(pair[0], MSG_GO);
}

/* What is left of an owner's windows: owns the container of @heir anew and tries them. */
static int window_heir(int sock, void *arg)
{
	struct heir *heir = arg;
	struct owner o = { .rig = { .dev = heir->dev, .container = heir->dev.container },
			   .bytes = 16 * PAGE };
	const int c = o.rig.container;
	uint64_t second, start;
	int msg;

	(void)sock;
	sock_send(heir->sock, MSG_READY);
	if (sock_recv(heir->sock, &msg))
		return 1;
	second = rig_window1(c);
	o.p = mem_alloc(o.bytes, MEM_SMALL);
	if (!tap_expect(o.p, "memory") ||
	    !tap_expect_ret(spapr_register(c, o.p, o.bytes), 0, "REGISTER"))
		return 1;
	tap_expect_ret(vfio_map(c, second, o.p, PAGE, VFIO_MAP_RW), -ENXIO, "MAP in the second window");
	tap_expect_ret(vfio_unmap(c, second, PAGE), -ENXIO, "UNMAP in the second window");
	tap_expect_ret(spapr_remove(c, second), -EINVAL, "REMOVE of the second window");
	tap_expect_ret(vfio_map(c, DEFAULT_WINDOW_BYTES, o.p, PAGE, VFIO_MAP_RW), -ENXIO,
		       "MAP behind the default window");
	/* Not a multiple of the dead owner's pages. */
	tap_expect_ret(vfio_map(c, IOVA + IOMMU_PAGE, o.p, IOMMU_PAGE, VFIO_MAP_RW), 0,
		       "MAP of a page of the default window");
	tap_expect_ret(vfio_map(c, IOVA, o.p, o.bytes, VFIO_MAP_RW), 0, "MAP");
	if (tap_expect_ret(edu_open(&o.rig.edu, o.rig.dev.device), 0, "edu engine")) {
		owner_check_dma(&o, "the new owner's memory");
		rig_expect_fault(&o.rig, second, true, "the dead owner's second window");
	}
	edu_close(&o.rig.edu);
	tap_expect_ret(spapr_create(c, IOMMU_SHIFT, 1ull << 30, 1, &start), 0, "CREATE");
	tap_expect(start == second, "start of the second window: 0x%llx", (unsigned long long)start);
	sock_send(heir->sock, MSG_DONE);
	sock_recv(heir->sock, &msg);
	return 0;
}

static int window_owner(int sock, void *arg)
{
	struct heir heir = { .sock = *(int *)arg };
	struct proc child;
	uint64_t first, second;
	char *p;
	int msg;

	if (!tap_expect_ret(vfio_dev_open(&heir.dev, VFIO_EDU0, TYPE7), 0, "open the device") ||
	    !tap_expect_ret(proc_start(&child, window_heir, &heir), 0, "fork the heir"))
		return 1;
	p = mem_alloc(2 * MIB, MEM_SMALL);
	tap_expect_ret(spapr_register(heir.dev.container, p, 2 * MIB), 0, "REGISTER");
	tap_expect_ret(spapr_remove(heir.dev.container, 0), 0, "REMOVE of the default window");
	tap_expect_ret(spapr_create(heir.dev.container, 16, 1ull << 32, 1, &first), 0, "CREATE");
	tap_expect_ret(spapr_create(heir.dev.container, IOMMU_SHIFT, 1ull << 30, 1, &second), 0, "CREATE");
	tap_expect(!first && second == rig_window1(heir.dev.container), "where they start");
	tap_expect_ret(vfio_map(heir.dev.container, second, p, 2 * MIB, VFIO_MAP_RW), 0, "MAP");
	sock_send(sock, MSG_READY);
	sock_recv(sock, &msg);
	return 0;
}

void test_windows_after_death(void)
{
	struct meter_stats stats;
	struct proc owner;
	int pair[2];

	tap_step("an owner has two windows of its own, and no default one; its child holds the fds");
	if (!rig_start_owner(&owner, window_owner, pair, MSG_READY))
		return;
	tap_step("kill the owner: nothing is charged for its windows");
	proc_kill(&owner);
	tap_expect_eq(rig_pins(), 0, "pinned pages");
	tap_expect_ret(meter_stats_read(&stats), 0, "counters");
	tap_expect_eq(stats.charged_pages, 0, "charged pages");
	tap_expect_eq(stats.containers, 1, "containers");
	tap_step("its child finds the default window, and no other");
	sock_send(pair[0], MSG_GO);
	tap_expect_ret(sock_expect(pair[0], MSG_DONE), 0, "child is done");
	sock_send(pair[0], MSG_GO);
}

/* argv: SOCK CONTAINER GROUP */
int new_owner_main(char **argv)
{
	const int sock = atoi(argv[0]);
	struct vfio_dev dev = { .container = atoi(argv[1]), .group = atoi(argv[2]) };
	int msg;

	tap_init_child();
	tap_expect_eq(rig_pins(), 0, "pinned pages when the new program starts");
	dev.device = vfio_group_device(dev.group, VFIO_EDU0);
	if (tap_expect(dev.device >= 0, "device fd: %s", tap_ret_name(dev.device)))
		own_anew(&dev);
	sock_send(sock, MSG_DONE);
	sock_recv(sock, &msg);
	return 0;
}

static int executing_owner(int sock, void *arg)
{
	char text[3][16];
	struct owner o;

	(void)arg;
	if (!owner_open(&o, MIB, MEM_SMALL))
		return 1;
	snprintf(text[0], sizeof(text[0]), "%d", sock);
	snprintf(text[1], sizeof(text[1]), "%d", o.rig.container);
	snprintf(text[2], sizeof(text[2]), "%d", o.rig.dev.group);
	fcntl(sock, F_SETFD, 0);
	execl("/proc/self/exe", "lifetime", NEW_OWNER_ARG, text[0], text[1], text[2], NULL);
	tap_expect(false, "execve: %s", strerror(errno));
	return 1;
}

void test_new_owner_execve(void)
{
	struct proc owner;

	tap_step("an owner executes a program that inherits container and group");
	if (!tap_expect_ret(proc_start(&owner, executing_owner, NULL), 0, "start"))
		return;
	tap_step("the program owns the container anew and moves data");
	tap_expect_ret(sock_expect(owner.sock, MSG_DONE), 0, "the program is done");
	sock_send(owner.sock, MSG_GO);
	tap_expect_eq(proc_wait(&owner, 5000), 0, "its exit status");
}

void test_vfork(void)
{
	struct owner o;
	pid_t pid;
	int status;

	if (!owner_open(&o, 64 << 10, MEM_SMALL))
		return;
	tap_step("vfork a child that exits: it had the owner's mm, which lives on");
	pid = vfork();
	if (!pid)
		_exit(0);
	waitpid(pid, &status, 0);
	tap_expect_eq(rig_pins(), o.bytes / PAGE, "pinned pages after vfork");
	owner_check_dma(&o, "its memory after a vfork child's exit");
	tap_step("vfork a child that executes a program");
	pid = vfork();
	if (!pid) {
		execl("/proc/self/exe", "lifetime", EXIT_ARG, NULL);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	tap_expect(WIFEXITED(status) && !WEXITSTATUS(status), "the program ran");
	tap_expect_eq(rig_pins(), o.bytes / PAGE, "pinned pages after vfork and execve");
	owner_check_dma(&o, "its memory after a vfork child's execve");
	rig_close(&o.rig);
}

#define OWNED_PAGES 16

struct clone_arg {
	struct owner owner;
	int sock;	/* to the judge, not to the owner */
};

/* Shares the owner's mm, has its own copies of the fds. */
static int clone_child(void *arg)
{
	struct clone_arg *c = arg;
	void *p;
	int msg;

	if (sock_recv(c->sock, &msg))
		return 1;
	owner_check_dma(&c->owner, "the mm of a dead owner and its CLONE_VM child");
	p = mem_alloc(MIB, MEM_SMALL);
	tap_expect(p, "memory");
	tap_expect_ret(vfio_hold(c->owner.rig.container, TYPE7, p, MIB, 0x30000000), 0,
		       "REGISTER and MAP by a CLONE_VM child of a dead owner");
	sock_send(c->sock, MSG_DONE);
	sock_recv(c->sock, &msg);
	return 0;
}

static int clone_owner(int sock, void *arg)
{
	struct clone_arg c = { .sock = *(int *)arg };
	char *stack;
	int msg;

	if (!owner_open(&c.owner, OWNED_PAGES * PAGE, MEM_SMALL))
		return 1;
	stack = mem_alloc(256 << 10, MEM_SMALL);
	if (!tap_expect(stack, "stack") ||
	    !tap_expect(clone(clone_child, stack + (256 << 10), CLONE_VM | SIGCHLD, &c) > 0,
			"clone: %s", strerror(errno)))
		return 1;
	sock_send(sock, MSG_READY);
	sock_recv(sock, &msg);
	return 0;
}

void test_clone_vm(void)
{
	struct proc owner;
	int pair[2];

	if (!tap_expect(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), "socketpair"))
		return;
	tap_step("an owner has a child that shares its mm (CLONE_VM)");
	if (!tap_expect_ret(proc_start(&owner, clone_owner, &pair[1]), 0, "start") ||
	    !tap_expect_ret(sock_expect(owner.sock, MSG_READY), 0, "owner is ready"))
		return;
	tap_step("kill the owner: the mm lives, so all stays");
	proc_kill(&owner);
	tap_expect_eq(rig_pins(), OWNED_PAGES, "pinned pages while the child lives");
	tap_step("the child drives the device and registers more");
	sock_send(pair[0], MSG_GO);
	tap_expect_ret(sock_expect(pair[0], MSG_DONE), 0, "child is done");
	tap_expect_eq(rig_pins(), OWNED_PAGES + MIB / PAGE, "pinned pages");
	tap_step("the child goes, the mm with it");
	sock_send(pair[0], MSG_GO);
}
