// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfio_prereg: module init and exit, and what VFIO calls.
 */
#include <linux/err.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/vfio.h>

#include "compat/vfio_driver.h"
#include "prereg.h"

static void *prereg_vfio_open(unsigned long type)
{
	struct prereg_container *container;

	if (type != VFIO_SPAPR_TCE_v2_IOMMU)
		return ERR_PTR(-EINVAL);
	container = prereg_container_create();
	if (IS_ERR(container))
		return container;
	return (void *)container->id;
}

/* VFIO gives back what open() returned, see container.c. */
static struct prereg_container *prereg_vfio_container(void *iommu_data)
{
	return prereg_container_get((unsigned long)iommu_data);
}

static void prereg_vfio_release(void *iommu_data)
{
	struct prereg_container *container = prereg_vfio_container(iommu_data);

	if (WARN_ON(!container))
		return;
	prereg_container_destroy(container);
	prereg_container_put(container);
}

static long prereg_vfio_check_extension(struct prereg_container *container,
					unsigned long arg)
{
	long ret = 0;

	switch (arg) {
	case VFIO_SPAPR_TCE_v2_IOMMU:
		return 1;
	case VFIO_DMA_CC_IOMMU:
		/* KVM asks this through the group, whoever the caller is. */
		if (container) {
			mutex_lock(&container->lock);
			ret = prereg_hw_coherent(&container->hw);
			mutex_unlock(&container->lock);
		}
		return ret;
	default:
		return 0;
	}
}

static long prereg_vfio_ioctl(void *iommu_data, unsigned int cmd,
			      unsigned long arg)
{
	struct prereg_container *container;
	long ret;

	/* Before SET_IOMMU VFIO asks every backend. */
	if (!iommu_data && cmd == VFIO_CHECK_EXTENSION)
		return prereg_vfio_check_extension(NULL, arg);

	/* NULL where VFIO took the data away between its two reads. */
	container = prereg_vfio_container(iommu_data);
	if (!container)
		return -ENODEV;
	if (cmd == VFIO_CHECK_EXTENSION)
		ret = prereg_vfio_check_extension(container, arg);
	else
		ret = prereg_spapr_v2_ioctl(container, cmd, arg);
	prereg_container_put(container);
	return ret;
}

static int prereg_vfio_attach_group(void *iommu_data,
				    struct iommu_group *group,
				    enum vfio_group_type type)
{
	struct prereg_container *container;
	int ret;

	/* A mediated device has no IOMMU behind which memory could be mapped. */
	if (type != VFIO_IOMMU)
		return -EINVAL;

	container = prereg_vfio_container(iommu_data);
	if (WARN_ON(!container))
		return -ENODEV;
	do {
		mutex_lock(&container->lock);
		ret = prereg_hw_attach(container, group);
		mutex_unlock(&container->lock);
		/* -EAGAIN: let the owner's release() have the lock first. */
		cond_resched();
	} while (ret == -EAGAIN);
	prereg_container_put(container);
	return ret;
}

static void prereg_vfio_detach_group(void *iommu_data,
				     struct iommu_group *group)
{
	struct prereg_container *container = prereg_vfio_container(iommu_data);

	if (WARN_ON(!container))
		return;
	mutex_lock(&container->lock);
	prereg_hw_detach(container, group);
	mutex_unlock(&container->lock);
	prereg_container_put(container);
}

static const struct vfio_iommu_driver_ops prereg_vfio_ops = {
	.name		= "vfio-prereg",
	.owner		= THIS_MODULE,
	.open		= prereg_vfio_open,
	.release	= prereg_vfio_release,
	.ioctl		= prereg_vfio_ioctl,
	.attach_group	= prereg_vfio_attach_group,
	.detach_group	= prereg_vfio_detach_group,
};

static int __init prereg_init(void)
{
	int ret;

	ret = prereg_vfio_layout_check();
	if (ret)
		return ret;
	ret = prereg_mapping_init();
	if (ret)
		return ret;
	prereg_stats_init();
	ret = vfio_register_iommu_driver(&prereg_vfio_ops);
	if (ret)
		goto exit_stats;
	return 0;

exit_stats:
	prereg_stats_exit();
	prereg_mapping_exit();
	return ret;
}

/*
 * No container uses us: VFIO holds a module reference for each. But a thread may
 * have read a container's driver from VFIO before the last group was
 * detached and be about to call our ioctl(), with neither lock nor reference
 * (see container.c). So, while VFIO still knows us: let every thread that is on the
 * way in arrive (it has not slept since), wait until those inside dropped
 * their container, and let them get out of our text. A call in the middle of
 * pinning makes this wait; the alternative is to unload it from under the call.
 */
static void __exit prereg_exit(void)
{
	synchronize_rcu_tasks();
	prereg_containers_wait();
	vfio_unregister_iommu_driver(&prereg_vfio_ops);
	/* Freed by SRCU callbacks and, late, by work items. */
	prereg_owners_wait();
	synchronize_rcu_tasks();
	prereg_stats_exit();
	prereg_mapping_exit();
}

module_init(prereg_init);
module_exit(prereg_exit);
MODULE_DESCRIPTION("VFIO container backend that pins memory once per mm and gives it back at its last mmput()");
MODULE_LICENSE("GPL");
MODULE_VERSION(PREREG_VERSION);
