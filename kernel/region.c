// SPDX-License-Identifier: GPL-2.0-only
/*
 * region: one registered range of an owner, pinned and charged once, whoever
 * shares it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "prereg.h"

/*
 * Pages pinned by one call. pin_user_pages_fast() walks a batch with interrupts
 * off, and a fatal signal is noticed between two batches.
 */
#define PREREG_PIN_BATCH	512
/* Regions up to this size are pinned without memory for a batch. */
#define PREREG_PIN_ON_STACK	8
/* Runs a segment has room for at first, while it is filled. */
#define PREREG_RUNS_MIN		64

static u64 run_pack(unsigned long pfn, u32 start)
{
	return (u64)pfn << PREREG_RUN_START_BITS | start;
}

static unsigned long run_pfn(u64 run)
{
	return run >> PREREG_RUN_START_BITS;
}

static u32 run_start(u64 run)
{
	return run & (PREREG_SEGMENT_PAGES - 1);
}

static const u64 *segment_runs(const struct prereg_segment *segment)
{
	return segment->nruns == 1 ? &segment->run : segment->runs;
}

/* Index of the page behind run i. */
static u32 segment_run_end(const struct prereg_segment *segment, u32 i)
{
	return i + 1 < segment->nruns ? run_start(segment->runs[i + 1]) :
					segment->npages;
}

static void runs_unpin(const u64 *runs, u32 nruns, u32 npages, bool dirty)
{
	u32 i, end;

	for (i = 0; i < nruns; i++) {
		end = i + 1 < nruns ? run_start(runs[i + 1]) : npages;
		unpin_user_page_range_dirty_lock(pfn_to_page(run_pfn(runs[i])),
						 end - run_start(runs[i]),
						 dirty);
		if (i % PREREG_PIN_BATCH == 0)
			cond_resched();
	}
	prereg_stat_add(PREREG_STAT_PINNED_PAGES, -(long)npages);
}

/**
 * struct prereg_pinner - a region being pinned, segment by segment
 * @pages: room for a batch
 * @batch: how many fit
 * @runs: of the segment being filled; kept for the next one
 * @nruns: how many
 * @max_runs: room for so many
 * @npages: pages in them, all pinned
 */
struct prereg_pinner {
	struct page	**pages;
	u32		batch;
	u64		*runs;
	u32		nruns;
	u32		max_runs;
	u32		npages;
};

/* More than a page of runs is not rounded up to a power of two. */
static u64 *runs_alloc(u32 n, gfp_t gfp)
{
	size_t bytes = array_size(n, sizeof(u64));

	return bytes > PAGE_SIZE ? __vmalloc(bytes, gfp) : kmalloc(bytes, gfp);
}

static int pinner_grow(struct prereg_pinner *pinner)
{
	u32 max_runs = max_t(u32, 2 * pinner->max_runs, PREREG_RUNS_MIN);
	u64 *runs = runs_alloc(max_runs, GFP_KERNEL);

	if (!runs)
		return -ENOMEM;
	if (pinner->nruns)
		memcpy(runs, pinner->runs, pinner->nruns * sizeof(*runs));
	kvfree(pinner->runs);
	pinner->runs = runs;
	pinner->max_runs = max_runs;
	return 0;
}

/*
 * Pages that a file system writes back must not be written by a device behind
 * its back; and dirtying them when they are unpinned would have to wait for a
 * page lock, that is for a FUSE or NFS server, in the exit of the owner. Newer
 * kernels refuse them too. Anonymous memory, tmpfs and memfd are
 * swap-backed (but for MADV_FREE pages, which are anonymous).
 */
static bool folio_is_pinnable(const struct folio *folio)
{
	return folio_test_swapbacked((struct folio *)folio) ||
	       folio_test_anon((struct folio *)folio) ||
	       folio_test_hugetlb((struct folio *)folio) || !folio->mapping;
}

/* How many of n pages that were just pinned are of the first one's folio, in order. */
static u32 pages_in_folio(struct page **pages, u32 n, struct folio *folio)
{
	u32 i;

	if (!folio_test_large(folio))
		return 1;
	n = min_t(unsigned long, n, folio_nr_pages(folio) -
		  folio_page_idx(folio, pages[0]));
	for (i = 1; i < n && pages[i] == pages[0] + i; i++)
		;
	return i;
}

