// SPDX-License-Identifier: GPL-2.0
/*
 * Everything that can fail, failing. Each scenario is one call in a prepared
 * situation. It is made again and again, each time on a fresh machine, with the
 * first, the second, … allocation (pin, map, …) in it failing, until the call
 * comes through without meeting that. A call that failed must have left
 * everything as it was; one that got over it must have done its work.
 */
#include <stdio.h>
#include <linux/vfio.h>

#include "unit.h"

#define VADDR	0x100000000UL
/* Of setup(): contiguous, in pieces that are large pages, in single pages. */
#define PLAIN	VADDR
#define PIECES	(VADDR + 4 * MIB)
#define SINGLE	(VADDR + 8 * MIB)
#define FRESH	(VADDR + 16 * MIB)
#define SINGLE_BYTES	(300 * PAGE_SIZE)

static struct unit_process self;
static void *container, *second;
static int open_ret;

/* ---- the situations --------------------------------------------------------- */

static void setup_process(void)
{
	unit_process_start(&self);
	unit_memory_aligned(PLAIN, 2 * MIB, 2 * MIB);
	unit_memory_pieces(PIECES, 2 * MIB, 256 * 1024);
	unit_memory_pieces(SINGLE, SINGLE_BYTES, PAGE_SIZE);
	unit_memory_pieces(FRESH, 600 * PAGE_SIZE, 2 * PAGE_SIZE);
}

static void setup_open(void)
{
	setup_process();
	container = unit_container(&unit_small_group);
}

static void setup_registered(void)
{
	setup_open();
	EXPECT_RET(unit_register(container, PLAIN, 2 * MIB), 0);
	EXPECT_RET(unit_register(container, PIECES, 2 * MIB), 0);
	EXPECT_RET(unit_register(container, SINGLE, SINGLE_BYTES), 0);
}

/* IOVA 0: large pages; 1 MiB: large pages and single ones in turn; holes. */
static void setup_mapped(void)
{
	setup_registered();
	EXPECT_RET(unit_map(container, 0, PLAIN, MIB, RW), 0);
	EXPECT_RET(unit_map(container, MIB, PIECES, 256 * 1024, RW), 0);
	EXPECT_RET(unit_map(container, MIB + 256 * 1024, SINGLE, 32 * PAGE_SIZE, IOMMU_READ), 0);
	EXPECT_RET(unit_map(container, MIB + 512 * 1024, PIECES, 256 * 1024, RW), 0);
}

static void setup_two_domains(void)
{
	setup_mapped();
	EXPECT_RET(unit_attach(container, &unit_other_group), 0);
}

static void setup_shared(void)
{
	setup_mapped();
	second = unit_container(&unit_other_group);
	EXPECT_RET(unit_register(second, SINGLE, SINGLE_BYTES), 0);
}

static void setup_scattered_maps(void)
{
	int i;

	setup_registered();
	for (i = 0; i < 40; i++)
		EXPECT_RET(unit_map(container, i * 0x2000, SINGLE + i * PAGE_SIZE, PAGE_SIZE, RW), 0);
}

static void teardown(void)
{
	if (self.mm)
		unit_process_exit(&self);
	if (container)
		unit_close(container);
	if (second)
		unit_close(second);
	fake_work_run();
	container = NULL;
	second = NULL;
	EXPECT_EQ(fake_iommu_domains(), 0);
	EXPECT_EQ(fake_stat("bookkeeping_bytes"), 0);
	EXPECT_EQ(fake_stat("mappings"), 0);
	EXPECT_EQ(fake_stat("owners"), 0);
	fake_memory_check();
}

/* ---- the calls --------------------------------------------------------------- */

static int call_open(void)
{
	second = unit_open(&open_ret);
	return open_ret;
}

static int call_attach_first(void)
{
	int ret = unit_attach(second, &unit_other_group);

	return ret;
}

static int call_attach_sharing(void)
{
	return unit_attach(container, &unit_small_group2);
}

