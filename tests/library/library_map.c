// SPDX-License-Identifier: GPL-2.0
/* Memory, mappings and windows: every errno that can be had, with its sentence. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../include/uapi/linux/vfio_prereg.h"
#include "../../lib/internal.h"
#include "library.h"
#include "meter.h"

#define MAPPINGS_MAX "/sys/module/" PREREG_MODULE "/parameters/mappings_max"

static void register_file(struct prereg *prereg)
{
	const char *dir = "/tmp/library-ramfs";
	char *p = MAP_FAILED;
	int fd = -1;

	mkdir(dir, 0700);
	if (!mount("ramfs", dir, "ramfs", 0, NULL))
		fd = open("/tmp/library-ramfs/file", O_RDWR | O_CREAT, 0600);
	if (fd >= 0 && !ftruncate(fd, PAGE))
		p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (tap_expect(p != MAP_FAILED, "a file on ramfs"))
		refused(prereg, prereg_register(prereg, p, PAGE), -rig_file_pages_errno(), "tmpfs or hugetlbfs", "a file's pages");
	munmap(p, PAGE);
	close(fd);
	umount(dir);
}

void test_register(void)
{
	struct prereg *prereg;
	struct box box;
	char *p, *read_only;

	if (!box_open(&box, 0))
		return;
	prereg = box.prereg;
	p = mem_alloc(8 * PAGE, MEM_SMALL);
	read_only = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	tap_step("before anything is registered");
	refused(prereg, prereg_unregister(prereg, p, PAGE), EPERM, "nothing is registered", "unregister");
	tap_step("what cannot be registered");
	refused(prereg, prereg_register(prereg, p + 1, PAGE), EINVAL, "multiples of the page size", "an odd address");
	refused(prereg, prereg_register(prereg, p, PAGE + 1), EINVAL, "multiples of the page size", "an odd size");
	refused(prereg, prereg_register(prereg, p, 0), EINVAL, "not 0", "nothing");
	refused(prereg, prereg_register(prereg, read_only, PAGE), EFAULT, "PROT_WRITE", "read-only memory");
	munmap(read_only, PAGE);
	refused(prereg, prereg_register(prereg, read_only, PAGE), EFAULT, "PROT_WRITE", "a hole");
	register_file(prereg);
	tap_step("twice, and overlapping");
	worked(prereg, prereg_register(prereg, p, 4 * PAGE), "register");
	tap_expect_eq(rig_pins(), 4, "pages pinned");
	refused(prereg, prereg_register(prereg, p, 4 * PAGE), EBUSY, "already", "again");
	refused(prereg, prereg_register(prereg, p + PAGE, 4 * PAGE), EINVAL, "overlap", "a part of it");
	tap_step("back");
	refused(prereg, prereg_unregister(prereg, p, PAGE), ENOENT, "exactly", "a part of it");
	refused(prereg, prereg_unregister(prereg, p + 1, PAGE), EINVAL, "multiples of the page size", "an odd address");
	worked(prereg, prereg_map(prereg, IOVA, p, PAGE, RW), "map");
	refused(prereg, prereg_unregister(prereg, p, 4 * PAGE), EBUSY, "unmap it first", "while it is mapped");
	worked(prereg, prereg_unmap(prereg, IOVA, PAGE), "unmap");
	worked(prereg, prereg_unregister(prereg, p, 4 * PAGE), "unregister");
	tap_expect_eq(rig_pins(), 0, "pages pinned");
	refused(prereg, prereg_unregister(prereg, p, 4 * PAGE), ENOENT, "exactly", "again");
	box_close(&box);
}

void test_memlock(void)
{
	struct prereg *prereg;
	struct box box;
	char *p;

	if (!box_open(&box, 0))
		return;
	prereg = box.prereg;
	p = mem_alloc(8 * MIB, MEM_SMALL);
	if (!tap_expect(proc_limit_memlock(2 * MIB), "a limit: %s", strerror(errno)))
		return;
	refused(prereg, prereg_register(prereg, p, 8 * MIB), ENOMEM,
		"RLIMIT_MEMLOCK is 2 MiB, 8 MiB are needed: raise it with \"ulimit -l 8192\", or LimitMEMLOCK=8192K",
		"more than the limit");
	worked(prereg, prereg_register(prereg, p, MIB), "a part");
	refused(prereg, prereg_register(prereg, p + 2 * MIB, MIB + MIB / 2), ENOMEM,
		"RLIMIT_MEMLOCK is 2 MiB, 2.5 MiB are needed (1 MiB of them already locked): raise it with \"ulimit -l 2560\"",
		"more than what is left");
	tap_expect_eq(rig_pins(), MIB / PAGE, "pages pinned");
	box_close(&box);
}

void test_map(void)
{
	struct prereg *prereg;
	char *p, *other, max[32];
	long long before;
	struct box box;

	if (!box_open(&box, 0))
		return;
	prereg = box.prereg;
	other = mem_alloc(PAGE, MEM_SMALL);
	refused(prereg, prereg_map(prereg, IOVA, other, PAGE, RW), EPERM, "nothing is registered", "map before register");
	p = box_own(&box, 8 * PAGE, MEM_SMALL);
	if (!p)
		return;
	tap_step("mapped, replaced, unmapped");
	worked(prereg, prereg_map(prereg, IOVA, p, 4 * PAGE, RW), "map");
	box_reaches(&box, IOVA + 4 * PAGE - 64, p + 4 * PAGE - 64, "the last bytes");
	worked(prereg, prereg_map(prereg, IOVA, p + 4 * PAGE, PAGE, RW), "map over it");
	box_reaches(&box, IOVA, p + 4 * PAGE, "what replaced it");
	worked(prereg, prereg_unmap(prereg, IOVA, 4 * PAGE), "unmap");
	box_faults(&box, IOVA, "unmapped");
	tap_step("what cannot be mapped");
	refused(prereg, prereg_map(prereg, IOVA, p, PAGE, 0), EINVAL, "PREREG_READ", "no direction");
	refused(prereg, prereg_map(prereg, IOVA, p, PAGE, 4), EINVAL, "access 0x4", "an unknown direction");
	refused(prereg, prereg_map(prereg, IOVA + 8, p, PAGE, RW), EINVAL, "multiples of the window's page size", "an odd IOVA");
	refused(prereg, prereg_map(prereg, IOVA, p, 0, RW), EINVAL, "not 0", "nothing");
	refused(prereg, prereg_map(prereg, IOVA, other, PAGE, RW), EINVAL, "prereg_register()", "unregistered memory");
	refused(prereg, prereg_map(prereg, IOVA, p, 9 * PAGE, RW), EINVAL, "prereg_register()", "more than is registered");
	refused(prereg, prereg_map(prereg, 1ull << 62, p, PAGE, RW), ENXIO, "one window", "no window");
	refused(prereg, prereg_map(prereg, DEFAULT_WINDOW_BYTES - PAGE, p, 2 * PAGE, RW), ENXIO, "one window", "over the end");
	refused(prereg, prereg_unmap(prereg, 1ull << 62, PAGE), ENXIO, "one window", "unmap in no window");
	refused(prereg, prereg_unmap(prereg, IOVA + 8, PAGE), EINVAL, "multiples of the window's page size", "unmap at an odd IOVA");
	tap_step("too many mappings");
	tap_expect_ret(meter_file_read(MAPPINGS_MAX, &before), 0, "read mappings_max");
	snprintf(max, sizeof(max), "%lld", before);
	tap_expect_ret(meter_file_write(MAPPINGS_MAX, "1"), 0, "write mappings_max");
	worked(prereg, prereg_map(prereg, IOVA, p, PAGE, RW), "the last one");
	refused(prereg, prereg_map(prereg, IOVA2, p, PAGE, RW), ENOSPC, "mappings_max", "one too many");
	tap_expect_ret(meter_file_write(MAPPINGS_MAX, max), 0, "restore mappings_max");
	box_close(&box);
}

#define PIECES 40

/* Every other page of @p, backwards. */
static void cut(struct prereg_mapping *pieces, char *p)
{
	size_t i;

	for (i = 0; i < PIECES; i++)
		pieces[i] = (struct prereg_mapping) {
			.iova = IOVA + 2 * i * PAGE,
			.addr = p + (PIECES - 1 - i) * PAGE,
			.bytes = PAGE,
			.access = RW,
		};
}

