/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stats: what is counted, and who is told.
 *
 *	stats.c		what there is, and what happened
 *	netlink*.c	who looks, see netlink.h
 *	events.c	who wants to be told
 */
#ifndef PREREG_STATS_H
#define PREREG_STATS_H

#include <linux/atomic.h>
#include <linux/types.h>

struct prereg_owner;

/* ---- stats.c ---------------------------------------------------------- */

/* What there is. */
enum prereg_stat {
	PREREG_STAT_CONTAINERS,
	PREREG_STAT_OWNERS,
	PREREG_STAT_REGIONS,
	PREREG_STAT_PINNED_PAGES,
	PREREG_STAT_CHARGED_PAGES,
	PREREG_STAT_KEPT_PAGES,
	PREREG_STAT_STALE_MAPPINGS,
	PREREG_STAT_BOOKKEEPING_BYTES,
	PREREG_STATS
};

extern atomic_long_t prereg_stats[PREREG_STATS];

static inline void prereg_stat_add(enum prereg_stat stat, long value)
{
	atomic_long_add(value, &prereg_stats[stat]);
}

/* What happened since the module was loaded. */
enum prereg_total {
	PREREG_TOTAL_RELEASES,
	PREREG_TOTAL_RELEASED_PAGES,
	PREREG_TOTAL_REVOKED_MAPPINGS,
	PREREG_TOTAL_REFUSED_MEMLOCK,
	PREREG_TOTAL_EVENTS_LOST,
	PREREG_TOTALS
};

extern atomic_long_t prereg_totals[PREREG_TOTALS];

static inline void prereg_total_add(enum prereg_total total, long value)
{
	atomic_long_add(value, &prereg_totals[total]);
}

/* Calls that were refused, by errno; those above have no name in any <errno.h>. */
#define PREREG_ERRNO_MAX	133

extern atomic_long_t prereg_refused[PREREG_ERRNO_MAX + 1];

/* A call answered with -errno. */
static inline void prereg_refused_add(long ret)
{
	if (ret >= -PREREG_ERRNO_MAX)
		atomic_long_inc(&prereg_refused[-ret]);
}

/*
 * <debugfs>/vfio_prereg/stats: one "name value" a line. Mappings are not counted
 * here but summed up when somebody looks.
 */
void prereg_stats_init(void);
void prereg_stats_exit(void);

/* ---- netlink.c -------------------------------------------------------- */

/*
 * The generic netlink family of docs/netlink/prereg.yaml. Must be the last step of
 * module init: a dump may begin at once. Without it everything else works.
 */
void prereg_netlink_init(void);
void prereg_netlink_exit(void);
bool prereg_netlink_up(void);

/* ---- events.c --------------------------------------------------------- */

/**
 * struct prereg_event - what is to be told, see docs/netlink/prereg.yaml
 * @command: PREREG_CMD_*_NTF; what of the rest is sent depends on it
 */
struct prereg_event {
	u8	command;
	pid_t	orphan_pid;
	u64	container_id;
	u64	vaddr;
	u64	bytes;
	u64	mappings;
	u64	duration_ns;
	u64	limit;
	u64	locked;
};

/* Does anybody want to know? Context: any. */
bool prereg_event_wanted(u8 command);

/*
 * Tell them, soon. Nothing is allocated here, and nothing waits: where too many come at
 * once some are lost, and counted. Context: any but interrupts.
 */
void prereg_event_post(const struct prereg_owner *owner,
		       const struct prereg_event *event);

int prereg_events_init(void);

/* Nothing is posted any more. */
void prereg_events_exit(void);

#endif
