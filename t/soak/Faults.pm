# The faults: each does its harm, sees that it took effect, lasts a while, and is
# mended. Afterwards archiving goes on to the last file, what was acknowledged is
# there, and the standby follows.
#
#	my $faults = Faults->new($world, $dice);
#	$faults->next;                          # the next one, at random
#	$faults->possible; $faults->impossible; # kinds

package Faults;

use strict;
use warnings;

use Test::More;
use PostgreSQL::Test::Utils;
use Moments;
use Pace;
use Pair;
use Prefetch;
use WalArch;

# Name => what does it, and whether it needs a file system or a clock of its own.
my %kinds = (
	'archive frozen' => [ \&archive_frozen, 'mounted' ],
	'archive full' => [ \&archive_full, 'mounted' ],
	'archive read-only' => [ \&archive_read_only, 'mounted' ],
	'archive unmounted' => [ \&archive_unmounted, 'mounted' ],
	'archiver killed' => [ \&archiver_killed ],
	'clock stepped' => [ \&clock_stepped, 'clock' ],
	'immediate stop' => [ \&immediate_stop ],
	'prefetcher killed' => [ \&prefetcher_killed ],
	'primary killed' => [ \&primary_killed ],
	'process of the primary killed' => [ \&process_killed ],
	'promotion' => [ \&promotion ],
	'recovery of the standby killed' => [ \&standby_recovery_killed ],
	'standby stopped' => [ \&standby_stopped ]);

sub new
{
	my ($class, $w, $dice) = @_;
	my $self = bless { w => $w, dice => $dice, bag => [], number => 0 }, $class;

	foreach my $kind (sort keys %kinds)
	{
		my $needs = $kinds{$kind}[1];
		my $has = !defined $needs || ($needs eq 'clock' ? defined $w->{clock} : $w->{place}{mounted});

		push @{ $self->{possible} }, $kind if $has;
		push @{ $self->{impossible} }, $kind unless $has;
	}
	return $self;
}

