/* SPDX-License-Identifier: GPL-2.0 */
/*
 * bench: what vfio_prereg, the kernel's own driver and the bare IOMMU API cost.
 *
 * Each measurement is a line of JSON on standard output; bench/run reads them.
 * A measurement that cannot be made ends the program with a sentence: numbers
 * of something that failed are of no use.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vfio.h"

/* The machine's page; main() sets it first. */
extern size_t bench_page;
#define PAGE_BYTES	bench_page
#define BENCH_PAGE_MAX	(16ul << 10)
#define MIB		(1ul << 20)
#define BENCH_DEVICE	VFIO_EDU0
/* Clear of the MSI range, inside a default window, 2 MiB aligned, room for 1 GiB. */
#define BENCH_IOVA	0x10000000ull

/* ---- bench.c ---- */

/* Prints a sentence and exits with 1. */
void bench_die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* Dies with @what unless @ret is 0 (a wrapper's result: -errno). */
void bench_need(int ret, const char *what);
/* One line of JSON: {"what":"@what", then @fmt, which is the rest without braces}. */
void bench_out(const char *what, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Makes bench_now() count instructions. */
void bench_count(void);
bool bench_counts(void);
/* What the cost of a call is measured with: monotonic nanoseconds, or instructions of this thread. */
uint64_t bench_now(void);

/* ---- memory.c ---- */

enum backing {
	BACKING_SMALL,		/* single pages, as the kernel hands them out */
	BACKING_THP,		/* transparent huge pages: 2 MiB, 32 MiB beside pages of 16 KiB */
	BACKING_SCATTERED,	/* single pages, no two of them side by side */
	BACKING_WINDOW_64K,	/* 2 MiB hugetlb pages, in a window of 64 KiB pages */
	BACKING_WINDOW_2M,	/* the same, in a window of 2 MiB pages */
	BACKINGS,
};

extern const char *const backing_name[BACKINGS];
/* The least that is mapped. */
size_t backing_page(enum backing backing);

void *memory_get(size_t bytes, enum backing backing);
void memory_put(void *p, size_t bytes);

/* ---- side.c ---- */

/*
 * What is compared. TYPE1 is the kernel's driver, PREREG our type 7, PLAIN our type 3, KEPT the
 * same when it keeps what is unmapped. LIMIT is bare iommu_map(), an ioctl for each call as the
 * others have; LIMIT_SG is the same with iommu_map_sg(). On POWER there is only
 * the kernel's SPAPR driver beside our type 7.
 */
enum side_kind {
	SIDE_TYPE1,
	SIDE_PREREG,
	SIDE_PLAIN,
	SIDE_KEPT,
	SIDE_LIMIT,
	SIDE_LIMIT_SG,
	SIDE_SPAPR,
	SIDES,
};

extern const char *const side_name[SIDES];

struct side {
	enum side_kind kind;
	struct vfio_dev dev;	/* all but LIMIT* */
	int limit;		/* LIMIT*: its file */
	char *p;		/* what side_register() took */
	size_t bytes;
	uint64_t stretches;	/* LIMIT*: physically contiguous pieces of it */
};

/* All of these die when they fail. */
void side_open(struct side *side, enum side_kind kind);
/* The same with another device than BENCH_DEVICE. */
void side_open_device(struct side *side, enum side_kind kind, const char *device);
void side_close(struct side *side);
/* The number in <linux/vfio.h>. */
int side_type(enum side_kind kind);
/* Are there calls to register memory? Types 1 and 3 pin when they map. */
bool side_registers(enum side_kind kind);
/* REGISTER, or bare pinning, if there is such a call. Both return nanoseconds. */
uint64_t side_register(struct side *side, char *p, size_t bytes);
uint64_t side_unregister(struct side *side);
/* Maps memory that was registered, from @offset on; unmaps. */
void side_map(struct side *side, uint64_t iova, size_t offset, size_t bytes);
void side_unmap(struct side *side, uint64_t iova, size_t bytes);
/* LIMIT*: maps or unmaps in pieces of @step, one ioctl for all of them. */
void side_map_bare(struct side *side, uint64_t iova, size_t bytes, size_t step);
void side_unmap_bare(struct side *side, uint64_t iova, size_t bytes, size_t step);
/* A call that the other side knows nothing of, so only the way there and back. */
void side_nop(struct side *side);

/* ---- tce.c ---- */

/* The kernel's own driver that is loaded: TYPE1 or SPAPR. */
enum side_kind side_kernel(void);
/*
 * Makes @kind the driver that VFIO finds. It asks the one that was loaded last, which is ours: our
 * types 1 and 3 are switched on and off; where the kernel's own has type 7 too, ours is
 * loaded and unloaded.
 */
void side_load(enum side_kind kind);
/* A window for that memory at 0, made before the first map would make one; only where windows are tables. */
void side_window(struct side *side, enum backing backing);
/* Waits until no more than @pins pages are pinned; nanoseconds. The SPAPR driver unpins after its UNREGISTER. */
uint64_t side_wait_unpinned(long long pins);

/* ---- batch.c, calls.c, containers.c, growth.c, kill.c, tce.c: @rounds measurements of each ---- */

void bench_calls(enum backing backing, size_t bytes, unsigned int rounds);
/* The kernel's type 1 driver, our type 3, and that with what it keeps. */
void bench_type1(enum backing backing, size_t bytes, unsigned int rounds);
/* The same memory in a container for each device, of one process. */
void bench_containers(enum backing backing, size_t bytes, unsigned int rounds);
/* Many pages in one call. */
void bench_batch(enum backing backing, size_t bytes, unsigned int rounds);
void bench_nop(unsigned int rounds);
void bench_mappings(unsigned int rounds);
void bench_windows(unsigned int rounds);
void bench_tables(unsigned int rounds);
void bench_regions(unsigned int rounds);
void bench_bookkeeping(enum backing backing, size_t bytes, unsigned int rounds);

/* How an owner holds its memory. */
enum kill_kind {
	KILL_NOT_HELD,		/* not at all: what exit itself takes */
	KILL_KERNEL,		/* by the kernel's own driver */
	KILL_PREREG,
	KILL_KINDS,
};

/*
 * Kills owners of @bytes, mapped in @pieces mappings of the same size; with
 * @regions each piece is registered on its own.
 */
void bench_kill(enum backing backing, size_t bytes, size_t pieces, bool regions,
		unsigned int rounds);
/* What type1 and vfio_prereg have to undo then, without the exit of a process around it. */
void bench_tear_down(enum backing backing, size_t bytes, size_t pieces, bool regions,
		     unsigned int rounds);

#endif
