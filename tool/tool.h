/* SPDX-License-Identifier: GPL-2.0 */
/*
 * prereg: shows what vfio_prereg holds. One file a command; what they share is declared here.
 *
 * A command gets its own argv and returns the exit status. Answers go to standard output, everything else
 * (errors, what is not shown and why) to standard error.
 */
#ifndef TOOL_H
#define TOOL_H

#include <argp.h>
#include <errno.h>
#include <prereg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define TOOL_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Exit statuses, as prereg(1) has them. */
enum {
	STATUS_OK = 0,
	STATUS_FAILED = 1,
	STATUS_USAGE = 2,
	STATUS_NOT_LOADED = 3,
	STATUS_DENIED = 4,
};

int list_main(int argc, char **argv);
int show_main(int argc, char **argv);
int top_main(int argc, char **argv);
int events_main(int argc, char **argv);
int doctor_main(int argc, char **argv);
int metrics_main(int argc, char **argv);

/* ---- util.c: what every command needs ------------------------------------- */

/* "prereg: TEXT" on standard error. */
void complain(const char *fmt, ...) TOOL_PRINTF(1, 2);
/* These end the program if there is no memory. */
void *grown(void *array, size_t n, size_t size);
char *text_dup(const char *text);
char *text_printf(const char *fmt, ...) TOOL_PRINTF(1, 2);
/*
 * A process's name may be any bytes: what is no UTF-8, or would move a terminal's cursor, becomes
 * question marks. To be freed.
 */
char *text_clean(const char *text);
/* Adds a line to *@text, which is NULL or allocated. */
void text_add_line(char **text, const char *line);

/* STATUS_* that belongs to an errno of the library. */
int status_of_errno(int error);
/* Connects to the module. NULL: complained, *@status is what to exit with. */
struct prereg_view *view_open(int *status);
/* Complains of the view's last failure; the status to exit with. */
int view_failed(const struct prereg_view *view);
/* Says on standard error what the module does not show this caller. */
void view_say_limits(struct prereg_view *view);

/* A number with a suffix, as "512M" or "1G"; false if it is none. */
bool size_parse(const char *text, uint64_t *bytes);
/* "1.5G", "4K"; in @buffer. */
#define SIZE_CHARS 16
const char *size_human(uint64_t bytes, char buffer[SIZE_CHARS]);
/* "42s", "7m", "3h12m", "5d4h". */
#define AGE_CHARS 32
const char *age_human(uint64_t ms, char buffer[AGE_CHARS]);

/* ---- sys.c: what sysfs and procfs say -------------------------------------- */

/*
 * Of a command that reads them: the option --sysroot, and the answer to arguments that the command does not take itself. Has no
 * input.
 */
extern const struct argp sys_argp;
/* Only that, as a command's children. */
extern const struct argp_child sys_args[2];

/* The path below --sysroot; to be freed. */
char *sys_path(const char *fmt, ...) TOOL_PRINTF(1, 2);
/* The first line of a file, without its newline; NULL with errno set if it cannot be read; to be freed. */
char *sys_line(const char *fmt, ...) TOOL_PRINTF(1, 2);
bool sys_exists(const char *fmt, ...) TOOL_PRINTF(1, 2);
/* Where a link leads, the last part of it; NULL: it is none; to be freed. */
char *sys_link_name(const char *fmt, ...) TOOL_PRINTF(1, 2);

/* Names in a folder, numbers in their order. NULL and n 0 if there is none. */
struct names {
	char **name;
	size_t n;
};

struct names sys_names(const char *fmt, ...) TOOL_PRINTF(1, 2);
void names_free(struct names *names);

/* The number behind "@key " in /proc/vmstat; false if there is none. */
bool sys_vmstat(const char *key, uint64_t *value);

/* ---- columns.c: tables ------------------------------------------------------- */

