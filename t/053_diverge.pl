# A fork where the old primary wrote on, so that the archive holds two different
# segments of the same number, one on each timeline. PostgreSQL, told that the
# child timeline's segment is not there, asks for the parent's at once. It must
# not get it: while the child's segment is not archived yet, while it cannot be
# read, while it is damaged, and while not even the history of the child can be
# read. Nobody diverges, and all reach the child's later data once it is mended.

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
my $new = new_standby('new', $old, 'base', streaming => $old);
my $follower = new_standby('follower', $old, 'base');
$new->start;
$follower->start;

mark($old, 'two');
switch_wal($old);
$old->wait_for_catchup($new);
wait_marks($follower, 'two');

# The fork lies within a segment: the beginning of both is the same.
mark($old, 'fork');
$old->wait_for_catchup($new);

my $parent = $old->safe_psql('postgres',
	'SELECT pg_walfile_name(pg_current_wal_insert_lsn())');
my $child = $parent =~ s/^00000001/00000002/r;

$new->promote;
end_of_recovery($new);
wait_objects($archive, '00000002.history');
wait_line($follower, 'new target timeline is 2');

# How the requests for a file ended since the given number of requests.
sub answers
{
	my ($node, $file, $since) = @_;
	my @all = requests($node);

	return map { $_->[1] } grep { $_->[0] eq $file } @all[ ($since // 0) .. $#all ];
}

sub distinct
{
	my %seen = map { $_ => 1 } @_;
	return join ' ', sort keys %seen;
}

# Wait until the child's segment and then the parent's were refused.
sub wait_refused
{
	my ($node, $since) = @_;

	wait_until(
		$node->name . " to ask for $child and $parent",
		sub {
			my @child = answers($node, $child, $since);
			my @parent = answers($node, $parent, $since);
			return @child > 0 && @parent > 0;
		});
	is(distinct(answers($node, $child, $since)), '1',
		$node->name . ': the child\'s segment was answered with 1');
	is(distinct(answers($node, $parent, $since)), '1',
		$node->name . ': and so was the parent\'s');
	return;
}

sub has_not_diverged
{
	my ($node, $marks) = @_;

	is(marks($node), $marks, $node->name . ': has the child\'s history and no other');
	unlike(slurp_file($node->logfile),
		qr/incorrect prev-link|unexpected (?:pageaddr|timeline)|out-of-sequence|invalid record|before current recovery point/,
		$node->name . ': saw no foreign record');
	return;
}

#
# The parent's segment comes first, complete and with other content.
#
mark($old, 'astray');
is(switch_wal($old), $parent, 'the old primary finishes the segment of the fork');
mark($old, 'far-astray');
my $further = switch_wal($old);
wait_objects($archive, $parent, $further);
my $since = requests($follower);
wait_refused($follower, $since);
like(wait_line($follower, "could not restore \"$parent\""),
	qr/timeline/, 'the follower says why');
is(marks($follower), 'one two', 'it waits');

#
# The child's segment is there, but cannot be read for a while.
#
$follower->stop;
mark($new, 'three');
is(switch_wal($new), $child, 'the new primary finishes its segment of that number');
wait_objects($archive, $child);
chmod 0000, object_path($archive, $child) or die "chmod: $!";
$since = requests($follower);
my $before = log_position($follower);
$follower->start;
wait_refused($follower, $since);
like(wait_line($follower, "could not restore \"$child\"", $before),
	qr/Permission denied.*do not promote it/, 'the follower says what failed');
is(marks($follower), 'one two', 'it waits again');
chmod 0600, object_path($archive, $child) or die "chmod: $!";
wait_marks($follower, 'three');
mark($new, 'four');
wait_objects($archive, switch_wal($new));
wait_marks($follower, 'four');
has_not_diverged($follower, 'one two fork three four');

#
# It is damaged: on a standby and in a recovery that ends.
#
my $good = slurp_binary(object_path($archive, $child));

sub replace_child
{
	my ($bytes) = @_;
	my $file = object_path($archive, $child);

	write_binary("$file.new", $bytes);
	rename "$file.new", $file or die "could not rename \"$file.new\": $!";
	return;
}

my $damaged = $good;
substr($damaged, int(length($good) / 2), 1) ^= "\x10";
replace_child($damaged);

my $late = new_standby('late', $old, 'base');
$late->start;
wait_refused($late);
like(wait_line($late, "could not restore \"$child\""), qr/reported as absent/,
	'the late standby says that it is damaged');
is(marks($late), 'one two', 'it waits');

my $pitr = new_recovery('pitr', $old, 'base');
ok(!$pitr->start(fail_ok => 1), 'a recovery that is to end does not end here');
is_deeply([ answers($pitr, $child) ], [200], 'walarch get stops it');
is_deeply([ answers($pitr, $parent) ], [],
	'before the parent\'s segment is asked for');
ok(-e $pitr->data_dir . '/recovery.signal', 'it can be started again');

replace_child($good);
wait_marks($late, 'four');
has_not_diverged($late, 'one two fork three four');
ok($pitr->start, 'the recovery is started again');
end_of_recovery($pitr);
has_not_diverged($pitr, 'one two fork three four');

#
# Not even the history of the child can be read.
#
chmod 0000, object_path($archive, '00000002.history') or die "chmod: $!";
my $blind = new_standby('blind', $old, 'base');
$blind->start;
wait_line($blind, 'could not restore "00000002.history"');
# It does not even come to the parent's segment: no segment is given out meanwhile.
my $asked = requests($blind);
my @segments;
wait_until('further segments to be asked for', sub {
	my @all = requests($blind);
	@segments = grep { $_->[0] =~ /^[0-9A-F]{24}$/ } @all[ $asked .. $#all ];
	return @segments > 1;
});
is(distinct(map { $_->[1] } @segments), '1', 'a standby that could not read the history gets no segment');
is_deeply([ grep { $_ eq $parent } delivered($blind, 1) ], [], 'and not the parent\'s');
chmod 0600, object_path($archive, '00000002.history') or die "chmod: $!";
wait_marks($blind, 'four');
has_not_diverged($blind, 'one two fork three four');

#
# Without the memory of the request before, the histories in pg_wal decide.
#
$follower->stop;
my $dir = $follower->data_dir;
ok(-e "$dir/pg_wal/00000002.history", 'PostgreSQL keeps the history it restored');

# walarch get for the server in whose data directory it runs, the first time.
sub get_first
{
	my ($file) = @_;

	unlink "$dir/pg_stat_tmp/walarch.trail", "$dir/pg_wal/RECOVERYXLOG";
	my ($status, undef, $stderr) =
	  get($dir, '--archive', $archive, $file, 'pg_wal/RECOVERYXLOG');
	return ($status, $stderr, -e "$dir/pg_wal/RECOVERYXLOG" ? 1 : 0);
}

my ($status, $stderr, $delivered) = get_first($parent);
is("$status $delivered", '1 0', 'the parent\'s segment is refused where the child\'s is there');
like($stderr, qr/\Q$child\E/, 'which is named');
chmod 0000, object_path($archive, $child) or die "chmod: $!";
($status, $stderr, $delivered) = get_first($parent);
is("$status $delivered", '1 0', 'and refused where the child\'s cannot be read');
chmod 0600, object_path($archive, $child) or die "chmod: $!";
rename object_path($archive, $child), "$archive/child" or die "rename: $!";
($status, $stderr, $delivered) = get_first($parent);
is("$status $delivered", '0 1', 'and delivered where it is proven that there is none')
  or diag($stderr);
rename "$archive/child", object_path($archive, $child) or die "rename: $!";

#
# A request that fails before it is noted must not leave the one before it to
# be taken for the last: the parent's segment would look like the next one.
#
my $before_fork = substr($parent, 0, 16) . sprintf('%08X', hex(substr($parent, 16)) - 1);
($status) = get_first($before_fork);
is($status, 0, 'the segment before the fork');
($status) = get($dir, '--archive', $archive, '--no-such-option', $child, 'pg_wal/RECOVERYXLOG');
is($status, 1, 'a mistyped option, while the child\'s is asked for');
unlink "$dir/pg_wal/RECOVERYXLOG";
($status, undef, $stderr) = get($dir, '--archive', $archive, $parent, 'pg_wal/RECOVERYXLOG');
is($status, 1, 'the parent\'s segment is refused');
like($stderr, qr/\Q$child\E/, 'the child\'s named');

done_testing();
