# Real WAL, and the cluster it came from: a template with a backlog in pg_wal,
# and a cold copy from before, from which recovery replays all of it.
package Corpus;

use strict;
use warnings;
use Exporter 'import';
use Server;

our @EXPORT = qw(make_corpus copy_cluster append_conf ready_names);

sub append_conf
{
	my ($directory, @lines) = @_;

	open(my $conf, '>>', "$directory/postgresql.conf") or die "$directory: $!\n";
	print $conf "$_\n" for @lines;
	close($conf);
	return;
}

# Segments that wait to be archived; as a number, how many.
sub ready_names
{
	my ($directory) = @_;

	opendir(my $dir, "$directory/pg_wal/archive_status") or die "$directory: $!\n";
	my @names = sort map { /^([0-9A-F]{24})\.ready$/ ? $1 : () } readdir $dir;
	return @names;
}

sub sql
{
	my ($socket, @commands) = @_;

	run('psql', '-X', '-q', '-o', '/dev/null', '-h', $socket, '-d', 'postgres', '-v', 'ON_ERROR_STOP=1',
		map { ('-c', $_) } @commands);
	return;
}

sub pgbench
{
	my ($socket, @options) = @_;

	system("pgbench -h $socket -n @options postgres >>$socket/pgbench.log 2>&1") == 0
	  or die "pgbench failed, see $socket/pgbench.log\n";
	return;
}

# Run a piece of load again and again until the backlog has this length.
sub fill_to
{
	my ($corpus, $wanted, $what, $load) = @_;
	my $count;

	while (($count = ready_names($corpus->{template})) < $wanted)
	{
		printf STDERR "corpus: %-12s %4d of %d segments\r", $what, $count, $corpus->{segments};
		$load->();
	}
	$corpus->{parts}{$what} = $count - ($corpus->{count} // 0);
	$corpus->{count} = $count;
	return;
}

# Realistic rows: keys in random order, times, documents, hashes; two indexes.
my $events_table = <<'SQL';
CREATE TABLE events (id bigserial, key uuid, at timestamptz, body jsonb, hash text);
CREATE INDEX ON events (key);
CREATE INDEX ON events (hash);
SQL
my $events = <<'SQL';
INSERT INTO events (key, at, body, hash)
SELECT gen_random_uuid(), now() + g * interval '1 s',
	jsonb_build_object('user', g % 977, 'path', '/item/' || md5((g * random())::text), 'ms', (random() * 900)::int),
	md5(random()::text)
FROM generate_series(1, 60000) g
SQL

sub make_corpus
{
	my ($place, $segments, $scale) = @_;
	my $corpus = {
		template => "$place/template", base => "$place/base",
		segments => $segments, socket => $place, scale => $scale
	};

	if (-e "$place/complete")
	{
		$corpus->{names} = [ ready_names($corpus->{template}) ];
		return finish($corpus);
	}
	run("initdb -D $corpus->{template} -k -A trust --no-sync -E UTF8 --no-locale >/dev/null");
	append_conf(
		$corpus->{template}, "listen_addresses = ''", "unix_socket_directories = '$place'",
		"log_line_prefix = '%m [%p] '", "log_timezone = 'UTC'", 'shared_buffers = 2GB', 'max_wal_size = 100GB',
		'min_wal_size = 80MB', 'wal_recycle = off', 'checkpoint_timeout = 1h', 'wal_level = replica',
		'archive_mode = on', "archive_command = ''", 'autovacuum = off', 'max_connections = 40');
	my $server = start_server($corpus->{template});
	ready($server);
	pgbench($place, '-i', '-q', '-s', $scale);
	stop_server($server);

	# what is ready by now belongs to the base
	rename $_, s/ready$/done/r for glob "$corpus->{template}/pg_wal/archive_status/*.ready";
	run('cp', '-a', $corpus->{template}, $corpus->{base});

	$server = start_server($corpus->{template});
	ready($server);
	load($corpus, $place);
	stop_server($server);
	run('touch', "$place/complete");
	$corpus->{names} = [ ready_names($corpus->{template}) ];
	return finish($corpus);
}

sub load
{
	my ($corpus, $place) = @_;
	my $n = $corpus->{segments};

	sql($place, $_) for grep { /\S/ } split /;/, $events_table;
	fill_to($corpus, int($n * 0.25), 'events', sub { sql($place, $events) });
	sql($place, 'CHECKPOINT');
	fill_to($corpus, int($n * 0.72), 'tpcb', sub { pgbench($place, '-c 8 -j 2 -T 2') });
	sql($place, "ALTER SYSTEM SET wal_compression = 'lz4'", 'SELECT pg_reload_conf()');
	fill_to(
		$corpus,
		int($n * 0.97),
		'tpcb_lz4',
		sub { sql($place, 'CHECKPOINT'); pgbench($place, '-c 8 -j 2 -T 4') });
	sql($place, 'ALTER SYSTEM RESET wal_compression', 'SELECT pg_reload_conf()');
	fill_to($corpus, $n, 'switched',
		sub { pgbench($place, '-c 1 -t 300'); sql($place, 'SELECT pg_switch_wal()') });
	print STDERR "\n";
	return;
}

# One timeline without a gap, and where its last segment begins.
sub finish
{
	my ($corpus) = @_;
	my $last = $corpus->{names}[-1];

	$corpus->{bytes} = 0;
	$corpus->{bytes} += -s "$corpus->{template}/pg_wal/$_" for @{ $corpus->{names} };
	my $first_record = `pg_waldump -n 1 $corpus->{template}/pg_wal/$last 2>/dev/null`;
	($corpus->{target}) = $first_record =~ m{lsn: ([0-9A-F]+/[0-9A-F]+)}
	  or die "no record in $last\n";
	return $corpus;
}

sub ready
{
	my ($server) = @_;

	wait_until('the server to start', 60,
		sub { defined log_time($server, qr/ready to accept connections/) });
	return;
}

# A copy to run a server on. Segments that wait to be archived, and large files
# if asked for, are linked: nobody writes to them.
sub copy_cluster
{
	my ($from, $to, $link_large) = @_;

	run('rm', '-rf', $to);
	mkdir $to, 0700 or die "$to: $!\n";
	run("cd $from && find . -mindepth 1 -type d -print0 | (cd $to && xargs -0 mkdir -m 0700)");
	my %ready = map { $_ => 1 } ready_names($from);
	open(my $files, '-|', "cd $from && find . -type f") or die "find: $!\n";
	my @copy;
	while (my $file = <$files>)
	{
		chomp $file;
		my ($segment) = $file =~ m{^\./pg_wal/([0-9A-F]{24})$};
		if ((defined $segment && $ready{$segment}) ||
			($link_large && $file =~ m{^\./base/} && -s "$from/$file" > 1048576))
		{
			link("$from/$file", "$to/$file") or die "link $file: $!\n";
		}
		else { push @copy, $file; }
	}
	close($files);
	open(my $tar, '|-', "tar -C $from -cf - -T - | tar -C $to -xf -") or die "tar: $!\n";
	print $tar "$_\n" for @copy;
	close($tar) or die "could not copy $from\n";
	return;
}

1;
