// SPDX-License-Identifier: GPL-2.0
/* REGISTER and UNREGISTER: every range and every kind of memory. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api.h"
#include "proc.h"
#include "suite.h"

#define KPAGEFLAGS_DIRTY (1ull << 4)

enum {
	MSG_STEP = 1,
	MSG_GO,
};

void test_register_range(void)
{
	struct api a;
	size_t i;

	if (!api_open(&a))
		return;
	const struct {
		const char *what;
		uint64_t vaddr, size;
		int want;
	} rows[] = {
		{ "unaligned vaddr", (uintptr_t)a.spare + 8, PAGE, -EINVAL },
		{ "unaligned size", (uintptr_t)a.spare, PAGE + 8, -EINVAL },
		{ "size 1", (uintptr_t)a.spare, 1, -EINVAL },
		{ "size 0", (uintptr_t)a.spare, 0, -EINVAL },
		{ "size 0 at 0", 0, 0, -EINVAL },
		{ "wraps around", -2 * PAGE, 4 * PAGE, -EINVAL },
		{ "wraps to 0 exactly", -2 * PAGE, 2 * PAGE, -EFAULT },
		{ "as large as can be", (uintptr_t)a.spare, -PAGE, -EINVAL },
		{ "all addresses", 0, -PAGE, -EINVAL },
		{ "the page at 0", 0, PAGE, -EFAULT },
		{ "kernel memory", 0xffff888000000000ull, PAGE, -EFAULT },
		{ "the vsyscall page", 0xffffffffff600000ull, PAGE, -EFAULT },
		{ "no canonical address", 1ull << 63, PAGE, -EFAULT },
		/* On x86: the first that is not user space's. */
		{ "the last page below 2^47", (1ull << 47) - PAGE, PAGE, -EFAULT },
		{ "from user into kernel space", 0x7fffffff0000ull, 1ull << 20, -EFAULT },
		{ "64 TiB", (uintptr_t)a.spare, 1ull << 46, -EFAULT },
	};
	for (i = 0; i < SUITE_SIZE(rows); i++)
		api_unchanged(spapr_register(a.fd, (void *)rows[i].vaddr, rows[i].size),
			      rows[i].want, "REGISTER %s", rows[i].what);
	api_close(&a);
}

/*
 * Nothing is registered, so nothing stands in the way of ranges as large as user
 * space. Whether the hole or the size is noticed first is not laid down, but it
 * may not take long, nor memory in proportion.
 */
static void register_huge(int fd, const void *p, unsigned int shift)
{
	const uint64_t start = meter_now_ns();
	struct api_state before;
	char what[64];
	int ret;

	snprintf(what, sizeof(what), "REGISTER of 2^%u bytes at %p", shift, p);
	api_state_read(&before);
	ret = spapr_register(fd, p, 1ull << shift);
	tap_expect(ret == -EFAULT || ret == -ENOMEM, "%s: %s", what, tap_ret_name(ret));
	tap_expect(meter_now_ns() - start < proc_limit_ms(5000) * 1000000, "%s took %llu ms", what,
		   (unsigned long long)(meter_now_ns() - start) / 1000000);
	api_state_expect(&before, what);
}

void test_register_huge(void)
{
	unsigned int shift;
	struct rig rig;
	char *p;

	if (!rig_open(&rig, VFIO_EDU0))
		return;
	p = mem_alloc(PAGE, MEM_SMALL);
	for (shift = 30; shift < 64; shift++) {
		register_huge(rig.container, (void *)PAGE, shift);
		/* The first page is there. */
		register_huge(rig.container, p, shift);
	}
	rig_close(&rig);
}

