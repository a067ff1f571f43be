// SPDX-License-Identifier: LGPL-2.1-or-later
/* Failures as sentences. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "internal.h"

int prereg__fail(struct prereg_failure *failure, int error, const char *fmt, ...)
{
	va_list args;

	/* What fmt's %m says. */
	errno = error;
	va_start(args, fmt);
	vsnprintf(failure->text, sizeof(failure->text), fmt, args);
	va_end(args);
	errno = error;
	return -1;
}

struct prereg_size prereg__size(uint64_t bytes)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	struct prereg_size size;
	unsigned int unit = 0;

	while (value >= 1024 && unit < 6) {
		value /= 1024;
		unit++;
	}
	snprintf(size.text, sizeof(size.text), "%.4g %s", value, units[unit]);
	return size;
}
