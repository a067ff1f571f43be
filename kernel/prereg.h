/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vfio_prereg: a VFIO container backend that pins user memory once, maps only
 * what is pinned, and gives every page back when its address space ends.
 *
 * OBJECTS
 *
 *	owner		An mm with registered memory. Embeds the mmu_notifier
 *			whose release() runs at the mm's last mmput().
 *	region		One registered range of an owner: pinned, charged to
 *			RLIMIT_MEMLOCK, stored as physically contiguous runs.
 *	container	An open VFIO container that chose this backend. Its
 *			personality is spapr_v2 or type1.
 *	claim		A container has something of an owner.
 *	registration	A container's use of a region. Two containers of one
 *			mm that register the same range share the region.
 *			type1 has one inside each mapping.
 *	window		An IOVA range of a container that may be mapped.
 *	mapping		IOVA range -> part of a region, with direction.
 *	hw		The IOMMU entries behind a container (hw.h).
 *
 *	owner 1 --- n region 1 --- n registration n --- 1 container
 *	owner 1 --- n claim n --- 1 container 1 --- n mapping n --- 1 registration
 *
 * INVARIANTS
 *
 *  1. Revoke, flush, put: a page is unpinned only after every IOMMU entry that
 *     named it is gone and the IOTLB was flushed. A region is unpinned by its
 *     last prereg_region_put(), which requires that the registration has no
 *     mapping left, or as kept (kept.c), when it has no user; a mapping dies only
 *     after prereg_hw_flush().
 *  2. A mapping lies inside one registration. What the hw holds is exactly what
 *     the mapping tree says, and no hardware page straddles two mappings.
 *  3. Everything that adds to an owner (a pin, a charge, a region, a mapping) runs
 *     with current->mm == owner->mm, or after mmget_not_zero(), so it holds
 *     mm_users. release() runs with mm_users == 0. So nothing is ever added
 *     during or after release(); what does run at the same time are
 *     tear-downs by other processes that hold the container's or its groups'
 *     files, and they take container->lock.
 *
 * LOCKS, outermost first
 *
 *	container->devices_lock	(mutex)	emulated devices
 *	container->lock	(mutex)	claims, registrations, mappings, windows, hw
 *	mm->mmap_lock		taken for charging and, inside gup, for pinning
 *	owner->lock	(spin)	regions, their users and state, claims; also
 *				taken by invalidations, that is under mmap_lock,
 *				page and rmap locks and in reclaim
 *	prereg_kept_lock (spin)	what is kept, of all owners
 *	prereg_owners_lock (spin) which owners there are, for netlink
 *
 * VFIO's own locks (group_lock, the container's group_lock) are outside of
 * all of these. Pinning holds none of our locks: a kill, a close or another
 * thread's MAP never waits for gigabytes being pinned. Unpinning on tear-down
 * holds container->lock on purpose: whoever else must know that the pages
 * went back (release(), the last close) waits for it there.
 */
#ifndef PREREG_H
#define PREREG_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "hw.h"
#include "range.h"
#include "region.h"
#include "stats.h"

/* Addresses are unsigned long in the kernel and u64 in the uAPI. */
static_assert(sizeof(unsigned long) == sizeof(u64));

struct prereg_container;
struct prereg_type1;
struct vfio_device;

/* ---- owner.c ---------------------------------------------------------- */

/**
 * struct prereg_stale - mappings whose memory the process itself unmapped
 * @count: how many were seen
 * @vaddr: where the last one's memory was
 * @bytes: how much of it
 * @pid: of the thread that unmapped it, in its pid namespace
 */
struct prereg_stale {
	u64	count;
	u64	vaddr;
	u64	bytes;
	pid_t	pid;
};

/**
 * struct prereg_who - a process, for those who look
 * @pid: the process's; a reference
 * @uid: its effective user
 * @comm: its name
 * @since: when it was noted, CLOCK_BOOTTIME in ns
 */
struct prereg_who {
	struct pid	*pid;
	kuid_t		uid;
	char		comm[TASK_COMM_LEN];
	u64		since;
};

