// SPDX-License-Identifier: GPL-2.0
/* Containers and groups: type, owner, detach, several groups, the module's parameters. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api.h"
#include "suite.h"

/* From IOVA: behind what is mapped there. */
#define FREE_AT (16 * MIB)
#define TYPE1 "/sys/module/" PREREG_MODULE "/parameters/type1"

/* What comes with types 1 and 3, which POWER has not. */
static const int type1_extensions[] = { VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU, VFIO_UNMAP_ALL };

static void expect_type1(int container, bool offered)
{
	tap_expect_ret(vfio_check_extension(container, VFIO_PREREG_EXTENSION), VFIO_PREREG_HAS_INFO | VFIO_PREREG_HAS_BATCH |
		       (offered ? VFIO_PREREG_HAS_KEEP : 0), "VFIO_PREREG_EXTENSION");
	size_t i;

	for (i = 0; i < SUITE_SIZE(type1_extensions); i++)
		tap_expect_ret(vfio_check_extension(container, type1_extensions[i]), offered, "extension %d", type1_extensions[i]);
}

void test_extensions(void)
{
	static const int none[] = { 0, 2, 6, 8, 10, 1000, -1 };
	int container, dma_cc;
	struct rig rig;
	bool tables;
	size_t i;

	if (!rig_open(&rig, VFIO_EDU0))
		return;
	tables = rig_has_tables(rig.container);
	rig_close(&rig);

	container = vfio_container_open();
	if (!tap_expect(container >= 0, "open a container"))
		return;
	tap_step("before SET_IOMMU");
	tap_expect_ret(vfio_check_extension(container, TYPE7), 1, "type 7");
	tap_expect_ret(vfio_check_extension(container, VFIO_DMA_CC_IOMMU), 0, "VFIO_DMA_CC_IOMMU");
	for (i = 0; i < SUITE_SIZE(none); i++)
		tap_expect_ret(vfio_check_extension(container, none[i]), 0, "extension %d", none[i]);
	expect_type1(container, !tables);
	tap_step("with type1=N");
	tap_expect_ret(meter_file_write(TYPE1, "N"), 0, "write type1");
	expect_type1(container, false);
	tap_expect_ret(vfio_check_extension(container, TYPE7), 1, "type 7");
	tap_expect_ret(meter_file_write(TYPE1, "Y"), 0, "restore type1");
	close(container);
	tap_step("after SET_IOMMU(7)");
	if (!rig_open(&rig, VFIO_EDU0))
		return;
	tap_expect_ret(vfio_check_extension(rig.container, TYPE7), 1, "type 7");
	dma_cc = vfio_check_extension(rig.container, VFIO_DMA_CC_IOMMU);
	tap_expect(dma_cc == 0 || dma_cc == 1, "VFIO_DMA_CC_IOMMU: %s", tap_ret_name(dma_cc));
	tap_diag("VFIO_DMA_CC_IOMMU: %d", dma_cc);
	/* Error recovery is a thing of the platform that has tables for windows. */
	tap_expect_ret(vfio_check_extension(rig.container, VFIO_EEH), rig_has_tables(rig.container),
		       "VFIO_EEH");
	for (i = 0; i < SUITE_SIZE(none); i++)
		tap_expect_ret(vfio_check_extension(rig.container, none[i]), 0, "extension %d", none[i]);
	expect_type1(rig.container, false);
	rig_close(&rig);
}

void test_set_iommu(void)
{
	const int wrong[] = { 1, 2, 3, 6, 8, 0, -1 };
	int container, group;
	char page[PAGE];
	size_t i;

	container = vfio_container_open();
	group = vfio_group_open(VFIO_EDU0);
	if (!tap_expect(container >= 0 && group >= 0, "open container and group"))
		return;
	tap_step("a container without a group");
	tap_expect(vfio_set_iommu(container, TYPE7) < 0, "SET_IOMMU without a group");
	tap_expect(spapr_register(container, page, PAGE) < 0, "REGISTER without a type");
	tap_step("types that we are not");
	tap_expect_ret(vfio_group_attach(group, container), 0, "attach");
	tap_expect_ret(meter_file_write(TYPE1, "N"), 0, "write type1");
	for (i = 0; i < SUITE_SIZE(wrong); i++)
		tap_expect(vfio_set_iommu(container, wrong[i]) < 0, "SET_IOMMU %d", wrong[i]);
	tap_expect_ret(meter_file_write(TYPE1, "Y"), 0, "restore type1");
	tap_expect_ret(vfio_set_iommu(container, TYPE7), 0, "SET_IOMMU 7");
	tap_expect(vfio_set_iommu(container, TYPE7) < 0, "SET_IOMMU twice");
	tap_expect_eq(meter_module_refs(PREREG_MODULE), 1, "references to the module");
	close(group);
	close(container);
}

