# The whole comparison: bench/run.sh calls it as the user who may run servers.
use strict;
use warnings;
use POSIX ();
use Backup;
use Contenders;
use Corpus;
use Drain;
use Live;
use Machine;
use Plot;
use Recovery;
use Report;
use Server;

my $place = $ENV{TMPDIR};
my $segments = $ENV{SEGMENTS} // 140;
my $rounds = $ENV{ROUNDS} // 3;
my $live_seconds = $ENV{LIVE_SECONDS} // 40;
my %only = map { $_ => 1 } split /,/, $ENV{ONLY} // 'drain,recovery,get,live,backup';
my @wanted = split /,/, $ENV{CONTENDERS} // '';
my %facts;

sub wanted
{
	my ($contender) = @_;

	return !@wanted || grep { $_ eq $contender->{name} } @wanted;
}

# One measurement; what is known so far is on disk after each.
sub measure
{
	my ($part, $contender, $round, $work) = @_;

	printf STDERR "%s %-9s round %d  %s\n", POSIX::strftime('%H:%M:%S', localtime), $part, $round,
	  $contender->{label};
	note($part, $contender, $work->());
	write_json("$place/walarch-bench.json", \%facts);
	return;
}

sub rounds_of
{
	my ($contender) = @_;
	my $most = $contender->{rounds} // $rounds;

	return $most < $rounds ? $most : $rounds;
}

# Each round has each contender once, so that a bad minute hits all alike.
sub interleave
{
	my ($part, $work, @contenders) = @_;

	for my $round (1 .. $rounds)
	{
		for my $contender (grep { $round <= rounds_of($_) } @contenders)
		{
			measure($part, $contender, $round, sub { $work->($contender) });
		}
	}
	return;
}

sub all_drains
{
	my ($corpus, @contenders) = @_;

	interleave('drain', sub { drain($_[0], $corpus) }, @contenders);
	if (my ($ours) = grep { $_->{name} eq 'walarch_3x2' } @contenders)
	{
		note('memory', $ours, { idle_kb => idle_archiver_kb($ours, $corpus) });
	}
	return if ($ENV{VERIFY} // 1) eq '0';
	for my $contender (grep { !$_->{limit} } @contenders)
	{
		my $same = check_archive($contender, $corpus);
		my $count = @{ $corpus->{names} };

		print STDERR "$contender->{label}: $same of $count segments come back as they were\n";
		die "$contender->{label}: an archive is not what it should be\n" if $same != $count;
		$facts{verified}{ $contender->{name} } = $same;
	}
	return;
}

# walarch restores in two ways, and there is replay without any.
sub restorers
{
	my (@contenders) = @_;
	my @restorers = grep { !$_->{norestore} && !$_->{limit} } @contenders;

	for my $ours (grep { $_->{name} eq 'walarch_3x2' } @restorers)
	{
		$ours = { %$ours, label => 'walarch get' };
		push @restorers, {
			%$ours, name => 'walarch_plain', label => 'walarch get --prefetch off',
			archive_name => $ours->{name},
			restore => $ours->{restore} =~ s/get /get --prefetch off /r
		};
	}
	return @restorers;
}

# What it costs to start a command at all: one that only makes a link.
sub floor_of_get
{
	my $floor = {
		name => 'limit_ln', label => 'limit: /bin/ln of a file that is there',
		restore => '/bin/ln ARCHIVE/file "%p"', pause => 60
	};

	run('mkdir', '-p', archive_of($floor));
	run('touch', archive_of($floor) . '/file');
	return $floor;
}

# A picture of each of the two comparisons people ask for first.
sub plots
{
	my (@contenders) = @_;
	my $caption = sprintf('%s, %d cores, %s, %s, walarch %s', $facts{date}, $facts{machine}{cores},
		@{ $facts{versions} }{qw(postgresql pgbackrest walarch)});
	my $mb = $facts{corpus}{bytes} / 1e6;
	my $bars = sub {
		my ($part, @who) = @_;

		return grep { defined $_->[2] }
		  map { [ $_->{name}, $_->{label}, result_of($part, $_->{name}, 'wall') ] } @who;
	};
	my @drains = sort { $b->[2] <=> $a->[2] } map { [ $_->[0], $_->[1], $mb / $_->[2] ] } $bars->('drain', @contenders);
	my @recoveries =
	  sort { $a->[2] <=> $b->[2] } $bars->('recovery', { name => 'local', label => 'replay alone' }, restorers(@contenders));

	write_plot("$place/walarch-drain.svg", $caption,
		'Archiving a backlog, MB of WAL a second (more is better)', '%.0f', @drains) if @drains;
	write_plot("$place/walarch-recovery.svg", $caption,
		'Recovery of the same, seconds (less is better)', '%.1f s', @recoveries) if @recoveries;
	return;
}

# Backups by themselves need no WAL made beforehand.
sub all_backups
{
	my @who = grep { wanted($_) } backup_contenders();

	$facts{cluster_bytes} = begin_cluster($ENV{SCALE} // 100);
	make_filler($ENV{FILL});
	interleave('backup', \&take_backup, @who);
	interleave('restore', \&bring_back, @who);
	end_cluster();
	return;
}

sub main
{
	adopt_orphans();
	if ($only{backup})
	{
		%facts = (date => POSIX::strftime('%Y-%m-%d', gmtime), machine => machine(), versions => versions());
		all_backups();
		if (!grep { $only{$_} } qw(drain recovery get live))
		{
			write_json("$place/walarch-bench.json", \%facts);
			return print_report(\%facts);
		}
	}
	my @all = grep { wanted($_) } contenders($ENV{GZIP_ROUNDS} // 1);
	my $where = $ENV{CORPUS} // "$place/corpus";

	mkdir $where;
	my $corpus = make_corpus($where, $segments, $ENV{SCALE} // 100);
	%facts = (
		%facts, date => POSIX::strftime('%Y-%m-%d', gmtime), machine => machine(), versions => versions(),
		durable => { map { $_->{name} => $_->{durable} } @all },
		corpus => { count => scalar @{ $corpus->{names} }, bytes => $corpus->{bytes}, parts => $corpus->{parts} },
		settings => { segments => $segments, rounds => $rounds, live_seconds => $live_seconds });
	make_filler($ENV{FILL});

	all_drains($corpus, @all) if $only{drain};
	my @restorers = restorers(@all);
	if (!$only{drain} && ($only{recovery} || $only{get}))
	{
		drain($_, $corpus) for grep { !$_->{archive_name} } @restorers;
	}
	my $local = { name => 'local', label => 'replay alone, all in pg_wal', local => 1 };
	interleave('recovery', sub { recover($_[0], $corpus) }, $local, @restorers) if $only{recovery};
	if ($only{get})
	{
		# only where replay leaves it time can a prefetcher be ahead
		$_->{pause} = $_->{name} =~ /^(?:walarch_3x2|pgbr_async)$/ ? 60 : 0 for @restorers;
		interleave('get', sub { each_segment($_[0], $corpus) }, @restorers, floor_of_get());
	}
	if ($only{live})
	{
		my $off = { name => 'off', label => 'no archiving', archive => ['archive_mode = off'] };
		my @live = grep { $_->{name} =~ /^(?:cp_sync|zstd3|pgbr_async|walarch_3x2)$/ } @all;

		interleave('live', sub { live($_[0], $corpus, $live_seconds) }, map { { %$_, rounds => $ENV{LIVE_ROUNDS} // 1 } } $off, @live);
	}
	write_json("$place/walarch-bench.json", \%facts);
	plots(@all);
	print_report(\%facts);
	return;
}

main();