static int call_attach_replaying(void)
{
	return unit_attach(container, &unit_other_group);
}

static int call_register(void)
{
	return unit_register(container, FRESH, 600 * PAGE_SIZE);
}

static int call_register_one_page(void)
{
	return unit_register(container, FRESH, PAGE_SIZE);
}

static int call_register_shared(void)
{
	return unit_register(second, PLAIN, 2 * MIB);
}

static int call_unregister(void)
{
	return unit_unregister(container, SINGLE, SINGLE_BYTES);
}

static int call_create(void)
{
	u64 start;

	return unit_create(container, 16, GIB, &start);
}

static int call_remove(void)
{
	return unit_remove(container, 0);
}

static int call_map_large(void)
{
	return unit_map(container, 4 * MIB, PLAIN, 2 * MIB, RW);
}

/* Small pages, then large ones, then small ones. */
static int call_map_unaligned(void)
{
	return unit_map(container, 4 * MIB + 3 * PAGE_SIZE, PLAIN + 3 * PAGE_SIZE, MIB, RW);
}

static int call_map_pieces(void)
{
	return unit_map(container, 8 * MIB, PIECES, 2 * MIB, RW);
}

/* More than one batch of stretches. */
static int call_map_single(void)
{
	return unit_map(container, 8 * MIB, SINGLE, SINGLE_BYTES, RW);
}

static int call_replace_whole(void)
{
	return unit_map(container, 0, SINGLE, MIB, IOMMU_READ);
}

static int call_replace_same(void)
{
	return unit_map(container, 0, PLAIN, MIB, RW);
}

static int call_replace_middle(void)
{
	return unit_map(container, 0x48000 + PAGE_SIZE, SINGLE, 3 * PAGE_SIZE, RW);
}

/* Parts of the outer ones, all of the inner ones, the holes. */
static int call_replace_several(void)
{
	return unit_map(container, MIB - 5 * PAGE_SIZE, PIECES + PAGE_SIZE, 600 * 1024, RW);
}

static int call_unmap_middle_of_page(void)
{
	return unit_unmap(container, 0x41000, 2 * PAGE_SIZE);
}

static int call_unmap_across(void)
{
	return unit_unmap(container, MIB - PAGE_SIZE, 2 * PAGE_SIZE);
}

static int call_unmap_all(void)
{
	return unit_unmap(container, 0, 2 * MIB);
}

/* n entries of a page each, one behind the other. */
static int batch(u32 flags, u64 iova, u64 vaddr, unsigned int n)
{
	struct vfio_prereg_batch_entry entries[300];
	unsigned int i;

	for (i = 0; i < n; i++)
		entries[i] = (struct vfio_prereg_batch_entry) {
			.iova = iova + i * PAGE_SIZE, .size = PAGE_SIZE,
			.vaddr = vaddr ? vaddr + i * PAGE_SIZE : 0,
			.flags = vaddr ? RW : 0,
		};
	return unit_batch(container, flags, entries, n, NULL);
}

static int call_batch_plain(void)
{
	return batch(VFIO_PREREG_BATCH_MAP, 4 * MIB, PLAIN, 130);
}

/* More than the IOMMU driver is given at once. */
static int call_batch_single(void)
{
	return batch(VFIO_PREREG_BATCH_MAP, 4 * MIB, SINGLE, 300);
}

/* Each by itself, none in order, of all sizes. */
static int call_batch_mixed(void)
{
	static const struct vfio_prereg_batch_entry entries[] = {
		{ 8 * MIB, PLAIN, MIB, RW },
		{ 4 * MIB, SINGLE, 8 * PAGE_SIZE, IOMMU_READ },
		{ 4 * MIB + 8 * PAGE_SIZE, SINGLE, 8 * PAGE_SIZE, IOMMU_WRITE },
		{ 6 * MIB + PAGE_SIZE, PIECES + PAGE_SIZE, 300 * 1024, RW },
		{ 2 * MIB, PLAIN + 3 * PAGE_SIZE, 60 * PAGE_SIZE, RW },
	};

	return unit_batch(container, VFIO_PREREG_BATCH_MAP, entries,
			  ARRAY_SIZE(entries), NULL);
}

