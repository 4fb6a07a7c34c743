// SPDX-License-Identifier: Apache-2.0
/*
 * The audit trail: what is written, what the database refuses to do to it, and what is found when
 * somebody did it all the same, with every right on the database but without the secret.
 */
#ifndef CONTRACT_STORE_AUDIT_H
#define CONTRACT_STORE_AUDIT_H

static const uint8_t audit_seed[SHA256_LEN] = {4, 5, 6}, other_seed[SHA256_LEN] = {7};

static struct audit_report
verify(struct scratch *s, const struct audit_claim *claim)
{
    const struct audit_claim nothing = {.lines = 0};
    uint8_t key[ED25519_PUBLIC_LEN];
    struct audit_report report;

    crypto_ed25519_public(audit_seed, key);
    EXPECT(RC_OK, audit_verify(TX, &s->ws, key, claim ? claim : &nothing, &report, ERR));
    return report;
}

static enum rc
run(struct scratch *s, const char *text)
{
    const struct sql script = {text, text};

    return db_script(s->conn, &script, ERR);
}

/* Where columns hold values of any type, and triggers guard them. */
static bool
is_lite(struct scratch *s)
{
    return (db_caps(s->db) & DB_EMBEDDED) != 0;
}

static void
append(struct scratch *s, int64_t ws, const char *action, const char *resource)
{
    struct audit_line l = {.action = action,
                           .resource_type = "documents",
                           .resource_id = resource,
                           .key_id = &s->caller.key_id,
                           .details = "{}"};

    EXPECT(RC_OK, audit_append(TX, ws, &l, ERR));
}

static const struct {
    struct audit_filter filter;
    size_t n;
    int64_t total;
} audit_lists[] = {
    {{.from_ms = -1, .to_ms = -1, .limit = 10}, 5, 5},
    {{.from_ms = -1, .to_ms = -1, .limit = 2, .offset = 4}, 1, 5},
    {{.from_ms = -1, .to_ms = -1, .limit = 10, .action = "create"}, 3, 3},
    {{.from_ms = -1, .to_ms = -1, .limit = 10, .action = "create", .resource_id = "b"}, 1, 1},
    {{.from_ms = -1, .to_ms = -1, .limit = 10, .resource_type = "api_keys"}, 0, 0},
    {{.from_ms = 0, .to_ms = 1000, .limit = 10}, 0, 0},
    {{.from_ms = 1000, .to_ms = INT64_MAX, .limit = 10}, 5, 5},
};

static void
test_audit(void **state)
{
    struct scratch *s = *state;
    struct audit_line *lines;
    struct audit_report report;

    for (int i = 0; i < 5; i++)
        append(s, WS, i % 2 ? "update" : "create", i == 2 ? "b" : "a");
    append(s, OTHER, "create", "a");
    for (size_t i = 0; i < ARRAY_LEN(audit_lists); i++) {
        int64_t total;
        size_t n;

        EXPECT(RC_OK, audit_list(TX, WS, &audit_lists[i].filter, &lines, &n, &total, ERR));
        assert_int_equal(n, audit_lists[i].n);
        assert_int_equal(total, audit_lists[i].total);
        for (size_t j = 1; j < n; j++)
            assert_true(memcmp(&lines[j].id, &lines[j - 1].id, 16) < 0);
    }
    report = verify(s, NULL);
    assert_int_equal(report.fault, AUDIT_INTACT);
    assert_int_equal(report.lines, 5);
}

static void
test_audit_trim(void **state)
{
    struct scratch *s = *state;
    int64_t later = s->tx.now_ms + 60000, n, oldest;
    struct audit_report report;

    for (int i = 0; i < 5; i++)
        append(s, WS, "create", "a");
    EXPECT(RC_OK, audit_count_before(TX, WS, 0, later, &n, &oldest, ERR));
    assert_int_equal(n, 5);
    assert_true(oldest >= s->tx.now_ms && oldest < later);
    EXPECT(RC_OK, audit_trim(TX, WS, 0, later, 3, &n, ERR));
    assert_int_equal(n, 3);
    report = verify(s, NULL);
    assert_int_equal(report.fault, AUDIT_INTACT);
    assert_int_equal(report.lines, 2);
    EXPECT(RC_OK, audit_trim(TX, WS, 0, later, 100, &n, ERR));
    assert_int_equal(n, 2);
    append(s, WS, "create", "a");
    report = verify(s, NULL);
    assert_true(report.fault == AUDIT_INTACT && report.lines == 1);
    EXPECT(RC_OK, audit_count_before(TX, WS, 0, 0, &n, &oldest, ERR));
    assert_true(n == 0 && oldest == 0);
}

