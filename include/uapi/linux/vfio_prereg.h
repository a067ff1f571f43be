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
 * What is kept beyond @bytes goes now; 0: all of it, and UNMAP_DMA keeps nothing. The
 * default is the module parameter keep_mib.
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

/**
 * VFIO_PREREG_EXTENSION - for VFIO_CHECK_EXTENSION
 *
 * What of this file the container, or before SET_IOMMU the module, serves: an or of
 * VFIO_PREREG_HAS_*; 0: nothing, it is another driver's.
 */
#define VFIO_PREREG_EXTENSION	0x7072
#define VFIO_PREREG_HAS_KEEP	(1 << 0)
#define VFIO_PREREG_HAS_INFO	(1 << 1)
#define VFIO_PREREG_HAS_BATCH	(1 << 2)

/**
 * struct vfio_prereg_batch_entry - one MAP or UNMAP of VFIO_PREREG_BATCH
 * @iova: first IOVA
 * @vaddr: user address; of an UNMAP 0
 * @size: length in bytes, not 0
 * @flags: VFIO_DMA_MAP_FLAG_READ and _WRITE; of an UNMAP 0
 * @reserved: 0
 */
struct vfio_prereg_batch_entry {
	__u64	iova;
	__u64	vaddr;
	__u64	size;
	__u32	flags;
	__u32	reserved;
};

/**
 * VFIO_PREREG_BATCH - _IOWR(VFIO_TYPE, VFIO_BASE + 98, struct vfio_prereg_batch)
 *
 * Many MAP_DMA, or many UNMAP_DMA, in one call on a container of type
 * VFIO_SPAPR_TCE_v2_IOMMU: all of them, or none. Unlike MAP_DMA a MAP here replaces nothing,
 * and an UNMAP must not cut a mapping; holes are fine.
 *
 * Return: 0; -1 with errno as of the single calls, or EEXIST something is mapped there, or two
 * MAPs overlap; E2BIG more than VFIO_PREREG_BATCH_MAX entries; ENOTTY a container of another
 * type. @refused tells which entry it was, or is @nentries if it was none of them.
 */
struct vfio_prereg_batch {
	__u32	argsz;
	__u32	flags;
#define VFIO_PREREG_BATCH_MAP	(1 << 0)
#define VFIO_PREREG_BATCH_UNMAP	(1 << 1)
	__u32	nentries;
	__u32	refused;	/* out */
	__u64	entries;	/* address of struct vfio_prereg_batch_entry[nentries] */
};
#define VFIO_PREREG_BATCH	_IO(VFIO_TYPE, VFIO_BASE + 98)
#define VFIO_PREREG_BATCH_MAX	65536

#endif
