# shellcheck shell=bash
# Sourced by the scripts beside it: messages, the target's settings, where things are kept.
# SPDX-License-Identifier: GPL-2.0

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$TOP/build
# shellcheck disable=SC2034 # used by the scripts that source this file
CACHE=$BUILD/cache

# What apt and the compiler say is read by these scripts.
export LC_ALL=C.UTF-8

# say TEXT: progress, one line on standard output.
say() { printf '%s\n' "$*"; }

# die TEXT: one sentence that says what to do, then exit 1.
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# load_target NAME: sets the variables of targets/NAME and OUT, the target's build directory.
load_target() {
	TARGET=$1
	case $TARGET in
	'' | */* | .*) die "\"$TARGET\" is no target name; TARGET is one of: $(list_targets)." ;;
	esac
	[ -f "$TOP/targets/$TARGET" ] ||
		die "there is no target \"$TARGET\"; TARGET is one of: $(list_targets)."
	# Not from the environment: what the file does not set is empty.
	# shellcheck disable=SC2034 # used by the scripts that source this file
	ARCH='' RELEASE='' META='' CROSS='' SOURCE='' BASE='' CONFIG='' MODULE_ARGS='' EXTRA_MODULES=''
	# shellcheck source=/dev/null
	. "$TOP/targets/$TARGET"
	# shellcheck disable=SC2034 # used by the scripts that source this file
	OUT=$BUILD/$TARGET
}

# list_targets: the names that TARGET= takes, on one line. A file that is no
# target has a dot and letters behind it (debug-kernel.config).
list_targets() {
	local f names=()
	for f in "$TOP"/targets/*; do
		[[ $f == *.config ]] || names+=("$(basename "$f")")
	done
	printf '%s' "${names[*]}"
}

# own_release: the Debian release this system is, for example bookworm.
own_release() { (. /etc/os-release && printf '%s' "$VERSION_CODENAME"); }

# need_space MEGABYTES WHAT: stops with a sentence where build/ has less room than WHAT takes.
need_space() {
	local free
	free=$(df -Pm "$BUILD" | awk 'NR == 2 { print $4 }')
	[ "$free" -ge "$1" ] ||
		die "$2 takes $1 MB under build/, where only $free MB are free: make room (\"rm -r build/cache\" drops what can be fetched again), then run this again."
}

# newer_than_a_day FILE: true if FILE was written within the last 24 hours.
newer_than_a_day() { [ -n "$(find "$1" -maxdepth 0 -mmin -1440 2>/dev/null)" ]; }
