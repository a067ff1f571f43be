/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Watches the machine's pinned pages from one moment to the next.
 *
 * meter_pins() is exact but makes every CPU fold its counters, which disturbs
 * what is watched and takes longer than a kill. This reads what /proc/vmstat
 * shows anyway: it lags by what the CPUs have not folded yet,
 * PINWATCH_SLACK_PAGES at most.
 */
#ifndef GUEST_PINWATCH_H
#define GUEST_PINWATCH_H

#include <stdint.h>

/* Two counters on two CPUs that each keep up to 60 pages to themselves (machines below 16 GiB). */
#define PINWATCH_SLACK_PAGES	240

struct pinwatch {
	int fd;
};

/* 0 or -errno. */
int pinwatch_open(struct pinwatch *watch);
void pinwatch_close(struct pinwatch *watch);
/* Pinned pages of the whole machine; a tenth of a millisecond under emulation. -errno. */
long long pinwatch_pins(struct pinwatch *watch);

#endif
