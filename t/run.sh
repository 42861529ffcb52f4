#!/bin/bash
#
# Run the tests of a built walarch; `make test` calls it.
#
#	t/run.sh [TEST...]		t/NNN_name.pl, t/unit/name.c, sql/name.sql, or bare names
#	t/run.sh soak			only when it is asked for: t/soak/soak.pl
#
# Works in a temporary directory only: a private copy of the server with walarch
# installed, a copy of this tree, all clusters. Started as root it runs the tests
# as an unprivileged user (WALARCH_TEST_USER, postgres) and keeps a small helper
# for what only root can do. JOBS=N TAP files run at a time (2), KEEP=1 keeps the
# directory. The last line counts single assertions.

set -eu
set -m							# a process group for each step, to stop it whole
umask 022						# the test user must be able to read what root copies

here=$(cd "$(dirname "$0")/.." && pwd)
. "$here/t/lib/tree.sh"

# Mounts made for tests vanish with the last process of this run, whatever
# happens, in a mount namespace of its own.
if [ "$(id -u)" = 0 ] && [ -z "${WALARCH_OWN_MOUNTS:-}" ] && unshare --mount true 2>/dev/null; then
	WALARCH_OWN_MOUNTS=1 exec unshare --mount "$0" "$@"
fi

work=
child=
helper=
failures=0

finish() {
	trap '' INT TERM
	[ -z "$child" ] || { kill -TERM -- "-$child"; wait "$child"; } 2>/dev/null || :
	if [ -n "$helper" ]; then
		kill -TERM -- "-$helper" 2>/dev/null || :
		wait "$helper" 2>/dev/null || :
		"$here/t/lib/roothelper.sh" "$work" "$user" release || :
	fi
	[ -n "$work" ] || return 0
	tree_stop_servers "$work"
	[ -z "$helper" ] || "$here/t/lib/roothelper.sh" "$work" "$user" unmount || :
	[ "${KEEP:-0}" = 1 ] || rm -rf --one-file-system "$work"
}

# One step as the test user, able to be interrupted.
step() {
	local status=0

	tree_as "$user" "$@" </dev/null &
	child=$!
	wait "$child" || status=$?
	child=
	return "$status"
}

