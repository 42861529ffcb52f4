/*
 * row.h
 *	  A row of a result under construction: values in the order of the SQL
 *	  declaration.
 */
#ifndef WALARCH_ROW_H
#define WALARCH_ROW_H

#include "postgres.h"

#include "funcapi.h"

#define WALARCH_COLUMNS_MAX	48

typedef struct Row
{
	int			count;
	Datum		values[WALARCH_COLUMNS_MAX];
	bool		nulls[WALARCH_COLUMNS_MAX];
} Row;

extern void walarch_put(Row *row, Datum value);
extern void walarch_put_null(Row *row);

/* Null for NULL and for an empty text. */
extern void walarch_put_text(Row *row, const char *text);
extern void walarch_put_int8(Row *row, uint64 value);
extern void walarch_put_bool(Row *row, bool value);

/* Null for 0. */
extern void walarch_put_lsn(Row *row, uint64 lsn);

/* Microseconds of the Unix epoch; null unless known. */
extern void walarch_put_time(Row *row, bool known, int64 unix_us);

/* An array of texts; may be empty, but is never null. */
extern void walarch_put_texts(Row *row, const char *const *texts, int count);

/* Into the result of a function that returns a set. */
extern void walarch_emit(ReturnSetInfo *result, Row *row);

#endif							/* WALARCH_ROW_H */
