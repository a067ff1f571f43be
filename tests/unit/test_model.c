// SPDX-License-Identifier: GPL-2.0
/*
 * Long random runs against the model: after every call its answer, the books and
 * all that the IOMMUs hold must be the model's. Every few calls something in it
 * fails; then nothing may have changed. --seed and --steps replay a run.
 */
#include <stdarg.h>
#include <stdio.h>

#include "model.h"

static struct model model;
static struct unit_process processes[MODEL_PROCESSES];
static void *containers[MODEL_CONTAINERS];
static struct rng rng;
/* The call under test, for whoever has to find out what went wrong. */
static char call[256];
/* Calls that did their work, that met a fault; batches that did, that were refused. */
static unsigned long counts[4];

static u64 below(u64 n)
{
	return rng_below(&rng, n);
}

static bool chance(unsigned int percent)
{
	return below(100) < percent;
}

static void __attribute__((format(printf, 1, 2))) describe(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(call, sizeof(call), fmt, ap);
	va_end(ap);
}

/* ---- processes ---------------------------------------------------------------- */

/* Where each process has memory, with holes between. */
static const struct {
	u64	vaddr;
	u64	npages;
	u64	piece;	/* in pages */
} memories[] = {
	{ 0x100000000, 1024, 512 },
	{ 0x100800000, 512, 64 },
	{ 0x100c00000, 300, 1 },
	{ 0x100c00000 + 300 * PAGE_SIZE, 212, 4 },
	/* Longer than a segment of a region. */
	{ 0x110000000, PREREG_SEGMENT_PAGES + 320, 96 },
};

/* Frames of each process; its memories' begin 0x2000 after one another. */
#define FRAMES	0x40000UL
static unsigned long frames;

static void process_start(int p)
{
	size_t i;

	unit_process_start(&processes[p]);
	model.mm[p] = processes[p].mm;
	model.mm[p]->limit = PREREG_SEGMENT_PAGES + 2500;
	for (i = 0; i < ARRAY_SIZE(memories); i++)
		fake_mm_add(model.mm[p], &(struct fake_vma) {
			.start	= memories[i].vaddr,
			.npages	= memories[i].npages,
			/* The second one all processes share. */
			.pfn	= frames + (i == 1 ? 0 : FRAMES * p) + 0x2000 * i,
			.piece	= memories[i].piece,
			.kind	= i == 1 ? FAKE_SHMEM : FAKE_ANON,
			.order	= __ffs(memories[i].piece),
		});
}

/* ---- after every call ----------------------------------------------------------- */

/* The IOMMU's page is the model's, in every 4 KiB of it. */
static void check_entry(void *data, const struct fake_iommu_entry *entry)
{
	const struct model_container *c = data;
	u64 done;

	for (done = 0; done < entry->bytes; done += PAGE_SIZE) {
		int i = model_page_number(entry->iova + done);
		const struct model_page *page = &c->pages[i < 0 ? 0 : i];

		if (i >= 0 && page->vaddr && page->prot == (entry->prot & RW) &&
		    fake_mm_pfn(model.mm[c->owner], page->vaddr) ==
		    PHYS_PFN(entry->phys + done))
			continue;
		shim_fail("IOVA %#llx is not what the model maps",
			  entry->iova + done);
		return;
	}
}

static void check_books(const struct model_container *c,
			struct prereg_container *real)
{
	struct prereg_range *range;
	struct prereg_mapping *m = NULL;
	unsigned long n = 0;
	u64 iova, cost;
	int i;

