/*
 * instance.c
 *	  A server on a restored copy.
 */
#include "recovery/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recovery/process.h"

#define PORT		"5432"		/* part of the name of the socket only */
#define LINE_BYTES	1000

static const char *
file_of(const WaInstance *instance, const char *name, char *path)
{
	snprintf(path, PATH_MAX, "%.3000s/%s", instance->place, name);
	return path;
}

/* ---- its configuration ------------------------------------------------------ */

/*
 * A recovery needs these to be as large as they were on the primary;
 * pg_control has them.
 */
static void
put_limits(const WaInstance *instance, FILE *to)
{
	static const struct
	{
		const char *label;
		const char *setting;
	}			limits[] = {
		{"max_connections setting:", "max_connections"},
		{"max_worker_processes setting:", "max_worker_processes"},
		{"max_wal_senders setting:", "max_wal_senders"},
		{"max_prepared_xacts setting:", "max_prepared_transactions"},
		{"max_locks_per_xact setting:", "max_locks_per_transaction"}
	};
	const char *const argv[] = {"pg_controldata", instance->data, NULL};
	char		text[8192];
	int			status;
	WaError		ignored;

	/* the labels are those of the C locale */
	(void) setenv("LC_ALL", "C", 1);
	if (wa_binaries_ask(instance->binaries, argv, text, sizeof(text), &status,
						&ignored) != WA_OK || status != 0)
		return;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
	{
		const char *at = strstr(text, limits[i].label);

		if (at != NULL)
			fprintf(to, "%s = %ld\n", limits[i].setting,
					strtol(at + strlen(limits[i].label), NULL, 10));
	}
}

