// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tap.h"

/* How a program that a test executes finds the counters: an inherited memfd. */
#define TAP_FD_VARIABLE "GUEST_TAP_FD"

/* Shared with every child process. */
struct tap_shared {
	atomic_uint failures;	/* of the open test */
	atomic_uint steps;	/* of the open test */
	atomic_bool skipped;
	char skip_reason[256];
};

static struct tap_shared *shared;
static char test_name[256];
static unsigned int tests_run, tests_failed;

static void tap_write_line(const char *prefix, const char *fmt, va_list ap)
{
	char line[1024];
	int len = snprintf(line, sizeof(line), "%s", prefix);
	char *p;

	len += vsnprintf(line + len, sizeof(line) - len, fmt, ap);
	if (len > (int)sizeof(line) - 2)
		len = sizeof(line) - 2;
	for (p = line; p < line + len; p++)
		if (*p == '\n')
			*p = ' ';
	line[len++] = '\n';
	for (p = line; len > 0;) {
		ssize_t n = write(STDOUT_FILENO, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		p += n;
		len -= n;
	}
}

static void TAP_PRINTF(2, 3) tap_line(const char *prefix, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tap_write_line(prefix, fmt, ap);
	va_end(ap);
}

static void tap_share(int fd)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED) {
		tap_line("", "Bail out! no memory for the test's counters: %s", strerror(errno));
		_exit(1);
	}
}

void tap_init_child(void)
{
	const char *text = getenv(TAP_FD_VARIABLE);

	tap_share(text ? atoi(text) : -1);
}

void tap_init(void)
{
	char text[16];
	int fd = memfd_create("tap", 0);

	if (fd >= 0 && ftruncate(fd, sizeof(*shared)))
		close(fd);
	tap_share(fd);
	snprintf(text, sizeof(text), "%d", fd);
	setenv(TAP_FD_VARIABLE, text, 1);
	tap_line("", "TAP version 13");
}

int tap_finish(void)
{
	tap_line("", "1..%u", tests_run);
	return tests_failed ? 1 : 0;
}

void tap_begin(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(test_name, sizeof(test_name), fmt, ap);
	va_end(ap);
	shared->failures = 0;
	shared->steps = 0;
	shared->skipped = false;
}

bool tap_end(void)
{
	unsigned int nr = ++tests_run;

	if (shared->failures) {
		tests_failed++;
		tap_line("not ok ", "%u - %s", nr, test_name);
		return false;
	}
	if (shared->skipped)
		tap_line("ok ", "%u - %s # SKIP %s", nr, test_name, shared->skip_reason);
	else
		tap_line("ok ", "%u - %s", nr, test_name);
	return true;
}

void tap_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(shared->skip_reason, sizeof(shared->skip_reason), fmt, ap);
	va_end(ap);
	shared->skipped = true;
}

unsigned int tap_failures(void)
{
	return shared->failures;
}

void tap_diag(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tap_write_line("# ", fmt, ap);
	va_end(ap);
}

void tap_step(const char *fmt, ...)
{
	char prefix[24];
	va_list ap;

	snprintf(prefix, sizeof(prefix), "#   %u. ", atomic_fetch_add(&shared->steps, 1) + 1);
	va_start(ap, fmt);
	tap_write_line(prefix, fmt, ap);
	va_end(ap);
}

bool tap_expect(bool cond, const char *fmt, ...)
{
	va_list ap;

	if (cond)
		return true;
	atomic_fetch_add(&shared->failures, 1);
	va_start(ap, fmt);
	tap_write_line("# FAILED: ", fmt, ap);
	va_end(ap);
	return false;
}

bool tap_expect_eq(long long got, long long want, const char *fmt, ...)
{
	char what[512];
	va_list ap;

	if (got == want)
		return true;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return tap_expect(false, "%s: got %lld, expected %lld", what, got, want);
}

bool tap_expect_ret(int got, int want, const char *fmt, ...)
{
	char what[512];
	va_list ap;

	if (got == want)
		return true;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return tap_expect(false, "%s: got %s, expected %s", what,
			  tap_ret_name(got), tap_ret_name(want));
}

const char *tap_ret_name(int ret)
{
	static _Thread_local char buf[4][16];
	static _Thread_local unsigned int next;
	const char *name = ret < 0 ? strerrorname_np(-ret) : NULL;

	if (name)
		return name;
	next = (next + 1) % 4;
	snprintf(buf[next], sizeof(buf[next]), "%d", ret);
	return buf[next];
}
