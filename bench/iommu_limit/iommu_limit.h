/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * /dev/iommu_limit: bare iommu_map() and iommu_unmap() for benchmarks.
 *
 * An open file attaches to one PCI device's IOMMU group, pins one range of the
 * caller's memory, and maps parts of it. Everything is undone when the file is
 * closed. Errors are -1 and errno, as always. Nothing is timed in here: reading
 * a virtual machine's clock may take longer than a map.
 */
#ifndef IOMMU_LIMIT_H
#define IOMMU_LIMIT_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * struct iommu_limit_range - memory of the caller
 * @vaddr: page aligned
 * @bytes: a multiple of the page size
 */
struct iommu_limit_range {
	__u64	vaddr;
	__u64	bytes;
};

/**
 * struct iommu_limit_map - map or unmap
 * @iova: first IOVA
 * @offset: first byte in the pinned memory; MAP only
 * @bytes: length
 * @step: length of the pieces to map or unmap, each by calls of its own;
 *	the same as @bytes: in one piece
 *
 * A piece is mapped with one iommu_map() for each contiguous stretch in it,
 * with MAP_SG by one iommu_map_sg() for up to 128 stretches, and unmapped with one
 * iommu_unmap().
 */
struct iommu_limit_map {
	__u64	iova;
	__u64	offset;
	__u64	bytes;
	__u64	step;
};

/* A PCI device's name, "0000:00:05.0". EBUSY: VFIO or a driver uses its group. */
struct iommu_limit_device {
	char	name[32];
};

#define IOMMU_LIMIT_ATTACH	_IOW('L', 0, struct iommu_limit_device)
/* pin_user_pages_fast() and nothing else. */
#define IOMMU_LIMIT_PIN		_IOW('L', 1, struct iommu_limit_range)
#define IOMMU_LIMIT_UNPIN	_IO('L', 2)
/* Due once after PIN: finds the contiguous stretches; returns how many, through a __u64. */
#define IOMMU_LIMIT_STRETCHES	_IOR('L', 3, __u64)
#define IOMMU_LIMIT_MAP		_IOW('L', 4, struct iommu_limit_map)
#define IOMMU_LIMIT_MAP_SG	_IOW('L', 5, struct iommu_limit_map)
#define IOMMU_LIMIT_UNMAP	_IOW('L', 6, struct iommu_limit_map)

#endif
