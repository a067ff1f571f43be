// SPDX-License-Identifier: GPL-2.0
/* Containers: who owns one, what the end of the owner leaves, odd calls. */
#include <linux/vfio.h>

#include "unit.h"

#define VADDR	0x100000000UL

static struct unit_process self, stranger;
static void *container;

static void setup(void)
{
	unit_two_processes(&self, &stranger, VADDR);
	container = unit_container(&unit_small_group);
}

static void teardown(void)
{
	if (self.mm)
		unit_process_exit(&self);
	if (stranger.mm)
		unit_process_exit(&stranger);
	if (container)
		unit_close(container);
}

static void a_stranger_may_not_use_an_owned_container(void)
{
	struct vfio_iommu_spapr_tce_info info = { .argsz = sizeof(info) };
	char *before, *after;
	u64 start;

	setup();
	/* Nobody's yet: anybody may ask. */
	unit_process_run(&stranger);
	EXPECT_RET(unit_ioctl(container, VFIO_IOMMU_SPAPR_TCE_GET_INFO, &info, sizeof(info)), 0);
	unit_process_run(&self);
	EXPECT_RET(unit_register(container, VADDR, MIB), 0);
	EXPECT_RET(unit_map(container, 0, VADDR, MIB, RW), 0);
	before = unit_snapshot();
	unit_process_run(&stranger);
	EXPECT_RET(unit_register(container, VADDR, MIB), -EPERM);
	EXPECT_RET(unit_unregister(container, VADDR, MIB), -EPERM);
	EXPECT_RET(unit_map(container, 0, VADDR, MIB, RW), -EPERM);
	EXPECT_RET(unit_unmap(container, 0, MIB), -EPERM);
	EXPECT_RET(unit_create(container, 12, MIB, &start), -EPERM);
	EXPECT_RET(unit_remove(container, 0), -EPERM);
	EXPECT_RET(unit_ioctl(container, VFIO_IOMMU_SPAPR_TCE_GET_INFO, &info, sizeof(info)), -EPERM);
	after = unit_snapshot();
	unit_same(after, before, "snapshot");
	free(before);
	free(after);
	teardown();
}

static void a_call_that_fails_makes_nobody_the_owner(void)
{
	u64 start;

	setup();
	EXPECT_RET(unit_register(container, VADDR, 2 * MIB), -EFAULT);
	EXPECT_RET(unit_unregister(container, VADDR, MIB), -EPERM);
	EXPECT_RET(unit_map(container, 0, VADDR, MIB, RW), -EPERM);
	EXPECT_RET(unit_unmap(container, 0, MIB), -EPERM);
	EXPECT_RET(unit_create(container, 11, MIB, &start), -EINVAL);
	EXPECT_RET(unit_remove(container, PAGE_SIZE), -EINVAL);
	EXPECT_EQ(fake_stat("owners"), 0);
	unit_process_run(&stranger);
	EXPECT_RET(unit_register(container, VADDR, MIB), 0);
	teardown();
}

static void making_or_removing_a_window_makes_the_owner(void)
{
	u64 start;

	setup();
	EXPECT_RET(unit_remove(container, 0), 0);
	EXPECT_EQ(fake_stat("owners"), 1);
	unit_process_run(&stranger);
	EXPECT_RET(unit_create(container, 12, MIB, &start), -EPERM);
	unit_process_exit(&self);
	EXPECT_EQ(fake_stat("owners"), 0);
	unit_process_run(&stranger);
	EXPECT_RET(unit_create(container, 12, MIB, &start), 0);
	/* It owns the container, but has registered nothing. */
	EXPECT_RET(unit_map(container, 0, VADDR, PAGE_SIZE, RW), -EPERM);
	EXPECT_RET(unit_unregister(container, VADDR, PAGE_SIZE), -ENOENT);
	teardown();
}

static void the_end_of_the_owner_takes_all(void)
{
	phys_addr_t phys;
	u64 start;
	int prot;

	setup();
	EXPECT_RET(unit_create(container, 12, MIB, &start), 0);
	EXPECT_RET(unit_register(container, VADDR, MIB), 0);
	EXPECT_RET(unit_map(container, 0, VADDR, MIB, RW), 0);
	EXPECT_RET(unit_map(container, start, VADDR, PAGE_SIZE, RW), 0);
	/* Checked inside: nothing pinned, charged, reachable, allocated. */
	unit_process_exit(&self);
	EXPECT_EQ(fake_pins(), 0);
	EXPECT_EQ(fake_stat("owners"), 0);
	EXPECT(!unit_translate(&unit_small_group, 0, &phys, &prot));
	/* The next one finds the default window, and may not map yet. */
	unit_process_run(&stranger);
	EXPECT_RET(unit_map(container, 0, VADDR, PAGE_SIZE, RW), -EPERM);
	EXPECT_RET(unit_register(container, VADDR, MIB), 0);
	EXPECT_RET(unit_map(container, start, VADDR, PAGE_SIZE, RW), -ENXIO);
	EXPECT_RET(unit_map(container, 0, VADDR, PAGE_SIZE, RW), 0);
	unit_check_hw(container);
	teardown();
}

