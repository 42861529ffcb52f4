# A standby promoted while the archive is away cannot know which timelines are
# taken: it says so, and takes the number of one that exists. When the archive
# is back, it refuses the second history, loudly, and stays what it was; where
# two standbys left the old timeline at the same point, their histories are the
# same byte for byte, and the first segment is refused. Who lives on the archive
# follows the first. A promotion while the archive answers takes a free number.

use strict;
use warnings;

use lib 't/lib';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Standby;
use Test::More;
use WalArch;

my $primary = small_primary('primary');
my $archive = archive_dir($primary);
$primary->backup('base');

mark($primary, 'base');
my %from = (get => '--retry-for 0');
my $winner = new_standby('winner', $primary, 'base', %from, streaming => $primary);
my $twin = new_standby('twin', $primary, 'base', %from, streaming => $primary);
my $behind = new_standby('behind', $primary, 'base', %from);
my $follower = new_standby('follower', $primary, 'base', %from);
$_->start foreach $winner, $twin, $behind, $follower;
mark($primary, 'two');
wait_objects($archive, switch_wal($primary));
wait_marks($behind, 'two');
$primary->wait_for_catchup($_) foreach $winner, $twin;

# The two that stream receive the last record of the primary, "behind" does not.
# It is the checkpoint of the shutdown: who has replayed it has come to the end.
$primary->stop;
my ($control) = run_command([ 'pg_controldata', $primary->data_dir ]);
my ($last_record) = $control =~ /^Latest checkpoint location:\s+(\S+)$/m or die "no location in $control";
foreach my $node ($winner, $twin)
{
	$node->poll_query_until('postgres', "SELECT pg_last_wal_replay_lsn() > '$last_record'")
	  or die $node->name . ' has not received the last record';
}
$_->stop foreach $twin, $behind;

$winner->promote;
end_of_recovery($winner);
mark($winner, 'won');
my $first_wal = switch_wal($winner);
wait_objects($archive, '00000002.history', $first_wal);
is(timeline($winner), 2, 'the first promotion takes timeline 2');
wait_marks($follower, 'won');

my %before = map { $_ => slurp_binary(object_path($archive, $_)) } archive_files($archive);

#
# The archive is away.
#
rename $archive, "$archive.away" or die "could not rename \"$archive\": $!";
foreach my $node ($twin, $behind)
{
	my $name = $node->name;
	my $position = log_position($node);

	$node->start;
	$node->promote;
	end_of_recovery($node);
	is(timeline($node), 2, "$name: promoted without the archive, it takes it again");
	like(wait_line($node, 'could not restore "00000002.history"', $position),
		qr/do not promote it before this is mended.*reuse a timeline number/,
		"$name: and its log says that this could happen");
	mark($node, 'lost');
	switch_wal($node);
	$node->poll_query_until('postgres',
		"SELECT failed_count > 0 AND last_failed_wal = '00000002.history' FROM walarch.status")
	  or die "$name counts no failure";
}
ok(!-e $archive, 'nobody made another archive');

#
# It is back.
#
rename "$archive.away", $archive or die "could not rename \"$archive\" back: $!";
foreach my $case ([ $behind, '00000002.history' ], [ $twin, $first_wal ])
{
	my ($node, $refused) = @$case;
	my $name = $node->name;
	my $position = log_position($node);

	mark($node, 'lost-too');
	switch_wal($node);
	$node->poll_query_until('postgres',
		'SELECT conflict_count > 0 FROM walarch.status')
	  or die "$name counts no conflict: " . status_value($node, 'last_error');
	is(status_value($node, 'last_failed_wal, state, replaced_count'),
		"$refused|failing|0", "$name: $refused is refused");
	like(status_value($node, 'last_error'),
		qr/\Q$refused\E.*different content: digest [0-9a-f]{32} there.*[0-9a-f]{32} here/,
		"$name: the status shows both digests");
	like(wait_line($node, "\"$refused\" is in the archive with different content", $position),
		qr/WARNING:/, "$name: the log warns");
	ok(-e $node->data_dir . "/pg_wal/archive_status/$refused.ready",
		"$name: PostgreSQL keeps the file");
	$node->stop;
}
is_deeply([ grep { $before{$_} ne slurp_binary(object_path($archive, $_)) } sort keys %before ],
	[], 'no object of the archive was changed');
is_deeply([ grep { /^00000002/ && !exists $before{$_} } archive_files($archive) ],
	[], 'and none came to timeline 2');

mark($winner, 'won-again');
wait_objects($archive, switch_wal($winner));
is(wait_marks($follower, 'won-again'), 'base two won won-again',
	'the follower is with the winner');
is(status_value($winner, 'failed_count, conflict_count'), '0|0',
	'which archives without a failure');

#
# With the archive there, a promotion takes the next free number.
#
$follower->promote;
end_of_recovery($follower);
is(timeline($follower), 3, 'a promotion with the archive there takes timeline 3');
wait_objects($archive, '00000003.history');
is(status_value($follower, 'conflict_count'), 0, 'which is archived');

done_testing();
