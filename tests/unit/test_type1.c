// SPDX-License-Identifier: GPL-2.0
/* Types 1 and 3: what MAP and UNMAP take, whose it is, and who shares what. */
#include <linux/vfio.h>

#include "../../include/uapi/linux/vfio_prereg.h"
#include "unit.h"

#define VADDR	0x100000000UL
#define PAGES(n)	((n) * PAGE_SIZE)

static struct unit_process self, stranger;
static void *container, *second;

static void setup_type(unsigned long type)
{
	unit_process_start(&stranger);
	unit_memory_pieces(VADDR, 4 * MIB, PAGE_SIZE);
	unit_process_start(&self);
	unit_memory_pieces(VADDR, 4 * MIB, PAGE_SIZE);
	container = unit_container_type(type, &unit_small_group);
}

static void setup(void)
{
	setup_type(VFIO_TYPE1v2_IOMMU);
}

static void setup_second(void)
{
	setup();
	second = unit_container_type(VFIO_TYPE1_IOMMU, &unit_other_group);
}

static void teardown(void)
{
	if (self.mm)
		unit_process_exit(&self);
	if (stranger.mm)
		unit_process_exit(&stranger);
	if (container)
		unit_close(container);
	if (second)
		unit_close(second);
	container = NULL;
	second = NULL;
}

/* Pins, and charges of the processes that are left, but for what a work item does. */
static void expect_pages(unsigned long pages)
{
	EXPECT_EQ(fake_pins(), pages);
	EXPECT_EQ(fake_stat("pinned_pages"), pages);
	fake_work_run();
	EXPECT_EQ(fake_stat("charged_pages"), pages);
	EXPECT_EQ((self.mm ? self.mm->locked_vm : 0) +
		  (stranger.mm ? stranger.mm->locked_vm : 0), pages);
}

static void expect_unmap(u64 iova, u64 bytes, u64 want)
{
	u64 unmapped;

	EXPECT_RET(unit_unmap_told(container, iova, bytes, &unmapped), 0);
	EXPECT_EQ(unmapped, want);
	unit_check_hw(container);
}

/* ---- MAP ------------------------------------------------------------------------ */

static void map_pins_and_unmap_gives_back(void)
{
	setup();
	EXPECT_RET(unit_map(container, 0x10000, VADDR, PAGES(64), RW), 0);
	unit_check_hw(container);
	expect_pages(64);
	EXPECT_EQ(fake_stat("regions"), 1);
	expect_unmap(0x10000, PAGES(64), PAGES(64));
	expect_pages(0);
	/* The claim stays. */
	EXPECT_EQ(fake_stat("owners"), 1);
	teardown();
}

static int map_flags(u64 iova, u64 vaddr, u64 bytes, u32 flags)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .iova = iova, .vaddr = vaddr,
		.size = bytes, .flags = flags,
	};

	return unit_ioctl(container, VFIO_IOMMU_MAP_DMA, &map, sizeof(map));
}

