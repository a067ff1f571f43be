/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hw_domain: what its two files share.
 *
 *	hw_domain.c	groups and domains
 *	hw_entries.c	the entries in them
 */
#ifndef PREREG_HW_DOMAIN_H
#define PREREG_HW_DOMAIN_H

#include <linux/iommu.h>
#include <linux/list.h>
#include <linux/scatterlist.h>
#include <linux/types.h>

#include "hw.h"

/* Stretches given to the IOMMU driver in one call, a page of struct scatterlist. */
#define PREREG_SG_MAX		(PAGE_SIZE / sizeof(struct scatterlist))

/**
 * struct prereg_hw_domain - the hw
 * @hw: what the core knows of it
 * @domains: struct prereg_domain, one for each set of groups that can share
 * @sg: room to hand an IOMMU many stretches at once, so that mapping needs no
 *	memory for it
 * @usable_first: first IOVA of the usable range that was found last
 * @usable_last: its last one; less: none is known
 */
struct prereg_hw_domain {
	struct prereg_hw	hw;
	struct list_head	domains;
	struct scatterlist	*sg;
	u64			usable_first;
	u64			usable_last;
};

static inline struct prereg_hw_domain *
to_hw_domain(const struct prereg_hw *hw)
{
	return container_of(hw, struct prereg_hw_domain, hw);
}

/**
 * struct prereg_domain - page tables that one or more groups share
 * @entry: in hw->domains
 * @domain: the page tables
 * @groups: struct prereg_group
 * @gather: unmapped since the last flush
 * @gathered: is there anything in @gather?
 * @queued: is all of it to be flushed as a whole? AMD's driver may have changed
 *	@gather's own flag
 * @first: first IOVA unmapped since the last flush, if @gathered
 * @last: last one
 * @coherent: no-snoop is ignored
 * @msi_base: start of the software MSI region, or PREREG_NO_MSI_BASE
 */
struct prereg_domain {
	struct list_head		entry;
	struct iommu_domain		*domain;
	struct list_head		groups;
	struct iommu_iotlb_gather	gather;
	bool				gathered;
	bool				queued;
	u64				first;
	u64				last;
	bool				coherent;
	phys_addr_t			msi_base;
};

static inline unsigned long domain_granule(const struct iommu_domain *domain)
{
	return BIT(__ffs(domain->pgsize_bitmap));
}

/* Enter a mapping into one domain; as prereg_hw_ops.map. */
int prereg_domain_map(struct prereg_hw_domain *hw, struct prereg_domain *d,
		      u64 iova, const struct prereg_region *region, u64 offset,
		      u64 bytes, int prot, bool interruptible);

/* Into, and out of, all: what prereg_hw_ops says. */
int prereg_domains_map(struct prereg_hw *hw, u64 iova,
		       const struct prereg_region *region, u64 offset,
		       u64 bytes, int prot, bool interruptible);
int prereg_domains_map_list(struct prereg_hw *hw,
			    struct prereg_mapping *const *mappings,
			    unsigned int n, bool interruptible);
bool prereg_domains_unmap(struct prereg_hw *hw, u64 iova, u64 bytes);
void prereg_domains_flush(struct prereg_hw *hw);

#endif
