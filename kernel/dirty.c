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
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include "dma.h"

/* Bits of user space's bitmap that are changed at once. */
#define PREREG_DIRTY_PIECE	(PAGE_SIZE * BITS_PER_BYTE)

int prereg_dirty_alloc(struct prereg_dma *dma, u64 page)
{
	u64 npages = dma_bytes(dma) >> ilog2(page);

	if (npages > PREREG_DIRTY_PAGES_MAX)
		return -EINVAL;
	dma->dirty = kvzalloc(PREREG_DIRTY_BITMAP_BYTES(npages),
			      GFP_KERNEL_ACCOUNT);
	return dma->dirty ? 0 : -ENOMEM;
}

void prereg_dirty_set(struct prereg_container *container,
		      struct prereg_dma *dma, u64 first, u64 last)
{
	unsigned int shift = ilog2(prereg_type1_page(container));
	u64 base = dma->mapping.range.first;

	bitmap_set(dma->dirty, (first - base) >> shift,
		   ((last - base) >> shift) - ((first - base) >> shift) + 1);
}

void prereg_dirty_set_all(struct prereg_container *container)
{
	struct prereg_mapping *mapping = NULL;

	if (!container->type1->dirty_tracking)
		return;
	while ((mapping = prereg_mapping_next(container, mapping)))
		prereg_dirty_set(container, mapping_dma(mapping),
				 mapping->range.first, mapping->range.last);
}

