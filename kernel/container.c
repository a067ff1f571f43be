// SPDX-License-Identifier: GPL-2.0-only
/*
 * container: the life of an open VFIO container, its owner and registrations.
 *
 * VFIO calls ioctl() with the iommu_data it read without any lock: another
 * thread may be in the middle of detaching the last group, after which VFIO
 * calls release(), and the data would be freed under the call. So iommu_data is
 * not a pointer here but an id that is never used twice, and a container's memory
 * is kept for the next one. A call takes the lock that the id leads to, and
 * then sees whether the container is still the one it means.
 */
#include <linux/err.h>
#include <linux/ktime.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "dma.h"
#include "prereg.h"

/* An id is a generation of a slot and its personality: (generation * PREREG_SLOTS + slot) * 2 + type1. */
#define PREREG_SLOTS	(1UL << 14)
#define PREREG_ID_TYPE1	1UL

/* Grow only, until the module goes. */
static struct prereg_container *prereg_slots[PREREG_SLOTS];
static unsigned long prereg_slots_used;
static LIST_HEAD(prereg_slots_free);
static DEFINE_MUTEX(prereg_slots_lock);
/* Grows when one is taken into use, or out of it. */
static atomic_t prereg_slots_changed;

struct prereg_container *prereg_container_held(unsigned long id)
{
	return READ_ONCE(prereg_slots[id / 2 % PREREG_SLOTS]);
}

/* A container not in use, or NULL. Its id was not given to anybody yet. */
static struct prereg_container *prereg_slot_take(void)
{
	struct prereg_container *container;

	mutex_lock(&prereg_slots_lock);
	container = list_first_entry_or_null(&prereg_slots_free,
					     struct prereg_container,
					     free_entry);
	if (container) {
		list_del(&container->free_entry);
	} else if (prereg_slots_used < PREREG_SLOTS) {
		container = kzalloc(sizeof(*container), GFP_KERNEL);
		if (container) {
			mutex_init(&container->lock);
			mutex_init(&container->devices_lock);
			INIT_LIST_HEAD(&container->devices);
			container->id = 2 * (PREREG_SLOTS + prereg_slots_used);
			/* With all of the above for those who look at all of them. */
			smp_store_release(&prereg_slots[prereg_slots_used],
					  container);
			prereg_slots_used++;
		}
	}
	mutex_unlock(&prereg_slots_lock);
	return container;
}

static void prereg_slot_return(struct prereg_container *container)
{
	mutex_lock(&prereg_slots_lock);
	list_add(&container->free_entry, &prereg_slots_free);
	mutex_unlock(&prereg_slots_lock);
	atomic_inc(&prereg_slots_changed);
}

unsigned long prereg_container_create(struct prereg_type1 *type1)
{
	struct prereg_container *container = prereg_slot_take();

	if (!container)
		return 0;

	/* Calls that mean an earlier one may hold the lock, and look. */
	mutex_lock(&container->lock);
	container->registrations = RB_ROOT;
	container->mappings = RB_ROOT;
	container->type1 = type1;
	if (type1)
		container->id |= PREREG_ID_TYPE1;
	container->claim.container = container;
	prereg_who_get(&container->who);
	mutex_unlock(&container->lock);
	/* It is seen from now on. */
	atomic_inc(&prereg_slots_changed);
	prereg_stat_add(PREREG_STAT_CONTAINERS, 1);
	return container->id;
}

/*
 * VFIO holds its container's group_lock for writing, so no attach or detach runs.
 * A call may be under way, or about to come: it waits for the lock, and then sees
 * another id. The owner's release() may wait for the lock: it then finds no
 * owner. Only after that VFIO considers the container clean, so the pages are
 * back when close() returns.
 */
void prereg_container_destroy(unsigned long id)
{
	struct prereg_container *container = prereg_container_lock_held(id);

	if (container->type1)
		prereg_type1_free(container);
	else if (container->claim.owner)
		prereg_container_disown(container, container->claim.owner);
	container->type1 = NULL;
	container->id = (container->id & ~PREREG_ID_TYPE1) + 2 * PREREG_SLOTS;
	WARN_ON(container->hw);
	prereg_container_adopt(container);
	prereg_who_put(&container->who);
	mutex_unlock(&container->lock);

	prereg_stat_add(PREREG_STAT_CONTAINERS, -1);
	prereg_slot_return(container);
}

void prereg_containers_free(void)
{
	while (prereg_slots_used)
		kfree(prereg_slots[--prereg_slots_used]);
}

