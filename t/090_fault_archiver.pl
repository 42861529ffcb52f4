# Each system call of the archiver fails once, and kills once: the archive has
# the old object or the new one, never half of one, the error is counted and
# can be read in SQL, and the next try archives the file.

use strict;
use warnings;

use Fault;
use JSON::PP;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RootHelper;
use Test::More;
use WalArch;

plan skip_all => 'tracing system calls needs root and strace'
  unless root_available('strace', 'kill');

# PostgreSQL starts an archiver every ten seconds at most, so most of the time is
# waiting: each case has a process and a server of its own.
my ($node, $archive, $trace);
my %names = (
	EIO => 'Input/output error', ENOSPC => 'No space left on device',
	EDQUOT => 'Disk quota exceeded', EACCES => 'Permission denied',
	ESTALE => 'Stale file handle', EINTR => 'Interrupted system call');

# The server survives anything: what it says, or undef while it does not.
sub ask
{
	my ($sql) = @_;
	my ($exit, $stdout) = eval { $node->psql('postgres', $sql) };
	return defined $exit && $exit == 0 ? $stdout : undef;
}

sub archiver { return ask("SELECT pid FROM pg_stat_activity WHERE backend_type = 'archiver'"); }

# ---- what there is to archive, and what lies in its place ----------------------------

sub new_segment
{
	write_wal($node, 1);		# so that the position is within a segment
	return $node->safe_psql('postgres', 'SELECT pg_walfile_name(pg_current_wal_insert_lsn())');
}

# An object that is damaged: set aside and replaced.
sub damaged_segment
{
	my $wal = switch_wal($node);

	wait_archived($node, $wal);
	my $bytes = object_bytes($archive, $wal);
	substr($bytes, length($bytes) / 2, 1) ^= "\x01";
	unlink object_path($archive, $wal);
	write_binary(object_path($archive, $wal), $bytes);
	present_again($node, $wal);
	return $wal;
}

