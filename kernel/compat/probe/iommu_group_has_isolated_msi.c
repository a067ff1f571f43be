// SPDX-License-Identifier: GPL-2.0-only
/* Can a group be asked whether its interrupts are isolated? */
#include <linux/iommu.h>

bool probe(struct iommu_group *group)
{
#ifdef PREREG_PROBE_QUESTION
	return iommu_group_has_isolated_msi(group);
#else
	return iommu_group_id(group);
#endif
}
