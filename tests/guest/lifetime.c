// SPDX-License-Identifier: GPL-2.0
/*
 * What stays pinned when the owner of DMA memory dies: the seven cases of
 * "who outlives the owner". With --iommu=type1 or spapr_v2 the same code measures
 * the kernel's own driver and tells what it finds instead of judging it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lifetime.h"
#include "meter.h"
#include "suite.h"
#include "tap.h"
#include "type1.h"

/* In the default window, clear of the first megabytes. */
#define IOVA 0x10000000ull

long lifetime_cycles = 200;
long lifetime_seed;
long lifetime_mb = 512;
long lifetime_held_kib = 1024;
static const char *iommu_name = "prereg";
static const char *mem_name = "small";

static long iommu_type;
/* The backend is vfio_prereg: what is found is judged. */
static bool judged = true;
static enum mem_kind mem_kind = MEM_SMALL;

enum outliver {
	NOBODY,
	CHILD_FDS,
	SCM_FDS,
	EXECVE,
	PROC_MEM,
	THREAD,
	NORMAL_EXIT,
};

static const char *const outliver_name[] = {
	[NOBODY] = "nobody",
	[CHILD_FDS] = "child",
	[SCM_FDS] = "scm-rights",
	[EXECVE] = "execve",
	[PROC_MEM] = "proc-mem",
	[THREAD] = "thread",
	[NORMAL_EXIT] = "normal-exit",
};

enum {
	MSG_READY = 1,
	MSG_GO,
	MSG_FAILED,
};

struct owner {
	enum outliver outliver;
	int holder_sock;	/* SCM_FDS: where the fds go */
	int holder_pid_sock;	/* CHILD_FDS: the child reports its readiness here */
};

/* The child of the owner: inherited the fds, holds them until it is told to go. */
static int hold_inherited(int sock, void *arg)
{
	const struct owner *owner = arg;
	int msg;

	(void)sock;
	if (sock_send(owner->holder_pid_sock, MSG_READY))
		return 1;
	sock_recv(owner->holder_pid_sock, &msg);
	return 0;
}

static void *outliving_thread(void *arg)
{
	const int sock = *(int *)arg;
	int msg;

	/* main is gone when the group leader is a zombie with a living thread. */
	while (pid_alive(getpid()))
		meter_sleep_ms(1);
	sock_send(sock, MSG_READY);
	sock_recv(sock, &msg);
	_exit(0);
}

static void exec_self(int sock)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", sock);
	fcntl(sock, F_SETFD, 0);
	execl("/proc/self/exe", "lifetime", HOLD_FDS_ARG, text, NULL);
}

static int hold_fds_main(const char *text)
{
	const int sock = atoi(text);
	int msg;

	if (sock_send(sock, MSG_READY))
		return 1;
	sock_recv(sock, &msg);
	return 0;
}

static int run_owner(int sock, void *arg)
{
	struct owner *owner = arg;
	const size_t bytes = (size_t)lifetime_mb << 20;
	struct proc child = { -1, -1 };
	struct vfio_dev dev;
	pthread_t thread;
	void *p;
	int msg, ret;

	ret = vfio_dev_open(&dev, VFIO_EDU0, iommu_type);
	if (!tap_expect_ret(ret, 0, "owner opens the device"))
		return 1;
	/* Before the memory is pinned: fork() would copy every pinned page for the child. */
	if (owner->outliver == CHILD_FDS &&
	    !tap_expect_ret(proc_start(&child, hold_inherited, owner), 0, "owner forks a child"))
		return 1;
	if (owner->outliver == SCM_FDS) {
		const int fds[3] = { dev.container, dev.group, dev.device };

		ret = sock_send_fds(owner->holder_sock, fds, 3);
		if (!tap_expect_ret(ret, 0, "owner sends its fds"))
			return 1;
	}
	p = mem_alloc(bytes, mem_kind);
	if (!tap_expect(p, "owner allocates %ld MB: %s", lifetime_mb, strerror(errno)))
		return 1;
	ret = vfio_hold(dev.container, iommu_type, p, bytes, IOVA);
	if (!tap_expect_ret(ret, 0, "owner takes %ld MB for DMA", lifetime_mb))
		return 1;
	sock_send(sock, MSG_READY);
	if (sock_recv(sock, &msg))
		return 1;
	switch (owner->outliver) {
	case EXECVE:
		exec_self(sock);
		tap_expect(false, "execve: %s", strerror(errno));
		return 1;
	case THREAD:
		if (pthread_create(&thread, NULL, outliving_thread, &sock))
			return 1;
		syscall(SYS_exit, 0);
		return 1;
	case NORMAL_EXIT:
		return 0;
	default:
		/* To be killed here. */
		sock_recv(sock, &msg);
		return 1;
	}
}

