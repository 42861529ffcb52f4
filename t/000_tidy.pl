# The house rules that no compiler keeps: which layer may include which, which
# library has one door, what is never called where, what the module shows to
# the server, and that no test, setting or function is forgotten.

use strict;
use warnings;

use File::Basename;
use Test::More;

chdir(dirname($0) . '/..') or die "could not enter the source tree: $!";

my @sources = sort('walarch_module.c', glob('src/*/*.[ch]'));
my @headers = grep { /\.h$/ } @sources;
my @tests = sort(glob('t/*.pl'));
my @units = sort(glob('t/unit/*.c'));

sub slurp
{
	my ($file) = @_;

	open(my $in, '<', $file) or die "could not open \"$file\": $!";
	local $/ = undef;
	return scalar <$in>;
}

# C without comments and the contents of strings; lines keep their numbers.
sub code_of
{
	my ($file) = @_;
	my $text = slurp($file);

	$text =~ s{
		(/\*.*?\*/)					# a comment
		| "((?:\\.|[^"\\\n])*)"		# a string
		| '(?:\\.|[^'\\\n])+'		# a character
	}{
		my $all = $&;
		my $lines = ($all =~ tr/\n//);
		defined $1 ? ' ' . "\n" x $lines : '""';
	}gsex;
	return $text;
}

my %code = map { $_ => code_of($_) } @sources;

# A list of complaints, which should be empty.
sub none
{
	my ($name, @complaints) = @_;

	ok(!@complaints, $name) or diag(join("\n", @complaints));
	return;
}

# "file:line" of each match.
sub matches
{
	my ($pattern, @files) = @_;
	my @found;

	foreach my $file (@files)
	{
		my $number = 0;

		foreach my $line (split /\n/, $code{$file}, -1)
		{
			$number++;
			push @found, "$file:$number: $line" if $line =~ $pattern;
		}
	}
	return @found;
}

sub in_layer
{
	my ($layers) = @_;
	return grep { m{^src/(?:$layers)/} } @sources;
}

# --- layers --------------------------------------------------------------

my %may_include = (
	core => 'core',
	store => 'core|store',
	archive => 'core|store|archive',
	cli => 'core|store|archive|cli',
	recovery => 'core|store|archive|cli|recovery',
	server => 'core|store|archive|server',
	module => 'core|store|archive|server');
my (@edges, @unknown, @tests_included, @server_headers);

