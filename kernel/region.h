/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * region: registered memory of an owner.
 *
 *	region.c	who shares a region, and until when
 *	pin.c		its pages
 *	kept.c		those that nobody uses, kept for the next MAP
 */
#ifndef PREREG_REGION_H
#define PREREG_REGION_H

#include <linux/list.h>
#include <linux/types.h>

#include "range.h"

struct page;
struct prereg_owner;
struct prereg_payer;
struct task_struct;

/*
 * A region is cut into segments of at most PREREG_SEGMENT_PAGES pages; within
 * one a run is packed into 64 bits: first PFN << 16 | index of its first page.
 * So memory scattered in single pages costs 8 bytes a page, memory backed by
 * 2 MiB pages at most 8 bytes for each, plus 16 bytes a segment; and finding
 * a page is an index and a binary search.
 */
#define PREREG_RUN_START_BITS	16
#define PREREG_SEGMENT_PAGES	(1UL << PREREG_RUN_START_BITS)

/* Regions that are looked at before others may have owner->lock, and may run. */
#define PREREG_REGIONS_AT_ONCE	512

/**
 * struct prereg_segment - part of a region
 * @run: the only run, where @nruns is 1
 * @runs: the runs in ascending order, where @nruns is more
 * @nruns: number of runs
 * @npages: number of pages
 */
struct prereg_segment {
	union {
		u64	run;
		u64	*runs;
	};
	u32		nruns;
	u32		npages;
};

enum prereg_region_state {
	PREREG_REGION_PINNING,	/* its creator pins it; others wait */
	PREREG_REGION_READY,
	PREREG_REGION_FAILED,	/* not in the tree any more, waiters let go */
};

/**
 * struct prereg_region - one registered range of an owner
 * @range: user addresses; in owner->regions if @listed
 * @kept_entry: in owner->kept where it has no user
 * @lru_entry: in the list of all that is kept, ditto
 * @owner: whose memory; holds a struct reference
 * @users: registrations and waiters, under owner->lock
 * @state: under owner->lock
 * @doubts: how often what is at its addresses may have changed since; under owner->lock
 * @sure: up to which of these it is known to be what was pinned
 * @serial: its number among those of the owner that were ever listed; 0: it never was
 * @pinner: who pins it, while that is under way
 * @npages: its length, charged as long as the region exists
 * @listed: others can find it, under owner->lock
 * @implicit: made by a MAP, not by a REGISTER: MAPs of anything in it share it,
 *	and it gives way to a REGISTER; under owner->lock
 * @stale: counted as a stale mapping; under owner->lock
 * @writable: pinned for writing
 * @pfnmap: a device's BAR: neither pinned nor charged
 * @stuck: an IOMMU entry could not be removed, so it is never unpinned; under
 *	the container->lock of who maps it
 * @written: a device may have written it: dirty the pages when unpinning.
 *	Set without a lock by whoever maps it for writing; cleared where its pages were
 *	dirtied, see prereg_region_put_kept()
 * @page_sizes: of the pages that it consists of, a bitmap
 * @nruns: how many runs its segments have
 * @largest_run: pages in the largest
 * @nsegments: how many @segments are filled, each with pinned pages
 * @segments: allocated, or &@first where one is enough
 * @first: see @segments
 */
struct prereg_region {
	struct prereg_range		range;
	struct list_head		kept_entry;
	struct list_head		lru_entry;
	struct prereg_owner		*owner;
	unsigned int			users;
	enum prereg_region_state	state;
	u32				doubts;
	u32				sure;
	u64				serial;
	struct task_struct		*pinner;
	unsigned long			npages;
	bool				listed;
	bool				implicit;
	bool				stale;
	bool				writable;
	bool				pfnmap;
	bool				stuck;
	bool				written;
	u32				nsegments;
	u32				largest_run;
	unsigned long			nruns;
	unsigned long			page_sizes;
	struct prereg_segment		*segments;
	struct prereg_segment		first;
};