static int call_batch_unmap(void)
{
	static const struct vfio_prereg_batch_entry entries[] = {
		{ MIB + 512 * 1024, 0, 256 * 1024 },
		{ 8 * MIB, 0, MIB },
		{ 0, 0, MIB + 256 * 1024 },
	};

	return unit_batch(container, VFIO_PREREG_BATCH_UNMAP, entries,
			  ARRAY_SIZE(entries), NULL);
}

static int call_get_info(void)
{
	struct vfio_iommu_spapr_tce_info info = { .argsz = sizeof(info) };

	return unit_ioctl(container, VFIO_IOMMU_SPAPR_TCE_GET_INFO, &info, sizeof(info));
}

static void setup_opened_second(void)
{
	setup_mapped();
	second = unit_open(&open_ret);
}

static void setup_second_container(void)
{
	setup_mapped();
	second = unit_container(&unit_other_group);
}

/* ---- types 1 and 3 ------------------------------------------------------------ */

/* Mapped: 0: a large page; 1 MiB: single pages, of a region that is longer. */
static void setup_type1_mapped(void)
{
	setup_process();
	container = unit_container_type(VFIO_TYPE1v2_IOMMU, &unit_small_group);
	EXPECT_RET(unit_map(container, 0, PLAIN, MIB, RW), 0);
	EXPECT_RET(unit_map(container, MIB, SINGLE, 32 * PAGE_SIZE, IOMMU_READ), 0);
}

/* It has a claim: one that a failed MAP made stays, too. */
static void setup_type1_unmapped(void)
{
	setup_type1_mapped();
	EXPECT_RET(unit_unmap(container, 0, 2 * MIB), 0);
}

static void setup_type1_in_doubt(void)
{
	setup_type1_mapped();
	fake_mm_change(self.mm, PLAIN, PAGE_SIZE, FAKE_MIGRATE);
	fake_log_lines();
}

static void setup_type1_without_iommu(void)
{
	int ret;

	setup_process();
	container = unit_open_type(VFIO_TYPE1v2_IOMMU, &ret);
	EXPECT_RET(ret, 0);
	EXPECT_RET(unit_attach(container, &unit_emulated_group), 0);
	EXPECT_RET(unit_map(container, 0, PLAIN, MIB, RW), 0);
	EXPECT_RET(unit_map(container, 4 * MIB, FRESH, 600 * PAGE_SIZE, IOMMU_READ), 0);
}

static void setup_type1_kept(void)
{
	*shim_param_keep_mib = 4;
	setup_type1_mapped();
	*shim_param_keep_mib = 0;
	EXPECT_RET(unit_map(container, 4 * MIB, PIECES, 2 * MIB, RW), 0);
	EXPECT_RET(unit_unmap(container, 4 * MIB, 2 * MIB), 0);
	EXPECT_EQ(fake_stat("kept_pages"), 512);
}

static int call_open_type1(void)
{
	second = unit_open_type(VFIO_TYPE1_IOMMU, &open_ret);
	return open_ret;
}

static int call_map_fresh(void)
{
	return unit_map(container, 4 * MIB, FRESH, 600 * PAGE_SIZE, RW);
}

static int call_map_shared(void)
{
	return unit_map(container, 4 * MIB, PLAIN + 3 * PAGE_SIZE, 64 * PAGE_SIZE, RW);
}

static int call_unmap_type1(void)
{
	return unit_unmap(container, 0, MIB);
}

static int call_attach_iommu(void)
{
	return unit_attach(container, &unit_small_group);
}

static int call_get_info_type1(void)
{
	struct {
		struct vfio_iommu_type1_info	info;
		char				caps[512];
	} arg = { .info.argsz = sizeof(arg) };

	return unit_ioctl(container, VFIO_IOMMU_GET_INFO, &arg, sizeof(arg));
}

