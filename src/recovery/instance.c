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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recovery/process.h"
#include "recovery/setting.h"

#define PORT		"5432"		/* part of the name of the socket only */
#define LINE_BYTES	1000
#define ORIGINS		"1000"
#define SPARE		10
#define ANSWER_MS	60000

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
	if (wa_binaries_ask(instance->binaries, argv, 0, text, sizeof(text),
						&status, &ignored) != WA_OK || status != 0)
		return;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
	{
		const char *at = strstr(text, limits[i].label);

		/* a few more, for what the server keeps for itself */
		if (at != NULL)
			fprintf(to, "%s = %ld\n", limits[i].setting,
					strtol(at + strlen(limits[i].label), NULL, 10) + SPARE);
	}
}

/*
 * These it must not have too few of, either, and nobody notes how many there
 * were: replication origins that have to be followed.
 */
static void
put_origins(const WaInstance *instance, FILE *to)
{
	fprintf(to, "max_replication_slots = " ORIGINS "\n");
	if (instance->version >= 180000)
		fprintf(to, "max_active_replication_origins = " ORIGINS "\n");
}

/* A file of ours, or with "" the directory itself. */
static void
put_path(FILE *to, const char *name, const char *directory, const char *file)
{
	char		path[PATH_MAX];

	snprintf(path, sizeof(path), "%.3000s%s", directory, file);
	wa_setting_put(to, name, path);
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
wa_instance_configure(const WaInstance *instance, size_t count,
					  const WaSetting *settings, WaError *err)
{
	char		path[PATH_MAX];
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
	put_limits(instance, to);
	put_origins(instance, to);
	/* what follows counts more */
	for (size_t i = 0; i < count; i++)
		wa_setting_put(to, settings[i].name, settings[i].value);
	put_path(to, "unix_socket_directories", instance->place, "");
	put_path(to, "hba_file", instance->place, "/pg_hba.conf");
	put_path(to, "ident_file", instance->place, "/pg_ident.conf");
	fprintf(to, "listen_addresses = ''\n"
			"port = " PORT "\n"
			"unix_socket_permissions = 0700\n"
			"external_pid_file = ''\n"
			"ssl = off\n"
			/* wherever it runs: this needs no /dev/shm, and leaves nothing */
			"dynamic_shared_memory_type = mmap\n"
			"archive_mode = off\n"
			"huge_pages = off\n"
			"max_logical_replication_workers = 0\n"
			"autovacuum = off\n"
			"hot_standby = off\n"
			"logging_collector = off\n"
			"log_destination = 'stderr'\n"
			"log_line_prefix = '%%n '\n"
			"log_min_messages = warning\n"
			"lc_messages = 'C'\n"
			"synchronous_standby_names = ''\n");
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
read_line(WaInstance *instance, const char *line)
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
	char	   *message;
	double		seconds = strtod(line, &message);

	/* what restore_command says explains what the server says next */
	if (strncmp(line, "walarch get: ", 13) == 0 &&
		strstr(line, "hint: ") == NULL)
		snprintf(instance->said, sizeof(instance->said), "%.*s",
				 (int) strcspn(line, "\n"), line);
	if (*message != ' ')
		return;
	message++;
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (strncmp(message, events[i].message,
					strlen(events[i].message)) == 0)
			*(int64_t *) ((char *) &instance->times + events[i].offset) =
				(int64_t) (seconds * 1000);
	/* the first one explains those that follow */
	if ((strncmp(message, "FATAL:  ", 8) == 0 ||
		 strncmp(message, "PANIC:  ", 8) == 0) && instance->fatal[0] == '\0')
		snprintf(instance->fatal, sizeof(instance->fatal), "%.*s%s%s",
				 (int) strcspn(message, "\n"), message,
				 instance->said[0] != '\0' ? "; before that: " : "",
				 instance->said);
}

/* What has been added to the log since. */
static void
read_log(WaInstance *instance)
{
	char		path[PATH_MAX];
	char		line[LINE_BYTES];
	FILE	   *from = fopen(file_of(instance, "log", path), "re");

	if (from == NULL)
		return;
	if (fseek(from, instance->log_read, SEEK_SET) == 0)
		while (fgets(line, sizeof(line), from) != NULL)
		{
			size_t		length = strlen(line);

			/* a line that is being written is read again */
			if (line[length - 1] != '\n' && length + 1 < sizeof(line))
				break;
			instance->log_read += (long) length;
			read_line(instance, line);
		}
	fclose(from);
}

WaCode
wa_instance_look(WaInstance *instance, WaError *err)
{
	int			status;
	bool		ended = waitpid(instance->pid, &status, WNOHANG) ==
		instance->pid;

	read_log(instance);
	if (!ended)
		return WA_OK;
	instance->pid = 0;
	return wa_fail(err, WA_DAMAGED, "the server ended before it opened: %s",
				   instance->fatal[0] != '\0' ? instance->fatal :
				   "its log does not say why");
}

void
wa_instance_stop(WaInstance *instance, bool at_once)
{
	int			status;
	WaError		ignored;

	if (instance->pid <= 0)
		return;
	kill(instance->pid, at_once ? SIGQUIT : SIGINT);
	while (waitpid(instance->pid, &status, 0) < 0 && errno == EINTR)
		/* we were told to end, and cannot wait for a checkpoint */
		if (wa_process_told(&ignored) != WA_OK)
			kill(instance->pid, SIGQUIT);
	instance->pid = 0;
}

/* ---- sessions --------------------------------------------------------------- */

/* Settings of a session; they count more than those of a role or database. */
#define SESSION_OPTIONS \
	"-c default_transaction_read_only=off -c session_preload_libraries= " \
	"-c local_preload_libraries= -c statement_timeout=0 -c lock_timeout=0 " \
	"-c idle_session_timeout=0 -c idle_in_transaction_session_timeout=0"
#define SESSION_OPTIONS_17	" -c event_triggers=off -c transaction_timeout=0"

/* Is it the server on this copy?  Its primary has the same identifier. */
static WaCode
check_self(const WaInstance *instance, PGconn *connection, WaError *err)
{
	struct stat wanted;
	struct stat found;
	PGresult   *row;
	bool		same;

	if (wa_server_ask(connection, "SELECT pg_catalog.current_setting("
					  "'data_directory')", ANSWER_MS, &row, err) != WA_OK)
		return err->code;
	same = stat(instance->data, &wanted) == 0 &&
		stat(PQgetvalue(row, 0, 0), &found) == 0 &&
		wanted.st_dev == found.st_dev && wanted.st_ino == found.st_ino;
	if (!same)
		wa_fail(err, WA_CHANGED, "another server answered, on \"%.300s\"",
				PQgetvalue(row, 0, 0));
	PQclear(row);
	return same ? WA_OK : err->code;
}

static WaCode
connect_as(const WaInstance *instance, const char *user, const char *dbname,
		   PGconn **connection, WaError *err)
{
	const WaServer server = {
		.dbname = dbname,
		.plain = true,
		.host = instance->place,
		.port = PORT,
		.user = user
	};

	if (wa_server_connect(&server, false, connection, err) != WA_OK)
		return err->code;
	if (check_self(instance, *connection, err) == WA_OK)
		return WA_OK;
	PQfinish(*connection);
	*connection = NULL;
	return err->code;
}

WaCode
wa_instance_connect(WaInstance *instance, const char *dbname,
					PGconn **connection, WaError *err)
{
	return connect_as(instance, instance->user, dbname, connection, err);
}

/*
 * The first who can connect of those who usually are superusers, unless one
 * was named.  Who is none may not set what our sessions bring.
 */
static WaCode
find_superuser(WaInstance *instance, const char *dbname, WaError *err)
{
	const struct passwd *self = getpwuid(geteuid());
	const char *const users[] = {
		"postgres", self != NULL ? self->pw_name : "postgres"
	};
	PGconn	   *connection;
	WaCode		code = WA_OK;

	if (instance->user[0] != '\0')
		return WA_OK;
	for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++)
	{
		code = connect_as(instance, users[i], dbname, &connection, err);
		if (code != WA_OK)
			continue;
		PQfinish(connection);
		snprintf(instance->user, sizeof(instance->user), "%.63s", users[i]);
		return WA_OK;
	}
	wa_hint(err, "Name a superuser of the cluster: --username.");
	return code;
}

