# kill -9 of the archiver in the middle of a backlog, again and again, and of
# the whole server: at every moment each object in the archive is absent or
# complete, archiving goes on to the end, and what the dead left in tmp/ goes
# with the next start, while what belongs to another host stays.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

use WalArch;

my $node = new_primary(
	'main',
	extra => ['--wal-segsize=1'],
	conf => "wal_keep_size = '1GB'\n"
	  . "restart_after_crash = on\n"
	  . "walarch.compression_level = 19\nwalarch.catchup_level = 19\n");
my $archive = archive_dir($node);
switch_and_archive($node);

# Objects that the stock zstd does not turn into the segment in pg_wal.
sub bad_objects
{
	return grep {
		my $raw = object_raw($archive, $_);
		!defined $raw || $raw ne slurp_binary(data_file($node, "pg_wal/$_"));
	} archive_files($archive);
}

# Files that wait to be archived, each a full segment that takes its time.
sub make_backlog
{
	my ($count) = @_;

	set_conf($node, 'walarch.archive', '');
	wait_status($node, "state = 'unconfigured'");
	my @wal = map { write_wal($node, 900); switch_wal($node) } 1 .. $count;
	return @wal;
}

# What others have in tmp/.
my @foreign = ('0123456789abcdef-7', 'ffffffffffffffff-0', 'not-ours', '0123456789abcdef-7.txt');

sub own_temporaries
{
	my %foreign = map { $_ => 1 } @foreign;

	return grep { !$foreign{$_} } temporary_files($archive);
}

# Stop the archiver at a moment when it has a temporary: stopped first, with all
# its threads, looked at then. False if it has archived everything before it was
# caught.
sub stop_in_the_middle
{
	my ($pid, @wal) = @_;
	my $until = time() + 30;

	while (time() < $until)
	{
		if (own_temporaries())
		{
			kill 'STOP', $pid;
			wait_until('the archiver to stop', sub { thread_states($pid) =~ /^T+$/ });
			my @left = own_temporaries();
			return @left if @left;
			kill 'CONT', $pid;
		}
		last if is_archived($node, $wal[-1]);
	}
	return;
}

# --- the archiver

my @wal = make_backlog(16);
is(status($node)->{backlog_files}, 16, 'a backlog');
my $failed = status($node)->{failed_count};
my $position = log_position($node);
set_conf($node, 'walarch.archive', $archive);

my $kills = 0;
my @bad;
my %left;
for (1 .. 10)
{
	my $pid = wait_for_archiver($node);
	my $done = status($node)->{archived_count};

	wait_until('some progress',
		sub { is_archived($node, $wal[-1]) || status_value($node, "archived_count > $done") eq 't' });
	my @left = stop_in_the_middle($pid, @wal);
	if (!@left)
	{
		# held up for so long that the end of the backlog went by
		push @wal, make_backlog(16);
		set_conf($node, 'walarch.archive', $archive);
		next;
	}
	kill 'KILL', $pid;
	$left{$_} = 1 for @left;
	$kills++;
	push @bad, bad_objects();
	wait_for_archiver($node, $pid);
	last if $kills == 3;
}
is($kills, 3, 'the archiver was killed in the middle of a file, several times');
is("@bad", '', 'at each moment every object was absent or complete');
wait_archived($node);
is(join(' ', bad_objects()), '', 'at the end all are whole');
is(join(' ', grep { !-e object_path($archive, $_) } @wal), '', 'and all are there');
is(join(' ', temporary_files($archive)), '', 'tmp/ is empty')
  or diag('left by the killed: ' . join(' ', sort keys %left));
my $swept = () = log_since($node, $position) =~ /removed \d+ abandoned temporary files/g;
is($swept, $kills, 'each start swept what its predecessor had left');
is(join(' ', damaged_files($archive)), '', 'nothing was damaged');
is(status($node)->{failed_count}, $failed, 'nothing failed');

# --- the whole server, and what others have in tmp/

write_binary("$archive/tmp/$_", 'half a file') for @foreign;
my $old = time() - 3 * 24 * 60 * 60;
# a file can be given any mtime; that its ctime is young shows that it was touched
utime $old, $old, "$archive/tmp/ffffffffffffffff-0" or die $!;

my ($pid, @left);
for (1 .. 10)
{
	@wal = make_backlog(8);
	$pid = wait_for_archiver($node);
	set_conf($node, 'walarch.archive', $archive);
	wait_until('some progress', sub { is_archived($node, $wal[0]) });
	last if @left = stop_in_the_middle($pid, @wal);
}
cmp_ok(scalar @left, '>', 0, 'the server is killed in the middle of a file');
$node->kill9;
kill 'KILL', $pid;
is(join(' ', bad_objects()), '', 'server killed: every object is absent or complete');
wait_until('the server to start again',
	sub {
		usleep(200_000);
		$node->{_pid} = undef;		# a failed start finds the dead one's pid file
		$node->start(fail_ok => 1);
	});
wait_for_archiver($node);
wait_archived($node);
is(join(' ', bad_objects()), '', 'after the next start all are whole');
is(join(' ', grep { !-e object_path($archive, $_) } @wal), '', 'and all are there');
is(join(' ', temporary_files($archive)), join(' ', sort @foreign),
	'in tmp/ our own is gone, what may be of a living host stays');

# --- an archiver that dies between its commit and the .done

$node->stop;
present_again($node, @wal[ 0 .. 2 ]);
my $identical = status_of_file($node);
$node->start;
wait_archived($node);
is(status($node)->{identical_count}, $identical + 3,
	'what was committed and not acknowledged is found identical');
$node->stop;

sub status_of_file
{
	my ($server) = @_;
	my (undef, $json) =
	  run_in('/', $ENV{WALARCH_BIN}, 'status', '-D', $server->data_dir, '--json');
	return JSON::PP->new->decode($json)->{identical_count};
}

done_testing();
