# SPDX-License-Identifier: GPL-2.0
"""What comes with the command: manual page, completion, alerts, dashboard. They name only what there is, and all of it."""
import json
import os
import re
import subprocess

from answers import TOP
from print_tests import COMMANDS, families

PROMETHEUS = os.path.join(TOP, "packaging", "prometheus")


def read(*path):
    """A file's text."""
    with open(os.path.join(TOP, *path), encoding="utf-8") as text:
        return text.read()


def options(program, command):
    """The long options of a command."""
    return set(re.findall(r"^  (?:-.,|   ) --([a-z]+)", program.good("", command, "--help"), re.M)) - {"help", "usage", "version"}


def test_manual(program):
    """prereg(1) has all commands, all options and no others"""
    manual = read("tool", "prereg.1")
    described = set(re.findall(r"Fl \\-([a-z]+)", manual)) - {"help", "usage"}
    known = set()
    for command in COMMANDS:
        assert ".Ss prereg %s\n" % command in manual, command
        known |= options(program, command)
    assert described == known, described ^ known


def complete(program, *words):
    """What bash would offer for the last of WORDS."""
    script = """prereg() { "$PREREG" "$@"; }; source tool/completion/prereg.bash
        COMP_WORDS=(prereg "$@"); COMP_CWORD=$#; _prereg; printf '%s\\n' "${COMPREPLY[@]}" """
    done = subprocess.run(["bash", "-c", script, "bash", *words], cwd=TOP, check=True, stdout=subprocess.PIPE, text=True,
                          env=dict(program.environment("owners"), PREREG=program.path))
    return done.stdout.split()


def test_completion(program):
    """bash completes commands, options, columns, processes"""
    assert set(COMMANDS) <= set(complete(program, ""))
    for command in COMMANDS:
        assert set(complete(program, command, "--")) - {"--help", "--usage", "--version"} == \
            {"--" + option for option in options(program, command)}, command
    assert complete(program, "list", "--output", "=", "PID,REG") == ["PID,REGIONS", "PID,REGISTERED"]
    assert complete(program, "list", "-o", "+KE") == ["+KEPT"]
    assert complete(program, "top", "--sort", "=") == complete(program, "top", "-S", "")
    assert complete(program, "show", "4") == ["4711"]


def test_prometheus(program):
    """alerts and the dashboard use metrics that there are"""
    there = set(families(program.good("owners", "metrics")))
    alerts, dashboard = read("packaging", "prometheus", "prereg-alerts.yml"), read("packaging", "prometheus", "prereg-dashboard.json")
    used = set()
    for panel in json.loads(dashboard)["panels"]:
        for target in panel["targets"]:
            used |= set(re.findall(r"\bprereg_[a-z_]+", target["expr"]))
    for expr in re.findall(r"expr: (.*)", alerts):
        used |= set(re.findall(r"\bprereg_[a-z_]+", expr))
    assert used and used <= there, used - there


def test_prometheus_rules(_program):
    """the alerts come when they should, says promtool"""
    try:
        done = subprocess.run(["promtool", "test", "rules", "prereg-alerts-test.yml"], cwd=PROMETHEUS, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError:
        return "promtool is not installed (Debian's package prometheus)"
    assert not done.returncode, done.stdout
    return None
