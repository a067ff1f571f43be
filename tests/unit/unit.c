// SPDX-License-Identifier: GPL-2.0
#include <stdarg.h>
#include <stdio.h>
#include <linux/vfio.h>

#include "compat/vfio_driver.h"
#include "unit.h"

/* ---- IOMMUs and groups ------------------------------------------------------- */

const struct bus_type unit_vtd = {
	.name		= "vtd",
	.ops		= &fake_iommu_coherent,
	.bits		= 9,
	.levels		= 4,
	.pgsizes	= 1UL << 12 | 1UL << 21 | 1UL << 30,
	.aperture_last	= BIT_ULL(48) - 1,
};

const struct bus_type unit_small = {
	.name		= "small",
	.ops		= &fake_iommu_coherent,
	.bits		= 3,
	.levels		= 12,
	.pgsizes	= 1UL << 12 | 1UL << 15 | 1UL << 18,
	.aperture_last	= BIT_ULL(48) - 1,
	.smmu		= true,
};

const struct bus_type unit_other = {
	.name		= "other",
	.ops		= &fake_iommu_incoherent,
	.bits		= 3,
	.levels		= 12,
	.pgsizes	= 1UL << 12 | 1UL << 15,
	.aperture_last	= BIT_ULL(40) - 1,
	.msi_cookie	= -ENODEV,
	.smmu		= true,
};

/* A table for every size: a large page is a table's entry that goes no further. */
const struct bus_type unit_amd = {
	.name		= "amd",
	.ops		= &fake_iommu_coherent,
	.bits		= 1,
	.levels		= 36,
	.pgsizes	= (BIT(48) - 1) & ~0xfffUL & ~BIT(39),
	.aperture_last	= BIT_ULL(48) - 1,
	.smmu		= true,
};

static const struct iommu_resv_region resv_vtd[] = {
	{ .start = UNIT_MSI_FIRST, .length = UNIT_MSI_LAST + 1 - UNIT_MSI_FIRST,
	  .type = IOMMU_RESV_MSI },
};

static const struct iommu_resv_region resv_small[] = {
	/* Only boot needs it: mapped over at will. */
	{ .start = 0, .length = 0x10000, .type = IOMMU_RESV_DIRECT_RELAXABLE },
	{ .start = UNIT_SMALL_RESV_FIRST,
	  .length = UNIT_SMALL_RESV_LAST + 1 - UNIT_SMALL_RESV_FIRST,
	  .type = IOMMU_RESV_RESERVED },
};

static const struct iommu_resv_region resv_other[] = {
	{ .start = UNIT_OTHER_RESV_FIRST,
	  .length = UNIT_OTHER_RESV_LAST + 1 - UNIT_OTHER_RESV_FIRST,
	  .type = IOMMU_RESV_SW_MSI },
};

#define GROUP(_id, _bus, _resv)						\
	{ .id = (_id), .dev = { .bus = &(_bus), .intr_remap = true },	\
	  .resv = (_resv), .nresv = ARRAY_SIZE(_resv) }

struct iommu_group unit_vtd_group = GROUP(1, unit_vtd, resv_vtd);
struct iommu_group unit_vtd_group2 = GROUP(2, unit_vtd, resv_vtd);
struct iommu_group unit_small_group = GROUP(3, unit_small, resv_small);
struct iommu_group unit_small_group2 = {
	.id = 4, .dev = { .bus = &unit_small, .intr_remap = true },
};
struct iommu_group unit_other_group = GROUP(5, unit_other, resv_other);
struct iommu_group unit_emulated_group = { .id = 7 };
struct iommu_group unit_amd_group = GROUP(6, unit_amd, resv_vtd);

/* ---- processes ------------------------------------------------------------- */

static struct task_struct nobody;

void unit_process_start(struct unit_process *process)
{
	process->mm = fake_mm_create();
	process->task = (struct task_struct) {
		.mm = process->mm, .group_leader = &process->task,
	};
	unit_process_run(process);
}

void unit_process_run(struct unit_process *process)
{
	current = &process->task;
}

