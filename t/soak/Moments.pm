# What the primary holds at a moment, by its own word, and whether a copy holds
# the same.
#
#	my $moments = Moments->new($load);
#	my $moment = $moments->take($node);     # undef: not confirmed, so it does not count
#	$moment->{name}, {lsn}, {timeline}, {us}, {content}, {rows}, {known}
#	content($node)
#
# While it is taken nobody writes: the restore point stands in WAL behind the
# commit of everything that is counted, and before all else.

package Moments;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(content);

# Sums of hashes: the order of rows does not matter, every bit of them does.
sub digest
{
	my ($table) = @_;
	return "(SELECT '$table ' || count(*) || ' ' || coalesce(sum(hashtextextended($table\::text, 0)), 0) FROM $table)";
}

my $content = "SELECT concat_ws('; ', " . join(', ',
	digest('ledger'), digest('account'), digest('bulk'),
	"(SELECT 'difference ' || (SELECT coalesce(sum(balance), 0) FROM account) - (SELECT coalesce(sum(delta), 0) FROM ledger))",
	"(SELECT 'relations ' || string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i'))"
) . ')';

sub content { return $_[0]->safe_psql('postgres', $content); }

sub new
{
	my ($class, $load) = @_;
	return bless { load => $load, taken => 0, list => [] }, $class;
}

sub list { return @{ $_[0]{list} }; }
sub taken { return $_[0]{taken}; }

# Keep only those for which something holds.
sub keep_only
{
	my ($self, $test) = @_;
	my @gone = grep { !$test->($_) } @{ $self->{list} };

	$self->{list} = [ grep { $test->($_) } @{ $self->{list} } ];
	return @gone;
}

# A restore point is not flushed by itself: the commit after it does that, and
# when it is acknowledged the moment counts.
sub take
{
	my ($self, $node) = @_;
	my $name = 'm' . ++$self->{asked};
	my $known = $self->{load}->known;
	my ($status, $stdout) = $node->psql('postgres', <<"END_SQL", on_error_stop => 1);
BEGIN;
LOCK TABLE ledger, account, bulk IN EXCLUSIVE MODE;
$content;
SELECT pg_create_restore_point('$name'), (extract(epoch from clock_timestamp()) * 1000000)::bigint;
COMMIT;
INSERT INTO moment VALUES ('$name') RETURNING 'kept', pg_walfile_name(pg_current_wal_insert_lsn());
END_SQL
	my ($held, $lsn, $us, $timeline) = $stdout =~ m{^(ledger .*)\n([0-9A-F]+/[0-9A-F]+)\|(\d+)\nkept\|([0-9A-F]{8})}m;

	return undef unless $status == 0 && defined $timeline;
	my ($rows) = $held =~ /^ledger (\d+)/;
	my $moment = {
		name => $name, lsn => $lsn, us => $us, timeline => hex $timeline, content => $held, rows => $rows,
		known => $known };

	push @{ $self->{list} }, $moment;
	$self->{taken}++;
	return $moment;
}

1;
