// SPDX-License-Identifier: GPL-2.0
/* What the module shows is what was registered and mapped. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "library.h"
#include "meter.h"
#include "type1.h"
#include "vfio.h"

static int saw_region(const struct prereg_region *region, void *data)
{
	struct seen *seen = data;

	if (seen->nregions < SUITE_SIZE(seen->regions))
		seen->regions[seen->nregions] = *region;
	seen->nregions++;
	return 0;
}

struct search {
	struct prereg_view	*view;
	struct seen		*seen;
	uint32_t		pid;
};

/* Regions of the owner that is looked for are asked for in the middle of the dump of owners. */
static int saw_owner(const struct prereg_owner *owner, void *data)
{
	const struct search *search = data;
	struct seen *seen = search->seen;

	seen->nowners++;
	if (owner->pid != search->pid)
		return 0;
	seen->owner = *owner;
	snprintf(seen->comm, sizeof(seen->comm), "%s", owner->comm);
	seen->owner.comm = seen->comm;
	view_worked(search->view, prereg_view_regions(search->view, owner->id, saw_region, seen), "regions");
	return 0;
}

#define KEEP(to, from, n) memcpy(to, from, ((n) < SUITE_SIZE(to) ? (n) : SUITE_SIZE(to)) * sizeof(*(to)))

static int saw_container(const struct prereg_container *container, void *data)
{
	struct seen *seen = data;

	seen->ncontainers++;
	seen->container = *container;
	KEEP(seen->groups, container->groups, container->ngroups);
	KEEP(seen->shares, container->shares, container->nshares);
	KEEP(seen->windows, container->windows, container->nwindows);
	snprintf(seen->orphan_comm, sizeof(seen->orphan_comm), "%s", container->orphan_comm);
	return 0;
}

bool look(struct prereg_view *view, uint32_t pid, struct seen *seen)
{
	struct search search = { .view = view, .seen = seen, .pid = pid };

	memset(seen, 0, sizeof(*seen));
	return view_worked(view, prereg_view_owners(view, saw_owner, &search), "owners") &&
	       view_worked(view, prereg_view_containers(view, saw_container, seen), "containers");
}

/* The number of the device's IOMMU group. */
static unsigned int group_of(const char *bdf)
{
	char path[80], target[256];
	ssize_t len;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return -1;
	target[len] = 0;
	return atoi(strrchr(target, '/') + 1);
}

static void check_owner(const struct seen *seen, size_t regions, size_t pages)
{
	tap_expect_eq(seen->nowners, 1, "owners");
	tap_expect_eq(seen->owner.pid, getpid(), "its pid");
	tap_expect_eq(seen->owner.uid, getuid(), "its user");
	tap_expect(!strcmp(seen->comm, "library"), "its name is \"%s\"", seen->comm);
	tap_expect(seen->owner.age_ms < 60000, "its age is %llu ms", (unsigned long long)seen->owner.age_ms);
	tap_expect_eq(seen->owner.regions, regions, "its regions");
	tap_expect_eq(seen->nregions, regions, "regions shown");
	tap_expect_eq(seen->owner.registered, pages * PAGE, "bytes registered");
	tap_expect_eq(seen->owner.containers, 1, "its containers");
}

static void check_region(const struct prereg_region *region, const void *p, size_t bytes)
{
	tap_expect_eq(region->vaddr, (uintptr_t)p, "a region's address");
	tap_expect_eq(region->bytes, bytes, "its size");
	tap_expect(region->runs >= 1 && region->runs <= bytes / PAGE, "it has %llu runs", (unsigned long long)region->runs);
	tap_expect(region->largest_run >= PAGE && region->largest_run <= bytes, "its largest run is %llu bytes",
		   (unsigned long long)region->largest_run);
	tap_expect_eq(region->flags, PREREG_REGION_WRITABLE, "its flags");
}

