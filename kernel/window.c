// SPDX-License-Identifier: GPL-2.0-only
/*
 * window: the IOVA ranges of a container that may be mapped.
 *
 * A window costs nothing but its slot: what is mapped in it lives in the
 * container's mapping tree, so windows may be of any size.
 */
#include <linux/bits.h>
#include <linux/errno.h>
#include <linux/log2.h>
#include <linux/overflow.h>

#include "prereg.h"

#define PREREG_WINDOW_DEFAULT_SHIFT	12
/* A window's page size is a granularity, so any power of two up to 1 GiB will do. */
#define PREREG_WINDOW_MAX_SHIFT		30

void prereg_window_init(struct prereg_container *container)
{
	container->windows[0] = (struct prereg_window) {
		.start		= 0,
		.last		= PREREG_WINDOW_DEFAULT_BYTES - 1,
		.page_shift	= PREREG_WINDOW_DEFAULT_SHIFT,
	};
	container->windows[1] = (struct prereg_window) {};
}

struct prereg_window *prereg_window_find(struct prereg_container *container,
					 u64 iova)
{
	struct prereg_window *window;
	unsigned int i;

	for (i = 0; i < PREREG_WINDOWS_MAX; i++) {
		window = &container->windows[i];
		if (window->page_shift && iova >= window->start &&
		    iova <= window->last)
			return window;
	}
	return NULL;
}

u64 prereg_window_pgsizes(struct prereg_container *container)
{
	return GENMASK_ULL(PREREG_WINDOW_MAX_SHIFT,
			   ilog2(prereg_hw_granule(&container->hw)));
}

int prereg_window_create(struct prereg_container *container, u32 page_shift,
			 u64 bytes, u64 *start)
{
	struct prereg_window *first = &container->windows[0];
	struct prereg_window *second = &container->windows[1];
	struct prereg_window *window;
	u64 last;

	if (page_shift > PREREG_WINDOW_MAX_SHIFT ||
	    !(prereg_window_pgsizes(container) & BIT_ULL(page_shift)))
		return -EINVAL;
	if (!is_power_of_2(bytes) || bytes < BIT_ULL(page_shift))
		return -EINVAL;

	if (!first->page_shift) {
		window = first;
		*start = 0;
	} else if (!second->page_shift) {
		window = second;
		*start = max(PREREG_WINDOW_SECOND_START, first->last + 1);
	} else {
		return -ENOSPC;
	}
	if (check_add_overflow(*start, bytes - 1, &last))
		return -ENOSPC;
	if (window == first && second->page_shift && last >= second->start)
		return -ENOSPC;

	window->start = *start;
	window->last = last;
	window->page_shift = page_shift;
	return 0;
}

int prereg_window_remove(struct prereg_container *container, u64 start)
{
	struct prereg_window *window = prereg_window_find(container, start);

	if (!window || window->start != start)
		return -EINVAL;

	prereg_iova_revoke(container, window->start, window->last);
	window->page_shift = 0;
	return 0;
}
