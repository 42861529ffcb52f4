# Recovery to moments: a copy is opened there, and must hold what the primary
# held, to the bit, and every transaction that was acknowledged before.
#
#	my $recovery = Recovery->new($world, $dice);
#	$recovery->one(@moments);               # to one of them

package Recovery;

use strict;
use warnings;

use POSIX ();
use Test::More;
use Moments;
use Pair;
use WalArch;

sub new
{
	my ($class, $w, $dice) = @_;
	return bless { w => $w, dice => $dice, copies => 0 }, $class;
}

sub time_text
{
	my ($us) = @_;
	return POSIX::strftime('%Y-%m-%d %H:%M:%S', gmtime(int($us / 1_000_000))) . sprintf('.%06d UTC', $us % 1_000_000);
}

# The ways to a moment. By time only where the clock showed it once, and a backup
# ended before it for certain.
sub targets
{
	my ($self, $moment) = @_;
	my $clock = $self->{w}{clock};
	my @targets = ([ '--target-name', $moment->{name} ], [ '--target-lsn', $moment->{lsn} ],
		[ '--target-name', $moment->{name}, '--timeline', $moment->{timeline} ]);

	push @targets, [ '--target-time', time_text($moment->{us}) ]
	  if (!defined $clock || $clock->plain($moment->{us})) && $self->{w}{backups}->serve_time($moment);
	return @targets;
}

sub one
{
	my ($self, @moments) = @_;
	my $w = $self->{w};
	my $moment = $self->{dice}->one_of(@moments);
	my @targets = $self->targets($moment);
	my @target = @{ $targets[ $self->{copies}++ % @targets ] };
	my $what = "recovery of $moment->{name} (timeline $moment->{timeline}) by @target";
	my $copy = eval { $w->{pair}->build_copy("copy$self->{copies}", @target) };

	return $w->{figures}->lost("$what: $@") unless defined $copy;
	my $held = content($copy);
	my @missing = $w->{load}->missing($copy, $moment->{known});

	is($held, $moment->{content}, "$what: what the primary held")
	  or $w->{figures}->lost("$what: other content");
	$w->{figures}->lost(map { "$what: $_" } @missing);
	$w->{figures}->add('recoveries to a moment');
	$w->{figures}->add("recoveries by $target[0]" =~ s/--target-//r);
	$w->{figures}->add('rows compared in copies', $moment->{rows});
	Pair::discard($copy);
	return;
}

1;
