# What a disk may hold after a power cut, worked out from the system calls that
# were made before it.
#
#	my $disk = PowerCut->new(roots => [ $archive, $datadir ]);
#	$disk->replay($trace, $datadir, sub { my ($event, $detail) = @_; ... });
#
# If the trace is of two processes, a further argument tells them apart: a hash
# of the threads of one of them.
#
# The model grants what POSIX grants and no more: the bytes of a file are certain
# up to its last fsync, each change of a directory up to the last fsync of that
# directory, and an fsync covers what had returned before it was entered. Anything
# later is there or not, each by itself. A file that was not synced is as it was,
# whole, torn, or zeroes of the right length. A rename from one directory into
# another is two changes.

package PowerCut;

use strict;
use warnings;

use Digest::MD5 qw(md5_hex);
use File::Basename ();

use WalArch;

# What nobody promises anything about: it is there or not at random, so that it
# does not use up the combinations.
my $unpromised = qr/^(?:tmp\/|.*\.tmp$)/;

# Trees have keys in place of bytes: there are many trees, and few bytes.
my %bytes_of;

sub keep_bytes
{
	my ($bytes) = @_;
	my $key = md5_hex($bytes);

	$bytes_of{$key} //= $bytes;
	return $key;
}

sub bytes { return $bytes_of{ $_[0] }; }

