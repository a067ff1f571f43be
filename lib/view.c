// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the module holds: dumps are collected, then the caller's function is called for each thing. */
#include <errno.h>
#include <linux/genetlink.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "netlink.h"

_Static_assert(PREREG_REGION_IMPLICIT == PREREG_REGION_FLAGS_IMPLICIT && PREREG_REGION_KEPT == PREREG_REGION_FLAGS_KEPT &&
	       PREREG_REGION_WRITABLE == PREREG_REGION_FLAGS_WRITABLE && PREREG_REGION_DEVICE == PREREG_REGION_FLAGS_DEVICE &&
	       PREREG_REGION_STALE == PREREG_REGION_FLAGS_STALE && PREREG_REGION_PINNING == PREREG_REGION_FLAGS_PINNING,
	       "flags are the family's");

struct prereg_view *prereg_view_open(void)
{
	struct prereg_view *view = calloc(1, sizeof(*view));

	if (!view)
		return NULL;
	view->datagram = malloc(PREREG_DATAGRAM);
	if (!view->datagram) {
		free(view);
		return NULL;
	}
	if (!prereg__connect(view))
		return view;
	view->open_error = errno;
	if (view->nl)
		mnl_socket_close(view->nl);
	view->nl = NULL;
	errno = view->open_error;
	return view;
}

void prereg_view_close(struct prereg_view *view)
{
	if (!view)
		return;
	if (view->nl)
		mnl_socket_close(view->nl);
	free(view->datagram);
	free(view->refused);
	free(view->answer.bytes);
	free(view);
}

const char *prereg_view_error(const struct prereg_view *view)
{
	return view ? view->failure.text : "out of memory";
}

/* For dumps and counters, which a view for events cannot have: events would come between. */
static int for_questions(struct prereg_view *view)
{
	if (!view->nl) {
		errno = EBADF;
		return -1;
	}
	if (view->listening)
		return prereg__fail(&view->failure, EBUSY, "this view listens for events: open another one for this");
	return 0;
}

/* What a container points to. */
struct scratch {
	uint32_t		*groups;
	struct prereg_share	*shares;
	struct prereg_window	*windows;
};

/* The caller's function. The call_…() below answer 0, or an errno that ends the dump. */
struct callback {
	union {
		prereg_owner_fn		owner;
		prereg_region_fn	region;
		prereg_container_fn	container;
	};
	void *data;
};

static int call_owner(const struct nlmsghdr *nlh, const struct callback *callback)
{
	const struct nlattr *a[PREREG_A_OWNER_MAX + 1];
	struct prereg_owner owner;

	prereg__attributes(nlh, a, PREREG_A_OWNER_MAX);
	owner = (struct prereg_owner) {
		.id = prereg__u64(a[PREREG_A_OWNER_ID]),
		.pid = prereg__u32(a[PREREG_A_OWNER_PID]),
		.uid = prereg__u32(a[PREREG_A_OWNER_UID]),
		.comm = prereg__string(a[PREREG_A_OWNER_COMM]),
		.age_ms = prereg__u64(a[PREREG_A_OWNER_AGE_MS]),
		.regions = prereg__u64(a[PREREG_A_OWNER_REGIONS]),
		.registered = prereg__u64(a[PREREG_A_OWNER_REGISTERED_BYTES]),
		.charged = prereg__u64(a[PREREG_A_OWNER_CHARGED_BYTES]),
		.kept = prereg__u64(a[PREREG_A_OWNER_KEPT_BYTES]),
		.stale_mappings = prereg__u64(a[PREREG_A_OWNER_STALE_MAPPINGS]),
		.containers = prereg__u32(a[PREREG_A_OWNER_CONTAINERS]),
	};
	return callback->owner(&owner, callback->data) ? ECANCELED : 0;
}