void unit_process_exit(struct unit_process *process)
{
	fake_mm_exit(process->mm);
	process->mm = NULL;
	process->task.mm = NULL;
	if (current == &process->task)
		current = &nobody;
}

static void memory(unsigned long vaddr, unsigned long bytes,
		   unsigned long align, unsigned long piece)
{
	unsigned long npages = bytes >> PAGE_SHIFT;

	fake_mm_add(current->mm, &(struct fake_vma) {
		.start	= vaddr,
		.npages	= npages,
		.pfn	= fake_frames(npages, align >> PAGE_SHIFT),
		.piece	= piece >> PAGE_SHIFT,
		.order	= min(ilog2(align >> PAGE_SHIFT), 9),
	});
}

void unit_memory(unsigned long vaddr, unsigned long bytes)
{
	memory(vaddr, bytes, PAGE_SIZE, 0);
}

void unit_memory_aligned(unsigned long vaddr, unsigned long bytes,
			 unsigned long align)
{
	memory(vaddr, bytes, align, 0);
}

void unit_memory_pieces(unsigned long vaddr, unsigned long bytes,
			unsigned long piece_bytes)
{
	memory(vaddr, bytes, piece_bytes, piece_bytes);
}

void unit_two_processes(struct unit_process *self,
			struct unit_process *stranger, unsigned long vaddr)
{
	unit_process_start(stranger);
	unit_memory_pieces(vaddr, MIB, PAGE_SIZE);
	unit_process_start(self);
	unit_memory_pieces(vaddr, MIB, PAGE_SIZE);
}

/* ---- containers -------------------------------------------------------------- */

static const struct vfio_iommu_driver_ops *driver;

int vfio_register_iommu_driver(const struct vfio_iommu_driver_ops *ops)
{
	if (fake_fault(FAKE_FAULT_ALLOC))
		return -ENOMEM;
	driver = ops;
	return 0;
}

void vfio_unregister_iommu_driver(const struct vfio_iommu_driver_ops *ops)
{
	EXPECT(driver == ops);
	driver = NULL;
}

int prereg_vfio_layout_check(void)
{
	return 0;
}

/* What VFIO knows about the containers. */
#define CONTAINERS	8
#define GROUPS		8

static struct book {
	void			*container;
	struct iommu_group	*groups[GROUPS];
} books[CONTAINERS];

static struct book *book_of(void *container)
{
	struct book *book;

	for (book = books; book < books + CONTAINERS; book++)
		if (book->container == container)
			return book;
	shim_fail("the test has too many containers, or uses a closed one");
	return books;
}

void *unit_open_type(unsigned long type, int *ret)
{
	void *container = driver->open(type);

	*ret = IS_ERR(container) ? PTR_ERR(container) : 0;
	if (*ret)
		return NULL;
	book_of(NULL)->container = container;
	return container;
}

void *unit_open(int *ret)
{
	return unit_open_type(VFIO_SPAPR_TCE_v2_IOMMU, ret);
}

int unit_attach(void *container, struct iommu_group *group)
{
	enum vfio_group_type type = group->dev.bus ? VFIO_IOMMU :
						     VFIO_EMULATED_IOMMU;
	struct book *book = book_of(container);
	int ret = driver->attach_group(container, group, type), i = 0;

	if (ret)
		return ret;
	while (book->groups[i])
		i++;
	book->groups[i] = group;
	return 0;
}

void unit_detach(void *container, struct iommu_group *group)
{
	struct book *book = book_of(container);
	int i;

	fake_no_alloc = true;
	driver->detach_group(container, group);
	fake_no_alloc = false;
	for (i = 0; i < GROUPS; i++)
		if (book->groups[i] == group)
			book->groups[i] = NULL;
}

void unit_close(void *container)
{
	struct book *book = book_of(container);
	int i;

	for (i = 0; i < GROUPS; i++)
		if (book->groups[i])
			unit_detach(container, book->groups[i]);
	fake_no_alloc = true;
	driver->release(container);
	fake_no_alloc = false;
	book->container = NULL;
}

