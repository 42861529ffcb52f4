# walarch drill: a recovery that is really done in a scratch directory, checked
# and measured; green, and red for each fault that it must find.

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
	extra => [ '--wal-segsize=1', '--data-checksums' ],
	conf => "min_wal_size = 2MB\nautovacuum = off\nmax_connections = 77\nmax_prepared_transactions = 5\n");
my $archive = archive_dir($primary);
my $base = $primary->basedir;

# the path of a socket is short
my $scratch = File::Temp::tempdir('/tmp/wadrill.XXXXXX', CLEANUP => 1);
my @connection = ('--host', $primary->host, '--port', $primary->port);

sub sql { return $primary->safe_psql('postgres', $_[0]); }

sub walarch
{
	my ($status, $stdout, $stderr) = run_in('/', $ENV{WALARCH_BIN}, @_);
	return { status => $status, stdout => $stdout, stderr => $stderr };
}

sub drill { return walarch('drill', '--archive', $archive, '--scratch', $scratch, @_); }

sub backup
{
	my $run = walarch('backup', '--archive', $archive, @connection, '--checkpoint', 'fast', '--json');
	die "no backup: $run->{stderr}" if $run->{status} != 0;
	return decode_json($run->{stdout})->{backup_id};
}

sub check_of { my ($report, $name) = @_; my ($check) = grep { $_->{name} eq $name } @{ $report->{checks} }; return $check; }

unlike(walarch('status', '-D', $primary->data_dir)->{stdout}, qr/^drill +\S/m, 'before the first drill there is nothing to say of them');

# ---- green ---------------------------------------------------------------------

mkdir "$base/space" or die $!;
sql("CREATE TABLESPACE one LOCATION '$base/space'");
sql('CREATE TABLE marks (n serial, what text)');
sql('CREATE TABLE far (n int PRIMARY KEY) TABLESPACE one');
sql('INSERT INTO far SELECT generate_series(1, 5000)');
# what must not follow into a drill
sql(q{ALTER SYSTEM SET session_preload_libraries = 'auto_explain'});
sql(q{ALTER SYSTEM SET recovery_target_name = 'nowhere'});
$primary->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_stat_statements'\n");
switch_and_archive($primary);	# an archive begins with its first file
my $backup = backup();
mark($primary, 'first');
sql("BEGIN; INSERT INTO marks (what) VALUES ('prepared'); PREPARE TRANSACTION 'p'");
sql(q{SELECT pg_create_restore_point('here')});
switch_and_archive($primary);
mark($primary, 'second');
switch_and_archive($primary);

write_binary("$base/good.sql", "SELECT 1 / (count(*) - 4999) FROM far;\n");
write_binary("$base/bad.sql", "SELECT 1 / (count(*) - 5000) FROM far;\n");
write_binary("$base/good", "#!/bin/sh\nexec psql -XAtqc \"SELECT 1 / count(*) FROM marks WHERE what = 'second'\" >/dev/null\n");
write_binary("$base/bad", "#!/bin/sh\nexit 3\n");
chmod 0755, "$base/good", "$base/bad";

my $run = drill('--primary', 'dbname=postgres host=' . $primary->host . ' port=' . $primary->port,
	'--check-sql', "$base/good.sql", '--check-command', "$base/good", '--setting', 'work_mem=5MB');
