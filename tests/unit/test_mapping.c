// SPDX-License-Identifier: GPL-2.0
/* Mappings: what MAP and UNMAP leave in books and hardware. */
#include <linux/vfio.h>

#include "unit.h"

#define VADDR	0x100000000UL

static struct unit_process self;
static void *container;

static void setup(struct iommu_group *group)
{
	unit_process_start(&self);
	container = unit_container_window(group);
}

static void teardown(void)
{
	unit_check_hw(container);
	unit_process_exit(&self);
	unit_close(container);
}

static void expect_map(u64 iova, u64 vaddr, u64 bytes, int prot)
{
	EXPECT_RET(unit_map(container, iova, vaddr, bytes, prot), 0);
	unit_check_hw(container);
}

static void expect_unmap(u64 iova, u64 bytes)
{
	EXPECT_RET(unit_unmap(container, iova, bytes), 0);
	unit_check_hw(container);
}

static unsigned long vtd_entries(void)
{
	return fake_iommu_entries(unit_vtd_group.domain);
}

static bool mapped(u64 iova)
{
	phys_addr_t phys;
	int prot;

	return unit_translate(&unit_vtd_group, iova, &phys, &prot);
}

static void map_uses_the_largest_pages_that_fit(void)
{
	setup(&unit_vtd_group);
	unit_memory_aligned(VADDR, 2 * GIB + 2 * MIB + PAGE_SIZE, GIB);
	EXPECT_RET(unit_register(container, VADDR, 2 * GIB + 2 * MIB + PAGE_SIZE), 0);
	/* Also over the ends of the region's segments. */
	expect_map(4 * GIB, VADDR, 2 * GIB + 2 * MIB + PAGE_SIZE, RW);
	EXPECT_EQ(vtd_entries(), 4);
	expect_unmap(4 * GIB, 2 * GIB + 2 * MIB + PAGE_SIZE);
	EXPECT_EQ(vtd_entries(), 0);
	/* Aligned alike, but neither start nor end on a large page. */
	expect_map(2 * MIB - PAGE_SIZE, VADDR + 2 * MIB - PAGE_SIZE,
		   2 * MIB + 2 * PAGE_SIZE, RW);
	EXPECT_EQ(vtd_entries(), 3);
	expect_unmap(0, 8 * MIB);
	/* Not aligned alike. */
	expect_map(PAGE_SIZE, VADDR, 4 * MIB, RW);
	EXPECT_EQ(vtd_entries(), 1024);
	teardown();
}

/* 6 GiB in pieces of 1 GiB and one of one page: many stretches, some large. */
/* Any power of two can be a page, and any cut can lie in one. */
static void pages_of_all_sizes_are_used_and_cut(void)
{
	setup(&unit_amd_group);
	unit_memory_aligned(VADDR, GIB, GIB);
	EXPECT_RET(unit_register(container, VADDR, GIB), 0);
	expect_map(0, VADDR, GIB, RW);
	EXPECT_EQ(fake_iommu_entries(unit_amd_group.domain), 1);
	expect_unmap(512 * MIB, PAGE_SIZE);
	/* 512 MiB; 4 KiB, 8 KiB, … 256 MiB behind the hole. */
	EXPECT_EQ(fake_iommu_entries(unit_amd_group.domain), 1 + 17);
	expect_unmap(512 * MIB - 3 * PAGE_SIZE, PAGE_SIZE);
	EXPECT_EQ(fake_iommu_entries(unit_amd_group.domain), 16 + 1 + 17);
	expect_map(PAGE_SIZE, VADDR + 7 * PAGE_SIZE, 200 * MIB, IOMMU_READ);
	teardown();
}

