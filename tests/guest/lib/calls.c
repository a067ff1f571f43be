// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stddef.h>

#include "calls.h"
#include "type1.h"
#include "vfio.h"

#define MAX_ERRORS 8

static const struct {
	const char *name;
	unsigned long request;
	int errors[MAX_ERRORS];	/* besides the ones of every call */
} calls[N_CALLS] = {
	[CALL_INFO] = { "GET_INFO", VFIO_IOMMU_SPAPR_TCE_GET_INFO, { ENXIO } },
	[CALL_REGISTER] = { "REGISTER", VFIO_IOMMU_SPAPR_REGISTER_MEMORY, { EBUSY, EOPNOTSUPP } },
	[CALL_UNREGISTER] = { "UNREGISTER", VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, { ENOENT, EBUSY } },
	[CALL_MAP] = { "MAP", VFIO_IOMMU_MAP_DMA, { ENXIO, ENOSPC } },
	[CALL_UNMAP] = { "UNMAP", VFIO_IOMMU_UNMAP_DMA, { ENXIO, ENOSPC } },
	[CALL_CREATE] = { "CREATE", VFIO_IOMMU_SPAPR_TCE_CREATE, { ENXIO, ENOSPC } },
	[CALL_REMOVE] = { "REMOVE", VFIO_IOMMU_SPAPR_TCE_REMOVE, { ENXIO } },
	[CALL_DMA_INFO] = { "type 1 GET_INFO", VFIO_IOMMU_GET_INFO, { 0 } },
	[CALL_DMA_MAP] = { "type 1 MAP", VFIO_IOMMU_MAP_DMA, { EEXIST, ENOSPC, EOVERFLOW, EOPNOTSUPP } },
	[CALL_DMA_UNMAP] = { "type 1 UNMAP", VFIO_IOMMU_UNMAP_DMA, { EOVERFLOW } },
	[CALL_DMA_DIRTY] = { "DIRTY_PAGES", VFIO_IOMMU_DIRTY_PAGES, { EACCES, EOVERFLOW } },
	[CALL_KEEP] = { "KEEP", VFIO_PREREG_KEEP, { 0 } },
	[CALL_BATCH] = { "BATCH", VFIO_PREREG_BATCH, { ENXIO, ENOSPC, EEXIST, E2BIG } },
	[CALL_PREREG_INFO] = { "PREREG_GET_INFO", VFIO_PREREG_GET_INFO, { 0 } },
};

const char *call_name(enum call_nr call)
{
	return calls[call].name;
}

unsigned long call_request(enum call_nr call)
{
	return calls[call].request;
}

bool call_may_answer(enum call_nr call, int ret, bool no_memory)
{
	size_t i;

	switch (ret) {
	case 0:
	case -EPERM:
	case -EFAULT:
	case -EINVAL:	/* also VFIO's own answer for a container without a type */
	case -ENODEV:
		return true;
	case -ENOMEM:
		return no_memory;
	}
	for (i = 0; i < MAX_ERRORS; i++)
		if (ret < 0 && calls[call].errors[i] == -ret)
			return true;
	return false;
}
