// SPDX-License-Identifier: GPL-2.0-only
/*
 * hw_domain: a container's entries in struct iommu_domain (VT-d, AMD-Vi, SMMU…).
 *
 * A window is nothing but a rule here: what is mapped in it lives in the same page
 * tables, so windows may be of any size and their page size is a granularity.
 *
 * Groups share a domain where they can. A group that cannot (another IOMMU
 * driver, other coherency or page sizes) gets a domain of its own, into which the
 * existing mappings are replayed; from then on every map goes into each.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/iommu.h>
#include <linux/log2.h>
#include <linux/mm_types.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "compat/compat.h"
#include "hw_domain.h"
#include "prereg.h"

#define PREREG_DEFAULT_BYTES	(2ULL << 30)
#define PREREG_SECOND_START	0x1000000000ULL
#define PREREG_WINDOW_SHIFT_MAX	30
/* They mean nothing here; as many as POWER's, since QEMU asks for two and more. */
#define PREREG_LEVELS_MAX	5

static bool allow_unsafe_interrupts;
module_param(allow_unsafe_interrupts, bool, 0644);
MODULE_PARM_DESC(allow_unsafe_interrupts,
		 "Allow devices whose interrupts are not isolated. Default N");

static bool share_domains = true;
module_param(share_domains, bool, 0644);
MODULE_PARM_DESC(share_domains,
		 "Let groups of a container share page tables where they can; N serves tests. Default Y");

/**
 * struct prereg_group - an attached group
 * @entry: in domain->groups
 * @group: VFIO keeps it alive while it is attached
 * @resv_regions: struct iommu_resv_region: IOVAs it reserves
 */
struct prereg_group {
	struct list_head	entry;
	struct iommu_group	*group;
	struct list_head	resv_regions;
};

#define PREREG_NO_MSI_BASE	(~(phys_addr_t)0)

static void hw_domain_free(struct prereg_hw *hw)
{
	WARN_ON(!list_empty(&to_hw_domain(hw)->domains));
	kfree(to_hw_domain(hw)->sg);
	kfree(to_hw_domain(hw));
}

static int hw_domain_walk_groups(const struct prereg_hw *hw,
				 prereg_group_fn fn, void *data)
{
	const struct prereg_domain *d;
	const struct prereg_group *g;
	int ret;

	list_for_each_entry(d, &to_hw_domain(hw)->domains, entry) {
		list_for_each_entry(g, &d->groups, entry) {
			ret = fn(g->group, data);
			if (ret)
				return ret;
		}
	}
	return 0;
}

static bool hw_domain_coherent(const struct prereg_hw *hw)
{
	const struct prereg_domain *d;

	list_for_each_entry(d, &to_hw_domain(hw)->domains, entry)
		if (!d->coherent)
			return false;
	return true;
}

static unsigned long hw_domain_block_sizes(const struct prereg_hw *hw)
{
	const struct prereg_domain *d;
	unsigned long sizes = 0;

	list_for_each_entry(d, &to_hw_domain(hw)->domains, entry)
		sizes |= d->domain->pgsize_bitmap;
	return sizes;
}

/* Every power of two from the largest of the IOMMUs' smallest pages on. */
static void hw_domain_get_info(const struct prereg_hw *hw,
			       struct prereg_hw_info *info)
{
	const struct prereg_domain *d;
	unsigned long granule = SZ_4K;

	list_for_each_entry(d, &to_hw_domain(hw)->domains, entry)
		granule = max(granule, domain_granule(d->domain));
	*info = (struct prereg_hw_info) {
		.default_bytes	= PREREG_DEFAULT_BYTES,
		.second_start	= PREREG_SECOND_START,
		.pgsizes	= GENMASK_ULL(PREREG_WINDOW_SHIFT_MAX,
					      ilog2(granule)),
		.windows	= PREREG_WINDOWS_MAX,
		.levels		= PREREG_LEVELS_MAX,
	};
}

/*
 * Reserved IOVAs: MSI doorbells, and memory the firmware wants mapped as it is.
 * IOMMU_RESV_DIRECT_RELAXABLE is what only boot needs (as for VFIO's type 1).
 */
static bool resv_is_hole(const struct iommu_resv_region *resv)
{
	return resv->type != IOMMU_RESV_DIRECT_RELAXABLE && resv->length;
}

