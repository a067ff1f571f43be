// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that changes while it is mapped, or while it is being pinned: nobody who comes
 * later may get the old pages.
 */
#include <linux/vfio.h>

#include "../../include/uapi/linux/vfio_prereg.h"
#include "unit.h"

#define VADDR	0x100000000UL
#define PAGES(n)	((n) * PAGE_SIZE)

static struct unit_process self, stranger;
static void *container, *second;
static int other_ret;

static void setup(void)
{
	unit_process_start(&stranger);
	unit_process_start(&self);
	unit_memory_pieces(VADDR, MIB, PAGE_SIZE);
	container = unit_container_type(VFIO_TYPE1v2_IOMMU, &unit_small_group);
	second = unit_container_type(VFIO_TYPE1v2_IOMMU, &unit_other_group);
	/* So it knows the process. */
	EXPECT_RET(unit_map(second, 0, VADDR, PAGES(1), RW), 0);
	EXPECT_RET(unit_unmap(second, 0, PAGES(1)), 0);
}

static void teardown(void)
{
	unit_process_exit(&self);
	unit_process_exit(&stranger);
	unit_close(container);
	unit_close(second);
}

static unsigned long mapped_pfn(struct iommu_group *group, u64 iova)
{
	phys_addr_t phys;
	int prot;

	return unit_translate(group, iova, &phys, &prot) ? PHYS_PFN(phys) : 0;
}

/* Is what the second container maps at IOVA 0 what is there now? */
static void expect_current(unsigned long vaddr, unsigned long npages)
{
	unsigned long i;

	for (i = 0; i < npages; i++)
		EXPECT_EQ(mapped_pfn(&unit_other_group, PAGES(i)),
			  fake_mm_pfn(self.mm, vaddr + PAGES(i)));
}

/* As many pages are pinned and charged. */
static void expect_pages(unsigned long pages)
{
	EXPECT_EQ(fake_pins(), pages);
	fake_work_run();
	EXPECT_EQ(self.mm->locked_vm, pages);
}

/* ---- before it is pinned again ----------------------------------------------------- */

static void change_then_map(enum fake_change change, unsigned long first,
			    unsigned long npages, bool other)
{
	unsigned long old;

	setup();
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(16), RW), 0);
	old = mapped_pfn(&unit_small_group, PAGES(first));
	if (other)
		unit_process_run(&stranger);
	fake_mm_change(self.mm, VADDR + PAGES(first), PAGES(npages), change);
	unit_process_run(&self);
	/* The device goes on with what it had. */
	EXPECT_EQ(mapped_pfn(&unit_small_group, PAGES(first)), old);
	if (change == FAKE_MUNMAP)
		unit_memory(VADDR + PAGES(first), PAGES(npages));
	EXPECT_RET(unit_map(second, 0, VADDR, PAGES(16), RW), 0);
	expect_current(VADDR, 16);
}

static void who_maps_after_a_change_gets_what_is_there(void)
{
	static const enum fake_change changes[] = {
		FAKE_MUNMAP, FAKE_DONTNEED, FAKE_PUNCH, FAKE_REAP,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(changes); i++) {
		change_then_map(changes[i], 3, 2, false);
		expect_pages(32);
		/* The old mapping, too, when it is made again. */
		EXPECT_RET(unit_unmap(container, 0, PAGES(16)), 0);
		EXPECT_RET(unit_map(container, 0, VADDR, PAGES(16), RW), 0);
		unit_check_hw(container);
		expect_pages(16);
		teardown();
	}
	/* Some of it unmapped at either end, or all. */
	change_then_map(FAKE_MUNMAP, 0, 1, false);
	teardown();
	change_then_map(FAKE_MUNMAP, 15, 1, false);
	teardown();
	change_then_map(FAKE_MUNMAP, 0, 16, false);
	teardown();
}

/* Announced, but it did not happen, or it changes nothing. */
static void what_is_still_there_is_shared(void)
{
	static const enum fake_change changes[] = { FAKE_SCAN, FAKE_MIGRATE };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(changes); i++) {
		change_then_map(changes[i], 3, 2, true);
		expect_pages(16);
		EXPECT_RET(unit_map(container, MIB, VADDR + PAGES(3), PAGES(2), RW), 0);
		expect_pages(16);
		EXPECT_EQ(fake_stat("stale_mappings"), 0);
		EXPECT_EQ(fake_log_lines(), 0);
		unit_check_hw(container);
		teardown();
	}
}

