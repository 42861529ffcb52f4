/*
 * hold.c
 *	  Keep retention away from what is being recovered, by a pin.
 */
#include "recovery/hold.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "archive/pins.h"
#include "archive/retention.h"
#include "cli/cli.h"

#define HOLD_US			(INT64_C(2) * 86400 * 1000000)
#define LOCK_POLL_US	200000
#define LOCK_TRIES		50

/* A prune that is at work soon ends. */
static WaCode
lock(WaStore *store, WaError *err)
{
	for (int i = 0; wa_retention_lock(store, err) != WA_OK; i++)
	{
		if (err->code != WA_EXISTS || i == LOCK_TRIES)
			return err->code;
		usleep(LOCK_POLL_US);
	}
	return WA_OK;
}

WaCode
wa_hold_put(const char *archive, const char *who, const WaBaseBackup *backup,
			char *name, WaError *err)
{
	WaPin		pin = {
		.kind = WA_PIN_BACKUP,
		.keep_from = backup->start_lsn,
		.expires = true
	};
	WaStore    *store;
	WaMarker	marker;
	char		digits[9];

	name[0] = '\0';
	if (!wa_cli_random(digits, 8))
		return wa_fail(err, WA_IO, "no random number can be had");
	if (wa_cli_archive_open(archive, &store, &marker, err) != WA_OK)
		return err->code;
	snprintf(pin.name, sizeof(pin.name), "%.20s-%s", who, digits);
	snprintf(pin.by, sizeof(pin.by), "walarch %.20s", who);
	snprintf(pin.value, sizeof(pin.value), "%s", backup->id);
	pin.created_us = wa_cli_now_us();
	pin.expires_us = pin.created_us + HOLD_US;
	if (lock(store, err) == WA_OK && wa_pin_put(store, &pin, err) == WA_OK)
		snprintf(name, WA_PIN_NAME_BYTES, "%s", pin.name);
	wa_store_close(store);
	return name[0] != '\0' ? WA_OK : err->code;
}

void
wa_hold(const char *archive, const char *who, const WaBaseBackup *backup,
		char *name)
{
	WaError		err;

	if (wa_hold_put(archive, who, backup, name, &err) == WA_OK)
		return;
	fprintf(stderr, "walarch %s: the WAL is not pinned meanwhile\n", who);
	wa_cli_error(who, &err);
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
