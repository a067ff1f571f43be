// SPDX-License-Identifier: GPL-2.0
/* Types 1 and 3: which types and extensions there are, and what a container says of itself. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "type1_box.h"

/* VFIO_TYPE1_NESTING_IOMMU, a name that newer headers lack. */
#define NESTING 6

/* CHECK_EXTENSION before a container has a type, when every driver is asked, and after. */
static void run_extension(const struct scenario *s)
{
	struct box box;
	int fresh;

	if (!box_open_bare(&box))
		return;
	fresh = vfio_container_open();
	say("%d", vfio_check_extension(fresh, s->call.flags));
	say("%d", vfio_check_extension(box.fd, s->call.flags));
	close(fresh);
	box_close(&box);
}

/* A container's first type; another one after it. */
static void run_set_iommu(const struct scenario *s)
{
	const int container = vfio_container_open(), group = vfio_group_open(VFIO_EDU0);

#ifndef __x86_64__
	if (s->call.flags == NESTING) {
		say_skip("whether page tables nest is the IOMMU's affair; the table is of VT-d");
		return;
	}
#endif
	if (s->call.pages)
		tap_expect_ret(vfio_group_attach(group, container), 0, "a group");
	say_ret(vfio_set_iommu(container, s->call.flags ? (int)s->call.flags : container_type()));
	if (s->call.pages > 1)
		say_ret(vfio_set_iommu(container, VFIO_TYPE1v2_IOMMU));
	close(group);
	close(container);
}

static void run_unknown(const struct scenario *s)
{
	static const unsigned long requests[] = {
		VFIO_IOMMU_ENABLE, VFIO_IOMMU_DISABLE, VFIO_EEH_PE_OP, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
		VFIO_IOMMU_SPAPR_TCE_CREATE, _IO(VFIO_TYPE, VFIO_BASE + 99),
	};
	struct box box;
	size_t i;

	(void)s;
	if (!box_open(&box))
		return;
	for (i = 0; i < COUNT(requests); i++)
		say_ret(vfio_ioctl(box.fd, requests[i], box.spare));
	box_close(&box);
}

static void run_bad_pointer(const struct scenario *s)
{
	static const unsigned long requests[] = {
		VFIO_IOMMU_GET_INFO, VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA, VFIO_IOMMU_DIRTY_PAGES,
	};
	struct box box;
	size_t i;

	(void)s;
	if (!box_open(&box))
		return;
	for (i = 0; i < COUNT(requests); i++)
		say_ret(vfio_ioctl(box.fd, requests[i], box.hole));
	box_close(&box);
}

#define EXTENSION_CALL(nr) .run = run_extension, .call.flags = (nr)

static const struct scenario choice[] = {
	{ .name = "extension-1", .what = "CHECK_EXTENSION(VFIO_TYPE1_IOMMU) before and after SET_IOMMU", EXTENSION_CALL(VFIO_TYPE1_IOMMU),
	  .upstream = "1, 1" },
	{ .name = "extension-3", .what = "CHECK_EXTENSION(VFIO_TYPE1v2_IOMMU)", EXTENSION_CALL(VFIO_TYPE1v2_IOMMU), .upstream = "1, 1" },
	{ .name = "extension-6", .what = "CHECK_EXTENSION(6), nested page tables", EXTENSION_CALL(NESTING), .upstream = "1, 1",
	  .since = KERNEL(6, 13), .newer = "0, 0", .ours = "0, 0", .verdict = NEWER,
	  .why = "nothing ever used it, and newer kernels have it no more" },
	{ .name = "extension-coherency", .what = "CHECK_EXTENSION(VFIO_DMA_CC_IOMMU)", EXTENSION_CALL(VFIO_DMA_CC_IOMMU), .upstream = "0, 0" },
	{ .name = "extension-eeh", .what = "CHECK_EXTENSION(VFIO_EEH)", EXTENSION_CALL(VFIO_EEH), .upstream = "0, 0" },
	{ .name = "extension-unmap-all", .what = "CHECK_EXTENSION(VFIO_UNMAP_ALL)", EXTENSION_CALL(VFIO_UNMAP_ALL), .upstream = "1, 1" },
	{ .name = "extension-vaddr", .what = "CHECK_EXTENSION(VFIO_UPDATE_VADDR)", EXTENSION_CALL(VFIO_UPDATE_VADDR), .upstream = "0, 1",
	  .ours = "0, 0", .verdict = LEFT_OUT, .why = "memory belongs to the process that mapped it, and cannot be handed to another" },
	{ .name = "extension-unknown", .what = "CHECK_EXTENSION of a number nobody uses", EXTENSION_CALL(9999), .upstream = "0, 0" },
	{ .name = "set-iommu", .what = "SET_IOMMU, then SET_IOMMU(VFIO_TYPE1v2_IOMMU)", .run = run_set_iommu, .call.pages = 2,
	  .upstream = "0, EINVAL" },
	{ .name = "set-iommu-empty", .what = "SET_IOMMU of a container without a group", .run = run_set_iommu, .upstream = "EINVAL" },
	{ .name = "set-iommu-6", .what = "SET_IOMMU(6)", .run = run_set_iommu, .call = { .pages = 1, .flags = NESTING }, .upstream = "EINVAL",
	  .since = KERNEL(6, 13), .newer = "ENODEV", .ours = "ENODEV", .verdict = NEWER,
	  .why = "nothing ever used it, and newer kernels have it no more" },
	{ .name = "set-iommu-unknown", .what = "SET_IOMMU of a type that nobody has", .run = run_set_iommu,
	  .call = { .pages = 1, .flags = 99 }, .upstream = "ENODEV" },
	{ .name = "unknown-ioctl", .what = "ENABLE, DISABLE, EEH_PE_OP, UNREGISTER, CREATE, and a number nobody uses", .run = run_unknown,
	  .upstream = "ENOTTY, ENOTTY, ENOTTY, ENOTTY, ENOTTY, ENOTTY" },
	{ .name = "bad-pointer", .what = "GET_INFO, MAP, UNMAP, DIRTY_PAGES with a struct that is not there", .run = run_bad_pointer,
	  .upstream = "v1: EFAULT, EFAULT, EFAULT, EACCES; v2: EFAULT, EFAULT, EFAULT, EFAULT" },
};

