# Clusters that archive with walarch, and what tests look at in an archive.
#
#	use lib "t/lib";
#	use WalArch;
#
#	my $node = new_primary('main', conf => "walarch.workers = 1\n");
#	my $wal = switch_and_archive($node);
#	object_is(archive_dir($node), $wal, "$kept/$wal", 'the segment is archived');
#	is(status($node)->{failed_count}, 0, 'nothing failed');
#
# Whatever waits, polls with a bound and dies with what it saw.

package WalArch;

use strict;
use warnings;

use Exporter 'import';
use File::Basename ();
use File::Path     ();
use IPC::Run       ();
use JSON::PP       ();
use Test::More;
use Time::HiRes qw(usleep time);

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(
  new_primary archive_conf archive_dir data_file set_conf
  write_wal switch_wal switch_and_archive wait_archived is_archived
  archive_files files_below object_key object_path object_bytes object_raw object_is by_keys
  sample_files damaged_files temporary_files
  status status_value wait_status wait_until kick log_position log_since reload
  get init run_in archiver_pid wait_for_archiver thread_states has_ended present_again
  slurp_binary write_binary unpadded
);

# A psql that gets no connection may end before it has read the query, of which
# IPC::Run dies. It has not asked anything then: once more.
foreach my $name (qw(psql poll_query_until))
{
	no strict 'refs';
	no warnings 'redefine';
	my $method = \&{"PostgreSQL::Test::Cluster::$name"};

	*{"PostgreSQL::Test::Cluster::$name"} = sub {
		my @arguments = @_;
		my $context = wantarray;

		foreach my $try (1 .. 100)
		{
			my @result = eval { $context ? $method->(@arguments) : scalar $method->(@arguments) };

			return $context ? @result : $result[0] if $@ eq '';
			die $@ if $@ !~ /^ack Broken pipe/ || $try == 100;
			usleep(100_000);
		}
	};
}

# The settings that make a server archive into a directory.
sub archive_conf
{
	my ($archive) = @_;

	return "archive_mode = on\n"
	  . "archive_library = 'walarch'\n"
	  . "walarch.archive = '$archive'\n";
}

