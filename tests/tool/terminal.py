# SPDX-License-Identifier: GPL-2.0
"""A program on a terminal of its own, and what its screen shows."""
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time

import pyte


class Terminal:
    """ARGV on a terminal of COLUMNS x LINES."""

    def __init__(self, argv, environment, columns=100, lines=24):
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.pid, self.master = pty.fork()
        if not self.pid:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
                os.execve(argv[0], argv, dict(environment, TERM="linux"))
            finally:
                os._exit(127)

    def resize(self, columns, lines):
        """As a user does with the mouse."""
        self.screen.resize(lines, columns)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, text):
        """Presses keys."""
        os.write(self.master, text.encode())

    def _read(self, seconds):
        """False: nothing came, or nothing will."""
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.stream.feed(data)
        return bool(data)

    def lines(self):
        """What is to be seen, without blanks at the ends."""
        return [line.rstrip() for line in self.screen.display]

    def until(self, question, seconds=60):
        """Waits until QUESTION(lines) is true; half a picture may lack what it looks at (IndexError). The lines."""
        end = time.monotonic() + seconds

        def answered():
            try:
                return question(self.lines())
            except IndexError:
                return False

        while not answered():
            left = end - time.monotonic()
            assert left > 0, "the screen never came to that: \n" + "\n".join(self.lines())
            self._read(min(left, 0.2))
        # What else belongs to the same picture.
        while self._read(0.1):
            pass
        return self.lines()

    def end(self, seconds=60):
        """Waits for the program's end; its exit status."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._read(0.1)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while self._read(0):
                    pass
                os.close(self.master)
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.master)
        raise AssertionError("it did not end")
