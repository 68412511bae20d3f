# SPDX-License-Identifier: MIT
# Shared by the scripts beside it: where things are, and one line on the terminal for each step.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tethys
build=$top/build
# Installed, these scripts are where nobody may write.
[ -e "$top/meson.build" ] || build=$cache/build
jobs=$(nproc)
mkdir -p "$build"

# Networks and photos with known answers, where a developer has them; tests skip without.
if [ -z "${TETHYS_MODELS:-}" ] && [ -e "$top/../shared/models/expected.json" ]; then
	TETHYS_MODELS=$(cd "$top/../shared/models" && pwd -P)
	export TETHYS_MODELS
fi
# Real logs with known classes, likewise; the doctor's tests have some of their own.
if [ -z "${TETHYS_LOGS:-}" ] && [ -d "$top/../shared/facts/logs" ]; then
	TETHYS_LOGS=$(cd "$top/../shared/facts/logs" && pwd -P)
	export TETHYS_LOGS
fi

# Meson targets that users get. The static program is one where the static libraries are.
targets()
{
	echo tethys axruntime tethys-lab-agent
	! grep -q '^build doctor/tethys-doctor:' "$build/release/build.ninja" || echo tethys-doctor
}

# TETHYS_QUIET: only what failed.
say() { [ -n "${TETHYS_QUIET:-}" ] || printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# While a step runs on a terminal: its name, seconds so far and the last line of its log.
step_watch()
{
	local name=$1 log=$2 from=$SECONDS last
	while sleep 1; do
		last=$(tail -c 300 "$log" 2>/dev/null | tr '\r' '\n' | tail -n 1 | cut -c 1-50)
		printf '\r\033[K  %-44s %4d s  %s' "$name" $((SECONDS - from)) "$last"
	done
}

# step NAME LOG COMMAND...: runs the command with its output in build/LOG.log. Says how long it
# took, and shows the end of the log when it failed. Not for "if" or "||": there bash would ignore
# what fails inside a COMMAND that is a function.
step()
{
	local name=$1 log=$build/$2.log from=$SECONDS status=0 watch=
	shift 2
	: >"$log"
	if [ -t 1 ] && [ -z "${TETHYS_QUIET:-}" ]; then
		step_watch "$name" "$log" &
		watch=$!
	fi
	set +e
	(set -e; "$@") >"$log" 2>&1 </dev/null
	status=$?
	set -e
	if [ -n "$watch" ]; then
		kill "$watch" 2>/dev/null || :
		wait "$watch" 2>/dev/null || :
		printf '\r\033[K'
	fi
	if [ $status = 0 ]; then
		say "$(printf '  %-44s %4d s' "$name" $((SECONDS - from)))"
	else
		printf '  %-44s %4d s  FAILED\n' "$name" $((SECONDS - from))
		tail -n "${step_tail:-25}" "$log" | sed 's/^/    | /'
		printf '    the whole log: %s\n' "${log#"$top"/}"
	fi
	return $status
}
