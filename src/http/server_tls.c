// SPDX-License-Identifier: Apache-2.0
#include "http/server_tls.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define CHAIN_MAX 16
#define FILE_MAX MIB(1)
/*
 * How long a replaced pair is kept for handshakes that have been given it. They are cut sooner by
 * the deadlines of the server, and nothing of the pair is used after the handshake.
 */
#define RETIRED_MS 120000

struct pair {
    gnutls_pcert_st chain[CHAIN_MAX];
    unsigned n;
    gnutls_privkey_t key;
    int64_t expires_s;
    int64_t retired_ms;
    struct pair *next; /* retired before this one */
};

struct tls {
    char *cert_file, *key_file;
    pthread_mutex_t lock;
    struct pair *current;
    struct pair *retired;
};

/* What a session has of ours. */
struct adopted {
    struct tls *tls;
    void (*done)(void *arg);
    void *arg;
};

static void
pair_free(struct pair **ret)
{
    struct pair *p = *ret;

    if (!p)
        return;
    for (unsigned i = 0; i < p->n; i++)
        gnutls_pcert_deinit(&p->chain[i]);
    gnutls_privkey_deinit(p->key);
    (void)talloc_free(p);
    *ret = NULL;
}

static enum rc
read_file(TALLOC_CTX *pool, const char *path, gnutls_datum_t *ret, mode_t *ret_mode,
          struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    unsigned char *bytes = NULL;
    struct stat info;
    ssize_t n = -1;

    if (fd < 0)
        return err_errno(err, RC_INVALID, path);
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size < FILE_MAX) {
        bytes = MEM_ARRAY(pool, unsigned char, FILE_MAX);
        n = read(fd, bytes, FILE_MAX);
    }
    (void)close(fd);
    if (n <= 0)
        return err_set(err, RC_INVALID, "%s is not a file with PEM text", path);
    *ret_mode = info.st_mode & 07777;
    *ret = (gnutls_datum_t){.data = bytes, .size = (unsigned)n};
    return RC_OK;
}

static enum rc
load_chain(struct pair *p, const char *path, struct err *err)
{
    SCOPED_POOL(pool);
    gnutls_datum_t pem;
    unsigned n = CHAIN_MAX;
    mode_t mode;
    int failed;
    enum rc rc;

    rc = read_file(pool, path, &pem, &mode, err);
    if (rc)
        return rc;
    failed = gnutls_pcert_list_import_x509_raw(p->chain, &n, &pem, GNUTLS_X509_FMT_PEM,
                                               GNUTLS_X509_CRT_LIST_SORT);
    if (failed < 0)
        return err_set(err, RC_INVALID, "no certificate can be read from %s: %s", path,
                       gnutls_strerror(failed));
    p->n = n;
    return RC_OK;
}