static void map_refuses_what_it_cannot_take(void)
{
	char *before, *after;

	setup();
	EXPECT_RET(unit_map(container, PAGES(16), VADDR, PAGES(16), RW), 0);
	before = unit_snapshot();
	EXPECT_RET(unit_map(container, 0, VADDR, 0, RW), -EINVAL);
	EXPECT_RET(unit_map(container, 0, VADDR, PAGE_SIZE, 0), -EINVAL);
	EXPECT_RET(map_flags(0, VADDR, PAGE_SIZE, 7), -EINVAL);
	EXPECT_RET(unit_map(container, 0x800, VADDR, PAGE_SIZE, RW), -EINVAL);
	EXPECT_RET(unit_map(container, 0, VADDR + 0x800, PAGE_SIZE, RW), -EINVAL);
	EXPECT_RET(unit_map(container, 0, VADDR, PAGE_SIZE + 0x800, RW), -EINVAL);
	EXPECT_RET(unit_map(container, -PAGE_SIZE, VADDR, PAGES(2), RW), -EOVERFLOW);
	EXPECT_RET(unit_map(container, 0, -PAGE_SIZE, PAGES(2), RW), -EOVERFLOW);
	/* Over, in, before and behind what is there. */
	EXPECT_RET(unit_map(container, PAGES(16), VADDR, PAGES(16), RW), -EEXIST);
	EXPECT_RET(unit_map(container, PAGES(20), VADDR, PAGES(1), RW), -EEXIST);
	EXPECT_RET(unit_map(container, PAGES(15), VADDR, PAGES(2), RW), -EEXIST);
	EXPECT_RET(unit_map(container, PAGES(31), VADDR, PAGES(2), RW), -EEXIST);
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(64), RW), -EEXIST);
	/* Reserved, and behind the aperture. */
	EXPECT_RET(unit_map(container, UNIT_SMALL_RESV_FIRST, VADDR, PAGES(1), RW), -EINVAL);
	EXPECT_RET(unit_map(container, UNIT_SMALL_RESV_FIRST - PAGE_SIZE, VADDR, PAGES(2), RW), -EINVAL);
	EXPECT_RET(unit_map(container, UNIT_SMALL_RESV_LAST + 1 - PAGE_SIZE, VADDR, PAGES(2), RW), -EINVAL);
	EXPECT_RET(unit_map(container, BIT_ULL(48) - PAGE_SIZE, VADDR, PAGES(2), RW), -EINVAL);
	/* No memory, partly no memory, the kernel's. */
	EXPECT_RET(unit_map(container, 0, VADDR - PAGE_SIZE, PAGES(2), RW), -EFAULT);
	EXPECT_RET(unit_map(container, 0, 0xffff800000000000UL, PAGES(1), RW), -EFAULT);
	after = unit_snapshot();
	unit_same(after, before, "snapshot");
	free(before);
	free(after);
	/* Up to them. */
	EXPECT_RET(unit_map(container, UNIT_SMALL_RESV_FIRST - PAGES(2), VADDR, PAGES(2), RW), 0);
	EXPECT_RET(unit_map(container, UNIT_SMALL_RESV_LAST + 1, VADDR, PAGES(2), RW), 0);
	EXPECT_RET(unit_map(container, BIT_ULL(48) - PAGES(2), VADDR, PAGES(2), RW), 0);
	unit_check_hw(container);
	teardown();
}

static void there_are_as_many_mappings_as_are_allowed(void)
{
	setup();
	*shim_param_dma_entry_limit = 2;
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(1), RW), 0);
	EXPECT_RET(unit_map(container, PAGES(1), VADDR, PAGES(1), RW), 0);
	EXPECT_RET(unit_map(container, PAGES(2), VADDR, PAGES(1), RW), -ENOSPC);
	expect_unmap(0, PAGES(1), PAGES(1));
	EXPECT_RET(unit_map(container, PAGES(2), VADDR, PAGES(1), RW), 0);
	*shim_param_dma_entry_limit = ~0U;
	*shim_param_mappings_max = 3;
	EXPECT_RET(unit_map(container, PAGES(3), VADDR, PAGES(1), RW), 0);
	EXPECT_RET(unit_map(container, PAGES(4), VADDR, PAGES(1), RW), -ENOSPC);
	expect_pages(1);
	teardown();
}

static void the_limit_counts_what_is_mapped(void)
{
	setup();
	self.mm->limit = 16;
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(17), RW), -ENOMEM);
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(16), RW), 0);
	/* The same memory again is not charged again. */
	EXPECT_RET(unit_map(container, MIB, VADDR, PAGES(16), RW), 0);
	EXPECT_RET(unit_map(container, 2 * MIB, VADDR + PAGES(16), PAGES(1), RW), -ENOMEM);
	expect_pages(16);
	self.task.cap_ipc_lock = true;
	EXPECT_RET(unit_map(container, 2 * MIB, VADDR + PAGES(16), PAGES(1), RW), 0);
	expect_pages(17);
	teardown();
}

/* A device may not write what a file system writes back; it may read it. */
static void a_file_is_mapped_for_reading_only(void)
{
	unsigned long pfn;

	setup();
	pfn = fake_frames(64, 1);
	fake_mm_add(self.mm, &(struct fake_vma) {
		.start = VADDR + 8 * MIB, .npages = 64, .pfn = pfn, .kind = FAKE_FILE,
	});
	EXPECT_RET(unit_map(container, 0, VADDR + 8 * MIB, PAGES(64), RW), -EOPNOTSUPP);
	expect_pages(0);
	EXPECT_RET(unit_map(container, 0, VADDR + 8 * MIB, PAGES(64), IOMMU_READ), 0);
	unit_check_hw(container);
	expect_unmap(0, PAGES(64), PAGES(64));
	EXPECT(!fake_frame_dirty(pfn));
	teardown();
}