void test_register_overlap(void)
{
	struct api a;
	char *p;

	if (!api_open(&a))
		return;
	p = a.mem;
	api_map_fixed(p - 4 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE);
	api_map_fixed(p + REG_BYTES, 4 * PAGE, PROT_READ | PROT_WRITE);
	api_unchanged(spapr_register(a.fd, p, REG_BYTES), -EBUSY, "exactly the same range");
	api_unchanged(spapr_register(a.fd, p, PAGE), -EINVAL, "its first page");
	api_unchanged(spapr_register(a.fd, p + REG_BYTES - PAGE, PAGE), -EINVAL, "its last page");
	api_unchanged(spapr_register(a.fd, p + PAGE, REG_BYTES - 2 * PAGE), -EINVAL, "its inside");
	api_unchanged(spapr_register(a.fd, p - PAGE, 2 * PAGE), -EINVAL, "over its start");
	api_unchanged(spapr_register(a.fd, p + REG_BYTES - PAGE, 2 * PAGE), -EINVAL, "over its end");
	api_unchanged(spapr_register(a.fd, p - PAGE, REG_BYTES + 2 * PAGE), -EINVAL, "all around it");
	api_unchanged(spapr_register(a.fd, p, REG_BYTES + PAGE), -EINVAL, "the same start, longer");
	tap_step("its neighbours can be registered");
	tap_expect_ret(spapr_register(a.fd, p - 4 * PAGE, 4 * PAGE), 0, "the pages before it");
	tap_expect_ret(spapr_register(a.fd, p + REG_BYTES, 4 * PAGE), 0, "the pages behind it");
	tap_expect_eq(rig_pins(), REG_BYTES / PAGE + 8, "pinned pages");
	tap_expect_eq(meter_vmlck_kib(0), ((REG_BYTES + 8 * PAGE) >> 10) + a.table_pages * (PAGE >> 10),
		      "VmLck");
	api_unchanged(spapr_register(a.fd, p - 4 * PAGE, REG_BYTES + 8 * PAGE), -EINVAL,
		      "all three in one");
	tap_expect_ret(spapr_unregister(a.fd, p - 4 * PAGE, 4 * PAGE), 0, "UNREGISTER");
	tap_expect_ret(spapr_unregister(a.fd, p + REG_BYTES, 4 * PAGE), 0, "UNREGISTER");
	api_close(&a);
}

/* The BAR of the device, device memory in /dev/mem, kernel pages: user mappings, no user memory. */
void test_register_not_memory(void)
{
	unsigned long vdso = getauxval(AT_SYSINFO_EHDR);
	struct api a;
	void *p;
	int fd;

	if (!api_open(&a))
		return;
	api_unchanged(spapr_register(a.fd, (void *)a.rig.edu.bar, PAGE), -EFAULT, "a device's BAR");
	fd = open("/dev/mem", O_RDWR);
	if (fd < 0 && errno == ENOENT) {
		tap_diag("this kernel has no /dev/mem: left out");
	} else if (tap_expect(fd >= 0, "open /dev/mem: %s", tap_ret_name(-errno))) {
		/* The VGA window: no RAM, and STRICT_DEVMEM lets it be mapped. */
		p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0xa0000);
		if (p == MAP_FAILED)
			tap_diag("this kernel maps no device memory (%s): left out",
				 tap_ret_name(-errno));
		else
			api_unchanged(spapr_register(a.fd, p, PAGE), -EFAULT, "/dev/mem");
		close(fd);
	}
	if (tap_expect(vdso, "no vdso")) {
		api_unchanged(spapr_register(a.fd, (void *)vdso, PAGE), -EFAULT, "the vdso");
		api_unchanged(spapr_register(a.fd, (void *)(vdso - PAGE), PAGE), -EFAULT,
			      "the page before the vdso");
	}
	api_close(&a);
}

