# walarch backup --incremental: chains of backups, what they may stand on, how
# they are restored, and what becomes of them. Before PostgreSQL 17: refused.

use strict;
use warnings;

use lib 't/lib';

use IPC::Run ();
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Standby;
use Test::More;
use WalArch;

my $primary = small_primary('primary');
my $archive = archive_dir($primary);
my $base = $primary->basedir;
my $from = $primary;

sub sql { return $primary->safe_psql('postgres', $_[0]); }

sub walarch
{
	my ($status, $stdout, $stderr) = run_in('/', $ENV{WALARCH_BIN}, @_);
	return { status => $status, stdout => $stdout, stderr => $stderr };
}

sub backup_words
{
	return ('backup', '--archive', $archive, '--host', $from->host, '--port', $from->port, '--checkpoint', 'fast', @_);
}

sub try_backup { return walarch(backup_words(@_)); }

sub backup
{
	my $run = try_backup('--json', @_);
	die "no backup: $run->{stderr}" if $run->{status} != 0;
	return decode_json($run->{stdout});
}

# One of a standby needs WAL that the primary archives when it ends the segment.
sub backup_of_standby
{
	my ($stdout, $stderr) = ('', '');
	my $run = IPC::Run::start([ $ENV{WALARCH_BIN}, backup_words('--json', @_) ], '>', \$stdout, '2>', \$stderr);

	wait_until('a backup of a standby to end', sub { $run->pump_nb; switch_wal($primary); !$run->pumpable });
	$run->finish;
	die "no backup: $stderr" if $run->full_result(0) != 0;
	return decode_json($stdout);
}

sub failed
{
	my ($what, $pattern) = @_;
	my $run = try_backup('--incremental');

	is($run->{status}, 1, "$what: exit status");
	like($run->{stderr}, $pattern, "$what: message");
	return;
}

sub pins { return sql(q{SELECT string_agg(name, ' ') FROM walarch.pins}); }

# ---- what it needs ------------------------------------------------------------

switch_and_archive($primary);
if ($primary->pg_version < 17)
{
	failed('an older server', qr/the server is PostgreSQL \d\d; incremental backups are taken from PostgreSQL 17 on/);
	done_testing();
	exit;
}
failed('nothing to stand on', qr/there is no backup in the archive that another one could be incremental to\n.*Take a full one first/);
mark($primary, 'full');
my @spaces = map { "$base/space $_ =" } 1, 2;
mkdir $_ or die $! foreach @spaces;
sql("CREATE TABLESPACE one LOCATION '$spaces[0]'");
sql('CREATE TABLE far1 (n int) TABLESPACE one; INSERT INTO far1 SELECT generate_series(1, 3000)');
sql('CREATE TABLE big AS SELECT n, repeat(md5(n::text), 20) t FROM generate_series(1, 5000) n');
my $early = backup();
failed('a server that does not summarize', qr/incremental backups cannot be taken unless WAL summarization is enabled/);
is(pins(), '', 'no pin is left');
sql('ALTER SYSTEM SET summarize_wal = on');
reload($primary);
# WAL of before it was on is not summarized
switch_and_archive($primary);
my $full = backup();

# ---- a chain of three ------------------------------------------------------------

mark($primary, 'first');
sql("CREATE TABLESPACE two LOCATION '$spaces[1]'");
sql('CREATE TABLE far2 (n int) TABLESPACE two; INSERT INTO far2 SELECT generate_series(1, 3000)');
sql('INSERT INTO far1 VALUES (0)');
my $first = backup('--incremental');
is($first->{parent}, $full->{backup_id}, 'it stands on the newest');
cmp_ok($first->{bytes}, '<', $full->{bytes} / 2, 'and is smaller');
is(pins(), '', 'its parent is not pinned any longer');
mark($primary, 'second');
sql('UPDATE big SET t = t || n WHERE n % 100 = 0');
my $before_second = sql('SELECT pg_current_wal_insert_lsn()');
my $second = backup('--incremental', '--label', 'of Tuesday');
is($second->{parent}, $first->{backup_id}, 'one stands on another');
mark($primary, 'third');
sql('DELETE FROM far2 WHERE n > 10');
switch_and_archive($primary);
is(sql(q{SELECT string_agg(coalesce(parent, '-') || ' ' || usable, ', ' ORDER BY start_lsn) FROM walarch.backups}),
	"- true, - true, $full->{backup_id} true, $first->{backup_id} true", 'walarch.backups shows it');

# ---- restored -------------------------------------------------------------------

