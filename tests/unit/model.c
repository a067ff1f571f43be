// SPDX-License-Identifier: GPL-2.0
#include "model.h"

const struct model_arena model_arenas[MODEL_ARENAS] = {
	{ 0, 1024, 0 },
	/* Around the end of the default window. */
	{ 2 * GIB - 256 * 1024, 128, 1024 },
	/* Where the second window starts. */
	{ 64 * GIB, 512, 1152 },
	/* Around the end of unit_other's aperture. */
	{ TIB - 64 * 1024, 32, 1664 },
	/* Where the second window starts beside one of 2^41 bytes. */
	{ 2 * TIB, 64, 1696 },
};

struct iommu_group *const model_groups[MODEL_GROUPS] = {
	&unit_small_group, &unit_small_group2, &unit_other_group,
	&unit_vtd_group, &unit_vtd_group2, &unit_amd_group,
};

int model_page_number(u64 iova)
{
	const struct model_arena *a;

	for (a = model_arenas; a < model_arenas + MODEL_ARENAS; a++)
		if (iova >= a->start && (iova - a->start) >> PAGE_SHIFT < a->npages)
			return a->first + ((iova - a->start) >> PAGE_SHIFT);
	return -1;
}

u64 model_page_iova(unsigned int page)
{
	const struct model_arena *a = model_arenas;

	while (page >= a->first + a->npages)
		a++;
	return a->start + ((u64)(page - a->first) << PAGE_SHIFT);
}

/* Does the page go on with what the one before maps? */
static bool page_continues(const struct model_container *c, unsigned int page)
{
	const struct model_page *p = &c->pages[page];

	return page && !p->cut && p[-1].vaddr && p[-1].map == p->map &&
	       model_page_iova(page) == model_page_iova(page - 1) + PAGE_SIZE;
}

unsigned long model_mappings(const struct model_container *c, u64 *cost)
{
	unsigned long mappings = 0;
	unsigned int i, npages = 0;

	/* Each costs one, and one for every 2 MiB in it. */
	*cost = 0;
	for (i = 0; i < MODEL_PAGES; i++) {
		if (!c->pages[i].vaddr)
			continue;
		if (!page_continues(c, i)) {
			mappings++;
			++*cost;
			npages = 0;
		}
		if (++npages % 512 == 0)
			++*cost;
	}
	return mappings;
}

/* A mapping that lies across iova becomes two. */
static int cut(struct model *m, struct model_container *c, u64 iova)
{
	int page = model_page_number(iova);
	u64 cost;

	if (page < 0 || !c->pages[page].vaddr || !page_continues(c, page))
		return 0;
	model_mappings(c, &cost);
	if (cost >= 2 * m->mappings_max)
		return -ENOSPC;
	c->pages[page].cut = true;
	return 0;
}

static bool any_mapped(const struct model_container *c, u64 first, u64 last)
{
	unsigned int i;

	for (i = 0; i < MODEL_PAGES; i++)
		if (c->pages[i].vaddr && model_page_iova(i) >= first &&
		    model_page_iova(i) <= last)
			return true;
	return false;
}

unsigned long model_mapped(const struct model_container *c)
{
	unsigned long mapped = 0;
	unsigned int i;

	for (i = 0; i < MODEL_PAGES; i++)
		mapped += !!c->pages[i].vaddr;
	return mapped;
}

unsigned long model_charged(const struct model *m, int process)
{
	unsigned long npages = 0;
	unsigned int i;

	for (i = 0; i < m->nregions; i++)
		if (m->regions[i].process == process)
			npages += m->regions[i].range.bytes >> PAGE_SHIFT;
	return npages;
}

/* ---- ranges ---------------------------------------------------------------- */

static bool range_same(struct model_range a, struct model_range b)
{
	return a.vaddr == b.vaddr && a.bytes == b.bytes;
}

static bool range_overlaps(struct model_range a, struct model_range b)
{
	return a.vaddr < b.vaddr + b.bytes && b.vaddr < a.vaddr + a.bytes;
}

static bool range_aligned(struct model_range range)
{
	return !((range.vaddr | range.bytes) & (PAGE_SIZE - 1));
}

