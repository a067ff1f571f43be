// SPDX-License-Identifier: GPL-2.0-only
/*
 * emulated: what drivers of emulated (mediated) devices do with the memory that is
 * mapped in a container of type 3: they have no IOMMU, so they pin single pages
 * through VFIO and access them by the CPU, or let VFIO copy.
 *
 * A page that a driver pinned belongs to the mapping. It is charged if the mapping has
 * no region, which has it charged already. Before the mapping goes, by UNMAP or with
 * its owner, drivers are told and must unpin.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/err.h>
#include <linux/iommu.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include "dma.h"

/**
 * struct prereg_page - a page that drivers pinned
 * @range: in dma->pages: its IOVAs
 * @page: pinned once
 * @pins: by drivers
 */
struct prereg_page {
	struct prereg_range	range;
	struct page		*page;
	unsigned long		pins;
};

static struct prereg_page *page_find(const struct prereg_dma *dma, u64 iova)
{
	struct prereg_range *range = prereg_range_find(&dma->pages, iova, iova);

	return range ? container_of(range, struct prereg_page, range) : NULL;
}

/* Pin one page of a mapping more. The mapping has no such page yet. */
static void page_add(struct prereg_container *container, struct prereg_dma *dma,
		     struct prereg_page *page)
{
	prereg_range_insert(&page->range, &dma->pages);
	dma->npages++;
	/* Charged by whoever pinned it, but the region has it charged too. */
	if (dma->registration.region)
		prereg_owner_owe(dma->registration.owner, 1);
	if (container->type1->dirty_tracking)
		prereg_dirty_set(dma, page->range.first, page->range.last);
}

static void page_unpin(struct prereg_dma *dma, struct prereg_page *page)
{
	if (--page->pins)
		return;
	prereg_range_remove(&page->range, &dma->pages);
	dma->npages--;
	prereg_page_unpin(page->page, dma->mapping.prot & IOMMU_WRITE);
	if (!dma->registration.region)
		prereg_owner_owe(dma->registration.owner, 1);
	kfree(page);
}

void prereg_emulated_charge(struct prereg_dma *dma, bool by_region)
{
	prereg_owner_owe(dma->registration.owner,
			 by_region ? dma->npages : -(long)dma->npages);
}

void prereg_emulated_set_dirty(struct prereg_dma *dma, u64 first, u64 last)
{
	struct prereg_range *range;

	for (range = prereg_range_find(&dma->pages, first, last);
	     range && range->first <= last; range = prereg_range_next(range))
		prereg_dirty_set(dma, range->first, range->last);
}

void prereg_emulated_forget(struct prereg_dma *dma)
{
	struct prereg_range *range;

	/* Lost pages are better than pages that a driver may still write. */
	if (!dma->registration.region)
		prereg_owner_owe(dma->registration.owner, dma->npages);
	pr_err("%lu pages stay pinned: a driver of an emulated device did not unpin them\n",
	       dma->npages);
	while ((range = prereg_range_find(&dma->pages, 0, U64_MAX))) {
		prereg_range_remove(range, &dma->pages);
		kfree(container_of(range, struct prereg_page, range));
	}
	dma->npages = 0;
}

/* How often drivers are told; what is pinned even then is a driver that does not unpin. */
#define PREREG_TELL_MAX	10

/* The first mapping there with pinned pages, or NULL; untold: of which drivers are yet to be told. */
static struct prereg_dma *dma_with_pages(struct prereg_container *container,
					 u64 first, u64 last,
					 const struct prereg_owner *owner,
					 bool untold)
{
	struct prereg_mapping *mapping;
	struct prereg_dma *dma;

	prereg_for_each_mapping(mapping, container, first, last) {
		dma = mapping_dma(mapping);
		if (dma->npages && !(untold && dma->going >= PREREG_TELL_MAX) &&
		    (!owner || mapping->registration->owner == owner))
			return dma;
	}
	return NULL;
}