void test_register_holes(void)
{
	struct api a;
	char *p;

	if (!api_open(&a))
		return;
	p = a.spare;
	api_unchanged(spapr_register(a.fd, p + SPARE_BYTES, PAGE), -EFAULT, "nothing there");
	api_unchanged(spapr_register(a.fd, p, SPARE_BYTES + PAGE), -EFAULT, "the last page is missing");
	api_unchanged(spapr_register(a.fd, p - PAGE, SPARE_BYTES), -EFAULT, "the first page is missing");
	munmap(p + 32 * PAGE, PAGE);
	api_unchanged(spapr_register(a.fd, p, SPARE_BYTES), -EFAULT, "a hole in the middle");
	api_map_fixed(p + 32 * PAGE, PAGE, PROT_READ | PROT_WRITE);
	mprotect(p + 32 * PAGE, PAGE, PROT_READ);
	api_unchanged(spapr_register(a.fd, p, SPARE_BYTES), -EFAULT, "a read-only page in the middle");
	api_unchanged(spapr_register(a.fd, p + 32 * PAGE, PAGE), -EFAULT, "a read-only page");
	mprotect(p + 32 * PAGE, PAGE, PROT_NONE);
	api_unchanged(spapr_register(a.fd, p, SPARE_BYTES), -EFAULT, "a PROT_NONE page in the middle");
	api_unchanged(spapr_register(a.fd, p + 32 * PAGE, PAGE), -EFAULT, "a PROT_NONE page");
	mprotect(p + 32 * PAGE, PAGE, PROT_READ | PROT_WRITE);
	tap_step("several mappings side by side are one range");
	tap_expect_ret(spapr_register(a.fd, p, SPARE_BYTES), 0, "REGISTER over three mappings");
	tap_expect_ret(spapr_unregister(a.fd, p, SPARE_BYTES), 0, "UNREGISTER");
	tap_step("pages that are not there yet are brought in");
	tap_expect(!madvise(p, SPARE_BYTES, MADV_DONTNEED), "madvise");
	tap_expect_ret(spapr_register(a.fd, p, SPARE_BYTES), 0, "REGISTER of untouched memory");
	tap_expect_ret(vfio_map(a.fd, IOVA2, p, SPARE_BYTES, VFIO_MAP_RW), 0, "MAP");
	rig_expect_reach(&a.rig, IOVA2 + 40 * PAGE, p + 40 * PAGE, "untouched memory");
	api_close(&a);
}

