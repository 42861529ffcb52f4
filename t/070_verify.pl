# walarch verify finds every kind of damage and names it, with what it means, and
# finds nothing in a healthy archive; walarch list shows what is there, as
# PostgreSQL's own tools see the same WAL.

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

# ---- an archive with two backups and two timelines ----------------------------

my $old = small_primary('old', conf => "wal_keep_size = '512MB'\n");
my $archive = archive_dir($old);

$old->backup('first');
my $new = new_standby('new', $old, 'first', streaming => $old);
$new->start;
my @wal;
for my $n (1 .. 4)
{
	mark($old, "mark$n");
	write_wal($old, $n == 3 ? 2500 : 300);
	$old->safe_psql('postgres', "SELECT pg_create_restore_point('point $n')");
	my $wal = switch_and_archive($old);
	push @wal, $wal;
}
$old->backup('second');
write_wal($old, 200);
push @wal, switch_and_archive($old);
mark($old, 'last');
$old->wait_for_catchup($new);
$old->stop('immediate');
$new->promote;
end_of_recovery($new);
mark($new, 'after');
my $child = switch_wal($new);
wait_objects($archive, '00000002.history', $child);
mark($new, 'later');
my $last = switch_wal($new);
wait_objects($archive, $last);
$new->stop;

my @all = archive_files($archive);
my @segments = grep { /^[0-9A-F]{24}$/ } @all;
my ($partial) = grep { /\.partial$/ } @all;
my @backups = grep { /\.backup$/ } @all;

sub verify
{
	my ($status, $json, $stderr) = run_in('/', $ENV{WALARCH_BIN}, 'verify',
		'--archive', $archive, '--json', @_);
	my $answer = eval { decode_json($json) } // { findings => [] };

	return { %$answer, status => $status, stderr => $stderr };
}

sub findings
{
	my ($got) = @_;
	return join "\n", map { "$_->{severity} $_->{object}: $_->{finding}" }
	  grep { $_->{severity} ne 'notice' } @{ $got->{findings} };
}

my $got = verify();
is(findings($got), '', 'nothing is found in a healthy archive');
is($got->{status}, 0, 'which is exit status 0');
is($got->{unpacked}, scalar @segments, 'every segment was unpacked');
is($got->{raw_bytes}, @segments * 1024 * 1024, 'all of it');
is(findings(verify('--quick')), '', 'nor quickly');

# ---- as PostgreSQL's own tools see it ------------------------------------------

my $raw = PostgreSQL::Test::Utils::tempdir();
my ($records, %times, %points) = (0);
foreach my $wal (@segments)
{
	my $output = '';

	write_binary("$raw/$wal", object_raw($archive, $wal));
	# it complains of the record that goes on in the next segment
	IPC::Run::run([ 'pg_waldump', "$raw/$wal" ], '>', \$output, '2>', \my $complaint);
	my @lines = grep { /^rmgr:/ } split /\n/, $output;
	$records += @lines;
	my @commits = sort map { /desc: (?:COMMIT|ABORT)\S* (\S+ \d\d:\d\d:\d\d)/ ? "$1" : () } @lines;
	$times{$wal} = "$commits[0] $commits[-1]" if @commits;
	$points{$wal} = join ' ', map { /desc: RESTORE_POINT (.*)/ ? $1 : () } @lines;
}
is($got->{records}, $records, "as many records as pg_waldump shows: $records");

sub list
{
	my ($status, $json, $stderr) = run_in('/', $ENV{WALARCH_BIN}, 'list',
		'--archive', $archive, '--json', @_);

	diag($stderr) if $stderr ne '';
	return ($status, decode_json($json));
}

