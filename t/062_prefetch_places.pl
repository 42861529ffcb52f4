# Servers in places where a background process of ours could hurt them: one that
# is process 1, as in a container, one with a log collector, one whose pg_wal is
# a link to another and small file system; and a place that only looks like the
# file system of pg_wal.

use strict;
use warnings;

use lib 't/lib';
use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Prefetch;
use RootHelper;
use Standby;
use Test::More;
use Time::HiRes qw(time usleep);
use WalArch;

my $primary = small_primary('primary', conf => "max_wal_size = 64MB\n");
my $archive = archive_dir($primary);
$primary->safe_psql('postgres', 'CREATE TABLE t (a int, b text)');
$primary->backup('base');
foreach my $round (1 .. 12)
{
	$primary->safe_psql('postgres',
		"INSERT INTO t SELECT $round, md5(i::text || random()) FROM generate_series(1, 9000) AS i");
}
mark($primary, 'end');
switch_and_archive($primary);
my $sums = table_sums($primary, qw(t marks));

# A standby that has not begun to replay anything of value.
sub delayed
{
	my ($name, $options, $conf) = @_;

	return new_standby($name, $primary, 'base', get => $options,
		conf => "archive_mode = off\nrecovery_min_apply_delay = '1h'\n" . ($conf // ''));
}

sub wait_held
{
	my ($node, $count) = @_;
	wait_until("$count segments to be held", sub { held($node->data_dir) == $count });
	return;
}

# The most that is held at any moment of the next two seconds.
sub most_held
{
	my ($node) = @_;
	my $until = time() + 2;
	my $most = 0;

	while (time() < $until)
	{
		my $held = held($node->data_dir);

		$most = $held if $held > $most;
		usleep(10_000);
	}
	return $most;
}

sub go_on
{
	my ($node) = @_;

	$node->append_conf('postgresql.conf', "recovery_min_apply_delay = 0");
	$node->safe_psql('postgres', 'SELECT pg_reload_conf()');
	wait_marks($node, 'end');
	return;
}

# ---- process 1 --------------------------------------------------------------------

sub children_of
{
	my ($parent) = @_;
	my @children;

	foreach my $stat (glob('/proc/[0-9]*/stat'))
	{
		open(my $handle, '<', $stat) or next;
		my $line = <$handle> // next;
		my ($pid) = $line =~ /^(\d+)/;

		push @children, $pid if $line =~ /.*\) \S (\d+)/ && $1 == $parent;
	}
	return @children;
}

# Start a node as process 1; the process that keeps it, and its own.
sub start_as_first
{
	my ($node) = @_;
	my $postgres = (grep { -x } map { "$_/postgres" } split /:/, $ENV{PATH})[0];

	my $keeper = root_do('first', $node->data_dir, $node->logfile, $postgres);
	wait_until($node->name . ' to accept connections', sub {
		return -e $node->data_dir . '/postmaster.pid'
		  && slurp_file($node->data_dir . '/postmaster.pid') =~ /^ready/m });
	return ($keeper, (children_of($keeper))[0]);
}

my $restarted = qr/terminating any other active server processes|all server processes terminated|was terminated by signal/;

SKIP:
{
	skip 'process namespaces need root', 14 unless root_available('first');

	my $node = delayed('plain', '');
	my ($keeper, $server) = start_as_first($node);
	is((split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0], 1, 'a server that is process 1');
	go_on($node);
	is(table_sums($node, qw(t marks)), $sums, 'recovers');
	is(scalar(prefetchers($node->data_dir)), 0, 'and has no prefetcher, unless one is asked for');
	kill 'INT', $server;
	wait_until('it to end', sub { !-e $node->data_dir . '/postmaster.pid' });

	$node = delayed('asked', '--prefetch 4');
	($keeper, $server) = start_as_first($node);
	wait_held($node, 4);
	my ($pid) = prefetchers($node->data_dir);
	ok((grep { $_ == $pid } children_of($server)), 'asked for, it is a child of the server');
	kill 'TERM', $pid;
	wait_until('it to end', sub { !prefetchers($node->data_dir) && !grep { $_ == $pid } children_of($server) });
	is(($node->psql('postgres', 'SELECT 1'))[1], 1, 'the server survives its end by a signal');
	go_on($node);
	is(table_sums($node, qw(t marks)), $sums, 'and recovers');
	$node->safe_psql('postgres', 'SELECT pg_promote(false)');
	end_of_recovery($node);
	is(junk_after_a_while($node->data_dir), '', 'promoted: the next one has ended by itself');
	is(($node->psql('postgres', 'SELECT 1'))[1], 1, 'which the server survives');
	unlike(slurp_file($node->logfile), $restarted, 'it has never restarted its processes');
	is((children_of($keeper))[0], $server, 'and is the same process');
	kill 'INT', $server;
	wait_until('it to end', sub { !-e $node->data_dir . '/postmaster.pid' });

	# A container that ends.
	$node = delayed('container', '--prefetch 4');
	($keeper, $server) = start_as_first($node);
	wait_held($node, 4);
	kill 'KILL', $server;
	is(junk_after_a_while($node->data_dir), '', 'the container is gone: nothing is left');
}

# ---- a log collector --------------------------------------------------------------

{
	my $node = delayed('collector', '', "logging_collector = on\nlog_directory = 'log'\n");

	$node->start;
	wait_held($node, 8);
	my ($pid) = prefetchers($node->data_dir);
	my ($server) = split /\n/, slurp_file($node->data_dir . '/postmaster.pid');
	my @processes = children_of($server);
	cmp_ok(scalar(@processes), '>=', 3, 'a server and its log collector');

	# Even one that does nothing any more holds nobody up.
	kill 'STOP', $pid;
	$node->stop;
	wait_until('all of the server to end', sub { !grep { !has_ended($_) } @processes });
	ok(-e "/proc/$pid", 'the server and its log collector end before the prefetcher');
	kill 'CONT', $pid;
	is(junk_after_a_while($node->data_dir), '', 'which then ends, too');
}

# ---- pg_wal elsewhere ---------------------------------------------------------------

SKIP:
{
	skip 'mounting needs root', 6 unless root_available('tmpfs', 'bind');

	foreach my $case ([ 'roomy', '64M', 8 ], [ 'tight', '14M', 0 ])
	{
		my ($name, $size, $expected) = @$case;
		my $node = delayed($name, '', "min_wal_size = 2MB\nmax_wal_size = 2MB\n");
		my $wal = $node->basedir . '/wal';

		root_do('tmpfs', $wal, $size);
		move_wal($node, $wal);
		$node->start;
		wait_delayed($node);
		wait_until("the prefetcher of $name", sub { prefetchers($node->data_dir) > 0 });
		wait_held($node, $expected);
		is(most_held($node), $expected, "pg_wal on a $name file system of its own: $expected are held there");
		go_on($node);
		is(table_sums($node, qw(t marks)), $sums, 'the same data');
		$node->stop;
		is(junk_after_a_while($node->data_dir), '', 'nothing is left');
	}

	my $node = delayed('bound', '--spool ' . dirname($archive) . '/bound');
	mkdir $node->basedir . '/elsewhere';
	root_do('bind', $node->basedir . '/elsewhere', dirname($archive) . '/bound');
	$node->start;
	like(wait_line($node, 'nothing is fetched ahead'), qr/is not on the file system of pg_wal/,
		'another mount of the same file system is no place: it says so');
	go_on($node);
	is(table_sums($node, qw(t marks)), $sums, 'and recovers without');
	is(scalar(prefetchers($node->data_dir)), 0, 'there is no prefetcher');
	$node->stop;
}
{
	my $node = delayed('given', '--prefetch 5 --spool ../spool');
	my $spool = $node->basedir . '/spool';

	mkdir $spool, 0700 or die "could not make \"$spool\": $!";
	$node->start;
	wait_held($node, 5);
	is(join(' ', grep { !/^\./ } slurp_dir($spool)), '', 'a spool given, relative to the data directory, shows no names');
	go_on($node);
	is(table_sums($node, qw(t marks)), $sums, 'and serves');
	$node->stop;
}

done_testing();
