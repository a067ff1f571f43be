# SPDX-License-Identifier: GPL-2.0
"""Programs on this host: their lines as they come, a time limit, and an end together with ours."""
import os
import signal
import subprocess
import threading

from .target import TOP

# Leaders of the process groups that are running.
_running = set()


def _end(pid, number):
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass


def run(argv, seconds, on_line):
    """Runs ARGV at the top of the sources, for SECONDS at most.

    on_line is called with each line it prints, on whichever output. Returns (exit status, late); late: it was ended
    because its time was up.
    """
    late = []

    def stop():
        late.append(True)
        _end(process.pid, signal.SIGKILL)

    with subprocess.Popen(argv, cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", start_new_session=True) as process:
        _running.add(process.pid)
        timer = threading.Timer(seconds, stop)
        timer.start()
        try:
            for line in process.stdout:
                on_line(line.rstrip("\n"))
            status = process.wait()
        except BaseException:
            _end(process.pid, signal.SIGKILL)
            raise
        finally:
            timer.cancel()
            _running.discard(process.pid)
    return status, bool(late)


def end_all():
    """Asks what runs to end, with all that it started; does not wait."""
    for pid in list(_running):
        _end(pid, signal.SIGTERM)
