# What others can do who may write to a part of the archive, or log in to the
# machine: nothing is read, written, synced or deleted through what they plant in
# the place of a directory or a file, the message names it, and nobody takes it for
# absence or damage; whatever the umask, nobody else may read what walarch makes;
# names of ours cannot be taken over.

use strict;
use warnings;

use lib 't/lib';

use Digest::MD5 qw(md5_hex);
use Fcntl qw(:flock);
use File::Basename qw(basename dirname);
use Get;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Prefetch;
use RootHelper;
use Standby;
use Test::More;
use WalArch;

my $primary = small_primary('primary', conf => "walarch.workers = 1\n");
my $archive = archive_dir($primary);
my $base = $primary->basedir;
my @connection = ('--host', $primary->host, '--port', $primary->port);
my $p = 'pg_wal/RECOVERYXLOG';

sub walarch
{
	my ($status, $stdout, $stderr) = run_in('/', $ENV{WALARCH_BIN}, @_);
	return { status => $status, stdout => $stdout, stderr => $stderr };
}

sub under
{
	my ($umask, @words) = @_;
	my $before = umask $umask;
	my $run = walarch(@words);

	umask $before;
	is($run->{status}, 0, sprintf('umask %03o: walarch %s', $umask, $words[0])) or diag($run->{stderr});
	return $run;
}

# "path mode" of what is not for its owner alone.
sub open_to_others
{
	my ($top, $file_mode, $dir_mode) = @_;
	my @found;

	foreach my $path (split /\n/, qx{find '$top' -type d -o -type f})
	{
		my $mode = (lstat $path)[2] & 07777;

		push @found, sprintf '%s %04o', $path, $mode
		  if $mode != (-d $path ? $dir_mode : $file_mode) && $path !~ m{/lost\+found};
	}
	return join "\n", @found;
}

# ---- modes ------------------------------------------------------------------------

mark($primary, 'one');
my @wal = map { write_wal($primary, 50); switch_and_archive($primary) } 1 .. 3;
my $restored = "$base/restored";
foreach my $umask (0, 077)
{
	under($umask, 'backup', '--archive', $archive, @connection, '--checkpoint', 'fast', '--quiet');
	under($umask, 'pin', '--archive', $archive, "pin$umask", '--lsn', '0/1000000');
	under($umask, 'prune', '--archive', $archive, '--retention-window', '1d', '--apply', '--quiet');
	system_or_bail('rm', '-rf', $restored);
	under($umask, 'restore', '--archive', $archive, '-D', $restored, '--quiet');
	is(open_to_others($restored, 0600, 0700), '', sprintf('umask %03o: a restored data directory', $umask));
}
{
	my $short = "/tmp/wahost.$$";

	mkdir $short, 0700 or die $!;
	under(0, 'drill', '--archive', $archive, '--scratch', $short, '--quiet');
	is(join(' ', slurp_dir($short)), '. ..', 'a drill leaves nothing');
	chmod 0777, $short or die $!;
	my $run = walarch('drill', '--archive', $archive, '--scratch', $short);
	is($run->{status}, 1, 'a scratch directory in which anybody may put links');
	like($run->{stderr}, qr/everybody may write to "\Q$short\E"\n.*sticky bit/, 'is refused, with a way out');
	chmod 01777, $short or die $!;
	under(0, 'drill', '--archive', $archive, '--scratch', $short, '--quiet', '--no-report');
	rmdir $short or die $!;
}
wait_archived($primary);	# what has no name yet may be gone when it is looked at
is(open_to_others($archive, 0600, 0700), '', 'all of the archive is for its owner alone');
foreach my $file ('walarch.known', 'pg_stat/walarch.stat', 'pg_stat_tmp/walarch.stat')
{
	my $path = data_file($primary, $file);
	is((stat $path)[2] & 07777, 0600, "$file, too") if -e $path;
}

my $group = new_primary('group', extra => [ '--wal-segsize=1', '--allow-group-access' ]);
switch_and_archive($group);
my @group = ('--host', $group->host, '--port', $group->port);
chmod 0750, archive_dir($group) or die $!;
foreach my $umask (0, 077)
{
	under($umask, 'backup', '--archive', archive_dir($group), @group, '--checkpoint', 'fast', '--quiet');
	under($umask, 'pin', '--archive', archive_dir($group), "pin$umask", '--lsn', '0/1000000');
}
wait_archived($group);
is(open_to_others(archive_dir($group), 0640, 0750), '', 'a cluster that its group may read has such an archive');
is((stat data_file($group, 'walarch.known'))[2] & 07777, 0640, 'and such a note of it');
under(077, 'restore', '--archive', archive_dir($group), '-D', "$base/grouped", '--quiet');
is((stat "$base/grouped")[2] & 07777, 0750, 'and is restored as such');
$group->stop;