# as for pg_basebackup, a backslash stands before an equals sign of a name
sub mapping { return '--tablespace-mapping', join '=', map { s/=/\\=/gr } @_; }

my @mappings = map { mapping($_, "$_.new") } @spaces;
my $servers = 0;

sub restored
{
	my (@options) = @_;
	my $node = PostgreSQL::Test::Cluster->new('restored' . ++$servers);

	system_or_bail('rm', '-rf', map { "$_.new" } @spaces);
	my $run = walarch('restore', '--archive', $archive, '-D', $node->data_dir, @options);
	is($run->{status}, 0, "restore @options") or diag($run->{stderr});
	$node->{run} = $run;
	ok(!-e $node->data_dir . '/.walarch-restore', 'nothing of the work is left');
	$node->append_conf('postgresql.conf',
		'port = ' . $node->port . "\nlisten_addresses = ''\nunix_socket_directories = '" . $node->host . "'\n");
	$node->start;
	$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'it does not open';
	return $node;
}

sub sums { return $_[0]->safe_psql('postgres', q{SELECT md5(string_agg(b::text, '' ORDER BY n)) FROM big b}) }
sub counts { return $_[0]->safe_psql('postgres', 'SELECT (SELECT count(*) FROM far1), (SELECT count(*) FROM far2)') }

my $node = restored(@mappings);
is(marks($node), 'full first second third', 'all is there');
is(sums($node), sums($primary), 'the very rows');
is(counts($node), '3001|10', 'in tablespaces, too');
is($node->safe_psql('postgres', q{SELECT string_agg(pg_tablespace_location(oid), ', ' ORDER BY spcname) FROM pg_tablespace WHERE spcname IN ('one', 'two')}),
	"$spaces[0].new, $spaces[1].new", 'which lie elsewhere');
like($node->{run}->{stdout}, qr/^backup     \Q$second->{backup_id}\E.*\non top of  \Q$first->{backup_id}\E\n           \Q$full->{backup_id}\E$/m, 'the chain is told');
$node->stop;
command_ok([ 'pg_checksums', '--check', '-D', $node->data_dir ], 'its checksums fit') if $primary->pg_version >= 18;

$node = restored('--target-lsn', $before_second, '--target-action', 'promote', @mappings);
is(marks($node), 'full first second', 'to a moment before the last one');
like($node->{run}->{stdout}, qr/^backup     \Q$first->{backup_id}\E/m, 'from the one before');
$node->stop;

# a drill takes the same way
my $drill = walarch('drill', '--archive', $archive, '--scratch', $base, '--json');
is($drill->{status}, 0, 'a drill with it') or diag($drill->{stdout}, $drill->{stderr});
is(decode_json($drill->{stdout})->{backup_id}, $second->{backup_id}, 'indeed');

# ---- what it cannot do without ------------------------------------------------------

my @dry = ('restore', '--archive', $archive, '-D', "$base/refused");

sub refused
{
	my ($what, $pattern, @options) = @_;
	my $run = walarch(@dry, @mappings, @options);

	is($run->{status}, 1, "$what: exit status");
	like($run->{stderr}, $pattern, "$what: message");
	return;
}

sub damage
{
	my ($what, $file, $pattern) = @_;
	my $good = slurp_binary($file);
	my $bad = $good;

	system_or_bail('rm', '-rf', map { "$_.new" } @spaces);
	substr($bad, length($bad) / 2, 1) ^= "\x01";
	write_binary($file, $bad);
	refused($what, $pattern);
	ok(!-e "$base/refused/global/pg_control", "$what: no server can start on it");
	system_or_bail('rm', '-rf', "$base/refused");
	write_binary($file, $good);
	return;
}

