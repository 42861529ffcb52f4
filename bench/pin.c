/*
 * pin.c
 *	  Take memory and keep it until killed.
 *
 *	pin MEGABYTES
 *
 * A virtual machine may give free memory back to its host, and getting it
 * again costs more than the work that is to be measured.  What is pinned here
 * leaves the kernel little to give back; the rest is filled by reading files.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	size_t		bytes = argc > 1 ? strtoul(argv[1], NULL, 10) << 20 : 0;
	volatile char *memory = malloc(bytes + 1);

	if (memory == NULL)
	{
		perror("pin");
		return 1;
	}
	for (size_t i = 0; i < bytes; i += 4096)
		memory[i] = (char) (i >> 12);	/* no two pages need be alike */
	puts("pinned");
	fflush(stdout);
	for (;;)
		pause();
}
