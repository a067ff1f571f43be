// SPDX-License-Identifier: LGPL-2.1-or-later
/* Memory, mappings and windows of a container. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/vfio.h>

#include "internal.h"

_Static_assert(PREREG_READ == VFIO_DMA_MAP_FLAG_READ && PREREG_WRITE == VFIO_DMA_MAP_FLAG_WRITE,
	       "directions are VFIO's");

#define NOT_OURS "the container is another process's, as after fork(): open one in this process"

/* Bytes that count against RLIMIT_MEMLOCK, 0 where /proc does not tell. @exempt: the process has CAP_IPC_LOCK, no limit holds. */
static uint64_t locked_bytes(bool *exempt)
{
	FILE *status = fopen("/proc/self/status", "re");
	uint64_t kib = 0, capabilities = 0;
	char line[128];

	while (status && fgets(line, sizeof(line), status)) {
		sscanf(line, "VmLck: %" SCNu64, &kib);
		sscanf(line, "CapEff: %" SCNx64, &capabilities);
	}
	if (status)
		fclose(status);
	*exempt = capabilities >> CAP_IPC_LOCK & 1;
	return kib << 10;
}

/* No memory for @what of @bytes: the limit's or the machine's? */
static int no_memory(struct prereg *prereg, const char *what, uint64_t bytes)
{
	bool exempt;
	const uint64_t locked = locked_bytes(&exempt), needed = locked + bytes;
	struct rlimit limit;
	char held[64] = "";

	if (exempt || getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur == RLIM_INFINITY || needed <= limit.rlim_cur)
		return prereg__fail(&prereg->failure, ENOMEM,
				    "no memory for %s of %s: free some, or look at the limits of this process's memory cgroup",
				    what, prereg__size(bytes).text);
	if (locked)
		snprintf(held, sizeof(held), " (%s of them already locked)", prereg__size(locked).text);
	return prereg__fail(&prereg->failure, ENOMEM,
			    "RLIMIT_MEMLOCK is %s, %s are needed%s: raise it with \"ulimit -l %" PRIu64
			    "\", or LimitMEMLOCK=%" PRIu64 "K of the systemd unit",
			    prereg__size(limit.rlim_cur).text, prereg__size(needed).text, held,
			    (needed + 1023) >> 10, (needed + 1023) >> 10);
}

static int memory_call(struct prereg *prereg, unsigned long request, void *addr, size_t bytes)
{
	const struct vfio_iommu_spapr_register_memory arg = {
		.argsz = sizeof(arg),
		.vaddr = (uintptr_t)addr,
		.size = bytes,
	};

	return ioctl(prereg->fd, request, &arg);
}

/* Not whole pages: what REGISTER and UNREGISTER answer EINVAL to in the first place. */
static bool is_odd(const void *addr, size_t bytes)
{
	const size_t page = sysconf(_SC_PAGESIZE);

	return !bytes || (uintptr_t)addr % page || bytes % page || (uintptr_t)addr + bytes < (uintptr_t)addr;
}

static int odd(struct prereg *prereg, const char *verb, const void *addr, size_t bytes)
{
	return prereg__fail(&prereg->failure, EINVAL,
			    "cannot %s %zu bytes at %p: both must be multiples of the page size, which is %s, and not 0",
			    verb, bytes, addr, prereg__size(sysconf(_SC_PAGESIZE)).text);
}

