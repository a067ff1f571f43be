// SPDX-License-Identifier: GPL-2.0
/* prereg doctor: the IOMMU, its groups, interrupts, and the kernel's VFIO. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "doctor.h"

/* Names of a folder with commas between, at most a dozen; to be freed. */
static char *joined(const struct names *names)
{
	char *text = text_dup(""), *longer;
	size_t i;

	for (i = 0; i < names->n && i < 12; i++) {
		longer = text_printf("%s%s%s", text, i ? ", " : "", names->name[i]);
		free(text);
		text = longer;
	}
	if (i < names->n) {
		longer = text_printf("%s and %zu more", text, names->n - i);
		free(text);
		text = longer;
	}
	return text;
}

/* The kernel argument that turned IOMMUs off, to be freed; NULL: none. */
static char *turned_off(void)
{
	char *line = sys_line("/proc/cmdline"), *at = line, *word, *found = NULL;

	while ((word = strsep(&at, " ")))
		if (!strcmp(word, "iommu=off") || !strcmp(word, "intel_iommu=off") || !strcmp(word, "amd_iommu=off"))
			found = text_dup(word);
	free(line);
	return found;
}

/* Is this a machine whose name begins so? */
static bool machine_is(const char *prefix)
{
	struct utsname uts;

	return !uname(&uts) && !strncmp(uts.machine, prefix, strlen(prefix));
}

static const char *turn_on(void)
{
	if (machine_is("x86"))
		return "Turn on VT-d or AMD-Vi (\"IOMMU\") in the firmware's setup; with an Intel processor also add intel_iommu=on to the kernel command line (GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub), and boot again.";
	if (machine_is("aarch64"))
		return "Turn on the SMMU in the firmware's setup, and boot again; a machine without one cannot run this.";
	return "This kernel found no IOMMU: on POWER, is this a machine without a hypervisor (powernv), and are its PCI host bridges found?";
}

void check_iommu(struct doctor *doctor)
{
	struct names iommus = sys_names("/sys/class/iommu"), groups = sys_names("/sys/kernel/iommu_groups");
	char *off = turned_off(), *list = joined(&iommus);

	if (groups.n && iommus.n)
		answer(doctor, "iommu", VERDICT_OK, text_printf("%s is at work", list), NULL);
	else if (groups.n)
		/* POWER's are part of its host bridges. */
		answer(doctor, "iommu", VERDICT_OK, text_dup("devices are behind IOMMUs"), NULL);
	else if (off)
		answer(doctor, "iommu", VERDICT_NOT_OK, text_printf("the kernel was started with %s", off),
		       text_printf("Take %s off the kernel command line (GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub), and boot again.", off));
	else
		answer(doctor, "iommu", VERDICT_NOT_OK, text_dup("the kernel uses no IOMMU"), text_dup(turn_on()));
	free(off);
	free(list);
	names_free(&iommus);
	names_free(&groups);
}

/* Whose driver does not matter to a group: VFIO's own, none, and bridges. */
static bool harmless(const char *device, const char *driver)
{
	bool bridge;
	char *class;

	if (!driver || !strncmp(driver, "vfio", 4) || !strcmp(driver, "pcieport") || !strcmp(driver, "pci-stub"))
		return true;
	class = sys_line("/sys/bus/pci/devices/%s/class", device);
	bridge = class && !strncmp(class, "0x0604", 6);
	free(class);
	return bridge;
}

/*
 * A group with a device of VFIO's and one of another driver cannot be used. What of a group is to be
 * bound together is also worth a line if nothing is bound yet.
 */
static void look_at_group(const char *group, char **broken, char **todo, char **shared)
{
	struct names devices = sys_names("/sys/kernel/iommu_groups/%s/devices", group);
	bool vfio = false;
	char *others = NULL, *line, *list = joined(&devices);
	size_t i;

	for (i = 0; i < devices.n; i++) {
		char *driver = sys_link_name("/sys/kernel/iommu_groups/%s/devices/%s/driver", group, devices.name[i]);

		vfio |= driver && !strncmp(driver, "vfio", 4);
		if (!harmless(devices.name[i], driver)) {
			line = text_printf("%s (%s)", devices.name[i], driver);
			text_add_line(&others, line);
			free(line);
		}
		free(driver);
	}
	if (vfio && others) {
		for (line = others; *line; line++)
			if (*line == '\n')
				*line = ' ';
		line = text_printf("group %s has devices of VFIO and of other drivers: %s", group, others);
		text_add_line(broken, line);
		free(line);
		line = text_printf("Bind all of group %s to vfio-pci, or its other devices to no driver: %s.", group, others);
		text_add_line(todo, line);
		free(line);
	} else if (devices.n > 1) {
		line = text_printf("group %s goes as a whole: %s", group, list);
		text_add_line(shared, line);
		free(line);
	}
	free(others);
	free(list);
	names_free(&devices);
}

/* Leaves the first lines; of the rest, how many they are. */
static char *first_lines(char *lines, unsigned int n)
{
	char *at = lines, *rest, *text;
	size_t more = 1;

	for (; at && n; n--)
		at = strchr(at + 1, '\n');
	if (!at)
		return lines;
	for (rest = at + 1; (rest = strchr(rest, '\n')); rest++)
		more++;
	*at = 0;
	text = text_printf("%s\nand %zu more groups of several devices", lines, more);
	free(lines);
	return text;
}

