# SPDX-License-Identifier: GPL-2.0
"""Turns samples into tables."""
import tabulate

from showing import spread

GIB, MIB = 1 << 30, 1 << 20
SMALL = 4096
BACKING = {"small": "%(page)s pages", "thp": "%(huge)s pages", "scattered": "scattered %(page)s pages",
           "window64k": "hugetlb pages in a window of 64 KiB pages", "window2m": "hugetlb pages in a window of 2 MiB pages"}
# What is aimed at: type1 / vfio_prereg at least, for memory of 4 KiB pages on a machine that has them; less than
# these for the others.
AIMS = {("map", SMALL): 5, ("unmap", SMALL): 2, ("map", 2 * MIB): 30, ("map", "all"): 40}
REGISTER_AIM, KILL_AIM, API_AIM, BATCH_AIM = 0.25, 0.1, 1.2, 8

HEADING = """\
Median [10th .. 90th percentile] of rounds in which the drivers took turns on the same memory; ratios are of samples of
one round. type1 is the kernel's own driver. "API" is bare iommu_map(), iommu_unmap() and pin_user_pages_fast();
"API+ioctl" is the same with an ioctl for each call, as the drivers have. An emulated machine: compare ratios only.
"""
# Where windows are TCE tables: no bare API.
HEADING_TCE = """\
Median [10th .. 90th percentile] of rounds in which the drivers took turns on the same memory; ratios are of samples of
one round. spapr_v2 is the kernel's own driver. Both have the same type number: vfio_prereg is loaded for its turn and
unloaded after it. All is mapped in windows that exist already. spapr_v2's UNREGISTER returns before it unpins: "unpinned" is
when the pages are back. Instructions are the calling thread's. An emulated machine: compare ratios only.
"""


def size(number):
    """A number of bytes in words."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (1 << 10, "KiB")):
        if number >= unit:
            return "%g %s" % (round(number / unit, 1), name)
    return "%g B" % number


def digits(number):
    """Three digits and no exponent."""
    return "%.3g" % number if number < 999.5 else "%.0f" % number


def shown(values, unit=1.0, wide=True):
    """Median and spread, in units; "-" if there is nothing."""
    if not values:
        return "-"
    parts = [digits(value / unit) for value in spread(values)]
    return "%s [%s .. %s]" % tuple(parts) if wide and len(values) > 1 else parts[0]


def scale(values):
    """The unit in which to show nanoseconds: (name, length)."""
    middle = spread(values)[0] if values else 1
    return ("ms", 1e6) if middle >= 1e6 else ("us", 1e3)


def ratios(over, under):
    """Ratios of samples that were taken one after the other, round by round."""
    return [a / b for a, b in zip(over, under) if b]


class Samples:
    """Lists of one field of the samples that match."""

    def __init__(self, samples, clock):
        self.samples = [s for s in samples if s["clock"] == clock]
        # The kernel's own driver.
        self.theirs = "spapr_v2" if any(s.get("side") == "spapr_v2" for s in self.samples) else "type1"
        self.tables = self.theirs == "spapr_v2"
        # The machine's pages, and its transparent huge ones.
        self.page, self.huge = (self.values("pages", "page", "huge") or [(SMALL, 2 * MIB)])[0]

    def get(self, what, field="ns", **match):
        """FIELD of all samples of WHAT with these fields, in the order they were taken."""
        return [s[field] for s in self.samples
                if s["what"] == what and all(s[key] == value for key, value in match.items())]

    def memory(self, backing):
        """A kind of memory in words."""
        return BACKING[backing] % {"page": size(self.page), "huge": size(self.huge)}

    def values(self, what, *fields):
        """The different values of FIELDS, in order."""
        return list(dict.fromkeys(tuple(s[field] for field in fields) for s in self.samples if s["what"] == what))


def call_rows(found, backing, total):
    """The lines of a table of calls: name, then nanoseconds of type1, ours, the API, the API with ioctls."""
    for call, unit in (("register", total), ("map", found.page), ("unmap", found.page), ("map", 2 * MIB), ("unmap", 2 * MIB),
                       ("map", total), ("unmap", total), ("unregister", total)):
        match = {"backing": backing, "bytes": total, "unit": unit}
        # type1 pins when it maps: REGISTER is set against its map of the whole.
        other = {"register": "map", "unregister": "unmap"}.get(call, call)
        through = found.get("call", call=call, side="limit", **match)
        yield (call, "all" if unit == total else unit, found.get("call", call=other, side="type1", **match),
               found.get("call", call=call, side="prereg", **match),
               found.get("call", call=call + "_bare", side="limit", **match) or through, through)


def aim(found, backing, call, unit):
    """What the issue aims at, for memory of 4 KiB pages."""
    if backing != "small" or found.page != SMALL:
        return ""
    if call == "register":
        return "<= %g" % REGISTER_AIM
    return ">= %g" % AIMS[call, unit] if (call, unit) in AIMS else ""


def tce_rows(found, backing, total):
    """The same where both drivers register: name, unit, then nanoseconds of the kernel's driver and of ours."""
    for call, units in (("register", [total]), ("map", [found.page, 64 << 10, 2 * MIB, total]),
                        ("unmap", [found.page, 64 << 10, 2 * MIB, total]), ("unregister", [total]), ("unpinned", [total])):
        for unit in units:
            theirs, ours = (found.get("call", call=call, backing=backing, bytes=total, unit=unit, side=side)
                            for side in (found.theirs, "prereg"))
            if theirs and ours:
                yield call, unit, theirs, ours