/* Piece 7 is refused with @error, and nothing is mapped. */
static void refused_piece(struct box *box, const struct prereg_mapping *pieces, char *p, int error, const char *words,
			  const char *what)
{
	size_t at = 1000;

	if (!refused(box->prereg, prereg_map_all(box->prereg, pieces, PIECES, &at), error, words, what))
		return;
	tap_expect_eq(at, 7, "%s: the piece that was refused", what);
	tap_expect(strstr(prereg_error(box->prereg), "piece 7 of 40: "), "%s: \"%s\" does not name the piece", what,
		   prereg_error(box->prereg));
	/* What is mapped cannot be unregistered. */
	if (worked(box->prereg, prereg_unregister(box->prereg, p, PIECES * PAGE), what))
		worked(box->prereg, prereg_register(box->prereg, p, PIECES * PAGE), what);
}

/* What is the same in one call and in many. */
static void map_pieces(struct box *box, char *p)
{
	struct prereg_mapping pieces[PIECES];
	struct prereg *prereg = box->prereg;
	size_t at = 1000;

	cut(pieces, p);
	worked(prereg, prereg_map_all(prereg, pieces, 0, &at), "none");
	tap_expect_eq(at, 0, "none was refused");
	worked(prereg, prereg_map_all(prereg, pieces, PIECES, &at), "all");
	tap_expect_eq(at, PIECES, "none was refused");
	box_reaches(box, pieces[0].iova, pieces[0].addr, "the first piece");
	box_reaches(box, pieces[PIECES - 1].iova, pieces[PIECES - 1].addr, "the last piece");
	worked(prereg, prereg_unmap_all(prereg, pieces, PIECES, &at), "unmap all");
	box_faults(box, pieces[0].iova, "the first piece, unmapped");
	box_faults(box, pieces[PIECES - 1].iova, "the last piece, unmapped");
	tap_step("one that is refused");
	pieces[7].addr = p + PIECES * PAGE;
	refused_piece(box, pieces, p, EINVAL, "prereg_register()", "not registered");
	cut(pieces, p);
	pieces[7].iova = 1ull << 62;
	refused_piece(box, pieces, p, ENXIO, "one window", "in no window");
	cut(pieces, p);
	pieces[7].access = 0;
	refused_piece(box, pieces, p, EINVAL, "PREREG_READ", "no direction");
	cut(pieces, p);
	pieces[7].bytes = 0;
	refused_piece(box, pieces, p, EINVAL, "not 0", "no bytes");
	cut(pieces, p);
	pieces[7].iova = pieces[3].iova;
	refused_piece(box, pieces, p, EEXIST, "unmap it first", "twice the same IOVA");
	refused(prereg, prereg_map_all(prereg, pieces, VFIO_PREREG_BATCH_MAX + 1, &at), E2BIG, "calls of 65536", "too many");
	tap_expect_eq(at, VFIO_PREREG_BATCH_MAX + 1, "none of them was it");
}

