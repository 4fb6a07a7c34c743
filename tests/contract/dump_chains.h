// SPDX-License-Identifier: Apache-2.0
/*
 * Part of dump.c: chains of audit lines that are moved. What is good stays good and what is broken
 * stays broken, whatever number of chains the other engine makes.
 */

#define CHAINS 5 /* of the trails that are attacked */

/* Attackers may drop these; there are none on PostgreSQL. */
static const struct sql drop_triggers = {
    .sqlite = "DROP TRIGGER IF EXISTS audit_no_update; DROP TRIGGER IF EXISTS audit_no_delete;"
              "DROP TRIGGER IF EXISTS audit_chain_no_delete;"
              "DROP TRIGGER IF EXISTS audit_head_no_update;"
              "DROP TRIGGER IF EXISTS audit_head_no_delete;",
    .pg = NULL,
};

static void
clear(struct place *p)
{
    SCOPED_POOL(pool);

    EXPECT(RC_OK, db_script(p->conn, &drop_triggers, &p->err));
    for (size_t i = 0; i < DUMP_TABLES; i++)
        run(p, mem_printf(pool, "DELETE FROM %s", dump_tables[i].name));
}

static void
write_lines(struct place *p, struct workspace *w, unsigned slots, int lines)
{
    SCOPED_POOL(pool);
    struct tx tx = tx_of(p, pool);

    EXPECT(RC_OK, db_begin_write(p->conn, &p->err));
    for (int i = 0; i < lines; i++) {
        const struct audit_line line = {
            .action = "create", .resource_type = "documents", .resource_id = "doc_1"};

        tx.slot = (unsigned)i % slots;
        EXPECT(RC_OK, audit_append(&tx, w->number, &line, &p->err));
    }
    EXPECT(RC_OK, db_commit(p->conn, &p->err));
}

/* A workspace of `pool`; with `chains` of them, or as many as the engine gives (0). */
static struct workspace
add_trail(struct place *p, TALLOC_CTX *pool, const char *name, int64_t chains)
{
    struct tx tx = tx_of(p, pool);
    struct workspace w;

    EXPECT(RC_OK, db_script(p->conn, &drop_triggers, &p->err));
    EXPECT(RC_OK, db_begin_write(p->conn, &p->err));
    support_add_workspace(&tx, name, &w);
    EXPECT(RC_OK, db_commit(p->conn, &p->err));
    if (chains > 0)
        run(p, mem_printf(pool, "DELETE FROM audit_chain WHERE workspace_id = %lld",
                          (long long)w.number));
    for (int64_t i = 0; i < chains; i++) {
        const struct audit_chain ch = {
            .chain = i, .chains = chains, .keep_days = w.audit_days, .sealed = true};

        EXPECT(RC_OK, audit_chain_insert(&tx, w.number, &ch, &p->err));
    }
    return w;
}

static enum audit_fault
fault_of(struct place *p, const struct workspace *w)
{
    SCOPED_POOL(pool);
    struct tx tx = tx_of(p, pool);
    struct audit_report report;
    uint8_t key[ED25519_PUBLIC_LEN] = {0};

    EXPECT(RC_OK, audit_verify(&tx, w, key, &(struct audit_claim){0}, &report, &p->err));
    return report.fault;
}

/* There, further lines, and back. */
static void
test_chains(void **state)
{
    struct pair *pair = *state;
    SCOPED_POOL(pool);
    struct workspace w = add_trail(&pair->a, pool, "ws_1", 0);

    write_lines(&pair->a, &w, 5, 12);
    assert_int_equal(fault_of(&pair->a, &w), AUDIT_INTACT);
    move(&pair->a, &pair->b);
    expect_same(&pair->a, &pair->b);
    assert_int_equal(fault_of(&pair->b, &w), AUDIT_INTACT);
    write_lines(&pair->b, &w, 16, 40);
    assert_int_equal(fault_of(&pair->b, &w), AUDIT_INTACT);
    clear(&pair->a);
    move(&pair->b, &pair->a);
    expect_same(&pair->a, &pair->b);
    assert_int_equal(fault_of(&pair->a, &w), AUDIT_INTACT);
    write_lines(&pair->a, &w, 3, 9);
    assert_int_equal(fault_of(&pair->a, &w), AUDIT_INTACT);
}

