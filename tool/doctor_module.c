// SPDX-License-Identifier: GPL-2.0
/* prereg doctor: the module, who else serves its types, and what the caller may do. */
#define _GNU_SOURCE
#include <libkmod.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "doctor.h"

#define MODULE "vfio_prereg"

/* ---- the module's file ---- */

/**
 * struct file - what /lib/modules has
 * @path: of the module; NULL: it is not there
 * @vermagic, @srcversion, @version: what modinfo says
 * @is_signed: by somebody
 */
struct file {
	char	*path;
	char	*vermagic;
	char	*srcversion;
	char	*version;
	bool	is_signed;
};

static void read_info(struct kmod_module *module, struct file *file)
{
	struct kmod_list *info = NULL, *item;

	if (kmod_module_get_info(module, &info) < 0)
		return;
	kmod_list_foreach(item, info) {
		const char *key = kmod_module_info_get_key(item), *value = kmod_module_info_get_value(item);

		if (!strcmp(key, "vermagic") && !file->vermagic)
			file->vermagic = text_dup(value);
		else if (!strcmp(key, "srcversion") && !file->srcversion)
			file->srcversion = text_dup(value);
		else if (!strcmp(key, "version") && !file->version)
			file->version = text_dup(value);
		else if (!strcmp(key, "sig_key"))
			file->is_signed = true;
	}
	kmod_module_info_free_list(info);
}

/* Looks the module up as modprobe would, for the kernel that is running. */
static void find_file(const char *release, struct file *file)
{
	char *folder = sys_path("/lib/modules/%s", release);
	struct kmod_ctx *kmod = kmod_new(folder, NULL);
	struct kmod_module *module = NULL;
	struct kmod_list *found = NULL;

	memset(file, 0, sizeof(*file));
	free(folder);
	if (!kmod)
		return;
	/* What it has to say of missing indexes, we say. */
	kmod_set_log_priority(kmod, 0);
	if (kmod_module_new_from_lookup(kmod, MODULE, &found) >= 0 && found)
		module = kmod_module_get_module(found);
	if (module && kmod_module_get_path(module)) {
		file->path = text_dup(kmod_module_get_path(module));
		read_info(module, file);
	}
	kmod_module_unref(module);
	kmod_module_unref_list(found);
	kmod_unref(kmod);
}

static void free_file(struct file *file)
{
	free(file->path);
	free(file->vermagic);
	free(file->srcversion);
	free(file->version);
}

static const char *const install =
	"Install the package vfio-prereg-dkms and linux-headers-%s, or in the sources: make install.";

static bool wants_signatures(void)
{
	char *enforce = sys_line("/sys/module/module/parameters/sig_enforce");
	char *lockdown = sys_line("/sys/kernel/security/lockdown");
	const bool wanted = (enforce && *enforce == 'Y') ||
			    (lockdown && (strstr(lockdown, "[integrity]") || strstr(lockdown, "[confidentiality]")));

	free(enforce);
	free(lockdown);
	return wanted;
}

static void check_loaded(struct doctor *doctor, const struct file *file)
{
	char *version = sys_line("/sys/module/" MODULE "/version"), *srcversion = sys_line("/sys/module/" MODULE "/srcversion");

	answer(doctor, "module", VERDICT_OK, text_printf(MODULE " %s is loaded", version ?: "(of no version)"), NULL);
	if (file->srcversion && srcversion && strcmp(file->srcversion, srcversion))
		answer(doctor, "version", VERDICT_NOTE,
		       text_printf("the one that is loaded is not the one in %s (%s)", file->path, file->version ?: "of no version"),
		       text_dup("If that is newer: modprobe -r " MODULE " && modprobe " MODULE ", when no program uses it."));
	free(version);
	free(srcversion);
}

