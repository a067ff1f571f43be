# shellcheck shell=dash disable=SC2034 # used by the scripts that source this file
# SPDX-License-Identifier: GPL-2.0
# Sourced by the scripts whose client is a QEMU; client.sh comes with it.
#   qemu_start COMMAND…     starts it, until its machine is made
#   monitor COMMAND…        gives its monitor a command, prints the answer
#   qemu_end HOW            ends it: by "quit" in its monitor, by a signal, or, with -incoming defer, by "exit" in the middle of it
# Its guest has a serial port: what that says goes to $serial, what the guest is to read to file descriptor 8.
# shellcheck source=tests/clients/guest/client.sh
. /t/client.sh

work=/tmp/qemu
said=$work/said
serial=$work/serial

x86="qemu-system-x86_64 -accel tcg"
# The capabilities are those that TCG does not have.
pseries="qemu-system-ppc64 -accel tcg -M pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off,cap-fwnmi=off"
viommu="-device intel-iommu,intremap=on,caching-mode=on"
nic=$(devices 8086:100e)
disk=$(devices 1b36:0010)
edu=$(devices 1234:11e8 | head -n 1)
netboot="-device vfio-pci,host=$nic,romfile=pxe-e1000.rom,bootindex=2"

# The NIC cannot be reset from outside, and its own CTRL.RST does nothing in QEMU: who had it last may have left it receiving, by
# descriptors in what is the next one's memory by then. So RCTL and TCTL are cleared, after memory is switched on in PCI_COMMAND.
stop_nic() {
	local at=/sys/bus/pci/devices/$nic bar
	read -r bar _ <"$at/resource"
	printf '\002' | dd of="$at/config" bs=1 seek=4 conv=notrunc 2>/dev/null
	devmem $((bar + 0x100)) 32 0
	devmem $((bar + 0x400)) 32 0
	[ "$(devmem $((bar + 0x100)) 32)" = 0x00000000 ] || bail "the NIC cannot be stopped"
}

qemu_start() {
	stop_nic
	rm -rf $work
	(umask 0 && mkdir $work && mkfifo $serial.in $serial.out && : >$serial)
	cat $serial.out >>$serial &
	start $said "$@" -nodefaults -no-user-config -display none -vga none -chardev pipe,id=serial,path=$serial \
		-serial chardev:serial -qmp stdio
	exec 8<>$serial.in
	ask qmp_capabilities >/dev/null
}

# ask COMMAND [ARGUMENTS]: a command in QEMU's machine protocol; prints the answer.
ask() {
	local before
	before=$(answers)
	tell "{\"execute\":\"$1\",\"arguments\":{${2-}}}"
	shows 60 answers_above "$before" && grep -E "$answer" $said | tail -n 1
}
answer='^\{"(return|error)"'
answers() { grep -cE "$answer" $said; }
answers_above() { [ "$(answers)" -gt "$1" ]; }

monitor() { ask human-monitor-command "\"command-line\":\"$*\""; }

# on_serial REGEX: the guest has said so.
on_serial() { grep -aqE "$1" $serial; }

# Hundredths of a second.
now() { cut -d' ' -f1 /proc/uptime | tr -d .; }

# qemu_end HOW: returns its exit status; $back is how many ms it took until nothing was pinned, "more than 10000" at most.
qemu_end() {
	local start
	start=$(now)
	case $1 in
	quit) tell '{"execute":"quit"}' ;;
	exit) tell '{"execute":"migrate-incoming","arguments":{"uri":"exec:echo nothing"}}' ;;
	*) kill -"$1" "$client" ;;
	esac
	back="more than 10000"
	until [ "$back" != "more than 10000" ] || [ $(($(now) - start)) -gt 1000 ]; do
		! nothing_pinned || back=$(($(now) - start))0
	done
	# shellcheck disable=SC2119 # it has got its signal
	end
}

# as_user MIB COMMAND…: as an ordinary user who may lock MIB of memory.
as_user() {
	chmod 666 /dev/null /dev/vfio/*
	ulimit -l $(($1 * 1024))
	shift
	exec /usr/bin/setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}

# show: the end of what QEMU and its guest said, as diagnostics.
show() {
	tail -n 20 $said | note
	tr -d '\r' <$serial | sed 's/\x1b\[[0-9;?]*[a-zA-Z]//g' | grep -a . | tail -n 25 | note
}
