// SPDX-License-Identifier: GPL-2.0
/* Memory that stays pinned after its UNMAP: for whom, how much, and until when. */
#include <linux/vfio.h>

#include "../../include/uapi/linux/vfio_prereg.h"
#include "unit.h"

#define VADDR	0x100000000UL
#define PAGES(n)	((n) * PAGE_SIZE)

static struct unit_process self, stranger;
static void *container;

static int keep(void *c, u64 bytes)
{
	struct vfio_prereg_keep arg = { .argsz = sizeof(arg), .bytes = bytes };

	return unit_ioctl(c, VFIO_PREREG_KEEP, &arg, sizeof(arg));
}

static void setup(unsigned long npages)
{
	unit_two_processes(&self, &stranger, VADDR);
	container = unit_container_type(VFIO_TYPE1v2_IOMMU, &unit_small_group);
	EXPECT_RET(keep(container, PAGES(npages)), 0);
}

static void teardown(void)
{
	if (self.mm)
		unit_process_exit(&self);
	unit_process_exit(&stranger);
	if (container)
		unit_close(container);
	fake_work_run();
	EXPECT_EQ(fake_stat("kept_pages"), 0);
}

/* MAP and UNMAP of npages from page first on. Returns how often that pinned. */
static unsigned long map_and_unmap_prot(unsigned long first,
					unsigned long npages, int prot)
{
	unsigned long calls = fake_pin_calls;

	EXPECT_RET(unit_map(container, 0, VADDR + PAGES(first), PAGES(npages), prot), 0);
	unit_check_hw(container);
	EXPECT_RET(unit_unmap(container, 0, PAGES(npages)), 0);
	return fake_pin_calls - calls;
}

static unsigned long map_and_unmap(unsigned long first, unsigned long npages)
{
	return map_and_unmap_prot(first, npages, RW);
}

/* All that is kept is pinned and charged, and nothing else is. */
static void expect_kept(unsigned long pages)
{
	EXPECT_EQ(fake_stat("kept_pages"), pages);
	EXPECT_EQ(fake_pins(), pages);
	fake_work_run();
	EXPECT_EQ(fake_stat("charged_pages"), pages);
}

static unsigned long page_pins(unsigned long page)
{
	return fake_frame_pins(fake_mm_pfn(self.mm, VADDR + PAGES(page)));
}

/* ---- how much ------------------------------------------------------------------- */

static void what_is_kept_is_mapped_without_pinning(void)
{
	setup(16);
	EXPECT(map_and_unmap(0, 8));
	expect_kept(8);
	EXPECT_EQ(map_and_unmap(0, 8), 0);
	EXPECT_EQ(map_and_unmap(3, 2), 0);
	EXPECT_EQ(map_and_unmap_prot(0, 8, IOMMU_READ), 0);
	expect_kept(8);
	/* While it is mapped it is not kept. */
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(2), RW), 0);
	EXPECT_EQ(fake_stat("kept_pages"), 0);
	EXPECT_EQ(fake_pins(), 8);
	EXPECT_RET(unit_map(container, MIB, VADDR, PAGES(8), RW), 0);
	EXPECT_RET(unit_unmap(container, MIB, PAGES(8)), 0);
	EXPECT_EQ(fake_stat("kept_pages"), 0);
	EXPECT_RET(unit_unmap(container, 0, PAGES(2)), 0);
	expect_kept(8);
	teardown();
}

static void a_map_that_is_refused_leaves_it_kept(void)
{
	setup(16);
	EXPECT(map_and_unmap(0, 8));
	EXPECT_RET(unit_map(container, 0, VADDR + PAGES(16), PAGES(8), RW), 0);
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(8), RW), -EEXIST);
	EXPECT_EQ(fake_stat("kept_pages"), 8);
	EXPECT_RET(unit_unmap(container, 0, PAGES(8)), 0);
	expect_kept(16);
	teardown();
}

