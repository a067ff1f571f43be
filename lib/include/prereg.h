/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libprereg: register memory once, map it for DMA many times.
 *
 * Two objects, which know nothing of each other:
 *
 *	struct prereg		a VFIO container of type 7 (VFIO_SPAPR_TCE_v2_IOMMU), of the module
 *				vfio_prereg or of the kernel's own driver on POWER: register, map, windows
 *	struct prereg_view	what the module vfio_prereg holds, of all processes that the caller may
 *				see: owners, regions, containers, counters, events
 *
 * ERRORS. Functions that can fail return 0 or, with errno set, -1; what they were to change has not
 * changed then. prereg_error() and prereg_view_error() turn the object's last failure into a sentence that says what to do.
 * The library prints nothing, never ends the process, and has no global state.
 *
 * THREADS. An object may be used by one thread at a time; prereg_register(), prereg_map() and their like
 * on the same container from several threads need an object each, or a lock.
 *
 * Addresses and sizes are bytes. Structs that the library hands to a function of the caller's, or returns, grow only at their
 * end; those in arrays, and those that the caller makes, never change: new ones come with new functions.
 */
#ifndef PREREG_H
#define PREREG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- a container --------------------------------------------------------- */

struct prereg;

/* Directions of DMA, for @access. */
#define PREREG_READ	1	/* the device may read */
#define PREREG_WRITE	2	/* the device may write */

/**
 * prereg_open - open a container; it has no device yet
 *
 * Context: opens /dev/vfio/vfio.
 * Return: to be freed with prereg_close(), also after a failure: prereg_fd() is -1 then, and prereg_error() tells;
 * NULL: ENOMEM. Every later call on an object that failed to open fails with EBADF.
 */
struct prereg *prereg_open(void);

/*
 * Close it. Devices that were opened are the caller's: with the last of them closed, too, everything is unmapped and
 * unregistered. NULL: nothing.
 */
void prereg_close(struct prereg *prereg);

/*
 * What went wrong with the last call that failed, and what to do; "" if none did. Valid until the next call.
 * NULL: "out of memory".
 */
const char *prereg_error(const struct prereg *prereg);

/**
 * prereg_add_device - put a device's IOMMU group into the container
 * @name: as in /sys/bus/pci/devices: "0000:00:04.0"; or a path in /sys of any device
 *
 * The first one makes it a container of type 7. All devices of the group must be bound to vfio-pci, or another VFIO
 * driver, or to none. A group that is there already is no error. All functions below fail with ENXIO as long as
 * there is no device.
 * Errors: ENOENT no such device; ENODEV it has no IOMMU group; EPERM interrupts are not isolated;
 * EBUSY the group is in use by another process; EINVAL not all of the group is bound to VFIO, or it does not fit to
 * what is mapped; EOPNOTSUPP nothing serves type 7; EACCES no access to /dev/vfio/N; others of the kernel's.
 */
int prereg_add_device(struct prereg *prereg, const char *name);

/**
 * prereg_open_device - get a VFIO device's file descriptor
 * @name: a device that was added
 *
 * Return: the descriptor (close-on-exec), which is the caller's; -1: ENXIO its group was not added; ENODEV it is not bound
 * to a VFIO driver; as prereg_add_device().
 */
int prereg_open_device(struct prereg *prereg, const char *name);

/* The container's descriptor, for ioctls that the library does not have; it stays the library's. */
int prereg_fd(const struct prereg *prereg);

/**
 * prereg_register - pin memory, once
 * @addr: page aligned
 * @bytes: multiple of the page size, not 0
 *
 * Errors: ENOMEM above RLIMIT_MEMLOCK; EBUSY exactly this is registered already; EINVAL unaligned, or overlaps
 * registered memory; EFAULT not (writable) memory; EOPNOTSUPP a file's memory that cannot be pinned; EPERM the container is
 * another process's, as after fork().
 */
int prereg_register(struct prereg *prereg, void *addr, size_t bytes);

/*
 * The reverse, of exactly that. Errors: ENOENT not registered; EBUSY something of it is mapped; EINVAL unaligned;
 * EPERM nothing was registered yet, or see prereg_register().
 */
int prereg_unregister(struct prereg *prereg, void *addr, size_t bytes);

/**
 * prereg_map - let devices reach registered memory at [iova, iova + bytes)
 * @access: PREREG_READ, PREREG_WRITE or both
 *
 * What was mapped there is replaced. All numbers are multiples of the window's page size.
 * Errors: EINVAL unaligned or not registered; ENXIO not in one window, or reserved there; ENOSPC too many
 * mappings; ENOMEM; EPERM nothing was registered yet, or see prereg_register().
 */
