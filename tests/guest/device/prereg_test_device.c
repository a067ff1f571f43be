// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices as mdev drivers make them: no IOMMU of their own, all DMA through
 * vfio_pin_pages() and vfio_dma_rw(). What they do is in prereg_test_device.h.
 */
#include <linux/err.h>
#include <linux/highmem.h>
#include <linux/iommu.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "prereg_test_device.h"

/* TEST_DEVICE_KNOW_LATE: after how many calls of dma_unmap(), or at the latest, it knows. */
#define TEST_DEVICE_LATE_TOLD	3
#define TEST_DEVICE_LATE_MAX	(10 * HZ)

/**
 * struct test_pin - pages that one call pinned
 * @link: in test_device.pins
 * @iova: of the first page
 * @npages: how many
 * @pages: them
 */
struct test_pin {
	struct list_head	link;
	u64			iova;
	u32			npages;
	struct page		*pages[];
};

/**
 * struct test_device - a device
 * @vdev: VFIO's part
 * @lock: for all below; held around vfio_pin_pages() and vfio_unpin_pages() and taken in
 *	dma_unmap(), as drivers do that keep a cache of pinned pages
 * @pins: struct test_pin, the last one first
 * @kept: struct test_pin: still pinned when the device was closed
 * @mode: TEST_DEVICE_KEEP_*
 * @notified: calls of dma_unmap() since the device was opened
 * @iova: of the last of them
 * @bytes: of the last of them
 * @unknown: pages that a call pinned and does not remember yet
 * @told: woken when @notified has changed
 */
struct test_device {
	struct vfio_device	vdev;
	struct mutex		lock;
	struct list_head	pins;
	struct list_head	kept;
	unsigned long		mode;
	u64			notified;
	u64			iova;
	u64			bytes;
	u64			unknown;
	wait_queue_head_t	told;
};

static struct test_device *to_test(struct vfio_device *vdev)
{
	return container_of(vdev, struct test_device, vdev);
}

static u64 pin_bytes(const struct test_pin *pin)
{
	return (u64)pin->npages << PAGE_SHIFT;
}

static void unpin(struct test_device *test, struct test_pin *pin)
{
	vfio_unpin_pages(&test->vdev, pin->iova, pin->npages);
	list_del(&pin->link);
	kvfree(pin);
}

static int test_pin(struct test_device *test, const struct test_device_range *range)
{
	struct test_pin *pin;
	u64 notified;
	bool late;
	int ret;

	if (range->npages > TEST_DEVICE_MAX_PAGES)
		return -EINVAL;
	pin = kvzalloc(struct_size(pin, pages, range->npages), GFP_KERNEL);
	if (!pin)
		return -ENOMEM;
	pin->iova = range->iova;
	pin->npages = range->npages;

	mutex_lock(&test->lock);
	late = test->mode & TEST_DEVICE_KNOW_LATE;
	notified = test->notified;
	if (late)
		mutex_unlock(&test->lock);
	ret = vfio_pin_pages(&test->vdev, range->iova, range->npages, range->prot, pin->pages);
	if (late) {
		WRITE_ONCE(test->unknown, ret > 0 ? ret : 0);
		wait_event_timeout(test->told,
				   READ_ONCE(test->notified) - notified >= TEST_DEVICE_LATE_TOLD,
				   TEST_DEVICE_LATE_MAX);
		mutex_lock(&test->lock);
		WRITE_ONCE(test->unknown, 0);
	}
	if (ret == range->npages)
		list_add(&pin->link, &test->pins);
	mutex_unlock(&test->lock);
	if (ret == range->npages)
		return 0;
	kvfree(pin);
	return ret < 0 ? ret : -EPROTO;
}

static int test_unpin(struct test_device *test, const struct test_device_range *range)
{
	struct test_pin *pin;
	int ret = -ENOENT;

	mutex_lock(&test->lock);
	list_for_each_entry(pin, &test->pins, link) {
		if (pin->iova == range->iova && pin->npages == range->npages) {
			unpin(test, pin);
			ret = 0;
			break;
		}
	}
	mutex_unlock(&test->lock);
	return ret;
}

static void test_dma_unmap(struct vfio_device *vdev, u64 iova, u64 bytes)
{
	struct test_device *test = to_test(vdev);
	struct test_pin *pin, *next;

	mutex_lock(&test->lock);
	WRITE_ONCE(test->notified, test->notified + 1);
	wake_up(&test->told);
	test->iova = iova;
	test->bytes = bytes;
	if (!(test->mode & TEST_DEVICE_KEEP_AT_UNMAP)) {
		list_for_each_entry_safe(pin, next, &test->pins, link)
			if (pin->iova <= iova + bytes - 1 &&
			    iova <= pin->iova + pin_bytes(pin) - 1)
				unpin(test, pin);
	}
	mutex_unlock(&test->lock);
}

