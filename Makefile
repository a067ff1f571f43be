# SPDX-License-Identifier: GPL-2.0
# The commands of vfio-prereg; "make help" lists them. What they do is in scripts/ and tests/.

TARGET ?= amd64-6.1
export TARGET

.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

.PHONY: help
help:
	@scripts/help

# The three modules are the one to use and two broken on purpose, which the tests want to see fail.
.PHONY: module
module: kernel-packages
	@scripts/build-module $(TARGET)

.PHONY: variants
variants: kernel-packages
	@scripts/build-module $(TARGET) --variant put-first
	@scripts/build-module $(TARGET) --variant wrong-layout

.PHONY: kernel-packages
kernel-packages:
	@scripts/setup build
	@scripts/fetch-kernel $(TARGET)

.PHONY: clean
clean:
	rm -rf $(filter-out build/cache,$(wildcard build/*))
