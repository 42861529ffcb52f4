/*
 * object.c
 *	  An object that is truncated, changed in any byte, or found under
 *	  another's name never yields wrong bytes as good ones.
 */
#include "archive/object.h"

#include <sys/stat.h>
#include <unistd.h>

#include "archive/layout.h"
#include "archive/push.h"
#include "fixture.h"
#include "tap.h"

#define TEXT	"1\t0/2000000\tno recovery target specified\n"
#define KEY		"wal/00000002.history.zst"
#define FILE	"archive/" KEY

static WaStore *store;
static WaZstd *zstd;
static WaWalName name;
static WaError err;

/* All a reader does: envelope, name, contents. */
static WaCode
read_object(const char *key, char *text, size_t *length, bool *finished)
{
	WaBufferSink buffer;
	WaStat		stat;
	WaEnvelope	envelope;
	WaCode		code;

	*length = 0;
	*finished = false;
	code = wa_object_envelope(store, key, &stat, &envelope, &err);
	if (code == WA_OK)
		code = wa_object_check_name(store, key, &envelope, &name, SYSID,
									SEG_1MB, &err);
	if (code == WA_OK)
	{
		code = wa_object_read(store, key, &stat, &envelope, zstd,
							  wa_sink_buffer(&buffer, text, 1000, "text"),
							  &err);
		*length = buffer.length;
		*finished = code == WA_OK;
	}
	return code;
}

static bool
is_text(const char *text, size_t length)
{
	return length == strlen(TEXT) && memcmp(text, TEXT, length) == 0;
}

static void
make_archive(void)
{
	WaArchiveConfig config;
	WaArchive  *archive;
	WaBench    *bench = wa_bench_open();
	WaPushResult result;
	WaStoreOptions options;

	must(mkdir("archive", 0700) == 0);
	archive_config(&config, path_in_scratch("archive"), SEG_1MB);
	archive = wa_archive_open(&config);
	write_file("source", TEXT, strlen(TEXT));
	must(wa_push(archive, bench, NULL, 3, "00000002.history", "source", 0,
				 &result, &err) == WA_OK);
	wa_archive_close(archive);
	wa_bench_close(bench);
	store_options(&options);
	must(wa_store_dir_open(path_in_scratch("archive"), &options, &store,
						   &err) == WA_OK);
}

static void
test_mutations(void)
{
	size_t		object_bytes;
	unsigned char *object = read_file(FILE, &object_bytes);
	char		text[1000];
	size_t		length;
	bool		finished;
	int			wrong = 0;

	must(object != NULL);
	is_code(read_object(KEY, text, &length, &finished), WA_OK, &err, "read");
	ok(is_text(text, length), "its bytes");

	for (size_t cut = 0; cut < object_bytes; cut++)
	{
		WaCode		code;

		write_file(FILE, object, cut);
		code = read_object(KEY, text, &length, &finished);
		if (code != WA_DAMAGED && wrong++ == 0)
			diag("truncated to %zu of %zu: %s", cut, object_bytes,
				 wa_code_name(code));
	}
	is_int(wrong, 0, "truncated at each of %zu lengths: damage", object_bytes);

	wrong = 0;
	for (size_t at = 0; at < object_bytes; at++)
		for (int bit = 0; bit < 8; bit++)
		{
			WaCode		code;

			object[at] ^= (unsigned char) (1 << bit);
			write_file(FILE, object, object_bytes);
			code = read_object(KEY, text, &length, &finished);
			/* a bit of the frame's header that says nothing may change */
			if (code == WA_OK ? !is_text(text, length) : code != WA_DAMAGED)
				if (wrong++ == 0)
					diag("bit %d of byte %zu: %s, %zu bytes", bit, at,
						 wa_code_name(code), length);
			object[at] ^= (unsigned char) (1 << bit);
		}
	is_int(wrong, 0, "any bit flipped: damage, or the same bytes");

	wrong = 0;
	for (size_t at = 0; at <= object_bytes; at++)
	{
		unsigned char *more = malloc(object_bytes + 1);

		memcpy(more, object, at);
		more[at] = 0x5A;
		memcpy(more + at + 1, object + at, object_bytes - at);
		write_file(FILE, more, object_bytes + 1);
		if (read_object(KEY, text, &length, &finished) != WA_DAMAGED &&
			wrong++ == 0)
			diag("a byte put in at %zu: %s", at, wa_code_name(err.code));
		free(more);
	}
	is_int(wrong, 0, "a byte put in anywhere, or behind: damage");

	write_file(FILE, object, object_bytes);
	is_code(read_object(KEY, text, &length, &finished), WA_OK, &err,
			"and as it was it is good");
	free(object);
}

