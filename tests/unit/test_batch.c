// SPDX-License-Identifier: GPL-2.0
/* VFIO_PREREG_BATCH: all of it or none, and what it leaves in books and hardware. */
#include <linux/vfio.h>

#include "unit.h"

#define VADDR	0x100000000UL
/* Of setup(): contiguous and aligned; single pages. */
#define PLAIN	VADDR
#define SINGLE	(VADDR + 8 * MIB)
#define PLAIN_BYTES	(4 * MIB)
#define SINGLE_BYTES	(4 * MIB)
#define ENTRIES	1024

static struct unit_process self;
static void *container;
static struct vfio_prereg_batch_entry entries[ENTRIES];
static unsigned int n;

static void setup(struct iommu_group *group)
{
	unit_process_start(&self);
	container = unit_container_window(group);
	unit_memory_aligned(PLAIN, PLAIN_BYTES, 4 * MIB);
	unit_memory_pieces(SINGLE, SINGLE_BYTES, PAGE_SIZE);
	EXPECT_RET(unit_register(container, PLAIN, PLAIN_BYTES), 0);
	EXPECT_RET(unit_register(container, SINGLE, SINGLE_BYTES), 0);
	n = 0;
}

static void teardown(void)
{
	unit_check_hw(container);
	unit_process_exit(&self);
	unit_close(container);
}

static void add(u64 iova, u64 vaddr, u64 bytes, u32 flags)
{
	entries[n++] = (struct vfio_prereg_batch_entry) {
		.iova = iova, .vaddr = vaddr, .size = bytes, .flags = flags,
	};
}

static void add_pages(u64 iova, u64 vaddr, unsigned int npages)
{
	for (; npages; npages--, iova += PAGE_SIZE, vaddr += PAGE_SIZE)
		add(iova, vaddr, PAGE_SIZE, RW);
}

static void add_hole(u64 iova, u64 bytes)
{
	add(iova, 0, bytes, 0);
}

/* What was added is done, and forgotten. */
static void expect_done(u32 flags)
{
	u32 refused;

	EXPECT_RET(unit_batch(container, flags, entries, n, &refused), 0);
	EXPECT_EQ(refused, n);
	unit_check_hw(container);
	n = 0;
}

static void expect_map(void)
{
	expect_done(VFIO_PREREG_BATCH_MAP);
}

static void expect_unmap(void)
{
	expect_done(VFIO_PREREG_BATCH_UNMAP);
}

/* It is refused because of that entry, and nothing has changed. */
static void expect_refused(u32 flags, int want, u32 entry, const char *what)
{
	char *before = unit_snapshot(), *after;
	u32 refused;

	tap_expect_ret(unit_batch(container, flags, entries, n, &refused), want,
		       "%s", what);
	tap_expect_eq(refused, entry, "%s: refused", what);
	after = unit_snapshot();
	unit_same(after, before, "%s", what);
	unit_check_hw(container);
	free(before);
	free(after);
}

static unsigned long entries_of(struct iommu_group *group)
{
	return fake_iommu_entries(group->domain);
}

/* ---- what it does ------------------------------------------------------------ */

static void a_batch_is_many_mappings(void)
{
	setup(&unit_vtd_group);
	add_pages(0, SINGLE, 300);
	add(MIB * 4, PLAIN, 2 * MIB, IOMMU_READ);
	add(GIB, PLAIN + 2 * MIB, PAGE_SIZE, IOMMU_WRITE);
	expect_map();
	EXPECT_EQ(fake_stat("mappings"), 302);
	EXPECT_EQ(entries_of(&unit_vtd_group), 302);
	EXPECT_EQ(unit_peek(container)->cost, 303);
	EXPECT_RET(unit_unregister(container, SINGLE, SINGLE_BYTES), -EBUSY);
	/* Each goes alone, by a single call or in another batch. */
	EXPECT_RET(unit_unmap(container, 7 * PAGE_SIZE, PAGE_SIZE), 0);
	unit_check_hw(container);
	add_hole(0, 2 * PAGE_SIZE);
	add_hole(GIB, PAGE_SIZE);
	expect_unmap();
	EXPECT_EQ(fake_stat("mappings"), 298);
	add_hole(0, TIB);
	expect_unmap();
	EXPECT_EQ(fake_stat("mappings"), 0);
	EXPECT_EQ(fake_stat("mapped_bytes"), 0);
	EXPECT_RET(unit_unregister(container, SINGLE, SINGLE_BYTES), 0);
	EXPECT(fake_frame_dirty(fake_mm_pfn(self.mm, SINGLE)));
	teardown();
}

