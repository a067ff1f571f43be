// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "meter.h"
#include "proc.h"
#include "tap.h"

static long long baseline_pins;
/* Shared with the tests' processes. */
static long long *lost_pages;

uint64_t meter_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

void meter_sleep_ms(unsigned int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000l };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

/* The whole of a small file, zero-terminated; bytes read or -errno. */
static ssize_t read_file(const char *path, char *buf, size_t bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, buf + len, bytes - 1 - len)) > 0)
		len += n;
	if (n < 0)
		n = -errno;
	close(fd);
	buf[len] = 0;
	return n < 0 ? n : (ssize_t)len;
}

int meter_file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	if (n < 0)
		n = -errno;
	close(fd);
	return n < 0 ? n : 0;
}

int meter_file_read(const char *path, long long *value)
{
	char buf[64];
	ssize_t n = read_file(path, buf, sizeof(buf));

	if (n < 0)
		return n;
	if (sscanf(buf, "%lld", value) != 1)
		return -EINVAL;
	return 0;
}

/* The number behind "@name" and white space at the start of a line of @text; -1 if absent. */
static long long text_number(const char *text, const char *name)
{
	size_t len = strlen(name);
	const char *p;

	for (p = text; p; p = strchr(p, '\n')) {
		if (*p == '\n')
			p++;
		if (!strncmp(p, name, len) && strchr(" \t:", p[len]))
			return strtoll(p + len + (p[len] == ':'), NULL, 10);
	}
	return -1;
}

static void fold_counters(void)
{
	/* A kernel without the file keeps no per-CPU counters (no SMP). */
	meter_file_write("/proc/sys/vm/stat_refresh", "1");
}

long long meter_pins(void)
{
	static char buf[32768];

	fold_counters();
	if (read_file("/proc/vmstat", buf, sizeof(buf)) < 0)
		return -1;
	return text_number(buf, "nr_foll_pin_acquired") -
	       text_number(buf, "nr_foll_pin_released");
}

long long meter_meminfo_kib(const char *name)
{
	char buf[8192];

	return read_file("/proc/meminfo", buf, sizeof(buf)) < 0 ? -1 : text_number(buf, name);
}

/*
 * Not MemFree: what a CPU moves from its list to the free ones is in neither count until it
 * folds its counters, and folding makes it move more. The free lists tell their lengths.
 */
static long long free_list_pages(void)
{
	static char buf[16384];
	long long pages = 0;
	char *line, *p;

	if (read_file("/proc/buddyinfo", buf, sizeof(buf)) < 0)
		return -1;
	/* "Node 0, zone   Normal     12      3 …": blocks of one page, of two, of four … */
	for (line = buf; (line = strstr(line, "zone ")); ) {
		unsigned int order = 0;

		p = line + strlen("zone ");
		p += strspn(p, " ");
		p += strcspn(p, " ");
		for (line = p; ; order++, p = line) {
			const long long blocks = strtoll(p, &line, 10);

			if (line == p || memchr(p, '\n', line - p))
				break;
			pages += blocks << order;
		}
		line = p;
	}
	return pages;
}

long long meter_free_kib(void)
{
	static char buf[65536];
	long long pages = free_list_pages();
	const char *p;

	if (pages < 0 || read_file("/proc/zoneinfo", buf, sizeof(buf)) < 0)
		return -1;
	for (p = strstr(buf, "count:"); p; p = strstr(p + 1, "count:"))
		pages += strtoll(p + 6, NULL, 10);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/*
 * Every CPU holds references to the last pages it put on the LRU lists, up to 31 for each of
 * several lists: 2 MiB and more where a page has 64 KiB. This makes all of them let go.
 */
static void drain_lru_batches(void)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	const int cpus = sysconf(_SC_NPROCESSORS_CONF);
	cpu_set_t before, one;
	void *p;
	int cpu;

	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || sched_getaffinity(0, sizeof(before), &before))
		return;
	for (cpu = 0; cpu < cpus; cpu++) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		/* The advice is taken for what it does on the way. */
		if (!sched_setaffinity(0, sizeof(one), &one))
			madvise(p, page, MADV_COLD);
	}
	sched_setaffinity(0, sizeof(before), &before);
	munmap(p, page);
}

long long meter_free_settled_kib(void)
{
	const uint64_t deadline = meter_now_ns() + proc_limit_ms(4000) * 1000000;
	long long before, now = meter_free_kib();
	unsigned int at_rest = 0;

	do {
		before = now;
		drain_lru_batches();
		/* POWER frees page tables, 1/512 of an mm's memory, after an RCU grace period. */
		syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
		meter_sleep_ms(30);
		now = meter_free_kib();
		at_rest = llabs(now - before) > 16 ? 0 : at_rest + 1;
	} while (at_rest < 2 && meter_now_ns() < deadline);
	return now;
}

