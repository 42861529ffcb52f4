# What the archive holds and lacks, in SQL: the same as walarch list shows, with
# what still waits on this server; and how far a server in recovery has come.

use strict;
use warnings;

use lib 't/lib';

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Standby;
use Test::More;
use WalArch;

my $primary = small_primary('primary', conf => "wal_keep_size = '512MB'\n");
my $archive = archive_dir($primary);
my $raw = PostgreSQL::Test::Utils::tempdir();

sub sql { return unpadded($primary->safe_psql('postgres', $_[0])); }

$primary->backup('base');
my @wal;
for my $n (1 .. 5)
{
	mark($primary, "mark$n");
	sql("SELECT pg_create_restore_point('point $n')");
	push @wal, switch_and_archive($primary);
}
$primary->backup('second');
mark($primary, 'last');
push @wal, switch_and_archive($primary);

my (undef, $json) = run_in('/', $ENV{WALARCH_BIN}, 'list', '--archive', $archive, '--json');
my $listed = decode_json($json);

# ISO 8601 in UTC, as in JSON.
sub iso { return "to_char($_[0] AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"; }

my $range = $listed->{timelines}[0]{ranges}[0];
is( sql('SELECT timeline, first_wal, last_wal, segments, start_lsn, end_lsn, '
		  . iso('earliest_time') . ', ' . iso('latest_time') . ', raw_bytes, stored_bytes FROM walarch.ranges'),
	join('|', 1, map { $range->{$_} } qw(first_wal last_wal segments start_lsn end_lsn
		  earliest_time latest_time raw_bytes stored_bytes)),
	'walarch.ranges is what walarch list shows');
is(sql('SELECT count(*) FROM walarch.gaps'), 0, 'nothing is missing');
is( sql('SELECT backup_id, source, label, timeline, start_lsn, stop_lsn, '
		  . iso('start_time') . ", start_wal, usable, reason FROM walarch.backups"),
	join("\n", map {
			my $backup = $_;
			$backup->{start_time} =~ s/(\S+) (\S+) UTC/$1T$2Z/;
			join '|', (map { $backup->{$_} } qw(backup_id source label timeline start_lsn stop_lsn start_time start_wal)),
			  't', ''
		} @{ $listed->{backups} }),
	'so is walarch.backups');
is( sql('SELECT timeline, backup_id, earliest_lsn, ' . iso('earliest_time') . ', latest_lsn, '
		  . iso('latest_time') . ' FROM walarch.recovery_window'),
	join("\n", map {
			my $window = $_;
			join '|', map { $window->{$_} } qw(timeline backup_id earliest_lsn earliest_time latest_lsn latest_time)
		} @{ $listed->{recovery_window} }),
	'so is walarch.recovery_window');

(undef, $json) = run_in('/', $ENV{WALARCH_BIN}, 'list', '--archive', $archive, '--segments', '--json');
is( sql('SELECT name, timeline, start_lsn, raw_bytes, stored_bytes, ' . iso('archived_at') . ', '
		  . iso('earliest_time') . ', ' . iso('latest_time')
		  . ", array_to_string(restore_points, ' '), damaged FROM walarch.segments()"),
	join("\n", map {
			my $segment = $_;
			join '|', (map { $segment->{$_} // '' } qw(name timeline start_lsn raw_bytes stored_bytes archived_at
				  earliest_time latest_time)), join(' ', @{ $segment->{restore_points} }), $segment->{damaged} // ''
		} @{ decode_json($json) }),
	'so is walarch.segments()');
is(sql("SELECT string_agg(name, ' ') FROM walarch.segments(1, '$wal[1]', '$wal[3]')"),
	"@wal[1 .. 3]", 'of a part');
is(sql('SELECT count(*) FROM walarch.segments(2)'), 0, 'of another timeline');
is(sql('SELECT count(*) FROM walarch.verify()'), 0, 'walarch.verify() finds nothing');

foreach my $bad ("walarch.segments(0)", "walarch.segments(NULL, 'x')", "walarch.segments(NULL, NULL, '00000002.history')")
{
	my ($status, undef, $stderr) = $primary->psql('postgres', "SELECT * FROM $bad");
	isnt($status, 0, "$bad is refused");
	like($stderr, qr/is out of range|is not the name of a WAL segment/, 'with a reason');
}

