# SPDX-License-Identifier: GPL-2.0
"""Jobs side by side: some must be over before others, and each kind has its workers."""
import threading


class Job:
    """One piece of work.

    work()     does it; False if the jobs after it cannot be tried. It must not raise
    dropped()  is called instead of work() when a job before it returned False or was dropped
    seconds    what it takes, about: what is longest, with all that waits for it, is begun first
    kind       whose workers do it
    after      jobs that must be over before
    """

    def __init__(self, kind, seconds, work, dropped, after=()):
        self.kind = kind
        self.seconds = seconds
        self.work = work
        self.dropped = dropped
        self.after = list(after)
        self.good = None

    def ready(self):
        """Are all jobs before it over?"""
        return all(job.good is not None for job in self.after)

    def possible(self):
        """Did all jobs before it go well?"""
        return all(job.good for job in self.after)


class Board:
    """Where the workers find the jobs."""

    def __init__(self, jobs):
        self.waiting = list(jobs)
        self.changed = threading.Condition()
        # Seconds until the last job that waits for this one is over.
        self.reach = {job: self._reach(job) for job in jobs}

    def _reach(self, job):
        return job.seconds + max((self._reach(other) for other in self.waiting if job in other.after), default=0)

    def take(self, kind):
        """The next job of this kind, when there is one that can be begun; None when none is left."""
        with self.changed:
            while True:
                mine = [job for job in self.waiting if job.kind == kind]
                ready = [job for job in mine if job.ready()]
                if ready or not mine:
                    break
                self.changed.wait()
            # What is to be dropped takes no time, and is good to know.
            job = max(ready, key=lambda job: (not job.possible(), self.reach[job]), default=None)
            if job:
                self.waiting.remove(job)
            return job

    def over(self, job, good):
        """A job that was taken is over."""
        with self.changed:
            job.good = good
            self.changed.notify_all()


def _worker(board, kind):
    job = board.take(kind)
    while job:
        if job.possible():
            board.over(job, job.work() is not False)
        else:
            job.dropped()
            board.over(job, False)
        job = board.take(kind)


def run(jobs, workers):
    """Does all JOBS; WORKERS says how many there are of each kind. The threads die with the process."""
    board = Board(jobs)
    threads = [threading.Thread(target=_worker, args=(board, kind), daemon=True)
               for kind, number in workers.items() for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
