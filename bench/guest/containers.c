// SPDX-License-Identifier: GPL-2.0
/*
 * One process with a container for each device, as a program with a virtual IOMMU has them, and
 * the same memory mapped in all of them: what each map costs, and what the process
 * is charged for in the end.
 */
#include <string.h>

#include "bench.h"
#include "meter.h"

#define CONTAINERS_MAX	4u

struct containers {
	struct side sides[CONTAINERS_MAX];
	uint64_t map_ns[CONTAINERS_MAX];
	uint64_t unmap_ns[CONTAINERS_MAX];
	unsigned int count;
	long long charged_kib;
	long long pins;
};

static void measure(struct containers *all, enum side_kind kind, char *p, size_t bytes)
{
	const long long pins = meter_pins(), locked = meter_vmlck_kib(0);
	uint64_t start;
	unsigned int n;

	for (n = 0; n < all->count; n++) {
		side_open_device(&all->sides[n], kind, vfio_edu(n));
		side_register(&all->sides[n], p, bytes);
	}
	for (n = 0; n < all->count; n++) {
		start = bench_now();
		side_map(&all->sides[n], BENCH_IOVA, 0, bytes);
		all->map_ns[n] = bench_now() - start;
	}
	all->charged_kib = meter_vmlck_kib(0) - locked;
	all->pins = meter_pins() - pins;
	for (n = 0; n < all->count; n++) {
		start = bench_now();
		side_unmap(&all->sides[n], BENCH_IOVA, bytes);
		all->unmap_ns[n] = bench_now() - start;
	}
	for (n = 0; n < all->count; n++)
		side_close(&all->sides[n]);
}

static void report(const struct containers *all, enum backing backing, size_t bytes)
{
	const char *side = side_name[all->sides[0].kind];
	unsigned int n;

	for (n = 0; n < all->count; n++)
		bench_out("container", "\"side\":\"%s\",\"backing\":\"%s\",\"bytes\":%zu,\"nth\":%u,\"map_ns\":%llu,\"unmap_ns\":%llu",
			  side, backing_name[backing], bytes, n + 1,
			  (unsigned long long)all->map_ns[n],
			  (unsigned long long)all->unmap_ns[n]);
	bench_out("containers", "\"side\":\"%s\",\"backing\":\"%s\",\"bytes\":%zu,\"containers\":%u,\"charged\":%lld,\"pinned\":%lld",
		  side, backing_name[backing], bytes, all->count, all->charged_kib << 10,
		  all->pins * (long long)PAGE_BYTES);
}

void bench_containers(enum backing backing, size_t bytes, unsigned int rounds)
{
	static const enum side_kind sides[] = { SIDE_TYPE1, SIDE_PLAIN };
	char *p = memory_get(bytes, backing);
	struct containers all = { .count = 0 };
	unsigned int round, i;

	while (all.count < CONTAINERS_MAX && strcmp(vfio_edu(all.count), "none"))
		all.count++;
	/* The first round warms up. */
	for (round = 0; round <= rounds; round++) {
		for (i = 0; i < sizeof(sides) / sizeof(sides[0]); i++) {
			measure(&all, sides[i], p, bytes);
			if (round)
				report(&all, backing, bytes);
		}
	}
	memory_put(p, bytes);
}
