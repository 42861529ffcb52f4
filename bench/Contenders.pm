# Who takes part, and how each archives and restores.
package Contenders;

use strict;
use warnings;
use Exporter 'import';
use Server;

our @EXPORT = qw(contenders versions);

# A file into place the way a careful shell does it: synced, renamed, its
# directory synced. TMP stands for the file it writes to.
sub careful
{
	my ($command, $suffix) = @_;
	my $file = "ARCHIVE/%f$suffix";

	$command =~ s/TMP/$file.tmp/;
	return "$command && sync $file.tmp && mv $file.tmp $file && sync ARCHIVE";
}

sub shell
{
	my ($name, $label, $archive, $restore, %more) = @_;

	return {
		name => $name, label => $label, durable => 'yes',
		archive => ["archive_command = '$archive'"],
		restore => $restore, %more
	};
}

sub walarch
{
	my ($name, $label, $level, $catchup, $workers) = @_;

	return {
		name => $name, label => $label, durable => 'yes',
		archive => [
			"archive_library = 'walarch'", "walarch.archive = 'ARCHIVE'",
			"walarch.compression_level = $level", "walarch.catchup_level = $catchup",
			"walarch.workers = $workers"
		],
		restore => 'walarch get --archive ARCHIVE "%f" "%p"',
		threads => $workers, level => $catchup
	};
}

sub pgbackrest_prepare
{
	my ($async) = @_;

	return sub {
		my ($archive, $cluster, $state) = @_;

		mkdir $archive;
		run('mkdir', '-p', "$state/spool", "$state/lock", "$state/log");
		open(my $conf, '>', "$state/pgbackrest.conf") or die "$state: $!\n";
		print $conf "[global]\nrepo1-path=$archive\nspool-path=$state/spool\nlock-path=$state/lock\n"
		  . "log-path=$state/log\nlog-level-console=error\nlog-level-file=off\n"
		  . "compress-type=zst\ncompress-level=3\nprocess-max=2\n"
		  . ($async ? "archive-async=y\n" : '')
		  . "[bench]\npg1-path=$cluster\n";
		close($conf);
		run("pgbackrest --config=$state/pgbackrest.conf --stanza=bench --no-online stanza-create")
		  unless -e "$archive/archive/bench";
	};
}

sub pgbackrest
{
	my ($name, $label, $async) = @_;
	my $command = 'pgbackrest --config=STATE/pgbackrest.conf --stanza=bench';

	return {
		name => $name, label => $label, durable => 'yes',
		archive => ["archive_command = '$command archive-push %p'"],
		restore => "$command archive-get %f \"%p\"",
		prepare => pgbackrest_prepare($async)
	};
}

sub limit
{
	my ($threads, $level) = @_;

	return {
		name => "limit_${level}x$threads", label => "limit: bare C, level $level, $threads threads",
		durable => 'yes', limit => [ $threads, $level ]
	};
}

sub have { return system("command -v $_[0] >/dev/null 2>&1") == 0; }

sub contenders
{
	my ($gzip_rounds) = @_;
	my @all = (
		shell('cp', 'cp', 'cp %p ARCHIVE/%f', 'cp ARCHIVE/%f "%p"', durable => 'no'),
		shell('cp_sync', 'cp + sync', careful('cp %p TMP', ''), 'cp ARCHIVE/%f "%p"', norestore => 1),
		shell('gzip', 'gzip', careful('gzip -c %p > TMP', '.gz'), 'gzip -dc ARCHIVE/%f.gz > "%p"',
			rounds => $gzip_rounds),
		shell('zstd3', 'zstd -3 pipe', careful('zstd -q -3 -c %p > TMP', '.zst'), 'zstd -q -dc ARCHIVE/%f.zst > "%p"'),
		shell('zstd1', 'zstd -1 pipe', careful('zstd -q -1 -c %p > TMP', '.zst'), 'zstd -q -dc ARCHIVE/%f.zst > "%p"',
			norestore => 1),
		{
			name => 'basic_archive', label => 'basic_archive', durable => 'yes',
			archive => [ "archive_library = 'basic_archive'", "basic_archive.archive_directory = 'ARCHIVE'" ],
			restore => 'cp ARCHIVE/%f "%p"', norestore => 1
		},
		walarch('walarch_3x1', 'walarch, level 3, 1 worker', 3, 3, 1),
		walarch('walarch_3x2', 'walarch, level 3, 2 workers', 3, 3, 2),
		walarch('walarch_catchup', 'walarch, level 3, catch-up 1, 3 workers', 3, 1, 3),
		limit(1, 3), limit(2, 3), limit(3, 1)
	);
	$all[7]{recover_as} = 'walarch';
	$_->{norestore} = 1 for @all[ 6, 8 .. 11 ];
	if (have('pgbackrest'))
	{
		splice @all, 6, 0,
		  pgbackrest('pgbr', 'pgBackRest, zst 3', 0),
		  pgbackrest('pgbr_async', 'pgBackRest async, zst 3, 2 processes', 1);
	}
	else { print STDERR "pgbackrest is not here and is left out\n"; }
	return @all;
}

sub first_line
{
	my ($command) = @_;
	my ($line) = `$command 2>&1`;

	($line) = split /\n/, $line // '';
	return $line // 'unknown';
}

sub versions
{
	return {
		walarch => $ENV{BENCH_VERSION}, postgresql => first_line('postgres --version'),
		pgbackrest => have('pgbackrest') ? first_line('pgbackrest version') : 'absent',
		zstd => first_line('zstd --version'), gzip => first_line('gzip --version'),
		coreutils => first_line('cp --version'), kernel => first_line('uname -sr')
	};
}

1;
