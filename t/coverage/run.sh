#!/bin/bash
#
# Which lines and branches of src/ the tests run; `make coverage` calls it.
#
#	t/coverage/run.sh [TEST...]
#
# Builds a copy of the tree with gcov's counters (module, commands and unit
# programs from the same objects), runs the tests with it, and prints the
# figures of each room. With all tests it fails when that is too little: see
# t/coverage/report. COVERAGE_SAVE=FILE keeps what was counted, so that
# COVERAGE_ADD='FILE...' of a run with another PostgreSQL can be added.
#
# What a signal kills writes no counters, and the server's own _exit is not ours.

set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/walarch-coverage.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
chmod 0755 "$work"
save=${COVERAGE_SAVE:+$(readlink -f "$COVERAGE_SAVE")}
add=()
for file in ${COVERAGE_ADD:-}; do add+=("$(readlink -e "$file")") || { echo "no such file: $file" >&2; exit 2; }; done

mkdir "$work/tree"
mkdir -m 1777 "$work/counts"
tar -C "$here" --exclude=./.git --exclude=./build --exclude='*.o' --exclude='*.so' \
	--exclude=./walarch --exclude=./walarch-recovery -cf - . |
	tar -C "$work/tree" --no-same-owner -xf -
cd "$work/tree"
gcc -O1 -Wall -Wextra -fPIC -c t/coverage/exit.c -o t/coverage/exit.o
make -s -j"$(nproc)" all unit-programs CC=gcc CFLAGS="-O0 -g --coverage -fPIC" \
	UNIT_CFLAGS="-O0 -g --coverage" LDFLAGS="--coverage $PWD/t/coverage/exit.o" \
	SHLIB_LINK="-lzstd -lxxhash -lpthread --coverage"

# Some tests, with counters of their own: whatever spoils a file of counters
# costs what its group has counted only.
run_group() {
	local group=$1
	shift

	mkdir -m 1777 "$work/counts/$group"
	GCOV_PREFIX=$work/counts/$group t/run.sh "$@" || status=$?
	cp -a "$work/counts/$group$work/tree/." .
	perl t/coverage/report --save "$work/$group.json" >/dev/null
	rm -rf "$work/counts/$group"
	find . -name '*.gcda' -delete
}

# Not the house rules: a module with counters exports more.
status=0
demand=
if [ $# -gt 0 ]; then
	run_group chosen "$@"
else
	# incremental backups are of PostgreSQL 17 and later, as is their test
	major=$("${PG_CONFIG:-pg_config}" --version | sed -n 's/^[^0-9]*\([0-9]*\).*/\1/p')
	demand=95
	if [ "$major" -lt 17 ] && [ ${#add[@]} = 0 ]; then demand=93; fi
	run_group unit t/unit/*.c
	run_group servers sql/*.sql t/0[1-8]*.pl
	run_group faults t/09*.pl
fi
perl t/coverage/report ${save:+--save "$save"} ${demand:+--demand $demand} \
	"$work"/*.json "${add[@]}" || status=$?
exit "$status"
