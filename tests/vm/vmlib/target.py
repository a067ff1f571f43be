# SPDX-License-Identifier: GPL-2.0
"""What a target (a file in targets/) says and what its build directory holds."""
import os
import shlex
import shutil

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.."))


class Problem(Exception):
    """Something the user can mend; its text is one sentence that says how."""


def settings(folder, name):
    """The KEY=value lines of FOLDER/NAME as a dict."""
    values = {}
    path = os.path.join(TOP, folder, name)
    if "/" in name or not os.path.isfile(path):
        raise Problem("there is no \"%s\" in %s/; the files there are what can be named." % (name, folder))
    with open(path, encoding="utf-8") as text:
        for word in shlex.split(text.read(), comments=True):
            key, _, value = word.partition("=")
            values[key] = value
    return values


def all_targets():
    """The names in targets/ that no debug kernel belongs to."""
    return sorted(name for name in os.listdir(os.path.join(TOP, "targets")) if not name.endswith((".config", "-debug")))


class Target:
    """A target's settings, those of its machine (or of another one), and its build directory.

    out       build/NAME: vmlinuz, modules/, kver, vfio_prereg.ko, guest/
    kver      release of the kernel, e.g. 6.1.0-56-amd64
    slow      how many times slower than the others its guest is
    """

    def __init__(self, name, out=None, machine=None):
        self.name = name
        own = settings("targets", name)
        on = settings("machines", machine or own["MACHINE"])
        # Both may have kernel arguments.
        self.set = {**on, **own, "APPEND": " ".join((on.get("APPEND", ""), own.get("APPEND", "")))}
        self.slow = float(self.set.get("SLOW", 1))
        self.out = os.path.abspath(out or os.path.join(TOP, "build", name))
        try:
            with open(os.path.join(self.out, "kver"), encoding="utf-8") as kver:
                self.kver = kver.read().strip()
        except FileNotFoundError:
            raise Problem("%s holds no kernel yet; run \"make module TARGET=%s\"."
                          % (os.path.relpath(self.out, TOP), name)) from None

    def words(self, key):
        """Setting KEY as a list of words; [] if the target has none."""
        return shlex.split(self.set.get(key, ""))

    def measured(self):
        """Its machine gets the CPU that the figures in docs/ are of; returns itself."""
        self.set["CPU"] = self.set.get("MEASURED_CPU", self.set.get("CPU", ""))
        return self

    def files(self):
        """[(host path, guest path)] of the machine's own files."""
        pairs = [word.split("=", 1) for word in self.words("FILES")]
        return [(os.path.join(TOP, source.replace("TARGET", "build/" + self.name, 1)), guest) for source, guest in pairs]

    def busybox(self):
        """The path of a static busybox for the guest."""
        own = os.path.join(self.out, "busybox")
        path = own if os.path.exists(own) else shutil.which("busybox")
        if not path:
            raise Problem("busybox is missing; run \"scripts/setup vm\" as root.")
        return path

    def modules(self):
        """{module name: path} of the kernel's module tree."""
        tree = os.path.join(self.out, "modules", self.kver, "kernel")
        found = {}
        for where, _, files in os.walk(tree):
            for name in files:
                base, dot, suffix = name.partition(".ko")
                if dot and suffix in ("", ".xz", ".gz"):
                    found[base] = os.path.join(where, name)
        return found

    def builtin(self):
        """Names of what would be modules but is built into the kernel."""
        path = os.path.join(self.out, "modules", self.kver, "modules.builtin")
        if not os.path.exists(path):
            return set()
        with open(path, encoding="utf-8") as lines:
            return {os.path.basename(line.strip())[:-len(".ko")] for line in lines}
