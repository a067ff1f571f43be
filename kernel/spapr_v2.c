// SPDX-License-Identifier: GPL-2.0-only
/*
 * spapr_v2: the ioctls of container type VFIO_SPAPR_TCE_v2_IOMMU.
 *
 * Numbers and structs are <linux/vfio.h>'s; docs/uapi.md has every errno. Each
 * call checks who calls, then its argument, then does its work under
 * container->lock, where who calls is checked once more.
 */
#include <linux/err.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include "../include/uapi/linux/vfio_prereg.h"
#include "prereg.h"
#include "trace.h"

#define PREREG_MAP_FLAGS	(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

union prereg_arg {
	struct {
		__u32 argsz;
		__u32 flags;
	};
	struct vfio_iommu_spapr_tce_info		info;
	struct vfio_iommu_spapr_register_memory		memory;
	struct vfio_iommu_type1_dma_map			map;
	struct vfio_iommu_type1_dma_unmap		unmap;
	struct vfio_iommu_spapr_tce_create		create;
	struct vfio_iommu_spapr_tce_remove		remove;
};

/* Lock for a call that needs a group in the container. */
static struct prereg_container *spapr_lock(unsigned long id)
{
	struct prereg_container *container = prereg_container_lock(id);

	if (IS_ERR(container) || container->hw)
		return container;
	prereg_container_unlock(container);
	return ERR_PTR(-ENXIO);
}

static int spapr_get_info(unsigned long id, union prereg_arg *arg,
			  void __user *user)
{
	struct prereg_container *container;
	struct vfio_iommu_spapr_tce_info *info = &arg->info;
	struct prereg_hw_info hw_info;
	size_t bytes = offsetofend(struct vfio_iommu_spapr_tce_info,
				   dma32_window_size);

	container = spapr_lock(id);
	if (IS_ERR(container))
		return PTR_ERR(container);
	container->hw->ops->get_info(container->hw, &hw_info);
	prereg_container_unlock(container);

	info->flags = VFIO_IOMMU_SPAPR_INFO_DDW;
	info->dma32_window_start = hw_info.default_start;
	info->dma32_window_size = hw_info.default_bytes;
	memset(&info->ddw, 0, sizeof(info->ddw));
	info->ddw.pgsizes = hw_info.pgsizes;
	info->ddw.max_dynamic_windows_supported = hw_info.windows;
	info->ddw.levels = hw_info.levels;

	if (info->argsz >= sizeof(*info))
		bytes = sizeof(*info);
	return copy_to_user(user, info, bytes) ? -EFAULT : 0;
}

/* The range of a REGISTER or UNREGISTER. */
static int spapr_memory_range(const struct vfio_iommu_spapr_register_memory *memory)
{
	u64 end;

	if (memory->flags || !memory->size ||
	    !PAGE_ALIGNED(memory->vaddr | memory->size) ||
	    check_add_overflow(memory->vaddr, memory->size - 1, &end))
		return -EINVAL;
	return 0;
}

static int spapr_register(unsigned long id, union prereg_arg *arg,
			  void __user *user)
{
	int ret = spapr_memory_range(&arg->memory);

	if (ret)
		return ret;
	return prereg_container_register(id, arg->memory.vaddr,
					 arg->memory.size);
}

static int spapr_unregister(unsigned long id, union prereg_arg *arg,
			    void __user *user)
{
	const struct vfio_iommu_spapr_register_memory *memory = &arg->memory;

	if (memory->flags || !PAGE_ALIGNED(memory->vaddr | memory->size))
		return -EINVAL;
	return prereg_container_unregister(id, memory->vaddr, memory->size);
}

struct prereg_container *prereg_spapr_lock_to_map(unsigned long id)
{
	struct prereg_container *container = prereg_container_lock(id);
	bool may_map;

	if (IS_ERR(container))
		return container;
	may_map = container->may_map;
	if (likely(may_map && container->hw))
		return container;
	prereg_container_unlock(container);
	return ERR_PTR(may_map ? -ENXIO : -EPERM);
}

struct prereg_window *prereg_spapr_window(struct prereg_container *container,
					  u64 iova, u64 bytes, u64 vaddr)
{
	struct prereg_window *window = prereg_window_find(container, iova);

	if (!window)
		return ERR_PTR(-ENXIO);
	if ((iova | bytes | vaddr) & (BIT_ULL(window->page_shift) - 1))
		return ERR_PTR(-EINVAL);
	if (bytes && bytes - 1 > window->last - iova)
		return ERR_PTR(-ENXIO);
	return window;
}

/*
 * What changes windows changes what the owner may map, so whoever succeeds with
 * it becomes the owner, as with REGISTER. The owner is got, and tables of a
 * window are charged to it, without the lock, since that waits for mmap_lock:
 * @call returns how many pages are missing in @charged.
 */
static long spapr_window_call(unsigned long id,
			      long (*call)(struct prereg_container *container,
					   union prereg_arg *arg,
					   void __user *user,
					   unsigned long charged),
			      union prereg_arg *arg, void __user *user)
{
	struct prereg_container *container;
	struct prereg_owner *owner;
	unsigned long charged = 0;
	bool claimed = false;
	long ret;

