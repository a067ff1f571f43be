# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0
# Sourced by the scripts beside it: runs a real program on a container backend, and prints TAP.
#   backend NAME …                  what serves the containers from here on
#   start LOG COMMAND…, end SIGNAL  the client, in the background; "tell LINE" is its standard input
#   check NAME COMMAND…             one test
#   finish                          looks whether all was given back, prints the plan, exits
# Times are in seconds, and longer where the guest is slow (GUEST_SLOW).
export PATH=/usr/bin:/bin
mkdir -p /run /var/run

count=0
failures=0
module=
client=
client_log=/dev/null

# result STATUS NAME: one test, which passes if STATUS is 0; else what the client said last goes before it.
result() {
	count=$((count + 1))
	if [ "$1" != 0 ]; then
		failures=$((failures + 1))
		tail -n 30 "$client_log" | note
		printf 'not '
	fi
	echo "ok $count - $2"
}

# check NAME COMMAND…: one test, which passes if COMMAND exits with 0.
check() {
	local name=$1
	shift
	"$@"
	result $? "$name"
}

# note: what comes on standard input, as diagnostics.
note() { awk '{ print "# " $0 }'; }

# bail TEXT: nothing more can be tested.
bail() { echo "Bail out! $1"; exit 1; }

# wait_for SECONDS COMMAND…: until COMMAND exits with 0; fails when time is up.
wait_for() {
	local left=$(($1 * 5 * ${GUEST_SLOW:-1}))
	shift
	until "$@"; do
		[ $left -gt 0 ] || return 1
		left=$((left - 1))
		sleep 0.2
	done
}

# start LOG COMMAND…: the client, in the background; $client is its process.
start() {
	client_log=$1
	shift
	: >"$client_log"
	# Open for both ways, so that neither side waits for the other.
	[ -p /tmp/client.input ] || mkfifo /tmp/client.input
	exec 9<>/tmp/client.input
	"$@" </tmp/client.input >>"$client_log" 2>&1 9<&- &
	client=$!
}

# tell LINE: what the client reads on its standard input.
tell() { echo "$1" >&9; }

# gone: the client has ended.
gone() { ! readlink "/proc/$client/exe" >/dev/null; }

# shows SECONDS COMMAND…: waits until COMMAND exits with 0; fails when time is up or the client has gone.
shows() {
	local seconds=$1
	shift
	wait_for "$seconds" gone_or "$@" && "$@"
}
gone_or() { gone || "$@"; }

# end [SIGNAL]: sends the client SIGNAL, waits for its end and returns its exit status. If it does not go it is killed (137).
end() {
	[ $# = 0 ] || kill -"$1" "$client"
	wait_for 30 gone || kill -KILL "$client"
	wait "$client"
}

# backend NAME: loads the module that serves the containers, alone:
#   type1        the kernel's vfio_iommu_type1
#   prereg       vfio_prereg
#   prereg-kept  the same, with memory kept registered after UNMAP
#   prereg-v2    the same without type 1: clients that have no other choice take type 7
backend() {
	local options=
	module=vfio_prereg
	case $1 in
	type1) module=vfio_iommu_type1 ;;
	prereg) ;;
	prereg-kept) options=keep_mib=1024 ;;
	prereg-v2) options=type1=N ;;
	*) bail "there is no backend \"$1\"" ;;
	esac
	rmmod vfio_prereg 2>/dev/null
	rmmod vfio_iommu_type1 2>/dev/null
	# shellcheck disable=SC2086 # none is no word
	insmod "/m/$module.ko" $options || bail "$module does not load"
}

# devices VENDOR:DEVICE: the addresses of these among vfio-pci's devices, one a line.
devices() {
	local address at
	for address in $VFIO_DEVICES; do
		at=/sys/bus/pci/devices/$address
		[ "$(cat "$at/vendor"):$(cat "$at/device")" != "0x${1%:*}:0x${1#*:}" ] || echo "$address"
	done
}

# pins: how many pages are pinned.
pins() {
	echo 1 >/proc/sys/vm/stat_refresh
	awk '$1 == "nr_foll_pin_acquired" { n += $2 } $1 == "nr_foll_pin_released" { n -= $2 } END { print n }' /proc/vmstat
}

pinned_at_least() { [ "$(pins)" -ge "$1" ]; }
nothing_pinned() { [ "$(pins)" = 0 ]; }

# charge [PID]: the KiB of locked memory that a process, or the client, is charged for.
charge() { awk '$1 == "VmLck:" { print $2 }' "/proc/${1:-$client}/status"; }

# counter NAME: one of vfio_prereg's statistics.
counter() { awk -v name="$1" '$1 == name { print $2 }' /sys/kernel/debug/vfio_prereg/stats; }

# Not what a client did: stale_mappings.
all_stats_zero() {
	local left
	left=$(awk '$1 != "stale_mappings" && $2 != 0' /sys/kernel/debug/vfio_prereg/stats)
	[ -z "$left" ] || { echo "$left" | note; return 1; }
}

# check_returned WHAT: nothing is pinned, mapped or charged any more.
check_returned() {
	check "$1: no page is pinned" nothing_pinned
	[ "$module" != vfio_prereg ] || check "$1: vfio_prereg counts nothing" all_stats_zero
}

# finish: the end of every script.
finish() {
	check_returned "at the end"
	check "$module is not in use" rmmod "$module"
	echo "1..$count"
	[ $failures = 0 ]
	exit
}
