# Recovery with segments fetched ahead: the same data, most of it delivered by
# a link that opens nothing of the archive, never more held than allowed, and
# nothing left of it soon after recovery has ended, in whatever way, or the
# prefetcher was killed.

use strict;
use warnings;

use lib 't/lib';
use Get;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Prefetch;
use Standby;
use Test::More;
use Time::HiRes qw(usleep);
use WalArch;

plan skip_all => 'needs strace' unless can_trace();

my $primary = small_primary('primary', conf => "max_wal_size = 64MB\n");
my $archive = archive_dir($primary);
$primary->safe_psql('postgres', 'CREATE TABLE t (a int, b text)');
$primary->backup('base');
foreach my $round (1 .. 12)
{
	$primary->safe_psql('postgres',
		"INSERT INTO t SELECT $round, md5(i::text || random()) FROM generate_series(1, 18000) AS i");
}
mark($primary, 'end');
my $last = switch_and_archive($primary);
my @segments = grep { /^[0-9A-F]{24}$/ } archive_files($archive);
cmp_ok(scalar(@segments), '>=', 20, 'there is something to recover');
my $sums = table_sums($primary, qw(t marks));
my $waldir = $primary->data_dir . '/pg_wal';

# A recovery to the end, its prefetcher watched meanwhile.
sub recover
{
	my ($name, $options, %opts) = @_;
	my $node = new_recovery($name, $primary, 'base', conf => "archive_mode = off\n" . ($opts{conf} // ''));
	my %seen = (most => 0, processes => 0);

	traced_restore($node, $archive, $options);
	$opts{before}->($node) if $opts{before};
	PostgreSQL::Test::Utils::system_log('pg_ctl', '-s', '-W', '-D', $node->data_dir, '-l',
		$node->logfile, 'start');
	wait_until(
		"$name to recover",
		sub {
			my $held = held($node->data_dir);
			my @processes = prefetchers($node->data_dir);

			$seen{most} = $held if $held > $seen{most};
			$seen{processes} = @processes if @processes > $seen{processes};
			usleep(1000);
			return -e $node->logfile
			  && slurp_file($node->logfile) =~ /database system is ready to accept connections/;
		});
	$node->_update_pid(1);
	return ($node, %seen);
}

# ---- with and without --------------------------------------------------------

{
	my ($node, %seen) = recover('ahead', '');
	my %how = deliveries($node);
	my @hits = grep { $how{$_} eq 'hit' } sort keys %how;

	is(table_sums($node, qw(t marks)), $sums, 'with prefetch: the same data');
	cmp_ok(scalar(@hits), '>=', @segments / 2, 'and most segments were there already')
	  or diag(join(' ', map { "$_ $how{$_}" } sort keys %how));
	is(flaws_of_hits($node, $archive), '', 'by a process without threads that opened nothing of the archive');
	cmp_ok($seen{most}, '<=', 8 + 1, 'never more than eight were held, and one that is waited for');
	cmp_ok($seen{processes}, '<=', 1, 'there was never more than one prefetcher');
	unlike(slurp_file($node->logfile), qr/walarch (?:get|prefetch):/, 'which all was silent');
	is(junk_after_a_while($node->data_dir), '', 'nothing is left of it');
	$node->stop;
}
{
	my ($node, %seen) = recover('off', '--prefetch off');
	my %how = deliveries($node);

	is(table_sums($node, qw(t marks)), $sums, '--prefetch off: the same data');
	is(scalar(grep { $_ eq 'hit' } values %how), 0, 'no hit');
	is("$seen{processes} $seen{most}", '0 0', 'no process');
	$node->stop;
}
foreach my $window (1, 3)
{
	my ($node, %seen) = recover("window$window", "--prefetch $window");
	my %how = deliveries($node);

	is(table_sums($node, qw(t marks)), $sums, "--prefetch $window: the same data");
	cmp_ok($seen{most}, '<=', $window + 1, "never more than $window held, and one that is waited for");
	cmp_ok(scalar(grep { $_ eq 'hit' } values %how), '>', 0, 'some hits');
	$node->stop;
}

# ---- damage and a hole ahead ----------------------------------------------------

{
	my $damaged = $segments[12];
	my $object = object_path($archive, $damaged);
	my $good = slurp_binary($object);
	my $bad = $good;

	substr($bad, length($bad) / 2, 4) = "\xFF\x00\xFF\x00";
	write_binary($object, $bad);
	my $node = new_recovery('damaged', $primary, 'base', conf => "archive_mode = off\n");
	traced_restore($node, $archive, '--retry-for 0');
	PostgreSQL::Test::Utils::system_log('pg_ctl', '-s', '-W', '-D', $node->data_dir, '-l',
		$node->logfile, 'start');
	wait_until('recovery to stop', sub {
		-e $node->logfile && slurp_file($node->logfile) =~ /database system is shut down/ });
	my $log = slurp_file($node->logfile);
	like($log, qr/walarch get: could not restore "$damaged": .*recovery stops/,
		'a damaged object ahead is refused when it is asked for');
	like($log, qr/could not restore file "$damaged" from archive: child process exited with exit code 200/,
		'by exit status 200');
	unlike($log, qr/restored log file "$damaged"/, 'never before');
	is(junk_after_a_while($node->data_dir), '', 'the server has ended: nothing is left');
	write_binary($object, $good);
}
{
	my $missing = $segments[12];
	my $object = object_path($archive, $missing);

	rename $object, "$object.away" or die "could not rename: $!";
	my $node = new_recovery('hole', $primary, 'base', conf => "archive_mode = off\n");
	traced_restore($node, $archive, '--retry-for 0');
	ok(stops_by_itself($node), 'a hole ahead stops the recovery');
	my $log = slurp_file($node->logfile);
	like($log, qr/"$missing" is missing in the archive, which has "$segments[13]" behind it/,
		'when it is asked for');
	unlike($log, qr/restored log file "$segments[13]"/, 'nothing behind it is delivered');
	like($log, qr/restored log file "$segments[11]"/, 'all before it is');
	is(junk_after_a_while($node->data_dir), '', 'nothing is left');
	rename "$object.away", $object or die "could not rename: $!";
}

# ---- standbys -------------------------------------------------------------------

# A standby whose replay is held up, so that the prefetcher has done its work. It
# holds as much also before that, while replay goes on.
sub paused_standby
{
	my ($name, $options, %opts) = @_;
	my $node = new_standby($name, $primary, 'base',
		conf => "archive_mode = off\n"
		  . "recovery_min_apply_delay = '1h'\n" . ($opts{conf} // ''));

	traced_restore($node, $archive, $options);
	$node->start;
	wait_delayed($node);
	wait_until("the prefetcher of $name to hold all it may",
		sub { held($node->data_dir) >= ($opts{count} // 8) });
	return $node;
}

foreach my $how (qw(fast immediate kill))
{
	my $node = paused_standby($how, '');
	my $dir = $node->data_dir;

	is(scalar(prefetchers($dir)), 1, "$how: a standby has its prefetcher");
	if ($how eq 'kill') { $node->kill9 }
	else { $node->stop($how) }
	is(junk_after_a_while($dir), '', "$how: the server stopped, nothing is left");
}
{
	my $node = paused_standby('promoted', '--prefetch 4', count => 4);

	is(held($node->data_dir), 4, 'it holds as many as it may');
	$node->backup('of_standby');
	my $backup = $node->backup_dir . '/of_standby';
	is(join(' ', glob("$backup/pg_stat_tmp/*"), grep { !/^[0-9A-F]{24}$|^archive_status$|^summaries$|^\.\.?$/ } slurp_dir("$backup/pg_wal")),
		'', 'a base backup of a standby takes nothing of it along');
	$node->safe_psql('postgres', 'SELECT pg_promote(false)');
	end_of_recovery($node);
	is(junk_after_a_while($node->data_dir), '', 'promoted: nothing is left');
	$node->stop;
}
{
	my $node = paused_standby('killed', '--prefetch 4', count => 4);
	my ($pid) = prefetchers($node->data_dir);

	kill 'KILL', $pid;
	wait_until('it to be gone', sub { !prefetchers($node->data_dir) });
	is(junk_of($node->data_dir), '', 'a prefetcher killed with -9 leaves nothing');
	set_conf($node, 'recovery_min_apply_delay', 0);
	wait_marks($node, 'end');
	is(table_sums($node, qw(t marks)), $sums, 'recovery goes on');
	like(join(' ', prefetchers($node->data_dir)), qr/^(?!$pid$)\d+$/, 'with another one');
	my %how = deliveries($node);
	cmp_ok(scalar(grep { $_ eq 'hit' } values %how), '>', 5, 'that is of use');
	$node->stop;
	is(junk_after_a_while($node->data_dir), '', 'nothing is left');
}
{
	# Streams, falls behind, comes back by way of the archive.
	my $node = new_standby('streamer', $primary, 'base', streaming => $primary,
		conf => "archive_mode = off\n");
	traced_restore($node, $archive, '');
	$node->start;
	$primary->wait_for_catchup($node);
	is(junk_after_a_while($node->data_dir), '', 'a standby that streams has no prefetcher');
	$node->stop;
	$primary->safe_psql('postgres', "INSERT INTO t SELECT 13, md5(i::text) FROM generate_series(1, 60000) AS i");
	switch_and_archive($primary);
	$primary->safe_psql('postgres', 'CHECKPOINT');
	my %before = deliveries($node);
	$node->start;
	$primary->wait_for_catchup($node);
	my %how = deliveries($node);
	cmp_ok(scalar(grep { !$before{$_} } keys %how), '>', 2, 'it came back by way of the archive');
	is(table_sums($node, qw(t marks)), table_sums($primary, qw(t marks)), 'with the same data');
	is(junk_after_a_while($node->data_dir), '', 'and its prefetcher has ended');
	$node->stop;
}

done_testing();
