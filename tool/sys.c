// SPDX-License-Identifier: GPL-2.0
/* Files of sysfs and procfs, here or below --sysroot. */
#define _GNU_SOURCE
#include <dirent.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

/* Empty: this system's own. */
static const char *sysroot = "";

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 's':
		sysroot = arg;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "this takes no arguments");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{ "sysroot", 's', "DIR", 0, "Read /sys, /proc, /dev and /lib below DIR, as lsblk does; for tests", 10 },
	{ 0 }
};

const struct argp sys_argp = { options, parse, NULL, NULL, NULL, NULL, NULL };

const struct argp_child sys_args[] = { { &sys_argp, 0, NULL, 0 }, { 0 } };

static char *vpath(const char *fmt, va_list ap)
{
	char *tail, *path;

	if (vasprintf(&tail, fmt, ap) < 0) {
		complain("out of memory.");
		exit(STATUS_FAILED);
	}
	path = text_printf("%s%s", sysroot, tail);
	free(tail);
	return path;
}

#define PATH(path, fmt)				\
	do {					\
		va_list ap;			\
						\
		va_start(ap, fmt);		\
		(path) = vpath(fmt, ap);	\
		va_end(ap);			\
	} while (0)

char *sys_path(const char *fmt, ...)
{
	char *path;

	PATH(path, fmt);
	return path;
}

char *sys_line(const char *fmt, ...)
{
	char *path, *line = NULL;
	size_t room = 0;
	ssize_t n;
	FILE *file;

	PATH(path, fmt);
	file = fopen(path, "re");
	free(path);
	if (!file)
		return NULL;
	n = getline(&line, &room, file);
	if (n < 0) {
		const int error = ferror(file) ? errno : 0;

		free(line);
		fclose(file);
		errno = error;
		/* An empty file is an empty line. */
		return error ? NULL : text_dup("");
	}
	fclose(file);
	line[strcspn(line, "\n")] = 0;
	return line;
}

bool sys_exists(const char *fmt, ...)
{
	char *path;
	bool there;

	PATH(path, fmt);
	there = !access(path, F_OK);
	free(path);
	return there;
}

char *sys_link_name(const char *fmt, ...)
{
	char target[4096], *path;
	ssize_t n;

	PATH(path, fmt);
	n = readlink(path, target, sizeof(target) - 1);
	free(path);
	if (n < 0)
		return NULL;
	target[n] = 0;
	return text_dup(basename(target));
}

static int no_dots(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

struct names sys_names(const char *fmt, ...)
{
	struct names names = { NULL, 0 };
	struct dirent **found;
	char *path;
	int n;

	PATH(path, fmt);
	n = scandir(path, &found, no_dots, versionsort);
	free(path);
	if (n < 0)
		return names;
	names.name = grown(NULL, (size_t)n + 1, sizeof(*names.name));
	for (; names.n < (size_t)n; names.n++) {
		names.name[names.n] = text_dup(found[names.n]->d_name);
		free(found[names.n]);
	}
	free(found);
	return names;
}

void names_free(struct names *names)
{
	while (names->n)
		free(names->name[--names->n]);
	free(names->name);
	names->name = NULL;
}

bool sys_vmstat(const char *key, uint64_t *value)
{
	char *path = sys_path("/proc/vmstat");
	FILE *file = fopen(path, "re");
	unsigned long long number;
	bool found = false;
	char name[64];

	free(path);
	if (!file)
		return false;
	while (!found && fscanf(file, "%63s %llu", name, &number) == 2)
		found = !strcmp(name, key);
	fclose(file);
	if (found)
		*value = number;
	return found;
}

char *user_name(uint32_t uid)
{
	const struct passwd *user = getpwuid(uid);

	return user ? text_dup(user->pw_name) : text_printf("%u", uid);
}
