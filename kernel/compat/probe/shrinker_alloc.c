// SPDX-License-Identifier: GPL-2.0-only
/* Are shrinkers allocated by shrinker_alloc()? */
#include <linux/mm.h>
#include <linux/shrinker.h>

void *probe(void)
{
#ifdef PREREG_PROBE_QUESTION
	return shrinker_alloc(0, "probe");
#else
	return NULL;
#endif
}
