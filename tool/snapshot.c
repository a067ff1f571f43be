// SPDX-License-Identifier: GPL-2.0
/*
 * What the module holds at one moment: owners and containers, and which of the one is in which of the other.
 *
 * They come in two dumps, between which things may change. An owner's share of a container that names an
 * owner that the first dump did not have is left out; nothing here relies on both to agree.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static int add_owner(const struct prereg_owner *owner, void *data)
{
	struct snapshot *snapshot = data;
	struct owner_row *row;

	snapshot->owners = grown(snapshot->owners, snapshot->nowners + 1, sizeof(*row));
	row = &snapshot->owners[snapshot->nowners++];
	memset(row, 0, sizeof(*row));
	row->o = *owner;
	row->o.comm = text_clean(owner->comm ?: "");
	row->user = user_name(owner->uid);
	return 0;
}

static void *copied(const void *array, size_t n, size_t size)
{
	void *copy = grown(NULL, n + 1, size);

	if (n)
		memcpy(copy, array, n * size);
	return copy;
}

static int add_container(const struct prereg_container *container, void *data)
{
	struct snapshot *snapshot = data;
	struct container_row *row;
	char *text;
	size_t i, j;

	snapshot->containers = grown(snapshot->containers, snapshot->ncontainers + 1, sizeof(*row));
	row = &snapshot->containers[snapshot->ncontainers++];
	memset(row, 0, sizeof(*row));
	row->c = *container;
	row->c.groups = copied(container->groups, container->ngroups, sizeof(*container->groups));
	row->c.shares = copied(container->shares, container->nshares, sizeof(*container->shares));
	row->c.windows = copied(container->windows, container->nwindows, sizeof(*container->windows));
	row->c.orphan_comm = text_clean(container->orphan_comm ?: "");
	row->user = user_name(container->uid);

	for (i = 0; i < container->ngroups; i++) {
		struct names devices = sys_names("/sys/kernel/iommu_groups/%u/devices", container->groups[i]);

		text = text_printf("%u", container->groups[i]);
		text_add_line(&row->groups, text);
		free(text);
		for (j = 0; j < devices.n; j++)
			text_add_line(&row->devices, devices.name[j]);
		names_free(&devices);
	}
	return 0;
}

const struct prereg_share *container_share(const struct container_row *row, uint64_t owner_id)
{
	size_t i;

	for (i = 0; i < row->c.nshares; i++)
		if (row->c.shares[i].owner_id == owner_id)
			return &row->c.shares[i];
	return NULL;
}

static void add_to_owner(struct owner_row *owner, const struct container_row *container)
{
	char *id = text_printf("%llu", (unsigned long long)container->c.id);

	text_add_line(&owner->container_ids, id);
	free(id);
	if (container->groups)
		text_add_line(&owner->groups, container->groups);
	if (container->devices)
		text_add_line(&owner->devices, container->devices);
}

static void join(struct snapshot *snapshot)
{
	const size_t nowners = snapshot->nowners;
	size_t i, j;

	for (j = 0; j < snapshot->ncontainers; j++) {
		const struct container_row *container = &snapshot->containers[j];

		for (i = 0; i < nowners; i++) {
			struct owner_row *owner = &snapshot->owners[i];
			const struct prereg_share *share = container_share(container, owner->o.id);

			if (!share)
				continue;
			owner->mappings += share->mappings;
			owner->mapped += share->mapped;
			add_to_owner(owner, container);
		}
		if (container->c.orphan) {
			const struct prereg_owner gone = {
				.pid = container->c.orphan_pid, .uid = container->c.uid,
				.comm = container->c.orphan_comm, .age_ms = container->c.orphan_ms, .containers = 1,
			};

			add_owner(&gone, snapshot);
			snapshot->owners[snapshot->nowners - 1].orphan = true;
			add_to_owner(&snapshot->owners[snapshot->nowners - 1], container);
			snapshot->norphans++;
		}
	}
}

bool snapshot_take(struct prereg_view *view, struct snapshot *snapshot)
{
	memset(snapshot, 0, sizeof(*snapshot));
	if (prereg_view_owners(view, add_owner, snapshot) || prereg_view_containers(view, add_container, snapshot))
		return false;
	join(snapshot);
	return true;
}

void snapshot_say_busy(const struct snapshot *snapshot)
{
	size_t i;

	for (i = 0; i < snapshot->ncontainers; i++)
		if (snapshot->containers[i].c.busy)
			complain("container %llu is busy, so what its owners have mapped in it is not counted: try again.",
				 (unsigned long long)snapshot->containers[i].c.id);
}

void snapshot_free(struct snapshot *snapshot)
{
	while (snapshot->nowners) {
		struct owner_row *row = &snapshot->owners[--snapshot->nowners];

		free((char *)row->o.comm);
		free(row->user);
		free(row->groups);
		free(row->devices);
		free(row->container_ids);
	}
	while (snapshot->ncontainers) {
		struct container_row *row = &snapshot->containers[--snapshot->ncontainers];

		free((void *)row->c.groups);
		free((void *)row->c.shares);
		free((void *)row->c.windows);
		free((char *)row->c.orphan_comm);
		free(row->user);
		free(row->groups);
		free(row->devices);
	}
	free(snapshot->owners);
	free(snapshot->containers);
	memset(snapshot, 0, sizeof(*snapshot));
}

/* ---- the columns ---- */

