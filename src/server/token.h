/*
 * token.h
 *	  Random names.
 */
#ifndef WALARCH_TOKEN_H
#define WALARCH_TOKEN_H

#include "postgres.h"

/*
 * So many hexadecimal digits (an even number, up to 64) and a NUL; false when
 * there is no randomness to be had.
 */
extern bool walarch_random_text(char *text, size_t digits);

#endif							/* WALARCH_TOKEN_H */
