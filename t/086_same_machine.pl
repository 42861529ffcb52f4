# Recoveries on the machine of the original: they do not touch its files, which
# replay knows by their paths. And what else a backup brings along.

use strict;
use warnings;

use lib 't/lib';

use JSON::PP;
use File::Temp ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Standby;
use Test::More;
use WalArch;

my $primary = small_primary('primary');
my $archive = archive_dir($primary);
my $base = $primary->basedir;
my @connection = ('--host', $primary->host, '--port', $primary->port);
my $scratch = File::Temp::tempdir('/tmp/wadrill.XXXXXX', CLEANUP => 1);

sub sql { return $primary->safe_psql('postgres', $_[0]); }

sub walarch
{
	my ($status, $stdout, $stderr) = run_in('/', $ENV{WALARCH_BIN}, @_);
	return { status => $status, stdout => $stdout, stderr => $stderr };
}

sub backup
{
	my $run = walarch('backup', '--archive', $archive, @connection, '--checkpoint', 'fast', '--json');
	die "no backup: $run->{stderr}" if $run->{status} != 0;
	return decode_json($run->{stdout})->{backup_id};
}

my $servers = 0;

sub restored
{
	my (@options) = @_;
	my $node = PostgreSQL::Test::Cluster->new('restored' . ++$servers);
	my $run = walarch('restore', '--archive', $archive, '-D', $node->data_dir, @options);

	is($run->{status}, 0, "restore @options") or diag($run->{stderr});
	$node->append_conf('postgresql.conf',
		'port = ' . $node->port . "\nlisten_addresses = ''\nunix_socket_directories = '" . $node->host . "'\n");
	return $node;
}

sub opened
{
	my ($node) = @_;
	$node->start;
	$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'it does not open';
	return $node;
}

# ---- a backup that brings settings of a recovery -------------------------------------

$primary->append_conf('postgresql.conf',
	"recovery_target_inclusive = off\nrecovery_target_action = 'shutdown'\nrecovery_min_apply_delay = '1h'\n");
mark($primary, 'first');
switch_and_archive($primary);
my $backup = backup();
my $xid = sql(q{WITH x AS (INSERT INTO marks (what) VALUES ('second') RETURNING 1) SELECT pg_current_xact_id()::xid FROM x});
mark($primary, 'third');
switch_and_archive($primary);

my $node = restored('--target-xid', $xid);
$node->start;
$node->poll_query_until('postgres', q{SELECT pg_get_wal_replay_pause_state() = 'paused'}) or die 'it does not pause';
is(marks($node), 'first second', 'the target is included, and waited at, at once');
$node->stop;

# the end of the last record: PostgreSQL would not find it
my $end = decode_json(walarch('restore', '--archive', $archive, '-D', "$base/dry", '--dry-run', '--json')->{stdout})->{latest_lsn};
my $run = walarch('restore', '--archive', $archive, '-D', "$base/dry", '--dry-run', '--target-lsn', sql("SELECT '$end'::pg_lsn - 4"));
is($run->{status}, 1, 'an LSN within the last record');
like($run->{stderr}, qr/lies behind the last record in the archive, at ([0-9A-F\/]+)/, 'is refused');
my ($last) = $run->{stderr} =~ /last record in the archive, at ([0-9A-F\/]+)/;
$node = opened(restored('--target-lsn', $last, '--target-action', 'promote'));
is(marks($node), 'first second third', 'the one that it names can be reached');
$node->stop;

# ---- a tablespace that is younger than the backup -----------------------------------------

my $space = "$base/young";
mkdir $space or die $!;
sql("CREATE TABLESPACE young LOCATION '$space'");
sql('CREATE TABLE far (n int) TABLESPACE young; INSERT INTO far SELECT generate_series(1, 5000)');
switch_and_archive($primary);
sql(q{SELECT pg_create_restore_point('later')});
sql('CHECKPOINT');
switch_and_archive($primary);

sub state_of { return join ' ', map { "$_ " . -s "$base/young/$_" } sort map { s{^\Q$space\E/}{}r } split /\n/, `find '$space' -type f`; }

my $state = state_of();
ok(length $state, 'there are files');

$run = walarch('drill', '--archive', $archive, '--scratch', $scratch, '--json');
is($run->{status}, 1, 'a drill with a backup from before');
my ($check) = grep { $_->{name} eq 'recovers' } @{ decode_json($run->{stdout})->{checks} };
like($check->{detail}, qr/before that: walarch get: .*it makes a tablespace in "\Q$space\E"/, 'fails, and says why');
is(state_of(), $state, 'the files of the original are what they were');

