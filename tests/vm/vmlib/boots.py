# SPDX-License-Identifier: GPL-2.0
"""The guests that make check boots beside a target's own, as tests/vm/boots says."""
import collections
import fnmatch
import os

from .target import TOP, Problem

Boot = collections.namedtuple("Boot", "name targets machine list append")


def of(target):
    """The Boots for TARGET. machine: None for its own; append: kernel arguments."""
    found = []
    with open(os.path.join(TOP, "tests", "vm", "boots"), encoding="utf-8") as lines:
        for line in lines:
            if not line.strip() or line.startswith("#"):
                continue
            words = line.split(None, 4)
            if len(words) < 4:
                raise Problem("the line \"%s\" of tests/vm/boots is not NAME TARGETS MACHINE LIST [KERNEL ARGUMENTS]." % line.strip())
            boot = Boot(*words[:4], words[4].strip() if len(words) > 4 else "")
            if any(fnmatch.fnmatch(target, pattern) for pattern in boot.targets.split(",")):
                found.append(boot._replace(machine=None if boot.machine == "-" else boot.machine))
    return found
