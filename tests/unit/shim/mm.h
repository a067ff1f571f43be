/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's memory management as kernel/ uses it. What is behind it, page
 * frames and address spaces that exist only as numbers, is in fake/memory.c.
 */
#ifndef SHIM_MM_H
#define SHIM_MM_H

#include "kernel.h"

/* Never dereferenced: the address stands for the page frame number. */
struct page {
	char	bytes[64];
};

#define SHIM_MEM_MAP	0x100000000000UL

static inline unsigned long page_to_pfn(const struct page *page)
{
	return ((unsigned long)page - SHIM_MEM_MAP) / sizeof(*page);
}

static inline struct page *pfn_to_page(unsigned long pfn)
{
	return (struct page *)(SHIM_MEM_MAP + pfn * sizeof(struct page));
}

/* What a page belongs to. */
struct folio {
	bool		swapbacked;
	bool		anon;
	bool		hugetlb;
	bool		dirty;
	void		*mapping;
	unsigned long	pfn;	/* its first page */
	unsigned long	npages;
};

/* Valid until the next call. */
struct folio *page_folio(struct page *page);
#define pfn_folio(pfn)	page_folio(pfn_to_page(pfn))

/* Is there memory, not a device? */
bool pfn_valid(unsigned long pfn);
bool is_zero_pfn(unsigned long pfn);
#define PageReserved(page)	((void)(page), false)

static inline bool folio_test_swapbacked(const struct folio *folio)
{
	return folio->swapbacked;
}

static inline bool folio_test_anon(const struct folio *folio)
{
	return folio->anon;
}

static inline unsigned long folio_nr_pages(const struct folio *folio)
{
	return folio->npages;
}

static inline size_t folio_size(const struct folio *folio)
{
	return PAGE_SIZE * folio->npages;
}

static inline bool folio_test_large(const struct folio *folio)
{
	return folio_nr_pages(folio) > 1;
}

static inline unsigned long folio_page_idx(const struct folio *folio,
					   struct page *page)
{
	return page_to_pfn(page) - folio->pfn;
}

static inline bool folio_test_hugetlb(const struct folio *folio)
{
	return folio->hugetlb;
}

static inline bool folio_test_dirty(const struct folio *folio)
{
	return folio->dirty;
}

void folio_lock(struct folio *folio);
void folio_mark_dirty(struct folio *folio);
void folio_unlock(struct folio *folio);

unsigned long totalram_pages(void);

#define FOLL_WRITE	0x01
#define FOLL_LONGTERM	0x10000

struct vm_area_struct;

int pin_user_pages_fast(unsigned long start, int npages, unsigned int flags,
			struct page **pages);
long pin_user_pages_remote(struct mm_struct *mm, unsigned long start,
			   unsigned long npages, unsigned int flags,
			   struct page **pages, struct vm_area_struct **vmas,
			   int *locked);
/* Without waiting for anything; with references, not pins. */
int get_user_pages_fast_only(unsigned long start, int npages,
			     unsigned int flags, struct page **pages);
void put_page(struct page *page);
void unpin_user_page(struct page *page);
void unpin_user_pages(struct page **pages, unsigned long npages);
void unpin_user_pages_dirty_lock(struct page **pages, unsigned long npages,
				 bool dirty);
void unpin_user_page_range_dirty_lock(struct page *page, unsigned long npages,
				      bool dirty);

#define untagged_addr(address)	(address)
/* The kernel's is a macro; the last byte of user space is this. */
bool access_ok(const void __user *ptr, unsigned long bytes);
unsigned long copy_from_user(void *to, const void __user *from,
			     unsigned long bytes);
unsigned long copy_to_user(void __user *to, const void *from,
			   unsigned long bytes);

#define u64_to_user_ptr(address)	((void __user *)(unsigned long)(address))

/* Without waiting for the page, for a caller that holds locks. */
unsigned long __copy_to_user_inatomic(void __user *to, const void *from,
				      unsigned long bytes);
void pagefault_disable(void);
void pagefault_enable(void);

