// SPDX-License-Identifier: GPL-2.0-only
/* Do iommu_map() and iommu_map_sg() take a gfp? */
#include <linux/iommu.h>

int probe(struct iommu_domain *domain)
{
#ifdef PREREG_PROBE_QUESTION
	return iommu_map(domain, 0, 0, 0, 0, GFP_KERNEL) +
	       iommu_map_sg(domain, 0, NULL, 0, 0, GFP_KERNEL);
#else
	return iommu_unmap(domain, 0, 0);
#endif
}
