// SPDX-License-Identifier: GPL-2.0
/*
 * Runs every scenario, each in a process of its own with a time limit. A scenario is "ok" when
 * the driver answers what the table says of it: for vfio_prereg that is a test of it, for the
 * kernel's driver one of the table. With --json every answer goes to a file, a line each, out of
 * which "table" makes the comparison.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conformance.h"
#include "meter.h"

#define TIMEOUT_S 60
#define NAMES_MAX 16

/* Shared with the scenarios' processes. */
struct answer {
	char text[240];
	char skip[240];
};

static const struct scenario_group *const groups[] = {
	&group_owner, &group_arguments, &group_register, &group_unregister, &group_share, &group_map,
	&group_unmap, &group_window, &group_window_pages, &group_end,
};

static const char *const verdict_name[] = {
	[SAME] = "same", [FIXED] = "fixed defect", [EXTENSION] = "extension", [LEFT_OUT] = "left out",
};

static struct answer *answer;
static bool upstream, domain;
static FILE *json;

bool driver_is_upstream(void)
{
	return upstream;
}

static void join(const char *separator, const char *fmt, va_list ap)
{
	size_t len = strlen(answer->text);

	if (len)
		len += snprintf(answer->text + len, sizeof(answer->text) - len, "%s", separator);
	if (len < sizeof(answer->text))
		vsnprintf(answer->text + len, sizeof(answer->text) - len, fmt, ap);
}

void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	join(", ", fmt, ap);
	va_end(ap);
}

static void TAP_PRINTF(1, 2) say_after(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	join("; ", fmt, ap);
	va_end(ap);
}

void say_ret(int ret)
{
	say("%s", tap_ret_name(ret));
}

void say_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(answer->skip, sizeof(answer->skip), fmt, ap);
	va_end(ap);
}

/* What the table says of upstream, or of ours on TCE tables, with these CPU pages. */
static const char *table_upstream(const struct scenario *s)
{
	return page() > WPAGE && s->upstream_64k ? s->upstream_64k : s->upstream;
}

static const char *table_ours(const struct scenario *s)
{
	if (page() > WPAGE && s->ours_64k)
		return s->ours_64k;
	return s->ours ? s->ours : table_upstream(s);
}

static const char *table_domain(const struct scenario *s)
{
	if (s->domain)
		return s->domain;
	return s->ours ? s->ours : s->upstream;
}

static const char *table_here(const struct scenario *s)
{
	if (upstream)
		return table_upstream(s);
	return domain ? table_domain(s) : table_ours(s);
}

static void json_string(const char *key, const char *text, bool last)
{
	fprintf(json, "\"%s\": ", key);
	if (!text) {
		fputs("null", json);
	} else {
		fputc('"', json);
		for (; *text; text++) {
			if (*text == '"' || *text == '\\')
				fputc('\\', json);
			fputc(*text, json);
		}
		fputc('"', json);
	}
	fputs(last ? "}\n" : ", ", json);
}

static void json_begin(void)
{
	struct utsname name;

	uname(&name);
	fprintf(json, "{\"driver\": \"%s\", \"hw\": \"%s\", \"page_bytes\": %zu, ", upstream ? "upstream" : "ours",
		domain ? "domain" : "tce", page());
	json_string("kernel", name.release, true);
}

static void json_scenario(const struct scenario_group *group, const struct scenario *s, bool good)
{
	fputc('{', json);
	json_string("group", group->title, false);
	json_string("name", s->name, false);
	json_string("what", s->what, false);
	json_string("answer", answer->skip[0] ? NULL : answer->text, false);
	json_string("skip", answer->skip[0] ? answer->skip : NULL, false);
	json_string("upstream", table_upstream(s), false);
	json_string("ours", table_ours(s), false);
	json_string("domain", table_domain(s), false);
	json_string("verdict", verdict_name[s->verdict], false);
	json_string("why", s->why, false);
	fprintf(json, "\"good\": %s}\n", good ? "true" : "false");
	fflush(json);
}

/* Kills and reaps all that a scenario left; as a subreaper we inherit its orphans. */
static void kill_all(pid_t pgid)
{
	const uint64_t deadline = meter_now_ns() + proc_limit_ms(20000) * 1000000;
	pid_t got;

	do {
		kill(-pgid, SIGKILL);
		got = waitpid(-1, NULL, WNOHANG);
		if (!got)
			meter_sleep_ms(1);
	} while (got >= 0 && tap_expect(meter_now_ns() < deadline, "a process cannot be killed"));
}

