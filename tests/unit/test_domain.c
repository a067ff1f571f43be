// SPDX-License-Identifier: GPL-2.0
/* Groups and domains: attach, replay, share, detach. */
#include <linux/vfio.h>

#include "unit.h"

#define VADDR	0x100000000UL

static struct unit_process self;
static void *container;

static void setup(struct iommu_group *group)
{
	unit_process_start(&self);
	unit_memory_aligned(VADDR, 4 * MIB, 2 * MIB);
	unit_memory_pieces(VADDR + 4 * MIB, 4 * MIB, 16 * PAGE_SIZE);
	unit_memory_pieces(VADDR + 8 * MIB, MIB, PAGE_SIZE);
	container = unit_container(group);
	EXPECT_RET(unit_register(container, VADDR, 8 * MIB), 0);
	EXPECT_RET(unit_register(container, VADDR + 8 * MIB, MIB), 0);
}

static void teardown(void)
{
	unit_check_hw(container);
	unit_process_exit(&self);
	unit_close(container);
}

static void groups_that_are_alike_share_a_domain(void)
{
	setup(&unit_small_group);
	EXPECT_RET(unit_map(container, 0, VADDR, MIB, RW), 0);
	EXPECT_RET(unit_attach(container, &unit_small_group2), 0);
	EXPECT(unit_small_group.domain == unit_small_group2.domain);
	EXPECT_EQ(fake_iommu_domains(), 1);
	EXPECT_RET(unit_attach(container, &unit_small_group2), -EINVAL);
	/* The first leaves; what the other one can reach stays. */
	unit_detach(container, &unit_small_group);
	EXPECT_EQ(fake_iommu_bytes(unit_small_group2.domain), MIB);
	EXPECT_RET(unit_attach(container, &unit_small_group), 0);
	EXPECT_EQ(fake_iommu_domains(), 1);
	teardown();
}

/* The IOMMU driver cannot take it out of the domain it was tried in. */
static void a_group_that_cannot_be_moved_stays_in_its_own_domain(void)
{
	setup(&unit_small_group);
	EXPECT_RET(unit_map(container, 0, VADDR, MIB, RW), 0);
	fake_fault_arm(FAKE_FAULT_DETACH, 1, false);
	EXPECT_RET(unit_attach(container, &unit_small_group2), 0);
	EXPECT(fake_fault_disarm());
	EXPECT_EQ(fake_iommu_domains(), 2);
	EXPECT_EQ(fake_iommu_bytes(unit_small_group2.domain), MIB);
	teardown();
}

static void a_group_that_differs_gets_a_domain_with_all_mappings(void)
{
	setup(&unit_small_group);
	EXPECT_RET(unit_map(container, 0x8000, VADDR, 2 * MIB, RW), 0);
	EXPECT_RET(unit_map(container, 0x400000, VADDR + 8 * MIB, MIB, IOMMU_READ), 0);
	EXPECT_RET(unit_unmap(container, 0x10000, 0x3000), 0);
	EXPECT_RET(unit_attach(container, &unit_other_group), 0);
	EXPECT_EQ(fake_iommu_domains(), 2);
	EXPECT_EQ(fake_iommu_bytes(unit_other_group.domain), 3 * MIB - 0x3000);
	unit_check_hw(container);
	/* From now on every change goes to both. */
	EXPECT_RET(unit_map(container, 0x10000, VADDR + 8 * MIB, MIB, RW), 0);
	unit_check_hw(container);
	EXPECT_RET(unit_unmap(container, 0x40000, 0x41000), 0);
	unit_check_hw(container);
	EXPECT_EQ(fake_iommu_bytes(unit_other_group.domain),
		  fake_iommu_bytes(unit_small_group.domain));
	unit_detach(container, &unit_small_group);
	unit_check_hw(container);
	EXPECT_EQ(fake_iommu_domains(), 1);
	EXPECT_RET(unit_attach(container, &unit_small_group), 0);
	teardown();
}

/* Large pages of one domain are cut where another has none. */
static void a_cut_breaks_the_pages_of_every_domain(void)
{
	setup(&unit_other_group);
	EXPECT_RET(unit_attach(container, &unit_small_group), 0);
	EXPECT_RET(unit_map(container, 0, VADDR, MIB, RW), 0);
	EXPECT_EQ(fake_iommu_entries(unit_small_group.domain), 4);
	EXPECT_EQ(fake_iommu_entries(unit_other_group.domain), 32);
	EXPECT_RET(unit_unmap(container, 0x41000, PAGE_SIZE), 0);
	unit_check_hw(container);
	EXPECT_EQ(fake_iommu_entries(unit_small_group.domain), 3 + 1 + 6 + 7);
	EXPECT_RET(unit_map(container, 0x48000, VADDR + MIB, PAGE_SIZE, RW), 0);
	teardown();
}

