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
#include <linux/slab.h>

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

int prereg_dma_init(void)
{
	prereg_dma_cache = kmem_cache_create("prereg_dma",
					     sizeof(struct prereg_dma), 0,
					     SLAB_ACCOUNT, NULL);
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
	type1->keep_pages = (unsigned long)READ_ONCE(keep_mib) <<
			    (20 - PAGE_SHIFT);
	return type1;
}

/* ---- claims ----------------------------------------------------------- */

static struct prereg_claim *claim_find(const struct prereg_type1 *type1,
				       const struct mm_struct *mm)
{
	struct prereg_claim *claim;

	list_for_each_entry(claim, &type1->claims, container_entry)
		if (claim->owner->mm == mm)
			return claim;
	return NULL;
}

struct prereg_claim *
prereg_type1_claim(const struct prereg_container *container)
{
	return claim_find(container->type1, current->mm);
}

/* The owner has nothing mapped any more. */
static void claim_free(struct prereg_claim *claim)
{
	list_del(&claim->container_entry);
	prereg_claim_leave(claim);
	kfree(claim);
}

/* ---- mappings --------------------------------------------------------- */

static void dma_free(struct prereg_dma *dma, unsigned long keep_pages)
{
	struct prereg_region *region = dma->registration.region;

	if (region && keep_pages)
		prereg_region_put_kept(region, keep_pages);
	else if (region)
		prereg_region_put(region);
	kmem_cache_free(prereg_dma_cache, dma);
}

/* Free what was unmapped. */
static void dmas_free(struct rb_root *taken, unsigned long keep_pages)
{
	struct prereg_mapping *mapping;

	while ((mapping = prereg_mapping_pop(taken))) {
		dma_free(mapping_dma(mapping), keep_pages);
		cond_resched();
	}
}

/*
 * Called by the owner's release(), with a container that may have lost its claim to
 * somebody else's tear-down, and by prereg_type1_free(). container->lock makes
 * them one after the other; calls of the owner's cannot run (release) or come later
 * and find the container gone (free).
 */
static void claim_disown(struct prereg_container *container,
			 struct prereg_claim *claim)
{
	struct rb_root taken = RB_ROOT;

	prereg_mapping_take(container, 0, U64_MAX, claim->owner, &taken);
	dmas_free(&taken, 0);
	claim_free(claim);
}

void prereg_type1_disown(struct prereg_container *container,
			 struct prereg_owner *owner)
{
	struct prereg_claim *claim = claim_find(container->type1, owner->mm);

	/* The same mm can have another owner object, but not at the same time. */
	if (claim && claim->owner == owner)
		claim_disown(container, claim);
}

void prereg_type1_free(struct prereg_container *container)
{
	struct prereg_type1 *type1 = container->type1;
	struct prereg_claim *claim, *next;

	list_for_each_entry_safe(claim, next, &type1->claims, container_entry)
		claim_disown(container, claim);
	kfree(type1);
}

/* VFIO releases the container next: what is left of it is freed there. */
void prereg_type1_hw_goes(struct prereg_container *container)
{
	struct rb_root taken = RB_ROOT;
	struct prereg_claim *claim;

	prereg_mapping_take(container, 0, U64_MAX, NULL, &taken);
	dmas_free(&taken, 0);
	list_for_each_entry(claim, &container->type1->claims, container_entry)
		prereg_owner_pay(claim->owner);
}

u64 prereg_type1_page(const struct prereg_container *container)
{
	const struct prereg_hw *hw = container->hw;

	return hw ? BIT_ULL(__ffs(hw->ops->pgsizes(hw))) : PAGE_SIZE;
}

u64 prereg_type1_dma_avail(const struct prereg_container *container)
{
	u64 limit = READ_ONCE(dma_entry_limit);

	if (limit <= container->nmappings)
		return 0;
	return min(limit - container->nmappings,
		   prereg_mappings_left(container));
}

/* May something be mapped there? Errors of prereg_dma_map(). */
static int dma_check(struct prereg_container *container, u64 iova, u64 last,
		     unsigned long vaddr)
{
	const struct prereg_hw *hw = container->hw;
	u64 usable_last, first = iova;

	if ((iova | (last + 1) | vaddr) & (prereg_type1_page(container) - 1))
		return -EINVAL;
	if (prereg_iova_mapped(container, iova, last))
		return -EEXIST;
	if (!prereg_type1_dma_avail(container))
		return -ENOSPC;
	if (hw && (!hw->ops->usable_range(hw, &first, &usable_last) ||
		   first != iova || last > usable_last))
		return -EINVAL;
	return 0;
}

/**
 * struct dma_parts - what a MAP needs of what must be had without container->lock
 * @owner: holds a notifier reference
 * @claim: not in use yet
 * @region: one user
 */
struct dma_parts {
	struct prereg_owner	*owner;
	struct prereg_claim	*claim;
	struct prereg_region	*region;
};

/* Get the claim, and the region if there is an IOMMU. No lock held. */
static int dma_parts_get(struct dma_parts *parts, unsigned long vaddr,
			 u64 bytes, int prot, bool region)
{
	if (!parts->owner) {
		struct prereg_owner *owner = prereg_owner_get_current();

		if (IS_ERR(owner))
			return PTR_ERR(owner);
		parts->owner = owner;
	}
	if (!parts->claim) {
		parts->claim = kzalloc(sizeof(*parts->claim),
				       GFP_KERNEL_ACCOUNT);
		if (!parts->claim)
			return -ENOMEM;
	}
	if (region && !parts->region) {
		struct prereg_region *made =
			prereg_region_get_implicit(parts->owner, vaddr, bytes,
						   prot & IOMMU_WRITE);

		if (IS_ERR(made))
			return PTR_ERR(made);
		parts->region = made;
	}
	return 0;
}