#define OWNER_COLUMN(getter, assign)							\
	static void getter(const void *data, struct value *value)			\
	{										\
		const struct owner_row *row = data;					\
											\
		assign;									\
	}

/* What a container without owner has none of. */
#define LIVING(expression) do { value->number = (expression); value->absent = row->orphan; } while (0)

OWNER_COLUMN(get_id, LIVING(row->o.id))
OWNER_COLUMN(get_pid, value->number = row->o.pid; value->absent = !row->o.pid)
OWNER_COLUMN(get_comm, value->text = row->o.comm; value->absent = !*row->o.comm)
OWNER_COLUMN(get_user, value->text = row->user)
OWNER_COLUMN(get_uid, value->number = row->o.uid)
OWNER_COLUMN(get_state, value->text = row->orphan ? "orphan" : row->o.pid ? "alive" : "shared")
OWNER_COLUMN(get_registered, LIVING(row->o.registered))
OWNER_COLUMN(get_mapped, LIVING(row->mapped))
OWNER_COLUMN(get_charged, LIVING(row->o.charged))
OWNER_COLUMN(get_kept, LIVING(row->o.kept))
OWNER_COLUMN(get_regions, LIVING(row->o.regions))
OWNER_COLUMN(get_mappings, LIVING(row->mappings))
OWNER_COLUMN(get_stale, LIVING(row->o.stale_mappings))
OWNER_COLUMN(get_containers, value->number = row->o.containers)
OWNER_COLUMN(get_devices, value->text = row->devices)
OWNER_COLUMN(get_groups, value->text = row->groups)
OWNER_COLUMN(get_container_ids, value->text = row->container_ids)
OWNER_COLUMN(get_age, value->number = row->o.age_ms)

const struct column owner_columns[] = {
	{ "PID", VALUE_NUMBER, true, false, "of the process; an orphan's: that ended", get_pid },
	{ "COMMAND", VALUE_TEXT, true, true, "its name then", get_comm },
	{ "USER", VALUE_TEXT, true, true, "its user; an orphan's: that made it", get_user },
	{ "STATE", VALUE_TEXT, true, false, "alive, shared (*) or orphan (**)", get_state },
	{ "REGISTERED", VALUE_SIZE, true, false, "pinned", get_registered },
	{ "MAPPED", VALUE_SIZE, true, false, "for DMA, of all its containers", get_mapped },
	{ "CHARGED", VALUE_SIZE, true, false, "to its RLIMIT_MEMLOCK", get_charged },
	{ "CONTAINERS", VALUE_NUMBER, true, false, "in which it has something", get_containers },
	{ "DEVICES", VALUE_TEXTS, true, true, "in these containers", get_devices },
	{ "AGE", VALUE_AGE, true, false, "since it registered; an orphan's: is one", get_age },
	{ "ID", VALUE_NUMBER, false, false, "of the owner, never used twice", get_id },
	{ "UID", VALUE_NUMBER, false, false, "number of USER", get_uid },
	{ "KEPT", VALUE_SIZE, false, false, "pinned, but used by no container", get_kept },
	{ "REGIONS", VALUE_NUMBER, false, false, "registered ranges", get_regions },
	{ "MAPPINGS", VALUE_NUMBER, false, false, "in all its containers", get_mappings },
	{ "STALE", VALUE_NUMBER, false, false, "times it unmapped memory mapped for DMA", get_stale },
	{ "GROUPS", VALUE_NUMBERS, false, true, "IOMMU groups of its containers", get_groups },
	{ "CONTAINER_IDS", VALUE_TEXTS, false, true, "numbers of its containers", get_container_ids },
};

