# SPDX-License-Identifier: GPL-2.0
"""Tables of container types 1 and 3: the kernel's driver, ours, and ours with what it keeps."""
import tabulate

from report import MIB, SMALL, Samples, ratios, scale, shown, size

SIDES = ("type1", "plain", "kept")
NAMES = ("type1", "vfio_prereg", "vfio_prereg, kept")
# What is aimed at: type1 / ours at least; kept for memory of 4 KiB pages on a machine that has them.
PLAIN_AIM, CONTAINERS_AIM = 1, 10
KEPT_AIMS = {("map", SMALL): 4, ("map", 2 * MIB): 10}

HEADING = """\
Types 1 and 3: vfio_prereg as it is by default, which pins when it maps and unpins when it unmaps; and kept: the same memory was
mapped and unmapped in the same pieces before, and stayed pinned (VFIO_PREREG_KEEP).
"""


def call_rows(found, backing, total):
    """The lines of a table of calls: name, unit, then samples of the three sides."""
    for unit in (found.page, 2 * MIB, total):
        for call in ("map", "unmap"):
            sides = [found.get("type1", call=call, side=side, backing=backing, bytes=total, unit=unit) for side in SIDES]
            if all(sides):
                yield call, unit, sides


def words(call, unit, total):
    """A call in words."""
    return "%s %s" % (call, "all" if unit == total else size(unit))


def kept_aim(found, backing, call, unit):
    """What the issue aims at."""
    at_least = KEPT_AIMS.get((call, unit)) if backing == "small" and found.page == SMALL else None
    return ">= %g" % at_least if at_least else ""


def call_tables(found, instructions):
    """A table for each kind and amount of memory."""
    head = ["a call", "", *NAMES, "type1/plain (aim %g)" % PLAIN_AIM, "type1/kept", "aim"]
    for backing, total in found.values("type1", "backing", "bytes"):
        rows = []
        for call, unit, sides in call_rows(found, backing, total):
            name, length = ("k", 1e3) if instructions else scale(sides[2])
            rows.append([words(call, unit, total), name, *(shown(side, length, not instructions) for side in sides),
                         *(shown(ratios(sides[0], ours), wide=not instructions) for ours in sides[1:]),
                         kept_aim(found, backing, call, unit)])
        yield {"title": "Types 1 and 3: %s of %s" % (size(total), found.memory(backing)), "head": head, "rows": rows}


def nth_map(found, backing, total, nth, field="map_ns"):
    """Samples of both drivers for the NTH container."""
    return [found.get("container", field, side=side, backing=backing, bytes=total, nth=nth) for side in SIDES[:2]]


def held(found, backing, total, field):
    """Bytes charged or pinned with both drivers, when all is mapped in all containers."""
    return [found.get("containers", field, side=side, backing=backing, bytes=total)[0] for side in SIDES[:2]]


def container_tables(found, instructions):
    """The same memory in several containers of one process."""
    for backing, total in found.values("containers", "backing", "bytes"):
        rows = []
        for (nth,) in found.values("container", "nth"):
            maps, unmaps = (nth_map(found, backing, total, nth, field) for field in ("map_ns", "unmap_ns"))
            length = 1e3 if instructions else 1e6
            rows.append([str(nth), *(shown(side, length, not instructions) for side in maps),
                         shown(ratios(*maps), wide=not instructions), ">= %d" % CONTAINERS_AIM if nth > 1 else "",
                         *(shown(side, length, not instructions) for side in unmaps)])
        for field in ("charged", "pinned"):
            both = held(found, backing, total, field)
            rows.append([field + " then", *map(size, both), "%.3g" % (both[0] / both[1]), "", "", ""])
        yield {"title": "Types 1 and 3: all of %s of %s in each of several containers of a process%s" % (
            size(total), found.memory(backing), "" if instructions else ": ms"),
               "head": ["container", "map: type1", "map: vfio_prereg", "type1/prereg", "aim", "unmap: type1",
                        "unmap: vfio_prereg"], "rows": rows}


def tables(samples):
    """Title, head and rows of each table."""
    parts = []
    for clock in ("time", "instructions"):
        found, counted = Samples(samples, clock), clock == "instructions"
        new = [*call_tables(found, counted), *container_tables(found, counted)]
        for table in new:
            table["title"] = ("Instructions (thousands): " if counted else "") + table["title"]
        parts += new
    return parts


def summary(samples):
    """The short table for documents, in Markdown; "" if nothing was measured."""
    found, counted, rows = Samples(samples, "time"), Samples(samples, "instructions"), []
    for backing, total in found.values("type1", "backing", "bytes"):
        fewer = {(call, unit): [shown(ratios(sides[0], ours), wide=False) for ours in sides[1:]]
                 for call, unit, sides in call_rows(counted, backing, total)}
        for call, unit, sides in call_rows(found, backing, total):
            name, length = scale(sides[2])
            faster = [shown(ratios(sides[0], ours), wide=False) for ours in sides[1:]]
            rows.append(["%s of %s: %s" % (size(total), found.memory(backing), words(call, unit, total)),
                         *(shown(side, length, False) + " " + name for side in sides),
                         *map(" / ".join, zip(faster, fewer.get((call, unit), ["-", "-"])))])
    for backing, total in found.values("containers", "backing", "bytes"):
        maps, fewer = (nth_map(where, backing, total, 2) for where in (found, counted))
        rows.append(["%s of %s: map all in a second container" % (size(total), found.memory(backing)),
                     *(shown(side, 1e6, False) + " ms" for side in maps), "",
                     "%s / %s" % tuple(shown(ratios(*both), wide=False) for both in (maps, fewer)), ""])
        charged, (count,) = held(found, backing, total, "charged"), found.values("containers", "containers")[0]
        rows.append(["%s of %s: charged with %d containers" % (size(total), found.memory(backing), count),
                     *map(size, charged), "", "%.3g times less" % (charged[0] / charged[1]), ""])
    return tabulate.tabulate(rows, ["types 1 and 3", *NAMES, "times faster / fewer instructions", "kept: the same"],
                             tablefmt="github", disable_numparse=True, colalign=("left",) + ("right",) * 5) if rows else ""
