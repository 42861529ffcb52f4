# What may go, and what may not: backups, a window of time, pins, a promotion,
# a hole, damage. The command and SQL say the same; after a prune the promised
# moments are recovered, and earlier ones are refused and not half recovered.

use strict;
use warnings;

use lib 't/lib';

use Get;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Standby;
use Test::More;
use WalArch;

my $primary = small_primary('primary', conf => "wal_keep_size = '512MB'\nrecovery_target_timeline = 'latest'\n");
my $archive = archive_dir($primary);

sub sql { return unpadded($primary->safe_psql('postgres', $_[0])); }
sub walarch { return run_in('/', $ENV{WALARCH_BIN}, @_); }

sub prune
{
	my ($status, $stdout, $stderr) = walarch('prune', '--archive', $archive, @_);
	return { status => $status, stdout => $stdout, stderr => $stderr };
}

# Rows of a plan: object => [ action, reason ].
sub plan_of
{
	my (@options) = @_;
	my $run = prune(@options, '--json');
	my $plan = decode_json($run->{stdout});

	$plan->{rows} = { map { $_->{object} => [ $_->{action}, $_->{reason} ] } @{ $plan->{objects} } };
	return $plan;
}

sub deleted { my ($plan) = @_; return sort grep { $plan->{rows}{$_}[0] eq 'delete' } keys %{ $plan->{rows} }; }

# Segments of a timeline in the archive, in order.
sub segments
{
	my ($tli) = @_;
	return split /\n/, sql("SELECT name FROM walarch.segments($tli) ORDER BY name");
}

# A backup, a mark and its moment, segments. What was committed before and what
# after a moment must differ by whole seconds, which the window is given in.
my %moment;
my %backup;

sub week
{
	my ($n) = @_;

	$primary->backup("week$n");
	wait_archived($primary);	# its history, too
	$backup{$n} = sql('SELECT backup_id FROM walarch.backups ORDER BY start_lsn DESC LIMIT 1');
	mark($primary, "early$n");
	switch_and_archive($primary);
	sql('SELECT pg_sleep(1.2)');
	$moment{$n} = sql('SELECT clock_timestamp()');
	sql('SELECT pg_sleep(1.2)');
	mark($primary, "late$n");
	sql("SELECT pg_create_restore_point('week $n')");
	switch_and_archive($primary);
	return;
}

week($_) foreach 1 .. 4;
my ($start1, $start2, $start3, $start4) = map { substr($backup{$_}, 0, 24) } 1 .. 4;
my @all = segments(1);

# ---- nothing is set ------------------------------------------------------------------

is(sql("SELECT count(*) FILTER (WHERE action = 'delete'), min(reason) FROM walarch.retention_plan()"),
	'0|no retention is set', 'without a setting everything stays');
my $run = do { local $ENV{PGHOST} = '/nowhere'; prune() };
is("$run->{status}", 2, 'without a rule, and without a server to ask, it is wrong usage');
like($run->{stderr}, qr/^walarch prune: no rule was given, and no server could be asked: /, 'which it says');

# an abbreviated option is the same option: the archive that was checked is pruned
my $elsewhere = $primary->basedir . '/elsewhere';
mkdir $elsewhere or die $!;
write_binary("$elsewhere/archive.id", slurp_binary("$archive/archive.id") =~ s/(system-identifier: )\d+/${1}77/r);
mkdir "$elsewhere/wal" or die $!;
my @asked = run_in('/', 'env', "WALARCH_ARCHIVE=$archive", $ENV{WALARCH_BIN}, 'prune', "--arch=$elsewhere",
	'--host', $primary->host, '--port', $primary->port, '--apply');
is($asked[0], 1, 'the rule of a server is for its own archive only');
like($asked[2], qr/"\Q$elsewhere\E" is the archive of the cluster with system identifier 77/, 'however its option is spelt');

# ---- a window -------------------------------------------------------------------------