const size_t owner_ncolumns = ARRAY_SIZE(owner_columns);

#define CONTAINER_COLUMN(getter, assign)						\
	static void getter(const void *data, struct value *value)			\
	{										\
		const struct container_row *row = data;					\
											\
		assign;									\
	}

/* What the module does not tell of a busy one. */
#define KNOWN(expression) do { (expression); value->absent = row->c.busy; } while (0)

CONTAINER_COLUMN(get_c_id, value->number = row->c.id)
CONTAINER_COLUMN(get_c_type, KNOWN(value->number = row->c.type))
CONTAINER_COLUMN(get_c_pid, value->number = row->c.pid; value->absent = !row->c.pid)
CONTAINER_COLUMN(get_c_user, KNOWN(value->text = row->user))
CONTAINER_COLUMN(get_c_uid, KNOWN(value->number = row->c.uid))
CONTAINER_COLUMN(get_c_state, value->text = row->c.busy ? "busy" :
		 row->c.orphan ? "orphan" : row->c.nshares ? "owned" : "empty")
CONTAINER_COLUMN(get_c_mappings, value->number = row->c.mappings)
CONTAINER_COLUMN(get_c_mapped, value->number = row->c.mapped)
CONTAINER_COLUMN(get_c_owners, KNOWN(value->number = row->c.nshares))
CONTAINER_COLUMN(get_c_windows, KNOWN(value->number = row->c.nwindows))
CONTAINER_COLUMN(get_c_groups, value->text = row->groups)
CONTAINER_COLUMN(get_c_devices, value->text = row->devices)
CONTAINER_COLUMN(get_c_emulated, KNOWN(value->number = row->c.emulated_devices))
CONTAINER_COLUMN(get_c_age, KNOWN(value->number = row->c.age_ms))

const struct column container_columns[] = {
	{ "ID", VALUE_ID, true, false, "of the container, never used twice", get_c_id },
	{ "TYPE", VALUE_NUMBER, true, false, "what SET_IOMMU asked for: 1, 3 or 7", get_c_type },
	{ "PID", VALUE_NUMBER, true, false, "process that made it", get_c_pid },
	{ "USER", VALUE_TEXT, true, true, "its effective user", get_c_user },
	{ "STATE", VALUE_TEXT, true, false, "owned, empty, orphan (**), or busy: the rest is not known now", get_c_state },
	{ "OWNERS", VALUE_NUMBER, true, false, "that you may see", get_c_owners },
	{ "MAPPINGS", VALUE_NUMBER, true, false, "of all owners", get_c_mappings },
	{ "MAPPED", VALUE_SIZE, true, false, "for DMA", get_c_mapped },
	{ "GROUPS", VALUE_NUMBERS, true, true, "IOMMU groups", get_c_groups },
	{ "DEVICES", VALUE_TEXTS, true, true, "of these groups", get_c_devices },
	{ "AGE", VALUE_AGE, true, false, "since SET_IOMMU", get_c_age },
	{ "UID", VALUE_NUMBER, false, false, "number of USER", get_c_uid },
	{ "WINDOWS", VALUE_NUMBER, false, false, "of a container of type 7", get_c_windows },
	{ "EMULATED", VALUE_NUMBER, false, false, "open devices that have no IOMMU", get_c_emulated },
};

const size_t container_ncolumns = ARRAY_SIZE(container_columns);
