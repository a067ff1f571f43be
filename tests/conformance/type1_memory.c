// SPDX-License-Identifier: GPL-2.0
/* Types 1 and 3: MAP, the memory. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "meter.h"
#include "type1_box.h"

#define FILE_PAGES 8
#define RAMFS "/tmp/conformance-ramfs"

/* A page of @spare (s->call.page) is not there, or has other permissions (s->call.levels - 1). */
static void run_spoilt(const struct scenario *s)
{
	struct box box;
	char *at;

	if (!box_open_bare(&box))
		return;
	at = box.spare + s->call.page * page();
	if (s->call.levels)
		tap_expect(!mprotect(at, page(), s->call.levels - 1), "mprotect");
	else
		tap_expect(!munmap(at, page()), "munmap");
	say_map(&box, box.spare, s->call.pages * page(), s->call.flags);
	box_close(&box);
}

/* Where no memory of a process is: s->call.iova is the address. */
static void run_address(const struct scenario *s)
{
	struct box box;

	if (!box_open_bare(&box))
		return;
	say_map(&box, (void *)(uintptr_t)s->call.iova, page(), s->call.flags);
	box_close(&box);
}

static void run_kind(const struct scenario *s)
{
	const size_t bytes = 4 * MIB;
	struct box box;
	char *p;

	p = box_open_kind(&box, s->kind, bytes);
	if (!p)
		return;
	say_ret(vfio_map(box.fd, IOVA2, p, bytes, MAP_RW));
	say("%s", pins(bytes / page()) == (long long)(bytes / page()) ? "each page pinned once" : "other pins");
	say("%lld KiB charged", charge_kib());
	say_reach(&box, IOVA2 + bytes - 64, p + bytes - 64);
	say_ret(vfio_unmap(box.fd, IOVA2, bytes));
	say("%lld pinned", pins(0));
	box_close(&box);
	mem_free(p, bytes);
	if (s->kind == MEM_HUGETLB)
		mem_hugetlb_reserve(0);
}

enum file {
	FILE_MEMFD,
	FILE_TMPFS,
	FILE_RAMFS,	/* stands for a file system that writes pages back */
	FILE_ZERO,	/* /dev/zero */
};

