/* walarch--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION walarch" to load this file. \quit

COMMENT ON SCHEMA walarch IS
'State and set-up of WAL archiving by walarch';

CREATE FUNCTION status_record(
	OUT state text,
	OUT state_detail text,
	OUT archive text,
	OUT archive_id text,
	OUT last_archived_wal text,
	OUT last_archived_time timestamptz,
	OUT archived_count bigint,
	OUT identical_count bigint,
	OUT conflict_count bigint,
	OUT replaced_count bigint,
	OUT damaged_source_count bigint,
	OUT failed_count bigint,
	OUT consecutive_failures bigint,
	OUT last_failed_wal text,
	OUT last_failed_time timestamptz,
	OUT last_error text,
	OUT last_error_sqlstate text,
	OUT last_damaged_wal text,
	OUT last_damaged_time timestamptz,
	OUT last_damage text,
	OUT backlog_files bigint,
	OUT backlog_bytes bigint,
	OUT oldest_waiting_wal text,
	OUT oldest_waiting_time timestamptz,
	OUT raw_bytes bigint,
	OUT stored_bytes bigint,
	OUT read_ms bigint,
	OUT compress_ms bigint,
	OUT store_ms bigint,
	OUT compression_level integer,
	OUT workers integer,
	OUT free_bytes bigint,
	OUT free_bytes_time timestamptz,
	OUT stats_since timestamptz)
RETURNS record
AS 'MODULE_PATHNAME', 'walarch_status'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION status_record() IS
'What the view walarch.status shows; reads local files only';

CREATE VIEW status AS
SELECT s.state,
	   s.state_detail,
	   s.archive,
	   s.archive_id,
	   (SELECT a.pid FROM pg_catalog.pg_stat_activity AS a
		WHERE a.backend_type = 'archiver') AS archiver_pid,
	   s.last_archived_wal,
	   s.last_archived_time,
	   s.archived_count,
	   s.identical_count,
	   s.conflict_count,
	   s.replaced_count,
	   s.damaged_source_count,
	   s.failed_count,
	   s.consecutive_failures,
	   s.last_failed_wal,
	   s.last_failed_time,
	   s.last_error,
	   s.last_error_sqlstate,
	   s.last_damaged_wal,
	   s.last_damaged_time,
	   s.last_damage,
	   s.backlog_files,
	   s.backlog_bytes,
	   s.oldest_waiting_wal,
	   pg_catalog.clock_timestamp() - s.oldest_waiting_time
		   AS oldest_waiting_age,
	   s.raw_bytes,
	   s.stored_bytes,
	   pg_catalog.round(s.raw_bytes::pg_catalog.numeric
						/ NULLIF(s.stored_bytes, 0), 2) AS compression_ratio,
	   s.read_ms,
	   s.compress_ms,
	   s.store_ms,
	   s.compression_level,
	   s.workers,
	   s.free_bytes,
	   s.free_bytes_time,
	   s.stats_since
FROM walarch.status_record() AS s;

COMMENT ON VIEW status IS
'Archiving by walarch on this server, one row; never touches the archive directory';
COMMENT ON COLUMN status.state IS
'off, unconfigured, ok, behind (the oldest file waits for more than a minute) or failing (the last attempt failed)';
COMMENT ON COLUMN status.state_detail IS 'Why, unless the state is ok';
COMMENT ON COLUMN status.archive IS 'Setting walarch.archive';
COMMENT ON COLUMN status.archive_id IS
'Random id in the marker archive.id of that directory, as last seen by the archiver';
COMMENT ON COLUMN status.archiver_pid IS
'Process id of the archiver; null when none runs';
COMMENT ON COLUMN status.last_archived_wal IS 'Last file archived';
COMMENT ON COLUMN status.last_archived_time IS 'When that was';
COMMENT ON COLUMN status.archived_count IS
'Files acknowledged to PostgreSQL, whatever had to be done for them';
COMMENT ON COLUMN status.identical_count IS
'Of these, files that the archive held already, with all their records';
COMMENT ON COLUMN status.conflict_count IS
'Failed attempts because the archive has different content under the name';
COMMENT ON COLUMN status.replaced_count IS
'Of the archived files, those that replaced a damaged or incomplete object, which is kept in damaged/';
COMMENT ON COLUMN status.damaged_source_count IS
'Of the archived files, those that were damaged already in pg_wal';
COMMENT ON COLUMN status.failed_count IS 'Failed attempts';
COMMENT ON COLUMN status.consecutive_failures IS
'Failed attempts since the last success; not touched by reset_status()';
COMMENT ON COLUMN status.last_failed_wal IS 'File of the last failed attempt';
COMMENT ON COLUMN status.last_failed_time IS 'When that was';
COMMENT ON COLUMN status.last_error IS 'Its message';
COMMENT ON COLUMN status.last_error_sqlstate IS
'Its cause as an SQLSTATE: 53100 disk full, 58030 I/O error, 42501 no permission, 58P01 no directory, 55000 no marker or another cluster''s, 58P02 conflict, 58000 storage does not answer';
COMMENT ON COLUMN status.last_damaged_wal IS
'Last file that was archived although it is damaged in pg_wal, or ends in the middle of a record; recovery cannot pass it';
COMMENT ON COLUMN status.last_damaged_time IS 'When that was';
COMMENT ON COLUMN status.last_damage IS 'Where in it, and what is wrong there';
COMMENT ON COLUMN status.backlog_files IS
'Files in pg_wal that wait to be archived (.ready)';
COMMENT ON COLUMN status.backlog_bytes IS 'Their size in bytes';
COMMENT ON COLUMN status.oldest_waiting_wal IS 'The next one in PostgreSQL''s order';
COMMENT ON COLUMN status.oldest_waiting_age IS 'How long it has waited';
COMMENT ON COLUMN status.raw_bytes IS
'Size in bytes, before compression, of the files stored';
COMMENT ON COLUMN status.stored_bytes IS 'Size in bytes in the archive';
COMMENT ON COLUMN status.compression_ratio IS 'raw_bytes / stored_bytes';
COMMENT ON COLUMN status.read_ms IS
'Time workers spent reading pg_wal, in milliseconds, summed over files';
COMMENT ON COLUMN status.compress_ms IS
'Time workers spent compressing, in milliseconds';
COMMENT ON COLUMN status.store_ms IS
'Time workers spent looking up, writing, syncing and publishing in the archive, in milliseconds';
COMMENT ON COLUMN status.compression_level IS
'zstd level of the last file stored: walarch.catchup_level while a backlog waits';
COMMENT ON COLUMN status.workers IS 'walarch.workers in use for the last file';
COMMENT ON COLUMN status.free_bytes IS
'Free space of the archive''s file system in bytes, as a worker last saw it';
COMMENT ON COLUMN status.free_bytes_time IS 'When that was';
COMMENT ON COLUMN status.stats_since IS
'When counting began: first start, or the last reset_status()';

CREATE FUNCTION reset_status()
RETURNS void
AS 'MODULE_PATHNAME', 'walarch_reset_status'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;

COMMENT ON FUNCTION reset_status() IS
'Set the counters of walarch.status to zero';

CREATE FUNCTION check_setup(
	OUT check_name text,
	OUT ok boolean,
	OUT detail text,
	OUT hint text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'walarch_check_setup'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION check_setup() IS
'Look over the set-up of archiving: a row per check, and what to do where it is not ok; looks at the archive directory, for 10 seconds at most';

-- Like PostgreSQL's own monitoring of archiving: for monitors, not for all.
REVOKE ALL ON FUNCTION status_record() FROM PUBLIC;
REVOKE ALL ON FUNCTION reset_status() FROM PUBLIC;
REVOKE ALL ON FUNCTION check_setup() FROM PUBLIC;
REVOKE ALL ON status FROM PUBLIC;
GRANT USAGE ON SCHEMA walarch TO pg_monitor;
GRANT EXECUTE ON FUNCTION status_record() TO pg_monitor;
GRANT EXECUTE ON FUNCTION check_setup() TO pg_monitor;
GRANT SELECT ON status TO pg_monitor;
