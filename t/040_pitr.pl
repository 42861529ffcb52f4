# Point-in-time recovery from a walarch archive: to a time, an LSN, a restore
# point and the end, with every row back; and what must not happen: a server
# that opens early, on a new timeline, because its archive is damaged, absent,
# not mounted or another cluster's.

use strict;
use warnings;

use lib 't/lib';

use Get;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WalArch;

my $primary = new_primary('primary',
	extra => ['--wal-segsize=1'],
	conf => "autovacuum = off\nwal_keep_size = '512MB'\n");
my $archive = archive_dir($primary);
my $top = PostgreSQL::Test::Utils::tempdir();

sub sql { return $primary->safe_psql('postgres', $_[0]); }

# Two tables as one line each: rows and a checksum of them.
sub tables_of
{
	my ($node) = @_;

	return join "\n", map {
		"$_ " . $node->safe_psql('postgres',
			"SELECT count(*) || ' ' || md5(string_agg(t::text, ',' ORDER BY t::text)) FROM $_ t")
	} qw(accounts history);
}

# Work: changes and a new row, in a transaction each.
my $works = 0;

sub work
{
	$works++;
	sql("UPDATE accounts SET balance = balance + id % $works WHERE id % 3 = 0;"
		  . "INSERT INTO history SELECT $works, md5(random()::text) FROM generate_series(1, 200)");
	return;
}

# ---- one history, with points to go back to -----------------------------------------

sql('CREATE TABLE accounts AS SELECT id, 0 AS balance FROM generate_series(1, 2000) id;'
	  . 'CREATE TABLE history (work int, what text)');
$primary->backup('base');

my %point;		# name => [ tables then, recovery target settings ]

work();
switch_and_archive($primary);
work();
sql("SELECT pg_create_restore_point('here')");
$point{'a restore point'} = [ tables_of($primary), "recovery_target_name = 'here'" ];
work();
switch_and_archive($primary);
work();
my $lsn = sql('SELECT pg_current_wal_lsn()');
$point{'an LSN'} = [ tables_of($primary), "recovery_target_lsn = '$lsn'" ];
work();
my $time = sql('SELECT clock_timestamp()');
$point{'a time'} = [ tables_of($primary), "recovery_target_time = '$time'" ];
work();
switch_and_archive($primary);

# A target in the last kilobytes of a segment: fill it up to there.
my $segment = 1024 * 1024;
my $left = 'pg_wal_lsn_diff(pg_current_wal_insert_lsn(), \'0/0\')::bigint';

work();
$left = "($segment - mod($left, $segment))";
sql("DO \$\$ BEGIN WHILE $left NOT BETWEEN 2500 AND 6000 LOOP"
	  . " PERFORM pg_logical_emit_message(false, 'fill', repeat('x',"
	  . " CASE WHEN $left > 12000 OR $left < 2500 THEN 4000 ELSE 200 END));"
	  . ' END LOOP; END $$');
sql("INSERT INTO history VALUES (0, 'last'); SELECT pg_create_restore_point('late')");
my ($late_wal, $late_left) = split /\|/, sql("SELECT pg_walfile_name(pg_current_wal_insert_lsn()), $left");
$point{'the last kilobytes of a segment'} = [ tables_of($primary), "recovery_target_name = 'late'" ];
write_wal($primary, 100);
work();
my $after_late = switch_and_archive($primary);
work();
my $last = switch_and_archive($primary);
my $end = tables_of($primary);
$point{'the end'} = [ $end, '' ];

cmp_ok($late_left, '<', 8192, "the late target lies in the last kilobytes of its segment");
cmp_ok($late_left, '>', 0, 'and not beyond it');
is(hex(substr $after_late, 8), hex(substr $late_wal, 8) + 1,
	'the next segment is the one to be damaged') or diag("$late_wal, $after_late");
is(scalar(keys %{ { map { $_->[0] => 1 } values %point } }), 5, 'all points differ');
$primary->stop;

my ($control_of_backup) = run_command([ 'pg_controldata', $primary->backup_dir . '/base' ]);
$control_of_backup = qr/\A\Q$control_of_backup\E\z/;

# ---- recovering -------------------------------------------------------------------------

my $servers = 0;

