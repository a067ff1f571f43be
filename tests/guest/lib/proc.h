/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Processes that work step by step with their parent, fds handed around, and
 * memory of a chosen kind.
 */
#ifndef GUEST_PROC_H
#define GUEST_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A child and the socket that both sides use to wait for each other. */
struct proc {
	pid_t pid;
	int sock;
};

/*
 * Forks a child that runs @fn(socket to the parent, @arg) and exits with its
 * result. 0 or -errno. The child may outlive its parent.
 */
int proc_start(struct proc *proc, int (*fn)(int sock, void *arg), void *arg);
/*
 * A time limit of @ms as it holds in this guest: GUEST_SLOW in the environment says how many
 * times slower than usual it is. The functions below have their limits pass through here.
 */
uint64_t proc_limit_ms(unsigned int ms);
/* Kills with SIGKILL and waits; harmless for a child that is gone. */
void proc_kill(struct proc *proc);
/* Waits up to @timeout_ms; its exit status, 128 + signal, or -ETIMEDOUT. */
int proc_wait(struct proc *proc, unsigned int timeout_ms);
/* The same for a bare pid. */
int pid_wait(pid_t pid, unsigned int timeout_ms);
/* true while the process exists and is no zombie. */
bool pid_alive(pid_t pid);

/* Makes RLIMIT_MEMLOCK @bytes, and lets it count for this process; false with errno set. */
bool proc_limit_memlock(size_t bytes);

/* One number to the other side, -errno on failure; safe from threads. */
int sock_send(int sock, int value);
/* The next number; -ETIMEDOUT (90 s) or -EPIPE when the other side is gone. */
int sock_recv(int sock, int *value);
/* Waits for a certain number: 0, or -EPROTO when another one came. */
int sock_expect(int sock, int value);
/* @n fds (at most 16) with SCM_RIGHTS. */
int sock_send_fds(int sock, const int *fds, unsigned int n);
int sock_recv_fds(int sock, int *fds, unsigned int n);

enum mem_kind {
	MEM_SMALL,	/* anonymous, the CPU's pages, never huge */
	MEM_THP,	/* anonymous, aligned to huge pages, huge where the kernel can */
	MEM_SHARED,	/* shared anonymous (tmpfs) */
	MEM_HUGETLB,	/* 2 MiB hugetlb pages; the caller reserves them (mem_hugetlb_reserve) */
};

/* @bytes, all pages present; NULL with errno set on failure. */
void *mem_alloc(size_t bytes, enum mem_kind kind);
void mem_free(void *p, size_t bytes);
/*
 * Anonymous pages of the CPU's size, touched in a random order so that neighbours in the
 * address space are not neighbours in memory.
 */
void *mem_alloc_scattered(size_t bytes);
/* Is the page at @p followed in physical memory by the one behind it? */
bool mem_contiguous(const void *p);
/* Bytes of a huge page (THP). */
size_t mem_thp_bytes(void);
/* KiB of the mapping at @p that are huge (AnonHugePages of /proc/self/smaps). */
long long mem_huge_kib(const void *p);
/* Wants @pages of 2 MiB in the pool; false when the kernel cannot. */
bool mem_hugetlb_reserve(unsigned int pages);
/* Fills with, or compares against, a pattern that depends on offset and @seed. */
void mem_fill(void *p, size_t bytes, uint32_t seed);
bool mem_matches(const void *p, size_t bytes, uint32_t seed);

#endif
