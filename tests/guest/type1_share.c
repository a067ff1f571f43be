// SPDX-License-Identifier: GPL-2.0
/* Memory in several containers, of several processes, registered and mapped: who pays, and when it goes. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meter.h"
#include "tap.h"
#include "type1_tests.h"

#define PAGES 64u

static bool two_open(struct bench *a, struct bench *b)
{
	return bench_open(a, VFIO_EDU0) && bench_open(b, VFIO_EDU1);
}

void test_two_containers(void)
{
	struct bench a, b;
	char *p;

	if (!two_open(&a, &b))
		return;
	p = memory(PAGES);
	tap_step("MAP in one container, in the other, and again in each: one pin, one charge");
	bench_map(&a, IOVA, p, PAGES);
	expect_held(PAGES, PAGES, 0, "after the first MAP");
	bench_map(&b, IOVA2, p, PAGES);
	bench_map(&a, IOVA2, p + 4 * PAGE, 8);
	bench_map(&b, IOVA, p + 4 * PAGE, 1);
	expect_held(PAGES, PAGES, 0, "after four");
	tap_expect_eq(meter_stat("regions"), 3, "regions: one, and the pages of the devices' own");
	tap_step("each device reaches it");
	rig_expect_reach(&a.rig, IOVA + 5 * PAGE, p + 5 * PAGE, "the first mapping");
	rig_expect_reach(&a.rig, IOVA2 + PAGE, p + 5 * PAGE, "a part of it elsewhere");
	rig_expect_reach(&b.rig, IOVA2, p, "the other container's mapping");
	tap_step("UNMAP one by one: the memory stays for the others");
	bench_unmap(&a, IOVA, PAGES);
	rig_expect_fault(&a.rig, IOVA, true, "where it was unmapped");
	rig_expect_reach(&b.rig, IOVA2 + 5 * PAGE, p + 5 * PAGE, "the other container's mapping");
	bench_unmap(&b, IOVA2, PAGES);
	rig_expect_reach(&a.rig, IOVA2, p + 4 * PAGE, "the part");
	bench_unmap(&b, IOVA, 1);
	expect_held(PAGES, PAGES, 0, "while a part of it is mapped");
	bench_unmap(&a, IOVA2, 8);
	expect_held(0, 0, 0, "after the last UNMAP");
	tap_step("close of one container: the other's mapping stays");
	bench_map(&a, IOVA, p, PAGES);
	bench_map(&b, IOVA, p, PAGES);
	bench_close(&a);
	expect_held(PAGES, PAGES, 0, "after the close of the first");
	rig_expect_reach(&b.rig, IOVA, p, "the other container's mapping");
	bench_close(&b);
	expect_held(0, 0, 0, "after the close of the second");
}

/* A limit of 1.25 times the memory, as for a guest whose vIOMMU has each device in a container of its own. */
void test_two_containers_limit(void)
{
	struct bench a, b;
	char *p, *more;

	if (!two_open(&a, &b))
		return;
	p = memory(PAGES);
	more = memory(PAGES);
	tap_expect(proc_limit_memlock(PAGES * 5 / 4 * PAGE), "limit RLIMIT_MEMLOCK");
	tap_step("the same memory in both containers fits");
	bench_map(&a, IOVA, p, PAGES);
	bench_map(&b, IOVA, p, PAGES);
	rig_expect_reach(&b.rig, IOVA, p, "the second mapping");
	expect_held(PAGES, PAGES, 0, "with both");
	tap_step("other memory does not: nothing changes");
	tap_expect_ret(vfio_map(a.container, IOVA2, more, PAGES * PAGE, VFIO_MAP_RW), -ENOMEM, "MAP above the limit");
	expect_held(PAGES, PAGES, 0, "after it");
	tap_step("it fits when the first is unmapped in both");
	bench_unmap(&a, IOVA, PAGES);
	tap_expect_ret(vfio_map(a.container, IOVA2, more, PAGES * PAGE, VFIO_MAP_RW), -ENOMEM, "MAP while the other container has the first");
	bench_unmap(&b, IOVA, PAGES);
	bench_map(&a, IOVA2, more, PAGES);
	expect_held(PAGES, PAGES, 0, "at the end");
}

