# SPDX-License-Identifier: GPL-2.0
"""The guest's root: busybox, our programs, the modules in the order to load them."""
import gzip
import lzma
import os
import stat

from .target import TOP, Problem

VM = os.path.join(TOP, "tests", "vm")
VARIANTS = ("", "put-first", "wrong-layout")


def unpacked(path):
    """What is in the host's file PATH, unpacked if it is a packed module."""
    packed = path.endswith((".ko.xz", ".ko.gz"))
    opener = {".xz": lzma.open, ".gz": gzip.open}[path[-3:]] if packed else open
    with opener(path, "rb") as data:
        return data.read()


class Cpio:
    """Writes a newc archive; needs neither root nor a cpio program."""

    def __init__(self, path):
        self.out = open(path, "wb")
        self.ino = 0
        self.made = {""}

    def entry(self, name, mode, data=b"", rdev=(0, 0)):
        """Adds NAME (no leading slash) with MODE (type and permissions), and its folders."""
        parent = os.path.dirname(name)
        if parent not in self.made:
            self.entry(parent, stat.S_IFDIR | 0o755)
        if stat.S_ISDIR(mode):
            self.made.add(name)
        self.ino += 1
        fields = (self.ino, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1], len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        self.out.write(head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4))

    def file(self, name, path, mode=None):
        """Adds the host's file PATH as NAME, unpacked if it is a packed module."""
        mode = os.stat(path).st_mode & 0o7777 if mode is None else mode
        self.entry(name, stat.S_IFREG | mode, unpacked(path))

    def tree(self, name, folder):
        """Adds all that is in the host's FOLDER below NAME; links stay links, devices devices."""
        for where, folders, files in os.walk(folder):
            for base in sorted(folders + files):
                path = os.path.join(where, base)
                inside = os.path.normpath(os.path.join(name, os.path.relpath(path, folder)))
                found = os.lstat(path)
                if stat.S_ISLNK(found.st_mode):
                    self.entry(inside, stat.S_IFLNK | 0o777, os.readlink(path).encode())
                elif stat.S_ISREG(found.st_mode):
                    self.file(inside, path)
                else:
                    self.entry(inside, found.st_mode, rdev=(os.major(found.st_rdev), os.minor(found.st_rdev)))

    def close(self):
        """Ends the archive."""
        self.entry("TRAILER!!!", 0)
        self.out.close()


def begin_root(target, path, folders, init):
    """A Cpio at PATH with empty FOLDERS, a console, busybox, and the program INIT to be run first."""
    archive = Cpio(path)
    for folder in folders:
        archive.entry(folder, stat.S_IFDIR | 0o755)
    archive.entry("dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1))
    archive.file("bin/busybox", target.busybox(), 0o755)
    archive.file("init", init, 0o755)
    return archive


def build(target, path, extra=()):
    """Writes the initramfs of TARGET to PATH. EXTRA: (host path, guest path) of more files, or folders with all that is in them."""
    # Without an entry the root is anybody's to write in, which some programs do not like.
    folders = (".", "proc", "sys", "dev", "tmp", "out", "bin", "m", "t")
    archive = begin_root(target, path, folders, os.path.join(VM, "init"))

    modules, builtin = target.modules(), target.builtin()
    order = []
    for name in target.words("BASE_MODULES") + target.words("EXTRA_MODULES"):
        if name in modules:
            archive.file("m/%s.ko" % name, modules[name], 0o644)
            if name in target.words("BASE_MODULES"):
                order.append(name)
        elif name not in builtin:
            raise Problem("kernel %s has no module %s; targets/%s names it."
                          % (target.kver, name, target.name))
    archive.entry("m/base.list", stat.S_IFREG | 0o644, "".join(n + "\n" for n in order).encode())
    for variant in VARIANTS:
        module = os.path.join(target.out, variant, "vfio_prereg.ko")
        if os.path.exists(module):
            archive.file(os.path.normpath(os.path.join("m", variant, "vfio_prereg.ko")), module, 0o644)

    for source, folder in ((os.path.join(target.out, "guest"), "bin"), (os.path.join(VM, "guest"), "t")):
        for name in sorted(os.listdir(source)) if os.path.isdir(source) else ():
            program = os.path.join(source, name)
            if name.endswith(".ko"):
                archive.file("m/" + name, program, 0o644)
            elif os.path.isfile(program) and os.access(program, os.X_OK):
                archive.file("%s/%s" % (folder, name), program, 0o755)
    # What scripts/build-user made, if it was called.
    root = os.path.join(target.out, "root")
    for source, guest in [*([(root, "/")] if os.path.isdir(root) else []), *target.files(), *extra]:
        add = archive.tree if os.path.isdir(source) else archive.file
        add(guest.lstrip("/"), source)
    archive.close()