static int hold_scm_fds(int sock, void *arg)
{
	struct owner *owner = arg;
	int fds[3], msg;

	if (sock_recv_fds(owner->holder_pid_sock, fds, 3) || sock_send(sock, MSG_READY))
		return 1;
	sock_recv(sock, &msg);
	return 0;
}

/* Makes the owner's mm end, in the way of the case. Microseconds until its process told so. */
static long long end_owner(struct proc *proc, enum outliver outliver)
{
	const uint64_t start = meter_now_ns();

	switch (outliver) {
	case EXECVE:
		sock_send(proc->sock, MSG_GO);
		tap_expect_ret(sock_expect(proc->sock, MSG_READY), 0, "the new program runs");
		break;
	case THREAD:
		sock_send(proc->sock, MSG_GO);
		tap_expect_ret(sock_expect(proc->sock, MSG_READY), 0, "the thread outlives main");
		tap_expect_eq(meter_pins() - meter_baseline_pins(), lifetime_mb * MIB / PAGE,
			      "pinned pages while the thread lives");
		sock_send(proc->sock, MSG_GO);
		tap_expect_eq(pid_wait(proc->pid, 20000), 0, "the thread's exit status");
		break;
	case NORMAL_EXIT:
		sock_send(proc->sock, MSG_GO);
		tap_expect_eq(pid_wait(proc->pid, 20000), 0, "the owner's exit status");
		break;
	default:
		kill(proc->pid, SIGKILL);
		tap_expect_eq(pid_wait(proc->pid, 20000), 128 + SIGKILL, "the owner's exit status");
	}
	return (meter_now_ns() - start) / 1000;
}

/* What the kernel says it uses memory for, KiB; told when more is held than may be. */
static const char *const uses[] = {
	"Slab", "PageTables", "KernelStack", "AnonPages", "Cached", "Shmem", "Percpu", "VmallocUsed",
};
#define N_USES (sizeof(uses) / sizeof(uses[0]))

static void read_uses(long long *kib)
{
	size_t i;

	for (i = 0; i < N_USES; i++)
		kib[i] = meter_meminfo_kib(uses[i]);
}

static void tell_uses(const long long *before)
{
	long long now[N_USES];
	char text[256];
	int len = 0;
	size_t i;

	read_uses(now);
	for (i = 0; i < N_USES; i++)
		len += snprintf(text + len, sizeof(text) - len, " %s %+lld", uses[i], now[i] - before[i]);
	tap_diag("KiB that changed:%s", text);
}

/* All but @held_kib, which is test_case()'s to judge. */
static void judge(enum outliver outliver, long long held_kib, long long pins, long long us)
{
	struct meter_stats stats;
	bool fds_held = outliver == CHILD_FDS || outliver == SCM_FDS || outliver == EXECVE;

	tap_diag("result iommu=%s type=%ld mem=%s mb=%ld case=%s held_kib=%lld pins=%lld end_us=%lld",
		 iommu_name, iommu_type, mem_name, lifetime_mb, outliver_name[outliver], held_kib, pins, us);
	if (!judged)
		return;
	tap_expect_eq(pins, 0, "pinned pages after the owner's end");
	if (!tap_expect_ret(meter_stats_read(&stats), 0, "counters"))
		return;
	tap_expect_eq(stats.containers, fds_held, "containers after the owner's end");
	tap_expect(!stats.owners && !stats.regions && !stats.pinned_pages && !stats.charged_pages &&
		   !stats.mappings && !stats.mapped_bytes,
		   "counters after the owner's end: %s", meter_stats_text(&stats));
}

