/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests share: processes and containers as VFIO and user space make
 * them, checks of the module's books against the machine, and the list of tests.
 */
#ifndef UNIT_H
#define UNIT_H

#include "../../include/uapi/linux/vfio_prereg.h"
#include "fake.h"
#include "prereg.h"
#include "rng.h"
#include "tap.h"

/* ---- tests ----------------------------------------------------------------- */

struct unit_test {
	const char	*name;
	void		(*fn)(void);
};

/* A function's name tells what it proves. */
#define UNIT(fn)	{ #fn, fn }

extern const struct unit_test range_tests[], region_tests[], share_tests[], window_tests[],
	mapping_tests[], batch_tests[], domain_tests[], container_tests[], type1_tests[], stale_tests[],
	kept_tests[], view_tests[], failure_tests[], model_tests[];

/* From the command line. */
extern u64 unit_seed;
extern unsigned long unit_steps;

#define EXPECT(cond)							\
	tap_expect(cond, "%s:%d: %s", __FILE__, __LINE__, #cond)
#define EXPECT_EQ(got, want)						\
	tap_expect_eq(got, want, "%s:%d: %s", __FILE__, __LINE__, #got)
/* 0 or -errno. */
#define EXPECT_RET(call, want)						\
	tap_expect_ret(call, want, "%s:%d: %s", __FILE__, __LINE__, #call)

/* ---- processes ------------------------------------------------------------- */

#define MIB	(1UL << 20)
#define GIB	(1UL << 30)
#define TIB	(1UL << 40)

struct unit_process {
	struct task_struct	task;
	struct mm_struct	*mm;
};

/* Start one and let it be current. */
void unit_process_start(struct unit_process *process);
void unit_process_run(struct unit_process *process);
/* Ends with a fatal signal, or by itself: its mm loses its last user. */
void unit_process_exit(struct unit_process *process);

/* Add memory to current's mm: frames ascend; in pieces that do not join. */
void unit_memory(unsigned long vaddr, unsigned long bytes);
void unit_memory_pieces(unsigned long vaddr, unsigned long bytes,
			unsigned long piece_bytes);
/* As unit_memory(), the first frame's address a multiple of align. */
void unit_memory_aligned(unsigned long vaddr, unsigned long bytes,
			 unsigned long align);

/* Two processes, each with a MiB at vaddr in pieces of a page; self runs. */
void unit_two_processes(struct unit_process *self,
			struct unit_process *stranger, unsigned long vaddr);

/* ---- containers: what VFIO hands to the backend ----------------------------- */

/* open(), VFIO_SET_IOMMU; NULL and the error in *ret on failure. */
void *unit_open(int *ret);
/* Another type than VFIO_SPAPR_TCE_v2_IOMMU. */
void *unit_open_type(unsigned long type, int *ret);
int unit_attach(void *container, struct iommu_group *group);
void unit_detach(void *container, struct iommu_group *group);
/* Detaches what is attached and lets VFIO release the backend. */
void unit_close(void *container);
/* Open and attach; fails the test if that fails. */
void *unit_container(struct iommu_group *group);
void *unit_container_type(unsigned long type, struct iommu_group *group);
/* One of type 7 whose one window is [0, 2^40). */
void *unit_container_window(struct iommu_group *group);
/* Its internals. */
struct prereg_container *unit_peek(void *container);

/* Any ioctl; arg has bytes and not one more. */
long unit_ioctl(void *container, unsigned int cmd, void *arg, size_t bytes);
long unit_check_extension(void *container, unsigned long extension);
int unit_register(void *container, u64 vaddr, u64 bytes);
int unit_unregister(void *container, u64 vaddr, u64 bytes);
/* prot: IOMMU_READ, IOMMU_WRITE */
int unit_map(void *container, u64 iova, u64 vaddr, u64 bytes, int prot);
int unit_unmap(void *container, u64 iova, u64 bytes);
/* The same; how much was unmapped. */
int unit_unmap_told(void *container, u64 iova, u64 bytes, u64 *unmapped);
/* The same for many; refused: out, or NULL. */
int unit_batch(void *container, u32 flags,
	       const struct vfio_prereg_batch_entry *entries, u32 n, u32 *refused);
int unit_create(void *container, u32 page_shift, u64 bytes, u64 *start);
int unit_remove(void *container, u64 start);

#define RW	(IOMMU_READ | IOMMU_WRITE)

/*
 * Every mapping is in every domain of the container with the right frames and
 * direction, nothing else is, and no IOMMU page lies across a mapping's end.
 */
void unit_check_hw(void *container);
/* Frame and direction that iova is mapped to through a group; false: none. */
bool unit_translate(struct iommu_group *group, u64 iova, phys_addr_t *phys,
		    int *prot);

/*
 * All that a failed call must leave as it was, as text: owners, registrations,
 * what each IOVA is mapped to in books and IOMMUs, windows, pins, charges.
 * Where a mapping or an IOMMU page was cut does not count. To be freed.
 */
char *unit_snapshot(void);
/* Expect two to be the same; tells what and the first line that differs. */
bool unit_same(const char *got, const char *want, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- IOMMUs and groups ------------------------------------------------------- */

/* VT-d: 4 KiB, 2 MiB, 1 GiB, 48 bits, coherent. */
extern const struct bus_type unit_vtd;
/* Large pages without much memory: 4 KiB, 32 KiB, 256 KiB. Coherent. */
extern const struct bus_type unit_small;
/* 4 KiB, 32 KiB, 40 bits, not coherent. */
extern const struct bus_type unit_other;

/* AMD-Vi: every power of two from 4 KiB on but 512 GiB, 48 bits. Coherent. */
extern const struct bus_type unit_amd;

/* Groups that tests attach; their IOMMU, id and reserved IOVAs are constant. */
extern struct iommu_group unit_vtd_group, unit_vtd_group2;
extern struct iommu_group unit_small_group, unit_small_group2;
extern struct iommu_group unit_other_group, unit_amd_group;
/* Of an emulated device: no IOMMU. */
extern struct iommu_group unit_emulated_group;

/* Reserved by unit_vtd_group and unit_amd_group. */
#define UNIT_MSI_FIRST	0xfee00000UL
#define UNIT_MSI_LAST	0xfeefffffUL
/* Reserved by unit_small_group, and by unit_other_group. */
#define UNIT_SMALL_RESV_FIRST	0x300000UL
#define UNIT_SMALL_RESV_LAST	0x307fffUL
#define UNIT_OTHER_RESV_FIRST	0x3a0000UL
#define UNIT_OTHER_RESV_LAST	0x3a0fffUL

/* ---- around each test -------------------------------------------------------- */

/* Load the module. */
void unit_begin(void);
/*
 * Every counter must be zero; unload, unless the test did; nothing of the machine
 * may be left.
 */
void unit_end(void);

extern unsigned int *const shim_param_mappings_max;
extern bool *const shim_param_allow_unsafe_interrupts;
extern bool *const shim_param_share_domains;
extern bool *const shim_param_type1;
extern unsigned int *const shim_param_dma_entry_limit;
extern unsigned int *const shim_param_keep_mib;

#endif