/* Note current's process; to be put. */
void prereg_who_get(struct prereg_who *who);
/* Note the same once more; to be put, too. */
void prereg_who_copy(struct prereg_who *who, const struct prereg_who *from);
/* Its pid is NULL then. */
void prereg_who_put(struct prereg_who *who);

/**
 * struct prereg_owner - an mm with registered memory
 * @notifier: its release() runs at the last mmput() of @mm
 * @ref: keeps the struct (not the notifier) alive; held by the notifier and by
 *	every region
 * @mm: held with mmgrab(), so the charge can be given back after exit
 * @who: the process that registered first
 * @listed: in the tree of owners with a claim, by its id; under prereg_owners_lock
 * @charged_pages: of RLIMIT_MEMLOCK, with @debt; under mmap_lock
 * @debt: pages still to be returned to RLIMIT_MEMLOCK
 * @registered_pages: in its regions
 * @stuck_pages: of those that are gone, what was not unpinned
 * @settle: returns them; holds a struct reference while queued
 * @pinned: woken when a region leaves PREREG_REGION_PINNING, or @dropping gets less
 * @lock: protects everything below
 * @regions: prereg_region.range by user address, of those that can be found
 * @nregions: how many
 * @serial: grows when one is entered there, which gets it, or leaves
 * @claims: prereg_claim.owner_entry
 * @kept: prereg_region.kept_entry of regions without a user, oldest first
 * @kept_pages: pages in them
 * @invalidations: how many are under way; see prereg_owner_invalidate_start()
 * @invalid_first: first address of those under way
 * @invalid_last: last one
 * @dropping: regions that were kept and are being unpinned
 * @stale: mappings whose memory the process unmapped, and the last of them
 * @stale_told: the kernel log has a line about it
 */
struct prereg_owner {
	struct mmu_notifier	notifier;
	struct kref		ref;
	struct mm_struct	*mm;
	struct prereg_who	who;
	struct prereg_range	listed;
	unsigned long		charged_pages;
	atomic_long_t		debt;
	atomic_long_t		registered_pages;
	atomic_long_t		stuck_pages;
	struct work_struct	settle;
	wait_queue_head_t	pinned;
	spinlock_t		lock;
	struct rb_root		regions;
	unsigned long		nregions;
	u64			serial;
	struct list_head	claims;
	struct list_head	kept;
	unsigned long		kept_pages;
	unsigned long		invalidations;
	unsigned long		invalid_first;
	unsigned long		invalid_last;
	unsigned long		dropping;
	struct prereg_stale	stale;
	bool			stale_told;
};

/**
 * struct prereg_claim - a container has something of an owner
 * @container: which; may be read under owner->lock
 * @owner: whose; the claim holds one notifier reference
 * @container_entry: in the personality's list, under container->lock
 * @owner_entry: in owner->claims, under owner->lock
 */
struct prereg_claim {
	struct prereg_container	*container;
	struct prereg_owner	*owner;
	struct list_head	container_entry;
	struct list_head	owner_entry;
};

/*
 * Enter a claim, whose members are set, in owner->claims. current->mm is the
 * owner's mm, or its users are held otherwise: so its release() will see it.
 * container->lock held.
 */
void prereg_claim_enter(struct prereg_claim *claim);

/*
 * The container has nothing left of the owner: the claim leaves owner->claims and
 * drops its notifier reference, the last one also what is kept. Must be the last
 * step of a tear-down, see prereg_owner_release(). container->lock held.
 */
void prereg_claim_leave(struct prereg_claim *claim);

/**
 * prereg_owner_get_current - the owner object of current->mm, made if missing
 *
 * Context: no prereg lock held; takes mmap_lock for writing.
 * Return: the owner with one notifier reference, to be returned with
 * prereg_owner_put(); ERR_PTR of -ENOMEM, -EINTR (fatal signal), or
 * -ERESTARTNOINTR: a signal came, the call is to be restarted.
 */
struct prereg_owner *prereg_owner_get_current(void);

/* Return one notifier reference. Any context that may sleep, release() too. */
void prereg_owner_put(struct prereg_owner *owner);

/* Struct references, see prereg_owner.ref. */
void prereg_owner_hold(struct prereg_owner *owner);
void prereg_owner_drop(struct prereg_owner *owner);

