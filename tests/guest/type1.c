// SPDX-License-Identifier: GPL-2.0
/*
 * Containers of types 1 and 3 as vfio_prereg serves them, where it does more than the kernel's
 * driver: one charge for an address space, memory that goes with it, pins that are kept.
 * What both answer alike is tests/conformance.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "meter.h"
#include "suite.h"
#include "tap.h"
#include "type1_tests.h"

long type1_version = VFIO_TYPE1v2_IOMMU;
unsigned int benches_open;

char *memory(size_t pages)
{
	char *p = mem_alloc(pages * PAGE, MEM_SMALL);

	if (!tap_expect(p, "memory: %s", strerror(errno)))
		_exit(1);
	return p;
}

bool bench_open(struct bench *bench, const char *bdf)
{
	if (!rig_open_type(&bench->rig, bdf, type1_version))
		return false;
	bench->container = bench->rig.container;
	bench->scratch = memory(1);
	benches_open++;
	return bench_map(bench, SCRATCH_IOVA, bench->scratch, 1);
}

void bench_close(struct bench *bench)
{
	rig_close(&bench->rig);
	benches_open--;
}

bool bench_map(struct bench *bench, uint64_t iova, void *va, size_t pages)
{
	return tap_expect_ret(vfio_map(bench->container, iova, va, pages * PAGE, VFIO_MAP_RW), 0,
			      "MAP of %zu pages at 0x%llx", pages, (unsigned long long)iova);
}

bool bench_unmap(struct bench *bench, uint64_t iova, size_t pages)
{
	uint64_t unmapped;

	return tap_expect_ret(type1_unmap(bench->container, iova, pages * PAGE, 0, &unmapped), 0,
			      "UNMAP of %zu pages at 0x%llx", pages, (unsigned long long)iova) &&
	       tap_expect_eq(unmapped, pages * PAGE, "bytes unmapped");
}

bool bench_reads(struct bench *bench, uint64_t iova, uint32_t seed)
{
	memset(bench->scratch, 0, 64);
	return !edu_copy(&bench->rig.edu, SCRATCH_IOVA, iova, 64) && mem_matches(bench->scratch, 64, seed);
}

bool expect_held(long long pinned, long long charged, long long kept, const char *when)
{
	const long long own = benches_open;
	bool good;

	good = tap_expect_eq(rig_pins() - own, pinned, "pinned pages %s", when);
	good &= tap_expect_eq(meter_vmlck_kib(0) / (long long)(PAGE >> 10) - own, charged, "charged pages %s", when);
	good &= tap_expect_eq(meter_stat("pinned_pages") - own, pinned, "pages that the module says it pins %s", when);
	return good & tap_expect_eq(meter_stat("kept_pages"), kept, "kept pages %s", when);
}

static const struct suite_test tests[] = {
	{ .name = "two-containers", .run = test_two_containers },
	{ .name = "two-containers-limit", .run = test_two_containers_limit },
	{ .name = "reclaim", .run = test_reclaim },
	{ .name = "overlaps", .run = test_overlaps },
	{ .name = "registered-first", .run = test_registered_first },
	{ .name = "mapped-first", .run = test_mapped_first },
	{ .name = "two-processes", .run = test_two_processes },
	{ .name = "guest-outlives", .run = test_guest_outlives },
	{ .name = "revoked-at-exit", .run = test_revoked_at_exit },
	{ .name = "fork", .run = test_fork },
	{ .name = "stale", .run = test_stale },
	{ .name = "stale-told-once", .run = test_stale_told_once },
	{ .name = "kept", .run = test_kept },
	{ .name = "kept-arguments", .run = test_kept_arguments },
	{ .name = "kept-default", .run = test_kept_default },
	{ .name = "kept-dropped", .run = test_kept_dropped },
	{ .name = "kept-protected", .run = test_kept_protected },
	{ .name = "kept-fork", .run = test_kept_fork },
	{ .name = "kept-private-file", .run = test_kept_private_file },
	{ .name = "kept-limit", .run = test_kept_limit },
	{ .name = "kept-memlock", .run = test_kept_memlock },
	{ .name = "kept-pressure", .run = test_kept_pressure },
	{ .name = "kept-close", .run = test_kept_close },
	{ .name = "kept-exit", .run = test_kept_exit },
};

static const struct suite_option options[] = {
	{ .name = "--type", .number = &type1_version, .help = "1 or 3 (the default)" },
};

static bool options_make_sense(void)
{
	return type1_version == VFIO_TYPE1_IOMMU || type1_version == VFIO_TYPE1v2_IOMMU;
}

int main(int argc, char **argv)
{
	const struct suite suite = {
		.name = "type1",
		.tests = tests,
		.n_tests = SUITE_SIZE(tests),
		.options = options,
		.n_options = SUITE_SIZE(options),
		.apply_options = options_make_sense,
		.unfit = type1_unfit,
	};

	return suite_main(argc, argv, &suite);
}
