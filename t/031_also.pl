# `walarch get --also DIR`: what archive_command left as cp, zstd, gzip and lz4
# make it is restored, too, after ours and with the same proofs; a damaged copy
# is never taken for an absent file, and the switch from cp to walarch loses no
# point in time.

use strict;
use warnings;

use lib 't/lib';

use Get;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WalArch;

my $p = 'pg_wal/RECOVERYXLOG';
my $h = 'pg_wal/RECOVERYHISTORY';
my $top = PostgreSQL::Test::Utils::tempdir();
my $old = "$top/old";

mkdir $old or die "could not make \"$old\": $!";

# ---- a cluster that moves from cp to walarch ------------------------------------

my $node = PostgreSQL::Test::Cluster->new('node');
my $archive = $node->basedir . '/archive';

$node->init(allows_streaming => 1, extra => ['--wal-segsize=1']);
mkdir $archive, 0700 or die "could not make \"$archive\": $!";
$node->append_conf('postgresql.conf', <<"END");
archive_mode = on
archive_command = 'cp "%p" "$old/%f"'
wal_keep_size = '512MB'
autovacuum = off
END
$node->start;
$node->backup('base');
$node->safe_psql('postgres', 'CREATE TABLE t (n int, what text)');

sub fill
{
	my ($from, $to) = @_;

	$node->safe_psql('postgres',
		"INSERT INTO t SELECT n, md5(random()::text) FROM generate_series($from, $to) n");
	return switch_and_archive($node);
}

sub table_of
{
	my ($server) = @_;
	return $server->safe_psql('postgres', 'SELECT count(*), md5(string_agg(what, n::text ORDER BY n)) FROM t');
}

my @by_cp = map { fill($_ * 1000 + 1, ($_ + 1) * 1000) } 0 .. 4;
$node->append_conf('postgresql.conf', <<"END");
archive_command = ''
archive_library = 'walarch'
walarch.archive = '$archive'
END
$node->restart;		# a reload would do, too, after a minute
my @by_walarch = map { fill($_ * 1000 + 1, ($_ + 1) * 1000) } 5 .. 7;
my $table = table_of($node);
my ($wal, @others) = @by_cp;

ok(-e "$old/$_" && !-e object_path($archive, $_), "$_ was archived by cp only") foreach $wal, $by_cp[-1];
ok(!-e "$old/$_" && -e object_path($archive, $_), "$_ was archived by walarch only")
  foreach @by_walarch[ 0, -1 ];

sub from_backup
{
	my ($name, @options) = @_;
	my $server = PostgreSQL::Test::Cluster->new($name);

	$server->init_from_backup($node, 'base');
	$server->append_conf('postgresql.conf', <<"END");
archive_mode = off
restore_command = '"$ENV{WALARCH_BIN}" get --archive "$archive" --retry-for 1 @options "%f" "%p"'
END
	$server->set_recovery_mode;
	return $server;
}

{
	my $server = from_backup('both', '--also', "\"$old\"");

	$server->start;
	$server->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()')
	  or die 'recovery did not end';
	is(table_of($server), $table, 'recovered from both archives: every row');
	$server->stop;

	$server = from_backup('without');
	ok(stops_by_itself($server), 'without --also the recovery stops');
	like(slurp_file($server->logfile), qr/"$by_cp[0]" is missing in the archive, which has "$by_walarch[0]"/,
		'and names the first segment that only --also has');
}
$node->stop;

# ---- one file at a time -----------------------------------------------------------

my $pitr = fake_datadir('pitr', $node, 'recovery.signal');
my $standby = fake_datadir('standby', $node, 'standby.signal');
my $raw = slurp_binary("$old/$wal");
my $history = "1\t0/700000\tno recovery target specified\n";
my $also = "$top/also";
my @at_once = ('--archive', $archive, '--retry-for', 0);
my $absent = '0000000100000000000000F8';

mkdir $also or die "could not make \"$also\": $!";

# Files in the directory of --also for as long as the function runs.
sub with_files
{
	my ($files, $function) = @_;

	write_binary("$also/$_", $files->{$_}) foreach keys %$files;
	$function->();
	unlink map { "$also/$_" } keys %$files;
	return;
}

sub is_delivered
{
	my ($what, $bytes, $got) = @_;

	is("$got->{status} $got->{left}$got->{message}", '0 ', "$what: delivered, silently");
	ok(defined $got->{bytes} && $got->{bytes} eq $bytes, "$what: the very bytes");
	return;
}

