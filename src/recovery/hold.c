/*
 * hold.c
 *	  Keep retention away from what is being recovered, by a pin.
 */
#include "recovery/hold.h"

#include <stdio.h>
#include <string.h>

#include "archive/pins.h"
#include "archive/retention.h"
#include "cli/cli.h"

#define HOLD_US		(INT64_C(2) * 86400 * 1000000)

void
wa_hold(const char *archive, const char *who, const WaBaseBackup *backup,
		char *name)
{
	WaPin		pin = {
		.kind = WA_PIN_BACKUP,
		.keep_from = backup->start_lsn,
		.expires = true
	};
	WaStore    *store;
	WaMarker	marker;
	char		digits[9];
	WaError		err;

	name[0] = '\0';
	if (!wa_cli_random(digits, 8) ||
		wa_cli_archive_open(archive, &store, &marker, &err) != WA_OK)
		return;
	snprintf(pin.name, sizeof(pin.name), "%.20s-%s", who, digits);
	snprintf(pin.by, sizeof(pin.by), "walarch %.20s", who);
	snprintf(pin.value, sizeof(pin.value), "%s", backup->id);
	pin.created_us = wa_cli_now_us();
	pin.expires_us = pin.created_us + HOLD_US;
	if (wa_retention_lock(store, &err) == WA_OK &&
		wa_pin_put(store, &pin, &err) == WA_OK)
		snprintf(name, WA_PIN_NAME_BYTES, "%s", pin.name);
	else
	{
		fprintf(stderr, "walarch %s: the WAL is not pinned meanwhile\n", who);
		wa_cli_error(who, &err);
	}
	wa_store_close(store);
}

void
wa_hold_end(const char *archive, const char *name)
{
	WaStore    *store;
	WaMarker	marker;
	WaError		err;

	if (name[0] == '\0' ||
		wa_cli_archive_open(archive, &store, &marker, &err) != WA_OK)
		return;
	(void) wa_pin_remove(store, name, &err);
	wa_store_close(store);
}