/* ---- what the database refuses ---- */

static const char *const refused[] = {
    "UPDATE audit SET action = 'x' WHERE seq = 2",
    "UPDATE audit SET details = NULL",
    "UPDATE audit SET seq = seq + 10 WHERE seq = 5",
    "UPDATE audit SET id = randomblob(16) WHERE seq = 5",
    "DELETE FROM audit",
    "DELETE FROM audit WHERE seq = 1",
    "DELETE FROM audit WHERE seq = 5",
    ("INSERT INTO audit (workspace_id, id, action, resource_type, resource_id, hash, seq)"
     " SELECT workspace_id, randomblob(16), 'x', 'documents', 'a', hash, 3 FROM audit"
     " WHERE seq = 1"),
    "DELETE FROM audit_chain",
    "UPDATE audit_head SET signed_at = 0",
    "DELETE FROM audit_head",
};

static void
test_audit_refuses(void **state)
{
    struct scratch *s = *state;
    struct audit_head head;
    bool fresh;

    for (int i = 0; i < 5; i++)
        append(s, WS, "create", "a");
    EXPECT(RC_OK, audit_head_sign(TX, &s->ws, 0, audit_seed, &head, &fresh, ERR));
    for (size_t i = 0; i < ARRAY_LEN(refused) && is_lite(s); i++) {
        EXPECT(RC_OK, db_savepoint(s->conn, ERR));
        if (run(s, refused[i]) == RC_OK)
            fail_msg("was done: %s", refused[i]);
        db_savepoint_rollback(s->conn);
    }
    assert_int_equal(verify(s, NULL).fault, AUDIT_INTACT);
}

/* ---- what is found ---- */

#define ATTACK_LINES 40
#define HEAD_AT 25 /* lines when a head was signed */

#define COPY_OF(id, seq, from)                                                                     \
    "INSERT INTO audit SELECT workspace_id, " id ", action, resource_type, resource_id, key_id,"   \
    " user_id, request_id, address, details, hash, " seq ", chain FROM audit WHERE seq = " from    \
    ";"
#define END_AT(n)                                                                                  \
    "UPDATE audit_chain SET lines = " n ", head = (SELECT hash FROM audit WHERE seq = " n          \
    " AND audit.workspace_id = audit_chain.workspace_id) WHERE lines >= " n ";"
#define AFTER_REMOVAL(of) "UPDATE audit SET seq = seq - 1 WHERE seq > " of ";"

