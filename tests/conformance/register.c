// SPDX-License-Identifier: GPL-2.0
/* REGISTER and UNREGISTER. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conformance.h"
#include "meter.h"

/* REGISTER of all of @spare, a page in whose middle was made useless. */
static void register_spoilt(struct box *box, size_t bytes)
{
	const long long before = pins(0);
	int ret = spapr_register(box->fd, box->spare, bytes);

	say_ret(ret);
	say("%lld pages pinned", pins(before) - before);
	say("%lld charged", charge());
}

static void run_hole(const struct scenario *s)
{
	char *at;
	struct box box;

	if (!box_open_bare(&box))
		return;
	at = box.spare + s->call.page * page();
	if (s->call.flags)
		tap_expect(!mprotect(at, page(), s->call.flags == PROT_READ ? PROT_READ : PROT_NONE), "mprotect");
	else
		tap_expect(!munmap(at, page()), "munmap");
	register_spoilt(&box, SPARE_PAGES * page());
	box_close(&box);
}

static void run_device_memory(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open_bare(&box))
		return;
	say_ret(spapr_register(box.fd, (void *)box.rig.edu.bar, page()));
	box_close(&box);
}

/* Shared pages of a file, on ramfs or on tmpfs. */
static void run_file(const struct scenario *s)
{
	const char *dir = "/tmp/conformance-ramfs";
	const size_t bytes = 8 * page();
	struct box box;
	int fd = -1;
	char *p;

	if (s->kind != MEM_SHARED && rig_file_pages_errno() != -EFAULT) {
		say_skip("this kernel leaves the refusal to the module, which says EOPNOTSUPP: suite api");
		return;
	}
	if (!box_open_bare(&box))
		return;
	if (s->kind == MEM_SHARED) {
		fd = memfd_create("conformance", MFD_CLOEXEC);
	} else {
		mkdir(dir, 0700);
		tap_expect(!mount("ramfs", dir, "ramfs", 0, NULL), "mount ramfs: %s", strerror(errno));
		fd = open("/tmp/conformance-ramfs/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	}
	tap_expect(fd >= 0 && !ftruncate(fd, bytes), "a file: %s", strerror(errno));
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (tap_expect(p != MAP_FAILED, "mmap"))
		say_ret(spapr_register(box.fd, p, bytes));
	box_close(&box);
	close(fd);
	munmap(p, bytes);
	umount(dir);
}

static void run_kinds(const struct scenario *s)
{
	const size_t bytes = 4 * MIB;
	struct box box;
	char *p;

	p = box_open_kind(&box, s->kind, bytes);
	if (!p)
		return;
	say_ret(spapr_register(box.fd, p, bytes));
	say("%s", pins(bytes / page()) == (long long)(bytes / page()) ? "each page pinned once" : "other pins");
	say("%lld KiB charged", charge_kib());
	say_ret(spapr_unregister(box.fd, p, bytes));
	say("%lld pinned", pins(0));
	box_close(&box);
	mem_free(p, bytes);
	if (s->kind == MEM_HUGETLB)
		mem_hugetlb_reserve(0);
}

static void run_limit(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open_bare(&box))
		return;
	tap_expect(proc_limit_memlock(12 * page()), "limit RLIMIT_MEMLOCK");
	say_ret(spapr_register(box.fd, box.spare, 13 * page()));
	say("%lld pages charged", charge());
	say_ret(spapr_register(box.fd, box.spare, 12 * page()));
	say("%lld", charge());
	box_close(&box);
}

static void run_limit_halfway(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open_bare(&box))
		return;
	tap_expect(proc_limit_memlock(20 * page()), "limit RLIMIT_MEMLOCK");
	say_ret(spapr_register(box.fd, box.spare, SPARE_PAGES * page()));
	say_ret(spapr_register(box.fd, box.mem, REGION_PAGES * page()));
	say("%lld pages pinned", pins(SPARE_PAGES));
	say("%lld charged", charge());
	box_close(&box);
}