static void an_owner_of_several_containers_leaves_them_all(void)
{
	void *other;

	setup();
	other = unit_container(&unit_other_group);
	EXPECT_RET(unit_register(container, VADDR, MIB), 0);
	EXPECT_RET(unit_register(other, VADDR, MIB), 0);
	EXPECT_RET(unit_map(container, 0, VADDR, MIB, RW), 0);
	EXPECT_RET(unit_map(other, 0, VADDR, MIB, RW), 0);
	unit_process_exit(&self);
	EXPECT_EQ(fake_pins(), 0);
	unit_process_run(&stranger);
	EXPECT_RET(unit_register(other, VADDR, MIB), 0);
	unit_close(other);
	teardown();
}

static void close_by_anybody_gives_all_back(void)
{
	setup();
	EXPECT_RET(unit_register(container, VADDR, MIB), 0);
	EXPECT_RET(unit_map(container, 0, VADDR, MIB, RW), 0);
	unit_process_run(&stranger);
	unit_close(container);
	container = NULL;
	EXPECT_EQ(fake_pins(), 0);
	EXPECT_EQ(fake_stat("containers"), 0);
	fake_work_run();
	EXPECT_EQ(self.mm->locked_vm, 0);
	EXPECT_EQ(fake_stat("owners"), 0);
	teardown();
}

/* VFIO may still come with a container that another thread has just released. */
static void a_call_on_a_container_that_is_gone_says_so(void)
{
	void *gone;

	setup();
	gone = container;
	unit_close(container);
	EXPECT_RET(unit_register(gone, VADDR, MIB), -ENODEV);
	EXPECT_RET(unit_unmap(gone, 0, MIB), -ENODEV);
	/* Its number is never given again. */
	container = unit_container(&unit_small_group);
	EXPECT(container != gone);
	EXPECT_RET(unit_register(gone, VADDR, MIB), -ENODEV);
	teardown();
}

/* The struct of a closed container is used again. */
static void a_new_container_knows_nothing_of_an_old_one(void)
{
	char *before, *after;
	u64 start;

	setup();
	before = unit_snapshot();
	EXPECT_RET(unit_remove(container, 0), 0);
	EXPECT_RET(unit_create(container, 16, MIB, &start), 0);
	EXPECT_RET(unit_create(container, 16, GIB, &start), 0);
	EXPECT_RET(unit_register(container, VADDR, MIB), 0);
	EXPECT_RET(unit_map(container, start, VADDR, MIB, RW), 0);
	EXPECT_RET(unit_map(container, 0, VADDR, MIB, RW), 0);
	unit_process_run(&stranger);
	unit_close(container);
	fake_work_run();
	container = unit_container(&unit_small_group);
	after = unit_snapshot();
	unit_same(after, before, "the next container");
	EXPECT_RET(unit_create(container, 12, MIB, &start), 0);
	EXPECT_RET(unit_map(container, 0, VADDR, MIB, RW), -EPERM);
	free(before);
	free(after);
	teardown();
}

static void only_the_types_it_is_are_supported(void)
{
	unsigned long type;

	setup();
	for (type = 0; type < 64; type++) {
		long want = type == VFIO_SPAPR_TCE_v2_IOMMU;
		bool type1 = type == VFIO_TYPE1_IOMMU ||
			     type == VFIO_TYPE1v2_IOMMU ||
			     type == VFIO_UNMAP_ALL;

		EXPECT_EQ(unit_check_extension(NULL, type), want || type1);
		if (type == VFIO_DMA_CC_IOMMU)
			want = 1;
		EXPECT_EQ(unit_check_extension(container, type), want);
	}
	teardown();
}

