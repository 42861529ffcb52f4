/* walarch--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION walarch" to load this file. \quit

-- The schema may be there already, as when a dump is restored. Whoever may
-- create in it could have put operators and functions in the way of ours.
DO $$
BEGIN
	IF EXISTS (
		SELECT FROM pg_catalog.pg_namespace AS n
		JOIN pg_catalog.pg_roles AS r ON r.oid = n.nspowner
		WHERE n.nspname = 'walarch'
		AND (NOT r.rolsuper
			OR EXISTS (
				SELECT FROM pg_catalog.aclexplode(n.nspacl) AS a
				WHERE a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner)
			OR EXISTS (
				SELECT FROM pg_catalog.pg_depend AS d
				WHERE d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
				AND d.refobjid = n.oid
				AND d.classid <> 'pg_catalog.pg_extension'::pg_catalog.regclass)))
	THEN
		RAISE EXCEPTION 'schema "walarch" exists and is not an empty one of a superuser alone'
			USING ERRCODE = 'duplicate_schema',
				  HINT = 'Look what is in it, and remove it: DROP SCHEMA walarch.';
	END IF;
END
$$;

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
						/ NULLIF(s.stored_bytes, 0)::pg_catalog.numeric, 2) AS compression_ratio,
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

-- What the archive holds. Each of these looks into the archive directory from
-- a thread, gives up when it does not answer for walarch.timeout, and can be
-- cancelled.

CREATE FUNCTION ranges_record(
	OUT timeline bigint,
	OUT first_wal text,
	OUT last_wal text,
	OUT segments bigint,
	OUT start_lsn pg_lsn,
	OUT end_lsn pg_lsn,
	OUT earliest_time timestamptz,
	OUT latest_time timestamptz,
	OUT raw_bytes bigint,
	OUT stored_bytes bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'walarch_ranges'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION ranges_record() IS 'What the view walarch.ranges shows';

CREATE VIEW ranges AS SELECT * FROM walarch.ranges_record();

COMMENT ON VIEW ranges IS
'Unbroken rows of segments in the archive, one row each; looks into the archive directory';
COMMENT ON COLUMN ranges.timeline IS 'Timeline';
COMMENT ON COLUMN ranges.first_wal IS 'First segment';
COMMENT ON COLUMN ranges.last_wal IS 'Last segment';
COMMENT ON COLUMN ranges.segments IS 'How many there are';
COMMENT ON COLUMN ranges.start_lsn IS 'Where the first one begins';
COMMENT ON COLUMN ranges.end_lsn IS 'Where the last one ends';
COMMENT ON COLUMN ranges.earliest_time IS
'Earliest commit or abort in it; null when none is known';
COMMENT ON COLUMN ranges.latest_time IS
'Latest commit or abort in it; null when none is known';
COMMENT ON COLUMN ranges.raw_bytes IS 'Size of the segments in bytes';
COMMENT ON COLUMN ranges.stored_bytes IS 'Size in bytes in the archive';

CREATE FUNCTION gaps_record(
	OUT timeline bigint,
	OUT first_missing_wal text,
	OUT last_missing_wal text,
	OUT segments bigint,
	OUT start_lsn pg_lsn,
	OUT end_lsn pg_lsn,
	OUT waiting boolean,
	OUT affects_backups text[])
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'walarch_gaps'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION gaps_record() IS 'What the view walarch.gaps shows';

CREATE VIEW gaps AS SELECT * FROM walarch.gaps_record();

COMMENT ON VIEW gaps IS
'Segments that are missing between others of the same line of timelines, one row for each row of them; looks into the archive directory';
COMMENT ON COLUMN gaps.timeline IS 'Timeline';
COMMENT ON COLUMN gaps.first_missing_wal IS 'First segment that is missing';
COMMENT ON COLUMN gaps.last_missing_wal IS 'Last segment that is missing';
COMMENT ON COLUMN gaps.segments IS 'How many are missing';
COMMENT ON COLUMN gaps.start_lsn IS 'Where the first one begins';
COMMENT ON COLUMN gaps.end_lsn IS 'Where the last one ends';
COMMENT ON COLUMN gaps.waiting IS
'They still wait in pg_wal of this server to be archived';
COMMENT ON COLUMN gaps.affects_backups IS
'Base backups that cannot be recovered past it; empty: it harms none that is known';

CREATE FUNCTION backups_record(
	OUT backup_id text,
	OUT source text,
	OUT label text,
	OUT timeline bigint,
	OUT start_lsn pg_lsn,
	OUT stop_lsn pg_lsn,
	OUT start_time timestamptz,
	OUT stop_time timestamptz,
	OUT start_wal text,
	OUT parent text,
	OUT bytes bigint,
	OUT usable boolean,
	OUT reason text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'walarch_backups'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION backups_record() IS 'What the view walarch.backups shows';

CREATE VIEW backups AS SELECT * FROM walarch.backups_record();

COMMENT ON VIEW backups IS
'Base backups that the archive knows of; looks into the archive directory';
COMMENT ON COLUMN backups.backup_id IS 'Identifies the backup';
COMMENT ON COLUMN backups.source IS
'base: its data is in the archive; history: known from its backup history file only, its data lies elsewhere, if it still exists';
COMMENT ON COLUMN backups.label IS 'Label given when it was taken';
COMMENT ON COLUMN backups.timeline IS 'Timeline it was taken on';
COMMENT ON COLUMN backups.start_lsn IS 'WAL is needed from there';
COMMENT ON COLUMN backups.stop_lsn IS 'A recovery cannot end before';
COMMENT ON COLUMN backups.start_time IS
'When it began; null when the time zone in the file has no one meaning';
COMMENT ON COLUMN backups.stop_time IS 'When it ended; null likewise';
COMMENT ON COLUMN backups.start_wal IS 'First segment it needs';
COMMENT ON COLUMN backups.parent IS 'Backup it is incremental to';
COMMENT ON COLUMN backups.bytes IS 'Size in bytes of its data in the archive';
COMMENT ON COLUMN backups.usable IS
'All the WAL that the backup itself needs is in the archive; of one in base/ also its files, in their size, and the backups that it is incremental to';
COMMENT ON COLUMN backups.reason IS 'Why it is not usable, or what else is wrong with it';

CREATE FUNCTION recovery_window_record(
	OUT timeline bigint,
	OUT backup_id text,
	OUT earliest_lsn pg_lsn,
	OUT earliest_time timestamptz,
	OUT latest_lsn pg_lsn,
	OUT latest_time timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'walarch_recovery_window'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION recovery_window_record() IS
'What the view walarch.recovery_window shows';

CREATE VIEW recovery_window AS SELECT * FROM walarch.recovery_window_record();

COMMENT ON VIEW recovery_window IS
'To which points each usable backup can be recovered from the archive, a row for each timeline it reaches; looks into the archive directory';
COMMENT ON COLUMN recovery_window.timeline IS 'The recovery_target_timeline';
COMMENT ON COLUMN recovery_window.backup_id IS 'As in walarch.backups';
COMMENT ON COLUMN recovery_window.earliest_lsn IS 'Where the backup ended';
COMMENT ON COLUMN recovery_window.earliest_time IS 'When that was';
COMMENT ON COLUMN recovery_window.latest_lsn IS
'Where the last record ends that lies whole in the unbroken row of segments';
COMMENT ON COLUMN recovery_window.latest_time IS
'Latest commit or abort there';

CREATE FUNCTION segments(
	of_timeline bigint DEFAULT NULL,
	from_wal text DEFAULT NULL,
	to_wal text DEFAULT NULL,
	OUT name text,
	OUT kind text,
	OUT timeline bigint,
	OUT start_lsn pg_lsn,
	OUT raw_bytes bigint,
	OUT stored_bytes bigint,
	OUT archived_at timestamptz,
	OUT earliest_time timestamptz,
	OUT latest_time timestamptz,
	OUT restore_points text[],
	OUT damaged text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'walarch_segments'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION segments(bigint, text, text) IS
'Segments in the archive, of one timeline, from one to another; null: all. Reads the end of each object; damaged is what is known to be wrong with it';

CREATE FUNCTION verify(
	OUT object text,
	OUT severity text,
	OUT finding text,
	OUT consequence text,
	OUT hint text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'walarch_verify'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION verify() IS
'What is wrong with the archive by its names and the ends of its objects: a row per finding, with what it means and what to do. The command walarch verify unpacks everything, too';

CREATE FUNCTION retention_plan(
	OUT object text,
	OUT kind text,
	OUT bytes bigint,
	OUT action text,
	OUT reason text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'walarch_retention_plan'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION retention_plan() IS
'What the settings walarch.retention_* and the pins keep of the archive, what they let go of, and why; deletes nothing';

CREATE FUNCTION prune(
	apply boolean DEFAULT false,
	OUT object text,
	OUT kind text,
	OUT bytes bigint,
	OUT action text,
	OUT reason text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'walarch_prune'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;

COMMENT ON FUNCTION prune(boolean) IS
'The same rows as walarch.retention_plan(); with apply => true what they call "delete" is deleted, at once and for good, whatever becomes of the transaction';

CREATE FUNCTION pin(
	name text,
	lsn pg_lsn DEFAULT NULL,
	backup text DEFAULT NULL,
	at timestamptz DEFAULT NULL,
	restore_point text DEFAULT NULL,
	expires timestamptz DEFAULT NULL)
RETURNS pg_lsn
AS 'MODULE_PATHNAME', 'walarch_pin'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION pin(text, pg_lsn, text, timestamptz, text, timestamptz) IS
'Keep WAL in the archive whatever retention says: from an LSN on, what a backup needs, or what a recovery to a point in time or to a named restore point needs. Gives the LSN from which on all is kept; lasts whatever becomes of the transaction';

CREATE FUNCTION unpin(name text)
RETURNS void
AS 'MODULE_PATHNAME', 'walarch_unpin'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;

COMMENT ON FUNCTION unpin(text) IS
'End a pin; the next prune no longer sees it';

CREATE FUNCTION pins_record(
	OUT name text,
	OUT kind text,
	OUT value text,
	OUT keep_from pg_lsn,
	OUT created timestamptz,
	OUT expires timestamptz,
	OUT expired boolean,
	OUT by text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'walarch_pins'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION pins_record() IS 'What the view walarch.pins shows';

CREATE VIEW pins AS SELECT * FROM walarch.pins_record();

COMMENT ON VIEW pins IS
'What must stay in the archive, whatever retention says: a row per pin';
COMMENT ON COLUMN pins.name IS 'Name of the file in pins/';
COMMENT ON COLUMN pins.kind IS 'lsn, backup, time or restore-point';
COMMENT ON COLUMN pins.value IS 'What was pinned, as it was given';
COMMENT ON COLUMN pins.keep_from IS
'All WAL from there on is kept, on every timeline';
COMMENT ON COLUMN pins.created IS 'When it was made';
COMMENT ON COLUMN pins.expires IS 'When it ends; null: never';
COMMENT ON COLUMN pins.expired IS 'It has ended and holds nothing any more';
COMMENT ON COLUMN pins.by IS
'Who made it: a role, or a user of the operating system';

CREATE FUNCTION recovery_progress_record(
	OUT in_recovery boolean,
	OUT replay_lsn pg_lsn,
	OUT replay_time timestamptz,
	OUT target text,
	OUT archive_end_lsn pg_lsn,
	OUT archive_end_time timestamptz,
	OUT remaining_bytes bigint,
	OUT bytes_per_second bigint)
RETURNS record
AS 'MODULE_PATHNAME', 'walarch_recovery_progress'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION recovery_progress_record() IS
'What the view walarch.recovery_progress shows';

CREATE VIEW recovery_progress AS
SELECT p.*,
	   CASE WHEN p.bytes_per_second > 0
			THEN p.remaining_bytes::pg_catalog.float8
				 / p.bytes_per_second::pg_catalog.float8
				 * interval '1 second'
			WHEN p.remaining_bytes = 0 THEN interval '0'
	   END AS estimated_remaining
FROM walarch.recovery_progress_record() AS p;

COMMENT ON VIEW recovery_progress IS
'How far a server in recovery has replayed, and what the archive that it restores from still has; looks into the archive directory';
COMMENT ON COLUMN recovery_progress.in_recovery IS
'False: everything else is null';
COMMENT ON COLUMN recovery_progress.replay_lsn IS 'Replayed up to there';
COMMENT ON COLUMN recovery_progress.replay_time IS
'Time of the last transaction replayed';
COMMENT ON COLUMN recovery_progress.target IS
'The recovery target, if one is set';
COMMENT ON COLUMN recovery_progress.archive_end_lsn IS
'End of the unbroken row of segments that the archive has from there on; null when it has none';
COMMENT ON COLUMN recovery_progress.archive_end_time IS
'Latest commit or abort in the last of these segments';
COMMENT ON COLUMN recovery_progress.remaining_bytes IS
'WAL in bytes from replay_lsn to archive_end_lsn';
COMMENT ON COLUMN recovery_progress.bytes_per_second IS
'WAL replayed a second since this session last asked, or within half a second';
COMMENT ON COLUMN recovery_progress.estimated_remaining IS
'Time to the end of the archive at that rate; null while nothing is replayed';

-- Like PostgreSQL's own monitoring of archiving: for monitors, not for all.
REVOKE ALL ON FUNCTION status_record() FROM PUBLIC;
REVOKE ALL ON FUNCTION reset_status() FROM PUBLIC;
REVOKE ALL ON FUNCTION check_setup() FROM PUBLIC;
REVOKE ALL ON status FROM PUBLIC;
REVOKE ALL ON FUNCTION ranges_record() FROM PUBLIC;
REVOKE ALL ON FUNCTION gaps_record() FROM PUBLIC;
REVOKE ALL ON FUNCTION backups_record() FROM PUBLIC;
REVOKE ALL ON FUNCTION recovery_window_record() FROM PUBLIC;
REVOKE ALL ON FUNCTION segments(bigint, text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION verify() FROM PUBLIC;
REVOKE ALL ON FUNCTION recovery_progress_record() FROM PUBLIC;
REVOKE ALL ON FUNCTION retention_plan() FROM PUBLIC;
REVOKE ALL ON FUNCTION prune(boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION pin(text, pg_lsn, text, timestamptz, text, timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION unpin(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION pins_record() FROM PUBLIC;
REVOKE ALL ON ranges, gaps, backups, recovery_window, recovery_progress, pins FROM PUBLIC;
GRANT USAGE ON SCHEMA walarch TO pg_monitor;
GRANT EXECUTE ON FUNCTION status_record() TO pg_monitor;
GRANT EXECUTE ON FUNCTION check_setup() TO pg_monitor;
GRANT EXECUTE ON FUNCTION ranges_record() TO pg_monitor;
GRANT EXECUTE ON FUNCTION gaps_record() TO pg_monitor;
GRANT EXECUTE ON FUNCTION backups_record() TO pg_monitor;
GRANT EXECUTE ON FUNCTION recovery_window_record() TO pg_monitor;
GRANT EXECUTE ON FUNCTION segments(bigint, text, text) TO pg_monitor;
GRANT EXECUTE ON FUNCTION verify() TO pg_monitor;
GRANT EXECUTE ON FUNCTION recovery_progress_record() TO pg_monitor;
GRANT EXECUTE ON FUNCTION retention_plan() TO pg_monitor;
GRANT EXECUTE ON FUNCTION pins_record() TO pg_monitor;
GRANT SELECT ON status, ranges, gaps, backups, recovery_window, recovery_progress, pins TO pg_monitor;
