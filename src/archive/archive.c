/*
 * archive.c
 *	  An archive as one archiving process sees it.
 */
#include "archive/archive.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "archive/known.h"

#define TOKENS_COUNT	2

struct WaArchive
{
	WaArchiveConfig config;
	const char *tokens[TOKENS_COUNT];	/* of earlier processes */
	WaStoreMemo *memo;
	atomic_int	holders;
	pthread_mutex_t mutex;		/* one attach at a time; guards the rest */
	bool		swept_once;
	char		noted_id[WA_ARCHIVE_ID_TEXT_BYTES];	/* in walarch.known */
	pthread_mutex_t news_mutex; /* held for moments; guards: */
	WaVisit		news;			/* not taken yet */
};

WaArchive *
wa_archive_open(const WaArchiveConfig *config)
{
	WaArchive  *archive = calloc(1, sizeof(*archive));

	if (archive == NULL)
		return NULL;
	archive->memo = wa_store_memo_open();
	if (archive->memo == NULL)
	{
		free(archive);
		return NULL;
	}
	archive->config = *config;
	for (int i = 0; i < TOKENS_COUNT; i++)
		archive->tokens[i] = archive->config.last_tokens[i];
	for (int i = 0; i < config->suspects.count && i < WA_SUSPECTS_MAX; i++)
		wa_store_memo_suspect_add(archive->memo, config->suspects.keys[i]);
	if (config->suspects.count > WA_SUSPECTS_MAX)
		wa_store_memo_suspect_all(archive->memo);
	pthread_mutex_init(&archive->mutex, NULL);
	pthread_mutex_init(&archive->news_mutex, NULL);
	atomic_init(&archive->holders, 1);
	return archive;
}

void
wa_archive_hold(WaArchive *archive)
{
	atomic_fetch_add(&archive->holders, 1);
}

void
wa_archive_close(WaArchive *archive)
{
	if (archive == NULL || atomic_fetch_sub(&archive->holders, 1) > 1)
		return;
	wa_store_memo_close(archive->memo);
	pthread_mutex_destroy(&archive->mutex);
	pthread_mutex_destroy(&archive->news_mutex);
	free(archive);
}

const WaArchiveConfig *
wa_archive_config(const WaArchive *archive)
{
	return &archive->config;
}

bool
wa_archive_suspects(WaArchive *archive, const char *key)
{
	return wa_store_memo_suspect(archive->memo, key);
}

void
wa_archive_list_suspects(WaArchive *archive, WaSuspects *suspects)
{
	suspects->count = wa_store_memo_suspects(archive->memo, suspects->keys,
											 WA_SUSPECTS_MAX);
}

/* The whole proof when the marker is new to us, its comparison otherwise. */
static WaCode
attach(WaArchive *archive, WaStore *store, WaAttached *attached,
	   WaError *err)
{
	const WaArchiveConfig *config = &archive->config;
	WaIdentity	identity = {
		.path = config->path,
		.system_identifier = config->system_identifier,
		.segment_bytes = config->segment_bytes,
		.known_file = WA_KNOWN_FILE,
		.known_mode = config->file_mode,
		.last_tokens = archive->tokens,
		.last_tokens_count = TOKENS_COUNT,
		.own_token = config->token
	};

	memcpy(identity.new_archive_id, config->new_archive_id,
		   sizeof(identity.new_archive_id));
	if (wa_identity_read(store, config->path, &attached->marker,
						 err) == WA_OK &&
		strcmp(attached->marker.archive_id, archive->noted_id) == 0)
		return wa_identity_check(&attached->marker, config->path,
								 config->system_identifier,
								 config->segment_bytes, err);

	if (wa_identity_attach(store, &identity, attached, err) != WA_OK)
		return err->code;
	memcpy(archive->noted_id, attached->marker.archive_id,
		   sizeof(archive->noted_id));
	return WA_OK;
}

/* Remove what earlier archivers of this data directory left half-written. */
static WaCode
sweep_once(WaArchive *archive, WaStore *store, WaVisit *visit, WaError *err)
{
	WaSwept		swept;

	if (archive->swept_once)
		return WA_OK;
	if (wa_store_sweep(store, archive->tokens, TOKENS_COUNT, &swept,
					   err) != WA_OK)
		return err->code;
	archive->swept_once = true;
	visit->swept = swept.removed;
	visit->sweep_done = swept.stayed == 0;
	return WA_OK;
}

static void
note_news(WaArchive *archive, const WaVisit *visit)
{
	pthread_mutex_lock(&archive->news_mutex);
	archive->news.attached.created |= visit->attached.created;
	archive->news.attached.new_id |= visit->attached.new_id;
	archive->news.attached.marker = visit->attached.marker;
	archive->news.sweep_done |= visit->sweep_done;
	archive->news.swept += visit->swept;
	pthread_mutex_unlock(&archive->news_mutex);
}

void
wa_archive_take_news(WaArchive *archive, WaVisit *visit)
{
	pthread_mutex_lock(&archive->news_mutex);
	visit->attached = archive->news.attached;
	visit->sweep_done = archive->news.sweep_done;
	visit->swept = archive->news.swept;
	archive->news.attached.created = false;
	archive->news.attached.new_id = false;
	archive->news.sweep_done = false;
	archive->news.swept = 0;
	pthread_mutex_unlock(&archive->news_mutex);
}

/* Workers take turns; waiting for one that hangs counts as hanging. */
static bool
lock(WaArchive *archive, WaBeat *beat)
{
	if (!wa_beat_begin(beat))
		return false;
	pthread_mutex_lock(&archive->mutex);
	wa_beat_end(beat);
	return true;
}

WaCode
wa_archive_visit(WaArchive *archive, WaBeat *beat, WaStore **store,
				 WaVisit *visit, WaError *err)
{
	const WaArchiveConfig *config = &archive->config;
	WaStoreOptions options = {
		.file_mode = config->file_mode,
		.dir_mode = config->dir_mode,
		.memo = archive->memo,
		.beat = beat
	};
	WaError		ignored;

	memcpy(options.token, config->token, sizeof(options.token));
	if (wa_store_dir_open(config->path, &options, store, err) != WA_OK)
		return err->code;
	if (!lock(archive, beat))
		wa_fail(err, WA_CANCELLED, "gave up on \"%s\"", config->path);
	else
	{
		err->code = attach(archive, *store, &visit->attached, err);
		if (err->code == WA_OK)
		{
			err->code = sweep_once(archive, *store, visit, err);
			note_news(archive, visit);
		}
		pthread_mutex_unlock(&archive->mutex);
	}
	if (err->code != WA_OK)
	{
		wa_store_close(*store);
		*store = NULL;
		return err->code;
	}
	visit->free_bytes_known = wa_store_free_bytes(*store, &visit->free_bytes,
												  &ignored) == WA_OK;
	return WA_OK;
}
