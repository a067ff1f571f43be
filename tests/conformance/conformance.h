/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Scenarios for a container type (7; 1 and 3), run against whichever driver serves
 * it. What a driver does in one is boiled down to a short answer ("EINVAL", "0, 8
 * pages pinned"). A table knows what the kernel's own driver answered when it was
 * measured, what vfio_prereg has to answer, and why they differ where they do.
 */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "calls.h"
#include "rig.h"
#include "tap.h"

/* What a difference between upstream's answer and ours is. */
enum verdict {
	SAME,
	FIXED,		/* upstream's answer is a defect */
	EXTENSION,	/* ours can do what upstream cannot */
	LEFT_OUT,	/* upstream can do what ours does not offer */
	NEWER,		/* ours answers as newer kernels do */
};

/* A kernel version, to compare. */
#define KERNEL(major, minor) ((major) << 8 | (minor))

/* The memory that a call is about. */
enum place {
	AT_MEM,		/* registered by box_open() */
	AT_SPARE,	/* memory that is not registered, with nothing around it */
	AT_HOLE,	/* no memory */
	AT_ZERO,	/* address 0 */
};

/* One call: REGISTER, UNREGISTER, MAP, UNMAP, CREATE or REMOVE. Pages are the CPU's. */
struct call {
	enum call_nr nr;
	enum place place;
	long page, byte;	/* vaddr: from the place's start */
	long pages, bytes;	/* size */
	uint64_t iova;		/* MAP, UNMAP, REMOVE */
	uint32_t flags;		/* MAP */
	uint32_t shift, levels;	/* CREATE */
	uint64_t window;	/* CREATE: size in bytes */
};

struct scenario {
	const char *name;
	const char *what;
	void (*run)(const struct scenario *s);
	struct call call;	/* for run_call() and others that say so */
	enum mem_kind kind;	/* for run_window_pages() */
	/* Of the table's types the one to run it with; 0: each of them. */
	int type;
	/* As measured: type 7 on powernv, types 1 and 3 on Linux 6.1. With CPU pages of 64 KiB, if it differs there: *_64k. */
	const char *upstream;
	/* What the kernel's driver, and ours, answer from that version on, if the former differs. */
	unsigned int since;
	const char *newer;
	const char *upstream_64k;
	/* NULL: as upstream. */
	const char *ours;
	const char *ours_64k;
	/* On an iommu_domain; NULL: as on TCE tables with CPU pages of 4 KiB. */
	const char *domain;
	enum verdict verdict;	/* where upstream and ours differ */
	const char *why;
	/* Upstream leaks pins, warns or writes where it must not: such scenarios come last. */
	bool spoils;
	unsigned int timeout_s;	/* 0: 60 s */
};

struct scenario_group {
	const char *title;
	const struct scenario *scenarios;
	size_t n;
};

extern const struct scenario_group group_owner, group_arguments, group_register, group_unregister, group_share, group_map,
				   group_unmap, group_window, group_window_pages, group_end;
extern const struct scenario_group group_type1_choice, group_type1_info, group_type1_map, group_type1_memory,
				   group_type1_limit, group_type1_unmap, group_type1_dirty, group_type1_process, group_type1_end;

/* main.c: the answer of the scenario that runs. Parts are joined with ", ". */
void say(const char *fmt, ...) TAP_PRINTF(1, 2);
/* 0, an errno's name, or whatever number came. */
void say_ret(int ret);
/* The scenario cannot be run here. */
void say_skip(const char *fmt, ...) TAP_PRINTF(1, 2);
/* Is the driver the kernel's own? For how to drive a tool, never for what to answer. */
bool driver_is_upstream(void);
/* What the scenario is run with. */
int container_type(void);

/* box.c */

/* Default window's pages, whatever the CPU's are. */
#define WPAGE 4096ul
#define DEFAULT_WINDOW (2ull << 30)
#define IOVA 0x10000000ull
#define IOVA2 0x20000000ull
#define CONTROL_IOVA 0x30000000ull
#define REGION_PAGES 16
#define MAPPED_PAGES 8
#define SPARE_PAGES 16

/* Bytes of a CPU page. */
size_t page(void);

/*
 * A device and memory. @mem: REGION_PAGES pages, registered where the type knows that, the
 * first MAPPED_PAGES of them mapped at IOVA, the last one at CONTROL_IOVA. @spare: SPARE_PAGES,
 * not registered. @hole: nothing, and nothing around it.
 */
struct box {
	struct rig rig;
	int fd;			/* the container */
	char *mem;
	char *spare;
	char *hole;
};

bool box_open(struct box *box);
/* The same, with nothing registered nor mapped. */
bool box_open_bare(struct box *box);
void box_close(struct box *box);
/* Its group leaves, and says so; the container's fd stays open. */
void box_detach(struct box *box);
/* The same as box_open_bare(), and @bytes of memory of a kind; NULL: skipped, or after a failed assertion. */
char *box_open_kind(struct box *box, enum mem_kind kind, size_t bytes);

/* Address space that nothing uses, aligned to 2 MiB. */
char *address_space(size_t bytes);
/* Present anonymous small pages at a fixed place; false after a failed assertion. */
bool place_pages(char *at, size_t pages);

/* Pinned pages since the program's start; waits up to 2 s for @hope, as upstream unpins late. */
long long pins(long long hope);
/* Pages charged to this process. */
long long charge(void);
long long charge_kib(void);

/* For a pattern that the device has not seen before. */
uint32_t fresh_seed(void);
/* "read", "write", "read and write" or "nothing": what the device does at @iova to the memory at @va. */
const char *device_sees(struct box *box, uint64_t iova, char *va);
/* Does a write of the device to @iova change the memory at @va? Needs no other mapping. */
bool device_writes(struct box *box, uint64_t iova, char *va);
/* Says "reached", or "not reached". */
void say_reach(struct box *box, uint64_t iova, char *va);

/* The answer of @call in @box. */
int box_call(struct box *box, const struct call *call);
/*
 * Makes @s->call in a container where @mem is registered and mapped; says its answer,
 * and how pins and charge changed, if they did.
 */
void run_call(const struct scenario *s);

/* A child shares the mapped pages at first; their owner writes to them after the fork. */
void run_fork(const struct scenario *s);

/* One of the lifetime suite's cases, whose name is the scenario's. */
void run_held(const struct scenario *s);

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MAP_RO VFIO_DMA_MAP_FLAG_READ
#define MAP_WO VFIO_DMA_MAP_FLAG_WRITE
#define MAP_RW VFIO_MAP_RW

#endif
