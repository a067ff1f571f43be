// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pinwatch.h"

/* The counters are in the first third of the file; the kernel prints no more than is asked for. */
#define PINWATCH_BYTES	2048

int pinwatch_open(struct pinwatch *watch)
{
	watch->fd = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
	return watch->fd < 0 ? -errno : 0;
}

void pinwatch_close(struct pinwatch *watch)
{
	close(watch->fd);
}

static long long number_after(const char *text, const char *name)
{
	const char *p = strstr(text, name);

	return p ? strtoll(p + strlen(name), NULL, 10) : -1;
}

long long pinwatch_pins(struct pinwatch *watch)
{
	char text[PINWATCH_BYTES + 1];
	long long acquired, released;
	ssize_t n = pread(watch->fd, text, PINWATCH_BYTES, 0);

	if (n < 0)
		return -errno;
	text[n] = 0;
	acquired = number_after(text, "nr_foll_pin_acquired ");
	released = number_after(text, "nr_foll_pin_released ");
	if (acquired < 0 || released < 0)
		return -ENODATA;
	return acquired > released ? acquired - released : 0;
}
