# SPDX-License-Identifier: GPL-2.0
"""One virtual machine: starts QEMU, speaks with the guest's init, notices when it is gone."""
import base64
import os
import secrets
import selectors
import shutil
import socket
import subprocess
import time

from . import devicetree
from .faults import Faults
from .target import TOP, Problem

# For a guest that is not slow, as are the others.
BOOT_SECONDS = 120
OFF_SECONDS = 10
GET_SECONDS = 60
LOG_SECONDS = 10
# What the host grants beyond the guest's own time limit before it calls the guest dead.
GRACE_SECONDS = 30


class Died(Exception):
    """The guest is gone; the text says how."""


class Unstarted(Died):
    """It was gone before its kernel ran anything of ours."""


class Port:
    """A serial port of the machine: collects bytes, hands out lines, keeps a log file."""

    def __init__(self, log):
        self.host, self.qemu = socket.socketpair()
        self.log = open(log, "ab")
        self.rest = b""
        self.lines = []
        self.open = True

    def receive(self):
        """Reads what is there; False at the end."""
        try:
            data = self.host.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self.open = False
            if self.rest:
                self.lines.append(self.rest.decode(errors="replace"))
                self.rest = b""
            return False
        self.log.write(data)
        self.log.flush()
        *full, self.rest = (self.rest + data).split(b"\n")
        self.lines += [line.rstrip(b"\r").decode(errors="replace") for line in full]
        return True

    def close(self):
        """Ends both sides and the log."""
        self.host.close()
        self.log.close()


class Machine:
    """A booted guest.

    run() and get() raise Died when the guest stops answering; the machine is then of no more use.
    Always close() it, or use it in a with statement. SLOW multiplies its own time limits.
    """

    def __init__(self, target, initrd, logdir, memory="2G", cpus=2, append="", gdb=False,
                 grace=GRACE_SECONDS, slow=1):
        self.grace = grace
        self.slow = max(slow, target.slow)
        self.token = secrets.token_hex(8)
        self.console = Port(os.path.join(logdir, "console.log"))
        self.channel = Port(os.path.join(logdir, "channel.log"))
        self.kernel_log = []
        self.trouble = []
        self.count = 0
        words = command(target, initrd, memory, cpus, gdb, " ".join((
            "console=%s,115200" % target.set["CONSOLE"], "vm.token=" + self.token,
            "vm.channel=" + target.set["CHANNEL"],
            "vm.faults=" + target.set["FAULT_PORT"] if "FAULT_PORT" in target.set else "", append)))
        qemu_log = os.path.join(logdir, "qemu.log")
        self.faults = Faults(target, qemu_log) if "FAULT_LINES" in target.set else None
        ends = [self.console.qemu, self.channel.qemu]
        for name, port in (("console", self.console), ("channel", self.channel)):
            words += ["-chardev", "socket,id=%s,fd=%d" % (name, port.qemu.fileno())]
        words += ["-serial", "chardev:console", *target.words("CHANNEL_DEVICES")]
        if self.faults:
            words += ["-chardev", "socket,id=faults,fd=%d" % self.faults.qemu_port.fileno(), *target.words("FAULT_DEVICES")]
            ends.append(self.faults.qemu_port)
        with open(qemu_log, "ab") as log:
            # It ends with the thread that starts it, so with this process too.
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *words], cwd=TOP, stdin=subprocess.DEVNULL, stdout=log,
                stderr=self.faults.qemu_log if self.faults else log, pass_fds=[end.fileno() for end in ends])
        self.selector = selectors.DefaultSelector()
        for port in (self.console, self.channel):
            port.qemu.close()
            self.selector.register(port.host, selectors.EVENT_READ, port.receive)
        if self.faults:
            self.faults.started()
            self.selector.register(self.faults.log, selectors.EVENT_READ, self.faults.read_log)
            self.selector.register(self.faults.port, selectors.EVENT_READ, self.faults.answer)
        try:
            self.release = self._answer("ready", BOOT_SECONDS * self.slow if not gdb else 86400, lambda line: None)[0]
        except BaseException as error:
            self.close()
            if isinstance(error, Died) and not any("Run /init as init" in line for line in self.kernel_log):
                raise Unstarted("before it ran anything " + str(error)) from None
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def run(self, shell_command, seconds, on_line=lambda line: None):
        """Runs a command in the guest's shell, for SECONDS at most.

        on_line is called with each line of its output. Returns (exit status, late); late: it was
        ended because its time was up.
        """
        self.count += 1
        self._send("run %d %d %s" % (self.count, seconds, shell_command))
        number, status, how = self._answer("end", seconds + self.grace, on_line)
        assert int(number) == self.count
        self._console_until("vm: end %d" % self.count, LOG_SECONDS * self.slow)
        return int(status), how == "late"

    def take_log(self):
        """The kernel log's lines since the last call; works on a dead or closed machine too."""
        lines, self.kernel_log = self.kernel_log, []
        return lines

    def get(self, path):
        """The bytes of the guest's file PATH; None if there is none."""
        self._send("get " + path)
        size = int(self._answer("file", GET_SECONDS * self.slow, lambda line: None)[0])
        lines = []
        self._answer("eof", GET_SECONDS * self.slow, lines.append)
        if size < 0:
            return None
        data = base64.b64decode("".join(lines))
        if len(data) != size:
            raise Died("%s came over incomplete (%d of %d bytes)" % (path, len(data), size))
        return data

    def close(self):
        """Powers the guest off; kills QEMU if it does not go in time."""
        if self.process.poll() is None:
            try:
                self._send("off")
                self.process.wait(OFF_SECONDS * self.slow if self.channel.open else 0)
            except (Died, subprocess.TimeoutExpired):
                self.process.kill()
                self.process.wait()
        self._drain_console()
        self.selector.close()
        self.console.close()
        self.channel.close()
        if self.faults:
            self.faults.close()

    def _send(self, line):
        try:
            self.channel.host.sendall(line.encode() + b"\n")
        except OSError:
            raise Died(self._how_it_died()) from None

    def _answer(self, word, seconds, on_line):
        """Waits for the guest's answer WORD; its arguments. Other lines go to on_line."""
        end = time.monotonic() + seconds
        while True:
            while self.channel.lines:
                line = self.channel.lines.pop(0)
                if line.startswith(self.token + " trouble "):
                    self.trouble.append(line.split(" ", 2)[2])
                elif line.startswith(self.token + " " + word):
                    return line.split(" ")[2:]
                else:
                    on_line(line)
            if not self._wait(end - time.monotonic()):
                raise Died("the guest hung: nothing came for its end within %d s" % seconds)

    def _console_until(self, text, seconds):
        """Waits until the kernel log has TEXT, so that all before it has come too."""
        end = time.monotonic() + seconds
        while not any(line.endswith(text) for line in self.kernel_log):
            if not self._wait(end - time.monotonic()):
                raise Died("the guest's kernel log stopped")

    def _wait(self, seconds):
        """Moves what the ports have; False when time is up, Died when QEMU has gone."""
        if seconds <= 0:
            return False
        for key, _ in self.selector.select(min(seconds, 1)):
            if not key.data():
                self.selector.unregister(key.fileobj)
        self.kernel_log += self.console.lines
        self.console.lines.clear()
        if not self.channel.open and not self.channel.lines:
            raise Died(self._how_it_died())
        return True

    def _drain_console(self):
        while self.console.open and self.console.receive():
            pass
        self.kernel_log += self.console.lines
        self.console.lines.clear()

    def _how_it_died(self):
        self._drain_console()
        for line in self.kernel_log:
            if "Kernel panic" in line:
                return "the kernel panicked: " + line.split("] ", 1)[-1]
        try:
            status = self.process.wait(10 * self.slow)
        except subprocess.TimeoutExpired:
            return "QEMU closed the channel"
        return "QEMU ended (status %d) with no panic in the kernel's log" % status