static int call_region(const struct nlmsghdr *nlh, const struct callback *callback)
{
	const struct nlattr *a[PREREG_A_REGION_MAX + 1];
	struct prereg_region region;

	prereg__attributes(nlh, a, PREREG_A_REGION_MAX);
	region = (struct prereg_region) {
		.vaddr = prereg__u64(a[PREREG_A_REGION_VADDR]),
		.bytes = prereg__u64(a[PREREG_A_REGION_BYTES]),
		.runs = prereg__u64(a[PREREG_A_REGION_RUNS]),
		.largest_run = prereg__u64(a[PREREG_A_REGION_LARGEST_RUN_BYTES]),
		.page_sizes = prereg__u64(a[PREREG_A_REGION_PAGE_SIZES]),
		.users = prereg__u32(a[PREREG_A_REGION_USERS]),
		.flags = prereg__u32(a[PREREG_A_REGION_FLAGS]),
	};
	return callback->region(&region, callback->data) ? ECANCELED : 0;
}

static struct prereg_window window_of(const struct nlattr *nest)
{
	const struct nlattr *a[PREREG_A_WINDOW_MAX + 1];
	uint32_t shift;

	prereg__nested(nest, a, PREREG_A_WINDOW_MAX);
	shift = prereg__u32(a[PREREG_A_WINDOW_PAGE_SHIFT]);
	return (struct prereg_window) {
		.start = prereg__u64(a[PREREG_A_WINDOW_START]),
		.bytes = prereg__u64(a[PREREG_A_WINDOW_BYTES]),
		.page_size = shift < 64 ? 1ull << shift : 0,
		.levels = prereg__u32(a[PREREG_A_WINDOW_LEVELS]),
	};
}

static struct prereg_share share_of(const struct nlattr *nest)
{
	const struct nlattr *a[PREREG_A_SHARE_MAX + 1];

	prereg__nested(nest, a, PREREG_A_SHARE_MAX);
	return (struct prereg_share) {
		.owner_id = prereg__u64(a[PREREG_A_SHARE_OWNER_ID]),
		.mappings = prereg__u64(a[PREREG_A_SHARE_MAPPINGS]),
		.mapped = prereg__u64(a[PREREG_A_SHARE_MAPPED_BYTES]),
	};
}

/* How often the attribute is there: room for so many and one, as there may be none. */
static size_t count(const struct nlmsghdr *nlh, unsigned int type)
{
	const struct nlattr *attr;
	size_t n = 1;

	mnl_attr_for_each(attr, nlh, sizeof(struct genlmsghdr))
		n += mnl_attr_get_type(attr) == type;
	return n;
}

/* What is there once. */
static void single(struct prereg_container *container, const struct nlmsghdr *nlh)
{
	const struct nlattr *a[PREREG_A_CONTAINER_MAX + 1];

	prereg__attributes(nlh, a, PREREG_A_CONTAINER_MAX);
	*container = (struct prereg_container) {
		.id = prereg__u64(a[PREREG_A_CONTAINER_ID]),
		.type = prereg__u32(a[PREREG_A_CONTAINER_TYPE]),
		.pid = prereg__u32(a[PREREG_A_CONTAINER_PID]),
		.uid = prereg__u32(a[PREREG_A_CONTAINER_UID]),
		.age_ms = prereg__u64(a[PREREG_A_CONTAINER_AGE_MS]),
		.mappings = prereg__u64(a[PREREG_A_CONTAINER_MAPPINGS]),
		.mapped = prereg__u64(a[PREREG_A_CONTAINER_MAPPED_BYTES]),
		.emulated_devices = prereg__u32(a[PREREG_A_CONTAINER_EMULATED_DEVICES]),
		.orphan = a[PREREG_A_CONTAINER_ORPHAN_MS],
		.orphan_pid = prereg__u32(a[PREREG_A_CONTAINER_ORPHAN_PID]),
		.orphan_comm = prereg__string(a[PREREG_A_CONTAINER_ORPHAN_COMM]),
		.orphan_ms = prereg__u64(a[PREREG_A_CONTAINER_ORPHAN_MS]),
		.busy = a[PREREG_A_CONTAINER_BUSY],
	};
}

