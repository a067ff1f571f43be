// SPDX-License-Identifier: GPL-2.0-only
/*
 * pin: the pages of a region, pinned and kept as physically contiguous runs.
 */
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "compat/compat.h"
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
 * @mm: whose memory
 * @flags: for pinning
 * @pages: room for a batch
 * @batch: how many fit
 * @runs: of the segment being filled; kept for the next one
 * @nruns: how many
 * @max_runs: room for so many
 * @npages: pages in them, all pinned
 * @page_sizes: of the pages that were pinned, a bitmap
 */
struct prereg_pinner {
	struct mm_struct *mm;
	unsigned int	flags;
	struct page	**pages;
	u32		batch;
	u64		*runs;
	u32		nruns;
	u32		max_runs;
	u32		npages;
	unsigned long	page_sizes;
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
 * its back (it may read them); and dirtying them when they are unpinned would have to wait for a
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

/* n pages from pfn on are behind those that the pinner has. */
static int pinner_add(struct prereg_pinner *pinner, unsigned long pfn, u32 n)
{
	if (!pinner->nruns ||
	    pfn != run_pfn(pinner->runs[pinner->nruns - 1]) +
		   pinner->npages - run_start(pinner->runs[pinner->nruns - 1])) {
		if (pinner->nruns == pinner->max_runs && pinner_grow(pinner))
			return -ENOMEM;
		pinner->runs[pinner->nruns++] = run_pack(pfn, pinner->npages);
	}
	pinner->npages += n;
	return 0;
}

/* Take over n pages that were just pinned. On an error, how many were is @npages. */
static int pinner_take(struct prereg_pinner *pinner, u32 n)
{
	struct folio *folio;
	struct page *page;
	u32 i, taken;

	for (i = 0; i < n; i += taken) {
		page = pinner->pages[i];
		folio = page_folio(page);
		if (pinner->flags & FOLL_WRITE && !folio_is_pinnable(folio))
			return -EOPNOTSUPP;
		taken = pages_in_folio(pinner->pages + i, n - i, folio);
		if (pinner_add(pinner, page_to_pfn(page), taken))
			return -ENOMEM;
		pinner->page_sizes |= folio_size(folio);
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

/* Pin up to n pages. Return: how many, or an error. */
static long pinner_get_pages(struct prereg_pinner *pinner, unsigned long vaddr,
			     u32 n)
{
	long ret;

	if (pinner->mm == current->mm)
		return pin_user_pages_fast(vaddr, n, pinner->flags,
					   pinner->pages);
	if (mmap_read_lock_killable(pinner->mm))
		return -EINTR;
	ret = prereg_compat_pin_remote(pinner->mm, vaddr, n, pinner->flags,
				       pinner->pages);
	mmap_read_unlock(pinner->mm);
	return ret;
}

/*
 * Memory that nobody has touched is the zero page to a reader, up to 6.1: a device would never
 * see what is written to it later. Pin what a writer gets, where one may write.
 */
static void pinner_replace_zero_pages(struct prereg_pinner *pinner,
				      unsigned long vaddr, u32 n)
{
	struct prereg_pinner writer = {
		.mm	= pinner->mm,
		.flags	= pinner->flags | FOLL_WRITE,
	};
	struct page *page;
	u32 i;

	writer.pages = &page;
	for (i = 0; i < n; i++, vaddr += PAGE_SIZE) {
		if (!is_zero_pfn(page_to_pfn(pinner->pages[i])) ||
		    pinner_get_pages(&writer, vaddr, 1) != 1)
			continue;
		unpin_user_page(pinner->pages[i]);
		pinner->pages[i] = page;
	}
}

/* Pin npages at vaddr as a segment's runs. On an error @pinner has what is pinned. */
static int pinner_pin(struct prereg_pinner *pinner, unsigned long vaddr,
		      u32 npages)
{
	unsigned long at;
	u32 before;
	int n, ret;

	while (pinner->npages < npages) {
		if (fatal_signal_pending(current))
			return -EINTR;
		before = pinner->npages;
		at = vaddr + ((unsigned long)before << PAGE_SHIFT);
		n = pinner_get_pages(pinner, at,
				     min(npages - before, pinner->batch));
		if (n <= 0)
			return pin_error(n);
		if (!(pinner->flags & FOLL_WRITE))
			pinner_replace_zero_pages(pinner, at, n);
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
		if (!region->stuck && !region->pfnmap)
			runs_unpin(segment_runs(segment), segment->nruns,
				   segment->npages, region->written);
		if (segment->nruns > 1)
			kvfree(segment->runs);
	}
}

/* A segment was filled; for those who look. */
static void segment_note(struct prereg_region *region,
			 const struct prereg_segment *segment)
{
	const u64 *runs = segment_runs(segment);
	u32 i, pages;

	region->nruns += segment->nruns;
	for (i = 0; i < segment->nruns; i++) {
		pages = segment_run_end(segment, i) - run_start(runs[i]);
		region->largest_run = max(region->largest_run, pages);
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

/*
 * Note where the npages at vaddr are, which have no struct page to be pinned: the BAR
 * of a device that its driver maps into user space. Like the kernel's type 1 driver
 * we trust that it is there as long as it is mapped to.
 */
static int pinner_follow(struct prereg_pinner *pinner, unsigned long vaddr,
			 u32 npages)
{
	struct mm_struct *mm = pinner->mm;
	bool write = pinner->flags & FOLL_WRITE;
	struct vm_area_struct *vma;
	unsigned long pfn, address;
	bool unlocked;
	int ret = 0;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	while (!ret && pinner->npages < npages) {
		address = vaddr + ((unsigned long)pinner->npages << PAGE_SHIFT);
		vma = vma_lookup(mm, address);
		if (!vma || !(vma->vm_flags & VM_PFNMAP)) {
			ret = -EFAULT;
			break;
		}
		if (prereg_compat_follow_pfn(vma, address, write, &pfn)) {
			unlocked = false;
			ret = fixup_user_fault(mm, address, FAULT_FLAG_REMOTE |
					       (write ? FAULT_FLAG_WRITE : 0),
					       &unlocked);
			if (!ret && !unlocked &&
			    prereg_compat_follow_pfn(vma, address, write, &pfn))
				ret = -EFAULT;
			if (ret || unlocked)
				continue;
		}
		/* Memory of the kernel's is not for devices, wherever it is mapped. */
		if (pfn_valid(pfn) && !PageReserved(pfn_to_page(pfn)))
			ret = -EFAULT;
		else
			ret = pinner_add(pinner, pfn, 1);
		if (fatal_signal_pending(current))
			ret = -EINTR;
		cond_resched();
	}
	mmap_read_unlock(mm);
	return ret;
}

/* Fill the segments by pinner_pin() or, for a pfnmap region, pinner_follow(). */
int prereg_region_pin(struct prereg_region *region)
{
	unsigned long vaddr = region->range.first, left = region->npages;
	struct page *few[PREREG_PIN_ON_STACK];
	u64 few_runs[PREREG_PIN_ON_STACK];
	struct prereg_pinner pinner = {
		.mm		= region->owner->mm,
		.flags		= FOLL_LONGTERM |
				  (region->writable ? FOLL_WRITE : 0),
		.pages		= few,
		.batch		= ARRAY_SIZE(few),
		.runs		= few_runs,
		.max_runs	= ARRAY_SIZE(few_runs),
	};
	u32 npages;
	int ret;

	/* A BAR comes here twice. */
	region->nruns = 0;
	region->largest_run = 0;
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
		ret = region->pfnmap ? pinner_follow(&pinner, vaddr, npages) :
				       pinner_pin(&pinner, vaddr, npages);
		/* After the first pin, so a range of nothing costs nothing. */
		if (!ret && left > npages && region->segments == &region->first)
			ret = prereg_region_alloc_segments(region);
		if (!ret)
			ret = pinner_finish(&pinner,
					    &region->segments[region->nsegments]);
		if (ret) {
			/* The segment being filled; nobody wrote it. */
			if (!region->pfnmap)
				runs_unpin(pinner.runs, pinner.nruns,
					   pinner.npages, false);
			prereg_region_unpin(region);
			break;
		}
		segment_note(region, &region->segments[region->nsegments++]);
		vaddr += (unsigned long)npages << PAGE_SHIFT;
		left -= npages;
	} while (left);

	region->page_sizes = pinner.page_sizes;
	if (pinner.pages != few) {
		kfree(pinner.pages);
		kvfree(pinner.runs);
	}
	return ret;
}

void prereg_region_dirty(struct prereg_region *region)
{
	const struct prereg_segment *segment;
	struct folio *folio;
	unsigned long pfn;
	u32 i, page, end, step;

	for (segment = region->segments;
	     segment < region->segments + region->nsegments; segment++) {
		for (i = 0; i < segment->nruns; i++) {
			pfn = run_pfn(segment_runs(segment)[i]);
			page = run_start(segment_runs(segment)[i]);
			end = segment_run_end(segment, i);
			while (page < end) {
				folio = pfn_folio(pfn);
				if (!folio_test_dirty(folio)) {
					folio_lock(folio);
					folio_mark_dirty(folio);
					folio_unlock(folio);
				}
				step = folio_nr_pages(folio) -
				       folio_page_idx(folio, pfn_to_page(pfn));
				page += step;
				pfn += step;
			}
			if (i % PREREG_PIN_BATCH == 0)
				cond_resched();
		}
	}
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

int prereg_page_pin(struct prereg_owner *owner, unsigned long vaddr,
		    bool write, struct page **page)
{
	struct prereg_pinner pinner = {
		.mm	= owner->mm,
		.flags	= FOLL_LONGTERM | (write ? FOLL_WRITE : 0),
		.pages	= page,
	};
	long ret = pinner_get_pages(&pinner, vaddr, 1);

	if (ret <= 0)
		return pin_error(ret);
	if (write && !folio_is_pinnable(page_folio(*page))) {
		unpin_user_page(*page);
		return -EOPNOTSUPP;
	}
	prereg_stat_add(PREREG_STAT_PINNED_PAGES, 1);
	return 0;
}

void prereg_page_unpin(struct page *page, bool dirty)
{
	unpin_user_pages_dirty_lock(&page, 1, dirty);
	prereg_stat_add(PREREG_STAT_PINNED_PAGES, -1);
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

int prereg_region_compare(const struct prereg_region *region,
			  unsigned long vaddr, unsigned long bytes, bool write)
{
	struct prereg_pinner pinner = {
		.mm	= region->owner->mm,
		.flags	= FOLL_LONGTERM | (write ? FOLL_WRITE : 0),
	};
	struct prereg_cursor cursor;
	phys_addr_t phys;
	int ret = 0;
	long i, n;

	if (region->pfnmap)
		return -ESTALE;
	pinner.pages = kmalloc_array(PREREG_PIN_BATCH, sizeof(*pinner.pages),
				     GFP_KERNEL);
	if (!pinner.pages)
		return -ENOMEM;
	prereg_cursor_init(&cursor, region, vaddr - region->range.first);
	while (!ret && bytes) {
		n = pinner_get_pages(&pinner, vaddr,
				     min_t(unsigned long, bytes >> PAGE_SHIFT,
					   PREREG_PIN_BATCH));
		if (n <= 0) {
			ret = -ESTALE;
			break;
		}
		for (i = 0; i < n; i++) {
			prereg_cursor_next(&cursor, PAGE_SIZE, &phys);
			if (page_to_pfn(pinner.pages[i]) != PHYS_PFN(phys))
				ret = -ESTALE;
		}
		unpin_user_pages(pinner.pages, n);
		bytes -= n << PAGE_SHIFT;
		vaddr += n << PAGE_SHIFT;
		if (fatal_signal_pending(current))
			ret = -EINTR;
		cond_resched();
	}
	kfree(pinner.pages);
	return ret;
}

bool prereg_region_page_gone(const struct prereg_region *region,
			     unsigned long vaddr, bool unmapped)
{
	struct prereg_cursor cursor;
	struct page *page;
	phys_addr_t phys;
	bool gone;

	vaddr &= PAGE_MASK;
	prereg_cursor_init(&cursor, region, vaddr - region->range.first);
	prereg_cursor_next(&cursor, PAGE_SIZE, &phys);
	if (get_user_pages_fast_only(vaddr, 1, 0, &page) != 1)
		return unmapped ||
		       folio_test_anon(page_folio(pfn_to_page(PHYS_PFN(phys))));
	gone = page_to_pfn(page) != PHYS_PFN(phys);
	put_page(page);
	return gone;
}
