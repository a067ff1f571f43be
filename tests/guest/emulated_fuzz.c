// SPDX-License-Identifier: GPL-2.0
/*
 * Pins, copies, maps, unmaps and a real device that comes and goes, all at once and at random; and owners that are killed
 * meanwhile. A seed replays what each thread does, not who comes first.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "emulated.h"
#include "meter.h"
#include "rng.h"
#include "suite.h"
#include "tap.h"

#define SLOTS 8
#define SLOT_PAGES 16
#define SLOT_BYTES (SLOT_PAGES * PAGE)

enum deed {
	DO_MAP,
	DO_UNMAP,
	DO_PIN,
	DO_UNPIN,
	DO_COPY,
	DO_DIRTY,
	DO_DONTNEED,
	DO_REAL,
	DO_DEVICE,
	N_DEEDS,
};

static const char *const deed_name[N_DEEDS] = {
	"MAP", "UNMAP", "pin", "unpin", "copy", "dirty", "DONTNEED", "real device", "open and close",
};

#define BIT(nr) (1u << (nr))

/* What the threads of a round share. */
struct fuzz {
	int container;
	int device;
	int other;		/* a second emulated device's, or -1 */
	int group;		/* a third one's group, for DO_DEVICE */
	int real;		/* the real device's group, for DO_REAL */
	char *arena;
	unsigned int owners;	/* that there have been */
	atomic_bool stop;
	atomic_ulong tried[N_DEEDS];
	atomic_ulong done[N_DEEDS];
	/*
	 * With the kernel's driver only one thread unmaps, and nobody pins meanwhile: two that unmap wait for each other
	 * for ever, and it stops the machine (BUG_ON) when what it unmaps is pinned again ten times.
	 */
	pthread_rwlock_t polite;
};

struct actor {
	struct fuzz *fuzz;
	unsigned int deeds;
	struct rng rng;
};

static uint64_t random_slot(struct rng *rng)
{
	return rng_below(rng, SLOTS) * SLOT_BYTES;
}

/* A range of a few pages, often over a slot's end. */
static uint64_t random_iova(struct rng *rng)
{
	return IOVA + rng_below(rng, SLOTS * SLOT_PAGES) * PAGE;
}

static int random_copy(struct fuzz *fuzz, struct rng *rng)
{
	static const unsigned int how[] = { 0, TEST_DEVICE_COPY_THREAD, TEST_DEVICE_COPY_PAGES };
	const unsigned int flags = how[rng_below(rng, SUITE_SIZE(how))];
	const uint64_t iova = random_iova(rng) + rng_below(rng, PAGE);
	char data[300];

	memset(data, 0x5a, sizeof(data));
	if (rng_below(rng, 2))
		return testdev_write(fuzz->device, iova, data, sizeof(data), flags);
	return testdev_read(fuzz->device, iova, data, sizeof(data), flags);
}

