# Three timelines: 2 and 3 both leave timeline 1, 3 later than 2, and all three
# have segments of the same numbers in the archive. Recovery along 1 -> 3 takes
# nothing of timeline 2, along 1 -> 2 nothing of 3; timeline 1 can still be
# recovered to a point after both forks; and a standby that had already replayed
# timeline 1 past the forks goes on along it, also after a restart.

use strict;
use warnings;

use lib 't/lib';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Standby;
use Test::More;
use WalArch;

my $first = small_primary('first');
my $archive = archive_dir($first);
$first->backup('base');

sub restore_point
{
	my ($name) = @_;

	$first->safe_psql('postgres', "SELECT pg_create_restore_point('$name')");
	return switch_wal($first);
}

mark($first, 'base');

# Nothing but a restartpoint writes this one's minRecoveryPoint to disk.
my $stays = new_standby('stays', $first, 'base',
	conf => "shared_buffers = 64MB\nbgwriter_lru_maxpages = 0\n");
$stays->start;
mark($first, 'one');
my $fork2 = restore_point('x');
mark($first, 'two');
write_wal($first, 2048);
mark($first, 'three');
my $fork3 = restore_point('y');
mark($first, 'four');
write_wal($first, 2048);
mark($first, 'five');
my $last = restore_point('z');
wait_objects($archive, $last);
wait_marks($stays, 'five');

# Recover from the backup; the server when it is open.
sub recover
{
	my ($name, $timeline, $target, $conf) = @_;
	my $node = new_recovery($name, $first, 'base', conf =>
		  "recovery_target_timeline = '$timeline'\n"
		  . (defined $target ? "recovery_target_name = '$target'\n" : '')
		  . ($conf // ''));

	$node->start;
	end_of_recovery($node);
	return $node;
}

# Recover from the backup and begin a new timeline with as much WAL.
sub branch
{
	my ($name, $target, $tli) = @_;
	my $node = recover($name, '1', $target);

	is(timeline($node), $tli, "$name: the new timeline is $tli");
	mark($node, $name);
	write_wal($node, 6144);
	mark($node, "$name-last");
	my $wal = switch_wal($node);
	wait_objects($archive, $wal);
	wait_archived($node, $wal);
	is(status_value($node, 'failed_count, conflict_count'), '0|0',
		"$name: archives without failure");
	$node->stop;
	return;
}

branch('second', 'x', 2);
branch('third', 'y', 3);
like(history_text($archive, 3), qr/^1\t[^\n]*\n\z|^1\t[^\n]*\z/, 'timeline 3 left timeline 1');
unlike(history_text($archive, 3), qr/^2\t/m, 'and has nothing to do with 2');

# The numbers of the segments that a timeline has.
sub numbers
{
	my ($tli) = @_;

	return map { /^0000000$tli([0-9A-F]{16})$/ ? $1 : () } archive_files($archive);
}
my %seen;
$seen{$_}++ foreach map { numbers($_) } 1 .. 3;
cmp_ok(scalar(grep { $_ == 3 } values %seen), '>=', 2,
	'several numbers occur on all three timelines');

# Recover, archiving nothing, and see which history it got.
sub recovers
{
	my ($name, $timeline, $target, $marks, $foreign) = @_;
	my $node = recover($name, $timeline, $target, "archive_mode = off\n");

	is(marks($node), $marks, "$name: recovered");
	is_deeply([ map { delivered($node, $_) } @$foreign ], [],
		"$name: nothing of another timeline was delivered");
	unlike(slurp_file($node->logfile), qr/walarch get: could not/,
		"$name: nothing was refused");
	note("$name: " . join ', ', map { "@$_" } requests($node));
	$node->stop;
	return;
}

my $to_y = 'base one two three';
my @archived = archive_files($archive);

recovers('to3', '3', undef, "$to_y third third-last", [2]);
recovers('latest', 'latest', undef, "$to_y third third-last", [2]);
recovers('to2', '2', undef, 'base one second second-last', [3]);
recovers('to1', '1', 'z', "$to_y four five", [ 2, 3 ]);
recovers('current', 'current', 'z', "$to_y four five", [ 2, 3 ]);

is_deeply([ archive_files($archive) ], \@archived, 'all that with one and the same archive');

#
# The standby that was already further on timeline 1 than both forks.
#
wait_line($stays, 'new timeline 3 forked off current database system timeline 1 before current recovery point');
ok(-e data_file($stays, 'pg_wal/00000003.history'),
	'the standby has the history of timeline 3 in its pg_wal');
is(marks($stays), "$to_y four five", 'it is on timeline 1, past the forks');

mark($first, 'six');
wait_objects($archive, switch_wal($first));
$stays->safe_psql('postgres', 'CHECKPOINT');
is(wait_marks($stays, 'six'), "$to_y four five six", 'and goes on along it');

$stays->stop;
$stays->append_conf('postgresql.conf', "recovery_target_timeline = '1'");
$stays->start;
mark($first, 'seven');
wait_objects($archive, switch_wal($first));
is(wait_marks($stays, 'seven'), "$to_y four five six seven",
	'also when it is restarted with that timeline as its target');
is_deeply([ map { delivered($stays, $_) } 2, 3 ], [],
	'and gets nothing of the others');

# Once more, now with the redo point of its restart past the forks.
$first->safe_psql('postgres', 'CHECKPOINT');
mark($first, 'eight');
wait_objects($archive, switch_wal($first));
wait_marks($stays, 'eight');
$stays->safe_psql('postgres', 'CHECKPOINT');
$stays->restart;
mark($first, 'nine');
wait_objects($archive, switch_wal($first));
is(wait_marks($stays, 'nine'), "$to_y four five six seven eight nine",
	'and after another restart');
note("stays: " . join ', ', map { "@$_" } requests($stays));

done_testing();