/* Reclaim and compaction take pages out of page tables before they notice that they are pinned. */
static void reclaim(struct bench *a, struct bench *b, enum mem_kind kind)
{
	char *p = mem_alloc(PAGES * PAGE, kind);

	if (!tap_expect(p, "memory: %s", strerror(errno)))
		return;
	bench_map(a, IOVA, p, PAGES);
	tap_expect(!madvise(p, PAGES * PAGE, MADV_PAGEOUT), "MADV_PAGEOUT: %s", strerror(errno));
	tap_expect(meter_file_write("/proc/sys/vm/compact_memory", "1") >= 0, "compact_memory");
	rig_expect_reach(&a->rig, IOVA, p, "the memory after it");
	bench_map(b, IOVA, p, PAGES);
	expect_held(PAGES, PAGES, 0, "mapped in the second container");
	rig_expect_reach(&b->rig, IOVA, p, "the same memory there");
	bench_unmap(a, IOVA, PAGES);
	bench_unmap(b, IOVA, PAGES);
	expect_held(0, 0, 0, "unmapped");
	mem_free(p, PAGES * PAGE);
}

void test_reclaim(void)
{
	struct vfio_prereg_info info;
	struct bench a, b;

	if (!two_open(&a, &b))
		return;
	tap_step("mapped memory that the kernel wants to reclaim and to move; then MAP of it in another container");
	reclaim(&a, &b, MEM_SMALL);
	tap_step("the same with shared memory");
	reclaim(&a, &b, MEM_SHARED);
	tap_expect_ret(type1_prereg_info(a.container, &info), 0, "GET_INFO");
	tap_expect_eq(info.stale_mappings, 0, "stale mappings");
}

void test_overlaps(void)
{
	struct bench a, b;
	char *p;

	if (!two_open(&a, &b))
		return;
	p = memory(PAGES);
	tap_step("parts first, then the whole around them");
	bench_map(&a, IOVA, p + 8 * PAGE, 8);
	bench_map(&b, IOVA, p + 12 * PAGE, 8);
	rig_expect_reach(&a.rig, IOVA + 6 * PAGE, p + 14 * PAGE, "what is in both, through the first");
	rig_expect_reach(&b.rig, IOVA + 2 * PAGE, p + 14 * PAGE, "what is in both, through the second");
	bench_map(&a, IOVA2, p, PAGES);
	rig_expect_reach(&a.rig, IOVA2 + 14 * PAGE, p + 14 * PAGE, "the whole");
	tap_step("what comes after it is inside it");
	expect_held(PAGES + 16, PAGES + 16, 0, "with parts and the whole");
	bench_map(&b, IOVA2, p + 2 * PAGE, 20);
	expect_held(PAGES + 16, PAGES + 16, 0, "with one more part");
	tap_step("the whole goes, the parts stay");
	bench_unmap(&a, IOVA2, PAGES);
	rig_expect_reach(&a.rig, IOVA, p + 8 * PAGE, "the first part");
	rig_expect_reach(&b.rig, IOVA + 7 * PAGE, p + 19 * PAGE, "the second part");
	rig_expect_reach(&b.rig, IOVA2 + 19 * PAGE, p + 21 * PAGE, "the last part");
	bench_unmap(&b, IOVA2, 20);
	expect_held(16, 16, 0, "with two parts");
	bench_unmap(&a, IOVA, 8);
	bench_unmap(&b, IOVA, 8);
	expect_held(0, 0, 0, "with nothing");
}

/* A container of type 7 beside one of this type. */
static bool with_spapr(struct bench *bench, struct rig *spapr)
{
	return bench_open(bench, VFIO_EDU0) && rig_open(spapr, VFIO_EDU1);
}