int prereg_map(struct prereg *prereg, uint64_t iova, void *addr, size_t bytes, unsigned int access);

/* Unmap whatever is mapped there; on return no device reaches it. Errors as prereg_map(). */
int prereg_unmap(struct prereg *prereg, uint64_t iova, uint64_t bytes);

/**
 * struct prereg_mapping - for prereg_map_all() and prereg_unmap_all()
 * @iova: first IOVA
 * @addr: registered memory; prereg_unmap_all() does not look at it
 * @bytes: length, not 0
 * @access: as of prereg_map(); prereg_unmap_all() does not look at it
 */
struct prereg_mapping {
	uint64_t	iova;
	void		*addr;
	size_t		bytes;
	unsigned int	access;
};

/**
 * prereg_map_all - map many pieces, or none
 * @refused: out, if not NULL: which one was refused, @n if it was none of them
 *
 * Nothing may be mapped there before: EEXIST. E2BIG: more than 65536 pieces. Other errors as prereg_map().
 *
 * One system call where the module has VFIO_PREREG_BATCH. Elsewhere, as with the kernel's own driver on POWER, one for each
 * piece: after a failure those that were mapped are unmapped again, but devices may have used them meanwhile; and EEXIST
 * tells of pieces that overlap each other only: what an earlier call mapped there is replaced, and after a failure nothing
 * is mapped there.
 */
int prereg_map_all(struct prereg *prereg, const struct prereg_mapping *mappings, size_t n, size_t *refused);

/*
 * The reverse. A piece must not end inside a mapping: EINVAL. Holes are fine. Elsewhere, as above, a piece may end anywhere, and
 * those before the one that is refused have been unmapped.
 */
int prereg_unmap_all(struct prereg *prereg, const struct prereg_mapping *mappings, size_t n, size_t *refused);

/**
 * struct prereg_windows - what windows of IOVAs a container may have
 * @default_start: first IOVA of the one that it begins with
 * @default_bytes: its size
 * @page_sizes: that a window may have, a bitmap of powers of two
 * @max_windows: at a time
 * @max_levels: of a window's tables
 */
struct prereg_windows {
	uint64_t	default_start;
	uint64_t	default_bytes;
	uint64_t	page_sizes;
	uint32_t	max_windows;
	uint32_t	max_levels;
};

int prereg_get_windows(struct prereg *prereg, struct prereg_windows *windows);

/**
 * prereg_add_window - open a window
 * @bytes: power of two
 * @page_size: one of prereg_windows.page_sizes
 * @levels: of its tables, 1 to prereg_windows.max_levels; POWER's large windows need more than one
 * @start: out: its first IOVA
 *
 * Errors: EINVAL sizes or levels; ENOSPC no room for another one; ENOMEM; EIO the platform refuses; EPERM see prereg_register().
 */
int prereg_add_window(struct prereg *prereg, uint64_t bytes, uint64_t page_size, unsigned int levels,
		      uint64_t *start);

/* Unmap all of a window and close it. Errors: EINVAL none starts there. */
int prereg_remove_window(struct prereg *prereg, uint64_t start);

/* ---- what the module holds ------------------------------------------------ */

struct prereg_view;

/**
 * prereg_view_open - connect to the module
 * Return: as prereg_open(): after a failure prereg_view_fd() is -1. errno is ENOENT if the module is not loaded.
 */
struct prereg_view *prereg_view_open(void);

/* As prereg_close() and prereg_error(). */
void prereg_view_close(struct prereg_view *view);
const char *prereg_view_error(const struct prereg_view *view);

/**
 * struct prereg_owner - a process that has memory in a container
 * @id: never used again as long as the module is loaded
 * @pid: of the process; 0: it is gone, others use its address space
 * @uid: its effective user, when it registered first
 * @comm: its name then
 * @age_ms: since then
 * @regions: how many ranges are registered
 * @registered: bytes pinned, with @kept
 * @charged: bytes of its RLIMIT_MEMLOCK, with tables of windows
 * @kept: bytes pinned but used by no container
 * @stale_mappings: how often it unmapped memory that was mapped for DMA
 * @containers: in how many it has something
 */
struct prereg_owner {
	uint64_t	id;
	uint32_t	pid;
	uint32_t	uid;
	const char	*comm;
	uint64_t	age_ms;
	uint64_t	regions;
	uint64_t	registered;
	uint64_t	charged;
	uint64_t	kept;
	uint64_t	stale_mappings;
	uint32_t	containers;
};

