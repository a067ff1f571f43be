// SPDX-License-Identifier: GPL-2.0
/* A thousand pages, each a mapping of its own: by as many calls, and by one (VFIO_PREREG_BATCH). */
#include "bench.h"

#define BATCH_MAPS	1000u

/* Instructions or nanoseconds for each. */
static void batch_report(const char *side, enum backing backing, uint64_t map, uint64_t unmap)
{
	bench_out("batch", "\"side\":\"%s\",\"backing\":\"%s\",\"maps\":%u,\"map_ns\":%.1f,\"unmap_ns\":%.1f",
		  side, backing_name[backing], BATCH_MAPS, (double)map / BATCH_MAPS, (double)unmap / BATCH_MAPS);
}

static void batch_singly(enum side_kind kind, enum backing backing, char *p, size_t bytes, bool warm_up)
{
	const size_t page = backing_page(backing);
	uint64_t start, map, unmap;
	struct side side;
	unsigned int i;

	side_open(&side, kind);
	side_window(&side, backing);
	side_register(&side, p, bytes);
	start = bench_now();
	for (i = 0; i < BATCH_MAPS; i++)
		side_map(&side, BENCH_IOVA + i * page, i * page, page);
	map = bench_now() - start;
	start = bench_now();
	for (i = 0; i < BATCH_MAPS; i++)
		side_unmap(&side, BENCH_IOVA + i * page, page);
	unmap = bench_now() - start;
	if (!warm_up)
		batch_report(side_name[kind], backing, map, unmap);
	side_unregister(&side);
	side_close(&side);
}

/* What a caller does to fill in the entries is a part of it. */
static void batch_at_once(enum backing backing, char *p, size_t bytes, bool warm_up)
{
	static struct vfio_prereg_batch_entry entries[BATCH_MAPS];
	const size_t page = backing_page(backing);
	uint64_t start, map, unmap;
	struct side side;
	unsigned int i;

	side_open(&side, SIDE_PREREG);
	side_window(&side, backing);
	side_register(&side, p, bytes);
	start = bench_now();
	for (i = 0; i < BATCH_MAPS; i++)
		entries[i] = (struct vfio_prereg_batch_entry){
			.iova = BENCH_IOVA + i * page, .vaddr = (uintptr_t)p + i * page, .size = page,
			.flags = VFIO_MAP_RW,
		};
	bench_need(vfio_batch(side.dev.container, VFIO_PREREG_BATCH_MAP, entries, BATCH_MAPS, NULL),
		   "a batch of MAPs");
	map = bench_now() - start;
	start = bench_now();
	for (i = 0; i < BATCH_MAPS; i++)
		entries[i] = (struct vfio_prereg_batch_entry){ .iova = BENCH_IOVA + i * page, .size = page };
	bench_need(vfio_batch(side.dev.container, VFIO_PREREG_BATCH_UNMAP, entries, BATCH_MAPS, NULL),
		   "a batch of UNMAPs");
	unmap = bench_now() - start;
	if (!warm_up)
		batch_report("batch", backing, map, unmap);
	side_unregister(&side);
	side_close(&side);
}

void bench_batch(enum backing backing, size_t bytes, unsigned int rounds)
{
	char *p = memory_get(bytes, backing);
	unsigned int round;

	if (bytes / backing_page(backing) < BATCH_MAPS)
		bench_die("%zu MiB are less than %u pages", bytes / MIB, BATCH_MAPS);
	for (round = 0; round <= rounds; round++) {
		batch_singly(side_kernel(), backing, p, bytes, !round);
		batch_singly(SIDE_PREREG, backing, p, bytes, !round);
		batch_at_once(backing, p, bytes, !round);
	}
	memory_put(p, bytes);
}