void check_groups(struct doctor *doctor)
{
	struct names groups = sys_names("/sys/kernel/iommu_groups");
	char *broken = NULL, *todo = NULL, *shared = NULL;
	size_t i;

	for (i = 0; i < groups.n; i++)
		look_at_group(groups.name[i], &broken, &todo, &shared);
	if (!groups.n)
		answer(doctor, "groups", VERDICT_NOT_OK, text_dup("no device is in an IOMMU group"),
		       text_dup("See \"iommu\" above."));
	else if (broken)
		answer(doctor, "groups", VERDICT_NOT_OK, broken, todo);
	else
		answer(doctor, "groups", VERDICT_OK, text_printf("%zu groups, each usable as it is", groups.n), NULL);
	if (shared)
		answer(doctor, "isolation", VERDICT_NOTE, first_lines(shared, 4), NULL);
	names_free(&groups);
}

/* Are interrupts remapped? That x86 says in the names of its interrupt chips. */
static bool remapped(void)
{
	char *path = sys_path("/proc/interrupts"), *line = NULL;
	FILE *file = fopen(path, "re");
	bool found = false;
	size_t room = 0;

	free(path);
	if (!file)
		return true;
	while (!found && getline(&line, &room, file) > 0)
		found = strstr(line, " IR-") || strstr(line, "\tIR-");
	free(line);
	fclose(file);
	return found;
}

static bool parameter_is_set(const char *name)
{
	char *value = sys_line("/sys/module/vfio_prereg/parameters/%s", name);
	const bool set = value && *value == 'Y';

	free(value);
	return set;
}

void check_interrupts(struct doctor *doctor)
{
	struct names groups = sys_names("/sys/kernel/iommu_groups");
	const bool none = !groups.n;

	names_free(&groups);
	/* Without an IOMMU that is the next question. */
	if (none)
		return;
	if (parameter_is_set("allow_unsafe_interrupts")) {
		answer(doctor, "interrupts", VERDICT_NOT_OK,
		       text_dup("allow_unsafe_interrupts is set: a device can raise any interrupt of the host"),
		       text_dup("echo N > /sys/module/vfio_prereg/parameters/allow_unsafe_interrupts, and take it out of /etc/modprobe.d; leave it only where every program with a device is trusted."));
		return;
	}
	if (!machine_is("x86")) {
		/* Whether a group's interrupts are isolated is asked when it is added to a container. */
		answer(doctor, "interrupts", VERDICT_OK, text_dup("groups whose interrupts are not isolated are refused"), NULL);
	} else if (!remapped()) {
		answer(doctor, "interrupts", VERDICT_NOT_OK,
		       text_dup("interrupts are not remapped: no device can be added to a container (EPERM)"),
		       text_dup("Turn on interrupt remapping in the firmware's setup, and take intremap=off and nointremap off the kernel command line; if this machine has none and every program with a device is trusted: modprobe vfio_prereg allow_unsafe_interrupts=Y."));
	} else {
		answer(doctor, "interrupts", VERDICT_OK, text_dup("interrupts are remapped"), NULL);
	}
}

void check_vfio(struct doctor *doctor)
{
	if (!sys_exists("/sys/module/vfio") && !sys_exists("/dev/vfio/vfio"))
		answer(doctor, "vfio", VERDICT_NOT_OK, text_dup("VFIO is not loaded"), text_dup("modprobe vfio"));
	else if (!sys_exists("/dev/vfio/vfio"))
		answer(doctor, "vfio", VERDICT_NOT_OK, text_dup("there is no /dev/vfio/vfio"),
		       text_dup("Use a kernel with CONFIG_VFIO_GROUP and CONFIG_VFIO_CONTAINER, as Debian's; in a container, give it the device."));
	else
		answer(doctor, "vfio", VERDICT_OK, text_dup("/dev/vfio/vfio is there"), NULL);
}

void check_vfio_pci(struct doctor *doctor)
{
	struct names bound = sys_names("/sys/bus/pci/drivers/vfio-pci");
	struct names devices = { NULL, 0 };
	char *list;
	size_t i;

	/* Beside the devices there are "bind", "module" and the like; an address begins with its domain. */
	devices.name = grown(NULL, bound.n + 1, sizeof(*devices.name));
	for (i = 0; i < bound.n; i++)
		if (strchr(bound.name[i], ':'))
			devices.name[devices.n++] = bound.name[i];
	list = joined(&devices);
	if (!sys_exists("/sys/bus/pci/drivers/vfio-pci"))
		answer(doctor, "vfio-pci", VERDICT_NOT_OK, text_dup("the driver vfio-pci is not loaded"),
		       text_dup("modprobe vfio-pci"));
	else if (!devices.n)
		answer(doctor, "vfio-pci", VERDICT_NOT_OK, text_dup("no device is bound to vfio-pci"),
		       text_dup("For a device, as 0000:01:00.0: driverctl set-override 0000:01:00.0 vfio-pci; or write vfio-pci to its driver_override in /sys/bus/pci/devices, unbind it from its driver, and write its address to /sys/bus/pci/drivers_probe."));
	else
		answer(doctor, "vfio-pci", VERDICT_OK, text_printf("has %s", list), NULL);
	free(list);
	free(devices.name);
	names_free(&bound);
}
