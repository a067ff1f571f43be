// SPDX-License-Identifier: GPL-2.0
/*
 * Runs every scenario of a table, each in a process of its own with a time limit. A scenario is
 * "ok" when the driver answers what the table says of it: for vfio_prereg that is a test of it, for
 * the kernel's driver one of the table. With --json every answer goes to a file, a line each, out of
 * which comparison.py makes the comparison.
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
#define ANSWER_MAX 240

/* Shared with the scenarios' processes. */
struct answer {
	char text[ANSWER_MAX];
	char skip[ANSWER_MAX];
};

static const struct scenario_group *const spapr_v2_groups[] = {
	&group_owner, &group_arguments, &group_register, &group_unregister, &group_share, &group_map,
	&group_unmap, &group_window, &group_window_pages, &group_end,
};

static const struct scenario_group *const type1_groups[] = {
	&group_type1_choice, &group_type1_info, &group_type1_map, &group_type1_memory, &group_type1_limit,
	&group_type1_unmap, &group_type1_dirty, &group_type1_process, &group_type1_end,
};

#define TYPES_MAX 2

static const struct table {
	const char *name;
	const struct scenario_group *const *groups;
	size_t n;
	int types[TYPES_MAX];
} tables[] = {
	{ "spapr-v2", spapr_v2_groups, COUNT(spapr_v2_groups), { VFIO_SPAPR_TCE_v2_IOMMU } },
	{ "type1", type1_groups, COUNT(type1_groups), { VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU } },
};

static const char *const verdict_name[] = {
	[SAME] = "same", [FIXED] = "fixed defect", [EXTENSION] = "extension", [LEFT_OUT] = "left out",
	[NEWER] = "as newer kernels",
};

static const struct table *table;
static struct answer *answer;
/* The answers with all types. */
static char result[2 * ANSWER_MAX + 16];
static unsigned int kernel;
static bool upstream, domain;
static int type;
static FILE *json;

bool driver_is_upstream(void)
{
	return upstream;
}

