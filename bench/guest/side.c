// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bench.h"
#include "iommu_limit.h"
#include "meter.h"
#include "type1.h"

const char *const side_name[SIDES] = {
	[SIDE_TYPE1] = "type1",
	[SIDE_PREREG] = "prereg",
	[SIDE_PLAIN] = "plain",
	[SIDE_KEPT] = "kept",
	[SIDE_LIMIT] = "limit",
	[SIDE_LIMIT_SG] = "limit_sg",
	[SIDE_SPAPR] = "spapr_v2",
};

static bool is_limit(const struct side *side)
{
	return side->kind == SIDE_LIMIT || side->kind == SIDE_LIMIT_SG;
}

int side_type(enum side_kind kind)
{
	switch (kind) {
	case SIDE_TYPE1:
	case SIDE_PLAIN:
	case SIDE_KEPT:
		return VFIO_TYPE1v2_IOMMU;
	default:
		return VFIO_SPAPR_TCE_v2_IOMMU;
	}
}

bool side_registers(enum side_kind kind)
{
	return side_type(kind) == VFIO_SPAPR_TCE_v2_IOMMU;
}

void side_open(struct side *side, enum side_kind kind)
{
	side_open_device(side, kind, BENCH_DEVICE);
}

void side_open_device(struct side *side, enum side_kind kind, const char *name)
{
	struct iommu_limit_device device = { };

	snprintf(device.name, sizeof(device.name), "%s", name);
	memset(side, 0, sizeof(*side));
	side->kind = kind;
	if (!is_limit(side)) {
		side_load(kind);
		bench_need(vfio_dev_open(&side->dev, name, side_type(kind)), "open the device");
		if (kind == SIDE_KEPT)
			bench_need(type1_keep(side->dev.container, UINT64_MAX), "KEEP");
		return;
	}
	side->limit = open("/dev/iommu_limit", O_RDWR | O_CLOEXEC);
	if (side->limit < 0)
		bench_die("open /dev/iommu_limit: %s", strerror(errno));
	bench_need(vfio_ioctl(side->limit, IOMMU_LIMIT_ATTACH, &device), "attach to the device");
}

void side_close(struct side *side)
{
	if (is_limit(side))
		close(side->limit);
	else
		vfio_dev_close(&side->dev);
}

uint64_t side_register(struct side *side, char *p, size_t bytes)
{
	const struct iommu_limit_range range = { .vaddr = (uintptr_t)p, .bytes = bytes };
	uint64_t start = bench_now(), ns;

	side->p = p;
	side->bytes = bytes;
	if (!side_registers(side->kind))
		return 0;
	if (is_limit(side))
		bench_need(vfio_ioctl(side->limit, IOMMU_LIMIT_PIN, &range), "pin");
	else
		bench_need(spapr_register(side->dev.container, p, bytes), "REGISTER");
	ns = bench_now() - start;
	if (is_limit(side))
		bench_need(vfio_ioctl(side->limit, IOMMU_LIMIT_STRETCHES, &side->stretches),
			   "find contiguous memory");
	return ns;
}

uint64_t side_unregister(struct side *side)
{
	uint64_t start = bench_now();

	if (!side_registers(side->kind))
		return 0;
	if (is_limit(side))
		bench_need(vfio_ioctl(side->limit, IOMMU_LIMIT_UNPIN, NULL), "unpin");
	else
		bench_need(spapr_unregister(side->dev.container, side->p, side->bytes),
			   "UNREGISTER");
	return bench_now() - start;
}

static void limit_call(struct side *side, unsigned long call, uint64_t iova, size_t offset,
		       size_t bytes, size_t step)
{
	const struct iommu_limit_map map = {
		.iova = iova, .offset = offset, .bytes = bytes, .step = step,
	};

	if (call == IOMMU_LIMIT_MAP && side->kind == SIDE_LIMIT_SG)
		call = IOMMU_LIMIT_MAP_SG;
	bench_need(vfio_ioctl(side->limit, call, &map), "a call of the limit module");
}

void side_map(struct side *side, uint64_t iova, size_t offset, size_t bytes)
{
	if (is_limit(side))
		limit_call(side, IOMMU_LIMIT_MAP, iova, offset, bytes, bytes);
	else
		bench_need(vfio_map(side->dev.container, iova, side->p + offset, bytes,
				    VFIO_MAP_RW), "MAP");
}

void side_unmap(struct side *side, uint64_t iova, size_t bytes)
{
	if (is_limit(side))
		limit_call(side, IOMMU_LIMIT_UNMAP, iova, 0, bytes, bytes);
	else
		bench_need(vfio_unmap(side->dev.container, iova, bytes), "UNMAP");
}

void side_map_bare(struct side *side, uint64_t iova, size_t bytes, size_t step)
{
	limit_call(side, IOMMU_LIMIT_MAP, iova, 0, bytes, step);
}

void side_unmap_bare(struct side *side, uint64_t iova, size_t bytes, size_t step)
{
	limit_call(side, IOMMU_LIMIT_UNMAP, iova, 0, bytes, step);
}

void side_nop(struct side *side)
{
	int fd = is_limit(side) ? side->limit : side->dev.container;

	/* No driver has this one. */
	if (vfio_ioctl(fd, _IO(VFIO_TYPE, VFIO_BASE + 99), NULL) != -ENOTTY)
		bench_die("an unknown ioctl was not refused");
}
