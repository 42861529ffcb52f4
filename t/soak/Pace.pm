# Waiting while the load goes on: chores are done in every loop that waits.
#
#	chore(sub { $load->keep });
#	wait_for('the archiver', sub { ... });      # dies after a bound
#	hold(3);                                    # a fault lasts that long

package Pace;

use strict;
use warnings;

use Exporter 'import';
use Time::HiRes qw(time usleep);
use WalArch;

our @EXPORT = qw(chore wait_for hold);

# Generous: the machine may be busy with something else, too.
my $bound_s = 180;
my @chores;

sub chore { push @chores, @_; return; }

sub wait_for
{
	my ($what, $code, $seconds) = @_;

	return wait_until($what, sub { $_->() foreach @chores; $code->() }, $seconds // $bound_s);
}

sub hold
{
	my ($seconds) = @_;
	my $until = time() + $seconds;

	while (time() < $until)
	{
		$_->() foreach @chores;
		usleep(100_000);
	}
	return;
}

1;
