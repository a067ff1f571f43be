// SPDX-License-Identifier: GPL-2.0-only
/* Is there iommu_paging_domain_alloc(), which wants a device and returns ERR_PTR()? */
#include <linux/iommu.h>

struct iommu_domain *probe(struct device *dev)
{
#ifdef PREREG_PROBE_QUESTION
	return iommu_paging_domain_alloc(dev);
#else
	return iommu_get_domain_for_dev(dev);
#endif
}