struct prereg_container *prereg_container_at(unsigned long slot)
{
	return slot < PREREG_SLOTS ? READ_ONCE(prereg_slots[slot]) : NULL;
}

void prereg_containers_count(unsigned long *nmappings, u64 *mapped_bytes)
{
	struct prereg_container *container;
	unsigned long i;

	*nmappings = 0;
	*mapped_bytes = 0;
	for (i = 0; (container = prereg_container_at(i)); i++) {
		mutex_lock(&container->lock);
		*nmappings += container->nmappings;
		*mapped_bytes += container->mapped_bytes;
		mutex_unlock(&container->lock);
	}
}

unsigned int prereg_containers_changes(void)
{
	return atomic_read(&prereg_slots_changed);
}

struct prereg_container *prereg_container_lock_held(unsigned long id)
{
	struct prereg_container *container = prereg_container_held(id);

	mutex_lock(&container->lock);
	WARN_ON(container->id != id);
	return container;
}

bool prereg_container_is_type1(unsigned long id)
{
	return id & PREREG_ID_TYPE1;
}

bool prereg_container_is_foreign(unsigned long id)
{
	const struct prereg_container *container = prereg_container_held(id);
	const struct mm_struct *mm = READ_ONCE(container->owner_mm);

	return mm && mm != current->mm;
}

struct prereg_container *prereg_container_lock(unsigned long id)
{
	struct prereg_container *container = prereg_container_held(id);
	int ret;

	if (mutex_lock_killable(&container->lock))
		return ERR_PTR(-EINTR);
	if (likely(container->id == id)) {
		if (!container->owner_mm || container->owner_mm == current->mm)
			return container;
		ret = -EPERM;
	} else {
		ret = -ENODEV;
	}
	mutex_unlock(&container->lock);
	return ERR_PTR(ret);
}

void prereg_container_unlock(struct prereg_container *container)
{
	mutex_unlock(&container->lock);
}

bool prereg_container_claim(struct prereg_container *container,
			    struct prereg_owner *owner)
{
	lockdep_assert_held(&container->lock);

	if (container->claim.owner)
		return false;
	container->claim.owner = owner;
	prereg_claim_enter(&container->claim);
	WRITE_ONCE(container->owner_mm, owner->mm);
	return true;
}

/* The registration is in no tree any more and nothing maps it. */
static void
prereg_registration_free(struct prereg_registration *registration)
{
	prereg_region_put(registration->region);
	kfree(registration);
	prereg_stat_add(PREREG_STAT_BOOKKEEPING_BYTES,
			-(long)sizeof(*registration));
}

static struct prereg_registration *
prereg_registration_first(struct prereg_container *container,
			  unsigned long first, unsigned long last)
{
	struct prereg_range *range =
		prereg_range_find(&container->registrations, first, last);

	if (!range)
		return NULL;
	return container_of(range, struct prereg_registration, range);
}

static void spapr_v2_disown(struct prereg_container *container)
{
	struct prereg_registration *registration;

	/* Without a hw that is done already. */
	if (container->hw) {
		prereg_windows_close(container);
		prereg_windows_init(container);
	}

	while ((registration = prereg_registration_first(container, 0,
							 ULONG_MAX))) {
		prereg_range_remove(&registration->range,
				    &container->registrations);
		prereg_registration_free(registration);
	}

	WRITE_ONCE(container->owner_mm, NULL);
	WRITE_ONCE(container->may_map, false);
	prereg_claim_leave(&container->claim);
	container->claim.owner = NULL;
}

/*
 * Called by the owner's release(), by VFIO's release of the container, and by
 * nobody else; container->lock makes the two one after the other. The owner's
 * own calls cannot run at the same time: they wait for the lock and then see a
 * container that is gone (close by a sibling), or do not exist (release).
 */
void prereg_container_disown(struct prereg_container *container,
			     struct prereg_owner *owner)
{
	lockdep_assert_held(&container->lock);

	if (container->type1)
		prereg_type1_disown(container, owner);
	else if (container->claim.owner == owner)
		spapr_v2_disown(container);
}

void prereg_container_orphan(struct prereg_container *container,
			     const struct prereg_owner *owner)
{
	lockdep_assert_held(&container->lock);

	if (container->type1 && !list_empty(&container->type1->claims))
		return;
	prereg_container_adopt(container);
	prereg_who_copy(&container->orphan.who, &owner->who);
	container->orphan.since = ktime_get_boottime_ns();
}

void prereg_container_adopt(struct prereg_container *container)
{
	lockdep_assert_held(&container->lock);

	prereg_who_put(&container->orphan.who);
}

