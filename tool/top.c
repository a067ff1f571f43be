// SPDX-License-Identifier: GPL-2.0
/* prereg top: the list, again and again, on a terminal; or as text with --once. */
#define _GNU_SOURCE
#include <ctype.h>
#include <locale.h>
#include <math.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

struct top {
	struct style	style;
	double		delay;
	uint64_t	iterations;	/* 0: no end */
	bool		batch;
	struct table	table;
	size_t		first;		/* row at the top */
	bool		help;
};

static const struct argp_option options[] = {
	{ "batch", 'B', NULL, 0, "Text, one list behind the other, as \"top -b\"; so is what goes into a pipe", 0 },
	{ "bytes", 'b', NULL, 0, "Sizes in bytes and ages in seconds", 0 },
	{ "delay", 'd', "SECONDS", 0, "Between two lists; 2 if not given", 0 },
	{ "iterations", 'i', "N", 0, "End after N lists", 0 },
	{ "json", 'J', NULL, 0, "--batch, each list as \"prereg list --json\" has it", 0 },
	{ "once", '1', NULL, 0, "--batch --iterations=1", 0 },
	{ "output", 'o', "COLUMNS", 0, "Columns to show, as of \"prereg list\"", 0 },
	{ "sort", 'S', "COLUMN", 0, "Order by this column, +COLUMN the other way round; REGISTERED if not given", 0 },
	{ 0 }
};

/* Keys that order by a column. */
static const struct {
	int		key;
	const char	*column;
} sort_keys[] = {
	{ 'p', "PID" }, { 'n', "COMMAND" }, { 'u', "USER" }, { 'm', "REGISTERED" }, { 'd', "MAPPED" }, { 'c', "CHARGED" },
	{ 'a', "AGE" },
};

