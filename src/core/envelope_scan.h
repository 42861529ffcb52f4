/*
 * envelope_scan.h
 *	  The optional fields of an envelope that tell what the walk over a
 *	  segment's records found.  FORMAT.md is the specification.
 */
#ifndef WA_ENVELOPE_SCAN_H
#define WA_ENVELOPE_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "core/walscan.h"

#define WA_ENVELOPE_SCAN_BYTES_MAX	2560	/* of all these fields together */

/* Write the fields; returns their length. */
extern size_t wa_envelope_scan_encode(const WaScanResult *scan,
									  unsigned char *buffer);

/*
 * Take one field into *scan (zeroed before the first).  True when it was the
 * one that says that the segment was walked.
 */
extern bool wa_envelope_scan_take(unsigned type, const unsigned char *data,
								  size_t length, WaScanResult *scan);

#endif							/* WA_ENVELOPE_SCAN_H */
