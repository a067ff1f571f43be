// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vfio.h"

const char *vfio_edu(unsigned int nr)
{
	static _Thread_local char names[2][16];
	const char *list = getenv("VFIO_DEVICES");
	unsigned int skip;
	char *name = names[nr % 2];

	for (skip = nr; list && skip; skip--) {
		list = strchr(list, ' ');
		if (list)
			list++;
	}
	if (!list || sscanf(list, "%15s", name) != 1)
		return "none";
	return name;
}

int vfio_ioctl(int fd, unsigned long request, const void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

static int open_fd(const char *path)
{
	int fd = open(path, O_RDWR);

	return fd < 0 ? -errno : fd;
}

int vfio_container_open(void)
{
	return open_fd("/dev/vfio/vfio");
}

/* Where the link to the device's group leads, into @target: "…/NUMBER". */
static int group_link(const char *bus, const char *device, char *target, size_t bytes)
{
	char link[96];
	ssize_t len;

	snprintf(link, sizeof(link), "/sys/bus/%s/devices/%s/iommu_group", bus, device);
	len = readlink(link, target, bytes - 1);
	if (len < 0)
		return -errno;
	target[len] = 0;
	return 0;
}

int vfio_group_open(const char *bdf)
{
	char target[256], path[300];
	const char *nr;
	int ret;

	ret = group_link("pci", bdf, target, sizeof(target));
	if (ret == -ENOENT)
		ret = group_link("platform", bdf, target, sizeof(target));
	if (ret)
		return ret;
	nr = strrchr(target, '/');
	snprintf(path, sizeof(path), "/dev/vfio/%s", nr ? nr + 1 : target);
	return open_fd(path);
}

int vfio_group_attach(int group, int container)
{
	return vfio_ioctl(group, VFIO_GROUP_SET_CONTAINER, &container);
}

int vfio_group_detach(int group)
{
	return vfio_ioctl(group, VFIO_GROUP_UNSET_CONTAINER, NULL);
}

int vfio_group_device(int group, const char *bdf)
{
	return vfio_ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bdf);
}

int vfio_set_iommu(int container, int type)
{
	return vfio_ioctl(container, VFIO_SET_IOMMU, (void *)(long)type);
}

int vfio_check_extension(int container, int extension)
{
	return vfio_ioctl(container, VFIO_CHECK_EXTENSION, (void *)(long)extension);
}

static void vfio_dev_reset(struct vfio_dev *dev, const char *bdf)
{
	memset(dev, 0, sizeof(*dev));
	dev->container = dev->group = dev->device = -1;
	snprintf(dev->bdf, sizeof(dev->bdf), "%s", bdf);
}

/* The group into dev->container, of @type unless it has one (0), and the device out of it. */
static int vfio_dev_attach(struct vfio_dev *dev, int type)
{
	int ret = vfio_group_open(dev->bdf);

	if (ret < 0)
		return ret;
	dev->group = ret;
	ret = vfio_group_attach(dev->group, dev->container);
	if (!ret && type)
		ret = vfio_set_iommu(dev->container, type);
	if (ret)
		return ret;
	ret = vfio_group_device(dev->group, dev->bdf);
	if (ret < 0)
		return ret;
	dev->device = ret;
	return 0;
}

int vfio_dev_open(struct vfio_dev *dev, const char *bdf, int type)
{
	int ret;

	vfio_dev_reset(dev, bdf);
	ret = vfio_container_open();
	if (ret < 0)
		return ret;
	dev->container = ret;
	dev->owns_container = true;
	ret = vfio_dev_attach(dev, type);
	if (ret)
		vfio_dev_close(dev);
	return ret;
}

int vfio_dev_join(struct vfio_dev *dev, const char *bdf, int container)
{
	int ret;

	vfio_dev_reset(dev, bdf);
	dev->container = container;
	ret = vfio_dev_attach(dev, 0);
	if (ret)
		vfio_dev_close(dev);
	return ret;
}

void vfio_dev_close(struct vfio_dev *dev)
{
	if (dev->device >= 0)
		close(dev->device);
	if (dev->group >= 0)
		close(dev->group);
	if (dev->container >= 0 && dev->owns_container)
		close(dev->container);
	dev->container = dev->group = dev->device = -1;
}

static int vfio_device_region(int device, unsigned int index, struct vfio_region_info *info)
{
	memset(info, 0, sizeof(*info));
	info->argsz = sizeof(*info);
	info->index = index;
	return vfio_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, info);
}

