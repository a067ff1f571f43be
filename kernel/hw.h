/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hw: the IOMMU entries behind a container.
 *
 * The core says what is to be mapped where; the hw keeps it so in every IOMMU
 * that a group of the container sits behind. There are two kinds:
 *
 *	hw_domain.c	struct iommu_domain: VT-d, AMD-Vi, SMMU, ...; entries in hw_entries.c
 *	hw_tce.c	struct iommu_table_group: the TCE tables of POWER
 *
 * A container gets its hw with its first group and loses it with the last one.
 * All calls but prereg_hw_check_extension() are made with container->lock held.
 */
#ifndef PREREG_HW_H
#define PREREG_HW_H

#include <linux/err.h>
#include <linux/errno.h>
#include <linux/types.h>

struct iommu_group;
struct prereg_container;
struct prereg_hw_ops;
struct prereg_mapping;
struct prereg_region;
struct prereg_window;
struct vfio_eeh_pe_op;

/**
 * struct prereg_hw - a container's IOMMU state; the first member of a larger one
 * @ops: which kind
 * @remains: the last map failed, and entries of it could not be removed
 */
struct prereg_hw {
	const struct prereg_hw_ops	*ops;
	bool				remains;
};

/**
 * struct prereg_hw_info - what windows the hw offers
 * @default_start: first IOVA of the default window
 * @default_bytes: its size
 * @second_start: where the second window starts, unless the first one reaches further
 * @pgsizes: page sizes a window may have, a bitmap of powers of two
 * @windows: how many at once, at most PREREG_WINDOWS_MAX
 * @levels: of a window's tables, at most
 */
struct prereg_hw_info {
	u64	default_start;
	u64	default_bytes;
	u64	second_start;
	u64	pgsizes;
	u32	windows;
	u32	levels;
};

typedef int (*prereg_group_fn)(struct iommu_group *group, void *data);

/**
 * struct prereg_hw_ops - what a kind of hw does
 */
struct prereg_hw_ops {
	/* Free it; no group is attached, no window open. */
	void (*free)(struct prereg_hw *hw);

	/*
	 * Put a group behind the container's entries. Existing mappings and open
	 * windows are there for it too, before this returns.
	 * Return: 0; -EINVAL attached already, or it cannot use what is mapped
	 * or open; -EPERM no interrupt isolation, or of another kind than the groups
	 * attached; -EIO no domain; -ENOMEM; -EINTR fatal signal; -EAGAIN the
	 * owner is dying, let its release() go first; what the IOMMU driver
	 * said. On an error nothing changed.
	 */
	int (*attach)(struct prereg_container *container,
		      struct iommu_group *group);

	/*
	 * The reverse; a group that is not attached is left alone. Before the last
	 * one goes, everything is revoked and every window closed.
	 * Return: whether any group is left. Cannot fail, allocates nothing.
	 */
	bool (*detach)(struct prereg_container *container,
		       struct iommu_group *group);

	/* Does every IOMMU enforce cache coherency (ignore no-snoop)? */
	bool (*coherent)(const struct prereg_hw *hw);

	/* Call fn for each attached group, until it does not return 0. Return: what it did. */
	int (*walk_groups)(const struct prereg_hw *hw, prereg_group_fn fn,
			   void *data);

	void (*get_info)(const struct prereg_hw *hw,
			 struct prereg_hw_info *info);

	/*
	 * Sizes of hardware pages that may cover more than one page of a window,
	 * a bitmap: what has to be broken up where a mapping is cut.
	 */
	unsigned long (*block_sizes)(const struct prereg_hw *hw);

	/* For type1: sizes of pages that can be mapped, a bitmap. */
	unsigned long (*pgsizes)(const struct prereg_hw *hw);

	/*
	 * For type1: the lowest range of IOVAs that can be mapped, from *first on. Return:
	 * false: there is none.
	 */
	bool (*usable_range)(const struct prereg_hw *hw, u64 *first, u64 *last);

	/*
	 * Pages of memory that the tables of a window take, to be charged; 0: they
	 * are not counted, or there can be no such tables. NULL: never counted.
	 */
	unsigned long (*window_pages)(const struct prereg_hw *hw,
				      const struct prereg_window *window);

	/*
	 * Make the window in that slot usable, in every IOMMU; may move it.
	 * NULL: nothing to do.
	 * Return: 0; -EINVAL levels or size; -ENOMEM; -EIO the platform refuses.
	 */
	int (*window_open)(struct prereg_hw *hw, unsigned int slot,
			   struct prereg_window *window);

