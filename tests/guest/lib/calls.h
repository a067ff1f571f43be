/* SPDX-License-Identifier: GPL-2.0 */
/* The calls of all types, and what each may answer, for suites that call at random. */
#ifndef GUEST_CALLS_H
#define GUEST_CALLS_H

#include <stdbool.h>

enum call_nr {
	/* Type 7 */
	CALL_INFO,
	CALL_REGISTER,
	CALL_UNREGISTER,
	CALL_MAP,
	CALL_UNMAP,
	CALL_CREATE,
	CALL_REMOVE,
	N_SPAPR_CALLS,
	/* Types 1 and 3 */
	CALL_DMA_INFO = N_SPAPR_CALLS,
	CALL_DMA_MAP,
	CALL_DMA_UNMAP,
	CALL_DMA_DIRTY,
	CALL_KEEP,
	CALL_PREREG_INFO,	/* of every type */
	CALL_BATCH,		/* of type 7, of this module alone */
	N_CALLS,
};

const char *call_name(enum call_nr call);
unsigned long call_request(enum call_nr call);

/*
 * May @call answer @ret, whatever its argument and whatever goes on around it?
 * 0 and the documented errnos, but not EINTR, which only a dying thread gets,
 * and not ENOMEM, unless @no_memory: memory or a limit may be used up.
 */
bool call_may_answer(enum call_nr call, int ret, bool no_memory);

#endif
