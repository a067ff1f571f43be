// SPDX-License-Identifier: GPL-2.0
/* Faults, allocation, locks, trees, log: see shim/kernel.h. */
#include <stdarg.h>
#include <stdio.h>
#include <linux/vfio.h>

#include "fake.h"
#include "tap.h"

/* ---- faults ---------------------------------------------------------------- */

const char *const fake_fault_names[FAKE_FAULTS] = {
	"none", "allocation", "pin", "short pin", "map", "map that stays", "signal", "attach",
	"detach", "copy", "restart", "unmap", "trylock",
};

static struct {
	enum fake_fault	fault;
	unsigned long	countdown;
	unsigned long	fired;
	bool		all;
} armed;

void fake_fault_arm(enum fake_fault fault, unsigned long nth, bool all)
{
	armed.fault = fault;
	armed.countdown = nth;
	armed.fired = 0;
	armed.all = all;
}

unsigned long fake_fault_disarm(void)
{
	unsigned long fired = armed.fired;

	fake_fault_arm(FAKE_FAULT_NONE, 0, false);
	return fired;
}

unsigned long fake_fault(enum fake_fault fault)
{
	if (armed.fault != fault)
		return 0;
	if (armed.countdown && --armed.countdown)
		return 0;
	if (armed.fired && !armed.all)
		return 0;
	return ++armed.fired;
}

/* ---- log and verdicts ------------------------------------------------------ */

unsigned int fake_warnings_expected;
static unsigned int log_lines;

void shim_fail(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	tap_expect(false, "%s", text);
}

void shim_warn(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (fake_warnings_expected) {
		fake_warnings_expected--;
		return;
	}
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	tap_expect(false, "%s", text);
}

void shim_log(const char *fmt, ...)
{
	(void)fmt;
	log_lines++;
}

unsigned int fake_log_lines(void)
{
	unsigned int lines = log_lines;

	log_lines = 0;
	return lines;
}

/* ---- allocation ------------------------------------------------------------ */

/* The size is kept in front of what the caller gets. */
union alloc_header {
	size_t		bytes;
	max_align_t	align;
};

_Thread_local bool fake_no_alloc;
static long alloc_bytes, alloc_live, caches_live;

static void *alloc(size_t bytes)
{
	union alloc_header *header;

	fake_might_sleep("an allocation");
	if (fake_no_alloc)
		shim_fail("tear-down allocates %zu bytes", bytes);
	if (fake_reclaim)
		fake_shrink(fake_reclaim);
	if (fake_fault(FAKE_FAULT_ALLOC))
		return NULL;
	header = malloc(sizeof(*header) + bytes);
	if (!header)
		return NULL;
	header->bytes = bytes;
	alloc_bytes += bytes;
	alloc_live++;
	return header + 1;
}

void *kmalloc(size_t bytes, gfp_t gfp)
{
	void *ptr = alloc(bytes);

	(void)gfp;
	if (ptr)
		memset(ptr, 0x5a, bytes);
	return ptr;
}

void *kzalloc(size_t bytes, gfp_t gfp)
{
	void *ptr = alloc(bytes);

	(void)gfp;
	if (ptr)
		memset(ptr, 0, bytes);
	return ptr;
}

void kfree(const void *ptr)
{
	union alloc_header *header;

	if (!ptr)
		return;
	header = (union alloc_header *)ptr - 1;
	alloc_bytes -= header->bytes;
	alloc_live--;
	free(header);
}

long fake_alloc_bytes(void)
{
	return alloc_bytes;
}

struct kmem_cache *shim_kmem_cache_create(size_t bytes)
{
	struct kmem_cache *cache;

	if (fake_fault(FAKE_FAULT_ALLOC))
		return NULL;
	cache = calloc(1, sizeof(*cache));
	if (cache) {
		cache->bytes = bytes;
		caches_live++;
	}
	return cache;
}

void kmem_cache_destroy(struct kmem_cache *cache)
{
	if (cache->objects)
		shim_fail("%ld objects left in a kmem_cache", cache->objects);
	free(cache);
	caches_live--;
}

void *kmem_cache_alloc(struct kmem_cache *cache, gfp_t gfp)
{
	void *ptr = kmalloc(cache->bytes, gfp);

	if (ptr)
		cache->objects++;
	return ptr;
}

