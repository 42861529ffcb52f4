# What `walarch get` answers: 0 only for a file proven to be right, 1 only for
# one proven to be absent (and silently), 200 for everything that is not known,
# which a standby hears as 1 with a message. And that it tries again what may
# pass, gives up in time, and leaves nothing behind.

use strict;
use warnings;

use lib 't/lib';

use File::Copy ();
use Get;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();
use WalArch;

my $primary = new_primary('primary',
	extra => ['--wal-segsize=1'],
	conf => "wal_keep_size = '512MB'\nautovacuum = off\n");
my $archive = archive_dir($primary);
my $p = 'pg_wal/RECOVERYXLOG';
my $h = 'pg_wal/RECOVERYHISTORY';
my @at_once = ('--archive', $archive, '--retry-for', 0);

# ---- an archive with two segments, a damaged one, a history, a .partial -----

my ($wal, $next) = map { write_wal($primary, 60); switch_and_archive($primary) } 1 .. 2;
my $zeros = '0000000100000000000000F0';

write_binary(data_file($primary, "pg_wal/$zeros"), "\0" x (1024 * 1024));
write_binary(data_file($primary, "pg_wal/archive_status/$zeros.ready"), '');
switch_and_archive($primary);
wait_archived($primary, $zeros);

# A promotion leaves a history and a .partial.
$primary->stop;
$primary->append_conf('postgresql.conf', "restore_command = 'exit 1'");
$primary->set_recovery_mode;
$primary->start;
$primary->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()')
  or die 'recovery did not end';
wait_archived($primary, '00000002.history');
my ($partial) = map { s{.*/}{}r } glob(data_file($primary, 'pg_wal/*.partial'));
wait_archived($primary, $partial);
$primary->stop;

my ($raw, $raw_next, $raw_history, $raw_partial) =
  map { slurp_binary(data_file($primary, "pg_wal/$_")) } $wal, $next, '00000002.history', $partial;

my $other = PostgreSQL::Test::Cluster->new('other');
$other->init(extra => ['--wal-segsize=1']);

my $pitr = fake_datadir('pitr', $primary, 'recovery.signal');
my $standby = fake_datadir('standby', $primary, 'standby.signal');
my $neither = fake_datadir('neither', undef);
my $foreign = fake_datadir('foreign', $other, 'recovery.signal');
my $foreign_standby = fake_datadir('foreign_standby', $other, 'standby.signal');

# ---- how answers are judged ---------------------------------------------------

sub is_delivered
{
	my ($what, $bytes, $got) = @_;

	is("$got->{status} $got->{left}$got->{message}", '0 ', "$what: delivered, silently");
	ok(defined $got->{bytes} && $got->{bytes} eq $bytes, "$what: the very bytes")
	  or diag('got ' . (defined $got->{bytes} ? length($got->{bytes}) . ' bytes' : 'nothing'));
	return;
}