	/* The reverse; nothing is mapped in it. Cannot fail, allocates nothing. */
	void (*window_close)(struct prereg_hw *hw, unsigned int slot);

	/*
	 * Can part of a region be mapped there? For spapr_v2.
	 * Return: 0; -ENXIO reserved IOVA or behind an aperture; -EINVAL memory in
	 * pieces smaller than the window's pages.
	 */
	int (*check)(const struct prereg_hw *hw,
		     const struct prereg_window *window, u64 iova,
		     const struct prereg_region *region, u64 offset,
		     u64 bytes);

	/*
	 * Enter bytes of the region from offset on, at IOVAs where nothing is mapped.
	 * interruptible: give up when a fatal signal is pending.
	 * Return: 0, -ENOMEM, -EINTR, what the IOMMU driver said. On an error no
	 * entry in the range is left; or @remains is set, which is an IOMMU driver's
	 * bug, and the memory must never be given back.
	 */
	int (*map)(struct prereg_hw *hw, u64 iova,
		   const struct prereg_region *region, u64 offset, u64 bytes,
		   int prot, bool interruptible);

	/*
	 * Enter mappings, at least one, that follow one another in IOVA in one window, each
	 * from its first to its last, all with the same direction. No hardware page lies across two
	 * of them. Otherwise as map().
	 */
	int (*map_list)(struct prereg_hw *hw,
			struct prereg_mapping *const *mappings, unsigned int n,
			bool interruptible);

	/*
	 * Remove entries; all of the range is mapped and no hardware page
	 * straddles its ends. Ranges come in ascending order until the next flush.
	 * Devices may still reach the memory until then. Allocates nothing.
	 * Return: whether all entries are gone; false is an IOMMU driver's bug,
	 * and the memory must never be given back.
	 */
	bool (*unmap)(struct prereg_hw *hw, u64 iova, u64 bytes);

	/* Complete the unmaps so far: no device reaches what they removed. */
	void (*flush)(struct prereg_hw *hw);

	/* VFIO_EEH_PE_OP, as in <linux/vfio.h>; NULL: not served. */
	long (*eeh_pe_op)(struct prereg_hw *hw,
			  const struct vfio_eeh_pe_op *op);
};

/* Return: a hw with no group yet, or ERR_PTR(-ENOMEM). */
struct prereg_hw *prereg_hw_domain_create(void);

#ifdef CONFIG_SPAPR_TCE_IOMMU
/* The same for a group with TCE tables; NULL for one that has none. */
struct prereg_hw *prereg_hw_tce_create(struct iommu_group *group);

/* The answer to CHECK_EXTENSION for what only this platform has; else 0. */
long prereg_hw_check_extension(unsigned long extension);

/* Can containers of types 1 and 3 have an IOMMU of this platform? */
static inline bool prereg_hw_serves_type1(void)
{
	return false;
}
#else
static inline struct prereg_hw *prereg_hw_tce_create(struct iommu_group *group)
{
	return NULL;
}

static inline long prereg_hw_check_extension(unsigned long extension)
{
	return 0;
}

static inline bool prereg_hw_serves_type1(void)
{
	return true;
}
#endif

/* ops->attach and ops->detach, with the hw made and freed as needed. */
int prereg_hw_attach(struct prereg_container *container,
		     struct iommu_group *group);
void prereg_hw_detach(struct prereg_container *container,
		      struct iommu_group *group);

/* Can all of [first, last] be mapped, for types 1 and 3? */
static inline bool prereg_hw_usable(const struct prereg_hw *hw, u64 first,
				    u64 last)
{
	u64 usable_first = first, usable_last;

	return hw->ops->usable_range(hw, &usable_first, &usable_last) &&
	       usable_first == first && last <= usable_last;
}

static inline int prereg_hw_map(struct prereg_hw *hw, u64 iova,
				const struct prereg_region *region, u64 offset,
				u64 bytes, int prot, bool interruptible)
{
	hw->remains = false;
	return hw->ops->map(hw, iova, region, offset, bytes, prot,
			    interruptible);
}

static inline int prereg_hw_map_list(struct prereg_hw *hw,
				     struct prereg_mapping *const *mappings,
				     unsigned int n, bool interruptible)
{
	hw->remains = false;
	return hw->ops->map_list(hw, mappings, n, interruptible);
}

static inline bool prereg_hw_unmap(struct prereg_hw *hw, u64 iova, u64 bytes)
{
	return hw->ops->unmap(hw, iova, bytes);
}

static inline void prereg_hw_flush(struct prereg_hw *hw)
{
	hw->ops->flush(hw);
}

#endif
