/* SPDX-License-Identifier: GPL-2.0 */
#ifndef GUEST_LIFETIME_H
#define GUEST_LIFETIME_H

#include <linux/vfio.h>
#include <stdbool.h>

#include "proc.h"
#include "rig.h"


extern long lifetime_mb;	/* --mb */
extern long lifetime_cycles;	/* --cycles */
extern long lifetime_seed;	/* --seed */
extern long lifetime_held_kib;	/* --held-kib */

/* What this program does when it executes itself; the fds are inherited. */
#define HOLD_FDS_ARG "--hold-fds"	/* SOCK: keeps all fds until it is killed */
#define NEW_OWNER_ARG "--new-owner"	/* SOCK CONTAINER GROUP: owns them anew */
#define EXIT_ARG "--exit"
int new_owner_main(char **argv);

/* lifetime_share.c */
void test_fork_device_view(void);
void test_two_containers(void);
void test_two_containers_kill(void);
void test_new_owner(void);
void test_new_owner_execve(void);
void test_windows_after_death(void);
void test_foreign_mm(void);
void test_vfork(void);
void test_clone_vm(void);

/* lifetime_kill.c */
void test_kill_in_register(void);
void test_unmapped_before_death(void);
void test_dontneed_before_death(void);
void test_cycles(void);

#endif
