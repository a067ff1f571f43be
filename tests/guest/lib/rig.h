/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An edu device in a container, with assertions (tap.h) about what it
 * reaches. What a suite needs again and again.
 */
#ifndef GUEST_RIG_H
#define GUEST_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "edu.h"
#include "proc.h"
#include "vfio.h"

#define TYPE7 VFIO_SPAPR_TCE_v2_IOMMU
/* The CPU's page: what memory is registered in. */
#define PAGE ((size_t)sysconf(_SC_PAGESIZE))
/*
 * A page of the default window: what is mapped in there. 4 KiB whatever the CPU's is, but
 * for SMMUs, which take the CPU's.
 */
#ifdef __aarch64__
#define IOMMU_PAGE PAGE
#else
#define IOMMU_PAGE ((size_t)4096)
#endif
#define IOMMU_SHIFT (unsigned int)__builtin_ctzl(IOMMU_PAGE)
#define MIB (1ul << 20)

struct rig {
	struct vfio_dev dev;
	struct edu edu;
	int container;
};

/*
 * Starts an owner with @fn(its socket, &@pair[1]), which gives the other end of @pair to a child of its own that has
 * the fds; asserts that both send @ready.
 */
bool rig_start_owner(struct proc *owner, int (*fn)(int sock, void *arg), int pair[2], int ready);
/* Opens the device, a container of its own (of type 7, or @type) and the engine; asserts that it works. */
bool rig_open(struct rig *rig, const char *bdf);
bool rig_open_type(struct rig *rig, const char *bdf, int type);
/* The same in @container, which belongs to another rig. */
bool rig_join(struct rig *rig, const char *bdf, int container);
void rig_close(struct rig *rig);

/* Memory that is registered, and mapped at @iova; NULL after a failed assertion. */
char *rig_own(struct rig *rig, size_t bytes, enum mem_kind kind, uint64_t iova);
/* The same for a container of type 1 or 3, where MAP is all it takes. */
char *rig_map(struct rig *rig, size_t bytes, enum mem_kind kind, uint64_t iova);

/* Asserts edu_reaches() for 64 bytes, edu_faults(). @what names the place. */
bool rig_expect_reach(struct rig *rig, uint64_t iova, void *va, const char *what);
bool rig_expect_fault(struct rig *rig, uint64_t iova, bool write, const char *what);

/* Pinned pages above the baseline. */
long long rig_pins(void);

/* Runs a test with page tables of their own for each group (share_domains=N). */
void rig_apart(void (*test)(void));

#define DEFAULT_WINDOW_BYTES (2ull << 30)

/*
 * What windows are on this hw: tables in memory that are charged to the owner
 * while they are open, or mere ranges. Asks GET_INFO, so not for a foreign owner.
 */
bool rig_has_tables(int container);
/* Where the second window starts beside a small first one. */
uint64_t rig_window1(int container);
/* Pages charged for a window of one level; 0 where windows are no tables. */
long long rig_table_pages(int container, unsigned int page_shift, uint64_t bytes);
/* The same for the default window, once something was mapped in it. */
long long rig_default_table_pages(int container);
/*
 * What REGISTER answers for shared pages of a file system that writes them back: from Linux 6.5 on the
 * kernel refuses them itself.
 */
int rig_file_pages_errno(void);
/* How many bits of an IOVA the machine's IOMMU translates, as the runner says; 0 where windows are tables. */
unsigned int rig_aperture_bits(void);

#endif
