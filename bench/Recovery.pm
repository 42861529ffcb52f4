# How long recovery takes with an archive, and each restore_command by itself.
package Recovery;

use strict;
use warnings;
use Exporter 'import';
use Corpus;
use Drain;
use Machine;
use Server;

our @EXPORT = qw(recover each_segment);

my $place = $ENV{TMPDIR};

# Replay up to the first record of the last segment. Without a contender all
# segments lie in pg_wal: nothing but replay.
sub recover
{
	my ($contender, $corpus) = @_;
	my $run = "$place/recovery";
	my $command = $contender->{local} ? 'false' : fill_in($contender, $contender->{restore});

	copy_cluster($corpus->{base}, $run, 0);
	if ($contender->{local})
	{
		for my $name (@{ $corpus->{names} })
		{
			unlink "$run/pg_wal/$name";
			link("$corpus->{template}/pg_wal/$name", "$run/pg_wal/$name") or die "link $name: $!\n";
		}
	}
	elsif ($contender->{prepare})
	{
		run('rm', '-rf', "$place/state");
		mkdir "$place/state", 0700;
		$contender->{prepare}->(archive_of($contender), $run, "$place/state");
	}
	append_conf(
		$run,
		"restore_command = '$command'",
		"recovery_target_lsn = '$corpus->{target}'",
		"recovery_target_action = 'shutdown'",
		"archive_mode = off");
	run('touch', "$run/recovery.signal");
	settle($contender->{local} ? "$run/pg_wal/0*" :
		  "\$(find " . archive_of($contender) . " -type f)");

	my $before = cpu_seconds();
	my $server = start_server($run);
	wait_for_exit($server, 600);
	my $result = { cpu => cpu_seconds() - $before };
	my ($from, $to) = map { log_time($server, $_) } qr/redo starts at/, qr/recovery stopping/;
	die "$contender->{name} did not recover, see $server->{log}\n" unless defined $from && defined $to;
	$result->{wall} = $to - $from + ($to < $from ? 86400 : 0);
	$result->{restored} = () = slurp_log($server) =~ /restored log file/g;
	run('rm', '-rf', $run);
	return $result;
}

sub slurp_log
{
	my ($server) = @_;

	open(my $log, '<', $server->{log}) or die "$server->{log}: $!\n";
	local $/;
	return <$log>;
}

# Milliseconds of each restore_command, in a directory that looks like that of
# a server in recovery.
sub each_segment
{
	my ($contender, $corpus) = @_;
	my $run = "$place/each";

	run('rm', '-rf', $run);
	run('mkdir', '-p', "$run/global", "$run/pg_wal", "$run/pg_stat_tmp");
	run("cp $corpus->{base}/global/pg_control $run/global/");
	run('touch', "$run/recovery.signal");
	if ($contender->{prepare})
	{
		run('rm', '-rf', "$place/state");
		mkdir "$place/state", 0700;
		$contender->{prepare}->(archive_of($contender), $run, "$place/state");
	}
	settle("\$(find " . archive_of($contender) . " -type f)");
	my $command = fill_in($contender, $contender->{restore});
	open(my $names, '>', "$place/names") or die "names: $!\n";
	print $names "$_\n" for @{ $corpus->{names} };
	close($names);
	my @ms = split /\n/, `cd $run && $ENV{BENCH_BIN}/each '$command' $contender->{pause} <$place/names`;
	die "$contender->{name}: restore_command failed\n" unless @ms == @{ $corpus->{names} };
	@ms = sort { $a <=> $b } @ms;
	run('rm', '-rf', $run);
	return {
		p50 => $ms[ int(@ms / 2) ], p95 => $ms[ int(@ms * 0.95) ], max => $ms[-1]
	};
}

1;