static const char *const help_lines[] = {
	"Order by:  p pid   n command   u user   m registered   d mapped   c charged   a age",
	"           < >  the column before, behind     r  the other way round",
	"Move:      up, down, page up, page down, home, end",
	"space      ask now           h ?  this help           q  quit",
	"",
	"STATE: alive; shared: the process ended, others use its memory; orphan: a container that",
	"is held open and whose owner has ended. Nothing of it is pinned any more.",
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct top *top = state->input;
	char *end;

	switch (key) {
	case '1':
		top->batch = true;
		top->iterations = 1;
		return 0;
	case 'B':
		top->batch = true;
		return 0;
	case 'b':
		top->style.bytes = true;
		return 0;
	case 'd':
		top->delay = strtod(arg, &end);
		if (end == arg || *end || !(top->delay >= 0.1 && top->delay <= 3600))
			argp_error(state, "\"%s\" is no delay: give 0.1 to 3600 seconds", arg);
		return 0;
	case 'i':
		if (!size_parse(arg, &top->iterations) || !top->iterations)
			argp_error(state, "\"%s\" is no number of lists", arg);
		return 0;
	case 'J':
		top->batch = true;
		top->style.json = true;
		return 0;
	case 'o':
		top->style.output = arg;
		return 0;
	case 'S':
		top->table.reverse = *arg == '+';
		top->table.sort_by = column_find(&top->table, arg + (*arg == '+'));
		if (top->table.sort_by < 0)
			argp_error(state, "there is no column \"%s\"", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The lines above the list, as one text. */
static char *summary(const struct top *top, const struct snapshot *snapshot, const struct prereg_counters *c)
{
	char a[SIZE_CHARS], b[SIZE_CHARS], d[SIZE_CHARS], e[SIZE_CHARS], clock[16], *text, *line;
	const time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	text = text_printf("prereg top - %s: owners %zu, containers %zu, without owner %zu; by %s", clock,
			   snapshot->nowners - snapshot->norphans, snapshot->ncontainers, snapshot->norphans,
			   top->table.columns[top->table.sort_by].name);
	if (c) {
		line = text_printf("pinned %s, charged %s, mapped %s, kept %s; mappings %llu, regions %llu",
				   size_human(c->pinned, a), size_human(c->charged, b), size_human(c->mapped, d),
				   size_human(c->kept, e), (unsigned long long)c->mappings, (unsigned long long)c->regions);
		text_add_line(&text, line);
		free(line);
		line = text_printf("since loading: owners released %llu, unpinned %s, mappings revoked %llu, refused for memlock %llu",
				   (unsigned long long)c->releases, size_human(c->released, a),
				   (unsigned long long)c->revoked_mappings, (unsigned long long)c->refused_memlock);
		text_add_line(&text, line);
		free(line);
	} else {
		text_add_line(&text, "only what is your own user's is shown: the rest, and the host's counters, need CAP_SYS_ADMIN");
	}
	return text;
}

/* The list as text; NULL: complained. */
static char *list_text(struct top *top, const struct snapshot *snapshot, size_t width)
{
	top->table.rows = snapshot->owners;
	top->table.nrows = snapshot->nowners;
	top->table.row_size = sizeof(*snapshot->owners);
	top->table.width = width;
	return snapshot->nowners || top->style.json ? table_text(&top->table, &top->style) : text_dup("no process has memory registered");
}

static void sleep_for(double seconds)
{
	const struct timespec time = {
		.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - floor(seconds)) * 1e9)
	};

	nanosleep(&time, NULL);
}

static int batch(struct top *top, struct prereg_view *view)
{
	struct snapshot snapshot;
	int status = STATUS_OK;
	uint64_t i;

	for (i = 0; !status && (!top->iterations || i < top->iterations); i++) {
		if (i) {
			sleep_for(top->delay);
			if (!top->style.json)
				putchar('\n');
		}
		if (snapshot_take(view, &snapshot)) {
			char *list = list_text(top, &snapshot, 0);

			if (!top->style.json) {
				char *head = summary(top, &snapshot, prereg_view_counters(view));

				printf("%s\n\n", head);
				free(head);
			}
			if (list)
				printf("%s%s", list, list[strlen(list) - 1] == '\n' ? "" : "\n");
			else
				status = STATUS_FAILED;
			free(list);
		} else {
			status = view_failed(view);
		}
		snapshot_free(&snapshot);
		/* Who reads us may have gone. */
		if (fflush(stdout))
			status = STATUS_FAILED;
	}
	return status;
}

/* ---- the screen ---- */

/* Draws the lines of @text from @row on, but no more than fit; returns the row behind. */
static int draw_lines(const char *text, int row, attr_t attributes)
{
	const char *end;

	for (; *text && row < LINES; text = *end ? end + 1 : end) {
		end = strchrnul(text, '\n');
		move(row++, 0);
		attrset(attributes);
		/* What does not fit would go on in the next line. */
		addnstr(text, (int)(end - text) < COLS ? (int)(end - text) : COLS);
		attrset(A_NORMAL);
	}
	return row;
}

static void draw_help(int row)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(help_lines) && row < LINES; i++)
		mvaddnstr(row++, 0, help_lines[i], COLS);
}

/* The list's heading stays, its lines scroll. */
static void draw_list(struct top *top, char *list, int row)
{
	const size_t room = row + 1 < LINES ? (size_t)(LINES - row - 1) : 0;
	char *body = strchr(list, '\n');
	size_t skip;

	if (!body) {
		draw_lines(list, row, A_NORMAL);
		return;
	}
	*body++ = 0;
	draw_lines(list, row, A_NORMAL);
	mvchgat(row++, 0, -1, A_REVERSE, 0, NULL);
	if (top->first + room > top->table.nrows)
		top->first = top->table.nrows > room ? top->table.nrows - room : 0;
	for (skip = top->first; skip && *body; skip--) {
		body = strchrnul(body, '\n');
		body += *body == '\n';
	}
	draw_lines(body, row, A_NORMAL);
}

static bool draw(struct top *top, struct prereg_view *view, const struct snapshot *snapshot)
{
	char *head = summary(top, snapshot, prereg_view_counters(view));
	char *list = list_text(top, snapshot, (size_t)COLS);
	int row;

	if (list) {
		erase();
		row = draw_lines(head, 0, A_BOLD) + 1;
		if (top->help)
			draw_help(row);
		else
			draw_list(top, list, row);
		refresh();
	}
	free(head);
	free(list);
	return list;
}

