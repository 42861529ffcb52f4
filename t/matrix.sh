#!/bin/bash
#
# All tests on several major versions of PostgreSQL; `make matrix` calls it.
#
#	t/matrix.sh [ROW...]		15 17 18 19, each with gcc; 15/clang with clang
#
# The version that pg_config shows is tested here, the others each in a Debian
# of its own that mmdebstrap makes from the mirror apt is configured for: 17 of
# trixie, 18 of sid, 19 of experimental. MATRIX_DIR=DIR keeps them for the next
# time (default: a temporary directory); each takes some 2 GB. TESTS chooses
# tests as for make test. Needs root. One line a row at the end; a version whose
# packages cannot be had is said to be untested, and is a failure unless it is
# not released yet.

set -eu
umask 022

unreleased=19

here=$(cd "$(dirname "$0")/.." && pwd)
say() { echo "matrix: $*"; }
die() { say "$*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || die "making and entering a Debian needs root"

# What is mounted here is gone with the last process, whatever happens.
if [ -z "${WALARCH_MATRIX_MOUNTS:-}" ]; then
	WALARCH_MATRIX_MOUNTS=1 exec unshare --mount --propagation private "$0" "$@"
fi

rows=("$@")
[ ${#rows[@]} -gt 0 ] || rows=(15 15/clang 17 18 19)
top=${MATRIX_DIR:-}
[ -n "$top" ] || top=$(mktemp -d "${TMPDIR:-/tmp}/walarch-matrix.XXXXXX")
mkdir -p "$top"

finish() {
	local dir

	[ -z "$(jobs -p)" ] || kill $(jobs -p) 2>/dev/null || :
	wait
	for dir in "$top"/*/; do leave "${dir%/}"; done
	[ -n "${MATRIX_DIR:-}" ] || rm -rf --one-file-system "$top"
}

# ---- Debians ------------------------------------------------------------------

suite_of() {
	case $1 in
		17) echo trixie ;;
		18 | 19) echo sid ;;
		*) die "no suite of Debian is known to have PostgreSQL $1" ;;
	esac
}

# Where apt gets packages here.
mirror() {
	cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
		awk '/^URIs:/ { print $2; exit } /^deb / { for (i = 2; i <= NF; i++) if ($i ~ /^[a-z+]+:/) { print $i; exit } }'
}

# All of experimental would break perl: only PostgreSQL comes from there.
pin_experimental() {
	cat <<-END
		Package: postgresql-$1 postgresql-client-$1 postgresql-server-dev-$1 libpq5 libpq-dev
		Pin: release a=experimental
		Pin-Priority: 990
	END
}

make_debian() {
	local major=$1 dir=$top/$1 suite uri options=() sources=()

	[ ! -e "$dir/made" ] || return 0
	suite=$(suite_of "$major")
	uri=$(mirror)
	[ -n "$uri" ] || die "apt has no mirror configured"
	rm -rf --one-file-system "$dir"
	sources=("deb $uri $suite main")
	if [ "$suite" = sid ]; then options+=(--aptopt='Acquire::Check-Valid-Until "false"'); fi
	if [ "$major" = "$unreleased" ]; then
		sources+=("deb $uri experimental main")
		pin_experimental "$major" >"$top/$major.preferences"
		options+=("--setup-hook=mkdir -p \"\$1/etc/apt/preferences.d\"; cp '$top/$major.preferences' \"\$1/etc/apt/preferences.d/postgresql\"")
	fi
	mmdebstrap --quiet --variant=minbase --mode=root "${options[@]}" \
		--include="ca-certificates,gcc,make,procps,postgresql-$major,postgresql-server-dev-$major,$(packages)" \
		"$suite" "$dir" "${sources[@]}" >"$top/$major.log" 2>&1 || return 1
	touch "$dir/made"
}

# Until it is made, or nobody makes it any longer.
wait_for_debian() {
	[ "$1" != "$(native_major)" ] || return 0
	while [ ! -e "$top/$1/made" ] && kill -0 "$maker" 2>/dev/null; do sleep 1; done
}

# What the tests need, as provision.sh lists it.
packages() { "$here/t/provision.sh" list | tr '\n' ',' | sed 's/,$//'; }

# In a Debian, mounts work only if its top is one.
enter() {
	local dir=$1 name

	mount --bind "$dir" "$dir"
	for name in proc sys dev; do mount --rbind "/$name" "$dir/$name"; done
	mount -t tmpfs walarch-matrix "$dir/dev/shm"
}

leave() { ! mountpoint -q "$1" || umount -R -l "$1" || :; }

# ---- rows -----------------------------------------------------------------------

native_major() { "${PG_CONFIG:-pg_config}" --version | sed -n 's/^[^0-9]*\([0-9]*\).*/\1/p'; }

copy_tree() {
	rm -rf "$1"
	mkdir -p "$1"
	tar -C "$here" --exclude=./.git --exclude=./build --exclude='*.o' --exclude='*.so' \
		--exclude=./walarch --exclude=./walarch-recovery --exclude=./tmp_check -cf - . |
		tar -C "$1" --no-same-owner -xf -
}

# Build and test a copy of the tree: run_row CC COMMAND... (of entering)
run_row() {
	local cc=$1 tree=$2

	shift 2
	"$@" env -i PATH="$PATH" HOME=/root LANG=C.UTF-8 MAKEFLAGS="-j$(nproc)" \
		${JOBS:+JOBS="$JOBS"} ${WALARCH_FAULTS:+WALARCH_FAULTS="$WALARCH_FAULTS"} ${PG_CONFIG:+PG_CONFIG="$PG_CONFIG"} \
		sh -c 'cd "$1" && pg_config --version && make -s all unit-programs WERROR=1 CC="$2" && make -s test CC="$2" TESTS="$3"' \
		row "$tree" "$cc" "${TESTS:-}"
}

row() {
	local name=$1 major=${1%/*} cc=gcc log=$top/${1/\//-}.out begun=$SECONDS status=0 dir version counted

	case $name in */*) cc=${name#*/} ;; esac
	dir=$top/$major
	if [ "$major" = "$(native_major)" ]; then
		copy_tree "$top/tree"
		run_row "$cc" "$top/tree" >"$log" 2>&1 || status=$?
	elif [ ! -e "$dir/made" ]; then
		tail -n 5 "$top/$major.log" >&2
		summary+=("$name: not tested: its packages cannot be had")
		[ "$major" = "$unreleased" ] || failed=1
		return
	else
		enter "$dir"
		copy_tree "$dir/walarch"
		run_row "$cc" /walarch chroot "$dir" >"$log" 2>&1 || status=$?
		leave "$dir"
	fi
	version=$(grep -m 1 '^PostgreSQL' "$log" || :)
	if [ "$status" != 0 ]; then
		failed=1
		tail -n 60 "$log"
	fi
	counted=$(grep -E '^[0-9]+ passed, ' "$log" | tail -n 1)
	summary+=("$name: ${version:-PostgreSQL ?}, $cc: ${counted:-not built}, $(((SECONDS - begun + 30) / 60)) min")
	say "${summary[-1]}"
}

summary=()
failed=0
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
"$here/t/provision.sh" matrix

# The network and the processors have each their own work.
(
	for name in "${rows[@]}"; do
		case $name in */*) continue ;; esac
		[ "$name" != "$(native_major)" ] || continue
		# Twice: a mirror may be changing while it is read.
		make_debian "$name" || make_debian "$name" || :
	done
) &
maker=$!
for name in "${rows[@]}"; do
	wait_for_debian "${name%/*}"
	row "$name"
done
echo
printf '%s\n' "${summary[@]}"
exit "$failed"
