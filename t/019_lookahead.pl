# A backlog is read ahead: segments become visible in order, are read and
# compressed once, and share the sync of their directory. Whatever happens in
# the middle of it (other settings, another archive, failures, a full or
# unwritable archive, a crash, a shutdown, a new timeline), the archive holds
# what was acknowledged and nothing behind a hole.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use POSIX ();
use Time::HiRes ();

use RootHelper;
use WalArch;

my $can_trace = root_available('strace', 'kill');
my $can_mount = root_available('tmpfs', 'umount');

my $node = new_primary(
	'main',
	extra => ['--wal-segsize=1'],
	conf => "wal_keep_size = '2GB'\nmax_wal_size = '2GB'\nrestart_after_crash = on\n");
my $archive = archive_dir($node);
switch_and_archive($node);

# So many segments that wait, while nothing is archived; their names.
sub backlog
{
	my ($count) = @_;

	set_conf($node, 'walarch.archive', '');
	wait_status($node, "state = 'unconfigured'");
	switch_wal($node);
	my $names = $node->safe_psql('postgres',
		"SELECT pg_walfile_name(pg_switch_wal()) FROM generate_series(1, $count) AS i "
		  . "WHERE pg_logical_emit_message(false, 'walarch test', (SELECT string_agg("
		  . "decode(md5(random()::text), 'hex'), '') FROM generate_series(1, 20000 + i * 0))) IS NOT NULL");
	my @wal = split /\n/, $names;

	die "not $count segments: $names" unless @wal == $count;
	return grep { !is_archived($node, $_) } waiting();
}

# What PostgreSQL wants archived, in its order.
sub waiting
{
	return sort map { /^([0-9A-F]{24})\.ready$/ ? $1 : () }
	  slurp_dir(data_file($node, 'pg_wal/archive_status'));
}

sub archived { return scalar grep { is_archived($node, $_) } @_; }

# The last is looked at first: what becomes visible meanwhile, in order, makes no
# hole then.
sub visible
{
	my ($dir, @wal) = @_;
	my @visible = reverse grep { -e object_path($dir, $_) } reverse @wal;

	return @visible;
}

