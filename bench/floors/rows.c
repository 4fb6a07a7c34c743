// SPDX-License-Identifier: Apache-2.0
/*
 * F2: SQLite inserting the rows that `POST /v1/documents` inserts (a document in a folder that is
 * there, two tags, the audit line; the workspace's totals and the state of its chain of audit
 * lines once a transaction), in transactions of BATCH documents, as src/db/sqlite sets its writer.
 * No request, no check, no look whether anything is there, no hash: the rows alone.
 *
 * usage: rows DOSSIER.DB SECONDS BATCH RUN    of a library with one workspace; RUN makes paths
 *                                             differ. Prints {"rate": documents a second, ...}
 */
#include <sqlite3.h>

#include "floor.h"

#define DOCUMENT                                                                                   \
    "INSERT INTO document (workspace_id, id, name, mime_type, size_bytes, storage_path, folder,"   \
    " tags, search_text, created_by, updated_at) VALUES (?1, ?2, 'Acme-NDA-2026.pdf',"             \
    " 'application/pdf', 183204, ?3, '/clients/acme/ndas', 'nda\nconfidentiality',"                \
    " 'acme-nda-2026.pdf', ?4, ?5)"
#define TAG "INSERT INTO document_tag (workspace_id, tag, document_id) VALUES (?1, ?2, ?3)"
#define AUDIT                                                                                      \
    "INSERT INTO audit (workspace_id, id, action, resource_type, resource_id, key_id, user_id,"    \
    " request_id, address, hash, seq, chain) VALUES (?1, ?2, 'create', 'documents', ?3, ?4, ?4,"   \
    " ?5, '127.0.0.1', ?6, ?7, 0)"
#define USAGE                                                                                      \
    "INSERT INTO usage (workspace_id, slot, documents, bytes) VALUES (?1, 0, ?2, ?2 * 183204)"     \
    " ON CONFLICT (workspace_id, slot) DO UPDATE SET documents = documents + excluded.documents,"  \
    " bytes = bytes + excluded.bytes"
#define CHAIN                                                                                      \
    "UPDATE audit_chain SET head = ?2, lines = ?3, seal = ?2 WHERE workspace_id = ?1 AND chain = " \
    "0"

