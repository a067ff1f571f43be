# SPDX-License-Identifier: GPL-2.0
"""What upstream's driver and ours answered in the scenarios of tests/conformance, side by side.

measure() does it all, in a boot for each driver: what upstream's spoils (it leaks pins, and writes behind its tables)
disturbs nobody, and both find memory as a boot leaves it.
"""
import json
import os
import shutil
import textwrap
from collections import namedtuple

from tabulate import tabulate
from vmlib import commands, programs
from vmlib.session import Session
from vmlib.target import TOP, Problem

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD_SECONDS = 600
SAME = "same"
OTHER_HARDWARE, NOT_RUN = "other hardware", "not run"
VERDICTS = {SAME: "%d same", "fixed defect": "%d fixed defects", "extension": "%d extensions", "left out": "%d left out",
            "as newer kernels": "%d as newer kernels", OTHER_HARDWARE: "%d other hardware", NOT_RUN: "%d not run"}
# The scenarios of a personality: the kernel's driver beside it, its page in docs/, and the guest.
Table = namedtuple("Table", "name upstream page machine")
TABLES = (
    # Scenarios need a page of a gigabyte, and a contiguous one beside it.
    Table("spapr-v2", "vfio_iommu_spapr_tce", "conformance.md", {"memory": "6G", "append": "hugepagesz=1G hugepages=1 hugepagesz=2M"}),
    Table("type1", "vfio_iommu_type1", "conformance-type1.md", {}),
)


def program(target, say):
    """Builds the guest's program; (path on the host, path in the guest)."""
    folder = os.path.join(target.out, "conformance", "guest")
    if programs.run(["scripts/build-guest", target.name, os.path.relpath(HERE, TOP), folder], BUILD_SECONDS, say)[0]:
        raise Problem("the conformance program did not build; the reason is above.")
    return os.path.join(folder, "conformance"), "/bin/conformance"


def tables(settings):
    """Those that a target with these settings can answer: windows have pages of 4 KiB, types 1 and 3 are for iommu_domains."""
    extra = settings.get("EXTRA_MODULES", "").split()
    return [] if settings.get("CONFORMANCE") == "no" else [
        table for table in TABLES if table.name == "spapr-v2" or table.upstream in extra]


def has_upstream(table, settings):
    """Does the target's kernel bring the other driver?"""
    return table.upstream in settings.get("EXTRA_MODULES", "").split()


def _folder(table, target):
    return os.path.join(target.out, "conformance", table.name)


def _run(table, target, driver, totals, only, scale):
    """One boot, of the list conformance-TABLE-DRIVER."""
    name = "conformance-%s-%s" % (table.name, driver)
    with open(os.path.join(TOP, "tests", "vm", "lists", name), encoding="utf-8") as text:
        todo = commands.parse(text.read())
    for command in todo:
        if command.kind == "tap":
            command.command = " ".join([command.command, *only])
    session = Session(target, name, extra=[program(target, totals.say)], scale=scale, **table.machine)
    session.totals = totals
    try:
        session.run(todo)
        session.get("/out/%s.json" % driver, _folder(table, target))
    finally:
        session.close()


def measure(table, target, totals, only=(), scale=1, upstream=True):
    """Boots TARGET and runs TABLE's scenarios (ONLY: their names) on each driver; judged in TOTALS. A Comparison.

    SCALE multiplies the time limits. UPSTREAM: also on the kernel's own driver, if it has it.
    """
    if table not in tables(target.set):
        raise Problem("the table %s is not for %s: its windows have larger pages, or its kernel no types 1 and 3." % (table.name, target.name))
    shutil.rmtree(_folder(table, target), ignore_errors=True)
    for driver in ("ours", "upstream") if upstream and has_upstream(table, target.set) else ("ours",):
        _run(table, target, driver, totals, only, scale)
    return Comparison(table, target)