static void register_file(struct api *a, int fd, const char *what)
{
	const size_t bytes = 16 * PAGE;
	char *p, *copy, *end, *only_read;

	if (!tap_expect(fd >= 0 && !ftruncate(fd, bytes), "%s: %s", what, tap_ret_name(-errno)))
		return;
	p = mmap(NULL, bytes + PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	only_read = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	copy = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (!tap_expect(p != MAP_FAILED && only_read != MAP_FAILED && copy != MAP_FAILED, "mmap"))
		return;
	end = p + bytes;
	tap_step("%s: shared, read-only, behind its end, private", what);
	api_unchanged(spapr_register(a->fd, only_read, bytes), -EFAULT, "%s, read-only", what);
	api_unchanged(spapr_register(a->fd, end, PAGE), -EFAULT, "%s, behind its end", what);
	api_unchanged(spapr_register(a->fd, p, bytes + PAGE), -EFAULT, "%s, over its end", what);
	if (tap_expect_ret(spapr_register(a->fd, p, bytes), 0, "%s, shared", what)) {
		tap_expect_ret(vfio_map(a->fd, IOVA2, p, bytes, VFIO_MAP_RW), 0, "MAP");
		rig_expect_reach(&a->rig, IOVA2 + PAGE, p + PAGE, what);
		tap_expect(!memcmp(p + PAGE, only_read + PAGE, 64), "%s shows what the device wrote",
			   what);
		tap_expect(!ftruncate(fd, 0), "ftruncate under the mapping");
		tap_expect_ret(vfio_unmap(a->fd, IOVA2, bytes), 0, "UNMAP");
		tap_expect_ret(spapr_unregister(a->fd, p, bytes), 0, "UNREGISTER after ftruncate");
		tap_expect(!ftruncate(fd, bytes), "ftruncate");
	}
	if (tap_expect_ret(spapr_register(a->fd, copy, bytes), 0, "%s, private", what)) {
		tap_expect_ret(vfio_map(a->fd, IOVA2, copy, bytes, VFIO_MAP_RW), 0, "MAP");
		rig_expect_reach(&a->rig, IOVA2 + PAGE, copy + PAGE, "a private mapping");
		tap_expect(p[PAGE] == 0, "%s is as it was", what);
		tap_expect_ret(vfio_unmap(a->fd, IOVA2, bytes), 0, "UNMAP");
		tap_expect_ret(spapr_unregister(a->fd, copy, bytes), 0, "UNREGISTER");
	}
	munmap(p, bytes + PAGE);
	munmap(only_read, bytes);
	munmap(copy, bytes);
	close(fd);
}

/* ramfs stands for every file system that writes pages back: its pages are not tmpfs's. */
static void register_file_system(struct api *a)
{
	const char *dir = "/tmp/api-ramfs";
	const size_t bytes = 8 * PAGE;
	char *range, *copy;
	int fd = -1;

	mkdir(dir, 0700);
	if (tap_expect(!mount("ramfs", dir, "ramfs", 0, NULL), "mount ramfs: %s", tap_ret_name(-errno)))
		fd = open("/tmp/api-ramfs/file", O_RDWR | O_CREAT, 0600);
	if (!tap_expect(fd >= 0 && !ftruncate(fd, bytes), "a file on ramfs"))
		return;
	tap_step("a file system's pages: not for long, not even behind others");
	range = api_hole(2 * bytes);
	api_map_fixed(range, 2 * bytes, PROT_READ | PROT_WRITE);
	tap_expect(mmap(range + bytes, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
		   range + bytes, "mmap");
	copy = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	api_unchanged(spapr_register(a->fd, range + bytes, bytes), rig_file_pages_errno(), "a file's pages");
	api_unchanged(spapr_register(a->fd, range, 2 * bytes), rig_file_pages_errno(),
		      "a file's pages behind anonymous ones");
	tap_expect_ret(spapr_register(a->fd, copy, bytes), 0, "a private mapping of it");
	tap_expect_ret(spapr_unregister(a->fd, copy, bytes), 0, "UNREGISTER");
	munmap(range, 2 * bytes);
	munmap(copy, bytes);
	close(fd);
	umount(dir);
}

void test_register_files(void)
{
	struct api a;

	if (!api_open(&a))
		return;
	register_file_system(&a);
	register_file(&a, memfd_create("api", 0), "a memfd");
	register_file(&a, open("/tmp", O_TMPFILE | O_RDWR, 0600), "a tmpfs file");
	api_close(&a);
}

#define LIMIT_PAGES 16

/* An ordinary user with a limit of LIMIT_PAGES; the parent watches the pins. */
static int memlock_user(int sock, void *arg)
{
	const struct rlimit limit = { LIMIT_PAGES * PAGE, LIMIT_PAGES * PAGE };
	const int *fds = arg;
	int msg;
	char *p;

	if (!tap_expect(!setrlimit(RLIMIT_MEMLOCK, &limit) && !setgid(1000) && !setuid(1000),
			"become an ordinary user"))
		return 1;
	p = mem_alloc(64 * PAGE, MEM_SMALL);
	tap_expect_ret(spapr_register(fds[0], p, 64 * PAGE), -ENOMEM, "above the limit");
	tap_expect_ret(spapr_register(fds[0], p, (LIMIT_PAGES + 1) * PAGE), -ENOMEM,
		       "a page above the limit");
	tap_expect_eq(meter_vmlck_kib(0), 0, "VmLck after refused calls");
	sock_send(sock, MSG_STEP);
	sock_recv(sock, &msg);
	tap_expect_ret(spapr_register(fds[0], p, LIMIT_PAGES * PAGE), 0, "exactly the limit");
	tap_expect_eq(meter_vmlck_kib(0), LIMIT_PAGES * (PAGE >> 10), "VmLck at the limit");
	tap_expect_ret(spapr_register(fds[0], p + 32 * PAGE, PAGE), -ENOMEM, "one page more");
	tap_expect_ret(spapr_register(fds[1], p, LIMIT_PAGES * PAGE), 0,
		       "the same range in a second container");
	tap_expect_eq(meter_vmlck_kib(0), LIMIT_PAGES * (PAGE >> 10), "VmLck is charged once");
	sock_send(sock, MSG_STEP);
	sock_recv(sock, &msg);
	tap_expect_ret(spapr_unregister(fds[0], p, LIMIT_PAGES * PAGE), 0, "UNREGISTER");
	tap_expect_ret(spapr_register(fds[0], p + 32 * PAGE, PAGE), -ENOMEM,
		       "the other container still has the charge");
	tap_expect_ret(spapr_unregister(fds[1], p, LIMIT_PAGES * PAGE), 0, "UNREGISTER");
	tap_expect_eq(meter_vmlck_kib(0), 0, "VmLck at the end");
	tap_expect_ret(spapr_register(fds[0], p + 32 * PAGE, PAGE), 0, "the charge came back");
	sock_send(sock, MSG_STEP);
	sock_recv(sock, &msg);
	return 0;
}

void test_memlock(void)
{
	struct rig a, b;
	struct proc user;
	int fds[2];

	if (!rig_open(&a, VFIO_EDU0) || !rig_open(&b, VFIO_EDU1))
		return;
	fds[0] = a.container;
	fds[1] = b.container;
	if (!tap_expect_ret(proc_start(&user, memlock_user, fds), 0, "start"))
		return;
	tap_step("a user with %d pages of RLIMIT_MEMLOCK asks for more", LIMIT_PAGES);
	tap_expect_ret(sock_expect(user.sock, MSG_STEP), 0, "step");
	tap_expect_eq(rig_pins(), 0, "pinned pages");
	sock_send(user.sock, MSG_GO);
	tap_step("exactly the limit, in two containers");
	tap_expect_ret(sock_expect(user.sock, MSG_STEP), 0, "step");
	tap_expect_eq(rig_pins(), LIMIT_PAGES, "pinned pages");
	sock_send(user.sock, MSG_GO);
	tap_step("back to nothing, and a page again");
	tap_expect_ret(sock_expect(user.sock, MSG_STEP), 0, "step");
	tap_expect_eq(rig_pins(), 1, "pinned pages");
	proc_kill(&user);
	tap_expect_eq(rig_pins(), 0, "pinned pages");
	rig_close(&a);
	rig_close(&b);
}

void test_unregister(void)
{
	struct api a;
	size_t i;

	if (!api_open(&a))
		return;
	const struct {
		const char *what;
		uint64_t vaddr, size;
		int want;
	} rows[] = {
		{ "what is not registered", (uintptr_t)a.spare, PAGE, -ENOENT },
		{ "a part of a region", (uintptr_t)a.mem, PAGE, -ENOENT },
		{ "more than a region", (uintptr_t)a.mem, REG_BYTES + PAGE, -ENOENT },
		{ "a range shifted by a page", (uintptr_t)a.mem + PAGE, REG_BYTES, -ENOENT },
		{ "a region that is mapped", (uintptr_t)a.mem, REG_BYTES, -EBUSY },
		{ "an unaligned address", (uintptr_t)a.mem + 1, REG_BYTES, -EINVAL },
		{ "an unaligned size", (uintptr_t)a.mem, REG_BYTES + 1, -EINVAL },
		{ "size 0", (uintptr_t)a.mem, 0, -ENOENT },
		{ "a range that wraps", -PAGE, 2 * PAGE, -ENOENT },
		{ "kernel memory", 0xffff888000000000ull, PAGE, -ENOENT },
	};
	for (i = 0; i < SUITE_SIZE(rows); i++)
		api_unchanged(spapr_unregister(a.fd, (void *)rows[i].vaddr, rows[i].size),
			      rows[i].want, "UNREGISTER of %s", rows[i].what);
	tap_step("EBUSY until the last mapping is gone, also when one page of it is left");
	tap_expect_ret(vfio_unmap(a.fd, IOVA, MAPPED_BYTES - PAGE), 0, "UNMAP of all but a page");
	api_unchanged(spapr_unregister(a.fd, a.mem, REG_BYTES), -EBUSY, "one page is mapped");
	tap_expect_ret(vfio_unmap(a.fd, IOVA, MAPPED_BYTES), 0, "UNMAP of the page");
	tap_expect_ret(spapr_unregister(a.fd, a.mem, REG_BYTES), 0, "UNREGISTER");
	tap_expect_eq(rig_pins(), 0, "pinned pages");
	tap_expect_eq(meter_vmlck_kib(0), a.table_pages * (PAGE >> 10), "VmLck");
	api_unchanged(spapr_unregister(a.fd, a.mem, REG_BYTES), -ENOENT, "UNREGISTER again");
	tap_step("with nothing registered any more");
	api_unchanged(vfio_map(a.fd, IOVA, a.mem, PAGE, VFIO_MAP_RW), -EINVAL, "MAP");
	api_unchanged(vfio_unmap(a.fd, IOVA, PAGE), 0, "UNMAP");
	tap_expect_ret(vfio_hold(a.fd, TYPE7, a.mem, REG_BYTES, IOVA), 0, "REGISTER and MAP again");
	api_close(&a);
}

/* The kernel's flags of the page at @p, 0 when it cannot tell. */
static uint64_t page_flags(const void *p)
{
	int map = open("/proc/self/pagemap", O_RDONLY);
	int kpf = open("/proc/kpageflags", O_RDONLY);
	uint64_t entry = 0, flags = 0;

	if (pread(map, &entry, 8, (uintptr_t)p / PAGE * 8) == 8 &&
	    pread(kpf, &flags, 8, (entry & ((1ull << 55) - 1)) * 8) != 8)
		flags = 0;
	close(map);
	close(kpf);
	return flags;
}

/* Is the last of 8 pages dirty once it was registered, mapped with @flags and given back? */
static bool dirty_after(struct api *a, unsigned int flags)
{
	char *p = mem_alloc(8 * PAGE, MEM_SMALL);
	bool dirty;

	tap_expect(!(page_flags(p + 7 * PAGE) & KPAGEFLAGS_DIRTY), "a fresh page is not dirty");
	tap_expect_ret(spapr_register(a->fd, p, 8 * PAGE), 0, "REGISTER");
	if (flags) {
		tap_expect_ret(vfio_map(a->fd, IOVA2, p, 8 * PAGE, flags), 0, "MAP");
		tap_expect_ret(vfio_unmap(a->fd, IOVA2, 8 * PAGE), 0, "UNMAP");
	}
	tap_expect_ret(spapr_unregister(a->fd, p, 8 * PAGE), 0, "UNREGISTER");
	dirty = page_flags(p + 7 * PAGE) & KPAGEFLAGS_DIRTY;
	mem_free(p, 8 * PAGE);
	return dirty;
}

/*
 * A device's write sets no dirty bit in a page table, so a page that it may have
 * written must be marked when it is put, or write-back and swap lose the data.
 * Anonymous pages show it best: nothing else sets the flag of one that is in memory.
 */
void test_dirty(void)
{
	struct api a;

	if (!api_open(&a))
		return;
	if (access("/proc/kpageflags", R_OK)) {
		tap_skip("this kernel has no /proc/kpageflags");
		return;
	}
	tap_expect(dirty_after(&a, VFIO_MAP_RW), "not dirty after a mapping for both");
	tap_expect(dirty_after(&a, VFIO_DMA_MAP_FLAG_WRITE), "not dirty after one for writing");
	tap_expect(!dirty_after(&a, VFIO_DMA_MAP_FLAG_READ), "dirty after one for reading");
	tap_expect(!dirty_after(&a, 0), "dirty though it was never mapped");
	api_close(&a);
}
