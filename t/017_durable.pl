# Acknowledged means durable, seen from the system calls: the file is synced
# before it gets its name, the directory after, the directories above once, and
# only then does PostgreSQL hear of it. A file whose fsync failed is thrown away;
# a published one whose directory could not be synced is written anew and
# replaced, also by the next archiver.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use RootHelper;
use WalArch;

plan skip_all => 'tracing system calls needs root and strace'
  unless root_available('strace', 'kill');

my $node = new_primary(
	'main',
	start => 0,
	extra => ['--wal-segsize=1'],
	conf => "wal_keep_size = '1GB'\nrestart_after_crash = on\nwalarch.workers = 1\n");
my $archive = archive_dir($node);

# Not configured before it can be watched: initdb may leave finished segments.
$node->append_conf('postgresql.conf', "walarch.archive = ''");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION walarch');

my $traces = 0;

# Attach to the archiver and all its threads; (tracer, file it writes).
sub trace
{
	my (@args) = @_;
	my $out = $node->basedir . '/strace.' . ++$traces;

	return (root_do('strace', archiver_pid($node), $out, '--', '-f', '-y', @args), $out);
}

# Completed calls in the order in which they returned, as [name, arguments, result].
sub calls
{
	my ($file) = @_;
	my (@calls, %pending);

	for my $line (split /\n/, by_keys(slurp_file($file)))
	{
		my ($pid, $rest) = $line =~ /^(\d+)\s+(.*)$/ or next;

		if ($rest =~ /^(\w+)\((.*)<unfinished \.\.\.>$/)
		{
			$pending{$pid} = [ $1, $2 ];
		}
		elsif ($rest =~ /^<\.\.\. (\w+) resumed>(.*)\)\s+= (-?\d+)/)
		{
			my $begun = delete $pending{$pid} // [ $1, '' ];
			push @calls, [ $1, $begun->[1] . $2, $3 ];
		}
		elsif ($rest =~ /^(\w+)\((.*)\)\s+= (-?\d+)/)
		{
			push @calls, [ $1, $2, $3 ];
		}
	}
	return @calls;
}

# End a trace when the last call is in it by which PostgreSQL notes a file: that
# can be seen before the tracer has heard of its return.
sub end_trace
{
	my ($tracer, $out, $wal) = @_;

	wait_until("$wal.done in the trace",
		sub { my @calls = calls($out); find(\@calls, 0, 'rename|renameat|renameat2', qr/\/$wal\.ready".*\/$wal\.done"/) >= 0 });
	root_do('kill', $tracer);
	return;
}

