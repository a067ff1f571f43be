// SPDX-License-Identifier: GPL-2.0
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

void bench_die(const char *fmt, ...)
{
	va_list ap;

	printf("bench: ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	exit(1);
}

void bench_need(int ret, const char *what)
{
	if (ret)
		bench_die("%s: %s", what, ret < 0 ? strerror(-ret) : "a positive number");
}

void bench_out(const char *what, const char *fmt, ...)
{
	va_list ap;

	printf("{\"what\":\"%s\",", what);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("}\n");
	fflush(stdout);
}

static enum backing backing_of(const char *name)
{
	int i;

	for (i = 0; i < BACKINGS; i++)
		if (!strcmp(name, backing_name[i]))
			return i;
	bench_die("\"%s\" is none of 4k, thp, scattered", name);
}

/* The number at argv[i]. */
static unsigned long number(int argc, char **argv, int i)
{
	char *end;
	unsigned long value;

	if (i >= argc)
		bench_die("too few arguments");
	value = strtoul(argv[i], &end, 0);
	if (*end || !*argv[i])
		bench_die("\"%s\" is no number", argv[i]);
	return value;
}

/* BACKING MIB … at argv[2]. */
static size_t memory_args(int argc, char **argv, enum backing *backing)
{
	*backing = backing_of(argc > 2 ? argv[2] : "");
	return number(argc, argv, 3) * MIB;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	enum backing backing;
	size_t bytes;

	if (!strcmp(what, "nop")) {
		bench_nop(number(argc, argv, 2));
	} else if (!strcmp(what, "mappings")) {
		bench_mappings(number(argc, argv, 2));
	} else if (!strcmp(what, "windows")) {
		bench_windows(number(argc, argv, 2));
	} else if (!strcmp(what, "regions")) {
		bench_regions(number(argc, argv, 2));
	} else if (!strcmp(what, "calls")) {
		bytes = memory_args(argc, argv, &backing);
		bench_calls(backing, bytes, number(argc, argv, 4));
	} else if (!strcmp(what, "bookkeeping")) {
		bytes = memory_args(argc, argv, &backing);
		bench_bookkeeping(backing, bytes, number(argc, argv, 4));
	} else if (!strcmp(what, "kill") || !strcmp(what, "tear-down")) {
		bytes = memory_args(argc, argv, &backing);
		(!strcmp(what, "kill") ? bench_kill : bench_tear_down)(
			backing, bytes, number(argc, argv, 4),
			argc > 6 && !strcmp(argv[6], "regions"), number(argc, argv, 5));
	} else {
		bench_die("usage: bench nop|mappings|windows|regions ROUNDS | calls|bookkeeping BACKING MIB ROUNDS | kill|tear-down BACKING MIB PIECES ROUNDS [regions]");
	}
	return 0;
}