# The files matching a pattern that were asked for; all, if none was.
chosen() {
	local file name want

	for file in "$@"; do
		[ -e "$file" ] || continue
		name=$(basename "$file")
		if [ ${#wanted[@]} = 0 ]; then echo "$file"; continue; fi
		for want in "${wanted[@]}"; do
			case $want in "$file" | "$name" | "${name%.*}") echo "$file" ;; esac
		done
	done
}

check_wanted() {
	local want

	for want in "${wanted[@]}"; do
		[ -n "$(wanted=("$want"); chosen t/*.pl t/soak/*.pl t/unit/*.c sql/*.sql)" ] ||
			{ echo "no test is called \"$want\"" >&2; exit 2; }
	done
}

prepare() {
	local base=${TMPDIR:-/tmp}

	user=$(tree_user)
	work=$(mktemp -d "$base/walarch.XXXXXX")
	# A socket's path has 107 bytes, and PostgreSQL's tests add about 35.
	[ ${#work} -le 60 ] || { echo "TMPDIR is too long a path for sockets: $base" >&2; exit 1; }
	chmod 0755 "$work"
	[ "${KEEP:-0}" != 1 ] || echo "everything will be kept in $work"
	mkdir "$work/src" "$work/out" "$work/tap" "$work/tmp" "$work/ports" "$work/archive"
	export TMPDIR=$work/tmp WALARCH_COUNTS=$work/out/counts
	touch "$WALARCH_COUNTS"		# before the user gets it: both write there

	tree_make "$work/inst" "$here"
	tar -C "$here" --exclude=./.git --exclude=./tmp_check \
		--exclude='./build/address*' --exclude='./build/thread*' -cf - . |
		tar -C "$work/src" --no-same-owner -xf -
	if [ "$(id -u)" = 0 ]; then
		chown -R "$user:" "$work"/{src,out,tap,tmp,ports,archive}
		start_helper
	fi
	cd "$work/src"
}

start_helper() {
	"$here/t/lib/roothelper.sh" "$work" "$user" </dev/null &
	helper=$!
	while [ ! -e "$work/root/can" ] && kill -0 "$helper" 2>/dev/null; do sleep 0.1; done
	export WALARCH_ROOT_HELPER=$work/root
}

set_environment() {
	local pgxs

	pgxs=$("$pg_config" --pgxs)
	pgxs=${pgxs%/makefiles/*}
	export LANG=C.UTF-8 LC_ALL=C.UTF-8
	export PGCTLTIMEOUT=180		# as PostgreSQL::Test waits for anything
	export PATH=$tree_bin:$PATH
	export PERL5LIB=$pgxs/test/perl:$work/src/t/lib
	export PG_REGRESS=$pgxs/test/regress/pg_regress
	export PG_TEST_PORT_DIR=$work/ports
	export TESTDIR=$work/out TESTDATADIR=$work/out/tmp_check TESTLOGDIR=$work/out/tmp_check/log
	export PERL_TEST_HARNESS_DUMP_TAP=$work/tap
	export WALARCH_BIN=$tree_bin/walarch WALARCH_SO=$tree_lib/walarch.so
	step mkdir -p "$TESTLOGDIR"
}

title() { printf '\n== %s\n' "$*"; }

run_prove() {
	[ $# -gt 0 ] || return 0
	step prove -I t/lib --harness TapCount --timer "${prove_flags[@]}" "$@" ||
		failures=$((failures + 1))
}

run_unit() {
	local program programs=()

	for program in $(chosen t/unit/*.c); do
		program=$(basename "$program" .c)
		programs+=("build/unit/$program")
	done
	[ ${#programs[@]} -gt 0 ] || return 0
	title "unit tests"
	prove_flags=(--jobs "$jobs" --exec '')
	run_prove "${programs[@]}"
}

# It takes as long as it is told to, so that it is never one of all.
run_soak() {
	local soak=

	[ ${#wanted[@]} = 0 ] || soak=$(chosen t/soak/*.pl)
	[ -n "$soak" ] || return 0
	title "soak"
	prove_flags=()
	run_prove $soak
}

# pg_regress prints "test name ... ok" up to 15 and "ok 1 - name" from 16 on.
run_regress() {
	local name names=() status=0 ok bad log=$work/out/regress.log

	for name in $(chosen sql/*.sql); do names+=("$(basename "$name" .sql)"); done
	[ ${#names[@]} -gt 0 ] || return 0
	title "SQL, by pg_regress"
	[ ! -e t/regress.conf ] ||
		sed "s|@ARCHIVE@|$work/archive|g" t/regress.conf >"$work/out/regress.conf"
	touch "$work/out/regress.conf"

	step "$PG_REGRESS" --bindir="$tree_bin" --dlpath="$tree_lib" \
		--inputdir=. --outputdir="$work/out" --temp-instance="$work/out/instance" \
		--temp-config="$work/out/regress.conf" --no-locale --encoding=UTF8 \
		"${names[@]}" >"$log" 2>&1 || status=$?
	cat "$log"
	ok=$(grep -cE '^ok |^(test|    ) .*\.\.\. ok' "$log" || :)
	bad=$(grep -cE '^not ok |^(test|    ) .*\.\.\. FAILED' "$log" || :)
	[ "$status" = 0 ] || [ "$bad" -gt 0 ] || bad=1
	echo "$ok $bad 0" >>"$WALARCH_COUNTS"
	[ "$bad" = 0 ] || show_regress_failure
}

show_regress_failure() {
	local file

	failures=$((failures + 1))
	for file in regression.diffs log/postmaster.log log/initdb.log; do
		[ -s "$work/out/$file" ] || continue
		show "$work/out/$file" 60
		[ "$file" = regression.diffs ] || break
	done
}

show() {
	title "the end of ${1#"$work/"}"
	tail -n "$2" "$1"
}

# The tests that failed; one that bailed out ends prove before it is counted.
failed_files() {
	local file

	touch "$WALARCH_COUNTS.files"
	for file in $(cat "$WALARCH_COUNTS.files") \
		$(cd "$TESTLOGDIR" && grep -l 'Bail out!' regress_log_* 2>/dev/null | sed 's/^regress_log_//'); do
		basename "${file%.*}"
	done
}

# What a failed TAP test and its servers wrote.
show_tap_failures() {
	local file log

	for file in $(failed_files); do
		for log in "$TESTLOGDIR/regress_log_$file" "$TESTLOGDIR/$file"_*.log; do
			[ ! -s "$log" ] || show "$log" 40
		done
	done
}

# Last, where it is seen also when only the end of all this is kept: what failed.
show_why() {
	local file

	title "what failed"
	for file in $(failed_files); do
		[ -s "$TESTLOGDIR/regress_log_$file" ] || continue
		echo "$file:"
		# what a test died of stands some lines before its last
		grep -aE -B 8 -A 4 'not ok |Bail out!|# Looks like' \
			"$TESTLOGDIR/regress_log_$file" | cut -c 1-300 | tail -n 40
	done
}

closing_line() {
	local passed=0 failed=0 skipped=0 p f s

	while read -r p f s; do
		passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	done <"$WALARCH_COUNTS"
	[ "$failed" -gt 0 ] || [ "$failures" = 0 ] || failed=$failures
	[ $((passed + failed + skipped)) -gt 0 ] || echo "no test ran" >&2
	echo
	if [ "$skipped" -gt 0 ]; then
		echo "$passed passed, $failed failed, $skipped skipped"
	else
		echo "$passed passed, $failed failed"
	fi
	[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}

main() {
	local tidy tap

	cd "$here"
	check_wanted
	trap finish EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	prepare
	set_environment

	tidy=$(chosen t/000_*.pl)
	if [ -n "$tidy" ]; then
		title "tidiness"
		prove_flags=()
		run_prove $tidy
	fi
	run_unit
	run_regress
	tap=$(chosen t/0[!0]*.pl t/00[!0]*.pl t/[!0]*.pl)
	if [ -n "$tap" ]; then
		title "whole servers"
		prove_flags=(--jobs "$jobs")
		run_prove $tap
	fi
	run_soak
	if [ "$failures" != 0 ]; then
		show_tap_failures
		show_why
	fi
	closing_line
}

wanted=("$@")
jobs=${JOBS:-2}
main