/* A number that no other owner has or had. */
static inline u64 prereg_owner_id(const struct prereg_owner *owner)
{
	return owner->listed.first;
}

/*
 * The owner with the lowest id in [first, last] that has a claim, with a struct reference; or NULL.
 * Context: any.
 */
struct prereg_owner *prereg_owner_find(u64 first, u64 last);

/* Another number than before whenever an owner got its first claim or lost its last. */
unsigned int prereg_owners_changes(void);

/* Return: 0, -ENOMEM. */
int prereg_owners_init(void);

/* Wait until every owner is freed; for module exit. */
void prereg_owners_exit(void);

/**
 * struct prereg_payer - whose RLIMIT_MEMLOCK counts
 * @task: its limit
 * @lock_cap: it may lock as much as it likes (CAP_IPC_LOCK)
 */
struct prereg_payer {
	struct task_struct	*task;
	bool			lock_cap;
};

/**
 * prereg_owner_charge - charge pages to the owner's RLIMIT_MEMLOCK
 * @payer: NULL: current
 *
 * What is kept of the owner makes room if it must.
 * Context: holds mm_users of owner->mm. Takes mmap_lock for writing.
 * Return: 0, -ENOMEM above the limit (CAP_IPC_LOCK lifts it), -EINTR.
 */
int prereg_owner_charge(struct prereg_owner *owner, unsigned long npages,
			const struct prereg_payer *payer);

/* A call fails since such a charge would have exceeded the limit: count it, and tell. */
void prereg_owner_refused(struct prereg_owner *owner, unsigned long npages,
			  const struct prereg_payer *payer);

/*
 * The reverse, in two steps: note pages to be returned, from any context (or, where
 * there are less than 0, to be charged whatever the limit) ...
 */
static inline void prereg_owner_owe(struct prereg_owner *owner, long npages)
{
	atomic_long_add(npages, &owner->debt);
}

/*
 * ... and return them; from any task, also after the mm's death. Cannot fail. Done
 * on return, but for a living mm and another process: then it is done soon.
 */
void prereg_owner_pay(struct prereg_owner *owner);

/* The same for whoever may not wait for mmap_lock: a work item does it soon. */
void prereg_owner_pay_later(struct prereg_owner *owner);

/* ---- container.c ------------------------------------------------------ */

#define PREREG_WINDOWS_MAX	2

/**
 * struct prereg_window - an IOVA range that may be mapped
 * @start: its first IOVA
 * @last: its last IOVA
 * @pages: what its tables cost the owner's RLIMIT_MEMLOCK
 * @page_shift: log2 of the granularity of MAP and UNMAP; 0: slot not in use
 * @levels: of its tables
 * @open: the hw has it; only the default window waits for that
 */
struct prereg_window {
	u64		start;
	u64		last;
	unsigned long	pages;
	u8		page_shift;
	u8		levels;
	bool		open;
};

/**
 * struct prereg_orphan - what is known of a container's last owner, which ended
 * @who: its process; its pid is NULL: the container has an owner, or never had one
 * @since: when it ended, CLOCK_BOOTTIME in ns
 */
struct prereg_orphan {
	struct prereg_who	who;
	u64			since;
};

/**
 * struct prereg_registration - a container's use of a region
 * @range: user addresses. spapr_v2: in container->registrations, same as the
 *	region's. type1: of the mapping it is part of, in no tree
 * @region: holds one user
 * @owner: whose memory, as long as it has a claim in the container
 * @mappings: mappings of this container through it
 */
struct prereg_registration {
	struct prereg_range		range;
	struct prereg_region		*region;
	struct prereg_owner		*owner;
	unsigned long			mappings;
};