	EXPECT(real->claim.owner ?
	       c->owner != MODEL_NOBODY &&
	       real->claim.owner->mm == model.mm[c->owner] :
	       c->owner == MODEL_NOBODY);
	EXPECT_EQ(real->may_map, c->may_map);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(real->windows[i].page_shift, c->windows[i].shift);
		if (!c->windows[i].shift)
			continue;
		EXPECT_EQ(real->windows[i].start, c->windows[i].start);
		EXPECT_EQ(real->windows[i].last - real->windows[i].start,
			  c->windows[i].bytes - 1);
	}
	for (range = prereg_range_find(&real->registrations, 0, U64_MAX); range;
	     range = prereg_range_next(range))
		for (n++, i = 0; i < c->nregistrations; i++)
			if (c->registrations[i].vaddr == range->first)
				EXPECT_EQ(range->last, range->first +
					  c->registrations[i].bytes - 1);
	EXPECT_EQ(n, c->nregistrations);

	n = 0;
	while ((m = prereg_mapping_next(real, m))) {
		for (iova = m->range.first; iova <= m->range.last; iova += PAGE_SIZE) {
			const struct model_page *page;

			i = model_page_number(iova);
			page = &c->pages[i < 0 ? 0 : i];
			if (i < 0 || page->vaddr != m->registration->range.first +
			    m->offset + (iova - m->range.first) ||
			    page->prot != m->prot) {
				shim_fail("the books say something else about IOVA %#llx",
					  iova);
				return;
			}
		}
		n++;
	}
	EXPECT_EQ(n, model_mappings(c, &cost));
	EXPECT_EQ(real->cost, cost);
}

/* Returns the number of its domains. */
static unsigned int check_container(int i)
{
	const struct model_container *c = &model.containers[i];
	struct iommu_domain *seen[MODEL_GROUPS];
	unsigned int g, d, domains = 0, kinds = 0;
	const struct bus_type *kind[MODEL_GROUPS];

	check_books(c, unit_peek(containers[i]));
	for (g = 0; g < MODEL_GROUPS; g++) {
		struct iommu_domain *domain = model_groups[g]->domain;

		if (!(c->groups & BIT(g)))
			continue;
		for (d = 0; d < kinds && kind[d] != model_groups[g]->dev.bus; d++)
			;
		if (d == kinds)
			kind[kinds++] = model_groups[g]->dev.bus;
		for (d = 0; d < domains && seen[d] != domain; d++)
			;
		if (d < domains)
			continue;
		seen[domains++] = domain;
		fake_iommu_walk(domain, check_entry, (void *)c);
		EXPECT_EQ(fake_iommu_bytes(domain), model_mapped(c) << PAGE_SHIFT);
	}
	/* Kinds of IOMMU; a failed attach to a shared domain may add one. */
	EXPECT(domains >= kinds);
	/* No IOMMU page lies across two mappings. */
	unit_check_hw(containers[i]);
	return domains;
}

static void check_all(void)
{
	unsigned long charged = 0, mapped = 0, mappings = 0;
	unsigned int domains = 0;
	u64 cost;
	int i;

	for (i = 0; i < MODEL_CONTAINERS; i++) {
		domains += check_container(i);
		mapped += model_mapped(&model.containers[i]);
		mappings += model_mappings(&model.containers[i], &cost);
	}
	for (i = 0; i < MODEL_PROCESSES; i++) {
		EXPECT_EQ(model.mm[i]->locked_vm, model_charged(&model, i));
		charged += model_charged(&model, i);
	}
	EXPECT_EQ(fake_pins(), charged);
	EXPECT_EQ(fake_stat("pinned_pages"), charged);
	EXPECT_EQ(fake_stat("charged_pages"), charged);
	EXPECT_EQ(fake_stat("regions"), model.nregions);
	EXPECT_EQ(fake_stat("mapped_bytes"), mapped << PAGE_SHIFT);
	EXPECT_EQ(fake_stat("mappings"), mappings);
	EXPECT_EQ(fake_stat("containers"), MODEL_CONTAINERS);
	EXPECT_EQ(fake_iommu_domains(), domains);
}

/* ---- faults ------------------------------------------------------------------- */

static enum fake_fault fault;

