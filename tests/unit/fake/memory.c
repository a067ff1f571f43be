// SPDX-License-Identifier: GPL-2.0
/* Page frames with their pins, address spaces, charges: see shim/mm.h. */
#include <sys/mman.h>

#include "fake.h"

/*
 * One frame, or FAKE_BULK_PAGES of them. "Written" means an entry let a device
 * write it since it was first pinned, "dirtied" that an unpin or somebody who had it
 * pinned said so, "writable" that one of the pins is for writing.
 */
struct frame {
	u32	pins;
	u32	reach;
	bool	written;
	bool	dirtied;
	bool	writable;
	u8	kind;	/* enum fake_kind; of small ones */
	u8	order;	/* of its folio; of small ones */
};

#define FRAMES	(FAKE_BULK_PFN + (FAKE_END_PFN - FAKE_BULK_PFN) / FAKE_BULK_PAGES)

static struct frame *frames;
static unsigned long pins, reach, next_frame = FAKE_ZERO_PFN + 1;
static unsigned int mms;
static struct mmu_notifier *srcu_list;
static unsigned int srcu_readers;

void (*fake_pin_hook)(void), (*fake_change_hook)(void);
unsigned long fake_pin_calls;

static struct frame *frame_of(unsigned long pfn)
{
	if (!frames) {
		frames = mmap(NULL, FRAMES * sizeof(*frames),
			      PROT_READ | PROT_WRITE, MAP_PRIVATE |
			      MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (frames == MAP_FAILED)
			abort();
	}
	if (pfn < FAKE_FIRST_PFN || pfn >= FAKE_END_PFN) {
		shim_fail("there is no page frame %#lx", pfn);
		return frames;
	}
	if (pfn < FAKE_BULK_PFN)
		return &frames[pfn];
	return &frames[FAKE_BULK_PFN + (pfn - FAKE_BULK_PFN) / FAKE_BULK_PAGES];
}

/* How many of the npages frames from pfn share its counter. */
static unsigned long frame_step(unsigned long pfn, unsigned long npages)
{
	if (pfn < FAKE_BULK_PFN)
		return 1;
	return min(npages, FAKE_BULK_PAGES - (pfn - FAKE_BULK_PFN) %
			   FAKE_BULK_PAGES);
}

static void frames_pin(unsigned long pfn, unsigned long npages, bool write)
{
	unsigned long step;

	pins += npages;
	for (; npages; pfn += step, npages -= step) {
		step = frame_step(pfn, npages);
		frame_of(pfn)->pins += step;
		frame_of(pfn)->writable |= write;
	}
}

/* The rule of the house: revoke, flush, put. */
static void frames_unpin(unsigned long pfn, unsigned long npages, bool dirty)
{
	unsigned long step;

	fake_might_sleep("unpinning");
	if (dirty && fake_page_locks)
		shim_fail("the lock of a page is taken inside page locks");
	for (; npages; pfn += step, npages -= step) {
		struct frame *frame = frame_of(pfn);

		step = frame_step(pfn, npages);
		if (frame->pins < step) {
			shim_fail("frame %#lx is unpinned but not pinned", pfn);
			return;
		}
		frame->pins -= step;
		pins -= step;
		if (dirty)
			frame->dirtied = true;
		if (frame->pins)
			continue;
		if (frame->reach)
			shim_fail("frame %#lx is unpinned while a device reaches it",
				  pfn);
		if (frame->written && !frame->dirtied)
			shim_fail("frame %#lx was written but is not dirty", pfn);
		frame->written = false;
		frame->writable = false;
	}
}

void fake_frames_reach(unsigned long pfn, unsigned long npages, bool write)
{
	unsigned long step;

	reach += npages;
	for (; npages && pfn < FAKE_END_PFN; pfn += step, npages -= step) {
		struct frame *frame = frame_of(pfn);

		step = frame_step(pfn, npages);
		if (!frame->pins)
			shim_fail("frame %#lx is mapped but not pinned", pfn);
		if (write && !frame->writable)
			shim_fail("frame %#lx is mapped for writing but not pinned for it",
				  pfn);
		frame->reach += step;
		if (!write || frame->written)
			continue;
		frame->written = true;
		frame->dirtied = false;
	}
}

void fake_frames_unreach(unsigned long pfn, unsigned long npages)
{
	unsigned long step;

	reach -= npages;
	for (; npages && pfn < FAKE_END_PFN; pfn += step, npages -= step) {
		step = frame_step(pfn, npages);
		frame_of(pfn)->reach -= step;
	}
}

unsigned long fake_pins(void)
{
	return pins;
}

unsigned long fake_frame_pins(unsigned long pfn)
{
	return frame_of(pfn)->pins;
}

bool fake_frame_dirty(unsigned long pfn)
{
	return frame_of(pfn)->dirtied;
}

unsigned long fake_frames(unsigned long npages, unsigned long align)
{
	unsigned long pfn = round_up(next_frame, align);

	next_frame = pfn + npages;
	if (next_frame > FAKE_BULK_PFN)
		shim_fail("the test uses too many page frames");
	return pfn;
}

/* ---- address spaces -------------------------------------------------------- */

struct mm_struct *fake_mm_create(void)
{
	struct mm_struct *mm = calloc(1, sizeof(*mm));

