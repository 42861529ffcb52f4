# An archive that hangs, seen from SQL: a question about it costs its session
# the time-out and no more, can be cancelled, and leaves nothing behind; what
# needs no archive answers at once.

use strict;
use warnings;

use lib 't/lib';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RootHelper;
use Test::More;
use Time::HiRes ();
use WalArch;

plan skip_all => 'mounting needs root and bindfs' unless root_available('fuse', 'hang', 'resume');

my $node = new_primary('hung', conf => "walarch.timeout = '2s'\n", extra => ['--wal-segsize=1']);
my $archive = archive_dir($node);
my $seen = $node->basedir . '/seen';

switch_and_archive($node);
$node->backup('base');
switch_and_archive($node);
root_do('fuse', $archive, $seen);
set_conf($node, 'walarch.archive', $seen);
switch_and_archive($node);

# What one session is answered, and after how many seconds.
sub ask
{
	my ($query) = @_;
	my $begun = Time::HiRes::time();
	my ($status, $stdout, $stderr) = $node->psql('postgres', $query);

	return { status => $status, stdout => $stdout, stderr => $stderr, seconds => Time::HiRes::time() - $begun };
}

my @questions = (
	(map { "SELECT count(*) FROM walarch.$_" } qw(ranges gaps backups recovery_window segments() verify() pins retention_plan()), 'prune(true)'),
	"SELECT walarch.pin('hung', lsn => '0/1000028')", "SELECT walarch.unpin('hung')");

is(ask($_)->{status}, 0, "before: $_") foreach @questions;
root_do('hang', $seen);
foreach my $query (@questions)
{
	my $got = ask($query);

	like($got->{stderr}, qr/ERROR:  could not look into the archive "\Q$seen\E": storage has not answered for 2 s/, "hung: $query");
	ok($got->{seconds} >= 2 && $got->{seconds} < 30, "after the time-out: $got->{seconds} s");
}

# so long that nobody takes the end of the time-out for a cancellation
set_conf($node, 'walarch.timeout', '60s');
foreach my $query (@questions)
{
	my $got = ask("SET statement_timeout = '300ms'; $query");

	like($got->{stderr}, qr/canceling statement due to statement timeout/, "cancelled: $query");
	cmp_ok($got->{seconds}, '<', 30, 'at once');
}
my $got = ask('SELECT state FROM walarch.status');
is("$got->{status} $got->{stdout}", '0 ok', 'walarch.status needs no archive');
cmp_ok($got->{seconds}, '<', 30, 'and does not wait');

# a session that goes on after errors, while its threads still hang
my (undef, undef, $errors) = $node->psql('postgres',
	join("\n", "SET statement_timeout = '50ms';", (map { 'SELECT count(*) FROM walarch.ranges;' } 1 .. 20)), on_error_stop => 0);
is(scalar(() = $errors =~ /canceling statement/g), 20, 'many questions of one session are cancelled');
root_do('resume', $seen);
is($node->safe_psql('postgres', 'SELECT count(*) FROM walarch.ranges'), 1, 'and when it answers again, it is asked again');
is(ask($_)->{status}, 0, "after: $_") foreach @questions;
unlike(slurp_file($node->logfile), qr/was terminated by signal|server process .* exited/, 'no process ended');
$node->stop;

done_testing();
