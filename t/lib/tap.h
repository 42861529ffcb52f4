/*
 * tap.h
 *	  Test Anything Protocol for the unit tests.  A failed test shows the
 *	  values seen.
 */
#ifndef TAP_H
#define TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"

static int	tap_run;
static int	tap_failed;

static inline void __attribute__((format(printf, 1, 2)))
diag(const char *format,...)
{
	va_list		args;

	va_start(args, format);
	fflush(stdout);
	fputs("#   ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
}

static inline bool __attribute__((format(printf, 4, 5)))
tap_ok(bool good, const char *file, int line, const char *format,...)
{
	va_list		args;

	tap_run++;
	printf("%sok %d - ", good ? "" : "not ", tap_run);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	if (!good)
	{
		tap_failed++;
		diag("failed at %s line %d", file, line);
	}
	return good;
}

#define ok(good, ...) tap_ok((good), __FILE__, __LINE__, __VA_ARGS__)

/* Numbers of any kind, shown in both bases. */
#define is_int(got, want, ...) \
	do { \
		unsigned long long got_ = (unsigned long long) (got); \
		unsigned long long want_ = (unsigned long long) (want); \
		if (!ok(got_ == want_, __VA_ARGS__)) \
			diag("got %lld (%llx), wanted %lld (%llx)", \
				 (long long) got_, got_, (long long) want_, want_); \
	} while (0)

#define is_str(got, want, ...) \
	do { \
		const char *got_ = (got); \
		const char *want_ = (want); \
		if (!ok(strcmp(got_, want_) == 0, __VA_ARGS__)) \
			diag("got \"%s\", wanted \"%s\"", got_, want_); \
	} while (0)

#define has_str(got, want, ...) \
	do { \
		const char *got_ = (got); \
		const char *want_ = (want); \
		if (!ok(strstr(got_, want_) != NULL, __VA_ARGS__)) \
			diag("\"%s\" is not in \"%s\"", want_, got_); \
	} while (0)

/* A WaCode; a wrong one is shown with the error that came with it. */
#define is_code(got, want, err, ...) \
	do { \
		WaCode got_ = (got); \
		WaCode want_ = (want); \
		if (!ok(got_ == want_, __VA_ARGS__)) \
			diag("got \"%s\", wanted \"%s\": %s", wa_code_name(got_), \
				 wa_code_name(want_), got_ == WA_OK ? "" : (err)->message); \
	} while (0)

static inline void
skip(const char *why, int count)
{
	while (count-- > 0)
		printf("ok %d # SKIP %s\n", ++tap_run, why);
}

/* What a test cannot go on without. */
#define must(good) \
	do { \
		if (!(good)) \
		{ \
			printf("Bail out! %s line %d: %s\n", __FILE__, __LINE__, #good); \
			exit(255); \
		} \
	} while (0)

/* The last line of main: return done_testing(); */
static inline int
done_testing(void)
{
	printf("1..%d\n", tap_run);
	return tap_failed > 0 || tap_run == 0;
}

#endif							/* TAP_H */
