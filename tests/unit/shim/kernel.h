/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's general interfaces that kernel/ uses, for user space: as the
 * kernel defines them where that is short, and where not, the simplest thing
 * that behaves the same in one thread and notices wrong use.
 */
#ifndef SHIM_KERNEL_H
#define SHIM_KERNEL_H

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <linux/types.h>

typedef __u8 u8;
typedef __u32 u32;
typedef __s32 s32;
typedef __u64 u64;
typedef u64 phys_addr_t;
typedef u64 dma_addr_t;

#define U32_MAX		(~0U)
#define U64_MAX		(~0ULL)
#define ERESTARTSYS	512
#define ERESTARTNOINTR	513

#define __user
#define __acquire(lock)	((void)0)
#define __release(lock)	((void)0)
#define __init
#define __exit

/* ---- what a test sees of it: fake.h; how wrong use fails the test ------- */

/* Fail the open test. */
void shim_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same, unless the test expects it: fake_warnings_expected. */
void shim_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A line for the kernel log. */
void shim_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#ifndef pr_fmt
#define pr_fmt(fmt) fmt
#endif
#define pr_warn(fmt, ...)	shim_log(pr_fmt(fmt), ##__VA_ARGS__)
#define pr_err			pr_warn
#define pr_warn_ratelimited	pr_warn

