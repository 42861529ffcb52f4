# A segment that is missing in the middle of an archive is no end of WAL: a
# recovery stops there instead of opening the database and losing what comes
# behind. And what is missing lawfully is still "absent": the end of the archive,
# the segment of a switch, what the server has in its own pg_wal.

use strict;
use warnings;

use lib 't/lib';

use Get;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Standby;
use Test::More;
use WalArch;

my $segment_bytes = 1024 * 1024;
my $p = 'pg_wal/RECOVERYXLOG';

# ---- one timeline ---------------------------------------------------------------

my $old = small_primary('old', conf => "wal_keep_size = '512MB'\n");
my $archive = archive_dir($old);
my @at_once = ('--archive', $archive, '--retry-for', 0);

$old->backup('base');
my $streaming = new_standby('new', $old, 'base', streaming => $old);
$streaming->start;

my @wal;
for my $n (1 .. 6)
{
	mark($old, "mark$n");
	push @wal, switch_and_archive($old);
}
my $end = sprintf('%s%08X', substr($wal[-1], 0, 16), hex(substr($wal[-1], 16)) + 1);
my $pitr = fake_datadir('pitr', $old, 'recovery.signal');
my $standby = fake_datadir('standby', $old, 'standby.signal');

# Take an object away for as long as the function runs.
sub without
{
	my ($wal, $function) = @_;
	my $path = object_path($archive, $wal);

	rename $path, "$path.away" or die "could not rename \"$path\": $!";
	my @result = eval { $function->() };
	my $problem = $@;
	rename "$path.away", $path or die "could not rename \"$path\": $!";
	die $problem if $problem;
	return wantarray ? @result : $result[0];
}

sub is_absent
{
	my ($what, $got) = @_;

	is(join('|', $got->{status}, $got->{message}), '1|', "$what: absent, silently");
	return;
}

my $got = ask($pitr, @at_once, $end, $p);
is_absent('the end of the archive', $got);

without(
	$wal[2],
	sub {
		my $words = qr/"$wal[2]" is missing in the archive, which has "$wal[3]" behind it/;

		$got = ask($pitr, @at_once, $wal[2], $p);
		is($got->{status}, 200, 'a missing segment stops a recovery');
		like($got->{message}, $words, 'and names it, and what is behind it');
		like($got->{message}, qr/WAL is lost there: .* with --until/, 'with a way out');

		$got = ask($standby, @at_once, $wal[2], $p);
		is($got->{status}, 1, 'a standby goes on waiting');
		like($got->{message}, $words, 'with a message');
		is(ask($standby, @at_once, '--strict', $wal[2], $p)->{status}, 200,
			'unless it is strict');
		is(ask($pitr, @at_once, '--until', $wal[1], $wal[2], $p)->{status}, 1,
			'a recovery that ends before it is not stopped');
		is_absent('pg_rewind', ask($pitr, @at_once, $wal[2], "pg_wal/$wal[2]"));
		is_absent('the end of the archive with a hole before it', ask($pitr, @at_once, $end, $p));

		# the server's own copy
		my $own = "$pitr/pg_wal/$wal[2]";
		forget($pitr);
		write_binary($own, slurp_binary(data_file($old, "pg_wal/$wal[2]")));
		is_absent('a segment that the server has itself',
			ask_end(ask_begin($pitr, 'get', @at_once, $wal[2], $p)));
		write_binary($own, slurp_binary(data_file($old, "pg_wal/$wal[1]")));
		$got = ask_end(ask_begin($pitr, 'get', @at_once, $wal[2], $p));
		is($got->{status}, 200, 'a recycled file of that name is no copy');
		my $part = slurp_binary(data_file($old, "pg_wal/$wal[2]"));
		substr($part, 100) = "\0" x (length($part) - 100);
		write_binary($own, $part);
		$got = ask_end(ask_begin($pitr, 'get', @at_once, $wal[2], $p));
		is($got->{status}, 200, 'what a streaming base backup left of it is no copy');
		forget($pitr);

		my $also = PostgreSQL::Test::Utils::tempdir();
		write_binary("$also/$wal[2]", slurp_binary(data_file($old, "pg_wal/$wal[2]")));
		is(ask($pitr, @at_once, '--also', $also, $wal[2], $p)->{status}, 0,
			'a copy in another archive closes the hole');

		# not only the next one counts
		without($wal[3], sub {
			$got = ask($pitr, @at_once, $wal[2], $p);
			like($got->{message}, qr/which has "$wal[4]" behind it/, 'two missing in a row');
			is($got->{status}, 200, 'are a hole, too');
		});

		# a real recovery
		my $node = new_recovery('stopped', $old, 'base', get => '--retry-for 0');
		ok(stops_by_itself($node), 'a recovery ends instead of opening the database');
		like(slurp_file($node->logfile), $words, 'and says why');
		$node->clean_node;
	});

