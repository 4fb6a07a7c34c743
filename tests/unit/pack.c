// SPDX-License-Identifier: Apache-2.0
/* blob/fs/pack: small blobs as rows of one file, and that what was erased is nowhere in it. */
#include <sqlite3.h>

#include "pack_world.h"

static void
all_sizes_come_back(void **state)
{
    static const size_t sizes[] = {0, 1, 15, 4061, 4095, 4096, 4097, 8192, 65535, 65536};
    struct world *w = *state;
    struct blob_key keys[ARRAY_LEN(sizes)], absent = new_key();
    struct err err;
    int64_t size;

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        keys[i] = new_key();
        assert_int_equal(put(w, &keys[i], sizes[i]), RC_OK);
    }
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            assert_int_equal(get(w->pack, &keys[i], sizes[i]), RC_OK);
            assert_int_equal(pack_stat(w->pack, &keys[i], &size, &err), RC_OK);
            assert_int_equal(size, sizes[i]);
        }
        assert_int_equal(get(w->pack, &absent, 0), RC_NOT_FOUND);
        assert_int_equal(pack_stat(w->pack, &absent, &size, &err), RC_NOT_FOUND);
        close_store(w);
        open_store(w);
    }
}

static void
a_key_is_written_once(void **state)
{
    struct world *w = *state;
    struct blob_key key = new_key(), row = new_key(), file = new_key(), elsewhere;
    struct blob_store *plain = NULL;
    uint8_t bytes[100], large[SMALL_MAX + 1];
    struct err err;

    assert_int_equal(put(w, &key, 100), RC_OK);
    memset(bytes, 'x', sizeof(bytes));
    memset(large, 'y', sizeof(large));
    assert_int_equal(pack_put(w->pack, &key, bytes, sizeof(bytes), &err), RC_CONFLICT);
    assert_int_equal(get(w->pack, &key, 100), RC_OK);
    elsewhere = key;
    elsewhere.workspace++; /* that is another one */
    assert_int_equal(put(w, &elsewhere, 100), RC_OK);

    /* a row, then a file */
    assert_int_equal(put_in(w->store, &row, bytes, sizeof(bytes)), RC_OK);
    assert_int_equal(put_in(w->store, &row, large, sizeof(large)), RC_CONFLICT);
    assert_int_equal(blob_store_open_fs(w->dir, &plain, &err), RC_OK);
    assert_int_equal(put_in(plain, &row, bytes, sizeof(bytes)), RC_CONFLICT);
    /* a file, then a row */
    assert_int_equal(put_in(plain, &file, bytes, sizeof(bytes)), RC_OK);
    blob_store_free(&plain);
    assert_int_equal(put_in(w->store, &file, bytes, sizeof(bytes)), RC_CONFLICT);
    assert_int_equal(get(w->pack, &file, 0), RC_NOT_FOUND);
    assert_int_equal(blob_delete(w->store, &file, &err), RC_OK);
    assert_int_equal(put_in(w->store, &file, bytes, sizeof(bytes)), RC_OK);
}

static void
an_open_reader_keeps_the_bytes(void **state)
{
    struct world *w = *state;
    struct blob_key key = new_key();
    SCOPED(blob_reader) r = NULL;
    uint8_t want[5000], got[5000];
    struct err err;
    size_t n;

    fill(&key, want, sizeof(want));
    assert_int_equal(put_in(w->store, &key, want, sizeof(want)), RC_OK);
    assert_int_equal(blob_read_open(w->store, &key, &r, &err), RC_OK);
    assert_int_equal(blob_reader_fd(r), -1);
    assert_int_equal(blob_delete(w->store, &key, &err), RC_OK);
    assert_false(is_anywhere(w, &key));
    assert_int_equal(blob_read(r, 0, got, sizeof(got), &n, &err), RC_OK);
    assert_int_equal(n, sizeof(got));
    assert_memory_equal(got, want, sizeof(want));
    assert_int_equal(blob_read(r, 4990, got, sizeof(got), &n, &err), RC_OK);
    assert_int_equal(n, 10);
}

