/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of the iommu suite share. */
#ifndef GUEST_IOMMU_H
#define GUEST_IOMMU_H

#include <stdbool.h>
#include <stdint.h>

#include "rig.h"

#define IOVA 0x10000000ull
#define IOVA2 0x20000000ull

#define UNSAFE_INTERRUPTS "/sys/module/vfio_prereg/parameters/allow_unsafe_interrupts"

/* Where this architecture's devices write interrupts, IOVAs that are never memory; false: there is no such range. */
bool iommu_doorbells(uint64_t *first, uint64_t *last);

/*
 * Asserts that a device's write to @iova does not change the page at @va, which is or was mapped there, or would be in an
 * IOMMU that errs. Does not ask whether anybody is told of a fault, which kernels do only now and then.
 */
bool iommu_expect_away(struct rig *rig, uint64_t iova, char *va, const char *what);

/* iommu_msi.c */
void test_msi(void);
void test_msi_attach(void);
void test_msi_groups(void);
void test_msi_domains(void);
void test_msi_owner_death(void);
void test_msi_unmap_around(void);
void test_not_isolated(void);
/* iommu_pages.c */
void test_granule(void);
void test_blocks(void);
void test_unaligned_blocks(void);
void test_flush(void);
void test_file_contents(void);

#endif