enum value_kind {
	VALUE_TEXT,
	VALUE_NUMBER,
	VALUE_ID,		/* a number that means nothing but itself; text in JSON, as it may be above 2^53 */
	VALUE_SIZE,		/* bytes */
	VALUE_AGE,		/* ms; seconds where it is a number */
	VALUE_ADDRESS,		/* 0x…, also in JSON, where numbers above 2^53 are not safe */
	VALUE_TEXTS,		/* lines of text; an array in JSON */
	VALUE_NUMBERS,		/* lines that are numbers */
	VALUE_SIZES,		/* a bitmap of powers of two */
};

struct value {
	uint64_t	number;
	const char	*text;
	bool		absent;		/* empty, null in JSON */
};

/**
 * struct column - of a table
 * @name: heading; in lower case, the key in JSON
 * @kind: what is in it
 * @standard: shown unless --output says otherwise
 * @truncate: may be cut if the terminal is too narrow
 * @help: what it is
 * @get: fills in @value, which is zero, from a row
 */
struct column {
	const char	*name;
	enum value_kind	kind;
	bool		standard;
	bool		truncate;
	const char	*help;
	void		(*get)(const void *row, struct value *value);
};

/* How a table is to look: the options --bytes --json --noheadings --output --raw. */
struct style {
	bool		bytes;
	bool		json;
	bool		noheadings;
	bool		raw;
	const char	*output;
};

/* These options, for a command's argp_child; its input is a struct style. */
extern const struct argp style_argp;

/**
 * struct table - rows of which each column knows what it shows
 * @name: in JSON
 * @rows: an array
 * @row_size: bytes of one
 * @sort_by: a column of @columns, or -1 for the order of @rows
 * @reverse: the largest last
 * @width: of the terminal; 0: as it is
 */
struct table {
	const char		*name;
	const struct column	*columns;
	size_t			ncolumns;
	const void		*rows;
	size_t			nrows;
	size_t			row_size;
	int			sort_by;
	bool			reverse;
	size_t			width;
};

/* The number of a column by its name, in either case; -1: none. */
int column_find(const struct table *table, const char *name);
/* The columns that "--output" may name, for a --help text; to be freed. */
char *columns_help(const struct column *columns, size_t ncolumns);
/* False, and complained, if @style->output names a column that is not there. */
bool table_output_valid(const struct table *table, const struct style *style);
/* To standard output; the exit status. */
int table_print(const struct table *table, const struct style *style);
/* To a text, which is to be freed; NULL: complained. */
char *table_text(const struct table *table, const struct style *style);

/* ---- snapshot.c: owners and containers, joined --------------------------------- */

/* A container with what is known of it from elsewhere. */
struct container_row {
	struct prereg_container	c;
	char			*user;
	char			*groups;	/* numbers, a line each */
	char			*devices;	/* addresses, a line each */
};

/*
 * An owner; or, if @orphan, a container that has lost its own: then o.pid and o.comm are those of the
 * process that ended, o.age_ms is the time since, and o.id is 0.
 */
struct owner_row {
	struct prereg_owner	o;
	bool			orphan;
	char			*user;
	uint64_t		mappings;
	uint64_t		mapped;
	char			*groups;
	char			*devices;
	char			*container_ids;
};

struct snapshot {
	struct owner_row	*owners;
	size_t			nowners;
	size_t			norphans;	/* of them */
	struct container_row	*containers;
	size_t			ncontainers;
};

/* Asks the module. false: the view says why. Either way to be freed with snapshot_free(). */
bool snapshot_take(struct prereg_view *view, struct snapshot *snapshot);
void snapshot_free(struct snapshot *snapshot);
/* Says on standard error of which containers little is known, as much is being done in them. */
void snapshot_say_busy(const struct snapshot *snapshot);
/* What an owner has in a container; NULL: nothing. */
const struct prereg_share *container_share(const struct container_row *row, uint64_t owner_id);

/* The columns of owners and of containers, which list and top show. */
extern const struct column owner_columns[];
extern const size_t owner_ncolumns;
extern const struct column container_columns[];
extern const size_t container_ncolumns;

/* User @uid's name, or the number; to be freed. */
char *user_name(uint32_t uid);

#endif
