// SPDX-License-Identifier: GPL-2.0
/*
 * The fake of what the module sees of user space without pinning it: areas, page tables and copies; and of mmap_lock and the charge.
 */
#include <sys/mman.h>
#include "fake.h"

static void mmap_take(struct mm_struct *mm)
{
	fake_might_sleep("mmap_lock");
	if (fake_page_locks)
		shim_fail("mmap_lock is taken inside page locks");
	if (mm->mmap_locked)
		shim_fail("mmap_lock is held already: a deadlock");
	fake_lock_take(FAKE_RANK_MMAP, "mmap_lock");
	mm->mmap_locked = true;
}

static int mmap_take_killable(struct mm_struct *mm)
{
	if (fatal_signal_pending(current))
		return -EINTR;
	mmap_take(mm);
	return 0;
}

static void mmap_drop(struct mm_struct *mm)
{
	fake_lock_drop(FAKE_RANK_MMAP, "mmap_lock");
	mm->mmap_locked = false;
}

/* Readers keep out each other, too. */
void mmap_write_lock(struct mm_struct *mm)
{
	mmap_take(mm);
}

int mmap_write_lock_killable(struct mm_struct *mm)
{
	return mmap_take_killable(mm);
}

void mmap_write_unlock(struct mm_struct *mm)
{
	mmap_drop(mm);
}

int mmap_read_lock_killable(struct mm_struct *mm)
{
	return mmap_take_killable(mm);
}

void mmap_read_unlock(struct mm_struct *mm)
{
	mmap_drop(mm);
}

int __account_locked_vm(struct mm_struct *mm, unsigned long npages, bool inc,
			struct task_struct *task, bool bypass_rlim)
{
	if (!mm->mmap_locked)
		shim_fail("charging without mmap_lock");
	if (!inc) {
		WARN_ON(npages > mm->locked_vm);
		mm->locked_vm -= npages;
		return 0;
	}
	if (!bypass_rlim) {
		if (task->mm != mm)
			shim_fail("another process's limit is asked for");
		if (mm->locked_vm + npages > mm->limit)
			return -ENOMEM;
	}
	if (!atomic_read(&mm->mm_users))
		shim_fail("an mm without users is charged");
	mm->locked_vm += npages;
	return 0;
}

/* ---- areas ------------------------------------------------------------------- */

static struct vm_area_struct *area_of(struct mm_struct *mm,
				      const struct fake_vma *vma)
{
	static struct vm_area_struct area;

	if (!mm->mmap_locked)
		shim_fail("an area is looked up without mmap_lock");
	if (!vma)
		return NULL;
	area = (struct vm_area_struct) {
		.vm_mm		= mm,
		.vm_start	= vma->start,
		.vm_end		= vma->start + (vma->npages << PAGE_SHIFT),
		.vm_flags	= (vma->readonly ? 0 : VM_WRITE) |
				  (vma->kind == FAKE_BAR ? VM_PFNMAP : 0),
	};
	return &area;
}

struct vm_area_struct *vma_lookup(struct mm_struct *mm, unsigned long address)
{
	return area_of(mm, fake_mm_vma(mm, address));
}

struct vm_area_struct *find_vma(struct mm_struct *mm, unsigned long address)
{
	const struct fake_vma *vma, *found = NULL;

	for (vma = mm->vmas; vma < mm->vmas + mm->nvmas; vma++)
		if (!vma->gone &&
		    vma->start + (vma->npages << PAGE_SHIFT) > address &&
		    (!found || vma->start < found->start))
			found = vma;
	return area_of(mm, found);
}

static spinlock_t pte_lock = { { "a page table's lock", .rank = FAKE_RANK_SPIN } };

int follow_pte(struct mm_struct *mm, unsigned long address, pte_t **pte,
	       spinlock_t **ptl)
{
	const struct fake_vma *vma = fake_mm_vma(mm, address);
	static pte_t entry;

	if (!mm->mmap_locked)
		shim_fail("a page table is read without mmap_lock");
	if (!vma || !vma->faulted)
		return -EINVAL;
	entry.pfn = fake_vma_pfn(vma, address);
	entry.write = !vma->readonly;
	*pte = &entry;
	*ptl = &pte_lock;
	spin_lock(&pte_lock);
	return 0;
}

/* Drops the lock the first time, as a driver's fault handler may. */
int fixup_user_fault(struct mm_struct *mm, unsigned long address,
		     unsigned int flags, bool *unlocked)
{
	struct fake_vma *vma = fake_mm_vma(mm, address);

	fake_might_sleep("a page fault");
	if (!mm->mmap_locked)
		shim_fail("a page fault without mmap_lock");
	if (!vma || fake_fault(FAKE_FAULT_PIN) ||
	    (flags & FAULT_FLAG_WRITE && vma->readonly))
		return -EFAULT;
	if (!vma->tried) {
		vma->tried = true;
		*unlocked = true;
		return 0;
	}
	vma->faulted = true;
	return 0;
}

#define USER_BYTES	((1UL << 47) - PAGE_SIZE)

bool access_ok(const void __user *ptr, unsigned long bytes)
{
	return bytes <= USER_BYTES && (unsigned long)ptr <= USER_BYTES - bytes;
}

static bool faults_disabled;

void pagefault_disable(void)
{
	faults_disabled = true;
}

void pagefault_enable(void)
{
	faults_disabled = false;
}

/* Is the page missing? The first ones of user space are never there. */
static bool user_fault(const void *ptr)
{
	return (unsigned long)ptr < 16 * PAGE_SIZE || fake_fault(FAKE_FAULT_COPY);
}

/* A user can let us wait for a page as long as he likes. */
static void user_wait(void)
{
	if (fake_lock_any() || faults_disabled)
		shim_fail("user memory is waited for with a lock held");
}

unsigned long copy_from_user(void *to, const void __user *from,
			     unsigned long bytes)
{
	user_wait();
	if (user_fault(from))
		return bytes;
	memcpy(to, from, bytes);
	return 0;
}

unsigned long copy_to_user(void __user *to, const void *from,
			   unsigned long bytes)
{
	user_wait();
	if (user_fault(to))
		return bytes;
	memcpy(to, from, bytes);
	return 0;
}

unsigned long __copy_to_user_inatomic(void __user *to, const void *from,
				      unsigned long bytes)
{
	if (!faults_disabled)
		shim_fail("__copy_to_user_inatomic() with page faults enabled");
	if (user_fault(to))
		return bytes;
	memcpy(to, from, bytes);
	return 0;
}
