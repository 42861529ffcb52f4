# walarch restore: every kind of target, tablespaces, a promotion, a standby that
# streams; what it refuses before it writes; what damage and full disks do.

use strict;
use warnings;

use lib 't/lib';

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RootHelper;
use Standby;
use Test::More;
use WalArch;

my $primary = small_primary('primary');
my $archive = archive_dir($primary);
my @connection = ('--host', $primary->host, '--port', $primary->port);
my $base = $primary->basedir;

sub sql { return $primary->safe_psql('postgres', $_[0]); }

sub walarch
{
	my ($status, $stdout, $stderr) = run_in('/', $ENV{WALARCH_BIN}, @_);
	return { status => $status, stdout => $stdout, stderr => $stderr };
}

sub backup
{
	my $run = walarch('backup', '--archive', $archive, @connection, '--checkpoint', 'fast', '--json', @_);
	die "no backup: $run->{stderr}" if $run->{status} != 0;
	return decode_json($run->{stdout})->{backup_id};
}

sub restore { return walarch('restore', '--archive', $archive, @_); }

# A server on a restored directory; options of walarch restore.
my $servers = 0;

sub restored
{
	my (@options) = @_;
	my $node = PostgreSQL::Test::Cluster->new('restored' . ++$servers);
	my $run = restore('-D', $node->data_dir, @options);

	is($run->{status}, 0, "restore @options") or diag($run->{stderr});
	$node->{run} = $run;
	$node->append_conf('postgresql.conf',
		'port = ' . $node->port . "\nlisten_addresses = ''\nunix_socket_directories = '" . $node->host . "'\n");
	$node->start;
	return $node;
}

sub opened
{
	my ($node) = @_;
	$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'it does not open';
	return $node;
}

sub paused
{
	my ($node) = @_;
	$node->poll_query_until('postgres', q{SELECT pg_get_wal_replay_pause_state() = 'paused'}) or die 'it does not pause';
	return $node;
}

# ---- what there is to restore --------------------------------------------------