sub is_absent
{
	my ($what, $got) = @_;

	is(join('|', $got->{status}, $got->{message}, $got->{bytes} // '', $got->{left}),
		'1|||', "$what: absent, silently, and nothing left");
	return;
}

# What is wrong with a refusal? Empty when nothing is.
sub flaws
{
	my ($got, $status, $file, $reason) = @_;
	my @flaws;

	push @flaws, "status $got->{status}, signal $got->{signal}"
	  unless $got->{status} == $status && $got->{signal} == 0;
	push @flaws, 'a file was delivered' if defined $got->{bytes};
	push @flaws, "left behind: $got->{left}" if $got->{left} ne '';
	push @flaws, 'not one line' unless $got->{message} =~ /\A[^\n]+\n\z/;
	push @flaws, 'does not name the file'
	  if defined $file && index($got->{message}, $file) < 0;
	push @flaws, "no reason like $reason" unless $got->{message} =~ $reason;
	push @flaws, 'does not say what it means'
	  unless $got->{message} =~ ($status == 200 ? qr/recovery stops/ : qr/reported as absent/);
	return join('; ', @flaws) . (@flaws ? ": $got->{message}" : '');
}

my @calling_it_standby;

# Not known: stops recovery, is 1 on a standby, and both can be overridden.
sub is_unknown
{
	my ($what, $reason, @words) = @_;
	my %in = (pitr => $pitr, standby => $standby, ref $words[0] ? %{ shift @words } : ());
	my ($file) = $words[-2] =~ /^(.{1,100})/s;

	is(flaws(ask($in{pitr}, @words), 200, $file, $reason), '', "$what: 200");
	is(flaws(ask($in{standby}, @words), 1, $file, $reason), '', "$what: 1 on a standby");
	is(flaws(ask($in{standby}, '--strict', @words), 200, $file, $reason), '',
		"$what: 200 on a standby with --strict");
	my $lax = ask($in{pitr}, '--no-strict', @words);
	is(flaws($lax, 1, $file, $reason), '', "$what: 1 with --no-strict");
	push @calling_it_standby, $what if $lax->{message} =~ /standby/;
	return;
}

# ---- delivered, absent ----------------------------------------------------------

foreach my $dir ($pitr, $standby, $neither)
{
	my $name = $dir =~ s{.*/}{}r;

	is_delivered("segment, $name", $raw, ask($dir, @at_once, $wal, $p));
	is_delivered("history, $name", $raw_history, ask($dir, @at_once, '00000002.history', $h));
	is_absent("segment, $name", ask($dir, @at_once, '0000000100000000000000F8', $p));
	is_absent("segment of a later timeline, $name",
		ask($dir, @at_once, '00000007' . substr($wal, 8), $p));
	is_absent("history, $name", ask($dir, @at_once, '00000003.history', $h));
	is_absent("history of timeline 1, $name", ask($dir, @at_once, '00000001.history', $h));
}
is_delivered('.partial', $raw_partial, ask($neither, @at_once, $partial, $p));
{
	my $got = ask($pitr, [ 'env', "WALARCH_ARCHIVE=$archive" ], $wal, $p);
	is_delivered('archive from the environment', $raw, $got);
}
is_delivered('archive with slashes too many', $raw,
	ask($pitr, '--archive', "$archive//", $wal, $p));
{
	forget($pitr);
	write_binary("$pitr/$p", 'old');
	my $got = ask_end(ask_begin($pitr, 'get', @at_once, $wal, $p));
	is_delivered('over an existing file', $raw, $got);
	forget($pitr);
	write_binary("$pitr/$p.walarch", 'x' x 3_000_000);
	$got = ask_end(ask_begin($pitr, 'get', @at_once, $wal, $p));
	is_delivered('over the temporary of a killed command', $raw, $got);
}

# ---- the archive is not what it should be --------------------------------------

my $elsewhere = PostgreSQL::Test::Utils::tempdir();
my $marker = "$archive/archive.id";
my $marker_text = slurp_binary($marker);

is_unknown('missing archive directory', qr/does not exist/,
	'--archive', "$elsewhere/none", '--retry-for', 0, $wal, $p);
is_unknown('missing archive directory, history', qr/does not exist/,
	'--archive', "$elsewhere/none", '--retry-for', 0, '00000002.history', $h);
is_unknown('relative archive directory', qr/not an absolute path/,
	'--archive', 'archive', $wal, $p);
is_unknown('archive is a file', qr/is not a directory/,
	'--archive', $marker, '--retry-for', 0, $wal, $p);
is_unknown('empty directory, as of a lost mount', qr/has no marker/,
	'--archive', $elsewhere, '--retry-for', 0, $wal, $p);

rename $marker, "$elsewhere/kept" or die "could not rename: $!";
is_unknown('missing marker', qr/has no marker/, @at_once, $wal, $p);
is_unknown('missing marker, a file that is not there', qr/has no marker/,
	@at_once, '0000000100000000000000F8', $p);
mkdir $marker or die "could not make \"$marker\": $!";
is_unknown('marker is a directory', qr/not a regular file/, @at_once, $wal, $p);
rmdir $marker;
rename "$elsewhere/kept", $marker or die "could not rename: $!";

chmod 0, $marker;
is_unknown('unreadable marker', qr/archive\.id.*Permission denied/, @at_once, $wal, $p);
chmod 0600, $marker;

foreach my $case (
	[ 'empty marker', '', qr/archive\.id" is not the marker/ ],
	[ 'marker of zeros', "\0" x 100, qr/archive\.id" is not the marker/ ],
	[ 'marker without its end', substr($marker_text, 0, 40), qr/archive\.id" is not the marker/ ],
	[ 'marker of a later version', $marker_text =~ s/: 1$/: 2/mr, qr/format version 2/ ],
	[ 'marker with a requirement', "${marker_text}requires-magic: 1\n", qr/requires-magic/ ],
	[   'marker of another segment size',
		$marker_text =~ s/segment-size: \d+/segment-size: 16777216/r,
		qr/segments of 16777216 bytes/ ])
{
	my ($what, $text, $reason) = @$case;
	with_bytes($marker, $text, sub { is_unknown($what, $reason, @at_once, $wal, $p) });
}
with_bytes($marker, "${marker_text}motto: carpe diem\n",
	sub { is_delivered('marker with an unknown line', $raw, ask($pitr, @at_once, $wal, $p)) });

is_unknown('archive of another cluster', qr/is the archive of the cluster with system identifier/,
	{ pitr => $foreign, standby => $foreign_standby }, @at_once, $wal, $p);
is_unknown('archive of another cluster, history',
	qr/is the archive of the cluster with system identifier/,
	{ pitr => $foreign, standby => $foreign_standby }, @at_once, '00000002.history', $h);
is_unknown('archive of another cluster, absent',
	qr/is the archive of the cluster with system identifier/,
	{ pitr => $foreign, standby => $foreign_standby },
	@at_once, '0000000100000000000000F8', $p);

rename "$archive/wal", "$archive/wal.gone" or die "could not rename: $!";
is_unknown('wal/ is gone', qr{could not open directory "\Q$archive\E/wal"}, @at_once, $wal, $p);
rename "$archive/wal.gone", "$archive/wal" or die "could not rename: $!";

my $control = slurp_binary("$pitr/global/pg_control");
substr($control, 100, 1) ^= "\1";
with_bytes("$pitr/global/pg_control", $control, sub {
	with_bytes("$standby/global/pg_control", '', sub {
		is_unknown('damaged pg_control', qr/global\/pg_control" (?:fails its checksum|is truncated)/,
			@at_once, $wal, $p);
	});
});

# ---- the object is not what it should be ------------------------------------------

my $object = object_path($archive, $wal);
my $history = object_path($archive, '00000002.history');
my $good = slurp_binary($object);
my $good_history = slurp_binary($history);
my $good_next = slurp_binary(object_path($archive, $next));
my $envelope_bytes = unpack 'V', substr($good, -16, 4);

# The object with its envelope changed, and the checksum made right again.
sub with_envelope
{
	my ($bytes, $change) = @_;
	my $length = unpack 'V', substr($bytes, -16, 4);
	my $body = substr($bytes, 0, length($bytes) - $length);
	my $envelope = substr($bytes, -$length);

	($body, $envelope) = $change->($body, $envelope);
	substr($envelope, -12, 4) = pack 'V', crc32c(substr($envelope, 0, -12));
	return $body . $envelope;
}

sub at { my ($at, $value) = @_; return sub { my ($b, $e) = @_; substr($e, $at, length $value) = $value; ($b, $e) } }

sub with_body
{
	my ($body) = @_;
	return sub { my ($b, $e) = @_; substr($e, 88, 8) = pack 'Q<', length $body; ($body, $e) };
}

my $body = substr($good, 0, length($good) - $envelope_bytes);
my $body_next = substr($good_next, 0, length($good_next) - unpack('V', substr($good_next, -16, 4)));

is_delivered('the envelope made anew', $raw,
	scalar with_bytes($object, with_envelope($good, at(112, "\1")), sub { ask($pitr, @at_once, $wal, $p) }));
foreach my $case (
	[ 'empty object', '', qr/truncated/ ],
	[ 'object without its envelope', $body, qr/truncated/ ],
	[ 'object without its body', substr($good, length $body), qr/contradicts/ ],
	[ 'object of zeros', "\0" x length $good, qr/does not end with an envelope/ ],
	[ 'trailing byte', "$good\0", qr/does not end with an envelope/ ],
	[ 'trailing page', $good . "\0" x 4096, qr/does not end with an envelope/ ],
	[ 'twice the object', $good . $good, qr/contradicts/ ],
	[ 'two objects in one', $good . $good_next, qr/contradicts/ ],
	[ 'leading byte', "\0$good", qr/contradicts/ ],
	[ 'swapped name', $good_next, qr/holds the object of "$next"/ ],
	[ 'history under its name', $good_history, qr/holds the object of "00000002\.history"/ ],
	[   'body of another object', with_envelope($good, with_body($body_next)),
		qr/has digest [0-9a-f]{32} instead of [0-9a-f]{32}/ ],
	[   'twice the body', with_envelope($good, with_body("$body$body")),
		qr/\Q$wal\E/ ],
	[   'another digest', with_envelope($good, at(96, "\0" x 16)),
		qr/instead of 0{32}/ ],
	[   'another size', with_envelope($good, at(80, pack 'Q<', length($raw) + 1)),
		qr/\Q$wal\E/ ],
	[   'another WAL page magic', with_envelope($good, at(14, "\x01\xD1")), qr/magic number/ ],
	[   'another system identifier', with_envelope($good, at(64, "\1" x 8)),
		qr/belongs to the cluster with system identifier/ ],
	[   'another segment size', with_envelope($good, at(76, pack 'V', 16 << 20)),
		qr/belongs to the cluster/ ],
	[   'later format version', with_envelope($good, at(8, pack 'v', 2)),
		qr/format version 2; this walarch knows version 1/ ],
	[   'format version 0', with_envelope($good, at(8, pack 'v', 0)), qr/format version 0/ ])
{
	my ($what, $bytes, $reason) = @$case;
	with_bytes($object, $bytes, sub { is_unknown($what, $reason, @at_once, $wal, $p) });
}
is_unknown('damaged at its source', qr/was already damaged when it was archived/,
	@at_once, $zeros, $p);

chmod 0, $object;
is_unknown('unreadable object', qr/\Q$object\E.*Permission denied/, @at_once, $wal, $p);
chmod 0600, $object;

rename $object, "$elsewhere/kept" or die "could not rename: $!";
mkdir $object or die "could not make \"$object\": $!";
is_unknown('object is a directory', qr/\Q$object\E.*not a regular file/, @at_once, $wal, $p);
rmdir $object;
symlink $object, $object or die "could not link \"$object\": $!";
is_unknown('object is a link to itself', qr/\Q$object\E/, @at_once, $wal, $p);
unlink $object;
rename "$elsewhere/kept", $object or die "could not rename: $!";

# Of a history nothing escapes: each length, each byte, each bit.
sub flaws_of_variants
{
	my ($path, $file, $to, @variants) = @_;
	my @found;

	foreach my $variant (@variants)
	{
		my ($what, $bytes) = @$variant;
		my $got = with_bytes($path, $bytes, sub { ask($pitr, @at_once, $file, $to) });
		my $flaw = flaws($got, 200, $file, qr/\Q$file\E/);
		push @found, "$what: $flaw" if $flaw ne '';
	}
	return join "\n", @found[ 0 .. ($#found < 4 ? $#found : 4) ];
}

sub flip
{
	my ($bytes, $at, $mask) = @_;

	substr($bytes, $at, 1) ^= chr $mask;
	return $bytes;
}

sub cut { my ($bytes, $length) = @_; return [ "cut to $length bytes", substr($bytes, 0, $length) ]; }
sub flipped { my ($bytes, $at) = @_; return [ "byte $at flipped", flip($bytes, $at, 0xFF) ]; }

is(flaws_of_variants($history, '00000002.history', $h,
		map { cut($good_history, $_) } 0 .. length($good_history) - 1),
	'', 'a history truncated at each length');
is(flaws_of_variants($history, '00000002.history', $h,
		map { flipped($good_history, $_) } 0 .. length($good_history) - 1),
	'', 'a history with each byte flipped');

# And of a segment: all of both ends, and many places between.
my $size = length $good;
my %places = map { $_ => 1 } 0 .. 40, $size - $envelope_bytes - 8 .. $size - 1,
  map { int($_ * $size / 150) } 0 .. 149;
my @places = sort { $a <=> $b } grep { $_ >= 0 && $_ < $size } keys %places;

is(flaws_of_variants($object, $wal, $p, map { cut($good, $_) } @places),
	'', "a segment's object truncated at " . @places . ' lengths');
is(flaws_of_variants($object, $wal, $p, map { flipped($good, $_) } @places),
	'', "a segment's object with a byte flipped at " . @places . ' places');

# A single bit may be one that zstd defines as meaningless.
my @wrong;
foreach my $bit (map { int($_ * 8 * $size / 199) } 0 .. 198)
{
	my $got = with_bytes($object, flip($good, $bit >> 3, 1 << ($bit & 7)),
		sub { ask($pitr, @at_once, $wal, $p) });
	push @wrong, "bit $bit: $got->{status} $got->{message}"
	  unless $got->{status} == 200
	  || $got->{status} == 0 && $got->{bytes} eq $raw;
}
is("@wrong", '', 'a single bit flipped: refused, or delivered right');
is_delivered('after all that', $raw, ask($pitr, @at_once, $wal, $p));

# ---- wrong usage --------------------------------------------------------------

foreach my $case (
	[ 'no argument', qr/two arguments/ ],
	[ 'one argument', qr/two arguments/, @at_once, $wal ],
	[ 'three arguments', qr/two arguments/, @at_once, $wal, $p, $p ],
	[ 'no archive', qr/no archive was given/, $wal, $p ],
	[ 'unknown option', qr/unknown option "--retries"/, @at_once, '--retries', $wal, $p ],
	[ 'unknown short option', qr/unknown option "-v"/, @at_once, '-v', $wal, $p ],
	[ 'unknown short options', qr/unknown option "-vx"/, @at_once, '-vx', $wal, $p ],
	[ 'value for a switch', qr/unknown option "--strict=1"/, @at_once, '--strict=1', $wal, $p ],
	[ 'option without its value', qr/option "--also" needs a value/, @at_once, $wal, $p, '--also' ],
	[ 'bad --retry-for', qr/--retry-for/, '--archive', $archive, '--retry-for', '1m', $wal, $p ],
	[ 'negative --retry-for', qr/--retry-for/, '--archive', $archive, '--retry-for=-1', $wal, $p ],
	[ 'bad --timeout', qr/--timeout/, @at_once, '--timeout', '0', $wal, $p ],
	[ 'empty --timeout', qr/--timeout/, @at_once, '--timeout', '', $wal, $p ],
	[ '--until is no WAL file', qr/"today" is not the name/, @at_once, '--until', 'today', $wal, $p ],
	[ '--until is no segment', qr/--until needs/, @at_once, '--until', '00000002.history', $wal, $p ])
{
	my ($what, $reason, @words) = @$case;

	is(flaws(ask($pitr, @words), 200, undef, $reason), '', "$what: 200");
	is(flaws(ask($standby, @words), 1, undef, $reason), '', "$what: 1 on a standby");
}

foreach my $case (
	[ 'a backup label', 'backup_label' ],
	[ 'lower case', lc '0000000A0000000000000001' ],
	[ 'too short', substr($wal, 1) ],
	[ 'too long', "${wal}0" ],
	[ 'much too long', 'A' x 5000 ],
	[ 'empty', '' ],
	[ 'slash before', "/$wal" ],
	[ 'path upwards', "../../$wal" ],
	[ 'path downwards', substr($wal, 0, 16) . "/$wal" ],
	[ 'our suffix', "$wal.zst" ],
	[ 'timeline 0', '0' x 24 ])
{
	my ($what, $file) = @$case;

	is_unknown("%f, $what", $file eq '' ? qr/"" is not the name/ : qr/is not the name of/,
		@at_once, $file, $p);
}

is_unknown('%p in a missing directory', qr/pg_wal\/none.*No such file/,
	@at_once, $wal, 'pg_wal/none/RECOVERYXLOG');
is_unknown('%p too long', qr/is too long/, @at_once, $wal, 'pg_wal/' . 'x/' x 2000);
mkdir "$_/pg_wal.dir" foreach $pitr, $standby;
is_unknown('%p is a directory', qr/pg_wal\.dir/, @at_once, $wal, 'pg_wal.dir');

foreach my $case (
	[ 'unknown subcommand', 'got', @at_once, $wal, $p ],
	[ 'option before the subcommand', '--archive', $archive, 'get', $wal, $p ],
	[ 'no subcommand' ])
{
	my ($what, @words) = @$case;
	my $seen = join ' ', map { ask_end(ask_begin($_, @words))->{status} } $pitr, $standby, $neither;

	is($seen, '200 1 2', "$what: stops recovery, not a standby, and is 2 elsewhere");
}

# ---- whether and how long it tries again ------------------------------------------

# In recovery it tries for 30 s if nothing is said: less than that, by as much
# as a busy machine allows.
my $soon = 20;

sub get_while_away
{
	my ($seconds, @words) = @_;

	rename $archive, "$archive.away" or die "could not rename: $!";
	forget($pitr);
	my $run = ask_begin($pitr, 'get', @words);
	Time::HiRes::sleep($seconds);
	rename "$archive.away", $archive or die "could not rename: $!";
	return ask_end($run);
}

{
	my $got = get_while_away(2, '--archive', $archive, '--retry-for', 30, $wal, $p);
	is_delivered('an archive that appears after 2 s', $raw, $got);
	cmp_ok($got->{seconds}, '<', $soon, 'and soon after');
}

sub seconds_of_failure
{
	my ($what, $dir, $status, $reason, $least, $most, @words) = @_;
	my $got = ask($dir, @words);

	is(flaws($got, $status, $wal, $reason), '', $what);
	cmp_ok($got->{seconds}, '>=', $least, "$what: not before $least s");
	cmp_ok($got->{seconds}, '<', $most, "$what: within $most s");
	return;
}

seconds_of_failure('--retry-for 0', $pitr, 200, qr/does not exist/, 0, $soon,
	'--archive', "$elsewhere/none", '--retry-for', 0, $wal, $p);
seconds_of_failure('--retry-for 2', $pitr, 200, qr/does not exist/, 0.9, $soon,
	'--archive', "$elsewhere/none", '--retry-for', 2, $wal, $p);
seconds_of_failure('a standby tries for 5 s', $standby, 1, qr/does not exist/, 3.5, $soon,
	'--archive', "$elsewhere/none", $wal, $p);
with_bytes($object, substr($good, 1), sub {
	seconds_of_failure('damage is not tried again', $pitr, 200, qr/\Q$wal\E/, 0, $soon,
		'--archive', $archive, $wal, $p);
});
seconds_of_failure('another cluster is not tried again', $foreign, 200,
	qr/system identifier/, 0, $soon, '--archive', $archive, $wal, $p);
{
	my $got = ask($pitr, '--archive', $archive, '0000000100000000000000F8', $p);
	is_absent('absence is believed at once', $got);
	cmp_ok($got->{seconds}, '<', $soon, 'absence is believed at once');
}

# ---- --until ------------------------------------------------------------------------

sub status_with_until
{
	my ($until, $file) = @_;
	my $got = ask($pitr, @at_once, '--until', $until, $file, $p);

	return $got->{status} . ($got->{message} =~ /past --until and is reported as absent/ ? ' told' : '');
}

my $later = '00000003' . substr($wal, 8);
is(status_with_until($wal, $next), '0', '--until: a later segment is delivered');
is(status_with_until($wal, '0000000100000000000000F8'), '1', '--until: absence stays silent');
mkdir "$archive/wal/" . substr($later, 0, 16) or die "could not make a directory: $!";
File::Copy::copy($object, object_path($archive, $later)) or die "could not copy: $!";
with_bytes($object, 'damaged', sub {
	my $before = substr($wal, 0, 22) . '00';

	is(status_with_until($before, $wal), '1 told', '--until: a later segment fails as 1');
	is(status_with_until('00000009' . substr($before, 8), $wal), '1 told',
		'--until: by number, whatever the timeline of --until');
	is(status_with_until($before, $later), '1 told',
		'--until: by number, whatever the timeline of the segment');
	is(status_with_until($wal, $wal), '200', '--until: the last segment needed still stops');
	is(status_with_until($next, $wal), '200', '--until: so does an earlier one');
	is(status_with_until('00000001FFFFFFFF00000000', $wal), '200',
		'--until: the high half counts');
});
unlink object_path($archive, $later);
rmdir "$archive/wal/" . substr($later, 0, 16);
{
	my $got = ask($pitr, '--archive', "$elsewhere/none", '--until', $wal, $next, $p);

	is(flaws($got, 1, $next, qr/lies past --until/), '', '--until: whatever the failure');
	cmp_ok($got->{seconds}, '<', $soon, '--until: without trying again');
	my $far = '000000010000000100000000';
	is(flaws(ask($pitr, '--archive', "$elsewhere/none", '--until', $wal, $far, $p), 1, $far,
			qr/lies past --until/), '', '--until: a higher high half is later');
	is(flaws(ask($pitr, @at_once, '--archive', "$elsewhere/none", '--until', $wal,
				'00000002.history', $h), 200, '00000002.history', qr/does not exist/),
		'', '--until: does not concern histories');
	like(ask($pitr, '--archive', "$elsewhere/none", '--retry-for', 0, $wal, $p)->{message},
		qr/--until SEGMENT.*recovery_prefetch = off/, 'the message of a 200 names the way out');
}

# ---- the last question of a recovery --------------------------------------------------

# Its signal file is gone already: stopping now would bring the server up again
# on the old timeline, as if it had never been restored.
my $opening = fake_datadir('opening', $primary);
is(flaws(ask($opening, '--archive', "$elsewhere/none", '--retry-for', 0, '00000002.history', $h),
		1, '00000002.history', qr/server is being opened/),
	'', 'the history asked for when the server is being opened');
is(flaws(ask($opening, '--archive', "$elsewhere/none", '--retry-for', 0, $wal, $p),
		200, $wal, qr/does not exist/), '', 'but a segment still stops');

# ---- signals, closed descriptors, calls that do not return ---------------------------

foreach my $closed ('2>&-', '1>&- 2>&-', '0<&- 1>&- 2>&-')
{
	my @shell = ('sh', '-c', "exec \"\$0\" \"\$@\" $closed");
	my $got = ask($pitr, \@shell, @at_once, $wal, $p);

	is_delivered("with $closed", $raw, $got);
	with_bytes($object, substr($good, 1), sub {
		$got = ask($pitr, \@shell, @at_once, $wal, $p);
		is("$got->{status} $got->{left}", '200 ', "with $closed: a failure is one, and nothing left");
	});
	ok(slurp_binary("$pitr/global/pg_control") eq slurp_binary("$standby/global/pg_control"),
		"with $closed: no message went into a file");
}
{
	my @shell = ('sh', '-c', 'exec "$0" "$@" 2>/dev/full');
	my $got = ask($pitr, \@shell, @at_once, '0000000100000000000000ZZ', $p);
	is($got->{status}, 200, 'a message that cannot be written changes nothing');
}
{
	my @shell = ('sh', '-c', 'ulimit -f 100; exec "$0" "$@"');
	my $got = ask($pitr, \@shell, @at_once, $wal, $p);
	is(flaws($got, 200, $wal, qr/RECOVERYXLOG\.walarch.*File too large/), '',
		'a full pg_wal is a failure, not a death');
}

# With -D the traced command stays our own child.
my @hang = ('strace', '-D', '-f', '-qq', '-o', "$elsewhere/strace", '-P', $object,
	'-e', 'trace=pread64', '-e', 'inject=pread64:delay_enter=60000000:when=2');

SKIP:
{
	skip 'strace does not work here', 9
	  unless (system("strace -D -qq -o /dev/null true 2>/dev/null") == 0);

	foreach my $signal (qw(TERM INT HUP QUIT))
	{
		forget($pitr);
		my $run = ask_begin($pitr, \@hang, 'get', @at_once, $wal, $p);
		wait_until('the command to be in the middle', sub { -e "$pitr/$p.walarch" });
		kill $signal, $run->{pid};
		my $got = ask_end($run);
		my %number = (TERM => 15, INT => 2, HUP => 1, QUIT => 3);

		is("$got->{signal} $got->{left}$got->{message}", "$number{$signal} ",
			"SIG$signal: dies of it, silently, and leaves nothing");
	}

	# A closed descriptor is given to the next file opened, unless it is held.
	forget($pitr);
	my $run = ask_begin($pitr, [ @hang, 'sh', '-c', 'exec "$0" "$@" 2>&-' ], 'get', @at_once, $wal, $p);
	wait_until('the command to be in the middle', sub { -e "$pitr/$p.walarch" });
	is(readlink("/proc/$run->{pid}/fd/2"), '/dev/null', 'a closed stderr is nobody else\'s');
	kill 'TERM', $run->{pid};
	ask_end($run);

	foreach my $case ([ $pitr, 200 ], [ $standby, 1 ])
	{
		my ($dir, $status) = @$case;
		my $got = ask($dir, \@hang, '--archive', $archive, '--timeout', 1, $wal, $p);

		is(flaws($got, $status, $wal, qr/has not come back for 1 s/), '',
			"a read that hangs: $status, and nothing left");
		cmp_ok($got->{seconds}, '<', 15, 'a read that hangs: given up in time');
	}
}
is("@calling_it_standby", '', '--no-strict does not promise what a standby would do');
is_delivered('at the end', $raw, ask($pitr, @at_once, $wal, $p));

done_testing();
