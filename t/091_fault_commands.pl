# Each system call of the commands fails once, and kills once: get, prefetch,
# prune, pin, backup and restore leave the old state or the new one, never half
# of either, never report what is not so, and the next try succeeds.

use strict;
use warnings;

use lib 't/lib';

use Fault;
use Get;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Prefetch;
use Standby;
use Test::More;
use WalArch;

plan skip_all => 'strace cannot trace here' unless can_fault();

my $primary = small_primary('primary');
my $archive = archive_dir($primary);
my @connection = ('--host', $primary->host, '--port', $primary->port);
my $scratch = PostgreSQL::Test::Utils::tempdir();

# A command, with words to stand before it: exit status, output, messages.
sub walarch
{
	my ($before, @words) = @_;
	return run_in('/', @$before, $ENV{WALARCH_BIN}, @words);
}

sub backup_words { return ('backup', '--archive', $_[0], @connection, '--checkpoint', 'fast', '--json'); }

my ($status, $stdout, $stderr);
$primary->safe_psql('postgres', 'ALTER SYSTEM SET wal_keep_size = \'1GB\'');
reload($primary);
switch_and_archive($primary);
($status, $stdout, $stderr) = walarch([], backup_words($archive));
is($status, 0, 'a backup to begin with') or diag $stderr;
my $first = decode_json($stdout)->{backup_id};
my @wals = map { write_wal($primary, 100); switch_and_archive($primary) } 1 .. 8;
my %raw = map { $_ => slurp_binary(data_file($primary, "pg_wal/$_")) } @wals;