static void run_neighbours(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open_bare(&box))
		return;
	say_ret(spapr_register(box.fd, box.mem, 4 * page()));
	say_ret(spapr_register(box.fd, box.mem + 4 * page(), 4 * page()));
	say_ret(spapr_register(box.fd, box.mem + 9 * page(), page()));
	say("%lld pages pinned", pins(9));
	box_close(&box);
}

#define REGISTER_CALL .run = run_call, .call.nr = CALL_REGISTER

static const struct scenario registers[] = {
	{ .name = "register-vaddr-unaligned", .what = "REGISTER, unaligned vaddr", REGISTER_CALL,
	  .call.place = AT_SPARE, .call.byte = 8, .call.pages = 1, .upstream = "EINVAL" },
	{ .name = "register-size-unaligned", .what = "REGISTER, unaligned size", REGISTER_CALL,
	  .call.place = AT_SPARE, .call.pages = 1, .call.bytes = 8, .upstream = "EINVAL" },
	{ .name = "register-wraps", .what = "REGISTER that wraps around", REGISTER_CALL,
	  .call.place = AT_ZERO, .call.page = -2, .call.pages = 4, .upstream = "EINVAL" },
	{ .name = "register-hole-only", .what = "REGISTER of addresses where nothing is", REGISTER_CALL,
	  .call.place = AT_HOLE, .call.pages = 2, .upstream = "EFAULT" },
	{ .name = "register-null", .what = "REGISTER of the page at 0", REGISTER_CALL,
	  .call.place = AT_ZERO, .call.pages = 1, .upstream = "EFAULT" },
	{ .name = "register-kernel", .what = "REGISTER of the last page of all addresses but one", REGISTER_CALL,
	  .call.place = AT_ZERO, .call.page = -2, .call.pages = 1, .upstream = "EFAULT" },
	{ .name = "register-device-memory", .what = "REGISTER of a device's BAR", .run = run_device_memory, .upstream = "EFAULT" },
	{ .name = "register-read-only", .what = "REGISTER, the first page read-only", .run = run_hole,
	  .call = { .page = 0, .flags = PROT_READ }, .upstream = "EFAULT, 0 pages pinned, 0 charged" },
	{ .name = "register-first-missing", .what = "REGISTER of 16 pages, the first not mapped", .run = run_hole,
	  .call = { .page = 0 }, .upstream = "EFAULT, 0 pages pinned, 0 charged" },
	{ .name = "register-hole", .what = "REGISTER of 16 pages, the seventh not mapped", .run = run_hole,
	  .call = { .page = 6 }, .upstream = "6, 0 pages pinned, 0 charged", .ours = "EFAULT, 0 pages pinned, 0 charged",
	  .verdict = FIXED, .why = "a refused call must not answer a positive number" },
	{ .name = "register-last-missing", .what = "REGISTER of 16 pages, the last not mapped", .run = run_hole,
	  .call = { .page = 15 }, .upstream = "15, 0 pages pinned, 0 charged", .ours = "EFAULT, 0 pages pinned, 0 charged",
	  .verdict = FIXED, .why = "a refused call must not answer a positive number" },
	{ .name = "register-read-only-inside", .what = "REGISTER of 16 pages, the seventh read-only", .run = run_hole,
	  .call = { .page = 6, .flags = PROT_READ }, .upstream = "6, 0 pages pinned, 0 charged",
	  .ours = "EFAULT, 0 pages pinned, 0 charged",
	  .verdict = FIXED, .why = "a refused call must not answer a positive number" },
	{ .name = "register-prot-none-inside", .what = "REGISTER of 16 pages, the seventh PROT_NONE", .run = run_hole,
	  .call = { .page = 6, .flags = PROT_EXEC }, .upstream = "6, 0 pages pinned, 0 charged",
	  .ours = "EFAULT, 0 pages pinned, 0 charged",
	  .verdict = FIXED, .why = "a refused call must not answer a positive number" },
	{ .name = "register-memfd", .what = "REGISTER of a memfd's pages, shared", .run = run_file, .kind = MEM_SHARED, .upstream = "0" },
	{ .name = "register-file", .what = "REGISTER of a file's pages on ramfs, shared", .run = run_file, .kind = MEM_SMALL,
	  .upstream = "EFAULT" },
	{ .name = "register-thp", .what = "REGISTER and UNREGISTER of 4 MiB of transparent huge pages", .run = run_kinds, .kind = MEM_THP,
	  .upstream = "0, each page pinned once, 4096 KiB charged, 0, 0 pinned" },
	{ .name = "register-hugetlb", .what = "REGISTER and UNREGISTER of 4 MiB of hugetlb pages", .run = run_kinds, .kind = MEM_HUGETLB,
	  .upstream = "0, each page pinned once, 4096 KiB charged, 0, 0 pinned" },
	{ .name = "register-again", .what = "REGISTER of exactly the same range again", REGISTER_CALL,
	  .call.place = AT_MEM, .call.pages = REGION_PAGES, .upstream = "EBUSY" },
	{ .name = "register-inside", .what = "REGISTER of a part of a region", REGISTER_CALL,
	  .call.place = AT_MEM, .call.page = 1, .call.pages = 2, .upstream = "EINVAL" },
	{ .name = "register-same-start", .what = "REGISTER of a region's first page", REGISTER_CALL,
	  .call.place = AT_MEM, .call.pages = 1, .upstream = "EINVAL" },
	{ .name = "register-neighbours", .what = "REGISTER of two ranges side by side, and one behind a gap of a page",
	  .run = run_neighbours, .upstream = "0, 0, 0, 9 pages pinned" },
	{ .name = "register-limit", .what = "REGISTER of a page more than RLIMIT_MEMLOCK; of exactly so many",
	  .run = run_limit, .upstream = "ENOMEM, 0 pages charged, 0, 12" },
	{ .name = "register-limit-halfway", .what = "REGISTER twice 16 pages with a limit of 20",
	  .run = run_limit_halfway, .upstream = "0, ENOMEM, 16 pages pinned, 16 charged" },
	{ .name = "register-size-0", .what = "REGISTER, size 0", REGISTER_CALL, .call.place = AT_SPARE, .spoils = true,
	  .upstream = "ENOMEM; the kernel warns", .ours = "EINVAL", .verdict = FIXED,
	  .why = "an argument of the caller's must not make the kernel warn" },
};

