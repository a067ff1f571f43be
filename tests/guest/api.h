/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of the api suite share. */
#ifndef GUEST_API_H
#define GUEST_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meter.h"
#include "proc.h"
#include "rig.h"
#include "tap.h"

/* In the default window, clear of its ends and of the MSI range, 256 MiB apart. */
#define IOVA 0x10000000ull
#define IOVA2 0x20000000ull

#define REG_BYTES (64 * PAGE)
#define MAPPED_BYTES (32 * PAGE)
#define SPARE_BYTES (64 * PAGE)

/*
 * A container with something in it: @mem is registered, its first half mapped at
 * IOVA. @spare is memory above it, neither registered nor next to it. Around
 * both there is nothing.
 */
struct api {
	struct rig rig;
	int fd;			/* the container */
	char *mem;
	char *spare;
	bool tables;		/* windows are tables, charged while open: rig_has_tables() */
	uint64_t window1;	/* where the second window starts: rig_window1() */
	long long table_pages;	/* charged for the default window, in which something is mapped */
};

/* False after a failed assertion: give up. */
bool api_open(struct api *a);
/* Asserts that the mapping at IOVA still works, and closes. */
void api_close(struct api *a);

/* Call it while each of two devices has page tables of its own; a skip where these are all groups'. */
void api_own_domains(void (*test)(void));

/* All that a refused call must leave as it is. */
struct api_state {
	long long pins;
	long long vmlck_kib;
	struct meter_stats stats;
};

void api_state_read(struct api_state *state);
/* Asserts that nothing changed; waits a moment for what is freed late. */
void api_state_expect(const struct api_state *before, const char *what);

/* Asserts that @call answers @want and changes nothing. The rest names the case, as printf(). */
#define api_unchanged(call, want, ...)						\
	do {									\
		struct api_state before_;					\
		char what_[256];						\
										\
		snprintf(what_, sizeof(what_), __VA_ARGS__);			\
		api_state_read(&before_);					\
		tap_expect_ret((call), (want), "%s", what_);			\
		api_state_expect(&before_, what_);				\
	} while (0)

/*
 * @pages of address space, aligned to 2 MiB, with nothing mapped there, nor in
 * the megabytes around it: for tests that need a hole where they say so.
 */
char *api_hole(size_t bytes);
/* Maps anonymous small pages at a fixed place, all present when @prot allows. */
void api_map_fixed(char *at, size_t bytes, int prot);

/* api_args.c */
void test_arguments(void);
void test_unknown_ioctls(void);
/* api_register.c */
void test_register_range(void);
void test_register_huge(void);
void test_register_overlap(void);
void test_register_not_memory(void);
void test_register_holes(void);
void test_register_files(void);
void test_memlock(void);
void test_unregister(void);
void test_dirty(void);
/* api_map.c */
void test_before_register(void);
void test_map_refused(void);
void test_map_replaces(void);
void test_unmap_refused(void);
void test_unmap_parts(void);
void test_unmap_thp(void);
void test_unmap_gigabyte(void);
void test_map_pieces(void);
void test_mappings_max(void);
/* api_batch.c */
void test_batch_refused(void);
void test_batch_arguments(void);
void test_batch_dma(void);
void test_batch_domains(void);
void test_batch_thp(void);
void test_batch_most(void);
void test_batch_window(void);
/* api_window.c */
void test_info(void);
void test_create_refused(void);
void test_remove(void);
void test_window_pages(void);
void test_window_huge(void);
void test_window_order(void);
void test_window_churn(void);
void test_reserved_iova(void);
/* api_table.c: what windows that are tables have besides. */
void test_window_contiguous(void);
void test_window_levels(void);
void test_window_charge(void);
void test_window_limit(void);
void test_eeh(void);
/* api_group.c */
void test_extensions(void);
void test_set_iommu(void);
void test_detach(void);
void test_two_groups(void);
void test_two_domains(void);
void test_foreign(void);
void test_parameters(void);

#endif
