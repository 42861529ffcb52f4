# The load: pgbench, over and over, each run a few seconds long and noted by a
# number. A transaction makes a row of the ledger, moves a balance, and writes WAL
# that leaves nothing behind. What pgbench logs was acknowledged to a client: the
# n-th line of a client is the row (run, client, n).
#
#	my $load = Load->new($directory, 50);   # transactions a second
#	$load->prepare($node);
#	$load->on($node); $load->keep; $load->off;
#	$load->known                            # how many runs and clients have ended
#	$load->missing($node, $known)           # what a server has not of the first of them
#	$load->stop                             # at once, without its log

package Load;

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use POSIX ();
use Time::HiRes qw(time);
use Pace;
use WalArch;

my $clients = 3;
my $run_s = 4;
my $pause_s = 0.3;			# between two runs, when the server does not answer

my $script = <<'END_SCRIPT';
\set n :n + 1
\set account random(1, 200)
\set delta random(-1000, 1000)
\set size random(1, 1400)
BEGIN;
INSERT INTO ledger (run, client, n, account, delta, payload) VALUES (:run, :client_id, :n, :account, :delta, md5(random()::text));
UPDATE account SET balance = balance + :delta WHERE id = :account;
SELECT pg_logical_emit_message(true, 'soak', (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, :size))) IS NULL;
COMMIT;
END_SCRIPT

sub new
{
	my ($class, $dir, $rate) = @_;
	my $self = bless { dir => $dir, rate => $rate, runs => 0, acknowledged => [], total => 0, ended_at => 0 }, $class;

	write_binary("$dir/script", $script);
	return $self;
}

sub prepare
{
	my ($self, $node) = @_;

	$node->safe_psql('postgres', <<'END_SQL');
CREATE TABLE ledger (run int, client int, n int, account int, delta int, payload text,
	at timestamptz DEFAULT clock_timestamp(), PRIMARY KEY (run, client, n));
CREATE TABLE account (id int PRIMARY KEY, balance bigint);
INSERT INTO account SELECT n, 0 FROM generate_series(1, 200) n;
END_SQL
	return;
}

sub on
{
	my ($self, $node) = @_;

	$self->{node} = $node;
	$self->keep;
	return;
}

# A run ends by itself: only then is its log whole.
sub off
{
	my ($self) = @_;

	$self->{node} = undef;
	wait_for('pgbench to end', sub { $self->keep; !defined $self->{pid} });
	return;
}

sub stop
{
	my ($self) = @_;

	$self->{node} = undef;
	kill 'TERM', $self->{pid} if defined $self->{pid};
	return;
}

sub keep
{
	my ($self) = @_;

	if (defined $self->{pid} && waitpid($self->{pid}, POSIX::WNOHANG()) == $self->{pid})
	{
		$self->{pid} = undef;
		$self->{ended_at} = time();
		$self->harvest;
	}
	$self->begin
	  if !defined $self->{pid} && defined $self->{node} && time() > $self->{ended_at} + $pause_s;
	return;
}

sub begin
{
	my ($self) = @_;
	my $run = ++$self->{runs};
	my $node = $self->{node};

	$self->{pid} = fork() // die "could not fork: $!";
	return if $self->{pid} != 0;
	open(STDIN, '<', '/dev/null');
	open(STDOUT, '>', "$self->{dir}/pgbench.out");
	open(STDERR, '>&', \*STDOUT);
	exec('pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', $clients, '-j', 1, '-T', $run_s,
		'-R', $self->{rate}, '-D', "run=$run", '-D', 'n=0', '-f', "$self->{dir}/script",
		'-l', '--log-prefix', "$self->{dir}/run$run", 'postgres')
	  or POSIX::_exit(98);
}

# Lines of pgbench's log: client, number, microseconds (or why it failed), ...
sub harvest
{
	my ($self) = @_;
	my $run = $self->{runs};
	my %count;

	foreach my $file (glob("$self->{dir}/run$run.*"))
	{
		foreach my $line (split /\n/, slurp_file($file))
		{
			$count{$1}++ if $line =~ /^(\d+) \d+ \d+ /;
		}
		unlink $file;
	}
	foreach my $client (sort keys %count)
	{
		push @{ $self->{acknowledged} }, [ $run, $client, $count{$client} ];
		$self->{total} += $count{$client};
	}
	return;
}

sub known { return scalar @{ $_[0]{acknowledged} }; }
sub total { return $_[0]{total}; }

sub missing
{
	my ($self, $node, $known) = @_;

	return () unless $known;
	my $values = join ',', map { '(' . join(',', @$_) . ')' } @{ $self->{acknowledged} }[ 0 .. $known - 1 ];
	my $rows = $node->safe_psql('postgres', <<"END_SQL");
WITH told (run, client, rows) AS (VALUES $values)
SELECT run, client, told.rows, count(n) FROM told LEFT JOIN ledger USING (run, client)
WHERE n IS NULL OR n <= told.rows GROUP BY 1, 2, 3 HAVING count(n) <> told.rows ORDER BY 1, 2
END_SQL
	return map { my @row = split /\|/; "run $row[0], client $row[1]: $row[2] acknowledged, $row[3] there" } split /\n/, $rows;
}

1;
