/*
 * layout.c
 *	  Where things lie in an archive.
 */
#include "archive/layout.h"

#include <assert.h>
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
wa_layout_segment(uint32_t tli, uint64_t segno, uint32_t segment_bytes,
				  WaWalName *name, char *key)
{
	char		text[WA_WALNAME_BYTES];
	WaError		ignored;
	WaCode		code;

	wa_segment_name(text, tli, segno, segment_bytes);
	code = wa_walname_parse(text, name, &ignored);
	assert(code == WA_OK);
	(void) code;
	wa_layout_key(name, key);
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

WaCode
wa_layout_parse(const char *key, WaWalName *name, WaError *err)
{
	const char *slash = strrchr(key, '/');
	const char *file = slash != NULL ? slash + 1 : key;
	size_t		length = strlen(file);
	char		text[WA_KEY_BYTES];
	char		expected[WA_KEY_BYTES];
	bool		second;

	if (length < 4 || length >= sizeof(text) ||
		strcmp(file + length - 4, ".zst") != 0)
		return wa_fail(err, WA_INVALID, "\"%s\" is no object of WAL", key);
	memcpy(text, file, length);
	length -= 4;
	text[length] = '\0';

	/* NAME.partial.9f3a11c2 */
	second = length > 9 && text[length - 9] == '.' &&
		strspn(text + length - 8, "0123456789abcdef") == 8;
	if (second)
		text[length - 9] = '\0';
	if (wa_walname_parse(text, name, err) != WA_OK)
		return err->code;
	wa_layout_key(name, expected);
	if (second)
		snprintf(expected + strlen(expected) - 4,
				 sizeof(expected) - strlen(expected) + 4, ".%.8s.zst",
				 file + length - 8);
	if ((second && name->kind != WA_KIND_PARTIAL) ||
		strcmp(key, expected) != 0)
		return wa_fail(err, WA_INVALID, "\"%s\" is no object of WAL", key);
	return WA_OK;
}

bool
wa_layout_parse_listed(const char *prefix, const char *file, char *key,
					   WaWalName *name)
{
	WaError		ignored;

	return snprintf(key, WA_KEY_BYTES, "%s/%s", prefix, file) <
		WA_KEY_BYTES && wa_layout_parse(key, name, &ignored) == WA_OK;
}

bool
wa_layout_is_directory(const char *file)
{
	return strlen(file) == 16 && strspn(file, "0123456789ABCDEF") == 16;
}

void
wa_layout_base_key(const char *id, const char *file, char *key)
{
	snprintf(key, WA_KEY_BYTES, WA_PREFIX_BASE "/%.63s/%.63s", id, file);
}

void
wa_layout_aside_key(const char *key, const char *why, int n, char *aside_key)
{
	const char *slash = strrchr(key, '/');

	snprintf(aside_key, WA_KEY_BYTES, "damaged/%.100s%s.%d",
			 slash != NULL ? slash + 1 : key, why, n);
}
