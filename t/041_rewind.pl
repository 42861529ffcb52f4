# pg_rewind finds in a walarch archive the WAL that its target has removed: it
# runs restore_command elsewhere than in a data directory, backwards, and for
# pg_wal/SEGMENT instead of RECOVERYXLOG. Then the old primary follows the new
# one from the archive, in which both have written.

use strict;
use warnings;

use lib 't/lib';

use Digest::MD5 qw(md5_hex);
use Get;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WalArch;

my $first = new_primary('first',
	extra => ['--wal-segsize=1'],
	conf => "autovacuum = off\nmin_wal_size = 2MB\nwal_keep_size = 0\n");
my $archive = archive_dir($first);
my $top = PostgreSQL::Test::Utils::tempdir();

sub mark
{
	my ($node, $what) = @_;

	$node->safe_psql('postgres',
		"INSERT INTO marks SELECT '$what', md5(n::text) FROM generate_series(1, 500) n");
	return;
}

sub marks
{
	my ($node) = @_;

	return $node->safe_psql('postgres',
		"SELECT string_agg(DISTINCT what, ' ' ORDER BY what), count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM marks t");
}

# ---- a fork --------------------------------------------------------------------------

$first->safe_psql('postgres', 'CREATE TABLE marks (what text, digest text)');
$first->backup('base');
my $second = PostgreSQL::Test::Cluster->new('second');
$second->init_from_backup($first, 'base', has_streaming => 1);
$second->append_conf('postgresql.conf', 'wal_keep_size = 512MB');
$second->set_standby_mode;
$second->start;
mark($first, 'common');
$first->wait_for_catchup($second);
$second->promote;
$second->safe_psql('postgres', 'CHECKPOINT');
mark($second, 'second');
wait_archived($second, '00000002.history');

# The old primary writes on, archives it all, and removes it as it does.
my @diverged;
foreach my $n (1 .. 4)
{
	mark($first, "first$n");
	write_wal($first, 100);
	push @diverged, switch_and_archive($first);
	$first->safe_psql('postgres', 'CHECKPOINT');
}
$first->stop;
ok(!-e data_file($first, "pg_wal/$diverged[0]"), 'the old primary has removed what it archived')
  or unlink data_file($first, "pg_wal/$diverged[0]");
ok(-e object_path($archive, $diverged[0]), 'the archive has it');
$first->append_conf('postgresql.conf',
	qq(restore_command = '"$ENV{WALARCH_BIN}" get --archive "$archive" --retry-for 0 "%f" "%p"'));
my $conf = slurp_binary(data_file($first, 'postgresql.conf'));

# ---- pg_rewind ---------------------------------------------------------------------------

sub rewind
{
	my ($cwd, @options) = @_;
	my ($status, $stdout, $stderr) = run_in($cwd,
		'pg_rewind', '--no-sync', '--target-pgdata', $first->data_dir,
		'--source-server', $second->connstr('postgres'), @options);

	return ($status, $stderr);
}

my $control = slurp_binary(data_file($first, 'global/pg_control'));
my ($status, $stderr) = rewind('/');
is($status, 1, 'without --restore-target-wal pg_rewind cannot do it: the test can tell');
like($stderr, qr/could not open file ".*$diverged[0]"|could not find previous WAL record/,
	'for want of WAL');

my $object = object_path($archive, $diverged[0]);
my $good = slurp_binary($object);
write_binary($object, substr($good, 0, -1));
($status, $stderr) = rewind('/', '--restore-target-wal');
isnt($status, 0, 'with a damaged object pg_rewind stops');
like($stderr, qr/^walarch get: could not restore "$diverged[0]": "\Q$object\E" is truncated/m,
	'and shows why');
write_binary($object, $good);

rename $archive, "$archive.away" or die "could not rename: $!";
($status, $stderr) = rewind('/', '--restore-target-wal');
isnt($status, 0, 'without its archive pg_rewind stops');
like($stderr, qr/^walarch get: could not restore "[0-9A-F]{24}": archive directory .* does not exist/m,
	'and shows why');
rename "$archive.away", $archive or die "could not rename: $!";
ok(slurp_binary(data_file($first, 'global/pg_control')) eq $control,
	'what has failed has not changed the target');
is(join(' ', glob(data_file($first, 'pg_wal/*.walarch'))), '', 'and has left nothing');

# The working directory may be anything: here one of a standby, and without
# pg_control, which shows in the exit status, but must not in what is delivered.
mkdir "$top/elsewhere" or die "could not make a directory: $!";
write_binary("$top/elsewhere/standby.signal", '');
($status, $stderr) = rewind("$top/elsewhere", '--restore-target-wal');
is($status, 0, 'with the archive it succeeds') or diag($stderr);
unlike($stderr, qr/walarch/, 'without a word of walarch');
is(join(' ', glob("$top/elsewhere/*")), "$top/elsewhere/standby.signal",
	'nothing was put into the working directory');
ok(!-e data_file($first, 'pg_stat_tmp/walarch.trail'), 'no trace of it in the target');

# ---- the old primary follows the new one, from the archive alone ---------------------------

write_binary(data_file($first, 'postgresql.conf'), $conf);
$first->set_standby_mode;
mark($second, 'later');
my $lsn = $second->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
switch_and_archive($second);
$first->start;
$first->poll_query_until('postgres', "SELECT pg_last_wal_replay_lsn() >= '$lsn'")
  or die 'the old primary does not follow';
is(marks($first), marks($second), 'the old primary has what the new one has');
like(marks($first), qr/^common later second\|/, 'and nothing of its own');
my %held = map { $_ => 1 } archive_files($archive);
is(join(' ', grep { !$held{$_} } @diverged), '', 'both histories are in the archive');
$first->stop;
$second->stop;

# ---- as pg_rewind asks, and what it must not get ---------------------------------------------

my $other = PostgreSQL::Test::Cluster->new('other');
$other->init(extra => ['--wal-segsize=1']);
my $neither = fake_datadir('neither', undef);
my $like_first = fake_datadir('like_first', $first);
my $like_other = fake_datadir('like_other', $other);

sub asked
{
	my ($datadir, $wal) = @_;
	my $path = "$datadir/pg_wal/$wal";
	my ($status, undef, $message) = run_in($neither, $ENV{WALARCH_BIN}, 'get',
		'--archive', $archive, '--retry-for', 0, $wal, $path);
	my $delivered = -e $path ? md5_hex(slurp_binary($path)) : 'nothing';

	unlink $path;
	return ($status, $delivered, $message);
}

is_deeply([ asked($like_first, $diverged[1]) ],
	[ 0, md5_hex(object_raw($archive, $diverged[1])), '' ], 'delivered to pg_wal/SEGMENT');
is_deeply([ asked($like_first, $diverged[0]) ],
	[ 0, md5_hex(object_raw($archive, $diverged[0])), '' ], 'backwards, too');
is_deeply([ asked($like_first, '0000000100000000000000E0') ], [ 1, 'nothing', '' ], 'absent: silently');
my ($code, $got, $message) = asked($like_other, $diverged[1]);
is("$code $got", '200 nothing', "not into another cluster's data directory");
like($message, qr/is the archive of the cluster with system identifier \d+; this cluster has \d+/,
	'which the message says');

done_testing();
