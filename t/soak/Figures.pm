# What the soak counts, and what it has lost.
#
#	my $figures = Figures->new($seed);
#	$figures->add('segments', 3);
#	$figures->lost('...');                  # a failed assertion, and the end's verdict
#	$figures->fault('archive full', $took_effect);
#	$figures->progress('...');
#	$figures->table; $figures->json;

package Figures;

use strict;
use warnings;

use JSON::PP ();
use Test::More;
use Time::HiRes qw(time);

sub new
{
	my ($class, $seed) = @_;
	return bless { seed => $seed, begun => time(), count => {}, faults => {}, effect => {}, losses => [] }, $class;
}

sub add
{
	my ($self, $what, $by) = @_;
	$self->{count}{$what} += $by // 1;
	return;
}

sub set { $_[0]{count}{ $_[1] } = $_[2]; return; }
sub get { return $_[0]{count}{ $_[1] } // 0; }

sub fault
{
	my ($self, $kind, $effect) = @_;

	$self->{faults}{$kind}++;
	$self->{effect}{$kind} += $effect ? 1 : 0;
	return;
}

sub faults
{
	my ($self) = @_;
	my $sum = 0;

	$sum += $_ foreach values %{ $self->{faults} };
	return $sum;
}

sub lost
{
	my ($self, @what) = @_;

	foreach my $what (@what)
	{
		push @{ $self->{losses} }, $what;
		fail("lost: $what");
	}
	return;
}

sub losses { return @{ $_[0]{losses} }; }
sub seconds { return time() - $_[0]{begun}; }

sub progress
{
	my ($self, @words) = @_;
	my $seconds = int $self->seconds;

	diag(sprintf '%3d:%02d  %s', $seconds / 60, $seconds % 60, join('  ', @words));
	return;
}

sub table
{
	my ($self) = @_;
	my @lines = (sprintf('%-34s %8s %8s', 'fault', 'times', 'effect'));

	push @lines, sprintf('%-34s %8d %8d', $_, $self->{faults}{$_}, $self->{effect}{$_}) foreach sort keys %{ $self->{faults} };
	push @lines, sprintf('%-34s %8d', 'all faults', $self->faults), '';
	push @lines, sprintf('%-34s %8d', $_, $self->{count}{$_}) foreach sort keys %{ $self->{count} };
	push @lines, sprintf('%-34s %8d', 'losses', scalar $self->losses);
	diag(join "\n", '', @lines, '');
	return;
}

sub json
{
	my ($self) = @_;

	return JSON::PP->new->canonical->encode(
		{ seed => $self->{seed}, seconds => int $self->seconds, faults => $self->{faults}, effect => $self->{effect},
			losses => scalar $self->losses, %{ $self->{count} } });
}

1;
