# SPDX-License-Identifier: GPL-2.0
"""The device tree of a POWER9 machine, completed.

A POWER9's tree names the page sizes of its radix MMU. QEMU 7.2's tree for powernv9 leaves them out, although the
emulated MMU has them, and a guest would have pages of 4 and 64 KiB alone: neither huge pages nor memory for the windows
of large pages. QEMU takes no other tree, so it is made to write its own into a file, and a few instructions in front of
the firmware hand over the completed one.
"""
import os
import struct
import subprocess

from .target import Problem

PROPERTY = b"ibm,processor-radix-AP-encodings"
NODE = b"PowerPC,POWER9@"
# Memory that neither firmware, kernel nor initramfs begin in.
TREE_AT = 0x2000000
START_AT = TREE_AT - 0x1000
# lis r3,TREE_AT@h; ba 0x10: the firmware's entry, with its argument.
START = 0x3C600000 << 32 | (TREE_AT >> 16) << 32 | 0x48000012

BEGIN_NODE, END_NODE, PROP, NOP, END = 1, 2, 3, 4, 9


def _padded(data):
    return data + b"\0" * (-len(data) % 4)


def add_property(blob, node, name, data):
    """The flattened tree BLOB with one more property in all nodes whose name begins with NODE."""
    head = list(struct.unpack_from(">10I", blob))
    structs, strings, bytes_strings, bytes_structs = head[2], head[3], head[8], head[9]
    names = blob[strings:strings + bytes_strings]
    new = _padded(struct.pack(">3I", PROP, len(data), len(names)) + data)
    out, at, token = b"", structs, None
    while token != END:
        start = at
        token, = struct.unpack_from(">I", blob, at)
        at += 4
        if token == BEGIN_NODE:
            here = blob[at:blob.index(b"\0", at) + 1]
            at += len(_padded(here))
        elif token == PROP:
            length, = struct.unpack_from(">I", blob, at)
            at += 8 + length + -length % 4
        elif token not in (END_NODE, NOP, END):
            raise Problem("QEMU's device tree has an unknown token %d." % token)
        out += blob[start:at]
        if token == BEGIN_NODE and here.startswith(node):
            out += new
    assert at == structs + bytes_structs
    names += name + b"\0"
    head[1], head[3], head[8], head[9] = structs + len(out) + len(names), structs + len(out), len(names), len(out)
    return struct.pack(">10I", *head) + blob[40:structs] + out + names


def options(words, cpus, page_sizes, path):
    """QEMU's options for a machine WORDS with CPUS whose tree names PAGE_SIZES ("SHIFT:ENCODING"…); a file at PATH."""
    # The serial port is in the tree.
    done = subprocess.run(words + ["-serial", "null", "-machine", "dumpdtb=" + path],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode or not os.path.exists(path):
        raise Problem("QEMU did not write the machine's device tree; it said: " + done.stdout.strip())
    with open(path, "rb") as tree:
        blob = tree.read()
    sizes = [tuple(map(int, size.split(":"))) for size in page_sizes]
    with open(path, "wb") as tree:
        tree.write(add_property(blob, NODE, PROPERTY, struct.pack(">%dI" % len(sizes), *(
            encoding << 29 | shift for shift, encoding in sizes))))
    more = ["-device", "loader,file=%s,addr=%#x,force-raw=on" % (path, TREE_AT),
            "-device", "loader,data=%#x,data-len=8,data-be=on,addr=%#x" % (START, START_AT)]
    for cpu in range(cpus):
        more += ["-device", "loader,addr=%#x,cpu-num=%d" % (START_AT, cpu)]
    return more
