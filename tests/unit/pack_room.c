// SPDX-License-Identifier: Apache-2.0
/* blob/fs/pack: a log that is held, a disk that is full, and room that is given back. */
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "pack_world.h"

/* Somebody who reads and does not end, as another process may. */
struct holder {
    struct db *db;
    struct db_conn *conn;
};

static void
hold(struct world *w, struct holder *h)
{
    static const struct sql count = SQL("SELECT count(*) FROM small");
    SCOPED(db_cursor) c = NULL;
    struct err err;

    assert_int_equal(db_open_sqlite(w->path, &h->db, &err), RC_OK);
    assert_int_equal(db_connect(h->db, DB_READER, &h->conn, &err), RC_OK);
    assert_int_equal(db_begin_read(h->conn, &err), RC_OK);
    assert_int_equal(db_query_one(h->conn, &count, DB_NO_ARGS, &c, &err), RC_OK);
}

static void
let_go(struct holder *h)
{
    db_rollback(h->conn);
    db_conn_free(&h->conn);
    db_free(&h->db);
}

static void
a_log_that_is_held_is_told(void **state)
{
    struct world *w = *state;
    struct blob_key key = new_key(), other = new_key();
    struct holder h;
    int64_t began;

    assert_int_equal(put(w, &key, 3000), RC_OK);
    hold(w, &h);
    began = clock_mono_ms();
    assert_int_equal(erase(w, &key), RC_UNAVAILABLE);
    assert_true(clock_mono_ms() - began < 60000);
    assert_int_equal(get(w->pack, &key, 3000), RC_NOT_FOUND);
    assert_true(is_anywhere(w, &key));
    assert_int_equal(erase(w, &key), RC_UNAVAILABLE); /* no row, and yet not done */
    assert_int_equal(put(w, &other, 3000), RC_OK);    /* writing goes on */
    close_store(w);
    open_store(w);
    assert_true(is_anywhere(w, &key));
    assert_int_equal(erase(w, &key), RC_UNAVAILABLE); /* nor is it after a start */
    let_go(&h);
    assert_int_equal(erase(w, &key), RC_OK);
    assert_false(is_anywhere(w, &key));
    assert_int_equal(get(w->pack, &other, 3000), RC_OK);
}

/* Nor for the room that it takes to empty it. */
static void
a_file_does_not_wait_for_the_log(void **state)
{
    struct world *w = *state;
    struct blob_key small = new_key(), file = new_key();
    uint8_t bytes[SMALL_MAX + 1] = {0};
    struct holder h;
    struct err err;
    int64_t size;

    assert_int_equal(put_in(w->store, &file, bytes, sizeof(bytes)), RC_OK);
    assert_int_equal(put(w, &small, 3000), RC_OK);
    hold(w, &h);
    assert_int_equal(blob_delete(w->store, &small, &err), RC_UNAVAILABLE);
    assert_int_equal(blob_delete(w->store, &file, &err), RC_OK);
    assert_int_equal(blob_stat(w->store, &file, &size, &err), RC_NOT_FOUND);
    /* what is in neither may be in the log yet */
    assert_int_equal(blob_delete(w->store, &file, &err), RC_UNAVAILABLE);
    let_go(&h);
    assert_int_equal(blob_delete(w->store, &file, &err), RC_OK);
    assert_int_equal(blob_delete(w->store, &small, &err), RC_OK);
    assert_false(is_anywhere(w, &small));
}

struct crowd {
    struct world *w;
    struct blob_key *keys;
    size_t n;
    size_t keep; /* each so many-th stays, 0: none */
    _Atomic size_t next;
    _Atomic int failures;
};

static void *
put_all(void *arg)
{
    struct crowd *c = arg;

    for (size_t i; (i = atomic_fetch_add(&c->next, 1)) < c->n;)
        if (put(c->w, &c->keys[i], 4096))
            (void)atomic_fetch_add(&c->failures, 1);
    return NULL;
}

static void *
erase_most(void *arg)
{
    struct crowd *c = arg;

    for (size_t i; (i = atomic_fetch_add(&c->next, 1)) < c->n;)
        if (i % c->keep && erase(c->w, &c->keys[i]))
            (void)atomic_fetch_add(&c->failures, 1);
    return NULL;
}

static void
room_is_given_back(void **state)
{
    SCOPED_POOL(pool);
    struct world *w = *state;
    struct crowd c = {.w = w, .n = 4000, .keep = 200};

    c.keys = MEM_ARRAY(pool, struct blob_key, c.n);
    for (size_t i = 0; i < c.n; i++)
        c.keys[i] = new_key();
    run_threads(put_all, &c);
    c.next = 0;
    run_threads(erase_most, &c);
    assert_int_equal(atomic_load(&c.failures), 0);
    assert_int_equal(size_of(w, 1), 0);
    assert_true(size_of(w, 0) <= MIB(8));
    for (size_t i = 0; i < c.n; i += c.keep)
        assert_int_equal(get(w->pack, &c.keys[i], 4096), RC_OK);
    for (size_t i = 1; i < c.n; i += c.keep)
        assert_int_equal(get(w->pack, &c.keys[i], 4096), RC_NOT_FOUND);
}

