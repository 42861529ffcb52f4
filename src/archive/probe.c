/*
 * probe.c
 *	  A look at an archive directory without writing to it.
 */
#include "archive/probe.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "archive/identity.h"

void
wa_probe(const char *path, uint64_t system_identifier, uint32_t segment_bytes,
		 int64_t now_us, WaBeat *beat, WaProbe *probe)
{
	WaStoreOptions options = {.beat = beat};
	WaStore    *store;
	WaError    *err = &probe->error;
	WaError		ignored;
	int			result;

	memset(probe, 0, sizeof(*probe));
	if (wa_store_dir_open(path, &options, &store, err) != WA_OK)
		return;
	probe->reachable = true;
	probe->free_bytes_known = wa_store_free_bytes(store, &probe->free_bytes,
												  &ignored) == WA_OK;

	if (wa_identity_read(store, path, &probe->marker, err) == WA_OK)
	{
		probe->marked = true;
		probe->ours = wa_identity_check(&probe->marker, path,
										system_identifier, segment_bytes,
										err) == WA_OK;
		if (probe->ours &&
			wa_drills_look(store, now_us, &probe->drills, &ignored) != WA_OK)
			memset(&probe->drills, 0, sizeof(probe->drills));
	}
	else if (err->code == WA_NO_MARKER)
		(void) wa_identity_empty(store, &probe->empty, &ignored);
	wa_store_close(store);

	WA_BEAT(beat, result, access(path, R_OK | W_OK | X_OK));
	probe->writable = result == 0;
	if (!probe->writable && (probe->ours || probe->empty))
		wa_fail_errno(err, errno, "no permission to write in \"%s\"", path);
}