static int open_file(enum file file)
{
	int fd = -1;

	switch (file) {
	case FILE_MEMFD:
		fd = memfd_create("conformance", MFD_CLOEXEC);
		break;
	case FILE_TMPFS:
		fd = open("/dev/shm", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
		break;
	case FILE_RAMFS:
		mkdir(RAMFS, 0700);
		tap_expect(!mount("ramfs", RAMFS, "ramfs", 0, NULL), "mount ramfs: %s", strerror(errno));
		fd = open(RAMFS "/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		break;
	case FILE_ZERO:
		return open("/dev/zero", O_RDWR | O_CLOEXEC);
	}
	tap_expect(fd >= 0 && !ftruncate(fd, FILE_PAGES * page()), "a file: %s", strerror(errno));
	return fd;
}

/* Pages of a file (s->call.page), mapped as s->call.levels says, MAP_SHARED or MAP_PRIVATE as s->call.bytes says. */
static void run_file(const struct scenario *s)
{
	const size_t bytes = FILE_PAGES * page();
	struct box box;
	char *p;
	int fd;

	if (!box_open_bare(&box))
		return;
	fd = open_file(s->call.page);
	p = mmap(NULL, bytes, s->call.levels, s->call.bytes, fd, 0);
	if (tap_expect(p != MAP_FAILED, "mmap: %s", strerror(errno)))
		say_map(&box, p, bytes, s->call.flags);
	box_close(&box);
	munmap(p, bytes);
	close(fd);
	if (s->call.page == FILE_RAMFS)
		umount(RAMFS);
}

/* Memory that was never touched is mapped for reading; then the process writes to it. */
static void run_untouched(const struct scenario *s)
{
	struct box box;
	char *p;

	(void)s;
	if (!box_open(&box))
		return;
	p = mmap(NULL, page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!tap_expect(p != MAP_FAILED, "memory"))
		return;
	say_map(&box, p, page(), MAP_RO);
	say("%s", device_sees(&box, IOVA2, p));
	box_close(&box);
}

/* What the device reads from another device's registers: the word that says what it is. */
static void say_peer(struct box *box)
{
	char *control = box->mem + (REGION_PAGES - 1) * page();
	uint32_t word = 0;

	tap_expect_ret(edu_dma_read(&box->rig.edu, IOVA2, 0, sizeof(word)), 0, "DMA");
	tap_expect_ret(edu_dma_write(&box->rig.edu, CONTROL_IOVA, 0, sizeof(word)), 0, "DMA");
	memcpy(&word, control, sizeof(word));
	say("%s", (word & 0xffff) == 0xed ? "the device reads its registers" : "the device reads something else");
}

/* Registers of another device, mapped with s->call.levels; the device reads them. */
static void run_bar(const struct scenario *s)
{
	struct rig second;
	struct box box;
	void *bar;

	if (!box_open(&box) || !rig_open_type(&second, VFIO_EDU1, container_type()))
		return;
	bar = (void *)second.edu.bar;
	if (s->call.levels)
		tap_expect(!mprotect(bar, second.edu.bar_bytes, s->call.levels), "mprotect");
	if (!say_map(&box, bar, s->call.pages * page(), s->call.flags)) {
		say_peer(&box);
		say_unmap(&box, IOVA2, s->call.pages * page(), 0);
	}
	rig_close(&second);
	box_close(&box);
}

/* The other device decodes no memory: its registers are nowhere. */
static void run_bar_off(const struct scenario *s)
{
	struct rig second;
	struct box box;

	(void)s;
	if (!box_open(&box) || !rig_open_type(&second, VFIO_EDU1, container_type()))
		return;
	tap_expect_ret(vfio_device_bus_master(second.dev.device, false), 0, "turn its memory off");
	say_map(&box, (void *)second.edu.bar, page(), MAP_RW);
	rig_close(&second);
	box_close(&box);
}

/* A page of memory, a BAR, a page of memory: one mapping. */
static void run_bar_between(const struct scenario *s)
{
	struct vfio_region_info bar = { .argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX };
	struct rig second;
	struct box box;
	char *at;

	(void)s;
	if (!box_open_bare(&box) || !rig_open_type(&second, VFIO_EDU1, container_type()))
		return;
	at = box.spare + page();
	tap_expect_ret(vfio_ioctl(second.dev.device, VFIO_DEVICE_GET_REGION_INFO, &bar), 0, "GET_REGION_INFO");
	tap_expect(mmap(at, page(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, second.dev.device, bar.offset) == at, "mmap");
	say_map(&box, box.spare, 3 * page(), MAP_RW);
	say_reach(&box, IOVA2, box.spare);
	say_reach(&box, IOVA2 + 2 * page(), box.spare + 2 * page());
	say_unmap(&box, IOVA2, 3 * page(), 0);
	say("%lld pinned", pins(0));
	rig_close(&second);
	box_close(&box);
}

/* Mapped memory is discarded: the device keeps the page. The process maps its new one elsewhere. */
static void run_discarded(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	tap_expect(!madvise(box.mem, page(), MADV_DONTNEED), "madvise");
	box.mem[0] = 1;
	say("the new page %s", device_writes(&box, IOVA, box.mem) ? "reached" : "not reached");
	say_map(&box, box.mem, page(), MAP_RW);
	say_reach(&box, IOVA2, box.mem);
	say_unmap(&box, IOVA, MAPPED_PAGES * page(), 0);
	say("%lld pinned", pins(2));
	box_close(&box);
}

#define SPOILT(at, n, prot) .run = run_spoilt, .call.page = (at), .call.pages = (n), .call.levels = (prot)
#define GONE 0
#define PROTECTED(prot) ((prot) + 1)
#define ADDRESS(a) .run = run_address, .call.iova = (a), .call.flags = MAP_RW
#define A_FILE(file, prot, how) .run = run_file, .call.page = (file), .call.levels = (prot), .call.bytes = (how)
#define RW (PROT_READ | PROT_WRITE)
#define BAR(prot) .run = run_bar, .call.pages = 1, .call.levels = (prot)
#define WORKS "0, each page pinned once, 4096 KiB charged, reached, 0, 0 pinned"
#define ALL_PAGES "0, +8 pinned, +8 charged"
#define PEER "0, the device reads its registers, 0, 1 pages"

static const struct scenario memory[] = {
	{ .name = "mem-small", .what = "MAP of small pages, UNMAP", .run = run_kind, .kind = MEM_SMALL, .upstream = WORKS },
	{ .name = "mem-thp", .what = "MAP of huge pages (THP), UNMAP", .run = run_kind, .kind = MEM_THP, .upstream = WORKS },
	{ .name = "mem-shared", .what = "MAP of shared memory, UNMAP", .run = run_kind, .kind = MEM_SHARED, .upstream = WORKS },
	{ .name = "mem-hugetlb", .what = "MAP of hugetlb pages, UNMAP", .run = run_kind, .kind = MEM_HUGETLB, .upstream = WORKS },
	{ .name = "mem-memfd", .what = "MAP of a memfd", A_FILE(FILE_MEMFD, RW, MAP_SHARED), .call.flags = MAP_RW, .upstream = ALL_PAGES },
	{ .name = "mem-tmpfs", .what = "MAP of a file on tmpfs", A_FILE(FILE_TMPFS, RW, MAP_SHARED), .call.flags = MAP_RW, .upstream = ALL_PAGES },
	{ .name = "mem-zero-private", .what = "MAP of /dev/zero, private", A_FILE(FILE_ZERO, RW, MAP_PRIVATE), .call.flags = MAP_RW, .upstream = ALL_PAGES },
	{ .name = "mem-zero-shared", .what = "MAP of /dev/zero, shared", A_FILE(FILE_ZERO, RW, MAP_SHARED), .call.flags = MAP_RW, .upstream = ALL_PAGES },
	{ .name = "mem-file", .what = "MAP of a file whose file system writes it back", A_FILE(FILE_RAMFS, RW, MAP_SHARED), .call.flags = MAP_RW,
	  .upstream = ALL_PAGES, .since = KERNEL(6, 5), .newer = "EFAULT", .ours = "EOPNOTSUPP", .verdict = FIXED,
	  .why = "devices that write such pages corrupt the file; newer kernels refuse it, too" },
	{ .name = "mem-file-read", .what = "MAP for reading of such a file, mapped read-only", A_FILE(FILE_RAMFS, PROT_READ, MAP_SHARED),
	  .call.flags = MAP_RO, .upstream = ALL_PAGES },
	{ .name = "mem-file-private", .what = "MAP of a private mapping of such a file", A_FILE(FILE_RAMFS, RW, MAP_PRIVATE), .call.flags = MAP_RW,
	  .upstream = ALL_PAGES },
	{ .name = "mem-file-private-read", .what = "MAP for reading of a private read-only mapping of such a file",
	  A_FILE(FILE_RAMFS, PROT_READ, MAP_PRIVATE), .call.flags = MAP_RO, .upstream = ALL_PAGES },
	{ .name = "mem-read-only-read", .what = "MAP for reading of read-only memory", SPOILT(0, 1, PROTECTED(PROT_READ)), .call.flags = MAP_RO,
	  .upstream = "0, +1 pinned, +1 charged" },
	{ .name = "mem-read-only-write", .what = "MAP for writing of read-only memory", SPOILT(0, 1, PROTECTED(PROT_READ)), .call.flags = MAP_WO,
	  .upstream = "EFAULT" },
	{ .name = "mem-read-only-both", .what = "MAP for both of read-only memory", SPOILT(0, 1, PROTECTED(PROT_READ)), .call.flags = MAP_RW,
	  .upstream = "EFAULT" },
	{ .name = "mem-read-only-in-it", .what = "MAP for both of 16 pages, the seventh read-only", SPOILT(6, SPARE_PAGES, PROTECTED(PROT_READ)),
	  .call.flags = MAP_RW, .upstream = "EFAULT" },
	{ .name = "mem-none", .what = "MAP for reading of PROT_NONE", SPOILT(0, 1, PROTECTED(PROT_NONE)), .call.flags = MAP_RO, .upstream = "EFAULT" },
	{ .name = "mem-write-only-read", .what = "MAP for reading of PROT_WRITE memory", SPOILT(0, 1, PROTECTED(PROT_WRITE)), .call.flags = MAP_RO,
	  .upstream = "EFAULT", .ours = "0, +1 pinned, +1 charged", .verdict = EXTENSION,
	  .why = "pages that are there are pinned by the page table alone, which lets the process read them, too" },
	{ .name = "mem-write-only-write", .what = "MAP for writing of it", SPOILT(0, 1, PROTECTED(PROT_WRITE)), .call.flags = MAP_WO,
	  .upstream = "0, +1 pinned, +1 charged" },
	{ .name = "mem-untouched", .what = "MAP for reading of memory that was never touched; the process writes; what the device sees",
	  .run = run_untouched, .upstream = "0, nothing", .since = KERNEL(6, 2), .newer = "0, +1 pinned, +1 charged, read",
	  .ours = "0, +1 pinned, +1 charged, read", .verdict = NEWER, .why = "older kernels map the page of zeroes, which the process then replaces" },
	{ .name = "mem-hole-first", .what = "MAP of 16 pages, the first not there", SPOILT(0, SPARE_PAGES, GONE), .call.flags = MAP_RW, .upstream = "EFAULT" },
	{ .name = "mem-hole-middle", .what = "MAP of 16 pages, the seventh not there", SPOILT(6, SPARE_PAGES, GONE), .call.flags = MAP_RW, .upstream = "EFAULT" },
	{ .name = "mem-hole-last", .what = "MAP of 16 pages, the last not there", SPOILT(15, SPARE_PAGES, GONE), .call.flags = MAP_RW, .upstream = "EFAULT" },
	{ .name = "mem-null", .what = "MAP of the page at 0", ADDRESS(0), .upstream = "EFAULT" },
	{ .name = "mem-non-canonical", .what = "MAP of an address that no process can have", ADDRESS(1ull << 62), .upstream = "EFAULT" },
	{ .name = "mem-kernel", .what = "MAP of an address of the kernel's", ADDRESS(0xffff888000000000ull), .upstream = "EFAULT" },
	{ .name = "mem-bar", .what = "MAP of another device's registers; the device reads them; UNMAP", BAR(0), .call.flags = MAP_RW, .upstream = PEER },
	{ .name = "mem-bar-read", .what = "MAP of them for reading", BAR(0), .call.flags = MAP_RO, .upstream = PEER },
	{ .name = "mem-bar-read-only", .what = "MAP of them for reading, mapped read-only", BAR(PROT_READ), .call.flags = MAP_RO, .upstream = PEER },
	{ .name = "mem-bar-read-only-write", .what = "MAP of them for both, mapped read-only", BAR(PROT_READ), .call.flags = MAP_RW, .upstream = "EFAULT" },
	{ .name = "mem-bar-off", .what = "MAP of them with the device's memory turned off", .run = run_bar_off, .upstream = "EFAULT" },
	{ .name = "mem-bar-between", .what = "MAP of a page of memory, one of registers, one of memory; DMA to the memory; UNMAP",
	  .run = run_bar_between, .upstream = "0, +2 pinned, +2 charged, reached, reached, 0, 3 pages, 0 pinned",
	  .ours = "EFAULT, not reached, not reached, 0, 0 pages, 0 pinned", .verdict = LEFT_OUT,
	  .why = "a mapping is of memory or of registers; no known program mixes them" },
	{ .name = "mem-discarded", .what = "MADV_DONTNEED of mapped memory; MAP of what is there now; UNMAP of the first mapping", .run = run_discarded,
	  .upstream = "the new page not reached, 0, +1 pinned, +1 charged, reached, 0, 8 pages, 2 pinned" },
};

const struct scenario_group group_type1_memory = { "MAP: kinds of memory", memory, COUNT(memory) };

static void run_limit(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open_bare(&box))
		return;
	tap_expect(proc_limit_memlock(12 * page()), "limit RLIMIT_MEMLOCK");
	say_map(&box, box.spare, 13 * page(), MAP_RW);
	say_map(&box, box.spare, 12 * page(), MAP_RW);
	say_ret(vfio_map(box.fd, IOVA, box.mem, page(), MAP_RW));
	say_unmap(&box, IOVA2, 12 * page(), 0);
	say_map(&box, box.spare, 12 * page(), MAP_RW);
	box_close(&box);
}

/* With a limit of 12 pages, which CAP_IPC_LOCK ignores. */
static void run_limit_privileged(const struct scenario *s)
{
	const struct rlimit limit = { 12 * page(), 12 * page() };
	struct box box;

	(void)s;
	if (!box_open_bare(&box))
		return;
	tap_expect(!setrlimit(RLIMIT_MEMLOCK, &limit), "setrlimit: %s", strerror(errno));
	say_map(&box, box.spare, SPARE_PAGES * page(), MAP_RW);
	box_close(&box);
}

/* A limit for 12 pages; 8 of them in two places. */
static void run_limit_twice(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open_bare(&box))
		return;
	tap_expect(proc_limit_memlock(12 * page()), "limit RLIMIT_MEMLOCK");
	tap_expect_ret(vfio_map(box.fd, IOVA, box.spare, 8 * page(), MAP_RW), 0, "MAP");
	say_map(&box, box.spare, 8 * page(), MAP_RW);
	box_close(&box);
}

/* Memory that mlock() charged already. */
static void run_limit_mlock(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open_bare(&box))
		return;
	tap_expect(proc_limit_memlock(12 * page()), "limit RLIMIT_MEMLOCK");
	tap_expect(!mlock(box.spare, 8 * page()), "mlock: %s", strerror(errno));
	say_map(&box, box.spare, 8 * page(), MAP_RW);
	say_map(&box, box.spare, 4 * page(), MAP_RW);
	box_close(&box);
}

