# How deleting is done: the archive_cleanup_command of a standby with an
# archive of its own, walarch.auto_prune in the archiver, a prune that is
# killed half-way, two at once, and what is refused.

use strict;
use warnings;

use lib 't/lib';

use Fcntl qw(:flock);
use Get;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Standby;
use Test::More;
use WalArch;

sub walarch { return run_in('/', $ENV{WALARCH_BIN}, @_); }

sub names
{
	my ($archive) = @_;
	return sort map { m{/([0-9A-F]{24})\.zst$} ? $1 : () } glob "$archive/wal/*/*";
}

# ---- usage ------------------------------------------------------------------------------

foreach my $case (
	[ qr/no archive was given/, qw(prune --retention-window 7d) ],
	[ qr/a server is asked only when no rule is given/, qw(prune --archive /nowhere --retention-window 7d --host x) ],
	[ qr/a server is asked only when no rule is given/, qw(prune --archive /nowhere -p 1 --before), '0' x 24 ],
	[ qr/"7 dayz" is not a length of time/, qw(prune --archive /nowhere --retention-window), '7 dayz' ],
	[ qr/"-1" is not a number of backups/, qw(prune --archive /nowhere --retention-backups -1) ],
	[ qr/"10GiB" is not a size/, qw(prune --archive /nowhere --retention-size 10GiB) ],
	[ qr/"99999999999999TB" is not a size/, qw(prune --archive /nowhere --retention-size 99999999999999TB) ],
	[ qr/--before goes with no other rule/, qw(prune --archive /nowhere --retention-window 7d --before), '0' x 24 ],
	[ qr/--force goes with --before only/, qw(prune --archive /nowhere --retention-window 7d --force) ],
	[ qr/unexpected argument "x"/, qw(prune --archive /nowhere --retention-window 7d x) ],
	[ qr/invalid option "--keep"/, qw(prune --archive /nowhere --keep 3) ],
	[ qr/nothing to hold was given/, qw(pin --archive /nowhere name) ],
	[ qr/no name was given/, qw(pin --archive /nowhere --lsn 0/1) ],
	[ qr/"0-1" is not such a value/, qw(pin --archive /nowhere name --lsn 0-1) ],
	[ qr/a pin holds one thing only/, qw(pin --archive /nowhere name --lsn 0/1 --backup x) ],
	[ qr{"a/b" is not a name for a pin}, qw(pin --archive /nowhere a/b --lsn 0/1) ],
	[ qr/"never" is not a point in time/, qw(pin --archive /nowhere name --lsn 0/1 --expires never) ],
	[ qr/give the name of one pin/, qw(unpin --archive /nowhere) ])
{
	my ($pattern, @words) = @$case;
	my ($status, $stdout, $stderr) = walarch(@words);

	is($status, 2, "wrong usage: @words");
	like($stderr, $pattern, 'said what');
}
my ($status, $stdout, $stderr) = walarch(qw(prune --archive /nowhere --retention-window 7d));
is($status, 1, 'an archive that is not there');
like($stderr, qr/archive directory "\/nowhere" does not exist/, 'is named');

# ---- a private archive of one standby ------------------------------------------------------

my $primary = new_primary('primary', start => 0, extra => ['--wal-segsize=1'],
	conf => "autovacuum = off\ncheckpoint_timeout = 1h\n");
my $archive = archive_dir($primary);
($status, $stdout, $stderr) = init($primary, '--private');
is($status, 0, 'walarch init --private') or diag $stderr;
like(slurp_file("$archive/archive.id"), qr/^private: yes$/m, 'the marker says so');
$primary->start;
$primary->safe_psql('postgres', 'CREATE EXTENSION walarch; CREATE TABLE marks (n serial, what text)');
$primary->backup('base');
my $standby = new_standby('standby', $primary, 'base', get => '--prefetch off',
	conf => "archive_mode = off\nrestart_after_crash = off\n");
$standby->append_conf('postgresql.conf',
	qq{archive_cleanup_command = '"$ENV{WALARCH_BIN}" prune --archive "$archive" --before "%r" --quiet'\n});
$standby->start;
my @wal;
foreach my $n (1 .. 6)
{
	mark($primary, "mark$n");
	push @wal, switch_and_archive($primary);
}
is((walarch('pin', '--archive', $archive, 'held', '--lsn', $primary->safe_psql('postgres',
		"SELECT pg_walfile_name_offset FROM (SELECT start_lsn AS pg_walfile_name_offset FROM walarch.segments() WHERE name = '$wal[2]') AS s")))[0],
	0, 'a pin');
