// SPDX-License-Identifier: GPL-2.0
/* What the device reaches, and what it does not: with real DMA, contents compared. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "meter.h"
#include "proc.h"
#include "rig.h"
#include "suite.h"
#include "tap.h"

#define IOVA 0x10000000ull
#define IOVA2 0x20000000ull

enum {
	MSG_READY = 1,
	MSG_GO,
	MSG_DONE,
};

static void test_page(void)
{
	struct rig rig;
	char *src, *dst;

	if (!rig_open(&rig, VFIO_EDU0))
		return;
	src = rig_own(&rig, PAGE, MEM_SMALL, IOVA);
	dst = rig_own(&rig, 3 * PAGE, MEM_SMALL, IOVA2);
	if (!src || !dst)
		return;
	tap_step("the device copies a page; its neighbours stay as they are");
	mem_fill(src, PAGE, 1);
	mem_fill(dst, 3 * PAGE, 2);
	tap_expect_ret(edu_copy(&rig.edu, IOVA2 + PAGE, IOVA, PAGE), 0, "copy");
	tap_expect(mem_matches(dst + PAGE, PAGE, 1), "the page is a copy");
	tap_expect(mem_matches(dst, PAGE, 2), "the page before it is unchanged");
	tap_step("a part of a page: nothing around it changes");
	memset(dst, 0x11, PAGE);
	tap_expect_ret(edu_copy(&rig.edu, IOVA2 + 100, IOVA + 8, 24), 0, "copy of 24 bytes");
	tap_expect(!memcmp(dst + 100, src + 8, 24), "the bytes are copies");
	tap_expect(dst[99] == 0x11 && dst[124] == 0x11, "the bytes around them are unchanged");
	rig_close(&rig);
}

static void test_scattered(void)
{
	const size_t bytes = 256 * PAGE;
	unsigned int checked = 0;
	struct rig rig;
	size_t i;
	char *p;

	if (!rig_open(&rig, VFIO_EDU0))
		return;
	p = mem_alloc_scattered(bytes);
	if (!tap_expect(p, "memory") ||
	    !tap_expect_ret(vfio_hold(rig.container, TYPE7, p, bytes, IOVA), 0, "own 256 pages"))
		return;
	tap_step("DMA over the boundaries of physically contiguous runs");
	for (i = 0; i + 1 < bytes / PAGE && checked < 8; i++) {
		if (mem_contiguous(p + i * PAGE))
			continue;
		rig_expect_reach(&rig, IOVA + (i + 1) * PAGE - 32, p + (i + 1) * PAGE - 32,
			     "both sides of a run's end");
		checked++;
		i += 11;
	}
	tap_expect(checked >= 4, "only %u boundaries of runs found", checked);
	tap_step("the region's first and last bytes");
	rig_expect_reach(&rig, IOVA, p, "the first bytes");
	rig_expect_reach(&rig, IOVA + bytes - 64, p + bytes - 64, "the last bytes");
	tap_step("a part of it again, elsewhere and at another offset");
	tap_expect_ret(vfio_map(rig.container, IOVA2 + PAGE, p + 37 * PAGE, 5 * PAGE, VFIO_MAP_RW),
		       0, "MAP");
	rig_expect_reach(&rig, IOVA2 + 2 * PAGE - 32, p + 38 * PAGE - 32, "the second mapping");
	rig_expect_fault(&rig, IOVA2, true, "before the second mapping");
	rig_expect_fault(&rig, IOVA2 + 6 * PAGE, true, "behind the second mapping");
	rig_close(&rig);
}

static void test_thp(void)
{
	const size_t bytes = 6 * MIB;
	struct rig rig;
	char *p;

	if (!rig_open(&rig, VFIO_EDU0))
		return;
	p = rig_own(&rig, bytes, MEM_THP, IOVA);
	if (!p)
		return;
	tap_diag("%lld KiB are huge", mem_huge_kib(p));
	if (mem_huge_kib(p) < (long long)mem_thp_bytes() >> 10) {
		tap_skip("this kernel gave no huge page");
		return;
	}
	rig_expect_reach(&rig, IOVA, p, "the first bytes");
	rig_expect_reach(&rig, IOVA + 2 * MIB - 32, p + 2 * MIB - 32, "both sides of 2 MiB");
	rig_expect_reach(&rig, IOVA + bytes - 64, p + bytes - 64, "the last bytes");
	tap_step("mapped again where IOVA and memory are not aligned to each other");
	tap_expect_ret(vfio_map(rig.container, IOVA2 + 3 * PAGE, p + MIB, 4 * MIB, VFIO_MAP_RW), 0,
		       "MAP");
	rig_expect_reach(&rig, IOVA2 + 3 * PAGE, p + MIB, "the first bytes");
	rig_expect_reach(&rig, IOVA2 + 3 * PAGE + MIB - 32, p + 2 * MIB - 32, "both sides of 2 MiB");
	rig_expect_reach(&rig, IOVA2 + 3 * PAGE + 4 * MIB - 64, p + 5 * MIB - 64, "the last bytes");
	rig_close(&rig);
}

static void test_other_memory(void)
{
	static const struct {
		enum mem_kind kind;
		const char *name;
	} kinds[] = {
		{ MEM_SHARED, "shared memory" },
		{ MEM_HUGETLB, "hugetlb memory" },
	};
	struct rig rig;
	size_t i;

	if (!rig_open(&rig, VFIO_EDU0))
		return;
	for (i = 0; i < SUITE_SIZE(kinds); i++) {
		const uint64_t iova = IOVA + i * 0x1000000;
		char *p;

		if (kinds[i].kind == MEM_HUGETLB && !mem_hugetlb_reserve(2)) {
			tap_diag("this kernel gives no hugetlb pages: left out");
			continue;
		}
		p = rig_own(&rig, 4 * MIB, kinds[i].kind, iova);
		if (!p)
			continue;
		rig_expect_reach(&rig, iova, p, kinds[i].name);
		rig_expect_reach(&rig, iova + 2 * MIB - 32, p + 2 * MIB - 32, kinds[i].name);
	}
	rig_close(&rig);
	mem_hugetlb_reserve(0);
}

static void test_direction(void)
{
	struct rig rig;
	char *p, *scratch;

	if (!rig_open(&rig, VFIO_EDU0))
		return;
	scratch = rig_own(&rig, PAGE, MEM_SMALL, IOVA2);
	p = rig_own(&rig, 2 * PAGE, MEM_SMALL, IOVA);
	if (!p || !scratch)
		return;
	tap_step("mapped for the device to read: its write faults and changes nothing, it reads");
	tap_expect_ret(vfio_map(rig.container, IOVA, p, 2 * PAGE, VFIO_DMA_MAP_FLAG_READ), 0,
		       "MAP for reading");
	mem_fill(p, 2 * PAGE, 1);
	mem_fill(scratch, 64, 2);
	tap_expect_ret(edu_dma_read(&rig.edu, IOVA2, 0, 64), 0, "load the device's buffer");
	/* The write comes first: QEMU's IOTLB tells no fault for an entry that a read brought. */
	rig_expect_fault(&rig, IOVA, true, "a write");
	tap_expect_ret(edu_dma_write(&rig.edu, IOVA + PAGE, 0, 64), 0, "write");
	tap_expect(mem_matches(p, 2 * PAGE, 1), "memory is unchanged");
	tap_expect_ret(edu_copy(&rig.edu, IOVA2, IOVA, 64), 0, "copy");
	tap_expect(mem_matches(scratch, 64, 1), "the device read it");

	tap_step("mapped for the device to write: it writes");
	tap_expect_ret(vfio_map(rig.container, IOVA, p, 2 * PAGE, VFIO_DMA_MAP_FLAG_WRITE), 0,
		       "MAP for writing");
	mem_fill(scratch, 64, 2);
	tap_expect_ret(edu_dma_read(&rig.edu, IOVA2, 0, 64), 0, "load the device's buffer");
	tap_expect_ret(edu_dma_write(&rig.edu, IOVA, 0, 64), 0, "write");
	tap_expect(mem_matches(p, 64, 2), "the device wrote it");
	/*
	 * Whether a read faults is the IOMMU driver's affair, and not ours to judge:
	 * Linux 6.1's VT-d driver sets the read bit in every entry (__domain_mapping()).
	 */
	mem_fill(p, 64, 3);
	tap_expect_ret(edu_copy(&rig.edu, IOVA2, IOVA, 64), 0, "copy");
	tap_diag("this IOMMU driver lets a device %s what is mapped for writing only",
		 mem_matches(scratch, 64, 3) ? "read" : "not read");
	rig_close(&rig);
}

