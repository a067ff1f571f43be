// SPDX-License-Identifier: GPL-2.0
/* How it ends: close, exit, what outlives an owner, and what is known of pages that a device wrote. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conformance.h"
#include "meter.h"

#define KPAGEFLAGS_DIRTY (1ull << 4)
#define OWNER_MB 64

static void run_close(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	box_close(&box);
	say("%lld pages pinned", pins(0));
	say("%lld KiB charged", charge_kib());
}

/* Only the group leaves; the container's fd stays open. */
static void run_detach(const struct scenario *s)
{
	struct box box;

	(void)s;
	if (!box_open(&box))
		return;
	box_detach(&box);
	say("%lld pages pinned", pins(0));
	say("%lld KiB charged", charge_kib());
	box_close(&box);
}

/* With s->call.flags the child's fds are held by its parent. */
static void run_exit(const struct scenario *s)
{
	struct box box;
	pid_t pid;

	if (s->call.flags && !box_open_bare(&box))
		return;
	pid = fork();
	if (!pid) {
		if (!s->call.flags && !box_open_bare(&box))
			_exit(1);
		tap_expect_ret(vfio_hold(box.fd, TYPE7, box.mem, REGION_PAGES * page(), IOVA), 0, "REGISTER and MAP");
		_exit(0);
	}
	tap_expect_eq(pid_wait(pid, 20000), 0, "the owner's exit status");
	say("%lld pages pinned", pins(0));
	if (!s->call.flags)
		return;
	box_close(&box);
	say("after close %lld", pins(0));
}

/* The kernel's flags of the page at @p. */
static uint64_t page_flags(const void *p)
{
	int map = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	int kpf = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0, flags = 0;

	tap_expect(pread(map, &entry, 8, (uintptr_t)p / page() * 8) == 8 &&
		   pread(kpf, &flags, 8, (entry & ((1ull << 55) - 1)) * 8) == 8, "flags of a page");
	close(map);
	close(kpf);
	return flags;
}

/*
 * A device's write sets no dirty bit in a page table. Anonymous pages show best what is known
 * of it: nothing else sets the flag of one that is in memory.
 */
static void run_dirty(const struct scenario *s)
{
	const size_t bytes = 4 * page();
	struct box box;
	char *p, *last;
	int tries = 0;

	if (!box_open_bare(&box))
		return;
	/*
	 * Pages that may not be pinned where they are (CMA) are moved first, which makes them dirty: take
	 * others. The kernel may give out all such pages, 104 MiB on POWER, before it gives out others.
	 */
	do {
		p = mem_alloc(bytes, MEM_SMALL);
		if (!tap_expect(p && tries++ < 256 && mem_alloc(MIB, MEM_SMALL),
				"pages that are not dirty when they are registered"))
			return;
		last = p + bytes - page();
		tap_expect_ret(spapr_register(box.fd, p, bytes), 0, "REGISTER");
	} while (page_flags(last) & KPAGEFLAGS_DIRTY && !spapr_unregister(box.fd, p, bytes));
	if (s->call.flags) {
		tap_expect_ret(vfio_map(box.fd, IOVA, p, bytes, s->call.flags), 0, "MAP");
		if (s->call.flags & MAP_WO)
			tap_expect(device_writes(&box, IOVA + bytes - page(), last), "the device writes");
		tap_expect_ret(vfio_unmap(box.fd, IOVA, bytes), 0, "UNMAP");
	}
	tap_expect_ret(spapr_unregister(box.fd, p, bytes), 0, "UNREGISTER");
	tap_expect_eq(pins(0), 0, "pins");
	say("%s", page_flags(last) & KPAGEFLAGS_DIRTY ? "dirty" : "not dirty");
	box_close(&box);
}

