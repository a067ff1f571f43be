// SPDX-License-Identifier: GPL-2.0-only
/*
 * dma: the mappings of a container of types 1 and 3.
 *
 * Whoever has the container's file may map memory of its own: each mapping belongs to, is
 * charged to and goes with the mm that made it. A mapping brings its own registration:
 * it uses a region that holds its memory already, or makes one (see region.c).
 * A container without IOMMU, of emulated devices only, notes what is mapped and pins
 * nothing; that is made up for when an IOMMU comes.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/vfio.h>

#include "dma.h"
#include "prereg.h"

static unsigned int dma_entry_limit = UINT_MAX;
module_param(dma_entry_limit, uint, 0644);
MODULE_PARM_DESC(dma_entry_limit,
		 "Mappings a container of type 1 or 3 may have, if mappings_max allows more. Default: it decides alone");

static unsigned int keep_mib;
module_param(keep_mib, uint, 0644);
MODULE_PARM_DESC(keep_mib,
		 "MiB of memory, for each process, that UNMAP_DMA of new containers of type 1 or 3 may leave pinned for the next MAP_DMA. Default 0");

static struct kmem_cache *prereg_dma_cache;

/* Spares clearing each (init_on_alloc): dma_alloc() sets every field. */
static void dma_construct(void *dma)
{
	memset(dma, 0, sizeof(struct prereg_dma));
}

int prereg_dma_init(void)
{
	prereg_dma_cache = kmem_cache_create("prereg_dma",
					     sizeof(struct prereg_dma), 0,
					     SLAB_ACCOUNT, dma_construct);
	return prereg_dma_cache ? 0 : -ENOMEM;
}

void prereg_dma_exit(void)
{
	kmem_cache_destroy(prereg_dma_cache);
}

struct prereg_type1 *prereg_type1_alloc(bool v2)
{
	struct prereg_type1 *type1;

	type1 = kzalloc(sizeof(*type1), GFP_KERNEL_ACCOUNT);
	if (!type1)
		return NULL;
	type1->v2 = v2;
	INIT_LIST_HEAD(&type1->claims);
	INIT_LIST_HEAD(&type1->groups);
	type1->keep_pages = (unsigned long)READ_ONCE(keep_mib) <<
			    (20 - PAGE_SHIFT);
	return type1;
}

/* ---- claims ----------------------------------------------------------- */

static struct prereg_type1_claim *claim_find(const struct prereg_type1 *type1,
					     const struct mm_struct *mm)
{
	struct prereg_type1_claim *claim;

	list_for_each_entry(claim, &type1->claims, claim.container_entry)
		if (claim->claim.owner->mm == mm)
			return claim;
	return NULL;
}

struct prereg_claim *
prereg_type1_claim(const struct prereg_container *container)
{
	struct prereg_type1_claim *claim =
		claim_find(container->type1, current->mm);

	return claim ? &claim->claim : NULL;
}

bool prereg_dma_hold_get(struct prereg_container *container,
		     const struct prereg_dma *dma,
		     struct prereg_dma_hold *hold)
{
	struct prereg_owner *owner = dma->registration.owner;

	if (!mmget_not_zero(owner->mm))
		return false;
	prereg_owner_hold(owner);
	*hold = (struct prereg_dma_hold) {
		.owner		= owner,
		.payer.task	= get_task_struct(claim_find(container->type1,
							     owner->mm)->task),
		.payer.lock_cap	= dma->lock_cap,
		.serial		= dma->serial,
		.write		= dma->mapping.prot & IOMMU_WRITE,
	};
	return true;
}

void prereg_dma_hold_put(struct prereg_dma_hold *hold)
{
	prereg_owner_pay(hold->owner);
	put_task_struct(hold->payer.task);
	/*
	 * Not here: release() takes container->lock, and tells drivers of emulated devices, one
	 * of which may be calling us.
	 */
	mmput_async(hold->owner->mm);
	prereg_owner_drop(hold->owner);
}

static struct prereg_type1_claim *claim_alloc(void)
{
	struct prereg_type1_claim *claim;

	claim = kzalloc(sizeof(*claim), GFP_KERNEL_ACCOUNT);
	if (claim)
		claim->task = get_task_struct(current->group_leader);
	return claim;
}

