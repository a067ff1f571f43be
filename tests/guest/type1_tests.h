/* SPDX-License-Identifier: GPL-2.0 */
/* Containers of types 1 and 3: what the files of this suite share. */
#ifndef TYPE1_TESTS_H
#define TYPE1_TESTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rig.h"
#include "type1.h"

#define IOVA 0x10000000ull
#define IOVA2 0x20000000ull
#define SCRATCH_IOVA 0x30000000ull

extern long type1_version;	/* --type */

enum {
	MSG_READY = 1,
	MSG_GO,
	MSG_DONE,
};

/* A device and a page of memory, mapped at SCRATCH_IOVA, to see what the device reads. */
struct bench {
	struct rig rig;
	int container;
	char *scratch;
};

/* Asserts that it works. */
bool bench_open(struct bench *bench, const char *bdf);
void bench_close(struct bench *bench);
/* Small pages that are not mapped for DMA; ends the test's process if there are none. */
char *memory(size_t pages);
/* MAP for both, and UNMAP of exactly that, asserted. */
bool bench_map(struct bench *bench, uint64_t iova, void *va, size_t pages);
bool bench_unmap(struct bench *bench, uint64_t iova, size_t pages);
/* Does the device read @seed's pattern of 64 bytes at @iova? */
bool bench_reads(struct bench *bench, uint64_t iova, uint32_t seed);

/* Asserts what is pinned in the machine and charged to this process, and what of it is kept. In pages, without @bench's own. */
bool expect_held(long long pinned, long long charged, long long kept, const char *when);
/* How many benches this process has open: each holds a page. */
extern unsigned int benches_open;

/* type1_stale.c: how a process gives memory up, and has other memory at the same addresses afterwards. */
struct give_up {
	const char *name;
	bool file;		/* memory of a memfd, else anonymous */
	bool by_other;		/* another process does it, to the file */
	bool same_page;		/* the old pages may stay where they are */
	bool (*run)(char *p, size_t bytes, int fd);
};

extern const struct give_up give_ups[];
extern const size_t n_give_ups;

/* Memory to be given up, and its file (-1 if it has none); NULL after a failed assertion. */
char *give_up_memory(const struct give_up *way, size_t pages, int *fd);
/* Asserts that it works. */
bool give_up_run(const struct give_up *way, char *p, size_t pages, int fd);
/* Fills each page's beginning with @seed's pattern. */
void fill_pages(char *p, size_t pages, uint32_t seed);

/* type1_share.c */
void test_two_containers(void);
void test_two_containers_limit(void);
void test_reclaim(void);
void test_overlaps(void);
void test_registered_first(void);
void test_mapped_first(void);
void test_two_processes(void);
void test_guest_outlives(void);
void test_revoked_at_exit(void);
void test_fork(void);

/* type1_stale.c */
void test_stale(void);
void test_stale_told_once(void);

/* type1_kept.c */
void test_kept(void);
void test_kept_arguments(void);
void test_kept_default(void);
void test_kept_dropped(void);
void test_kept_protected(void);
void test_kept_fork(void);
void test_kept_private_file(void);
void test_kept_limit(void);
void test_kept_memlock(void);
void test_kept_pressure(void);
void test_kept_close(void);
void test_kept_exit(void);

#endif
