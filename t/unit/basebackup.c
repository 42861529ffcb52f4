/*
 * basebackup.c
 *	  The text that advertises a base backup.
 */
#include "core/basebackup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"

static WaError err;

static const char whole[] =
"walarch-backup: 1\n"
"id: 000000010000000000000003.00000028\n"
"label: a \"label\": with : colons\n"
"from: primary\n"
"server-version: 150020\n"
"timeline: 1\n"
"start-lsn: 0/3000028\n"
"start-time: 2026-11-23 02:15:00 UTC\n"
"stop-timeline: 1\n"
"stop-lsn: 0/3000100\n"
"stop-time: 2026-11-23 02:15:07 UTC\n"
"checksum-failures: no\n"
"file: 16437.tar.zst 1122816 8811 00112233445566778899aabbccddeeff /srv/with space\n"
"file: base.tar.zst 23541760 3312345 ffeeddccbbaa99887766554433221100\n"
"file: backup_manifest.zst 138216 51234 0123456789abcdef0123456789abcdef\n";

static WaCode
parse(const char *text, bool ended, WaBaseBackup *backup)
{
	return wa_base_parse(text, strlen(text), "base/x/backup", ended, backup,
						 &err);
}

/* The text with one line replaced, or removed. */
static char *
changed(const char *key, const char *line)
{
	char	   *text = malloc(sizeof(whole) + 2000);
	const char *at = strstr(whole, key);
	const char *end = at != NULL ? strchr(at, '\n') + 1 : NULL;

	must(text != NULL && at != NULL);
	snprintf(text, sizeof(whole) + 2000, "%.*s%s%s", (int) (at - whole), whole,
			 line, end);
	return text;
}

static void
test_round_trip(void)
{
	WaBaseBackup backup;
	WaBaseBackup back;
	char	   *text;

	is_code(parse(whole, true, &backup), WA_OK, &err, "a text");
	is_str(backup.id, "000000010000000000000003.00000028", "its id");
	is_str(backup.label, "a \"label\": with : colons", "a label with colons");
	is_int(backup.server_version, 150020, "version");
	is_int(backup.start_lsn, 0x3000028, "start");
	is_int(backup.stop_lsn, 0x3000100, "stop");
	is_int(backup.stop_us - backup.start_us, 7000000, "times");
	ok(!backup.from_standby && !backup.checksum_failures, "flags");
	is_int(backup.files_count, 3, "files");
	is_str(backup.files[0].location, "/srv/with space", "a tablespace");
	is_str(backup.files[1].location, "", "the others have no location");
	is_int(wa_base_stored_bytes(&backup), 8811 + 3312345 + 51234, "sizes");

	text = wa_base_format(&backup);
	must(text != NULL);
	is_str(text, whole, "is written as it was read");
	free(text);

	strcpy(backup.parent, "000000010000000000000002.00000028");
	strcpy(backup.token, "0123456789abcdef");
	backup.from_standby = backup.checksum_failures = true;
	text = wa_base_format(&backup);
	must(text != NULL);
	is_code(parse(text, true, &back), WA_OK, &err, "with all that there can be");
	is_str(back.parent, backup.parent, "parent");
	is_str(back.token, backup.token, "token");
	ok(back.from_standby && back.checksum_failures, "flags");
	free(text);
	wa_base_free(&back);

	backup.stop_lsn = 0;
	text = wa_base_format(&backup);
	must(text != NULL);
	ok(strstr(text, "stop") == NULL && strstr(text, "file:") == NULL,
	   "one that has only begun says nothing of its end");
	is_code(parse(text, true, &back), WA_DAMAGED, &err, "and is not whole");
	wa_base_free(&back);
	is_code(parse(text, false, &back), WA_OK, &err, "but has begun");
	wa_base_free(&back);
	free(text);
	wa_base_free(&backup);
	wa_base_free(&backup);
}