static void claim_free(struct prereg_type1_claim *claim)
{
	if (!claim)
		return;
	put_task_struct(claim->task);
	kfree(claim);
}

/* ---- mappings --------------------------------------------------------- */

/* It is mapped nowhere any more: it gives back its memory. */
static void dma_put_region(struct prereg_dma *dma, unsigned long keep_pages)
{
	if (dma->registration.region)
		prereg_region_put_kept(dma->registration.region, keep_pages);
	dma->registration.region = NULL;
}

/* The mapping is gone. */
static void dma_end(struct prereg_dma *dma, unsigned long keep_pages)
{
	if (dma->npages)
		prereg_emulated_forget(dma);
	dma_put_region(dma, keep_pages);
}

/* Mapped nowhere, without a region. NULL: no memory. */
static struct prereg_dma *dma_alloc(u64 iova, u64 bytes, unsigned long vaddr,
				    int prot)
{
	struct prereg_dma *dma;

	dma = kmem_cache_alloc(prereg_dma_cache, GFP_KERNEL);
	if (!dma)
		return NULL;
	*dma = (struct prereg_dma) {
		.mapping.range.first		= iova,
		.mapping.range.last		= iova + bytes - 1,
		.mapping.registration		= &dma->registration,
		.mapping.prot			= prot,
		.registration.range.first	= vaddr,
		.registration.range.last	= vaddr + bytes - 1,
		.lock_cap			= capable(CAP_IPC_LOCK),
		.pages				= RB_ROOT,
	};
	return dma;
}

static void dma_free(struct prereg_dma *dma)
{
	dma_end(dma, 0);
	if (unlikely(dma->dirty))
		kvfree(dma->dirty);
	kmem_cache_free(prereg_dma_cache, dma);
}

static void dmas_free(struct llist_head *taken)
{
	struct prereg_mapping *mapping;

	while ((mapping = prereg_mapping_pop(taken))) {
		dma_free(mapping_dma(mapping));
		cond_resched();
	}
}

/* The owner has nothing else here; the claim goes last, see prereg_owner_release(). */
static void claim_disown(struct prereg_container *container,
			 struct prereg_type1_claim *claim)
{
	LLIST_HEAD(taken);

	prereg_mapping_take(container, 0, U64_MAX, claim->claim.owner, &taken);
	dmas_free(&taken);
	list_del(&claim->claim.container_entry);
	prereg_claim_leave(&claim->claim);
	claim_free(claim);
}

/*
 * Called by the owner's release(), with a container that may have lost its claim to
 * prereg_type1_free(), which may also come while emulated devices are told: then
 * there is no claim any more. Calls of the owner's cannot run.
 */
void prereg_type1_disown(struct prereg_container *container,
			 struct prereg_owner *owner)
{
	unsigned long id = container->id;
	struct prereg_type1_claim *claim;

	prereg_emulated_unmap(container, 0, U64_MAX, owner);
	if (container->id != id)
		return;
	claim = claim_find(container->type1, owner->mm);
	/* The same mm can have another owner object, but not at the same time. */
	if (claim && claim->claim.owner == owner)
		claim_disown(container, claim);
}

/* VFIO has no device open in it, and detached all groups. */
void prereg_type1_free(struct prereg_container *container)
{
	struct prereg_type1 *type1 = container->type1;
	struct prereg_type1_claim *claim, *next;

	list_for_each_entry_safe(claim, next, &type1->claims,
				 claim.container_entry)
		claim_disown(container, claim);
	WARN_ON(!list_empty(&type1->groups) || container->ndevices);
	kfree(type1);
}

/* There is no IOMMU any more: mappings stay for emulated devices, and what those pinned. */
static void dmas_put_regions(struct prereg_container *container)
{
	struct prereg_mapping *mapping = NULL;

	while ((mapping = prereg_mapping_next(container, mapping))) {
		if (!mapping->registration->region)
			continue;
		prereg_emulated_charge(mapping_dma(mapping), false);
		dma_put_region(mapping_dma(mapping), 0);
		mapping->offset = 0;
		prereg_owner_pay(mapping->registration->owner);
		cond_resched();
	}
}