sub possible { return @{ $_[0]{possible} }; }
sub impossible { return @{ $_[0]{impossible} // [] }; }

# Every kind once in each round, in another order each time. All choices are made
# before anything is done: they do not depend on how it goes.
sub draw
{
	my ($self) = @_;
	my $dice = $self->{dice};

	$self->{bag} = [ $dice->shuffled($self->possible) ] unless @{ $self->{bag} };
	return {
		kind => shift @{ $self->{bag} }, hold => $dice->roll(1, 8) == 1 ? $dice->roll(8, 15) : $dice->roll(0, 4),
		within => $dice->roll(1, 8), pick => $dice->roll(0, 1000),
		seconds => $dice->one_of(-1, 1) * $dice->one_of($dice->roll(1, 30), $dice->roll(60, 7200), $dice->roll(7200, 200_000)) };
}

sub next
{
	my ($self) = @_;
	my $w = $self->{w};
	my $fault = $self->draw;
	my $name = sprintf 'fault %d, %s', ++$self->{number}, $fault->{kind};
	my $effect;

	$w->{moments}->take($w->{pair}->primary);
	$w->{backups}->disturb($fault->{kind});
	$effect = $kinds{ $fault->{kind} }[0]->($self, $fault, $name);
	$w->{figures}->fault($fault->{kind}, $effect);
	$self->settle($name);
	$w->{figures}->progress(sprintf('%-32s', $fault->{kind} . ($effect ? '' : ' (no effect)')), $self->where);
	return;
}

sub where
{
	my ($self) = @_;
	my $w = $self->{w};
	my $status = status($w->{pair}->primary);

	return sprintf '%d transactions, last archived %s, waiting %d, moments %d, losses %d', $w->{load}->total,
	  $status->{last_archived_wal} // '-', $status->{backlog_files}, $w->{moments}->taken, scalar $w->{figures}->losses;
}

# Archiving goes on, nobody lied, and the standby comes along.
sub settle
{
	my ($self, $name) = @_;
	my $w = $self->{w};
	my $node = $w->{pair}->primary;
	my ($lsn, $wal) = split /\|/, $node->safe_psql('postgres', 'SELECT lsn, pg_walfile_name(lsn - 1) FROM pg_switch_wal() AS lsn');

	wait_for("$name: $wal to be archived", sub { is_archived($node, $wal) });
	# a machine that is held up for the time-out makes one more failure, which ends
	ok(eval { wait_for("$name: the end of failures", sub { status($node)->{state} ne 'failing' }) }, "$name: archiving goes on")
	  or diag($@);
	$w->{witness}->look($node);
	$w->{pair}->follows($lsn);
	pass("$name: the standby follows");
	return;
}

# --- the primary -----------------------------------------------------------

sub restart_settings
{
	my ($self, $node, $fault) = @_;

	$node->append_conf('postgresql.conf', 'walarch.workers = ' . (1 + $fault->{pick} % 4) . "\nwalarch.compression_level = " . ($fault->{pick} % 5 - 1));
	return;
}

sub immediate_stop
{
	my ($self, $fault) = @_;
	my $node = $self->{w}{pair}->primary;

	$node->stop('immediate', fail_ok => 1) or die 'an immediate stop failed';
	$self->restart_settings($node, $fault);
	bring_up($node);
	return 1;
}

sub primary_killed
{
	my ($self, $fault) = @_;
	my $node = $self->{w}{pair}->primary;

	$node->kill9;
	bring_up($node);
	return 1;
}

sub kill_process
{
	my ($node, $pid) = @_;
	my $checkpointer = process_of($node, 'checkpointer');

	return 0 unless $pid && $checkpointer && kill 'KILL', $pid;
	return crash_over($node, $checkpointer);
}

sub archiver_killed
{
	my ($self) = @_;
	my $node = $self->{w}{pair}->primary;

	return kill_process($node, wait_for('an archiver', sub { process_of($node, 'archiver') }));
}

sub process_killed
{
	my ($self, $fault) = @_;
	my $node = $self->{w}{pair}->primary;
	my @types = ('client backend', 'checkpointer', 'background writer', 'walwriter', 'autovacuum launcher');

	return kill_process($node, process_of($node, $types[ $fault->{pick} % @types ]));
}

sub clock_stepped
{
	my ($self, $fault) = @_;

	$self->{w}{clock}->step($fault->{seconds});
	hold($fault->{hold});
	return 1;
}

# --- the archive -----------------------------------------------------------

# Until the server says that it fails, and why; then for a while, in which the
# server may be stopped, or its archiver killed.
sub without_archive
{
	my ($self, $fault, $name, %how) = @_;
	my $w = $self->{w};
	my $node = $w->{pair}->primary;
	my $before = status($node);
	my $now;

	$how{begin}->();
	my $seen = eval {
		wait_for("$name: the server to notice", sub {
			$how{again}->() if $how{again};
			$now = status($node);
			return $now->{state} eq 'failing' && $now->{failed_count} > $before->{failed_count} && $now->{last_error_sqlstate} eq $how{sqlstate};
		}, 60);
	};
	ok($seen, "$name: the server says so, $how{sqlstate}")
	  or diag("$@$now->{state} $now->{failed_count} " . ($now->{last_error_sqlstate} // '') . ' ' . ($now->{last_error} // ''));
	$self->meanwhile($fault) if $how{within};
	hold($fault->{hold});
	ok(defined $w->{moments}->take($w->{pair}->primary), "$name: the primary works on");
	is(ask_server($w->{pair}->standby, 'SELECT pg_is_in_recovery()'), 't', "$name: the standby is up");
	$how{end}->();
	return $seen;
}

# Another fault while this one lasts; often none.
my @within = (undef, \&immediate_stop, \&archiver_killed, \&process_killed, \&standby_stopped, \&clock_stepped);

sub meanwhile
{
	my ($self, $fault) = @_;
	my $within = $within[ $fault->{within} ] or return;

	return if $within == \&clock_stepped && !defined $self->{w}{clock};
	$self->{w}{figures}->add('faults within faults') if $within->($self, $fault);
	return;
}

sub archive_full
{
	my ($self, $fault, $name) = @_;
	my $place = $self->{w}{place};

	return $self->without_archive($fault, $name, begin => sub { $place->fill }, again => sub { $place->fill },
		end => sub { $place->empty }, sqlstate => '53100', within => 1);
}

sub archive_read_only
{
	my ($self, $fault, $name) = @_;
	my $place = $self->{w}{place};

	return $self->without_archive($fault, $name, begin => sub { $place->protect }, end => sub { $place->release },
		sqlstate => '58030', within => 1);
}

sub archive_unmounted
{
	my ($self, $fault, $name) = @_;
	my $place = $self->{w}{place};

	return $self->without_archive($fault, $name, begin => sub { $place->detach },
		end => sub {
			is(join(' ', $place->strangers), '', "$name: the empty mount point is not taken for the archive");
			$place->attach;
		},
		sqlstate => '55000', within => 1);
}

# A process that waits for it cannot even be killed: nothing within.
sub archive_frozen
{
	my ($self, $fault, $name) = @_;
	my $place = $self->{w}{place};

	return $self->without_archive($fault, $name, begin => sub { $place->freeze }, end => sub { $place->thaw }, sqlstate => '58000');
}

# --- the standby -----------------------------------------------------------

sub standby_stopped
{
	my ($self, $fault) = @_;
	my $node = $self->{w}{pair}->standby;

	$node->stop($fault->{pick} % 2 ? 'immediate' : 'fast', fail_ok => 1) or die 'the standby does not stop';
	hold($fault->{hold});
	bring_up($node);
	return 1;
}

# It may take the server with it.
sub standby_recovery_killed
{
	my ($self) = @_;
	my $node = $self->{w}{pair}->standby;
	my $pid = process_of($node, 'startup') or return 0;

	kill 'KILL', $pid or return 0;
	wait_for('the death of the startup process to be noticed', sub { (process_of($node, 'startup') // $pid) != $pid || !answers($node) });
	bring_up($node);
	return 1;
}

sub prefetcher_killed
{
	my ($self) = @_;
	my $node = $self->{w}{pair}->standby;
	my @pids = eval {
		wait_for('a prefetcher', sub { my @found = prefetchers($node->data_dir); @found ? \@found : undef }, 15)->@*;
	};

	return scalar kill 'KILL', @pids;
}

# --- both ------------------------------------------------------------------

# The old primary is stopped when its last file is archived: what it never
# archived is lost to whoever has the archive alone, and that is not our matter.
sub promotion
{
	my ($self, $fault, $name) = @_;
	my $w = $self->{w};
	my $pair = $w->{pair};
	my $old = $pair->primary;

	$w->{load}->off;
	$w->{backups}->finish;
	$self->immediate_stop($fault) if $fault->{within} == 1;
	$self->settle($name);
	my $moment = $w->{moments}->take($old) // die 'no moment before a promotion';
	$old->stop('fast', fail_ok => 1) or die 'the primary does not stop';
	my @waiting = grep { /\.ready$/ } slurp_dir(data_file($old, 'pg_wal/archive_status'));
	is("@waiting", '', "$name: a stopped primary has archived all it had");
	$pair->follows($moment->{lsn});
	$self->same_as_moment($pair->standby, $moment, "$name, the standby before it");
	$pair->promote;
	$self->same_as_moment($pair->primary, $moment, "$name, the new primary");
	$w->{load}->on($pair->primary);
	$pair->build_standby;
	return 1;
}

sub same_as_moment
{
	my ($self, $node, $moment, $what) = @_;
	my $w = $self->{w};

	is(content($node), $moment->{content}, "$what: what the primary held")
	  or $w->{figures}->lost("$what: other content");
	$w->{figures}->lost(map { "$what: $_" } $w->{load}->missing($node, $w->{load}->known));
	$w->{figures}->add('rows compared in copies', $moment->{rows});
	return;
}

1;
