# Measurements as a table, as ratios and as JSON.
package Report;

use strict;
use warnings;
use Exporter 'import';
use JSON::PP ();

our @EXPORT = qw(note result_of median write_json print_report);

my %results;					# part => contender => figure => [values]
my %labels;
my @order;						# contenders as they first appeared

sub note
{
	my ($part, $contender, $result) = @_;
	my $name = $contender->{name};

	push @order, $name unless grep { $_ eq $name } @order;
	$labels{$part}{$name} = $contender->{label};
	push @{ $results{$part}{$name}{$_} }, 0 + $result->{$_}
	  for grep { defined $result->{$_} } keys %$result;
	return;
}

sub median
{
	my @sorted = sort { $a <=> $b } @_;

	return undef unless @sorted;
	return @sorted % 2 ? $sorted[ @sorted / 2 ] : ($sorted[ @sorted / 2 - 1 ] + $sorted[ @sorted / 2 ]) / 2;
}

# All of one figure, round by round; none if it was not measured.
sub values_of
{
	my ($part, $name, $figure) = @_;

	return () unless exists $results{$part} && exists $results{$part}{$name};
	return @{ $results{$part}{$name}{$figure} // [] };
}

sub result_of { return median(values_of(@_)); }

sub spread
{
	my ($part, $name, $figure) = @_;
	my @sorted = sort { $a <=> $b } values_of($part, $name, $figure);

	return sprintf('%.2f-%.2f', $sorted[0], $sorted[-1]);
}

sub rows
{
	my ($part) = @_;

	return exists $results{$part} ? grep { $results{$part}{$_} } @order : ();
}

sub show
{
	my ($format, $value) = @_;

	return defined $value ? sprintf($format, $value) : '-';
}

sub print_drain
{
	my ($facts) = @_;
	my $mb = $facts->{corpus}{bytes} / 1e6;

	print "\n## Drain of a backlog: $facts->{corpus}{count} segments, ", int($mb), " MB\n\n";
	print "| contender | durable | rounds | wall s, median (min-max) | MB/s | CPU s | stored MB | ratio |\n";
	print "|---|---|---|---|---|---|---|---|\n";
	for my $name (rows('drain'))
	{
		my ($wall, $cpu, $stored) = map { result_of('drain', $name, $_) } qw(wall cpu stored);
		printf "| %s | %s | %d | %.2f (%s) | %.0f | %.1f | %.0f | %.2f |\n", $labels{drain}{$name},
		  $facts->{durable}{$name}, scalar @{ $results{drain}{$name}{wall} }, $wall,
		  spread('drain', $name, 'wall'), $mb / $wall, $cpu, $stored / 1e6, $mb * 1e6 / $stored;
	}
	my $idle = result_of('memory', 'walarch_3x2', 'idle_kb');
	my $peak = result_of('drain', 'walarch_3x2', 'peak_kb');
	printf "\nThe archiver of walarch with 2 workers took at most %.0f MB of memory, %.0f MB more than an idle one.\n",
	  $peak / 1024, ($peak - $idle) / 1024
	  if defined $idle && defined $peak;
	return;
}

sub print_recovery
{
	print "\n## Recovery of the same\n\n";
	print "| restore_command | rounds | wall s, median (min-max) | against replay alone, same round | CPU s | restored |\n";
	print "|---|---|---|---|---|---|\n";
	for my $name (rows('recovery'))
	{
		my ($wall, $cpu, $restored) = map { result_of('recovery', $name, $_) } qw(wall cpu restored);
		printf "| %s | %d | %.2f (%s) | %s | %.1f | %d |\n", $labels{recovery}{$name},
		  scalar @{ $results{recovery}{$name}{wall} }, $wall, spread('recovery', $name, 'wall'),
		  show('%.2f', ratio('recovery', 'wall', $name, 'local')), $cpu, $restored;
	}
	return;
}

# Median of the ratios within each round: a slow minute of the machine is in
# both.
sub ratio
{
	my ($part, $figure, $name, $other) = @_;
	my @mine = values_of($part, $name, $figure);
	my @theirs = values_of($part, $other, $figure);

	return median(map { $mine[$_] / $theirs[$_] } grep { defined $theirs[$_] } 0 .. $#mine);
}

sub print_each
{
	print "\n## One restore_command, in milliseconds, with sh and exec\n\n";
	print "| restore_command | p50 | p95 | max |\n|---|---|---|---|\n";
	for my $name (rows('get'))
	{
		printf "| %s | %.1f | %.1f | %.1f |\n", $labels{get}{$name},
		  map { result_of('get', $name, $_) } qw(p50 p95 max);
	}
	return;
}

sub print_backups
{
	my ($facts) = @_;
	my $mb = $facts->{cluster_bytes} / 1e6;

	printf "\n## Base backups of a cluster of %d MB\n\n", $mb;
	print "| contender | backup: wall s, median (min-max) | CPU s, with the server | stored MB | restore: wall s (min-max) | CPU s |\n|---|---|---|---|---|---|\n";
	for my $name (rows('backup'))
	{
		printf "| %s | %.1f (%s) | %.1f | %.0f | %.1f (%s) | %.1f |\n", $labels{backup}{$name}, result_of('backup', $name, 'wall'),
		  spread('backup', $name, 'wall'), result_of('backup', $name, 'cpu'), result_of('backup', $name, 'stored') / 1e6,
		  result_of('restore', $name, 'wall'), spread('restore', $name, 'wall'), result_of('restore', $name, 'cpu');
	}
	return;
}

sub print_live
{
	print "\n## pgbench while archiving\n\n";
	print "| archiving | tps | worst backlog, segments | CPU s |\n|---|---|---|---|\n";
	for my $name (rows('live'))
	{
		printf "| %s | %.0f | %d | %.1f |\n", $labels{live}{$name},
		  map { result_of('live', $name, $_) } qw(tps backlog cpu);
	}
	return;
}

# What README quotes: how many times faster, larger, dearer.
sub ratios
{
	my @ratios;
	my $add = sub { push @ratios, { what => $_[0], ratio => $_[1] } if defined $_[1]; };

	for my $mine (qw(walarch_3x2 walarch_catchup))
	{
		$add->("drain, throughput: $mine / $_", ratio('drain', 'wall', $_, $mine))
		  for qw(pgbr_async pgbr zstd3 zstd1 gzip cp_sync basic_archive);
		$add->("stored size: $mine / pgbr_async", ratio('drain', 'stored', $mine, 'pgbr_async'));
		$add->("CPU: $mine / $_", ratio('drain', 'cpu', $mine, $_)) for qw(pgbr_async zstd3);
	}
	$add->("drain, throughput: $_->[0] / $_->[1]", ratio('drain', 'wall', $_->[1], $_->[0]))
	  for [ 'walarch_3x1', 'limit_3x1' ], [ 'walarch_3x2', 'limit_3x2' ], [ 'walarch_catchup', 'limit_1x3' ];
	$add->("recovery, time: $_ / replay alone", ratio('recovery', 'wall', $_, 'local'))
	  for grep { $_ ne 'local' } rows('recovery');
	for my $other (qw(pgbr gzip server_zstd client_zstd))
	{
		$add->("backup, time: walarch / $other", ratio('backup', 'wall', 'walarch', $other));
		$add->("backup, size: walarch / $other", ratio('backup', 'stored', 'walarch', $other));
		$add->("restore, time: walarch / $other", ratio('restore', 'wall', 'walarch', $other));
	}
	$add->('get, p50: walarch_plain / zstd3', ratio('get', 'p50', 'walarch_plain', 'zstd3'));
	return @ratios;
}

sub print_report
{
	my ($facts) = @_;

	printf "# walarch %s, %s, %s\n\n", @{ $facts->{versions} }{qw(walarch postgresql)}, $facts->{date};
	printf "%d cores (%s), %d MB of memory, %s, %s; pgBackRest: %s; %s\n", @{ $facts->{machine} }{qw(cores cpu memory_mb file_system)},
	  @{ $facts->{versions} }{qw(kernel pgbackrest zstd)};
	print_drain($facts) if $results{drain};
	print_recovery() if $results{recovery};
	print_each() if $results{get};
	print_live() if $results{live};
	print_backups($facts) if $results{backup};
	my @ratios = ratios();
	print "\n## Ratios\n\n| what | ratio |\n|---|---|\n" if @ratios;
	printf "| %s | %.2f |\n", @$_{qw(what ratio)} for @ratios;
	return;
}

sub write_json
{
	my ($file, $facts) = @_;
	my $json = JSON::PP->new->pretty->canonical;

	open(my $out, '>', "$file.tmp") or die "$file: $!\n";
	print $out $json->encode({ %$facts, labels => \%labels, results => \%results, ratios => [ ratios() ] });
	close($out) or die "$file: $!\n";
	rename "$file.tmp", $file or die "$file: $!\n";
	return;
}

1;
