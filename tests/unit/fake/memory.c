// SPDX-License-Identifier: GPL-2.0
/* Page frames with their pins, address spaces, charges: see shim/mm.h. */
#include <sys/mman.h>

#include "fake.h"

/*
 * One frame, or FAKE_BULK_PAGES of them. "Written" means an entry let a device
 * write it since it was first pinned, "dirtied" that an unpin said so.
 */
struct frame {
	u32	pins;
	u32	reach;
	bool	written;
	bool	dirtied;
	u8	kind;	/* enum fake_kind; of small ones */
	u8	order;	/* of its folio; of small ones */
};

#define FRAMES	(FAKE_BULK_PFN + (FAKE_END_PFN - FAKE_BULK_PFN) / FAKE_BULK_PAGES)

static struct frame *frames;
static unsigned long pins, reach, next_frame = FAKE_FIRST_PFN;
static unsigned int mms;
static struct mmu_notifier *srcu_list;
static bool srcu_reader;

void (*fake_pin_hook)(void);
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

static void frames_pin(unsigned long pfn, unsigned long npages)
{
	unsigned long step;

	pins += npages;
	for (; npages; pfn += step, npages -= step) {
		step = frame_step(pfn, npages);
		frame_of(pfn)->pins += step;
	}
}

/* The rule of the house: revoke, flush, put. */
static void frames_unpin(unsigned long pfn, unsigned long npages, bool dirty)
{
	unsigned long step;

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
	}
}