/*
 * Drivers call back to unpin, which takes container->lock. We may be an owner's release()
 * and VFIO may be about to release the container: but devices in the list are
 * open, and as long as devices_lock is held they stay so and keep it. It is held until
 * all were told, so that whoever finds a mapping going knows that they have been.
 *
 * A call under way may have pinned what its driver does not know of yet, and unpins it when
 * its next page is refused, or finds it when it is told again: after 1 ms, 2 ms, 4 ms, but
 * together no more than a second.
 */
bool prereg_emulated_tell(struct prereg_container *container, u64 first,
			  u64 last, const struct prereg_owner *owner)
{
	unsigned long id = container->id;
	struct vfio_device *device;
	struct prereg_dma *dma;
	unsigned int naps = 0;
	bool again;
	u64 iova, bytes;

	if (!dma_with_pages(container, first, last, owner, false))
		return false;
	mutex_unlock(&container->lock);
	mutex_lock(&container->devices_lock);
	mutex_lock(&container->lock);
	while (container->id == id &&
	       (dma = dma_with_pages(container, first, last, owner, true))) {
		again = dma->going++;
		iova = dma->mapping.range.first;
		bytes = dma_bytes(dma);
		mutex_unlock(&container->lock);
		if (again && naps < PREREG_TELL_MAX)
			msleep(1 << naps++);
		list_for_each_entry(device, &container->devices, iommu_entry)
			device->ops->dma_unmap(device, iova, bytes);
		mutex_lock(&container->lock);
	}
	mutex_unlock(&container->devices_lock);
	return true;
}

void prereg_emulated_stay(struct prereg_container *container, u64 first,
			  u64 last)
{
	struct prereg_mapping *mapping;

	prereg_for_each_mapping(mapping, container, first, last)
		mapping_dma(mapping)->going = 0;
}

/* Who cannot be told of an UNMAP is not noted, and may not pin. */
static void device_note(unsigned long id, struct vfio_device *vdev, bool opened)
{
	struct prereg_container *container = prereg_container_held(id);

	if (!vdev->ops->dma_unmap)
		return;
	mutex_lock(&container->devices_lock);
	mutex_lock(&container->lock);
	if (opened) {
		list_add(&vdev->iommu_entry, &container->devices);
		container->ndevices++;
	} else {
		list_del(&vdev->iommu_entry);
		container->ndevices--;
	}
	mutex_unlock(&container->lock);
	mutex_unlock(&container->devices_lock);
}

void prereg_emulated_register_device(void *iommu_data,
				     struct vfio_device *vdev)
{
	device_note((unsigned long)iommu_data, vdev, true);
}

void prereg_emulated_unregister_device(void *iommu_data,
				       struct vfio_device *vdev)
{
	device_note((unsigned long)iommu_data, vdev, false);
}

/* A page, pinned and charged for, or ERR_PTR(). charge: it is not charged yet. No lock held. */
static struct prereg_page *page_make(const struct prereg_dma_hold *hold,
				     unsigned long vaddr, u64 iova, bool charge)
{
	struct prereg_page *page;
	int ret = 0;

	page = kzalloc(sizeof(*page), GFP_KERNEL_ACCOUNT);
	if (!page)
		return ERR_PTR(-ENOMEM);
	page->range.first = iova;
	page->range.last = iova + PAGE_SIZE - 1;
	page->pins = 1;
	if (charge)
		ret = prereg_owner_charge(hold->owner, 1, &hold->payer);
	else
		prereg_owner_owe(hold->owner, -1);
	if (ret == -ENOMEM)
		prereg_owner_refused(hold->owner, 1, &hold->payer);
	if (ret)
		goto free_page;
	ret = prereg_page_pin(hold->owner, vaddr, hold->write, &page->page);
	if (!ret)
		return page;
	prereg_owner_owe(hold->owner, 1);
free_page:
	kfree(page);
	return ERR_PTR(ret);
}

