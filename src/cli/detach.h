/*
 * detach.h
 *	  Start this command again, as a process of its own in the background.
 */
#ifndef WA_DETACH_H
#define WA_DETACH_H

/*
 * Run the same command line with another subcommand, in a session of its
 * own, and with all signals blocked until it is ready for them.  Nothing
 * waits for it, and whether it starts is not known.
 */
extern void wa_detach(const char *subcommand);

/* Remembers the command line; to be called first. */
extern void wa_detach_remember(int argc, char **argv);

#endif							/* WA_DETACH_H */
