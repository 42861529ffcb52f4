# walarch backup: a base backup in the archive, from a primary and a standby,
# with tablespaces; what interrupts it, what it refuses, and retention by count
# and size of such backups.

use strict;
use warnings;

use lib 't/lib';

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Standby;
use Test::More;
use WalArch;

my $primary = small_primary('primary', conf => "log_min_messages = debug1\n");
my $archive = archive_dir($primary);
my @connection = ('--host', $primary->host, '--port', $primary->port);

sub sql { return unpadded($primary->safe_psql('postgres', $_[0])); }

sub walarch
{
	my ($status, $stdout, $stderr) = run_in('/', $ENV{WALARCH_BIN}, @_);
	return { status => $status, stdout => $stdout, stderr => $stderr };
}

sub backup { return walarch('backup', '--archive', $archive, @connection, '--checkpoint', 'fast', @_); }

# What lies below base/, without what is in each backup.
sub base_files { return map { s{^base/}{}r } files_below($archive, 'base'); }
sub backups { return map { m{^([^/]+)/backup$} ? $1 : () } base_files(); }

# ---- a backup ----------------------------------------------------------------

mkdir $primary->basedir . '/empty', 0700 or die $!;
my $run = walarch('backup', '--archive', $primary->basedir . '/empty', @connection);
is($run->{status}, 1, 'before anything was archived');
like($run->{stderr}, qr/nothing has been archived into .* yet\n.*pg_switch_wal/, 'the way out is said');
switch_and_archive($primary);

my $tablespace = $primary->basedir . '/space one';
mkdir $tablespace or die $!;
sql("CREATE TABLESPACE one LOCATION '$tablespace'");
sql('CREATE TABLE far (n int, t text) TABLESPACE one');
sql(q{INSERT INTO far SELECT n, repeat('x', n % 50) FROM generate_series(1, 20000) n});
mark($primary, 'before');