/**
 * struct prereg_container - an open VFIO container that chose this backend
 * @id: what VFIO holds as iommu_data, never used again; 0: not in use
 * @free_entry: in the list of containers not in use, see container.c
 * @lock: protects everything below, and @id
 * @who: the process that chose this backend; its pid is NULL: not in use
 * @orphan: its last owner, if that ended
 * @type1: what only a container of types 1 and 3 has; NULL: it is a spapr_v2 one
 * @claim: of spapr_v2, which has one owner at most; in use if @claim.owner
 * @may_map: the owner has registered memory at least once
 * @owner_mm: its mm, only to be compared; may be read without @lock
 * @registrations: prereg_registration.range by user address
 * @mappings: prereg_mapping.range by IOVA
 * @nmappings: how many
 * @mapped_bytes: their lengths
 * @cost: what they count, see mappings_max in mapping.c
 * @windows: the slots, by prereg_window.page_shift in use or not
 * @hw: IOMMU entries and attached groups; NULL: no group is attached
 * @devices_lock: outside of @lock; protects @devices, also while they are told of
 *	an UNMAP
 * @devices: struct vfio_device.iommu_entry of emulated devices that are open
 * @ndevices: how many; changes with both locks held
 *
 * The struct is never freed while the module is loaded, so that a call may
 * take @lock and only then learn whether the container is still there.
 */
struct prereg_container {
	unsigned long		id;
	struct list_head	free_entry;
	struct mutex		lock;
	struct prereg_who	who;
	struct prereg_orphan	orphan;
	struct prereg_type1	*type1;
	struct prereg_claim	claim;
	bool			may_map;
	struct mm_struct	*owner_mm;
	struct rb_root		registrations;
	struct rb_root		mappings;
	unsigned long		nmappings;
	u64			mapped_bytes;
	u64			cost;
	struct prereg_window	windows[PREREG_WINDOWS_MAX];
	struct prereg_hw	*hw;
	struct mutex		devices_lock;
	struct list_head	devices;
	unsigned int		ndevices;
};

/*
 * Make a container; type1: what it takes over, or NULL. Return: its id, for VFIO;
 * 0: no memory.
 */
unsigned long prereg_container_create(struct prereg_type1 *type1);

/* VFIO lets go of the container: revoke, put; calls answer -ENODEV from now on. */
void prereg_container_destroy(unsigned long id);

/* The container of an id, in use or not, not locked. */
struct prereg_container *prereg_container_held(unsigned long id);

/* Lock a container that VFIO holds, for VFIO. */
struct prereg_container *prereg_container_lock_held(unsigned long id);

/**
 * prereg_container_lock - lock a container for a call of current's
 *
 * Return: the container, locked; or ERR_PTR: -EINTR fatal signal, -ENODEV it is
 * gone, -EPERM another mm owns it.
 */
struct prereg_container *prereg_container_lock(unsigned long id);
void prereg_container_unlock(struct prereg_container *container);

/* Is, or was, it one of type 1 or 3? Without lock. */
bool prereg_container_is_type1(unsigned long id);

/*
 * Does another mm own the container? Without lock, so a stranger is told before
 * anything else about its call; prereg_container_lock() decides.
 */
bool prereg_container_is_foreign(unsigned long id);

/* Sum of all containers' mappings and their lengths. */
void prereg_containers_count(unsigned long *nmappings, u64 *mapped_bytes);

/* Free the memory of all containers, none of which is in use; for module exit. */
void prereg_containers_free(void);

/**
 * prereg_container_claim - make owner the container's owner
 * @owner: the owner of current->mm, with one notifier reference that the
 *	container takes over if it had no owner
 *
 * Context: locked through prereg_container_lock().
 * Return: whether the reference was taken over.
 */
bool prereg_container_claim(struct prereg_container *container,
			    struct prereg_owner *owner);

/*
 * Revoke all mappings of the owner's memory, flush, drop all its registrations
 * and forget it, if the container has a claim on it.
 * Context: container->lock held, and dropped meanwhile if there are emulated
 * devices; in any task, also the owner's release().
 * Cannot fail, allocates nothing.
 */
void prereg_container_disown(struct prereg_container *container,
			     struct prereg_owner *owner);

/* An owner that ends had something in it: if nobody else has, say so to who looks. container->lock held. */
void prereg_container_orphan(struct prereg_container *container,
			     const struct prereg_owner *owner);

/* It has an owner again, or goes: forget the last one. container->lock held. */
void prereg_container_adopt(struct prereg_container *container);

/* The container of a slot, from 0 on, in use or not, not locked; NULL: there are no more. */
struct prereg_container *prereg_container_at(unsigned long slot);

/* Another number than before whenever a container came or went. */
unsigned int prereg_containers_changes(void);