/* The pinned range that has all of the copy in it. */
static struct test_pin *find_pin(struct test_device *test, const struct test_device_copy *copy)
{
	struct test_pin *pin;

	list_for_each_entry(pin, &test->pins, link)
		if (copy->iova >= pin->iova && copy->iova - pin->iova < pin_bytes(pin) &&
		    copy->bytes <= pin_bytes(pin) - (copy->iova - pin->iova))
			return pin;
	return NULL;
}

static int copy_pages(struct test_device *test, const struct test_device_copy *copy, void *data)
{
	u32 done, part;
	struct test_pin *pin;

	mutex_lock(&test->lock);
	pin = find_pin(test, copy);
	for (done = 0; pin && done < copy->bytes; done += part) {
		const u64 at = copy->iova - pin->iova + done;
		struct page *page = pin->pages[at >> PAGE_SHIFT];

		part = min_t(u32, copy->bytes - done, PAGE_SIZE - offset_in_page(at));
		if (copy->flags & TEST_DEVICE_COPY_WRITE)
			memcpy_to_page(page, offset_in_page(at), data + done, part);
		else
			memcpy_from_page(data + done, page, offset_in_page(at), part);
	}
	mutex_unlock(&test->lock);
	return pin ? 0 : -ENOENT;
}

static int copy_data(struct test_device *test, const struct test_device_copy *copy, void *data)
{
	if (copy->flags & TEST_DEVICE_COPY_PAGES)
		return copy_pages(test, copy, data);
	return vfio_dma_rw(&test->vdev, copy->iova, data, copy->bytes,
			   copy->flags & TEST_DEVICE_COPY_WRITE);
}

/**
 * struct copy_work - a copy for a kernel thread
 * @work: a work queue's part
 * @test: whose
 * @copy: what
 * @data: the device's side of it
 * @ret: its result
 */
struct copy_work {
	struct work_struct		work;
	struct test_device		*test;
	const struct test_device_copy	*copy;
	void				*data;
	int				ret;
};

static void copy_in_thread(struct work_struct *work)
{
	struct copy_work *job = container_of(work, struct copy_work, work);

	job->ret = copy_data(job->test, job->copy, job->data);
}

static int test_copy(struct test_device *test, const struct test_device_copy *copy)
{
	void __user *user = u64_to_user_ptr(copy->buffer);
	struct copy_work job = { .test = test, .copy = copy };
	int ret = -EFAULT;

	if (copy->bytes > TEST_DEVICE_MAX_BYTES)
		return -EINVAL;
	job.data = kvzalloc(copy->bytes, GFP_KERNEL);
	if (!job.data)
		return -ENOMEM;
	if (copy->flags & TEST_DEVICE_COPY_WRITE && copy_from_user(job.data, user, copy->bytes))
		goto free_data;
	if (copy->flags & TEST_DEVICE_COPY_THREAD) {
		INIT_WORK_ONSTACK(&job.work, copy_in_thread);
		schedule_work(&job.work);
		flush_work(&job.work);
		destroy_work_on_stack(&job.work);
		ret = job.ret;
	} else {
		ret = copy_data(test, copy, job.data);
	}
	if (!ret && !(copy->flags & TEST_DEVICE_COPY_WRITE) &&
	    copy_to_user(user, job.data, copy->bytes))
		ret = -EFAULT;
free_data:
	kvfree(job.data);
	return ret;
}

static void test_state(struct test_device *test, struct test_device_state *state)
{
	struct test_pin *pin;

	mutex_lock(&test->lock);
	state->notified = test->notified;
	state->iova = test->iova;
	state->bytes = test->bytes;
	state->unknown = READ_ONCE(test->unknown);
	list_for_each_entry(pin, &test->pins, link)
		state->pinned += pin->npages;
	mutex_unlock(&test->lock);
}

static void test_drop(struct test_device *test)
{
	struct test_pin *pin, *next;

	mutex_lock(&test->lock);
	list_for_each_entry_safe(pin, next, &test->kept, link) {
		unpin_user_pages(pin->pages, pin->npages);
		list_del(&pin->link);
		kvfree(pin);
	}
	mutex_unlock(&test->lock);
}

