# After a power cut every acknowledged file is there and intact, nothing else is
# taken for good, and archiving goes on. The system calls of a real archiver are
# recorded, what the disk may hold after each of them is worked out, and each such
# archive is built and judged by the shipped command; into some of them a real
# server archives on. POWER_STATES bounds how many are judged a scenario,
# POWER_RESUMES how many are gone on with, POWER_SEGMENTS
# is the length of the backlog, POWER_SEED repeats the choices.
#
# Then the same of the commands: a backup counts, or nothing of it does, and when
# it was said to be taken it can be restored; prune deletes what it said it would,
# in whatever part of it, and nothing else.

use strict;
use warnings;

use File::Copy qw(copy);
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use PowerCut;
use RootHelper;
use WalArch;

plan skip_all => 'recording system calls needs root and strace'
  unless root_available('strace', 'kill');

my $most = $ENV{POWER_STATES} // 120;
my $most_of_commands = $ENV{POWER_STATES} // 40;
my $segments = $ENV{POWER_SEGMENTS} // 12;
my $resumes = $ENV{POWER_RESUMES} // 2;
my $seed = $ENV{POWER_SEED} // int rand 2**31;
my $all_up_to = 6;
my $at_random = 8;
srand $seed;
note("POWER_SEED=$seed");

my $node = new_primary(
	'main',
	start => 0,
	extra => ['--wal-segsize=1'],
	conf => "wal_keep_size = '1GB'\nautovacuum = off\nwalarch.workers = 2\n");
my $archive = archive_dir($node);
my $pgdata = $node->data_dir;
my $work = $node->basedir . '/judged';
my $outputs = $node->basedir . '/delivered';
mkdir $_ or die "could not create \"$_\": $!" foreach $work, $outputs;
my %original;

$node->append_conf('postgresql.conf', "walarch.archive = ''");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION walarch');

sub empty_dir
{
	my ($dir) = @_;

	opendir(my $handle, $dir) or die "could not open \"$dir\": $!";
	my @entries = map { "$dir/$_" } grep { !/^\.\.?$/ } readdir $handle;
	closedir $handle;
	system('rm', '-rf', @entries) == 0 or die "could not empty \"$dir\"" if @entries;
	return;
}

# Record what the archiver, and maybe another process, does until nothing waits.
sub record
{
	my ($name, $begin, @others) = @_;
	my $out = $node->basedir . "/trace.$name";
	my $tracer = root_do('strace', join(',', archiver_pid($node), @others), $out, '--', '-f', '-y', '-xx',
		'-s', '4000000', '-e',
		'trace=openat,close,write,pwrite64,fsync,fdatasync,link,linkat,rename,renameat,'
		  . 'renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir');

	$begin->();
	wait_archived($node);
	root_do('kill', $tracer);
	# It tells the next archiver whose temporaries it may sweep.
	copy("$pgdata/pg_stat_tmp/walarch.status", $out . '.status') or die "no status file: $!";
	return $out;
}

sub threads { return map { m{([^/]+)$} ? ($1 => 1) : () } glob '/proc/' . archiver_pid($node) . '/task/*'; }

# Record a command, and the archiver beside it: the trace, the archiver's
# threads, and what the command said. It begins when the tracer is there.
sub record_command
{
	my ($name, @command) = @_;
	my $said = $node->basedir . "/said.$name";
	my %threads = threads();
	my $pid = fork() // die "could not fork: $!";

	if ($pid == 0)
	{
		open(STDOUT, '>', $said) or die "could not open \"$said\": $!";
		exec 'sh', '-c', 'kill -STOP $$; exec "$@"', 'sh', @command;
		die "could not run sh: $!";
	}
	wait_until('the command to stop', sub { slurp_file("/proc/$pid/stat") =~ /\) T / });
	my $out = record(
		$name,
		sub {
			kill 'CONT', $pid;
			waitpid $pid, 0;
			is($?, 0, "$name: the command succeeds");
			%threads = (%threads, threads());
		},
		$pid);
	return ($out, \%threads, slurp_file($said));
}

sub disk
{
	return PowerCut->new(
		roots => [ $archive, $pgdata ],
		only => { $pgdata => qr/^walarch\.known/ });
}