/* Is the process neither owner nor free to become it? */
static bool strange(const struct model_container *c, int process)
{
	return c->owner != MODEL_NOBODY && c->owner != process;
}

static void region_drop(struct model *m, int process, struct model_range range)
{
	unsigned int i;

	for (i = 0; i < m->nregions; i++) {
		struct model_region *r = &m->regions[i];

		if (r->process != process || !range_same(r->range, range))
			continue;
		if (!--r->users)
			*r = m->regions[--m->nregions];
		return;
	}
}

static int registration_find(const struct model_container *c,
			     struct model_range range)
{
	unsigned int i;

	for (i = 0; i < c->nregistrations; i++)
		if (range_same(c->registrations[i], range))
			return i;
	return -1;
}

static void registration_drop(struct model *m, struct model_container *c, int i)
{
	region_drop(m, c->owner, c->registrations[i]);
	c->registrations[i] = c->registrations[--c->nregistrations];
}

int model_register(struct model *m, int container, int process,
		   struct model_range range)
{
	struct model_container *c = &m->containers[container];
	struct model_region *shared = NULL;
	unsigned int i;
	u64 done;

	if (strange(c, process))
		return -EPERM;
	if (!range_aligned(range) || !range.bytes)
		return -EINVAL;
	for (i = 0; i < c->nregistrations; i++)
		if (range_overlaps(c->registrations[i], range))
			return range_same(c->registrations[i], range) ? -EBUSY : -EINVAL;
	for (i = 0; i < m->nregions; i++) {
		if (m->regions[i].process != process ||
		    !range_overlaps(m->regions[i].range, range))
			continue;
		if (!range_same(m->regions[i].range, range))
			return -EINVAL;
		shared = &m->regions[i];
	}
	if (!shared) {
		if (model_charged(m, process) + (range.bytes >> PAGE_SHIFT) >
		    m->mm[process]->limit)
			return -ENOMEM;
		for (done = 0; done < range.bytes; done += PAGE_SIZE)
			if (!fake_mm_pfn(m->mm[process], range.vaddr + done))
				return -EFAULT;
		shared = &m->regions[m->nregions++];
		*shared = (struct model_region) { process, range, 0 };
	}
	shared->users++;
	c->registrations[c->nregistrations++] = range;
	c->owner = process;
	c->may_map = true;
	return 0;
}

int model_unregister(struct model *m, int container, int process,
		     struct model_range range)
{
	struct model_container *c = &m->containers[container];
	unsigned int i;
	int found;

	if (strange(c, process))
		return -EPERM;
	if (!range_aligned(range))
		return -EINVAL;
	if (c->owner == MODEL_NOBODY)
		return -EPERM;
	found = registration_find(c, range);
	if (found < 0)
		return -ENOENT;
	for (i = 0; i < MODEL_PAGES; i++)
		if (c->pages[i].vaddr >= range.vaddr &&
		    c->pages[i].vaddr < range.vaddr + range.bytes)
			return -EBUSY;
	registration_drop(m, c, found);
	return 0;
}

/* ---- mapping ---------------------------------------------------------------- */

static struct model_window *window_at(struct model_container *c, u64 iova)
{
	struct model_window *w;

	for (w = c->windows; w < c->windows + 2; w++)
		if (w->shift && iova >= w->start && iova - w->start < w->bytes)
			return w;
	return NULL;
}

/* The rules that MAP and UNMAP share, in their order. */
static int window_check(struct model_container *c, u64 iova, u64 bytes, u64 vaddr)
{
	struct model_window *w = window_at(c, iova);

	if (!w)
		return -ENXIO;
	if ((iova | bytes | vaddr) & (BIT_ULL(w->shift) - 1))
		return -EINVAL;
	if (bytes > w->bytes - (iova - w->start))
		return -ENXIO;
	return 0;
}