sub new_server
{
	my ($conf, @options) = @_;
	my $server = PostgreSQL::Test::Cluster->new('server' . ++$servers);

	$server->init_from_backup($primary, 'base');
	$server->append_conf('postgresql.conf', <<"END");
archive_mode = off
restore_command = '"$ENV{WALARCH_BIN}" get --archive "$archive" --retry-for 1 @options "%f" "%p"'
recovery_target_action = 'promote'
$conf
END
	$server->set_recovery_mode;
	return $server;
}

sub recovers
{
	my ($what, $expected, $conf, @options) = @_;
	my $server = new_server($conf, @options);

	if (!$server->start(fail_ok => 1))
	{
		fail("$what: the server starts");
		diag(slurp_file($server->logfile));
		return;
	}
	$server->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()')
	  or die "$what: recovery did not end";
	is(tables_of($server), $expected, "$what: every row of that moment");
	is($server->safe_psql('postgres',
			"SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"),
		'00000002', "$what: on a timeline of its own");
	unlike(slurp_file($server->logfile), qr/walarch get: /, "$what: not a word in the log");
	$server->stop;
	return $server;
}

# The server stops and can go on later: it was neither opened nor moved to
# another timeline.
sub stops
{
	my ($what, $reason, $conf, @options) = @_;
	my $server = new_server($conf, @options);

	ok(stops_by_itself($server), "$what: the server stops");

	my $log = slurp_file($server->logfile);
	like($log, qr/^walarch get: could not restore [^\n]*${reason}[^\n]*; recovery stops/m,
		"$what: the reason is in the log");
	like($log, qr/FATAL:  could not restore file "[^"]+" from archive: child process exited with exit code 200/,
		"$what: the server saw 200");
	unlike($log, qr/archive recovery complete|selected new timeline|ready to accept connections\n/,
		"$what: it was not opened");
	ok(-e data_file($server, 'recovery.signal'), "$what: it still wants to recover");

	# Without a single file, recovery does not even begin.
	my ($control) = run_command([ 'pg_controldata', $server->data_dir ]);
	my $begun = $log =~ /^walarch get: could not restore "[0-9A-F]{24}"/m;
	like($control, $begun ? qr/cluster state:\s+in archive recovery/ : $control_of_backup,
		"$what: as pg_control shows, too");
	like($control, qr/Latest checkpoint's TimeLineID:\s+1\n/, "$what: on the old timeline");
	is(join(' ', map { s{.*/}{}r } glob(data_file($server, 'pg_wal/*.history') . ' ' . data_file($server, 'pg_wal/*.walarch'))),
		'', "$what: nothing is left behind");
	return $server;
}

# The same server once more, after what was wrong has been mended.
sub goes_on
{
	my ($what, $server, $expected) = @_;

	$server->start;
	$server->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()')
	  or die "$what: recovery did not end";
	is(tables_of($server), $expected, "$what: mended, it goes on to its target");
	$server->stop;
	return;
}

foreach my $what (sort keys %point)
{
	my ($expected, $target) = @{ $point{$what} };

	recovers($what, $expected, $target);
}

# ---- damage ---------------------------------------------------------------------------------

sub damage
{
	my ($wal) = @_;
	my $path = object_path($archive, $wal);
	my $bytes = slurp_binary($path);

	write_binary("$top/$wal", $bytes);
	substr($bytes, length($bytes) / 2, 1) ^= "\xFF";
	write_binary($path, $bytes);
	return;
}

sub mend
{
	my ($wal) = @_;

	write_binary(object_path($archive, $wal), slurp_binary("$top/$wal"));
	return;
}

# PostgreSQL reads ahead of what it replays: it asks for the segment after the
# target before it has reached the target.
my ($late, $late_target) = @{ $point{'the last kilobytes of a segment'} };

damage($after_late);
my $stopped = stops('successor damaged', qr/\Q$after_late\E/, "$late_target\nrecovery_prefetch = on");
like(slurp_file($stopped->logfile), qr/--until SEGMENT .*recovery_prefetch = off/,
	'successor damaged: the log names both ways out');
{
	my $server = recovers_in_spite('with --until', "$late_target\nrecovery_prefetch = on", '--until', $late_wal);

	like(slurp_file($server->logfile), qr/\Q$after_late\E[^\n]*it lies past --until and is reported as absent/,
		'with --until: the damage is told all the same');
	recovers_in_spite('without prefetch', "$late_target\nrecovery_prefetch = off");
}

