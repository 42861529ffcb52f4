# A comparison as a picture.
package Plot;

use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(write_plot);

my ($label_width, $bar_width, $row, $width) = (300, 420, 24, 800);

sub escaped { return $_[0] =~ s/&/&amp;/gr =~ s/</&lt;/gr =~ s/>/&gt;/gr; }

# Horizontal bars below a title; returns the SVG and the height used.
sub chart
{
	my ($top, $title, $unit, @bars) = @_;
	my ($max) = sort { $b <=> $a } map { $_->{value} } @bars;
	my $svg = sprintf qq{<text class="title" x="10" y="%d">%s</text>\n}, $top + 18, escaped($title);
	my $y = $top + 34;

	for my $bar (@bars)
	{
		my $length = $bar_width * $bar->{value} / $max;

		$svg .= sprintf qq{<text x="%d" y="%d" text-anchor="end">%s</text>\n}, $label_width, $y + 14,
		  escaped($bar->{label});
		$svg .= sprintf qq{<rect class="%s" x="%d" y="%d" width="%.1f" height="%d"/>\n}, $bar->{class},
		  $label_width + 8, $y + 2, $length, $row - 7;
		$svg .= sprintf qq{<text x="%.1f" y="%d">%s</text>\n}, $label_width + 14 + $length, $y + 14,
		  sprintf($unit, $bar->{value});
		$y += $row;
	}
	return ($svg, $y + 16);
}

sub class_of
{
	my ($name) = @_;

	return $name =~ /^walarch/ ? 'ours' : $name =~ /^(?:limit|local)/ ? 'limit' : 'other';
}

# bars: [name, label, value] ...
sub write_plot
{
	my ($file, $caption, $title, $unit, @bars) = @_;
	my ($body, $top) = chart(10, $title, $unit,
		map { { class => class_of($_->[0]), label => $_->[1], value => $_->[2] } } @bars);

	open(my $out, '>', $file) or die "$file: $!\n";
	print $out <<"SVG";
<svg xmlns="http://www.w3.org/2000/svg" width="$width" height="@{[$top + 24]}" viewBox="0 0 $width @{[$top + 24]}">
<style>
rect.back { fill: #ffffff; }
text { font: 13px sans-serif; fill: #24292f; }
text.title { font-weight: bold; font-size: 15px; }
text.caption { font-size: 11px; fill: #57606a; }
rect.ours { fill: #1a7f37; } rect.other { fill: #8c959f; } rect.limit { fill: #bf8700; }
</style>
<rect class="back" width="100%" height="100%"/>
$body<text class="caption" x="10" y="@{[$top + 10]}">@{[escaped($caption)]}</text>
</svg>
SVG
	close($out) or die "$file: $!\n";
	return;
}

1;
