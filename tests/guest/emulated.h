/* SPDX-License-Identifier: GPL-2.0 */
/* Emulated devices in containers of type 3: what the files of this suite share. */
#ifndef EMULATED_H
#define EMULATED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rig.h"
#include "testdev.h"
#include "type1.h"

#define IOVA 0x10000000ull
#define IOVA2 0x20000000ull

/* What the devices work with is vfio_prereg; else the kernel's vfio_iommu_type1. */
extern bool emulated_ours;
extern long emulated_seconds;
extern long emulated_seed;

/* Opens emulated device @nr with a container of its own, of @type; asserts that it works. */
bool emulated_open(struct vfio_dev *dev, unsigned int nr, int type);
/* The same in @container. */
bool emulated_join(struct vfio_dev *dev, unsigned int nr, int container);
/* Memory that is mapped at @iova; NULL after a failed assertion. */
char *emulated_map(struct vfio_dev *dev, size_t bytes, uint64_t iova);
/* Asserts what is pinned in the machine, and what this process is charged. Both in pages. */
bool emulated_expect_held(long long pinned, long long charged, const char *when);
/* Asserts that the pinned page at @iova is what the caller sees at @va: the device reads and writes it there. */
bool emulated_expect_page(struct vfio_dev *dev, uint64_t iova, char *va);

void test_dirty_pins(void);
void test_dirty_rw(void);
void test_dirty_unmap(void);
void test_dirty_real(void);

void test_real_attach(void);
void test_real_pin(void);
void test_real_first(void);
void test_real_reserved(void);
void test_real_limit(void);
void test_real_other_process(void);

void test_owner_killed(void);
void test_owner_execve(void);
void test_owner_killed_pinned_by_it(void);
void test_two_owners(void);
void test_owner_killed_in_copy(void);
void test_bad_at_unmap(void);
void test_bad_at_close(void);
void test_bad_at_death(void);

void test_fuzz(void);
void test_fuzz_kill(void);
void test_late(void);
void test_two_unmaps(void);

/* The program that an owner becomes: it ends when its parent says so. */
#define EXEC_ARG "--hold"
int emulated_exec_main(const char *sock);

#endif
