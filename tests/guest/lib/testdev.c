// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>

#include "tap.h"
#include "testdev.h"
#include "vfio.h"

const char *testdev_name(unsigned int nr)
{
	static _Thread_local char names[2][16];
	static _Thread_local unsigned int next;
	char *name = names[next++ % 2];

	snprintf(name, sizeof(names[0]), TEST_DEVICE_NAME ".%u", nr);
	return name;
}

static int range_call(int device, unsigned long request, uint64_t iova, uint32_t npages, uint32_t prot)
{
	const struct test_device_range range = { .iova = iova, .npages = npages, .prot = prot };

	return vfio_ioctl(device, request, &range);
}

int testdev_pin(int device, uint64_t iova, uint32_t npages, uint32_t prot)
{
	return range_call(device, TEST_DEVICE_PIN, iova, npages, prot);
}

int testdev_unpin(int device, uint64_t iova, uint32_t npages)
{
	return range_call(device, TEST_DEVICE_UNPIN, iova, npages, 0);
}

int testdev_unpin_any(int device, uint64_t iova, uint32_t npages)
{
	return range_call(device, TEST_DEVICE_UNPIN_ANY, iova, npages, 0);
}

static int copy_call(int device, uint64_t iova, const void *buffer, uint32_t bytes, uint32_t flags)
{
	const struct test_device_copy copy = {
		.iova = iova, .buffer = (uintptr_t)buffer, .bytes = bytes, .flags = flags,
	};

	return vfio_ioctl(device, TEST_DEVICE_COPY, &copy);
}

int testdev_read(int device, uint64_t iova, void *buffer, uint32_t bytes, uint32_t flags)
{
	return copy_call(device, iova, buffer, bytes, flags);
}

int testdev_write(int device, uint64_t iova, const void *buffer, uint32_t bytes, uint32_t flags)
{
	return copy_call(device, iova, buffer, bytes, flags | TEST_DEVICE_COPY_WRITE);
}

int testdev_mode(int device, unsigned int mode)
{
	return vfio_ioctl(device, TEST_DEVICE_MODE, (void *)(unsigned long)mode);
}

int testdev_drop(int device)
{
	return vfio_ioctl(device, TEST_DEVICE_DROP, NULL);
}

struct test_device_state testdev_state(int device)
{
	struct test_device_state state = { 0 };

	tap_expect_ret(vfio_ioctl(device, TEST_DEVICE_STATE, &state), 0, "the device's state");
	return state;
}