	if (!mm)
		abort();
	mm->id = ++mms;
	mm->vmas = calloc(FAKE_VMAS, sizeof(*mm->vmas));
	if (!mm->vmas)
		abort();
	mm->mm_users.counter = 1;
	mm->count = 1;
	mm->limit = ULONG_MAX;
	return mm;
}

void fake_mm_add(struct mm_struct *mm, const struct fake_vma *vma)
{
	if (mm->nvmas == FAKE_VMAS ||
	    (vma->piece && vma->npages % vma->piece))
		shim_fail("the test's address space is wrong");
	else
		mm->vmas[mm->nvmas++] = *vma;
}

struct fake_vma *fake_mm_vma(const struct mm_struct *mm, unsigned long vaddr)
{
	struct fake_vma *vma;

	for (vma = mm->vmas; vma < mm->vmas + mm->nvmas; vma++)
		if (!vma->gone && vaddr >= vma->start &&
		    (vaddr - vma->start) >> PAGE_SHIFT < vma->npages)
			return vma;
	return NULL;
}

unsigned long fake_vma_pfn(const struct fake_vma *vma, unsigned long vaddr)
{
	unsigned long i = (vaddr - vma->start) >> PAGE_SHIFT;
	unsigned long npages = vma->cut + vma->npages + vma->cut_behind;

	i += vma->cut;
	if (vma->pfns)
		return vma->pfns[i];
	if (!vma->piece)
		return vma->pfn + i;
	return vma->pfn + npages - (i / vma->piece + 1) * vma->piece +
	       i % vma->piece;
}

unsigned long fake_mm_pfn(const struct mm_struct *mm, unsigned long vaddr)
{
	const struct fake_vma *vma = fake_mm_vma(mm, vaddr);

	return vma ? fake_vma_pfn(vma, vaddr) : 0;
}

void mmgrab(struct mm_struct *mm)
{
	mm->count++;
}

void mmdrop(struct mm_struct *mm)
{
	if (--mm->count)
		return;
	if (mm->locked_vm)
		shim_fail("an mm is freed with %lu pages charged", mm->locked_vm);
	if (mm->notifier)
		shim_fail("an mm is freed with a notifier");
	free(mm->vmas);
	free(mm);
	mms--;
}

static void srcu_period(void)
{
	struct mmu_notifier *notifier;

	while (!srcu_readers && (notifier = srcu_list)) {
		struct mm_struct *mm = notifier->mm;

		srcu_list = notifier->next;
		notifier->ops->free_notifier(notifier);
		mmdrop(mm);
	}
}

/*
 * Small frames only, a test with bulk ones looks at fake_pins(); and what
 * is shared may be pinned for others. Also what was unmapped before.
 */
static void frames_check_gone(const struct fake_vma *vma)
{
	unsigned long i, pfn;

	if (vma->kind == FAKE_SHMEM || vma->kind == FAKE_BAR)
		return;
	for (i = 0; i < vma->npages; i++) {
		pfn = fake_vma_pfn(vma, vma->start + (i << PAGE_SHIFT));
		if (pfn >= FAKE_BULK_PFN)
			return;
		if (!frame_of(pfn)->pins && !frame_of(pfn)->reach)
			continue;
		shim_fail("frame %#lx outlives its mm", pfn);
		return;
	}
}

/* exit_mmap() */
static void mm_end(struct mm_struct *mm)
{
	bool before = fake_no_alloc;
	unsigned int v;

	if (mm->notifier && mm->notifier->ops->release) {
		fake_no_alloc = true;
		srcu_readers++;
		mm->notifier->ops->release(mm->notifier, mm);
		srcu_readers--;
		fake_no_alloc = before;
		srcu_period();
	}
	for (v = 0; v < mm->nvmas; v++)
		frames_check_gone(&mm->vmas[v]);
	mmdrop(mm);
}

bool mmget_not_zero(struct mm_struct *mm)
{
	if (!atomic_read(&mm->mm_users))
		return false;
	mm->mm_users.counter++;
	return true;
}

void mmput(struct mm_struct *mm)
{
	fake_might_sleep("mmput()");
	if (fake_lock_any())
		shim_fail("mmput() with a lock held, which may be the last one");
	if (!--mm->mm_users.counter)
		mm_end(mm);
}

static void mm_end_work(struct work_struct *work)
{
	mm_end(container_of(work, struct mm_struct, end_work));
}

void mmput_async(struct mm_struct *mm)
{
	if (--mm->mm_users.counter)
		return;
	INIT_WORK(&mm->end_work, mm_end_work);
	queue_work(NULL, &mm->end_work);
}

void kthread_use_mm(struct mm_struct *mm)
{
	if (current->mm || !atomic_read(&mm->mm_users))
		shim_fail("kthread_use_mm() of no kernel thread, or of a dead mm");
	current->mm = mm;
}

void kthread_unuse_mm(struct mm_struct *mm)
{
	if (current->mm != mm)
		shim_fail("kthread_unuse_mm() of another mm");
	current->mm = NULL;
}

void fake_mm_exit(struct mm_struct *mm)
{
	struct task_struct exiting = { .mm = NULL }, *before = current;

	/* A task has left its mm before the last mmput(). */
	current = &exiting;
	if (atomic_read(&mm->mm_users))
		mmput(mm);
	else
		mm_end(mm);	/* the test has done the first half */
	current = before;
}

/* ---- mmu_notifier: one a mm is enough --------------------------------------- */

struct mmu_notifier *
mmu_notifier_get_locked(const struct mmu_notifier_ops *ops,
			struct mm_struct *mm)
{
	struct mmu_notifier *notifier = mm->notifier;
	void *subscriptions;

