# Whatever PostgreSQL hands over arrives whole, durable in form and openable by
# the stock zstd: segments of 1 MB and of 128 MB (streamed), .backup, .history
# and .partial files, at the lowest, the default and the highest level. The
# counters of walarch.status add up, survive a restart and can be reset; files
# and directories have the modes of the data directory.

use strict;
use warnings;

use File::Path qw(make_path);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use WalArch;

sub sum_of
{
	my $sum = 0;
	$sum += $_ for @_;
	return $sum;
}

# All of an archive against the files still in pg_wal.
sub archive_is_pg_wal
{
	my ($node, $what) = @_;
	my $dir = archive_dir($node);
	my @names = archive_files($dir);
	my @bad = grep {
		my $raw = object_raw($dir, $_);
		my $path = data_file($node, "pg_wal/$_");
		!defined $raw || !-e $path || $raw ne slurp_binary($path);
	} @names;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is("@bad", '', "$what: all " . @names . ' objects are what pg_wal has');
	return @names;
}

# --- a load, and what it leaves

my $main = new_primary(
	'main',
	extra => ['--wal-segsize=1'],
	conf => "wal_keep_size = '1GB'\nmax_slot_wal_keep_size = -1\n");
my $archive = archive_dir($main);

$main->command_ok([ 'pgbench', '-i', '-s', '1', '-q', 'postgres' ], 'pgbench sets up');
$main->command_ok([ 'pgbench', '-n', '-c', '2', '-t', '200', 'postgres' ], 'pgbench runs');
my $wal = switch_and_archive($main);
wait_archived($main);

my @names = archive_is_pg_wal($main, 'pgbench');
cmp_ok(scalar @names, '>=', 10, 'there was some WAL to archive')
  or diag("archived: @names");
object_is($archive, $wal, data_file($main, "pg_wal/$wal"), 'zstd -dc | cmp agrees');
is(join(' ', temporary_files($archive)), '', 'no temporary is left');
is(join(' ', damaged_files($archive)), '', 'nothing was set aside');

# --- the counters

