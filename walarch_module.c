/*
 * walarch_module.c
 *	  What PostgreSQL looks for in the library: initialisation and the
 *	  callbacks of an archive module, in the forms of 15 and of 16 and later.
 */
#include "postgres.h"

#include "server/archiver.h"
#include "server/compat.h"
#include "server/settings.h"

WALARCH_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	walarch_settings_define();
}

static bool
check_configured(void)
{
	if (walarch_archiver_configured())
		return true;
	walarch_not_configured("walarch.archive is not set.");
	return false;
}

#if PG_VERSION_NUM >= 160000

static bool
check_configured_cb(ArchiveModuleState *state)
{
	return check_configured();
}

static bool
archive_file_cb(ArchiveModuleState *state, const char *file, const char *path)
{
	return walarch_archiver_archive(file, path);
}

static void
shutdown_cb(ArchiveModuleState *state)
{
	walarch_archiver_shutdown();
}

extern PGDLLEXPORT const ArchiveModuleCallbacks *_PG_archive_module_init(void);

const ArchiveModuleCallbacks *
_PG_archive_module_init(void)
{
	static const ArchiveModuleCallbacks callbacks = {
		.check_configured_cb = check_configured_cb,
		.archive_file_cb = archive_file_cb,
		.shutdown_cb = shutdown_cb
	};

	return &callbacks;
}

#else

extern PGDLLEXPORT void _PG_archive_module_init(ArchiveModuleCallbacks *cb);

void
_PG_archive_module_init(ArchiveModuleCallbacks *cb)
{
	cb->check_configured_cb = check_configured;
	cb->archive_file_cb = walarch_archiver_archive;
	cb->shutdown_cb = walarch_archiver_shutdown;
}

#endif
