# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Sourced: a private apt under build/cache/apt, made from the system's own Debian sources and
# network settings, so that kernels can be looked up and downloaded without touching the host's
# apt state. Works as any user.
#
#   apt_private_setup RELEASE   write the configuration and export APT_CONFIG
#   apt_private_update          refresh the lists, at most once a day; returns 1 if no mirror answered

apt_private_setup() {
	local release=$1
	APTDIR=$CACHE/apt-$release
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
			APT::Architectures { "amd64"; };
			APT::Sandbox::User "root";
		CONF
		# The site's proxy, retry and validity settings, but none of its hooks.
		env -u APT_CONFIG apt-config dump Acquire |
			grep -E '^Acquire::(Retries|Check-|Max-|Min-|https?::|tor::)' || :
	} >"$APTDIR/apt.conf"
	export APT_CONFIG=$APTDIR/apt.conf
}

# debian_sources RELEASE: copies the entries for RELEASE (and its -updates and -security), both
# in the one-line and in the stanza format, into the private sources directory.
debian_sources() {
	local release=$1
	rm -f "$APTDIR"/sources/*
	find /etc/apt/sources.list /etc/apt/sources.list.d -maxdepth 1 -name '*.list' -exec cat {} + 2>/dev/null |
		awk -v r="$release" '
			$1 == "deb" {
				i = 2
				if ($i ~ /^\[/) { while (i <= NF && $i !~ /\]$/) i++; i++ }
				if ($i ~ /^cdrom:/) next
				suite = $(i + 1); sub(/\/updates$/, "-security", suite)
				if (suite != r && suite != r "-updates" && suite != r "-security") next
				for (c = i + 2; c <= NF && $c !~ /^#/; c++) if ($c == "main") { print; next }
			}' >"$APTDIR/sources/debian.list"
	find /etc/apt/sources.list.d -maxdepth 1 -name '*.sources' -exec sh -c 'cat "$1"; echo' _ {} \; 2>/dev/null |
		awk -v r="$release" '
			function flush() { if (deb && suite && main) print text; text = ""; deb = suite = main = 0 }
			/^#/ { next }
			/^[ \t]*$/ { flush(); next }
			{ text = text $0 "\n" }
			/^Types:/ { for (i = 2; i <= NF; i++) if ($i == "deb") deb = 1 }
			/^Components:/ { for (i = 2; i <= NF; i++) if ($i == "main") main = 1 }
			/^Suites:/ {
				for (i = 2; i <= NF; i++)
					if ($i == r || $i == r "-updates" || $i == r "-security") suite = 1
			}
			END { flush() }' >"$APTDIR/sources/debian.sources"
	[ -s "$APTDIR/sources/debian.list" ] || [ -s "$APTDIR/sources/debian.sources" ] ||
		die "/etc/apt names no Debian source for $release; add one (for example the lines of a fresh Debian 12) and run this again."
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
