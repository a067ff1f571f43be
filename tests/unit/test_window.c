// SPDX-License-Identifier: GPL-2.0
/* Windows: CREATE, REMOVE, GET_INFO, and where MAP and UNMAP may go. */
#include <linux/vfio.h>

#include "unit.h"

#define VADDR	0x100000000UL
#define SECOND	0x1000000000ULL
#define DEFAULT_BYTES	(2ULL << 30)

static struct unit_process self;
static void *container;

static void setup(void)
{
	unit_process_start(&self);
	unit_memory(VADDR, 4 * MIB);
	container = unit_container(&unit_vtd_group);
	EXPECT_RET(unit_register(container, VADDR, 4 * MIB), 0);
}

static void teardown(void)
{
	unit_check_hw(container);
	unit_process_exit(&self);
	unit_close(container);
}

static void expect_create(u32 shift, u64 bytes, int ret, u64 want)
{
	u64 start;

	tap_expect_ret(unit_create(container, shift, bytes, &start), ret,
		       "create shift %u bytes %#llx", shift, bytes);
	if (!ret)
		tap_expect_eq(start, want, "start, shift %u bytes %#llx", shift,
			      bytes);
}

static void the_default_window_is_two_GiB_of_small_pages(void)
{
	setup();
	EXPECT_RET(unit_map(container, 0, VADDR, PAGE_SIZE, RW), 0);
	EXPECT_RET(unit_map(container, DEFAULT_BYTES - PAGE_SIZE, VADDR,
			    PAGE_SIZE, RW), 0);
	EXPECT_RET(unit_map(container, DEFAULT_BYTES, VADDR, PAGE_SIZE, RW), -ENXIO);
	EXPECT_RET(unit_unmap(container, DEFAULT_BYTES, PAGE_SIZE), -ENXIO);
	EXPECT_RET(unit_map(container, DEFAULT_BYTES - PAGE_SIZE, VADDR,
			    2 * PAGE_SIZE, RW), -ENXIO);
	EXPECT_RET(unit_unmap(container, DEFAULT_BYTES - PAGE_SIZE,
			      2 * PAGE_SIZE), -ENXIO);
	EXPECT_RET(unit_unmap(container, 0, ~0xfffULL), -ENXIO);
	EXPECT_RET(unit_unmap(container, ~0xfffULL, PAGE_SIZE), -ENXIO);
	EXPECT_RET(unit_map(container, ~0xfffULL, VADDR, 2 * PAGE_SIZE, RW), -ENXIO);
	EXPECT_RET(unit_unmap(container, PAGE_SIZE, -PAGE_SIZE), -ENXIO);
	EXPECT_EQ(fake_stat("mappings"), 2);
	teardown();
}

static void creating_takes_the_free_slot_and_says_where_it_starts(void)
{
	setup();
	expect_create(16, GIB, 0, SECOND);
	expect_create(12, GIB, -ENOSPC, 0);
	EXPECT_RET(unit_remove(container, 0), 0);
	/* The first slot is free: it starts at 0, and must end before the second. */
	expect_create(12, 2 * SECOND, -ENOSPC, 0);
	expect_create(12, SECOND, 0, 0);
	EXPECT_RET(unit_remove(container, SECOND), 0);
	EXPECT_RET(unit_remove(container, 0), 0);
	/* A first one that reaches further pushes the second up. */
	expect_create(30, 4 * SECOND, 0, 0);
	expect_create(12, PAGE_SIZE, 0, 4 * SECOND);
	EXPECT_RET(unit_remove(container, 0), 0);
	EXPECT_RET(unit_remove(container, 4 * SECOND), 0);
	EXPECT_RET(unit_map(container, 0, VADDR, PAGE_SIZE, RW), -ENXIO);
	/* DPDK's, and the largest there is. */
	expect_create(21, 1ULL << 47, 0, 0);
	EXPECT_RET(unit_remove(container, 0), 0);
	expect_create(12, 1ULL << 63, 0, 0);
	expect_create(12, 1ULL << 63, 0, 1ULL << 63);
	EXPECT_RET(unit_unmap(container, 0, 1ULL << 63), 0);
	EXPECT_RET(unit_unmap(container, 1ULL << 63, 1ULL << 63), 0);
	EXPECT_RET(unit_remove(container, 1ULL << 63), 0);
	EXPECT_RET(unit_remove(container, 0), 0);
	expect_create(12, 1ULL << 62, 0, 0);
	expect_create(12, 1ULL << 63, 0, 1ULL << 62);
	teardown();
}

