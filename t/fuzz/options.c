/*
 * options.c
 *	  The command line of `walarch get`, its words apart by line ends: what is
 *	  accepted is within its bounds.
 */
#include "cli/get_options.h"

#include <getopt.h>

#include "fuzz.h"

/* libFuzzer: -max_len=512 */

#define WORDS_MAX	24

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_text(data, size);
	char	   *words[WORDS_MAX + 1] = {"get"};
	char		directory[64];
	char	   *save;
	int			count = 1;
	WaGetOptions options;
	WaError		err;

	for (char *word = strtok_r(text, "\n", &save);
		 word != NULL && count < WORDS_MAX; word = strtok_r(NULL, "\n", &save))
		words[count++] = word;
	optind = 0;					/* glibc: forget the line before */
	memset(&options, 0, sizeof(options));
	wa_get_defaults(&options);
	if (wa_get_options(count, words, &options, &err) == WA_OK)
	{
		hold(options.file != NULL && options.destination != NULL);
		hold(options.also_count >= 0 && options.also_count <= WA_GET_ALSO_MAX);
		hold(options.retry_s >= 0 && options.timeout_s > 0);
		hold(options.prefetch >= WA_GET_PREFETCH_DEFAULT);
		if (options.until_given)
			hold(options.until.kind == WA_KIND_SEGMENT);
		(void) wa_get_split(options.destination, directory, sizeof(directory));
		hold(strnlen(directory, sizeof(directory)) < sizeof(directory));
	}
	free(text);
	return 0;
}
