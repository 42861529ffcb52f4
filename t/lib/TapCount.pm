# prove --harness TapCount: prove as ever, which also appends to the file named
# by WALARCH_COUNTS a line "passed failed skipped" in single assertions, and to
# that file's name with .files the test files that failed.

package TapCount;

use strict;
use warnings;

use parent 'TAP::Harness';

# A skipped assertion is "ok" to TAP, and so is a failed one marked TODO.
# Neither shows anything, so neither counts as passed. A file that is skipped
# whole counts as one, and so does one that failed without a failed assertion
# (it died, or ran another number of tests than planned).
sub count_file
{
	my ($parser) = @_;
	my %not_shown = map { $_ => 1 } $parser->skipped, $parser->todo;
	my $passed = grep { !$not_shown{$_} } $parser->passed;
	my $failed = scalar($parser->failed);
	my $skipped = keys(%not_shown) + (defined $parser->skip_all ? 1 : 0);

	$failed = 1 if $failed == 0 && $parser->has_problems;
	return ($passed, $failed, $skipped);
}

sub summary
{
	my ($self, $aggregate, @rest) = @_;
	my @sum = (0, 0, 0);
	my @failed_files;

	foreach my $file ($aggregate->descriptions)
	{
		my ($parser) = $aggregate->parsers($file);
		my @counts = count_file($parser);

		$sum[$_] += $counts[$_] foreach 0 .. 2;
		push @failed_files, $file if $counts[1] > 0;
	}
	append($ENV{WALARCH_COUNTS}, "@sum\n");
	append("$ENV{WALARCH_COUNTS}.files", map { "$_\n" } @failed_files);
	return $self->SUPER::summary($aggregate, @rest);
}

sub append
{
	my ($path, @lines) = @_;

	open(my $out, '>>', $path) or die "could not open \"$path\": $!";
	print $out @lines;
	close($out) or die "could not write \"$path\": $!";
	return;
}

1;