# Every state after a trace, once: { archive, data, done => {names}, said => text }.
sub states
{
	my ($disk, $trace, $threads, $watch) = @_;
	my (%states, %done, $calls);
	my $said = '';

	my $look = sub {
		foreach my $chosen ($disk->choices($all_up_to, $at_random))
		{
			my $state = {
				archive => $disk->tree($archive, $chosen),
				data => $disk->tree($pgdata, $chosen),
				done => {%done},
				said => $said,
				status => "$trace.status"
			};
			my $key = join ' ', map({ PowerCut::key_of($state->{$_}) } 'archive', 'data'),
			  $said, sort keys %done;

			$states{$key} //= $state;
		}
	};
	$disk->replay(
		$trace, $pgdata,
		sub {
			my ($event, $detail, @paths) = @_;

			$calls++;
			$done{$detail} = 1 if $event eq 'done' && $detail =~ /^[0-9A-F]{24}$/;
			$said .= $detail if $event eq 'said';
			$watch->($detail, \@paths, $said) if $watch && $event eq 'change';
			$look->();
		},
		$threads);
	my @all = map { $states{$_} } sort keys %states;
	return ($calls, @all);
}

# A part of them at random.
sub some_of
{
	my ($count, @states) = @_;

	while (@states > $count)
	{
		splice @states, int rand @states, 1;
	}
	return @states;
}

# What walarch get makes of each name: (exit status, right bytes or not).
sub deliveries
{
	my ($names) = @_;
	my %got;

	empty_dir($outputs);
	my ($status, $stdout) = run_in($outputs, 'sh', '-c',
		'bin=$1 archive=$2; shift 2; for wal; do "$bin" get --archive "$archive" '
		  . '--retry-for 0 --prefetch off "$wal" "./$wal" 2>/dev/null; echo "$wal $?"; done',
		'sh', $ENV{WALARCH_BIN}, $work, @$names);

	foreach my $line (split /\n/, $stdout)
	{
		my ($wal, $exit) = split / /, $line;
		$got{$wal} = {
			exit => $exit,
			right => $exit == 0 && slurp_binary("$outputs/$wal") eq $original{$wal}
		};
	}
	return \%got;
}

