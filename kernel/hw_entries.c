// SPDX-License-Identifier: GPL-2.0-only
/*
 * hw_entries: what is in the page tables of hw_domain.c's domains, and what devices may
 * still reach of what was.
 */
#include <linux/iommu.h>
#include <linux/mm_types.h>
#include <linux/scatterlist.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>

#include "compat/compat.h"
#include "hw_domain.h"
#include "prereg.h"

/* Longest stretch: struct scatterlist's length has 32 bits. */
#define PREREG_SG_BYTES_MAX	SZ_1G
/* A fatal signal is noticed, and others may run, after so much was mapped. */
#define PREREG_MAP_BATCH_BYTES	(16ULL << 30)
/* What may lie between two flushes: VT-d counts the pages of one in 32 bits. */
#define PREREG_FLUSH_BYTES	(1ULL << 42)

/*
 * No device reaches what was unmapped, and the page tables are freed.
 *
 * One small range is flushed as a range. Everything else was unmapped as
 * "queued", see domain_unmap(), and is flushed as a whole; after that the
 * range flush frees the tables, and reaches the device TLBs that VT-d leaves
 * out of the former under a hypervisor (caching mode).
 */
static void domain_flush(struct prereg_domain *d)
{
	u64 first;

	if (!d->gathered)
		return;
	d->gathered = false;

	if (!d->queued) {
		iommu_iotlb_sync(d->domain, &d->gather);
		return;
	}

	iommu_flush_iotlb_all(d->domain);
	for (first = d->first; first <= d->last; first += PREREG_FLUSH_BYTES) {
		d->gather.start = first;
		d->gather.end = min(d->last, first + PREREG_FLUSH_BYTES - 1);
		/* Spares SMMUs an invalidation for each page: all are done. */
		d->gather.pgsize = 0;
		iommu_iotlb_sync(d->domain, &d->gather);
		if (d->last - first < PREREG_FLUSH_BYTES)
			break;
	}
}

/*
 * VT-d, up to 6.x, puts the page tables of a range on the gather's list, and then,
 * where the range does not continue the one before in pieces of the same size,
 * flushes that one and frees the list: tables that the IOMMU may still walk. So more
 * than one range, or a range of more than one piece (see iommu_pgsize(); up to
 * 2 MiB are always one), is "queued": nothing is flushed or freed before
 * domain_flush().
 *
 * A large range goes in parts, between which others may run. None ends inside a
 * hardware page.
 */
static bool domain_unmap(struct prereg_domain *d, u64 iova, u64 bytes)
{
	u64 last = iova + bytes - 1, part_max, part;

	if (d->gathered && last - d->first >= PREREG_FLUSH_BYTES)
		domain_flush(d);
	if (!d->gathered) {
		iommu_iotlb_gather_init(&d->gather);
		d->queued = bytes > SZ_2M;
		d->first = iova;
		d->gathered = true;
	} else {
		d->queued = true;
	}
	d->gather.queued = d->queued;
	d->last = last;

	if (bytes <= SZ_2M) {
		part = iommu_unmap_fast(d->domain, iova, bytes, &d->gather);
		if (likely(part == bytes))
			return true;
		/* What has been gathered may be nothing; or a larger page went. */
		d->queued = true;
		if (part > bytes)
			d->last = iova + part - 1;
		return false;
	}
	part_max = max_t(u64, SZ_1G, BIT(__fls(d->domain->pgsize_bitmap)));
	for (;;) {
		part = min(bytes, part_max - (iova & (part_max - 1)));
		if (iommu_unmap_fast(d->domain, iova, part, &d->gather) != part)
			return false;
		bytes -= part;
		if (!bytes)
			return true;
		iova += part;
		cond_resched();
	}
}

/*
 * Remove what a failed map may have left: IOMMU drivers do not all undo a map
 * that ran out of memory half-way, and VT-d must not be asked to unmap what is
 * not there (it takes neighbours along). Nobody used these entries: the memory is
 * still pinned and the caller has not told anybody the IOVA. What cannot be
 * removed keeps its memory pinned, see struct prereg_hw.
 */
static void domain_unmap_remains(struct prereg_hw *hw, struct prereg_domain *d,
				 u64 iova, u64 bytes)
{
	size_t granule = domain_granule(d->domain);
	u64 done = 0;

	while (done < bytes) {
		if (iommu_iova_to_phys(d->domain, iova + done)) {
			/* A large page goes as a whole, whatever is asked for. */
			domain_unmap(d, iova + done, granule);
			if (WARN_ON_ONCE(iommu_iova_to_phys(d->domain,
							    iova + done)))
				hw->remains = true;
		}
		done += granule;
		cond_resched();
	}
	domain_flush(d);
}