static void nothing_is_fine(void)
{
	setup(&unit_vtd_group);
	expect_map();
	expect_unmap();
	teardown();
}

static void neighbours_go_to_the_iommu_together(void)
{
	unsigned long before;

	setup(&unit_vtd_group);
	/* One stretch, though not one region; then more stretches than one call takes. */
	add_pages(PAGE_SIZE, PLAIN, 256);
	before = fake_iommu_sg_calls;
	expect_map();
	EXPECT_EQ(fake_iommu_sg_calls - before, 1);
	add_pages(4 * MIB, SINGLE, 300);
	before = fake_iommu_sg_calls;
	expect_map();
	EXPECT_EQ(fake_iommu_sg_calls - before, 3);
	/* A hole and another direction are ends. */
	add_pages(8 * MIB, SINGLE, 3);
	add_pages(8 * MIB + 4 * PAGE_SIZE, SINGLE, 3);
	entries[2].flags = IOMMU_READ;
	before = fake_iommu_sg_calls;
	expect_map();
	EXPECT_EQ(fake_iommu_sg_calls - before, 3);
	teardown();
}

/* Contiguous memory in pages of their own: an IOMMU's large page over two could not lose one. */
static void no_iommu_page_lies_across_two_entries(void)
{
	static struct iommu_group *const groups[] = {
		&unit_vtd_group, &unit_small_group, &unit_amd_group,
	};
	unsigned int i, g;

	for (g = 0; g < ARRAY_SIZE(groups); g++) {
		setup(groups[g]);
		add_pages(4 * MIB, PLAIN, 1024);
		expect_map();
		EXPECT_EQ(entries_of(groups[g]), 1024);
		for (i = 0; i < 1024; i += 3)
			EXPECT_RET(unit_unmap(container, 4 * MIB + i * PAGE_SIZE, PAGE_SIZE), 0);
		add_hole(0, 64 * MIB);
		expect_unmap();
		/* Aligned otherwise: nothing large fits. */
		add_pages(4 * MIB + PAGE_SIZE, PLAIN, 512);
		expect_map();
		add_hole(0, 64 * MIB);
		expect_unmap();
		/* Of many sizes, at odd places. */
		add(4 * MIB + PAGE_SIZE, PLAIN + PAGE_SIZE, 7 * PAGE_SIZE, RW);
		add(4 * MIB + 8 * PAGE_SIZE, PLAIN + 8 * PAGE_SIZE, 60 * PAGE_SIZE, RW);
		add(4 * MIB + 68 * PAGE_SIZE, PLAIN + 68 * PAGE_SIZE, MIB, RW);
		add(5 * MIB + 68 * PAGE_SIZE, PLAIN + 68 * PAGE_SIZE + MIB, 2 * MIB, RW);
		expect_map();
		for (i = 1; i < 800; i += 50) {
			EXPECT_RET(unit_unmap(container, 4 * MIB + i * PAGE_SIZE, PAGE_SIZE), 0);
			unit_check_hw(container);
		}
		teardown();
	}
}