/* An address space; its memory is in fake.h. */
struct mm_struct {
	atomic_t		mm_users;
	struct work_struct	end_work;
	int			count;
	unsigned int		id;	/* from 1 */
	bool			mmap_locked;
	bool			changing;	/* an invalidation is under way */
	unsigned long		locked_vm;
	unsigned long		limit;	/* RLIMIT_MEMLOCK in pages */
	struct mmu_notifier	*notifier;
	unsigned int		nvmas;
	struct fake_vma		*vmas;
};

/* Only told to who listens to events. */
#define task_rlimit(task, which)	((task)->mm ? (task)->mm->limit << PAGE_SHIFT : 0)

int __account_locked_vm(struct mm_struct *mm, unsigned long npages, bool inc,
			struct task_struct *task, bool bypass_rlim);
void mmap_write_lock(struct mm_struct *mm);
int mmap_write_lock_killable(struct mm_struct *mm);
void mmap_write_unlock(struct mm_struct *mm);
int mmap_read_lock_killable(struct mm_struct *mm);
void mmap_read_unlock(struct mm_struct *mm);
void mmgrab(struct mm_struct *mm);
void mmdrop(struct mm_struct *mm);
bool mmget_not_zero(struct mm_struct *mm);
void mmput(struct mm_struct *mm);
/* If it was the last one, a work item does the rest. */
void mmput_async(struct mm_struct *mm);
void kthread_use_mm(struct mm_struct *mm);
void kthread_unuse_mm(struct mm_struct *mm);

/* ---- areas; each is valid until the next call that returns one ------------- */

#define VM_WRITE	0x2UL
#define VM_PFNMAP	0x400UL

struct vm_area_struct {
	struct mm_struct	*vm_mm;
	unsigned long		vm_start;
	unsigned long		vm_end;
	unsigned long		vm_flags;
};

/* The one that holds the address; the lowest one that ends behind it; or NULL. */
struct vm_area_struct *vma_lookup(struct mm_struct *mm, unsigned long address);
struct vm_area_struct *find_vma(struct mm_struct *mm, unsigned long address);

typedef struct {
	unsigned long	pfn;
	bool		write;
} pte_t;

#define pte_pfn(pte)			((pte).pfn)
#define pte_write(pte)			((pte).write)
#define pte_unmap_unlock(pte, ptl)	spin_unlock(ptl)
int follow_pte(struct mm_struct *mm, unsigned long address, pte_t **pte,
	       spinlock_t **ptl);

#define FAULT_FLAG_WRITE	0x1
#define FAULT_FLAG_REMOTE	0x80

int fixup_user_fault(struct mm_struct *mm, unsigned long address,
		     unsigned int flags, bool *unlocked);

/* ---- mmu_notifier ----------------------------------------------------------- */

enum mmu_notifier_event {
	MMU_NOTIFY_UNMAP,
	MMU_NOTIFY_CLEAR,
	MMU_NOTIFY_PROTECTION_VMA,
	MMU_NOTIFY_PROTECTION_PAGE,
	MMU_NOTIFY_SOFT_DIRTY,
};

struct mmu_notifier_range {
	struct mm_struct	*mm;
	unsigned long		start;
	unsigned long		end;
	enum mmu_notifier_event	event;
	bool			blockable;
};

#define mmu_notifier_range_blockable(range)	((range)->blockable)

struct mmu_notifier;

struct mmu_notifier_ops {
	int			(*invalidate_range_start)(struct mmu_notifier *notifier,
							  const struct mmu_notifier_range *range);
	void			(*invalidate_range_end)(struct mmu_notifier *notifier,
							const struct mmu_notifier_range *range);
	void			(*release)(struct mmu_notifier *notifier,
					   struct mm_struct *mm);
	struct mmu_notifier	*(*alloc_notifier)(struct mm_struct *mm);
	void			(*free_notifier)(struct mmu_notifier *notifier);
};

struct mmu_notifier {
	const struct mmu_notifier_ops	*ops;
	struct mm_struct		*mm;
	unsigned int			users;
	struct mmu_notifier		*next;	/* waits for the SRCU period */
};

struct mmu_notifier *
mmu_notifier_get_locked(const struct mmu_notifier_ops *ops,
			struct mm_struct *mm);
void mmu_notifier_put(struct mmu_notifier *notifier);

#endif
