# What each command answers to --help and to misuse: help on stdout and 0, or one
# line on stderr that names the mistake and a status that no server takes for
# success, nor for the end of the archive.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use WalArch;

delete @ENV{qw(WALARCH_ARCHIVE PGDATA)};

my $dir = PostgreSQL::Test::Utils::tempdir();

sub walarch { return run_in($dir, $ENV{WALARCH_BIN}, @_); }

# what a command complains of without arguments, and with some it does not take
my %commands = (
	init => [ 'no archive was given', 'unexpected argument "a"' ],
	list => [ 'no archive was given', 'unexpected argument "a"' ],
	verify => [ 'no archive was given', 'unexpected argument "a"' ],
	status => [ 'no data directory was given', 'unexpected argument "a"' ],
	pin => [ 'no archive was given', 'no archive was given' ],
	unpin => [ 'no archive was given', 'no archive was given' ],
	prune => [ 'no archive was given', 'unexpected argument "a"' ],
	backup => [ 'no archive was given', 'unexpected argument "a"' ],
	restore => [ 'no archive was given', 'unexpected argument "a"' ],
	drill => [ 'no archive was given', 'unexpected argument "a"' ],
	get => [ 'two arguments are needed', 'two arguments are needed' ]);

foreach my $command (sort keys %commands)
{
	my $misuse = $command eq 'get' ? 200 : 2;

	my ($status, $stdout, $stderr) = walarch($command, '--help');
	is("$status $stderr", '0 ', "$command --help");
	like($stdout, qr/^walarch $command /, 'says what it is for');
	like($stdout, qr/^Usage:|^  walarch $command/m, 'and how it is called');

	my @tries = ([ ['--no-such'], '(?:invalid|unknown) option "--no-such"' ],
		[ [], $commands{$command}[0] ], [ [qw(a b c)], $commands{$command}[1] ]);
	foreach my $try (@tries)
	{
		my ($args, $complaint) = @$try;

		($status, $stdout, $stderr) = walarch($command, @$args);
		is("$status $stdout", "$misuse ", "$command @$args: misuse");
		like($stderr, qr/\Awalarch $command: $complaint/, 'which is said');
	}
}

{
	my ($status, $stdout, $stderr) = walarch('--help');
	is("$status $stderr", '0 ', '--help');
	like($stdout, qr/^  \Q$_\E\s/m, "names $_") foreach sort keys %commands;
	is((walarch('--version'))[1], "walarch 1.0\n", '--version');
	is((walarch())[0], 2, 'no subcommand is misuse');
	($status, $stdout, $stderr) = walarch('nosuch');
	is("$status $stdout", '2 ', 'nor is an unknown one');
	like($stderr, qr/unknown subcommand "nosuch"/, 'any use');
}

# pins
foreach my $try ([ [ 'p', 'q', '--lsn', '0/1' ], 'unexpected argument "q"' ],
	[ [ 'p', '--time', 'soon' ], '"soon" is not such a value' ],
	[ [ 'p', '--lsn', '' ], '"" is not such a value' ])
{
	my ($args, $complaint) = @$try;
	my ($status, undef, $stderr) = walarch('pin', '--archive', $dir, @$args);

	is($status, 2, "pin @$args: misuse");
	like($stderr, qr/\Awalarch pin: .*(?:$complaint)/, 'which is said');
}

# a place that cannot be an archive, a data directory that is none or another's
{
	my ($status, undef, $stderr) = walarch('init', '--archive', "$dir/a", '-D', "$dir/nowhere");
	is($status, 1, 'init without a data directory');
	like($stderr, qr/could not open "\Q$dir\E\/nowhere"/, 'names it');
	($status, undef, $stderr) = walarch('init', '--archive', "$dir/a", '-D', '/');
  SKIP:
	{
		skip 'all is ours', 1 if $> == 0;
		like($stderr, qr/must be run by the user that owns "\/"/, 'another user\'s');
	}
	($status, undef, $stderr) = walarch('init', '--archive', "$dir/a", '-D', $dir);
	is($status, 1, 'a directory without a cluster');
	like($stderr, qr/-D must name the data directory/, 'and a hint');
	ok(!-e "$dir/a", 'nothing was made');
	($status) = walarch('unpin', '--archive', "$dir/a", 'p');
	is($status, 1, 'an archive that is not there');
}

done_testing();
