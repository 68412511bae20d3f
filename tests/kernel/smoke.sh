#!/bin/sh
# SPDX-License-Identifier: MIT
# The programs that test a driver, without one: they start, explain themselves, and say clearly that
# there is no card. TAP on stdout.
#	smoke.sh METIS-ABI-TEST METIS-FUZZ METIS-TRANSFERS METIS-LOAD-LOOP METIS-ACCESSES
set -u

abi=$1 fuzz=$2 transfers=$3 loop=$4 accesses=$5
count=0 failed=0

# expect NAME CODE TEXT COMMAND...: its exit code, and a line of output that has the text.
expect()
{
	name=$1 code=$2 text=$3
	shift 3
	output=$("$@" 2>&1 </dev/null)
	status=$?
	count=$((count + 1))
	case $status:$output in
	$code:*"$text"*) echo "ok $count - $name" ;;
	*)
		failed=1
		echo "not ok $count - $name"
		echo "exit $status: $output" | head -n 20 | sed 's/^/# /'
		;;
	esac
}

same_twice()
{
	[ "$("$fuzz" --seed 7 --dry-run 200)" = "$("$fuzz" --seed 7 --dry-run 200)" ] &&
		[ "$("$fuzz" --seed 7 --dry-run 5)" != "$("$fuzz" --seed 8 --dry-run 5)" ] && echo same
}

expect "abi: --list" 0 memory_scattered "$abi" --list
expect "abi: --help has examples" 0 examples: "$abi" --help
expect "abi: an unknown test" 2 'no test "nonsense"' "$abi" nonsense
expect "abi: a device that isn't there" 2 "Bail out! /dev/null/metis" "$abi" --device /dev/null/metis
expect "fuzz: --help has examples" 0 examples: "$fuzz" --help
expect "fuzz: a device that isn't there" 2 "Bail out! " "$fuzz" --device /dev/null/metis
expect "fuzz: the seed decides" 0 same same_twice
expect "transfers: --help has an example" 0 example: "$transfers" --help
expect "transfers: a device that isn't there" 2 /dev/null/metis "$transfers" --device /dev/null/metis
expect "accesses: --help has an example" 0 example: "$accesses" --help
expect "accesses: without pages" 2 "--pages and --bytes" "$accesses" --bytes 1
expect "accesses: a device that isn't there" 2 /dev/null/metis \
	"$accesses" --pages 4k --bytes 1 --device /dev/null/metis
expect "load loop: -h has examples" 0 examples: "$loop" -h
expect "load loop: without a number" 2 usage: "$loop"
if ! ls /dev/metis-* >/dev/null 2>&1; then
	expect "abi: no device at all" 2 "Bail out! no /dev/metis-*" "$abi"
	expect "fuzz: no device at all" 2 "Bail out! no /dev/metis-*" "$fuzz"
	expect "transfers: no device at all" 2 "no /dev/metis-*" "$transfers"
	expect "accesses: no device at all" 2 "no /dev/metis-*" "$accesses" --pages 4k --bytes 1
fi
echo "1..$count"
exit $failed
