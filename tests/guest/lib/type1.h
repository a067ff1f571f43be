/* SPDX-License-Identifier: GPL-2.0 */
/* The calls of container types 1 and 3, with all that they answer. vfio_map() of vfio.h is one of them. */
#ifndef GUEST_TYPE1_H
#define GUEST_TYPE1_H

#include <linux/vfio.h>
#include <stddef.h>
#include <stdint.h>

#include "../../../include/uapi/linux/vfio_prereg.h"

/* Why there are no containers of these types here (POWER has none); NULL if there are. */
const char *type1_unfit(void);

/* The bytes of *@unmapped were unmapped; it may be NULL. @flags: VFIO_DMA_UNMAP_FLAG_ALL. */
int type1_unmap(int container, uint64_t iova, uint64_t bytes, unsigned int flags, uint64_t *unmapped);

/* GET_INFO's answer and its capabilities. */
union type1_info {
	struct vfio_iommu_type1_info head;
	uint8_t bytes[4096];
};

int type1_get_info(int container, union type1_info *info);
/* The capability VFIO_IOMMU_TYPE1_INFO_*, NULL if there is none. */
const void *type1_info_cap(const union type1_info *info, unsigned int id);
/* How many more mappings the container takes; -errno. */
long long type1_dma_avail(int container);

/* A bit for each page of @pgsize bytes goes to @bits, which are @bits_bytes long. */
struct type1_bitmap {
	uint64_t pgsize;
	void *bits;
	uint64_t bits_bytes;
};

/* VFIO_IOMMU_DIRTY_PAGES: START or STOP, GET_BITMAP. */
int type1_dirty(int container, unsigned int flags);
int type1_dirty_bitmap(int container, uint64_t iova, uint64_t bytes, const struct type1_bitmap *bitmap);
/* What vfio_prereg has besides: VFIO_PREREG_KEEP and VFIO_PREREG_GET_INFO. */
int type1_keep(int container, uint64_t bytes);
int type1_prereg_info(int container, struct vfio_prereg_info *info);

/* UNMAP that tells which pages were dirty. */
int type1_unmap_dirty(int container, uint64_t iova, uint64_t bytes, const struct type1_bitmap *bitmap, uint64_t *unmapped);

#endif
