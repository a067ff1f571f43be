/* SPDX-License-Identifier: GPL-2.0 */
/* What the scenarios for types 1 and 3 say of a call. */
#ifndef CONFORMANCE_TYPE1_BOX_H
#define CONFORMANCE_TYPE1_BOX_H

#include "conformance.h"
#include "type1.h"

/* Makes @s->call (MAP or UNMAP) in an open box, and says its answer and what it changed. */
void run_type1_call(const struct scenario *s);

/* What a process has before a call. */
struct held {
	long long pins;
	long long charge;
};

struct held held_now(void);
/* Says "+8 pinned", "+8 charged" of what changed since. */
void say_change(const struct held *before);

/* Maps @va for @flags at IOVA2; says the answer, and what it changed. */
int say_map(struct box *box, const void *va, size_t bytes, unsigned int flags);
/* Unmaps; says the answer, and how many pages were unmapped. */
void say_unmap(struct box *box, uint64_t iova, uint64_t bytes, unsigned int flags);

/* The container's IOVA ranges as GET_INFO tells them; NULL after a failed assertion. */
const struct vfio_iommu_type1_info_cap_iova_range *iova_ranges(struct box *box);

#endif