static void bar_memory(unsigned long vaddr, bool readonly, unsigned long pfn)
{
	fake_mm_add(self.mm, &(struct fake_vma) {
		.start = vaddr, .npages = 16, .pfn = pfn, .kind = FAKE_BAR,
		.readonly = readonly,
	});
}

static void a_bar_is_mapped_but_neither_pinned_nor_charged(void)
{
	const u64 bar = VADDR + 8 * MIB;
	phys_addr_t phys;
	int prot;

	setup();
	self.mm->limit = 0;
	bar_memory(bar, false, FAKE_BAR_PFN);
	bar_memory(bar + MIB, true, FAKE_BAR_PFN + 16);
	/* The kernel's own memory, mapped by a driver. */
	bar_memory(bar + 2 * MIB, false, fake_frames(16, 1));
	EXPECT_RET(unit_map(container, 0, bar, PAGES(16), RW), 0);
	expect_pages(0);
	EXPECT(unit_translate(&unit_small_group, PAGES(5), &phys, &prot));
	EXPECT_EQ(PHYS_PFN(phys), FAKE_BAR_PFN + 5);
	self.mm->limit = ULONG_MAX;
	EXPECT_RET(unit_map(container, MIB, bar + MIB, PAGES(16), RW), -EFAULT);
	EXPECT_RET(unit_map(container, MIB, bar + MIB, PAGES(16), IOMMU_READ), 0);
	EXPECT_RET(unit_map(container, 2 * MIB, bar + 2 * MIB, PAGES(16), RW), -EFAULT);
	unit_check_hw(container);
	/* Memory and BAR in one. */
	unit_memory(bar - PAGE_SIZE, PAGE_SIZE);
	EXPECT_RET(unit_map(container, 2 * MIB, bar - PAGE_SIZE, PAGES(2), RW), -EFAULT);
	expect_pages(0);
	teardown();
}

/* ---- UNMAP ---------------------------------------------------------------------- */

/* Pages 0-3, 4-7 and 12-15 are a mapping each. */
static void map_three(void)
{
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(4), RW), 0);
	EXPECT_RET(unit_map(container, PAGES(4), VADDR + PAGES(4), PAGES(4), RW), 0);
	EXPECT_RET(unit_map(container, PAGES(12), VADDR + PAGES(12), PAGES(4), RW), 0);
}

static void type_3_unmaps_whole_mappings_only(void)
{
	char *before, *after;

	setup();
	map_three();
	before = unit_snapshot();
	EXPECT_RET(unit_unmap(container, PAGES(1), PAGES(1)), -EINVAL);
	EXPECT_RET(unit_unmap(container, 0, PAGES(2)), -EINVAL);
	EXPECT_RET(unit_unmap(container, PAGES(2), PAGES(6)), -EINVAL);
	EXPECT_RET(unit_unmap(container, PAGES(4), PAGES(10)), -EINVAL);
	EXPECT_RET(unit_unmap(container, 0, 0), -EINVAL);
	EXPECT_RET(unit_unmap(container, 0x800, PAGE_SIZE), -EINVAL);
	EXPECT_RET(unit_unmap(container, 0, 0x800), -EINVAL);
	EXPECT_RET(unit_unmap(container, -PAGE_SIZE, PAGES(2)), -EOVERFLOW);
	after = unit_snapshot();
	unit_same(after, before, "snapshot");
	free(before);
	free(after);
	expect_unmap(PAGES(8), PAGES(4), 0);
	expect_unmap(0, PAGES(10), PAGES(8));
	expect_pages(4);
	expect_unmap(PAGES(8), PAGES(100), PAGES(4));
	expect_pages(0);
	teardown();
}