void prereg_container_hw_came(struct prereg_container *container)
{
	if (!container->type1)
		prereg_windows_init(container);
}

void prereg_container_hw_goes(struct prereg_container *container)
{
	if (container->type1)
		prereg_type1_hw_goes(container);
	else
		prereg_windows_close(container);
}

/* May [vaddr, last] be registered in this container? */
static int prereg_registration_check(struct prereg_container *container,
				     unsigned long vaddr, unsigned long last)
{
	struct prereg_registration *registration =
		prereg_registration_first(container, vaddr, last);

	if (!registration)
		return 0;
	if (registration->range.first == vaddr &&
	    registration->range.last == last)
		return -EBUSY;
	return -EINVAL;
}

int prereg_container_register(unsigned long id, unsigned long vaddr,
			      unsigned long bytes)
{
	unsigned long last = vaddr + bytes - 1;
	struct prereg_container *container;
	struct prereg_registration *registration;
	struct prereg_region *region;
	struct prereg_owner *owner;
	bool claimed = false;
	int ret;

	/* Before gigabytes are pinned for a call that must fail. */
	container = prereg_container_lock(id);
	if (IS_ERR(container))
		return PTR_ERR(container);
	ret = prereg_registration_check(container, vaddr, last);
	prereg_container_unlock(container);
	if (ret)
		return ret;

	registration = kzalloc(sizeof(*registration), GFP_KERNEL_ACCOUNT);
	if (!registration)
		return -ENOMEM;

	owner = prereg_owner_get_current();
	if (IS_ERR(owner)) {
		ret = PTR_ERR(owner);
		goto free_registration;
	}

	region = prereg_region_get(owner, vaddr, bytes);
	if (IS_ERR(region)) {
		ret = PTR_ERR(region);
		goto pay_owner;
	}

	/* Others ran since: the container may be gone, owned, or have it now. */
	container = prereg_container_lock(id);
	if (IS_ERR(container)) {
		ret = PTR_ERR(container);
		goto put_region;
	}
	ret = prereg_registration_check(container, vaddr, last);
	if (ret) {
		prereg_container_unlock(container);
		goto put_region;
	}

	registration->range.first = vaddr;
	registration->range.last = last;
	registration->region = region;
	registration->owner = owner;
	prereg_range_insert(&registration->range, &container->registrations);
	prereg_stat_add(PREREG_STAT_BOOKKEEPING_BYTES, sizeof(*registration));
	claimed = prereg_container_claim(container, owner);
	WRITE_ONCE(container->may_map, true);
	prereg_container_unlock(container);
	if (!claimed)
		prereg_owner_put(owner);
	return 0;

put_region:
	prereg_region_put(region);
pay_owner:
	prereg_owner_pay(owner);
	prereg_owner_put(owner);
free_registration:
	kfree(registration);
	return ret;
}

int prereg_container_unregister(unsigned long id, unsigned long vaddr,
				unsigned long bytes)
{
	unsigned long last = vaddr + bytes - 1;
	struct prereg_registration *registration;
	struct prereg_container *container;
	struct prereg_owner *owner;
	int ret = 0;

	container = prereg_container_lock(id);
	if (IS_ERR(container))
		return PTR_ERR(container);

	owner = container->claim.owner;
	registration = prereg_registration_first(container, vaddr, last);
	if (!owner)
		ret = -EPERM;
	else if (!registration || registration->range.first != vaddr ||
		 registration->range.last != last)
		ret = -ENOENT;
	else if (registration->mappings)
		ret = -EBUSY;
	if (ret) {
		prereg_container_unlock(container);
		return ret;
	}
	prereg_range_remove(&registration->range, &container->registrations);
	/* A tear-down of the container may put it once the lock is dropped. */
	prereg_owner_hold(owner);
	prereg_container_unlock(container);

	/*
	 * Unpinned without the lock: other threads go on mapping. No release()
	 * can miss it, we hold mm_users; no tear-down sees the registration.
	 */
	prereg_registration_free(registration);
	prereg_owner_pay(owner);
	prereg_owner_drop(owner);
	return 0;
}

void prereg_container_stick(struct prereg_container *container)
{
	struct prereg_range *range;

	lockdep_assert_held(&container->lock);

	for (range = prereg_range_find(&container->registrations, 0, U64_MAX);
	     range; range = prereg_range_next(range))
		container_of(range, struct prereg_registration,
			     range)->region->stuck = true;
}

struct prereg_registration *
prereg_container_registration(struct prereg_container *container,
			      unsigned long vaddr)
{
	lockdep_assert_held(&container->lock);
	return prereg_registration_first(container, vaddr, vaddr);
}
