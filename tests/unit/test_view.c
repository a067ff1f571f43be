// SPDX-License-Identifier: GPL-2.0
/* What those who look are told: owners in the list, orphans, runs and page sizes, events, totals. */
#include <linux/vfio.h>

#include "../../include/uapi/linux/vfio_prereg_netlink.h"
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
	unit_close(container);
}

/* Owners that a dump would tell. */
static unsigned int owners(void)
{
	struct prereg_owner *owner;
	unsigned int n = 0;
	u64 next = 0;

	while ((owner = prereg_owner_find(next, U64_MAX))) {
		n++;
		next = prereg_owner_id(owner) + 1;
		prereg_owner_drop(owner);
	}
	return n;
}

static void an_owner_is_listed_as_long_as_it_has_something(void)
{
	unsigned int changes;
	void *other;

	setup();
	other = unit_container(&unit_other_group);
	changes = prereg_owners_changes();
	EXPECT_EQ(owners(), 0);
	EXPECT_RET(unit_register(container, VADDR, MIB), 0);
	EXPECT_EQ(owners(), 1);
	EXPECT(prereg_owners_changes() != changes);
	changes = prereg_owners_changes();
	EXPECT_RET(unit_register(other, VADDR, MIB), 0);
	EXPECT_EQ(owners(), 1);
	EXPECT(prereg_owners_changes() == changes);
	unit_close(other);
	EXPECT_EQ(owners(), 1);
	EXPECT(prereg_owners_changes() == changes);
	unit_process_exit(&self);
	EXPECT_EQ(owners(), 0);
	EXPECT(prereg_owners_changes() != changes);
	teardown();
}

static void a_container_is_listed_as_long_as_it_is_open(void)
{
	struct prereg_container *found;
	unsigned int changes;

	setup();
	found = prereg_container_at(0);
	EXPECT(found == unit_peek(container));
	EXPECT(found->who.pid);
	EXPECT(!prereg_container_at(1));
	changes = prereg_containers_changes();
	unit_close(container);
	EXPECT(prereg_containers_changes() != changes);
	EXPECT(!found->who.pid);
	container = unit_container(&unit_small_group);
	teardown();
}

static void the_first_registration_and_the_end_are_told(void)
{
	const struct prereg_event *event;
	void *other;

	setup();
	other = unit_container(&unit_other_group);
	EXPECT_RET(unit_register(container, VADDR, MIB), 0);
	EXPECT_RET(unit_register(other, VADDR, MIB), 0);
	EXPECT_RET(unit_map(container, 0, VADDR, MIB / 2, RW), 0);
	EXPECT_RET(unit_map(container, MIB, VADDR, PAGE_SIZE, RW), 0);
	EXPECT_RET(unit_map(other, 0, VADDR, MIB, RW), 0);
	EXPECT_EQ(fake_events(PREREG_CMD_REGISTERED_NTF), 1);
	EXPECT_EQ(fake_event_last(PREREG_CMD_REGISTERED_NTF)->container_id, (u64)(unsigned long)container);
	EXPECT_EQ(fake_events(PREREG_CMD_REGION_PUT_NTF), 0);
	unit_process_exit(&self);
	EXPECT_EQ(fake_events(PREREG_CMD_RELEASE_NTF), 1);
	event = fake_event_last(PREREG_CMD_RELEASE_NTF);
	EXPECT_EQ(event->bytes, MIB);
	EXPECT_EQ(event->mappings, 3);
	EXPECT(event->duration_ns);
	EXPECT_EQ(fake_events(PREREG_CMD_REGION_PUT_NTF), 1);
	EXPECT_EQ(atomic_long_read(&prereg_totals[PREREG_TOTAL_RELEASES]), 1);
	EXPECT_EQ(atomic_long_read(&prereg_totals[PREREG_TOTAL_RELEASED_PAGES]), MIB / PAGE_SIZE);
	EXPECT_EQ(atomic_long_read(&prereg_totals[PREREG_TOTAL_REVOKED_MAPPINGS]), 3);
	unit_close(other);
	teardown();
}

static void an_end_without_anything_is_not_told(void)
{
	setup();
	EXPECT_RET(unit_register(container, VADDR, MIB), 0);
	unit_close(container);
	EXPECT_EQ(fake_events(PREREG_CMD_REGION_PUT_NTF), 1);
	EXPECT_EQ(fake_event_last(PREREG_CMD_REGION_PUT_NTF)->vaddr, VADDR);
	EXPECT_EQ(fake_event_last(PREREG_CMD_REGION_PUT_NTF)->bytes, MIB);
	unit_process_exit(&self);
	EXPECT_EQ(fake_events(PREREG_CMD_RELEASE_NTF), 0);
	container = unit_container(&unit_small_group);
	teardown();
}

static void an_orphan_is_known_until_it_is_adopted(void)
{
	const struct prereg_orphan *orphan = &unit_peek((setup(), container))->orphan;
	void *other = unit_container(&unit_other_group);

	EXPECT(!orphan->who.pid);
	EXPECT_RET(unit_register(container, VADDR, MIB), 0);
	EXPECT(!orphan->who.pid);
	unit_process_exit(&self);
	EXPECT(orphan->who.pid);
	/* It was never his. */
	EXPECT(!unit_peek(other)->orphan.who.pid);
	EXPECT_EQ(fake_events(PREREG_CMD_ADOPTED_NTF), 0);

	unit_process_run(&stranger);
	EXPECT_RET(unit_register(other, VADDR, MIB), 0);
	EXPECT_EQ(fake_events(PREREG_CMD_ADOPTED_NTF), 0);
	EXPECT_RET(unit_register(container, VADDR, MIB), 0);
	EXPECT_EQ(fake_events(PREREG_CMD_ADOPTED_NTF), 1);
	EXPECT_EQ(fake_event_last(PREREG_CMD_ADOPTED_NTF)->container_id, (u64)(unsigned long)container);
	EXPECT(fake_event_last(PREREG_CMD_ADOPTED_NTF)->orphan_pid);
	EXPECT(!orphan->who.pid);
	unit_close(other);
	teardown();
}

