// SPDX-License-Identifier: GPL-2.0-only
/*
 * stats: how much of everything exists, for administrators and tests.
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "prereg.h"

atomic_long_t prereg_stats[PREREG_STATS];
atomic_long_t prereg_totals[PREREG_TOTALS];
atomic_long_t prereg_refused[PREREG_ERRNO_MAX + 1];

static const char * const prereg_stat_names[PREREG_STATS] = {
	[PREREG_STAT_CONTAINERS]	= "containers",
	[PREREG_STAT_OWNERS]		= "owners",
	[PREREG_STAT_REGIONS]		= "regions",
	[PREREG_STAT_PINNED_PAGES]	= "pinned_pages",
	[PREREG_STAT_CHARGED_PAGES]	= "charged_pages",
	[PREREG_STAT_KEPT_PAGES]	= "kept_pages",
	[PREREG_STAT_STALE_MAPPINGS]	= "stale_mappings",
	[PREREG_STAT_BOOKKEEPING_BYTES]	= "bookkeeping_bytes",
};

static struct dentry *prereg_stats_dir;

static int stats_show(struct seq_file *seq, void *unused)
{
	unsigned long nmappings;
	u64 mapped_bytes;
	int i;

	prereg_containers_count(&nmappings, &mapped_bytes);
	seq_printf(seq, "mappings %lu\n", nmappings);
	seq_printf(seq, "mapped_bytes %llu\n", mapped_bytes);
	for (i = 0; i < PREREG_STATS; i++)
		seq_printf(seq, "%s %ld\n", prereg_stat_names[i],
			   atomic_long_read(&prereg_stats[i]));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

void prereg_stats_init(void)
{
	prereg_stats_dir = debugfs_create_dir("vfio_prereg", NULL);
	debugfs_create_file("stats", 0400, prereg_stats_dir, NULL,
			    &stats_fops);
}

void prereg_stats_exit(void)
{
	debugfs_remove(prereg_stats_dir);
}