/* May the group's devices use the range? */
static bool group_usable(int group, u64 first, u64 last)
{
	const struct iommu_group *g = model_groups[group];
	unsigned int i;

	if (first < g->dev.bus->aperture_first || last > g->dev.bus->aperture_last)
		return false;
	for (i = 0; i < g->nresv; i++)
		if (g->resv[i].type != IOMMU_RESV_DIRECT_RELAXABLE &&
		    first < g->resv[i].start + g->resv[i].length &&
		    last >= g->resv[i].start)
			return false;
	return true;
}

int model_map(struct model *m, int container, int process, u64 iova,
	      struct model_range range, int prot)
{
	struct model_container *c = &m->containers[container];
	const struct model_range *r = NULL;
	u64 done, cost;
	unsigned int i;
	int ret;

	if (strange(c, process) || !c->may_map)
		return -EPERM;
	if (!c->groups)
		return -ENXIO;
	if (!prot || !range.bytes)
		return -EINVAL;
	ret = window_check(c, iova, range.bytes, range.vaddr);
	if (ret)
		return ret;
	for (i = 0; i < c->nregistrations; i++)
		if (range.vaddr >= c->registrations[i].vaddr &&
		    range.vaddr - c->registrations[i].vaddr < c->registrations[i].bytes)
			r = &c->registrations[i];
	if (!r || range.bytes > r->bytes - (range.vaddr - r->vaddr))
		return -EINVAL;
	for (i = 0; i < MODEL_GROUPS; i++)
		if (c->groups & BIT(i) &&
		    !group_usable(i, iova, iova + range.bytes - 1))
			return -ENXIO;
	model_mappings(c, &cost);
	if (cost + 1 + range.bytes / (2 * MIB) > m->mappings_max)
		return -ENOSPC;
	if (any_mapped(c, iova, iova + range.bytes - 1)) {
		ret = cut(m, c, iova);
		if (!ret)
			ret = cut(m, c, iova + range.bytes);
		if (ret)
			return ret;
	}

	m->maps++;
	for (done = 0; done < range.bytes; done += PAGE_SIZE)
		c->pages[model_page_number(iova + done)] = (struct model_page) {
			.vaddr	= range.vaddr + done,
			.prot	= prot,
			.map	= m->maps,
		};
	return 0;
}

static void pages_clear(struct model_container *c, u64 first, u64 last)
{
	unsigned int i;

	for (i = 0; i < MODEL_PAGES; i++)
		if (model_page_iova(i) >= first && model_page_iova(i) <= last)
			c->pages[i] = (struct model_page) { 0 };
}

int model_unmap(struct model *m, int container, int process, u64 iova,
		u64 bytes)
{
	struct model_container *c = &m->containers[container];
	int ret;

	if (strange(c, process) || !c->may_map)
		return -EPERM;
	ret = window_check(c, iova, bytes, 0);
	if (ret || !bytes)
		return ret;
	ret = cut(m, c, iova);
	if (!ret)
		ret = cut(m, c, iova + bytes);
	if (!ret)
		pages_clear(c, iova, iova + bytes - 1);
	return ret;
}

/* ---- batches: one entry after the other, and back if one is refused ------------ */

int model_batch_map(struct model *m, int container, int process,
		    const struct vfio_prereg_batch_entry *entries, u32 n,
		    u32 *refused)
{
	static struct model_container before;
	struct model_container *c = &m->containers[container];
	int ret;
	u32 i;

	*refused = n;
	if (strange(c, process) || !c->may_map)
		return -EPERM;
	if (!c->groups)
		return -ENXIO;
	before = *c;
	for (i = 0; i < n; i++) {
		const struct vfio_prereg_batch_entry *e = &entries[i];
		bool there = any_mapped(c, e->iova, e->iova + e->size - 1);

		ret = model_map(m, container, process, e->iova,
				(struct model_range) { e->vaddr, e->size }, e->flags);
		if (there && (!ret || ret == -ENOSPC))
			ret = -EEXIST;
		if (!ret)
			continue;
		*c = before;
		*refused = i;
		return ret;
	}
	return 0;
}

