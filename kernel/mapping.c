// SPDX-License-Identifier: GPL-2.0-only
/*
 * mapping: which IOVA maps what, and the order in which that changes.
 *
 * One MAP makes one mapping, so bookkeeping grows with the number of maps, not
 * with their size. Neighbours are never merged: what was mapped by two calls
 * is two sets of hardware entries, and unmapping one does not touch the other.
 *
 * SPLITTING
 *
 * UNMAP and a replacing MAP may begin or end inside a mapping. It is first cut
 * there, which changes nothing anybody can see in the tables' meaning. If a
 * large hardware page may lie across the cut it is removed, flushed and
 * entered again in two halves, as IOMMU drivers require (VT-d would take the
 * memory of a large page for a page table if asked to unmap a part of it). DMA to
 * the rest of that one hardware page can fault in between; docs/uapi.md says so.
 *
 * OUT OF PAGE TABLES
 *
 * A call that fails puts back what it took away. Only if the IOMMU driver cannot
 * even find memory for that, the entries stay away, the tree says so too,
 * and the kernel log has a line. On VT-d, AMD-Vi and SMMUv3 a large page fits
 * back where it was without memory.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/iommu.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "prereg.h"

/* A range that leaves the hardware in one call ends at the first mapping behind. */
#define PREREG_REVOKE_BYTES	(64ULL << 30)

static unsigned int mappings_max;
module_param(mappings_max, uint, 0644);
MODULE_PARM_DESC(mappings_max,
		 "Mappings a container may have; one counts once more for every 2 MiB of it, as each can cost the IOMMU a page of tables. Default 1048576, or more where RAM is more than 512 GiB");

static struct kmem_cache *prereg_mapping_cache;

/* Spares clearing each (init_on_alloc): whoever allocates one sets every field. */
static void prereg_mapping_construct(void *mapping)
{
	memset(mapping, 0, sizeof(struct prereg_mapping));
}

int prereg_mapping_init(void)
{
	if (!mappings_max)
		mappings_max = clamp(totalram_pages() / 128, 1UL << 20,
				     (unsigned long)UINT_MAX);
	prereg_mapping_cache = kmem_cache_create("prereg_mapping",
						 sizeof(struct prereg_mapping),
						 0, SLAB_ACCOUNT,
						 prereg_mapping_construct);
	return prereg_mapping_cache ? 0 : -ENOMEM;
}

void prereg_mapping_exit(void)
{
	kmem_cache_destroy(prereg_mapping_cache);
}

bool prereg_mappings_alloc(struct prereg_mapping **mappings, unsigned int n)
{
	return kmem_cache_alloc_bulk(prereg_mapping_cache, GFP_KERNEL, n,
				     (void **)mappings);
}

void prereg_mappings_free(struct prereg_mapping **mappings, unsigned int n)
{
	kmem_cache_free_bulk(prereg_mapping_cache, n, (void **)mappings);
}

/* What a mapping counts against mappings_max. */
static u64 mapping_cost(u64 bytes)
{
	return 1 + bytes / SZ_2M;
}

struct prereg_mapping *
prereg_mapping_first(struct prereg_container *container, u64 first, u64 last)
{
	struct prereg_range *range =
		prereg_range_find(&container->mappings, first, last);

	if (!range)
		return NULL;
	return container_of(range, struct prereg_mapping, range);
}

/* Enter a mapping in the tree; false with nothing done: it overlaps one there. */
static bool mapping_insert(struct prereg_container *container,
			   struct prereg_mapping *mapping)
{
	if (!prereg_range_insert(&mapping->range, &container->mappings))
		return false;
	mapping->registration->mappings++;
	container->nmappings++;
	container->mapped_bytes += prereg_mapping_bytes(mapping);
	container->cost += mapping_cost(prereg_mapping_bytes(mapping));
	return true;
}

static void mapping_remove(struct prereg_container *container,
			   struct prereg_mapping *mapping)
{
	prereg_range_remove(&mapping->range, &container->mappings);
	mapping->registration->mappings--;
	container->nmappings--;
	container->mapped_bytes -= prereg_mapping_bytes(mapping);
	container->cost -= mapping_cost(prereg_mapping_bytes(mapping));
}

/* Change a mapping's range; the caller takes care of the hardware. */
static void mapping_resize(struct prereg_container *container,
			   struct prereg_mapping *mapping, u64 first, u64 last)
{
	mapping_remove(container, mapping);
	mapping->offset += first - mapping->range.first;
	mapping->range.first = first;
	mapping->range.last = last;
	WARN_ON(!mapping_insert(container, mapping));
}

/* What it maps may still be reached by a device. */
static void mapping_stick(const struct prereg_mapping *mapping)
{
	mapping->registration->region->stuck = true;
}

