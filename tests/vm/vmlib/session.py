# SPDX-License-Identifier: GPL-2.0
"""Runs a list of commands, in one machine if all goes well, and judges them."""
import json
import os
import re
import shutil
import time

from . import initramfs
from .machine import Died, Machine, Unstarted
from .tap import FAIL, PASS, SKIP, Tap, Totals
from .target import TOP

# What the kernel says when something is broken in it. DMAR faults are not here: tests cause them.
SPLAT = re.compile(
    r"BUG:|WARNING:|Oops\b|Call Trace:|KASAN|UBSAN|Bad page|kmemleak: \d+ new|Kernel panic|"
    r"general protection fault|INFO: task .* blocked|detected stalls|soft lockup|list_(add|del) corruption|"
    r"refcount_t:|possible (circular|recursive) locking|suspicious RCU|page dumped because|nobody cared|"
    r"cut here|still has locks held|Failed to unbind|Unable to handle")

# Lines between what the kernel complains about and its "Call Trace:", at most.
TRACE_DISTANCE = 20

# How many machines are started at most where they die before their kernels have run anything.
STARTS = 3


def message(line):
    """A kernel log line without its time."""
    return line.split("] ", 1)[-1].strip()


def complaints(kernel, allow):
    """The lines of a kernel log that are splats; a call trace belongs to the allowed line before it."""
    found, forgiven = [], -1
    for at, line in enumerate(kernel):
        if allow and allow.search(line):
            forgiven = at + TRACE_DISTANCE
        elif "cut here" in line and allow and any(map(allow.search, kernel[at + 1:at + 4])):
            pass
        elif SPLAT.search(line) and not ("Call Trace:" in line and at <= forgiven):
            found.append(line)
    return found