static void unknown_calls_and_short_structs_are_refused(void)
{
	static const struct {
		unsigned int	cmd;
		size_t		bytes;
	} calls[] = {
		{ VFIO_IOMMU_SPAPR_TCE_GET_INFO, 16 },
		{ VFIO_IOMMU_MAP_DMA, 32 },
		{ VFIO_IOMMU_UNMAP_DMA, 24 },
		{ VFIO_IOMMU_SPAPR_REGISTER_MEMORY, 24 },
		{ VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, 24 },
		{ VFIO_IOMMU_SPAPR_TCE_CREATE, 40 },
		{ VFIO_IOMMU_SPAPR_TCE_REMOVE, 16 },
	};
	static const unsigned int unknown[] = {
		VFIO_IOMMU_ENABLE, VFIO_IOMMU_DISABLE, VFIO_EEH_PE_OP, 0, ~0U,
	};
	char *before, *after;
	u32 arg[16];
	size_t i;

	setup();
	EXPECT_RET(unit_register(container, VADDR, MIB), 0);
	before = unit_snapshot();
	for (i = 0; i < ARRAY_SIZE(unknown); i++)
		EXPECT_RET(unit_ioctl(container, unknown[i], arg, sizeof(arg)), -ENOTTY);
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		memset(arg, 0, sizeof(arg));
		EXPECT_RET(unit_ioctl(container, calls[i].cmd, arg, calls[i].bytes), -EINVAL);
		arg[0] = calls[i].bytes - 1;
		EXPECT_RET(unit_ioctl(container, calls[i].cmd, arg, calls[i].bytes), -EINVAL);
		fake_fault_arm(FAKE_FAULT_COPY, 1, false);
		EXPECT_RET(unit_ioctl(container, calls[i].cmd, arg, calls[i].bytes), -EFAULT);
		fake_fault_disarm();
		/* Unknown flags; GET_INFO has none to be told. */
		arg[0] = calls[i].bytes;
		arg[1] = 0x80;
		if (i)
			EXPECT_RET(unit_ioctl(container, calls[i].cmd, arg, calls[i].bytes), -EINVAL);
	}
	/* A longer struct than we know is fine. */
	memset(arg, 0, sizeof(arg));
	arg[0] = sizeof(arg);
	EXPECT_RET(unit_ioctl(container, VFIO_IOMMU_UNMAP_DMA, arg, sizeof(arg)), 0);
	after = unit_snapshot();
	unit_same(after, before, "snapshot");
	free(before);
	free(after);
	teardown();
}

static void the_range_of_a_registration_is_checked(void)
{
	setup();
	EXPECT_RET(unit_register(container, VADDR + 1, PAGE_SIZE), -EINVAL);
	EXPECT_RET(unit_register(container, VADDR, PAGE_SIZE + 1), -EINVAL);
	EXPECT_RET(unit_register(container, VADDR, 0), -EINVAL);
	EXPECT_RET(unit_register(container, -PAGE_SIZE, 2 * PAGE_SIZE), -EINVAL);
	EXPECT_RET(unit_register(container, -PAGE_SIZE, PAGE_SIZE), -EFAULT);
	EXPECT_RET(unit_register(container, VADDR, -PAGE_SIZE), -EINVAL);
	EXPECT_RET(unit_register(container, VADDR, -VADDR), -EFAULT);
	EXPECT_RET(unit_register(container, VADDR, MIB), 0);
	EXPECT_RET(unit_unregister(container, VADDR + 1, PAGE_SIZE), -EINVAL);
	EXPECT_RET(unit_unregister(container, VADDR, PAGE_SIZE + 1), -EINVAL);
	EXPECT_RET(unit_unregister(container, VADDR, 0), -ENOENT);
	EXPECT_RET(unit_unregister(container, -PAGE_SIZE, 2 * PAGE_SIZE), -ENOENT);
	EXPECT_RET(unit_unregister(container, VADDR, PAGE_SIZE), -ENOENT);
	EXPECT_RET(unit_unregister(container, VADDR, MIB), 0);
	teardown();
}

static void without_a_group_there_are_no_windows_to_make(void)
{
	u64 start;
	int ret;

	unit_process_start(&self);
	container = unit_open(&ret);
	EXPECT_RET(unit_create(container, 12, MIB, &start), -ENXIO);
	EXPECT_RET(unit_remove(container, 0), -ENXIO);
	EXPECT_EQ(fake_stat("owners"), 0);
	unit_process_exit(&self);
	unit_close(container);
}

/* A notifier's struct outlives the last reference by an SRCU period. */
static void an_owner_that_comes_back_is_a_new_one(void)
{
	int i;

	setup();
	for (i = 0; i < 3; i++) {
		EXPECT_RET(unit_register(container, VADDR, MIB), 0);
		EXPECT_RET(unit_map(container, 0, VADDR, MIB, RW), 0);
		unit_close(container);
		EXPECT_EQ(fake_stat("owners"), 0);
		container = unit_container(&unit_small_group);
	}
	teardown();
}

const struct unit_test container_tests[] = {
	UNIT(a_stranger_may_not_use_an_owned_container),
	UNIT(a_call_that_fails_makes_nobody_the_owner),
	UNIT(making_or_removing_a_window_makes_the_owner),
	UNIT(the_end_of_the_owner_takes_all),
	UNIT(an_owner_of_several_containers_leaves_them_all),
	UNIT(close_by_anybody_gives_all_back),
	UNIT(a_call_on_a_container_that_is_gone_says_so),
	UNIT(a_new_container_knows_nothing_of_an_old_one),
	UNIT(only_the_types_it_is_are_supported),
	UNIT(unknown_calls_and_short_structs_are_refused),
	UNIT(the_range_of_a_registration_is_checked),
	UNIT(without_a_group_there_are_no_windows_to_make),
	UNIT(an_owner_that_comes_back_is_a_new_one),
	{ }
};
