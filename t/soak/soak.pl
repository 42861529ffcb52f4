# A primary under load, a standby that has only the archive, and faults at random
# for as long as SOAK_MINUTES says: nothing that was acknowledged is lost. The
# files that PostgreSQL was told are archived are there and right, the archive is
# whole at the end, the standby holds what the primary holds, and recoveries to
# random moments give what the primary held then.
#
# SOAK_SEED repeats the choice of faults. `make soak` runs this.

use strict;
use warnings;

use lib 't/lib', 't/soak';

use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Backups;
use Clock;
use Dice;
use Faults;
use Figures;
use Load;
use Moments;
use Pace;
use Pair;
use Place;
use Recovery;
use WalArch;
use Witness;

my $minutes = $ENV{SOAK_MINUTES} // 3;
my $seed = $ENV{SOAK_SEED} || int(time() * 1000) % 1_000_000_000;
my $dir = $PostgreSQL::Test::Utils::tmp_check;

# The last third of a short run, and ten minutes of a long one, are for recoveries.
my $total_s = $minutes * 60;
my $closing_s = $total_s / 3 > 600 ? 600 : $total_s / 3;
my $recoveries_at_least = 3;
my $backup_every_s = $minutes > 10 ? 60 : 20;
my $backups_kept = 2 + int($minutes / 4);
my $rested = 0;					# all that was acknowledged was looked for at the end

sub dice { return Dice->new($seed, $_[0]); }

my $figures = Figures->new($seed);
my $w = { figures => $figures, archive => "$dir/archive" };

diag("seed $seed, $minutes minutes");
$w->{clock} = Clock->new($dir);
$w->{place} = Place->new($w->{archive}, 512 + 32 * int $minutes);

# Before the servers are stopped: a frozen archive would hold them.
END
{
	my $status = $?;

	$w->{place}->mend if $w->{place};
	$_->stop foreach grep { defined } @{$w}{qw(load backups)};
	$? = $status;
}

sub begin
{
	my $pair = $w->{pair} = Pair->new($w->{archive}, dice('standbys'));
	my $primary = $pair->primary;

	$w->{load} = Load->new($dir, 50);
	$w->{load}->prepare($primary);
	$primary->safe_psql('postgres', 'CREATE TABLE bulk (n int, t text); CREATE TABLE moment (name text)');
	$w->{moments} = Moments->new($w->{load});
	$w->{witness} = Witness->new($w->{archive}, $figures, dice('files'));
	$w->{backups} = Backups->new($w, $dir, $backups_kept);
	$w->{recovery} = Recovery->new($w, dice('recoveries'));
	$w->{faults} = Faults->new($w, dice('faults'));
	chore(sub { $w->{load}->keep }, sub { $w->{backups}->keep }, sub { $w->{witness}->note($pair->primary) });

	switch_and_archive($primary);
	$w->{load}->on($primary);
	$w->{backups}->take;
	$pair->build_standby;
	diag('not possible here, and left out: ' . join(', ', $w->{faults}->impossible)) if $w->{faults}->impossible;
	return;
}

# What a database does besides: new tables, rewrites, much at once.
my @works = (
	'TRUNCATE bulk; INSERT INTO bulk SELECT n, md5(n::text) FROM generate_series(1, 5000) n',
	'INSERT INTO bulk SELECT n, repeat(md5(random()::text), 10) FROM generate_series(1, 2000) n; DELETE FROM bulk WHERE n % 3 = 0',
	'CREATE TABLE IF NOT EXISTS other AS SELECT * FROM bulk; CREATE INDEX ON other (n)',
	'DROP TABLE IF EXISTS other',
	'VACUUM FULL bulk',
	'UPDATE bulk SET t = t || n; CHECKPOINT',
	'DROP DATABASE IF EXISTS other; CREATE DATABASE other',
	'REINDEX TABLE ledger');

