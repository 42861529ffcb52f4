# What lies in the archive already is never overwritten and never taken on
# trust: the same content is found identical, a damaged object is set aside and
# replaced, a valid different one is a conflict until a person acts. And what
# PostgreSQL hands over is looked at, too: what cannot be a file of this cluster
# is refused, what is merely damaged is archived as such and never delivered.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use WalArch;

my $segment_bytes = 1024 * 1024;
my $node = new_primary(
	'main',
	extra => ['--wal-segsize=1'],
	conf => "wal_keep_size = '1GB'\n");
my $archive = archive_dir($node);
my @wal = map { write_wal($node, 20); switch_and_archive($node) } 1 .. 12;
my $backup_name = do
{
	$node->backup('copy');
	wait_archived($node);
	my ($name) = grep { /\.backup$/ } archive_files($archive);
	$name;
};

sub object { return object_path($archive, $_[0]); }
sub source { return data_file($node, "pg_wal/$_[0]"); }

sub flip
{
	my ($bytes, $at) = @_;
	substr($bytes, $at, 1) = chr(ord(substr($bytes, $at, 1)) ^ 0x10);
	return $bytes;
}

# A file for a stopped or running server to archive.
sub craft
{
	my ($name, $bytes) = @_;
	write_binary(source($name), $bytes);
	write_binary(data_file($node, "pg_wal/archive_status/$name.ready"), '');
	return;
}

# --- identical and damaged objects, all at once

$node->stop;
my ($same, $cut, $flipped, $tail, $long, $swap1, $swap2, $empty, $no_envelope, $crossed) = @wal;
my $inode = (stat object($same))[1];
my $backup_inode = (stat object($backup_name))[1];
my %whole = map { $_ => object_bytes($archive, $_) } @wal, $backup_name;

my %damage = (
	'cut in the middle' => [ $cut, substr($whole{$cut}, 0, length($whole{$cut}) / 2) ],
	'with a flipped bit in the body' => [ $flipped, flip($whole{$flipped}, 1000) ],
	'with a flipped bit in the envelope' => [ $tail, flip($whole{$tail}, -40) ],
	'with garbage behind it' => [ $long, $whole{$long} . 'garbage' ],
	'of another name' => [ $swap1, $whole{$swap2} ],
	'of another name, the other way' => [ $swap2, $whole{$swap1} ],
	'empty' => [ $empty, '' ],
	'without its envelope' => [
		$no_envelope,
		do
		{
			# the skippable frame begins where the zstd frame ends
			my $at = rindex($whole{$no_envelope}, "\x2a\x4d\x18");
			substr($whole{$no_envelope}, 0, $at - 1);
		}
	],
	'cut by its last byte' => [ $crossed, substr($whole{$crossed}, 0, -1) ]);
write_binary(object($_->[0]), $_->[1]) for values %damage;
present_again($node, $same, $backup_name, map { $_->[0] } values %damage);

my $before = log_position($node);
$node->start;
wait_archived($node);
my $log = log_since($node, $before);
my $status = status($node);
is($status->{failed_count}, 0, 'nothing failed') or diag($status->{last_error});
is($status->{identical_count}, 2, 'the untouched are found identical');
is((stat object($same))[1], $inode, 'and left alone: the segment');
is((stat object($backup_name))[1], $backup_inode, 'and the .backup file');
is($status->{replaced_count}, scalar keys %damage, 'the damaged were replaced');

