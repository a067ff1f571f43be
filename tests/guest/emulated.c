// SPDX-License-Identifier: GPL-2.0
/*
 * Emulated devices (mdev-style): what is pinned, charged and notified when a driver pins pages of a
 * container's mappings itself. With --iommu type1 the same tests judge the kernel's own driver, but where the two are
 * meant to differ.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "emulated.h"
#include "meter.h"
#include "suite.h"
#include "tap.h"

bool emulated_ours = true;
long emulated_seconds = 10;
long emulated_seed;

bool emulated_open(struct vfio_dev *dev, unsigned int nr, int type)
{
	return tap_expect_ret(vfio_dev_open(dev, testdev_name(nr), type), 0, "open emulated device %u", nr);
}

bool emulated_join(struct vfio_dev *dev, unsigned int nr, int container)
{
	return tap_expect_ret(vfio_dev_join(dev, testdev_name(nr), container), 0, "emulated device %u joins", nr);
}

char *emulated_map(struct vfio_dev *dev, size_t bytes, uint64_t iova)
{
	char *p = mem_alloc(bytes, MEM_SMALL);

	if (!tap_expect(p, "memory: %s", strerror(errno)) ||
	    !tap_expect_ret(vfio_map(dev->container, iova, p, bytes, VFIO_MAP_RW), 0, "MAP of %zu pages", bytes / PAGE))
		return NULL;
	return p;
}

static long long charged_pages(void)
{
	return (meter_vmlck_kib(0) << 10) / (long long)PAGE;
}

bool emulated_expect_held(long long pinned, long long charged, const char *when)
{
	const bool pins_ok = tap_expect_eq(rig_pins(), pinned, "pinned pages %s", when);

	return tap_expect_eq(charged_pages(), charged, "charged pages %s", when) && pins_ok;
}

bool emulated_expect_page(struct vfio_dev *dev, uint64_t iova, char *va)
{
	static uint32_t seed = 1;
	char data[64];

	seed += 2;
	mem_fill(va, sizeof(data), seed);
	tap_expect_ret(testdev_read(dev->device, iova, data, sizeof(data), TEST_DEVICE_COPY_PAGES), 0, "read the page");
	if (!tap_expect(mem_matches(data, sizeof(data), seed), "the device reads the page at 0x%llx", (unsigned long long)iova))
		return false;
	mem_fill(data, sizeof(data), seed + 1);
	tap_expect_ret(testdev_write(dev->device, iova, data, sizeof(data), TEST_DEVICE_COPY_PAGES), 0, "write the page");
	return tap_expect(mem_matches(va, sizeof(data), seed + 1), "the device writes the page at 0x%llx",
			  (unsigned long long)iova);
}

static void test_map(void)
{
	union type1_info info;
	struct vfio_dev dev;
	char *p;

	if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU))
		return;
	tap_step("no IOMMU restricts the IOVAs");
	tap_expect_ret(type1_get_info(dev.container, &info), 0, "GET_INFO");
	tap_expect(!type1_info_cap(&info, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE), "GET_INFO tells IOVA ranges");
	tap_expect_eq(info.head.iova_pgsizes & (2 * PAGE - 1), PAGE, "GET_INFO's smallest page");
	tap_step("MAP pins and charges nothing");
	p = emulated_map(&dev, 1024 * PAGE, IOVA);
	if (!p)
		return;
	emulated_expect_held(0, 0, "after MAP");
	tap_step("MAP of what is not there: only a pin sees it");
	tap_expect(!munmap(p + 512 * PAGE, 512 * PAGE), "munmap");
	tap_expect_ret(vfio_map(dev.container, IOVA2, p + 512 * PAGE, 512 * PAGE, VFIO_MAP_RW), 0, "MAP of a hole");
	tap_expect_ret(testdev_pin(dev.device, IOVA2, 1, TESTDEV_RW), -EFAULT, "pin in the hole");
	emulated_expect_held(0, 0, "after a pin in the hole");
	tap_expect_ret(vfio_unmap(dev.container, IOVA2, 512 * PAGE), 0, "UNMAP");
	vfio_dev_close(&dev);
}

static void test_pin(void)
{
	struct vfio_dev dev;
	size_t i;
	char *p;

	if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU))
		return;
	p = emulated_map(&dev, 8 * PAGE, IOVA);
	if (!p)
		return;
	tap_step("three pages: three pins, three charged");
	tap_expect_ret(testdev_pin(dev.device, IOVA + PAGE, 3, TESTDEV_RW), 0, "pin 3");
	emulated_expect_held(3, 3, "after pin 3");
	for (i = 1; i < 4; i++)
		emulated_expect_page(&dev, IOVA + i * PAGE, p + i * PAGE);
	tap_step("two of them and the next again: one more");
	tap_expect_ret(testdev_pin(dev.device, IOVA + 2 * PAGE, 3, TESTDEV_RW), 0, "pin 3 again");
	emulated_expect_held(4, 4, "after pin 3 again");
	emulated_expect_page(&dev, IOVA + 3 * PAGE, p + 3 * PAGE);
	tap_step("unpinned as often as pinned, they go");
	tap_expect_ret(testdev_unpin(dev.device, IOVA + PAGE, 3), 0, "unpin 3");
	emulated_expect_held(3, 3, "after unpin 3");
	emulated_expect_page(&dev, IOVA + 2 * PAGE, p + 2 * PAGE);
	tap_expect_ret(testdev_unpin(dev.device, IOVA + 2 * PAGE, 3), 0, "unpin 3 again");
	emulated_expect_held(0, 0, "after unpin 3 again");
	tap_step("unpinning what is not pinned changes nothing");
	tap_expect_ret(testdev_pin(dev.device, IOVA, 1, TESTDEV_RW), 0, "pin");
	tap_expect_ret(testdev_unpin_any(dev.device, IOVA + PAGE, 4), 0, "unpin 4 that are not pinned");
	emulated_expect_held(1, 1, "after unpinning others");
	tap_expect_ret(testdev_unpin(dev.device, IOVA, 1), 0, "unpin");
	tap_step("memory that nobody has touched yet is brought in");
	tap_expect(!madvise(p, 8 * PAGE, MADV_DONTNEED), "madvise");
	tap_expect_ret(testdev_pin(dev.device, IOVA, 8, TESTDEV_RW), 0, "pin 8");
	emulated_expect_held(8, 8, "after pin 8");
	emulated_expect_page(&dev, IOVA + 7 * PAGE, p + 7 * PAGE);
	tap_expect_ret(testdev_unpin(dev.device, IOVA, 8), 0, "unpin 8");
	emulated_expect_held(0, 0, "after unpin 8");
	vfio_dev_close(&dev);
}

static void test_pin_memory(void)
{
	static const enum mem_kind kinds[] = { MEM_THP, MEM_SHARED, MEM_HUGETLB };
	const size_t bytes = 4 * MIB;
	struct vfio_dev dev;
	size_t i;
	char *p;

	if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU))
		return;
	for (i = 0; i < SUITE_SIZE(kinds); i++) {
		if (kinds[i] == MEM_HUGETLB && !mem_hugetlb_reserve(2)) {
			tap_diag("this kernel gives no hugetlb pages: left out");
			continue;
		}
		p = mem_alloc(bytes, kinds[i]);
		if (!tap_expect(p, "memory %d: %s", kinds[i], strerror(errno)))
			continue;
		tap_expect_ret(vfio_map(dev.container, IOVA, p, bytes, VFIO_MAP_RW), 0, "MAP");
		tap_expect_ret(testdev_pin(dev.device, IOVA + 2 * MIB - PAGE, 2, TESTDEV_RW), 0, "pin 2");
		emulated_expect_held(2, 2, "of large pages or shared memory");
		emulated_expect_page(&dev, IOVA + 2 * MIB - PAGE, p + 2 * MIB - PAGE);
		emulated_expect_page(&dev, IOVA + 2 * MIB, p + 2 * MIB);
		tap_expect_ret(vfio_unmap(dev.container, IOVA, bytes), 0, "UNMAP");
		emulated_expect_held(0, 0, "after UNMAP");
		mem_free(p, bytes);
	}
	vfio_dev_close(&dev);
	mem_hugetlb_reserve(0);
}

static void test_pin_refused(void)
{
	/* vfio_pin_pages() takes a page full of PFNs. */
	const uint32_t max = PAGE / sizeof(long);
	struct vfio_dev dev;
	char *p, *ro;

	if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU))
		return;
	p = emulated_map(&dev, (max + 1) * PAGE, IOVA);
	ro = mem_alloc(2 * PAGE, MEM_SMALL);
	if (!p || !ro)
		return;
	tap_step("where nothing is mapped, and where the last page is not: nothing is pinned");
	tap_expect_ret(testdev_pin(dev.device, IOVA2, 1, TESTDEV_RW), -EINVAL, "pin beside the mapping");
	tap_expect_ret(testdev_pin(dev.device, IOVA - PAGE, 2, TESTDEV_RW), -EINVAL, "pin from before the mapping");
	tap_expect_ret(testdev_pin(dev.device, IOVA + (max - 1) * PAGE, 3, TESTDEV_RW), -EINVAL, "pin over the mapping's end");
	emulated_expect_held(0, 0, "after three refusals");
	tap_step("a page that was pinned before stays pinned, once");
	tap_expect_ret(testdev_pin(dev.device, IOVA + max * PAGE, 1, TESTDEV_RW), 0, "pin the last page");
	tap_expect_ret(testdev_pin(dev.device, IOVA + (max - 1) * PAGE, 3, TESTDEV_RW), -EINVAL, "pin over the mapping's end");
	emulated_expect_held(1, 1, "after a refusal");
	tap_expect_ret(testdev_unpin(dev.device, IOVA + max * PAGE, 1), 0, "unpin");
	emulated_expect_held(0, 0, "after unpin");
	tap_step("as many as VFIO takes, and one more");
	tap_expect_ret(testdev_pin(dev.device, IOVA, max + 1, TESTDEV_RW), -E2BIG, "pin %u", max + 1);
	tap_expect_ret(testdev_pin(dev.device, IOVA, max, TESTDEV_RW), 0, "pin %u", max);
	emulated_expect_held(max, max, "at once");
	tap_expect_ret(testdev_unpin(dev.device, IOVA, max), 0, "unpin %u", max);
	tap_step("a hole behind two pages");
	tap_expect(!munmap(p + 2 * PAGE, PAGE), "munmap");
	tap_expect_ret(testdev_pin(dev.device, IOVA, 4, TESTDEV_RW), -EFAULT, "pin into the hole");
	emulated_expect_held(0, 0, "after a pin into the hole");
	tap_step("memory that may only be read, mapped for reading: not for writing");
	tap_expect(!mprotect(ro, 2 * PAGE, PROT_READ), "mprotect");
	tap_expect_ret(vfio_map(dev.container, IOVA2, ro, 2 * PAGE, VFIO_DMA_MAP_FLAG_READ), 0, "MAP");
	tap_expect_ret(testdev_pin(dev.device, IOVA2, 2, TESTDEV_RW), -EPERM, "pin for writing");
	tap_expect_ret(testdev_pin(dev.device, IOVA2, 2, TEST_DEVICE_PROT_READ), 0, "pin for reading");
	emulated_expect_held(2, 2, "for reading");
	tap_expect_ret(testdev_unpin(dev.device, IOVA2, 2), 0, "unpin");
	tap_step("… mapped for writing");
	tap_expect_ret(vfio_unmap(dev.container, IOVA2, 2 * PAGE), 0, "UNMAP");
	tap_expect_ret(vfio_map(dev.container, IOVA2, ro, 2 * PAGE, VFIO_MAP_RW), 0, "MAP");
	tap_expect_ret(testdev_pin(dev.device, IOVA2, 2, TEST_DEVICE_PROT_READ), -EFAULT, "pin for reading");
	emulated_expect_held(0, 0, "after all refusals");
	vfio_dev_close(&dev);
}