static void entries_use_the_largest_pages_that_fit(void)
{
	setup(&unit_vtd_group);
	add(4 * MIB, PLAIN, 2 * MIB, RW);
	add(6 * MIB, PLAIN + 2 * MIB, 2 * MIB, RW);
	expect_map();
	EXPECT_EQ(entries_of(&unit_vtd_group), 2);
	add_hole(4 * MIB, 4 * MIB);
	expect_unmap();
	/* A page in front moves none of what follows. */
	add(4 * MIB - PAGE_SIZE, SINGLE, PAGE_SIZE, RW);
	add(4 * MIB, PLAIN, 4 * MIB, RW);
	expect_map();
	EXPECT_EQ(entries_of(&unit_vtd_group), 3);
	teardown();
}

/* A region's segments end in the middle of memory that goes on. */
static void what_goes_on_in_another_segment_is_no_exception(void)
{
	const u64 bytes = PREREG_SEGMENT_PAGES * PAGE_SIZE;

	setup(&unit_vtd_group);
	unit_memory_aligned(VADDR + GIB, GIB, GIB);
	EXPECT_RET(unit_register(container, VADDR + GIB, GIB), 0);
	add(GIB, VADDR + GIB, bytes - PAGE_SIZE, RW);
	add(GIB + bytes - PAGE_SIZE, VADDR + GIB + bytes - PAGE_SIZE, PAGE_SIZE, RW);
	add(GIB + bytes, VADDR + GIB + bytes, PAGE_SIZE, RW);
	add(GIB + bytes + PAGE_SIZE, VADDR + GIB + bytes + PAGE_SIZE, bytes - PAGE_SIZE, RW);
	expect_map();
	add_hole(GIB + bytes - PAGE_SIZE, PAGE_SIZE);
	expect_unmap();
	add_hole(GIB, bytes - PAGE_SIZE);
	expect_unmap();
	/* What would make a GiB of two entries is in the second one's last segment. */
	add(4 * GIB, VADDR + GIB, 4 * MIB, RW);
	add(4 * GIB + 4 * MIB, VADDR + GIB + 4 * MIB, GIB - 4 * MIB, RW);
	expect_map();
	teardown();
}

static void entries_need_not_ascend(void)
{
	unsigned long before;
	unsigned int i;

	setup(&unit_vtd_group);
	for (i = 0; i < 100; i++)
		add((i * 37 % 100) * PAGE_SIZE, SINGLE + i * PAGE_SIZE, PAGE_SIZE, RW);
	before = fake_iommu_sg_calls;
	expect_map();
	EXPECT_EQ(fake_iommu_sg_calls - before, 1);
	/* Which one it was is told in the caller's order. */
	for (i = 0; i < 50; i++)
		add(MIB - i * PAGE_SIZE, SINGLE, PAGE_SIZE, RW);
	entries[17].vaddr = VADDR - PAGE_SIZE;
	expect_refused(VFIO_PREREG_BATCH_MAP, -EINVAL, 17, "unregistered");
	entries[17].vaddr = SINGLE;
	entries[30].iova = entries[7].iova;
	expect_refused(VFIO_PREREG_BATCH_MAP, -EEXIST, 30, "the same twice");
	n = 0;
	for (i = 0; i < 100; i++)
		add_hole((i * 37 % 100) * PAGE_SIZE, PAGE_SIZE);
	entries[20].size = 8;
	expect_refused(VFIO_PREREG_BATCH_UNMAP, -EINVAL, 20, "less than a page");
	entries[20].size = PAGE_SIZE;
	before = fake_iommu_range_flushes;
	expect_unmap();
	EXPECT_EQ(fake_iommu_range_flushes - before, 1);
	EXPECT_EQ(fake_stat("mappings"), 0);
	teardown();
}

/* ---- what it refuses --------------------------------------------------------- */

