// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfio_prereg: module init and exit, and what VFIO calls.
 */
#include <linux/err.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vfio.h>

#include "../include/uapi/linux/vfio_prereg.h"
#include "compat/vfio_driver.h"
#include "prereg.h"

/* Calls under way, summed over CPUs; see prereg_exit(). */
static DEFINE_PER_CPU(long, prereg_calls);

static bool prereg_serve_type1 = true;
module_param_named(type1, prereg_serve_type1, bool, 0644);
MODULE_PARM_DESC(type1,
		 "Serve new containers of types 1 and 3 too. With N they are for vfio_iommu_type1, which can be loaded beside this; else whichever was loaded last serves them. Default Y");

static bool prereg_serves_type1(void)
{
	return prereg_hw_serves_type1() && READ_ONCE(prereg_serve_type1);
}

/* What VFIO knows of a container is its id, see container.c. */
static void *prereg_vfio_open(unsigned long type)
{
	struct prereg_type1 *type1 = NULL;
	unsigned long id;

	switch (type) {
	case VFIO_SPAPR_TCE_v2_IOMMU:
		break;
	case VFIO_TYPE1_IOMMU:
	case VFIO_TYPE1v2_IOMMU:
		if (!prereg_serves_type1())
			return ERR_PTR(-EINVAL);
		type1 = prereg_type1_alloc(type == VFIO_TYPE1v2_IOMMU);
		if (!type1)
			return ERR_PTR(-ENOMEM);
		break;
	default:
		return ERR_PTR(-EINVAL);
	}
	id = prereg_container_create(type1);
	if (!id)
		kfree(type1);
	return id ? (void *)id : ERR_PTR(-ENOMEM);
}

static void prereg_vfio_release(void *iommu_data)
{
	prereg_container_destroy((unsigned long)iommu_data);
}

/* What of <linux/vfio_prereg.h> there is for containers of types 1 and 3, and of type 7. */
static long prereg_extensions(bool type1, bool spapr_v2)
{
	return VFIO_PREREG_HAS_INFO | (type1 ? VFIO_PREREG_HAS_KEEP : 0) |
	       (spapr_v2 ? VFIO_PREREG_HAS_BATCH : 0);
}

/* Before SET_IOMMU VFIO asks every backend: what could a container be? */
static long prereg_vfio_check_offer(unsigned long extension)
{
	long ret;

	if (extension == VFIO_SPAPR_TCE_v2_IOMMU)
		return 1;
	if (extension == VFIO_PREREG_EXTENSION)
		return prereg_extensions(prereg_serves_type1(), true);
	ret = prereg_hw_check_extension(extension);
	if (!ret && prereg_serves_type1())
		ret = prereg_type1_check_extension(extension);
	return ret;
}

/* VFIO holds the container. */
static long prereg_vfio_check_extension(unsigned long id,
					unsigned long extension)
{
	struct prereg_container *container = prereg_container_lock_held(id);
	const struct prereg_hw *hw = container->hw;
	long ret;

	/* KVM asks through the group, whoever owns the container. */
	if (extension == VFIO_DMA_CC_IOMMU)
		ret = hw ? hw->ops->coherent(hw) : !!container->type1;
	else if (extension == VFIO_PREREG_EXTENSION)
		ret = prereg_extensions(container->type1, !container->type1);
	else if (container->type1)
		ret = prereg_type1_check_extension(extension);
	else if (extension == VFIO_SPAPR_TCE_v2_IOMMU)
		ret = 1;
	else
		ret = prereg_hw_check_extension(extension);
	prereg_container_unlock(container);
	return ret;
}

static long prereg_vfio_ioctl(void *iommu_data, unsigned int cmd,
			      unsigned long arg)
{
	unsigned long id = (unsigned long)iommu_data;
	long ret;

	if (cmd == VFIO_CHECK_EXTENSION)
		return id ? prereg_vfio_check_extension(id, arg) :
			    prereg_vfio_check_offer(arg);

	/* 0 where VFIO took the data away between its two reads. */
	if (!id)
		return -ENODEV;
	this_cpu_inc(prereg_calls);
	if (cmd == VFIO_PREREG_GET_INFO)
		ret = prereg_get_info(id, arg);
	else if (prereg_container_is_type1(id))
		ret = prereg_type1_ioctl(id, cmd, arg);
	else
		ret = prereg_spapr_v2_ioctl(id, cmd, arg);
	this_cpu_dec(prereg_calls);
	if (unlikely(ret < 0))
		prereg_refused_add(ret);
	return ret;
}

static int prereg_vfio_attach_group(void *iommu_data,
				    struct iommu_group *group,
				    enum vfio_group_type type)
{
	unsigned long id = (unsigned long)iommu_data;
	struct prereg_container *container;
	int ret;