static long long status_number(pid_t pid, const char *name)
{
	char path[64], buf[4096];

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/status", pid);
	else
		snprintf(path, sizeof(path), "/proc/self/status");
	return read_file(path, buf, sizeof(buf)) < 0 ? -1 : text_number(buf, name);
}

long long meter_vmlck_kib(pid_t pid)
{
	return status_number(pid, "VmLck");
}

long long meter_vmpin_kib(pid_t pid)
{
	return status_number(pid, "VmPin");
}

#define STATS "/sys/kernel/debug/" PREREG_MODULE "/stats"

long long meter_stat(const char *name)
{
	char buf[4096];

	return read_file(STATS, buf, sizeof(buf)) < 0 ? -1 : text_number(buf, name);
}

int meter_stats_read(struct meter_stats *stats)
{
	char buf[4096];
	ssize_t n = read_file(STATS, buf, sizeof(buf));

	if (n < 0)
		return n;
	stats->containers = text_number(buf, "containers");
	stats->owners = text_number(buf, "owners");
	stats->regions = text_number(buf, "regions");
	stats->pinned_pages = text_number(buf, "pinned_pages");
	stats->charged_pages = text_number(buf, "charged_pages");
	stats->mappings = text_number(buf, "mappings");
	stats->mapped_bytes = text_number(buf, "mapped_bytes");
	stats->bookkeeping_bytes = text_number(buf, "bookkeeping_bytes");
	stats->kept_pages = text_number(buf, "kept_pages");
	return 0;
}

const char *meter_stats_text(const struct meter_stats *s)
{
	static _Thread_local char text[256];

	snprintf(text, sizeof(text),
		 "containers %lld owners %lld regions %lld pinned %lld charged %lld mappings %lld mapped_bytes %lld bookkeeping_bytes %lld kept %lld",
		 s->containers, s->owners, s->regions, s->pinned_pages, s->charged_pages,
		 s->mappings, s->mapped_bytes, s->bookkeeping_bytes, s->kept_pages);
	return text;
}

int meter_module_refs(const char *module)
{
	char path[128];
	long long refs;
	int ret;

	snprintf(path, sizeof(path), "/sys/module/%s/refcnt", module);
	ret = meter_file_read(path, &refs);
	return ret ? ret : (int)refs;
}

void meter_baseline(void)
{
	baseline_pins = meter_pins();
	if (lost_pages)
		return;
	lost_pages = mmap(NULL, sizeof(*lost_pages), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (lost_pages == MAP_FAILED)
		abort();
}

void meter_lose(long long pages)
{
	*lost_pages += pages;
}

long long meter_baseline_pins(void)
{
	return baseline_pins;
}

bool meter_assert_clean(bool own)
{
	static const struct meter_stats zero;
	const uint64_t deadline = meter_now_ns() + proc_limit_ms(5000) * 1000000;
	struct meter_stats stats = zero;
	int refs = 0, ret = 0;
	long long pins;
	bool ok = true;

	for (;;) {
		const bool late = meter_now_ns() > deadline;

		pins = meter_pins();
		if (own) {
			ret = meter_stats_read(&stats);
			stats.pinned_pages -= *lost_pages;
			refs = meter_module_refs(PREREG_MODULE);
		}
		if (ret || (pins == baseline_pins && !refs && !memcmp(&stats, &zero, sizeof(zero))))
			break;
		if (late)
			break;
		meter_sleep_ms(5);
	}
	ok &= tap_expect_ret(ret, 0, "the module's counters can be read");
	ok &= tap_expect_eq(pins, baseline_pins, "pinned pages at the end");
	ok &= tap_expect_eq(refs, 0, "references to the module at the end");
	ok &= tap_expect(!memcmp(&stats, &zero, sizeof(zero)), "counters are not zero at the end: %s",
			 meter_stats_text(&stats));
	return ok;
}

int meter_klog_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (lseek(fd, 0, SEEK_END) < 0) {
		close(fd);
		return -EIO;
	}
	return fd;
}

bool meter_klog_next(int klog, uint64_t deadline_ns, char *line, size_t bytes)
{
	char record[2048];

	for (;;) {
		const bool late = meter_now_ns() > deadline_ns;
		ssize_t n = read(klog, record, sizeof(record) - 1);

		if (n > 0) {
			const char *text;

			record[n] = 0;
			text = strchr(record, ';');
			text = text ? text + 1 : record;
			snprintf(line, bytes, "%.*s", (int)strcspn(text, "\n"), text);
			return true;
		}
		/* EPIPE: records were overwritten before they were read; go on with the next. */
		if (n < 0 && errno != EAGAIN && errno != EPIPE && errno != EINTR)
			return false;
		if (n < 0 && errno == EAGAIN) {
			if (late)
				return false;
			meter_sleep_ms(2);
		}
	}
}

bool meter_klog_find(int klog, const char *what)
{
	char line[2048];

	while (meter_klog_next(klog, 0, line, sizeof(line)))
		if (strstr(line, what))
			return true;
	return false;
}