static void long_maps_go_in_by_batches(void)
{
	setup(&unit_vtd_group);
	fake_mm_add(self.mm, &(struct fake_vma) {
		.start = VADDR, .npages = 6 * GIB >> PAGE_SHIFT,
		.pfn = FAKE_BULK_PFN, .piece = GIB >> PAGE_SHIFT,
	});
	unit_memory_pieces(VADDR + 6 * GIB, 300 * PAGE_SIZE, PAGE_SIZE);
	EXPECT_RET(unit_register(container, VADDR, 6 * GIB + 300 * PAGE_SIZE), 0);
	expect_map(8 * GIB, VADDR, 6 * GIB + 300 * PAGE_SIZE, RW);
	EXPECT_EQ(vtd_entries(), 6 + 300);
	expect_map(GIB, VADDR + 6 * GIB - PAGE_SIZE, 301 * PAGE_SIZE, IOMMU_READ);
	expect_map(2 * GIB, VADDR + 6 * GIB, 128 * PAGE_SIZE, RW);
	expect_map(3 * GIB, VADDR + 6 * GIB, 129 * PAGE_SIZE, RW);
	teardown();
}

static void unmap_takes_any_part_and_passes_over_holes(void)
{
	int i;

	setup(&unit_vtd_group);
	unit_memory_pieces(VADDR, MIB, PAGE_SIZE);
	EXPECT_RET(unit_register(container, VADDR, MIB), 0);
	EXPECT_RET(unit_unmap(container, 0, TIB), 0);
	EXPECT_RET(unit_unmap(container, 0, 0), 0);
	for (i = 0; i < 64; i += 2)
		expect_map(i * PAGE_SIZE, VADDR + i * PAGE_SIZE, PAGE_SIZE, RW);
	/* Begins and ends in holes. */
	expect_unmap(9 * PAGE_SIZE, 3 * PAGE_SIZE);
	EXPECT(mapped(8 * PAGE_SIZE) && !mapped(10 * PAGE_SIZE) &&
	       mapped(12 * PAGE_SIZE));
	/* More ranges than are flushed one by one. */
	fake_iommu_full_flushes = 0;
	expect_unmap(16 * PAGE_SIZE, 40 * PAGE_SIZE);
	EXPECT_EQ(fake_iommu_full_flushes, 1);
	EXPECT_EQ(vtd_entries(), 7 + 4);
	expect_unmap(0, TIB);
	EXPECT_EQ(fake_stat("mappings"), 0);
	/* The middle of a mapping, its head, its tail, more than the rest. */
	expect_map(0, VADDR, 16 * PAGE_SIZE, RW);
	expect_unmap(5 * PAGE_SIZE, 2 * PAGE_SIZE);
	EXPECT_EQ(fake_stat("mappings"), 2);
	expect_unmap(0, PAGE_SIZE);
	expect_unmap(15 * PAGE_SIZE, PAGE_SIZE);
	EXPECT_EQ(vtd_entries(), 12);
	EXPECT_EQ(fake_stat("mapped_bytes"), 12 * PAGE_SIZE);
	expect_unmap(3 * PAGE_SIZE, 8 * PAGE_SIZE);
	EXPECT_EQ(vtd_entries(), 6);
	EXPECT_RET(unit_unregister(container, VADDR, MIB), -EBUSY);
	expect_unmap(0, 16 * PAGE_SIZE);
	EXPECT_RET(unit_unregister(container, VADDR, MIB), 0);
	teardown();
}

static void neighbours_leave_the_hardware_together(void)
{
	unsigned long before;
	int i;

	setup(&unit_vtd_group);
	unit_memory(VADDR, MIB);
	EXPECT_RET(unit_register(container, VADDR, MIB), 0);
	for (i = 0; i < 256; i++)
		expect_map(i * PAGE_SIZE, VADDR + i * PAGE_SIZE, PAGE_SIZE, RW);
	EXPECT_EQ(fake_stat("mappings"), 256);
	before = fake_iommu_range_flushes;
	fake_iommu_full_flushes = 0;
	expect_unmap(0, MIB);
	EXPECT_EQ(fake_iommu_range_flushes - before, 1);
	EXPECT_EQ(fake_iommu_full_flushes, 0);
	teardown();
}