/* Without emulated devices VFIO releases the container next. */
void prereg_type1_hw_goes(struct prereg_container *container)
{
	struct prereg_type1_claim *claim;
	LLIST_HEAD(taken);

	if (container->type1->emulated_groups) {
		prereg_mappings_unmap(container);
		dmas_put_regions(container);
		return;
	}
	prereg_mapping_take(container, 0, U64_MAX, NULL, &taken);
	dmas_free(&taken);
	list_for_each_entry(claim, &container->type1->claims,
			    claim.container_entry)
		prereg_owner_pay(claim->claim.owner);
}

struct prereg_dma *prereg_dma_find(struct prereg_container *container,
				   u64 iova)
{
	struct prereg_mapping *mapping =
		prereg_mapping_first(container, iova, iova);

	return mapping ? mapping_dma(mapping) : NULL;
}

u64 prereg_type1_dma_avail(const struct prereg_container *container)
{
	u64 limit = READ_ONCE(dma_entry_limit);

	if (limit <= container->nmappings)
		return 0;
	return min(limit - container->nmappings,
		   prereg_mappings_left(container));
}

/**
 * struct dma_parts - what a MAP needs of what must be had without container->lock
 * @claimed: owner of the claim that is there; struct reference
 * @owner: of a claim to be made; notifier reference
 * @claim: to be made
 * @region: one user
 */
struct dma_parts {
	struct prereg_owner		*claimed;
	struct prereg_owner		*owner;
	struct prereg_type1_claim	*claim;
	struct prereg_region		*region;
};

/* Get the claim, or the region if there is an IOMMU. No lock held. */
static int dma_parts_get(struct dma_parts *parts, const struct prereg_dma *dma,
			 bool has_hw)
{
	const struct prereg_range *range = &dma->registration.range;
	const struct prereg_payer payer = {
		.task		= current,
		.lock_cap	= dma->lock_cap,
	};
	struct prereg_region *region;
	struct prereg_owner *owner;

	if (!parts->claimed && !parts->owner) {
		owner = prereg_owner_get_current();
		if (IS_ERR(owner))
			return PTR_ERR(owner);
		parts->owner = owner;
	}
	if (!parts->claimed && !parts->claim) {
		parts->claim = claim_alloc();
		if (!parts->claim)
			return -ENOMEM;
	}
	if (has_hw && !parts->region) {
		owner = parts->claimed ? parts->claimed : parts->owner;
		region = prereg_region_get_implicit(owner, range->first,
						    dma_bytes(dma),
						    dma->mapping.prot & IOMMU_WRITE,
						    &payer);
		if (IS_ERR(region))
			return PTR_ERR(region);
		parts->region = region;
	}
	return 0;
}

/* Of another owner object than the claim's: somebody closed and opened meanwhile. */
static void dma_parts_forget(struct dma_parts *parts)
{
	if (parts->region)
		prereg_region_put(parts->region);
	if (parts->claimed) {
		prereg_owner_pay(parts->claimed);
		prereg_owner_drop(parts->claimed);
	}
	parts->region = NULL;
	parts->claimed = NULL;
}

static void dma_parts_put(struct dma_parts *parts)
{
	dma_parts_forget(parts);
	claim_free(parts->claim);
	if (parts->owner) {
		prereg_owner_pay(parts->owner);
		prereg_owner_put(parts->owner);
	}
}

/*
 * The mm's claim, or the new one, or NULL. While we hold a notifier reference of parts->owner
 * the mm has no other owner object, so the parts fit a claim that is there. Without, the last
 * claim may have gone, and its owner object with it: what we have of that one is of no use.
 */
static struct prereg_type1_claim *dma_claim(struct prereg_container *container,
					    struct dma_parts *parts)
{
	struct prereg_type1_claim *claim =
		claim_find(container->type1, current->mm);

	if (parts->claimed && (!claim || claim->claim.owner != parts->claimed))
		dma_parts_forget(parts);
	if (!claim && parts->claim) {
		claim = parts->claim;
		claim->claim.container = container;
		claim->claim.owner = parts->owner;
		list_add(&claim->claim.container_entry,
			 &container->type1->claims);
		prereg_claim_enter(&claim->claim);
		parts->claim = NULL;
		parts->owner = NULL;
	}
	if (claim && !parts->owner && !parts->claimed) {
		parts->claimed = claim->claim.owner;
		prereg_owner_hold(parts->claimed);
	}
	return claim;
}