# Are those visible the first of all?
sub no_hole
{
	my ($dir, $what, @wal) = @_;
	my @visible = visible($dir, @wal);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is("@visible", join(' ', @wal[ 0 .. $#visible ]), "$what: visible are the first, without a hole");
	return;
}

sub all_whole
{
	my ($dir, $what, @wal) = @_;
	my @broken = grep { (object_raw($dir, $_) // '') ne slurp_binary(data_file($node, "pg_wal/$_")) } @wal;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is("@broken", '', "$what: all are there and whole");
	is(join(' ', temporary_files($dir)), '', "$what: nothing is left in tmp/");
	return;
}

my $traces = 0;

sub trace
{
	my (@args) = @_;
	my $out = $node->basedir . '/strace.' . ++$traces;

	return (root_do('strace', archiver_pid($node), $out, '--', '-f', '-y', @args), $out);
}

# So slow that there is a middle.
sub slow_down
{
	return (trace('-e', 'trace=fsync', '-e', 'inject=fsync:delay_enter=40000'))[0];
}

# A backlog that is being archived, slowly, when at least so many of it are: the
# tracer, and their names. A test that was held up for so long that the middle
# went by has to try again.
sub middle_of_backlog
{
	my ($count, $least) = @_;
	my @wal = backlog($count);
	my $tracer = slow_down();

	set_conf($node, 'walarch.archive', $archive);
	wait_until('a part of the backlog', sub { archived(@wal) >= $least });
	return ($tracer, @wal);
}

# --- order, and what it costs

for my $workers (1, 2, 4)
{
	set_conf($node, 'walarch.workers', $workers);
	my @wal = backlog(40);
	my ($tracer, $out) = $can_trace
	  ? trace('-e', 'trace=openat,fsync,renameat2')
	  : ();
	set_conf($node, 'walarch.archive', $archive);
	wait_archived($node);
	root_do('kill', $tracer) if $tracer;
	all_whole($archive, "$workers workers", @wal);
	my %ctime = map { $_ => (Time::HiRes::stat(object_path($archive, $_)))[10] } @wal;
	my @order = sort { $ctime{$a} <=> $ctime{$b} || $a cmp $b } @wal;
	is("@order", "@wal", "$workers workers: in order");

	SKIP:
	{
		skip 'tracing system calls needs root and strace', 4 unless $tracer;

		my $story = by_keys(slurp_file($out));
		my @named = $story =~ /renameat2\([^"\n]*"tmp\/[^"\n]*", [^"\n]*"wal\/[0-9A-F]{16}\/([0-9A-F]{24})\.zst"/g;
		my %read;
		$read{$1}++ while $story =~ /openat\([^"\n]*"pg_wal\/([0-9A-F]{24})", O_RDONLY/g;
		my @written = $story =~ /openat\([^"\n]*"tmp\/[0-9a-f]+-\d+", \S*O_CREAT/g;
		my @synced = $story =~ /fsync\(\d+<[^>\n]*\/wal\/[0-9A-F]{16}>/g;
		is("@named", "@wal", "$workers workers: named in PostgreSQL's order");
		is(join(' ', grep { ($read{$_} // 0) != 1 } @wal), '', "$workers workers: each is read once");
		is(scalar @written, scalar @wal, "$workers workers: each is compressed once");
		cmp_ok(scalar @synced, $workers == 1 ? '<=' : '<', scalar @wal,
			"$workers workers: " . @synced . ' syncs of the directory for ' . @wal . ' segments');
	}
}

# --- the level

my @wal = backlog(30);
set_conf($node, 'walarch.archive', $archive);
wait_archived($node);
is(status($node)->{compression_level}, 1, 'a backlog is compressed at the catch-up level');
switch_and_archive($node);
is(status($node)->{compression_level}, 3, 'what comes after it is not');

SKIP:
{
	skip 'slowing down an archiver needs root and strace', 24 unless $can_trace;

	# --- other settings in the middle

	set_conf($node, 'walarch.workers', 2);
	@wal = backlog(40);
	my $tracer = slow_down();
	set_conf($node, 'walarch.archive', $archive);
	my $at = 3;
	for my $setting ([ 'workers', 4 ], [ 'catchup_level', 9 ], [ 'compression_level', 5 ], [ 'workers', 1 ])
	{
		wait_until('a part of the backlog', sub { archived(@wal) >= $at });
		set_conf($node, "walarch.$setting->[0]", $setting->[1]);
		$at += 5;
	}
	root_do('kill', $tracer);
	wait_archived($node);
	all_whole($archive, 'other settings in the middle', @wal);
	set_conf($node, "walarch.$_->[0]", $_->[1])
	  for [ 'workers', 2 ], [ 'catchup_level', 1 ], [ 'compression_level', 3 ];

	# --- another archive in the middle

	my $second = $node->basedir . '/second';
	mkdir $second, 0700 or die "could not make \"$second\": $!";
	for (1 .. 10)
	{
		($tracer, @wal) = middle_of_backlog(40, 5);
		set_conf($node, 'walarch.archive', $second);
		wait_until('the rest to begin', sub { visible($second, @wal) > 0 || archived(@wal) == @wal });
		root_do('kill', $tracer);
		last if visible($second, @wal) > 0;
	}
	wait_archived($node);
	my @old = visible($archive, @wal);
	my @new = visible($second, @wal);
	cmp_ok(scalar @old, '>=', 5, 'what was acknowledged before is in the old archive');
	cmp_ok(scalar @old, '<', scalar @wal, 'not all');
	is("@old", join(' ', @wal[ 0 .. $#old ]), 'the first ones');
	is("@new", join(' ', @wal[ @wal - @new .. $#wal ]), 'the last ones are in the new one');
	cmp_ok(@old + @new, '>=', scalar @wal, 'and none is missing in both');
	all_whole($archive, 'the old archive', @old);
	all_whole($second, 'the new archive', @new);

	# --- switched off in the middle, and another archive under the same path

	my $third = $node->basedir . '/third';
	mkdir $third, 0700 or die "could not make \"$third\": $!";
	@wal = backlog(40);
	($tracer) = trace('-e', 'trace=rename', '-e', 'inject=rename:delay_enter=100000');
	set_conf($node, 'walarch.archive', $third);
	my $acknowledged;
	for (1 .. 20)
	{
		my $count = archived(@wal);
		wait_until('a part of the backlog', sub { archived(@wal) > $count });
		my $position = log_position($node);
		set_conf($node, 'walarch.archive', '');
		# the archiver itself says when it has seen that, between two files
		wait_until('archiving to end',
			sub { log_since($node, $position) =~ /archiving is not configured/ || archived(@wal) == @wal });
		$acknowledged = archived(@wal);
		last if visible($third, @wal) > $acknowledged || $acknowledged > 30;
		set_conf($node, 'walarch.archive', $third);
	}
	root_do('kill', $tracer);
	cmp_ok(scalar visible($third, @wal), '>', $acknowledged, 'some are committed and not yet asked for');
	rename $third, "$third.old" or die "could not rename \"$third\": $!";
	mkdir $third, 0700 or die "could not make \"$third\": $!";
	is((run_in('/', $ENV{WALARCH_BIN}, 'init', '--archive', $third, '-D', $node->data_dir))[0], 0,
		'a new archive under the same path');
	set_conf($node, 'walarch.archive', $third);
	wait_archived($node);
	all_whole($third, 'what was acknowledged for the new one is in it', @wal[ $acknowledged .. $#wal ]);

	# --- unwritable in the middle, and mended

	my $dir;
	for (1 .. 10)
	{
		($tracer, @wal) = middle_of_backlog(30, 5);
		$dir = "$archive/wal/" . substr($wal[0], 0, 16);
		chmod 0500, $dir or die "could not close \"$dir\": $!";
		last if visible($archive, @wal) < @wal;
		chmod 0700, $dir or die "could not open \"$dir\": $!";
		root_do('kill', $tracer);
	}
	wait_status($node, "state = 'failing'");
	no_hole($archive, 'unwritable in the middle', @wal);
	cmp_ok(scalar visible($archive, @wal), '<', scalar @wal, 'not all');
	chmod 0700, $dir or die "could not open \"$dir\": $!";
	root_do('kill', $tracer);
	wait_until('the rest', sub { kick($node); archived(@wal) == @wal });
	all_whole($archive, 'mended', @wal);

	# --- kill -9 of the archiver, again and again

	for my $round (1 .. 3)
	{
		($tracer, @wal) = middle_of_backlog(30, 3 + $round);
		my $archiver = archiver_pid($node);
		kill 'KILL', $archiver;
		eval { root_do('kill', $tracer) };
		wait_until('the server to be back',
			sub { (eval { archiver_pid($node) } || $archiver) ne $archiver });
		no_hole($archive, "killed, round $round", @wal);
		wait_archived($node);
		all_whole($archive, "killed, round $round", @wal);
	}
}

# --- shutdown with a backlog

for my $mode ('smart', 'fast')
{
	@wal = backlog(30);
	set_conf($node, 'walarch.archive', $archive);
	$node->stop($mode);
	is(archived(@wal), scalar @wal, "a $mode shutdown drains a backlog");
	$node->start;
	switch_and_archive($node);
	all_whole($archive, "a $mode shutdown", @wal);
}

SKIP:
{
	skip 'mounting needs root', 8 unless $can_mount;

	# --- full in the middle

	my $small = $node->basedir . '/small';
	root_do('tmpfs', $small, '40M');
	set_conf($node, 'walarch.archive', $small);
	switch_and_archive($node);
	@wal = backlog(30);
	write_binary("$small/filler", "\x55" x (38 * 1024 * 1024));
	set_conf($node, 'walarch.archive', $small);
	my $status = wait_status($node, "state = 'failing'");
	is($status->{last_error_sqlstate}, '53100', 'full in the middle of a backlog');
	no_hole($small, 'full', @wal);

	# room is made bit by bit: what is staged does not take it from what is next
	for my $megabytes (36, 34)
	{
		my $before = archived(@wal);
		truncate "$small/filler", $megabytes * 1024 * 1024 or die $!;
		wait_until('some more', sub { kick($node); archived(@wal) > $before + 3 });
		no_hole($small, "$megabytes MB full", @wal);
	}
	unlink "$small/filler" or die $!;
	wait_until('all of it', sub { kick($node); archived(@wal) == @wal });
	all_whole($small, 'room was made', @wal);

	# --- what is staged holds no mount

	@wal = backlog(20);
	mkdir object_path($small, $wal[5]) or die $!;
	set_conf($node, 'walarch.archive', $small);
	wait_until('a failure', sub { kick($node); status($node)->{last_failed_wal} eq $wal[5] });
	no_hole($small, 'one that cannot be stored', @wal[ 0 .. 4 ], @wal[ 6 .. 19 ]);
	cmp_ok(scalar temporary_files($small), '>', 0, 'those behind it are staged');
	my $failed = status($node)->{failed_count};
	wait_status($node, "failed_count > $failed");
	wait_until('the archive to be unmounted', sub { kick($node); eval { root_do('umount', $small); 1 } });
	ok(1, 'and the archive can be unmounted');
	mkdir $small;
	set_conf($node, 'walarch.archive', $archive);
	wait_until('another archive to take them', sub { kick($node); archived(@wal) == @wal });
	all_whole($archive, 'another archive', @wal[ 5 .. $#wal ]);
}

# --- something else in place of a segment holds up nobody for longer than it lies there

set_conf($node, 'walarch.timeout', '1s');
@wal = backlog(8);
my $segment = data_file($node, "pg_wal/$wal[4]");
rename $segment, "$segment.kept" or die "could not rename \"$segment\": $!";
POSIX::mkfifo($segment, 0600) or die "could not make \"$segment\": $!";
set_conf($node, 'walarch.archive', $archive);
# a machine that is held up for the time-out makes failures of its own before
like(wait_status($node, "state = 'failing' AND last_error ~ 'is not a regular file'")->{last_error},
	qr/\Q$wal[4]\E" is not a regular file/, 'a FIFO is refused');
is(archived(@wal), 4, 'those before it are archived');
rename "$segment.kept", $segment or die "could not rename \"$segment.kept\": $!";
wait_until('the rest', sub { kick($node); archived(@wal) == @wal });
all_whole($archive, 'a FIFO for a while', @wal);
set_conf($node, 'walarch.timeout', '60s');

# --- a new timeline with a backlog of the old

@wal = backlog(12);
$node->stop;
$node->append_conf('postgresql.conf', "restore_command = 'false'");
$node->set_standby_mode;
$node->start;
$node->promote;
$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'no promotion';
my @later = map { switch_wal($node) } 1 .. 3;
like($later[0], qr/^00000002/, 'a new timeline');
set_conf($node, 'walarch.archive', $archive);
wait_archived($node);
all_whole($archive, 'two timelines', @wal, @later);
ok(-e object_path($archive, '00000002.history'), 'with the history');
$node->stop;

done_testing();
