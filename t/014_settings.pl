# Settings: without an archive nothing is archived and nothing fails; each takes
# effect by a reload; a bad value is never silent and never used; and a failing
# archive is asked again at PostgreSQL's own pace.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

use WalArch;

my $node = new_primary(
	'main',
	archive => '',
	mkdir => 0,
	extra => ['--wal-segsize=1'],
	conf => "wal_keep_size = '1GB'\n"
	  . "walarch.compression_level = 3\nwalarch.workers = 2\nwalarch.timeout = '60s'\n");
my $base = $node->basedir;
my @archive = map { mkdir "$base/$_", 0700 or die $!; "$base/$_" } qw(one two three);

sub set
{
	my ($name, $value) = @_;
	my $position = log_position($node);
	set_conf($node, $name, $value);
	return $position;
}

# --- not configured

switch_wal($node) for 1 .. 3;
my $status = wait_status($node, 'backlog_files >= 3');
$node->wait_for_log(qr/"?archive_mode"? enabled, yet archiving is not configured/);
is($status->{state}, 'unconfigured', 'no archive: unconfigured');
like($status->{state_detail}, qr/walarch\.archive is not set/, 'and why');
is($status->{failed_count}, 0, 'nothing counts as failed');
is( $node->safe_psql('postgres', 'SELECT failed_count FROM pg_stat_archiver'),
	'0', 'not for PostgreSQL either');
is($status->{archived_count}, 0, 'nothing as archived');
is($status->{archive}, undef, 'there is no archive');

# values that cannot be a directory are refused by their text alone
for my $case (
	[ 'relative/directory', 'absolute path' ],
	[ '/one,/two', 'reserved' ],
	[ 's3://bucket/archive', 'reserved' ],
	[ '/' . 'x' x 1000, 'too long' ])
{
	my ($value, $words) = @$case;
	my $position = set('walarch.archive', $value);

	$node->wait_for_log(qr/WARNING: .*invalid value for parameter "walarch\.archive": "\Q$value\E"/,
		$position);
	like(log_since($node, $position), qr/DETAIL: .*$words/, "\"$words\": the log says why");
	is(status($node)->{state}, 'unconfigured', "\"$words\": not used");
}

my $waiting = grep { /\.ready$/ } slurp_dir(data_file($node, 'pg_wal/archive_status'));
my $position = set('walarch.archive', $archive[0]);
wait_archived($node);
$status = status($node);
is($status->{state}, 'ok', 'a directory, and archiving begins');
is($status->{archived_count}, $waiting, 'with all that waited');
is($status->{failed_count}, 0, 'and nothing has failed');

# --- each by reload

set('walarch.compression_level', 11);
switch_and_archive($node);
is(status($node)->{compression_level}, 11, 'a level takes effect');

my $pid = archiver_pid($node);
set('walarch.workers', 5);
switch_and_archive($node);
is(status($node)->{workers}, 5, 'a number of workers takes effect');
is(archiver_pid($node), $pid, 'in the same archiver');

my $first = status($node)->{archive_id};
my $held = archive_files($archive[0]);
set('walarch.archive', $archive[1]);
my $wal = switch_and_archive($node);
object_is($archive[1], $wal, data_file($node, "pg_wal/$wal"), 'another archive takes effect');
is(scalar(my @now = archive_files($archive[0])), $held, 'nothing more goes to the first');
$status = status($node);
is($status->{archive}, $archive[1], 'it is shown');
isnt($status->{archive_id}, $first, 'with its own id');
is(scalar(() = slurp_file(data_file($node, 'walarch.known')) =~ /^[0-9a-f]{32} \//mg),
	2, 'walarch.known has both');
set('walarch.archive', "$archive[0]//./");
switch_and_archive($node);
is(status($node)->{archive_id}, $first, 'back to the first, spelt differently');
is(scalar(() = slurp_file(data_file($node, 'walarch.known')) =~ /^[0-9a-f]{32} \//mg),
	2, 'which is the same path to walarch.known');

# --- a bad value on reload

for my $case (
	[ 'walarch.compression_level', 99, 11, '99 is outside the valid range .*\(-7 \.\. 19\)' ],
	[ 'walarch.compression_level', -8, 11, '-8 is outside the valid range .*\(-7 \.\. 19\)' ],
	[ 'walarch.compression_level', 'best', 11, 'invalid value .*: "best"' ],
	[ 'walarch.workers', 0, 5, '0 is outside the valid range .*\(1 \.\. 32\)' ],
	[ 'walarch.workers', 33, 5, '33 is outside the valid range .*\(1 \.\. 32\)' ],
	[ 'walarch.timeout', '10ms', '1min', '10 ms is outside the valid range .*\(1000( ms)? \.\. 86400000( ms)?\)' ],
	[ 'walarch.archive', 'here', "$archive[0]//./", 'invalid value .*: "here"' ])
{
	my ($name, $bad, $good, $words) = @$case;

	$position = set($name, $bad);
	switch_and_archive($node);
	my $log = log_since($node, $position);
	like($log, qr/WARNING:  $words/, "$name = $bad: a warning with reason");
	like($log, qr/WARNING: .*\Q$name\E/, "$name = $bad: and the name");
	switch_and_archive($node);
	my $warnings = () = log_since($node, $position) =~ /WARNING:  /g;
	is($warnings, 1, "$name = $bad: said once a reload, not once a file");
	$status = status($node);
	is($status->{compression_level}, 11, "$name = $bad: the level stays");
	is($status->{workers}, 5, "$name = $bad: the workers stay");
	is($status->{failed_count}, 0, "$name = $bad: nothing fails");
	set($name, $good);
}
$position = set('walarch.workers', 5);
switch_and_archive($node);
unlike(log_since($node, $position), qr/WARNING/, 'good values bring no warning');

# --- bad from the start

$node->stop;
$position = set('walarch.compression_level', 77);
$node->start;
switch_and_archive($node);
like(log_since($node, $position), qr/WARNING:  77 is outside the valid range/,
	'a bad value at the start is no secret');
is(status($node)->{compression_level}, 3, 'and the default is used');
set('walarch.compression_level', 3);

# --- a failing archive is not asked without pause

rename $archive[0], "$archive[0].away" or die $!;
$position = log_position($node);
my $failed = status($node)->{failed_count};
$wal = switch_wal($node);
wait_until('three failures',
	sub { status_value($node, "failed_count >= $failed + 3") eq 't' });
$node->wait_for_log(qr/archiving write-ahead log file "$wal" failed too many times, will try again later/,
	$position);
# It waits up to a minute, which may be over soon when this was held up: then it
# has another three failures within four seconds, and waits again.
my $more;
for (1 .. 5)
{
	my $since = time();
	my $after = status($node)->{failed_count};

	usleep(100_000) while time() < $since + 4;
	$more = status($node)->{failed_count} - $after;
	last if $more == 0;
}
is($more, 0, 'after three failures PostgreSQL waits');
rename "$archive[0].away", $archive[0] or die $!;
kick($node);
wait_archived($node);

# --- configured no more

set('walarch.archive', '');
switch_wal($node);
$status = wait_status($node, "state = 'unconfigured' AND backlog_files = 1");
is($status->{consecutive_failures}, 0, 'archive taken away: unconfigured, not failing');
set('walarch.archive', $archive[2]);
wait_archived($node);
is(status($node)->{archive}, $archive[2], 'and given again');
$node->stop;

done_testing();