/* Take over n pages that were just pinned. On an error, how many were is @npages. */
static int pinner_take(struct prereg_pinner *pinner, u32 n)
{
	struct folio *folio;
	struct page *page;
	u32 i, taken;

	for (i = 0; i < n; i += taken, pinner->npages += taken) {
		page = pinner->pages[i];
		folio = page_folio(page);
		if (!folio_is_pinnable(folio))
			return -EOPNOTSUPP;
		taken = pages_in_folio(pinner->pages + i, n - i, folio);
		if (pinner->nruns &&
		    page_to_pfn(page) == run_pfn(pinner->runs[pinner->nruns - 1]) +
		    pinner->npages - run_start(pinner->runs[pinner->nruns - 1]))
			continue;
		if (pinner->nruns == pinner->max_runs && pinner_grow(pinner))
			return -ENOMEM;
		pinner->runs[pinner->nruns++] = run_pack(page_to_pfn(page),
							 pinner->npages);
	}
	return 0;
}

/* The segment is complete: move its runs into it. */
static int pinner_finish(struct prereg_pinner *pinner,
			 struct prereg_segment *segment)
{
	if (pinner->nruns == 1) {
		segment->run = pinner->runs[0];
	} else {
		u64 *runs = runs_alloc(pinner->nruns, GFP_KERNEL_ACCOUNT);

		if (!runs)
			return -ENOMEM;
		memcpy(runs, pinner->runs, pinner->nruns * sizeof(*runs));
		segment->runs = runs;
	}
	segment->nruns = pinner->nruns;
	segment->npages = pinner->npages;
	pinner->nruns = 0;
	pinner->npages = 0;
	return 0;
}

/* What pinning may say, see prereg_region_get(). */
static int pin_error(long ret)
{
	switch (ret) {
	case -ENOMEM:
	case -EOPNOTSUPP:
	case -EINTR:
		return ret;
	default:
		return -EFAULT;
	}
}

/* Pin npages at vaddr as a segment's runs. On an error @pinner has what is pinned. */
static int pinner_pin(struct prereg_pinner *pinner, unsigned long vaddr,
		      u32 npages)
{
	u32 before;
	int n, ret;

	while (pinner->npages < npages) {
		if (fatal_signal_pending(current))
			return -EINTR;
		before = pinner->npages;
		n = pin_user_pages_fast(vaddr + ((unsigned long)before <<
						 PAGE_SHIFT),
					min(npages - before, pinner->batch),
					FOLL_WRITE | FOLL_LONGTERM,
					pinner->pages);
		if (n <= 0)
			return pin_error(n);
		prereg_stat_add(PREREG_STAT_PINNED_PAGES, n);
		ret = pinner_take(pinner, n);
		if (ret) {
			/* The rest of the batch is in no run. */
			before = pinner->npages - before;
			unpin_user_pages(pinner->pages + before, n - before);
			prereg_stat_add(PREREG_STAT_PINNED_PAGES,
					-(long)(n - before));
			return ret;
		}
		cond_resched();
	}
	return 0;
}

void prereg_region_unpin(struct prereg_region *region)
{
	while (region->nsegments) {
		struct prereg_segment *segment =
			&region->segments[--region->nsegments];

		/* Lost pages are better than pages that a device may write. */
		if (!region->stuck)
			runs_unpin(segment_runs(segment), segment->nruns,
				   segment->npages, region->written);
		if (segment->nruns > 1)
			kvfree(segment->runs);
	}
}

static int prereg_region_alloc_segments(struct prereg_region *region)
{
	unsigned long n = DIV_ROUND_UP(region->npages, PREREG_SEGMENT_PAGES);
	struct prereg_segment *segments;

	if (n > INT_MAX / sizeof(*segments))
		return -ENOMEM;
	segments = kvcalloc(n, sizeof(*segments), GFP_KERNEL_ACCOUNT);
	if (!segments)
		return -ENOMEM;
	region->segments = segments;
	return 0;
}

