/* SPDX-License-Identifier: GPL-2.0 */
/*
 * DMA that an IOMMU stopped, as the machine tells it: in the kernel's log (VT-d, AMD-Vi, SMMUv3), or where
 * the kernel is told nothing in what the runner passes on (VFIO_FAULTS in the environment; tests/vm/vmlib/faults.py).
 */
#ifndef GUEST_FAULT_H
#define GUEST_FAULT_H

#include <stdbool.h>
#include <stdint.h>

/* Kernels tell of about so many faults (VT-d: three) and then of none until this time is over. */
#define FAULT_RATE_MS	5200

/* Faults from now on; an fd for fault_told(), -1 if there is no log. Close it. */
int fault_open(void);

/* Is a fault of that access to the page of @iova told, now or within @ms? */
bool fault_told(int faults, uint64_t iova, bool write, uint64_t ms);

#endif