static int random_dirty(struct fuzz *fuzz, struct rng *rng)
{
	uint64_t words[SLOTS * SLOT_PAGES / 64];
	const struct type1_bitmap bitmap = { .pgsize = PAGE, .bits = words, .bits_bytes = sizeof(words) };

	switch (rng_below(rng, 4)) {
	case 0:
		return type1_dirty(fuzz->container, VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
	case 1:
		return type1_dirty(fuzz->container, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP);
	default:
		memset(words, 0, sizeof(words));
		return type1_dirty_bitmap(fuzz->container, IOVA, SLOTS * SLOT_BYTES, &bitmap);
	}
}

static int come_and_go(struct fuzz *fuzz)
{
	int ret = vfio_group_attach(fuzz->real, fuzz->container);

	return ret ? ret : vfio_group_detach(fuzz->real);
}

/* A device that pins and is closed. */
static int open_and_close(struct fuzz *fuzz, struct rng *rng)
{
	int ret, device = vfio_group_device(fuzz->group, testdev_name(1));

	if (device < 0)
		return device;
	ret = testdev_pin(device, random_iova(rng), 1, TESTDEV_RW);
	close(device);
	return ret;
}

static int do_deed(struct fuzz *fuzz, enum deed deed, struct rng *rng)
{
	const int device = fuzz->other >= 0 && rng_below(rng, 2) ? fuzz->other : fuzz->device;
	const uint64_t slot = random_slot(rng);

	switch (deed) {
	case DO_MAP:
		return vfio_map(fuzz->container, IOVA + slot, fuzz->arena + slot, SLOT_BYTES, VFIO_MAP_RW);
	case DO_UNMAP:
		if (!rng_below(rng, 16))
			return type1_unmap(fuzz->container, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL, NULL);
		return vfio_unmap(fuzz->container, IOVA + slot, SLOT_BYTES);
	case DO_PIN:
		return testdev_pin(device, random_iova(rng), 1 + rng_below(rng, 4), TESTDEV_RW);
	case DO_UNPIN:
		return testdev_unpin(device, random_iova(rng), 1 + rng_below(rng, 4));
	case DO_COPY:
		return random_copy(fuzz, rng);
	case DO_DIRTY:
		return random_dirty(fuzz, rng);
	case DO_DONTNEED:
		return madvise(fuzz->arena + slot, SLOT_BYTES, MADV_DONTNEED) ? -errno : 0;
	case DO_REAL:
		return come_and_go(fuzz);
	default:
		return open_and_close(fuzz, rng);
	}
}

/* @dying: the memory may be that of an mm that is going away, or of another process. */
static bool may_answer(enum deed deed, int ret, bool dying)
{
	if (!ret)
		return true;
	if (dying && (ret == -EFAULT || ret == -ENODEV || ret == -EPERM))
		return true;
	switch (deed) {
	case DO_MAP:
		return ret == -EEXIST;
	case DO_PIN:
	case DO_DEVICE:
	case DO_DIRTY:
		return ret == -EINVAL;
	case DO_UNPIN:
		return ret == -ENOENT;
	case DO_COPY:
		return ret == -EINVAL || ret == -ENOENT;
	default:
		return false;
	}
}

static void act(struct actor *actor, bool dying)
{
	struct fuzz *fuzz = actor->fuzz;

	while (!fuzz->stop) {
		enum deed deed;
		int ret;

		do
			deed = rng_below(&actor->rng, N_DEEDS);
		while (!(actor->deeds & BIT(deed)));
		if (!emulated_ours && deed == DO_UNMAP)
			pthread_rwlock_wrlock(&fuzz->polite);
		else if (!emulated_ours)
			pthread_rwlock_rdlock(&fuzz->polite);
		ret = do_deed(fuzz, deed, &actor->rng);
		if (!emulated_ours)
			pthread_rwlock_unlock(&fuzz->polite);
		fuzz->tried[deed]++;
		fuzz->done[deed] += !ret;
		if (!tap_expect(may_answer(deed, ret, dying), "%s answered %s", deed_name[deed], tap_ret_name(ret)))
			fuzz->stop = true;
	}
}

static void *act_alive(void *arg)
{
	act(arg, false);
	return NULL;
}

static void *act_dying(void *arg)
{
	act(arg, true);
	return NULL;
}

#define MAX_ACTORS 8

struct crew {
	pthread_t threads[MAX_ACTORS];
	struct actor actors[MAX_ACTORS];
	unsigned int n;
};

static void crew_start(struct crew *crew, struct fuzz *fuzz, void *(*run)(void *), const unsigned int *deeds, unsigned int n,
		       uint64_t stream)
{
	for (crew->n = 0; crew->n < n; crew->n++) {
		struct actor *actor = &crew->actors[crew->n];

		*actor = (struct actor){ .fuzz = fuzz, .deeds = deeds[crew->n], .rng = rng_stream(emulated_seed, stream + crew->n) };
		if (!tap_expect(!pthread_create(&crew->threads[crew->n], NULL, run, actor), "thread"))
			break;
	}
}

static void crew_end(struct crew *crew)
{
	crew->actors[0].fuzz->stop = true;
	while (crew->n)
		pthread_join(crew->threads[--crew->n], NULL);
}

/* The time is over when it is and each of the deeds has succeeded, of which it is chance when; or much later. */
static bool time_is_over(const struct fuzz *fuzz, unsigned int deeds, uint64_t start)
{
	const uint64_t now = meter_now_ns();
	unsigned int i;

	if (now < start + emulated_seconds * 1000000000ull)
		return false;
	for (i = 0; i < N_DEEDS; i++)
		if (deeds & BIT(i) && !fuzz->done[i])
			return now > start + proc_limit_ms(30000) * 1000000;
	return true;
}

static void tell(struct fuzz *fuzz, unsigned int deeds)
{
	unsigned int i;

	for (i = 0; i < N_DEEDS; i++) {
		if (!(deeds & BIT(i)))
			continue;
		tap_diag("%s: %lu of %lu succeeded", deed_name[i], fuzz->done[i], fuzz->tried[i]);
		tap_expect(fuzz->done[i], "%s never succeeded", deed_name[i]);
	}
}

static void choose_seed(void)
{
	if (!emulated_seed)
		emulated_seed = meter_now_ns() & 0x7fffffff;
	tap_diag("--seed %ld", emulated_seed);
}

static bool fuzz_open(struct fuzz *fuzz, struct vfio_dev *dev)
{
	pthread_rwlockattr_t attr;

	memset(fuzz, 0, sizeof(*fuzz));
	fuzz->other = -1;
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&fuzz->polite, &attr);
	if (!emulated_open(dev, 0, VFIO_TYPE1v2_IOMMU))
		return false;
	fuzz->container = dev->container;
	fuzz->device = dev->device;
	fuzz->arena = mmap(NULL, SLOTS * SLOT_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return tap_expect(fuzz->arena != MAP_FAILED, "memory");
}

void test_fuzz(void)
{
	static const unsigned int deeds[] = {
		BIT(DO_MAP) | BIT(DO_UNMAP) | BIT(DO_DONTNEED),
		BIT(DO_MAP) | BIT(DO_UNMAP),
		BIT(DO_PIN) | BIT(DO_UNPIN) | BIT(DO_COPY),
		BIT(DO_PIN) | BIT(DO_COPY),
		BIT(DO_UNPIN) | BIT(DO_DIRTY) | BIT(DO_DEVICE),
		BIT(DO_REAL),
	};
	struct vfio_dev dev;
	struct fuzz fuzz;
	struct crew crew;
	uint64_t start;

	choose_seed();
	if (!fuzz_open(&fuzz, &dev))
		return;
	fuzz.real = vfio_group_open(VFIO_EDU0);
	fuzz.group = vfio_group_open(testdev_name(1));
	if (!tap_expect(fuzz.real >= 0 && fuzz.group >= 0, "open more groups") ||
	    !tap_expect_ret(vfio_group_attach(fuzz.group, fuzz.container), 0, "attach"))
		return;
	crew_start(&crew, &fuzz, act_alive, deeds, SUITE_SIZE(deeds), 0);
	for (start = meter_now_ns(); !tap_failures() && !time_is_over(&fuzz, BIT(N_DEEDS) - 1, start); )
		meter_sleep_ms(20);
	crew_end(&crew);
	tell(&fuzz, BIT(N_DEEDS) - 1);
	tap_step("UNMAP of all");
	tap_expect_ret(type1_unmap(fuzz.container, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL, NULL), 0, "UNMAP of all");
	tap_expect_eq(testdev_state(dev.device).pinned, 0, "pages that the device still has pinned");
	emulated_expect_held(0, 0, "after UNMAP of all");
	close(fuzz.group);
	close(fuzz.real);
	vfio_dev_close(&dev);
}

static int dying_owner(int sock, void *arg)
{
	static const unsigned int deeds[] = { BIT(DO_MAP) | BIT(DO_UNMAP), BIT(DO_MAP) | BIT(DO_DONTNEED) };
	struct fuzz *fuzz = arg;
	struct crew crew;
	int msg;

	crew_start(&crew, fuzz, act_alive, deeds, SUITE_SIZE(deeds), 100 + fuzz->owners * MAX_ACTORS);
	sock_recv(sock, &msg);
	return 0;
}

/*
 * A driver's call that is under way may be the dead mm's last user: until it returns, drivers may
 * pin what is still mapped. What was pinned once nothing is mapped is on its way back.
 */
static bool pins_go(void)
{
	const uint64_t deadline = meter_now_ns() + proc_limit_ms(2000) * 1000000;
	long long mappings, pins;
	bool late;

	for (;;) {
		late = meter_now_ns() > deadline;
		mappings = meter_stat("mappings");
		pins = rig_pins();
		if ((!mappings && !pins) || late)
			break;
		meter_sleep_ms(1);
	}
	return tap_expect_eq(mappings, 0, "mappings after a kill") & tap_expect_eq(pins, 0, "pinned pages after a kill");
}

void test_fuzz_kill(void)
{
	static const unsigned int deeds[] = {
		BIT(DO_PIN) | BIT(DO_UNPIN) | BIT(DO_COPY), BIT(DO_PIN) | BIT(DO_COPY),
		BIT(DO_PIN) | BIT(DO_COPY) | BIT(DO_DIRTY) | BIT(DO_UNMAP),
	};
	const unsigned int sure = BIT(DO_PIN) | BIT(DO_COPY) | BIT(DO_UNMAP);
	const uint64_t start = meter_now_ns();
	struct rng rng;
	struct vfio_dev dev;
	struct proc owner;
	struct fuzz fuzz;
	struct crew crew;

	if (!emulated_ours) {
		tap_skip("the kernel's driver holds the dead's pages until they are unmapped");
		return;
	}
	choose_seed();
	rng = rng_stream(emulated_seed, 99);
	if (!fuzz_open(&fuzz, &dev))
		return;
	crew_start(&crew, &fuzz, act_dying, deeds, SUITE_SIZE(deeds), 0);
	tap_step("owners that map are killed while other processes pin, unpin, copy and unmap");
	for (; !fuzz.stop && !time_is_over(&fuzz, sure, start); fuzz.owners++) {
		if (!tap_expect_ret(proc_start(&owner, dying_owner, &fuzz), 0, "fork"))
			break;
		meter_sleep_ms(5 + rng_below(&rng, 60));
		proc_kill(&owner);
		if (!pins_go())
			break;
	}
	crew_end(&crew);
	tap_diag("%u kills", fuzz.owners);
	tell(&fuzz, sure);
	vfio_dev_close(&dev);
}

static void *pin_late(void *arg)
{
	struct vfio_dev *dev = arg;

	tap_expect_ret(testdev_pin(dev->device, IOVA, 4, TESTDEV_RW), 0, "pin");
	return NULL;
}

void test_late(void)
{
	const uint64_t deadline = meter_now_ns() + proc_limit_ms(10000) * 1000000;
	struct vfio_dev dev;
	pthread_t thread;

	if (!emulated_ours) {
		tap_skip("the kernel's driver stops the machine if it tells ten times in vain (BUG_ON)");
		return;
	}
	if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU) || !emulated_map(&dev, SLOT_BYTES, IOVA))
		return;
	tap_step("UNMAP of what a driver has pinned but has not noted yet: it is told until it knows");
	testdev_mode(dev.device, TEST_DEVICE_KNOW_LATE);
	if (!tap_expect(!pthread_create(&thread, NULL, pin_late, &dev), "thread"))
		return;
	while (testdev_state(dev.device).unknown < 4 && meter_now_ns() < deadline)
		meter_sleep_ms(1);
	tap_expect_eq(testdev_state(dev.device).unknown, 4, "pages that it does not know of");
	tap_expect_ret(vfio_unmap(dev.container, IOVA, SLOT_BYTES), 0, "UNMAP");
	tap_expect(testdev_state(dev.device).notified > 1, "the driver was told more than once");
	pthread_join(thread, NULL);
	tap_expect_eq(testdev_state(dev.device).pinned, 0, "pages that the device still has pinned");
	emulated_expect_held(0, 0, "after UNMAP");
	vfio_dev_close(&dev);
}