static void test_pin_wraps(void)
{
	const uint64_t last = -PAGE;
	struct vfio_dev dev;
	char *p;
	int ret;

	if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU))
		return;
	p = mem_alloc(PAGE, MEM_SMALL);
	tap_expect(p, "memory");
	ret = testdev_pin(dev.device, last, 2, TESTDEV_RW);
	tap_expect(ret == -EOVERFLOW || (!emulated_ours && ret == -EINVAL), "pin behind the last IOVA: %s", tap_ret_name(ret));
	if (!emulated_ours) {
		/* Linux 6.1 and 6.12 do not find the last page. */
		vfio_dev_close(&dev);
		return;
	}
	tap_step("the last page there is");
	tap_expect_ret(vfio_map(dev.container, last, p, PAGE, VFIO_MAP_RW), 0, "MAP");
	tap_expect_ret(testdev_pin(dev.device, last, 1, TESTDEV_RW), 0, "pin");
	emulated_expect_page(&dev, last, p);
	tap_expect_ret(testdev_pin(dev.device, last, 2, TESTDEV_RW), -EOVERFLOW, "pin one more");
	emulated_expect_held(1, 1, "at the end");
	tap_expect_ret(vfio_unmap(dev.container, last, PAGE), 0, "UNMAP");
	emulated_expect_held(0, 0, "after UNMAP");
	vfio_dev_close(&dev);
}

