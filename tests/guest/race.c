// SPDX-License-Identifier: GPL-2.0
/*
 * Everything at once against the owner's death. A round starts an owner with
 * threads that call without end, and other processes that hold its fds and
 * call, detach or close; then the owner is killed at a random moment. Answers
 * must be documented ones, and when a round's processes are gone nothing may
 * be left.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"
#include "meter.h"
#include "proc.h"
#include "rig.h"
#include "rng.h"
#include "suite.h"
#include "tap.h"
#include "type1.h"

static long rounds = 60;
static long seconds = 11;
static long seed;

/* What an actor picks from, besides the calls: more bits behind CALL_*. */
enum {
	DO_DETACH = N_CALLS,	/* detach the group, attach it again, SET_IOMMU */
	DO_DEVICE,		/* open and close the device */
	DO_JOIN,		/* the second group in and out of the container */
	DO_DONTNEED,
	DO_FORK,
	DO_CLOSE,		/* close all fds, and be done */
	N_DEEDS,
};

#define BIT(nr) (1u << (nr))
#define ALL_CALLS ((BIT(N_SPAPR_CALLS) - 1) | BIT(CALL_BATCH))
#define MAP_CALLS (BIT(CALL_DMA_MAP) | BIT(CALL_DMA_UNMAP))
#define ALL_TYPE1_CALLS (MAP_CALLS | BIT(CALL_DMA_INFO) | BIT(CALL_DMA_DIRTY) | BIT(CALL_KEEP) | BIT(CALL_PREREG_INFO))
#define MEMORY_CALLS (BIT(CALL_REGISTER) | BIT(CALL_UNREGISTER) | BIT(CALL_MAP) | BIT(CALL_UNMAP))

#define MAX_THREADS 4
#define MAX_OTHERS 3

/* How the owner ends. */
enum end {
	END_KILL,
	END_EXIT,
	END_EXECVE,
	END_NOT,	/* it lives until the round is over */
};

struct scenario {
	const char *name;
	unsigned int threads[MAX_THREADS];	/* deeds of the owner's threads, 0: none */
	unsigned int others[MAX_OTHERS];	/* deeds of processes with its fds, 0: none */
	enum end end;
	int types[2];		/* the containers', 0: type 7 */
	bool two_containers;	/* the second device, in a container of its own */
	bool devices;		/* device fds are open: slow to make, and they keep groups attached */
	bool second_group;	/* the second device's group is for DO_JOIN */
};