/* Pages of at least the kernel's size that every IOMMU can map. */
static unsigned long hw_domain_pgsizes(const struct prereg_hw *hw)
{
	const struct prereg_domain *d;
	unsigned long sizes = ULONG_MAX;

	list_for_each_entry(d, &to_hw_domain(hw)->domains, entry)
		sizes &= d->domain->pgsize_bitmap;
	/* What has smaller pages takes one of the kernel's in pieces. */
	return (sizes & PAGE_MASK) | PAGE_SIZE;
}

/* Move *first behind what excludes it, and *last before what follows; false: no way. */
static bool domain_cut_range(const struct prereg_domain *d, u64 *first,
			     u64 *last)
{
	const struct iommu_domain_geometry *geometry = &d->domain->geometry;
	const struct iommu_resv_region *resv;
	const struct prereg_group *g;
	u64 start, end;

	*first = max_t(u64, *first, geometry->aperture_start);
	*last = min_t(u64, *last, geometry->aperture_end);
	list_for_each_entry(g, &d->groups, entry) {
		list_for_each_entry(resv, &g->resv_regions, list) {
			start = resv->start;
			end = start + resv->length - 1;
			if (!resv_is_hole(resv) || end < *first)
				continue;
			if (start > *first) {
				*last = min(*last, start - 1);
				continue;
			}
			if (end == U64_MAX)
				return false;
			*first = end + 1;
		}
	}
	return true;
}

/* Groups come or go. */
static void hw_forget_usable(struct prereg_hw_domain *hw)
{
	hw->usable_first = U64_MAX;
	hw->usable_last = 0;
}

static bool hw_domain_usable_range(const struct prereg_hw *hw, u64 *first,
				   u64 *last)
{
	struct prereg_hw_domain *hd = to_hw_domain(hw);
	const struct prereg_domain *d;
	u64 start;

	if (*first >= hd->usable_first && *first <= hd->usable_last) {
		*last = hd->usable_last;
		return true;
	}
	/* What moves the start may move it into what was looked at before. */
	do {
		start = *first;
		*last = U64_MAX;
		list_for_each_entry(d, &hd->domains, entry)
			if (!domain_cut_range(d, first, last))
				return false;
	} while (*first != start);
	if (*first > *last)
		return false;
	hd->usable_first = *first;
	hd->usable_last = *last;
	return true;
}

static int hw_domain_check(const struct prereg_hw *hw,
			   const struct prereg_window *window, u64 iova,
			   const struct prereg_region *region, u64 offset,
			   u64 bytes)
{
	return prereg_hw_usable(hw, iova, iova + bytes - 1) ? 0 : -ENXIO;
}

static struct prereg_group *hw_find_group(const struct prereg_hw_domain *hw,
					  struct iommu_group *group,
					  struct prereg_domain **domain)
{
	struct prereg_domain *d;
	struct prereg_group *g;

	list_for_each_entry(d, &hw->domains, entry) {
		list_for_each_entry(g, &d->groups, entry) {
			if (g->group == group) {
				*domain = d;
				return g;
			}
		}
	}
	return NULL;
}

static struct prereg_group *group_alloc(struct iommu_group *group)
{
	struct prereg_group *g;

	g = kzalloc(sizeof(*g), GFP_KERNEL_ACCOUNT);
	if (!g)
		return NULL;
	g->group = group;
	INIT_LIST_HEAD(&g->resv_regions);
	return g;
}

static void group_free(struct prereg_group *g)
{
	struct iommu_resv_region *resv, *next;

	list_for_each_entry_safe(resv, next, &g->resv_regions, list)
		kfree(resv);
	kfree(g);
}

/* Where the group wants its MSI doorbells mapped by software, if it does. */
static phys_addr_t group_msi_base(const struct prereg_group *g)
{
	const struct iommu_resv_region *resv;
	phys_addr_t base = PREREG_NO_MSI_BASE;

	list_for_each_entry(resv, &g->resv_regions, list) {
		/* A hardware MSI region takes precedence. */
		if (resv->type == IOMMU_RESV_MSI)
			return PREREG_NO_MSI_BASE;
		if (resv->type == IOMMU_RESV_SW_MSI)
			base = resv->start;
	}
	return base;
}

