// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "fault.h"
#include "meter.h"

#define PAGE_OF(iova)	((iova) & ~0xfffull)

/* Of an SMMUv3's events, which the log has as four numbers; from its specification, section 7.3. */
#define SMMU_EVENT_WORDS	4
#define SMMU_TRANSLATION	0x10	/* the first of the faults of an access … */
#define SMMU_PERMISSION		0x13	/* … and the last one */
#define SMMU_EVENT_READ		(1ull << 35)
#define AMD_FAULT_WRITE		0x20

struct fault {
	unsigned long long iova;
	bool write;
};

/* "DMAR: [DMA Write NO_PASID] Request device [00:04.0] fault addr 0x11000000 [fault reason …" */
static bool parse_vtd(const char *line, struct fault *fault)
{
	const char *at = strstr(line, "fault addr 0x");

	if (!at || !strstr(line, "[DMA "))
		return false;
	fault->write = strstr(line, "[DMA Write");
	return sscanf(at, "fault addr %llx", &fault->iova) == 1;
}

/* "vfio-pci 0000:00:04.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000a address=0x11000000 flags=0x0020]" */
static bool parse_amd(const char *line, struct fault *fault)
{
	const char *at = strstr(line, "[IO_PAGE_FAULT ");
	unsigned int flags;

	at = at ? strstr(at, "address=") : NULL;
	if (!at || sscanf(at, "address=%llx flags=%x", &fault->iova, &flags) != 2)
		return false;
	fault->write = flags & AMD_FAULT_WRITE;
	return true;
}

/* "arm-smmu-v3 9050000.smmuv3: event 0x10 received:", then a line for each word. */
static bool parse_smmu(const char *line, struct fault *fault)
{
	static unsigned long long event[SMMU_EVENT_WORDS];
	static unsigned int words = SMMU_EVENT_WORDS;
	const char *at = strstr(line, "arm-smmu-v3 ");
	unsigned int id;

	at = at ? strstr(at, ": ") : NULL;
	if (!at)
		return false;
	if (sscanf(at, ": event %x received", &id) == 1) {
		words = id >= SMMU_TRANSLATION && id <= SMMU_PERMISSION ? 0 : SMMU_EVENT_WORDS;
		return false;
	}
	/* The tab before a word is written as \x09 in /dev/kmsg. */
	at = strstr(at, "0x");
	if (!at || words == SMMU_EVENT_WORDS || sscanf(at, "%llx", &event[words]) != 1 ||
	    ++words < SMMU_EVENT_WORDS)
		return false;
	fault->write = !(event[1] & SMMU_EVENT_READ);
	fault->iova = event[2];
	return true;
}

static bool klog_told(int klog, uint64_t iova, bool write, uint64_t ms)
{
	const uint64_t deadline = meter_now_ns() + ms * 1000000;
	struct fault fault;
	char line[512];

	while (meter_klog_next(klog, deadline, line, sizeof(line)))
		if ((parse_vtd(line, &fault) || parse_amd(line, &fault) || parse_smmu(line, &fault)) &&
		    PAGE_OF(fault.iova) == PAGE_OF(iova) && fault.write == write)
			return true;
	return false;
}

static const char *fault_port(void)
{
	const char *port = getenv("VFIO_FAULTS");

	return port && *port ? port : NULL;
}

/* Asks for the last faults; the answer ends with the line ".". */
static bool port_read(int port, char *text, size_t bytes)
{
	size_t len = 0;

	if (write(port, "?\n", 2) != 2)
		return false;
	do {
		ssize_t n = read(port, text + len, bytes - 1 - len);

		if (n <= 0)
			return false;
		len += n;
		text[len] = 0;
	} while (len < 2 || strcmp(text + len - 2, ".\n"));
	return true;
}

/* "Invalid write at addr 0x2000B02C, size 4, region '(null)', reason: rejected": an access that no table let through. */
static bool emulator_told(const char *text, uint64_t iova, bool write)
{
	const char *const access = write ? "Invalid write at addr " : "Invalid read at addr ";
	unsigned long long at;

	while ((text = strstr(text, access))) {
		text += strlen(access);
		if (sscanf(text, "%llx,", &at) == 1 && PAGE_OF(at) == PAGE_OF(iova))
			return true;
	}
	return false;
}

static bool port_told(int port, uint64_t iova, bool write)
{
	static char text[8192];
	char where[48];

	snprintf(where, sizeof(where), " xlate %llx:%c ", (unsigned long long)iova, write ? 'W' : 'R');
	/* Where there is no window at all its address is not told. */
	return port_read(port, text, sizeof(text)) &&
	       (strstr(text, where) || strstr(text, " invalid TVE") || emulator_told(text, iova, write));
}

int fault_open(void)
{
	static char unused[8192];
	struct termios tty;
	int port;

	if (!fault_port())
		return meter_klog_open();
	port = open(fault_port(), O_RDWR | O_CLOEXEC);
	/* Some ports are terminals, which edit lines and echo them. */
	if (port >= 0 && !tcgetattr(port, &tty)) {
		cfmakeraw(&tty);
		tcsetattr(port, TCSANOW, &tty);
	}
	/* What came before is nobody's. */
	if (port >= 0 && !port_read(port, unused, sizeof(unused))) {
		close(port);
		port = -1;
	}
	return port;
}

bool fault_told(int faults, uint64_t iova, bool write, uint64_t ms)
{
	return fault_port() ? port_told(faults, iova, write) : klog_told(faults, iova, write, ms);
}
