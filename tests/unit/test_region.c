// SPDX-License-Identifier: GPL-2.0
/* Regions: how memory is stored as runs, found again, pinned and refused. */
#include "unit.h"

#define VADDR		0x100000000UL
#define SEGMENT_BYTES	(PREREG_SEGMENT_PAGES << PAGE_SHIFT)

static struct prereg_owner *owner;
static struct unit_process self;

/* A process and its owner object. */
static void setup(void)
{
	unit_process_start(&self);
	owner = prereg_owner_get_current();
	EXPECT(!IS_ERR(owner));
}

static void teardown(void)
{
	prereg_owner_put(owner);
	unit_process_exit(&self);
}

static struct prereg_region *region_get(unsigned long vaddr, unsigned long bytes)
{
	struct prereg_region *region = prereg_region_get(owner, vaddr, bytes);

	EXPECT(!IS_ERR(region));
	return region;
}

/* As whoever unregisters does it. */
static void region_put(struct prereg_region *region)
{
	prereg_region_put(region);
	prereg_owner_pay(owner);
}

/*
 * A region of all of [VADDR, VADDR + bytes). Its bookkeeping as the module puts
 * it, which must be what it really allocated.
 */
static size_t footprint(unsigned long bytes)
{
	long before = fake_alloc_bytes(), used;
	struct prereg_region *region = region_get(VADDR, bytes);
	size_t footprint = prereg_region_footprint(region);

	used = fake_alloc_bytes() - before;
	EXPECT_EQ(footprint, used);
	EXPECT_EQ(fake_stat("bookkeeping_bytes"), used);
	EXPECT_EQ(fake_stat("pinned_pages"), bytes >> PAGE_SHIFT);
	EXPECT_EQ(fake_stat("charged_pages"), bytes >> PAGE_SHIFT);
	region_put(region);
	EXPECT_EQ(fake_alloc_bytes(), before);
	return footprint;
}

static void a_contiguous_region_is_one_run(void)
{
	setup();
	unit_memory(VADDR, 1000 * PAGE_SIZE);
	EXPECT_EQ(footprint(1000 * PAGE_SIZE), sizeof(struct prereg_region));
	EXPECT_EQ(footprint(PAGE_SIZE), sizeof(struct prereg_region));
	teardown();
}

static void scattered_memory_costs_eight_bytes_a_page(void)
{
	static const unsigned long npages[] = { 2, 8, 9, 513, 65536, 3 * 65536 };
	size_t i;

	setup();
	unit_memory_pieces(VADDR, 3 * SEGMENT_BYTES, PAGE_SIZE);
	for (i = 0; i < ARRAY_SIZE(npages); i++)
		EXPECT(footprint(npages[i] << PAGE_SHIFT) <=
		       8 * npages[i] + 256);
	teardown();
}

/* The whole of it, page by page, in address and frame numbers that exist. */
static void a_tebibyte_of_large_pages_costs_at_most_16_MiB(void)
{
	setup();
	fake_mm_add(current->mm, &(struct fake_vma) {
		.start = VADDR, .npages = TIB >> PAGE_SHIFT,
		.pfn = FAKE_BULK_PFN, .piece = (2 * MIB) >> PAGE_SHIFT,
	});
	EXPECT(footprint(TIB) <= 16 * MIB);
	teardown();
}

/* The frames of a region as the address space has them. */
static phys_addr_t naive_phys(u64 offset)
{
	return PFN_PHYS(fake_mm_pfn(current->mm, VADDR + offset)) +
	       offset_in_page(offset);
}

/* Memory whose pieces grow from one page to many, in an order without rule. */
static void mixed_memory(unsigned long npages)
{
	unsigned long pfn = fake_frames(2 * npages, 512), i = 0, n, end = pfn + 2 * npages;
	static u32 pfns[3 * PREREG_SEGMENT_PAGES];
	struct rng rng = rng_stream(unit_seed, 1);
	bool low = false;

	tap_diag("seed %llu", unit_seed);
	while (i < npages) {
		n = min(npages - i, 1 + rng_below(&rng, 1 << rng_below(&rng, 12)));
		/* From the lower end and from the upper one in turn. */
		low = !low;
		if (!low)
			end -= n;
		for (unsigned long k = 0; k < n; k++)
			pfns[i++] = (low ? pfn : end) + k;
		if (low)
			pfn += n;
	}
	fake_mm_add(current->mm, &(struct fake_vma) {
		.start = VADDR, .npages = npages, .pfns = pfns,
	});
}

