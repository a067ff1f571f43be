// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "msi.h"
#include "proc.h"
#include "vfio.h"

#define MSI_MS 1000
/* In which a second one would come. */
#define MSI_AGAIN_MS 20

int msi_open(int device)
{
	struct {
		struct vfio_irq_set set;
		int32_t eventfd;
	} arg = {
		.set = {
			.argsz = sizeof(arg),
			.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
			.index = VFIO_PCI_MSI_IRQ_INDEX,
			.count = 1,
		},
		.eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
	};
	int ret;

	if (arg.eventfd < 0)
		return -errno;
	ret = vfio_ioctl(device, VFIO_DEVICE_SET_IRQS, &arg);
	if (ret) {
		close(arg.eventfd);
		return ret;
	}
	return arg.eventfd;
}

int msi_off(int device)
{
	const struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = VFIO_PCI_MSI_IRQ_INDEX,
	};

	return vfio_ioctl(device, VFIO_DEVICE_SET_IRQS, &set);
}

static bool told_within(int eventfd, unsigned int ms, uint64_t *count)
{
	struct pollfd poll_fd = { .fd = eventfd, .events = POLLIN };

	return poll(&poll_fd, 1, ms) == 1 && read(eventfd, count, sizeof(*count)) == sizeof(*count);
}

static bool comes_once(struct edu *edu, int eventfd)
{
	uint64_t count = 0;
	const bool once = told_within(eventfd, proc_limit_ms(MSI_MS), &count) && count == 1 &&
			  !told_within(eventfd, MSI_AGAIN_MS, &count);

	edu_interrupt_done(edu);
	return once;
}

bool msi_comes(struct edu *edu, int eventfd)
{
	uint64_t old;

	told_within(eventfd, 0, &old);
	edu_interrupt(edu);
	return comes_once(edu, eventfd);
}

bool msi_ends_dma(struct edu *edu, int eventfd, uint64_t iova)
{
	uint64_t old;

	told_within(eventfd, 0, &old);
	return !edu_dma_read_interrupt(edu, iova, 0, 64) && comes_once(edu, eventfd);
}
