// SPDX-License-Identifier: GPL-2.0-only
/*
 * owner: an mm with registered memory, and what happens when it ends.
 *
 * The mmu_notifier's release() is called by exit_mmap(), that is by whoever
 * does the last mmput(): the exiting task, a task in execve() that leaves its
 * old mm, or somebody who only looked into /proc/PID/ at that moment. It runs
 * before the mm's memory is freed and does not care who holds mm_count (lazy
 * TLB users, /proc/PID/mem) or any file descriptor.
 */
#include <linux/cred.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "../include/uapi/linux/vfio_prereg_netlink.h"
#include "prereg.h"
#define CREATE_TRACE_POINTS
#include "trace.h"

static atomic_long_t prereg_owners_alive;
static DECLARE_WAIT_QUEUE_HEAD(prereg_owners_gone);
/* Of our own: what waits in it waits for a stranger's mmap_lock. */
static struct workqueue_struct *prereg_settle_queue;

/* Those that have a claim, by id; the lock protects the next three. */
static DEFINE_SPINLOCK(prereg_owners_lock);
static struct rb_root prereg_owners = RB_ROOT;
static unsigned int prereg_owners_changed;
static u64 prereg_owners_last_id;

void prereg_who_get(struct prereg_who *who)
{
	who->pid = get_pid(task_tgid(current));
	who->uid = current_euid();
	get_task_comm(who->comm, current->group_leader);
	who->since = ktime_get_boottime_ns();
}

void prereg_who_copy(struct prereg_who *who, const struct prereg_who *from)
{
	*who = *from;
	get_pid(who->pid);
}

void prereg_who_put(struct prereg_who *who)
{
	put_pid(who->pid);
	who->pid = NULL;
}

struct prereg_owner *prereg_owner_find(u64 first, u64 last)
{
	struct prereg_owner *owner = NULL;
	struct prereg_range *range;

	spin_lock(&prereg_owners_lock);
	range = prereg_range_find(&prereg_owners, first, last);
	if (range) {
		/* Its claims, which leave the tree before they go, keep it alive. */
		owner = container_of(range, struct prereg_owner, listed);
		prereg_owner_hold(owner);
	}
	spin_unlock(&prereg_owners_lock);
	return owner;
}

unsigned int prereg_owners_changes(void)
{
	return READ_ONCE(prereg_owners_changed);
}

/* The owner got its first claim, or lost its last. owner->lock held, so they alternate. */
static void owner_list(struct prereg_owner *owner, bool listed)
{
	spin_lock(&prereg_owners_lock);
	WRITE_ONCE(prereg_owners_changed, prereg_owners_changed + 1);
	if (listed)
		prereg_range_insert(&owner->listed, &prereg_owners);
	else
		prereg_range_remove(&owner->listed, &prereg_owners);
	spin_unlock(&prereg_owners_lock);
}

/* Return owner->debt to RLIMIT_MEMLOCK. mmap_lock held for writing. */
static void owner_settle_locked(struct prereg_owner *owner)
{
	long npages = atomic_long_xchg(&owner->debt, 0);

	__account_locked_vm(owner->mm, abs(npages), npages < 0, current, true);
	WRITE_ONCE(owner->charged_pages, owner->charged_pages - npages);
	prereg_stat_add(PREREG_STAT_CHARGED_PAGES, -npages);
}

static void prereg_owner_settle(struct prereg_owner *owner)
{
	if (!atomic_long_read(&owner->debt))
		return;
	/* Who finds none, under the lock, has waited for who took it; without it, that one is about to return it. */
	mmap_write_lock(owner->mm);
	owner_settle_locked(owner);
	mmap_write_unlock(owner->mm);
}

/*
 * Until what others (the shrinker, an invalidation, a close) took of what is kept is unpinned.
 * They wait for no lock of ours meanwhile: what is kept has no page to be dirtied, and its charge
 * goes to the work item.
 */
static void owner_wait_dropped(struct prereg_owner *owner)
{
	/* Pairs with the unlock in prereg_kept_free(): the debt is seen. */
	wait_event(owner->pinned, !smp_load_acquire(&owner->dropping));
}