static void test_pin_v1(void)
{
	struct vfio_dev dev;
	char data[64], *p;

	if (!emulated_open(&dev, 0, VFIO_TYPE1_IOMMU))
		return;
	p = emulated_map(&dev, 2 * PAGE, IOVA);
	if (!p)
		return;
	tap_expect_ret(testdev_pin(dev.device, IOVA, 1, TESTDEV_RW), -EACCES, "pin in a container of type 1");
	emulated_expect_held(0, 0, "in a container of type 1");
	mem_fill(p + PAGE - 32, 64, 5);
	tap_expect_ret(testdev_read(dev.device, IOVA + PAGE - 32, data, 64, 0), 0, "read");
	tap_expect(mem_matches(data, 64, 5), "the device reads");
	vfio_dev_close(&dev);
}

static void test_type7(void)
{
	struct vfio_dev dev;

	if (!emulated_ours) {
		tap_skip("the kernel's type 7 is another driver's");
		return;
	}
	tap_expect_ret(vfio_dev_open(&dev, testdev_name(0), TYPE7), -EINVAL, "a container of type 7");
	emulated_expect_held(0, 0, "after the refusal");
}

static void test_pin_deaf(void)
{
	struct vfio_dev dev;
	char data[64], *p;

	if (!emulated_open(&dev, TEST_DEVICE_DEAF, VFIO_TYPE1v2_IOMMU))
		return;
	p = emulated_map(&dev, 2 * PAGE, IOVA);
	if (!p)
		return;
	tap_step("a device that is told of no UNMAP may not pin; it may read and write");
	tap_expect_ret(testdev_pin(dev.device, IOVA, 1, TESTDEV_RW), -EINVAL, "pin");
	emulated_expect_held(0, 0, "by a device without dma_unmap()");
	mem_fill(p, 64, 6);
	tap_expect_ret(testdev_read(dev.device, IOVA, data, 64, 0), 0, "read");
	tap_expect(mem_matches(data, 64, 6), "the device reads");
	tap_expect_ret(vfio_unmap(dev.container, IOVA, 2 * PAGE), 0, "UNMAP");
	vfio_dev_close(&dev);
}