/* The container has got its first IOMMU. container->lock held. */
void prereg_container_hw_came(struct prereg_container *container);

/*
 * The last IOMMU group is about to go: revoke all mappings and flush. container->lock
 * held. Cannot fail, allocates nothing.
 */
void prereg_container_hw_goes(struct prereg_container *container);

/**
 * prereg_container_register - register memory of current->mm
 * Arguments and errors are prereg_region_get()'s, and -EBUSY: exactly this range
 * is registered in this container already; -EPERM, -ENODEV, see
 * prereg_container_lock().
 */
int prereg_container_register(unsigned long id, unsigned long vaddr,
			      unsigned long bytes);

/**
 * prereg_container_unregister - the reverse
 * Return: 0; -ENOENT no such registration, -EBUSY still mapped, -EPERM no owner
 * or another one; -ENODEV, -EINTR.
 */
int prereg_container_unregister(unsigned long id, unsigned long vaddr,
				unsigned long bytes);

/*
 * The hardware did not let go of something: never unpin what this container
 * registered. container->lock held.
 */
void prereg_container_stick(struct prereg_container *container);

/* The registration that holds vaddr, or NULL. container->lock held. */
struct prereg_registration *
prereg_container_registration(struct prereg_container *container,
			      unsigned long vaddr);

/* ---- window.c --------------------------------------------------------- */

/* All of window.c: container->lock held, a group attached. */

/* The default window (not open) and no other. */
void prereg_windows_init(struct prereg_container *container);

/* Unmap everything and close every window. Cannot fail, allocates nothing. */
void prereg_windows_close(struct prereg_container *container);

/* The window that holds iova, or NULL. */
struct prereg_window *prereg_window_find(struct prereg_container *container,
					 u64 iova);

/**
 * prereg_window_open - make a window that is there usable
 * @charged: pages charged to the owner for its tables; the window keeps them
 *
 * Return: 0; more than 0: so many pages must be charged first, without the lock,
 * since that waits for mmap_lock; what the hw said, and nothing changed.
 */
long prereg_window_open(struct prereg_container *container,
			struct prereg_window *window, unsigned long charged);

/**
 * prereg_window_create - make and open a window
 * @page_shift: log2 of its granularity, one of the hw's pgsizes
 * @bytes: its size, a power of two, at least one page
 * @levels: of its tables, 1 to what the hw allows
 * @charged: as for prereg_window_open()
 * @start: out: its first IOVA
 *
 * Reserved IOVAs and IOVAs behind the IOMMU's aperture are holes in it.
 * Return: as prereg_window_open(); -EINVAL page_shift, size or levels; -ENOSPC
 * both slots in use, or no room beside the other window.
 */
long prereg_window_create(struct prereg_container *container, u32 page_shift,
			  u64 bytes, u32 levels, unsigned long charged,
			  u64 *start);

/* Unmap what is mapped in it and close it; -EINVAL: no window starts there. */
int prereg_window_remove(struct prereg_container *container, u64 start);

/* ---- mapping.c -------------------------------------------------------- */

/**
 * struct prereg_mapping - IOVA range -> part of a registered region
 * @range: in container->mappings, IOVAs
 * @registration: what it maps; counted in its @mappings
 * @offset: byte offset in the region
 * @prot: IOMMU_READ, IOMMU_WRITE
 */
struct prereg_mapping {
	struct prereg_range		range;
	struct prereg_registration	*registration;
	u64				offset;
	int				prot;
};

static inline u64 prereg_mapping_bytes(const struct prereg_mapping *mapping)
{
	return mapping->range.last - mapping->range.first + 1;
}

/* All of mapping.c but init/exit: container->lock held. */

/**
 * prereg_iova_map - map registered memory
 * @window: one that holds all of the range; opened if it is not yet
 * @iova: first IOVA
 * @bytes: length, not 0; iova + bytes does not wrap
 * @vaddr: user address; as iova and bytes a multiple of the IOMMU's page
 * @prot: IOMMU_READ | IOMMU_WRITE, at least one
 *
 * Existing mappings in the range are replaced.
 * Return: 0; more than 0: see prereg_window_open(); -EINVAL not registered or over the registration's end; -ENXIO
 * reserved or behind the aperture; -EINVAL memory in pieces smaller than the
 * window's hardware pages; -ENOSPC mappings_max; -ENOMEM; -EINTR.
 * On an error nothing changed, see "OUT OF PAGE TABLES" in mapping.c.
 */
