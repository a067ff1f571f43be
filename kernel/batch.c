// SPDX-License-Identifier: GPL-2.0-only
/*
 * batch: many MAPs, or many UNMAPs, in one call, all of them or none
 * (VFIO_PREREG_BATCH).
 *
 * What the call needs is copied and allocated before container->lock is taken, which
 * bounds it: VFIO_PREREG_BATCH_MAX entries of 32 bytes and as many mappings, all
 * charged to the caller's memory cgroup. Then every entry is checked, in the
 * caller's order, so that the first one that is refused is told; a MAP enters it
 * in the tree at once, which tells what overlaps, also among the entries. The
 * hardware comes last, in IOVA order: neighbours in one call, and for an UNMAP one
 * flush for all.
 *
 * HOW LONG THE LOCK IS HELD
 *
 * Over all of it, so nobody sees a half: some 900 instructions for each entry of a page, 60
 * million for the most that are allowed, and what a single MAP of memory of the same length
 * takes. Who waits meanwhile are calls by other threads of the owner and a group on its way in
 * or out. Strangers are refused without the lock, and the owner's release() comes behind all of its
 * calls anyway, of which a MAP gives up when it is killed. Others run in between
 * (cond_resched()). Only sorting, of entries that do not ascend, goes through at a stretch.
 */
#include <linux/err.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include "../include/uapi/linux/vfio_prereg.h"
#include "prereg.h"
#include "trace.h"

/* Entries after which others may run and a fatal signal is noticed. */
#define PREREG_BATCH_STEP	512

/**
 * struct prereg_batch - a call under way
 * @entries: what the caller wants, copied
 * @mappings: of a MAP: one for each entry, the first @allocated of them ours
 * @n: how many entries
 * @allocated: see @mappings
 * @refused: which entry, or @n: none
 * @ascending: do the entries ascend?
 * @registration: of the last entry that was looked at; the next one's, most often
 * @closed: the window that has yet to be opened, or NULL
 */
struct prereg_batch {
	struct vfio_prereg_batch_entry	*entries;
	struct prereg_mapping		**mappings;
	u32				n;
	u32				allocated;
	u32				refused;
	bool				ascending;
	struct prereg_registration	*registration;
	struct prereg_window		*closed;
};

/* Behind entry i, where everything can still be taken back. */
static int batch_pause(u32 i)
{
	if ((i + 1) % PREREG_BATCH_STEP)
		return 0;
	cond_resched();
	return fatal_signal_pending(current) ? -EINTR : 0;
}

