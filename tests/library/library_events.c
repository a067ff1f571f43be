// SPDX-License-Identifier: GPL-2.0
/* Events: each that happened comes, once, with what happened. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "library.h"
#include "meter.h"
#include "vfio.h"

#define BOTH (PREREG_EVENTS_OWNERS | PREREG_EVENTS_REGIONS)

enum { READY = 1, END };

static struct prereg_view *listen_to(unsigned int which)
{
	struct prereg_view *view = view_open();

	if (view && view_worked(view, prereg_view_listen(view, which), "listen"))
		return view;
	prereg_view_close(view);
	return NULL;
}

/* The next event, which must be of @type; waits up to 5 s. NULL after a failed assertion. */
static const struct prereg_event *next(struct prereg_view *view, enum prereg_event_type type, const char *what)
{
	struct pollfd fd = { .fd = prereg_view_fd(view), .events = POLLIN };
	const uint64_t deadline = meter_now_ns() + proc_limit_ms(5000) * 1000000;
	const struct prereg_event *event;

	while (!(event = prereg_view_next_event(view)) && errno == EAGAIN && meter_now_ns() < deadline)
		poll(&fd, 1, 100);
	if (!tap_expect(event, "%s: %s", what, prereg_view_error(view)))
		return NULL;
	return tap_expect_eq(event->type, type, "%s: the event's type", what) ? event : NULL;
}

/* Nothing more comes. */
static void silence(struct prereg_view *view, const char *what)
{
	struct pollfd fd = { .fd = prereg_view_fd(view), .events = POLLIN };
	const struct prereg_event *event;

	poll(&fd, 1, 300);
	event = prereg_view_next_event(view);
	tap_expect(!event, "%s: one more event, of type %d", what, event ? (int)event->type : 0);
	if (!event)
		view_refused(view, -1, EAGAIN, "poll()", what);
}

static uint64_t boottime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

/* What all events have. */
static void check_event(const struct prereg_event *event, pid_t pid, uint64_t since, const char *what)
{
	tap_expect_eq(event->pid, pid, "%s: pid", what);
	tap_expect_eq(event->uid, 0, "%s: user", what);
	tap_expect(!strcmp(event->comm, "library"), "%s: name \"%s\"", what, event->comm);
	tap_expect(event->time_ns >= since && event->time_ns <= boottime_ns(), "%s: time %llu, not since %llu", what,
		   (unsigned long long)event->time_ns, (unsigned long long)since);
	tap_expect(event->owner_id, "%s: an owner", what);
}

static int owner_main(int sock, void *arg)
{
	const struct box *box = arg;
	char *p = mem_alloc(4 * PAGE, MEM_SMALL);

	if (!p || vfio_hold(prereg_fd(box->prereg), TYPE7, p, 4 * PAGE, IOVA) ||
	    vfio_map(prereg_fd(box->prereg), IOVA2, p, PAGE, VFIO_MAP_RW))
		return 2;
	sock_send(sock, READY);
	return sock_expect(sock, END) ? 3 : 0;
}

/* A child owns memory in the container and is killed; its events, in turn. The container's number. */
static uint64_t life(struct box *box, struct prereg_view *view, pid_t *pid)
{
	const uint64_t since = boottime_ns();
	const struct prereg_event *event;
	uint64_t container = 0, owner = 0;
	struct proc child;

	if (!tap_expect_ret(proc_start(&child, owner_main, box), 0, "start an owner") ||
	    !tap_expect_ret(sock_expect(child.sock, READY), 0, "it owns memory"))
		return 0;
	*pid = child.pid;
	event = next(view, PREREG_EVENT_REGISTERED, "registered");
	if (event) {
		check_event(event, *pid, since, "registered");
		container = event->container_id;
		owner = event->owner_id;
		tap_expect(container, "its container");
	}
	silence(view, "while it goes on");
	proc_kill(&child);
	event = next(view, PREREG_EVENT_PUT, "its region was put");
	if (event) {
		check_event(event, *pid, since, "put");
		tap_expect_eq(event->bytes, 4 * PAGE, "put: bytes");
		tap_expect(event->vaddr, "put: address");
		tap_expect_eq(event->owner_id, owner, "put: the same owner");
	}
	event = next(view, PREREG_EVENT_RELEASED, "released");
	if (event) {
		check_event(event, *pid, since, "released");
		tap_expect_eq(event->bytes, 4 * PAGE, "released: bytes");
		tap_expect_eq(event->mappings, 2, "released: mappings");
		tap_expect(event->duration_ns && event->duration_ns < proc_limit_ms(5000) * 1000000, "released: it took %llu ns",
			   (unsigned long long)event->duration_ns);
		tap_expect_eq(event->owner_id, owner, "released: the same owner");
	}
	return container;
}

