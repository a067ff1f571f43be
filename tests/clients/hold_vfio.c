// SPDX-License-Identifier: GPL-2.0
/*
 * hold_vfio PID
 *
 * Takes all of PID's VFIO files (container, groups, devices), as a process has
 * them that got them by SCM_RIGHTS or by fork(), says how many they are, and
 * holds them until its standard input ends.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool is_vfio(const char *folder, const char *fd)
{
	char path[PATH_MAX], file[PATH_MAX];
	ssize_t length;

	snprintf(path, sizeof(path), "%s/%s", folder, fd);
	length = readlink(path, file, sizeof(file) - 1);
	if (length < 0)
		return false;
	file[length] = 0;
	return !strncmp(file, "/dev/vfio/", strlen("/dev/vfio/")) || !strcmp(file, "anon_inode:[vfio-device]");
}

int main(int argc, char **argv)
{
	const struct dirent *entry;
	char folder[32];
	int pidfd, held = 0;
	DIR *fds;

	if (argc != 2)
		return 2;
	snprintf(folder, sizeof(folder), "/proc/%d/fd", atoi(argv[1]));
	pidfd = syscall(SYS_pidfd_open, atoi(argv[1]), 0);
	fds = opendir(folder);
	if (pidfd < 0 || !fds) {
		fprintf(stderr, "hold_vfio: %s: %s\n", folder, strerror(errno));
		return 1;
	}
	while ((entry = readdir(fds))) {
		if (!is_vfio(folder, entry->d_name))
			continue;
		if (syscall(SYS_pidfd_getfd, pidfd, atoi(entry->d_name), 0) < 0) {
			fprintf(stderr, "hold_vfio: pidfd_getfd: %s\n", strerror(errno));
			return 1;
		}
		held++;
	}
	closedir(fds);
	printf("%d\n", held);
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
