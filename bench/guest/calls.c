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

/* Where a sample belongs to, and the sides, SIDES at the end. */
struct calls {
	const char *what;
	const enum side_kind *sides;
	enum backing backing;
	size_t bytes;
	bool warm_up;
};

static void report(const struct calls *calls, const char *call, enum side_kind kind, size_t unit,
		   uint64_t ns, size_t count)
{
	if (!calls->warm_up)
		bench_out(calls->what, "\"call\":\"%s\",\"side\":\"%s\",\"backing\":\"%s\",\"bytes\":%zu,\"unit\":%zu,\"ns\":%.1f",
			  call, side_name[kind], backing_name[calls->backing], calls->bytes, unit,
			  (double)ns / count);
}

/* All of [0, @total) in pieces of @unit. */
static void map_pieces(struct side *side, size_t total, size_t unit)
{
	size_t at;

	for (at = 0; at < total; at += unit)
		side_map(side, BENCH_IOVA + at, at, unit);
}

static void unmap_pieces(struct side *side, size_t total, size_t unit)
{
	size_t at;

	for (at = 0; at < total; at += unit)
		side_unmap(side, BENCH_IOVA + at, unit);
}

static void measure_pieces(const struct calls *calls, struct side *side, size_t total, size_t unit)
{
	uint64_t start;

	/* What was unmapped is kept from now on, in the same pieces. */
	if (side->kind == SIDE_KEPT) {
		map_pieces(side, total, unit);
		unmap_pieces(side, total, unit);
	}
	start = bench_now();
	map_pieces(side, total, unit);
	report(calls, "map", side->kind, unit, bench_now() - start, total / unit);
	start = bench_now();
	unmap_pieces(side, total, unit);
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
	if (side_registers(kind))
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
	if (side_registers(kind))
		report(calls, "unregister", kind, calls->bytes, ns, 1);
	if (side_kernel() == SIDE_SPAPR) {
		ns += side_wait_unpinned(pins);
		/* A count has nothing of what others do. */
		if (!bench_counts())
			report(calls, "unpinned", kind, calls->bytes, ns, 1);
	}
	side_close(&side);
}

static void measure_sides(struct calls *calls, unsigned int rounds)
{
	char *p = memory_get(calls->bytes, calls->backing);
	const enum side_kind *kind;
	unsigned int round;

	for (round = 0; round <= rounds; round++) {
		calls->warm_up = !round;
		for (kind = calls->sides; *kind != SIDES; kind++)
			measure_side(calls, *kind, p);
	}
	memory_put(p, calls->bytes);
}

void bench_calls(enum backing backing, size_t bytes, unsigned int rounds)
{
	struct calls calls = {
		.what = "call", .sides = calls_sides(), .backing = backing, .bytes = bytes,
	};

	measure_sides(&calls, rounds);
}

void bench_type1(enum backing backing, size_t bytes, unsigned int rounds)
{
	static const enum side_kind sides[] = { SIDE_TYPE1, SIDE_PLAIN, SIDE_KEPT, SIDES };
	struct calls calls = {
		.what = "type1", .sides = sides, .backing = backing, .bytes = bytes,
	};

	measure_sides(&calls, rounds);
}

void bench_nop(unsigned int rounds)
{
	const struct calls calls = { .what = "call" };
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