static int mapping_map(struct prereg_container *container,
		       const struct prereg_mapping *mapping, u64 first,
		       u64 last, bool interruptible)
{
	struct prereg_hw *hw = container->hw;
	int ret;

	ret = prereg_hw_map(hw, first, mapping->registration->region,
			    mapping->offset + (first - mapping->range.first),
			    last - first + 1, mapping->prot, interruptible);
	if (ret && hw->remains)
		mapping_stick(mapping);
	return ret;
}

/*
 * Remove the entries of [first, last]; every page of it is mapped. Return: whether they
 * are gone. Which ones stayed is not known: all that may be meant is kept.
 */
static bool mapping_unmap(struct prereg_container *container, u64 first,
			  u64 last)
{
	if (prereg_hw_unmap(container->hw, first, last - first + 1))
		return true;
	prereg_container_stick(container);
	return false;
}

static void mapping_lost(u64 first, u64 last)
{
	pr_warn_ratelimited("IOMMU out of memory for page tables: IOVA %#llx to %#llx is no longer mapped\n",
			    first, last);
}

struct prereg_mapping *
prereg_mapping_next(struct prereg_container *container,
		    struct prereg_mapping *mapping)
{
	struct prereg_range *range;

	if (!mapping)
		return prereg_mapping_first(container, 0, U64_MAX);
	range = prereg_range_next(&mapping->range);
	return range ? container_of(range, struct prereg_mapping, range) : NULL;
}

bool prereg_iova_mapped(struct prereg_container *container, u64 first,
			u64 last)
{
	return prereg_mapping_first(container, first, last);
}

/*
 * The largest range around the cut that one hardware page may cover: inside the
 * mapping, as aligned as it is long, in IOVA as in memory.
 */
static bool mapping_block_at(struct prereg_container *container,
			     const struct prereg_mapping *mapping, u64 cut,
			     u64 *first, u64 *last)
{
	unsigned long sizes = container->hw->ops->block_sizes(container->hw);

	for (; sizes; sizes &= ~BIT(__fls(sizes))) {
		u64 bytes = BIT_ULL(__fls(sizes));

		*first = round_down(cut, bytes);
		*last = *first + bytes - 1;
		if (*first == cut || *first < mapping->range.first ||
		    *last > mapping->range.last)
			continue;
		if (prereg_region_is_block(mapping->registration->region,
					   mapping->offset + (*first -
					   mapping->range.first), bytes))
			return true;
	}
	return false;
}

/* Replace the hardware page over [first, last] by entries that end at the cut. */
static int mapping_break_block(struct prereg_container *container,
			       struct prereg_mapping *mapping, u64 first,
			       u64 cut, u64 last)
{
	struct prereg_hw *hw = container->hw;
	int ret;

	mapping_unmap(container, first, last);
	prereg_hw_flush(hw);
	ret = mapping_map(container, mapping, first, cut - 1, false);
	if (ret)
		goto restore;
	ret = mapping_map(container, mapping, cut, last, false);
	if (ret)
		goto unmap_head;
	return 0;

unmap_head:
	mapping_unmap(container, first, cut - 1);
	prereg_hw_flush(hw);
restore:
	if (mapping_map(container, mapping, first, last, false))
		return -ENOTRECOVERABLE;
	return ret;
}

/*
 * Make a mapping boundary at cut, if a mapping lies across it.
 * Return: 0, -ENOMEM, -ENOSPC with nothing changed (but see OUT OF PAGE TABLES).
 */
static int mapping_cut(struct prereg_container *container, u64 cut)
{
	struct prereg_mapping *mapping, *tail;
	u64 start, first, last, end;
	int ret = 0;

	mapping = cut ? prereg_mapping_first(container, cut, cut) : NULL;
	if (!mapping || mapping->range.first == cut)
		return 0;

	/* Room for cuts is left where MAP says that there is none. */
	if (container->cost >= 2ULL * READ_ONCE(mappings_max))
		return -ENOSPC;
	tail = kmem_cache_alloc(prereg_mapping_cache, GFP_KERNEL);
	if (!tail)
		return -ENOMEM;

	start = mapping->range.first;
	end = mapping->range.last;
	if (mapping_block_at(container, mapping, cut, &first, &last))
		ret = mapping_break_block(container, mapping, first, cut, last);
	if (ret && ret != -ENOTRECOVERABLE) {
		kmem_cache_free(prereg_mapping_cache, tail);
		return ret;
	}

	*tail = *mapping;
	if (!ret) {
		mapping_resize(container, mapping, start, cut - 1);
		tail->offset += cut - start;
		tail->range.first = cut;
		WARN_ON(!mapping_insert(container, tail));
		return 0;
	}

	/* [first, last] is lost; keep what is left and right of it. */
	mapping_lost(first, last);
	if (start < first) {
		mapping_resize(container, mapping, start, first - 1);
	} else {
		mapping_remove(container, mapping);
		kmem_cache_free(prereg_mapping_cache, mapping);
	}
	if (last < end) {
		tail->offset += last + 1 - start;
		tail->range.first = last + 1;
		WARN_ON(!mapping_insert(container, tail));
	} else {
		kmem_cache_free(prereg_mapping_cache, tail);
	}
	return -ENOMEM;
}