/* Of a container that two processes mapped into, the first one's end leaves no orphan. */
static void what_somebody_still_has_is_no_orphan(void)
{
	const struct prereg_orphan *orphan;
	void *shared;

	setup();
	shared = unit_container_type(VFIO_TYPE1v2_IOMMU, &unit_vtd_group);
	orphan = &unit_peek(shared)->orphan;
	EXPECT_RET(unit_map(shared, 0, VADDR, PAGE_SIZE, RW), 0);
	unit_process_run(&stranger);
	EXPECT_RET(unit_map(shared, MIB, VADDR, PAGE_SIZE, RW), 0);
	EXPECT_EQ(owners(), 2);
	unit_process_exit(&self);
	EXPECT(!orphan->who.pid);
	unit_process_exit(&stranger);
	EXPECT(orphan->who.pid);
	unit_close(shared);
	teardown();
}

/* Its slot was an orphan's, which was closed. */
static void a_new_container_is_no_orphan(void)
{
	setup();
	EXPECT_RET(unit_register(container, VADDR, MIB), 0);
	unit_process_exit(&self);
	unit_process_run(&stranger);
	unit_close(container);
	container = unit_container(&unit_small_group);
	EXPECT(!unit_peek(container)->orphan.who.pid);
	EXPECT_RET(unit_register(container, VADDR, MIB), 0);
	EXPECT_EQ(fake_events(PREREG_CMD_ADOPTED_NTF), 0);
	teardown();
}

static void a_charge_above_the_limit_is_told(void)
{
	const struct prereg_event *event;

	setup();
	self.mm->limit = MIB / PAGE_SIZE - 1;
	EXPECT_RET(unit_register(container, VADDR, MIB / 2), 0);
	EXPECT_EQ(fake_events(PREREG_CMD_REFUSED_NTF), 0);
	EXPECT_RET(unit_register(container, VADDR + MIB / 2, MIB / 2), -ENOMEM);
	EXPECT_EQ(fake_events(PREREG_CMD_REFUSED_NTF), 1);
	event = fake_event_last(PREREG_CMD_REFUSED_NTF);
	EXPECT_EQ(event->bytes, MIB / 2);
	EXPECT_EQ(event->locked, MIB / 2);
	EXPECT_EQ(event->limit, MIB - PAGE_SIZE);
	EXPECT_EQ(atomic_long_read(&prereg_totals[PREREG_TOTAL_REFUSED_MEMLOCK]), 1);
	EXPECT_EQ(atomic_long_read(&prereg_refused[ENOMEM]), 1);
	teardown();
}

static void what_an_owner_is_charged_is_known(void)
{
	struct prereg_owner *owner;

	setup();
	EXPECT_RET(unit_register(container, VADDR, MIB), 0);
	owner = prereg_owner_find(0, U64_MAX);
	EXPECT_EQ(owner->charged_pages, self.mm->locked_vm);
	EXPECT_EQ(owner->charged_pages, MIB / PAGE_SIZE);
	EXPECT_RET(unit_unregister(container, VADDR, MIB), 0);
	EXPECT_EQ(owner->charged_pages, 0);
	prereg_owner_drop(owner);
	teardown();
}

static const struct prereg_region *only_region(void)
{
	struct prereg_owner *owner = prereg_owner_find(0, U64_MAX);
	struct prereg_range *range = prereg_range_find(&owner->regions, 0, U64_MAX);

	EXPECT_EQ(owner->nregions, 1);
	prereg_owner_drop(owner);
	return container_of(range, struct prereg_region, range);
}

static void a_region_knows_its_runs(void)
{
	const unsigned long runs = 0x200000000UL, bytes = 300 * MIB;
	const struct prereg_region *region;

	setup();
	EXPECT_RET(unit_register(container, VADDR, MIB), 0);
	region = only_region();
	EXPECT_EQ(region->nruns, MIB / PAGE_SIZE);
	EXPECT_EQ(region->largest_run, 1);
	EXPECT_EQ(region->page_sizes, PAGE_SIZE);
	EXPECT_RET(unit_unregister(container, VADDR, MIB), 0);

	/* One piece of memory is a run in each of its two segments. */
	unit_memory(runs, bytes);
	EXPECT_RET(unit_register(container, runs, bytes), 0);
	region = only_region();
	EXPECT_EQ(region->nruns, 2);
	EXPECT_EQ(region->largest_run, PREREG_SEGMENT_PAGES);
	teardown();
}

const struct unit_test view_tests[] = {
	UNIT(an_owner_is_listed_as_long_as_it_has_something),
	UNIT(a_container_is_listed_as_long_as_it_is_open),
	UNIT(the_first_registration_and_the_end_are_told),
	UNIT(an_end_without_anything_is_not_told),
	UNIT(an_orphan_is_known_until_it_is_adopted),
	UNIT(what_somebody_still_has_is_no_orphan),
	UNIT(a_new_container_is_no_orphan),
	UNIT(a_charge_above_the_limit_is_told),
	UNIT(what_an_owner_is_charged_is_known),
	UNIT(a_region_knows_its_runs),
	{ }
};