#define USER 1000
#define LIMIT_PAGES 4

static void test_pin_limit(void)
{
	const struct rlimit limit = { LIMIT_PAGES * PAGE, LIMIT_PAGES * PAGE };
	struct vfio_dev dev;
	int one_more, again;
	char *p;

	if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU))
		return;
	tap_step("a user with %d pages of RLIMIT_MEMLOCK pins as many", LIMIT_PAGES);
	tap_expect(!setrlimit(RLIMIT_MEMLOCK, &limit) && !seteuid(USER), "become a user: %s", strerror(errno));
	p = emulated_map(&dev, 64 * PAGE, IOVA);
	if (!p)
		return;
	tap_expect_ret(testdev_pin(dev.device, IOVA, LIMIT_PAGES, TESTDEV_RW), 0, "pin %d", LIMIT_PAGES);
	tap_step("one more is refused, also behind one that is pinned");
	one_more = testdev_pin(dev.device, IOVA + LIMIT_PAGES * PAGE, 1, TESTDEV_RW);
	tap_expect_ret(one_more, -ENOMEM, "pin one more");
	tap_expect_ret(testdev_pin(dev.device, IOVA + (LIMIT_PAGES - 1) * PAGE, 2, TESTDEV_RW), -ENOMEM, "pin 2, one of them again");
	tap_step("a page that is pinned is not charged again");
	again = testdev_pin(dev.device, IOVA, LIMIT_PAGES, TESTDEV_RW);
	tap_expect_ret(again, 0, "pin %d again", LIMIT_PAGES);
	/* For the machine's counters. */
	tap_expect(!seteuid(0), "become root: %s", strerror(errno));
	emulated_expect_held(LIMIT_PAGES, LIMIT_PAGES, "at the limit");
	tap_expect(!seteuid(USER), "become a user: %s", strerror(errno));
	tap_step("unpinned, there is room again");
	tap_expect_ret(testdev_unpin(dev.device, IOVA, LIMIT_PAGES), 0, "unpin");
	tap_expect_ret(testdev_unpin(dev.device, IOVA, LIMIT_PAGES), 0, "unpin");
	tap_expect_ret(testdev_pin(dev.device, IOVA + LIMIT_PAGES * PAGE, LIMIT_PAGES, TESTDEV_RW), 0, "pin others");
	tap_expect(!seteuid(0), "become root: %s", strerror(errno));
	emulated_expect_held(LIMIT_PAGES, LIMIT_PAGES, "at the limit");
	vfio_dev_close(&dev);
	emulated_expect_held(0, 0, "after close");
}