static long test_ioctl(struct vfio_device *vdev, unsigned int cmd, unsigned long arg)
{
	struct test_device *test = to_test(vdev);
	void __user *user = (void __user *)arg;
	struct test_device_state state = { };
	struct test_device_range range;
	struct test_device_copy copy;

	switch (cmd) {
	case TEST_DEVICE_PIN:
		return copy_from_user(&range, user, sizeof(range)) ? -EFAULT : test_pin(test, &range);
	case TEST_DEVICE_UNPIN:
		return copy_from_user(&range, user, sizeof(range)) ? -EFAULT : test_unpin(test, &range);
	case TEST_DEVICE_UNPIN_ANY:
		if (copy_from_user(&range, user, sizeof(range)))
			return -EFAULT;
		vfio_unpin_pages(vdev, range.iova, range.npages);
		return 0;
	case TEST_DEVICE_COPY:
		return copy_from_user(&copy, user, sizeof(copy)) ? -EFAULT : test_copy(test, &copy);
	case TEST_DEVICE_MODE:
		mutex_lock(&test->lock);
		test->mode = arg;
		mutex_unlock(&test->lock);
		return 0;
	case TEST_DEVICE_STATE:
		test_state(test, &state);
		return copy_to_user(user, &state, sizeof(state)) ? -EFAULT : 0;
	case TEST_DEVICE_DROP:
		test_drop(test);
		return 0;
	default:
		return -ENOTTY;
	}
}

static int test_open(struct vfio_device *vdev)
{
	struct test_device *test = to_test(vdev);

	test->mode = 0;
	test->notified = 0;
	test->iova = 0;
	test->bytes = 0;
	return 0;
}

static void test_close(struct vfio_device *vdev)
{
	struct test_device *test = to_test(vdev);
	struct test_pin *pin, *next;

	mutex_lock(&test->lock);
	list_for_each_entry_safe(pin, next, &test->pins, link) {
		if (test->mode & TEST_DEVICE_KEEP_AT_CLOSE)
			list_move(&pin->link, &test->kept);
		else
			unpin(test, pin);
	}
	mutex_unlock(&test->lock);
}

static int test_init(struct vfio_device *vdev)
{
	struct test_device *test = to_test(vdev);

	mutex_init(&test->lock);
	init_waitqueue_head(&test->told);
	INIT_LIST_HEAD(&test->pins);
	INIT_LIST_HEAD(&test->kept);
	return 0;
}

static void test_release(struct vfio_device *vdev)
{
#ifdef DRIVER_FREES_DEVICE
	vfio_free_device(vdev);
#endif
}

#define TEST_OPS			\
	.name = TEST_DEVICE_NAME,	\
	.init = test_init,		\
	.release = test_release,	\
	.open_device = test_open,	\
	.close_device = test_close,	\
	.ioctl = test_ioctl

static const struct vfio_device_ops test_ops = {
	TEST_OPS,
	.dma_unmap = test_dma_unmap,
};

static const struct vfio_device_ops deaf_ops = {
	TEST_OPS,
};

static void unregister(void *data)
{
	struct test_device *test = data;

	vfio_unregister_group_dev(&test->vdev);
	vfio_put_device(&test->vdev);
}

static int test_probe(struct platform_device *pdev)
{
	struct test_device *test;
	int ret;

	test = vfio_alloc_device(test_device, vdev, &pdev->dev,
				 pdev->id == TEST_DEVICE_DEAF ? &deaf_ops : &test_ops);
	if (IS_ERR(test))
		return PTR_ERR(test);
	ret = vfio_register_emulated_iommu_dev(&test->vdev);
	if (ret) {
		vfio_put_device(&test->vdev);
		return ret;
	}
	/* Not remove(), which was of another type once. */
	return devm_add_action_or_reset(&pdev->dev, unregister, test);
}

static struct platform_driver test_driver = {
	.probe = test_probe,
	.driver.name = TEST_DEVICE_NAME,
	/* The group is VFIO's, not one of an IOMMU. */
	.driver_managed_dma = true,
};

static struct platform_device *devices[TEST_DEVICES];

static void remove_devices(void)
{
	int i;

	for (i = 0; i < TEST_DEVICES; i++)
		platform_device_unregister(devices[i]);
}

static int __init test_module_init(void)
{
	int ret, i;

	ret = platform_driver_register(&test_driver);
	if (ret)
		return ret;
	for (i = 0; i < TEST_DEVICES; i++) {
		struct platform_device *pdev =
			platform_device_register_simple(TEST_DEVICE_NAME, i, NULL, 0);

		if (IS_ERR(pdev)) {
			remove_devices();
			platform_driver_unregister(&test_driver);
			return PTR_ERR(pdev);
		}
		devices[i] = pdev;
	}
	return 0;
}

static void __exit test_module_exit(void)
{
	remove_devices();
	platform_driver_unregister(&test_driver);
}

module_init(test_module_init);
module_exit(test_module_exit);

MODULE_DESCRIPTION("Emulated VFIO devices for tests");
MODULE_LICENSE("GPL");