/* Is anything mapped, or may be mapped, that the new group could not use? */
static bool hw_conflicts(struct prereg_container *container,
			 const struct prereg_group *g,
			 const struct iommu_domain *domain)
{
	const struct iommu_domain_geometry *geometry = &domain->geometry;
	const struct iommu_resv_region *resv;
	unsigned int i;

	for (i = 0; i < PREREG_WINDOWS_MAX; i++)
		if (container->windows[i].page_shift &&
		    BIT_ULL(container->windows[i].page_shift) <
		    domain_granule(domain))
			return true;
	if (geometry->aperture_start &&
	    prereg_iova_mapped(container, 0, geometry->aperture_start - 1))
		return true;
	if (geometry->aperture_end < U64_MAX &&
	    prereg_iova_mapped(container, geometry->aperture_end + 1, U64_MAX))
		return true;
	list_for_each_entry(resv, &g->resv_regions, list)
		if (resv_is_hole(resv) &&
		    prereg_iova_mapped(container, resv->start,
				       resv->start + resv->length - 1))
			return true;
	return false;
}

/* May a group that fits new use the page tables of d? */
static bool domain_matches(const struct prereg_domain *d,
			   const struct prereg_domain *new)
{
	return share_domains && d->domain->ops == new->domain->ops &&
	       d->domain->pgsize_bitmap == new->domain->pgsize_bitmap &&
	       d->domain->geometry.aperture_start ==
	       new->domain->geometry.aperture_start &&
	       d->domain->geometry.aperture_end ==
	       new->domain->geometry.aperture_end &&
	       d->coherent == new->coherent && d->msi_base == new->msi_base;
}

static int group_first_device(struct device *dev, void *data)
{
	*(struct device **)data = dev;
	return 1;
}

/* Do the group's devices use the domain? */
static bool group_is_in(struct iommu_group *group,
			const struct iommu_domain *domain)
{
	struct device *dev = NULL;

	iommu_group_for_each_dev(group, &dev, group_first_device);
	return dev && iommu_get_domain_for_dev(dev) == domain;
}

/*
 * Move the group from its new domain into one that exists. 1: moved, 0: stays.
 *
 * A driver that is out of memory may fail to detach. 6.1 warns, tells us
 * nothing, and answers attaches with -EBUSY: the group is in its new domain as
 * before, which must not be freed then. Later kernels let no detach fail and have
 * other reasons for that error.
 */
static int hw_share_domain(struct prereg_hw_domain *hw, struct prereg_group *g,
			   struct prereg_domain *new)
{
	struct prereg_domain *d;
	int ret;

	list_for_each_entry(d, &hw->domains, entry) {
		if (!domain_matches(d, new))
			continue;
		iommu_detach_group(new->domain, g->group);
		if (!iommu_attach_group(d->domain, g->group)) {
			list_add(&g->entry, &d->groups);
			return 1;
		}
		ret = iommu_attach_group(new->domain, g->group);
		if (ret)
			return group_is_in(g->group, new->domain) ? 0 : ret;
	}
	return 0;
}

/*
 * Enter every mapping of the container into a new domain. On an error the domain
 * is freed with what is in it, and nothing is told to its devices meanwhile.
 */
static int hw_replay(struct prereg_container *container,
		     struct prereg_domain *new)
{
	struct prereg_mapping *mapping = NULL;
	int ret;

	while ((mapping = prereg_mapping_next(container, mapping))) {
		if (fatal_signal_pending(current))
			return -EINTR;
		/* Its release() waits for our lock, to remove all this. */
		if (!atomic_read(&mapping->registration->owner->mm->mm_users))
			return -EAGAIN;
		ret = prereg_domain_map(to_hw_domain(container->hw), new,
					mapping->range.first,
					mapping->registration->region,
					mapping->offset,
					prereg_mapping_bytes(mapping),
					mapping->prot, true);
		if (ret)
			return ret;
		cond_resched();
	}
	return 0;
}

static int hw_domain_attach(struct prereg_container *container,
			    struct iommu_group *group)
{
	struct prereg_hw_domain *hw = to_hw_domain(container->hw);
	struct prereg_domain *new, *unused;
	struct prereg_group *g;
	int ret;

