# Prefetchers, for tests: what there is, what it did, and whether a delivery
# was a link to what a prefetcher held ("hit").
#
#	use lib "t/lib";
#	use Prefetch;
#
#	traced_restore($node, $archive, '--prefetch 4');	# before it starts
#	my %how = deliveries($node);            # segment => 'hit' or 'own'
#	prefetchers($node->data_dir);           # process ids
#	held($node->data_dir);                  # how many segments they hold
#	is(junk_after_a_while($dir), '', ...);  # what stays of it
#
#	gated_restore($node, $archive, '--prefetch 4');	# each request waits ...
#	allow($node, $wal);                     # ... until its file is allowed
#	wait_asked($node, $wal);                # this one waits now
#	my $pid = stop_in_a_file($node) or ...; # stopped in the middle of writing
#	move_wal($node, $directory);            # pg_wal, before it starts

package Prefetch;

use strict;
use warnings;

use Exporter 'import';
use File::Basename qw(basename);
use PostgreSQL::Test::Utils;
use Time::HiRes qw(time usleep);
use WalArch;

use constant SEGMENT_BYTES => 1048576;		# unless a test says otherwise

our @EXPORT = qw(
  can_trace traced_restore deliveries flaws_of_hits prefetchers held
  junk_of junk_after_a_while
  gated_restore allow forbid asked wait_asked unfinished stop_in_a_file
  kill_whole move_wal
);

sub can_trace { return system('strace -qq -o /dev/null true 2>/dev/null') == 0; }

# A restore command that notes the system calls of the main thread of each
# walarch get: whoever delivers from the archive needs another thread.
sub traced_restore
{
	my ($node, $archive, $options) = @_;
	my $script = $node->basedir . '/traced';
	my $traces = $node->basedir . '/traces';

	mkdir $traces;
	write_binary($script, <<"END");
#!/bin/sh
strace -qq -o "$traces/\$1.\$\$" "$ENV{WALARCH_BIN}" get --archive "$archive" $options "\$1" "\$2"
END
	chmod 0700, $script or die "could not chmod \"$script\": $!";
	$node->append_conf('postgresql.conf', "restore_command = '\"$script\" \"%f\" \"%p\"'\n");
	return;
}

sub traces
{
	my ($node) = @_;
	return sort { -M $b <=> -M $a } glob($node->basedir . '/traces/*');
}

