// SPDX-License-Identifier: GPL-2.0
/* The command prereg, on the real module: as root and as nobody, with owners, orphans and nobody at all. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meter.h"
#include "rig.h"
#include "suite.h"
#include "tap.h"
#include "tool.h"
#include "type1.h"

#define PREREG "/bin/prereg"
#define MAX_WORDS 16
/* Above what IOMMUs reserve for interrupts: SMMUs have 1 MiB from 128 MiB on. */
#define FIRST_IOVA 0x10000000ull

enum { MSG_READY = 1 };

/* ---- running it ---- */

static bool become(uid_t uid)
{
	/* As a program that the user started himself: he may look at its addresses. */
	return !uid || (!setgroups(0, NULL) && !setgid(uid) && !setuid(uid) && !prctl(PR_SET_DUMPABLE, 1));
}

static int open_output(const char *name, const char *end)
{
	char path[256];

	snprintf(path, sizeof(path), TOOL_FILES "/%s%s", name, end);
	return open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
}

pid_t tool_start(uid_t uid, const char *name, const char *words)
{
	char copy[512], *argv[MAX_WORDS] = { "prereg" }, *at = copy;
	const pid_t pid = fork();
	unsigned int n = 1;

	if (pid)
		return pid;
	snprintf(copy, sizeof(copy), "%s", words);
	while (n < MAX_WORDS - 1 && (argv[n] = strsep(&at, " ")))
		n++;
	argv[n] = NULL;
	if (dup2(open("/dev/null", O_RDONLY), 0) < 0 || dup2(open_output(name, ""), 1) < 0 ||
	    dup2(open_output(name, ".err"), 2) < 0 || !become(uid))
		_exit(125);
	execv(PREREG, argv);
	_exit(126);
}

int tool_wait(pid_t pid)
{
	const int status = pid_wait(pid, 60000);

	if (status == -ETIMEDOUT) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return status;
}

int tool_run(uid_t uid, const char *name, const char *words)
{
	return tool_wait(tool_start(uid, name, words));
}

bool tool_expect(uid_t uid, const char *name, const char *words, int status)
{
	char err[128], *text;

	if (tap_expect_eq(tool_run(uid, name, words), status, "exit status of \"prereg %s\", user %u", words, uid))
		return true;
	snprintf(err, sizeof(err), "%s.err", name);
	text = tool_read(err);
	tap_diag("it said: %s", text);
	free(text);
	return false;
}

char *tool_read(const char *name)
{
	char path[256], *text = NULL;
	size_t room = 0;
	FILE *file;

	snprintf(path, sizeof(path), TOOL_FILES "/%s", name);
	file = fopen(path, "re");
	if (!file || getdelim(&text, &room, 0, file) < 0) {
		free(text);
		text = strdup("");
	}
	if (file)
		fclose(file);
	return text;
}

unsigned int tool_count(const char *name, const char *text)
{
	char *all = tool_read(name);
	const char *at;
	unsigned int n = 0;

	for (at = all; (at = strstr(at, text)); at += strlen(text))
		n++;
	free(all);
	return n;
}

/* Is the last line in the file whole? */
static bool ends_with_line(const char *name)
{
	char *all = tool_read(name);
	const size_t len = strlen(all);
	const bool whole = len && all[len - 1] == '\n';

	free(all);
	return whole;
}

bool tool_await(const char *name, const char *text, unsigned int times)
{
	const uint64_t deadline = meter_now_ns() + proc_limit_ms(10000) * 1000000;
	bool late = false;

	/* What has come may be cut anywhere. */
	while (tool_count(name, text) < times || !ends_with_line(name)) {
		if (late)
			return false;
		meter_sleep_ms(5);
		late = meter_now_ns() > deadline;
	}
	return true;
}

/* ---- owners ---- */

int tool_other_type(void)
{
	return type1_unfit() ? TYPE7 : VFIO_TYPE1v2_IOMMU;
}

/* A child that has the owner's fds, until the test is over. */
static void leave_holder(void)
{
	if (!fork()) {
		prctl(PR_SET_NAME, "holder");
		meter_sleep_ms(600000);
		_exit(0);
	}
}

/* A child that has the owner's fds and becomes the next one. */
static void leave_heir(const struct vfio_dev *dev)
{
	const pid_t parent = getpid();
	char *p;

	if (fork())
		return;
	prctl(PR_SET_NAME, "heir");
	p = mem_alloc(MIB, MEM_SMALL);
	while (pid_alive(parent))
		meter_sleep_ms(1);
	if (p)
		tap_expect_ret(spapr_register(dev->container, p, MIB), 0, "the heir registers");
	meter_sleep_ms(600000);
	_exit(0);
}