static int prereg_region_pin(struct prereg_region *region)
{
	unsigned long vaddr = region->range.first, left = region->npages;
	struct page *few[PREREG_PIN_ON_STACK];
	u64 few_runs[PREREG_PIN_ON_STACK];
	struct prereg_pinner pinner = {
		.pages		= few,
		.batch		= ARRAY_SIZE(few),
		.runs		= few_runs,
		.max_runs	= ARRAY_SIZE(few_runs),
	};
	u32 npages;
	int ret;

	if (left > ARRAY_SIZE(few)) {
		pinner.batch = PREREG_PIN_BATCH;
		pinner.pages = kmalloc_array(pinner.batch, sizeof(*few),
					     GFP_KERNEL);
		if (!pinner.pages)
			return -ENOMEM;
		pinner.runs = NULL;
		pinner.max_runs = 0;
	}

	do {
		npages = min(left, PREREG_SEGMENT_PAGES);
		ret = pinner_pin(&pinner, vaddr, npages);
		/* After the first pin, so a range of nothing costs nothing. */
		if (!ret && left > npages && !region->nsegments)
			ret = prereg_region_alloc_segments(region);
		if (!ret)
			ret = pinner_finish(&pinner,
					    &region->segments[region->nsegments]);
		if (ret) {
			/* The segment being filled; nobody wrote it. */
			runs_unpin(pinner.runs, pinner.nruns, pinner.npages,
				   false);
			prereg_region_unpin(region);
			break;
		}
		region->nsegments++;
		vaddr += (unsigned long)npages << PAGE_SHIFT;
		left -= npages;
	} while (left);

	if (pinner.pages != few) {
		kfree(pinner.pages);
		kvfree(pinner.runs);
	}
	return ret;
}

size_t prereg_region_footprint(const struct prereg_region *region)
{
	size_t bytes = sizeof(*region);
	u32 i;

	if (region->segments != &region->first)
		bytes += region->nsegments * sizeof(*region->segments);
	for (i = 0; i < region->nsegments; i++)
		if (region->segments[i].nruns > 1)
			bytes += region->segments[i].nruns * sizeof(u64);
	return bytes;
}

/* Struct only: nothing pinned, nothing charged. */
static struct prereg_region *prereg_region_alloc(struct prereg_owner *owner,
						 unsigned long vaddr,
						 unsigned long bytes)
{
	struct prereg_region *region;

	region = kzalloc(sizeof(*region), GFP_KERNEL_ACCOUNT);
	if (!region)
		return NULL;

	region->range.first = vaddr;
	region->range.last = vaddr + bytes - 1;
	region->npages = bytes >> PAGE_SHIFT;
	region->users = 1;
	region->state = PREREG_REGION_PINNING;
	region->segments = &region->first;
	prereg_owner_hold(owner);
	region->owner = owner;
	return region;
}

static void prereg_region_free(struct prereg_region *region)
{
	if (region->segments != &region->first)
		kvfree(region->segments);
	prereg_owner_drop(region->owner);
	kfree(region);
}

/* Charge and pin a region that is in the tree as PINNING, then let others see it. */
static int prereg_region_populate(struct prereg_region *region)
{
	struct prereg_owner *owner = region->owner;
	int ret;

	ret = prereg_owner_charge(owner, region->npages);
	if (!ret) {
		ret = prereg_region_pin(region);
		if (ret) {
			prereg_owner_owe(owner, region->npages);
			prereg_owner_pay(owner);
		}
	}

	mutex_lock(&owner->lock);
	if (ret) {
		prereg_range_remove(&region->range, &owner->regions);
		/* Pairs with prereg_region_state(). */
		smp_store_release(&region->state, PREREG_REGION_FAILED);
	} else {
		/* Pairs with prereg_region_state(): the segments are filled. */
		smp_store_release(&region->state, PREREG_REGION_READY);
		prereg_stat_add(PREREG_STAT_REGIONS, 1);
		prereg_stat_add(PREREG_STAT_BOOKKEEPING_BYTES,
				prereg_region_footprint(region));
	}
	mutex_unlock(&owner->lock);
	wake_up_all(&owner->pinned);
	return ret;
}

void prereg_region_put(struct prereg_region *region)
{
	struct prereg_owner *owner = region->owner;
	bool last, ready;

	/* Our use of the region may be all that keeps its owner alive. */
	prereg_owner_hold(owner);
	mutex_lock(&owner->lock);
	last = !--region->users;
	ready = region->state == PREREG_REGION_READY;
	if (last && ready)
		prereg_range_remove(&region->range, &owner->regions);
	mutex_unlock(&owner->lock);
	if (!last)
		goto drop_owner;

	/*
	 * Out of the tree, so a REGISTER of the same range pins anew while this
	 * unpins; both pins are counted, both are charged. A release() that
	 * comes now waits for our container->lock where we are a tear-down, and
	 * cannot come where we are a call of the owner's.
	 */
	if (ready) {
		prereg_stat_add(PREREG_STAT_REGIONS, -1);
		prereg_stat_add(PREREG_STAT_BOOKKEEPING_BYTES,
				-(long)prereg_region_footprint(region));
		if (region->stuck)
			pr_err("%lu pages stay pinned: the IOMMU did not let go of them\n",
			       region->npages);
		prereg_region_unpin(region);
		prereg_owner_owe(owner, region->npages);
	}
	prereg_region_free(region);
drop_owner:
	prereg_owner_drop(owner);
}