# From the last commit back to between "early2" and "late2".
my $window = sql("SELECT ceil(extract(epoch FROM max(latest_time) - '$moment{2}'::timestamptz))::int FROM walarch.segments()");
my $plan = plan_of('--retention-window', "${window}s");
my @gone = deleted($plan);
ok(!$plan->{applied}, 'a plan');
is(scalar(@gone), 2, 'two things go');
is($gone[1], "$backup{1}.backup", 'the history of the first backup');
like($gone[0], qr/^\Q$all[0]\E to [0-9A-F]{24}$/, 'and segments from the first on');
is($plan->{rows}{$_}[1], "before backup $backup{2}, with which begins what is kept of timeline 1", "why: $_")
  foreach @gone;
my ($last_gone) = $gone[0] =~ /([0-9A-F]{24})$/;
ok($last_gone lt $start2 && grep({ $_ eq $start2 } @all), 'up to the start of the second backup');
is(join(' ', segments(1)), "@all", 'nothing was deleted');

# the same in SQL
set_conf($primary, 'walarch.retention_window', $window);
my $by_sql = sql("SELECT object || '|' || kind || '|' || bytes || '|' || action || '|' || reason FROM walarch.retention_plan()");
is($by_sql, join("\n", map { my $row = $_; join '|', map { $row->{$_} } qw(object kind bytes action reason) } @{ $plan->{objects} }),
	'walarch.retention_plan() says the same');
is(sql("SELECT object || '|' || kind || '|' || bytes || '|' || action || '|' || reason FROM walarch.prune()"), $by_sql,
	'and so does walarch.prune()');
is(join(' ', segments(1)), "@all", 'which deletes nothing by itself');
$run = prune('--json', '-d', $primary->connstr('postgres'));
is_deeply([ $run->{status}, decode_json($run->{stdout})->{objects} ], [ 0, $plan->{objects} ],
	'and the command, when it is to ask the server');
{
	local $ENV{PGOPTIONS} = '-c walarch.retention_window=1s';
	$run = prune('--json', '-d', $primary->connstr('postgres'));
	is(scalar(grep { $_->{action} eq 'delete' } @{ decode_json($run->{stdout})->{objects} }), 0,
		'what the session itself has set is no rule');
}
{
	my $marker = slurp_binary("$archive/archive.id");

	write_binary("$archive/archive.id", $marker =~ s/^(system-identifier: )\d+/${1}4711/mr);
	$run = prune('-d', $primary->connstr('postgres'));
	write_binary("$archive/archive.id", $marker);
	is("$run->{status}", 1, 'nor is that of another cluster');
	like($run->{stderr}, qr/is the archive of the cluster with system identifier 4711/, 'which is said');
}
$run = prune('-d', $primary->connstr('template1'));
is("$run->{status}", 2, 'and not of a database without the extension');
like($run->{stderr}, qr/could not be asked for its settings: .*walarch/, 'which is said');
$run = prune('-d', $primary->connstr('postgres'), '--retention-window', '1s');
is("$run->{status}", 2, 'which is one rule, and none beside it');
is(sql("SELECT sum(bytes) = (SELECT sum(stored_bytes) FROM walarch.segments()) FROM walarch.retention_plan() WHERE kind = 'segments'"),
	't', 'sizes are those of the objects');

# pins
my ($status, $stdout, $stderr) = walarch('pin', '--archive', $archive, 'audit', '--restore-point', 'week 1');
is($status, 0, 'a restore point is pinned');
my $start_lsn1 = sql("SELECT start_lsn FROM walarch.backups WHERE backup_id = '$backup{1}'");
is($stdout, "audit: restore-point week 1, keeps all WAL from $start_lsn1 on\n", 'from the start of the backup before it');
is(sql('SELECT name, kind, value, keep_from, created <= now(), expires IS NULL, expired, by <> \'\' FROM walarch.pins'),
	"audit|restore-point|week 1|$start_lsn1|t|t|f|t", 'walarch.pins shows it');