void test_detach(void)
{
	struct api a;
	int i;

	if (!api_open(&a))
		return;
	for (i = 0; i < 3; i++) {
		tap_step("detach the only group: registrations and mappings go with it");
		edu_close(&a.rig.edu);
		tap_expect_ret(vfio_group_detach(a.rig.dev.group), -EBUSY, "detach with the device open");
		close(a.rig.dev.device);
		tap_expect_ret(vfio_group_detach(a.rig.dev.group), 0, "detach");
		meter_assert_clean(true);
		tap_expect_eq(meter_vmlck_kib(0), 0, "VmLck");
		tap_expect(spapr_register(a.fd, a.mem, REG_BYTES) < 0, "REGISTER in an empty container");
		tap_expect(spapr_create(a.fd, IOMMU_SHIFT, MIB, 1, NULL) < 0, "CREATE in an empty container");
		tap_step("attach it again: all is as new");
		tap_expect_ret(vfio_group_attach(a.rig.dev.group, a.fd), 0, "attach");
		tap_expect_ret(vfio_set_iommu(a.fd, TYPE7), 0, "SET_IOMMU");
		a.rig.dev.device = vfio_group_device(a.rig.dev.group, VFIO_EDU0);
		if (!tap_expect(a.rig.dev.device >= 0, "device") ||
		    !tap_expect_ret(edu_open(&a.rig.edu, a.rig.dev.device), 0, "engine"))
			return;
		api_unchanged(vfio_map(a.fd, IOVA, a.mem, PAGE, VFIO_MAP_RW), -EPERM, "MAP");
		rig_expect_fault(&a.rig, IOVA, true, "what was mapped before");
		tap_expect_ret(vfio_hold(a.fd, TYPE7, a.mem, REG_BYTES, IOVA), 0, "REGISTER and MAP");
		rig_expect_reach(&a.rig, IOVA, a.mem, "what is mapped now");
	}
	api_close(&a);
}

static void two_groups(void)
{
	struct rig second;
	uint64_t start;
	struct api a;
	char *huge;

	if (!api_open(&a))
		return;
	tap_step("mappings of all kinds before the second group comes");
	huge = rig_own(&a.rig, 4 * MIB, MEM_THP, IOVA2);
	if (!huge)
		return;
	tap_expect_ret(vfio_unmap(a.fd, IOVA2 + MIB, PAGE), 0, "UNMAP of a page of a huge one");
	tap_expect_ret(spapr_create(a.fd, IOMMU_SHIFT, MIB, 1, &start), 0, "CREATE");
	tap_expect_ret(vfio_map(a.fd, start, a.mem + PAGE, PAGE, VFIO_MAP_RW), 0, "MAP");
	if (!rig_join(&second, VFIO_EDU1, a.fd))
		return;
	tap_step("the second device reaches what was mapped before");
	rig_expect_reach(&second, IOVA, a.mem, "old mapping");
	rig_expect_reach(&second, IOVA2 + MIB + PAGE, huge + MIB + PAGE, "behind a hole in a huge page");
	rig_expect_reach(&second, IOVA2 + 4 * MIB - 64, huge + 4 * MIB - 64, "a huge page's end");
	rig_expect_reach(&second, start, a.mem + PAGE, "the second window");
	rig_expect_fault(&second, IOVA2 + MIB, true, "the hole");
	tap_step("both see what is mapped now; one UNMAP takes it from both");
	tap_expect_ret(vfio_map(a.fd, IOVA + FREE_AT, a.mem, PAGE, VFIO_MAP_RW), 0, "MAP");
	rig_expect_reach(&a.rig, IOVA + FREE_AT, a.mem, "new mapping, first device");
	rig_expect_reach(&second, IOVA + FREE_AT, a.mem, "new mapping, second device");
	tap_expect_ret(vfio_unmap(a.fd, IOVA + FREE_AT, PAGE), 0, "UNMAP");
	rig_expect_fault(&a.rig, IOVA + FREE_AT, true, "unmapped, first device");
	rig_expect_fault(&second, IOVA + FREE_AT, true, "unmapped, second device");
	tap_step("a window that is opened and removed with both there");
	tap_expect_ret(spapr_remove(a.fd, start), 0, "REMOVE");
	rig_expect_fault(&second, start, true, "the removed window");
	tap_expect_ret(spapr_create(a.fd, IOMMU_SHIFT, 1ull << 30, 1, &start), 0, "CREATE");
	tap_expect_ret(vfio_map(a.fd, start + 2 * MIB, huge, PAGE, VFIO_MAP_RW), 0, "MAP");
	rig_expect_reach(&a.rig, start + 2 * MIB, huge, "the new window, first device");
	rig_expect_reach(&second, start + 2 * MIB, huge, "the new window, second device");
	tap_step("the first group leaves: all stays for the second");
	edu_close(&a.rig.edu);
	close(a.rig.dev.device);
	tap_expect_ret(vfio_group_detach(a.rig.dev.group), 0, "detach of the first group");
	rig_expect_reach(&second, IOVA, a.mem, "old mapping");
	rig_expect_reach(&second, start + 2 * MIB, huge, "the second window");
	tap_expect_ret(vfio_map(a.fd, IOVA + FREE_AT, a.mem, PAGE, VFIO_MAP_RW), 0, "MAP");
	rig_expect_reach(&second, IOVA + FREE_AT, a.mem, "new mapping");
	tap_step("and comes back");
	tap_expect_ret(vfio_group_attach(a.rig.dev.group, a.fd), 0, "attach");
	a.rig.dev.device = vfio_group_device(a.rig.dev.group, VFIO_EDU0);
	if (!tap_expect(a.rig.dev.device >= 0, "device") ||
	    !tap_expect_ret(edu_open(&a.rig.edu, a.rig.dev.device), 0, "engine"))
		return;
	rig_expect_reach(&a.rig, IOVA + FREE_AT, a.mem, "what was mapped while it was away");
	rig_expect_reach(&a.rig, start + 2 * MIB, huge, "the second window");
	rig_close(&second);
	api_close(&a);
}