# ---- what is planted in the place of something --------------------------------------

# Everything outside of the archive must stay as it is: names, contents, times.
my $outside = "$base/outside";
mkdir $outside, 0700 or die $!;

sub picture
{
	return join "\n", map { my @st = lstat; "$_ $st[1] $st[2] $st[7] $st[9] " . (-f ? md5_hex(slurp_binary($_)) : '') }
	  sort split /\n/, qx{find '$outside'};
}

my ($id) = map { m{([^/]+)$} } sort glob("$archive/base/0*");
my $timeline = substr $wal[0], 0, 16;
my $object = object_key($wal[1]);
my $pitr = fake_datadir('pitr', $primary, 'recovery.signal');
my @at_once = ('--archive', $archive, '--retry-for', 0, '--prefetch', 'off');
my @prune = ('prune', '--archive', $archive, '--retention-backups', 1, '--apply');

sub get_it { forget($pitr); return ask($pitr, @at_once, $wal[1], $p); }

# A link to what was there, moved away; and one to nothing.
sub link_away
{
	my ($key, $to) = @_;

	rename "$archive/$key", "$outside/moved" or die "could not rename \"$key\": $!" if -e "$archive/$key";
	mkdir "$outside/moved", 0700 unless -e "$outside/moved";
	symlink $to // "$outside/moved", "$archive/$key" or die $!;
	return;
}

sub put_back
{
	my ($key) = @_;

	-d "$archive/$key" && !-l "$archive/$key" ? rmdir "$archive/$key" : unlink "$archive/$key";
	rename "$outside/moved", "$archive/$key" or die "could not rename: $!" if -e "$outside/moved";
	return;
}

# [ what, key, how it is planted, message, commands ]; get must answer 200 then, and
# never 1, which would be "the archive does not have it".
my $link = sub { return qr/"\Q$archive\/$_[0]\E" is a symbolic link, and none is followed/; };
my $irregular = sub { return qr/"\Q$archive\/$_[0]\E" is not a regular file/; };
my %command = (
	get => \&get_it,
	list => sub { return walarch('list', '--archive', $archive); },
	verify => sub { return walarch('verify', '--archive', $archive); },
	prune => sub { return walarch(@prune); },
	restore => sub {
		system_or_bail('rm', '-rf', $restored);
		return walarch('restore', '--archive', $archive, '-D', $restored);
	},
	pin => sub { return walarch('pin', '--archive', $archive, 'more', '--lsn', '0/1000000'); },
	backup => sub { return walarch('backup', '--archive', $archive, @connection, '--checkpoint', 'fast'); },
	drill => sub { return walarch('drill', '--archive', $archive, '--scratch', '/tmp'); },
	archiving => sub {
		my $before = status($primary)->{failed_count};
		switch_wal($primary);
		wait_until('a failure', sub { status($primary)->{failed_count} > $before });
		return { status => 1, stderr => status($primary)->{last_error} };
	});
