/*
 * setting.h
 *	  A line of a configuration file of PostgreSQL.
 */
#ifndef WA_RECOVERY_SETTING_H
#define WA_RECOVERY_SETTING_H

#include <stdio.h>

/* "name = 'value'", quoted as the server reads it. */
extern void wa_setting_put(FILE *to, const char *name, const char *value);

#endif							/* WA_RECOVERY_SETTING_H */
