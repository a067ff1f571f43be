// SPDX-License-Identifier: GPL-2.0
/* prereg events: what happens, as it happens, a line each. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "json.h"
#include "tool.h"

struct events {
	bool		json;
	bool		bytes;
	bool		regions;
	uint64_t	count;		/* 0: no end */
	uint64_t	lost;		/* that were told of */
	bool		lost_known;
};

static const struct argp_option options[] = {
	{ "bytes", 'b', NULL, 0, "Sizes in bytes", 0 },
	{ "count", 'c', "N", 0, "End after N events", 0 },
	{ "json", 'J', NULL, 0, "A JSON object on each line", 0 },
	{ "regions", 'R', NULL, 0, "Also each region that is unpinned, which can be very many", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct events *events = state->input;

	switch (key) {
	case 'b':
		events->bytes = true;
		return 0;
	case 'c':
		if (!size_parse(arg, &events->count) || !events->count)
			argp_error(state, "\"%s\" is no number of events", arg);
		return 0;
	case 'J':
		events->json = true;
		return 0;
	case 'R':
		events->regions = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "this takes no arguments");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const char *const names[] = {
	[PREREG_EVENT_REGISTERED] = "registered",
	[PREREG_EVENT_RELEASED] = "released",
	[PREREG_EVENT_ADOPTED] = "adopted",
	[PREREG_EVENT_REFUSED] = "refused",
	[PREREG_EVENT_PUT] = "put",
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* When it was by the calendar, in UTC and microseconds; the kernel counts from its boot. */
static const char *wall_time(uint64_t boot_ns, char buffer[40])
{
	const uint64_t ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME) + boot_ns;
	const time_t seconds = (time_t)(ns / 1000000000);
	struct tm tm;
	size_t n;

	gmtime_r(&seconds, &tm);
	n = strftime(buffer, 40, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buffer + n, 40 - n, ".%06uZ", (unsigned int)(ns % 1000000000 / 1000));
	return buffer;
}

static const char *size(const struct events *events, uint64_t bytes, char buffer[32])
{
	if (events->bytes)
		snprintf(buffer, 32, "%" PRIu64 " bytes", bytes);
	else
		size_human(bytes, buffer);
	return buffer;
}

static void print_plain(const struct events *events, const struct prereg_event *event, const char *comm)
{
	char when[40], a[32], b[32], c[32];

	printf("%s  %-10s  pid %u (%s), uid %u", wall_time(event->time_ns, when), names[event->type], event->pid,
	       comm, event->uid);
	switch (event->type) {
	case PREREG_EVENT_REGISTERED:
		printf(": first memory, in container %" PRIu64, event->container_id);
		break;
	case PREREG_EVENT_RELEASED:
		printf(": ended; %s unpinned, %" PRIu64 " mapping%s revoked in %" PRIu64 ".%03u ms",
		       size(events, event->bytes, a), event->mappings, event->mappings == 1 ? "" : "s",
		       event->duration_ns / 1000000, (unsigned int)(event->duration_ns / 1000 % 1000));
		break;
	case PREREG_EVENT_ADOPTED:
		printf(": owns container %" PRIu64 " now, which was pid %u's", event->container_id, event->orphan_pid);
		break;
	case PREREG_EVENT_REFUSED:
		printf(": RLIMIT_MEMLOCK is %s, of which %s are taken; %s more were refused", size(events, event->limit, a),
		       size(events, event->locked, b), size(events, event->bytes, c));
		break;
	case PREREG_EVENT_PUT:
		printf(": 0x%" PRIx64 ", %s unpinned", event->vaddr, size(events, event->bytes, a));
		break;
	}
	putchar('\n');
}

static void print_json(const struct prereg_event *event, const char *comm)
{
	json_t *object = json_new_object();
	char when[40];

	json_put_text(object, "event", names[event->type]);
	json_put_text(object, "time", wall_time(event->time_ns, when));
	json_put_number(object, "boottime_ns", event->time_ns);
	json_put_number(object, "owner", event->owner_id);
	json_put_number(object, "pid", event->pid);
	json_put_number(object, "uid", event->uid);
	json_put_text(object, "command", comm);
	switch (event->type) {
	case PREREG_EVENT_ADOPTED:
		json_put_number(object, "orphan_pid", event->orphan_pid);
		/* fall through */
	case PREREG_EVENT_REGISTERED:
		json_put_id(object, "container", event->container_id);
		break;
	case PREREG_EVENT_RELEASED:
		json_put_number(object, "bytes", event->bytes);
		json_put_number(object, "mappings", event->mappings);
		json_put_number(object, "duration_ns", event->duration_ns);
		break;
	case PREREG_EVENT_REFUSED:
		json_put_number(object, "bytes", event->bytes);
		json_put_number(object, "limit", event->limit);
		json_put_number(object, "locked", event->locked);
		break;
	case PREREG_EVENT_PUT:
		json_put_address(object, "start", event->vaddr);
		json_put_number(object, "bytes", event->bytes);
		break;
	}
	json_print(object, true);
}

/* Some were lost: @n, or if that is 0 nobody knows how many. */
static void print_lost(const struct events *events, uint64_t n)
{
	if (events->json) {
		json_t *object = json_new_object();

		json_put_text(object, "event", "lost");
		json_put(object, "count", n ? json_integer((json_int_t)n) : json_null());
		json_print(object, true);
	} else if (n) {
		printf("%" PRIu64 " events were lost here, as they came faster than the kernel could tell them\n", n);
	} else {
		puts("events were lost here, as they came faster than they were read");
	}
}

static bool known(const struct prereg_event *event)
{
	return event->type < ARRAY_SIZE(names) && names[event->type];
}

static void print(struct events *events, const struct prereg_event *event)
{
	char *comm = text_clean(event->comm ?: "");

	if (events->lost_known && event->lost > events->lost)
		print_lost(events, event->lost - events->lost);
	events->lost = event->lost;
	events->lost_known = true;
	if (events->json)
		print_json(event, comm);
	else
		print_plain(events, event, comm);
	free(comm);
}

/* Waits for the next; false if whoever reads us has gone. */
static bool wait_for(const struct prereg_view *view)
{
	struct pollfd fds[] = {
		{ .fd = prereg_view_fd(view), .events = POLLIN },
		{ .fd = STDOUT_FILENO },
	};

	return poll(fds, ARRAY_SIZE(fds), -1) < 0 || !(fds[1].revents & (POLLERR | POLLHUP));
}

static int listen(struct prereg_view *view, struct events *events)
{
	const struct prereg_event *event;
	uint64_t told = 0;

	while (!events->count || told < events->count) {
		event = prereg_view_next_event(view);
		if (event && known(event)) {
			print(events, event);
			told++;
		} else if (!event && errno == ENOBUFS) {
			print_lost(events, 0);
		} else if (!event && errno == EAGAIN) {
			if (fflush(stdout) || !wait_for(view))
				return STATUS_OK;
		} else if (!event && errno != EINTR) {
			return view_failed(view);
		}
	}
	return STATUS_OK;
}

/* How many were lost before we came, which is nobody's business. */
static void count_lost(struct events *events)
{
	struct prereg_view *view = prereg_view_open();
	const struct prereg_counters *counters = view ? prereg_view_counters(view) : NULL;

	if (counters) {
		events->lost = counters->events_lost;
		events->lost_known = true;
	}
	prereg_view_close(view);
}

int events_main(int argc, char **argv)
{
	static const struct argp argp = {
		options, parse, NULL,
		"Says when a process registers memory first, ends and is released, takes over an orphaned container, or is refused memory by its RLIMIT_MEMLOCK. Needs CAP_SYS_ADMIN.",
		NULL, NULL, NULL
	};
	struct events events = { 0 };
	struct prereg_view *view;
	int status;

	argp_parse(&argp, argc, argv, 0, NULL, &events);
	view = view_open(&status);
	if (!view)
		return status;
	if (prereg_view_listen(view, PREREG_EVENTS_OWNERS | (events.regions ? PREREG_EVENTS_REGIONS : 0))) {
		status = view_failed(view);
	} else {
		count_lost(&events);
		/* What happens from here on is told. */
		complain("listening.");
		status = listen(view, &events);
	}
	prereg_view_close(view);
	return status;
}