static void nothing_is_kept_unless_somebody_says_so(void)
{
	setup(0);
	EXPECT(map_and_unmap(0, 8));
	expect_kept(0);
	EXPECT(map_and_unmap(0, 8));
	teardown();
	*shim_param_keep_mib = 1;
	setup(0);
	EXPECT(map_and_unmap(0, 8));
	expect_kept(0);
	unit_close(container);
	container = unit_container_type(VFIO_TYPE1v2_IOMMU, &unit_small_group);
	EXPECT(map_and_unmap(0, 8));
	expect_kept(8);
	teardown();
}

static void the_oldest_makes_room(void)
{
	setup(8);
	EXPECT(map_and_unmap(0, 4));
	EXPECT(map_and_unmap(10, 4));
	/* The first one is the younger one now. */
	EXPECT_EQ(map_and_unmap(0, 4), 0);
	EXPECT(map_and_unmap(20, 3));
	expect_kept(7);
	EXPECT_EQ(page_pins(10), 0);
	EXPECT_EQ(map_and_unmap(0, 4), 0);
	/* All of them for one. */
	EXPECT(map_and_unmap(30, 8));
	expect_kept(8);
	/* What is more than all that may be kept drives out nothing. */
	EXPECT(map_and_unmap(40, 9));
	expect_kept(8);
	EXPECT_EQ(map_and_unmap(30, 8), 0);
	teardown();
}

static void each_process_keeps_for_itself(void)
{
	setup(8);
	EXPECT(map_and_unmap(0, 8));
	unit_process_run(&stranger);
	EXPECT(map_and_unmap(0, 8));
	expect_kept(16);
	unit_process_exit(&self);
	expect_kept(8);
	unit_process_run(&stranger);
	EXPECT_EQ(map_and_unmap(0, 8), 0);
	teardown();
}

static void what_another_one_unmaps_is_not_kept(void)
{
	setup(8);
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(8), RW), 0);
	unit_process_run(&stranger);
	EXPECT_RET(unit_unmap(container, 0, PAGES(8)), 0);
	expect_kept(0);
	teardown();
}

static void keep_0_gives_back_at_once(void)
{
	struct vfio_prereg_keep arg = { .argsz = sizeof(arg) - 1 };
	void *other;

	setup(8);
	EXPECT(map_and_unmap(0, 8));
	EXPECT_RET(unit_ioctl(container, VFIO_PREREG_KEEP, &arg, sizeof(arg)), -EINVAL);
	arg.argsz = sizeof(arg);
	arg.flags = 1;
	EXPECT_RET(unit_ioctl(container, VFIO_PREREG_KEEP, &arg, sizeof(arg)), -EINVAL);
	expect_kept(8);
	EXPECT_RET(keep(container, 0), 0);
	EXPECT_EQ(self.mm->locked_vm, 0);
	expect_kept(0);
	EXPECT(map_and_unmap(0, 8));
	expect_kept(0);
	other = unit_container(&unit_other_group);
	EXPECT_RET(keep(other, PAGES(8)), -ENOTTY);
	unit_close(other);
	teardown();
}

static void a_lower_limit_gives_back_at_once(void)
{
	setup(16);
	EXPECT(map_and_unmap(0, 8));
	EXPECT(map_and_unmap(20, 4));
	EXPECT_RET(keep(container, PAGES(12)), 0);
	expect_kept(12);
	EXPECT_RET(keep(container, PAGES(11)), 0);
	EXPECT_EQ(page_pins(0), 0);
	EXPECT_EQ(self.mm->locked_vm, 4);
	expect_kept(4);
	teardown();
}

static void what_is_registered_is_not_kept(void)
{
	void *other;

	setup(8);
	other = unit_container(&unit_other_group);
	EXPECT(map_and_unmap(0, 8));
	/* It is what a REGISTER finds, too. */
	EXPECT_RET(unit_register(other, VADDR, PAGES(8)), 0);
	EXPECT_EQ(fake_stat("kept_pages"), 0);
	EXPECT_EQ(fake_pins(), 8);
	EXPECT_EQ(map_and_unmap(0, 8), 0);
	EXPECT_RET(unit_unregister(other, VADDR, PAGES(8)), 0);
	expect_kept(0);
	/* Another range of it drives it out. */
	EXPECT(map_and_unmap(0, 8));
	EXPECT_RET(unit_register(other, VADDR + PAGES(4), PAGES(8)), 0);
	EXPECT_EQ(fake_stat("kept_pages"), 0);
	EXPECT_EQ(fake_pins(), 8);
	unit_close(other);
	teardown();
}

