// SPDX-License-Identifier: GPL-2.0-only
/* Does pin_user_pages_remote() do without an array of vmas? */
#include <linux/mm.h>

long probe(struct mm_struct *mm, struct page **pages)
{
#ifdef PREREG_PROBE_QUESTION
	return pin_user_pages_remote(mm, 0, 1, 0, pages, NULL);
#else
	return !mm || !pages;
#endif
}