void test_view(void)
{
	struct prereg_view *view = view_open();
	struct box box;
	struct seen seen;
	char *p, *q;

	if (!view || !look(view, getpid(), &seen))
		return;
	tap_step("nothing is there");
	tap_expect(!*prereg_view_error(view), "a sentence before anything failed: %s", prereg_view_error(view));
	tap_expect_eq(seen.nowners, 0, "owners");
	tap_expect_eq(seen.ncontainers, 0, "containers");
	if (!box_open(&box, 0))
		return;
	tap_step("a container that nobody owns");
	look(view, getpid(), &seen);
	tap_expect_eq(seen.nowners, 0, "owners");
	tap_expect_eq(seen.ncontainers, 1, "containers");
	tap_expect(!seen.container.orphan, "it is no orphan");
	tap_expect_eq(seen.container.nshares, 0, "its shares");
	tap_step("two regions, three mappings");
	p = box_own(&box, 8 * PAGE, MEM_SMALL);
	q = box_own(&box, 4 * PAGE, MEM_SMALL);
	if (!p || !q)
		return;
	worked(box.prereg, prereg_map(box.prereg, IOVA, p, 4 * PAGE, RW), "map");
	worked(box.prereg, prereg_map(box.prereg, IOVA2, p, PAGE, RW), "map");
	worked(box.prereg, prereg_map(box.prereg, IOVA2 + PAGE, q, PAGE, PREREG_READ), "map");
	look(view, getpid(), &seen);
	check_owner(&seen, 2, 12);
	tap_expect_eq(seen.owner.charged, (12 + rig_default_table_pages(prereg_fd(box.prereg))) * PAGE, "bytes charged");
	tap_expect_eq(seen.owner.kept, 0, "bytes kept");
	check_region(&seen.regions[0], p < q ? p : q, p < q ? 8 * PAGE : 4 * PAGE);
	check_region(&seen.regions[1], p < q ? q : p, p < q ? 4 * PAGE : 8 * PAGE);
	tap_expect_eq(seen.regions[0].page_sizes, PAGE, "the sizes of its pages");
	tap_expect_eq(seen.ncontainers, 1, "containers");
	tap_expect_eq(seen.container.type, 7, "its type");
	tap_expect_eq(seen.container.pid, getpid(), "who made it");
	tap_expect_eq(seen.container.ngroups, 1, "its groups");
	tap_expect_eq(seen.groups[0], group_of(VFIO_EDU0), "its group");
	tap_expect_eq(seen.container.emulated_devices, 0, "its emulated devices");
	tap_expect_eq(seen.container.mappings, 3, "its mappings");
	tap_expect_eq(seen.container.mapped, 6 * PAGE, "bytes mapped");
	tap_expect_eq(seen.container.nshares, 1, "its shares");
	tap_expect_eq(seen.shares[0].owner_id, seen.owner.id, "the share's owner");
	tap_expect_eq(seen.shares[0].mappings, 3, "the share's mappings");
	tap_expect_eq(seen.shares[0].mapped, 6 * PAGE, "bytes mapped of the share");
	tap_expect_eq(seen.container.nwindows, 1, "its windows");
	tap_expect_eq(seen.windows[0].start, 0, "the window's start");
	tap_expect_eq(seen.windows[0].bytes, DEFAULT_WINDOW_BYTES, "the window's size");
	tap_expect_eq(seen.windows[0].page_size, IOMMU_PAGE, "the window's page size");
	tap_step("a second device, window and container");
	worked(box.prereg, prereg_add_device(box.prereg, VFIO_EDU1), "a second device");
	worked(box.prereg, prereg_add_window(box.prereg, 4 * MIB, IOMMU_PAGE, 1, &seen.windows[0].start), "a window");
	look(view, getpid(), &seen);
	tap_expect_eq(seen.container.ngroups, 2, "its groups");
	tap_expect(seen.groups[0] == group_of(VFIO_EDU1) || seen.groups[1] == group_of(VFIO_EDU1), "the second device's group");
	tap_expect_eq(seen.container.nwindows, 2, "its windows");
	tap_expect_eq(seen.windows[1].start, rig_window1(prereg_fd(box.prereg)), "the second window's start");
	tap_expect_eq(seen.windows[1].bytes, 4 * MIB, "the second window's size");
	box_close(&box);
	look(view, getpid(), &seen);
	tap_expect_eq(seen.nowners + seen.ncontainers, 0, "owners and containers at the end");
	prereg_view_close(view);
	prereg_view_close(NULL);
}

/* Bytes of a huge page, as the kernel makes them by default. */
static uint64_t huge_page(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	unsigned long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f) && sscanf(line, "Hugepagesize: %lu kB", &kib) != 1)
		;
	if (f)
		fclose(f);
	return kib * 1024ull;
}

