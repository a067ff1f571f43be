// SPDX-License-Identifier: GPL-2.0-only
/*
 * hw_tce: a container's entries in the TCE tables of POWER (struct
 * iommu_table_group, <asm/iommu.h>), which the kernel's own SPAPR TCE driver uses
 * too. The only file that knows of powerpc.
 *
 * A window is a table here, one entry for each of its pages, and every group of
 * the container has the same tables. They are made by the platform (OPAL's
 * windows on PowerNV), multi-level ones on demand: entering a TCE may need
 * memory, removing one never does.
 *
 * FLUSHING
 *
 * The PHB caches TCEs. unmap() clears entries and remembers where; a device is
 * cut off when tce_kill() of them has returned, which flush() sees to. Entering
 * a TCE needs a kill as well: that there was none may be cached.
 *
 * KVM
 *
 * A VMM may hand the container's groups to KVM, which then serves a guest's
 * H_PUT_TCE in our tables, without our lock. It maps only memory that the
 * kernel's own driver registered, but to find that out when it unmaps it takes
 * the entry out of the table and, as it does not know the memory, puts it back:
 * maybe after we have removed it, flushed, and put the page. So a table's own
 * xchg_no_kill() does nothing while it is ours, and only we know the real one;
 * KVM then leaves every such call to user space (book3s_64_vio.c).
 *
 * Interrupts are isolated by the PHB, which lets a PE raise only what was given
 * to it, so nothing like allow_unsafe_interrupts is asked for.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/iommu.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/vfio.h>

#include <asm/eeh.h>
#include <asm/iommu.h>

#include "prereg.h"

/* Entries after which others may run and a fatal signal is noticed. */
#define TCE_BATCH		512
/* Entries that the firmware invalidates in one call, in which nobody else runs. */
#define TCE_KILL_BATCH		4096
/* Where PowerNV and pSeries put the second window. */
#define TCE_SECOND_START	(1ULL << 59)

/**
 * struct tce_group - an attached group
 * @entry: in tce->groups
 * @group: VFIO keeps it alive while it is attached
 * @table_group: its windows
 */
struct tce_group {
	struct list_head		entry;
	struct iommu_group		*group;
	struct iommu_table_group	*table_group;
};

/**
 * struct prereg_hw_tce - the hw
 * @hw: what the core knows of it
 * @groups: struct tce_group
 * @tables: of the open windows, by slot; each group has them too
 * @kill_table: entries [@kill_entry, @kill_entry + @kill_entries) of it were
 *	cleared since the last flush; NULL: none
 */
struct prereg_hw_tce {
	struct prereg_hw	hw;
	struct list_head	groups;
	struct iommu_table	*tables[PREREG_WINDOWS_MAX];
	struct iommu_table	*kill_table;
	unsigned long		kill_entry;
	unsigned long		kill_entries;
};

static_assert(PREREG_WINDOWS_MAX == IOMMU_TABLE_GROUP_MAX_TABLES);

static struct prereg_hw_tce *to_tce(const struct prereg_hw *hw)
{
	return container_of(hw, struct prereg_hw_tce, hw);
}

static struct iommu_table_group *tce_first(const struct prereg_hw_tce *tce)
{
	return list_first_entry(&tce->groups, struct tce_group,
				entry)->table_group;
}

static void hw_tce_free(struct prereg_hw *hw)
{
	WARN_ON(!list_empty(&to_tce(hw)->groups));
	kfree(to_tce(hw));
}

/* As the kernel's driver answers; no-snoop is nothing that POWER knows of. */
static bool hw_tce_coherent(const struct prereg_hw *hw)
{
	return false;
}

static void hw_tce_get_info(const struct prereg_hw *hw,
			    struct prereg_hw_info *info)
{
	const struct iommu_table_group *table_group = tce_first(to_tce(hw));

