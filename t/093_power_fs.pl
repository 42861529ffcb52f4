# The power goes while a server archives a backlog to ext4, to xfs, to btrfs:
# after the journal was recovered every acknowledged file is there and intact,
# nothing else is taken for good, and archiving goes on. POWER_CUTS is how often
# the power goes on each, POWER_FS which of them. (Of btrfs it is the disk below
# it that is cut off.)

use strict;
use warnings;

use JSON::PP qw(decode_json);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use RootHelper;
use WalArch;

my $cuts = $ENV{POWER_CUTS} // 4;
my $backlog = 10;

# Names in pg_wal/archive_status that end so, without that end.
sub names
{
	my ($node, $end) = @_;

	return sort map { /^([0-9A-F]{24})\.$end$/ ? $1 : () } slurp_dir(data_file($node, 'pg_wal/archive_status'));
}

sub original { return slurp_binary(data_file($_[0], "pg_wal/$_[1]")); }

# What get makes of each name: a text for each that is not as it must be.
sub wrong
{
	my ($node, $acknowledged, $others) = @_;
	my $out = $node->basedir . '/out';
	my @wrong;

	foreach my $wal (@$acknowledged, @$others)
	{
		unlink $out;
		my ($exit) = get($node->basedir, '--archive', archive_dir($node), '--retry-for', 0,
			'--prefetch', 'off', $wal, './out');

		push @wrong, "$wal: delivered with other bytes"
		  if $exit eq '0' && slurp_binary($out) ne original($node, $wal);
		push @wrong, "$wal: acknowledged, but get says $exit"
		  if $exit ne '0' && grep { $_ eq $wal } @$acknowledged;
	}
	return @wrong;
}

sub cut_often
{
	my ($type) = @_;
	my $mount = "$PostgreSQL::Test::Utils::tmp_check/$type";
	root_do('loop', $mount, 320, $type);
	my $node = new_primary(
		$type,
		start => 0,
		archive => "$mount/archive",
		extra => ['--wal-segsize=1'],
		conf => "wal_keep_size = '1GB'\nautovacuum = off\nwalarch.workers = 2\nwalarch.timeout = '5s'\n");
	my $archive = archive_dir($node);

	foreach my $cut (1 .. $cuts)
	{
		$node->append_conf('postgresql.conf', "walarch.archive = ''");
		$node->start;
		$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS walarch');
		foreach (1 .. $backlog)
		{
			write_wal($node, 300);
			switch_wal($node);
		}
		wait_for_archiver($node);

		my $before = () = names($node, 'done');
		my $wanted = $before + 1 + $cut % ($backlog - 1);
		set_conf($node, 'walarch.archive', $archive);
		wait_until("$wanted files to be archived", sub { scalar(() = names($node, 'done')) >= $wanted });
		root_do('cut', $mount);
		$node->stop('immediate');
		my @done = names($node, 'done');
		my @ready = names($node, 'ready');
		root_do('power_on', $mount);

		note(sprintf '%s, cut %d: %d acknowledged, %d not', $type, $cut, scalar @done, scalar @ready);
		is(join("\n", wrong($node, \@done, \@ready)), '', "$type, cut $cut: what was acknowledged is intact");
		$node->start;
		wait_archived($node);
		is(join("\n", wrong($node, [ names($node, 'done') ], [])),
			'', "$type, cut $cut: archiving goes on, and all is whole");
		my ($status, $json) = run_in('/', $ENV{WALARCH_BIN}, 'verify', '--archive', $archive, '--json');
		is($status, 0, "$type, cut $cut: verify finds nothing") or diag($json);
		$node->stop;
	}
	root_do('umount', $mount);
	return;
}

foreach my $type (split ' ', $ENV{POWER_FS} // 'ext4 xfs btrfs')
{
  SKIP:
	{
		skip "needs root, and $type to be cut off", 3 * $cuts
		  unless root_available('umount', "cut.$type");
		cut_often($type);
	}
}

done_testing();