static void type_1_unmaps_what_begins_in_the_range(void)
{
	setup_type(VFIO_TYPE1_IOMMU);
	map_three();
	/* Inside a mapping: nothing. */
	expect_unmap(PAGES(1), PAGES(1), 0);
	expect_unmap(PAGES(1), PAGES(100), 0);
	expect_pages(12);
	/* It begins in the range and goes on behind it: all of it. */
	expect_unmap(PAGES(4), PAGES(9), PAGES(8));
	expect_unmap(0, PAGES(1), PAGES(4));
	expect_pages(0);
	teardown();
}

static void unmap_all_takes_all(void)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .flags = VFIO_DMA_UNMAP_FLAG_ALL,
	};

	setup();
	map_three();
	EXPECT_RET(unit_map(container, BIT_ULL(48) - PAGES(1), VADDR, PAGES(1), RW), 0);
	unmap.size = PAGE_SIZE;
	EXPECT_RET(unit_ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap, sizeof(unmap)), -EINVAL);
	unmap.size = 0;
	unmap.iova = PAGE_SIZE;
	EXPECT_RET(unit_ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap, sizeof(unmap)), -EINVAL);
	expect_pages(12);
	unmap.iova = 0;
	EXPECT_RET(unit_ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap, sizeof(unmap)), 0);
	EXPECT_EQ(unmap.size, PAGES(13));
	expect_pages(0);
	unit_check_hw(container);
	teardown();
}

/* ---- who shares ------------------------------------------------------------------ */

static void any_number_of_mappings_share_one_pin_and_one_charge(void)
{
	unsigned long calls;

	setup_second();
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(64), RW), 0);
	calls = fake_pin_calls;
	EXPECT_RET(unit_map(second, 0, VADDR, PAGES(64), RW), 0);
	EXPECT_RET(unit_map(container, MIB, VADDR + PAGES(3), PAGES(9), RW), 0);
	EXPECT_RET(unit_map(second, MIB, VADDR + PAGES(63), PAGES(1), IOMMU_READ), 0);
	EXPECT_EQ(fake_pin_calls, calls);
	EXPECT_EQ(fake_stat("regions"), 1);
	expect_pages(64);
	unit_check_hw(container);
	unit_check_hw(second);
	/* The one that made it goes first, the last one a page of it. */
	expect_unmap(0, PAGES(64), PAGES(64));
	EXPECT_RET(unit_unmap(second, 0, PAGES(64)), 0);
	expect_unmap(MIB, PAGES(9), PAGES(9));
	expect_pages(64);
	unit_check_hw(second);
	EXPECT_RET(unit_unmap(second, MIB, PAGES(1)), 0);
	expect_pages(0);
	teardown();
}

static void what_one_mapping_does_not_hold_is_pinned_by_another(void)
{
	setup_second();
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(64), RW), 0);
	/* Longer: the next ones share this one. */
	EXPECT_RET(unit_map(second, 0, VADDR, PAGES(65), RW), 0);
	expect_pages(64 + 65);
	EXPECT_RET(unit_map(container, MIB, VADDR, PAGES(64), RW), 0);
	/* Across the end of it: private. */
	EXPECT_RET(unit_map(container, 2 * MIB, VADDR + PAGES(60), PAGES(10), RW), 0);
	expect_pages(64 + 65 + 10);
	EXPECT_RET(unit_unmap(second, 0, PAGES(65)), 0);
	/* The other one that shares it is left. */
	expect_pages(64 + 65 + 10);
	expect_unmap(MIB, PAGES(64), PAGES(64));
	expect_pages(64 + 10);
	unit_check_hw(container);
	teardown();
}

static void what_is_to_be_written_is_pinned_for_writing(void)
{
	setup_second();
	fake_mm_add(self.mm, &(struct fake_vma) {
		.start = VADDR + 8 * MIB, .npages = 4, .pfn = fake_frames(4, 1),
		.readonly = true,
	});
	EXPECT_RET(unit_map(container, 0, VADDR + 8 * MIB, PAGES(4), RW), -EFAULT);
	EXPECT_RET(unit_map(container, 0, VADDR + 8 * MIB, PAGES(4), IOMMU_WRITE), -EFAULT);
	EXPECT_RET(unit_map(container, 0, VADDR + 8 * MIB, PAGES(4), IOMMU_READ), 0);
	/* The fakes see to it that nothing is written that was pinned to be read. */
	EXPECT_RET(unit_map(container, MIB, VADDR, PAGES(8), IOMMU_READ), 0);
	EXPECT_RET(unit_map(second, 0, VADDR, PAGES(8), RW), 0);
	expect_pages(4 + 8 + 8);
	/* A reader takes either. */
	EXPECT_RET(unit_map(second, MIB, VADDR, PAGES(8), IOMMU_READ), 0);
	expect_pages(4 + 8 + 8);
	unit_check_hw(container);
	unit_check_hw(second);
	teardown();
}

