# What others can do who may log in to the database: a schema made beforehand, a
# search path with their functions and operators, sessions that set what they may
# not; what each role may and what it is told; and that no password is written down.

use strict;
use warnings;

use lib 't/lib';

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Standby;
use Test::More;
use WalArch;

my $primary = small_primary('primary');
my $archive = archive_dir($primary);
my $base = $primary->basedir;
my @connection = ('--host', $primary->host, '--port', $primary->port);

sub walarch
{
	my ($status, $stdout, $stderr) = run_in('/', $ENV{WALARCH_BIN}, @_);
	return { status => $status, stdout => $stdout, stderr => $stderr };
}

# In a database, with settings: (exit status, output, error).
sub psql
{
	my ($database, $sql, @set) = @_;
	my ($stdout, $stderr) = ('', '');

	local $ENV{PGOPTIONS} = join ' ', map { "-c $_" } @set;
	my $status = $primary->psql($database, $sql, stdout => \$stdout, stderr => \$stderr);
	return ($status, $stdout, $stderr);
}

sub as { my ($role, $sql, @set) = @_; return psql('postgres', "SET SESSION AUTHORIZATION $role; $sql", @set); }

$primary->safe_psql('postgres', 'CREATE ROLE mallory LOGIN; CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher');
my @wal = map { mark($primary, "mark$_"); switch_and_archive($primary) } 1 .. 3;

# ---- a schema that was there before ----------------------------------------------------

my $evil_operator = 'CREATE FUNCTION evil_division(numeric, bigint) RETURNS numeric LANGUAGE sql AS $$ SELECT 1.0 $$;'
  . 'CREATE OPERATOR walarch./ (LEFTARG = numeric, RIGHTARG = bigint, FUNCTION = evil_division);';
foreach my $case (
	[ 'of somebody else', 'CREATE SCHEMA walarch AUTHORIZATION mallory' ],
	[ 'in which somebody else may create', 'CREATE SCHEMA walarch; GRANT CREATE ON SCHEMA walarch TO mallory' ],
	[ 'in which anybody may create', 'CREATE SCHEMA walarch; GRANT CREATE ON SCHEMA walarch TO PUBLIC' ],
	[ 'with an operator in it', "CREATE SCHEMA walarch; $evil_operator" ])
{
	my ($what, $sql) = @$case;

	$primary->safe_psql('postgres', 'CREATE DATABASE early');
	$primary->safe_psql('early', $sql);
	my ($status, $stdout, $stderr) = psql('early', 'CREATE EXTENSION walarch');
	isnt($status, 0, "a schema walarch $what: no extension is made");
	like($stderr, qr/schema "walarch" exists and is not an empty one of a superuser alone\nHINT:  .*DROP SCHEMA/, 'and why');
	$primary->safe_psql('postgres', 'DROP DATABASE early');
}
$primary->safe_psql('postgres', 'CREATE DATABASE early');
$primary->safe_psql('early', 'CREATE SCHEMA walarch; CREATE EXTENSION walarch SCHEMA walarch');
is($primary->safe_psql('early', 'SELECT state FROM walarch.status'), 'ok', 'an empty one of a superuser serves, as when a dump is restored');

# an object of the extension's name elsewhere on the path
$primary->safe_psql('early', 'DROP EXTENSION walarch; DROP SCHEMA walarch');
$primary->safe_psql('early', 'CREATE FUNCTION public.status_record() RETURNS int LANGUAGE sql AS $$ SELECT 666 $$');
$primary->safe_psql('early', 'CREATE EXTENSION walarch');
is($primary->safe_psql('early', "SELECT count(*) FROM pg_depend WHERE objid = 'public.status_record()'::regprocedure AND deptype = 'e'"),
	'0', 'what lies in public is not made a part of it');
is($primary->safe_psql('early', 'SELECT state FROM walarch.status'), 'ok', 'nor used');
$primary->safe_psql('postgres', 'DROP DATABASE early');

# ---- a search path with something else before pg_catalog ---------------------------------

