/*
 * error.h
 *	  Errors as values: a code to act upon and one line to show.
 *
 * A function that can fail returns a WaCode and, unless it returns WA_OK,
 * fills the caller's WaError (last parameter, never NULL).  Nobody below
 * src/server and src/cli prints, logs or exits.
 */
#ifndef WA_ERROR_H
#define WA_ERROR_H

#include <stdbool.h>
#include <stddef.h>

typedef enum WaCode
{
	WA_OK = 0,
	WA_NOT_FOUND,				/* proven absent */
	WA_EXISTS,					/* something else has that name */
	WA_CHANGED,					/* replaced while it was being read */
	WA_INVALID,					/* a value, name or option that cannot be */
	WA_IO,						/* the system failed us; errno_value says how */
	WA_NO_SPACE,				/* disk or quota full */
	WA_NO_MEMORY,
	WA_NO_DIRECTORY,			/* the archive directory itself is not there */
	WA_NO_MARKER,				/* there, but nothing says it is an archive */
	WA_WRONG_CLUSTER,			/* belongs to another cluster */
	WA_CONFLICT,				/* same name, valid, different content */
	WA_DAMAGED,					/* was read and contradicts itself */
	WA_DAMAGED_SOURCE,			/* was already damaged when it was archived */
	WA_UNSUPPORTED,				/* format or file system we do not know */
	WA_STUCK,					/* an operation has not come back in time */
	WA_CANCELLED,				/* given up by whoever asked */
	WA_REFUSED,					/* delivering it could split the history */
	WA_HOLE						/* proven absent, and WAL goes on behind it */
} WaCode;

#define WA_MESSAGE_BYTES	1024
#define WA_HINT_BYTES		768

typedef struct WaError
{
	WaCode		code;
	int			errno_value;	/* 0 where no system call failed */
	char		message[WA_MESSAGE_BYTES];	/* one line, names the file */
	char		hint[WA_HINT_BYTES];	/* what to do, or empty */
} WaError;

/* Set code and message; errno_value and hint become empty.  Returns code. */
extern WaCode wa_fail(WaError *err, WaCode code, const char *format,...)
			__attribute__((format(printf, 3, 4)));

/*
 * The same for a failed system call: appends ": <strerror>" and picks
 * WA_NO_SPACE, WA_NO_MEMORY or WA_IO from errno_value.
 */
extern WaCode wa_fail_errno(WaError *err, int errno_value,
							const char *format,...)
			__attribute__((format(printf, 3, 4)));

/* Add the way out to an error already set. */
extern void wa_hint(WaError *err, const char *format,...)
			__attribute__((format(printf, 2, 3)));

/*
 * May the same call succeed a moment later without anybody acting on the
 * archive's contents?  Decides whether `walarch get` tries again.
 */
extern bool wa_error_transient(const WaError *err);

/* A short stable word for the cause, such as "conflict" (for status, JSON). */
extern const char *wa_code_name(WaCode code);

#endif							/* WA_ERROR_H */