int tool_own_main(int sock, void *arg)
{
	const struct tool_owner *owner = arg;
	const struct rlimit limit = { owner->memlock, owner->memlock };
	const size_t piece = owner->bytes / owner->pieces;
	struct vfio_dev dev;
	unsigned int i;
	int ret = 0;

	prctl(PR_SET_NAME, owner->name);
	if (owner->memlock && setrlimit(RLIMIT_MEMLOCK, &limit))
		return 1;
	if (!become(owner->uid) || !tap_expect_ret(vfio_dev_open(&dev, owner->bdf, owner->type), 0, "open %s", owner->bdf))
		return 1;
	if (owner->holder)
		leave_holder();
	if (owner->heir)
		leave_heir(&dev);
	for (i = 0; !ret && i < owner->pieces; i++) {
		char *p = mem_alloc(piece, MEM_SMALL);

		if (!tap_expect(p, "memory"))
			return 1;
		ret = vfio_hold(dev.container, owner->type, p, piece, FIRST_IOVA + i * piece);
	}
	/* What was refused is the test's to judge. */
	sock_send(sock, ret ? ret : MSG_READY);
	sock_recv(sock, &ret);
	return 0;
}

bool tool_own(struct proc *proc, const struct tool_owner *owner)
{
	return tap_expect_ret(proc_start(proc, tool_own_main, (void *)owner), 0, "start %s", owner->name) &&
	       tap_expect_ret(sock_expect(proc->sock, MSG_READY), 0, "%s owns its memory", owner->name);
}

/* ---- tests ---- */

static void prepare(void)
{
	/* As udev would for a user who is to have the devices. */
	if (system("chmod 666 /dev/vfio/*"))
		tap_expect(false, "chmod");
}

/* Is there a line of a raw table whose fields are @want? */
static bool has_row(const char *name, const char *want)
{
	char *text = tool_read(name), *at = text, *line;
	bool found = false;

	while (!found && (line = strsep(&at, "\n")))
		found = !strcmp(line, want);
	if (!found)
		tap_diag("there is no row \"%s\"", want);
	free(text);
	return found;
}

/* Every command, plain and JSON. */
static void run_all(uid_t uid, const char *who, pid_t seen, int doctor_status)
{
	char words[64];
	char name[64];

#define NAME(end) (snprintf(name, sizeof(name), "%s-%s", who, end), name)
	tool_expect(uid, NAME("list.txt"), "list", 0);
	tool_expect(uid, NAME("list.list.json"), "list --json", 0);
	tool_expect(uid, NAME("list.raw"), "list --raw --bytes --output pid,registered,mapped,charged,regions", 0);
	tool_expect(uid, NAME("containers.txt"), "list --containers", 0);
	tool_expect(uid, NAME("containers.list-containers.json"), "list --containers --json", 0);
	snprintf(words, sizeof(words), "show %d", seen);
	tool_expect(uid, NAME("show.txt"), words, seen ? 0 : 2);
	snprintf(words, sizeof(words), "show --json %d", seen);
	if (seen)
		tool_expect(uid, NAME("show.show.json"), words, 0);
	tool_expect(uid, NAME("top.txt"), "top --once", 0);
	tool_expect(uid, NAME("doctor.txt"), "doctor", doctor_status);
	tool_expect(uid, NAME("doctor.doctor.json"), "doctor --json", doctor_status);
	tool_expect(uid, NAME("metrics.prom"), "metrics", 0);
	if (uid) {
		tool_expect(uid, NAME("events.txt"), "events", 4);
		tap_expect(tool_count(NAME("events.txt.err"), "root"), "who may not listen is told who may");
		tap_expect(tool_count(NAME("list.txt.err"), "CAP_SYS_ADMIN"), "who is not shown all is told so");
	} else {
		tap_expect(!tool_count(NAME("list.txt.err"), "CAP_SYS_ADMIN"), "root is shown all");
	}
#undef NAME
}

static void test_nobody_there(void)
{
	prepare();
	tap_step("Nobody has anything registered.");
	run_all(ROOT, "empty-root", 0, 0);
	run_all(NOBODY, "empty-nobody", 0, 1);
	tap_expect(tool_count("empty-root-list.txt.err", "no process"), "an empty list is said to be one");
	tap_expect(tool_count("empty-nobody-doctor.txt", "not ok  memlock"), "a user's limit is not enough");
}

