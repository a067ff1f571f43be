/* SPDX-License-Identifier: GPL-2.0 */
/* What every <linux/….h> that kernel/ includes is here, see the Makefile. */
#include "kernel.h"
#include "mm.h"
#include "iommu.h"
#include "vfio.h"