/* Does the cursor name these bytes, whatever pieces it hands out? */
static bool cursor_agrees(struct prereg_region *region, u64 offset, u64 bytes,
			  u64 max)
{
	struct prereg_cursor cursor;
	phys_addr_t phys;
	u64 n, i;

	prereg_cursor_init(&cursor, region, offset);
	while (bytes) {
		n = prereg_cursor_next(&cursor, min(bytes, max), &phys);
		if (!n || n > min(bytes, max))
			return false;
		/* First and last byte of each page of the stretch. */
		for (i = 0; i < n; i = round_down(offset + i + PAGE_SIZE, PAGE_SIZE) - offset)
			if (naive_phys(offset + i) != phys + i)
				return false;
		if (naive_phys(offset + n - 1) != phys + n - 1)
			return false;
		offset += n;
		bytes -= n;
	}
	return true;
}

static void the_cursor_finds_every_page(void)
{
	unsigned long npages = PREREG_SEGMENT_PAGES + 3000, page;
	struct prereg_region *region;
	struct rng rng = rng_stream(unit_seed, 2);
	u64 total = npages << PAGE_SHIFT, offset, max;
	int i;

	setup();
	mixed_memory(npages);
	region = region_get(VADDR, total);
	for (page = 0; page < npages; page++) {
		offset = page << PAGE_SHIFT;
		max = min_t(u64, total - offset, 3 * PAGE_SIZE);
		if (!EXPECT(cursor_agrees(region, offset, max, U64_MAX)) ||
		    !EXPECT(cursor_agrees(region, offset + 1, max - 1, U64_MAX)) ||
		    !EXPECT(cursor_agrees(region, offset + 4095, 1, 1)))
			break;
	}
	for (i = 0; i < 300; i++) {
		offset = rng_below(&rng, npages) << PAGE_SHIFT;
		max = PAGE_SIZE << rng_below(&rng, 12);
		if (!EXPECT(cursor_agrees(region, offset,
					  min_t(u64, total - offset, 4 * MIB), max)))
			break;
	}
	EXPECT(cursor_agrees(region, 0, total, U64_MAX));
	region_put(region);
	teardown();
}

static void a_stretch_ends_only_where_memory_or_a_segment_does(void)
{
	struct prereg_region *region;
	struct prereg_cursor cursor;
	phys_addr_t phys;

	setup();
	unit_memory(VADDR, 2 * SEGMENT_BYTES + 5 * PAGE_SIZE);
	region = region_get(VADDR, 2 * SEGMENT_BYTES + 5 * PAGE_SIZE);
	EXPECT_EQ(region->nsegments, 3);
	prereg_cursor_init(&cursor, region, PAGE_SIZE);
	EXPECT_EQ(prereg_cursor_next(&cursor, U64_MAX, &phys),
		  SEGMENT_BYTES - PAGE_SIZE);
	EXPECT_EQ(prereg_cursor_next(&cursor, 3 * PAGE_SIZE, &phys),
		  3 * PAGE_SIZE);
	EXPECT_EQ(prereg_cursor_next(&cursor, U64_MAX, &phys),
		  SEGMENT_BYTES - 3 * PAGE_SIZE);
	EXPECT_EQ(prereg_cursor_next(&cursor, U64_MAX, &phys), 5 * PAGE_SIZE);
	EXPECT_EQ(phys, naive_phys(2 * SEGMENT_BYTES));
	region_put(region);
	teardown();
}

static bool naive_is_block(u64 offset, u64 bytes)
{
	phys_addr_t phys = naive_phys(offset);
	u64 i;

	for (i = 0; i < bytes; i += PAGE_SIZE)
		if (naive_phys(offset + i) != phys + i)
			return false;
	return !(phys & (bytes - 1));
}

static void a_block_is_aligned_and_in_one_piece(void)
{
	unsigned long npages = PREREG_SEGMENT_PAGES + 1024;
	struct prereg_region *region;
	u64 bytes, offset;
	int blocks = 0;

	setup();
	mixed_memory(npages);
	region = region_get(VADDR, npages << PAGE_SHIFT);
	for (bytes = PAGE_SIZE; bytes <= 2 * MIB; bytes *= 2) {
		for (offset = 0; offset + bytes <= npages << PAGE_SHIFT;
		     offset += bytes == 2 * MIB ? 64 * PAGE_SIZE : PAGE_SIZE) {
			bool is = prereg_region_is_block(region, offset, bytes);

			if (!EXPECT(is == naive_is_block(offset, bytes)))
				break;
			blocks += is && bytes > 16 * PAGE_SIZE;
		}
	}
	EXPECT(blocks);	/* or the memory was too scattered to say anything */
	region_put(region);
	teardown();

	/* Over the end of a segment; page 4 of aligned memory is its first. */
	setup();
	unit_memory_aligned(VADDR - 4 * PAGE_SIZE, SEGMENT_BYTES + MIB,
			    SEGMENT_BYTES);
	region = region_get(VADDR, SEGMENT_BYTES + 64 * PAGE_SIZE);
	EXPECT(prereg_region_is_block(region, SEGMENT_BYTES - 4 * PAGE_SIZE,
				      8 * PAGE_SIZE));
	EXPECT(!prereg_region_is_block(region, SEGMENT_BYTES - 8 * PAGE_SIZE,
				       8 * PAGE_SIZE));
	EXPECT(prereg_region_is_block(region, 0, 4 * PAGE_SIZE));
	EXPECT(!prereg_region_is_block(region, 0, 8 * PAGE_SIZE));
	region_put(region);
	teardown();
}