/* Returns how much less memory is free after the owner's end than before, KiB. */
static long long run_case(enum outliver outliver)
{
	struct owner owner = { .outliver = outliver };
	struct proc proc = { -1, -1 }, holder = { -1, -1 };
	int pair[2], mem_fd = -1;
	long long free_before, held = -1, pins, taken, us;
	long long used_before[N_USES];

	if (!tap_expect(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), "socketpair"))
		return held;
	owner.holder_sock = pair[0];
	owner.holder_pid_sock = pair[1];
	if (outliver == SCM_FDS &&
	    !tap_expect_ret(proc_start(&holder, hold_scm_fds, &owner), 0, "start the holder"))
		return held;
	free_before = meter_free_settled_kib();
	read_uses(used_before);
	tap_step("an owner takes %ld MB for DMA (%s)", lifetime_mb, iommu_name);
	if (!tap_expect_ret(proc_start(&proc, run_owner, &owner), 0, "start the owner") ||
	    !tap_expect_ret(sock_expect(proc.sock, MSG_READY), 0, "the owner is ready"))
		return held;
	if (outliver == SCM_FDS)
		tap_expect_ret(sock_expect(holder.sock, MSG_READY), 0, "the holder has the fds");
	if (outliver == CHILD_FDS)
		tap_expect_ret(sock_expect(pair[0], MSG_READY), 0, "the child runs");
	if (outliver == PROC_MEM) {
		char path[64];

		snprintf(path, sizeof(path), "/proc/%d/mem", proc.pid);
		mem_fd = open(path, O_RDONLY);
		tap_expect(mem_fd >= 0, "open %s: %s", path, strerror(errno));
	}
	taken = free_before - meter_free_kib();
	tap_expect_eq(meter_pins() - meter_baseline_pins(), lifetime_mb * MIB / PAGE,
		      "pinned pages while it lives");
	tap_expect(taken >= (lifetime_mb << 10) / 4 * 3, "free memory fell by %lld KiB only", taken);
	tap_step("the owner ends (%s outlives it)", outliver_name[outliver]);
	us = end_owner(&proc, outliver);
	pins = meter_pins() - meter_baseline_pins();
	/* Page tables and the last pages of the pagevecs go a moment later. */
	held = free_before - meter_free_settled_kib();
	/* The kernel's spapr_v2 unpins an RCU grace period later. */
	if (!judged)
		pins = meter_pins() - meter_baseline_pins();
	judge(outliver, held, pins, us);
	if (judged && held > lifetime_held_kib)
		tell_uses(used_before);
	if (mem_fd >= 0)
		close(mem_fd);
	if (outliver == EXECVE)
		proc_kill(&proc);
	proc_kill(&holder);
	if (outliver == CHILD_FDS) {
		/* The orphan is ours, as its subreaper. What it held is gone when it is. */
		sock_send(pair[0], MSG_GO);
		tap_expect(waitpid(-1, NULL, 0) > 0, "the owner's child is there");
	}
	close(pair[0]);
	close(pair[1]);
	return held;
}

/* The first use of a path fills slab caches for good; that is not the owner's memory. */
static void warm_up(enum outliver outliver)
{
	const long real_mb = lifetime_mb;
	const char *real_name = iommu_name;

	lifetime_mb = 4;
	iommu_name = "warm-up";
	run_case(outliver);
	lifetime_mb = real_mb;
	iommu_name = real_name;
}

static void test_case(enum outliver outliver)
{
	long long held;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	warm_up(outliver);
	held = run_case(outliver);
	/* What the system took for itself meanwhile it does not take again; what is held is held each time. */
	if (judged && held > lifetime_held_kib && !tap_failures())
		held = run_case(outliver);
	tap_expect(!judged || held <= lifetime_held_kib, "%lld KiB are held, at most %ld expected", held, lifetime_held_kib);
}

static void test_nobody(void) { test_case(NOBODY); }
static void test_child(void) { test_case(CHILD_FDS); }
static void test_scm(void) { test_case(SCM_FDS); }
static void test_execve(void) { test_case(EXECVE); }
static void test_proc_mem(void) { test_case(PROC_MEM); }
static void test_thread(void) { test_case(THREAD); }
static void test_normal_exit(void) { test_case(NORMAL_EXIT); }

