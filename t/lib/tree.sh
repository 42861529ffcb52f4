# A private copy of the installed PostgreSQL, with this walarch installed into
# it: tests and the demo never touch the system's installation. Sourced.
#
# PostgreSQL finds lib and share relative to the real path of its own programs.
# So the programs are copied, to the same path below another root, and the rest
# may be links, one an entry, so that files can be added beside them.

pg_config=${PG_CONFIG:-pg_config}

# Link every entry of directory $1 into directory $2.
tree_link() {
	mkdir -p "$2"
	find "$1" -mindepth 1 -maxdepth 1 -exec ln -s -t "$2" -- {} +
}

# Make the tree below $1, from source directory $2; sets tree_bin and tree_lib.
tree_make() {
	local root=$1 source=$2 share lib

	share=$("$pg_config" --sharedir)
	lib=$("$pg_config" --pkglibdir)
	tree_bin=$root$("$pg_config" --bindir)
	tree_lib=$root$lib

	mkdir -p "$tree_bin"
	cp -L "$("$pg_config" --bindir)"/* "$tree_bin"/
	[ -e "$tree_lib" ] || tree_link "$lib" "$tree_lib"
	tree_link "$share" "$root$share"
	rm "$root$share/extension"
	tree_link "$share/extension" "$root$share/extension"

	# A walarch the system may have must not be reached through its links.
	rm -f "$tree_bin/walarch" "$tree_lib"/walarch* "$root$share/extension"/walarch*
	env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL \
		make -s -C "$source" install DESTDIR="$root" PG_CONFIG="$pg_config"
}

# The unprivileged user to run servers as; PostgreSQL refuses root.
tree_user() {
	local user=${WALARCH_TEST_USER:-postgres}

	[ "$(id -u)" = 0 ] || { id -un; return; }
	id -u "$user" >/dev/null 2>&1 || user=nobody
	[ "$(id -u "$user")" != 0 ] || { echo "WALARCH_TEST_USER must not be root" >&2; return 1; }
	echo "$user"
}

# Run a command as $1, in an environment that holds nothing of ours but what is
# exported on purpose: a PGHOST of the caller's must not reach a test.
tree_as() {
	local user=$1 var

	shift
	for var in $(compgen -e PG); do
		case $var in PG_*) ;; *) unset "$var" ;; esac
	done
	if [ "$(id -u)" != 0 ]; then
		"$@"
	else
		HOME=$TMPDIR USER=$user LOGNAME=$user \
			setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups "$@"
	fi
}

# Stop every postmaster whose data directory lies below $1, and no other: a pid
# file may be stale, but a postmaster's working directory is its data directory.
tree_stop_servers() {
	local file pid signal try

	for signal in INT QUIT KILL; do
		for file in $(find "$1" -name postmaster.pid 2>/dev/null); do
			pid=$(head -n 1 "$file")
			[ "$(readlink "/proc/$pid/cwd")" = "${file%/*}" ] || continue
			kill -"$signal" "$pid" 2>/dev/null || continue
			for try in $(seq 50); do
				kill -0 "$pid" 2>/dev/null || break
				sleep 0.1
			done
		done
	done
}
