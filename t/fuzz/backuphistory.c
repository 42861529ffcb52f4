/*
 * backuphistory.c
 *	  Backup history files, and the times in them: strings end within their
 *	  fields, LSNs are in order, and a time comes back when written again.
 */
#include "core/backuphistory.h"

#include "core/keyvalue.h"
#include "fuzz.h"

/* libFuzzer: -max_len=4096 */

static void
check_time(const char *text)
{
	char		written[WA_KEYVALUE_TIME_BYTES];
	int64_t		time_us;
	int64_t		again_us;

	if (!wa_backuphistory_time(text, &time_us))
		return;
	hold(time_us % 1000000 == 0);
	/* a zone can carry the first and the last day over the edge */
	if (time_us < 0 || time_us >= INT64_C(253402300800) * 1000000)
		return;
	wa_keyvalue_time_text(time_us, written);
	hold(wa_backuphistory_time(written, &again_us) && again_us == time_us);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_text(data, size);
	WaBackupHistory backup;
	WaError		err;

	check_time(text);
	if (wa_backuphistory_parse(text, size, "fuzzed", &backup, &err) == WA_OK)
	{
		hold(backup.start_lsn > 0 && backup.stop_lsn >= backup.start_lsn);
		hold(backup.start_tli > 0 && backup.stop_tli >= backup.start_tli);
	}
	hold(strnlen(backup.label, sizeof(backup.label)) < sizeof(backup.label));
	hold(strnlen(backup.start_time, WA_BACKUP_TIME_BYTES) < WA_BACKUP_TIME_BYTES);
	hold(strnlen(backup.stop_time, WA_BACKUP_TIME_BYTES) < WA_BACKUP_TIME_BYTES);
	check_time(backup.start_time);
	check_time(backup.stop_time);
	free(text);
	return 0;
}