static enum rc
load_key(struct pair *p, const char *path, struct err *err)
{
    SCOPED_POOL(pool);
    gnutls_datum_t pem;
    mode_t mode;
    int failed;
    enum rc rc;

    rc = read_file(pool, path, &pem, &mode, err);
    if (rc)
        return rc;
    failed = gnutls_privkey_import_x509_raw(p->key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
    explicit_bzero(pem.data, pem.size);
    if (failed < 0)
        return err_set(err, RC_INVALID, "no key without a password can be read from %s: %s", path,
                       gnutls_strerror(failed));
    if (mode & S_IRWXO)
        log_warn("%s may be read by everybody (mode %04o): chmod o-rwx it", path, (unsigned)mode);
    return RC_OK;
}

/* True when the key signs for this certificate. */
static bool
belongs(const struct pair *p)
{
    unsigned char of_cert[64], of_key[64];
    size_t cert_len = sizeof(of_cert), key_len = sizeof(of_key);
    const unsigned how = GNUTLS_KEYID_USE_SHA256;
    gnutls_pubkey_t shown = p->chain[0].pubkey, public;
    bool same;

    if (gnutls_pubkey_init(&public) < 0)
        return false;
    same = gnutls_pubkey_import_privkey(public, p->key, 0, 0) == 0 &&
           gnutls_pubkey_get_key_id(public, how, of_key, &key_len) == 0 &&
           gnutls_pubkey_get_key_id(shown, how, of_cert, &cert_len) == 0 && key_len == cert_len &&
           memcmp(of_key, of_cert, key_len) == 0;
    gnutls_pubkey_deinit(public);
    return same;
}

/* A certificate out of its time is shown all the same: to refuse to serve would be no better. */
static enum rc
read_times(struct pair *p, const char *path, struct err *err)
{
    gnutls_x509_crt_t crt;
    time_t begins = -1, ends = -1;
    int64_t now_s = clock_wall_ms() / 1000;

    if (gnutls_pcert_export_x509(&p->chain[0], &crt) < 0)
        return err_set(err, RC_INVALID, "%s cannot be read", path);
    begins = gnutls_x509_crt_get_activation_time(crt);
    ends = gnutls_x509_crt_get_expiration_time(crt);
    gnutls_x509_crt_deinit(crt);
    p->expires_s = ends;
    if (now_s < begins)
        log_warn("the certificate of %s is not good yet", path);
    if (now_s > ends)
        log_warn("the certificate of %s has expired", path);
    return RC_OK;
}

static enum rc
pair_load(const struct tls *t, struct pair **ret, struct err *err)
{
    SCOPED(pair) p = MEM_NEW(NULL, struct pair);
    enum rc rc;

    BUG_ON(gnutls_privkey_init(&p->key) < 0);
    rc = load_chain(p, t->cert_file, err);
    if (!rc)
        rc = load_key(p, t->key_file, err);
    if (!rc && !belongs(p))
        rc = err_set(err, RC_INVALID, "the key of %s does not belong to the certificate of %s",
                     t->key_file, t->cert_file);
    if (!rc)
        rc = read_times(p, t->cert_file, err);
    if (rc)
        return rc;
    *ret = p;
    p = NULL;
    return RC_OK;
}

enum rc
tls_new(const char *cert_file, const char *key_file, struct tls **ret, struct err *err)
{
    struct tls *t = MEM_NEW(NULL, struct tls);
    enum rc rc;

    t->cert_file = mem_strdup(t, cert_file);
    t->key_file = mem_strdup(t, key_file);
    pthread_mutex_init(&t->lock, NULL);
    rc = pair_load(t, &t->current, err);
    if (rc) {
        tls_free(&t);
        return rc;
    }
    *ret = t;
    return RC_OK;
}

/* Of the retired pairs, those that were so before `until_ms`. They stand newest first. */
static void
forget_retired(struct tls *t, int64_t until_ms)
{
    struct pair **at = &t->retired, *rest, *next;

    while (*at && (*at)->retired_ms >= until_ms)
        at = &(*at)->next;
    rest = *at;
    *at = NULL;
    for (; rest; rest = next) {
        next = rest->next;
        pair_free(&rest);
    }
}

void
tls_free(struct tls **ret)
{
    struct tls *t = *ret;

    if (!t)
        return;
    forget_retired(t, INT64_MAX);
    pair_free(&t->current);
    pthread_mutex_destroy(&t->lock);
    (void)talloc_free(t);
    *ret = NULL;
}

enum rc
tls_reload(struct tls *t, struct err *err)
{
    struct pair *fresh = NULL;
    int64_t now_ms = clock_mono_ms();
    enum rc rc = pair_load(t, &fresh, err);

    if (rc)
        return rc;
    pthread_mutex_lock(&t->lock);
    t->current->retired_ms = now_ms;
    t->current->next = t->retired;
    t->retired = t->current;
    t->current = fresh;
    pthread_mutex_unlock(&t->lock);
    forget_retired(t, now_ms - RETIRED_MS);
    return RC_OK;
}

int64_t
tls_expires_s(struct tls *t)
{
    int64_t s;

    pthread_mutex_lock(&t->lock);
    s = t->current->expires_s;
    pthread_mutex_unlock(&t->lock);
    return s;
}

/* The client's is the last message of a handshake (1.3), or what our last one answers (1.2). */
static int
on_finished(gnutls_session_t session, unsigned type, unsigned when, unsigned incoming,
            const gnutls_datum_t *message)
{
    const struct adopted *a = gnutls_session_get_ptr(session);

    (void)type;
    (void)when;
    (void)message;
    if (incoming && a)
        a->done(a->arg);
    return 0;
}

/* The HTTP library needs the pointer of a session for pre-shared keys only. */
void
tls_adopt(struct tls *t, gnutls_session_t session, void (*done)(void *arg), void *arg)
{
    struct adopted *a = MEM_NEW(NULL, struct adopted);

    *a = (struct adopted){.tls = t, .done = done, .arg = arg};
    gnutls_session_set_ptr(session, a);
    gnutls_handshake_set_hook_function(session, GNUTLS_HANDSHAKE_FINISHED, GNUTLS_HOOK_POST,
                                       on_finished);
}

void
tls_leave(gnutls_session_t session)
{
    (void)talloc_free(gnutls_session_get_ptr(session));
    gnutls_session_set_ptr(session, NULL);
}

int
tls_retrieve(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
             gnutls_pcert_st **certs, unsigned *n, gnutls_ocsp_data_st **ocsp, unsigned *n_ocsp,
             gnutls_privkey_t *key, unsigned *flags)
{
    struct tls *t = ((const struct adopted *)gnutls_session_get_ptr(session))->tls;
    struct pair *p;

    (void)info;
    pthread_mutex_lock(&t->lock);
    p = t->current;
    pthread_mutex_unlock(&t->lock);
    *certs = p->chain;
    *n = p->n;
    *ocsp = NULL;
    *n_ocsp = 0;
    *key = p->key;
    *flags = 0; /* lent */
    return 0;
}