# Whoever calls one of these fails.
$primary->safe_psql('postgres', <<'SQL');
CREATE SCHEMA evil AUTHORIZATION mallory;
SET search_path = pg_catalog;
CREATE FUNCTION evil.trap() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'caught as %', current_user; END $$;
DO $do$
DECLARE it record;
BEGIN
	FOR it IN SELECT DISTINCT ON (p.proname, pg_get_function_identity_arguments(p.oid)) p.proname,
			pg_get_function_identity_arguments(p.oid) AS args, format_type(p.prorettype, NULL) AS result, p.proretset
		FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f'
		AND p.proname IN ('lower', 'current_setting', 'set_config', 'pg_is_in_recovery', 'pg_current_wal_lsn',
			'pg_last_wal_replay_lsn', 'pg_database_size', 'pg_size_pretty', 'round', 'clock_timestamp',
			'format', 'numeric', 'float8', 'int8', 'to_regprocedure', 'pg_last_xact_replay_timestamp', 'date_part', 'extract')
		AND NOT p.proretset AND p.prorettype <> 'internal'::regtype AND NOT 'internal'::regtype = ANY (p.proargtypes::oid[])
		AND p.provariadic = 0
	LOOP
		EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS '
			'$f$ BEGIN RAISE EXCEPTION ''caught as %%'', current_user; END $f$', it.proname, it.args, it.result);
	END LOOP;
	FOR it IN SELECT o.oprname, format_type(o.oprleft, NULL) AS l, format_type(o.oprright, NULL) AS r, format_type(o.oprresult, NULL) AS result,
			row_number() OVER () AS n
		FROM pg_operator o WHERE o.oprname IN ('=', '<>', '<', '>', '*', '/', '-', '||') AND o.oprleft <> 0
		AND o.oprleft = ANY (ARRAY['text', 'name', 'oid', 'int4', 'int8', 'numeric', 'float8', 'timestamptz', 'char', 'interval', 'bool', 'pg_lsn']::regtype[])
		AND o.oprright = ANY (ARRAY['text', 'name', 'oid', 'int4', 'int8', 'numeric', 'float8', 'timestamptz', 'char', 'interval', 'bool', 'pg_lsn']::regtype[])
	LOOP
		EXECUTE format('CREATE FUNCTION evil.op%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS '
			'$f$ BEGIN RAISE EXCEPTION ''caught as %%'', current_user; END $f$', it.n, it.l, it.r, it.result);
		EXECUTE format('CREATE OPERATOR evil.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = evil.op%s)', it.oprname, it.l, it.r, it.n);
	END LOOP;
	-- those that PostgreSQL itself would make of others by a cast
	CREATE FUNCTION evil.mixed1(numeric, bigint) RETURNS numeric LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''caught as %'', current_user; END';
	CREATE FUNCTION evil.mixed2(float8, bigint) RETURNS float8 LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''caught as %'', current_user; END';
	CREATE OPERATOR evil./ (LEFTARG = numeric, RIGHTARG = bigint, FUNCTION = evil.mixed1);
	CREATE OPERATOR evil./ (LEFTARG = float8, RIGHTARG = bigint, FUNCTION = evil.mixed2);
	CREATE VIEW evil.pg_stat_activity AS SELECT evil.trap() AS pid, 'archiver'::text AS backend_type;
	CREATE VIEW evil.pg_database AS SELECT evil.trap() AS oid, 'x'::name AS datname, true AS datallowconn;
END
$do$;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
SQL

my @set = ('search_path=evil,pg_catalog,public');
my ($status, $stdout, $stderr) = psql('postgres', "SELECT lower('X')", @set);
like($stderr, qr/caught as/, 'the trap works');
($status, $stdout, $stderr) = psql('postgres', 'SELECT 1 = 1', @set);
like($stderr, qr/caught as/, 'that of operators, too');
my @views = split /\n/, $primary->safe_psql('postgres',
	"SELECT relname FROM pg_class WHERE relnamespace = 'walarch'::regnamespace AND relkind = 'v' ORDER BY 1");
cmp_ok(scalar @views, '>=', 7, 'there are views');
foreach my $from (map({ "walarch.$_" } @views), 'walarch.check_setup()', 'walarch.segments()', 'walarch.verify()',
	'walarch.retention_plan()', 'walarch.prune()', 'walarch.prune(true)', "walarch.pin('held', '0/1000000'::pg_lsn)",
	"walarch.unpin('held')", 'walarch.reset_status()')
{
	($status, $stdout, $stderr) = psql('postgres', "SELECT * FROM $from", @set);
	is("$status $stderr", '0 ', "$from steps into no trap");
}

