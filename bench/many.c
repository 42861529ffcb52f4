/*
 * many.c
 *	  Makes an archive of many segments, to see how long a look at it takes:
 *
 *		many DIR COUNT [MISSING-EVERY]
 *
 * The directory must not exist.  Every object is whole, and of 1 MB of zeros
 * behind a page header, so that 100,000 of them take 0.1 GB.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "archive/layout.h"
#include "core/bytes.h"
#include "core/envelope.h"
#include "core/marker.h"
#include "core/walheader.h"

#define SEGMENT_BYTES	(UINT32_C(1) << 20)
#define SYSTEM			UINT64_C(7234567890123456789)
#define BEGIN_US		INT64_C(1790000000000000)

static unsigned char raw[SEGMENT_BYTES];
static unsigned char object[ZSTD_COMPRESSBOUND(1 << 20) + WA_ENVELOPE_TAIL_BYTES];

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static void
write_file(const char *path, const void *data, size_t length)
{
	int			fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

	if (fd < 0 || write(fd, data, length) != (ssize_t) length ||
		close(fd) != 0)
		die(path);
}

static void
make_object(uint64_t segno)
{
	static char last_dir[64];
	WaEnvelope	envelope = {0};
	WaWalName	name;
	WaError		err;
	char		text[WA_WALNAME_BYTES];
	char		key[WA_KEY_BYTES];
	char		dir[64];
	size_t		bytes;

	wa_segment_name(text, 1, segno, SEGMENT_BYTES);
	if (wa_walname_parse(text, &name, &err) != WA_OK)
		die(text);
	wa_layout_key(&name, key);
	snprintf(dir, sizeof(dir), "wal/%.16s", text);
	if (strcmp(dir, last_dir) != 0 && mkdir(dir, 0700) != 0)
		die(dir);
	strcpy(last_dir, dir);

	wa_put64(raw + WA_WALHEADER_PAGEADDR, segno * SEGMENT_BYTES);
	bytes = ZSTD_compress(object, sizeof(object) - WA_ENVELOPE_TAIL_BYTES,
						  raw, sizeof(raw), 1);
	if (ZSTD_isError(bytes))
		die("zstd");
	envelope.kind = WA_KIND_SEGMENT;
	memcpy(envelope.name, name.text, sizeof(envelope.name));
	envelope.system_identifier = SYSTEM;
	envelope.tli = 1;
	envelope.segment_bytes = SEGMENT_BYTES;
	envelope.raw_bytes = SEGMENT_BYTES;
	envelope.body_bytes = bytes;
	wa_digest_of(raw, sizeof(raw), &envelope.digest);
	envelope.wal_magic = 0xD110;
	envelope.archived_at_us = BEGIN_US + (int64_t) segno * 1000000;
	envelope.scanned = true;
	envelope.scan.end = WA_SCAN_SWITCHED;
	envelope.scan.used_bytes = 4096;
	envelope.scan.end_lsn = segno * SEGMENT_BYTES + 4096;
	envelope.scan.transactions = 1;
	envelope.scan.earliest_us = envelope.scan.latest_us =
		envelope.archived_at_us;
	bytes += wa_envelope_encode(&envelope, object + bytes);
	write_file(key, object, bytes);
}

int
main(int argc, char **argv)
{
	WaMarker	marker = {
		.system_identifier = SYSTEM,
		.archive_id = "00112233445566778899aabbccddeeff",
		.segment_bytes = SEGMENT_BYTES
	};
	char		text[WA_MARKER_BYTES_MAX];
	uint64_t	count = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
	uint64_t	missing = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;

	if (count == 0)
	{
		fprintf(stderr, "usage: many DIR COUNT [MISSING-EVERY]\n");
		return 2;
	}
	if (mkdir(argv[1], 0700) != 0 || chdir(argv[1]) != 0 ||
		mkdir("wal", 0700) != 0)
		die(argv[1]);
	write_file("archive.id", text, wa_marker_format(&marker, text));
	wa_put16(raw + WA_WALHEADER_MAGIC, 0xD110);
	wa_put16(raw + WA_WALHEADER_INFO, WA_XLP_LONG_HEADER);
	wa_put32(raw + WA_WALHEADER_TLI, 1);
	wa_put64(raw + WA_WALHEADER_SYSID, SYSTEM);
	wa_put32(raw + WA_WALHEADER_SEG_SIZE, SEGMENT_BYTES);
	wa_put32(raw + WA_WALHEADER_BLCKSZ, 8192);
	for (uint64_t segno = 1; segno <= count; segno++)
		if (missing == 0 || segno % missing != 0)
			make_object(segno);
	return 0;
}
