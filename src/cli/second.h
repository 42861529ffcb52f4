/*
 * second.h
 *	  The second program, walarch-recovery, with the libraries that a
 *	  restore_command must not wait for.
 */
#ifndef WA_SECOND_H
#define WA_SECOND_H

/*
 * Become it, with the same arguments.  argv[0] is the subcommand.  Returns an
 * exit status, after a message, only when that cannot be done.
 */
extern int	wa_second_run(int argc, char **argv);

#endif							/* WA_SECOND_H */
