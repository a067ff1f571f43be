// SPDX-License-Identifier: GPL-2.0
/* Who listens to the module's events, all of them: what came is noted. */
#include "../../../include/uapi/linux/vfio_prereg_netlink.h"

#include "fake.h"
#include "prereg.h"

static struct prereg_event last[__PREREG_CMD_MAX];
static unsigned int counts[__PREREG_CMD_MAX];

bool prereg_event_wanted(u8 command)
{
	return command < __PREREG_CMD_MAX;
}

void prereg_event_post(const struct prereg_owner *owner,
		       const struct prereg_event *event)
{
	(void)owner;
	last[event->command] = *event;
	counts[event->command]++;
}

unsigned int fake_events(u8 command)
{
	unsigned int n = counts[command];

	counts[command] = 0;
	return n;
}

const struct prereg_event *fake_event_last(u8 command)
{
	return &last[command];
}

int prereg_events_init(void)
{
	return 0;
}

void prereg_events_exit(void)
{
}

void prereg_netlink_init(void)
{
}

void prereg_netlink_exit(void)
{
}
