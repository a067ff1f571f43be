// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "edu.h"
#include "fault.h"
#include "meter.h"
#include "proc.h"
#include "vfio.h"

#define EDU_REG_ID	0x00
#define EDU_REG_STATUS	0x24
#define EDU_REG_RAISE	0x60
#define EDU_REG_DONE	0x64
#define EDU_REG_SRC	0x80
#define EDU_REG_DST	0x88
#define EDU_REG_COUNT	0x90
#define EDU_REG_CMD	0x98
#define EDU_CMD_RUN	0x1ull
#define EDU_CMD_TO_RAM	0x2ull
#define EDU_CMD_IRQ	0x4ull
#define EDU_BUFFER	0x40000ull
#define EDU_ID_MASK	0x0000ffffu
#define EDU_ID		0x000000edu
#define EDU_COPY_BYTES	2048u
#define EDU_TIMEOUT_MS	5000u

static void edu_write64(struct edu *edu, unsigned int reg, uint64_t value)
{
	*(volatile uint64_t *)(edu->bar + reg) = edu->swapped ? __builtin_bswap64(value) : value;
}

static uint64_t edu_read64(struct edu *edu, unsigned int reg)
{
	const uint64_t value = *(volatile uint64_t *)(edu->bar + reg);

	return edu->swapped ? __builtin_bswap64(value) : value;
}

static void edu_write32(struct edu *edu, unsigned int reg, uint32_t value)
{
	*(volatile uint32_t *)(edu->bar + reg) = edu->swapped ? __builtin_bswap32(value) : value;
}

static uint32_t edu_read32(struct edu *edu, unsigned int reg)
{
	const uint32_t value = *(volatile uint32_t *)(edu->bar + reg);

	return edu->swapped ? __builtin_bswap32(value) : value;
}

/* Also finds out which way round the registers are. */
static bool edu_is_one(struct edu *edu)
{
	const uint32_t id = *(volatile uint32_t *)(edu->bar + EDU_REG_ID);

	edu->swapped = (__builtin_bswap32(id) & EDU_ID_MASK) == EDU_ID;
	return edu->swapped || (id & EDU_ID_MASK) == EDU_ID;
}

int edu_open(struct edu *edu, int device)
{
	int ret = vfio_device_bus_master(device, true);

	if (ret)
		return ret;
	edu->bar = vfio_device_mmap(device, VFIO_PCI_BAR0_REGION_INDEX, &edu->bar_bytes);
	if (!edu->bar)
		return -ENODEV;
	if (!edu_is_one(edu)) {
		edu_close(edu);
		return -ENODEV;
	}
	return 0;
}

void edu_close(struct edu *edu)
{
	if (edu->bar)
		munmap((void *)edu->bar, edu->bar_bytes);
	edu->bar = NULL;
}

static int edu_start(struct edu *edu, uint64_t src, uint64_t dst, uint32_t bytes, uint64_t cmd)
{
	edu_write64(edu, EDU_REG_SRC, src);
	edu_write64(edu, EDU_REG_DST, dst);
	edu_write64(edu, EDU_REG_COUNT, bytes);
	edu_write64(edu, EDU_REG_CMD, cmd | EDU_CMD_RUN);
	return 0;
}

static bool edu_range_ok(uint32_t offset, uint32_t bytes)
{
	return bytes && bytes <= EDU_MAX_BYTES && offset <= EDU_MAX_BYTES - bytes;
}

int edu_dma_wait(struct edu *edu)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	const uint64_t deadline = meter_now_ns() + proc_limit_ms(EDU_TIMEOUT_MS) * 1000000;

	while (edu_read64(edu, EDU_REG_CMD) & EDU_CMD_RUN) {
		if (meter_now_ns() > deadline)
			return -ETIMEDOUT;
		nanosleep(&ms, NULL);
	}
	return 0;
}

int edu_dma_read(struct edu *edu, uint64_t iova, uint32_t offset, uint32_t bytes)
{
	if (!edu_range_ok(offset, bytes))
		return -EINVAL;
	edu_start(edu, iova, EDU_BUFFER + offset, bytes, 0);
	return edu_dma_wait(edu);
}

int edu_dma_read_interrupt(struct edu *edu, uint64_t iova, uint32_t offset, uint32_t bytes)
{
	if (!edu_range_ok(offset, bytes))
		return -EINVAL;
	edu_start(edu, iova, EDU_BUFFER + offset, bytes, EDU_CMD_IRQ);
	return edu_dma_wait(edu);
}

void edu_interrupt(struct edu *edu)
{
	edu_write32(edu, EDU_REG_RAISE, 1);
}

void edu_interrupt_done(struct edu *edu)
{
	edu_write32(edu, EDU_REG_DONE, edu_read32(edu, EDU_REG_STATUS));
}

int edu_dma_write_start(struct edu *edu, uint64_t iova, uint32_t offset, uint32_t bytes)
{
	if (!edu_range_ok(offset, bytes))
		return -EINVAL;
	return edu_start(edu, EDU_BUFFER + offset, iova, bytes, EDU_CMD_TO_RAM);
}

int edu_dma_write(struct edu *edu, uint64_t iova, uint32_t offset, uint32_t bytes)
{
	int ret = edu_dma_write_start(edu, iova, offset, bytes);

	return ret ? ret : edu_dma_wait(edu);
}

int edu_copy(struct edu *edu, uint64_t dst, uint64_t src, uint64_t bytes)
{
	int ret = 0;

	while (bytes && !ret) {
		uint32_t part = bytes < EDU_COPY_BYTES ? bytes : EDU_COPY_BYTES;

		ret = edu_dma_read(edu, src, 0, part);
		if (!ret)
			ret = edu_dma_write(edu, dst, 0, part);
		src += part;
		dst += part;
		bytes -= part;
	}
	return ret;
}

bool edu_reaches(struct edu *edu, uint64_t iova, void *va, uint32_t bytes, uint32_t seed)
{
	mem_fill(va, bytes, seed);
	if (edu_dma_read(edu, iova, 0, bytes))
		return false;
	memset(va, 0, bytes);
	return !edu_dma_write(edu, iova, 0, bytes) && mem_matches(va, bytes, seed);
}

bool edu_faults(struct edu *edu, uint64_t iova, bool write)
{
	const int faults = fault_open();
	bool told = false;
	int try;

	if (faults < 0)
		return false;
	/* The log leaves faults out that come too fast; and a guest whose host is busy may be late with it. */
	for (try = 0; try < 4 && !told; try++) {
		if (try)
			meter_sleep_ms(FAULT_RATE_MS);
		if (write ? edu_dma_write(edu, iova, 0, 8) : edu_dma_read(edu, iova, 0, 8))
			break;
		told = fault_told(faults, iova, write, try ? proc_limit_ms(1000) : 200);
	}
	close(faults);
	return told;
}