def tce_call(call, unit, total):
    """A call in words."""
    words = {"register": "register all", "unregister": "unregister all: the call", "unpinned": "unregister all: unpinned"}
    return words.get(call) or "%s %s" % (call, "all" if unit == total else size(unit))


def tce_tables(found, instructions=False):
    """A table for each kind and amount of memory, on POWER."""
    prefix = "Instructions (thousands): " if instructions else ""
    head = ["a call", "", "spapr_v2", "vfio_prereg", "spapr_v2/prereg (aim 1)"]
    for backing, total in found.values("call", "backing", "bytes"):
        rows = []
        for call, unit, theirs, ours in tce_rows(found, backing, total):
            # There most of the work is done later, by nobody in particular.
            if instructions and call == "unregister":
                continue
            name, length = ("k", 1e3) if instructions else scale(ours)
            rows.append([tce_call(call, unit, total), name, *(shown(x, length, not instructions) for x in (theirs, ours)),
                         shown(ratios(theirs, ours), wide=not instructions)])
        if rows:
            yield {"title": "%s%s of %s" % (prefix, size(total), found.memory(backing)), "head": head, "rows": rows}
    nops = [found.get("call", call="nop", side=side) for side in (found.theirs, "prereg")]
    if all(nops):
        yield {"title": prefix + "An ioctl that does nothing", "head": ["", "spapr_v2", "vfio_prereg"],
               "rows": [["k" if instructions else "us"] + [shown(x, 1e3, not instructions) for x in nops]]}


def window_rows(found, instructions):
    """A line for each kind of window."""
    for key in found.values("table", "page_shift", "shift", "levels"):
        match = dict(zip(("page_shift", "shift", "levels"), key))
        cells = [size(1 << match["shift"]), size(1 << match["page_shift"]), str(match["levels"])]
        for field in ("create_ns", "empty_ns", "remove_ns", "map_ns"):
            theirs, ours = (found.get("table", field, side=side, **match) for side in (found.theirs, "prereg"))
            cells += [shown(x, 1e3, False) for x in (theirs, ours)]
            cells.append(shown(ratios(theirs, ours), wide=not instructions))
        yield cells


def window_tables(found, instructions=False):
    """Windows where they are tables."""
    rows = list(window_rows(found, instructions))
    if rows:
        yield {"title": "%sWindows, made and removed: spapr_v2, vfio_prereg, spapr_v2/prereg" % (
            "Instructions (thousands): " if instructions else ""), "head": [
                "window", "pages", "levels", "create%s" % ("" if instructions else " (us)"), "", "", "remove empty", "", "",
                "remove, 1024 mapped", "", "", "map a page at its ends", "", ""], "rows": rows}