# what the command asks: the path comes with the database, where it counts for all
$primary->safe_psql('postgres', 'ALTER DATABASE postgres SET search_path = evil, pg_catalog, public');
set_conf($primary, 'walarch.retention_window', '30d');
set_conf($primary, 'walarch.auto_prune', 'on');
my $path = 'SET search_path = pg_catalog, public; ';
my $run = walarch('backup', '--archive', $archive, @connection, '--checkpoint', 'fast');
is($run->{status}, 0, 'walarch backup, with walarch.auto_prune, steps into none') or diag($run->{stderr});
unlike($run->{stderr}, qr/caught/, 'and says nothing of any');
$run = walarch('prune', '--archive', $archive, @connection);
is("$run->{status} $run->{stderr}", '0 ', 'walarch prune by the settings of the server');
my $short = "/tmp/wahost.$$";
mkdir $short, 0700 or die $!;
my $conninfo = 'dbname=postgres host=' . $primary->host . ' port=' . $primary->port;
my $drill = walarch('drill', '--archive', $archive, '--scratch', $short, '--json', '--no-report', '--primary', $conninfo);
is($drill->{status}, 0, 'walarch drill') or diag($drill->{stdout}, $drill->{stderr});
unlike($drill->{stdout} . $drill->{stderr}, qr/caught/, 'in the copy, and at the primary');

# a database without the extension, and with a schema that looks like it
$primary->safe_psql('postgres', "$path CREATE DATABASE other");
$primary->safe_psql('other', 'CREATE SCHEMA walarch AUTHORIZATION mallory;'
	. 'CREATE FUNCTION walarch.check_setup(OUT check_name text, OUT ok bool, OUT detail text) LANGUAGE plpgsql AS '
	. '$$ BEGIN RAISE EXCEPTION \'caught as %\', current_user; END $$');
$run = walarch('prune', '--archive', $archive, @connection, '--dbname', 'other');
isnt($run->{status}, 0, 'a database with a schema that looks like ours');
like($run->{stderr}, qr/the extension walarch is not installed in that database/, 'is asked nothing');
unlike($run->{stderr}, qr/caught/, 'and its functions are not run');
$primary->safe_psql('postgres', "$path ALTER DATABASE postgres RESET search_path");

# ---- who may what ------------------------------------------------------------------------

is($primary->safe_psql('postgres', "SELECT count(*) FROM pg_proc WHERE pronamespace = 'walarch'::regnamespace AND prosecdef"),
	'0', 'no function runs with the rights of another role');
is($primary->safe_psql('postgres', "SELECT string_agg(oid::regprocedure::text, ' ') FROM pg_proc "
	. "WHERE pronamespace = 'walarch'::regnamespace AND has_function_privilege('mallory', oid, 'EXECUTE')"),
	'', 'a role without rights may call none');
is($primary->safe_psql('postgres', "SELECT string_agg(proname, ' ' ORDER BY proname) FROM pg_proc "
	. "WHERE pronamespace = 'walarch'::regnamespace AND NOT has_function_privilege('watcher', oid, 'EXECUTE')"),
	'pin prune reset_status unpin', 'a monitor may call all but those that change something');
foreach my $from (map({ "walarch.$_" } @views), 'walarch.segments()', 'walarch.check_setup()')
{
	($status, $stdout, $stderr) = as('mallory', "SELECT * FROM $from");
	is($stdout, '', "$from shows nothing to a role without rights");
	like($stderr, qr/permission denied for schema walarch/, 'and says no more');
	unlike($stderr, qr/\Q$archive\E/, 'not even where the archive is');
}

# what a session sets does not aim at another place
system_or_bail('cp', '-a', $archive, "$base/elsewhere");
unlink object_path("$base/elsewhere", $wal[1]) or die $!;
my $count = sub {
	my ($role, $sql, @how) = @_;
	($status, $stdout, $stderr) = as($role, "$sql SELECT count(*) FROM walarch.segments()", @how);
	return $stdout . ($stderr =~ /cannot be changed now.*ERROR:  walarch\.archive is not set/s ? 'not set' : '');
};
my $all = $count->('watcher', '');
cmp_ok($all, '>=', 3, 'a monitor sees the segments');
is($count->('watcher', '', "walarch.archive=$base/elsewhere"), 'not set', 'another archive by PGOPTIONS: none is looked at');
is($count->('watcher', "SET walarch.archive = '$base/elsewhere';"), $all, 'nor is one that is set before the library is loaded');
$primary->safe_psql('postgres', "ALTER ROLE watcher SET walarch.archive = '$base/elsewhere'");
($status, $stdout, $stderr) = ('', '', '');
$primary->psql('postgres', 'SELECT count(*) FROM walarch.segments()', connstr => $primary->connstr('postgres') . ' user=watcher',
	stdout => \$stdout, stderr => \$stderr);