static int batch_copy(struct prereg_batch *batch, void __user *user)
{
	const size_t bytes = sizeof(*batch->entries);
	u32 i, part;

	for (i = 0; i < batch->n; i += part) {
		part = min_t(u32, batch->n - i, PREREG_BATCH_STEP);
		if (copy_from_user(batch->entries + i, user + i * bytes,
				   part * bytes))
			return -EFAULT;
		if (batch->mappings) {
			if (!prereg_mappings_alloc(batch->mappings + i, part))
				return -ENOMEM;
			batch->allocated += part;
		}
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/* ---- MAP -------------------------------------------------------------------- */

static int batch_enter(struct prereg_container *container,
		       struct prereg_batch *batch, u32 i)
{
	const struct vfio_prereg_batch_entry *entry = &batch->entries[i];
	const u64 vaddr = untagged_addr(entry->vaddr);
	struct prereg_mapping *mapping = batch->mappings[i];
	struct prereg_registration *registration = batch->registration;
	struct prereg_window *window;
	int ret;

	if (entry->reserved || !entry->flags || !entry->size ||
	    entry->flags & ~(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE))
		return -EINVAL;
	window = prereg_spapr_window(container, entry->iova, entry->size,
				     vaddr);
	if (IS_ERR(window))
		return PTR_ERR(window);

	if (!registration || vaddr < registration->range.first ||
	    vaddr > registration->range.last)
		registration = prereg_container_registration(container, vaddr);
	if (!registration || entry->size - 1 > registration->range.last - vaddr)
		return -EINVAL;
	batch->registration = registration;

	mapping->range.first = entry->iova;
	mapping->range.last = entry->iova + entry->size - 1;
	mapping->registration = registration;
	mapping->offset = vaddr - registration->range.first;
	mapping->prot = 0;
	if (entry->flags & VFIO_DMA_MAP_FLAG_READ)
		mapping->prot |= IOMMU_READ;
	if (entry->flags & VFIO_DMA_MAP_FLAG_WRITE)
		mapping->prot |= IOMMU_WRITE;
	ret = container->hw->ops->check(container->hw, window, entry->iova,
					registration->region, mapping->offset,
					entry->size);
	if (!ret)
		ret = prereg_mapping_enter(container, mapping);
	if (!ret && unlikely(!window->open))
		batch->closed = window;
	return ret;
}

static int batch_compare_mappings(const void *a, const void *b)
{
	const struct prereg_mapping *const *one = a, *const *other = b;

	return (*one)->range.first < (*other)->range.first ? -1 : 1;
}

/* How many of the mappings, the first of which is there, may go into the hardware at once? */
static u32 batch_neighbours(struct prereg_container *container,
			    struct prereg_mapping **mappings, u32 max)
{
	const struct prereg_window *window =
		prereg_window_find(container, mappings[0]->range.first);
	u32 n = 1;

	while (n < max && mappings[n]->prot == mappings[0]->prot &&
	       mappings[n]->range.first == mappings[n - 1]->range.last + 1 &&
	       mappings[n]->range.last <= window->last)
		n++;
	return n;
}

/* Enter in the hardware what is in the tree. Return: 0; an error, and all of it is gone from both. */
static int batch_enter_hw(struct prereg_container *container,
			  struct prereg_batch *batch)
{
	struct prereg_mapping **mappings = batch->mappings;
	struct prereg_revoke revoke = { .container = container };
	u32 done = 0, n, i;
	int ret = 0;

	for (; done < batch->n && !ret; done += n) {
		n = batch_neighbours(container, mappings + done,
				     batch->n - done);
		for (i = done; i < done + n; i++)
			if (mappings[i]->prot & IOMMU_WRITE)
				WRITE_ONCE(mappings[i]->registration->region->written,
					   true);
		ret = prereg_mapping_map_list(container, mappings + done, n);
		if (ret)
			break;
		cond_resched();
		if (fatal_signal_pending(current))
			ret = -EINTR;
	}
	batch->allocated = 0;
	if (!ret)
		return 0;

	for (i = done; i < batch->n; i++) {
		prereg_mapping_leave(container, mappings[i]);
		batch_pause(i);
	}
	if (done < batch->n)
		prereg_mappings_free(mappings + done, batch->n - done);
	for (i = 0; i < done; i++) {
		prereg_revoke_range(&revoke, mappings[i]->range.first,
				    mappings[i]->range.last);
		batch_pause(i);
	}
	prereg_revoke_flush(&revoke);
	return ret;
}

/* Return: more than 0: pages to be charged for the closed window, and nothing has changed. */
static long batch_map_locked(struct prereg_container *container,
			     struct prereg_batch *batch)
{
	struct prereg_mapping **mappings = batch->mappings;
	long ret = 0;
	u32 i;

	batch->ascending = true;
	batch->registration = NULL;
	batch->closed = NULL;
	for (i = 0; i < batch->n; ) {
		ret = batch_enter(container, batch, i);
		if (ret) {
			batch->refused = i;
			goto leave;
		}
		if (i && mappings[i]->range.first < mappings[i - 1]->range.first)
			batch->ascending = false;
		ret = batch_pause(i++);
		if (ret)
			goto leave;
	}
	if (unlikely(batch->closed)) {
		ret = prereg_window_open(container, batch->closed, 0);
		if (ret)
			goto leave;
	}
	if (!batch->ascending)
		sort(mappings, batch->n, sizeof(*mappings),
		     batch_compare_mappings, NULL);
	return batch_enter_hw(container, batch);

leave:
	while (i--) {
		prereg_mapping_leave(container, mappings[i]);
		batch_pause(i);
	}
	return ret;
}

static long batch_map(unsigned long id, struct prereg_batch *batch)
{
	struct prereg_container *container;
	u64 iova = 0;
	long ret;

	for (;;) {
		container = prereg_spapr_lock_to_map(id);
		if (IS_ERR(container))
			return PTR_ERR(container);
		ret = batch_map_locked(container, batch);
		if (ret > 0)
			iova = batch->closed->start;
		prereg_container_unlock(container);
		if (ret <= 0)
			return ret;
		/* Its tables are to be charged first. */
		ret = prereg_spapr_window_charge(id, iova);
		if (ret)
			return ret;
	}
}

/* ---- UNMAP ------------------------------------------------------------------ */

/* May all that is mapped in the entry's range go without anything being cut? */
static int batch_check_unmap(struct prereg_container *container,
			     const struct vfio_prereg_batch_entry *entry)
{
	const struct prereg_mapping *mapping;
	struct prereg_window *window;
	u64 last;

	if (entry->reserved || entry->flags || entry->vaddr || !entry->size)
		return -EINVAL;
	window = prereg_spapr_window(container, entry->iova, entry->size, 0);
	if (IS_ERR(window))
		return PTR_ERR(window);

	last = entry->iova + entry->size - 1;
	mapping = prereg_mapping_first(container, entry->iova, last);
	if (!mapping || (mapping->range.first == entry->iova &&
			 mapping->range.last == last))
		return 0;
	if (mapping->range.first < entry->iova)
		return -EINVAL;
	mapping = prereg_mapping_first(container, last, last);
	return mapping && mapping->range.last > last ? -EINVAL : 0;
}

static int batch_compare_entries(const void *a, const void *b)
{
	const struct vfio_prereg_batch_entry *one = a, *other = b;

	if (one->iova == other->iova)
		return 0;
	return one->iova < other->iova ? -1 : 1;
}

static int batch_unmap_locked(struct prereg_container *container,
			      struct prereg_batch *batch)
{
	struct prereg_revoke revoke = { .container = container };
	struct vfio_prereg_batch_entry *entries = batch->entries;
	int ret;
	u32 i;

	batch->ascending = true;
	for (i = 0; i < batch->n; i++) {
		ret = batch_check_unmap(container, &entries[i]);
		if (ret) {
			batch->refused = i;
			return ret;
		}
		if (i && entries[i].iova < entries[i - 1].iova)
			batch->ascending = false;
		ret = batch_pause(i);
		if (ret)
			return ret;
	}
	if (!batch->ascending)
		sort(entries, batch->n, sizeof(*entries),
		     batch_compare_entries, NULL);

	/* From here on nothing can fail, nor does a signal stop it. */
	for (i = 0; i < batch->n; i++) {
		prereg_revoke_range(&revoke, entries[i].iova,
				    entries[i].iova + entries[i].size - 1);
		batch_pause(i);
	}
	prereg_revoke_flush(&revoke);
	return 0;
}

static long batch_unmap(unsigned long id, struct prereg_batch *batch)
{
	struct prereg_container *container = prereg_spapr_lock_to_map(id);
	int ret;

	if (IS_ERR(container))
		return PTR_ERR(container);
	ret = batch_unmap_locked(container, batch);
	prereg_container_unlock(container);
	return ret;
}

/* ---- both ------------------------------------------------------------------- */

static long batch_run(unsigned long id, struct prereg_batch *batch,
		      void __user *entries, bool map)
{
	long ret = -ENOMEM;

	batch->entries = kvmalloc_array(batch->n, sizeof(*batch->entries),
					GFP_KERNEL_ACCOUNT);
	if (!batch->entries)
		return -ENOMEM;
	if (map) {
		batch->mappings = kvmalloc_array(batch->n,
						 sizeof(*batch->mappings),
						 GFP_KERNEL_ACCOUNT);
		if (!batch->mappings)
			goto free_entries;
	}
	ret = batch_copy(batch, entries);
	if (!ret)
		ret = map ? batch_map(id, batch) : batch_unmap(id, batch);
	if (batch->allocated)
		prereg_mappings_free(batch->mappings, batch->allocated);
	kvfree(batch->mappings);
free_entries:
	kvfree(batch->entries);
	return ret;
}

long prereg_batch(unsigned long id, unsigned long arg)
{
	struct vfio_prereg_batch __user *user = (void __user *)arg;
	struct vfio_prereg_batch param;
	struct prereg_batch batch = {};
	long ret;

	if (prereg_container_is_foreign(id))
		return -EPERM;
	if (copy_from_user(&param, user, sizeof(param)))
		return -EFAULT;
	if (param.argsz < sizeof(param) ||
	    (param.flags != VFIO_PREREG_BATCH_MAP &&
	     param.flags != VFIO_PREREG_BATCH_UNMAP))
		return -EINVAL;

	/* The answer of a call that does its work, so that nothing can fail then. */
	batch.n = param.nentries;
	batch.refused = param.nentries;
	if (copy_to_user(&user->refused, &batch.refused, sizeof(batch.refused)))
		return -EFAULT;
	if (batch.n > VFIO_PREREG_BATCH_MAX)
		return -E2BIG;

	ret = batch_run(id, &batch, u64_to_user_ptr(param.entries),
			param.flags == VFIO_PREREG_BATCH_MAP);
	trace_prereg_batch(id, param.flags, batch.n, batch.refused, ret);
	if (batch.refused != batch.n &&
	    copy_to_user(&user->refused, &batch.refused, sizeof(batch.refused)))
		return -EFAULT;
	return ret;
}
