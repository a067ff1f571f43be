/* SPDX-License-Identifier: GPL-2.0 */
/*
 * QEMU's "edu" device: a buffer of 4096 bytes and a DMA engine that copies
 * between it and memory when told to, about 100 ms after each command.
 *
 * QEMU must be given dma_mask=0xffffffffffffffff: by default the device cuts
 * IOVAs to 28 bits and hits the wrong one in silence.
 */
#ifndef GUEST_EDU_H
#define GUEST_EDU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What one DMA may move. The buffer has 4096 bytes, but QEMU 7.2 stops the
 * machine ("out of bounds") when a range ends with the last of them.
 */
#define EDU_MAX_BYTES 4088u

struct edu {
	volatile uint8_t *bar;
	size_t bar_bytes;
	bool swapped;	/* its registers have QEMU's byte order, which on POWER is not the kernel's */
};

/*
 * Maps BAR 0 of @device (a VFIO device fd) and turns memory decoding and bus
 * mastering on. -ENODEV: this is no edu device.
 */
int edu_open(struct edu *edu, int device);
void edu_close(struct edu *edu);

/*
 * The device reads @bytes of memory at @iova into its buffer at @offset, or
 * writes them from there. 0 means that the engine is idle again, not that the
 * IOMMU let it through. -ETIMEDOUT: still busy after 5 s, or longer where the
 * guest is slow (proc_limit_ms()). -EINVAL: outside the buffer (QEMU would stop
 * the machine).
 */
int edu_dma_read(struct edu *edu, uint64_t iova, uint32_t offset, uint32_t bytes);
int edu_dma_write(struct edu *edu, uint64_t iova, uint32_t offset, uint32_t bytes);

/* A read that ends with an interrupt. */
int edu_dma_read_interrupt(struct edu *edu, uint64_t iova, uint32_t offset, uint32_t bytes);

/* The device raises its interrupt; the level of one that is no message stays up until it is done. */
void edu_interrupt(struct edu *edu);
void edu_interrupt_done(struct edu *edu);

/* Starts a write and does not wait for it. */
int edu_dma_write_start(struct edu *edu, uint64_t iova, uint32_t offset, uint32_t bytes);
int edu_dma_wait(struct edu *edu);

/* The device copies any number of bytes from @src to @dst, 200 ms for each 2 KiB. */
int edu_copy(struct edu *edu, uint64_t dst, uint64_t src, uint64_t bytes);

/*
 * Does the device reach the memory that the caller sees at @va when it uses @iova?
 * It reads @bytes (at most EDU_MAX_BYTES) there, which the caller then clears, and
 * writes them back. Needs a mapping for reading and writing; fills with @seed.
 */
bool edu_reaches(struct edu *edu, uint64_t iova, void *va, uint32_t bytes, uint32_t seed);

/*
 * Is the device kept away from @iova? It reads or writes 8 bytes there, and the
 * IOMMU's fault must be told (fault.h); where it is not, the device tries again after
 * the time for which a kernel may keep faults to itself.
 */
bool edu_faults(struct edu *edu, uint64_t iova, bool write);

#endif