void run_held(const struct scenario *s)
{
	const char *name = s->name + strlen("held-");
	long long held_kib = -1, pinned = -1;
	char command[160], line[512], key[64];
	FILE *output;
	int status;

	snprintf(command, sizeof(command), "lifetime --iommu=%s --type %d --mb %d --only %s 2>&1",
		 !driver_is_upstream() ? "prereg" : container_type() == TYPE7 ? "spapr_v2" : "type1",
		 container_type(), OWNER_MB, s->name);
	snprintf(key, sizeof(key), " mb=%d case=%s ", OWNER_MB, name);
	output = popen(command, "r");
	if (!tap_expect(output, "%s: %s", command, strerror(errno)))
		return;
	while (fgets(line, sizeof(line), output)) {
		const char *at = strstr(line, key);

		if (!strncmp(line, "# FAILED", 8))
			tap_diag("lifetime: %s", line + 2);
		if (at)
			sscanf(at + strlen(key), "held_kib=%lld pins=%lld", &held_kib, &pinned);
	}
	status = pclose(output);
	/* The suite judges ours and only measures upstream. */
	tap_expect(!status, "\"%s\" ended with status %d", command, WEXITSTATUS(status));
	if (tap_expect(held_kib != -1, "\"%s\" told nothing", command))
		say("%lld MB held, %lld MB pinned", held_kib <= 1024 ? 0 : (held_kib + 2048) / 4096 * 4,
		    pinned * (long long)page() / (long long)MIB);
}

#define HELD "72 MB held, 64 MB pinned"
#define NOTHING "0 MB held, 0 MB pinned"
#define OWNERS_PAGES .run = run_held, .timeout_s = 120
#define KEPT .upstream = HELD, .ours = NOTHING, .verdict = FIXED, .why = "pages belong to the address space, not to the fd"

static const struct scenario ends[] = {
	{ .name = "close", .what = "close of all fds with 16 pages registered and mapped: pins, charge", .run = run_close,
	  .upstream = "0 pages pinned, 0 KiB charged" },
	{ .name = "detach", .what = "the last group leaves the container: pins, charge", .run = run_detach,
	  .upstream = "0, 0 pages pinned, 0 KiB charged" },
	{ .name = "exit", .what = "exit without close", .run = run_exit, .upstream = "0 pages pinned" },
	{ .name = "exit-fds-held", .what = "exit without close, the parent has the fds: pins; after its close", .run = run_exit,
	  .call.flags = 1, .upstream = "16 pages pinned, after close 0", .ours = "0 pages pinned, after close 0", .verdict = FIXED,
	  .why = "pages belong to the address space, not to the fd" },
	{ .name = "dirty-write", .what = "the dirty flag of a page that the device wrote, after UNREGISTER", .run = run_dirty,
	  .call.flags = MAP_WO, .upstream = "dirty" },
	{ .name = "dirty-read-write", .what = "the dirty flag of one that was mapped for both, and written", .run = run_dirty, .call.flags = MAP_RW, .upstream = "dirty" },
	{ .name = "dirty-read", .what = "the dirty flag of one that was mapped for reading", .run = run_dirty, .call.flags = MAP_RO, .upstream = "not dirty" },
	{ .name = "dirty-unmapped", .what = "the dirty flag of one that was never mapped", .run = run_dirty, .upstream = "not dirty" },
	{ .name = "held-nobody", .what = "killed, nobody outlives it: of 64 MB", OWNERS_PAGES, .upstream = NOTHING },
	{ .name = "held-child", .what = "killed, a child inherited the fds: of 64 MB", OWNERS_PAGES, KEPT },
	{ .name = "held-scm-rights", .what = "killed, a process got the fds (SCM_RIGHTS): of 64 MB", OWNERS_PAGES, KEPT },
	{ .name = "held-execve", .what = "execve(), the new program has the fds: of 64 MB", OWNERS_PAGES, KEPT },
	{ .name = "held-proc-mem", .what = "killed, somebody has /proc/PID/mem open: of 64 MB", OWNERS_PAGES, .upstream = NOTHING },
	{ .name = "held-thread", .what = "main ends, a thread outlives it and ends: of 64 MB", OWNERS_PAGES, .upstream = NOTHING },
	{ .name = "held-normal-exit", .what = "a normal exit: of 64 MB", OWNERS_PAGES, .upstream = NOTHING },
};

const struct scenario_group group_end = { "The end", ends, COUNT(ends) };