/* ---- until it changes -------------------------------------------------------------- */

static unsigned long old_pfn;

static void nothing_is_pinned(void)
{
	EXPECT_EQ(fake_frame_pins(old_pfn), 0);
}

static void it_goes_before_its_memory_changes(void)
{
	static const enum fake_change changes[] = {
		FAKE_MUNMAP, FAKE_DONTNEED, FAKE_PUNCH, FAKE_MIGRATE,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(changes); i++) {
		setup(8);
		EXPECT(map_and_unmap(0, 8));
		old_pfn = fake_mm_pfn(self.mm, VADDR + PAGES(7));
		/* Beside it. */
		fake_mm_change(self.mm, VADDR + PAGES(8), PAGES(1), changes[i]);
		expect_kept(8);
		fake_change_hook = nothing_is_pinned;
		fake_mm_change(self.mm, VADDR + PAGES(7), PAGES(1), changes[i]);
		EXPECT(!fake_change_hook);
		expect_kept(0);
		EXPECT_EQ(fake_stat("stale_mappings"), 0);
		EXPECT_EQ(fake_log_lines(), 0);
		teardown();
	}
}

/* It stays pinned, but nobody gets it. */
static void where_nobody_may_sleep_it_goes_later(void)
{
	setup(8);
	EXPECT(map_and_unmap(0, 8));
	old_pfn = fake_mm_pfn(self.mm, VADDR + PAGES(7));
	fake_mm_change(self.mm, VADDR + PAGES(7), PAGES(1), FAKE_REAP);
	EXPECT_EQ(fake_frame_pins(old_pfn), 1);
	EXPECT(map_and_unmap(0, 8));
	EXPECT_EQ(fake_frame_pins(old_pfn), 0);
	expect_kept(8);
	/* Or when all goes. */
	fake_mm_change(self.mm, VADDR, PAGES(1), FAKE_REAP);
	unit_process_exit(&self);
	expect_kept(0);
	teardown();
}

static void numa_balancing_does_not_matter(void)
{
	setup(8);
	EXPECT(map_and_unmap(0, 8));
	fake_mm_change(self.mm, VADDR, PAGES(8), FAKE_SCAN);
	expect_kept(8);
	EXPECT_EQ(map_and_unmap(0, 8), 0);
	fake_mm_change(self.mm, VADDR, PAGES(8), FAKE_PROTECT);
	expect_kept(0);
	teardown();
}

static void what_changed_while_it_was_mapped_is_not_kept(void)
{
	setup(8);
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(8), RW), 0);
	fake_mm_change(self.mm, VADDR + PAGES(7), PAGES(1), FAKE_DONTNEED);
	EXPECT_RET(unit_unmap(container, 0, PAGES(8)), 0);
	expect_kept(0);
	EXPECT(map_and_unmap(0, 8));
	expect_kept(8);
	teardown();
}

/* ---- dirty pages --------------------------------------------------------------------- */

static void what_was_written_is_dirty_when_it_is_kept(void)
{
	setup(8);
	EXPECT(map_and_unmap_prot(0, 8, IOMMU_READ));
	expect_kept(8);
	EXPECT(!fake_frame_dirty(fake_mm_pfn(self.mm, VADDR)));
	EXPECT(map_and_unmap(0, 8));
	expect_kept(8);
	EXPECT(fake_frame_dirty(fake_mm_pfn(self.mm, VADDR)));
	EXPECT_EQ(map_and_unmap(0, 8), 0);
	EXPECT_EQ(fake_shrink(8), 8);
	expect_kept(0);
	teardown();
}

static void map_and_unmap_the_same(void)
{
	EXPECT_RET(unit_map(container, MIB, VADDR, PAGES(8), RW), 0);
	EXPECT_RET(unit_unmap(container, MIB, PAGES(8)), 0);
}