long prereg_iova_map(struct prereg_container *container,
		     struct prereg_window *window, u64 iova, u64 bytes,
		     unsigned long vaddr, int prot);

/**
 * prereg_iova_unmap - unmap whatever is mapped in a range, then flush
 * Return: 0; a mapping had to be split: -ENOMEM, -ENOSPC twice mappings_max.
 */
int prereg_iova_unmap(struct prereg_container *container, u64 iova, u64 bytes);

/* Unmap everything in [first, last] and flush. Cannot fail, allocates nothing.
 * No mapping straddles first or last.
 */
void prereg_iova_revoke(struct prereg_container *container, u64 first,
			u64 last);

/*
 * The same for mappings that are not mapping.c's own: those that reach into
 * [first, last], of this owner's memory or, where that is NULL, of anybody's, are
 * left to the caller in @taken.
 */
void prereg_mapping_take(struct prereg_container *container, u64 first,
			 u64 last, const struct prereg_owner *owner,
			 struct llist_head *taken);

/* All mappings leave the hardware, which is flushed, but stay noted. */
void prereg_mappings_unmap(struct prereg_container *container);

/* One of the mappings that were taken, out of their list; NULL: it is empty. */
struct prereg_mapping *prereg_mapping_pop(struct llist_head *taken);

/*
 * Note a mapping that is not mapping.c's own, where nothing is mapped; it need not have a
 * region yet. Return: 0; -EEXIST something is mapped there; -ENOSPC mappings_max.
 */
int prereg_mapping_enter(struct prereg_container *container,
			 struct prereg_mapping *mapping);

/* The reverse, for one that is not in the hardware. */
void prereg_mapping_leave(struct prereg_container *container,
			  struct prereg_mapping *mapping);

/*
 * Enter one that is noted in the hardware; its members are set, its region's @written too.
 * Return: 0; -ENOMEM, -EINTR, what the IOMMU driver said. On an error nothing changed, but
 * the region is @stuck where the IOMMU driver did not undo what it had entered.
 */
int prereg_mapping_map(struct prereg_container *container,
		       const struct prereg_mapping *mapping);

/* The same for several, which are as prereg_hw_ops.map_list wants them. */
int prereg_mapping_map_list(struct prereg_container *container,
			    struct prereg_mapping *const *mappings,
			    unsigned int n);

/**
 * struct prereg_revoke - mappings that leave the hardware together, with one flush
 * @container: whose
 * @first: first IOVA of what has left the tree and not yet the hardware, if @any
 * @last: last one
 * @any: is there such a range, or anything to be flushed?
 * @stays: the hardware has not let go of something
 */
struct prereg_revoke {
	struct prereg_container	*container;
	u64			first;
	u64			last;
	bool			any;
	bool			stays;
};

/*
 * Take the mappings of [first, last], into which none reaches, out of the tree and free them;
 * ranges come in ascending order. Devices reach what they map until prereg_revoke_flush(),
 * which must follow under the same lock. Both cannot fail and allocate nothing.
 */
void prereg_revoke_range(struct prereg_revoke *revoke, u64 first, u64 last);
void prereg_revoke_flush(struct prereg_revoke *revoke);

/* Mappings to be entered with prereg_mapping_enter(), their members not set. Return: false: no memory. */
bool prereg_mappings_alloc(struct prereg_mapping **mappings, unsigned int n);
void prereg_mappings_free(struct prereg_mapping **mappings, unsigned int n);

/* How many more mappings mappings_max allows. */
u64 prereg_mappings_left(const struct prereg_container *container);

/* The lowest mapping that has an address of [first, last], or NULL. */
struct prereg_mapping *
prereg_mapping_first(struct prereg_container *container, u64 first, u64 last);

/* Those that reach into [first, last], in IOVA order; none may be taken out meanwhile. */
#define prereg_for_each_mapping(mapping, container, from, to)		\
	for (mapping = prereg_mapping_first(container, from, to);	\
	     mapping && mapping->range.first <= (to);			\
	     mapping = prereg_mapping_next(container, mapping))