/* Done with all triggers off, in a trail of ATTACK_LINES lines. */
static const struct {
    const char *name, *sql;
    enum audit_fault fault;
    bool lite_only;
} attacks[] = {
    {"drop one", "DELETE FROM audit WHERE seq = 7;", AUDIT_LINE},
    {"drop one and close the gap", "DELETE FROM audit WHERE seq = 7;" AFTER_REMOVAL("7"),
     AUDIT_LINE},
    {"drop the first", "DELETE FROM audit WHERE seq = 1;", AUDIT_LINE},
    {"drop the first as if by retention",
     "UPDATE audit_chain SET removed = 1, base = (SELECT hash FROM audit WHERE seq = 1)"
     " WHERE lines > 0; DELETE FROM audit WHERE seq = 1;",
     AUDIT_SEAL},
    {"drop all", "DELETE FROM audit;", AUDIT_END},
    {"swap two",
     "UPDATE audit SET seq = 1000 WHERE seq = 8; UPDATE audit SET seq = 8 WHERE seq = 9;"
     "UPDATE audit SET seq = 9 WHERE seq = 1000;",
     AUDIT_LINE},
    {"repeat one in the middle",
     "UPDATE audit SET seq = seq + 1000 WHERE seq > 9; UPDATE audit SET seq = seq - 999 WHERE seq "
     "> "
     "9;" COPY_OF("randomblob(16)", "10", "9"),
     AUDIT_LINE},
    {"insert at the front", COPY_OF("zeroblob(16)", "0", "3"), AUDIT_LINE},
    {"replace one",
     "REPLACE INTO audit SELECT workspace_id, id, 'x', resource_type, resource_id, key_id, user_id,"
     " request_id, address, details, hash, seq, chain FROM audit WHERE seq = 12;",
     AUDIT_LINE, true},
    {"a text as bytes", "UPDATE audit SET action = CAST(action AS BLOB) WHERE seq = 5;", AUDIT_LINE,
     true},
    {"a text behind a NUL",
     "UPDATE audit SET resource_id = resource_id || char(0) || 'x' WHERE seq = 5;", AUDIT_LINE,
     true},
    {"an id as text", "UPDATE audit SET id = CAST(id AS TEXT) WHERE seq = 5;", AUDIT_LINE, true},
    {"an empty id", "UPDATE audit SET user_id = zeroblob(0) WHERE seq = 5;", AUDIT_LINE},
    {"add at the end", COPY_OF("randomblob(16)", "41", "3"), AUDIT_LINE},
    {"cut the last", "DELETE FROM audit WHERE seq = 40;", AUDIT_END},
    {"cut the last ten", "DELETE FROM audit WHERE seq > 30;", AUDIT_END},
    {"cut the last ten and say so", "DELETE FROM audit WHERE seq > 30;" END_AT("30"), AUDIT_SEAL},
    {"cut down to before a signed head", "DELETE FROM audit WHERE seq > 20;" END_AT("20"),
     AUDIT_HEAD},
    {"cut all, heads too",
     "DELETE FROM audit; DELETE FROM audit_head; UPDATE audit_chain SET lines = 0, removed = 0,"
     " head = zeroblob(32), base = zeroblob(32);",
     AUDIT_SEAL},
    {"cut all, heads and the state too",
     "DELETE FROM audit; DELETE FROM audit_head; DELETE FROM audit_chain;", AUDIT_SEAL},
    {"the state of another workspace",
     "DELETE FROM audit; DELETE FROM audit_head; UPDATE audit_chain SET (lines, removed, head, "
     "base,"
     " seal) = (SELECT lines, removed, head, base, seal FROM audit_chain WHERE lines = 0"
     " LIMIT 1);",
     AUDIT_SEAL},
    {"another retention", "UPDATE audit_chain SET keep_days = 1;", AUDIT_SEAL},
    {"more chains", "UPDATE audit_chain SET chains = 2;", AUDIT_SEAL},
    {"a line of a chain that is none",
     "INSERT INTO audit SELECT workspace_id, randomblob(16), action, resource_type, resource_id,"
     " key_id, user_id, request_id, address, details, hash, seq, 99 FROM audit WHERE seq = 3;",
     AUDIT_SEAL},
    {"the last line in another chain", "UPDATE audit SET chain = 1 WHERE seq = 40;", AUDIT_END},
    {"no seal", "UPDATE audit_chain SET seal = NULL;", AUDIT_SEAL},
    {"a head says otherwise", "UPDATE audit_head SET hash = randomblob(32);", AUDIT_HEAD},
    {"a head of another time", "UPDATE audit_head SET signed_at = signed_at + 1000;",
     AUDIT_SIGNATURE},
    {"a head by another", "UPDATE audit_head SET signature = randomblob(64);", AUDIT_SIGNATURE},
    {"a head moved",
     "UPDATE audit_head SET lines = 26, hash = (SELECT hash FROM audit WHERE seq = 26);",
     AUDIT_SIGNATURE},
    {"a head of what is to come", "UPDATE audit_head SET lines = 41;", AUDIT_HEAD},
};

