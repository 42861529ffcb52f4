# A standby that lives on the archive alone replays a pgbench load and then
# holds the same tables as the primary, also after the archive was away for a
# while: it says so loudly and goes on by itself. A streaming standby whose WAL
# the primary has already removed comes back by way of the archive and streams.

use strict;
use warnings;

use lib 't/lib';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Standby;
use Test::More;
use WalArch;

my @tables = qw(pgbench_accounts pgbench_branches pgbench_tellers pgbench_history);

my $primary = small_primary('primary', conf => "max_wal_size = 4MB\nwal_keep_size = 0\n");
my $archive = archive_dir($primary);
$primary->backup('base');

# Make the primary finish a segment, and wait until a standby has replayed it.
sub catch_up
{
	my ($standby) = @_;
	my $lsn = $primary->safe_psql('postgres', 'SELECT pg_switch_wal()');

	wait_replayed($standby, $lsn);
	return;
}

sub load
{
	my ($transactions) = @_;

	$primary->command_ok([ qw(pgbench -n -c 2 -t), $transactions, 'postgres' ],
		'pgbench runs');
	return;
}

my $shipped = new_standby('shipped', $primary, 'base');
my $streamer = new_standby('streamer', $primary, 'base',
	streaming => $primary);
$shipped->start;
$streamer->start;
my $before = log_position($shipped);

#
# Log shipping.
#
$primary->command_ok([qw(pgbench -i -q postgres)], 'pgbench makes its tables');
load(500);
catch_up($shipped);
is(table_sums($shipped, @tables), table_sums($primary, @tables),
	'the standby that only has the archive holds what the primary holds');
cmp_ok($primary->safe_psql('postgres', 'SELECT count(*) FROM pgbench_history'),
	'==', 1000, 'and the load was there at all');
unlike(slurp_file($shipped->logfile, $before), qr/walarch get:/,
	'a restore command that found or missed files was silent');
is(scalar(grep { $_->[1] != 0 && $_->[1] != 1 } requests($shipped)), 0,
	'and ended in 0 or 1');

#
# The archive is away for a while.
#
$before = log_position($shipped);
rename $archive, "$archive.away" or die "could not rename \"$archive\": $!";
load(100);
switch_wal($primary);
my $line = wait_line($shipped, 'walarch get: could not restore', $before);
like($line, qr/\Q$archive\E/, 'the standby says that it misses the directory');
like($line, qr/reported as absent, the standby will ask again: do not promote it/,
	'and what that means');
$primary->poll_query_until('postgres',
	'SELECT failed_count > 0 FROM walarch.status')
  or die 'the primary counts no failure';
like(status_value($primary, 'last_error'), qr/\Q$archive\E/,
	'the primary counts a failure that names it, too');
ok(!-e $archive, 'and nobody made another directory in its place');
is($shipped->safe_psql('postgres', 'SELECT pg_is_in_recovery()'), 't',
	'the standby is up and in recovery');

rename "$archive.away", $archive or die "could not rename \"$archive\" back: $!";
load(100);
catch_up($shipped);
is(table_sums($shipped, @tables), table_sums($primary, @tables),
	'back again, the standby has caught up by itself');
is(scalar(grep { $_->[1] != 0 && $_->[1] != 1 } requests($shipped)), 0,
	'its restore command never ended above 1');

#
# A streaming standby too long away.
#
catch_up($streamer);
my $wanted = $primary->safe_psql('postgres',
	'SELECT pg_walfile_name(pg_current_wal_insert_lsn())');
$streamer->stop;
load(500);
write_wal($primary, 6144);
wait_objects($archive, switch_wal($primary));
$primary->safe_psql('postgres', 'CHECKPOINT');
ok(!-e $primary->data_dir . "/pg_wal/$wanted",
	'the primary has removed the next segment that the standby needs');

my $asked = requests($streamer);
$before = log_position($streamer);
$streamer->start;
$primary->wait_for_catchup($streamer);
like(slurp_file($streamer->logfile, $before),
	qr/restored log file "$wanted" from archive/,
	'it comes from the archive');
my @later = requests($streamer);
ok((grep { $_->[0] eq $wanted && $_->[1] == 0 } @later[ $asked .. $#later ]),
	'by walarch get');
mark($primary, 'streamed');
$primary->wait_for_catchup($streamer);
is(marks($streamer), 'streamed', 'then it streams: a row comes without a segment switch');
is(table_sums($streamer, @tables), table_sums($primary, @tables),
	'and it holds what the primary holds');

is(status_value($primary, 'conflict_count'), 0, 'nothing was ever in conflict');

done_testing();