/* Regions and containers of other kinds. */
void test_kinds(void)
{
	struct prereg_view *view = view_open();
	struct seen seen;
	struct box box;
	struct rig rig;
	char *p;

	if (!view)
		return;
	if (mem_hugetlb_reserve(1) && box_open(&box, 0)) {
		tap_step("a huge page");
		p = box_own(&box, 2 * MIB, MEM_HUGETLB);
		if (p && look(view, getpid(), &seen)) {
			check_region(&seen.regions[0], p, 2 * MIB);
			tap_expect_eq(seen.regions[0].runs, 1, "its runs");
			tap_expect_eq(seen.regions[0].page_sizes, huge_page(), "the sizes of its pages");
		}
		box_close(&box);
		mem_free(p, 2 * MIB);
	} else {
		tap_diag("no huge pages here: left out");
	}
	mem_hugetlb_reserve(0);
	tap_step("a container of type 3 and what its MAP registers");
	if (type1_unfit()) {
		tap_diag("%s", type1_unfit());
		prereg_view_close(view);
		return;
	}
	if (!rig_open_type(&rig, VFIO_EDU1, VFIO_TYPE1v2_IOMMU))
		return;
	p = rig_map(&rig, 4 * PAGE, MEM_SMALL, IOVA);
	look(view, getpid(), &seen);
	check_owner(&seen, 1, 4);
	tap_expect_eq(seen.regions[0].vaddr, (uintptr_t)p, "the region's address");
	tap_expect(seen.regions[0].flags & PREREG_REGION_IMPLICIT, "the region's flags 0x%x", seen.regions[0].flags);
	tap_expect_eq(seen.container.type, VFIO_TYPE1v2_IOMMU, "the container's type");
	tap_expect_eq(seen.container.nwindows, 0, "its windows");
	rig_close(&rig);
	prereg_view_close(view);
}

/* An owner in a child: memory, registered and mapped in @fd's container, until it is told to end. */
struct guest {
	int	fd;
	uid_t	uid;
	size_t	bytes;
	bool	secret;		/* its user may not trace it, as it changed its user */
};

enum { READY = 1, END };

static int owner_main(int sock, void *arg)
{
	const struct rlimit much = { .rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY };
	const struct guest *guest = arg;
	char *p;

	/* On POWER the window's table counts, too. */
	if (guest->uid && setrlimit(RLIMIT_MEMLOCK, &much))
		return 1;
	if (guest->uid && (setgid(guest->uid) || setuid(guest->uid)))
		return 1;
	if (!guest->secret && prctl(PR_SET_DUMPABLE, 1))
		return 1;
	p = mem_alloc(guest->bytes, MEM_SMALL);
	if (!p || vfio_hold(guest->fd, TYPE7, p, guest->bytes, IOVA))
		return 2;
	sock_send(sock, READY);
	return sock_expect(sock, END) ? 3 : 0;
}

static bool owner_start(struct proc *owner, struct guest *guest)
{
	return tap_expect_ret(proc_start(owner, owner_main, guest), 0, "start an owner") &&
	       tap_expect_ret(sock_expect(owner->sock, READY), 0, "it owns memory");
}

static void owner_end(struct proc *owner)
{
	sock_send(owner->sock, END);
	tap_expect_ret(proc_wait(owner, 10000), 0, "the owner's end");
}

/* What somebody else's eyes shall see. */
struct look {
	uint64_t	hidden;		/* an owner's id that they must not see */
	uint32_t	pid;		/* and one that they must, if it is not 0 */
	size_t		owners;
	size_t		containers;
	int		scope;
};

static int no_region(const struct prereg_region *region, void *data)
{
	(void)region;
	(void)data;
	tap_expect(false, "a region of an owner that may not be seen");
	return 0;
}

static void others_look(void *arg)
{
	const struct look *want = arg;
	struct prereg_view *view = view_open();
	struct seen seen;

	if (!view || !look(view, want->pid, &seen))
		return;
	tap_expect_eq(prereg_view_scope(view), want->scope, "scope");
	tap_expect_eq(seen.nowners, want->owners, "owners that are seen");
	tap_expect_eq(seen.ncontainers, want->containers, "containers that are seen");
	if (want->pid) {
		tap_expect_eq(seen.owner.pid, want->pid, "the own one");
		tap_expect_eq(seen.nregions, 1, "its regions");
	}
	view_refused(view, prereg_view_regions(view, want->hidden, no_region, NULL), ENOENT, "no owner has the number",
		     "regions of one who is hidden");
	prereg_view_close(view);
}