/* It is the zero page to a reader, who would never see what is written later. */
static void memory_that_was_only_read_is_shared_too(void)
{
	unsigned long calls;
	int i;

	for (i = 0; i < 2; i++) {
		setup_second();
		fake_mm_add(self.mm, &(struct fake_vma) {
			.start = VADDR + 8 * MIB, .npages = 4,
			.pfn = fake_frames(4, 1), .zero = true,
		});
		EXPECT_RET(unit_map(container, 0, VADDR + 8 * MIB, PAGES(4), i ? RW : IOMMU_READ), 0);
		unit_check_hw(container);
		/* That its pages were made while they were pinned raises no doubt. */
		calls = fake_pin_calls;
		EXPECT_RET(unit_map(second, 0, VADDR + 8 * MIB, PAGES(4), IOMMU_READ), 0);
		EXPECT_EQ(fake_pin_calls, calls);
		unit_check_hw(second);
		expect_pages(4);
		EXPECT_EQ(fake_stat("stale_mappings"), 0);
		EXPECT_EQ(fake_log_lines(), 0);
		teardown();
	}
}

static void memory_that_is_registered_is_not_pinned_again(void)
{
	setup();
	second = unit_container(&unit_other_group);
	EXPECT_RET(unit_register(second, VADDR, PAGES(64)), 0);
	EXPECT_RET(unit_map(container, 0, VADDR + PAGES(1), PAGES(8), RW), 0);
	EXPECT_RET(unit_map(container, MIB, VADDR + PAGES(60), PAGES(8), RW), 0);
	expect_pages(64 + 8);
	/* It stays as long as anything is mapped. */
	EXPECT_RET(unit_unregister(second, VADDR, PAGES(64)), 0);
	expect_pages(64 + 8);
	unit_check_hw(container);
	expect_unmap(0, PAGES(8), PAGES(8));
	expect_pages(8);
	teardown();
}

static void what_is_mapped_gives_way_to_what_is_registered(void)
{
	setup();
	second = unit_container(&unit_other_group);
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(64), RW), 0);
	/* The same range is shared, another one is not. */
	EXPECT_RET(unit_register(second, VADDR, PAGES(64)), 0);
	expect_pages(64);
	EXPECT_RET(unit_register(second, VADDR + PAGES(32), PAGES(64)), -EINVAL);
	EXPECT_RET(unit_unregister(second, VADDR, PAGES(64)), 0);
	expect_pages(64);
	expect_unmap(0, PAGES(64), PAGES(64));
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(64), RW), 0);
	EXPECT_RET(unit_map(container, MIB, VADDR + PAGES(80), PAGES(64), RW), 0);
	EXPECT_RET(unit_register(second, VADDR + PAGES(32), PAGES(64)), 0);
	expect_pages(3 * 64);
	/* Who comes now shares that one, and no other. */
	EXPECT_RET(unit_map(container, 2 * MIB, VADDR + PAGES(33), PAGES(2), RW), 0);
	expect_pages(3 * 64);
	EXPECT_RET(unit_map(container, 2 * MIB + MIB / 2, VADDR + PAGES(2), PAGES(2), RW), 0);
	expect_pages(3 * 64 + 2);
	unit_check_hw(container);
	teardown();
}

/* ---- who maps --------------------------------------------------------------------- */