static void order_by(struct top *top, int column)
{
	if (column < 0 || (size_t)column >= top->table.ncolumns)
		return;
	if (top->table.sort_by != column)
		top->table.reverse = false;
	top->table.sort_by = column;
}

/* false: the user wants to leave. */
static bool handle_key(struct top *top, int key)
{
	const size_t page = LINES > 8 ? (size_t)LINES - 8 : 1;
	size_t i;

	switch (key) {
	case 'q':
	case 'Q':
		return false;
	case 'r':
		top->table.reverse = !top->table.reverse;
		break;
	case 'h':
	case '?':
		top->help = !top->help;
		break;
	case '<':
		order_by(top, top->table.sort_by - 1);
		break;
	case '>':
		order_by(top, top->table.sort_by + 1);
		break;
	case KEY_DOWN:
		top->first++;
		break;
	case KEY_UP:
		top->first -= top->first ? 1 : 0;
		break;
	case KEY_NPAGE:
		top->first += page;
		break;
	case KEY_PPAGE:
		top->first -= top->first < page ? top->first : page;
		break;
	case KEY_HOME:
		top->first = 0;
		break;
	case KEY_END:
		top->first = top->table.nrows;
		break;
	default:
		for (i = 0; i < ARRAY_SIZE(sort_keys); i++)
			if (tolower(key) == sort_keys[i].key)
				order_by(top, column_find(&top->table, sort_keys[i].column));
	}
	return true;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Until the user leaves, the last list was shown, or something fails: then what to say, else NULL. */
static char *loop(struct top *top, struct prereg_view *view, int *status)
{
	struct snapshot snapshot = { 0 };
	uint64_t shown = 0;
	double next = 0;
	char *wrong = NULL;
	int key;

	for (;;) {
		if (now() >= next) {
			snapshot_free(&snapshot);
			if (top->iterations && shown++ == top->iterations)
				break;
			if (!snapshot_take(view, &snapshot)) {
				*status = status_of_errno(errno);
				wrong = text_dup(prereg_view_error(view));
				break;
			}
			next = now() + top->delay;
		}
		if (!draw(top, view, &snapshot)) {
			*status = STATUS_FAILED;
			break;
		}
		timeout(next > now() ? (int)((next - now()) * 1000) + 1 : 0);
		key = getch();
		/* KEY_RESIZE: ncurses has the new size, and all is drawn again. ERR: time is up, or a signal. */
		if (key == ' ')
			next = 0;
		else if (key != ERR && key != KEY_RESIZE && !handle_key(top, key))
			break;
	}
	snapshot_free(&snapshot);
	return wrong;
}

static int interactive(struct top *top, struct prereg_view *view)
{
	int status = STATUS_OK;
	SCREEN *screen = newterm(NULL, stdout, stdin);
	char *wrong;

	if (!screen) {
		complain("this terminal is not known (TERM is \"%s\"): set TERM, or use --batch.", getenv("TERM") ?: "");
		return STATUS_FAILED;
	}
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	curs_set(0);
	wrong = loop(top, view, &status);
	endwin();
	delscreen(screen);
	if (wrong)
		complain("%s", wrong);
	free(wrong);
	return status;
}

int top_main(int argc, char **argv)
{
	static const struct argp argp = {
		options, parse, NULL, "Shows owners and orphaned containers, live. Key h helps, q quits.", sys_args, NULL, NULL
	};
	struct top top = {
		.delay = 2,
		.table = { .name = "owners", .columns = owner_columns, .ncolumns = owner_ncolumns },
	};
	struct prereg_view *view;
	int status;

	top.table.sort_by = column_find(&top.table, "REGISTERED");
	argp_parse(&argp, argc, argv, 0, NULL, &top);
	if (!table_output_valid(&top.table, &top.style))
		return STATUS_USAGE;
	view = view_open(&status);
	if (!view)
		return status;
	if (top.batch || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
		status = batch(&top, view);
	else
		status = interactive(&top, view);
	prereg_view_close(view);
	return status;
}
