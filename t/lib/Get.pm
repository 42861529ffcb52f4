# Run `walarch get` by hand, as a server would: in a data directory of its own
# making, with nothing but exit status, message and delivered file to judge by.
#
#	use lib "t/lib";
#	use Get;
#
#	my $dir = fake_datadir('pitr', $node, 'recovery.signal');
#	my $got = ask($dir, '--archive', $archive, $wal, 'pg_wal/RECOVERYXLOG');
#	is($got->{status}, 0, ...) or diag($got->{message});
#	# also: bytes (undef: nothing delivered), left (other files in pg_wal),
#	# seconds, signal

package Get;

use strict;
use warnings;

use Exporter 'import';
use File::Copy ();
use File::Path ();
use POSIX ();
use PostgreSQL::Test::Utils;
use Time::HiRes ();
use WalArch;

our @EXPORT = qw(
  fake_datadir sleeping_server ask ask_begin ask_end forget with_bytes crc32c
  stops_by_itself
);

my $home;

# Put other bytes in a file for as long as the function runs.
sub with_bytes
{
	my ($path, $bytes, $function) = @_;
	my $kept = slurp_binary($path);

	write_binary($path, $bytes);
	my @result = eval { $function->() };
	my $problem = $@;
	write_binary($path, $kept);
	die $problem if $problem;
	return wantarray ? @result : $result[0];
}

# A directory that looks like the data directory of a node to walarch get; with
# the signal file, if one is named, and the node's pg_control, if a node is given.
sub fake_datadir
{
	my ($name, $node, $signal) = @_;

	$home //= PostgreSQL::Test::Utils::tempdir();
	my $dir = "$home/$name";

	File::Path::make_path(map { "$dir/$_" } qw(global pg_wal pg_stat_tmp));
	write_binary("$dir/$signal", '') if defined $signal;
	File::Copy::copy($node->data_dir . '/global/pg_control', "$dir/global/pg_control")
	  or die "could not copy pg_control: $!"
	  if defined $node;
	return $dir;
}

my @sleepers;

# The same with a server that does nothing, and its process id.
sub sleeping_server
{
	my ($name, $node, $signal, %opts) = @_;
	my $dir = fake_datadir($name, $node, $signal);
	my $pid = fork() // die "could not fork: $!";

	if ($pid == 0)
	{
		open(STDOUT, '>', '/dev/null');
		exec('sleep', '1000') or POSIX::_exit(98);
	}
	push @sleepers, $pid;
	write_binary("$dir/postmaster.pid",
		join("\n", $opts{pid} // $pid, $dir, time(), 5432, '/tmp', '', '  0  0', $opts{status} // 'starting', ''));
	return ($dir, $pid);
}

END { kill 'KILL', @sleepers; }

# What one command leaves for the next.
sub forget
{
	my ($dir) = @_;

	unlink "$dir/pg_stat_tmp/walarch.trail";
	unlink grep { -f } glob("$dir/pg_wal/*");
	return;
}

# Begin a command in a directory; more than one word may stand before "get".
sub ask_begin
{
	my ($dir, @words) = @_;
	my $message = "$dir.stderr";
	my @command = ref $words[0] ? @{ shift @words } : ();

	my $begun = Time::HiRes::time();
	my $pid = fork() // die "could not fork: $!";
	if ($pid == 0)
	{
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>', "$dir.stdout");
		open(STDERR, '>', $message);
		delete $ENV{WALARCH_ARCHIVE};
		chdir $dir or POSIX::_exit(99);
		exec { $command[0] // $ENV{WALARCH_BIN} } @command, $ENV{WALARCH_BIN}, @words
		  or POSIX::_exit(98);
	}
	return {
		dir => $dir, pid => $pid, begun => $begun, message => $message,
		traced => scalar(@command && $command[0] eq 'strace') };
}

# A traced process that has ended is not seen to end before its tracer lets go
# of all its threads: wait for its own end, then remove the tracer.
sub end_tracer
{
	my ($run) = @_;
	my $patience = 10 * $PostgreSQL::Test::Utils::timeout_default;

	while (1)
	{
		my $status = slurp_binary("/proc/$run->{pid}/status");
		my ($tracer) = $status =~ /^TracerPid:\s*([1-9]\d*)/m;

		if ($status =~ /^State:\s*Z/m || $patience-- <= 0)
		{
			$run->{seconds} = Time::HiRes::time() - $run->{begun};
			kill 'KILL', $run->{pid} if $patience < 0;
			kill 'KILL', $tracer if defined $tracer;
			return;
		}
		Time::HiRes::usleep(100_000);
	}
}

sub ask_end
{
	my ($run) = @_;
	my $pg_wal = "$run->{dir}/pg_wal";
	my %files;

	end_tracer($run) if $run->{traced};
	waitpid($run->{pid}, 0);
	my $status = $?;
	$files{ s{.*/}{}r } = $_ foreach glob("$pg_wal/*");
	my ($delivered) = grep { defined $files{$_} && -f $files{$_} } qw(RECOVERYXLOG RECOVERYHISTORY);
	my $path = defined $delivered ? delete $files{$delivered} : undef;
	return {
		status => $status >> 8,
		signal => $status & 127,
		message => slurp_binary($run->{message}) =~ s/^strace: .*\n//mgr,
		stdout => slurp_binary("$run->{dir}.stdout"),
		bytes => defined $path ? slurp_binary($path) : undef,
		left => join(' ', sort keys %files),
		seconds => $run->{seconds} // Time::HiRes::time() - $run->{begun} };
}

# One `walarch get`, from a clean slate.
sub ask
{
	my ($dir, @words) = @_;
	my @before = ref $words[0] ? (shift @words) : ();

	forget($dir);
	return ask_end(ask_begin($dir, @before, 'get', @words));
}

# Start a server whose recovery should end it: does it? One that was opened
# instead is stopped.
sub stops_by_itself
{
	my ($node) = @_;
	my @pg_ctl = ('pg_ctl', '-s', '-D', $node->data_dir);
	my $opened = qr/archive recovery complete/;

	# Not $node->start: it dies if the server ends between it and a look at it.
	PostgreSQL::Test::Utils::system_log(@pg_ctl, '-w', '-l', $node->logfile, 'start');
	wait_until($node->name . ' to end or to be opened', sub {
		return !-e $node->data_dir . '/postmaster.pid' || slurp_file($node->logfile) =~ $opened;
	});
	return 1 unless slurp_file($node->logfile) =~ $opened;
	PostgreSQL::Test::Utils::system_log(@pg_ctl, '-w', '-m', 'fast', 'stop');
	return 0;
}

my @crc_table = map {
	my $crc = $_;
	$crc = $crc & 1 ? ($crc >> 1) ^ 0x82F63B78 : $crc >> 1 foreach 1 .. 8;
	$crc;
} 0 .. 255;

sub crc32c
{
	my ($bytes) = @_;
	my $crc = 0xFFFFFFFF;

	$crc = ($crc >> 8) ^ $crc_table[ ($crc ^ $_) & 0xFF ] foreach unpack 'C*', $bytes;
	return $crc ^ 0xFFFFFFFF;
}

1;
