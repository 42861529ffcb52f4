# The helper that does for tests what only root can must never reach a process
# but its own: it runs as root, and numbers of processes come round again.

use strict;
use warnings;

use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;

use WalArch qw(wait_until);

my $top = PostgreSQL::Test::Utils::tempdir();
my $user = getpwuid($<);

mkdir "$top/root" or die "could not make \"$top/root\": $!";

# One thing done by it, as the end of a test run does.
sub helper
{
	my @what = @_;

	return run_command([ 't/lib/roothelper.sh', $top, $user, @what ]);
}

# A process that only SIGKILL ends, and when it began, in ticks after boot.
sub sleeper
{
	local $SIG{TERM} = 'IGNORE';
	my $pid = fork // die "could not fork: $!";

	if ($pid == 0)
	{
		exec 'sleep', '300' or POSIX::_exit(1);
	}
	my ($start) = slurp_file("/proc/$pid/stat") =~ /\)(?: \S+){19} (\d+)/;
	return ($pid, $start);
}

my ($other, $other_start) = sleeper();
my ($own, $own_start) = sleeper();

append_to_file("$top/root/stracers", "$other " . ($other_start - 1) . "\n$own $own_start\n");
append_to_file("$top/root/daemons", "$other " . ($other_start - 1) . " $top/mount\n");

my (undef, $message) = helper('kill', $$);
like($message, qr/process $$ is not a strace of ours/, 'a process never noted is refused');

(undef, $message) = helper('hang', "$top/mount");
like($message, qr/has no daemon/, 'a daemon whose number another process has is gone');

helper('kill', $other);
helper('unmount');
ok(wait_until('it to end', sub { waitpid($own, POSIX::WNOHANG) == $own }), 'a noted process that holds on is ended');
is($? & 127, 9, '... by force');
is(waitpid($other, POSIX::WNOHANG), 0, 'another process with a noted number is left alone');

kill 'KILL', $other;
waitpid($other, 0);

done_testing();
