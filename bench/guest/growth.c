// SPDX-License-Identifier: GPL-2.0
/*
 * How cost grows with the number of mappings, the size of windows, the number
 * of regions; and what is remembered about memory that is held.
 */
#define _GNU_SOURCE
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "meter.h"

/* Further maps that are timed beside those that exist already. */
#define MAPPINGS_PROBE	1024ul
/* The most that type1 allows by default are 65535. */
#define MAPPINGS_BYTES	(256 * MIB)
/* The further ones are behind these IOVAs. */
#define MAPPINGS_IOVAS	(1024 * MIB)
#define WINDOW_PROBE	1024ul

static const size_t mappings_counts[] = { 0, 1024, 8192, 32768, 60000 };
static const size_t regions_counts[] = { 256, 1024, 4096, 16384 };
static const unsigned int window_shifts[] = { 31, 34, 39, 43, 47 };

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* One page more among @count mappings of one page. */
static void mappings_one(enum side_kind kind, char *p, size_t count)
{
	const size_t probe = MAPPINGS_PROBE * PAGE_BYTES;
	struct side side;
	uint64_t start, map_ns, unmap_ns;
	size_t i;

	side_open(&side, kind);
	side_window(&side, BACKING_SMALL);
	side_register(&side, p, MAPPINGS_BYTES);
	/* A gap behind each one, so that nothing could be merged. */
	for (i = 0; i < count; i++)
		side_map(&side, BENCH_IOVA + 2 * i * PAGE_BYTES,
			 i * PAGE_BYTES % MAPPINGS_BYTES, PAGE_BYTES);
	start = bench_now();
	for (i = 0; i < probe; i += PAGE_BYTES)
		side_map(&side, BENCH_IOVA + MAPPINGS_IOVAS + i, i, PAGE_BYTES);
	map_ns = bench_now() - start;
	start = bench_now();
	for (i = 0; i < probe; i += PAGE_BYTES)
		side_unmap(&side, BENCH_IOVA + MAPPINGS_IOVAS + i, PAGE_BYTES);
	unmap_ns = bench_now() - start;
	bench_out("mappings", "\"side\":\"%s\",\"mappings\":%zu,\"map_ns\":%.1f,\"unmap_ns\":%.1f",
		  side_name[kind], count, (double)map_ns / MAPPINGS_PROBE,
		  (double)unmap_ns / MAPPINGS_PROBE);
	side_close(&side);
}

void bench_mappings(unsigned int rounds)
{
	char *p = memory_get(MAPPINGS_BYTES, BACKING_SMALL);
	unsigned int round;
	size_t i;

	for (round = 0; round < rounds; round++) {
		for (i = 0; i < COUNT(mappings_counts); i++) {
			if (2 * mappings_counts[i] * PAGE_BYTES > MAPPINGS_IOVAS)
				continue;
			mappings_one(side_kernel(), p, mappings_counts[i]);
			mappings_one(SIDE_PREREG, p, mappings_counts[i]);
		}
	}
	memory_put(p, MAPPINGS_BYTES);
}

/* A window of 1 << @shift bytes: make it, map at both ends, remove it with the mappings in it. */
static void window_one(char *p, size_t bytes, unsigned int shift)
{
	/* Not behind the IOMMU's aperture, whatever the window's size. */
	const uint64_t high = 1ull << (shift < 38 ? shift : 38);
	uint64_t start, begin, create_ns, map_ns, remove_ns;
	struct side side;
	size_t at;

	side_open(&side, SIDE_PREREG);
	side_register(&side, p, bytes);
	bench_need(spapr_remove(side.dev.container, 0), "remove the default window");
	begin = bench_now();
	bench_need(spapr_create(side.dev.container, __builtin_ctzl(PAGE_BYTES), 1ull << shift, 1,
				&start), "create a window");
	create_ns = bench_now() - begin;
	begin = bench_now();
	for (at = 0; at < bytes; at += 2 * PAGE_BYTES) {
		side_map(&side, start + at, at, PAGE_BYTES);
		side_map(&side, start + high - bytes + at, at, PAGE_BYTES);
	}
	map_ns = bench_now() - begin;
	begin = bench_now();
	bench_need(spapr_remove(side.dev.container, start), "remove a window");
	remove_ns = bench_now() - begin;
	bench_out("window", "\"shift\":%u,\"create_ns\":%llu,\"map_ns\":%.1f,\"remove_ns\":%llu",
		  shift, (unsigned long long)create_ns, (double)map_ns / (bytes / PAGE_BYTES),
		  (unsigned long long)remove_ns);
	side_close(&side);
}

