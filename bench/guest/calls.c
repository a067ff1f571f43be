// SPDX-License-Identifier: GPL-2.0
/* Register, map and unmap: the same memory, the sides one after the other in every round. */
#include "bench.h"
#include "meter.h"

/* Maps of a page in a sample: as many as make one long against the clock's own time. */
#define SMALL_MAPS	4096ul
#define NOPS		20000u

/* The sides of this machine, SIDES at the end. */
static const enum side_kind *calls_sides(void)
{
	static const enum side_kind domain[] = {
		SIDE_TYPE1, SIDE_PREREG, SIDE_LIMIT, SIDE_LIMIT_SG, SIDES
	};
	static const enum side_kind tce[] = { SIDE_SPAPR, SIDE_PREREG, SIDES };

	return side_kernel() == SIDE_SPAPR ? tce : domain;
}

/* Where a sample belongs to. */
struct calls {
	enum backing backing;
	size_t bytes;
	bool warm_up;
};

static void report(const struct calls *calls, const char *call, enum side_kind kind, size_t unit,
		   uint64_t ns, size_t count)
{
	if (!calls->warm_up)
		bench_out("call", "\"call\":\"%s\",\"side\":\"%s\",\"backing\":\"%s\",\"bytes\":%zu,\"unit\":%zu,\"ns\":%.1f",
			  call, side_name[kind], backing_name[calls->backing], calls->bytes, unit,
			  (double)ns / count);
}

/* All of [0, @total) in pieces of @unit, mapped and unmapped. */
static void measure_pieces(const struct calls *calls, struct side *side, size_t total, size_t unit)
{
	uint64_t start;
	size_t at;

	start = bench_now();
	for (at = 0; at < total; at += unit)
		side_map(side, BENCH_IOVA + at, at, unit);
	report(calls, "map", side->kind, unit, bench_now() - start, total / unit);
	start = bench_now();
	for (at = 0; at < total; at += unit)
		side_unmap(side, BENCH_IOVA + at, unit);
	report(calls, "unmap", side->kind, unit, bench_now() - start, total / unit);
	if (side->kind != SIDE_LIMIT)
		return;
	start = bench_now();
	side_map_bare(side, BENCH_IOVA, total, unit);
	report(calls, "map_bare", side->kind, unit, bench_now() - start, total / unit);
	start = bench_now();
	side_unmap_bare(side, BENCH_IOVA, total, unit);
	report(calls, "unmap_bare", side->kind, unit, bench_now() - start, total / unit);
}

static void measure_side(const struct calls *calls, enum side_kind kind, char *p)
{
	const size_t page = backing_page(calls->backing), small = SMALL_MAPS * page;
	const long long pins = meter_pins();
	struct side side;
	uint64_t ns;

	side_open(&side, kind);
	side_window(&side, calls->backing);
	ns = side_register(&side, p, calls->bytes);
	if (kind != SIDE_TYPE1)
		report(calls, "register", kind, calls->bytes, ns, 1);
	if (kind == SIDE_LIMIT && !calls->warm_up)
		bench_out("stretches", "\"backing\":\"%s\",\"bytes\":%zu,\"stretches\":%llu",
			  backing_name[calls->backing], calls->bytes,
			  (unsigned long long)side.stretches);
	measure_pieces(calls, &side, calls->bytes < small ? calls->bytes : small, page);
	if (page < 2 * MIB)
		measure_pieces(calls, &side, calls->bytes, 2 * MIB);
	measure_pieces(calls, &side, calls->bytes, calls->bytes);
	ns = side_unregister(&side);
	if (kind != SIDE_TYPE1)
		report(calls, "unregister", kind, calls->bytes, ns, 1);
	if (side_kernel() == SIDE_SPAPR) {
		ns += side_wait_unpinned(pins);
		/* A count has nothing of what others do. */
		if (!bench_counts())
			report(calls, "unpinned", kind, calls->bytes, ns, 1);
	}
	side_close(&side);
}

void bench_calls(enum backing backing, size_t bytes, unsigned int rounds)
{
	struct calls calls = { backing, bytes, true };
	char *p = memory_get(bytes, backing);
	const enum side_kind *kind;
	unsigned int round;

	for (round = 0; round <= rounds; round++) {
		for (kind = calls_sides(); *kind != SIDES; kind++)
			measure_side(&calls, *kind, p);
		calls.warm_up = false;
	}
	memory_put(p, bytes);
}

void bench_nop(unsigned int rounds)
{
	const struct calls calls = { 0 };
	const enum side_kind *kind;
	unsigned int round, n;

	for (round = 0; round < rounds; round++) {
		for (kind = calls_sides(); *kind != SIDES; kind++) {
			struct side side;
			uint64_t start;

			side_open(&side, *kind);
			start = bench_now();
			for (n = 0; n < NOPS; n++)
				side_nop(&side);
			report(&calls, "nop", side.kind, 0, bench_now() - start, NOPS);
			side_close(&side);
		}
	}
}
