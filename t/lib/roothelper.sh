#!/bin/bash
#
# Does for unprivileged tests the few things that only root can do.
#
#	roothelper.sh DIR USER
#
# Reads requests from the FIFO DIR/root/requests, one a line, fields separated
# by tabs: the name of a FIFO in DIR/root/replies, a verb, its arguments. The
# reply is one line, "ok ..." or "error ...". The verbs are all there is; each
# directory must lie below DIR. t/lib/RootHelper.pm is the other side. What
# works here (a container may forbid mounting) stands in DIR/root/can.

set -eu
shopt -s inherit_errexit

top=$(realpath "$1")
user=$2
home=$top/root

fail() { echo "$*" >&2; return 1; }

# Everything is refused that does not resolve to a place below the top.
below_top() {
	local path

	path=$(realpath -m -- "$1")
	case $path in
		"$home" | "$home"/*) fail "\"$1\" belongs to the helper" ;;
		"$top"/*) echo "$path" ;;
		*) fail "\"$1\" does not lie below \"$top\"" ;;
	esac
}

# Run a command on a directory that must be a mount point below the top.
on_mount() {
	local dir

	dir=$(below_top "$1")
	mountpoint -q -- "$dir" || fail "\"$dir\" is not mounted"
	shift
	"$@" "$dir"
}

do_tmpfs() {
	local dir

	dir=$(below_top "$1")
	[[ $2 =~ ^[0-9]+[kMG]?$ ]] || fail "bad size \"$2\""
	mkdir -p "$dir"
	mount -t tmpfs -o "size=$2,mode=0700" walarch-test "$dir"
	chown "$user:" "$dir"
}

# loop DIR MB [ext4|xfs|btrfs]
do_loop() {
	local dir image disk=

	dir=$(below_top "$1")
	[[ $2 =~ ^[0-9]{1,5}$ ]] || fail "bad size in MB \"$2\""
	image=$(mktemp "$home/loop.XXXXXX")
	case ${3:-ext4} in
		ext4 | xfs) truncate -s "$2M" "$image" ;;
		btrfs) disk=$(disk_for "$image" "$2"); image=$disk/image ;;
		*) fail "bad file system \"$3\"" ;;
	esac
	case ${3:-ext4} in
		ext4) mkfs.ext4 -q -F -m 0 -E nodiscard "$image" ;;
		xfs) mkfs.xfs -q -f -K "$image" ;;
		btrfs) mkfs.btrfs -q -K "$image" >/dev/null; sync -f "$image" ;;
	esac
	mkdir -p "$dir"
	mount -o loop "$image" "$dir"
	chown "$user:" "$dir"
	chmod 0700 "$dir"
	echo "$image $dir $disk" >>"$home/images"
}

# btrfs cannot be cut off itself, but what it lies on can: an image on an ext4 of
# its own. The loop driver makes an fsync of that file of each flush, so what
# btrfs did not flush is lost. All of it is written, so that ext4 has to allot
# nothing later.
disk_for() {
	local disk=$1.disk

	truncate -s "$(($2 + 64))M" "$1"
	mkfs.ext4 -q -F -m 0 -E nodiscard "$1" >&2
	mkdir "$disk"
	mount -o loop "$1" "$disk"
	head -c "$2M" /dev/zero >"$disk/image"
	sync -f "$disk/image"
	echo "$disk"
}

# The image that is mounted there, and the disk below it, if it has one.
find_image() {
	local to

	while read -r image to disk; do
		[ "$to" != "$1" ] || return 0
	done <"$home/images"
	fail "\"$1\" has no image"
}

# The loop device of what lay on it may take a moment to let go.
umount_disk() {
	local try

	for try in $(seq 100); do
		! umount "$1" 2>/dev/null || return 0
		sleep 0.1
	done
	umount "$1"
}

# When a process began, in clock ticks after boot; nothing if there is none.
started() {
	local stat

	{ stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 0
	stat=${stat##*) }			# its name may hold anything
	set -- $stat
	echo "${20}"				# field 22 of proc(5)
}

# Is this still the process that was noted? Numbers come round again.
is_still() { [ -n "$2" ] && [ "$(started "$1")" = "$2" ]; }

# What a power cut does: nothing more reaches the disk, not even what waits in
# the journal (the ioctl SHUTDOWN with "do not flush the log").
do_cut() {
	local dir image disk

	dir=$(below_top "$1")
	mountpoint -q -- "$dir" || fail "\"$dir\" is not mounted"
	find_image "$dir"
	perl -e 'use Fcntl; sysopen(my $dir, $ARGV[0], O_RDONLY) or die "open: $!";
		my $how = pack("L", 2); ioctl($dir, 0x8004587D, $how) or die "ioctl: $!"' "${disk:-$dir}"
}

# After a cut: off, and on again, which is where the journal is recovered.
do_power_on() {
	local dir image disk

	# mountpoint(1) gets no answer from a file system that was cut off
	dir=$(below_top "$1")
	find_image "$dir"
	umount "$dir"
	if [ -n "$disk" ]; then
		umount_disk "$disk"
		mount -o loop "${disk%.disk}" "$disk"
	fi
	mount -o loop "$image" "$dir"
}

# Off the directory, also while somebody uses it, and there again.
do_detach() { on_mount "$1" umount || on_mount "$1" umount --lazy; }

do_attach() {
	local dir image disk

	dir=$(below_top "$1")
	find_image "$dir"
	! mountpoint -q -- "$dir" || fail "\"$dir\" is mounted"
	mount -o loop "$image" "$dir"
}

# A directory a second time, as a mount of its own.
do_bind() {
	local from to

	from=$(below_top "$1")
	to=$(below_top "$2")
	mkdir -p "$to"
	mount --bind "$from" "$to"
}

# The same by way of a daemon, which can be stopped: then whoever reads hangs.
do_fuse() {
	local from to pid try

	from=$(below_top "$1")
	to=$(below_top "$2")
	mkdir -p "$to"
	bindfs -f -o allow_other,default_permissions "$from" "$to" >/dev/null 2>&1 </dev/null &
	pid=$!
	for try in $(seq 100); do
		! mountpoint -q -- "$to" || break
		kill -0 "$pid" 2>/dev/null || fail "bindfs did not start"
		sleep 0.1
	done
	echo "$pid $(started "$pid") $to" >>"$home/daemons"
}

# Signal the daemon of such a mount.
do_daemon() {
	local pid start dir to

	dir=$(below_top "$2")
	while read -r pid start to; do
		[ "$to" = "$dir" ] && is_still "$pid" "$start" || continue
		kill -"$1" "$pid"
		return
	done <"$home/daemons"
	fail "\"$dir\" has no daemon"
}

do_hang() { do_daemon STOP "$1"; }
do_resume() { do_daemon CONT "$1"; }

# first DATADIR LOGFILE POSTGRES: a server that is process 1 of a pid namespace,
# as in a container; the reply is its parent, which ends with it.
do_first() {
	local dir log program

	dir=$(below_top "$1")
	log=$(below_top "$2")
	program=$(below_top "$3")
	touch "$log"
	chown "$user:" "$log"
	unshare --pid --fork --mount-proc \
		setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups \
		"$program" -D "$dir" >>"$log" 2>&1 </dev/null &
	echo $!
}

# What another user of the machine gets from an abstract socket, or can do to it:
# stranger ask|squat NAME [WORD]
do_stranger() {
	[[ $2 =~ ^walarch-[0-9a-f]+$ ]] || fail "bad socket \"$2\""
	[[ ${3:-} =~ ^[A-Z0-9]*$ ]] || fail "bad word \"$3\""
	case $1 in
		ask) stranger 'connect($s, $a) or die "connect: $!\n";
			defined send($s, $ARGV[1], 0) or do { print "refused"; exit };
			my $in = ""; vec($in, fileno($s), 1) = 1;
			select($in, undef, undef, 10) or do { print "silence"; exit };
			my $got = ""; defined recv($s, $got, 100, 0) or do { print "refused"; exit };
			print $got eq "" ? "refused" : "answer $got"' "$2" "${3:-}" ;;
		squat) stranger 'bind($s, $a) && listen($s, 5) or die "bind: $!\n";
			open STDOUT, ">", "/dev/null"; open STDERR, ">", "/dev/null";
			defined(my $pid = fork) or die; exit if $pid; setsid(); sleep 30' "$2" ;;
		*) fail "bad deed \"$1\"" ;;
	esac
}

stranger() {
	setpriv --reuid=nobody --regid=nogroup --clear-groups perl -e '
		use strict; use POSIX "setsid"; use Socket;
		alarm 30;
		socket(my $s, AF_UNIX, SOCK_SEQPACKET, 0) or die "socket: $!\n";
		my $a = pack("S a*", AF_UNIX, "\0$ARGV[0]"); '"$1" "${@:2}"
}

do_ro() { on_mount "$1" mount -o remount,ro; }
do_rw() { on_mount "$1" mount -o remount,rw; }
do_umount() {
	local dir image disk=

	on_mount "$1" umount
	dir=$(below_top "$1")
	find_image "$dir" 2>/dev/null || return 0
	grep -vxF -- "$image $dir $disk" "$home/images" >"$home/images.new" || :
	mv "$home/images.new" "$home/images"
	[ -z "$disk" ] || umount_disk "$disk"
}
do_freeze() { on_mount "$1" fsfreeze --freeze; }
do_thaw() { on_mount "$1" fsfreeze --unfreeze; }

# strace can write files and start programs, as root: only what filters, delays
# and formats is let through.
strace_arguments() {
	while [ $# -gt 0 ]; do
		case $1 in
			-f | -ff | -T | -t | -tt | -ttt | -r | -y | -yy | -x | -xx) ;;
			-e | -s | -P) [ $# -gt 1 ] || fail "$1 needs a value"; shift ;;
			--inject=* | --trace=*) ;;
			*) fail "strace argument \"$1\" is not allowed" ;;
		esac
		shift
	done
}

# strace PID[,PID] OUTFILE -- ARGS...: attached when the reply comes.
do_strace() {
	local target out note pid start try attached= targets

	IFS=, read -r -a targets <<<"$1"
	for target in "${targets[@]}"; do
		[[ $target =~ ^[0-9]+$ ]] && [ "$(stat -c %U "/proc/$target" 2>/dev/null)" = "$user" ] ||
			fail "process $target is not one of $user's"
	done
	target=$1
	out=$(below_top "$2")
	[ "${3:-}" = -- ] || fail "usage: strace PID OUTFILE -- ARGS..."
	shift 3
	strace_arguments "$@"

	note=$(mktemp "$home/strace.XXXXXX")
	strace -o "$out" -p "$target" "$@" 2>"$note" >/dev/null </dev/null &
	pid=$!
	start=$(started "$pid")
	for try in $(seq 100); do
		[ "$(grep -c attached "$note")" -lt ${#targets[@]} ] || attached=yes
		[ -z "$attached" ] || break
		kill -0 "$pid" 2>/dev/null || fail "strace: $(tail -n 1 "$note")"
		sleep 0.1
	done
	[ -n "$attached" ] || { kill -KILL "$pid"; fail "strace did not attach within 10 s"; }
	chown "$user:" "$out"
	echo "$pid $start" >>"$home/stracers"
	echo "$pid"
}

do_kill() {
	local start

	start=$(awk -v pid="$1" '$1 == pid { start = $2 } END { print start }' "$home/stracers" 2>/dev/null)
	[ -n "$start" ] || fail "process $1 is not a strace of ours"
	end_stracer "$1" "$start"
}

end_stracer() {
	local try

	! is_still "$@" || kill -TERM "$1" 2>/dev/null || :
	for try in $(seq 50); do
		is_still "$@" || return 0
		sleep 0.1
	done
	! is_still "$@" || kill -KILL "$1" 2>/dev/null || :
}

# The processes of a list that are still there.
noted() {
	local pid start rest

	[ -e "$home/$1" ] || return 0
	while read -r pid start rest; do
		! is_still "$pid" "$start" || echo "$pid $start"
	done <"$home/$1"
}

# Let go of everything that may hold a process: traced ones, frozen ones, hung ones.
do_release() {
	local pid start dir

	noted stracers | while read -r pid start; do end_stracer "$pid" "$start"; done
	noted daemons | while read -r pid start; do kill -CONT "$pid" 2>/dev/null || :; done
	for dir in $(mounts); do fsfreeze --unfreeze "$dir" 2>/dev/null || :; done
}

# Newest first: a mount may lie below another.
do_unmount() {
	local dir

	do_release
	for dir in $(mounts | tac); do
		umount "$dir" 2>/dev/null || umount -l "$dir" || :
	done
}

mounts() { awk -v top="$top/" 'index($5, top) == 1 { print $5 }' /proc/self/mountinfo; }

# One request, in a process of its own, where set -e holds whoever asks.
serve() {
	local verb=$1 words

	shift
	case $verb in
		tmpfs | bind | fuse) [ $# = 2 ] ;;
		loop) [ $# = 2 ] || [ $# = 3 ] ;;
		first) [ $# = 3 ] ;;
		ro | rw | umount | detach | attach | freeze | thaw | kill | hang | resume | cut | power_on) [ $# = 1 ] ;;
		stranger) [ $# = 2 ] || [ $# = 3 ] ;;
		strace) [ $# -ge 3 ] ;;
		*) false ;;
	esac || { echo "error unknown request: $verb $*"; return; }

	if "$BASH" "$0" "$top" "$user" "$verb" "$@" >"$home/out" 2>"$home/err"; then
		echo "ok $(cat "$home/out")"
	else
		words=$(tr '\n' ' ' <"$home/err")
		echo "error $verb: ${words:-failed}"
	fi
}

works() { [[ $(serve "$@") == ok* ]]; }

# What this machine lets root do.
probe() {
	local dir=$top/probe type

	mkdir -p "$dir"
	if works tmpfs "$dir" 1M; then
		! works ro "$dir" || ! works rw "$dir" || echo ro rw
		! works umount "$dir" || echo tmpfs umount
	fi
	if works loop "$dir" 8; then
		! works freeze "$dir" || ! works thaw "$dir" || echo freeze thaw
		! works detach "$dir" || ! works attach "$dir" || echo detach attach
		! works umount "$dir" || echo loop
	fi
	for type in ext4 xfs btrfs; do
		works loop "$dir" 320 "$type" || continue
		! works cut "$dir" || ! works power_on "$dir" || echo "cut.$type"
		works umount "$dir" || :
	done
	mkdir "$dir.from"
	! works bind "$dir.from" "$dir" || ! works umount "$dir" || echo bind
	if works fuse "$dir.from" "$dir"; then
		! works hang "$dir" || ! works resume "$dir" || echo hang resume
		! works umount "$dir" || echo fuse
	fi
	rm -f "$home/daemons" "$home/images"
	rmdir "$dir.from"
	if unshare --pid --fork --mount-proc true 2>/dev/null; then echo first; fi
	rm -rf --one-file-system "$home"/loop.*
	rmdir "$dir"
	if id nobody >/dev/null 2>&1 && setpriv --reuid=nobody --regid=nogroup --clear-groups true 2>/dev/null; then echo stranger; fi
	if command -v strace >/dev/null && strace -qq -o /dev/null true 2>/dev/null; then
		echo strace kill
	fi
}

answer() {
	local reply=$home/replies/$1

	case $1 in *[!A-Za-z0-9.]* | .*) return ;; esac
	[ -p "$reply" ] && [ ! -L "$reply" ] || return 0
	shift

	# Opened both ways, as the requests are: no open waits for a test that died.
	exec 4<>"$reply"
	serve "$@" >&4
	exec 4>&-
}

listen() {
	local line= part status request

	mkdir -m 0755 "$home" "$home/replies"
	mkfifo -m 0600 "$home/requests"
	chown "$user:" "$home/replies" "$home/requests"
	exec 3<>"$home/requests"
	probe >"$home/can.new"
	mv "$home/can.new" "$home/can"

	while [ -d "/proc/$PPID" ]; do
		status=0
		IFS= read -t 5 -r part <&3 || status=$?
		line+=$part				# time may be up in the middle of a request
		[ "$status" = 0 ] || continue
		IFS=$'\t' read -r -a request <<<"$line"
		line=
		[ ${#request[@]} -lt 2 ] || answer "${request[@]}"
	done
	do_unmount
}

shift 2
if [ $# = 0 ]; then
	listen
else
	verb=$1
	shift
	"do_$verb" "$@"
fi