static void test_pin_two_iovas(void)
{
	struct vfio_dev dev;
	char *p;

	if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU))
		return;
	p = emulated_map(&dev, 2 * PAGE, IOVA);
	if (!p)
		return;
	tap_step("the same memory at two IOVAs, side by side and apart: a pin may reach over mappings");
	tap_expect_ret(vfio_map(dev.container, IOVA + 2 * PAGE, p, 2 * PAGE, VFIO_MAP_RW), 0, "MAP behind it");
	tap_expect_ret(testdev_pin(dev.device, IOVA + PAGE, 2, TESTDEV_RW), 0, "pin over both");
	emulated_expect_page(&dev, IOVA + PAGE, p + PAGE);
	emulated_expect_page(&dev, IOVA + 2 * PAGE, p);
	tap_expect_ret(testdev_pin(dev.device, IOVA, 1, TESTDEV_RW), 0, "pin");
	tap_step("one goes, and what was pinned there; the other stays");
	tap_expect_ret(testdev_unpin(dev.device, IOVA + PAGE, 2), 0, "unpin");
	tap_expect_ret(testdev_pin(dev.device, IOVA + 2 * PAGE, 1, TESTDEV_RW), 0, "pin the same page there");
	tap_expect_ret(vfio_unmap(dev.container, IOVA, 2 * PAGE), 0, "UNMAP");
	emulated_expect_held(1, 1, "after one UNMAP");
	emulated_expect_page(&dev, IOVA + 2 * PAGE, p);
	tap_expect_ret(vfio_unmap(dev.container, IOVA + 2 * PAGE, 2 * PAGE), 0, "UNMAP");
	emulated_expect_held(0, 0, "after both");
	vfio_dev_close(&dev);
}

static void expect_notified(struct vfio_dev *dev, uint64_t times, uint64_t iova, uint64_t bytes, uint64_t pinned)
{
	const struct test_device_state state = testdev_state(dev->device);

	tap_expect_eq(state.notified, times, "notifications");
	tap_expect_eq(state.iova, iova, "the last one's IOVA");
	tap_expect_eq(state.bytes, bytes, "the last one's bytes");
	tap_expect_eq(state.pinned, pinned, "pages that the device still has pinned");
}

static void test_unmap(void)
{
	struct vfio_dev dev;
	uint64_t unmapped;

	if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU))
		return;
	if (!emulated_map(&dev, 8 * PAGE, IOVA) || !emulated_map(&dev, 8 * PAGE, IOVA + 8 * PAGE) ||
	    !emulated_map(&dev, 8 * PAGE, IOVA2))
		return;
	tap_expect_ret(testdev_pin(dev.device, IOVA + 2 * PAGE, 2, TESTDEV_RW), 0, "pin 2");
	tap_expect_ret(testdev_pin(dev.device, IOVA + 5 * PAGE, 1, TESTDEV_RW), 0, "pin 1");
	tap_expect_ret(testdev_pin(dev.device, IOVA2, 4, TESTDEV_RW), 0, "pin 4");
	tap_step("UNMAP of a part is refused, and nobody hears of it");
	tap_expect_ret(vfio_unmap(dev.container, IOVA + 4 * PAGE, 4 * PAGE), -EINVAL, "UNMAP of a half");
	tap_expect_ret(vfio_unmap(dev.container, IOVA, 12 * PAGE), -EINVAL, "UNMAP of one and a half");
	expect_notified(&dev, 0, 0, 0, 7);
	emulated_expect_held(7, 7, "after two refusals");
	tap_step("UNMAP notifies of the mapping, and the driver unpins; what is pinned elsewhere stays");
	tap_expect_ret(type1_unmap(dev.container, IOVA, 8 * PAGE, 0, &unmapped), 0, "UNMAP");
	tap_expect_eq(unmapped, 8 * PAGE, "bytes unmapped");
	expect_notified(&dev, 1, IOVA, 8 * PAGE, 4);
	emulated_expect_held(4, 4, "after UNMAP");
	tap_expect_ret(testdev_pin(dev.device, IOVA + 2 * PAGE, 1, TESTDEV_RW), -EINVAL, "pin what is unmapped");
	tap_step("UNMAP of what nobody pinned is not told");
	tap_expect_ret(vfio_unmap(dev.container, IOVA + 8 * PAGE, 8 * PAGE), 0, "UNMAP");
	expect_notified(&dev, 1, IOVA, 8 * PAGE, 4);
	tap_step("UNMAP of all");
	if (!emulated_map(&dev, 8 * PAGE, IOVA))
		return;
	tap_expect_ret(type1_unmap(dev.container, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL, &unmapped), 0, "UNMAP of all");
	tap_expect_eq(unmapped, 16 * PAGE, "bytes unmapped");
	expect_notified(&dev, 2, IOVA2, 8 * PAGE, 0);
	emulated_expect_held(0, 0, "after UNMAP of all");
	vfio_dev_close(&dev);
}

