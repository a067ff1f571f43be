# SPDX-License-Identifier: GPL-2.0
"""Draws bench.svg and bench.png."""
import os

from report import GIB, Samples, ratios, size
from showing import gnuplot, spread

OURS, THEIRS, EXIT = "#1b7837", "#b2182b", "#888888"


def data(name, rows):
    """A gnuplot data block."""
    return "$%s << END\n%s\nEND\n" % (name, "\n".join(" ".join(str(x) for x in row) for row in rows))


def backings(found):
    """Three kinds of memory and their names."""
    third = ("window64k", "window of 64 KiB pages") if found.tables else ("scattered", found.memory("scattered"))
    return ("small", found.memory("small")), ("thp", found.memory("thp")), third


def fewer(found):
    """How many times fewer instructions each call takes, for each kind of memory."""
    totals = dict(sorted(found.values("call", "backing", "bytes")))
    for unit, call in ((found.page, "map"), (found.page, "unmap"), (2 << 20, "map"), (2 << 20, "unmap"), (None, "map"),
                       (None, "unmap")):
        row = ["\"%s %s\"" % (call, size(unit) if unit else "all")]
        for backing, _ in backings(found):
            total = totals.get(backing)
            sides = [found.get("call", call=call, unit=unit or total, side=side, backing=backing, bytes=total)
                     for side in (found.theirs, "prereg")]
            row.append("%.2f" % spread(ratios(*sides))[0] if all(sides) else "NaN")
        yield row


def kill(found):
    """Milliseconds to put by memory, one mapping of single pages: the kernel's driver, ours, exit alone."""
    for (total,) in sorted(found.values("kill", "bytes")):
        match = {"backing": "small", "bytes": total, "pieces": 1}
        put = [found.get("kill", "put_ns", side=side, **match) for side in (found.theirs, "prereg")]
        gone = found.get("kill", "gone_ns", side="not_held", **match)
        if all(put) and gone:
            yield ["%g" % (total / GIB), *("%.4g" % (spread(x)[0] / 1e6) for x in put + [gone])]


def mappings(found):
    """Thousands of instructions for one map of a page more."""
    for (count,) in found.values("mappings", "mappings"):
        yield [max(count, 1), *("%.4g" % (spread(found.get("mappings", field, side=side, mappings=count))[0] / 1e3)
                                for side in (found.theirs, "prereg") for field in ("map_ns", "unmap_ns"))]


def memory(found):
    """Milliseconds to map all of it, single pages: the kernel's driver with what it needs, ours with and without REGISTER."""
    for (total,) in sorted(found.values("call", "bytes")):
        parts = [found.get("call", call=call, unit=total, side=side, backing="small", bytes=total)
                 for call, side in (("map", found.theirs), ("map", "prereg"), ("register", "prereg"))]
        if all(parts):
            middle = [spread(part)[0] / 1e6 for part in parts]
            if found.tables:
                middle[0] += spread(found.get("call", call="register", unit=total, side=found.theirs, backing="small",
                                              bytes=total))[0] / 1e6
            yield ["%g" % (total / GIB), "%.4g" % middle[0], "%.4g" % middle[1], "%.4g" % (middle[1] + middle[2])]


def draw(samples, folder):
    """The pictures' paths; [] if too little was measured."""
    # Instructions, where they say it all: they are the same however busy the host is.
    timed, counted = Samples(samples, "time"), Samples(samples, "instructions")
    blocks = [("fewer", list(fewer(counted))), ("kill", list(kill(timed))), ("mappings", list(mappings(counted))),
              ("memory", list(memory(timed)))]
    if not all(rows for _, rows in blocks):
        return []
    theirs = timed.theirs.replace("_", "\\\\_")
    body = """
set multiplot layout 2,2
set grid ytics lc rgb "#dddddd"
set key top left reverse Left samplen 2
set border 3; set tics nomirror
set title "times fewer instructions than %(theirs)s"
set style data histogram; set style histogram clustered gap 1; set style fill solid 0.9 noborder
set logscale y; set yrange [0.5:*]; set xtics rotate by -20
plot $fewer using 2:xtic(1) title "%(first)s" lc rgb "%(ours)s", "" using 3 title "%(second)s" lc rgb "#7fbf7b", \\
     "" using 4 title "%(third)s" lc rgb "#c2a5cf"
set xtics norotate; unset logscale
set title "SIGKILL until unpinned, ms (%(first)s, one mapping)"
set yrange [0:*]; set xrange [0:*]; set xlabel "GiB"
plot $kill using 1:2 with linespoints lw 2 pt 7 lc rgb "%(red)s" title "%(theirs)s", \\
     "" using 1:4 with linespoints lw 1 pt 7 lc rgb "%(exit)s" title "exit of the same process, nothing held", \\
     "" using 1:3 with linespoints lw 2 pt 7 lc rgb "%(ours)s" title "vfio\\\\_prereg"
set key center left
set title "one %(page)s map more beside N mappings, thousand instructions"
set xlabel "N"; set logscale x; set xrange [1:*]
plot $mappings using 1:2 with linespoints lw 2 pt 7 lc rgb "%(red)s" title "%(theirs)s map", \\
     "" using 1:3 with linespoints lw 1 pt 6 lc rgb "%(red)s" title "%(theirs)s unmap", \\
     "" using 1:4 with linespoints lw 2 pt 7 lc rgb "%(ours)s" title "vfio\\\\_prereg map", \\
     "" using 1:5 with linespoints lw 1 pt 6 lc rgb "%(ours)s" title "vfio\\\\_prereg unmap"
unset logscale x; set key top left
set title "map all of N GiB, ms (%(first)s)"
set xlabel "GiB"; set xrange [0:*]
plot $memory using 1:2 with linespoints lw 2 pt 7 lc rgb "%(red)s" title "%(their_all)s", \\
     "" using 1:4 with linespoints lw 1 pt 6 lc rgb "%(ours)s" title "vfio\\\\_prereg, register + map", \\
     "" using 1:3 with linespoints lw 2 pt 7 lc rgb "%(ours)s" title "vfio\\\\_prereg, map"
unset multiplot
""" % {"ours": OURS, "red": THEIRS, "exit": EXIT, "theirs": theirs, "page": size(timed.page),
       "their_all": theirs + (", register + map" if timed.tables else ""),
       **dict(zip(("first", "second", "third"), (name for _, name in backings(timed))))}
    pictures = []
    for terminal, name in (("svg size 1200,800 font \"sans,12\" background \"white\"", "bench.svg"),
                           ("pngcairo size 1200,800 font \"sans,10\"", "bench.png")):
        script = "set terminal %s\nset output \"%s\"\n" % (terminal, name)
        gnuplot(script + "".join(data(*block) for block in blocks) + body, folder)
        pictures.append(os.path.join(folder, name))
    return pictures