static void dma_parts_put(struct dma_parts *parts)
{
	if (parts->region)
		prereg_region_put(parts->region);
	kfree(parts->claim);
	if (parts->owner) {
		prereg_owner_pay(parts->owner);
		prereg_owner_put(parts->owner);
	}
}

/*
 * The mm's claim, or the new one, or NULL. While we hold a notifier reference of parts->owner
 * the mm has no other owner object, so the parts fit a claim that is there.
 */
static struct prereg_claim *dma_claim(struct prereg_container *container,
				      struct dma_parts *parts)
{
	struct prereg_claim *claim = claim_find(container->type1, current->mm);

	if (claim || !parts->claim)
		return claim;
	claim = parts->claim;
	claim->container = container;
	claim->owner = parts->owner;
	list_add(&claim->container_entry, &container->type1->claims);
	prereg_claim_enter(claim);
	parts->claim = NULL;
	parts->owner = NULL;
	return claim;
}

/* Map it with what is there. Return: as prereg_dma_map(); -EAGAIN parts are missing. */
static int dma_add(struct prereg_container *container, struct prereg_dma *dma,
		   struct dma_parts *parts)
{
	struct prereg_registration *registration = &dma->registration;
	struct prereg_claim *claim;
	int ret;

	ret = dma_check(container, dma->mapping.range.first,
			dma->mapping.range.last, registration->range.first);
	if (ret)
		return ret;
	claim = dma_claim(container, parts);
	if (!claim)
		return -EAGAIN;
	if (container->hw && !parts->region)
		parts->region = prereg_region_find(claim->owner,
						   registration->range.first,
						   registration->range.last -
						   registration->range.first + 1,
						   dma->mapping.prot & IOMMU_WRITE);
	if (container->hw) {
		if (!parts->region)
			return -EAGAIN;
		registration->region = parts->region;
		dma->mapping.offset = registration->range.first -
				      parts->region->range.first;
	}
	registration->owner = claim->owner;
	ret = prereg_mapping_add(container, &dma->mapping);
	if (!ret)
		parts->region = NULL;
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

	dma = kmem_cache_zalloc(prereg_dma_cache, GFP_KERNEL);
	if (!dma)
		return -ENOMEM;
	dma->mapping.range.first = iova;
	dma->mapping.range.last = iova + bytes - 1;
	dma->mapping.registration = &dma->registration;
	dma->mapping.prot = prot;
	dma->registration.range.first = vaddr;
	dma->registration.range.last = vaddr + bytes - 1;

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
		ret = dma_parts_get(&parts, vaddr, bytes, prot, has_hw);
	} while (!ret);

	if (ret)
		kmem_cache_free(prereg_dma_cache, dma);
	dma_parts_put(&parts);
	return ret;
}

/* Does a mapping lie across the cut, that is on both sides of it? */
static bool dma_is_cut(struct prereg_container *container, u64 cut)
{
	const struct prereg_mapping *mapping =
		cut ? prereg_mapping_first(container, cut, cut) : NULL;

	return mapping && mapping->range.first != cut;
}

/*
 * Type 1 is as it was before mappings were remembered: an UNMAP that begins inside a
 * mapping unmaps nothing, one that covers a mapping's first address all of it. v2
 * refuses to cut one.
 */
static int dma_take(struct prereg_container *container, u64 iova, u64 last,
		    bool all, struct rb_root *taken)
{
	if (!all && (iova | (last + 1)) & (prereg_type1_page(container) - 1))
		return -EINVAL;
	if (dma_is_cut(container, iova))
		return container->type1->v2 ? -EINVAL : 0;
	if (container->type1->v2 && dma_is_cut(container, last + 1))
		return -EINVAL;
	prereg_mapping_take(container, iova, last, NULL, taken);
	return 0;
}

int prereg_dma_unmap(unsigned long id, u64 iova, u64 last, bool all,
		     u64 *unmapped)
{
	struct rb_root taken = RB_ROOT, own = RB_ROOT;
	struct prereg_owner *owner, *own_owner = NULL;
	struct prereg_container *container;
	struct prereg_mapping *mapping;
	unsigned long keep_pages;
	int ret;

	*unmapped = 0;
	container = prereg_container_lock(id);
	if (IS_ERR(container))
		return PTR_ERR(container);
	ret = dma_take(container, iova, last, all, &taken);
	keep_pages = container->type1->keep_pages;

	/*
	 * What is another process's is put under the lock, for which its release() waits.
	 * Ours is put without, so other threads go on mapping: we hold mm_users,
	 * so there is no release().
	 */
	while ((mapping = prereg_mapping_pop(&taken))) {
		owner = mapping->registration->owner;
		*unmapped += mapping->range.last - mapping->range.first + 1;
		if (owner->mm == current->mm) {
			own_owner = owner;
			prereg_range_insert(&mapping->range, &own);
		} else {
			dma_free(mapping_dma(mapping), 0);
			prereg_owner_pay(owner);
		}
	}
	/* A tear-down of the container may put it once the lock is dropped. */
	if (own_owner)
		prereg_owner_hold(own_owner);
	prereg_container_unlock(container);

	if (own_owner) {
		dmas_free(&own, keep_pages);
		prereg_owner_pay(own_owner);
		prereg_owner_drop(own_owner);
	}
	return ret;
}
