// SPDX-License-Identifier: GPL-2.0
/* prereg metrics: OpenMetrics text, for the textfile collector of Prometheus's node_exporter. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool.h"

static const struct argp_option options[] = {
	{ "output", 'o', "FILE", 0, "Write FILE, which has all of the old or all of the new text at any moment", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	const char **output = state->input;

	switch (key) {
	case 'o':
		*output = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

enum kind { GAUGE, COUNTER };

/* A metric's head; @unit is the end of its name, or "". */
static void head(FILE *out, const char *name, enum kind kind, const char *unit, const char *help)
{
	fprintf(out, "# TYPE %s %s\n", name, kind == GAUGE ? "gauge" : "counter");
	if (*unit)
		fprintf(out, "# UNIT %s %s\n", name, unit);
	fprintf(out, "# HELP %s %s\n", name, help);
}

static void metric(FILE *out, const char *name, enum kind kind, const char *unit, uint64_t value, const char *help)
{
	head(out, name, kind, unit, help);
	fprintf(out, "%s%s %" PRIu64 "\n", name, kind == COUNTER ? "_total" : "", value);
}

static void counters_metrics(FILE *out, const struct prereg_counters *c)
{
	size_t i;

	metric(out, "prereg_containers", GAUGE, "", c->containers, "Open VFIO containers of vfio_prereg.");
	metric(out, "prereg_owners", GAUGE, "", c->owners, "Address spaces that have memory in a container.");
	metric(out, "prereg_regions", GAUGE, "", c->regions, "Pinned ranges of memory.");
	metric(out, "prereg_pinned_bytes", GAUGE, "bytes", c->pinned, "Memory that vfio_prereg has pinned.");
	metric(out, "prereg_charged_bytes", GAUGE, "bytes", c->charged, "Charged to RLIMIT_MEMLOCK by vfio_prereg.");
	metric(out, "prereg_kept_bytes", GAUGE, "bytes", c->kept, "Pinned, but used by no container.");
	metric(out, "prereg_mappings", GAUGE, "", c->mappings, "Mappings for DMA.");
	metric(out, "prereg_mapped_bytes", GAUGE, "bytes", c->mapped, "Mapped for DMA, in all containers.");
	metric(out, "prereg_bookkeeping_bytes", GAUGE, "bytes", c->bookkeeping, "What vfio_prereg needs to remember regions.");
	metric(out, "prereg_stale_mappings", COUNTER, "", c->stale_mappings,
	       "Mappings whose process unmapped or discarded the memory under them.");
	metric(out, "prereg_releases", COUNTER, "", c->releases, "Owners that ended with memory registered or mapped.");
	metric(out, "prereg_released_bytes", COUNTER, "bytes", c->released, "Memory that was unpinned at the end of its owner.");
	metric(out, "prereg_revoked_mappings", COUNTER, "", c->revoked_mappings, "Mappings that were removed at the end of their owner.");
	metric(out, "prereg_refused_memlock", COUNTER, "", c->refused_memlock, "Charges that RLIMIT_MEMLOCK did not allow.");
	metric(out, "prereg_events_lost", COUNTER, "", c->events_lost, "Events that nobody was told.");
	head(out, "prereg_refused_calls", COUNTER, "", "Calls that were answered with an error.");
	for (i = 0; i < c->nrefused; i++) {
		const char *name = strerrorname_np((int)c->refused[i].error);

		/* Linux has no error that glibc does not name; were there one, its number is as good. */
		if (name)
			fprintf(out, "prereg_refused_calls_total{errno=\"%s\"} %" PRIu64 "\n", name, c->refused[i].count);
		else
			fprintf(out, "prereg_refused_calls_total{errno=\"%u\"} %" PRIu64 "\n", c->refused[i].error,
				c->refused[i].count);
	}
}

/* @all: of every owner, not only of those in a pid namespace. */
static void owners_metrics(FILE *out, const struct snapshot *snapshot, bool all)
{
	uint64_t registered = 0;
	size_t i;

	for (i = 0; i < snapshot->nowners; i++)
		registered += snapshot->owners[i].orphan ? 0 : snapshot->owners[i].o.registered;
	if (all)
		metric(out, "prereg_owned_bytes", GAUGE, "bytes", registered, "Pinned memory of owners that are alive.");
	else
		complain("prereg_owned_bytes is left out, as only processes of this pid namespace are seen: run this on the host.");
	metric(out, "prereg_orphan_containers", GAUGE, "", snapshot->norphans,
	       "Containers that somebody holds open whose owner has ended.");
}