void kmem_cache_free(struct kmem_cache *cache, void *ptr)
{
	cache->objects--;
	kfree(ptr);
}

/* All or none. */
int kmem_cache_alloc_bulk(struct kmem_cache *cache, gfp_t gfp, size_t n,
			  void **ptrs)
{
	size_t i;

	for (i = 0; i < n; i++) {
		ptrs[i] = kmem_cache_alloc(cache, gfp);
		if (ptrs[i])
			continue;
		while (i--)
			kmem_cache_free(cache, ptrs[i]);
		return 0;
	}
	return n;
}

void kmem_cache_free_bulk(struct kmem_cache *cache, size_t n, void **ptrs)
{
	if (!n)
		shim_fail("nothing is freed in bulk");
	while (n--)
		kmem_cache_free(cache, ptrs[n]);
}

/* ---- memory is short ---------------------------------------------------------- */

unsigned long fake_reclaim;
static struct shrinker *shrinker;

int register_shrinker(struct shrinker *new, const char *name)
{
	(void)name;
	if (shrinker)
		shim_fail("a second shrinker");
	if (fake_fault(FAKE_FAULT_ALLOC))
		return -ENOMEM;
	shrinker = new;
	return 0;
}

void unregister_shrinker(struct shrinker *old)
{
	if (shrinker != old)
		shim_fail("another shrinker is removed");
	shrinker = NULL;
}

/* As shrink_slab(): under whatever locks its caller has. */
unsigned long fake_shrink(unsigned long npages)
{
	struct shrink_control control = { .nr_to_scan = npages };
	bool before = fake_no_alloc;
	unsigned long freed = 0;

	if (!shrinker)
		return 0;
	fake_no_alloc = true;
	fake_page_locks = true;
	if (shrinker->count_objects(shrinker, &control))
		freed = shrinker->scan_objects(shrinker, &control);
	fake_page_locks = false;
	fake_no_alloc = before;
	return freed == SHRINK_STOP ? 0 : freed;
}

/* ---- locks ----------------------------------------------------------------- */

#define RANKS	(FAKE_RANK_SPIN + 2)

_Thread_local bool fake_atomic, fake_page_locks;
static _Thread_local int held[RANKS];

static void lock_check(int rank, const char *name)
{
	int r;

	for (r = rank; r < RANKS; r++)
		if (held[r])
			shim_fail("%s is taken inside a lock of rank %d", name, r);
}

void fake_lock_take(int rank, const char *name)
{
	lock_check(rank, name);
	held[rank]++;
}

void fake_lock_drop(int rank, const char *name)
{
	if (!held[rank])
		shim_fail("%s is dropped but not held", name);
	else
		held[rank]--;
}

bool fake_lock_beyond(int rank)
{
	int r;

	for (r = 0; r < RANKS; r++)
		if (held[r] && r != rank)
			return true;
	return false;
}

bool fake_lock_any(void)
{
	return fake_lock_beyond(-1);
}

void fake_might_sleep(const char *what)
{
	int r;

	for (r = FAKE_RANK_SPIN; r < RANKS; r++)
		if (held[r])
			shim_fail("%s may sleep inside a spinlock", what);
	if (fake_atomic)
		shim_fail("%s may sleep where nobody may", what);
}

void shim_lock_init(struct shim_lock *lock, const char *name)
{
	/* None with mmap_lock's rank; spinlocks are last. */
	static const char *const ranks[RANKS] = {
		[1] = "devices_lock", [2] = "container->lock",
		[4] = "owner->lock",
	};
	int r;

	*lock = (struct shim_lock) { .name = name };
	for (r = 0; r < RANKS; r++)
		if (ranks[r] && strstr(name, ranks[r]))
			lock->rank = r;
	if (!lock->rank)
		shim_fail("lock %s is not in the order of prereg.h", name);
}

static void lock_take(struct shim_lock *lock)
{
	if (lock->held)
		shim_fail("%s is held already: a deadlock", lock->name);
	held[lock->rank]++;
	lock->held = true;
}

static void lock_drop(struct shim_lock *lock)
{
	if (!lock->held)
		shim_fail("%s is dropped but not held", lock->name);
	fake_lock_drop(lock->rank, lock->name);
	lock->held = false;
}