static void
disarm(struct scratch *s)
{
    static const struct sql drop = {
        .sqlite = "DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete;"
                  "DROP TRIGGER audit_chain_no_delete; DROP TRIGGER audit_head_no_update;"
                  "DROP TRIGGER audit_head_no_delete",
        /* what the attacks are written with */
        .pg = "CREATE FUNCTION randomblob(n int) RETURNS bytea LANGUAGE sql AS $$ SELECT"
              " substring(sha512(random()::text::bytea) FOR n) $$;"
              "CREATE FUNCTION zeroblob(n int) RETURNS bytea LANGUAGE sql AS $$ SELECT"
              " decode(repeat('00', n), 'hex') $$;",
    };

    EXPECT(RC_OK, db_script(s->conn, &drop, ERR));
}

static void
fill_for_attack(struct scratch *s)
{
    struct audit_head head;
    bool fresh;

    for (int i = 0; i < ATTACK_LINES; i++) {
        append(s, WS, i % 2 ? "update" : "create", i % 3 ? "a" : "b");
        if (i + 1 == HEAD_AT)
            EXPECT(RC_OK, audit_head_sign(TX, &s->ws, 0, audit_seed, &head, &fresh, ERR));
    }
    assert_int_equal(verify(s, NULL).fault, AUDIT_INTACT);
    disarm(s);
}

static void
test_audit_attacks(void **state)
{
    struct scratch *s = *state;

    fill_for_attack(s);
    for (size_t i = 0; i < ARRAY_LEN(attacks); i++) {
        struct audit_report report;

        if (attacks[i].lite_only && !is_lite(s))
            continue;
        EXPECT(RC_OK, db_savepoint(s->conn, ERR));
        if (run(s, attacks[i].sql))
            fail_msg("%s: %s", attacks[i].name, s->err.detail);
        report = verify(s, NULL);
        if (report.fault != attacks[i].fault)
            fail_msg("%s: found %s", attacks[i].name, audit_fault_name(report.fault));
        db_savepoint_rollback(s->conn);
    }
    assert_int_equal(verify(s, NULL).fault, AUDIT_INTACT);
}

/* Each column of each line, changed alone. */
static void
test_audit_flips(void **state)
{
    static const char *const columns[][2] = {
        {"id", "randomblob(16)"},     {"action", "'x'"},
        {"resource_type", "'x'"},     {"resource_id", "'x'"},
        {"key_id", "randomblob(16)"}, {"user_id", "randomblob(16)"},
        {"request_id", "'x'"},        {"address", "'x'"},
        {"details", "'x'"},           {"hash", "randomblob(32)"},
        {"seq", "seq + 500"},         {"chain", "chain + 1"},
    };
    struct scratch *s = *state;
    unsigned found = 0;

    fill_for_attack(s);
    for (int line = 1; line <= ATTACK_LINES; line++) {
        for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
            const char *sql = mem_printf(s->pool, "UPDATE audit SET %s = %s WHERE seq = %d",
                                         columns[i][0], columns[i][1], line);

            EXPECT(RC_OK, db_savepoint(s->conn, ERR));
            EXPECT(RC_OK, run(s, sql));
            if (verify(s, NULL).fault == AUDIT_INTACT)
                fail_msg("not found: %s", sql);
            found++;
            db_savepoint_rollback(s->conn);
        }
    }
    assert_int_equal(found, ATTACK_LINES * ARRAY_LEN(columns));
}

/* Lines written after the deed do not make it good. */
static void
test_audit_stays_broken(void **state)
{
    struct scratch *s = *state;
    struct audit_head head;
    bool fresh;

    fill_for_attack(s);
    EXPECT(RC_OK, run(s, "DELETE FROM audit WHERE seq > 30;" END_AT("30")));
    append(s, WS, "create", "a");
    assert_int_equal(verify(s, NULL).fault, AUDIT_SEAL);
    EXPECT(RC_CONFLICT, audit_head_sign(TX, &s->ws, 0, audit_seed, &head, &fresh, ERR));
}

/* ---- heads ---- */

