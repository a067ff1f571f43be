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
#include <linux/uaccess.h>

#include "prereg.h"

/*
 * Pages pinned by one call. pin_user_pages_fast() walks a batch with interrupts
 * off, and a fatal signal is noticed between two batches.
 */
#define PREREG_PIN_BATCH	512
/* Regions up to this size need no memory to be pinned. */
#define PREREG_PIN_ON_STACK	8

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

static u64 segment_run(const struct prereg_segment *segment, u32 i)
{
	return segment->nruns == 1 ? segment->run : segment->runs[i];
}

/* Index of the page behind run i. */
static u32 segment_run_end(const struct prereg_segment *segment, u32 i)
{
	return i + 1 < segment->nruns ?
		run_start(segment_run(segment, i + 1)) : segment->npages;
}

/* Take the pinned pages over into runs. */
static int segment_fill(struct prereg_segment *segment, struct page **pages,
			u32 npages)
{
	u32 i, nruns = 1;
	u64 *run;

	for (i = 1; i < npages; i++)
		if (page_to_pfn(pages[i]) != page_to_pfn(pages[i - 1]) + 1)
			nruns++;

	if (nruns == 1) {
		segment->run = run_pack(page_to_pfn(pages[0]), 0);
	} else {
		run = kvmalloc_array(nruns, sizeof(*run), GFP_KERNEL_ACCOUNT);
		if (!run)
			return -ENOMEM;
		segment->runs = run;
		*run++ = run_pack(page_to_pfn(pages[0]), 0);
		for (i = 1; i < npages; i++)
			if (page_to_pfn(pages[i]) !=
			    page_to_pfn(pages[i - 1]) + 1)
				*run++ = run_pack(page_to_pfn(pages[i]), i);
	}
	segment->nruns = nruns;
	segment->npages = npages;
	return 0;
}

static void segment_unpin(struct prereg_segment *segment, bool dirty)
{
	u32 i;

	for (i = 0; i < segment->nruns; i++) {
		u64 run = segment_run(segment, i);

		unpin_user_page_range_dirty_lock(pfn_to_page(run_pfn(run)),
						 segment_run_end(segment, i) -
						 run_start(run), dirty);
		if (i % PREREG_PIN_BATCH == 0)
			cond_resched();
	}
	if (segment->nruns > 1)
		kvfree(segment->runs);
	prereg_stat_add(PREREG_STAT_PINNED_PAGES, -(long)segment->npages);
}

/*
 * Pages that a file system writes back must not be written by a device behind
 * its back; and dirtying them when they are unpinned would have to wait for a
 * page lock, that is for a FUSE or NFS server, in the exit of the owner. Newer
 * kernels refuse them too. Anonymous memory, tmpfs and memfd are
 * swap-backed (but for MADV_FREE pages, which are anonymous).
 */
static bool page_is_pinnable(struct page *page)
{
	struct folio *folio = page_folio(page);

	return folio_test_swapbacked(folio) || folio_test_anon(folio) ||
	       folio_test_hugetlb(folio) || !folio->mapping;
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

/* Pin npages at vaddr into pages: all of them or none. */
static int pin_pages(unsigned long vaddr, struct page **pages, u32 npages)
{
	u32 done = 0, checked = 0;
	int ret;

	while (done < npages) {
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			goto unpin;
		}
		ret = pin_user_pages_fast(vaddr + ((unsigned long)done << PAGE_SHIFT),
					  min_t(u32, npages - done,
						PREREG_PIN_BATCH),
					  FOLL_WRITE | FOLL_LONGTERM,
					  pages + done);
		if (ret <= 0) {
			ret = pin_error(ret);
			goto unpin;
		}
		for (done += ret; checked < done; checked++) {
			if (!page_is_pinnable(pages[checked])) {
				ret = -EOPNOTSUPP;
				goto unpin;
			}
		}
		cond_resched();
	}
	prereg_stat_add(PREREG_STAT_PINNED_PAGES, npages);
	return 0;

unpin:
	unpin_user_pages(pages, done);
	return ret;
}

void prereg_region_unpin(struct prereg_region *region)
{
	while (region->nsegments)
		segment_unpin(&region->segments[--region->nsegments],
			      region->written);
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
	unsigned long vaddr = region->node.start, left = region->npages;
	struct page *few[PREREG_PIN_ON_STACK], **pages = few;
	u32 npages, scratch = min(left, PREREG_SEGMENT_PAGES);
	int ret;

	if (scratch > ARRAY_SIZE(few)) {
		pages = kvmalloc_array(scratch, sizeof(*pages), GFP_KERNEL);
		if (!pages)
			return -ENOMEM;
	}

	do {
		npages = min(left, PREREG_SEGMENT_PAGES);
		ret = pin_pages(vaddr, pages, npages);
		if (ret)
			goto unpin;
		/* After the first pin, so a range of nothing costs nothing. */
		if (left > npages && !region->nsegments)
			ret = prereg_region_alloc_segments(region);
		if (!ret)
			ret = segment_fill(&region->segments[region->nsegments],
					   pages, npages);
		if (ret) {
			unpin_user_pages(pages, npages);
			prereg_stat_add(PREREG_STAT_PINNED_PAGES, -(long)npages);
			goto unpin;
		}
		region->nsegments++;
		vaddr += (unsigned long)npages << PAGE_SHIFT;
		left -= npages;
	} while (left);
	goto free_pages;

unpin:
	prereg_region_unpin(region);
free_pages:
	if (pages != few)
		kvfree(pages);
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

	region->node.start = vaddr;
	region->node.last = vaddr + bytes - 1;
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
		if (ret)
			prereg_owner_uncharge(owner, region->npages);
	}

	mutex_lock(&owner->lock);
	if (ret) {
		interval_tree_remove(&region->node, &owner->regions);
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
		interval_tree_remove(&region->node, &owner->regions);
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
		/* Lost pages are better than pages that a device may write. */
		if (region->stuck)
			pr_err("%lu pages stay pinned: the IOMMU did not let go of them\n",
			       region->npages);
		else
			prereg_region_unpin(region);
		prereg_owner_uncharge(owner, region->npages);
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
	struct interval_tree_node *node;
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
		node = interval_tree_iter_first(&owner->regions, vaddr,
						vaddr + bytes - 1);
		if (!node) {
			interval_tree_insert(&new->node, &owner->regions);
			mutex_unlock(&owner->lock);
			ret = prereg_region_populate(new);
			if (!ret)
				return new;
			prereg_region_put(new);
			return ERR_PTR(ret);
		}
		if (node->start != vaddr || node->last != vaddr + bytes - 1) {
			mutex_unlock(&owner->lock);
			ret = -EINVAL;
			break;
		}

		/* Exactly this range: share it, once it is pinned. */
		region = container_of(node, struct prereg_region, node);
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
		if (run_start(segment_run(segment, middle)) <= page)
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
	u64 run = segment_run(segment, cursor->run);
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