static FILE *
create(const WaInstance *instance, const char *name, char *path, WaError *err)
{
	int			fd = open(file_of(instance, name, path), O_WRONLY | O_CREAT |
						  O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	FILE	   *to = fd >= 0 ? fdopen(fd, "w") : NULL;

	if (to == NULL)
		wa_fail_errno(err, errno, "could not create \"%s\"", path);
	return to;
}

static WaCode
finish(FILE *to, const char *path, WaError *err)
{
	bool		good = !ferror(to);

	if (fclose(to) == 0 && good)
		return WA_OK;
	return wa_fail_errno(err, errno, "could not write \"%s\"", path);
}

WaCode
wa_instance_configure(const WaInstance *instance, const char *const *more,
					  WaError *err)
{
	char		path[PATH_MAX];
	char		quoted[PATH_MAX];
	FILE	   *to = create(instance, "pg_hba.conf", path, err);

	/* whoever can enter the directory of the socket is who made it */
	if (to == NULL)
		return err->code;
	fprintf(to, "local all all trust\n");
	if (finish(to, path, err) != WA_OK ||
		(to = create(instance, "pg_ident.conf", path, err)) == NULL ||
		finish(to, path, err) != WA_OK ||
		(to = create(instance, "postgresql.conf", path, err)) == NULL)
		return err->code;
	snprintf(quoted, sizeof(quoted), "%.3000s", instance->place);
	put_limits(instance, to);
	fprintf(to, "listen_addresses = ''\n"
			"port = " PORT "\n"
			"unix_socket_directories = '%s'\n"
			"unix_socket_permissions = 0700\n"
			"hba_file = '%s/pg_hba.conf'\n"
			"ident_file = '%s/pg_ident.conf'\n"
			"external_pid_file = ''\n"
			"ssl = off\n"
			/* wherever it runs: this needs no /dev/shm, and leaves nothing */
			"dynamic_shared_memory_type = mmap\n"
			"archive_mode = off\n"
			"shared_preload_libraries = ''\n"
			"session_preload_libraries = ''\n"
			"local_preload_libraries = ''\n"
			"max_logical_replication_workers = 0\n"
			"autovacuum = off\n"
			"hot_standby = off\n"
			"logging_collector = off\n"
			"log_destination = 'stderr'\n"
			"log_line_prefix = '%%n '\n"
			"log_min_messages = warning\n"
			"lc_messages = 'C'\n"
			"synchronous_standby_names = ''\n",
			quoted, quoted, quoted);
	for (; more != NULL && *more != NULL; more++)
		fprintf(to, "%s\n", *more);
	return finish(to, path, err);
}

/* ---- its life --------------------------------------------------------------- */

WaCode
wa_instance_start(WaInstance *instance, WaError *err)
{
	char		program[PATH_MAX + 16];
	char		config[PATH_MAX + 16];
	const char *const argv[] = {
		program, "-D", instance->data, "-c", config, NULL
	};
	char		log[PATH_MAX];
	WaCode		code;
	int			fd = open(file_of(instance, "log", log), O_WRONLY | O_CREAT |
						  O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return wa_fail_errno(err, errno, "could not create \"%s\"", log);
	snprintf(program, sizeof(program), "%.3000s/postgres",
			 instance->binaries->directory);
	snprintf(config, sizeof(config), "config_file=%.3000s/postgresql.conf",
			 instance->place);
	code = wa_program_start(program, argv, fd, SIGQUIT, &instance->pid, err);
	if (code != WA_OK)
		instance->pid = 0;
	close(fd);
	return code;
}

/* One line of the log: "1790000000.123 LOG:  ..." */
static void
read_line(const char *line, WaInstanceTimes *times, char *last,
		  size_t last_bytes)
{
	static const struct
	{
		const char *message;
		size_t		offset;
	}			events[] = {
		{"LOG:  starting PostgreSQL", offsetof(WaInstanceTimes, started)},
		{"LOG:  consistent recovery state reached",
		offsetof(WaInstanceTimes, consistent)},
		{"LOG:  redo done at", offsetof(WaInstanceTimes, redo_done)},
		{"LOG:  database system is ready to accept connections",
		offsetof(WaInstanceTimes, ready)}
	};
	double		seconds = strtod(line, NULL);

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (strstr(line, events[i].message) != NULL)
			*(int64_t *) ((char *) times + events[i].offset) =
				(int64_t) (seconds * 1000);
	/* what comes first explains what follows */
	if ((strstr(line, " FATAL:  ") != NULL || strstr(line, " PANIC:  ") != NULL) &&
		last[0] == '\0')
		snprintf(last, last_bytes, "%.*s", (int) strcspn(line, "\n"), line);
}

static void
read_log(const WaInstance *instance, WaInstanceTimes *times, char *last,
		 size_t last_bytes)
{
	char		path[PATH_MAX];
	char		line[LINE_BYTES];
	FILE	   *from = fopen(file_of(instance, "log", path), "re");

	last[0] = '\0';
	memset(times, 0, sizeof(*times));
	while (from != NULL && fgets(line, sizeof(line), from) != NULL)
		read_line(line, times, last, last_bytes);
	if (from != NULL)
		fclose(from);
}

WaCode
wa_instance_look(WaInstance *instance, WaInstanceTimes *times, WaError *err)
{
	char		last[400];
	int			status;

	if (waitpid(instance->pid, &status, WNOHANG) == instance->pid)
	{
		instance->pid = 0;
		read_log(instance, times, last, sizeof(last));
		return wa_fail(err, WA_DAMAGED, "the server ended before it opened: "
					   "%s", last[0] != '\0' ? last :
					   "its log does not say why");
	}
	read_log(instance, times, last, sizeof(last));
	return WA_OK;
}

void
wa_instance_stop(WaInstance *instance, bool at_once)
{
	int			status;

	if (instance->pid <= 0)
		return;
	kill(instance->pid, at_once ? SIGQUIT : SIGINT);
	while (waitpid(instance->pid, &status, 0) < 0 && errno == EINTR)
		;
	instance->pid = 0;
}

static WaCode
try_user(WaInstance *instance, const char *user, const char *dbname,
		 PGconn **connection, WaError *err)
{
	const WaServer server = {
		.dbname = dbname,
		.host = instance->place,
		.port = PORT,
		.user = user
	};

	if (user == NULL || user[0] == '\0')
		return wa_fail(err, WA_INVALID, "no user");
	if (wa_server_connect(&server, false, connection, err) != WA_OK)
		return err->code;
	snprintf(instance->user, sizeof(instance->user), "%.63s", user);
	return WA_OK;
}

WaCode
wa_instance_connect(WaInstance *instance, const char *dbname,
					PGconn **connection, WaError *err)
{
	const struct passwd *self = getpwuid(geteuid());
	const char *const users[] = {
		instance->user, getenv("PGUSER"), "postgres",
		self != NULL ? self->pw_name : NULL
	};

	for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++)
		if (try_user(instance, users[i], dbname, connection, err) == WA_OK)
			return WA_OK;
	wa_hint(err, "Name a superuser of the cluster: --username.");
	return err->code;
}