static void dma_set_region(struct prereg_dma *dma, struct prereg_region *region)
{
	if (dma->mapping.prot & IOMMU_WRITE)
		WRITE_ONCE(region->written, true);
	dma->registration.region = region;
	dma->mapping.offset = dma->registration.range.first -
			      region->range.first;
}

/* Is there all that a mapping needs? Errors of prereg_dma_map(); -EAGAIN parts are missing. */
static int dma_fit(struct prereg_container *container, struct prereg_dma *dma,
		   struct dma_parts *parts)
{
	struct prereg_registration *registration = &dma->registration;
	const struct prereg_range *range = &dma->mapping.range;
	struct prereg_type1_claim *claim;

	if (container->nmappings > READ_ONCE(dma_entry_limit))
		return -ENOSPC;
	if (container->hw &&
	    !prereg_hw_usable(container->hw, range->first, range->last))
		return -EINVAL;
	claim = dma_claim(container, parts);
	if (!claim)
		return -EAGAIN;
	registration->owner = claim->claim.owner;
	if (container->hw) {
		if (!parts->region)
			parts->region =
				prereg_region_find(registration->owner,
						   registration->range.first,
						   dma_bytes(dma),
						   dma->mapping.prot & IOMMU_WRITE);
		if (!parts->region)
			return -EAGAIN;
		dma_set_region(dma, parts->region);
	}
	if (container->type1->dirty_tracking && !dma->dirty)
		return prereg_dirty_alloc(dma);
	return 0;
}

/*
 * Map it with what is there. Nobody sees a mapping that is entered before it has all it
 * needs: the lock is held. Return: as prereg_dma_map(); -EAGAIN parts are missing.
 */
static int dma_add(struct prereg_container *container, struct prereg_dma *dma,
		   struct dma_parts *parts)
{
	const struct prereg_range *range = &dma->mapping.range;
	int ret;

	if (!PAGE_ALIGNED(range->first | (range->last + 1) |
			  dma->registration.range.first))
		return -EINVAL;
	ret = prereg_mapping_enter(container, &dma->mapping);
	if (ret)
		return ret;
	dma->serial = ++container->type1->serial;
	ret = dma_fit(container, dma, parts);
	if (!ret && container->hw)
		ret = prereg_mapping_map(container, &dma->mapping);
	if (ret) {
		prereg_mapping_leave(container, &dma->mapping);
		dma->registration.region = NULL;
	} else if (container->hw) {
		parts->region = NULL;
	}
	return ret;
}

int prereg_dma_map(unsigned long id, u64 iova, u64 bytes, unsigned long vaddr,
		   int prot)
{
	struct prereg_container *container;
	struct dma_parts parts = {};
	struct prereg_dma *dma;
	bool has_hw;
	int ret;

	dma = dma_alloc(iova, bytes, vaddr, prot);
	if (!dma)
		return -ENOMEM;

	do {
		container = prereg_container_lock(id);
		if (IS_ERR(container)) {
			ret = PTR_ERR(container);
			break;
		}
		ret = dma_add(container, dma, &parts);
		has_hw = container->hw;
		prereg_container_unlock(container);
		if (ret != -EAGAIN)
			break;
		/* Others run meanwhile; everything is looked at again. */
		ret = dma_parts_get(&parts, dma, has_hw);
	} while (!ret);

	if (ret)
		dma_free(dma);
	dma_parts_put(&parts);
	return ret;
}

bool prereg_dma_is_cut(struct prereg_container *container, u64 cut)
{
	const struct prereg_mapping *mapping =
		cut ? prereg_mapping_first(container, cut, cut) : NULL;

	return mapping && mapping->range.first != cut;
}

/*
 * Type 1 is as it was before mappings were remembered: an UNMAP that begins inside a
 * mapping unmaps nothing, one that covers a mapping's first address all of it. v2
 * refuses to cut one.
 * Return: 0: unmap what reaches into the range; 1: nothing; -EINVAL, -EOVERFLOW.
 */
static int dma_unmap_check(struct prereg_container *container, u64 iova,
			   u64 bytes, bool all,
			   struct prereg_bitmap *bitmap)
{
	const struct prereg_type1 *type1 = container->type1;
	const struct prereg_mapping *mapping;