is($stdout, '', 'nor one that comes with the role');
like($stderr, qr/walarch\.archive is not set/, 'which is told that it has none');
$primary->safe_psql('postgres', 'ALTER ROLE watcher RESET walarch.archive');
($status, $stdout, $stderr) = as('watcher', "SELECT FROM walarch.status; SET walarch.archive = '$base/elsewhere'");
like($stderr, qr/cannot be changed now|permission denied/, 'and afterwards it cannot be set at all');
foreach my $word ('../../etc/passwd', '/etc/passwd', "$archive/archive.id", 'x/../y')
{
	($status, $stdout, $stderr) = psql('postgres', "SELECT walarch.pin('$word', '0/1000000')");
	isnt($status, 0, "a pin cannot be called \"$word\"");
	($status, $stdout, $stderr) = as('watcher', "SELECT count(*) FROM walarch.segments(NULL, '$word', NULL)");
	isnt($status, 0, 'nor can a segment');
}
is(join(' ', grep { !/^(?:held|pin)/ } slurp_dir("$archive/pins")), '. ..', 'and no file of such a name came to be');

# ---- passwords ---------------------------------------------------------------------------

my $secret = 'Xyzzy-' . int(rand 1e9) . '-plugh';
$primary->safe_psql('postgres', "CREATE ROLE taker LOGIN REPLICATION PASSWORD '$secret'; GRANT pg_monitor TO taker");
my $hba = slurp_file(data_file($primary, 'pg_hba.conf'));
write_binary(data_file($primary, 'pg_hba.conf'), "local all taker scram-sha-256\nlocal replication taker scram-sha-256\n$hba");
reload($primary);
my $where = 'host=' . $primary->host . ' port=' . $primary->port . ' user=taker';
my $said = '';
foreach my $case (
	[ 'a connection string', 0, {}, 'backup', '--archive', $archive, '--checkpoint', 'fast', '--dbname', "dbname=postgres $where password=$secret" ],
	[ 'PGPASSWORD', 0, { PGPASSWORD => $secret }, 'backup', '--archive', $archive, '--checkpoint', 'fast', '--json', '--dbname', "dbname=postgres $where" ],
	[ 'a wrong one', 1, {}, 'backup', '--archive', $archive, '--dbname', "dbname=postgres $where password=$secret-wrong" ],
	[ 'a URI that is none', 1, {}, 'backup', '--archive', $archive, '--dbname', "postgresql://taker:$secret\@[::1]x/postgres" ],
	[ 'a connection string that is none', 1, {}, 'backup', '--archive', $archive, '--dbname', "dbname=postgres password = '$secret" ],
	[ 'the primary of a drill', 0, {}, 'drill', '--archive', $archive, '--scratch', $short, '--primary', "dbname=postgres $where password=$secret" ],
	[ 'a primary that is not there', 1, {}, 'drill', '--archive', $archive, '--scratch', $short, '--primary', "dbname=postgres $where port=1 password=$secret" ],
	[ 'prune by the server', 0, { PGPASSWORD => $secret }, 'prune', '--archive', $archive, '--apply', '--dbname', "dbname=postgres $where" ])
{
	my ($what, $wanted, $environment, @words) = @$case;

	local %ENV = (%ENV, %$environment);
	$run = walarch(@words);
	is($run->{status}, $wanted, "a password by $what") or diag($run->{stderr});
	$said .= $run->{stdout} . $run->{stderr};
}
switch_and_archive($primary);
unlike($said, qr/\Q$secret\E/, 'no password is said');
is(qx{grep -rl -F -e '$secret' '$archive' '$short' '@{[ data_file($primary, 'walarch.known') ]}' '@{[ data_file($primary, 'pg_stat') ]}' 2>/dev/null}, '',
	'nor written into the archive, to files beside it, or into reports');
my @objects = grep { /\.zst$/ } map { "$archive/$_" } files_below($archive, 'wal'), files_below($archive, 'base');
# the statement that made the role is no business of walarch: PostgreSQL writes a verifier
is(scalar(grep { qx{zstd -dcq '$_' 2>/dev/null | grep -c -F -e '$secret'} > 0 } @objects), 0, 'nor is it in an object');
my $log = slurp_file($primary->logfile);
$log =~ s/^.*(?:CREATE ROLE taker|PASSWORD).*$//mg;
unlike($log, qr/\Q$secret\E/, 'nor in the log of the server');
rmdir $short;

done_testing();
