// SPDX-License-Identifier: GPL-2.0
/* Which pages a container calls dirty when emulated devices are in it. */
#define _GNU_SOURCE
#include <errno.h>

#include "emulated.h"
#include "tap.h"

#define N_PAGES 8
#define ALL_PAGES ((1ull << N_PAGES) - 1)

static struct type1_bitmap one_word(uint64_t *word)
{
	*word = 0;
	return (struct type1_bitmap){ .pgsize = PAGE, .bits = word, .bits_bytes = sizeof(*word) };
}

/* Asserts which of the pages at IOVA are dirty, a bit each. */
static void expect_dirty(struct vfio_dev *dev, uint64_t want, const char *when)
{
	uint64_t word;
	const struct type1_bitmap bitmap = one_word(&word);

	tap_expect_ret(type1_dirty_bitmap(dev->container, IOVA, N_PAGES * PAGE, &bitmap), 0, "GET_BITMAP");
	tap_expect(word == want, "dirty pages %s: %#llx, expected %#llx", when, (unsigned long long)word,
		   (unsigned long long)want);
}

static bool start(struct vfio_dev *dev)
{
	return tap_expect_ret(type1_dirty(dev->container, VFIO_IOMMU_DIRTY_PAGES_FLAG_START), 0, "START");
}

static bool stop(struct vfio_dev *dev)
{
	return tap_expect_ret(type1_dirty(dev->container, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP), 0, "STOP");
}

void test_dirty_pins(void)
{
	struct vfio_dev dev;

	if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU) || !emulated_map(&dev, N_PAGES * PAGE, IOVA))
		return;
	tap_step("what is pinned is dirty, from before START and from after it, as long as it is pinned");
	tap_expect_ret(testdev_pin(dev.device, IOVA + PAGE, 1, TESTDEV_RW), 0, "pin page 1");
	start(&dev);
	tap_expect_ret(testdev_pin(dev.device, IOVA + 3 * PAGE, 2, TESTDEV_RW), 0, "pin pages 3 and 4");
	expect_dirty(&dev, 0x1a, "after two pins");
	expect_dirty(&dev, 0x1a, "while they are pinned");
	tap_step("what was unpinned is dirty once more");
	tap_expect_ret(testdev_unpin(dev.device, IOVA + 3 * PAGE, 2), 0, "unpin pages 3 and 4");
	expect_dirty(&dev, 0x1a, "after unpin");
	expect_dirty(&dev, 0x02, "after it was told");
	tap_step("pinned and unpinned in between");
	tap_expect_ret(testdev_pin(dev.device, IOVA + 6 * PAGE, 1, TESTDEV_RW), 0, "pin page 6");
	tap_expect_ret(testdev_unpin(dev.device, IOVA + 6 * PAGE, 1), 0, "unpin page 6");
	expect_dirty(&dev, 0x42, "after pin and unpin");
	tap_step("STOP forgets");
	tap_expect_ret(testdev_pin(dev.device, IOVA + 7 * PAGE, 1, TESTDEV_RW), 0, "pin page 7");
	tap_expect_ret(testdev_unpin(dev.device, IOVA + 7 * PAGE, 1), 0, "unpin page 7");
	stop(&dev);
	start(&dev);
	expect_dirty(&dev, 0x02, "after STOP and START");
	tap_step("a mapping of after START");
	tap_expect_ret(vfio_unmap(dev.container, IOVA, N_PAGES * PAGE), 0, "UNMAP");
	if (!emulated_map(&dev, N_PAGES * PAGE, IOVA))
		return;
	expect_dirty(&dev, 0, "of a new mapping");
	tap_expect_ret(testdev_pin(dev.device, IOVA, 1, TESTDEV_RW), 0, "pin page 0");
	expect_dirty(&dev, 0x01, "of a new mapping, after a pin");
	vfio_dev_close(&dev);
}

void test_dirty_rw(void)
{
	static const unsigned int how[] = { 0, TEST_DEVICE_COPY_THREAD };
	struct vfio_dev dev;
	char data[64] = "";
	size_t i;

	if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU) || !emulated_map(&dev, N_PAGES * PAGE, IOVA))
		return;
	start(&dev);
	for (i = 0; i < 2; i++) {
		tap_step(how[i] ? "a kernel thread writes" : "the caller writes");
		tap_expect_ret(testdev_write(dev.device, IOVA + 2 * PAGE + 8, data, 64, how[i]), 0, "write to page 2");
		tap_expect_ret(testdev_write(dev.device, IOVA + 6 * PAGE - 1, data, 2, how[i]), 0, "write to pages 5 and 6");
		tap_expect_ret(testdev_read(dev.device, IOVA, data, 64, how[i]), 0, "read from page 0");
		expect_dirty(&dev, 0x64, "after writes");
		expect_dirty(&dev, 0, "after they were told");
		tap_expect_ret(testdev_write(dev.device, IOVA + 8 * PAGE - 32, data, 64, how[i]), -EINVAL, "write over the end");
		expect_dirty(&dev, 0x80, "after a write that went half-way");
	}
	vfio_dev_close(&dev);
}

void test_dirty_unmap(void)
{
	struct vfio_dev dev;
	uint64_t word, unmapped;
	const struct type1_bitmap bitmap = one_word(&word);
	char data[8] = "";

	if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU) || !emulated_map(&dev, N_PAGES * PAGE, IOVA))
		return;
	start(&dev);
	tap_expect_ret(testdev_pin(dev.device, IOVA + 4 * PAGE, 1, TESTDEV_RW), 0, "pin page 4");
	tap_expect_ret(testdev_write(dev.device, IOVA + 7 * PAGE, data, 8, 0), 0, "write to page 7");
	tap_step("UNMAP that asks for dirty pages: the driver unpins first, and the page is dirty all the same");
	tap_expect_ret(type1_unmap_dirty(dev.container, IOVA, N_PAGES * PAGE, &bitmap, &unmapped), 0, "UNMAP");
	tap_expect_eq(unmapped, N_PAGES * PAGE, "bytes unmapped");
	tap_expect(word == 0x90, "dirty pages: %#llx, expected 0x90", (unsigned long long)word);
	tap_expect_eq(testdev_state(dev.device).pinned, 0, "pages that the device still has pinned");
	emulated_expect_held(0, 0, "after UNMAP");
	vfio_dev_close(&dev);
}

void test_dirty_real(void)
{
	struct vfio_dev dev;
	struct rig rig;

	if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU) || !emulated_map(&dev, N_PAGES * PAGE, IOVA))
		return;
	start(&dev);
	tap_expect_ret(testdev_pin(dev.device, IOVA + PAGE, 1, TESTDEV_RW), 0, "pin page 1");
	expect_dirty(&dev, 0x02, "without a real device");
	tap_step("a real device may write anywhere, and tells nobody");
	if (!rig_join(&rig, VFIO_EDU0, dev.container))
		return;
	expect_dirty(&dev, ALL_PAGES, "with a real device");
	expect_dirty(&dev, ALL_PAGES, "with a real device");
	tap_step("it leaves: once more all, then what is pinned");
	rig_close(&rig);
	expect_dirty(&dev, ALL_PAGES, "when the real device has left");
	expect_dirty(&dev, 0x02, "after it was told");
	vfio_dev_close(&dev);
}