void *unit_container_type(unsigned long type, struct iommu_group *group)
{
	void *container;
	int ret;

	container = unit_open_type(type, &ret);
	EXPECT_RET(ret, 0);
	EXPECT_RET(unit_attach(container, group), 0);
	return container;
}

void *unit_container(struct iommu_group *group)
{
	return unit_container_type(VFIO_SPAPR_TCE_v2_IOMMU, group);
}

void *unit_container_window(struct iommu_group *group)
{
	void *container = unit_container(group);
	u64 start;

	EXPECT_RET(unit_remove(container, 0), 0);
	EXPECT_RET(unit_create(container, 12, TIB, &start), 0);
	return container;
}

struct prereg_container *unit_peek(void *container)
{
	struct prereg_container *c =
		prereg_container_lock_held((unsigned long)container);

	prereg_container_unlock(c);
	return c;
}

long unit_ioctl(void *container, unsigned int cmd, void *arg, size_t bytes)
{
	void *user = malloc(bytes);
	long ret;

	memcpy(user, arg, bytes);
	ret = driver->ioctl(container, cmd, (unsigned long)user);
	memcpy(arg, user, bytes);
	free(user);
	return ret;
}

long unit_check_extension(void *container, unsigned long extension)
{
	return driver->ioctl(container, VFIO_CHECK_EXTENSION, extension);
}

int unit_register(void *container, u64 vaddr, u64 bytes)
{
	struct vfio_iommu_spapr_register_memory arg = {
		.argsz = sizeof(arg), .vaddr = vaddr, .size = bytes,
	};

	return unit_ioctl(container, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, &arg,
			  sizeof(arg));
}

int unit_unregister(void *container, u64 vaddr, u64 bytes)
{
	struct vfio_iommu_spapr_register_memory arg = {
		.argsz = sizeof(arg), .vaddr = vaddr, .size = bytes,
	};

	return unit_ioctl(container, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, &arg,
			  sizeof(arg));
}

int unit_map(void *container, u64 iova, u64 vaddr, u64 bytes, int prot)
{
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg), .iova = iova, .vaddr = vaddr,
		.size = bytes,
		.flags = (prot & IOMMU_READ ? VFIO_DMA_MAP_FLAG_READ : 0) |
			 (prot & IOMMU_WRITE ? VFIO_DMA_MAP_FLAG_WRITE : 0),
	};

	return unit_ioctl(container, VFIO_IOMMU_MAP_DMA, &arg, sizeof(arg));
}

int unit_unmap_told(void *container, u64 iova, u64 bytes, u64 *unmapped)
{
	struct vfio_iommu_type1_dma_unmap arg = {
		.argsz = sizeof(arg), .iova = iova, .size = bytes,
	};
	int ret = unit_ioctl(container, VFIO_IOMMU_UNMAP_DMA, &arg, sizeof(arg));

	*unmapped = arg.size;
	return ret;
}

int unit_unmap(void *container, u64 iova, u64 bytes)
{
	u64 unmapped;

	return unit_unmap_told(container, iova, bytes, &unmapped);
}

int unit_batch(void *container, u32 flags,
	       const struct vfio_prereg_batch_entry *entries, u32 n, u32 *refused)
{
	/* Not one byte more than there is. */
	void *copy = malloc(n * sizeof(*entries));
	struct vfio_prereg_batch arg = {
		.argsz = sizeof(arg), .flags = flags, .nentries = n,
		.entries = (unsigned long)copy,
	};
	int ret;

	memcpy(copy, entries, n * sizeof(*entries));
	ret = unit_ioctl(container, VFIO_PREREG_BATCH, &arg, sizeof(arg));
	if (refused)
		*refused = arg.refused;
	free(copy);
	return ret;
}

int unit_create(void *container, u32 page_shift, u64 bytes, u64 *start)
{
	struct vfio_iommu_spapr_tce_create arg = {
		.argsz = sizeof(arg), .page_shift = page_shift,
		.window_size = bytes, .levels = 1, .start_addr = ~0ULL,
	};
	int ret = unit_ioctl(container, VFIO_IOMMU_SPAPR_TCE_CREATE, &arg,
			     sizeof(arg));

	*start = arg.start_addr;
	return ret;
}