static void any_entry_may_be_refused(void)
{
	static const struct {
		const char				*what;
		struct vfio_prereg_batch_entry		entry;
		int					want;
	} rows[] = {
		{ "no window", { 2 * TIB, SINGLE, PAGE_SIZE, RW }, -ENXIO },
		{ "over the window's end", { TIB - PAGE_SIZE, SINGLE, 2 * PAGE_SIZE, RW }, -ENXIO },
		{ "wraps", { 4 * MIB, SINGLE, -PAGE_SIZE, RW }, -ENXIO },
		{ "reserved", { UNIT_MSI_FIRST - PAGE_SIZE, SINGLE, 2 * PAGE_SIZE, RW }, -ENXIO },
		{ "size 0", { 4 * MIB, SINGLE, 0, RW }, -EINVAL },
		{ "unaligned iova", { 4 * MIB + 8, SINGLE, PAGE_SIZE, RW }, -EINVAL },
		{ "unaligned vaddr", { 4 * MIB, SINGLE + 8, PAGE_SIZE, RW }, -EINVAL },
		{ "unaligned size", { 4 * MIB, SINGLE, PAGE_SIZE + 8, RW }, -EINVAL },
		{ "no flags", { 4 * MIB, SINGLE, PAGE_SIZE, 0 }, -EINVAL },
		{ "unknown flags", { 4 * MIB, SINGLE, PAGE_SIZE, RW | 4 }, -EINVAL },
		{ "reserved field", { 4 * MIB, SINGLE, PAGE_SIZE, RW, 1 }, -EINVAL },
		{ "not registered", { 4 * MIB, SINGLE - PAGE_SIZE, PAGE_SIZE, RW }, -EINVAL },
		{ "over a region's end", { 4 * MIB, SINGLE + SINGLE_BYTES - PAGE_SIZE, 2 * PAGE_SIZE, RW }, -EINVAL },
		{ "vaddr wraps", { 4 * MIB, -PAGE_SIZE, 2 * PAGE_SIZE, RW }, -EINVAL },
		{ "what is mapped", { MIB, SINGLE, PAGE_SIZE, RW }, -EEXIST },
		{ "around what is mapped", { MIB - PAGE_SIZE, SINGLE, 4 * PAGE_SIZE, RW }, -EEXIST },
		{ "the first entry's", { 0, PLAIN, PAGE_SIZE, RW }, -EEXIST },
		{ "over the last entry's", { 18 * PAGE_SIZE, PLAIN, 8 * PAGE_SIZE, RW }, -EEXIST },
	};
	unsigned int i;

	setup(&unit_vtd_group);
	EXPECT_RET(unit_map(container, MIB, PLAIN, 2 * PAGE_SIZE, RW), 0);
	add_pages(0, SINGLE, 20);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		/* Last, and before others that would be refused, too. */
		entries[20] = rows[i].entry;
		n = 21;
		expect_refused(VFIO_PREREG_BATCH_MAP, rows[i].want, 20, rows[i].what);
		entries[21] = (struct vfio_prereg_batch_entry) { .reserved = 1 };
		n = 22;
		expect_refused(VFIO_PREREG_BATCH_MAP, rows[i].want, 20, rows[i].what);
	}
	teardown();
}

static void any_entry_of_an_unmap_may_be_refused(void)
{
	static const struct {
		const char				*what;
		struct vfio_prereg_batch_entry		entry;
		int					want;
	} rows[] = {
		{ "no window", { 2 * TIB, 0, PAGE_SIZE }, -ENXIO },
		{ "over the window's end", { TIB - PAGE_SIZE, 0, 2 * PAGE_SIZE }, -ENXIO },
		{ "wraps", { 4 * MIB, 0, -PAGE_SIZE }, -ENXIO },
		{ "size 0", { 4 * MIB, 0, 0 }, -EINVAL },
		{ "unaligned iova", { 4 * MIB + 8, 0, PAGE_SIZE }, -EINVAL },
		{ "unaligned size", { 4 * MIB, 0, PAGE_SIZE + 8 }, -EINVAL },
		{ "a vaddr", { 4 * MIB, SINGLE, PAGE_SIZE }, -EINVAL },
		{ "flags", { 4 * MIB, 0, PAGE_SIZE, RW }, -EINVAL },
		{ "reserved field", { 4 * MIB, 0, PAGE_SIZE, 0, 1 }, -EINVAL },
	};
	unsigned int i;

	setup(&unit_vtd_group);
	EXPECT_RET(unit_map(container, MIB, PLAIN, 2 * PAGE_SIZE, RW), 0);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		n = 0;
		add_hole(MIB, 2 * PAGE_SIZE);
		entries[n++] = rows[i].entry;
		expect_refused(VFIO_PREREG_BATCH_UNMAP, rows[i].want, 1, rows[i].what);
	}
	teardown();
}

