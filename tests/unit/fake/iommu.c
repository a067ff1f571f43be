// SPDX-License-Identifier: GPL-2.0
/*
 * IOMMU domains: what drivers/iommu/iommu.c does above the driver, and below it
 * page tables and an IOTLB that mind what VT-d minds:
 *  - entering something over a present entry is an error;
 *  - so is unmapping what is not there (VT-d would take the neighbours along), and
 *    unmapping a part of a large page (it would take the memory for a page
 *    table), except that asking for less from its start takes all of it;
 *  - a map that fails leaves the entries it made before that;
 *  - what was unmapped can be reached until it is flushed;
 *  - page tables that an unmap covers are freed with the next flush of a range,
 *    whatever range that is: the IOMMU must not walk them any more.
 */
#include "fake.h"

#define ENTRY_SHIFT	PAGE_SHIFT

struct table;

/* An entry of a page table: nothing, a page, or a table of smaller ones. */
struct pte {
	struct table	*table;
	phys_addr_t	phys;
	int		prot;
	bool		present;
};

struct table {
	struct table	*next;	/* while dying */
	u64		iova;	/* what it covered then */
	u64		bytes;
	struct pte	pte[];
};

struct stale {
	u64		iova;
	u64		bytes;
	phys_addr_t	phys;
};

struct domain {
	struct iommu_domain	domain;
	const struct bus_type	*bus;
	struct table		*root;
	unsigned int		groups;
	bool			msi_cookie;
	u64			bytes;		/* mapped */
	unsigned long		entries;
	struct stale		*stale;		/* the IOTLB */
	unsigned long		nstale, max_stale;
	struct table		*dying;		/* on the gather's list */
};

bool fake_msi_isolated;
unsigned long fake_iommu_range_flushes, fake_iommu_full_flushes;
unsigned long fake_iommu_sg_calls;
static unsigned int domains;
/* By the driver, the next one. */
static bool unmap_is_refused;

static struct domain *to_domain(struct iommu_domain *domain)
{
	return container_of(domain, struct domain, domain);
}

static bool coherency_yes(struct iommu_domain *domain)
{
	return to_domain(domain)->groups;
}

static bool coherency_no(struct iommu_domain *domain)
{
	(void)domain;
	return false;
}

const struct iommu_domain_ops fake_iommu_coherent = {
	.enforce_cache_coherency = coherency_yes,
};
const struct iommu_domain_ops fake_iommu_incoherent = {
	.enforce_cache_coherency = coherency_no,
};
const struct iommu_domain_ops fake_iommu_without_coherency;

/* ---- page tables ----------------------------------------------------------- */

/* log2 of what an entry of a table at that level (0: the lowest) covers. */
static unsigned int level_shift(const struct domain *d, unsigned int level)
{
	return ENTRY_SHIFT + level * d->bus->bits;
}

static struct table *table_alloc(const struct domain *d)
{
	struct table *table = calloc(1, sizeof(*table) +
				     sizeof(struct pte) * BIT(d->bus->bits));

	if (!table)
		abort();
	return table;
}

/* Free what is below; present entries are forgotten. */
static void table_free(const struct domain *d, struct table *table)
{
	unsigned long i;

	for (i = 0; table && i < BIT(d->bus->bits); i++)
		table_free(d, table->pte[i].table);
	free(table);
}

static struct pte *pte_in(const struct domain *d, struct table *table,
			  unsigned int level, u64 iova)
{
	return &table->pte[iova >> level_shift(d, level) &
			   (BIT(d->bus->bits) - 1)];
}

/* Is any page present in the tables below? */
static bool table_maps(const struct domain *d, const struct table *table)
{
	unsigned long i;

	for (i = 0; i < BIT(d->bus->bits); i++)
		if (table->pte[i].present || (table->pte[i].table &&
					      table_maps(d, table->pte[i].table)))
			return true;
	return false;
}

/* The entry for a page of level @want at iova, tables made on the way. */
static struct pte *pte_make(struct domain *d, u64 iova, unsigned int want)
{
	unsigned int level = d->bus->levels - 1;
	struct table *table = d->root;
	struct pte *pte;

	for (;; level--) {
		pte = pte_in(d, table, level, iova);
		if (level == want)
			return pte;
		if (pte->present) {
			shim_fail("IOVA %#llx is mapped over a larger page", iova);
			return NULL;
		}
		if (!pte->table)
			pte->table = table_alloc(d);
		table = pte->table;
	}
}