def command(target, initrd, memory, cpus, gdb, append):
    """QEMU's command line, without serial ports; paths of a machine's file are relative to the top of the sources."""
    qemu = shutil.which(target.set["QEMU"])
    if not qemu:
        raise Problem("%s is missing; run \"scripts/setup vm\" as root." % target.set["QEMU"])
    # The kernel log must reach the console whole and at once (ignore_loglevel), and our marks in it
    # must not be rate-limited; an oops ends the machine, what came after it would prove nothing. The kernel's watchdogs
    # shall bark at what hangs, not at a CPU that waits for a busy host.
    append = " ".join((
        "panic=-1 oops=panic ignore_loglevel printk.devkmsg=on rdinit=/init watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120",
        target.set["APPEND"],
        "vm.vfio=" + ",".join(target.words("VFIO_DEVICES")), "vm.aperture=" + target.set.get("APERTURE_BITS", ""), append, "nokaslr" if gdb else ""))
    words = [qemu, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
             *target.words("MACHINE_OPTIONS"), *target.words("DEVICES"), "-m", memory, "-smp", str(cpus),
             "-kernel", os.path.join(target.out, "vmlinuz"), "-initrd", initrd, "-append", append]
    if target.set.get("CPU"):
        words += ["-cpu", target.set["CPU"]]
    if "PAGE_SIZES" in target.set:
        words += devicetree.options(words, cpus, target.words("PAGE_SIZES"), os.path.splitext(initrd)[0] + ".dtb")
    return words + (["-s", "-S"] if gdb else [])