# ---- something is missing ---------------------------------------------------------

rename object_path($archive, $_), "$raw/$_" or die $! foreach @wal[ 1, 2 ];
is( sql('SELECT timeline, first_missing_wal, last_missing_wal, segments, waiting, cardinality(affects_backups) FROM walarch.gaps'),
	"1|$wal[1]|$wal[2]|2|f|1", 'walarch.gaps names what is missing, and counts whom it harms');
is(sql('SELECT affects_backups[1] = (SELECT backup_id FROM walarch.backups ORDER BY start_lsn LIMIT 1) FROM walarch.gaps'),
	't', 'the backup before it');
like(sql('SELECT severity, object, finding, consequence FROM walarch.verify()'),
	qr/^error\|$wal[1]\|2 segments up to $wal[2] are missing\|nothing after .* can be recovered from 1 backup/,
	'walarch.verify() says it, too');

# The first of the two is to be archived again: the archive is away meanwhile.
my $status_file = data_file($primary, "pg_wal/archive_status/$wal[1]");
rename "$archive/tmp", "$archive/away" or die $!;
write_binary("$archive/tmp", 'in the way');
rename "$status_file.done", "$status_file.ready" or die $!;
is( sql('SELECT first_missing_wal, last_missing_wal, waiting FROM walarch.gaps'),
	"$wal[1]|$wal[1]|t\n$wal[2]|$wal[2]|f", 'what waits on this server is told from what is lost');
unlink "$archive/tmp";
rename "$archive/away", "$archive/tmp" or die $!;
kick($primary);
wait_archived($primary, $wal[1]);
is(sql('SELECT first_missing_wal, waiting FROM walarch.gaps'), "$wal[2]|f", 'when it has come only the other is missing');
rename "$raw/$wal[2]", object_path($archive, $wal[2]) or die $!;
unlink "$raw/$wal[1]";
is(sql('SELECT count(*) FROM walarch.gaps'), 0, 'nothing is missing again');

# ---- who may ask, and what cannot be asked ----------------------------------------

sql('CREATE ROLE nobody LOGIN; CREATE ROLE watcher LOGIN IN ROLE pg_monitor');
foreach my $object (qw(ranges gaps backups recovery_window recovery_progress segments() verify()))
{
	my ($denied) = $primary->psql('postgres', "SET ROLE nobody; SELECT count(*) FROM walarch.$object");
	my ($granted) = $primary->psql('postgres', "SET ROLE watcher; SELECT count(*) FROM walarch.$object");

	is(($denied ? 'denied' : 'granted') . ' ' . ($granted ? 'denied' : 'granted'), 'denied granted',
		"$object: for pg_monitor only");
}
rename "$archive/archive.id", "$raw/archive.id" or die $!;
my ($status, undef, $stderr) = $primary->psql('postgres', 'SELECT * FROM walarch.ranges');
isnt($status, 0, 'an archive without its marker');
like($stderr, qr/could not look into the archive "\Q$archive\E": .*has no marker/, 'is an error that says so');
rename "$raw/archive.id", "$archive/archive.id" or die $!;
set_conf($primary, 'walarch.archive', '');
($status, undef, $stderr) = $primary->psql('postgres', 'SELECT * FROM walarch.ranges');
like($stderr, qr/walarch\.archive is not set/, 'so is none at all');
set_conf($primary, 'walarch.archive', $archive);

is(sql('SELECT in_recovery, replay_lsn IS NULL, remaining_bytes IS NULL FROM walarch.recovery_progress'),
	'f|t|t', 'recovery_progress on a server that is not in recovery');

# ---- on a server in recovery ---------------------------------------------------------

my $standby = new_standby('standby', $primary, 'base', get => '--prefetch off');
$standby->start;
wait_marks($standby, 'last');
wait_replayed($standby, sql('SELECT max(end_lsn) FROM walarch.ranges'));
my $progress = $standby->safe_psql('postgres', <<'END');
SELECT in_recovery, replay_lsn = pg_last_wal_replay_lsn(), replay_time = pg_last_xact_replay_timestamp(),
	target IS NULL, archive_end_lsn >= replay_lsn, remaining_bytes, archive_end_time IS NOT NULL