class Comparison:
    """The answers that lie in build/TARGET/conformance/TABLE."""

    def __init__(self, table, target):
        self.table = table
        self.target = target
        self.ours, rows = self._read("ours")
        self.upstream, theirs = self._read("upstream") if os.path.exists(self._path("upstream")) else (None, [])
        answers = {row["name"]: row for row in theirs}
        self.rows = []
        for row in rows:
            other = answers.get(row["name"])
            row["upstream_answer"] = other["answer"] if other else None if self.upstream else row["upstream"]
            row["skip"] = row["skip"] or (other and other["skip"]) or (None if other or not self.upstream else "no answer")
            if row["skip"]:
                row["result"] = NOT_RUN
            elif self.ours["hw"] == "domain" and row["domain"] != row["ours"]:
                row["result"] = OTHER_HARDWARE
            else:
                row["result"] = SAME if row["upstream_answer"] == row["answer"] else row["verdict"]
            row["good"] = row["good"] and (not other or other["good"])
            self.rows.append(row)

    def _path(self, driver):
        return os.path.join(_folder(self.table, self.target), driver + ".json")

    def _read(self, driver):
        """(what was run, a dict a scenario) of DRIVER."""
        path = self._path(driver)
        try:
            with open(path, encoding="utf-8") as lines:
                head, *rows = [json.loads(line) for line in lines]
        except (OSError, ValueError) as error:
            raise Problem("%s is no result of a conformance run: %s." % (os.path.relpath(path, TOP), error)) from None
        return head, rows

    def totals(self):
        """One sentence."""
        results = [row["result"] for row in self.rows]
        text = "%d scenarios: " % len(results) + ", ".join(
            said % results.count(verdict) for verdict, said in VERDICTS.items() if verdict in results)
        wrong = [row["name"] for row in self.rows if not row["good"]]
        if wrong:
            text += "; not as the table says: " + ", ".join(wrong)
        if not self.upstream:
            text += " (upstream as the table has it; it was not measured here)"
        return text + "."

    def _table(self, rows, form, wide):
        heads = ("Scenario", "Upstream", "Ours", "Verdict")
        lines = []
        for row in rows:
            verdict = row["result"]
            if row["skip"]:
                verdict += ": " + row["skip"]
            elif verdict != SAME:
                verdict += ": " + (row["why"] or "?") + ("" if row["good"] else " (NOT as the table says)")
            cells = [row["what"], row["upstream_answer"] or "-", row["answer"] or "-", verdict]
            lines.append(["\n".join(textwrap.wrap(cell, width)) if width else cell for cell, width in zip(cells, wide)])
        return tabulate(lines, heads, tablefmt=form, disable_numparse=True)

    def differences(self):
        """What is not the same, as a table for a terminal."""
        return self._table([row for row in self.rows if row["result"] != SAME], "simple", (40, 28, 28, 40))

    def _other(self, heads, keys, rows):
        """How ROWS answer elsewhere."""
        return tabulate([[row[key] for key in keys] for row in rows], heads, tablefmt="github", disable_numparse=True)

    def document(self):
        """The page in docs/."""
        about = {"target": self.target.name, "kernel": self.ours["kernel"], "kib": self.ours["page_bytes"] >> 10, "totals": self.totals()}
        parts = [(HEAD[self.table.name] + SAID) % about]
        for group in dict.fromkeys(row["group"] for row in self.rows):
            parts.append("## %s\n\n%s\n" % (group, self._table([row for row in self.rows if row["group"] == group],
                                                               "github", (0, 0, 0, 0))))
        elsewhere = [row for row in self.rows if row["domain"] != row["ours"]]
        if elsewhere:
            parts.append(DOMAIN + self._other(("Scenario", "TCE tables", "iommu_domain", "Why"), ("what", "ours", "domain", "why"),
                                              elsewhere) + "\n")
        newer = [row for row in self.rows if row["since"]]
        if newer:
            parts.append(NEWER + self._other(("Scenario", "Linux 6.1", "Later", "From"), ("what", "before", "newer", "since"), newer) + "\n")
        return "\n".join(parts)


HEAD = {"spapr-v2": """\
# vfio_prereg beside the kernel's own driver

The same program, `tests/conformance`, ran every scenario against vfio_prereg and against the kernel's `vfio_iommu_spapr_tce`
(type 7, "SPAPR TCE v2") on one kernel: %(kernel)s, pages of %(kib)d KiB, an emulated POWER9. Those of types 1 and 3 are in
[conformance-type1.md](conformance-type1.md). This page was written by
`tests/conformance/run %(target)s --docs`; the tests fail when either driver answers otherwise.
""", "type1": """\
# Types 1 and 3 beside the kernel's vfio_iommu_type1

The same program, `tests/conformance`, ran every scenario against vfio_prereg and against the kernel's `vfio_iommu_type1` on one
kernel: %(kernel)s, pages of %(kib)d KiB, an emulated PC with VT-d. Each ran in a container of type 1 (VFIO_TYPE1_IOMMU, "v1") and in one of
type 3 (VFIO_TYPE1v2_IOMMU, "v2"); where the two answer differently both answers are told. This page was written by
`tests/conformance/run %(target)s --docs`; the tests fail when either driver answers otherwise.
"""}

SAID = """
%(totals)s

An answer is what the calls of the scenario returned, in their order, and what was seen of the device's DMA, of pins and of the
charge. "same": both answer the same. "fixed defect": upstream's answer is a defect. "extension": ours can do what upstream cannot.
"left out": the reverse. "as newer kernels": the kernel's own driver answers as ours does, from a later version on. "pages stay pinned"
is said of a moment when nobody has the memory, nor an fd, any more. "the kernel warns" is a WARNING with a call trace in the kernel log.
"""

NEWER = """\
## On newer kernels

The kernel's driver itself answers otherwise in these scenarios from a later version on:

"""

DOMAIN = """\
## On an iommu_domain

Where IOMMUs have no TCE tables (amd64, arm64) ours answers otherwise in these scenarios:

"""
