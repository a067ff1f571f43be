// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * example-watch [SECONDS]: shows who has memory pinned for DMA, then what happens, for SECONDS or until it is interrupted.
 * Needs root for others' memory and for events; without it shows what the caller's user has.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <prereg.h>

static int show_region(const struct prereg_region *region, void *data)
{
	(void)data;
	printf("    0x%" PRIx64 " %" PRIu64 " KiB in %" PRIu64 " pieces%s\n", region->vaddr, region->bytes >> 10,
	       region->runs, region->flags & PREREG_REGION_STALE ? ", unmapped by the process" : "");
	return 0;
}

static int show_owner(const struct prereg_owner *owner, void *data)
{
	struct prereg_view *view = data;

	printf("%" PRIu32 " %s: %" PRIu64 " KiB in %" PRIu64 " regions, %" PRIu32 " containers\n", owner->pid, owner->comm,
	       owner->registered >> 10, owner->regions, owner->containers);
	/* An owner that ended meanwhile is no failure. */
	if (prereg_view_regions(view, owner->id, show_region, NULL) && errno != ENOENT) {
		fprintf(stderr, "%s\n", prereg_view_error(view));
		return -1;
	}
	return 0;
}

static int show_container(const struct prereg_container *container, void *data)
{
	size_t i;

	(void)data;
	printf("container %" PRIu64 " of type %" PRIu32 ": %" PRIu64 " mappings, %" PRIu64 " KiB, groups", container->id,
	       container->type, container->mappings, container->mapped >> 10);
	for (i = 0; i < container->ngroups; i++)
		printf(" %" PRIu32, container->groups[i]);
	if (container->orphan)
		printf(", nobody's since %s (%" PRIu32 ") ended", container->orphan_comm, container->orphan_pid);
	putchar('\n');
	return 0;
}

static void show_event(const struct prereg_event *event)
{
	printf("%" PRIu64 ".%06" PRIu64 " %s (%" PRIu32 ") ", event->time_ns / 1000000000, event->time_ns / 1000 % 1000000,
	       event->comm, event->pid);
	switch (event->type) {
	case PREREG_EVENT_REGISTERED:
		printf("has memory in container %" PRIu64 "\n", event->container_id);
		break;
	case PREREG_EVENT_RELEASED:
		printf("ended: %" PRIu64 " KiB and %" PRIu64 " mappings put in %" PRIu64 " us\n", event->bytes >> 10,
		       event->mappings, event->duration_ns / 1000);
		break;
	case PREREG_EVENT_ADOPTED:
		printf("has container %" PRIu64 ", that was %" PRIu32 "'s\n", event->container_id, event->orphan_pid);
		break;
	case PREREG_EVENT_REFUSED:
		printf("may not have %" PRIu64 " KiB: RLIMIT_MEMLOCK is %" PRIu64 " KiB, %" PRIu64 " are locked\n",
		       event->bytes >> 10, event->limit >> 10, event->locked >> 10);
		break;
	case PREREG_EVENT_PUT:
		printf("gave 0x%" PRIx64 " back, %" PRIu64 " KiB\n", event->vaddr, event->bytes >> 10);
		break;
	}
	fflush(stdout);
}

/* -1: cannot go on. */
static int show_events(struct prereg_view *view)
{
	const struct prereg_event *event;

	for (;;) {
		event = prereg_view_next_event(view);
		if (event)
			show_event(event);
		else if (errno == EAGAIN)
			return 0;
		else if (errno == ENOBUFS)
			printf("some events were lost\n");
		else
			return -1;
	}
}

static int watch(struct prereg_view *view, long seconds)
{
	struct pollfd fd = { .fd = prereg_view_fd(view), .events = POLLIN };
	const time_t end = time(NULL) + seconds;

	for (;;) {
		const long left = end - time(NULL);

		if (seconds && left <= 0)
			return 0;
		if (poll(&fd, 1, seconds ? left * 1000 : -1) < 0)
			return errno == EINTR ? 0 : -1;
		if (show_events(view))
			return -1;
	}
}

int main(int argc, char **argv)
{
	struct prereg_view *view = prereg_view_open(), *events = prereg_view_open();
	const long seconds = argc > 1 ? atol(argv[1]) : 0;
	int ret = EXIT_FAILURE;
	bool listens;

	if (!view || !events || prereg_view_fd(view) < 0 || prereg_view_fd(events) < 0) {
		fprintf(stderr, "%s\n", prereg_view_error(view));
		goto out;
	}
	/* First of all: what happens while the rest is shown is told later. */
	listens = !prereg_view_listen(events, PREREG_EVENTS_OWNERS | PREREG_EVENTS_REGIONS);
	if (prereg_view_owners(view, show_owner, view) || prereg_view_containers(view, show_container, NULL)) {
		fprintf(stderr, "%s\n", prereg_view_error(view));
		goto out;
	}
	fflush(stdout);
	ret = EXIT_SUCCESS;
	if (!listens || watch(events, seconds)) {
		fprintf(stderr, "%s\n", prereg_view_error(events));
		ret = EXIT_FAILURE;
	}
out:
	prereg_view_close(events);
	prereg_view_close(view);
	return ret;
}
