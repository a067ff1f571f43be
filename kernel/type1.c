// SPDX-License-Identifier: GPL-2.0-only
/*
 * type1: the ioctls of container types VFIO_TYPE1_IOMMU and VFIO_TYPE1v2_IOMMU.
 *
 * Numbers, structs and errors are those of the kernel's vfio_iommu_type1, which this
 * stands in for; docs/type1.md names what differs.
 */
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include "../include/uapi/linux/vfio_prereg.h"
#include "dma.h"
#include "prereg.h"
#include "trace.h"

long prereg_type1_check_extension(unsigned long extension)
{
	switch (extension) {
	case VFIO_TYPE1_IOMMU:
	case VFIO_TYPE1v2_IOMMU:
	case VFIO_UNMAP_ALL:
		return 1;
	default:
		return 0;
	}
}

static int type1_map(unsigned long id, void __user *user)
{
	struct vfio_iommu_type1_dma_map map;
	int ret, prot = 0;
	u64 last;

	if (copy_from_user(&map, user, offsetofend(typeof(map), size)))
		return -EFAULT;
	if (map.argsz < offsetofend(typeof(map), size) ||
	    map.flags & ~(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE))
		return -EINVAL;
	if (map.flags & VFIO_DMA_MAP_FLAG_READ)
		prot |= IOMMU_READ;
	if (map.flags & VFIO_DMA_MAP_FLAG_WRITE)
		prot |= IOMMU_WRITE;
	if (!map.size)
		return -EINVAL;
	map.vaddr = untagged_addr(map.vaddr);
	if (check_add_overflow(map.iova, map.size - 1, &last) ||
	    check_add_overflow(map.vaddr, map.size - 1, &last))
		return -EOVERFLOW;
	if (!prot)
		return -EINVAL;
	ret = prereg_dma_map(id, map.iova, map.size, map.vaddr, prot);
	trace_prereg_map(id, map.iova, map.vaddr, map.size, map.flags, ret);
	return ret;
}

static int type1_unmap(unsigned long id, void __user *user)
{
	const u32 known = VFIO_DMA_UNMAP_FLAG_ALL |
			  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	const size_t bytes = offsetofend(struct vfio_iommu_type1_dma_unmap,
					 size);
	struct vfio_iommu_type1_dma_unmap unmap;
	struct prereg_bitmap bitmap;
	u64 unmapped;
	bool all, get_dirty;
	int ret;

	if (copy_from_user(&unmap, user, bytes))
		return -EFAULT;
	if (unmap.argsz < bytes || unmap.flags & ~known)
		return -EINVAL;
	all = unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL;
	get_dirty = unmap.flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	if (get_dirty && (all || unmap.argsz < bytes + sizeof(bitmap.user)))
		return -EINVAL;
	if (all ? unmap.iova || unmap.size : !unmap.size)
		return -EINVAL;

	if (get_dirty) {
		ret = prereg_bitmap_get(&bitmap, user + bytes, unmap.size);
		if (ret)
			return ret;
	}

	ret = prereg_dma_unmap(id, unmap.iova, unmap.size, all,
			       get_dirty ? &bitmap : NULL, &unmapped);
	if (get_dirty)
		prereg_bitmap_put(&bitmap);
	trace_prereg_unmap(id, unmap.iova, unmap.size, unmap.flags, ret);
	if (ret)
		return ret;
	unmap.size = unmapped;
	return copy_to_user(user, &unmap, bytes) ? -EFAULT : 0;
}

/* ---- GET_INFO --------------------------------------------------------- */

/* The ranges of IOVAs that can be mapped; without an IOMMU there is no such list. */
static int info_add_iova_ranges(const struct prereg_hw *hw,
				struct vfio_info_cap *caps)
{
	struct vfio_iommu_type1_info_cap_iova_range *cap;
	u64 first, last;
	u32 n = 0, i = 0;
	int ret;

	for (first = 0; hw->ops->usable_range(hw, &first, &last);
	     first = last + 1) {
		n++;
		if (last == U64_MAX)
			break;
	}
	cap = kzalloc(struct_size(cap, iova_ranges, n), GFP_KERNEL);
	if (!cap)
		return -ENOMEM;
	cap->header.id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE;
	cap->header.version = 1;
	cap->nr_iovas = n;
	for (first = 0; i < n && hw->ops->usable_range(hw, &first, &last);
	     first = last + 1, i++) {
		cap->iova_ranges[i].start = first;
		cap->iova_ranges[i].end = last;
	}
	ret = vfio_info_add_capability(caps, &cap->header,
				       struct_size(cap, iova_ranges, n));
	kfree(cap);
	return ret;
}