def call_tables(found, instructions=False):
    """A table for each kind and amount of memory."""
    if found.tables:
        yield from tce_tables(found, instructions)
        yield from window_tables(found, instructions)
        return
    for backing, total in found.values("stretches", "backing", "bytes"):
        rows = []
        for call, unit, theirs, ours, bare, through in call_rows(found, backing, total):
            name, length = ("k", 1e3) if instructions else scale(ours)
            whole = call in ("register", "unregister")
            beside = shown(ratios(ours, theirs) if whole else ratios(theirs, ours), wide=not instructions)
            rows.append([call + (" all" if unit == "all" else " " + size(unit)), name,
                         *(shown(x, length, not instructions) for x in (theirs, ours)),
                         beside + (" of its %smap" % call[:-8] if whole else " x faster"),
                         aim(found, backing, call, unit), *(shown(x, length, False) for x in (bare, through)),
                         shown(ratios(ours, through), wide=False)])
        pieces = spread(found.get("stretches", "stretches", backing=backing, bytes=total))[0]
        yield {"title": "%s%s of %s, %d contiguous stretches" % (
            "Instructions (thousands): " if instructions else "", size(total), found.memory(backing), pieces),
               "head": ["a call", "", "type1", "vfio_prereg", "beside type1", "aim", "API", "API+ioctl",
                        "prereg/API+ioctl (aim %g)" % API_AIM], "rows": rows}
    if found.get("call", call="nop"):
        unit = 1e3
        yield {"title": "%sAn ioctl that does nothing" % ("Instructions (thousands): " if instructions else ""),
               "head": ["", "type1", "vfio_prereg", "API+ioctl"],
               "rows": [["k" if instructions else "us"] + [
                   shown(found.get("call", call="nop", side=side), unit, not instructions)
                   for side in ("type1", "prereg", "limit")]]}


def batch_tables(found, instructions=False):
    """A thousand pages by as many calls, and by one."""
    for backing, maps in found.values("batch", "backing", "maps"):
        rows = []
        for call in ("map", "unmap"):
            theirs, ours, batch = (found.get("batch", call + "_ns", side=side, backing=backing, maps=maps)
                                   for side in (found.theirs, "prereg", "batch"))
            rows.append([call + " a page", "k" if instructions else "us",
                         *(shown(x, 1e3, not instructions) for x in (theirs, ours, batch)),
                         *(shown(ratios(x, batch), wide=not instructions) for x in (theirs, ours)),
                         ">= %d" % BATCH_AIM if call == "map" and not found.tables else ""])
        yield {"title": "%s%d mappings of a page, neighbours, of %s: a call for each, and one for all" % (
            "Instructions (thousands): " if instructions else "", maps, found.memory(backing)),
               "head": ["", "", found.theirs, "vfio_prereg", "in one call", "%s/one call" % found.theirs,
                        "single calls/one call", "aim beside %s" % found.theirs], "rows": rows}


def memory_cells(found, backing, total, pieces, regions):
    """The first cells of a line about memory."""
    return [size(total), found.memory(backing), "%d%s" % (pieces, " regions" if regions else "")]


def kill_tables(found):
    """From SIGKILL until the pages are unpinned."""
    rows = []
    for key in found.values("kill", "backing", "bytes", "pieces", "regions"):
        match = dict(zip(("backing", "bytes", "pieces", "regions"), key))
        ours = found.get("kill", "put_ns", side="prereg", **match)
        theirs = found.get("kill", "put_ns", side=found.theirs, **match)
        rows.append([*memory_cells(found, *key), shown(theirs, 1e6), shown(ours, 1e6), shown(ratios(ours, theirs)),
                     digits(spread(ours)[0] / 1e6 * GIB / match["bytes"]),
                     *(shown(found.get("kill", "gone_ns", side=side, **match), 1e6, False)
                       for side in (found.theirs, "prereg", "not_held"))])
    if rows:
        ratio = "prereg/%s (aim %g)" % (found.theirs, KILL_AIM)
        yield {"title": "From SIGKILL until every page is unpinned, and until the process is gone: ms",
               "head": ["memory", "pages", "mappings", found.theirs, "vfio_prereg", ratio, "per GiB",
                        "gone: " + found.theirs, "gone: prereg", "gone: not held"], "rows": rows}