static void others_listen(void *arg)
{
	struct prereg_view *view = view_open();

	if (view)
		view_refused(view, prereg_view_listen(view, PREREG_EVENTS_OWNERS), EPERM, arg, "events");
	prereg_view_close(view);
}

static void nobody_looks(void *arg)
{
	struct prereg_view *view = view_open();

	others_look(arg);
	if (!view)
		return;
	view_refused(view, prereg_view_counters(view) ? 0 : -1, EPERM, "the host's counters need CAP_SYS_ADMIN", "counters");
	view_refused(view, prereg_view_listen(view, PREREG_EVENTS_OWNERS), EPERM, "CAP_SYS_ADMIN", "events");
	prereg_view_close(view);
}

static void nobody_looks_closely(void *arg)
{
	const struct look *want = arg;
	struct prereg_view *view = view_open();

	if (!view)
		return;
	view_refused(view, prereg_view_regions(view, want->hidden, no_region, NULL), EPERM, "may not be traced",
		     "regions of one who may not be traced");
	prereg_view_close(view);
}

void test_users(void)
{
	struct prereg_view *view = view_open();
	struct box box, second;
	struct guest guest = { .uid = NOBODY, .bytes = 4 * PAGE };
	struct look want = { .scope = PREREG_SCOPE_USER };
	struct proc owner;
	struct seen seen;

	if (!view || !box_open(&box, 0) || !box_open(&second, 1) || !box_own(&box, PAGE, MEM_SMALL))
		return;
	guest.fd = prereg_fd(second.prereg);
	look(view, getpid(), &seen);
	want.hidden = seen.owner.id;
	tap_step("root has memory, nobody has none: nobody sees nothing");
	as_nobody(nobody_looks, &want);
	tap_step("nobody has memory in a container: nobody sees that");
	if (!owner_start(&owner, &guest))
		return;
	want = (struct look) { .scope = PREREG_SCOPE_USER, .hidden = want.hidden, .pid = owner.pid, .owners = 1, .containers = 1 };
	as_nobody(nobody_looks, &want);
	tap_step("root sees both");
	look(view, owner.pid, &seen);
	tap_expect_eq(seen.nowners, 2, "owners");
	tap_expect_eq(seen.ncontainers, 2, "containers");
	tap_expect_eq(seen.owner.uid, NOBODY, "the user");
	tap_expect_eq(seen.owner.registered, 4 * PAGE, "bytes registered");
	tap_expect_eq(seen.nregions, 1, "regions");
	owner_end(&owner);
	tap_step("one who became nobody is nobody's, but its addresses are not");
	guest.secret = true;
	if (!owner_start(&owner, &guest))
		return;
	look(view, owner.pid, &seen);
	want.hidden = seen.owner.id;
	as_nobody(nobody_looks_closely, &want);
	owner_end(&owner);
	box_close(&box);
	box_close(&second);
	prereg_view_close(view);
}

void test_namespaces(void)
{
	struct prereg_view *view = view_open();
	struct look want = { 0 };
	struct seen seen;
	struct box box;

	if (access("/proc/self/ns/user", F_OK) || access("/proc/self/ns/pid", F_OK) || access("/proc/self/ns/net", F_OK)) {
		tap_skip("this kernel has not all namespaces");
		prereg_view_close(view);
		return;
	}
	if (!view || !box_open(&box, 0) || !box_own(&box, PAGE, MEM_SMALL))
		return;
	look(view, getpid(), &seen);
	want.hidden = seen.owner.id;
	tap_step("root in a pid namespace of its own: owners out of it are not shown");
	want.containers = 1;
	want.scope = PREREG_SCOPE_PID_NAMESPACE;
	unshared(CLONE_NEWPID, others_look, &want);
	tap_step("root in a user namespace of its own, too, has no right to all containers");
	want.containers = 0;
	want.scope = PREREG_SCOPE_USER;
	unshared(CLONE_NEWUSER | CLONE_NEWPID, others_look, &want);
	tap_step("the family is in every network namespace");
	want = (struct look) { .hidden = UINT64_MAX, .pid = getpid(), .owners = 1, .containers = 1 };
	unshared(CLONE_NEWNET, others_look, &want);
	tap_step("but events are told in the first one, to who has the right");
	unshared(CLONE_NEWNET, others_listen, "nsenter");
	unshared(CLONE_NEWUSER | CLONE_NEWNET, others_listen, "CAP_SYS_ADMIN");
	box_close(&box);
	prereg_view_close(view);
}