static void prereg_owner_settle_work(struct work_struct *work)
{
	struct prereg_owner *owner =
		container_of(work, struct prereg_owner, settle);

	prereg_owner_settle(owner);
	prereg_owner_drop(owner);
}

#ifdef PREREG_DEBUG_PUT_FIRST
/*
 * What the kernel did in 2016: pages go back at exit while entries that name
 * them live on until the file is closed. Built only to show that the dma
 * test notices.
 */
static void prereg_owner_release(struct mmu_notifier *notifier,
				 struct mm_struct *mm)
{
	struct prereg_owner *owner =
		container_of(notifier, struct prereg_owner, notifier);
	struct prereg_range *range;

	for (range = prereg_range_find(&owner->regions, 0, U64_MAX); range;
	     range = prereg_range_next(range))
		prereg_region_unpin(container_of(range, struct prereg_region,
						 range));
}
#else
static struct prereg_container *
prereg_owner_first_container(struct prereg_owner *owner)
{
	struct prereg_container *container = NULL;
	struct prereg_claim *claim;

	spin_lock(&owner->lock);
	claim = list_first_entry_or_null(&owner->claims, struct prereg_claim,
					 owner_entry);
	if (claim)
		container = claim->container;
	spin_unlock(&owner->lock);
	/* Whether it is still ours is seen under its lock; it is never freed. */
	return container;
}

/* The owner ended: count and tell what that was. */
static void owner_tell_release(struct prereg_owner *owner, u64 pages,
			       u64 mappings, u64 start)
{
	u64 ns = ktime_get_boottime_ns() - start;

	prereg_total_add(PREREG_TOTAL_RELEASES, 1);
	prereg_total_add(PREREG_TOTAL_RELEASED_PAGES, pages);
	prereg_total_add(PREREG_TOTAL_REVOKED_MAPPINGS, mappings);
	trace_prereg_release(prereg_owner_id(owner), pages << PAGE_SHIFT,
			     mappings, ns);
	if (prereg_event_wanted(PREREG_CMD_RELEASE_NTF))
		prereg_event_post(owner, &(struct prereg_event) {
			.command	= PREREG_CMD_RELEASE_NTF,
			.bytes		= pages << PAGE_SHIFT,
			.mappings	= mappings,
			.duration_ns	= ns,
		});
}

/*
 * The mm lost its last user: every mapping of its memory is revoked and
 * flushed, then every page is put, before this returns.
 *
 * Who may run at this moment:
 *  - a call of the owner's (REGISTER, MAP, ...), or of somebody who took mm_users:
 *    no. It would hold mm_users.
 *  - a call of another process: it fails with EPERM under container->lock, or
 *    it became the next owner after us (spapr_v2); it maps memory of its own or
 *    unmaps some of ours (type1). It never sees half of this.
 *  - detach, the last close, VFIO's release by another process: tear-down under
 *    container->lock. Whoever comes first does the work, the other one waits
 *    for that lock and finds nothing left. A claim leaves owner->claims only
 *    after everything was put, so an empty list means that nothing of this mm
 *    is pinned but what is kept, and nothing more is kept then.
 *  - attach by another process: replays mappings under container->lock, before
 *    us (then we unmap them from the new domain too) or after us (none left).
 *  - an invalidation by another process (a hole punched into a shared file), the
 *    shrinker or a close, which took something kept: exit_mmap() waits for the first
 *    in mmu_notifier_release(), and all are counted in owner->dropping.
 *  - our own last prereg_owner_put(), from disown below or from another process:
 *    the struct is freed after an SRCU period, which cannot end before the
 *    SRCU section that calls us.
 *
 * Nobody waits for us while we wait: mmap_lock is not held here, and no holder of
 * container->lock waits for this mm, its SRCU section or its exit.
 */