/* The mapping for a page that a driver wants, or ERR_PTR(). container->lock held. */
static struct prereg_dma *dma_to_pin(struct prereg_container *container,
				     u64 iova, int prot)
{
	struct prereg_dma *dma;

	/* Who could not be told of an UNMAP must not pin. */
	if (!container->ndevices)
		return ERR_PTR(-EINVAL);
	dma = prereg_dma_find(container, iova);
	if (!dma || dma->going)
		return ERR_PTR(-EINVAL);
	if ((dma->mapping.prot & prot) != prot)
		return ERR_PTR(-EPERM);
	return dma;
}

/*
 * Pin once more what a driver has pinned already. Return: 1; 0: nobody has, the mapping is in
 * @dma; errors of dma_to_pin(). container->lock held.
 */
static int pin_again(struct prereg_container *container, u64 iova, int prot,
		     struct prereg_dma **dma, struct page **result)
{
	struct prereg_page *page;

	*dma = dma_to_pin(container, iova, prot);
	if (IS_ERR(*dma))
		return PTR_ERR(*dma);
	page = page_find(*dma, iova);
	if (!page)
		return 0;
	page->pins++;
	*result = page->page;
	return 1;
}

/*
 * Pin the page at an IOVA, a multiple of PAGE_SIZE. Pinning holds no lock: the mapping is
 * looked up again afterwards, and may be gone or another one's.
 */
static int pin_page(struct prereg_container *container, u64 iova, int prot,
		    struct page **result)
{
	struct prereg_dma_hold hold;
	struct prereg_page *page;
	struct prereg_dma *dma;
	unsigned long vaddr;
	bool charge;
	int ret;

	mutex_lock(&container->lock);
	ret = pin_again(container, iova, prot, &dma, result);
	if (!ret) {
		vaddr = dma_vaddr(dma, iova);
		charge = !dma->registration.region;
		if (!prereg_dma_hold_get(container, dma, &hold))
			ret = -ENODEV;
	}
	mutex_unlock(&container->lock);
	if (ret)
		return min(ret, 0);

	page = page_make(&hold, vaddr, iova, charge);
	if (IS_ERR(page)) {
		ret = PTR_ERR(page);
		goto release;
	}

	mutex_lock(&container->lock);
	ret = pin_again(container, iova, prot, &dma, result);
	if (!ret && dma->serial != hold.serial)
		ret = -EINVAL;
	if (!ret) {
		page_add(container, dma, page);
		*result = page->page;
		page = NULL;
	}
	mutex_unlock(&container->lock);

	if (page) {
		prereg_page_unpin(page->page, false);
		prereg_owner_owe(hold.owner, 1);
		kfree(page);
	}
release:
	prereg_dma_hold_put(&hold);
	return min(ret, 0);
}

/* The group's driver pins what it writes: only what is pinned can be dirty by it. */
static void group_scoped(struct prereg_container *container,
			 struct iommu_group *group)
{
	struct prereg_type1 *type1 = container->type1;
	struct prereg_type1_group *g;

	mutex_lock(&container->lock);
	g = prereg_type1_find_group(type1, group);
	if (g && !g->scoped) {
		g->scoped = true;
		type1->unscoped_groups--;
	}
	mutex_unlock(&container->lock);
}

static void unpin_pages(struct prereg_container *container, u64 iova, int npage)
{
	struct prereg_owner *owner;
	struct prereg_page *page;
	struct prereg_dma *dma;

	for (; npage > 0; npage--, iova += PAGE_SIZE) {
		mutex_lock(&container->lock);
		dma = prereg_dma_find(container, iova);
		page = dma ? page_find(dma, iova) : NULL;
		owner = page ? dma->registration.owner : NULL;
		if (owner) {
			prereg_owner_hold(owner);
			page_unpin(dma, page);
		}
		mutex_unlock(&container->lock);
		if (owner) {
			prereg_owner_pay(owner);
			prereg_owner_drop(owner);
		}
	}
}