class Session:
    """A named run: logs under build/TARGET/logs/NAME, results in .totals.

    Options: memory, cpus, append as for Machine; extra files for the guest; scale multiplies the time
    limits, as does the target's own factor; reboots says how many dead machines are replaced to go on with the list.
    """

    def __init__(self, target, name, extra=(), scale=1.0, reboots=1, **machine):
        self.target = target
        self.scale = scale * target.slow
        self.reboots = reboots
        self.options = dict(machine, slow=self.scale, append="%s vm.slow=%d" % (machine.get("append", ""), max(1, round(self.scale))))
        self.logs = os.path.join(target.out, "logs", name)
        shutil.rmtree(self.logs, ignore_errors=True)
        os.makedirs(self.logs)
        self.initrd = os.path.join(self.logs, "initrd.cpio")
        initramfs.build(target, self.initrd, extra)
        self.totals = Totals()
        self.commands = []
        self.machine = None
        self.done_setups = []
        # A command has broken the kernel in this machine, as it may.
        self.broken = False

    def run(self, commands):
        """Runs COMMANDS and judges them; nothing is raised for what goes wrong in a guest."""
        for at, command in enumerate(commands):
            if self.machine is None and not self._boot(command):
                for unreached in commands[at + 1:]:
                    self._count(unreached, FAIL, "not reached", "no machine was left to run it")
                return
            self._one(command)

    def get(self, path, folder):
        """Brings the guest's file PATH into FOLDER; a missing one is a failed test."""
        try:
            data = self.machine.get(path) if self.machine else None
        except Died as death:
            self._replace_machine()
            data = None
        if data is None:
            self.totals.add("get", FAIL, path, "the guest has no such file, or is gone")
            return
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, os.path.basename(path)), "wb") as out:
            out.write(data)

    def close(self):
        """Ends the machine, writes result.json; the initramfs is not kept."""
        self._end_machine()
        os.remove(self.initrd)
        with open(os.path.join(self.logs, "result.json"), "w", encoding="utf-8") as out:
            json.dump({"target": self.target.name, "kernel": self.target.kver,
                       "passed": self.totals.number(PASS), "failed": self.totals.number(FAIL),
                       "skipped": self.totals.number(SKIP), "commands": self.commands,
                       "tests": self.totals.results}, out, indent=1)

    def _boot(self, command):
        """A machine for COMMAND, with the setups done so far; False (and COMMAND failed) if there is none."""
        if self.done_setups is None:
            self._count(command, FAIL, "not reached", "no machine was left to run it")
            return False
        start = time.monotonic()
        self.broken = False
        try:
            self.machine = self._start()
            for trouble in self.machine.trouble:
                self.totals.add("boot", FAIL, trouble, "see " + self._log("console"))
            self._judge_log("boot")
            for setup in self.done_setups:
                self.machine.run(setup.command, setup.seconds * self.scale)
        except Died as death:
            self._count(command, FAIL, "the guest boots", "%s; see %s" % (death, self._log("console")))
            self._replace_machine()
            self.done_setups = None
            return False
        self.totals.say("guest: %s, up after %.1f s" % (self.machine.release, time.monotonic() - start))
        return True

    def _start(self):
        """A machine that is up. An emulated one dies now and then while its kernel starts the processors or patches itself (QEMU 7.2
        runs int3s that are gone): that is neither the module's doing nor the tests'."""
        for _ in range(STARTS - 1):
            try:
                return Machine(self.target, self.initrd, self.logs, **self.options)
            except Unstarted as death:
                self.totals.say("%s: starting another one" % death)
        return Machine(self.target, self.initrd, self.logs, **self.options)

    def _judge_log(self, when):
        """Kernel log lines outside of any command: a complaint among them is a failure of its own."""
        log = self.machine.take_log()
        for line in complaints(log, None)[:1] if not self.broken else ():
            self.totals.add(when, FAIL, "the kernel complained: " + message(line), "see " + self._log("console"))

    def _end_machine(self):
        if self.machine:
            self.machine.close()
            self._judge_log("after the last command")
            self.machine = None

    def _replace_machine(self):
        """Ends the machine; the next command boots another one, if there may be one."""
        self._end_machine()
        if self.reboots <= 0:
            self.done_setups = None
        self.reboots -= 1

    def _one(self, command):
        """Runs one command in the machine and judges it."""
        tap, output, results = Tap(), [], []
        start = time.monotonic()
        before = self.totals.number(FAIL)

        def line_came(line):
            output.append(line)
            result = tap.feed(line) if command.kind == "tap" else None
            if result and command.must_fail:
                results.append(result)
            elif result:
                self.totals.add(command.name, *result)

        dead = None
        status, late = -1, False
        try:
            status, late = self.machine.run(command.command, command.seconds * self.scale, line_came)
        except Died as death:
            dead = str(death)
        kernel = self.machine.take_log()
        wrong = self._judge(command, tap, results, status, late, dead, kernel)
        self.broken |= command.may_crash
        splats = [] if command.may_crash else complaints(kernel, command.allow)
        if splats and not (dead and "panicked" in dead):
            wrong.append("the kernel complained: " + message(splats[0]))
        self._write_log(command, output, kernel)
        for text in wrong:
            self._count(command, FAIL, text, "",
                        tap.notes + [line for line in output[-10:] if command.kind != "tap"])
        if self.totals.number(FAIL) > before:
            self.totals.say("        full log: " + self._log(command.name))
        elif command.kind == "plain" or command.must_fail:
            self._count(command, PASS, "fails as it must" if command.must_fail else "done")
        seconds = time.monotonic() - start
        self.commands.append({"name": command.name, "command": command.command, "seconds": round(seconds, 2),
                              "status": status, "wrong": wrong, "log": self._log(command.name)})
        if command.kind != "setup":
            self.totals.over(command.name, seconds)
        if dead or late:
            # After a late one the guest lives and its processes are ended, but what they left is unknown.
            self._replace_machine()
        if command.kind == "setup" and self.done_setups is not None:
            self.done_setups.append(command)

    @staticmethod
    def _judge(command, tap, results, status, late, dead, kernel):
        """What is wrong with a command that ended, as sentences."""
        after = " after \"%s\"" % tap.last if tap.last else ""
        failed = [name for verdict, name, *_ in results if verdict == FAIL]
        if command.may_crash:
            # How a guest ends whose kernel was broken, as it may be, is chance. A call trace alone may be of what only hung.
            broken = any(map(command.must_fail.search, failed)) or \
                dead and any("Call Trace:" not in line for line in complaints(kernel, None))
            if broken and (dead or late or tap.end(status)):
                return []
        if dead:
            return [dead + after]
        if late:
            return ["it hung: not done within its time limit" + after]
        if command.kind != "tap":
            return ["it exited with status %d" % status] if status else []
        wrong = tap.end(status)
        if command.must_fail and not wrong:
            wrong += ["\"%s\" failed too" % name for name in failed if not command.must_fail.search(name)]
            if not failed:
                wrong.append("no test failed, though one must")
        return wrong

    def _count(self, command, verdict, name, reason="", notes=()):
        self.totals.add(command.name, verdict, name, reason, notes)

    def _log(self, name):
        return os.path.relpath(os.path.join(self.logs, name + ".log"), TOP)

    def _write_log(self, command, output, kernel):
        with open(os.path.join(TOP, self._log(command.name)), "w", encoding="utf-8") as out:
            out.write("$ %s\n%s\n\n--- kernel log ---\n%s\n"
                      % (command.command, "\n".join(output), "\n".join(kernel)))