static const char *const attacks[] = {
    /* a state that was written without the secret */
    "UPDATE audit_chain SET seal = head WHERE chain = 2",
    "UPDATE audit_chain SET seal = NULL WHERE chain = 4",
    "UPDATE audit_chain SET keep_days = 1 WHERE chain = 0",
    "UPDATE audit_chain SET chains = 2",
    "UPDATE audit_chain SET chains = 100000000 WHERE chain = 0",
    /* lines changed, cut off, moved */
    "UPDATE audit SET details = 'x' WHERE chain = 1 AND seq = 1",
    "DELETE FROM audit WHERE chain = 0 AND seq = 3",
    "UPDATE audit_chain SET lines = 0, head = base WHERE chain = 1;"
    "DELETE FROM audit WHERE chain = 1",
    "UPDATE audit SET chain = 12 WHERE chain = 2",
    /* whole chains gone, with lines and without */
    "DELETE FROM audit_chain WHERE chain = 2; DELETE FROM audit WHERE chain = 2",
    "DELETE FROM audit_chain WHERE chain = 3",
    "DELETE FROM audit_chain WHERE chain = 4",
    "DELETE FROM audit_chain WHERE chain >= 3",
    "DELETE FROM audit_chain WHERE chain = 0",
    "DELETE FROM audit_chain WHERE chain <= 1",
    "DELETE FROM audit_chain; DELETE FROM audit",
    /* one more */
    "INSERT INTO audit_chain SELECT workspace_id, 9, chains, head, base, lines, removed, seal,"
    " keep_days FROM audit_chain WHERE chain = 1",
    "INSERT INTO audit_chain SELECT workspace_id, 4611686018427387904, chains, head, base, lines,"
    " removed, seal, keep_days FROM audit_chain WHERE chain = 1",
};

static void
test_chains_broken(void **state)
{
    struct pair *pair = *state;

    for (size_t i = 0; i < ARRAY_LEN(attacks); i++) {
        SCOPED_POOL(pool);
        struct workspace w = add_trail(&pair->a, pool, "ws_1", CHAINS), good;

        /* the last two are empty */
        write_lines(&pair->a, &w, CHAINS - 2, 12);
        assert_int_equal(fault_of(&pair->a, &w), AUDIT_INTACT);
        run(&pair->a, attacks[i]);
        assert_int_not_equal(fault_of(&pair->a, &w), AUDIT_INTACT);
        good = add_trail(&pair->a, pool, "ws_2", 0);
        move(&pair->a, &pair->b);
        expect_same(&pair->a, &pair->b);
        if (fault_of(&pair->b, &w) == AUDIT_INTACT)
            fail_msg("mended: %s", attacks[i]);
        assert_int_equal(fault_of(&pair->b, &good), AUDIT_INTACT);
        clear(&pair->a);
        move(&pair->b, &pair->a);
        expect_same(&pair->a, &pair->b);
        if (fault_of(&pair->a, &w) == AUDIT_INTACT)
            fail_msg("mended on the way back: %s", attacks[i]);
        clear(&pair->a);
        clear(&pair->b);
    }
}

/* States from before an earlier move, when there were other numbers of chains: sealed by us. */
static void
test_chains_of_before(void **state)
{
    static const struct {
        int64_t chain, chains;
    } of_before[] = {{0, 1}, {0, 3}, {0, 16}, {2, 16}, {4, 4}};
    struct pair *pair = *state;

    for (size_t i = 0; i < ARRAY_LEN(of_before); i++) {
        SCOPED_POOL(pool);
        struct workspace w = add_trail(&pair->a, pool, "ws_1", CHAINS);
        struct tx tx = tx_of(&pair->a, pool);
        struct audit_chain ch;

        write_lines(&pair->a, &w, CHAINS, 12);
        EXPECT(RC_OK, audit_chain_read(&tx, w.number, of_before[i].chain, &ch, &pair->a.err));
        ch.chains = of_before[i].chains;
        EXPECT(RC_OK, audit_chain_write(&tx, w.number, &ch, &pair->a.err));
        assert_int_not_equal(fault_of(&pair->a, &w), AUDIT_INTACT);
        move(&pair->a, &pair->b);
        expect_same(&pair->a, &pair->b);
        assert_int_not_equal(fault_of(&pair->b, &w), AUDIT_INTACT);
        clear(&pair->a);
        clear(&pair->b);
    }
}

/* More workspaces than are sealed at a time, and more chains than a page. */
static void
test_many_trails(void **state)
{
    struct pair *pair = *state;
    SCOPED_POOL(pool);
    struct workspace list[40];

    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        list[i] = add_trail(&pair->a, pool, mem_printf(pool, "ws_%zu", i), (int64_t)i % 16 + 1);
        write_lines(&pair->a, &list[i], 16, (int)i);
    }
    move(&pair->a, &pair->b);
    expect_same(&pair->a, &pair->b);
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        assert_int_equal(fault_of(&pair->b, &list[i]), AUDIT_INTACT);
        write_lines(&pair->b, &list[i], 16, 20);
        assert_int_equal(fault_of(&pair->b, &list[i]), AUDIT_INTACT);
    }
}
