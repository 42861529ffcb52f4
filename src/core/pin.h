/*
 * pin.h
 *	  The text of a pin: WAL that must stay, whatever retention says.
 *
 * What a pin holds is decided when it is made, and is one LSN: from there on
 * everything stays, on every timeline.
 */
#ifndef WA_PIN_H
#define WA_PIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

#define WA_PIN_NAME_BYTES	64		/* with its NUL; letters, digits, - _ . */
#define WA_PIN_VALUE_BYTES	256
#define WA_PIN_TEXT_BYTES	1024	/* longest file */

typedef enum WaPinKind
{
	WA_PIN_LSN = 1,
	WA_PIN_BACKUP,
	WA_PIN_TIME,
	WA_PIN_RESTORE_POINT
} WaPinKind;

typedef struct WaPin
{
	char		name[WA_PIN_NAME_BYTES];	/* of the file */
	WaPinKind	kind;
	char		value[WA_PIN_VALUE_BYTES];	/* as whoever made it said */
	uint64_t	keep_from;		/* LSN */
	int64_t		created_us;		/* microseconds since 1970, whole seconds */
	bool		expires;
	int64_t		expires_us;
	char		by[WA_PIN_NAME_BYTES];
} WaPin;

/* "lsn", "backup", "time", "restore-point" */
extern const char *wa_pin_kind_name(WaPinKind kind);

/* Can it be the name of a pin? */
extern bool wa_pin_name_valid(const char *name);

/* Write the text into buffer (WA_PIN_TEXT_BYTES); returns its length. */
extern size_t wa_pin_format(const WaPin *pin, char *buffer);

/*
 * Parse it.  Unknown keys are ignored; a later version is WA_UNSUPPORTED,
 * missing or bad values WA_DAMAGED.  `name` becomes that of the pin.
 */
extern WaCode wa_pin_parse(const char *text, size_t length, const char *name,
						   WaPin *pin, WaError *err);

#endif							/* WA_PIN_H */
