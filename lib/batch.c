// SPDX-License-Identifier: LGPL-2.1-or-later
/* Many mappings at once: in one call where the driver has it, else one by one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "../include/uapi/linux/vfio_prereg.h"
#include "internal.h"

static int out_of_memory(struct prereg *prereg)
{
	return prereg__fail(&prereg->failure, ENOMEM, "out of memory");
}

/* The sentence for entry @i, or for none of them if that is @n. */
static int entry_refused(struct prereg *prereg, int error, bool map, const struct prereg_mapping *mappings, size_t n,
			 size_t i)
{
	const char *verb = map ? "map" : "unmap";
	char where[64];

	if (i >= n && error == EPERM)
		return prereg__fail(&prereg->failure, error,
				    "cannot %s %zu pieces: nothing is registered in this container yet, or it is another process's, as after fork()",
				    verb, n);
	if (i >= n)
		return prereg__fail(&prereg->failure, error, "cannot %s %zu pieces: %m", verb, n);
	snprintf(where, sizeof(where), "piece %zu of %zu: ", i, n);
	return map ? prereg__map_refused(prereg, error, where, &mappings[i]) :
		     prereg__unmap_refused(prereg, error, where, mappings[i].iova, mappings[i].bytes);
}

static int batch(struct prereg *prereg, bool map, const struct prereg_mapping *mappings, size_t n, size_t *refused)
{
	struct vfio_prereg_batch_entry *entries = calloc(n, sizeof(*entries));
	struct vfio_prereg_batch arg = {
		.argsz = sizeof(arg),
		.flags = map ? VFIO_PREREG_BATCH_MAP : VFIO_PREREG_BATCH_UNMAP,
		.nentries = n,
		.refused = n,
		.entries = (uintptr_t)entries,
	};
	int ret, error;
	size_t i;

	if (!entries)
		return out_of_memory(prereg);
	for (i = 0; i < n; i++) {
		entries[i].iova = mappings[i].iova;
		entries[i].size = mappings[i].bytes;
		if (map) {
			entries[i].vaddr = (uintptr_t)mappings[i].addr;
			entries[i].flags = mappings[i].access;
		}
	}
	ret = ioctl(prereg->fd, VFIO_PREREG_BATCH, &arg);
	error = errno;
	free(entries);
	if (!ret)
		return 0;
	*refused = arg.refused < n ? arg.refused : n;
	return entry_refused(prereg, error, map, mappings, n, *refused);
}

static int by_iova(const void *a, const void *b)
{
	const struct prereg_mapping *const *x = a, *const *y = b;

	if ((*x)->iova != (*y)->iova)
		return (*x)->iova < (*y)->iova ? -1 : 1;
	/* The one that stands first in the caller's array. */
	return *x < *y ? -1 : *x > *y;
}

/* Do two pieces overlap? A single MAP would replace what the other one mapped. */
static int overlap(struct prereg *prereg, const struct prereg_mapping *mappings, size_t n, size_t *refused)
{
	const struct prereg_mapping **sorted = calloc(n, sizeof(const struct prereg_mapping *));
	int ret = 0;
	size_t i;

	if (!sorted)
		return out_of_memory(prereg);
	for (i = 0; i < n; i++)
		sorted[i] = &mappings[i];
	qsort(sorted, n, sizeof(*sorted), by_iova);
	for (i = 1; i < n; i++) {
		const struct prereg_mapping *low = sorted[i - 1], *high = sorted[i];

		if (high->iova - low->iova >= low->bytes)
			continue;
		*refused = (low > high ? low : high) - mappings;
		ret = entry_refused(prereg, EEXIST, true, mappings, n, *refused);
		break;
	}
	free(sorted);
	return ret;
}

static int map_singly(struct prereg *prereg, const struct prereg_mapping *mappings, size_t n, size_t *refused)
{
	size_t i, k;
	int error;

	if (overlap(prereg, mappings, n, refused))
		return -1;
	for (i = 0; i < n; i++) {
		if (!prereg__map(prereg, &mappings[i]))
			continue;
		error = errno;
		/* Exactly what was mapped a moment ago: this needs no memory. */
		for (k = 0; k < i; k++)
			prereg__unmap(prereg, mappings[k].iova, mappings[k].bytes);
		*refused = i;
		return entry_refused(prereg, error, true, mappings, n, i);
	}
	return 0;
}

static int unmap_singly(struct prereg *prereg, const struct prereg_mapping *mappings, size_t n, size_t *refused)
{
	size_t i;

	for (i = 0; i < n; i++) {
		/* A single UNMAP is content with that. */
		if (mappings[i].bytes && !prereg__unmap(prereg, mappings[i].iova, mappings[i].bytes))
			continue;
		*refused = i;
		return entry_refused(prereg, mappings[i].bytes ? errno : EINVAL, false, mappings, n, i);
	}
	return 0;
}

static int all(struct prereg *prereg, bool map, const struct prereg_mapping *mappings, size_t n, size_t *refused)
{
	size_t nowhere;

	refused = refused ? refused : &nowhere;
	*refused = n;
	if (prereg__ready(prereg))
		return -1;
	if (n > VFIO_PREREG_BATCH_MAX)
		return prereg__fail(&prereg->failure, E2BIG, "%zu pieces are too many: make calls of %u at most", n,
				    VFIO_PREREG_BATCH_MAX);
	if (!n)
		return 0;
	if (prereg->has & VFIO_PREREG_HAS_BATCH)
		return batch(prereg, map, mappings, n, refused);
	return map ? map_singly(prereg, mappings, n, refused) : unmap_singly(prereg, mappings, n, refused);
}

int prereg_map_all(struct prereg *prereg, const struct prereg_mapping *mappings, size_t n, size_t *refused)
{
	return all(prereg, true, mappings, n, refused);
}

int prereg_unmap_all(struct prereg *prereg, const struct prereg_mapping *mappings, size_t n, size_t *refused)
{
	return all(prereg, false, mappings, n, refused);
}
