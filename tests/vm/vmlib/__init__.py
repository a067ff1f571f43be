# SPDX-License-Identifier: GPL-2.0
"""Boots a kernel in QEMU and runs commands in it; docs/vm-runner.md says how to use it."""