sub new
{
	my ($class, %args) = @_;
	my $self = bless { roots => $args{roots}, nodes => [], top => {} }, $class;

	foreach my $root (@{ $args{roots} })
	{
		$self->{top}{$root} = $self->add_directory($root, $args{only}{$root} // qr/./);
	}
	return $self;
}

sub node
{
	my ($self, %fields) = @_;

	push @{ $self->{nodes} }, {%fields};
	return $#{ $self->{nodes} };
}

# What lies there before the first call is taken for durable.
sub add_directory
{
	my ($self, $path, $only) = @_;
	my %entries;

	opendir(my $handle, $path) or die "could not open \"$path\": $!";
	foreach my $name (sort grep { !/^\.\.?$/ && /$only/ } readdir $handle)
	{
		my $bytes = -d "$path/$name" ? undef : slurp_binary("$path/$name");

		$entries{$name} =
		  defined $bytes
		  ? $self->node(base => $bytes, now => $bytes)
		  : $self->add_directory("$path/$name", qr/./);
	}
	closedir $handle;
	return $self->node(dir => 1, base => {%entries}, now => {%entries}, pending => []);
}

# (directory, name) of a path as it is seen now; nothing outside of the roots.
sub resolve
{
	my ($self, $path) = @_;

	foreach my $root (sort { length $b <=> length $a } @{ $self->{roots} })
	{
		next unless index("$path/", "$root/") == 0;
		my @parts = grep { $_ ne '' && $_ ne '.' } split m{/}, substr($path, length $root);
		my $last = pop @parts;
		my $dir = $self->{top}{$root};

		foreach my $part (@parts)
		{
			$dir = $self->{nodes}[$dir]{now}{$part} // return;
			return unless $self->{nodes}[$dir]{dir};
		}
		return ($dir, $last);
	}
	return;
}

sub lookup
{
	my ($self, $path) = @_;
	my ($dir, $name) = $self->resolve($path) or return;

	return defined $name ? $self->{nodes}[$dir]{now}{$name} : $dir;
}

# The bytes of a file, "now" or at its last fsync ("base").
sub change
{
	my ($self, $id, $which, $bytes) = @_;

	$self->{nodes}[$id]{$which} = $bytes;
	delete $self->{nodes}[$id]{"key of $which"};
	return;
}

sub key_of_bytes
{
	my ($self, $id, $which) = @_;
	my $node = $self->{nodes}[$id];

	return $node->{"key of $which"} //= keep_bytes($node->{$which});
}

# Give a name in a directory to a node, or take it away.
sub set
{
	my ($self, $path, $id) = @_;
	my ($dir, $name) = $self->resolve($path) or return;
	my $node = $self->{nodes}[$dir];

	defined $id ? $node->{now}{$name} = $id : delete $node->{now}{$name};
	push @{ $node->{pending} }, [ $name, $id ];
	return;
}

# --- the calls -------------------------------------------------------------

sub text { return $_[0] =~ s/\\x(..)/chr hex $1/ger; }

# Argument N of a call that is a path, with the directory it is relative to.
sub path_of
{
	my ($cwd, $at, $name) = @_;
	my ($path) = text($name) =~ /^"(.*)"$/s;

	return $path if $path =~ m{^/};
	return (defined $at && $at =~ /^\S+?<(.*)>$/ ? text($1) : $cwd) . "/$path";
}

# The calls of a trace (strace -f -y -xx), each as it is entered and as it
# returns: [moment, process, name, arguments, result]. The tracer may have let go
# of a process in the middle of a call, of which the return is not known then.
sub events
{
	my ($file) = @_;
	my (@events, %begun);

	open(my $handle, '<', $file) or die "could not open \"$file\": $!";
	while (my $line = <$handle>)
	{
		my ($pid, $rest) = $line =~ /^(\d+)\s+(.*)$/ or next;

		if ($rest =~ /^(\w+)\((.*?)\s*<(?:unfinished|detached) \.\.\.>$/)
		{
			$begun{$pid} = $2;
			push @events, [ 'enter', $pid, $1, [ split /, ?/, $2 ] ];
		}
		elsif ($rest =~ /^<\.\.\. (\w+) resumed>(.*)\)\s+= (-?\d+)/)
		{
			my ($name, $tail, $result) = ($1, $2, $3);
			my $arguments = (delete $begun{$pid} // '') . $tail;

			push @events, [ 'return', $pid, $name, [ split /, ?/, $arguments ], $result ];
		}
		elsif ($rest =~ /^(\w+)\((.*)\)\s+= (-?\d+)/)
		{
			my @arguments = split /, ?/, $2;

			push @events, [ 'enter', $pid, $1, \@arguments ],
			  [ 'return', $pid, $1, \@arguments, $3 ];
		}
	}
	return @events;
}

# Play a trace; after each call that changed something, and each time PostgreSQL
# is told that a file is archived, the observer is called: ('change', call, paths)
# or ('done', name of the file); and before something goes to standard output, of
# any process but that of the given threads: ('said', text).
sub replay
{
	my ($self, $file, $cwd, $observer, $threads) = @_;
	my %covered;

	foreach my $event (events($file))
	{
		my ($moment, $pid, $call, $args, $result) = @$event;
		my $one = $threads && $threads->{$pid} ? 'fds' : 'fds of another';

		$self->{open} = $self->{$one} //= {};
		my ($fd) = ($args->[0] // '') =~ /^(\d+)(?:<|$)/;

		if ($moment eq 'enter')
		{
			my $id = defined $fd && $call =~ /^f(?:data)?sync$/ ? $self->of_fd($args->[0]) : undef;

			delete $self->{open}{$fd} if $call eq 'close' && defined $fd;
			$observer->('said', text($args->[1]) =~ s/^"|"$//gr)
			  if $call eq 'write' && $fd eq '1' && $one ne 'fds';
			$covered{$pid} = defined $id ? [ $id, $self->reach($id) ] : undef;
			if ($call =~ /^rename/ && (my ($from) = grep { text($_) =~ /\.ready"$/ } @$args))
			{
				$observer->('done', text($from) =~ m{([^/"]+)\.ready"$});
			}
			next;
		}
		next if $result < 0;
		$observer->('change', $call, map { text($_) =~ /^"(.*)"$/s } @$args)
		  if $self->apply($call, $args, $result, $cwd, $covered{$pid});
	}
	return;
}

sub of_fd
{
	my ($self, $argument) = @_;
	my ($fd, $path) = $argument =~ /^(\d+)(?:<(.*)>)?/ or return;

	return $self->{open}{$fd} // (defined $path ? $self->lookup(text($path)) : undef);
}

# How far an fsync that is entered now reaches.
sub reach
{
	my ($self, $id) = @_;
	my $node = $self->{nodes}[$id];

	return $node->{dir} ? scalar @{ $node->{pending} } : $node->{now};
}

# One call that has returned; true if what is on the disk may have changed.
sub apply
{
	my ($self, $call, $args, $result, $cwd, $covered) = @_;
	my @nodes = @{ $self->{nodes} };

	if ($call eq 'openat')
	{
		my $path = path_of($cwd, $args->[0], $args->[1]);
		my $id = $self->lookup($path);

		if (!defined $id && $args->[2] =~ /O_CREAT/ && $self->resolve($path))
		{
			$id = $self->node(base => '', now => '');
			$self->set($path, $id);
		}
		return unless defined $id;
		$self->{open}{$result} = $id;
		$self->{open}{"offset of $result"} = 0;
		$self->change($id, now => '') if $args->[2] =~ /O_TRUNC/;
		return $args->[2] =~ /O_CREAT|O_TRUNC/;
	}
	if ($call eq 'write' || $call eq 'pwrite64')
	{
		my ($fd) = $args->[0] =~ /^(\d+)/;
		my $id = $self->{open}{$fd} // return;
		my ($bytes) = $args->[1] =~ /^"(.*)"$/ or die 'the trace lacks bytes that were written';
		my $at = $call eq 'write' ? $self->{open}{"offset of $fd"} : $args->[3];
		my $now = $self->{nodes}[$id]{now};

		$bytes = substr(text($bytes), 0, $result);
		$now .= "\0" x ($at - length $now) if $at > length $now;
		substr($now, $at, $result) = $bytes;
		$self->change($id, now => $now);
		$self->{open}{"offset of $fd"} += $result if $call eq 'write';
		return 1;
	}
	if ($call =~ /^f(?:data)?sync$/)
	{
		my ($id, $reach) = @{ $covered // return };
		my $node = $nodes[$id];

		if ($node->{dir})
		{
			foreach my $change (splice @{ $node->{pending} }, 0, $reach)
			{
				my ($name, $to) = @$change;
				defined $to ? $node->{base}{$name} = $to : delete $node->{base}{$name};
			}
		}
		else
		{
			$self->change($id, base => $reach);
		}
		return 1;
	}
	return $self->apply_name($call, $args, $cwd);
}

# A call that gives or takes a name.
sub apply_name
{
	my ($self, $call, $args, $cwd) = @_;
	my ($from, $to);

	if ($call =~ /^(?:mkdir|unlink|rmdir)(at)?$/)
	{
		my $path = path_of($cwd, $1 ? @$args[ 0, 1 ] : (undef, $args->[0]));
		my $id = $call =~ /^mkdir/ ? $self->node(dir => 1, base => {}, now => {}, pending => []) : undef;

		return unless $self->resolve($path);
		$self->set($path, $id);
		return 1;
	}
	return unless $call =~ /^(?:rename|link)(at2?)?$/;
	if ($1)
	{
		$from = path_of($cwd, @$args[ 0, 1 ]);
		$to = path_of($cwd, @$args[ 2, 3 ]);
	}
	else
	{
		($from, $to) = map { path_of($cwd, undef, $_) } @$args[ 0, 1 ];
	}
	my $id = $self->lookup($from) // return;
	my $other = ($args->[4] // '') =~ /EXCHANGE/ ? $self->lookup($to) : undef;

	$self->set($to, $id);
	$self->set($from, $other) unless $call =~ /^link/;
	return 1;
}

# --- the states ------------------------------------------------------------

# What is not certain now, as [kind, node, place]: changes of directories that
# can be seen, and files that are or may be named there.
sub units
{
	my ($self) = @_;
	my (@named, @noise, %seen);
	my $walk;

	$walk = sub {
		my ($id, $prefix) = @_;
		my $node = $self->{nodes}[$id];
		my %below = (%{ $node->{base} }, %{ $node->{now} });

		foreach my $place (0 .. $#{ $node->{pending} })
		{
			my ($name, $to) = @{ $node->{pending}[$place] };

			$below{$name} //= $to if defined $to;
			push @{ "$prefix$name" =~ $unpromised ? \@noise : \@named }, [ 'name', $id, $place ];
		}
		foreach my $name (sort keys %below)
		{
			my $to = $below{$name};

			next if !defined $to || $seen{$to}++;
			my $file = $self->{nodes}[$to];
			if ($file->{dir}) { $walk->($to, "$prefix$name/"); }
			elsif ($file->{base} ne $file->{now})
			{
				push @{ "$prefix$name" =~ $unpromised ? \@noise : \@named }, [ 'bytes', $to ];
			}
		}
	};
	$walk->($self->{top}{$_}, '') foreach @{ $self->{roots} };
	return (\@named, \@noise);
}

# The choices at this moment, each a hash of units that reached the disk: all
# combinations of up to $most units, else none, all, each alone, all but each,
# and some at random.
sub choices
{
	my ($self, $most, $random) = @_;
	my ($named, $noise) = $self->units;
	my $count = @$named;
	my @sets;

	if ($count <= $most)
	{
		foreach my $mask (0 .. 2**$count - 1)
		{
			push @sets, [ map { $mask >> $_ & 1 } 0 .. $count - 1 ];
		}
	}
	else
	{
		push @sets, [ (0) x $count ], [ (1) x $count ];
		foreach my $one (0 .. $count - 1)
		{
			push @sets, [ map { $_ == $one ? 1 : 0 } 0 .. $count - 1 ],
			  [ map { $_ == $one ? 0 : 1 } 0 .. $count - 1 ];
		}
		push @sets, [ map { int rand 2 } 1 .. $count ] foreach 1 .. $random;
	}
	return map {
		my @set = @$_;
		my %chosen;

		$chosen{"@{ $named->[$_] }"} = $set[$_] foreach 0 .. $#set;
		$chosen{"@$_"} = int rand 2 foreach @$noise;
		\%chosen;
	} @sets;
}

# The bytes of a file that was not synced, if they did not all reach the disk.
sub lost
{
	my ($base, $now) = @_;
	my $sector = length $now > 8192 ? 4096 : 512;
	my $half = int(length($now) / 2 / $sector) * $sector;

	return ($base, substr($now, 0, $half), "\0" x length $now)[ int rand 3 ];
}

# What lies below a root, path to the key of its bytes (undef: a directory).
sub tree
{
	my ($self, $root, $chosen) = @_;
	my (%tree, $walk);

	$walk = sub {
		my ($id, $prefix) = @_;
		my $node = $self->{nodes}[$id];
		my %entries = %{ $node->{base} };

		foreach my $place (0 .. $#{ $node->{pending} })
		{
			my ($name, $to) = @{ $node->{pending}[$place] };

			next unless $chosen->{"name $id $place"};
			defined $to ? $entries{$name} = $to : delete $entries{$name};
		}
		foreach my $name (keys %entries)
		{
			my $file = $self->{nodes}[ $entries{$name} ];

			if ($file->{dir})
			{
				$tree{"$prefix$name"} = undef;
				$walk->($entries{$name}, "$prefix$name/");
				next;
			}
			$tree{"$prefix$name"} =
			  ($chosen->{"bytes $entries{$name}"} // 0) || $file->{base} eq $file->{now}
			  ? $self->key_of_bytes($entries{$name}, 'now')
			  : keep_bytes(lost($file->{base}, $file->{now}));
		}
	};
	$walk->($self->{top}{$root}, '');
	return \%tree;
}

# The same tree has the same key.
sub key_of
{
	my ($tree) = @_;

	return md5_hex(join "\0", map { "$_=" . ($tree->{$_} // '') } sort keys %$tree);
}

# Make such a tree in an empty directory.
sub build
{
	my ($tree, $dir) = @_;

	foreach my $path (sort keys %$tree)
	{
		if (!defined $tree->{$path})
		{
			mkdir "$dir/$path", 0700 or die "could not create \"$dir/$path\": $!";
		}
		else
		{
			write_binary("$dir/$path", bytes($tree->{$path}));
			chmod 0600, "$dir/$path";
		}
	}
	return;
}

1;