static void pinning_goes_on_where_a_call_pinned_less(void)
{
	struct prereg_region *region;
	unsigned long calls;

	setup();
	unit_memory(VADDR, 1024 * PAGE_SIZE);
	calls = fake_pin_calls;
	region = region_get(VADDR, 1024 * PAGE_SIZE);
	EXPECT_EQ(fake_pin_calls - calls, 2);	/* in batches */
	region_put(region);

	fake_fault_arm(FAKE_FAULT_PIN_SHORT, 2, false);
	calls = fake_pin_calls;
	region = region_get(VADDR, 1024 * PAGE_SIZE);
	EXPECT_EQ(fake_fault_disarm(), 1);
	EXPECT_EQ(fake_pin_calls - calls, 3);
	EXPECT_EQ(fake_pins(), 1024);
	EXPECT_EQ(prereg_region_footprint(region), sizeof(*region));
	region_put(region);
	teardown();
}

/* Nothing may be left of a REGISTER that fails, not even in between. */
static void expect_refused(unsigned long vaddr, unsigned long bytes, int error)
{
	struct prereg_region *region = prereg_region_get(owner, vaddr, bytes);

	EXPECT(IS_ERR(region));
	EXPECT_RET(PTR_ERR(region), error);
	EXPECT_EQ(fake_pins(), 0);
	EXPECT_EQ(current->mm->locked_vm, 0);
	EXPECT_EQ(fake_stat("regions"), 0);
	EXPECT(RB_EMPTY_ROOT(&owner->regions));
}

static void memory_that_cannot_be_pinned_is_refused_whole(void)
{
	setup();
	unit_memory(VADDR, 2 * MIB);
	/* A hole of one page, then memory again. */
	unit_memory(VADDR + 2 * MIB + PAGE_SIZE, 2 * MIB);
	fake_mm_add(current->mm, &(struct fake_vma) {
		.start = VADDR + 4 * MIB + PAGE_SIZE, .npages = 1,
		.pfn = fake_frames(1, 1), .readonly = true,
	});
	fake_mm_add(current->mm, &(struct fake_vma) {
		.start = VADDR + 8 * MIB, .npages = 16,
		.pfn = fake_frames(16, 1), .fs_dax = true,
	});

	expect_refused(VADDR, 4 * MIB, -EFAULT);
	expect_refused(VADDR + 2 * MIB, PAGE_SIZE, -EFAULT);
	expect_refused(VADDR + 4 * MIB, 2 * PAGE_SIZE, -EFAULT);
	expect_refused(VADDR + 4 * MIB + PAGE_SIZE, PAGE_SIZE, -EFAULT);
	expect_refused(VADDR + 8 * MIB, 16 * PAGE_SIZE, -EOPNOTSUPP);
	/* The kernel's half, and across the end of user space. */
	expect_refused(0xffff800000000000UL, PAGE_SIZE, -EFAULT);
	expect_refused((1UL << 47) - 2 * PAGE_SIZE, 4 * PAGE_SIZE, -EFAULT);
	expect_refused(0, 1UL << 60, -EFAULT);
	/* A scattered one that is too long by a segment. */
	unit_memory_pieces(VADDR + GIB, SEGMENT_BYTES, PAGE_SIZE);
	expect_refused(VADDR + GIB, SEGMENT_BYTES + PAGE_SIZE, -EFAULT);
	teardown();
}

/* What a file system writes back may not be written behind its back. */
static void only_memory_of_processes_is_pinned(void)
{
	unsigned long at[FAKE_KINDS], kind;

	setup();
	for (kind = 0; kind < FAKE_KINDS; kind++) {
		at[kind] = VADDR + kind * 16 * MIB;
		/* A thousand pages of it behind a thousand anonymous ones. */
		unit_memory(at[kind], 1000 * PAGE_SIZE);
		fake_mm_add(current->mm, &(struct fake_vma) {
			.start = at[kind] + 1000 * PAGE_SIZE, .npages = 1000,
			.pfn = fake_frames(1000, 1), .kind = kind,
		});
		if (kind == FAKE_FILE || kind == FAKE_BAR)
			continue;
		region_put(region_get(at[kind], 2000 * PAGE_SIZE));
	}
	expect_refused(at[FAKE_FILE], 2000 * PAGE_SIZE, -EOPNOTSUPP);
	expect_refused(at[FAKE_FILE], 1001 * PAGE_SIZE, -EOPNOTSUPP);
	expect_refused(at[FAKE_FILE] + 1000 * PAGE_SIZE, PAGE_SIZE, -EOPNOTSUPP);
	region_put(region_get(at[FAKE_FILE], 1000 * PAGE_SIZE));
	expect_refused(at[FAKE_BAR], 2000 * PAGE_SIZE, -EFAULT);
	teardown();
}

