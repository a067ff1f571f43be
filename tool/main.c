// SPDX-License-Identifier: GPL-2.0
/* prereg: which command it is. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

struct command {
	const char	*name;
	int		(*run)(int argc, char **argv);
	const char	*help;
};

static const struct command commands[] = {
	{ "list", list_main, "processes that have memory pinned, and orphaned containers" },
	{ "show", show_main, "one process: its regions, containers, windows, devices" },
	{ "top", top_main, "the list, live" },
	{ "events", events_main, "releases, refusals and the like as they happen" },
	{ "doctor", doctor_main, "is this host ready? what to do if not" },
	{ "metrics", metrics_main, "OpenMetrics, for node_exporter's textfile collector" },
};

const char *argp_program_version = "prereg " VERSION;

static const struct command *find(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int run(const struct command *command, int argc, char **argv)
{
	int status;

	/* What --help, --usage and errors call it. */
	argv[0] = text_printf("prereg %s", command->name);
	status = command->run(argc, argv);
	free(argv[0]);
	return status;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	int *status = state->input;
	const struct command *command;
	const int first = state->next - 1;

	switch (key) {
	case ARGP_KEY_ARG:
		command = find(arg);
		if (!command)
			argp_error(state, "there is no command \"%s\"", arg);
		/* The rest is the command's own. */
		state->next = state->argc;
		*status = run(command, state->argc - first, state->argv + first);
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which command?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static char *help_filter(int key, const char *text, void *input)
{
	char *list, *line;
	size_t i;

	(void)input;
	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)text;
	list = text_dup("Commands:");
	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		line = text_printf("  %-8s %s", commands[i].name, commands[i].help);
		text_add_line(&list, line);
		free(line);
	}
	text_add_line(&list, "\n\"prereg COMMAND --help\" has a command's options.\n");
	text_add_line(&list, "Exit status: 0 done; 1 failed, or of doctor: something is not ok; 2 wrong usage; 3 the module vfio_prereg is not loaded; 4 not permitted.");
	return list;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		NULL, parse, "COMMAND [OPTION...]",
		"Shows what vfio_prereg, the VFIO backend that pins user memory once, holds.\v-", NULL, help_filter, NULL
	};
	int status = STATUS_FAILED, fd;

	/* Where one of these is closed, nothing that we open may become it. */
	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null", O_RDONLY);
	setlocale(LC_ALL, "");
	/* A number is the same for every program that reads ours. */
	setlocale(LC_NUMERIC, "C");
	argp_err_exit_status = STATUS_USAGE;
	if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &status))
		return STATUS_FAILED;
	if (fflush(stdout) || ferror(stdout)) {
		/* Who reads us through a pipe and has seen enough is no failure of ours. */
		if (errno != EPIPE)
			complain("the answer could not be written: %s.", strerror(errno));
		return status ?: STATUS_FAILED;
	}
	return status;
}
