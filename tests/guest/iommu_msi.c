// SPDX-License-Identifier: GPL-2.0
/*
 * Interrupts that a device sends as messages. A message is a write to a doorbell, and passes the IOMMU: where that translates
 * it (SMMU), the container's own page tables must have the doorbell.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "iommu.h"
#include "meter.h"
#include "msi.h"
#include "proc.h"
#include "tap.h"

enum {
	MSG_READY = 1,
	MSG_GO,
};

/* A device whose interrupt is told. */
struct ringer {
	struct rig rig;
	int bell;
};

static bool ringer_ready(struct ringer *r)
{
	r->bell = msi_open(r->rig.dev.device);
	return tap_expect(r->bell >= 0, "MSI of %s: %s", r->rig.dev.bdf, tap_ret_name(r->bell));
}

static bool ringer_open(struct ringer *r, const char *bdf)
{
	return rig_open(&r->rig, bdf) && ringer_ready(r);
}

static void expect_msi(struct ringer *r, const char *when)
{
	tap_expect(msi_comes(&r->rig.edu, r->bell), "%s: no interrupt of %s", when, r->rig.dev.bdf);
}

static void expect_dma_msi(struct ringer *r, uint64_t iova, const char *when)
{
	tap_expect(msi_ends_dma(&r->rig.edu, r->bell, iova), "%s: no interrupt at the end of a DMA of %s", when,
		   r->rig.dev.bdf);
}

/* The device's and the group's way out; the container stays. */
static void ringer_leave(struct ringer *r)
{
	close(r->bell);
	edu_close(&r->rig.edu);
	close(r->rig.dev.device);
	r->rig.dev.device = -1;
	tap_expect_ret(vfio_group_detach(r->rig.dev.group), 0, "detach %s", r->rig.dev.bdf);
}

/* And back into @container; @first: its first group. */
static bool ringer_return(struct ringer *r, int container, bool first)
{
	tap_expect_ret(vfio_group_attach(r->rig.dev.group, container), 0, "attach %s", r->rig.dev.bdf);
	if (first)
		tap_expect_ret(vfio_set_iommu(container, TYPE7), 0, "SET_IOMMU");
	r->rig.dev.device = vfio_group_device(r->rig.dev.group, r->rig.dev.bdf);
	return tap_expect(r->rig.dev.device >= 0, "device %s", r->rig.dev.bdf) &&
	       tap_expect_ret(edu_open(&r->rig.edu, r->rig.dev.device), 0, "its engine") && ringer_ready(r);
}

void test_msi(void)
{
	struct ringer r;
	char *p;

	if (!ringer_open(&r, VFIO_EDU0))
		return;
	tap_step("nothing is registered yet");
	expect_msi(&r, "empty container");
	tap_step("while memory is mapped, and while it is not again");
	p = rig_own(&r.rig, 4 * PAGE, MEM_SMALL, IOVA);
	if (!p)
		return;
	expect_msi(&r, "mapped");
	expect_dma_msi(&r, IOVA, "mapped");
	rig_expect_reach(&r.rig, IOVA, p, "mapped memory");
	tap_expect_ret(vfio_unmap(r.rig.container, IOVA, 4 * PAGE), 0, "UNMAP");
	expect_msi(&r, "unmapped");
	tap_expect_ret(spapr_unregister(r.rig.container, p, 4 * PAGE), 0, "UNREGISTER");
	expect_msi(&r, "nothing registered");
	tap_step("turned off and on again");
	tap_expect_ret(msi_off(r.rig.dev.device), 0, "MSI off");
	tap_expect(!msi_comes(&r.rig.edu, r.bell), "an interrupt that is off");
	close(r.bell);
	if (!ringer_ready(&r))
		return;
	expect_msi(&r, "turned on again");
	rig_close(&r.rig);
	close(r.bell);
}

