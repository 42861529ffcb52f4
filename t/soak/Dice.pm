# Choices at random that repeat with the seed. Each purpose has dice of its own,
# so that how often one is asked does not change what another says.
#
#	my $dice = Dice->new($seed, 'faults');
#	$dice->roll(1, 6); $dice->one_of(@list); $dice->shuffled(@list);

package Dice;

use strict;
use warnings;

use Digest::MD5 qw(md5);

sub new
{
	my ($class, $seed, $purpose) = @_;
	return bless { seed => $seed, purpose => $purpose, rolled => 0 }, $class;
}

sub roll
{
	my ($self, $low, $high) = @_;
	my $bits = unpack 'N', md5("$self->{seed} $self->{purpose} " . $self->{rolled}++);

	return $low + $bits % ($high - $low + 1);
}

sub one_of
{
	my ($self, @list) = @_;
	return @list ? $list[ $self->roll(0, $#list) ] : undef;
}

sub shuffled
{
	my ($self, @list) = @_;

	foreach my $i (reverse 1 .. $#list)
	{
		my $j = $self->roll(0, $i);
		@list[ $i, $j ] = @list[ $j, $i ];
	}
	return @list;
}

1;