# What is wrong with a state; nothing, if all is well. Of an object that was
# damaged before, verify is right to complain until it is replaced.
sub faults
{
	my ($state, $damaged) = @_;
	my @names = sort keys %original;
	my @wrong;

	empty_dir($work);
	PowerCut::build($state->{archive}, $work);
	my $got = deliveries(\@names);
	foreach my $wal (@names)
	{
		my $delivered = $got->{$wal} // { exit => 'none', right => 0 };

		push @wrong, "$wal: acknowledged, but get says $delivered->{exit}"
		  if $state->{done}{$wal} && $delivered->{exit} ne '0';
		push @wrong, "$wal: delivered with other bytes"
		  if $delivered->{exit} eq '0' && !$delivered->{right};
	}

	my $marker = defined $state->{archive}{'archive.id'};
	my $known = defined $state->{data}{'walarch.known'};
	push @wrong, 'archive.id is known to the server, but not there' if $known && !$marker;
	push @wrong, 'acknowledged before the archive was known' if %{ $state->{done} } && !$known;

	if ($marker)
	{
		my ($status, $json) =
		  run_in('/', $ENV{WALARCH_BIN}, 'verify', '--archive', $work, '--json', '--jobs', 1);
		my $answer = eval { decode_json($json) };

		push @wrong, "verify ended with $status and no answer" unless $answer;
		# A hole before what nobody acknowledged is what promise 10 allows.
		push @wrong, map { "verify: $_->{severity} $_->{object}: $_->{finding}" }
		  grep {
			my ($wal) = $_->{object} =~ /([0-9A-F]{24})/;
			my $pending = !$state->{done}{ $wal // '' };
			my $excused = $_->{finding} =~ /missing/ || ($wal // '') eq ($damaged // '-');

			$_->{severity} ne 'notice' && !($pending && $excused)
		  } @{ $answer->{findings} // [] };
	}
	return @wrong;
}

sub describe
{
	my ($state) = @_;

	return join "\n", 'done: ' . join(' ', sort keys %{ $state->{done} }),
	  map { "  $_" . (defined $state->{archive}{$_} ? ' ' . length PowerCut::bytes($state->{archive}{$_}) : '/') }
	  sort keys %{ $state->{archive} };
}

sub judge
{
	my ($name, $judge, $bound, $calls, @states) = @_;
	my @judged = some_of($bound, @states);
	my @bad;

	foreach my $state (@judged)
	{
		my @wrong = $judge->($state) or next;
		push @bad, join("\n", @wrong) . "\n" . describe($state);
	}
	is(scalar @bad, 0, "$name: every state after a power cut is good")
	  or diag("seed $seed, the first of them:\n$bad[0]");
	note(sprintf '%s: %d changes, %d states, %d judged', $name, $calls, scalar @states,
		scalar @judged);
	return;
}

# Temporaries of a state whose maker the status file does not name: what a backup
# has left waits for the next, or for a day to pass.
sub of_no_archiver
{
	my ($state) = @_;
	my $status = slurp_binary($state->{status});

	return grep { my ($token) = split /-/; index($status, $token) < 0 }
	  map { m{^tmp/(.+)} ? $1 : () } sort keys %{ $state->{archive} };
}

# Go on from a state with a real server: what was acknowledged last is presented
# again, too, since the name .done is not synced.
sub resume
{
	my ($name, $state) = @_;
	my @done = sort keys %{ $state->{done} };

	$node->stop('immediate') if -e "$pgdata/postmaster.pid";
	empty_dir($archive);
	PowerCut::build($state->{archive}, $archive);
	unlink "$pgdata/walarch.known";
	PowerCut::build($state->{data}, $pgdata);
	copy($state->{status}, "$pgdata/pg_stat_tmp/walarch.status") or die "no status file: $!";
	present_again($node, grep { !$state->{done}{$_} || $_ eq ($done[-1] // '') } sort keys %original);
	$node->start;
	wait_archived($node);

	my @bad = grep {
		my $raw = object_raw($archive, $_);
		!defined $raw || $raw ne $original{$_}
	} sort keys %original;
	is("@bad", '', "$name: archiving goes on, and all is whole");
	my ($status, $json) = run_in('/', $ENV{WALARCH_BIN}, 'verify', '--archive', $archive, '--json');
	is($status, 0, "$name: verify finds nothing") or diag($json);
	is(join(' ', temporary_files($archive)), join(' ', of_no_archiver($state)),
		"$name: nothing of an archiver is left in tmp/, and nothing else is gone");
	return;
}

# --- a backlog into a new archive

for (1 .. $segments)
{
	write_wal($node, 300);
	switch_wal($node);
}
my @wal = sort map { /^([0-9A-F]{24})\.ready$/ ? $1 : () } slurp_dir("$pgdata/pg_wal/archive_status");
$original{$_} = slurp_binary("$pgdata/pg_wal/$_") foreach @wal;
wait_for_archiver($node);
my $disk = disk();
my $trace = record('backlog', sub { set_conf($node, 'walarch.archive', $archive) });
my ($calls, @backlog) = states($disk, $trace);
is(join(' ', sort map { keys %{ $_->{done} } }
		(sort { keys %{ $b->{done} } <=> keys %{ $a->{done} } } @backlog)[0]),
	"@wal", 'the trace has every acknowledgement');
cmp_ok(scalar @backlog, '>', 50, 'there are states to judge');
judge('a backlog', \&faults, $most, $calls, @backlog);

# --- an identical object, and a damaged one that is replaced

set_conf($node, 'walarch.archive', '');
wait_status($node, "state = 'unconfigured'");
my ($identical, $damaged) = @wal[ 1, 3 ];
my $bytes = object_bytes($archive, $damaged);
substr($bytes, length($bytes) / 2, 64) = "\xff" x 64;
chmod 0600, object_path($archive, $damaged);
write_binary(object_path($archive, $damaged), $bytes);
present_again($node, $identical, $damaged);
push @wal, switch_wal($node);
$original{ $wal[-1] } = slurp_binary("$pgdata/pg_wal/$wal[-1]");
my %before = map { $_ => 1 } grep { $_ ne $damaged && $_ ne $wal[-1] } @wal;
$disk = disk();
$trace = record('again', sub { set_conf($node, 'walarch.archive', $archive) });
($calls, my @again) = states($disk, $trace);
foreach my $state (@again)
{
	$state->{done} = { %before, %{ $state->{done} } };
}
is(join(' ', damaged_files($archive)), "$damaged.zst.1", 'the damaged one was set aside');

cmp_ok(scalar @again, '>', 10, 'there are states to judge');
judge('archived again', sub { faults($_[0], $damaged) }, $most, $calls, @again);

# --- a backup, and the WAL that it needs

my @connection = ('--host', $node->host, '--port', $node->port, '--checkpoint', 'fast');
my @backup = ($ENV{WALARCH_BIN}, 'backup', '--archive', $archive, @connection, '--json');

sub new_backup { return decode_json((run_in('/', @backup))[1])->{backup_id}; }

# Everything that is in pg_wal, as it is.
sub look_at_originals
{
	$original{$_} //= slurp_binary("$pgdata/pg_wal/$_")
	  foreach map { /^([0-9A-F]{24})\.(?:done|ready)$/ ? $1 : () } slurp_dir("$pgdata/pg_wal/archive_status");
	return;
}

# What a command finds in the archive that was built last.
sub listed
{
	my ($status, $json, $stderr) = run_in('/', $ENV{WALARCH_BIN}, 'list', '--archive', $work, '--json');

	return eval { decode_json($json) } // { error => "$status $stderr" };
}

# One of a command's states: nothing wrong in it but what a notice is given of.
sub faults_of_backup
{
	my ($state, $id) = @_;
	my @wrong = faults($state, undef);
	my $list = listed();
	my ($there) = grep { $_->{backup_id} eq $id && $_->{source} eq 'base' } @{ $list->{backups} // [] };

	return (@wrong, "list: $list->{error}") if $list->{error};
	push @wrong, "it is offered, and cannot be restored: $there->{reason}" if $there && !$there->{usable};
	push @wrong, 'it was said to be taken, and is not there' if $state->{said} ne '' && !$there;
	return @wrong;
}

# It is restored, and what pg_verifybackup makes of that.
sub restored
{
	my ($name, $state, $id) = @_;
	my $dir = $node->basedir . '/restored';

	empty_dir($work);
	PowerCut::build($state->{archive}, $work);
	my ($status, undef, $stderr) = run_in('/', $ENV{WALARCH_BIN}, 'restore', '--archive', $work,
		'--backup', $id, '-D', $dir, '--quiet');
	is($status, 0, "$name: it is restored") or diag($stderr);
	($status, undef, $stderr) = run_in('/', 'pg_verifybackup', '--no-parse-wal',
		'--ignore=postgresql.auto.conf', '--ignore=recovery.signal', $dir);
	is($status, 0, "$name: as it was taken") or diag($stderr);
	system('rm', '-rf', $dir);
	return;
}

set_conf($node, 'walarch.archive', $archive);
write_wal($node, 300);
switch_and_archive($node);
look_at_originals();
%before = map { $_ => 1 } keys %original;
$disk = disk();
($trace, my $threads, my $said) = record_command('backup', @backup);
my $first = decode_json($said)->{backup_id};
look_at_originals();
($calls, my @backups) = states($disk, $trace, $threads);
$_->{done} = { %before, %{ $_->{done} } } foreach @backups;
cmp_ok(scalar(grep { $_->{said} ne '' } @backups), '>', 0, 'the trace has what the command said');
cmp_ok(scalar(grep { defined $_->{archive}{"base/$first/backup"} } @backups), '>', 1, 'and the backup itself');
my $whole = $disk->tree($archive, {});
my @flaws = map { my $state = $_; map { "$_ is not there" } lost_under($state->{archive}, $first, $whole) } @backups;
is($flaws[0] // '', '', 'a backup: where it is offered, all of it is there');
judge('a backup', sub { faults_of_backup($_[0], $first) }, $most_of_commands, $calls, @backups);
restored("state of a backup $_->[0]", $_->[1], $first)
  foreach map { [ $_, (some_of(1, grep { $_->{said} ne '' } @backups)) ] } 1 .. ($resumes + 1) / 2;

# --- a prune: the first backup goes, and the WAL before the second

my @pruning = ($ENV{WALARCH_BIN}, 'prune', '--retention-backups', 1, '--apply', '--archive');

# Which of its WAL does a backup need? All from its first segment on.
sub lost_under
{
	my ($tree, $id, $all) = @_;
	my ($from) = $id =~ /^([0-9A-F]{24})/;

	return unless defined $tree->{"base/$id/backup"};
	return grep { ($tree->{$_} // '') ne $all->{$_} }
	  grep { m{^base/\Q$id\E/.*\.zst$} || m{^wal/.*/([0-9A-F]{24})\.zst$} && $1 ge $from } sort keys %$all;
}

# What can be seen without a command.
sub flaws_of_prune
{
	my ($state, $start, $end) = @_;
	my $tree = $state->{archive};
	my @wrong;

	foreach my $path (sort keys %$start)
	{
		push @wrong, "$path was to stay, and is gone" if exists $end->{$path} && !exists $tree->{$path};
		push @wrong, "$path has other bytes"
		  if defined $start->{$path} && defined $tree->{$path} && $tree->{$path} ne $start->{$path};
	}
	return @wrong, map { "$_ is gone from under a backup" } lost_under($tree, $first, $start);
}

sub faults_of_prune
{
	my ($state, $start, $end) = @_;
	my @wrong;

	empty_dir($work);
	PowerCut::build($state->{archive}, $work);
	my $list = listed();
	push @wrong, "list: $list->{error}" if $list->{error};
	my ($status, undef, $stderr) = run_in('/', @pruning, $work);
	push @wrong, "the next prune: $status $stderr" if $status ne '0';
	my $then = join ' ', grep { !m{^tmp/} } map { files_below($work, $_) } 'wal', 'base', 'pins', 'damaged';
	my $wanted = join ' ', grep { defined $end->{$_} } sort grep { m{^(?:wal|base|pins|damaged)/} } keys %$end;
	push @wrong, "the next prune leaves $then" if join(' ', sort split / /, $then) ne $wanted;
	return @wrong;
}

foreach (1 .. 3)
{
	write_wal($node, 300);
	switch_and_archive($node);
}
my $second = new_backup();
is((run_in('/', $ENV{WALARCH_BIN}, 'pin', 'held', '--backup', $second, '--archive', $archive))[0], 0, 'a pin');
look_at_originals();
$disk = disk();
my $start = $disk->tree($archive, {});
($trace, $threads, $said) = record_command('prune', @pruning, $archive);
my $end = disk()->tree($archive, {});
my ($going, $unsaid) = (0, '');
($calls, my @pruned) = states(
	$disk, $trace, $threads,
	sub {
		my ($call, $paths, $text) = @_;

		return unless $call =~ /^unlink/ && grep { /\.zst$/ } @$paths;
		$going++;
		$unsaid ||= "@$paths" if $text !~ /delete/ || index($said, $text) != 0;
	});
cmp_ok($going, '>', 5, 'objects are deleted');
is($unsaid, '', 'and each was announced before');
ok(!defined $end->{"base/$first/backup"} && defined $end->{"base/$second/backup"} && defined $end->{'pins/held'},
	'the first backup is, the second and its pin are not');
cmp_ok(scalar @pruned, '>', 50, 'there are states to judge');
@flaws = map { flaws_of_prune($_, $start, $end) } @pruned;
is($flaws[0] // '', '', 'a prune: in every state what stays is there, and nothing is gone from under a backup');
judge('a prune', sub { faults_of_prune($_[0], $start, $end) }, $most_of_commands, $calls, @pruned);

# --- and on with real servers

set_conf($node, 'walarch.archive', $archive);
my $number = 0;
resume('state ' . ++$number, $_) foreach some_of($resumes, @backlog, @again);
foreach my $state (some_of($resumes > 2 ? $resumes / 2 : 1, grep { $_->{said} eq '' } @backups))
{
	resume('state ' . ++$number, $state);
	my ($status, undef, $stderr) = run_in('/', @backup);
	is($status, 0, "state $number: the next backup succeeds") or diag($stderr);
	is((run_in('/', $ENV{WALARCH_BIN}, 'verify', '--archive', $archive))[0], 0, "state $number: and all is whole");
	look_at_originals();		# the next archive lacks them
}
$node->stop;

done_testing();
