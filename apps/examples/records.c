/* Python: Pool(initializer=open_database, initargs=(path,)); pool.map(look_up, range(1, 101))
 *
 * The program makes an SQLite database; each worker opens it once, when it begins, looks
 * records up by their ids, and closes it when the pool ends. Prints "Processed: 100
 * records". The first argument is a folder for the database (default /tmp): one that the
 * workers see, where they are on several machines. Link with -lsqlite3. */
#include <crew/crew.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { RECORDS = 100 };

struct record {
    int64_t id;
    char title[24];
};

/* ---- the workers ---- */

/* A connection must not be carried over a fork: so each worker opens its own. */
static int open_database(crew_call *call) {
    sqlite3 *db;
    const char *path = CREW_IN(call, char);
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK) {
        crew_fail(call, 1, "%s: %s", path, sqlite3_errmsg(db));
        sqlite3_close(db);
        return 1;
    }
    *call->state = db;
    return 0;
}

static int look_up(crew_call *call) {
    sqlite3 *db = *call->state;
    sqlite3_stmt *query;
    struct record *record = CREW_OUT(call, struct record);
    int64_t id = *CREW_IN(call, int64_t);
    int code = 0;
    if (sqlite3_prepare_v2(db, "SELECT title FROM records WHERE id = ?", -1, &query, NULL) !=
        SQLITE_OK)
        return crew_fail(call, 1, "%s", sqlite3_errmsg(db));
    sqlite3_bind_int64(query, 1, id);
    if (sqlite3_step(query) == SQLITE_ROW) {
        record->id = id;
        snprintf(record->title, sizeof record->title, "%s",
                 (const char *)sqlite3_column_text(query, 0));
    } else {
        code = crew_fail(call, 2, "no record %lld: %s", (long long)id, sqlite3_errmsg(db));
    }
    sqlite3_finalize(query);
    return code;
}

static int close_database(crew_call *call) {
    sqlite3_close(*call->state);
    return 0;
}

/* ---- the program ---- */

static int make_database(const char *path) {
    sqlite3 *db;
    char *why = NULL;
    int rc = sqlite3_open(path, &db);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db,
                          "CREATE TABLE records (id INTEGER PRIMARY KEY, title TEXT);"
                          "WITH RECURSIVE ids(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM ids "
                          "WHERE id < 100) "
                          "INSERT INTO records SELECT id, 'record ' || id FROM ids;",
                          NULL, NULL, &why);
    if (rc != SQLITE_OK)
        fprintf(stderr, "%s: %s\n", path, why ? why : sqlite3_errmsg(db));
    sqlite3_free(why);
    sqlite3_close(db);
    return rc == SQLITE_OK ? 0 : -1;
}

static int process(const char *path, crew_error *err) {
    struct record out[RECORDS];
    int processed = 0;
    crew_pool_opts opts = {.init = open_database,
                           .init_arg = path,
                           .init_size = strlen(path) + 1,
                           .fini = close_database};
    crew_map_opts ids = {.first = 1};
    crew_pool *pool = crew_pool_open(&opts, err);
    if (!pool)
        return err->code;
    int rc = crew_map_index(pool, look_up, RECORDS, out, &ids, err);
    for (int i = 0; rc == 0 && i < RECORDS; i++) {
        char title[24];
        snprintf(title, sizeof title, "record %d", i + 1);
        processed += out[i].id == i + 1 && strcmp(out[i].title, title) == 0;
    }
    if (rc == 0)
        printf("Processed: %d records\n", processed);
    /* An orderly end, at which the workers close their databases. */
    crew_pool_shutdown(pool, true, false);
    crew_pool_free(pool);
    return rc;
}

int main(int argc, char **argv) {
    char path[4096];
    crew_error err;
    crew_init(&argc, &argv);
    snprintf(path, sizeof path, "%s/crew-records-%d.db", argc > 1 ? argv[1] : "/tmp",
             (int)getpid());
    if (make_database(path) < 0)
        return 1;
    int rc = process(path, &err);
    unlink(path);
    if (rc < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    return crew_finalize();
}
