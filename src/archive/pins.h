/*
 * pins.h
 *	  The pins of an archive: small files in pins/, one each.
 */
#ifndef WA_PINS_H
#define WA_PINS_H

#include "archive/catalogue.h"
#include "core/pin.h"

/*
 * All pins, in order of their names.  One that cannot be read is an error:
 * what it held is not known.  On success the caller frees *pins.
 */
extern WaCode wa_pins_read(WaStore *store, WaPin **pins, size_t *count,
						   WaError *err);

/*
 * Before anything is locked for the first time: make pins/, so that from then
 * on its absence is no proof that nothing is pinned.
 */
extern WaCode wa_pins_prepare(WaStore *store, WaError *err);

/*
 * Find out from where on a pin must hold what its kind and value say, and
 * set keep_from.  A moment (a point in time in *at_us, or a restore point)
 * needs the newest backup that stopped before it; WA_NOT_FOUND when there is
 * none, or what is to be held is not in the archive.
 */
extern WaCode wa_pin_resolve(WaStore *store, const WaCatalogue *catalogue,
							 WaPin *pin, int64_t at_us, WaError *err);

/*
 * Durable on return.  WA_EXISTS when there is one of that name, WA_INVALID
 * when it would have expired when it is made, or could not be read again.
 */
extern WaCode wa_pin_put(WaStore *store, const WaPin *pin, WaError *err);

/* WA_NOT_FOUND when there is none. */
extern WaCode wa_pin_remove(WaStore *store, const char *name, WaError *err);

#endif							/* WA_PINS_H */