	*info = (struct prereg_hw_info) {
		.default_start	= table_group->tce32_start,
		.default_bytes	= table_group->tce32_size,
		.second_start	= TCE_SECOND_START,
		.pgsizes	= table_group->pgsizes,
		.windows	= min_t(u32, PREREG_WINDOWS_MAX,
				table_group->max_dynamic_windows_supported),
		.levels		= table_group->max_levels,
	};
}

/* An entry is a page of the window: nothing larger to be broken up. */
static unsigned long hw_tce_block_sizes(const struct prereg_hw *hw)
{
	return 0;
}

/* ---- windows --------------------------------------------------------------- */

static unsigned long hw_tce_window_pages(const struct prereg_hw *hw,
					 const struct prereg_window *window)
{
	const struct iommu_table_group *table_group = tce_first(to_tce(hw));
	u64 bytes = window->last - window->start + 1;

	return DIV_ROUND_UP(table_group->ops->get_table_size(window->page_shift,
							     bytes,
							     window->levels),
			    PAGE_SIZE);
}

/* See KVM above. An entry of unknown memory, which it need not mark dirty. */
static int tce_xchg_nothing(struct iommu_table *table, long entry,
			    unsigned long *phys,
			    enum dma_data_direction *direction)
{
	*direction = DMA_TO_DEVICE;
	return 0;
}

/* Nor does KVM find or leave a user address; the one it finds names nothing. */
static __be64 *tce_no_user_address(struct iommu_table *table, long entry,
				   bool alloc)
{
	static __be64 none;

	return alloc ? NULL : &none;
}

/* The platform's ops, and a copy for our tables; it has one kind of table. */
static struct iommu_table_ops *tce_platform_ops;
static struct iommu_table_ops tce_guarded_ops;
static DEFINE_MUTEX(tce_ops_lock);

/* From here on nobody else changes entries. */
static int tce_guard(struct iommu_table *table)
{
	mutex_lock(&tce_ops_lock);
	if (!tce_platform_ops) {
		tce_platform_ops = table->it_ops;
		tce_guarded_ops = *table->it_ops;
		tce_guarded_ops.xchg_no_kill = tce_xchg_nothing;
		tce_guarded_ops.useraddrptr = tce_no_user_address;
	}
	mutex_unlock(&tce_ops_lock);
	if (table->it_ops != tce_platform_ops)
		return -EIO;
	table->it_ops = &tce_guarded_ops;
	return 0;
}

/*
 * If the platform cannot take a table out of the hardware, the hardware goes on
 * walking it: its memory is never given back.
 */
static bool tce_unset_window(struct iommu_table_group *table_group,
			     unsigned int slot, struct iommu_table *table)
{
	if (!table_group->ops->unset_window(table_group, slot))
		return true;
	pr_warn_ratelimited("The firmware does not take a DMA window out of IOMMU group %d: the window's table is lost\n",
			    iommu_group_id(table_group->group));
	iommu_tce_table_get(table);
	return false;
}

static int tce_set_window(struct iommu_table_group *table_group,
			  unsigned int slot, struct iommu_table *table)
{
	/* Its errors are the firmware's numbers. */
	if (table_group->ops->set_window(table_group, slot, table))
		return -EIO;
	/* Out of memory the platform sets the window and does not link it. */
	if (table_group->tables[slot] != table) {
		tce_unset_window(table_group, slot, table);
		return -ENOMEM;
	}
	return 0;
}

static int hw_tce_window_open(struct prereg_hw *hw, unsigned int slot,
			      struct prereg_window *window)
{
	struct prereg_hw_tce *tce = to_tce(hw);
	struct iommu_table_group *table_group = tce_first(tce);
	u64 bytes = window->last - window->start + 1;
	struct iommu_table *table;
	struct tce_group *g;
	long ret;

