// SPDX-License-Identifier: GPL-2.0-only
/* Does a task, not its mm, say whether it may be traced? */
#include <linux/sched.h>

#ifdef PREREG_PROBE_QUESTION
#include <linux/sched/exec_state.h>
#endif

int probe(struct task_struct *task)
{
#ifdef PREREG_PROBE_QUESTION
	return rcu_access_pointer(task->exec_state) &&
	       TASK_DUMPABLE_OWNER != TASK_DUMPABLE_ROOT;
#else
	return 0;
#endif
}