/* The present entry that translates iova, or NULL; its level. */
static struct pte *pte_find(const struct domain *d, u64 iova,
			    unsigned int *level)
{
	struct table *table = d->root;
	struct pte *pte;

	if (iova >> level_shift(d, d->bus->levels))
		return NULL;
	for (*level = d->bus->levels - 1;; --*level) {
		pte = pte_in(d, table, *level, iova);
		if (pte->present)
			return pte;
		table = pte->table;
		if (!table)
			return NULL;
	}
}

static void pte_set(struct domain *d, u64 iova, unsigned int level,
		    phys_addr_t phys, int prot)
{
	struct pte *pte = pte_make(d, iova, level);
	u64 bytes = BIT_ULL(level_shift(d, level));
	unsigned long i;

	if (!pte)
		return;
	if (pte->present) {
		shim_fail("IOVA %#llx is mapped twice", iova);
		return;
	}
	for (i = 0; i < d->nstale; i++)
		if (d->stale[i].iova < iova + bytes &&
		    iova < d->stale[i].iova + d->stale[i].bytes)
			shim_fail("IOVA %#llx is mapped anew before it was flushed",
				  iova);
	if (pte->table) {
		if (table_maps(d, pte->table)) {
			shim_fail("a large page at IOVA %#llx over smaller ones",
				  iova);
			return;
		}
		table_free(d, pte->table);
		pte->table = NULL;
	}
	pte->phys = phys;
	pte->prot = prot;
	pte->present = true;
	d->bytes += bytes;
	d->entries++;
	fake_frames_reach(PHYS_PFN(phys), PHYS_PFN(bytes), prot & IOMMU_WRITE);
}

static void pte_clear(struct domain *d, struct pte *pte, u64 iova, u64 bytes)
{
	if (d->nstale == d->max_stale) {
		d->max_stale = d->max_stale * 2 + 64;
		d->stale = realloc(d->stale, d->max_stale * sizeof(*d->stale));
		if (!d->stale)
			abort();
	}
	d->stale[d->nstale++] = (struct stale) { iova, bytes, pte->phys };
	d->bytes -= bytes;
	d->entries--;
	pte->present = false;
}

/* ---- IOTLB ----------------------------------------------------------------- */

static void iotlb_flush(struct domain *d, u64 first, u64 last)
{
	unsigned long i = 0;

	while (i < d->nstale) {
		struct stale *stale = &d->stale[i];

		if (stale->iova > last || stale->iova + stale->bytes - 1 < first) {
			i++;
			continue;
		}
		fake_frames_unreach(PHYS_PFN(stale->phys), PHYS_PFN(stale->bytes));
		*stale = d->stale[--d->nstale];
	}
}

void iommu_flush_iotlb_all(struct iommu_domain *domain)
{
	struct domain *d = to_domain(domain);

	fake_iommu_full_flushes++;
	/* VT-d in caching mode leaves device TLBs out. */
	if (d->bus->smmu)
		iotlb_flush(d, 0, U64_MAX);
}

/* The gather's list goes to the allocator. */
static void dying_free(struct domain *d)
{
	struct table *table;
	unsigned long i;

	while ((table = d->dying)) {
		d->dying = table->next;
		for (i = 0; i < d->nstale; i++)
			if (d->stale[i].iova - table->iova < table->bytes)
				break;
		if (i < d->nstale)
			shim_fail("the table of IOVA %#llx is freed before it is flushed",
				  table->iova);
		table_free(d, table);
	}
}

void iommu_iotlb_sync(struct iommu_domain *domain,
		      struct iommu_iotlb_gather *gather)
{
	struct domain *d = to_domain(domain);

	if (gather->start > gather->end)
		shim_fail("the IOTLB is synced for an empty range");
	/* VT-d counts the pages in 32 bits. */
	if ((gather->end - gather->start) >> ENTRY_SHIFT >= BIT_ULL(32))
		shim_fail("the IOTLB is synced for too long a range");
	fake_iommu_range_flushes++;
	if (!d->bus->smmu || gather->pgsize)
		iotlb_flush(d, gather->start, gather->end);
	dying_free(d);
	iommu_iotlb_gather_init(gather);
}

/* As iommu_iotlb_gather_add_page(). */
static void gather_add(struct iommu_domain *domain,
		       struct iommu_iotlb_gather *gather, u64 iova, u64 bytes)
{
	u64 last = iova + bytes - 1;

