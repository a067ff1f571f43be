// SPDX-License-Identifier: GPL-2.0
/* Emulated devices and a real one in the same container: what comes and goes with the IOMMU. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "emulated.h"
#include "meter.h"
#include "tap.h"

#define N_PAGES 64ll

/*
 * With the IOMMU all is pinned and charged once. What a driver pinned besides is counted a second time by the kernel's
 * own driver, which takes a second reference to it; never charged.
 */
static void expect_all_held(long long pinned_by_driver, const char *when)
{
	const long long pins = rig_pins();

	tap_expect(pins >= N_PAGES && pins <= N_PAGES + pinned_by_driver, "pinned pages %s: %lld", when, pins);
	tap_expect_eq((meter_vmlck_kib(0) << 10) / (long long)PAGE, N_PAGES, "charged pages %s", when);
}

static void expect_reach(struct rig *rig, char *p)
{
	rig_expect_reach(rig, IOVA, p, "the first page");
	rig_expect_reach(rig, IOVA + 3 * PAGE - 32, p + 3 * PAGE - 32, "into a page that a driver pinned");
	rig_expect_reach(rig, IOVA + N_PAGES * PAGE - 64, p + N_PAGES * PAGE - 64, "the last page");
}

void test_real_attach(void)
{
	struct vfio_dev dev;
	struct rig rig;
	char *p;
	int i;

	if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU))
		return;
	p = emulated_map(&dev, N_PAGES * PAGE, IOVA);
	if (!p)
		return;
	tap_expect_ret(testdev_pin(dev.device, IOVA + 3 * PAGE, 2, TESTDEV_RW), 0, "pin 2");
	emulated_expect_held(2, 2, "before the real device");
	for (i = 0; i < 2; i++) {
		tap_step("a real device comes: all that is mapped is pinned, charged and reached");
		if (!rig_join(&rig, VFIO_EDU0, dev.container))
			return;
		expect_all_held(2, "with the real device");
		expect_reach(&rig, p);
		emulated_expect_page(&dev, IOVA + 3 * PAGE, p + 3 * PAGE);
		tap_step("it leaves: what only it needed goes, what the driver pinned stays");
		rig_close(&rig);
		emulated_expect_held(2, 2, "after the real device");
		emulated_expect_page(&dev, IOVA + 3 * PAGE, p + 3 * PAGE);
	}
	tap_step("UNMAP while both are there");
	if (!rig_join(&rig, VFIO_EDU0, dev.container))
		return;
	rig_expect_reach(&rig, IOVA, p, "the first page");
	tap_expect_ret(vfio_unmap(dev.container, IOVA, N_PAGES * PAGE), 0, "UNMAP");
	tap_expect_eq(testdev_state(dev.device).notified, 1, "notifications");
	emulated_expect_held(0, 0, "after UNMAP");
	rig_expect_fault(&rig, IOVA, true, "after UNMAP");
	rig_close(&rig);
	vfio_dev_close(&dev);
}

void test_real_pin(void)
{
	struct vfio_dev dev;
	struct rig rig;
	char *p;

	if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU) || !rig_join(&rig, VFIO_EDU0, dev.container))
		return;
	p = emulated_map(&dev, N_PAGES * PAGE, IOVA);
	if (!p)
		return;
	expect_all_held(0, "after MAP");
	tap_step("a driver pins what the IOMMU has: nothing is charged again, and both see the same page");
	tap_expect_ret(testdev_pin(dev.device, IOVA + 2 * PAGE, 3, TESTDEV_RW), 0, "pin 3");
	expect_all_held(3, "with 3 pinned");
	emulated_expect_page(&dev, IOVA + 2 * PAGE, p + 2 * PAGE);
	rig_expect_reach(&rig, IOVA + 2 * PAGE, p + 2 * PAGE, "the same page");
	tap_step("unpinned: the IOMMU still has it");
	tap_expect_ret(testdev_unpin(dev.device, IOVA + 2 * PAGE, 3), 0, "unpin 3");
	expect_all_held(0, "after unpin");
	rig_expect_reach(&rig, IOVA + 2 * PAGE, p + 2 * PAGE, "the page");
	tap_step("the real device leaves while two are pinned, one of them twice: they are charged now");
	tap_expect_ret(testdev_pin(dev.device, IOVA, 2, TESTDEV_RW), 0, "pin 2");
	tap_expect_ret(testdev_pin(dev.device, IOVA, 1, TESTDEV_RW), 0, "pin one of them");
	rig_close(&rig);
	emulated_expect_held(2, 2, "after the real device");
	tap_expect_ret(testdev_unpin(dev.device, IOVA, 2), 0, "unpin 2");
	emulated_expect_held(1, 1, "with one pinned");
	emulated_expect_page(&dev, IOVA, p);
	vfio_dev_close(&dev);
	emulated_expect_held(0, 0, "after close");
}