void fake_frames_reach(unsigned long pfn, unsigned long npages, bool write)
{
	unsigned long step;

	reach += npages;
	for (; npages; pfn += step, npages -= step) {
		struct frame *frame = frame_of(pfn);

		step = frame_step(pfn, npages);
		if (!frame->pins)
			shim_fail("frame %#lx is mapped but not pinned", pfn);
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
	for (; npages; pfn += step, npages -= step) {
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

static const struct fake_vma *mm_vma(const struct mm_struct *mm,
				     unsigned long vaddr)
{
	const struct fake_vma *vma;

	for (vma = mm->vmas; vma < mm->vmas + mm->nvmas; vma++)
		if (vaddr >= vma->start &&
		    (vaddr - vma->start) >> PAGE_SHIFT < vma->npages)
			return vma;
	return NULL;
}

static unsigned long vma_pfn(const struct fake_vma *vma, unsigned long vaddr)
{
	unsigned long i = (vaddr - vma->start) >> PAGE_SHIFT;

	if (vma->pfns)
		return vma->pfns[i];
	if (!vma->piece)
		return vma->pfn + i;
	return vma->pfn + vma->npages - (i / vma->piece + 1) * vma->piece +
	       i % vma->piece;
}

unsigned long fake_mm_pfn(const struct mm_struct *mm, unsigned long vaddr)
{
	const struct fake_vma *vma = mm_vma(mm, vaddr);

	return vma ? vma_pfn(vma, vaddr) : 0;
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

	while (!srcu_reader && (notifier = srcu_list)) {
		struct mm_struct *mm = notifier->mm;

		srcu_list = notifier->next;
		notifier->ops->free_notifier(notifier);
		mmdrop(mm);
	}
}

void fake_mm_exit(struct mm_struct *mm)
{
	struct task_struct exiting = { .mm = NULL }, *before = current;
	unsigned int v;
	unsigned long i;

	/* A task has left its mm before the last mmput(). */
	current = &exiting;
	mm->mm_users.counter = 0;
	if (mm->notifier && mm->notifier->ops->release) {
		fake_no_alloc = true;
		srcu_reader = true;
		mm->notifier->ops->release(mm->notifier, mm);
		srcu_reader = false;
		fake_no_alloc = false;
		srcu_period();
	}
	/*
	 * Small frames only, a test with bulk ones looks at fake_pins(); and what
	 * is shared may be pinned for others.
	 */
	for (v = 0; v < mm->nvmas; v++)
		for (i = 0; i < mm->vmas[v].npages &&
			    mm->vmas[v].kind != FAKE_SHMEM; i++) {
			unsigned long pfn = vma_pfn(&mm->vmas[v],
						    mm->vmas[v].start +
						    (i << PAGE_SHIFT));

			if (pfn >= FAKE_BULK_PFN)
				break;
			if (frame_of(pfn)->pins || frame_of(pfn)->reach) {
				shim_fail("frame %#lx outlives its mm", pfn);
				break;
			}
		}
	current = before;
	mmdrop(mm);
}

void mmap_write_lock(struct mm_struct *mm)
{
	if (mm->mmap_locked)
		shim_fail("mmap_lock is held already: a deadlock");
	fake_lock_take(FAKE_RANK_MMAP, "mmap_lock");
	mm->mmap_locked = true;
}

int mmap_write_lock_killable(struct mm_struct *mm)
{
	if (fatal_signal_pending(current))
		return -EINTR;
	mmap_write_lock(mm);
	return 0;
}

void mmap_write_unlock(struct mm_struct *mm)
{
	fake_lock_drop(FAKE_RANK_MMAP, "mmap_lock");
	mm->mmap_locked = false;
}

int __account_locked_vm(struct mm_struct *mm, unsigned long npages, bool inc,
			struct task_struct *task, bool bypass_rlim)
{
	if (!mm->mmap_locked)
		shim_fail("charging without mmap_lock");
	if (task != current)
		shim_fail("another task's limit is asked for");
	if (!inc) {
		WARN_ON(npages > mm->locked_vm);
		mm->locked_vm -= npages;
		return 0;
	}
	if (mm != current->mm || !atomic_read(&mm->mm_users))
		shim_fail("an mm is charged that is not current's");
	if (!bypass_rlim && mm->locked_vm + npages > mm->limit)
		return -ENOMEM;
	mm->locked_vm += npages;
	return 0;
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

void mmu_notifier_synchronize(void)
{
	srcu_period();
}

/* ---- pinning and user memory ------------------------------------------------ */

int pin_user_pages_fast(unsigned long start, int npages, unsigned int flags,
			struct page **pages)
{
	const struct mm_struct *mm = current->mm;
	unsigned long pfn, run = 0, run_pages = 0, short_pin;
	void (*hook)(void) = fake_pin_hook;
	const struct fake_vma *vma = NULL;
	int i;

	fake_pin_calls++;
	if (fake_lock_any())
		shim_fail("pinning with a lock held");
	if (flags != (FOLL_WRITE | FOLL_LONGTERM))
		shim_fail("pinning with flags %#x", flags);
	if (npages <= 0 || !mm || !atomic_read(&mm->mm_users)) {
		shim_fail("pinning %d pages of no memory", npages);
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
			vma = mm_vma(mm, start);
		if (!vma || vma->readonly || vma->fs_dax)
			break;
		pfn = vma_pfn(vma, start);
		pages[i] = pfn_to_page(pfn);
		if (pfn < FAKE_BULK_PFN) {
			frame_of(pfn)->kind = vma->kind;
			frame_of(pfn)->order = vma->order;
		}
		if (pfn != run + run_pages) {
			frames_pin(run, run_pages);
			run = pfn;
			run_pages = 0;
		}
		run_pages++;
	}
	frames_pin(run, run_pages);
	if (i)
		return i;
	return vma && vma->fs_dax ? -EOPNOTSUPP : -EFAULT;
}

struct folio *page_folio(struct page *page)
{
	static const struct folio kinds[FAKE_KINDS] = {
		[FAKE_ANON]	= { true, true, false, &frames },
		[FAKE_LAZYFREE]	= { false, true, false, &frames },
		[FAKE_SHMEM]	= { true, false, false, &frames },
		[FAKE_HUGETLB]	= { false, false, true, &frames },
		[FAKE_DRIVER]	= { false, false, false, NULL },
		[FAKE_FILE]	= { false, false, false, &frames },
	};
	static struct folio folio;
	unsigned long pfn = page_to_pfn(page);
	bool bulk = pfn >= FAKE_BULK_PFN;

	folio = kinds[bulk ? FAKE_ANON : frame_of(pfn)->kind];
	folio.npages = bulk ? FAKE_BULK_PAGES : BIT(frame_of(pfn)->order);
	folio.pfn = round_down(pfn, folio.npages);
	return &folio;
}

/* 1 TiB, a multiple of what decides the default of mappings_max. */
unsigned long totalram_pages(void)
{
	return 1UL << (40 - PAGE_SHIFT);
}

void unpin_user_pages(struct page **pages, unsigned long npages)
{
	unsigned long i;

	for (i = 0; i < npages; i++)
		frames_unpin(page_to_pfn(pages[i]), 1, false);
}

void unpin_user_page_range_dirty_lock(struct page *page, unsigned long npages,
				      bool dirty)
{
	frames_unpin(page_to_pfn(page), npages, dirty);
}

#define USER_BYTES	((1UL << 47) - PAGE_SIZE)

bool access_ok(const void __user *ptr, unsigned long bytes)
{
	return bytes <= USER_BYTES && (unsigned long)ptr <= USER_BYTES - bytes;
}

static bool faults_disabled;

void pagefault_disable(void)
{
	faults_disabled = true;
}

void pagefault_enable(void)
{
	faults_disabled = false;
}

/* Is the page missing? The first ones of user space are never there. */
static bool user_fault(const void *ptr)
{
	return (unsigned long)ptr < 16 * PAGE_SIZE || fake_fault(FAKE_FAULT_COPY);
}

/* A user can let us wait for a page as long as he likes. */
static void user_wait(void)
{
	if (fake_lock_any() || faults_disabled)
		shim_fail("user memory is waited for with a lock held");
}

unsigned long copy_from_user(void *to, const void __user *from,
			     unsigned long bytes)
{
	user_wait();
	if (user_fault(from))
		return bytes;
	memcpy(to, from, bytes);
	return 0;
}

unsigned long copy_to_user(void __user *to, const void *from,
			   unsigned long bytes)
{
	user_wait();
	if (user_fault(to))
		return bytes;
	memcpy(to, from, bytes);
	return 0;
}

unsigned long __copy_to_user_inatomic(void __user *to, const void *from,
				      unsigned long bytes)
{
	if (!faults_disabled)
		shim_fail("__copy_to_user_inatomic() with page faults enabled");
	if (user_fault(to))
		return bytes;
	memcpy(to, from, bytes);
	return 0;
}

void fake_memory_check(void)
{
	if (pins)
		shim_fail("%lu pins are left", pins);
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
	reach = 0;
	mms = 0;
	next_frame = FAKE_FIRST_PFN;
	fake_pin_hook = NULL;
}
