/*
 * configure.c
 *	  What tells a restored server how to recover: settings and signal files.
 */
#include "recovery/configure.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/lsn.h"
#include "recovery/setting.h"

/* A word of a shell command in which the server looks for % signs. */
static void
put_word(FILE *to, const char *word)
{
	fputc('\'', to);
	for (const char *c = word; *c != '\0'; c++)
	{
		if (*c == '\'')
			fprintf(to, "'\\'");
		if (*c == '%')
			fputc('%', to);
		fputc(*c, to);
	}
	fputc('\'', to);
}

static char *
restore_command(const WaCatalogue *catalogue, const WaRestore *restore,
				const WaRestorePlan *plan, const WaBinaries *binaries)
{
	char	   *text = NULL;
	size_t		length;
	FILE	   *to = open_memstream(&text, &length);
	char		segment[WA_WALNAME_BYTES];

	if (to == NULL)
		return NULL;
	put_word(to, binaries->walarch);
	fprintf(to, " get --archive ");
	put_word(to, restore->archive);
	if (restore->target.kind != WA_TARGET_LATEST && !restore->standby)
	{
		wa_segment_name(segment, plan->choice.until.tli,
						plan->choice.until.segno,
						catalogue->marker.segment_bytes);
		fprintf(to, " --until %s", segment);
	}
	/* what was made since the backup must not be made over its original */
	fprintf(to, " --new-tablespaces %s", restore->bare ? "none" : "empty");
	fprintf(to, " \"%%f\" \"%%p\"");
	if (fclose(to) == 0)
		return text;
	free(text);
	return NULL;
}

/*
 * The backup may bring a target, and two are an error: the others are set to
 * nothing, before this one, since PostgreSQL 15 judges each as it comes.
 */
static void
put_target(FILE *to, const WaRestore *restore, const WaRestorePlan *plan)
{
	static const char *const names[] = {
		[WA_TARGET_XID] = "recovery_target_xid",
		[WA_TARGET_IMMEDIATE] = "recovery_target",
		[WA_TARGET_TIME] = "recovery_target_time",
		[WA_TARGET_LSN] = "recovery_target_lsn",
		[WA_TARGET_NAME] = "recovery_target_name"
	};
	const WaTarget *target = &restore->target;
	WaTargetKind kind = restore->standby ? WA_TARGET_LATEST : target->kind;
	char		text[64] = "";

	for (size_t i = WA_TARGET_IMMEDIATE; i < sizeof(names) / sizeof(names[0]);
		 i++)
		if (i != kind)
			wa_setting_put(to, names[i], "");
	if (kind == WA_TARGET_IMMEDIATE)
		snprintf(text, sizeof(text), "immediate");
	else if (kind == WA_TARGET_LSN)
		snprintf(text, sizeof(text), WA_LSN_FORMAT, WA_LSN_ARGS(target->lsn));
	else if (kind == WA_TARGET_TIME)
	{
		time_t		seconds = (time_t) (target->time_us / 1000000);
		struct tm	parts;
		size_t		length;

		gmtime_r(&seconds, &parts);
		length = strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts);
		snprintf(text + length, sizeof(text) - length, ".%06d+00",
				 (int) (target->time_us % 1000000));
	}
	else if (kind == WA_TARGET_XID)
		snprintf(text, sizeof(text), "%" PRIu32, target->xid);
	if (kind != WA_TARGET_LATEST)
		wa_setting_put(to, names[kind],
					kind == WA_TARGET_NAME ? target->name : text);
	if (restore->standby)
		wa_setting_put(to, "recovery_target_timeline", "latest");
	else if (!plan->choice.history_known)
		wa_setting_put(to, "recovery_target_timeline", "current");
	else
		fprintf(to, "recovery_target_timeline = '%" PRIu32 "'\n",
				plan->choice.tli);
	wa_setting_put(to, "recovery_target_inclusive", "on");
	wa_setting_put(to, "recovery_target_action", restore->action != NULL ?
				restore->action : "pause");
	wa_setting_put(to, "recovery_min_apply_delay", "0");
}

static WaCode
append_settings(const WaCatalogue *catalogue, const WaRestore *restore,
				const WaRestorePlan *plan, const WaBinaries *binaries,
				const char *path, WaError *err)
{
	char	   *command = restore_command(catalogue, restore, plan, binaries);
	int			fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW |
						  O_CLOEXEC, 0600);
	FILE	   *to = fd >= 0 ? fdopen(fd, "a") : NULL;
	bool		good;

	if (to == NULL || command == NULL)
	{
		wa_fail_errno(err, errno, "could not open \"%s\"", path);
		if (to != NULL)
			fclose(to);
		free(command);
		return err->code;
	}
	fprintf(to, "# written by walarch restore\n");
	wa_setting_put(to, "restore_command", command);
	put_target(to, restore, plan);
	wa_setting_put(to, "archive_cleanup_command", "");
	wa_setting_put(to, "recovery_end_command", "");
	if (!restore->archiving)
		wa_setting_put(to, "archive_mode", "off");
	/* a second subscriber would take from the publisher what is the first's */
	if (!restore->archiving && !restore->standby)
		wa_setting_put(to, "max_logical_replication_workers", "0");
	wa_setting_put(to, "hot_standby", "on");
	wa_setting_put(to, "primary_conninfo", restore->primary_conninfo != NULL ?
				restore->primary_conninfo : "");
	wa_setting_put(to, "primary_slot_name", restore->slot != NULL ?
				restore->slot : "");
	good = !ferror(to);
	if (fclose(to) != 0 || !good)
		wa_fail_errno(err, errno, "could not write \"%s\"", path);
	else
		err->code = WA_OK;
	free(command);
	return err->code;
}

WaCode
wa_configure(const WaCatalogue *catalogue, const WaRestore *restore,
			 const WaRestorePlan *plan, const WaBinaries *binaries,
			 WaError *err)
{
	static const char *const signals[] = {"standby.signal", "recovery.signal"};
	char		path[PATH_MAX];
	char		original[PATH_MAX];
	int			fd;

	snprintf(path, sizeof(path), "%.2000s/postgresql.auto.conf",
			 restore->directory);
	snprintf(original, sizeof(original), "%.2000s/postgresql.auto.conf.original",
			 restore->directory);
	if (restore->bare && rename(path, original) != 0 && errno != ENOENT)
		return wa_fail_errno(err, errno, "could not rename \"%s\"", path);
	if (append_settings(catalogue, restore, plan, binaries, path,
						err) != WA_OK)
		return err->code;
	/* a backup of a standby may bring the other one */
	for (int i = 0; i < 2; i++)
	{
		snprintf(path, sizeof(path), "%.2000s/%s", restore->directory,
				 signals[i]);
		if (unlink(path) != 0 && errno != ENOENT)
			return wa_fail_errno(err, errno, "could not remove \"%s\"", path);
	}
	snprintf(path, sizeof(path), "%.2000s/%s", restore->directory,
			 signals[restore->standby ? 0 : 1]);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || close(fd) != 0)
		return wa_fail_errno(err, errno, "could not create \"%s\"", path);
	return WA_OK;
}