static void a_change_beside_it_does_not_matter(void)
{
	unsigned long calls;

	setup();
	EXPECT_RET(unit_map(container, 0, VADDR + PAGES(4), PAGES(4), RW), 0);
	fake_mm_change(self.mm, VADDR, PAGES(4), FAKE_DONTNEED);
	fake_mm_change(self.mm, VADDR + PAGES(8), PAGES(4), FAKE_MUNMAP);
	calls = fake_pin_calls;
	EXPECT_RET(unit_map(second, 0, VADDR + PAGES(4), PAGES(4), RW), 0);
	EXPECT_EQ(fake_pin_calls, calls);
	expect_pages(4);
	EXPECT_EQ(fake_stat("stale_mappings"), 0);
	teardown();
}

/* A part that did not change is shared; what is registered counts as it is. */
static void parts_that_are_still_there_are_shared(void)
{
	setup();
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(16), RW), 0);
	fake_mm_change(self.mm, VADDR + PAGES(3), PAGES(2), FAKE_DONTNEED);
	EXPECT_RET(unit_map(second, 0, VADDR + PAGES(8), PAGES(4), RW), 0);
	expect_current(VADDR + PAGES(8), 4);
	expect_pages(16);
	EXPECT_RET(unit_unmap(second, 0, PAGES(4)), 0);
	/* Across the part that did. */
	EXPECT_RET(unit_map(second, 0, VADDR, PAGES(4), RW), 0);
	expect_current(VADDR, 4);
	expect_pages(20);
	teardown();
}

static void memory_that_went_for_good_is_not_mapped(void)
{
	setup();
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(16), RW), 0);
	fake_mm_change(self.mm, VADDR + PAGES(3), PAGES(2), FAKE_MUNMAP);
	EXPECT_RET(unit_map(second, 0, VADDR, PAGES(16), RW), -EFAULT);
	expect_pages(16);
	EXPECT_RET(unit_map(second, 0, VADDR, PAGES(3), RW), 0);
	expect_current(VADDR, 3);
	teardown();
}

static void what_is_no_longer_writable_is_not_mapped_for_writing(void)
{
	setup();
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(16), RW), 0);
	fake_mm_change(self.mm, VADDR, PAGES(16), FAKE_PROTECT);
	EXPECT_RET(unit_map(second, 0, VADDR, PAGES(16), RW), -EFAULT);
	EXPECT_RET(unit_map(second, 0, VADDR, PAGES(16), IOMMU_READ), 0);
	unit_check_hw(second);
	teardown();
}

static void a_look_by_a_reader_does_not_do_for_a_writer(void)
{
	setup();
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(16), RW), 0);
	fake_mm_change(self.mm, VADDR, PAGES(16), FAKE_PROTECT);
	EXPECT_RET(unit_map(second, 0, VADDR, PAGES(16), IOMMU_READ), 0);
	expect_pages(16);
	EXPECT_RET(unit_map(second, MIB, VADDR, PAGES(16), RW), -EFAULT);
	expect_pages(16);
	unit_check_hw(second);
	teardown();
}

/* ---- registered memory ---------------------------------------------------------------- */

static void setup_registered(void)
{
	setup();
	unit_close(container);
	container = unit_container(&unit_small_group);
	EXPECT_RET(unit_register(container, VADDR, PAGES(16)), 0);
	fake_mm_change(self.mm, VADDR + PAGES(3), PAGES(2), FAKE_DONTNEED);
}

static void registered_memory_that_changed_is_pinned_by_map(void)
{
	setup_registered();
	EXPECT_RET(unit_map(second, 0, VADDR + PAGES(2), PAGES(4), RW), 0);
	expect_current(VADDR + PAGES(2), 4);
	expect_pages(20);
	/* Of the rest it shares. */
	EXPECT_RET(unit_map(second, MIB, VADDR + PAGES(8), PAGES(4), RW), 0);
	expect_pages(20);
	/* Type 7 maps what was registered. */
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(16), RW), 0);
	EXPECT(mapped_pfn(&unit_small_group, PAGES(3)) != fake_mm_pfn(self.mm, VADDR + PAGES(3)));
	EXPECT_EQ(fake_stat("stale_mappings"), 0);
	teardown();
}