static void test_unmap(void)
{
	struct rig rig;
	char *p;

	if (!rig_open(&rig, VFIO_EDU0))
		return;
	p = rig_own(&rig, 8 * PAGE, MEM_SMALL, IOVA);
	if (!p)
		return;
	tap_step("the IOTLB knows all that goes away: a flush left out would show");
	rig_expect_reach(&rig, IOVA, p, "the first page");
	rig_expect_reach(&rig, IOVA + 2 * PAGE, p + 2 * PAGE, "a page to be unmapped");
	rig_expect_reach(&rig, IOVA + 3 * PAGE, p + 3 * PAGE, "a page to be unmapped");
	tap_step("UNMAP of pages 2 and 3 of eight: they fault, their neighbours do not");
	mem_fill(p, 8 * PAGE, 1);
	tap_expect_ret(vfio_unmap(rig.container, IOVA + 2 * PAGE, 2 * PAGE), 0, "UNMAP");
	rig_expect_fault(&rig, IOVA + 2 * PAGE, true, "first unmapped page");
	rig_expect_fault(&rig, IOVA + 3 * PAGE, false, "last unmapped page");
	tap_expect(mem_matches(p, 8 * PAGE, 1), "memory is unchanged");
	rig_expect_reach(&rig, IOVA + 2 * PAGE - 64, p + 2 * PAGE - 64, "the page before");
	rig_expect_reach(&rig, IOVA + 4 * PAGE, p + 4 * PAGE, "the page behind");
	tap_step("UNMAP of all, UNREGISTER, and the memory goes back");
	tap_expect_ret(vfio_unmap(rig.container, IOVA, 8 * PAGE), 0, "UNMAP");
	rig_expect_fault(&rig, IOVA, true, "after UNMAP");
	tap_expect_ret(spapr_unregister(rig.container, p, 8 * PAGE), 0, "UNREGISTER");
	rig_expect_fault(&rig, IOVA + 7 * PAGE, true, "after UNREGISTER");
	rig_close(&rig);
}