	if (all)
		return 0;
	if (!PAGE_ALIGNED(iova | bytes))
		return -EINVAL;
	if (iova + (bytes - 1) < iova)
		return -EOVERFLOW;
	if (bitmap && !type1->dirty_tracking)
		return -EINVAL;
	/* Just what one MAP made: the usual case. */
	mapping = prereg_mapping_first(container, iova, iova + (bytes - 1));
	if (mapping && mapping->range.first == iova &&
	    prereg_mapping_bytes(mapping) == bytes)
		return 0;
	if (prereg_dma_is_cut(container, iova))
		return type1->v2 ? -EINVAL : 1;
	if (type1->v2 && prereg_dma_is_cut(container, iova + bytes))
		return -EINVAL;
	return 0;
}

/*
 * Take the mappings out of the container, to @taken: what is another process's is given
 * back here, under the lock, for which its release() waits.
 * Return: 0, or as prereg_dma_unmap(). @own: current's owner, if any is his.
 */
static int dma_take(struct prereg_container *container, u64 iova, u64 bytes,
		    bool all, struct prereg_bitmap *bitmap,
		    struct llist_head *taken, struct prereg_owner **own)
{
	u64 last = all ? U64_MAX : iova + (bytes - 1);
	unsigned long id = container->id;
	struct prereg_mapping *mapping;
	struct prereg_owner *owner;
	int ret;

	ret = dma_unmap_check(container, iova, bytes, all, bitmap);
	if (ret)
		return min(ret, 0);
	/* Others may run meanwhile. */
	if (prereg_emulated_unmap(container, iova, last, NULL)) {
		if (container->id != id)
			return -ENODEV;
		ret = dma_unmap_check(container, iova, bytes, all, bitmap);
		if (ret) {
			prereg_emulated_stay(container, iova, last);
			return min(ret, 0);
		}
	}

	prereg_mapping_take(container, iova, last, NULL, taken);
	llist_for_each_entry(mapping, taken->first, range.taken) {
		owner = mapping->registration->owner;
		if (owner->mm == current->mm) {
			*own = owner;
			continue;
		}
		dma_end(mapping_dma(mapping), 0);
		prereg_owner_pay(owner);
	}
	return 0;
}

int prereg_dma_unmap(unsigned long id, u64 iova, u64 bytes, bool all,
		     struct prereg_bitmap *bitmap, u64 *unmapped)
{
	struct prereg_container *container;
	struct prereg_owner *own = NULL;
	struct prereg_mapping *mapping;
	unsigned long keep_pages;
	struct prereg_dma *dma;
	LLIST_HEAD(taken);
	bool all_dirty;
	int ret;

	*unmapped = 0;
	container = prereg_container_lock(id);
	if (IS_ERR(container))
		return PTR_ERR(container);
	ret = dma_take(container, iova, bytes, all, bitmap, &taken, &own);
	if (ret == -ENODEV) {
		prereg_container_unlock(container);
		return ret;
	}
	keep_pages = container->type1->keep_pages;
	all_dirty = container->type1->unscoped_groups;
	/* A tear-down of the container may put it once the lock is dropped. */
	if (own)
		prereg_owner_hold(own);
	prereg_container_unlock(container);

	/*
	 * What is ours is given back without the lock, so other threads go on mapping: we
	 * hold mm_users, so there is no release().
	 */
	while ((mapping = prereg_mapping_pop(&taken))) {
		dma = mapping_dma(mapping);
		*unmapped += dma_bytes(dma);
		dma_end(dma, keep_pages);
		if (bitmap && prereg_dirty_report(dma, all_dirty, bitmap, iova))
			ret = -EFAULT;
		dma_free(dma);
		if (!llist_empty(&taken))
			cond_resched();
	}
	if (own) {
		prereg_owner_pay(own);
		prereg_owner_drop(own);
	}
	return ret;
}

/* ---- groups ----------------------------------------------------------- */

struct prereg_type1_group *
prereg_type1_find_group(const struct prereg_type1 *type1,
			const struct iommu_group *group)
{
	struct prereg_type1_group *g;

	list_for_each_entry(g, &type1->groups, entry)
		if (g->group == group)
			return g;
	return NULL;
}