void test_map_all(void)
{
	struct prereg_mapping pieces[PIECES];
	struct prereg *prereg;
	struct box box;
	size_t at;
	char *p;

	if (!box_open(&box, 0))
		return;
	prereg = box.prereg;
	if (!(prereg->has & VFIO_PREREG_HAS_BATCH)) {
		tap_skip("this module has no VFIO_PREREG_BATCH");
		box_close(&box);
		return;
	}
	cut(pieces, NULL);
	refused(prereg, prereg_map_all(prereg, pieces, PIECES, &at), EPERM, "nothing is registered", "before register");
	p = box_own(&box, PIECES * PAGE, MEM_SMALL);
	if (!p)
		return;
	map_pieces(&box, p);
	tap_step("what was mapped before stays");
	cut(pieces, p);
	worked(prereg, prereg_map(prereg, pieces[7].iova, p, PAGE, RW), "map one page");
	refused(prereg, prereg_map_all(prereg, pieces, PIECES, &at), EEXIST, "unmap it first", "over it");
	tap_expect_eq(at, 7, "the piece that was refused");
	box_reaches(&box, pieces[7].iova, p, "what was there");
	box_faults(&box, pieces[0].iova, "the others");
	tap_step("an UNMAP that would cut a mapping does nothing");
	worked(prereg, prereg_unmap(prereg, pieces[7].iova, PAGE), "unmap it");
	worked(prereg, prereg_map(prereg, pieces[7].iova, p, 4 * PAGE, RW), "map four pages");
	refused(prereg, prereg_unmap_all(prereg, pieces, PIECES, &at), EINVAL, "end inside a mapping", "cut it");
	tap_expect_eq(at, 7, "the piece that was refused");
	box_reaches(&box, pieces[7].iova, p, "what was not cut");
	box_close(&box);
}

