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
	"recovery_target_inclusive = off\nrecovery_target_action = 'shutdown'\nrecovery_min_apply_delay = '1h'\nhot_standby = off\n");
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
is($node->safe_psql('postgres', 'SHOW max_logical_replication_workers'), '0', 'it does not subscribe');
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

# a record that goes over the end of a page: one is made where it would begin there
my $crosses;
my $delta = 0;
foreach my $n (1 .. 20)
{
	switch_wal($primary);
	my $here = sql(q{SELECT pg_current_wal_insert_lsn() - '0/0'});
	# at least a whole record of padding
	my $pad = (8192 - 60 - $here - $delta) % 8192;
	$pad += 8192 if $pad < 200;
	sql("SELECT pg_logical_emit_message(false, '', repeat('x', $pad - 60))");
	$here = sql('SELECT pg_current_wal_insert_lsn()');
	mkdir "$base/page$n" or die $!;
	sql("CREATE TABLESPACE page$n LOCATION '$base/page$n'");
	my ($records) = run_command([ 'pg_waldump', '-p', $primary->data_dir . '/pg_wal', '-r', 'Tablespace', '-s', $here, '-n', '1' ]);
	my ($bytes, $high, $low) = $records =~ m{len \(rec/tot\):\s*\d+/\s*(\d+), .* lsn: ([0-9A-F]+)/([0-9A-F]+),.* CREATE} or die $records;
	$delta = hex($low) - hex($here =~ s{.*/}{}r);
	if (hex($low) % 8192 + $bytes > 8192)
	{
		$crosses = [ "$base/page$n", sql("SELECT pg_walfile_name('$high/$low')") ];
		last;
	}
}
ok($crosses, 'a record that crosses pages');
switch_and_archive($primary);
like((run_in($primary->data_dir, $ENV{WALARCH_BIN}, 'get', '--archive', $archive, '--prefetch', 'off', '--new-tablespaces', 'none', $crosses->[1], "$base/got"))[2],
	qr/it makes a tablespace in "\Q$crosses->[0]\E"/, 'is read whole');

# ---- paths and modes --------------------------------------------------------------------------

# a configuration that leads to the original
backup();
my $conf = slurp_file($primary->data_dir . '/postgresql.conf');
$primary->append_conf('postgresql.conf', "data_directory = '" . $primary->data_dir . "'\n");
backup();
write_binary($primary->data_dir . '/postgresql.conf', $conf);
mkdir "$base/ts" or die $!;
my @mapping = ('--tablespace-mapping', "$space/=$base/ts/new", map { ('--tablespace-mapping', "$_=$_.new") } glob("$base/page?"), glob("$base/page??"));
$run = walarch('restore', '--archive', $archive, '-D', "$base//led/", @mapping);
is($run->{status}, 0, 'paths with more slashes than needed') or diag($run->{stderr});
like($run->{stderr}, qr/^walarch restore: warning: postgresql\.conf in there sets data_directory = '\Q${\ $primary->data_dir}\E': a server started on "\Q$base\E\/led" would work there/m, 'a configuration that leads elsewhere is warned of');
ok((grep { readlink($_) eq "$base/ts/new" } glob("$base/led/pg_tblspc/*")), 'links are tidy');
system_or_bail('rm', '-rf', "$base/led", "$base/ts/new", glob("$base/page*.new"));