my %kept;
for my $name (damaged_files($archive))
{
	$kept{ slurp_binary("$archive/damaged/$name") } = $name;
}
for my $what (sort keys %damage)
{
	my ($name, $bytes) = @{ $damage{$what} };

	object_is($archive, $name, source($name), "an object $what is good again");
	like($kept{$bytes} // 'nothing', qr/^\Q$name\E\.zst\.\d+$/, "the one $what is kept");
	like($log, qr/WARNING: .*copy of "$name" was damaged and has been replaced/,
		"the one $what is in the log");
}
is(join(' ', temporary_files($archive)), '', 'nothing is left in tmp/');

# --- damaged twice: both are kept

$node->stop;
write_binary(object($cut), 'damaged once more');
present_again($node, $cut);
$node->start;
wait_archived($node);
object_is($archive, $cut, source($cut), 'damaged again, replaced again');
is(scalar(grep { /^$cut/ } damaged_files($archive)), 2, 'and both are kept');

# --- a conflict

$node->stop;
my $conflict = $wal[10];
my $original = slurp_binary(source($conflict));
my ($digest_there, $digest_here);
my $there = object_bytes($archive, $conflict);
$inode = (stat object($conflict))[1];
write_binary(source($conflict), flip($original, 100));
present_again($node, $conflict);
$before = log_position($node);
$node->start;
$status = wait_status($node, 'conflict_count > 0');
is($status->{state}, 'failing', 'different content under one name fails');
is($status->{last_error_sqlstate}, '58P02', 'as a conflict');
is($status->{last_failed_wal}, $conflict, 'of that file');
($digest_there, $digest_here) = $status->{last_error} =~
  /in the archive with different content: digest ([0-9a-f]{32}) there \("\Q@{[object($conflict)]}\E"\), ([0-9a-f]{32}) here/;
ok($digest_here, 'both digests are told') or diag($status->{last_error});
isnt($digest_here, $digest_there, 'and differ');
is(object_bytes($archive, $conflict), $there, 'nothing was overwritten');
is((stat object($conflict))[1], $inode, 'nor replaced');
ok(!is_archived($node, $conflict), 'nor acknowledged');
is($status->{conflict_count}, $status->{failed_count}, 'each failure was this conflict');
is(join(' ', temporary_files($archive)), '', 'nothing is left in tmp/');
like($status->{last_error}, qr/ here, where the file is damaged at byte \d+: WAL is damaged at /, 'what is wrong with the file in pg_wal');
like(log_since($node, $before), qr/HINT: .*The file in pg_wal is damaged, the archive's copy is whole/,
	'the hint says whose fault it is');
is((run_in($node->data_dir, $ENV{WALARCH_BIN}, 'get', '--archive', $archive, $conflict, "pg_wal/$conflict"))[0], 0, 'what README advises');
ok(slurp_binary(source($conflict)) eq $original, 'puts the right bytes back');
kick($node);
wait_archived($node);
is(status($node)->{identical_count}, 3, 'with the right file again it is identical');

# --- an object that is there and cannot be read is no damage

SKIP:
{
	skip 'root can read everything', 3 if $> == 0;
	$node->stop;
	my $kept = damaged_files($archive);
	chmod 0000, object($same);
	present_again($node, $same);
	$node->start;
	$status = wait_status($node, "last_error ~ 'Permission denied'");
	is($status->{last_error_sqlstate}, '42501', 'an unreadable object is an error');
	is(scalar(my @now = damaged_files($archive)), $kept, 'and not set aside');
	chmod 0600, object($same);
	kick($node);
	wait_archived($node);
	is(status($node)->{identical_count}, 4, 'once readable, it is identical');
}

# --- what is not ours

$status = status($node);
my $good = slurp_binary(source($wal[0]));
my $number = 0xE0;

# One after the other in order of names: each blocks the next until it is gone.
my @refusals = (
	[ 'a truncated segment', substr($good, 0, -8192), '22023',
		'has 1040384 bytes instead of 1048576' ],
	[ 'a segment of 0 bytes', '', '22023', 'has 0 bytes instead of 1048576' ],
	[ 'a segment that is too long', $good . 'x', '22023',
		'has 1048577 bytes instead of 1048576' ],
	[ 'a segment of another cluster', flip($good, 24), '55000',
		'is WAL of the cluster with system identifier' ],
	[ 'a segment of another segment size',
		substr($good, 0, 32) . pack('V', 16777216) . substr($good, 36), '55000',
		'is WAL with segments of 16777216 bytes' ]);
$node->stop;
for my $refusal (@refusals)
{
	my $name = sprintf('0000000100000000%08X', $number++);
	craft($name, $refusal->[1]);
	unshift @$refusal, $name;
}
$node->start;
for my $refusal (@refusals)
{
	my ($name, $what, undef, $sqlstate, $words) = @$refusal;
	my $row = wait_status($node, "state = 'failing' AND last_failed_wal = '$name'");

	is($row->{last_error_sqlstate}, $sqlstate, "$what is refused with $sqlstate");
	like($row->{last_error}, qr/"pg_wal\/$name" \Q$words\E/, "$what: the message says why");
	ok(!-e object($name), "$what: nothing is stored");
	unlink source($name) or die $!;
	kick($node);
}
wait_archived($node);
is(status($node)->{damaged_source_count}, 0, 'refused is not archived as damaged');

# --- what is damaged

my $short_header = $good;
substr($short_header, 2, 1) = chr(ord(substr($good, 2, 1)) & ~0x02);
my @damaged = (
	[ 'all zeros', "\0" x $segment_bytes, 'magic number 0000' ],
	[ 'a segment under another name', $good, 'begins with the page of' ],
	[ 'a segment without long header', $short_header, 'does not begin with a long WAL page header' ],
	[ 'a later timeline than its name', undef, 'has pages of timeline 9' ]);
$node->stop;
for my $case (@damaged)
{
	my $name = sprintf('0000000100000000%08X', $number++);

	if (!defined $case->[1])
	{
		# the right page address, but pages of timeline 9
		$case->[1] = $good;
		substr($case->[1], 4, 4) = pack('V', 9);
		substr($case->[1], 8, 8) = pack('Q<', hex(substr($name, 16)) * $segment_bytes);
	}
	craft($name, $case->[1]);
	unshift @$case, $name;
}
$before = log_position($node);
$node->start;
wait_archived($node);
$log = log_since($node, $before);
is(status($node)->{damaged_source_count}, scalar @damaged, 'damaged sources are counted')
  or diag(status($node)->{last_error} // '');
for my $case (@damaged)
{
	my ($name, $what, $bytes, $words) = @$case;

	ok(defined object_raw($archive, $name) && object_raw($archive, $name) eq $bytes,
		"$what is archived as it is");
	like($log, qr/WARNING: .*"$name" was archived although it is damaged: .*\Q$words\E/,
		"$what: the log says so");
	my ($exit, undef, $stderr) =
	  get($node->data_dir, '--archive', $archive, '--strict', $name, 'pg_wal/RECOVERYXLOG');
	is($exit, 200, "$what is not delivered");
	like($stderr, qr/already damaged when it was archived: .*\Q$words\E/, "$what: get says why");
	ok(!-e data_file($node, 'pg_wal/RECOVERYXLOG'), "$what: and leaves nothing");
}

# --- two different .partial of one name

my $partial = "$wal[3].partial";
my $first_bytes = slurp_binary(source($wal[3]));
my $second_bytes = flip($first_bytes, 100);
$node->stop;
craft($partial, $first_bytes);
$node->start;
wait_archived($node);
object_is($archive, $partial, source($partial), 'a .partial is stored under its name');
$node->stop;
craft($partial, $second_bytes);
$node->start;
wait_archived($node);
my ($second) = grep { /^\Q$partial\E\./ } archive_files($archive);
like($second // 'none', qr/^\Q$partial\E\.[0-9a-f]{8}$/, 'a different one gets a second name');
is(object_raw($archive, $second), $second_bytes, 'and is whole') if $second;
is(object_raw($archive, $partial), $first_bytes, 'the first is untouched');
my $identical = status($node)->{identical_count};
$node->stop;
present_again($node, $partial);
$node->start;
wait_archived($node);
is(status($node)->{identical_count}, $identical + 1, 'presented again the second is identical');
is(scalar(grep { /^\Q$partial\E/ } archive_files($archive)), 2, 'and gets no third name');

# --- history files

$node->stop;
craft('00000009.history', '');
$node->start;
$status = wait_status($node, "state = 'failing' AND last_failed_wal = '00000009.history'");
is($status->{last_error_sqlstate}, '22023', 'an empty history is refused');
unlink source('00000009.history');
kick($node);
wait_archived($node);
$node->stop;
craft('00000009.history', "1\t0/3000000\tno recovery target specified\n");
$node->start;
wait_archived($node);
$node->stop;
craft('00000009.history', "1\t0/4000000\tno recovery target specified\n");
$node->start;
$status = wait_status($node, "state = 'failing' AND last_failed_wal = '00000009.history'");
is($status->{last_error_sqlstate}, '58P02', 'a second, different history is a conflict');
like(object_raw($archive, '00000009.history'), qr/0\/3000000/, 'the first one stays');
unlink source('00000009.history');
kick($node);
wait_archived($node);
is(join(' ', temporary_files($archive)), '', 'nothing is left in tmp/');
$node->stop;

done_testing();