	if ((gather->pgsize && gather->pgsize != bytes) ||
	    (gather->end && (last + 1 < gather->start ||
			     iova > gather->end + 1)))
		iommu_iotlb_sync(domain, gather);
	gather->pgsize = bytes;
	if (gather->start > iova)
		gather->start = iova;
	if (gather->end < last)
		gather->end = last;
}

/* ---- the driver ------------------------------------------------------------ */

static int driver_map(struct domain *d, u64 iova, phys_addr_t phys,
		      u64 pgsize, u64 count, int prot)
{
	unsigned int level = (ilog2(pgsize) - ENTRY_SHIFT) / d->bus->bits;
	bool fault = fake_fault(FAKE_FAULT_MAP);
	u64 i;

	if (fake_fault(FAKE_FAULT_MAP_STAYS))
		fault = unmap_is_refused = true;

	/* Half-way through; the core is not told how far. */
	for (i = 0; i < (fault ? count / 2 : count); i++)
		pte_set(d, iova + i * pgsize, level, phys + i * pgsize, prot);
	return fault ? -ENOMEM : 0;
}

/* Tables of [iova, end) alone are no longer in use, once that is flushed. */
static void tables_collect(struct domain *d, struct table *table,
			   unsigned int level, u64 base, u64 iova, u64 end)
{
	u64 bytes = BIT_ULL(level_shift(d, level));
	u64 first = iova > base ? (iova - base) / bytes : 0, i;

	for (i = first; i < BIT(d->bus->bits) && base + i * bytes < end; i++) {
		struct pte *pte = &table->pte[i];
		u64 start = base + i * bytes;

		if (!pte->table)
			continue;
		if (start < iova || start + bytes > end) {
			tables_collect(d, pte->table, level - 1, start, iova, end);
			continue;
		}
		pte->table->iova = start;
		pte->table->bytes = bytes;
		pte->table->next = d->dying;
		d->dying = pte->table;
		pte->table = NULL;
	}
}

static u64 driver_unmap(struct domain *d, u64 iova, u64 bytes,
			struct iommu_iotlb_gather *gather)
{
	unsigned int level;
	struct pte *pte = pte_find(d, iova, &level);
	u64 done, page;

	if (!pte) {
		shim_fail("IOVA %#llx is unmapped but not mapped", iova);
		return 0;
	}
	if (unmap_is_refused || fake_fault(FAKE_FAULT_UNMAP)) {
		unmap_is_refused = false;
		return 0;
	}
	bytes = max(bytes, BIT_ULL(level_shift(d, level)));
	for (done = 0; done < bytes; done += page) {
		pte = pte_find(d, iova + done, &level);
		if (!pte) {
			shim_fail("IOVA %#llx is unmapped but not mapped",
				  iova + done);
			page = PAGE_SIZE;
			continue;
		}
		page = BIT_ULL(level_shift(d, level));
		if (!IS_ALIGNED(iova + done, page) || page > bytes - done) {
			shim_fail("part of a page of %#llx bytes is unmapped at IOVA %#llx",
				  page, iova + done);
			page = PAGE_SIZE;
			continue;
		}
		pte_clear(d, pte, iova + done, page);
	}
	if (!d->bus->smmu)
		tables_collect(d, d->root, d->bus->levels - 1, 0, iova, iova + bytes);
	/* A flush of everything is to come. */
	if (!gather->queued)
		gather_add(&d->domain, gather, iova, bytes);
	return bytes;
}

/* ---- the core, as in drivers/iommu/iommu.c --------------------------------- */

static u64 core_pgsize(const struct iommu_domain *domain, u64 iova,
		       phys_addr_t phys, u64 bytes, u64 *count)
{
	u64 pgsizes = domain->pgsize_bitmap & GENMASK_ULL(__fls(bytes), 0);
	u64 merge = iova | phys, pgsize, next, offset;

	if (merge)
		pgsizes &= GENMASK_ULL(__ffs(merge), 0);
	pgsize = BIT_ULL(__fls(pgsizes));
	next = domain->pgsize_bitmap & ~GENMASK_ULL(__fls(pgsize), 0);
	if (next) {
		/* Up to where a larger page would fit, if one will. */
		next = BIT_ULL(__ffs(next));
		offset = next - (merge & (next - 1));
		if (!((iova ^ phys) & (next - 1)) && offset + next <= bytes)
			bytes = offset;
	}
	*count = bytes / pgsize;
	return pgsize;
}

static bool core_aligned(const struct iommu_domain *domain, u64 bits)
{
	if (IS_ALIGNED(bits, BIT_ULL(__ffs(domain->pgsize_bitmap))))
		return true;
	shim_fail("the IOMMU is given something unaligned: %#llx", bits);
	return false;
}

