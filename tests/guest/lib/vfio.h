/* SPDX-License-Identifier: GPL-2.0 */
/*
 * VFIO containers, groups and devices, and the ioctls of the types this project
 * deals with.
 *
 * Every function that returns int returns -errno on failure. An ioctl wrapper
 * returns 0 or whatever positive number the kernel answered: some drivers do
 * answer positive numbers where an errno was due, and a test must see that.
 */
#ifndef GUEST_VFIO_H
#define GUEST_VFIO_H

#include <linux/vfio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../../include/uapi/linux/vfio_prereg.h"

/*
 * The address ("0000:00:04.0") of the guest's edu device @nr, from the environment's VFIO_DEVICES, which
 * init sets. "none" if there are not that many.
 */
const char *vfio_edu(unsigned int nr);
#define VFIO_EDU0 vfio_edu(0)
#define VFIO_EDU1 vfio_edu(1)

/* Where the second window starts beside a default one (vfio_prereg on an iommu_domain). */
#define VFIO_WINDOW1_START 0x1000000000ull

/* One PCI device in a container. An fd that is not open is -1. */
struct vfio_dev {
	int container;
	int group;
	int device;
	bool owns_container;	/* vfio_dev_close() closes the container */
	char bdf[16];
};

/* Opens @bdf's group, a new container and the device, SET_IOMMU(@type) in between. */
int vfio_dev_open(struct vfio_dev *dev, const char *bdf, int type);
/* The same, into @container, which has its IOMMU type already. */
int vfio_dev_join(struct vfio_dev *dev, const char *bdf, int container);
/* Closes what is open, the device first. */
void vfio_dev_close(struct vfio_dev *dev);

int vfio_container_open(void);				/* fd */
/* Opens the group's node. A group can be open only once: EBUSY. @bdf: a platform device's name is good, too. */
int vfio_group_open(const char *bdf);			/* fd */
int vfio_group_attach(int group, int container);	/* GROUP_SET_CONTAINER */
int vfio_group_detach(int group);			/* GROUP_UNSET_CONTAINER */
int vfio_group_device(int group, const char *bdf);	/* device fd */
int vfio_set_iommu(int container, int type);
int vfio_check_extension(int container, int extension);

/* Sets or clears the PCI command register's bus master and memory enable bits. */
int vfio_device_bus_master(int device, bool on);
/* Maps region @index (VFIO_PCI_BAR0_REGION_INDEX …); its size to *@bytes. NULL: not possible. */
void *vfio_device_mmap(int device, unsigned int index, size_t *bytes);

/* ioctl() that answers -errno. */
int vfio_ioctl(int fd, unsigned long request, const void *arg);

/* Type 7. */
int spapr_get_info(int container, struct vfio_iommu_spapr_tce_info *info);
int spapr_register(int container, const void *vaddr, uint64_t bytes);
int spapr_unregister(int container, const void *vaddr, uint64_t bytes);
/* @start may be NULL. */
int spapr_create(int container, unsigned int page_shift, uint64_t bytes, unsigned int levels,
		 uint64_t *start);
int spapr_remove(int container, uint64_t start);
/* @flags: VFIO_DMA_MAP_FLAG_*. Both work for type 1 as well. */
int vfio_map(int container, uint64_t iova, const void *vaddr, uint64_t bytes, unsigned int flags);
int vfio_unmap(int container, uint64_t iova, uint64_t bytes);

/*
 * Many MAPs or UNMAPs (@flags: VFIO_PREREG_BATCH_MAP, _UNMAP) in one call, all of them or none. Which
 * one was refused goes to @refused, which may be NULL. Type 7 of vfio_prereg.
 */
int vfio_batch(int container, uint32_t flags, const struct vfio_prereg_batch_entry *entries, uint32_t n,
	       uint32_t *refused);

/* What it takes to own memory for DMA: type 7 registers and maps it, type 1 maps it. */
int vfio_hold(int container, int type, const void *vaddr, uint64_t bytes, uint64_t iova);

#define VFIO_MAP_RW (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

#endif