void test_events(void)
{
	struct prereg_view *view = listen_to(BOTH), *owners = listen_to(PREREG_EVENTS_OWNERS), *other = view_open();
	const struct prereg_event *event;
	uint64_t container, since;
	struct seen seen;
	struct box box;
	pid_t before = 0;
	char *p;

	if (!view || !owners || !other || !box_open(&box, 0))
		return;
	tap_step("what a view cannot do");
	view_refused(other, prereg_view_next_event(other) ? 0 : -1, EINVAL, "prereg_view_listen()", "events without listening");
	view_refused(other, prereg_view_listen(other, 0), EINVAL, "PREREG_EVENTS_OWNERS", "listen to nothing");
	view_refused(other, prereg_view_listen(other, 8), EINVAL, "PREREG_EVENTS_OWNERS", "listen to something else");
	view_refused(view, prereg_view_owners(view, NULL, NULL), EBUSY, "open another one", "a dump");
	view_refused(view, prereg_view_counters(view) ? 0 : -1, EBUSY, "open another one", "counters");
	silence(view, "before anything happened");
	tap_step("the life of an owner");
	container = life(&box, view, &before);
	tap_step("the container is adopted");
	since = boottime_ns();
	p = box_own(&box, 2 * PAGE, MEM_SMALL);
	event = next(view, PREREG_EVENT_REGISTERED, "registered");
	if (event) {
		check_event(event, getpid(), since, "registered");
		tap_expect_eq(event->container_id, container, "registered: the same container");
	}
	event = next(view, PREREG_EVENT_ADOPTED, "adopted");
	if (event) {
		check_event(event, getpid(), since, "adopted");
		tap_expect_eq(event->container_id, container, "adopted: the container");
		tap_expect_eq(event->orphan_pid, before, "adopted: who it belonged to");
	}
	if (look(other, getpid(), &seen))
		tap_expect_eq(seen.container.id, container, "the dump has the same number");
	tap_step("UNREGISTER");
	worked(box.prereg, prereg_unregister(box.prereg, p, 2 * PAGE), "unregister");
	event = next(view, PREREG_EVENT_PUT, "put");
	if (event) {
		check_event(event, getpid(), since, "put");
		tap_expect_eq(event->vaddr, (uintptr_t)p, "put: address");
		tap_expect_eq(event->bytes, 2 * PAGE, "put: bytes");
		tap_expect_eq(event->lost, 0, "put: events lost");
	}
	silence(view, "at the end");
	tap_step("who listens to owners alone heard of no region");
	next(owners, PREREG_EVENT_REGISTERED, "registered");
	next(owners, PREREG_EVENT_RELEASED, "released");
	next(owners, PREREG_EVENT_REGISTERED, "registered");
	next(owners, PREREG_EVENT_ADOPTED, "adopted");
	silence(owners, "owners at the end");
	box_close(&box);
	prereg_view_close(view);
	prereg_view_close(owners);
	prereg_view_close(other);
}

void test_refusals(void)
{
	struct prereg_view *view = listen_to(PREREG_EVENTS_OWNERS);
	const uint64_t since = boottime_ns();
	const struct prereg_event *event;
	struct box box;
	char *p;

	if (!view || !box_open(&box, 0))
		return;
	p = mem_alloc(4 * MIB, MEM_SMALL);
	if (!tap_expect(proc_limit_memlock(2 * MIB), "a limit"))
		return;
	worked(box.prereg, prereg_register(box.prereg, p, MIB), "register");
	next(view, PREREG_EVENT_REGISTERED, "registered");
	refused(box.prereg, prereg_register(box.prereg, p + MIB, 3 * MIB), ENOMEM, "RLIMIT_MEMLOCK", "register");
	event = next(view, PREREG_EVENT_REFUSED, "refused");
	if (event) {
		check_event(event, getpid(), since, "refused");
		tap_expect_eq(event->bytes, 3 * MIB, "refused: bytes");
		tap_expect_eq(event->limit, 2 * MIB, "refused: the limit");
		tap_expect_eq(event->locked, MIB, "refused: what was locked");
	}
	silence(view, "at the end");
	box_close(&box);
	prereg_view_close(view);
}

