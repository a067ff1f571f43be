/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The machine the module runs on here: page frames, address spaces, IOMMUs,
 * and everything that can be made to fail. All of it watches the module: what
 * would be a corruption on a real machine fails the open test with a sentence.
 */
#ifndef FAKE_H
#define FAKE_H

#include "shim.h"

/* ---- faults (kernel.c) ---------------------------------------------------- */

enum fake_fault {
	FAKE_FAULT_NONE,
	FAKE_FAULT_ALLOC,	/* kmalloc & co. return NULL */
	FAKE_FAULT_PIN,		/* pinning pins nothing, -ENOMEM */
	FAKE_FAULT_PIN_SHORT,	/* pins half of what was asked for, then -EFAULT */
	FAKE_FAULT_MAP,		/* a page table page is not to be had, -ENOMEM */
	FAKE_FAULT_MAP_STAYS,	/* the same, and the IOMMU driver refuses the next unmap */
	FAKE_FAULT_SIGNAL,	/* a fatal signal is pending from here on */
	FAKE_FAULT_ATTACH,	/* domain_alloc, attach, resv regions, MSI cookie */
	FAKE_FAULT_DETACH,	/* a group stays where it was */
	FAKE_FAULT_COPY,	/* the user's struct is not there */
	FAKE_FAULT_RESTART,	/* a signal that is not fatal */
	FAKE_FAULT_UNMAP,	/* an IOMMU driver that does not unmap */
	FAKE_FAULT_TRYLOCK,	/* another CPU holds the spinlock */
	FAKE_FAULTS
};

extern const char *const fake_fault_names[FAKE_FAULTS];

/* Let the @nth (from 1) such thing fail, or, with @all, it and all later ones. */
void fake_fault_arm(enum fake_fault fault, unsigned long nth, bool all);
/* Returns how many failed. */
unsigned long fake_fault_disarm(void);
/* For the fakes: 0, or it fails this time, the how manieth time. */
unsigned long fake_fault(enum fake_fault fault);

/* ---- events.c ------------------------------------------------------------- */

struct prereg_event;

/* How many of that command came since this was last asked; the last one. */
unsigned int fake_events(u8 command);
const struct prereg_event *fake_event_last(u8 command);

/* ---- kernel.c ------------------------------------------------------------- */

/* While set, an allocation by this thread fails the test: tear-down must do without. */
extern _Thread_local bool fake_no_alloc;
/* Bytes allocated and not freed. */
long fake_alloc_bytes(void);
/* WARN_ON()s that do not fail the test; counts down. */
extern unsigned int fake_warnings_expected;
/* Runs once at the next cond_resched() where no lock is held. */
extern void (*fake_resched_hook)(void);
/* Also with mutexes held. */
extern bool fake_resched_locked;
/* Lines the module logged since the last call. */
unsigned int fake_log_lines(void);
/* Locks that the calling thread holds: ranks, see LOCKS in prereg.h. */
#define FAKE_RANK_MMAP	3
#define FAKE_RANK_SPIN	4	/* the first spinlock's */
void fake_lock_take(int rank, const char *name);
void fake_lock_drop(int rank, const char *name);
bool fake_lock_any(void);
/* One of another rank. */
bool fake_lock_beyond(int rank);
/* Nobody may sleep; locks of pages are held, inside which no mutex is taken. */
extern _Thread_local bool fake_atomic, fake_page_locks;
void fake_might_sleep(const char *what);
/* Let the shrinker free so many pages. Returns how many it did. */
unsigned long fake_shrink(unsigned long npages);
/* While set, every allocation does that first. */
extern unsigned long fake_reclaim;
/* What the file in debugfs says about a counter; fails the test if nothing. */
long fake_stat(const char *name);
/* Allocations, locks, kmem caches, work items: nothing may be left of them. */
void fake_kernel_check(void);

/* ---- thread.c: a second thread, one runs at a time ------------------------ */

/* Run fn(arg) as another task of mm until it waits or ends. */
void fake_thread_start(void (*fn)(void *arg), void *arg, struct mm_struct *mm);
/* Let it run until it waits again or ends; returns true when it ended. */
bool fake_thread_continue(void);
/* The second thread waits here for that; for the first one it is nothing. */
void fake_thread_pause(void);

/* ---- memory.c ------------------------------------------------------------- */

/*
 * Frames below FAKE_BULK_PFN are counted one by one. From there on a counter
 * stands for FAKE_BULK_PAGES, so a test can have a TiB of them.
 */
#define FAKE_FIRST_PFN	0x1000UL
#define FAKE_ZERO_PFN	FAKE_FIRST_PFN	/* what a reader of untouched memory gets */
#define FAKE_BULK_PFN	0x400000UL
#define FAKE_BULK_PAGES	512UL
#define FAKE_END_PFN	(FAKE_BULK_PFN + (2UL << (40 - PAGE_SHIFT)))
#define FAKE_BAR_PFN	(2 * FAKE_END_PFN)

enum fake_kind {
	FAKE_ANON,
	FAKE_LAZYFREE,	/* anonymous, MADV_FREE */
	FAKE_SHMEM,
	FAKE_HUGETLB,
	FAKE_DRIVER,	/* belongs to no file and no process */
	FAKE_FILE,	/* a file system writes it back */
	FAKE_BAR,	/* a device's, without struct page; frames from FAKE_BAR_PFN on */
	FAKE_KINDS
};

