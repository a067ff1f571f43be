// SPDX-License-Identifier: GPL-2.0
/* Trees of ranges against an array. */
#include "unit.h"

#define ADDRESSES	256

static struct prereg_range ranges[ADDRESSES];
/* Which range each address is in, by number of its first address. */
static int owner_of[ADDRESSES];

static struct prereg_range *naive_find(unsigned int first, unsigned int last)
{
	for (; first <= last; first++)
		if (owner_of[first] >= 0)
			return &ranges[owner_of[first]];
	return NULL;
}

static void a_tree_of_ranges_is_what_an_array_is(void)
{
	struct rng rng = rng_stream(unit_seed, 3);
	struct rb_root root = RB_ROOT;
	unsigned int step, first, last, i;
	unsigned long inserted = 0, refused = 0;

	tap_diag("seed %llu", unit_seed);
	memset(owner_of, -1, sizeof(owner_of));
	for (step = 0; step < 100000 && !tap_failures(); step++) {
		struct prereg_range *found;

		first = rng_below(&rng, ADDRESSES);
		last = first + rng_below(&rng, 1 << rng_below(&rng, 6));
		if (last >= ADDRESSES)
			last = ADDRESSES - 1;
		found = naive_find(first, last);
		EXPECT(prereg_range_find(&root, first, last) == found);

		if (step % 3) {
			/* Where one begins already its struct is in the tree. */
			struct prereg_range other = { .first = first, .last = last };
			struct prereg_range *range = found ? &other : &ranges[first];

			*range = other;
			EXPECT(prereg_range_insert(range, &root) == !found);
			for (i = first; i <= last && !found; i++)
				owner_of[i] = first;
			inserted += !found;
			refused += !!found;
		} else if (found) {
			prereg_range_remove(found, &root);
			for (i = found->first; i <= found->last; i++)
				owner_of[i] = -1;
		}

		/* All of them in order. */
		found = prereg_range_find(&root, 0, U64_MAX);
		for (i = 0; i < ADDRESSES; i++) {
			if (owner_of[i] != i)
				continue;
			EXPECT(found == &ranges[i]);
			found = found ? prereg_range_next(found) : NULL;
		}
		EXPECT(!found);
	}
	EXPECT(inserted > 1000 && refused > 1000);
}

static void ranges_reach_to_the_last_address(void)
{
	struct prereg_range low = { .first = 0, .last = 0 };
	struct prereg_range high = { .first = U64_MAX, .last = U64_MAX };
	struct prereg_range rest = { .first = 1, .last = U64_MAX - 1 };
	struct prereg_range all = { .first = 0, .last = U64_MAX };
	struct rb_root root = RB_ROOT;

	EXPECT(!prereg_range_find(&root, 0, U64_MAX));
	EXPECT(prereg_range_insert(&high, &root));
	EXPECT(prereg_range_insert(&low, &root));
	EXPECT(!prereg_range_find(&root, 1, U64_MAX - 1));
	EXPECT(!prereg_range_insert(&all, &root));
	EXPECT(prereg_range_insert(&rest, &root));
	EXPECT(prereg_range_find(&root, 0, U64_MAX) == &low);
	EXPECT(prereg_range_next(&low) == &rest);
	EXPECT(prereg_range_next(&rest) == &high);
	EXPECT(!prereg_range_next(&high));
	prereg_range_remove(&rest, &root);
	EXPECT(prereg_range_find(&root, 1, U64_MAX) == &high);
}

const struct unit_test range_tests[] = {
	UNIT(a_tree_of_ranges_is_what_an_array_is),
	UNIT(ranges_reach_to_the_last_address),
	{ }
};
