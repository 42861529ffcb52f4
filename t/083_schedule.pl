# The units and the crontab in examples/: what they run is run here, with the
# paths of this machine in place of theirs.

use strict;
use warnings;

use lib 't/lib';

use File::Temp ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Standby;
use Test::More;
use WalArch;

my $examples = $ENV{WALARCH_EXAMPLES} // 'examples';
my $primary = small_primary('primary', conf => "walarch.retention_backups = 1\n");
my $archive = archive_dir($primary);
my $scratch = File::Temp::tempdir('/tmp/wadrill.XXXXXX', CLEANUP => 1);

switch_and_archive($primary);

# as in the configuration file of the units
my %environment = map { /^(\w+)=(.*)$/ ? ($1 => $2) : () } split /\n/, slurp_file("$examples/walarch.conf");
is(join(' ', sort keys %environment), 'WALARCH_ARCHIVE WALARCH_SCRATCH', 'what the units are given');
%environment = (WALARCH_ARCHIVE => $archive, WALARCH_SCRATCH => $scratch, PGHOST => $primary->host, PGPORT => $primary->port);

# systemd's words: no shell, ${NAME} from the environment.
sub run_unit
{
	my ($unit) = @_;
	my $text = slurp_file("$examples/$unit");
	my @lines = $text =~ /^ExecStart=(.*)$/mg;

	ok(@lines > 0, "$unit starts something");
	foreach my $line (@lines)
	{
		$line =~ s/%i/15/g;
		$line =~ s/\$\{(\w+)\}/$environment{$1}/g;
		my ($program, @words) = split ' ', $line;
		is($program, '/usr/lib/postgresql/15/bin/walarch', "$unit: by its full path");
		my ($status, $stdout, $stderr) = do { local @ENV{ keys %environment } = values %environment; run_in('/', $ENV{WALARCH_BIN}, @words) };
		is($status, 0, "$unit: @words") or diag("$stdout\n$stderr");
	}
	return;
}

run_unit('walarch-backup@.service');
run_unit('walarch-backup@.service');
is(scalar(grep { m{^base/[^/]+/backup$} } files_below($archive, 'base')), 1, 'pruning leaves as many as are to be kept');
run_unit('walarch-drill@.service');
is(scalar(grep { /\.txt$/ } files_below($archive, 'drills')), 1, 'a drill has been done');

# the crontab: its commands as the shell takes them
my $cron = slurp_file("$examples/walarch.cron");
my @commands = map { /^(?:\S+\s+){5}(walarch .*)$/ ? $1 : () } split /\n/, $cron;
is(scalar(@commands), 2, 'two lines in the crontab');
foreach my $command (@commands)
{
	# a report is named by its second
	wait_until('another second', sub { my @t = gmtime; !-e sprintf('%s/drills/%04d%02d%02dT%02d%02d%02dZ.txt', $archive, $t[5] + 1900, $t[4] + 1, @t[ 3, 2, 1, 0 ]) });
	$command =~ s{/var/tmp}{$scratch};
	(my $bindir = $ENV{WALARCH_BIN}) =~ s{/walarch$}{};
	my ($status, $stdout, $stderr) = do
	{
		local @ENV{ keys %environment } = values %environment;
		local $ENV{PATH} = "$bindir:$ENV{PATH}";
		run_in('/', 'sh', '-c', $command);
	};
	is("$status|$stdout|$stderr", '0||', "cron: $command, which prints nothing");
}

# timers and services belong together, and systemd takes them
foreach my $timer (glob("$examples/*.timer"))
{
	(my $service = $timer) =~ s/timer$/service/;
	ok(-e $service, "$timer has its service");
}
SKIP:
{
	skip 'no systemd-analyze here', 1 if system('command -v systemd-analyze >/dev/null 2>&1') != 0;
	my $units = $primary->basedir . '/units';
	mkdir $units or die $!;
	foreach my $unit (glob("$examples/*.service"), glob("$examples/*.timer"))
	{
		my ($name) = $unit =~ m{([^/]+)$};
		my $text = slurp_file($unit);
		$text =~ s{/usr/lib/postgresql/%i/bin/walarch}{/bin/true};
		$text =~ s{/usr/lib/postgresql/%i/bin/walarch}{/bin/true};
		$name =~ s/\@/\@15/;
		write_binary("$units/$name", $text);
	}
	my $said = `systemd-analyze verify --man=no '$units/walarch-backup\@15.timer' '$units/walarch-drill\@15.timer' 2>&1`;
	unlike($said, qr/Unknown|Failed to parse|Invalid|lacks/i, 'systemd-analyze has nothing to say against them') or diag($said);
}

$primary->stop;
done_testing();
