/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The emulated devices of prereg_test_device.ko; what they can do, and the flags, are in
 * device/prereg_test_device.h. They are opened like others (vfio_dev_open()).
 */
#ifndef GUEST_TESTDEV_H
#define GUEST_TESTDEV_H

#include <stdint.h>

#include "../device/prereg_test_device.h"

#define TESTDEV_RW (TEST_DEVICE_PROT_READ | TEST_DEVICE_PROT_WRITE)

/* The name of device @nr; valid until the second next call. */
const char *testdev_name(unsigned int nr);

/* @device is a device's fd. 0 or -errno. */
int testdev_pin(int device, uint64_t iova, uint32_t npages, uint32_t prot);
int testdev_unpin(int device, uint64_t iova, uint32_t npages);
int testdev_unpin_any(int device, uint64_t iova, uint32_t npages);
int testdev_read(int device, uint64_t iova, void *buffer, uint32_t bytes, uint32_t flags);
int testdev_write(int device, uint64_t iova, const void *buffer, uint32_t bytes, uint32_t flags);
int testdev_mode(int device, unsigned int mode);
int testdev_drop(int device);

/* All zero after a failed assertion. */
struct test_device_state testdev_state(int device);

#endif