/* See prereg_revoke_range(); of one owner's memory, or of all; they go to @old or are freed. */
static __always_inline void
revoke_range(struct prereg_revoke *revoke, u64 first, u64 last,
	     const struct prereg_owner *owner, struct llist_head *old)
{
	struct prereg_container *container = revoke->container;
	struct prereg_mapping *mapping, *next;

	for (mapping = prereg_mapping_first(container, first, last);
	     mapping && mapping->range.first <= last; mapping = next) {
		next = mapping->range.last < last ?
		       prereg_mapping_next(container, mapping) : NULL;
		if (owner && mapping->registration->owner != owner)
			continue;
		mapping_remove(container, mapping);

		/* Neighbours leave the hardware in one call. */
		if (revoke->any && mapping->range.first == revoke->last + 1 &&
		    revoke->last - revoke->first < PREREG_REVOKE_BYTES) {
			revoke->last = mapping->range.last;
		} else {
			if (revoke->any && !mapping_unmap(container,
							  revoke->first,
							  revoke->last))
				revoke->stays = true;
			revoke->first = mapping->range.first;
			revoke->last = mapping->range.last;
			/* Without an IOMMU there is nothing to leave. */
			revoke->any = container->hw;
		}

		if (old)
			__llist_add(&mapping->range.taken, old);
		else
			kmem_cache_free(prereg_mapping_cache, mapping);
		if (next)
			cond_resched();
	}
}

void prereg_revoke_range(struct prereg_revoke *revoke, u64 first, u64 last)
{
	lockdep_assert_held(&revoke->container->lock);
	revoke_range(revoke, first, last, NULL, NULL);
}

static __always_inline void revoke_flush(struct prereg_revoke *revoke)
{
	if (!revoke->any)
		return;
	if (!mapping_unmap(revoke->container, revoke->first, revoke->last))
		revoke->stays = true;
	prereg_hw_flush(revoke->container->hw);
	revoke->any = false;
}

void prereg_revoke_flush(struct prereg_revoke *revoke)
{
	revoke_flush(revoke);
}

/*
 * Take all mappings of [first, last] out of the tree and the hardware, then
 * flush; of one owner's memory, or of all. They go to @old, or are freed where
 * that is NULL. container->lock keeps anybody from acting on it before the flush.
 */
static void mapping_revoke(struct prereg_container *container, u64 first,
			   u64 last, const struct prereg_owner *owner,
			   struct llist_head *old)
{
	struct prereg_revoke revoke = { .container = container };
	struct prereg_mapping *mapping;

	revoke_range(&revoke, first, last, owner, old);
	revoke_flush(&revoke);
	if (likely(!revoke.stays) || !old)
		return;
	llist_for_each_entry(mapping, old->first, range.taken)
		mapping_stick(mapping);
}

void prereg_mapping_take(struct prereg_container *container, u64 first,
			 u64 last, const struct prereg_owner *owner,
			 struct llist_head *taken)
{
	lockdep_assert_held(&container->lock);
	mapping_revoke(container, first, last, owner, taken);
}

void prereg_mappings_unmap(struct prereg_container *container)
{
	struct prereg_mapping *mapping = NULL;
	bool gone = true;

	while ((mapping = prereg_mapping_next(container, mapping))) {
		gone &= mapping_unmap(container, mapping->range.first,
				      mapping->range.last);
		cond_resched();
	}
	prereg_hw_flush(container->hw);
	if (likely(gone))
		return;
	while ((mapping = prereg_mapping_next(container, mapping)))
		mapping_stick(mapping);
}

void prereg_iova_revoke(struct prereg_container *container, u64 first,
			u64 last)
{
	lockdep_assert_held(&container->lock);
	mapping_revoke(container, first, last, NULL, NULL);
}

/* Make [first, last] begin and end at mapping boundaries; as mapping_cut(). */
static int mapping_cut_out(struct prereg_container *container, u64 first,
			   u64 last)
{
	const struct prereg_mapping *mapping =
		prereg_mapping_first(container, first, last);
	int ret;

	/* Nothing there, or just what one MAP made: the usual cases. */
	if (!mapping || (mapping->range.first >= first &&
			 mapping->range.last == last))
		return 0;
	ret = mapping_cut(container, first);
	if (!ret)
		ret = mapping_cut(container, last + 1);
	return ret;
}

