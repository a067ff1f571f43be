// SPDX-License-Identifier: GPL-2.0
/* The command while owners come and die: every answer is whole, and none fails. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meter.h"
#include "rig.h"
#include "tap.h"
#include "tool.h"

/* Answers that are kept for the host's judge. */
#define KEPT 20

long tool_seconds = 8;

/* Owners of the device, one after the other, each killed at another moment of its life. */
static int churn(int sock, void *arg)
{
	const struct tool_owner *owner = arg;
	struct proc proc;
	unsigned int i;

	(void)sock;
	for (i = 0;; i++) {
		if (proc_start(&proc, tool_own_main, (void *)owner))
			return 1;
		meter_sleep_ms(i * 7 % 50);
		proc_kill(&proc);
	}
	return 0;
}

/* A pid that the list has, so that show has a chance; 0: none. */
static int some_pid(const char *name)
{
	char *text = tool_read(name);
	const int pid = atoi(text);

	free(text);
	return pid;
}

static void ask(uid_t uid, unsigned int round)
{
	static const struct {
		const char *name, *words;
	} asked[] = {
		{ "list.json", "list --json" }, { "list-containers.json", "list --containers --json" }, { "txt", "list" },
		{ "txt", "top --once" }, { "prom", "metrics" },
	};
	char name[64], words[64];
	unsigned int i;
	int status;

	for (i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		snprintf(name, sizeof(name), "churn-%u-%u-%u.%s", uid, round % KEPT, i, asked[i].name);
		tool_expect(uid, name, asked[i].words, 0);
	}
	tool_expect(uid, "churn-pids.raw", "list --raw --noheadings --output pid", 0);
	snprintf(words, sizeof(words), "show --json %d", some_pid("churn-pids.raw"));
	if (!strcmp(words, "show --json 0"))
		return;
	snprintf(name, sizeof(name), "churn-%u-%u.show.json", uid, round % KEPT);
	status = tool_run(uid, name, words);
	/* Whom it was about may have ended. */
	tap_expect(status == 0 || status == 1, "show: %d", status);
	if (status == 1) {
		char path[128];

		snprintf(path, sizeof(path), TOOL_FILES "/%s", name);
		unlink(path);
	}
}

void test_tool_churn(void)
{
	/* In pieces of 64 KiB, which are pages of every kernel. */
	const struct tool_owner engines = { .bdf = VFIO_EDU0, .type = TYPE7, .name = "engine", .bytes = 8 * MIB, .pieces = 128 };
	const struct tool_owner workers = {
		.bdf = VFIO_EDU1, .type = tool_other_type(), .uid = NOBODY, .name = "worker", .bytes = 4 * MIB, .pieces = 64,
		.memlock = 1024 * MIB,
	};
	const uint64_t deadline = meter_now_ns() + (uint64_t)tool_seconds * 1000000000;
	struct proc a, b;
	unsigned int rounds = 0;
	pid_t listener;

	if (!tap_expect(!system("chmod 666 /dev/vfio/*"), "chmod"))
		return;
	listener = tool_start(ROOT, "churn.events.jsonl", "events --json --regions");
	tap_expect(tool_await("churn.events.jsonl.err", "listening", 1), "events are listened to");
	tap_expect_ret(proc_start(&a, churn, (void *)&engines), 0, "start");
	tap_expect_ret(proc_start(&b, churn, (void *)&workers), 0, "start");
	while ((rounds < 3 || meter_now_ns() < deadline) && !tap_failures()) {
		ask(ROOT, rounds);
		ask(NOBODY, rounds++);
	}
	tap_diag("%u rounds, %u events", rounds, tool_count("churn.events.jsonl", "\n"));
	proc_kill(&a);
	proc_kill(&b);
	kill(listener, SIGTERM);
	tap_expect_eq(tool_wait(listener), 128 + SIGTERM, "the listener's end");
}