static void a_part_of_a_2_MiB_page_is_unmapped(void)
{
	static const u64 parts[][2] = {
		{ 0, PAGE_SIZE }, { PAGE_SIZE, PAGE_SIZE },
		{ 2 * MIB - PAGE_SIZE, PAGE_SIZE }, { 0x10000, 0x123000 },
		{ 0, 2 * MIB - PAGE_SIZE }, { MIB, MIB },
		/* Over the end into the next one, and beyond both. */
		{ PAGE_SIZE, 2 * MIB }, { 2 * MIB - PAGE_SIZE, 2 * PAGE_SIZE },
		{ MIB, 4 * MIB },
	};
	size_t i;

	setup(&unit_vtd_group);
	unit_memory_aligned(VADDR, 4 * MIB, 2 * MIB);
	EXPECT_RET(unit_register(container, VADDR, 4 * MIB), 0);
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		u64 first = 2 * MIB + parts[i][0], end = first + parts[i][1];

		tap_expect(unit_map(container, 2 * MIB, VADDR, 4 * MIB, RW) == 0,
			   "map for part %zu", i);
		EXPECT_EQ(vtd_entries(), 2);
		expect_unmap(first, parts[i][1]);
		EXPECT(first == 2 * MIB || mapped(first - PAGE_SIZE));
		EXPECT(!mapped(first) && !mapped(min_t(u64, end, 6 * MIB) - PAGE_SIZE));
		EXPECT(end >= 6 * MIB || mapped(end));
		expect_unmap(0, 8 * MIB);
		EXPECT_EQ(vtd_entries(), 0);
	}
	teardown();
}

static void only_the_page_under_the_cut_is_broken_up(void)
{
	setup(&unit_vtd_group);
	unit_memory_aligned(VADDR, 3 * GIB, GIB);
	EXPECT_RET(unit_register(container, VADDR, 3 * GIB), 0);
	expect_map(5 * GIB, VADDR, 3 * GIB, RW);
	EXPECT_EQ(vtd_entries(), 3);
	expect_unmap(6 * GIB + 512 * MIB + PAGE_SIZE, PAGE_SIZE);
	/* Two whole; of the middle one 256 + 255 large pages and two parts. */
	EXPECT_EQ(vtd_entries(), 2 + 256 + 1 + 510 + 255);
	/* Cut at pages' ends: nothing more is broken up. */
	expect_unmap(7 * GIB, GIB);
	expect_unmap(5 * GIB, GIB);
	EXPECT_EQ(vtd_entries(), 256 + 1 + 510 + 255);
	expect_unmap(6 * GIB + 4 * MIB, 2 * MIB);
	EXPECT_EQ(vtd_entries(), 255 + 1 + 510 + 255);
	teardown();
}

/* Contiguous memory by two calls: two sets of entries, or one could not go. */
static void no_iommu_page_lies_across_two_mappings(void)
{
	setup(&unit_vtd_group);
	unit_memory_aligned(VADDR, 4 * MIB, 2 * MIB);
	EXPECT_RET(unit_register(container, VADDR, 4 * MIB), 0);
	expect_map(0, VADDR, MIB, RW);
	expect_map(MIB, VADDR + MIB, MIB, RW);
	EXPECT_EQ(vtd_entries(), 512);
	expect_unmap(MIB, MIB);
	EXPECT_EQ(vtd_entries(), 256);
	/* A new direction for a part of a large page. */
	expect_map(0, VADDR, 4 * MIB, RW);
	EXPECT_EQ(vtd_entries(), 2);
	expect_map(MIB, VADDR + MIB, MIB, IOMMU_READ);
	EXPECT_EQ(vtd_entries(), 512 + 1);
	EXPECT_EQ(fake_stat("mappings"), 3);
	teardown();
}