	if (prereg_container_is_type1(id) && type != VFIO_NO_IOMMU)
		return prereg_type1_attach(id, group,
					   type == VFIO_EMULATED_IOMMU);
	/* There is no IOMMU behind which registered memory could be mapped. */
	if (type != VFIO_IOMMU)
		return -EINVAL;

	for (;;) {
		container = prereg_container_lock_held(id);
		ret = prereg_hw_attach(container, group);
		prereg_container_unlock(container);
		if (ret != -EAGAIN)
			return ret;
		/* An owner is dying: its release() goes first, which may take a while. */
		if (fatal_signal_pending(current))
			return -EINTR;
		schedule_timeout_uninterruptible(1);
	}
}

static void prereg_vfio_detach_group(void *iommu_data,
				     struct iommu_group *group)
{
	unsigned long id = (unsigned long)iommu_data;
	struct prereg_container *container;

	if (prereg_container_is_type1(id)) {
		prereg_type1_detach(id, group);
		return;
	}
	container = prereg_container_lock_held(id);
	prereg_hw_detach(container, group);
	prereg_container_unlock(container);
}

static const struct vfio_iommu_driver_ops prereg_vfio_ops = {
	.name		= "vfio-prereg",
	.owner		= THIS_MODULE,
	.open		= prereg_vfio_open,
	.release	= prereg_vfio_release,
	.ioctl		= prereg_vfio_ioctl,
	.attach_group	= prereg_vfio_attach_group,
	.detach_group	= prereg_vfio_detach_group,
	.pin_pages	= prereg_emulated_pin_pages,
	.unpin_pages	= prereg_emulated_unpin_pages,
	.register_device	= prereg_emulated_register_device,
	.unregister_device	= prereg_emulated_unregister_device,
	.dma_rw		= prereg_emulated_dma_rw,
};

static int __init prereg_init(void)
{
	int ret;

	ret = prereg_vfio_layout_check();
	if (ret)
		return ret;
	ret = prereg_region_init();
	if (ret)
		return ret;
	ret = prereg_mapping_init();
	if (ret)
		goto exit_region;
	ret = prereg_dma_init();
	if (ret)
		goto exit_mapping;
	ret = prereg_kept_init();
	if (ret)
		goto exit_dma;
	ret = prereg_owners_init();
	if (ret)
		goto exit_kept;
	ret = prereg_events_init();
	if (ret)
		goto exit_owners;
	prereg_stats_init();
	ret = vfio_register_iommu_driver(&prereg_vfio_ops);
	if (ret)
		goto exit_stats;
	prereg_netlink_init();
	return 0;

exit_stats:
	prereg_stats_exit();
	prereg_events_exit();
exit_owners:
	prereg_owners_exit();
exit_kept:
	prereg_kept_exit();
exit_dma:
	prereg_dma_exit();
exit_mapping:
	prereg_mapping_exit();
exit_region:
	prereg_region_exit();
	return ret;
}

static void prereg_calls_wait(void)
{
	long calls;
	int cpu;

	for (;;) {
		calls = 0;
		for_each_possible_cpu(cpu)
			calls += READ_ONCE(*per_cpu_ptr(&prereg_calls, cpu));
		if (!calls)
			return;
		schedule_timeout_uninterruptible(1);
	}
}

/*
 * No container uses us: VFIO holds a module reference for each. But a thread may
 * have read a container's driver from VFIO before the last group was
 * detached and be about to call our ioctl(), with neither lock nor reference
 * (see container.c). So, while VFIO still knows us: let every thread that is on the
 * way in arrive (it has not slept since), wait until those inside are done
 * (none is added any more), and let them get out of our text. A call in the
 * middle of pinning makes this wait; the alternative is to unload it from under
 * the call.
 */
static void __exit prereg_exit(void)
{
	synchronize_rcu_tasks();
	prereg_calls_wait();
	vfio_unregister_iommu_driver(&prereg_vfio_ops);
	/* Freed by SRCU callbacks and, late, by work items. */
	prereg_owners_exit();
	synchronize_rcu_tasks();
	prereg_stats_exit();
	prereg_events_exit();
	prereg_netlink_exit();
	prereg_containers_free();
	prereg_kept_exit();
	prereg_dma_exit();
	prereg_mapping_exit();
	prereg_region_exit();
}

module_init(prereg_init);
module_exit(prereg_exit);
MODULE_DESCRIPTION("VFIO container backend that pins memory once per mm and gives it back at its last mmput()");
MODULE_LICENSE("GPL");
MODULE_VERSION(PREREG_VERSION);