# A file or a message, short.
sub brief { return ($_[0] =~ s/\n.*//sr) =~ s/\Q$scratch\E//gr; }

# An archive of its own, as it was.
sub fresh
{
	my ($name) = @_;

	system_or_bail('rm', '-rf', "$scratch/$name");
	system_or_bail('cp', '-a', $archive, "$scratch/$name");
	return "$scratch/$name";
}

# ---- get -------------------------------------------------------------------------

# 127 is the loader's word, and no end of recovery either.
sub no_lie
{
	my ($got, $wal) = @_;

	return "exit status $got->{status}"
	  unless $got->{signal} == 9 || grep { $got->{status} == $_ } 0, 127, 137, 200;
	return 'delivered, and said something else'
	  if defined $got->{bytes} && $got->{status} == 1;
	return 'other bytes' if defined $got->{bytes} && $got->{bytes} ne $raw{$wal};
	return 'not delivered, and said so' if $got->{status} == 0 && $got->{signal} == 0 && !defined $got->{bytes};
	return;
}

sub get_once
{
	my ($dir, $before, @options) = @_;
	my $run = ask_begin($dir, $before, 'get', '--archive', $archive, '--retry-for', 0, @options);

	$run->{traced} = 0;
	return ask_end($run);
}

foreach my $case ([ 'get', \@fault_errors ], [ 'get, killed', \@fault_kill ])
{
	my ($name, $whats) = @$case;
	my $dir = fake_datadir($name =~ s/\W//gr, $primary, 'recovery.signal');
	my @asked = ('--prefetch', 'off', $wals[1], 'pg_wal/RECOVERYXLOG');

	each_fault($name, $whats, sub {
		my $got = get_once($dir, [@_], @asked);
		my $wrong = no_lie($got, $wals[1]);
		my $told = "$got->{status} " . brief($got->{message});

		return ($wrong, $told) if defined $wrong;
		return ('silent', $told) if $got->{status} == 200 && $got->{message} eq '';
		return ("leaves $got->{left}", $told)
		  if $got->{left} ne '' && !($got->{signal} == 9 && $got->{left} eq 'RECOVERYXLOG.walarch');
		$got = get_once($dir, [], @asked);
		forget($dir);
		return ("then $got->{status}$got->{left} $got->{message}", $told)
		  if $got->{status} != 0 || ($got->{bytes} // '') ne $raw{ $wals[1] } || $got->{left} ne '';
		return (undef, $told);
	});
}

# ---- get and its prefetcher --------------------------------------------------------

foreach my $case ([ 'prefetch', \@fault_errors ], [ 'prefetch, killed', \@fault_kill ])
{
	my ($name, $whats) = @$case;
	my ($dir) = sleeping_server($name =~ s/\W//gr, $primary, 'recovery.signal');

	each_fault($name, $whats, sub {
		my ($strace, @options) = @_;
		my ($trace) = "@options" =~ /-o (\S+)/;
		my @told;

		foreach my $i (0 .. 3)
		{
			# The tracer is no parent, and follows the prefetcher to its end.
			my $got = get_once($dir, $i == 0 ? [ $strace, '-D', @options ] : [],
				'--prefetch', 4, $wals[$i], 'pg_wal/RECOVERYXLOG');
			my $wrong = no_lie($got, $wals[$i]);

			push @told, "$got->{status} " . brief($got->{message});
			return ("segment $i: $wrong", "@told") if defined $wrong;
			return ("segment $i: $got->{status}", "@told") if $i > 0 && $got->{status} != 0;
			unlink "$dir/pg_wal/RECOVERYXLOG";
		}
		# One that was killed has a successor, which nobody traces.
		my $end = sub { kill 'TERM', prefetchers($dir) };
		wait_tracer($trace, $end);
		eval { wait_until('them to end', sub { $end->(); junk_of($dir) eq '' }, 60) };
		my $left = junk_of($dir);
		forget($dir);
		return ($left eq '' ? undef : "leaves $left", "@told");
	});
}

# ---- prune -------------------------------------------------------------------------

my @usual = ('prune', '--before', $wals[4], '--force', '--archive');

sub objects { return join ' ', files_below($_[0], 'wal'), files_below($_[0], 'base'); }

my $pruned = fresh('pruned');
is((walarch([], @usual, $pruned))[0], 0, 'a prune without a fault');
my $kept = objects($pruned);
isnt($kept, objects($archive), 'deletes something');

# Each object is as it was, or one that was to go.
sub half_pruned
{
	my ($copy) = @_;
	my %kept = map { $_ => 1 } split ' ', $kept;

	return grep { $kept{$_} && !-e "$copy/$_" || -e "$copy/$_" && slurp_binary("$copy/$_") ne slurp_binary("$archive/$_") }
	  split ' ', objects($archive);
}

foreach my $case ([ 'prune', \@fault_errors ], [ 'prune, killed', \@fault_kill ])
{
	my ($name, $whats) = @$case;

	each_fault($name, $whats, sub {
		my $copy = fresh('copy');
		my ($exit, undef, $message) = walarch([@_], @usual, $copy);
		my $told = "$exit " . brief($message);
		my @wrong = half_pruned($copy);

		return ("lost or changed: @wrong", $told) if @wrong;
		return ('not done, and said so', $told) if $exit eq '0' && objects($copy) ne $kept;
		return ('silent', $told) if $exit =~ /^[12]$/ && $message eq '';
		($exit, undef, $message) = walarch([], @usual, $copy);
		return ("then $exit $message", $told) if $exit ne '0' || objects($copy) ne $kept;
		return (undef, $told);
	});
}

# ---- pin ----------------------------------------------------------------------------

sub pins { return map { s{^pins/}{}r } files_below($_[0], 'pins'); }

foreach my $case ([ 'pin', \@fault_errors ], [ 'pin, killed', \@fault_kill ])
{
	my ($name, $whats) = @$case;
	my @words = ('pin', 'held', '--backup', $first, '--archive');

	each_fault($name, $whats, sub {
		my $copy = fresh('copy');
		my ($exit, undef, $message) = walarch([@_], @words, $copy);
		my $told = "$exit " . brief($message);
		my $there = join ' ', pins($copy);

		return ('not there, and said so', $told) if $exit eq '0' && $there ne 'held';
		return ("there is $there", $told) if $there ne '' && $there ne 'held';
		walarch([], 'unpin', 'held', '--archive', $copy) if $there ne '';
		($exit, undef, $message) = walarch([], @words, $copy);
		return ("then $exit $message", $told) if $exit ne '0' || join(' ', pins($copy)) ne 'held';
		($exit, undef, $message) = walarch([], 'verify', '--archive', $copy, '--quick');
		return ("verify: $exit $message", $told) if $exit ne '0';
		return (undef, $told);
	});
}

# ---- backup --------------------------------------------------------------------------

my $bound = $ENV{WALARCH_FAULTS};
$ENV{WALARCH_FAULTS} = $bound // 2;	# these take longer

# The backups that are advertised, but for the first; and what is wrong with them.
sub advertised { return grep { $_ ne $first } map { m{^base/([^/]+)/backup$} ? $1 : () } files_below($archive, 'base'); }

sub flaws_of
{
	my ($id) = @_;
	my $dir = "$archive/base/$id";
	my %size = slurp_file("$dir/backup") =~ /^file: (\S+) \d+ (\d+)/mg;

	return 'no files' unless $size{'base.tar.zst'} && $size{'backup_manifest.zst'};
	return map {
		(-s "$dir/$_" // -1) != $size{$_} ? "size of $_" : system('zstd', '-tq', "$dir/$_") != 0 ? "bytes of $_" : ();
	} sort keys %size;
}

sub forget_backups
{
	system_or_bail('rm', '-rf', $_) foreach grep { -d && !m{/\Q$first\E$} } glob("$archive/base/*");
	return;
}

# Of temporaries, those that stay: the archiver may be in the middle of its own.
sub lasting
{
	my @names = @_;

	eval { wait_until('them to go', sub { !(@names = grep { -e "$archive/tmp/$_" } @names) }, 60) };
	return @names;
}

foreach my $case ([ 'backup', \@fault_errors ], [ 'backup, killed', \@fault_kill ])
{
	my ($name, $whats) = @$case;

	each_fault($name, $whats, sub {
		my ($exit, $out, $message) = walarch([@_], backup_words($archive));
		my $told = "$exit " . brief($message);
		my @there = advertised();
		my @wrong = map { flaws_of($_) } @there;

		wait_archived($primary);	# what the archiver is at has a temporary, too
		my @left = temporary_files($archive);

		@left = lasting(@left) if $whats == \@fault_errors;
		return ("@wrong", $told) if @wrong;
		return ('not there, and said so', $told) if $exit eq '0' && @there != 1;
		return ('silent', $told) if $exit eq '1' && $message eq '';
		($exit, $out, $message) = walarch([], backup_words($archive));
		return ("then $exit $message", $told) if $exit ne '0' || advertised() != @there + 1;
		forget_backups();
		return ("leaves @left", $told) if @left && $whats == \@fault_errors;
		unlink map { "$archive/tmp/$_" } @left;
		return (undef, $told);
	});
}

# ---- restore -------------------------------------------------------------------------

$ENV{WALARCH_FAULTS} = $bound // 1;	# and these longer still

# What pg_verifybackup of the server's version says.
sub flaw_of_directory
{
	my ($dir) = @_;
	my ($out, $err) = ('', '');

	return "no $dir" unless -d $dir;
	IPC::Run::run([ 'pg_verifybackup', '--no-parse-wal', '--ignore=postgresql.auto.conf',
			'--ignore=recovery.signal', $dir ], '>', \$out, '2>', \$err) and return '';
	return brief($err);
}

foreach my $case ([ 'restore', \@fault_errors ], [ 'restore, killed', \@fault_kill ])
{
	my ($name, $whats) = @$case;
	my $dir = "$scratch/restored";
	my @words = ('restore', '--archive', $archive, '-D', $dir, '--quiet');

	each_fault($name, $whats, sub {
		my ($exit, undef, $message) = walarch([@_], @words);
		my $told = "$exit " . brief($message);
		my $started = -e "$dir/global/pg_control";

		return ('said to be whole: ' . flaw_of_directory($dir), $told) if $exit eq '0' && flaw_of_directory($dir) ne '';
		return ('can be started: ' . flaw_of_directory($dir), $told) if $started && flaw_of_directory($dir) ne '';
		return ('silent', $told) if $exit eq '1' && $message eq '';
		system_or_bail('rm', '-rf', $dir);
		($exit, undef, $message) = walarch([], @words);
		return ("then $exit $message", $told) if $exit ne '0' || flaw_of_directory($dir) ne '';
		system_or_bail('rm', '-rf', $dir);
		return (undef, $told);
	});
}
$primary->stop;
done_testing();
