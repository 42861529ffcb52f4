# When a prefetcher is started and when not, what it may answer, and that it is
# a good neighbour: it holds nothing of whoever started it, ends with 0 or 1 by
# whatever signal, and at once with the server. A process that only sleeps is
# the server here; the commands are asked as a server in recovery asks them.

use strict;
use warnings;

use lib 't/lib';
use Get;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Prefetch;
use Test::More;
use Time::HiRes ();
use WalArch;

my $primary = new_primary('primary',
	extra => ['--wal-segsize=1'],
	conf => "wal_keep_size = '512MB'\nautovacuum = off\n");
my $archive = archive_dir($primary);
my @wals = map { write_wal($primary, 100); switch_and_archive($primary) } 1 .. 14;
my $beyond = sprintf '%s%08X', substr($wals[-1], 0, 16), hex(substr $wals[-1], 16) + 1;
$primary->stop;
my %raw = map { $_ => slurp_binary(data_file($primary, "pg_wal/$_")) } @wals;

my $p = 'pg_wal/RECOVERYXLOG';
# One request, in the light of those before.
sub request
{
	my ($dir, $file, @options) = @_;
	my $to = $p;

	$to = pop @options if @options && $options[-1] =~ m{/pg_wal/};
	unlink "$dir/pg_wal/RECOVERYXLOG";
	return ask_end(ask_begin($dir, 'get', '--archive', $archive, '--retry-for', 0, @options, $file, $to));
}

sub wait_held
{
	my ($dir, $count) = @_;
	wait_until("$count segments to be held", sub { held($dir) == $count });
	return;
}

sub wait_none
{
	my ($dir) = @_;
	eval { wait_until('it to end', sub { !prefetchers($dir) }, 60) };
	return scalar prefetchers($dir);
}

sub is_delivered
{
	my ($got, $wal, $what) = @_;

	is("$got->{status} $got->{left}$got->{message}", '0 ', "$what: delivered, silently");
	ok(defined $got->{bytes} && $got->{bytes} eq $raw{$wal}, "$what: the very bytes");
	return;
}

# ---- when none is started ---------------------------------------------------------

my @without;
foreach my $case (
	[ 'no signal file', sub { (sleeping_server('unsigned', $primary, undef))[0] } ],
	[ 'no server', sub { fake_datadir('serverless', $primary, 'recovery.signal') } ],
	[ 'a server that has ended', sub {
		my ($dir, $pid) = sleeping_server('ended', $primary, 'recovery.signal');
		kill 'KILL', $pid;
		waitpid $pid, 0;
		return $dir;
	} ],
	[ 'a server that is a zombie', sub {
		my ($dir, $pid) = sleeping_server('zombie', $primary, 'recovery.signal');
		kill 'KILL', $pid;
		wait_until('it to be a zombie', sub { slurp_binary("/proc/$pid/status") =~ /^State:\s*Z/m });
		return $dir;
	} ],
	[ 'a server that is about to stop', sub { (sleeping_server('stopping', $primary, 'recovery.signal', status => 'stopping'))[0] } ],
	[ 'a server in single-user mode', sub { (sleeping_server('single', $primary, 'recovery.signal', pid => -$$))[0] } ],
	[ 'a server that is process 1', sub { (sleeping_server('first', $primary, 'recovery.signal', pid => 1))[0] } ])
{
	my ($what, $make) = @$case;
	my $dir = $make->();

	is_delivered(request($dir, $wals[0]), $wals[0], $what);
	is(scalar(prefetchers($dir)), 0, "$what: no prefetcher");
	push @without, $dir;
}
{
	my ($dir) = sleeping_server('asking', $primary, 'recovery.signal');

	is_delivered(request($dir, $wals[0], '--prefetch', 'off'), $wals[0], 'off');
	is(request($dir, $wals[0], "$dir/pg_wal/$wals[0]")->{status}, 0, 'as pg_rewind asks: delivered');
	unlink "$dir/pg_wal/$wals[0]";
	is(request($dir, $beyond)->{status}, 1, 'absent');
	is(request($dir, $wals[0], '--archive', "$archive/none")->{status}, 200, 'an error');
	is_delivered(request($dir, $wals[3], '--until', $wals[3]), $wals[3], 'the last that is needed');
	is(scalar(prefetchers($dir)), 0, 'none of that starts a prefetcher');
	foreach my $bad (0, 65, -1, 'on', '8x', '')
	{
		my $got = request($dir, $wals[0], '--prefetch', $bad);
		is($got->{status}, 200, "--prefetch '$bad' is refused");
		like($got->{message}, qr/--prefetch needs a number from 1 to 64, or off/, 'and said to be');
	}
	my $got = request($dir, $wals[0], '--spool', '/proc');
	is($got->{status}, 0, '--spool on another file system: delivered');
	like($got->{message}, qr/nothing is fetched ahead, because "\/proc" cannot hold it: it is not on the file system of pg_wal/,
		'and said why not ahead');
	is(request($dir, $wals[1], '--spool', '/proc')->{message}, '', 'once');
	is(scalar(prefetchers($dir)), 0, 'no prefetcher');
	push @without, $dir;
}

