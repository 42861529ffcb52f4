# What the compiler and the linker were to build in, seen in the built files:
# position independence, read-only relocations, no executable stack, guards on
# the stack, checked copies; and nothing in them can start a shell.

use strict;
use warnings;

use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;
use Test::More;

my %file = (
	'walarch' => $ENV{WALARCH_BIN},
	'walarch-recovery' => dirname($ENV{WALARCH_BIN}) . '/walarch-recovery',
	'walarch.so' => $ENV{WALARCH_SO});

sub output_of
{
	my (@command) = @_;
	my ($stdout, $stderr) = run_command(\@command);

	die "@command: $stderr" if $stdout eq '';
	return $stdout;
}

foreach my $name (sort keys %file)
{
	# counters of coverage come without optimisation, and so without checks
	plan skip_all => 'this build counts' if output_of('readelf', '--wide', '--syms', $file{$name}) =~ /__gcov/;

	my $headers = output_of('readelf', '--wide', '--file-header', '--program-headers', $file{$name});
	my $dynamic = output_of('readelf', '--wide', '--dynamic', $file{$name});
	my %imported = map { /\bUND (\w+)/ ? ($1 => 1) : () }
	  split /\n/, output_of('readelf', '--wide', '--dyn-syms', $file{$name});

	like($headers, qr/^\s*Type:\s+DYN /m, "$name is position-independent");
	like($headers, qr/^\s*GNU_RELRO /m, "$name: relocations become read-only");
	like($dynamic, qr/\bBIND_NOW\b/, "$name: all of them, at the start");
	like($headers, qr/^\s*GNU_STACK .* RW /m, "$name: the stack is not executable");
	unlike($headers, qr/^\s*LOAD .* RWE /m, "$name: nothing is writable and executable");
	unlike($dynamic, qr/\(TEXTREL\)/, "$name: no relocations in the text");
	is(join(' ', grep { !m{^/} } map { split /:/, $_, -1 } $dynamic =~ /\((?:RPATH|RUNPATH)\).*\[(.*)\]/g),
		'', "$name: libraries are looked for in no directory that can be another one");
	ok($imported{__stack_chk_fail}, "$name: the stack is guarded");
	cmp_ok(scalar(grep { /_chk$/ } keys %imported), '>', 0, "$name: copies are checked");
	is(join(' ', grep { $imported{$_} } qw(system popen wordexp execlp execvp execvpe gets strcpy strcat sprintf vsprintf mktemp tempnam tmpnam)),
		'', "$name: nothing that starts a shell, looks through PATH or writes without a bound");
	next if $name =~ /\.so$/;
	like($dynamic, qr/FLAGS_1\b.*\bPIE\b/, "$name: the program, too");
}

done_testing();
