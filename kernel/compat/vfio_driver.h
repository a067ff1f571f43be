/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VFIO's interface to container backends. It is private to the kernel
 * (drivers/vfio/vfio.h), so this is a copy; vfio_layout.c and the build check it
 * against the kernel it is loaded into.
 */
#ifndef PREREG_VFIO_DRIVER_H
#define PREREG_VFIO_DRIVER_H

#include <linux/types.h>

#include "answers.h"

struct iommu_domain;
struct iommu_group;
struct module;
struct page;
struct vfio_device;

enum vfio_group_type {
	VFIO_IOMMU,
	VFIO_EMULATED_IOMMU,
	VFIO_NO_IOMMU,
};

enum vfio_iommu_notify_type {
	VFIO_IOMMU_CONTAINER_CLOSE = 0,
};

struct vfio_iommu_driver_ops {
#ifdef PREREG_DEBUG_WRONG_LAYOUT
	/* Built only to show that such a module is refused. */
	long		gap;
#endif
	char		*name;
	struct module	*owner;
	void		*(*open)(unsigned long arg);
	void		(*release)(void *iommu_data);
	long		(*ioctl)(void *iommu_data, unsigned int cmd,
				 unsigned long arg);
	int		(*attach_group)(void *iommu_data,
					struct iommu_group *group,
					enum vfio_group_type type);
	void		(*detach_group)(void *iommu_data,
					struct iommu_group *group);
	int		(*pin_pages)(void *iommu_data,
				     struct iommu_group *group,
				     dma_addr_t user_iova, int npage, int prot,
				     struct page **pages);
	void		(*unpin_pages)(void *iommu_data, dma_addr_t user_iova,
				       int npage);
	void		(*register_device)(void *iommu_data,
					   struct vfio_device *vdev);
	void		(*unregister_device)(void *iommu_data,
					     struct vfio_device *vdev);
	int		(*dma_rw)(void *iommu_data, dma_addr_t user_iova,
				  void *data, size_t count, bool write);
	struct iommu_domain *(*group_iommu_domain)(void *iommu_data,
						   struct iommu_group *group);
#ifdef PREREG_HAS_VFIO_NOTIFY
	void		(*notify)(void *iommu_data,
				  enum vfio_iommu_notify_type event);
#endif
};

int vfio_register_iommu_driver(const struct vfio_iommu_driver_ops *ops);
void vfio_unregister_iommu_driver(const struct vfio_iommu_driver_ops *ops);

/**
 * prereg_vfio_layout_check - is the running VFIO what we were built for?
 *
 * Compares the copy above with the kernel's own type information
 * (/sys/kernel/btf/vfio). Where the kernel has none, the check made when the
 * module was built, and the symbol versions, must do.
 *
 * Return: 0, or -ENOEXEC after a sentence in the kernel log.
 */
int prereg_vfio_layout_check(void);

#endif