static void
test_audit_heads(void **state)
{
    struct scratch *s = *state;
    struct audit_head first, second, *list;
    uint8_t key[ED25519_PUBLIC_LEN], other_key[ED25519_PUBLIC_LEN];
    size_t n;
    int64_t removed;
    bool fresh;

    crypto_ed25519_public(audit_seed, key);
    crypto_ed25519_public(other_seed, other_key);
    EXPECT(RC_OK, audit_head_sign(TX, &s->ws, 0, audit_seed, &first, &fresh, ERR));
    assert_true(!fresh && first.lines == 0);
    append(s, WS, "create", "a");
    EXPECT(RC_OK, audit_head_sign(TX, &s->ws, 0, audit_seed, &first, &fresh, ERR));
    assert_true(fresh && first.lines == 1);
    assert_true(audit_head_good(&first, s->ws.public_id, key));
    assert_false(audit_head_good(&first, s->other.public_id, key));
    assert_false(audit_head_good(&first, s->ws.public_id, other_key));
    EXPECT(RC_OK, audit_head_sign(TX, &s->ws, 0, audit_seed, &second, &fresh, ERR));
    assert_false(fresh);
    assert_memory_equal(&first, &second, sizeof(first));
    append(s, WS, "create", "a");
    append(s, WS, "create", "a");
    EXPECT(RC_OK, audit_head_sign(TX, &s->ws, 0, audit_seed, &second, &fresh, ERR));
    assert_true(fresh && second.lines == 3);
    EXPECT(RC_OK, audit_head_list(TX, WS, 0, &list, &n, ERR));
    assert_true(n == 2 && list[0].lines == 1 && list[1].lines == 3);
    assert_int_equal(verify(s, NULL).heads, 2);
    EXPECT(RC_OK, audit_trim(TX, WS, 0, s->tx.now_ms + 60000, 2, &removed, ERR));
    assert_int_equal(removed, 2);
    EXPECT(RC_OK, audit_head_trim(TX, WS, 0, ERR));
    EXPECT(RC_OK, audit_head_list(TX, WS, 0, &list, &n, ERR));
    assert_true(n == 1 && list[0].lines == 3);
    assert_int_equal(verify(s, NULL).fault, AUDIT_INTACT);
}

/* What somebody has kept elsewhere tells even an old copy of everything. */
static void
test_audit_claims(void **state)
{
    struct scratch *s = *state;
    struct audit_claim claim = {.lines = 3}, far = {.lines = 9};
    uint8_t key[ED25519_PUBLIC_LEN] = {0};
    struct audit_report report;
    struct audit_head head;
    int64_t removed;
    bool fresh;

    for (int i = 0; i < 3; i++)
        append(s, WS, "create", "a");
    EXPECT(RC_OK, audit_head_sign(TX, &s->ws, 0, audit_seed, &head, &fresh, ERR));
    memcpy(claim.hash, head.hash, SHA256_LEN);
    append(s, WS, "create", "a");
    assert_int_equal(verify(s, &claim).fault, AUDIT_INTACT);
    assert_int_equal(verify(s, &far).fault, AUDIT_HEAD);
    claim.hash[0] ^= 1;
    assert_int_equal(verify(s, &claim).fault, AUDIT_HEAD);
    EXPECT(RC_OK, audit_trim(TX, WS, 0, s->tx.now_ms + 60000, 100, &removed, ERR));
    EXPECT(RC_INVALID, audit_verify(TX, &s->ws, key, &claim, &report, ERR));
}

/* Order is the chain's, not time's: ids may be of a clock that was ahead before a restart. */
static void
test_audit_clock(void **state)
{
    struct scratch *s = *state;
    int64_t now = s->tx.now_ms, n;
    struct id ahead = id_floor(now + 86400000);

    append(s, WS, "create", "a");
    append(s, WS, "create", "a");
    append(s, WS, "create", "a");
    disarm(s);
    EXPECT(RC_OK, db_exec(s->conn, &(struct sql)SQL("UPDATE audit SET id = $1 WHERE seq = 2"),
                          DB_ARGS(db_id(&ahead)), NULL, ERR));
    assert_int_equal(verify(s, NULL).lines, 2); /* it comes second all the same */
    EXPECT(RC_OK, audit_trim(TX, WS, 0, now + 60000, 10, &n, ERR));
    assert_int_equal(n, 1); /* the third waits for the second */
    EXPECT(RC_OK, audit_trim(TX, WS, 0, now + 2 * 86400000, 10, &n, ERR));
    assert_int_equal(n, 2);
}

#endif
