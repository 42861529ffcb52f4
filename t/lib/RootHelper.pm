# What only root can do, asked from an unprivileged test.
#
#	use lib "t/lib";
#	use RootHelper;
#
#	plan skip_all => 'needs root' unless root_available('loop', 'freeze');
#	root_do('loop', $dir, 64);              # 64 MB of ext4 on $dir
#	root_do('loop', $dir, 320, 'xfs');      # needs cut.xfs; btrfs: cut.btrfs
#	root_do('cut', $dir); root_do('power_on', $dir);   # power goes, and is back
#	root_do('tmpfs', $dir, '20M');
#	root_do('ro', $dir); root_do('rw', $dir); root_do('umount', $dir);
#	root_do('freeze', $dir); root_do('thaw', $dir);
#	root_do('detach', $dir); root_do('attach', $dir);   # a loop mount that is used
#	my $strace = root_do('strace', $pid, $outfile, '--', '-f', '-e', 'inject=...');
#	root_do('kill', $strace);
#	root_do('bind', $from, $to);            # the same directory, another mount
#	root_do('fuse', $from, $to);            # the same, and without unnamed files
#	root_do('hang', $to); root_do('resume', $to);   # such a one answers nothing
#	root_do('stranger', 'ask', $socket, $word);     # as another user: its answer
#	root_do('stranger', 'squat', $socket);          # who takes the name for half a minute
#	my $first = root_do('first', $datadir, $logfile, $postgres);    # a server as process 1
#
# Directories and files must lie below the temporary directory of the test run.
# What a test leaves mounted, frozen or traced is undone at the end of the run.

package RootHelper;

use strict;
use warnings;

use Exporter 'import';
use Fcntl;
use POSIX ();

our @EXPORT = qw(root_available root_do);

my $timeout_s = 300;
my $requests = 0;

sub home { return $ENV{WALARCH_ROOT_HELPER} // ''; }

# Is there a helper, and do the given verbs work on this machine?
sub root_available
{
	my @verbs = @_;

	open(my $can, '<', home() . '/can') or return 0;
	my %can = map { $_ => 1 } map { split } <$can>;
	return 0 == grep { !$can{$_} } @verbs;
}

# Ask for one thing; the words of a good answer, or death with those of a bad one.
sub root_do
{
	my @request = @_;
	my $name = sprintf('%d.%d', $$, ++$requests);
	my $reply_path = home() . "/replies/$name";

	die "a request cannot hold tabs or line ends" if grep { /[\t\n]/ } @request;

	POSIX::mkfifo($reply_path, 0600) or die "could not make \"$reply_path\": $!";

	# Both for reading and writing: neither open waits, and the answer stays
	# in the FIFO until it is read.
	sysopen(my $reply, $reply_path, O_RDWR) or die "could not open \"$reply_path\": $!";
	sysopen(my $to, home() . '/requests', O_RDWR) or die "could not reach the root helper: $!";
	syswrite($to, join("\t", $name, @request) . "\n") or die "could not ask the root helper: $!";

	my $answer = eval {
		local $SIG{ALRM} = sub { die "no answer within $timeout_s s\n" };
		alarm $timeout_s;
		my $line = <$reply>;
		alarm 0;
		$line;
	};
	my $problem = $@;
	alarm 0;
	unlink $reply_path;

	die "root helper: @request: $problem" if $problem;
	chomp $answer;
	return $1 if $answer =~ /^ok ?(.*)/;
	$answer =~ s/^error //;
	die "root helper: $answer";
}

1;