/* A large folio, or its end, is looked at once; not what follows it. */
static void what_follows_a_large_folio_is_looked_at(void)
{
	unsigned long first;

	for (first = 0; first < 512; first += 73) {
		unsigned long pfn, npages = 512 - first;

		setup();
		pfn = fake_frames(1024, 512);
		fake_mm_add(current->mm, &(struct fake_vma) {
			.start = VADDR, .npages = npages, .pfn = pfn + first,
			.order = 9,
		});
		fake_mm_add(current->mm, &(struct fake_vma) {
			.start = VADDR + (npages << PAGE_SHIFT), .npages = 1,
			.pfn = pfn + 512, .kind = FAKE_FILE,
		});
		region_put(region_get(VADDR, npages << PAGE_SHIFT));
		expect_refused(VADDR, (npages + 1) << PAGE_SHIFT, -EOPNOTSUPP);
		teardown();
	}
}

static void the_limit_holds_unless_the_caller_may_exceed_it(void)
{
	struct prereg_region *region;

	setup();
	unit_memory(VADDR, 32 * PAGE_SIZE);
	current->mm->limit = 16;
	expect_refused(VADDR, 17 * PAGE_SIZE, -ENOMEM);
	region = region_get(VADDR, 16 * PAGE_SIZE);
	EXPECT(PTR_ERR(prereg_region_get(owner, VADDR + 16 * PAGE_SIZE,
					 PAGE_SIZE)) == -ENOMEM);
	region_put(region);
	current->cap_ipc_lock = true;
	region_put(region_get(VADDR, 32 * PAGE_SIZE));
	teardown();
}

static void overlapping_regions_of_an_owner_are_refused(void)
{
	static const struct {
		long first, pages;
	} bad[] = { { -1, 2 }, { 3, 1 }, { 0, 7 }, { 1, 8 }, { 7, 2 }, { -1, 10 } };
	struct prereg_region *region, *before, *behind;
	size_t i;

	setup();
	unit_memory(VADDR - MIB, 2 * MIB);
	region = region_get(VADDR, 8 * PAGE_SIZE);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT(PTR_ERR(prereg_region_get(owner, VADDR + bad[i].first * PAGE_SIZE,
						 bad[i].pages << PAGE_SHIFT)) == -EINVAL);
	before = region_get(VADDR - PAGE_SIZE, PAGE_SIZE);
	behind = region_get(VADDR + 8 * PAGE_SIZE, PAGE_SIZE);
	EXPECT_EQ(fake_pins(), 10);
	region_put(region);
	region_put(before);
	region_put(behind);
	teardown();
}

static void a_kill_in_the_middle_of_pinning_gives_all_back(void)
{
	unsigned long calls;

	setup();
	unit_memory_pieces(VADDR, 2 * SEGMENT_BYTES, PAGE_SIZE);
	/* Asked once for the notifier's lock, once to charge, then per batch. */
	calls = fake_pin_calls;
	fake_fault_arm(FAKE_FAULT_SIGNAL, 1 + 200, true);
	expect_refused(VADDR, 2 * SEGMENT_BYTES, -EINTR);
	EXPECT(fake_fault_disarm());
	EXPECT_EQ(fake_pin_calls - calls, 199);
	current->killed = false;
	teardown();
}

const struct unit_test region_tests[] = {
	UNIT(a_contiguous_region_is_one_run),
	UNIT(scattered_memory_costs_eight_bytes_a_page),
	UNIT(a_tebibyte_of_large_pages_costs_at_most_16_MiB),
	UNIT(the_cursor_finds_every_page),
	UNIT(a_stretch_ends_only_where_memory_or_a_segment_does),
	UNIT(a_block_is_aligned_and_in_one_piece),
	UNIT(pinning_goes_on_where_a_call_pinned_less),
	UNIT(memory_that_cannot_be_pinned_is_refused_whole),
	UNIT(only_memory_of_processes_is_pinned),
	UNIT(what_follows_a_large_folio_is_looked_at),
	UNIT(the_limit_holds_unless_the_caller_may_exceed_it),
	UNIT(overlapping_regions_of_an_owner_are_refused),
	UNIT(a_kill_in_the_middle_of_pinning_gives_all_back),
	{ }
};
