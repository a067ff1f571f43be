// SPDX-License-Identifier: GPL-2.0
/* prereg events: what happened is told, once each, and nothing else. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "meter.h"
#include "rig.h"
#include "tap.h"
#include "tool.h"

#define OWNERS 5

/* Starts listening; what happens after this is told. */
static pid_t listen_to(const char *name, const char *words)
{
	char err[128];
	const pid_t pid = tool_start(ROOT, name, words);

	snprintf(err, sizeof(err), "%s.err", name);
	tap_expect(tool_await(err, "listening", 1), "\"prereg %s\" listens", words);
	return pid;
}

static void stop(pid_t pid)
{
	kill(pid, SIGTERM);
	tap_expect_eq(tool_wait(pid), 128 + SIGTERM, "how it ends");
}

/* Asserts that @what of @pid was told @times. */
static void expect_told(const char *name, const char *what, pid_t pid, unsigned int times)
{
	char *text = tool_read(name), *at = text, *line, key[64], of[32];
	unsigned int n = 0;

	snprintf(key, sizeof(key), "\"event\":\"%s\"", what);
	snprintf(of, sizeof(of), "\"pid\":%d,", pid);
	while ((line = strsep(&at, "\n")))
		n += strstr(line, key) && strstr(line, of);
	free(text);
	tap_expect_eq(n, times, "times that \"%s\" of process %d was told", what, pid);
}

void test_tool_events(void)
{
	static const char *const name = "told.events.jsonl";
	const struct tool_owner engine = { .bdf = VFIO_EDU0, .type = TYPE7, .name = "engine", .bytes = 4 * MIB, .pieces = 2 };
	const struct tool_owner poor = {
		.bdf = VFIO_EDU1, .type = TYPE7, .uid = NOBODY, .name = "poor", .bytes = 8 * MIB, .pieces = 1, .memlock = MIB,
	};
	const pid_t listener = listen_to(name, "events --json"), plain = listen_to("told.txt", "events");
	const pid_t counted = listen_to("counted.events.jsonl", "events --json --count 2");
	pid_t pids[OWNERS];
	struct proc proc;
	unsigned int i;
	int said;

	tap_step("%u owners come and are killed.", OWNERS);
	for (i = 0; i < OWNERS; i++) {
		if (!tool_own(&proc, &engine))
			return;
		pids[i] = proc.pid;
		proc_kill(&proc);
	}
	tap_step("A user is refused memory by its limit.");
	if (!tap_expect(!system("chmod 666 /dev/vfio/*"), "chmod"))
		return;
	tap_expect_ret(proc_start(&proc, tool_own_main, (void *)&poor), 0, "start");
	tap_expect_ret(sock_recv(proc.sock, &said), 0, "its answer");
	tap_expect_ret(said, -ENOMEM, "REGISTER above the limit");
	tap_expect(tool_await(name, "\"event\":\"refused\"", 1), "that is told");
	expect_told(name, "refused", proc.pid, 1);
	proc_kill(&proc);

	tap_step("Each was told once.");
	tap_expect(tool_await(name, "\"event\":\"released\"", OWNERS), "all ends are told");
	for (i = 0; i < OWNERS; i++) {
		expect_told(name, "registered", pids[i], 1);
		expect_told(name, "released", pids[i], 1);
	}
	tap_expect_eq(tool_count(name, "\"bytes\":4194304,\"mappings\":2,"), OWNERS, "ends with what was unpinned and revoked");
	tap_expect_eq(tool_count(name, "\"event\":\"put\""), 0, "regions, which nobody asked for");
	tap_expect_eq(tool_count(name, "\"event\":\"lost\""), 0, "lost ones");
	tap_expect_eq(tool_wait(counted), 0, "--count 2 ends by itself");
	tap_expect_eq(tool_count("counted.events.jsonl", "\n"), 2, "lines of it");
	tap_expect(tool_await("told.txt", "\n", tool_count(name, "\n")), "as many lines for people");
	tap_expect(tool_count("told.txt", "4M unpinned, 2 mappings revoked") == OWNERS, "which say the same");
	stop(listener);
	stop(plain);
}

void test_tool_events_regions(void)
{
	static const char *const name = "regions.events.jsonl";
	const struct tool_owner engine = { .bdf = VFIO_EDU0, .type = TYPE7, .name = "engine", .bytes = 4 * MIB, .pieces = 64 };
	const pid_t listener = listen_to(name, "events --json --regions");
	struct proc proc;

	tap_step("An owner of 64 regions is killed.");
	if (!tool_own(&proc, &engine))
		return;
	proc_kill(&proc);
	tap_expect(tool_await(name, "\"event\":\"put\"", 64), "each region is told");
	tap_expect_eq(tool_count(name, "\"event\":\"put\""), 64, "regions");
	tap_expect_eq(tool_count(name, "\"bytes\":65536}"), 64, "of 64 KiB each");
	stop(listener);
}

void test_tool_adopted(void)
{
	static const char *const name = "adopted.events.jsonl";
	struct tool_owner engine = {
		.bdf = VFIO_EDU0, .type = TYPE7, .name = "engine", .bytes = 4 * MIB, .pieces = 1, .heir = true,
	};
	const pid_t listener = listen_to(name, "events --json");
	struct proc proc;
	char text[64];
	pid_t pid;

	tap_step("The owner is killed; its child, which has the fds, registers memory of its own.");
	if (!tool_own(&proc, &engine))
		return;
	pid = proc.pid;
	proc_kill(&proc);
	snprintf(text, sizeof(text), "\"orphan_pid\":%d,", pid);
	tap_expect(tool_await(name, text, 1), "that its container has a new owner is told");
	tap_expect_eq(tool_count(name, "\"event\":\"adopted\""), 1, "times");
	stop(listener);
}
