// SPDX-License-Identifier: GPL-2.0
/*
 * A libprereg for tests of the command: no module, no netlink. What the module "holds" is chosen by
 * FAKE_PREREG in the environment, words with commas between:
 *
 *	owners		three owners and three containers, one of them orphaned
 *	many		200 owners
 *	sizes		owners of all kinds of sizes and ages
 *	busy		one container more, which is busy
 *	user		the caller has no privileges: no counters, no events
 *	pids		the caller is in a pid namespace
 *	unloaded	the module is not loaded
 *	gone		it is unloaded while it is asked
 *	denied		the family may not be asked
 *	ended		an owner ends before its regions are asked for
 *	lost		events were lost
 *	quiet		there are no events
 *	stop		after all events, the module goes
 *	strange		a process's name is no text
 *	c1		it has a control character of two bytes
 *	nameless	it is empty
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <prereg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MIB (1ull << 20)

struct prereg_view {
	int		fd;
	char		error[128];
	size_t		told;
	bool		listening;
	bool		regions;
	bool		owners_asked;
};

static bool is(const char *word)
{
	const char *words = getenv("FAKE_PREREG") ?: "", *at;
	const size_t n = strlen(word);

	for (at = words; (at = strstr(at, word)); at += n)
		if ((at == words || at[-1] == ',') && (!at[n] || at[n] == ','))
			return true;
	return false;
}

static const char *name_of(const char *name)
{
	return is("strange") ? "a\033[2J\xff\"b" : is("c1") ? "a\xc2\x9b""2Jb" : is("nameless") ? "" : name;
}

static int fail(struct prereg_view *view, int error, const char *text)
{
	snprintf(view->error, sizeof(view->error), "%s", text);
	errno = error;
	return -1;
}

struct prereg_view *prereg_view_open(void)
{
	struct prereg_view *view = calloc(1, sizeof(*view));

	view->fd = -1;
	if (is("unloaded")) {
		fail(view, ENOENT, "the module vfio_prereg is not loaded: run \"modprobe vfio_prereg\"");
	} else if (is("denied")) {
		fail(view, EPERM, "not permitted: run this as root");
	} else {
		/* For poll(): never readable, or always. */
		view->fd = is("quiet") ? eventfd(0, EFD_CLOEXEC) : open("/dev/zero", O_RDONLY | O_CLOEXEC);
	}
	return view;
}

void prereg_view_close(struct prereg_view *view)
{
	if (view && view->fd >= 0)
		close(view->fd);
	free(view);
}

const char *prereg_view_error(const struct prereg_view *view)
{
	return view->error;
}

int prereg_view_fd(const struct prereg_view *view)
{
	return view->fd;
}

static const struct prereg_owner owners[] = {
	{ .id = 1, .pid = 4711, .uid = 0, .comm = "qemu-system-x86", .age_ms = 7500000, .regions = 2,
	  .registered = 4096 * MIB + 2 * MIB, .charged = 4098 * MIB, .containers = 2 },
	{ .id = 2, .pid = 90, .uid = 65534, .comm = "dpdk", .age_ms = 59999, .regions = 1, .registered = 512 * MIB,
	  .charged = 512 * MIB, .kept = MIB + MIB / 2, .stale_mappings = 3, .containers = 1 },
	{ .id = 9, .pid = 0, .uid = 65534, .comm = "vforked", .age_ms = 864000000ull * 2, .regions = 1, .registered = 4096,
	  .charged = 4096 },
};

static const uint64_t sizes[] = {
	0, 1, 1023, 1024, 1075, 1076, 1536, 10239, 10240, 1048524, 1048525, 1048576, 1ull << 40, 1ull << 60, UINT64_MAX,
};
static const uint64_t ages[] = {
	0, 999, 1000, 59999, 60000, 3599999, 3600000, 86399999, 86400000, 90000000, 1ull << 40, 1, 1, 1, UINT64_MAX,
};

int prereg_view_owners(struct prereg_view *view, prereg_owner_fn fn, void *data)
{
	struct prereg_owner owner;
	char name[16];
	size_t i;

	if (is("gone"))
		return fail(view, ENODEV, "the module vfio_prereg was unloaded");
	for (i = 0; is("owners") && i < sizeof(owners) / sizeof(owners[0]); i++) {
		owner = owners[i];
		owner.comm = name_of(owner.comm);
		if (fn(&owner, data)) {
			errno = ECANCELED;
			return -1;
		}
	}
	for (i = 0; is("many") && i < 200; i++) {
		snprintf(name, sizeof(name), "worker-%zu", i);
		owner = owners[0];
		owner.id = 100 + i;
		owner.pid = 1000 + (unsigned int)i;
		owner.comm = name;
		owner.registered = (i * 37 % 200) * MIB;
		fn(&owner, data);
	}
	for (i = 0; is("sizes") && i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		owner = (struct prereg_owner){ .id = i + 1, .pid = 1, .comm = "x", .registered = sizes[i], .age_ms = ages[i] };
		fn(&owner, data);
	}
	view->owners_asked = true;
	return 0;
}

int prereg_view_regions(struct prereg_view *view, uint64_t owner_id, prereg_region_fn fn, void *data)
{
	static const struct prereg_region regions[] = {
		{ .vaddr = 0x7f0000000000, .bytes = 4096 * MIB, .runs = 3, .largest_run = 2048 * MIB,
		  .page_sizes = 0x1000 | 0x200000 | 0x40000000, .users = 4, .flags = PREREG_REGION_WRITABLE },
		{ .vaddr = 0x7f2000000000, .bytes = 2 * MIB, .runs = 512, .largest_run = 4096, .page_sizes = 0x1000, .users = 1,
		  .flags = PREREG_REGION_IMPLICIT | PREREG_REGION_STALE },
	};
	size_t i;

	if (is("ended"))
		return fail(view, ENOENT, "there is no such owner");
	for (i = 0; i < (owner_id == 1 ? 2 : 1); i++)
		fn(&regions[i], data);
	return 0;
}