my $pinned = plan_of('--retention-window', "${window}s");
is($pinned->{rows}{"$backup{1}.backup"}[0], 'keep', 'its backup stays');
like($pinned->{rows}{"$backup{1}.backup"}[1], qr/^pin "audit"$/, 'because of it');
is(scalar(grep { /^\Q$start1\E/ && $pinned->{rows}{$_}[0] eq 'keep' } keys %{ $pinned->{rows} }), 2, 'and so does its WAL');
is(sql("SELECT walarch.pin('sql', lsn => '$start_lsn1')"), $start_lsn1, 'an LSN is pinned in SQL');
is(sql("SELECT walarch.pin('by_time', at => '$moment{3}') = start_lsn FROM walarch.backups WHERE backup_id = '$backup{3}'"), 't', 'a point in time');
is(sql("SELECT walarch.pin('now', at => now()) = max(start_lsn) FROM walarch.backups"), 't', 'this moment, before which the last backup ended');
sql("SELECT walarch.unpin('now')");
{
	local $ENV{TZ} = 'EAST-2';
	my $there = (walarch('pin', '--archive', $archive, 'east', '--time', '2030-06-01 12:00'))[1];
	like($there, qr/^east: time 2030-06-01T10:00:00Z, keeps /, 'a time is noted in UTC');
	sql("SELECT walarch.unpin('east')");
}
is(sql("SELECT walarch.pin('by_backup', backup => '$backup{4}', expires => now() + '1 day') = start_lsn FROM walarch.backups WHERE backup_id = '$backup{4}'"),
	't', 'a backup');
my %refused = (
	"SELECT walarch.pin('sql', lsn => '0/5000000')" => qr/there is a pin "sql" already/,
	"SELECT walarch.pin('x', backup => 'none')" => qr/no backup "none" is known/,
	"SELECT walarch.pin('x', restore_point => 'none')" => qr/no restore point "none" is known/,
	"SELECT walarch.pin('x', at => '2001-01-01')" => qr/no usable backup is known that ended before that/,
	"SELECT walarch.pin('x', lsn => '0/100000')" => qr{WAL at 0/100000 is not in the archive},
	"SELECT walarch.pin('x')" => qr/nothing to hold was given/,
	"SELECT walarch.pin('../x', lsn => '$start_lsn1')" => qr{"\.\./x" is not a name for a pin},
	"SELECT walarch.pin('x', lsn => '$start_lsn1', backup => '$backup{1}')" => qr/a pin holds one thing only/,
	"SELECT walarch.pin('x', lsn => '$start_lsn1', expires => 'infinity')" => qr/timestamp out of range/,
	"SELECT walarch.pin('x', lsn => '$start_lsn1', expires => '10000-01-01')" => qr/is out of range/,
	"SELECT walarch.pin('x', lsn => '$start_lsn1', expires => now() - '1 day'::interval)" => qr/would have expired already/,
	"SELECT walarch.unpin('none')" => qr/there is no pin "none"/);
foreach my $query (sort keys %refused)
{
	($status, $stdout, $stderr) = $primary->psql('postgres', $query);
	like($stderr, $refused{$query}, "refused: $query");
}
($status, $stdout, $stderr) = walarch('pin', '--archive', $archive);
is(scalar(split /\n/, $stdout), 4, 'four pins are listed');
($status, $stdout, $stderr) = walarch('pin', '--archive', $archive, '--json');
is_deeply([ map { $_->{name} } @{ decode_json($stdout) } ], [qw(audit by_backup by_time sql)], 'as JSON, too');
is((walarch('unpin', '--archive', $archive, 'audit'))[0], 0, 'a pin is ended');
is((walarch('unpin', '--archive', $archive, 'audit'))[0], 1, 'once');
sql("SELECT walarch.unpin('$_')") foreach qw(sql by_backup);
write_binary("$archive/pins/by_time", "walarch-pin: 1\nkeep-from: nowhere\nkind: time\n");
$run = prune('--retention-window', "${window}s", '--apply');
is("$run->{status} " . join(' ', segments(1)), "1 @all", 'while a pin cannot be read nothing is deleted');
like($run->{stderr}, qr/"by_time" is not a pin, or it is damaged/, 'and the message names it');
is((walarch('unpin', '--archive', $archive, 'by_time'))[0], 0, 'it can be ended');

# a setting that is not valid
set_conf($primary, 'walarch.retention_backups', 'many');
($status, $stdout, $stderr) = $primary->psql('postgres', 'SELECT * FROM walarch.prune(true)');
like($stderr, qr/nothing is deleted while a setting of walarch is not valid/, 'nor while a setting is not valid');
$run = prune('--apply', '-d', $primary->connstr('postgres'));
is("$run->{status}", 2, 'which the command, too, does not take');
like($run->{stderr}, qr/walarch\.retention_backups.*a setting of the server is not valid: /s, 'but names');
is(join(' ', segments(1)), "@all", 'nothing');
set_conf($primary, 'walarch.retention_backups', '0');

