# SPDX-License-Identifier: GPL-2.0
"""list, show, events, metrics: what they print, and what they exit with."""
import os
import socket
import stat
import subprocess
import tempfile

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from answers import has_all, parsed, parsed_lines
from hosts import Host

MIB = 1 << 20
COMMANDS = ("list", "show", "top", "events", "doctor", "metrics")


def test_help(program):
    """--help, --usage and --version of all, and what is no command"""
    for command in COMMANDS:
        assert "Usage: prereg " + command in program.good("", command, "--help")
        assert "Usage: prereg " + command in program.good("", command, "--usage")
        assert command in program.good("", "--help")
    assert program.good("", "--version").startswith("prereg ")
    for words in ((), ("frobnicate",), ("list", "--frobnicate"), ("list", "word"), ("show",), ("show", "x"), ("show", "1", "2"),
                  ("show", "0"), ("show", "1K"), ("show", "0x10"), ("events", "--count=0"), ("events", "word"), ("metrics", "word"),
                  ("top", "--delay=0"), ("top", "--sort=x"), ("top", "--iterations=x"), ("doctor", "--memory=much"),
                  ("doctor", "word"), ("list", "--output=PID,FOO"), ("list", "--output="), ("top", "--once", "--output=FOO")):
        answer = program.run("owners", *words)
        assert answer.status == 2, "%s: %d" % (words, answer.status)
        assert answer.err and not answer.out, words


def test_not_loaded(program):
    """without the module: 3; without permission: 4; metrics say so and succeed"""
    for words in (("list",), ("show", "1"), ("top", "--once"), ("events",)):
        answer = program.run("unloaded", *words)
        assert (answer.status, answer.out) == (3, "") and "modprobe vfio_prereg" in answer.err, words
        answer = program.run("denied", *words)
        assert (answer.status, answer.out) == (4, "") and "root" in answer.err, words
    assert program.run("gone", "list").status == 3
    assert program.run("user", "events").status == 4
    assert "prereg_module_loaded 0\n" in program.good("unloaded", "metrics")
    assert program.run("denied", "metrics") == (4, "", "prereg: not permitted: run this as root\n")


def test_list(program):
    """list: columns, joined with containers; foreign shares left out"""
    with tempfile.TemporaryDirectory() as folder:
        Host(folder)
        out = program.good("owners", "list", "--sysroot", folder)
    assert out.splitlines() == [
        " PID COMMAND         USER   STATE  REGISTERED MAPPED CHARGED CONTAINERS DEVICES                      AGE",
        "4711 qemu-system-x86 root   alive          4G     4G      4G          2 0000:00:04.0,0000:00:1f.2  2h05m",
        "  90 dpdk            nobody alive        512M   512M    512M          1                              59s",
        "     vforked         nobody shared         4K     0B      4K          0                           20d00h",
        " 666 was-here        root   orphan                                    1                            1m01s"], out