static void
test_names(void)
{
	size_t		object_bytes;
	unsigned char *object = read_file(FILE, &object_bytes);
	WaEnvelope	envelope;
	WaStat		stat;
	char		text[1000];
	size_t		length;
	bool		finished;

	write_file("archive/wal/00000003.history.zst", object, object_bytes);
	must(wa_walname_parse("00000003.history", &name, &err) == WA_OK);
	is_code(read_object("wal/00000003.history.zst", text, &length, &finished),
			WA_DAMAGED, &err, "under another's name");
	has_str(err.message, "00000002.history", "the message says whose it is");
	must(wa_walname_parse("00000002.history", &name, &err) == WA_OK);

	must(wa_object_envelope(store, KEY, &stat, &envelope, &err) == WA_OK);
	is_code(wa_object_check_name(store, KEY, &envelope, &name, SYSID + 1,
								 SEG_1MB, &err), WA_WRONG_CLUSTER, &err,
			"another system identifier");
	is_code(wa_object_check_name(store, KEY, &envelope, &name, SYSID,
								 2 * SEG_1MB, &err), WA_WRONG_CLUSTER, &err,
			"another segment size");
	is_code(wa_object_check_name(store, KEY, &envelope, &name, 0, 0, &err),
			WA_OK, &err, "nothing known of the cluster");

	/* replaced between the two looks */
	must(unlink(FILE) == 0);
	write_file(FILE, object, object_bytes);
	is_code(wa_object_read(store, KEY, &stat, &envelope, zstd, NULL, &err),
			WA_CHANGED, &err, "another object since the envelope was read");
	must(unlink(FILE) == 0);
	is_code(wa_object_read(store, KEY, &stat, &envelope, zstd, NULL, &err),
			WA_NOT_FOUND, &err, "gone since then");
	is_code(read_object(KEY, text, &length, &finished), WA_NOT_FOUND, &err,
			"absent");
	write_file(FILE, object, object_bytes);
	must(wa_object_envelope(store, KEY, &stat, &envelope, &err) == WA_OK);
	envelope.digest.bytes[0] ^= 1;
	is_code(wa_object_read(store, KEY, &stat, &envelope, zstd, NULL, &err),
			WA_DAMAGED, &err, "another digest than its bytes have");
	envelope.digest.bytes[0] ^= 1;
	envelope.raw_bytes--;
	is_code(wa_object_read(store, KEY, &stat, &envelope, zstd, NULL, &err),
			WA_DAMAGED, &err, "fewer bytes promised");
	envelope.raw_bytes += 2;
	is_code(wa_object_read(store, KEY, &stat, &envelope, zstd, NULL, &err),
			WA_DAMAGED, &err, "more bytes promised");
	free(object);
}

/* Made by somebody: a frame that asks for 128 MB, for one byte. */
static void
test_window(void)
{
	static const unsigned char frame[] = {
		0x28, 0xB5, 0x2F, 0xFD, 0, (27 - 10) << 3, 0x09, 0, 0, 'x'
	};
	unsigned char forged[sizeof(frame) + WA_ENVELOPE_TAIL_BYTES];
	WaEnvelope	envelope;
	WaStat		stat;

	must(wa_object_envelope(store, KEY, &stat, &envelope, &err) == WA_OK);
	memcpy(forged, frame, sizeof(frame));
	envelope.body_bytes = sizeof(frame);
	envelope.raw_bytes = 1;
	write_file(FILE, forged, sizeof(frame) +
			   wa_envelope_encode(&envelope, forged + sizeof(frame)));
	must(wa_object_envelope(store, KEY, &stat, &envelope, &err) == WA_OK);
	is_code(wa_object_read(store, KEY, &stat, &envelope, zstd, NULL, &err),
			WA_DAMAGED, &err, "a frame that asks for more than its bytes need");
	has_str(err.message, "too much memory", "is given none");
}

int
main(void)
{
	scratch();
	zstd = wa_zstd_open();
	must(zstd != NULL);
	must(wa_walname_parse("00000002.history", &name, &err) == WA_OK);
	make_archive();
	test_mutations();
	test_names();
	test_window();
	wa_store_close(store);
	wa_zstd_close(zstd);
	return done_testing();
}