int container_type(void)
{
	return type;
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

static bool is_newer(const struct scenario *s)
{
	return s->since && kernel >= s->since;
}

/* What the table says of upstream in this kernel, of ours on TCE tables or on an iommu_domain, with these CPU pages. */
static const char *table_kernel(const struct scenario *s)
{
	return is_newer(s) ? s->newer : s->upstream;
}

static const char *table_upstream(const struct scenario *s)
{
	return page() > WPAGE && s->upstream_64k ? s->upstream_64k : table_kernel(s);
}

static const char *table_ours(const struct scenario *s)
{
	if (page() > WPAGE && s->ours_64k)
		return s->ours_64k;
	return s->ours && !is_newer(s) ? s->ours : table_upstream(s);
}

static const char *table_domain(const struct scenario *s)
{
	if (s->domain)
		return s->domain;
	return s->ours && !is_newer(s) ? s->ours : table_kernel(s);
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
	char since[16];

	snprintf(since, sizeof(since), "%u.%u", s->since >> 8, s->since & 0xff);
	fputc('{', json);
	json_string("group", group->title, false);
	json_string("name", s->name, false);
	json_string("what", s->what, false);
	json_string("answer", answer->skip[0] ? NULL : result, false);
	json_string("skip", answer->skip[0] ? answer->skip : NULL, false);
	json_string("upstream", table_upstream(s), false);
	json_string("before", s->since ? s->upstream : NULL, false);
	json_string("since", s->since ? since : NULL, false);
	json_string("newer", s->newer, false);
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

/* The scenario with a type, in a process of its own; its answer is complete afterwards. */
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

/* With each type of the table; one result if they answer the same. */
static void run_types(const struct scenario *s)
{
	char first[ANSWER_MAX];

	type = s->type ? s->type : table->types[0];
	run_alone(s);
	strcpy(first, answer->text);
	strcpy(result, first);
	if (s->type || !table->types[1] || answer->skip[0])
		return;
	type = table->types[1];
	run_alone(s);
	/* Types 1 and 3 are versions of one interface. */
	if (strcmp(first, answer->text))
		snprintf(result, sizeof(result), "v1: %s; v2: %s", first, answer->text);
}

static void run_scenario(const struct scenario_group *group, const struct scenario *s)
{
	const char *want = table_here(s);
	bool good;

	tap_begin("%s", s->name);
	run_types(s);
	if (answer->skip[0]) {
		tap_skip("%s", answer->skip);
	} else if (tap_expect(answer->text[0], "no answer")) {
		tap_diag("result %s: %s", s->name, result);
		tap_expect(!strcmp(result, want), "the answer is \"%s\", the table says \"%s\"", result, want);
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

	for (i = 0; i < table->n; i++)
		for (k = 0; k < table->groups[i]->n; k++) {
			const struct scenario *s = &table->groups[i]->scenarios[k];

			if (s->spoils == spoils && wanted(s->name, only, n))
				run_scenario(table->groups[i], s);
		}
}

/* A page size that is no hardware's: only windows on an iommu_domain have it. */
#define DOMAIN_PAGE (1u << 17)

/* Which hardware backend ours uses shows in what it offers. Types 1 and 3 are for iommu_domains. */
static bool look_at_driver(void)
{
	struct vfio_iommu_spapr_tce_info info = { .ddw.pgsizes = DOMAIN_PAGE };
	struct vfio_dev dev;
	bool good;

	tap_begin("a container of type %d", table->types[0]);
	good = tap_expect_ret(vfio_dev_open(&dev, VFIO_EDU0, table->types[0]), 0, "open it") &&
	       (table->types[0] != TYPE7 || tap_expect_ret(spapr_get_info(dev.container, &info), 0, "GET_INFO"));
	vfio_dev_close(&dev);
	domain = info.ddw.pgsizes & DOMAIN_PAGE;
	tap_diag("%s, %s, pages of %zu KiB", upstream ? "upstream" : "ours", domain ? "iommu_domain" : "TCE tables", page() >> 10);
	tap_end();
	return good;
}

/* Of this kernel. */
static unsigned int kernel_version(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname name;

	uname(&name);
	sscanf(name.release, "%u.%u", &major, &minor);
	return KERNEL(major, minor);
}

static void list(void)
{
	size_t i, k;

	for (i = 0; i < table->n; i++) {
		const struct scenario_group *group = table->groups[i];

		for (k = 0; k < group->n; k++)
			printf("%-32s %s: %s\n", group->scenarios[k].name, group->title, group->scenarios[k].what);
	}
}

/* The table's own rules: a difference has a verdict and a reason, sameness has none. */
static void check_table(void)
{
	size_t i, k;

	tap_begin("the table explains every difference");
	for (i = 0; i < table->n; i++)
		for (k = 0; k < table->groups[i]->n; k++) {
			const struct scenario *s = &table->groups[i]->scenarios[k];
			bool differs = strcmp(table_upstream(s), table_ours(s));

			tap_expect(!differs || (s->verdict && s->why), "%s: upstream and ours differ, nothing says why", s->name);
			tap_expect(s->verdict == SAME || s->ours, "%s: a verdict, but no difference", s->name);
			tap_expect(!s->domain || s->why, "%s: an iommu_domain differs, nothing says why", s->name);
			tap_expect(!s->since == !s->newer, "%s: newer kernels differ, but not from when on or how", s->name);
		}
	tap_end();
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "driver", required_argument, NULL, 'd' }, { "table", required_argument, NULL, 't' },
		{ "json", required_argument, NULL, 'j' }, { "list", no_argument, NULL, 'l' }, { 0 },
	};
	bool known = false, list_only = false;
	size_t i;
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
		} else if (opt == 't') {
			for (i = 0; i < COUNT(tables); i++)
				if (!strcmp(optarg, tables[i].name))
					table = &tables[i];
		} else if (opt == 'l') {
			list_only = true;
		} else {
			known = false;
			break;
		}
	}
	if (table && list_only) {
		list();
		return 0;
	}
	if (!table || !known) {
		fprintf(stderr, "usage: conformance --table spapr-v2|type1 --driver upstream|ours [--json FILE] [NAME...]\n"
				"       conformance --table spapr-v2|type1 --list\n");
		return 2;
	}
	kernel = kernel_version();
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