static void test_copy(void)
{
	static const unsigned int how[] = { 0, TEST_DEVICE_COPY_THREAD };
	const size_t bytes = 3 * PAGE;
	char *p, *data = mem_alloc(bytes, MEM_SMALL);
	struct vfio_dev dev;
	size_t i;

	if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU))
		return;
	p = emulated_map(&dev, 8 * PAGE, IOVA);
	if (!p || !data)
		return;
	tap_expect_ret(vfio_map(dev.container, IOVA2, p, 4 * PAGE, VFIO_MAP_RW), 0, "MAP");
	tap_expect_ret(vfio_map(dev.container, IOVA2 + 4 * PAGE, p + 4 * PAGE, PAGE, VFIO_MAP_RW), 0, "MAP behind it");
	for (i = 0; i < SUITE_SIZE(how); i++) {
		tap_step(how[i] ? "a kernel thread copies" : "the caller copies");
		mem_fill(p + 100, bytes, 10 + i);
		tap_expect_ret(testdev_read(dev.device, IOVA + 100, data, bytes, how[i]), 0, "read");
		tap_expect(mem_matches(data, bytes, 10 + i), "what was read");
		memset(p, 0x11, 8 * PAGE);
		mem_fill(data, bytes, 20 + i);
		tap_expect_ret(testdev_write(dev.device, IOVA + 100, data, bytes, how[i]), 0, "write");
		tap_expect(mem_matches(p + 100, bytes, 20 + i), "what was written");
		tap_expect(p[99] == 0x11 && p[100 + bytes] == 0x11, "what is around it");
		tap_step("over two mappings");
		memset(p, 0, 8 * PAGE);
		tap_expect_ret(testdev_write(dev.device, IOVA2 + 2 * PAGE, data, bytes, how[i]), 0, "write");
		tap_expect(mem_matches(p + 2 * PAGE, bytes, 20 + i), "what was written");
		tap_step("where nothing is mapped, and where the end is not");
		tap_expect_ret(testdev_read(dev.device, IOVA - PAGE, data, 8, how[i]), -EINVAL, "read before the mapping");
		tap_expect_ret(testdev_write(dev.device, IOVA + 8 * PAGE, data, 8, how[i]), -EINVAL, "write behind the mapping");
		tap_expect_ret(testdev_read(dev.device, IOVA + 7 * PAGE, data, 2 * PAGE, how[i]), -EINVAL, "read over the end");
		tap_expect_ret(testdev_write(dev.device, IOVA + 7 * PAGE, data, 2 * PAGE, how[i]), -EINVAL, "write over the end");
		tap_step("memory that is not there yet");
		tap_expect(!madvise(p, PAGE, MADV_DONTNEED), "madvise");
		tap_expect_ret(testdev_write(dev.device, IOVA, data, 64, how[i]), 0, "write");
		tap_expect(mem_matches(p, 64, 20 + i), "what was written");
	}
	emulated_expect_held(0, 0, "after copies");
	tap_step("memory that is gone");
	tap_expect(!munmap(p, PAGE), "munmap");
	for (i = 0; i < SUITE_SIZE(how); i++) {
		tap_expect_ret(testdev_read(dev.device, IOVA, data, 64, how[i]), -EFAULT, "read");
		tap_expect_ret(testdev_write(dev.device, IOVA, data, 64, how[i]), -EFAULT, "write");
	}
	vfio_dev_close(&dev);
}