/* Is anything mapped in [first, last]? */
bool prereg_iova_mapped(struct prereg_container *container, u64 first,
			u64 last);

/* Walk the mappings in IOVA order: NULL, then the previous one. */
struct prereg_mapping *
prereg_mapping_next(struct prereg_container *container,
		    struct prereg_mapping *mapping);

int prereg_mapping_init(void);
void prereg_mapping_exit(void);

/* ---- spapr_v2.c ------------------------------------------------------- */

/* The ioctls of container type VFIO_SPAPR_TCE_v2_IOMMU. */
long prereg_spapr_v2_ioctl(unsigned long id, unsigned int cmd,
			   unsigned long arg);

/* For batch.c; errors as of MAP and UNMAP. */

/* Lock for a MAP or UNMAP, which need an owner that registered something. */
struct prereg_container *prereg_spapr_lock_to_map(unsigned long id);

/*
 * The window that the range lies in, in whole pages of it; so must the vaddr of
 * a MAP. Or ERR_PTR(-EINVAL), ERR_PTR(-ENXIO). container->lock held.
 */
struct prereg_window *prereg_spapr_window(struct prereg_container *container,
					  u64 iova, u64 bytes, u64 vaddr);

/*
 * Open the default window, that of iova, whose tables must be charged first. Without the lock.
 * Return: 0: look again; -ENOMEM and others.
 */
long prereg_spapr_window_charge(unsigned long id, u64 iova);

/* ---- batch.c ---------------------------------------------------------- */

/* VFIO_PREREG_BATCH, of spapr_v2. */
long prereg_batch(unsigned long id, unsigned long arg);

/* ---- info.c ----------------------------------------------------------- */

/* VFIO_PREREG_GET_INFO, of containers of any type. */
long prereg_get_info(unsigned long id, unsigned long arg);

/* ---- type1.c ---------------------------------------------------------- */

/* The ioctls of container types VFIO_TYPE1_IOMMU and VFIO_TYPE1v2_IOMMU. */
long prereg_type1_ioctl(unsigned long id, unsigned int cmd, unsigned long arg);

/* The answer to CHECK_EXTENSION before SET_IOMMU, and what it says of features. */
long prereg_type1_check_extension(unsigned long extension);

/* ---- dma.c, emulated.c ------------------------------------------------- */

/* Containers of types 1 and 3; what their files share is in dma.h. */

/* Return: NULL: no memory. */
struct prereg_type1 *prereg_type1_alloc(bool v2);

/* As prereg_container_disown(), but may drop container->lock meanwhile. */
void prereg_type1_disown(struct prereg_container *container,
			 struct prereg_owner *owner);

/* As prereg_container_hw_goes(). */
void prereg_type1_hw_goes(struct prereg_container *container);

/* Unmap everything, give up all claims and free container->type1. container->lock held. */
void prereg_type1_free(struct prereg_container *container);

/*
 * VFIO attaches a group; one without an IOMMU is of emulated devices. Return: 0;
 * -EINVAL attached already; what prereg_hw_attach() and, for what was mapped
 * before there was an IOMMU, prereg_region_get_implicit() say.
 */
int prereg_type1_attach(unsigned long id, struct iommu_group *group,
			bool emulated);
void prereg_type1_detach(unsigned long id, struct iommu_group *group);

int prereg_dma_init(void);
void prereg_dma_exit(void);

/* What VFIO offers to drivers of emulated devices, see struct vfio_iommu_driver_ops. */
int prereg_emulated_pin_pages(void *iommu_data, struct iommu_group *group,
			      dma_addr_t user_iova, int npage, int prot,
			      struct page **pages);
void prereg_emulated_unpin_pages(void *iommu_data, dma_addr_t user_iova,
				 int npage);
void prereg_emulated_register_device(void *iommu_data,
				     struct vfio_device *vdev);
void prereg_emulated_unregister_device(void *iommu_data,
				       struct vfio_device *vdev);
int prereg_emulated_dma_rw(void *iommu_data, dma_addr_t user_iova, void *data,
			   size_t count, bool write);

#endif
