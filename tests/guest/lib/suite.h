/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Runs a table of tests, each in a process of its own: what one leaves behind,
 * its death included, is not the next one's problem. When a test's process has
 * ended, everything it started is killed, and then nothing may be pinned,
 * charged, mapped or referenced any more (meter_assert_clean()).
 */
#ifndef GUEST_SUITE_H
#define GUEST_SUITE_H

#include <stdbool.h>
#include <stddef.h>

struct suite_test {
	const char *name;
	void (*run)(void);
	unsigned int timeout_s;		/* 0: 60 s */
	bool on_demand;			/* runs only with --only NAME */
};

struct suite_option {
	const char *name;		/* "--rounds" */
	long *number;			/* where its number goes, or NULL */
	const char **text;		/* where its text goes, or NULL */
	const char *help;
};

struct suite {
	const char *name;
	const struct suite_test *tests;
	size_t n_tests;
	const struct suite_option *options;
	size_t n_options;
	/* Called once the options are parsed; false: they make no sense. May be NULL. */
	bool (*apply_options)(void);
	/* Why the tests cannot be run here: they are skipped. NULL, also as an answer: they can. */
	const char *(*unfit)(void);
};

/* Counters of vfio_prereg are judged after every test; off for another backend. */
extern bool suite_own_backend;

/*
 * Understands --list, --only NAME (again for more) and the suite's options;
 * "--name value" and "--name=value" are the same. Returns main()'s result.
 */
int suite_main(int argc, char **argv, const struct suite *suite);

#define SUITE_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