/* While its pages are being marked: whatever comes of that, it can be dropped any time. */
static void somebody_writes_it_just_when_it_is_kept(void)
{
	setup(8);
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(8), RW), 0);
	fake_resched_hook = map_and_unmap_the_same;
	EXPECT_RET(unit_unmap(container, 0, PAGES(8)), 0);
	EXPECT(!fake_resched_hook);
	fake_shrink(8);
	expect_kept(0);
	teardown();
}

/* ---- memory is short ------------------------------------------------------------------- */

static void the_shrinker_takes_the_oldest_of_all(void)
{
	setup(16);
	EXPECT(map_and_unmap(0, 4));
	unit_process_run(&stranger);
	EXPECT(map_and_unmap(0, 4));
	unit_process_run(&self);
	EXPECT(map_and_unmap(10, 4));
	EXPECT_EQ(fake_shrink(1), 4);
	EXPECT_EQ(page_pins(0), 0);
	EXPECT_EQ(stranger.mm->locked_vm, 4);
	EXPECT_EQ(fake_shrink(5), 8);
	expect_kept(0);
	EXPECT_EQ(fake_shrink(1), 0);
	teardown();
}

static void the_shrinker_waits_for_nobody(void)
{
	setup(16);
	EXPECT(map_and_unmap(0, 4));
	EXPECT(map_and_unmap(10, 4));
	fake_fault_arm(FAKE_FAULT_TRYLOCK, 1, true);
	EXPECT_EQ(fake_shrink(8), 0);
	fake_fault_arm(FAKE_FAULT_TRYLOCK, 1, false);
	EXPECT_EQ(fake_shrink(8), 4);
	fake_fault_disarm();
	expect_kept(4);
	EXPECT_EQ(page_pins(10), 0);
	/* Somebody who has container->lock or mmap_lock may need memory. */
	fake_reclaim = 4;
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(4), RW), 0);
	fake_reclaim = 0;
	EXPECT_EQ(fake_stat("kept_pages"), 0);
	EXPECT_EQ(fake_pins(), 4);
	teardown();
}

static void what_is_kept_does_not_count_against_the_limit(void)
{
	setup(16);
	self.mm->limit = 16;
	EXPECT(map_and_unmap(0, 8));
	EXPECT(map_and_unmap(10, 8));
	expect_kept(16);
	EXPECT(map_and_unmap(20, 1));
	expect_kept(1);
	EXPECT(map_and_unmap(0, 15));
	EXPECT(map_and_unmap(30, 16));
	expect_kept(16);
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(17), RW), -ENOMEM);
	EXPECT_EQ(self.mm->locked_vm, 0);
	expect_kept(0);
	teardown();
}

/* ---- the end ------------------------------------------------------------------------------ */

static void it_goes_with_the_last_container(void)
{
	void *other;

	setup(16);
	other = unit_container_type(VFIO_TYPE1v2_IOMMU, &unit_other_group);
	EXPECT_RET(unit_map(other, 0, VADDR + MIB / 2, PAGES(1), IOMMU_READ), 0);
	EXPECT_RET(unit_unmap(other, 0, PAGES(1)), 0);
	EXPECT(map_and_unmap(0, 8));
	unit_close(container);
	expect_kept(8);
	EXPECT_EQ(fake_stat("owners"), 1);
	/* By somebody else. */
	unit_process_run(&stranger);
	unit_close(other);
	container = NULL;
	expect_kept(0);
	EXPECT_EQ(fake_stat("owners"), 0);
	EXPECT_EQ(self.mm->locked_vm, 0);
	teardown();
}

static void it_goes_with_the_process(void)
{
	setup(16);
	EXPECT(map_and_unmap(0, 8));
	EXPECT_RET(unit_map(container, MIB, VADDR + MIB / 2, PAGES(8), RW), 0);
	/* Checked inside: nothing pinned, allocated, locked twice. */
	unit_process_exit(&self);
	expect_kept(0);
	EXPECT_EQ(fake_stat("owners"), 0);
	teardown();
}

/* ---- more than are looked at at once ------------------------------------------------- */

/* More than twice PREREG_REGIONS_AT_ONCE, from that page on, a region each. */
#define MANY	1300UL
#define MANY_AT	(16 * MIB / PAGE_SIZE)

