# Recoveries with segments fetched ahead on real servers, when something goes
# wrong meanwhile: the prefetcher is killed in the middle of a file, again and
# again, the file system of pg_wal has no room or no inodes left, it cannot make
# files without names, the archive hangs. Recovery ends with the right data, and
# nothing is left in pg_wal.

use strict;
use warnings;

use lib 't/lib';
use Errno qw(EOPNOTSUPP);
use Fcntl;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Prefetch;
use RootHelper;
use Standby;
use Test::More;
use WalArch;

my $primary = small_primary('primary', conf => "max_wal_size = 256MB\n");
my $archive = archive_dir($primary);
my $round = 0;

sub write_rounds
{
	foreach (1 .. $_[0])
	{
		$round++;
		$primary->safe_psql('postgres', "INSERT INTO t SELECT $round, md5(i::text) FROM generate_series(1, 10000) AS i");
	}
	return;
}

$primary->safe_psql('postgres', 'CREATE TABLE t (a int, b text)');
$primary->backup('early');
write_rounds(50);
$primary->backup('late');
write_rounds(14);
mark($primary, 'end');
switch_and_archive($primary);
my $sums = table_sums($primary, qw(t marks));

# The segments of the archive that a recovery from a backup begins with.
sub segments_of
{
	my ($backup) = @_;
	my $label = slurp_file($primary->backup_dir . "/$backup/backup_label");
	my ($first) = $label =~ /\(file ([0-9A-F]{24})\)/ or die "no name in $label";

	return grep { /^[0-9A-F]{24}$/ && $_ ge $first } archive_files($archive);
}

my @all = segments_of('early');
my @segments = segments_of('late');
cmp_ok(scalar(@all), '>=', 60, 'there is much to recover');
cmp_ok(scalar(@segments), '>=', 14, 'or enough, from a later backup');

