/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's IOMMU interface as kernel/ uses it. What is behind it, page
 * tables that mind like VT-d's, is in fake/iommu.c.
 */
#ifndef SHIM_IOMMU_H
#define SHIM_IOMMU_H

#include "mm.h"

#define IOMMU_READ	1
#define IOMMU_WRITE	2
#define IOMMU_CACHE	4

/* 32 bytes as in the kernel, which decides how many make a batch. */
struct scatterlist {
	struct page	*page;
	unsigned int	offset;
	unsigned int	length;
	dma_addr_t	dma_address;
	unsigned int	dma_length;
	unsigned int	dma_flags;
};

static inline void sg_init_table(struct scatterlist *sg, unsigned int n)
{
	memset(sg, 0, n * sizeof(*sg));
}

static inline void sg_set_page(struct scatterlist *sg, struct page *page,
			       unsigned int bytes, unsigned int offset)
{
	sg->page = page;
	sg->length = bytes;
	sg->offset = offset;
}

struct iommu_domain;

struct iommu_domain_ops {
	bool	(*enforce_cache_coherency)(struct iommu_domain *domain);
};

struct iommu_domain_geometry {
	dma_addr_t	aperture_start;
	dma_addr_t	aperture_end;
};

struct iommu_domain {
	const struct iommu_domain_ops	*ops;
	unsigned long			pgsize_bitmap;
	struct iommu_domain_geometry	geometry;
};

struct iommu_iotlb_gather {
	unsigned long		start;
	unsigned long		end;
	size_t			pgsize;
	struct list_head	freelist;
	bool			queued;
};

enum iommu_resv_type {
	IOMMU_RESV_DIRECT,
	IOMMU_RESV_DIRECT_RELAXABLE,
	IOMMU_RESV_RESERVED,
	IOMMU_RESV_MSI,
	IOMMU_RESV_SW_MSI,
};

struct iommu_resv_region {
	struct list_head	list;
	phys_addr_t		start;
	size_t			length;
	enum iommu_resv_type	type;
};

enum iommu_cap {
	IOMMU_CAP_INTR_REMAP,
};

struct bus_type;
struct iommu_group;

struct device {
	const struct bus_type	*bus;
	bool			intr_remap;
};

bool irq_domain_check_msi_remap(void);
bool device_iommu_capable(struct device *dev, enum iommu_cap cap);

int iommu_group_id(struct iommu_group *group);
int iommu_group_for_each_dev(struct iommu_group *group, void *data,
			     int (*fn)(struct device *dev, void *data));
int iommu_get_group_resv_regions(struct iommu_group *group,
				 struct list_head *head);
struct iommu_domain *iommu_domain_alloc(const struct bus_type *bus);
void iommu_domain_free(struct iommu_domain *domain);
int iommu_attach_group(struct iommu_domain *domain, struct iommu_group *group);
void iommu_detach_group(struct iommu_domain *domain, struct iommu_group *group);
struct iommu_domain *iommu_get_domain_for_dev(struct device *dev);
int iommu_get_msi_cookie(struct iommu_domain *domain, dma_addr_t base);

int iommu_map(struct iommu_domain *domain, unsigned long iova,
	      phys_addr_t phys, size_t bytes, int prot);
ssize_t iommu_map_sg(struct iommu_domain *domain, unsigned long iova,
		     struct scatterlist *sg, unsigned int nents, int prot);
phys_addr_t iommu_iova_to_phys(struct iommu_domain *domain, dma_addr_t iova);
size_t iommu_unmap(struct iommu_domain *domain, unsigned long iova,
		   size_t bytes);
size_t iommu_unmap_fast(struct iommu_domain *domain, unsigned long iova,
			size_t bytes, struct iommu_iotlb_gather *gather);
void iommu_flush_iotlb_all(struct iommu_domain *domain);
void iommu_iotlb_sync(struct iommu_domain *domain,
		      struct iommu_iotlb_gather *gather);

static inline void iommu_iotlb_gather_init(struct iommu_iotlb_gather *gather)
{
	*gather = (struct iommu_iotlb_gather) {
		.start = ULONG_MAX,
		.freelist = LIST_HEAD_INIT(gather->freelist),
	};
}

#endif