/* As on a driver without the batch ioctl: on ours, made to seem one. */
void test_singly(void)
{
	struct prereg_mapping pieces[PIECES];
	struct box box;
	size_t at;
	char *p;

	if (!box_open(&box, 0))
		return;
	box.prereg->has &= ~VFIO_PREREG_HAS_BATCH;
	p = box_own(&box, PIECES * PAGE, MEM_SMALL);
	if (!p)
		return;
	map_pieces(&box, p);
	tap_step("pieces of an UNMAP before the one that is refused are unmapped");
	cut(pieces, p);
	worked(box.prereg, prereg_map_all(box.prereg, pieces, PIECES, NULL), "all");
	pieces[7].iova = 1ull << 62;
	refused(box.prereg, prereg_unmap_all(box.prereg, pieces, PIECES, &at), ENXIO, "piece 7 of 40", "in no window");
	tap_expect_eq(at, 7, "the piece that was refused");
	box_faults(&box, pieces[6].iova, "the one before");
	box_reaches(&box, pieces[8].iova, pieces[8].addr, "the one behind");
	box_close(&box);
}

void test_windows(void)
{
	struct prereg_windows windows;
	uint64_t page, start = 0, more;
	struct prereg *prereg;
	struct box box;
	char *p;

	if (!box_open(&box, 0))
		return;
	prereg = box.prereg;
	p = box_own(&box, 4 * PAGE, MEM_SMALL);
	if (!p || !worked(prereg, prereg_get_windows(prereg, &windows), "get_windows"))
		return;
	tap_expect_eq(windows.default_start, 0, "the default window's start");
	tap_expect_eq(windows.default_bytes, DEFAULT_WINDOW_BYTES, "the default window's size");
	tap_expect_eq(windows.max_windows, 2, "windows");
	tap_expect_eq(windows.max_levels, 5, "levels");
	page = windows.page_sizes & -windows.page_sizes;
	tap_expect_eq(page, IOMMU_PAGE, "the smallest page");
	tap_step("a second window");
	worked(prereg, prereg_add_window(prereg, MIB, page, 1, &start), "add_window");
	tap_expect_eq(start, rig_window1(prereg_fd(prereg)), "its start");
	worked(prereg, prereg_map(prereg, start, p, 4 * PAGE, RW), "map in it");
	refused(prereg, prereg_add_window(prereg, MIB, page, 1, &more), ENOSPC, "prereg_remove_window()", "a third one");
	worked(prereg, prereg_remove_window(prereg, start), "remove_window");
	refused(prereg, prereg_map(prereg, start, p, PAGE, RW), ENXIO, "one window", "map where it was");
	refused(prereg, prereg_remove_window(prereg, start), EINVAL, "no window starts at", "remove it again");
	tap_step("windows that cannot be");
	refused(prereg, prereg_add_window(prereg, 3 * MIB, page, 1, &more), EINVAL, "power of two", "3 MiB");
	refused(prereg, prereg_add_window(prereg, MIB, 3 * page, 1, &more), EINVAL, "page size", "an odd page size");
	refused(prereg, prereg_add_window(prereg, MIB, 0, 1, &more), EINVAL, "page size", "page size 0");
	refused(prereg, prereg_add_window(prereg, MIB, page, 9, &more), EINVAL, "levels 1 to 5", "9 levels");
	box_close(&box);
}