mkdir "$base/one" or die $!;
symlink "$base/one", "$base/two" or die $!;
$run = walarch('restore', '--archive', $archive, '-D', "$base/one", '--tablespace-mapping', "$space=$base/two", @mapping[2 .. $#mapping]);
is($run->{status}, 1, 'one directory by two names');
like($run->{stderr}, qr/are one directory, for two parts of the backup/, 'is refused');
is(join(' ', glob("$base/one/*")), '', 'and nothing is written');

# ---- a time before the backup, of which the WAL is gone ------------------------------------------

my $early = sql(q{SELECT to_char((now() - interval '1 minute') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"')});
mark($primary, 'before');
switch_and_archive($primary);
sql('CHECKPOINT');
my $only = backup();
walarch('unpin', '--archive', $archive, $_) foreach split ' ', sql(q{SELECT string_agg(name, ' ') FROM walarch.pins});
is(walarch('prune', '--archive', $archive, '--retention-backups', '1', '--apply')->{status}, 0, 'prune to one backup');
is(scalar(grep { $_ lt substr($only, 0, 24) } grep { /^[0-9A-F]{24}$/ } archive_files($archive)), 0, 'and its WAL');
switch_and_archive($primary);
mark($primary, 'after');
switch_and_archive($primary);
$run = walarch('restore', '--archive', $archive, '-D', "$base/dry", '--dry-run', @mapping, '--target-time', $early);
is($run->{status}, 1, 'a time before it');
like($run->{stderr}, qr/no base backup in the archive ended before the target/, 'is refused, though no commit in the archive tells');

# ---- a backup that ended in the segment in which its timeline was left -----------------------------

{
	my $left = small_primary('left');
	my $common = archive_dir($left);
	switch_and_archive($left);
	$left->backup('copy');
	my $goes = PostgreSQL::Test::Cluster->new('goes');
	$goes->init_from_backup($left, 'copy', has_streaming => 1);
	$goes->start;
	mark($left, 'first');
	$left->safe_psql('postgres', 'CHECKPOINT');
	mark($left, 'second');
	$left->wait_for_catchup($goes);
	# it gets no more from there
	$goes->safe_psql('postgres', q{ALTER SYSTEM SET primary_conninfo = ''});
	reload($goes);
	$goes->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_stat_wal_receiver') or die 'it still streams';
	my $child = fork // die $!;
	if ($child == 0)
	{
		open(STDOUT, '>', "$base/taken") or die $!;
		open(STDERR, '>&', \*STDOUT) or die $!;
		exec($ENV{WALARCH_BIN}, 'backup', '--archive', $common, '--host', $goes->host, '--port', $goes->port, '--checkpoint', 'fast') or exit(127);
	}
	wait_until('it has begun', sub { -e "$base/taken" && slurp_file("$base/taken") =~ /begins at/ });
	mark($left, 'lost');
	switch_and_archive($left);
	waitpid $child, 0;
	is($?, 0, 'a backup of a standby that has fallen behind') or diag(slurp_file("$base/taken"));
	$left->stop;
	$goes->append_conf('postgresql.conf', "walarch.archive = '$common'\n");
	$goes->promote;
	mark($goes, 'third');
	$goes->safe_psql('postgres', 'SELECT pg_switch_wal()');
	wait_archived($goes);
	$archive = $common;
	$node = opened(restored());
	is(marks($node), 'first second third', 'serves the timeline that it went to');
	$node->stop;
	$goes->stop;
}

# ---- a cluster that was promoted before it had an archive -----------------------------------

my $old = PostgreSQL::Test::Cluster->new('old');
$old->init(allows_streaming => 1, extra => [ '--wal-segsize=1', '--allow-group-access' ]);
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
is(sprintf('%o', (stat $node->data_dir)[2] & 07777), '750', 'its group may read, as that of the original');
$node->stop;
$run = walarch('drill', '--archive', $archive, '--scratch', $scratch);
is($run->{status}, 0, 'and for a drill') or diag($run->{stdout});
$new->stop;

# what goes on from a restored copy, whose promotion was not archived: 2, 4, and no 3
$node = opened(restored());
$node->safe_psql('postgres', q{ALTER SYSTEM SET archive_mode = 'on'});
$node->stop;
$node->append_conf('postgresql.conf', "restore_command = 'false'\n");
$node->set_standby_mode;
$node->start;
$node->promote;
$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'it does not open';
is(timeline($node), 4, 'a copy that was promoted twice');
mark($node, 'fourth');
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
wait_archived($node);
($archive, @connection) = ($second, '--host', $node->host, '--port', $node->port);
backup();
mark($node, 'fifth');
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
wait_archived($node);
$node->stop;
ok(!-e object_path($archive, '00000003.history'), 'of one timeline there is no history');
system_or_bail('rm', '-rf', "$archive/wal/0000000300000000");
$node = opened(restored());
is(marks($node), 'first second fourth fifth', 'the latest is that of the highest number');
$node->stop;

done_testing();
