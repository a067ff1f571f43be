// SPDX-License-Identifier: GPL-2.0
/*
 * What IOMMUs do each in their own way, and must be right on all: interrupts, doorbells, apertures, page sizes, flushes.
 *
 * Not tested, because no emulator could fail it: cache maintenance. Entries are made with IOMMU_CACHE, as type 1's are, and
 * VFIO refuses devices that are not coherent; but an emulated device and the CPU share one memory without caches.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "iommu.h"
#include "suite.h"
#include "tap.h"

bool iommu_doorbells(uint64_t *first, uint64_t *last)
{
#if defined(__aarch64__)
	/* The SMMU drivers' MSI_IOVA_BASE: doorbells are mapped there, where they are is the machine's affair. */
	*first = 0x8000000;
	*last = 0x80fffff;
	return true;
#elif defined(__x86_64__)
	*first = 0xfee00000;
	*last = 0xfeefffff;
	return true;
#else
	(void)first;
	(void)last;
	return false;
#endif
}

bool iommu_expect_away(struct rig *rig, uint64_t iova, char *va, const char *what)
{
	/* The device's buffer has what it last read, or wrote: another pattern. */
	mem_fill(va, 64, 7);
	tap_expect_ret(edu_dma_write(&rig->edu, iova, 0, 64), 0, "write");
	return tap_expect(mem_matches(va, 64, 7), "the device reaches %s (iova 0x%llx)", what, (unsigned long long)iova);
}

/* MAP answers ENXIO for all that the group reserves, and for pages beside it not. */
static void expect_reserved(struct rig *rig, char *p, uint64_t first, uint64_t last)
{
	const uint64_t inside[] = { first, first + (last - first) / 2 / PAGE * PAGE, last + 1 - PAGE };
	size_t i;

	for (i = 0; i < SUITE_SIZE(inside); i++)
		tap_expect_ret(vfio_map(rig->container, inside[i], p, PAGE, VFIO_MAP_RW), -ENXIO, "MAP at 0x%llx",
			       (unsigned long long)inside[i]);
	tap_expect_ret(vfio_map(rig->container, first - PAGE, p, 2 * PAGE, VFIO_MAP_RW), -ENXIO, "MAP over 0x%llx",
		       (unsigned long long)first);
	tap_expect_ret(vfio_map(rig->container, last + 1 - PAGE, p, 2 * PAGE, VFIO_MAP_RW), -ENXIO, "MAP over 0x%llx",
		       (unsigned long long)last);
	tap_expect_ret(vfio_map(rig->container, first - PAGE, p, PAGE, VFIO_MAP_RW), 0, "MAP before 0x%llx",
		       (unsigned long long)first);
	tap_expect_ret(vfio_map(rig->container, last + 1, p + PAGE, PAGE, VFIO_MAP_RW), 0, "MAP behind 0x%llx",
		       (unsigned long long)last);
	rig_expect_reach(rig, first - PAGE, p, "the page before");
	rig_expect_reach(rig, last + 1, p + PAGE, "the page behind");
}

static void test_reserved(void)
{
	const unsigned int bits = rig_aperture_bits();
	uint64_t first, last;
	unsigned long long a, b;
	bool found = false;
	struct rig rig;
	char path[128];
	char kind[32];
	FILE *list;
	char *p;

	if (!iommu_doorbells(&first, &last)) {
		tap_skip("this IOMMU reserves nothing");
		return;
	}
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group/reserved_regions", VFIO_EDU0);
	list = fopen(path, "re");
	if (!tap_expect(list, "%s", path) || !rig_open(&rig, VFIO_EDU0))
		return;
	tap_expect_ret(spapr_remove(rig.container, 0), 0, "REMOVE of the default window");
	tap_expect_ret(spapr_create(rig.container, __builtin_ctzl(PAGE), 1ull << 47, 1, NULL), 0, "CREATE");
	p = rig_own(&rig, 2 * PAGE, MEM_SMALL, IOVA);
	while (p && fscanf(list, "%llx %llx %31s", &a, &b, kind) == 3) {
		tap_step("0x%llx to 0x%llx (%s)", a, b, kind);
		/* This machine's IOMMU does not translate it at all. */
		if (bits < 64 && b >> bits) {
			tap_expect_ret(vfio_map(rig.container, a, p, PAGE, VFIO_MAP_RW), -ENXIO, "MAP");
			continue;
		}
		expect_reserved(&rig, p, a, b);
		found |= a == first && b == last;
	}
	tap_expect(found, "doorbells are not where they belong (0x%llx)", (unsigned long long)first);
	fclose(list);
	rig_close(&rig);
}

