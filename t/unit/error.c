/*
 * error.c
 *	  What a failure says and whether it may pass by itself: `walarch get`
 *	  tries again only then, and never waits for damage to go away.
 */
#include <errno.h>

#include "core/error.h"

#include "tap.h"

int
main(void)
{
	static const struct
	{
		WaCode		code;
		bool		transient;
	}			codes[] = {
		{WA_NOT_FOUND, false}, {WA_EXISTS, false}, {WA_CHANGED, true},
		{WA_INVALID, false}, {WA_NO_SPACE, true}, {WA_NO_MEMORY, true},
		{WA_NO_DIRECTORY, true}, {WA_NO_MARKER, true},
		{WA_WRONG_CLUSTER, false}, {WA_CONFLICT, false}, {WA_DAMAGED, false},
		{WA_DAMAGED_SOURCE, false}, {WA_UNSUPPORTED, false},
		{WA_STUCK, false}, {WA_CANCELLED, false}, {WA_REFUSED, false}
	};
	static const struct
	{
		int			errno_value;
		WaCode		code;
		bool		transient;
	}			errnos[] = {
		{EIO, WA_IO, true}, {ESTALE, WA_IO, true}, {ETIMEDOUT, WA_IO, true},
		{EACCES, WA_IO, true}, {EMFILE, WA_IO, true}, {EROFS, WA_IO, true},
		{ENOENT, WA_IO, true}, {ENOTDIR, WA_IO, false},
		{ENAMETOOLONG, WA_IO, false}, {ELOOP, WA_IO, false},
		{ENOSPC, WA_NO_SPACE, true}, {EDQUOT, WA_NO_SPACE, true},
		{ENOMEM, WA_NO_MEMORY, true}
	};
	WaError		err;
	char		large[2 * WA_MESSAGE_BYTES];

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
	{
		is_int(wa_fail(&err, codes[i].code, "%s", "it"), codes[i].code,
			   "\"%s\" is passed on", wa_code_name(codes[i].code));
		is_int(wa_error_transient(&err), codes[i].transient, "may pass: %s",
			   codes[i].transient ? "yes" : "no");
		ok(strcmp(wa_code_name(codes[i].code), "unknown") != 0,
		   "it has a name");
	}
	wa_fail(&err, WA_INVALID, "\"%s\"", "a\nLOG:\t\033[2J\177 \303\251");
	is_str(err.message, "\"a?LOG:??[2J? \303\251\"",
		   "a name ends no line, and moves no cursor");
	wa_fail_errno(&err, EIO, "\"%s\"", "a\nb");
	ok(strchr(err.message, '\n') == NULL, "nor where a call failed");
	for (size_t i = 0; i < sizeof(errnos) / sizeof(errnos[0]); i++)
	{
		wa_fail(&err, WA_INVALID, "before");
		wa_hint(&err, "an old hint");
		is_int(wa_fail_errno(&err, errnos[i].errno_value, "could not do it"),
			   errnos[i].code, "%s", strerror(errnos[i].errno_value));
		is_int(err.errno_value, errnos[i].errno_value, "kept");
		has_str(err.message, strerror(errnos[i].errno_value), "and said");
		is_int(wa_error_transient(&err), errnos[i].transient, "may pass: %s",
			   errnos[i].transient ? "yes" : "no");
		ok(strstr(err.hint, "old") == NULL, "the hint is not an old one");
	}
	is_str(wa_code_name((WaCode) 1000), "unknown", "no such code");

	memset(large, 'x', sizeof(large));
	large[sizeof(large) - 1] = '\0';
	wa_fail(&err, WA_INVALID, "%s", large);
	is_int(strlen(err.message), WA_MESSAGE_BYTES - 1, "a message is cut");
	wa_fail_errno(&err, EIO, "%s", large);
	is_int(strlen(err.message), WA_MESSAGE_BYTES - 1,
		   "also with a reason behind it");
	wa_hint(&err, "%s", large);
	is_int(strlen(err.hint), WA_HINT_BYTES - 1, "so is a hint");
	return done_testing();
}
