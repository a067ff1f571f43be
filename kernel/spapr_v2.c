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

static int spapr_get_info(unsigned long id, union prereg_arg *arg,
			  void __user *user)
{
	struct prereg_container *container;
	struct vfio_iommu_spapr_tce_info *info = &arg->info;
	size_t bytes = offsetofend(struct vfio_iommu_spapr_tce_info,
				   dma32_window_size);

	container = prereg_container_lock(id);
	if (IS_ERR(container))
		return PTR_ERR(container);
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

/* Lock for a MAP or UNMAP, which need an owner that registered something. */
static struct prereg_container *spapr_lock_to_map(unsigned long id)
{
	struct prereg_container *container = prereg_container_lock(id);

	if (IS_ERR(container) || container->may_map)
		return container;
	prereg_container_unlock(container);
	return ERR_PTR(-EPERM);
}

/*
 * Does the range lie in one window, in whole pages of it? So must the vaddr of
 * a MAP.
 */
static int spapr_check_window(struct prereg_container *container, u64 iova,
			      u64 bytes, u64 vaddr)
{
	const struct prereg_window *window =
		prereg_window_find(container, iova);

	if (!window)
		return -ENXIO;
	if ((iova | bytes | vaddr) & (BIT_ULL(window->page_shift) - 1))
		return -EINVAL;
	if (bytes && bytes - 1 > window->last - iova)
		return -ENXIO;
	return 0;
}

static int spapr_map(unsigned long id, union prereg_arg *arg,
		     void __user *user)
{
	const struct vfio_iommu_type1_dma_map *map = &arg->map;
	struct prereg_container *container;
	int prot = 0, ret;

	if (map->flags & VFIO_DMA_MAP_FLAG_READ)
		prot |= IOMMU_READ;
	if (map->flags & VFIO_DMA_MAP_FLAG_WRITE)
		prot |= IOMMU_WRITE;

	container = spapr_lock_to_map(id);
	if (IS_ERR(container))
		return PTR_ERR(container);
	ret = -EINVAL;
	if (map->flags & ~PREREG_MAP_FLAGS || !prot || !map->size)
		goto unlock;
	ret = spapr_check_window(container, map->iova, map->size, map->vaddr);
	if (!ret)
		ret = prereg_iova_map(container, map->iova, map->size,
				      map->vaddr, prot);
unlock:
	prereg_container_unlock(container);
	return ret;
}

static int spapr_unmap(unsigned long id, union prereg_arg *arg,
		       void __user *user)
{
	const struct vfio_iommu_type1_dma_unmap *unmap = &arg->unmap;
	struct prereg_container *container;
	int ret;

	container = spapr_lock_to_map(id);
	if (IS_ERR(container))
		return PTR_ERR(container);
	ret = -EINVAL;
	if (unmap->flags)
		goto unlock;
	ret = spapr_check_window(container, unmap->iova, unmap->size, 0);
	if (!ret && unmap->size)
		ret = prereg_iova_unmap(container, unmap->iova, unmap->size);
unlock:
	prereg_container_unlock(container);
	return ret;
}

/*
 * CREATE and REMOVE change what the owner may map, so whoever succeeds with one
 * becomes the owner, as with REGISTER. The owner is got before the lock, since
 * that takes mmap_lock.
 */
static int spapr_window_call(unsigned long id,
			     int (*call)(struct prereg_container *container,
					 union prereg_arg *arg,
					 void __user *user),
			     union prereg_arg *arg, void __user *user)
{
	struct prereg_container *container;
	struct prereg_owner *owner;
	bool claimed = false;
	int ret;

	owner = prereg_owner_get_current();
	if (IS_ERR(owner))
		return PTR_ERR(owner);

	container = prereg_container_lock(id);
	if (IS_ERR(container)) {
		ret = PTR_ERR(container);
		goto put_owner;
	}
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

static int spapr_create(unsigned long id, union prereg_arg *arg,
			void __user *user)
{
	int ret;

	if (arg->flags || arg->create.levels != 1)
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

static const struct prereg_call {
	unsigned int	cmd;
	size_t		minsz;
	int		(*call)(unsigned long id, union prereg_arg *arg,
				void __user *user);
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

long prereg_spapr_v2_ioctl(unsigned long id, unsigned int cmd,
			   unsigned long arg)
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

	if (prereg_container_is_foreign(id))
		return -EPERM;
	if (copy_from_user(&param, user, call->minsz))
		return -EFAULT;
	if (param.argsz < call->minsz)
		return -EINVAL;
	return call->call(id, &param, user);
}
