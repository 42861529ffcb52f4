/*
 * basebackup.c
 *	  The text that advertises a base backup: what is accepted names only
 *	  files that can be, each once, and comes back when written again.
 */
#include "core/basebackup.h"

#include "archive/layout.h"
#include "fuzz.h"

/* libFuzzer: -max_len=4096 */

static bool
time_writable(int64_t time_us)
{
	return time_us > 0 && time_us < INT64_C(253402300800) * 1000000;
}

static bool
can_be_written(const WaBaseBackup *backup)
{
	for (size_t i = 0; i < backup->files_count; i++)
		if (!wa_base_path_valid(backup->files[i].location))
			return false;
	return wa_base_label_valid(backup->label) &&
		time_writable(backup->start_us) &&
		(backup->stop_lsn == 0 || time_writable(backup->stop_us));
}

static void
check_files(const WaBaseBackup *backup)
{
	for (size_t i = 0; i < backup->files_count; i++)
	{
		const WaBaseFile *file = &backup->files[i];
		char		key[WA_KEY_BYTES];
		uint32_t	oid;

		hold(wa_base_file_valid(file->name, &oid));
		hold((oid != 0) == (file->location[0] == '/'));
		hold(wa_base_file(backup, file->name) == file);
		wa_layout_base_key(backup->id, file->name, key);
		hold(wa_key_valid(key));
	}
}

static void
check_again(const WaBaseBackup *backup, bool ended)
{
	char	   *text = wa_base_format(backup);
	WaBaseBackup again;
	WaError		err;

	hold(text != NULL);
	hold(wa_base_parse(text, strlen(text), "again", ended, &again, &err) == WA_OK);
	hold(strcmp(again.id, backup->id) == 0);
	hold(strcmp(again.label, backup->label) == 0);
	hold(strcmp(again.parent, backup->parent) == 0);
	hold(again.start_lsn == backup->start_lsn);
	hold(again.start_us == backup->start_us);
	hold(again.start_tli == backup->start_tli);
	hold(again.server_version == backup->server_version);
	hold(again.stop_lsn == backup->stop_lsn);
	if (backup->stop_lsn != 0)
	{
		hold(again.stop_us == backup->stop_us);
		hold(again.files_count == backup->files_count);
		hold(wa_base_stored_bytes(&again) == wa_base_stored_bytes(backup));
		for (size_t i = 0; i < again.files_count; i++)
			hold(memcmp(&again.files[i], &backup->files[i],
						sizeof(again.files[i])) == 0);
	}
	wa_base_free(&again);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_text(data, size);

	for (int ended = 0; ended < 2; ended++)
	{
		WaBaseBackup backup;
		WaError		err;

		if (wa_base_parse(text, size, "fuzzed", ended, &backup, &err) == WA_OK)
		{
			hold(wa_base_id_valid(backup.id));
			check_files(&backup);
			if (can_be_written(&backup))
				check_again(&backup, ended);
		}
		wa_base_free(&backup);
	}
	free(text);
	return 0;
}
