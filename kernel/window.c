// SPDX-License-Identifier: GPL-2.0-only
/*
 * window: the IOVA ranges of a container that may be mapped.
 *
 * The default window is there from the first group on, as its user expects, but
 * it is opened in the hardware, and its tables are charged, when something is
 * first mapped in it: most users remove it before that.
 */
#include <linux/bits.h>
#include <linux/errno.h>
#include <linux/log2.h>
#include <linux/overflow.h>

#include "prereg.h"

#define PREREG_WINDOW_DEFAULT_SHIFT	12

void prereg_windows_init(struct prereg_container *container)
{
	struct prereg_hw_info info;

	container->hw->ops->get_info(container->hw, &info);
	/* SMMUs take the kernel's page size, which may be larger than usual. */
	container->windows[0] = (struct prereg_window) {
		.start		= info.default_start,
		.last		= info.default_start + info.default_bytes - 1,
		.page_shift	= max_t(u32, PREREG_WINDOW_DEFAULT_SHIFT,
					__ffs64(info.pgsizes)),
		.levels		= 1,
	};
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

long prereg_window_open(struct prereg_container *container,
			struct prereg_window *window, unsigned long charged)
{
	const struct prereg_hw_ops *ops = container->hw->ops;
	unsigned long pages = 0;
	int ret = 0;

	if (ops->window_pages)
		pages = ops->window_pages(container->hw, window);
	if (pages > charged)
		return pages;
	if (ops->window_open)
		ret = ops->window_open(container->hw,
				       window - container->windows, window);
	if (ret)
		return ret;
	window->pages = charged;
	window->open = true;
	return 0;
}

/* Nothing is mapped in it any more. */
static void window_close(struct prereg_container *container,
			 struct prereg_window *window)
{
	const struct prereg_hw_ops *ops = container->hw->ops;

	if (window->open && ops->window_close)
		ops->window_close(container->hw, window - container->windows);
	if (window->pages)
		prereg_owner_owe(container->claim.owner, window->pages);
	*window = (struct prereg_window) {};
}

void prereg_windows_close(struct prereg_container *container)
{
	unsigned int i;

	prereg_iova_revoke(container, 0, U64_MAX);
	for (i = 0; i < PREREG_WINDOWS_MAX; i++)
		if (container->windows[i].page_shift)
			window_close(container, &container->windows[i]);
}

long prereg_window_create(struct prereg_container *container, u32 page_shift,
			  u64 bytes, u32 levels, unsigned long charged,
			  u64 *start)
{
	struct prereg_window *first = &container->windows[0];
	struct prereg_window *second = &container->windows[1];
	struct prereg_window *window;
	struct prereg_hw_info info;
	u64 last;
	long ret;

	container->hw->ops->get_info(container->hw, &info);
	if (page_shift >= BITS_PER_LONG ||
	    !(info.pgsizes & BIT_ULL(page_shift)))
		return -EINVAL;
	if (!is_power_of_2(bytes) || bytes < BIT_ULL(page_shift))
		return -EINVAL;
	if (!levels || levels > info.levels)
		return -EINVAL;

	if (!first->page_shift) {
		window = first;
		*start = info.default_start;
	} else if (!second->page_shift && info.windows > 1) {
		window = second;
		*start = max(info.second_start, first->last + 1);
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
	window->levels = levels;
	ret = prereg_window_open(container, window, charged);
	if (ret)
		*window = (struct prereg_window) {};
	*start = window->start;
	return ret;
}

int prereg_window_remove(struct prereg_container *container, u64 start)
{
	struct prereg_window *window = prereg_window_find(container, start);

	if (!window || window->start != start)
		return -EINVAL;

	prereg_iova_revoke(container, window->start, window->last);
	window_close(container, window);
	return 0;
}