void test_registered_first(void)
{
	struct bench bench;
	struct rig spapr;
	char *p;

	if (!with_spapr(&bench, &spapr))
		return;
	p = memory(PAGES);
	tap_expect_ret(spapr_register(spapr.container, p, 32 * PAGE), 0, "REGISTER of the first half");
	expect_held(32, 32, 0, "registered");
	tap_step("MAP inside what is registered pins and charges nothing");
	bench_map(&bench, IOVA, p, 32);
	bench_map(&bench, IOVA2, p + 8 * PAGE, 8);
	expect_held(32, 32, 0, "mapped");
	rig_expect_reach(&bench.rig, IOVA2, p + 8 * PAGE, "the part");
	tap_step("MAP over its end, and of what is not registered, does");
	bench_map(&bench, IOVA + MIB, p + 30 * PAGE, 4);
	rig_expect_reach(&bench.rig, IOVA + MIB + PAGE, p + 31 * PAGE, "what is registered");
	rig_expect_reach(&bench.rig, IOVA + MIB + 2 * PAGE, p + 32 * PAGE, "what is not");
	bench_map(&bench, IOVA + 2 * MIB, p + 40 * PAGE, 4);
	expect_held(40, 40, 0, "mapped over the end");
	tap_step("UNREGISTER: what is mapped stays");
	tap_expect_ret(spapr_unregister(spapr.container, p, 32 * PAGE), 0, "UNREGISTER");
	expect_held(40, 40, 0, "unregistered");
	rig_expect_reach(&bench.rig, IOVA, p, "what was registered");
	bench_unmap(&bench, IOVA, 32);
	bench_unmap(&bench, IOVA2, 8);
	expect_held(8, 8, 0, "unmapped");
	tap_step("the type 7 container's mappings end with its registration, this one's do not hold it");
	bench_unmap(&bench, IOVA + MIB, 4);
	bench_unmap(&bench, IOVA + 2 * MIB, 4);
	expect_held(0, 0, 0, "at the end");
	rig_close(&spapr);
	bench_close(&bench);
}

void test_mapped_first(void)
{
	struct bench bench;
	struct rig spapr;
	char *p;

	if (!with_spapr(&bench, &spapr))
		return;
	p = memory(PAGES);
	bench_map(&bench, IOVA, p, 32);
	tap_step("REGISTER of exactly what is mapped pins and charges nothing");
	tap_expect_ret(spapr_register(spapr.container, p, 32 * PAGE), 0, "REGISTER");
	expect_held(32, 32, 0, "registered");
	tap_step("UNMAP: it stays registered");
	bench_unmap(&bench, IOVA, 32);
	expect_held(32, 32, 0, "unmapped");
	tap_expect_ret(vfio_map(spapr.container, IOVA, p, 32 * PAGE, VFIO_MAP_RW), 0, "MAP in the type 7 container");
	rig_expect_reach(&spapr, IOVA, p, "it in the type 7 container");
	tap_expect_ret(vfio_unmap(spapr.container, IOVA, 32 * PAGE), 0, "UNMAP there");
	tap_expect_ret(spapr_unregister(spapr.container, p, 32 * PAGE), 0, "UNREGISTER");
	expect_held(0, 0, 0, "unregistered");
	tap_step("REGISTER of a part, or of more, is not in the way of what is mapped");
	bench_map(&bench, IOVA, p, 32);
	tap_expect_ret(spapr_register(spapr.container, p + 16 * PAGE, 32 * PAGE), 0, "REGISTER over its end");
	rig_expect_reach(&bench.rig, IOVA + 31 * PAGE, p + 31 * PAGE, "what is mapped");
	tap_expect_ret(spapr_register(spapr.container, p + 8 * PAGE, 8 * PAGE), 0, "REGISTER inside it");
	tap_expect_ret(spapr_register(spapr.container, p, 32 * PAGE), -EINVAL, "REGISTER over what is registered");
	tap_expect_ret(spapr_unregister(spapr.container, p + 16 * PAGE, 32 * PAGE), 0, "UNREGISTER");
	tap_expect_ret(spapr_unregister(spapr.container, p + 8 * PAGE, 8 * PAGE), 0, "UNREGISTER");
	expect_held(32, 32, 0, "with the mapping alone");
	rig_close(&spapr);
	bench_close(&bench);
}

#define GUEST_PAGES 8

