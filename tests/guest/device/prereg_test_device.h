/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Emulated VFIO devices, which do what their fd is told to with an IOMMU
 * backend's pages. For tests only; they belong in a throw-away guest.
 */
#ifndef PREREG_TEST_DEVICE_H
#define PREREG_TEST_DEVICE_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* The devices are /sys/bus/platform/devices/prereg_test.0 and so on. */
#define TEST_DEVICE_NAME	"prereg_test"
#define TEST_DEVICES		3
/* This one has no dma_unmap(). */
#define TEST_DEVICE_DEAF	2

/* More pages than one vfio_pin_pages() takes. */
#define TEST_DEVICE_MAX_PAGES	(1u << 14)
#define TEST_DEVICE_MAX_BYTES	(1u << 20)

/* IOMMU_READ and IOMMU_WRITE. */
#define TEST_DEVICE_PROT_READ	(1u << 0)
#define TEST_DEVICE_PROT_WRITE	(1u << 1)

/**
 * struct test_device_range - pages from @iova on
 * @prot: for TEST_DEVICE_PIN
 */
struct test_device_range {
	__u64 iova;
	__u32 npages;
	__u32 prot;
};

/* vfio_pin_pages(). The device remembers the range, once for each call. */
#define TEST_DEVICE_PIN		_IOW('t', 0, struct test_device_range)
/* vfio_unpin_pages() of a range as it was pinned. ENOENT: the device has no such. */
#define TEST_DEVICE_UNPIN	_IOW('t', 1, struct test_device_range)
/* vfio_unpin_pages() of any range, which the device need not have pinned. */
#define TEST_DEVICE_UNPIN_ANY	_IOW('t', 2, struct test_device_range)

/* The device writes; else it reads. */
#define TEST_DEVICE_COPY_WRITE		(1u << 0)
/* In a kernel thread; else in the caller. */
#define TEST_DEVICE_COPY_THREAD		(1u << 1)
/* Through the struct pages of a range it pinned (ENOENT: none); else with vfio_dma_rw(). */
#define TEST_DEVICE_COPY_PAGES		(1u << 2)

/**
 * struct test_device_copy - between the caller's @buffer and what is mapped at @iova
 * @flags: TEST_DEVICE_COPY_*
 */
struct test_device_copy {
	__u64 iova;
	__u64 buffer;
	__u32 bytes;
	__u32 flags;
};

#define TEST_DEVICE_COPY	_IOW('t', 3, struct test_device_copy)

/* dma_unmap() does not unpin. */
#define TEST_DEVICE_KEEP_AT_UNMAP	(1u << 0)
/* close_device() does not unpin. The pages are lost then, unless TEST_DEVICE_DROP. */
#define TEST_DEVICE_KEEP_AT_CLOSE	(1u << 1)
/* It knows what it has pinned only after a few calls of dma_unmap(), which do not wait for that. */
#define TEST_DEVICE_KNOW_LATE		(1u << 2)

/* The argument is the mode itself; 0 at each open. */
#define TEST_DEVICE_MODE	_IO('t', 4)

/**
 * struct test_device_state - since the device was opened
 * @notified: calls of dma_unmap()
 * @iova: of the last of them
 * @bytes: of the last of them
 * @pinned: pages that the device remembers; one that two calls pinned counts twice
 * @unknown: pages that were pinned and that it does not remember yet (TEST_DEVICE_KNOW_LATE)
 */
struct test_device_state {
	__u64 notified;
	__u64 iova;
	__u64 bytes;
	__u64 pinned;
	__u64 unknown;
};

#define TEST_DEVICE_STATE	_IOR('t', 5, struct test_device_state)

/* unpin_user_page() of what was kept at a close, behind VFIO's back: for the next test. */
#define TEST_DEVICE_DROP	_IO('t', 6)

#endif