is($run->{status}, 0, 'a drill passes') or diag("$run->{stdout}\n$run->{stderr}");
like($run->{stdout}, qr/^walarch-drill: 1\nresult: passed\narchive: \Q$archive\E\nbegun: \d{4}-/, 'the report begins with that');
like($run->{stdout}, qr/^Recovery time\n  choose +[\d.]+ s\n  copy +[\d.]+ s\n  replay +[\d.]+ s\n  open +[\d.]+ s\n  RTO +[\d.]+ s\n/m, 'times');
like($run->{stdout}, qr/^  last transaction \S+\n  when the drill began, the last transaction in the archive was [\d.]+ s old/m, 'the point in time');
like($run->{stdout}, qr/^  the archive was \d+ kB of WAL behind the primary, at [0-9A-F\/]+ \(RPO\)/m, 'and how far it is behind');
like($run->{stdout}, qr/^not loaded: shared_preload_libraries = pg_stat_statements; session_preload_libraries = 'auto_explain'$/m, 'what was not loaded');
foreach my $passed ('choose', 'copy', 'recovers', 'opens', 'pg_amcheck', 'check SQL', 'check command', 'data checksums')
{
	like($run->{stdout}, qr/^  passed +\Q$passed\E /m, "check: $passed");
}
is(join(' ', glob("$scratch/*")), '', 'nothing is left of it');
is(sql('SELECT count(*) FROM walarch.pins'), '0', 'nor a pin');
is(scalar(grep { /^drills\// } files_below($archive, '')), 3, 'the report is in the archive');
my ($page) = glob("$archive/drills/*.html");
my $html = slurp_file($page);
like($html, qr/<h1>Drill of .*passed<\/span><\/h1>.*<svg .*<svg /s, 'as a page with pictures');
unlike($html, qr/(?:src|href)=/, 'that needs no other');
my ($json) = map { decode_json(slurp_file($_)) } glob("$archive/drills/*.json");
is($json->{backup_id}, $backup, 'and as JSON');
is($json->{kept}, undef, 'which says that nothing was kept');
cmp_ok($json->{recovery_time_ms}{rto}, '>=', $json->{recovery_time_ms}{copy}, 'with the sum of the parts');
is(sql(q{SELECT ok, detail ~ 'passed' FROM walarch.check_setup() WHERE check_name = 'drill'}), 't|t', 'check_setup() knows of it');
like(walarch('status', '-D', $primary->data_dir)->{stdout}, qr/^drill +passed, /m, 'walarch status, too');

# as somebody calls it whose PATH has no PostgreSQL
{
	local $ENV{PATH} = '/usr/bin:/bin';
	$run = drill('--no-report', '--quiet');
	is($run->{status}, 0, 'by its full path alone') or diag($run->{stderr});
}

# ---- a target, JSON, a look --------------------------------------------------------

$run = drill('--target-name', 'here', '--json', '--keep', '--no-report');
is($run->{status}, 0, 'a drill to a target') or diag($run->{stdout});
my $report = decode_json($run->{stdout});
is($report->{passed}, JSON::PP::true, 'passes');
is($report->{target}, 'restore point "here"', 'and says which');
my ($kept) = glob("$scratch/walarch-drill-*");
ok(-e "$kept/data/PG_VERSION", '--keep leaves it');
like($run->{stderr}, qr/"\Q$kept\E" is left/, 'and says where');
is((stat $kept)[2] & 07777, 0700, 'for nobody else');
my $log = slurp_file("$kept/log");
unlike($log, qr/listening on IPv/, 'it had no TCP port');
like($log, qr/recovery stopping at restore point "here"/, 'it stopped at the target');
like(slurp_file("$kept/postgresql.conf"), qr/^max_connections = 87$/m, 'with the limits of the original');
is($report->{kept}, $kept, 'also in JSON');
$run = drill('--immediate', '--json', '--keep', '--no-report');
is(decode_json($run->{stdout})->{passed}, JSON::PP::true, 'another drill there') or diag($run->{stdout});
my ($second) = grep { $_ ne $kept } glob("$scratch/walarch-drill-*");
is(decode_json($run->{stdout})->{kept}, $second, 'is kept beside it');
ok(-e "$kept/data/PG_VERSION" && -e "$kept/log", 'which is all there');
my ($link) = glob("$kept/data/pg_tblspc/*");
ok(defined $link && -d $link && index(readlink $link, "$kept/") == 0, 'with its tablespace');
system_or_bail('rm', '-rf', $kept, $second);
is(scalar(grep { /^drills\// } files_below($archive, '')), 3, '--no-report keeps none');

# ---- red -------------------------------------------------------------------------

sub red
{
	my ($what, $check, $pattern, @options) = @_;
	my $red = drill('--json', '--no-report', @options);
	my $told = decode_json($red->{stdout});

	is($red->{status}, 1, "$what: exit status");
	is($told->{passed}, JSON::PP::false, "$what: not passed");
	is(check_of($told, $check)->{result}, 'failed', "$what: $check failed");
	like(check_of($told, $check)->{detail}, $pattern, "$what: and why");
	is(join(' ', glob("$scratch/*")), '', "$what: nothing is left");
	is(sql('SELECT count(*) FROM walarch.pins'), '0', "$what: nor a pin");
	return;
}

red('failing SQL', 'check SQL', qr/division by zero/, '--check-sql', "$base/bad.sql");
red('SQL that is not there', 'check SQL', qr/is not there, empty, or not a file/, '--check-sql', "$base/none.sql");
red('a failing command', 'check command', qr/exit status 3/, '--check-command', "$base/bad");
red('a command that is not there', 'check command', qr/exit status 127/, '--check-command', "$base/none");
red('a library that is not there', 'recovers', qr/could not access file "nolib"/, '--preload', 'nolib');
red('no such restore point', 'choose', qr/no restore point "there"/, '--target-name', 'there');
red('no primary', 'primary', qr/could not connect/, '--primary', 'host=/nowhere');
red('a recovery that is too slow', 'recovers', qr/has not opened in the time/, '--timeout', '0');

SKIP:
{
	skip 'no strace', 2 unless -x '/usr/bin/strace';
	# as a shell starts what is to run in the background; and the server is told
	# to end before it has begun to listen
	my ($status, $stdout) = run_in($base, qw(timeout -k 5 180 sh -c), q(trap '' INT QUIT; exec "$@"), 'sh',
		qw(strace -f -qq -o /dev/null -e trace=execve -e inject=execve:delay_exit=1000000),
		$ENV{WALARCH_BIN}, 'drill', '--archive', $archive, '--scratch', $scratch, '--json', '--no-report', '--timeout', '0');

	is($status, 1, 'too slow, in the background: it ends');
	like($stdout, qr/has not opened in the time/, 'and says why');
}

my @wal = sort grep { /^[0-9A-F]{24}$/ && $_ gt substr($backup, 0, 24) } archive_files($archive);
my $segment = object_path($archive, $wal[0]);
rename $segment, "$segment.hidden" or die $!;
red('a missing segment', 'choose', qr/WAL is missing on the way/);
rename "$segment.hidden", $segment or die $!;

# a segment that is whole by its envelope only: nothing but a recovery finds it
my $good = slurp_binary($segment);
my $bad = $good;
substr($bad, 200, 1) ^= "\x01";
write_binary($segment, $bad);
red('a flipped byte in a segment', 'recovers', qr/./);
write_binary($segment, $good);

my $tar = "$archive/base/$backup/base.tar.zst";
$good = slurp_binary($tar);
$bad = $good;
substr($bad, length($bad) / 2, 1) ^= "\x01";
write_binary($tar, $bad);
red('a flipped byte in a tar', 'copy', qr/base\.tar\.zst" is damaged/);
write_binary($tar, $good);

# a page that was damaged before it was backed up
my $path = $primary->data_dir . '/' . sql(q{SELECT pg_relation_filepath('marks')});
sql('CHECKPOINT');
$primary->stop;
my $pages = slurp_binary($path);
substr($pages, 8000, 1) ^= "\x01";
write_binary($path, $pages);
$primary->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$primary->start;
$run = walarch('backup', '--archive', $archive, @connection, '--checkpoint', 'fast');
is($run->{status}, 1, 'a backup of damaged pages: exit status');
like($run->{stderr}, qr/checksum verification fail.*reported damaged data pages/s, 'the server says it, and walarch');
is(sql(q{SELECT usable, reason FROM walarch.backups WHERE source = 'base' ORDER BY start_lsn DESC LIMIT 1}),
	't|the server reported damaged data pages when it was taken', 'the backup is kept and marked');
my $damaged = sql(q{SELECT backup_id FROM walarch.backups WHERE source = 'base' ORDER BY start_lsn DESC LIMIT 1});
red('damaged pages', 'data checksums', qr/pg_checksums, exit status 1/, '--backup', $damaged);
red('damaged pages that the server reported', 'backup', qr/the server reported damaged data pages/, '--backup', $damaged);
$run = drill('--no-report', '--json');
is(decode_json($run->{stdout})->{backup_id}, $backup, 'where there is another one, that is taken');
$run = walarch('restore', '--archive', $archive, '-D', "$base/dry", '--dry-run', '--quiet', '--backup', $damaged, '--tablespace-mapping', "$base/space=$base/space.new");
is($run->{status}, 0, 'by its name it can be restored') or diag($run->{stderr});
like($run->{stderr}, qr/^walarch restore: warning: of backup \Q$damaged\E the server reported damaged data pages/, 'with a warning, however quiet');
is(walarch('prune', '--archive', $archive, '--retention-backups', '1', '--apply')->{status}, 0, 'prune to one backup');
ok(-e "$archive/base/$backup/backup", 'does not delete the sound one for the damaged one');

# ---- a failed drill counts, too -------------------------------------------------------

$run = drill('--check-command', "$base/bad", '--quiet', '--backup', $backup);
is("$run->{status}|$run->{stdout}", '1|', 'a failed drill, quietly');
is(sql(q{SELECT ok, hint <> '' FROM walarch.check_setup() WHERE check_name = 'drill'}), 'f|t', 'check_setup() says that the last one failed');

foreach my $wrong (
	[ [ '--setting', 'a b=1' ], qr/"a b=1" is not a value/ ],
	[ [ '--latest', '--target-name', 'x' ], qr/more than one target/ ],
	[ [ '--timeout', 'soon' ], qr/"soon" is not a value/ ],
	[ ['--nothing'], qr/invalid option/ ],
	[ ['more'], qr/unexpected argument/ ])
{
	$run = drill(@{ $wrong->[0] });
	is($run->{status}, 2, "@{$wrong->[0]}: wrong usage");
	like($run->{stderr}, qr/^walarch drill: $wrong->[1]/, 'which it says');
}
is(walarch('drill', '--archive', $archive)->{status}, 2, 'no scratch directory: wrong usage');
like(walarch('drill', '--help')->{stdout}, qr/^Usage:\n  walarch drill --archive DIR --scratch DIR/m, '--help');

$primary->stop;
done_testing();
