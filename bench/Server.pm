# A PostgreSQL server in the foreground, and what it and all it starts cost.
package Server;

use strict;
use warnings;
use Exporter 'import';
use POSIX ();
use Time::HiRes ();

our @EXPORT = qw(adopt_orphans start_server stop_server wait_for_exit has_exited wait_until
  log_time cpu_seconds status_kb archiver_pid run);

my $ticks = POSIX::sysconf(&POSIX::_SC_CLK_TCK);
my %exited;						# pid => status, of whatever has been reaped

# Run a command to its end; dies if it fails.
sub run
{
	my (@command) = @_;

	system(@command) == 0 or die "failed: @command\n";
	return;
}

# Become the parent of what detaches itself, as pgBackRest's workers do, so that
# their time is counted, too.
sub adopt_orphans
{
	my %prctl = (x86_64 => 157, aarch64 => 167);
	my $number = $prctl{ (POSIX::uname())[4] };
	my $PR_SET_CHILD_SUBREAPER = 36;

	syscall($number, $PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) if defined $number;
	return;
}

sub reap
{
	while ((my $pid = waitpid(-1, POSIX::WNOHANG())) > 0)
	{
		$exited{$pid} = $?;
	}
	return;
}

sub has_exited
{
	my ($pid) = @_;

	reap();
	return exists $exited{$pid};
}

# Ask again and again, for at most $seconds.
sub wait_until
{
	my ($what, $seconds, $test) = @_;
	my $end = Time::HiRes::time() + $seconds;

	while (Time::HiRes::time() < $end)
	{
		my $result = $test->();
		return $result if $result;
		reap();
		Time::HiRes::sleep(0.02);
	}
	die "gave up waiting for $what after $seconds s\n";
}

sub start_server
{
	my ($directory) = @_;
	my $log = "$directory.log";

	unlink $log;
	my $pid = fork() // die "fork: $!\n";
	if ($pid == 0)
	{
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>', $log);
		open(STDERR, '>&', \*STDOUT);
		exec('postgres', '-D', $directory) or POSIX::_exit(127);
	}
	return { pid => $pid, directory => $directory, log => $log };
}

sub wait_for_exit
{
	my ($server, $seconds) = @_;

	wait_until('the server to end', $seconds, sub { has_exited($server->{pid}) });
	return $exited{ $server->{pid} };
}

sub stop_server
{
	my ($server) = @_;

	kill 'INT', $server->{pid};
	return wait_for_exit($server, 120);
}

# When the log first said this, in seconds of the day; undef if not yet.
sub log_time
{
	my ($server, $pattern) = @_;

	open(my $log, '<', $server->{log}) or return;
	while (my $line = <$log>)
	{
		next unless $line =~ $pattern;
		return $1 * 3600 + $2 * 60 + $3 if $line =~ /^\S+ (\d+):(\d+):(\d+\.\d+)/;
	}
	return;
}

# Processor seconds, user and system, of everything that descends from us,
# alive or gone.
sub cpu_seconds
{
	my (%parent, %own);
	my $sum = 0;

	reap();
	for my $file (glob '/proc/[0-9]*/stat')
	{
		open(my $stat, '<', $file) or next;
		my $line = <$stat> // next;
		my ($pid) = $line =~ /^(\d+)/;
		my @field = split ' ', $line =~ s/^.*\) //r;
		$parent{$pid} = $field[1];
		$own{$pid} = $field[11] + $field[12] + $field[13] + $field[14];
	}
	for my $pid (keys %own)
	{
		my $at = $pid;
		$at = $parent{$at} while $at != $$ && ($parent{$at} // 0) > 1;
		$sum += $own{$pid} if $at == $$ && $pid != $$;
	}
	my (undef, undef, $user, $system) = times();
	return $sum / $ticks + $user + $system;
}

sub archiver_pid
{
	my ($server) = @_;

	for my $file (glob '/proc/[0-9]*/cmdline')
	{
		open(my $in, '<', $file) or next;
		my $line = <$in> // next;
		next unless $line =~ /^postgres: archiver/;
		my ($pid) = $file =~ m{/(\d+)/};
		open(my $stat, '<', "/proc/$pid/stat") or next;
		my @field = split ' ', (<$stat> // next) =~ s/^.*\) //r;
		return $pid if $field[1] == $server->{pid};
	}
	return;
}

# A line of /proc/PID/status that counts kilobytes, such as VmHWM.
sub status_kb
{
	my ($pid, $name) = @_;

	open(my $in, '<', "/proc/$pid/status") or return;
	while (<$in>) { return $1 if /^$name:\s+(\d+) kB/; }
	return;
}

1;