static void map_replaces_what_was_there(void)
{
	setup(&unit_vtd_group);
	unit_memory_aligned(VADDR, 8 * MIB, 2 * MIB);
	unit_memory_pieces(VADDR + GIB, 8 * MIB, PAGE_SIZE);
	EXPECT_RET(unit_register(container, VADDR, 8 * MIB), 0);
	EXPECT_RET(unit_register(container, VADDR + GIB, 8 * MIB), 0);
	expect_map(0, VADDR, 4 * MIB, RW);
	/* Exactly the same again, and other memory there. */
	expect_map(0, VADDR, 4 * MIB, RW);
	EXPECT_EQ(fake_stat("mappings"), 1);
	expect_map(0, VADDR + GIB, 4 * MIB, IOMMU_WRITE);
	EXPECT_RET(unit_unregister(container, VADDR, 8 * MIB), 0);
	EXPECT_RET(unit_register(container, VADDR, 8 * MIB), 0);
	/* In the middle, at both ends. */
	expect_map(MIB, VADDR, MIB, RW);
	expect_map(0, VADDR + MIB, PAGE_SIZE, IOMMU_READ);
	expect_map(4 * MIB - PAGE_SIZE, VADDR, 2 * PAGE_SIZE, RW);
	EXPECT_EQ(fake_stat("mapped_bytes"), 4 * MIB + PAGE_SIZE);
	EXPECT_EQ(fake_stat("mappings"), 5);
	/* Several and the holes between them, parts of the outer ones. */
	expect_map(6 * MIB, VADDR + 2 * MIB, 2 * MIB, RW);
	expect_map(3 * MIB, VADDR + GIB + 3 * PAGE_SIZE, 4 * MIB, RW);
	EXPECT_EQ(fake_stat("mapped_bytes"), 8 * MIB);
	/* All of it by one. */
	expect_map(0, VADDR, 8 * MIB, IOMMU_READ);
	EXPECT_EQ(fake_stat("mappings"), 1);
	EXPECT_EQ(vtd_entries(), 4);
	EXPECT_RET(unit_unregister(container, VADDR + GIB, 8 * MIB), 0);
	teardown();
}

static void map_takes_only_registered_memory_and_sane_arguments(void)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .vaddr = VADDR, .size = PAGE_SIZE,
	};
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .size = PAGE_SIZE,
	};

	setup(&unit_vtd_group);
	unit_memory(VADDR, 4 * MIB);
	EXPECT_RET(unit_map(container, 0, VADDR, PAGE_SIZE, RW), -EPERM);
	EXPECT_RET(unit_unmap(container, 0, PAGE_SIZE), -EPERM);
	EXPECT_RET(unit_register(container, VADDR, MIB), 0);
	EXPECT_RET(unit_register(container, VADDR + MIB, MIB), 0);
	EXPECT_RET(unit_map(container, 0, VADDR - PAGE_SIZE, PAGE_SIZE, RW), -EINVAL);
	EXPECT_RET(unit_map(container, 0, VADDR - PAGE_SIZE, 2 * PAGE_SIZE, RW), -EINVAL);
	EXPECT_RET(unit_map(container, 0, VADDR + 2 * MIB, PAGE_SIZE, RW), -EINVAL);
	/* Over the end, also into the next region; the sum wraps. */
	EXPECT_RET(unit_map(container, 0, VADDR, MIB + PAGE_SIZE, RW), -EINVAL);
	EXPECT_RET(unit_map(container, 0, VADDR + MIB, MIB + PAGE_SIZE, RW), -EINVAL);
	EXPECT_RET(unit_map(container, 0, VADDR, TIB, RW), -EINVAL);
	EXPECT_RET(unit_map(container, 0, -PAGE_SIZE, 2 * PAGE_SIZE, RW), -EINVAL);
	EXPECT_RET(unit_map(container, 0, VADDR, 0, RW), -EINVAL);
	EXPECT_RET(unit_map(container, 0, VADDR, PAGE_SIZE, 0), -EINVAL);
	map.flags = VFIO_DMA_MAP_FLAG_READ | 4;
	EXPECT_RET(unit_ioctl(container, VFIO_IOMMU_MAP_DMA, &map, sizeof(map)), -EINVAL);
	unmap.flags = 2;
	EXPECT_RET(unit_ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap, sizeof(unmap)), -EINVAL);
	EXPECT_EQ(fake_stat("mappings"), 0);
	expect_map(0, VADDR, MIB, IOMMU_READ);
	expect_map(MIB, VADDR + MIB, MIB, IOMMU_WRITE);
	EXPECT_RET(unit_unmap(container, 0, TIB), 0);
	/* Once the owner has registered, MAP is EINVAL and UNMAP fine without. */
	EXPECT_RET(unit_unregister(container, VADDR, MIB), 0);
	EXPECT_RET(unit_unregister(container, VADDR + MIB, MIB), 0);
	EXPECT_RET(unit_map(container, 0, VADDR, PAGE_SIZE, RW), -EINVAL);
	EXPECT_RET(unit_unmap(container, 0, PAGE_SIZE), 0);
	teardown();
}

