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
	void		*mapping;
	unsigned long	pfn;	/* its first page */
	unsigned long	npages;
};

/* Valid until the next call. */
struct folio *page_folio(struct page *page);

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

unsigned long totalram_pages(void);

#define FOLL_WRITE	0x01
#define FOLL_LONGTERM	0x10000

int pin_user_pages_fast(unsigned long start, int npages, unsigned int flags,
			struct page **pages);
void unpin_user_pages(struct page **pages, unsigned long npages);
void unpin_user_page_range_dirty_lock(struct page *page, unsigned long npages,
				      bool dirty);

/* The kernel's is a macro; the last byte of user space is this. */
bool access_ok(const void __user *ptr, unsigned long bytes);
unsigned long copy_from_user(void *to, const void __user *from,
			     unsigned long bytes);
unsigned long copy_to_user(void __user *to, const void *from,
			   unsigned long bytes);

/* Without waiting for the page, for a caller that holds locks. */
unsigned long __copy_to_user_inatomic(void __user *to, const void *from,
				      unsigned long bytes);
void pagefault_disable(void);
void pagefault_enable(void);

/* An address space; its memory is in fake.h. */
struct mm_struct {
	atomic_t		mm_users;
	int			count;
	unsigned int		id;	/* from 1 */
	bool			mmap_locked;
	unsigned long		locked_vm;
	unsigned long		limit;	/* RLIMIT_MEMLOCK in pages */
	struct mmu_notifier	*notifier;
	unsigned int		nvmas;
	struct fake_vma		*vmas;
};

int __account_locked_vm(struct mm_struct *mm, unsigned long npages, bool inc,
			struct task_struct *task, bool bypass_rlim);
void mmap_write_lock(struct mm_struct *mm);
int mmap_write_lock_killable(struct mm_struct *mm);
void mmap_write_unlock(struct mm_struct *mm);
void mmgrab(struct mm_struct *mm);
void mmdrop(struct mm_struct *mm);

struct mmu_notifier;

struct mmu_notifier_ops {
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
void mmu_notifier_synchronize(void);

#endif