# As recovers, but something may stand in the log.
sub recovers_in_spite
{
	my ($what, $conf, @options) = @_;
	my $server = new_server($conf, @options);

	ok($server->start(fail_ok => 1), "successor damaged, $what: the server starts")
	  or die slurp_file($server->logfile);
	$server->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()')
	  or die "$what: recovery did not end";
	is(tables_of($server), $late, "successor damaged, $what: the target is reached");
	$server->stop;
	return $server;
}

{
	my $server = stops('successor damaged, --until given too high', qr/\Q$after_late\E/,
		$late_target, '--until', $after_late);
	mend($after_late);
	goes_on('successor damaged', $server, $late);
}

damage($late_wal);
{
	my $server = stops('needed segment damaged', qr/\Q$late_wal\E/, '');
	mend($late_wal);
	goes_on('needed segment damaged', $server, $end);
}
damage($late_wal);
stops('needed segment damaged, a target beyond it', qr/\Q$late_wal\E/,
	"recovery_target_lsn = '" . sprintf('%X/%X', 0, hex(substr $last, 16) * $segment + 100) . "'",
	'--until', $last);
mend($late_wal);

# ---- no archive, or not ours ---------------------------------------------------------------

rename "$archive/archive.id", "$top/archive.id" or die "could not rename: $!";
{
	my $server = stops('missing marker', qr/has no marker "archive\.id"/, '');
	rename "$top/archive.id", "$archive/archive.id" or die "could not rename: $!";
	goes_on('missing marker', $server, $end);
}

rename $archive, "$archive.away" or die "could not rename: $!";
stops('no such directory', qr/archive directory "[^"]+" does not exist/, '');
mkdir $archive, 0700 or die "could not make \"$archive\": $!";
{
	my $server = stops('an empty mount point', qr/has no marker "archive\.id"/, '');
	rmdir $archive;
	rename "$archive.away", $archive or die "could not rename: $!";
	goes_on('an empty mount point', $server, $end);
}

# Another cluster that archives files of the same names.
my $other = new_primary('other', extra => ['--wal-segsize=1']);
write_wal($other, 100);
switch_and_archive($other) foreach 1 .. 8;
$other->stop;
rename $archive, "$archive.away" or die "could not rename: $!";
rename archive_dir($other), $archive or die "could not rename: $!";
stops('the archive of another cluster',
	qr/is the archive of the cluster with system identifier \d+; this cluster has \d+/, '');
rename $archive, archive_dir($other) or die "could not rename: $!";
rename "$archive.away", $archive or die "could not rename: $!";

# One of its files under our marker.
my $object = object_path($archive, $late_wal);
my $kept = slurp_binary($object);
my ($theirs) = grep { /^[0-9A-F]{24}$/ } reverse archive_files(archive_dir($other));
write_binary($object, object_bytes(archive_dir($other), $theirs));
stops('an object of another cluster', qr/\Q$late_wal\E/, '');
write_binary($object, $kept);

# A restore_command that is mistyped.
stops_mistyped();

sub stops_mistyped
{
	my $server = new_server('');

	$server->append_conf('postgresql.conf',
		qq(restore_command = '"$ENV{WALARCH_BIN}" git --archive "$archive" "%f" "%p"'));
	ok(stops_by_itself($server), 'a mistyped subcommand: the server stops');
	unlike(slurp_file($server->logfile), qr/archive recovery complete|ready to accept connections\n/,
		'a mistyped subcommand: it was not opened');
	return;
}

# What proves that the rest proves something: status 1 does open it.
{
	damage($late_wal);
	my $server = new_server('', '--no-strict');

	$server->start;
	$server->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()')
	  or die 'recovery did not end';
	isnt(tables_of($server), $end, 'with --no-strict the same damage opens the server early');
	like(slurp_file($server->logfile), qr/--no-strict: recovery may end here, too early/,
		'with --no-strict the log says so');
	$server->stop;
	mend($late_wal);
}

done_testing();