def tear_down_tables(found):
    """Instructions to undo all that a container holds."""
    rows = []
    for key in found.values("tear_down", "backing", "bytes", "pieces", "regions"):
        match = dict(zip(("backing", "bytes", "pieces", "regions"), key))
        theirs, ours = (spread(found.get("tear_down", side=side, **match))[0] for side in ("type1", "prereg"))
        rows.append([*memory_cells(found, *key), digits(theirs / 1e3), digits(ours / 1e3), digits(ours / theirs),
                     *(digits(side / (match["bytes"] / found.page)) for side in (theirs, ours))])
    if rows:
        yield {"title": "Instructions (thousands): all that a container holds is undone, as at its owner's end or a close()",
               "head": ["memory", "pages", "mappings", "type1", "vfio_prereg", "prereg/type1", "a page: type1",
                        "a page: prereg"], "rows": rows}


def growth_table(found, what, field, title, head, columns, name=str):
    """A table of one quantity that grows; COLUMNS: (field, {more to match})."""
    rows = [[name(value)] + [shown(found.get(what, column, **{field: value}, **match), 1e3)
                             for column, match in columns] for (value,) in found.values(what, field)]
    if rows:
        yield {"title": title, "head": head, "rows": rows}


def growth_tables(found, unit="us"):
    """How cost grows."""
    both = ({"side": found.theirs}, {"side": "prereg"})
    held = "register + map: " + found.theirs if found.tables else "map: type1"
    dropped = "unmap + unregister: " + found.theirs if found.tables else "unmap: type1"
    yield from growth_table(found, "mappings", "mappings", "One %s map more beside N mappings: %s" % (
        size(found.page), unit), [
        "N", "map: " + found.theirs, "map: vfio_prereg", "unmap: " + found.theirs, "unmap: vfio_prereg"],
        [(field, side) for field in ("map_ns", "unmap_ns") for side in both])
    title = "N regions of one page, each held and dropped by itself: " + unit
    yield from growth_table(found, "regions", "regions", title, [
        "N", held, "register + map: vfio_prereg", dropped, "unmap + unregister: vfio_prereg"],
        [(field, side) for field in ("hold_ns", "drop_ns") for side in both])
    yield from growth_table(found, "window", "shift", "A window of N bytes in vfio_prereg: us", [
        "N", "create", size(found.page) + " map at both ends", "remove with 1024 mappings in it"],
        [(field, {}) for field in ("create_ns", "map_ns", "remove_ns")], "2^{}".format)


def tce_bookkeeping_tables(found):
    """Memory that the drivers take beyond the window's tables, which exist already."""
    rows = []
    for backing, total, pieces in found.values("bookkeeping", "backing", "bytes", "pieces"):
        match = {"backing": backing, "bytes": total, "pieces": pieces}
        taken = [max(spread(found.get("bookkeeping", "taken_kib", side=side, **match))[0], 0)
                 for side in (found.theirs, "prereg")]
        own = spread(found.get("bookkeeping", "own_bytes", side="prereg", **match))[0]
        rows.append([*memory_cells(found, backing, total, pieces, False), *map(digits, taken), digits(own / 1024),
                     *(digits(number / (total / found.page)) for number in (taken[0] * 1024, own)),
                     *(size(number * GIB / total) for number in (taken[0] * 1024, own))])
    if rows:
        yield {"title": "Kernel memory taken for memory that is held: KiB (4 KiB is the resolution)", "head": [
            "memory", "pages", "mappings", "spapr_v2", "vfio_prereg", "regions of prereg", "bytes a page: spapr_v2",
            "regions of prereg", "per GiB: spapr_v2", "regions of prereg"], "rows": rows}


def bookkeeping_tables(found):
    """Memory that the drivers take beyond the IOMMU's page tables."""
    if found.tables:
        yield from tce_bookkeeping_tables(found)
        return
    rows = []
    for backing, total, pieces in found.values("bookkeeping", "backing", "bytes", "pieces"):
        match = {"backing": backing, "bytes": total, "pieces": pieces}
        taken = {side: spread(found.get("bookkeeping", "taken_kib", side=side, **match))[0]
                 for side in ("type1", "prereg", "limit")}
        own = spread(found.get("bookkeeping", "own_bytes", side="prereg", **match))[0]
        rows.append([*memory_cells(found, backing, total, pieces, False), digits(taken["limit"]),
                     *(digits(max(taken[side] - taken["limit"], 0)) for side in ("type1", "prereg")),
                     digits(own / 1024), digits(own / (total / found.page)), size(own * GIB / total)])
    if rows:
        yield {"title": "Kernel memory taken for memory that is held: KiB (4 KiB is the resolution)", "head": [
            "memory", "pages", "mappings", "page tables", "more: type1", "more: vfio_prereg",
            "regions of prereg", "bytes a page", "regions, per GiB"], "rows": rows}


