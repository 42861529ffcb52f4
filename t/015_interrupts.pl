# An archive that does not answer holds up nothing but archiving: DROP DATABASE
# does not wait for it, after walarch.timeout it is a counted failure, further
# attempts fail at once, and a fast shutdown takes one timeout and not three.
# A shutdown with a backlog drains it without the minute's sleep that a lost
# latch costs. On a frozen file system the server stops as soon as it thaws.

use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

use RootHelper;
use WalArch;

# How long something took, in seconds.
sub timed
{
	my ($code) = @_;
	my $begun = time();
	$code->();
	return time() - $begun;
}

# Every fsync of the archiver's workers takes that long from now on.
my $traces = 0;

sub slow_down
{
	my ($node, $seconds) = @_;
	my $out = $node->basedir . '/strace.' . ++$traces;
	my $tracer = root_do('strace', archiver_pid($node), $out, '--', '-f', '-e', 'trace=fsync',
		'-e', 'inject=fsync:delay_enter=' . int($seconds * 1000000));

	return ($tracer, $out);
}

# pg_ctl stop that does not hold up the test.
sub start_to_stop
{
	my ($server) = @_;
	my $output = '';
	my $stop = IPC::Run::start(
		[ 'pg_ctl', '-D', $server->data_dir, '-m', 'fast', '-t', '120', 'stop' ],
		'>', \$output, '2>', \$output);

	return $stop;
}

sub finish_stop
{
	my ($server, $stop) = @_;

	$stop->finish;
	$server->_update_pid(-1);
	is($stop->result(0), 0, 'the server stops in an orderly way');
	return;
}

