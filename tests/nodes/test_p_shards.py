# SPDX-License-Identifier: Apache-2.0
"""
The tables can be spread over servers by workspace, as docs/scale.md says: Citus wants the column in
every unique key, and a statement that names no workspace asks all shards. None of what databases
that speak PostgreSQL's protocol lack is in the schema.

The statements are those in the program itself, as the server plans them; lists and exports are put
together while it runs, and begin with the workspace as well.
"""
import json
import re
from collections import Counter

import pytest

import harness
import nodes
from bed import postgres

LOCAL = {"lease", "schema_version", "secret_check", "blob_home"}
# How many statements on each table ask all shards: those of jobs, and of a start
ACROSS = {"audit": 1, "audit_chain": 4, "idempotency": 3, "incoming": 1, "object": 2, "purge": 3,
          "upload_used": 1}
# Texts that this server refuses: SQLite's, and those on tables that are there during an import only
# or, as the digest of lists, never
REFUSED = re.compile(r"sqlite_(master|schema)|INDEXED BY|typeof\(|min\(purge|WHERE 0$|\$4 \+ \$3"
                     r"|\bimporting\b|\b(small|digest|facet_total|text_(block|group|sign))\b")
TEXT = re.compile(rb"\0((?:SELECT|INSERT INTO|UPDATE|DELETE FROM) [ -~]{8,})(?=\0)")
COLUMNS = ("SELECT i.indexrelid::regclass, i.indrelid::regclass, i.indisprimary, (SELECT"
           " string_agg(attname, ' ' ORDER BY array_position(i.indkey::int2[], attnum))"
           " FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey))"
           " FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
           " WHERE i.indisunique AND c.relnamespace = 'public'::regnamespace")
# Foreign keys, exclusions, deferred ones; triggers, rules, sequences, partitions and the like
UNUSUAL = ("SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
           " AND (contype NOT IN ('p', 'u', 'n') OR condeferrable)"
           " UNION ALL SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
           " AND (relkind NOT IN ('r', 'i', 't') OR relhastriggers OR relhasrules)"
           " UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")


def placed():
    """(tables to distribute, tables to have everywhere) by the statements of docs/scale.md."""
    text = (harness.ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    spread = re.findall(r"create_distributed_table\('(\w+)', 'workspace_id'", text)
    return spread, re.findall(r"create_reference_table\('(\w+)'\)", text)


@pytest.fixture(scope="module")
def url(database):
    url = nodes.new_database(database)
    node = harness.Server(env={"DOSSIER_DATABASE": url})
    try:
        node.run("migrate")
    finally:
        node.remove()
    return url


def test_each_table_has_its_place(url):
    spread, everywhere = placed()
    tables = [name for name, in postgres.psql(url, "SELECT tablename FROM pg_tables"
                                                   " WHERE schemaname = 'public'")]
    assert sorted(tables) == sorted([*spread, *everywhere, *LOCAL])


def test_unique_keys_have_the_workspace(url):
    spread = placed()[0]
    keys = [key for key in postgres.psql(url, COLUMNS) if key[1] in spread]
    assert len(keys) >= len(spread)
    for index, _, primary, columns in keys:
        assert columns.split()[0] == "workspace_id", (index, primary)


def test_nothing_unusual(url):
    assert postgres.psql(url, UNUSUAL) == []


# ---- statements ----

def texts():
    with open(harness.BINARY, "rb") as program:
        found = {text.decode() for text in TEXT.findall(program.read())}
    return sorted(text for text in found if "%" not in text)


def plans(url):
    """{text: plan, or None where the server takes it for none of its own}, with nothing run."""
    asked = list(texts())
    script = ["SET plan_cache_mode = force_generic_plan;"]
    for i, text in enumerate(asked):
        count = max(map(int, re.findall(r"\$(\d+)", text)), default=0)
        values = f"({', '.join(['NULL'] * count)})" if count else ""
        script.append(f"SELECT {i}; PREPARE s{i} AS {text};"
                      f" EXPLAIN (FORMAT JSON) EXECUTE s{i}{values};")
    (out,), = postgres.psql(url, "\n".join(script), "-v", "ON_ERROR_STOP=0")
    found, at, read = dict.fromkeys(asked), 0, json.JSONDecoder().raw_decode
    while at < len(out):        # a number, and a plan unless the text was refused
        value, at = read(out, at)
        at += 1
        if isinstance(value, int):
            text = asked[value]
        else:
            found[text] = value[0]["Plan"]
    return found


def scans(plan):
    if "Relation Name" in plan and plan["Node Type"] != "ModifyTable":
        yield plan
    for child in plan.get("Plans", ()):
        yield from scans(child)


def asks_all(scan):
    words = " ".join(str(scan.get(name, "")) for name in ("Index Cond", "Recheck Cond", "Filter"))
    return not re.search(r"\bworkspace_id = \$\d", words)


def test_statements_ask_one_shard(url):
    spread, across = placed()[0], Counter()
    found = plans(url)
    assert len(found) > 120
    refused = [text for text, plan in found.items() if not plan and not REFUSED.search(text)]
    assert refused == []
    for text, plan in found.items():
        into = re.match(r"INSERT INTO (\w+) \(([^)]*)\)", text)
        assert not into or into[1] not in spread or "workspace_id" in into[2], text
        across.update({scan["Relation Name"] for scan in scans(plan or {})
                       if scan["Relation Name"] in spread and asks_all(scan)})
    assert across == ACROSS


def test_what_shards_compute_depends_on_nothing_else(url):
    """No clock and no chance of a shard's own in what is written to it."""
    spread = set(placed()[0])
    for text in texts():
        if spread & set(re.findall(r"\w+", text)):
            assert not re.search(r"clock_timestamp|now\(|random|nextval|current_", text), text
