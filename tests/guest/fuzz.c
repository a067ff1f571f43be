// SPDX-License-Identifier: GPL-2.0
/*
 * Random sequences of everything: calls with valid, nearly valid and hostile
 * arguments, by several processes that share fds, fork, execute themselves,
 * take their memory away, detach, close, kill each other. Afterwards every
 * counter must be zero. --seed N chooses as the run that printed N did; how the
 * processes interleave is left to the kernel.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"
#include "fuzz.h"
#include "meter.h"
#include "proc.h"
#include "rig.h"
#include "rng.h"
#include "suite.h"
#include "tap.h"
#include "type1.h"

static long rounds = 200;
static long seconds = 60;
static long seed;

#define EXEC_ARG "--fuzzer"
#define PROCESSES 3
#define BATCH_MAX 64	/* entries of a call */
#define MAX_PIDS 24	/* processes in a round, with forks */
#define ARENA_BYTES (8 * MIB)

/* Seen by all processes of a round, also by programs they execute (an inherited memfd). */
struct shared {
	atomic_uint n_pids;
	atomic_int pids[MAX_PIDS];
	atomic_ulong calls[N_CALLS];
	atomic_ulong succeeded[N_CALLS];
	atomic_ulong forks, execs, kills, detaches;
	int types[2];	/* the containers' */
	/* Of the hw, told before the first round. */
	uint64_t window1;
	unsigned int levels;
	bool tables;
};

/* The fds of a round, the same numbers in every process. */
struct fds {
	int shared;
	int containers[2];
	int groups[2];
	int devices[2];
};

struct fuzzer {
	struct shared *shared;
	struct fds fds;
	struct rng rng;
	char *arena;
	unsigned int steps;
	int last_errno;
	struct vfio_prereg_batch_entry entries[BATCH_MAX];
};