/* A process that has the container of another one, and talks to the test. */
struct guest {
	struct bench *bench;
	int sock;
};

/* Maps memory of its own at IOVA2; uses it again when it is told, and then waits. */
static int guest_child(int sock, void *arg)
{
	const struct guest *guest = arg;
	struct bench *bench = guest->bench;
	char *p = memory(GUEST_PAGES);
	int msg;

	(void)sock;
	tap_expect_ret(vfio_map(bench->container, SCRATCH_IOVA, p, PAGE, VFIO_MAP_RW), -EEXIST, "MAP over the other's");
	bench_map(bench, IOVA2, p, GUEST_PAGES);
	tap_expect_eq(meter_vmlck_kib(0), GUEST_PAGES * PAGE >> 10, "the process's own charge");
	rig_expect_reach(&bench->rig, IOVA2, p, "the process's own memory");
	sock_send(guest->sock, MSG_READY);
	if (sock_expect(guest->sock, MSG_GO))
		return 1;
	rig_expect_reach(&bench->rig, IOVA2 + PAGE, p + PAGE, "its memory, later");
	sock_send(guest->sock, MSG_DONE);
	sock_recv(guest->sock, &msg);
	return 0;
}

void test_two_processes(void)
{
	struct meter_stats stats;
	struct guest guest;
	struct bench bench;
	struct proc proc;
	int pair[2];
	char *p;

	if (!tap_expect(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), "socketpair") || !bench_open(&bench, VFIO_EDU0))
		return;
	guest = (struct guest){ &bench, pair[1] };
	p = memory(PAGES);
	bench_map(&bench, IOVA, p, PAGES);
	tap_step("another process maps its own memory into the container");
	if (!tap_expect_ret(proc_start(&proc, guest_child, &guest), 0, "fork") ||
	    !tap_expect_ret(sock_expect(pair[0], MSG_READY), 0, "it is ready"))
		return;
	tap_expect_eq(rig_pins(), PAGES + 1 + GUEST_PAGES, "pinned pages of both");
	tap_expect_eq(meter_vmlck_kib(0), (PAGES + 1) * PAGE >> 10, "the first process's charge");
	tap_expect_ret(meter_stats_read(&stats), 0, "counters");
	tap_expect_eq(stats.owners, 2, "owners");
	tap_step("it is killed: its mapping goes, the first process's stays");
	proc_kill(&proc);
	expect_held(PAGES, PAGES, 0, "after its end");
	rig_expect_fault(&bench.rig, IOVA2, true, "the dead process's memory");
	rig_expect_reach(&bench.rig, IOVA, p, "the living one's");
	tap_step("its IOVA is free");
	bench_map(&bench, IOVA2, p, PAGES);
	bench_unmap(&bench, IOVA2, PAGES);
	tap_step("one more, whose memory the first process unmaps");
	if (!tap_expect_ret(proc_start(&proc, guest_child, &guest), 0, "fork") ||
	    !tap_expect_ret(sock_expect(pair[0], MSG_READY), 0, "it is ready"))
		return;
	bench_unmap(&bench, IOVA2, GUEST_PAGES);
	tap_expect_eq(rig_pins(), PAGES + 1, "pinned pages");
	proc_kill(&proc);
	bench_close(&bench);
}

/* Maps memory, and starts a process that has its container. */
static int first_child(int sock, void *arg)
{
	struct bench bench;
	struct guest guest = { &bench, *(int *)arg };
	struct proc proc;
	int msg;

	if (!bench_open(&bench, VFIO_EDU0) || !tap_expect_ret(proc_start(&proc, guest_child, &guest), 0, "fork"))
		return 1;
	bench_map(&bench, IOVA, memory(PAGES), PAGES);
	sock_send(sock, MSG_READY);
	sock_recv(sock, &msg);
	return 1;
}

