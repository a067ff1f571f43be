// SPDX-License-Identifier: GPL-2.0-only
/*
 * dirty: which pages of a container of type 3 devices may have written
 * (VFIO_IOMMU_DIRTY_PAGES), for live migration.
 *
 * No IOMMU is asked: what a group with an IOMMU may write is dirty, always and all of
 * it, unless its driver pins what it writes. Of emulated devices it is known: what
 * they have pinned now, and what was written through dma_rw.
 *
 * User space's bitmap is read, changed and written back in pieces, without any lock,
 * so bits of IOVAs where nothing is mapped stay as they are.
 */
#include <linux/bitmap.h>
#include <linux/err.h>
#include <linux/limits.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include "dma.h"

/* Bits of user space's bitmap that are changed at once. A bit is a page. */
#define PREREG_DIRTY_PIECE	(PAGE_SIZE * BITS_PER_BYTE)

int prereg_dirty_alloc(struct prereg_dma *dma)
{
	u64 npages = dma_bytes(dma) >> PAGE_SHIFT;

	if (npages > PREREG_DIRTY_PAGES_MAX)
		return -EINVAL;
	dma->dirty = kvzalloc(PREREG_DIRTY_BITMAP_BYTES(npages),
			      GFP_KERNEL_ACCOUNT);
	return dma->dirty ? 0 : -ENOMEM;
}

void prereg_dirty_set(struct prereg_dma *dma, u64 first, u64 last)
{
	u64 base = dma->mapping.range.first;

	bitmap_set(dma->dirty, (first - base) >> PAGE_SHIFT,
		   ((last - base) >> PAGE_SHIFT) -
		   ((first - base) >> PAGE_SHIFT) + 1);
}

void prereg_dirty_set_all(struct prereg_container *container)
{
	struct prereg_mapping *mapping = NULL;

	if (!container->type1->dirty_tracking)
		return;
	while ((mapping = prereg_mapping_next(container, mapping)))
		prereg_dirty_set(mapping_dma(mapping), mapping->range.first,
				 mapping->range.last);
}

static int dirty_start(struct prereg_container *container)
{
	struct prereg_mapping *mapping = NULL;
	int ret = 0;

	if (container->type1->dirty_tracking)
		return 0;
	while (!ret && (mapping = prereg_mapping_next(container, mapping))) {
		ret = prereg_dirty_alloc(mapping_dma(mapping));
		if (!ret)
			prereg_emulated_set_dirty(mapping_dma(mapping), 0,
						  U64_MAX);
	}
	container->type1->dirty_tracking = !ret;
	return ret;
}

static void dirty_stop(struct prereg_container *container)
{
	struct prereg_mapping *mapping = NULL;

	container->type1->dirty_tracking = false;
	while ((mapping = prereg_mapping_next(container, mapping))) {
		kvfree(mapping_dma(mapping)->dirty);
		mapping_dma(mapping)->dirty = NULL;
	}
}

/**
 * struct dirty_piece - a piece of user space's bitmap
 * @first: IOVA of its first bit
 * @last: last IOVA of its last one
 * @bits: PREREG_DIRTY_PIECE of them
 */
struct dirty_piece {
	u64		first;
	u64		last;
	unsigned long	*bits;
};

/* Put a mapping's bits into the piece; all: each is set. */
static void piece_add(struct dirty_piece *piece, const struct prereg_dma *dma,
		      bool all)
{
	u64 base = dma->mapping.range.first;
	u64 first = max(base, piece->first);
	u64 last = min(dma->mapping.range.last, piece->last);
	unsigned long to = (first - piece->first) >> PAGE_SHIFT;
	unsigned long from = (first - base) >> PAGE_SHIFT;
	unsigned long n = (last - first + 1) >> PAGE_SHIFT;

	if (all) {
		bitmap_set(piece->bits, to, n);
		return;
	}
	bitmap_clear(piece->bits, to, n);
	for (n += from; (from = find_next_bit(dma->dirty, n, from)) < n; from++)
		__set_bit((base - piece->first + ((u64)from << PAGE_SHIFT)) >>
			  PAGE_SHIFT, piece->bits);
}