/* Small pages, huge pages, shared memory, and a hole, 2 MiB each. */
static char *make_arena(void)
{
	char *p = mmap(NULL, ARENA_BYTES + 2 * MIB, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	p = (char *)(((uintptr_t)p + 2 * MIB - 1) & ~(2 * MIB - 1));
	madvise(p, 2 * MIB, MADV_NOHUGEPAGE);
	madvise(p + 2 * MIB, 2 * MIB, MADV_HUGEPAGE);
	mmap(p + 4 * MIB, 2 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED,
	     -1, 0);
	munmap(p + 6 * MIB, 2 * MIB);
	return p;
}

static uint64_t hostile_number(struct rng *rng)
{
	static const uint64_t numbers[] = {
		0, 1, 8, 4095, 4096, 4097, 65536, 1ull << 21, 1ull << 30, (1ull << 31) - 4096, 1ull << 31,
		1ull << 32, 1ull << 36, 1ull << 39, 1ull << 47, (1ull << 47) - 4096, 1ull << 55, 1ull << 56,
		1ull << 62, 1ull << 63, (1ull << 63) - 4096, -1ull, -4095ull, -4096ull, -8192ull,
		0xfee00000, 0xfedff000, 0xfef00000, 0xffff888000000000, 0xffffffff81000000,
		0xffffffffff600000, 1ull << 59, (1ull << 59) + (1ull << 31),
	};

	if (!rng_below(rng, 4))
		return rng_next(rng);
	return numbers[rng_below(rng, sizeof(numbers) / sizeof(numbers[0]))];
}

/* One time in @n. */
static bool rarely(struct rng *rng, unsigned int n)
{
	return !rng_below(rng, n);
}

/* Ranges that are registered and given back again and again: a page to 512 KiB. */
#define SLOTS 8
#define SLOT_SPACE (ARENA_BYTES / SLOTS)

static uint64_t slot_bytes(unsigned int slot)
{
	const uint64_t bytes = PAGE << slot % 8;

	return bytes < SLOT_SPACE / 2 ? bytes : SLOT_SPACE / 2;
}

static uint64_t some_bytes(struct rng *rng)
{
	return PAGE << rng_below(rng, 10);
}

static uint64_t some_vaddr(struct fuzzer *f)
{
	return (uintptr_t)f->arena + rng_below(&f->rng, ARENA_BYTES / (64 << 10)) * (64 << 10);
}

static uint64_t some_iova(const struct shared *shared, struct rng *rng)
{
	/* Low, in the second window, and next to the MSI range. */
	const uint64_t bases[] = { 0, 0, 0x1000000, shared->window1, 0xfedf0000 };

	return bases[rng_below(rng, 5)] + rng_below(rng, 64) * 4 * IOMMU_PAGE;
}

union argument {
	struct {
		uint32_t argsz;
		uint32_t flags;
	};
	struct vfio_iommu_spapr_tce_info info;
	struct vfio_iommu_spapr_register_memory memory;
	struct vfio_iommu_type1_dma_map map;
	struct vfio_iommu_type1_dma_unmap unmap;
	struct vfio_iommu_spapr_tce_create create;
	struct vfio_iommu_spapr_tce_remove remove;
	struct {
		uint32_t argsz;
		uint32_t flags;
		struct vfio_iommu_type1_dirty_bitmap_get range;
	} dirty;
	struct vfio_prereg_keep keep;
	struct vfio_prereg_batch batch;
	struct vfio_prereg_info prereg_info;
	uint64_t words[12];
};

/* Neighbours of a slot's memory, most of them; often what is mapped somewhere already. */
static void good_batch(struct fuzzer *f, uint64_t vaddr, uint64_t pages, struct vfio_prereg_batch *batch)
{
	struct rng *rng = &f->rng;
	const bool map = rng_below(rng, 2);
	uint64_t iova = some_iova(f->shared, rng);
	const uint32_t flags = 1 + rng_below(rng, 3);
	uint32_t i;

	batch->flags = map ? VFIO_PREREG_BATCH_MAP : VFIO_PREREG_BATCH_UNMAP;
	batch->nentries = rng_below(rng, 1 + (pages < BATCH_MAX ? pages : BATCH_MAX));
	batch->entries = (uintptr_t)f->entries;
	for (i = 0; i < batch->nentries; i++) {
		if (rarely(rng, 16))
			iova = some_iova(f->shared, rng);
		f->entries[i] = (struct vfio_prereg_batch_entry){
			.iova = iova, .size = PAGE,
			.vaddr = map ? vaddr + i * PAGE : 0, .flags = map ? flags : 0,
		};
		if (!map && rarely(rng, 4))
			f->entries[i].size = some_bytes(rng);
		iova += f->entries[i].size;
	}
	if (i && rarely(rng, 6))
		((uint64_t *)&f->entries[rng_below(rng, i)])[rng_below(rng, 4)] = hostile_number(rng);
}

static void good_argument(struct fuzzer *f, enum call_nr call, union argument *arg)
{
	struct rng *rng = &f->rng;
	const unsigned int slot = rng_below(rng, SLOTS);
	const uint64_t vaddr = (uintptr_t)f->arena + slot * SLOT_SPACE;
	const uint64_t pages = slot_bytes(slot) / PAGE, first = rng_below(rng, pages);

	memset(arg, 0, sizeof(*arg));
	arg->argsz = sizeof(*arg);
	switch (call) {
	case CALL_REGISTER:
	case CALL_UNREGISTER:
		arg->memory.vaddr = vaddr;
		arg->memory.size = slot_bytes(slot);
		break;
	case CALL_MAP:
	case CALL_DMA_MAP:
		arg->map.flags = 1 + rng_below(rng, 3);
		arg->map.vaddr = vaddr + first * PAGE;
		arg->map.size = (1 + rng_below(rng, pages - first)) * PAGE;
		arg->map.iova = some_iova(f->shared, rng);
		break;
	case CALL_UNMAP:
		arg->unmap.iova = some_iova(f->shared, rng);
		arg->unmap.size = rarely(rng, 8) ? 1ull << 31 : some_bytes(rng);
		break;
	case CALL_DMA_UNMAP:
		arg->unmap.iova = some_iova(f->shared, rng);
		arg->unmap.size = some_bytes(rng);
		if (rarely(rng, 8))
			arg->unmap = (struct vfio_iommu_type1_dma_unmap){ .argsz = sizeof(*arg), .flags = VFIO_DMA_UNMAP_FLAG_ALL };
		else if (rarely(rng, 8))
			arg->unmap.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
		break;
	case CALL_DMA_DIRTY:
		arg->dirty.flags = 1u << rng_below(rng, 3);
		arg->dirty.range.iova = some_iova(f->shared, rng);
		arg->dirty.range.size = some_bytes(rng);
		arg->dirty.range.bitmap = (struct vfio_bitmap){ IOMMU_PAGE, PAGE, (void *)vaddr };
		break;
	case CALL_BATCH:
		good_batch(f, vaddr, pages, &arg->batch);
		break;
	case CALL_KEEP:
		arg->keep.bytes = rarely(rng, 4) ? 0 : some_bytes(rng) * 8;
		break;
	case CALL_CREATE:
		arg->create.page_shift = (uint32_t[]){ 12, 12, 16, 21, 30 }[rng_below(rng, 5)];
		arg->create.window_size = 1ull << (30 + rng_below(rng, 10));
		arg->create.levels = 1 + rng_below(rng, f->shared->levels);
		break;
	case CALL_REMOVE:
		arg->remove.start_addr = rng_below(rng, 2) ? 0 : f->shared->window1;
		break;
	default:
		break;
	}
}

/* What adds comes more often than what takes away, or there would never be much. */
static enum call_nr some_call(struct rng *rng, int type)
{
	static const enum call_nr spapr[] = {
		CALL_REGISTER, CALL_REGISTER, CALL_MAP, CALL_MAP, CALL_BATCH, CALL_UNREGISTER, CALL_UNMAP,
	};
	static const enum call_nr type1[] = {
		CALL_DMA_MAP, CALL_DMA_MAP, CALL_DMA_MAP, CALL_DMA_MAP, CALL_DMA_UNMAP, CALL_DMA_UNMAP, CALL_DMA_DIRTY,
	};

	if (rarely(rng, 8))
		return rng_below(rng, N_CALLS);
	return (type == TYPE7 ? spapr : type1)[rng_below(rng, 7)];
}

/* SET_IOMMU may have been called with another type: then another call has that number, or none. */
static bool may_answer(enum call_nr call, int ret)
{
	int other;

	if (ret == -ENOTTY)
		return true;
	for (other = 0; other < N_CALLS; other++)
		if (call_request(other) == call_request(call) && call_may_answer(other, ret, true))
			return true;
	return false;
}

static void random_call(struct fuzzer *f)
{
	struct rng *rng = &f->rng;
	const unsigned int which = rng_below(rng, 2);
	const enum call_nr call = some_call(rng, f->shared->types[which]);
	const int fd = f->fds.containers[which];
	union argument arg;
	void *p = &arg;
	int ret;

	good_argument(f, call, &arg);
	if (rarely(rng, 4))		/* nearly valid: one field of any size */
		arg.words[rng_below(rng, 5)] = hostile_number(rng);
	else if (rarely(rng, 8))	/* off by a little */
		arg.words[1 + rng_below(rng, 4)] += rng_below(rng, 3) * PAGE - PAGE / 2;
	else if (rarely(rng, 32))
		arg.argsz = rng_below(rng, 64);
	if (rarely(rng, 48))
		p = (void *)(rarely(rng, 2) ? hostile_number(rng) : some_vaddr(f));
	ret = vfio_ioctl(fd, call_request(call), p);
	atomic_fetch_add(&f->shared->calls[call], 1);
	if (!ret)
		atomic_fetch_add(&f->shared->succeeded[call], 1);
	/* EBADF: this process closed it. */
	tap_expect(ret == -EBADF || may_answer(call, ret), "%s answered %s",
		   call_name(call), tap_ret_name(ret));
}

static void random_ioctl(struct fuzzer *f)
{
	const unsigned long nr = rarely(&f->rng, 4) ? rng_next(&f->rng) :
				 VFIO_GET_API_VERSION + rng_below(&f->rng, 40);

	/* SET_IOMMU and others of VFIO's own included. */
	vfio_ioctl(f->fds.containers[rng_below(&f->rng, 2)], nr, (void *)hostile_number(&f->rng));
}

static void random_memory(struct fuzzer *f)
{
	struct rng *rng = &f->rng;
	char *p = (char *)some_vaddr(f);
	const size_t room = f->arena + ARENA_BYTES - p;
	const size_t bytes = some_bytes(rng) < room ? some_bytes(rng) : PAGE;
	const size_t take = bytes < room ? bytes : PAGE;

	switch (rng_below(rng, 8)) {
	case 0:
		munmap(p, take);
		break;
	case 1:
		madvise(p, take, MADV_DONTNEED);
		break;
	case 2:
		mprotect(p, take, rng_below(rng, 2) ? PROT_READ : PROT_NONE);
		break;
	case 3:
		mprotect(p, take, PROT_READ | PROT_WRITE);
		break;
	case 4:
		mremap(p, take, take, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)some_vaddr(f));
		break;
	case 5:
		mmap(p, take, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_ANONYMOUS |
		     (rng_below(rng, 2) ? MAP_PRIVATE : MAP_SHARED), -1, 0);
		break;
	case 6:
		madvise(p, take, (int[]){ MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_FREE,
					  MADV_DONTFORK, MADV_DOFORK }[rng_below(rng, 5)]);
		break;
	default:
		/* Fails where nothing is to be written: no signal. */
		madvise(p, take, MADV_POPULATE_WRITE);
	}
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void detach_attach(struct fuzzer *f)
{
	const int i = rng_below(&f->rng, 2);

	if (rarely(&f->rng, 2))
		close_fd(&f->fds.devices[i]);
	if (!vfio_group_detach(f->fds.groups[i]))
		atomic_fetch_add(&f->shared->detaches, 1);
	/* Into either container: two groups in one of them happens. */
	vfio_group_attach(f->fds.groups[i], f->fds.containers[rng_below(&f->rng, 2)]);
	vfio_set_iommu(f->fds.containers[i], f->shared->types[i]);
	if (f->fds.devices[i] < 0 && rarely(&f->rng, 12)) {
		const int fd = vfio_group_device(f->fds.groups[i], i ? VFIO_EDU1 : VFIO_EDU0);

		f->fds.devices[i] = fd < 0 ? -1 : fd;
	}
}

static void close_something(struct fuzzer *f)
{
	const int i = rng_below(&f->rng, 2);

	switch (rng_below(&f->rng, 3)) {
	case 0:
		close_fd(&f->fds.containers[i]);
		break;
	case 1:
		close_fd(&f->fds.groups[i]);
		break;
	default:
		close_fd(&f->fds.devices[i]);
	}
}

static bool add_pid(struct shared *shared, pid_t pid)
{
	const unsigned int slot = atomic_fetch_add(&shared->n_pids, 1);

	if (slot >= MAX_PIDS)
		return false;
	shared->pids[slot] = pid;
	return true;
}

static void kill_someone(struct fuzzer *f)
{
	const int pid = f->shared->pids[rng_below(&f->rng, MAX_PIDS)];

	/* Pids are not used again within a round: they count up to 32768. */
	if (pid > 0) {
		atomic_fetch_add(&f->shared->kills, 1);
		kill(pid, SIGKILL);
	}
}

static void fork_fuzzer(struct fuzzer *f)
{
	if (f->shared->n_pids >= MAX_PIDS)
		return;
	if (fork())
		return;
	if (!add_pid(f->shared, getpid()))
		_exit(0);
	atomic_fetch_add(&f->shared->forks, 1);
	f->rng = rng_stream(rng_next(&f->rng), 1);
	f->steps /= 2;
}

static void execute_self(struct fuzzer *f)
{
	char text[9][24];
	char *argv[12] = { "fuzz", EXEC_ARG };
	int i;

	snprintf(text[0], sizeof(text[0]), "%llu", (unsigned long long)rng_next(&f->rng));
	snprintf(text[1], sizeof(text[1]), "%u", f->steps / 2);
	snprintf(text[2], sizeof(text[2]), "%d", f->fds.shared);
	for (i = 0; i < 2; i++) {
		snprintf(text[3 + i], sizeof(text[0]), "%d", f->fds.containers[i]);
		snprintf(text[5 + i], sizeof(text[0]), "%d", f->fds.groups[i]);
		snprintf(text[7 + i], sizeof(text[0]), "%d", f->fds.devices[i]);
	}
	for (i = 0; i < 9; i++)
		argv[2 + i] = text[i];
	argv[11] = NULL;
	atomic_fetch_add(&f->shared->execs, 1);
	execv("/proc/self/exe", argv);
}

static void fuzz(struct fuzzer *f)
{
	struct rng *rng = &f->rng;

	while (f->steps) {
		const unsigned int dice = rng_below(rng, 1000);

		f->steps--;
		if (dice < 850)
			random_call(f);
		else if (dice < 930)
			random_memory(f);
		else if (dice < 960)
			random_ioctl(f);
		else if (dice < 978)
			detach_attach(f);
		else if (dice < 985)
			fork_fuzzer(f);
		else if (dice < 990)
			kill_someone(f);
		else if (dice < 993)
			close_something(f);
		else if (dice < 996)
			execute_self(f);
		else if (dice < 998)
			_exit(0);
		else
			usleep(rng_below(rng, 3000));
	}
}

static struct shared *map_shared(int fd)
{
	void *p = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* argv: what execute_self() wrote. */
static int fuzzer_main(char **argv)
{
	struct fuzzer f = {
		.rng = { strtoull(argv[0], NULL, 10) },
		.steps = strtoul(argv[1], NULL, 10),
		.fds = {
			.shared = atoi(argv[2]),
			.containers = { atoi(argv[3]), atoi(argv[4]) },
			.groups = { atoi(argv[5]), atoi(argv[6]) },
			/* Device fds are O_CLOEXEC. */
			.devices = { -1, -1 },
		},
	};

	tap_init_child();
	f.shared = map_shared(f.fds.shared);
	f.arena = make_arena();
	if (f.shared && f.arena)
		fuzz(&f);
	return 0;
}

static bool open_fds(struct fds *fds, const int *types, bool devices)
{
	int ret, i;

	for (i = 0; i < 2; i++) {
		fds->devices[i] = -1;
		fds->containers[i] = vfio_container_open();
		fds->groups[i] = vfio_group_open(i ? VFIO_EDU1 : VFIO_EDU0);
		ret = vfio_group_attach(fds->groups[i], fds->containers[i]);
		if (!ret)
			ret = vfio_set_iommu(fds->containers[i], types[i]);
		if (!tap_expect_ret(ret, 0, "attach group %d", i))
			return false;
		if (!devices)
			continue;
		fds->devices[i] = vfio_group_device(fds->groups[i], i ? VFIO_EDU1 : VFIO_EDU0);
		if (!tap_expect(fds->devices[i] >= 0, "device %d", i))
			return false;
	}
	return true;
}

static void close_fds(struct fds *fds)
{
	int i;

	for (i = 0; i < 2; i++) {
		close_fd(&fds->devices[i]);
		close_fd(&fds->groups[i]);
		close_fd(&fds->containers[i]);
	}
}

static void reap_all(struct shared *shared)
{
	const uint64_t deadline = meter_now_ns() + proc_limit_ms(20000) * 1000000;

	for (;;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);
		int i;

		if (pid < 0)
			return;
		if (pid)
			continue;
		if (meter_now_ns() > deadline) {
			for (i = 0; i < MAX_PIDS; i++)
				if (shared->pids[i] > 0)
					kill(shared->pids[i], SIGKILL);
			tap_expect(false, "a process of the round does not end");
			while (waitpid(-1, NULL, 0) > 0)
				;
			return;
		}
		usleep(500);
	}
}

/* With all fuzzers dead and the fds still ours: the device must reach nothing. */
static void fire_at_the_dead(const struct shared *shared, struct fds *fds, struct rng *rng)
{
	const uint64_t deadline = meter_now_ns() + proc_limit_ms(5000) * 1000000;
	const size_t bytes = 32 * MIB;
	struct meter_stats stats;
	bool late;
	struct edu edu;
	char *canary;
	size_t i;

	/* The owner's struct is freed a grace period later. */
	do {
		late = meter_now_ns() > deadline;
		tap_expect_ret(meter_stats_read(&stats), 0, "counters");
		if (stats.owners)
			meter_sleep_ms(1);
	} while (stats.owners && !late);
	tap_expect(!stats.owners && !stats.regions && !stats.mappings && !stats.pinned_pages &&
		   !stats.charged_pages, "with all owners dead: %s", meter_stats_text(&stats));
	if (!tap_expect_ret(edu_open(&edu, fds->devices[0]), 0, "edu engine"))
		return;
	canary = mem_alloc(bytes, MEM_SMALL);
	if (!tap_expect(canary, "memory"))
		return;
	mem_fill(canary, bytes, 11);
	for (i = 0; i < 3; i++) {
		uint64_t iova;

		/* What goes to the MSI range is an interrupt. */
		do
			iova = some_iova(shared, rng);
		while (iova >> 20 == 0xfee);
		tap_expect_ret(edu_dma_write(&edu, iova, 0, 64), 0, "DMA");
	}
	tap_expect(mem_matches(canary, bytes, 11), "the device wrote where nobody let it");
	mem_free(canary, bytes);
	edu_close(&edu);
}

/* Windows that are tables have type 7 alone. */
static int some_type(const struct shared *shared, struct rng *rng)
{
	static const int types[] = { TYPE7, TYPE7, VFIO_TYPE1v2_IOMMU, VFIO_TYPE1_IOMMU };

	return shared->tables ? TYPE7 : types[rng_below(rng, 4)];
}

static void run_round(struct shared *shared, int shared_fd, long nr)
{
	struct fuzzer f = { .shared = shared, .fds.shared = shared_fd };
	struct rng rng = rng_stream(seed, nr * 8);
	/* Keeping the fds here means that nothing ends before all others have. */
	const bool keep = rarely(&rng, 6);
	/* Open devices keep their groups from being detached. */
	const bool devices = keep || rarely(&rng, 6);
	unsigned int i;

	shared->n_pids = 0;
	for (i = 0; i < MAX_PIDS; i++)
		shared->pids[i] = 0;
	for (i = 0; i < 2; i++)
		shared->types[i] = some_type(shared, &rng);
	if (!open_fds(&f.fds, shared->types, devices))
		return;
	for (i = 0; i < PROCESSES; i++) {
		pid_t pid = fork();

		if (!pid) {
			add_pid(shared, getpid());
			f.rng = rng_stream(seed, nr * 8 + 1 + i);
			f.steps = 50 + rng_below(&f.rng, 400);
			f.arena = make_arena();
			if (f.arena)
				fuzz(&f);
			_exit(0);
		}
	}
	if (!keep)
		close_fds(&f.fds);
	if (rarely(&rng, 2)) {
		usleep(rng_below(&rng, 50000));
		f.rng = rng;
		kill_someone(&f);
	}
	reap_all(shared);
	if (keep) {
		fire_at_the_dead(shared, &f.fds, &rng);
		close_fds(&f.fds);
	}
	meter_assert_clean(true);
}

static bool ask_hw(struct shared *shared)
{
	struct vfio_iommu_spapr_tce_info info;
	struct rig rig;

	if (!rig_open(&rig, VFIO_EDU0) ||
	    !tap_expect_ret(spapr_get_info(rig.container, &info), 0, "GET_INFO"))
		return false;
	shared->window1 = rig_window1(rig.container);
	shared->tables = rig_has_tables(rig.container);
	shared->levels = info.ddw.levels;
	rig_close(&rig);
	return true;
}

/* Calls of which it is chance whether one succeeds, and none has. */
static unsigned int never_succeeded(const struct shared *shared)
{
	unsigned int calls = 0;
	int i;

	for (i = 0; i < N_CALLS; i++)
		if ((i < N_SPAPR_CALLS || i == CALL_BATCH || !shared->tables) && !shared->succeeded[i])
			calls |= 1u << i;
	return calls;
}

static void test_random(void)
{
	const uint64_t deadline = meter_now_ns() + proc_limit_ms(seconds * 1000) * 1000000;
	int fd = memfd_create("fuzz", 0);
	struct shared *shared;
	unsigned int missing;
	char text[1024];
	int len = 0, i;
	long nr;

	if (!tap_expect(fd >= 0 && !ftruncate(fd, sizeof(*shared)), "memfd"))
		return;
	shared = map_shared(fd);
	if (!tap_expect(shared, "memory") || !ask_hw(shared))
		return;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (!seed)
		seed = meter_now_ns() & 0x7fffffff;
	tap_diag("--seed %ld", seed);
	/* As many as were asked for, or more, until each call has succeeded once. */
	for (nr = 0; (nr < rounds || (nr < 10 * rounds && never_succeeded(shared))) && meter_now_ns() < deadline; nr++) {
		run_round(shared, fd, nr);
		if (tap_failures()) {
			tap_diag("--seed %ld: round %ld", seed, nr);
			break;
		}
	}
	tap_expect(nr >= rounds || tap_failures(), "only %ld of %ld rounds in %llu s", nr, rounds,
		   (unsigned long long)proc_limit_ms(seconds * 1000) / 1000);
	for (i = 0; i < N_CALLS; i++)
		len += snprintf(text + len, sizeof(text) - len, " %s %lu/%lu", call_name(i),
				shared->succeeded[i], shared->calls[i]);
	tap_diag("%ld rounds, succeeded/called:%s; forks %lu execs %lu kills %lu detaches %lu", nr, text,
		 shared->forks, shared->execs, shared->kills, shared->detaches);
	/* Where something else failed, too few rounds were run to tell. */
	missing = tap_failures() ? 0 : never_succeeded(shared);
	for (i = 0; i < N_CALLS; i++)
		tap_expect(!(missing & 1u << i), "no %s succeeded", call_name(i));
}

int main(int argc, char **argv)
{
	static const struct suite_test tests[] = {
		{ .name = "random", .run = test_random, .timeout_s = 3600 },
		{ .name = "fail-inject", .run = test_fail_inject, .timeout_s = 600 },
	};
	static const struct suite_option options[] = {
		{ .name = "--rounds", .number = &rounds, .help = "of random (200); more follow until each call has succeeded" },
		{ .name = "--seconds", .number = &seconds, .help = "at most, for random (60), times GUEST_SLOW" },
		{ .name = "--seed", .number = &seed, .help = "chooses as it did then" },
	};
	const struct suite suite = {
		.name = "fuzz",
		.tests = tests,
		.n_tests = SUITE_SIZE(tests),
		.options = options,
		.n_options = SUITE_SIZE(options),
	};

	if (argc == 11 && !strcmp(argv[1], EXEC_ARG))
		return fuzzer_main(argv + 2);
	return suite_main(argc, argv, &suite);
}
