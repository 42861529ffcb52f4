/*
 * compat.h
 *	  What differs between the majors of PostgreSQL, under the newest name.
 *
 * Every PG_VERSION_NUM stands here, but for the two callback signatures in
 * walarch_module.c.
 */
#ifndef WALARCH_COMPAT_H
#define WALARCH_COMPAT_H

#include "postgres.h"

#include "access/xlog_internal.h"
#include "core/walheader.h"
#include "fmgr.h"

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 200000
#error "walarch supports PostgreSQL 15 to 19"
#endif

/* The pure layers know the long page header by offset: keep them honest. */
StaticAssertDecl(SizeOfXLogLongPHD == WA_WALHEADER_BYTES,
				 "long page header has another size");
StaticAssertDecl(offsetof(XLogLongPageHeaderData, std.xlp_magic) ==
				 WA_WALHEADER_MAGIC, "xlp_magic has moved");
StaticAssertDecl(offsetof(XLogLongPageHeaderData, std.xlp_info) ==
				 WA_WALHEADER_INFO, "xlp_info has moved");
StaticAssertDecl(offsetof(XLogLongPageHeaderData, std.xlp_tli) ==
				 WA_WALHEADER_TLI, "xlp_tli has moved");
StaticAssertDecl(offsetof(XLogLongPageHeaderData, std.xlp_pageaddr) ==
				 WA_WALHEADER_PAGEADDR, "xlp_pageaddr has moved");
StaticAssertDecl(offsetof(XLogLongPageHeaderData, xlp_sysid) ==
				 WA_WALHEADER_SYSID, "xlp_sysid has moved");
StaticAssertDecl(offsetof(XLogLongPageHeaderData, xlp_seg_size) ==
				 WA_WALHEADER_SEG_SIZE, "xlp_seg_size has moved");
StaticAssertDecl(offsetof(XLogLongPageHeaderData, xlp_xlog_blcksz) ==
				 WA_WALHEADER_BLCKSZ, "xlp_xlog_blcksz has moved");
StaticAssertDecl(XLP_LONG_HEADER == WA_XLP_LONG_HEADER,
				 "XLP_LONG_HEADER has another value");

/* 16 moved the archive module API to a header of its own (35739b87dc). */
#if PG_VERSION_NUM >= 160000
#include "archive/archive_module.h"
#endif
#include "postmaster/pgarch.h"

/* 19 no longer includes wait events from pgstat.h (868825aaeb). */
#include "utils/wait_event.h"

/* 18 has a magic block with name and version (55527368bd). */
#ifdef PG_MODULE_MAGIC_EXT
#define WALARCH_MODULE_MAGIC \
	PG_MODULE_MAGIC_EXT(.name = "walarch", .version = "1.0")
#else
#define WALARCH_MODULE_MAGIC	PG_MODULE_MAGIC
#endif

/* 17 lets an extension name its wait events (af720b4c50). */
extern uint32 walarch_wait_event(void);

/*
 * What check_configured_cb may say to the log; 17 has a place for it
 * (2c29e7fc95), before that PostgreSQL logs only that it is not configured.
 */
extern void walarch_not_configured(const char *detail);

#endif							/* WALARCH_COMPAT_H */
