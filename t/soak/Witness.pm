# Does the server lie? What PostgreSQL was told is archived must be in the
# archive, byte for byte; the counters only go up; and nothing is ever in
# conflict, damaged or replaced, since nothing here makes that happen.
#
#	my $witness = Witness->new($archive, $figures, $dice);
#	$witness->note($node);                  # anytime, often
#	$witness->look($node);                  # while the archive is there
#	$witness->check_all;                    # at the end

package Witness;

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Standby qw(timeline);
use WalArch;

my $compared_at_a_time = 3;
my $segments_per_file = 4096;	# of 1 MB, in the 4 GB that the middle of a name counts
my @monotonic = qw(archived_count identical_count failed_count raw_bytes stored_bytes);
my @never = qw(conflict_count replaced_count damaged_source_count);

sub new
{
	my ($class, $archive, $figures, $dice) = @_;
	return bless {
		archive => $archive, figures => $figures, dice => $dice, acknowledged => {}, fresh => {}, floor => '', before => {}, told => {} }, $class;
}

sub acknowledged
{
	my ($node) = @_;
	return sort map { /^(.*)\.done$/ ? $1 : () } slurp_dir(data_file($node, 'pg_wal/archive_status'));
}

sub segment
{
	my ($prefix, $number) = @_;
	return sprintf '%s%08X%08X', $prefix, $number / $segments_per_file, $number % $segments_per_file;
}

# Archived in order, without a gap: also what was acknowledged and removed while
# nobody looked.
sub chain
{
	my ($self, $timeline) = @_;
	my $prefix = sprintf '%08X', $timeline;
	my $last;

	foreach my $name (sort grep { /^$prefix[0-9A-F]{16}$/ && !$self->forgotten($_) } archive_files($self->{archive}))
	{
		my $number = hex(substr($name, 8, 8)) * $segments_per_file + hex(substr($name, 16, 8));

		# what came while the directories were read may not be in the list
		$self->loss($name, 'what comes before it is not in the archive')
		  if defined $last && grep { !-e object_path($self->{archive}, segment($prefix, $_)) } $last + 1 .. $number - 1;
		$last = $number;
	}
	return;
}

# Retention let go of everything before this segment, whatever the timeline.
sub forget_before
{
	my ($self, $wal) = @_;

	$self->{floor} = substr($wal, 8, 16);
	delete @{$_}{ grep { $self->forgotten($_) } keys %$_ } foreach @{$self}{qw(acknowledged fresh)};
	return;
}

sub forgotten
{
	my ($self, $name) = @_;
	return $name =~ /^[0-9A-F]{24}/ && substr($name, 8, 16) lt $self->{floor};
}

# Is this stretch the beginning of a timeline that retention let go of?  Where
# backups of an older one stay, it is missing for them, and is shown.
sub let_go
{
	my ($self, $first, $last) = @_;
	my $prefix = substr($first, 0, 8);

	return $self->forgotten($first) && $self->forgotten($last)
	  && !grep { /^$prefix[0-9A-F]{16}$/ && $_ lt $first } archive_files($self->{archive});
}

# Once for each name, however often it is seen.
sub loss
{
	my ($self, $name, $what) = @_;

	$self->{figures}->lost("$name: $what") unless $self->{told}{$name}++;
	return;
}

sub look
{
	my ($self, $node) = @_;
	my @done = $self->note($node);

	foreach my $name (grep { !-e object_path($self->{archive}, $_) } sort keys %{ $self->{fresh} }, @done)
	{
		$self->loss($name, 'acknowledged, and not in the archive');
	}
	$self->{fresh} = {};
	$self->chain(timeline($node));
	$self->compare($node, $_) foreach ($self->{dice}->shuffled(grep { /^[0-9A-F]{24}$/ } @done))[ 0 .. $compared_at_a_time - 1 ];
	$self->counters($node);
	return;
}

# What is acknowledged now; it needs no archive, so that it can be done anytime.
sub note
{
	my ($self, $node) = @_;
	my @done = grep { !$self->forgotten($_) } acknowledged($node);

	foreach my $name (grep { !$self->{acknowledged}{$_} } @done)
	{
		$self->{acknowledged}{$name} = $self->{fresh}{$name} = 1;
		$self->{figures}->add($name =~ /^[0-9A-F]{24}$/ ? 'segments acknowledged' : 'other files acknowledged');
	}
	return @done;
}

# PostgreSQL may remove the segment, or make it another, while it is read: only
# what is still noted as archived afterwards was that segment all the time.
sub compare
{
	my ($self, $node, $name) = @_;
	my $path = data_file($node, "pg_wal/$name");

	return unless defined $name;
	my $bytes = eval { slurp_binary($path) } // return;
	my $raw = object_raw($self->{archive}, $name);
	return unless -e data_file($node, "pg_wal/archive_status/$name.done") && -e $path;

	$self->{figures}->add('segments compared byte for byte');
	$self->loss($name, 'acknowledged, and not what lies in pg_wal') unless defined $raw && $raw eq $bytes;
	return;
}

sub counters
{
	my ($self, $node) = @_;
	my $now = status($node);
	my $before = $self->{before}{ $node->name };

	foreach my $counter (grep { defined $before && $now->{$_} < $before->{$_} } @monotonic)
	{
		$self->loss($node->name . ", $counter", "it went from $before->{$counter} to $now->{$counter}");
	}
	foreach my $counter (grep { $now->{$_} > 0 } @never)
	{
		$self->loss($node->name . ", $counter", "it is $now->{$counter}: " . ($now->{last_error} // '') . ($now->{last_damage} // ''));
	}
	$self->{before}{ $node->name } = $now;
	return;
}

# All that was ever seen acknowledged and has not been let go of.
sub check_all
{
	my ($self) = @_;

	foreach my $name (grep { !-e object_path($self->{archive}, $_) } sort keys %{ $self->{acknowledged} })
	{
		$self->loss($name, 'acknowledged, and not in the archive at the end');
	}
	return scalar keys %{ $self->{acknowledged} };
}

# The counters of a server that is given up.
sub sum
{
	my ($self, $counter) = @_;
	my $sum = 0;

	$sum += $_->{$counter} foreach values %{ $self->{before} };
	return $sum;
}

1;