void test_msi_attach(void)
{
	struct ringer r;
	int i;

	if (!ringer_open(&r, VFIO_EDU0))
		return;
	for (i = 0; i < 3; i++) {
		if (!rig_own(&r.rig, 4 * PAGE, MEM_SMALL, IOVA))
			return;
		expect_msi(&r, "mapped");
		ringer_leave(&r);
		if (!ringer_return(&r, r.rig.container, true))
			return;
		expect_msi(&r, "attached again");
	}
	rig_close(&r.rig);
	close(r.bell);
}

static void two_groups(void)
{
	struct ringer a, b;
	char *p;

	if (!ringer_open(&a, VFIO_EDU0))
		return;
	p = rig_own(&a.rig, 4 * PAGE, MEM_SMALL, IOVA);
	if (!p)
		return;
	expect_msi(&a, "alone");
	tap_step("a second group comes");
	if (!rig_join(&b.rig, VFIO_EDU1, a.rig.container) || !ringer_ready(&b))
		return;
	expect_msi(&b, "joined");
	expect_msi(&a, "joined by another group");
	expect_dma_msi(&b, IOVA, "joined");
	expect_dma_msi(&a, IOVA, "joined by another group");
	tap_step("the first one leaves");
	ringer_leave(&a);
	expect_msi(&b, "left alone");
	expect_dma_msi(&b, IOVA, "left alone");
	tap_step("and comes back");
	if (!ringer_return(&a, a.rig.container, false))
		return;
	expect_msi(&a, "back");
	expect_dma_msi(&a, IOVA, "back");
	tap_step("the second one leaves");
	ringer_leave(&b);
	close(b.rig.dev.group);
	expect_msi(&a, "alone again");
	rig_close(&a.rig);
	close(a.bell);
}

/* Both devices sit behind one IOMMU: its driver finds the other one's doorbell in place. */
void test_msi_groups(void)
{
	two_groups();
}

/* The same with page tables, and doorbells in them, for each. */
void test_msi_domains(void)
{
	rig_apart(two_groups);
}

static int owner_process(int sock, void *arg)
{
	struct ringer *r = arg;
	int msg;

	/* The first to register is the owner. */
	if (!rig_own(&r->rig, MIB, MEM_SMALL, IOVA))
		return 1;
	expect_dma_msi(r, IOVA, "the owner");
	sock_send(sock, MSG_READY);
	sock_recv(sock, &msg);
	return 0;
}

void test_msi_owner_death(void)
{
	struct ringer r;
	struct proc owner;
	char *p;

	if (!ringer_open(&r, VFIO_EDU0) || !tap_expect_ret(proc_start(&owner, owner_process, &r), 0, "fork") ||
	    !tap_expect_ret(sock_expect(owner.sock, MSG_READY), 0, "the owner is ready"))
		return;
	expect_msi(&r, "while the owner lives");
	tap_step("the owner is killed; the device's interrupts are no memory of its");
	proc_kill(&owner);
	tap_expect_eq(rig_pins(), 0, "pinned pages");
	expect_msi(&r, "after the owner's death");
	rig_expect_fault(&r.rig, IOVA, true, "the dead owner's memory");
	tap_step("a new owner");
	p = rig_own(&r.rig, 4 * PAGE, MEM_SMALL, IOVA);
	if (!p)
		return;
	rig_expect_reach(&r.rig, IOVA, p, "the new owner's memory");
	expect_dma_msi(&r, IOVA, "a new owner");
	rig_close(&r.rig);
	close(r.bell);
}

