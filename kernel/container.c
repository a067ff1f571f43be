// SPDX-License-Identifier: GPL-2.0-only
/*
 * container: the life of an open VFIO container, its owner and registrations.
 *
 * VFIO calls ioctl() with the iommu_data it read without any lock: another
 * thread may be in the middle of detaching the last group, after which VFIO
 * calls release(), and the data would be freed under the call. So iommu_data is
 * not a pointer here but an id that is never used twice; a call looks it up
 * and holds a reference, or learns that the container is gone.
 */
#include <linux/slab.h>
#include <linux/xarray.h>

#include "prereg.h"

static DEFINE_XARRAY(prereg_containers);
static atomic_long_t prereg_container_last_id;
static atomic_long_t prereg_containers_alive;
static DECLARE_WAIT_QUEUE_HEAD(prereg_containers_gone);

struct prereg_container *prereg_container_create(void)
{
	struct prereg_container *container;
	int ret;

	container = kzalloc(sizeof(*container), GFP_KERNEL_ACCOUNT);
	if (!container)
		return ERR_PTR(-ENOMEM);

	ret = prereg_hw_init(&container->hw);
	if (ret)
		goto free_container;

	kref_init(&container->ref);
	mutex_init(&container->lock);
	container->registrations = RB_ROOT_CACHED;
	container->mappings = RB_ROOT_CACHED;
	prereg_window_init(container);

	container->id = atomic_long_inc_return(&prereg_container_last_id);
	ret = xa_err(xa_store(&prereg_containers, container->id, container,
			      GFP_KERNEL));
	if (ret)
		goto fini_hw;

	atomic_long_inc(&prereg_containers_alive);
	prereg_stat_add(PREREG_STAT_CONTAINERS, 1);
	return container;

fini_hw:
	prereg_hw_fini(&container->hw);
free_container:
	kfree(container);
	return ERR_PTR(ret);
}

static void prereg_container_free(struct kref *ref)
{
	struct prereg_container *container =
		container_of(ref, struct prereg_container, ref);

	prereg_hw_fini(&container->hw);
	kfree_rcu(container, rcu);
	prereg_stat_add(PREREG_STAT_CONTAINERS, -1);
	if (atomic_long_dec_and_test(&prereg_containers_alive))
		wake_up_all(&prereg_containers_gone);
}

struct prereg_container *prereg_container_get(unsigned long id)
{
	struct prereg_container *container;

	rcu_read_lock();
	container = xa_load(&prereg_containers, id);
	if (container && !kref_get_unless_zero(&container->ref))
		container = NULL;
	rcu_read_unlock();
	return container;
}

void prereg_container_put(struct prereg_container *container)
{
	kref_put(&container->ref, prereg_container_free);
}

void prereg_containers_wait(void)
{
	wait_event(prereg_containers_gone,
		   !atomic_long_read(&prereg_containers_alive));
}

/*
 * VFIO holds its container's group_lock for writing, so no attach or detach runs.
 * A call may be under way, or about to look the id up: it holds a reference or
 * finds nothing; if it waits for the lock it sees dead. The owner's release()
 * may wait for the lock: it then finds no owner. Only after that VFIO
 * considers the container clean, so the pages are back when close() returns.
 */
void prereg_container_destroy(struct prereg_container *container)
{
	xa_erase(&prereg_containers, container->id);
	mutex_lock(&container->lock);
	container->dead = true;
	if (container->owner)
		prereg_container_disown(container);
	mutex_unlock(&container->lock);
	prereg_container_put(container);
}

bool prereg_container_is_foreign(const struct prereg_container *container)
{
	const struct mm_struct *mm = READ_ONCE(container->owner_mm);

	return mm && mm != current->mm;
}

int prereg_container_lock(struct prereg_container *container)
{
	int ret = 0;

	if (mutex_lock_killable(&container->lock))
		return -EINTR;
	if (container->dead)
		ret = -ENODEV;
	else if (prereg_container_is_foreign(container))
		ret = -EPERM;
	if (ret)
		mutex_unlock(&container->lock);
	return ret;
}

void prereg_container_unlock(struct prereg_container *container)
{
	mutex_unlock(&container->lock);
}

bool prereg_container_claim(struct prereg_container *container,
			    struct prereg_owner *owner)
{
	lockdep_assert_held(&container->lock);

	if (container->owner)
		return false;

	/*
	 * current->mm is the owner's mm and has users, so its release() has not
	 * run: it will see the container on this list.
	 */
	mutex_lock(&owner->lock);
	list_add(&container->owner_entry, &owner->containers);
	mutex_unlock(&owner->lock);
	container->owner = owner;
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
	struct interval_tree_node *node =
		interval_tree_iter_first(&container->registrations, first, last);

