// SPDX-License-Identifier: GPL-2.0-only
/* Is there follow_pfnmap_start()? */
#include <linux/mm.h>

int probe(void *args)
{
#ifdef PREREG_PROBE_QUESTION
	return follow_pfnmap_start(args);
#else
	return !args;
#endif
}