FROM walarch.recovery_progress
END
is($progress, 't|t|t|t|t|0|t', 'a standby that has everything');

my $behind = new_recovery('behind', $primary, 'base', get => '--prefetch off',
	conf => "recovery_target_name = 'point 2'\n");
$behind->append_conf('postgresql.conf', "recovery_target_action = 'pause'\nhot_standby = on\n");
$behind->start;
$behind->poll_query_until('postgres', "SELECT pg_get_wal_replay_pause_state() = 'paused'")
  or die 'recovery did not pause';
my $last_lsn = sql("SELECT max(end_lsn) FROM walarch.ranges");
my ($target, $remaining, $estimate, $right) = split /\|/, $behind->safe_psql('postgres', <<"END");
SELECT target, remaining_bytes > 0, estimated_remaining IS NULL,
	remaining_bytes = archive_end_lsn - replay_lsn AND archive_end_lsn <= '$last_lsn'
FROM walarch.recovery_progress
END
is("$target $remaining $estimate $right", "recovery_target_name = 'point 2' t t t",
	'a recovery that paused at its target, and what the archive still has');
rename "$archive/archive.id", "$raw/archive.id" or die $!;
($status, my $stdout, $stderr) = $behind->psql('postgres',
	'SELECT in_recovery, replay_lsn IS NOT NULL, archive_end_lsn IS NULL FROM walarch.recovery_progress');
rename "$raw/archive.id", "$archive/archive.id" or die $!;
is("$status $stdout", '0 t|t|t', 'without the archive it still says where replay is');
like($stderr, qr/^psql:.*WARNING:  could not look into the archive "\Q$archive\E".*archive\.id/m, 'with a warning');

# ---- names that somebody else chose --------------------------------------------------

# A database without an encoding takes any bytes.
sql("CREATE DATABASE bytes ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
switch_wal($primary);			# no segment ends among the names
$primary->safe_psql('bytes', "SELECT pg_create_restore_point($_)")
  foreach "E'good \\xc3\\xa9 \\xe2\\x82\\xac'", "E'no \\xff \\xc3 text'", "E'red \\x1b[31m\\n \\xc2\\x9b31m'",
  "E'odd \\xed\\xa0\\x80 \\xf4\\x90\\x80\\x80 \\xc0\\x80'";
my $named = switch_and_archive($primary);
is( sql("SELECT array_to_string(restore_points, ',') FROM walarch.segments() WHERE name = '$named'"),
	"good \xc3\xa9 \xe2\x82\xac,no ? ? text,red \x1b[31m\n \xc2\x9b31m,odd ??? ???? ??",
	'in SQL a name is text of the database') or diag $named;
($status, $stdout) = run_in('/', $ENV{WALARCH_BIN}, 'list', '--archive', $archive, '--segments');
like($stdout, qr/^\Q$named\E .*  "good \xc3\xa9 \xe2\x82\xac"  "no \? \? text"  "red \?\[31m\? \?\?31m"  "odd \?{3} \?{4} \?{2}"$/m,
	'a terminal gets characters only');
($status, $stdout) = run_in('/', $ENV{WALARCH_BIN}, 'list', '--archive', $archive, '--segments', '--json');
my ($row) = grep { $_->{name} eq $named } @{ decode_json($stdout) };
my $bad = "\x{fffd}";
is_deeply($row->{restore_points},
	[ "good \x{e9} \x{20ac}", "no $bad $bad text", "red \e[31m\n $bad${bad}31m", 'odd ' . join(' ', $bad x 3, $bad x 4, $bad x 2) ],
	'and JSON is UTF-8');
($status, $stdout) = run_in('/', $ENV{WALARCH_BIN}, 'list', '--archive', $archive, '--restore-point', "no \xff \xc3 text");
like($stdout, qr/^"no \? \? text" lies in $named,/, 'it is found by its bytes');

done_testing();