	ret = table_group->ops->create_table(table_group, slot,
					     window->page_shift, bytes,
					     window->levels, &table);
	if (ret)
		return ret == -EINVAL || ret == -ENOMEM ? ret : -EIO;
	ret = tce_guard(table);
	if (ret)
		goto put_table;
	list_for_each_entry(g, &tce->groups, entry) {
		ret = tce_set_window(g->table_group, slot, table);
		if (ret)
			goto unset;
	}
	tce->tables[slot] = table;
	window->start = (u64)table->it_offset << table->it_page_shift;
	window->last = window->start + bytes - 1;
	return 0;

unset:
	list_for_each_entry_continue_reverse(g, &tce->groups, entry)
		tce_unset_window(g->table_group, slot, table);
	table->it_ops = tce_platform_ops;
put_table:
	iommu_tce_table_put(table);
	return ret;
}

static void hw_tce_window_close(struct prereg_hw *hw, unsigned int slot)
{
	struct prereg_hw_tce *tce = to_tce(hw);
	struct iommu_table *table = tce->tables[slot];
	struct tce_group *g;

	tce->tables[slot] = NULL;
	list_for_each_entry(g, &tce->groups, entry)
		tce_unset_window(g->table_group, slot, table);
	table->it_ops = tce_platform_ops;
	iommu_tce_table_put(table);
}

/* ---- entries --------------------------------------------------------------- */

static struct iommu_table *tce_table(const struct prereg_hw_tce *tce, u64 iova)
{
	struct iommu_table *table;
	unsigned int i;

	for (i = 0; i < PREREG_WINDOWS_MAX; i++) {
		table = tce->tables[i];
		if (table && (iova >> table->it_page_shift) -
			     table->it_offset < table->it_size)
			return table;
	}
	return NULL;
}

/*
 * Not iommu_tce_xchg_no_kill(), which marks the page of the old entry dirty: a
 * region's pages are when they are put, and that needs no mm here.
 */
static int tce_xchg(struct iommu_table *table, unsigned long entry,
		    unsigned long phys, enum dma_data_direction direction)
{
	if (tce_platform_ops->xchg_no_kill(table, entry, &phys, &direction))
		return -ENOMEM;
	return 0;
}

/* Removing takes no memory and does not fail. */
static bool tce_clear(struct iommu_table *table, unsigned long entry,
		      unsigned long entries)
{
	unsigned long i;
	bool gone = true;

	for (i = 0; i < entries; i++) {
		if (WARN_ON_ONCE(tce_xchg(table, entry + i, 0, DMA_NONE)))
			gone = false;
		if (!((i + 1) % TCE_BATCH))
			cond_resched();
	}
	return gone;
}

static void tce_kill(struct iommu_table *table, unsigned long entry,
		     unsigned long entries)
{
	unsigned long n;

	for (; entries; entry += n, entries -= n) {
		n = min_t(unsigned long, entries, TCE_KILL_BATCH);
		iommu_tce_kill(table, entry, n);
		if (n < entries)
			cond_resched();
	}
	iommu_flush_tce(table);
}

static int hw_tce_check(const struct prereg_hw *hw,
			const struct prereg_window *window, u64 iova,
			const struct prereg_region *region, u64 offset,
			u64 bytes)
{
	u64 mask = BIT_ULL(window->page_shift) - 1, done = 0, n;
	struct prereg_cursor cursor;
	phys_addr_t phys, next = 0;

	if (window->page_shift <= PAGE_SHIFT)
		return 0;
	prereg_cursor_init(&cursor, region, offset);
	for (; done < bytes; done += n) {
		n = prereg_cursor_next(&cursor, bytes - done, &phys);
		/* Where the memory goes on elsewhere a page of the window begins. */
		if ((!done || phys != next) && (phys | done) & mask)
			return -EINVAL;
		next = phys + n;
		cond_resched();
	}
	return 0;
}