static void run_limit_bar(const struct scenario *s)
{
	struct rig second;
	struct box box;

	(void)s;
	if (!box_open_bare(&box) || !rig_open_type(&second, VFIO_EDU1, container_type()))
		return;
	tap_expect(proc_limit_memlock(0), "limit RLIMIT_MEMLOCK");
	say_map(&box, (void *)second.edu.bar, second.edu.bar_bytes, MAP_RW);
	rig_close(&second);
	box_close(&box);
}

/* The limit of what a container may have mapped, which holds for containers that come later. */
static void run_entry_limit(const struct scenario *s)
{
	const char *path = driver_is_upstream() ? "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit" :
						  "/sys/module/vfio_prereg/parameters/dma_entry_limit";
	long long usual = 0;
	struct box box;
	char text[16];

	(void)s;
	tap_expect_ret(meter_file_read(path, &usual), 0, "%s", path);
	tap_expect_ret(meter_file_write(path, "3"), 0, "%s", path);
	if (!box_open(&box))
		return;
	say_ret(vfio_map(box.fd, IOVA2, box.spare, page(), MAP_RW));
	say_ret(vfio_map(box.fd, IOVA2 + page(), box.spare, page(), MAP_RW));
	say("%lld", type1_dma_avail(box.fd));
	say_ret(vfio_map(box.fd, IOVA2, box.spare, page(), MAP_RW));
	say_unmap(&box, IOVA2, page(), 0);
	say_ret(vfio_map(box.fd, IOVA2 + page(), box.spare, page(), MAP_RW));
	box_close(&box);
	snprintf(text, sizeof(text), "%lld", usual);
	tap_expect_ret(meter_file_write(path, text), 0, "%s", path);
}