static void an_unmap_cuts_nothing(void)
{
	setup(&unit_vtd_group);
	EXPECT_RET(unit_map(container, MIB, PLAIN, 8 * PAGE_SIZE, RW), 0);
	EXPECT_RET(unit_map(container, 2 * MIB, PLAIN, 8 * PAGE_SIZE, RW), 0);
	add_hole(2 * MIB, 8 * PAGE_SIZE);
	add_hole(MIB, PAGE_SIZE);
	expect_refused(VFIO_PREREG_BATCH_UNMAP, -EINVAL, 1, "its head");
	entries[1].iova = MIB + PAGE_SIZE;
	expect_refused(VFIO_PREREG_BATCH_UNMAP, -EINVAL, 1, "its middle");
	entries[1].size = 16 * PAGE_SIZE;
	expect_refused(VFIO_PREREG_BATCH_UNMAP, -EINVAL, 1, "its tail and a hole");
	entries[1].iova = MIB - PAGE_SIZE;
	entries[1].size = 2 * PAGE_SIZE;
	expect_refused(VFIO_PREREG_BATCH_UNMAP, -EINVAL, 1, "a hole and its head");
	entries[1].size = MIB + 2 * PAGE_SIZE;
	expect_refused(VFIO_PREREG_BATCH_UNMAP, -EINVAL, 1, "all of it and the next one's head");
	/* Twice the same is fine, and so is a part of what another one takes whole. */
	n = 0;
	add_hole(MIB, 8 * PAGE_SIZE);
	add_hole(MIB, 8 * PAGE_SIZE);
	add_hole(0, 2 * MIB);
	add_hole(2 * MIB - PAGE_SIZE, 9 * PAGE_SIZE);
	expect_unmap();
	EXPECT_EQ(fake_stat("mappings"), 0);
	teardown();
}

static void mappings_max_counts_the_sum(void)
{
	setup(&unit_vtd_group);
	*shim_param_mappings_max = 12;
	EXPECT_RET(unit_map(container, GIB, PLAIN, PAGE_SIZE, RW), 0);
	/* One for each, and one for 2 MiB. */
	add_pages(0, SINGLE, 9);
	add(2 * MIB, PLAIN, 2 * MIB, RW);
	add(8 * MIB, PLAIN, PAGE_SIZE, RW);
	expect_refused(VFIO_PREREG_BATCH_MAP, -ENOSPC, 10, "one too many");
	n = 10;
	expect_map();
	EXPECT_EQ(unit_peek(container)->cost, 12);
	teardown();
}