void bench_windows(unsigned int rounds)
{
	const size_t bytes = WINDOW_PROBE * PAGE_BYTES;
	char *p = memory_get(bytes, BACKING_SMALL);
	unsigned int round;
	size_t i;

	for (round = 0; round < rounds; round++)
		for (i = 0; i < COUNT(window_shifts); i++)
			window_one(p, bytes, window_shifts[i]);
	memory_put(p, bytes);
}

/* @count regions of one page, registered and mapped one by one, as DPDK does without huge pages. */
static void regions_one(enum side_kind kind, char *p, size_t count)
{
	struct side side;
	uint64_t start, hold_ns, drop_ns;
	size_t i;

	side_open(&side, kind);
	side_window(&side, BACKING_SMALL);
	start = bench_now();
	for (i = 0; i < count; i++) {
		if (side_registers(kind))
			bench_need(spapr_register(side.dev.container, p + i * PAGE_BYTES,
						  PAGE_BYTES), "REGISTER");
		bench_need(vfio_map(side.dev.container, BENCH_IOVA + i * PAGE_BYTES,
				    p + i * PAGE_BYTES, PAGE_BYTES, VFIO_MAP_RW), "MAP");
	}
	hold_ns = bench_now() - start;
	start = bench_now();
	for (i = 0; i < count; i++) {
		side_unmap(&side, BENCH_IOVA + i * PAGE_BYTES, PAGE_BYTES);
		if (side_registers(kind))
			bench_need(spapr_unregister(side.dev.container, p + i * PAGE_BYTES,
						    PAGE_BYTES), "UNREGISTER");
	}
	drop_ns = bench_now() - start;
	bench_out("regions", "\"side\":\"%s\",\"regions\":%zu,\"hold_ns\":%.1f,\"drop_ns\":%.1f",
		  side_name[kind], count, (double)hold_ns / count, (double)drop_ns / count);
	side_close(&side);
}

void bench_regions(unsigned int rounds)
{
	/* The SPAPR driver searches a list, and would take a minute for the last of them. */
	const size_t counts = COUNT(regions_counts) - (side_kernel() == SIDE_SPAPR);
	const size_t bytes = regions_counts[counts - 1] * PAGE_BYTES;
	char *p = memory_get(bytes, BACKING_SMALL);
	unsigned int round;
	size_t i;

	for (round = 0; round < rounds; round++) {
		for (i = 0; i < counts; i++) {
			regions_one(side_kernel(), p, regions_counts[i]);
			regions_one(SIDE_PREREG, p, regions_counts[i]);
		}
	}
	memory_put(p, bytes);
}

/*
 * Free memory that goes when memory is held, mapped in @pieces mappings. With
 * the bare IOMMU API it is what mapping takes, so page tables only; what the
 * others take beyond that is bookkeeping.
 */
static void bookkeeping_one(enum side_kind kind, enum backing backing, char *p, size_t bytes,
			    size_t pieces)
{
	struct meter_stats stats = { .bookkeeping_bytes = -1 };
	const long long pins = meter_pins();
	long long free_before;
	struct side side;
	size_t at;

	side_open(&side, kind);
	side_window(&side, backing);
	free_before = meter_free_kib();
	side_register(&side, p, bytes);
	if (kind == SIDE_LIMIT)
		free_before = meter_free_kib();
	for (at = 0; at < bytes; at += bytes / pieces)
		side_map(&side, BENCH_IOVA + at, at, bytes / pieces);
	if (kind == SIDE_PREREG)
		bench_need(meter_stats_read(&stats), "read the module's counters");
	bench_out("bookkeeping", "\"side\":\"%s\",\"backing\":\"%s\",\"bytes\":%zu,\"pieces\":%zu,\"taken_kib\":%lld,\"own_bytes\":%lld",
		  side_name[kind], backing_name[backing], bytes, pieces,
		  free_before - meter_free_kib(), stats.bookkeeping_bytes);
	side_close(&side);
	side_wait_unpinned(pins);
	/* Page tables and slabs go a moment later. */
	meter_sleep_ms(50);
}

void bench_bookkeeping(enum backing backing, size_t bytes, unsigned int rounds)
{
	char *p = memory_get(bytes, backing);
	const size_t pieces[] = { 1, bytes / (2 * MIB), bytes / PAGE_BYTES / 2 };
	unsigned int round;
	size_t i;

	for (round = 0; round < rounds; round++) {
		for (i = 0; i < COUNT(pieces); i++) {
			bookkeeping_one(side_kernel(), backing, p, bytes, pieces[i]);
			bookkeeping_one(SIDE_PREREG, backing, p, bytes, pieces[i]);
			if (side_kernel() == SIDE_TYPE1)
				bookkeeping_one(SIDE_LIMIT, backing, p, bytes, pieces[i]);
		}
	}
	memory_put(p, bytes);
}