my $status = status($main);
is($status->{state}, 'ok', 'the state is ok') or diag($status->{state_detail} // 'null');
is($status->{state_detail}, undef, 'with nothing to explain');
is($status->{archive}, $archive, 'the archive is shown');
is($status->{archived_count}, scalar @names, 'as many archived as there are objects');
ok( $main->poll_query_until('postgres',
		"SELECT archived_count = $status->{archived_count} FROM pg_stat_archiver"),
	'and as PostgreSQL counts, a moment later');
is($status->{$_}, 0, "$_ is 0")
  for qw(failed_count identical_count conflict_count replaced_count
  damaged_source_count consecutive_failures backlog_files backlog_bytes);
is($status->{last_archived_wal}, $wal, 'the last file archived');
is($status->{oldest_waiting_wal}, undef, 'nothing waits');
is($status->{last_error}, undef, 'no error');
is($status->{raw_bytes}, @names * 1024 * 1024, 'raw bytes are the sum of the segments');
is($status->{stored_bytes}, sum_of(map { -s object_path($archive, $_) } @names),
	'stored bytes are the sum of the objects');
cmp_ok($status->{compression_ratio}, '>', 1, 'the ratio says that it pays');
is($status->{archiver_pid}, archiver_pid($main), 'the archiver is named');
is($status->{compression_level}, 3, 'the default level');
is($status->{workers}, 2, 'the default number of workers');
cmp_ok($status->{free_bytes}, '>', 0, 'free space is known');

my ($exit, $stdout, $stderr) =
  run_in('/', $ENV{WALARCH_BIN}, 'status', '-D', $main->data_dir, '--json');
is($exit, 0, 'walarch status succeeds') or diag($stderr);
is(JSON::PP->new->decode($stdout)->{archived_count},
	$status->{archived_count}, 'and agrees with SQL');

# --- levels

my %stored;
for my $level (-7, 3, 19)
{
	set_conf($main, 'walarch.compression_level', $level);
	switch_and_archive($main);
	$main->safe_psql('postgres',
		'CREATE TABLE filling AS SELECT c.* FROM pg_class AS c, generate_series(1, 8);'
		  . 'DROP TABLE filling');
	$wal = switch_and_archive($main);
	object_is($archive, $wal, data_file($main, "pg_wal/$wal"), "level $level: whole");
	is(status($main)->{compression_level}, $level, "level $level: shown");
	$stored{$level} = -s object_path($archive, $wal);
}
cmp_ok($stored{-7}, '>', $stored{19}, 'level 19 packs tighter than level -7');

# --- restart and reset

my $before = status($main);
write_wal($main, 10);
$main->restart;
wait_archived($main);
$status = status($main);
cmp_ok($status->{archived_count}, '>', $before->{archived_count},
	'the segment ended by the shutdown was archived and counted');
is($status->{archived_count}, scalar archive_files($archive),
	'counters go on after a restart');
is($status->{raw_bytes}, archive_files($archive) * 1024 * 1024, 'so do sizes');
is($status->{stats_since}, $before->{stats_since}, 'counted since the same time');
is($status->{archive_id}, $before->{archive_id}, 'the archive id stays');

$main->safe_psql('postgres', 'SELECT walarch.reset_status()');
$status = status($main);
is($status->{$_}, 0, "$_ is 0 after reset_status()")
  for qw(archived_count raw_bytes stored_bytes read_ms store_ms);
cmp_ok($status->{stats_since}, 'gt', $before->{stats_since}, 'counted since now');
is($status->{compression_ratio}, undef, 'no ratio of nothing');
switch_and_archive($main);
is(status($main)->{archived_count}, 1, 'counting begins anew');
write_wal($main, 10);
$main->restart;
wait_archived($main);
is(status($main)->{archived_count}, 2, 'a reset outlives a restart');

# --- a base backup, and a promotion

$main->backup('copy');
wait_archived($main);
my ($backup) = grep { /\.backup$/ } archive_files($archive);
ok($backup, 'the .backup file is archived');
object_is($archive, $backup, data_file($main, "pg_wal/$backup"), 'and whole');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($main, 'copy', has_streaming => 1);
$standby->{walarch_archive} = $archive;
$standby->start;
ok(-e data_file($standby, 'walarch.known'), 'a base backup carries walarch.known along');
ok(!-e data_file($standby, 'pg_stat_tmp/walarch.status'), 'and not the counters');
$main->safe_psql('postgres', 'CREATE TABLE in_the_last_segment ()');
$main->wait_for_catchup($standby);
$main->stop;
$standby->promote;
my $second = switch_and_archive($standby);
wait_archived($standby);
like($second, qr/^00000002/, 'the new timeline is archived');
object_is($archive, $second, data_file($standby, "pg_wal/$second"), 'its segment is whole');
object_is($archive, '00000002.history', data_file($standby, 'pg_wal/00000002.history'),
	'its history is whole');
my ($partial) = grep { /\.partial$/ } archive_files($archive);
ok($partial, 'the last segment of the old one is archived as .partial')
  or diag(join ' ', archive_files($archive));
object_is($archive, $partial, data_file($standby, "pg_wal/$partial"), 'and whole') if $partial;
is(status($standby)->{failed_count}, 0, 'two servers of a cluster share the archive');
is(status($standby)->{archive_id}, $before->{archive_id}, 'with its id');
unlike(slurp_file($standby->logfile), qr/new archive id/,
	'which the copy of walarch.known made known');
ok(check_mode_recursive($archive, 0700, 0600), 'directories have mode 0700, files 0600');
is((stat data_file($main, 'walarch.known'))[2] & 07777, 0600, 'so has walarch.known');
$standby->stop;

# --- streamed segments, group access

my $big = new_primary(
	'big',
	start => 0,
	mkdir => 0,
	extra => [ '--wal-segsize=128', '--allow-group-access' ],
	conf => "min_wal_size = '256MB'\nmax_wal_size = '512MB'\nwal_keep_size = '512MB'\n");
$archive = archive_dir($big);
make_path($archive);
chmod 0750, $archive;
$big->start;
$big->safe_psql('postgres', 'CREATE EXTENSION walarch');
write_wal($big, 2000);
$wal = switch_and_archive($big);
object_is($archive, $wal, data_file($big, "pg_wal/$wal"), 'a segment of 128 MB is whole');
is(status($big)->{raw_bytes}, 128 * 1024 * 1024, 'and counted');
my ($peak) = slurp_file('/proc/' . archiver_pid($big) . '/status') =~ /^VmHWM:\s+(\d+) kB/m;
cmp_ok($peak, '<', 100 * 1024, 'in less memory (kB) than its size');
$big->stop;
present_again($big, $wal);
my $object = (stat object_path($archive, $wal))[1];
$big->start;
wait_archived($big);
is(status($big)->{identical_count}, 1, 'presented again, it is found identical')
  or diag(status($big)->{last_error} // '');
is((stat object_path($archive, $wal))[1], $object, 'and left alone');
is(join(' ', temporary_files($archive)), '', 'with nothing left in tmp/');
ok(check_mode_recursive($archive, 0750, 0640), 'group access as the data directory has it');
is((stat data_file($big, 'walarch.known'))[2] & 07777, 0640, 'also to walarch.known');
$big->stop;

done_testing();