int prereg_register(struct prereg *prereg, void *addr, size_t bytes)
{
	struct prereg_failure *failure = &prereg->failure;
	const struct prereg_size size = prereg__size(bytes);

	if (prereg__ready(prereg))
		return -1;
	if (!memory_call(prereg, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, addr, bytes))
		return 0;
	switch (errno) {
	case ENOMEM:
		return no_memory(prereg, "registering memory", bytes);
	case EBUSY:
		return prereg__fail(failure, errno, "%s at %p are registered already, which is enough", size.text, addr);
	case EINVAL:
		if (is_odd(addr, bytes))
			return odd(prereg, "register", addr, bytes);
		return prereg__fail(failure, errno,
				    "%s at %p overlap memory that is registered: use that, or unregister it first",
				    size.text, addr);
	case EFAULT:
		return prereg__fail(failure, errno,
				    "not all of %s at %p is memory that can be written and pinned: register memory of mmap() with PROT_READ and PROT_WRITE, anonymous, or of a memfd, tmpfs or hugetlbfs",
				    size.text, addr);
	case EOPNOTSUPP:
		return prereg__fail(failure, errno,
				    "%s at %p are a file's pages, which cannot be pinned for long: use anonymous memory, a memfd, or a file of tmpfs or hugetlbfs",
				    size.text, addr);
	case EPERM:
		return prereg__fail(failure, errno, NOT_OURS);
	default:
		return prereg__fail(failure, errno, "cannot register %s at %p: %m", size.text, addr);
	}
}

int prereg_unregister(struct prereg *prereg, void *addr, size_t bytes)
{
	struct prereg_failure *failure = &prereg->failure;
	const struct prereg_size size = prereg__size(bytes);

	if (prereg__ready(prereg))
		return -1;
	if (!memory_call(prereg, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, addr, bytes))
		return 0;
	switch (errno) {
	case ENOENT:
		return prereg__fail(failure, errno,
				    "%s at %p were not registered like this: name exactly what prereg_register() was given",
				    size.text, addr);
	case EBUSY:
		return prereg__fail(failure, errno, "something of %s at %p is mapped: unmap it first", size.text, addr);
	case EINVAL:
		if (is_odd(addr, bytes))
			return odd(prereg, "unregister", addr, bytes);
		return prereg__fail(failure, errno, "cannot unregister %s at %p: %m", size.text, addr);
	case EPERM:
		return prereg__fail(failure, errno, "nothing is registered in this container, or " NOT_OURS);
	default:
		return prereg__fail(failure, errno, "cannot unregister %s at %p: %m", size.text, addr);
	}
}

int prereg__map(struct prereg *prereg, const struct prereg_mapping *mapping)
{
	const struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg),
		.flags = mapping->access,
		.vaddr = (uintptr_t)mapping->addr,
		.iova = mapping->iova,
		.size = mapping->bytes,
	};

	/* POWER's own driver maps nothing then, and calls it good. */
	if (!arg.size) {
		errno = EINVAL;
		return -1;
	}
	return ioctl(prereg->fd, VFIO_IOMMU_MAP_DMA, &arg);
}

int prereg__unmap(struct prereg *prereg, uint64_t iova, uint64_t bytes)
{
	struct vfio_iommu_type1_dma_unmap arg = {
		.argsz = sizeof(arg),
		.iova = iova,
		.size = bytes,
	};

	return ioctl(prereg->fd, VFIO_IOMMU_UNMAP_DMA, &arg);
}

static int get_info(struct prereg *prereg, struct vfio_iommu_spapr_tce_info *info)
{
	memset(info, 0, sizeof(*info));
	info->argsz = sizeof(*info);
	return ioctl(prereg->fd, VFIO_IOMMU_SPAPR_TCE_GET_INFO, info);
}

/* The smallest page that a window may have: what no window takes less of. */
static uint64_t smallest_page(struct prereg *prereg)
{
	struct vfio_iommu_spapr_tce_info info;

	if (get_info(prereg, &info) || !info.ddw.pgsizes)
		return 4096;
	return info.ddw.pgsizes & -info.ddw.pgsizes;
}