# ---- what it answers -----------------------------------------------------------------

{
	my ($dir, $server) = sleeping_server('server', $primary, 'recovery.signal');
	my @ms;

	is_delivered(request($dir, $wals[0]), $wals[0], 'the first');
	wait_held($dir, 8);
	is(scalar(prefetchers($dir)), 1, 'it starts a prefetcher');
	rename "$archive/wal", "$archive/gone" or die "could not rename: $!";
	foreach my $i (1 .. 8)
	{
		my $got = request($dir, $wals[$i]);

		# a machine that was held up for so long may have kept it from an answer
		if ($got->{status} != 0 && $got->{seconds} >= 0.2)
		{
			note("number $i took $got->{seconds} s");
			next;
		}
		is_delivered($got, $wals[$i], "number $i, while the archive is away");
		push @ms, $got->{seconds} * 1000;
	}
	cmp_ok(scalar @ms, '>=', 5, 'most of them in time');
	note(sprintf 'milliseconds: %s', join ' ', map { sprintf '%.1f', $_ } @ms);
	is(request($dir, $wals[9])->{status}, 200, 'what it does not hold is not known');
	rename "$archive/gone", "$archive/wal" or die "could not rename: $!";
	is_delivered(request($dir, $wals[9]), $wals[9], 'the archive is back');
	# What could not be had is tried again with the next request.
	wait_until('4 segments to be held', sub {
		return 1 if held($dir) == 4;
		request($dir, $wals[9]);
		return;
	});

	# Another archive by a reload, which has other things to say.
	my $got = request($dir, $wals[10], '--archive', "$archive/none");
	is($got->{status}, 200, 'another archive: nothing of the one before');
	is_delivered(request($dir, $wals[10]), $wals[10], 'the one before');

	# A second server in the same directory, as after a restart.
	wait_until('3 segments to be held', sub {
		return 1 if held($dir) == 3;
		request($dir, $wals[10]);
		return;
	});
	my ($same) = sleeping_server('server', $primary, 'recovery.signal');
	rename "$archive/wal", "$archive/gone" or die "could not rename: $!";
	is(request($dir, $wals[11])->{status}, 200, 'after a restart: nothing of the one before');
	rename "$archive/gone", "$archive/wal" or die "could not rename: $!";
	is(wait_none($dir), 0, 'whose prefetcher ends');
}
is(join(' ', map { prefetchers($_) } @without), '', 'where none was to be started there is none later either');

# A fork: the parent's segment is held, and refused all the same.
{
	my ($dir) = sleeping_server('forked', $primary, 'recovery.signal');
	my $child = $wals[5] =~ s/^00000001/00000002/r;
	my ($log, $seg) = map { hex } $wals[5] =~ /^.{8}(.{8})(.{8})$/;

	request($dir, $wals[3]);
	wait_held($dir, 8);
	is_delivered(request($dir, $wals[4]), $wals[4], 'before the fork');
	wait_held($dir, 8);
	write_binary("$dir/pg_wal/00000002.history",
		sprintf("1\t%X/%X\tno recovery target specified\n", $log, ($seg << 20) + 8192));

	# Not told of the child's request, the prefetcher keeps what it has.
	is(request($dir, $child, '--prefetch', 'off')->{status}, 1, 'the child\'s segment is not there');
	wait_held($dir, 8);
	pass('the parent\'s is held');
	my $got = request($dir, $wals[5]);
	is($got->{status}, 200, 'the parent\'s, held ready, is refused');
	like($got->{message}, qr/may hold another history/, 'as without prefetch');
}

