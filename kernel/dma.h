/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dma: what the files of types 1 and 3 share.
 *
 *	type1.c		their ioctls
 *	dma.c		their mappings, claims and groups
 *	emulated.c	pages that drivers of emulated devices pin
 *	dirty.c		which pages may have been written
 */
#ifndef PREREG_DMA_H
#define PREREG_DMA_H

#include <linux/limits.h>
#include <linux/vfio.h>

#include "prereg.h"

struct prereg_bitmap;

/* As the kernel's type 1 driver, which counts pages of a bitmap in an int. */
#define PREREG_DIRTY_PAGES_MAX		((u64)INT_MAX)
#define PREREG_DIRTY_BITMAP_BYTES(npages) \
	(ALIGN(npages, BITS_PER_TYPE(u64)) / BITS_PER_BYTE)
#define PREREG_DIRTY_BITMAP_BYTES_MAX	\
	PREREG_DIRTY_BITMAP_BYTES(PREREG_DIRTY_PAGES_MAX)

/**
 * struct prereg_type1 - what only a container of types 1 and 3 has
 * @v2: UNMAP must not cut a mapping, as for VFIO_TYPE1v2_IOMMU
 * @claims: struct prereg_type1_claim: every mm that mapped something
 * @serial: of the last mapping
 * @keep_pages: of an mm's memory, how much UNMAP may leave pinned
 * @groups: struct prereg_type1_group
 * @emulated_groups: how many have no IOMMU
 * @unscoped_groups: how many may write any page that is mapped, as their drivers do
 *	not pin what they write
 * @dirty_tracking: each mapping has a bitmap
 */
struct prereg_type1 {
	bool			v2;
	struct list_head	claims;
	u64			serial;
	unsigned long		keep_pages;
	struct list_head	groups;
	unsigned int		emulated_groups;
	unsigned int		unscoped_groups;
	bool			dirty_tracking;
};

/**
 * struct prereg_type1_claim - a claim, and who pays
 * @claim: what owner.c knows of it
 * @task: the process that made it, for its RLIMIT_MEMLOCK
 */
struct prereg_type1_claim {
	struct prereg_claim	claim;
	struct task_struct	*task;
};

/**
 * struct prereg_type1_group - an attached group
 * @entry: in type1->groups
 * @group: VFIO keeps it alive while it is attached
 * @emulated: it has no IOMMU
 * @scoped: its driver pins every page that it writes
 */
struct prereg_type1_group {
	struct list_head	entry;
	struct iommu_group	*group;
	bool			emulated;
	bool			scoped;
};

/**
 * struct prereg_dma - a mapping of a container of type 1 or 3
 * @mapping: in container->mappings
 * @registration: the use of the region that the mapping is; its owner has a claim in
 *	the container. Its region is NULL as long as there is no IOMMU
 * @serial: its number in the container: one that comes later at the same place has another
 * @pages: struct prereg_page.range by IOVA: pinned by drivers of emulated devices
 * @npages: how many of them
 * @dirty: a bit for each page, while dirty pages are tracked
 * @lock_cap: who made it has CAP_IPC_LOCK
 * @going: how often drivers were told to unpin @pages; from the first time on they may pin no more
 */
struct prereg_dma {
	struct prereg_mapping		mapping;
	struct prereg_registration	registration;
	u64				serial;
	struct rb_root			pages;
	unsigned long			npages;
	unsigned long			*dirty;
	bool				lock_cap;
	unsigned int			going;
};

static inline struct prereg_dma *mapping_dma(struct prereg_mapping *mapping)
{
	return container_of(mapping, struct prereg_dma, mapping);
}

static inline u64 dma_bytes(const struct prereg_dma *dma)
{
	return prereg_mapping_bytes(&dma->mapping);
}

/* The user address that an IOVA is mapped to. */
static inline unsigned long dma_vaddr(const struct prereg_dma *dma, u64 iova)
{
	return dma->registration.range.first +
	       (iova - dma->mapping.range.first);
}

/* ---- dma.c; all but map and unmap: container->lock held ------------------ */

/* The mapping that holds an IOVA, or NULL. */
struct prereg_dma *prereg_dma_find(struct prereg_container *container,
				   u64 iova);

/* Does a mapping lie across the cut, that is on both sides of it? */
bool prereg_dma_is_cut(struct prereg_container *container, u64 cut);

/* The claim of current->mm, or NULL. */
struct prereg_claim *
prereg_type1_claim(const struct prereg_container *container);

/**
 * struct prereg_dma_hold - what it takes to pin for a mapping without container->lock
 * @owner: whose memory; struct reference, and mm_users of its mm
 * @payer: reference to its task
 * @serial: of the mapping, to see whether it is still the same one
 * @write: pin for writing
 */
struct prereg_dma_hold {
	struct prereg_owner	*owner;
	struct prereg_payer	payer;
	u64			serial;
	bool			write;
};

/* Return: false: the owner is dying. */
bool prereg_dma_hold_get(struct prereg_container *container,
		     const struct prereg_dma *dma,
		     struct prereg_dma_hold *hold);

