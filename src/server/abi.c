/*
 * abi.c
 *	  What the pure layers know of PostgreSQL's formats by number, compared
 *	  with the headers of the server that the module is compiled for.
 *
 * A pure file cannot include a header of the server, so it has offsets and
 * constants of its own.  A new major, or a beta, that changes one of them
 * does not compile here; otherwise WAL would silently be misread.  There is
 * no code: PostgreSQL itself refuses to load a module of another major.
 */
#include "server/compat.h"

#include "access/rmgr.h"
#include "access/xact.h"
#include "access/xlogrecord.h"
#include "catalog/pg_control.h"
#include "commands/tablespace.h"
#include "core/controlfile.h"
#include "core/controlfile_layout.h"
#include "core/walheader.h"
#include "core/walrecord.h"
#include "datatype/timestamp.h"

#define SAME(ours, theirs) \
	StaticAssertDecl((ours) == (theirs), #theirs " is not " #ours)
#define SAME_PLACE(ours, type, field) \
	StaticAssertDecl((ours) == offsetof(type, field), #field " has moved")

/* Pages: their magic number stands for the whole format. */
StaticAssertDecl(WALARCH_WAL_FORMATS(XLOG_PAGE_MAGIC),
				 "the format of WAL is not one that walarch knows");
SAME(WA_WALHEADER_BYTES, SizeOfXLogLongPHD);
SAME(WA_WALHEADER_SHORT_BYTES, SizeOfXLogShortPHD);
SAME_PLACE(WA_WALHEADER_MAGIC, XLogLongPageHeaderData, std.xlp_magic);
SAME_PLACE(WA_WALHEADER_INFO, XLogLongPageHeaderData, std.xlp_info);
SAME_PLACE(WA_WALHEADER_TLI, XLogLongPageHeaderData, std.xlp_tli);
SAME_PLACE(WA_WALHEADER_PAGEADDR, XLogLongPageHeaderData, std.xlp_pageaddr);
SAME_PLACE(WA_WALHEADER_REM_LEN, XLogLongPageHeaderData, std.xlp_rem_len);
SAME_PLACE(WA_WALHEADER_SYSID, XLogLongPageHeaderData, xlp_sysid);
SAME_PLACE(WA_WALHEADER_SEG_SIZE, XLogLongPageHeaderData, xlp_seg_size);
SAME_PLACE(WA_WALHEADER_BLCKSZ, XLogLongPageHeaderData, xlp_xlog_blcksz);
SAME(WA_XLP_CONTRECORD, XLP_FIRST_IS_CONTRECORD);
SAME(WA_XLP_LONG_HEADER, XLP_LONG_HEADER);
SAME(WA_XLP_OVERWRITE(XLOG_PAGE_MAGIC), XLP_FIRST_IS_OVERWRITE_CONTRECORD);
SAME(WA_XLP_ALL_FLAGS(XLOG_PAGE_MAGIC), XLP_ALL_FLAGS);

/* Records. */
SAME(WA_RECORD_HEADER_BYTES, SizeOfXLogRecord);
SAME_PLACE(WA_RECORD_LENGTH_AT, XLogRecord, xl_tot_len);
SAME_PLACE(WA_RECORD_XID_AT, XLogRecord, xl_xid);
SAME_PLACE(WA_RECORD_PREV_AT, XLogRecord, xl_prev);
SAME_PLACE(WA_RECORD_INFO_AT, XLogRecord, xl_info);
SAME_PLACE(WA_RECORD_MANAGER_AT, XLogRecord, xl_rmid);
SAME_PLACE(WA_RECORD_CRC_AT, XLogRecord, xl_crc);
#ifdef XLogRecordMaxSize
SAME(WA_RECORD_BYTES_MAX, XLogRecordMaxSize);
#endif
SAME(WA_ID_DATA_SHORT, XLR_BLOCK_ID_DATA_SHORT);
SAME(WA_ID_DATA_LONG, XLR_BLOCK_ID_DATA_LONG);
SAME(WA_ID_ORIGIN, XLR_BLOCK_ID_ORIGIN);
SAME(WA_ID_TOPLEVEL_XID, XLR_BLOCK_ID_TOPLEVEL_XID);

/* What kinds of records there are, and what those we read tell. */
SAME(WA_MANAGER_XLOG, RM_XLOG_ID);
SAME(WA_MANAGER_TRANSACTION, RM_XACT_ID);
SAME(WA_MANAGER_TABLESPACE, RM_TBLSPC_ID);
SAME(WA_MANAGER_CUSTOM_MIN, RM_MIN_CUSTOM_ID);
StaticAssertDecl(RM_MAX_BUILTIN_ID <= WA_MANAGER_OWN_MAX,
				 "there are more resource managers than walarch lets pass");
SAME(WA_XLOG_INFO_MASK, (uint8) ~XLR_INFO_MASK);
SAME(WA_XLOG_SWITCH, XLOG_SWITCH);
SAME(WA_XLOG_RESTORE_POINT, XLOG_RESTORE_POINT);
SAME(WA_XACT_INFO_MASK, XLOG_XACT_OPMASK);
SAME(WA_XACT_COMMIT, XLOG_XACT_COMMIT);
SAME(WA_XACT_ABORT, XLOG_XACT_ABORT);
SAME(WA_XACT_COMMIT_PREPARED, XLOG_XACT_COMMIT_PREPARED);
SAME(WA_XACT_ABORT_PREPARED, XLOG_XACT_ABORT_PREPARED);
SAME(WA_XLOG_TBLSPC_CREATE, XLOG_TBLSPC_CREATE);
SAME_PLACE(0, xl_xact_commit, xact_time);
SAME_PLACE(0, xl_xact_abort, xact_time);
SAME_PLACE(0, xl_restore_point, rp_time);
SAME_PLACE(sizeof(int64), xl_restore_point, rp_name);
SAME(WA_RECORD_NAME_BYTES, MAXFNAMELEN);
SAME_PLACE(0, xl_tblspc_create_rec, ts_id);
SAME_PLACE(sizeof(Oid), xl_tblspc_create_rec, ts_path);
SAME(WA_EPOCH_DIFFERENCE_US,
	 (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY);

/* pg_control: its version must be a known one, and that one's row be right. */
#define IS_KNOWN(version, ...)	|| PG_CONTROL_VERSION == (version)
#define IS_RIGHT(version, lsn, tli, segment, crc_at) \
	&& (PG_CONTROL_VERSION != (version) || \
		(offsetof(ControlFileData, minRecoveryPoint) == (lsn) && \
		 offsetof(ControlFileData, minRecoveryPointTLI) == (tli) && \
		 offsetof(ControlFileData, xlog_seg_size) == (segment) && \
		 offsetof(ControlFileData, crc) == (crc_at)))

SAME(WA_CONTROLFILE_BYTES, PG_CONTROL_FILE_SIZE);
SAME_PLACE(WA_CONTROLFILE_SYSID, ControlFileData, system_identifier);
SAME_PLACE(WA_CONTROLFILE_VERSION, ControlFileData, pg_control_version);
StaticAssertDecl(false WA_CONTROLFILE_LAYOUTS(IS_KNOWN),
				 "walarch does not know this version of pg_control");
#if MAXIMUM_ALIGNOF == 8
StaticAssertDecl(true WA_CONTROLFILE_LAYOUTS(IS_RIGHT),
				 "pg_control has another layout than walarch knows");
#endif