$primary->safe_psql('postgres', 'CHECKPOINT');
mark($primary, 'after');
push @wal, switch_and_archive($primary);
wait_marks($standby, 'after');
$standby->safe_psql('postgres', 'CHECKPOINT');	# a restart point
wait_until('the standby to have removed what it has replayed', sub { !-e object_path($archive, $wal[1]) });
is_deeply([ names($archive) ], [ @wal[ 2 .. $#wal ] ], 'up to what is pinned');
is((walarch('unpin', '--archive', $archive, 'held'))[0], 0, 'the pin is ended');
mark($primary, 'more');
switch_and_archive($primary);
$primary->safe_psql('postgres', 'CHECKPOINT');
mark($primary, 'again');
push @wal, switch_and_archive($primary);
wait_marks($standby, 'again');
$standby->safe_psql('postgres', 'CHECKPOINT');
wait_until('the rest to be removed', sub { !-e object_path($archive, $wal[4]) });
is((grep { /walarch prune/ } split /\n/, slurp_file($standby->logfile)), 0, 'without a word in the log');
my ($oldest) = names($archive);
mark($primary, 'goes on');
switch_and_archive($primary);
like(wait_marks($standby, 'goes on'), qr/goes on/, 'the standby goes on');

# a recovery of that configuration must not eat what it reads
my $recovery = new_recovery('recovery', $primary, 'base', get => '--prefetch off', conf => "archive_mode = off\n");
my $dir = $recovery->data_dir;
($status, $stdout, $stderr) = run_in($dir, $ENV{WALARCH_BIN}, 'prune', '--archive', $archive, '--before', $wal[-1]);
is($status, 1, 'in a recovery that is to end');
like($stderr, qr/there is no "standby\.signal"/, 'it is refused');
($status, $stdout, $stderr) = run_in($standby->data_dir, $ENV{WALARCH_BIN}, 'prune', '--archive', $archive, '--before', 'no-name');
is($status, 1, 'so is a name that is none') or diag $stderr;
is((names($archive))[0], $oldest, 'nothing was deleted');
$standby->stop;
$primary->stop;

# ---- not private: refused -----------------------------------------------------------------

my $shared = small_primary('shared');
my $shared_archive = archive_dir($shared);
sub sql { return $shared->safe_psql('postgres', $_[0]); }
$shared->backup('first');
my @shared = map { mark($shared, "mark$_"); switch_and_archive($shared) } 1 .. 3;
write_binary($shared->basedir . '/standby.signal', '');
($status, $stdout, $stderr) = run_in($shared->basedir, $ENV{WALARCH_BIN}, 'prune', '--archive', $shared_archive, '--before', $shared[2]);
is($status, 1, 'an archive that is not private');
like($stderr, qr/is not marked as the private archive of one standby/, 'is not pruned so');
ok(-e object_path($shared_archive, $shared[0]), 'nothing was deleted');
($status, $stdout, $stderr) = init($shared, '--private');
is($status, 1, 'nor does it become one') or diag $stdout;
like($stderr, qr/is an archive already, and not a private one/, 'by init');

# ---- auto_prune ---------------------------------------------------------------------------

sql('SELECT pg_sleep(1.2)');
$shared->backup('second');
mark($shared, 'second');
switch_and_archive($shared);
sql('SELECT pg_sleep(2.2)');
mark($shared, 'late');
my $log = log_position($shared);
set_conf($shared, 'walarch.retention_window', '1s');
set_conf($shared, 'walarch.auto_prune', 'on');
mark($shared, 'later');
push @shared, switch_and_archive($shared);
switch_and_archive($shared);
ok(-e object_path($shared_archive, $shared[0]), 'a segment alone prunes nothing');
$shared->backup('third');
wait_until('auto_prune to have deleted', sub { !-e object_path($shared_archive, $shared[0]) });
mark($shared, 'next');
switch_and_archive($shared);
wait_until('it to be reported', sub {
	return log_since($shared, $log) =~ /LOG:  walarch\.auto_prune deleted \d+ objects from the archive/ || do { switch_and_archive($shared); 0 } });
pass('after a backup the archiver prunes, and says so');
like(log_since($shared, $log), qr/LOG:  walarch\.auto_prune: 0\w{23} to 0\w{23} goes: before backup 0\w{23}\.\w{8}, /, 'and why');
is(sql('SELECT count(*) FROM walarch.backups WHERE usable'), 2, 'two backups are left');
is(sql('SELECT state FROM walarch.status'), 'ok', 'archiving goes on');

# in doubt it says why, and archiving goes on
mkdir "$shared_archive/pins" unless -d "$shared_archive/pins";
write_binary("$shared_archive/pins/broken", 'x');
$log = log_position($shared);
$shared->backup('fourth');
mark($shared, 'doubt');
switch_and_archive($shared);
wait_until('the failure to be reported', sub {
	return log_since($shared, $log) =~ /WARNING:  walarch\.auto_prune could not prune the archive: "broken" is not a pin/ || do { switch_and_archive($shared); 0 } });
pass('a failure is a warning');
is(sql('SELECT state, failed_count FROM walarch.status'), 'ok|0', 'and none of archiving');
unlink "$shared_archive/pins/broken" or die $!;
set_conf($shared, 'walarch.auto_prune', 'off');

# ---- two at once, and one that is killed -----------------------------------------------------

sql('SELECT pg_sleep(1.2)');
$shared->backup('fifth');
push @shared, map { mark($shared, "x$_"); switch_and_archive($shared) } 1 .. 4;
sql('SELECT pg_sleep(2.2)');
mark($shared, 'end');
switch_and_archive($shared);
my @all = names($shared_archive);
my @options = ('prune', '--archive', $shared_archive, '--retention-window', '1s');
($status, $stdout) = walarch(@options, '--json');
my @go = map { $_->{object} } grep { $_->{action} eq 'delete' } @{ decode_json($stdout)->{objects} };
ok(scalar(@go) >= 3, 'several things are to go') or diag $stdout;

open(my $lock, '+<', "$shared_archive/prune.lock") or die $!;
flock($lock, LOCK_EX) or die $!;
($status, $stdout, $stderr) = walarch(@options, '--apply');
is($status, 1, 'while another prunes it is refused');
like($stderr, qr/another process prunes or pins/, 'which it says');
is((walarch('pin', '--archive', $shared_archive, 'late', '--lsn', '0/1'))[0], 1, 'and so is a pin');
(undef, undef, $stderr) = $shared->psql('postgres', 'SELECT * FROM walarch.prune(true)');
like($stderr, qr/another process prunes or pins/, 'in SQL, too');
is((walarch(@options))[0], 0, 'but not a plan');
close $lock;

SKIP:
{
	skip 'no strace', 8 unless -x '/usr/bin/strace';
	my $home = fake_datadir('prune', undef);
	foreach my $n (1, 2, 4)
	{
		my $run = ask_begin($home, [ split(' ', "strace -f -qq -o /dev/null -e trace=unlinkat -e inject=unlinkat:signal=KILL:when=$n") ],
			@options, '--apply');
		my $got = ask_end($run);
		my @left = names($shared_archive);
		my @tail = @all[ @all - @left .. $#all ];

		is("@left", "@tail", "killed at deletion $n: the oldest are gone, without a hole");
		is(sql('SELECT count(*) FROM walarch.backups WHERE NOT usable'), 0, "and every backup that is offered is usable");
	}
	ok(scalar(names($shared_archive)) < @all, 'some had been deleted');
	is((walarch(@options, '--apply'))[0], 0, 'the next prune goes on');
}
walarch(@options, '--apply');
($status, $stdout) = walarch(@options, '--json');
is(scalar(grep { $_->{action} eq 'delete' } @{ decode_json($stdout)->{objects} }), 0, 'to the end');
is(sql('SELECT count(*) FROM walarch.gaps'), 0, 'no gap');
is(sql('SELECT count(*) FROM walarch.verify()'), 0, 'no finding');

# who does not own the archive
SKIP:
{
	skip 'runs as root', 1 if $> == 0;
	chmod 0500, "$shared_archive/wal" or die $!;
	($status, $stdout, $stderr) = walarch('prune', '--archive', '/', '--retention-window', '1s');
	chmod 0700, "$shared_archive/wal" or die $!;
	like($stderr, qr/must be run by the user that owns "\/"/, 'somebody else than the owner is refused');
}
$shared->stop;

done_testing();