static const struct scenario {
	const char	*name;
	void		(*setup)(void);
	int		(*call)(void);
	bool		answers;	/* when all is done: may say -EFAULT nevertheless */
	bool		looks;		/* by pins; if it cannot, it pins more than it must */
} scenarios[] = {
	{ "open", setup_mapped, call_open },
	{ "attach the first group", setup_opened_second, call_attach_first },
	{ "attach a group that shares", setup_mapped, call_attach_sharing },
	{ "attach a group with a domain of its own", setup_mapped, call_attach_replaying },
	{ "attach with many mappings", setup_scattered_maps, call_attach_replaying },
	{ "register as the first call", setup_open, call_register },
	{ "register", setup_mapped, call_register },
	{ "register one page", setup_mapped, call_register_one_page },
	{ "register what another container has", setup_second_container, call_register_shared },
	{ "unregister", setup_registered, call_unregister },
	{ "create as the first call", setup_open, call_create },
	{ "create", setup_mapped, call_create },
	{ "remove as the first call", setup_open, call_remove },
	{ "remove", setup_two_domains, call_remove },
	{ "map large pages", setup_mapped, call_map_large },
	{ "map small and large pages", setup_two_domains, call_map_unaligned },
	{ "map pieces", setup_two_domains, call_map_pieces },
	{ "map single pages", setup_two_domains, call_map_single },
	{ "replace a whole mapping", setup_mapped, call_replace_whole },
	{ "replace a mapping by itself", setup_two_domains, call_replace_same },
	{ "replace the middle", setup_two_domains, call_replace_middle },
	{ "replace several", setup_two_domains, call_replace_several },
	{ "replace many", setup_scattered_maps, call_replace_whole },
	{ "unmap inside a large page", setup_mapped, call_unmap_middle_of_page },
	{ "unmap inside a large page of two domains", setup_two_domains, call_unmap_middle_of_page },
	{ "unmap over a mapping's end", setup_two_domains, call_unmap_across },
	{ "unmap all", setup_two_domains, call_unmap_all },
	{ "batch of contiguous pages", setup_mapped, call_batch_plain },
	{ "batch of single pages", setup_two_domains, call_batch_single },
	{ "batch of all sizes", setup_two_domains, call_batch_mixed },
	{ "batch of unmaps", setup_two_domains, call_batch_unmap },
	{ "get info", setup_shared, call_get_info },
	{ "type 1: open", setup_type1_mapped, call_open_type1 },
	{ "type 1: map where nothing is mapped", setup_type1_unmapped, call_map_fresh },
	{ "type 1: map", setup_type1_mapped, call_map_fresh },
	{ "type 1: map what is mapped", setup_type1_mapped, call_map_shared },
	{ "type 1: map what is in doubt", setup_type1_in_doubt, call_map_shared, .looks = true },
	{ "type 1: map pieces", setup_type1_mapped, call_map_pieces },
	{ "type 1: unmap", setup_type1_mapped, call_unmap_type1, .answers = true },
	{ "type 1: unmap and keep", setup_type1_kept, call_unmap_type1, .answers = true },
	{ "type 1: attach a group that shares", setup_type1_mapped, call_attach_sharing },
	{ "type 1: attach a group with a domain of its own", setup_type1_mapped, call_attach_replaying },
	{ "type 1: attach the first IOMMU", setup_type1_without_iommu, call_attach_iommu },
	{ "type 1: get info", setup_type1_mapped, call_get_info_type1 },
};

/* ---- one fault after the other ----------------------------------------------- */

