// SPDX-License-Identifier: GPL-2.0
/* Registrations: who shares what, who waits for whom, and when pages go back. */
#include "unit.h"

#define VADDR	0x100000000UL
#define BYTES	(64 * PAGE_SIZE)

static struct unit_process self;
static void *first, *second;
static int other_ret;

static void setup(void)
{
	unit_process_start(&self);
	unit_memory_pieces(VADDR - MIB, 4 * MIB, PAGE_SIZE);
	first = unit_container(&unit_small_group);
	second = unit_container(&unit_other_group);
}

static void teardown(void)
{
	unit_process_exit(&self);
	if (first)
		unit_close(first);
	if (second)
		unit_close(second);
}

static void two_containers_share_one_pin_and_one_charge(void)
{
	setup();
	EXPECT_RET(unit_register(first, VADDR, BYTES), 0);
	EXPECT_RET(unit_register(second, VADDR, BYTES), 0);
	EXPECT_EQ(fake_pins(), 64);
	EXPECT_EQ(self.mm->locked_vm, 64);
	EXPECT_EQ(fake_stat("regions"), 1);
	/* Each maps it for itself. */
	EXPECT_RET(unit_map(first, 0x10000, VADDR, BYTES, RW), 0);
	EXPECT_RET(unit_unregister(first, VADDR, BYTES), -EBUSY);
	EXPECT_RET(unit_unregister(second, VADDR, BYTES), 0);
	EXPECT_EQ(fake_pins(), 64);
	EXPECT_RET(unit_unmap(first, 0x10000, BYTES), 0);
	EXPECT_RET(unit_unregister(first, VADDR, BYTES), 0);
	EXPECT_EQ(fake_pins(), 0);
	EXPECT_EQ(self.mm->locked_vm, 0);
	teardown();
}

static void the_last_of_two_closed_containers_gives_the_pages_back(void)
{
	setup();
	EXPECT_RET(unit_register(first, VADDR, BYTES), 0);
	EXPECT_RET(unit_register(second, VADDR, BYTES), 0);
	EXPECT_RET(unit_map(first, 0, VADDR, BYTES, RW), 0);
	EXPECT_RET(unit_map(second, 0, VADDR, BYTES, IOMMU_READ), 0);
	unit_close(first);
	first = NULL;
	EXPECT_EQ(fake_pins(), 64);
	unit_check_hw(second);
	unit_close(second);
	second = NULL;
	EXPECT_EQ(fake_pins(), 0);
	teardown();
}

/* One container, several regions: exactly the same is busy, overlap is invalid. */
static void registrations_of_a_container_never_overlap(void)
{
	setup();
	EXPECT_RET(unit_register(first, VADDR, BYTES), 0);
	EXPECT_RET(unit_register(first, VADDR, BYTES), -EBUSY);
	EXPECT_RET(unit_register(first, VADDR + PAGE_SIZE, PAGE_SIZE), -EINVAL);
	EXPECT_RET(unit_register(first, VADDR, BYTES + PAGE_SIZE), -EINVAL);
	EXPECT_RET(unit_register(first, VADDR - PAGE_SIZE, BYTES), -EINVAL);
	/* Nor do those of two containers of one mm, unless they are the same. */
	EXPECT_RET(unit_register(second, VADDR, BYTES - PAGE_SIZE), -EINVAL);
	EXPECT_RET(unit_register(second, VADDR, BYTES), 0);
	EXPECT_RET(unit_register(second, VADDR + BYTES, BYTES), 0);
	EXPECT_RET(unit_unregister(first, VADDR + BYTES, BYTES), -ENOENT);
	EXPECT_RET(unit_unregister(first, VADDR, BYTES - PAGE_SIZE), -ENOENT);
	EXPECT_RET(unit_unregister(first, VADDR, BYTES), 0);
	EXPECT_RET(unit_unregister(first, VADDR, BYTES), -ENOENT);
	EXPECT_EQ(fake_pins(), 128);
	teardown();
}

static void a_page_that_a_device_may_have_written_is_dirty(void)
{
	unsigned long pfn;

	setup();
	pfn = fake_mm_pfn(self.mm, VADDR);
	/* Only registered: clean. */
	EXPECT_RET(unit_register(first, VADDR, BYTES), 0);
	EXPECT_RET(unit_unregister(first, VADDR, BYTES), 0);
	EXPECT(!fake_frame_dirty(pfn));
	/* The device read it: clean. */
	EXPECT_RET(unit_register(first, VADDR, BYTES), 0);
	EXPECT_RET(unit_map(first, 0, VADDR, BYTES, IOMMU_READ), 0);
	EXPECT_RET(unit_unmap(first, 0, BYTES), 0);
	EXPECT_RET(unit_unregister(first, VADDR, BYTES), 0);
	EXPECT(!fake_frame_dirty(pfn));
	/* It could write: dirty, also if another container did it. */
	EXPECT_RET(unit_register(first, VADDR, BYTES), 0);
	EXPECT_RET(unit_register(second, VADDR, BYTES), 0);
	EXPECT_RET(unit_map(first, 0, VADDR, BYTES, IOMMU_WRITE), 0);
	EXPECT_RET(unit_unmap(first, 0, BYTES), 0);
	EXPECT_RET(unit_unregister(first, VADDR, BYTES), 0);
	EXPECT(!fake_frame_dirty(pfn));
	EXPECT_RET(unit_unregister(second, VADDR, BYTES), 0);
	EXPECT(fake_frame_dirty(pfn));
	teardown();
}