# Index of the first call after $from that matches, or -1.
sub find
{
	my ($calls, $from, $name, $pattern) = @_;

	for my $i ($from .. $#$calls)
	{
		return $i
		  if $calls->[$i][0] =~ /^(?:$name)$/ && $calls->[$i][1] =~ $pattern && $calls->[$i][2] == 0;
	}
	return -1;
}

sub story
{
	my ($calls) = @_;
	return map { "$_->[0]($_->[1]) = $_->[2]\n" } @$calls;
}

# fsync(file) < its name < fsync(directory) < .done; the index of the .done.
sub in_order
{
	my ($calls, $wal, $what) = @_;
	my $key = object_key($wal);
	my $dir = substr($wal, 0, 16);
	my $publish = find($calls, 0, 'renameat2|linkat', qr/"tmp\/[0-9a-f]+-\d+".*"\Q$key\E"/);
	my ($temporary) = $publish >= 0 ? $calls->[$publish][1] =~ /"(tmp\/[0-9a-f]+-\d+)"/ : ('none');
	my $sync_file = find($calls, 0, 'fsync', qr/\/\Q$temporary\E>/);
	my $sync_dir = find($calls, $publish + 1, 'fsync', qr/\/wal\/$dir>/);
	my $done = find($calls, 0, 'rename|renameat|renameat2', qr/\/$wal\.ready".*\/$wal\.done"/);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok( $sync_file >= 0 && $sync_file < $publish,
		"$what: the file is synced before it has its name");
	ok($sync_dir > $publish && $publish >= 0, "$what: the directory is synced after");
	ok($done > $sync_dir && $sync_dir >= 0, "$what: PostgreSQL hears of it last");
	diag("file $sync_file, name $publish, directory $sync_dir, .done $done\n", story($calls))
	  unless $done > $sync_dir
	  && $sync_dir > $publish
	  && $publish > $sync_file
	  && $sync_file >= 0;
	return $done;
}

my @syscalls = ('-e', 'trace=fsync,fdatasync,rename,renameat,renameat2,linkat,link');

# --- the first object of an archive, and the next

switch_wal($node);
my ($first) = sort map { /^([0-9A-F]{24})\.ready$/ ? $1 : () } slurp_dir(data_file($node, 'pg_wal/archive_status'));
wait_for_archiver($node);
my ($tracer, $out) = trace(@syscalls);
set_conf($node, 'walarch.archive', $archive);
wait_archived($node, $first);
my $second = switch_and_archive($node);
end_trace($tracer, $out, $second);
my @calls = calls($out);

my $done = in_order(\@calls, $first, 'the first object');
in_order(\@calls, $second, 'the next object');

my $marker = find(\@calls, 0, 'renameat2|linkat', qr/"tmp\/[^"]*".*"archive\.id"/);
my $known = find(\@calls, 0, 'rename|renameat', qr/"walarch\.known\.tmp".*"walarch\.known"/);
my $publish = find(\@calls, 0, 'renameat2|linkat', qr/\Q$first\E\.zst"/);
ok( $marker >= 0 && $marker < $known && $known < $publish,
	'marker, then walarch.known, then the first object')
  or diag("marker $marker, known $known, object $publish\n", story(\@calls));
my $top_synced = find(\@calls, $marker + 1, 'fsync', qr/<\Q$archive\E>/);
ok($top_synced > $marker && $top_synced < $known, 'the marker is durable before it is noted');
ok( find(\@calls, 0, 'fsync', qr/walarch\.known\.tmp>/) < $known
	  && find(\@calls, 0, 'fsync', qr/walarch\.known\.tmp>/) >= 0,
	'walarch.known is synced before it has its name');
my $pgdata = $node->data_dir;
my $known_dir = find(\@calls, $known + 1, 'fsync', qr/<\Q$pgdata\E>/);
ok($known_dir > $known && $known_dir < $publish, 'and its directory after');
for my $above ("$archive/wal", $archive, $node->basedir)
{
	my $at = find(\@calls, 0, 'fsync', qr/<\Q$above\E>/);
	ok($at >= 0 && $at < $done, 'the directories above are synced, too: ' . ($above =~ s/.*\///r))
	  or diag(story(\@calls));
}
my $wal_dir_synced = find(\@calls, $publish + 1, 'fsync', qr/<\Q$archive\E\/wal>/);
ok($wal_dir_synced > 0 && $wal_dir_synced < $done,
	'wal/ is synced after the directory of the timeline was made in it');

# --- an identical object is made sure of

$node->stop;
present_again($node, $second);
$node->start;
wait_archived($node);
switch_and_archive($node);
set_conf($node, 'walarch.archive', '');
wait_status($node, "state = 'unconfigured'");
present_again($node, $first);
($tracer, $out) = trace(@syscalls);
set_conf($node, 'walarch.archive', $archive);
wait_archived($node);
end_trace($tracer, $out, $first);
@calls = calls($out);
$done = find(\@calls, 0, 'rename|renameat|renameat2', qr/\/$first\.ready".*\/$first\.done"/);
my $file_synced = find(\@calls, 0, 'fsync', qr/\/\Q$first\E\.zst>/);
my $dir_synced = find(\@calls, 0, 'fsync', qr/\/wal\/[0-9A-F]{16}>/);
ok( $file_synced >= 0 && $dir_synced >= 0 && $file_synced < $done && $dir_synced < $done,
	'an identical object and its name are synced before they are acknowledged')
  or diag("file $file_synced, directory $dir_synced, .done $done\n", story(\@calls));

# --- fsync of the staged file fails

my $before = status($node);
($tracer, $out) = trace('-e', 'trace=fsync,unlinkat,openat', '-e', 'inject=fsync:error=EIO:when=1');
my $position = log_position($node);
my $wal = switch_and_archive($node);
root_do('kill', $tracer);
my $status = status($node);
is($status->{failed_count}, $before->{failed_count} + 1, 'a failed fsync is a counted failure');
is($status->{last_error_sqlstate}, '58030', 'an I/O error');
like($status->{last_error}, qr/could not fsync "\Q$archive\E\/tmp\/\S+": Input\/output error/,
	'that names the file');
object_is($archive, $wal, data_file($node, "pg_wal/$wal"), 'the next attempt stores it');
is(join(' ', temporary_files($archive)), '', 'the file whose fsync failed is gone');
@calls = calls($out);
my ($failed) = grep { $calls[$_][0] eq 'fsync' && $calls[$_][2] != 0 } 0 .. $#calls;
my $removed = find(\@calls, $failed + 1, 'unlinkat', qr/"tmp\/[0-9a-f]+-\d+"/);
my ($created) = grep {
	$calls[$_][0] eq 'openat' && $calls[$_][1] =~ /"tmp\/[0-9a-f]+-\d+", \S*O_CREAT\|O_EXCL/
} $failed + 1 .. $#calls;
my $synced = find(\@calls, $failed + 1, 'fsync', qr/\/tmp\/[0-9a-f]+-\d+>/);
ok( $removed > $failed && defined $created && $removed < $created && $created < $synced,
	'it was never synced again: removed, a new one made, that one synced')
  or diag(story(\@calls));
is($status->{replaced_count}, $before->{replaced_count}, 'nothing had to be replaced');

# --- fsync of the directory fails after the name was given

$before = status($node);
($tracer, $out) = trace(@syscalls, '-e', 'inject=fsync:error=EIO:when=2');
$wal = switch_and_archive($node);
end_trace($tracer, $out, $wal);
$status = status($node);
is($status->{failed_count}, $before->{failed_count} + 1, 'a failed fsync of the directory, too');
like($status->{last_error}, qr/could not fsync directory "\Q$archive\E\/wal\/\w+": Input\/output error/,
	'names it');
is($status->{replaced_count}, $before->{replaced_count} + 1,
	'what may not be durable is written anew and replaced');
is($status->{identical_count}, $before->{identical_count}, 'and not taken for identical');
object_is($archive, $wal, data_file($node, "pg_wal/$wal"), 'the object is good');
is(join(' ', damaged_files($archive)), "$wal.zst.1", 'the first one is kept aside');
is(join(' ', temporary_files($archive)), '', 'nothing is left in tmp/');
@calls = calls($out);
$done = find(\@calls, 0, 'rename|renameat|renameat2', qr/\/$wal\.ready".*\/$wal\.done"/);
my $exchange = find(\@calls, 0, 'renameat2|rename|renameat', qr/"damaged\/.*"\Q@{[object_key($wal)]}\E".*EXCHANGE|"tmp\/.*"\Q@{[object_key($wal)]}\E", 0/);
my $aside_synced = find(\@calls, 0, 'fsync', qr/\/damaged>/);
$dir_synced = find(\@calls, $exchange + 1, 'fsync', qr/\/wal\/[0-9A-F]{16}>/);
ok($aside_synced >= 0 && $aside_synced < $exchange, 'damaged/ is synced before names are exchanged')
  or diag("aside $aside_synced, exchange $exchange\n", story(\@calls));
ok($dir_synced > $exchange && $exchange >= 0 && $dir_synced < $done,
	'the directory is synced after that and before PostgreSQL hears of it')
  or diag("exchange $exchange, directory $dir_synced, .done $done\n", story(\@calls));

# --- the same, and the archiver dies before it can try again

$before = status($node);
my $archiver = archiver_pid($node);
($tracer, $out) = trace('-e', 'trace=fsync', '-e', 'inject=fsync:error=EIO:when=2+');
$wal = switch_wal($node);
wait_until('a failure', sub { status_value($node, "failed_count > $before->{failed_count}") eq 't' });
like(status($node)->{last_error}, qr/could not fsync/, 'fsync fails and fails');
kill 'KILL', $archiver;
root_do('kill', $tracer);
wait_until('another archiver',
	sub {
		my ($exit, $stdout) = $node->psql('postgres',
			"SELECT pid FROM pg_stat_activity WHERE backend_type = 'archiver'");
		return $exit == 0 && $stdout ne '' && $stdout ne $archiver;
	});
wait_archived($node, $wal);
$status = status($node);
is($status->{replaced_count}, $before->{replaced_count} + 1,
	'the next archiver knows what may not be durable')
  or diag(log_since($node, $position));
object_is($archive, $wal, data_file($node, "pg_wal/$wal"), 'and the object is good');
is(join(' ', temporary_files($archive)), '', 'nothing is left in tmp/');
# --- and when another archive was tried in between

sub fails_and_fails
{
	my ($tracer) = trace('-e', 'trace=fsync', '-e', 'inject=fsync:error=EIO:when=2+');
	my $failed = status($node)->{failed_count};
	my $wal = switch_wal($node);

	wait_status($node, "failed_count > $failed");
	return ($tracer, $wal);
}

$before = status($node);
($tracer, $wal) = fails_and_fails();
set_conf($node, 'walarch.archive', $node->basedir . '/nowhere');
wait_until('another archive to fail',
	sub { kick($node); status($node)->{last_error} =~ /nowhere/ });
root_do('kill', $tracer);
set_conf($node, 'walarch.archive', $archive);
wait_until('the first one to be used', sub { kick($node); is_archived($node, $wal) });
$status = status($node);
is($status->{identical_count}, $before->{identical_count}, 'away and back: not taken for identical');
is($status->{replaced_count}, $before->{replaced_count} + 1, 'but written anew');

# --- an fsync fails so late that nobody waits for it, and the archiver dies

# a time-out that only what is delayed exceeds, not the fsync before it
set_conf($node, 'walarch.timeout', '4s');
switch_and_archive($node);
$before = status($node);
($tracer, $out) = trace('-e', 'trace=fsync', '-e', 'inject=fsync:error=EIO:delay_enter=15000000:when=2');
$wal = switch_wal($node);
wait_until('an fsync to fail late', sub { slurp_file($out) =~ /EIO/ });
ok(!is_archived($node, $wal), 'a late failure');
$archiver = archiver_pid($node);
kill 'KILL', $archiver;
eval { root_do('kill', $tracer) };
wait_until('another archiver', sub { (eval { archiver_pid($node) } || $archiver) ne $archiver });
wait_archived($node, $wal);
$status = status($node);
is($status->{identical_count}, $before->{identical_count}, 'is not forgotten with the archiver');
is($status->{replaced_count}, $before->{replaced_count} + 1, 'but written anew');
set_conf($node, 'walarch.timeout', '60s');

# --- many failures do not make every object suspect

$before = status($node);
my $first_dir = "$archive/wal/" . substr($first, 0, 16);
($tracer) = trace('-P', $first_dir, '-e', 'trace=fsync', '-e', 'inject=fsync:error=EIO');
$wal = switch_wal($node);
wait_until('failures',
	sub { kick($node); status($node)->{failed_count} > $before->{failed_count} + 10 });
root_do('kill', $tracer);
wait_until('the end of them', sub { kick($node); is_archived($node, $wal) });
$node->stop;
present_again($node, $second);
$node->start;
wait_archived($node);
is(join(' ', grep { /^\Q$second\E/ } damaged_files($archive)), '',
	'what was durable long before the failures is still trusted');

# --- a directory that was removed and is made again

for my $round (1 .. 5)
{
	system('rm', '-rf', $first_dir) == 0 or die "could not remove \"$first_dir\"";
	($tracer, $out) = trace(@syscalls);
	switch_and_archive($node);
	root_do('kill', $tracer);
	@calls = calls($out);
	ok(find(\@calls, 0, 'fsync', qr/<\Q$archive\E\/wal>/) >= 0,
		"round $round: its name is synced again, whatever its inode")
	  or diag(story(\@calls));
}
$node->stop;

done_testing();
