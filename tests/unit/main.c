// SPDX-License-Identifier: GPL-2.0
/*
 * unit [--seed N] [--steps N] [--only TEXT] [--list]: the unit tests, as TAP 13.
 * --only runs the tests whose names contain TEXT.
 */
#include <getopt.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "unit.h"

u64 unit_seed;
unsigned long unit_steps = 100000;

static const struct unit_test *const lists[] = {
	range_tests, region_tests, share_tests, window_tests, mapping_tests, batch_tests,
	domain_tests, container_tests, type1_tests, stale_tests, kept_tests, view_tests,
	failure_tests,
	model_tests,
};

/*
 * Each test has a process of its own: a module that is loaded finds its data as
 * the compiler made it, and a crash is that test's.
 */
static void run(const struct unit_test *test)
{
	struct timespec start, end;
	char name[128];
	double seconds;
	int status;
	pid_t pid;
	char *p;

	snprintf(name, sizeof(name), "%s", test->name);
	for (p = name; *p; p++)
		if (*p == '_')
			*p = ' ';
	clock_gettime(CLOCK_MONOTONIC, &start);
	tap_begin("%s", name);
	pid = fork();
	if (!pid) {
		unit_begin();
		test->fn();
		unit_end();
		exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		tap_expect(false, "no process for the test");
	else if (WIFSIGNALED(status))
		tap_expect(false, "ended by signal %d", WTERMSIG(status));
	else
		tap_expect_eq(WEXITSTATUS(status), 0, "exit status, see above");
	clock_gettime(CLOCK_MONOTONIC, &end);
	seconds = end.tv_sec - start.tv_sec + (end.tv_nsec - start.tv_nsec) / 1e9;
	if (seconds > 1)
		tap_diag("%.1f s", seconds);
	tap_end();
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "steps", required_argument, NULL, 'n' },
		{ "only", required_argument, NULL, 'o' },
		{ "list", no_argument, NULL, 'l' },
		{ },
	};
	const char *only = "";
	bool list = false;
	size_t i, t;
	int opt;

	unit_seed = time(NULL);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 's':
			unit_seed = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			unit_steps = strtoul(optarg, NULL, 0);
			break;
		case 'o':
			only = optarg;
			break;
		case 'l':
			list = true;
			break;
		default:
			fprintf(stderr, "usage: %s [--seed N] [--steps N] [--only TEXT] [--list]\n",
				argv[0]);
			return 2;
		}
	}
	if (!list)
		tap_init();
	for (i = 0; i < ARRAY_SIZE(lists); i++) {
		for (t = 0; lists[i][t].name; t++) {
			if (!strstr(lists[i][t].name, only))
				continue;
			if (list)
				puts(lists[i][t].name);
			else
				run(&lists[i][t]);
		}
	}
	return list ? 0 : tap_finish();
}