static void test_remap(void)
{
	struct rig rig;
	char *a, *b;

	if (!rig_open(&rig, VFIO_EDU0))
		return;
	a = rig_own(&rig, 4 * PAGE, MEM_SMALL, IOVA);
	b = rig_own(&rig, 4 * PAGE, MEM_SMALL, IOVA2);
	if (!a || !b)
		return;
	tap_step("use an IOVA, then map other memory over it: the device sees the new one");
	mem_fill(a, 4 * PAGE, 1);
	rig_expect_reach(&rig, IOVA + PAGE, a + PAGE, "the first mapping");
	tap_expect_ret(vfio_map(rig.container, IOVA + PAGE, b, 2 * PAGE, VFIO_MAP_RW), 0,
		       "MAP over it");
	mem_fill(a + PAGE, 2 * PAGE, 7);
	rig_expect_reach(&rig, IOVA + PAGE, b, "the new mapping");
	rig_expect_reach(&rig, IOVA + 2 * PAGE, b + PAGE, "the new mapping's second page");
	tap_expect(mem_matches(a + PAGE, 2 * PAGE, 7), "the old memory is unchanged");
	rig_expect_reach(&rig, IOVA, a, "what was not replaced, before it");
	rig_expect_reach(&rig, IOVA + 3 * PAGE, a + 3 * PAGE, "what was not replaced, behind it");
	rig_close(&rig);
}

static void test_window_removed(void)
{
	uint64_t start = 0;
	struct rig rig;
	char *p;

	if (!rig_open(&rig, VFIO_EDU0))
		return;
	p = rig_own(&rig, 4 * PAGE, MEM_SMALL, IOVA);
	if (!p)
		return;
	tap_expect_ret(spapr_create(rig.container, IOMMU_SHIFT, 1ull << 30, 1, &start), 0, "CREATE");
	tap_expect_ret(vfio_map(rig.container, start, p, 4 * PAGE, VFIO_MAP_RW), 0,
		       "MAP in the second window");
	rig_expect_reach(&rig, start, p, "the second window");
	tap_step("REMOVE of a window takes its mappings away, not the other window's");
	tap_expect_ret(spapr_remove(rig.container, start), 0, "REMOVE");
	rig_expect_fault(&rig, start, true, "in the removed window");
	rig_expect_reach(&rig, IOVA, p, "the other window");
	tap_expect_ret(spapr_remove(rig.container, 0), 0, "REMOVE of the default window");
	rig_expect_fault(&rig, IOVA, true, "in the removed default window");
	rig_close(&rig);
}