static void
limit_files(int64_t most)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = most < 0 ? limit.rlim_max : (rlim_t)most;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* The log cannot grow, and not for a full disk: whether the commit is on disk is unknown. */
static void
what_cannot_be_taken_back_ends_it(void **state)
{
    struct world *w = *state;
    struct blob_key first = new_key(), big = new_key(), last = new_key();

    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(put(w, &first, 3000), RC_OK);
    limit_files(size_of(w, 1) + KIB(16));
    assert_int_equal(put(w, &big, SMALL_MAX), RC_COMMIT_UNKNOWN);
    limit_files(-1);
    assert_int_equal(get(w->pack, &first, 3000), RC_OK);
    assert_int_equal(put(w, &last, 3000), RC_UNAVAILABLE);
    assert_int_equal(erase(w, &first), RC_UNAVAILABLE);
    close_store(w);
    open_store(w);
    assert_int_equal(get(w->pack, &first, 3000), RC_OK);
    assert_int_equal(put(w, &last, 3000), RC_OK);
    assert_int_equal(erase(w, &first), RC_OK);
}

/* Clients may have all descriptors when something is to be erased: that ends nothing. */
static void
no_descriptor_is_no_fault(void **state)
{
    struct world *w = *state;
    struct blob_key key = new_key(), other = new_key();
    struct rlimit limit, few;
    int fd;

    assert_int_equal(put(w, &key, 3000), RC_OK);
    assert_int_equal(get(w->pack, &key, 3000), RC_OK); /* a reader is there from now on */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    fd = dup(0); /* the next one that there would be */
    assert_true(fd >= 0);
    few = (struct rlimit){.rlim_cur = (rlim_t)fd, .rlim_max = limit.rlim_max};
    fd_close(&fd);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_int_equal(erase(w, &key), RC_UNAVAILABLE);
    assert_int_equal(erase(w, &key), RC_UNAVAILABLE); /* no row, and yet not done */
    assert_int_equal(put(w, &other, 3000), RC_OK);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(erase(w, &key), RC_OK);
    assert_false(is_anywhere(w, &key));
    assert_int_equal(get(w->pack, &other, 3000), RC_OK);
}

/* A file system of 2 MiB over the store's directory, which only this process sees. */
static bool
make_it_small(struct world *w)
{
    if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS))
        return false;
    return mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", w->dir, "tmpfs", 0, "size=2m,mode=0700") == 0;
}

static void
a_full_disk_leaves_nothing(void **state)
{
    struct world *w = *state;
    struct blob_key keys[64];
    char ballast[128];
    size_t n = 0;
    enum rc rc;
    int fd;

    close_store(w);
    if (!make_it_small(w)) {
        open_store(w);
        print_message("no file system may be mounted here: not tried\n");
        skip();
    }
    open_store(w);
    (void)snprintf(ballast, sizeof(ballast), "%s/ballast", w->dir);
    fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(posix_fallocate(fd, 0, KIB(1400)), 0);
    do
        keys[n] = new_key();
    while ((rc = put(w, &keys[n], 20000)) == RC_OK && ++n < ARRAY_LEN(keys));
    assert_true(n > 2);
    assert_int_equal(rc, RC_STORAGE_FULL);
    assert_int_equal(get(w->pack, &keys[n], 20000), RC_NOT_FOUND);
    rc = erase(w, &keys[0]); /* it needs room too, for all that is in the log */
    assert_true(rc == RC_OK || rc == RC_STORAGE_FULL);
    for (size_t i = 1; i < n; i++)
        assert_int_equal(get(w->pack, &keys[i], 20000), RC_OK);
    fd_close(&fd);
    assert_int_equal(unlink(ballast), 0);
    assert_int_equal(put(w, &keys[n], 20000), RC_OK);
    assert_int_equal(erase(w, &keys[0]), RC_OK);
    assert_false(is_anywhere(w, &keys[0]));
    for (size_t i = 1; i <= n; i++)
        assert_int_equal(get(w->pack, &keys[i], 20000), RC_OK);
    close_store(w);
    assert_int_equal(umount2(w->dir, MNT_DETACH), 0);
    open_store(w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        PACK_CASE(a_log_that_is_held_is_told),
        PACK_CASE(a_file_does_not_wait_for_the_log),
        PACK_CASE(room_is_given_back),
        PACK_CASE(what_cannot_be_taken_back_ends_it),
        PACK_CASE(no_descriptor_is_no_fault),
        PACK_CASE(
            a_full_disk_leaves_nothing), /* the last: the process has mounts of its own then */
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