int prereg_view_containers(struct prereg_view *view, prereg_container_fn fn, void *data)
{
	static const uint32_t groups[] = { 3, 12, 13, 14 };
	static const struct prereg_window windows[] = {
		{ .start = 0, .bytes = 2048 * MIB, .page_size = 4096, .levels = 1 },
		{ .start = 0x800000000000000, .bytes = 1ull << 40, .page_size = 65536, .levels = 3 },
	};
	/* Of an owner that the dump of owners did not have, too. */
	static const struct prereg_share shares[] = {
		{ .owner_id = 1, .mappings = 10, .mapped = 4096 * MIB }, { .owner_id = 2, .mappings = 1, .mapped = 512 * MIB },
		{ .owner_id = 77, .mappings = 5, .mapped = 5 * 4096 }, { .owner_id = 1, .mappings = 1, .mapped = 4096 },
	};
	const struct prereg_container containers[] = {
		{ .id = 5, .type = 7, .pid = 4711, .uid = 0, .age_ms = 7501000, .mappings = 10, .mapped = 4096 * MIB,
		  .groups = groups, .ngroups = 2, .shares = shares, .nshares = 1, .windows = windows, .nwindows = 2 },
		{ .id = 1ull << 62, .type = 1, .pid = 0, .uid = 65534, .age_ms = 60000, .mappings = 7, .mapped = 513 * MIB, .groups = groups + 2,
		  .ngroups = 1, .emulated_devices = 1, .shares = shares + 1, .nshares = 3 },
		{ .id = 8, .type = 7, .pid = 666, .uid = 0, .age_ms = 100000, .groups = groups + 3, .ngroups = 1, .windows = windows,
		  .nwindows = 1, .orphan = true, .orphan_pid = 666, .orphan_comm = "was-here", .orphan_ms = 61000 },
		{ .id = 33, .busy = true, .mappings = 3, .mapped = 3 * MIB },
	};
	size_t i;

	(void)view;
	for (i = 0; is("owners") && i < 3; i++)
		fn(&containers[i], data);
	if (is("busy"))
		fn(&containers[3], data);
	return 0;
}

const struct prereg_counters *prereg_view_counters(struct prereg_view *view)
{
	static const struct prereg_refused refused[] = { { ENOMEM, 4 }, { EINVAL, 2 } };
	static const struct prereg_counters counters = {
		.containers = 3, .owners = 3, .regions = 4, .pinned = 4610 * MIB + 4096, .charged = 4610 * MIB, .kept = MIB,
		.mappings = 17, .mapped = 4609 * MIB, .bookkeeping = 12345, .stale_mappings = 3, .releases = 2, .released = 1024 * MIB,
		.revoked_mappings = 99, .refused_memlock = 1, .events_lost = 10, .refused = refused, .nrefused = 2,
	};

	if (is("user")) {
		fail(view, EPERM, "not permitted");
		return NULL;
	}
	return &counters;
}

int prereg_view_scope(struct prereg_view *view)
{
	(void)view;
	return is("user") ? PREREG_SCOPE_USER : is("pids") ? PREREG_SCOPE_PID_NAMESPACE : PREREG_SCOPE_HOST;
}

int prereg_view_listen(struct prereg_view *view, unsigned int which)
{
	if (is("user"))
		return fail(view, EPERM, "events need CAP_SYS_ADMIN: run this as root");
	view->listening = true;
	view->regions = which & PREREG_EVENTS_REGIONS;
	return 0;
}

const struct prereg_event *prereg_view_next_event(struct prereg_view *view)
{
	static struct prereg_event events[] = {
		{ .type = PREREG_EVENT_REGISTERED, .time_ns = 1000000000, .container_id = 5 },
		{ .type = PREREG_EVENT_PUT, .time_ns = 2000000000, .vaddr = 0x7f0000000000, .bytes = 4096 },
		{ .type = PREREG_EVENT_REFUSED, .time_ns = 3000000000, .bytes = 512 * MIB, .limit = 64 * MIB, .locked = MIB },
		{ .type = PREREG_EVENT_RELEASED, .time_ns = 4000000000, .bytes = 512 * MIB, .mappings = 9, .duration_ns = 1234567 },
		{ .type = PREREG_EVENT_ADOPTED, .time_ns = 5000000000, .container_id = 8, .orphan_pid = 666 },
	};
	struct prereg_event *event;

	if (!view->listening || (view->told == 5 && is("stop"))) {
		fail(view, ENODEV, "the module vfio_prereg was unloaded");
		return NULL;
	}
	if (is("quiet")) {
		errno = EAGAIN;
		return NULL;
	}
	if (view->told == 2 && is("lost") && !view->owners_asked) {
		view->owners_asked = true;
		errno = ENOBUFS;
		return NULL;
	}
	event = &events[view->told++ % 5];
	if (event->type == PREREG_EVENT_PUT && !view->regions)
		event = &events[view->told++ % 5];
	event->owner_id = 1;
	event->pid = 4711;
	event->comm = name_of("qemu");
	event->lost = is("lost") && view->told > 3 ? 17 : 10;
	return event;
}