static void test_pinned_page_stays(void)
{
	struct rig rig;
	char *p, *scratch;

	if (!rig_open(&rig, VFIO_EDU0))
		return;
	p = rig_own(&rig, 4 * PAGE, MEM_SMALL, IOVA);
	scratch = rig_own(&rig, PAGE, MEM_SMALL, IOVA2);
	if (!p || !scratch)
		return;
	tap_step("MADV_DONTNEED and munmap() of mapped memory: the device keeps its pages");
	mem_fill(p, 4 * PAGE, 1);
	tap_expect(!madvise(p, 2 * PAGE, MADV_DONTNEED), "madvise");
	tap_expect(!munmap(p + 2 * PAGE, 2 * PAGE), "munmap");
	mem_fill(p, 2 * PAGE, 5);
	tap_expect_ret(edu_copy(&rig.edu, IOVA2, IOVA, 64), 0, "copy");
	tap_expect(mem_matches(scratch, 64, 1), "the device reads the registered page");
	tap_expect_ret(edu_dma_write(&rig.edu, IOVA + PAGE, 0, 64), 0, "write");
	tap_expect_ret(edu_dma_write(&rig.edu, IOVA + 2 * PAGE, 0, 64), 0, "write");
	tap_expect(mem_matches(p, 2 * PAGE, 5), "the process's new pages are not touched");
	tap_step("UNREGISTER of what is no longer there");
	tap_expect_ret(vfio_unmap(rig.container, IOVA, 4 * PAGE), 0, "UNMAP");
	tap_expect_ret(spapr_unregister(rig.container, p, 4 * PAGE), 0, "UNREGISTER");
	rig_close(&rig);
}

static void test_other_container(void)
{
	struct rig a, b;
	char *p;

	if (!rig_open(&a, VFIO_EDU0) || !rig_open(&b, VFIO_EDU1))
		return;
	p = rig_own(&a, PAGE, MEM_SMALL, IOVA);
	if (!p)
		return;
	tap_step("a device of another container does not reach the mapping");
	tap_expect_ret(spapr_register(b.container, p, PAGE), 0, "REGISTER there too");
	rig_expect_reach(&a, IOVA, p, "its own container's mapping");
	rig_expect_fault(&b, IOVA, true, "the other container's device");
	rig_close(&a);
	rig_close(&b);
}

#define DEAD_BYTES (16 * MIB)
#define SHOTS 24
#define SHOT_BYTE 0xa5
#define SECRET_SEED 7
#define CANARY_SEED 42

struct gunner {
	struct rig rig;
	int sock;
};

/* Holds all fds of the device, and fires at the dead owner's memory when told. */
static int gunner_child(int sock, void *arg)
{
	struct gunner *g = arg;
	char *scratch;
	int msg, i;

	(void)sock;
	if (sock_send(g->sock, MSG_READY) || sock_expect(g->sock, MSG_GO))
		return 1;
	/* The engine's buffer was loaded while the owner lived. */
	tap_expect(edu_faults(&g->rig.edu, IOVA, true), "the first shot: no fault in the log");
	for (i = 0; i < SHOTS; i++)
		tap_expect_ret(edu_dma_write(&g->rig.edu, IOVA + i * (DEAD_BYTES / SHOTS & ~0xfffull),
					     0, 64), 0, "shot %d", i);
	/* Nor may it read there. The child owns the container now, and looks at what came. */
	scratch = rig_own(&g->rig, PAGE, MEM_SMALL, IOVA2);
	if (scratch) {
		tap_expect_ret(edu_copy(&g->rig.edu, IOVA2, IOVA + 8 * PAGE, 64), 0, "read");
		tap_expect(!mem_matches(scratch, 64, SECRET_SEED), "the device read the dead");
		tap_expect(!mem_matches(scratch, 64, CANARY_SEED), "the device read the canary");
	}
	sock_send(g->sock, MSG_DONE);
	sock_recv(g->sock, &msg);
	return 0;
}

