# pgbench while its WAL is archived.
package Live;

use strict;
use warnings;
use Exporter 'import';
use Corpus;
use Drain;
use Machine;
use Server;

our @EXPORT = qw(live);

my $place = $ENV{TMPDIR};

sub live
{
	my ($contender, $corpus, $seconds) = @_;
	my $run = "$place/live";
	my $archive = archive_of($contender);
	my ($worst, $pid) = (0);

	copy_cluster($corpus->{base}, $run, 0);
	run('rm', '-rf', $archive, "$place/state");
	mkdir $archive, 0700;
	mkdir "$place/state", 0700;
	$contender->{prepare}->($archive, $run, "$place/state") if $contender->{prepare};
	append_conf($run, 'checkpoint_timeout = 30s', "unix_socket_directories = '$place'",
		map { fill_in($contender, $_) } @{ $contender->{archive} });
	settle();
	my $before = cpu_seconds();
	my $server = start_server($run);
	wait_until('the server to start', 60, sub { defined log_time($server, qr/ready to accept connections/) });
	$pid = open(my $out, '-|', "pgbench -h $place -n -M prepared -c 8 -j 2 -T $seconds postgres 2>&1")
	  or die "pgbench: $!\n";
	wait_until('pgbench', $seconds + 60,
		sub {
			my $waiting = ready_names($run);
			$worst = $waiting if $waiting > $worst;
			return has_exited($pid);
		});
	my ($tps) = join('', <$out>) =~ /tps = ([\d.]+)/;
	close($out);
	my $result = { tps => $tps, backlog => $worst, cpu => cpu_seconds() - $before };
	stop_server($server);
	run('rm', '-rf', $run);
	return $result;
}

1;