int model_batch_unmap(struct model *m, int container, int process,
		      const struct vfio_prereg_batch_entry *entries, u32 n,
		      u32 *refused)
{
	struct model_container *c = &m->containers[container];
	int ret, page, end;
	u32 i;

	*refused = n;
	if (strange(c, process) || !c->may_map)
		return -EPERM;
	if (!c->groups)
		return -ENXIO;
	for (i = 0; i < n; i++) {
		ret = entries[i].size ? window_check(c, entries[i].iova,
						     entries[i].size, 0) : -EINVAL;
		page = model_page_number(entries[i].iova);
		end = model_page_number(entries[i].iova + entries[i].size);
		if (!ret && ((page >= 0 && c->pages[page].vaddr && page_continues(c, page)) ||
			     (end >= 0 && c->pages[end].vaddr && page_continues(c, end))))
			ret = -EINVAL;
		if (ret) {
			*refused = i;
			return ret;
		}
	}
	for (i = 0; i < n; i++)
		pages_clear(c, entries[i].iova,
			    entries[i].iova + entries[i].size - 1);
	return 0;
}

/* ---- windows ---------------------------------------------------------------- */

int model_create(struct model *m, int container, int process, u32 shift,
		 u64 bytes, u64 *start)
{
	struct model_container *c = &m->containers[container];
	struct model_window *w = c->windows, *second = &c->windows[1];

	if (strange(c, process))
		return -EPERM;
	if (!c->groups)
		return -ENXIO;
	if (shift < 12 || shift > 30 || !is_power_of_2(bytes) ||
	    bytes < BIT_ULL(shift))
		return -EINVAL;
	if (!w->shift) {
		*start = 0;
		if (second->shift && bytes > second->start)
			return -ENOSPC;
	} else if (!second->shift) {
		w = second;
		*start = c->windows[0].bytes > 64 * GIB ? c->windows[0].bytes :
							  64 * GIB;
	} else {
		return -ENOSPC;
	}
	*w = (struct model_window) { *start, bytes, shift };
	c->owner = process;
	return 0;
}

int model_remove(struct model *m, int container, int process, u64 start)
{
	struct model_container *c = &m->containers[container];
	struct model_window *w = window_at(c, start);

	if (strange(c, process))
		return -EPERM;
	if (!c->groups)
		return -ENXIO;
	if (!w || w->start != start)
		return -EINVAL;
	pages_clear(c, w->start, w->start + w->bytes - 1);
	w->shift = 0;
	c->owner = process;
	return 0;
}

/* The default window, as long as there is a group. */
static void windows_reset(struct model_container *c)
{
	c->windows[0] = c->windows[1] = (struct model_window) { 0 };
	if (c->groups)
		c->windows[0] = (struct model_window) { 0, 2 * GIB, 12 };
}

/* ---- groups, the beginning and the end ----------------------------------------- */

int model_attach(struct model *m, int container, int group)
{
	struct model_container *c = &m->containers[container];
	unsigned int i;

	for (i = 0; i < MODEL_PAGES; i++)
		if (c->pages[i].vaddr &&
		    !group_usable(group, model_page_iova(i),
				  model_page_iova(i) + PAGE_SIZE - 1))
			return -EINVAL;
	c->groups |= BIT(group);
	if (c->groups == BIT(group))
		windows_reset(c);
	return 0;
}

void model_detach(struct model *m, int container, int group)
{
	struct model_container *c = &m->containers[container];

	c->groups &= ~BIT(group);
	if (!c->groups) {
		pages_clear(c, 0, U64_MAX);
		windows_reset(c);
	}
}

static void disown(struct model *m, struct model_container *c)
{
	pages_clear(c, 0, U64_MAX);
	while (c->nregistrations)
		registration_drop(m, c, 0);
	windows_reset(c);
	c->owner = MODEL_NOBODY;
	c->may_map = false;
}

void model_open(struct model *m, int container)
{
	m->containers[container] = (struct model_container) {
		.owner = MODEL_NOBODY,
	};
}

void model_close(struct model *m, int container)
{
	disown(m, &m->containers[container]);
	model_open(m, container);
}

void model_exit(struct model *m, int process)
{
	int i;

	for (i = 0; i < MODEL_CONTAINERS; i++)
		if (m->containers[i].owner == process)
			disown(m, &m->containers[i]);
}