static void prereg_owner_release(struct mmu_notifier *notifier,
				 struct mm_struct *mm)
{
	struct prereg_owner *owner =
		container_of(notifier, struct prereg_owner, notifier);
	u64 pages = atomic_long_read(&owner->registered_pages), mappings = 0;
	u64 stuck = atomic_long_read(&owner->stuck_pages);
	struct prereg_container *container;
	u64 start = ktime_get_boottime_ns();
	unsigned long before;
	bool any = pages;

	while ((container = prereg_owner_first_container(owner))) {
		any = true;
		mutex_lock(&container->lock);
		before = container->nmappings;
		prereg_container_disown(container, owner);
		/* Where emulated devices were told, others may have mapped meanwhile. */
		if (before > container->nmappings)
			mappings += before - container->nmappings;
		mutex_unlock(&container->lock);
	}

	/* Nothing more is kept of an mm without claims; but has all of it gone? */
	prereg_kept_trim(owner, 0);
	owner_wait_dropped(owner);
	/* What a tear-down by another process left to the work item. */
	prereg_owner_settle(owner);
	WARN_ON(!RB_EMPTY_ROOT(&owner->regions));
	pages -= atomic_long_read(&owner->stuck_pages) - stuck;
	if (any)
		owner_tell_release(owner, pages, mappings, start);
}
#endif

static struct mmu_notifier *prereg_owner_alloc(struct mm_struct *mm)
{
	struct prereg_owner *owner;

	owner = kzalloc(sizeof(*owner), GFP_KERNEL_ACCOUNT);
	if (!owner)
		return ERR_PTR(-ENOMEM);

	kref_init(&owner->ref);
	mmgrab(mm);
	owner->mm = mm;
	spin_lock_init(&owner->lock);
	owner->regions = RB_ROOT;
	INIT_LIST_HEAD(&owner->claims);
	INIT_LIST_HEAD(&owner->kept);
	init_waitqueue_head(&owner->pinned);
	INIT_WORK(&owner->settle, prereg_owner_settle_work);
	prereg_who_get(&owner->who);
	spin_lock(&prereg_owners_lock);
	owner->listed.first = owner->listed.last = ++prereg_owners_last_id;
	spin_unlock(&prereg_owners_lock);
	atomic_long_inc(&prereg_owners_alive);
	prereg_stat_add(PREREG_STAT_OWNERS, 1);
	return &owner->notifier;
}

/* After an SRCU period, with bottom halves off. */
static void prereg_owner_free(struct mmu_notifier *notifier)
{
	prereg_owner_drop(container_of(notifier, struct prereg_owner,
				       notifier));
}

/* Does it change what is at the addresses, or what may be done with it? */
static bool invalidates(const struct mmu_notifier_range *range)
{
	const struct vm_area_struct *vma;

	switch (range->event) {
	case MMU_NOTIFY_PROTECTION_PAGE:
	case MMU_NOTIFY_SOFT_DIRTY:
		return false;
	case MMU_NOTIFY_PROTECTION_VMA:
		/*
		 * mprotect(), which is about one vma, whose flags are new already; or NUMA
		 * balancing and userfaultfd, which change nothing that is pinned. All
		 * hold mmap_lock.
		 */
		vma = find_vma(range->mm, range->start);
		return !vma || !(vma->vm_flags & VM_WRITE);
	default:
		return true;
	}
}

/* Does the process itself unmap or replace it? */
static bool by_owner(const struct mmu_notifier_range *range)
{
	/* Reclaim and compaction in its own context are not its doing. */
	return current->mm == range->mm && !(current->flags & PF_MEMALLOC) &&
	       (range->event == MMU_NOTIFY_UNMAP ||
		range->event == MMU_NOTIFY_CLEAR);
}

/*
 * Called before page table entries go, with any of mmap_lock, rmap locks and page locks
 * held. Pinned pages stay pinned as long as something maps them; but nobody may
 * share them from now on without a look at what is there. (The kernel announces more than
 * it does: reclaim and compaction of pages that are pinned fail later, and a huge page
 * is split before a part of it is unmapped.)
 *
 * What is being pinned at this moment: regions are entered in owner->regions before
 * they are pinned, so those are seen here; those entered between our start and our end
 * see us in owner->invalidations (see region_list()).
 */