const struct scenario_group group_type1_choice = { "Types and extensions", choice, COUNT(choice) };

#define UNTOUCHED 0xee

/* GET_INFO with an argsz of s->call.bytes; -1: what it wants, -2: a byte less. */
static void run_info_size(const struct scenario *s)
{
	union type1_info info;
	struct box box;
	uint32_t wanted;
	size_t i;
	int ret;

	if (!box_open_bare(&box))
		return;
	tap_expect_ret(type1_get_info(box.fd, &info), 0, "GET_INFO");
	info.head.argsz = sizeof(info.head);
	tap_expect_ret(vfio_ioctl(box.fd, VFIO_IOMMU_GET_INFO, &info), 0, "GET_INFO without capabilities");
	wanted = info.head.argsz;
	memset(&info, UNTOUCHED, sizeof(info));
	info.head.argsz = s->call.bytes >= 0 ? s->call.bytes : wanted - (s->call.bytes == -2);
	i = info.head.argsz;
	ret = vfio_ioctl(box.fd, VFIO_IOMMU_GET_INFO, &info);
	say_ret(ret);
	if (info.head.argsz != i)
		say("argsz %s", info.head.argsz == wanted ? "of all" : "changed");
	if (!ret)
		say("flags %u", info.head.flags);
	if (i >= sizeof(info.head))
		say("capabilities at %u", info.head.cap_offset);
	if (ret)
		i = sizeof(info.head.argsz);
	while (i < sizeof(info) && info.bytes[i] == UNTOUCHED)
		i++;
	if (i < sizeof(info))
		say("more than was asked for");
	else
		say("nothing %s", ret ? "written" : "behind it");
	box_close(&box);
}

static void run_info_chain(const struct scenario *s)
{
	const struct vfio_info_cap_header *cap;
	union type1_info info;
	struct box box;
	uint32_t at;

	(void)s;
	if (!box_open_bare(&box))
		return;
	say_ret(type1_get_info(box.fd, &info));
	say("flags %u", info.head.flags);
	for (at = info.head.cap_offset; at; at = cap->next) {
		cap = (const void *)(info.bytes + at);
		say("id %u version %u at %u", cap->id, cap->version, at);
	}
	box_close(&box);
}

static void run_info_content(const struct scenario *s)
{
	const struct vfio_iommu_type1_info_cap_migration *migration;
	union type1_info info;
	struct box box;

	(void)s;
	if (!box_open_bare(&box))
		return;
	say_ret(type1_get_info(box.fd, &info));
	say("pages 0x%llx", (unsigned long long)info.head.iova_pgsizes);
	migration = type1_info_cap(&info, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION);
	if (migration)
		say("dirty bits of 0x%llx, up to 0x%llx bytes, flags %u", (unsigned long long)migration->pgsize_bitmap,
		    (unsigned long long)migration->max_dirty_bitmap_size, migration->flags);
	box_close(&box);
}

static void run_info_avail(const struct scenario *s)
{
	struct box box;
	long long first;

	if (!box_open_bare(&box))
		return;
	first = type1_dma_avail(box.fd);
	if (!s->call.flags)
		say("%lld", first);
	else {
		tap_expect_ret(vfio_map(box.fd, IOVA, box.mem, page(), MAP_RW), 0, "MAP");
		tap_expect_ret(vfio_map(box.fd, IOVA2, box.mem, 4 * page(), MAP_RW), 0, "MAP");
		say("%+lld", type1_dma_avail(box.fd) - first);
		tap_expect_ret(vfio_unmap(box.fd, IOVA, page()), 0, "UNMAP");
		say("%+lld", type1_dma_avail(box.fd) - first);
	}
	box_close(&box);
}

