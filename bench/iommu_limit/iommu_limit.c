// SPDX-License-Identifier: GPL-2.0-only
/*
 * iommu_limit: what nobody can beat through the kernel's IOMMU API. For
 * benchmarks only; it belongs in a throw-away guest.
 *
 * It pins memory and maps it with bare iommu_map() calls, each of a whole
 * physically contiguous stretch, into a domain that a device's group is attached
 * to, so that flushes are real. There is no bookkeeping beyond the list of
 * stretches, which is made by a call of its own.
 */
#include <linux/fs.h>
#include <linux/iommu.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat/compat.h"
#include "iommu_limit.h"

#define LIMIT_PIN_BATCH	512
#define LIMIT_SG_MAX	128
#define LIMIT_PROT	(IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE)

struct limit_stretch {
	u64		offset;
	phys_addr_t	phys;
};

/**
 * struct limit - an open file
 * @lock: one call at a time
 * @group: attached, or NULL
 * @domain: what it is attached to
 * @pages: pinned, or NULL
 * @npages: how many
 * @stretches: of the pinned memory, in order of their offset, and one more
 *	that marks its end
 * @nstretches: how many, the mark not counted
 * @cursor: stretch where the last map ended; maps are mostly made in order
 * @sg: room for one iommu_map_sg()
 */
struct limit {
	struct mutex		lock;
	struct iommu_group	*group;
	struct iommu_domain	*domain;
	struct page		**pages;
	unsigned long		npages;
	struct limit_stretch	*stretches;
	unsigned long		nstretches;
	unsigned long		cursor;
	struct scatterlist	sg[LIMIT_SG_MAX];
};

static int limit_attach(struct limit *limit, void __user *user)
{
	struct iommu_limit_device name;
	struct device *dev;
	int ret;

	if (copy_from_user(&name, user, sizeof(name)))
		return -EFAULT;
	name.name[sizeof(name.name) - 1] = '\0';
	if (limit->group)
		return -EBUSY;

	dev = bus_find_device_by_name(&pci_bus_type, NULL, name.name);
	if (!dev)
		return -ENODEV;
	limit->group = iommu_group_get(dev);
	put_device(dev);
	if (!limit->group)
		return -ENODEV;

	ret = iommu_group_claim_dma_owner(limit->group, limit);
	if (ret)
		goto put_group;
	limit->domain = prereg_compat_domain_alloc(limit->group);
	if (IS_ERR(limit->domain)) {
		ret = PTR_ERR(limit->domain);
		goto release_owner;
	}
	ret = iommu_attach_group(limit->domain, limit->group);
	if (ret)
		goto free_domain;
	return 0;

free_domain:
	iommu_domain_free(limit->domain);
release_owner:
	iommu_group_release_dma_owner(limit->group);
put_group:
	iommu_group_put(limit->group);
	limit->group = NULL;
	return ret;
}

static void limit_detach(struct limit *limit)
{
	if (!limit->group)
		return;
	iommu_detach_group(limit->domain, limit->group);
	iommu_domain_free(limit->domain);
	iommu_group_release_dma_owner(limit->group);
	iommu_group_put(limit->group);
	limit->group = NULL;
}

static void limit_unpin(struct limit *limit)
{
	if (!limit->pages)
		return;
	unpin_user_pages_dirty_lock(limit->pages, limit->npages, true);
	kvfree(limit->pages);
	kvfree(limit->stretches);
	limit->pages = NULL;
	limit->stretches = NULL;
}

static int limit_pin_pages(struct limit *limit, unsigned long vaddr,
			   unsigned long npages)
{
	long ret;

	for (limit->npages = 0; limit->npages < npages; limit->npages += ret) {
		if (fatal_signal_pending(current))
			return -EINTR;
		ret = pin_user_pages_fast(vaddr + (limit->npages << PAGE_SHIFT),
					  min_t(unsigned long, LIMIT_PIN_BATCH,
						npages - limit->npages),
					  FOLL_WRITE | FOLL_LONGTERM,
					  limit->pages + limit->npages);
		if (ret <= 0)
			return ret ? ret : -EFAULT;
		cond_resched();
	}
	return 0;
}