static void sizes_and_page_sizes_not_offered_are_invalid(void)
{
	struct vfio_iommu_spapr_tce_create create;
	static const u32 shifts[] = { 0, 1, 11, 31, 32, 63, 64, 0x80000000, ~0U };
	static const u64 sizes[] = { 0, 1, 4095, 4097, 3 * GIB, GIB + 1, ~0ULL };
	size_t i;

	setup();
	for (i = 0; i < ARRAY_SIZE(shifts); i++)
		expect_create(shifts[i], GIB, -EINVAL, 0);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		expect_create(12, sizes[i], -EINVAL, 0);
	expect_create(16, 32768, -EINVAL, 0);
	for (i = 12; i <= 30; i++) {
		expect_create(i, 1ULL << i, 0, SECOND);
		EXPECT_RET(unit_remove(container, SECOND), 0);
	}
	for (i = 0; i <= 6; i += 6) {
		create = (struct vfio_iommu_spapr_tce_create) {
			.argsz = sizeof(create), .page_shift = 12,
			.window_size = GIB, .levels = i,
		};
		EXPECT_RET(unit_ioctl(container, VFIO_IOMMU_SPAPR_TCE_CREATE,
				      &create, sizeof(create)), -EINVAL);
	}
	create.levels = 1;
	create.flags = 1;
	EXPECT_RET(unit_ioctl(container, VFIO_IOMMU_SPAPR_TCE_CREATE, &create,
			      sizeof(create)), -EINVAL);
	expect_create(12, GIB, 0, SECOND);
	teardown();
}

static void removing_takes_the_mappings_along_and_only_at_the_start(void)
{
	setup();
	expect_create(12, GIB, 0, SECOND);
	EXPECT_RET(unit_map(container, 0x5000, VADDR, MIB, RW), 0);
	EXPECT_RET(unit_map(container, SECOND + 0x5000, VADDR, MIB, RW), 0);
	EXPECT_RET(unit_remove(container, SECOND + PAGE_SIZE), -EINVAL);
	EXPECT_RET(unit_remove(container, PAGE_SIZE), -EINVAL);
	EXPECT_RET(unit_remove(container, DEFAULT_BYTES), -EINVAL);
	EXPECT_RET(unit_remove(container, ~0ULL), -EINVAL);
	EXPECT_EQ(fake_stat("mappings"), 2);
	EXPECT_RET(unit_remove(container, 0), 0);
	EXPECT_RET(unit_remove(container, 0), -EINVAL);
	EXPECT_EQ(fake_stat("mappings"), 1);
	EXPECT_EQ(fake_iommu_bytes(unit_vtd_group.domain), MIB);
	unit_check_hw(container);
	EXPECT_RET(unit_remove(container, SECOND), 0);
	EXPECT_EQ(fake_iommu_bytes(unit_vtd_group.domain), 0);
	EXPECT_RET(unit_unregister(container, VADDR, 4 * MIB), 0);
	teardown();
}

static void maps_are_whole_pages_of_their_window(void)
{
	setup();
	expect_create(16, GIB, 0, SECOND);
	EXPECT_RET(unit_map(container, SECOND, VADDR, 0x10000, RW), 0);
	EXPECT_RET(unit_map(container, SECOND + 0x1000, VADDR, 0x10000, RW), -EINVAL);
	EXPECT_RET(unit_map(container, SECOND, VADDR + 0x1000, 0x10000, RW), -EINVAL);
	EXPECT_RET(unit_map(container, SECOND, VADDR, 0x11000, RW), -EINVAL);
	EXPECT_RET(unit_unmap(container, SECOND + 0x1000, 0x10000), -EINVAL);
	EXPECT_RET(unit_unmap(container, SECOND, 0x1000), -EINVAL);
	EXPECT_RET(unit_map(container, 0x1000, VADDR + 0x1000, 0x11000, RW), 0);
	EXPECT_RET(unit_map(container, 0x1800, VADDR, 0x1000, RW), -EINVAL);
	EXPECT_RET(unit_map(container, 0x1000, VADDR + 1, 0x1000, RW), -EINVAL);
	EXPECT_RET(unit_map(container, 0x1000, VADDR, 0x1001, RW), -EINVAL);
	EXPECT_RET(unit_unmap(container, 1, 0x1000), -EINVAL);
	EXPECT_EQ(fake_iommu_bytes(unit_vtd_group.domain), 0x21000);
	teardown();
}

