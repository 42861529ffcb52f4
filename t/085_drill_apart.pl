# walarch drill: it keeps to its copy, whatever the environment and the cluster
# bring along; it ends, whatever hangs; it leaves nothing, whatever ends it; and
# what it says of the recovery point is true.

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

my $primary = new_primary(
	'primary',
	extra => ['--wal-segsize=1'],
	conf => "min_wal_size = 2MB\nautovacuum = off\nmax_prepared_transactions = 5\nmax_replication_slots = 20\n");
if ($primary->pg_version >= 18)
{
	$primary->append_conf('postgresql.conf', "max_active_replication_origins = 20\n");
	$primary->restart;
}
my $archive = archive_dir($primary);
my $base = $primary->basedir;

# the path of a socket is short; what stands in it must not matter
my $short = File::Temp::tempdir('/tmp/wadrill.XXXXXX', CLEANUP => 1);
my $scratch = "$short/it's \\ one";
mkdir $scratch or die $!;
my @connection = ('--host', $primary->host, '--port', $primary->port);

# of a role that brings nothing along: see below
my $conninfo = 'user=other dbname=postgres host=' . $primary->host . ' port=' . $primary->port;

sub sql { return $primary->safe_psql('postgres', $_[0]); }

sub walarch
{
	my ($status, $stdout, $stderr) = run_in('/', $ENV{WALARCH_BIN}, @_);
	return { status => $status, stdout => $stdout, stderr => $stderr };
}

my @drill = ('drill', '--archive', $archive, '--scratch', $scratch);

# The tests themselves do without what the role brings; a drill is not told.
$ENV{PGOPTIONS} = '-c default_transaction_read_only=off -c session_preload_libraries= -c statement_timeout=0';
my %bare = %ENV;
delete $bare{PGOPTIONS};
our %around;

sub drill
{
	local %ENV = (%bare, %around);
	return walarch(@drill, @_);
}

sub report
{
	my $run = drill('--json', '--no-report', @_);
	return { %{ decode_json($run->{stdout}) }, status => $run->{status}, stderr => $run->{stderr}, stdout => $run->{stdout} };
}

sub detail
{
	my ($report, $name, $result) = @_;
	my ($check) = grep { $_->{name} eq $name && $_->{result} eq $result } @{ $report->{checks} };
	return $check ? $check->{detail} : undef;
}

sub backup
{
	my $run = walarch('backup', '--archive', $archive, @connection, '--checkpoint', 'fast', '--json');
	die "no backup: $run->{stderr}" if $run->{status} != 0;
	return decode_json($run->{stdout})->{backup_id};
}

sub file { my ($name, $text) = @_; write_binary("$base/$name", $text); chmod 0755, "$base/$name"; return "$base/$name"; }