/* What MAP and UNMAP have in common. */
static int iova_refused(struct prereg *prereg, int error, const char *where, const char *verb, uint64_t iova,
			uint64_t bytes)
{
	struct prereg_failure *failure = &prereg->failure;
	const struct prereg_size size = prereg__size(bytes);

	switch (error) {
	case ENXIO:
		return prereg__fail(failure, error,
				    "%scannot %s %s at IOVA 0x%" PRIx64 ": they are not all in one window, or are reserved (/sys/kernel/iommu_groups/N/reserved_regions), or more than the IOMMU translates; prereg_get_windows() and prereg_add_window() tell where windows are",
				    where, verb, size.text, iova);
	case ENOSPC:
		return prereg__fail(failure, error,
				    "%scannot %s %s at IOVA 0x%" PRIx64 ": the container has too many mappings; make fewer and larger ones, or raise the parameter mappings_max of the module vfio_prereg",
				    where, verb, size.text, iova);
	case EPERM:
		return prereg__fail(failure, error, "%snothing is registered in this container yet, or " NOT_OURS, where);
	default:
		return prereg__fail(failure, error, "%scannot %s %s at IOVA 0x%" PRIx64 ": %m", where, verb, size.text, iova);
	}
}

int prereg__map_refused(struct prereg *prereg, int error, const char *where, const struct prereg_mapping *mapping)
{
	const struct prereg_size size = prereg__size(mapping->bytes);
	struct prereg_failure *failure = &prereg->failure;
	uint64_t page;

	switch (error) {
	case EINVAL:
		if (!mapping->access || mapping->access & ~(PREREG_READ | PREREG_WRITE))
			return prereg__fail(failure, error,
					    "%saccess 0x%x is none: give PREREG_READ, PREREG_WRITE or both", where,
					    mapping->access);
		page = smallest_page(prereg);
		if (!mapping->bytes || (mapping->iova | (uintptr_t)mapping->addr | mapping->bytes) % page)
			return prereg__fail(failure, error,
					    "%scannot map %zu bytes at %p to IOVA 0x%" PRIx64 ": all three must be multiples of the window's page size, which is %s or more, and not 0 bytes",
					    where, mapping->bytes, mapping->addr, mapping->iova,
					    prereg__size(page).text);
		return prereg__fail(failure, error,
				    "%scannot map %s at %p to IOVA 0x%" PRIx64 ": they are not in one piece of registered memory, or not multiples of the window's page size (on POWER the memory must lie in pieces of that, too): call prereg_register() for all of it first",
				    where, size.text, mapping->addr, mapping->iova);
	case EEXIST:
		return prereg__fail(failure, error,
				    "%ssomething is mapped in %s at IOVA 0x%" PRIx64 " already, or another piece of this call is: unmap it first",
				    where, size.text, mapping->iova);
	case ENOMEM:
		return prereg__fail(failure, error,
				    "%sno memory to map %s at IOVA 0x%" PRIx64 ": free some, or look at the limits of this process's memory cgroup; on POWER a window's table is charged to RLIMIT_MEMLOCK",
				    where, size.text, mapping->iova);
	default:
		return iova_refused(prereg, error, where, "map", mapping->iova, mapping->bytes);
	}
}

int prereg__unmap_refused(struct prereg *prereg, int error, const char *where, uint64_t iova, uint64_t bytes)
{
	uint64_t page;

	if (error != EINVAL)
		return iova_refused(prereg, error, where, "unmap", iova, bytes);
	page = smallest_page(prereg);
	if ((iova | bytes) % page)
		return prereg__fail(&prereg->failure, error,
				    "%scannot unmap %" PRIu64 " bytes at IOVA 0x%" PRIx64 ": both must be multiples of the window's page size, which is %s or more",
				    where, bytes, iova, prereg__size(page).text);
	return prereg__fail(&prereg->failure, error,
			    "%scannot unmap %s at IOVA 0x%" PRIx64 ": they end inside a mapping, or are not multiples of the window's page size",
			    where, prereg__size(bytes).text, iova);
}

int prereg_map(struct prereg *prereg, uint64_t iova, void *addr, size_t bytes, unsigned int access)
{
	const struct prereg_mapping mapping = { .iova = iova, .addr = addr, .bytes = bytes, .access = access };

	if (prereg__ready(prereg))
		return -1;
	return prereg__map(prereg, &mapping) ? prereg__map_refused(prereg, errno, "", &mapping) : 0;
}