void mutex_lock(struct mutex *mutex)
{
	fake_might_sleep(mutex->lock.name);
	if (fake_page_locks)
		shim_fail("%s is taken inside page locks", mutex->lock.name);
	lock_check(mutex->lock.rank, mutex->lock.name);
	lock_take(&mutex->lock);
}

int mutex_lock_killable(struct mutex *mutex)
{
	if (fatal_signal_pending(current))
		return -EINTR;
	mutex_lock(mutex);
	return 0;
}

void mutex_unlock(struct mutex *mutex)
{
	lock_drop(&mutex->lock);
}

void spin_lock(spinlock_t *spin)
{
	lock_check(spin->lock.rank, spin->lock.name);
	lock_take(&spin->lock);
}

/* In any order. */
bool spin_trylock(spinlock_t *spin)
{
	if (spin->lock.held || fake_fault(FAKE_FAULT_TRYLOCK))
		return false;
	lock_take(&spin->lock);
	return true;
}

void spin_unlock(spinlock_t *spin)
{
	lock_drop(&spin->lock);
}

/* ---- tasks ----------------------------------------------------------------- */

_Thread_local struct task_struct *current;

bool fatal_signal_pending(struct task_struct *task)
{
	if (fake_fault(FAKE_FAULT_SIGNAL))
		task->killed = true;
	return task->killed;
}

static long task_references;

struct task_struct *get_task_struct(struct task_struct *task)
{
	task_references++;
	return task;
}

void put_task_struct(struct task_struct *task)
{
	(void)task;
	task_references--;
}

struct pid *get_pid(struct pid *pid)
{
	task_references++;
	return pid;
}

void put_pid(struct pid *pid)
{
	if (pid)
		task_references--;
}

u64 ktime_get_boottime_ns(void)
{
	static u64 now;

	return now += 1000;
}

void (*fake_resched_hook)(void);
bool fake_resched_locked;

void cond_resched(void)
{
	void (*hook)(void) = fake_resched_hook;

	fake_might_sleep("cond_resched()");
	if (!hook || (fake_lock_any() && !fake_resched_locked))
		return;
	fake_resched_hook = NULL;
	hook();
}

void schedule_timeout_uninterruptible(long timeout)
{
	if (!fake_resched_hook || fake_lock_any()) {
		shim_fail("waits for ever");
		abort();
	}
	cond_resched();
}

bool capable(int cap)
{
	return cap == CAP_IPC_LOCK && current->cap_ipc_lock;
}

/* ---- work items ------------------------------------------------------------ */

static struct work_struct *works;

struct workqueue_struct {
	bool unused;
};

struct workqueue_struct *alloc_workqueue(const char *name, unsigned int flags,
					 int max_active)
{
	return kzalloc(sizeof(struct workqueue_struct), GFP_KERNEL);
}

void destroy_workqueue(struct workqueue_struct *queue)
{
	fake_work_run();
	kfree(queue);
}

bool queue_work(struct workqueue_struct *queue, struct work_struct *work)
{
	if (work->pending)
		return false;
	work->pending = true;
	work->next = works;
	works = work;
	return true;
}

/* By a kernel thread, which has no mm. */
bool fake_work_run(void)
{
	struct task_struct worker = { .mm = NULL }, *before = current;
	struct work_struct *work;
	bool any = works;

	current = &worker;
	while ((work = works)) {
		works = work->next;
		work->pending = false;
		work->fn(work);
	}
	current = before;
	return any;
}

/* ---- VFIO ------------------------------------------------------------------ */

int vfio_info_add_capability(struct vfio_info_cap *caps,
			     struct vfio_info_cap_header *cap, size_t bytes)
{
	char *buf = kzalloc(caps->size + bytes, GFP_KERNEL);
	struct vfio_info_cap_header *last;

	if (!buf) {
		kfree(caps->buf);
		*caps = (struct vfio_info_cap) { NULL };
		return -ENOMEM;
	}
	if (caps->buf)
		memcpy(buf, caps->buf, caps->size);
	memcpy(buf + caps->size, cap, bytes);
	for (last = (void *)buf; last->next; last = (void *)(buf + last->next))
		;
	last->next = caps->size;
	kfree(caps->buf);
	caps->buf = buf;
	caps->size += bytes;
	return 0;
}

