/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between kernels, as the newest ones have it. Nothing outside
 * kernel/compat/ knows a kernel version. This is Linux 6.1.
 */
#ifndef PREREG_COMPAT_H
#define PREREG_COMPAT_H

#include <linux/iommu.h>
#include <linux/irqdomain.h>

static inline int prereg_compat_alloc_domain(struct device *dev, void *domain)
{
	*(struct iommu_domain **)domain = iommu_domain_alloc(dev->bus);
	return 1;	/* the first device speaks for its group */
}

/* A domain for a group's devices, or NULL. */
static inline struct iommu_domain *
prereg_compat_domain_alloc(struct iommu_group *group)
{
	struct iommu_domain *domain = NULL;

	iommu_group_for_each_dev(group, &domain, prereg_compat_alloc_domain);
	return domain;
}

static inline int prereg_compat_intr_remap(struct device *dev, void *unused)
{
	return device_iommu_capable(dev, IOMMU_CAP_INTR_REMAP);
}

/* Can a device of the group raise only the interrupts it was given? */
static inline bool prereg_compat_isolated_msi(struct iommu_group *group)
{
	return irq_domain_check_msi_remap() ||
	       iommu_group_for_each_dev(group, NULL, prereg_compat_intr_remap);
}

/* iommu_map() and iommu_map_sg() take a gfp on newer kernels; it is GFP_KERNEL. */
static inline int prereg_compat_map(struct iommu_domain *domain,
				    unsigned long iova, phys_addr_t phys,
				    size_t bytes, int prot)
{
	return iommu_map(domain, iova, phys, bytes, prot);
}

static inline ssize_t prereg_compat_map_sg(struct iommu_domain *domain,
					   unsigned long iova,
					   struct scatterlist *sg,
					   unsigned int nents, int prot)
{
	return iommu_map_sg(domain, iova, sg, nents, prot);
}

static inline bool
prereg_compat_enforce_coherency(struct iommu_domain *domain)
{
	return domain->ops->enforce_cache_coherency &&
	       domain->ops->enforce_cache_coherency(domain);
}

#endif
