#!/bin/bash
#
# `make demo`: a cluster archives its WAL and a base backup with walarch, a table
# is dropped by accident, and the state of the moment before comes back from the
# archive. At the end a drill shows that the rest of it would, too.
#
# Everything lives in a temporary directory and is removed at the end, however
# that comes. Started as root, it runs the servers as an unprivileged user.

set -euE -o pipefail
set -m							# the story in a process group, to stop it whole

scale=${SCALE:-20}
patience_s=300					# bound of every wait

. "$(dirname "$0")/lib/tree.sh"

# ---- around the story ------------------------------------------------------

work=
child=

finish() {
	trap '' INT TERM
	[ -z "$child" ] || { kill -TERM -- "-$child"; wait "$child"; } 2>/dev/null || :
	[ -n "$work" ] || return 0
	tree_stop_servers "$work"
	rm -rf --one-file-system "$work"
}

around() {
	local here user status=0

	umask 022					# the other user must be able to read what root copies
	here=$(cd "$(dirname "$0")/.." && pwd)
	user=$(tree_user)
	trap finish EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM

	work=$(mktemp -d "${TMPDIR:-/tmp}/walarch.XXXXXX")
	[ ${#work} -le 80 ] || { echo "TMPDIR is too long a path for a socket" >&2; exit 1; }
	chmod 0755 "$work"
	tree_make "$work/inst" "$here"
	# The source tree may be closed to the other user.
	mkdir "$work/lib" "$work/demo"
	cp "$here/t/demo.sh" "$work"
	cp "$here/t/lib/tree.sh" "$work/lib"
	[ "$(id -u)" != 0 ] || chown "$user:" "$work/demo"

	export TMPDIR=$work/demo PATH=$tree_bin:$PATH LANG=C.UTF-8 LC_ALL=C.UTF-8
	cd "$work/demo"
	tree_as "$user" "$work/demo.sh" story "$tree_bin" </dev/null &
	child=$!
	wait "$child" || status=$?
	child=
	exit "$status"
}

# ---- the story -------------------------------------------------------------

say() { printf '%s\n' "$*"; }
now_ms() { date +%s%3N; }
seconds() { awk -v ms="$1" 'BEGIN { printf "%.1f s", ms / 1000 }'; }
sql() { psql -XAtq -v ON_ERROR_STOP=1 -d postgres "$@"; }

fail() {
	say "The demo failed: $*" >&2
	for log in primary.log restored.log; do
		[ ! -s "$log" ] || { say "-- the end of $log:" >&2; tail -n 25 "$log" >&2; }
	done
	exit 1
}

# Run a command whose output is of interest only if it fails.
quietly() {
	"$@" >command.out 2>&1 && return
	tail -n 25 command.out >&2
	fail "$1 ended with an error"
}

configure() {
	cat >>"$1/postgresql.conf" <<-END
		listen_addresses = ''
		unix_socket_directories = '$PWD'
		port = 5432
		max_wal_size = 2GB
	END
}

make_primary() {
	quietly initdb -D primary -U postgres -A trust --no-sync --no-locale -E UTF8
	configure primary
	cat >>primary/postgresql.conf <<-END
		archive_mode = on
		archive_library = 'walarch'
		walarch.archive = '$archive'
	END
	mkdir -m 0700 "$archive"
	quietly pg_ctl -D primary -l primary.log -w -t "$patience_s" start
	quietly sql -c 'CREATE EXTENSION walarch'
}

# The contents of all four tables, in an order of their own, as one line each.
checksums() {
	local table sum

	for table in pgbench_branches pgbench_tellers pgbench_accounts pgbench_history; do
		sum=$(sql -c "COPY (SELECT * FROM $table t ORDER BY t) TO STDOUT" | md5sum) || return 1
		echo "$table ${sum%% *}"
	done
}

# Until the segment that holds the accident is in the archive.
wait_archived() {
	local last deadline

	last=$(sql -c "SELECT pg_walfile_name(pg_switch_wal())")
	deadline=$((SECONDS + patience_s))
	until [ "$(sql -c "SELECT last_archived_wal >= '$last' FROM pg_stat_archiver")" = t ]; do
		[ "$SECONDS" -lt "$deadline" ] || fail "$last was not archived within $patience_s s"
		sleep 0.2
	done
}

status_figures() {
	sql -F ' ' -c "
		SELECT archived_count, pg_size_pretty(raw_bytes), pg_size_pretty(stored_bytes),
			   round(compression_ratio::numeric, 1),
			   round((read_ms / greatest(archived_count, 1))::numeric, 1),
			   round((compress_ms / greatest(archived_count, 1))::numeric, 1),
			   round((store_ms / greatest(archived_count, 1))::numeric, 1),
			   failed_count
		  FROM walarch.status" | sed 's/ \(kB\|MB\|GB\|bytes\)/_\1/g'
}

tell_status() {
	local count raw stored ratio read_ms compress_ms store_ms failed

	read -r count raw stored ratio read_ms compress_ms store_ms failed <<<"$(status_figures)"
	say "   archive: $count files, ${raw/_/ } of WAL stored in ${stored/_/ } (ratio $ratio), $failed failed"
	say "   a file took $read_ms ms to read, $compress_ms ms to compress, $store_ms ms to store durably"
}

restore() {
	local deadline

	quietly "$bin/walarch" restore --archive "$archive" -D "$PWD/restored" \
		--target-name before_the_accident --target-action promote
	configure restored
	quietly pg_ctl -D restored -l restored.log -w -t "$patience_s" start
	deadline=$((SECONDS + patience_s))
	until [ "$(sql -c 'SELECT pg_is_in_recovery()')" = f ]; do
		[ "$SECONDS" -lt "$deadline" ] || fail "recovery did not end within $patience_s s"
		sleep 0.1
	done
}

drill() {
	"$bin/walarch" drill --archive "$archive" --scratch "$PWD" >drill.out 2>&1 ||
		{ cat drill.out >&2; fail "the drill"; }
	say "8. A drill: $(sed -n 's/^  RTO  *//p' drill.out) to recover all of the archive;" \
		"$(grep -c '^  passed ' drill.out) checks passed. Its report is in drills/ of the archive."
}

story() {
	local before after start recovered

	bin=$1
	archive=$PWD/archive
	export PGHOST=$PWD PGUSER=postgres PGPORT=5432

	trap 'fail "at line $LINENO"' ERR

	make_primary
	say "1. A new PostgreSQL $(postgres --version | cut -d ' ' -f 3) cluster archives with archive_library = 'walarch'."

	quietly pgbench -i -q -s "$scale" postgres
	quietly "$bin/walarch" backup --archive "$archive" --checkpoint fast
	quietly pgbench -n -c 2 -T 5 postgres
	say "2. pgbench filled $(sql -c "SELECT pg_size_pretty(pg_database_size('postgres'))"), a base backup was taken into the archive," \
		"then $(sql -c 'SELECT count(*) FROM pgbench_history') transactions ran."

	before=$(checksums)
	quietly sql -c "SELECT pg_create_restore_point('before_the_accident')"
	say "3. The restore point 'before_the_accident' is set, the contents of the tables noted."

	quietly sql -c 'DROP TABLE pgbench_accounts'
	say "4. The accident: DROP TABLE pgbench_accounts."

	wait_archived
	tell_status
	quietly pg_ctl -D primary -w -t "$patience_s" -m fast stop
	say "5. The server is stopped. From here on only the archive counts."

	start=$(now_ms)
	restore
	recovered=$(($(now_ms) - start))
	say "6. Restored and recovered to the restore point in $(seconds "$recovered")" \
		"($(grep -c 'restored log file' restored.log) segments read from the archive)."

	after=$(checksums)
	[ "$before" = "$after" ] || fail "the tables differ:
$(diff <(echo "$before") <(echo "$after"))"
	say "7. All tables are back, byte for byte:"
	printf '   %-17s md5 %s\n' $after
	quietly pg_ctl -D restored -w -t "$patience_s" -m fast stop
	drill
}

if [ "${1:-}" = story ]; then
	story "$2"
else
	around
fi