int prereg_unmap(struct prereg *prereg, uint64_t iova, uint64_t bytes)
{
	if (prereg__ready(prereg))
		return -1;
	return prereg__unmap(prereg, iova, bytes) ? prereg__unmap_refused(prereg, errno, "", iova, bytes) : 0;
}

int prereg_get_windows(struct prereg *prereg, struct prereg_windows *windows)
{
	struct vfio_iommu_spapr_tce_info info;

	if (prereg__ready(prereg))
		return -1;
	if (get_info(prereg, &info))
		return prereg__fail(&prereg->failure, errno, "cannot ask for windows: %m");
	*windows = (struct prereg_windows) {
		.default_start = info.dma32_window_start,
		.default_bytes = info.dma32_window_size,
		.page_sizes = info.ddw.pgsizes,
		.max_windows = info.ddw.max_dynamic_windows_supported,
		.max_levels = info.ddw.levels,
	};
	return 0;
}

static int window_refused(struct prereg *prereg, int error, uint64_t bytes, uint64_t page_size, unsigned int levels)
{
	struct prereg_failure *failure = &prereg->failure;
	struct vfio_iommu_spapr_tce_info info;

	switch (error) {
	case EINVAL:
		if (get_info(prereg, &info))
			break;
		return prereg__fail(failure, error,
				    "cannot open a window of %s with pages of %s in %u levels: the size must be a power of two and a page or more, the page size one bit of 0x%" PRIx64 ", levels 1 to %u",
				    prereg__size(bytes).text, prereg__size(page_size).text, levels,
				    (uint64_t)info.ddw.pgsizes, info.ddw.levels);
	case ENOSPC:
		return prereg__fail(failure, error,
				    "no room for a window of %s: as many are open as there may be, or it would overlap one; close one with prereg_remove_window()",
				    prereg__size(bytes).text);
	case ENOMEM:
		/* A table has 8 bytes a page; the platform keeps it twice. */
		return no_memory(prereg, "a window's tables", bytes / page_size * 16);
	case EIO:
		return prereg__fail(failure, error,
				    "the platform refuses a window of %s: try a smaller one, larger pages or more levels",
				    prereg__size(bytes).text);
	case EPERM:
		return prereg__fail(failure, error, NOT_OURS);
	}
	return prereg__fail(failure, error, "cannot open a window of %s: %m", prereg__size(bytes).text);
}

int prereg_add_window(struct prereg *prereg, uint64_t bytes, uint64_t page_size, unsigned int levels, uint64_t *start)
{
	struct vfio_iommu_spapr_tce_create arg = {
		.argsz = sizeof(arg),
		.window_size = bytes,
		.levels = levels,
	};

	if (prereg__ready(prereg))
		return -1;
	if (!page_size || page_size & (page_size - 1))
		return window_refused(prereg, EINVAL, bytes, page_size, levels);
	arg.page_shift = __builtin_ctzll(page_size);
	if (ioctl(prereg->fd, VFIO_IOMMU_SPAPR_TCE_CREATE, &arg))
		return window_refused(prereg, errno, bytes, page_size, levels);
	*start = arg.start_addr;
	return 0;
}

int prereg_remove_window(struct prereg *prereg, uint64_t start)
{
	const struct vfio_iommu_spapr_tce_remove arg = {
		.argsz = sizeof(arg),
		.start_addr = start,
	};

	if (prereg__ready(prereg))
		return -1;
	if (!ioctl(prereg->fd, VFIO_IOMMU_SPAPR_TCE_REMOVE, &arg))
		return 0;
	switch (errno) {
	case EINVAL:
		return prereg__fail(&prereg->failure, errno, "no window starts at IOVA 0x%" PRIx64 ": name what prereg_add_window() answered",
				    start);
	case EPERM:
		return prereg__fail(&prereg->failure, errno, NOT_OURS);
	default:
		return prereg__fail(&prereg->failure, errno, "cannot close the window at IOVA 0x%" PRIx64 ": %m", start);
	}
}