int iommu_map(struct iommu_domain *domain, unsigned long iova,
	      phys_addr_t phys, size_t bytes, int prot)
{
	u64 done, pgsize, count;
	int ret;

	if (!(prot & (IOMMU_READ | IOMMU_WRITE)))
		shim_fail("mapping without a direction");
	if (!core_aligned(domain, iova | phys | bytes))
		return -EINVAL;
	if (iova < domain->geometry.aperture_start ||
	    iova + bytes - 1 > domain->geometry.aperture_end)
		shim_fail("mapping outside the aperture: %#lx", iova);
	for (done = 0; done < bytes; done += pgsize * count) {
		pgsize = core_pgsize(domain, iova + done, phys + done,
				     bytes - done, &count);
		ret = driver_map(to_domain(domain), iova + done, phys + done,
				 pgsize, count, prot);
		if (ret) {
			if (done)
				iommu_unmap(domain, iova, done);
			return ret;
		}
	}
	return 0;
}

ssize_t iommu_map_sg(struct iommu_domain *domain, unsigned long iova,
		     struct scatterlist *sg, unsigned int nents, int prot)
{
	size_t bytes = 0, mapped = 0;
	phys_addr_t start = 0;
	unsigned int i;
	int ret;

	fake_iommu_sg_calls++;
	if (!nents)
		shim_fail("nothing is mapped");
	for (i = 0; i <= nents; i++) {
		phys_addr_t phys = i < nents ? PFN_PHYS(page_to_pfn(sg[i].page)) +
					       sg[i].offset : 0;

		if (bytes && phys != start + bytes) {
			ret = iommu_map(domain, iova + mapped, start, bytes, prot);
			if (ret) {
				if (mapped)
					iommu_unmap(domain, iova, mapped);
				return ret;
			}
			mapped += bytes;
			bytes = 0;
		}
		if (i == nents)
			break;
		if (!bytes)
			start = phys;
		bytes += sg[i].length;
	}
	return mapped;
}

size_t iommu_unmap_fast(struct iommu_domain *domain, unsigned long iova,
			size_t bytes, struct iommu_iotlb_gather *gather)
{
	u64 done = 0, step, pgsize, count;

	if (!core_aligned(domain, iova | bytes))
		return 0;
	while (done < bytes) {
		pgsize = core_pgsize(domain, iova + done, iova + done,
				     bytes - done, &count);
		step = driver_unmap(to_domain(domain), iova + done,
				    pgsize * count, gather);
		if (!step)
			break;
		done += step;
	}
	return done;
}

size_t iommu_unmap(struct iommu_domain *domain, unsigned long iova,
		   size_t bytes)
{
	struct iommu_iotlb_gather gather;

	iommu_iotlb_gather_init(&gather);
	bytes = iommu_unmap_fast(domain, iova, bytes, &gather);
	if (bytes)
		iommu_iotlb_sync(domain, &gather);
	return bytes;
}

phys_addr_t iommu_iova_to_phys(struct iommu_domain *domain, dma_addr_t iova)
{
	struct fake_iommu_entry entry;

	if (!fake_iommu_lookup(domain, iova, &entry))
		return 0;
	return entry.phys + (iova - entry.iova);
}

/* ---- domains and groups ---------------------------------------------------- */

struct iommu_domain *iommu_domain_alloc(const struct bus_type *bus)
{
	struct domain *d;

	if (fake_fault(FAKE_FAULT_ATTACH))
		return NULL;
	d = calloc(1, sizeof(*d));
	if (!d)
		abort();
	/* Page sizes and aperture are known when a device is in it. */
	d->domain.ops = bus->ops;
	d->bus = bus;
	d->root = table_alloc(d);
	domains++;
	return &d->domain;
}

static void entry_forget(void *unused, const struct fake_iommu_entry *entry)
{
	(void)unused;
	fake_frames_unreach(PHYS_PFN(entry->phys), PHYS_PFN(entry->bytes));
}

/* The driver takes the tables down and flushes. */
void iommu_domain_free(struct iommu_domain *domain)
{
	struct domain *d = to_domain(domain);

	if (d->groups)
		shim_fail("a domain is freed with %u groups attached", d->groups);
	fake_iommu_walk(domain, entry_forget, NULL);
	iotlb_flush(d, 0, U64_MAX);
	dying_free(d);
	table_free(d, d->root);
	free(d->stale);
	free(d);
	domains--;
}