/* ---- when the charge is returned ------------------------------------------------ */

static struct unit_process rival;

/* Somebody else closes the container, who must not wait for the mmap_lock. */
static void closed_by_a_stranger(void)
{
	setup();
	self.mm->limit = 64;
	EXPECT_RET(unit_register(first, VADDR, BYTES), 0);
	unit_process_start(&rival);
	unit_close(first);
	first = NULL;
	EXPECT_EQ(fake_pins(), 0);
	EXPECT_EQ(self.mm->locked_vm, 64);
	unit_process_run(&self);
}

static void a_stranger_leaves_the_charge_to_a_work_item(void)
{
	closed_by_a_stranger();
	EXPECT_EQ(fake_stat("charged_pages"), 64);
	EXPECT_EQ(fake_stat("owners"), 1);
	fake_work_run();
	EXPECT_EQ(self.mm->locked_vm, 0);
	EXPECT_EQ(fake_stat("charged_pages"), 0);
	EXPECT_EQ(fake_stat("owners"), 0);
	unit_process_exit(&rival);
	teardown();
}

static void the_owner_need_not_wait_for_the_work_item(void)
{
	setup();
	self.mm->limit = 64;
	EXPECT_RET(unit_register(first, VADDR, BYTES), 0);
	/* The other container keeps the owner object the same. */
	EXPECT_RET(unit_remove(second, 0), 0);
	unit_process_start(&rival);
	unit_close(first);
	first = NULL;
	unit_process_run(&self);
	EXPECT_EQ(self.mm->locked_vm, 64);
	/* All of the limit is its own again. */
	EXPECT_RET(unit_register(second, VADDR, BYTES), 0);
	EXPECT_EQ(self.mm->locked_vm, 64);
	fake_work_run();
	EXPECT_EQ(self.mm->locked_vm, 64);
	unit_process_exit(&rival);
	teardown();
}

static void an_owner_that_ends_first_leaves_nothing_to_the_work_item(void)
{
	closed_by_a_stranger();
	unit_process_exit(&self);
	unit_process_exit(&rival);
	unit_close(second);
	second = NULL;
	/* Unloading waits for it. */
	EXPECT_EQ(fake_stat("owners"), 1);
	shim_module_exit();
}

/* ---- while somebody pins ------------------------------------------------------- */

static void other_registers(void *container)
{
	other_ret = unit_register(container, VADDR, BYTES);
}

static void thread_registers_in_second(void)
{
	other_ret = 1;
	fake_thread_start(other_registers, second, self.mm);
	EXPECT_EQ(other_ret, 1);	/* it waits */
}

static void thread_registers_in_first(void)
{
	other_ret = 1;
	fake_thread_start(other_registers, first, self.mm);
	EXPECT_EQ(other_ret, 1);
}

static void who_comes_while_it_is_pinned_waits_and_shares(void)
{
	unsigned long calls;

	setup();
	fake_pin_hook = thread_registers_in_second;
	calls = fake_pin_calls;
	EXPECT_RET(unit_register(first, VADDR, BYTES), 0);
	EXPECT(fake_thread_continue());
	EXPECT_RET(other_ret, 0);
	EXPECT_EQ(fake_pin_calls - calls, 1);
	EXPECT_EQ(fake_pins(), 64);
	EXPECT_RET(unit_unregister(first, VADDR, BYTES), 0);
	EXPECT_EQ(fake_pins(), 64);
	EXPECT_RET(unit_unregister(second, VADDR, BYTES), 0);
	teardown();
}

/* The first one is killed while it pins: the second one does it himself. */
static void who_waited_for_a_failure_tries_himself(void)
{
	setup();
	fake_pin_hook = thread_registers_in_second;
	fake_fault_arm(FAKE_FAULT_PIN, 1, false);
	EXPECT_RET(unit_register(first, VADDR, BYTES), -ENOMEM);
	EXPECT_EQ(fake_pins(), 0);
	EXPECT_EQ(self.mm->locked_vm, 0);
	EXPECT(fake_thread_continue());
	EXPECT_RET(other_ret, 0);
	EXPECT_EQ(fake_pins(), 64);
	EXPECT_EQ(self.mm->locked_vm, 64);
	EXPECT_RET(unit_unregister(second, VADDR, BYTES), 0);
	teardown();
}