/* One command in one database; the caller clears the result in any case. */
static WaCode
run_once(WaInstance *instance, const char *dbname, const char *command,
		 const char *failed, PGresult **result, WaError *err)
{
	PGconn	   *connection;
	WaCode		code = wa_instance_connect(instance, dbname, &connection, err);

	*result = NULL;
	if (code != WA_OK)
		return code;
	*result = PQexec(connection, command);
	if (PQresultStatus(*result) != PGRES_COMMAND_OK &&
		PQresultStatus(*result) != PGRES_TUPLES_OK)
		code = wa_server_fail(err, failed, PQerrorMessage(connection));
	PQfinish(connection);
	return code;
}

/*
 * In one database.  Statements about event triggers fire none.  From 17 on a
 * setting of the session does that.
 */
static WaCode
disable_triggers(WaInstance *instance, const char *dbname, WaError *err)
{
	PGresult   *result;
	WaCode		code =
		run_once(instance, dbname, "DO $$ DECLARE it name; BEGIN "
				 "FOR it IN SELECT evtname FROM pg_catalog.pg_event_trigger "
				 "WHERE evtenabled <> 'D' LOOP EXECUTE pg_catalog.format("
				 "'ALTER EVENT TRIGGER %I DISABLE', it); END LOOP; END $$",
				 "event triggers could not be disabled", &result, err);

	PQclear(result);
	return code;
}

static WaCode
disable_all_triggers(WaInstance *instance, const char *dbname, WaError *err)
{
	PGresult   *result;
	WaCode		code =
		run_once(instance, dbname, "SELECT datname FROM "
				 "pg_catalog.pg_database WHERE datallowconn",
				 "databases could not be listed", &result, err);

	for (int i = 0; code == WA_OK && i < PQntuples(result); i++)
		code = disable_triggers(instance, PQgetvalue(result, i, 0), err);
	PQclear(result);
	return code;
}

WaCode
wa_instance_open(WaInstance *instance, const char *dbname, WaError *err)
{
	bool		later = instance->version >= 170000;

	wa_server_forget_environment();
	setenv("PGHOST", instance->place, 1);
	setenv("PGPORT", PORT, 1);
	setenv("PGDATABASE", dbname, 1);
	setenv("PGOPTIONS", later ? SESSION_OPTIONS SESSION_OPTIONS_17 :
		   SESSION_OPTIONS, 1);
	if (find_superuser(instance, dbname, err) != WA_OK)
		return err->code;
	setenv("PGUSER", instance->user, 1);
	return later ? WA_OK : disable_all_triggers(instance, dbname, err);
}
