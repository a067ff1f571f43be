# SPDX-License-Identifier: GPL-2.0
"""Hosts that are made up, for --sysroot: folders with the files of /sys, /proc, /dev and /lib that doctor looks at."""
import os
import subprocess

RELEASE = os.uname().release

MODULE = """
        .section .modinfo, "a"
        .asciz "license=GPL"
        .asciz "version=0.1.0"
        .asciz "srcversion=%s"
        .asciz "name=vfio_prereg"
        .asciz "vermagic=%s SMP preempt mod_unload "
"""


class Host:
    """A host that is ready, below FOLDER; tests break it."""

    def __init__(self, folder):
        self.folder = folder
        self.write("proc/cmdline", "root=/dev/sda1 intel_iommu=on")
        self.write("proc/interrupts", " 24:  0  0  IR-PCI-MSI 512-edge  eth0")
        self.write("proc/modules", "vfio_prereg 1 0 - Live 0x0\nvfio_iommu_type1 1 0 - Live 0x0\nvfio 1 2 vfio_prereg, Live 0x0")
        self.write("proc/vmstat", "nr_free_pages 12\nnr_foll_pin_acquired 300\nnr_foll_pin_released 44")
        self.write("sys/class/iommu/dmar0/x", "")
        self.write("sys/module/vfio/x", "")
        self.write("sys/module/vfio_iommu_type1/x", "")
        self.write("sys/module/vfio_prereg/version", "0.1.0")
        self.write("sys/module/vfio_prereg/srcversion", "AAA")
        self.write("sys/module/vfio_prereg/parameters/type1", "Y")
        self.write("sys/module/vfio_prereg/parameters/allow_unsafe_interrupts", "N")
        self.write("dev/vfio/vfio", "")
        self.write("dev/vfio/3", "")
        self.device("0000:00:04.0", 3, "vfio-pci")
        self.device("0000:00:1f.2", 12, "ahci")

    def path(self, name):
        """Of a file."""
        return os.path.join(self.folder, name)

    def write(self, name, text):
        """A file with TEXT and a newline."""
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as out:
            out.write(text + "\n")

    def remove(self, name):
        """A file, or a folder with all that is in it."""
        if os.path.isdir(self.path(name)) and not os.path.islink(self.path(name)):
            for base in os.listdir(self.path(name)):
                self.remove(os.path.join(name, base))
            os.rmdir(self.path(name))
        else:
            os.remove(self.path(name))

    def device(self, address, group, driver, kind="0x020000"):
        """A PCI device; DRIVER may be None."""
        where = "sys/bus/pci/devices/" + address
        self.write(where + "/class", kind)
        if driver:
            os.makedirs(self.path("sys/bus/pci/drivers/%s/%s" % (driver, address)))
            os.symlink("../../drivers/" + driver, self.path(where + "/driver"))
        os.makedirs(self.path("sys/kernel/iommu_groups/%d/devices" % group), exist_ok=True)
        os.symlink("../../../../bus/pci/devices/" + address, self.path("sys/kernel/iommu_groups/%d/devices/%s" % (group, address)))

    def install(self, release=RELEASE, srcversion="AAA"):
        """vfio_prereg's file, for a kernel."""
        folder = "lib/modules/%s" % RELEASE
        self.write(folder + "/updates/x.S", MODULE % (srcversion, release))
        module = self.path(folder + "/updates/vfio_prereg.ko")
        subprocess.run(["gcc", "-c", "-o", module, self.path(folder + "/updates/x.S")], check=True)
        self.remove(folder + "/updates/x.S")
        for name in ("modules.order", "modules.builtin"):
            self.write(folder + "/" + name, "")
        subprocess.run(["/sbin/depmod", "-b", self.folder, RELEASE], check=True, stderr=subprocess.DEVNULL)