my @spaces = map { "$base/space$_" } 1, 2;
mkdir $_ or die $! foreach @spaces;
sql("CREATE TABLESPACE one LOCATION '$spaces[0]'");
sql("CREATE TABLESPACE two LOCATION '$spaces[1]'");
sql('CREATE TABLE far1 (n int) TABLESPACE one');
sql('CREATE TABLE far2 (n int) TABLESPACE two');
sql("INSERT INTO far$_ SELECT generate_series(1, 3000)") foreach 1, 2;
mark($primary, 'first');
switch_and_archive($primary);	# an archive begins with its first file
my $first = backup('--label', 'the first');
my $oldest = sql('SELECT clock_timestamp()');
sql('SELECT pg_sleep(0.1)');
mark($primary, 'second');
my $lsn = sql('SELECT pg_current_wal_insert_lsn()');
switch_and_archive($primary);
sql('SELECT pg_sleep(1.1)');
my $moment = sql(q{SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')});
sql('SELECT pg_sleep(0.1)');
my $xid = sql(q{WITH x AS (INSERT INTO marks (what) VALUES ('third') RETURNING 1) SELECT pg_current_xact_id()::xid FROM x});
sql(q{SELECT pg_create_restore_point('here')});
switch_and_archive($primary);
my $second = backup();
mark($primary, 'fourth');
switch_and_archive($primary);
sql('INSERT INTO far1 VALUES (0)');
switch_and_archive($primary);
my @mappings = map { ('--tablespace-mapping', "$_=$_.new") } @spaces;

sub moved { system_or_bail('rm', '-rf', map { "$_.new" } @spaces); return @mappings; }

# ---- dry run, and the default target ----------------------------------------------

my $run = restore('-D', "$base/dry", '--dry-run', moved());
is($run->{status}, 0, 'a dry run') or diag($run->{stderr});
like($run->{stdout}, qr/^backup     \Q$second\E, ended .*\ntarget     all that the archive has, to [0-9A-F\/]+, last commit /m, 'tells the choice');
like($run->{stdout}, qr/^WAL        \d segments, \w{24} to \w{24}: all there\n/m, 'and what is replayed');
like($run->{stdout}, qr/^Nothing was written\.\n\z/m, 'and writes nothing');
ok(!-e "$base/dry", 'indeed');

my $node = opened(restored(moved()));
is(marks($node), 'first second third fourth', 'all is there');
is($node->safe_psql('postgres', 'SELECT (SELECT count(*) FROM far1) + (SELECT sum(n) / sum(n) FROM far2)'), '3002', 'in the tablespaces, too');
is(join(' ', sort(split /\n/, $node->safe_psql('postgres', q{SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname IN ('one', 'two')}))),
	"$spaces[0].new $spaces[1].new", 'which lie elsewhere');
is($node->safe_psql('postgres', 'SHOW archive_mode'), 'off', 'it does not archive');
is(timeline($node), 2, 'on a timeline of its own');
like($node->{run}->{stdout}, qr/^archiving  off/m, 'which was said');
like($node->{run}->{stdout}, qr/checked by pg_verifybackup/, 'as was that it was checked');
my ($pin) = $node->{run}->{stdout} =~ /^pin        (restore-[0-9a-f]{8}) /m;
is(sql("SELECT kind, value, expires > now() + '1 day' FROM walarch.pins WHERE name = '$pin'"), "backup|$second|t", 'the WAL is pinned meanwhile');
ok(!-e $node->data_dir . '/global/pg_control.restoring', 'nothing of the work is left');
$node->stop;

# ---- every kind of target -----------------------------------------------------------

$node = paused(restored('--target-lsn', $lsn, moved()));
is(marks($node), 'first second', 'an LSN');
like($node->{run}->{stdout}, qr/^backup     \Q$first\E/m, 'from the backup before it');
like($node->{run}->{stdout}, qr/pg_wal_replay_resume/, 'it waits there, which was said');
like(slurp_file($node->data_dir . '/postgresql.auto.conf'), qr/ --until 0{7}1\w{16} --new-tablespaces empty "%f" "%p"'/, 'with --until');
$node->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
opened($node);
$node->stop;

{
	local $ENV{TZ} = 'UTC';
	$node = opened(restored('--target-time', $moment, '--target-action', 'promote', moved()));
	is(marks($node), 'first second', 'a time');
	like($node->{run}->{stdout}, qr/^target     \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, that is \d{4}-\d\d-\d\dT/m, 'echoed with its zone');
	$node->stop;
}
{
	# the same moment, as somebody two hours to the east says it
	local $ENV{TZ} = 'EAST-2';
	my $east = sql("SELECT to_char('$moment'::timestamp + interval '2 hours', 'YYYY-MM-DD HH24:MI:SS.US')");
	my $told = decode_json(restore('-D', "$base/dry", '--dry-run', '--json', '--target-time', $east, moved())->{stdout});
	is($told->{target_time}, sql("SELECT to_char('$moment'::timestamp, 'YYYY-MM-DD\"T\"HH24:MI:SS') || 'Z'"), 'in another zone');
	is($told->{backup_id}, $first, 'from the same backup');
	is($told->{restored}, JSON::PP::false, 'in JSON');
}

$node = opened(restored('--target-name', 'here', '--target-action', 'promote', moved()));
is(marks($node), 'first second third', 'a restore point');
$node->stop;

$node = opened(restored('--target-xid', $xid, '--target-action', 'promote', moved()));
is(marks($node), 'first second third', 'a transaction');
like($node->{run}->{stdout}, qr/^target     transaction $xid, ended at [0-9A-F\/]+, /m, 'which was found');
$node->stop;

$node = paused(restored('--immediate', '--backup', $first, moved()));
is(marks($node), 'first', 'the end of a backup that is named');
$node->stop;

$node = PostgreSQL::Test::Cluster->new('shut');
$run = restore('-D', $node->data_dir, '--target-name', 'here', '--target-action', 'shutdown', moved());
is($run->{status}, 0, 'shutdown at the target');
like($run->{stdout}, qr/and shuts down\.$/m, 'is said');

# ---- what cannot be done, said before anything is written --------------------------------

sub refused
{
	my ($what, $pattern, @options) = @_;
	my $refused = restore('-D', "$base/refused", @options);

	is($refused->{status}, 1, "$what: exit status");
	like($refused->{stderr}, $pattern, "$what: message");
	ok(!-e "$base/refused", "$what: nothing was written");
	return;
}

moved();
refused('tablespaces where they are', qr{directory "(\Q$base\E/space[12])" exists but is not empty\n.*--tablespace-mapping '\1=NEW'});
refused('a mapping of nothing', qr{has no tablespace in "/nowhere"}, '--tablespace-mapping', '/nowhere=/elsewhere');
refused('two in one place', qr{two parts of the backup would go to}, '--tablespace-mapping', "$spaces[0]=$base/x", '--tablespace-mapping', "$spaces[1]=$base/x");
refused('before the first backup', qr{no base backup in the archive ended before the target.*\n.*The oldest, \Q$first\E, ended at}, '--target-lsn', '0/200000', @mappings);
refused('a time before it', qr{no base backup in the archive ended before the target}, '--target-time', '2001-01-01 00:00 UTC', @mappings);
refused('a time to come', qr{lies behind the last commit that is in the archive, of \d{4}-}, '--target-time', '2999-01-01 00:00 UTC', @mappings);
refused('an LSN to come', qr{WAL is missing on the way|lies behind the last record}, '--target-lsn', 'FF/0', @mappings);
refused('no such restore point', qr{no restore point "there" is known}, '--target-name', 'there', @mappings);
refused('no such transaction', qr{transaction 4000000000 did not end in the \d+ segments that can be recovered}, '--target-xid', '4000000000', @mappings);
refused('no such timeline', qr{timeline 7 is not in the archive}, '--timeline', 7, @mappings);
refused('no such backup', qr{backup "x" is not in the archive}, '--backup', 'x', @mappings);
refused('no archive', qr{"/nowhere"}, '--archive', '/nowhere', @mappings);
refused('no server there', qr{there is no PostgreSQL server in "/usr"}, '--bindir', '/usr', @mappings);

# another major version's programs
my $fake = "$base/fake";
mkdir $fake or die $!;
write_binary("$fake/postgres", "#!/bin/sh\necho 'postgres (PostgreSQL) 99.1'\n");
chmod 0755, "$fake/postgres";
refused('programs of another version', qr{is of PostgreSQL \d\d, and the programs in "\Q$fake\E" are of PostgreSQL 99}, '--bindir', $fake, @mappings);

# a local time that there was twice, and one that there never was
{
	local $ENV{TZ} = 'CET-1CEST,M3.5.0,M10.5.0/3';
	foreach my $time ('2026-10-25 02:30', '2026-03-29 02:30')
	{
		$run = restore('-D', "$base/refused", '--target-time', $time, @mappings);
		is($run->{status}, 2, "$time: exit status");
		like($run->{stderr}, qr/"\Q$time\E" is not a value.*that there was twice, or never, needs its zone/, "$time: is not guessed at");
	}
}

# a directory that is not empty
mkdir "$base/full" or die $!;
write_binary("$base/full/file", 'x');
$run = restore('-D', "$base/full", @mappings);
is($run->{status}, 1, 'a directory that is not empty');
like($run->{stderr}, qr/exists but is not empty/, 'which it says');
is(slurp_file("$base/full/file"), 'x', 'and leaves alone');

foreach my $wrong (
	[ [ '--latest', '--immediate' ], qr/more than one target was given/ ],
	[ [ '--standby', '--immediate' ], qr/a standby has no target/ ],
	[ [ '--standby', '--timeline', '1' ], qr/a standby follows the latest timeline/ ],
	[ [ '--slot', 's' ], qr/.*go with --standby/ ],
	[ [ '--target-action', 'promote' ], qr/.*goes with a target/ ],
	[ [ '--target-time', 'soon' ], qr/"soon" is not a value/ ],
	[ [ '--target-name', '' ], qr/"" is not a value/ ],
	[ [ '--target-xid', '1' ], qr/"1" is not a value/ ],
	[ [ '--target-lsn', '0-1' ], qr/"0-1" is not a value/ ],
	[ [ '--archiving', 'maybe' ], qr/"maybe" is not a value/ ],
	[ [ '--tablespace-mapping', 'a=b' ], qr/.*is not a value/ ],
	[ [ '--nothing' ], qr/invalid option/ ])
{
	$run = restore('-D', "$base/refused", @{ $wrong->[0] });
	is($run->{status}, 2, "@{$wrong->[0]}: wrong usage");
	like($run->{stderr}, qr/^walarch restore: $wrong->[1]/, 'which it says');
}
is(restore()->{status}, 2, 'no directory: wrong usage');

# ---- holes and damage ---------------------------------------------------------------------

my @wal = sort grep { /^[0-9A-F]{24}$/ } archive_files($archive);
my ($middle) = grep { $_ gt substr($second, 0, 24) } @wal;
my $object = object_path($archive, $middle);
rename $object, "$object.hidden" or die $!;
refused('a hole', qr{WAL is missing on the way from backup \Q$second\E to the target: "\Q$middle\E"\n.*latest point that can be reached is}, @mappings);
rename "$object.hidden", $object or die $!;

my $bytes = slurp_binary($object);
write_binary($object, substr($bytes, 0, -40));
refused('a truncated segment', qr{WAL on the way cannot be used: .*\Q$middle\E}, @mappings);
write_binary($object, $bytes);

sub damaged
{
	my ($what, $file, $change, $pattern) = @_;
	my $good = slurp_binary($file);
	my $bad = $good;

	$change->(\$bad);
	write_binary($file, $bad);
	my $at = "$base/damaged";
	my $damaged = restore('-D', $at, '--backup', $second, moved());
	is($damaged->{status}, 1, "$what: exit status");
	like($damaged->{stderr}, $pattern, "$what: message");
	ok(!-e "$at/global/pg_control", "$what: no server can start on it");
	system_or_bail('rm', '-rf', $at);
	write_binary($file, $good);
	return;
}

my $tar = "$archive/base/$second/base.tar.zst";
damaged('a flipped byte', $tar, sub { substr(${ $_[0] }, length(${ $_[0] }) / 2, 1) ^= "\x01" }, qr{base\.tar\.zst" is damaged});
damaged('a truncated tar', $tar, sub { ${ $_[0] } = substr(${ $_[0] }, 0, -1000) }, qr{backup \Q$second\E cannot be restored: "base/\Q$second\E/base\.tar\.zst" has \d+ bytes, not \d+});
{
	my $good = slurp_binary($tar);

	write_binary($tar, substr($good, 0, -1000));
	my $older = restore('-D', "$base/older", '--dry-run', moved());
	is($older->{status}, 0, 'an older one is chosen then');
	like($older->{stderr}, qr{warning: backup \Q$second\E, which is newer, cannot be restored: "base/\Q$second\E/base\.tar\.zst" has }, 'with a warning');
	my $before = restore('-D', "$base/older", '--dry-run', '--target-time', "$moment UTC", moved());
	is($before->{status}, 0, 'for a time before it, which it would not serve');
	unlike($before->{stderr}, qr/which is newer/, 'there is none');
	my @others = grep { $_ ne $second } map { m{^base/([^/]+)/backup$} ? $1 : () } files_below($archive, 'base');
	rename "$archive/base/$_/base.tar.zst", "$archive/base/$_.hidden" or die $! foreach @others;
	my $none = restore('-D', "$base/older", '--dry-run', moved());
	is($none->{status}, 1, 'when none can be restored');
	like($none->{stderr}, qr{backup \Q$second\E cannot be restored, and no other one serves: "base/\Q$second\E/base\.tar\.zst" has }, 'the newest is named');
	rename "$archive/base/$_.hidden", "$archive/base/$_/base.tar.zst" or die $! foreach @others;
	write_binary($tar, $good);
	unlike(restore('-D', "$base/older", '--dry-run', moved())->{stderr}, qr/which is newer/, 'of which there is none otherwise');
}
damaged('a damaged manifest', "$archive/base/$second/backup_manifest.zst", sub { substr(${ $_[0] }, 100, 1) ^= "\x01" }, qr{backup_manifest\.zst"? is damaged});

# an archive that somebody put together: digests and sizes fit, the names do not
sub forged
{
	my ($what, $pattern, @tar) = @_;
	my $dir = "$base/forge";
	my $text = slurp_binary("$archive/base/$second/backup");

	system_or_bail('rm', '-rf', $dir);
	mkdir $dir or die $!;
	system_or_bail('sh', '-c', "cd '$dir' && mkdir in global && echo x > in/evil && echo x > evil && ln -s / out && ln evil hard && tar -cf base.tar @tar");
	system_or_bail('zstd', '-q', '-f', "$dir/base.tar", '-o', "$dir/base.tar.zst");
	my ($digest) = split ' ', `xxh128sum '$dir/base.tar' 2>/dev/null`;
	$digest = `xxhsum -H2 '$dir/base.tar' 2>/dev/null` =~ /^([0-9a-f]{32})/ ? $1 : '' unless $digest;
	my ($raw, $stored) = (-s "$dir/base.tar", -s "$dir/base.tar.zst");
	my $changed = $text =~ s/^file: base\.tar\.zst \d+ \d+ \w+$/file: base.tar.zst $raw $stored $digest/mr;
	my $good = slurp_binary($tar);
	write_binary("$archive/base/$second/backup", $changed);
	write_binary($tar, slurp_binary("$dir/base.tar.zst"));
	my $forged = restore('-D', "$base/forged", moved());
	is($forged->{status}, 1, "$what: exit status");
	like($forged->{stderr}, $pattern, "$what: message");
	ok(!-e "$base/evil" && !-e '/tmp/walarch.evil', "$what: nothing outside");
	ok(!-e "$base/forged/global/pg_control", "$what: no server can start on it");
	system_or_bail('rm', '-rf', "$base/forged");
	write_binary($tar, $good);
	write_binary("$archive/base/$second/backup", $text);
	return;
}

SKIP:
{
	skip 'xxhsum is not here', 24 if system('which xxh128sum xxhsum >/dev/null 2>&1') != 0 && system('which xxhsum >/dev/null 2>&1') != 0;
	forged('a way up', qr/holds "\.\.\/evil", which leads out of the directory/, '-P', "--transform='s,^in/,../,'", 'in/evil');
	forged('an absolute path', qr/which leads out of the directory/, '-P', "--transform='s,^in,/tmp/walarch,;s,/evil,.evil,'", 'in/evil');
	forged('another name of a file', qr/holds "global\/\.\/pg_control", which leads out of the directory/, "--transform='s,^evil,global/./pg_control,'", 'evil');
	forged('a name with a slash at its end', qr/base\.tar\.zst" is damaged/, "--transform='s,^evil,global/pg_control/,'", 'evil');
	forged('a link', qr/holds "out", which is neither a file nor a directory/, 'out');
	forged('a hard link', qr/which is a hard link/, 'evil', 'hard');
}

# an archive whose tar does not fit its manifest, with pg_verifybackup and without
my $alone = "$base/alone";
mkdir $alone or die $!;
symlink $primary->config_data('--bindir') . '/postgres', "$alone/postgres" or die $!;

sub changed
{
	my ($what, $pattern, $change) = @_;
	my $dir = "$base/change";
	my $text = slurp_binary("$archive/base/$second/backup");
	my $good = slurp_binary($tar);

	system_or_bail('rm', '-rf', $dir);
	mkdir $dir or die $!;
	mkdir "$dir/in" or die $!;
	system_or_bail('sh', '-c', "zstd -dc '$tar' | tar -xf - -C '$dir/in' && cd '$dir/in' && $change && tar -cf ../base.tar *");
	system_or_bail('zstd', '-q', '-f', "$dir/base.tar", '-o', "$dir/base.tar.zst");
	my ($digest) = `xxhsum -H2 '$dir/base.tar' 2>/dev/null` =~ /^([0-9a-f]{32})/;
	my ($raw, $stored) = (-s "$dir/base.tar", -s "$dir/base.tar.zst");
	write_binary("$archive/base/$second/backup", $text =~ s/^file: base\.tar\.zst \d+ \d+ \w+$/file: base.tar.zst $raw $stored $digest/mr);
	write_binary($tar, slurp_binary("$dir/base.tar.zst"));
	foreach my $bindir ($primary->config_data('--bindir'), $alone)
	{
		my $restored = restore('-D', "$base/changed", '--bindir', $bindir, moved());
		my $who = $bindir eq $alone ? 'walarch' : 'pg_verifybackup';

		is($restored->{status}, defined $pattern ? 1 : 0, "$what, $who: exit status") or diag($restored->{stderr});
		like($restored->{stderr}, qr/the backup is not what its manifest says: /, "$what, $who: message") if defined $pattern;
		like($restored->{stderr}, $pattern, "$what: and why") if defined $pattern && $bindir eq $alone;
		like($restored->{stdout}, qr/, and compared with its manifest$/m, "$what: is said") if !defined $pattern && $bindir eq $alone;
		is(-e "$base/changed/global/pg_control" ? 1 : 0, defined $pattern ? 0 : 1, "$what, $who: whether a server can start on it");
		system_or_bail('rm', '-rf', "$base/changed");
	}
	write_binary($tar, $good);
	write_binary("$archive/base/$second/backup", $text);
	return;
}

SKIP:
{
	skip 'xxhsum is not here', 34 if system('which xxhsum >/dev/null 2>&1') != 0;
	changed('nothing', undef, 'true');
	changed('another byte', qr/"PG_VERSION" has another checksum/, 'printf 99 >PG_VERSION && echo >>PG_VERSION');
	changed('another size', qr/"PG_VERSION" has 4 bytes instead of 3/, 'echo >>PG_VERSION');
	changed('a file that is missing', qr/"global\/pg_filenode\.map" is missing/, 'rm global/pg_filenode.map');
	changed('one too many', qr/"base\/evil" is not in it/, 'touch base/evil');
	changed('another pg_control', qr/"global\/pg_control" has another checksum/, q{perl -e 'open F, "+<", "global/pg_control"; read F, $b, 1; seek F, 0, 0; print F $b ^ "x"'});
}

# ---- along another timeline, and a standby --------------------------------------------------

# a copy that archives: timeline 2
$node = opened(restored('--target-name', 'here', '--target-action', 'promote', '--archiving', 'on', moved()));
like($node->{run}->{stdout}, qr/^archiving  as the original had it/m, 'archiving stays on when asked for');
mark($node, 'on the copy');
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
wait_archived($node);
$node->stop;
mark($primary, 'fifth');
switch_and_archive($primary);

$node = opened(restored(moved()));
is(marks($node), 'first second third on the copy', 'the latest timeline, across its switch');
like($node->{run}->{stdout}, qr/^backup     \Q$first\E.*^timeline   2$/ms, 'from a backup of the one before');
$node->stop;
$node = opened(restored('--timeline', 1, moved()));
is(marks($node), 'first second third fourth fifth', 'or the old one');
$node->stop;
refused('a backup that is on no way there', qr{did not end before the target on the way to timeline 2}, '--backup', $second, @mappings);

# timeline 2 out of the way: the primary goes on with 1
unlink object_path($archive, '00000002.history') or die $!;
unlink glob("$archive/wal/0000000200000000/*");
rmdir "$archive/wal/0000000200000000";
$primary->safe_psql('postgres', q{SELECT pg_create_physical_replication_slot('stand')});
my $standby = restored('--standby', '--primary-conninfo', 'host=' . $primary->host . ' port=' . $primary->port . " application_name=stand", '--slot', 'stand', moved());
like($standby->{run}->{stdout}, qr/goes on as a standby that streams from its primary/, 'a standby');
$primary->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_replication WHERE application_name = 'stand' AND state = 'streaming'}) or die 'no streaming';
mark($primary, 'streamed');
$primary->wait_for_catchup('stand');
is(marks($standby), 'first second third fourth fifth streamed', 'follows by streaming');
is($standby->safe_psql('postgres', 'SHOW archive_mode'), 'on', 'and archives once it is promoted');
$standby->stop;

# ---- a full disk ---------------------------------------------------------------------------

SKIP:
{
	skip 'needs root for a tmpfs', 5 unless root_available();
	mkdir "$base/small" or die $!;
	root_do('tmpfs', "$base/small", '12M');
	$run = restore('-D', "$base/small/data", '--tablespace-mapping', "$spaces[0]=$base/small/s1", '--tablespace-mapping', "$spaces[1]=$base/small/s2");
	is($run->{status}, 1, 'no room');
	like($run->{stderr}, qr{there is no room in "\Q$base\E/small/\w+": the backup takes \d+ MB there, and \d+ MB are free}, 'which is known before');
	ok(!-e "$base/small/data", 'nothing was written');
	root_do('umount', "$base/small");
}

$primary->stop;
done_testing();
