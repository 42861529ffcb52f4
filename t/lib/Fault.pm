# System calls that fail or kill, one after the other, from outside: strace lets
# the n-th call of a kind fail, for n = 1, 2, 3 ... until there is no n-th.
#
#	use lib "t/lib";
#	use Fault;
#
#	each_fault('get', \@fault_errors, sub {
#		my (@strace) = @_;                      # to stand before the command
#		my $run = ...;
#		return (undef, $run) or ('what is wrong', $run);
#	});
#
# The function runs the command once for each fault, judges, and puts things
# right. One result for each kind of call: how many faults, and what was wrong.
#
# WALARCH_FAULTS=N: up to N calls of each kind, the first and the last among
# them (1: one in the middle), each with one of the errors in turn.
# WALARCH_FAULTS=all: every call with every error.
# WALARCH_FAULTS_ONLY=PATTERN: only the cases whose names match, such as '^get'.

package Fault;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Utils;
use Test::More;
use WalArch;

our @EXPORT = qw(
  can_fault each_fault wait_tracer fault_points fault_judge fault_options
  fault_fired fault_wanted fault_tally
  @fault_calls @fault_errors @fault_kill
);

# What touches files. Those that no run uses have no points.
our @fault_calls = qw(
  openat read pread64 write pwrite64 fsync fdatasync syncfs ftruncate newfstatat
  getdents64 link linkat symlink rename renameat renameat2 unlink unlinkat mkdir
  mkdirat rmdir chmod fchmod flock fcntl
);
our @fault_errors = map { "error=$_" } qw(EIO ENOSPC EDQUOT EACCES ESTALE EINTR);
our @fault_kill = ('signal=KILL');

my $turn = 0;

sub can_fault { return system('strace -qq -o /dev/null true 2>/dev/null') == 0; }

# Is this case asked for?
sub fault_wanted { return $_[0] =~ /$ENV{WALARCH_FAULTS_ONLY}/ if $ENV{WALARCH_FAULTS_ONLY}; return 1; }

# How often each fault fired, for people: { 'error=EIO' => 12, ... }.
sub fault_tally
{
	my ($count) = @_;

	return join ', ', map { s/^error=//r . " $count->{$_}" } sort keys %$count;
}

sub all { return ($ENV{WALARCH_FAULTS} // '') eq 'all'; }

# Options of strace: note calls of a kind, and let the n-th of each thread fail.
sub fault_options
{
	my ($call, $what, $n) = @_;

	return ('-e', "trace=$call",
		defined $what ? ('-e', "inject=$call:$what:when=$n") : ());
}

# A tracer that was detached (-D) ends after the last process it follows; what
# is done meanwhile is to make these end.
sub wait_tracer
{
	my ($trace, $meanwhile) = @_;

	wait_until('the tracer to end', sub {
		$meanwhile->() if defined $meanwhile;
		return !grep { (readlink($_) // '') eq $trace } glob('/proc/[0-9]*/fd/*');
	});
	return;
}

# Did it come to that? A killed process leaves no line of the call itself.
sub fault_fired
{
	my ($trace) = @_;
	return slurp_file($trace) =~ /\(INJECTED\)|\+\+\+ killed by SIGKILL/;
}

# The calls to let fail, as [n, error], of as many as a trace without a fault
# has in one thread.
sub fault_points
{
	my ($trace, $call, $whats) = @_;
	my $text = slurp_file($trace);
	my %calls;

	$calls{$1}++ while $text =~ /^(\d+) +(?:\Q$call\E\(|<\.\.\. \Q$call\E resumed)(?!.*<unfinished)/mg;
	my ($most) = sort { $b <=> $a } values %calls or return;
	my $bound = $ENV{WALARCH_FAULTS} // 6;
	my @n = all() ? 1 .. $most : $bound > 1 ? sample_files($bound, 1 .. $most) : int(($most + 1) / 2);

	return map {
		my $n = $_;
		all() ? map { [ $n, $_ ] } @$whats : [ $n, $whats->[ $turn++ % @$whats ] ];
	} @n;
}

# The result of one kind.
sub fault_judge
{
	my ($name, $call, $fired, @wrong) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(join("\n", @wrong), '', "$name: $call, $fired faults");
	return;
}

# All faults of all calls of a command that runs under strace.
sub each_fault
{
	my ($name, $whats, $run) = @_;
	my $trace = PostgreSQL::Test::Utils::tempdir_short() . '/trace';
	my $total = 0;
	my %count;

	return unless fault_wanted($name);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach my $call (@fault_calls)
	{
		my @strace = ('strace', '-f', '-qq', '-o', $trace);
		my ($fired, @wrong) = (0);
		my ($problem) = $run->(@strace, '--seccomp-bpf', fault_options($call));

		push @wrong, "without a fault: $problem" if defined $problem;
		foreach my $point (fault_points($trace, $call, $whats))
		{
			my ($n, $what) = @$point;

			# The fast way, which strace does not know for signals.
			($problem, my $run) = $run->(@strace, $what =~ /^error/ ? '--seccomp-bpf' : (),
				fault_options($call, $what, $n));
			if (fault_fired($trace)) { $fired++; $count{$what}++; }
			push @wrong, "$call $n, $what: $problem" . (defined $run ? " ($run)" : '')
			  if defined $problem;
		}
		fault_judge($name, $call, $fired, @wrong) if $fired || @wrong;
		$total += $fired;
	}
	cmp_ok($total, '>', 5, "$name: $total faults in all (" . fault_tally(\%count) . ')');
	return;
}

1;
