# archive_mode = always on a standby that shares the archive with its primary:
# each file comes twice with identical bytes, which is success for both and is
# counted as identical; neither fails or waits for the other. Both a standby
# that streams and one that restores from the same archive.

use strict;
use warnings;

use lib 't/lib';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Standby;
use Test::More;
use WalArch;

my $primary = small_primary('primary', conf => "archive_mode = always\n");
my $archive = archive_dir($primary);
$primary->backup('base');

mark($primary, 'one');
my $streamer = new_standby('streamer', $primary, 'base',
	streaming => $primary);
my $shipped = new_standby('shipped', $primary, 'base');
$streamer->start;
$primary->wait_for_catchup($streamer);
$shipped->start;

foreach my $round (1 .. 3)
{
	write_wal($primary, 2048);
	mark($primary, "round$round");
	switch_wal($primary);
}
mark($primary, 'last');
my $last = switch_wal($primary);
$primary->wait_for_catchup($streamer);

# Nothing waits to be archived any more on that server.
sub wait_idle
{
	my ($node) = @_;
	my $status = $node->data_dir . '/pg_wal/archive_status';

	wait_until($node->name . ' to have archived all',
		sub { !glob("$status/*.ready") && -e "$status/$last.done" });
	return;
}

foreach my $node ($primary, $streamer, $shipped)
{
	my $name = $node->name;
	my $is_standby = $node->safe_psql('postgres', 'SELECT pg_is_in_recovery()');

	wait_marks($node, 'last');
	wait_idle($node);

	# The status file is a moment behind.
	$node->poll_query_until('postgres', 'SELECT archived_count + identical_count >= 10 FROM walarch.status')
	  or die "$name counts too little: "
	  . status_value($node, 'archived_count, identical_count');
	is(status_value($node, 'failed_count, conflict_count, replaced_count, damaged_source_count'),
		'0|0|0|0', "no failure, conflict or replacement on the $name");
	is($node->safe_psql('postgres', 'SELECT failed_count FROM pg_stat_archiver'),
		0, "nor does PostgreSQL count one on the $name");
	is(marks($node), 'one round1 round2 round3 last', "all data is on the $name");
	cmp_ok(status_value($node, 'identical_count'), '>', 0,
		"files that were there already are counted as identical on the $name")
	  if $node == $shipped;
}
cmp_ok(status_value($primary, 'identical_count')
	  + status_value($streamer, 'identical_count'), '>', 0,
	'of primary and streaming standby one came second');
is(status_value($primary, 'archive_id'), status_value($streamer, 'archive_id'),
	'both use the same archive');
like(slurp_file($shipped->logfile), qr/restored log file "$last" from archive/,
	'the third restored what it archived again');

# The same name has the same bytes on both of them and in the archive.
foreach my $node ($primary, $streamer)
{
	object_is($archive, $last, data_file($node, "pg_wal/$last"),
		'the ' . $node->name . ' has the same bytes as the archive');
}

# ---- an incomplete segment under its full name -------------------------------------

# A cascaded standby that archives ends the old timeline when the standby above
# it is promoted: what it has of the last segment goes to the archive as if it
# were all. The old primary, which goes on, completes it.
$shipped->stop;
my $cascade = new_standby('cascade', $primary, 'base', streaming => $streamer);
$cascade->start;
switch_and_archive($primary);
mark($primary, 'half');
my $half = $primary->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
my $cut = $primary->safe_psql('postgres', "SELECT pg_walfile_name('$half')");
wait_replayed($_, $half) foreach $streamer, $cascade;
ok(!-e object_path($archive, $cut), 'the last segment is not finished');
$streamer->promote;
wait_objects($archive, $cut);
wait_line($cascade, 'new target timeline is 2');
my $incomplete = object_raw($archive, $cut);
write_wal($primary, 300);
mark($primary, 'rest');
is(switch_wal($primary), $cut, 'the old primary completes it');
wait_status($primary, "replaced_count = 1 AND last_archived_wal >= '$cut'");
ok($incomplete ne slurp_binary(data_file($primary, "pg_wal/$cut")), 'what had come was not all of it');
object_is($archive, $cut, data_file($primary, "pg_wal/$cut"), 'its copy takes the place');
is(join(' ', damaged_files($archive)), "$cut.zst.incomplete.1", 'of the incomplete one, which is kept');
is(status_value($primary, 'failed_count, conflict_count'), '0|0', 'without a failure');
my ($status, $stdout) = run_in('/', $ENV{WALARCH_BIN}, 'verify', '--archive', $archive, '--timeline', 1);
is("$status $stdout" =~ /^0 .*errors 0, warnings 0/s ? 'clean' : $stdout, 'clean', 'the archive of the old timeline is in order');

done_testing();