static bool error_fits(enum fake_fault fault, int ret)
{
	switch (fault) {
	case FAKE_FAULT_ALLOC:
	case FAKE_FAULT_MAP:
		return ret == -ENOMEM;
	case FAKE_FAULT_PIN:
		return ret == -ENOMEM;
	case FAKE_FAULT_PIN_SHORT:
	case FAKE_FAULT_COPY:
		return ret == -EFAULT;
	case FAKE_FAULT_SIGNAL:
		return ret == -EINTR;
	case FAKE_FAULT_RESTART:
		return ret == -ERESTARTNOINTR;
	case FAKE_FAULT_ATTACH:
		return ret == -ENOMEM || ret == -EIO || ret == -EBUSY;
	default:
		return false;
	}
}

static char *snapshot_after(const struct scenario *s)
{
	char *text;

	s->setup();
	EXPECT_RET(s->call(), 0);
	unit_check_hw(container);
	text = unit_snapshot();
	teardown();
	return text;
}

/* Returns whether the nth such fault was met. */
static bool fail_nth(const struct scenario *s, enum fake_fault fault,
		     unsigned long nth, bool all, const char *done)
{
	unsigned long fired;
	char *before, *after;
	int ret;

	s->setup();
	before = unit_snapshot();
	fake_fault_arm(fault, nth, all);
	ret = s->call();
	fired = fake_fault_disarm();
	current->killed = false;
	after = unit_snapshot();
	/* A short pin alone is no failure; nor is any, where it is got over. */
	if (ret)
		tap_expect(error_fits(fault, ret), "%s, %s %lu: %s", s->name,
			   fake_fault_names[fault], nth, tap_ret_name(ret));
	else if (fired && fault != FAKE_FAULT_PIN_SHORT && !s->looks)
		/* A signal too late, a domain not shared, a page that came back. */
		tap_expect(fault == FAKE_FAULT_SIGNAL || fault == FAKE_FAULT_ATTACH ||
			   (fault == FAKE_FAULT_COPY && !all),
			   "%s, %s %lu: went unnoticed", s->name,
			   fake_fault_names[fault], nth);
	if (!(s->answers && ret == -EFAULT && !strcmp(after, done)) &&
	    !(s->looks && !ret) && (fault != FAKE_FAULT_ATTACH || ret))
		unit_same(after, ret ? before : done, "%s, %s %lu%s, %s", s->name,
			  fake_fault_names[fault], nth, all ? " and on" : "",
			  tap_ret_name(ret));
	unit_check_hw(container);
	free(before);
	free(after);
	teardown();
	return fired;
}

static void fail_everywhere(enum fake_fault fault, bool all)
{
	unsigned long nth, total = 0;
	char *done;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(scenarios) && !tap_failures(); i++) {
		done = snapshot_after(&scenarios[i]);
		nth = 1;
		while (fail_nth(&scenarios[i], fault, nth, all, done) &&
		       !tap_failures())
			nth++;
		total += nth - 1;
		free(done);
	}
	tap_diag("%lu failures in %zu calls", total, ARRAY_SIZE(scenarios));
	EXPECT(total);
}

static void any_allocation_may_fail(void)
{
	fail_everywhere(FAKE_FAULT_ALLOC, false);
}

static void all_allocations_may_fail_from_any_on(void)
{
	fail_everywhere(FAKE_FAULT_ALLOC, true);
}

static void any_pin_may_fail(void)
{
	fail_everywhere(FAKE_FAULT_PIN, false);
}

static void any_pin_may_be_short(void)
{
	fail_everywhere(FAKE_FAULT_PIN_SHORT, false);
}

static void any_pin_may_be_short_and_the_next_fail(void)
{
	fail_everywhere(FAKE_FAULT_PIN_SHORT, true);
}

static void any_entry_may_not_be_made(void)
{
	fail_everywhere(FAKE_FAULT_MAP, false);
}

static void a_signal_may_come_at_any_time(void)
{
	fail_everywhere(FAKE_FAULT_SIGNAL, true);
}

static void a_signal_that_is_not_fatal_restarts_the_call(void)
{
	fail_everywhere(FAKE_FAULT_RESTART, false);
}

