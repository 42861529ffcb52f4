/*
 * row.c
 *	  A row of a result under construction.
 */
#include "server/row.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "server/clock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

void
walarch_put(Row *row, Datum value)
{
	row->values[row->count] = value;
	row->nulls[row->count++] = false;
}

void
walarch_put_null(Row *row)
{
	row->values[row->count] = (Datum) 0;
	row->nulls[row->count++] = true;
}

/* Text whose bytes somebody else chose may be none in this database. */
static Datum
text_datum(const char *raw)
{
	char	   *text;

	if (pg_verifymbstr(raw, (int) strlen(raw), true))
		return CStringGetTextDatum(raw);
	text = pstrdup(raw);
	for (char *c = text; *c != '\0'; c++)
	{
		if (IS_HIGHBIT_SET(*c))
			*c = '?';
	}
	return CStringGetTextDatum(text);
}

void
walarch_put_text(Row *row, const char *text)
{
	if (text == NULL || text[0] == '\0')
		walarch_put_null(row);
	else
		walarch_put(row, text_datum(text));
}

void
walarch_put_int8(Row *row, uint64 value)
{
	walarch_put(row, Int64GetDatum((int64) value));
}

void
walarch_put_bool(Row *row, bool value)
{
	walarch_put(row, BoolGetDatum(value));
}

void
walarch_put_lsn(Row *row, uint64 lsn)
{
	if (lsn == 0)
		walarch_put_null(row);
	else
		walarch_put(row, LSNGetDatum(lsn));
}

void
walarch_put_time(Row *row, bool known, int64 unix_us)
{
	if (!known)
		walarch_put_null(row);
	else
		walarch_put(row, TimestampTzGetDatum(walarch_timestamp(unix_us)));
}

void
walarch_put_texts(Row *row, const char *const *texts, int count)
{
	Datum	   *values = palloc(sizeof(Datum) * (Size) (count + 1));

	for (int i = 0; i < count; i++)
		values[i] = text_datum(texts[i]);
	walarch_put(row, PointerGetDatum(construct_array(values, count, TEXTOID,
													 -1, false,
													 TYPALIGN_INT)));
}

void
walarch_emit(ReturnSetInfo *result, Row *row)
{
	tuplestore_putvalues(result->setResult, result->setDesc, row->values,
						 row->nulls);
}