static void a_group_that_cannot_use_a_mapped_iova_is_refused(void)
{
	u64 start;

	setup(&unit_small_group);
	EXPECT_RET(unit_map(container, UNIT_OTHER_RESV_FIRST, VADDR, PAGE_SIZE, RW), 0);
	EXPECT_RET(unit_attach(container, &unit_other_group), -EINVAL);
	EXPECT_EQ(fake_iommu_domains(), 1);
	unit_check_hw(container);
	EXPECT_RET(unit_unmap(container, UNIT_OTHER_RESV_FIRST, PAGE_SIZE), 0);
	/* Behind its aperture. */
	EXPECT_RET(unit_remove(container, 0), 0);
	EXPECT_RET(unit_create(container, 12, 4 * TIB, &start), 0);
	EXPECT_RET(unit_map(container, TIB, VADDR, PAGE_SIZE, RW), 0);
	EXPECT_RET(unit_attach(container, &unit_other_group), -EINVAL);
	EXPECT_RET(unit_unmap(container, TIB, PAGE_SIZE), 0);
	EXPECT_RET(unit_map(container, TIB - PAGE_SIZE, VADDR, PAGE_SIZE, RW), 0);
	EXPECT_RET(unit_attach(container, &unit_other_group), 0);
	/* While it is there its rules count, too. */
	EXPECT_RET(unit_map(container, TIB, VADDR, PAGE_SIZE, RW), -ENXIO);
	EXPECT_RET(unit_map(container, UNIT_OTHER_RESV_FIRST, VADDR, PAGE_SIZE, RW), -ENXIO);
	EXPECT_RET(unit_map(container, UNIT_SMALL_RESV_LAST & ~0xfffUL, VADDR, PAGE_SIZE, RW), -ENXIO);
	/* What only boot needs is free. */
	EXPECT_RET(unit_map(container, 0, VADDR, PAGE_SIZE, RW), 0);
	unit_detach(container, &unit_small_group);
	EXPECT_RET(unit_map(container, UNIT_SMALL_RESV_FIRST - PAGE_SIZE, VADDR, 2 * PAGE_SIZE, RW), 0);
	EXPECT_RET(unit_map(container, UNIT_SMALL_RESV_LAST & ~0xfffUL, VADDR, PAGE_SIZE, RW), 0);
	teardown();
}

static void with_the_last_group_the_mappings_go(void)
{
	setup(&unit_small_group);
	EXPECT_RET(unit_map(container, 0, VADDR, 2 * MIB, RW), 0);
	EXPECT_RET(unit_attach(container, &unit_other_group), 0);
	unit_detach(container, &unit_small_group);
	EXPECT_EQ(fake_stat("mappings"), 1);
	unit_detach(container, &unit_other_group);
	EXPECT_EQ(fake_stat("mappings"), 0);
	EXPECT_EQ(fake_iommu_domains(), 0);
	EXPECT_RET(unit_unregister(container, VADDR, 8 * MIB), 0);
	/* A group that is not attached is left alone. */
	unit_detach(container, &unit_other_group);
	EXPECT_RET(unit_attach(container, &unit_other_group), 0);
	EXPECT_EQ(fake_iommu_bytes(unit_other_group.domain), 0);
	teardown();
}

static void interrupts_must_be_isolated_or_the_administrator_says_so(void)
{
	unit_process_start(&self);
	unit_small_group.dev.intr_remap = false;
	container = unit_open(&(int) { 0 });
	EXPECT_RET(unit_attach(container, &unit_small_group), -EPERM);
	EXPECT_EQ(fake_log_lines(), 1);
	EXPECT_EQ(fake_iommu_domains(), 0);
	/* By the interrupt controller, for all devices. */
	fake_msi_isolated = true;
	EXPECT_RET(unit_attach(container, &unit_small_group), 0);
	unit_detach(container, &unit_small_group);
	fake_msi_isolated = false;
	*shim_param_allow_unsafe_interrupts = true;
	EXPECT_RET(unit_attach(container, &unit_small_group), 0);
	unit_small_group.dev.intr_remap = true;
	teardown();
}