my @cases = (
	map({ my $to = $_;
		my $how = defined $to ? 'to nothing' : 'to elsewhere';
		([ "wal/, a link $how", 'wal', sub { link_away($_[0], $to) }, $link, qw(get list verify prune archiving) ],
		 [ "a timeline, a link $how", "wal/$timeline", sub { link_away($_[0], $to) }, $link, qw(get list verify prune archiving) ],
		 [ "a segment, a link $how", $object, sub { link_away($_[0], $to) }, $link, qw(get list verify prune) ],
		 [ "the marker, a link $how", 'archive.id', sub { link_away($_[0], $to) }, $link, qw(get list verify prune archiving) ],
		 [ "tmp/, a link $how", 'tmp', sub { link_away($_[0], $to) }, $link, qw(archiving pin backup) ],
		 [ "pins/, a link $how", 'pins', sub { link_away($_[0], $to) }, $link, qw(prune pin) ],
		 [ "a pin, a link $how", 'pins/pin0', sub { link_away($_[0], $to) }, $link, qw(prune) ],
		 [ "base/, a link $how", 'base', sub { link_away($_[0], $to) }, $link, qw(list prune restore backup) ],
		 [ "a backup, a link $how", "base/$id", sub { link_away($_[0], $to) }, $link, qw(list verify prune restore) ],
		 [ "what advertises it, a link $how", "base/$id/backup", sub { link_away($_[0], $to) }, $link, qw(list prune restore) ],
		 [ "damaged/, a link $how", 'damaged', sub { link_away($_[0], $to) }, $link, qw(list verify prune) ],
		 [ "the lock, a link $how", 'prune.lock', sub { link_away($_[0], $to) }, $link, qw(prune pin) ])
	} undef, "$outside/nothing"),
	[ 'a segment, a FIFO', $object, sub { link_away($_[0]); unlink "$archive/$_[0]"; POSIX::mkfifo("$archive/$_[0]", 0600) or die $! },
		$irregular, qw(get list verify prune) ],
	[ 'a segment, a socket', $object, sub { link_away($_[0]); unlink "$archive/$_[0]";
		system_or_bail('perl', '-MIO::Socket::UNIX', '-e', 'chdir shift; IO::Socket::UNIX->new(Local => shift, Listen => 1) or die $!',
			dirname("$archive/$_[0]"), basename($_[0])) }, $irregular, qw(get list verify prune) ],
	[ 'a segment, a directory', $object, sub { link_away($_[0]); unlink "$archive/$_[0]"; mkdir "$archive/$_[0]" or die $! },
		$irregular, qw(get list verify prune) ],
	[ 'the marker, a FIFO', 'archive.id', sub { link_away($_[0]); unlink "$archive/$_[0]"; POSIX::mkfifo("$archive/$_[0]", 0600) or die $! },
		$irregular, qw(get list archiving) ],
	[ 'the lock, a FIFO', 'prune.lock', sub { link_away($_[0]); unlink "$archive/$_[0]"; POSIX::mkfifo("$archive/$_[0]", 0600) or die $! },
		$irregular, qw(prune) ],
	[ 'a pin, a FIFO', 'pins/pin0', sub { link_away($_[0]); unlink "$archive/$_[0]"; POSIX::mkfifo("$archive/$_[0]", 0600) or die $! },
		$irregular, qw(prune) ]);

write_binary("$outside/canary", "sing\n");
foreach my $case (@cases)
{
	my ($what, $key, $plant, $message, @commands) = @$case;

	$plant->($key);
	my $before = picture();
	foreach my $name (@commands)
	{
		my $begun = time;
		my $run = $command{$name}->();
		my $said = $run->{stderr} // $run->{message};

		is($run->{status}, $name eq 'get' ? 200 : 1, "$what: $name refuses") or diag($said);
		like($said, $message->($key), "$what: $name says what it is");
		unlike($said, qr/is damaged|does not exist/, "$what: which is neither damage nor absence");
	}
	is(picture(), $before, "$what: nothing outside was touched");
	put_back($key);
	wait_archived($primary) if grep { $_ eq 'archiving' } @commands;
}
is(walarch('list', '--archive', $archive)->{status}, 0, 'put back, all is as before');
is(get_it()->{status}, 0, 'for walarch get, too');

# a huge file without blocks costs nothing
my $good = slurp_binary("$archive/$object");
write_binary("$archive/$object", $good);
truncate "$archive/$object", 1 << 42 or die $!;
my $begun = time;
my $got = get_it();
is($got->{status}, 200, 'four terabytes of nothing in the place of a segment');
like($got->{message}, qr/is truncated or not an object/, 'are damage');
cmp_ok(time - $begun, '<', 20, 'which is seen at their end');
write_binary("$archive/$object", $good);
truncate "$archive/$object", length $good or die $!;

# an archiver that begins sweeps temporaries, of its own name, and no links
my $name = '0123456789abcdef-7';
symlink "$outside/canary", "$archive/tmp/$name" or die $!;
mkdir "$archive/tmp/fedcba9876543210-1" or die $!;
my $before = picture();
$primary->restart;
switch_and_archive($primary);
ok(-l "$archive/tmp/$name", 'a link with the name of a temporary is passed over');
is(picture(), $before, 'and what it leads to');
unlink "$archive/tmp/$name" or die $!;
rmdir "$archive/tmp/fedcba9876543210-1" or die $!;

# what file systems, snapshots, copies and people leave: each a directory, a file and a link
my $asked = 'SELECT (SELECT count(*) FROM walarch.segments()), (SELECT count(*) FROM walarch.backups), '
  . '(SELECT count(*) FROM walarch.gaps), (SELECT count(*) FROM walarch.retention_plan())';