/* The first seven of the table below. */
#define HELD_CASES 7

static const struct suite_test tests[] = {
	{ .name = "held-nobody", .run = test_nobody },
	{ .name = "held-child", .run = test_child },
	{ .name = "held-scm-rights", .run = test_scm },
	{ .name = "held-execve", .run = test_execve },
	{ .name = "held-proc-mem", .run = test_proc_mem },
	{ .name = "held-thread", .run = test_thread },
	{ .name = "held-normal-exit", .run = test_normal_exit },
	{ .name = "fork-device-view", .run = test_fork_device_view },
	{ .name = "two-containers-one-charge", .run = test_two_containers },
	{ .name = "two-containers-kill", .run = test_two_containers_kill },
	{ .name = "new-owner", .run = test_new_owner },
	{ .name = "new-owner-after-execve", .run = test_new_owner_execve },
	{ .name = "windows-after-death", .run = test_windows_after_death },
	{ .name = "foreign-mm", .run = test_foreign_mm },
	{ .name = "vfork", .run = test_vfork },
	{ .name = "clone-vm", .run = test_clone_vm },
	{ .name = "kill-in-register", .run = test_kill_in_register, .timeout_s = 600 },
	{ .name = "munmap-before-death", .run = test_unmapped_before_death },
	{ .name = "dontneed-before-death", .run = test_dontneed_before_death },
	{ .name = "kill-cycles", .run = test_cycles, .timeout_s = 600 },
};

static const struct suite_option options[] = {
	{ .name = "--iommu", .text = &iommu_name,
	  .help = "prereg (judged), or type1 or spapr_v2, the kernel's drivers (measured): the seven held-* cases" },
	{ .name = "--type", .number = &iommu_type, .help = "the container's type: 7, or 1 or 3, with the seven held-* cases only" },
	{ .name = "--mb", .number = &lifetime_mb, .help = "size of the owner's memory in the held-* cases; kill-in-register takes twice as much" },
	{ .name = "--held-kib", .number = &lifetime_held_kib,
	  .help = "what may seem held at most (1024; after kill-cycles at least 2048); KASAN keeps freed memory for a while" },
	{ .name = "--mem", .text = &mem_name, .help = "small, thp or shared: its pages" },
	{ .name = "--cycles", .number = &lifetime_cycles, .help = "rounds of kill-cycles" },
	{ .name = "--seed", .number = &lifetime_seed, .help = "replays kill-cycles" },
};

static bool apply_options(void);

static struct suite suite = {
	.name = "lifetime",
	.tests = tests,
	.n_tests = SUITE_SIZE(tests),
	.options = options,
	.n_options = SUITE_SIZE(options),
	.apply_options = apply_options,
};

static bool apply_options(void)
{
	if (!strcmp(iommu_name, "type1") || !strcmp(iommu_name, "spapr_v2")) {
		judged = false;
		suite_own_backend = false;
	} else if (strcmp(iommu_name, "prereg")) {
		return false;
	}
	if (!iommu_type)
		iommu_type = strcmp(iommu_name, "type1") ? TYPE7 : VFIO_TYPE1v2_IOMMU;
	/* The other tests are about vfio_prereg's type 7. */
	if (!judged || iommu_type != TYPE7)
		suite.n_tests = HELD_CASES;
	if (iommu_type != TYPE7)
		suite.unfit = type1_unfit;
	if (!strcmp(mem_name, "thp"))
		mem_kind = MEM_THP;
	else if (!strcmp(mem_name, "shared"))
		mem_kind = MEM_SHARED;
	else if (strcmp(mem_name, "small"))
		return false;
	return lifetime_mb > 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], HOLD_FDS_ARG))
		return hold_fds_main(argv[2]);
	if (argc == 5 && !strcmp(argv[1], NEW_OWNER_ARG))
		return new_owner_main(argv + 2);
	if (argc == 2 && !strcmp(argv[1], EXIT_ARG))
		return 0;
	return suite_main(argc, argv, &suite);
}
