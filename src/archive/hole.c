/*
 * hole.c
 *	  A segment that is not in the archive: is that its end, or a hole?
 */
#include "archive/hole.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/ancestry.h"
#include "archive/layout.h"
#include "archive/object.h"
#include "core/array.h"
#include "core/lsn.h"
#include "core/walheader.h"
#include "core/walscan.h"

#define PATH_BYTES	2048
#define PIECE_BYTES	(256 * 1024)

/* What a listing of wal/ is searched for. */
typedef struct Search
{
	const WaHoleQuestion *question;
	const WaWalName *name;
	uint64_t	segno;
	char		directory[WA_KEY_BYTES];	/* being listed */
	bool		there;			/* the segment itself has come meanwhile */
	uint64_t	next;			/* the nearest later segment; UINT64_MAX: none */
	uint32_t   *younger;		/* timelines with histories, above ours */
	size_t		younger_count;
	uint32_t   *directories;	/* higher halves of later segments */
	size_t		directories_count;
} Search;

static WaCode
append(uint32_t **array, size_t *count, uint32_t value, WaError *err)
{
	uint32_t   *larger = wa_array_room(*array, *count, sizeof(**array));

	if (larger == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	*array = larger;
	larger[(*count)++] = value;
	return WA_OK;
}

static WaCode
take_segment(void *arg, const char *text, bool is_prefix, WaError *err)
{
	Search	   *search = arg;
	char		key[WA_KEY_BYTES];
	WaWalName	name;
	WaError		ignored;
	uint64_t	segno;

	/* whatever it is: if it cannot be read, that will be seen */
	if (!wa_layout_parse_listed(search->directory, text, key, &name) ||
		name.kind != WA_KIND_SEGMENT ||
		wa_walname_segno(&name, search->question->segment_bytes, &segno,
						 &ignored) != WA_OK)
		return WA_OK;
	if (segno == search->segno)
		search->there = true;
	if (segno > search->segno && segno < search->next)
		search->next = segno;
	return WA_OK;
}

/* wal/ itself: directories of our timeline, and younger histories. */
static WaCode
take_top(void *arg, const char *text, bool is_prefix, WaError *err)
{
	Search	   *search = arg;
	char		key[WA_KEY_BYTES];
	WaWalName	name;
	uint32_t	tli;
	uint32_t	log;

	if (wa_layout_is_directory(text))
	{
		if (sscanf(text, "%8" SCNx32 "%8" SCNx32, &tli, &log) == 2 &&
			tli == search->name->tli && log >= search->name->log)
			return append(&search->directories, &search->directories_count,
						  log, err);
		return WA_OK;
	}
	if (wa_layout_parse_listed(WA_PREFIX_WAL, text, key, &name) &&
		name.kind == WA_KIND_HISTORY && name.tli > search->name->tli)
		return append(&search->younger, &search->younger_count, name.tli,
					  err);
	return WA_OK;
}

static int
compare_numbers(const void *a, const void *b)
{
	uint32_t	left = *(const uint32_t *) a;
	uint32_t	right = *(const uint32_t *) b;

	return left < right ? -1 : left > right;
}

/* The nearest later segment of the same timeline, and younger timelines. */
static WaCode
list(Search *search, WaError *err)
{
	WaStore    *store = search->question->store;

	search->next = UINT64_MAX;
	if (wa_store_list(store, WA_PREFIX_WAL, take_top, search, err) != WA_OK)
		return err->code;
	if (search->younger_count > 0)
		qsort(search->younger, search->younger_count, sizeof(uint32_t),
			  compare_numbers);
	if (search->directories_count > 0)
		qsort(search->directories, search->directories_count,
			  sizeof(uint32_t), compare_numbers);
	for (size_t i = 0; i < search->directories_count &&
		 search->next == UINT64_MAX; i++)
	{
		snprintf(search->directory, sizeof(search->directory),
				 WA_PREFIX_WAL "/%08" PRIX32 "%08" PRIX32, search->name->tli,
				 search->directories[i]);
		if (wa_store_list(store, search->directory, take_segment, search,
						  err) != WA_OK)
			return err->code;
	}
	return WA_OK;
}

/* Walk a file's records.  False: it could not be read. */
static bool
walk_file(const WaHoleQuestion *question, int fd, WaScan *scan)
{
	unsigned char *piece = malloc(PIECE_BYTES);
	ssize_t		got;

	if (piece == NULL)
		return false;
	for (;;)
	{
		WA_BEAT(question->beat, got, read(fd, piece, PIECE_BYTES));
		if (got <= 0)
			break;
		wa_scan_feed(scan, piece, (size_t) got);
	}
	free(piece);
	return got == 0;
}

/*
 * Has it a copy that replay gets to the end of?  A recycled file has the
 * name, too, but not the pages; what a streaming base backup left begins
 * right and ends early.
 */
static bool
server_has_it(const WaHoleQuestion *question, const WaWalName *name)
{
	unsigned char page[WA_WALHEADER_BYTES];
	char		path[PATH_BYTES];
	WaWalHeader header;
	WaWalExpect expect = {
		.name = name,
		.system_identifier = question->system_identifier,
		.segment_bytes = question->segment_bytes
	};
	WaError		ignored;
	WaScan	   *scan = NULL;
	ssize_t		got;
	bool		whole = false;
	int			fd;

	snprintf(path, sizeof(path), "%s/%s", question->pg_wal, name->text);
	WA_BEAT(question->beat, fd, open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
	if (fd < 0)
		return false;
	WA_BEAT(question->beat, got, read(fd, page, sizeof(page)));
	if (got == (ssize_t) sizeof(page))
	{
		wa_walheader_read(page, &header);
		if (wa_walheader_check(&header, &expect, path, &ignored) == WA_OK)
			scan = wa_scan_open(name, question->segment_bytes, header.magic);
	}
	if (scan != NULL)
	{
		const WaScanResult *result;

		wa_scan_feed(scan, page, sizeof(page));
		whole = walk_file(question, fd, scan);
		result = wa_scan_finish(scan);
		whole = whole && result->end != WA_SCAN_DAMAGED &&
			!wa_scan_ends_early(result);
	}
	wa_scan_close(scan);
	close(fd);
	return whole;
}

/*
 * Where a timeline that is known to the archive left ours, if that is behind
 * the segment; 0 otherwise.
 */
static WaCode
read_fork(const Search *search, uint32_t younger, uint64_t *fork,
		  WaError *err)
{
	const WaHoleQuestion *question = search->question;
	WaWalName	name = {.kind = WA_KIND_HISTORY, .tli = younger};
	char		key[WA_KEY_BYTES];
	WaEnvelope	envelope;
	WaHistory	history = {0};
	const WaHistoryEntry *entry;
	char	   *text;
	size_t		length;
	WaCode		code;

	*fork = 0;
	wa_history_name(name.text, younger);
	wa_layout_key(&name, key);
	code = wa_object_text(question->store, key, &name,
						  question->system_identifier,
						  question->segment_bytes, question->zstd, &envelope,
						  &text, &length, err);
	if (code == WA_OK)
		code = wa_history_parse(text, length, younger, key, &history, err);
	free(text);
	if (code != WA_OK)
		return code;
	entry = wa_history_find(&history, search->name->tli);
	if (entry != NULL && entry->end != UINT64_MAX &&
		entry->end / question->segment_bytes > search->segno)
		*fork = entry->end;
	wa_history_free(&history);
	return WA_OK;
}

/*
 * An archive that is being written may have got the segment between the
 * lookup and the listing: then there is no hole, and a second try finds it.
 */
static WaCode
look_again(const Search *search, WaError *err)
{
	char		key[WA_KEY_BYTES];
	WaStat		stat;
	WaCode		code = WA_OK;

	wa_layout_key(search->name, key);
	if (!search->there)
		code = wa_store_stat(search->question->store, key, &stat, err);
	if (code != WA_OK)
		return code == WA_NOT_FOUND ? WA_OK : code;
	return wa_fail(err, WA_CHANGED, "\"%s\" has just come",
				   search->name->text);
}

/* What the whole listing says of our timeline behind the segment. */
static WaCode
judge(Search *search, WaError *err)
{
	char		next[WA_WALNAME_BYTES];

	if (search->next != UINT64_MAX)
	{
		wa_segment_name(next, search->name->tli, search->next,
						search->question->segment_bytes);
		return wa_fail(err, WA_HOLE,
					   "\"%s\" is missing in the archive, which has \"%s\" "
					   "behind it", search->name->text, next);
	}
	for (size_t i = 0; i < search->younger_count; i++)
	{
		uint64_t	fork;
		WaCode		code = read_fork(search, search->younger[i], &fork, err);

		if (code == WA_DAMAGED || code == WA_UNSUPPORTED ||
			code == WA_WRONG_CLUSTER || code == WA_NOT_FOUND)
			continue;			/* proves nothing */
		if (code != WA_OK)
			return code;
		if (fork != 0)
			return wa_fail(err, WA_HOLE,
						   "\"%s\" is missing in the archive, although "
						   "timeline %" PRIu32 " left timeline %" PRIu32
						   " behind it, at " WA_LSN_FORMAT,
						   search->name->text, search->younger[i],
						   search->name->tli, WA_LSN_ARGS(fork));
	}
	return WA_OK;
}

static WaCode
search_hole(const WaHoleQuestion *question, const WaWalName *name,
			Search *search, WaError *err)
{
	WaHistory	history;
	WaCode		code;

	memset(search, 0, sizeof(*search));
	search->question = question;
	search->name = name;
	if (wa_walname_segno(name, question->segment_bytes, &search->segno,
						 err) != WA_OK)
		return err->code;

	/* past the fork that this server knows of, other segments are replayed */
	if (wa_ancestry_load(question->pg_wal, name, question->segment_bytes,
						 NULL, question->beat, &history, err) != WA_OK)
		return err->code;
	if (history.count > 0)
	{
		wa_history_free(&history);
		return WA_OK;
	}
	code = list(search, err);
	if (code == WA_OK)
		code = judge(search, err);
	free(search->younger);
	free(search->directories);
	return code;
}

WaCode
wa_hole_check(const WaHoleQuestion *question, const WaWalName *name,
			  WaError *err)
{
	Search		search;
	WaCode		code;

	if (server_has_it(question, name))
		return WA_OK;
	code = search_hole(question, name, &search, err);
	if (code == WA_HOLE)
	{
		WaError		again;

		if (look_again(&search, &again) != WA_OK)
		{
			*err = again;
			return err->code;
		}
		wa_hint(err, "WAL is lost there: no recovery gets past it. Look for "
				"another copy of the segment (a standby's pg_wal, an older "
				"archive for --also), or recover up to the segment before it "
				"with --until, and take a new base backup.");
	}
	return code;
}

WaCode
wa_hole_check_behind(const WaHoleQuestion *question, const WaWalName *name,
					 uint64_t stop_lsn, WaError *err)
{
	Search		search;
	WaCode		code = search_hole(question, name, &search, err);

	if (code != WA_HOLE)
		return code;
	wa_fail(err, WA_HOLE,
			"WAL in \"%s\" ends at " WA_LSN_FORMAT ", before the segment "
			"does, although the timeline goes on behind it", name->text,
			WA_LSN_ARGS(stop_lsn));
	wa_hint(err, "The segment is incomplete or damaged: no recovery gets past "
			"it. Look for another copy of it, or recover up to the segment "
			"before it with --until, and take a new base backup.");
	return code;
}