/* Flags of a region, as in <linux/vfio_prereg_netlink.h>. */
#define PREREG_REGION_IMPLICIT	1	/* made by a MAP of type 1 or 3 */
#define PREREG_REGION_KEPT	2	/* nothing uses it */
#define PREREG_REGION_WRITABLE	4
#define PREREG_REGION_DEVICE	8	/* a BAR: neither pinned nor charged */
#define PREREG_REGION_STALE	16	/* unmapped by the process while mapped for DMA */
#define PREREG_REGION_PINNING	32	/* being pinned now */

/**
 * struct prereg_region - a pinned range of an owner
 * @vaddr: first user address
 * @bytes: length
 * @runs: physically contiguous pieces
 * @largest_run: bytes of the largest
 * @page_sizes: of its pages, a bitmap of powers of two
 * @users: registrations and mappings
 * @flags: PREREG_REGION_*
 */
struct prereg_region {
	uint64_t	vaddr;
	uint64_t	bytes;
	uint64_t	runs;
	uint64_t	largest_run;
	uint64_t	page_sizes;
	uint32_t	users;
	uint32_t	flags;
};

/**
 * struct prereg_window - of a container of type 7
 * @start: first IOVA
 * @bytes: length
 * @page_size: granularity of MAP
 * @levels: of its tables
 */
struct prereg_window {
	uint64_t	start;
	uint64_t	bytes;
	uint64_t	page_size;
	uint32_t	levels;
};

/**
 * struct prereg_share - what an owner has in a container
 */
struct prereg_share {
	uint64_t	owner_id;
	uint64_t	mappings;
	uint64_t	mapped;		/* bytes */
};

/**
 * struct prereg_container - an open VFIO container
 * @id: never used again as long as the module is loaded
 * @type: 1, 3 or 7
 * @pid: of the process that made it; 0: it is gone
 * @uid: its effective user
 * @age_ms: since then
 * @mappings: of all owners
 * @mapped: bytes, of all owners
 * @groups: numbers of the IOMMU groups, /sys/kernel/iommu_groups/N; the first 128
 * @ngroups: how many
 * @emulated_devices: open ones that have no IOMMU
 * @shares: of owners that the caller may see; the first 32
 * @nshares: how many
 * @windows: those that are open
 * @nwindows: how many
 * @orphan: its last owner ended, and nobody owns it now
 * @orphan_pid: that owner's pid; 0: the caller may not see it
 * @orphan_comm: its name, or ""
 * @orphan_ms: since its end
 * @busy: much is being mapped, unmapped or unpinned in it, so only @id, @mappings and @mapped are known
 */
struct prereg_container {
	uint64_t			id;
	uint32_t			type;
	uint32_t			pid;
	uint32_t			uid;
	uint64_t			age_ms;
	uint64_t			mappings;
	uint64_t			mapped;
	const uint32_t			*groups;
	size_t				ngroups;
	uint32_t			emulated_devices;
	const struct prereg_share	*shares;
	size_t				nshares;
	const struct prereg_window	*windows;
	size_t				nwindows;
	bool				orphan;
	uint32_t			orphan_pid;
	const char			*orphan_comm;
	uint64_t			orphan_ms;
	bool				busy;
};

/**
 * struct prereg_refused - calls that were answered with an errno
 */
struct prereg_refused {
	uint32_t	error;		/* errno */
	uint64_t	count;
};

/**
 * struct prereg_counters - of the host
 * What there is now: the first nine; what happened since the module was loaded: the rest.
 * @refused: how many calls were refused, by errno
 */
struct prereg_counters {
	uint64_t	containers;
	uint64_t	owners;
	uint64_t	regions;
	uint64_t	pinned;			/* bytes */
	uint64_t	charged;		/* bytes */
	uint64_t	kept;			/* bytes */
	uint64_t	mappings;
	uint64_t	mapped;			/* bytes */
	uint64_t	bookkeeping;		/* bytes */
	uint64_t	stale_mappings;
	uint64_t	releases;
	uint64_t	released;		/* bytes */
	uint64_t	revoked_mappings;
	uint64_t	refused_memlock;
	uint64_t	events_lost;
	const struct prereg_refused	*refused;
	size_t		nrefused;
};

/*
 * What a dump calls for each thing, when all have come: it may call functions of the same view, but not close it. The thing, and
 * what it points to, is valid during the call only.
 * Return: 0 go on; else the dump ends and returns -1 with errno ECANCELED.
 */
typedef int (*prereg_owner_fn)(const struct prereg_owner *owner, void *data);
typedef int (*prereg_region_fn)(const struct prereg_region *region, void *data);
typedef int (*prereg_container_fn)(const struct prereg_container *container, void *data);