sub leftovers { return join ' ', glob("'" . $scratch =~ s/(['\\])/\\$1/gr . "/*'"), sql(q{SELECT string_agg(name, ' ') FROM walarch.pins}); }

# ---- a cluster that brings all kinds of things ------------------------------------

my $data = $primary->data_dir;
sql('CREATE TABLE marks (n serial, what text)');
sql('CREATE DATABASE closed');
sql('ALTER DATABASE closed ALLOW_CONNECTIONS false');
# a trigger that reaches out, and one that forbids
sql("CREATE FUNCTION reach() RETURNS event_trigger LANGUAGE plpgsql AS \$\$ BEGIN COPY (SELECT 1) TO PROGRAM 'cat >>\"$base/reached\"'; END \$\$");
sql('CREATE EVENT TRIGGER "Reach" ON ddl_command_end EXECUTE FUNCTION reach()');
sql('CREATE TABLE it_works (n int)');
ok(-s "$base/reached", 'the trigger reaches out, on the primary');
unlink "$base/reached" or die $!;
# a role that is not as it usually is
my $me = sql('SELECT current_user');
sql("ALTER ROLE \"$me\" SET $_") foreach 'default_transaction_read_only = on', q{session_preload_libraries = 'auto_explain'}, q{statement_timeout = '1ms'};
# more origins than a server takes by default
sql("SELECT pg_replication_origin_create('o' || n) FROM generate_series(1, 12) n");
sql("SELECT pg_replication_origin_advance('o' || n, '0/1') FROM generate_series(1, 12) n");
# libraries named in a file that another one includes
write_binary("$data/more.conf", "shared_preload_libraries = 'pg_stat_statements'\n");
$primary->append_conf('postgresql.conf', "include = 'more.conf'\n");
switch_and_archive($primary);	# an archive begins with its first file
my $backup = backup();
mark($primary, 'first');
sql(q{SELECT pg_create_restore_point('LOG:  database system is ready to accept connections')});
switch_and_archive($primary);

# ---- an environment that leads elsewhere -------------------------------------------

write_binary("$base/services", "[elsewhere]\nhost=" . $primary->host . "\nport=" . $primary->port . "\nuser=$me\n");
my $here = file('here.sql', "SELECT current_setting('data_directory') LIKE '$short/%';\n"
	  . "SELECT current_setting('auto_explain.log_min_duration', true) IS NULL;\n"
	  . "SELECT current_setting('listen_addresses') = '';\n");
my $asks = file('asks', "#!/bin/sh\npsql -XAtc 'SHOW data_directory' | grep -q '^$short/' && test -z \"\$PGSERVICE\$PGHOSTADDR\"\n");
my $position = log_position($primary);
my $report;
{
	local %around = (PGSERVICEFILE => "$base/services", PGSERVICE => 'elsewhere', PGHOSTADDR => '127.0.0.1',
		PGTARGETSESSIONATTRS => 'standby', PGREQUIREPEER => 'nobody', PGOPTIONS => '-c statement_timeout=1', PGUSER => 'backup');
	$report = report('--check-sql', $here, '--check-command', $asks, '--setting', 'listen_addresses=*');
}
is($report->{status}, 0, 'a drill passes nevertheless') or diag($report->{stdout});
is(detail($report, 'pg_amcheck', 'passed'), 'no finding', 'pg_amcheck, too');
unlike(log_since($primary, $position), qr/pg_amcheck|psql|walarch LOG/, 'nobody has connected to the primary');
is(sql(q{SELECT count(*) FROM pg_extension WHERE extname = 'amcheck'}), '0', 'nothing was installed there');
ok(!-e "$base/reached", 'no event trigger has reached out');
like(detail($report, 'opens', 'passed'), qr/not looked into, since they allow no connections: closed$/, 'what was not looked into is said');
like($report->{not_loaded}, qr/^shared_preload_libraries = pg_stat_statements/, 'and what was not loaded');
is(leftovers(), '', 'nothing is left');

# a superuser of another name
sql('CREATE ROLE other SUPERUSER LOGIN');
switch_and_archive($primary);
is(report('--username', 'other')->{status}, 0, 'as a superuser that is named');
is(detail(report('--username', 'nobody'), 'opens', 'failed') =~ /role "nobody" does not exist/ ? 1 : 0, 1, 'or one that is not there');

$report = report('--target-name', 'LOG:  database system is ready to accept connections');
is($report->{status}, 0, 'a restore point that is named like a line of the log') or diag($report->{stdout});
is($report->{recovery_point}->{behind_ms}, undef, 'to a target nothing is lost');

# ---- what the user asks ---------------------------------------------------------------

my $true = file('true.sql', "SELECT true;\n");
foreach my $case (
	[ 'false', "SELECT 1;\nSELECT false;\n", qr/says false/ ],
	[ 'empty', '', qr/empty/ ],
	[ 'wordy', "SELECT repeat('x', 300000);\n", qr/more than can be looked at/ ])
{
	my $sql = file("$case->[0].sql", $case->[1]);
	$report = report('--check-sql', $sql);
	is($report->{status}, 1, "SQL, $case->[0]: exit status");
	like(detail($report, 'check SQL', 'failed'), $case->[2], "SQL, $case->[0]: and why");
}
$report = report(map({ ('--check-sql', $true) } 1 .. 20), '--check-sql', file('false.sql', "SELECT false;\n"));
is(scalar(grep { $_->{name} eq 'check SQL' } @{ $report->{checks} }), 21, 'all of many checks are told');
is(detail($report, 'check SQL', 'failed'), "$base/false.sql says false", 'the last one, too');

my $run = drill('--no-report', '--quiet', '--check-sql', "$base/false.sql");
is($run->{stdout}, '', 'a failed drill, quietly');
is($run->{stderr}, "walarch drill: check SQL FAILED: $base/false.sql says false\n", 'says what failed');
my ($status) = run_in('/', 'sh', '-c', '"$@" >/dev/full', 'sh', $ENV{WALARCH_BIN}, @drill, '--no-report');
is($status, 1, 'a report that nobody got');

# ---- what hangs ---------------------------------------------------------------------------

my $begun = time;
is(report('--check-command', file('leaves', "#!/bin/sh\nsleep 300 &\necho \$! >'$base/sleeper'\n"))->{status}, 0, 'a command that leaves a child');
cmp_ok(time - $begun, '<', 100, 'is not waited for');
kill 'KILL', slurp_file("$base/sleeper") =~ /(\d+)/;
$report = report('--timeout', '15s', '--check-command', file('hangs', "#!/bin/sh\nsleep 300 &\necho \$! >'$base/sleeper'\nwait\n"));
like(detail($report, 'check command', 'failed'), qr/did not end in the time that it was given/, 'a command that hangs');
my ($sleeper) = slurp_file("$base/sleeper") =~ /(\d+)/;
wait_until('its child is gone', sub { has_ended($sleeper) });
sql("BEGIN; LOCK TABLE marks; INSERT INTO marks (what) VALUES ('prepared'); PREPARE TRANSACTION 'p'");
switch_and_archive($primary);
$report = report('--timeout', '15s');
like(detail($report, 'pg_amcheck', 'failed'), qr/did not end in the time/, 'a lock that nobody lets go of');
like(detail($report, 'opens', 'passed'), qr/; 1 prepared transactions hold their locks/, 'which is explained');
sql("ROLLBACK PREPARED 'p'");
switch_and_archive($primary);
is(leftovers(), '', 'nothing is left');

my $postmaster = (split /\n/, slurp_file("$data/postmaster.pid"))[0];
kill 'STOP', $postmaster;
$report = report('--primary', $conninfo);
kill 'CONT', $postmaster;
like(detail($report, 'primary', 'failed'), qr/could not connect|does not answer/, 'a primary that does not answer');
is($report->{recovery_time_ms}->{rto} > 0 ? 1 : 0, 1, 'does not keep from drilling');

# ---- the recovery point ---------------------------------------------------------------------

my $other = PostgreSQL::Test::Cluster->new('other');
$other->init;
$other->start;
$report = report('--primary', 'dbname=postgres host=' . $other->host . ' port=' . $other->port);
like(detail($report, 'primary', 'failed'), qr/belongs to|another cluster|system identifier/, 'the primary of another archive');
is($report->{recovery_point}->{behind_bytes}, undef, 'measures nothing');
$other->stop;

# the same cluster, gone on elsewhere
$primary->backup('clone');
my $gone = PostgreSQL::Test::Cluster->new('gone');
$gone->init_from_backup($primary, 'clone');
$gone->append_conf('postgresql.conf', "archive_mode = off\nrestore_command = 'false'\n");
$gone->set_standby_mode;
$gone->start;
$gone->promote;
$gone->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'it does not open';
$gone->safe_psql('postgres', 'CHECKPOINT');
$report = report('--primary', 'user=other dbname=postgres host=' . $gone->host . ' port=' . $gone->port);
like(detail($report, 'primary', 'failed'), qr/it is on timeline 2, and the latest one in the archive is 1/, 'a primary whose timeline the archive does not have');
$gone->stop;
$report = report('--primary', $conninfo, '--max-behind', '1MB');
is($report->{status}, 0, 'not too much is missing') or diag($report->{stdout});
set_conf($primary, 'walarch.archive', '/nowhere');
sql(q{SELECT pg_logical_emit_message(false, 'x', repeat('x', 3000000))});
my $lsn = sql('SELECT pg_current_wal_lsn()');
$report = report('--primary', $conninfo, '--max-behind', '1MB');
is($report->{status}, 1, 'an archive that gets nothing');
like(detail($report, 'max behind', 'failed'), qr/^\d+ kB of WAL were not in the archive|^\d+ MB of WAL were not in the archive/, 'is told');
cmp_ok($report->{recovery_point}->{behind_bytes}, '>', 2_000_000, 'in bytes');
set_conf($primary, 'walarch.archive', $archive);
wait_archived($primary);

# ---- what ends it -----------------------------------------------------------------------------

my $waits = file('waits', "#!/bin/sh\necho \$PPID >'$base/waiting.new'\nmv '$base/waiting.new' '$base/waiting'\nexec sleep 300\n");

sub start_drill
{
	my (@options) = @_;
	unlink "$base/waiting";
	my $child = fork // die $!;
	if ($child == 0)
	{
		open(STDOUT, '>', "$base/out") or die $!;
		%ENV = %bare;
		exec($ENV{WALARCH_BIN}, @drill, '--check-command', $waits, @options) or exit(127);
	}
	wait_until('it has come to the check', sub { -e "$base/waiting" });
	return $child;
}

foreach my $signal ('TERM', 'INT', 'HUP')
{
	my $child = start_drill('--no-report');
	kill $signal, $child;
	waitpid $child, 0;
	is($? >> 8, 1, "SIG$signal: exit status");
	like(slurp_file("$base/out"), qr/^  FAILED   interrupted +ended by signal \d+/m, "SIG$signal: is told");
	is(leftovers(), '', "SIG$signal: nothing is left");
}
my $child = start_drill('--no-report');
kill 'KILL', $child;
waitpid $child, 0;
isnt(leftovers(), '', 'SIGKILL leaves the copy');
is(scalar(() = leftovers() =~ /walarch-drill-/g), 1, 'of one drill');
$child = start_drill('--no-report');
is(scalar(() = leftovers() =~ /walarch-drill-/g), 1, 'which the next one removes');
$run = drill('--no-report');
is($run->{status}, 0, 'while it goes on another one passes') or diag($run->{stdout}, $run->{stderr});
is(scalar(() = leftovers() =~ /walarch-drill-/g), 1, 'and leaves it alone');
kill 'TERM', $child;
waitpid $child, 0;
walarch('unpin', '--archive', $archive, $_) foreach split ' ', leftovers();

# ---- damage that only the log explains ------------------------------------------------------------

my @wal = sort grep { /^[0-9A-F]{24}$/ && $_ gt substr($backup, 0, 24) } archive_files($archive);
my $object = object_path($archive, $wal[0]);
my $good = slurp_binary($object);
my $bad = $good;
substr($bad, 200, 1) ^= "\x01";
write_binary($object, $bad);
like(detail(report(), 'recovers', 'failed'), qr/^the server ended before it opened: FATAL:.*; before that: walarch get: .*\Q$wal[0]\E.*damaged/, 'what restore_command has said');
write_binary($object, $good);

# ---- reports ---------------------------------------------------------------------------------------

my @children = map {
	my $pid = fork // die $!;
	if ($pid == 0)
	{
		open(STDOUT, '>', "$base/out$_") or die $!;
		%ENV = %bare;
		exec($ENV{WALARCH_BIN}, @drill) or exit(127);
	}
	$pid;
} 1 .. 3;
foreach my $n (1 .. 3)
{
	waitpid $children[$n - 1], 0;
	is($?, 0, 'of three drills at once, one') or diag(slurp_file("$base/out$n"));
}
is(scalar(grep { /^drills\/.*\.txt$/ } files_below($archive, '')), 3, 'each has its report');

sub judged { return sql(q{SELECT ok || ': ' || detail FROM walarch.check_setup() WHERE check_name = 'drill'}); }

is(judged(), 'true: passed, 0 h ago', 'check_setup() judges by the last one');
write_binary("$archive/drills/20990101T000000Z.txt", "walarch-drill: 1\nresult: FAILED\n");
is(judged(), 'true: passed, 0 h ago', 'not by one from the future');
unlink glob("$archive/drills/*.txt");
write_binary("$archive/drills/20240101T000000Z.txt", "walarch-drill: 1\nresult: passed\n");
like(judged(), qr/^false: passed, \d+ days ago$/, 'one of long ago is too old');
chmod 0, "$archive/drills/20240101T000000Z.txt";
is(judged(), 'false: 1 reports, and none can be read', 'one that cannot be read is told');

foreach my $wrong (
	[ [ '--scratch', '/tmp/a,b' ], qr/.*a comma/ ],
	[ [ '--dbname', 'host=elsewhere' ], qr/.*not a connection string/ ],
	[ [ '--max-behind', '1MB' ], qr/--max-behind goes with --primary/ ],
	[ [ '--primary', 'x', '--max-behind', 'much' ], qr/"much" is not a value/ ])
{
	$run = drill(@{ $wrong->[0] });
	is($run->{status}, 2, "@{$wrong->[0]}: wrong usage");
	like($run->{stderr}, qr/^walarch drill: $wrong->[1]/, 'which it says');
}

done_testing();
