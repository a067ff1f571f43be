# SPDX-License-Identifier: GPL-2.0
"""Test results: reads TAP, adds up, prints."""
import re

PASS, FAIL, SKIP = "pass", "FAIL", "skip"
RESULT = re.compile(r"(not )?ok\b *(\d+)? *-? *(.*?)(?: *# *(skip|todo)\S* *(.*))?$", re.I)
PLAN = re.compile(r"1\.\.(\d+)(?: *# *(.*))?$")


class Tap:
    """Reads the TAP lines of one program as they come.

    feed() returns (verdict, test name, reason, diagnostics before it) for a line that is a result,
    None for others; end() returns what is wrong with the whole, as sentences.
    """

    def __init__(self):
        self.plan = None
        self.count = 0
        self.failed = 0
        self.wrong = []
        self.notes = []
        self.last = ""

    def feed(self, line):
        """One line of output, without its newline."""
        plan, result = PLAN.match(line), RESULT.match(line)
        if plan:
            if self.plan is not None:
                self.wrong.append("it printed two plans")
            self.plan = int(plan.group(1))
            if self.plan == 0 and self.count == 0:
                return (SKIP, "all", plan.group(2) or "no reason given", [])
        elif result:
            return self._result(*result.groups())
        elif line.startswith("Bail out!"):
            self.wrong.append("it gave up: " + line[len("Bail out!"):].strip())
        elif line.strip() and not line.startswith("TAP version"):
            self.notes.append(line)
        return None

    def _result(self, bad, number, name, word, reason):
        self.count += 1
        if number and int(number) != self.count:
            self.wrong.append("test number %s came where %d was due" % (number, self.count))
        notes, self.notes = self.notes, []
        self.last = name or "test %d" % self.count
        if bad:
            self.failed += 1
            return (FAIL, self.last, "", notes)
        if word and word.lower() == "skip":
            return (SKIP, self.last, reason or "no reason given", notes)
        if word:
            self.wrong.append("\"%s\" is marked %s, which proves nothing" % (self.last, word))
        return (PASS, self.last, "", notes)

    def end(self, status):
        """What is wrong with the program as a whole, given its exit STATUS."""
        wrong = list(self.wrong)
        if self.plan is None and self.count == 0:
            wrong.append("it printed no test result")
        elif self.plan is None:
            wrong.append("it stopped without a plan after \"%s\"" % self.last)
        elif self.plan != self.count:
            wrong.append("%d tests were planned, %d ran, the last was \"%s\""
                         % (self.plan, self.count, self.last))
        if status > 128:
            wrong.append("signal %d ended it after \"%s\"" % (status - 128, self.last))
        elif status and not self.failed:
            wrong.append("it exited with status %d though no test failed" % status)
        elif not status and self.failed:
            wrong.append("it exited with status 0 though a test failed")
        return wrong


def show(*lines):
    """Prints LINES, and nothing of anybody else's between them."""
    print("\n".join(lines), flush=True)


def result_lines(result):
    """One of Totals.results as lines to print."""
    reason = " (%s)" % result["reason"] if result["reason"] else ""
    return ["  %s  %s: %s%s" % (result["verdict"], result["suite"], result["name"], reason)] + [
        "        " + note for note in result["notes"]]


class Totals:
    """Counts results and prints them, a line each.

    say     is called with the lines to print
    brief   only what failed is printed, and a line for each suite that is over
    seconds of each suite
    """

    def __init__(self, say=show, brief=False):
        self.results = []
        self.say = say
        self.brief = brief
        self.seconds = {}

    @classmethod
    def sum(cls, parts):
        """The Totals of several."""
        whole = cls()
        for part in parts:
            whole.results += part.results
            for suite, seconds in part.seconds.items():
                whole.seconds[suite] = whole.seconds.get(suite, 0) + seconds
        return whole

    def add(self, suite, verdict, name, reason="", notes=()):
        """Counts one result and prints it, with what the test said where it failed."""
        self.results.append({"suite": suite, "verdict": verdict, "name": name, "reason": reason,
                             "notes": list(notes)[-40:] if verdict == FAIL else []})
        if verdict == FAIL or not self.brief:
            self.say(*result_lines(self.results[-1]))

    def over(self, suite, seconds):
        """A suite, or a part of it, is over: says what came of it."""
        self.seconds[suite] = self.seconds.get(suite, 0) + seconds
        self.say("%s: %s in %.1f s" % (suite, self.line(suite), seconds))

    def number(self, verdict, suite=None):
        """How many results (of this suite) have this verdict."""
        return sum(1 for result in self.results if result["verdict"] == verdict and suite in (None, result["suite"]))

    def line(self, suite=None):
        """N passed, N failed[, N skipped]"""
        skipped = self.number(SKIP, suite)
        return "%d passed, %d failed%s" % (self.number(PASS, suite), self.number(FAIL, suite),
                                           ", %d skipped" % skipped if skipped else "")