static void registering_what_changed_since_it_was_mapped_pins_anew(void)
{
	void *type7;

	setup();
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(16), RW), 0);
	fake_mm_change(self.mm, VADDR + PAGES(3), PAGES(2), FAKE_DONTNEED);
	unit_close(second);
	second = type7 = unit_container(&unit_other_group);
	EXPECT_RET(unit_register(type7, VADDR, PAGES(16)), 0);
	expect_pages(32);
	EXPECT_RET(unit_map(type7, 0, VADDR, PAGES(16), RW), 0);
	expect_current(VADDR, 16);
	/* And the next MAP shares that. */
	EXPECT_RET(unit_unmap(container, 0, PAGES(16)), 0);
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(16), RW), 0);
	unit_check_hw(container);
	expect_pages(16);
	teardown();
}

/* ---- while it is pinned ----------------------------------------------------------------- */

static void change_some(void)
{
	fake_mm_change(self.mm, VADDR + PAGES(3), PAGES(2), FAKE_PUNCH);
}

/* By another process: the pinning task's own faults are something else. */
static void stranger_changes_some(void)
{
	unit_process_run(&stranger);
	change_some();
	unit_process_run(&self);
}

static void a_change_before_the_pin_is_seen_by_the_next_one(void)
{
	setup();
	fake_pin_hook = stranger_changes_some;
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(16), RW), 0);
	/* Pinned after it changed. */
	unit_check_hw(container);
	EXPECT_RET(unit_map(second, 0, VADDR, PAGES(16), RW), 0);
	expect_current(VADDR, 16);
	expect_pages(16);
	teardown();
}

static void a_change_after_the_pin_is_seen_by_the_next_one(void)
{
	setup();
	/* The first one after a batch was pinned. */
	fake_resched_hook = stranger_changes_some;
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(16), RW), 0);
	EXPECT(!fake_resched_hook);
	EXPECT_RET(unit_map(second, 0, VADDR, PAGES(16), RW), 0);
	expect_current(VADDR, 16);
	expect_pages(32);
	teardown();
}

static void other_maps(void *unused)
{
	other_ret = unit_map(second, 0, VADDR, PAGES(16), RW);
}

/* While it waits, what it waits for changes, before or after it was pinned. */
static void thread_maps_and_memory_changes(void)
{
	other_ret = 1;
	fake_thread_start(other_maps, NULL, self.mm);
	EXPECT_EQ(other_ret, 1);
	stranger_changes_some();
}

static void who_waits_for_what_changes_gets_what_is_there(void)
{
	int i;

	for (i = 0; i < 2; i++) {
		setup();
		*(i ? &fake_resched_hook : &fake_pin_hook) = thread_maps_and_memory_changes;
		EXPECT_RET(unit_map(container, 0, VADDR, PAGES(16), RW), 0);
		while (!fake_thread_continue())
			;
		EXPECT_RET(other_ret, 0);
		expect_current(VADDR, 16);
		teardown();
	}
}

/* ---- while it changes -------------------------------------------------------------------- */

static void map_second(void)
{
	unit_process_run(&self);
	EXPECT_RET(unit_map(second, 0, VADDR, PAGES(16), RW), 0);
	EXPECT_RET(unit_map(second, MIB, VADDR + MIB / 2, PAGES(16), RW), 0);
	unit_process_run(&stranger);
}

/* Pins what is just going: as if it had come before; but who comes later must see. */
static void who_pins_in_the_middle_of_a_change_is_not_shared(void)
{
	int known;

	for (known = 0; known < 2; known++) {
		setup();
		/* So there is an owner that is told. */
		EXPECT_RET(unit_map(container, MIB, VADDR + PAGES(32), PAGES(1), RW), 0);
		if (known)
			EXPECT_RET(unit_map(container, 2 * MIB, VADDR, PAGES(16), RW), 0);
		unit_process_run(&stranger);
		fake_change_hook = map_second;
		change_some();
		unit_process_run(&self);
		EXPECT_RET(unit_map(container, 0, VADDR, PAGES(16), RW), 0);
		EXPECT_EQ(mapped_pfn(&unit_small_group, PAGES(3)),
			  fake_mm_pfn(self.mm, VADDR + PAGES(3)));
		/* What the change was not about is shared. */
		EXPECT_EQ(fake_stat("regions"), 4);
		EXPECT_RET(unit_map(container, 3 * MIB + MIB / 2, VADDR + MIB / 2, PAGES(16), RW), 0);
		EXPECT_EQ(fake_stat("regions"), 4);
		teardown();
	}
}