static void mappings_max_limits_what_a_container_costs(void)
{
	int i;

	setup(&unit_vtd_group);
	/* For 1 TiB of RAM. */
	EXPECT_EQ(*shim_param_mappings_max, 2 << 20);
	unit_memory(VADDR, 8 * MIB);
	EXPECT_RET(unit_register(container, VADDR, 8 * MIB), 0);
	*shim_param_mappings_max = 2;
	expect_map(0, VADDR, PAGE_SIZE, RW);
	expect_map(0x10000, VADDR, PAGE_SIZE, RW);
	EXPECT_RET(unit_map(container, 0x20000, VADDR, PAGE_SIZE, RW), -ENOSPC);
	expect_unmap(0, PAGE_SIZE);
	expect_map(0x20000, VADDR, PAGE_SIZE, RW);
	expect_unmap(0, MIB);
	/* Every 2 MiB count for one more. */
	*shim_param_mappings_max = 5;
	expect_map(0, VADDR, 8 * MIB, RW);
	EXPECT_RET(unit_map(container, 16 * MIB, VADDR, PAGE_SIZE, RW), -ENOSPC);
	/* Cutting a mapping up is free until twice of it. */
	for (i = 0; i < 5; i++)
		expect_unmap((3 + 2 * i) * PAGE_SIZE, PAGE_SIZE);
	EXPECT_RET(unit_unmap(container, 99 * PAGE_SIZE, PAGE_SIZE), -ENOSPC);
	unit_check_hw(container);
	expect_unmap(0, 8 * MIB);
	EXPECT_EQ(unit_peek(container)->cost, 0);
	teardown();
}

/* VT-d counts a flush's pages in 32 bits, and frees tables with each flush. */
static void far_apart_mappings_are_flushed_in_parts(void)
{
	static const u64 at[] = {
		0, 2 * TIB, 5 * TIB, 9 * TIB - PAGE_SIZE, 9 * TIB, 30 * TIB, 100 * TIB,
	};
	u64 start;
	size_t i;

	setup(&unit_vtd_group);
	EXPECT_RET(unit_remove(container, 0), 0);
	EXPECT_RET(unit_create(container, 12, 1ULL << 47, &start), 0);
	unit_memory_pieces(VADDR, 4 * MIB, PAGE_SIZE);
	EXPECT_RET(unit_register(container, VADDR, 4 * MIB), 0);
	for (i = 0; i < ARRAY_SIZE(at); i++)
		expect_map(at[i], VADDR, PAGE_SIZE, RW);
	expect_unmap(0, 1ULL << 47);
	EXPECT_EQ(vtd_entries(), 0);
	for (i = 0; i < ARRAY_SIZE(at); i++)
		expect_map(at[i], VADDR, i % 2 ? 4 * MIB : PAGE_SIZE, RW);
	EXPECT_RET(unit_remove(container, 0), 0);
	EXPECT_EQ(vtd_entries(), 0);
	EXPECT_RET(unit_unregister(container, VADDR, 4 * MIB), 0);
	teardown();
}