int vfio_device_bus_master(int device, bool on)
{
	const uint16_t bits = PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY;
	struct vfio_region_info info;
	uint16_t cmd;
	int ret;

	ret = vfio_device_region(device, VFIO_PCI_CONFIG_REGION_INDEX, &info);
	if (ret)
		return ret;
	if (pread(device, &cmd, sizeof(cmd), info.offset + PCI_COMMAND) != sizeof(cmd))
		return -EIO;
	cmd = on ? cmd | bits : cmd & ~bits;
	if (pwrite(device, &cmd, sizeof(cmd), info.offset + PCI_COMMAND) != sizeof(cmd))
		return -EIO;
	return 0;
}

void *vfio_device_mmap(int device, unsigned int index, size_t *bytes)
{
	struct vfio_region_info info;
	void *p;

	if (vfio_device_region(device, index, &info) || !(info.flags & VFIO_REGION_INFO_FLAG_MMAP))
		return NULL;
	p = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, info.offset);
	if (p == MAP_FAILED)
		return NULL;
	*bytes = info.size;
	return p;
}

int spapr_get_info(int container, struct vfio_iommu_spapr_tce_info *info)
{
	memset(info, 0, sizeof(*info));
	info->argsz = sizeof(*info);
	return vfio_ioctl(container, VFIO_IOMMU_SPAPR_TCE_GET_INFO, info);
}

static int spapr_memory(int container, unsigned long request, const void *vaddr, uint64_t bytes)
{
	const struct vfio_iommu_spapr_register_memory arg = {
		.argsz = sizeof(arg),
		.vaddr = (uintptr_t)vaddr,
		.size = bytes,
	};

	return vfio_ioctl(container, request, &arg);
}

int spapr_register(int container, const void *vaddr, uint64_t bytes)
{
	return spapr_memory(container, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, vaddr, bytes);
}

int spapr_unregister(int container, const void *vaddr, uint64_t bytes)
{
	return spapr_memory(container, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, vaddr, bytes);
}

int spapr_create(int container, unsigned int page_shift, uint64_t bytes, unsigned int levels,
		 uint64_t *start)
{
	struct vfio_iommu_spapr_tce_create arg = {
		.argsz = sizeof(arg),
		.page_shift = page_shift,
		.window_size = bytes,
		.levels = levels,
	};
	int ret = vfio_ioctl(container, VFIO_IOMMU_SPAPR_TCE_CREATE, &arg);

	if (start)
		*start = arg.start_addr;
	return ret;
}

int spapr_remove(int container, uint64_t start)
{
	const struct vfio_iommu_spapr_tce_remove arg = {
		.argsz = sizeof(arg),
		.start_addr = start,
	};

	return vfio_ioctl(container, VFIO_IOMMU_SPAPR_TCE_REMOVE, &arg);
}

int vfio_map(int container, uint64_t iova, const void *vaddr, uint64_t bytes, unsigned int flags)
{
	const struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg),
		.flags = flags,
		.vaddr = (uintptr_t)vaddr,
		.iova = iova,
		.size = bytes,
	};

	return vfio_ioctl(container, VFIO_IOMMU_MAP_DMA, &arg);
}

int vfio_unmap(int container, uint64_t iova, uint64_t bytes)
{
	struct vfio_iommu_type1_dma_unmap arg = {
		.argsz = sizeof(arg),
		.iova = iova,
		.size = bytes,
	};

	return vfio_ioctl(container, VFIO_IOMMU_UNMAP_DMA, &arg);
}

int vfio_batch(int container, uint32_t flags, const struct vfio_prereg_batch_entry *entries, uint32_t n,
	       uint32_t *refused)
{
	struct vfio_prereg_batch arg = {
		.argsz = sizeof(arg),
		.flags = flags,
		.nentries = n,
		.refused = ~0u,
		.entries = (uintptr_t)entries,
	};
	int ret = vfio_ioctl(container, VFIO_PREREG_BATCH, &arg);

	if (refused)
		*refused = arg.refused;
	return ret;
}

int vfio_hold(int container, int type, const void *vaddr, uint64_t bytes, uint64_t iova)
{
	int ret = 0;

	if (type == VFIO_SPAPR_TCE_v2_IOMMU)
		ret = spapr_register(container, vaddr, bytes);
	return ret ? ret : vfio_map(container, iova, vaddr, bytes, VFIO_MAP_RW);
}
