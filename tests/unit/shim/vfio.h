/* SPDX-License-Identifier: GPL-2.0 */
/* What VFIO has for its parts and drivers of devices. */
#ifndef SHIM_VFIO_H
#define SHIM_VFIO_H

#include "kernel.h"

struct vfio_device;

struct vfio_device_ops {
	void	(*dma_unmap)(struct vfio_device *device, u64 iova, u64 bytes);
};

struct vfio_device {
	const struct vfio_device_ops	*ops;
	struct list_head		iommu_entry;
};

struct vfio_info_cap {
	void	*buf;
	size_t	size;
};

struct vfio_info_cap_header;

/* As in drivers/vfio/vfio_main.c; what is there is freed on an error. */
int vfio_info_add_capability(struct vfio_info_cap *caps,
			     struct vfio_info_cap_header *cap, size_t bytes);
void vfio_info_cap_shift(struct vfio_info_cap *caps, size_t offset);

#endif
