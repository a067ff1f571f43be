// SPDX-License-Identifier: GPL-2.0
/*
 * Windows that are tables in memory: levels, what they cost and who pays, the
 * pages that fit them; and error recovery, which comes with such hardware.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "api.h"
#include "suite.h"

#define NO_TABLES "windows are mere ranges here"

static long long charged_pages(void)
{
	struct meter_stats stats;

	return tap_expect_ret(meter_stats_read(&stats), 0, "counters") ? stats.charged_pages : -1;
}

/* Asserts what is charged, by the module's counter and by the process's. */
static void expect_charge(long long pages, const char *what)
{
	tap_expect_eq(charged_pages(), pages, "%s: charged pages", what);
	tap_expect_eq(meter_vmlck_kib(0), pages * (PAGE >> 10), "%s: VmLck", what);
}

/* The huge page at @p as small pages, which stay where they are. */
static bool split_thp(char *p)
{
	const size_t bytes = mem_thp_bytes();
	char text[96];
	size_t i;

	snprintf(text, sizeof(text), "%d,0x%lx,0x%lx", getpid(), (unsigned long)p,
		 (unsigned long)(p + bytes));
	if (meter_file_write("/sys/kernel/debug/split_huge_pages", text) || mem_huge_kib(p))
		return false;
	for (i = 0; i + PAGE < bytes; i += PAGE)
		if (!mem_contiguous(p + i))
			return false;
	return true;
}

static void contiguous(struct api *a, char *p, const char *what)
{
	static const unsigned int shifts[] = { 16, 21 };
	struct vfio_iommu_spapr_tce_info info;
	const size_t bytes = 2 * MIB;
	uint64_t start, page;
	size_t i;

	tap_step("%s", what);
	tap_expect_ret(spapr_get_info(a->fd, &info), 0, "GET_INFO");
	tap_expect_ret(spapr_register(a->fd, p, bytes), 0, "REGISTER");
	for (i = 0; i < SUITE_SIZE(shifts); i++) {
		page = 1ull << shifts[i];
		if (!(info.ddw.pgsizes & page))
			continue;
		tap_expect_ret(spapr_create(a->fd, shifts[i], 1ull << 32, 1, &start), 0, "CREATE");
		tap_expect_ret(vfio_map(a->fd, start + page, p, bytes, VFIO_MAP_RW), 0,
			       "MAP of %s in pages of 2^%u", what, shifts[i]);
		rig_expect_reach(&a->rig, start + page, p, "the first bytes");
		rig_expect_reach(&a->rig, start + page + MIB - 32, p + MIB - 32, "the middle");
		rig_expect_reach(&a->rig, start + page + bytes - 64, p + bytes - 64, "the last bytes");
		tap_expect_ret(spapr_remove(a->fd, start), 0, "REMOVE");
	}
	tap_expect_ret(spapr_unregister(a->fd, p, bytes), 0, "UNREGISTER");
}

/* One behind the other in memory is enough for large pages of a window, whatever the CPU's are. */
void test_window_contiguous(void)
{
	struct api a;
	char *p;

	if (!api_open(&a))
		return;
	p = mem_alloc(mem_thp_bytes(), MEM_THP);
	if (!tap_expect(p, "memory"))
		return;
	if (mem_huge_kib(p) < (long long)mem_thp_bytes() >> 10) {
		tap_skip("this kernel gave no huge page");
		return;
	}
	contiguous(&a, p, "a huge page");
	if (split_thp(p))
		contiguous(&a, p, "small pages that are contiguous");
	else
		tap_diag("this kernel splits no huge page: small ones left out");
	api_close(&a);
}

