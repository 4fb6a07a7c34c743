// SPDX-License-Identifier: Apache-2.0
/* https://www.postgresql.org/docs/15/libpq-connect.html */
#include <poll.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/rand.h"
#include "base/text.h"
#include "db/pg/pg.h"

#define CONNECT_MS 2000
#define CONNECT_MAX_MS 60000
#define HOSTS_IN_TIME 3 /* so many may use up their time before the connect is given up */
#define STATEMENT_MS 5000
#define STATEMENT_MAX_MS 600000
#define URL_MAX KIB(16)
#define SERVER_MIN 140000 /* client_connection_check_interval */
#define PAUSE_MS 25       /* after the first connect that failed; doubled after each other */

bool
pg_ready(PGconn *link, int64_t until_ms)
{
    for (;;) {
        struct pollfd fd = {.fd = PQsocket(link), .events = POLLIN};
        int unsent = PQflush(link), left = -1, n;
        int64_t now;

        /* what the server said before it hung up can still be read */
        if (!PQisBusy(link) || PQstatus(link) == CONNECTION_BAD || unsent < 0)
            return true;
        if (until_ms >= 0) {
            now = clock_mono_ms();
            left = until_ms > now ? (int)(until_ms - now) : 0;
        }
        if (unsent > 0)
            fd.events |= POLLOUT;
        n = poll(&fd, 1, left);
        if (n > 0 && fd.revents & ~POLLOUT && !PQconsumeInput(link))
            return true;
        if (n == 0 && left == 0)
            return !PQisBusy(link);
    }
}

/* ---- one connection ---- */

/* The transaction is on this server's disk, though not on its standby's: I6. Any warning counts
 * since its text is translated; COMMIT has no other. */
static void
on_notice(void *arg, const PGresult *res)
{
    struct pg_conn *c = arg;
    const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);

    if (severity && streq(severity, "WARNING") && c->commit_sent) {
        c->warned = true;
        (void)pg_error_take(res, RC_COMMIT_UNKNOWN, &c->cause);
    }
}

static PGconn *
start(const struct pg *pg, const struct pg_host *h)
{
    const char *words[64], *texts[ARRAY_LEN(words)];
    size_t n = 0;
    PGconn *link;

    BUG_ON(pg->words_n + 4 > ARRAY_LEN(words));
    for (; n < pg->words_n; n++) {
        words[n] = pg->words[n];
        texts[n] = pg->texts[n];
    }
    words[n] = "host";
    texts[n++] = h->host;
    words[n] = "hostaddr";
    texts[n++] = h->hostaddr;
    words[n] = "port";
    texts[n++] = h->port;
    words[n] = NULL;
    texts[n] = NULL;
    link = PQconnectStartParams(words, texts, 0);
    BUG_ON(!link); /* no memory */
    return link;
}