static void
test_bad(void)
{
	static const struct
	{
		const char *key;
		const char *line;
	}			bad[] = {
		{"walarch-backup:", ""}, {"walarch-backup:", "walarch-backup: 0\n"},
		{"walarch-backup:", "walarch-backup: x\n"},
		{"id:", ""}, {"id:", "id: ../x\n"}, {"id:", "id: .x\n"},
		{"id:", "id: \n"},
		{"server-version:", ""}, {"server-version:", "server-version: -1\n"},
		{"timeline:", ""}, {"timeline:", "timeline: 1\ntimeline: 2\n"},
		{"start-lsn:", ""}, {"start-lsn:", "start-lsn: -1/+5\n"},
		{"start-lsn:", "start-lsn: 0/3000028\nstart-lsn: 0/9000028\n"},
		{"start-time:", ""}, {"start-time:", "start-time: soon\n"},
		{"stop-timeline:", ""}, {"stop-lsn:", ""},
		{"stop-lsn:", "stop-lsn: 0/3000028\n"},
		{"stop-time:", ""}, {"from:", "from: elsewhere\n"},
		{"checksum-failures:", "checksum-failures: some\n"},
		{"file: base", ""}, {"file: backup_manifest", ""},
		{"file: base", "file: base.tar.zst 1 2 0123\n"},
		{"file: base", "file: base.tar.zst 1 2 0123456789abcdef0123456789ABCDEF\n"},
		{"file: base", "file: base.tar.zst x 2 0123456789abcdef0123456789abcdef\n"},
		{"file: base", "file: base.tar.zst 1 2 0123456789abcdef0123456789abcdef /x\n"},
		{"file: base", "file: backup_manifest.zst 1 2 0123456789abcdef0123456789abcdef\n"},
		{"file: 16437", "file: 16437.tar.zst 1 2 0123456789abcdef0123456789abcdef\n"},
		{"file: 16437", "file: 16437.tar.zst 1 2 0123456789abcdef0123456789abcdef x\n"},
		{"file: 16437", "file: 0.tar.zst 1 2 0123456789abcdef0123456789abcdef /x\n"},
		{"file: 16437", "file: ../x.tar.zst 1 2 0123456789abcdef0123456789abcdef /x\n"},
		{"file: 16437", "file: -1.tar.zst 1 2 0123456789abcdef0123456789abcdef /x\n"}
	};
	WaBaseBackup backup;
	char	   *text;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		text = changed(bad[i].key, bad[i].line);
		is_code(parse(text, true, &backup), WA_DAMAGED, &err, "%s %s",
				bad[i].key, bad[i].line);
		wa_base_free(&backup);
		free(text);
	}
	has_str(err.message, "\"base/x/backup\"", "the file is named");
	text = changed("walarch-backup:", "walarch-backup: 2\n");
	is_code(parse(text, true, &backup), WA_UNSUPPORTED, &err, "a later version");
	wa_base_free(&backup);
	free(text);
	text = changed("label:", "requires-magic: yes\n");
	is_code(parse(text, true, &backup), WA_UNSUPPORTED, &err,
			"what it requires is not known");
	wa_base_free(&backup);
	free(text);
	text = changed("label:", "colour: blue\nno colon\n");
	is_code(parse(text, true, &backup), WA_OK, &err, "unknown lines");
	wa_base_free(&backup);
	free(text);
	is_code(wa_base_parse("a: b\0c: d\n", 10, "x", false, &backup, &err),
			WA_DAMAGED, &err, "a NUL");
	wa_base_free(&backup);

	/* whatever is cut off, nothing is read behind the end */
	for (size_t length = 0; length < sizeof(whole) - 1; length++)
	{
		char	   *part = malloc(length + 1);

		must(part != NULL);
		memcpy(part, whole, length);
		(void) wa_base_parse(part, length, "x", true, &backup, &err);
		wa_base_free(&backup);
		free(part);
	}
}

static void
test_names(void)
{
	uint32_t	oid;
	char		name[300];

	ok(wa_base_file_valid("base.tar.zst", &oid) && oid == 0, "base.tar.zst");
	ok(wa_base_file_valid("16384.tar.zst", &oid) && oid == 16384,
	   "16384.tar.zst");
	ok(!wa_base_file_valid("16384.tar", &oid), "16384.tar");
	ok(!wa_base_file_valid("16384.tar.zst.zst", &oid), "16384.tar.zst.zst");
	ok(!wa_base_file_valid("x/16384.tar.zst", &oid), "x/16384.tar.zst");
	ok(!wa_base_file_valid("", &oid), "nothing");
	memset(name, 'x', sizeof(name));
	name[WA_BASE_LABEL_BYTES] = '\0';
	ok(!wa_base_label_valid(name), "a label that is too long");
	name[WA_BASE_LABEL_BYTES - 1] = '\0';
	ok(wa_base_label_valid(name), "one that just fits");
	ok(wa_base_label_valid("") && wa_base_label_valid("\xc3\xa9"),
	   "none, and one beyond ASCII");
	ok(!wa_base_label_valid("a\nb") && !wa_base_label_valid("a\x7f"),
	   "control characters");
	ok(wa_base_path_valid("/a b") && !wa_base_path_valid("/a ") &&
	   !wa_base_path_valid("/a\tb"), "paths");
}

int
main(void)
{
	test_round_trip();
	test_bad();
	test_names();
	return done_testing();
}
