// SPDX-License-Identifier: LGPL-2.1-or-later
/* A container's life, and what is attached to it. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../include/uapi/linux/vfio_prereg.h"
#include "internal.h"

#define CONTAINER "/dev/vfio/vfio"

/* A device in /sys. */
struct place {
	char		path[PATH_MAX];
	const char	*name;		/* in @path: what VFIO calls it */
	unsigned int	group;
};

struct prereg *prereg_open(void)
{
	struct prereg *prereg = calloc(1, sizeof(*prereg));

	if (!prereg)
		return NULL;
	prereg->fd = open(CONTAINER, O_RDWR | O_CLOEXEC);
	if (prereg->fd >= 0)
		return prereg;
	prereg->open_error = errno;
	switch (errno) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		prereg__fail(&prereg->failure, errno,
			     CONTAINER " cannot be opened, as VFIO is not there: load its modules (modprobe vfio-pci)");
		break;
	case EACCES:
	case EPERM:
		prereg__fail(&prereg->failure, errno,
			     "no access to " CONTAINER ": give this user read and write access to it, or be root");
		break;
	default:
		prereg__fail(&prereg->failure, errno, "cannot open " CONTAINER ": %m");
	}
	return prereg;
}

void prereg_close(struct prereg *prereg)
{
	size_t i;

	if (!prereg)
		return;
	for (i = 0; i < prereg->ngroups; i++)
		close(prereg->groups[i].fd);
	free(prereg->groups);
	if (prereg->fd >= 0)
		close(prereg->fd);
	free(prereg);
}

const char *prereg_error(const struct prereg *prereg)
{
	return prereg ? prereg->failure.text : "out of memory";
}

int prereg_fd(const struct prereg *prereg)
{
	return prereg->fd;
}

static int is_open(struct prereg *prereg)
{
	if (prereg->fd >= 0)
		return 0;
	/* The sentence stays the one that says why. */
	errno = EBADF;
	return -1;
}

int prereg__ready(struct prereg *prereg)
{
	if (is_open(prereg))
		return -1;
	if (!prereg->typed)
		return prereg__fail(&prereg->failure, ENXIO,
				    "the container has no device yet: call prereg_add_device() first");
	return 0;
}

/* Where the device @name is, and its group. */
static int find(struct prereg *prereg, const char *name, struct place *place)
{
	char path[PATH_MAX], target[PATH_MAX];
	ssize_t len;

	if (snprintf(path, sizeof(path), strchr(name, '/') ? "%s" : "/sys/bus/pci/devices/%s", name) >=
	    (int)sizeof(path))
		return prereg__fail(&prereg->failure, ENAMETOOLONG, "the device's name is too long");
	if (!*name || !realpath(path, place->path))
		return prereg__fail(&prereg->failure, *name ? errno : ENOENT,
				    "there is no device \"%s\": name one of /sys/bus/pci/devices, as \"0000:00:04.0\", or give its path in /sys",
				    name);
	place->name = strrchr(place->path, '/') + 1;
	if (snprintf(path, sizeof(path), "%s/iommu_group", place->path) >= (int)sizeof(path))
		return prereg__fail(&prereg->failure, ENAMETOOLONG, "the device's name is too long");
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return prereg__fail(&prereg->failure, errno == ENOENT ? ENODEV : errno,
				    "%s has no IOMMU group: turn the IOMMU on in the firmware and in the kernel (intel_iommu=on, or what this platform needs)",
				    place->name);
	target[len] = 0;
	place->group = strtoul(strrchr(target, '/') ? strrchr(target, '/') + 1 : target, NULL, 10);
	return 0;
}

static const struct prereg_group *group_of(const struct prereg *prereg, unsigned int number)
{
	size_t i;

	for (i = 0; i < prereg->ngroups; i++)
		if (prereg->groups[i].number == number)
			return &prereg->groups[i];
	return NULL;
}

/* What VFIO thinks a driver that leaves the device alone. */
static bool harmless(const char *driver)
{
	return !strncmp(driver, "vfio", 4) || !strcmp(driver, "pci-stub") || !strcmp(driver, "pcieport");
}

/* The first device of the group that a driver of the kernel uses: "NAME is bound to DRIVER". */
static void who_is_bound(unsigned int group, char *text, size_t bytes)
{
	char path[PATH_MAX], target[PATH_MAX];
	const struct dirent *entry;
	DIR *dir;

	snprintf(text, bytes, "a device of it is bound to another driver");
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%u/devices", group);
	dir = opendir(path);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		ssize_t len;

		if (entry->d_name[0] == '.' ||
		    snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%u/devices/%s/driver", group,
			     entry->d_name) >= (int)sizeof(path))
			continue;
		len = readlink(path, target, sizeof(target) - 1);
		if (len < 0)
			continue;
		target[len] = 0;
		if (strrchr(target, '/') && !harmless(strrchr(target, '/') + 1)) {
			snprintf(text, bytes, "%.64s is bound to %.64s", entry->d_name, strrchr(target, '/') + 1);
			break;
		}
	}
	closedir(dir);
}