/* Of an IOVA the IOMMU translates so many bits; with more of them a device gets nowhere. */
static void test_aperture(void)
{
	const unsigned int bits = rig_aperture_bits();
	const uint64_t end = 1ull << bits % 64;
	struct rig rig;
	char *p;

	if (!bits) {
		tap_skip("windows are tables here");
		return;
	}
	if (bits == 64) {
		tap_skip("this IOMMU translates all bits");
		return;
	}
	if (!rig_open(&rig, VFIO_EDU0))
		return;
	tap_expect_ret(spapr_remove(rig.container, 0), 0, "REMOVE of the default window");
	tap_expect_ret(spapr_create(rig.container, __builtin_ctzl(PAGE), end * 2, 1, NULL), 0, "CREATE of 2^%u bytes",
		       bits + 1);
	p = rig_own(&rig, 4 * PAGE, MEM_SMALL, end - 4 * PAGE);
	if (!p)
		return;
	rig_expect_reach(&rig, end - 4 * PAGE, p, "the last pages");
	rig_expect_reach(&rig, end - 64, p + 4 * PAGE - 64, "the last bytes");
	tap_expect_ret(vfio_map(rig.container, end, p, PAGE, VFIO_MAP_RW), -ENXIO, "MAP behind the end");
	tap_expect_ret(vfio_map(rig.container, end - PAGE, p, 2 * PAGE, VFIO_MAP_RW), -ENXIO, "MAP over the end");
	tap_expect_ret(vfio_unmap(rig.container, end, PAGE), 0, "UNMAP behind the end");
	tap_step("bits above are not cut off, or this would be a mapped page");
	/* Nobody is told: QEMU's SMMU ends there. */
	iommu_expect_away(&rig, end + end - PAGE, p + 3 * PAGE, "what it cannot name");
	rig_expect_reach(&rig, end - PAGE, p + 3 * PAGE, "the last page");
	tap_step("unmapped");
	tap_expect_ret(vfio_unmap(rig.container, end - 2 * PAGE, 2 * PAGE), 0, "UNMAP of the last pages");
	iommu_expect_away(&rig, end - 64, p + 4 * PAGE - 64, "the last bytes");
	rig_expect_fault(&rig, end - PAGE, true, "the last page");
	rig_expect_reach(&rig, end - 3 * PAGE, p + PAGE, "the page that is left");
	rig_close(&rig);
}

static const struct suite_test tests[] = {
	{ .name = "msi", .run = test_msi },
	{ .name = "msi-attach", .run = test_msi_attach },
	{ .name = "msi-groups", .run = test_msi_groups },
	{ .name = "msi-domains", .run = test_msi_domains },
	{ .name = "msi-owner-death", .run = test_msi_owner_death },
	{ .name = "msi-unmap-around", .run = test_msi_unmap_around },
	/* For machines whose interrupts are not isolated. */
	{ .name = "not-isolated", .run = test_not_isolated, .on_demand = true },
	{ .name = "reserved", .run = test_reserved },
	{ .name = "aperture", .run = test_aperture },
	{ .name = "granule", .run = test_granule },
	{ .name = "blocks", .run = test_blocks },
	{ .name = "unaligned-blocks", .run = test_unaligned_blocks },
	{ .name = "flush", .run = test_flush },
	{ .name = "file-contents", .run = test_file_contents },
};

int main(int argc, char **argv)
{
	const struct suite suite = {
		.name = "iommu",
		.tests = tests,
		.n_tests = SUITE_SIZE(tests),
	};

	return suite_main(argc, argv, &suite);
}
