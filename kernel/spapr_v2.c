// SPDX-License-Identifier: GPL-2.0-only
/*
 * spapr_v2: the ioctls of container type VFIO_SPAPR_TCE_v2_IOMMU.
 *
 * Numbers and structs are <linux/vfio.h>'s; docs/uapi.md has every errno. Each
 * call checks who calls, then its argument, then does its work under
 * container->lock, where who calls is checked once more.
 */
#include <linux/iommu.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include "prereg.h"

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

static int spapr_get_info(struct prereg_container *container,
			  union prereg_arg *arg, void __user *user)
{
	struct vfio_iommu_spapr_tce_info *info = &arg->info;
	size_t bytes = offsetofend(struct vfio_iommu_spapr_tce_info,
				   dma32_window_size);
	int ret;

	ret = prereg_container_lock(container);
	if (ret)
		return ret;
	info->flags = VFIO_IOMMU_SPAPR_INFO_DDW;
	info->dma32_window_start = 0;
	info->dma32_window_size = PREREG_WINDOW_DEFAULT_BYTES;
	memset(&info->ddw, 0, sizeof(info->ddw));
	info->ddw.pgsizes = prereg_window_pgsizes(container);
	info->ddw.max_dynamic_windows_supported = PREREG_WINDOWS_MAX;
	info->ddw.levels = 1;
	prereg_container_unlock(container);

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

static int spapr_register(struct prereg_container *container,
			  union prereg_arg *arg, void __user *user)
{
	int ret = spapr_memory_range(&arg->memory);

	if (ret)
		return ret;
	return prereg_container_register(container, arg->memory.vaddr,
					 arg->memory.size);
}

static int spapr_unregister(struct prereg_container *container,
			    union prereg_arg *arg, void __user *user)
{
	const struct vfio_iommu_spapr_register_memory *memory = &arg->memory;

	if (!READ_ONCE(container->owner_mm))
		return -EPERM;
	if (memory->flags || !PAGE_ALIGNED(memory->vaddr | memory->size))
		return -EINVAL;
	/* Empty or wrapping: nothing like that is registered. */
	if (spapr_memory_range(memory))
		return -ENOENT;
	return prereg_container_unregister(container, memory->vaddr,
					   memory->size);
}

/*
 * Lock for a MAP or UNMAP of a range that must lie in one window, in whole
 * pages of it, together with the vaddr of a MAP.
 */
static int spapr_lock_window(struct prereg_container *container, u64 iova,
			     u64 bytes, u64 vaddr)
{
	struct prereg_window *window;
	u64 page_mask;
	int ret;

	ret = prereg_container_lock(container);
	if (ret)
		return ret;

	ret = -EPERM;
	if (!container->may_map)
		goto unlock;
	ret = -ENXIO;
	window = prereg_window_find(container, iova);
	if (!window)
		goto unlock;
	ret = -EINVAL;
	page_mask = BIT_ULL(window->page_shift) - 1;
	if ((iova | bytes | vaddr) & page_mask)
		goto unlock;
	ret = -ENXIO;
	if (bytes && bytes - 1 > window->last - iova)
		goto unlock;
	return 0;

unlock:
	prereg_container_unlock(container);
	return ret;
}

static int spapr_map(struct prereg_container *container, union prereg_arg *arg,
		     void __user *user)
{
	const struct vfio_iommu_type1_dma_map *map = &arg->map;
	int prot = 0, ret;

	if (!READ_ONCE(container->may_map))
		return -EPERM;
	if (map->flags & ~PREREG_MAP_FLAGS || !map->flags || !map->size)
		return -EINVAL;
	if (map->flags & VFIO_DMA_MAP_FLAG_READ)
		prot |= IOMMU_READ;
	if (map->flags & VFIO_DMA_MAP_FLAG_WRITE)
		prot |= IOMMU_WRITE;

	ret = spapr_lock_window(container, map->iova, map->size, map->vaddr);
	if (ret)
		return ret;
	ret = prereg_iova_map(container, map->iova, map->size, map->vaddr,
			      prot);
	prereg_container_unlock(container);
	return ret;
}

static int spapr_unmap(struct prereg_container *container,
		       union prereg_arg *arg, void __user *user)
{
	const struct vfio_iommu_type1_dma_unmap *unmap = &arg->unmap;
	int ret;

	if (!READ_ONCE(container->may_map))
		return -EPERM;
	if (unmap->flags)
		return -EINVAL;