# An unresolved history of a standby.
{
	my ($dir) = sleeping_server('unresolved', $primary, 'standby.signal');

	request($dir, $wals[3]);
	wait_held($dir, 8);
	my $history = "$archive/wal/00000002.history.zst";
	mkdir $history or die "could not make \"$history\": $!";
	is(ask_end(ask_begin($dir, 'get', '--archive', $archive, '--retry-for', 0, '00000002.history',
				'pg_wal/RECOVERYHISTORY'))->{status}, 1, 'a history that cannot be read');
	my $got = request($dir, $wals[4]);
	is("$got->{status} " . ($got->{bytes} // 'nothing'), '1 nothing', 'the next segment, held ready, is not delivered');
	rmdir $history;
	is_delivered(request($dir, $wals[4]), $wals[4], 'settled');
	$got = request($dir, $wals[5]);
	is_delivered($got, $wals[5], 'and on');
}

# ---- a good neighbour ----------------------------------------------------------------

{
	my ($dir, $server) = sleeping_server('neighbour', $primary, 'recovery.signal');

	open(my $kept, '>', "$dir.kept") or die "could not open: $!";
	fcntl($kept, Fcntl::F_SETFD(), 0) or die "could not keep open: $!" if require Fcntl;
	request($dir, $wals[0]);
	wait_held($dir, 8);
	my ($pid) = prefetchers($dir);
	is(join(' ', map { readlink "/proc/$pid/fd/$_" } 0 .. 2), '/dev/null /dev/null /dev/null', 'stdio is /dev/null');
	is(join(' ', grep { /kept|stderr|pipe:/ } map { readlink($_) // '' } glob("/proc/$pid/fd/*")), '',
		'nothing inherited is open');
	is(readlink("/proc/$pid/cwd"), '/', 'it stands in nobody\'s way');
	is(slurp_file("/proc/$pid/comm"), "walarch\n", 'it has its name also where only the short one is shown');
	my ($group, $session) = (split ' ', slurp_file("/proc/$pid/stat") =~ s/.*\)//sr)[ 2 .. 3 ];
	ok($session != getpgrp() && $group != getpgrp(), 'a session of its own');
	request($dir, $wals[1]) foreach 1 .. 3;
	is(join(' ', prefetchers($dir)), $pid, 'one is enough');
	kill 'KILL', $server;
	is(wait_none($dir), 0, 'the server is gone, a zombie even: so is the prefetcher');
}
{
	# One that hears everything and answers nothing, as on a hung disk.
	my ($dir) = sleeping_server('silent', $primary, 'recovery.signal');

	request($dir, $wals[0]);
	wait_held($dir, 8);
	my ($pid) = prefetchers($dir);
	kill 'STOP', $pid;
	is_delivered(request($dir, $wals[$_]), $wals[$_], "a prefetcher that does not answer, number $_") foreach 1 .. 2;
	is(join(' ', prefetchers($dir)), $pid, 'no other is started meanwhile');
	kill 'CONT', $pid;
	wait_held($dir, 8);
	is_delivered(request($dir, $wals[3]), $wals[3], 'it answers again');
	is(join(' ', prefetchers($dir)), $pid, 'and is the same');
}
SKIP:
{
	# Restore commands that cannot see each other's sockets.
	my @alone = qw(unshare -Un --map-current-user);
	skip 'needs name spaces of its own', 9 if system("@alone true 2>/dev/null") != 0;
	my ($dir) = sleeping_server('alone', $primary, 'recovery.signal');

	foreach my $i (0 .. 3)
	{
		unlink "$dir/pg_wal/RECOVERYXLOG";
		is_delivered(ask_end(ask_begin($dir, \@alone, 'get', '--archive', $archive, $wals[$i], $p)), $wals[$i],
			"in a network of its own, number $i");
		wait_held($dir, 8) if $i == 0;
	}
	eval { wait_until('the others to see that there is one', sub { prefetchers($dir) == 1 }, 60) };
	is(scalar(prefetchers($dir)) . ' ' . held($dir), '1 8', 'one prefetcher is enough, also when nobody can ask it');
}
{
	my @ended;

	foreach my $signal (qw(HUP INT QUIT ILL TRAP ABRT BUS FPE USR1 SEGV USR2 ALRM TERM STKFLT XCPU VTALRM PROF IO PWR SYS 34 50 64))
	{
		my ($dir, $server) = sleeping_server('signals', $primary, 'recovery.signal');
		my $pid = fork() // die "could not fork: $!";

		if ($pid == 0)
		{
			chdir $dir or POSIX::_exit(99);
			exec { $ENV{WALARCH_BIN} } 'walarch', 'prefetch', '--archive', $archive, $wals[0], $p or POSIX::_exit(98);
		}
		wait_held($dir, 8);
		kill $signal, $pid or die "no signal $signal";
		waitpid $pid, 0;
		push @ended, "$signal: $?" unless $? == 0 || $? == 256;
		kill 'KILL', $server;
	}
	is("@ended", '', 'whatever signal ends it, it exits with 0 or 1');
}
{
	my ($dir, $server) = sleeping_server('over', $primary, 'recovery.signal');

	request($dir, $wals[0]);
	wait_held($dir, 8);
	unlink "$dir/recovery.signal";
	is(wait_none($dir), 0, 'recovery is over: it ends');
	is(junk_of($dir), '', 'and leaves nothing');
}

SKIP:
{
	skip 'needs strace', 2 unless can_trace();
	my ($dir, $server) = sleeping_server('synced', $primary, 'recovery.signal');
	my $pid = fork() // die "could not fork: $!";

	if ($pid == 0)
	{
		chdir $dir or POSIX::_exit(99);
		exec('strace', '-f', '-qq', '-o', "$dir.trace", '-e', 'trace=fsync', 'bash', '-c', 'exec -a walarch "$0" "$@"',
			$ENV{WALARCH_BIN}, 'prefetch', '--archive', $archive, $wals[0], $p) or POSIX::_exit(98);
	}
	my $synced = sub { return scalar(() = slurp_file("$dir.trace") =~ /fsync(?:\(| resumed).*= 0$/mg); };

	# one that is written is not yet synced
	wait_held($dir, 8);
	eval { wait_until('8 files to be synced', sub { $synced->() >= 8 }, 60) };
	kill 'KILL', $server;
	is(wait_none($dir), 0, 'ended');
	waitpid $pid, 0;
	is($synced->(), 8, 'each file is synced before it is offered');
}

done_testing();