/* 48 GiB at once: a kill need not wait for the whole. */
static void a_signal_stops_a_long_map_between_batches(void)
{
	setup(&unit_vtd_group);
	fake_mm_add(self.mm, &(struct fake_vma) {
		.start = VADDR, .npages = 48 * GIB >> PAGE_SHIFT,
		.pfn = FAKE_BULK_PFN,
	});
	EXPECT_RET(unit_register(container, VADDR, 48 * GIB), 0);
	expect_map(64 * GIB, VADDR, 48 * GIB, RW);
	EXPECT_EQ(vtd_entries(), 48);
	expect_unmap(64 * GIB, 48 * GIB);
	/* The first question is the container's lock's. */
	fake_fault_arm(FAKE_FAULT_SIGNAL, 3, true);
	EXPECT_RET(unit_map(container, 64 * GIB, VADDR, 48 * GIB, RW), -EINTR);
	EXPECT(fake_fault_disarm());
	self.task.killed = false;
	EXPECT_EQ(vtd_entries(), 0);
	teardown();
}

/* What nobody else ever will. */
static void unpin_stuck(unsigned long pfn, unsigned long npages)
{
	unpin_user_page_range_dirty_lock(pfn_to_page(pfn), npages, true);
	prereg_stat_add(PREREG_STAT_PINNED_PAGES, -(long)npages);
}

/* The pages stay pinned when the container, which is closed here, is gone. */
static void expect_stuck(unsigned long pfn, unsigned long npages)
{
	EXPECT_EQ(fake_stat("pinned_pages"), npages);
	EXPECT_EQ(fake_stat("charged_pages"), 0);
	EXPECT_EQ(fake_pins(), npages);
	unit_close(container);
	EXPECT_EQ(fake_pins(), npages);
	unpin_stuck(pfn, npages);
}

/*
 * The IOMMU driver leaves an entry behind that it was to remove: a bug of its
 * own, but the page may still be written, so it must not go back.
 */
static void memory_the_iommu_holds_on_to_is_never_given_back(void)
{
	const unsigned long bytes = 2 * MIB + PAGE_SIZE, npages = 513;
	unsigned long pfn;

	setup(&unit_vtd_group);
	unit_memory_aligned(VADDR, bytes, 2 * MIB);
	pfn = fake_mm_pfn(self.mm, VADDR);
	EXPECT_RET(unit_register(container, VADDR, bytes), 0);
	EXPECT_RET(unit_map(container, 0, VADDR, bytes, RW), 0);
	fake_warnings_expected = 1;
	fake_fault_arm(FAKE_FAULT_UNMAP, 2, true);
	EXPECT_RET(unit_unmap(container, 0, bytes), 0);
	EXPECT(fake_fault_disarm());
	fake_log_lines();
	EXPECT_RET(unit_unregister(container, VADDR, bytes), 0);
	EXPECT_EQ(fake_log_lines(), 1);
	EXPECT_EQ(fake_stat("regions"), 0);
	expect_stuck(pfn, npages);
	unit_process_exit(&self);
}