static enum dma_data_direction tce_direction(int prot)
{
	if (!(prot & IOMMU_WRITE))
		return DMA_TO_DEVICE;
	return prot & IOMMU_READ ? DMA_BIDIRECTIONAL : DMA_FROM_DEVICE;
}

/*
 * Enter what begins at @first of the table, without a kill. Return: as ops->map().
 */
static int tce_enter(struct prereg_hw *hw, struct iommu_table *table,
		     unsigned long first, const struct prereg_region *region,
		     u64 offset, u64 bytes, int prot, bool interruptible)
{
	enum dma_data_direction direction = tce_direction(prot);
	unsigned int shift = table->it_page_shift;
	unsigned long entries = bytes >> shift, entry = 0;
	struct prereg_cursor cursor;
	u64 stretch_at = 0, stretch;
	phys_addr_t phys;
	int ret = 0;

	prereg_cursor_init(&cursor, region, offset);
	while (entry < entries) {
		stretch = prereg_cursor_next(&cursor, bytes - stretch_at, &phys);
		/*
		 * All entries that begin in the stretch: it may end inside of one,
		 * and the memory goes on in the next stretch then, see check().
		 */
		for (; (u64)entry << shift < stretch_at + stretch; entry++) {
			ret = tce_xchg(table, first + entry,
				       phys + (((u64)entry << shift) -
					       stretch_at), direction);
			if (ret)
				goto clear;
			if ((entry + 1) % TCE_BATCH)
				continue;
			cond_resched();
			if (interruptible && fatal_signal_pending(current)) {
				entry++;
				ret = -EINTR;
				goto clear;
			}
		}
		stretch_at += stretch;
	}
	return 0;

clear:
	if (!tce_clear(table, first, entry))
		hw->remains = true;
	tce_kill(table, first, entry);
	return ret;
}

static int hw_tce_map(struct prereg_hw *hw, u64 iova,
		      const struct prereg_region *region, u64 offset,
		      u64 bytes, int prot, bool interruptible)
{
	struct iommu_table *table = tce_table(to_tce(hw), iova);
	unsigned long first;
	int ret;

	if (WARN_ON_ONCE(!table))
		return -ENXIO;
	first = iova >> table->it_page_shift;
	ret = tce_enter(hw, table, first, region, offset, bytes, prot,
			interruptible);
	if (!ret)
		tce_kill(table, first, bytes >> table->it_page_shift);
	return ret;
}

static int hw_tce_map_list(struct prereg_hw *hw,
			   struct prereg_mapping *const *mappings,
			   unsigned int n, bool interruptible)
{
	struct iommu_table *table = tce_table(to_tce(hw),
					      mappings[0]->range.first);
	unsigned long first, entries = 0;
	unsigned int i;
	int ret = 0;

	if (WARN_ON_ONCE(!table))
		return -ENXIO;
	first = mappings[0]->range.first >> table->it_page_shift;
	for (i = 0; i < n && !ret; i++) {
		ret = tce_enter(hw, table, first + entries,
				mappings[i]->registration->region,
				mappings[i]->offset,
				prereg_mapping_bytes(mappings[i]),
				mappings[i]->prot, interruptible);
		if (ret)
			break;
		entries += prereg_mapping_bytes(mappings[i]) >>
			   table->it_page_shift;
		if ((i + 1) % TCE_BATCH)
			continue;
		cond_resched();
		if (interruptible && fatal_signal_pending(current))
			ret = -EINTR;
	}
	if (ret && !tce_clear(table, first, entries))
		hw->remains = true;
	tce_kill(table, first, entries);
	return ret;
}

static void hw_tce_flush(struct prereg_hw *hw)
{
	struct prereg_hw_tce *tce = to_tce(hw);

	if (tce->kill_table)
		tce_kill(tce->kill_table, tce->kill_entry, tce->kill_entries);
	tce->kill_table = NULL;
}

