// SPDX-License-Identifier: GPL-2.0
/* prereg show PID: all that is known of one process. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "tool.h"

struct show {
	struct style	style;
	uint64_t	pid;
	uint64_t	id;
	bool		by_pid;
	bool		by_id;
};

static const struct argp_option options[] = {
	{ "bytes", 'b', NULL, 0, "Sizes in bytes and ages in seconds, as numbers", 0 },
	{ "id", 'i', "ID", 0, "The owner with this number (\"prereg list --output +ID\"), as one whose process has ended", 0 },
	{ "json", 'J', NULL, 0, "One JSON object", 0 },
	{ 0 }
};

static uint64_t number(const char *text, const char *what, struct argp_state *state)
{
	uint64_t value = 0;

	/* Of decimal digits alone: a pid has no suffix. */
	if (strspn(text, "0123456789") != strlen(text) || !size_parse(text, &value) || !value)
		argp_error(state, "\"%s\" is no %s", text, what);
	return value;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct show *show = state->input;

	switch (key) {
	case 'b':
		show->style.bytes = true;
		return 0;
	case 'i':
		show->by_id = true;
		show->id = number(arg, "owner's number", state);
		return 0;
	case 'J':
		show->style.json = true;
		return 0;
	case ARGP_KEY_ARG:
		if (show->by_pid)
			argp_error(state, "one PID at a time");
		show->by_pid = true;
		show->pid = number(arg, "PID", state);
		return 0;
	case ARGP_KEY_END:
		if (show->by_pid == show->by_id)
			argp_error(state, "this needs a PID, or --id");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* ---- regions ---- */

struct regions {
	struct prereg_region	*region;
	size_t			n;
};

static int add_region(const struct prereg_region *region, void *data)
{
	struct regions *regions = data;

	regions->region = grown(regions->region, regions->n + 1, sizeof(*region));
	regions->region[regions->n++] = *region;
	return 0;
}

static const struct {
	uint32_t	flag;
	const char	*name;
} flag_names[] = {
	{ PREREG_REGION_IMPLICIT, "implicit" },
	{ PREREG_REGION_KEPT, "kept" },
	{ PREREG_REGION_WRITABLE, "writable" },
	{ PREREG_REGION_DEVICE, "device" },
	{ PREREG_REGION_STALE, "stale" },
	{ PREREG_REGION_PINNING, "pinning" },
};

/* Names of the flags, a line each; NULL: none is set; to be freed. */
static char *flags_lines(uint32_t flags)
{
	char *lines = NULL;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flag_names); i++)
		if (flags & flag_names[i].flag)
			text_add_line(&lines, flag_names[i].name);
	return lines;
}

#define REGION_COLUMN(getter, kind, assign)					\
	static void getter(const void *data, struct value *value)		\
	{									\
		const struct prereg_region *row = data;				\
										\
		value->kind = (assign);						\
	}

REGION_COLUMN(get_first, number, row->vaddr)
REGION_COLUMN(get_end, number, row->vaddr + row->bytes)
REGION_COLUMN(get_bytes, number, row->bytes)
REGION_COLUMN(get_runs, number, row->runs)
REGION_COLUMN(get_largest, number, row->largest_run)
REGION_COLUMN(get_sizes, number, row->page_sizes)
REGION_COLUMN(get_users, number, row->users)

static void get_flags(const void *data, struct value *value)
{
	/* Every combination that was asked for, kept: a value's text outlives this call. */
	static char *texts[1 << ARRAY_SIZE(flag_names)];
	const uint32_t flags = ((const struct prereg_region *)data)->flags % ARRAY_SIZE(texts);

	if (!texts[flags])
		texts[flags] = flags_lines(flags);
	value->text = texts[flags];
}