# Until a process has called exit: it is gone, or a thread that hangs in the
# kernel is all there is left of it.
sub wait_for_exit
{
	my ($pid, $within) = @_;

	return wait_until(
		"process $pid to exit",
		sub {
			open(my $handle, '<', "/proc/$pid/status") or return 1;
			local $/;
			return (<$handle> // '') !~ /^State:\s+[^ZX]/m;
		},
		$within);
}

my $node = new_primary(
	'main',
	extra => ['--wal-segsize=1'],
	conf => "wal_keep_size = '1GB'\nwalarch.timeout = '60s'\n");
my $archive = archive_dir($node);

my $seconds;
switch_and_archive($node);
$seconds = timed(sub { $node->stop('fast') });
cmp_ok($seconds, '<', 40, 'an idle server stops quickly');
$node->start;
switch_and_archive($node);
$seconds = timed(sub { $node->stop('smart') });
cmp_ok($seconds, '<', 40, 'also in smart mode');
$node->start;

SKIP:
{
	skip 'delaying system calls needs root and strace', 18
	  unless root_available('strace', 'kill');

	# --- a hung archive and the rest of the server

	$node->safe_psql('postgres', 'CREATE DATABASE shortlived');
	switch_and_archive($node);
	set_conf($node, 'walarch.timeout', '20s');
	my ($tracer, $out) = slow_down($node, 90);
	my $before = status($node);
	write_wal($node, 10);
	my $begun = time();
	my $wal = switch_wal($node);
	wait_until('an operation that hangs',
		sub { -e $out && slurp_file($out) =~ /fsync\(/ });
	$seconds = timed(sub { $node->safe_psql('postgres', 'DROP DATABASE shortlived') });
	is(status($node)->{failed_count}, $before->{failed_count}, 'the operation still hangs');
	cmp_ok($seconds, '<', 15, 'DROP DATABASE does not wait for it');

	my $status = wait_status($node, "state = 'failing'");
	my $waited = time() - $begun;
	cmp_ok($waited, '>', 19, 'walarch.timeout is waited for');
	cmp_ok($waited, '<', 80, 'and not until it comes back');
	is($status->{last_error_sqlstate}, '58000', 'then it is a failure of the system');
	like($status->{last_error}, qr/no progress for 20000 ms|has not come back/, 'that says so');
	like(log_since($node), qr/could not archive "$wal": an operation on the archive "\Q$archive\E" has made no progress for 20000 ms/,
		'the log has file and directory');
	my $failed = status($node)->{failed_count};
	kick($node);
	$seconds = timed(sub {
			$status = wait_status($node, "failed_count >= $failed + 1");
		});
	cmp_ok($seconds, '<', 15, 'further attempts fail at once');
	like($status->{last_error}, qr/an earlier operation .* has not come back/, 'and say why');
	ok(!is_archived($node, $wal), 'nothing was acknowledged');

	# --- what hung comes back

	root_do('kill', $tracer);
	wait_until('archiving to go on', sub { kick($node); usleep(300_000); is_archived($node, $wal) });
	object_is($archive, $wal, data_file($node, "pg_wal/$wal"), 'when it has come back, archiving goes on');
	is(join(' ', temporary_files($archive)), '', 'and what was given up has left nothing');

	# --- shutdown with a hung archive

	set_conf($node, 'walarch.timeout', '8s');
	switch_and_archive($node);
	($tracer) = slow_down($node, 60);
	write_wal($node, 10);
	my $archiver = archiver_pid($node);
	my $stop = start_to_stop($node);
	$seconds = timed(sub { wait_for_exit($archiver, 60) });
	cmp_ok($seconds, '<', 3 * 8 - 1, 'at shutdown a hung archive costs one timeout');
	cmp_ok($seconds, '>', 7, '(it did hang)');

	# strace itself keeps a process whose thread it delays
	root_do('kill', $tracer);
	$seconds = timed(sub { finish_stop($node, $stop) });
	cmp_ok($seconds, '<', 30, 'and the server is down, long before the hang would have ended');
	$node->start;
	wait_archived($node);
	is(status($node)->{consecutive_failures}, 0, 'the next start archives the rest');

	# --- the postmaster dies while the archive hangs

	set_conf($node, 'walarch.timeout', '60s');
	switch_and_archive($node);
	($tracer, $out) = slow_down($node, 60);
	$archiver = archiver_pid($node);
	write_wal($node, 10);
	switch_wal($node);
	wait_until('an operation that hangs',
		sub { -e $out && slurp_file($out) =~ /fsync\(/ });
	$node->kill9;
	$seconds = timed(sub { wait_for_exit($archiver, 50) });
	cmp_ok($seconds, '<', 40, 'the archiver does not outlive the postmaster');
	root_do('kill', $tracer);
	wait_until('the server to start again',
		sub {
			$node->{_pid} = undef;		# a failed start finds the dead one's pid file
			$node->start(fail_ok => 1);
		});
	wait_archived($node);
	is(status($node)->{consecutive_failures}, 0, 'the server starts again and archives the rest');
}

# --- shutdown with a backlog

set_conf($node, 'walarch.timeout', '60s');
set_conf($node, 'walarch.archive', '');
wait_status($node, "state = 'unconfigured'");
my @wal = map { write_wal($node, 100); switch_wal($node) } 1 .. 30;
is(status($node)->{backlog_files}, 30, 'a backlog');

# slow enough for the request to stop to come in the middle of a file
my $tracer;
$tracer = (slow_down($node, 0.08))[0] if root_available('strace', 'kill');
set_conf($node, 'walarch.archive', $archive);
$seconds = timed(sub { $node->stop('fast') });
cmp_ok($seconds, '<', 30, 'a fast shutdown with a backlog of 30 segments is not held up');
root_do('kill', $tracer) if $tracer;
is(join(' ', grep { !is_archived($node, $_) } @wal), '', 'and drains it');
object_is($archive, $_, data_file($node, "pg_wal/$_"), "$_ is whole") for sample_files(3, @wal);

# --- a frozen file system

SKIP:
{
	skip 'freezing a file system needs root', 7 unless root_available('loop', 'freeze', 'thaw');

	my $frozen = $node->basedir . '/frozen';
	root_do('loop', $frozen, 64);
	set_conf($node, 'walarch.archive', $frozen);
	set_conf($node, 'walarch.timeout', '2s');
	$node->start;
	switch_and_archive($node);
	root_do('freeze', $frozen);
	write_wal($node, 10);
	my $wal = switch_wal($node);
	my $status = wait_status($node, "state = 'failing'", 30);
	is($status->{last_error_sqlstate}, '58000', 'frozen: a failure after the timeout');

	my $archiver = archiver_pid($node);
	my $stop = start_to_stop($node);

	# the main thread has nothing to wait for; only the kernel holds the process
	$seconds = timed(sub { wait_for_exit($archiver, 60) });
	cmp_ok($seconds, '<', 30, 'frozen: the archiver is done with it soon');
	$seconds = timed(sub { root_do('thaw', $frozen); finish_stop($node, $stop) });
	cmp_ok($seconds, '<', 40, 'the server stops as soon as it thaws');
	like(slurp_file($node->logfile), qr/database system is shut down\s*\z/, 'as the log says');
	$node->start;
	wait_archived($node);
	object_is($frozen, $wal, data_file($node, "pg_wal/$wal"), 'and the next start archives the rest');
	is(status($node)->{state}, 'ok', 'the state is ok again');
	$node->stop;
}

done_testing();