static void setup_many(void)
{
	unsigned long i;

	setup(MANY);
	unit_memory_pieces(VADDR + PAGES(MANY_AT), PAGES(MANY), PAGE_SIZE);
	for (i = 0; i < MANY; i++)
		EXPECT(map_and_unmap(MANY_AT + i, 1));
	expect_kept(MANY);
}

static void change_many(enum fake_change change)
{
	fake_mm_change(self.mm, VADDR + PAGES(MANY_AT), PAGES(MANY), change);
}

static void many_go_before_their_memory_changes(void)
{
	unsigned long i;

	setup_many();
	change_many(FAKE_DONTNEED);
	expect_kept(0);
	teardown();
	/* By somebody who may not sleep: then they are not used any more. */
	setup_many();
	change_many(FAKE_REAP);
	expect_kept(MANY);
	for (i = 0; i < MANY; i++)
		EXPECT(map_and_unmap(MANY_AT + i, 1));
	teardown();
}

static void many_go_with_the_container_and_with_the_process(void)
{
	setup_many();
	EXPECT_RET(keep(container, 0), 0);
	expect_kept(0);
	teardown();

	setup_many();
	unit_close(container);
	container = NULL;
	expect_kept(0);
	teardown();

	setup_many();
	unit_process_exit(&self);
	expect_kept(0);
	teardown();
}

static void many_make_room_by_and_by(void)
{
	const u64 vaddr = VADDR + 64 * MIB;
	unsigned long left, calls;

	setup_many();
	unit_memory_pieces(vaddr, PAGES(MANY), PAGE_SIZE);
	for (left = MANY; left; left -= min(left, 512UL)) {
		expect_kept(left);
		EXPECT_RET(unit_map(container, GIB, vaddr, PAGES(MANY), RW), 0);
		EXPECT_RET(unit_unmap(container, GIB, PAGES(MANY)), 0);
	}
	expect_kept(MANY);
	calls = fake_pin_calls;
	EXPECT_RET(unit_map(container, GIB, vaddr, PAGES(MANY), RW), 0);
	EXPECT_EQ(fake_pin_calls, calls);
	teardown();
}

/* What many MAPs made gives way to what one makes of all of it, whether it is kept or mapped. */
static void many_give_way_to_a_longer_one(void)
{
	const u64 vaddr = VADDR + PAGES(MANY_AT);
	unsigned long i;

	setup_many();
	EXPECT_RET(unit_map(container, GIB, vaddr, PAGES(MANY), RW), 0);
	EXPECT_EQ(fake_stat("kept_pages"), 0);
	EXPECT_EQ(fake_pins(), MANY);
	EXPECT_RET(unit_unmap(container, GIB, PAGES(MANY)), 0);
	EXPECT_RET(keep(container, 0), 0);
	for (i = 0; i < MANY; i++)
		EXPECT_RET(unit_map(container, GIB + PAGES(i), vaddr + PAGES(i), PAGES(1), RW), 0);
	EXPECT_RET(unit_map(container, 2 * GIB, vaddr, PAGES(MANY), RW), 0);
	EXPECT_EQ(fake_pins(), 2 * MANY);
	/* It is the one that is found. */
	EXPECT_RET(unit_map(container, 3 * GIB, vaddr + PAGES(MANY - 1), PAGES(1), RW), 0);
	EXPECT_EQ(fake_pins(), 2 * MANY);
	EXPECT_RET(unit_unmap(container, GIB, PAGES(MANY)), 0);
	EXPECT_EQ(fake_pins(), MANY);
	teardown();
}

/* Others need the owner's lock, whose holder needs the one that the shrinker has. */
static void the_shrinker_does_not_pass_over_many(void)
{
	setup_many();
	fake_fault_arm(FAKE_FAULT_TRYLOCK, 1, true);
	EXPECT_EQ(fake_shrink(1), 0);
	EXPECT_EQ(fake_fault_disarm(), 512);
	expect_kept(MANY);
	EXPECT_EQ(fake_shrink(MANY), 512);
	expect_kept(MANY - 512);
	teardown();
}

static void close_it(void *unused)
{
	unit_close(container);
}

