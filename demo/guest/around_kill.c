// SPDX-License-Identifier: GPL-2.0
/*
 * around_kill TYPE MB
 *
 * An owner takes MB MiB for DMA through container type TYPE (1 or 7) and is
 * killed while a child of it still holds the container's fd; a while later the
 * child goes too. Prints the machine's pinned memory all the time, a JSON object
 * a line: {"ms": since the kill, "pinned_mb": …}, and one with the "child_ms" at
 * which the child was told to go.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meter.h"
#include "pinwatch.h"
#include "proc.h"
#include "vfio.h"

#define IOVA		0x10000000ull
#define BEFORE_MS	300
#define CHILD_MS	1200
#define AFTER_MS	2000
#define SAMPLES_MAX	20000

struct owner {
	int type;
	size_t bytes;
	int child_sock;		/* the owner's child waits on it */
};

struct sample {
	uint64_t ns;
	long long pins;
};

static int die(const char *what, int err)
{
	printf("around_kill: %s: %s\n", what, strerror(err));
	return 1;
}

/* The owner's child: holds the fds it inherited until it is told to go. */
static int hold(int sock, void *arg)
{
	const struct owner *owner = arg;
	int msg;

	(void)sock;
	sock_recv(owner->child_sock, &msg);
	return 0;
}

static int own(int sock, void *arg)
{
	struct owner *owner = arg;
	struct proc child;
	struct vfio_dev dev;
	void *memory;
	int msg, ret;

	ret = vfio_dev_open(&dev, VFIO_EDU0, owner->type);
	if (ret)
		return die("open the device", -ret);
	ret = proc_start(&child, hold, owner);
	if (ret)
		return die("start a child", -ret);
	memory = mem_alloc(owner->bytes, MEM_SMALL);
	if (!memory)
		return die("allocate the memory", errno);
	ret = vfio_hold(dev.container, owner->type, memory, owner->bytes, IOVA);
	if (ret)
		return die("take the memory for DMA", -ret);
	sock_send(sock, 1);
	sock_recv(sock, &msg);	/* killed here */
	return 1;
}

int main(int argc, char **argv)
{
	static struct sample samples[SAMPLES_MAX];
	struct owner owner = { 0 };
	struct pinwatch watch;
	struct proc proc;
	uint64_t start, killed = 0, told = 0, now;
	long long before;
	int pair[2], ret;
	size_t n = 0, i;
	const long page = sysconf(_SC_PAGESIZE);

	if (argc != 3)
		return die("usage: around_kill TYPE MB", EINVAL);
	owner.type = atoi(argv[1]);
	owner.bytes = (size_t)atol(argv[2]) << 20;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair))
		return die("socketpair", errno);
	owner.child_sock = pair[1];
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	before = meter_pins();
	ret = pinwatch_open(&watch);
	if (ret)
		return die("/proc/vmstat", -ret);
	ret = proc_start(&proc, own, &owner);
	if (!ret)
		ret = sock_expect(proc.sock, 1);
	if (ret)
		return die("start the owner", -ret);
	meter_pins();	/* folds the counters, so that the curve begins right */

	start = meter_now_ns();
	do {
		now = meter_now_ns();
		if (!killed && now - start > BEFORE_MS * 1000000ull) {
			killed = now;
			kill(proc.pid, SIGKILL);
		}
		if (killed && !told && now - killed > CHILD_MS * 1000000ull) {
			told = now;
			sock_send(pair[0], 1);
		}
		if (n < SAMPLES_MAX) {
			samples[n].ns = now;
			samples[n++].pins = pinwatch_pins(&watch) - before;
		}
		meter_sleep_ms(2);
	} while (!killed || now - killed < AFTER_MS * 1000000ull);

	while (waitpid(-1, NULL, 0) > 0)
		;
	pinwatch_close(&watch);
	printf("{\"child_ms\": %.1f}\n", (double)(told - killed) / 1e6);
	for (i = 0; i < n; i++)
		printf("{\"ms\": %.1f, \"pinned_mb\": %.1f}\n",
		       ((double)samples[i].ns - (double)killed) / 1e6,
		       (double)samples[i].pins * (double)page / (1 << 20));
	return 0;
}