	if (hw_find_group(hw, group, &unused))
		return -EINVAL;
	hw_forget_usable(hw);
	if (!allow_unsafe_interrupts && !prereg_compat_isolated_msi(group)) {
		pr_warn_ratelimited("Interrupts of IOMMU group %d are not isolated; the module parameter allow_unsafe_interrupts=1 uses it nevertheless\n",
			iommu_group_id(group));
		return -EPERM;
	}

	g = group_alloc(group);
	if (!g)
		return -ENOMEM;
	new = kzalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);
	if (!new) {
		ret = -ENOMEM;
		goto free_group;
	}
	INIT_LIST_HEAD(&new->groups);

	ret = iommu_get_group_resv_regions(group, &g->resv_regions);
	if (ret)
		goto free_new;
	new->msi_base = group_msi_base(g);

	new->domain = prereg_compat_domain_alloc(group);
	if (IS_ERR(new->domain)) {
		ret = PTR_ERR(new->domain);
		goto free_new;
	}
	ret = iommu_attach_group(new->domain, group);
	if (ret)
		goto free_domain;

	/* What the domain can do is known now that a device is in it. */
	ret = -EINVAL;
	if (domain_granule(new->domain) > PAGE_SIZE ||
	    hw_conflicts(container, g, new->domain))
		goto detach;
	new->coherent = prereg_compat_enforce_coherency(new->domain);

	ret = hw_share_domain(hw, g, new);
	if (ret < 0)
		goto free_domain;
	if (ret) {
		iommu_domain_free(new->domain);
		kfree(new);
		return 0;
	}

	ret = hw_replay(container, new);
	if (ret)
		goto detach;
	if (new->msi_base != PREREG_NO_MSI_BASE) {
		ret = iommu_get_msi_cookie(new->domain, new->msi_base);
		if (ret && ret != -ENODEV)	/* no software MSI in this kernel */
			goto detach;
	}

	list_add(&g->entry, &new->groups);
	list_add(&new->entry, &hw->domains);
	return 0;

detach:
	iommu_detach_group(new->domain, group);
free_domain:
	iommu_domain_free(new->domain);
free_new:
	kfree(new);
free_group:
	group_free(g);
	return ret;
}

/*
 * Another domain still has the mappings, so they stay; without another one they
 * are revoked while the group is still there to be flushed.
 */
static bool hw_domain_detach(struct prereg_container *container,
			     struct iommu_group *group)
{
	struct prereg_hw_domain *hw = to_hw_domain(container->hw);
	struct prereg_domain *d;
	struct prereg_group *g;

	g = hw_find_group(hw, group, &d);
	if (!g)
		return true;

	hw_forget_usable(hw);
	if (list_is_singular(&hw->domains) && list_is_singular(&d->groups))
		prereg_container_hw_goes(container);
	iommu_detach_group(d->domain, group);
	list_del(&g->entry);
	group_free(g);
	if (list_empty(&d->groups)) {
		list_del(&d->entry);
		iommu_domain_free(d->domain);
		kfree(d);
	}
	return !list_empty(&hw->domains);
}

static const struct prereg_hw_ops hw_domain_ops = {
	.free		= hw_domain_free,
	.attach		= hw_domain_attach,
	.detach		= hw_domain_detach,
	.coherent	= hw_domain_coherent,
	.walk_groups	= hw_domain_walk_groups,
	.get_info	= hw_domain_get_info,
	.block_sizes	= hw_domain_block_sizes,
	.pgsizes	= hw_domain_pgsizes,
	.usable_range	= hw_domain_usable_range,
	.check		= hw_domain_check,
	.map		= prereg_domains_map,
	.map_list	= prereg_domains_map_list,
	.unmap		= prereg_domains_unmap,
	.flush		= prereg_domains_flush,
};

struct prereg_hw *prereg_hw_domain_create(void)
{
	struct prereg_hw_domain *hw;

	hw = kzalloc(sizeof(*hw), GFP_KERNEL_ACCOUNT);
	if (!hw)
		return ERR_PTR(-ENOMEM);
	hw->sg = kmalloc_array(PREREG_SG_MAX, sizeof(*hw->sg),
			       GFP_KERNEL_ACCOUNT);
	if (!hw->sg) {
		kfree(hw);
		return ERR_PTR(-ENOMEM);
	}
	hw->hw.ops = &hw_domain_ops;
	hw_forget_usable(hw);
	INIT_LIST_HEAD(&hw->domains);
	return &hw->hw;
}