# A running server that archives, the extension created in its database
# postgres. Options, all with defaults:
#
#	archive => its directory ("archive" beside the data directory)
#	mkdir   => 0: do not create that directory
#	extra   => [options of initdb]
#	conf    => further lines of postgresql.conf
#	start   => 0: do not start it (and create no extension)
sub new_primary
{
	my ($name, %opts) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my $archive = $opts{archive} // $node->basedir . '/archive';

	$node->{walarch_archive} = $archive;
	$node->init(allows_streaming => 1, extra => $opts{extra} // []);
	if (($opts{mkdir} // 1) && !-e $archive)
	{
		mkdir $archive, 0700 or die "could not create \"$archive\": $!";
	}
	$node->append_conf('postgresql.conf',
		archive_conf($archive) . ($opts{conf} // ''));
	if ($opts{start} // 1)
	{
		$node->start;
		$node->safe_psql('postgres', 'CREATE EXTENSION walarch');
	}
	return $node;
}

sub archive_dir
{
	my ($node) = @_;
	return $node->{walarch_archive} // die 'not made by new_primary()';
}

# A path below the data directory.
sub data_file
{
	my ($node, $path) = @_;
	return $node->data_dir . "/$path";
}

# Change a setting, and have a running server reload it. The line is appended:
# a file that is written anew can be read half by a process that is reloading.
sub set_conf
{
	my ($node, $name, $value) = @_;

	$node->append_conf('postgresql.conf', "$name = '$value'");
	reload($node) if -e data_file($node, 'postmaster.pid');
	return;
}

# Have the configuration read again, and return when the server is at it: from
# 16 on a request to stop that comes before is served first, and then the
# configuration is not read any more. What processes the server has learn of it
# later, but before they are told to stop.
sub reload
{
	my ($node) = @_;
	my $position = log_position($node);

	$node->reload;
	wait_until('the server to read its configuration',
		sub { log_since($node, $position) =~ /received SIGHUP, reloading/ });
	return;
}

# Poll until the code returns true; its value. Dies after a bound in seconds.
# What is there soon is seen soon: pauses grow from 1 to 50 ms.
sub wait_until
{
	my ($what, $code, $seconds) = @_;
	my $until = time() + ($seconds // $PostgreSQL::Test::Utils::timeout_default);

	for (my $pause = 1_000;; $pause = $pause < 25_000 ? 2 * $pause : 50_000)
	{
		my $value = $code->();
		return $value if $value;
		last if time() > $until;
		usleep($pause);
	}
	die "timed out waiting for: $what\n";
}

# WAL to archive: about the given number of kB that no level makes smaller.
sub write_wal
{
	my ($node, $kilobytes) = @_;

	$node->safe_psql('postgres',
		    "SELECT count(pg_logical_emit_message(false, 'walarch test', "
		  . "(SELECT string_agg(decode(md5(random()::text), 'hex'), '') "
		  . 'FROM generate_series(1, 64 + o * 0)))) '
		  . "FROM generate_series(1, $kilobytes) AS o");
	return;
}

# End the current segment; its name.
sub switch_wal
{
	my ($node) = @_;
	my $names = $node->safe_psql('postgres',
		"SELECT pg_logical_emit_message(false, 'walarch test', md5(random()::text)) IS NULL;\n"
		  . 'SELECT pg_walfile_name(pg_switch_wal())');

	$names =~ /([0-9A-F]{24})$/ or die "no name of a segment in \"$names\"";
	return $1;
}

# End the current segment and wait for it to be archived; its name.
sub switch_and_archive
{
	my ($node) = @_;
	my $wal = switch_wal($node);

	wait_archived($node, $wal);
	return $wal;
}

sub is_archived
{
	my ($node, $wal) = @_;
	my $status = data_file($node, "pg_wal/archive_status/$wal");

	return -e "$status.done" || (!-e "$status.ready" && !-e data_file($node, "pg_wal/$wal"));
}

# Wait until PostgreSQL has noted a file as archived; without a name, until
# nothing waits.
sub wait_archived
{
	my ($node, $wal) = @_;
	my $dir = data_file($node, 'pg_wal/archive_status');

	wait_until(
		($wal // 'everything') . ' to be archived',
		sub {
			return is_archived($node, $wal) if defined $wal;
			return !grep { /\.ready$/ } slurp_dir($dir);
		});
	return;
}

# All files below a directory, relative to it, sorted.
sub files_below
{
	my ($top, $dir) = @_;
	my @found;

	opendir(my $handle, "$top/$dir") or return;
	for my $entry (sort readdir $handle)
	{
		next if $entry eq '.' || $entry eq '..';
		my $path = $dir eq '' ? $entry : "$dir/$entry";
		if (-d "$top/$path" && !-l "$top/$path")
		{
			push @found, files_below($top, $path);
		}
		else
		{
			push @found, $path;
		}
	}
	closedir $handle;
	return @found;
}

# Names of the WAL files an archive holds, without directory and .zst.
sub archive_files
{
	my ($dir) = @_;
	my @names = sort map { File::Basename::basename($_, '.zst') } files_below($dir, 'wal');

	return @names;
}

sub damaged_files { return map { File::Basename::basename($_) } files_below($_[0], 'damaged'); }
sub temporary_files { return map { File::Basename::basename($_) } files_below($_[0], 'tmp'); }

sub object_key
{
	my ($wal) = @_;

	return "wal/$wal.zst" if $wal =~ /\.history$/;
	return 'wal/' . substr($wal, 0, 16) . "/$wal.zst";
}

# The text of a trace (strace -y): what was named in a directory that was opened,
# 5</archive/tmp>, "name", becomes 5</archive>, "tmp/name".
sub by_keys
{
	my ($story) = @_;

	return $story =~ s{/(tmp|damaged|wal(?:/\w+)?)>, "([^"/]+)"}{>, "$1/$2"}gr;
}

sub object_path
{
	my ($dir, $wal) = @_;
	return "$dir/" . object_key($wal);
}

sub slurp_binary
{
	my ($path) = @_;
	local $/;

	open(my $handle, '<:raw', $path) or die "could not open \"$path\": $!";
	my $bytes = <$handle>;
	close $handle;
	return $bytes // '';
}

sub write_binary
{
	my ($path, $bytes) = @_;

	open(my $handle, '>:raw', $path) or die "could not open \"$path\": $!";
	print $handle $bytes;
	close $handle or die "could not write \"$path\": $!";
	return;
}

sub object_bytes { return slurp_binary(object_path(@_)); }

# What the stock zstd makes of an object; undef if it refuses it.
sub object_raw
{
	my ($dir, $wal) = @_;
	my ($raw, $stderr) = ('', '');

	IPC::Run::run([ 'zstd', '-dcq', '--long=31', object_path($dir, $wal) ],
		'>', \$raw, '2>', \$stderr)
	  or return;
	return $raw;
}

# The stock zstd, cmp and nothing of walarch: is the object that very file?
sub object_is
{
	my ($dir, $wal, $source, $test_name) = @_;
	my $object = object_path($dir, $wal);
	my $output = '';
	my $ok = IPC::Run::run([ 'zstd', '-dcq', '--long=31', $object ],
		'|', [ 'cmp', '-', $source ], '>', \$output, '2>', \$output);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($ok, $test_name)
	  or diag("zstd -dc $object | cmp - $source:\n$output");
	return $ok;
}

# Up to $max elements, the first and the last among them.
sub sample_files
{
	my ($max, @files) = @_;

	return @files if @files <= $max;
	return map { $files[ int($_ * $#files / ($max - 1)) ] } 0 .. $max - 1;
}

# The row of walarch.status as a hash; null becomes undef.
sub status
{
	my ($node) = @_;
	my $json = $node->safe_psql('postgres',
		'SELECT row_to_json(s) FROM walarch.status AS s');

	return JSON::PP->new->decode($json);
}

sub status_value
{
	my ($node, $column) = @_;
	return $node->safe_psql('postgres', "SELECT $column FROM walarch.status");
}

# Wait until a condition on the columns of walarch.status holds; the row then.
sub wait_status
{
	my ($node, $condition, $seconds) = @_;

	eval {
		wait_until(
			"walarch.status: $condition",
			sub { return status_value($node, "($condition)") eq 't' }, $seconds);
	} or do
	{
		my $problem = $@;
		my $row = status($node);

		die $problem, map { sprintf "  %s = %s\n", $_, $row->{$_} // 'null' } sort keys %$row;
	};
	return status($node);
}

# Make an archiver that waits after failures try again now.
sub kick
{
	my ($node) = @_;

	my $pid = archiver_pid($node);
	kill 'HUP', $pid if $pid;
	return;
}

sub archiver_pid
{
	my ($node) = @_;
	return $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'archiver'");
}

# The archiver's process id, of another archiver than $not if that is given: then
# the server may be restarting meanwhile.
sub wait_for_archiver
{
	my ($node, $not) = @_;

	return wait_until(
		'an archiver',
		sub {
			my $pid = eval { archiver_pid($node) } // '';
			die $@ if $@ ne '' && !defined $not;
			return $pid ne '' && $pid ne ($not // '') ? $pid : 0;
		});
}

# The states of the threads of a process, as one word; empty when there is none.
# A listing of threads is cut short when one ends meanwhile: "unknown", when it
# has not as many as there are.
sub thread_states
{
	my ($pid) = @_;

	my @states = map {
		my $open = open(my $handle, '<', $_);
		$open && (<$handle> // '') =~ /.*\) (\S)/ ? $1 : ();
	} glob("/proc/$pid/task/*/stat");

	open(my $handle, '<', "/proc/$pid/status") or return '';
	my ($count) = join('', <$handle>) =~ /^Threads:\s+(\d+)$/m or return '';
	return @states == $count ? join('', @states) : 'unknown';
}

# Has all of a process ended? Whoever started it may not have taken note yet.
sub has_ended { return thread_states($_[0]) =~ /^[ZX]*$/; }

sub log_position { return -s $_[0]->logfile // 0; }

sub log_since
{
	my ($node, $position) = @_;
	return slurp_file($node->logfile, $position // 0);
}

# Run a command in a directory: (exit status, stdout, stderr). Death by a
# signal gives "signal N" for the status.
sub run_in
{
	my ($dir, @command) = @_;
	my ($stdout, $stderr) = ('', '');

	IPC::Run::run(
		\@command,
		'<', \undef, '>', \$stdout, '2>', \$stderr,
		init => sub { chdir $dir or die "could not enter \"$dir\": $!" });
	my $status = $?;
	return ($status & 127 ? 'signal ' . ($status & 127) : $status >> 8, $stdout, $stderr);
}

# walarch get, run in a directory as PostgreSQL runs restore_command.
sub get
{
	my ($dir, @args) = @_;
	return run_in($dir, $ENV{WALARCH_BIN}, 'get', @args);
}

# walarch init for the archive and the data directory of a server.
sub init
{
	my ($node, @args) = @_;
	return run_in('/', $ENV{WALARCH_BIN}, 'init', '--archive', archive_dir($node),
		'-D', $node->data_dir, @args);
}

# From 19 on the server pads the second half of an LSN, which the command does not.
sub unpadded { return $_[0] =~ s{\b([0-9A-F]{1,8}/)0+(?=[0-9A-F])}{$1}gr; }

# Have a stopped server present an archived file once more.
sub present_again
{
	my ($node, @wals) = @_;

	for my $wal (@wals)
	{
		my $status = data_file($node, "pg_wal/archive_status/$wal");
		rename "$status.done", "$status.ready"
		  or -e "$status.ready"
		  or die "could not rename \"$status.done\": $!";
	}
	return;
}

1;
