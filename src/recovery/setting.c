/*
 * setting.c
 *	  A line of a configuration file of PostgreSQL.
 */
#include "recovery/setting.h"

void
wa_setting_put(FILE *to, const char *name, const char *value)
{
	fprintf(to, "%s = '", name);
	for (const char *c = value; *c != '\0'; c++)
	{
		if (*c == '\'' || *c == '\\')
			fputc(*c, to);
		if (*c == '\n')
			fputs("\\n", to);
		else
			fputc(*c, to);
	}
	fprintf(to, "'\n");
}
