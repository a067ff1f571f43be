// SPDX-License-Identifier: GPL-2.0
/* Every row of the errno table, and what a call may be handed. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "api.h"
#include "proc.h"
#include "suite.h"

#define ARENA_BYTES (64 * MIB)

char *api_hole(size_t bytes)
{
	const size_t total = bytes + 8 * MIB;
	uintptr_t p = (uintptr_t)mmap(NULL, total, PROT_NONE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if ((void *)p == MAP_FAILED)
		return NULL;
	/* It stays empty: the kernel hands out addresses below the last ones first. */
	munmap((void *)p, total);
	return (char *)((p + 4 * MIB) & ~(2 * MIB - 1));
}

void api_map_fixed(char *at, size_t bytes, int prot)
{
	void *p = mmap(at, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	tap_expect(p == at, "mmap at a fixed address");
	madvise(at, bytes, MADV_NOHUGEPAGE);
	if (prot & PROT_WRITE)
		memset(at, 1, bytes);
}

bool api_open(struct api *a)
{
	char *arena = api_hole(ARENA_BYTES);

	if (!tap_expect(arena, "address space") || !rig_open(&a->rig, VFIO_EDU0))
		return false;
	a->fd = a->rig.container;
	a->tables = rig_has_tables(a->fd);
	a->window1 = rig_window1(a->fd);
	a->table_pages = rig_default_table_pages(a->fd);
	a->mem = arena + 16 * MIB;
	a->spare = arena + 32 * MIB;
	api_map_fixed(a->mem, REG_BYTES, PROT_READ | PROT_WRITE);
	api_map_fixed(a->spare, SPARE_BYTES, PROT_READ | PROT_WRITE);
	return tap_expect_ret(spapr_register(a->fd, a->mem, REG_BYTES), 0, "REGISTER") &&
	       tap_expect_ret(vfio_map(a->fd, IOVA, a->mem, MAPPED_BYTES, VFIO_MAP_RW), 0, "MAP");
}

void api_close(struct api *a)
{
	rig_expect_reach(&a->rig, IOVA + MAPPED_BYTES - 64, a->mem + MAPPED_BYTES - 64,
			 "what was mapped before all this");
	rig_close(&a->rig);
	munmap(a->mem, REG_BYTES);
	munmap(a->spare, SPARE_BYTES);
}

void api_state_read(struct api_state *state)
{
	memset(state, 0, sizeof(*state));
	state->pins = meter_pins();
	state->vmlck_kib = meter_vmlck_kib(0);
	tap_expect_ret(meter_stats_read(&state->stats), 0, "counters");
}

void api_state_expect(const struct api_state *before, const char *what)
{
	const uint64_t deadline = meter_now_ns() + proc_limit_ms(5000) * 1000000;
	struct api_state now;

	for (;;) {
		const bool late = meter_now_ns() > deadline;

		api_state_read(&now);
		/* What an owner left is freed a grace period later: that may be now. */
		if (now.stats.owners < before->stats.owners)
			now.stats.owners = before->stats.owners;
		if (!memcmp(before, &now, sizeof(now)))
			return;
		if (late)
			break;
		meter_sleep_ms(2);
	}
	tap_expect_eq(now.pins, before->pins, "%s: pinned pages", what);
	tap_expect_eq(now.vmlck_kib, before->vmlck_kib, "%s: VmLck", what);
	if (memcmp(&now.stats, &before->stats, sizeof(now.stats))) {
		tap_expect(false, "%s: counters changed", what);
		tap_diag("before: %s", meter_stats_text(&before->stats));
		tap_diag("after:  %s", meter_stats_text(&now.stats));
	}
}

static const struct suite_test tests[] = {
	{ .name = "arguments", .run = test_arguments },
	{ .name = "unknown-ioctls", .run = test_unknown_ioctls },
	{ .name = "register-range", .run = test_register_range },
	{ .name = "register-huge", .run = test_register_huge },
	{ .name = "register-overlap", .run = test_register_overlap },
	{ .name = "register-not-memory", .run = test_register_not_memory },
	{ .name = "register-holes", .run = test_register_holes },
	{ .name = "register-files", .run = test_register_files },
	{ .name = "memlock", .run = test_memlock },
	{ .name = "unregister", .run = test_unregister },
	{ .name = "dirty", .run = test_dirty },
	{ .name = "before-register", .run = test_before_register },
	{ .name = "map-refused", .run = test_map_refused },
	{ .name = "map-replaces", .run = test_map_replaces },
	{ .name = "unmap-refused", .run = test_unmap_refused },
	{ .name = "unmap-parts", .run = test_unmap_parts },
	{ .name = "unmap-thp", .run = test_unmap_thp },
	{ .name = "unmap-gigabyte", .run = test_unmap_gigabyte, .timeout_s = 120 },
	{ .name = "map-pieces", .run = test_map_pieces },
	{ .name = "mappings-max", .run = test_mappings_max },
	{ .name = "batch-refused", .run = test_batch_refused },
	{ .name = "batch-arguments", .run = test_batch_arguments },
	{ .name = "batch-dma", .run = test_batch_dma },
	{ .name = "batch-domains", .run = test_batch_domains },
	{ .name = "batch-thp", .run = test_batch_thp },
	{ .name = "batch-most", .run = test_batch_most },
	{ .name = "batch-window", .run = test_batch_window },
	{ .name = "info", .run = test_info },
	{ .name = "create-refused", .run = test_create_refused },
	{ .name = "remove", .run = test_remove },
	{ .name = "window-pages", .run = test_window_pages },
	{ .name = "window-huge", .run = test_window_huge },
	{ .name = "window-order", .run = test_window_order },
	{ .name = "window-churn", .run = test_window_churn },
	{ .name = "reserved-iova", .run = test_reserved_iova },
	{ .name = "window-contiguous", .run = test_window_contiguous },
	{ .name = "window-levels", .run = test_window_levels },
	{ .name = "window-charge", .run = test_window_charge },
	{ .name = "window-limit", .run = test_window_limit },
	{ .name = "eeh", .run = test_eeh },
	{ .name = "extensions", .run = test_extensions },
	{ .name = "set-iommu", .run = test_set_iommu },
	{ .name = "detach", .run = test_detach },
	{ .name = "two-groups", .run = test_two_groups },
	{ .name = "two-domains", .run = test_two_domains },
	{ .name = "foreign", .run = test_foreign },
	{ .name = "parameters", .run = test_parameters },
};

int main(int argc, char **argv)
{
	const struct suite suite = {
		.name = "api",
		.tests = tests,
		.n_tests = SUITE_SIZE(tests),
	};

	return suite_main(argc, argv, &suite);
}