static const struct column region_columns[] = {
	{ "START", VALUE_ADDRESS, true, false, "", get_first },
	{ "END", VALUE_ADDRESS, true, false, "", get_end },
	{ "SIZE", VALUE_SIZE, true, false, "", get_bytes },
	{ "RUNS", VALUE_NUMBER, true, false, "", get_runs },
	{ "LARGEST-RUN", VALUE_SIZE, true, false, "", get_largest },
	{ "PAGE-SIZES", VALUE_SIZES, true, false, "", get_sizes },
	{ "USERS", VALUE_NUMBER, true, false, "", get_users },
	{ "FLAGS", VALUE_TEXTS, true, false, "", get_flags },
};

/* ---- what of a container is the owner's ---- */

struct share_row {
	const struct container_row	*container;
	const struct prereg_share	*share;
};

#define SHARE_COLUMN(getter, kind, assign)					\
	static void getter(const void *data, struct value *value)		\
	{									\
		const struct share_row *row = data;				\
										\
		value->kind = (assign);						\
	}

SHARE_COLUMN(get_s_id, number, row->container->c.id)
SHARE_COLUMN(get_s_type, number, row->container->c.type)
SHARE_COLUMN(get_s_mappings, number, row->share->mappings)
SHARE_COLUMN(get_s_mapped, number, row->share->mapped)
SHARE_COLUMN(get_s_groups, text, row->container->groups)
SHARE_COLUMN(get_s_devices, text, row->container->devices)
SHARE_COLUMN(get_s_emulated, number, row->container->c.emulated_devices)
SHARE_COLUMN(get_s_age, number, row->container->c.age_ms)

static const struct column share_columns[] = {
	{ "CONTAINER", VALUE_ID, true, false, "", get_s_id },
	{ "TYPE", VALUE_NUMBER, true, false, "", get_s_type },
	{ "MAPPINGS", VALUE_NUMBER, true, false, "", get_s_mappings },
	{ "MAPPED", VALUE_SIZE, true, false, "", get_s_mapped },
	{ "GROUPS", VALUE_NUMBERS, true, false, "", get_s_groups },
	{ "DEVICES", VALUE_TEXTS, true, false, "", get_s_devices },
	{ "EMULATED", VALUE_NUMBER, true, false, "", get_s_emulated },
	{ "AGE", VALUE_AGE, true, false, "", get_s_age },
};

/* ---- windows ---- */

struct window_row {
	uint64_t			container;
	const struct prereg_window	*window;
};

#define WINDOW_COLUMN(getter, assign)						\
	static void getter(const void *data, struct value *value)		\
	{									\
		const struct window_row *row = data;				\
										\
		value->number = (assign);					\
	}

WINDOW_COLUMN(get_w_container, row->container)
WINDOW_COLUMN(get_w_start, row->window->start)
WINDOW_COLUMN(get_w_bytes, row->window->bytes)
WINDOW_COLUMN(get_w_page, row->window->page_size)
WINDOW_COLUMN(get_w_levels, row->window->levels)

static const struct column window_columns[] = {
	{ "CONTAINER", VALUE_ID, true, false, "", get_w_container },
	{ "WINDOW", VALUE_ADDRESS, true, false, "", get_w_start },
	{ "SIZE", VALUE_SIZE, true, false, "", get_w_bytes },
	{ "PAGE", VALUE_SIZE, true, false, "", get_w_page },
	{ "LEVELS", VALUE_NUMBER, true, false, "", get_w_levels },
};

/* ---- the two forms ---- */

/* One owner with its regions and its shares of containers. */
struct subject {
	const struct owner_row	*owner;
	struct regions		regions;
	struct share_row	*shares;
	size_t			nshares;
	struct window_row	*windows;
	size_t			nwindows;
};

static json_t *regions_json(const struct subject *subject)
{
	json_t *array = json_new_array(), *object;
	size_t i;

	for (i = 0; i < subject->regions.n; i++) {
		const struct prereg_region *region = &subject->regions.region[i];
		char *flags = flags_lines(region->flags);

		object = json_new_object();
		json_put_address(object, "start", region->vaddr);
		json_put_address(object, "end", region->vaddr + region->bytes);
		json_put_number(object, "size", region->bytes);
		json_put_number(object, "runs", region->runs);
		json_put_number(object, "largest_run", region->largest_run);
		json_put(object, "page_sizes", json_bits(region->page_sizes));
		json_put_number(object, "users", region->users);
		json_put(object, "flags", json_lines(flags));
		json_append(array, object);
		free(flags);
	}
	return array;
}