static bool hw_tce_unmap(struct prereg_hw *hw, u64 iova, u64 bytes)
{
	struct prereg_hw_tce *tce = to_tce(hw);
	struct iommu_table *table = tce_table(tce, iova);
	unsigned long entry, entries;

	if (WARN_ON_ONCE(!table))
		return false;
	entry = iova >> table->it_page_shift;
	entries = bytes >> table->it_page_shift;

	if (tce->kill_table != table ||
	    tce->kill_entry + tce->kill_entries != entry) {
		hw_tce_flush(hw);
		tce->kill_table = table;
		tce->kill_entry = entry;
		tce->kill_entries = 0;
	}
	tce->kill_entries += entries;
	return tce_clear(table, entry, entries);
}

/* ---- groups ---------------------------------------------------------------- */

static struct tce_group *tce_find_group(const struct prereg_hw_tce *tce,
					struct iommu_group *group)
{
	struct tce_group *g;

	list_for_each_entry(g, &tce->groups, entry)
		if (g->group == group)
			return g;
	return NULL;
}

static int hw_tce_walk_groups(const struct prereg_hw *hw, prereg_group_fn fn,
			      void *data)
{
	const struct tce_group *g;
	int ret;

	list_for_each_entry(g, &to_tce(hw)->groups, entry) {
		ret = fn(g->group, data);
		if (ret)
			return ret;
	}
	return 0;
}

/* Can the group have the tables that the others have? */
static bool tce_compatible(const struct prereg_hw_tce *tce,
			   const struct iommu_table_group *table_group)
{
	unsigned int i;

	if (!list_empty(&tce->groups) &&
	    tce_first(tce)->ops->create_table != table_group->ops->create_table)
		return false;
	for (i = 0; i < PREREG_WINDOWS_MAX; i++)
		if (tce->tables[i] && !(table_group->pgsizes &
					BIT_ULL(tce->tables[i]->it_page_shift)))
			return false;
	return true;
}

static int hw_tce_attach(struct prereg_container *container,
			 struct iommu_group *group)
{
	struct prereg_hw_tce *tce = to_tce(container->hw);
	struct iommu_table_group *table_group =
		iommu_group_get_iommudata(group);
	struct tce_group *g;
	unsigned int i;
	int ret;

	if (tce_find_group(tce, group))
		return -EINVAL;
	if (!table_group || !table_group->max_dynamic_windows_supported)
		return -EINVAL;
	if (!tce_compatible(tce, table_group))
		return -EPERM;

	g = kzalloc(sizeof(*g), GFP_KERNEL_ACCOUNT);
	if (!g)
		return -ENOMEM;
	g->group = group;
	g->table_group = table_group;
	for (i = 0; i < PREREG_WINDOWS_MAX; i++) {
		if (!tce->tables[i])
			continue;
		ret = tce_set_window(table_group, i, tce->tables[i]);
		if (ret)
			goto unset;
	}
	list_add_tail(&g->entry, &tce->groups);
	return 0;

unset:
	while (i--)
		if (tce->tables[i])
			tce_unset_window(table_group, i, tce->tables[i]);
	kfree(g);
	return ret;
}

static bool hw_tce_detach(struct prereg_container *container,
			  struct iommu_group *group)
{
	struct prereg_hw_tce *tce = to_tce(container->hw);
	struct tce_group *g = tce_find_group(tce, group);
	unsigned int i;

	if (!g)
		return true;

	if (list_is_singular(&tce->groups))
		prereg_container_hw_goes(container);
	for (i = 0; i < PREREG_WINDOWS_MAX; i++) {
		/* Its cached entries would be out of reach for a flush. */
		if (tce->tables[i] && !tce_unset_window(g->table_group, i,
							tce->tables[i]))
			prereg_container_stick(container);
	}
	list_del(&g->entry);
	kfree(g);
	return !list_empty(&tce->groups);
}

static long hw_tce_eeh_pe_op(struct prereg_hw *hw,
			     const struct vfio_eeh_pe_op *op);