int prereg_emulated_pin_pages(void *iommu_data, struct iommu_group *group,
			      dma_addr_t user_iova, int npage, int prot,
			      struct page **pages)
{
	struct prereg_container *container =
		prereg_container_held((unsigned long)iommu_data);
	u64 iova = user_iova & PAGE_MASK, last;
	int i, ret;

	if (npage <= 0)
		return -EINVAL;
	if (check_add_overflow(iova, (u64)npage * PAGE_SIZE - 1, &last))
		return -EOVERFLOW;
	if (!container->type1)
		return -EINVAL;
	if (!container->type1->v2)
		return -EACCES;
	for (i = 0; i < npage; i++) {
		ret = pin_page(container, iova + i * PAGE_SIZE, prot,
			       &pages[i]);
		if (ret) {
			unpin_pages(container, iova, i);
			return ret;
		}
	}
	group_scoped(container, group);
	return npage;
}

void prereg_emulated_unpin_pages(void *iommu_data, dma_addr_t user_iova,
				 int npage)
{
	unpin_pages(prereg_container_held((unsigned long)iommu_data),
		    user_iova & PAGE_MASK, npage);
}

static void rw_dirty(struct prereg_container *container, struct prereg_dma *dma,
		     u64 iova, size_t count)
{
	if (container->type1->dirty_tracking)
		prereg_dirty_set(dma, iova, min(iova + count - 1,
						dma->mapping.range.last));
}

/*
 * Copy between a buffer and what is mapped at an IOVA, as far as one mapping goes. The process's own threads
 * and kernel threads may; no lock is held while they wait for page faults.
 * Return: bytes; -EINVAL nothing is mapped there; -EPERM read-only or a dead
 * process's; -EFAULT.
 */
static ssize_t rw_chunk(struct prereg_container *container, u64 iova,
			void *data, size_t count, bool write)
{
	struct mm_struct *mm = NULL;
	unsigned long vaddr = 0;
	struct prereg_dma *dma;
	ssize_t ret = 0;
	bool kthread;
	size_t left;

	mutex_lock(&container->lock);
	dma = prereg_dma_find(container, iova);
	if (!dma) {
		ret = -EINVAL;
	} else if (!(dma->mapping.prot & IOMMU_READ) ||
		   (write && !(dma->mapping.prot & IOMMU_WRITE))) {
		ret = -EPERM;
	} else {
		mm = dma->registration.owner->mm;
		if (current->mm && current->mm != mm)
			ret = -EFAULT;
		else if (!mmget_not_zero(mm))
			ret = -EPERM;
		vaddr = dma_vaddr(dma, iova);
		count = min_t(u64, count, dma->mapping.range.last - iova + 1);
	}
	/* Before, as the mapping may go meanwhile; and after, as it may be asked for. */
	if (!ret && write)
		rw_dirty(container, dma, iova, count);
	mutex_unlock(&container->lock);
	if (ret)
		return ret;

	kthread = !current->mm;
	if (kthread)
		kthread_use_mm(mm);
	left = write ? copy_to_user((void __user *)vaddr, data, count) :
		       copy_from_user(data, (void __user *)vaddr, count);
	if (kthread)
		kthread_unuse_mm(mm);
	mmput_async(mm);
	if (left)
		return -EFAULT;

	if (write) {
		mutex_lock(&container->lock);
		dma = prereg_dma_find(container, iova);
		if (dma)
			rw_dirty(container, dma, iova, count);
		mutex_unlock(&container->lock);
	}
	return count;
}

int prereg_emulated_dma_rw(void *iommu_data, dma_addr_t user_iova, void *data,
			   size_t count, bool write)
{
	struct prereg_container *container =
		prereg_container_held((unsigned long)iommu_data);
	ssize_t done;

	while (count) {
		done = rw_chunk(container, user_iova, data, count, write);
		if (done < 0)
			return done;
		user_iova += done;
		data += done;
		count -= done;
	}
	return 0;
}