/* The reverse, with or without the lock. */
void prereg_dma_hold_put(struct prereg_dma_hold *hold);

/* How many more mappings there may be. */
u64 prereg_type1_dma_avail(const struct prereg_container *container);

/* The group, if it is attached. */
struct prereg_type1_group *
prereg_type1_find_group(const struct prereg_type1 *type1,
			const struct iommu_group *group);

/**
 * prereg_dma_map - map memory of current->mm
 * @iova: first IOVA
 * @bytes: length, not 0; neither iova + bytes nor vaddr + bytes wraps
 * @vaddr: user address
 * @prot: IOMMU_READ | IOMMU_WRITE, at least one
 *
 * Memory that is not registered is, until it is unmapped. What cannot be pinned is not
 * found out before there is an IOMMU in the container.
 * Return: 0; -EINVAL alignment, reserved or behind the aperture; -EEXIST something
 * is mapped there; -ENOSPC too many mappings; -EFAULT, -ENOMEM, -EOPNOTSUPP see
 * prereg_region_get(); -ENODEV; -EINTR; what the IOMMU driver said.
 */
int prereg_dma_map(unsigned long id, u64 iova, u64 bytes, unsigned long vaddr,
		   int prot);

/**
 * prereg_dma_unmap - unmap whole mappings, whoever made them
 * @iova: first IOVA
 * @bytes: length, not 0
 * @all: everything, whatever it is
 * @bitmap: to be told the dirty pages, or NULL
 * @unmapped: out: sum of their lengths
 *
 * Return: 0, also if nothing is mapped; -EINVAL alignment, or, for v2, a mapping lies
 * across an end of the range, or no dirty pages are tracked in pages of that size;
 * -EOVERFLOW the range wraps; -EFAULT the bitmap went away meanwhile; -ENODEV; -EINTR.
 */
int prereg_dma_unmap(unsigned long id, u64 iova, u64 bytes, bool all,
		     struct prereg_bitmap *bitmap, u64 *unmapped);

/* ---- emulated.c; container->lock held ----------------------------------- */

/* Of prereg_emulated_unmap(). */
bool prereg_emulated_tell(struct prereg_container *container, u64 first,
			  u64 last, const struct prereg_owner *owner);

/*
 * Tell emulated devices that mappings go, so that they unpin what they pinned: those
 * that reach into [first, last], of this owner's memory or, where that is NULL, of
 * anybody's. Return: true: it dropped the lock meanwhile, so everything is to be looked at
 * again; false: there is nothing to tell.
 */
static inline bool prereg_emulated_unmap(struct prereg_container *container,
					 u64 first, u64 last,
					 const struct prereg_owner *owner)
{
	return container->ndevices &&
	       prereg_emulated_tell(container, first, last, owner);
}

/* The mappings stay after all: their pages may be pinned again. */
void prereg_emulated_stay(struct prereg_container *container, u64 first,
			  u64 last);

/*
 * Its pages become the mapping's alone, or its region's: @by_region. Charges go with
 * them; no limit counts, since nothing is pinned that was not.
 */
void prereg_emulated_charge(struct prereg_dma *dma, bool by_region);

/* Its pinned pages at [first, last] are dirty. */
void prereg_emulated_set_dirty(struct prereg_dma *dma, u64 first, u64 last);

/* The mapping is gone; what a driver has not unpinned stays pinned. */
void prereg_emulated_forget(struct prereg_dma *dma);

/* ---- dirty.c ------------------------------------------------------------ */

/* Return: 0; -EINVAL it is too large for a bitmap; -ENOMEM. */
int prereg_dirty_alloc(struct prereg_dma *dma);

/* Pages of [first, last] were written, and it has a bitmap. container->lock held. */
void prereg_dirty_set(struct prereg_dma *dma, u64 first, u64 last);

/* The last group that may write anything is gone: it may have. container->lock held. */
void prereg_dirty_set_all(struct prereg_container *container);

/* VFIO_IOMMU_DIRTY_PAGES. */
int prereg_dirty_ioctl(unsigned long id, void __user *user);

/**
 * struct prereg_bitmap - user space's bitmap, for an UNMAP
 * @user: where it is
 * @piece: a page, for a part of it
 */
struct prereg_bitmap {
	struct vfio_bitmap	user;
	unsigned long		*piece;
};

/*
 * Read the bitmap that follows an UNMAP's struct and see whether it can be written; to be put.
 * Return: 0; -EINVAL its size does not fit, -EFAULT, -ENOMEM.
 */
int prereg_bitmap_get(struct prereg_bitmap *bitmap, void __user *user,
		      u64 bytes);
void prereg_bitmap_put(struct prereg_bitmap *bitmap);

/*
 * Tell user space the dirty pages of a mapping that was taken out of the container.
 * No lock held. Return: 0, -EFAULT.
 */
int prereg_dirty_report(struct prereg_dma *dma, bool all,
			struct prereg_bitmap *bitmap, u64 iova);

#endif
