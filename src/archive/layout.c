/*
 * layout.c
 *	  Where things lie in an archive.
 */
#include "archive/layout.h"

#include <stdio.h>
#include <string.h>

void
wa_layout_key(const WaWalName *name, char *key)
{
	if (name->kind == WA_KIND_HISTORY)
		snprintf(key, WA_KEY_BYTES, "wal/%s.zst", name->text);
	else
		snprintf(key, WA_KEY_BYTES, "wal/%.16s/%s.zst", name->text,
				 name->text);
}

void
wa_layout_second_partial_key(const WaWalName *name, const WaDigest *digest,
							 char *key)
{
	char		text[WA_DIGEST_TEXT_BYTES];

	wa_digest_text(digest, text);
	snprintf(key, WA_KEY_BYTES, "wal/%.16s/%s.%.8s.zst", name->text,
			 name->text, text);
}

void
wa_layout_aside_key(const char *key, const char *why, int n, char *aside_key)
{
	const char *slash = strrchr(key, '/');

	snprintf(aside_key, WA_KEY_BYTES, "damaged/%.100s%s.%d",
			 slash != NULL ? slash + 1 : key, why, n);
}