static void fault_begin(void)
{
	static const enum fake_fault some[] = {
		FAKE_FAULT_ALLOC, FAKE_FAULT_PIN, FAKE_FAULT_PIN_SHORT,
		FAKE_FAULT_MAP, FAKE_FAULT_MAP, FAKE_FAULT_SIGNAL,
		FAKE_FAULT_ATTACH,
	};

	fault = FAKE_FAULT_NONE;
	if (!chance(20))
		return;
	fault = some[below(ARRAY_SIZE(some))];
	fake_fault_arm(fault, 1 + below(1 << below(5)), false);
}

/* A failed call may have left cuts. */
static void take_cuts_over(int i)
{
	struct prereg_container *real = unit_peek(containers[i]);
	struct prereg_mapping *m = NULL;
	int page;

	while ((m = prereg_mapping_next(real, m))) {
		page = model_page_number(m->range.first);
		if (page >= 0)
			model.containers[i].pages[page].cut = true;
	}
}

/*
 * What a call that met a fault says: an error of the fault's, and nothing has
 * changed, so the model is not asked. Returns whether that is so.
 */
static bool fault_end(int i, int ret)
{
	bool fired = fake_fault_disarm();

	current->killed = false;
	if (!fired || !ret)
		return false;
	/* An error of the call's own, got over the fault. */
	if (fault == FAKE_FAULT_PIN_SHORT || ret == -EFAULT)
		return false;
	if (fault == FAKE_FAULT_ATTACH)
		EXPECT(ret == -ENOMEM || ret == -EIO || ret == -EBUSY);
	else
		EXPECT_RET(ret, fault == FAKE_FAULT_SIGNAL ? -EINTR : -ENOMEM);
	take_cuts_over(i);
	counts[1]++;
	return true;
}

static void judge(int ret, int want)
{
	tap_expect_ret(ret, want, "%s", call);
	counts[0] += !ret;
}

/* ---- the calls ----------------------------------------------------------------- */

static struct model_range some_range(int p)
{
	unsigned int m = chance(2) ? ARRAY_SIZE(memories) - 1 :
				     below(ARRAY_SIZE(memories) - 1);
	u64 first = below(memories[m].npages), n;
	unsigned int i, known = 0;

	/* What another container has, or near it. */
	for (i = 0; i < model.nregions; i++)
		known += model.regions[i].process == p;
	if (known && chance(45)) {
		struct model_range range;

		known = below(known);
		for (i = 0; model.regions[i].process != p || known--; i++)
			;
		range = model.regions[i].range;
		if (chance(10))
			range.bytes += PAGE_SIZE;
		if (chance(5))
			range.vaddr += PAGE_SIZE;
		return range;
	}
	if (chance(20) || m == ARRAY_SIZE(memories) - 1)
		first = 0;
	n = chance(30) ? memories[m].npages - first :
			 1 + below(memories[m].npages - first);
	/* Into the hole behind, odd, nothing. */
	if (chance(4))
		n += 1 + below(300);
	if (chance(1))
		n = 0;
	return (struct model_range) {
		memories[m].vaddr + (first << PAGE_SHIFT) + chance(1),
		(n << PAGE_SHIFT) + chance(1),
	};
}

static void do_register(int i, int p)
{
	struct model_range range = some_range(p);
	int ret;

	if (model.containers[i].nregistrations == MODEL_REGISTRATIONS ||
	    model.nregions == MODEL_REGIONS)
		return;
	describe("register %d by %d: %#llx+%#llx", i, p, range.vaddr, range.bytes);
	fault_begin();
	ret = unit_register(containers[i], range.vaddr, range.bytes);
	if (!fault_end(i, ret))
		judge(ret, model_register(&model, i, p, range));
}

static struct model_range some_registration(int i, int p)
{
	const struct model_container *c = &model.containers[i];

	if (!c->nregistrations || chance(10))
		return some_range(p);
	return c->registrations[below(c->nregistrations)];
}

static void do_unregister(int i, int p)
{
	struct model_range range = some_registration(i, p);
	int ret;

	describe("unregister %d by %d: %#llx+%#llx", i, p, range.vaddr, range.bytes);
	fault_begin();
	ret = unit_unregister(containers[i], range.vaddr, range.bytes);
	if (!fault_end(i, ret))
		judge(ret, model_unregister(&model, i, p, range));
}