/* Bytes at the beginning or the end of a row, of lengths about those that fill whole pages. */
static void
no_page_of_the_table_has_bytes(void **state)
{
    static const size_t from[] = {16, 440, 3560, 4050, 8140, 65480};
    struct world *w = *state;
    uint8_t bytes[SMALL_MAX + 1], page[4096];
    size_t n_leaves = 0;
    struct err err;
    int fd;

    memset(bytes, 0xa5, sizeof(bytes));
    for (size_t i = 0; i < ARRAY_LEN(from); i++) {
        for (size_t len = from[i]; len < from[i] + 56; len++) {
            struct blob_key key = new_key();

            memset(key.id.b, 0x11, sizeof(key.id.b) - 2); /* nothing else has many 0xa5 */
            key.id.b[14] = (uint8_t)i;
            key.id.b[15] = (uint8_t)(len - from[i]);
            assert_int_equal(pack_put(w->pack, &key, bytes, len, &err), RC_OK);
        }
    }
    close_store(w); /* empties the log */
    fd = open(w->path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (off_t at = sizeof(page); pread(fd, page, sizeof(page), at) == sizeof(page);
         at += (off_t)sizeof(page)) {
        if (page[0] != 0x0d) /* a leaf of a table: https://www.sqlite.org/fileformat2.html */
            continue;
        n_leaves++;
        assert_null(memmem(page, sizeof(page), "\xa5\xa5\xa5", 3));
    }
    fd_close(&fd);
    assert_true(n_leaves > 40);
    open_store(w);
}

static uint32_t
dice(uint32_t *seed, uint32_t sides)
{
    *seed = *seed * 1664525U + 1013904223U;
    return (*seed >> 8) % sides;
}

/*
 * A page of a table is written anew when rows go to a neighbour, and SQLite overwrites what the
 * rows took there no more than it has to: so whatever was erased is looked for again to the end.
 */
static void
what_was_erased_stays_nowhere(void **state)
{
    static const uint32_t most[] = {200, 1500, 4200, 20000};
    struct world *w = *state;
    struct blob_key live[600], gone[2400];
    size_t sizes[600], n_live = 0, n_gone = 0;
    uint32_t seed = 1;

    for (size_t round = 0; round < 120; round++) {
        for (uint32_t i = 1 + dice(&seed, 20); i > 0 && n_live < ARRAY_LEN(live); i--) {
            live[n_live] = new_key();
            sizes[n_live] = MARK_LEN + dice(&seed, most[round / 30]);
            assert_int_equal(put(w, &live[n_live], sizes[n_live]), RC_OK);
            n_live++;
        }
        for (uint32_t i = 1 + dice(&seed, 20); i > 0 && n_live > 0; i--) {
            size_t at = dice(&seed, (uint32_t)n_live);

            assert_int_equal(erase(w, &live[at]), RC_OK);
            gone[n_gone++] = live[at];
            live[at] = live[--n_live];
            sizes[at] = sizes[n_live];
        }
        for (size_t i = round % 10 == 9 ? 0 : n_gone - 1; i < n_gone; i++)
            assert_false(is_anywhere(w, &gone[i]));
    }
    for (size_t i = 0; i < n_live; i++)
        assert_int_equal(get(w->pack, &live[i], sizes[i]), RC_OK);
}

struct swarm {
    struct world *w;
    struct blob_key common[8];
    _Atomic int failures;
    _Atomic int common_puts;
};

static void
expect(struct swarm *s, bool ok)
{
    if (!ok)
        (void)atomic_fetch_add(&s->failures, 1);
}

static void *
swarm_run(void *arg)
{
    struct swarm *s = arg;
    struct world *w = s->w;

    for (unsigned i = 0; i < 8; i++) {
        const struct blob_key key = new_key(), *common = &s->common[i];
        size_t len = i % 3 == 0 ? 9000 : 100 + i;
        enum rc rc;

        expect(s, put(w, &key, len) == RC_OK);
        expect(s, get(w->pack, &key, len) == RC_OK);
        rc = put(w, common, 3000); /* another may have it, or may be erasing it */
        expect(s, rc == RC_OK || rc == RC_CONFLICT);
        if (rc == RC_OK)
            (void)atomic_fetch_add(&s->common_puts, 1);
        rc = get(w->pack, common, 3000);
        expect(s, rc == RC_OK || rc == RC_NOT_FOUND);
        if (i % 2) {
            expect(s, erase(w, &key) == RC_OK);
            expect(s, get(w->pack, &key, len) == RC_NOT_FOUND);
            expect(s, !is_anywhere(w, &key));
            expect(s, erase(w, common) == RC_OK);
        } else {
            expect(s, get(w->pack, &key, len) == RC_OK);
        }
    }
    return NULL;
}

static void
many_put_read_and_erase(void **state)
{
    struct swarm s = {.w = *state};

    for (size_t i = 0; i < ARRAY_LEN(s.common); i++)
        s.common[i] = new_key();
    run_threads(swarm_run, &s);
    assert_int_equal(atomic_load(&s.failures), 0);
    assert_true(atomic_load(&s.common_puts) >= (int)ARRAY_LEN(s.common));
    for (size_t i = 0; i < ARRAY_LEN(s.common); i++) {
        assert_int_equal(erase(s.w, &s.common[i]), RC_OK);
        assert_false(is_anywhere(s.w, &s.common[i]));
    }
}

static void *
erase_same(void *arg)
{
    struct swarm *s = arg;

    for (size_t i = 0; i < ARRAY_LEN(s->common); i++) {
        expect(s, erase(s->w, &s->common[i]) == RC_OK);
        expect(s, !is_anywhere(s->w, &s->common[i]));
    }
    return NULL;
}

/* Who comes second, and finds no row, does not answer before the first one is done. */
static void
many_erase_the_same(void **state)
{
    struct swarm s = {.w = *state};

    for (size_t i = 0; i < ARRAY_LEN(s.common); i++) {
        s.common[i] = new_key();
        assert_int_equal(put(s.w, &s.common[i], 30000), RC_OK);
    }
    run_threads(erase_same, &s);
    assert_int_equal(atomic_load(&s.failures), 0);
}

struct tour {
    struct world *w;
    const struct blob_key *keys;
    size_t n;
    unsigned char seen[600];
    bool erases;
    bool puts;
    size_t visits;
    enum rc ends; /* at the fifth */
};

static enum rc
visit(void *arg, const struct blob_key *key, int64_t size, int64_t mtime_ms, struct err *err)
{
    struct tour *t = arg;
    struct blob_key more = new_key();

    t->visits++;
    if (t->ends && t->visits == 5)
        return err_set(err, t->ends, "enough");
    assert_true(mtime_ms <= clock_wall_ms() && mtime_ms > clock_wall_ms() - 600000);
    for (size_t i = 0; i < t->n; i++) {
        if (memcmp(&key->id, &t->keys[i].id, sizeof(key->id)) == 0) {
            assert_int_equal(size, 100 + i);
            assert_int_equal(key->workspace, WORKSPACE);
            t->seen[i]++;
        }
    }
    if (t->erases && t->visits % 16 == 1)
        assert_int_equal(erase(t->w, key), RC_OK);
    if (t->puts && t->visits % 16 == 2 && t->visits < 600)
        assert_int_equal(put(t->w, &more, 50), RC_OK);
    return RC_OK;
}

static void
tour_run(struct world *w, struct tour *t, size_t n)
{
    struct err err;

    memset(t->seen, 0, sizeof(t->seen));
    t->n = n;
    t->visits = 0;
    assert_int_equal(blob_each(w->store, visit, NULL, t, &err), t->ends);
    for (size_t i = 0; i < n && !t->ends; i++)
        assert_int_equal(t->seen[i], 1);
}

/* 256 are read at a time. */
static void
a_walk_sees_all(void **state)
{
    static const size_t stops[] = {0, 1, 255, 256, 257, 511, 512, 513, 600};
    struct world *w = *state;
    struct blob_key keys[600];
    struct tour t = {.w = w, .keys = keys};

    for (size_t i = 0, n = 0; i < ARRAY_LEN(stops); i++) {
        for (; n < stops[i]; n++) {
            keys[n] = new_key();
            assert_int_equal(put(w, &keys[n], 100 + n), RC_OK);
        }
        tour_run(w, &t, n);
        assert_int_equal(t.visits, n);
    }
    t.puts = t.erases = true;
    tour_run(w, &t, ARRAY_LEN(keys));
    t = (struct tour){.w = w, .keys = keys, .ends = RC_BUSY};
    tour_run(w, &t, ARRAY_LEN(keys));
    assert_int_equal(t.visits, 5);
}

/* A backup: it has no server's store, and makes nothing that is not there. */
static void
who_reads_makes_no_file(void **state)
{
    struct world *w = *state;
    char dir[100], path[128];
    SCOPED(blob_store) store = NULL;
    SCOPED(pack) p = NULL;
    struct blob_key key = new_key();
    atomic_bool broken = false;
    struct stat info;
    struct err err;
    int64_t size;

    (void)snprintf(dir, sizeof(dir), "%s/other", w->dir);
    (void)snprintf(path, sizeof(path), "%s/" PACK_FILE, dir);
    assert_int_equal(blob_store_open_fs(dir, &store, &err), RC_OK);
    assert_int_equal(blob_stat(store, &key, &size, &err), RC_NOT_FOUND);
    assert_int_equal(put_in(store, &key, "file", 4), RC_OK);
    assert_int_equal(blob_delete(store, &key, &err), RC_OK);
    assert_int_equal(lstat(path, &info), -1);
    assert_int_equal(pack_open(path, false, &broken, &p, &err), RC_NOT_FOUND);
    assert_null(p);
}

/* Who made the file may have been cut off before there was anything in it. */
static void
a_file_that_was_hardly_begun_is_none(void **state)
{
    static const char *const begun[] = {"", "PRAGMA journal_mode=WAL", /* as its maker goes on */
                                        "PRAGMA auto_vacuum=INCREMENTAL; VACUUM",
                                        "CREATE TABLE small (number INTEGER PRIMARY KEY,"
                                        " workspace_id INTEGER NOT NULL, id BLOB NOT NULL, size"
                                        " INTEGER NOT NULL, written_at INTEGER NOT NULL, filler"
                                        " BLOB NOT NULL, bytes BLOB NOT NULL)"};
    struct world *w = *state;
    struct blob_key key = new_key();
    struct err err;
    int64_t size;

    close_store(w);
    assert_int_equal(unlink(w->path), 0);
    for (size_t i = 0; i < ARRAY_LEN(begun); i++) {
        sqlite3 *db = NULL;
        int fd = open(w->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        fd_close(&fd);
        assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, begun[i], NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        assert_int_equal(blob_store_open_fs(w->dir, &w->store, &err), RC_OK);
        assert_int_equal(blob_stat(w->store, &key, &size, &err), RC_NOT_FOUND);
        assert_int_equal(blob_delete(w->store, &key, &err), RC_OK);
        blob_store_free(&w->store);
    }
    open_store(w);
    assert_int_equal(put(w, &key, 100), RC_OK);
    assert_int_equal(get(w->pack, &key, 100), RC_OK);
}

static void
another_store_sees_it(void **state)
{
    struct world *w = *state;
    SCOPED(blob_store) other = NULL;
    struct pack *p;
    struct blob_key keys[20];
    struct err err;

    assert_int_equal(blob_store_open_fs(w->dir, &other, &err), RC_OK);
    p = ((struct fs_store *)other)->pack;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        keys[i] = new_key();
        assert_int_equal(put(w, &keys[i], 5000), RC_OK);
        assert_int_equal(get(p, &keys[i], 5000), RC_OK);
        if (i % 2) {
            assert_int_equal(erase(w, &keys[i]), RC_OK);
            assert_int_equal(get(p, &keys[i], 5000), RC_NOT_FOUND);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        PACK_CASE(all_sizes_come_back),
        PACK_CASE(a_key_is_written_once),
        PACK_CASE(an_open_reader_keeps_the_bytes),
        PACK_CASE(no_page_of_the_table_has_bytes),
        PACK_CASE(what_was_erased_stays_nowhere),
        PACK_CASE(many_put_read_and_erase),
        PACK_CASE(many_erase_the_same),
        PACK_CASE(a_walk_sees_all),
        PACK_CASE(who_reads_makes_no_file),
        PACK_CASE(a_file_that_was_hardly_begun_is_none),
        PACK_CASE(another_store_sees_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