	if (!mm->mmap_locked)
		shim_fail("a notifier without mmap_lock");
	if (!atomic_read(&mm->mm_users))
		shim_fail("a notifier for a dead mm");
	if (notifier) {
		notifier->users++;
		return notifier;
	}
	notifier = ops->alloc_notifier(mm);
	if (IS_ERR(notifier))
		return notifier;
	/* mm_take_all_locks() */
	if (mm->changing)
		shim_fail("a notifier comes in the middle of an invalidation");
	if (fake_fault(FAKE_FAULT_RESTART) || fatal_signal_pending(current)) {
		ops->free_notifier(notifier);
		return ERR_PTR(-EINTR);
	}
	/* The kernel allocates for its own list of them, too. */
	subscriptions = kmalloc(1, GFP_KERNEL);
	if (!subscriptions) {
		ops->free_notifier(notifier);
		return ERR_PTR(-ENOMEM);
	}
	kfree(subscriptions);
	notifier->ops = ops;
	notifier->mm = mm;
	notifier->users = 1;
	mmgrab(mm);
	mm->notifier = notifier;
	return notifier;
}

void mmu_notifier_put(struct mmu_notifier *notifier)
{
	if (!notifier->users)
		shim_fail("mmu_notifier_put() without a reference");
	if (--notifier->users)
		return;
	notifier->mm->notifier = NULL;
	notifier->next = srcu_list;
	srcu_list = notifier;
	srcu_period();
}

/* ---- memory changes ---------------------------------------------------------- */

/* Let a vma begin at vaddr, if one lies across it. */
static void vma_cut(struct mm_struct *mm, unsigned long vaddr)
{
	struct fake_vma *vma = fake_mm_vma(mm, vaddr), *tail = &mm->vmas[mm->nvmas];
	unsigned long npages;

	if (!vma || vma->start == vaddr)
		return;
	if (mm->nvmas == FAKE_VMAS) {
		shim_fail("the test's address space is in too many pieces");
		return;
	}
	npages = (vaddr - vma->start) >> PAGE_SHIFT;
	*tail = *vma;
	tail->start = vaddr;
	tail->npages -= npages;
	tail->cut += npages;
	vma->npages = npages;
	vma->cut_behind += tail->npages;
	mm->nvmas++;
}

static void vma_change(struct mm_struct *mm, struct fake_vma *vma,
		       enum fake_change change)
{
	struct fake_vma fresh = {
		.start	= vma->start,
		.npages	= vma->npages,
		.kind	= vma->kind,
		.readonly = vma->readonly,
		.absent	= true,
	};