static int call_container(const struct nlmsghdr *nlh, const struct callback *callback)
{
	struct scratch scratch = {
		.groups = calloc(count(nlh, PREREG_A_CONTAINER_GROUP), sizeof(*scratch.groups)),
		.shares = calloc(count(nlh, PREREG_A_CONTAINER_SHARE), sizeof(*scratch.shares)),
		.windows = calloc(count(nlh, PREREG_A_CONTAINER_WINDOW), sizeof(*scratch.windows)),
	};
	struct prereg_container container;
	const struct nlattr *attr;
	int error = ENOMEM;

	if (!scratch.groups || !scratch.shares || !scratch.windows)
		goto out;
	single(&container, nlh);
	mnl_attr_for_each(attr, nlh, sizeof(struct genlmsghdr)) {
		switch (mnl_attr_get_type(attr)) {
		case PREREG_A_CONTAINER_GROUP:
			scratch.groups[container.ngroups++] = prereg__u32(attr);
			break;
		case PREREG_A_CONTAINER_SHARE:
			scratch.shares[container.nshares++] = share_of(attr);
			break;
		case PREREG_A_CONTAINER_WINDOW:
			scratch.windows[container.nwindows++] = window_of(attr);
			break;
		}
	}
	container.groups = scratch.groups;
	container.shares = scratch.shares;
	container.windows = scratch.windows;
	error = callback->container(&container, callback->data) ? ECANCELED : 0;
out:
	free(scratch.groups);
	free(scratch.shares);
	free(scratch.windows);
	return error;
}