struct unmapper {
	struct vfio_dev *dev;
	uint64_t iova;
	char *p;
	atomic_int *left;
};

#define UNMAPS 2000

/* MAP, pin, UNMAP of a range of its own. */
static void *unmap_pinned(void *arg)
{
	struct unmapper *u = arg;

	while (atomic_fetch_sub(u->left, 1) > 0 && !tap_failures()) {
		tap_expect_ret(vfio_map(u->dev->container, u->iova, u->p, SLOT_BYTES, VFIO_MAP_RW), 0, "MAP");
		tap_expect_ret(testdev_pin(u->dev->device, u->iova, 2, TESTDEV_RW), 0, "pin");
		tap_expect_ret(vfio_unmap(u->dev->container, u->iova, SLOT_BYTES), 0, "UNMAP");
	}
	return NULL;
}

void test_two_unmaps(void)
{
	struct unmapper unmappers[2];
	pthread_t threads[2];
	struct vfio_dev dev;
	atomic_int left = UNMAPS;
	int i;

	if (!emulated_ours) {
		tap_skip("the kernel's driver lets two that unmap pinned pages wait for each other for ever");
		return;
	}
	if (!emulated_open(&dev, 0, VFIO_TYPE1v2_IOMMU))
		return;
	tap_step("two threads unmap ranges that a driver has pinned, each its own");
	for (i = 0; i < 2; i++) {
		unmappers[i] = (struct unmapper){ .dev = &dev, .iova = IOVA + i * 0x1000000, .left = &left,
						  .p = mem_alloc(SLOT_BYTES, MEM_SMALL) };
		if (!tap_expect(unmappers[i].p && !pthread_create(&threads[i], NULL, unmap_pinned, &unmappers[i]), "start"))
			return;
	}
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	emulated_expect_held(0, 0, "at the end");
	vfio_dev_close(&dev);
}