static void pause_when_some_are_dropped(void)
{
	fake_resched_hook = pause_when_some_are_dropped;
	if (fake_pins() < MANY)
		fake_thread_pause();
}

/* Somebody else closes, and has dropped the first ones when the process ends. */
static void the_end_does_not_wait_for_who_closes(void)
{
	setup_many();
	fake_resched_hook = pause_when_some_are_dropped;
	fake_resched_locked = true;
	fake_thread_start(close_it, NULL, stranger.mm);
	EXPECT(fake_pins() && fake_pins() < MANY);
	unit_process_exit(&self);
	EXPECT_EQ(fake_pins(), 0);
	while (!fake_thread_continue())
		;
	container = NULL;
	expect_kept(0);
	teardown();
}

/* ---- release() while somebody drops it --------------------------------------------------- */

static void shrink_all(void *unused)
{
	EXPECT_EQ(fake_shrink(8), 8);
}

static void punch_hole(void *unused)
{
	fake_mm_change(self.mm, VADDR, PAGES(8), FAKE_PUNCH);
}

/* The other thread stops where the first page is unpinned; nothing may be left when the mm is gone. */
static void the_end_waits_for_what_is_being_dropped(void)
{
	setup(16);
	EXPECT(map_and_unmap(0, 8));
	fake_resched_hook = fake_thread_pause;
	fake_thread_start(shrink_all, NULL, stranger.mm);
	EXPECT(fake_pins() && fake_pins() < 8);
	EXPECT_EQ(fake_stat("kept_pages"), 0);
	unit_process_exit(&self);
	EXPECT_EQ(fake_pins(), 0);
	while (!fake_thread_continue())
		;
	expect_kept(0);
	teardown();
}

/* A MAP of what is being dropped pins anew; UNMAP keeps that. */
static void what_is_being_dropped_is_pinned_anew(void)
{
	void (*const droppers[])(void *) = { shrink_all, punch_hole };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(droppers); i++) {
		setup(16);
		EXPECT(map_and_unmap(0, 8));
		fake_resched_hook = fake_thread_pause;
		fake_thread_start(droppers[i], NULL, stranger.mm);
		EXPECT(fake_pins() && fake_pins() < 8);
		if (!i)
			EXPECT(map_and_unmap(0, 8));
		while (!fake_thread_continue())
			;
		expect_kept(i ? 0 : 8);
		EXPECT(i ? map_and_unmap(0, 8) : !map_and_unmap(0, 8));
		teardown();
	}
}

const struct unit_test kept_tests[] = {
	UNIT(what_is_kept_is_mapped_without_pinning),
	UNIT(a_map_that_is_refused_leaves_it_kept),
	UNIT(nothing_is_kept_unless_somebody_says_so),
	UNIT(the_oldest_makes_room),
	UNIT(each_process_keeps_for_itself),
	UNIT(what_another_one_unmaps_is_not_kept),
	UNIT(keep_0_gives_back_at_once),
	UNIT(a_lower_limit_gives_back_at_once),
	UNIT(what_is_registered_is_not_kept),
	UNIT(it_goes_before_its_memory_changes),
	UNIT(where_nobody_may_sleep_it_goes_later),
	UNIT(numa_balancing_does_not_matter),
	UNIT(what_changed_while_it_was_mapped_is_not_kept),
	UNIT(what_was_written_is_dirty_when_it_is_kept),
	UNIT(somebody_writes_it_just_when_it_is_kept),
	UNIT(the_shrinker_takes_the_oldest_of_all),
	UNIT(the_shrinker_waits_for_nobody),
	UNIT(what_is_kept_does_not_count_against_the_limit),
	UNIT(it_goes_with_the_last_container),
	UNIT(it_goes_with_the_process),
	UNIT(many_go_before_their_memory_changes),
	UNIT(many_go_with_the_container_and_with_the_process),
	UNIT(many_make_room_by_and_by),
	UNIT(many_give_way_to_a_longer_one),
	UNIT(the_shrinker_does_not_pass_over_many),
	UNIT(the_end_does_not_wait_for_who_closes),
	UNIT(the_end_waits_for_what_is_being_dropped),
	UNIT(what_is_being_dropped_is_pinned_anew),
	{ }
};
