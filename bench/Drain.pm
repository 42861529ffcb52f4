# How long the archiver takes for a backlog, beside what it costs.
package Drain;

use strict;
use warnings;
use Exporter 'import';
use Time::HiRes ();
use Contenders;
use Corpus;
use Machine;
use Server;

our @EXPORT = qw(drain archive_of fill_in idle_archiver_kb check_archive);

my $place = $ENV{TMPDIR};

# Two ways to restore may share one archive.
sub archive_of { return "$place/archive." . ($_[0]{archive_name} // $_[0]{name}); }

# The words that stand for places in the settings of a contender.
sub fill_in
{
	my ($contender, $text) = @_;
	my $archive = archive_of($contender);

	return $text =~ s/ARCHIVE/$archive/gr =~ s/STATE/$place\/state/gr;
}

sub stored_bytes
{
	my ($directory) = @_;
	my $sum = 0;

	open(my $sizes, '-|', "find $directory -type f -size +0 -printf '%s\\n'") or die "find: $!\n";
	while (<$sizes>) { $sum += $_; }
	return $sum;
}

# The bare program has no server around it.
sub drain_limit
{
	my ($contender, $wal, $archive) = @_;
	my ($threads, $level) = @{ $contender->{limit} };
	my $cpu = cpu_seconds();
	my $begun = Time::HiRes::time();

	run("$ENV{BENCH_BIN}/limit", $wal, $archive, $threads, $level);
	return { wall => Time::HiRes::time() - $begun, cpu => cpu_seconds() - $cpu };
}

sub last_done
{
	my ($directory, @names) = @_;
	my $last = 0;

	for my $name (@names)
	{
		my $ctime = (Time::HiRes::stat("$directory/pg_wal/archive_status/$name.done"))[10];
		$last = $ctime if $ctime > $last;
	}
	return $last;
}

sub drain_server
{
	my ($contender, $corpus, $run) = @_;
	my $day = 86400;
	my $names = $corpus->{names};

	append_conf($run, map { fill_in($contender, $_) } @{ $contender->{archive} });
	my $before = cpu_seconds();
	my $server = start_server($run);
	wait_until("$contender->{name} to drain the backlog", 600, sub { !ready_names($run) });
	my $result = { cpu => cpu_seconds() - $before };
	my $ready = log_time($server, qr/ready to accept connections/);
	$result->{wall} = last_done($run, @$names) - int(time() / $day) * $day - $ready;
	$result->{wall} += $day if $result->{wall} < -$day / 2;
	$result->{stored} = stored_bytes(archive_of($contender));
	if (my $pid = archiver_pid($server)) { $result->{peak_kb} = status_kb($pid, 'VmHWM'); }
	stop_server($server);
	return $result;
}

# One backlog, from a fresh copy into an empty archive.
sub drain
{
	my ($contender, $corpus) = @_;
	my $run = "$place/drain";
	my $archive = archive_of($contender);
	my $result;

	copy_cluster($corpus->{template}, $run, 1);
	run('rm', '-rf', $archive, "$place/state");
	mkdir $archive, 0700;
	mkdir "$place/state", 0700;
	$contender->{prepare}->($archive, $run, "$place/state") if $contender->{prepare};
	settle("$run/pg_wal/0*");
	$result = $contender->{limit} ? drain_limit($contender, "$run/pg_wal", $archive) :
	  drain_server($contender, $corpus, $run);
	$result->{stored} //= stored_bytes($archive);
	run('rm', '-rf', $run);
	return $result;
}

# What the archiver of a server without a backlog occupies.
sub idle_archiver_kb
{
	my ($contender, $corpus) = @_;
	my $run = "$place/drain";
	my $kb;

	copy_cluster($corpus->{template}, $run, 1);
	rename $_, s/ready$/done/r for glob "$run/pg_wal/archive_status/*.ready";
	append_conf($run, map { fill_in($contender, $_) } @{ $contender->{archive} });
	my $server = start_server($run);
	wait_until('the archiver', 60, sub { my $pid = archiver_pid($server); $pid && ($kb = status_kb($pid, 'VmRSS')) });
	stop_server($server);
	run('rm', '-rf', $run);
	return $kb;
}

# Every segment comes back as it was; returns how many do.
sub check_archive
{
	my ($contender, $corpus) = @_;
	my $same = 0;

	mkdir "$place/check";
	mkdir "$place/check/global";
	run("cp $corpus->{template}/global/pg_control $place/check/global/");
	$contender->{prepare}->(archive_of($contender), "$place/check", "$place/state")
	  if $contender->{prepare};
	for my $name (@{ $corpus->{names} })
	{
		my $command = fill_in($contender, $contender->{restore}) =~ s/%f/$name/gr =~ s/%p/restored/gr;

		unlink "$place/check/restored";
		$same++
		  if system("cd $place/check && $command && cmp -s restored $corpus->{template}/pg_wal/$name") == 0;
	}
	run('rm', '-rf', "$place/check");
	return $same;
}

1;
