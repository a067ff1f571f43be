/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between kernels, as the newest ones have it. Nothing outside
 * kernel/compat/ knows what a kernel has. answers.h is made when the module is
 * built: scripts/compat-probe compiles each probe/NAME.c against the kernel's headers.
 */
#ifndef PREREG_COMPAT_H
#define PREREG_COMPAT_H

#include <linux/err.h>
#include <linux/iommu.h>
#include <linux/irqdomain.h>
#include <linux/mm.h>
#include <linux/shrinker.h>
#include <linux/slab.h>

#include "answers.h"

/* iommu_group_for_each_dev(): the first device speaks for its group. */
static inline int prereg_compat_alloc_domain(struct device *dev, void *data)
{
	struct iommu_domain *domain;

#ifdef PREREG_HAS_IOMMU_PAGING_DOMAIN_ALLOC
	domain = iommu_paging_domain_alloc(dev);
#else
	domain = iommu_domain_alloc(dev->bus);
	if (!domain)
		domain = ERR_PTR(-EIO);
#endif
	*(struct iommu_domain **)data = domain;
	return 1;
}

/* A domain for a group's devices, or what the IOMMU driver said as ERR_PTR(). */
static inline struct iommu_domain *
prereg_compat_domain_alloc(struct iommu_group *group)
{
	struct iommu_domain *domain = ERR_PTR(-ENODEV);

	iommu_group_for_each_dev(group, &domain, prereg_compat_alloc_domain);
	return domain;
}

/* Can a device of the group raise only the interrupts it was given? */
#ifdef PREREG_HAS_IOMMU_GROUP_HAS_ISOLATED_MSI
static inline bool prereg_compat_isolated_msi(struct iommu_group *group)
{
	return iommu_group_has_isolated_msi(group);
}
#else
static inline int prereg_compat_intr_remap(struct device *dev, void *unused)
{
	return device_iommu_capable(dev, IOMMU_CAP_INTR_REMAP);
}

static inline bool prereg_compat_isolated_msi(struct iommu_group *group)
{
	return irq_domain_check_msi_remap() ||
	       iommu_group_for_each_dev(group, NULL, prereg_compat_intr_remap);
}

#endif

/* Page tables of a user's mappings are the user's, where the kernel lets us say so. */
static inline int prereg_compat_map(struct iommu_domain *domain,
				    unsigned long iova, phys_addr_t phys,
				    size_t bytes, int prot)
{
#ifdef PREREG_HAS_IOMMU_MAP_GFP
	return iommu_map(domain, iova, phys, bytes, prot, GFP_KERNEL_ACCOUNT);
#else
	return iommu_map(domain, iova, phys, bytes, prot);
#endif
}

static inline ssize_t prereg_compat_map_sg(struct iommu_domain *domain,
					   unsigned long iova,
					   struct scatterlist *sg,
					   unsigned int nents, int prot)
{
#ifdef PREREG_HAS_IOMMU_MAP_GFP
	return iommu_map_sg(domain, iova, sg, nents, prot,
			    GFP_KERNEL_ACCOUNT);
#else
	return iommu_map_sg(domain, iova, sg, nents, prot);
#endif
}

static inline bool
prereg_compat_enforce_coherency(struct iommu_domain *domain)
{
	return domain->ops->enforce_cache_coherency &&
	       domain->ops->enforce_cache_coherency(domain);
}

/* pin_user_pages() for another process. mmap_lock held for reading. */
static inline long prereg_compat_pin_remote(struct mm_struct *mm,
					    unsigned long start,
					    unsigned long npages,
					    unsigned int flags,
					    struct page **pages)
{
#ifdef PREREG_HAS_PIN_REMOTE_NO_VMAS
	return pin_user_pages_remote(mm, start, npages, flags, pages, NULL);
#else
	return pin_user_pages_remote(mm, start, npages, flags, pages, NULL,
				     NULL);
#endif
}

/*
 * Which page frame is mapped at an address of a VM_PFNMAP vma? mmap_lock held.
 * Return: 0; an error: none, or not writable.
 */
static inline int prereg_compat_follow_pfn(struct vm_area_struct *vma,
					   unsigned long address, bool write,
					   unsigned long *pfn)
{
#ifdef PREREG_HAS_FOLLOW_PFNMAP
	struct follow_pfnmap_args args = { .vma = vma, .address = address };
	bool writable;
	int ret;

	ret = follow_pfnmap_start(&args);
	if (ret)
		return ret;
	*pfn = args.pfn;
	writable = args.writable;
	follow_pfnmap_end(&args);
#else
	bool writable;
	spinlock_t *ptl;
	pte_t *pte;
	int ret;

	ret = follow_pte(vma->vm_mm, address, &pte, &ptl);
	if (ret)
		return ret;
	__acquire(ptl);
	*pfn = pte_pfn(*pte);
	writable = pte_write(*pte);
	pte_unmap_unlock(pte, ptl);
#endif
	return write && !writable ? -EFAULT : 0;
}

/* Add a shrinker, or NULL. */
static inline struct shrinker *
prereg_compat_shrinker_add(unsigned long (*count)(struct shrinker *shrinker,
						  struct shrink_control *control),
			   unsigned long (*scan)(struct shrinker *shrinker,
						 struct shrink_control *control))
{
	struct shrinker *shrinker;

#ifdef PREREG_HAS_SHRINKER_ALLOC
	shrinker = shrinker_alloc(0, KBUILD_MODNAME);
	if (!shrinker)
		return NULL;
	shrinker->count_objects = count;
	shrinker->scan_objects = scan;
	shrinker_register(shrinker);
#else
	shrinker = kzalloc(sizeof(*shrinker), GFP_KERNEL);
	if (!shrinker)
		return NULL;
	shrinker->count_objects = count;
	shrinker->scan_objects = scan;
	shrinker->seeks = DEFAULT_SEEKS;
	if (register_shrinker(shrinker, KBUILD_MODNAME)) {
		kfree(shrinker);
		return NULL;
	}
#endif
	return shrinker;
}

static inline void prereg_compat_shrinker_remove(struct shrinker *shrinker)
{
#ifdef PREREG_HAS_SHRINKER_ALLOC
	shrinker_free(shrinker);
#else
	unregister_shrinker(shrinker);
	kfree(shrinker);
#endif
}

#endif
