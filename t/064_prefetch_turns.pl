# Standbys that turn elsewhere while their prefetcher holds segments: by a reload
# to another archive, which has not the same to say, and to a new timeline, while
# the parent's segments beyond the fork are held. Nothing of what was held before
# is answered for what is asked now.

use strict;
use warnings;

use lib 't/lib';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Prefetch;
use Standby;
use Test::More;
use WalArch;

my $foreign = qr/incorrect prev-link|unexpected (?:pageaddr|timeline)|out-of-sequence|invalid record|before current recovery point/;

# A standby of a primary that asks for nothing before it is allowed. It does not
# read ahead: what it has is replayed while it waits.
sub gated
{
	my ($name, $primary, $options) = @_;
	my $node = new_standby($name, $primary, 'base',
		conf => "archive_mode = off\nwal_retrieve_retry_interval = '200ms'\nrecovery_prefetch = off\n");

	gated_restore($node, archive_dir($primary), $options);
	return $node;
}

sub wait_held
{
	my ($node, $count) = @_;
	wait_until("$count segments to be held", sub { held($node->data_dir) == $count });
	return;
}

# Wait for so many more answers for a file: [ name, status, ms, word ].
sub wait_answers
{
	my ($node, $file, $count, $word) = @_;
	my $since = requests($node);

	return wait_until("$count requests for $file", sub {
		my @all = requests($node);
		my @answers = grep { $_->[0] eq $file && ($_->[3] // '') eq ($word // '') } @all[ $since .. $#all ];
		return @answers >= $count ? \@answers : undef;
	});
}

sub distinct
{
	my %seen = map { $_ => 1 } @_;
	return join ' ', sort keys %seen;
}

sub after
{
	my ($wal, $count) = @_;
	return sprintf '%s%08X', substr($wal, 0, 16), hex(substr $wal, 16) + $count;
}

# ---- another archive ------------------------------------------------------------------

{
	my $primary = small_primary('primary');
	my $archive = archive_dir($primary);
	my $other = "$archive.other";

	$primary->safe_psql('postgres', 'CREATE TABLE t (a int, b text)');
	$primary->backup('base');
	mark($primary, 'begin');
	my $first = switch_and_archive($primary);
	foreach my $round (1 .. 14)
	{
		$primary->safe_psql('postgres', "INSERT INTO t SELECT $round, md5(i::text) FROM generate_series(1, 3000) AS i");
		switch_and_archive($primary);
	}
	mark($primary, 'end');
	switch_and_archive($primary);
	my $sums = table_sums($primary, qw(t marks));
	my @ahead = grep { /^[0-9A-F]{24}$/ && $_ gt $first } archive_files($archive);

	# the same archive, but for what is held
	system('cp', '-R', $archive, $other) == 0 or die 'could not copy the archive';
	unlink map { object_path($other, $_) } @ahead[ 1 .. $#ahead ];

	my $node = gated('turning', $primary, '--retry-for 0');
	allow($node, '00000002.history', grep { $_ le $first } archive_files($archive));
	$node->start;
	wait_asked($node, $ahead[0]);
	wait_marks($node, 'begin');
	wait_held($node, 8);
	my ($before) = prefetchers($node->data_dir);

	my $position = log_position($node);
	gated_restore($node, $other, '--retry-for 0', 'other');
	reload($node);
	wait_line($node, 'parameter "restore_command" changed', $position);

	# From some request on it is the other archive.
	my $at = 0;
	while (1)
	{
		wait_until('the next request', sub { (asked($node))[0] ge $ahead[$at] });
		last if ((asked($node))[1] // '') eq 'other';
		die 'the reload has no effect' if $at >= 3;
		allow($node, $ahead[ $at++ ]);
	}
	my $wanted = $ahead[$at];
	write_binary(object_path($other, $ahead[$_]), object_bytes($archive, $ahead[$_])) foreach 0 .. $at - 1;
	unlink object_path($other, $wanted);
	my $held = held($node->data_dir);
	cmp_ok($held, '>=', 5, 'the prefetcher of one archive holds what is asked for of the other');
	allow($node, $wanted);
	is(distinct(map { $_->[1] } @{ wait_answers($node, $wanted, 3, 'other') }), '1', 'which has it not: so it is absent');
	is(marks($node), 'begin', 'and not replayed');

	my $bytes = object_bytes($archive, $wanted);
	substr($bytes, length($bytes) / 2, 4) = "\xFF\x00\xFF\x00";
	$position = log_position($node);
	write_binary(object_path($other, $wanted) . '.new', $bytes);
	rename object_path($other, $wanted) . '.new', object_path($other, $wanted) or die "could not rename: $!";
	is(distinct(map { $_->[1] } @{ wait_answers($node, $wanted, 3, 'other') }), '1', 'which has it damaged: not delivered');
	like(wait_line($node, 'could not restore', $position), qr/"\Q$other\E\/[^"]*" is damaged/, 'and said to be damaged there');
	is(marks($node), 'begin', 'and not replayed');
	is(held($node->data_dir), $held, 'the one before has it still');
	is(join(' ', prefetchers($node->data_dir)), $before, 'and is the only one');

	# Mended, piece by piece, so that each must come from there.
	foreach my $wal (reverse @ahead[ $at .. $#ahead ])
	{
		write_binary("$other/new", object_bytes($archive, $wal));
		rename "$other/new", object_path($other, $wal) or die "could not rename: $!";
	}
	rename $archive, "$archive.away" or die "could not rename: $!";
	allow($node, 'all');
	wait_marks($node, 'end');
	is(table_sums($node, qw(t marks)), $sums, 'mended: the same data');
	is(join(' ', map { $_->[0] } grep { ($_->[3] // '') ne 'other' && $_->[1] == 0 && $_->[0] ge $wanted } requests($node)),
		'', 'all from the other archive, by its own command');
	rename "$archive.away", $archive or die "could not rename: $!";
	$node->safe_psql('postgres', 'SELECT pg_promote(false)');
	end_of_recovery($node);
	is(junk_after_a_while($node->data_dir), '', 'promoted: both have ended, nothing is left');
	$node->stop;
	$primary->stop;
}

# ---- another timeline -----------------------------------------------------------------

{
	my $old = small_primary('old');
	my $archive = archive_dir($old);

	$old->safe_psql('postgres', 'CREATE TABLE t (a int, b text)');
	$old->backup('base');
	my $new = new_standby('new', $old, 'base', streaming => $old);
	my $node = gated('follower', $old, '--retry-for 0');
	$new->start;
	mark($old, 'one');
	my $last = switch_and_archive($old);
	my $next = after($last, 1);
	allow($node, 'all');
	$node->start;
	wait_marks($node, 'one');

	# It has come to the end, and is about to ask for a new timeline.
	allow($node, $next);
	forbid($node, 'all');
	wait_asked($node, '00000002.history');

	# Two more segments, the fork within the third, and three that nobody
	# should follow.
	foreach (1 .. 2)
	{
		$old->safe_psql('postgres', 'INSERT INTO t SELECT 1, md5(i::text) FROM generate_series(1, 3000) AS i');
		switch_and_archive($old);
	}
	mark($old, 'two');
	$old->wait_for_catchup($new);
	my $parent = after($last, 3);
	my $child = $parent =~ s/^00000001/00000002/r;
	is($old->safe_psql('postgres', 'SELECT pg_walfile_name(pg_current_wal_lsn())'), $parent, 'the segment of the fork');
	$new->promote;
	end_of_recovery($new);
	wait_objects($archive, '00000002.history');
	foreach (1 .. 3)
	{
		mark($old, 'astray');
		$old->safe_psql('postgres', 'INSERT INTO t SELECT 9, md5(i::text) FROM generate_series(1, 3000) AS i');
		switch_and_archive($old);
	}
	mark($new, 'three');
	$new->safe_psql('postgres', 'INSERT INTO t SELECT 2, md5(i::text) FROM generate_series(1, 3000) AS i');

	# It learns of the child, and its prefetcher of the parent's segments.
	allow($node, '00000002.history', '00000003.history');
	wait_line($node, 'new target timeline is 2');
	wait_asked($node, after($last, 2));
	wait_held($node, 4);
	pass('the parent\'s segments are held, up to three at and after the fork');
	allow($node, after($last, 2));
	wait_asked($node, $child);
	wait_held($node, 3);
	pass('those are held when the child\'s is asked for');
	my $position = log_position($node);
	allow($node, $child);
	wait_asked($node, $parent);
	allow($node, $parent);
	is(distinct(map { $_->[1] } @{ wait_answers($node, $parent, 2) }), '1',
		'the child\'s is not archived: the parent\'s is refused');
	like(wait_line($node, "could not restore \"$parent\"", $position), qr/may hold another history/, 'as one of another history');
	is(marks($node), 'one', 'and not replayed');

	allow($node, 'all');
	is(switch_wal($new), $child, 'the new primary goes on');
	wait_marks($node, 'three');
	foreach my $round (1 .. 5)
	{
		$new->safe_psql('postgres', "INSERT INTO t SELECT $round, md5(i::text) FROM generate_series(1, 3000) AS i");
		switch_wal($new);
	}
	mark($new, 'four');
	switch_wal($new);
	is(wait_marks($node, 'four'), 'one two three four', 'the standby follows the child');
	is(table_sums($node, qw(t marks)), table_sums($new, qw(t marks)), 'and holds what the new primary holds');
	is(join(' ', grep { $_ ge $parent } delivered($node, 1)), '', 'nothing of the parent at or after the fork was ever delivered');
	unlike(slurp_file($node->logfile), $foreign, 'and no foreign record was seen');
	$node->stop;
	is(junk_after_a_while($node->data_dir), '', 'the server has ended, nothing is left');
}

done_testing();
