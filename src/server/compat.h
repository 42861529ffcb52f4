/*
 * compat.h
 *	  What differs between the majors of PostgreSQL, under the newest name.
 *
 * Every PG_VERSION_NUM stands here, but for the two callback signatures in
 * walarch_module.c.  What pure files know of formats by number is not
 * switched but compared, in abi.c.
 */
#ifndef WALARCH_COMPAT_H
#define WALARCH_COMPAT_H

#include "postgres.h"

#include "access/xlog_internal.h"
#include "fmgr.h"

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 200000
#error "walarch supports PostgreSQL 15 to 19"
#endif

/*
 * The WAL formats of this major that walarch knows; that of 19 moved between
 * its betas.
 */
#if PG_VERSION_NUM >= 190000
#define WALARCH_WAL_FORMATS(magic)	((magic) == 0xD120 || (magic) == 0xD122)
#elif PG_VERSION_NUM >= 180000
#define WALARCH_WAL_FORMATS(magic)	((magic) == 0xD118)
#elif PG_VERSION_NUM >= 170000
#define WALARCH_WAL_FORMATS(magic)	((magic) == 0xD116)
#elif PG_VERSION_NUM >= 160000
#define WALARCH_WAL_FORMATS(magic)	((magic) == 0xD113)
#else
#define WALARCH_WAL_FORMATS(magic)	((magic) == 0xD110)
#endif

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
