// SPDX-License-Identifier: Apache-2.0
/* SQLSTATEs: https://www.postgresql.org/docs/15/errcodes-appendix.html */
#include "db/pg/pg.h"

/*
 * The first row whose text begins the SQLSTATE counts. What is not here is INTERNAL: a statement
 * of ours that the server cannot run. Never IO, which would stop the process: the server's disk is
 * not ours, and another server may take over.
 */
static const struct {
    const char *begins;
    enum rc code;
    bool drop;
} rows[] = {
    {"23", RC_CONFLICT, false},    /* keys, checks: as SQLite counts all constraints */
    {"P0001", RC_CONFLICT, false}, /* raised by a trigger of ours: the same there */
    {"40003", RC_UNAVAILABLE, true},   {"40", RC_RERUN, false}, /* serialisation, deadlock */
    {"55P03", RC_RERUN, false},                                 /* lock_timeout, NOWAIT */
    {"53100", RC_STORAGE_FULL, false}, {"53300", RC_UNAVAILABLE, true}, /* no connection left */
    {"53", RC_UNAVAILABLE, false},   /* out of memory, of locks */
    {"57014", RC_BUSY, false},       /* our statement_timeout, or an operator's cancel */
    {"57", RC_UNAVAILABLE, true},    /* shutdown, crash, starting up */
    {"25006", RC_UNAVAILABLE, true}, /* read-only: the primary of before is a standby now */
    {"25P03", RC_UNAVAILABLE, true}, /* idle in transaction for too long: we were frozen */
    {"08", RC_UNAVAILABLE, true},
};

/* "cached plan must not change result type": a migration came; a new connection plans anew. */
static bool
plan_is_stale(const PGresult *res, const char *sqlstate)
{
    const char *where = PQresultErrorField(res, PG_DIAG_SOURCE_FUNCTION);

    return streq(sqlstate, "0A000") && where && streq(where, "RevalidateCachedQuery");
}

enum rc
pg_error_code(const PGresult *res, bool *ret_drop)
{
    const char *sqlstate = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    *ret_drop = true;
    if (!sqlstate)
        return RC_UNAVAILABLE; /* libpq's own: the connection is lost */
    if (plan_is_stale(res, sqlstate))
        return RC_RERUN;
    *ret_drop = false;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (strncmp(sqlstate, rows[i].begins, strlen(rows[i].begins)) == 0) {
            *ret_drop = rows[i].drop;
            return rows[i].code;
        }
    }
    return RC_INTERNAL;
}

/* Up to the end of the first line. */
static int
line_len(const char *text)
{
    return (int)strcspn(text, "\r\n");
}

enum rc
pg_error_take(const PGresult *res, enum rc code, struct err *err)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

    if (!text)
        text = PQresultErrorMessage(res);
    return err_set(err, code, "postgres %s: %.*s", state ? state : "-", line_len(text), text);
}

enum rc
pg_error_link(PGconn *link, enum rc code, struct err *err)
{
    const char *text = PQerrorMessage(link);

    return err_set(err, code, "postgres: %.*s", line_len(text), text);
}

bool
pg_error_fatal(const PGresult *res)
{
    const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);

    return !severity || streq(severity, "FATAL") || streq(severity, "PANIC");
}