static void each_process_maps_its_own_memory(void)
{
	setup();
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(8), RW), 0);
	unit_process_run(&stranger);
	EXPECT_RET(unit_map(container, MIB, VADDR, PAGES(4), RW), 0);
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(4), RW), -EEXIST);
	EXPECT_EQ(fake_stat("owners"), 2);
	EXPECT_EQ(self.mm->locked_vm, 8);
	EXPECT_EQ(stranger.mm->locked_vm, 4);
	unit_check_hw(container);
	/* What the first one mapped goes with it, and nothing else. */
	unit_process_exit(&self);
	expect_pages(4);
	EXPECT_EQ(fake_stat("mappings"), 1);
	EXPECT_EQ(fake_stat("owners"), 1);
	unit_check_hw(container);
	unit_process_run(&stranger);
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(4), RW), 0);
	expect_pages(4);
	unit_process_exit(&stranger);
	expect_pages(0);
	/* It can be used again. */
	unit_process_start(&self);
	unit_memory(VADDR, MIB);
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(4), RW), 0);
	teardown();
}

static void anybody_unmaps_what_another_one_mapped(void)
{
	setup();
	map_three();
	unit_process_run(&stranger);
	EXPECT_RET(unit_map(container, PAGES(8), VADDR, PAGES(4), RW), 0);
	expect_unmap(0, PAGES(12), PAGES(12));
	/* At once; the charge of a living stranger soon. */
	EXPECT_EQ(fake_pins(), 4);
	EXPECT_EQ(stranger.mm->locked_vm, 0);
	EXPECT_EQ(self.mm->locked_vm, 12);
	expect_pages(4);
	teardown();
}

static void close_gives_back_what_everybody_mapped(void)
{
	setup();
	map_three();
	unit_process_run(&stranger);
	EXPECT_RET(unit_map(container, MIB, VADDR, PAGES(4), RW), 0);
	unit_close(container);
	container = NULL;
	EXPECT_EQ(fake_pins(), 0);
	expect_pages(0);
	EXPECT_EQ(fake_stat("owners"), 0);
	teardown();
}

static void a_process_in_several_containers_leaves_them_all(void)
{
	setup_second();
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(8), RW), 0);
	EXPECT_RET(unit_map(second, 0, VADDR, PAGES(8), RW), 0);
	EXPECT_RET(unit_map(second, MIB, VADDR + MIB, PAGES(8), RW), 0);
	unit_process_run(&stranger);
	EXPECT_RET(unit_map(second, 2 * MIB, VADDR, PAGES(8), RW), 0);
	unit_process_exit(&self);
	expect_pages(8);
	EXPECT_EQ(fake_stat("owners"), 1);
	unit_check_hw(second);
	teardown();
}

/* ---- an IOMMU comes and goes -------------------------------------------------------- */

static void setup_emulated(void)
{
	int ret;

	setup();
	second = unit_open_type(VFIO_TYPE1v2_IOMMU, &ret);
	EXPECT_RET(ret, 0);
	EXPECT_RET(unit_attach(second, &unit_emulated_group), 0);
	EXPECT_RET(unit_map(second, 0, VADDR, PAGES(8), RW), 0);
	EXPECT_RET(unit_map(second, MIB, VADDR + MIB, PAGES(8), IOMMU_READ), 0);
	unit_process_run(&stranger);
	EXPECT_RET(unit_map(second, 2 * MIB, VADDR, PAGES(8), RW), 0);
	expect_pages(0);
}

/* By whomever it is attached: whoever mapped pins, and pays. */
static void nothing_is_pinned_before_there_is_an_iommu(void)
{
	setup_emulated();
	EXPECT_RET(unit_attach(second, &unit_other_group), 0);
	EXPECT_EQ(self.mm->locked_vm, 16);
	EXPECT_EQ(stranger.mm->locked_vm, 8);
	expect_pages(24);
	unit_check_hw(second);
	unit_detach(second, &unit_other_group);
	EXPECT_EQ(fake_pins(), 0);
	expect_pages(0);
	EXPECT_EQ(fake_stat("mappings"), 3);
	EXPECT_RET(unit_attach(second, &unit_other_group), 0);
	expect_pages(24);
	unit_check_hw(second);
	/* Without emulated devices the mappings go with the IOMMU. */
	unit_detach(second, &unit_emulated_group);
	unit_detach(second, &unit_other_group);
	EXPECT_EQ(fake_stat("mappings"), 0);
	expect_pages(0);
	teardown();
}

