#!/bin/bash
#
# `make bench`: walarch beside what one would use otherwise; see README.md in
# this directory for the options, which come by the environment.
#
# Everything lives in one temporary directory (TMPDIR, needs about 20 GB) and
# is removed at the end, however that comes; KEEP=1 keeps it. Started as root it
# runs the servers as an unprivileged user.

set -eu
set -m							# a process group for the work, to stop it whole
umask 022

here=$(cd "$(dirname "$0")/.." && pwd)
. "$here/t/lib/tree.sh"

work=
child=
pin=

finish() {
	trap '' INT TERM
	[ -z "$child" ] || { kill -TERM -- "-$child"; wait "$child"; } 2>/dev/null || :
	[ -z "$pin" ] || kill "$pin" 2>/dev/null || :
	[ -n "$work" ] || return 0
	tree_stop_servers "$work"
	[ "${KEEP:-0}" = 1 ] || rm -rf --one-file-system "$work"
}

compile() {
	local warnings="-O2 -Wall -Wextra -Werror -D_GNU_SOURCE"

	cc $warnings -o "$work/bin/pin" "$here/bench/pin.c"
	cc $warnings -o "$work/bin/each" "$here/bench/each.c"
	cc $warnings -o "$work/bin/limit" "$here/bench/limit.c" -lzstd -lpthread
}

# Two thirds of the memory, unless PIN (in MB) says otherwise.
pin_memory() {
	local mb=${PIN:-$(awk '/^MemTotal/ { print int($2 / 1024 * 2 / 3) }' /proc/meminfo)}

	[ "$mb" -gt 0 ] || return 0
	echo "pinning $mb MB of memory" >&2
	"$work/bin/pin" "$mb" >"$work/pinned" &
	pin=$!
	until grep -q pinned "$work/pinned"; do
		kill -0 "$pin" || { echo "could not pin memory; try PIN=0" >&2; exit 1; }
		sleep 0.2
	done
}

main() {
	local user free status=0

	user=$(tree_user)
	work=$(mktemp -d "${TMPDIR:-/tmp}/walarch.XXXXXX")
	trap finish EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	chmod 0755 "$work"
	free=$(df -Pm "$work" | awk 'END { print $4 }')
	[ "$free" -ge "${SPACE_MB:-25000}" ] || {
		echo "$work has $free MB free, 25000 are needed: set TMPDIR, or SEGMENTS and SPACE_MB" >&2
		exit 1
	}
	mkdir "$work/bin" "$work/run" "$work/lib"
	tree_make "$work/inst" "$here"
	compile
	cp "$here"/bench/*.p[lm] "$work/lib"
	[ "$(id -u)" != 0 ] || chown "$user:" "$work/run"
	pin_memory
	mkdir -p "${RESULTS:=$here/bench/results}"

	cd "$work/run"
	export LANG=C.UTF-8 LC_ALL=C.UTF-8 TMPDIR=$work/run
	export BENCH_BIN=$work/bin BENCH_VERSION
	BENCH_VERSION=$(git -C "$here" describe --always --dirty 2>/dev/null || echo unknown)
	PATH=$tree_bin:$PATH tree_as "$user" perl -I "$work/lib" "$work/lib/bench.pl" </dev/null &
	child=$!
	wait "$child" || status=$?
	child=
	for file in "$work"/run/walarch-{bench.json,drain.svg,recovery.svg}; do
		[ ! -e "$file" ] || cp "$file" "$RESULTS"
	done
	[ "$status" != 0 ] || echo "results are in $RESULTS" >&2
	return "$status"
}

main