# ---- a switch -------------------------------------------------------------------

mark($old, 'before');
$old->wait_for_catchup($streaming);
my $fork = $old->safe_psql('postgres', 'SELECT pg_walfile_name(pg_current_wal_lsn())');
$old->stop('immediate');
$streaming->promote;
end_of_recovery($streaming);
mark($streaming, 'after');
wait_objects($archive, "$fork.partial", '00000002.history', switch_wal($streaming));
ok(!-e object_path($archive, $fork), 'the segment of the switch is there as .partial only');

my $whole = new_recovery('whole', $old, 'base');
$whole->start;
end_of_recovery($whole);
is(marks($whole), join(' ', map({ "mark$_" } 1 .. 6), 'before', 'after'),
	'a recovery across the switch has all of it');
ok(!(grep { $_->[1] == 200 } requests($whole)), 'and met no hole');
$whole->stop;

forget($pitr);
is_absent('the segment of the switch', ask($pitr, @at_once, $fork, $p));

# The last segment before it never reached the archive.
without(
	$wal[5],
	sub {
		$got = ask($pitr, @at_once, $wal[5], $p);
		is($got->{status}, 200, 'a failover gap stops a recovery');
		like($got->{message},
			qr/"$wal[5]" is missing in the archive, although timeline 2 left timeline 1 behind it, at/,
			'and says how that is known');
		my $node = new_recovery('gap', $old, 'base', get => '--retry-for 0');
		ok(stops_by_itself($node), 'a recovery ends instead of opening the database');
		like(slurp_file($node->logfile), qr/although timeline 2 left timeline 1/, 'and says why');
	});

# ---- a segment that ends early --------------------------------------------------

my $node = small_primary('early', conf => "wal_keep_size = '512MB'\n");
$node->backup('base');
@wal = map { mark($node, "mark$_"); switch_and_archive($node) } 1 .. 4;
$node->stop;

my $source = data_file($node, "pg_wal/$wal[1]");
my $bytes = slurp_binary($source);
my $other = $node->basedir . '/other';
my @other_at_once = ('--archive', $other, '--retry-for', 0);

mkdir $other, 0700 or die $!;
chown((stat $node->data_dir)[ 4, 5 ], $other) or die $!;
$pitr = fake_datadir('early_pitr', $node, 'recovery.signal');
$standby = fake_datadir('early_standby', $node, 'standby.signal');

# no record of it is left whole
substr($bytes, 64) = "\0" x ($segment_bytes - 64);
write_binary($source, $bytes);
$node->append_conf('postgresql.conf', "walarch.archive = '$other'");
present_again($node, @wal);
$node->start;
wait_archived($node, $wal[3]);

$got = ask($pitr, @other_at_once, $wal[1], $p);
is($got->{status}, 200, 'a segment that ends early stops a recovery');
like($got->{message},
	qr/WAL in "$wal[1]" ends at 0\/[0-9A-F]+, before the segment does, although the timeline goes on/,
	'and says where');
is(ask($standby, @other_at_once, $wal[1], $p)->{status}, 0, 'a standby gets it');
is(ask($pitr, @other_at_once, $_, $p)->{status}, 0, "$_ beside it is delivered")
  foreach @wal[ 0, 2, 3 ];

# fetched ahead, too
my $stopped = PostgreSQL::Test::Cluster->new('early_stopped');
$stopped->init_from_backup($node, 'base');
$stopped->append_conf('postgresql.conf',
	"restore_command = '\"$ENV{WALARCH_BIN}\" get --archive \"$other\" \"%f\" \"%p\"'\nwalarch.archive = ''\n");
$stopped->set_recovery_mode;
ok(stops_by_itself($stopped), 'a recovery that fetches ahead stops there as well');
like(slurp_file($stopped->logfile), qr/WAL in "$wal[1]" ends at/, 'for the same reason');

done_testing();