void test_real_first(void)
{
	struct vfio_dev dev;
	struct rig rig;
	char *p;

	if (!rig_open_type(&rig, VFIO_EDU0, VFIO_TYPE1v2_IOMMU))
		return;
	p = rig_map(&rig, N_PAGES * PAGE, MEM_SMALL, IOVA);
	if (!p)
		return;
	tap_step("emulated devices come to a real one and leave: it does not notice");
	if (!emulated_join(&dev, 0, rig.container))
		return;
	tap_expect_ret(testdev_pin(dev.device, IOVA + 3 * PAGE, 1, TESTDEV_RW), 0, "pin");
	emulated_expect_page(&dev, IOVA + 3 * PAGE, p + 3 * PAGE);
	vfio_dev_close(&dev);
	expect_all_held(0, "after the emulated device");
	expect_reach(&rig, p);
	tap_step("the real one leaves: the mapping stays for the emulated one, with nothing pinned");
	if (!emulated_join(&dev, 0, rig.container))
		return;
	edu_close(&rig.edu);
	close(rig.dev.device);
	close(rig.dev.group);
	emulated_expect_held(0, 0, "after the real device");
	tap_expect_ret(testdev_pin(dev.device, IOVA, 4, TESTDEV_RW), 0, "pin");
	emulated_expect_held(4, 4, "after pin 4");
	emulated_expect_page(&dev, IOVA + 3 * PAGE, p + 3 * PAGE);
	vfio_dev_close(&dev);
	close(rig.container);
	emulated_expect_held(0, 0, "after close");
}

void test_real_reserved(void)
{
	const struct vfio_iommu_type1_info_cap_iova_range *ranges;
	union type1_info info;
	struct vfio_dev dev;
	struct rig rig;
	uint64_t hole;
	char *p;

	if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU) || !rig_join(&rig, VFIO_EDU0, dev.container))
		return;
	tap_expect_ret(type1_get_info(dev.container, &info), 0, "GET_INFO");
	ranges = type1_info_cap(&info, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
	if (!tap_expect(ranges && ranges->nr_iovas, "GET_INFO tells IOVA ranges"))
		return;
	hole = ranges->iova_ranges[0].end + 1;
	p = mem_alloc(PAGE, MEM_SMALL);
	tap_step("0x%llx is not for the real device, but for emulated ones alone", (unsigned long long)hole);
	tap_expect_ret(vfio_map(dev.container, hole, p, PAGE, VFIO_MAP_RW), -EINVAL, "MAP there");
	rig_close(&rig);
	tap_expect_ret(vfio_map(dev.container, hole, p, PAGE, VFIO_MAP_RW), 0, "MAP there");
	tap_step("the real device is refused while something is mapped there, and nothing changes");
	tap_expect_ret(testdev_pin(dev.device, hole, 1, TESTDEV_RW), 0, "pin");
	tap_expect_ret(vfio_dev_join(&rig.dev, VFIO_EDU0, dev.container), -EINVAL, "attach");
	emulated_expect_held(1, 1, "after the refusal");
	emulated_expect_page(&dev, hole, p);
	tap_expect_ret(vfio_unmap(dev.container, hole, PAGE), 0, "UNMAP");
	if (rig_join(&rig, VFIO_EDU0, dev.container))
		rig_close(&rig);
	vfio_dev_close(&dev);
}