static int gunner_owner(int sock, void *arg)
{
	struct gunner g = { .sock = *(int *)arg };
	struct proc child;
	size_t i;
	char *p;
	int msg;

	if (!rig_open(&g.rig, VFIO_EDU0) ||
	    !tap_expect_ret(proc_start(&child, gunner_child, &g), 0, "fork"))
		return 1;
	p = rig_own(&g.rig, DEAD_BYTES, MEM_SMALL, IOVA);
	if (!p)
		return 1;
	for (i = 0; i < DEAD_BYTES / PAGE; i++)
		mem_fill(p + i * PAGE, PAGE, SECRET_SEED);
	memset(p, SHOT_BYTE, PAGE);
	tap_expect_ret(edu_dma_read(&g.rig.edu, IOVA, 0, 64), 0, "load the device's buffer");
	memset(p, 0, PAGE);
	tap_expect_ret(edu_dma_write(&g.rig.edu, IOVA, 0, 64), 0, "write while the owner lives");
	tap_expect((unsigned char)p[0] == SHOT_BYTE, "the device reaches the living owner's memory");
	sock_send(sock, MSG_READY);
	sock_recv(sock, &msg);
	return 0;
}

/* Left free when the canary takes all other memory. */
#define SPARE_KIB (96 * 1024)

static void test_owner_death(void)
{
	struct proc owner;
	size_t bytes, bad = 0, i;
	long long before;
	char *canary;
	int pair[2];

	tap_step("an owner maps 16 MiB; its child holds container, group and device");
	if (!rig_start_owner(&owner, gunner_owner, pair, MSG_READY))
		return;
	tap_step("kill the owner");
	before = meter_free_kib();
	proc_kill(&owner);
	tap_diag("%lld KiB came free", meter_free_kib() - before);
	tap_expect_eq(meter_pins() - meter_baseline_pins(), 0, "pinned pages after the kill");
	tap_step("fill the free memory with a canary");
	/*
	 * Not what the kernel keeps for itself, which is much where huge pages are large; nor, if that were what is left, what
	 * cannot be pinned (CMA).
	 */
	bytes = ((meter_meminfo_kib("MemAvailable") - SPARE_KIB - meter_meminfo_kib("CmaFree")) << 10) / PAGE * PAGE;
	canary = mem_alloc(bytes, MEM_SMALL);
	if (!tap_expect(canary, "%zu MiB for the canary: %s", bytes >> 20, strerror(errno)))
		return;
	for (i = 0; i < bytes; i += PAGE)
		mem_fill(canary + i, PAGE, CANARY_SEED);
	tap_step("the child fires the device at the old IOVAs, %d times", SHOTS + 1);
	sock_send(pair[0], MSG_GO);
	tap_expect_ret(sock_expect(pair[0], MSG_DONE), 0, "the child is done");
	tap_step("the canary of %zu MiB must be as it was", bytes >> 20);
	for (i = 0; i < bytes; i += PAGE)
		bad += !mem_matches(canary + i, PAGE, CANARY_SEED);
	tap_expect_eq(bad, 0, "pages of other memory that the device wrote to");
	sock_send(pair[0], MSG_GO);
}

static const struct suite_test tests[] = {
	{ .name = "page", .run = test_page },
	{ .name = "scattered", .run = test_scattered },
	{ .name = "thp", .run = test_thp },
	{ .name = "other-memory", .run = test_other_memory },
	{ .name = "direction", .run = test_direction },
	{ .name = "unmap", .run = test_unmap },
	{ .name = "remap", .run = test_remap },
	{ .name = "window-removed", .run = test_window_removed },
	{ .name = "pinned-page-stays", .run = test_pinned_page_stays },
	{ .name = "other-container", .run = test_other_container },
	{ .name = "owner-death", .run = test_owner_death, .timeout_s = 300 },
};

int main(int argc, char **argv)
{
	const struct suite suite = {
		.name = "dma",
		.tests = tests,
		.n_tests = SUITE_SIZE(tests),
	};

	return suite_main(argc, argv, &suite);
}