/* Remove what a map that succeeded has entered. */
static void domain_unmap_done(struct prereg_hw *hw, struct prereg_domain *d,
			      u64 iova, u64 bytes)
{
	if (WARN_ON_ONCE(!domain_unmap(d, iova, bytes)))
		hw->remains = true;
	domain_flush(d);
}

/* A map failed behind @done bytes, somewhere in the @batch that follow. */
static void domain_map_undo(struct prereg_hw *hw, struct prereg_domain *d,
			    u64 iova, u64 done, u64 batch)
{
	domain_unmap_remains(hw, d, iova + done, batch);
	if (done)
		domain_unmap_done(hw, d, iova, done);
}

/* Take up to PREREG_SG_MAX stretches, together at most max bytes. */
static unsigned int hw_take_stretches(struct scatterlist *sg,
					struct prereg_cursor *cursor, u64 max,
					u64 *bytes)
{
	unsigned int n = 0;
	phys_addr_t phys;

	*bytes = 0;
	sg_init_table(sg, PREREG_SG_MAX);
	while (n < PREREG_SG_MAX && *bytes < max) {
		u64 stretch = prereg_cursor_next(cursor,
						 min_t(u64, max - *bytes,
						       PREREG_SG_BYTES_MAX),
						 &phys);

		sg_set_page(&sg[n++], pfn_to_page(PHYS_PFN(phys)), stretch,
			    offset_in_page(phys));
		*bytes += stretch;
	}
	return n;
}

int prereg_domain_map(struct prereg_hw_domain *hw, struct prereg_domain *d,
		      u64 iova, const struct prereg_region *region, u64 offset,
		      u64 bytes, int prot, bool interruptible)
{
	struct prereg_cursor cursor;
	u64 done = 0, batch;
	phys_addr_t phys;
	unsigned int n;
	ssize_t ret;

	prot |= IOMMU_CACHE;
	prereg_cursor_init(&cursor, region, offset);

	/* In most maps the memory is one stretch. */
	batch = prereg_cursor_next(&cursor, min_t(u64, bytes,
						  PREREG_SG_BYTES_MAX), &phys);
	if (batch == bytes) {
		ret = prereg_compat_map(d->domain, iova, phys, bytes, prot);
		if (ret)
			domain_unmap_remains(&hw->hw, d, iova, bytes);
		return ret;
	}

	prereg_cursor_init(&cursor, region, offset);
	for (; done < bytes; done += batch) {
		n = hw_take_stretches(hw->sg, &cursor,
				      min(bytes - done, PREREG_MAP_BATCH_BYTES),
				      &batch);
		ret = prereg_compat_map_sg(d->domain, iova + done, hw->sg, n,
					   prot);
		if (ret < 0)
			goto unmap;
		if (interruptible && fatal_signal_pending(current)) {
			done += batch;
			batch = 0;
			ret = -EINTR;
			goto unmap;
		}
		cond_resched();
	}
	return 0;

unmap:
	domain_map_undo(&hw->hw, d, iova, done, batch);
	return ret;
}

int prereg_domains_map(struct prereg_hw *hw, u64 iova,
		       const struct prereg_region *region, u64 offset,
		       u64 bytes, int prot, bool interruptible)
{
	struct prereg_hw_domain *hd = to_hw_domain(hw);
	struct prereg_domain *d;
	int ret;

	list_for_each_entry(d, &hd->domains, entry) {
		ret = prereg_domain_map(hd, d, iova, region, offset, bytes,
					prot, interruptible);
		if (ret)
			goto unmap;
	}
	return 0;

unmap:
	list_for_each_entry_continue_reverse(d, &hd->domains, entry)
		domain_unmap_done(hw, d, iova, bytes);
	return ret;
}

/**
 * struct domain_gather - what is to go to the IOMMU driver in one call
 * @d: into which domain
 * @sg: its stretches, each as long as the memory is contiguous
 * @n: how many
 * @iova: where they go
 * @bytes: together
 * @first: IOVA of the last one, or of those before that it continues
 * @next: physical address behind it
 */
struct domain_gather {
	struct prereg_domain	*d;
	struct scatterlist	*sg;
	unsigned int		n;
	u64			iova;
	u64			bytes;
	u64			first;
	phys_addr_t		next;
};

/*
 * The IOMMU driver uses the largest pages that fit into what it is given: would one lie
 * across the cut, if [first, end) were contiguous memory? offset: any address of it, and
 * the IOVA there, by exclusive or.
 */
static bool domain_straddles(const struct prereg_domain *d, u64 first, u64 cut,
			     u64 end, u64 offset)
{
	unsigned long sizes = d->domain->pgsize_bitmap;
	u64 bytes, start;

	/* All but the smallest. */
	for (sizes &= sizes - 1; sizes; sizes &= sizes - 1) {
		bytes = BIT_ULL(__ffs(sizes));
		if (bytes > end - first || offset & (bytes - 1))
			return false;
		start = round_down(cut, bytes);
		if (start != cut && start >= first && start + bytes <= end)
			return true;
	}
	return false;
}