/* Which part of the bitmap the piece is, and how long it is. */
static u64 __user *piece_user(const struct dirty_piece *piece,
			      const struct vfio_bitmap *bitmap, u64 iova,
			      size_t *bytes)
{
	u64 bit = (piece->first - iova) >> PAGE_SHIFT;

	*bytes = PREREG_DIRTY_BITMAP_BYTES(((piece->last - piece->first) >>
					    PAGE_SHIFT) + 1);
	return bitmap->data + bit / BITS_PER_TYPE(u64);
}

/*
 * Go through the bitmap that begins at iova, where it stands for [first, last], piece by
 * piece: read, let @fill change it, write; if it cannot be written, @unfill.
 */
static int bitmap_update(struct prereg_bitmap *bitmap, u64 iova, u64 first,
			 u64 last,
			 int (*fill)(struct dirty_piece *piece, void *data),
			 void (*unfill)(struct dirty_piece *piece, void *data),
			 void *data)
{
	struct dirty_piece piece = { .bits = bitmap->piece };
	const u64 step = (u64)PREREG_DIRTY_PIECE << PAGE_SHIFT;
	u64 __user *user;
	size_t bytes;
	int ret;

	/* Words are read and written whole. */
	piece.first = iova + round_down(first - iova,
					(u64)BITS_PER_TYPE(u64) << PAGE_SHIFT);
	for (;; piece.first = piece.last + 1) {
		piece.last = min(last, piece.first + (step - 1));
		user = piece_user(&piece, &bitmap->user, iova, &bytes);
		if (copy_from_user(piece.bits, user, bytes))
			return -EFAULT;
		ret = fill(&piece, data);
		if (ret)
			return ret;
		if (copy_to_user(user, piece.bits, bytes)) {
			if (unfill)
				unfill(&piece, data);
			return -EFAULT;
		}
		if (piece.last == last)
			return 0;
		cond_resched();
	}
}

/* Nothing changes: can it be written? */
static int fill_nothing(struct dirty_piece *piece, void *data)
{
	return 0;
}

/* Check a bitmap for so many bytes of IOVAs, and get the page for a piece of it. */
static int bitmap_init(struct prereg_bitmap *bitmap, u64 bytes)
{
	const struct vfio_bitmap *user = &bitmap->user;
	u64 npages = bytes >> PAGE_SHIFT;

	if (user->pgsize != PAGE_SIZE || !npages || !user->size ||
	    user->size > PREREG_DIRTY_BITMAP_BYTES_MAX ||
	    user->size < PREREG_DIRTY_BITMAP_BYTES(npages) ||
	    !access_ok(user->data, user->size))
		return -EINVAL;
	bitmap->piece = (unsigned long *)__get_free_page(GFP_KERNEL);
	return bitmap->piece ? 0 : -ENOMEM;
}

int prereg_bitmap_get(struct prereg_bitmap *bitmap, void __user *user,
		      u64 bytes)
{
	int ret;

	if (copy_from_user(&bitmap->user, user, sizeof(bitmap->user)))
		return -EFAULT;
	ret = bitmap_init(bitmap, bytes);
	if (ret)
		return ret;
	/* Whole pages: what is left over has no bit. */
	ret = bitmap_update(bitmap, 0, 0, round_down(bytes, PAGE_SIZE) - 1,
			    fill_nothing, NULL, NULL);
	if (ret)
		prereg_bitmap_put(bitmap);
	return ret;
}

void prereg_bitmap_put(struct prereg_bitmap *bitmap)
{
	free_page((unsigned long)bitmap->piece);
}

struct report {
	struct prereg_dma	*dma;
	bool			all;
};

static int fill_report(struct dirty_piece *piece, void *data)
{
	const struct report *report = data;

	piece_add(piece, report->dma, report->all);
	return 0;
}

int prereg_dirty_report(struct prereg_dma *dma, bool all,
			struct prereg_bitmap *bitmap, u64 iova)
{
	struct report report = { .dma = dma, .all = all };

	return bitmap_update(bitmap, iova, dma->mapping.range.first,
			     dma->mapping.range.last, fill_report, NULL,
			     &report);
}

