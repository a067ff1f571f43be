/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * range: a tree of address ranges that never overlap.
 *
 * What an interval tree does, without what it pays for overlaps; maps and
 * unmaps spend a good part of their time here.
 */
#ifndef PREREG_RANGE_H
#define PREREG_RANGE_H

#include <linux/llist.h>
#include <linux/rbtree.h>
#include <linux/types.h>

/**
 * struct prereg_range - a range in a tree, embedded in what it describes
 * @rb: the tree's node
 * @taken: instead, where it was taken out: in a list of such, which has one user
 * @first: first address
 * @last: last one
 */
struct prereg_range {
	union {
		struct rb_node		rb;
		struct llist_node	taken;
	};
	u64	first;
	u64	last;
};

/* The lowest range that has an address of [first, last], or NULL. */
static inline struct prereg_range *
prereg_range_find(const struct rb_root *root, u64 first, u64 last)
{
	struct rb_node *node = root->rb_node;
	struct prereg_range *found = NULL;

	while (node) {
		struct prereg_range *range =
			rb_entry(node, struct prereg_range, rb);

		if (last < range->first) {
			node = node->rb_left;
		} else if (first > range->last) {
			node = node->rb_right;
		} else {
			found = range;
			if (first >= range->first)
				break;
			node = node->rb_left;
		}
	}
	return found;
}

/* The range behind, or NULL. */
static inline struct prereg_range *
prereg_range_next(const struct prereg_range *range)
{
	return rb_entry_safe(rb_next(&range->rb), struct prereg_range, rb);
}

/* Return: true; false with nothing done: it overlaps a range in the tree. */
static inline bool prereg_range_insert(struct prereg_range *range,
				       struct rb_root *root)
{
	struct rb_node **link = &root->rb_node, *parent = NULL;

	while (*link) {
		struct prereg_range *there =
			rb_entry(*link, struct prereg_range, rb);

		parent = *link;
		if (range->last < there->first)
			link = &parent->rb_left;
		else if (range->first > there->last)
			link = &parent->rb_right;
		else
			return false;
	}
	rb_link_node(&range->rb, parent, link);
	rb_insert_color(&range->rb, root);
	return true;
}

static inline void prereg_range_remove(struct prereg_range *range,
				       struct rb_root *root)
{
	rb_erase(&range->rb, root);
}

#endif