	if (!node)
		return NULL;
	return container_of(node, struct prereg_registration, node);
}

/*
 * Called by the owner's release(), by VFIO's release of the container, and by
 * nobody else; container->lock makes the two one after the other. The owner's
 * own calls cannot run at the same time: they wait for the lock and then see a
 * dead container (close by a sibling), or do not exist (release).
 *
 * The container leaves owner->containers last, see prereg_owner_release().
 */
void prereg_container_disown(struct prereg_container *container)
{
	struct prereg_owner *owner = container->owner;
	struct prereg_registration *registration;

	lockdep_assert_held(&container->lock);

	prereg_iova_revoke(container, 0, U64_MAX);

	while ((registration = prereg_registration_first(container, 0,
							 ULONG_MAX))) {
		interval_tree_remove(&registration->node,
				     &container->registrations);
		prereg_registration_free(registration);
	}

	mutex_lock(&owner->lock);
	list_del(&container->owner_entry);
	mutex_unlock(&owner->lock);
	container->owner = NULL;
	WRITE_ONCE(container->owner_mm, NULL);
	WRITE_ONCE(container->may_map, false);
	prereg_owner_put(owner);
}

/* May [vaddr, last] be registered in this container? */
static int prereg_registration_check(struct prereg_container *container,
				     unsigned long vaddr, unsigned long last)
{
	struct prereg_registration *registration =
		prereg_registration_first(container, vaddr, last);

	if (!registration)
		return 0;
	if (registration->node.start == vaddr &&
	    registration->node.last == last)
		return -EBUSY;
	return -EINVAL;
}

int prereg_container_register(struct prereg_container *container,
			      unsigned long vaddr, unsigned long bytes)
{
	unsigned long last = vaddr + bytes - 1;
	struct prereg_registration *registration;
	struct prereg_region *region;
	struct prereg_owner *owner;
	bool claimed = false;
	int ret;

	/* Before gigabytes are pinned for a call that must fail. */
	ret = prereg_container_lock(container);
	if (ret)
		return ret;
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
		goto put_owner;
	}

	/* Others ran since: the container may be dead, owned, or have it now. */
	ret = prereg_container_lock(container);
	if (ret)
		goto put_region;
	ret = prereg_registration_check(container, vaddr, last);
	if (ret) {
		prereg_container_unlock(container);
		goto put_region;
	}

	registration->node.start = vaddr;
	registration->node.last = last;
	registration->region = region;
	interval_tree_insert(&registration->node, &container->registrations);
	prereg_stat_add(PREREG_STAT_BOOKKEEPING_BYTES, sizeof(*registration));
	claimed = prereg_container_claim(container, owner);
	WRITE_ONCE(container->may_map, true);
	prereg_container_unlock(container);
	if (!claimed)
		prereg_owner_put(owner);
	return 0;

put_region:
	prereg_region_put(region);
put_owner:
	prereg_owner_put(owner);
free_registration:
	kfree(registration);
	return ret;
}

int prereg_container_unregister(struct prereg_container *container,
				unsigned long vaddr, unsigned long bytes)
{
	unsigned long last = vaddr + bytes - 1;
	struct prereg_registration *registration;
	int ret;

	ret = prereg_container_lock(container);
	if (ret)
		return ret;

	registration = prereg_registration_first(container, vaddr, last);
	if (!container->owner)
		ret = -EPERM;
	else if (!registration || registration->node.start != vaddr ||
		 registration->node.last != last)
		ret = -ENOENT;
	else if (registration->mappings)
		ret = -EBUSY;
	else
		interval_tree_remove(&registration->node,
				     &container->registrations);
	prereg_container_unlock(container);
	if (ret)
		return ret;

	/*
	 * Unpinned without the lock: other threads go on mapping. No release()
	 * can miss it, we hold mm_users; no tear-down sees the registration.
	 */
	prereg_registration_free(registration);
	return 0;
}

void prereg_container_stick(struct prereg_container *container)
{
	struct interval_tree_node *node;

	lockdep_assert_held(&container->lock);

	for (node = interval_tree_iter_first(&container->registrations, 0,
					     ULONG_MAX);
	     node; node = interval_tree_iter_next(node, 0, ULONG_MAX))
		container_of(node, struct prereg_registration,
			     node)->region->stuck = true;
}

struct prereg_registration *
prereg_container_registration(struct prereg_container *container,
			      unsigned long vaddr)
{
	lockdep_assert_held(&container->lock);
	return prereg_registration_first(container, vaddr, vaddr);
}
