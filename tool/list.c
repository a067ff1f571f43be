// SPDX-License-Identifier: GPL-2.0
/* prereg list: who has memory pinned, and which containers have lost their owner. */
#include <stdlib.h>

#include "tool.h"

struct list {
	struct style	style;
	bool		containers;
};

static const struct argp_option options[] = {
	{ "containers", 'c', NULL, 0, "A line for each container, not for each owner", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct list *list = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &list->style;
		return 0;
	case 'c':
		list->containers = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "this takes no arguments; for a single process there is \"prereg show PID\".");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	{ &style_argp, 0, NULL, 0 }, { &sys_argp, 0, NULL, 0 }, { 0 }
};

static char *help_filter(int key, const char *text, void *input)
{
	char *owners, *containers, *both;

	(void)input;
	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)text;
	owners = columns_help(owner_columns, owner_ncolumns);
	containers = columns_help(container_columns, container_ncolumns);
	both = text_printf("%s\n\nWith --containers:\n%s\n\n"
			   "(*) The process ended; others use its address space.\n"
			   "(**) A container that is held open and whose last owner ended. Nothing of that owner is pinned any more.",
			   owners, containers);
	free(owners);
	free(containers);
	return both;
}

static int print(struct prereg_view *view, const struct list *list)
{
	struct snapshot snapshot;
	struct table table = { .sort_by = -1 };
	int status;

	if (list->containers) {
		table.name = "containers";
		table.columns = container_columns;
		table.ncolumns = container_ncolumns;
	} else {
		table.name = "owners";
		table.columns = owner_columns;
		table.ncolumns = owner_ncolumns;
	}
	/* Before anybody is asked. */
	if (!table_output_valid(&table, &list->style))
		return STATUS_USAGE;
	if (!snapshot_take(view, &snapshot)) {
		status = view_failed(view);
		snapshot_free(&snapshot);
		return status;
	}
	if (list->containers) {
		table.rows = snapshot.containers;
		table.nrows = snapshot.ncontainers;
		table.row_size = sizeof(*snapshot.containers);
	} else {
		table.rows = snapshot.owners;
		table.nrows = snapshot.nowners;
		table.row_size = sizeof(*snapshot.owners);
	}
	status = table_print(&table, &list->style);
	if (!status && !table.nrows && !list->style.json)
		complain(list->containers ? "no container is open." : "no process has memory registered.");
	snapshot_say_busy(&snapshot);
	view_say_limits(view);
	snapshot_free(&snapshot);
	return status;
}

int list_main(int argc, char **argv)
{
	static const struct argp argp = {
		options, parse, NULL,
		"Lists the processes whose memory vfio_prereg has pinned for DMA, and containers whose owner has ended.\v-",
		children, help_filter, NULL
	};
	struct list list = { 0 };
	struct prereg_view *view;
	int status;

	argp_parse(&argp, argc, argv, 0, NULL, &list);
	view = view_open(&status);
	if (!view)
		return status;
	status = print(view, &list);
	prereg_view_close(view);
	return status;
}