static void an_iommu_that_cannot_have_everything_does_not_come(void)
{
	setup_emulated();
	EXPECT_RET(unit_map(second, 4 * MIB, VADDR + 16 * MIB, PAGES(1), RW), 0);
	EXPECT_RET(unit_attach(second, &unit_other_group), -EFAULT);
	expect_pages(0);
	EXPECT_EQ(fake_stat("mappings"), 4);
	EXPECT_RET(unit_unmap(second, 4 * MIB, PAGES(1)), 0);
	self.mm->limit = 15;
	EXPECT_RET(unit_attach(second, &unit_other_group), -ENOMEM);
	expect_pages(0);
	self.mm->limit = 16;
	EXPECT_RET(unit_attach(second, &unit_other_group), 0);
	expect_pages(24);
	teardown();
}

static void stranger_releases(void)
{
	unit_process_exit(&stranger);
}

static void attach_lets_a_dying_mapper_go_first(void)
{
	setup_emulated();
	unit_process_run(&self);
	stranger.mm->mm_users.counter = 0;
	fake_resched_hook = stranger_releases;
	EXPECT_RET(unit_attach(second, &unit_other_group), 0);
	EXPECT(!stranger.mm);
	expect_pages(16);
	EXPECT_EQ(fake_stat("mappings"), 2);
	unit_check_hw(second);
	teardown();
}

/* ---- others run while one pins -------------------------------------------------------- */

static void map_the_iova(void)
{
	EXPECT_RET(unit_map(container, PAGES(4), VADDR + MIB, PAGES(4), RW), 0);
}

static void who_maps_an_iova_second_gets_nothing(void)
{
	setup();
	fake_pin_hook = map_the_iova;
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(8), RW), -EEXIST);
	expect_pages(4);
	unit_check_hw(container);
	teardown();
}

static int other_ret;

static void other_maps(void *unused)
{
	other_ret = unit_map(second, 0, VADDR, PAGES(8), RW);
}

static void thread_maps(void)
{
	other_ret = 1;
	fake_thread_start(other_maps, NULL, self.mm);
	EXPECT_EQ(other_ret, 1);	/* it waits */
}

static void who_waits_for_a_map_that_fails_pins_himself(void)
{
	setup_second();
	fake_pin_hook = thread_maps;
	fake_fault_arm(FAKE_FAULT_PIN, 1, false);
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(8), RW), -ENOMEM);
	EXPECT(fake_thread_continue());
	EXPECT_RET(other_ret, 0);
	expect_pages(8);
	unit_check_hw(second);
	teardown();
}

static void close_container(void)
{
	unit_close(container);
	container = NULL;
}

static void a_container_closed_while_one_maps_gets_nothing(void)
{
	void *closed;

	setup();
	closed = container;
	fake_pin_hook = close_container;
	EXPECT_RET(unit_map(closed, 0, VADDR, PAGES(8), RW), -ENODEV);
	expect_pages(0);
	EXPECT_EQ(fake_stat("owners"), 0);
	teardown();
}

/* Then it has no IOMMU any more, and the mapping no memory. */
static void detach_group(void)
{
	unit_detach(container, &unit_small_group);
}

static void an_iommu_that_goes_while_one_maps_leaves_nothing_pinned(void)
{
	setup();
	EXPECT_RET(unit_attach(container, &unit_emulated_group), 0);
	fake_pin_hook = detach_group;
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(8), RW), 0);
	expect_pages(0);
	EXPECT_EQ(fake_stat("mappings"), 1);
	EXPECT_RET(unit_attach(container, &unit_small_group), 0);
	expect_pages(8);
	unit_check_hw(container);
	teardown();
}

/* ---- what it says of itself ------------------------------------------------------------ */

