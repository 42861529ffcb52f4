# Standbys and timelines, for tests: small clusters that archive with walarch,
# restore commands that keep a record of what was asked, and one table of marks
# that shows which history a server has.
#
#	use lib "t/lib";
#	use WalArch;
#	use Standby;
#
#	my $primary = small_primary('primary');
#	my $archive = archive_dir($primary);
#	$primary->backup('base');
#	my $standby = new_standby('standby', $primary, 'base');
#	$standby->start;
#	mark($primary, 'before');
#	wait_objects($archive, switch_wal($primary));
#	is(wait_marks($standby, 'before'), 'before', 'it follows');
#	requests($standby);                     # ([ name, exit status ], ...)

package Standby;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use WalArch;

our @EXPORT = qw(
  small_primary new_standby new_recovery wait_objects history_text
  mark marks wait_marks wait_replayed wait_delayed end_of_recovery timeline
  wait_line table_sums requests delivered
);

# A running cluster of 1 MB segments with a table of marks.
sub small_primary
{
	my ($name, %opts) = @_;
	my $node = new_primary(
		$name,
		extra => ['--wal-segsize=1'],
		conf => "min_wal_size = 2MB\ncheckpoint_timeout = 1h\n"
		  . "autovacuum = off\n" . ($opts{conf} // ''));

	$node->safe_psql('postgres', 'CREATE TABLE marks (n serial, what text)');
	return $node;
}

# walarch get as restore command, with a record of the requests beside the data
# directory.
sub restore_conf
{
	my ($node, $archive, $options) = @_;
	my $script = $node->basedir . '/restore';
	my $record = $node->basedir . '/requests';

	write_binary($script, <<"END");
#!/bin/sh
"$ENV{WALARCH_BIN}" get --archive "$archive" $options "\$1" "\$2"
status=\$?
echo "\$1 \$status" >>"$record"
exit \$status
END
	chmod 0700, $script or die "could not chmod \"$script\": $!";
	return "restore_command = '\"$script\" \"%f\" \"%p\"'\n";
}

# From a base backup of a primary; archives to the same directory when opened.
# Options: streaming => node to stream from, get => options of walarch get,
# conf => further lines of postgresql.conf.
sub from_backup
{
	my ($name, $from, $backup, %opts) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init_from_backup($from, $backup);
	$node->append_conf('postgresql.conf',
		restore_conf($node, archive_dir($from), $opts{get} // '')
		  . ($opts{conf} // ''));
	$node->enable_streaming($opts{streaming}) if defined $opts{streaming};
	return $node;
}

sub new_standby
{
	my $node = from_backup(@_);

	$node->set_standby_mode;
	return $node;
}

# Recovery that ends, and then opens the server.
sub new_recovery
{
	my $node = from_backup(@_);

	$node->append_conf('postgresql.conf', "recovery_target_action = 'promote'");
	$node->set_recovery_mode;
	return $node;
}

# Wait until the archive has these files, whoever archived them.
sub wait_objects
{
	my ($archive, @files) = @_;

	foreach my $file (@files)
	{
		wait_until("$file in \"$archive\"", sub { -e object_path($archive, $file) });
	}
	return;
}

sub history_text
{
	my ($archive, $tli) = @_;
	return object_raw($archive, sprintf('%08X.history', $tli));
}

sub mark
{
	my ($node, $what) = @_;

	$node->safe_psql('postgres', "INSERT INTO marks (what) VALUES ('$what')");
	return;
}

# All marks as words, in the order of their making.
sub marks
{
	my ($node) = @_;

	return $node->safe_psql('postgres',
		"SELECT string_agg(what, ' ' ORDER BY n) FROM marks");
}

# Wait until a mark has come; then all marks.
sub wait_marks
{
	my ($node, $what) = @_;

	$node->poll_query_until('postgres',
		"SELECT count(*) > 0 FROM marks WHERE what = '$what'")
	  or die $node->name . ": mark $what did not come; there are: " . marks($node);
	return marks($node);
}

sub wait_replayed
{
	my ($node, $lsn) = @_;

	$node->poll_query_until('postgres', "SELECT pg_last_wal_replay_lsn() >= '$lsn'")
	  or die $node->name . " did not replay up to $lsn";
	return;
}

# Wait until replay stands still for recovery_min_apply_delay.
sub wait_delayed
{
	my ($node) = @_;

	$node->poll_query_until('postgres',
		"SELECT wait_event = 'RecoveryApplyDelay' FROM pg_stat_activity WHERE backend_type = 'startup'")
	  or die 'the replay of ' . $node->name . ' is not held up';
	return;
}

sub end_of_recovery
{
	my ($node) = @_;

	$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()')
	  or die $node->name . ' is still in recovery';
	return;
}

# The timeline that a server writes.
sub timeline
{
	my ($node) = @_;

	return hex substr($node->safe_psql('postgres',
			'SELECT pg_walfile_name(pg_current_wal_lsn())'), 0, 8);
}

# Wait for a line in the server's log, from a position on; the line.
sub wait_line
{
	my ($node, $regexp, $position) = @_;

	return wait_until(
		"a line like $regexp in the log of " . $node->name,
		sub { log_since($node, $position) =~ /^(.*(?:$regexp).*)$/m ? $1 : undef });
}

# One line a table: its number of rows, and a digest of them.
sub table_sums
{
	my ($node, @tables) = @_;

	return join "\n", map {
		"$_ "
		  . $node->safe_psql('postgres',
			"SELECT count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM $_ t")
	} @tables;
}

# What the node's restore command was asked, and how it ended: [ name, status ].
sub requests
{
	my ($node) = @_;
	my $record = $node->basedir . '/requests';

	return () unless -e $record;
	return map { [split] } split /\n/, slurp_file($record);
}

# The segments of a timeline that it delivered.
sub delivered
{
	my ($node, $tli) = @_;
	my $prefix = sprintf '%08X', $tli;

	return grep { /^$prefix[0-9A-F]{16}$/ }
	  map { $_->[1] == 0 ? $_->[0] : () } requests($node);
}

1;
