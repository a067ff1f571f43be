// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <linux/perf_event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"
#include "meter.h"
#include "proc.h"

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

size_t bench_page;
static int counter = -1;

void bench_count(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_HARDWARE, .size = sizeof(attr), .config = PERF_COUNT_HW_INSTRUCTIONS,
	};

	counter = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (counter < 0)
		bench_die("count instructions: %s", strerror(errno));
}

bool bench_counts(void)
{
	return counter >= 0;
}

uint64_t bench_now(void)
{
	uint64_t count;

	if (!bench_counts())
		return meter_now_ns();
	if (read(counter, &count, sizeof(count)) != sizeof(count))
		bench_die("read the count of instructions: %s", strerror(errno));
	return count;
}

static enum backing backing_of(const char *name)
{
	int i;

	for (i = 0; i < BACKINGS; i++)
		if (!strcmp(name, backing_name[i]))
			return i;
	bench_die("\"%s\" is none of small, thp, scattered, window64k, window2m", name);
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
	enum backing backing;
	const char *what;
	size_t bytes, pieces;

	bench_page = sysconf(_SC_PAGESIZE);
	if (bench_page > BENCH_PAGE_MAX)
		bench_die("pages of %zu KiB are too large for what is measured here", bench_page >> 10);
	bench_out("pages", "\"page\":%zu,\"huge\":%zu", bench_page, mem_thp_bytes());
	if (argc > 1 && !strcmp(argv[1], "count")) {
		bench_count();
		argc--;
		argv++;
	}
	what = argc > 1 ? argv[1] : "";
	if (!strcmp(what, "nop")) {
		bench_nop(number(argc, argv, 2));
	} else if (!strcmp(what, "mappings")) {
		bench_mappings(number(argc, argv, 2));
	} else if (!strcmp(what, "windows")) {
		bench_windows(number(argc, argv, 2));
	} else if (!strcmp(what, "tables")) {
		bench_tables(number(argc, argv, 2));
	} else if (!strcmp(what, "regions")) {
		bench_regions(number(argc, argv, 2));
	} else if (!strcmp(what, "calls")) {
		bytes = memory_args(argc, argv, &backing);
		bench_calls(backing, bytes, number(argc, argv, 4));
	} else if (!strcmp(what, "type1")) {
		bytes = memory_args(argc, argv, &backing);
		bench_type1(backing, bytes, number(argc, argv, 4));
	} else if (!strcmp(what, "containers")) {
		bytes = memory_args(argc, argv, &backing);
		bench_containers(backing, bytes, number(argc, argv, 4));
	} else if (!strcmp(what, "batch")) {
		bytes = memory_args(argc, argv, &backing);
		bench_batch(backing, bytes, number(argc, argv, 4));
	} else if (!strcmp(what, "bookkeeping")) {
		bytes = memory_args(argc, argv, &backing);
		bench_bookkeeping(backing, bytes, number(argc, argv, 4));
	} else if (!strcmp(what, "kill") || !strcmp(what, "tear-down")) {
		bytes = memory_args(argc, argv, &backing);
		pieces = number(argc, argv, 4);
		/* None smaller than a page. */
		if (pieces > bytes / PAGE_BYTES)
			pieces = bytes / PAGE_BYTES;
		(!strcmp(what, "kill") ? bench_kill : bench_tear_down)(
			backing, bytes, pieces,
			argc > 6 && !strcmp(argv[6], "regions"), number(argc, argv, 5));
	} else {
		bench_die("usage: bench [count] nop|mappings|windows|tables|regions ROUNDS | calls|batch|type1|containers|bookkeeping BACKING MIB ROUNDS | kill|tear-down BACKING MIB PIECES ROUNDS [regions]");
	}
	return 0;
}