my $processes = q{SELECT string_agg(backend_type || ' ' || pid, ', ' ORDER BY backend_type) FROM pg_stat_activity }
  . q{WHERE backend_type IN ('archiver', 'checkpointer')};
my $up = $primary->safe_psql('postgres', $processes);
my @ends = map { walarch(@$_)->{status} } my @ask = ([ 'list', '--archive', $archive ], [ 'verify', '--archive', $archive, '--quick' ],
	[ 'prune', '--archive', $archive, '--retention-window', '1d' ]);
my $answer = $primary->safe_psql('postgres', $asked);
foreach my $stray ('lost+found', '@eaDir', '.snapshot', '.~tmp~', 'a b', "\xc2\x9b\xff", '0' x 120)
{
	my @planted;
	foreach my $place (map { $_ eq '' ? "$archive/$stray" : "$archive/$_/$stray" } '', qw(wal wal/0000000100000000 base damaged drills))
	{
		next unless -d dirname($place);
		mkdir $place or die "could not make \"$place\": $!";
		write_binary("$place.file", '');
		symlink $outside, "$place.link" or die $!;
		push @planted, $place;
	}
	(my $called = $stray) =~ s/[^ -~]/?/g;
	is(join(' ', map { walarch(@$_)->{status} } @ask), join(' ', @ends), "\"$called\" lies about: commands do as before");
	is($primary->safe_psql('postgres', $asked), $answer, 'views, too');
	system_or_bail('rm', '-rf', map { ($_, "$_.file", "$_.link") } @planted);
}
my ($newest) = sort { $b cmp $a } map { m{^base/([^/]+)/backup$} } files_below($archive, 'base');
symlink $newest, "$archive/base/latest" or die $!;
is($primary->safe_psql('postgres', $asked), $answer, 'nor does a link to the newest backup hide anything');
unlink "$archive/base/latest" or die $!;
mkdir "$archive/wal/lost+found" or die $!;
set_conf($primary, 'walarch.retention_window', '10000d');
set_conf($primary, 'walarch.auto_prune', 'on');
unlink "$archive/prune.lock" or die $!;
$primary->backup('with strays');
wait_until('the archiver to prune', sub { -e "$archive/prune.lock" });
wait_until('it to come to the end', sub { open(my $lock, '<', "$archive/prune.lock") or die $!; flock($lock, LOCK_EX | LOCK_NB) });
switch_and_archive($primary);
is($primary->safe_psql('postgres', $processes), $up, 'the server goes on, also when the archiver prunes');
set_conf($primary, 'walarch.auto_prune', 'off');
rmdir "$archive/wal/lost+found" or die $!;

# names of directions and controls do not reach psql, or the log
write_binary("$archive/pins/evil\xc2\x9b2J\xe2\x80\xae\xff", '');
my ($refused, undef, $said) = $primary->psql('postgres', 'SELECT * FROM walarch.retention_plan()');
$said .= $primary->safe_psql('postgres', 'SELECT string_agg(reason, chr(10)) FROM walarch.retention_plan()') if $refused == 0;
like($said, qr/evil\?+2J\?+/, 'a name that turns directions is named');
unlike($said . slurp_file($primary->logfile), qr/\xc2\x9b|\xe2\x80\xae|\xff/, 'but not shown as it is');
unlink "$archive/pins/evil\xc2\x9b2J\xe2\x80\xae\xff" or die $!;