/**
 * prereg_region_get - find or make the region of exactly this range
 * @owner: the owner of current->mm
 * @vaddr: start, page aligned
 * @bytes: length, page aligned, not 0; vaddr + bytes does not wrap
 *
 * A new region is charged and pinned for writing, in batches between which a
 * fatal signal is noticed.
 *
 * Context: current->mm == owner->mm, no prereg lock held. Sleeps.
 * Return: the region with one more user, or ERR_PTR:
 * -EINVAL overlaps another registered region; -EFAULT not (writable) user memory, or a hole;
 * -ENOMEM limit or memory; -EINTR fatal signal; -EOPNOTSUPP cannot be pinned
 * for long: shared file pages that are not tmpfs, memfd or hugetlbfs. On an
 * error nothing is pinned or charged.
 */
struct prereg_region *prereg_region_get(struct prereg_owner *owner,
					unsigned long vaddr,
					unsigned long bytes);

/**
 * prereg_region_find - a region that a MAP can share
 * @write: does it need memory that was pinned for writing?
 *
 * Context: any.
 * Return: a region that holds all of [vaddr, vaddr + bytes), pinned and unchanged
 * since, with one more user; NULL: there is none.
 */
struct prereg_region *prereg_region_find(struct prereg_owner *owner,
					 unsigned long vaddr,
					 unsigned long bytes, bool write);

/**
 * prereg_region_get_implicit - find a region for a MAP, or make one
 *
 * A region that is made is exactly as long as asked for. It can be found by others
 * unless it overlaps one that a REGISTER made, or a longer one. Memory that is not
 * to be written is pinned for reading only.
 * Context: holds mm_users of owner->mm, no prereg lock. Sleeps.
 * Errors: as prereg_region_get(), without -EINVAL; -EOPNOTSUPP only for @write.
 */
struct prereg_region *prereg_region_get_implicit(struct prereg_owner *owner,
						 unsigned long vaddr,
						 unsigned long bytes,
						 bool write,
						 const struct prereg_payer *payer);

/**
 * prereg_region_put - drop one user; the last one unpins, and owes the charge
 *
 * The caller has revoked and flushed every mapping that it made of the region,
 * and calls prereg_owner_pay() later.
 * Context: sleeps; may be called with container->lock held, also from release().
 * Cannot fail, allocates nothing.
 */
void prereg_region_put(struct prereg_region *region);

/*
 * The same, but the last user leaves an implicit region pinned, for the next MAP,
 * where the owner then has at most @keep_pages kept; others make room, the oldest
 * first. Context: current->mm == owner->mm, no page lock held.
 */
void prereg_region_put_kept(struct prereg_region *region,
			    unsigned long keep_pages);

/* Others do not find it any more, if they did. owner->lock held. */
void prereg_region_unlist(struct prereg_region *region);

/*
 * An invalidation of [first, last] begins. If it may change what is there, what is kept there
 * goes (or, where we may not sleep, is doubtful), and what is in use is doubtful: a MAP
 * compares it with what is there before it shares it. Context: under mmap_lock, rmap
 * locks, page locks; takes spinlocks only, and lets others run in between if it may sleep.
 */
void prereg_regions_invalidate(struct prereg_owner *owner,
			       unsigned long first, unsigned long last,
			       bool changes, bool may_sleep);

/*
 * The process itself has unmapped or replaced [first, last], or something next to it: count
 * the mappings whose memory is gone. Context: as above, current->mm == owner->mm.
 */
void prereg_regions_judge(struct prereg_owner *owner, unsigned long first,
			  unsigned long last, bool unmapped, bool may_sleep);

/*
 * Unpin and free a region that is READY, in no list and without user, and owe its
 * charge. Sleeps, but never waits for a lock if it is not @written.
 */
void prereg_region_destroy(struct prereg_region *region);

int prereg_region_init(void);
void prereg_region_exit(void);

/* ---- pin.c ------------------------------------------------------------ */