void test_guest_outlives(void)
{
	struct meter_stats stats;
	struct proc first;
	int pair[2];

	tap_step("a process maps memory; another one, which has its fds, its own");
	if (!rig_start_owner(&first, first_child, pair, MSG_READY))
		return;
	tap_expect_eq(rig_pins(), PAGES + 1 + GUEST_PAGES, "pinned pages of both");
	tap_step("the first is killed: what it mapped goes, not the container, nor the other's memory");
	proc_kill(&first);
	tap_expect_eq(rig_pins(), GUEST_PAGES, "pinned pages");
	tap_expect_ret(meter_stats_read(&stats), 0, "counters");
	tap_expect(stats.containers == 1 && stats.owners == 1 && stats.charged_pages == GUEST_PAGES && stats.mappings == 1,
		   "after the kill: %s", meter_stats_text(&stats));
	tap_step("the other's device goes on");
	sock_send(pair[0], MSG_GO);
	tap_expect_ret(sock_expect(pair[0], MSG_DONE), 0, "the other process");
	sock_send(pair[0], MSG_GO);
}

/* Holds all fds of a process that is killed, and uses its device when it is told. */
static int heir_child(int sock, void *arg)
{
	const struct guest *heir = arg;
	struct rig *rig = &heir->bench->rig;
	char *p = memory(PAGES);
	int msg;

	(void)sock;
	sock_send(heir->sock, MSG_READY);
	if (sock_expect(heir->sock, MSG_GO))
		return 1;
	rig_expect_fault(rig, IOVA, true, "a write to the dead process's memory");
	rig_expect_fault(rig, IOVA + (PAGES - 1) * PAGE, false, "a read of it");
	tap_expect_ret(vfio_map(heir->bench->container, IOVA, p, PAGES * PAGE, VFIO_MAP_RW), 0, "MAP at the same IOVAs");
	rig_expect_reach(rig, IOVA + PAGE, p + PAGE, "the living process's memory");
	sock_send(heir->sock, MSG_DONE);
	sock_recv(heir->sock, &msg);
	return 0;
}

static int dying_child(int sock, void *arg)
{
	struct bench bench;
	struct guest heir = { &bench, *(int *)arg };
	struct proc proc;
	char *p;
	int msg;

	if (!bench_open(&bench, VFIO_EDU0) || !tap_expect_ret(proc_start(&proc, heir_child, &heir), 0, "fork"))
		return 1;
	p = memory(PAGES);
	bench_map(&bench, IOVA, p, PAGES);
	/* The IOTLB knows what goes away: a flush left out would show. */
	rig_expect_reach(&bench.rig, IOVA, p, "its memory");
	rig_expect_reach(&bench.rig, IOVA + (PAGES - 1) * PAGE, p + (PAGES - 1) * PAGE, "its last page");
	sock_send(sock, MSG_READY);
	sock_recv(sock, &msg);
	return 1;
}

void test_revoked_at_exit(void)
{
	struct proc proc;
	int pair[2];

	tap_step("a process maps memory; its child has the fds");
	if (!rig_start_owner(&proc, dying_child, pair, MSG_READY))
		return;
	tap_step("it is killed: nothing is pinned, its child's device faults where it was mapped");
	proc_kill(&proc);
	tap_expect_eq(rig_pins(), 0, "pinned pages after the kill");
	sock_send(pair[0], MSG_GO);
	tap_expect_ret(sock_expect(pair[0], MSG_DONE), 0, "its child");
	tap_expect_eq(rig_pins(), PAGES, "pinned pages of the child");
	sock_send(pair[0], MSG_GO);
}

void test_fork(void)
{
	struct bench bench;
	pid_t child;
	char *p;

	if (!bench_open(&bench, VFIO_EDU0))
		return;
	p = memory(PAGES);
	bench_map(&bench, IOVA, p, PAGES);
	tap_step("fork a child that writes its copy of all of it");
	child = fork();
	if (!child) {
		memset(p, 2, PAGES * PAGE);
		for (;;)
			pause();
	}
	rig_expect_reach(&bench.rig, IOVA, p, "the parent's memory");
	expect_held(PAGES, PAGES, 0, "while the child lives");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	rig_expect_reach(&bench.rig, IOVA + PAGE, p + PAGE, "the parent's memory after the child's end");
	expect_held(PAGES, PAGES, 0, "after its end");
	bench_close(&bench);
}