void check_module(struct doctor *doctor)
{
	struct utsname uts;
	struct file file;
	char *magic;

	uname(&uts);
	find_file(uts.release, &file);
	magic = text_printf("%s ", uts.release);
	if (sys_exists("/sys/module/" MODULE))
		check_loaded(doctor, &file);
	else if (!file.path)
		answer(doctor, "module", VERDICT_NOT_OK,
		       text_printf(MODULE " is not loaded, and not installed for this kernel (%s)", uts.release),
		       text_printf(install, uts.release));
	else if (file.vermagic && strncmp(file.vermagic, magic, strlen(magic)))
		answer(doctor, "module", VERDICT_NOT_OK,
		       text_printf("%s is for another kernel (%s); this is %s", file.path, file.vermagic, uts.release),
		       text_printf(install, uts.release));
	else if (wants_signatures() && !file.is_signed)
		answer(doctor, "module", VERDICT_NOT_OK,
		       text_printf("%s is not signed, and this kernel loads signed modules only", file.path),
		       text_dup("Sign it with a key that the machine trusts: DKMS signs with its own, which mokutil --import enrols; or turn off Secure Boot."));
	else
		answer(doctor, "module", VERDICT_NOT_OK,
		       text_printf(MODULE " %s is installed for this kernel, but not loaded", file.version ?: ""),
		       text_dup("modprobe " MODULE "; for every boot: echo " MODULE " > /etc/modules-load.d/" MODULE ".conf"));
	free(magic);
	free_file(&file);
}

/* ---- who answers ---- */

/* Was @other loaded after us? The kernel lists the newest first. */
static bool loaded_after_us(const char *other)
{
	char *path = sys_path("/proc/modules"), name[64];
	FILE *file = fopen(path, "re");
	bool after = false;

	free(path);
	if (!file)
		return false;
	while (!after && fscanf(file, "%63s%*[^\n]", name) == 1 && strcmp(name, MODULE))
		after = !strcmp(name, other);
	fclose(file);
	return after;
}

static const char *const reload = "modprobe -r " MODULE " && modprobe " MODULE ", when no program uses it: what is loaded last is asked first. \"softdep " MODULE " pre: %s\" in /etc/modprobe.d keeps that order.";

void check_types(struct doctor *doctor)
{
	struct utsname uts;
	char *type1;

	/* Who has types 1, 3 and 7 if we are not there is not our business. */
	if (!sys_exists("/sys/module/" MODULE))
		return;
	if (loaded_after_us("vfio_iommu_spapr_tce"))
		answer(doctor, "type 7", VERDICT_NOT_OK, text_dup("vfio_iommu_spapr_tce, the kernel's own driver, was loaded last and serves it"),
		       text_dup("modprobe -r vfio_iommu_spapr_tce, when no program uses it, and \"blacklist vfio_iommu_spapr_tce\" in /etc/modprobe.d."));
	else
		answer(doctor, "type 7", VERDICT_OK, text_dup(MODULE " serves it"), NULL);

	/* There, no driver has types 1 and 3. */
	uname(&uts);
	if (!strncmp(uts.machine, "ppc", 3))
		return;
	type1 = sys_line("/sys/module/" MODULE "/parameters/type1");
	if (type1 && *type1 == 'N')
		answer(doctor, "types 1, 3", VERDICT_NOTE,
		       text_printf("left to %s, as the parameter type1 is N",
				   sys_exists("/sys/module/vfio_iommu_type1") ? "vfio_iommu_type1" : "nobody"),
		       text_dup("If unmodified programs (QEMU, DPDK) are to use " MODULE ": echo Y > /sys/module/" MODULE "/parameters/type1"));
	else if (type1 && loaded_after_us("vfio_iommu_type1"))
		answer(doctor, "types 1, 3", VERDICT_NOT_OK, text_dup("vfio_iommu_type1, the kernel's own driver, was loaded last and serves them"),
		       text_printf(reload, "vfio_iommu_type1"));
	else if (type1)
		answer(doctor, "types 1, 3", VERDICT_OK, text_dup(MODULE " serves them"), NULL);
	free(type1);
}

/* ---- the caller ---- */

static bool has_capability(unsigned int capability)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return !syscall(SYS_capget, &head, data) && data[capability / 32].effective & 1u << capability % 32;
}