/*
 * Dump what the caller may see: everything that is there all the time, once. Without CAP_SYS_ADMIN in the initial user
 * namespace that is what is of the caller's own user. While things come and go a dump is asked for up to three times.
 * Errors: ENOENT no such owner (regions only); EPERM its process may not be traced by the caller, and these need CAP_SYS_ADMIN then
 * (regions only); ENODEV the module was unloaded: open a new view; EBUSY the view listens for events; ENOMEM; what a socket says.
 */
int prereg_view_owners(struct prereg_view *view, prereg_owner_fn fn, void *data);
int prereg_view_regions(struct prereg_view *view, uint64_t owner_id, prereg_region_fn fn, void *data);
int prereg_view_containers(struct prereg_view *view, prereg_container_fn fn, void *data);

/*
 * The host's counters; valid until the next call on the view, NULL on failure. Errors: EPERM needs
 * CAP_SYS_ADMIN in the initial user namespace; ENODEV, EBUSY, ENOMEM as above.
 */
const struct prereg_counters *prereg_view_counters(struct prereg_view *view);

enum prereg_scope {
	PREREG_SCOPE_HOST,		/* everything */
	PREREG_SCOPE_PID_NAMESPACE,	/* owners are those in the caller's pid namespace; counters are the host's */
	PREREG_SCOPE_USER,		/* what is of the caller's own user; no counters */
};

/*
 * What dumps are of for this caller. Return: an enum prereg_scope; -1: ENODEV, EBUSY, ENOMEM as above. Where /proc is not mounted
 * the caller is taken to be in the initial pid namespace.
 */
int prereg_view_scope(struct prereg_view *view);

enum prereg_event_type {
	PREREG_EVENT_REGISTERED,	/* an owner came: owner_id, container_id */
	PREREG_EVENT_RELEASED,		/* an owner ended, everything is put: bytes, mappings, duration_ns */
	PREREG_EVENT_ADOPTED,		/* a container without owner has a new one: container_id, orphan_pid */
	PREREG_EVENT_REFUSED,		/* RLIMIT_MEMLOCK did not allow: bytes, limit, locked */
	PREREG_EVENT_PUT,		/* what prereg_register() had pinned was unpinned: vaddr, bytes */
};

/**
 * struct prereg_event - something that happened
 * @type: what
 * @time_ns: when, CLOCK_BOOTTIME
 * @owner_id: whose memory
 * @pid: the owner's, in the initial pid namespace
 * @uid: the owner's user, in the initial user namespace
 * @comm: its name
 * @vaddr: first user address
 * @bytes: see @type
 * @mappings: how many were removed
 * @duration_ns: from the last mmput() until everything was put
 * @container_id: which container
 * @orphan_pid: pid of its owner before
 * @limit: RLIMIT_MEMLOCK, bytes
 * @locked: what was charged to it already, bytes
 * @lost: how many events before this one nobody was told of, since the module was loaded
 */
struct prereg_event {
	enum prereg_event_type	type;
	uint64_t		time_ns;
	uint64_t		owner_id;
	uint32_t		pid;
	uint32_t		uid;
	const char		*comm;
	uint64_t		vaddr;
	uint64_t		bytes;
	uint64_t		mappings;
	uint64_t		duration_ns;
	uint64_t		container_id;
	uint32_t		orphan_pid;
	uint64_t		limit;
	uint64_t		locked;
	uint64_t		lost;
};

/* For @which. */
#define PREREG_EVENTS_OWNERS	1	/* all but PREREG_EVENT_PUT */
#define PREREG_EVENTS_REGIONS	2	/* PREREG_EVENT_PUT, of which there can be very many */

/*
 * Get events from now on; the view is for nothing else then. Again, for more of them: fine.
 * Errors: EPERM needs CAP_SYS_ADMIN in the initial user namespace, or the caller is in another network namespace than the one
 * in which events are told, the initial one (in a pid namespace of its own that cannot be seen: none come); ENOENT the module
 * went; EINVAL no such events.
 */
int prereg_view_listen(struct prereg_view *view, unsigned int which);

/* The descriptor to poll() for POLLIN; -1 if it failed to open. */
int prereg_view_fd(const struct prereg_view *view);

/*
 * The next event, valid until the next call on the view; never waits. NULL: none, with errno EAGAIN none came yet; ENOBUFS some
 * were lost, as they were not read quickly enough: go on; ENODEV the module was unloaded, or others: the view cannot go on;
 * EINVAL it does not listen.
 */
const struct prereg_event *prereg_view_next_event(struct prereg_view *view);

#ifdef __cplusplus
}
#endif

#endif