static void test_copy_direction(void)
{
	static const unsigned int how[] = { 0, TEST_DEVICE_COPY_THREAD };
	struct vfio_dev dev;
	char data[64], *p;
	size_t i;

	if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU))
		return;
	p = mem_alloc(2 * PAGE, MEM_SMALL);
	if (!tap_expect(p, "memory"))
		return;
	tap_expect_ret(vfio_map(dev.container, IOVA, p, PAGE, VFIO_DMA_MAP_FLAG_READ), 0, "MAP for reading");
	tap_expect_ret(vfio_map(dev.container, IOVA2, p + PAGE, PAGE, VFIO_DMA_MAP_FLAG_WRITE), 0, "MAP for writing");
	for (i = 0; i < SUITE_SIZE(how); i++) {
		mem_fill(p, PAGE, 3);
		tap_step("mapped for reading: the device reads and does not write");
		tap_expect_ret(testdev_read(dev.device, IOVA, data, sizeof(data), how[i]), 0, "read");
		tap_expect(mem_matches(data, sizeof(data), 3), "what was read");
		memset(data, 0, sizeof(data));
		tap_expect_ret(testdev_write(dev.device, IOVA, data, sizeof(data), how[i]), -EPERM, "write");
		tap_expect(mem_matches(p, PAGE, 3), "memory is unchanged");
		tap_step("mapped for writing only: neither, as the kernel's driver has it");
		tap_expect_ret(testdev_read(dev.device, IOVA2, data, sizeof(data), how[i]), -EPERM, "read");
		tap_expect_ret(testdev_write(dev.device, IOVA2, data, sizeof(data), how[i]), -EPERM, "write");
	}
	vfio_dev_close(&dev);
}

static void test_two_devices(void)
{
	struct vfio_dev a, b;
	char *p;

	if (!emulated_open(&a, 0, VFIO_TYPE1v2_IOMMU) || !emulated_join(&b, 1, a.container))
		return;
	p = emulated_map(&a, 8 * PAGE, IOVA);
	if (!p)
		return;
	tap_step("both pin the same page: one pin, one charged");
	tap_expect_ret(testdev_pin(a.device, IOVA, 2, TESTDEV_RW), 0, "pin");
	tap_expect_ret(testdev_pin(b.device, IOVA + PAGE, 2, TESTDEV_RW), 0, "pin");
	emulated_expect_held(3, 3, "by two devices");
	emulated_expect_page(&a, IOVA + PAGE, p + PAGE);
	emulated_expect_page(&b, IOVA + PAGE, p + PAGE);
	tap_step("UNMAP notifies both");
	tap_expect_ret(vfio_unmap(a.container, IOVA, 8 * PAGE), 0, "UNMAP");
	expect_notified(&a, 1, IOVA, 8 * PAGE, 0);
	expect_notified(&b, 1, IOVA, 8 * PAGE, 0);
	emulated_expect_held(0, 0, "after UNMAP");
	tap_step("one leaves: its pins go with it, the other's and the mappings stay");
	p = emulated_map(&a, 8 * PAGE, IOVA);
	if (!p)
		return;
	tap_expect_ret(testdev_pin(a.device, IOVA, 2, TESTDEV_RW), 0, "pin");
	tap_expect_ret(testdev_pin(b.device, IOVA + PAGE, 2, TESTDEV_RW), 0, "pin");
	vfio_dev_close(&b);
	emulated_expect_held(2, 2, "after one device has gone");
	emulated_expect_page(&a, IOVA + PAGE, p + PAGE);
	tap_expect_ret(testdev_pin(a.device, IOVA + 7 * PAGE, 1, TESTDEV_RW), 0, "pin the last page");
	vfio_dev_close(&a);
	emulated_expect_held(0, 0, "after both");
}