/* The scenario in a process of its own; its answer is complete afterwards. */
static void run_alone(const struct scenario *s)
{
	const unsigned int timeout_s = s->timeout_s ? s->timeout_s : TIMEOUT_S;
	const int klog = meter_klog_open();
	long long left;
	pid_t pid;
	int ret;

	memset(answer, 0, sizeof(*answer));
	meter_baseline();
	/* What the kernel warns of once would be told for the first scenario only. */
	meter_file_write("/sys/kernel/debug/clear_warn_once", "1");
	pid = fork();
	if (!pid) {
		setpgid(0, 0);
		s->run(s);
		_exit(0);
	}
	if (!tap_expect(pid > 0, "fork: %s", strerror(errno)))
		return;
	setpgid(pid, pid);
	ret = pid_wait(pid, timeout_s * 1000);
	tap_expect(ret != -ETIMEDOUT, "still running after %u s", timeout_s);
	if (ret != -ETIMEDOUT)
		tap_expect(ret == 0, "the scenario's process ended with status %d", ret);
	kill_all(pid);
	left = pins(0);
	if (left)
		say_after("%lld pages stay pinned", left);
	if (meter_klog_find(klog, "WARNING:"))
		say_after("the kernel warns");
	close(klog);
	/* A leak of upstream's is in its answer. One of ours would show in the counters, too. */
	meter_baseline();
	meter_assert_clean(!upstream);
}

static void run_scenario(const struct scenario_group *group, const struct scenario *s)
{
	const char *want = table_here(s);
	bool good;

	tap_begin("%s", s->name);
	run_alone(s);
	if (answer->skip[0]) {
		tap_skip("%s", answer->skip);
	} else if (tap_expect(answer->text[0], "no answer")) {
		tap_diag("result %s: %s", s->name, answer->text);
		tap_expect(!strcmp(answer->text, want), "the answer is \"%s\", the table says \"%s\"", answer->text, want);
	}
	good = tap_end();
	if (json)
		json_scenario(group, s, good);
}

static bool wanted(const char *name, char **only, int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (!strcmp(name, only[i]))
			return true;
	return !n;
}

static void run_all(bool spoils, char **only, int n)
{
	size_t i, k;

	for (i = 0; i < COUNT(groups); i++)
		for (k = 0; k < groups[i]->n; k++) {
			const struct scenario *s = &groups[i]->scenarios[k];

			if (s->spoils == spoils && wanted(s->name, only, n))
				run_scenario(groups[i], s);
		}
}

/* Which hardware backend ours uses shows in what it offers. */
static bool look_at_driver(void)
{
	struct vfio_iommu_spapr_tce_info info = { 0 };
	struct vfio_dev dev;
	bool good;

	tap_begin("a container of type 7");
	good = tap_expect_ret(vfio_dev_open(&dev, VFIO_EDU0, TYPE7), 0, "open it") &&
	       tap_expect_ret(spapr_get_info(dev.container, &info), 0, "GET_INFO");
	vfio_dev_close(&dev);
	domain = info.ddw.levels == 1;
	tap_diag("%s, %s, pages of %zu KiB", upstream ? "upstream" : "ours", domain ? "iommu_domain" : "TCE tables", page() >> 10);
	tap_end();
	return good;
}

static void list(void)
{
	size_t i, k;

	for (i = 0; i < COUNT(groups); i++)
		for (k = 0; k < groups[i]->n; k++)
			printf("%-32s %s: %s\n", groups[i]->scenarios[k].name, groups[i]->title, groups[i]->scenarios[k].what);
}

/* The table's own rules: a difference has a verdict and a reason, sameness has none. */
static void check_table(void)
{
	size_t i, k;

	tap_begin("the table explains every difference");
	for (i = 0; i < COUNT(groups); i++)
		for (k = 0; k < groups[i]->n; k++) {
			const struct scenario *s = &groups[i]->scenarios[k];
			bool differs = strcmp(table_upstream(s), table_ours(s));

			tap_expect(!differs || (s->verdict && s->why), "%s: upstream and ours differ, nothing says why", s->name);
			tap_expect(s->verdict == SAME || s->ours, "%s: a verdict, but no difference", s->name);
			tap_expect(!s->domain || s->why, "%s: an iommu_domain differs, nothing says why", s->name);
		}
	tap_end();
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "driver", required_argument, NULL, 'd' }, { "json", required_argument, NULL, 'j' },
		{ "list", no_argument, NULL, 'l' }, { 0 },
	};
	bool known = false;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'd') {
			upstream = !strcmp(optarg, "upstream");
			known = upstream || !strcmp(optarg, "ours");
		} else if (opt == 'j') {
			json = fopen(optarg, "we");
			if (!json) {
				perror(optarg);
				return 2;
			}
		} else if (opt == 'l') {
			list();
			return 0;
		} else {
			known = false;
			break;
		}
	}
	if (!known) {
		fprintf(stderr, "usage: conformance --driver upstream|ours [--json FILE] [NAME...]\n"
				"       conformance --list\n");
		return 2;
	}
	tap_init();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	answer = mmap(NULL, sizeof(*answer), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check_table();
	if (answer != MAP_FAILED && look_at_driver()) {
		if (json)
			json_begin();
		run_all(false, argv + optind, argc - optind);
		run_all(true, argv + optind, argc - optind);
	}
	if (json)
		fclose(json);
	return tap_finish();
}
