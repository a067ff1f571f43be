// SPDX-License-Identifier: GPL-2.0-only
/*
 * info: what a process has registered, for itself (VFIO_PREREG_GET_INFO).
 */
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/uaccess.h>

#include "../include/uapi/linux/vfio_prereg.h"
#include "prereg.h"

static void info_of_owner(struct prereg_owner *owner,
			  struct vfio_prereg_info *info)
{
	info->registered_bytes =
		(u64)atomic_long_read(&owner->registered_pages) << PAGE_SHIFT;
	spin_lock(&owner->lock);
	info->kept_bytes = (u64)owner->kept_pages << PAGE_SHIFT;
	info->stale_mappings = owner->stale.count;
	info->stale_vaddr = owner->stale.vaddr;
	info->stale_bytes = owner->stale.bytes;
	info->stale_pid = owner->stale.pid;
	spin_unlock(&owner->lock);
}

long prereg_get_info(unsigned long id, unsigned long arg)
{
	struct vfio_prereg_info info = {}, __user *user = (void __user *)arg;
	struct prereg_container *container;
	struct prereg_owner *owner;

	if (copy_from_user(&info, user, offsetofend(typeof(info), flags)))
		return -EFAULT;
	if (info.argsz < sizeof(info) || info.flags)
		return -EINVAL;

	container = prereg_container_lock(id);
	if (IS_ERR(container))
		return PTR_ERR(container);
	info.mappings = container->nmappings;
	info.mapped_bytes = container->mapped_bytes;
	prereg_container_unlock(container);

	owner = prereg_owner_get_current();
	if (IS_ERR(owner))
		return PTR_ERR(owner);
	info_of_owner(owner, &info);
	prereg_owner_put(owner);
	return copy_to_user(user, &info, sizeof(info)) ? -EFAULT : 0;
}