# A standby that asks for nothing before it is allowed.
sub gated
{
	my ($name, $options, %opts) = @_;
	my $make = $opts{make} // \&new_standby;
	my $node = $make->($name, $primary, $opts{backup} // 'late',
		conf => "archive_mode = off\nwal_retrieve_retry_interval = '200ms'\n");

	gated_restore($node, $opts{archive} // $archive, $options);
	allow($node, '00000002.history');
	return $node;
}

# Start a server that cannot be connected to yet.
sub begin
{
	my ($node) = @_;

	$node->{begun} = log_position($node);
	PostgreSQL::Test::Utils::system_log('pg_ctl', '-s', '-W', '-D', $node->data_dir, '-l', $node->logfile, 'start');
	return;
}

sub wait_held
{
	my ($node, $count) = @_;
	wait_until("$count segments to be held", sub { held($node->data_dir) == $count });
	return;
}

# The rest of it, to the end.
sub is_recovered
{
	my ($node, $what) = @_;

	allow($node, 'all');
	wait_line($node, 'ready to accept (?:read-only )?connections', $node->{begun});
	$node->_update_pid(1);
	wait_marks($node, 'end');
	is(table_sums($node, qw(t marks)), $sums, "$what: the same data at the end");
	$node->stop;
	is(junk_after_a_while($node->data_dir), '', "$what: the server has ended, nothing is left");
	return;
}

# A server with which nothing can be shown.
sub give_up
{
	my ($node) = @_;

	return unless -e $node->data_dir . '/postmaster.pid';
	$node->_update_pid(1);
	$node->stop('immediate');
	return;
}

# ---- killed in the middle of a file -------------------------------------------------

{
	my $node = gated('killed', '--prefetch 64', backup => 'early');
	my ($kills, $tries, @junk) = (0, 0);

	allow($node, $all[0]);
	begin($node);
	foreach my $next (@all[ 1 .. $#all ])
	{
		wait_asked($node, $next);
		last if $kills == 8 || ++$tries > 40;
		my $pid = stop_in_a_file($node);
		$kills++ if defined $pid;
		$pid //= (prefetchers($node->data_dir))[0];
		kill_whole($pid) if defined $pid;
		push @junk, junk_of($node->data_dir);
		allow($node, $next);
	}
	is($kills, 8, 'prefetchers were killed while they wrote, again and again') or diag("$tries tries");
	is(join('', @junk), '', 'and left nothing, at once');
	is_recovered($node, 'killed');
	is(join(' ', map { $_->[0] } grep { $_->[1] != 0 && $_->[0] =~ /^[0-9A-F]{24}$/ && $_->[0] le $all[-1] } requests($node)),
		'', 'killed: no segment was refused');
}

# ---- a full disk ---------------------------------------------------------------------

# Write to a file until there is no room, but for so many MB of it.
sub fill
{
	my ($file, $leave) = @_;

	open(my $handle, '>:raw', $file) or die "could not open \"$file\": $!";
	foreach my $size (1048576, 4096)
	{
		my $bytes = 'x' x $size;
		while ((syswrite($handle, $bytes) // 0) == $size) { }
	}
	truncate($handle, (-s $handle) - $leave * 1048576) or die "could not truncate \"$file\": $!" if $leave;
	close $handle;
	return;
}

# A standby with pg_wal on a file system of its own, that stands at a segment.
sub on_its_own
{
	my ($name, $kind, $size, $at, %opts) = @_;
	my $node = gated($name, '--retry-for 0 ' . ($opts{options} // ''), backup => $opts{backup});
	my $mount = $node->basedir . '/wal';

	root_do($kind, $mount, $size);
	mkdir "$mount/pg_wal", 0700 or die "could not make \"$mount/pg_wal\": $!";
	move_wal($node, "$mount/pg_wal");
	allow($node, grep { $_ lt $at } @all);
	begin($node);
	wait_asked($node, $at);
	return ($node, $mount);
}

SKIP:
{
	skip 'mounting needs root', 10 unless root_available('tmpfs');

	# Little room, then none, while eight are held.
	my ($node, $mount) = on_its_own('tight', 'tmpfs', '64M', $segments[3]);
	wait_held($node, 8);
	fill("$mount/filler", 4);
	wait_held($node, 0);
	pass('little room: the prefetcher gives back what it holds');
	is(unfinished($node->data_dir), 0, 'and fetches no other');
	fill("$mount/more", 0);
	allow($node, $segments[3]);
	like(wait_line($node, 'walarch get:'),
		qr/could not restore "$segments[3]": could not write ".*RECOVERYXLOG.*": No space left on device; reported as absent, the standby will ask again/,
		'no room: walarch get says so');
	unlink "$mount/more", "$mount/filler";
	is_recovered($node, 'no room');

	# None from one moment to the next, in the middle of a file.
	my $pid;
	($node, $mount) = on_its_own('sudden', 'tmpfs', '96M', $all[1],
		backup => 'early', options => '--prefetch 24');
	foreach my $next (@all[ 1 .. 20 ])
	{
		wait_asked($node, $next);
		$pid = stop_in_a_file($node);
		last if defined $pid;
		kill_whole($_) foreach prefetchers($node->data_dir);
		allow($node, $next);
	}
	ok(defined $pid, 'a prefetcher in the middle of a file');
	fill("$mount/filler", 0);
	kill 'CONT', $pid;
	wait_until('all to be given back', sub { held($node->data_dir) + unfinished($node->data_dir) == 0 });
	pass('is out of room, and gives back all it has');
	unlink "$mount/filler";
	unlike(slurp_file($node->logfile), qr/walarch (?:get|prefetch):/, 'and says nothing');
	is_recovered($node, 'suddenly no room');
}

SKIP:
{
	skip 'mounting needs root', 4 unless root_available('loop');

	# df shows room, and yet no file can be made. A request that was held up for
	# so long may not have got what is held: then once more.
	foreach my $try (1 .. 3)
	{
		my ($node, $mount) = on_its_own("inodes$try", 'loop', 64, $segments[3]);
		my $count = 0;

		wait_held($node, 8);
		mkdir "$mount/filler" or die "could not make \"$mount/filler\": $!";
		$count++ while sysopen(my $handle, "$mount/filler/$count", O_WRONLY | O_CREAT);
		allow($node, $segments[3]);
		my $got = wait_until("$segments[3] to be answered",
			sub { (grep { $_->[0] eq $segments[3] } requests($node))[0] });
		if ($got->[1] != 0 && $got->[2] >= 200 && $try < 3)
		{
			give_up($node);
			next;
		}
		is($got->[1], 0, 'no inodes: what is held is delivered');
		wait_asked($node, $segments[4]);
		wait_held($node, 0);
		pass('what is left is given back');
		unlink map { "$mount/filler/$_" } 0 .. $count - 1;
		is_recovered($node, 'no inodes');
		last;
	}
}

# ---- without files without names ------------------------------------------------------

SKIP:
{
	skip 'mounting needs root and bindfs', 10 unless root_available('fuse');

	foreach my $options ('', '--prefetch 4')
	{
		my $node = gated("named$options" =~ s/\W//gr, $options);
		my $mount = $node->basedir . '/wal';
		my $what = "no files without names, '$options'";

		mkdir $node->basedir . '/from', 0700 or die "could not make a directory: $!";
		root_do('fuse', $node->basedir . '/from', $mount);
		sysopen(my $handle, $mount, 020000000 | O_DIRECTORY | O_RDWR, 0600);
		is($! + 0, EOPNOTSUPP, "$what: the file system says so");
		move_wal($node, $mount);
		allow($node, 'all');
		begin($node);
		wait_marks($node, 'end');
		is(scalar(prefetchers($node->data_dir)), 0, "$what: there is no prefetcher");
		my @said = slurp_file($node->logfile) =~ /^.*walarch (?:get|prefetch): *(.*)$/mg;
		is(join("\n", @said),
			$options eq '' ? '' : 'nothing is fetched ahead, because "pg_wal" cannot hold it: no file without a name can be made in it',
			"$what: said " . ($options eq '' ? 'to nobody who has not asked for it' : 'once'));
		is_recovered($node, $what);
	}
}

# ---- an archive that hangs -----------------------------------------------------------

SKIP:
{
	skip 'mounting needs root and bindfs', 16 unless root_available('fuse', 'hang', 'resume');

	foreach my $case ([ 'standby', \&new_standby, 1, 'reported as absent, the standby will ask again' ],
		[ 'recovery', \&new_recovery, 200, 'recovery stops' ])
	{
		my ($name, $make, $status, $words) = @$case;

		# a first request that was held up does not get what is held: once more
		foreach my $try (1 .. 3)
		{
			my $seen = $primary->basedir . "/seen_$name$try";
			my $node = gated("hung_$name$try", '--timeout 2', make => $make, archive => $seen);

			root_do('fuse', $archive, $seen);
			allow($node, @segments[ 0 .. 2 ]);
			begin($node);
			wait_asked($node, $segments[3]);
			wait_held($node, 8);
			my ($pid) = prefetchers($node->data_dir);
			my $before = requests($node);

			root_do('hang', $seen);
			allow($node, 'all');
			my @failed = wait_until('a request to fail', sub {
				my @requests = requests($node);
				my @failed = grep { $_->[1] != 0 } @requests[ $before .. $#requests ];
				return @failed ? $failed[0] : undef;
			});
			my ($file, $got, $ms) = @{ $failed[0] };
			my $first = (requests($node))[$before];
			if ($first->[1] != 0 && $try < 3)
			{
				wait_until('the server to end', sub { !-e $node->data_dir . '/postmaster.pid' }) if $status == 200;
				root_do('resume', $seen);
				give_up($node);
				next;
			}
			is($first->[1], 0, "an archive that hangs, $name: what is held is delivered");
			is($got, $status, "then $file: $status");
			cmp_ok($ms, '>=', 2000, 'after --timeout');
			cmp_ok($ms, '<', 2000 + 20000, 'and not much later');
			like(wait_line($node, 'walarch get:'),
				qr/could not restore "$file": an operation on the archive "\Q$seen\E" has not come back for 2 s; $words/,
				'which is said');
			eval { wait_until('the prefetcher to end', sub { has_ended($pid) }, 60) };
			is(join(' ', prefetchers($node->data_dir)), '', 'the prefetcher has ended, although the archive still hangs');
			wait_until('the server to end', sub { !-e $node->data_dir . '/postmaster.pid' }) if $status == 200;
			root_do('resume', $seen);
			begin($node) if $status == 200;
			end_of_recovery($node) if $status == 200;
			is_recovered($node, "an archive that hangs, $name");
			last;
		}
	}
}

done_testing();