/*
 * Add a stretch of a mapping that starts at @start. Return: false with nothing done: what
 * is gathered has to go first.
 */
static bool domain_gather_add(struct domain_gather *gather, u64 start,
			      phys_addr_t phys, u64 bytes)
{
	u64 iova = gather->iova + gather->bytes;
	bool joins = gather->n && phys == gather->next;
	struct scatterlist *last;

	if (gather->bytes >= PREREG_MAP_BATCH_BYTES)
		return false;
	if (joins && start > gather->first &&
	    domain_straddles(gather->d, gather->first, start, iova + bytes,
			     iova ^ phys))
		return false;
	last = joins ? &gather->sg[gather->n - 1] : NULL;
	if (last && last->length + bytes <= PREREG_SG_BYTES_MAX) {
		last->length += bytes;
	} else {
		if (gather->n == PREREG_SG_MAX)
			return false;
		sg_set_page(&gather->sg[gather->n++],
			    pfn_to_page(PHYS_PFN(phys)), bytes,
			    offset_in_page(phys));
	}
	if (!joins)
		gather->first = iova;
	gather->next = phys + bytes;
	gather->bytes += bytes;
	return true;
}

/* On an error what was gathered may be there in part. */
static int domain_gather_map(struct domain_gather *gather, int prot,
			     bool interruptible)
{
	ssize_t ret;

	ret = prereg_compat_map_sg(gather->d->domain, gather->iova, gather->sg,
				   gather->n, prot | IOMMU_CACHE);
	if (ret < 0)
		return ret;
	gather->n = 0;
	gather->iova += gather->bytes;
	gather->bytes = 0;
	cond_resched();
	return interruptible && fatal_signal_pending(current) ? -EINTR : 0;
}

static int domain_map_list(struct prereg_hw_domain *hw, struct prereg_domain *d,
			   struct prereg_mapping *const *mappings,
			   unsigned int n, bool interruptible)
{
	const u64 iova = mappings[0]->range.first;
	struct domain_gather gather = { .d = d, .sg = hw->sg, .iova = iova };
	const int prot = mappings[0]->prot;
	struct prereg_cursor cursor = {};
	const struct prereg_region *region;
	phys_addr_t phys;
	unsigned int i;
	u64 left, bytes;
	int ret;

	sg_init_table(hw->sg, PREREG_SG_MAX);
	for (i = 0; i < n; i++) {
		/* Often one maps what lies behind the one before. */
		region = mappings[i]->registration->region;
		if (region != cursor.region ||
		    mappings[i]->offset != cursor.offset)
			prereg_cursor_init(&cursor, region,
					   mappings[i]->offset);
		left = prereg_mapping_bytes(mappings[i]);
		for (; left; left -= bytes) {
			bytes = prereg_cursor_next(&cursor,
						   min_t(u64, left,
							 PREREG_SG_BYTES_MAX),
						   &phys);
			if (domain_gather_add(&gather, mappings[i]->range.first,
					      phys, bytes))
				continue;
			ret = domain_gather_map(&gather, prot, interruptible);
			if (ret)
				goto undo;
			domain_gather_add(&gather, mappings[i]->range.first,
					  phys, bytes);
		}
	}
	ret = domain_gather_map(&gather, prot, interruptible);
	if (!ret)
		return 0;
undo:
	domain_map_undo(&hw->hw, d, iova, gather.iova - iova, gather.bytes);
	return ret;
}

int prereg_domains_map_list(struct prereg_hw *hw,
			    struct prereg_mapping *const *mappings,
			    unsigned int n, bool interruptible)
{
	struct prereg_hw_domain *hd = to_hw_domain(hw);
	u64 iova = mappings[0]->range.first;
	struct prereg_domain *d;
	int ret;

	list_for_each_entry(d, &hd->domains, entry) {
		ret = domain_map_list(hd, d, mappings, n, interruptible);
		if (ret)
			goto unmap;
	}
	return 0;

unmap:
	list_for_each_entry_continue_reverse(d, &hd->domains, entry)
		domain_unmap_done(hw, d, iova,
				  mappings[n - 1]->range.last - iova + 1);
	return ret;
}

bool prereg_domains_unmap(struct prereg_hw *hw, u64 iova, u64 bytes)
{
	struct prereg_domain *d;
	bool gone = true;

	list_for_each_entry(d, &to_hw_domain(hw)->domains, entry) {
		if (WARN_ON_ONCE(!domain_unmap(d, iova, bytes)))
			gone = false;
	}
	return gone;
}

void prereg_domains_flush(struct prereg_hw *hw)
{
	struct prereg_domain *d;

	list_for_each_entry(d, &to_hw_domain(hw)->domains, entry)
		domain_flush(d);
}
