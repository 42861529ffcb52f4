# The clock of the servers, and of every command that the test starts: clock.c.
#
#	my $clock = Clock->new($directory);     # undef: it was not built
#	$clock->step(-3600);
#	$clock->plain($us)                      # did the clock show this only once?

package Clock;

use strict;
use warnings;

use Cwd ();
use Time::HiRes ();
use WalArch;

my $library = 'build/soak/clock.so';

# A step is noted a little before or after it takes effect.
my $margin_us = 2_000_000;

sub new
{
	my ($class, $dir) = @_;
	my $self = bless { file => "$dir/clock", offset_s => 0, past => [] }, $class;

	return undef unless -e $library;
	write_binary($self->{file}, pack('q<', 0));
	$ENV{SOAK_CLOCK} = $self->{file};
	$ENV{LD_PRELOAD} = Cwd::abs_path($library);
	$self->{since} = $self->now;
	return $self;
}

# In microseconds. This process has the clock of the machine.
sub now
{
	my ($self) = @_;
	return int((Time::HiRes::time() + $self->{offset_s}) * 1_000_000);
}

sub step
{
	my ($self, $seconds) = @_;

	push @{ $self->{past} }, [ $self->{since}, $self->now ];
	$self->{offset_s} += $seconds;

	# eight bytes within one page, in one write: nobody sees half of it
	open(my $handle, '+<:raw', $self->{file}) or die "could not open \"$self->{file}\": $!";
	syswrite($handle, pack('q<', $self->{offset_s} * 1_000_000)) == 8 or die "could not write \"$self->{file}\": $!";
	close $handle;
	$self->{since} = $self->now;
	return;
}

# A moment can be found by its time if every moment before it was earlier by the
# clock, and every one after it later.
sub plain
{
	my ($self, $us) = @_;
	my @spans = (@{ $self->{past} }, [ $self->{since}, $self->now ]);
	my ($own, @more) = grep {
		$us > $spans[$_][0] + $margin_us && ($_ == $#spans || $us < $spans[$_][1] - $margin_us)
	} 0 .. $#spans;

	return 0 if !defined $own || @more;
	return 0 if grep { $spans[$_][1] + $margin_us > $us } 0 .. $own - 1;
	return 0 if grep { $spans[$_][0] - $margin_us < $us } $own + 1 .. $#spans;
	return 1;
}

1;