foreach my $file (@sources)
{
	my ($layer) = $file =~ m{^src/(\w+)/};
	$layer //= 'module';

	my $text = slurp($file);
	while ($text =~ /^\s*#\s*include\s+([<"])([^>"]+)[>"]/mg)
	{
		my ($how, $what) = ($1, $2);

		push @tests_included, "$file: $what"
		  if $what =~ m{(^|/)t/|\.\./} or $what =~ /^(tap|fixture)\.h$/;
		if ($how eq '"' && -e "src/$what")
		{
			push @edges, "$file ($layer) includes \"$what\""
			  unless $what =~ m{^(?:$may_include{$layer})/};
		}
		elsif ($how eq '"')
		{
			push @server_headers, "$file: \"$what\""
			  unless $layer eq 'server' || $layer eq 'module';
		}
		elsif ($what =~ m{^(postgres|fmgr|libpq/|utils/|access/|server/)}
			|| ($what =~ m{^libpq} && $layer ne 'recovery'))
		{
			push @server_headers, "$file: <$what>";
		}
	}
}
none('layers: core <- store <- archive <- {server <- module, cli <- recovery}', @edges);
none('only src/server and walarch_module.c see server headers', @server_headers);
none('nothing includes from t/', @tests_included);
my @layers = grep { -d } glob('src/*');
none('src/ has no other room',
	grep { !exists $may_include{ basename($_) } } @layers);

# --- one door for each library -------------------------------------------

my %door = (
	'zstd(_errors)?\.h' => 'src/core/sink_zstd.c',
	'xxhash\.h' => 'src/core/digest.c',
	'zlib\.h' => 'src/core/sink_gzip.c',
	'archive(_entry)?\.h' => 'src/recovery/unpack.c',
	'lz4\w*\.h' => 'src/core/sink_lz4.c');
foreach my $library (sort keys %door)
{
	my @users =
	  grep { slurp($_) =~ /^\s*#\s*include\s+[<"]$library/m } @sources;
	is("@users", $door{$library}, "only one file includes $library");
}

# --- what is never called ------------------------------------------------

sub banned
{
	my ($why, $names, @files) = @_;

	none("$why: $names",
		matches(qr/(?<![\w.>])(?:$names)\s*\(/, @files));
	return;
}

banned('without a bound',
	'sprintf|vsprintf|strcpy|strcat|stpcpy|gets|strncpy|strncat', @sources);
banned('without an error', 'atoi|atol|atoll|atof', @sources);
banned('a shell', 'system|popen|execlp|execvp', @sources);
banned('guessable', 'mktemp|tmpnam|tempnam|rand|srand|random|srandom', @sources);
banned('shared between threads',
	'strerror|strtok|localtime|gmtime|ctime|asctime|readdir_r|setlocale',
	in_layer('core|store|archive'));
banned('ends the process', 'exit|_exit|abort|quick_exit|_Exit',
	grep { !m{^src/cli/} && $_ ne 'src/recovery/process.c' } @sources);
banned('starts processes elsewhere', 'fork|vfork|clone|execv|execl|execve|posix_spawn',
	grep { !m{^src/cli/} && $_ ne 'src/recovery/process.c' } @sources);
banned('prints', 'printf|fprintf|vfprintf|puts|fputs|perror|putchar|syslog',
	in_layer('core|store|archive'));
banned('the server\'s errors',
	'ereport|elog|errmsg|ereport_domain|PG_TRY', in_layer('core|store|archive|cli|recovery'));
banned('the environment or a clock',
	'getenv|secure_getenv|time|gettimeofday|clock_gettime|clock',
	in_layer('core|store|archive'));
banned('memory of files, which can raise SIGBUS', 'mmap', @sources);

# Whoever may write to the archive could plant links there: one door follows none.
none('what lies below an archive is reached by store_dir_at.c only',
	grep { !m{^src/store/store_dir_at\.c:} && !m{openat\(self->fd, ""} && !m{fstatat\(fd, entry->d_name} }
	  matches(qr/(?<![\w.>])(?:openat2?|fstatat|mkdirat|unlinkat|renameat2?|linkat|symlinkat|readlinkat|faccessat|fchmodat|fchownat|mknodat|open|stat|lstat|mkdir|unlink|rename|link)\s*\((?!path, O_RDONLY)/,
		grep { m{^src/store/.*\.c$} } @sources));
none('and each of its calls says that it follows none',
	grep { !/O_NOFOLLOW/ } map { s/\s+/ /gr } $code{'src/store/store_dir_at.c'} =~ /\bopenat\((.*?)\);/gs);
none('no descriptor of an archive leaves the store',
	grep { !m{^src/store/} && slurp($_) =~ m{include "store/store_dir\.h"} } @sources);

# Threads run what lies in the pure layers, and there is no thread elsewhere.
none('threads are started in the pool only',
	grep { !m{^src/archive/pool\.c:} } matches(qr/\bpthread_create\b/, @sources));
none('PG_VERSION_NUM stays at the edge',
	grep { !m{^(src/server/compat\.[ch]|walarch_module\.c):} }
	  matches(qr/\bPG_VERSION_NUM\b/, @sources));

# --- nothing that is not used --------------------------------------------

{
	my @unused;
	my %excused = (
		wa_code_name => 'for JSON output and the unit tests',
		wa_crc32c_by_table => 'compared with the instruction by a unit test',
		wa_key_valid => 'so that the unit tests can say what a key is',
		wa_store_remove => 'the interface of stores is whole');

	foreach my $header (@headers)
	{
		(my $own = $header) =~ s/\.h$/.c/;
		while ($code{$header} =~ /^extern\b[^;()]*?\b(\w+)\s*[(;\[]/msg)
		{
			my $name = $1;
			my @users = grep { /\.c$/ && $code{$_} =~ /\b$name\b/ } @sources;

			push @unused, "$header: $name" if @users < 2 && !$excused{$name};
		}
	}
	none('what a header offers is used by another file', @unused);
	my @never = grep {
		my $header = $_;
		(my $short = $header) =~ s{^src/}{};
		!grep { slurp($_) =~ /^\s*#\s*include\s+"\Q$short\E"/m } @sources
	} @headers;
	none('every header is included', @never);
}

# --- what was built ------------------------------------------------------

sub output_of
{
	my ($command) = @_;
	my $text = qx{$command};

	die "\"$command\" failed" if $? != 0;
	return $text;
}

my $module = $ENV{WALARCH_SO} // 'walarch.so';
my $binary = $ENV{WALARCH_BIN} // 'walarch';
SKIP:
{
	skip 'not built', 4 unless -e $module && -e $binary;

	my @symbols = map { (split)[-1] } split /\n/,
	  output_of("nm -D --defined-only '$module'");
	s/@.*// foreach @symbols;
	none('the module exports only what the server looks for',
		grep { !/^(_PG_\w+|Pg_magic_func|pg_finfo_\w+|walarch_\w+)$/ } @symbols);
	cmp_ok(scalar(grep { /^_PG_archive_module_init$/ } @symbols),
		'==', 1, 'the module is an archive module');

	foreach my $file ($binary, $module)
	{
		my @needed = output_of("readelf -d '$file'") =~ /\(NEEDED\).*\[(.*)\]/g;
		none(basename($file) . ' is linked with what it needs only',
			grep { !/^(libc|libzstd|libxxhash|libpthread|ld-linux[\w-]*)\.so/
				  && !($file eq $binary && /^(liblz4|libz)\.so/) } @needed);
	}
}

# --- tests ---------------------------------------------------------------

none('a test is named NNN_name.pl, or it is not run',
	grep { basename($_) !~ /^\d{3}_\w+\.pl$/ } @tests);
none('only this test runs before the others',
	grep { basename($_) =~ /^000_/ && basename($_) ne '000_tidy.pl' } @tests);
{
	my %number;

	push @{ $number{ substr(basename($_), 0, 3) } }, basename($_) foreach @tests;
	none('no two tests have the same number',
		map { "@$_" } grep { @$_ > 1 } values %number);
}
none('every unit test is a program with a plan',
	grep { slurp($_) !~ /^main\((?:void|int argc, char \*\*argv)\)/m || slurp($_) !~ /\breturn done_testing\(\);/ }
	  @units);
{
	my %known = map { $_ => 1 } @tests, @units, 't/soak/soak.pl';

	none('nothing that looks like a test lies elsewhere',
		grep { !$known{$_} } glob('t/*/*.pl t/*/*/*.pl t/unit/*.cc t/unit/*/*.c t/*.t t/*/*.t'));
}
{
	my $run = slurp('t/run.sh');

	like($run, qr{t/unit/\*\.c}, 'run.sh takes all unit tests');
	like($run, qr{t/000_\*\.pl}, 'and this one');
	like($run, qr{t/soak/\*\.pl}, 'and the soak test, if it is asked for');
	like($run, qr{t/0\[!0\]\*\.pl t/00\[!0\]\*\.pl t/\[!0\]\*\.pl},
		'and all others');
}
none('a test says first what it proves',
	grep { slurp($_) !~ m{^(?:\#!.*\n)?\s*(?:\#|/\*)\s*\S} } @tests, @units);
none('SQL tests have their expected output',
	grep { my $name = basename($_, '.sql'); !-e "expected/$name.out" }
	  glob('sql/*.sql'));
none('and expected output has its test',
	grep { my $name = basename($_, '.out'); $name =~ s/_\d$//; !-e "sql/$name.sql" }
	  glob('expected/*.out'));
none('no test sleeps to wait for something',
	grep { slurp($_) =~ /^\s*sleep[\s(]*\d/m } @tests);

# --- documents -----------------------------------------------------------

my $readme = slurp('README.md');
my @settings =
  slurp('src/server/settings.c') =~ /DefineCustom\w+Variable\("(walarch\.\w+)"/g;
cmp_ok(scalar(@settings), '>', 0, 'there are settings');
is("@settings", join(' ', sort @settings), 'settings are defined in order');
my %heading = map { $_ => 1 }
  $readme =~ /^#+\s+.*?`?(walarch\.[a-z_]+(?:\(\))?)`?/mg;
none('each setting has its heading in README.md',
	grep { !$heading{$_} } @settings);
{
	my $sql = slurp('walarch--1.0.sql');
	my %offered = map { ("walarch.$_" => 1, "walarch.$_()" => 1) }
	  $sql =~ /CREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|VIEW)\s+(?:walarch\.)?(\w+)/gi;

	$offered{$_} = 1 foreach @settings;
	none('README.md has no heading for what is not there',
		grep { !$offered{$_} } sort keys %heading);
	none('each view and function has its heading in README.md',
		grep { !$heading{$_} && !$heading{"$_()"} }
		  map { "walarch.$_" } grep { !/_record$/ }
		  $sql =~ /CREATE\s+(?:FUNCTION|VIEW)\s+(\w+)/g);
}
ok(-s 'src/core/FORMAT.md', 'the format is a document');
ok(-s 'src/README.md', 'the rooms have a map');

# --- looks ---------------------------------------------------------------

my @texts = grep { -T } (
	@sources, @tests, @units,
	glob('*.md Makefile LICENSE *.sql *.control src/*.md src/*/*.md t/*.sh t/*.md'),
	glob('t/lib/* t/fuzz/*.* t/soak/* sql/*.sql .ci/*'));
{
	my (@blanks, @paths, @tails, @long);

	foreach my $file (@texts)
	{
		my $text = slurp($file);
		my $number = 0;

		foreach my $line (split /\n/, $text, -1)
		{
			$number++;
			push @blanks, "$file:$number" if $line =~ /[ \t\r]$/ && $file !~ /\.md$/;
			push @paths, "$file:$number: $line"
			  if $line =~ m{(?<![\w/.])/(?:work|home|root|build|Users)/\w};
		}
		push @tails, $file if $text !~ /[^\n]\n\z/;
	}
	foreach my $file (@sources)
	{
		my $lines = () = slurp($file) =~ /\n/g;

		push @long, "$file: $lines lines" if $lines >= 700;
	}
	none('no blanks at the end of a line', @blanks);
	none('each text ends with one line end', @tails);
	none('no path of a machine it was built on', @paths);
	none('no file of the sources has 700 lines', @long);
}
none('each source says first what it is',
	grep { slurp($_) !~ m{^/\*\n \* \Q@{[ basename($_) ]}\E\n \*\t  \S} } @sources, @units);
{
	my @wrong;

	foreach my $header (@headers)
	{
		my ($guard) = slurp($header) =~ /^#ifndef (\w+)\n#define \1\n/m;

		push @wrong, $header unless defined $guard;
	}
	none('each header has its guard', @wrong);
}

done_testing();
