/* SPDX-License-Identifier: GPL-2.0 */
/* The command prereg, on the real module. What it writes goes to files, which are judged on the host too. */
#ifndef GUEST_TOOL_H
#define GUEST_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "proc.h"

/* tests/tool/judge gets all of it. Of NAME.SCHEMA.json, .jsonl (a line each) and NAME.prom it knows what they must be. */
#define TOOL_FILES "/out/tool"

#define NOBODY 65534
#define ROOT 0

/* Runs "prereg @words", which are separated by blanks, as @uid; its outputs go to files @name and @name.err. The exit status, or -1. */
int tool_run(uid_t uid, const char *name, const char *words);
/* The same, with an assertion about the exit status. */
bool tool_expect(uid_t uid, const char *name, const char *words, int status);
/* Starts it; tool_wait() waits for its end. */
pid_t tool_start(uid_t uid, const char *name, const char *words);
int tool_wait(pid_t pid);
/* A file's text, to be freed; "" if there is none. */
char *tool_read(const char *name);
/* How often @text is in the file @name. */
unsigned int tool_count(const char *name, const char *text);
/* Waits until it is there @times, in whole lines; false: it was not in time. */
bool tool_await(const char *name, const char *text, unsigned int times);

/**
 * struct tool_owner - how a process owns memory
 * @bdf: its device
 * @type: of its container
 * @uid: its user
 * @name: its name
 * @bytes: what it has registered, in @pieces
 * @memlock: RLIMIT_MEMLOCK, without CAP_IPC_LOCK; 0: as it is
 * @holder: a child keeps the fds until the test ends
 * @heir: a child has the fds, and registers memory of its own when its parent has ended
 */
struct tool_owner {
	const char	*bdf;
	int		type;
	uid_t		uid;
	const char	*name;
	size_t		bytes;
	unsigned int	pieces;
	size_t		memlock;
	bool		holder;
	bool		heir;
};

/* What proc_start() is to run for an owner; it sends 1 or -errno, and ends with its parent. */
int tool_own_main(int sock, void *owner);
/* Starts it and waits until it owns its memory; false after a failed assertion. proc_kill() ends it. */
bool tool_own(struct proc *proc, const struct tool_owner *owner);
/* Type 3, or 7 where there is no type 3. */
int tool_other_type(void);

/* tool_events.c */
void test_tool_events(void);
void test_tool_events_regions(void);
void test_tool_adopted(void);
/* tool_top.c */
void test_tool_top(void);
/* tool_churn.c */
extern long tool_seconds;
void test_tool_churn(void);

#endif