const struct scenario_group group_register = { "REGISTER", registers, COUNT(registers) };

static void run_mapped(const struct scenario *s)
{
	long long before;
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	before = charge();
	say_ret(spapr_unregister(box.fd, box.mem, REGION_PAGES * page()));
	say("%lld pages uncharged", before - charge());
	say_reach(&box, IOVA, box.mem);
	box_close(&box);
}

/* As above, and what was mapped is unmapped after it: does that put the pages? */
static void run_mapped_unmapped(const struct scenario *s)
{
	const size_t bytes = REGION_PAGES * page();
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	tap_expect_ret(vfio_unmap(box.fd, CONTROL_IOVA, page()), 0, "UNMAP");
	say_ret(spapr_unregister(box.fd, box.mem, bytes));
	say_ret(vfio_unmap(box.fd, IOVA, MAPPED_PAGES * page()));
	say_ret(spapr_unregister(box.fd, box.mem, bytes));
	say("%lld pages pinned", pins(0));
	box_close(&box);
}

static void run_munmapped(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	munmap(box.mem, MAPPED_PAGES * page());
	say("%lld pages pinned", pins(REGION_PAGES));
	say_ret(vfio_unmap(box.fd, 0, DEFAULT_WINDOW));
	say_ret(spapr_unregister(box.fd, box.mem, REGION_PAGES * page()));
	say("%lld pinned", pins(0));
	box_close(&box);
}

