// SPDX-License-Identifier: GPL-2.0
/* Tables, by libsmartcols: aligned, raw, or JSON, with the columns that --output names. */
#define _GNU_SOURCE
#include <ctype.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "tool.h"

static const struct argp_option style_options[] = {
	{ "bytes", 'b', NULL, 0, "Sizes in bytes and ages in seconds, as numbers", 1 },
	{ "json", 'J', NULL, 0, "JSON, with --bytes, and all columns unless --output is given", 1 },
	{ "noheadings", 'n', NULL, 0, "No headings", 1 },
	{ "output", 'o', "COLUMNS", 0, "Columns to show, with commas between; +COLUMNS: besides the usual", 1 },
	{ "raw", 'r', NULL, 0, "Not aligned, blanks as \\x20", 1 },
	{ 0 }
};

static error_t parse_style(int key, char *arg, struct argp_state *state)
{
	struct style *style = state->input;

	switch (key) {
	case 'b':
		style->bytes = true;
		return 0;
	case 'J':
		style->json = true;
		return 0;
	case 'n':
		style->noheadings = true;
		return 0;
	case 'o':
		style->output = arg;
		return 0;
	case 'r':
		style->raw = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp style_argp = { style_options, parse_style, NULL, NULL, NULL, NULL, NULL };

char *columns_help(const struct column *columns, size_t ncolumns)
{
	char *text = text_dup("Columns for --output; those with a star are shown without it:");
	size_t i;

	for (i = 0; i < ncolumns; i++) {
		char *line = text_printf("  %c %-13s %s", columns[i].standard ? '*' : ' ', columns[i].name, columns[i].help);

		text_add_line(&text, line);
		free(line);
	}
	return text;
}

int column_find(const struct table *table, const char *name)
{
	size_t i;

	for (i = 0; i < table->ncolumns; i++)
		if (!strcasecmp(table->columns[i].name, name))
			return (int)i;
	return -1;
}

/* The numbers of the columns to show, to be freed; NULL: complained. */
static int *chosen_columns(const struct table *table, const struct style *style, size_t *n)
{
	const bool more = style->output && *style->output == '+';
	int *chosen = NULL;
	char *copy, *at, *value, **tokens;
	size_t i;

	*n = 0;
	for (i = 0; i < table->ncolumns; i++) {
		if (style->output ? more && table->columns[i].standard : style->json || table->columns[i].standard) {
			chosen = grown(chosen, *n + 1, sizeof(*chosen));
			chosen[(*n)++] = (int)i;
		}
	}
	if (!style->output)
		return chosen;

	/* getsubopt() knows tokens as they are written. */
	tokens = grown(NULL, table->ncolumns + 1, sizeof(*tokens));
	for (i = 0; i < table->ncolumns; i++)
		tokens[i] = (char *)table->columns[i].name;
	tokens[i] = NULL;
	copy = text_dup(style->output + more);
	for (at = copy; *at; at++)
		*at = (char)toupper((unsigned char)*at);
	for (at = copy; *at;) {
		const int found = getsubopt(&at, tokens, &value);

		if (found < 0 || value) {
			complain("there is no column \"%s\"; --help names all.", found < 0 ? value : tokens[found]);
			free(chosen);
			chosen = NULL;
			*n = 0;
			break;
		}
		chosen = grown(chosen, *n + 1, sizeof(*chosen));
		chosen[(*n)++] = found;
	}
	if (!chosen && !*copy)
		complain("--output needs the name of a column.");
	free(copy);
	free(tokens);
	return chosen;
}

bool table_output_valid(const struct table *table, const struct style *style)
{
	size_t n;
	int *chosen = chosen_columns(table, style, &n);

	free(chosen);
	return n;
}

/*
 * Lines, with commas between for people; for JSON each as a value of an array. libsmartcols makes [null] of an empty
 * cell; of a blank in a cell of values that need no quotes it makes [ ].
 */
static char *lines_text(const char *lines, bool quoted, const struct style *style)
{
	char *text, *at;

	if (style->json)
		return lines ? json_values(lines, quoted) : text_dup(" ");
	if (!lines)
		return NULL;
	text = text_dup(lines);
	for (at = text; *at; at++)
		if (*at == '\n')
			*at = ',';
	return text;
}

static char *sizes_text(uint64_t sizes, const struct style *style)
{
	char buffer[SIZE_CHARS], *lines = NULL, *text;

	for (; sizes; sizes &= sizes - 1) {
		const uint64_t size = sizes & -sizes;

		if (style->bytes || style->json) {
			text = text_printf("%" PRIu64, size);
			text_add_line(&lines, text);
			free(text);
		} else {
			text_add_line(&lines, size_human(size, buffer));
		}
	}
	text = lines_text(lines, false, style);
	free(lines);
	return text;
}

/* A cell's text, to be freed; NULL: empty. */
static char *value_text(const struct column *column, const void *row, const struct style *style)
{
	const bool plain = style->bytes || style->json;
	char buffer[AGE_CHARS];
	struct value value = { 0 };

	column->get(row, &value);
	if (value.absent)
		return NULL;
	switch (column->kind) {
	case VALUE_TEXT:
		return value.text ? text_dup(value.text) : NULL;
	case VALUE_TEXTS:
	case VALUE_NUMBERS:
		return lines_text(value.text, column->kind == VALUE_TEXTS, style);
	case VALUE_SIZES:
		return sizes_text(value.number, style);
	case VALUE_ADDRESS:
		return text_printf("0x%" PRIx64, value.number);
	case VALUE_AGE:
		return plain ? text_printf("%" PRIu64, value.number / 1000) : text_dup(age_human(value.number, buffer));
	case VALUE_SIZE:
		if (!plain)
			return text_dup(size_human(value.number, buffer));
		/* fall through */
	case VALUE_NUMBER:
	case VALUE_ID:
		break;
	}
	return text_printf("%" PRIu64, value.number);
}

static bool is_array(enum value_kind kind)
{
	return kind == VALUE_TEXTS || kind == VALUE_NUMBERS || kind == VALUE_SIZES;
}

static bool is_text(enum value_kind kind)
{
	return kind == VALUE_TEXT || kind == VALUE_TEXTS || kind == VALUE_ADDRESS || kind == VALUE_ID;
}

static int scols_type(enum value_kind kind)
{
	/* Quotes are ours, see lines_text(). */
	if (is_array(kind))
		return SCOLS_JSON_ARRAY_NUMBER;
	return is_text(kind) ? SCOLS_JSON_STRING : SCOLS_JSON_NUMBER;
}

static bool add_column(struct libscols_table *scols, const struct column *column, const struct style *style)
{
	struct libscols_column *added;
	int flags = 0;

	if (column->kind == VALUE_ID || (!is_text(column->kind) && !is_array(column->kind)))
		flags |= SCOLS_FL_RIGHT;
	if (column->truncate && !style->json)
		flags |= SCOLS_FL_TRUNC;
	if (style->json && is_array(column->kind))
		flags |= SCOLS_FL_WRAP;
	added = scols_table_new_column(scols, column->name, 0.1, flags);
	if (!added || scols_column_set_json_type(added, scols_type(column->kind)))
		return false;
	if (!(flags & SCOLS_FL_WRAP))
		return true;
	/* A cell of lines becomes an array. */
	return !scols_column_set_wrapfunc(added, scols_wrapnl_chunksize, scols_wrapnl_nextchunk, NULL) &&
	       !scols_column_set_safechars(added, "\n");
}

/* Where to sort by what a person sees in the column. */
struct sorting {
	const struct column	*column;
	bool			reverse;
};

static int compare_rows(const void *a, const void *b, void *data)
{
	const struct sorting *sorting = data;
	struct value x = { 0 }, y = { 0 };
	int order;

	sorting->column->get(*(const void *const *)a, &x);
	sorting->column->get(*(const void *const *)b, &y);
	if (x.text || y.text)
		order = strverscmp(x.text ?: "", y.text ?: "");
	else
		order = (x.number < y.number) - (x.number > y.number);
	return sorting->reverse ? -order : order;
}

/* Pointers to the rows, in the order to show them; to be freed. */
static const void **ordered_rows(const struct table *table)
{
	struct sorting sorting = { NULL, table->reverse };
	const void **rows = grown(NULL, table->nrows + 1, sizeof(*rows));
	size_t i;

	for (i = 0; i < table->nrows; i++)
		rows[i] = (const char *)table->rows + i * table->row_size;
	if (table->sort_by >= 0) {
		sorting.column = &table->columns[table->sort_by];
		qsort_r(rows, table->nrows, sizeof(*rows), compare_rows, &sorting);
	}
	return rows;
}

static bool add_row(struct libscols_table *scols, const struct table *table, const void *row, const int *chosen,
		    size_t nchosen, const struct style *style)
{
	struct libscols_line *line = scols_table_new_line(scols, NULL);
	size_t i;

	if (!line)
		return false;
	for (i = 0; i < nchosen; i++) {
		char *text = value_text(&table->columns[chosen[i]], row, style);

		/* From here on it is the table's. */
		if (text && scols_line_refer_data(line, i, text)) {
			free(text);
			return false;
		}
	}
	return true;
}

static struct libscols_table *make_table(const struct table *table, const struct style *style)
{
	struct libscols_table *scols = scols_new_table();
	const void **rows = NULL;
	size_t nchosen, i;
	int *chosen;
	bool good;

	if (!scols)
		return NULL;
	scols_table_set_name(scols, table->name);
	scols_table_enable_json(scols, style->json);
	scols_table_enable_noheadings(scols, style->noheadings);
	scols_table_enable_raw(scols, style->raw && !style->json);
	if (table->width) {
		scols_table_set_termforce(scols, SCOLS_TERMFORCE_ALWAYS);
		scols_table_set_termwidth(scols, table->width);
	}
	chosen = chosen_columns(table, style, &nchosen);
	good = nchosen;
	for (i = 0; good && i < nchosen; i++)
		good = add_column(scols, &table->columns[chosen[i]], style);
	rows = ordered_rows(table);
	for (i = 0; good && i < table->nrows; i++)
		good = add_row(scols, table, rows[i], chosen, nchosen, style);
	free(rows);
	free(chosen);
	if (good)
		return scols;
	scols_unref_table(scols);
	return NULL;
}

int table_print(const struct table *table, const struct style *style)
{
	struct libscols_table *scols;
	int error;

	if (!table_output_valid(table, style))
		return STATUS_USAGE;
	scols = make_table(table, style);
	error = scols ? scols_print_table(scols) : -ENOMEM;
	scols_unref_table(scols);
	if (error) {
		complain("the table cannot be printed: %s.", strerror(-error));
		return STATUS_FAILED;
	}
	return STATUS_OK;
}

char *table_text(const struct table *table, const struct style *style)
{
	struct libscols_table *scols = make_table(table, style);
	char *text = NULL;

	if (scols && scols_print_table_to_string(scols, &text))
		text = NULL;
	scols_unref_table(scols);
	if (!text)
		complain("the table cannot be made: out of memory.");
	return text;
}
