/*
 * report.c
 *	  Our errors as PostgreSQL's: the only translator.
 */
#include "server/report.h"

int
walarch_sqlstate(const WaError *err)
{
	switch (err->code)
	{
		case WA_NO_SPACE:
			return ERRCODE_DISK_FULL;
		case WA_NO_MEMORY:
			return ERRCODE_OUT_OF_MEMORY;
		case WA_INVALID:
			return ERRCODE_INVALID_PARAMETER_VALUE;
		case WA_NOT_FOUND:
		case WA_NO_DIRECTORY:
			return ERRCODE_UNDEFINED_FILE;
		case WA_NO_MARKER:
		case WA_WRONG_CLUSTER:
			return ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
		case WA_EXISTS:
		case WA_CONFLICT:
			return ERRCODE_DUPLICATE_FILE;
		case WA_DAMAGED:
		case WA_DAMAGED_SOURCE:
			return ERRCODE_DATA_CORRUPTED;
		case WA_UNSUPPORTED:
			return ERRCODE_FEATURE_NOT_SUPPORTED;
		case WA_STUCK:
			return ERRCODE_SYSTEM_ERROR;
		case WA_IO:
			if (err->errno_value == EACCES || err->errno_value == EPERM)
				return ERRCODE_INSUFFICIENT_PRIVILEGE;
			return ERRCODE_IO_ERROR;
		default:
			return ERRCODE_INTERNAL_ERROR;
	}
}

void
walarch_report(int elevel, const char *file, const WaError *err)
{
	Assert(elevel < ERROR);
	ereport(elevel,
			(errcode(walarch_sqlstate(err)),
			 errmsg("walarch could not archive \"%s\": %s", file,
					err->message),
			 err->hint[0] != '\0' ? errhint("%s", err->hint) : 0));
}
