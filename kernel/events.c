// SPDX-License-Identifier: GPL-2.0-only
/*
 * events: what happened, for those who listen on the netlink family.
 *
 * Many things happen where memory must not be allocated (an owner's end, reclaim)
 * and where nobody may be waited for. So what is to be told is noted in a ring of
 * fixed size, and a work item makes messages of it. Nobody listens: nothing is noted.
 */
#include <linux/ktime.h>
#include <linux/pid.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/workqueue.h>
#include <net/genetlink.h>

#include "compat/netlink.h"
#include "netlink.h"

/* A power of two. */
#define PREREG_EVENTS_MAX	1024

/**
 * struct prereg_note - an event in the ring
 * @event: what is to be told
 * @time: when it happened, CLOCK_BOOTTIME in ns
 * @owner_id: whose memory it is about
 * @pid: of the owner, in the initial pid namespace
 * @uid: of the owner, in the initial user namespace
 * @comm: of the owner
 * @lost: how many were lost before it
 */
struct prereg_note {
	struct prereg_event	event;
	u64			time;
	u64			owner_id;
	pid_t			pid;
	uid_t			uid;
	char			comm[TASK_COMM_LEN];
	long			lost;
};

/* Numbers of the next note that comes and that goes; the lock protects all three. */
static struct prereg_note *prereg_notes;
static unsigned int prereg_notes_in, prereg_notes_out;
static DEFINE_SPINLOCK(prereg_notes_lock);

static struct workqueue_struct *prereg_events_queue;
static void prereg_events_send(struct work_struct *work);
static DECLARE_WORK(prereg_events_work, prereg_events_send);

static unsigned int event_group(u8 command)
{
	return command == PREREG_CMD_REGION_PUT_NTF ? PREREG_GROUP_REGIONS :
						      PREREG_GROUP_OWNERS;
}

bool prereg_event_wanted(u8 command)
{
	return prereg_netlink_up() &&
	       genl_has_listeners(&prereg_family, &init_net,
				  event_group(command));
}

void prereg_event_post(const struct prereg_owner *owner,
		       const struct prereg_event *event)
{
	struct prereg_note *note;
	bool room;

	spin_lock(&prereg_notes_lock);
	room = prereg_notes_in - prereg_notes_out < PREREG_EVENTS_MAX;
	if (room) {
		note = &prereg_notes[prereg_notes_in++ % PREREG_EVENTS_MAX];
		note->event = *event;
		note->time = ktime_get_boottime_ns();
		note->owner_id = prereg_owner_id(owner);
		note->pid = pid_nr(owner->who.pid);
		note->uid = from_kuid(&init_user_ns, owner->who.uid);
		memcpy(note->comm, owner->who.comm, TASK_COMM_LEN);
		note->lost =
			atomic_long_read(&prereg_totals[PREREG_TOTAL_EVENTS_LOST]);
	} else {
		prereg_total_add(PREREG_TOTAL_EVENTS_LOST, 1);
	}
	spin_unlock(&prereg_notes_lock);
	if (room)
		queue_work(prereg_events_queue, &prereg_events_work);
}

static bool note_take(struct prereg_note *note)
{
	bool any;

	spin_lock(&prereg_notes_lock);
	any = prereg_notes_in != prereg_notes_out;
	if (any)
		*note = prereg_notes[prereg_notes_out++ % PREREG_EVENTS_MAX];
	spin_unlock(&prereg_notes_lock);
	return any;
}

static int put_u64(struct sk_buff *skb, int attribute, u64 value)
{
	return nla_put_u64_64bit(skb, attribute, value, PREREG_A_EVENT_PAD);
}

/* What only some events have. */
static int note_fill_event(struct sk_buff *skb, const struct prereg_event *event)
{
	switch (event->command) {
	case PREREG_CMD_REGISTERED_NTF:
		return put_u64(skb, PREREG_A_EVENT_CONTAINER_ID,
			       event->container_id);
	case PREREG_CMD_RELEASE_NTF:
		return put_u64(skb, PREREG_A_EVENT_BYTES, event->bytes) ?:
		       put_u64(skb, PREREG_A_EVENT_MAPPINGS, event->mappings) ?:
		       put_u64(skb, PREREG_A_EVENT_DURATION_NS,
			       event->duration_ns);
	case PREREG_CMD_ADOPTED_NTF:
		return put_u64(skb, PREREG_A_EVENT_CONTAINER_ID,
			       event->container_id) ?:
		       nla_put_u32(skb, PREREG_A_EVENT_ORPHAN_PID,
				   event->orphan_pid);
	case PREREG_CMD_REFUSED_NTF:
		return put_u64(skb, PREREG_A_EVENT_BYTES, event->bytes) ?:
		       put_u64(skb, PREREG_A_EVENT_LIMIT_BYTES, event->limit) ?:
		       put_u64(skb, PREREG_A_EVENT_LOCKED_BYTES, event->locked);
	default:
		return put_u64(skb, PREREG_A_EVENT_VADDR, event->vaddr) ?:
		       put_u64(skb, PREREG_A_EVENT_BYTES, event->bytes);
	}
}

static int note_fill(struct sk_buff *skb, const struct prereg_note *note)
{
	return put_u64(skb, PREREG_A_EVENT_TIME_NS, note->time) ?:
	       put_u64(skb, PREREG_A_EVENT_OWNER_ID, note->owner_id) ?:
	       nla_put_u32(skb, PREREG_A_EVENT_PID, note->pid) ?:
	       nla_put_u32(skb, PREREG_A_EVENT_UID, note->uid) ?:
	       nla_put_string(skb, PREREG_A_EVENT_COMM, note->comm) ?:
	       put_u64(skb, PREREG_A_EVENT_LOST, note->lost) ?:
	       note_fill_event(skb, &note->event);
}

static void note_send(const struct prereg_note *note)
{
	struct sk_buff *skb = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	void *head = NULL;

	if (skb)
		head = genlmsg_put(skb, 0, 0, &prereg_family, 0,
				   note->event.command);
	if (!head || note_fill(skb, note)) {
		prereg_total_add(PREREG_TOTAL_EVENTS_LOST, 1);
		nlmsg_free(skb);
		return;
	}
	genlmsg_end(skb, head);
	/* That nobody listens any more is no error; who is slow is told ENOBUFS. */
	prereg_compat_multicast(&prereg_family, &init_net, skb,
				event_group(note->event.command));
}

static void prereg_events_send(struct work_struct *work)
{
	struct prereg_note note;

	while (note_take(&note)) {
		note_send(&note);
		cond_resched();
	}
}

int prereg_events_init(void)
{
	prereg_notes = kvcalloc(PREREG_EVENTS_MAX, sizeof(*prereg_notes),
				GFP_KERNEL);
	if (!prereg_notes)
		return -ENOMEM;
	prereg_events_queue = alloc_workqueue("vfio_prereg_events", WQ_UNBOUND,
					      0);
	if (prereg_events_queue)
		return 0;
	kvfree(prereg_notes);
	return -ENOMEM;
}

void prereg_events_exit(void)
{
	destroy_workqueue(prereg_events_queue);
	kvfree(prereg_notes);
}
