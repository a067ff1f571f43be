# SPDX-License-Identifier: GPL-2.0
"""IOMMU faults, told to the guest by the emulator where the guest's own kernel log has none.

POWER's real bridges freeze a device that faults; QEMU's only write a line to QEMU's own log. A target that has
FAULT_LINES (a regular expression for those lines) gets one more port, FAULT_PORT in the guest: a line that a
program writes there is answered with such lines since the last time, then a line with a dot.
"""
import collections
import re
import socket

# An answer has the last so many lines: what programs ask for came just now.
KEPT_LINES = 20


class Faults:
    """QEMU's log, on its way into a file, and the port that hands parts of it out."""

    def __init__(self, target, path):
        self.wanted = re.compile(target.set["FAULT_LINES"].encode())
        self.path = path
        # QEMU waits when its log is full: the host reads it all the time that the guest runs.
        self.log, self.qemu_log = socket.socketpair()
        self.port, self.qemu_port = socket.socketpair()
        self.log.setblocking(False)
        self.port.setblocking(False)
        self.rest = b""
        self.lines = collections.deque(maxlen=KEPT_LINES)

    def started(self):
        """QEMU has its ends now."""
        self.qemu_log.close()
        self.qemu_port.close()

    def read_log(self):
        """Takes what QEMU wrote; False at the end."""
        while True:
            data = _receive(self.log)
            if not data:
                return data is None
            with open(self.path, "ab") as out:
                out.write(data)
            *full, self.rest = (self.rest + data).split(b"\n")
            self.lines += filter(self.wanted.search, full)

    def answer(self):
        """Answers what the guest asked; False at the end."""
        asked = _receive(self.port)
        for _ in range((asked or b"").count(b"\n")):
            # The line about a DMA is written before the device says that it is done.
            self.read_log()
            self.port.setblocking(True)
            self.port.sendall(b"".join(line + b"\n" for line in self.lines) + b".\n")
            self.port.setblocking(False)
            self.lines.clear()
        return asked != b""

    def close(self):
        """Ends the host's ends, with what is left of the log."""
        self.read_log()
        self.log.close()
        self.port.close()


def _receive(end):
    """What has come; None if nothing has, b"" at the end."""
    try:
        return end.recv(65536)
    except BlockingIOError:
        return None
    except ConnectionError:
        return b""
