/*
 * settings.c
 *	  The settings walarch.*
 */
#include "server/settings.h"

#include <limits.h>

#include "datatype/timestamp.h"
#include "server/compat.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#define TIMEOUT_MS_MIN	1000
#define TIMEOUT_MS_MAX	(24 * 60 * 60 * 1000)

char	   *walarch_archive = NULL;
int			walarch_compression_level = 3;
int			walarch_catchup_level = 1;
int			walarch_workers = 2;
int			walarch_timeout = 60000;
bool		walarch_auto_prune = false;
static int	retention_backups = 0;
static int	retention_size = 0; /* MB */
static int	retention_window = 0;	/* s */

/*
 * Only what the text itself can tell.  The directory is not looked at: one
 * that is missing for a moment must not leave archiving unconfigured, and a
 * hung mount must not hang a reload.
 */
static bool
check_archive(char **newval, void **extra, GucSource source)
{
	const char *path = *newval;

	if (path == NULL || path[0] == '\0')
		return true;
	if (strchr(path, ',') != NULL || strstr(path, "://") != NULL)
	{
		GUC_check_errdetail("Commas and \"://\" are reserved; give the "
							"absolute path of one directory.");
		return false;
	}
	if (path[0] != '/')
	{
		GUC_check_errdetail("The archive must be the absolute path of a "
							"directory.");
		return false;
	}
	if (strlen(path) >= WA_ARCHIVE_PATH_BYTES - 64)
	{
		GUC_check_errdetail("The path is too long.");
		return false;
	}
	for (const char *c = path; *c != '\0'; c++)
	{
		if ((unsigned char) *c < ' ' || *c == 0x7f)
		{
			GUC_check_errdetail("The path contains control characters.");
			return false;
		}
	}
	return true;
}

void
walarch_settings_define(void)
{
	DefineCustomStringVariable("walarch.archive",
							   "Absolute path of the archive directory.",
							   "Empty: archiving by walarch is not "
							   "configured, and WAL is kept.",
							   &walarch_archive, "",
							   PGC_SIGHUP, 0, check_archive, NULL, NULL);
	DefineCustomBoolVariable("walarch.auto_prune",
							 "Deletes what retention lets go of after each "
							 "backup.",
							 "In an archive without backups of its own, after "
							 "a backup history file.",
							 &walarch_auto_prune, false,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("walarch.catchup_level",
							"zstd level while a backlog of WAL segments "
							"waits for the archiver.",
							"The same as walarch.compression_level: always "
							"that one.",
							&walarch_catchup_level, 1,
							WA_ZSTD_LEVEL_MIN, WA_ZSTD_LEVEL_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("walarch.compression_level",
							"zstd level of archived files while archiving "
							"keeps up.",
							NULL,
							&walarch_compression_level, 3,
							WA_ZSTD_LEVEL_MIN, WA_ZSTD_LEVEL_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("walarch.retention_backups",
							"Newest backups with their data in the archive "
							"that are kept, with all WAL since.",
							"0 says nothing.",
							&retention_backups, 0, 0, INT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("walarch.retention_size",
							"Size of the archive above which the window of "
							"retention shrinks.",
							"0 says nothing.",
							&retention_size, 0, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomIntVariable("walarch.retention_window",
							"Time before the newest recoverable point within "
							"which every point stays recoverable.",
							"0 says nothing.",
							&retention_window, 0, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("walarch.timeout",
							"Time after which an operation on the archive "
							"that makes no progress counts as failed.",
							NULL,
							&walarch_timeout, 60000,
							TIMEOUT_MS_MIN, TIMEOUT_MS_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("walarch.workers",
							"Files read, compressed and stored at the same "
							"time.",
							NULL,
							&walarch_workers, 2,
							1, WA_POOL_WORKERS_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("walarch");
}

WaPolicy
walarch_settings_policy(void)
{
	WaPolicy	policy = {
		.backups = (uint32) retention_backups,
		.window_us = (int64) retention_window * USECS_PER_SEC,
		.bytes = (uint64) retention_size << 20
	};

	return policy;
}

bool
walarch_settings_archive(char path[WA_ARCHIVE_PATH_BYTES])
{
	if (walarch_archive == NULL || walarch_archive[0] == '\0')
		return false;
	strlcpy(path, walarch_archive, WA_ARCHIVE_PATH_BYTES);

	/* one spelling only: walarch.known compares paths */
	canonicalize_path(path);
	return true;
}

/* Does a later line of the files set the same name? */
static bool
overridden(const ConfigVariable *item)
{
	for (const ConfigVariable *later = item->next; later != NULL;
		 later = later->next)
		if (!later->ignore && pg_strcasecmp(later->name, item->name) == 0)
			return true;
	return false;
}

int
walarch_settings_report_rejected(int elevel)
{
	MemoryContext context;
	MemoryContext before;
	ConfigVariable *head = NULL;
	ConfigVariable *tail = NULL;
	int			rejected = 0;

	Assert(elevel < ERROR);
	if (ConfigFileName == NULL)
		return 0;
	context = AllocSetContextCreate(CurrentMemoryContext,
									"walarch settings",
									ALLOCSET_DEFAULT_SIZES);
	before = MemoryContextSwitchTo(context);

	/* PostgreSQL itself has reported what is wrong with the files as such */
	(void) ParseConfigFile(ConfigFileName, true, NULL, 0, 0, DEBUG2,
						   &head, &tail);
	(void) ParseConfigFile(PG_AUTOCONF_FILENAME, false, NULL, 0, 0, DEBUG2,
						   &head, &tail);
	for (ConfigVariable *item = head; item != NULL; item = item->next)
	{
		if (item->ignore || item->errmsg != NULL || overridden(item) ||
			pg_strncasecmp(item->name, "walarch.", 8) != 0)
			continue;

		/* changeVal false: only says, at elevel, what is wrong */
		if (set_config_option(item->name, item->value, PGC_SIGHUP,
							  PGC_S_FILE, GUC_ACTION_SET, false, elevel,
							  false) == 0)
			rejected++;
	}
	MemoryContextSwitchTo(before);
	MemoryContextDelete(context);
	return rejected;
}