void api_own_domains(void (*test)(void))
{
	struct rig rig;
	bool tables;

	if (!rig_open(&rig, VFIO_EDU0))
		return;
	tables = rig_has_tables(rig.container);
	rig_close(&rig);
	if (tables) {
		tap_skip("a window's table is all groups' here");
		return;
	}
	rig_apart(test);
}

/* Both devices sit behind one IOMMU, so the groups share its page tables. */
void test_two_groups(void)
{
	two_groups();
}

/* The same, each with page tables of its own, into which mappings are replayed. */
void test_two_domains(void)
{
	api_own_domains(two_groups);
}

static int foreign_process(int sock, void *arg)
{
	struct vfio_iommu_spapr_tce_info info;
	const struct api *a = arg;
	char *p = mem_alloc(PAGE, MEM_SMALL);
	int msg;

	api_unchanged(spapr_get_info(a->fd, &info), -EPERM, "foreign GET_INFO");
	api_unchanged(spapr_register(a->fd, p, PAGE), -EPERM, "foreign REGISTER");
	api_unchanged(spapr_register(a->fd, a->mem, REG_BYTES), -EPERM,
		      "foreign REGISTER of the owner's addresses");
	api_unchanged(spapr_unregister(a->fd, a->mem, REG_BYTES), -EPERM, "foreign UNREGISTER");
	api_unchanged(vfio_map(a->fd, IOVA2, a->mem, PAGE, VFIO_MAP_RW), -EPERM, "foreign MAP");
	api_unchanged(vfio_unmap(a->fd, IOVA, PAGE), -EPERM, "foreign UNMAP");
	api_unchanged(vfio_batch(a->fd, VFIO_PREREG_BATCH_UNMAP, NULL, 0, NULL), -EPERM, "foreign BATCH");
	api_unchanged(spapr_create(a->fd, IOMMU_SHIFT, MIB, 1, NULL), -EPERM, "foreign CREATE");
	api_unchanged(spapr_remove(a->fd, 0), -EPERM, "foreign REMOVE");
	api_unchanged(vfio_ioctl(a->fd, VFIO_IOMMU_MAP_DMA, NULL), -EPERM, "foreign MAP of NULL");
	sock_send(sock, 1);
	sock_recv(sock, &msg);
	return 0;
}

void test_foreign(void)
{
	struct proc proc;
	struct api a;

	if (!api_open(&a) || !tap_expect_ret(proc_start(&proc, foreign_process, &a), 0, "fork"))
		return;
	tap_expect_ret(sock_expect(proc.sock, 1), 0, "the other process is done");
	rig_expect_reach(&a.rig, IOVA, a.mem, "the owner's memory");
	proc_kill(&proc);
	api_close(&a);
}

void test_parameters(void)
{
	static const char *const names[] = { "allow_unsafe_interrupts", "dma_entry_limit", "keep_mib", "mappings_max",
					     "share_domains", "type1" };
	char path[128];
	size_t i;

	for (i = 0; i < SUITE_SIZE(names); i++) {
		snprintf(path, sizeof(path), "/sys/module/" PREREG_MODULE "/parameters/%s", names[i]);
		tap_expect(!access(path, R_OK), "%s: %s", path, tap_ret_name(-errno));
	}
}
