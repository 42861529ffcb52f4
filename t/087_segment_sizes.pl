# Segments of 1, 16 and 64 MB and of 1 GB, as initdb --wal-segsize makes them: a
# backlog is archived ahead, each object is the segment byte by byte, `get`
# delivers it in little memory, a recovery with segments fetched ahead reaches
# its restore point within its bound, and the catalogue, verify and a plan to
# prune know the same segments.

use strict;
use warnings;

use lib 't/lib';
use Get;
use File::Path ();
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Prefetch;
use Standby;
use Test::More;
use WalArch;

# Whoever takes a segment of 1 GB whole into memory is far above both.
my $address_space_kb = 512 * 1024;
my $peak_kb_max = 160 * 1024;

sub peak_kb
{
	my ($pid) = @_;
	my ($peak) = slurp_binary("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m;
	return $peak // 0;
}

sub walarch_json
{
	my ($command, $archive, @options) = @_;
	my ($status, $stdout, $stderr) =
	  run_in('/', $ENV{WALARCH_BIN}, $command, '--archive', $archive, '--json', @options);

	is($status, 0, "walarch $command @options") or diag($stderr);
	return decode_json($stdout);
}

# Two segments wait while the archive cannot be reached, so that one is read
# ahead of PostgreSQL's question.
sub make_backlog
{
	my ($node) = @_;
	my $archive = archive_dir($node);
	my @waiting;

	set_conf($node, 'walarch.archive', "$archive.away");
	push @waiting, switch_wal($node);
	mark($node, 'before');
	$node->safe_psql('postgres', "SELECT pg_create_restore_point('here')");
	mark($node, 'after');
	push @waiting, switch_wal($node);
	set_conf($node, 'walarch.archive', $archive);
	wait_archived($node, $_) foreach @waiting;
	return @waiting;
}

# Recover to the restore point, watching what is held ahead: how many at most.
sub recover
{
	my ($name, $primary, $bytes) = @_;
	my $most = 0;
	my $peak = 0;
	my $node = new_recovery($name, $primary, 'base',
		conf => "archive_mode = off\nrecovery_target_name = 'here'\n");

	PostgreSQL::Test::Utils::system_log('pg_ctl', '-s', '-W', '-D', $node->data_dir,
		'-l', $node->logfile, 'start');
	wait_until(
		"$name to recover",
		sub {
			my $held = held($node->data_dir, $bytes);
			$most = $held if $held > $most;
			foreach my $pid (prefetchers($node->data_dir))
			{
				my $kb = eval { peak_kb($pid) } // 0;
				$peak = $kb if $kb > $peak;
			}
			return -e $node->logfile
			  && slurp_file($node->logfile) =~ /database system is ready to accept connections/;
		});
	$node->_update_pid(1);
	is(marks($node), 'before', "$name: it stops at the restore point");
	is(junk_after_a_while($node->data_dir), '', "$name: nothing is left of fetching ahead");
	$node->stop('immediate');
	File::Path::remove_tree($node->data_dir);
	return ($most, $peak);
}

foreach my $megabytes (1, 16, 64, 1024)
{
	my $size = "$megabytes MB";
	my $bytes = $megabytes * 1024 * 1024;
	my $least = 2 * $megabytes < 32 ? 32 : 2 * $megabytes;
	my $primary = new_primary("primary$megabytes",
		extra => ["--wal-segsize=$megabytes"],
		conf => "autovacuum = off\nwal_init_zero = off\nwal_keep_size = '8GB'\n"
		  . "min_wal_size = '${least}MB'\nmax_wal_size = '16GB'\n");
	my $archive = archive_dir($primary);

	$primary->safe_psql('postgres', 'CREATE TABLE marks (n serial, what text)');
	$primary->backup('base');
	my @waited = make_backlog($primary);
	wait_archived($primary);

	# ---- what was archived

	my @segments = grep { /^[0-9A-F]{24}$/ } archive_files($archive);
	cmp_ok(scalar @segments, '>=', 3, "$size: there are segments");
	object_is($archive, $_, data_file($primary, "pg_wal/$_"), "$size: $_ is whole")
	  foreach @segments;
	my $peak = peak_kb(archiver_pid($primary));
	cmp_ok($peak, '<', $peak_kb_max, "$size: the archiver's memory (kB)");

	# ---- what is delivered

	my $dir = fake_datadir("get$megabytes", $primary, 'recovery.signal');
	my ($status, undef, $stderr) = run_in($dir, 'sh', '-c',
		"ulimit -v $address_space_kb; exec \"\$0\" get --prefetch off \"\$@\"", $ENV{WALARCH_BIN},
		'--archive', $archive, $waited[0], 'pg_wal/RECOVERYXLOG');
	is($status, 0, "$size: get, in bounded memory") or diag($stderr);
	is(system('cmp', '-s', "$dir/pg_wal/RECOVERYXLOG", data_file($primary, "pg_wal/$waited[0]")), 0,
		"$size: what it delivers is the segment");
	forget($dir);

	# ---- what is known of it

	my $shown = walarch_json('list', $archive, '--segments');
	is(join(' ', map { $_->{name} } @$shown), "@segments", "$size: list shows them");
	is(join(' ', map { @{ $_->{restore_points} } } @$shown), 'here', "$size: and the restore point");
	my $verified = walarch_json('verify', $archive);
	is($verified->{unpacked}, scalar @segments, "$size: verify unpacks each");
	is($verified->{raw_bytes}, @segments * $bytes, "$size: all of it");
	my $plan = walarch_json('prune', $archive, '--retention-window', '0s');
	is(join(' ', map { $_->{object} } grep { $_->{kind} eq 'segments' } @{ $plan->{objects} }),
		"$segments[0] to $segments[-1]", "$size: to prune, they are one run without a gap");

	# ---- recovery

	$primary->stop;
	my ($most, $peak_ahead) = recover("recovery$megabytes", $primary, $bytes);
	cmp_ok(($most - 1) * $megabytes, '<=', $megabytes > 128 ? $megabytes : 128,
		"$size: what is held ahead, besides the one that is waited for, stays within its bound (MB)");
	cmp_ok($peak_ahead, '<', $peak_kb_max, "$size: the prefetcher's memory (kB)");
	note("$size: archiver $peak kB, prefetcher $peak_ahead kB, $most held");
	File::Path::remove_tree($primary->data_dir, $primary->backup_dir, $archive);
}

done_testing();
