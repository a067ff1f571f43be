# SPDX-License-Identifier: GPL-2.0
"""doctor, on hosts that are made up: what is well, and each thing that is not."""
import os
import resource
import tempfile

from answers import parsed
from hosts import RELEASE, Host

NOBODY = 65534


def ask(program, folder, *words, fake="owners", **more):
    """doctor's checks as {name: check}, and whether the host is ready."""
    answer = program.run(fake, "doctor", "--json", "--sysroot", folder, *words, **more)
    value = parsed("doctor", answer.out)
    assert answer.status == (0 if value["ready"] else 1), answer.status
    assert value["ready"] == all(check["status"] != "not ok" for check in value["checks"])
    names = [check["check"] for check in value["checks"]]
    assert len(set(names)) == len(names), names
    for check in value["checks"]:
        assert check["todo"] or check["status"] != "not ok", check
    return {check["check"]: check for check in value["checks"]}, value["ready"]


def verdicts(checks, status):
    """The names of the checks with a STATUS."""
    return [name for name, check in checks.items() if check["status"] == status]


def broken(program, change, *words, **more):
    """What is not ok on a good host after CHANGE."""
    with tempfile.TemporaryDirectory() as folder:
        host = Host(folder)
        host.install()
        change(host)
        checks, _ = ask(program, folder, *words, **more)
    return verdicts(checks, "not ok"), checks


def test_doctor_ready(program):
    """doctor: a host that is ready"""
    wrong, checks = broken(program, lambda host: None)
    assert not wrong, wrong
    assert not verdicts(checks, "note"), checks
    with tempfile.TemporaryDirectory() as folder:
        Host(folder)
        out = program.good("owners", "doctor", "--sysroot", folder)
    assert out.splitlines()[0] == "ok      iommu       dmar0 is at work" and out.endswith("This host is ready.\n"), out


def test_doctor_host(program):
    """doctor: no IOMMU, turned off, mixed groups, no VFIO"""
    def no_iommu(host):
        host.remove("sys/class/iommu")
        host.remove("sys/kernel/iommu_groups")

    wrong, checks = broken(program, no_iommu)
    assert wrong == ["iommu", "groups"] and "intel_iommu=on" in checks["iommu"]["todo"], checks

    def off(host):
        no_iommu(host)
        host.write("proc/cmdline", "quiet intel_iommu=off")

    assert "Take intel_iommu=off off" in broken(program, off)[1]["iommu"]["todo"]
    wrong, checks = broken(program, lambda host: host.device("0000:00:04.1", 3, "e1000e"))
    assert wrong == ["groups"] and "0000:00:04.1 (e1000e)" in checks["groups"]["todo"], checks
    # A bridge, and what has no driver, is no hindrance; that it goes together is worth a line.
    for driver, kind in (("e1000e", "0x060400"), (None, "0x020000"), ("pcieport", "0x060400"), ("vfio-pci", "0x020000")):
        wrong, checks = broken(program, lambda host, of=(driver, kind): host.device("0000:00:04.1", 3, *of))
        assert not wrong and checks["isolation"]["status"] == "note", (driver, checks)
    def many(host):
        for group in range(20, 30):
            for function in range(2):
                host.device("0000:%d:00.%d" % (group, function), group, None)

    lines = broken(program, many)[1]["isolation"]["found"].splitlines()
    assert len(lines) == 5 and lines[3].startswith("group 23 ") and lines[4] == "and 6 more groups of several devices", lines
    assert broken(program, lambda host: host.remove("dev/vfio"))[0] == ["vfio", "access"]
    assert broken(program, lambda host: host.remove("dev/vfio/3"))[0] == ["access"]

    def unbound(host):
        host.remove("sys/bus/pci/drivers/vfio-pci/0000:00:04.0")
        host.write("sys/bus/pci/drivers/vfio-pci/bind", "")

    assert broken(program, unbound)[0] == ["vfio-pci"]
    assert broken(program, lambda host: host.remove("sys/bus/pci/drivers/vfio-pci"))[0] == ["vfio-pci"]