	owner = prereg_owner_get_current();
	if (IS_ERR(owner))
		return PTR_ERR(owner);
	/* Once the container has the notifier reference, a close may put it. */
	prereg_owner_hold(owner);

	for (;;) {
		container = spapr_lock(id);
		if (IS_ERR(container)) {
			ret = PTR_ERR(container);
			break;
		}
		ret = call(container, arg, user, charged);
		if (!ret)
			claimed = prereg_container_claim(container, owner);
		prereg_container_unlock(container);
		if (ret <= 0)
			break;

		prereg_owner_owe(owner, charged);
		charged = ret;
		ret = prereg_owner_charge(owner, charged, NULL);
		if (ret == -ENOMEM)
			prereg_owner_refused(owner, charged, NULL);
		if (ret) {
			charged = 0;
			break;
		}
	}

	if (ret)
		prereg_owner_owe(owner, charged);
	/* Also what a REMOVE gave back. */
	prereg_owner_pay(owner);
	if (!claimed)
		prereg_owner_put(owner);
	prereg_owner_drop(owner);
	return ret;
}

/* Open the default window, into which the owner wants to map. */
static long spapr_window_open(struct prereg_container *container,
			      union prereg_arg *arg, void __user *user,
			      unsigned long charged)
{
	struct prereg_window *window =
		prereg_window_find(container, arg->map.iova);

	/* Gone, or another thread opened it: the caller looks again. */
	if (!window || window->open)
		return -EAGAIN;
	return prereg_window_open(container, window, charged);
}

long prereg_spapr_window_charge(unsigned long id, u64 iova)
{
	union prereg_arg arg = { .map.iova = iova };
	long ret = spapr_window_call(id, spapr_window_open, &arg, NULL);

	return ret == -EAGAIN ? 0 : ret;
}

static int spapr_map(unsigned long id, union prereg_arg *arg,
		     void __user *user)
{
	const struct vfio_iommu_type1_dma_map *map = &arg->map;
	struct prereg_container *container;
	struct prereg_window *window;
	int prot = 0;
	long ret;

	if (map->flags & VFIO_DMA_MAP_FLAG_READ)
		prot |= IOMMU_READ;
	if (map->flags & VFIO_DMA_MAP_FLAG_WRITE)
		prot |= IOMMU_WRITE;

	for (;;) {
		container = prereg_spapr_lock_to_map(id);
		if (IS_ERR(container))
			return PTR_ERR(container);
		if (map->flags & ~PREREG_MAP_FLAGS || !prot || !map->size)
			window = ERR_PTR(-EINVAL);
		else
			window = prereg_spapr_window(container, map->iova,
						     map->size, map->vaddr);
		if (IS_ERR(window)) {
			ret = PTR_ERR(window);
			break;
		}
		ret = prereg_iova_map(container, window, map->iova, map->size,
				      map->vaddr, prot);
		if (ret <= 0)
			break;

		/* Its tables are to be charged first. */
		prereg_container_unlock(container);
		ret = prereg_spapr_window_charge(id, map->iova);
		if (ret)
			return ret;
	}
	prereg_container_unlock(container);
	return ret;
}

static int spapr_unmap(unsigned long id, union prereg_arg *arg,
		       void __user *user)
{
	const struct vfio_iommu_type1_dma_unmap *unmap = &arg->unmap;
	struct prereg_container *container;
	struct prereg_window *window;
	int ret = -EINVAL;

	container = prereg_spapr_lock_to_map(id);
	if (IS_ERR(container))
		return PTR_ERR(container);
	if (!unmap->flags) {
		window = prereg_spapr_window(container, unmap->iova,
					     unmap->size, 0);
		ret = PTR_ERR_OR_ZERO(window);
	}
	if (!ret && unmap->size)
		ret = prereg_iova_unmap(container, unmap->iova, unmap->size);
	prereg_container_unlock(container);
	return ret;
}

static long spapr_window_create(struct prereg_container *container,
				union prereg_arg *arg, void __user *user,
				unsigned long charged)
{
	long ret;

	ret = prereg_window_create(container, arg->create.page_shift,
				   arg->create.window_size, arg->create.levels,
				   charged, &arg->create.start_addr);
	if (ret)
		return ret;

	/* The answer is part of the call; a fault must not be waited for here. */
	pagefault_disable();
	if (__copy_to_user_inatomic(user, &arg->create, sizeof(arg->create)))
		ret = -EAGAIN;
	pagefault_enable();
	if (ret) {
		/* The caller returns the charge: there may be no owner here. */
		prereg_window_find(container,
				   arg->create.start_addr)->pages = 0;
		prereg_window_remove(container, arg->create.start_addr);
	}
	return ret;
}

static long spapr_window_remove(struct prereg_container *container,
				union prereg_arg *arg, void __user *user,
				unsigned long charged)
{
	return prereg_window_remove(container, arg->remove.start_addr);
}