/* Does a window of the container hold the page? */
static bool in_window(int i, u64 iova)
{
	const struct model_window *w = model.containers[i].windows;

	return (w[0].shift && iova - w[0].start < w[0].bytes) ||
	       (w[1].shift && iova - w[1].start < w[1].bytes);
}

/* A page in an arena, mostly in a window, and how far it is to the arena's end. */
static u64 some_iova(int i, u64 *room)
{
	const struct model_arena *a;
	int tries = 8;
	u64 page;

	do {
		a = &model_arenas[chance(60) ? 0 : below(MODEL_ARENAS)];
		page = below(a->npages);
		if (chance(50))
			page = round_down(page, chance(50) ? 8UL : 64UL);
	} while (!in_window(i, a->start + (page << PAGE_SHIFT)) && --tries);
	*room = (a->npages - page) << PAGE_SHIFT;
	return a->start + (page << PAGE_SHIFT);
}

static u64 some_bytes(u64 room)
{
	u64 most = chance(50) ? 8 : chance(60) ? 128 : 1024;
	u64 bytes = (1 + below(most)) << PAGE_SHIFT;

	if (chance(30))
		bytes = round_up(bytes, (u64)(chance(50) ? 8 : 64) << PAGE_SHIFT);
	if (chance(5))
		bytes = room;
	return bytes > room ? room : bytes;
}

static void do_map(int i, int p)
{
	struct model_range range = some_registration(i, p), r = range;
	int prot = chance(2) ? 0 : 1 + below(3), ret;
	u64 room, iova = some_iova(i, &room);

	range.bytes = some_bytes(room);
	if (r.bytes > PAGE_SIZE) {
		u64 first = below(r.bytes >> PAGE_SHIFT);

		/* Around the end of a segment, if it has one. */
		if (r.bytes >> PAGE_SHIFT > PREREG_SEGMENT_PAGES && chance(70))
			first = PREREG_SEGMENT_PAGES - below(100);
		/* As aligned as the IOVA: room for large pages. */
		if (chance(60))
			first = round_down(first, 64UL) + (iova >> PAGE_SHIFT) % 64;
		range.vaddr = round_down(r.vaddr, PAGE_SIZE) +
			      (first % (r.bytes >> PAGE_SHIFT) << PAGE_SHIFT);
	}
	if (range.vaddr < r.vaddr + r.bytes && chance(95))
		range.bytes = min(range.bytes, r.vaddr + r.bytes - range.vaddr);
	if (chance(1))
		iova += 0x800;
	if (chance(1))
		iova |= 1ULL << 62;

	describe("map %d by %d: %#llx -> %#llx+%#llx prot %d", i, p, iova,
		 range.vaddr, range.bytes, prot);
	fault_begin();
	ret = unit_map(containers[i], iova, range.vaddr, range.bytes, prot);
	if (!fault_end(i, ret))
		judge(ret, model_map(&model, i, p, iova, range, prot));
}

static void do_unmap(int i, int p)
{
	u64 room, iova = some_iova(i, &room), bytes = some_bytes(room);
	int ret;

	if (chance(2))
		bytes = 0;
	if (chance(1))
		iova += 0x800;
	/* A whole window, and a page more. */
	if (chance(3)) {
		iova = model.containers[i].windows[0].start;
		bytes = model.containers[i].windows[0].bytes + (chance(20) << PAGE_SHIFT);
	}
	describe("unmap %d by %d: %#llx+%#llx", i, p, iova, bytes);
	fault_begin();
	ret = unit_unmap(containers[i], iova, bytes);
	if (!fault_end(i, ret))
		judge(ret, model_unmap(&model, i, p, iova, bytes));
}

#define BATCH	10