$node = restored();
ok(!$node->start(fail_ok => 1), 'nor does a restored server start');
like(slurp_file($node->logfile), qr/walarch get: .*it makes a tablespace in "\Q$space\E", which is not empty: what is there would be overwritten.*--new-tablespaces any/, 'it says why, and the way out');
is(state_of(), $state, 'the files of the original are still what they were');

# where they are not in the way, also when it begins again
rename $space, "$space.away" or die $!;
mkdir $space, 0700 or die $!;
$node->start;
$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'it does not open';
is($node->safe_psql('postgres', 'SELECT count(*) FROM far'), '5000', 'into an empty directory it goes');
$node->stop;
system_or_bail('rm', '-rf', $space);
mkdir $space, 0700 or die $!;
$node = restored('--target-name', 'later');
foreach my $time ('once', 'and again')
{
	$node->start;
	$node->poll_query_until('postgres', q{SELECT pg_get_wal_replay_pause_state() = 'paused'}) or die 'it does not pause';
	is($node->safe_psql('postgres', 'SELECT count(*) FROM far'), '5000', "it recovers $time");
	$node->stop('immediate');
}
system_or_bail('rm', '-rf', $space);
rename "$space.away", $space or die $!;

backup();
$run = walarch('drill', '--archive', $archive, '--scratch', $scratch);
is($run->{status}, 0, 'with a backup from afterwards a drill passes') or diag($run->{stdout});
is(state_of(), $state, 'beside the files of the original');

# walarch get by itself
sub get_rule
{
	my ($rule, $file) = @_;
	my ($status, undef, $stderr) = run_in($primary->data_dir, $ENV{WALARCH_BIN}, 'get', '--archive', $archive, '--prefetch', 'off', '--new-tablespaces', $rule, $file, "$base/got");
	my $there = -e "$base/got" ? 'there' : 'not there';
	unlink "$base/got";
	return "$status, $there";
}

my @wal = sort grep { /^[0-9A-F]{24}$/ } archive_files($archive);
my ($maker) = grep { get_rule('none', $_) ne '0, there' } @wal;
ok($maker, 'one segment makes the tablespace');
is(get_rule('none', $maker), '200, not there', 'it is not delivered with none');
is(get_rule('any', $maker), '0, there', 'with any it is');
is(get_rule('empty', $maker), '0, there', 'with empty it is for the server that has made it');
is(get_rule('none', $wal[0]), '0, there', 'others are in any case');
like((run_in('/', $ENV{WALARCH_BIN}, 'get', '--archive', $archive, '--new-tablespaces', 'some', $maker, "$base/got"))[2], qr/needs empty, none or any/, 'no other rule');

# ---- a cluster that was promoted before it had an archive -----------------------------------

my $old = PostgreSQL::Test::Cluster->new('old');
$old->init(allows_streaming => 1, extra => ['--wal-segsize=1']);
$old->append_conf('postgresql.conf', "autovacuum = off\n");
$old->start;
$old->backup('copy');
my $new = PostgreSQL::Test::Cluster->new('new');
$new->init_from_backup($old, 'copy', has_streaming => 1);
$new->start;
$new->promote;
$old->stop;
$new->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'it is not promoted';
my $second = $new->basedir . '/archive2';
mkdir $second, 0700 or die $!;
$new->append_conf('postgresql.conf', "archive_mode = on\narchive_library = 'walarch'\nwalarch.archive = '$second'\n");
unlink glob($new->data_dir . '/pg_wal/archive_status/*.history.*');
unlink glob($new->data_dir . '/pg_wal/*.history');
$new->restart;
$new->safe_psql('postgres', 'CREATE TABLE marks (n serial, what text)');
mark($new, 'first');
$new->safe_psql('postgres', 'SELECT pg_switch_wal()');
wait_archived($new);
ok(!-e object_path($second, '00000002.history'), 'an archive without the history of its timeline');
($archive, @connection) = ($second, '--host', $new->host, '--port', $new->port);
backup();
mark($new, 'second');
$new->safe_psql('postgres', 'SELECT pg_switch_wal()');
wait_archived($new);
$node = opened(restored());
is(marks($node), 'first second', 'is good for a recovery all the same');
is(timeline($node), 3, 'on a timeline of its own');
$node->stop;
$run = walarch('drill', '--archive', $archive, '--scratch', $scratch);
is($run->{status}, 0, 'and for a drill') or diag($run->{stdout});
$new->stop;

done_testing();
