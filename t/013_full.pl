# A full archive costs nothing but time: the failure is counted with SQLSTATE
# 53100 and shown, the half-written file is gone, the server works on, and as
# soon as there is room everything is archived.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use RootHelper;
use WalArch;

plan skip_all => 'mounting a file system of limited size needs root'
  unless root_available('tmpfs');

# Fill the file system of a directory to the last byte.
sub fill
{
	my ($file) = @_;
	my $block = "\x55" x 65536;

	open(my $handle, '>:raw', $file) or die "could not create \"$file\": $!";
	while (length $block > 0)
	{
		my $written = syswrite($handle, $block);
		$block = substr($block, 0, length($block) / 2) unless defined $written;
	}
	close $handle;
	return;
}

# Attempts go on, and each has a temporary while it lasts; but after three of them
# PostgreSQL waits for longer than this does.
sub no_temporary
{
	my ($dir, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(eval { wait_until('tmp/ to be empty', sub { !temporary_files($dir) }, 30) }, $what)
	  or diag(join ' ', temporary_files($dir));
	return;
}

my $node = PostgreSQL::Test::Cluster->new('main');
my $archive = $node->basedir . '/archive';
root_do('tmpfs', $archive, '20M');
$node->init(allows_streaming => 1, extra => ['--wal-segsize=1']);
$node->{walarch_archive} = $archive;
$node->append_conf('postgresql.conf', archive_conf($archive) . "wal_keep_size = '1GB'\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION walarch');
switch_and_archive($node);
cmp_ok(status($node)->{free_bytes}, '<', 20 * 1024 * 1024, 'free space is that of the archive');

# room for part of an object only
write_wal($node, 700);
my $filler = "$archive/filler";
fill($filler);
truncate $filler, (-s $filler) - 262144 or die $!;
my $before = log_position($node);
my $wal = switch_wal($node);
my $status = wait_status($node, "state = 'failing'");
is($status->{last_error_sqlstate}, '53100', 'a full archive is "disk full"')
  or diag($status->{last_error});
like($status->{last_error}, qr/could not write "\Q$archive\E\/tmp\/.*No space left on device/,
	'the message names file and reason');
is($status->{last_failed_wal}, $wal, 'the file that failed is shown');
like(log_since($node, $before), qr/HINT: .*Make room there/, 'the log says what to do');
ok(!-e object_path($archive, $wal), 'nothing is published');
no_temporary($archive, 'no temporary takes up what little room there is');
ok(!is_archived($node, $wal), 'nothing is acknowledged');

# a file that is at hand is still good, and the server works on
my @wal = ($wal);
for (1 .. 3)
{
	write_wal($node, 700);
	push @wal, switch_wal($node);
}
$status = wait_status($node, 'failed_count >= 4');
is($status->{backlog_files}, 4, 'the backlog is counted');
is($status->{backlog_bytes}, 4 * 1024 * 1024, 'and its bytes');
is($status->{oldest_waiting_wal}, $wal, 'and its first file');

# not even an i-node's worth of room
fill($filler . '2');
my $failed = status($node)->{failed_count};
kick($node);
$status = wait_status($node, "failed_count > $failed");
is($status->{last_error_sqlstate}, '53100', 'nothing at all fits: "disk full"');
no_temporary($archive, 'and still no temporary stays');

unlink $filler, $filler . '2';
kick($node);
wait_archived($node);
object_is($archive, $_, data_file($node, "pg_wal/$_"), "$_ is archived once there is room") for @wal;
$status = status($node);
is($status->{state}, 'ok', 'the state is ok again');
is($status->{consecutive_failures}, 0, 'no failure since');
cmp_ok($status->{failed_count}, '>', 0, 'what failed stays counted');
is($status->{last_error_sqlstate}, '53100', 'and the last error can still be read');
$node->stop;

done_testing();