#define TURNS 3000

/* Makes one event. */
static bool turn(const struct box *box, void *page)
{
	return worked(box->prereg, prereg_register(box->prereg, page, PAGE), "register") &&
	       worked(box->prereg, prereg_unregister(box->prereg, page, PAGE), "unregister");
}

void test_overflow(void)
{
	struct prereg_view *view = listen_to(BOTH);
	const int room = 8192;
	unsigned int i, overflows = 0, events = 0;
	const struct prereg_event *event;
	bool again = false;
	uint64_t deadline;
	struct box box;
	char *p, *last;

	if (!view || !box_open(&box, 0))
		return;
	tap_step("who has little room and does not read loses events, and is told so");
	setsockopt(prereg_view_fd(view), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	p = mem_alloc(2 * PAGE, MEM_SMALL);
	last = p + PAGE;
	for (i = 0; i < TURNS; i++)
		if (!turn(&box, p))
			break;
	deadline = meter_now_ns() + proc_limit_ms(30000) * 1000000;
	/* All that is on its way has come when an event of what is done last has, for which there may be no room: then it is done again. */
	while (!again && turn(&box, last) && meter_now_ns() < deadline) {
		meter_sleep_ms(300);
		while ((event = prereg_view_next_event(view)) || errno == ENOBUFS) {
			events += event != NULL;
			overflows += !event;
			again |= event && event->type == PREREG_EVENT_PUT && event->vaddr == (uintptr_t)last;
		}
		view_refused(view, -1, EAGAIN, "poll()", "at the end");
	}
	tap_expect(again, "nothing came of what was done last");
	tap_expect(overflows, "no ENOBUFS, after %u events", events);
	tap_expect(events < TURNS, "all %u events came", events);
	tap_step("it goes on");
	turn(&box, p);
	next(view, PREREG_EVENT_PUT, "put");
	box_close(&box);
	prereg_view_close(view);
}

/* The module goes and comes; nobody may use it. */
void test_unload(void)
{
	struct prereg_view *view = view_open(), *listener = listen_to(PREREG_EVENTS_OWNERS), *late;
	struct prereg *prereg = prereg_open();
	struct seen seen;
	int file;

	if (!view || !listener || !look(view, getpid(), &seen))
		return;
	tap_step("views do not keep the module");
	if (!tap_expect(!syscall(SYS_delete_module, PREREG_MODULE, O_NONBLOCK), "unload: %s", strerror(errno)))
		return;
	view_refused(view, prereg_view_owners(view, NULL, NULL), ENODEV, "open a new view", "owners");
	view_refused(view, prereg_view_regions(view, 1, NULL, NULL), ENODEV, "open a new view", "regions");
	view_refused(view, prereg_view_counters(view) ? 0 : -1, ENODEV, "open a new view", "counters");
	view_refused(listener, prereg_view_next_event(listener) ? 0 : -1, ENODEV, "open a new view", "events");
	late = prereg_view_open();
	view_refused(late, prereg_view_fd(late), ENOENT, "modprobe vfio_prereg", "a new view");
	view_refused(late, prereg_view_containers(late, NULL, NULL), EBADF, "modprobe vfio_prereg", "its dump");
	view_refused(late, prereg_view_listen(late, BOTH), EBADF, "modprobe vfio_prereg", "its events");
	prereg_view_close(late);
	refused(prereg, prereg_add_device(prereg, VFIO_EDU0), EOPNOTSUPP, "modprobe vfio_prereg", "a container");
	tap_step("it is back: an old view stays what it is");
	file = open("/m/" PREREG_MODULE ".ko", O_RDONLY | O_CLOEXEC);
	tap_expect(!syscall(SYS_finit_module, file, "", 0), "load: %s", strerror(errno));
	close(file);
	view_refused(view, prereg_view_listen(view, BOTH), ENOENT, "open a new view", "events");
	late = view_open();
	if (late && look(late, getpid(), &seen))
		tap_expect_eq(seen.nowners + seen.ncontainers, 0, "owners and containers");
	worked(prereg, prereg_add_device(prereg, VFIO_EDU0), "a container");
	prereg_close(prereg);
	prereg_view_close(late);
	prereg_view_close(view);
	prereg_view_close(listener);
}