/* Without owner->lock, for a user of the region. */
static enum prereg_region_state
prereg_region_state(const struct prereg_region *region)
{
	/* Pairs with prereg_region_populate(). */
	return smp_load_acquire(&region->state);
}

struct prereg_region *prereg_region_get(struct prereg_owner *owner,
					unsigned long vaddr,
					unsigned long bytes)
{
	struct prereg_range *range;
	struct prereg_region *region, *new;
	enum prereg_region_state state;
	int ret;

	/* Before a charge and an array are made for nonsense. */
	if (!access_ok((void __user *)vaddr, bytes))
		return ERR_PTR(-EFAULT);

	new = prereg_region_alloc(owner, vaddr, bytes);
	if (!new)
		return ERR_PTR(-ENOMEM);

	for (;;) {
		mutex_lock(&owner->lock);
		range = prereg_range_find(&owner->regions, vaddr,
					  vaddr + bytes - 1);
		if (!range) {
			prereg_range_insert(&new->range, &owner->regions);
			mutex_unlock(&owner->lock);
			ret = prereg_region_populate(new);
			if (!ret)
				return new;
			prereg_region_put(new);
			return ERR_PTR(ret);
		}
		if (range->first != vaddr || range->last != vaddr + bytes - 1) {
			mutex_unlock(&owner->lock);
			ret = -EINVAL;
			break;
		}

		/* Exactly this range: share it, once it is pinned. */
		region = container_of(range, struct prereg_region, range);
		region->users++;
		state = region->state;
		mutex_unlock(&owner->lock);
		ret = 0;
		if (state == PREREG_REGION_PINNING) {
			if (wait_event_killable(owner->pinned,
						prereg_region_state(region) !=
						PREREG_REGION_PINNING))
				ret = -EINTR;
		}
		if (!ret && prereg_region_state(region) == PREREG_REGION_READY) {
			prereg_region_free(new);
			return region;
		}
		/* Failed for a reason of its creator's (a kill): try ourselves. */
		prereg_region_put(region);
		if (ret)
			break;
	}

	prereg_region_free(new);
	return ERR_PTR(ret);
}

void prereg_cursor_init(struct prereg_cursor *cursor,
			const struct prereg_region *region, u64 offset)
{
	unsigned long page = offset >> PAGE_SHIFT;
	const struct prereg_segment *segment;
	u32 low = 0, high, middle;

	cursor->region = region;
	cursor->segment = page / PREREG_SEGMENT_PAGES;
	cursor->offset = offset;

	segment = &region->segments[cursor->segment];
	high = segment->nruns;
	page %= PREREG_SEGMENT_PAGES;
	while (high - low > 1) {
		middle = low + (high - low) / 2;
		if (run_start(segment_runs(segment)[middle]) <= page)
			low = middle;
		else
			high = middle;
	}
	cursor->run = low;
}

u64 prereg_cursor_next(struct prereg_cursor *cursor, u64 max,
		       phys_addr_t *phys)
{
	const struct prereg_segment *segment =
		&cursor->region->segments[cursor->segment];
	u64 segment_start = (u64)cursor->segment *
			    (PREREG_SEGMENT_PAGES << PAGE_SHIFT);
	u64 run = segment_runs(segment)[cursor->run];
	u64 start = segment_start + ((u64)run_start(run) << PAGE_SHIFT);
	u64 end = segment_start +
		  ((u64)segment_run_end(segment, cursor->run) << PAGE_SHIFT);
	u64 bytes = end - cursor->offset;

	*phys = PFN_PHYS(run_pfn(run)) + (cursor->offset - start);
	if (bytes > max) {
		cursor->offset += max;
		return max;
	}

	cursor->offset = end;
	if (++cursor->run == segment->nruns) {
		cursor->segment++;
		cursor->run = 0;
	}
	return bytes;
}

bool prereg_region_is_block(const struct prereg_region *region, u64 offset,
			    u64 bytes)
{
	struct prereg_cursor cursor;
	phys_addr_t phys, next;
	u64 done;

	prereg_cursor_init(&cursor, region, offset);
	done = prereg_cursor_next(&cursor, bytes, &phys);
	if (!IS_ALIGNED(phys, bytes))
		return false;
	while (done < bytes) {
		u64 more = prereg_cursor_next(&cursor, bytes - done, &next);

		if (next != phys + done)
			return false;
		done += more;
	}
	return true;
}
