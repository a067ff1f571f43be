/* SPDX-License-Identifier: GPL-2.0 */
/* prereg doctor: questions about this host, and their answers. */
#ifndef TOOL_DOCTOR_H
#define TOOL_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tool.h"

enum verdict {
	VERDICT_OK,
	VERDICT_NOT_OK,
	VERDICT_NOTE,		/* good to know; nothing has to be done */
};

/**
 * struct answer - to one question
 * @check: its short name, which stays as it is
 * @verdict: what came of it
 * @found: a sentence or lines of them
 * @todo: what to do; NULL: nothing
 */
struct answer {
	const char	*check;
	enum verdict	verdict;
	char		*found;
	char		*todo;
};

/**
 * struct doctor - all answers so far
 * @answers: array of @n
 * @need: bytes that a program is to register
 */
struct doctor {
	struct answer	*answers;
	size_t		n;
	uint64_t	need;
};

/* Adds an answer; @found and @todo are the doctor's then. */
void answer(struct doctor *doctor, const char *check, enum verdict verdict, char *found, char *todo);

/* doctor_host.c: IOMMU, groups, interrupts, VFIO */
void check_iommu(struct doctor *doctor);
void check_groups(struct doctor *doctor);
void check_interrupts(struct doctor *doctor);
void check_vfio(struct doctor *doctor);
void check_vfio_pci(struct doctor *doctor);
/* doctor_module.c: vfio_prereg itself, who else serves its types, what the caller may do */
void check_module(struct doctor *doctor);
void check_types(struct doctor *doctor);
void check_memlock(struct doctor *doctor);
void check_access(struct doctor *doctor);
void check_netlink(struct doctor *doctor);

#endif