	switch (change) {
	case FAKE_MUNMAP:
		vma->gone = true;
		break;
	case FAKE_DONTNEED:
	case FAKE_PUNCH:
	case FAKE_REAP:
		vma->gone = true;
		fresh.pfn = fake_frames(vma->npages, 1);
		fake_mm_add(mm, &fresh);
		break;
	case FAKE_PROTECT:
	case FAKE_SCAN:
	case FAKE_MIGRATE:
		break;
	}
}

/* Under whatever locks of pages; sleeps if it may, but allocates nothing. */
static void invalidate_start(struct mmu_notifier *notifier,
			     const struct mmu_notifier_range *range)
{
	bool no_alloc = fake_no_alloc;

	range->mm->changing = true;
	srcu_readers++;
	fake_no_alloc = true;
	fake_page_locks = true;
	fake_atomic = !range->blockable;
	if (notifier && notifier->ops->invalidate_range_start(notifier, range))
		shim_fail("an invalidation is refused");
	fake_atomic = false;
	fake_page_locks = false;
	fake_no_alloc = no_alloc;
}

static void invalidate_end(struct mmu_notifier *notifier,
			   const struct mmu_notifier_range *range)
{
	/* One that has left the list meanwhile is not told. */
	if (notifier && notifier == range->mm->notifier)
		notifier->ops->invalidate_range_end(notifier, range);
	range->mm->changing = false;
	srcu_readers--;
}

void fake_mm_change(struct mm_struct *mm, unsigned long vaddr,
		    unsigned long bytes, enum fake_change change)
{
	static const enum mmu_notifier_event events[] = {
		[FAKE_MUNMAP]	= MMU_NOTIFY_UNMAP,
		[FAKE_DONTNEED]	= MMU_NOTIFY_CLEAR,
		[FAKE_PUNCH]	= MMU_NOTIFY_UNMAP,
		[FAKE_REAP]	= MMU_NOTIFY_CLEAR,
		[FAKE_PROTECT]	= MMU_NOTIFY_PROTECTION_VMA,
		[FAKE_SCAN]	= MMU_NOTIFY_PROTECTION_VMA,
		[FAKE_MIGRATE]	= MMU_NOTIFY_CLEAR,
	};
	const struct mmu_notifier_range range = {
		.mm		= mm,
		.start		= vaddr,
		.end		= vaddr + bytes,
		.event		= events[change],
		.blockable	= change != FAKE_REAP,
	};
	bool locked = change != FAKE_PUNCH && change != FAKE_MIGRATE;
	struct mmu_notifier *notifier = mm->notifier;
	void (*hook)(void) = fake_change_hook;
	struct fake_vma *vma;
	unsigned int v, n;

	fake_change_hook = NULL;
	if (!atomic_read(&mm->mm_users))
		shim_fail("the memory of a dead mm changes");
	vma_cut(mm, vaddr);
	vma_cut(mm, vaddr + bytes);
	if (locked)
		mmap_write_lock(mm);
	if (change == FAKE_PROTECT)
		for (vma = mm->vmas; vma < mm->vmas + mm->nvmas; vma++)
			if (vma->start >= vaddr && vma->start < vaddr + bytes)
				vma->readonly = true;

	invalidate_start(notifier, &range);
	if (hook)
		hook();
	for (v = 0, n = mm->nvmas; v < n; v++) {
		vma = &mm->vmas[v];
		if (!vma->gone && vma->start >= vaddr &&
		    vma->start < vaddr + bytes)
			vma_change(mm, vma, change);
	}
	invalidate_end(notifier, &range);
	if (locked)
		mmap_write_unlock(mm);
	srcu_period();
}

/* ---- pinning and user memory ------------------------------------------------ */

/* A page that only readers had until now gets a writer. */
static void write_fault(struct mm_struct *mm, struct fake_vma *vma)
{
	const struct mmu_notifier_range range = {
		.mm		= mm,
		.start		= vma->start,
		.end		= vma->start + (vma->npages << PAGE_SHIFT),
		.event		= MMU_NOTIFY_CLEAR,
		.blockable	= true,
	};
	struct mmu_notifier *notifier = mm->notifier;

	invalidate_start(notifier, &range);
	vma->zero = false;
	invalidate_end(notifier, &range);
}

static long pin(struct mm_struct *mm, unsigned long start, long npages,
		unsigned int flags, struct page **pages)
{
	unsigned long pfn, run = 0, run_pages = 0, short_pin;
	void (*hook)(void) = fake_pin_hook;
	bool write = flags & FOLL_WRITE;
	struct fake_vma *vma = NULL;
	long i;

	fake_pin_calls++;
	fake_might_sleep("pinning");
	if ((flags & ~FOLL_WRITE) != FOLL_LONGTERM)
		shim_fail("pinning with flags %#x", flags);
	if (npages <= 0 || !mm || !atomic_read(&mm->mm_users)) {
		shim_fail("pinning %ld pages of no memory", npages);
		return -EINVAL;
	}
	fake_pin_hook = NULL;
	if (hook)
		hook();
	if (fake_fault(FAKE_FAULT_PIN))
		return -ENOMEM;
	short_pin = fake_fault(FAKE_FAULT_PIN_SHORT);
	if (short_pin > 1)
		return -EFAULT;
	if (short_pin)
		npages = (npages + 1) / 2;

	for (i = 0; i < npages; i++, start += PAGE_SIZE) {
		if (!vma || start - vma->start >= vma->npages << PAGE_SHIFT)
			vma = fake_mm_vma(mm, start);
		if (!vma || (write && vma->readonly) || vma->fs_dax ||
		    vma->kind == FAKE_BAR)
			break;
		vma->absent = false;
		if (vma->zero && write)
			write_fault(mm, vma);
		pfn = vma->zero ? FAKE_ZERO_PFN : fake_vma_pfn(vma, start);
		pages[i] = pfn_to_page(pfn);
		if (pfn < FAKE_BULK_PFN) {
			frame_of(pfn)->kind = vma->kind;
			frame_of(pfn)->order = vma->order;
		}
		if (pfn != run + run_pages) {
			frames_pin(run, run_pages, write);
			run = pfn;
			run_pages = 0;
		}
		run_pages++;
	}
	frames_pin(run, run_pages, write);
	if (i)
		return i;
	return vma && vma->fs_dax ? -EOPNOTSUPP : -EFAULT;
}

int pin_user_pages_fast(unsigned long start, int npages, unsigned int flags,
			struct page **pages)
{
	if (fake_lock_any())
		shim_fail("pinning with a lock held");
	return pin(current->mm, start, npages, flags, pages);
}

long pin_user_pages_remote(struct mm_struct *mm, unsigned long start,
			   unsigned long npages, unsigned int flags,
			   struct page **pages, struct vm_area_struct **vmas,
			   int *locked)
{
	if (!mm->mmap_locked)
		shim_fail("pinning another process's pages without mmap_lock");
	if (vmas || locked)
		shim_fail("pinning another process's pages with odd arguments");
	if (fake_lock_beyond(FAKE_RANK_MMAP))
		shim_fail("pinning with a lock held");
	return pin(mm, start, npages, flags, pages);
}

static long references;

/* What it finds in page tables; a page that is not there takes a fault. */
int get_user_pages_fast_only(unsigned long start, int npages,
			     unsigned int flags, struct page **pages)
{
	const struct fake_vma *vma;
	int i;

	for (i = 0; i < npages; i++, start += PAGE_SIZE) {
		vma = fake_mm_vma(current->mm, start);
		if (!vma || vma->kind == FAKE_BAR || vma->absent ||
		    (flags & FOLL_WRITE && vma->readonly))
			break;
		pages[i] = pfn_to_page(vma->zero ? FAKE_ZERO_PFN :
						   fake_vma_pfn(vma, start));
		references++;
	}
	return i;
}

void put_page(struct page *page)
{
	(void)page;
	references--;
}

bool is_zero_pfn(unsigned long pfn)
{
	return pfn == FAKE_ZERO_PFN;
}

bool pfn_valid(unsigned long pfn)
{
	return pfn < FAKE_END_PFN;
}

struct folio *page_folio(struct page *page)
{
	static const struct folio kinds[FAKE_KINDS] = {
		[FAKE_ANON]	= { .swapbacked = true, .anon = true, .mapping = &frames },
		[FAKE_LAZYFREE]	= { .anon = true, .mapping = &frames },
		[FAKE_SHMEM]	= { .swapbacked = true, .mapping = &frames },
		[FAKE_HUGETLB]	= { .hugetlb = true, .mapping = &frames },
		[FAKE_FILE]	= { .mapping = &frames },
	};
	static struct folio folio;
	unsigned long pfn = page_to_pfn(page), i;
	bool bulk = pfn >= FAKE_BULK_PFN;

