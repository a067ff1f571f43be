// SPDX-License-Identifier: GPL-2.0
/* A container with memory around it, what the device does to it, and one call at a time. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conformance.h"
#include "meter.h"

#define PROBE_BYTES 64u

size_t page(void)
{
	static size_t bytes;

	if (!bytes)
		bytes = sysconf(_SC_PAGESIZE);
	return bytes;
}

uint32_t fresh_seed(void)
{
	static uint32_t seed;

	/* The device remembers what earlier scenarios' processes had it read: start elsewhere. */
	if (!seed)
		seed = meter_now_ns() | 1;
	return ++seed;
}

char *address_space(size_t bytes)
{
	const size_t total = bytes + 8 * MIB;
	uintptr_t p = (uintptr_t)mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (!tap_expect((void *)p != MAP_FAILED, "address space"))
		_exit(1);
	/* It stays empty: the kernel hands out addresses below the last ones first. */
	munmap((void *)p, total);
	return (char *)((p + 4 * MIB) & ~(2 * MIB - 1));
}

bool place_pages(char *at, size_t pages)
{
	void *p = mmap(at, pages * page(), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (!tap_expect(p == at, "mmap at a fixed address: %s", strerror(errno)))
		return false;
	madvise(at, pages * page(), MADV_NOHUGEPAGE);
	memset(at, 1, pages * page());
	return true;
}

bool box_open_bare(struct box *box)
{
	char *arena = address_space(64 * MIB);

	if (!rig_open_type(&box->rig, VFIO_EDU0, container_type()))
		return false;
	box->fd = box->rig.container;
	box->mem = arena + 16 * MIB;
	box->spare = arena + 32 * MIB;
	box->hole = arena + 48 * MIB;
	return place_pages(box->mem, REGION_PAGES) && place_pages(box->spare, SPARE_PAGES);
}

bool box_open(struct box *box)
{
	return box_open_bare(box) &&
	       (container_type() != TYPE7 ||
		tap_expect_ret(spapr_register(box->fd, box->mem, REGION_PAGES * page()), 0, "REGISTER")) &&
	       tap_expect_ret(vfio_map(box->fd, IOVA, box->mem, MAPPED_PAGES * page(), MAP_RW), 0, "MAP") &&
	       tap_expect_ret(vfio_map(box->fd, CONTROL_IOVA, box->mem + (REGION_PAGES - 1) * page(), page(), MAP_RW), 0,
			      "MAP of the control page");
}

void box_close(struct box *box)
{
	rig_close(&box->rig);
}

long long pins(long long hope)
{
	const uint64_t deadline = meter_now_ns() + proc_limit_ms(2000) * 1000000;
	long long now;

	while ((now = rig_pins()) != hope && meter_now_ns() < deadline)
		meter_sleep_ms(10);
	return now;
}

long long charge_kib(void)
{
	return meter_vmlck_kib(0);
}

long long charge(void)
{
	return charge_kib() * 1024 / (long long)page();
}

bool device_writes(struct box *box, uint64_t iova, char *va)
{
	const uint32_t seed = fresh_seed();

	mem_fill(va, PROBE_BYTES, seed);
	tap_expect_ret(edu_dma_write(&box->rig.edu, iova, 0, PROBE_BYTES), 0, "DMA");
	return !mem_matches(va, PROBE_BYTES, seed);
}

const char *device_sees(struct box *box, uint64_t iova, char *va)
{
	char *control = box->mem + (REGION_PAGES - 1) * page();
	struct edu *edu = &box->rig.edu;
	const uint32_t first = fresh_seed(), second = fresh_seed();
	bool reads, writes;

	/* What the device holds is known first, so that a read that fails shows. */
	mem_fill(control, PROBE_BYTES, fresh_seed());
	tap_expect_ret(edu_dma_read(edu, CONTROL_IOVA, 0, PROBE_BYTES), 0, "DMA");
	mem_fill(va, PROBE_BYTES, first);
	tap_expect_ret(edu_dma_read(edu, iova, 0, PROBE_BYTES), 0, "DMA");
	tap_expect_ret(edu_dma_write(edu, CONTROL_IOVA, 0, PROBE_BYTES), 0, "DMA");
	reads = mem_matches(control, PROBE_BYTES, first);
	mem_fill(control, PROBE_BYTES, second);
	tap_expect_ret(edu_dma_read(edu, CONTROL_IOVA, 0, PROBE_BYTES), 0, "DMA");
	tap_expect_ret(edu_dma_write(edu, iova, 0, PROBE_BYTES), 0, "DMA");
	writes = mem_matches(va, PROBE_BYTES, second);
	if (reads)
		return writes ? "read and write" : "read";
	return writes ? "write" : "nothing";
}

void say_reach(struct box *box, uint64_t iova, char *va)
{
	say("%s", edu_reaches(&box->rig.edu, iova, va, PROBE_BYTES, fresh_seed()) ? "reached" : "not reached");
}

int box_call(struct box *box, const struct call *c)
{
	char *const places[] = { [AT_MEM] = box->mem, [AT_SPARE] = box->spare, [AT_HOLE] = box->hole, [AT_ZERO] = NULL };
	const uint64_t bytes = c->pages * page() + c->bytes;
	const void *vaddr = (void *)((uintptr_t)places[c->place] + c->page * page() + c->byte);

	switch (c->nr) {
	case CALL_REGISTER:
		return spapr_register(box->fd, vaddr, bytes);
	case CALL_UNREGISTER:
		return spapr_unregister(box->fd, vaddr, bytes);
	case CALL_MAP:
		return vfio_map(box->fd, c->iova, vaddr, bytes, c->flags);
	case CALL_UNMAP:
		return vfio_unmap(box->fd, c->iova, bytes);
	case CALL_REMOVE:
		return spapr_remove(box->fd, c->iova);
	default:
		tap_expect(false, "a scenario with a call that is not known here");
		return -ENOTTY;
	}
}

void run_call(const struct scenario *s)
{
	long long charged, pinned;
	struct box box;
	int ret;

	if (!box_open(&box))
		return;
	charged = charge();
	ret = box_call(&box, &s->call);
	say_ret(ret);
	pinned = pins(REGION_PAGES + (!ret && s->call.nr == CALL_REGISTER ? s->call.pages : 0)) - REGION_PAGES;
	charged = charge() - charged;
	if (pinned)
		say("%+lld pages pinned", pinned);
	if (charged != pinned)
		say("%+lld pages charged", charged);
	box_close(&box);
}

void box_detach(struct box *box)
{
	edu_close(&box->rig.edu);
	close(box->rig.dev.device);
	box->rig.dev.device = -1;
	say_ret(vfio_group_detach(box->rig.dev.group));
}

char *box_open_kind(struct box *box, enum mem_kind kind, size_t bytes)
{
	char *p;

	if (kind == MEM_HUGETLB && (meter_meminfo_kib("Hugepagesize") != 2048 || !mem_hugetlb_reserve(2))) {
		say_skip("no huge pages are to be had");
		return NULL;
	}
	p = mem_alloc(bytes, kind);
	return tap_expect(p, "memory: %s", strerror(errno)) && box_open_bare(box) ? p : NULL;
}

void run_fork(const struct scenario *s)
{
	struct box box;
	pid_t pid;

	(void)s;
	if (!box_open(&box))
		return;
	pid = fork();
	if (!pid)
		for (;;)
			pause();
	say_reach(&box, IOVA, box.mem);
	kill(pid, SIGKILL);
	pid_wait(pid, 20000);
	say_reach(&box, IOVA + page(), box.mem + page());
	box_close(&box);
}
