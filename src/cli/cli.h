/*
 * cli.h
 *	  What the subcommands share.
 */
#ifndef WA_CLI_H
#define WA_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "archive/catalogue.h"
#include "core/controlfile.h"
#include "core/error.h"
#include "store/store.h"

/* Exit statuses of every subcommand but get (see exitcode.h). */
#define WA_EXIT_OK			0
#define WA_EXIT_FAILED		1
#define WA_EXIT_USAGE		2

/* The subcommands; argv[0] is the name of the subcommand. */
extern int	wa_cmd_get(int argc, char **argv);
extern int	wa_cmd_list(int argc, char **argv);
extern int	wa_cmd_init(int argc, char **argv);
extern int	wa_cmd_pin(int argc, char **argv);
extern int	wa_cmd_prefetch(int argc, char **argv);
extern int	wa_cmd_prune(int argc, char **argv);
extern int	wa_cmd_unpin(int argc, char **argv);
extern int	wa_cmd_verify(int argc, char **argv);
extern int	wa_cmd_status(int argc, char **argv);

/* Print "walarch SUBCOMMAND: message" and the hint, if any, to stderr. */
extern void wa_cli_error(const char *subcommand, const WaError *err);

/* Print a usage error and where to look; returns WA_EXIT_USAGE. */
extern int	wa_cli_usage(const char *subcommand, const char *format,...)
			__attribute__((format(printf, 2, 3)));

/* --archive, or WALARCH_ARCHIVE, or NULL. */
extern const char *wa_cli_archive(const char *option);

/* -D, or PGDATA, or NULL. */
extern const char *wa_cli_datadir(const char *option);

/*
 * Read DATADIR/global/pg_control.  WA_NOT_FOUND when there is none.
 */
extern WaCode wa_cli_control(const char *datadir, WaControlFile *control,
							 WaError *err);

/* 0600 or 0640, 0700 or 0750, as the permissions of a directory suggest. */
extern void wa_cli_modes(const char *directory, mode_t *file_mode,
						 mode_t *dir_mode);

/*
 * Open an archive, read its marker, and list it, with sizes.  On success the
 * caller closes the store and frees the catalogue.
 */
extern WaCode wa_cli_catalogue(const char *path, WaStore **store,
							   WaCatalogue *catalogue, WaError *err);

/*
 * Open an archive to change it, as the user that owns it and with the modes
 * of its directory, and read its marker.  On success the caller closes.
 */
extern WaCode wa_cli_archive_open(const char *path, WaStore **store,
								  WaMarker *marker, WaError *err);

/*
 * The same, and the token of its temporaries in WA_TOKEN_BYTES: whoever writes
 * for hours leaves a note of it.
 */
extern WaCode wa_cli_archive_open_noted(const char *path, char *token,
										WaStore **store, WaMarker *marker,
										WaError *err);

#define WA_TIME_TEXT_BYTES	64

/*
 * Microseconds since 1970 as text: ISO 8601 in UTC for programs, or in the
 * time zone of whoever asks, named, for people.  Whole seconds.
 */
extern const char *wa_cli_time_text(int64_t unix_us, bool for_programs,
									char *text);

/*
 * Read a point in time: "2026-11-23 02:15[:00[.5]]", then nothing (the time
 * zone of whoever asks), "Z", "UTC" or an offset such as "+02" or "+05:30".
 * False when it is none, or does not exist, or exists twice.
 */
extern bool wa_cli_time_parse(const char *text, int64_t *unix_us);

/* Random lower-case hexadecimal digits and a NUL; false when there are none. */
extern bool wa_cli_random(char *text, size_t digits);

/* Microseconds since 1970-01-01 UTC. */
extern int64_t wa_cli_now_us(void);

/* Milliseconds of a clock that only goes forward. */
extern uint64_t wa_cli_now_ms(void);

#endif							/* WA_CLI_H */
