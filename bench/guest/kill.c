// SPDX-License-Identifier: GPL-2.0
/*
 * From SIGKILL until the pages are unpinned, and until the process is gone; and
 * the same tear-down alone.
 *
 * The owner runs on one CPU, the watcher on another. An owner that holds its
 * memory for nothing shows how much of it is the exit of any process of that size.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "meter.h"
#include "pinwatch.h"
#include "proc.h"

#define WATCHER_CPU	0
#define OWNER_CPU	1
#define KILL_TIMEOUT_NS	20000000000ull

struct owner {
	enum kill_kind kind;
	enum backing backing;
	size_t bytes;
	size_t pieces;
	bool regions;
};

static enum side_kind kill_side(enum kill_kind kind)
{
	return kind == KILL_PREREG ? SIDE_PREREG : side_kernel();
}

static const char *kill_name(enum kill_kind kind)
{
	return kind == KILL_NOT_HELD ? "not_held" : side_name[kill_side(kind)];
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		bench_die("run on CPU %d: %s", cpu, strerror(errno));
}

/* Opens the device and holds @p in the way of @owner. */
static void hold(const struct owner *owner, struct vfio_dev *dev, char *p)
{
	const size_t piece = owner->bytes / owner->pieces;
	const enum side_kind kind = kill_side(owner->kind);
	size_t at;

	bench_need(vfio_dev_open(dev, BENCH_DEVICE, side_type(kind)), "open the device");
	if (side_registers(kind) && !owner->regions)
		bench_need(spapr_register(dev->container, p, owner->bytes), "REGISTER");
	for (at = 0; at < owner->bytes; at += piece) {
		if (side_registers(kind) && owner->regions)
			bench_need(spapr_register(dev->container, p + at, piece), "REGISTER");
		bench_need(vfio_map(dev->container, BENCH_IOVA + at, p + at, piece, VFIO_MAP_RW),
			   "MAP");
	}
}

static int run_owner(int sock, void *arg)
{
	const struct owner *owner = arg;
	struct vfio_dev dev;
	char *p;
	int msg;

	run_on(OWNER_CPU);
	p = memory_get(owner->bytes, owner->backing);
	if (owner->kind != KILL_NOT_HELD)
		hold(owner, &dev, p);
	sock_send(sock, 1);
	sock_recv(sock, &msg);
	return 1;
}

/* One owner's end. Nanoseconds until unpinned, 0 if nothing was, and until gone. */
static void kill_one(const struct owner *owner, struct pinwatch *watch, uint64_t *put,
		     uint64_t *gone)
{
	const long long before = meter_pins();
	struct proc proc;
	uint64_t start, now;
	long long pins;

	bench_need(proc_start(&proc, run_owner, (void *)owner), "start an owner");
	bench_need(sock_expect(proc.sock, 1), "wait for the owner (its own words are above)");
	pins = meter_pins() - before;
	if (pins != (owner->kind == KILL_NOT_HELD ? 0 : (long long)(owner->bytes / PAGE_BYTES)))
		bench_die("%lld pages are pinned by the owner", pins);
	*put = *gone = 0;
	start = meter_now_ns();
	kill(proc.pid, SIGKILL);
	while (!*gone || (pins && !*put)) {
		if (pins && !*put) {
			pins = pinwatch_pins(watch);
			if (pins < 0)
				bench_die("read /proc/vmstat: %s", strerror(-pins));
			now = meter_now_ns();
			if (pins <= before + PINWATCH_SLACK_PAGES)
				*put = now - start;
			pins = 1;
		}
		if (!*gone && waitpid(proc.pid, NULL, WNOHANG) == proc.pid)
			*gone = meter_now_ns() - start;
		if (meter_now_ns() - start > KILL_TIMEOUT_NS)
			bench_die("the killed owner's pages are still pinned after 20 s");
	}
	close(proc.sock);
	/* The SPAPR driver's regions are put one by one, at a time of RCU's choosing. */
	while (side_kernel() == SIDE_SPAPR && meter_pins() != before &&
	       meter_now_ns() - start < KILL_TIMEOUT_NS)
		meter_sleep_ms(10);
	if (meter_pins() != before)
		bench_die("%lld pages stayed pinned after the kill", meter_pins() - before);
}

void bench_kill(enum backing backing, size_t bytes, size_t pieces, bool regions,
		unsigned int rounds)
{
	struct owner owner = {
		.backing = backing, .bytes = bytes, .pieces = pieces, .regions = regions,
	};
	struct pinwatch watch;
	uint64_t put, gone;
	unsigned int round;
	int kind;

	bench_need(pinwatch_open(&watch), "open /proc/vmstat");
	run_on(WATCHER_CPU);
	for (round = 0; round < rounds; round++) {
		for (kind = 0; kind < KILL_KINDS; kind++) {
			owner.kind = kind;
			side_load(kill_side(kind));
			kill_one(&owner, &watch, &put, &gone);
			bench_out("kill", "\"side\":\"%s\",\"backing\":\"%s\",\"bytes\":%zu,\"pieces\":%zu,\"regions\":%s,\"put_ns\":%llu,\"gone_ns\":%llu",
				  kill_name(kind), backing_name[backing], bytes, pieces,
				  regions ? "true" : "false", (unsigned long long)put,
				  (unsigned long long)gone);
		}
	}
	pinwatch_close(&watch);
}

/* The last group leaves the container: all that it holds is undone before that returns. */
static uint64_t tear_down(const struct owner *owner, char *p)
{
	struct vfio_dev dev;
	uint64_t start, ns;

	hold(owner, &dev, p);
	close(dev.device);
	dev.device = -1;
	start = meter_now_ns();
	bench_need(vfio_group_detach(dev.group), "detach the group");
	ns = meter_now_ns() - start;
	vfio_dev_close(&dev);
	return ns;
}

void bench_tear_down(enum backing backing, size_t bytes, size_t pieces, bool regions,
		     unsigned int rounds)
{
	struct owner owner = {
		.backing = backing, .bytes = bytes, .pieces = pieces, .regions = regions,
	};
	char *p = memory_get(bytes, backing);
	unsigned int round;
	int kind;

	for (round = 0; round < rounds; round++) {
		for (kind = KILL_KERNEL; kind < KILL_KINDS; kind++) {
			owner.kind = kind;
			side_load(kill_side(kind));
			bench_out("tear_down", "\"side\":\"%s\",\"backing\":\"%s\",\"bytes\":%zu,\"pieces\":%zu,\"regions\":%s,\"ns\":%llu",
				  kill_name(kind), backing_name[backing], bytes, pieces,
				  regions ? "true" : "false",
				  (unsigned long long)tear_down(&owner, p));
		}
	}
	memory_put(p, bytes);
}
