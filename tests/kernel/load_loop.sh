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
running='' count=0 failed=0

bail_out() { echo "Bail out! $*"; stop_all; exit 2; }
note() { echo "# turn $turn: $*"; }

# What went wrong in this turn; the loop goes on to the next kind of check, not to the next turn.
wrong() { note "$*"; failed=$((failed + 1)); }

# wait_until SECONDS COMMAND...: within that time.
wait_until()
{
	tries=$(($1 * 20))
	shift
	while ! "$@"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.05
	done
}

node() { set -- /dev/metis-*; [ -c "$1" ] && echo "$1"; }
has_node() { node >/dev/null; }
has_no_node() { ! has_node; }
has_bytes() { [ -s "$1" ]; }
card() { for each in "$driver"/0*; do [ -e "$each" ] && echo "${each##*/}" && return; done; return 1; }

# All its threads have ended, though nobody has waited for it yet.
ended()
{
	for each in "/proc/$1/task/"*/stat; do
		read -r _ _ state _ 2>/dev/null <"$each" || continue
		[ "$state" = Z ] || return 1
	done
}

load()
{
	case $module in
	*/*) insmod "$module" ;;
	*) modprobe "$module" ;;
	esac
}

# --- programs ---

# What each says is in a file of its own: $running has process/file.
start()
{
	count=$((count + 1))
	said=$work/$count
	: >"$said"
	"$transfers" "$@" >"$said" 2>&1 &
	running="$running $!/$count"
	wait_until 10 begun "$!" "$said" || wrong "transfers don't begin within 10 s"
}

begun() { has_bytes "$2" || ended "$1"; }

where_it_hangs()
{
	for each in "/proc/$1/task/"*; do
		echo "# ${each##*/}: $(tr '\n' ' ' 2>/dev/null <"$each/stack")"
	done
}

# stop_one PROCESS/FILE SIGNAL: it must end within 10 s, and well unless it was killed.
stop_one()
{
	pid=${1%/*} said=$work/${1#*/}
	if ! wait_until 10 ended "$pid"; then
		wrong "transfers don't end within 10 s of SIG$2"
		where_it_hangs "$pid"
		kill -9 "$pid" 2>/dev/null
		wait_until 60 ended "$pid" || { running=''; bail_out "process $pid can't be killed"; }
	fi
	# The shell tells of a killed one where it is waited for.
	wait "$pid" 2>/dev/null
	status=$?
	[ "$2" = KILL ] || [ $status = 0 ] ||
		wrong "transfers ended with $status: $(tr '\n' ';' <"$said")"
	rm -f "$said"
}

stop_all()
{
	for each_one in $running; do
		kill -"${1:-TERM}" "${each_one%/*}" 2>/dev/null
	done
	for each_one in $running; do
		stop_one "$each_one" "${1:-TERM}"
	done
	running=''
}

# --- what is left behind ---

slab() { while read -r key value _; do [ "$key" = Slab: ] && echo $((value * 1024)); done </proc/meminfo; }

# Each processor counts for itself; only the writing adds that up at once.
pinned()
{
	echo 1 2>/dev/null >/proc/sys/vm/stat_refresh
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
	grep -E -e 'WARNING|BUG|KASAN|UBSAN|possible |lockdep|DMA-API|leak|Oops|Call Trace|refcount_t' \
		-e 'blocked for more|: DMA .*(timed out|aborted|the card shows)' \
		-e 'no DMA until a reset|no card after|lists can.t be fetched' "$log" | head -n 5
}

# --- one turn ---

# The card goes while files are open; they stay open, and a new binding works beside them.
turn_unbind()
{
	start --threads 4 --hold
	sleep "0.$((turn % 4 + 1))"
	where=$(card) || { wrong "no card is bound"; return; }
	! rmmod tethys_metis 2>/dev/null || wrong "unloaded with open files"
	echo "$where" >"$driver/unbind" || wrong "unbind"
	wait_until 5 has_no_node || wrong "the node stays after unbind"
	! rmmod tethys_metis 2>/dev/null || wrong "unloaded with open files after unbind"
	echo "$where" >"$driver/bind" || wrong "bind"
	wait_until 5 has_node || wrong "no node after bind"
	start --threads 2 --slot 16
	sleep 0.2
	stop_all
}

turn_kill()
{
	start --threads 4
	start --threads 2 --slot 16 --bytes 10000000
	sleep "0.$((turn % 4 + 1))"
	stop_all KILL
}

# Open files survive it, and transfers go on.
turn_reset()
{
	start --threads 4 --resets 1
	where=$(card) || { wrong "no card is bound"; return; }
	sleep "0.$((turn % 4 + 1))"
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
	[ -z "$running" ] || stop_all KILL
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
work=$(mktemp -d) || bail_out "no temporary directory"
log=$work/log
trap 'stop_all KILL; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
echo 1..3
pins_before=$(pinned)
slab_before=$(slab)
began=$(date +%s)
while [ $turn -lt "$turns" ]; do
	turn=$((turn + 1))
	one_turn
	[ $turn != "$warm" ] || slab_before=$(slab)
	[ $failed -lt 20 ] || { note "given up"; break; }
done
slab_after=$(slab)
echo "# $turn turns in $(($(date +%s) - began)) s"
echo "# slabs $slab_before to $slab_after bytes; pinned pages $pins_before to $(pinned)"
all_well=0
result 1 "loads and unloads with transfers running" [ $failed = 0 ]
result 2 "no page stays pinned" wait_until 5 pins_are_back
result 3 "the slabs don't grow" [ $((slab_after - slab_before)) -le "$slack" ]
exit $all_well