sub is_unknown
{
	my ($what, $reason, @words) = @_;
	my $file = $words[-2];

	foreach my $case ([ $pitr, 200 ], [ $standby, 1 ])
	{
		my ($dir, $status) = @$case;
		my $got = ask($dir, @words);

		is("$got->{status} $got->{left}" . ($got->{bytes} // ''), "$status ", "$what: $status, nothing left");
		like($got->{message}, qr/\A[^\n]*\Q${file}\E[^\n]*${reason}[^\n]*\n\z/, "$what: one line says why");
	}
	return;
}

sub is_absent
{
	my ($what, $got) = @_;

	is(join('|', $got->{status}, $got->{message}, $got->{bytes} // '', $got->{left}),
		'1|||', "$what: absent, silently");
	return;
}

# What the real tools make of bytes, as users have them: { name => bytes }.
sub packed
{
	my ($name, $bytes) = @_;
	my $plain = "$top/plain";
	my %made = ($name => $bytes);
	my %tool = (
		zst => [ 'zstd', '-q', '-c', $plain ],
		gz => [ 'gzip', '-c', $plain ],
		lz4 => [ 'lz4', '-q', '-c', $plain ]);

	write_binary($plain, $bytes);
	foreach my $suffix (keys %tool)
	{
		IPC::Run::run($tool{$suffix}, '>', "$top/packed") or die "$suffix: $?";
		$made{"$name.$suffix"} = slurp_binary("$top/packed");
	}
	return \%made;
}

my $packed = packed($wal, $raw);
my $packed_history = packed('00000002.history', $history);

# Other ways the same tools have: from a pipe, so that no size is known, several
# members or frames, other block sizes and checksums, other levels.
my %other_ways = (
	'zstd from a pipe' => [ '.zst', 'zstd -q -c' ],
	'zstd -19 without checksum' => [ '.zst', 'zstd -q -19 --no-check -c' ],
	'zstd -1 with threads' => [ '.zst', 'zstd -q -1 -T2 -c' ],
	'zstd, two frames' => [ '.zst', 'sh -c "head -c 300000 | zstd -q -c; cat | zstd -q -c"' ],
	'gzip -1' => [ '.gz', 'gzip -1 -c' ],
	'gzip, two members' => [ '.gz', 'sh -c "head -c 300000 | gzip -c; cat | gzip -c"' ],
	'lz4 from a pipe' => [ '.lz4', 'lz4 -q -c' ],
	'lz4, small dependent blocks' => [ '.lz4', 'lz4 -q -B4 -BD -c' ],
	'lz4 -9 with block checksums' => [ '.lz4', 'lz4 -q -9 -BX -c' ],
	'lz4, two frames' => [ '.lz4', 'sh -c "head -c 300000 | lz4 -q -c; cat | lz4 -q -c"' ]);

foreach my $name (sort keys %$packed)
{
	with_files({ $name => $packed->{$name} }, sub {
		is_delivered($name, $raw, ask($pitr, @at_once, '--also', $also, $wal, $p));
	});
}
foreach my $name (sort keys %$packed_history)
{
	with_files({ $name => $packed_history->{$name} }, sub {
		is_delivered($name, $history, ask($pitr, @at_once, '--also', $also, '00000002.history', $h));
	});
}
foreach my $what (sort keys %other_ways)
{
	my ($suffix, $command) = @{ $other_ways{$what} };

	system("$command <$old/$wal >$top/packed") == 0 or die "$command: $?";
	with_files({ "$wal$suffix" => slurp_binary("$top/packed") }, sub {
		is_delivered($what, $raw, ask($pitr, @at_once, '--also', $also, $wal, $p));
	});
}

# ---- which is taken ------------------------------------------------------------------

is_delivered('the second directory', $raw, ask($pitr, @at_once, '--also', $also, '--also', $old, $wal, $p));
is_absent('in neither', ask($pitr, @at_once, '--also', $also, '--also', $old, $absent, $p));
is_absent('in neither, history', ask($pitr, @at_once, '--also', $also, '00000002.history', $h));
with_files({ $by_walarch[0] => 'damaged' }, sub {
	is_delivered('ours comes first', slurp_binary(data_file($node, "pg_wal/$by_walarch[0]")),
		ask($pitr, @at_once, '--also', $also, $by_walarch[0], $p));
});
{
	my $object = object_path($archive, $by_walarch[0]);
	my $good = slurp_binary(data_file($node, "pg_wal/$by_walarch[0]"));

	with_files({ $by_walarch[0] => $good }, sub {
		with_bytes($object, 'damaged', sub {
			is_unknown('ours is damaged, another copy is good', qr/\Q$object\E/,
				@at_once, '--also', $also, $by_walarch[0], $p);
		});
	});
}
with_files({ $wal => substr($raw, 0, 300_000), "$wal.gz" => $packed->{"$wal.gz"} }, sub {
	is_delivered('truncated plain copy, good .gz', $raw, ask($pitr, @at_once, '--also', $also, $wal, $p));
});
with_files({ $wal => '', "$wal.lz4" => $packed->{"$wal.lz4"} }, sub {
	is_delivered('empty plain copy, good .lz4', $raw, ask($pitr, @at_once, '--also', $also, $wal, $p));
});
with_files({ $wal => substr($raw, 0, 300_000) }, sub {
	is_delivered('truncated copy, a good one in the second directory', $raw,
		ask($pitr, @at_once, '--also', $also, '--also', $old, $wal, $p));
});

# ---- what is refused ------------------------------------------------------------------

my $foreign = $raw;
substr($foreign, 24, 8) ^= "\1";
my $other_size = $raw;
substr($other_size, 32, 4) = pack 'V', 16 << 20;
my $other_magic = $raw;
substr($other_magic, 0, 2) = "\x97\xD0";
my $later = $raw;
substr($later, 4, 4) = pack 'V', 2;
my $short_header = $raw;
substr($short_header, 2, 2) = pack 'v', unpack('v', substr($raw, 2, 2)) & ~2;

foreach my $case (
	[ 'truncated plain copy', $wal, substr($raw, 0, -1), qr/not a whole WAL segment/ ],
	[ 'plain copy cut to a page', $wal, substr($raw, 0, 8192), qr/not a whole WAL segment/ ],
	[ 'empty plain copy', $wal, '', qr/is truncated/ ],
	[ 'plain copy that is too long', $wal, "$raw\0", qr/\Q$wal\E/ ],
	[ 'plain copy of zeros', $wal, "\0" x length $raw, qr/does not begin with a WAL page/ ],
	[ 'foreign cluster', $wal, $foreign, qr/is WAL of the cluster with system identifier/ ],
	[ 'other segment size', $wal, $other_size, qr/segments of 16777216 bytes/ ],
	[ 'other magic', $wal, $other_magic, qr/magic number D097/ ],
	[ 'no long header', $wal, $short_header, qr/long WAL page header/ ],
	[ 'later timeline inside', $wal, $later, qr/pages of timeline 2/ ],
	[ 'swapped name', $wal, slurp_binary("$old/$others[0]"), qr/begins with the page of/ ])
{
	my ($what, $name, $bytes, $reason) = @$case;

	with_files({ $name => $bytes }, sub { is_unknown($what, $reason, @at_once, '--also', $also, $wal, $p) });
	next if $what =~ /plain/;
	my $other = packed($name, $bytes);
	delete $other->{$name};
	foreach my $packed_name (sort keys %$other)
	{
		with_files({ $packed_name => $other->{$packed_name} }, sub {
			is_unknown("$what, $packed_name", $reason, @at_once, '--also', $also, $wal, $p);
		});
	}
}

foreach my $suffix (qw(zst gz lz4))
{
	my $good = $packed->{"$wal.$suffix"};
	my $length = length $good;
	my @found;

	# Truncated anywhere, and with trailing garbage, it is not delivered wrong,
	# and never called absent.
	foreach my $cut (0 .. 12, map { int($length * $_ / 20) } 1 .. 19)
	{
		push @found, [ "cut to $cut bytes", substr($good, 0, $cut) ];
	}
	push @found, [ "cut by $_", substr($good, 0, -$_) ] foreach 1 .. 12;
	@found = grep { $_->[2] } map {
		my ($what, $bytes) = @$_;
		my $seen;
		with_files({ "$wal.$suffix" => $bytes }, sub {
			my $got = ask($pitr, @at_once, '--also', $also, $wal, $p);
			$seen = "$got->{status} $got->{left}" . (defined $got->{bytes} ? 'delivered' : '');
		});
		[ $what, $bytes, $seen eq '200 ' ? '' : $seen ];
	} @found;
	is(join(', ', map { "$_->[0]: $_->[2]" } @found), '', ".$suffix truncated at many lengths: 200");

	my @flipped;
	foreach my $at (0 .. 20, map { int($length * $_ / 60) } 1 .. 59)
	{
		my $bytes = $good;
		substr($bytes, $at < $length ? $at : -1, 1) ^= "\xFF";
		with_files({ "$wal.$suffix" => $bytes }, sub {
			my $got = ask($pitr, @at_once, '--also', $also, $wal, $p);
			push @flipped, "$at: $got->{status}"
			  unless $got->{status} == 200 || $got->{status} == 0 && $got->{bytes} eq $raw;
		});
	}
	is("@flipped", '', ".$suffix with a byte flipped: refused, or the right bytes");

	with_files({ "$wal.$suffix" => "${good}garbage" }, sub {
		is_unknown(".$suffix with trailing garbage", qr/\Q$wal.$suffix\E/,
			@at_once, '--also', $also, $wal, $p);
	});
}

foreach my $case (
	[ 'empty', '', qr/is empty/ ],
	[ 'zeros', "\0" x 100, qr/00000002\.history/ ],
	[ 'no history', "hello, world\n", qr/00000002\.history/ ],
	[ 'history of its own child', "2\t0/700000\tno\n", qr/00000002\.history/ ])
{
	my ($what, $text, $reason) = @$case;

	with_files({ '00000002.history' => $text }, sub {
		is_unknown("history: $what", $reason, @at_once, '--also', $also, '00000002.history', $h);
	});
}

is_unknown('missing directory', qr/could not open directory "\Q$top\E\/none": No such file/,
	@at_once, '--also', "$top/none", $absent, $p);
is_unknown('missing second directory', qr/could not open directory "\Q$top\E\/none": No such file/,
	@at_once, '--also', $old, '--also', "$top/none", $absent, $p);
is_unknown('a file for a directory', qr/Not a directory/, @at_once, '--also', "$old/$wal", $absent, $p);
is_delivered('a missing directory does not matter when another has it', $raw,
	ask($pitr, @at_once, '--also', "$top/none", '--also', $old, $wal, $p));
mkdir "$also/$wal";
is_unknown('a directory of that name', qr/not a regular file/, @at_once, '--also', $also, $wal, $p);
rmdir "$also/$wal";
POSIX::mkfifo("$also/$wal", 0600) or die "could not make a FIFO: $!";
{
	my $got = ask($pitr, @at_once, '--also', $also, $wal, $p);
	is($got->{status}, 200, 'a FIFO of that name');
	cmp_ok($got->{seconds}, '<', 10, 'a FIFO holds nobody');
}
unlink "$also/$wal";
write_binary("$also/$wal", $raw);
chmod 0, "$also/$wal";
is_unknown('an unreadable copy', qr/Permission denied/, @at_once, '--also', $also, $wal, $p);
unlink "$also/$wal";

# ---- before the first archived file ------------------------------------------------

my $fresh = "$top/fresh";
mkdir $fresh or die "could not make \"$fresh\": $!";
my @fresh = ('--archive', $fresh, '--retry-for', 0);

is_delivered('an empty archive', $raw, ask($pitr, @fresh, '--also', $old, $wal, $p));
{
	my $got = ask($pitr, @fresh, '--also', $old, $absent, $p);

	is("$got->{status}|" . ($got->{bytes} // '') . "|$got->{left}", '1||', 'an empty archive, absent in both');
	is($got->{message}, qq(walarch get: "$absent" is not there, by --also alone: archive directory "$fresh" is empty and has no marker "archive.id"\n),
		'in one line it says who was asked');
	is_absent('an empty archive, the history of timeline 1', ask($pitr, @fresh, '--also', $old, '00000001.history', $h));
}
is_unknown('an empty archive without --also', qr/has no marker/, @fresh, $wal, $p);
mkdir "$fresh/$_" foreach qw(lost+found tmp);
is_delivered('an archive with lost+found and an empty tmp', $raw,
	ask($pitr, @fresh, '--also', $old, $wal, $p));
foreach my $name ('something', 'tmp/something', '.hidden')
{
	write_binary("$fresh/$name", '');
	is_unknown("an archive without marker that holds $name", qr/has no marker/,
		@fresh, '--also', $old, $wal, $p);
	unlink "$fresh/$name";
}
is_delivered('empty again', $raw, ask($pitr, @fresh, '--also', $old, $wal, $p));

# A path that this cluster has archived to is not empty for good reasons.
write_binary("$pitr/walarch.known", slurp_binary(data_file($node, 'walarch.known'))
	  =~ s/\Q$archive\E/$fresh/r);
my $got = ask($pitr, @fresh, '--also', $old, $wal, $p);
is("$got->{status} " . ($got->{message} =~ /has no marker/ ? 'told' : $got->{message}), '200 told',
	'an empty directory this cluster has archived to: a lost mount');
unlink "$pitr/walarch.known";
is_unknown('a missing archive', qr/does not exist/,
	'--archive', "$top/none", '--retry-for', 0, '--also', $old, $wal, $p);

# Without pg_control nothing is known of the cluster, but names and sizes hold.
my $neither = fake_datadir('neither', undef);
is_delivered('without pg_control and marker', $raw, ask($neither, @fresh, '--also', $old, $wal, $p));
with_files({ $wal => substr($raw, 0, 500_000) }, sub {
	is(ask($neither, @fresh, '--also', $also, $wal, $p)->{status}, 200,
		'without pg_control and marker: a truncated copy');
});

done_testing();