static void window_of_levels(struct api *a, unsigned int shift, unsigned int levels, char *p,
			     unsigned int *made)
{
	const long long before = charged_pages();
	const uint64_t page = 1ull << shift;
	/* 2^20 entries, or 2^20 bytes where that were too many. */
	const uint64_t bytes = page << 20;
	struct api_state state;
	long long charge;
	uint64_t start;
	int ret;

	api_state_read(&state);
	ret = spapr_create(a->fd, shift, bytes, levels, &start);
	if (ret) {
		/* The platform has limits of its own: what all levels together may index. */
		tap_expect_ret(ret, -EINVAL, "CREATE, pages of 2^%u, %u levels", shift, levels);
		api_state_expect(&state, "CREATE of levels that the platform has not");
		return;
	}
	++*made;
	charge = charged_pages() - before;
	if (levels == 1)
		tap_expect_eq(charge, rig_table_pages(a->fd, shift, bytes), "charge for pages of 2^%u",
			      shift);
	tap_expect(charge > 0, "%u levels of pages of 2^%u are charged %lld pages", levels, shift,
		   charge);
	if (page <= 2 * MIB) {
		const uint64_t last = start + bytes - page;

		tap_expect_ret(vfio_map(a->fd, start + page, p, page, VFIO_MAP_RW), 0, "MAP");
		tap_expect_ret(vfio_map(a->fd, last, p, page, VFIO_MAP_RW), 0, "MAP at the end");
		rig_expect_reach(&a->rig, start + page, p, "the second page");
		rig_expect_reach(&a->rig, last + page - 64, p + page - 64, "the last page");
		rig_expect_fault(&a->rig, start, true, "the first page");
		tap_expect_ret(vfio_unmap(a->fd, last, page), 0, "UNMAP");
		rig_expect_fault(&a->rig, last, true, "the last page, unmapped");
		tap_expect_eq(charged_pages() - before, charge, "charge while it is in use");
	}
	tap_expect_ret(spapr_remove(a->fd, start), 0, "REMOVE");
	api_state_expect(&state, "a window of levels made, used and removed");
}

void test_window_levels(void)
{
	static const unsigned int shifts[] = { 12, 16, 21, 30 };
	struct vfio_iommu_spapr_tce_info info;
	unsigned int levels, made;
	struct api a;
	size_t i;
	char *p;

	if (!api_open(&a))
		return;
	if (!a.tables) {
		tap_skip(NO_TABLES);
		return;
	}
	p = mem_alloc(2 * MIB, MEM_THP);
	tap_expect_ret(spapr_get_info(a.fd, &info), 0, "GET_INFO");
	if (!tap_expect(p, "memory") ||
	    !tap_expect_ret(spapr_register(a.fd, p, 2 * MIB), 0, "REGISTER"))
		return;
	for (i = 0; i < SUITE_SIZE(shifts); i++) {
		if (!(info.ddw.pgsizes >> shifts[i] & 1))
			continue;
		tap_step("windows of pages of 2^%u bytes with 1 to %u levels", shifts[i],
			 info.ddw.levels);
		made = 0;
		for (levels = 1; levels <= info.ddw.levels; levels++)
			window_of_levels(&a, shifts[i], levels, p, &made);
		tap_diag("%u of them can be made", made);
		tap_expect(made >= (shifts[i] < 30 ? 2 : 1), "only %u can be made", made);
	}
	api_close(&a);
}

