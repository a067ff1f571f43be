# SPDX-License-Identifier: GPL-2.0
"""What demo and bench share: build, run commands in a guest without its noise, draw."""
import contextlib
import os
import statistics
import subprocess
import sys
import time

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(TOP, "tests", "vm"))
# pylint: disable=wrong-import-position
from vmlib import commands
from vmlib.session import Session
from vmlib.target import Problem, Target

KERNEL_LOG = "--- kernel log ---"


def progress(text):
    """One line for the person who waits."""
    print(text, flush=True)


def make(target, *goals):
    """Runs make; what it prints is shown."""
    done = subprocess.run(["make", "--no-print-directory", "TARGET=" + target, *goals], cwd=TOP, check=False)
    if done.returncode:
        raise Problem("\"make %s\" failed; the reason is above." % " ".join(goals))


def relative(path):
    """PATH as seen from the top of the sources."""
    return os.path.relpath(path, TOP)


class Guest:
    """A booted machine for programs whose output is the result.

    Use it in a with statement. Everything the runner prints goes to build/TARGET/logs/NAME/run.log.
    """

    def __init__(self, target, name, files=(), **options):
        self.session = Session(target, name, extra=files, reboots=0, **options)
        self.log = open(os.path.join(self.session.logs, "run.log"), "w", encoding="utf-8")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.redirect_stdout(self.log):
            self.session.close()
        self.log.close()

    def run(self, name, seconds, command, setup=False):
        """Runs COMMAND; returns the lines it printed. Problem if it failed, or the kernel complained."""
        line = "%s %d %s %s" % (name, seconds, "setup" if setup else "plain", command)
        before = len(self.session.totals.results)
        with contextlib.redirect_stdout(self.log):
            self.session.run(commands.parse(line))
        log = os.path.join(self.session.logs, name + ".log")
        lines = []
        if os.path.exists(log):
            with open(log, encoding="utf-8") as text:
                lines = text.read().split(KERNEL_LOG)[0].splitlines()[1:]
        wrong = [result["name"] for result in self.session.totals.results[before:] if result["verdict"] == "FAIL"]
        if wrong:
            said = [text for text in lines if text.strip() and not text.startswith("{")][-5:]
            raise Problem("\"%s\" failed in the guest (%s); everything it said is in %s." % (
                command, " / ".join(wrong + said), relative(log)))
        return lines


class Clock:
    """Says how long something took."""

    def __init__(self):
        self.start = time.monotonic()

    def seconds(self):
        """Since the beginning."""
        return time.monotonic() - self.start


def gnuplot(script, folder):
    """Runs a gnuplot SCRIPT in FOLDER; returns what it printed."""
    try:
        done = subprocess.run(["gnuplot"], input=script, cwd=folder, text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError:
        raise Problem("gnuplot is missing; run \"scripts/setup demo\" as root.") from None
    if done.returncode or "error" in done.stderr.lower():
        raise Problem("gnuplot could not draw the chart: %s" % done.stderr.strip())
    return done.stdout


def spread(values):
    """(median, 10th percentile, 90th percentile) of a list."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    tenths = statistics.quantiles(values, n=10, method="inclusive")
    return statistics.median(values), tenths[0], tenths[8]


__all__ = ["TOP", "Clock", "Guest", "Problem", "Target", "gnuplot", "make", "progress", "relative", "spread"]
