# SPDX-License-Identifier: GPL-2.0
"""What upstream's driver and ours answered in the scenarios of tests/conformance, side by side.

measure() does it all, in a boot for each driver: what upstream's spoils (it leaks pins, and writes behind its tables)
disturbs nobody, and both find memory as a boot leaves it.
"""
import json
import os
import shutil
import textwrap

from tabulate import tabulate
from vmlib import commands, programs
from vmlib.session import Session
from vmlib.target import TOP, Problem

HERE = os.path.dirname(os.path.abspath(__file__))
UPSTREAM = "vfio_iommu_spapr_tce"
# Scenarios need a page of a gigabyte, and a contiguous one beside it.
MACHINE = {"memory": "6G", "append": "hugepagesz=1G hugepages=1 hugepagesz=2M"}
BUILD_SECONDS = 600
SAME = "same"
OTHER_HARDWARE, NOT_RUN = "other hardware", "not run"
VERDICTS = (SAME, "fixed defect", "extension", "left out", OTHER_HARDWARE, NOT_RUN)


def program(target, say):
    """Builds the guest's program; (path on the host, path in the guest)."""
    folder = os.path.join(target.out, "conformance", "guest")
    if programs.run(["scripts/build-guest", target.name, os.path.relpath(HERE, TOP), folder], BUILD_SECONDS, say)[0]:
        raise Problem("the conformance program did not build; the reason is above.")
    return os.path.join(folder, "conformance"), "/bin/conformance"


def applies(settings):
    """Can a target with these settings answer as the table says?"""
    return settings.get("CONFORMANCE") != "no"


def has_upstream(target):
    """Does the target's kernel bring a driver for type 7?"""
    return UPSTREAM in target.words("EXTRA_MODULES")


def _run(target, driver, totals, only, scale):
    """One boot, of the list conformance-DRIVER."""
    with open(os.path.join(TOP, "tests", "vm", "lists", "conformance-" + driver), encoding="utf-8") as text:
        todo = commands.parse(text.read())
    for command in todo:
        if command.kind == "tap":
            command.command = " ".join([command.command, *only])
    session = Session(target, "conformance-" + driver, extra=[program(target, totals.say)], scale=scale, **MACHINE)
    session.totals = totals
    try:
        session.run(todo)
        session.get("/out/%s.json" % driver, os.path.join(target.out, "conformance"))
    finally:
        session.close()


def measure(target, totals, only=(), scale=1):
    """Boots TARGET and runs the scenarios (ONLY: their names) on each driver; judged in TOTALS. A Comparison.

    SCALE multiplies the time limits.
    """
    if not applies(target.set):
        raise Problem("the table is of windows with pages of 4 KiB, and those of %s are larger." % target.name)
    shutil.rmtree(os.path.join(target.out, "conformance"), ignore_errors=True)
    for driver in ("ours", "upstream") if has_upstream(target) else ("ours",):
        _run(target, driver, totals, only, scale)
    return Comparison(target)


class Comparison:
    """The answers that lie in build/TARGET/conformance."""

    def __init__(self, target):
        self.target = target
        self.folder = os.path.join(target.out, "conformance")
        self.ours, rows = self._read("ours")
        self.upstream, theirs = self._read("upstream") if has_upstream(target) else (None, [])
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

    def _read(self, driver):
        """(what was run, a dict a scenario) of DRIVER."""
        path = os.path.join(self.folder, driver + ".json")
        try:
            with open(path, encoding="utf-8") as lines:
                head, *rows = [json.loads(line) for line in lines]
        except (OSError, ValueError) as error:
            raise Problem("%s is no result of a conformance run: %s." % (os.path.relpath(path, TOP), error)) from None
        return head, rows

    def totals(self):
        """One sentence."""
        count = {verdict: 0 for verdict in VERDICTS}
        for row in self.rows:
            count[row["result"]] += 1
        text = "%d scenarios: %d same, %d fixed defects, %d extensions, %d left out" % (
            len(self.rows), count[SAME], count["fixed defect"], count["extension"], count["left out"])
        for verdict in (OTHER_HARDWARE, NOT_RUN):
            if count[verdict]:
                text += ", %d %s" % (count[verdict], verdict)
        wrong = [row["name"] for row in self.rows if not row["good"]]
        if wrong:
            text += "; not as the table says: " + ", ".join(wrong)
        if not self.upstream:
            text += " (upstream as measured on powernv, it is not on this machine)"
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

    def document(self):
        """docs/conformance.md."""
        parts = [HEAD % {"target": self.target.name, "kernel": self.ours["kernel"], "kib": self.ours["page_bytes"] >> 10,
                         "totals": self.totals()}]
        for group in dict.fromkeys(row["group"] for row in self.rows):
            parts.append("## %s\n\n%s\n" % (group, self._table([row for row in self.rows if row["group"] == group],
                                                               "github", (0, 0, 0, 0))))
        lines = [[row["what"], row["ours"], row["domain"], row["why"]] for row in self.rows if row["domain"] != row["ours"]]
        parts.append(DOMAIN + tabulate(lines, ("Scenario", "TCE tables", "iommu_domain", "Why"), tablefmt="github",
                                       disable_numparse=True) + "\n")
        return "\n".join(parts)


HEAD = """\
# vfio_prereg beside the kernel's own driver

The same program, `tests/conformance`, ran every scenario against vfio_prereg and against the kernel's `vfio_iommu_spapr_tce`
(type 7, "SPAPR TCE v2") on one kernel: %(kernel)s, pages of %(kib)d KiB, an emulated POWER9. This page was written by
`tests/conformance/run %(target)s --docs`; the tests fail when either driver answers otherwise.

%(totals)s

An answer is what the calls of the scenario returned, in their order, and what was seen of the device's DMA, of pins and of the
charge. "same": both answer the same. "fixed defect": upstream's answer is a defect. "extension": ours can do what upstream cannot.
"left out": the reverse. "pages stay pinned" is said of a moment when nobody has the memory, nor an fd, any more. "the kernel
warns" is a WARNING with a call trace in the kernel log.
"""

DOMAIN = """\
## On an iommu_domain

Where IOMMUs have no TCE tables (amd64, arm64) ours answers otherwise in these scenarios:

"""