/* Part of an address space. */
struct fake_vma {
	unsigned long	start;
	unsigned long	npages;
	unsigned long	pfn;	/* the lowest frame behind it */
	/*
	 * 0: frames ascend; n: in pieces of n frames, the highest piece first,
	 * so that no two pieces are contiguous. Divides npages.
	 */
	unsigned long	piece;
	const u32	*pfns;	/* or the frame of each page */
	bool		readonly;
	bool		fs_dax;
	bool		zero;	/* read, but never written: it is the zero page */
	enum fake_kind	kind;
	unsigned int	order;	/* of its folios, at most 9 */

	/* Of the fakes: */
	unsigned long	cut;		/* pages that were before */
	unsigned long	cut_behind;	/* and behind it */
	bool		gone;		/* it was unmapped */
	bool		absent;		/* nobody has touched it yet */
	bool		tried;		/* a BAR: the first fault has to be repeated */
	bool		faulted;	/* a BAR: its page table entries are there */
};

#define FAKE_VMAS	64

enum fake_change {
	FAKE_MUNMAP,
	FAKE_DONTNEED,	/* other pages are there next time: madvise() */
	FAKE_PUNCH,	/* the same, as somebody punched a hole into the file */
	FAKE_REAP,	/* the same, by the OOM reaper, which must not sleep */
	FAKE_PROTECT,	/* mprotect(PROT_READ) */
	FAKE_SCAN,	/* NUMA balancing: who uses the pages? */
	FAKE_MIGRATE,	/* other code tries to move the pages, and cannot: they are pinned */
};

/* The area that holds an address, or NULL; and the frame there. */
struct fake_vma *fake_mm_vma(const struct mm_struct *mm, unsigned long vaddr);
unsigned long fake_vma_pfn(const struct fake_vma *vma, unsigned long vaddr);

/* An address space with one user and no limit. */
struct mm_struct *fake_mm_create(void);
/* Add memory at vma->start; the frames are the caller's choice. */
void fake_mm_add(struct mm_struct *mm, const struct fake_vma *vma);
/*
 * The last mmput() by a task that left the mm: release() runs, after which none
 * of its pages may be pinned; allocations fail the test. The struct goes with
 * the last mmdrop().
 */
void fake_mm_exit(struct mm_struct *mm);
/*
 * Something happens to memory of a living mm, on behalf of current: mmu_notifiers are
 * told, it changes, they are told that it has. A munmap() and the like under mmap_lock.
 */
void fake_mm_change(struct mm_struct *mm, unsigned long vaddr,
		    unsigned long bytes, enum fake_change change);
/* Runs once when notifiers were told and it has not yet happened. */
extern void (*fake_change_hook)(void);
/* Frame of a page, or 0. */
unsigned long fake_mm_pfn(const struct mm_struct *mm, unsigned long vaddr);
/* Fresh frames for a test, aligned to @align pages (power of two). */
unsigned long fake_frames(unsigned long npages, unsigned long align);
/* No pins, nothing reachable, no mm may be left; then all frames are fresh. */
void fake_memory_check(void);

/* Runs once in the middle of the next pin_user_pages_fast(), without locks. */
extern void (*fake_pin_hook)(void);
/* Calls of pin_user_pages_fast() so far. */
extern unsigned long fake_pin_calls;

/* Pins of all frames, and of one. */
unsigned long fake_pins(void);
unsigned long fake_frame_pins(unsigned long pfn);
/* Was the frame marked dirty when it was last unpinned? */
bool fake_frame_dirty(unsigned long pfn);
/* An IOMMU entry or a stale IOTLB entry names the frames now; or no more. */
void fake_frames_reach(unsigned long pfn, unsigned long npages, bool write);
void fake_frames_unreach(unsigned long pfn, unsigned long npages);

/* ---- iommu.c -------------------------------------------------------------- */

/* A kind of IOMMU: page tables of @levels levels of @bits bits, 4 KiB pages. */
struct bus_type {
	const char			*name;
	const struct iommu_domain_ops	*ops;
	unsigned int			bits;
	unsigned int			levels;
	unsigned long			pgsizes;
	u64				aperture_first;
	u64				aperture_last;
	int				msi_cookie;	/* what get says */
	/*
	 * What flushes: on an SMMU a range only if it says of which page size, or
	 * everything; on VT-d in caching mode only a range reaches device TLBs.
	 */
	bool				smmu;
};

extern const struct iommu_domain_ops fake_iommu_coherent;
extern const struct iommu_domain_ops fake_iommu_incoherent;
extern const struct iommu_domain_ops fake_iommu_without_coherency;

struct iommu_group {
	int				id;
	struct device			dev;
	struct iommu_domain		*domain;	/* attached to */
	const struct iommu_resv_region	*resv;
	unsigned int			nresv;
};

/* What the interrupt controller says, irq_domain_check_msi_remap(). */
extern bool fake_msi_isolated;
/* IOTLB flushes so far, of a range and of a whole domain. */
extern unsigned long fake_iommu_range_flushes, fake_iommu_full_flushes;
/* Calls of iommu_map_sg() so far. */
extern unsigned long fake_iommu_sg_calls;

/* Domains that exist. */
unsigned int fake_iommu_domains(void);
/* The entry that translates iova; false: none. */
struct fake_iommu_entry {
	u64		iova;	/* its first */
	u64		bytes;	/* its page size */
	phys_addr_t	phys;
	int		prot;	/* IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE */
};
bool fake_iommu_lookup(struct iommu_domain *domain, u64 iova,
		       struct fake_iommu_entry *entry);
/* All entries in IOVA order. */
void fake_iommu_walk(struct iommu_domain *domain,
		     void (*fn)(void *data, const struct fake_iommu_entry *entry),
		     void *data);
/* Bytes mapped; number of entries. */
u64 fake_iommu_bytes(struct iommu_domain *domain);
unsigned long fake_iommu_entries(struct iommu_domain *domain);
/* No domain left. */
void fake_iommu_check(void);

#endif
