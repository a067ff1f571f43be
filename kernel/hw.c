// SPDX-License-Identifier: GPL-2.0-only
/*
 * hw: which kind of IOMMU entries a container has, by its first group.
 */
#include "prereg.h"

static struct prereg_hw *hw_create(struct iommu_group *group)
{
	struct prereg_hw *hw = prereg_hw_tce_create(group);

	return hw ? hw : prereg_hw_domain_create();
}

int prereg_hw_attach(struct prereg_container *container,
		     struct iommu_group *group)
{
	bool first = !container->hw;
	struct prereg_hw *hw;
	int ret;

	lockdep_assert_held(&container->lock);

	if (first) {
		hw = hw_create(group);
		if (IS_ERR(hw))
			return PTR_ERR(hw);
		container->hw = hw;
	}
	ret = container->hw->ops->attach(container, group);
	if (!first)
		return ret;
	if (ret) {
		container->hw->ops->free(container->hw);
		container->hw = NULL;
	} else {
		prereg_container_hw_came(container);
	}
	return ret;
}

/*
 * VFIO holds its container's group_lock for writing. Nobody else attaches or
 * detaches; calls and release() wait for container->lock, and find no hw then
 * and nothing mapped.
 */
void prereg_hw_detach(struct prereg_container *container,
		      struct iommu_group *group)
{
	struct prereg_hw *hw = container->hw;

	lockdep_assert_held(&container->lock);

	if (!hw || hw->ops->detach(container, group))
		return;
	container->hw = NULL;
	hw->ops->free(hw);
}