void test_orphan(void)
{
	struct prereg_view *view = view_open();
	struct guest guest = { .bytes = 4 * PAGE };
	struct proc owner;
	struct seen seen;
	struct box box;
	pid_t pid;

	if (!view || !box_open(&box, 0))
		return;
	guest.fd = prereg_fd(box.prereg);
	if (!owner_start(&owner, &guest))
		return;
	pid = owner.pid;
	look(view, pid, &seen);
	tap_expect_eq(seen.owner.pid, pid, "the owner's pid");
	tap_expect(!seen.container.orphan, "no orphan yet");
	proc_kill(&owner);
	tap_step("its owner was killed: an orphan");
	look(view, pid, &seen);
	tap_expect_eq(seen.nowners, 0, "owners");
	tap_expect(seen.container.orphan, "it is an orphan");
	tap_expect_eq(seen.container.orphan_pid, pid, "who it belonged to");
	tap_expect(!strcmp(seen.orphan_comm, "library"), "his name is \"%s\"", seen.orphan_comm);
	tap_expect(seen.container.orphan_ms < 60000, "since %llu ms", (unsigned long long)seen.container.orphan_ms);
	tap_expect_eq(seen.container.mappings, 0, "its mappings");
	tap_step("adopted");
	box_own(&box, PAGE, MEM_SMALL);
	look(view, getpid(), &seen);
	tap_expect(!seen.container.orphan, "it is no orphan any more");
	box_close(&box);
	prereg_view_close(view);
}

static uint64_t refused_with(const struct prereg_counters *counters, int error)
{
	size_t i;

	for (i = 0; i < counters->nrefused; i++)
		if ((int)counters->refused[i].error == error)
			return counters->refused[i].count;
	return 0;
}

void test_counters(void)
{
	struct prereg_view *view = view_open();
	struct guest guest = { .bytes = 4 * PAGE };
	const struct prereg_counters *now;
	struct prereg_counters before;
	uint64_t invalid, tables;
	struct proc owner;
	struct box box;
	char *p;

	if (!view || !box_open(&box, 0))
		return;
	now = prereg_view_counters(view);
	if (!tap_expect(now, "counters: %s", prereg_view_error(view)))
		return;
	before = *now;
	invalid = refused_with(now, EINVAL);
	tap_expect_eq(before.containers, 1, "containers");
	tap_expect_eq(before.owners, 0, "owners");
	guest.fd = prereg_fd(box.prereg);
	tables = rig_default_table_pages(guest.fd) * PAGE;
	if (!owner_start(&owner, &guest))
		return;
	now = prereg_view_counters(view);
	tap_expect_eq(now->owners, 1, "owners");
	tap_expect_eq(now->regions, 1, "regions");
	tap_expect_eq(now->pinned, 4 * PAGE, "bytes pinned");
	tap_expect_eq(now->charged, 4 * PAGE + tables, "bytes charged");
	tap_expect_eq(now->mappings, 1, "mappings");
	tap_expect_eq(now->mapped, 4 * PAGE, "bytes mapped");
	tap_expect_eq(now->kept, 0, "bytes kept");
	proc_kill(&owner);
	now = prereg_view_counters(view);
	tap_expect_eq(now->owners + now->regions + now->pinned + now->mappings + now->mapped, 0, "what is left");
	tap_expect_eq(now->releases - before.releases, 1, "releases");
	tap_expect_eq(now->released - before.released, 4 * PAGE, "bytes released");
	tap_expect_eq(now->revoked_mappings - before.revoked_mappings, 1, "mappings revoked");
	tap_step("refused calls");
	p = mem_alloc(4 * MIB, MEM_SMALL);
	refused(box.prereg, prereg_register(box.prereg, p + 1, PAGE), EINVAL, "multiples", "register");
	tap_expect(proc_limit_memlock(MIB), "a limit");
	refused(box.prereg, prereg_register(box.prereg, p, 4 * MIB), ENOMEM, "RLIMIT_MEMLOCK", "register");
	now = prereg_view_counters(view);
	tap_expect_eq(refused_with(now, EINVAL) - invalid, 1, "calls that were answered EINVAL");
	tap_expect_eq(now->refused_memlock - before.refused_memlock, 1, "charges that RLIMIT_MEMLOCK did not allow");
	box_close(&box);
	prereg_view_close(view);
}