/* Asks, and calls @call for each message that came: the caller's function may ask for other things meanwhile. */
static int dump(struct prereg_view *view, struct nlmsghdr *request,
		int (*call)(const struct nlmsghdr *nlh, const struct callback *callback), const struct callback *callback)
{
	struct prereg_messages messages = { 0 };
	const struct nlmsghdr *nlh;
	int left, error = 0;

	if (prereg__ask(view, request, &messages)) {
		error = errno;
		free(messages.bytes);
		errno = error;
		return -1;
	}
	left = messages.length;
	for (nlh = (const void *)messages.bytes; !error && mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
		error = call(nlh, callback);
	free(messages.bytes);
	switch (error) {
	case 0:
		return 0;
	case ECANCELED:
		return prereg__fail(&view->failure, error, "the caller's function ended the dump");
	default:
		return prereg__fail(&view->failure, error, "out of memory");
	}
}

int prereg_view_owners(struct prereg_view *view, prereg_owner_fn fn, void *data)
{
	const struct callback callback = { .owner = fn, .data = data };
	char buffer[PREREG_REQUEST];

	if (for_questions(view))
		return -1;
	return dump(view, prereg__request(view, buffer, PREREG_CMD_OWNER_GET, NLM_F_DUMP), call_owner, &callback);
}

int prereg_view_regions(struct prereg_view *view, uint64_t owner_id, prereg_region_fn fn, void *data)
{
	const struct callback callback = { .region = fn, .data = data };
	char buffer[PREREG_REQUEST];
	struct nlmsghdr *request;

	if (for_questions(view))
		return -1;
	request = prereg__request(view, buffer, PREREG_CMD_REGION_GET, NLM_F_DUMP);
	mnl_attr_put_u64(request, PREREG_A_REGION_OWNER_ID, owner_id);
	if (!dump(view, request, call_region, &callback))
		return 0;
	if (errno == ENOENT)
		return prereg__fail(&view->failure, errno,
				    "no owner has the number %" PRIu64 ", or it is another user's: prereg_view_owners() tells who is there",
				    owner_id);
	if (errno == EPERM)
		return prereg__fail(&view->failure, errno,
				    "the process of owner %" PRIu64 " may not be traced by this user, so its addresses are not shown: this needs CAP_SYS_ADMIN in the initial user namespace",
				    owner_id);
	return -1;
}

int prereg_view_containers(struct prereg_view *view, prereg_container_fn fn, void *data)
{
	const struct callback callback = { .container = fn, .data = data };
	char buffer[PREREG_REQUEST];

	if (for_questions(view))
		return -1;
	return dump(view, prereg__request(view, buffer, PREREG_CMD_CONTAINER_GET, NLM_F_DUMP), call_container, &callback);
}

/* Refused calls by errno, which are as many nests. */
static int decode_refused(struct prereg_view *view, const struct nlmsghdr *nlh)
{
	const struct nlattr *a[PREREG_A_REFUSED_MAX + 1], *attr;
	size_t n = 0;

	free(view->refused);
	view->refused = calloc(count(nlh, PREREG_A_COUNTERS_REFUSED), sizeof(*view->refused));
	if (!view->refused)
		return prereg__fail(&view->failure, ENOMEM, "out of memory");
	mnl_attr_for_each(attr, nlh, sizeof(struct genlmsghdr)) {
		if (mnl_attr_get_type(attr) != PREREG_A_COUNTERS_REFUSED)
			continue;
		prereg__nested(attr, a, PREREG_A_REFUSED_MAX);
		view->refused[n].error = prereg__u32(a[PREREG_A_REFUSED_ERRNO]);
		view->refused[n++].count = prereg__u64(a[PREREG_A_REFUSED_COUNT]);
	}
	view->counters.refused = view->refused;
	view->counters.nrefused = n;
	return 0;
}

static int decode_counters(struct prereg_view *view, const struct nlmsghdr *nlh)
{
	const struct nlattr *a[PREREG_A_COUNTERS_MAX + 1];

	prereg__attributes(nlh, a, PREREG_A_COUNTERS_MAX);
	view->counters = (struct prereg_counters) {
		.containers = prereg__u64(a[PREREG_A_COUNTERS_CONTAINERS]),
		.owners = prereg__u64(a[PREREG_A_COUNTERS_OWNERS]),
		.regions = prereg__u64(a[PREREG_A_COUNTERS_REGIONS]),
		.pinned = prereg__u64(a[PREREG_A_COUNTERS_PINNED_BYTES]),
		.charged = prereg__u64(a[PREREG_A_COUNTERS_CHARGED_BYTES]),
		.kept = prereg__u64(a[PREREG_A_COUNTERS_KEPT_BYTES]),
		.mappings = prereg__u64(a[PREREG_A_COUNTERS_MAPPINGS]),
		.mapped = prereg__u64(a[PREREG_A_COUNTERS_MAPPED_BYTES]),
		.bookkeeping = prereg__u64(a[PREREG_A_COUNTERS_BOOKKEEPING_BYTES]),
		.stale_mappings = prereg__u64(a[PREREG_A_COUNTERS_STALE_MAPPINGS]),
		.releases = prereg__u64(a[PREREG_A_COUNTERS_RELEASES]),
		.released = prereg__u64(a[PREREG_A_COUNTERS_RELEASED_BYTES]),
		.revoked_mappings = prereg__u64(a[PREREG_A_COUNTERS_REVOKED_MAPPINGS]),
		.refused_memlock = prereg__u64(a[PREREG_A_COUNTERS_REFUSED_MEMLOCK]),
		.events_lost = prereg__u64(a[PREREG_A_COUNTERS_EVENTS_LOST]),
	};
	return decode_refused(view, nlh);
}

const struct prereg_counters *prereg_view_counters(struct prereg_view *view)
{
	char buffer[PREREG_REQUEST];

	if (for_questions(view) ||
	    prereg__ask(view, prereg__request(view, buffer, PREREG_CMD_COUNTERS_GET, NLM_F_ACK), &view->answer))
		return NULL;
	if (!view->answer.length) {
		prereg__fail(&view->failure, EBADMSG, "the module answered nothing");
		return NULL;
	}
	return decode_counters(view, (const void *)view->answer.bytes) ? NULL : &view->counters;
}

/* What Linux gives its first pid namespace as a number: PROC_PID_INIT_INO. */
#define INITIAL_PID_NAMESPACE 0xeffffffc

int prereg_view_scope(struct prereg_view *view)
{
	struct stat own;

	if (!prereg_view_counters(view))
		return errno == EPERM ? PREREG_SCOPE_USER : -1;
	if (stat("/proc/self/ns/pid", &own) || own.st_ino == INITIAL_PID_NAMESPACE)
		return PREREG_SCOPE_HOST;
	return PREREG_SCOPE_PID_NAMESPACE;
}
