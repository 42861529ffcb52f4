# Where the archive lies: a file system of its own, which can be full, frozen,
# read-only or away.
#
#	my $place = Place->new($directory, 512);    # MB; the directory is the archive
#	$place->{mounted}                           # false: without root, a directory
#	$place->fill; $place->empty; ...
#	$place->mend                                # as it should be, whatever it was

package Place;

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Pace;
use RootHelper;

my $ballast = '.ballast';

# The directory is there before, and ours: a mount point that could be written
# to, were it taken for the archive.
sub new
{
	my ($class, $dir, $mb) = @_;
	my $self = bless { dir => $dir }, $class;

	mkdir $dir, 0700 or die "could not create \"$dir\": $!";
	$self->{mounted} = root_available(qw(loop freeze thaw ro rw detach attach));
	root_do('loop', $dir, $mb) if $self->{mounted};
	return $self;
}

sub free_bytes
{
	my ($self) = @_;
	my ($blocks, $size) = split ' ', `stat -f -c '%a %S' '$self->{dir}'`;

	return $blocks * $size;
}

# To the last byte, also of what was let go of meanwhile.
sub fill
{
	my ($self) = @_;
	my $file = "$self->{dir}/$ballast." . ++$self->{ballasts};
	my $bytes = $self->free_bytes;

	system('fallocate', '-l', int($bytes * 0.98), $file) if $bytes > 4_000_000;
	open(my $handle, '>>:raw', $file) or return;
	my $block = "\x55" x 65536;
	while (length $block > 0)
	{
		substr($block, length($block) / 2) = '' unless defined syswrite($handle, $block);
	}
	close $handle;
	return;
}

sub empty
{
	my ($self) = @_;
	unlink glob("$self->{dir}/$ballast.*");
	return;
}

sub freeze { root_do('freeze', $_[0]{dir}); return; }
sub thaw { root_do('thaw', $_[0]{dir}); return; }

# Refused while a file is open for writing.
sub protect
{
	my ($self) = @_;
	wait_for('the archive to be read-only', sub { eval { root_do('ro', $self->{dir}); 1 } }, 60);
	return;
}

sub release { root_do('rw', $_[0]{dir}); return; }
sub detach { root_do('detach', $_[0]{dir}); return; }
sub attach { root_do('attach', $_[0]{dir}); return; }

# What lies in the mount point when nothing is mounted there.
sub strangers
{
	my ($self) = @_;
	return grep { !/^\.\.?$/ } slurp_dir($self->{dir});
}

# Each of these fails where there is nothing to mend.
sub mend
{
	my ($self) = @_;

	return unless $self->{mounted};
	eval { $self->$_ } foreach qw(thaw attach release empty);
	return;
}

1;