#define WARN_ON(cond)							\
({									\
	bool __warn = (cond);						\
	if (__warn)							\
		shim_warn("WARN_ON(%s) at %s:%d", #cond, __FILE__, __LINE__); \
	__warn;								\
})
#define WARN_ON_ONCE	WARN_ON

/* ---- numbers ------------------------------------------------------------ */

#define BIT(n)			(1UL << (n))
#define BIT_ULL(n)		(1ULL << (n))
#define GENMASK_ULL(h, l)	((~0ULL << (l)) & (~0ULL >> (63 - (h))))
#define SZ_4K			0x1000
#define SZ_2M			0x200000
#define SZ_1G			0x40000000
#define SZ_2G			0x80000000
#define BITS_PER_BYTE		8
#define BITS_PER_LONG		64
#define BITS_PER_TYPE(type)	(sizeof(type) * BITS_PER_BYTE)

#define PAGE_SHIFT		12
#define PAGE_SIZE		(1UL << PAGE_SHIFT)
#define PAGE_MASK		(~(PAGE_SIZE - 1))
#define PFN_PHYS(pfn)		((phys_addr_t)(pfn) << PAGE_SHIFT)
#define PHYS_PFN(phys)		((unsigned long)((phys) >> PAGE_SHIFT))
#define IS_ALIGNED(x, a)	(!((x) & ((typeof(x))(a) - 1)))
#define PAGE_ALIGNED(x)		IS_ALIGNED((unsigned long)(x), PAGE_SIZE)
#define offset_in_page(x)	((unsigned long)(x) & (PAGE_SIZE - 1))
#define round_down(x, y)	((x) & ~((typeof(x))(y) - 1))
#define round_up(x, y)		((((x) - 1) | ((typeof(x))(y) - 1)) + 1)
#define ALIGN(x, a)		round_up(x, a)
#define DIV_ROUND_UP(n, d)	(((n) + (d) - 1) / (d))
#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))

/* Both sides of one type, as in the kernel. */
#define shim_same_type(x, y)	((void)sizeof((typeof(x) *)1 == (typeof(y) *)1))
#define min(x, y)							\
({									\
	typeof(x) __x = (x);						\
	typeof(y) __y = (y);						\
	shim_same_type(__x, __y);					\
	__x < __y ? __x : __y;						\
})
#define max(x, y)							\
({									\
	typeof(x) __x = (x);						\
	typeof(y) __y = (y);						\
	shim_same_type(__x, __y);					\
	__x > __y ? __x : __y;						\
})
#define abs(x)			labs(x)
#define clamp(x, low, high)	min(max(x, low), high)
#define min_t(type, x, y)	min((type)(x), (type)(y))
#define max_t(type, x, y)	max((type)(x), (type)(y))
#define check_add_overflow(a, b, sum)					\
({									\
	shim_same_type(a, *(sum));					\
	__builtin_add_overflow(a, b, sum);				\
})
#define check_mul_overflow(a, b, product)				\
({									\
	shim_same_type(a, *(product));					\
	__builtin_mul_overflow(a, b, product);				\
})

static inline bool is_power_of_2(unsigned long n)
{
	return n && !(n & (n - 1));
}
#define __ffs64(word)	__ffs(word)


static inline unsigned long __ffs(unsigned long word)
{
	if (!word) {
		shim_fail("__ffs(0) is undefined");
		return 0;
	}
	return __builtin_ctzl(word);
}

static inline unsigned long __fls(unsigned long word)
{
	if (!word) {
		shim_fail("__fls(0) is undefined");
		return 0;
	}
	return 63 - __builtin_clzl(word);
}

#define ilog2(n)	((int)__fls(n))

/* swap is NULL: the kernel's own. */
static inline void sort(void *base, size_t n, size_t bytes,
			int (*compare)(const void *, const void *), void *swap)
{
	(void)swap;
	qsort(base, n, bytes, compare);
}

/* ---- bitmaps: one bit after the other ---------------------------------------- */

static inline bool test_bit(unsigned long bit, const unsigned long *map)
{
	return map[bit / BITS_PER_LONG] & BIT(bit % BITS_PER_LONG);
}

static inline void __set_bit(unsigned long bit, unsigned long *map)
{
	map[bit / BITS_PER_LONG] |= BIT(bit % BITS_PER_LONG);
}

static inline void bitmap_set(unsigned long *map, unsigned int first,
			      unsigned int n)
{
	while (n--)
		__set_bit(first++, map);
}

static inline void bitmap_clear(unsigned long *map, unsigned int first,
				unsigned int n)
{
	for (; n; n--, first++)
		map[first / BITS_PER_LONG] &= ~BIT(first % BITS_PER_LONG);
}

/* The first one that is set from there on, or n. */
static inline unsigned long find_next_bit(const unsigned long *map,
					  unsigned long n, unsigned long bit)
{
	while (bit < n && !test_bit(bit, map))
		bit++;
	return bit;
}

/* ---- the compiler ------------------------------------------------------- */

#define READ_ONCE(x)		(*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, value)	(*(volatile typeof(x) *)&(x) = (value))
#define smp_load_acquire(p)	__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define smp_store_release(p, v)	__atomic_store_n(p, v, __ATOMIC_RELEASE)
#define likely(x)		(x)
#define unlikely(x)		(x)

#define __shim_static_assert(expr, text, ...)	_Static_assert(expr, text)
#define static_assert(expr, ...)					\
	__shim_static_assert(expr, ##__VA_ARGS__, #expr)

#define offsetofend(type, member)					\
	(offsetof(type, member) + sizeof(((type *)0)->member))
#define container_of(ptr, type, member)					\
({									\
	const typeof(((type *)0)->member) *__member = (ptr);		\
	(type *)((char *)__member - offsetof(type, member));		\
})

/* ---- errors as pointers ------------------------------------------------- */

#define MAX_ERRNO	4095

static inline void *ERR_PTR(long error)
{
	return (void *)error;
}

static inline long PTR_ERR(const void *ptr)
{
	return (long)ptr;
}

static inline bool IS_ERR(const void *ptr)
{
	return (unsigned long)ptr >= (unsigned long)-MAX_ERRNO;
}

static inline int PTR_ERR_OR_ZERO(const void *ptr)
{
	return IS_ERR(ptr) ? PTR_ERR(ptr) : 0;
}

static inline void *ERR_CAST(const void *ptr)
{
	return (void *)ptr;
}

/* ---- lists -------------------------------------------------------------- */

struct list_head {
	struct list_head *next, *prev;
};

#define LIST_HEAD_INIT(name)	{ &(name), &(name) }
#define LIST_HEAD(name)		struct list_head name = LIST_HEAD_INIT(name)

static inline void INIT_LIST_HEAD(struct list_head *list)
{
	list->next = list;
	list->prev = list;
}

static inline void list_insert_between(struct list_head *entry,
				       struct list_head *prev,
				       struct list_head *next)
{
	next->prev = entry;
	entry->next = next;
	entry->prev = prev;
	prev->next = entry;
}

static inline void list_add(struct list_head *entry, struct list_head *head)
{
	list_insert_between(entry, head, head->next);
}

static inline void list_add_tail(struct list_head *entry,
				 struct list_head *head)
{
	list_insert_between(entry, head->prev, head);
}

static inline void list_del(struct list_head *entry)
{
	if (!entry->next || !entry->prev) {
		shim_fail("list_del() of an entry that is on no list");
		return;
	}
	entry->next->prev = entry->prev;
	entry->prev->next = entry->next;
	entry->next = NULL;
	entry->prev = NULL;
}

static inline void list_del_init(struct list_head *entry)
{
	list_del(entry);
	INIT_LIST_HEAD(entry);
}

static inline void list_move_tail(struct list_head *entry,
				  struct list_head *head)
{
	list_del(entry);
	list_add_tail(entry, head);
}

static inline bool list_empty(const struct list_head *head)
{
	return head->next == head;
}

static inline bool list_is_singular(const struct list_head *head)
{
	return !list_empty(head) && head->next == head->prev;
}

#define list_entry(ptr, type, member)	container_of(ptr, type, member)
#define list_first_entry(head, type, member)				\
	list_entry((head)->next, type, member)
#define list_first_entry_or_null(head, type, member)			\
	(list_empty(head) ? NULL : list_first_entry(head, type, member))
#define list_for_each_entry(pos, head, member)				\
	for (pos = list_entry((head)->next, typeof(*pos), member);	\
	     &pos->member != (head);					\
	     pos = list_entry(pos->member.next, typeof(*pos), member))
#define list_for_each_entry_continue_reverse(pos, head, member)		\
	for (pos = list_entry(pos->member.prev, typeof(*pos), member);	\
	     &pos->member != (head);					\
	     pos = list_entry(pos->member.prev, typeof(*pos), member))
#define list_for_each_entry_safe(pos, n, head, member)			\
	for (pos = list_entry((head)->next, typeof(*pos), member),	\
	     n = list_entry(pos->member.next, typeof(*pos), member);	\
	     &pos->member != (head);					\
	     pos = n, n = list_entry(n->member.next, typeof(*n), member))

struct llist_node {
	struct llist_node	*next;
};

struct llist_head {
	struct llist_node	*first;
};

#define LLIST_HEAD(name)		struct llist_head name = { NULL }
#define llist_entry(ptr, type, member)	container_of(ptr, type, member)
/* Without container_of() of NULL, which the kernel's has. */
#define llist_for_each_entry(pos, node, member)				\
	for (struct llist_node *__node = (node);			\
	     __node && (pos = llist_entry(__node, typeof(*pos), member), true); \
	     __node = pos->member.next)

static inline bool llist_empty(const struct llist_head *head)
{
	return !head->first;
}

static inline bool __llist_add(struct llist_node *new, struct llist_head *head)
{
	new->next = head->first;
	head->first = new;
	return !new->next;
}

/* ---- trees: without the balance, which nobody can see ------------------------ */

struct rb_node {
	struct rb_node	*parent, *rb_left, *rb_right;
};

struct rb_root {
	struct rb_node	*rb_node;
};

#define RB_ROOT				((struct rb_root) { NULL })
#define RB_EMPTY_ROOT(root)		(!(root)->rb_node)
#define rb_entry(ptr, type, member)	container_of(ptr, type, member)
#define rb_entry_safe(ptr, type, member)				\
({									\
	typeof(ptr) __ptr = (ptr);					\
	__ptr ? rb_entry(__ptr, type, member) : NULL;			\
})

static inline void rb_link_node(struct rb_node *node, struct rb_node *parent,
				struct rb_node **link)
{
	*node = (struct rb_node) { .parent = parent };
	*link = node;
}

#define rb_insert_color(node, root)	((void)(node), (void)(root))
struct rb_node *rb_next(const struct rb_node *node);
void rb_erase(struct rb_node *node, struct rb_root *root);

/* ---- counters, references ------------------------------------------------ */

typedef struct {
	int	counter;
} atomic_t;

static inline int atomic_read(const atomic_t *v)
{
	return v->counter;
}

static inline void atomic_inc(atomic_t *v)
{
	v->counter++;
}

typedef struct {
	long	counter;
} atomic_long_t;

static inline long atomic_long_read(const atomic_long_t *v)
{
	return v->counter;
}

static inline void atomic_long_add(long i, atomic_long_t *v)
{
	v->counter += i;
}

static inline void atomic_long_sub(long i, atomic_long_t *v)
{
	v->counter -= i;
}

static inline long atomic_long_inc_return(atomic_long_t *v)
{
	return ++v->counter;
}

static inline void atomic_long_inc(atomic_long_t *v)
{
	v->counter++;
}

static inline bool atomic_long_dec_and_test(atomic_long_t *v)
{
	return !--v->counter;
}

static inline long atomic_long_xchg(atomic_long_t *v, long value)
{
	long old = v->counter;

	v->counter = value;
	return old;
}

#define xchg(p, value)							\
({									\
	typeof(*(p)) __old = *(p);					\
	*(p) = (value);							\
	__old;								\
})

struct kref {
	int	refs;
};

static inline void kref_init(struct kref *kref)
{
	kref->refs = 1;
}

static inline void kref_get(struct kref *kref)
{
	if (!kref->refs++)
		shim_fail("kref_get() of an object without references");
}

static inline int kref_put(struct kref *kref, void (*release)(struct kref *))
{
	if (--kref->refs)
		return 0;
	release(kref);
	return 1;
}

/* ---- locks: who waits for himself, or takes them in the wrong order, fails */

struct shim_lock {
	const char	*name;
	int		rank;
	bool		held;
};

struct mutex {
	struct shim_lock	lock;
};

typedef struct {
	struct shim_lock	lock;
} spinlock_t;

/* Rank by the lock's name, see LOCKS in prereg.h. */
void shim_lock_init(struct shim_lock *lock, const char *name);
#define mutex_init(mutex)	shim_lock_init(&(mutex)->lock, #mutex)
#define spin_lock_init(spin)	shim_lock_init(&(spin)->lock, #spin)
/* None of ours but the slots' lock, which is taken alone. */
#define DEFINE_MUTEX(name)						\
	struct mutex name = { { #name, .rank = 1 } }
/* None of ours but the lock inside of all others. */
#define DEFINE_SPINLOCK(name)						\
	spinlock_t name = { { #name, .rank = 5 } }

void mutex_lock(struct mutex *mutex);
int mutex_lock_killable(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);
void spin_lock(spinlock_t *spin);
bool spin_trylock(spinlock_t *spin);
void spin_unlock(spinlock_t *spin);

#define lockdep_assert_held(mutex)					\
do {									\
	if (!(mutex)->lock.held)					\
		shim_fail("%s runs without %s", __func__, #mutex);	\
} while (0)

/* ---- waiting ------------------------------------------------------------- */

typedef struct {
	char	unused;
} wait_queue_head_t;

#define DECLARE_WAIT_QUEUE_HEAD(name)	wait_queue_head_t name

/* Let another thread run, see fake_thread_start(); true: a fatal signal. */
bool shim_wait(void);
/* The same, whatever signal comes; work items run too. False: nobody can help. */
bool shim_wait_uninterruptible(void);

#define init_waitqueue_head(queue)	((void)(queue))
#define wake_up_all(queue)		((void)(queue))
#define wq_has_sleeper(queue)		((void)(queue), true)
#define wait_event_killable(queue, cond)				\
({									\
	int __ret = 0;							\
	while (!__ret && !(cond))					\
		if (shim_wait())					\
			__ret = -ERESTARTSYS;				\
	__ret;								\
})
#define wait_event(queue, cond)						\
do {									\
	while (!(cond)) {						\
		if (shim_wait_uninterruptible())			\
			continue;					\
		shim_fail("%s waits for ever for %s", __func__, #cond);	\
		break;							\
	}								\
} while (0)

/* ---- work items: run when the test says so, or somebody waits -------------- */

struct work_struct {
	void			(*fn)(struct work_struct *work);
	bool			pending;
	struct work_struct	*next;
};

struct workqueue_struct;

#define WQ_UNBOUND		0

struct workqueue_struct *alloc_workqueue(const char *name, unsigned int flags,
					 int max_active);
void destroy_workqueue(struct workqueue_struct *queue);

static inline void INIT_WORK(struct work_struct *work,
			     void (*fn)(struct work_struct *work))
{
	*work = (struct work_struct) { .fn = fn };
}

/* False: it is queued already. */
bool queue_work(struct workqueue_struct *queue, struct work_struct *work);
/* Runs what is queued. Returns whether there was anything. */
bool fake_work_run(void);

/* ---- CPUs: one; RCU: no reader is ever interrupted -------------------------- */

#define DEFINE_PER_CPU(type, name)	typeof(type) name
#define this_cpu_inc(var)		((void)++(var))
#define this_cpu_dec(var)		((void)--(var))
#define per_cpu_ptr(ptr, cpu)		(&(ptr)[cpu])
#define for_each_possible_cpu(cpu)	for ((cpu) = 0; (cpu) < 1; (cpu)++)
#define synchronize_rcu_tasks()		((void)0)

/* Others run as in cond_resched(); that they have nothing to do is a failure. */
void schedule_timeout_uninterruptible(long timeout);

static inline void msleep(unsigned int ms)
{
}

/* ---- memory: every call counts, and fails when it is told to -------------- */

typedef unsigned int gfp_t;

#define GFP_KERNEL		1
#define GFP_KERNEL_ACCOUNT	2
#define __GFP_NOWARN		4
#define SLAB_ACCOUNT		1

void *kmalloc(size_t bytes, gfp_t gfp);
void *kzalloc(size_t bytes, gfp_t gfp);
void kfree(const void *ptr);

static inline void *kmalloc_array(size_t n, size_t bytes, gfp_t gfp)
{
	return check_mul_overflow(n, bytes, &bytes) ? NULL : kmalloc(bytes, gfp);
}

static inline void *kvcalloc(size_t n, size_t bytes, gfp_t gfp)
{
	return check_mul_overflow(n, bytes, &bytes) ? NULL : kzalloc(bytes, gfp);
}

#define struct_size(ptr, member, n)					\
	(sizeof(*(ptr)) + array_size(n, sizeof((ptr)->member[0])))
#define kvmalloc_array		kmalloc_array
#define kvzalloc		kzalloc
#define __get_free_page(gfp)	((unsigned long)kmalloc(PAGE_SIZE, gfp))
#define free_page(page)		kfree((void *)(page))
#define kvfree			kfree
#define __vmalloc(bytes, gfp)	kmalloc(bytes, gfp)

static inline size_t array_size(size_t n, size_t bytes)
{
	return check_mul_overflow(n, bytes, &bytes) ? SIZE_MAX : bytes;
}

struct kmem_cache {
	size_t	bytes;
	long	objects;
};

/* Objects come as somebody left them, so nobody may count on the constructor. */
#define kmem_cache_create(name, bytes, align, flags, constructor)	\
	shim_kmem_cache_create((bytes) + 0 * sizeof((constructor) == NULL))
#define KMEM_CACHE(type, flags)	shim_kmem_cache_create(sizeof(struct type))
struct kmem_cache *shim_kmem_cache_create(size_t bytes);
void kmem_cache_destroy(struct kmem_cache *cache);
void *kmem_cache_alloc(struct kmem_cache *cache, gfp_t gfp);
void kmem_cache_free(struct kmem_cache *cache, void *ptr);
int kmem_cache_alloc_bulk(struct kmem_cache *cache, gfp_t gfp, size_t n,
			  void **ptrs);
void kmem_cache_free_bulk(struct kmem_cache *cache, size_t n, void **ptrs);

struct shrink_control {
	unsigned long	nr_to_scan;
};

struct shrinker {
	unsigned long	(*count_objects)(struct shrinker *shrinker,
					 struct shrink_control *control);
	unsigned long	(*scan_objects)(struct shrinker *shrinker,
					struct shrink_control *control);
	int		seeks;
};

#define DEFAULT_SEEKS	2
#define SHRINK_STOP	(~0UL)

/* One is enough. */
int register_shrinker(struct shrinker *shrinker, const char *name);
void unregister_shrinker(struct shrinker *shrinker);

/* ---- modules and debugfs -------------------------------------------------- */

struct module;

#define THIS_MODULE			((struct module *)NULL)
#define module_param(name, type, perm)	module_param_named(name, name, type, perm)
#define module_param_named(param, name, type, perm)			\
	typeof(name) *const shim_param_##param = &(name)
#define MODULE_PARM_DESC(name, text)	static_assert(1)
#define MODULE_DESCRIPTION(text)	static_assert(1)
#define MODULE_LICENSE(text)		static_assert(1)
#define MODULE_VERSION(text)		static_assert(1)
#define module_init(fn)			int shim_module_init(void) { return fn(); }
#define module_exit(fn)			void shim_module_exit(void) { fn(); }

int shim_module_init(void);
void shim_module_exit(void);

/* seq_printf() appends to text. */
struct seq_file {
	char	text[1024];
};

void seq_printf(struct seq_file *seq, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

struct file_operations {
	int	(*show)(struct seq_file *seq, void *unused);
};

#define DEFINE_SHOW_ATTRIBUTE(name)					\
	static const struct file_operations name##_fops = {		\
		.show = name##_show,					\
	}

struct dentry;

struct dentry *debugfs_create_dir(const char *name, struct dentry *parent);
struct dentry *debugfs_create_file(const char *name, unsigned int mode,
				   struct dentry *parent, void *data,
				   const struct file_operations *fops);
void debugfs_remove(struct dentry *dentry);

/* ---- tasks ---------------------------------------------------------------- */

struct mm_struct;

struct task_struct {
	struct mm_struct	*mm;
	struct task_struct	*group_leader;
	unsigned int		flags;
	char			comm[16];
	bool			killed;
	bool			cap_ipc_lock;
};

#define PF_MEMALLOC	0x800

extern _Thread_local struct task_struct *current;

#define CAP_IPC_LOCK	14

/* Counted together: at the end of a test nobody may have one. */
struct task_struct *get_task_struct(struct task_struct *task);
void put_task_struct(struct task_struct *task);

#define task_pid_vnr	task_pid_nr
static inline pid_t task_pid_nr(const struct task_struct *task)
{
	return 1 + (unsigned long)task % 30000;
}

/* A task's pid is the task; counted with them. */
struct pid;
struct pid *get_pid(struct pid *pid);
void put_pid(struct pid *pid);
#define task_tgid(task)		((struct pid *)(task))
#define pid_nr(pid)		task_pid_nr((const struct task_struct *)(pid))

#define TASK_COMM_LEN		16
#define get_task_comm(buf, task) ((void)(task), strcpy(buf, "unit"))

typedef struct { uid_t val; } kuid_t;
#define current_euid()		((kuid_t){ 0 })

/* ns since the machine was switched on: grows. */
u64 ktime_get_boottime_ns(void);

/* Tracepoints are off. */
#define TRACE_EVENT(name, proto, ...)	static inline void trace_##name(proto) {}
#define TP_PROTO(...)			__VA_ARGS__

/* Where other tasks may run: the test's, see fake_resched_hook. */
void cond_resched(void);

bool fatal_signal_pending(struct task_struct *task);
bool capable(int cap);

#endif