/* Who pays, and when: at the first MAP, at CREATE; back at REMOVE, detach and close. */
void test_window_charge(void)
{
	const size_t bytes = 16 * PAGE;
	const long long memory = 16;
	long long table;
	uint64_t start;
	struct rig rig;
	char *p;

	if (!rig_open(&rig, VFIO_EDU0))
		return;
	if (!rig_has_tables(rig.container)) {
		tap_skip(NO_TABLES);
		return;
	}
	table = rig_default_table_pages(rig.container);
	p = mem_alloc(bytes, MEM_SMALL);
	tap_step("the default window: at the first MAP that succeeds");
	expect_charge(0, "at first");
	tap_expect_ret(spapr_register(rig.container, p, bytes), 0, "REGISTER");
	expect_charge(memory, "registered");
	tap_expect_ret(vfio_unmap(rig.container, IOVA, PAGE), 0, "UNMAP");
	api_unchanged(vfio_map(rig.container, IOVA, p, 2 * bytes, VFIO_MAP_RW), -EINVAL, "a bad MAP");
	tap_expect_ret(vfio_map(rig.container, IOVA, p, PAGE, VFIO_MAP_RW), 0, "MAP");
	expect_charge(memory + table, "mapped");
	tap_expect_ret(vfio_map(rig.container, IOVA2, p, bytes, VFIO_MAP_RW), 0, "MAP");
	tap_expect_ret(vfio_unmap(rig.container, 0, DEFAULT_WINDOW_BYTES), 0, "UNMAP");
	expect_charge(memory + table, "unmapped again");
	tap_step("a second window: at CREATE, and back at REMOVE");
	tap_expect_ret(spapr_create(rig.container, 16, 1ull << 32, 1, &start), 0, "CREATE");
	expect_charge(memory + table + rig_table_pages(rig.container, 16, 1ull << 32), "created");
	tap_expect_ret(spapr_remove(rig.container, start), 0, "REMOVE");
	expect_charge(memory + table, "removed");
	tap_expect_ret(spapr_remove(rig.container, 0), 0, "REMOVE of the default window");
	expect_charge(memory, "without a window");
	tap_step("a group's detach gives back all");
	tap_expect_ret(spapr_create(rig.container, IOMMU_SHIFT, 1ull << 30, 1, &start), 0, "CREATE");
	tap_expect_ret(vfio_map(rig.container, start, p, PAGE, VFIO_MAP_RW), 0, "MAP");
	expect_charge(memory + table / 2, "half a default window");
	edu_close(&rig.edu);
	close(rig.dev.device);
	tap_expect_ret(vfio_group_detach(rig.dev.group), 0, "detach");
	expect_charge(0, "detached");
	tap_step("a close does, also of windows alone");
	tap_expect_ret(vfio_group_attach(rig.dev.group, rig.container), 0, "attach");
	tap_expect_ret(vfio_set_iommu(rig.container, TYPE7), 0, "SET_IOMMU");
	tap_expect_ret(spapr_create(rig.container, IOMMU_SHIFT, 1ull << 30, 1, &start), 0, "CREATE");
	expect_charge(table / 2, "a window alone");
	close(rig.dev.group);
	close(rig.container);
	expect_charge(0, "closed");
}

/* From here on RLIMIT_MEMLOCK holds for this process, as for one of an ordinary user. */
static bool drop_ipc_lock(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return false;
	data[0].effective &= ~(1u << CAP_IPC_LOCK);
	return !syscall(SYS_capset, &header, data);
}

static void set_limit(long long pages)
{
	const struct rlimit limit = { pages * PAGE, RLIM_INFINITY };

	tap_expect(!setrlimit(RLIMIT_MEMLOCK, &limit), "setrlimit: %s", tap_ret_name(-errno));
}