static void who_is_killed_while_he_waits_leaves_nothing(void)
{
	setup();
	fake_pin_hook = thread_registers_in_second;
	EXPECT_RET(unit_register(first, VADDR, BYTES), 0);
	/* The signal that comes while he waits is seen when he wakes up. */
	EXPECT_RET(unit_unregister(first, VADDR, BYTES), 0);
	EXPECT_EQ(fake_pins(), 64);	/* the waiter is a user */
	fake_fault_arm(FAKE_FAULT_SIGNAL, 1, true);
	EXPECT(fake_thread_continue());
	EXPECT(fake_fault_disarm());
	EXPECT_RET(other_ret, -EINTR);
	EXPECT_EQ(fake_pins(), 0);
	EXPECT_EQ(self.mm->locked_vm, 0);
	teardown();
}

/* Two threads REGISTER the same in one container: one wins, the other is busy. */
static void the_second_of_two_at_once_in_a_container_is_busy(void)
{
	setup();
	fake_pin_hook = thread_registers_in_first;
	EXPECT_RET(unit_register(first, VADDR, BYTES), 0);
	EXPECT(fake_thread_continue());
	EXPECT_RET(other_ret, -EBUSY);
	EXPECT_EQ(fake_pins(), 64);
	EXPECT_RET(unit_unregister(first, VADDR, BYTES), 0);
	EXPECT_EQ(fake_pins(), 0);
	teardown();
}

static void register_overlapping(void)
{
	EXPECT_RET(unit_register(second, VADDR, BYTES + PAGE_SIZE), -EINVAL);
	EXPECT_RET(unit_register(first, VADDR + PAGE_SIZE, PAGE_SIZE), -EINVAL);
	EXPECT_RET(unit_unregister(first, VADDR, BYTES), -EPERM);
	EXPECT_RET(unit_map(first, 0, VADDR, BYTES, RW), -EPERM);
}

static void what_is_being_pinned_cannot_be_used_or_overlapped(void)
{
	setup();
	fake_pin_hook = register_overlapping;
	EXPECT_RET(unit_register(first, VADDR, BYTES), 0);
	EXPECT_RET(unit_register(second, VADDR, BYTES), 0);
	teardown();
}

static void close_first(void)
{
	unit_close(first);
	first = NULL;
}

static void a_container_closed_while_it_pins_gets_nothing(void)
{
	void *container;

	setup();
	container = first;
	fake_pin_hook = close_first;
	EXPECT_RET(unit_register(container, VADDR, BYTES), -ENODEV);
	EXPECT_EQ(fake_pins(), 0);
	EXPECT_EQ(self.mm->locked_vm, 0);
	EXPECT_EQ(fake_stat("owners"), 0);
	EXPECT_EQ(fake_stat("containers"), 1);
	EXPECT_RET(unit_register(second, VADDR, BYTES), 0);
	teardown();
}

static void rival_takes_first(void)
{
	unit_process_start(&rival);
	unit_memory(VADDR, BYTES);
	EXPECT_RET(unit_register(first, VADDR, BYTES), 0);
	unit_process_run(&self);
}

static void who_loses_the_race_for_ownership_gets_nothing(void)
{
	setup();
	fake_pin_hook = rival_takes_first;
	EXPECT_RET(unit_register(first, VADDR, BYTES), -EPERM);
	EXPECT_EQ(self.mm->locked_vm, 0);
	EXPECT_EQ(rival.mm->locked_vm, 64);
	EXPECT_EQ(fake_pins(), 64);
	EXPECT_EQ(fake_stat("owners"), 1);
	unit_process_exit(&rival);
	unit_process_run(&self);
	EXPECT_RET(unit_register(first, VADDR, BYTES), 0);
	teardown();
}

const struct unit_test share_tests[] = {
	UNIT(two_containers_share_one_pin_and_one_charge),
	UNIT(the_last_of_two_closed_containers_gives_the_pages_back),
	UNIT(registrations_of_a_container_never_overlap),
	UNIT(a_page_that_a_device_may_have_written_is_dirty),
	UNIT(a_stranger_leaves_the_charge_to_a_work_item),
	UNIT(the_owner_need_not_wait_for_the_work_item),
	UNIT(an_owner_that_ends_first_leaves_nothing_to_the_work_item),
	UNIT(who_comes_while_it_is_pinned_waits_and_shares),
	UNIT(who_waited_for_a_failure_tries_himself),
	UNIT(who_is_killed_while_he_waits_leaves_nothing),
	UNIT(the_second_of_two_at_once_in_a_container_is_busy),
	UNIT(what_is_being_pinned_cannot_be_used_or_overlapped),
	UNIT(a_container_closed_while_it_pins_gets_nothing),
	UNIT(who_loses_the_race_for_ownership_gets_nothing),
	{ }
};