static int prereg_owner_invalidate_start(struct mmu_notifier *notifier,
					 const struct mmu_notifier_range *range)
{
	struct prereg_owner *owner =
		container_of(notifier, struct prereg_owner, notifier);

	prereg_regions_invalidate(owner, range->start, range->end - 1,
				  invalidates(range),
				  mmu_notifier_range_blockable(range));
	return 0;
}

static void prereg_owner_invalidate_end(struct mmu_notifier *notifier,
					const struct mmu_notifier_range *range)
{
	struct prereg_owner *owner =
		container_of(notifier, struct prereg_owner, notifier);

	spin_lock(&owner->lock);
	owner->invalidations--;
	spin_unlock(&owner->lock);
	if (by_owner(range))
		prereg_regions_judge(owner, range->start, range->end - 1,
				     range->event == MMU_NOTIFY_UNMAP,
				     mmu_notifier_range_blockable(range));
}

static const struct mmu_notifier_ops prereg_owner_ops = {
	.release	= prereg_owner_release,
	.invalidate_range_start	= prereg_owner_invalidate_start,
	.invalidate_range_end	= prereg_owner_invalidate_end,
	.alloc_notifier	= prereg_owner_alloc,
	.free_notifier	= prereg_owner_free,
};

struct prereg_owner *prereg_owner_get_current(void)
{
	struct mm_struct *mm = current->mm;
	struct mmu_notifier *notifier;

	if (mmap_write_lock_killable(mm))
		return ERR_PTR(-EINTR);
	notifier = mmu_notifier_get_locked(&prereg_owner_ops, mm);
	mmap_write_unlock(mm);
	/* mm_take_all_locks() gives up at any signal, not only at a fatal one. */
	if (PTR_ERR_OR_ZERO(notifier) == -EINTR && !fatal_signal_pending(current))
		return ERR_PTR(-ERESTARTNOINTR);
	if (IS_ERR(notifier))
		return ERR_CAST(notifier);
	return container_of(notifier, struct prereg_owner, notifier);
}

void prereg_owner_put(struct prereg_owner *owner)
{
	mmu_notifier_put(&owner->notifier);
}

void prereg_claim_enter(struct prereg_claim *claim)
{
	struct prereg_container *container = claim->container;
	struct prereg_owner *owner = claim->owner;
	bool first;

	lockdep_assert_held(&container->lock);

	spin_lock(&owner->lock);
	first = list_empty(&owner->claims);
	list_add(&claim->owner_entry, &owner->claims);
	if (first)
		owner_list(owner, true);
	spin_unlock(&owner->lock);

	if (first && prereg_event_wanted(PREREG_CMD_REGISTERED_NTF))
		prereg_event_post(owner, &(struct prereg_event) {
			.command	= PREREG_CMD_REGISTERED_NTF,
			.container_id	= container->id,
		});
	if (container->orphan.who.pid &&
	    prereg_event_wanted(PREREG_CMD_ADOPTED_NTF))
		prereg_event_post(owner, &(struct prereg_event) {
			.command	= PREREG_CMD_ADOPTED_NTF,
			.container_id	= container->id,
			.orphan_pid	= pid_nr(container->orphan.who.pid),
		});
	prereg_container_adopt(container);
}

void prereg_claim_leave(struct prereg_claim *claim)
{
	struct prereg_owner *owner = claim->owner;
	bool last;

	lockdep_assert_held(&claim->container->lock);

	prereg_owner_hold(owner);
	spin_lock(&owner->lock);
	list_del(&claim->owner_entry);
	last = list_empty(&owner->claims);
	if (last)
		owner_list(owner, false);
	spin_unlock(&owner->lock);
	/* Without a notifier, which may go below, the mm's end would not wait for it. */
	if (last) {
		prereg_kept_trim(owner, 0);
		owner_wait_dropped(owner);
	}
	prereg_owner_pay(owner);
	/* The owner ended; or the container goes, and nobody sees this. */
	prereg_container_orphan(claim->container, owner);
	prereg_owner_put(owner);
	prereg_owner_drop(owner);
}