#define MANY 3000

/* Every second page is registered: each must be there once, in order. */
struct expected {
	const char	*p;
	size_t		n;
	size_t		wrong;
	size_t		end;	/* end the dump with this one */
};

static int count_region(const struct prereg_region *region, void *data)
{
	struct expected *expected = data;

	if (region->vaddr != (uintptr_t)expected->p + 2 * expected->n * PAGE || region->bytes != PAGE)
		expected->wrong++;
	return ++expected->n == expected->end;
}

static char *register_many(struct box *box)
{
	char *p = mem_alloc(2 * MANY * PAGE, MEM_SMALL);
	size_t i;

	if (!tap_expect(p, "memory"))
		return NULL;
	for (i = 0; i < MANY; i++)
		if (!worked(box->prereg, prereg_register(box->prereg, p + 2 * i * PAGE, PAGE), "register"))
			return NULL;
	return p;
}

void test_large(void)
{
	struct prereg_view *view = view_open();
	struct expected expected = { 0 };
	struct seen seen;
	struct box box;

	if (!view || !box_open(&box, 0))
		return;
	expected.p = register_many(&box);
	if (!expected.p || !look(view, getpid(), &seen))
		return;
	tap_step("%u regions, more than a message takes", MANY);
	view_worked(view, prereg_view_regions(view, seen.owner.id, count_region, &expected), "regions");
	tap_expect_eq(expected.n, MANY, "regions");
	tap_expect_eq(expected.wrong, 0, "regions that are wrong");
	tap_step("a function that ends the dump");
	expected.n = 0;
	expected.end = 1500;
	view_refused(view, prereg_view_regions(view, seen.owner.id, count_region, &expected), ECANCELED, "ended", "regions");
	tap_expect_eq(expected.n, 1500, "regions");
	tap_step("the view works as before");
	expected.n = expected.end = 0;
	view_worked(view, prereg_view_regions(view, seen.owner.id, count_region, &expected), "regions");
	tap_expect_eq(expected.n, MANY, "regions");
	box_close(&box);
	prereg_view_close(view);
}

/* Counts the pages at even places, which stay; those at odd ones come and go. */
static int count_staying(const struct prereg_region *region, void *data)
{
	struct expected *expected = data;
	const size_t at = (region->vaddr - (uintptr_t)expected->p) / PAGE;

	if (at % 2)
		return 0;
	if (at != 2 * expected->n)
		expected->wrong++;
	expected->n++;
	return 0;
}

struct changer {
	struct box	*box;
	char		*p;
};

static int look_again_and_again(int sock, void *arg)
{
	const struct changer *changer = arg;
	struct prereg_view *view = view_open();
	struct expected expected;
	struct seen seen;
	unsigned int i;

	if (!view || !look(view, getppid(), &seen))
		return 1;
	for (i = 0; i < 100; i++) {
		expected = (struct expected) { .p = changer->p };
		if (!view_worked(view, prereg_view_regions(view, seen.owner.id, count_staying, &expected), "regions") ||
		    !tap_expect(expected.n == MANY && !expected.wrong, "dump %u: %zu regions that stay, %zu wrong", i,
				expected.n, expected.wrong))
			break;
	}
	prereg_view_close(view);
	sock_send(sock, END);
	return 0;
}

void test_changing(void)
{
	struct box box;
	struct changer changer = { .box = &box };
	struct proc looker;
	unsigned int changes = 0, i = 0;
	int status = 0;

	if (!box_open(&box, 0))
		return;
	changer.p = register_many(&box);
	if (!changer.p)
		return;
	tap_step("regions come and go between those that stay: a dump shows each that stays once");
	tap_expect_ret(proc_start(&looker, look_again_and_again, &changer), 0, "a child that looks");
	do {
		char *p = changer.p + (2 * (i = (i + 577) % MANY) + 1) * PAGE;

		if (!worked(box.prereg, prereg_register(box.prereg, p, PAGE), "register") ||
		    !worked(box.prereg, prereg_unregister(box.prereg, p, PAGE), "unregister"))
			break;
		status = ++changes % 64 ? -ETIMEDOUT : proc_wait(&looker, 0);
	} while (status == -ETIMEDOUT);
	tap_expect_ret(status, 0, "the child");
	tap_diag("%u changes", changes);
	box_close(&box);
}