static const struct scenario limits[] = {
	{ .name = "limit", .what = "with RLIMIT_MEMLOCK for 12 pages: MAP of 13, of 12, of 1 more; UNMAP, MAP of 12", .run = run_limit,
	  .upstream = "ENOMEM, 0, +12 pinned, +12 charged, ENOMEM, 0, 12 pages, 0, +12 pinned, +12 charged" },
	{ .name = "limit-privileged", .what = "MAP of 16 pages with that limit and CAP_IPC_LOCK", .run = run_limit_privileged,
	  .upstream = "0, +16 pinned, +16 charged" },
	{ .name = "limit-twice", .what = "MAP of 8 pages at two IOVAs with that limit", .run = run_limit_twice, .upstream = "ENOMEM", .ours = "0",
	  .verdict = FIXED, .why = "an address space pays for its memory once" },
	{ .name = "limit-mlock", .what = "MAP of 8 pages that mlock() charged, with that limit; of 4 of them", .run = run_limit_mlock,
	  .upstream = "ENOMEM, 0, +4 pinned, +4 charged" },
	{ .name = "limit-bar", .what = "MAP of a device's registers with a limit of 0", .run = run_limit_bar, .upstream = "0" },
	{ .name = "entry-limit", .what = "with dma_entry_limit=3 and two mappings: MAP, MAP, what GET_INFO says is left, MAP over one, UNMAP, MAP",
	  .run = run_entry_limit, .upstream = "0, ENOSPC, 0, EEXIST, 0, 1 pages, 0" },
};

const struct scenario_group group_type1_limit = { "MAP: limits", limits, COUNT(limits) };