/* The IOVAs that the kernel reserves in the device's group, as sysfs has them; false at the list's end. */
static bool next_reserved(FILE *file, uint64_t *first, uint64_t *last)
{
	char kind[32];
	unsigned long long a, b;

	while (fscanf(file, "%llx %llx %31s", &a, &b, kind) == 3) {
		*first = a;
		*last = b;
		if (strcmp(kind, "direct-relaxable"))
			return true;
	}
	return false;
}

/* Are the ranges all of the IOMMU's addresses but the reserved ones? */
static void run_info_ranges(const struct scenario *s)
{
	const struct vfio_iommu_type1_info_cap_iova_range *ranges;
	const uint64_t end = (1ull << rig_aperture_bits()) - 1;
	uint64_t next = 0, first, last;
	unsigned int i = 0;
	bool good = true;
	struct box box;
	char path[96];
	FILE *file;

	(void)s;
	if (!box_open_bare(&box))
		return;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group/reserved_regions", VFIO_EDU0);
	file = fopen(path, "re");
	ranges = iova_ranges(&box);
	if (!ranges || !tap_expect(file, "%s: %s", path, strerror(errno)))
		return;
	while (next_reserved(file, &first, &last)) {
		if (first > next)
			good &= i < ranges->nr_iovas && ranges->iova_ranges[i].start == next && ranges->iova_ranges[i++].end == first - 1;
		next = last + 1;
	}
	good &= i + 1 == ranges->nr_iovas && ranges->iova_ranges[i].start == next && ranges->iova_ranges[i].end == end;
	say("%s", good ? "all but the reserved ones" : "others");
	for (i = 0; !good && i < ranges->nr_iovas; i++)
		say("0x%llx-0x%llx", (unsigned long long)ranges->iova_ranges[i].start, (unsigned long long)ranges->iova_ranges[i].end);
	fclose(file);
	box_close(&box);
}

static void run_info_read_only(const struct scenario *s)
{
	struct vfio_iommu_type1_info *info;
	struct box box;

	(void)s;
	if (!box_open_bare(&box))
		return;
	info = (void *)box.spare;
	info->argsz = sizeof(*info);
	mprotect(box.spare, page(), PROT_READ);
	say_ret(vfio_ioctl(box.fd, VFIO_IOMMU_GET_INFO, info));
	box_close(&box);
}

#define INFO_SIZE(argsz) .run = run_info_size, .call.bytes = (argsz)

static const struct scenario infos[] = {
	{ .name = "info-argsz-0", .what = "GET_INFO, argsz 0", INFO_SIZE(0), .upstream = "EINVAL, nothing written" },
	{ .name = "info-argsz-short", .what = "GET_INFO, argsz a byte too small for the page sizes", INFO_SIZE(15),
	  .upstream = "EINVAL, nothing written" },
	{ .name = "info-argsz-old", .what = "GET_INFO, argsz of the first struct, which ends with the page sizes", INFO_SIZE(16),
	  .upstream = "0, argsz of all, flags 3, nothing behind it" },
	{ .name = "info-argsz-head", .what = "GET_INFO, argsz without room for capabilities", INFO_SIZE(24),
	  .upstream = "0, argsz of all, flags 3, capabilities at 0, nothing behind it" },
	{ .name = "info-argsz-caps-short", .what = "GET_INFO, argsz a byte too small for them", INFO_SIZE(-2),
	  .upstream = "0, argsz of all, flags 3, capabilities at 0, nothing behind it" },
	{ .name = "info-argsz-caps", .what = "GET_INFO, argsz just large enough", INFO_SIZE(-1),
	  .upstream = "0, flags 3, capabilities at 24, nothing behind it" },
	{ .name = "info-chain", .what = "GET_INFO: its capabilities", .run = run_info_chain,
	  .upstream = "0, flags 3, id 2 version 1 at 24, id 3 version 1 at 56, id 1 version 1 at 68",
	  .since = KERNEL(6, 6), .newer = "0, flags 3, id 2 version 1 at 24, id 3 version 1 at 56, id 1 version 1 at 72" },
	{ .name = "info-content", .what = "GET_INFO: page sizes; the capability for migration", .run = run_info_content,
	  .upstream = "0, pages 0x40201000, dirty bits of 0x1000, up to 0x10000000 bytes, flags 0" },
	{ .name = "info-ranges", .what = "GET_INFO: the IOVA ranges", .run = run_info_ranges, .upstream = "all but the reserved ones" },
	{ .name = "info-avail", .what = "GET_INFO: how many mappings a container may have", .run = run_info_avail, .upstream = "65535",
	  .ours = "1048576", .verdict = EXTENSION, .why = "large guests with virtio-mem run into 65535" },
	{ .name = "info-avail-mapped", .what = "GET_INFO: how many fewer after two MAPs, after one UNMAP", .run = run_info_avail, .call.flags = 1,
	  .upstream = "-2, -1" },
	{ .name = "info-read-only", .what = "GET_INFO that cannot write its answer", .run = run_info_read_only, .upstream = "EFAULT" },
};

const struct scenario_group group_type1_info = { "GET_INFO", infos, COUNT(infos) };