static const struct scenario scenarios[] = {
	{ .name = "kill-calls",
	  .threads = { ALL_CALLS, ALL_CALLS, MEMORY_CALLS | BIT(CALL_BATCH) },
	  .others = { ALL_CALLS, ALL_CALLS } },
	{ .name = "kill-two-containers", .two_containers = true,
	  .threads = { MEMORY_CALLS, MEMORY_CALLS, MEMORY_CALLS, ALL_CALLS },
	  .others = { MEMORY_CALLS } },
	{ .name = "kill-detach",
	  .threads = { ALL_CALLS, MEMORY_CALLS | BIT(CALL_BATCH) },
	  .others = { BIT(DO_DETACH), BIT(DO_DETACH) | BIT(DO_DEVICE), MEMORY_CALLS } },
	{ .name = "kill-close", .devices = true,
	  .threads = { ALL_CALLS, MEMORY_CALLS | BIT(DO_CLOSE) },
	  .others = { BIT(DO_CLOSE), ALL_CALLS | BIT(DO_CLOSE) } },
	{ .name = "kill-second-group",
	  .second_group = true,
	  .threads = { MEMORY_CALLS, ALL_CALLS },
	  .others = { BIT(DO_JOIN), BIT(DO_JOIN) | BIT(DO_DETACH) } },
	{ .name = "kill-idle-calls-of-others",
	  .threads = { BIT(CALL_INFO) },
	  .others = { MEMORY_CALLS, MEMORY_CALLS, ALL_CALLS } },
	{ .name = "exit-calls", .end = END_EXIT, .two_containers = true,
	  .threads = { ALL_CALLS, MEMORY_CALLS, BIT(DO_FORK) },
	  .others = { ALL_CALLS } },
	{ .name = "execve-calls", .end = END_EXECVE,
	  .threads = { ALL_CALLS, MEMORY_CALLS, BIT(DO_DONTNEED) },
	  .others = { ALL_CALLS, BIT(DO_DETACH) } },
	{ .name = "threads", .end = END_NOT, .two_containers = true,
	  .threads = { MEMORY_CALLS | BIT(CALL_BATCH), MEMORY_CALLS, ALL_CALLS, BIT(DO_DONTNEED) | BIT(DO_FORK) } },
	{ .name = "threads-detach", .end = END_NOT, .second_group = true,
	  .threads = { MEMORY_CALLS, ALL_CALLS, BIT(DO_DETACH), BIT(DO_JOIN) } },
	{ .name = "type1-kill", .types = { VFIO_TYPE1v2_IOMMU },
	  .threads = { ALL_TYPE1_CALLS, MAP_CALLS, MAP_CALLS | BIT(CALL_KEEP), BIT(DO_DONTNEED) },
	  .others = { ALL_TYPE1_CALLS, MAP_CALLS | BIT(DO_DONTNEED) } },
	{ .name = "type1-kill-two-containers", .types = { VFIO_TYPE1v2_IOMMU, VFIO_TYPE1_IOMMU }, .two_containers = true,
	  .threads = { ALL_TYPE1_CALLS, MAP_CALLS, MAP_CALLS | BIT(DO_DONTNEED), MAP_CALLS | BIT(DO_FORK) },
	  .others = { MAP_CALLS, BIT(DO_DETACH) } },
	{ .name = "type1-kill-registered", .types = { VFIO_TYPE1v2_IOMMU }, .two_containers = true,
	  .threads = { MAP_CALLS, ALL_TYPE1_CALLS, MEMORY_CALLS, MEMORY_CALLS | BIT(DO_DONTNEED) },
	  .others = { MAP_CALLS } },
	{ .name = "type1-execve", .types = { VFIO_TYPE1v2_IOMMU }, .end = END_EXECVE, .second_group = true,
	  .threads = { ALL_TYPE1_CALLS, MAP_CALLS | BIT(DO_DONTNEED) },
	  .others = { MAP_CALLS, BIT(DO_JOIN), MAP_CALLS | BIT(DO_CLOSE) } },
	{ .name = "type1-threads", .types = { VFIO_TYPE1v2_IOMMU }, .end = END_NOT, .two_containers = true,
	  .threads = { MAP_CALLS | BIT(CALL_KEEP), MAP_CALLS, ALL_CALLS, BIT(DO_DONTNEED) | BIT(DO_FORK) } },
};

/* Seen by all processes of a round. */
struct shared {
	atomic_uint ready;
	atomic_bool stop;	/* not for the owner's threads: they are to be killed */
	atomic_ulong done[N_DEEDS];
	atomic_ulong succeeded[N_DEEDS];
};

#define SLOTS 8
#define SLOT_BYTES (64 * PAGE)
#define ARENA_BYTES (SLOTS * SLOT_BYTES)

/* One actor: a thread of the owner, or a process. */
struct actor {
	struct round *round;
	struct rng rng;
	unsigned int deeds;
	bool owner;
};

struct round {
	const struct scenario *scenario;
	struct shared *shared;
	uint64_t seed;
	long nr;
	int containers[2];
	int groups[2];
	uint64_t window1;	/* where the second window starts */
	bool tables;		/* windows take memory in one piece, which may not be found */
	char *arena;
};

static int scenario_type(const struct scenario *s, int container)
{
	return s->types[container] ? s->types[container] : TYPE7;
}

static bool is_spapr(enum call_nr call)
{
	return call < N_SPAPR_CALLS || call == CALL_BATCH;
}

