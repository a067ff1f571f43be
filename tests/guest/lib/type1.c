// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "type1.h"
#include "vfio.h"

const char *type1_unfit(void)
{
	const int container = vfio_container_open();
	const int offered = vfio_check_extension(container, VFIO_TYPE1v2_IOMMU);

	close(container);
	return offered == 0 ? "types 1 and 3 are not for this IOMMU" : NULL;
}

int type1_unmap(int container, uint64_t iova, uint64_t bytes, unsigned int flags, uint64_t *unmapped)
{
	struct vfio_iommu_type1_dma_unmap arg = { .argsz = sizeof(arg), .flags = flags, .iova = iova, .size = bytes };
	int ret = vfio_ioctl(container, VFIO_IOMMU_UNMAP_DMA, &arg);

	if (unmapped)
		*unmapped = arg.size;
	return ret;
}

int type1_get_info(int container, union type1_info *info)
{
	memset(info, 0, sizeof(*info));
	info->head.argsz = sizeof(*info);
	return vfio_ioctl(container, VFIO_IOMMU_GET_INFO, info);
}

const void *type1_info_cap(const union type1_info *info, unsigned int id)
{
	const struct vfio_info_cap_header *cap;
	uint32_t at;

	for (at = info->head.flags & VFIO_IOMMU_INFO_CAPS ? info->head.cap_offset : 0;
	     at && at <= sizeof(*info) - sizeof(*cap); at = cap->next) {
		cap = (const void *)(info->bytes + at);
		if (cap->id == id)
			return cap;
	}
	return NULL;
}

long long type1_dma_avail(int container)
{
	const struct vfio_iommu_type1_info_dma_avail *cap;
	union type1_info info;
	int ret = type1_get_info(container, &info);

	if (ret)
		return ret;
	cap = type1_info_cap(&info, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL);
	return cap ? (long long)cap->avail : -ENOENT;
}

int type1_dirty(int container, unsigned int flags)
{
	const struct vfio_iommu_type1_dirty_bitmap arg = { .argsz = sizeof(arg), .flags = flags };

	return vfio_ioctl(container, VFIO_IOMMU_DIRTY_PAGES, &arg);
}

static struct vfio_bitmap user_bitmap(const struct type1_bitmap *bitmap)
{
	return (struct vfio_bitmap){ .pgsize = bitmap->pgsize, .size = bitmap->bits_bytes, .data = bitmap->bits };
}

int type1_dirty_bitmap(int container, uint64_t iova, uint64_t bytes, const struct type1_bitmap *bitmap)
{
	struct {
		struct vfio_iommu_type1_dirty_bitmap head;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} arg = {
		.head = { .argsz = sizeof(arg), .flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP },
		.get = { .iova = iova, .size = bytes, .bitmap = user_bitmap(bitmap) },
	};

	return vfio_ioctl(container, VFIO_IOMMU_DIRTY_PAGES, &arg);
}

int type1_unmap_dirty(int container, uint64_t iova, uint64_t bytes, const struct type1_bitmap *bitmap, uint64_t *unmapped)
{
	struct {
		struct vfio_iommu_type1_dma_unmap head;
		struct vfio_bitmap bitmap;
	} arg = {
		.head = { .argsz = sizeof(arg), .flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, .iova = iova, .size = bytes },
		.bitmap = user_bitmap(bitmap),
	};
	int ret = vfio_ioctl(container, VFIO_IOMMU_UNMAP_DMA, &arg);

	if (unmapped)
		*unmapped = arg.head.size;
	return ret;
}

int type1_keep(int container, uint64_t bytes)
{
	const struct vfio_prereg_keep keep = { .argsz = sizeof(keep), .bytes = bytes };

	return vfio_ioctl(container, VFIO_PREREG_KEEP, &keep);
}

int type1_prereg_info(int container, struct vfio_prereg_info *info)
{
	memset(info, 0, sizeof(*info));
	info->argsz = sizeof(*info);
	return vfio_ioctl(container, VFIO_PREREG_GET_INFO, info);
}