/*
 * Pin the memory of a region that has none yet; of one with @pfnmap, note where it is.
 * Context: holds mm_users of owner->mm, no prereg lock. Sleeps.
 * Return: 0; errors as prereg_region_get(), and nothing is pinned.
 */
int prereg_region_pin(struct prereg_region *region);

/* Unpin the pages now, keep region and charge; for the debug build only. */
void prereg_region_unpin(struct prereg_region *region);

/* Mark its pages dirty; takes page locks. */
void prereg_region_dirty(struct prereg_region *region);

/* Bytes of memory the region's bookkeeping takes. */
size_t prereg_region_footprint(const struct prereg_region *region);

/* Pin one page of the owner's. Context and errors: as prereg_region_get_implicit(). */
int prereg_page_pin(struct prereg_owner *owner, unsigned long vaddr,
		    bool write, struct page **page);
void prereg_page_unpin(struct page *page, bool dirty);

/**
 * struct prereg_cursor - walks a region's physical memory
 * @region: a region in state READY
 * @segment: index of the segment at @offset
 * @run: index of the run in it
 * @offset: byte offset in the region
 */
struct prereg_cursor {
	const struct prereg_region	*region;
	u32				segment;
	u32				run;
	u64				offset;
};

/*
 * Is the page at vaddr, which is in the region, gone from current->mm? unmapped: by munmap() or
 * mremap(), else something that leaves pages of files where they can be found again.
 * Context: any, current->mm is the owner's.
 */
bool prereg_region_page_gone(const struct prereg_region *region,
			     unsigned long vaddr, bool unmapped);

/*
 * Is what is at [vaddr, vaddr + bytes), which is in the region, what was pinned there? It is
 * faulted in. write: may it be written, too? Context: holds mm_users of owner->mm, no
 * prereg lock. Return: 0; -ESTALE it is not; -ENOMEM, -EINTR.
 */
int prereg_region_compare(const struct prereg_region *region,
			  unsigned long vaddr, unsigned long bytes, bool write);

/* Point at a byte of the region; O(log runs of a segment). */
void prereg_cursor_init(struct prereg_cursor *cursor,
			const struct prereg_region *region, u64 offset);

/**
 * prereg_cursor_next - take the physically contiguous stretch at the cursor
 * @cursor: advanced behind the stretch
 * @max: at most this many bytes, not 0, inside the region
 * @phys: out: physical address of its first byte
 *
 * Return: its length in bytes. Two stretches in a row may be contiguous too,
 * where a segment ends.
 */
u64 prereg_cursor_next(struct prereg_cursor *cursor, u64 max,
		       phys_addr_t *phys);

/* Is [offset, offset + bytes) one piece of physical memory aligned to bytes? */
bool prereg_region_is_block(const struct prereg_region *region, u64 offset,
			    u64 bytes);

/* ---- kept.c ----------------------------------------------------------- */

/* These three: owner->lock held. */

/*
 * Keep a region that has lost its last user, if that is allowed: others make
 * room, and are added to what prereg_kept_free() frees. Return: is it kept?
 */
bool prereg_kept_add(struct prereg_region *region, unsigned long keep_pages,
		     struct list_head *dropped);

/* It has a user again. */
void prereg_kept_remove(struct prereg_region *region);

/* It goes, to what prereg_kept_free() frees, and others do not find it any more. */
void prereg_kept_drop(struct prereg_region *region, struct list_head *dropped);

/*
 * Unpin and free what was dropped, of one owner or several. Without owner->lock; under
 * whatever lock an invalidation or the shrinker is called with.
 */
void prereg_kept_free(struct list_head *dropped);

/*
 * What is kept of an owner beyond @keep_pages goes, the oldest first, before this returns.
 * Without owner->lock; sleeps. Return: was there anything?
 */
bool prereg_kept_trim(struct prereg_owner *owner, unsigned long keep_pages);

/* The shrinker. Return: 0, -ENOMEM. */
int prereg_kept_init(void);
void prereg_kept_exit(void);

#endif
