/*
 * digest.c
 *	  The digest is XXH3-128 as xxh128sum prints it, whole or in pieces.
 */
#include "core/digest.h"

#include "fixture.h"
#include "tap.h"

int
main(void)
{
	static unsigned char data[100000];
	static const size_t pieces[] = {1, 7, 63, 64, 240, 241, 1024, 65536, 100000};
	WaDigest	whole;
	WaDigest	other;
	char		text[WA_DIGEST_TEXT_BYTES];

	wa_digest_of("", 0, &whole);
	wa_digest_text(&whole, text);
	is_str(text, "99aa06d3014798d86001c324468d497f", "of nothing");
	wa_digest_of("walarch", 7, &whole);
	wa_digest_text(&whole, text);
	is_str(text, "a55162c2914beb1077f9d121ecfd88ce", "of a word");

	fill(data, sizeof(data), 5);
	wa_digest_of(data, sizeof(data), &whole);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
	{
		WaDigestState *state = wa_digest_open();

		must(state != NULL);
		for (size_t at = 0; at < sizeof(data); at += pieces[i])
			wa_digest_update(state, data + at,
							 sizeof(data) - at < pieces[i] ?
							 sizeof(data) - at : pieces[i]);
		wa_digest_result(state, &other);
		ok(wa_digest_equal(&whole, &other), "in pieces of %zu bytes",
		   pieces[i]);
		wa_digest_close(state);
	}
	data[sizeof(data) - 1] ^= 1;
	wa_digest_of(data, sizeof(data), &other);
	ok(!wa_digest_equal(&whole, &other), "one bit makes another");
	return done_testing();
}
