# SPDX-License-Identifier: GPL-2.0
"""The results of several targets as one table: suites x targets, then each skip with its reason."""
from tabulate import tabulate

from .tap import FAIL, PASS, SKIP, result_lines


class Summary:
    """Of {target: its Totals}."""

    def __init__(self, totals):
        self.totals = totals
        self.suites = list(dict.fromkeys(
            suite for one in totals.values() for suite in [r["suite"] for r in one.results] + list(one.seconds)))

    def _cell(self, target, suite):
        one = self.totals[target]
        passed, failed, skipped = (one.number(verdict, suite) for verdict in (PASS, FAIL, SKIP))
        if not passed + failed + skipped and suite not in one.seconds:
            return "-"
        cell = ["%d FAILED" % failed] if failed else []
        cell += ["%d+%d" % (passed, skipped) if skipped else str(passed)] if passed or not failed else []
        cell += ["%.0f s" % one.seconds[suite]] if suite in one.seconds else []
        return "  ".join(cell)

    def table(self, form="simple"):
        """Suites x targets, in a form of tabulate's."""
        rows = [[suite] + [self._cell(target, suite) for target in self.totals] for suite in self.suites]
        rows.append(["all"] + ["%.0f s" % sum(one.seconds.values()) for one in self.totals.values()])
        # A column is as wide as its head: two lines where there may be.
        heads = [target.replace("-", "\n", 1) if form == "simple" else target for target in self.totals]
        return tabulate(rows, ["suite"] + heads, tablefmt=form, disable_numparse=True, colalign=["left"] + ["right"] * len(heads))

    def failures(self):
        """What was printed of each test that failed, its target before it."""
        return [line for target, one in self.totals.items() for result in one.results if result["verdict"] == FAIL
                for line in [target] + result_lines(result)]

    def _skipped(self, suite, names, targets):
        """The text for tests of a suite that are skipped on these targets alike."""
        whole = all(len(names) == sum(result["suite"] == suite for result in self.totals[target].results) for target in targets)
        return "%s: %s" % (suite, "all %d" % len(names) if whole and len(names) > 1 else ", ".join(names))

    def skips(self):
        """[(reason, tests, targets)], each a text: what was skipped for one reason on the same targets stands together."""
        where = {}
        for target, one in self.totals.items():
            for result in one.results:
                if result["verdict"] == SKIP:
                    where.setdefault((result["reason"], result["suite"], result["name"]), []).append(target)
        what = {}
        for (reason, suite, name), targets in where.items():
            what.setdefault((reason, tuple(targets)), {}).setdefault(suite, []).append(name)
        return [(reason, "; ".join(self._skipped(suite, names, targets) for suite, names in suites.items()), ", ".join(targets))
                for (reason, targets), suites in sorted(what.items(), key=lambda entry: entry[0])]
