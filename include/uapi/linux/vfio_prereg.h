/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What vfio_prereg adds to <linux/vfio.h>: ioctls on a container. docs/uapi.md has every
 * errno. All are size first (argsz); flags and reserved must be 0.
 */
#ifndef _UAPI_LINUX_VFIO_PREREG_H
#define _UAPI_LINUX_VFIO_PREREG_H

#include <linux/types.h>
#include <linux/vfio.h>

/**
 * VFIO_PREREG_KEEP - _IOW(VFIO_TYPE, VFIO_BASE + 96, struct vfio_prereg_keep)
 *
 * UNMAP_DMA of a container of type VFIO_TYPE1_IOMMU or VFIO_TYPE1v2_IOMMU leaves memory
 * pinned, and charged, that MAP_DMA had pinned, as long as no more than @bytes of the
 * process's memory are; the oldest makes room. MAP_DMA of any of it pins nothing. It is
 * given back when the process unmaps or replaces the memory, when memory or
 * RLIMIT_MEMLOCK is short, with the process's last container, and at its exit.
 * 0: what is kept goes now, and UNMAP_DMA keeps nothing. The default is the module
 * parameter keep_mib.
 *
 * Return: 0; -1 with errno EINVAL, EFAULT; ENOTTY in a container of another type.
 */
struct vfio_prereg_keep {
	__u32	argsz;
	__u32	flags;
	__u64	bytes;
};
#define VFIO_PREREG_KEEP	_IO(VFIO_TYPE, VFIO_BASE + 96)

/**
 * VFIO_PREREG_GET_INFO - _IOWR(VFIO_TYPE, VFIO_BASE + 97, struct vfio_prereg_info)
 *
 * What the calling process has in all its containers; @mapped_bytes and @mappings are
 * this container's, whoever mapped them.
 * A mapping is stale when the process unmapped, or otherwise gave up, memory that is
 * still mapped for DMA: devices go on using the old pages.
 *
 * Return: 0; -1 with errno EINVAL, EFAULT, EPERM another process owns the container.
 */
struct vfio_prereg_info {
	__u32	argsz;
	__u32	flags;
	__u64	registered_bytes;	/* pinned and charged, with what is kept */
	__u64	kept_bytes;
	__u64	mapped_bytes;
	__u64	mappings;
	__u64	stale_mappings;		/* seen so far; the last one: */
	__u64	stale_vaddr;
	__u64	stale_bytes;
	__s32	stale_pid;		/* of the thread, in its pid namespace */
	__u32	reserved;
};
#define VFIO_PREREG_GET_INFO	_IO(VFIO_TYPE, VFIO_BASE + 97)

#endif
