# The machine: what it is, and how it is made ready for a measurement.
package Machine;

use strict;
use warnings;
use Exporter 'import';
use Server;

our @EXPORT = qw(machine make_filler settle);

my $filler;

sub slurp
{
	my ($file) = @_;

	open(my $in, '<', $file) or return '';
	local $/;
	return <$in> // '';
}

sub memory_mb
{
	my ($name) = @_;

	return slurp('/proc/meminfo') =~ /^$name:\s+(\d+)/m ? int($1 / 1024) : 0;
}

sub machine
{
	my $cpu = slurp('/proc/cpuinfo');
	my $cores = () = $cpu =~ /^processor/mg;
	my ($model) = $cpu =~ /^model name\s*:\s*(.*)/m;
	my ($file_system) = split /\n/, `df -T . | tail -n 1`;
	my (undef, $type) = split ' ', $file_system;

	return {
		cores => $cores, cpu => $model // 'unknown', memory_mb => memory_mb('MemTotal'),
		file_system => $type
	};
}

# A file as large as what is left of the memory: to read it fills that.
sub make_filler
{
	my ($mb) = @_;

	$mb = memory_mb('MemAvailable') unless defined $mb;
	return if $mb <= 0;
	$filler = 'filler';
	print STDERR "making a file of $mb MB to fill memory with\n";
	run("dd if=/dev/zero of=$filler bs=1M count=$mb status=none");
	return;
}

# No dirty pages, no free memory, and the source in the page cache. What the
# machine does beside is shown, and counts as noise.
sub settle
{
	my (@warm) = @_;

	run('sync');
	run("cat $filler >/dev/null") if defined $filler && memory_mb('MemFree') > 256;
	run("cat $_ >/dev/null") for @warm;
	my ($load) = split ' ', slurp('/proc/loadavg');
	print STDERR "  (load average $load)\n" if $load > 3;
	return;
}

1;
