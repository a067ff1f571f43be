/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the library's files use of each other. Nothing of it is exported: see libprereg.map. */
#ifndef PREREG_INTERNAL_H
#define PREREG_INTERNAL_H

/* All is compiled with -fvisibility=hidden. */
#pragma GCC visibility push(default)
#include "include/prereg.h"
#pragma GCC visibility pop

#define PREREG_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* The last failure of an object, for people. */
struct prereg_failure {
	char text[640];
};

/* Writes the sentence, sets errno to @error, returns -1. */
int prereg__fail(struct prereg_failure *failure, int error, const char *fmt, ...) PREREG_PRINTF(3, 4);

/* "64 MiB", "1.5 GiB" */
struct prereg_size {
	char text[24];
};

struct prereg_size prereg__size(uint64_t bytes);

struct prereg_group {
	int		fd;
	unsigned int	number;		/* /sys/kernel/iommu_groups/N */
};

/**
 * struct prereg - a container
 * @fd: of /dev/vfio/vfio; -1: prereg_open() failed, with @open_error
 * @typed: SET_IOMMU was done; before that VFIO knows no other call
 * @has: VFIO_PREREG_HAS_*, what the driver has beyond <linux/vfio.h>
 * @groups: those that are attached
 */
struct prereg {
	int			fd;
	int			open_error;
	bool			typed;
	unsigned int		has;
	struct prereg_group	*groups;
	size_t			ngroups;
	struct prereg_failure	failure;
};

/* May a call be made that needs a device in the container? 0, or -1 with EBADF or ENXIO. */
int prereg__ready(struct prereg *prereg);

/* The two below write the sentence for a MAP or UNMAP that the kernel refused, after @where; they return -1. */
int prereg__map_refused(struct prereg *prereg, int error, const char *where, const struct prereg_mapping *mapping);
int prereg__unmap_refused(struct prereg *prereg, int error, const char *where, uint64_t iova, uint64_t bytes);

/* One MAP, one UNMAP; errno only. */
int prereg__map(struct prereg *prereg, const struct prereg_mapping *mapping);
int prereg__unmap(struct prereg *prereg, uint64_t iova, uint64_t bytes);

#endif