# a name that would move the cursor, or begin a line of its own
write_binary("$archive/pins/\e[2J\nwalarch", '');
my $run = walarch(@prune);
is($run->{status}, 1, 'a name with control characters');
like($run->{stderr}, qr/pins\/\?\[2J\?walarch" is not a pin/, 'is shown without them');
unlink "$archive/pins/\e[2J\nwalarch" or die $!;

# the archive directory itself may be a link
symlink $archive, "$base/by link" or die $!;
forget($pitr);
is(ask($pitr, '--archive', "$base/by link", '--prefetch', 'off', $wal[1], $p)->{status}, 0,
	'the archive directory itself may be a link');

# ---- names of ours ------------------------------------------------------------------

my $mine = "$pitr/$p.walarch";
foreach my $plant (
	[ 'a link', sub { symlink "$outside/canary", $mine }, qr/Too many levels of symbolic links/ ],
	[ 'a FIFO', sub { POSIX::mkfifo($mine, 0600) }, qr/No such device or address|is not a file of ours alone/ ])
{
	my ($what, $how, $message) = @$plant;

	forget($pitr);
	unlink $mine;
	$how->() or die "could not plant $what: $!";
	$before = md5_hex(slurp_binary("$outside/canary"));
	$got = ask_end(ask_begin($pitr, 'get', @at_once, $wal[1], $p));
	is($got->{status}, 200, "the temporary beside %p is $what: refused");
	like($got->{message}, qr/RECOVERYXLOG\.walarch"?.*(?:$message)/, 'and named');
	is(md5_hex(slurp_binary("$outside/canary")), $before, 'and nothing is written there');
	unlink $mine;
}

# what has left one may have been run by root, or copied with hard links
forget($pitr);
link "$outside/canary", $mine or die $!;
is(ask($pitr, @at_once, $wal[1], $p)->{status}, 0, 'the temporary beside %p is a second name of another file: replaced');
is(md5_hex(slurp_binary("$outside/canary")), $before, 'and nothing is written there');

# The names of the abstract sockets of processes: others on this machine have theirs.
sub sockets_of
{
	my %inodes = map { (readlink($_) // '') =~ /^socket:\[(\d+)\]$/ ? ($1 => 1) : () } map { glob "/proc/$_/fd/*" } @_;

	return map { my @field = split; ($field[7] // '') =~ /^\@(walarch-[0-9a-f]+)$/ && $inodes{ $field[6] } ? $1 : () }
	  split /\n/, slurp_file('/proc/net/unix');
}

SKIP:
{
	skip 'needs root', 5 unless root_available('stranger');

	# a prefetcher that waits with what comes next
	my ($dir, $pid) = sleeping_server('prefetched', $primary, 'recovery.signal');
	forget($dir);
	$got = ask($dir, '--archive', $archive, '--prefetch', 2, $wal[0], $p);
	is($got->{status}, 0, 'a delivery that leaves a prefetcher') or diag($got->{message});
	wait_until('it to hold a segment', sub { held($dir) > 0 });
	my ($socket) = sockets_of(prefetchers($dir));
	is(root_do('stranger', 'ask', $socket, "T$wal[1]"), 'refused', 'another user is given nothing by it');
	unlink "$dir/$p";
	$got = ask($dir, '--archive', $archive, '--prefetch', 2, $wal[1], $p);
	is($got->{status}, 0, 'who may have it has it');

	# and one whose name somebody else has taken
	kill_whole($_) foreach prefetchers($dir);
	wait_until('the name to be free', sub { eval { root_do('stranger', 'squat', $socket); 1 } });
	unlink "$dir/$p";
	$got = ask($dir, '--archive', $archive, '--prefetch', 2, $wal[2], $p);
	is($got->{status}, 0, 'a socket that is somebody else\'s: delivered from the archive');
	ok($got->{bytes} eq object_raw($archive, $wal[2]), 'the very bytes');
	kill 'KILL', $pid;
}

# ---- a path that a shell would act upon -------------------------------------------------

my $odd = "$base/a'b\"c\$(touch pwned)`touch pwned`;touch pwned;%f d\\";
mkdir $odd, 0700 or die $!;
(my $quoted = $odd) =~ s/(['\\])/$1$1/g;
set_conf($primary, 'walarch.archive', $quoted);
mark($primary, 'odd');
switch_and_archive($primary);
$run = walarch('backup', '--archive', $odd, @connection, '--checkpoint', 'fast', '--quiet');
is($run->{status}, 0, 'a backup into a directory with a hostile name') or diag($run->{stderr});
mark($primary, 'after');
switch_and_archive($primary);
my $node = PostgreSQL::Test::Cluster->new('odd');
mkdir $node->basedir, 0700;
$run = walarch('restore', '--archive', $odd, '-D', $node->data_dir, '--quiet');
is($run->{status}, 0, 'is restored') or diag($run->{stderr});
$node->append_conf('postgresql.conf', 'port = ' . $node->port . "\nunix_socket_directories = '" . $node->host . "'\n");
$node->start;
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM marks WHERE what = 'after'") or die 'not recovered';
is(marks($node), marks($primary), 'and recovers from it');
is(qx{find '$base' '@{[ $node->basedir ]}' /tmp -maxdepth 4 -name 'pwned*' 2>/dev/null}, '', 'and nothing of the name was run');
$node->stop;

done_testing();