/* Opens the group's node; its fd. */
static int open_group(struct prereg *prereg, const struct place *place)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char path[32], bound[160];
	int fd;

	snprintf(path, sizeof(path), "/dev/vfio/%u", place->group);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		switch (errno) {
		case ENOENT:
			return prereg__fail(&prereg->failure, EINVAL,
					    "%s is not bound to a VFIO driver, and %s does not exist: bind it to vfio-pci (driverctl set-override %s vfio-pci)",
					    place->name, path, place->name);
		case EBUSY:
			return prereg__fail(&prereg->failure, errno,
					    "IOMMU group %u of %s is in use: end the process that has %s open",
					    place->group, place->name, path);
		case EACCES:
		case EPERM:
			return prereg__fail(&prereg->failure, errno,
					    "no access to %s, the IOMMU group of %s: give this user read and write access to it, or be root",
					    path, place->name);
		default:
			return prereg__fail(&prereg->failure, errno, "cannot open %s, the IOMMU group of %s: %m",
					    path, place->name);
		}
	}
	if (ioctl(fd, VFIO_GROUP_GET_STATUS, &status) || !(status.flags & VFIO_GROUP_FLAGS_VIABLE)) {
		close(fd);
		who_is_bound(place->group, bound, sizeof(bound));
		return prereg__fail(&prereg->failure, EINVAL,
				    "IOMMU group %u of %s is not all VFIO's, %s: bind every device of the group to vfio-pci, or to no driver",
				    place->group, place->name, bound);
	}
	return fd;
}

/* The kernel did not take the group. */
static int refused(struct prereg *prereg, int error, const struct place *place)
{
	switch (error) {
	case EPERM:
		return prereg__fail(&prereg->failure, error,
				    "IOMMU group %u of %s is refused, as its interrupts are not isolated from other devices, or its IOMMU is of another kind than the container's: turn interrupt remapping on; or, if you trust the device, set the module's parameter allow_unsafe_interrupts to Y",
				    place->group, place->name);
	case EBUSY:
		return prereg__fail(&prereg->failure, error,
				    "IOMMU group %u of %s is in use in another container: close that one first",
				    place->group, place->name);
	case EINVAL:
		return prereg__fail(&prereg->failure, error,
				    "IOMMU group %u of %s does not fit: it is in another container, or something is mapped where it has reserved IOVAs (/sys/kernel/iommu_groups/%u/reserved_regions): add devices before mapping, or map elsewhere",
				    place->group, place->name, place->group);
	default:
		return prereg__fail(&prereg->failure, error, "IOMMU group %u of %s is refused: %m; the kernel log may say more",
				    place->group, place->name);
	}
}

/* Gives the container its type, which the first group must be there for. */
static int choose_type(struct prereg *prereg, const struct place *place)
{
	int has;

	if (ioctl(prereg->fd, VFIO_SET_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU))
		return refused(prereg, errno, place);
	has = ioctl(prereg->fd, VFIO_CHECK_EXTENSION, VFIO_PREREG_EXTENSION);
	prereg->has = has > 0 ? has : 0;
	prereg->typed = true;
	return 0;
}

int prereg_add_device(struct prereg *prereg, const char *name)
{
	struct prereg_group *groups;
	struct place place;
	int fd, error;

	if (is_open(prereg) || find(prereg, name, &place))
		return -1;
	if (group_of(prereg, place.group))
		return 0;
	if (!prereg->typed && ioctl(prereg->fd, VFIO_CHECK_EXTENSION, VFIO_SPAPR_TCE_v2_IOMMU) <= 0)
		return prereg__fail(&prereg->failure, EOPNOTSUPP,
				    "no driver of this kernel serves VFIO containers of type 7: load one (modprobe vfio_prereg)");
	groups = realloc(prereg->groups, (prereg->ngroups + 1) * sizeof(*groups));
	if (!groups)
		return prereg__fail(&prereg->failure, ENOMEM, "out of memory");
	prereg->groups = groups;
	fd = open_group(prereg, &place);
	if (fd < 0)
		return -1;
	if (ioctl(fd, VFIO_GROUP_SET_CONTAINER, &prereg->fd)) {
		refused(prereg, errno, &place);
		goto close_group;
	}
	if (!prereg->typed && choose_type(prereg, &place))
		goto unset_container;
	groups[prereg->ngroups++] = (struct prereg_group){ .fd = fd, .number = place.group };
	return 0;

unset_container:
	error = errno;
	ioctl(fd, VFIO_GROUP_UNSET_CONTAINER);
	errno = error;
close_group:
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

int prereg_open_device(struct prereg *prereg, const char *name)
{
	const struct prereg_group *group;
	struct place place;
	int fd;

	if (is_open(prereg) || find(prereg, name, &place))
		return -1;
	group = group_of(prereg, place.group);
	if (!group)
		return prereg__fail(&prereg->failure, ENXIO,
				    "%s is not in the container: call prereg_add_device() first", place.name);
	/* VFIO makes it close-on-exec. */
	fd = ioctl(group->fd, VFIO_GROUP_GET_DEVICE_FD, place.name);
	if (fd >= 0)
		return fd;
	if (errno == ENODEV)
		return prereg__fail(&prereg->failure, errno,
				    "%s is not bound to a VFIO driver: bind it to vfio-pci (driverctl set-override %s vfio-pci)",
				    place.name, place.name);
	return prereg__fail(&prereg->failure, errno, "%s cannot be opened: %m; the kernel log may say more", place.name);
}