/* The first mapping from an IOVA on that has no region, or NULL. */
static struct prereg_dma *dma_without_region(struct prereg_container *container,
					     u64 iova)
{
	struct prereg_mapping *mapping;

	prereg_for_each_mapping(mapping, container, iova, U64_MAX)
		if (!mapping->registration->region)
			return mapping_dma(mapping);
	return NULL;
}

/*
 * Make the region of a mapping from before there was an IOMMU; its process may be another
 * one than ours. Unlocks meanwhile: then the mapping may be gone, or another.
 */
static int dma_make_region(struct prereg_container *container,
			   struct prereg_dma *dma)
{
	const unsigned long vaddr = dma->registration.range.first;
	const u64 iova = dma->mapping.range.first, bytes = dma_bytes(dma);
	struct prereg_dma_hold hold;
	struct prereg_region *region;
	int ret = 0;

	/* Its release() waits for our lock, to remove it. */
	if (!prereg_dma_hold_get(container, dma, &hold))
		return -EAGAIN;
	prereg_container_unlock(container);

	region = prereg_region_get_implicit(hold.owner, vaddr, bytes,
					    hold.write, &hold.payer);
	mutex_lock(&container->lock);
	dma = prereg_dma_find(container, iova);
	if (IS_ERR(region)) {
		ret = PTR_ERR(region);
	} else if (dma && dma->serial == hold.serial &&
		   !dma->registration.region) {
		dma_set_region(dma, region);
		prereg_emulated_charge(dma, true);
	} else {
		prereg_region_put(region);
	}
	prereg_dma_hold_put(&hold);
	return ret;
}

/* Attach a group with an IOMMU. -EAGAIN: an owner is dying, its release() goes first. */
static int type1_attach_hw(struct prereg_container *container,
			   struct iommu_group *group)
{
	struct prereg_dma *dma;
	u64 iova = 0;
	int ret = 0;

	while (!ret && !container->hw) {
		dma = dma_without_region(container, iova);
		if (dma) {
			iova = dma->mapping.range.first;
			ret = dma_make_region(container, dma);
		} else if (iova) {
			/* Once more: what was mapped below meanwhile. */
			iova = 0;
		} else {
			break;
		}
	}
	if (!ret)
		ret = prereg_hw_attach(container, group);
	if (ret == -EAGAIN && fatal_signal_pending(current))
		ret = -EINTR;
	if (ret && ret != -EAGAIN && !container->hw)
		dmas_put_regions(container);
	return ret;
}

/*
 * VFIO holds its container's group_lock for writing: nobody else attaches, detaches or
 * releases the container, also where we unlock it.
 */
int prereg_type1_attach(unsigned long id, struct iommu_group *group,
			bool emulated)
{
	struct prereg_container *container;
	struct prereg_type1_group *g;
	struct prereg_type1 *type1;
	int ret;

	g = kzalloc(sizeof(*g), GFP_KERNEL_ACCOUNT);
	if (!g)
		return -ENOMEM;
	g->group = group;
	g->emulated = emulated;
	/* An emulated device writes through us. */
	g->scoped = emulated;

	do {
		container = prereg_container_lock_held(id);
		type1 = container->type1;
		ret = 0;
		if (prereg_type1_find_group(type1, group))
			ret = -EINVAL;
		else if (!emulated)
			ret = type1_attach_hw(container, group);
		if (!ret) {
			list_add(&g->entry, &type1->groups);
			type1->emulated_groups += emulated;
			type1->unscoped_groups += !emulated;
		}
		prereg_container_unlock(container);
		/* Its release() may take a while. */
		if (ret == -EAGAIN)
			schedule_timeout_uninterruptible(1);
	} while (ret == -EAGAIN);

	if (ret)
		kfree(g);
	return ret;
}

void prereg_type1_detach(unsigned long id, struct iommu_group *group)
{
	struct prereg_container *container = prereg_container_lock_held(id);
	struct prereg_type1 *type1 = container->type1;
	struct prereg_type1_group *g = prereg_type1_find_group(type1, group);

	if (!g)
		goto unlock;
	list_del(&g->entry);
	type1->emulated_groups -= g->emulated;
	if (!g->emulated)
		prereg_hw_detach(container, group);
	if (!g->scoped) {
		type1->unscoped_groups--;
		prereg_dirty_set_all(container);
	}
	kfree(g);
unlock:
	prereg_container_unlock(container);
}