static json_t *windows_json(const struct prereg_container *container)
{
	json_t *array = json_new_array(), *object;
	size_t i;

	for (i = 0; i < container->nwindows; i++) {
		object = json_new_object();
		json_put_address(object, "start", container->windows[i].start);
		json_put_number(object, "size", container->windows[i].bytes);
		json_put_number(object, "page_size", container->windows[i].page_size);
		json_put_number(object, "levels", container->windows[i].levels);
		json_append(array, object);
	}
	return array;
}

static json_t *containers_json(const struct subject *subject)
{
	json_t *array = json_new_array(), *object, *groups;
	size_t i, j;

	for (i = 0; i < subject->nshares; i++) {
		const struct prereg_container *c = &subject->shares[i].container->c;

		groups = json_new_array();
		for (j = 0; j < c->ngroups; j++)
			json_append(groups, json_integer(c->groups[j]));
		object = json_new_object();
		json_put_id(object, "id", c->id);
		json_put_number(object, "type", c->type);
		json_put_number(object, "age", c->age_ms / 1000);
		json_put_number(object, "mappings", subject->shares[i].share->mappings);
		json_put_number(object, "mapped", subject->shares[i].share->mapped);
		json_put(object, "groups", groups);
		json_put(object, "devices", json_lines(subject->shares[i].container->devices));
		json_put_number(object, "emulated", c->emulated_devices);
		json_put(object, "windows", windows_json(c));
		json_append(array, object);
	}
	return array;
}

static void print_json(const struct subject *subject)
{
	const struct prereg_owner *o = &subject->owner->o;
	json_t *object = json_new_object();

	json_put_number(object, "id", o->id);
	json_put(object, "pid", o->pid ? json_integer(o->pid) : json_null());
	json_put_text(object, "command", *o->comm ? o->comm : NULL);
	json_put_text(object, "user", subject->owner->user);
	json_put_number(object, "uid", o->uid);
	json_put_text(object, "state", o->pid ? "alive" : "shared");
	json_put_number(object, "age", o->age_ms / 1000);
	json_put_number(object, "registered", o->registered);
	json_put_number(object, "charged", o->charged);
	json_put_number(object, "kept", o->kept);
	json_put_number(object, "mappings", subject->owner->mappings);
	json_put_number(object, "mapped", subject->owner->mapped);
	json_put_number(object, "stale", o->stale_mappings);
	json_put(object, "regions", regions_json(subject));
	json_put(object, "containers", containers_json(subject));
	json_print(object, false);
}

static int print_part(const struct subject *subject, const struct style *style, int which)
{
	struct table table = { .sort_by = -1 };

	switch (which) {
	case 0:
		table.columns = region_columns;
		table.ncolumns = ARRAY_SIZE(region_columns);
		table.rows = subject->regions.region;
		table.nrows = subject->regions.n;
		table.row_size = sizeof(*subject->regions.region);
		break;
	case 1:
		table.columns = share_columns;
		table.ncolumns = ARRAY_SIZE(share_columns);
		table.rows = subject->shares;
		table.nrows = subject->nshares;
		table.row_size = sizeof(*subject->shares);
		break;
	default:
		table.columns = window_columns;
		table.ncolumns = ARRAY_SIZE(window_columns);
		table.rows = subject->windows;
		table.nrows = subject->nwindows;
		table.row_size = sizeof(*subject->windows);
		break;
	}
	if (!table.nrows)
		return STATUS_OK;
	putchar('\n');
	return table_print(&table, style);
}

