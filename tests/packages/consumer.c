// SPDX-License-Identifier: GPL-2.0
/*
 * A program built with the installed libprereg: says what a view of the module says; with the name of a device, registers memory, maps
 * it for that device and undoes it. Includes the headers of the ioctls, so that they are seen to be there.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <linux/vfio_prereg.h>
#include <linux/vfio_prereg_netlink.h>
#include <prereg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define BYTES	(2u << 20)

static int fails(const struct prereg *prereg, const char *call)
{
	fprintf(stderr, "%s: %s (%s)\n", call, prereg_error(prereg), strerror(errno));
	return 1;
}

static int use(struct prereg *prereg, const char *device)
{
	struct prereg_windows windows;
	void *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return 1;
	if (prereg_add_device(prereg, device))
		return fails(prereg, "prereg_add_device");
	if (prereg_register(prereg, memory, BYTES))
		return fails(prereg, "prereg_register");
	if (prereg_get_windows(prereg, &windows))
		return fails(prereg, "prereg_get_windows");
	if (prereg_map(prereg, windows.default_start, memory, BYTES, PREREG_READ | PREREG_WRITE))
		return fails(prereg, "prereg_map");
	if (!prereg_unregister(prereg, memory, BYTES) || errno != EBUSY)
		return fails(prereg, "prereg_unregister of what is mapped");
	if (prereg_unmap(prereg, windows.default_start, BYTES))
		return fails(prereg, "prereg_unmap");
	if (prereg_unregister(prereg, memory, BYTES))
		return fails(prereg, "prereg_unregister");
	return 0;
}

int main(int argc, char **argv)
{
	struct prereg_view *view = prereg_view_open();
	struct prereg *prereg;
	int status;

	/* On a host without the module that is a sentence. */
	if (!view || (prereg_view_fd(view) < 0 && !*prereg_view_error(view)))
		return 1;
	printf("view: %s\n", prereg_view_fd(view) < 0 ? prereg_view_error(view) : "open");
	prereg_view_close(view);
	if (argc < 2)
		return 0;

	prereg = prereg_open();
	if (!prereg)
		return 1;
	status = use(prereg, argv[1]);
	prereg_close(prereg);
	if (!status)
		printf("%s: registered, mapped, unmapped, unregistered\n", argv[1]);
	return status;
}
