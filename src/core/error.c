/*
 * error.c
 *	  Errors as values: the one place where a message is put together.
 */
#include "core/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/utf8.h"

/*
 * Names come from directories that others may write to: they must not end the
 * line, nor move the cursor of whoever reads it, nor be what a session's
 * encoding does not know.
 */
static void
make_plain(char *text)
{
	while (*text != '\0')
	{
		size_t		length = wa_utf8_character(text);

		if (length == 0)
			*text = '?';
		text += length > 0 ? length : 1;
	}
}

WaCode
wa_fail(WaError *err, WaCode code, const char *format,...)
{
	va_list		args;

	err->code = code;
	err->errno_value = 0;
	err->hint[0] = '\0';
	va_start(args, format);
	vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);
	make_plain(err->message);
	return code;
}

WaCode
wa_fail_errno(WaError *err, int errno_value, const char *format,...)
{
	va_list		args;
	size_t		length;
	char		text[128];

	err->errno_value = errno_value;
	err->hint[0] = '\0';
	va_start(args, format);
	vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);
	make_plain(err->message);

	/* the GNU strerror_r: threads must not share strerror's buffer */
	length = strlen(err->message);
	snprintf(err->message + length, sizeof(err->message) - length, ": %s",
			 strerror_r(errno_value, text, sizeof(text)));

	switch (errno_value)
	{
		case ENOSPC:
		case EDQUOT:
			err->code = WA_NO_SPACE;
			wa_hint(err, "Make room there.");
			break;
		case ENOMEM:
			err->code = WA_NO_MEMORY;
			break;
		default:
			err->code = WA_IO;
	}
	return err->code;
}

void
wa_hint(WaError *err, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	vsnprintf(err->hint, sizeof(err->hint), format, args);
	va_end(args);
}

bool
wa_error_transient(const WaError *err)
{
	switch (err->code)
	{
		case WA_IO:

			/*
			 * A path that cannot be right does not become right by waiting;
			 * everything else a disk or a network says may pass.
			 */
			return err->errno_value != ENOTDIR &&
				err->errno_value != ENAMETOOLONG &&
				err->errno_value != ELOOP;
		case WA_CHANGED:
		case WA_NO_SPACE:
		case WA_NO_MEMORY:
		case WA_NO_DIRECTORY:
		case WA_NO_MARKER:
			return true;
		default:
			return false;
	}
}

const char *
wa_code_name(WaCode code)
{
	static const char *const names[] = {
		[WA_OK] = "ok",
		[WA_NOT_FOUND] = "not found",
		[WA_EXISTS] = "exists",
		[WA_CHANGED] = "changed",
		[WA_INVALID] = "invalid",
		[WA_IO] = "i/o error",
		[WA_NO_SPACE] = "no space",
		[WA_NO_MEMORY] = "no memory",
		[WA_NO_DIRECTORY] = "no directory",
		[WA_NO_MARKER] = "no marker",
		[WA_WRONG_CLUSTER] = "wrong cluster",
		[WA_CONFLICT] = "conflict",
		[WA_DAMAGED] = "damaged",
		[WA_DAMAGED_SOURCE] = "damaged source",
		[WA_UNSUPPORTED] = "unsupported",
		[WA_STUCK] = "stuck",
		[WA_CANCELLED] = "cancelled",
		[WA_REFUSED] = "refused",
		[WA_HOLE] = "hole",
	};

	if ((size_t) code >= sizeof(names) / sizeof(names[0]))
		return "unknown";
	return names[code];
}