static void sane_arguments_only(void)
{
	static struct vfio_prereg_batch_entry many[VFIO_PREREG_BATCH_MAX + 1];
	struct vfio_prereg_batch arg = { .argsz = sizeof(arg) - 1, .flags = VFIO_PREREG_BATCH_MAP };
	struct unit_process other;
	void *type1;
	u32 refused, flags;

	unit_process_start(&self);
	container = unit_container(&unit_vtd_group);
	EXPECT_RET(unit_batch(container, VFIO_PREREG_BATCH_MAP, many, 1, &refused), -EPERM);
	EXPECT_EQ(refused, 1);
	EXPECT_RET(unit_batch(container, VFIO_PREREG_BATCH_UNMAP, many, 0, &refused), -EPERM);
	unit_memory(PLAIN, PLAIN_BYTES);
	EXPECT_RET(unit_register(container, PLAIN, PLAIN_BYTES), 0);
	EXPECT_RET(unit_ioctl(container, VFIO_PREREG_BATCH, &arg, sizeof(arg)), -EINVAL);
	for (flags = 0; flags < 8; flags++)
		if (flags != VFIO_PREREG_BATCH_MAP && flags != VFIO_PREREG_BATCH_UNMAP)
			EXPECT_RET(unit_batch(container, flags, many, 1, &refused), -EINVAL);
	EXPECT_RET(unit_batch(container, VFIO_PREREG_BATCH_MAP, many,
			      VFIO_PREREG_BATCH_MAX + 1, &refused), -E2BIG);
	EXPECT_EQ(refused, VFIO_PREREG_BATCH_MAX + 1);
	arg = (struct vfio_prereg_batch) {
		.argsz = sizeof(arg), .flags = VFIO_PREREG_BATCH_MAP, .nentries = 7,
	};
	EXPECT_RET(unit_ioctl(container, VFIO_PREREG_BATCH, &arg, sizeof(arg)), -EFAULT);
	EXPECT_EQ(arg.refused, 7);
	unit_process_start(&other);
	EXPECT_RET(unit_batch(container, VFIO_PREREG_BATCH_MAP, many, 1, NULL), -EPERM);
	EXPECT_RET(unit_ioctl(container, VFIO_PREREG_BATCH, &arg, sizeof(arg)), -EPERM);
	unit_process_exit(&other);
	unit_process_run(&self);
	type1 = unit_container_type(VFIO_TYPE1v2_IOMMU, &unit_small_group);
	EXPECT_RET(unit_batch(type1, VFIO_PREREG_BATCH_MAP, many, 1, NULL), -ENOTTY);
	EXPECT_EQ(unit_check_extension(NULL, VFIO_PREREG_EXTENSION),
		  VFIO_PREREG_HAS_KEEP | VFIO_PREREG_HAS_INFO | VFIO_PREREG_HAS_BATCH);
	EXPECT_EQ(unit_check_extension(container, VFIO_PREREG_EXTENSION),
		  VFIO_PREREG_HAS_INFO | VFIO_PREREG_HAS_BATCH);
	EXPECT_EQ(unit_check_extension(type1, VFIO_PREREG_EXTENSION),
		  VFIO_PREREG_HAS_KEEP | VFIO_PREREG_HAS_INFO);
	*shim_param_type1 = false;
	EXPECT_EQ(unit_check_extension(NULL, VFIO_PREREG_EXTENSION),
		  VFIO_PREREG_HAS_INFO | VFIO_PREREG_HAS_BATCH);
	*shim_param_type1 = true;
	unit_close(type1);
	unit_process_exit(&self);
	unit_close(container);
}

/* ---- the most, signals, and an IOMMU driver that does not unmap ----------------- */

static void as_many_as_are_allowed(void)
{
	static struct vfio_prereg_batch_entry many[VFIO_PREREG_BATCH_MAX];
	u32 refused, i;

	setup(&unit_vtd_group);
	for (i = 0; i < VFIO_PREREG_BATCH_MAX; i++)
		many[i] = (struct vfio_prereg_batch_entry) {
			/* All of them, in an order that does for a tree without balance. */
			.iova = (i * 40503 % VFIO_PREREG_BATCH_MAX) * PAGE_SIZE,
			.flags = RW, .size = PAGE_SIZE,
			.vaddr = SINGLE + i % 1024 * PAGE_SIZE,
		};
	EXPECT_RET(unit_batch(container, VFIO_PREREG_BATCH_MAP, many,
			      VFIO_PREREG_BATCH_MAX, &refused), 0);
	EXPECT_EQ(fake_stat("mappings"), VFIO_PREREG_BATCH_MAX);
	for (i = 0; i < VFIO_PREREG_BATCH_MAX; i++)
		many[i].vaddr = many[i].flags = 0;
	EXPECT_RET(unit_batch(container, VFIO_PREREG_BATCH_UNMAP, many,
			      VFIO_PREREG_BATCH_MAX, &refused), 0);
	EXPECT_EQ(refused, VFIO_PREREG_BATCH_MAX);
	teardown();
}

