/* SPDX-License-Identifier: GPL-2.0 */
/* What the tests of libprereg share. */
#ifndef LIBRARY_H
#define LIBRARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <prereg.h>

#include "edu.h"
#include "proc.h"
#include "rig.h"
#include "suite.h"
#include "tap.h"

#define IOVA	0x10000000ull
#define IOVA2	0x20000000ull
#define RW	(PREREG_READ | PREREG_WRITE)
#define NOBODY	65534

/* A container of the library with an edu device. */
struct box {
	struct prereg	*prereg;
	int		device;
	struct edu	edu;
};

/* Opens it with the edu device @nr; asserts that it works. */
bool box_open(struct box *box, unsigned int nr);
void box_close(struct box *box);
/* Memory that is registered; NULL after a failed assertion. */
char *box_own(struct box *box, size_t bytes, enum mem_kind kind);
/* Does the device reach @va at @iova? Asserts it, or that it does not. */
void box_reaches(struct box *box, uint64_t iova, void *va, const char *what);
void box_faults(struct box *box, uint64_t iova, const char *what);

/* Asserts that @ret is 0, or tells the sentence. */
bool worked(struct prereg *prereg, int ret, const char *what);
/* Asserts that @ret is -1 with @error in errno, and that the sentence has @words in it. */
bool refused(struct prereg *prereg, int ret, int error, const char *words, const char *what);

/* The same for a view. */
struct prereg_view *view_open(void);
bool view_worked(struct prereg_view *view, int ret, const char *what);
bool view_refused(struct prereg_view *view, int ret, int error, const char *words, const char *what);

/* What a dump showed: copies. */
struct seen {
	size_t			nowners, ncontainers, nregions;
	struct prereg_owner	owner;		/* the one of @pid */
	char			comm[16];
	struct prereg_region	regions[8];	/* the first ones */
	struct prereg_container	container;	/* the last one */
	uint32_t		groups[4];
	struct prereg_share	shares[4];
	struct prereg_window	windows[4];
	char			orphan_comm[16];
};

/* All that the view shows; the regions are those of the owner with @pid, if there is one. */
bool look(struct prereg_view *view, uint32_t pid, struct seen *seen);

/* Runs @fn in a child that is root no more, or is in another namespace; asserts that it worked. */
void as_nobody(void (*fn)(void *arg), void *arg);
void unshared(int flags, void (*fn)(void *arg), void *arg);

void test_open(void);
void test_group(void);
void test_register(void);
void test_memlock(void);
void test_map(void);
void test_map_all(void);
void test_singly(void);
void test_windows(void);
void test_fork(void);
void test_unsafe(void);

void test_view(void);
void test_kinds(void);
void test_users(void);
void test_namespaces(void);
void test_orphan(void);
void test_counters(void);
void test_large(void);
void test_changing(void);

void test_events(void);
void test_refusals(void);
void test_overflow(void);
void test_unload(void);

void test_malformed(void);
void test_fuzz(void);

extern long fuzz_rounds;

#endif
