// SPDX-License-Identifier: GPL-2.0
/* Containers, groups, and what is refused before there is a device. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "library.h"
#include "meter.h"

#define UNSAFE "/sys/module/" PREREG_MODULE "/parameters/allow_unsafe_interrupts"

/* Every call that needs a device. */
static void without_device(struct prereg *prereg)
{
	const char *words = "prereg_add_device";
	struct prereg_mapping piece = { .bytes = PAGE, .access = RW };
	struct prereg_windows windows;
	uint64_t start;
	size_t at;

	refused(prereg, prereg_register(prereg, NULL, PAGE), ENXIO, words, "register");
	refused(prereg, prereg_unregister(prereg, NULL, PAGE), ENXIO, words, "unregister");
	refused(prereg, prereg_map(prereg, 0, NULL, PAGE, RW), ENXIO, words, "map");
	refused(prereg, prereg_unmap(prereg, 0, PAGE), ENXIO, words, "unmap");
	refused(prereg, prereg_map_all(prereg, &piece, 1, &at), ENXIO, words, "map_all");
	tap_expect_eq(at, 1, "which was refused: none");
	refused(prereg, prereg_unmap_all(prereg, &piece, 1, NULL), ENXIO, words, "unmap_all");
	refused(prereg, prereg_get_windows(prereg, &windows), ENXIO, words, "get_windows");
	refused(prereg, prereg_add_window(prereg, MIB, PAGE, 1, &start), ENXIO, words, "add_window");
	refused(prereg, prereg_remove_window(prereg, 0), ENXIO, words, "remove_window");
}

/* Neither a VFIO driver nor anything of VFIO in its group. */
static bool unbound_device(char *name, size_t bytes)
{
	DIR *dir = opendir("/sys/bus/pci/devices");
	const struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir))) {
		char path[400], target[256];
		ssize_t len;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", entry->d_name);
		len = readlink(path, target, sizeof(target) - 1);
		if (len < 0)
			continue;
		target[len] = 0;
		snprintf(path, sizeof(path), "/dev/vfio%s", strrchr(target, '/'));
		found = access(path, F_OK);
		snprintf(name, bytes, "%s", entry->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

void test_open(void)
{
	struct prereg *prereg = prereg_open();
	char name[256];

	if (!tap_expect(prereg && prereg_fd(prereg) >= 0, "open: %s", prereg_error(prereg)))
		return;
	tap_expect(!*prereg_error(prereg), "a sentence before anything failed: %s", prereg_error(prereg));
	tap_expect(fcntl(prereg_fd(prereg), F_GETFD) & FD_CLOEXEC, "the container is close-on-exec");
	tap_step("nothing works without a device");
	without_device(prereg);
	tap_step("devices that there are not");
	refused(prereg, prereg_add_device(prereg, "0000:ff:1f.7"), ENOENT, "no device \"0000:ff:1f.7\"", "not there");
	refused(prereg, prereg_add_device(prereg, ""), ENOENT, "no device", "an empty name");
	refused(prereg, prereg_add_device(prereg, "/sys/devices/virtual/mem/null"), ENODEV, "no IOMMU group", "no group");
	refused(prereg, prereg_open_device(prereg, VFIO_EDU0), ENXIO, "prereg_add_device", "open_device before add_device");
	if (unbound_device(name, sizeof(name)))
		refused(prereg, prereg_add_device(prereg, name), EINVAL, "bind it to vfio-pci", name);
	else
		tap_diag("no device without VFIO in this machine");
	tap_step("still nothing works");
	without_device(prereg);
	prereg_close(prereg);
	prereg_close(NULL);
}

static void try_as_nobody(void *arg)
{
	struct prereg *prereg = prereg_open();

	(void)arg;
	if (!tap_expect(prereg, "prereg_open"))
		return;
	if (prereg_fd(prereg) < 0)
		refused(prereg, prereg_add_device(prereg, VFIO_EDU1), EBADF, "no access to /dev/vfio/vfio", "add_device");
	else
		refused(prereg, prereg_add_device(prereg, VFIO_EDU1), EACCES, "no access to /dev/vfio/", "add_device");
	prereg_close(prereg);
}

void test_group(void)
{
	struct prereg *other = prereg_open();
	char path[64];
	struct box box;
	int device;

	if (!box_open(&box, 0) || !tap_expect(other, "another container"))
		return;
	tap_expect(fcntl(box.device, F_GETFD) & FD_CLOEXEC, "the device is close-on-exec");
	tap_step("the same device again, and by its path: no error");
	worked(box.prereg, prereg_add_device(box.prereg, VFIO_EDU0), "again");
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", VFIO_EDU0);
	worked(box.prereg, prereg_add_device(box.prereg, path), "by its path");
	tap_step("its group is in use");
	refused(other, prereg_add_device(other, VFIO_EDU0), EBUSY, "end the process", "in another container");
	tap_step("a second device, opened twice");
	refused(box.prereg, prereg_open_device(box.prereg, VFIO_EDU1), ENXIO, "prereg_add_device", "not added yet");
	worked(box.prereg, prereg_add_device(box.prereg, VFIO_EDU1), "the second device");
	device = prereg_open_device(box.prereg, VFIO_EDU1);
	tap_expect(device >= 0, "open it: %s", prereg_error(box.prereg));
	close(device);
	box_close(&box);
	tap_step("now it can be the other container's");
	worked(other, prereg_add_device(other, VFIO_EDU0), "in the other container");
	prereg_close(other);
	tap_step("without the right to open it");
	as_nobody(try_as_nobody, NULL);
}

static int use_parents(int sock, void *arg)
{
	struct box *box = arg;
	char *p = mem_alloc(PAGE, MEM_SMALL);

	(void)sock;
	refused(box->prereg, prereg_register(box->prereg, p, PAGE), EPERM, "another process", "register in a child");
	refused(box->prereg, prereg_map(box->prereg, IOVA2, p, PAGE, RW), EPERM, "another process", "map in a child");
	refused(box->prereg, prereg_unmap(box->prereg, IOVA, PAGE), EPERM, "another process", "unmap in a child");
	return 0;
}

void test_fork(void)
{
	struct proc child;
	struct box box;
	char *p;

	if (!box_open(&box, 0))
		return;
	p = box_own(&box, PAGE, MEM_SMALL);
	if (!p || !worked(box.prereg, prereg_map(box.prereg, IOVA, p, PAGE, RW), "map"))
		return;
	tap_expect_ret(proc_start(&child, use_parents, &box), 0, "fork");
	tap_expect_ret(proc_wait(&child, 10000), 0, "the child");
	box_reaches(&box, IOVA, p, "the parent's memory");
	box_close(&box);
}

/* In a machine whose IOMMU does not isolate interrupts. */
void test_unsafe(void)
{
	struct prereg *prereg = prereg_open();

	if (!tap_expect(prereg, "prereg_open"))
		return;
	refused(prereg, prereg_add_device(prereg, VFIO_EDU0), EPERM, "allow_unsafe_interrupts", "add the device");
	refused(prereg, prereg_register(prereg, NULL, PAGE), ENXIO, "prereg_add_device", "register after that");
	tap_expect_ret(meter_file_write(UNSAFE, "Y"), 0, "allow it");
	worked(prereg, prereg_add_device(prereg, VFIO_EDU0), "add the device again");
	tap_expect_ret(meter_file_write(UNSAFE, "N"), 0, "do not allow it any more");
	prereg_close(prereg);
}
