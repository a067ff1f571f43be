# SPDX-License-Identifier: GPL-2.0
# The commands of vfio-prereg; "make help" lists them. What they do is in scripts/, tests/, demo/, bench/.

TARGET ?= amd64-6.1
export TARGET
# Of install and uninstall.
export PREFIX DESTDIR KVER

.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

.PHONY: help
help:
	@scripts/help

# build/TARGET/vfio_prereg.ko, and beside it the kernel it was built for.
.PHONY: module
module: kernel-packages
	@scripts/build-module $(TARGET)

# Modules broken on purpose, which the tests want to see fail.
.PHONY: variants
variants: kernel-packages
	@scripts/build-module $(TARGET) --variant put-first
	@scripts/build-module $(TARGET) --variant wrong-layout

.PHONY: kernel-packages
kernel-packages:
	@scripts/setup build
	@scripts/fetch-kernel $(TARGET)
	@scripts/fetch-busybox $(TARGET)

# What the probes of kernel/compat found out about the target's kernel.
.PHONY: compat
compat: kernel-packages
	@scripts/compat-probe $(TARGET) --print

# The static test programs of the guest, and the module of the devices that they use.
.PHONY: guest-programs
guest-programs: module
	@scripts/setup guest
	@scripts/build-guest $(TARGET) tests/guest build/$(TARGET)/guest
	@scripts/build-side-module $(TARGET) tests/guest/device build/$(TARGET)/guest
	@scripts/build-user $(TARGET)

# libprereg and the command prereg for this host, in build/host.
.PHONY: tool
tool:
	@scripts/setup tool
	@$(MAKE) -s -C lib OUT=$(abspath build/host/lib)
	@$(MAKE) -s -C tool OUT=$(abspath build/host/tool) LIBPREREG=$(abspath build/host/lib/libprereg.a)

# All targets, unless one is asked for; a debug target has check-debug.
CHECK_TARGETS := $(if $(filter file,$(origin TARGET)),$(sort $(notdir $(filter-out %.config %-debug,$(wildcard targets/*)))),$(TARGET))
empty :=
comma := ,

# What one of several targets misses is its failure and not the others'.
.PHONY: check
check:
	@TARGET="$(CHECK_TARGETS)" scripts/setup build guest vm unit tool style deb install root || [ $(words $(CHECK_TARGETS)) -gt 1 ]
	@tests/check $(subst $(empty) ,$(comma),$(CHECK_TARGETS))

# Real programs, out of Debian's packages, on the container backends.
.PHONY: clients
clients: module
	@scripts/setup vm
	@tests/clients/run $(TARGET)

.PHONY: check-debug
check-debug:
	@scripts/setup build guest vm debug
	@tests/check $(TARGET)-debug build debug

.PHONY: demo
demo:
	@scripts/setup build guest vm demo
	@demo/run $(TARGET)

.PHONY: bench
bench:
	@scripts/setup build guest vm demo
	@bench/run $(TARGET)

# Debian packages in build/deb.
.PHONY: deb
deb:
	@scripts/setup deb install
	@scripts/build-deb

# The packages in a fresh Debian, and in a guest.
.PHONY: packages-check
packages-check: deb
	@scripts/setup root vm
	@tests/packages/run $(TARGET)

# With PREFIX, DESTDIR, KVER.
.PHONY: install
install:
	@scripts/setup install $(if $(filter none,$(KVER)),,module)
	@scripts/install

.PHONY: uninstall
uninstall:
	@scripts/uninstall

# Downloads (build/cache) stay.
.PHONY: clean
clean:
	rm -rf $(filter-out build/cache,$(wildcard build/*))
