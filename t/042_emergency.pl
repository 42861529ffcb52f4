# Recovery without walarch: the restore_command that README.md shows, nothing
# but a shell, find and zstd, brings segments and histories back, and calls
# absent only what is.

use strict;
use warnings;

use lib 't/lib';

use Digest::MD5 qw(md5_hex);
use Get;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WalArch;

# The very text of README.md, for the directory it names.
my ($command) = slurp_file('README.md') =~ /^restore_command = '([^'\n]*zstd -dc[^'\n]*)'$/m;

isnt($command, undef, 'README.md has a restore_command with zstd -dc')
  or BAIL_OUT('without it there is nothing to test');
unlike($command =~ s{/mnt/server/archivedir}{}gr, qr/walarch/, 'which does without walarch');

# ---- an archive with a fork ----------------------------------------------------------

my $primary = new_primary('primary',
	extra => ['--wal-segsize=1'],
	conf => "autovacuum = off\nwal_keep_size = '512MB'\n");
my $archive = archive_dir($primary);
$command =~ s{/mnt/server/archivedir}{$archive}g;

sub fill
{
	my ($what) = @_;

	$primary->safe_psql('postgres',
		"INSERT INTO t SELECT '$what', md5(random()::text) FROM generate_series(1, 1000)");
	return switch_and_archive($primary);
}

sub table_of
{
	my ($node) = @_;
	return $node->safe_psql('postgres',
		"SELECT count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM t");
}

$primary->safe_psql('postgres', 'CREATE TABLE t (what text, digest text)');
$primary->backup('base');
my ($wal, $next) = map { fill($_) } 'one', 'two';
$primary->stop;
$primary->append_conf('postgresql.conf', "restore_command = 'exit 1'");
$primary->set_recovery_mode;
$primary->start;
$primary->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()')
  or die 'recovery did not end';
wait_archived($primary, '00000002.history');
my $last = fill('three');
my $table = table_of($primary);
$primary->stop;
like($last, qr/^00000002/, 'the archive holds two timelines');

# ---- recovery across it ------------------------------------------------------------------

sub new_server
{
	my ($name) = @_;
	my $server = PostgreSQL::Test::Cluster->new($name);

	$server->init_from_backup($primary, 'base');
	$server->append_conf('postgresql.conf', <<"END");
archive_mode = off
archive_library = ''
restore_command = '$command'
END
	$server->set_recovery_mode;
	return $server;
}

{
	my $server = new_server('server');

	$server->start;
	$server->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()')
	  or die 'recovery did not end';
	is(table_of($server), $table, 'every row is back');
	is($server->safe_psql('postgres', 'SELECT timeline_id FROM pg_control_checkpoint()'), '3',
		'after both timelines');
	is(join(' ', glob(data_file($server, 'pg_wal/*.tmp'))), '', 'no temporary is left');
	$server->stop;
}
{
	my $object = object_path($archive, $next);
	my $server = new_server('server2');

	with_bytes($object, substr(slurp_binary($object), 0, 1000), sub {
		ok(stops_by_itself($server), 'a damaged segment stops the server');
	});
	unlike(slurp_file($server->logfile), qr/archive recovery complete|selected new timeline/,
		'which was not opened');
}

# ---- one file at a time, as system() runs it ------------------------------------------------

my $dir = fake_datadir('dir', $primary, 'recovery.signal');

sub restored
{
	my ($file) = @_;
	my $path = $file =~ /history/ ? 'pg_wal/RECOVERYHISTORY' : 'pg_wal/RECOVERYXLOG';
	my $shell = $command =~ s/%f/$file/gr =~ s/%p/$path/gr =~ s/%%/%/gr;

	forget($dir);
	my ($status, undef, $stderr) = run_in($dir, 'sh', '-c', $shell);
	my $digest = -e "$dir/$path" ? md5_hex(slurp_binary("$dir/$path")) : undef;
	return ($status, $digest, $stderr);
}

sub digest_of { return md5_hex(slurp_binary(data_file($primary, "pg_wal/$_[0]"))); }

my $absent = '0000000100000000000000E0';

foreach my $file ($wal, $next, '00000002.history')
{
	is_deeply([ restored($file) ], [ 0, digest_of($file), '' ], "$file: exact and silent");
}
foreach my $file ($absent, '00000007' . substr($wal, 8), '00000003.history', '00000001.history')
{
	is_deeply([ restored($file) ], [ 1, undef, '' ], "$file: absent, silently");
}

# Not known is never absent, and nothing gets the name PostgreSQL reads.
sub is_unknown
{
	my ($what, $file) = @_;
	my ($status, $digest, $stderr) = restored($file);

	is($status . (defined $digest ? ' delivered' : ''), '200', "$what: 200, and no file")
	  or diag($stderr);
	isnt($stderr, '', "$what: somebody says why");
	return;
}

foreach my $file ($wal, '00000002.history')
{
	my $object = object_path($archive, $file);
	my $good = slurp_binary($object);
	my $envelope = unpack 'V', substr($good, -16, 4);
	my $body = length($good) - $envelope;
	my @wrong;

	foreach my $length (0 .. 30, map { int($body * $_ / 20) } 1 .. 19)
	{
		next if $length >= $body;
		my ($status, $digest) = with_bytes($object, substr($good, 0, $length), sub { restored($file) });
		push @wrong, "$length: $status" . (defined $digest ? ' delivered' : '')
		  unless $status == 200 && !defined $digest;
	}
	is(join(', ', @wrong), '', "$file truncated: 200, and no file");

	# One byte before the end of the body is part of its checksum.
	foreach my $at (map { int($body * $_ / 20) } 0 .. 19)
	{
		my $bad = $good;
		substr($bad, $at, 1) ^= "\xFF";
		my ($status, $digest) = with_bytes($object, $bad, sub { restored($file) });
		push @wrong, "$at: $status" . (defined $digest ? ' delivered' : '')
		  unless $status == 200 && !defined $digest;
	}
	is(join(', ', @wrong), '', "$file with a byte flipped: 200, and no file");
	is_deeply([ restored($file) ], [ 0, digest_of($file), '' ], "$file is well again");

	chmod 0, $object;
	is_unknown("$file is unreadable", $file);
	chmod 0600, $object;
}

my $below = "$archive/wal/" . substr($wal, 0, 16);
chmod 0, $below;
is_unknown('an unreadable directory', $wal);
chmod 0700, $below;

foreach my $file ($wal, $absent, '00000002.history')
{
	rename "$archive/wal", "$archive/gone" or die "could not rename: $!";
	is_unknown("wal/ is gone, $file", $file);
	rename "$archive/gone", "$archive/wal" or die "could not rename: $!";
	rename $archive, "$archive.away" or die "could not rename: $!";
	is_unknown("the archive is gone, $file", $file);
	mkdir $archive or die "could not make \"$archive\": $!";
	is_unknown("an empty mount point, $file", $file);
	rmdir $archive;
	rename "$archive.away", $archive or die "could not rename: $!";
}
{
	local $ENV{PATH} = "$dir/bin";
	mkdir "$dir/bin";
	symlink "/bin/$_", "$dir/bin/$_" foreach grep { -x "/bin/$_" } qw(sh find mv rm cut test);
	is_unknown('zstd is not installed', $wal);
}
mkdir "$dir/pg_wal/RECOVERYXLOG.tmp";
is((restored($wal))[0], 200, 'a file that cannot be written');
rmdir "$dir/pg_wal/RECOVERYXLOG.tmp";
is_deeply([ restored($wal) ], [ 0, digest_of($wal), '' ], 'at the end');

done_testing();
