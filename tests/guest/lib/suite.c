// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meter.h"
#include "proc.h"
#include "suite.h"
#include "tap.h"

#define TEST_TIMEOUT_S 60
#define MAX_ONLY 32

bool suite_own_backend = true;

/* Kills and reaps all that a test left. As a subreaper we inherit its orphans. */
static void kill_group(pid_t pgid)
{
	const uint64_t deadline = meter_now_ns() + proc_limit_ms(20000) * 1000000;

	for (;;) {
		pid_t got;

		kill(-pgid, SIGKILL);
		got = waitpid(-1, NULL, WNOHANG);
		if (got < 0 && errno == ECHILD)
			return;
		if (got == 0)
			meter_sleep_ms(1);
		if (meter_now_ns() > deadline) {
			tap_expect(false, "a process of this test cannot be killed");
			return;
		}
	}
}

static void run_test(const struct suite_test *test)
{
	const unsigned int timeout_s = test->timeout_s ? test->timeout_s : TEST_TIMEOUT_S;
	const uint64_t start = meter_now_ns();
	pid_t pid;
	int ret;

	tap_begin("%s", test->name);
	tap_diag("%s", test->name);
	pid = fork();
	if (!pid) {
		setpgid(0, 0);
		test->run();
		_exit(0);
	}
	if (tap_expect(pid > 0, "fork: %s", strerror(errno))) {
		setpgid(pid, pid);
		ret = pid_wait(pid, timeout_s * 1000);
		if (ret == -ETIMEDOUT)
			tap_expect(false, "still running after %u s", timeout_s);
		else
			tap_expect(ret == 0, "the test's process ended with status %d", ret);
		kill_group(pid);
	}
	meter_assert_clean(suite_own_backend);
	tap_diag("%s: %llu ms", test->name,
		 (unsigned long long)(meter_now_ns() - start) / 1000000);
	tap_end();
}

static void skip_test(const struct suite_test *test, const char *why)
{
	tap_begin("%s", test->name);
	tap_skip("%s", why);
	tap_end();
}

/* The value of option @name at argv[*i], which may use up the next argument; NULL: not it. */
static const char *option_value(char **argv, int argc, int *i, const char *name)
{
	size_t len = strlen(name);

	if (strncmp(argv[*i], name, len))
		return NULL;
	if (argv[*i][len] == '=')
		return argv[*i] + len + 1;
	if (argv[*i][len] || *i + 1 >= argc)
		return NULL;
	return argv[++*i];
}

static bool parse_option(char **argv, int argc, int *i, const struct suite *suite)
{
	size_t k;

	for (k = 0; k < suite->n_options; k++) {
		const struct suite_option *opt = &suite->options[k];
		const char *value = option_value(argv, argc, i, opt->name);
		char *end;

		if (!value)
			continue;
		if (opt->text)
			*opt->text = value;
		if (opt->number) {
			*opt->number = strtol(value, &end, 0);
			if (!*value || *end)
				return false;
		}
		return true;
	}
	return false;
}

static void usage(const struct suite *suite)
{
	size_t k;

	fprintf(stderr, "usage: %s [--list] [--only NAME]…\n", suite->name);
	for (k = 0; k < suite->n_options; k++)
		fprintf(stderr, "  %s VALUE  %s\n", suite->options[k].name, suite->options[k].help);
}

static bool wanted(const struct suite_test *test, const char **only, size_t n_only)
{
	size_t k;

	if (!n_only)
		return !test->on_demand;
	for (k = 0; k < n_only; k++)
		if (!strcmp(test->name, only[k]))
			return true;
	return false;
}

int suite_main(int argc, char **argv, const struct suite *suite)
{
	const char *only[MAX_ONLY];
	size_t n_only = 0, ran = 0, k;
	struct meter_stats stats;
	const char *why;
	int i;

	for (i = 1; i < argc; i++) {
		const char *value;

		if (!strcmp(argv[i], "--list")) {
			for (k = 0; k < suite->n_tests; k++)
				printf("%s%s\n", suite->tests[k].name,
				       suite->tests[k].on_demand ? " (on demand)" : "");
			return 0;
		}
		value = option_value(argv, argc, &i, "--only");
		if (value && n_only < MAX_ONLY) {
			only[n_only++] = value;
		} else if (!parse_option(argv, argc, &i, suite)) {
			usage(suite);
			return 2;
		}
	}
	if (suite->apply_options && !suite->apply_options()) {
		usage(suite);
		return 2;
	}
	tap_init();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (suite_own_backend && meter_stats_read(&stats)) {
		tap_begin("vfio_prereg is loaded");
		tap_expect(false, "no counters in debugfs: load the module first");
		tap_end();
		return tap_finish();
	}
	meter_baseline();
	why = suite->unfit ? suite->unfit() : NULL;
	for (k = 0; k < suite->n_tests; k++) {
		if (!wanted(&suite->tests[k], only, n_only))
			continue;
		if (why)
			skip_test(&suite->tests[k], why);
		else
			run_test(&suite->tests[k]);
		ran++;
	}
	if (n_only && ran < n_only) {
		tap_begin("every test named with --only exists");
		tap_expect(false, "%zu named, %zu found", n_only, ran);
		tap_end();
	}
	return tap_finish();
}