/* ---- who is told --------------------------------------------------------------------------- */

static void expect_info(u64 count, u64 vaddr, u64 bytes)
{
	struct vfio_prereg_info info = { .argsz = sizeof(info) };

	EXPECT_RET(unit_ioctl(container, VFIO_PREREG_GET_INFO, &info, sizeof(info)), 0);
	EXPECT_EQ(info.stale_mappings, count);
	EXPECT_EQ(info.stale_vaddr, vaddr);
	EXPECT_EQ(info.stale_bytes, bytes);
	EXPECT_EQ(info.stale_pid, count ? task_pid_nr(&self.task) : 0);
	EXPECT_EQ(info.registered_bytes, fake_stat("charged_pages") << PAGE_SHIFT);
	EXPECT_EQ(info.mapped_bytes, PAGES(16));
	EXPECT_EQ(fake_stat("stale_mappings"), count);
}

/* More than are looked at at once. */
static void each_of_many_is_counted(void)
{
	const unsigned long many = 1300;
	const u64 vaddr = VADDR + 16 * MIB;
	unsigned long i;

	setup();
	unit_memory_pieces(vaddr, PAGES(many), PAGE_SIZE);
	for (i = 0; i < many; i++)
		EXPECT_RET(unit_map(container, GIB + PAGES(i), vaddr + PAGES(i), PAGES(1), RW), 0);
	fake_mm_change(self.mm, vaddr, PAGES(many), FAKE_MUNMAP);
	EXPECT_EQ(fake_stat("stale_mappings"), many);
	EXPECT_EQ(fake_log_lines(), 1);
	teardown();
}

static void an_unmap_under_a_device_is_told_once_in_the_log(void)
{
	setup();
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(8), RW), 0);
	EXPECT_RET(unit_map(container, PAGES(8), VADDR + PAGES(8), PAGES(8), RW), 0);
	/* Reclaim is not the process's doing. */
	self.task.flags = PF_MEMALLOC;
	fake_mm_change(self.mm, VADDR, PAGES(1), FAKE_DONTNEED);
	self.task.flags = 0;
	/* Nor is what others do. */
	unit_process_run(&stranger);
	fake_mm_change(self.mm, VADDR, PAGES(1), FAKE_PUNCH);
	unit_process_run(&self);
	expect_info(0, 0, 0);
	EXPECT_EQ(fake_log_lines(), 0);
	fake_mm_change(self.mm, VADDR + PAGES(6), PAGES(2), FAKE_MUNMAP);
	expect_info(1, VADDR + PAGES(6), PAGES(2));
	EXPECT_EQ(fake_log_lines(), 1);
	fake_mm_change(self.mm, VADDR + PAGES(8), PAGES(16), FAKE_MUNMAP);
	expect_info(2, VADDR + PAGES(8), PAGES(8));
	EXPECT_EQ(fake_log_lines(), 0);
	/* What is mapped no more may go. */
	EXPECT_RET(unit_unmap(container, 0, PAGES(16)), 0);
	EXPECT_RET(unit_map(container, 0, VADDR + MIB / 2, PAGES(16), RW), 0);
	fake_mm_change(self.mm, VADDR + PAGES(1), PAGES(2), FAKE_MUNMAP);
	expect_info(2, VADDR + PAGES(8), PAGES(8));
	teardown();
}

const struct unit_test stale_tests[] = {
	UNIT(who_maps_after_a_change_gets_what_is_there),
	UNIT(what_is_still_there_is_shared),
	UNIT(a_change_beside_it_does_not_matter),
	UNIT(parts_that_are_still_there_are_shared),
	UNIT(memory_that_went_for_good_is_not_mapped),
	UNIT(what_is_no_longer_writable_is_not_mapped_for_writing),
	UNIT(a_look_by_a_reader_does_not_do_for_a_writer),
	UNIT(registered_memory_that_changed_is_pinned_by_map),
	UNIT(registering_what_changed_since_it_was_mapped_pins_anew),
	UNIT(a_change_before_the_pin_is_seen_by_the_next_one),
	UNIT(a_change_after_the_pin_is_seen_by_the_next_one),
	UNIT(who_waits_for_what_changes_gets_what_is_there),
	UNIT(who_pins_in_the_middle_of_a_change_is_not_shared),
	UNIT(an_unmap_under_a_device_is_told_once_in_the_log),
	UNIT(each_of_many_is_counted),
	{ }
};
