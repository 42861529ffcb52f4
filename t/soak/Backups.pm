# Base backups into the archive, one after the other in the background, so that
# faults hit them; and retention, which lets go of what no kept one needs.
#
#	my $backups = Backups->new($world, $directory, 2);  # retention keeps two
#	$backups->begin; $backups->keep; $backups->finish;
#	$backups->disturb('archive full');      # what runs now may fail
#	$backups->prune;

package Backups;

use strict;
use warnings;

use JSON::PP ();
use Time::Local ();
use Test::More;
use POSIX ();
use Pace;
use PostgreSQL::Test::Utils;
use WalArch;

sub new
{
	my ($class, $w, $dir, $kept) = @_;
	return bless { w => $w, dir => $dir, kept => $kept, fresh => 0 }, $class;
}

sub stop { kill 'TERM', $_[0]{pid} if $_[0]->running; return; }
sub running { return defined $_[0]{pid}; }

sub begin
{
	my ($self) = @_;
	my $w = $self->{w};

	return if $self->running;
	$self->{disturbed} = undef;
	$self->{pid} = fork() // die "could not fork: $!";
	return if $self->{pid} != 0;
	open(STDIN, '<', '/dev/null');
	open(STDOUT, '>', "$self->{dir}/backup.out");
	open(STDERR, '>&', \*STDOUT);
	exec($ENV{WALARCH_BIN}, 'backup', '--archive', $w->{archive}, $w->{pair}->connection, '--checkpoint', 'fast',
		'--quiet', '--wal-timeout', '2min')
	  or POSIX::_exit(98);
}

sub disturb
{
	my ($self, $why) = @_;
	$self->{disturbed} = $why;
	return;
}

# A backup fails only for a reason.
sub keep
{
	my ($self) = @_;

	return unless defined $self->{pid} && waitpid($self->{pid}, POSIX::WNOHANG()) == $self->{pid};
	my $status = $?;
	my $output = slurp_file("$self->{dir}/backup.out");
	$self->{pid} = undef;
	if ($status == 0)
	{
		$self->{w}{figures}->add('base backups');
		$self->{fresh}++;
	}
	elsif (defined $self->{disturbed})
	{
		$self->{w}{figures}->add('base backups interrupted');
		note("a backup was interrupted ($self->{disturbed}): $output");
	}
	else
	{
		fail('a base backup that nothing disturbs succeeds');
		diag("status $status: $output");
	}
	return;
}

sub finish
{
	my ($self) = @_;

	wait_for('the base backup to end', sub { $self->keep; !$self->running });
	return;
}

# One that counts, whatever it takes.
sub take
{
	my ($self) = @_;

	$self->finish;
	$self->begin;
	$self->finish;
	return;
}

sub listing
{
	my ($self) = @_;
	my ($status, $stdout, $stderr) = run_in('/', $ENV{WALARCH_BIN}, 'list', '--archive', $self->{w}{archive}, '--json');

	die "walarch list: $stderr" unless $stdout =~ /^\{/;
	return JSON::PP->new->decode($stdout);
}

sub lsn_number
{
	my ($lsn) = @_;
	my ($high, $low) = split m{/}, $lsn;
	return hex($high) * 2**32 + hex($low);
}

# walarch restore pins what the copy may need: nobody needs it any more, once the
# copies are opened and the standby follows.
sub unpin
{
	my ($self) = @_;

	foreach my $pin (map { m{/(restore-[^/]*)$} ? $1 : () } glob("$self->{w}{archive}/pins/*"))
	{
		my ($status, undef, $stderr) = run_in('/', $ENV{WALARCH_BIN}, 'unpin', '--archive', $self->{w}{archive}, $pin);
		die "walarch unpin: $stderr" if $status ne '0';
	}
	return;
}

# Which moments a backup serves by their time: its own end is known to the second.
sub serve_time
{
	my ($self, $moment) = @_;

	foreach my $backup (grep { $_->{source} eq 'base' && $_->{usable} } @{ $self->listing->{backups} })
	{
		my ($year, $month, @rest) = $backup->{stop_time} =~ /^(\d+)-(\d+)-(\d+)[T ](\d+):(\d+):(\d+)/ or next;

		return 1 if lsn_number($backup->{stop_lsn}) <= lsn_number($moment->{lsn})
		  && Time::Local::timegm(reverse(@rest), $month - 1, $year) + 1 < $moment->{us} / 1_000_000;
	}
	return 0;
}

# Prune as an administrator would; moments before the oldest backup that stays
# are forgotten, after one of them was recovered.
sub prune
{
	my ($self, $recovery) = @_;
	my $w = $self->{w};

	return unless $self->{fresh};
	my @here = sort { lsn_number($a->{stop_lsn}) <=> lsn_number($b->{stop_lsn}) }
	  grep { $_->{source} eq 'base' && $_->{usable} } @{ $self->listing->{backups} };
	return if @here <= $self->{kept};
	$self->{fresh} = 0;

	my $first = $here[ -$self->{kept} ];
	my $floor = lsn_number($first->{stop_lsn});
	my @leaving = grep { lsn_number($_->{lsn}) < $floor } $w->{moments}->list;
	$recovery->one(@leaving) if @leaving;

	$self->unpin;
	my ($status, $stdout, $stderr) = run_in('/', $ENV{WALARCH_BIN}, 'prune', '--archive', $w->{archive},
		'--retention-backups', $self->{kept}, '--apply', '--json');
	if ($status eq '0')
	{
		$w->{figures}->add('prunes');
		$w->{figures}->add('objects that retention let go of', JSON::PP->new->decode($stdout)->{deleted_objects});
		$w->{witness}->forget_before($first->{start_wal});
		$w->{moments}->keep_only(sub { lsn_number($_[0]{lsn}) >= $floor });
	}
	else
	{
		# clocks that were set back leave commits in the future
		$w->{figures}->add('prunes refused for a doubt');
		like($stdout . $stderr, qr/lie in the future/, 'prune lets nothing go only because of the clock');
	}
	return;
}

1;