# privileges
sql('CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher');
is($primary->safe_psql('postgres', 'SELECT count(*) > 0 FROM walarch.retention_plan()', extra_params => [ '-U', 'watcher' ]), 't',
	'a monitor sees the plan');
($status, $stdout, $stderr) = $primary->psql('postgres', $_, extra_params => [ '-U', 'watcher' ]),
  like($stderr, qr/permission denied for function/, "but not: $_")
  foreach 'SELECT * FROM walarch.prune(true)', "SELECT walarch.pin('x', lsn => '0/0')", "SELECT walarch.unpin('x')";

# ---- it goes ----------------------------------------------------------------------------

is(sql("SELECT count(*) FILTER (WHERE action = 'delete') FROM walarch.prune(true)"), 2, 'walarch.prune(true)');
is(join(' ', segments(1)), join(' ', grep { $_ ge $start2 } @all), 'what was to go has gone, all else is there');
is(sql("SELECT string_agg(backup_id, ' ' ORDER BY start_lsn) FROM walarch.backups WHERE usable"),
	join(' ', map { $backup{$_} } 2 .. 4), 'the other backups are usable');
is(sql('SELECT count(*) FROM walarch.gaps'), 0, 'without gaps');
is(sql('SELECT count(*) FROM walarch.verify()'), 0, 'nor any finding');
is(join(' ', deleted(plan_of('--retention-window', "${window}s"))), '', 'a second plan finds nothing more');

sub recovered_to
{
	my ($name, $from, $target) = @_;
	my $node = new_recovery($name, $primary, $from, get => '--prefetch off --retry-for 1', conf => "archive_mode = off\n$target\n");
	my $stopped = stops_by_itself($node);

	return { stopped => $stopped, log => slurp_file($node->logfile) } if $stopped;
	$node->start;
	my $marks = join ' ', marks($node);
	$node->stop;
	return { stopped => 0, marks => $marks };
}

my $earliest = recovered_to('earliest', 'week2', "recovery_target_time = '$moment{2}'");
ok(!$earliest->{stopped}, 'the earliest moment promised can be recovered');
is($earliest->{marks}, 'early1 late1 early2', 'and is what it was');
my $earlier = recovered_to('earlier', 'week1', "recovery_target_time = '$moment{1}'");
ok($earlier->{stopped}, 'an earlier one cannot');
like($earlier->{log}, qr/"[0-9A-F]{24}" is missing in the archive, which has "\Q$start2\E" behind it/, 'and the message says why')
  or diag $earlier->{log};

# ---- a promotion -----------------------------------------------------------------------

my $standby = new_standby('standby', $primary, 'week4', streaming => $primary, get => '--prefetch off');
$standby->start;
$primary->wait_for_catchup($standby);
mark($primary, 'before the switch');
$primary->wait_for_catchup($standby);
$standby->promote;
$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'no promotion';
# the old primary goes on for a while
mark($primary, 'split');
switch_and_archive($primary);
$primary->stop;
my @old = do { opendir(my $dir, "$archive/wal/0000000100000000") or die $!; sort map { /^([0-9A-F]{24})\.zst$/ } readdir $dir };
sub on_new { return $standby->safe_psql('postgres', $_[0]); }
on_new('SELECT pg_sleep(1.2)');
$standby->backup('week5');
mark($standby, 'week 5');
switch_and_archive($standby);
on_new('SELECT pg_sleep(1.2)');
my $moment5 = on_new('SELECT clock_timestamp()');
on_new('SELECT pg_sleep(1.2)');
mark($standby, 'late 5');
switch_and_archive($standby);
my $backup5 = on_new('SELECT backup_id FROM walarch.backups WHERE timeline = 2');
my $window5 = on_new("SELECT ceil(extract(epoch FROM max(latest_time) - '$moment5'::timestamptz))::int FROM walarch.segments()");
$plan = plan_of('--retention-window', $window5);
is($plan->{doubt}, undef, 'no doubt');
is($plan->{rows}{$old[-1]}[0] // (map { $plan->{rows}{$_}[0] } grep { / to \Q$old[-1]\E$/ } keys %{ $plan->{rows} })[0], 'keep',
	'what went on beside the new timeline may be a server that is idle now');