static void any_step_of_attach_may_fail(void)
{
	fail_everywhere(FAKE_FAULT_ATTACH, false);
}

static void the_users_struct_may_vanish_at_any_time(void)
{
	fail_everywhere(FAKE_FAULT_COPY, true);
}

static void the_users_struct_may_be_away_for_a_moment(void)
{
	fail_everywhere(FAKE_FAULT_COPY, false);
}

/* ---- what cannot be put back -------------------------------------------------- */

/* Does a domain map iova in a snapshot's books? Kept as frames a page. */
static u64 phys_at(void *c, u64 iova)
{
	struct prereg_mapping *m = NULL;

	while ((m = prereg_mapping_next(unit_peek(c), m)))
		if (iova >= m->range.first && iova <= m->range.last)
			return fake_mm_pfn(self.mm, m->registration->range.first +
					   m->offset + (iova - m->range.first)) << 3 |
			       m->prot;
	return 0;
}

#define WATCHED	512	/* pages of IOVA, all that setup_mapped() maps */

/*
 * No page table is to be had from the nth on: what was taken away cannot be put
 * back. Then it is gone from books and hardware alike, with a line in the log,
 * and nothing else is.
 */
static void what_cannot_be_put_back_is_gone_everywhere(void)
{
	static u64 before[WATCHED];
	unsigned long nth, lost = 0, fired;
	unsigned int i, gone;
	size_t s;
	int ret;

	for (s = 0; s < ARRAY_SIZE(scenarios); s++) {
		for (nth = 1, fired = 1; fired && !tap_failures(); nth++) {
			scenarios[s].setup();
			for (i = 0; i < WATCHED; i++)
				before[i] = phys_at(container, (u64)i << PAGE_SHIFT);
			fake_log_lines();
			fake_fault_arm(FAKE_FAULT_MAP, nth, true);
			ret = scenarios[s].call();
			fired = fake_fault_disarm();
			EXPECT_RET(ret, fired ? -ENOMEM : 0);
			unit_check_hw(container);
			for (i = 0, gone = 0; fired && i < WATCHED; i++) {
				u64 now = phys_at(container, (u64)i << PAGE_SHIFT);

				if (now == before[i])
					continue;
				tap_expect(!now, "%s, map %lu: page %u changed",
					   scenarios[s].name, nth, i);
				gone++;
			}
			if (fired)
				tap_expect(!gone == !fake_log_lines(),
					   "%s, map %lu: log does not fit",
					   scenarios[s].name, nth);
			lost += !!gone;
			teardown();
		}
	}
	tap_diag("%lu times something was lost", lost);
	EXPECT(lost);
}

/* ---- loading ------------------------------------------------------------------- */

static void loading_may_fail(void)
{
	unsigned long nth;
	int ret;

	shim_module_exit();
	for (nth = 1;; nth++) {
		fake_fault_arm(FAKE_FAULT_ALLOC, nth, false);
		ret = shim_module_init();
		if (!fake_fault_disarm())
			break;
		EXPECT_RET(ret, -ENOMEM);
		fake_kernel_check();
	}
	EXPECT_RET(ret, 0);
	EXPECT(nth > 1);
}

const struct unit_test failure_tests[] = {
	UNIT(any_allocation_may_fail),
	UNIT(all_allocations_may_fail_from_any_on),
	UNIT(any_pin_may_fail),
	UNIT(any_pin_may_be_short),
	UNIT(any_pin_may_be_short_and_the_next_fail),
	UNIT(any_entry_may_not_be_made),
	UNIT(a_signal_may_come_at_any_time),
	UNIT(a_signal_that_is_not_fatal_restarts_the_call),
	UNIT(any_step_of_attach_may_fail),
	UNIT(the_users_struct_may_vanish_at_any_time),
	UNIT(the_users_struct_may_be_away_for_a_moment),
	UNIT(what_cannot_be_put_back_is_gone_everywhere),
	UNIT(loading_may_fail),
	{ }
};