/* One of the round's containers that @call is for. */
static int container_for(struct round *round, struct rng *rng, enum call_nr call)
{
	const struct scenario *s = round->scenario;
	int i = s->two_containers && rng_below(rng, 2);

	if (s->two_containers && call != CALL_PREREG_INFO && (scenario_type(s, i) == TYPE7) != is_spapr(call))
		i = !i;
	return round->containers[i];
}

/* START, STOP or GET_BITMAP. */
static int dirty_at_random(struct rng *rng, int fd, uint64_t iova, size_t bytes)
{
	uint64_t bits[16];
	const struct type1_bitmap bitmap = { IOMMU_PAGE, bits, sizeof(bits) };
	const unsigned int flags = BIT(rng_below(rng, 3));

	return flags == VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP ? type1_dirty_bitmap(fd, iova, bytes, &bitmap) :
								 type1_dirty(fd, flags);
}

/* Pages one by one; or what others mapped, where none of it is cut. */
static int batch_at_random(struct rng *rng, int fd, uint64_t iova, const char *p)
{
	struct vfio_prereg_batch_entry entries[32];
	const bool map = rng_below(rng, 2);
	const uint32_t n = 1 + rng_below(rng, map ? 32 : 4);
	uint32_t i;

	for (i = 0; i < n; i++)
		entries[i] = (struct vfio_prereg_batch_entry){
			.iova = iova + i * PAGE,
			.vaddr = map ? (uintptr_t)p + i * PAGE : 0,
			.size = map || rng_below(rng, 2) ? PAGE : 64 * PAGE,
			.flags = map ? VFIO_MAP_RW : 0,
		};
	return vfio_batch(fd, map ? VFIO_PREREG_BATCH_MAP : VFIO_PREREG_BATCH_UNMAP, entries, n, NULL);
}

static int call_at_random(struct actor *actor, enum call_nr call)
{
	struct round *round = actor->round;
	struct rng *rng = &actor->rng;
	const int fd = container_for(round, rng, call);
	/* Few different ranges, so that actors meet. */
	const size_t bytes = PAGE << (rng_below(rng, 4) * 2);
	char *p = round->arena + rng_below(rng, SLOTS) * SLOT_BYTES;
	const uint64_t iova = (rng_below(rng, 4) ? 0x1000000 : round->window1) +
			      rng_below(rng, 64) * 16 * PAGE;
	struct vfio_iommu_spapr_tce_info info;
	struct vfio_prereg_info prereg_info;
	union type1_info type1_info;

	switch (call) {
	case CALL_REGISTER:
		return spapr_register(fd, p, bytes);
	case CALL_UNREGISTER:
		return spapr_unregister(fd, p, bytes);
	case CALL_MAP:
	case CALL_DMA_MAP:
		return vfio_map(fd, iova, p, bytes, VFIO_MAP_RW);
	case CALL_UNMAP:
	case CALL_DMA_UNMAP:
		return vfio_unmap(fd, iova, rng_below(rng, 8) ? bytes : 16 * MIB);
	case CALL_BATCH:
		return batch_at_random(rng, fd, iova, p);
	case CALL_CREATE:
		return spapr_create(fd, IOMMU_SHIFT, 1ull << 30, 1, NULL);
	case CALL_REMOVE:
		return spapr_remove(fd, rng_below(rng, 2) ? 0 : round->window1);
	case CALL_DMA_INFO:
		return type1_get_info(fd, &type1_info);
	case CALL_DMA_DIRTY:
		return dirty_at_random(rng, fd, iova, bytes);
	case CALL_KEEP:
		return type1_keep(fd, rng_below(rng, 4) * 64 * PAGE);
	case CALL_PREREG_INFO:
		return type1_prereg_info(fd, &prereg_info);
	default:
		return spapr_get_info(fd, &info);
	}
}

/* VFIO's own answers are its own; what matters is what is left at the end. */
static bool detach_attach(struct round *round)
{
	if (vfio_group_detach(round->groups[0]))
		return false;
	vfio_group_attach(round->groups[0], round->containers[0]);
	vfio_set_iommu(round->containers[0], scenario_type(round->scenario, 0));
	return true;
}

