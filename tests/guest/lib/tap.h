/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A small TAP 13 writer.
 *
 * A test is opened with tap_begin() and closed with tap_end(), which writes its
 * one "ok"/"not ok" line. In between any number of expectations may fail; each
 * failure is told in a "# FAILED" line and none ends the test, so clean-up code
 * always runs. Failures are counted in shared memory: an expectation that fails
 * in a child process, or in a program that it executes, fails the test.
 *
 * All output is written at once, line by line: nothing is lost or doubled when
 * a process forks or is killed.
 */
#ifndef GUEST_TAP_H
#define GUEST_TAP_H

#include <stdbool.h>
#include <stddef.h>

#define TAP_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Writes the version line. Call once, before anything else here. */
void tap_init(void);
/* The same for a program that a test executes: it goes on in that test. */
void tap_init_child(void);
/* Writes the plan; returns the exit status: 0 when nothing failed, else 1. */
int tap_finish(void);

void tap_begin(const char *fmt, ...) TAP_PRINTF(1, 2);
/* Returns true when the test passed or was skipped. */
bool tap_end(void);
/* The open test cannot be run here; tap_end() writes SKIP unless something failed. */
void tap_skip(const char *fmt, ...) TAP_PRINTF(1, 2);
/* Failed expectations of the open test so far. */
unsigned int tap_failures(void);

/* "# text" */
void tap_diag(const char *fmt, ...) TAP_PRINTF(1, 2);
/* "# N. text": the next numbered step of the open test's story. */
void tap_step(const char *fmt, ...) TAP_PRINTF(1, 2);

/* Records a failure with its text unless @cond; returns @cond. */
bool tap_expect(bool cond, const char *fmt, ...) TAP_PRINTF(2, 3);
/* Same for numbers; tells both. */
bool tap_expect_eq(long long got, long long want, const char *fmt, ...) TAP_PRINTF(3, 4);
/* Same for results that are 0, -errno or a verbatim positive number. */
bool tap_expect_ret(int got, int want, const char *fmt, ...) TAP_PRINTF(3, 4);

/* "0", "EINVAL" or a number; valid until the fourth next call. */
const char *tap_ret_name(int ret);

#endif