int prereg_iova_unmap(struct prereg_container *container, u64 iova, u64 bytes)
{
	int ret;

	lockdep_assert_held(&container->lock);

	ret = mapping_cut_out(container, iova, iova + bytes - 1);
	if (!ret)
		prereg_iova_revoke(container, iova, iova + bytes - 1);
	return ret;
}

struct prereg_mapping *prereg_mapping_pop(struct llist_head *taken)
{
	struct llist_node *node = taken->first;

	if (!node)
		return NULL;
	taken->first = node->next;
	return llist_entry(node, struct prereg_mapping, range.taken);
}

static void mapping_restore(struct prereg_container *container,
			    struct llist_head *old)
{
	struct prereg_mapping *mapping;

	while ((mapping = prereg_mapping_pop(old))) {
		if (mapping_map(container, mapping, mapping->range.first,
				mapping->range.last, false)) {
			mapping_lost(mapping->range.first, mapping->range.last);
			kmem_cache_free(prereg_mapping_cache, mapping);
		} else {
			WARN_ON(!mapping_insert(container, mapping));
		}
		cond_resched();
	}
}

u64 prereg_mappings_left(const struct prereg_container *container)
{
	u64 max = READ_ONCE(mappings_max);

	return max > container->cost ? max - container->cost : 0;
}

int prereg_mapping_enter(struct prereg_container *container,
			 struct prereg_mapping *mapping)
{
	lockdep_assert_held(&container->lock);

	if (!mapping_insert(container, mapping))
		return -EEXIST;
	if (container->cost > READ_ONCE(mappings_max)) {
		mapping_remove(container, mapping);
		return -ENOSPC;
	}
	return 0;
}

void prereg_mapping_leave(struct prereg_container *container,
			  struct prereg_mapping *mapping)
{
	lockdep_assert_held(&container->lock);
	mapping_remove(container, mapping);
}

int prereg_mapping_map(struct prereg_container *container,
		       const struct prereg_mapping *mapping)
{
	lockdep_assert_held(&container->lock);
	return mapping_map(container, mapping, mapping->range.first,
			   mapping->range.last, true);
}

int prereg_mapping_map_list(struct prereg_container *container,
			    struct prereg_mapping *const *mappings,
			    unsigned int n)
{
	unsigned int i;
	int ret;

	lockdep_assert_held(&container->lock);
	ret = prereg_hw_map_list(container->hw, mappings, n, true);
	if (ret && container->hw->remains)
		for (i = 0; i < n; i++)
			mapping_stick(mappings[i]);
	return ret;
}

long prereg_iova_map(struct prereg_container *container,
		     struct prereg_window *window, u64 iova, u64 bytes,
		     unsigned long vaddr, int prot)
{
	LLIST_HEAD(old);
	struct prereg_registration *registration;
	struct prereg_mapping *mapping, *replaced;
	u64 last = iova + bytes - 1;
	long ret;

	lockdep_assert_held(&container->lock);

	registration = prereg_container_registration(container, vaddr);
	if (!registration || bytes - 1 > registration->range.last - vaddr)
		return -EINVAL;
	ret = container->hw->ops->check(container->hw, window, iova,
					registration->region,
					vaddr - registration->range.first,
					bytes);
	if (ret)
		return ret;
	if (mapping_cost(bytes) > prereg_mappings_left(container))
		return -ENOSPC;
	if (unlikely(!window->open)) {
		ret = prereg_window_open(container, window, 0);
		if (ret)
			return ret;
	}

	mapping = kmem_cache_alloc(prereg_mapping_cache, GFP_KERNEL);
	if (!mapping)
		return -ENOMEM;
	mapping->range.first = iova;
	mapping->range.last = last;
	mapping->registration = registration;
	mapping->offset = vaddr - registration->range.first;
	mapping->prot = prot;

	if (!mapping_insert(container, mapping)) {
		ret = mapping_cut_out(container, iova, last);
		if (ret)
			goto free_mapping;
		mapping_revoke(container, iova, last, NULL, &old);
		WARN_ON(!mapping_insert(container, mapping));
	}

	if (prot & IOMMU_WRITE)
		WRITE_ONCE(registration->region->written, true);
	ret = mapping_map(container, mapping, iova, last, true);
	if (ret)
		goto restore;
	while ((replaced = prereg_mapping_pop(&old))) {
		kmem_cache_free(prereg_mapping_cache, replaced);
		cond_resched();
	}
	return 0;

restore:
	mapping_remove(container, mapping);
	mapping_restore(container, &old);
free_mapping:
	kmem_cache_free(prereg_mapping_cache, mapping);
	return ret;
}
