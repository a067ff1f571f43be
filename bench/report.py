# SPDX-License-Identifier: GPL-2.0
"""Turns samples into tables."""
import tabulate

from showing import spread

tabulate.PRESERVE_WHITESPACE = False

GIB = 1 << 30
BACKING = {"4k": "4 KiB pages", "thp": "2 MiB pages", "scattered": "4 KiB pages, none side by side"}
# What is aimed at: type1 / vfio_prereg at least, for memory of 4 KiB pages.
TARGETS = {("map", 4096): 5, ("unmap", 4096): 2, ("map", 2 << 20): 30, ("map", "all"): 40}
REGISTER_TARGET, KILL_TARGET, LIMIT_TARGET = 0.25, 0.1, 1.2


def size(number):
    """A number of bytes in words."""
    for unit, name in ((GIB, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if number >= unit:
            return "%g %s" % (round(number / unit, 1), name)
    return "%g B" % number


def duration(nanoseconds):
    """A time in words, three digits."""
    for unit, name in ((1e9, "s"), (1e6, "ms"), (1e3, "us")):
        if nanoseconds >= unit:
            return "%.3g %s" % (nanoseconds / unit, name)
    return "%.0f ns" % nanoseconds


def ratio(number):
    """A ratio, three digits."""
    return "%.3g" % number if number < 1000 else "%.0f" % number


def shown(values, form=duration):
    """Median and spread."""
    middle, low, high = spread(values)
    return "%s (%s … %s)" % (form(middle), form(low).split(" ")[0] if form(low).split(" ")[-1] == form(high).split(" ")[-1]
                             else form(low), form(high))


def ratios(over, under):
    """Ratios of samples that were taken one after the other, round by round."""
    return [a / b for a, b in zip(over, under) if b]


class Samples:
    """Lists of one field of the samples that match."""

    def __init__(self, samples):
        self.samples = samples

    def get(self, what, field="ns", **match):
        """FIELD of all samples of WHAT with these fields, in the order they were taken."""
        return [s[field] for s in self.samples
                if s["what"] == what and all(s[key] == value for key, value in match.items())]

    def values(self, what, *fields):
        """The different values of FIELDS, in order."""
        found = []
        for sample in self.samples:
            if sample["what"] == what:
                key = tuple(sample[field] for field in fields)
                if key not in found:
                    found.append(key)
        return found


def call_row(samples, backing, total, call, unit):
    """One line of a table of calls."""
    match = {"backing": backing, "bytes": total, "unit": unit}
    ours = samples.get("call", call=call, side="prereg", **match)
    # type1 pins when it maps: REGISTER is measured against its map of the whole.
    other = {"register": "map", "unregister": "unmap"}.get(call, call)
    theirs = samples.get("call", call=other, side="type1", **match)
    through = samples.get("call", call=call, side="limit", **match)
    bare = samples.get("call", call=call + "_bare", side="limit", **match) or through
    factors = ratios(theirs, ours)
    if call in ("register", "unregister"):
        name = "%s all" % call
        factors = ratios(ours, theirs)
        compared = "%s of its %s" % (shown(factors, ratio), other)
        target = "<= %g" % REGISTER_TARGET if call == "register" and backing == "4k" else ""
    else:
        name = "%s %s" % (call, "all" if unit == total else size(unit))
        compared = "%s x faster" % shown(factors, ratio)
        aim = TARGETS.get((call, "all" if unit == total else unit))
        target = ">= %g x" % aim if aim and backing == "4k" else ""
    return [name, shown(theirs), shown(ours), compared, target, shown(bare), shown(through),
            shown(ratios(ours, through), ratio)]


def call_tables(samples):
    """A table for each kind and amount of memory."""
    for backing, total in samples.values("stretches", "backing", "bytes"):
        rows = [call_row(samples, backing, total, call, unit) for call, unit in (
            ("register", total), ("map", 4096), ("unmap", 4096), ("map", 2 << 20), ("unmap", 2 << 20), ("map", total),
            ("unmap", total), ("unregister", total))]
        pieces = spread(samples.get("stretches", "stretches", backing=backing, bytes=total))[0]
        yield {"title": "%s of %s (%d contiguous stretches)" % (size(total), BACKING[backing], pieces),
               "head": ["a call", "type1", "vfio_prereg", "beside type1", "aim", "IOMMU API alone", "with an ioctl each",
                        "prereg / that (aim %g)" % LIMIT_TARGET], "rows": rows}
    for _ in samples.values("call", "backing")[:1]:
        rows = [[side, shown(samples.get("call", call="nop", side=side))] for side in ("type1", "prereg", "limit")]
        yield {"title": "An ioctl that does nothing", "head": ["driver", "a call"], "rows": rows}


def kill_tables(samples):
    """From SIGKILL until the pages are unpinned."""
    rows = []
    for backing, total, pieces, regions in samples.values("kill", "backing", "bytes", "pieces", "regions"):
        match = {"backing": backing, "bytes": total, "pieces": pieces, "regions": regions}
        ours = samples.get("kill", "put_ns", side="prereg", **match)
        theirs = samples.get("kill", "put_ns", side="type1", **match)
        rows.append([size(total), BACKING[backing], "%d%s" % (pieces, " regions" if regions else ""),
                     shown(theirs), shown(ours), shown(ratios(ours, theirs), ratio),
                     duration(spread(ours)[0] * GIB / total),
                     *(shown(samples.get("kill", "gone_ns", side=side, **match))
                       for side in ("type1", "prereg", "not_held"))])
    if rows:
        yield {"title": "From SIGKILL until every page is unpinned, and until the process is gone",
               "head": ["memory", "pages", "mappings", "type1", "vfio_prereg", "prereg / type1 (aim %g)" % KILL_TARGET,
                        "prereg per GiB", "gone: type1", "gone: vfio_prereg", "gone: not held"], "rows": rows}


def growth_tables(samples):
    """How cost grows."""
    rows = []
    for (count,) in samples.values("mappings", "mappings"):
        rows.append([count] + [shown(samples.get("mappings", field, side=side, mappings=count))
                               for field in ("map_ns", "unmap_ns") for side in ("type1", "prereg")])
    if rows:
        yield {"title": "One 4 KiB map more beside N mappings", "head": [
            "N", "map: type1", "map: vfio_prereg", "unmap: type1", "unmap: vfio_prereg"], "rows": rows}
    rows = []
    for (count,) in samples.values("regions", "regions"):
        rows.append([count] + [shown(samples.get("regions", field, side=side, regions=count))
                               for field in ("hold_ns", "drop_ns") for side in ("type1", "prereg")])
    if rows:
        yield {"title": "A region of one page, among N: (register and) map, unmap (and unregister)", "head": [
            "N", "map: type1", "register + map: vfio_prereg", "unmap: type1", "unmap + unregister: vfio_prereg"],
            "rows": rows}
    rows = []
    for (shift,) in samples.values("window", "shift"):
        rows.append(["2^%d" % shift] + [shown(samples.get("window", field, shift=shift))
                                        for field in ("create_ns", "map_ns", "remove_ns")])
    if rows:
        yield {"title": "A window of N bytes in vfio_prereg", "head": [
            "N", "create", "4 KiB map at both ends", "remove with 1024 mappings in it"], "rows": rows}


def bookkeeping_tables(samples):
    """Memory that the drivers take beyond the IOMMU's page tables."""
    rows = []
    for backing, total, pieces in samples.values("bookkeeping", "backing", "bytes", "pieces"):
        match = {"backing": backing, "bytes": total, "pieces": pieces}
        taken = {side: spread(samples.get("bookkeeping", "taken_kib", side=side, **match))[0] * 1024
                 for side in ("type1", "prereg", "limit")}
        stretches = spread(samples.get("bookkeeping", "stretches", side="limit", **match))[0]
        # What the limit module itself remembers: a pointer a page, 16 bytes a stretch.
        tables = taken["limit"] - total // 4096 * 8 - (stretches + 1) * 16
        own = spread(samples.get("bookkeeping", "own_bytes", side="prereg", **match))[0]
        rows.append([size(total), BACKING[backing], pieces, size(max(tables, 0)), size(max(taken["type1"] - tables, 0)),
                     size(max(taken["prereg"] - tables, 0)), size(own), "%.3g" % (own / (total / 4096)),
                     size(own * GIB / total)])
    if rows:
        yield {"title": "Kernel memory for memory that is held", "head": [
            "memory", "pages", "mappings", "page tables", "beyond them: type1", "beyond them: vfio_prereg",
            "regions of vfio_prereg", "bytes a page", "per GiB"], "rows": rows}


def tables(samples):
    """Title, head and rows of each table."""
    found = Samples(samples)
    return [table for part in (call_tables, kill_tables, growth_tables, bookkeeping_tables) for table in part(found)]


def text(parts):
    """The tables for people."""
    lines = ["Median (10th … 90th percentile) of rounds in which the drivers took turns. type1 is the kernel's own driver.", ""]
    for part in parts:
        lines += [part["title"], tabulate.tabulate(part["rows"], part["head"], tablefmt="simple", disable_numparse=True), ""]
    return "\n".join(lines)