static void coherent_means_every_domain_is(void)
{
	unit_process_start(&self);
	EXPECT_EQ(unit_check_extension(NULL, VFIO_DMA_CC_IOMMU), 0);
	container = unit_open(&(int) { 0 });
	EXPECT_EQ(unit_check_extension(container, VFIO_DMA_CC_IOMMU), 0);
	EXPECT_RET(unit_attach(container, &unit_small_group), 0);
	EXPECT_EQ(unit_check_extension(container, VFIO_DMA_CC_IOMMU), 1);
	EXPECT_RET(unit_attach(container, &unit_other_group), 0);
	EXPECT_EQ(unit_check_extension(container, VFIO_DMA_CC_IOMMU), 0);
	unit_detach(container, &unit_other_group);
	EXPECT_EQ(unit_check_extension(container, VFIO_DMA_CC_IOMMU), 1);
	teardown();
}

static void release_now(void)
{
	/* The attach has given up for now. */
	EXPECT_EQ(fake_iommu_domains(), 1);
	unit_process_exit(&self);
}

/* Its owner is about to run release(): nothing is mapped for the dead. */
static void attach_lets_a_dying_owner_go_first(void)
{
	setup(&unit_small_group);
	EXPECT_RET(unit_map(container, 0, VADDR, MIB, RW), 0);
	self.mm->mm_users.counter = 0;
	fake_resched_hook = release_now;
	EXPECT_RET(unit_attach(container, &unit_other_group), 0);
	EXPECT(!self.mm);
	EXPECT_EQ(fake_stat("mappings"), 0);
	EXPECT_EQ(fake_iommu_bytes(unit_other_group.domain), 0);
	unit_check_hw(container);
	unit_close(container);
}

static void sharing_can_be_turned_off(void)
{
	setup(&unit_small_group);
	EXPECT_RET(unit_map(container, 0, VADDR, MIB, RW), 0);
	*shim_param_share_domains = false;
	EXPECT_RET(unit_attach(container, &unit_small_group2), 0);
	EXPECT_EQ(fake_iommu_domains(), 2);
	EXPECT_EQ(fake_iommu_bytes(unit_small_group2.domain), MIB);
	teardown();
}

/* IOMMUs the module cannot work with, or that have less than it asks for. */
static void odd_iommus_are_refused_or_used_with_care(void)
{
	static struct bus_type bus;
	static struct iommu_group group = { .id = 9, .dev = { .bus = &bus, .intr_remap = true } };

	/* No page as small as the CPU's. */
	bus = unit_vtd;
	bus.pgsizes = 1UL << 21 | 1UL << 30;
	unit_process_start(&self);
	container = unit_open(&(int) { 0 });
	EXPECT_RET(unit_attach(container, &group), -EINVAL);
	EXPECT_EQ(fake_iommu_domains(), 0);
	/* No way to ask for coherency; an aperture that ends early, or late. */
	bus = unit_vtd;
	bus.ops = &fake_iommu_without_coherency;
	bus.aperture_first = 0x10000;
	bus.aperture_last = 0x1ffff;
	EXPECT_RET(unit_attach(container, &group), 0);
	EXPECT_EQ(unit_check_extension(container, VFIO_DMA_CC_IOMMU), 0);
	unit_memory(VADDR, MIB);
	EXPECT_RET(unit_register(container, VADDR, MIB), 0);
	EXPECT_RET(unit_map(container, 0xf000, VADDR, PAGE_SIZE, RW), -ENXIO);
	EXPECT_RET(unit_map(container, 0xf000, VADDR, 2 * PAGE_SIZE, RW), -ENXIO);
	EXPECT_RET(unit_map(container, 0x1f000, VADDR, 2 * PAGE_SIZE, RW), -ENXIO);
	EXPECT_RET(unit_map(container, 0x10000, VADDR, 0x10000, RW), 0);
	teardown();
}

const struct unit_test domain_tests[] = {
	UNIT(groups_that_are_alike_share_a_domain),
	UNIT(a_group_that_cannot_be_moved_stays_in_its_own_domain),
	UNIT(a_group_that_differs_gets_a_domain_with_all_mappings),
	UNIT(a_cut_breaks_the_pages_of_every_domain),
	UNIT(a_group_that_cannot_use_a_mapped_iova_is_refused),
	UNIT(with_the_last_group_the_mappings_go),
	UNIT(interrupts_must_be_isolated_or_the_administrator_says_so),
	UNIT(coherent_means_every_domain_is),
	UNIT(attach_lets_a_dying_owner_go_first),
	UNIT(sharing_can_be_turned_off),
	UNIT(odd_iommus_are_refused_or_used_with_care),
	{ }
};
