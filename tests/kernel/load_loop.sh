#!/bin/sh
# SPDX-License-Identifier: MIT
# Loads and unloads the driver many times with transfers running. KTAP on stdout; for a POSIX shell,
# busybox's included. Needs root, a card, and nobody else who uses it.
set -u

usage()
{
	cat <<END
usage: metis-load-loop [OPTION]... N
Loads tethys_metis N times, lets programs transfer, and takes it away from under them: by unbind with
their files open, by killing them, in turns. Then unloads it.

  -m FILE   the module, default tethys_metis (by modprobe)
  -t FILE   metis-transfers, default: from PATH
  -k BYTES  how much the slabs may grow from a tenth of the turns to the end, default 4 MiB
  -h

Exit code: 0 all well, 1 something failed, 2 usage, or no card (Bail out!).

examples:
  metis-load-loop 200
  metis-load-loop -m /lab/modules/tethys_metis.ko -t /lab/metis-transfers 20
END
}

module=tethys_metis transfers=metis-transfers slack=4194304
while getopts m:t:k:h option; do
	case $option in
	m) module=$OPTARG ;;
	t) transfers=$OPTARG ;;
	k) slack=$OPTARG ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
done
shift $((OPTIND - 1))
case ${1:-} in
'' | *[!0-9]* | 0) usage >&2; exit 2 ;;
esac
turns=$1
warm=$(((turns + 9) / 10))
driver=/sys/bus/pci/drivers/tethys_metis
running='' failed=0

bail_out() { echo "Bail out! $*"; stop_all; exit 2; }
note() { echo "# turn $turn: $*"; }

# What went wrong in this turn; the loop goes on to the next kind of check, not to the next turn.
wrong() { note "$*"; failed=$((failed + 1)); }

# wait_until SECONDS COMMAND...: within that time.
wait_until()
{
	tries=$(($1 * 10))
	shift
	while ! "$@"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.1
	done
}

node() { set -- /dev/metis-*; [ -c "$1" ] && echo "$1"; }
has_node() { node >/dev/null; }
has_no_node() { ! has_node; }
card() { for each in "$driver"/0*; do [ -e "$each" ] && echo "${each##*/}" && return; done; return 1; }
gone() { ! kill -0 "$1" 2>/dev/null; }

load()
{
	case $module in
	*/*) insmod "$module" ;;
	*) modprobe "$module" ;;
	esac
}

# --- programs ---

start() { "$transfers" "$@" >/dev/null 2>"$errors" & running="$running $!"; }

# Programs must end within 10 s of being told to; with what, is told of.
stop_all()
{
	signal=${1:-TERM}
	for pid in $running; do
		kill -"$signal" "$pid" 2>/dev/null
	done
	for pid in $running; do
		(sleep 10; kill -9 "$pid") >/dev/null 2>&1 &
		guard=$!
		wait "$pid"
		status=$?
		kill $guard 2>/dev/null
		wait $guard 2>/dev/null
		[ "$signal" = KILL ] || [ $status = 0 ] || wrong "transfers ended with $status: $(cat "$errors")"
	done
	running=''
}

# --- what is left behind ---

slab() { while read -r key value _; do [ "$key" = Slab: ] && echo $((value * 1024)); done </proc/meminfo; }

pinned()
{
	acquired=0 released=0
	while read -r key value; do
		case $key in
		nr_foll_pin_acquired) acquired=$value ;;
		nr_foll_pin_released) released=$value ;;
		esac
	done </proc/vmstat
	echo $((acquired - released))
}

pins_are_back() { [ "$(pinned)" = "$pins_before" ]; }

mark() { mark="metis-load-loop $$ turn $1"; echo "$mark" >/dev/kmsg; }

# Lines of the kernel since the mark (all, when that is no longer there) that no healthy driver causes.
kernel_complaints()
{
	dmesg >"$log"
	! grep -q "$mark\$" "$log" || sed -i "1,/$mark\$/d" "$log"
	grep -E 'WARNING|BUG|KASAN|UBSAN|possible |lockdep|DMA-API|leak|Oops|Call Trace|refcount_t|blocked for more' "$log" |
		head -n 5
}

# --- one turn ---

# The card goes while files are open; they stay open, and a new binding works beside them.
turn_unbind()
{
	start --threads 4 --hold
	sleep "0.$((turn % 7 + 1))"
	where=$(card) || { wrong "no card is bound"; return; }
	! rmmod tethys_metis 2>/dev/null || wrong "unloaded with open files"
	echo "$where" >"$driver/unbind" || wrong "unbind"
	wait_until 5 has_no_node || wrong "the node stays after unbind"
	! rmmod tethys_metis 2>/dev/null || wrong "unloaded with open files after unbind"
	echo "$where" >"$driver/bind" || wrong "bind"
	wait_until 5 has_node || wrong "no node after bind"
	start --threads 2
	sleep 0.3
	stop_all
}

turn_kill()
{
	start --threads 4
	start --threads 2 --bytes 40000000
	sleep "0.$((turn % 5 + 2))"
	stop_all KILL
}

turn_reset()
{
	start --threads 4 --hold
	where=$(card) || { wrong "no card is bound"; return; }
	sleep 0.2
	if [ -e "$driver/$where/reset" ]; then
		echo 1 >"$driver/$where/reset" || wrong "reset"
	fi
	sleep 0.2
	stop_all
}

one_turn()
{
	mark "$turn"
	load || { wrong "cannot be loaded"; return; }
	wait_until 5 has_node || { wrong "no node"; rmmod tethys_metis; return; }
	case $((turn % 3)) in
	0) turn_kill ;;
	1) turn_unbind ;;
	2) turn_reset ;;
	esac
	wait_until 5 rmmod tethys_metis 2>/dev/null || wrong "cannot be unloaded"
	! has_node || wrong "a node is left"
	complaints=$(kernel_complaints)
	[ -z "$complaints" ] || wrong "kernel: $complaints"
}

# result NUMBER NAME CONDITION...
result()
{
	number=$1 name=$2
	shift 2
	if "$@"; then
		echo "ok $number $name"
	else
		echo "not ok $number $name"
		all_well=1
	fi
}

echo "KTAP version 1"
[ -e /sys/bus/pci/devices ] || bail_out "no PCI"
found=''
for each in /sys/bus/pci/devices/*; do
	read -r vendor <"$each/vendor"
	[ "$vendor" = 0x1f9d ] && found=$each
done
[ -n "$found" ] || bail_out "no card (vendor 1f9d)"
command -v "$transfers" >/dev/null || bail_out "no $transfers; see -t"
[ ! -e "$driver" ] || bail_out "tethys_metis is loaded already"
turn=0
errors=$(mktemp) && log=$(mktemp) || bail_out "no temporary file"
trap 'stop_all KILL; rm -f "$errors" "$log"' EXIT
trap 'exit 1' INT TERM
echo 1..3
pins_before=$(pinned)
slab_before=$(slab)
while [ $turn -lt "$turns" ]; do
	turn=$((turn + 1))
	one_turn
	[ $turn != "$warm" ] || slab_before=$(slab)
	[ $failed -lt 20 ] || { note "given up"; break; }
done
slab_after=$(slab)
echo "# $turn turns; slabs $slab_before to $slab_after bytes; pinned pages $pins_before to $(pinned)"
all_well=0
result 1 "loads and unloads with transfers running" [ $failed = 0 ]
result 2 "no page stays pinned" wait_until 5 pins_are_back
result 3 "the slabs don't grow" [ $((slab_after - slab_before)) -le "$slack" ]
exit $all_well