/* as src/db/sqlite/sqlite.c */
static const char setup[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                            "PRAGMA wal_autocheckpoint=4000; PRAGMA journal_size_limit=67108864;"
                            "PRAGMA secure_delete=ON; PRAGMA temp_store=MEMORY;"
                            "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;"
                            "PRAGMA cache_size=-8192;";

struct filler {
    sqlite3 *db;
    sqlite3_stmt *begin, *commit, *document, *tag, *audit, *usage, *chain;
    sqlite3_int64 workspace;
    sqlite3_int64 lines; /* of the audit trail */
    const char *run;
    unsigned char user[16];
    unsigned char hash[32];
};

__attribute__((noreturn)) static void
fail(struct filler *f)
{
    (void)fprintf(stderr, "rows: %s\n", sqlite3_errmsg(f->db));
    exit(1);
}

static sqlite3_stmt *
prepare(struct filler *f, const char *text)
{
    sqlite3_stmt *s = NULL;

    if (sqlite3_prepare_v3(f->db, text, -1, SQLITE_PREPARE_PERSISTENT, &s, NULL) != SQLITE_OK)
        fail(f);
    return s;
}

static void
run(struct filler *f, sqlite3_stmt *s)
{
    if (sqlite3_step(s) != SQLITE_DONE || sqlite3_reset(s) != SQLITE_OK)
        fail(f);
}

static sqlite3_int64
number(struct filler *f, const char *text)
{
    sqlite3_stmt *s = prepare(f, text);
    sqlite3_int64 n;

    if (sqlite3_step(s) != SQLITE_ROW)
        fail(f);
    n = sqlite3_column_int64(s, 0);
    (void)sqlite3_finalize(s);
    return n;
}

static void
bind_text(sqlite3_stmt *s, int i, const char *text)
{
    (void)sqlite3_bind_text(s, i, text, -1, SQLITE_STATIC);
}

static void
bind_bytes(sqlite3_stmt *s, int i, const void *bytes, int n)
{
    (void)sqlite3_bind_blob(s, i, bytes, n, SQLITE_STATIC);
}

/* An id as ours: milliseconds since 1970, a count, and what is as good as random. */
static void
make_id(unsigned char id[16], uint64_t ms, uint64_t n)
{
    uint64_t mixed = n * 0x9e3779b97f4a7c15U;

    for (int i = 0; i < 6; i++)
        id[i] = (unsigned char)(ms >> (40 - 8 * i));
    id[6] = (unsigned char)(0x70 | (n >> 8 & 15));
    id[7] = (unsigned char)n;
    memcpy(id + 8, &mixed, 8);
}

static void
add_document(struct filler *f, uint64_t ms, uint64_t n)
{
    char path[128], name[40], request[40];
    unsigned char id[16], line[16];

    make_id(id, ms, n);
    make_id(line, ms, n);
    line[15] ^= 1;
    (void)snprintf(path, sizeof(path), "workspaces/ws_bench/documents/create-%s-%llu.pdf", f->run,
                   (unsigned long long)n);
    (void)snprintf(name, sizeof(name), "doc_%026llu", (unsigned long long)(ms * 1000000 + n));
    (void)snprintf(request, sizeof(request), "req_%026llu", (unsigned long long)(ms * 1000 + n));
    bind_bytes(f->document, 2, id, 16);
    bind_text(f->document, 3, path);
    (void)sqlite3_bind_int64(f->document, 5, (sqlite3_int64)ms);
    run(f, f->document);
    bind_bytes(f->tag, 3, id, 16);
    bind_text(f->tag, 2, "nda");
    run(f, f->tag);
    bind_text(f->tag, 2, "confidentiality");
    run(f, f->tag);
    bind_bytes(f->audit, 2, line, 16);
    bind_text(f->audit, 3, name);
    bind_text(f->audit, 5, request);
    (void)sqlite3_bind_int64(f->audit, 7, ++f->lines);
    run(f, f->audit);
}

static void
one_batch(struct filler *f, uint64_t first, int batch)
{
    struct timespec now;
    uint64_t ms;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    run(f, f->begin);
    for (int i = 0; i < batch; i++)
        add_document(f, ms, first + (uint64_t)i);
    (void)sqlite3_bind_int(f->usage, 2, batch);
    run(f, f->usage);
    (void)sqlite3_bind_int64(f->chain, 3, f->lines);
    run(f, f->chain);
    run(f, f->commit);
}

static void
open_library(struct filler *f, const char *path)
{
    sqlite3_stmt **const of_workspace[] = {&f->document, &f->tag, &f->audit, &f->usage, &f->chain};
    static const char *const texts[] = {DOCUMENT, TAG, AUDIT, USAGE, CHAIN};

    if (sqlite3_open_v2(path, &f->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) ||
        sqlite3_exec(f->db, setup, NULL, NULL, NULL))
        fail(f);
    f->workspace = number(f, "SELECT workspace_id FROM workspace");
    f->lines = number(f, "SELECT coalesce(max(seq), 0) FROM audit");
    f->begin = prepare(f, "BEGIN IMMEDIATE");
    f->commit = prepare(f, "COMMIT");
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        *of_workspace[i] = prepare(f, texts[i]);
        (void)sqlite3_bind_int64(*of_workspace[i], 1, f->workspace);
    }
    floor_random(f->user, sizeof(f->user));
    floor_random(f->hash, sizeof(f->hash));
    bind_bytes(f->document, 4, f->user, 16);
    bind_bytes(f->audit, 4, f->user, 16);
    bind_bytes(f->audit, 6, f->hash, 32);
    bind_bytes(f->chain, 2, f->hash, 32);
}

int
main(int argc, char **argv)
{
    struct filler f = {0};
    double begun, seconds;
    uint64_t made = 0;
    int batch;

    if (argc != 5) {
        (void)fprintf(stderr, "usage: rows DOSSIER.DB SECONDS BATCH RUN\n");
        return 2;
    }
    seconds = strtod(argv[2], NULL);
    batch = (int)strtol(argv[3], NULL, 10);
    f.run = argv[4];
    open_library(&f, argv[1]);
    begun = floor_seconds();
    for (; floor_seconds() < begun + seconds; made += (uint64_t)batch)
        one_batch(&f, made, batch);
    seconds = floor_seconds() - begun;
    (void)printf("{\"rate\": %.1f, \"documents\": %llu, \"us\": %.2f}\n", (double)made / seconds,
                 (unsigned long long)made,
                 (double)clock() * 1e6 / CLOCKS_PER_SEC / (double)(made ? made : 1));
    return 0; /* what is prepared and open ends with the process */
}
