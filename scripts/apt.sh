# SPDX-License-Identifier: MIT
# Sourced by make-root: an apt of our own below the cache, for packages of one Debian release. It
# needs no privileges, as it only resolves and downloads. Needs lib.sh.
# shellcheck shell=bash

release=trixie
arch=$(dpkg --print-architecture)
apt=$cache/apt
# Lists younger than this are not asked for again.
fresh_min=30

# The sources of the machine's own apt, asked of apt itself as it knows every format. Of a Debian
# machine they are moved to our release; where there are none, the project's default host.
sources()
{
	local here uri suite found=
	here=$(. /etc/os-release; [ "$ID" != debian ] || echo "${VERSION_CODENAME:-sid}")
	while read -r uri suite; do
		case $suite in
		"$here" | stable | testing | unstable | sid) found=1; echo "$uri $release main" ;;
		"$here-updates" | stable-updates) echo "$uri $release-updates main" ;;
		"$here-security" | stable-security) echo "$uri $release-security main" ;;
		esac
	done < <([ -z "$here" ] || apt-get update --print-uris 2>/dev/null |
		sed -n "s|^'\(.*\)/dists/\(.*\)/InRelease'.*|\1 \2|p" | sort -u)
	[ -n "$found" ] || echo "http://deb.debian.org/debian $release main"
}

write_apt_config()
{
	local keys=/usr/share/keyrings/debian-archive-keyring.gpg list
	[ -e $keys ] || die "$keys is missing: install the package debian-archive-keyring"
	list=$(sources)
	mkdir -p "$apt/lists/partial" "$apt/archives/partial"
	: >"$apt/status"
	# QEMU's vfio-user device needs 10.1 or newer; backports have it.
	list+=$'\n'$(printf '%s\n' "$list" |
		sed -n "s/ $release main\$/ $release-backports main/p;T;q")
	printf '%s\n' "$list" | sed "s|^|deb [arch=$arch signed-by=$keys] |" >"$apt/sources.new"
	cmp -s "$apt/sources.new" "$apt/sources.list" || rm -f "$apt/fresh"
	mv "$apt/sources.new" "$apt/sources.list"
	printf 'Package: qemu-* seabios\nPin: release n=%s-backports\nPin-Priority: 990\n' \
		$release >"$apt/preferences"
}

# The machine's apt configuration still counts (proxies), its state doesn't.
apt()
{
	local program=$1
	shift
	"$program" -o Dir::State="$apt" -o Dir::State::status="$apt/status" \
		-o Dir::Cache="$apt" -o Dir::Etc::sourcelist="$apt/sources.list" \
		-o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferences="$apt/preferences" \
		-o Dir::Etc::preferencesparts=/dev/null -o APT::Sandbox::User= \
		-o APT::Architecture="$arch" -o APT::Architectures="$arch" \
		-o APT::Install-Recommends=false -o APT::Get::List-Cleanup=true \
		-o Acquire::Languages=none -o Acquire::Retries=3 -o Debug::NoLocking=true "$@"
}

have_fresh_lists() { [ -n "$(find "$apt/fresh" -mmin "-$fresh_min" 2>/dev/null)" ]; }

update_lists()
{
	rm -f "$apt/fresh"
	apt apt-get update -o APT::Update::Error-Mode=any
	: >"$apt/fresh"
}

# archives_of COMMAND...: the files that an apt-get would fetch, and their sizes. Into an empty
# cache: of those that are there already it says nothing.
archives_of()
{
	mkdir -p "$apt/empty/partial"
	(cd "$apt/empty" &&
		apt apt-get -o Dir::Cache::archives="$apt/empty" --print-uris -y "$@") |
		sed -n "s/^'[^']*' \([^ ]* [0-9]*\).*/\1/p"
}

# The kernel image that a metapackage depends on today. Never a pattern: those match debug images.
kernel_meant_by()
{
	apt apt-cache depends "$1" | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1
}
