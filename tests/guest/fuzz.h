/* SPDX-License-Identifier: GPL-2.0 */
#ifndef GUEST_FUZZ_H
#define GUEST_FUZZ_H

/* fuzz_inject.c: every allocation of every call made to fail in turn. */
void test_fail_inject(void);

#endif