/*
 * Pins of the whole kernel, in pages, whoever they are for. The counters are each processor's own until
 * they are folded, once a second, or now if stat_refresh is written to, which root may.
 */
static void host_metrics(FILE *out)
{
	char *path = sys_path("/proc/sys/vm/stat_refresh");
	FILE *refresh = fopen(path, "we");
	uint64_t acquired, released;

	free(path);
	if (refresh) {
		fputs("1\n", refresh);
		fclose(refresh);
	}
	if (!sys_vmstat("nr_foll_pin_acquired", &acquired) || !sys_vmstat("nr_foll_pin_released", &released))
		return;
	/* Without a refresh a release can be seen before what it releases. */
	if (released > acquired)
		released = acquired;
	metric(out, "prereg_host_pinned_bytes", GAUGE, "bytes", (acquired - released) * (uint64_t)sysconf(_SC_PAGESIZE),
	       "Memory that anything on this host has pinned: vfio_prereg, other VFIO drivers, RDMA, io_uring and so on.");
}

/* What only root sees is left out, and said. STATUS_OK or what to exit with. */
static int write_loaded(FILE *out, struct prereg_view *view)
{
	const struct prereg_counters *counters;
	struct snapshot snapshot;
	int scope;

	if (!snapshot_take(view, &snapshot)) {
		const int status = view_failed(view);

		snapshot_free(&snapshot);
		return status;
	}
	scope = prereg_view_scope(view);
	counters = prereg_view_counters(view);
	if (!counters && errno != EPERM) {
		snapshot_free(&snapshot);
		return view_failed(view);
	}
	metric(out, "prereg_module_loaded", GAUGE, "", 1, "Is vfio_prereg loaded?");
	if (counters) {
		counters_metrics(out, counters);
		owners_metrics(out, &snapshot, scope == PREREG_SCOPE_HOST);
	} else {
		complain("the module's counters need CAP_SYS_ADMIN and are left out: run this as root.");
	}
	snapshot_free(&snapshot);
	return STATUS_OK;
}

static int write_metrics(FILE *out)
{
	struct prereg_view *view;
	int status = STATUS_OK;

	errno = 0;
	view = prereg_view_open();
	if (view && prereg_view_fd(view) >= 0) {
		status = write_loaded(out, view);
	} else if (view && errno == ENOENT) {
		/* A host without the module is something to tell, not a failure. */
		metric(out, "prereg_module_loaded", GAUGE, "", 0, "Is vfio_prereg loaded?");
	} else {
		status = view ? view_failed(view) : STATUS_FAILED;
	}
	prereg_view_close(view);
	if (!status) {
		host_metrics(out);
		fputs("# EOF\n", out);
	}
	return status;
}

static int print(void)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int status;

	if (!out) {
		complain("out of memory.");
		return STATUS_FAILED;
	}
	/* All or nothing: half a text would be believed. */
	status = write_metrics(out);
	if (fclose(out)) {
		complain("out of memory.");
		status = STATUS_FAILED;
	}
	if (!status)
		fwrite(text, 1, size, stdout);
	free(text);
	return status;
}

static int write_file(const char *path)
{
	char *copy = text_dup(path), *new = text_printf("%s/.prereg-metrics.XXXXXX", dirname(copy));
	const int fd = mkostemp(new, O_CLOEXEC);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
	int status = STATUS_FAILED;

	if (out) {
		status = write_metrics(out);
		/* The collector runs as another user. */
		if (!status && (fchmod(fd, 0644) || fflush(out) || ferror(out) || fsync(fd) || rename(new, path)))
			status = -1;
	} else {
		status = -1;
	}
	if (status < 0) {
		complain("%s cannot be written: %s.", path, strerror(errno));
		status = STATUS_FAILED;
	}
	if (out)
		fclose(out);
	if (status && fd >= 0)
		unlink(new);
	free(new);
	free(copy);
	return status;
}

int metrics_main(int argc, char **argv)
{
	static const struct argp argp = {
		options, parse, NULL,
		"Writes what vfio_prereg has pinned, and what the host has, as OpenMetrics text.", sys_args, NULL, NULL
	};
	const char *output = NULL;

	argp_parse(&argp, argc, argv, 0, NULL, &output);
	return output ? write_file(output) : print();
}