void prereg_owner_hold(struct prereg_owner *owner)
{
	kref_get(&owner->ref);
}

static void prereg_owner_destroy(struct kref *ref)
{
	struct prereg_owner *owner =
		container_of(ref, struct prereg_owner, ref);

	mmdrop(owner->mm);
	prereg_who_put(&owner->who);
	kfree(owner);
	prereg_stat_add(PREREG_STAT_OWNERS, -1);
	if (atomic_long_dec_and_test(&prereg_owners_alive))
		wake_up_all(&prereg_owners_gone);
}

int prereg_owners_init(void)
{
	prereg_settle_queue = alloc_workqueue("vfio_prereg", WQ_UNBOUND, 0);
	return prereg_settle_queue ? 0 : -ENOMEM;
}

void prereg_owners_exit(void)
{
	wait_event(prereg_owners_gone, !atomic_long_read(&prereg_owners_alive));
	destroy_workqueue(prereg_settle_queue);
}

void prereg_owner_drop(struct prereg_owner *owner)
{
	kref_put(&owner->ref, prereg_owner_destroy);
}

void prereg_owner_refused(struct prereg_owner *owner, unsigned long npages,
			  const struct prereg_payer *payer)
{
	struct task_struct *task = payer ? payer->task : current;

	prereg_total_add(PREREG_TOTAL_REFUSED_MEMLOCK, 1);
	if (prereg_event_wanted(PREREG_CMD_REFUSED_NTF))
		prereg_event_post(owner, &(struct prereg_event) {
			.command	= PREREG_CMD_REFUSED_NTF,
			.bytes		= (u64)npages << PAGE_SHIFT,
			.limit		= task_rlimit(task, RLIMIT_MEMLOCK),
			.locked		= (u64)READ_ONCE(owner->mm->locked_vm) <<
					  PAGE_SHIFT,
		});
}

static int owner_charge(struct prereg_owner *owner, unsigned long npages,
			const struct prereg_payer *payer)
{
	int ret;

	/* Killable: it may be a stranger's. */
	if (mmap_write_lock_killable(owner->mm))
		return -EINTR;
	owner_settle_locked(owner);
	ret = __account_locked_vm(owner->mm, npages, true, payer->task,
				  payer->lock_cap);
	if (!ret)
		WRITE_ONCE(owner->charged_pages, owner->charged_pages + npages);
	mmap_write_unlock(owner->mm);
	return ret;
}

int prereg_owner_charge(struct prereg_owner *owner, unsigned long npages,
			const struct prereg_payer *payer)
{
	struct prereg_payer self;
	int ret;

	if (!payer) {
		self.task = current;
		self.lock_cap = capable(CAP_IPC_LOCK);
		payer = &self;
	}
	ret = owner_charge(owner, npages, payer);
	if (ret == -ENOMEM && prereg_kept_trim(owner, 0))
		ret = owner_charge(owner, npages, payer);
	if (!ret)
		prereg_stat_add(PREREG_STAT_CHARGED_PAGES, npages);
	return ret;
}

/*
 * The owner's own calls wait for its mmap_lock, and so does release(): with
 * mm_users 0 only kernel helpers (the OOM reaper) still take the lock, for as
 * long as they make progress. A tear-down by another process, which may hold
 * VFIO's locks, never waits for a living stranger's lock (a page fault may hold
 * it for as long as a FUSE server likes): a work item does, or release().
 */
void prereg_owner_pay(struct prereg_owner *owner)
{
	if (!atomic_long_read(&owner->debt))
		return;
	if (current->mm == owner->mm || !atomic_read(&owner->mm->mm_users)) {
		prereg_owner_settle(owner);
		return;
	}
	prereg_owner_pay_later(owner);
}

void prereg_owner_pay_later(struct prereg_owner *owner)
{
	if (!atomic_long_read(&owner->debt))
		return;
	prereg_owner_hold(owner);
	if (!queue_work(prereg_settle_queue, &owner->settle))
		prereg_owner_drop(owner);
}
