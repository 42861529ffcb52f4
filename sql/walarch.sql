-- The SQL objects of walarch: what there is, who may use it, and what the
-- settings accept. Nothing is archived here; the library is not preloaded.
CREATE EXTENSION walarch;
SELECT extversion, extnamespace::regnamespace AS schema, extrelocatable
FROM pg_extension WHERE extname = 'walarch';
SELECT pg_describe_object(classid, objid, 0) AS object
FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND classid <> 'pg_type'::regclass
    AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'walarch')
ORDER BY pg_describe_object(classid, objid, 0) COLLATE "C";

-- the columns others rely on, in their order
SELECT attnum, attname, format_type(atttypid, atttypmod) AS type
FROM pg_attribute
WHERE attrelid = 'walarch.status'::regclass AND attnum > 0 AND NOT attisdropped
ORDER BY attnum;

SELECT attrelid::regclass AS view, attname, format_type(atttypid, atttypmod) AS type
FROM pg_attribute
WHERE attrelid = ANY ('{walarch.ranges, walarch.gaps, walarch.backups,
	walarch.recovery_window, walarch.recovery_progress}'::regclass[]) AND attnum > 0
ORDER BY attrelid::regclass::text COLLATE "C", attnum;

-- everything is documented
SELECT attrelid::regclass AS view, attname AS column_without_comment
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
WHERE c.relnamespace = 'walarch'::regnamespace AND c.relkind = 'v'
  AND attnum > 0 AND NOT attisdropped
  AND col_description(attrelid, attnum) IS NULL;
SELECT p.oid::regprocedure AS function_without_comment
FROM pg_proc AS p
WHERE p.pronamespace = 'walarch'::regnamespace
  AND obj_description(p.oid, 'pg_proc') IS NULL;
SELECT c.oid::regclass AS relation_without_comment
FROM pg_class AS c
WHERE c.relnamespace = 'walarch'::regnamespace
  AND obj_description(c.oid, 'pg_class') IS NULL;
SELECT obj_description('walarch'::regnamespace, 'pg_namespace') IS NOT NULL
	AS schema_has_comment;

-- no function is more than it need be
SELECT p.oid::regprocedure AS function, p.prosecdef AS security_definer,
	p.provolatile AS volatility, p.proparallel AS parallel
FROM pg_proc AS p
WHERE p.pronamespace = 'walarch'::regnamespace
ORDER BY p.oid::regprocedure::text COLLATE "C";

-- one row, also where archiving is off
SELECT state, state_detail, archive, archived_count, failed_count,
	consecutive_failures, last_archived_wal, last_error, compression_ratio,
	backlog_files, oldest_waiting_age, stats_since
FROM walarch.status;
SELECT walarch.reset_status();

SELECT check_name, ok, hint FROM walarch.check_setup();

-- the settings
SELECT name, setting, unit, context, vartype, min_val, max_val, boot_val, short_desc
FROM pg_settings
WHERE name LIKE 'walarch.%'
ORDER BY name;
SET walarch.workers = 3;
SET walarch.archive = '/somewhere';
ALTER SYSTEM SET walarch.compression_level = 20;
ALTER SYSTEM SET walarch.compression_level = -8;
ALTER SYSTEM SET walarch.workers = 0;
ALTER SYSTEM SET walarch.workers = 33;
-- (the words differ between versions)
\set VERBOSITY sqlstate
ALTER SYSTEM SET walarch.timeout = '999ms';
ALTER SYSTEM SET walarch.timeout = '25h';
\set VERBOSITY default
ALTER SYSTEM SET walarch.archive = 'relative/directory';
ALTER SYSTEM SET walarch.archive = '/one,/two';
ALTER SYSTEM SET walarch.archive = 's3://bucket/archive';
ALTER SYSTEM SET walarch.archive = E'/a\nb';
SET walarch.no_such_setting = 1;
SELECT current_setting('walarch.workers') AS workers_still;

-- privileges: an ordinary role sees and does nothing
CREATE ROLE regress_walarch_nobody;
SET ROLE regress_walarch_nobody;
SELECT state FROM walarch.status;
SELECT state FROM walarch.status_record();
SELECT walarch.reset_status();
SELECT count(*) FROM walarch.check_setup();
RESET ROLE;

-- also when it may look into the schema
GRANT USAGE ON SCHEMA walarch TO regress_walarch_nobody;
SET ROLE regress_walarch_nobody;
SELECT state FROM walarch.status;
SELECT state FROM walarch.status_record();
SELECT walarch.reset_status();
SELECT count(*) FROM walarch.check_setup();
RESET ROLE;

-- pg_monitor reads, and changes nothing
CREATE ROLE regress_walarch_monitor IN ROLE pg_monitor;
SET ROLE regress_walarch_monitor;
SELECT state FROM walarch.status;
SELECT count(*) > 0 AS checked FROM walarch.check_setup();
SELECT walarch.reset_status();
RESET ROLE;

-- unless it is granted
GRANT EXECUTE ON FUNCTION walarch.reset_status() TO regress_walarch_monitor;
SET ROLE regress_walarch_monitor;
SELECT walarch.reset_status();
RESET ROLE;

-- all of it belongs to the extension and goes with it, and can come back; the
-- schema stays, as any that CREATE EXTENSION has made
REVOKE USAGE ON SCHEMA walarch FROM regress_walarch_nobody;
DROP EXTENSION walarch;
SELECT count(*) AS left_behind FROM pg_depend
WHERE refclassid = 'pg_namespace'::regclass AND refobjid = 'walarch'::regnamespace;
CREATE EXTENSION walarch;
DROP EXTENSION walarch;
DROP SCHEMA walarch;
DROP ROLE regress_walarch_nobody;
DROP ROLE regress_walarch_monitor;