static void test_close(void)
{
	struct vfio_dev dev;
	int order;

	for (order = 0; order < 3; order++) {
		if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU) || !emulated_map(&dev, 64 * PAGE, IOVA))
			return;
		tap_expect_ret(testdev_pin(dev.device, IOVA, 16, TESTDEV_RW), 0, "pin 16");
		tap_expect_ret(testdev_pin(dev.device, IOVA + 8 * PAGE, 1, TESTDEV_RW), 0, "pin one of them again");
		emulated_expect_held(16, 16, "before close");
		switch (order) {
		case 0:
			tap_step("close: device, group, container");
			break;
		case 1:
			tap_step("close: container, group, device");
			close(dev.container);
			close(dev.group);
			dev.container = dev.group = -1;
			emulated_expect_held(16, 16, "while the device is open");
			break;
		case 2:
			tap_step("the group leaves when the device is closed, and the next one finds an empty container");
			tap_expect_ret(vfio_group_detach(dev.group), -EBUSY, "detach while the device is open");
			close(dev.device);
			dev.device = -1;
			emulated_expect_held(0, 0, "after close of the device");
			tap_expect_ret(vfio_group_detach(dev.group), 0, "detach");
			tap_expect_ret(vfio_group_attach(dev.group, dev.container), 0, "attach");
			tap_expect_ret(vfio_set_iommu(dev.container, VFIO_TYPE1v2_IOMMU), 0, "SET_IOMMU");
			dev.device = vfio_group_device(dev.group, dev.bdf);
			tap_expect_ret(testdev_pin(dev.device, IOVA, 1, TESTDEV_RW), -EINVAL, "pin");
		}
		vfio_dev_close(&dev);
		emulated_expect_held(0, 0, "after close");
	}
}

static const struct suite_test tests[] = {
	{ .name = "map", .run = test_map },
	{ .name = "pin", .run = test_pin },
	{ .name = "pin-memory", .run = test_pin_memory },
	{ .name = "pin-refused", .run = test_pin_refused },
	{ .name = "pin-wraps", .run = test_pin_wraps },
	{ .name = "pin-v1", .run = test_pin_v1 },
	{ .name = "type7", .run = test_type7 },
	{ .name = "pin-deaf", .run = test_pin_deaf },
	{ .name = "pin-limit", .run = test_pin_limit },
	{ .name = "pin-two-iovas", .run = test_pin_two_iovas },
	{ .name = "unmap", .run = test_unmap },
	{ .name = "copy", .run = test_copy },
	{ .name = "copy-direction", .run = test_copy_direction },
	{ .name = "two-devices", .run = test_two_devices },
	{ .name = "close", .run = test_close },
	{ .name = "dirty-pins", .run = test_dirty_pins },
	{ .name = "dirty-rw", .run = test_dirty_rw },
	{ .name = "dirty-unmap", .run = test_dirty_unmap },
	{ .name = "dirty-real", .run = test_dirty_real },
	{ .name = "real-attach", .run = test_real_attach },
	{ .name = "real-pin", .run = test_real_pin },
	{ .name = "real-first", .run = test_real_first },
	{ .name = "real-reserved", .run = test_real_reserved },
	{ .name = "real-limit", .run = test_real_limit },
	{ .name = "real-other-process", .run = test_real_other_process },
	{ .name = "owner-killed", .run = test_owner_killed },
	{ .name = "owner-killed-pinned-by-it", .run = test_owner_killed_pinned_by_it },
	{ .name = "owner-execve", .run = test_owner_execve },
	{ .name = "owner-killed-in-copy", .run = test_owner_killed_in_copy },
	{ .name = "two-owners", .run = test_two_owners },
	{ .name = "bad-at-unmap", .run = test_bad_at_unmap },
	{ .name = "bad-at-close", .run = test_bad_at_close },
	{ .name = "bad-at-death", .run = test_bad_at_death },
	{ .name = "late", .run = test_late },
	{ .name = "two-unmaps", .run = test_two_unmaps },
	{ .name = "fuzz", .run = test_fuzz, .timeout_s = 300 },
	{ .name = "fuzz-kill", .run = test_fuzz_kill, .timeout_s = 300 },
};

static const char *iommu_name = "prereg";

static const struct suite_option options[] = {
	{ .name = "--iommu", .text = &iommu_name, .help = "prereg, or type1, the kernel's driver: what serves type 3 here" },
	{ .name = "--seconds", .number = &emulated_seconds, .help = "each of the fuzz tests" },
	{ .name = "--seed", .number = &emulated_seed, .help = "replays them" },
};

static bool apply_options(void)
{
	emulated_ours = !strcmp(iommu_name, "prereg");
	suite_own_backend = emulated_ours;
	return emulated_ours || !strcmp(iommu_name, "type1");
}

static const struct suite suite = {
	.name = "emulated",
	.tests = tests,
	.n_tests = SUITE_SIZE(tests),
	.options = options,
	.n_options = SUITE_SIZE(options),
	.apply_options = apply_options,
	.unfit = type1_unfit,
};

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], EXEC_ARG))
		return emulated_exec_main(argv[2]);
	return suite_main(argc, argv, &suite);
}
