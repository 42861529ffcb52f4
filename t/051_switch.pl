# A promotion: the unfinished segment of the old timeline is archived under its
# .partial name, and the new timeline's history. A second standby that has only
# the archive follows across the switch, also when the promoted server restarts.
# The old primary, still running, may archive its own version of the segment of
# the fork and what follows: nothing is in conflict, and nobody follows it.

use strict;
use warnings;

use lib 't/lib';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Standby;
use Test::More;
use WalArch;

my $old = small_primary('old');
my $archive = archive_dir($old);
$old->backup('base');

mark($old, 'one');
my $streaming = new_standby('new', $old, 'base', streaming => $old);
my $follower = new_standby('follower', $old, 'base');
$streaming->start;
$follower->start;

mark($old, 'two');
wait_objects($archive, switch_wal($old));
mark($old, 'three');
$old->wait_for_catchup($streaming);

#
# The switch.
#
my $fork = $old->safe_psql('postgres',
	'SELECT pg_walfile_name(pg_current_wal_lsn())');
my $child = $fork =~ s/^00000001/00000002/r;
my $new = $streaming;
$new->promote;
end_of_recovery($new);
wait_objects($archive, "$fork.partial", '00000002.history');
ok(-s object_path($archive, "$fork.partial"), 'the unfinished segment is archived as .partial');
like(history_text($archive, 2), qr/^1\t[0-9A-F]+\/[0-9A-F]+\t/m,
	'the history of timeline 2 is archived');
ok(!-e object_path($archive, $fork), 'no full segment of that name is there');
wait_line($follower, 'new target timeline is 2');

mark($new, 'four');
is(switch_wal($new), $child, 'the new timeline begins with the same segment');
wait_objects($archive, $child);
is(wait_marks($follower, 'four'), 'one two three four',
	'the follower came across the switch by the archive alone');
is($follower->safe_psql('postgres',
		'SELECT received_tli IS NULL FROM (SELECT 1) x LEFT JOIN pg_stat_wal_receiver ON true'),
	't', 'without a WAL receiver');

#
# The old primary, which nobody stopped, goes on.
#
mark($old, 'astray');
is(switch_wal($old), $fork, 'the old primary finishes the segment of the fork');
write_wal($old, 2048);
mark($old, 'far-astray');
my $astray = switch_wal($old);
wait_objects($archive, $fork, $astray);
pass('its segments are archived under their full names');
wait_archived($old, $astray);
is(status_value($old, 'failed_count, conflict_count'), '0|0',
	'without a failure on the old primary');

my $digest = slurp_binary(object_path($archive, $fork));
$new->restart;
mark($new, 'five');
wait_objects($archive, switch_wal($new));
is(status_value($new, 'failed_count, conflict_count'), '0|0',
	'without a failure on the promoted server, which was restarted');
is(wait_marks($follower, 'five'), 'one two three four five',
	'the follower is with the promoted server');
ok(slurp_binary(object_path($archive, $fork)) eq $digest, 'and no object was replaced');

my @held = archive_files($archive);
my %timelines = map { substr($_, 0, 8) => 1 } grep { /^[0-9A-F]{24}$/ } @held;
is_deeply([ sort keys %timelines ], [ '00000001', '00000002' ],
	'the archive holds both timelines') or diag(join "\n", @held);
ok((grep { $_ eq "$fork.partial" } @held), 'and still the .partial');
ok(!-e "$archive/damaged" || !glob("$archive/damaged/*"), 'and nothing was set aside');
unlike(slurp_file($follower->logfile), qr/incorrect prev-link|unexpected pageaddr|PANIC|FATAL:/,
	'the follower saw no foreign record');

# A server that is made from the old backup follows timeline 2 from end to end.
my $pitr = new_recovery('pitr', $old, 'base');
$pitr->start;
end_of_recovery($pitr);
is(marks($pitr), 'one two three four five',
	'recovery from the backup on timeline 1 ends with all of timeline 2');

done_testing();
