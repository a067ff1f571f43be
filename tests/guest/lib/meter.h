/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is held: pinned pages, free memory, charges, the module's own counters,
 * and what the kernel said.
 *
 * The kernel counts pins and free pages per CPU and folds them now and then;
 * the functions here fold first, so that their answers are exact.
 */
#ifndef GUEST_METER_H
#define GUEST_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PREREG_MODULE "vfio_prereg"

/* The counters of vfio_prereg; all zero when nobody uses it. */
struct meter_stats {
	long long containers;
	long long owners;
	long long regions;
	long long pinned_pages;
	long long charged_pages;
	long long mappings;
	long long mapped_bytes;
	long long bookkeeping_bytes;
	long long kept_pages;
};

/* Monotonic time. */
uint64_t meter_now_ns(void);
void meter_sleep_ms(unsigned int ms);

/* Pages pinned by pin_user_pages() in the whole machine, now. */
long long meter_pins(void);
/* KiB that nobody holds: free pages plus those on the per-CPU lists. */
long long meter_free_kib(void);
/*
 * The same, once an RCU grace period has passed and it has been at rest for a moment: what was
 * freed before is not counted.
 */
long long meter_free_settled_kib(void);
/* VmLck / VmPin of @pid (0: own) in KiB; -1: no such process. */
long long meter_vmlck_kib(pid_t pid);
long long meter_vmpin_kib(pid_t pid);
/* A number out of /proc/meminfo ("MemTotal") in KiB, -1 if there is none. */
long long meter_meminfo_kib(const char *name);

/* -errno when the module is not loaded or has no such file. */
int meter_stats_read(struct meter_stats *stats);
/* One of its numbers by its name, also one that never goes back to zero; -1: there is none. */
long long meter_stat(const char *name);
/* One line, into a static buffer. */
const char *meter_stats_text(const struct meter_stats *stats);
/* References to a module, -errno when it is not loaded. */
int meter_module_refs(const char *module);
/* Reads or writes a number in a file; -errno on failure. */
int meter_file_read(const char *path, long long *value);
int meter_file_write(const char *path, const char *text);

/* Takes the pins of this moment as what is to be found again. */
void meter_baseline(void);
long long meter_baseline_pins(void);
/* The module has lost so many pages, as it was meant to: its counter keeps them. They are no longer pinned. */
void meter_lose(long long pages);
/*
 * Asserts (see tap.h) that pins are back at the baseline, that every counter of
 * vfio_prereg is zero and that nobody holds a reference to it. Waits up to 2 s
 * for that: freeing goes on after the last close() for a moment. With @own
 * false only pins are looked at (another backend is loaded).
 */
bool meter_assert_clean(bool own);

/* The kernel log from now on; an fd for the functions below, -errno on failure. */
int meter_klog_open(void);
/* The next line of the log goes to @line; false if none has come by @deadline_ns (meter_now_ns()). */
bool meter_klog_next(int klog, uint64_t deadline_ns, char *line, size_t bytes);
/* Reads on to a line that contains @what; false if there is none yet. */
bool meter_klog_find(int klog, const char *what);

#endif
