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

# Not the house rules: a module with counters exports more.
demand=
[ $# -gt 0 ] || { demand=95; set -- t/unit/*.c sql/*.sql t/0[!0]*.pl; }
status=0
GCOV_PREFIX=$work/counts t/run.sh "$@" || status=$?
cp -a "$work/counts$work/tree/." .
perl t/coverage/report ${COVERAGE_SAVE:+--save "$COVERAGE_SAVE"} ${demand:+--demand $demand} \
	${COVERAGE_ADD:-} || status=$?
exit "$status"