static bool join_leave(struct round *round)
{
	if (vfio_group_attach(round->groups[1], round->containers[0]))
		return false;
	return !vfio_group_detach(round->groups[1]);
}

static bool open_device(struct round *round)
{
	int fd = vfio_group_device(round->groups[0], VFIO_EDU0);

	return fd >= 0 && !close(fd);
}

static void close_all(struct round *round)
{
	int i;

	for (i = 0; i < 2; i++) {
		close(round->containers[i]);
		close(round->groups[i]);
	}
}

static bool fork_once(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return waitpid(pid, NULL, 0) == pid;
}

static bool do_deed(struct actor *actor, unsigned int deed)
{
	const bool takes_memory = deed == CALL_CREATE || deed == CALL_MAP || deed == CALL_BATCH;
	char *slot = actor->round->arena + rng_below(&actor->rng, SLOTS) * SLOT_BYTES;
	int ret;

	switch (deed) {
	case DO_DETACH:
		/* Others get something done in between. */
		usleep(rng_below(&actor->rng, 4000));
		return detach_attach(actor->round);
	case DO_DEVICE:
		return open_device(actor->round);
	case DO_JOIN:
		return join_leave(actor->round);
	case DO_DONTNEED:
		return !madvise(slot, SLOT_BYTES, MADV_DONTNEED);
	case DO_FORK:
		return fork_once();
	case DO_CLOSE:
		/* Now and then only, or nothing else would happen. */
		if (rng_below(&actor->rng, 64))
			return false;
		close_all(actor->round);
		return true;
	default:
		ret = call_at_random(actor, deed);
		/* EBADF: a thread closed the fds. */
		tap_expect(ret == -EBADF || call_may_answer(deed, ret, actor->round->tables && takes_memory), "%s answered %s",
			   call_name(deed), tap_ret_name(ret));
		return !ret;
	}
}

static void *act(void *arg)
{
	struct actor *actor = arg;
	struct shared *shared = actor->round->shared;

	atomic_fetch_add(&shared->ready, 1);
	while (actor->owner || !shared->stop) {
		unsigned int deed;

		do
			deed = rng_below(&actor->rng, N_DEEDS);
		while (!(actor->deeds & BIT(deed)));
		atomic_fetch_add(&shared->done[deed], 1);
		if (do_deed(actor, deed)) {
			atomic_fetch_add(&shared->succeeded[deed], 1);
			if (deed == DO_CLOSE)
				break;
		}
		if (actor->owner && actor->round->scenario->end == END_NOT && shared->stop)
			break;
	}
	return NULL;
}

static void start_others(struct round *round)
{
	struct actor actor = { .round = round };
	int i;

	for (i = 0; i < MAX_OTHERS && round->scenario->others[i]; i++) {
		if (fork())
			continue;
		actor.rng = rng_stream(round->seed, round->nr * 16 + 8 + i);
		actor.deeds = round->scenario->others[i];
		act(&actor);
		_exit(0);
	}
}

static bool open_all(struct round *round)
{
	const struct scenario *s = round->scenario;
	int ret, i;

	memset(round->containers, -1, sizeof(round->containers));
	memset(round->groups, -1, sizeof(round->groups));
	for (i = 0; i < 1 + (s->two_containers || s->second_group); i++) {
		round->groups[i] = vfio_group_open(i ? VFIO_EDU1 : VFIO_EDU0);
		if (!tap_expect(round->groups[i] >= 0, "open group %d: %s", i,
				tap_ret_name(round->groups[i])))
			return false;
		if (i && s->second_group)
			break;
		round->containers[i] = vfio_container_open();
		ret = vfio_group_attach(round->groups[i], round->containers[i]);
		if (!ret)
			ret = vfio_set_iommu(round->containers[i], scenario_type(s, i));
		if (!tap_expect_ret(ret, 0, "attach group %d", i))
			return false;
		round->tables = scenario_type(s, 0) == TYPE7 && rig_has_tables(round->containers[0]);
		round->window1 = round->tables ? rig_window1(round->containers[0]) : VFIO_WINDOW1_START;
		if (s->devices)
			vfio_group_device(round->groups[i], i ? VFIO_EDU1 : VFIO_EDU0);
	}
	return true;
}