def test_doctor_interrupts(program):
    """doctor: interrupts that are not isolated"""
    wrong, checks = broken(program, lambda host: host.write("sys/module/vfio_prereg/parameters/allow_unsafe_interrupts", "Y"))
    assert wrong == ["interrupts"] and "echo N" in checks["interrupts"]["todo"]
    if os.uname().machine == "x86_64":
        wrong, checks = broken(program, lambda host: host.write("proc/interrupts", " 24: 0 PCI-MSI 512-edge eth0"))
        assert wrong == ["interrupts"] and "EPERM" in checks["interrupts"]["found"]


def unload(host):
    """The module, but not its file."""
    host.remove("sys/module/vfio_prereg")
    host.write("proc/modules", "vfio 1 2 - Live 0x0")


def test_doctor_module(program):
    """doctor: the module is not loaded, not installed, for another kernel, not signed, another one"""
    wrong, checks = broken(program, unload)
    assert wrong == ["module"] and checks["module"]["todo"].startswith("modprobe vfio_prereg"), checks

    def nothing(host):
        unload(host)
        host.remove("lib")

    wrong, checks = broken(program, nothing)
    assert wrong == ["module"] and "linux-headers-" + RELEASE in checks["module"]["todo"], checks

    def other(host):
        unload(host)
        host.install(release="5.10.0-1-other")

    wrong, checks = broken(program, other)
    assert wrong == ["module"] and "for another kernel (5.10.0-1-other" in checks["module"]["found"], checks

    def secure(host):
        unload(host)
        host.write("sys/kernel/security/lockdown", "none [integrity] confidentiality")

    wrong, checks = broken(program, secure)
    assert wrong == ["module"] and "not signed" in checks["module"]["found"], checks
    wrong, checks = broken(program, lambda host: host.install(srcversion="BBB"))
    assert not wrong and checks["version"]["status"] == "note", checks


def test_doctor_types(program):
    """doctor: who else serves the types"""
    wrong, checks = broken(program, lambda host: host.write("proc/modules", "vfio_iommu_type1 1 0 - L 0x0\nvfio_prereg 1 0 - L 0x0"))
    assert wrong == ["types 1, 3"] and "softdep" in checks["types 1, 3"]["todo"], checks
    wrong, checks = broken(program, lambda host: host.write("proc/modules", "vfio_iommu_spapr_tce 1 0 - L 0x0\nvfio_prereg 1 0 - L 0x0"))
    assert wrong == ["type 7"], checks
    wrong, checks = broken(program, lambda host: host.write("sys/module/vfio_prereg/parameters/type1", "N"))
    assert not wrong and checks["types 1, 3"]["status"] == "note", checks
    wrong, checks = broken(program, lambda host: host.remove("sys/module/vfio_prereg/parameters/type1"))
    assert not wrong and "types 1, 3" not in checks, checks


def test_doctor_caller(program):
    """doctor: a user's memlock limit and access to groups; a module without netlink"""
    def user(limit):
        def become():
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
            if not os.getuid():
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
        return become

    def opened(host):
        os.chmod(host.folder, 0o755)
        for node in ("vfio", "3"):
            os.chmod(host.path("dev/vfio/" + node), 0o666)

    def closed(host):
        opened(host)
        os.chmod(host.path("dev/vfio/3"), 0o600)

    # A limit may be lowered by anybody.
    small = user(1 << 20)
    wrong, checks = broken(program, opened, preexec_fn=small)
    assert wrong == ["memlock"] and "RLIMIT_MEMLOCK is 1024 KiB (1M), less than the 1048576 KiB (1G)" in checks["memlock"]["found"], checks
    assert "memlock 1048576" in checks["memlock"]["todo"] and "LimitMEMLOCK=1048576K" in checks["memlock"]["todo"], checks
    assert not broken(program, opened, "--memory", "1M", preexec_fn=small)[0]
    assert broken(program, opened, "--memory=1025K", preexec_fn=small)[0] == ["memlock"]
    if not os.getuid():
        wrong, checks = broken(program, closed, "--memory=1M", preexec_fn=small)
        assert wrong == ["access"] and "dev/vfio/3" in checks["access"]["found"], checks
    assert broken(program, lambda host: None, fake="unloaded")[0] == ["netlink"]
    for limited in ("owners,user", "owners,pids"):
        wrong, checks = broken(program, lambda host: None, fake=limited)
        assert not wrong and checks["netlink"]["status"] == "note", checks