static void reserved_iovas_are_holes_in_a_window(void)
{
	setup();
	EXPECT_RET(unit_remove(container, 0), 0);
	expect_create(12, 1ULL << 47, 0, 0);
	EXPECT_RET(unit_map(container, UNIT_MSI_FIRST, VADDR, PAGE_SIZE, RW), -ENXIO);
	EXPECT_RET(unit_map(container, UNIT_MSI_LAST & ~0xfffUL, VADDR,
			    PAGE_SIZE, RW), -ENXIO);
	EXPECT_RET(unit_map(container, UNIT_MSI_FIRST - MIB, VADDR,
			    4 * MIB, RW), -ENXIO);
	EXPECT_RET(unit_map(container, UNIT_MSI_FIRST - MIB, VADDR, MIB, RW), 0);
	EXPECT_RET(unit_map(container, UNIT_MSI_LAST + 1, VADDR, MIB, RW), 0);
	/* UNMAP may go over them. */
	EXPECT_RET(unit_unmap(container, UNIT_MSI_FIRST - MIB, 4 * MIB), 0);
	EXPECT_EQ(fake_stat("mappings"), 0);
	EXPECT_RET(unit_remove(container, 0), 0);
	/* Behind what the IOMMU can translate. */
	expect_create(12, 1ULL << 50, 0, 0);
	EXPECT_RET(unit_map(container, BIT_ULL(48), VADDR, PAGE_SIZE, RW), -ENXIO);
	EXPECT_RET(unit_map(container, BIT_ULL(48) - PAGE_SIZE, VADDR,
			    2 * PAGE_SIZE, RW), -ENXIO);
	EXPECT_RET(unit_map(container, BIT_ULL(48) - PAGE_SIZE, VADDR,
			    PAGE_SIZE, RW), 0);
	teardown();
}

static void the_answer_to_create_must_have_a_place(void)
{
	char *before;
	u64 start;
	int nth;

	setup();
	before = unit_snapshot();
	/* The argument is read; written for a try; and with the answer. */
	for (nth = 1; nth <= 3; nth++) {
		char *after;

		fake_fault_arm(FAKE_FAULT_COPY, nth, true);
		EXPECT_RET(unit_create(container, 12, GIB, &start), -EFAULT);
		EXPECT(fake_fault_disarm());
		after = unit_snapshot();
		unit_same(after, before, "copy %d", nth);
		free(after);
	}
	free(before);
	expect_create(12, GIB, 0, SECOND);
	teardown();
}

static void get_info_tells_what_create_takes(void)
{
	struct vfio_iommu_spapr_tce_info info = { .argsz = sizeof(info) };

	setup();
	EXPECT_RET(unit_ioctl(container, VFIO_IOMMU_SPAPR_TCE_GET_INFO, &info,
			      sizeof(info)), 0);
	EXPECT_EQ(info.argsz, sizeof(info));
	EXPECT_EQ(info.flags, VFIO_IOMMU_SPAPR_INFO_DDW);
	EXPECT_EQ(info.dma32_window_start, 0);
	EXPECT_EQ(info.dma32_window_size, DEFAULT_BYTES);
	EXPECT_EQ(info.ddw.pgsizes, 0x7ffff000);
	EXPECT_EQ(info.ddw.max_dynamic_windows_supported, 2);
	EXPECT_EQ(info.ddw.levels, 5);
	/* A caller that knows only the first half gets that and no more. */
	info = (struct vfio_iommu_spapr_tce_info) {
		.argsz = offsetof(struct vfio_iommu_spapr_tce_info, ddw),
	};
	EXPECT_RET(unit_ioctl(container, VFIO_IOMMU_SPAPR_TCE_GET_INFO, &info,
			      info.argsz), 0);
	EXPECT_EQ(info.dma32_window_size, DEFAULT_BYTES);
	EXPECT_EQ(info.ddw.pgsizes, 0);
	teardown();
}

const struct unit_test window_tests[] = {
	UNIT(the_default_window_is_two_GiB_of_small_pages),
	UNIT(creating_takes_the_free_slot_and_says_where_it_starts),
	UNIT(sizes_and_page_sizes_not_offered_are_invalid),
	UNIT(removing_takes_the_mappings_along_and_only_at_the_start),
	UNIT(maps_are_whole_pages_of_their_window),
	UNIT(reserved_iovas_are_holes_in_a_window),
	UNIT(the_answer_to_create_must_have_a_place),
	UNIT(get_info_tells_what_create_takes),
	{ }
};