static const struct prereg_hw_ops hw_tce_ops = {
	.free		= hw_tce_free,
	.attach		= hw_tce_attach,
	.detach		= hw_tce_detach,
	.coherent	= hw_tce_coherent,
	.walk_groups	= hw_tce_walk_groups,
	.get_info	= hw_tce_get_info,
	.block_sizes	= hw_tce_block_sizes,
	.window_pages	= hw_tce_window_pages,
	.window_open	= hw_tce_window_open,
	.window_close	= hw_tce_window_close,
	.check		= hw_tce_check,
	.map		= hw_tce_map,
	.map_list	= hw_tce_map_list,
	.unmap		= hw_tce_unmap,
	.flush		= hw_tce_flush,
	.eeh_pe_op	= hw_tce_eeh_pe_op,
};

struct prereg_hw *prereg_hw_tce_create(struct iommu_group *group)
{
	struct prereg_hw_tce *tce;

	if (!iommu_group_get_iommudata(group))
		return NULL;
	tce = kzalloc(sizeof(*tce), GFP_KERNEL_ACCOUNT);
	if (!tce)
		return ERR_PTR(-ENOMEM);
	tce->hw.ops = &hw_tce_ops;
	INIT_LIST_HEAD(&tce->groups);
	return &tce->hw;
}

/* ---- EEH: error recovery of a slot ------------------------------------------ */

#ifdef CONFIG_EEH
static long tce_eeh_pe_op(struct eeh_pe *pe, const struct vfio_eeh_pe_op *op)
{
	switch (op->op) {
	case VFIO_EEH_PE_DISABLE:
		return eeh_pe_set_option(pe, EEH_OPT_DISABLE);
	case VFIO_EEH_PE_ENABLE:
		return eeh_pe_set_option(pe, EEH_OPT_ENABLE);
	case VFIO_EEH_PE_UNFREEZE_IO:
		return eeh_pe_set_option(pe, EEH_OPT_THAW_MMIO);
	case VFIO_EEH_PE_UNFREEZE_DMA:
		return eeh_pe_set_option(pe, EEH_OPT_THAW_DMA);
	case VFIO_EEH_PE_GET_STATE:
		return eeh_pe_get_state(pe);
	case VFIO_EEH_PE_RESET_DEACTIVATE:
		return eeh_pe_reset(pe, EEH_RESET_DEACTIVATE, true);
	case VFIO_EEH_PE_RESET_HOT:
		return eeh_pe_reset(pe, EEH_RESET_HOT, true);
	case VFIO_EEH_PE_RESET_FUNDAMENTAL:
		return eeh_pe_reset(pe, EEH_RESET_FUNDAMENTAL, true);
	case VFIO_EEH_PE_CONFIGURE:
		return eeh_pe_configure(pe);
	case VFIO_EEH_PE_INJECT_ERR:
		return eeh_pe_inject_err(pe, op->err.type, op->err.func,
					 op->err.addr, op->err.mask);
	default:
		return -EINVAL;
	}
}

/* On every group in turn, until one has something to say. */
static long hw_tce_eeh_pe_op(struct prereg_hw *hw,
			     const struct vfio_eeh_pe_op *op)
{
	struct eeh_pe *pe;
	struct tce_group *g;
	long ret = 0;

	list_for_each_entry(g, &to_tce(hw)->groups, entry) {
		pe = eeh_iommu_group_to_pe(g->group);
		if (!pe)
			return -ENODEV;
		ret = tce_eeh_pe_op(pe, op);
		if (ret)
			break;
	}
	return ret;
}
#else
static long hw_tce_eeh_pe_op(struct prereg_hw *hw,
			     const struct vfio_eeh_pe_op *op)
{
	return -ENODEV;
}
#endif

long prereg_hw_check_extension(unsigned long extension)
{
	return extension == VFIO_EEH ? eeh_enabled() : 0;
}
