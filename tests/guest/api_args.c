// SPDX-License-Identifier: GPL-2.0
/* What every call does with its argument struct: sizes, flags, pointers. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "api.h"
#include "suite.h"

union argument {
	struct {
		uint32_t argsz;
		uint32_t flags;
	};
	struct vfio_iommu_spapr_tce_info info;
	struct vfio_iommu_spapr_register_memory memory;
	struct vfio_iommu_type1_dma_map map;
	struct vfio_iommu_type1_dma_unmap unmap;
	struct vfio_iommu_spapr_tce_create create;
	struct vfio_iommu_spapr_tce_remove remove;
	struct vfio_prereg_batch batch;
};

/* A call whose argument is accepted and that changes nothing all the same. */
struct call {
	const char *name;
	unsigned long request;
	size_t bytes;		/* the least argsz */
	int answer;		/* with a good argument */
	uint32_t flags;		/* that are known */
	bool answers_struct;	/* writes its argument back */
	union argument arg;
};

#define N_CALLS 8

static void make_calls(const struct api *a, struct call *calls)
{
	const struct call made[N_CALLS] = {
		{
			.name = "GET_INFO", .request = VFIO_IOMMU_SPAPR_TCE_GET_INFO,
			.bytes = offsetof(struct vfio_iommu_spapr_tce_info, ddw),
			.flags = UINT32_MAX, .answers_struct = true,
		}, {
			.name = "REGISTER of a registered range",
			.request = VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
			.bytes = sizeof(struct vfio_iommu_spapr_register_memory), .answer = -EBUSY,
			.arg.memory = { .vaddr = (uintptr_t)a->mem, .size = REG_BYTES },
		}, {
			.name = "UNREGISTER of what is not registered",
			.request = VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
			.bytes = sizeof(struct vfio_iommu_spapr_register_memory), .answer = -ENOENT,
			.arg.memory = { .vaddr = (uintptr_t)a->spare, .size = PAGE },
		}, {
			.name = "MAP of the mapping that is there", .request = VFIO_IOMMU_MAP_DMA,
			.bytes = sizeof(struct vfio_iommu_type1_dma_map), .flags = VFIO_MAP_RW,
			.arg.map = { .flags = VFIO_MAP_RW, .vaddr = (uintptr_t)a->mem,
				     .iova = IOVA, .size = MAPPED_BYTES },
		}, {
			.name = "UNMAP of a hole", .request = VFIO_IOMMU_UNMAP_DMA,
			.bytes = sizeof(struct vfio_iommu_type1_dma_unmap),
			.arg.unmap = { .iova = IOVA2, .size = PAGE },
		}, {
			.name = "CREATE of a third window", .request = VFIO_IOMMU_SPAPR_TCE_CREATE,
			.bytes = sizeof(struct vfio_iommu_spapr_tce_create), .answer = -ENOSPC,
			.answers_struct = true,
			.arg.create = { .page_shift = IOMMU_SHIFT, .window_size = 1 << 20, .levels = 1 },
		}, {
			.name = "REMOVE of no window", .request = VFIO_IOMMU_SPAPR_TCE_REMOVE,
			.bytes = sizeof(struct vfio_iommu_spapr_tce_remove), .answer = -EINVAL,
			.arg.remove = { .start_addr = 1ull << 60 },
		}, {
			.name = "BATCH of nothing", .request = VFIO_PREREG_BATCH,
			.bytes = sizeof(struct vfio_prereg_batch), .flags = VFIO_PREREG_BATCH_MAP,
			.answers_struct = true, .arg.batch = { .flags = VFIO_PREREG_BATCH_MAP },
		},
	};
	size_t i;

	memcpy(calls, made, sizeof(made));
	for (i = 0; i < N_CALLS; i++)
		calls[i].arg.argsz = sizeof(union argument);
}

static void check_sizes(int fd, const struct call *call)
{
	const uint32_t shorts[] = { 0, 1, 4, 8, call->bytes - 1 };
	const uint32_t longs[] = { call->bytes, call->bytes + 1, sizeof(union argument), 4096,
				   UINT32_MAX };
	union argument arg;
	size_t i;

	for (i = 0; i < SUITE_SIZE(shorts); i++) {
		arg = call->arg;
		arg.argsz = shorts[i];
		api_unchanged(vfio_ioctl(fd, call->request, &arg), -EINVAL, "%s, argsz %u",
			      call->name, shorts[i]);
	}
	for (i = 0; i < SUITE_SIZE(longs); i++) {
		arg = call->arg;
		arg.argsz = longs[i];
		api_unchanged(vfio_ioctl(fd, call->request, &arg), call->answer, "%s, argsz %u",
			      call->name, longs[i]);
	}
}

static void check_flags(int fd, const struct call *call)
{
	union argument arg;
	unsigned int bit;

	for (bit = 0; bit < 32; bit++) {
		if (call->flags & 1u << bit)
			continue;
		arg = call->arg;
		arg.flags |= 1u << bit;
		api_unchanged(vfio_ioctl(fd, call->request, &arg), -EINVAL, "%s, flag bit %u",
			      call->name, bit);
	}
}

