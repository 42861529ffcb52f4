#!/bin/bash
#
# Run fuzz targets that were built; `make fuzz` calls it.
#
#	t/fuzz/run.sh DIRECTORY TARGET...	DIRECTORY has the programs
#
# FUZZ_SECONDS=N each (20), JOBS=N at a time (2). Each works on a copy of its
# corpus, so that the tree stays clean; KEEP=DIR adds to DIR/TARGET what reaches
# something new. Prints a line a target. An input that breaks something is left in
# DIRECTORY/findings, and the exit status is not zero.

set -eu

here=$(cd "$(dirname "$0")" && pwd)
programs=$(cd "$1" && pwd)		# targets change their working directory
shift
findings=$programs/findings
work=$(mktemp -d "${TMPDIR:-/tmp}/walarch-fuzz.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# Freed memory that ASAN holds back would count as the target's.
export ASAN_OPTIONS=quarantine_size_mb=8:allocator_may_return_null=1:detect_stack_use_after_return=0
export UBSAN_OPTIONS=print_stacktrace=1
export TZ=UTC LC_ALL=C.UTF-8
unset WALARCH_ARCHIVE

# A number from libFuzzer's own last lines.
stat_of() { sed -n "s/^stat::$1: *//p" "$2" | tail -n 1; }

# Limits that hold where a target has none of its own: texts have at most 1 MB,
# and are copied once.
run_one() {
	local name=$1 own dict=$here/dict/$1.dict log=$work/$1.log status=0 edges found

	own=$(sed -n 's/^.*libFuzzer: \(-[^*]*\).*$/\1/p' "$here/$name.c")
	mkdir -p "$work/$name/corpus" "$work/$name/tmp" "$findings"
	cp "$here/corpus/$name/"* "$work/$name/corpus/" 2>/dev/null || :
	if [ -n "${KEEP:-}" ]; then
		mkdir -p "$KEEP/$name"
		cp "$KEEP/$name/"* "$work/$name/corpus/" 2>/dev/null || :
	fi
	[ -e "$dict" ] && dict=-dict=$dict || dict=
	TMPDIR=$work/$name/tmp "$programs/$name" \
		-malloc_limit_mb=3 -rss_limit_mb=256 -timeout=10 -print_final_stats=1 \
		-max_total_time="${FUZZ_SECONDS:-20}" -artifact_prefix="$findings/$name-" \
		$own $dict "$work/$name/corpus" >"$log" 2>&1 || status=$?
	[ -z "${KEEP:-}" ] || cp "$work/$name/corpus/"* "$KEEP/$name/"
	edges=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
	found=$(find "$findings" -name "$name-*" -newer "$work/begun" | wc -l)
	printf '%-14s %9s runs %7s/s %5s edges %4s MB %2s findings\n' "$name" \
		"$(stat_of number_of_executed_units "$log")" \
		"$(stat_of average_exec_per_sec "$log")" "${edges:-0}" \
		"$(stat_of peak_rss_mb "$log")" "$found"
	[ "$status" != 0 ] || return 0
	{ echo "--- $name"; grep -vE '^(#|INFO|stat::)' "$log" | head -n 40 || :; } >&2
	return 1
}

touch "$work/begun"
running=0
failed=0
for name in "$@"; do
	if [ "$running" -ge "${JOBS:-2}" ]; then
		wait -n || failed=1
		running=$((running - 1))
	fi
	run_one "$name" &
	running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
	wait -n || failed=1
	running=$((running - 1))
done
[ "$failed" = 0 ] || echo "what was found lies in $findings" >&2
exit "$failed"