$run = backup('--label', "Monday's \"first\" \xc3\xa9", '--json');
is($run->{status}, 0, 'a backup is taken') or diag($run->{stderr});
is($run->{stderr}, '', 'quietly, with --json');
my $told = decode_json($run->{stdout});
my $id = $told->{backup_id};
like($id, qr/^0{7}10{8}[0-9A-F]{8}\.[0-9A-F]{8}$/, 'its id is that of its history file');
is(sql("SELECT source, label, timeline, start_lsn, stop_lsn, usable, reason, parent, bytes
		FROM walarch.backups WHERE backup_id = '$id'"),
	"base|Monday's \"first\" \xc3\xa9|1|$told->{start_lsn}|$told->{stop_lsn}|t|||$told->{bytes}",
	'and walarch.backups shows it, once');
is(sql('SELECT count(*) FROM walarch.backups'), '1', 'and no other');
my $oid = sql("SELECT oid FROM pg_tablespace WHERE spcname = 'one'");
is(join(' ', map { m{^\Q$id\E/(.*)} ? $1 : () } base_files()), "$oid.tar.zst backup backup_manifest.zst base.tar.zst",
	'its files, and nothing else');
my $bytes = 0;
$bytes += -s "$archive/base/$id/$_" foreach ("$oid.tar.zst", 'backup_manifest.zst', 'base.tar.zst');
is($told->{bytes}, $bytes, 'with their sizes');
is((stat "$archive/base/$id/base.tar.zst")[2] & 07777, 0600, 'for nobody else to read');
is(temporary_files($archive), 0, 'nothing is left in tmp/');

# the stock tools open it
my $plain = $primary->basedir . '/plain';
mkdir $plain, 0700 or die $!;
system_or_bail('sh', '-c', "zstd -dcq '$archive/base/$id/base.tar.zst' | tar -xC '$plain'");
system_or_bail('sh', '-c', "zstd -dcq '$archive/base/$id/backup_manifest.zst' > '$plain/backup_manifest'");
is(slurp_file("$plain/PG_VERSION"), slurp_file($primary->data_dir . '/PG_VERSION'), 'tar and zstd unpack it');
like(slurp_file("$plain/tablespace_map"), qr/^$oid \Q$tablespace\E$/m, 'the map of tablespaces is in it');
like(slurp_file("$plain/backup_manifest"), qr/"Manifest-Checksum"/, 'and the manifest is whole');

my $text = slurp_file("$archive/base/$id/backup");
like($text, qr/^walarch-backup: 1\nid: \Q$id\E\nlabel: Monday/, 'what advertises it is a text');
like($text, qr/^file: $oid\.tar\.zst \d+ \d+ [0-9a-f]{32} \Q$tablespace\E$/m, 'with its files');
unlike($text, qr/token/, 'and no more of how it was made');

my $list = walarch('list', '--archive', $archive);
like($list->{stdout}, qr/^  \Q$id\E .* here, /m, 'walarch list shows that it is here');
is(decode_json(walarch('list', '--archive', $archive, '--json')->{stdout})->{backups}[0]{source}, 'base', 'in JSON too');

# ---- talk ----------------------------------------------------------------------

$run = backup();
is($run->{status}, 0, 'a second one');
like($run->{stdout}, qr/^backup 0{7}1\w+\.\w+ taken: \d+ MB in \d+ (?:MB|kB), [\d.]+ s, up to [0-9A-F]+\/[0-9A-F]+$/,
	'tells what it did');
like($run->{stderr}, qr/^backup \S+ begins at \S+ on timeline 1$/m, 'and what it is doing');
$run = backup('--quiet', '--level', '1', '--threads', '0', '--max-rate', '1GB');
is("$run->{status}|$run->{stdout}|$run->{stderr}", '0||', '--quiet says nothing');
is(scalar(backups()), 3, 'there are three');

foreach my $wrong (
	[ [ '--checkpoint', 'later' ], qr/invalid value "later" of --checkpoint/ ],
	[ [ '--max-rate', '1kB' ], qr/invalid value "1kB" of --max-rate/ ],
	[ ['--level=20'], qr/invalid value "20" of --level=20/ ],
	[ [ '--threads', '65' ], qr/invalid value "65"/ ],
	[ [ '--label', "two\nlines" ], qr/invalid value/ ],
	[ [ '--wal-timeout', 'soon' ], qr/invalid value "soon"/ ],
	[ ['--colour'], qr/invalid option "--colour"/ ],
	[ ['more'], qr/unexpected argument "more"/ ])
{
	$run = backup(@{ $wrong->[0] });
	is($run->{status}, 2, "@{$wrong->[0]}: wrong usage");
	like($run->{stderr}, qr/^walarch backup: $wrong->[1]/, 'which it says');
}
like(walarch('backup', '--help')->{stdout}, qr/^Usage:\n  walarch backup --archive DIR/m, '--help');
$run = do { local $ENV{WALARCH_ARCHIVE}; walarch('backup', @connection) };
is($run->{status}, 2, 'no archive: wrong usage');

# ---- what it refuses -------------------------------------------------------------

$run = walarch('backup', '--archive', $archive, '--host', '/nowhere');
is($run->{status}, 1, 'no server');
like($run->{stderr}, qr/^walarch backup: could not connect: .*nowhere/, 'which it says');
$run = walarch('backup', '--archive', $primary->basedir, @connection);
is($run->{status}, 1, 'no archive');
like($run->{stderr}, qr/^walarch backup: .*archive\.id/, 'which it says');

my $other = new_primary('other');
$run = walarch('backup', '--archive', $archive, '--host', $other->host, '--port', $other->port);
is($run->{status}, 1, 'the archive of another cluster');
like($run->{stderr}, qr/is the archive of the cluster with system identifier \d+; this cluster has \d+/, 'which it says');
$other->stop;
is(scalar(backups()), 3, 'nothing was added');

# ---- what interrupts it -----------------------------------------------------------

sub begin
{
	my (@options) = @_;
	my %job = (out => '', err => '');

	$job{run} = IPC::Run::start(
		[ $ENV{WALARCH_BIN}, 'backup', '--archive', $archive, @connection, '--checkpoint', 'fast', @options ],
		'>', \$job{out}, '2>', \$job{err});
	return \%job;
}

# slow enough to be met in the middle
my $job = begin('--max-rate', '256kB');
wait_until('a backup is under way', sub { temporary_files($archive) > 0 && grep { m{/begun$} } base_files() });
$run = backup();
is($run->{status}, 1, 'one at a time');
like($run->{stderr}, qr/another backup is being taken/, 'which it says');
my $held = sql(q{SELECT reason FROM walarch.retention_plan() WHERE kind = 'base' AND reason LIKE 'is being taken%'});
like($held, qr/^is being taken/, 'retention knows of it');
is(scalar(backups()), 3, 'it does not count yet');
$job->{run}->signal('KILL');
$job->{run}->finish;
is(scalar(backups()), 3, 'nor when it was killed');
cmp_ok(scalar(temporary_files($archive)), '>', 0, 'which leaves a part of it');
$run = backup();
is($run->{status}, 0, 'the next one') or diag($run->{stderr});
like($run->{stderr}, qr/^removed what 1 interrupted backup left$/m, 'says that it sweeps it');
is(scalar(temporary_files($archive)), 0, 'from tmp/');
is(scalar(backups()), 4, 'and counts');
is(scalar(grep { m{begun} } base_files()), 0, 'from base/');

# the server goes away
$job = begin('--max-rate', '256kB');
wait_until('a backup is under way', sub { temporary_files($archive) > 0 });
$primary->stop('immediate');
$job->{run}->finish;
is($job->{run}->full_result(0) >> 8, 1, 'the server goes away');
like($job->{err}, qr/walarch backup: .*(?:server closed the connection|terminat)/s, 'which it says');
is(scalar(backups()), 4, 'nothing counts');
is(scalar(temporary_files($archive)), 0, 'what was being written is removed');
$primary->start;

# ---- its WAL does not come ---------------------------------------------------------

set_conf($primary, 'walarch.archive', '');
$primary->poll_query_until('postgres', q{SELECT state = 'unconfigured' FROM walarch.status}) or die;
$run = backup('--wal-timeout', '1s');
is($run->{status}, 1, 'WAL that does not arrive');
like($run->{stderr}, qr/WAL segment \w+, which the backup needs, has not arrived in "\Q$archive\E"\n.*walarch\.status/,
	'which it says, and where to look');
is(scalar(backups()), 4, 'such a backup does not count');
set_conf($primary, 'walarch.archive', $archive);
kick($primary);
$run = backup();
is($run->{status}, 0, 'it can be taken anew') or diag($run->{stderr});
is(scalar(backups()), 5, 'and counts');

# ---- damage in what advertises it ---------------------------------------------------

my ($victim) = backups();
my $good = slurp_binary("$archive/base/$victim/backup");
write_binary("$archive/base/$victim/backup", substr($good, 0, 100));
like(sql('SELECT min(reason) FROM walarch.retention_plan()'), qr{nothing is deleted in doubt: base/\Q$victim\E/backup},
	'a backup that cannot be read is a doubt');
is(sql(q{SELECT count(*) FROM walarch.backups WHERE source = 'base'}), '4', 'and none');
write_binary("$archive/base/$victim/backup", $good);

# ---- damage in its data, and in the WAL that it needs --------------------------------

my $newest = (sort(backups()))[-1];
my $data = "$archive/base/$newest/base.tar.zst";
my $whole = slurp_binary($data);

sub findings { return walarch('verify', '--archive', $archive, @_); }
is(findings()->{status}, 0, 'verify finds nothing');
like(findings()->{stdout}, qr/; 5 base backups unpacked: \d+ MB; errors 0/, 'and has read the backups');
unlike(findings('--sample', '50')->{stdout}, qr/base backups/, 'not for a sample');

my $flipped = $whole;
substr($flipped, length($flipped) / 2, 1) ^= "\x10";
write_binary($data, $flipped);
$run = findings();
is($run->{status}, 1, 'a bit of a backup flipped');
like($run->{stdout}, qr{^error: base/\Q$newest\E: .*base\.tar\.zst" .*\n.*consequence: the backup cannot be restored}m, 'verify finds it');
is(decode_json(findings('--json')->{stdout})->{backups}, 5, 'JSON tells how many were read');
is(findings('--quick')->{status}, 0, 'which --quick cannot see');
is(findings('--timeline', '7')->{status}, 0, 'nor who looks at another timeline');
is(findings('--since', '2100-01-01 UTC')->{status}, 0, 'or at what was archived later');
is(findings('--since', '2000-01-01 UTC')->{status}, 1, 'but who looks at what was archived since it began');

my $resume = $primary->basedir . '/resume';
my ($archive_id) = slurp_file("$archive/archive.id") =~ /^archive-id: (\w+)$/m or die;
foreach my $case ([ substr($whole, 0, 1000), qr{"base/\Q$newest\E/base\.tar\.zst" has 1000 bytes, not \d+} ],
	[ undef, qr{"base/\Q$newest\E/base\.tar\.zst" is missing} ],
	[ \'/dev/null', qr{"\Q$archive\E/base/\Q$newest\E/base\.tar\.zst" is a symbolic link} ])
{
	my ($content, $words) = @$case;

	if (ref $content) { symlink $$content, $data or die $!; }
	elsif (defined $content) { write_binary($data, $content); }
	else { unlink $data or die $!; }
	$run = findings('--quick');
	is($run->{status}, 1, 'a file of a backup cut, missing, or a link');
	like($run->{stdout}, qr{^error: base/\Q$newest\E: $words}m, 'verify says so');
	is(findings('--quick', '--timeline', '7')->{status}, 0, 'not to who looks at another timeline');
	write_binary($resume, "$archive_id 1 1000000 0\n");
	is(findings('--resume', $resume)->{status}, 1, 'a run that was interrupted before sees it, too');
	unlink $resume;
	like(sql("SELECT usable::text || ' ' || reason FROM walarch.backups WHERE backup_id = '$newest'"), qr/^false $words/,
		'walarch.backups too');
	like(walarch('list', '--archive', $archive)->{stdout}, qr/$words/, 'and walarch list');
	$run = walarch('prune', '--archive', $archive, '--retention-backups', '1', '--apply', '--json');
	is($run->{status}, 1, 'nothing is pruned then');
	like($run->{stdout}, ref $content ? qr{in doubt: base/\Q$newest\E: } : qr/the newest backup, \Q$newest\E, cannot be restored: /,
		'which it says');
	is(scalar(backups()), 5, 'all are there');
	is(sql("SELECT count(*) FROM walarch.recovery_window WHERE backup_id = '$newest'"), '0', 'nothing is recoverable from it');
}
unlink $data or die $!;
write_binary($data, $whole);

my $needed = object_path($archive, substr($newest, 0, 24));
my $good_wal = slurp_binary($needed);
write_binary($needed, substr($good_wal, 0, 100));
$run = walarch('prune', '--archive', $archive, '--retention-backups', '1', '--apply', '--json');
like($run->{stdout}, qr/the newest backup, \Q$newest\E, cannot be restored: WAL that it needs is damaged, or ends early: \Q@{[substr($newest, 0, 24)]}\E/,
	'damaged WAL that the newest needs');
is(scalar(backups()), 5, 'nothing goes');
write_binary($needed, $good_wal);

# a segment that rots before it is archived
my $archiver = archiver_pid($primary);
kill 'STOP', $archiver;
$job = begin('--wal-timeout', '60s');
my $begun;
wait_until(
	'a backup waits for its WAL',
	sub {
		$job->{run}->pump_nb;
		die $job->{err} if !$job->{run}->pumpable;
		my ($being_taken) = map { m{^(.*)/begun$} ? $1 : () } base_files();
		$begun = substr($being_taken // '', 0, 24);
		$being_taken && -e "$archive/base/$being_taken/backup_manifest.zst";
	});
wait_until('the segment is full', sub { -e $primary->data_dir . "/pg_wal/archive_status/$begun.ready" });
my $in_pg_wal = $primary->data_dir . "/pg_wal/$begun";
my $rotten = slurp_binary($in_pg_wal);
substr($rotten, 66, 1) ^= "\x01";		# in the data of its first record
write_binary($in_pg_wal, $rotten);
kill 'CONT', $archiver;
$job->{run}->finish;
is($job->{run}->full_result(0) >> 8, 1, 'a backup whose WAL is damaged');
like($job->{err}, qr/WAL segment $begun, which the backup needs, (?:was damaged when it was archived|ends at \S+, before the backup does): .*\n.*take another backup/,
	'which it says');
is(scalar(backups()), 5, 'does not count');
$run = backup();
is($run->{status}, 0, 'the next one') or diag($run->{stderr});
is(scalar(backups()), 6, 'does');

# a file system that is not mounted must not look like an archive without backups
rename "$archive/base", "$archive/base.away" or die $!;
mkdir "$archive/base" or die $!;
$run = walarch('list', '--archive', $archive);
is($run->{status}, 1, 'base/ that is not what it was');
like($run->{stderr}, qr{base/base\.id" is missing.*\n.*not mounted}, 'which it says');
$run = backup();
is($run->{status}, 1, 'no backup goes there');
rmdir "$archive/base" or die $!;
$run = walarch('prune', '--archive', $archive, '--retention-backups', '1', '--apply');
is($run->{status}, 1, 'nothing is pruned either');
rename "$archive/base.away", "$archive/base" or die $!;

# ---- retention -----------------------------------------------------------------------

sub rows
{
	my ($of) = @_;
	my $plan = decode_json($of->{stdout});
	return map { "$_->{object} $_->{action}" } grep { $_->{kind} eq 'base' } @{ $plan->{objects} };
}

my @ids = sort(backups());
$run = walarch('prune', '--archive', $archive, '--retention-backups', '2', '--json');
is_deeply([ sort(rows($run)) ], [ (map { "$_ delete" } @ids[ 0 .. 3 ]), (map { "$_ keep" } @ids[ 4, 5 ]) ],
	'two are to be kept');
set_conf($primary, 'walarch.retention_backups', '2');
$primary->poll_query_until('postgres', q{SELECT current_setting('walarch.retention_backups', true) = '2'}) or die;
is(sql(q{SELECT count(*) FROM walarch.retention_plan() WHERE kind = 'base' AND action = 'delete' AND bytes > 0}), '4',
	'SQL says the same');

# backups with auto_prune end with that
set_conf($primary, 'walarch.auto_prune', 'on');
$primary->poll_query_until('postgres', q{SELECT current_setting('walarch.auto_prune', true) = 'on'}) or die;
$run = backup();
is($run->{status}, 0, 'a backup prunes') or diag($run->{stderr});
my @now = sort(backups());
is(scalar(@now), 2, 'two are left');
is($now[0], $ids[5], 'the newest');
like($run->{stdout}, qr/^delete  \Q$ids[0]\E .* before backup \Q$ids[5]\E/m, 'it says why');
is(join(' ', grep { !m{^(?:\Q$now[0]\E|\Q$now[1]\E)/} } base_files()), 'base.id', 'nothing is left of the others');
my $first = (sort grep { /^[0-9A-F]{24}$/ } archive_files($archive))[0];
is($first, substr($now[0], 0, 24), 'WAL begins with the older one');

# a size lets a window begin later
set_conf($primary, 'walarch.auto_prune', 'off');
$primary->poll_query_until('postgres', q{SELECT current_setting('walarch.auto_prune', true) = 'off'}) or die;
$run = walarch('prune', '--archive', $archive, '--retention-window', '30d', '--retention-size', '1kB', '--json');
is_deeply([ rows($run) ], [ "$now[0] delete", "$now[1] keep" ], 'a size of nothing leaves one backup');
like($run->{stderr}, qr/what must be kept takes \d+ MB, more than the 0 MB/, 'and says so');

# a pin holds
is(walarch('pin', '--archive', $archive, 'keepit', '--backup', $now[0])->{status}, 0, 'a pin of a backup');
$run = walarch('prune', '--archive', $archive, '--retention-backups', '1', '--json');
is_deeply([ rows($run) ], [ "$now[0] keep", "$now[1] keep" ], 'keeps it');
walarch('unpin', '--archive', $archive, 'keepit');

# killed when it had just begun to delete: what is left is none, and goes next time
my $dir = "$archive/base/$now[0]";
rename "$dir/backup", "$dir/withdrawn" or die $!;
$run = walarch('prune', '--archive', $archive, '--retention-backups', '1', '--apply');
is($run->{status}, 0, 'a deletion that was interrupted');
ok(!-e $dir, 'is carried on');

# ---- without the memory that it is told to use ------------------------------------------

{
	my @before = backups();
	my ($status, undef, $stderr) = run_in('/', 'prlimit', '--as=' . 150 * 1024 * 1024, $ENV{WALARCH_BIN}, 'backup', '--archive', $archive, @connection,
		'--checkpoint', 'fast', '--level', '19', '--threads', '64');
	is($status, 1, 'no memory for so many threads');
	like($stderr, qr/memory/, 'which it says');
	is(join(' ', backups()), "@before", 'nothing counts that was not taken');
}

# ---- from a standby -------------------------------------------------------------------

sql('DROP TABLE far');
sql('DROP TABLESPACE one');
$primary->backup('clone');
my $standby = new_standby('standby', $primary, 'clone');
$standby->append_conf('postgresql.conf', "archive_mode = off\n");
$standby->start;
mark($primary, 'on the standby');
sql('CHECKPOINT');
switch_and_archive($primary);
wait_marks($standby, 'on the standby');
$job = begin('--host', $standby->host, '--port', $standby->port, '--wal-timeout', '60s');
# the primary ends the segment as late as it likes
wait_until(
	'a backup of a standby ends',
	sub {
		$job->{run}->pump_nb;
		sql('SELECT pg_switch_wal()') if grep { m{base\.tar\.zst$} } base_files();
		!$job->{run}->pumpable;
	});
$job->{run}->finish;
is($job->{run}->full_result(0) >> 8, 0, 'a backup of a standby') or diag($job->{err});
is(sql(q{SELECT count(*) FROM walarch.backups WHERE source = 'base' AND usable}), '2', 'counts');
$standby->stop;

done_testing();