void vfio_info_cap_shift(struct vfio_info_cap *caps, size_t offset)
{
	struct vfio_info_cap_header *cap = caps->buf;

	while (cap->next) {
		struct vfio_info_cap_header *next = caps->buf + cap->next;

		cap->next += offset;
		cap = next;
	}
}

/* ---- trees ----------------------------------------------------------------- */

struct rb_node *rb_next(const struct rb_node *node)
{
	const struct rb_node *child;

	if (node->rb_right) {
		node = node->rb_right;
		while (node->rb_left)
			node = node->rb_left;
		return (struct rb_node *)node;
	}
	do {
		child = node;
		node = node->parent;
	} while (node && child == node->rb_right);
	return (struct rb_node *)node;
}

static void rb_replace(struct rb_node *node, struct rb_node *by,
		       struct rb_root *root)
{
	struct rb_node *parent = node->parent;

	if (by)
		by->parent = parent;
	if (!parent)
		root->rb_node = by;
	else if (parent->rb_left == node)
		parent->rb_left = by;
	else
		parent->rb_right = by;
}

void rb_erase(struct rb_node *node, struct rb_root *root)
{
	const struct rb_node *top = node;
	struct rb_node *next;

	while (top->parent)
		top = top->parent;
	if (top != root->rb_node)
		shim_fail("a node is erased that is not in the tree");

	if (!node->rb_left) {
		rb_replace(node, node->rb_right, root);
	} else if (!node->rb_right) {
		rb_replace(node, node->rb_left, root);
	} else {
		next = rb_next(node);
		rb_replace(next, next->rb_right, root);
		next->rb_left = node->rb_left;
		next->rb_right = node->rb_right;
		next->rb_left->parent = next;
		if (next->rb_right)
			next->rb_right->parent = next;
		rb_replace(node, next, root);
	}
	*node = (struct rb_node) { .parent = node };	/* its own: in no tree */
}

/* ---- debugfs --------------------------------------------------------------- */

static const struct file_operations *stats_file;

struct dentry *debugfs_create_dir(const char *name, struct dentry *parent)
{
	(void)name;
	(void)parent;
	return (struct dentry *)&stats_file;
}

struct dentry *debugfs_create_file(const char *name, unsigned int mode,
				   struct dentry *parent, void *data,
				   const struct file_operations *fops)
{
	(void)mode;
	(void)data;
	if (strcmp(name, "stats") || parent != (struct dentry *)&stats_file)
		shim_fail("an unknown file in debugfs: %s", name);
	stats_file = fops;
	return parent;
}

void debugfs_remove(struct dentry *dentry)
{
	(void)dentry;
	stats_file = NULL;
}

void seq_printf(struct seq_file *seq, const char *fmt, ...)
{
	size_t used = strlen(seq->text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(seq->text + used, sizeof(seq->text) - used, fmt, ap);
	va_end(ap);
}

long fake_stat(const char *name)
{
	struct seq_file seq = { "\n" };
	char line[64];
	char *p;

	snprintf(line, sizeof(line), "\n%s ", name);
	if (stats_file)
		stats_file->show(&seq, NULL);
	p = strstr(seq.text, line);
	if (!p) {
		shim_fail("no counter %s in debugfs", name);
		return -1;
	}
	return strtol(p + strlen(line), NULL, 10);
}

void fake_kernel_check(void)
{
	if (alloc_live)
		shim_fail("%ld allocations, %ld bytes, were not freed",
			  alloc_live, alloc_bytes);
	if (caches_live)
		shim_fail("%ld kmem_caches are left", caches_live);
	if (fake_lock_any())
		shim_fail("a lock is still held");
	if (works)
		shim_fail("a work item is left");
	if (task_references)
		shim_fail("%ld references to tasks are left", task_references);
	if (fake_warnings_expected)
		shim_fail("a warning was expected that did not come");
	works = NULL;
	fake_warnings_expected = 0;
	fake_resched_hook = NULL;
	fake_resched_locked = false;
	fake_reclaim = 0;
	task_references = 0;
	alloc_live = 0;
	alloc_bytes = 0;
	caches_live = 0;
}
