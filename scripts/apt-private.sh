# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Sourced: a private apt under build/cache/apt-RELEASE[-ARCH], made from the system's own Debian sources and
# network settings, so that packages can be looked up and downloaded without touching the host's
# apt state. Works as any user.
#
#   apt_private_setup RELEASE [ARCH]   write the configuration and export APT_CONFIG; packages of ARCH are
#                                      PACKAGE:ARCH, those of amd64 are there as well. Each ARCH has lists of
#                                      its own: mirrors are updated one architecture after the other
#   apt_private_update                 refresh the lists, at most once a day; returns 1 if no mirror answered
#   tries COMMAND…                     calls COMMAND until it succeeds, four times at most within two minutes, each time with new
#                                      lists: a mirror that does not answer or is between two updates often is there again then
#   apt_private_download DIR LOG PACKAGE…
#                                      leaves the packages' archives in DIR, in any version; what apt says goes to LOG
#   depends PACKAGE                    what it depends on, one "NAME (RELATION VERSION)" a line

apt_private_setup() {
	local release=$1 arch=${2-amd64} archs='"amd64";'
	APTDIR=$CACHE/apt-$release
	if [ "$arch" != amd64 ]; then
		APTDIR=$APTDIR-$arch
		archs="$archs \"$arch\";"
	fi
	mkdir -p "$APTDIR/lists/partial" "$APTDIR/cache/archives/partial" "$APTDIR/sources"
	debian_sources "$release"
	{
		cat <<-CONF
			Dir::State "$APTDIR/";
			Dir::State::Lists "$APTDIR/lists/";
			Dir::State::status "/dev/null";
			Dir::Cache "$APTDIR/cache/";
			Dir::Etc::SourceList "/dev/null";
			Dir::Etc::SourceParts "$APTDIR/sources/";
			Dir::Etc::Preferences "/dev/null";
			Dir::Etc::PreferencesParts "/dev/null";
			Dir::Etc::Main "/dev/null";
			Dir::Etc::Parts "/dev/null";
			Acquire::Languages "none";
			APT::Architecture "amd64";
			APT::Architectures { $archs };
			APT::Sandbox::User "root";
		CONF
		# The site's proxy, retry and validity settings, but none of its hooks.
		env -u APT_CONFIG apt-config dump Acquire |
			grep -E '^Acquire::(Retries|Check-|Max-|Min-|https?::|tor::)' || :
	} >"$APTDIR/apt.conf"
	export APT_CONFIG=$APTDIR/apt.conf
}

# debian_sources RELEASE: the system's entries for RELEASE (and its -updates and -security) into the
# private sources directory. What the system does not name lies beside what it does: backports beside their
# release, sid beside the system's own.
debian_sources() {
	local release=$1 beside
	rm -f "$APTDIR"/sources/*
	copy_entries "$release" "$release $release-updates $release-security"
	if ! have_sources; then
		case $release in
		*-backports) beside=${release%-backports} ;;
		*) beside=$(own_release) ;;
		esac
		copy_entries "$release" "$beside"
	fi
	have_sources ||
		die "/etc/apt names no Debian source for $release; add one (for example the lines of a fresh Debian 12) and run this again."
}

have_sources() { [ -s "$APTDIR/sources/debian.list" ] || [ -s "$APTDIR/sources/debian.sources" ]; }

# copy_entries RELEASE SUITES: the system's entries for one of SUITES, in the one-line and in the stanza
# format, for any architecture. Where RELEASE is none of SUITES it takes their place.
copy_entries() {
	local release=$1 suites=" $2 " as=
	[[ $suites == *" $release "* ]] || as=$release
	find /etc/apt/sources.list /etc/apt/sources.list.d -maxdepth 1 -name '*.list' -exec cat {} + 2>/dev/null |
		awk -v suites="$suites" -v as="$as" '
			$1 == "deb" {
				i = 2
				if ($i ~ /^\[/) {
					while (i <= NF && $i !~ /\]$/) i++
					i++
					sub(/arch[-+]?=[^] ]*/, "")
				}
				if ($i ~ /^cdrom:/) next
				suite = $(i + 1); sub(/\/updates$/, "-security", suite)
				if (!index(suites, " " suite " ")) next
				if (as) $(i + 1) = as
				for (c = i + 2; c <= NF && $c !~ /^#/; c++) if ($c == "main") { print; next }
			}' >"$APTDIR/sources/debian.list"
	find /etc/apt/sources.list.d -maxdepth 1 -name '*.sources' -exec sh -c 'cat "$1"; echo' _ {} \; 2>/dev/null |
		awk -v suites="$suites" -v as="$as" '
			function flush() { if (deb && suite && main) print text; text = ""; deb = suite = main = 0 }
			/^#/ { next }
			/^[ \t]*$/ { flush(); next }
			/^Architectures[-A-Za-z]*:/ { next }
			/^Types:/ { for (i = 2; i <= NF; i++) if ($i == "deb") deb = 1 }
			/^Components:/ { for (i = 2; i <= NF; i++) if ($i == "main") main = 1 }
			/^Suites:/ {
				for (i = 2; i <= NF; i++) if (index(suites, " " $i " ")) suite = 1
				if (as) $0 = "Suites: " as
			}
			{ text = text $0 "\n" }
			END { flush() }' >"$APTDIR/sources/debian.sources"
}

apt_private_update() {
	if newer_than_a_day "$APTDIR/updated" && ls "$APTDIR"/lists/*Packages* >/dev/null 2>&1; then
		return 0
	fi
	# apt-get update is content with old lists; a mirror that did not answer shows as a W: or E: line.
	apt-get update -qq >"$APTDIR/update.log" 2>&1 || return 1
	! grep -qE '^(E:|W: Failed)' "$APTDIR/update.log" || return 1
	touch "$APTDIR/updated"
}

tries() {
	local pause
	for pause in 5 15 45; do
		! "$@" || return 0
		sleep "$pause"
		rm -f "$APTDIR/updated"
	done
	"$@"
}

# download_once DIR LOG PACKAGE…
download_once() {
	rm -f "$1"/*.deb
	# It does not matter if a part of the mirror is in the middle of an update.
	apt_private_update || :
	(cd "$1" && apt-get download -qq "${@:3}") >"$2" 2>&1
}

apt_private_download() {
	local dir=$1 log=$2
	shift 2
	tries download_once "$dir" "$log" "$@" ||
		die "$* could not be downloaded; check the network and that /etc/apt names a reachable Debian mirror (what apt said is in $log and $APTDIR/update.log)."
}

depends() { apt-cache show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Depends: //p' | sed 's/, /\n/g'; }