static int run_owner(int sock, void *arg)
{
	struct round *round = arg;
	const struct scenario *s = round->scenario;
	struct actor actors[MAX_THREADS];
	pthread_t threads[MAX_THREADS];
	int n, i, msg;

	/* REGISTER brings its pages in; until then there is nothing for fork() to copy. */
	round->arena = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	if (!tap_expect(round->arena != MAP_FAILED, "memory") || !open_all(round))
		return 1;
	start_others(round);
	for (n = 0; n < MAX_THREADS && s->threads[n]; n++) {
		actors[n] = (struct actor){
			.round = round, .deeds = s->threads[n], .owner = true,
			.rng = rng_stream(round->seed, round->nr * 16 + n),
		};
		if (pthread_create(&threads[n], NULL, act, &actors[n]))
			return 1;
	}
	sock_recv(sock, &msg);
	if (s->end == END_EXECVE) {
		/* The new program inherits container and group and ends at once. */
		execl("/proc/self/exe", "race", "--exit", NULL);
		return 1;
	}
	if (s->end == END_NOT)
		for (i = 0; i < n; i++)
			pthread_join(threads[i], NULL);
	return 0;
}

static unsigned int count(const unsigned int *deeds, unsigned int max)
{
	unsigned int n = 0;

	while (n < max && deeds[n])
		n++;
	return n;
}

/* Waits for what the owner left behind; we are its subreaper. */
static bool reap_all(void)
{
	const uint64_t deadline = meter_now_ns() + proc_limit_ms(10000) * 1000000;

	for (;;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid < 0)
			return true;
		if (!pid && meter_now_ns() > deadline)
			return tap_expect(false, "a process of the round does not end");
		if (!pid)
			meter_sleep_ms(1);
	}
}

static void run_round(struct round *round)
{
	const struct scenario *s = round->scenario;
	const unsigned int actors = count(s->threads, MAX_THREADS) + count(s->others, MAX_OTHERS);
	struct rng rng = rng_stream(round->seed, round->nr * 16 + 15);
	const uint64_t deadline = meter_now_ns() + proc_limit_ms(5000) * 1000000;
	struct proc owner;
	uint64_t killed;
	int ret;

	round->shared->ready = 0;
	round->shared->stop = false;
	if (!tap_expect_ret(proc_start(&owner, run_owner, round), 0, "start the owner"))
		return;
	while (round->shared->ready < actors && meter_now_ns() < deadline)
		usleep(200);
	tap_expect_eq(round->shared->ready, actors, "actors at work");
	usleep(rng_below(&rng, 20000));
	killed = meter_now_ns();
	if (s->end == END_KILL)
		kill(owner.pid, SIGKILL);
	else if (s->end == END_NOT)
		round->shared->stop = true;
	sock_send(owner.sock, 1);
	ret = pid_wait(owner.pid, 10000);
	tap_expect_eq(ret, s->end == END_KILL ? 128 + SIGKILL : 0, "the owner's end");
	tap_expect(meter_now_ns() - killed < proc_limit_ms(5000) * 1000000,
		   "the owner took longer than 5 s to end");
	usleep(rng_below(&rng, 4000));
	round->shared->stop = true;
	owner.pid = -1;
	proc_kill(&owner);
	reap_all();
	meter_assert_clean(true);
}

/*
 * A race that is never run is no test: calls of the scenario that have not
 * succeeded once. Where something detaches, whether what follows a REGISTER
 * finds a container with a group in it is chance.
 */
static unsigned int never_succeeded(const struct shared *shared)
{
	const unsigned int sure = shared->done[DO_DETACH] ? BIT(CALL_REGISTER) : MEMORY_CALLS | MAP_CALLS;
	unsigned int calls = 0;
	int i;

	for (i = 0; i < N_CALLS; i++)
		if (sure & BIT(i) && shared->done[i] && !shared->succeeded[i])
			calls |= BIT(i);
	return calls;
}

