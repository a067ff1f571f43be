// SPDX-License-Identifier: GPL-2.0
/*
 * What is different on POWER: the kernel's own driver has the same type number as
 * vfio_prereg, and windows are tables.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"
#include "meter.h"
#include "pinwatch.h"
#include "proc.h"

#define OURS		"vfio_prereg"
#define OURS_FILE	"/m/" OURS ".ko"
#define OURS_TYPE1	"/sys/module/" OURS "/parameters/type1"
#define KERNELS		"vfio_iommu_spapr_tce"
#define WARM_UP_MAPS	512u
#define UNPIN_TIMEOUT_NS 60000000000ull
/* Mapped one by one in a window, half of them at each end. */
#define WINDOW_MAPS	1024ul
#define WINDOW_BYTES	(2ull << 30)

static bool loaded(const char *module)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/module/%s", module);
	return !access(path, F_OK);
}

enum side_kind side_kernel(void)
{
	return loaded(KERNELS) ? SIDE_SPAPR : SIDE_TYPE1;
}

/* The emulator translates code when it is first run: that is not to be measured. */
static void warm_up(enum side_kind kind)
{
	char *p = memory_get(2 * MIB, BACKING_SMALL);
	struct side side;
	size_t i;

	side_open(&side, kind);
	side_window(&side, BACKING_SMALL);
	side_register(&side, p, 2 * MIB);
	for (i = 0; i < WARM_UP_MAPS; i++) {
		side_map(&side, BENCH_IOVA, 0, PAGE_BYTES);
		side_unmap(&side, BENCH_IOVA, PAGE_BYTES);
	}
	side_map(&side, BENCH_IOVA, 0, 2 * MIB);
	side_unmap(&side, BENCH_IOVA, 2 * MIB);
	side_unregister(&side);
	side_close(&side);
	memory_put(p, 2 * MIB);
}

static void ours_load(void)
{
	int fd = open(OURS_FILE, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
		bench_die("load " OURS_FILE ": %s", strerror(errno));
	close(fd);
}

void side_load(enum side_kind kind)
{
	if (side_kernel() == SIDE_TYPE1) {
		bench_need(meter_file_write(OURS_TYPE1, kind == SIDE_TYPE1 ? "N" : "Y"),
			   "write " OURS_TYPE1);
		return;
	}
	if ((kind == SIDE_PREREG) == loaded(OURS))
		return;
	if (kind == SIDE_PREREG)
		ours_load();
	else if (syscall(SYS_delete_module, OURS, 0))
		bench_die("unload " OURS ": %s", strerror(errno));
	warm_up(kind);
}

void side_window(struct side *side, enum backing backing)
{
	uint64_t start;

	if (side_kernel() != SIDE_SPAPR)
		return;
	bench_need(spapr_remove(side->dev.container, 0), "remove the default window");
	bench_need(spapr_create(side->dev.container, __builtin_ctzl(backing_page(backing)),
				WINDOW_BYTES, 1, &start), "create a window");
	if (start)
		bench_die("the window starts at %#llx", (unsigned long long)start);
}

uint64_t side_wait_unpinned(long long pins)
{
	const uint64_t start = meter_now_ns();
	struct pinwatch watch;

	bench_need(pinwatch_open(&watch), "open /proc/vmstat");
	while (pinwatch_pins(&watch) > pins + PINWATCH_SLACK_PAGES)
		if (meter_now_ns() - start > UNPIN_TIMEOUT_NS)
			bench_die("pages are still pinned after a minute");
	pinwatch_close(&watch);
	return meter_now_ns() - start;
}

/* The windows that are measured. All have as many entries as a default window, or fewer. */
static const struct table {
	unsigned int page_shift;
	unsigned int shift;
	unsigned int levels;
} tables[] = {
	{ 12, 24, 1 }, { 12, 28, 1 }, { 12, 31, 1 }, { 12, 31, 2 }, { 16, 35, 1 }, { 21, 40, 1 },
};

/* Makes the window, maps the page at @p at both of its ends, removes it with that in it, and an empty one. */
static void table_one(enum side_kind kind, char *p, const struct table *table)
{
	const size_t page = 1ul << table->page_shift;
	const uint64_t bytes = 1ull << table->shift;
	uint64_t start, begin, create_ns, empty_ns, map_ns, remove_ns;
	struct side side;
	size_t i;

	side_open(&side, kind);
	side_register(&side, p, 2 * MIB);
	bench_need(spapr_remove(side.dev.container, 0), "remove the default window");
	begin = bench_now();
	bench_need(spapr_create(side.dev.container, table->page_shift, bytes, table->levels,
				&start), "create a window");
	create_ns = bench_now() - begin;
	begin = bench_now();
	bench_need(spapr_remove(side.dev.container, start), "remove an empty window");
	empty_ns = bench_now() - begin;
	bench_need(spapr_create(side.dev.container, table->page_shift, bytes, table->levels,
				&start), "create a window again");
	begin = bench_now();
	for (i = 0; i < WINDOW_MAPS / 2; i++) {
		side_map(&side, start + i * page, 0, page);
		side_map(&side, start + bytes - (i + 1) * page, 0, page);
	}
	map_ns = bench_now() - begin;
	begin = bench_now();
	bench_need(spapr_remove(side.dev.container, start), "remove a window");
	remove_ns = bench_now() - begin;
	bench_out("table", "\"side\":\"%s\",\"page_shift\":%u,\"shift\":%u,\"levels\":%u,\"create_ns\":%llu,\"empty_ns\":%llu,\"map_ns\":%.1f,\"remove_ns\":%llu",
		  side_name[kind], table->page_shift, table->shift, table->levels,
		  (unsigned long long)create_ns, (unsigned long long)empty_ns,
		  (double)map_ns / WINDOW_MAPS, (unsigned long long)remove_ns);
	side_close(&side);
}

void bench_tables(unsigned int rounds)
{
	char *p = memory_get(2 * MIB, BACKING_WINDOW_2M);
	unsigned int round;
	size_t i;

	for (round = 0; round < rounds; round++) {
		for (i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
			table_one(SIDE_SPAPR, p, &tables[i]);
			table_one(SIDE_PREREG, p, &tables[i]);
		}
	}
	memory_put(p, 2 * MIB);
}