$plan = plan_of('--retention-window', $window5, '--give-up', 1);
is($plan->{doubt}, undef, 'no doubt');
my ($tail) = grep { /^00000001/ && $plan->{rows}{$_}[1] =~ /^timeline 1 was over/ } keys %{ $plan->{rows} };
ok(defined $tail, 'what the old primary wrote behind the switch was over before the window');
is(join(' ', sort keys %{ { map { $plan->{rows}{$_}[1] => 1 } grep { /^00000001.{16}( to|$)/ } deleted($plan) } }),
	"before backup $backup5, with which begins what is kept of timeline 2 timeline 1 was over before all that is kept",
	'what lies before it was on the way to the backup of the new timeline');
is($plan->{rows}{'00000002.history'}[0], 'keep', 'history files stay');
my $longer = plan_of('--retention-window', $window5 + 10000);
is(join(' ', deleted($longer)), '', 'a window that reaches back to before all backups lets go of nothing');

# ---- doubts --------------------------------------------------------------------------------

sub doubtful
{
	my ($what, $pattern, $change, $undo) = @_;

	$change->();
	my $doubt = prune('--retention-window', $window5, '--apply');
	is($doubt->{status}, 1, "$what: exit status");
	like($doubt->{stderr}, $pattern, "$what: said");
	is(join(' ', map { object_path($archive, $_) } @old), join(' ', grep { -e $_ } map { object_path($archive, $_) } @old), "$what: nothing was deleted");
	$undo->();
	return;
}

sub hidden
{
	my ($what, $pattern, $file) = @_;
	doubtful($what, $pattern, sub { rename $file, "$file.hidden" or die "\"$file\": $!"; },
		sub { rename "$file.hidden", $file or die $!; });
	return;
}

sub flipped
{
	my ($what, $pattern, $file) = @_;
	my $bytes = slurp_binary($file);
	my $changed = $bytes;

	substr($changed, 20, 1) ^= "\x10";
	doubtful($what, $pattern, sub { write_binary($file, $changed) }, sub { write_binary($file, $bytes) });
	return;
}

my ($start5) = $backup5 =~ /^(.{24})/;
hidden('no history', qr/the history of timeline 2 is not in the archive/, "$archive/wal/00000002.history.zst");
flipped('a damaged history', qr/doubt: wal\/00000002\.history\.zst: /, "$archive/wal/00000002.history.zst");
flipped('a damaged backup history', qr/doubt: wal\/\S+\.backup\.zst: /, "$archive/wal/0000000200000000/$backup5.backup.zst");
hidden('a hole in the newest backup', qr/the newest backup, \Q$backup5\E, cannot be restored: WAL that it needs is missing: \Q$start5\E/,
	object_path($archive, $start5));
hidden('no marker', qr/has no marker/, "$archive/archive.id");
# ---- and the new timeline is all that is kept ------------------------------------------------

$run = prune('--retention-window', $window5, '--give-up', 1, '--apply');
is($run->{status}, 0, 'deleted') or diag $run->{stderr};
like($run->{stdout}, qr/^\d+ objects deleted, \d+ kB$/m, 'and said how much');
ok(!-e "$archive/wal/0000000100000000", 'the old timeline is gone, its directory, too');
ok(-e "$archive/wal/00000002.history.zst", 'but its history is not');
is(on_new('SELECT count(*) FROM walarch.verify()'), 0, 'no finding');
{
	my $node = PostgreSQL::Test::Cluster->new('last');

	$node->init_from_backup($standby, 'week5');
	$node->append_conf('postgresql.conf', <<"END");
archive_mode = off
restore_command = '"$ENV{WALARCH_BIN}" get --archive "$archive" --retry-for 1 "%f" "%p"'
recovery_target_time = '$moment5'
recovery_target_action = 'promote'
END
	$node->set_recovery_mode;
	$node->start;
	$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'recovery did not end';
	is(join(' ', grep { /5/ } map { s/week 5/week5/r } split /\n/, $node->safe_psql('postgres', 'SELECT what FROM marks ORDER BY n')),
		'week5', 'the earliest moment promised there can be recovered');
	$node->stop;
}
$standby->stop;

done_testing();
