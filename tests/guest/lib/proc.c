// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meter.h"
#include "proc.h"
#include "rng.h"

#define SOCK_TIMEOUT_MS 90000
#define SOCK_MAX_FDS 16

int proc_start(struct proc *proc, int (*fn)(int sock, void *arg), void *arg)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv))
		return -errno;
	proc->pid = fork();
	if (proc->pid < 0) {
		int err = errno;

		close(sv[0]);
		close(sv[1]);
		return -err;
	}
	if (!proc->pid) {
		close(sv[0]);
		_exit(fn(sv[1], arg));
	}
	close(sv[1]);
	proc->sock = sv[0];
	return 0;
}

uint64_t proc_limit_ms(unsigned int ms)
{
	const char *slow = getenv("GUEST_SLOW");
	const int factor = slow ? atoi(slow) : 1;

	return (uint64_t)ms * (factor > 1 ? factor : 1);
}

int pid_wait(pid_t pid, unsigned int timeout_ms)
{
	const uint64_t deadline = meter_now_ns() + proc_limit_ms(timeout_ms) * 1000000;
	int status;

	for (;;) {
		pid_t got = waitpid(pid, &status, WNOHANG);

		if (got == pid)
			break;
		if (got < 0)
			return -errno;
		if (meter_now_ns() > deadline)
			return -ETIMEDOUT;
		meter_sleep_ms(1);
	}
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int proc_wait(struct proc *proc, unsigned int timeout_ms)
{
	int ret = pid_wait(proc->pid, timeout_ms);

	if (ret == -ETIMEDOUT)
		return ret;
	proc->pid = -1;
	if (proc->sock >= 0)
		close(proc->sock);
	proc->sock = -1;
	return ret;
}

void proc_kill(struct proc *proc)
{
	if (proc->pid > 0) {
		kill(proc->pid, SIGKILL);
		waitpid(proc->pid, NULL, 0);
	}
	proc->pid = -1;
	if (proc->sock >= 0)
		close(proc->sock);
	proc->sock = -1;
}

bool pid_alive(pid_t pid)
{
	char path[64], buf[512], *p;
	FILE *f;
	bool alive;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	p = fgets(buf, sizeof(buf), f);
	fclose(f);
	p = p ? strrchr(buf, ')') : NULL;
	alive = p && p[1] == ' ' && p[2] != 'Z' && p[2] != 'X';
	return alive;
}

bool proc_limit_memlock(size_t bytes)
{
	const struct rlimit limit = { bytes, bytes };
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		return false;
	data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective &= ~CAP_TO_MASK(CAP_IPC_LOCK);
	data[CAP_TO_INDEX(CAP_IPC_LOCK)].permitted &= ~CAP_TO_MASK(CAP_IPC_LOCK);
	return !syscall(SYS_capset, &head, data) && !setrlimit(RLIMIT_MEMLOCK, &limit);
}

int sock_send(int sock, int value)
{
	ssize_t n;

	do
		n = send(sock, &value, sizeof(value), MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n == sizeof(value) ? 0 : -errno;
}

static int sock_wait(int sock)
{
	struct pollfd pfd = { .fd = sock, .events = POLLIN };
	int ret;

	do
		ret = poll(&pfd, 1, proc_limit_ms(SOCK_TIMEOUT_MS));
	while (ret < 0 && errno == EINTR);
	if (ret < 0)
		return -errno;
	return ret ? 0 : -ETIMEDOUT;
}

int sock_recv(int sock, int *value)
{
	int ret = sock_wait(sock);
	ssize_t n;

	if (ret)
		return ret;
	n = recv(sock, value, sizeof(*value), 0);
	if (n < 0)
		return -errno;
	return n == sizeof(*value) ? 0 : -EPIPE;
}

int sock_expect(int sock, int value)
{
	int got, ret = sock_recv(sock, &got);

	if (ret)
		return ret;
	return got == value ? 0 : -EPROTO;
}

int sock_send_fds(int sock, const int *fds, unsigned int n)
{
	union {
		char buf[CMSG_SPACE(SOCK_MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} ctl = { 0 };
	char byte = 'f';
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = ctl.buf,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};
	struct cmsghdr *cmsg;

	if (!n || n > SOCK_MAX_FDS)
		return -EINVAL;
	cmsg = CMSG_FIRSTHDR(&msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, n * sizeof(int));
	return sendmsg(sock, &msg, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

int sock_recv_fds(int sock, int *fds, unsigned int n)
{
	union {
		char buf[CMSG_SPACE(SOCK_MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} ctl = { 0 };
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = ctl.buf,
		.msg_controllen = sizeof(ctl.buf),
	};
	struct cmsghdr *cmsg;
	int ret = sock_wait(sock);

	if (ret)
		return ret;
	if (recvmsg(sock, &msg, 0) != 1)
		return -EPIPE;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (!cmsg || cmsg->cmsg_type != SCM_RIGHTS || cmsg->cmsg_len != CMSG_LEN(n * sizeof(int)))
		return -EPROTO;
	memcpy(fds, CMSG_DATA(cmsg), n * sizeof(int));
	return 0;
}

size_t mem_thp_bytes(void)
{
	long long bytes;

	/* A kernel without THP: an alignment that is good for all else. */
	if (meter_file_read("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", &bytes))
		return 2ul << 20;
	return bytes;
}

/* Anonymous address space aligned to a huge page. */
static void *mmap_aligned(size_t bytes)
{
	const size_t huge = mem_thp_bytes();
	uintptr_t raw, p;

	raw = (uintptr_t)mmap(NULL, bytes + huge, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if ((void *)raw == MAP_FAILED)
		return MAP_FAILED;
	p = (raw + huge - 1) & ~(huge - 1);
	if (p > raw)
		munmap((void *)raw, p - raw);
	munmap((void *)(p + bytes), raw + huge - p);
	return (void *)p;
}

void *mem_alloc(size_t bytes, enum mem_kind kind)
{
	void *p;

	switch (kind) {
	case MEM_SMALL:
	case MEM_THP:
		p = mmap_aligned(bytes);
		break;
	case MEM_SHARED:
		p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		break;
	case MEM_HUGETLB:
		p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
		break;
	default:
		errno = EINVAL;
		return NULL;
	}
	if (p == MAP_FAILED)
		return NULL;
	/* A kernel without THP refuses the advice; its pages are small anyway. */
	if (kind == MEM_SMALL || kind == MEM_THP)
		madvise(p, bytes, kind == MEM_THP ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	if (madvise(p, bytes, MADV_POPULATE_WRITE)) {
		int err = errno;

		munmap(p, bytes);
		errno = err;
		return NULL;
	}
	return p;
}

void *mem_alloc_scattered(size_t bytes)
{
	const size_t page = sysconf(_SC_PAGESIZE), pages = bytes / page;
	struct rng rng = { 1 };
	uint32_t *order;
	size_t i;
	char *p;

	p = mmap_aligned(bytes);
	order = malloc(pages * sizeof(*order));
	if (p == MAP_FAILED || !order) {
		free(order);
		return NULL;
	}
	madvise(p, bytes, MADV_NOHUGEPAGE);
	for (i = 0; i < pages; i++) {
		const size_t k = rng_below(&rng, i + 1);

		order[i] = order[k];
		order[k] = i;
	}
	for (i = 0; i < pages; i++)
		p[order[i] * page] = 1;
	free(order);
	return p;
}

bool mem_contiguous(const void *p)
{
	const uint64_t pfn_mask = (1ull << 55) - 1;
	uint64_t entry[2] = { 0, 0 };
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = pread(fd, entry, sizeof(entry), (uintptr_t)p / sysconf(_SC_PAGESIZE) * sizeof(entry[0]));
	close(fd);
	return n == sizeof(entry) && (entry[0] & pfn_mask) + 1 == (entry[1] & pfn_mask);
}

void mem_free(void *p, size_t bytes)
{
	if (p)
		munmap(p, bytes);
}

long long mem_huge_kib(const void *p)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[512];
	bool inside = false;
	long long kib = -1;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		uintptr_t first, end;

		if (sscanf(line, "%lx-%lx ", &first, &end) == 2)
			inside = first <= (uintptr_t)p && (uintptr_t)p < end;
		else if (inside && sscanf(line, "AnonHugePages: %lld", &kib) == 1)
			break;
	}
	fclose(f);
	return kib;
}

bool mem_hugetlb_reserve(unsigned int pages)
{
	char text[16];
	long long got;

	snprintf(text, sizeof(text), "%u", pages);
	return !meter_file_write("/proc/sys/vm/nr_hugepages", text) &&
	       !meter_file_read("/proc/sys/vm/nr_hugepages", &got) && got >= pages;
}

static uint32_t pattern(size_t word, uint32_t seed)
{
	uint32_t x = (uint32_t)word * 2654435761u ^ seed * 40503u;

	return x ^ x >> 15;
}

void mem_fill(void *p, size_t bytes, uint32_t seed)
{
	uint32_t *w = p;
	size_t i;

	for (i = 0; i < bytes / 4; i++)
		w[i] = pattern(i, seed);
}

bool mem_matches(const void *p, size_t bytes, uint32_t seed)
{
	const uint32_t *w = p;
	size_t i;

	for (i = 0; i < bytes / 4; i++)
		if (w[i] != pattern(i, seed))
			return false;
	return true;
}
