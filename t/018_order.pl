# Nothing becomes visible before what comes before it: while one file cannot be
# archived no later one is in the archive, and afterwards they come in order.
# And whatever walarch keeps beside the archive can go: without its status file
# archiving and restoring go on, the directory alone is the truth. What lies in
# pg_wal/archive_status is left to PostgreSQL.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

use WalArch;

my $node = new_primary(
	'main',
	extra => ['--wal-segsize=1'],
	conf => "wal_keep_size = '1GB'\n");
my $archive = archive_dir($node);
my $first = switch_and_archive($node);

# --- one that cannot be stored holds back all that follow

set_conf($node, 'walarch.archive', '');
wait_status($node, "state = 'unconfigured'");
my @wal = map { write_wal($node, 100); switch_wal($node) } 1 .. 6;
my $blocked = object_path($archive, $wal[2]);
mkdir $blocked or die "could not make \"$blocked\": $!";

set_conf($node, 'walarch.archive', $archive);
kick($node);
my $status = wait_status($node, "state = 'failing'");
is($status->{last_failed_wal}, $wal[2], 'the third of six cannot be stored');
my %held = map { $_ => 1 } grep { -f object_path($archive, $_) } @wal;
is(join(' ', sort keys %held), "$wal[0] $wal[1]", 'those before it are in the archive, none after it');
is($status->{oldest_waiting_wal}, $wal[2], 'it is the one that waits');

rmdir $blocked or die "could not remove \"$blocked\": $!";
kick($node);
wait_archived($node, $wal[5]);
my %ctime = map { $_ => (Time::HiRes::stat(object_path($archive, $_)))[10] } @wal;
my @order = sort { $ctime{$a} <=> $ctime{$b} || $a cmp $b } @wal;
is(join(' ', @order), join(' ', @wal), 'afterwards all of them, in order');
object_is($archive, $_, data_file($node, "pg_wal/$_"), "$_ is whole") for @wal;
is(join(' ', temporary_files($archive)), '', 'nothing half-written is left');

# --- archive_status holds what PostgreSQL puts there

my @strange = grep { !/^[0-9A-F.a-z]+\.(?:ready|done)$/ } WalArch::files_below(data_file($node, 'pg_wal/archive_status'), '');
is(join(' ', @strange), '', 'nothing else lies in archive_status');

# --- no cache is needed

my $before = status($node)->{archived_count};
cmp_ok($before, '>=', 7, 'counted so far');
unlink glob(data_file($node, 'pg_stat_tmp') . '/walarch.*');
is(status($node)->{archived_count}, 0, 'without the status file nothing is known');
my $next = switch_and_archive($node);
object_is($archive, $next, data_file($node, "pg_wal/$next"), 'archiving goes on');
is(status($node)->{archived_count}, $before + 1, 'and the archiver writes its counters again');

$node->stop;
unlink glob(data_file($node, 'pg_stat_tmp') . '/*');
rmdir data_file($node, 'pg_stat_tmp') or die "could not remove pg_stat_tmp: $!";
my ($exit, $stdout, $stderr) = get($node->data_dir, '--archive', $archive, $first, 'RECOVERYXLOG');
is($exit, 0, 'get needs nothing but the archive') or diag($stderr);
$node->start;
$next = switch_and_archive($node);
object_is($archive, $next, data_file($node, "pg_wal/$next"), 'nor does the archiver');

done_testing();