static int fill_get(struct dirty_piece *piece, void *data)
{
	const unsigned long *id = data;
	struct prereg_container *container = prereg_container_lock(*id);
	struct prereg_mapping *mapping;
	struct prereg_dma *dma;
	u64 first, last;

	if (IS_ERR(container))
		return PTR_ERR(container);
	if (!container->type1->dirty_tracking) {
		prereg_container_unlock(container);
		return -EINVAL;
	}
	prereg_for_each_mapping(mapping, container, piece->first, piece->last) {
		dma = mapping_dma(mapping);
		first = max(piece->first, mapping->range.first);
		last = min(piece->last, mapping->range.last);
		piece_add(piece, dma, container->type1->unscoped_groups &&
				      mapping->registration->region);
		/* Reported, but what is pinned can be written at any time. */
		bitmap_clear(dma->dirty,
			     (first - mapping->range.first) >> PAGE_SHIFT,
			     (last - first + 1) >> PAGE_SHIFT);
		prereg_emulated_set_dirty(dma, first, last);
	}
	prereg_container_unlock(container);
	return 0;
}

/* It was not reported after all. */
static void unfill_get(struct dirty_piece *piece, void *data)
{
	const unsigned long *id = data;
	struct prereg_container *container = prereg_container_lock(*id);
	struct prereg_mapping *mapping;

	if (IS_ERR(container))
		return;
	if (container->type1->dirty_tracking)
		prereg_for_each_mapping(mapping, container, piece->first,
					piece->last)
			prereg_dirty_set(mapping_dma(mapping),
					 max(piece->first, mapping->range.first),
					 min(piece->last, mapping->range.last));
	prereg_container_unlock(container);
}

/* A range must not cut a mapping. */
static int dirty_get_check(unsigned long id,
			   const struct vfio_iommu_type1_dirty_bitmap_get *get)
{
	struct prereg_container *container = prereg_container_lock(id);
	int ret = 0;

	if (IS_ERR(container))
		return PTR_ERR(container);
	if (!container->type1->dirty_tracking ||
	    !PAGE_ALIGNED(get->iova | get->size) ||
	    prereg_dma_is_cut(container, get->iova) ||
	    prereg_dma_is_cut(container, get->iova + get->size))
		ret = -EINVAL;
	prereg_container_unlock(container);
	return ret;
}

static int dirty_get(unsigned long id, void __user *user, size_t bytes)
{
	struct vfio_iommu_type1_dirty_bitmap_get get;
	struct prereg_bitmap bitmap;
	u64 last;
	int ret;

	if (bytes < sizeof(get))
		return -EINVAL;
	if (copy_from_user(&get, user, sizeof(get)))
		return -EFAULT;
	if (!get.size)
		return -EINVAL;
	if (check_add_overflow(get.iova, get.size - 1, &last))
		return -EOVERFLOW;
	bitmap.user = get.bitmap;
	ret = bitmap_init(&bitmap, get.size);
	if (ret)
		return ret;
	ret = dirty_get_check(id, &get);
	if (!ret)
		ret = bitmap_update(&bitmap, get.iova, get.iova, last,
				    fill_get, unfill_get, &id);
	prereg_bitmap_put(&bitmap);
	return ret;
}

int prereg_dirty_ioctl(unsigned long id, void __user *user)
{
	const size_t minsz = offsetofend(struct vfio_iommu_type1_dirty_bitmap,
					 flags);
	struct vfio_iommu_type1_dirty_bitmap dirty;
	struct prereg_container *container;
	int ret = 0;

	container = prereg_container_lock(id);
	if (IS_ERR(container))
		return PTR_ERR(container);
	if (!container->type1->v2)
		ret = -EACCES;
	prereg_container_unlock(container);
	if (ret)
		return ret;

	if (copy_from_user(&dirty, user, minsz))
		return -EFAULT;
	if (dirty.argsz < minsz)
		return -EINVAL;
	switch (dirty.flags) {
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP:
		return dirty_get(id, user + minsz, dirty.argsz - minsz);
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
		break;
	default:
		return -EINVAL;
	}

	container = prereg_container_lock(id);
	if (IS_ERR(container))
		return PTR_ERR(container);
	if (dirty.flags == VFIO_IOMMU_DIRTY_PAGES_FLAG_START)
		ret = dirty_start(container);
	if (ret || dirty.flags == VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP)
		dirty_stop(container);
	prereg_container_unlock(container);
	return ret;
}