static enum rc
shake_hands(PGconn *link, int64_t until_ms, struct err *err)
{
    PostgresPollingStatusType want = PGRES_POLLING_WRITING;

    while (PQstatus(link) != CONNECTION_BAD && want != PGRES_POLLING_OK) {
        struct pollfd fd = {.fd = PQsocket(link),
                            .events = want == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        int64_t left = until_ms - clock_mono_ms();

        if (left <= 0)
            return err_set(err, RC_UNAVAILABLE, "postgres: no connection in time");
        if (poll(&fd, 1, (int)left) > 0)
            want = PQconnectPoll(link);
        if (want == PGRES_POLLING_FAILED)
            break;
    }
    return want == PGRES_POLLING_OK ? RC_OK : pg_error_link(link, RC_UNAVAILABLE, err);
}

/* $3 is NULL for a writer, which keeps what the server says. */
static const char setup[] =
    "SELECT current_setting('synchronous_commit'), current_setting('server_encoding'),"
    " current_setting('server_version_num'),"
    " set_config('statement_timeout', $1, false),"
    " set_config('idle_in_transaction_session_timeout', $2, false),"
    " set_config('default_transaction_read_only',"
    "  coalesce($3, current_setting('default_transaction_read_only')), false),"
    " set_config('default_transaction_isolation', 'read committed', false),"
    " set_config('standard_conforming_strings', 'on', false),"
    " set_config('client_connection_check_interval', '1s', false),"
    " set_config('tcp_keepalives_idle', '30', false),"
    " set_config('tcp_keepalives_interval', '10', false),"
    " set_config('tcp_keepalives_count', '3', false)";

static enum rc
check_server(const struct pg *pg, PGresult *res, struct err *err)
{
    bool drop;
    int64_t version;

    if (PQresultStatus(res) != PGRES_TUPLES_OK)
        return pg_error_take(res, pg_error_code(res, &drop), err);
    if (!text_uint(PQgetvalue(res, 0, 2), INT32_MAX, &version) || version < SERVER_MIN)
        return err_set(err, RC_INTERNAL, "PostgreSQL 14 or newer is needed, not %s",
                       PQgetvalue(res, 0, 2));
    if (!streq(PQgetvalue(res, 0, 1), "UTF8"))
        return err_set(err, RC_INTERNAL, "the database has the encoding %s; it has to be UTF8",
                       PQgetvalue(res, 0, 1));
    if (streq(PQgetvalue(res, 0, 0), "off") && !pg->relaxed)
        return err_set(err, RC_INTERNAL,
                       "synchronous_commit is off: the server would lose what it had "
                       "acknowledged; turn it on, or say dossier_relaxed=1 in the URL");
    return RC_OK;
}

static enum rc
set_up(struct pg_conn *c, PGconn *link, int64_t until_ms, struct err *err)
{
    char statement[24], idle[24];
    const char *values[] = {statement, idle, c->mode == DB_READER ? "on" : NULL};
    PGresult *res;
    enum rc rc;

    (void)snprintf(statement, sizeof(statement), "%lld", (long long)c->pg->statement_ms);
    /* a writer that stands still gives its locks back; a reader may be copying large files */
    (void)snprintf(idle, sizeof(idle), "%lld",
                   c->mode == DB_WRITER ? 12 * (long long)c->pg->statement_ms : 0);
    (void)PQsetnonblocking(link, 1);
    if (!PQsendQueryParams(link, setup, ARRAY_LEN(values), NULL, values, NULL, NULL, 0))
        return pg_error_link(link, RC_UNAVAILABLE, err);
    if (!pg_ready(link, until_ms))
        return err_set(err, RC_UNAVAILABLE, "postgres: no connection in time");
    res = PQgetResult(link);
    rc = check_server(c->pg, res, err);
    PQclear(res);
    if (rc)
        return rc;
    if (!pg_ready(link, until_ms))
        return err_set(err, RC_UNAVAILABLE, "postgres: no connection in time");
    PQclear(PQgetResult(link)); /* NULL: the end */
    return PQenterPipelineMode(link) ? RC_OK : pg_error_link(link, RC_UNAVAILABLE, err);
}

static enum rc
connect_to(struct pg_conn *c, const struct pg_host *h, int64_t until_ms, struct err *err)
{
    PGconn *link = start(c->pg, h);
    enum rc rc;

    (void)PQsetNoticeReceiver(link, on_notice, c);
    rc = shake_hands(link, until_ms, err);
    if (!rc)
        rc = set_up(c, link, until_ms, err);
    if (rc) {
        PQfinish(link);
        return rc;
    }
    c->link = link;
    return RC_OK;
}

/* ---- the breaker, and all hosts ---- */

/* *ret_host: where to begin. False: not now, *err says why the last one failed. */
static bool
may_try(struct pg *pg, size_t *ret_host, struct err *err)
{
    bool may = true;

    pthread_mutex_lock(&pg->lock);
    *ret_host = pg->first_host;
    if (pg->failures > 0) {
        may = !pg->trying && clock_mono_ms() >= pg->next_try_ms;
        if (may)
            pg->trying = true;
        else
            *err = pg->why;
    }
    pthread_mutex_unlock(&pg->lock);
    return may;
}

static void
tried(struct pg *pg, size_t next_host, const struct err *why)
{
    unsigned doublings;
    int64_t pause = PAUSE_MS;
    uint32_t dice;

    rand_bytes(&dice, sizeof(dice));
    pthread_mutex_lock(&pg->lock);
    pg->trying = false;
    pg->first_host = next_host;
    if (!why) {
        pg->failures = 0;
    } else {
        pg->why = *why;
        for (doublings = pg->failures++; doublings > 0 && pause < PG_RETRY_MAX_MS; doublings--)
            pause *= 2;
        if (pause > PG_RETRY_MAX_MS)
            pause = PG_RETRY_MAX_MS;
        /* half of it at random, so that many nodes do not come all at once */
        pg->next_try_ms = clock_mono_ms() + pause / 2 + dice % (uint32_t)(pause / 2 + 1);
    }
    pthread_mutex_unlock(&pg->lock);
}

enum rc
pg_connect(struct pg_conn *c, struct err *err)
{
    struct pg *pg = c->pg;
    int64_t now = clock_mono_ms(), end = now + HOSTS_IN_TIME * pg->connect_ms, until;
    size_t hosts = pg->hosts_n, first, at = 0;
    enum rc rc = RC_UNAVAILABLE;

    BUG_ON(c->link || hosts == 0);
    if (!may_try(pg, &first, err))
        return err->code;
    for (size_t i = 0; i < hosts && rc && now < end; i++) {
        at = (first + i) % hosts;
        until = now + pg->connect_ms;
        rc = connect_to(c, &pg->hosts[at], until < end ? until : end, err);
        now = clock_mono_ms();
    }
    /* after a failure another one, so that each gets its turn however long the first ones take */
    tried(pg, rc ? (first + 1) % hosts : at, rc ? err : NULL);
    return rc;
}

/* ---- the URL ---- */

static enum rc
take_own(struct pg *pg, char *pair, struct err *err)
{
    char *value = strchr(pair, '=');
    int64_t n;

    if (value)
        *value++ = '\0';
    if (streq(pair, "dossier_statement_ms")) {
        if (value && text_uint(value, STATEMENT_MAX_MS, &n) && n > 0) {
            pg->statement_ms = n;
            return RC_OK;
        }
        return err_set(err, RC_INVALID, "dossier_statement_ms is no number from 1 to %d",
                       STATEMENT_MAX_MS);
    }
    if (streq(pair, "dossier_relaxed")) {
        if (value && text_bool(value, &pg->relaxed))
            return RC_OK;
        return err_set(err, RC_INVALID, "dossier_relaxed is neither 0 nor 1");
    }
    return err_set(err, RC_INVALID, "the database's URL has no parameter %s", pair);
}

/* The URL without our own parameters, which libpq does not know. */
static enum rc
take_all_own(struct pg *pg, const char *url, char **ret, struct err *err)
{
    char *copy = mem_strdup(pg, url), *query = strchr(copy, '?'), *pair;
    enum rc rc = RC_OK;
    struct buf rest;
    bool any = false;

    buf_init(&rest, pg, URL_MAX + 1);
    if (query)
        *query++ = '\0';
    buf_puts(&rest, copy);
    while (!rc && (pair = strsep(&query, "&")) != NULL) {
        if (strncmp(pair, "dossier_", strlen("dossier_")) == 0) {
            rc = take_own(pg, pair, err);
            continue;
        }
        buf_puts(&rest, any ? "&" : "?");
        buf_puts(&rest, pair);
        any = true;
    }
    *ret = rest.bytes;
    return rc;
}

/* What libpq says about a broken URL, without the part of it that it quotes: a password maybe. */
static enum rc
bad_url(const char *why, struct err *err)
{
    static const char harmless[] = "invalid URI query parameter";
    const char *quote = why ? strstr(why, ": \"") : NULL;
    size_t len = !why ? 0 : strcspn(why, "\r\n");

    if (quote && strncmp(why, harmless, strlen(harmless)) != 0)
        len = (size_t)(quote - why);
    return err_set(err, RC_INVALID, "the database's URL: %.*s", (int)len, why ? why : "");
}

/* Entry `i` of a list with commas; the only one stands for all. NULL: libpq's default. */
static const char *
entry(TALLOC_CTX *pool, const char *list, size_t i)
{
    const char *end;

    if (!list)
        return NULL;
    if (!strchr(list, ','))
        i = 0;
    for (; i > 0 && list; i--) {
        list = strchr(list, ',');
        list = list ? list + 1 : NULL;
    }
    if (!list)
        return NULL;
    end = strchrnul(list, ',');
    return end == list ? NULL : mem_strndup(pool, list, (size_t)(end - list));
}

static size_t
entries(const char *list)
{
    size_t n = 1;

    for (; list && *list; list++)
        n += *list == ',';
    return n;
}

static const char *
option(const PQconninfoOption *options, const char *word)
{
    for (; options->keyword; options++) {
        if (streq(options->keyword, word))
            return options->val;
    }
    return NULL;
}

static void
add_word(struct pg *pg, const char *word, const char *text)
{
    pg->words[pg->words_n] = mem_strdup(pg, word);
    pg->texts[pg->words_n++] = mem_strdup(pg, text);
}

/* What the URL leaves open. */
static const struct {
    const char *word, *text;
    bool many_hosts; /* only with several */
} defaults[] = {
    {"application_name", "dossier", false},
    {"gssencmode", "disable", false}, /* Kerberos would ask its own servers, without a limit */
    {"keepalives_idle", "30", false},
    {"keepalives_interval", "10", false},
    {"keepalives_count", "3", false},
    {"target_session_attrs", "read-write", true},
};

static enum rc
take_options(struct pg *pg, const PQconninfoOption *options, struct err *err)
{
    const char *host = option(options, "host"), *addr = option(options, "hostaddr");
    const char *port = option(options, "port"), *limit = option(options, "connect_timeout");
    size_t room = ARRAY_LEN(defaults) + 1;
    int64_t s;

    pg->hosts_n = addr ? entries(addr) : entries(host);
    if (pg->hosts_n > PG_HOSTS_MAX)
        return err_set(err, RC_INVALID, "the database's URL has more than %d hosts", PG_HOSTS_MAX);
    for (size_t i = 0; i < pg->hosts_n; i++)
        pg->hosts[i] = (struct pg_host){entry(pg, host, i), entry(pg, addr, i), entry(pg, port, i)};
    if (limit && text_uint(limit, CONNECT_MAX_MS / 1000, &s) && s > 0)
        pg->connect_ms = 1000 * s;
    for (size_t i = 0; options[i].keyword; i++)
        room++;
    pg->words = MEM_ARRAY(pg, const char *, room);
    pg->texts = MEM_ARRAY(pg, const char *, room);
    for (const PQconninfoOption *o = options; o->keyword; o++) {
        if (o->val && !streq(o->keyword, "host") && !streq(o->keyword, "hostaddr") &&
            !streq(o->keyword, "port") && !streq(o->keyword, "client_encoding"))
            add_word(pg, o->keyword, o->val);
    }
    add_word(pg, "client_encoding", "UTF8");
    for (size_t i = 0; i < ARRAY_LEN(defaults); i++) {
        if (!option(options, defaults[i].word) && (pg->hosts_n > 1 || !defaults[i].many_hosts))
            add_word(pg, defaults[i].word, defaults[i].text);
    }
    return RC_OK;
}

enum rc
pg_configure(struct pg *pg, const char *url, struct err *err)
{
    PQconninfoOption *options;
    char *clean = NULL, *why = NULL;
    enum rc rc;

    pg->connect_ms = CONNECT_MS;
    pg->statement_ms = STATEMENT_MS;
    if (strlen(url) > URL_MAX)
        return err_set(err, RC_INVALID, "the database's URL is too long");
    if (strncmp(url, "postgres://", 11) != 0 && strncmp(url, "postgresql://", 13) != 0)
        return err_set(err, RC_INVALID, "the database's URL does not begin with postgres://");
    rc = take_all_own(pg, url, &clean, err);
    if (rc)
        return rc;
    options = PQconninfoParse(clean, &why);
    rc = options ? take_options(pg, options, err) : bad_url(why, err);
    PQconninfoFree(options);
    PQfreemem(why);
    return rc;
}