int unit_remove(void *container, u64 start)
{
	struct vfio_iommu_spapr_tce_remove arg = {
		.argsz = sizeof(arg), .start_addr = start,
	};

	return unit_ioctl(container, VFIO_IOMMU_SPAPR_TCE_REMOVE, &arg,
			  sizeof(arg));
}

/* ---- books against hardware --------------------------------------------------- */

bool unit_translate(struct iommu_group *group, u64 iova, phys_addr_t *phys,
		    int *prot)
{
	struct fake_iommu_entry entry;

	if (!group->domain || !fake_iommu_lookup(group->domain, iova, &entry))
		return false;
	*phys = entry.phys + (iova - entry.iova);
	*prot = entry.prot & RW;
	return true;
}

/* The frame behind a mapping's iova, as the owner's address space has it. */
static unsigned long mapping_pfn(const struct prereg_mapping *mapping, u64 iova)
{
	const struct prereg_registration *registration = mapping->registration;
	u64 first = registration->region ? registration->region->range.first :
					   registration->range.first;

	return fake_mm_pfn(registration->owner->mm, first + mapping->offset +
			   (iova - mapping->range.first));
}

static void check_entry(const struct prereg_mapping *mapping,
			const struct fake_iommu_entry *entry)
{
	u64 done;

	EXPECT(entry->iova >= mapping->range.first &&
	       entry->iova + entry->bytes - 1 <= mapping->range.last);
	EXPECT_EQ(entry->prot, mapping->prot | IOMMU_CACHE);
	for (done = 0; done < entry->bytes; done += PAGE_SIZE)
		if (PHYS_PFN(entry->phys + done) !=
		    mapping_pfn(mapping, entry->iova + done)) {
			shim_fail("IOVA %#llx is mapped to the wrong frame",
				  entry->iova + done);
			return;
		}
}

static void check_domain(struct prereg_container *c, struct iommu_domain *domain)
{
	struct prereg_mapping *mapping = NULL;
	struct fake_iommu_entry entry;
	u64 bytes = 0, iova;

	while ((mapping = prereg_mapping_next(c, mapping))) {
		for (iova = mapping->range.first; iova <= mapping->range.last;
		     iova = entry.iova + entry.bytes) {
			if (!fake_iommu_lookup(domain, iova, &entry)) {
				shim_fail("IOVA %#llx is mapped only in the books",
					  iova);
				break;
			}
			check_entry(mapping, &entry);
		}
		bytes += mapping->range.last - mapping->range.first + 1;
	}
	EXPECT_EQ(fake_iommu_bytes(domain), bytes);
}

void unit_check_hw(void *container)
{
	struct book *book = book_of(container);
	struct prereg_container *c = unit_peek(container);
	int i;

	for (i = 0; i < GROUPS; i++)
		if (book->groups[i] && book->groups[i]->dev.bus)
			check_domain(c, book->groups[i]->domain);
}

/* ---- snapshots ----------------------------------------------------------------- */

/* Pages in a row that are mapped to frames in a row. */
struct stretch {
	FILE		*out;
	u64		iova, bytes;
	phys_addr_t	phys;
	int		prot;
};

static void stretch_end(struct stretch *s)
{
	if (s->bytes)
		fprintf(s->out, "  %#llx+%#llx -> %#llx prot %d\n", s->iova,
			s->bytes, s->phys, s->prot);
	s->bytes = 0;
}

static void stretch_add(struct stretch *s, u64 iova, u64 bytes, phys_addr_t phys,
			int prot)
{
	if (!s->bytes || iova != s->iova + s->bytes ||
	    phys != s->phys + s->bytes || prot != s->prot) {
		stretch_end(s);
		s->iova = iova;
		s->phys = phys;
		s->prot = prot;
	}
	s->bytes += bytes;
}

static void stretch_entry(void *s, const struct fake_iommu_entry *entry)
{
	stretch_add(s, entry->iova, entry->bytes, entry->phys, entry->prot);
}