static int print_plain(const struct subject *subject, const struct style *style)
{
	/* The owner's columns, each on a line. */
	static const struct column *const columns = owner_columns;
	struct table table = { .rows = subject->owner, .nrows = 1, .row_size = sizeof(*subject->owner), .sort_by = -1 };
	struct style one = { .noheadings = true, .raw = false, .bytes = style->bytes };
	int status = STATUS_OK, which;
	size_t i;

	for (i = 0; i < owner_ncolumns; i++) {
		char *text;

		one.output = columns[i].name;
		table.columns = columns;
		table.ncolumns = owner_ncolumns;
		text = table_text(&table, &one);
		if (!text)
			return STATUS_FAILED;
		text[strcspn(text, "\n")] = 0;
		printf("%-15s%s\n", columns[i].name, text + strspn(text, " "));
		free(text);
	}
	for (which = 0; !status && which < 3; which++)
		status = print_part(subject, style, which);
	return status;
}

static void gather(struct subject *subject, const struct snapshot *snapshot)
{
	size_t i, j;

	for (i = 0; i < snapshot->ncontainers; i++) {
		const struct container_row *container = &snapshot->containers[i];
		const struct prereg_share *share = container_share(container, subject->owner->o.id);

		if (!share)
			continue;
		subject->shares = grown(subject->shares, subject->nshares + 1, sizeof(*subject->shares));
		subject->shares[subject->nshares++] = (struct share_row){ container, share };
		for (j = 0; j < container->c.nwindows; j++) {
			subject->windows = grown(subject->windows, subject->nwindows + 1, sizeof(*subject->windows));
			subject->windows[subject->nwindows++] =
				(struct window_row){ container->c.id, &container->c.windows[j] };
		}
	}
}

static int print_owner(struct prereg_view *view, const struct show *show, const struct snapshot *snapshot,
		       const struct owner_row *owner)
{
	struct subject subject = { .owner = owner };
	int status = STATUS_OK;

	if (prereg_view_regions(view, owner->o.id, add_region, &subject.regions)) {
		if (errno == ENOENT) {
			complain("process %u (%s) ended just now.", owner->o.pid, owner->o.comm);
			status = STATUS_FAILED;
		} else {
			status = view_failed(view);
		}
	} else {
		gather(&subject, snapshot);
		if (show->style.json)
			print_json(&subject);
		else
			status = print_plain(&subject, &show->style);
	}
	free(subject.regions.region);
	free(subject.shares);
	free(subject.windows);
	return status;
}

static int not_found(struct prereg_view *view, const struct show *show, const struct snapshot *snapshot)
{
	size_t i;

	for (i = 0; show->by_pid && i < snapshot->nowners; i++) {
		if (snapshot->owners[i].orphan && snapshot->owners[i].o.pid == show->pid) {
			complain("process %" PRIu64 " has ended, and nothing of it is pinned; container %s lost its owner with it: \"prereg list --containers\".",
				 show->pid, snapshot->owners[i].container_ids);
			return STATUS_FAILED;
		}
	}
	complain("%s %" PRIu64 " has no memory registered%s.", show->by_pid ? "process" : "owner",
		 show->by_pid ? show->pid : show->id,
		 prereg_view_scope(view) == PREREG_SCOPE_HOST ? "" : ", or is not yours to see: run this on the host, as root");
	return STATUS_FAILED;
}

int show_main(int argc, char **argv)
{
	static const struct argp argp = {
		options, parse, "PID",
		"Shows what a process has registered, and where it is mapped.", sys_args, NULL, NULL
	};
	struct show show = { 0 };
	struct snapshot snapshot;
	struct prereg_view *view;
	int status = STATUS_OK;
	size_t i;

	argp_parse(&argp, argc, argv, 0, NULL, &show);
	view = view_open(&status);
	if (!view)
		return status;
	if (!snapshot_take(view, &snapshot)) {
		status = view_failed(view);
		goto out;
	}
	for (i = 0; i < snapshot.nowners; i++) {
		const struct owner_row *owner = &snapshot.owners[i];

		if (!owner->orphan && (show.by_pid ? owner->o.pid == show.pid : owner->o.id == show.id))
			break;
	}
	snapshot_say_busy(&snapshot);
	status = i < snapshot.nowners ? print_owner(view, &show, &snapshot, &snapshot.owners[i]) :
					not_found(view, &show, &snapshot);
out:
	snapshot_free(&snapshot);
	prereg_view_close(view);
	return status;
}