static void info_names_what_can_be_mapped(void)
{
	struct {
		struct vfio_iommu_type1_info	info;
		char				caps[512];
	} arg = { .info.argsz = sizeof(arg.info) };
	struct {
		struct vfio_iommu_type1_info_cap_iova_range	cap;
		struct vfio_iova_range				range[2];
	} ranges = { };
	struct vfio_info_cap_header cap;
	unsigned int caps = 0;
	u32 at;

	setup();
	EXPECT_RET(unit_ioctl(container, VFIO_IOMMU_GET_INFO, &arg, sizeof(arg.info)), 0);
	EXPECT_EQ(arg.info.cap_offset, 0);
	EXPECT(arg.info.argsz > sizeof(arg.info) && arg.info.argsz <= sizeof(arg));
	EXPECT_RET(unit_ioctl(container, VFIO_IOMMU_GET_INFO, &arg, sizeof(arg)), 0);
	EXPECT_EQ(arg.info.flags, VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS);
	EXPECT_EQ(arg.info.iova_pgsizes, unit_small.pgsizes);
	for (at = arg.info.cap_offset; at; at = cap.next, caps++) {
		memcpy(&cap, (char *)&arg + at, sizeof(cap));
		if (cap.id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
			memcpy(&ranges, (char *)&arg + at, sizeof(ranges));
	}
	EXPECT_EQ(caps, 3);
	EXPECT_EQ(ranges.cap.nr_iovas, 2);
	EXPECT_EQ(ranges.range[0].start, 0);
	EXPECT_EQ(ranges.range[0].end, UNIT_SMALL_RESV_FIRST - 1);
	EXPECT_EQ(ranges.range[1].start, UNIT_SMALL_RESV_LAST + 1);
	EXPECT_EQ(ranges.range[1].end, BIT_ULL(48) - 1);
	teardown();
}

static void type_1_can_be_left_to_others(void)
{
	int ret;

	setup();
	*shim_param_type1 = false;
	EXPECT_EQ(unit_check_extension(NULL, VFIO_TYPE1_IOMMU), 0);
	EXPECT_EQ(unit_check_extension(NULL, VFIO_TYPE1v2_IOMMU), 0);
	EXPECT_EQ(unit_check_extension(NULL, VFIO_SPAPR_TCE_v2_IOMMU), 1);
	EXPECT(!unit_open_type(VFIO_TYPE1v2_IOMMU, &ret));
	EXPECT_RET(ret, -EINVAL);
	/* A container that has it keeps it. */
	EXPECT_EQ(unit_check_extension(container, VFIO_TYPE1v2_IOMMU), 1);
	EXPECT_RET(unit_map(container, 0, VADDR, PAGES(8), RW), 0);
	*shim_param_type1 = true;
	teardown();
}

const struct unit_test type1_tests[] = {
	UNIT(map_pins_and_unmap_gives_back),
	UNIT(map_refuses_what_it_cannot_take),
	UNIT(there_are_as_many_mappings_as_are_allowed),
	UNIT(the_limit_counts_what_is_mapped),
	UNIT(a_file_is_mapped_for_reading_only),
	UNIT(a_bar_is_mapped_but_neither_pinned_nor_charged),
	UNIT(type_3_unmaps_whole_mappings_only),
	UNIT(type_1_unmaps_what_begins_in_the_range),
	UNIT(unmap_all_takes_all),
	UNIT(any_number_of_mappings_share_one_pin_and_one_charge),
	UNIT(what_one_mapping_does_not_hold_is_pinned_by_another),
	UNIT(what_is_to_be_written_is_pinned_for_writing),
	UNIT(memory_that_was_only_read_is_shared_too),
	UNIT(memory_that_is_registered_is_not_pinned_again),
	UNIT(what_is_mapped_gives_way_to_what_is_registered),
	UNIT(each_process_maps_its_own_memory),
	UNIT(anybody_unmaps_what_another_one_mapped),
	UNIT(close_gives_back_what_everybody_mapped),
	UNIT(a_process_in_several_containers_leaves_them_all),
	UNIT(nothing_is_pinned_before_there_is_an_iommu),
	UNIT(an_iommu_that_cannot_have_everything_does_not_come),
	UNIT(attach_lets_a_dying_mapper_go_first),
	UNIT(who_maps_an_iova_second_gets_nothing),
	UNIT(who_waits_for_a_map_that_fails_pins_himself),
	UNIT(a_container_closed_while_one_maps_gets_nothing),
	UNIT(an_iommu_that_goes_while_one_maps_leaves_nothing_pinned),
	UNIT(info_names_what_can_be_mapped),
	UNIT(type_1_can_be_left_to_others),
	{ }
};
