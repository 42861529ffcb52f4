# The primary and the standby that has only the archive, and how they change
# places.
#
#	my $pair = Pair->new($archive, $dice);
#	$pair->primary; $pair->standby;
#	$pair->build_standby;
#	$pair->promote;                         # the standby; the old primary is gone
#	answers($node); ask_server($node, $sql); process_of($node, 'archiver');
#	crash_over($node, $checkpointer) or ...;        # it began anew
#	bring_up($node);                        # whatever state it is in

package Pair;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Pace;
use WalArch;

our @EXPORT = qw(answers ask_server bring_up crash_over process_of);

my $start_s = 400;
my $retry_s = 1;

# An answer, or undef while the server gives none.
sub ask_server
{
	my ($node, $sql) = @_;
	my ($status, $stdout) = eval { $node->psql('postgres', $sql, timeout => 60) };

	return defined $status && $status == 0 ? $stdout : undef;
}

sub answers { return defined ask_server($_[0], 'SELECT 1'); }

sub process_of
{
	my ($node, $type) = @_;
	return ask_server($node, "SELECT pid FROM pg_stat_activity WHERE backend_type = '$type' AND pid <> pg_backend_pid() ORDER BY pid LIMIT 1") || undef;
}

# The server begins anew after one of its processes died: another checkpointer.
# False, if it does not: one that was about to end when it was killed takes
# nobody along.
sub crash_over
{
	my ($node, $checkpointer) = @_;
	my $now;
	my $another = sub {
		$now = process_of($node, 'checkpointer');
		return defined $now && $now != $checkpointer;
	};

	return 1 if eval { wait_for($node->name . ' to begin anew', $another, 30) };
	die $@ if $@ !~ /^timed out/;
	return 0 if defined $now && $now == $checkpointer;
	wait_for($node->name . ' to be back', $another);
	return 1;
}

# Start a server that may have ended by itself.
sub bring_up
{
	my ($node) = @_;

	wait_for($node->name . ' to start', sub {
		return 1 if answers($node);
		my $pid = -e $node->data_dir . '/postmaster.pid' && (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
		return 0 if $pid && kill(0, $pid);
		$node->{_pid} = undef;
		$node->start(fail_ok => 1);
		return answers($node);
	}, $start_s);
	return;
}

# Segments of 1 MB, so that an hour has thousands; all is synced, as it would be.
my $conf = <<'END_CONF';
fsync = on
restart_after_crash = on
log_statement = none
log_replication_commands = off
max_wal_size = 48MB
min_wal_size = 4MB
checkpoint_timeout = 30s
shared_buffers = 16MB
max_connections = 30
autovacuum_naptime = 5s
walarch.timeout = '3s'
END_CONF

sub new
{
	my ($class, $archive, $dice) = @_;
	my $self = bless { archive => $archive, dice => $dice, servers => 0, promotions => 0 }, $class;

	$self->{primary} = new_primary('server' . ++$self->{servers}, archive => $archive, extra => ['--wal-segsize=1'], conf => $conf);
	return $self;
}

sub primary { return $_[0]{primary}; }
sub standby { return $_[0]{standby}; }

sub connection
{
	my ($self) = @_;
	return ('--host', $self->{primary}->host, '--port', $self->{primary}->port);
}

# What differs between two servers on one machine.
sub own_settings
{
	my ($node) = @_;
	return 'port = ' . $node->port . "\nlisten_addresses = ''\nunix_socket_directories = '" . $node->host . "'\n";
}

# Without the archive each segment that is asked for takes as long as this, also
# when the standby has it: one that starts then has dozens to ask for.
sub hurry
{
	my ($node) = @_;
	my $file = $node->data_dir . '/postgresql.auto.conf';
	my $text = slurp_file($file);

	$text =~ s/^(restore_command = .*? get) /$1 --retry-for $retry_s /m or die "no restore_command in \"$file\": $text";
	write_binary($file, $text);
	return;
}

# From a backup in the archive, as an administrator would do it now, or from the
# primary with a restore command written by hand.
sub build_standby
{
	my ($self) = @_;
	my $node = PostgreSQL::Test::Cluster->new('server' . ++$self->{servers});

	if ($self->{dice}->roll(1, 3) > 1)
	{
		my ($status, undef, $stderr) = run_in('/', $ENV{WALARCH_BIN}, 'restore', '--archive', $self->{archive},
			'-D', $node->data_dir, '--standby', '--quiet');
		die "walarch restore --standby: $stderr" if $status ne '0';
		$node->append_conf('postgresql.conf', own_settings($node));
		hurry($node);
	}
	else
	{
		my ($status, undef, $stderr) = run_in('/', 'pg_basebackup', '-D', $node->data_dir, '-c', 'fast', '-X', 'fetch', $self->connection);
		die "pg_basebackup: $stderr" if $status ne '0';
		$node->append_conf('postgresql.conf', own_settings($node)
			  . "restore_command = '\"$ENV{WALARCH_BIN}\" get --retry-for $retry_s --archive \"$self->{archive}\" \"%f\" \"%p\"'\n");
		$node->set_standby_mode;
	}
	$node->{walarch_archive} = $self->{archive};
	bring_up($node);
	$self->{standby} = $node;
	return $node;
}

# A copy of the archive's that is opened at a target, and nothing else.
sub build_copy
{
	my ($self, $name, @target) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my ($status, undef, $stderr) = run_in('/', $ENV{WALARCH_BIN}, 'restore', '--archive', $self->{archive},
		'-D', $node->data_dir, '--target-action', 'promote', '--quiet', @target);

	die "walarch restore @target: $stderr" if $status ne '0';
	$node->append_conf('postgresql.conf', own_settings($node));
	$node->start(fail_ok => 1) or die "a copy for @target does not start: " . slurp_file($node->logfile);
	wait_for("a copy for @target to be opened", sub { (ask_server($node, 'SELECT pg_is_in_recovery()') // '') eq 'f' });
	return $node;
}

sub discard
{
	my ($node) = @_;

	$node->stop('immediate', fail_ok => 1);
	$node->clean_node;
	return;
}

# How far the standby has come, as a number.
sub lag_bytes
{
	my ($self, $lsn) = @_;
	return ask_server($self->{standby}, "SELECT '$lsn'::pg_lsn - pg_last_wal_replay_lsn()");
}

sub follows
{
	my ($self, $lsn) = @_;

	wait_for("the standby to replay up to $lsn", sub { ($self->lag_bytes($lsn) // 1) <= 0 });
	return;
}

# The primary was stopped, and all that it had archived was replayed.
sub promote
{
	my ($self) = @_;
	my ($old, $new) = ($self->{primary}, $self->{standby});

	$new->promote;
	wait_for('the standby to be promoted', sub { (ask_server($new, 'SELECT pg_is_in_recovery()') // '') eq 'f' });
	discard($old);
	($self->{primary}, $self->{standby}) = ($new, undef);
	$self->{promotions}++;
	return;
}

1;
