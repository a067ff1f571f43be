// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * example-map DEVICE...: gives devices memory for DMA.
 *
 * Memory is registered once: the kernel pins it, and counts it against RLIMIT_MEMLOCK. Then parts of it are mapped
 * and unmapped as often as one likes, which pins nothing. DEVICE is a PCI address as "0000:00:04.0", bound to vfio-pci.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <prereg.h>

#define MEMORY	(16ul << 20)
#define IOVA	0x10000000ul
#define PIECES	100

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

/* Tells how long a step took, or why it failed: the sentence of the library says what to do. */
static int told(struct prereg *prereg, int ret, const char *what, double since)
{
	if (ret)
		fprintf(stderr, "%s: %s\n", what, prereg_error(prereg));
	else
		printf("%-36s %8.0f us\n", what, now_us() - since);
	return ret;
}

/* One mapping of all the memory. */
static int one(struct prereg *prereg, char *memory)
{
	double start = now_us();

	if (told(prereg, prereg_map(prereg, IOVA, memory, MEMORY, PREREG_READ | PREREG_WRITE), "map 16 MiB", start))
		return -1;
	/* A device does its work now: it reaches @memory at IOVA. */
	start = now_us();
	return told(prereg, prereg_unmap(prereg, IOVA, MEMORY), "unmap it", start);
}

/* Every other page, in the reverse order, in one call: all of them, or none. */
static int many(struct prereg *prereg, char *memory, size_t page)
{
	struct prereg_mapping pieces[PIECES];
	double start;
	size_t i, refused;

	for (i = 0; i < PIECES; i++)
		pieces[i] = (struct prereg_mapping) {
			.iova = IOVA + i * page,
			.addr = memory + (PIECES - 1 - i) * 2 * page,
			.bytes = page,
			.access = PREREG_READ,
		};
	start = now_us();
	if (told(prereg, prereg_map_all(prereg, pieces, PIECES, NULL), "map 100 pieces", start))
		return -1;
	start = now_us();
	if (told(prereg, prereg_unmap_all(prereg, pieces, PIECES, NULL), "unmap them", start))
		return -1;

	/* One that is not registered: nothing is mapped, and the library says which one it was. */
	pieces[50].addr = memory + MEMORY;
	if (!prereg_map_all(prereg, pieces, PIECES, &refused) || refused != 50) {
		fprintf(stderr, "piece 50 should have been refused\n");
		return -1;
	}
	printf("refused, as it should be: %s\n", prereg_error(prereg));
	return 0;
}

/* A window beside the one that a container begins with, for more IOVAs or larger pages. */
static int window(struct prereg *prereg, char *memory)
{
	struct prereg_windows windows;
	uint64_t page, start;

	if (prereg_get_windows(prereg, &windows)) {
		fprintf(stderr, "%s\n", prereg_error(prereg));
		return -1;
	}
	printf("windows: %u, pages of 0x%" PRIx64 ", the first at 0x%" PRIx64 " of %" PRIu64 " MiB\n", windows.max_windows,
	       windows.page_sizes, windows.default_start, windows.default_bytes >> 20);
	page = windows.page_sizes & -windows.page_sizes;
	if (windows.max_windows < 2)
		return 0;
	if (prereg_add_window(prereg, 1ul << 30, page, 1, &start) ||
	    prereg_map(prereg, start, memory, MEMORY, PREREG_READ) || prereg_remove_window(prereg, start)) {
		fprintf(stderr, "%s\n", prereg_error(prereg));
		return -1;
	}
	printf("a second window was at 0x%" PRIx64 "\n", start);
	return 0;
}

static int use(struct prereg *prereg, char *memory)
{
	double start = now_us();

	if (told(prereg, prereg_register(prereg, memory, MEMORY), "register 16 MiB", start))
		return -1;
	if (one(prereg, memory) || many(prereg, memory, sysconf(_SC_PAGESIZE)) || window(prereg, memory))
		return -1;
	/* An exit would do that as well. */
	start = now_us();
	return told(prereg, prereg_unregister(prereg, memory, MEMORY), "unregister it", start);
}

int main(int argc, char **argv)
{
	struct prereg *prereg;
	int i, device = -1, ret = EXIT_FAILURE;
	char *memory;

	if (argc < 2) {
		fprintf(stderr, "usage: example-map DEVICE...\n");
		return EXIT_FAILURE;
	}
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		perror("mmap");
		return EXIT_FAILURE;
	}
	prereg = prereg_open();
	for (i = 1; i < argc; i++) {
		if (!prereg || prereg_add_device(prereg, argv[i])) {
			fprintf(stderr, "%s: %s\n", argv[i], prereg_error(prereg));
			goto out;
		}
	}
	device = prereg_open_device(prereg, argv[1]);
	if (device < 0) {
		fprintf(stderr, "%s: %s\n", argv[1], prereg_error(prereg));
		goto out;
	}
	if (!use(prereg, memory))
		ret = EXIT_SUCCESS;
	close(device);
out:
	prereg_close(prereg);
	munmap(memory, MEMORY);
	return ret;
}
