# SPDX-License-Identifier: GPL-2.0
"""top: on a terminal that these tests look at, and into a pipe."""
from answers import parsed
from terminal import Terminal


def start(program, fake, *words, **size):
    """prereg top on a terminal, once its list is there."""
    terminal = Terminal([program.path, "top", *words], program.environment(fake), **size)
    terminal.until(lambda lines: "COMMAND" in "".join(lines))
    return terminal


def column(lines, name):
    """The fields of a column of the list, whose cells have no blanks."""
    head = next((number for number, line in enumerate(lines) if "COMMAND" in line), None)
    if head is None:
        return []
    place = lines[head].split().index(name)
    return [line.split()[place] for line in lines[head + 1:] if line.strip()]


def test_top_batch(program):
    """top into a pipe, --once, --iterations"""
    out = program.good("owners", "top", "--once")
    assert out.startswith("prereg top - ") and column(out.splitlines(), "COMMAND")[0] == "qemu-system-x86", out
    value = parsed("list", program.good("owners", "top", "--once", "--json"))
    assert [owner["pid"] for owner in value["owners"]] == [4711, 90, None, 666], value
    assert parsed("list", program.good("", "top", "--once", "--json")) == {"owners": []}
    assert program.good("owners", "top", "--json", "--iterations=2", "--delay=0.1").count('"owners": [') == 2
    assert "pinned 4.5G" in out and "mappings revoked 99" in out
    out = program.good("owners", "top", "--iterations=3", "--delay=0.1")
    assert out.count("prereg top - ") == 3 and "\033" not in out
    assert program.good("", "top", "--once").endswith("no process has memory registered\n")
    assert column(program.good("many", "top", "--once").splitlines(), "PID")[0] == "1027"
    assert column(program.good("many", "top", "--once", "--sort=+pid").splitlines(), "PID")[0] == "1000"


def test_top_screen(program):
    """top on a terminal: sorted by keys, scrolls, helps, quits"""
    terminal = start(program, "many")
    lines = terminal.until(lambda lines: len(column(lines, "PID")) == 24 - 5)
    assert lines[0].startswith("prereg top - ") and column(lines, "REGISTERED")[:2] == ["199M", "198M"], lines
    terminal.type("r")
    terminal.until(lambda lines: column(lines, "REGISTERED")[:2] == ["0B", "1M"])
    terminal.type("p")
    terminal.until(lambda lines: "by PID" in lines[0] and column(lines, "PID")[0] == "1199")
    terminal.type("r")
    terminal.until(lambda lines: "worker-0 " in "".join(lines) and column(lines, "PID")[0] == "1000")
    terminal.type("\033[B")
    terminal.until(lambda lines: column(lines, "PID")[0] == "1001")
    terminal.type("\033[6~")
    terminal.until(lambda lines: column(lines, "PID")[0] == "1017")
    terminal.type("\033[4~")
    terminal.until(lambda lines: column(lines, "PID")[-1] == "1199")
    terminal.type("h")
    terminal.until(lambda lines: "q  quit" in "".join(lines))
    terminal.type("h>")
    terminal.until(lambda lines: "by COMMAND" in lines[0])
    terminal.type("q")
    assert terminal.end() == 0


def test_top_resize(program):
    """top: the terminal becomes small, tiny, large"""
    terminal = start(program, "many")
    terminal.resize(60, 10)
    lines = terminal.until(lambda lines: len(lines) == 10 and len(column(lines, "PID")) == 5)
    assert all(len(line) <= 60 for line in lines)
    for columns, rows in ((10, 3), (1, 1), (200, 60)):
        terminal.resize(columns, rows)
        terminal.type(" ")
        terminal.until(any)
    lines = terminal.until(lambda lines: len(column(lines, "PID")) == 55)
    assert lines[0].startswith("prereg top - ")
    terminal.type("q")
    assert terminal.end() == 0


def test_top_fails(program):
    """top: the terminal is as it was when the module goes, and for a terminal that nobody knows"""
    terminal = Terminal([program.path, "top"], program.environment("gone"))
    assert terminal.end() == 3
    assert "unloaded" in "".join(terminal.lines())
    terminal = Terminal(["/usr/bin/env", "TERM=none-such", program.path, "top"], program.environment("owners"))
    assert terminal.end() == 1
    assert "TERM" in "".join(terminal.lines())