	ret = spapr_lock_window(container, unmap->iova, unmap->size, 0);
	if (ret)
		return ret;
	if (unmap->size)
		ret = prereg_iova_unmap(container, unmap->iova, unmap->size);
	prereg_container_unlock(container);
	return ret;
}

/*
 * CREATE and REMOVE change what the owner may map, so whoever succeeds with one
 * becomes the owner, as with REGISTER. The owner is got before the lock, since
 * that takes mmap_lock.
 */
static int spapr_window_call(struct prereg_container *container,
			     int (*call)(struct prereg_container *container,
					 union prereg_arg *arg,
					 void __user *user),
			     union prereg_arg *arg, void __user *user)
{
	struct prereg_owner *owner;
	bool claimed = false;
	int ret;

	owner = prereg_owner_get_current();
	if (IS_ERR(owner))
		return PTR_ERR(owner);

	ret = prereg_container_lock(container);
	if (ret)
		goto put_owner;
	ret = -ENXIO;
	if (prereg_hw_attached(&container->hw))
		ret = call(container, arg, user);
	if (!ret)
		claimed = prereg_container_claim(container, owner);
	prereg_container_unlock(container);

put_owner:
	if (!claimed)
		prereg_owner_put(owner);
	return ret;
}

static int spapr_window_create(struct prereg_container *container,
			       union prereg_arg *arg, void __user *user)
{
	int ret;

	ret = prereg_window_create(container, arg->create.page_shift,
				   arg->create.window_size,
				   &arg->create.start_addr);
	if (ret)
		return ret;

	/* The answer is part of the call; a fault must not be waited for here. */
	pagefault_disable();
	if (__copy_to_user_inatomic(user, &arg->create, sizeof(arg->create)))
		ret = -EAGAIN;
	pagefault_enable();
	if (ret)
		prereg_window_remove(container, arg->create.start_addr);
	return ret;
}

static int spapr_window_remove(struct prereg_container *container,
			       union prereg_arg *arg, void __user *user)
{
	return prereg_window_remove(container, arg->remove.start_addr);
}

static int spapr_create(struct prereg_container *container,
			union prereg_arg *arg, void __user *user)
{
	int ret;

	if (arg->flags || arg->create.levels != 1)
		return -EINVAL;

	do {
		/* Is there room for the answer? Also faults it in. */
		if (copy_to_user(user, &arg->create, sizeof(arg->create)))
			return -EFAULT;
		ret = spapr_window_call(container, spapr_window_create, arg,
					user);
	} while (ret == -EAGAIN && !fatal_signal_pending(current));
	return ret == -EAGAIN ? -EINTR : ret;
}

static int spapr_remove(struct prereg_container *container,
			union prereg_arg *arg, void __user *user)
{
	if (arg->flags)
		return -EINVAL;
	return spapr_window_call(container, spapr_window_remove, arg, user);
}

static const struct prereg_call {
	unsigned int	cmd;
	size_t		minsz;
	int		(*call)(struct prereg_container *container,
				union prereg_arg *arg, void __user *user);
} prereg_calls[] = {
#define PREREG_CALL(_cmd, _call, _struct, _last)			\
	{ .cmd = (_cmd), .call = (_call),				\
	  .minsz = offsetofend(struct _struct, _last) }
	PREREG_CALL(VFIO_IOMMU_SPAPR_TCE_GET_INFO, spapr_get_info,
		    vfio_iommu_spapr_tce_info, dma32_window_size),
	PREREG_CALL(VFIO_IOMMU_MAP_DMA, spapr_map,
		    vfio_iommu_type1_dma_map, size),
	PREREG_CALL(VFIO_IOMMU_UNMAP_DMA, spapr_unmap,
		    vfio_iommu_type1_dma_unmap, size),
	PREREG_CALL(VFIO_IOMMU_SPAPR_REGISTER_MEMORY, spapr_register,
		    vfio_iommu_spapr_register_memory, size),
	PREREG_CALL(VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, spapr_unregister,
		    vfio_iommu_spapr_register_memory, size),
	PREREG_CALL(VFIO_IOMMU_SPAPR_TCE_CREATE, spapr_create,
		    vfio_iommu_spapr_tce_create, start_addr),
	PREREG_CALL(VFIO_IOMMU_SPAPR_TCE_REMOVE, spapr_remove,
		    vfio_iommu_spapr_tce_remove, start_addr),
};

long prereg_spapr_v2_ioctl(struct prereg_container *container,
			   unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;
	const struct prereg_call *call = NULL;
	union prereg_arg param;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(prereg_calls); i++)
		if (prereg_calls[i].cmd == cmd)
			call = &prereg_calls[i];
	if (!call)
		return -ENOTTY;

	if (prereg_container_is_foreign(container))
		return -EPERM;
	if (copy_from_user(&param, user, call->minsz))
		return -EFAULT;
	if (param.argsz < call->minsz)
		return -EINVAL;
	return call->call(container, &param, user);
}