static int info_add_caps(const struct prereg_container *container,
			 struct vfio_info_cap *caps)
{
	struct vfio_iommu_type1_info_cap_migration migration = {
		.header.id	= VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
		.header.version	= 1,
		.pgsize_bitmap	= PAGE_SIZE,
		.max_dirty_bitmap_size = PREREG_DIRTY_BITMAP_BYTES_MAX,
	};
	struct vfio_iommu_type1_info_dma_avail avail = {
		.header.id	= VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
		.header.version	= 1,
		.avail		= min_t(u64, prereg_type1_dma_avail(container),
					U32_MAX),
	};
	int ret;

	ret = vfio_info_add_capability(caps, &migration.header,
				       sizeof(migration));
	if (!ret)
		ret = vfio_info_add_capability(caps, &avail.header,
					       sizeof(avail));
	if (!ret && container->hw)
		ret = info_add_iova_ranges(container->hw, caps);
	return ret;
}

static int type1_get_info(unsigned long id, void __user *user)
{
	size_t bytes = offsetofend(struct vfio_iommu_type1_info, iova_pgsizes);
	const size_t with_caps = offsetofend(struct vfio_iommu_type1_info,
					     cap_offset);
	struct vfio_info_cap caps = {};
	struct prereg_container *container;
	struct vfio_iommu_type1_info info = {};
	int ret;

	if (copy_from_user(&info, user, bytes))
		return -EFAULT;
	if (info.argsz < bytes)
		return -EINVAL;
	if (info.argsz >= with_caps)
		bytes = with_caps;

	container = prereg_container_lock(id);
	if (IS_ERR(container))
		return PTR_ERR(container);
	info.iova_pgsizes = container->hw ?
			    container->hw->ops->pgsizes(container->hw) :
			    PAGE_MASK;
	ret = info_add_caps(container, &caps);
	prereg_container_unlock(container);
	if (ret) {
		kfree(caps.buf);
		return ret;
	}

	info.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	if (info.argsz < sizeof(info) + caps.size) {
		info.argsz = sizeof(info) + caps.size;
	} else {
		vfio_info_cap_shift(&caps, sizeof(info));
		if (copy_to_user(user + sizeof(info), caps.buf, caps.size))
			ret = -EFAULT;
		info.cap_offset = sizeof(info);
	}
	kfree(caps.buf);
	if (ret)
		return ret;
	return copy_to_user(user, &info, bytes) ? -EFAULT : 0;
}

static int type1_keep(unsigned long id, void __user *user)
{
	struct prereg_container *container;
	struct prereg_owner *owner = NULL;
	struct prereg_claim *claim;
	struct vfio_prereg_keep keep;
	unsigned long keep_pages;

	if (copy_from_user(&keep, user, sizeof(keep)))
		return -EFAULT;
	if (keep.argsz < sizeof(keep) || keep.flags)
		return -EINVAL;

	container = prereg_container_lock(id);
	if (IS_ERR(container))
		return PTR_ERR(container);
	keep_pages = keep.bytes >> PAGE_SHIFT;
	container->type1->keep_pages = keep_pages;
	claim = prereg_type1_claim(container);
	if (claim) {
		owner = claim->owner;
		prereg_owner_hold(owner);
	}
	prereg_container_unlock(container);

	if (owner) {
		prereg_kept_trim(owner, keep_pages);
		prereg_owner_pay(owner);
		prereg_owner_drop(owner);
	}
	return 0;
}

long prereg_type1_ioctl(unsigned long id, unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;

	switch (cmd) {
	case VFIO_IOMMU_GET_INFO:
		return type1_get_info(id, user);
	case VFIO_IOMMU_MAP_DMA:
		return type1_map(id, user);
	case VFIO_IOMMU_UNMAP_DMA:
		return type1_unmap(id, user);
	case VFIO_IOMMU_DIRTY_PAGES:
		return prereg_dirty_ioctl(id, user);
	case VFIO_PREREG_KEEP:
		return type1_keep(id, user);
	default:
		return -ENOTTY;
	}
}