/* What one call maps, or unmaps: mostly neighbours. */
static u32 some_batch(int i, int p, bool map, struct vfio_prereg_batch_entry *entries)
{
	struct model_range range = some_registration(i, p);
	u64 room, iova = some_iova(i, &room), bytes, vaddr;
	u32 n = below(chance(80) ? 4 : BATCH + 1), j;
	int prot = 1 + below(3);

	vaddr = range.vaddr;
	if (range.bytes > PAGE_SIZE)
		vaddr += below(range.bytes >> PAGE_SHIFT) << PAGE_SHIFT;
	if (chance(50))
		vaddr = round_down(vaddr, 0x40000UL) + (iova & 0x3ffff);
	for (j = 0; j < n; j++) {
		if (chance(10) || !room)
			iova = some_iova(i, &room);
		if (chance(10))
			vaddr = range.vaddr;
		bytes = some_bytes(chance(70) ? min_t(u64, room, 3 * PAGE_SIZE) : room);
		if (chance(1))
			bytes = 0;
		entries[j] = (struct vfio_prereg_batch_entry) {
			.iova = iova, .size = bytes, .vaddr = map ? vaddr : 0,
			.flags = map ? prot : 0,
		};
		iova += bytes;
		room -= bytes;
		vaddr += bytes;
		if (chance(5))
			prot = below(4);
	}
	return n;
}

static void do_batch(int i, int p)
{
	const struct model_container *c = &model.containers[i];
	struct vfio_prereg_batch_entry entries[BATCH];
	bool map = chance(60);
	u32 n = some_batch(i, p, map, entries), refused, want_refused;
	int ret, want;

	/* Often what one mapping has. */
	if (!map && n && chance(50)) {
		unsigned int page = below(MODEL_PAGES);

		while (page < MODEL_PAGES && !c->pages[page].vaddr)
			page++;
		if (page < MODEL_PAGES) {
			entries[0].iova = model_page_iova(page);
			entries[0].size = PAGE_SIZE;
		}
	}
	describe("batch %s %d by %d: %u, the first %#llx -> %#llx+%#llx", map ? "map" : "unmap",
		 i, p, n, n ? entries[0].iova : 0, n ? entries[0].vaddr : 0, n ? entries[0].size : 0);
	fault_begin();
	ret = unit_batch(containers[i], map ? VFIO_PREREG_BATCH_MAP : VFIO_PREREG_BATCH_UNMAP,
			 entries, n, &refused);
	if (fault_end(i, ret)) {
		EXPECT_EQ(refused, n);
		return;
	}
	want = (map ? model_batch_map : model_batch_unmap)(&model, i, p, entries, n, &want_refused);
	judge(ret, want);
	/* A stranger is told nothing more. */
	if (p == c->owner)
		EXPECT_EQ(refused, want_refused);
	counts[2] += !ret && n;
	counts[3] += !!ret;
}

static void do_create(int i, int p)
{
	static const u32 shifts[] = { 12, 12, 12, 12, 12, 12, 13, 16, 18, 21, 11, 31 };
	static const unsigned int logs[] = { 15, 20, 21, 22, 31, 31, 36, 41 };
	u32 shift = shifts[below(ARRAY_SIZE(shifts))];
	u64 bytes = BIT_ULL(logs[below(ARRAY_SIZE(logs))]) + chance(2);
	u64 start, want = 0;
	int ret;

	describe("create %d by %d: shift %u, %#llx", i, p, shift, bytes);
	fault_begin();
	ret = unit_create(containers[i], shift, bytes, &start);
	if (fault_end(i, ret))
		return;
	judge(ret, model_create(&model, i, p, shift, bytes, &want));
	if (!ret)
		EXPECT_EQ(start, want);
}

static void do_remove(int i, int p)
{
	u64 start = model.containers[i].windows[below(2)].start +
		    (chance(10) << PAGE_SHIFT);
	int ret;

	describe("remove %d by %d: %#llx", i, p, start);
	fault_begin();
	ret = unit_remove(containers[i], start);
	if (!fault_end(i, ret))
		judge(ret, model_remove(&model, i, p, start));
}