static void check_pointers(int fd, const struct call *call, char *page)
{
	/* [page] writable, [page + 1] writable, then nothing, then no access. */
	char *none = page + 4 * PAGE;
	const struct {
		const char *what;
		void *p;
	} bad[] = {
		{ "NULL", NULL },
		{ "a small number", (void *)8 },
		{ "an address with nothing there", page + 2 * PAGE },
		{ "memory that cannot be read", none },
		{ "a struct whose end is not there", page + 2 * PAGE - call->bytes + 4 },
		{ "a kernel address", (void *)0xffff888000001000ul },
		{ "the last address", (void *)-8l },
		{ "no address at all", (void *)0x8000000000000000ul },
	};
	size_t i;

	for (i = 0; i < SUITE_SIZE(bad); i++) {
		memset(page, 0, 2 * PAGE);
		/* Where the first fields can be read, they are good. */
		if (bad[i].p > (void *)page && bad[i].p < (void *)(page + 2 * PAGE))
			memcpy(bad[i].p, &call->arg, page + 2 * PAGE - (char *)bad[i].p);
		api_unchanged(vfio_ioctl(fd, call->request, bad[i].p), -EFAULT, "%s, argument at %s",
			      call->name, bad[i].what);
	}
	memcpy(page + 1, &call->arg, sizeof(call->arg));
	api_unchanged(vfio_ioctl(fd, call->request, page + 1), call->answer,
		      "%s, argument at an odd address", call->name);
	memcpy(page + PAGE - 6, &call->arg, sizeof(call->arg));
	api_unchanged(vfio_ioctl(fd, call->request, page + PAGE - 6), call->answer,
		      "%s, argument across two pages", call->name);
	memcpy(page, &call->arg, sizeof(call->arg));
	mprotect(page, PAGE, PROT_READ);
	api_unchanged(vfio_ioctl(fd, call->request, page),
		      call->answers_struct ? -EFAULT : call->answer, "%s, argument not writable",
		      call->name);
	mprotect(page, PAGE, PROT_READ | PROT_WRITE);
}

void test_arguments(void)
{
	struct call calls[N_CALLS];
	struct vfio_iommu_spapr_tce_create *create;
	struct api a;
	char *page;
	size_t i;

	if (!api_open(&a))
		return;
	make_calls(&a, calls);
	page = api_hole(16 * PAGE);
	api_map_fixed(page, 2 * PAGE, PROT_READ | PROT_WRITE);
	api_map_fixed(page + 4 * PAGE, PAGE, PROT_NONE);
	tap_expect_ret(spapr_create(a.fd, IOMMU_SHIFT, MIB, 1, NULL), 0, "a second window");
	for (i = 0; i < N_CALLS; i++) {
		tap_step("%s", calls[i].name);
		check_sizes(a.fd, &calls[i]);
		check_flags(a.fd, &calls[i]);
		check_pointers(a.fd, &calls[i], page);
	}
	tap_step("a CREATE that cannot tell where its window is makes none");
	tap_expect_ret(spapr_remove(a.fd, a.window1), 0, "REMOVE");
	create = (struct vfio_iommu_spapr_tce_create *)page;
	*create = calls[5].arg.create;
	create->argsz = sizeof(*create);
	mprotect(page, PAGE, PROT_READ);
	api_unchanged(vfio_ioctl(a.fd, VFIO_IOMMU_SPAPR_TCE_CREATE, page), -EFAULT,
		      "CREATE, argument not writable");
	tap_expect_ret(spapr_remove(a.fd, a.window1), -EINVAL, "REMOVE of what it left");
	tap_step("a REMOVE that is refused removes nothing");
	tap_expect_ret(spapr_create(a.fd, IOMMU_SHIFT, MIB, 1, NULL), 0, "a second window");
	calls[6].arg.remove.start_addr = a.window1;
	calls[6].arg.argsz = calls[6].bytes - 1;
	tap_expect_ret(vfio_ioctl(a.fd, VFIO_IOMMU_SPAPR_TCE_REMOVE, &calls[6].arg), -EINVAL,
		       "REMOVE, argsz short");
	calls[6].arg.argsz = calls[6].bytes + 100;
	calls[6].arg.flags = 1;
	tap_expect_ret(vfio_ioctl(a.fd, VFIO_IOMMU_SPAPR_TCE_REMOVE, &calls[6].arg), -EINVAL,
		       "REMOVE, a flag");
	calls[6].arg.flags = 0;
	tap_expect_ret(vfio_ioctl(a.fd, VFIO_IOMMU_SPAPR_TCE_REMOVE, &calls[6].arg), 0,
		       "REMOVE, argsz long");
	api_close(&a);
}

void test_unknown_ioctls(void)
{
	/* VFIO_IOMMU_GET_INFO and VFIO_IOMMU_DIRTY_PAGES have numbers of calls that we know. */
	const unsigned long unknown[] = {
		VFIO_IOMMU_ENABLE, VFIO_IOMMU_DISABLE,
		_IO(VFIO_TYPE, VFIO_BASE + 22), _IO(VFIO_TYPE, VFIO_BASE + 255),
		VFIO_GROUP_GET_STATUS, VFIO_DEVICE_RESET, FIONREAD, 0, UINT32_MAX,
		_IOW(VFIO_TYPE, VFIO_BASE + 13, struct vfio_iommu_type1_dma_map),
	};
	char page[256] = { 0 };
	struct api a;
	size_t i;

	if (!api_open(&a))
		return;
	for (i = 0; i < SUITE_SIZE(unknown); i++) {
		/* The VFS answers some itself (FIONREAD), also with ENOTTY. */
		api_unchanged(vfio_ioctl(a.fd, unknown[i], page), -ENOTTY, "ioctl 0x%lx", unknown[i]);
		api_unchanged(vfio_ioctl(a.fd, unknown[i], NULL), -ENOTTY, "ioctl 0x%lx, NULL",
			      unknown[i]);
	}
	api_close(&a);
}