static bool limit_contiguous(const struct limit *limit, unsigned long i)
{
	return i && page_to_pfn(limit->pages[i]) ==
		    page_to_pfn(limit->pages[i - 1]) + 1;
}

static int limit_find_stretches(struct limit *limit, void __user *user)
{
	unsigned long i, n = 0;
	u64 answer;

	if (!limit->pages)
		return -ENXIO;
	if (limit->stretches)
		return -EBUSY;

	for (i = 0; i < limit->npages; i++)
		n += !limit_contiguous(limit, i);
	limit->stretches = kvmalloc_array(n + 1, sizeof(*limit->stretches),
					  GFP_KERNEL);
	if (!limit->stretches)
		return -ENOMEM;

	for (i = 0, n = 0; i < limit->npages; i++) {
		if (limit_contiguous(limit, i))
			continue;
		limit->stretches[n].offset = (u64)i << PAGE_SHIFT;
		limit->stretches[n++].phys = page_to_phys(limit->pages[i]);
	}
	limit->stretches[n].offset = (u64)i << PAGE_SHIFT;
	limit->stretches[n].phys = 0;
	limit->nstretches = n;
	limit->cursor = 0;
	answer = n;
	return copy_to_user(user, &answer, sizeof(answer)) ? -EFAULT : 0;
}

static int limit_pin(struct limit *limit, void __user *user)
{
	struct iommu_limit_range range;
	int ret;

	if (copy_from_user(&range, user, sizeof(range)))
		return -EFAULT;
	if (!range.bytes || !PAGE_ALIGNED(range.vaddr | range.bytes))
		return -EINVAL;
	if (limit->pages)
		return -EBUSY;

	limit->pages = kvmalloc_array(range.bytes >> PAGE_SHIFT,
				      sizeof(*limit->pages), GFP_KERNEL);
	if (!limit->pages)
		return -ENOMEM;
	ret = limit_pin_pages(limit, range.vaddr, range.bytes >> PAGE_SHIFT);
	if (ret)
		limit_unpin(limit);
	return ret;
}