my $hit_re = qr{^linkat\(AT_FDCWD, "/proc/self/fd/\d+", AT_FDCWD, "[^"]*RECOVERYXLOG", AT_SYMLINK_FOLLOW\) = 0$}m;

# How each segment was delivered last.
sub deliveries
{
	my ($node) = @_;
	my %how;

	foreach my $file (traces($node))
	{
		my ($name) = basename($file) =~ /^([0-9A-F]{24})\./ or next;
		my $text = slurp_file($file);

		$how{$name} = $text =~ $hit_re ? 'hit' : 'own' if $text =~ /^exit_group\(0\)/m;
	}
	return %how;
}

# A hit starts no thread and no process, opens nothing of the archive.
sub flaws_of_hits
{
	my ($node, $archive) = @_;
	my @flaws;

	foreach my $file (traces($node))
	{
		my $text = slurp_file($file);

		next unless $text =~ $hit_re;
		# untraced is what writes the counters of `make coverage`
		push @flaws, basename($file) . ": $1" if $text =~ /^((?:clone|fork|vfork)(?!.*CLONE_UNTRACED).*)$/m;
		push @flaws, basename($file) . ": $1" if $text =~ /^(open.*"\Q$archive\E.*)$/m;
		push @flaws, basename($file) . ": no trail"
		  unless $text =~ /^open\w*\((?:AT_FDCWD, )?"pg_stat_tmp\/walarch\.trail", O_WRONLY/m;
	}
	return join("\n", @flaws);
}

# The prefetchers of a server: those that hold its data directory. (In a chroot
# the paths of another mount namespace begin above it.)
sub prefetchers
{
	my ($dir) = @_;

	return grep { grep { /\Q$dir\E$/ } open_files($_) } prefetch_processes();
}

sub prefetch_processes
{
	my @pids;

	foreach my $proc (glob('/proc/[0-9]*'))
	{
		open(my $handle, '<', "$proc/cmdline") or next;
		my $line = <$handle> // '';
		close $handle;
		push @pids, basename($proc) if $line =~ /^walarch\0prefetch\0/;
	}
	return @pids;
}

sub open_files
{
	my ($pid) = @_;
	return map { readlink($_) // () } glob("/proc/$pid/fd/*");
}

# How many segments they hold: files without a name, of that many bytes. One
# may be let go of while the next is looked at: those count that are still there
# after all were seen, which were there at the same time.
sub held
{
	my ($dir, $bytes) = @_;
	return held_by($bytes // SEGMENT_BYTES, prefetchers($dir));
}

sub held_by
{
	my ($bytes, @pids) = @_;
	my %inode;

	foreach my $fd (unnamed(@pids))
	{
		my @stat = stat($fd);

		$inode{$fd} = $stat[1] if @stat && $stat[7] == $bytes;
	}
	return scalar grep { ((stat $_)[1] // 0) == $inode{$_} } keys %inode;
}

# Files that are being written: without a name, and shorter than a segment.
sub unfinished
{
	my ($dir, $bytes) = @_;
	return unfinished_by($bytes // SEGMENT_BYTES, prefetchers($dir));
}

sub unfinished_by
{
	my ($bytes, @pids) = @_;
	my @sizes = map { -s $_ // 0 } unnamed(@pids);

	return scalar grep { $_ > 0 && $_ < $bytes } @sizes;
}

# Open files without a name.
sub unnamed
{
	return grep { (readlink($_) // '') =~ / \(deleted\)$/ } map { glob("/proc/$_/fd/*") } @_;
}

# Kill a process, and wait until it holds nothing any more: a thread may be in
# the middle of an fsync.
sub kill_whole
{
	my ($pid) = @_;

	kill 'KILL', $pid;
	wait_until("all of process $pid to end", sub { has_ended($pid) });
	return;
}

# Stop the prefetcher of a server while it is in the middle of a file; undef if
# there is none, or it holds no more since two seconds. A segment is written
# within a few milliseconds: it is stopped often, at random.
sub stop_in_a_file
{
	my ($node) = @_;
	my $dir = $node->data_dir;
	my $pid = eval { wait_until('a prefetcher', sub { (prefetchers($dir))[0] }, 15) };
	my ($before, $since) = (0, time);

	return unless defined $pid;
	while (time < $since + 2)
	{
		kill 'STOP', $pid or return;
		wait_until("process $pid to stop", sub { thread_states($pid) =~ /^[tTZX]*$/ });
		return $pid if unfinished_by(SEGMENT_BYTES, $pid);

		my $now = held_by(SEGMENT_BYTES, $pid);
		($before, $since) = ($now, time) if $now != $before;
		kill 'CONT', $pid;
		usleep(rand 2000);
	}
	return;
}

# A restore command that begins nothing before the test allows the file.
sub gated_restore
{
	my ($node, $archive, $options, $word) = (@_, '');
	my $gate = $node->basedir . '/gate';
	my $script = $node->basedir . "/gated$word";
	my $record = $node->basedir . '/requests';

	mkdir $gate;
	system('mkfifo', "$gate/never") == 0 or die 'could not make a FIFO' unless -p "$gate/never";
	write_binary($script, <<"END");
#!/bin/bash
until [ -e "$gate/all" ] || [ -e "$gate/\$1" ]; do
	[ -d "/proc/\$PPID" ] || exit 1
	echo "\$1 $word" >"$gate/asked.new"
	mv "$gate/asked.new" "$gate/asked"
	read -r -t 0.02 <>"$gate/never"
done
rm -f "$gate/asked"
begun=\${EPOCHREALTIME/[.,]/}
"$ENV{WALARCH_BIN}" get --archive "$archive" $options "\$1" "\$2"
status=\$?
echo "\$1 \$status \$(((\${EPOCHREALTIME/[.,]/} - begun) / 1000)) $word" >>"$record"
exit \$status
END
	chmod 0700, $script or die "could not chmod \"$script\": $!";
	$node->append_conf('postgresql.conf', "restore_command = '\"$script\" \"%f\" \"%p\"'\n");
	return;
}

# "all" stands for every file, also for those asked for later.
sub allow
{
	my ($node, @files) = @_;

	write_binary($node->basedir . "/gate/$_", '') foreach @files;
	return;
}

sub forbid
{
	my ($node, @files) = @_;

	unlink map { $node->basedir . "/gate/$_" } @files;
	return;
}

# The file that is asked for and not allowed, and its restore command's word.
sub asked
{
	my ($node) = @_;

	open(my $handle, '<', $node->basedir . '/gate/asked') or return ('', '');
	return (split(' ', <$handle> // ''), '', '');
}

sub wait_asked
{
	my ($node, $name) = @_;

	wait_until("$name to be asked for", sub { (asked($node))[0] eq $name });
	return;
}

# pg_wal of a server that is not running, to another directory.
sub move_wal
{
	my ($node, $to) = @_;
	my $from = $node->data_dir . '/pg_wal';

	system('cp', '-R', "$from/.", $to) == 0 or die 'could not copy pg_wal';
	system('rm', '-rf', $from) == 0 or die 'could not remove pg_wal';
	symlink $to, $from or die "could not link pg_wal: $!";
	return;
}

# What there is of prefetching: processes, and files in pg_wal.
sub junk_of
{
	my ($dir) = @_;

	return join(' ',
		(map { "process $_" } prefetchers($dir)),
		(grep { !/^(?:[0-9A-F]{24}(?:\.partial|\.[0-9A-F]{8}\.backup)?|[0-9A-F]{8}\.history|archive_status|summaries|RECOVERYXLOG|\.\.?)$/ }
			  -d "$dir/pg_wal" ? slurp_dir("$dir/pg_wal") : ()));
}

# The same after up to a minute, or as soon as it is nothing.
sub junk_after_a_while
{
	my ($dir) = @_;

	eval { wait_until('nothing to be left', sub { junk_of($dir) eq '' }, 60) };
	return junk_of($dir);
}

1;