	folio = kinds[bulk ? FAKE_ANON : frame_of(pfn)->kind];
	folio.npages = bulk ? FAKE_BULK_PAGES : BIT(frame_of(pfn)->order);
	folio.pfn = round_down(pfn, folio.npages);
	folio.dirty = true;
	for (i = 0; i < folio.npages; i++)
		folio.dirty &= frame_of(folio.pfn + i)->dirtied;
	return &folio;
}

static bool folio_locked;

void folio_lock(struct folio *folio)
{
	fake_might_sleep("the lock of a page");
	if (folio_locked || fake_page_locks)
		shim_fail("the lock of a page is taken inside page locks");
	folio_locked = true;
}

/* All of it, whichever of its pages are pinned. */
void folio_mark_dirty(struct folio *folio)
{
	unsigned long i;

	if (!folio_locked)
		shim_fail("a folio is marked dirty without its lock");
	for (i = 0; i < folio->npages; i++)
		frame_of(folio->pfn + i)->dirtied = true;
}

void folio_unlock(struct folio *folio)
{
	folio_locked = false;
}

/* 1 TiB, a multiple of what decides the default of mappings_max. */
unsigned long totalram_pages(void)
{
	return 1UL << (40 - PAGE_SHIFT);
}

void unpin_user_pages_dirty_lock(struct page **pages, unsigned long npages,
				 bool dirty)
{
	unsigned long i;

	for (i = 0; i < npages; i++)
		frames_unpin(page_to_pfn(pages[i]), 1, dirty);
}

void unpin_user_pages(struct page **pages, unsigned long npages)
{
	unpin_user_pages_dirty_lock(pages, npages, false);
}

void unpin_user_page(struct page *page)
{
	unpin_user_pages(&page, 1);
}

void unpin_user_page_range_dirty_lock(struct page *page, unsigned long npages,
				      bool dirty)
{
	frames_unpin(page_to_pfn(page), npages, dirty);
}

void fake_memory_check(void)
{
	if (pins)
		shim_fail("%lu pins are left", pins);
	if (references)
		shim_fail("%ld references to pages are left", references);
	if (reach)
		shim_fail("devices still reach %lu pages", reach);
	if (mms)
		shim_fail("%u mms are left", mms);
	/* What is used page by page is small, and often used again. */
	if (frames) {
		memset(frames + FAKE_FIRST_PFN, 0,
		       (next_frame - FAKE_FIRST_PFN) * sizeof(*frames));
		madvise(frames + FAKE_BULK_PFN,
			(FRAMES - FAKE_BULK_PFN) * sizeof(*frames),
			MADV_DONTNEED);
	}
	pins = 0;
	references = 0;
	reach = 0;
	mms = 0;
	next_frame = FAKE_ZERO_PFN + 1;
	fake_pin_hook = NULL;
	fake_change_hook = NULL;
}