static void do_attach(int i)
{
	int g = below(MODEL_GROUPS), ret;

	if (model_groups[g]->domain)
		return;
	describe("attach %d: group %d", i, model_groups[g]->id);
	fault_begin();
	ret = unit_attach(containers[i], model_groups[g]);
	if (!fault_end(i, ret))
		judge(ret, model_attach(&model, i, g));
}

static void do_detach(int i)
{
	int g = below(MODEL_GROUPS);

	if (!(model.containers[i].groups & BIT(g)))
		return;
	describe("detach %d: group %d", i, model_groups[g]->id);
	unit_detach(containers[i], model_groups[g]);
	model_detach(&model, i, g);
}

static void container_open(int i)
{
	int ret;

	containers[i] = unit_open(&ret);
	EXPECT_RET(ret, 0);
	model_open(&model, i);
}

static void do_exit(int p)
{
	describe("exit of %d", p);
	model_exit(&model, p);
	unit_process_exit(&processes[p]);
	process_start(p);
}

/* By anybody; if he is a stranger the charge may be returned only later. */
static void do_reopen(int i)
{
	int p = below(MODEL_PROCESSES);

	describe("close and open %d", i);
	unit_close(containers[i]);
	model_close(&model, i);
	container_open(i);
	unit_process_run(&processes[p]);
	if (chance(50))
		do_exit(p);
	else if (chance(50))
		do_register(i, p);
	fake_work_run();
}

static void step(void)
{
	int i = below(MODEL_CONTAINERS), p = model.containers[i].owner;
	u64 what = below(1000);

	if (p == MODEL_NOBODY || chance(3))
		p = below(MODEL_PROCESSES);
	unit_process_run(&processes[p]);
	/* Most calls need registered memory, a group, a window. */
	if (!model.containers[i].nregistrations && chance(50))
		what = 640;
	else if (!model.containers[i].groups && chance(50))
		what = 885;
	else if (!in_window(i, 0) && chance(50))
		what = 820;
	if (what < 100)
		do_batch(i, p);
	else if (what < 400)
		do_map(i, p);
	else if (what < 640)
		do_unmap(i, p);
	else if (what < 760)
		do_register(i, p);
	else if (what < 820)
		do_unregister(i, p);
	else if (what < 860)
		do_create(i, p);
	else if (what < 885)
		do_remove(i, p);
	else if (what < 950)
		do_attach(i);
	else if (what < 985)
		do_detach(i);
	else if (what < 992)
		do_reopen(i);
	else
		do_exit(p);
}

static void random_calls_do_what_the_model_does(void)
{
	unsigned long n;
	int i;

	tap_diag("--seed %llu --steps %lu", unit_seed, unit_steps);
	rng = rng_stream(unit_seed, 0);
	memset(&model, 0, sizeof(model));
	memset(counts, 0, sizeof(counts));
	model.mappings_max = 24;
	*shim_param_mappings_max = model.mappings_max;
	frames = fake_frames(FRAMES * MODEL_PROCESSES, FRAMES);
	for (i = 0; i < MODEL_PROCESSES; i++)
		process_start(i);
	for (i = 0; i < MODEL_CONTAINERS; i++)
		container_open(i);

	for (n = 0; n < unit_steps && !tap_failures(); n++) {
		step();
		check_all();
	}
	if (tap_failures())
		tap_diag("step %lu: %s", n, call);
	tap_diag("%lu calls did their work, %lu met a fault", counts[0], counts[1]);
	tap_diag("%lu batches did their work, %lu were refused", counts[2], counts[3]);

	for (i = 0; i < MODEL_PROCESSES; i++)
		unit_process_exit(&processes[i]);
	for (i = 0; i < MODEL_CONTAINERS; i++)
		unit_close(containers[i]);
}

const struct unit_test model_tests[] = {
	UNIT(random_calls_do_what_the_model_does),
	{ }
};