void test_window_limit(void)
{
	const size_t bytes = 16 * PAGE;
	const long long memory = 16;
	long long table, second;
	uint64_t start;
	struct rig rig;
	char *p;

	if (!rig_open(&rig, VFIO_EDU0))
		return;
	if (!rig_has_tables(rig.container)) {
		tap_skip(NO_TABLES);
		return;
	}
	table = rig_default_table_pages(rig.container);
	second = rig_table_pages(rig.container, 16, 1ull << 32);
	p = mem_alloc(bytes, MEM_SMALL);
	if (!tap_expect(p && drop_ipc_lock(), "give up CAP_IPC_LOCK"))
		return;
	tap_step("the first MAP in the default window: its table is above the limit by a page");
	set_limit(memory + table - 1);
	tap_expect_ret(spapr_register(rig.container, p, bytes), 0, "REGISTER");
	api_unchanged(vfio_map(rig.container, IOVA, p, PAGE, VFIO_MAP_RW), -ENOMEM, "MAP");
	api_unchanged(vfio_map(rig.container, IOVA, p, PAGE, VFIO_MAP_RW), -ENOMEM, "MAP again");
	expect_charge(memory, "refused");
	tap_step("with a page more it is not");
	set_limit(memory + table);
	tap_expect_ret(vfio_map(rig.container, IOVA, p, PAGE, VFIO_MAP_RW), 0, "MAP");
	rig_expect_reach(&rig, IOVA, p, "the default window");
	expect_charge(memory + table, "mapped");
	tap_step("CREATE above the limit by a page, and exactly at it");
	set_limit(memory + table + second - 1);
	api_unchanged(spapr_create(rig.container, 16, 1ull << 32, 1, NULL), -ENOMEM, "CREATE");
	api_unchanged(spapr_create(rig.container, IOMMU_SHIFT, 1ull << 47, 3, NULL), -ENOMEM,
		      "CREATE of 2^47 bytes");
	set_limit(memory + table + second);
	tap_expect_ret(spapr_create(rig.container, 16, 1ull << 32, 1, &start), 0, "CREATE");
	expect_charge(memory + table + second, "created");
	api_unchanged(spapr_register(rig.container, mem_alloc(PAGE, MEM_SMALL), PAGE), -ENOMEM,
		      "REGISTER of a page more");
	tap_step("what REMOVE gave back can be had again");
	tap_expect_ret(spapr_remove(rig.container, start), 0, "REMOVE");
	tap_expect_ret(spapr_create(rig.container, 16, 1ull << 32, 1, &start), 0, "CREATE");
	expect_charge(memory + table + second, "created again");
	rig_expect_reach(&rig, IOVA, p, "the default window");
	rig_close(&rig);
	expect_charge(0, "closed");
}

static int eeh(int container, uint32_t argsz, uint32_t flags, uint32_t op)
{
	const struct vfio_eeh_pe_op arg = { .argsz = argsz, .flags = flags, .op = op };

	return vfio_ioctl(container, VFIO_EEH_PE_OP, &arg);
}

void test_eeh(void)
{
	const uint32_t least = offsetof(struct vfio_eeh_pe_op, op) + sizeof(uint32_t);
	struct rig second;
	struct api a;

	if (!api_open(&a))
		return;
	if (vfio_check_extension(a.fd, VFIO_EEH) != 1) {
		api_unchanged(eeh(a.fd, least, 0, VFIO_EEH_PE_GET_STATE), -ENOTTY, "VFIO_EEH_PE_OP");
		tap_skip("no VFIO_EEH here");
		return;
	}
	tap_step("a slot that is well");
	api_unchanged(eeh(a.fd, least, 0, VFIO_EEH_PE_GET_STATE), VFIO_EEH_PE_STATE_NORMAL, "GET_STATE");
	api_unchanged(eeh(a.fd, least + 100, 0, VFIO_EEH_PE_GET_STATE), VFIO_EEH_PE_STATE_NORMAL,
		      "GET_STATE, argsz long");
	tap_step("what is no operation");
	api_unchanged(eeh(a.fd, 0, 0, VFIO_EEH_PE_GET_STATE), -EINVAL, "argsz 0");
	api_unchanged(eeh(a.fd, least - 1, 0, VFIO_EEH_PE_GET_STATE), -EINVAL, "argsz short");
	api_unchanged(eeh(a.fd, least, 1, VFIO_EEH_PE_GET_STATE), -EINVAL, "a flag");
	api_unchanged(eeh(a.fd, least, 0, UINT32_MAX), -EINVAL, "an unknown operation");
	api_unchanged(eeh(a.fd, least, 0, VFIO_EEH_PE_INJECT_ERR), -EINVAL,
		      "an injection that does not say of what");
	api_unchanged(vfio_ioctl(a.fd, VFIO_EEH_PE_OP, NULL), -EFAULT, "NULL");
	tap_step("two groups");
	if (!rig_join(&second, VFIO_EDU1, a.fd))
		return;
	api_unchanged(eeh(a.fd, least, 0, VFIO_EEH_PE_GET_STATE), VFIO_EEH_PE_STATE_NORMAL, "GET_STATE");
	rig_close(&second);
	api_close(&a);
}
