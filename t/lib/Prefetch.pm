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

package Prefetch;

use strict;
use warnings;

use Exporter 'import';
use File::Basename qw(basename);
use PostgreSQL::Test::Utils;
use WalArch;

our @EXPORT = qw(
  can_trace traced_restore deliveries flaws_of_hits prefetchers held
  junk_of junk_after_a_while
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
		push @flaws, basename($file) . ": $1" if $text =~ /^((?:clone|fork|vfork).*)$/m;
		push @flaws, basename($file) . ": $1" if $text =~ /^(open.*"\Q$archive\E.*)$/m;
		push @flaws, basename($file) . ": no trail"
		  unless $text =~ /^open\w*\((?:AT_FDCWD, )?"pg_stat_tmp\/walarch\.trail", O_WRONLY/m;
	}
	return join("\n", @flaws);
}

# The prefetchers of a server: those that hold its data directory.
sub prefetchers
{
	my ($dir) = @_;

	return grep { grep { $_ eq $dir } open_files($_) } prefetch_processes();
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

# How many segments they hold: files without a name, of that many bytes.
sub held
{
	my ($dir, $bytes) = @_;
	my $count = 0;

	foreach my $pid (prefetchers($dir))
	{
		foreach my $fd (glob("/proc/$pid/fd/*"))
		{
			$count++ if (readlink($fd) // '') =~ / \(deleted\)$/ && (-s $fd // 0) == ($bytes // 1048576);
		}
	}
	return $count;
}

# What there is of prefetching: processes, and files in pg_wal.
sub junk_of
{
	my ($dir) = @_;

	return join(' ',
		(map { "process $_" } prefetchers($dir)),
		(grep { !/^(?:[0-9A-F]{24}(?:\.partial|\.[0-9A-F]{8}\.backup)?|[0-9A-F]{8}\.history|archive_status|RECOVERYXLOG|\.\.?)$/ }
			  -d "$dir/pg_wal" ? slurp_dir("$dir/pg_wal") : ()));
}

# The same after up to 15 seconds, or as soon as it is nothing.
sub junk_after_a_while
{
	my ($dir) = @_;

	eval { wait_until('nothing to be left', sub { junk_of($dir) eq '' }, 15) };
	return junk_of($dir);
}

1;
