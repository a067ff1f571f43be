// SPDX-License-Identifier: GPL-2.0
/* prereg top on a terminal; what it writes there is kept, for a picture. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meter.h"
#include "proc.h"
#include "rig.h"
#include "tap.h"
#include "tool.h"

/* All that comes within @ms goes to @out; false when nothing more will. */
static bool drain(int terminal, int out, unsigned int ms)
{
	const uint64_t deadline = meter_now_ns() + proc_limit_ms(ms) * 1000000;
	struct pollfd pfd = { .fd = terminal, .events = POLLIN };
	char data[4096];
	ssize_t n;

	while (meter_now_ns() < deadline) {
		if (poll(&pfd, 1, 20) <= 0)
			continue;
		n = read(terminal, data, sizeof(data));
		if (n <= 0)
			return false;
		tap_expect(out < 0 || write(out, data, (size_t)n) == n, "keep it");
	}
	return true;
}

#define SCREENS "top-14x100.tty"

/* It draws @what within some seconds; all that comes goes to @out, which is SCREENS. */
static void shown(int terminal, int out, const char *what)
{
	const uint64_t deadline = meter_now_ns() + proc_limit_ms(10000) * 1000000;
	bool there, late;

	do {
		late = meter_now_ns() > deadline;
		there = drain(terminal, out, 200);
	} while (there && !late && !tool_count(SCREENS, what));
	tap_expect(there, "it is there");
	tap_expect(tool_count(SCREENS, what), "\"%s\" was on the screen", what);
}

void test_tool_top(void)
{
	const struct tool_owner engine = {
		.bdf = VFIO_EDU0, .type = TYPE7, .name = "engine", .bytes = 64 * MIB, .pieces = 4, .holder = true,
	};
	const struct tool_owner worker = {
		.bdf = VFIO_EDU1, .type = tool_other_type(), .uid = NOBODY, .name = "worker", .bytes = 192 * MIB, .pieces = 3,
		.memlock = 1024 * MIB,
	};
	struct winsize size = { .ws_row = 14, .ws_col = 100 };
	struct utsname uts;
	struct proc a, b;
	int terminal = -1, out;
	pid_t pid;

	if (!tap_expect(!system("chmod 666 /dev/vfio/*"), "chmod") || !tool_own(&a, &engine) || !tool_own(&b, &worker))
		return;
	/*
	 * On emulated POWER and Arm a program that calls newterm() and refresh() and nothing else aborts as well: "realloc(): invalid
	 * next size". Not understood.
	 */
	if (!uname(&uts) && strcmp(uts.machine, "x86_64")) {
		tap_skip("Debian's ncurses aborts in an emulated %s, whatever program uses it", uts.machine);
		goto out;
	}
	/* The guest has none until somebody needs them. */
	mount("devpts", "/dev/pts", "devpts", 0, "");
	pid = forkpty(&terminal, NULL, NULL, &size);
	if (!tap_expect(pid >= 0, "a terminal: %s", strerror(errno)))
		return;
	if (!pid) {
		setenv("TERM", "linux", 1);
		execl("/bin/prereg", "prereg", "top", "--delay=0.2", NULL);
		_exit(126);
	}
	tap_step("It shows two owners, then one and a container without owner.");
	out = open(TOOL_FILES "/" SCREENS, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	shown(terminal, out, "engine");
	proc_kill(&a);
	shown(terminal, out, "orphan");
	close(out);
	tap_step("The terminal becomes small and large; q ends it.");
	for (size.ws_row = 1; size.ws_row < 60; size.ws_row += 29) {
		size.ws_col = size.ws_row * 3;
		ioctl(terminal, TIOCSWINSZ, &size);
		tap_expect(drain(terminal, -1, 400), "it bears %u lines", size.ws_row);
	}
	tap_expect(write(terminal, "q", 1) == 1, "press q");
	drain(terminal, -1, 1000);
	tap_expect_eq(tool_wait(pid), 0, "its exit status");
	close(terminal);
out:
	proc_kill(&a);
	proc_kill(&b);
}