/* The device keeps its pages; what the owner sees at that address is new memory. */
static void run_dontneed(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	tap_expect(!madvise(box.mem, MAPPED_PAGES * page(), MADV_DONTNEED), "madvise: %s", strerror(errno));
	say("%lld pages pinned", pins(REGION_PAGES));
	say("%s", device_writes(&box, IOVA, box.mem) ? "reached" : "not reached");
	box_close(&box);
}

static void run_unregister(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	tap_expect_ret(vfio_unmap(box.fd, 0, DEFAULT_WINDOW), 0, "UNMAP");
	say_ret(spapr_unregister(box.fd, box.mem, REGION_PAGES * page()));
	say("%lld pages pinned", pins(0));
	say_ret(spapr_unregister(box.fd, box.mem, REGION_PAGES * page()));
	box_close(&box);
}

#define UNREGISTER_CALL .run = run_call, .call.nr = CALL_UNREGISTER

static const struct scenario unregisters[] = {
	{ .name = "unregister", .what = "UNREGISTER; pins; UNREGISTER again", .run = run_unregister,
	  .upstream = "0, 0 pages pinned, ENOENT" },
	{ .name = "unregister-unknown", .what = "UNREGISTER of what was not registered", UNREGISTER_CALL,
	  .call.place = AT_SPARE, .call.pages = 1, .upstream = "ENOENT" },
	{ .name = "unregister-part", .what = "UNREGISTER of a part of a region", UNREGISTER_CALL,
	  .call.place = AT_MEM, .call.pages = 1, .upstream = "ENOENT" },
	{ .name = "unregister-more", .what = "UNREGISTER of more than a region", UNREGISTER_CALL,
	  .call.place = AT_MEM, .call.pages = REGION_PAGES + 1, .upstream = "ENOENT" },
	{ .name = "unregister-vaddr-unaligned", .what = "UNREGISTER, unaligned vaddr", UNREGISTER_CALL,
	  .call.place = AT_MEM, .call.byte = 8, .call.pages = REGION_PAGES, .upstream = "EINVAL" },
	{ .name = "unregister-size-unaligned", .what = "UNREGISTER, unaligned size", UNREGISTER_CALL,
	  .call.place = AT_MEM, .call.pages = REGION_PAGES, .call.bytes = 8, .upstream = "EINVAL" },
	{ .name = "unregister-size-0", .what = "UNREGISTER, size 0", UNREGISTER_CALL, .call.place = AT_MEM, .upstream = "ENOENT" },
	{ .name = "unregister-munmapped", .what = "munmap() of what the device uses: pins; UNMAP, UNREGISTER",
	  .run = run_munmapped, .upstream = "16 pages pinned, 0, 0, 0 pinned" },
	{ .name = "unregister-dontneed", .what = "MADV_DONTNEED of what the device uses: pins; its DMA to what is there now",
	  .run = run_dontneed, .upstream = "16 pages pinned, not reached" },
	{ .name = "unregister-mapped", .what = "UNREGISTER of 16 pages, still mapped; charge; the device's DMA",
	  .run = run_mapped, .spoils = true,
	  .upstream = "0, 0 pages uncharged, reached; 16 pages stay pinned; the kernel warns", .ours = "EBUSY, 0 pages uncharged, reached",
	  .verdict = FIXED, .why = "pins and charge leak for ever" },
	{ .name = "unregister-mapped-unmap", .what = "UNREGISTER of 16 pages, still mapped; UNMAP; UNREGISTER; pins",
	  .run = run_mapped_unmapped, .spoils = true,
	  .upstream = "0, 0, ENOENT, 16 pages pinned; 16 pages stay pinned; the kernel warns", .ours = "EBUSY, 0, 0, 0 pages pinned",
	  .verdict = FIXED, .why = "nothing gives the pages back any more, not even a second try" },
};

const struct scenario_group group_unregister = { "UNREGISTER", unregisters, COUNT(unregisters) };