static void test_two_owners(void)
{
	const struct tool_owner engine = {
		.bdf = VFIO_EDU0, .type = TYPE7, .name = "engine", .bytes = 64 * MIB, .pieces = 2,
	};
	const struct tool_owner worker = {
		.bdf = VFIO_EDU1, .type = tool_other_type(), .uid = NOBODY, .name = "worker", .bytes = 16 * MIB, .pieces = 1,
		.memlock = 1024 * MIB,
	};
	struct proc a, b;
	char row[128], words[64];
	long long charged;

	prepare();
	tap_step("root's engine has 64 MiB, nobody's worker 16 MiB.");
	if (!tool_own(&a, &engine) || !tool_own(&b, &worker))
		return;
	tap_step("Root sees both.");
	run_all(ROOT, "two-root", a.pid, 0);
	/* With tables of windows, where they are that. */
	charged = meter_vmlck_kib(a.pid) << 10;
	snprintf(row, sizeof(row), "%d %lu %lu %lld 2", a.pid, 64 * MIB, 64 * MIB, charged);
	tap_expect(has_row("two-root-list.raw", row), "the engine is told");
	charged = meter_vmlck_kib(b.pid) << 10;
	snprintf(row, sizeof(row), "%d %lu %lu %lld 1", b.pid, 16 * MIB, 16 * MIB, charged);
	tap_expect(has_row("two-root-list.raw", row), "the worker is told");
	tap_expect(tool_count("two-root-list.txt", VFIO_EDU0) == 1 && tool_count("two-root-list.txt", VFIO_EDU1) == 1,
		   "their devices are told");
	tap_expect(tool_count("two-root-list.txt", "engine") == 1 && tool_count("two-root-list.txt", "nobody") == 1,
		   "names and users are told");

	tap_step("Nobody sees the worker, which is its own, and nothing of the engine.");
	run_all(NOBODY, "two-nobody", b.pid, 1);
	tap_expect(has_row("two-nobody-list.raw", row), "the worker is told");
	tap_expect(!tool_count("two-nobody-list.txt", "engine"), "the engine is not");
	snprintf(words, sizeof(words), "show %d", a.pid);
	tool_expect(NOBODY, "stranger.txt", words, 1);
	tap_expect(tool_count("stranger.txt.err", "root"), "who may see it is told");
	tap_expect(tool_count("two-nobody-metrics.prom.err", "CAP_SYS_ADMIN"), "what metrics leave out is told");
	proc_kill(&a);
	proc_kill(&b);
}

static void test_orphan(void)
{
	const struct tool_owner engine = {
		.bdf = VFIO_EDU0, .type = TYPE7, .name = "engine", .bytes = 8 * MIB, .pieces = 1, .holder = true,
	};
	const struct tool_owner worker = {
		.bdf = VFIO_EDU1, .type = tool_other_type(), .uid = NOBODY, .name = "worker", .bytes = 192 * MIB, .pieces = 3,
		.memlock = 1024 * MIB,
	};
	struct proc a, b;
	char row[64], words[32];
	pid_t pid;

	prepare();
	tap_step("The engine is killed; a child of it has the fds.");
	if (!tool_own(&a, &engine) || !tool_own(&b, &worker))
		return;
	pid = a.pid;
	proc_kill(&a);
	run_all(ROOT, "orphan-root", b.pid, 0);
	tap_expect(tool_count("orphan-root-list.txt", "orphan") == 1, "the orphan is marked");
	tool_expect(ROOT, "orphan.raw", "list --raw --output pid,state,registered", 0);
	snprintf(row, sizeof(row), "%d orphan ", pid);
	tap_expect(has_row("orphan.raw", row), "it has the pid of the process that ended, and no memory");
	tap_expect(tool_count("orphan-root-metrics.prom", "prereg_orphan_containers 1\n") == 1, "it is counted");
	snprintf(words, sizeof(words), "show %d", pid);
	tool_expect(ROOT, "orphan-show.txt", words, 1);
	tap_expect(tool_count("orphan-show.txt.err", "container"), "asked for the process, it is said what is left");
	proc_kill(&b);
}

static void test_doctor(void)
{
	prepare();
	if (!tap_expect(!meter_file_write("/sys/module/vfio_prereg/parameters/allow_unsafe_interrupts", "Y"), "the parameter is set"))
		return;
	tool_expect(ROOT, "unsafe.doctor.json", "doctor --json", 1);
	tap_expect(tool_count("unsafe.doctor.json", "allow_unsafe_interrupts is set"), "unsafe interrupts are no good");
	meter_file_write("/sys/module/vfio_prereg/parameters/allow_unsafe_interrupts", "N");
	tool_expect(ROOT, "safe.doctor.json", "doctor --json", 0);
}

static const char *unfit(void)
{
	mkdir(TOOL_FILES, 0755);
	return access(PREREG, X_OK) ? "the command prereg is not in this guest" : NULL;
}

static const struct suite_test tests[] = {
	{ .name = "nobody-there", .run = test_nobody_there },
	{ .name = "two-owners", .run = test_two_owners },
	{ .name = "orphan", .run = test_orphan },
	{ .name = "doctor", .run = test_doctor },
	{ .name = "events", .run = test_tool_events },
	{ .name = "events-regions", .run = test_tool_events_regions },
	{ .name = "adopted", .run = test_tool_adopted },
	{ .name = "top", .run = test_tool_top },
	{ .name = "churn", .run = test_tool_churn, .timeout_s = 240 },
};

static const struct suite_option options[] = {
	{ .name = "--seconds", .number = &tool_seconds, .help = "how long \"churn\" goes on (8)" },
};

int main(int argc, char **argv)
{
	const struct suite suite = {
		.name = "tool",
		.tests = tests,
		.n_tests = SUITE_SIZE(tests),
		.options = options,
		.n_options = SUITE_SIZE(options),
		.unfit = unfit,
	};

	return suite_main(argc, argv, &suite);
}
