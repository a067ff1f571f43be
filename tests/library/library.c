// SPDX-License-Identifier: GPL-2.0
/* libprereg on a real container, and the module's netlink family behind it. */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library.h"

bool box_open(struct box *box, unsigned int nr)
{
	memset(box, 0, sizeof(*box));
	box->device = -1;
	box->prereg = prereg_open();
	if (!tap_expect(box->prereg, "prereg_open"))
		return false;
	if (!worked(box->prereg, prereg_add_device(box->prereg, vfio_edu(nr)), "add the device"))
		return false;
	box->device = prereg_open_device(box->prereg, vfio_edu(nr));
	return tap_expect(box->device >= 0, "open the device: %s", prereg_error(box->prereg)) &&
	       tap_expect_ret(edu_open(&box->edu, box->device), 0, "its engine");
}

void box_close(struct box *box)
{
	if (box->edu.bar)
		edu_close(&box->edu);
	if (box->device >= 0)
		close(box->device);
	prereg_close(box->prereg);
}

char *box_own(struct box *box, size_t bytes, enum mem_kind kind)
{
	char *p = mem_alloc(bytes, kind);

	if (!tap_expect(p, "memory: %s", strerror(errno)) ||
	    !worked(box->prereg, prereg_register(box->prereg, p, bytes), "register"))
		return NULL;
	return p;
}

void box_reaches(struct box *box, uint64_t iova, void *va, const char *what)
{
	static uint32_t seed = 500;

	tap_expect(edu_reaches(&box->edu, iova, va, 64, ++seed), "the device reaches %s (iova 0x%llx)", what,
		   (unsigned long long)iova);
}

void box_faults(struct box *box, uint64_t iova, const char *what)
{
	tap_expect(edu_faults(&box->edu, iova, false), "%s (iova 0x%llx): no fault", what, (unsigned long long)iova);
}

static bool judge(const char *sentence, int ret, int error, int want, const char *words, const char *what)
{
	if (!tap_expect_ret(ret < 0 ? -error : ret, -want, "%s", what))
		return false;
	return tap_expect(strstr(sentence, words), "%s: the sentence is \"%s\", without \"%s\"", what, sentence, words);
}

bool worked(struct prereg *prereg, int ret, const char *what)
{
	return tap_expect(!ret, "%s: %s", what, prereg_error(prereg));
}

bool refused(struct prereg *prereg, int ret, int error, const char *words, const char *what)
{
	return judge(prereg_error(prereg), ret, errno, error, words, what);
}

struct prereg_view *view_open(void)
{
	struct prereg_view *view = prereg_view_open();

	if (!tap_expect(view && prereg_view_fd(view) >= 0, "open a view: %s", prereg_view_error(view))) {
		prereg_view_close(view);
		return NULL;
	}
	return view;
}

bool view_worked(struct prereg_view *view, int ret, const char *what)
{
	return tap_expect(!ret, "%s: %s", what, prereg_view_error(view));
}

bool view_refused(struct prereg_view *view, int ret, int error, const char *words, const char *what)
{
	return judge(prereg_view_error(view), ret, errno, error, words, what);
}

/* In a child of its own; what it asserts counts. */
static void in_child(int flags, uid_t uid, void (*fn)(void *arg), void *arg)
{
	pid_t child = fork(), inner;

	if (!child) {
		if (flags && !tap_expect(!unshare(flags), "unshare: %s", strerror(errno)))
			_exit(1);
		if (uid && !tap_expect(!setgroups(0, NULL) && !setgid(uid) && !setuid(uid), "become nobody"))
			_exit(1);
		/* A new pid namespace begins with the next child. */
		inner = fork();
		if (!inner) {
			fn(arg);
			_exit(0);
		}
		_exit(pid_wait(inner, proc_limit_ms(30000)) ? 1 : 0);
	}
	tap_expect_ret(pid_wait(child, proc_limit_ms(40000)), 0, "the child that looks");
}

void as_nobody(void (*fn)(void *arg), void *arg)
{
	in_child(0, NOBODY, fn, arg);
}

void unshared(int flags, void (*fn)(void *arg), void *arg)
{
	in_child(flags, 0, fn, arg);
}

static const struct suite_test tests[] = {
	{ .name = "open", .run = test_open },
	{ .name = "group", .run = test_group },
	{ .name = "register", .run = test_register },
	{ .name = "memlock", .run = test_memlock },
	{ .name = "map", .run = test_map },
	{ .name = "map-all", .run = test_map_all },
	{ .name = "map-singly", .run = test_singly },
	{ .name = "windows", .run = test_windows },
	{ .name = "fork", .run = test_fork },
	{ .name = "view", .run = test_view },
	{ .name = "view-kinds", .run = test_kinds },
	{ .name = "view-users", .run = test_users },
	{ .name = "view-namespaces", .run = test_namespaces },
	{ .name = "view-orphan", .run = test_orphan },
	{ .name = "view-counters", .run = test_counters },
	{ .name = "view-large", .run = test_large, .timeout_s = 120 },
	{ .name = "view-changing", .run = test_changing, .timeout_s = 120 },
	{ .name = "events", .run = test_events },
	{ .name = "events-refused", .run = test_refusals },
	{ .name = "events-overflow", .run = test_overflow },
	{ .name = "malformed", .run = test_malformed },
	{ .name = "fuzz", .run = test_fuzz, .timeout_s = 300 },
	{ .name = "unload", .run = test_unload },
	{ .name = "unsafe", .run = test_unsafe, .on_demand = true },
};

static const struct suite_option options[] = {
	{ .name = "--rounds", .number = &fuzz_rounds, .help = "messages of the test fuzz" },
};

int main(int argc, char **argv)
{
	const struct suite suite = {
		.name = "library",
		.tests = tests,
		.n_tests = SUITE_SIZE(tests),
		.options = options,
		.n_options = SUITE_SIZE(options),
	};

	return suite_main(argc, argv, &suite);
}