static void snapshot_container(FILE *out, const struct book *book)
{
	struct prereg_container *c = unit_peek(book->container);
	struct prereg_range *range;
	struct stretch s = { .out = out };
	struct prereg_mapping *m = NULL;
	int i;

	fprintf(out, "container owner %u may_map %d attached %d\n",
		c->claim.owner ? c->claim.owner->mm->id : 0, c->may_map,
		!!c->hw);
	for (i = 0; i < PREREG_WINDOWS_MAX; i++)
		if (c->windows[i].page_shift)
			fprintf(out, " window %#llx-%#llx shift %u\n",
				c->windows[i].start, c->windows[i].last,
				c->windows[i].page_shift);
	for (range = prereg_range_find(&c->registrations, 0, U64_MAX); range;
	     range = prereg_range_next(range))
		fprintf(out, " registration %#llx-%#llx\n", range->first,
			range->last);
	fprintf(out, " books\n");
	while ((m = prereg_mapping_next(c, m))) {
		u64 iova;

		for (iova = m->range.first; iova <= m->range.last; iova += PAGE_SIZE)
			stretch_add(&s, iova, PAGE_SIZE,
				    PFN_PHYS(mapping_pfn(m, iova)), m->prot);
	}
	stretch_end(&s);
	for (i = 0; i < GROUPS; i++) {
		if (!book->groups[i] || !book->groups[i]->dev.bus)
			continue;
		fprintf(out, " group %d\n", book->groups[i]->id);
		fake_iommu_walk(book->groups[i]->domain, stretch_entry, &s);
		stretch_end(&s);
	}
}

char *unit_snapshot(void)
{
	static const char *const stats[] = {
		"containers", "owners", "regions", "pinned_pages",
		"charged_pages", "mapped_bytes", "bookkeeping_bytes",
		"kept_pages", "stale_mappings",
	};
	char *text;
	size_t bytes, i;
	FILE *out = open_memstream(&text, &bytes);

	if (!out)
		abort();
	for (i = 0; i < CONTAINERS; i++)
		if (books[i].container)
			snapshot_container(out, &books[i]);
	fprintf(out, "pins %lu domains %u\n", fake_pins(), fake_iommu_domains());
	for (i = 0; i < ARRAY_SIZE(stats); i++)
		fprintf(out, "%s %ld\n", stats[i], fake_stat(stats[i]));
	fclose(out);
	return text;
}

bool unit_same(const char *got, const char *want, const char *fmt, ...)
{
	const char *g = got, *w = want;
	char what[256];
	va_list ap;

	if (!strcmp(got, want))
		return true;
	while (*g && *g == *w) {
		g++;
		w++;
	}
	/* Back to where the line begins in both. */
	while (g > got && g[-1] != '\n') {
		g--;
		w--;
	}
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return tap_expect(false, "%s: \"%.*s\" where \"%.*s\" is expected", what,
			  (int)strcspn(g, "\n"), g, (int)strcspn(w, "\n"), w);
}

/* ---- around each test ---------------------------------------------------------- */

void unit_begin(void)
{
	current = &nobody;
	fake_msi_isolated = false;
	*shim_param_mappings_max = 0;
	*shim_param_share_domains = true;
	*shim_param_allow_unsafe_interrupts = false;
	*shim_param_keep_mib = 0;
	EXPECT_RET(shim_module_init(), 0);
	fake_log_lines();
}

void unit_end(void)
{
	int i;

	fake_fault_disarm();
	if (driver) {
		EXPECT_EQ(fake_stat("mappings"), 0);
		EXPECT_EQ(fake_stat("mapped_bytes"), 0);
		shim_module_exit();
	}
	for (i = 0; i < PREREG_STATS; i++) {
		/* Of what happened, not of what there is. */
		if (i == PREREG_STAT_STALE_MAPPINGS)
			continue;
		tap_expect_eq(atomic_long_read(&prereg_stats[i]), 0,
			      "counter %d of enum prereg_stat", i);
	}
	EXPECT(!driver);
	fake_iommu_check();
	fake_memory_check();
	fake_kernel_check();
}