my $pins = pins();
damage('damage in the middle of a chain', "$archive/base/$first->{backup_id}/base.tar.zst", qr{\Q$first->{backup_id}\E/base\.tar\.zst" is damaged});
damage('damage at its root', "$archive/base/$full->{backup_id}/base.tar.zst", qr{\Q$full->{backup_id}\E/base\.tar\.zst" is damaged});

my $bin = "$base/bin";
mkdir $bin or die $!;
my $bindir = $primary->config_data('--bindir');
symlink "$bindir/$_", "$bin/$_" or die $! foreach 'postgres', 'pg_verifybackup';
system_or_bail('rm', '-rf', map { "$_.new" } @spaces);
refused('no pg_combinebackup', qr{the backup is incremental, and pg_combinebackup is not in "\Q$bin\E"\n.*--bindir}, '--bindir', $bin);
ok(!-e "$base/refused", 'said before anything is written');
is(pins(), $pins, 'what failed has left no pin');

# the manifest of the parent is sent to the server, and proven before
my $manifest = "$archive/base/$second->{backup_id}/backup_manifest.zst";
my $good = slurp_binary($manifest);
write_binary($manifest, substr($good, 0, -5) . 'xxxxx');
failed('a damaged manifest', qr{backup_manifest\.zst"? (?:is damaged|holds)});
write_binary($manifest, $good);
is(pins(), $pins, 'no pin is left');
walarch('unpin', '--archive', $archive, $_) foreach split ' ', $pins;

# ---- what may go -----------------------------------------------------------------------

my $prune = walarch('prune', '--archive', $archive, '--retention-backups', '1', '--apply');
is($prune->{status}, 0, 'prune to one backup') or diag($prune->{stderr});
is(join(' ', sort map { m{^base/([^/]+)/backup$} ? $1 : () } files_below($archive, 'base')),
	join(' ', sort map { $_->{backup_id} } $full, $first, $second), 'the chain stays, what nobody stands on goes');

# killed in the middle of one: its parent stays pinned for a while
{
	my @command = ($ENV{WALARCH_BIN}, 'backup', '--archive', $archive, '--host', $from->host, '--port', $from->port,
		'--checkpoint', 'fast', '--incremental', '--max-rate', '32kB');
	sql('UPDATE big SET t = t || n');
	my $child = fork // die $!;
	if ($child == 0)
	{
		open(STDERR, '>', "$base/killed") or die $!;
		exec(@command) or exit(127);
	}
	wait_until('it has begun', sub { -s "$base/killed" && slurp_file("$base/killed") =~ /begins at/ });
	like(slurp_file("$base/killed"), qr/begins at .*, incremental to \Q$second->{backup_id}\E/, 'it says what it stands on');
	like(pins(), qr/^backup-[0-9a-f]{8}$/, 'its parent is pinned meanwhile');
	kill 'KILL', $child;
	waitpid $child, 0;
	walarch('unpin', '--archive', $archive, pins());
}
my $third = backup('--incremental');
is($third->{parent}, $second->{backup_id}, 'the next one stands on the last that is whole');

# the root of the chain is taken away by hand
rename "$archive/base/$full->{backup_id}", "$base/aside" or die $!;
is(sql("SELECT usable || ': ' || reason FROM walarch.backups WHERE backup_id = '$third->{backup_id}'"),
	"false: backup $full->{backup_id}, which it is incremental to, is missing", 'without its root a chain is of no use');
system_or_bail('rm', '-rf', map { "$_.new" } @spaces);
refused('a chain without its root', qr{cannot be restored, and no other one serves: backup \S+, which it is incremental to, is missing}, '--latest');
failed('nor to stand on', qr/Take a full one first/);
rename "$base/aside", "$archive/base/$full->{backup_id}" or die $!;

# ---- across a promotion ---------------------------------------------------------------------

system_or_bail('rm', '-rf', map { "$_.stand" } @spaces);
my $standby = PostgreSQL::Test::Cluster->new('standby');
my $run = walarch('restore', '--archive', $archive, '-D', $standby->data_dir, '--standby', '--primary-conninfo', $primary->connstr,
	map { mapping($_, "$_.stand") } @spaces);
is($run->{status}, 0, 'a standby from a chain') or diag($run->{stderr});
$standby->append_conf('postgresql.conf',
	'port = ' . $standby->port . "\nunix_socket_directories = '" . $standby->host . "'\n");
$standby->start;
mark($primary, 'fourth');
# a standby's backup begins at the last checkpoint of its primary
sql('CHECKPOINT');
switch_and_archive($primary);
$primary->wait_for_catchup($standby);
$from = $standby;
my $on_standby = backup_of_standby('--incremental');
is($on_standby->{parent}, $third->{backup_id}, 'a standby gives one, too');
$primary->stop;
$standby->promote;
mark($standby, 'fifth');
$standby->safe_psql('postgres', 'SELECT pg_switch_wal()');
wait_archived($standby);
my $promoted = backup('--incremental');
is($promoted->{parent}, $on_standby->{backup_id}, 'and one stands on that of the timeline before');
is($promoted->{timeline}, 2, 'indeed');
mark($standby, 'sixth');
$standby->safe_psql('postgres', 'SELECT pg_switch_wal()');
wait_archived($standby);
@mappings = map { mapping("$_.stand", "$_.new") } @spaces;
$node = restored(@mappings);
is(marks($node), 'full first second third fourth fifth sixth', 'a chain of six is restored');
is(sums($node), sums($standby), 'with the very rows');
$node->stop;
$standby->stop;

done_testing();
