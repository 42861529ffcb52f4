# Base backups of one running cluster, and bringing them back.
package Backup;

use strict;
use warnings;
use Exporter 'import';
use Time::HiRes ();
use Machine;
use Server;

our @EXPORT = qw(backup_contenders begin_cluster end_cluster take_backup bring_back);

my $place = $ENV{TMPDIR};
my $data = "$place/cluster";
my $server;

# The socket is in the working directory.
sub psql { return `psql -XAtq -h $place -p 5432 -d postgres -c "$_[0]"`; }

# Everybody stores durably: what tar unpacks is synced, too.
sub backup_contenders
{
	my $basebackup = "pg_basebackup -h $place -p 5432 -c fast -X none -D TO -Ft";
	my $pgbackrest = "pgbackrest --config=$place/pgbackrest.conf --stanza=bench";

	return (
		{
			name => 'walarch', label => 'walarch, level 3, 2 threads',
			backup => "walarch backup --archive $place/walarch -h $place -p 5432 --checkpoint fast --quiet",
			restore => "walarch restore --archive $place/walarch -D TO --immediate --quiet",
			where => "$place/walarch/base"
		},
		{
			name => 'pgbr', label => 'pgBackRest, zst 3, 2 processes',
			backup => "$pgbackrest --type=full --start-fast backup",
			restore => "$pgbackrest --pg1-path=TO restore", where => "$place/pgbr/backup"
		},
		{
			name => 'gzip', label => 'pg_basebackup -Ft -z', backup => "$basebackup -z",
			restore => 'mkdir -m 0700 TO && tar -xzf FROM/base.tar.gz -C TO && sync -f TO'
		},
		{
			name => 'server_zstd', label => 'pg_basebackup --compress=server-zstd:3', backup => "$basebackup --compress=server-zstd:3",
			restore => 'mkdir -m 0700 TO && tar -I zstd -xf FROM/base.tar.zst -C TO && sync -f TO'
		},
		{
			name => 'client_zstd', label => 'pg_basebackup --compress=client-zstd:level=3,workers=2',
			backup => "$basebackup --compress=client-zstd:level=3,workers=2",
			restore => 'mkdir -m 0700 TO && tar -I zstd -xf FROM/base.tar.zst -C TO && sync -f TO'
		});
}

# A cluster of pgbench, at rest, that archives with walarch.
sub begin_cluster
{
	my ($scale) = @_;

	run("initdb -D $data -A trust --no-sync --no-locale -E UTF8 >/dev/null");
	mkdir "$place/walarch", 0700;
	open(my $conf, '>>', "$data/postgresql.conf") or die "$data: $!\n";
	print $conf "listen_addresses = ''\nunix_socket_directories = '$place'\nport = 5432\nmax_wal_size = 8GB\n"
	  . "autovacuum = off\nshared_buffers = 512MB\nfsync = off\narchive_mode = on\narchive_library = 'walarch'\n"
	  . "walarch.archive = '$place/walarch'\n";
	close($conf);
	$server = start_server($data);
	wait_until('the server', 60, sub { psql('SELECT 1') eq "1\n" });
	run("pgbench -i -q -s $scale -h $place -p 5432 postgres >/dev/null 2>&1");
	run("pgbench -n -c 4 -j 2 -T 20 -h $place -p 5432 postgres >/dev/null 2>&1");
	psql('CHECKPOINT');
	psql('SELECT pg_switch_wal()');
	wait_until('archiving', 600, sub { psql('SELECT backlog_files = 0 FROM (SELECT count(*) AS backlog_files FROM pg_ls_archive_statusdir() WHERE name LIKE \'%.ready\') w') eq "t\n" });

	mkdir "$place/pgbr";
	open(my $rest, '>', "$place/pgbackrest.conf") or die "pgbackrest.conf: $!\n";
	print $rest "[global]\nrepo1-path=$place/pgbr\nlock-path=$place/lock\nlog-path=$place/log\nlog-level-console=error\n"
	  . "log-level-file=off\ncompress-type=zst\ncompress-level=3\nprocess-max=2\narchive-check=n\narchive-mode-check=n\n"
	  . "repo1-retention-full=1\n[bench]\npg1-path=$data\npg1-socket-path=$place\npg1-port=5432\n";
	close($rest);
	run("pgbackrest --config=$place/pgbackrest.conf --stanza=bench stanza-create");
	return psql('SELECT sum(pg_database_size(oid)) FROM pg_database') + 0;
}

sub end_cluster { return stop_server($server); }

sub stored
{
	my ($directory) = @_;
	my $sum = 0;

	open(my $sizes, '-|', "find $directory -type f -printf '%s\\n'") or die "find: $!\n";
	while (<$sizes>) { $sum += $_; }
	return $sum;
}

sub timed
{
	my ($command) = @_;
	my $cpu = cpu_seconds();
	my $begun = Time::HiRes::time();

	run($command);
	return { wall => Time::HiRes::time() - $begun, cpu => cpu_seconds() - $cpu };
}

# Only the newest one is there, so that its size is known.
sub take_backup
{
	my ($contender) = @_;
	my $to = "$place/backup.$contender->{name}";
	my $where = $contender->{where} // $to;

	run('rm', '-rf', $where) unless $contender->{name} eq 'pgbr';
	run('rm', '-f', "$place/walarch/base.lock") if $contender->{name} eq 'walarch';
	settle();
	my $result = timed($contender->{backup} =~ s/TO/$to/gr);
	$result->{stored} = stored($contender->{name} eq 'pgbr' ? readlink("$where/bench/latest") =~ s/^/$where\/bench\//r : $where);
	return $result;
}

sub bring_back
{
	my ($contender) = @_;
	my $to = "$place/restored";
	my $from = "$place/backup.$contender->{name}";

	run('rm', '-rf', $to);
	settle();
	my $result = timed($contender->{restore} =~ s/TO/$to/gr =~ s/FROM/$from/gr);
	die "$contender->{label}: nothing was restored\n" unless -e "$to/PG_VERSION" && -e "$to/global/pg_control";
	run('rm', '-rf', $to);
	return $result;
}

1;