# Is there neither what was there before (undef: nothing) nor the segment?
sub half
{
	my ($wal, $old) = @_;
	my $path = object_path($archive, $wal);
	my $now = -e $path ? slurp_binary($path) : undef;

	return 0 if ($now // 'none') eq ($old // 'none');
	return (object_raw($archive, $wal) // '') ne slurp_binary(data_file($node, "pg_wal/$wal"));
}

# Are the bytes of a damaged object still there?
sub is_kept
{
	my ($wal, $old) = @_;

	return 1 if !defined $old || object_bytes($archive, $wal) eq $old;
	return scalar grep { /^\Q$wal\E/ && slurp_binary("$archive/damaged/$_") eq $old } damaged_files($archive);
}

# One file under a fault; what is wrong.
sub archive_once
{
	my ($make, @strace) = @_;
	my $pid = wait_until('an archiver', \&archiver);
	my $before = status($node);
	my $wal = $make->();
	my $old = -e object_path($archive, $wal) ? object_bytes($archive, $wal) : undef;
	my $tracer = root_do('strace', $pid, $trace, '--', '-f', @strace);
	my $text = '';

	eval { switch_wal($node) };	# wakes it; the server may be gone before it answers

	wait_until("$wal to be tried", sub {
		$text = slurp_file($trace);
		return 1 if fault_fired($trace);
		return is_archived($node, $wal);
	});
	return 'half an object' if half($wal, $old);
	return 'the damaged bytes are lost' unless is_kept($wal, $old);
	my $counted = sub {
		return ask("SELECT failed_count || ' ' || coalesce(last_error, '') FROM walarch.status");
	};
	# Let it come to its end: archived, or counted, or another archiver.
	wait_until("$wal to be archived or to fail", sub {
		return is_archived($node, $wal) || ($counted->() // '') =~ /^(\d+)/ && $1 > $before->{failed_count}
		  || (archiver() // '') ne $pid;
	});
	eval { root_do('kill', $tracer) };
	return 'half an object afterwards' if half($wal, $old);
	my $error = ($counted->() // '') =~ /^(\d+) (.*)/s && $1 > $before->{failed_count} ? $2 : undef;
	wait_until("$wal to be archived", sub {
		my $now = archiver();
		kill 'HUP', $now if $now;
		return is_archived($node, $wal);
	});
	my ($what) = $text =~ /= -1 (\w+) .*\(INJECTED\)/;
	return ('not the segment', $error) if (object_raw($archive, $wal) // '') ne slurp_binary(data_file($node, "pg_wal/$wal"));
	return ("an error that does not say $what", $error)
	  if defined $what && defined $error && $error !~ /\Q$names{$what}\E/;
	return ('the damaged bytes are lost in the end', $error) unless is_kept($wal, $old);
	# Another file may be on its way, or its archiver was killed: then the next
	# sweeps. A connection makes PostgreSQL look whether it is time to start it.
	eval { wait_until('tmp/ to be empty', sub { archiver(); !temporary_files($archive) }) };
	my @left = temporary_files($archive);
	return ("leaves @left", $error) if @left;
	return (undef, $error);
}

# The results of a case, as [good, name, what is wrong].
sub results
{
	my ($name, $make, $whats, @calls) = @_;
	my ($total, $counted, @results) = (0, 0);
	my %count;

	foreach my $call (@calls)
	{
		my ($fired, @wrong) = (0);
		my ($problem) = archive_once($make, fault_options($call));

		push @wrong, "without a fault: $problem" if defined $problem;
		foreach my $point (fault_points($trace, $call, $whats))
		{
			my ($n, $what) = @$point;

			($problem, my $error) = archive_once($make, fault_options($call, $what, $n));
			if (fault_fired($trace)) { $fired++; $count{$what}++; }
			$counted++ if defined $error;
			push @wrong, "$call $n, $what: $problem (" . ($error // '') . ')' if defined $problem;
		}
		push @results, [ !@wrong, "$name: $call, $fired faults", join("\n", @wrong) ] if $fired || @wrong;
		$total += $fired;
	}
	push @results, [ $total > 2, "$name: $total faults in all (" . fault_tally(\%count) . ')', '' ];
	push @results, [ $counted > 0, "$name: $counted errors counted and read", '' ] if $whats == \@fault_errors;
	my ($exit, $out, $err) = run_in('/', $ENV{WALARCH_BIN}, 'verify', '--archive', $archive);
	push @results, [ $exit eq '0', "$name: at the end the archive is whole", $out . $err ];
	return @results;
}

$ENV{WALARCH_FAULTS} //= 2;
my @odd = @fault_calls[ grep { $_ % 2 } 0 .. $#fault_calls ];
my @even = @fault_calls[ grep { !($_ % 2) } 0 .. $#fault_calls ];
my @cases = (
	[ 'a new segment', \&new_segment, \@fault_errors, @fault_calls ],
	[ 'a damaged object', \&damaged_segment, \@fault_errors, @fault_calls ],
	[ 'a new segment, killed', \&new_segment, \@fault_kill, @odd ],
	[ 'a new segment, killed', \&new_segment, \@fault_kill, @even ],
	[ 'a damaged object, killed', \&damaged_segment, \@fault_kill, @odd ],
	[ 'a damaged object, killed', \&damaged_segment, \@fault_kill, @even ]);
@cases = grep { fault_wanted($_->[0]) } @cases;
my @runs;

foreach my $i (0 .. $#cases)
{
	# One worker, so that the n-th call of a thread is the n-th call.
	$node = new_primary(
		"server$i",
		extra => ['--wal-segsize=1'],
		conf => "wal_keep_size = '1GB'\nautovacuum = off\nrestart_after_crash = on\n"
		  . "log_min_messages = fatal\nwalarch.workers = 1\n");
	$archive = archive_dir($node);
	$trace = $node->basedir . '/trace';
	switch_and_archive($node);
	my $pid = fork() // die "could not fork: $!";
	if ($pid == 0)
	{
		my @results = eval { results(@{ $cases[$i] }) };
		@results = [ 0, $cases[$i][0], $@ ] if $@;
		write_binary("$trace.results", encode_json(\@results));
		POSIX::_exit(0);
	}
	push @runs, [ $pid, "$trace.results", $node ];
}
foreach my $run (@runs)
{
	my ($pid, $file, $server) = @$run;

	waitpid $pid, 0;
	foreach my $result (@{ decode_json(slurp_file($file)) })
	{
		ok($result->[0], $result->[1]) or diag($result->[2]);
	}
	$server->stop;
}
done_testing();
