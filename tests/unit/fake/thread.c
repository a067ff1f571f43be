// SPDX-License-Identifier: GPL-2.0
/* A second task, for what can only be seen by waiting; never two at a time. */
#include <pthread.h>
#include <semaphore.h>

#include "fake.h"

static struct {
	pthread_t		thread;
	sem_t			go, back;
	struct task_struct	task;
	void			(*fn)(void *arg);
	void			*arg;
	bool			running, ended;
} other;

static _Thread_local bool is_other;

static void *thread_main(void *unused)
{
	is_other = true;
	current = &other.task;
	sem_wait(&other.go);
	other.fn(other.arg);
	other.ended = true;
	sem_post(&other.back);
	return unused;
}

void fake_thread_start(void (*fn)(void *arg), void *arg, struct mm_struct *mm)
{
	sem_init(&other.go, 0, 0);
	sem_init(&other.back, 0, 0);
	other.task = (struct task_struct) { .mm = mm };
	other.fn = fn;
	other.arg = arg;
	other.ended = false;
	other.running = true;
	if (pthread_create(&other.thread, NULL, thread_main, NULL)) {
		shim_fail("no thread to be had");
		other.running = false;
		return;
	}
	fake_thread_continue();
}

bool fake_thread_continue(void)
{
	if (!other.running)
		return true;
	sem_post(&other.go);
	sem_wait(&other.back);
	if (!other.ended)
		return false;
	pthread_join(other.thread, NULL);
	other.running = false;
	return true;
}

static void pause(void)
{
	sem_post(&other.back);
	sem_wait(&other.go);
}

void fake_thread_pause(void)
{
	if (is_other)
		pause();
}

bool shim_wait(void)
{
	if (fake_lock_any())
		shim_fail("waits with a lock held");
	fake_might_sleep("waiting");
	if (fatal_signal_pending(current))
		return true;
	if (!is_other) {
		shim_fail("waits for ever");
		return true;
	}
	pause();
	return fatal_signal_pending(current);
}

bool shim_wait_uninterruptible(void)
{
	fake_might_sleep("waiting");
	if (is_other) {
		pause();
		return true;
	}
	if (other.running) {
		fake_thread_continue();
		return true;
	}
	return fake_work_run();
}
