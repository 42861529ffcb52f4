# After a power cut every acknowledged file is there and intact, nothing else is
# taken for good, and archiving goes on. The system calls of a real archiver are
# recorded, what the disk may hold after each of them is worked out, and each such
# archive is built and judged by the shipped command; into some of them a real
# server archives on. POWER_STATES bounds how many are judged a scenario,
# POWER_RESUMES how many are gone on with, POWER_SEGMENTS
# is the length of the backlog, POWER_SEED repeats the choices.

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

# Record what the archiver does until nothing waits.
sub record
{
	my ($name, $begin) = @_;
	my $out = $node->basedir . "/trace.$name";
	my $tracer = root_do('strace', archiver_pid($node), $out, '--', '-f', '-y', '-xx',
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

sub disk
{
	return PowerCut->new(
		roots => [ $archive, $pgdata ],
		only => { $pgdata => qr/^walarch\.known/ });
}

# Every state after a trace, once: { archive, data, done => {names} }.
sub states
{
	my ($disk, $trace) = @_;
	my (%states, %done, $calls);

	my $look = sub {
		foreach my $chosen ($disk->choices($all_up_to, $at_random))
		{
			my $state = {
				archive => $disk->tree($archive, $chosen),
				data => $disk->tree($pgdata, $chosen),
				done => {%done},
				status => "$trace.status"
			};
			my $key = join ' ', map({ PowerCut::key_of($state->{$_}) } 'archive', 'data'),
			  sort keys %done;

			$states{$key} //= $state;
		}
	};
	$disk->replay(
		$trace, $pgdata,
		sub {
			my ($event, $detail) = @_;

			$calls++;
			$done{$detail} = 1 if $event eq 'done';
			$look->();
		});
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
	  map { "  $_" . (defined $state->{archive}{$_} ? ' ' . length $state->{archive}{$_} : '/') }
	  sort keys %{ $state->{archive} };
}

sub judge
{
	my ($name, $damaged, $calls, @states) = @_;
	my @judged = some_of($most, @states);
	my @bad;

	foreach my $state (@judged)
	{
		my @wrong = faults($state, $damaged) or next;
		push @bad, join("\n", @wrong) . "\n" . describe($state);
	}
	is(scalar @bad, 0, "$name: every state after a power cut is good")
	  or diag("seed $seed, the first of them:\n$bad[0]");
	note(sprintf '%s: %d changes, %d states, %d judged', $name, $calls, scalar @states,
		scalar @judged);
	return;
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
	is(join(' ', temporary_files($archive)), '', "$name: nothing is left in tmp/");
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
judge('a backlog', undef, $calls, @backlog);

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
judge('archived again', $damaged, $calls, @again);

# --- and on with real servers

set_conf($node, 'walarch.archive', $archive);
my $number = 0;
resume('state ' . ++$number, $_) foreach some_of($resumes, @backlog, @again);
$node->stop;

done_testing();