def summary_calls_tce(found, counted):
    """The first lines of the short table, on POWER."""
    for backing, total in found.values("call", "backing", "bytes"):
        if total != 256 * MIB:
            continue
        fewer = {(call, unit): shown(ratios(theirs, ours), wide=False)
                 for call, unit, theirs, ours in tce_rows(counted, backing, total)}
        for call, unit, theirs, ours in tce_rows(found, backing, total):
            if call == "unregister":
                continue
            name, length = scale(ours)
            yield ["%s of %s: %s" % (size(total), found.memory(backing), tce_call(call, unit, total)),
                   *(shown(x, length, False) + " " + name for x in (theirs, ours)),
                   shown(ratios(theirs, ours), wide=False), fewer.get((call, unit), "")]
    for key in found.values("table", "page_shift", "shift", "levels"):
        match = dict(zip(("page_shift", "shift", "levels"), key))
        if match["shift"] != 31 or match["levels"] != 1:
            continue
        for what, field in (("create", "create_ns"), ("remove, with 1024 mappings in it", "remove_ns")):
            theirs, ours, more, less = (where.get("table", field, side=side, **match) for where in (found, counted)
                                        for side in (found.theirs, "prereg"))
            yield ["window of %s of %s pages: %s" % (size(1 << match["shift"]), size(1 << match["page_shift"]), what),
                   *(shown(x, 1e3, False) + " us" for x in (theirs, ours)),
                   shown(ratios(theirs, ours), wide=False), shown(ratios(more, less), wide=False)]


def summary(samples):
    """The short table for documents, in Markdown: the kernel's driver, ours and their ratio, for single and huge pages."""
    found, rows = Samples(samples, "time"), []
    counted = Samples(samples, "instructions")
    if found.tables:
        rows += summary_calls_tce(found, counted)
    for backing, total in () if found.tables else (("small", 256 * MIB), ("thp", 256 * MIB)):
        fewer = {(call, unit): shown(ratios(theirs, ours), wide=False)
                 for call, unit, theirs, ours, _, _ in call_rows(counted, backing, total)}
        for call, unit, theirs, ours, _, _ in call_rows(found, backing, total):
            if not ours or not theirs or call == "unregister":
                continue
            name, length = scale(ours)
            what = "register all (beside type1's map)" if call == "register" else \
                "%s %s" % (call, "all" if unit == "all" else size(unit))
            rows.append(["%s of %s: %s" % (size(total), found.memory(backing), what),
                         shown(theirs, length, False) + " " + name, shown(ours, length, False) + " " + name,
                         shown(ratios(theirs, ours), wide=False), fewer[call, unit]])
    for backing, total, pieces, regions in found.values("kill", "backing", "bytes", "pieces", "regions"):
        if (total, pieces) != (256 * MIB if found.tables else GIB, 1):
            continue
        put = [found.get("kill", "put_ns", side=side, backing=backing, bytes=total, pieces=pieces, regions=regions)
               for side in (found.theirs, "prereg")]
        rows.append(["SIGKILL until unpinned, %s of %s" % (size(total), found.memory(backing)),
                     *(shown(values, 1e6, False) + " ms" for values in put), shown(ratios(*put), wide=False), ""])
    return tabulate.tabulate(rows, ["", found.theirs, "vfio_prereg", "times faster", "times fewer instructions"],
                             tablefmt="github", disable_numparse=True, colalign=("left",) + ("right",) * 4)


def tables(samples):
    """Title, head and rows of each table."""
    timed, counted = Samples(samples, "time"), Samples(samples, "instructions")
    parts = [call_tables(timed), batch_tables(timed), kill_tables(timed), growth_tables(timed), bookkeeping_tables(timed),
             call_tables(counted, True), batch_tables(counted, True), tear_down_tables(counted), growth_tables(counted, "thousands of instructions")]
    return [table for part in parts for table in part]


def text(parts, heading=HEADING):
    """The tables for people."""
    lines = [heading]
    for part in parts:
        lines += [part["title"], tabulate.tabulate(part["rows"], part["head"], tablefmt="simple", disable_numparse=True), ""]
    return "\n".join(lines)
