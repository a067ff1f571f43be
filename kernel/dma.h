/* SPDX-License-Identifier: GPL-2.0-only */
/* dma: what the files of types 1 and 3 share. */
#ifndef PREREG_DMA_H
#define PREREG_DMA_H

#include "prereg.h"

/* As the kernel's type 1 driver, which counts pages of a bitmap in an int. */
#define PREREG_DIRTY_PAGES_MAX		((u64)INT_MAX)
#define PREREG_DIRTY_BITMAP_BYTES(npages) \
	(ALIGN(npages, BITS_PER_TYPE(u64)) / BITS_PER_BYTE)
#define PREREG_DIRTY_BITMAP_BYTES_MAX	\
	PREREG_DIRTY_BITMAP_BYTES(PREREG_DIRTY_PAGES_MAX)

/**
 * struct prereg_dma - a mapping of a container of type 1 or 3
 * @mapping: in container->mappings
 * @registration: the use of the region that the mapping is; its owner has a claim in
 *	the container. Its region is NULL as long as there is no IOMMU
 */
struct prereg_dma {
	struct prereg_mapping		mapping;
	struct prereg_registration	registration;
};

static inline struct prereg_dma *mapping_dma(struct prereg_mapping *mapping)
{
	return container_of(mapping, struct prereg_dma, mapping);
}

#endif