/* The same where a MAP fails, and what it had entered is to be removed. */
static void memory_that_a_failed_map_leaves_there_is_never_given_back(void)
{
	enum { ONE, LIST, OTHER_DOMAIN, OTHER_DOMAIN_LIST };
	struct vfio_prereg_batch_entry entry = { .vaddr = VADDR, .flags = RW };
	unsigned long pfn, npages, bytes;
	unsigned int how;
	u32 refused;

	for (how = ONE; how <= OTHER_DOMAIN_LIST; how++) {
		/* Half of it is entered before it fails: nothing, of one page. */
		npages = how >= OTHER_DOMAIN ? 1 : 8;
		bytes = npages * PAGE_SIZE;
		entry.size = bytes;
		setup(&unit_vtd_group);
		if (how >= OTHER_DOMAIN)
			EXPECT_RET(unit_attach(container, &unit_other_group), 0);
		unit_memory_aligned(VADDR, bytes, bytes);
		pfn = fake_mm_pfn(self.mm, VADDR);
		EXPECT_RET(unit_register(container, VADDR, bytes), 0);
		fake_warnings_expected = 1;
		fake_fault_arm(FAKE_FAULT_MAP_STAYS, how >= OTHER_DOMAIN ? 2 : 1, false);
		if (how == ONE || how == OTHER_DOMAIN)
			EXPECT_RET(unit_map(container, 0, VADDR, bytes, RW), -ENOMEM);
		else
			EXPECT_RET(unit_batch(container, VFIO_PREREG_BATCH_MAP, &entry, 1,
					      &refused), -ENOMEM);
		EXPECT(fake_fault_disarm());
		fake_log_lines();
		EXPECT_RET(unit_unregister(container, VADDR, bytes), 0);
		EXPECT_EQ(fake_log_lines(), 1);
		expect_stuck(pfn, npages);
		unit_process_exit(&self);
	}
}

/* A release tells what it gave back, whatever was lost before. */
static void what_stays_pinned_is_not_counted_as_released(void)
{
	const unsigned long npages = 8, bytes = npages * PAGE_SIZE;
	unsigned long pfn;
	void *other;
	long before;

	unit_process_start(&self);
	container = unit_container_type(VFIO_TYPE1v2_IOMMU, &unit_vtd_group);
	other = unit_container_type(VFIO_TYPE1v2_IOMMU, &unit_small_group);
	unit_memory_aligned(VADDR, bytes, bytes);
	unit_memory(VADDR + MIB, PAGE_SIZE);
	EXPECT_RET(unit_map(other, GIB, VADDR + MIB, PAGE_SIZE, RW), 0);
	pfn = fake_mm_pfn(self.mm, VADDR);
	fake_warnings_expected = 1;
	fake_fault_arm(FAKE_FAULT_MAP_STAYS, 1, false);
	EXPECT_RET(unit_map(container, 0, VADDR, bytes, RW), -ENOMEM);
	EXPECT(fake_fault_disarm());
	EXPECT_EQ(fake_log_lines(), 1);
	unit_close(container);
	EXPECT_EQ(fake_pins(), npages + 1);
	unpin_stuck(pfn, npages);
	before = atomic_long_read(&prereg_totals[PREREG_TOTAL_RELEASED_PAGES]);
	unit_process_exit(&self);
	EXPECT_EQ(atomic_long_read(&prereg_totals[PREREG_TOTAL_RELEASED_PAGES]) - before, 1);
	unit_close(other);
}

const struct unit_test mapping_tests[] = {
	UNIT(map_uses_the_largest_pages_that_fit),
	UNIT(pages_of_all_sizes_are_used_and_cut),
	UNIT(long_maps_go_in_by_batches),
	UNIT(unmap_takes_any_part_and_passes_over_holes),
	UNIT(neighbours_leave_the_hardware_together),
	UNIT(a_part_of_a_2_MiB_page_is_unmapped),
	UNIT(only_the_page_under_the_cut_is_broken_up),
	UNIT(no_iommu_page_lies_across_two_mappings),
	UNIT(map_replaces_what_was_there),
	UNIT(map_takes_only_registered_memory_and_sane_arguments),
	UNIT(mappings_max_limits_what_a_container_costs),
	UNIT(far_apart_mappings_are_flushed_in_parts),
	UNIT(a_signal_stops_a_long_map_between_batches),
	UNIT(memory_the_iommu_holds_on_to_is_never_given_back),
	UNIT(memory_that_a_failed_map_leaves_there_is_never_given_back),
	UNIT(what_stays_pinned_is_not_counted_as_released),
	{ }
};
