// SPDX-License-Identifier: GPL-2.0
/* Register, map and unmap: the same memory, the sides one after the other in every round. */
#include "bench.h"
#include "meter.h"

/* Maps of 4 KiB in a sample: as many as make one long against the clock's own time. */
#define SMALL_MAPS	4096ul
#define NOPS		20000u

static const enum side_kind calls_sides[] = { SIDE_TYPE1, SIDE_PREREG, SIDE_LIMIT, SIDE_LIMIT_SG };

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

	start = meter_now_ns();
	for (at = 0; at < total; at += unit)
		side_map(side, BENCH_IOVA + at, at, unit);
	report(calls, "map", side->kind, unit, meter_now_ns() - start, total / unit);
	start = meter_now_ns();
	for (at = 0; at < total; at += unit)
		side_unmap(side, BENCH_IOVA + at, unit);
	report(calls, "unmap", side->kind, unit, meter_now_ns() - start, total / unit);
	if (side->kind != SIDE_LIMIT)
		return;
	start = meter_now_ns();
	side_map_bare(side, BENCH_IOVA, total, unit);
	report(calls, "map_bare", side->kind, unit, meter_now_ns() - start, total / unit);
	start = meter_now_ns();
	side_unmap_bare(side, BENCH_IOVA, total, unit);
	report(calls, "unmap_bare", side->kind, unit, meter_now_ns() - start, total / unit);
}

static void measure_side(const struct calls *calls, enum side_kind kind, char *p)
{
	const size_t small = SMALL_MAPS * PAGE_BYTES;
	struct side side;
	uint64_t ns;

	side_open(&side, kind);
	ns = side_register(&side, p, calls->bytes);
	if (kind != SIDE_TYPE1)
		report(calls, "register", kind, calls->bytes, ns, 1);
	if (kind == SIDE_LIMIT && !calls->warm_up)
		bench_out("stretches", "\"backing\":\"%s\",\"bytes\":%zu,\"stretches\":%llu",
			  backing_name[calls->backing], calls->bytes,
			  (unsigned long long)side.stretches);
	measure_pieces(calls, &side, calls->bytes < small ? calls->bytes : small, PAGE_BYTES);
	measure_pieces(calls, &side, calls->bytes, 2 * MIB);
	measure_pieces(calls, &side, calls->bytes, calls->bytes);
	ns = side_unregister(&side);
	if (kind != SIDE_TYPE1)
		report(calls, "unregister", kind, calls->bytes, ns, 1);
	side_close(&side);
}

void bench_calls(enum backing backing, size_t bytes, unsigned int rounds)
{
	struct calls calls = { backing, bytes, true };
	char *p = memory_get(bytes, backing);
	unsigned int round, i;

	for (round = 0; round <= rounds; round++) {
		for (i = 0; i < sizeof(calls_sides) / sizeof(calls_sides[0]); i++)
			measure_side(&calls, calls_sides[i], p);
		calls.warm_up = false;
	}
	memory_put(p, bytes);
}

void bench_nop(unsigned int rounds)
{
	const struct calls calls = { 0 };
	unsigned int round, i, n;

	for (round = 0; round < rounds; round++) {
		for (i = 0; i < sizeof(calls_sides) / sizeof(calls_sides[0]); i++) {
			struct side side;
			uint64_t start;

			side_open(&side, calls_sides[i]);
			start = meter_now_ns();
			for (n = 0; n < NOPS; n++)
				side_nop(&side);
			report(&calls, "nop", side.kind, 0, meter_now_ns() - start, NOPS);
			side_close(&side);
		}
	}
}