int iommu_attach_group(struct iommu_domain *domain, struct iommu_group *group)
{
	struct domain *d = to_domain(domain);

	if (group->domain)
		return -EBUSY;
	if (fake_fault(FAKE_FAULT_ATTACH))
		return -ENOMEM;
	if (group->dev.bus != d->bus)
		return -EINVAL;
	group->domain = domain;
	if (!d->groups++) {
		domain->pgsize_bitmap = d->bus->pgsizes;
		domain->geometry.aperture_start = d->bus->aperture_first;
		domain->geometry.aperture_end = d->bus->aperture_last;
	}
	return 0;
}

void iommu_detach_group(struct iommu_domain *domain, struct iommu_group *group)
{
	if (group->domain != domain)
		shim_fail("group %d is detached but not attached", group->id);
	else if (fake_fault(FAKE_FAULT_DETACH))
		return;
	else
		to_domain(domain)->groups--;
	group->domain = NULL;
}

struct iommu_domain *iommu_get_domain_for_dev(struct device *dev)
{
	return container_of(dev, struct iommu_group, dev)->domain;
}

int iommu_get_msi_cookie(struct iommu_domain *domain, dma_addr_t base)
{
	struct domain *d = to_domain(domain);

	(void)base;
	if (fake_fault(FAKE_FAULT_ATTACH))
		return -ENOMEM;
	if (d->msi_cookie)
		shim_fail("a second MSI cookie for a domain");
	d->msi_cookie = true;
	return d->bus->msi_cookie;
}

bool irq_domain_check_msi_remap(void)
{
	return fake_msi_isolated;
}

bool device_iommu_capable(struct device *dev, enum iommu_cap cap)
{
	return cap == IOMMU_CAP_INTR_REMAP && dev->intr_remap;
}

int iommu_group_id(struct iommu_group *group)
{
	return group->id;
}

int iommu_group_for_each_dev(struct iommu_group *group, void *data,
			     int (*fn)(struct device *dev, void *data))
{
	return fn(&group->dev, data);
}

int iommu_get_group_resv_regions(struct iommu_group *group,
				 struct list_head *head)
{
	struct iommu_resv_region *resv;
	unsigned int i;

	/* On an error some may be on the list already. */
	for (i = 0; i < group->nresv; i++) {
		resv = fake_fault(FAKE_FAULT_ATTACH) ? NULL :
			kmalloc(sizeof(*resv), GFP_KERNEL);
		if (!resv)
			return -ENOMEM;
		*resv = group->resv[i];
		list_add_tail(&resv->list, head);
	}
	return 0;
}

/* ---- for tests ------------------------------------------------------------- */

bool fake_iommu_lookup(struct iommu_domain *domain, u64 iova,
		       struct fake_iommu_entry *entry)
{
	struct domain *d = to_domain(domain);
	unsigned int level;
	struct pte *pte = pte_find(d, iova, &level);

	if (!pte)
		return false;
	entry->bytes = BIT_ULL(level_shift(d, level));
	entry->iova = round_down(iova, entry->bytes);
	entry->phys = pte->phys;
	entry->prot = pte->prot;
	return true;
}

static void walk(const struct domain *d, const struct table *table,
		 unsigned int level, u64 iova,
		 void (*fn)(void *data, const struct fake_iommu_entry *entry),
		 void *data)
{
	struct fake_iommu_entry entry = { .bytes = BIT_ULL(level_shift(d, level)) };
	unsigned long i;

	for (i = 0; i < BIT(d->bus->bits); i++, iova += entry.bytes) {
		const struct pte *pte = &table->pte[i];

		if (pte->table)
			walk(d, pte->table, level - 1, iova, fn, data);
		if (!pte->present)
			continue;
		entry.iova = iova;
		entry.phys = pte->phys;
		entry.prot = pte->prot;
		fn(data, &entry);
	}
}

void fake_iommu_walk(struct iommu_domain *domain,
		     void (*fn)(void *data, const struct fake_iommu_entry *entry),
		     void *data)
{
	struct domain *d = to_domain(domain);

	walk(d, d->root, d->bus->levels - 1, 0, fn, data);
}

u64 fake_iommu_bytes(struct iommu_domain *domain)
{
	return to_domain(domain)->bytes;
}

unsigned long fake_iommu_entries(struct iommu_domain *domain)
{
	return to_domain(domain)->entries;
}

unsigned int fake_iommu_domains(void)
{
	return domains;
}

void fake_iommu_check(void)
{
	if (domains)
		shim_fail("%u IOMMU domains are left", domains);
	domains = 0;
}
