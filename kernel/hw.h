/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hw: the IOMMU entries behind a container.
 *
 * The core says what is to be mapped where; the hw keeps it so in every IOMMU
 * that a group of the container sits behind. All calls are made with
 * container->lock held.
 *
 * hw_domain.c implements this on struct iommu_domain.
 */
#ifndef PREREG_HW_H
#define PREREG_HW_H

#include <linux/list.h>
#include <linux/types.h>

struct iommu_group;
struct prereg_container;
struct prereg_region;
struct scatterlist;

/**
 * struct prereg_hw - a container's IOMMU state
 * @domains: struct prereg_domain, one for each set of groups that can share
 * @sg: room to hand an IOMMU many stretches at once; allocated with the
 *	container so that mapping needs no memory for it
 */
struct prereg_hw {
	struct list_head	domains;
	struct scatterlist	*sg;
};

int prereg_hw_init(struct prereg_hw *hw);
void prereg_hw_fini(struct prereg_hw *hw);

/**
 * prereg_hw_attach - put a group behind the container's entries
 *
 * Existing mappings are replayed where the group needs a domain of its own.
 * Return: 0; -EPERM no interrupt isolation (allow_unsafe_interrupts); -EINVAL
 * attached already, or an existing mapping lies in an IOVA that the group
 * cannot use, or the IOMMU's pages are larger than the CPU's; -EIO no domain to be
 * had; -ENOMEM; -EINTR fatal signal; -EAGAIN the owner is dying, let its
 * release() go first; what the IOMMU driver said. On an error nothing changed.
 */
int prereg_hw_attach(struct prereg_container *container,
		     struct iommu_group *group);

/*
 * The reverse; a group that is not attached is left alone. With the last group
 * every mapping is revoked first. Cannot fail.
 */
void prereg_hw_detach(struct prereg_container *container,
		      struct iommu_group *group);

/* Any group attached? */
bool prereg_hw_attached(const struct prereg_hw *hw);

/* Does every IOMMU enforce cache coherency (ignore no-snoop)? */
bool prereg_hw_coherent(const struct prereg_hw *hw);

/* Union of the IOMMUs' page sizes, a bitmap; 0 with no group attached. */
unsigned long prereg_hw_pgsizes(const struct prereg_hw *hw);

/* Smallest size that every IOMMU can map, a power of two <= PAGE_SIZE. */
unsigned long prereg_hw_granule(const struct prereg_hw *hw);

/* May [first, last] be mapped: inside every aperture, nothing reserved? */
bool prereg_hw_usable(const struct prereg_hw *hw, u64 first, u64 last);

/**
 * prereg_hw_map - enter part of a region
 * @iova: first IOVA; nothing is mapped in the range
 * @region: the memory
 * @offset: byte offset in the region
 * @bytes: length
 * @prot: IOMMU_READ, IOMMU_WRITE
 * @interruptible: give up when a fatal signal is pending
 *
 * Return: 0, -ENOMEM, -EINTR, what the IOMMU driver said. On an error no entry
 * in the range is left.
 */
int prereg_hw_map(struct prereg_hw *hw, u64 iova,
		  const struct prereg_region *region, u64 offset, u64 bytes,
		  int prot, bool interruptible);

/**
 * prereg_hw_unmap - remove entries
 * @iova: first IOVA; every page of the range is mapped and no hardware page
 *	straddles its ends. Ranges come in ascending order until the next flush.
 * @bytes: length
 *
 * Devices may still reach the memory until prereg_hw_flush().
 * Allocates nothing.
 * Return: whether all entries are gone; false is an IOMMU driver's bug, and the
 * memory must never be given back.
 */
bool prereg_hw_unmap(struct prereg_hw *hw, u64 iova, u64 bytes);

/* Complete the unmaps so far: no device reaches what they removed. */
void prereg_hw_flush(struct prereg_hw *hw);

#endif