#define USER 1000
#define LIMIT_PAGES 8

void test_real_limit(void)
{
	const struct rlimit limit = { LIMIT_PAGES * PAGE, LIMIT_PAGES * PAGE };
	struct vfio_dev dev;
	int group, ret;
	char *p;

	if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU))
		return;
	group = vfio_group_open(VFIO_EDU0);
	tap_expect(group >= 0, "open the real device's group: %s", tap_ret_name(group));
	tap_step("a user with %d pages of RLIMIT_MEMLOCK maps more: no real device may come", LIMIT_PAGES);
	tap_expect(!setrlimit(RLIMIT_MEMLOCK, &limit) && !seteuid(USER), "become a user: %s", strerror(errno));
	p = emulated_map(&dev, N_PAGES * PAGE, IOVA);
	if (!p)
		return;
	tap_expect_ret(testdev_pin(dev.device, IOVA + N_PAGES * PAGE - PAGE, 1, TESTDEV_RW), 0, "pin 1");
	ret = vfio_group_attach(group, dev.container);
	tap_expect(!seteuid(0), "become root: %s", strerror(errno));
	tap_expect_ret(ret, -ENOMEM, "attach");
	emulated_expect_held(1, 1, "after the refusal");
	emulated_expect_page(&dev, IOVA + N_PAGES * PAGE - PAGE, p + N_PAGES * PAGE - PAGE);
	close(group);
	vfio_dev_close(&dev);
}

enum {
	MSG_READY = 1,
	MSG_GO,
};

/* Memory of two processes at the same address. */
struct both {
	struct vfio_dev dev;
	char *p;
};

/* Maps its memory, and looks at what a real device did to it. */
static int mapping_child(int sock, void *arg)
{
	const struct both *both = arg;
	char *p = both->p;

	mem_fill(p, 64, 9);
	if (!tap_expect_ret(vfio_map(both->dev.container, IOVA, p, N_PAGES * PAGE, VFIO_MAP_RW), 0, "MAP"))
		return 1;
	if (sock_send(sock, MSG_READY) || sock_expect(sock, MSG_GO))
		return 1;
	tap_expect(mem_matches(p + 5 * PAGE, 64, 9), "the device copied the child's memory");
	tap_expect_eq((meter_vmlck_kib(0) << 10) / (long long)PAGE, N_PAGES, "pages the child is charged");
	sock_send(sock, MSG_READY);
	return sock_expect(sock, MSG_GO);
}

void test_real_other_process(void)
{
	struct both both;
	struct proc child;
	struct rig rig;

	if (!emulated_ours) {
		tap_skip("the kernel's driver pins memory of the process that attaches, at the addresses of the one that mapped");
		return;
	}
	both.p = mem_alloc(N_PAGES * PAGE, MEM_SMALL);
	if (!tap_expect(both.p, "memory: %s", strerror(errno)) || !emulated_open(&both.dev, 0, VFIO_TYPE1v2_IOMMU))
		return;
	tap_step("a child maps its memory, its parent attaches the real device: it is the child's memory");
	if (!tap_expect_ret(proc_start(&child, mapping_child, &both), 0, "fork") ||
	    !tap_expect_ret(sock_expect(child.sock, MSG_READY), 0, "the child has mapped") ||
	    !rig_join(&rig, VFIO_EDU0, both.dev.container))
		return;
	tap_expect_eq(rig_pins(), N_PAGES, "pinned pages");
	tap_expect_eq(meter_vmlck_kib(0), 0, "KiB the parent is charged");
	tap_expect_ret(edu_copy(&rig.edu, IOVA + 5 * PAGE, IOVA, 64), 0, "copy");
	sock_send(child.sock, MSG_GO);
	tap_expect_ret(sock_expect(child.sock, MSG_READY), 0, "the child has looked");
	tap_step("the child is killed: all of it goes");
	proc_kill(&child);
	emulated_expect_held(0, 0, "after the kill");
	rig_expect_fault(&rig, IOVA, true, "after the kill");
	rig_close(&rig);
	vfio_dev_close(&both.dev);
}
