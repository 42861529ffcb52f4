#!/bin/bash
#
# Install what building and testing walarch needs and this machine lacks.
#
#	t/provision.sh [ci|bench|matrix]	ci adds the second compiler and the checkers,
#								bench what walarch is compared with, matrix what
#								makes Debians of other versions
#	t/provision.sh list			prints names of packages, the server's apart
#
# Debian and Ubuntu only; elsewhere it says what to install by hand. Names no
# mirror: apt's own configuration decides where packages come from.

set -eu

pg_config=${PG_CONFIG:-pg_config}

say() { echo "provision: $*"; }
die() { say "$*" >&2; exit 1; }

# The whole list, one purpose a line.
tool_packages() {
	cat <<-'END'
		libzstd-dev			the format of the archive
		libxxhash-dev		digests
		liblz4-dev			foreign archives: .lz4
		zlib1g-dev			foreign archives: .gz
		perl				prove, and the tests themselves
		libipc-run-perl		PostgreSQL's own test modules need it
		libarchive-dev		unpacks base backups
		libjson-c-dev		reads their manifests
		zstd				proves that objects open without walarch
		binutils			nm and readelf, which look into what was built
		xxhash				forges the digest of a base backup in a test
		lz4					makes foreign archives for tests
		gzip				the same
		strace				delays system calls in tests (root only)
		util-linux			setpriv, fsfreeze, setarch, unshare
		mount				tmpfs and loop mounts in tests (root only)
		e2fsprogs			a file system for the loop mount
		xfsprogs			another one, for power cuts (root only)
		btrfs-progs			and another
		bindfs				one that can hang, without unnamed files (root only)
	END
	[ "${1:-}" != ci ] || cat <<-'END'
		clang				the second compiler
		libclang-rt-dev		its sanitizers
		cppcheck			static analysis
	END
	[ "${1:-}" != bench ] || echo "pgbackrest			what many use today"
	[ "${1:-}" != matrix ] || echo "mmdebstrap			makes Debians of other versions"
}

installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# The server's packages, unless pg_config shows a PostgreSQL that did not come
# as one. Which major: the one that is here, else the distribution's default.
server_packages() {
	local bindir major

	if [ -e "$($pg_config --pgxs 2>/dev/null)" ]; then
		bindir=$($pg_config --bindir)
		case $bindir in
			/usr/lib/postgresql/*/bin) major=$(basename "$(dirname "$bindir")") ;;
			*) return 0 ;;
		esac
	else
		major=$(apt-cache depends postgresql 2>/dev/null |
			sed -n 's/^ *Depends: postgresql-\([0-9][0-9]*\)$/\1/p' | head -n 1)
	fi
	if [ -n "$major" ]; then
		echo "postgresql-$major"				# initdb and the server
		echo "postgresql-server-dev-$major"	# headers, PGXS, test modules
	else
		echo postgresql						# apt's lists are still empty:
		echo postgresql-server-dev-all		# asked again after the update
	fi
}

missing_packages() {
	local package

	{ server_packages; tool_packages "${1:-}" | cut -f 1; } |
		while read -r package; do
			installed "$package" || echo "$package"
		done | tr '\n' ' ' | sed 's/ $//'
}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Debian's server package makes and starts a cluster "main" when it is first
# installed. Nobody asked for one here: a drop-in says no while apt runs.
no_default_cluster() {
	dropin=/etc/postgresql-common/createcluster.d/walarch-provision.conf
	say "no default cluster 'main' will be created"
	as_root mkdir -p "${dropin%/*}"
	echo 'create_main_cluster = false' | as_root tee "$dropin" >/dev/null
}

tidy_up() {
	rm -f "$log"
	[ -z "$dropin" ] || as_root rm -f "$dropin"
}

apt_get() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 "$@" \
		>"$log" 2>&1 && return
	tail -n 20 "$log" >&2
	die "apt-get $1 failed; see above"
}

main() {
	local missing

	if [ "${1:-}" = list ]; then
		tool_packages | cut -f 1
		return
	fi
	if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
		say "no apt here; install by hand: PostgreSQL with its server headers, and" \
			"the like of: $(tool_packages "$@" | cut -f 1 | tr '\n' ' ')"
		return 0
	fi
	missing=$(missing_packages "$@")
	if [ -z "$missing" ]; then
		say "nothing is missing"
		return 0
	fi
	if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
		die "missing: $missing. Installing them needs root or sudo, and neither" \
			"is here; as root run: apt-get install $missing"
	fi

	dropin=
	log=$(mktemp)
	trap tidy_up EXIT
	apt_get update
	missing=$(missing_packages "$@")
	say "installing $missing"
	case " $missing" in *" postgresql-"[0-9]*) no_default_cluster ;; esac
	apt_get install --no-install-recommends $missing
}

main "$@"
