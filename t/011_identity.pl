# A server archives only into its own archive: what makes a directory one, what
# is accepted, and that everything else (lost mount, foreign cluster, unreadable
# or unknown marker, missing or unwritable directory) is refused with a message,
# counted, shown, leaves nothing behind, and ends by itself when it is mended.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use RootHelper;
use WalArch;

my $node = new_primary(
	'main',
	mkdir => 0,
	extra => ['--wal-segsize=1']);
my $base = $node->basedir;
my $sysid = $node->safe_psql('postgres', 'SELECT system_identifier FROM pg_control_system()');

# What lies in a directory, for comparison.
sub listing
{
	my ($dir) = @_;
	return "nothing can be listed" unless -d $dir && -x $dir;
	return join("\n", map { join ' ', $_, -s "$dir/$_" // -1 } sort(WalArch::files_below($dir, '')),
		sort grep { -d "$dir/$_" } slurp_dir($dir));
}

sub use_archive
{
	my ($dir) = @_;
	set_conf($node, 'walarch.archive', $dir);
	$node->{walarch_archive} = $dir;
	return;
}

sub new_dir
{
	my ($name) = @_;
	mkdir "$base/$name", 0700 or die "could not create \"$base/$name\": $!";
	return "$base/$name";
}

# The archive is refused with these words and this cause, and stays as it is.
sub refused
{
	my ($dir, $words, $sqlstate, $what) = @_;
	my $before = listing($dir);
	my $position = log_position($node);
	my $failed = status($node)->{failed_count};
	my $archived = status($node)->{archived_count};

	use_archive($dir);
	switch_wal($node);
	my $status = wait_status($node,
		"state = 'failing' AND failed_count > $failed AND last_error ~ '$words'");

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($status->{last_error_sqlstate}, $sqlstate, "$what: refused with $sqlstate");
	like($status->{state_detail}, qr/$words/, "$what: walarch.status says why");
	like(log_since($node, $position),
		qr/WARNING: .*walarch could not archive "[0-9A-F]{24}": .*$words/,
		"$what: so does the log");
	is($status->{archived_count}, $archived, "$what: nothing was acknowledged");
	is(listing($dir), $before, "$what: nothing was written there");
	return;
}

# Once mended, it goes on by itself.
sub recovers
{
	my ($what) = @_;

	kick($node);
	wait_archived($node);
	my $status = wait_status($node, "state = 'ok'");

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($status->{consecutive_failures}, 0, "$what: goes on when that is mended");
	return;
}

# --- missing, then made: an empty directory becomes the archive

my $archive = archive_dir($node);
refused($archive, 'does not exist', '58P01', 'a missing directory');
my $position = log_position($node);
mkdir $archive, 0700 or die "could not create \"$archive\": $!";
recovers('a missing directory');

my $marker = slurp_file("$archive/archive.id");
like(
	$marker,
	qr/\Awalarch-archive: 1\nsystem-identifier: $sysid\narchive-id: [0-9a-f]{32}\nsegment-size: 1048576\n\z/,
	'the marker says what, whose, which and how large');
my ($id) = $marker =~ /archive-id: (\S+)/;
like(log_since($node, $position),
	qr/directory "\Q$archive\E" is now the archive of this cluster, archive id $id/,
	'the log says that it has become the archive');
is(status($node)->{archive_id}, $id, 'walarch.status shows the id');
like(slurp_file(data_file($node, 'walarch.known')),
	qr/^$id \Q$archive\E$/m, 'walarch.known has id and path');

$position = log_position($node);
my $with_lost_found = new_dir('lost_found');
mkdir "$with_lost_found/$_" for ('lost+found', 'tmp');
use_archive($with_lost_found);
switch_and_archive($node);
ok(-s "$with_lost_found/archive.id", 'a fresh file system with lost+found is accepted')
  or diag(listing($with_lost_found));

# --- not empty

my $full = new_dir('full');
append_to_file("$full/letter.txt", "not an archive\n");
refused($full, 'is not empty and has no marker', '55000', 'a directory with other files');
unlink "$full/letter.txt";
recovers('a directory with other files');

# --- a lost mount: the path is known and what was there is not

use_archive($archive);
switch_and_archive($node);
rename $archive, "$base/unmounted" or die $!;
mkdir $archive, 0700 or die $!;
refused($archive, 'has no marker', '55000', 'an empty mount point');
like(log_since($node, 0), qr/HINT: .*mounted\?.*walarch init --archive '\Q$archive\E'/,
	'the hint says what to look at and what to run');
$position = log_position($node);
rmdir $archive or diag("\"$archive\" is not empty:\n" . listing($archive));
rename "$base/unmounted", $archive or die $!;
recovers('an empty mount point');
unlike(log_since($node, $position), qr/archive id/, 'the archive mounted again is no news');

# the marker alone is lost
rename "$archive/archive.id", "$base/archive.id" or die $!;
refused($archive, 'has no marker', '55000', 'an archive without marker');
$position = log_position($node);
my ($exit, $stdout, $stderr) = init($node);
is($exit, 0, 'walarch init accepts the directory') or diag($stderr);
like($stdout, qr/now the archive of the cluster with system identifier $sysid/, 'and says so');
recovers('an archive without marker');
my ($new_id) = slurp_file("$archive/archive.id") =~ /archive-id: (\S+)/;
isnt($new_id, $id, 'with another id');
like(log_since($node, $position),
	qr/LOG:  archive "\Q$archive\E" has a new archive id, $new_id/, 'which the log reports');
switch_and_archive($node);
my $reports = () = log_since($node, $position) =~ /has a new archive id/g;
is($reports, 1, 'once');
($exit, $stdout) = init($node);
is($exit, 0, 'init once more succeeds');
like($stdout, qr/already the archive/, 'and changes nothing');
is(slurp_file("$archive/archive.id") =~ /archive-id: $new_id/, 1, 'not even the id');
$node->restart;
switch_and_archive($node);
is(() = log_since($node, $position) =~ /has a new archive id/g,
	1, 'nor is it news after a restart');

# --- markers

my $own = slurp_file("$archive/archive.id");

sub dir_with_marker
{
	my ($name, $text) = @_;
	my $dir = new_dir($name);
	mkdir "$dir/wal" or die $!;
	append_to_file("$dir/archive.id", $text);
	return $dir;
}

my $other = new_primary('other', extra => ['--wal-segsize=1']);
switch_and_archive($other);
my $other_sysid =
  $other->safe_psql('postgres', 'SELECT system_identifier FROM pg_control_system()');
$other->stop;
refused(archive_dir($other),
	"archive of the cluster with system identifier $other_sysid; this cluster has $sysid",
	'55000', 'the archive of another cluster');
($exit, $stdout, $stderr) = init($node);
is($exit, 1, 'walarch init does not change that');
like($stderr, qr/system identifier $other_sysid/, 'and says why');

(my $other_size = $own) =~ s/segment-size: .*/segment-size: 16777216/;
refused(dir_with_marker('other_size', $other_size),
	'segments of 16777216 bytes; this cluster has 1048576', '55000', 'another segment size');

refused(dir_with_marker('nonsense', "hello\n"),
	'is not the marker of a walarch archive, or it is damaged', 'XX001', 'an unintelligible marker');
# the directory before may fail once more with the same words
refused(dir_with_marker('cut', substr($own, 0, 40)), 'cut/archive\.id.*or it is damaged', 'XX001', 'a cut marker');
refused(dir_with_marker('empty_marker', ''), 'empty_marker/archive\.id.*or it is damaged', 'XX001', 'an empty marker');
refused(dir_with_marker('requires', "${own}requires-encryption: aes\n"),
	'says "requires-encryption", which this walarch does not know',
	'0A000', 'a marker that requires the unknown');
refused(dir_with_marker('future', "walarch-archive: 2\n"),
	'has format version 2; this walarch knows version 1',
	'0A000', 'a marker of a later format');

my $remarked = dir_with_marker('remarked', "${own}comment: moved here in May\nno colon here\n");
use_archive($remarked);
recovers('lines nobody knows');
cmp_ok(scalar(my @names = archive_files($remarked)), '>', 0, 'they do not matter');

# wal/ may be a file system of its own
rename "$remarked/wal", "$remarked/wal.away" or die $!;
refused($remarked, 'could not open directory .*wal.*No such file', '58030', 'a lost wal/');
rename "$remarked/wal.away", "$remarked/wal" or die $!;
recovers('a lost wal/');

SKIP:
{
	skip 'root can read everything', 12 if $> == 0;
	my $closed = dir_with_marker('closed', $own);
	chmod 0000, "$closed/archive.id";
	refused($closed, 'could not open .*archive.id.*Permission denied',
		'42501', 'an unreadable marker');
	chmod 0600, "$closed/archive.id";
	recovers('an unreadable marker');

	my $unwritable = dir_with_marker('unwritable', $own);
	chmod 0500, $unwritable;
	refused($unwritable, 'Permission denied', '42501', 'an unwritable directory');
	chmod 0700, $unwritable;
	recovers('an unwritable directory');
}

# --- places that are none

my $file = "$base/file";
append_to_file($file, 'a file');
refused($file, "\"$file\" is not a directory", '22023', 'a file');

SKIP:
{
	skip 'mounting needs root', 6 unless root_available('tmpfs', 'ro', 'rw');
	my $mounted = "$base/mounted";
	root_do('tmpfs', $mounted, '20M');
	mkdir "$mounted/wal" or die $!;
	append_to_file("$mounted/archive.id", $own);
	root_do('ro', $mounted);
	refused($mounted, 'Read-only file system', '58030', 'a read-only archive');
	root_do('rw', $mounted);
	recovers('a read-only archive');
	use_archive($archive);
	switch_and_archive($node);
}

use_archive($archive);
recovers('at last the right directory');
is(join(' ', temporary_files($archive)), '', 'no temporary is left');
$node->stop;

done_testing();