my ($status, $rows) = list('--segments');
is($status, 0, 'list --segments');
is(join(' ', map { $_->{name} } @$rows), "@segments", 'lists the segments');
foreach my $row (@$rows)
{
	my $shown = join ' ', map { s/T/ /r =~ s/Z$//r } grep { defined }
	  $row->{earliest_time}, $row->{latest_time};

	is($shown, $times{ $row->{name} } // '', "$row->{name}: commit times as in pg_waldump");
	is(join(' ', @{ $row->{restore_points} }), $points{ $row->{name} },
		"$row->{name}: restore points as in pg_waldump");
}

($status, $rows) = list('--restore-point', 'point 2');
is($status, 0, 'a restore point is found');
is($rows->[0]{wal}, $wal[1], 'in its segment');
like($points{ $rows->[0]{wal} }, qr/point 2/, 'where pg_waldump sees it, too');
($status, $rows) = list('--restore-point', 'no such');
is("$status " . @$rows, '1 0', 'one that is not there is not');
($status, $rows) = list('--at', ($times{ $wal[1] } =~ s{ \S+ \S+$}{}r) . ' UTC', '--timeline', 1);
ok((grep { $_ eq $rows->{wal} } @segments) && $times{ $rows->{wal} }, 'a time lies in a segment');
($status, $rows) = list('--at', '2100-01-01 UTC');
is("$status " . ($rows->{wal} // 'none'), '1 none', 'a time after all lies in none');

{
	# Central European time, without a data base of time zones
	local $ENV{TZ} = 'CET-1CEST,M3.5.0,M10.5.0/3';

	foreach my $case (
		[ '2026-07-01 12:00', '2026-07-01T10:00:00Z' ], [ '2026-01-01 12:00:30.5', '2026-01-01T11:00:30Z' ],
		[ '2026-07-01T12:00+05:30', '2026-07-01T06:30:00Z' ], [ '2026-07-01 12:00 -03', '2026-07-01T15:00:00Z' ],
		[ '2026-07-01', '2026-06-30T22:00:00Z' ], [ '2026-07-01 12:00Z', '2026-07-01T12:00:00Z' ])
	{
		(undef, $rows) = list('--at', $case->[0]);
		is($rows->{at}, $case->[1], "the time \"$case->[0]\"");
	}
	foreach my $text ('2026-10-25 02:30', '2026-03-29 02:30', '2026-02-31 12:00', '2026-07-01 12:00 CEST',
		'2026-07-01 25:00', 'now', '', '2026-02-31 12:00 UTC', '2026-07-01 12:00:00 UTC x')
	{
		is((run_in('/', $ENV{WALARCH_BIN}, 'list', '--archive', $archive, '--at', $text))[0], 2,
			"\"$text\" is no moment, or not one only");
	}
}

($status, $rows) = list();
is($status, 0, 'the summary: nothing is missing');
is(join(' ', map { $_->{timeline} } @{ $rows->{timelines} }), '1 2', 'two timelines');
is($rows->{timelines}[1]{parent}, 1, 'the second from the first');
is(join(' ', map { "$_->{label} $_->{usable}" } @{ $rows->{backups} }),
	'pg_basebackup base backup 1 pg_basebackup base backup 1', 'two backups');
is(scalar @{ $rows->{recovery_window} }, 4, 'each recoverable along both timelines');
my ($window) = grep { $_->{timeline} == 2 } @{ $rows->{recovery_window} };
like($window->{latest_lsn}, qr{^0/[0-9A-F]+$}, 'with an LSN');
my (undef, $text) = run_in('/', $ENV{WALARCH_BIN}, 'list', '--archive', $archive);
like($text, qr/^ +1 \|[=B]+ *\|$/m, 'the first timeline as a bar');
like($text, qr/^ +2 \| *=+\|$/m, 'the second as another');

# ---- every kind of damage --------------------------------------------------------

sub object { return object_path($archive, $_[0]); }

sub flip
{
	my ($bytes, $at) = @_;

	substr($bytes, $at, 1) = chr(ord(substr($bytes, $at, 1)) ^ 1);
	return $bytes;
}

# Some bits of a zstd frame mean nothing. Flip one without which the stock zstd
# does not give the same bytes.
sub flip_what_matters
{
	my ($file, $bytes) = @_;
	my $good = object_raw($archive, $file);

	for my $at (20 .. length($bytes) - 1)
	{
		my $changed = flip($bytes, $at);
		my $matters = with_bytes(object($file), $changed,
			sub { (object_raw($archive, $file) // '') ne $good });
		return $changed if $matters;
	}
	die "no bit of $file matters";
}

# name, file, its new bytes, what is said, whether that is found quickly, too
my $size = -s object($wal[1]);
my @damage = (
	[ 'a truncated object', $wal[1], sub { substr($_[0], 0, -1) }, qr/does not end with an envelope/, 1 ],
	[ 'half an object', $wal[1], sub { substr($_[0], 0, $size / 2) }, qr/does not end with an envelope/, 1 ],
	[ 'an empty object', $wal[1], sub { '' }, qr/does not end with an envelope/, 1 ],
	[ 'a byte of the body', $wal[1], sub { flip($_[0], 500) }, qr/is damaged|has digest|holds/, 0 ],
	[ 'the first byte', $wal[1], sub { flip($_[0], 0) }, qr/is damaged|not/, 0 ],
	[ 'a byte of the envelope', $wal[1], sub { flip($_[0], -100) }, qr/envelope .* fails its checksum/, 1 ],
	[ 'a byte too many', $wal[1], sub { "$_[0]x" }, qr/does not end with an envelope/, 1 ],
	[ 'another object', $wal[1], sub { object_bytes($archive, $wal[2]) }, qr/holds the object of/, 1 ],
	[ 'a damaged history', '00000002.history', sub { flip($_[0], 20) }, qr/is damaged/, 1 ],
	[ 'a damaged backup history', $backups[0], sub { flip($_[0], 20) }, qr/is damaged/, 1 ],
	[ 'a damaged .partial', $partial, sub { flip_what_matters($partial, $_[0]) }, qr/is damaged|has digest|holds/, 0 ]);

foreach my $case (@damage)
{
	my ($what, $file, $change, $words, $quickly) = @$case;

	with_bytes(
		object($file),
		$change->(object_bytes($archive, $file)),
		sub {
			my $full = verify();
			my @found = grep { $_->{severity} ne 'notice' } @{ $full->{findings} };

			is($full->{status}, 1, "$what: found");
			is($found[0]{object}, object_key($file), "$what: named");
			like($found[0]{finding}, $words, "$what: described");
			isnt($found[0]{consequence}, '', "$what: with its consequence");
			is(scalar @found, 1, "$what: and nothing else") or diag(findings($full));
			is(verify('--quick')->{status}, $quickly, "$what: " . ($quickly ? '' : 'not ') . 'quickly');
		});
}

# A segment that is gone, and what that means.
sub without
{
	my ($wal, $function) = @_;

	rename object($wal), "$raw/away" or die $!;
	$function->();
	rename "$raw/away", object($wal) or die $!;
	return;
}

without(
	$wal[1],
	sub {
		my $full = verify();
		my ($finding) = @{ $full->{findings} };

		is("$finding->{severity} $finding->{object}", "error $wal[1]", 'a missing segment');
		like($finding->{consequence}, qr/on timeline 1 can be recovered from 1 backup begun before it/,
			'concerns the backup before it');
		my ($code, $answer) = list();
		is($code, 1, 'the list says so, too');
		is($answer->{gaps}[0]{first_missing_wal}, $wal[1], 'by name');
		is(scalar @{ $answer->{gaps}[0]{affects_backups} }, 1, 'with the backup');
		(undef, my $drawn) = run_in('/', $ENV{WALARCH_BIN}, 'list', '--archive', $archive);
		like($drawn, qr/^ +1 \|[=B]+x+[=B]+ *\|$/m, 'and shows it in the bar');
	});
without(
	'00000002.history',
	sub {
		like(findings(verify()), qr/error \S*00000002.history\S*: it is missing/, 'a missing history');
	});

# ---- parts of it --------------------------------------------------------------------

is(verify('--since', '2100-01-01 UTC')->{unpacked}, 0, '--since: nothing was archived since');
is(verify('--since', '2000-01-01 UTC')->{unpacked}, scalar @segments, '--since: everything was');
is(verify('--timeline', 2)->{segments}, scalar(grep { /^00000002/ } @segments), '--timeline');
my @sampled = sort { $a <=> $b } map { verify('--sample', $_)->{unpacked} } 30, 50, 70;
cmp_ok($sampled[-1], '>', 0, '--sample unpacks some');
cmp_ok($sampled[0], '<', @segments, 'and not all');

my $resume = "$raw/resume";
(undef, $rows) = list();
my $id = $rows->{archive_id};
write_binary($resume, sprintf("%s 1 %d 3\n", $id, hex(substr($wal[1], 16))));
$got = verify('--resume', $resume);
is($got->{segments}, scalar(grep { $_ gt $wal[1] } @segments), '--resume goes on behind the noted segment');
is("$got->{found_before} $got->{status}", '3 1', 'and does not forget what was found');
ok(!-e $resume, 'the note is removed at the end');
write_binary($resume, "something else\n");
$got = verify('--resume', $resume);
is($got->{status}, 1, 'a file that is no such note');
like($got->{stderr}, qr/does not tell how far/, 'is refused');
is(slurp_binary($resume), "something else\n", 'and left alone');
unlink $resume;

SKIP:
{
	skip 'no strace', 3 unless -x '/usr/bin/strace';
	my $home = fake_datadir('verify', undef);
	my $trace = "$home.trace";
	my $run = ask_begin($home, [ split(' ', "strace -f -qq -o $trace -e trace=openat,pread64 "
			  . '-e inject=pread64:delay_enter=300000') ],
		'verify', '--archive', $archive, '--jobs', 1, '--resume', $resume);

	# one at a time: the first has been read when the second is opened
	wait_until('verify to have read a segment', sub {
		my %opened = map { $_ => 1 } (-e $trace ? slurp_binary($trace) : '') =~ /openat\([^)]*"[^"]*([0-9A-F]{24})\.zst"/g;
		keys %opened > 2;
	});
	my ($child_pid) = split ' ', slurp_binary("/proc/$run->{pid}/task/$run->{pid}/children");
	kill 'TERM', $child_pid // $run->{pid};
	my $end = ask_end({ %$run, traced => 0 });
	is($end->{status}, 1, 'a verify that is interrupted') or diag($end->{message});
	like(-e $resume ? slurp_binary($resume) : '', qr/^$id 1 \d+ 0$/, 'notes how far it came');
	$got = verify('--resume', $resume);
	ok($got->{status} == 0 && $got->{segments} < @segments, 'and goes on from there');
}

# ---- what is no archive ----------------------------------------------------------

foreach my $command ('verify', 'list')
{
	my ($code, undef, $stderr) = run_in('/', $ENV{WALARCH_BIN}, $command, '--archive', $raw);
	is($code, 1, "$command: no archive");
	like($stderr, qr/has no marker/, "$command: says so");
	is((run_in('/', $ENV{WALARCH_BIN}, $command))[0], 2, "$command: none given");
	is((run_in('/', $ENV{WALARCH_BIN}, $command, '--archive', $archive, '--no-such'))[0], 2,
		"$command: a wrong option");
	is((run_in('/', $ENV{WALARCH_BIN}, $command, '--archive', $archive, 'more'))[0], 2,
		"$command: a word too many");
}

done_testing();