/* Nothing that the container may do takes a doorbell away. */
void test_msi_unmap_around(void)
{
	uint64_t first, last, start;
	struct ringer r;
	char *p;

	if (!iommu_doorbells(&first, &last)) {
		tap_skip("doorbells are not among the IOVAs of windows here");
		return;
	}
	if (!ringer_open(&r, VFIO_EDU0))
		return;
	tap_expect_ret(spapr_remove(r.rig.container, 0), 0, "REMOVE");
	tap_expect_ret(spapr_create(r.rig.container, __builtin_ctzl(PAGE), 1ull << 33, 1, &start), 0, "CREATE of 8 GiB");
	p = rig_own(&r.rig, MIB, MEM_SMALL, first - MIB);
	if (!p)
		return;
	tap_expect_ret(vfio_map(r.rig.container, last + 1, p, MIB, VFIO_MAP_RW), 0, "MAP behind the doorbells");
	expect_msi(&r, "between mapped memory");
	tap_step("a device's DMA to a doorbell's page is no DMA to memory");
	tap_expect_ret(vfio_map(r.rig.container, first, p, last + 1 - first, VFIO_MAP_RW), -ENXIO, "MAP over the doorbells");
	expect_msi(&r, "MAP over the doorbells was refused");
	tap_step("UNMAP over them, and REMOVE of the window that has them");
	tap_expect_ret(vfio_unmap(r.rig.container, first - MIB, last + 1 - first + 2 * MIB), 0, "UNMAP");
	rig_expect_fault(&r.rig, first - PAGE, true, "before the doorbells");
	rig_expect_fault(&r.rig, last + 1, true, "behind the doorbells");
	expect_msi(&r, "UNMAP over the doorbells");
	tap_expect_ret(spapr_remove(r.rig.container, start), 0, "REMOVE");
	expect_msi(&r, "REMOVE of the window");
	rig_close(&r.rig);
	close(r.bell);
}

static int group_number(const char *bdf)
{
	char link[96], target[256];
	const char *nr;
	ssize_t len;

	snprintf(link, sizeof(link), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	len = readlink(link, target, sizeof(target) - 1);
	target[len < 0 ? 0 : len] = 0;
	nr = strrchr(target, '/');
	return nr ? atoi(nr + 1) : -1;
}

/* Interrupts that any device can raise by a write: only who says that he does not mind gets such a group. */
void test_not_isolated(void)
{
	const int klog = meter_klog_open();
	struct vfio_dev dev;
	struct ringer r;
	char warning[80];

	if (!tap_expect(klog >= 0, "kernel log") ||
	    !tap_expect_ret(meter_file_write(UNSAFE_INTERRUPTS, "N"), 0, "allow_unsafe_interrupts=N"))
		return;
	tap_expect_ret(vfio_dev_open(&dev, VFIO_EDU0, TYPE7), -EPERM, "SET_IOMMU");
	snprintf(warning, sizeof(warning), "Interrupts of IOMMU group %d are not isolated", group_number(VFIO_EDU0));
	tap_expect(meter_klog_find(klog, warning), "the kernel log does not say why: \"%s\"", warning);
	tap_expect_eq(meter_module_refs(PREREG_MODULE), 0, "references to the module");
	tap_step("allowed");
	tap_expect_ret(meter_file_write(UNSAFE_INTERRUPTS, "Y"), 0, "allow_unsafe_interrupts=Y");
	if (!ringer_open(&r, VFIO_EDU0) || !rig_own(&r.rig, 4 * PAGE, MEM_SMALL, IOVA))
		return;
	expect_msi(&r, "allowed");
	expect_dma_msi(&r, IOVA, "allowed");
	tap_step("no longer allowed: who has it keeps it, no group comes in any more");
	tap_expect_ret(meter_file_write(UNSAFE_INTERRUPTS, "N"), 0, "allow_unsafe_interrupts=N");
	tap_expect_ret(vfio_dev_join(&dev, VFIO_EDU1, r.rig.container), -EPERM, "attach of a second group");
	expect_msi(&r, "no longer allowed");
	expect_dma_msi(&r, IOVA, "no longer allowed");
	rig_close(&r.rig);
	close(r.bell);
	tap_expect_ret(vfio_dev_open(&dev, VFIO_EDU0, TYPE7), -EPERM, "SET_IOMMU");
	close(klog);
}