sub faults
{
	my $works = dice('works');
	my $backup_at = time() + $backup_every_s;

	while ($figures->seconds < $total_s - $closing_s)
	{
		my $work = $works->one_of(@works);

		$w->{pair}->primary->safe_psql('postgres', $_) foreach split /; /, $work;
		$w->{faults}->next;
		$w->{backups}->prune($w->{recovery}) unless $w->{backups}->running;
		next if time() < $backup_at;
		$w->{backups}->begin;
		$backup_at = time() + $backup_every_s;
	}
	return;
}

# Everything is as it should be again, and all of it is archived.
sub rest
{
	my $pair = $w->{pair};

	$w->{load}->off;
	$w->{backups}->take;
	my $moment = $w->{moments}->take($pair->primary) // die 'no moment at the end';
	$w->{faults}->settle('at the end');
	wait_archived($pair->primary);
	$w->{witness}->look($pair->primary);
	$w->{faults}->same_as_moment($pair->primary, $moment, 'the primary at the end');
	$w->{faults}->same_as_moment($pair->standby, $moment, 'the standby at the end');
	$rested = 1;
	return;
}

sub is_let_go
{
	my ($finding) = @_;
	my ($last) = $finding->{finding} =~ /^\d+ segments up to ([0-9A-F]{24}) are missing$/;

	return ($last || $finding->{finding} eq 'it is missing') && $w->{witness}->let_go($finding->{object}, $last // $finding->{object});
}

sub archive_is_whole
{
	my ($status, $stdout, $stderr) = run_in('/', $ENV{WALARCH_BIN}, 'verify', '--archive', $w->{archive}, '--json');

	my @findings = grep { $_->{severity} ne 'notice' } @{ JSON::PP->new->decode($stdout)->{findings} };
	my @losses = grep { !is_let_go($_) } @findings;
	is(join("\n", map { "$_->{object}: $_->{severity}: $_->{finding}" } @losses), '', 'verify finds nothing but what retention let go of')
	  or $figures->lost("verify: $stdout$stderr");
	is($status, @findings ? 1 : 0, 'and its exit status says so') or $figures->lost("verify: $stdout$stderr");
	my @gaps = @{ $w->{backups}->listing->{gaps} };
	my @let_go = grep { $w->{witness}->let_go(@{$_}{qw(first_missing_wal last_missing_wal)}) } @gaps;
	is(@gaps - @let_go, 0, 'nor is there another gap') or $figures->lost('gaps in the archive');
	$figures->set('beginnings of timelines let go of beside an older one', scalar @let_go);
	cmp_ok($w->{witness}->check_all, '>', 0, 'all that was seen acknowledged was looked for again');
	is(join(' ', damaged_files($w->{archive})), '', 'nothing was set aside as damaged');
	is(join(' ', temporary_files($w->{archive})), '', 'nothing is left in tmp/');
	$figures->set('segments in the archive at the end', scalar grep { /^[0-9A-F]{24}$/ } archive_files($w->{archive}));
	return;
}

sub recoveries
{
	my $done = 0;

	while ($done < $recoveries_at_least || $figures->seconds < $total_s)
	{
		my @moments = $w->{moments}->list;

		# the first of those that retention keeps needs all that it keeps
		$w->{recovery}->one($done == 0 ? $moments[0] : @moments);
		$done++;
		$figures->progress("$done recoveries to a moment");
	}
	return;
}

sub totals
{
	$figures->set('transactions checked', $w->{load}->total) if $rested;
	$figures->set('transactions acknowledged', $w->{load}->total);
	$figures->set('moments', $w->{moments}->taken);
	$figures->set('promotions', $w->{pair}{promotions});
	$figures->set('files archived', $w->{witness}->sum('archived_count'));
	$figures->set('failed attempts', $w->{witness}->sum('failed_count'));
	return;
}

my $finished = eval { begin(); faults(); rest(); archive_is_whole(); recoveries(); 1 };
ok($finished, 'the soak came to its end') or diag($@);
totals() if $w->{moments};
is(scalar $figures->losses, 0, 'nothing was lost');
cmp_ok($figures->faults, '>', 0, 'there were faults');
cmp_ok($figures->get('rows compared in copies'), '>', 0, 'rows were compared');
$figures->table;
diag('soak: ' . $figures->json);

done_testing();