static int spapr_create(unsigned long id, union prereg_arg *arg,
			void __user *user)
{
	long ret;

	if (arg->flags)
		return -EINVAL;

	do {
		/* Is there room for the answer? Also faults it in. */
		if (copy_to_user(user, &arg->create, sizeof(arg->create)))
			return -EFAULT;
		ret = spapr_window_call(id, spapr_window_create, arg, user);
	} while (ret == -EAGAIN && !fatal_signal_pending(current));
	return ret == -EAGAIN ? -EINTR : ret;
}

static int spapr_remove(unsigned long id, union prereg_arg *arg,
			void __user *user)
{
	if (arg->flags)
		return -EINVAL;
	return spapr_window_call(id, spapr_window_remove, arg, user);
}

/* Error recovery of the groups' slots; only where the hw knows of it. */
static long spapr_eeh_pe_op(unsigned long id, void __user *user)
{
	struct prereg_container *container;
	struct vfio_eeh_pe_op op;
	bool served;
	long ret;

	container = spapr_lock(id);
	if (IS_ERR(container))
		return PTR_ERR(container);
	served = container->hw->ops->eeh_pe_op;
	prereg_container_unlock(container);
	if (!served)
		return -ENOTTY;

	if (copy_from_user(&op, user, offsetofend(struct vfio_eeh_pe_op, op)))
		return -EFAULT;
	if (op.argsz < offsetofend(struct vfio_eeh_pe_op, op) || op.flags)
		return -EINVAL;
	if (op.op == VFIO_EEH_PE_INJECT_ERR) {
		if (op.argsz < sizeof(op))
			return -EINVAL;
		if (copy_from_user(&op, user, sizeof(op)))
			return -EFAULT;
	}

	container = spapr_lock(id);
	if (IS_ERR(container))
		return PTR_ERR(container);
	ret = container->hw->ops->eeh_pe_op(container->hw, &op);
	prereg_container_unlock(container);
	return ret;
}

/*
 * Who calls, and the head of his argument. @minsz is a constant in each call, which
 * spares copy_from_user() looking at what it copies to.
 */
static __always_inline int spapr_copy_arg(unsigned long id,
					  union prereg_arg *param,
					  void __user *user, size_t minsz)
{
	if (prereg_container_is_foreign(id))
		return -EPERM;
	if (copy_from_user(param, user, minsz))
		return -EFAULT;
	return param->argsz < minsz ? -EINVAL : 0;
}

long prereg_spapr_v2_ioctl(unsigned long id, unsigned int cmd,
			   unsigned long arg)
{
	void __user *user = (void __user *)arg;
	union prereg_arg param;
	int ret;

	switch (cmd) {
	case VFIO_IOMMU_MAP_DMA:
		ret = spapr_copy_arg(id, &param, user,
				     offsetofend(typeof(param.map), size));
		param.map.vaddr = untagged_addr(param.map.vaddr);
		if (ret)
			return ret;
		ret = spapr_map(id, &param, user);
		trace_prereg_map(id, param.map.iova, param.map.vaddr,
				 param.map.size, param.map.flags, ret);
		return ret;
	case VFIO_IOMMU_UNMAP_DMA:
		ret = spapr_copy_arg(id, &param, user,
				     offsetofend(typeof(param.unmap), size));
		if (ret)
			return ret;
		ret = spapr_unmap(id, &param, user);
		trace_prereg_unmap(id, param.unmap.iova, param.unmap.size,
				   param.unmap.flags, ret);
		return ret;
	case VFIO_IOMMU_SPAPR_REGISTER_MEMORY:
		ret = spapr_copy_arg(id, &param, user,
				     offsetofend(typeof(param.memory), size));
		param.memory.vaddr = untagged_addr(param.memory.vaddr);
		return ret ? ret : spapr_register(id, &param, user);
	case VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY:
		ret = spapr_copy_arg(id, &param, user,
				     offsetofend(typeof(param.memory), size));
		param.memory.vaddr = untagged_addr(param.memory.vaddr);
		return ret ? ret : spapr_unregister(id, &param, user);
	case VFIO_IOMMU_SPAPR_TCE_GET_INFO:
		ret = spapr_copy_arg(id, &param, user,
				     offsetofend(typeof(param.info),
						 dma32_window_size));
		return ret ? ret : spapr_get_info(id, &param, user);
	case VFIO_IOMMU_SPAPR_TCE_CREATE:
		ret = spapr_copy_arg(id, &param, user,
				     offsetofend(typeof(param.create),
						 start_addr));
		return ret ? ret : spapr_create(id, &param, user);
	case VFIO_IOMMU_SPAPR_TCE_REMOVE:
		ret = spapr_copy_arg(id, &param, user,
				     offsetofend(typeof(param.remove),
						 start_addr));
		return ret ? ret : spapr_remove(id, &param, user);
	case VFIO_PREREG_BATCH:
		return prereg_batch(id, arg);
	case VFIO_EEH_PE_OP:
		return spapr_eeh_pe_op(id, user);
	default:
		return -ENOTTY;
	}
}