/* The stretch at a byte of the pinned memory. */
static unsigned long limit_find(const struct limit *limit, u64 offset)
{
	unsigned long low = 0, high = limit->nstretches, middle;

	/* Mostly where the last map ended, or the one behind that. */
	for (middle = limit->cursor; middle < limit->cursor + 2 &&
	     middle < limit->nstretches; middle++)
		if (limit->stretches[middle].offset <= offset &&
		    offset < limit->stretches[middle + 1].offset)
			return middle;
	while (high - low > 1) {
		middle = low + (high - low) / 2;
		if (limit->stretches[middle].offset <= offset)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* The contiguous memory at offset, at most max bytes, of stretch i. */
static u64 limit_part(const struct limit *limit, unsigned long i, u64 offset,
		      u64 max, phys_addr_t *phys)
{
	*phys = limit->stretches[i].phys +
		(offset - limit->stretches[i].offset);
	return min(max, limit->stretches[i + 1].offset - offset);
}

static int limit_map_piece(struct limit *limit, u64 iova, u64 offset, u64 bytes)
{
	unsigned long i = limit_find(limit, offset);
	phys_addr_t phys;
	int ret = 0;
	u64 part;

	for (; bytes && !ret; bytes -= part) {
		part = limit_part(limit, i++, offset, bytes, &phys);
		ret = prereg_compat_map(limit->domain, iova, phys, part,
					LIMIT_PROT);
		iova += part;
		offset += part;
	}
	limit->cursor = i - 1;
	return ret;
}

static int limit_map_piece_sg(struct limit *limit, u64 iova, u64 offset,
			      u64 bytes)
{
	unsigned long i = limit_find(limit, offset);
	ssize_t mapped;
	phys_addr_t phys;
	unsigned int n;
	u64 part;

	while (bytes) {
		sg_init_table(limit->sg, LIMIT_SG_MAX);
		for (n = 0; bytes && n < LIMIT_SG_MAX; n++) {
			part = limit_part(limit, i++, offset, bytes, &phys);
			sg_set_page(&limit->sg[n], pfn_to_page(PHYS_PFN(phys)),
				    part, 0);
			offset += part;
			bytes -= part;
		}
		mapped = prereg_compat_map_sg(limit->domain, iova, limit->sg,
					      n, LIMIT_PROT);
		if (mapped < 0)
			return mapped;
		iova += mapped;
		cond_resched();
	}
	limit->cursor = i - 1;
	return 0;
}

static int limit_unmap_piece(struct limit *limit, u64 iova, u64 offset,
			     u64 bytes)
{
	return iommu_unmap(limit->domain, iova, bytes) == bytes ? 0 : -EIO;
}

/* A call that fails may leave a part mapped; closing the file ends that. */
static int limit_pieces(struct limit *limit, void __user *user, bool unmap,
			int (*piece)(struct limit *limit, u64 iova, u64 offset,
				     u64 bytes))
{
	struct iommu_limit_map map;
	u64 pinned, done;
	int ret = 0;

	if (copy_from_user(&map, user, sizeof(map)))
		return -EFAULT;
	if (!limit->group || !limit->stretches)
		return -ENXIO;
	if (unmap)
		map.offset = 0;
	pinned = (u64)limit->npages << PAGE_SHIFT;
	if (!map.step || map.bytes % map.step ||
	    !PAGE_ALIGNED(map.iova | map.offset | map.step) ||
	    map.bytes > pinned || map.offset > pinned - map.bytes ||
	    map.iova > U64_MAX - map.bytes)
		return -EINVAL;

	for (done = 0; done < map.bytes && !ret; done += map.step)
		ret = piece(limit, map.iova + done, map.offset + done,
			    map.step);
	return ret;
}

static long limit_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct limit *limit = file->private_data;
	void __user *user = (void __user *)arg;
	long ret = 0;

	mutex_lock(&limit->lock);
	switch (cmd) {
	case IOMMU_LIMIT_ATTACH:
		ret = limit_attach(limit, user);
		break;
	case IOMMU_LIMIT_PIN:
		ret = limit_pin(limit, user);
		break;
	case IOMMU_LIMIT_UNPIN:
		limit_unpin(limit);
		break;
	case IOMMU_LIMIT_STRETCHES:
		ret = limit_find_stretches(limit, user);
		break;
	case IOMMU_LIMIT_MAP:
		ret = limit_pieces(limit, user, false, limit_map_piece);
		break;
	case IOMMU_LIMIT_MAP_SG:
		ret = limit_pieces(limit, user, false, limit_map_piece_sg);
		break;
	case IOMMU_LIMIT_UNMAP:
		ret = limit_pieces(limit, user, true, limit_unmap_piece);
		break;
	default:
		ret = -ENOTTY;
	}
	mutex_unlock(&limit->lock);
	return ret;
}

static int limit_open(struct inode *inode, struct file *file)
{
	struct limit *limit = kzalloc(sizeof(*limit), GFP_KERNEL);

	if (!limit)
		return -ENOMEM;
	mutex_init(&limit->lock);
	file->private_data = limit;
	return 0;
}

static int limit_release(struct inode *inode, struct file *file)
{
	struct limit *limit = file->private_data;

	/* Freeing the domain takes all its entries away, before the pages go. */
	limit_detach(limit);
	limit_unpin(limit);
	kfree(limit);
	return 0;
}

static const struct file_operations limit_fops = {
	.owner		= THIS_MODULE,
	.open		= limit_open,
	.release	= limit_release,
	.unlocked_ioctl	= limit_ioctl,
};

static struct miscdevice limit_device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "iommu_limit",
	.fops	= &limit_fops,
	.mode	= 0600,
};
module_misc_device(limit_device);

MODULE_DESCRIPTION("Bare iommu_map() and iommu_unmap(), for benchmarks");
MODULE_LICENSE("GPL");
