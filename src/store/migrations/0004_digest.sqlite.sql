-- What lists know of older documents in sum, so that they need not be counted and looked through
-- one by one. A job takes documents up in the order of their ids; `upto` is the last one taken up.
-- All of it follows from the rows of `document`, and can be made anew from them.
CREATE TABLE digest (
    workspace_id INTEGER PRIMARY KEY,
    upto         BLOB NOT NULL,
    documents    INTEGER NOT NULL                        -- with an id up to that
);

-- How many of them have this tag, are in this very folder, are of this type.
CREATE TABLE facet_total (
    workspace_id INTEGER NOT NULL,
    facet        INTEGER NOT NULL,
    value        TEXT NOT NULL,
    documents    INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, facet, value)
) WITHOUT ROWID;

-- What a search looks through: search_text of the documents behind after_id up to last_id, in the
-- order of their ids, each ended by a NUL. The last block of a workspace ends with digest.upto.
CREATE TABLE text_block (
    workspace_id INTEGER NOT NULL,
    last_id      BLOB NOT NULL,
    after_id     BLOB NOT NULL,
    documents    INTEGER NOT NULL,
    texts        BLOB NOT NULL,
    PRIMARY KEY (workspace_id, last_id)
) WITHOUT ROWID;

-- Which of these blocks can have a word at all: groups of 64 segments of some blocks each. `ends` are
-- the last ids of the segments; in text_sign stands, for each of the possible values of three bytes
-- in a row, in which of the segments they are found. A segment in `stale` may have others, too.
CREATE TABLE text_group (
    workspace_id INTEGER NOT NULL,
    last_id      BLOB NOT NULL,
    after_id     BLOB NOT NULL,
    ends         BLOB NOT NULL,
    stale        INTEGER NOT NULL,                       -- a bit for each segment
    PRIMARY KEY (workspace_id, last_id)
) WITHOUT ROWID;

CREATE TABLE text_sign (
    workspace_id INTEGER NOT NULL,
    last_id      BLOB NOT NULL,                          -- of the group
    part         INTEGER NOT NULL,
    bits         BLOB NOT NULL,
    PRIMARY KEY (workspace_id, last_id, part)
) WITHOUT ROWID;
