/*
 * report.h
 *	  Our errors as PostgreSQL's: the only translator.
 */
#ifndef WALARCH_REPORT_H
#define WALARCH_REPORT_H

#include "postgres.h"

#include "core/error.h"

/* The SQLSTATE of an error, as errcode() takes it. */
extern int	walarch_sqlstate(const WaError *err);

/*
 * Write an error to the log at a level below ERROR, as "could not archive
 * "file": message".
 */
extern void walarch_report(int elevel, const char *file, const WaError *err);

#endif							/* WALARCH_REPORT_H */