def test_list_forms(program):
    """list: --bytes, --raw, --noheadings, --output"""
    out = program.good("owners", "list", "-brn", "-o", "pid,registered,mapped,kept")
    assert out.split() == ["4711", str(4098 * MIB), str(4096 * MIB + 4096), "0", "90", str(512 * MIB), str(512 * MIB),
                           str(3 * MIB // 2), "4096", "0", "0", "666"], out
    head = program.good("owners", "list", "--output", "+ID").splitlines()[0]
    assert head.split()[0] == "PID" and head.split()[-1] == "ID", head
    assert "1.5M" in program.good("owners", "list", "-o", "KEPT")
    answer = program.run("", "list")
    assert (answer.status, answer.out) == (0, "") and "no process" in answer.err


def test_sizes(program):
    """sizes and ages for people, from the smallest to the largest"""
    out = program.good("sizes", "list", "-rn", "-o", "REGISTERED,AGE")
    sizes, ages = zip(*(line.split() for line in out.splitlines()))
    assert sizes == ("0B", "1B", "1023B", "1K", "1K", "1.1K", "1.5K", "10K", "10K", "1023.9K", "1M", "1M", "1T", "1E", "16E"), sizes
    assert ages[:10] == ("0s", "0s", "1s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d00h", "1d01h"), ages
    exact = parsed("list", program.good("sizes", "list", "--json"))["owners"]
    assert (exact[14]["registered"], exact[14]["age"]) == (2 ** 64 - 1, (2 ** 64 - 1) // 1000)


def test_list_json(program):
    """list --json: as the schemas have it, all members, empty arrays, nulls"""
    value = parsed("list", program.good("owners", "list", "--json"))
    has_all("list", "owners", value)
    owners = value["owners"]
    assert [o["state"] for o in owners] == ["alive", "alive", "shared", "orphan"]
    assert owners[0]["mapped"] == 4096 * MIB + 4096 and owners[0]["container_ids"] == ["5", "4611686018427387904"] and owners[0]["groups"] == [3, 12, 13]
    assert owners[2]["pid"] is None and owners[2]["groups"] == [] and owners[2]["devices"] == []
    assert owners[3]["registered"] is None and owners[3]["pid"] == 666 and owners[3]["container_ids"] == ["8"]
    assert parsed("list", program.good("", "list", "--json")) == {"owners": []}
    value = parsed("list", program.good("owners", "list", "--json", "-o", "PID"))
    assert value["owners"] == [{"pid": 4711}, {"pid": 90}, {"pid": None}, {"pid": 666}]
    value = parsed("list-containers", program.good("owners", "list", "--containers", "--json"))
    has_all("list-containers", "containers", value)
    assert [c["state"] for c in value["containers"]] == ["owned", "owned", "orphan"]
    assert len(parsed("list", program.good("many", "list", "--json"))["owners"]) == 200


def test_limits_are_said(program):
    """who is not shown everything is told so, on standard error"""
    answer = program.run("owners,user", "list", "--json")
    assert answer.status == 0 and "CAP_SYS_ADMIN" in answer.err
    parsed("list", answer.out)
    assert program.run("owners", "list").err == ""
    assert "CAP_SYS_ADMIN" in program.good("owners,user", "top", "--once")


def test_show(program):
    """show: regions, containers, windows; the same in JSON"""
    out = program.good("owners", "show", "4711")
    for line in ("COMMAND        qemu-system-x86", "0x7f0000000000 0x7f0100000000   4G    3          2G 4K,2M,1G       4 writable",
                 "        5 0x800000000000000   1T  64K      3"):
        assert line in out.splitlines(), out
    value = parsed("show", program.good("owners", "show", "4711", "--json"))
    assert [r["size"] for r in value["regions"]] == [4096 * MIB, 2 * MIB]
    assert value["regions"][1]["flags"] == ["implicit", "stale"] and value["regions"][0]["page_sizes"] == [4096, 2 * MIB, 1024 * MIB]
    assert value["containers"][0]["windows"][1]["start"] == "0x800000000000000"
    assert value["containers"][1]["mapped"] == 4096 and value["mapped"] == 4096 * MIB + 4096
    assert parsed("show", program.good("owners", "show", "--id", "9", "--json"))["pid"] is None


def test_show_nobody(program):
    """show of an orphan's owner, of a stranger, of one that just ended"""
    for fake, words, text in (("owners", ("666",), "container 8"), ("owners", ("1",), "has no memory registered"),
                              ("owners,user", ("1",), "on the host, as root"), ("owners,ended", ("4711",), "ended just now"),
                              ("owners", ("--id", "3"), "owner 3 has no memory")):
        answer = program.run(fake, "show", *words)
        assert (answer.status, answer.out) == (1, "") and text in answer.err, answer


def test_events(program):
    """events: a line each, --count, --regions, what was lost, the module's end"""
    out = program.run("stop", "events")
    assert out.status == 3 and len(out.out.splitlines()) == 4, out
    assert "RLIMIT_MEMLOCK is 64M, of which 1M are taken; 512M more were refused" in out.out
    assert "512M unpinned, 9 mappings revoked in 1.234 ms" in out.out
    events = parsed_lines("events", program.good("", "events", "--json", "--regions", "--count=5"))
    assert [e["event"] for e in events] == ["registered", "put", "refused", "released", "adopted"]
    assert events[1]["start"] == "0x7f0000000000" and events[4]["orphan_pid"] == 666
    events = parsed_lines("events", program.good("lost", "events", "--json", "--regions", "--count=5"))
    assert [(e["event"], e.get("count")) for e in events if e["event"] == "lost"] == [("lost", None), ("lost", 7)]
    assert len(events) == 7
    out = program.good("lost", "events", "--regions", "--count=5")
    assert "7 events were lost here" in out and len(out.splitlines()) == 7


def test_events_reader_leaves(program):
    """events: ends when whoever reads has gone"""
    with subprocess.Popen([program.path, "events", "--json"], env=program.environment(""), stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) != 0


def test_events_reader_hangs_up(program):
    """events: ends when its reader at the other end of a socket has gone"""
    ours, theirs = socket.socketpair()
    with subprocess.Popen([program.path, "events", "--regions"], env=program.environment("quiet"), stdout=theirs,
                          stderr=subprocess.PIPE) as process:
        theirs.close()
        process.stderr.readline()
        ours.close()
        process.wait(60)


def test_pid_namespace(program):
    """in a pid namespace: list, show and metrics say what is not seen, and metrics leave it out"""
    assert "pid namespace" in program.run("owners,pids", "list").err
    assert "on the host" in program.run("pids", "show", "1").err
    answer = program.run("pids", "metrics")
    found = families(answer.out)
    assert answer.status == 0 and "pid namespace" in answer.err, answer
    assert "prereg_owned_bytes" not in found and found["prereg_pinned_bytes"], found


def test_busy(program):
    """a busy container: what is not known is empty, and null in JSON"""
    answer = program.run("owners,busy", "list", "--containers")
    assert "33" in answer.err and answer.out.splitlines()[-1].split() == ["33", "busy", "3", "3M"], answer
    value = parsed("list-containers", program.good("owners,busy", "list", "--containers", "--json"))["containers"][-1]
    assert (value["type"], value["user"], value["age"], value["mapped"]) == (None, None, None, 3 * MIB), value
    assert "33" in program.run("owners,busy", "show", "4711").err


def test_strange_names(program):
    """a name that is no text, or none: no byte of it moves a cursor, and JSON stays JSON"""
    for words in (("list",), ("show", "4711"), ("top", "--once"), ("events", "--count=1")):
        assert "\033" not in program.good("owners,strange", *words), words
        for more in ((), ("--json",)):
            assert "\x9b" not in program.good("owners,c1", *words, *more), words
    assert parsed("list", program.good("owners,nameless", "list", "--json"))["owners"][0]["command"] is None
    assert parsed("show", program.good("owners,nameless", "show", "4711", "--json"))["command"] is None
    value = parsed("list", program.good("owners,strange", "list", "--json"))
    assert value["owners"][0]["command"] == "a?[2J?\"b"
    parsed("show", program.good("owners,strange", "show", "4711", "--json"))
    parsed_lines("events", program.good("strange", "events", "--json", "--count=4"))


def families(text):
    """What a parser of OpenMetrics makes of TEXT: {name: {labels' values: value}}."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        assert not family.unit or family.name.endswith(family.unit), family.name
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_metrics(program):
    """metrics: a parser of OpenMetrics reads them, the numbers are right"""
    with tempfile.TemporaryDirectory() as folder:
        Host(folder)
        found = families(program.good("owners", "metrics", "--sysroot", folder))
        assert found["prereg_module_loaded"] == {(): 1} and found["prereg_owners"] == {(): 3}
        assert found["prereg_owned_bytes"] == {(): 4098 * MIB + 512 * MIB + 4096}
        assert found["prereg_orphan_containers"] == {(): 1} and found["prereg_revoked_mappings_total"] == {(): 99}
        assert found["prereg_refused_calls_total"] == {("ENOMEM",): 4, ("EINVAL",): 2}
        assert found["prereg_host_pinned_bytes"] == {(): 256 * os.sysconf("SC_PAGESIZE")}
        # Folded before they were read.
        with open(os.path.join(folder, "proc/vmstat"), encoding="utf-8") as vmstat:
            assert "acquired" in vmstat.read()
    answer = program.run("owners,user", "metrics")
    assert answer.status == 0 and "CAP_SYS_ADMIN" in answer.err and "prereg_owners" not in families(answer.out)
    assert families(program.good("unloaded", "metrics"))["prereg_module_loaded"] == {(): 0}


def test_metrics_file(program):
    """metrics --output: whole, readable for others, and nothing left behind"""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "prereg.prom")
        assert program.good("owners", "metrics", "--output", path) == ""
        with open(path, encoding="utf-8") as text:
            old = text.read()
        assert families(old)["prereg_owners"] == {(): 3} and old.endswith("# EOF\n")
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o644
        # What cannot be had leaves what is there.
        assert program.run("denied", "metrics", "--output", path).status == 4
        assert program.run("gone", "metrics", "--output", path).status == 3
        with open(path, encoding="utf-8") as text:
            assert text.read() == old
        assert os.listdir(folder) == ["prereg.prom"]
        os.mkdir(os.path.join(folder, "d"))
        answer = program.run("owners", "metrics", "--output", os.path.join(folder, "d"))
        assert answer.status == 1 and "cannot be written" in answer.err
        answer = program.run("owners", "metrics", "--output", os.path.join(folder, "none", "x"))
        assert answer.status == 1 and "cannot be written" in answer.err
        assert sorted(os.listdir(folder)) == ["d", "prereg.prom"]


def test_full_disk(program):
    """an answer that cannot be written is a failure"""
    for words in (("list",), ("list", "--json"), ("metrics",), ("show", "4711"), ("doctor",)):
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([program.path, *words], env=program.environment("owners"), stdout=full, stderr=subprocess.PIPE,
                                  check=False)
        assert done.returncode == 1 and b"could not be written" in done.stderr, (words, done)
        # Without a standard output at all, the socket to the module must not become it.
        done = subprocess.run(["sh", "-c", 'exec "$0" "$@" >&-', program.path, *words], env=program.environment("owners"),
                              stderr=subprocess.PIPE, check=False)
        assert done.returncode == 1 and b"could not be written" in done.stderr, (words, done)
