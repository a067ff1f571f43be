// SPDX-License-Identifier: GPL-2.0
/* Texts, sizes, and what is said when something fails. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

void complain(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("prereg: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static void *checked(void *memory)
{
	if (!memory) {
		complain("out of memory.");
		exit(STATUS_FAILED);
	}
	return memory;
}

void *grown(void *array, size_t n, size_t size)
{
	return checked(reallocarray(array, n, size));
}

char *text_dup(const char *text)
{
	return checked(strdup(text));
}

char *text_printf(const char *fmt, ...)
{
	va_list ap;
	char *text;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	return checked(n < 0 ? NULL : text);
}

void text_add_line(char **text, const char *line)
{
	char *joined = *text ? text_printf("%s\n%s", *text, line) : text_dup(line);

	free(*text);
	*text = joined;
}

int status_of_errno(int error)
{
	switch (error) {
	case ENOENT:
	case ENODEV:
		return STATUS_NOT_LOADED;
	case EPERM:
	case EACCES:
		return STATUS_DENIED;
	default:
		return STATUS_FAILED;
	}
}

int view_failed(const struct prereg_view *view)
{
	const int error = errno;
	const char *text = prereg_view_error(view);

	complain("%s", *text ? text : strerror(error));
	return status_of_errno(error);
}

struct prereg_view *view_open(int *status)
{
	struct prereg_view *view;
	int error;

	errno = 0;
	view = prereg_view_open();
	error = errno;
	if (!view) {
		complain("%s.", strerror(error));
		*status = STATUS_FAILED;
		return NULL;
	}
	/* The object of a failed open knows why. */
	if (prereg_view_fd(view) < 0) {
		errno = error;
		*status = view_failed(view);
		prereg_view_close(view);
		return NULL;
	}
	return view;
}

void view_say_limits(struct prereg_view *view)
{
	switch (prereg_view_scope(view)) {
	case PREREG_SCOPE_USER:
		complain("only what belongs to your own user is shown; the rest, and the host's counters, need CAP_SYS_ADMIN: run it as root to see all.");
		break;
	case PREREG_SCOPE_PID_NAMESPACE:
		complain("only processes of this pid namespace are shown: run it on the host (a container's engine has an option like --pid=host) to see all.");
		break;
	default:
		break;
	}
}

static const char units[] = "BKMGTPE";

bool size_parse(const char *text, uint64_t *bytes)
{
	const char *unit;
	char *end;
	unsigned int shift;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*bytes = strtoull(text, &end, 10);
	if (errno || end == text)
		return false;
	if (!*end)
		return true;
	unit = strchr(units, *end & ~0x20);
	if (!unit || !*unit || (end[1] && strcmp(end + 1, "iB") && strcmp(end + 1, "B")))
		return false;
	shift = 10 * (unsigned int)(unit - units);
	if (*bytes > UINT64_MAX >> shift)
		return false;
	*bytes <<= shift;
	return true;
}

const char *size_human(uint64_t bytes, char buffer[SIZE_CHARS])
{
	unsigned int unit = 0, tenths = 0;

	/* In tenths, rounded to the nearest, of the largest unit that leaves at least one. */
	while (bytes >> (10 * unit) >= 1024)
		unit++;
	if (unit) {
		const uint64_t rest = bytes >> (10 * (unit - 1));

		tenths = (unsigned int)((rest * 10 + 512) / 1024);
		if (tenths >= 10240 && units[unit + 1]) {
			tenths = 10;
			unit++;
		}
	} else {
		tenths = (unsigned int)bytes * 10;
	}
	if (tenths % 10)
		snprintf(buffer, SIZE_CHARS, "%u.%u%c", tenths / 10, tenths % 10, units[unit]);
	else if (bytes)
		snprintf(buffer, SIZE_CHARS, "%u%c", tenths / 10, units[unit]);
	else
		snprintf(buffer, SIZE_CHARS, "0B");
	return buffer;
}

const char *age_human(uint64_t ms, char buffer[AGE_CHARS])
{
	const unsigned long long s = ms / 1000;

	if (s < 60)
		snprintf(buffer, AGE_CHARS, "%llus", s);
	else if (s < 3600)
		snprintf(buffer, AGE_CHARS, "%llum%02llus", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buffer, AGE_CHARS, "%lluh%02llum", s / 3600, s / 60 % 60);
	else
		snprintf(buffer, AGE_CHARS, "%llud%02lluh", s / 86400, s / 3600 % 24);
	return buffer;
}