static void run_scenario(const struct scenario *scenario)
{
	const uint64_t start = meter_now_ns();
	const uint64_t deadline = start + seconds * 1000000000ull;
	const uint64_t patience = start + proc_limit_ms(30000) * 1000000;
	struct round round = {
		.scenario = scenario,
		.seed = seed ? seed : (long)(start & 0x7fffffff),
	};
	unsigned int missing;
	char text[1024];
	int len = 0, i;

	if (scenario->types[0] && type1_unfit()) {
		tap_skip("%s", type1_unfit());
		return;
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	round.shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	tap_diag("--seed %llu", (unsigned long long)round.seed);
	/* What succeeds within so many rounds is chance: more of them follow until each call has. */
	while ((round.nr < rounds && meter_now_ns() < deadline) ||
	       (never_succeeded(round.shared) && meter_now_ns() < patience)) {
		run_round(&round);
		if (tap_failures()) {
			tap_diag("round %ld", round.nr);
			break;
		}
		round.nr++;
	}
	for (i = 0; i < N_DEEDS; i++)
		if (round.shared->done[i])
			len += snprintf(text + len, sizeof(text) - len, " %s %lu/%lu",
					i < N_CALLS ? call_name(i) :
					(const char *[]){ "detach", "device", "join", "dontneed",
							  "fork", "close" }[i - N_CALLS],
					round.shared->succeeded[i], round.shared->done[i]);
	tap_diag("%ld rounds, succeeded/done:%s", round.nr, text);
	/* Where something else failed, too few rounds were run to tell. */
	missing = tap_failures() ? 0 : never_succeeded(round.shared);
	for (i = 0; i < N_CALLS; i++)
		tap_expect(!(missing & BIT(i)), "no %s succeeded", call_name(i));
}

#define SCENARIO(nr, id) static void test_##id(void) { run_scenario(&scenarios[nr]); }
SCENARIO(0, kill_calls)
SCENARIO(1, kill_two_containers)
SCENARIO(2, kill_detach)
SCENARIO(3, kill_close)
SCENARIO(4, kill_second_group)
SCENARIO(5, kill_idle)
SCENARIO(6, exit_calls)
SCENARIO(7, execve_calls)
SCENARIO(8, threads)
SCENARIO(9, threads_detach)
SCENARIO(10, type1_kill)
SCENARIO(11, type1_kill_two)
SCENARIO(12, type1_kill_registered)
SCENARIO(13, type1_execve)
SCENARIO(14, type1_threads)

#define TEST(nr, id) { .name = scenarios[nr].name, .run = test_##id, .timeout_s = 600 }

int main(int argc, char **argv)
{
	const struct suite_test tests[] = {
		TEST(0, kill_calls), TEST(1, kill_two_containers), TEST(2, kill_detach),
		TEST(3, kill_close), TEST(4, kill_second_group), TEST(5, kill_idle),
		TEST(6, exit_calls), TEST(7, execve_calls), TEST(8, threads),
		TEST(9, threads_detach), TEST(10, type1_kill), TEST(11, type1_kill_two),
		TEST(12, type1_kill_registered), TEST(13, type1_execve), TEST(14, type1_threads),
	};
	static const struct suite_option options[] = {
		{ .name = "--rounds", .number = &rounds, .help = "of each test (60); more follow until each call has succeeded" },
		{ .name = "--seconds", .number = &seconds, .help = "at most, for the rounds asked for of each test (11)" },
		{ .name = "--seed", .number = &seed, .help = "chooses as it did then" },
	};
	const struct suite suite = {
		.name = "race",
		.tests = tests,
		.n_tests = SUITE_SIZE(tests),
		.options = options,
		.n_options = SUITE_SIZE(options),
	};

	if (argc == 2 && !strcmp(argv[1], "--exit"))
		return 0;
	return suite_main(argc, argv, &suite);
}
