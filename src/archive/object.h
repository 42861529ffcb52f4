/*
 * object.h
 *	  Reading an object of the archive and proving that it is what it says.
 */
#ifndef WA_OBJECT_H
#define WA_OBJECT_H

#include "core/envelope.h"
#include "core/sink.h"
#include "core/sink_zstd.h"
#include "store/store.h"

/*
 * The one function that finds an object's envelope.  WA_NOT_FOUND when the
 * key is absent, WA_DAMAGED when what is there is no whole object,
 * WA_UNSUPPORTED for a later format.  *stat identifies what was read.
 */
extern WaCode wa_object_envelope(WaStore *store, const char *key,
								 WaStat *stat, WaEnvelope *envelope,
								 WaError *err);

/*
 * Push the raw bytes into `next` (NULL: only verify) and prove them: frame,
 * size, digest, and for segments the page magic.  WA_DAMAGED when they
 * contradict the envelope, WA_CHANGED when the object was replaced
 * meanwhile.  Closes `next`; finishes it only when all is proven.
 */
extern WaCode wa_object_read(WaStore *store, const char *key,
							 const WaStat *stat, const WaEnvelope *envelope,
							 WaZstd *zstd, WaSink *next, WaError *err);

/*
 * Read a history or backup history file with all of these proofs.  *text is
 * malloc'ed, with a NUL behind it, or NULL; *envelope is that of the object.
 */
extern WaCode wa_object_text(WaStore *store, const char *key,
							 const WaWalName *name,
							 uint64_t system_identifier,
							 uint32_t segment_bytes, WaZstd *zstd,
							 WaEnvelope *envelope, char **text,
							 size_t *length, WaError *err);

/*
 * Does the envelope belong to the name under which it was found?
 * WA_DAMAGED: the object of another name; WA_WRONG_CLUSTER.
 */
extern WaCode wa_object_check_name(WaStore *store, const char *key,
								   const WaEnvelope *envelope,
								   const WaWalName *name,
								   uint64_t system_identifier,
								   uint32_t segment_bytes, WaError *err);

#endif							/* WA_OBJECT_H */
