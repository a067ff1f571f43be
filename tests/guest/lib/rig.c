// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include "meter.h"
#include "rig.h"
#include "tap.h"

static bool rig_start(struct rig *rig, int ret, const char *bdf)
{
	rig->edu.bar = NULL;
	if (!tap_expect_ret(ret, 0, "open %s", bdf) ||
	    !tap_expect_ret(edu_open(&rig->edu, rig->dev.device), 0, "its engine"))
		return false;
	rig->container = rig->dev.container;
	return true;
}

bool rig_open_type(struct rig *rig, const char *bdf, int type)
{
	return rig_start(rig, vfio_dev_open(&rig->dev, bdf, type), bdf);
}

bool rig_start_owner(struct proc *owner, int (*fn)(int sock, void *arg), int pair[2], int ready)
{
	return tap_expect(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), "socketpair") &&
	       tap_expect_ret(proc_start(owner, fn, &pair[1]), 0, "start the owner") &&
	       tap_expect_ret(sock_expect(owner->sock, ready), 0, "the owner is ready") &&
	       tap_expect_ret(sock_expect(pair[0], ready), 0, "its child is ready");
}

bool rig_open(struct rig *rig, const char *bdf)
{
	return rig_open_type(rig, bdf, TYPE7);
}

bool rig_join(struct rig *rig, const char *bdf, int container)
{
	return rig_start(rig, vfio_dev_join(&rig->dev, bdf, container), bdf);
}

void rig_close(struct rig *rig)
{
	edu_close(&rig->edu);
	vfio_dev_close(&rig->dev);
}

static char *rig_hold(struct rig *rig, int type, size_t bytes, enum mem_kind kind, uint64_t iova)
{
	char *p = mem_alloc(bytes, kind);

	if (!tap_expect(p, "memory: %s", strerror(errno)) ||
	    !tap_expect_ret(vfio_hold(rig->container, type, p, bytes, iova), 0,
			    "take %zu KiB for DMA", bytes >> 10))
		return NULL;
	return p;
}

char *rig_own(struct rig *rig, size_t bytes, enum mem_kind kind, uint64_t iova)
{
	return rig_hold(rig, TYPE7, bytes, kind, iova);
}

char *rig_map(struct rig *rig, size_t bytes, enum mem_kind kind, uint64_t iova)
{
	return rig_hold(rig, VFIO_TYPE1v2_IOMMU, bytes, kind, iova);
}

bool rig_expect_reach(struct rig *rig, uint64_t iova, void *va, const char *what)
{
	static uint32_t seed = 100;

	return tap_expect(edu_reaches(&rig->edu, iova, va, 64, ++seed),
			  "the device reaches %s (iova 0x%llx)", what, (unsigned long long)iova);
}

bool rig_expect_fault(struct rig *rig, uint64_t iova, bool write, const char *what)
{
	return tap_expect(edu_faults(&rig->edu, iova, write),
			  "%s (iova 0x%llx, %s): no fault in the log", what,
			  (unsigned long long)iova, write ? "write" : "read");
}

long long rig_pins(void)
{
	return meter_pins() - meter_baseline_pins();
}

void rig_apart(void (*test)(void))
{
	static const char file[] = "/sys/module/" PREREG_MODULE "/parameters/share_domains";

	if (!tap_expect_ret(meter_file_write(file, "N"), 0, "share_domains=N"))
		return;
	test();
	tap_expect_ret(meter_file_write(file, "Y"), 0, "share_domains=Y");
}

bool rig_has_tables(int container)
{
	struct vfio_iommu_spapr_tce_info info;

	/* A page size that no hardware has, so only windows without tables. */
	return tap_expect_ret(spapr_get_info(container, &info), 0, "GET_INFO") &&
	       !(info.ddw.pgsizes >> 17 & 1);
}

uint64_t rig_window1(int container)
{
	return rig_has_tables(container) ? 1ull << 59 : VFIO_WINDOW1_START;
}

long long rig_table_pages(int container, unsigned int page_shift, uint64_t bytes)
{
	const uint64_t table = (bytes >> page_shift) * sizeof(uint64_t);

	if (!rig_has_tables(container))
		return 0;
	/* The platform has each table twice: for the hardware, and for the hypervisor's notes. */
	return 2 * (table > PAGE ? table / PAGE : 1);
}

long long rig_default_table_pages(int container)
{
	return rig_table_pages(container, 12, DEFAULT_WINDOW_BYTES);
}

unsigned int rig_aperture_bits(void)
{
	const char *bits = getenv("VFIO_APERTURE_BITS");

	return bits ? atoi(bits) : 0;
}

int rig_file_pages_errno(void)
{
	struct utsname name;
	unsigned int major, minor;

	if (uname(&name) || sscanf(name.release, "%u.%u", &major, &minor) != 2)
		return 0;
	return major > 6 || (major == 6 && minor >= 5) ? -EFAULT : -EOPNOTSUPP;
}