static void a_kill_stops_a_map_and_not_half_an_unmap(void)
{
	unsigned long nth;
	int ret;

	setup(&unit_vtd_group);
	for (nth = 1;; nth++) {
		n = 0;
		add_pages(0, SINGLE, 1000);
		fake_fault_arm(FAKE_FAULT_SIGNAL, nth, true);
		ret = unit_batch(container, VFIO_PREREG_BATCH_MAP, entries, n, NULL);
		fake_fault_disarm();
		self.task.killed = false;
		unit_check_hw(container);
		if (!ret)
			break;
		EXPECT_RET(ret, -EINTR);
		EXPECT_EQ(fake_stat("mappings"), 0);
	}
	/* Copied, locked, checked, entered: each in pieces. */
	EXPECT(nth > 2 + 1 + 1 + 1000 / 128);
	for (nth = 1; fake_stat("mappings"); nth++) {
		for (n = 0; n < 1000; )
			add_hole(n * PAGE_SIZE, PAGE_SIZE);
		fake_fault_arm(FAKE_FAULT_SIGNAL, nth, true);
		ret = unit_batch(container, VFIO_PREREG_BATCH_UNMAP, entries, n, NULL);
		fake_fault_disarm();
		self.task.killed = false;
		EXPECT_EQ(fake_stat("mappings"), ret ? 1000 : 0);
	}
	teardown();
}

static void memory_the_iommu_holds_on_to_is_never_given_back(void)
{
	const unsigned long npages = SINGLE_BYTES >> PAGE_SHIFT;
	unsigned long i;

	setup(&unit_vtd_group);
	EXPECT_RET(unit_unregister(container, PLAIN, PLAIN_BYTES), 0);
	add_pages(0, SINGLE, 10);
	expect_map();
	add_hole(0, PAGE_SIZE);
	add_hole(2 * PAGE_SIZE, 8 * PAGE_SIZE);
	fake_warnings_expected = 1;
	fake_fault_arm(FAKE_FAULT_UNMAP, 1, false);
	EXPECT_RET(unit_batch(container, VFIO_PREREG_BATCH_UNMAP, entries, n, NULL), 0);
	EXPECT(fake_fault_disarm());
	EXPECT_EQ(fake_stat("mappings"), 1);
	EXPECT_RET(unit_unmap(container, PAGE_SIZE, PAGE_SIZE), 0);
	EXPECT_RET(unit_unregister(container, SINGLE, SINGLE_BYTES), 0);
	EXPECT_EQ(fake_stat("pinned_pages"), npages);
	EXPECT_EQ(fake_pins(), npages);
	unit_close(container);
	/* What nobody else ever will. */
	for (i = 0; i < npages; i++)
		unpin_user_page_range_dirty_lock(pfn_to_page(fake_mm_pfn(self.mm, SINGLE + i * PAGE_SIZE)), 1, true);
	prereg_stat_add(PREREG_STAT_PINNED_PAGES, -(long)npages);
	unit_process_exit(&self);
}

const struct unit_test batch_tests[] = {
	UNIT(a_batch_is_many_mappings),
	UNIT(nothing_is_fine),
	UNIT(neighbours_go_to_the_iommu_together),
	UNIT(no_iommu_page_lies_across_two_entries),
	UNIT(entries_use_the_largest_pages_that_fit),
	UNIT(what_goes_on_in_another_segment_is_no_exception),
	UNIT(entries_need_not_ascend),
	UNIT(any_entry_may_be_refused),
	UNIT(any_entry_of_an_unmap_may_be_refused),
	UNIT(an_unmap_cuts_nothing),
	UNIT(mappings_max_counts_the_sum),
	UNIT(sane_arguments_only),
	UNIT(as_many_as_are_allowed),
	UNIT(a_kill_stops_a_map_and_not_half_an_unmap),
	UNIT(memory_the_iommu_holds_on_to_is_never_given_back),
	{ }
};