static int dirty_start(struct prereg_container *container)
{
	struct prereg_mapping *mapping = NULL;
	u64 page = prereg_type1_page(container);
	int ret = 0;

	if (container->type1->dirty_tracking)
		return 0;
	while (!ret && (mapping = prereg_mapping_next(container, mapping))) {
		ret = prereg_dirty_alloc(mapping_dma(mapping), page);
		if (!ret)
			prereg_emulated_set_dirty(container,
						  mapping_dma(mapping));
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
 * @shift: log2 of the IOVAs a bit stands for
 * @bits: PREREG_DIRTY_PIECE of them
 */
struct dirty_piece {
	u64		first;
	u64		last;
	unsigned int	shift;
	unsigned long	*bits;
};

/* Put a mapping's bits into the piece; all: each is set. */
static void piece_add(struct dirty_piece *piece, const struct prereg_dma *dma,
		      bool all)
{
	u64 base = dma->mapping.range.first;
	u64 first = max(base, piece->first);
	u64 last = min(dma->mapping.range.last, piece->last);
	unsigned long to = (first - piece->first) >> piece->shift;
	unsigned long from = (first - base) >> piece->shift;
	unsigned long n = (last - first + 1) >> piece->shift;

	if (all) {
		bitmap_set(piece->bits, to, n);
		return;
	}
	bitmap_clear(piece->bits, to, n);
	for (n += from; (from = find_next_bit(dma->dirty, n, from)) < n; from++)
		__set_bit((base - piece->first + ((u64)from << piece->shift)) >>
			  piece->shift, piece->bits);
}

/* Which part of the bitmap the piece is, and how long it is. */
static u64 __user *piece_user(const struct dirty_piece *piece,
			      const struct vfio_bitmap *bitmap, u64 iova,
			      size_t *bytes)
{
	u64 bit = (piece->first - iova) >> piece->shift;

	*bytes = PREREG_DIRTY_BITMAP_BYTES(((piece->last - piece->first) >>
					    piece->shift) + 1);
	return bitmap->data + bit / BITS_PER_TYPE(u64);
}

/*
 * Go through the bitmap that begins at iova, where it stands for [first, last], piece by
 * piece: read, let @fill change it, write; if it cannot be written, @unfill.
 */
static int bitmap_update(const struct vfio_bitmap *bitmap, u64 iova, u64 first,
			 u64 last,
			 int (*fill)(struct dirty_piece *piece, void *data),
			 void (*unfill)(struct dirty_piece *piece, void *data),
			 void *data)
{
	struct dirty_piece piece = { .shift = ilog2(bitmap->pgsize) };
	u64 step = (u64)PREREG_DIRTY_PIECE << piece.shift;
	u64 __user *user;
	size_t bytes;
	int ret = 0;

	piece.bits = (unsigned long *)__get_free_page(GFP_KERNEL);
	if (!piece.bits)
		return -ENOMEM;
	/* Words are read and written whole. */
	piece.first = iova + round_down(first - iova,
					(u64)BITS_PER_TYPE(u64) << piece.shift);
	for (;;) {
		piece.last = min(last, piece.first + (step - 1));
		user = piece_user(&piece, bitmap, iova, &bytes);
		ret = -EFAULT;
		if (copy_from_user(piece.bits, user, bytes))
			break;
		ret = fill(&piece, data);
		if (ret)
			break;
		if (copy_to_user(user, piece.bits, bytes)) {
			if (unfill)
				unfill(&piece, data);
			ret = -EFAULT;
			break;
		}
		if (piece.last == last)
			break;
		piece.first = piece.last + 1;
		cond_resched();
	}
	free_page((unsigned long)piece.bits);
	return ret;
}

/* Nothing changes: can it be written? */
static int fill_nothing(struct dirty_piece *piece, void *data)
{
	return 0;
}

/* Bits may be of a size that is not the container's page: that is found out later. */
static int bitmap_check(const struct vfio_bitmap *bitmap, u64 bytes)
{
	u64 npages;

	if (!is_power_of_2(bitmap->pgsize))
		return -EINVAL;
	npages = bytes >> ilog2(bitmap->pgsize);
	if (!npages || !bitmap->size ||
	    bitmap->size > PREREG_DIRTY_BITMAP_BYTES_MAX ||
	    bitmap->size < PREREG_DIRTY_BITMAP_BYTES(npages))
		return -EINVAL;
	return access_ok(bitmap->data, bitmap->size) ? 0 : -EINVAL;
}

int prereg_dirty_get_bitmap(struct vfio_bitmap *bitmap, void __user *user,
			    u64 bytes)
{
	int ret;

	if (copy_from_user(bitmap, user, sizeof(*bitmap)))
		return -EFAULT;
	ret = bitmap_check(bitmap, bytes);
	if (ret)
		return ret;
	/* Whole pages: what is left over has no bit. */
	bytes = round_down(bytes, bitmap->pgsize);
	return bitmap_update(bitmap, 0, 0, bytes - 1, fill_nothing, NULL,
			     NULL);
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
			const struct vfio_bitmap *bitmap, u64 iova)
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
	int ret = 0;

	if (IS_ERR(container))
		return PTR_ERR(container);
	if (!container->type1->dirty_tracking ||
	    ilog2(prereg_type1_page(container)) != piece->shift)
		ret = -EINVAL;
	for (mapping = prereg_mapping_first(container, piece->first,
					    piece->last);
	     !ret && mapping && mapping->range.first <= piece->last;
	     mapping = prereg_mapping_next(container, mapping)) {
		dma = mapping_dma(mapping);
		piece_add(piece, dma, container->type1->unscoped_groups &&
				      mapping->registration->region);
		/* Reported, but what is pinned can be written at any time. */
		bitmap_clear(dma->dirty,
			     (max(piece->first, mapping->range.first) -
			      mapping->range.first) >> piece->shift,
			     (min(piece->last, mapping->range.last) -
			      max(piece->first, mapping->range.first) + 1) >>
			     piece->shift);
		prereg_emulated_set_dirty(container, dma);
	}
	prereg_container_unlock(container);
	return ret;
}

/* It was not reported after all. */
static void unfill_get(struct dirty_piece *piece, void *data)
{
	const unsigned long *id = data;
	struct prereg_container *container = prereg_container_lock(*id);
	struct prereg_mapping *mapping;

	if (IS_ERR(container))
		return;
	for (mapping = prereg_mapping_first(container, piece->first,
					    piece->last);
	     mapping && mapping->range.first <= piece->last &&
	     container->type1->dirty_tracking;
	     mapping = prereg_mapping_next(container, mapping))
		prereg_dirty_set(container, mapping_dma(mapping),
				 max(piece->first, mapping->range.first),
				 min(piece->last, mapping->range.last));
	prereg_container_unlock(container);
}

/* A range must not cut a mapping. */
static int dirty_get_check(unsigned long id,
			   const struct vfio_iommu_type1_dirty_bitmap_get *get)
{
	struct prereg_container *container = prereg_container_lock(id);
	u64 page;
	int ret = 0;

	if (IS_ERR(container))
		return PTR_ERR(container);
	page = prereg_type1_page(container);
	if (!container->type1->dirty_tracking || get->bitmap.pgsize != page ||
	    (get->iova | get->size) & (page - 1) ||
	    prereg_dma_is_cut(container, get->iova) ||
	    prereg_dma_is_cut(container, get->iova + get->size))
		ret = -EINVAL;
	prereg_container_unlock(container);
	return ret;
}

static int dirty_get(unsigned long id, void __user *user, size_t bytes)
{
	struct vfio_iommu_type1_dirty_bitmap_get get;
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
	ret = bitmap_check(&get.bitmap, get.size);
	if (!ret)
		ret = dirty_get_check(id, &get);
	if (ret)
		return ret;
	return bitmap_update(&get.bitmap, get.iova, get.iova, last, fill_get,
			     unfill_get, &id);
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