void check_memlock(struct doctor *doctor)
{
	const unsigned long long need_kib = (doctor->need + 1023) / 1024;
	char limit[SIZE_CHARS], need[SIZE_CHARS];
	struct rlimit memlock;

	getrlimit(RLIMIT_MEMLOCK, &memlock);
	size_human(memlock.rlim_cur, limit);
	size_human(doctor->need, need);
	if (has_capability(CAP_IPC_LOCK))
		answer(doctor, "memlock", VERDICT_OK, text_dup("you have CAP_IPC_LOCK: no limit"), NULL);
	else if (memlock.rlim_cur == RLIM_INFINITY)
		answer(doctor, "memlock", VERDICT_OK, text_dup("no limit"), NULL);
	else if (memlock.rlim_cur >= doctor->need)
		answer(doctor, "memlock", VERDICT_OK,
		       text_printf("RLIMIT_MEMLOCK is %s", limit), NULL);
	else
		answer(doctor, "memlock", VERDICT_NOT_OK,
		       text_printf("RLIMIT_MEMLOCK is %llu KiB (%s), less than the %llu KiB (%s) that a program is to register (--memory)",
				   (unsigned long long)memlock.rlim_cur / 1024, limit, need_kib, need),
		       text_printf("In /etc/security/limits.d/vfio.conf: \"%s - memlock %llu\" (your user, KiB), and log in again; of a service: LimitMEMLOCK=%lluK.",
				   getenv("USER") ?: "USER", need_kib, need_kib));
}

/* Names of the groups' nodes below /dev/vfio: numbers. */
static bool is_group(const char *name)
{
	return *name >= '0' && *name <= '9' && strspn(name, "0123456789") == strlen(name);
}

void check_access(struct doctor *doctor)
{
	struct names nodes = sys_names("/dev/vfio");
	size_t i, groups = 0;
	char *denied = NULL, *path;

	for (i = 0; i < nodes.n; i++) {
		const bool group = is_group(nodes.name[i]);

		if (!group && strcmp(nodes.name[i], "vfio"))
			continue;
		groups += group;
		path = sys_path("/dev/vfio/%s", nodes.name[i]);
		if (access(path, R_OK | W_OK))
			text_add_line(&denied, path);
		free(path);
	}
	if (!groups) {
		answer(doctor, "access", VERDICT_NOT_OK, text_dup("there is no group's /dev/vfio/N"),
		       text_dup("See \"vfio-pci\" above."));
	} else if (denied) {
		for (path = denied; *path; path++)
			if (*path == '\n')
				*path = ' ';
		answer(doctor, "access", VERDICT_NOT_OK, text_printf("you may not use %s", denied),
		       text_printf("chown them to the user that is to have the device, or with udev: SUBSYSTEM==\"vfio\", OWNER=\"%s\".",
				   getenv("USER") ?: "USER"));
		free(denied);
	} else {
		answer(doctor, "access", VERDICT_OK, text_printf("you may use every group in /dev/vfio (%zu)", groups), NULL);
	}
	names_free(&nodes);
}

static int nothing(const struct prereg_owner *owner, void *data)
{
	(void)owner;
	(void)data;
	return 0;
}

void check_netlink(struct doctor *doctor)
{
	struct prereg_view *view = prereg_view_open();
	const bool seen = view && prereg_view_fd(view) >= 0 && !prereg_view_owners(view, nothing, NULL);
	const int scope = seen ? prereg_view_scope(view) : -1;

	if (!seen)
		answer(doctor, "netlink", VERDICT_NOT_OK,
		       text_printf("what the module holds cannot be seen: %s", view ? prereg_view_error(view) : "out of memory"),
		       sys_exists("/sys/module/" MODULE) ?
		       text_dup("The module that is loaded is older than this program, or this is no place for netlink: update the module.") :
		       text_dup("See \"module\" above."));
	else if (scope == PREREG_SCOPE_USER)
		answer(doctor, "netlink", VERDICT_NOTE, text_dup("you see what belongs to your own user; the rest needs CAP_SYS_ADMIN"),
		       text_dup("Run prereg as root to see all."));
	else if (scope == PREREG_SCOPE_PID_NAMESPACE)
		answer(doctor, "netlink", VERDICT_NOTE, text_dup("you see processes of this pid namespace, and all counters"),
		       text_dup("Run prereg on the host to see all (a container's engine has an option like --pid=host)."));
	else
		answer(doctor, "netlink", VERDICT_OK, text_dup("you see all owners and counters"), NULL);
	prereg_view_close(view);
}
