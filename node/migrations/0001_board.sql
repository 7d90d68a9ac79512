-- The board as a node serves it: all that a decided block changes is written in one transaction.
-- Fixed-size values are blobs of their bytes. All heights and times fit in an INTEGER, which is signed 64 bits.

CREATE TABLE blocks (
    height  INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    root    BLOB    NOT NULL
) STRICT;

CREATE TABLE receipts (
    operation BLOB    PRIMARY KEY,
    height    INTEGER NOT NULL,
    position  INTEGER NOT NULL,
    code      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Refusals are forgotten with the blocks that gave them; 0 is `accepted`.
CREATE INDEX receipts_refused ON receipts (height) WHERE code <> 0;

CREATE TABLE sessions (
    number  INTEGER PRIMARY KEY,       -- order of creation
    session BLOB    NOT NULL UNIQUE,
    title   TEXT    NOT NULL,
    program TEXT    NOT NULL,
    phase   INTEGER NOT NULL,
    parties INTEGER NOT NULL,
    created INTEGER NOT NULL,
    stored  BLOB    NOT NULL           -- borsh of ledger::StoredSession
) STRICT;

CREATE INDEX sessions_by_phase ON sessions (phase);

CREATE TABLE rounds (
    session     BLOB    NOT NULL REFERENCES sessions (session),
    round       INTEGER NOT NULL,
    deadline_ms INTEGER,
    closed      INTEGER NOT NULL,
    PRIMARY KEY (session, round)
) STRICT, WITHOUT ROWID;

CREATE TABLE entries (
    session   BLOB    NOT NULL REFERENCES sessions (session),
    kind      INTEGER NOT NULL,
    round     INTEGER NOT NULL,
    position  INTEGER NOT NULL,
    operation BLOB    NOT NULL,
    author    BLOB    NOT NULL,
    sender    INTEGER NOT NULL,
    digest    BLOB    NOT NULL,
    length    INTEGER NOT NULL,
    signature BLOB    NOT NULL,
    head      BLOB    NOT NULL,        -- the mailbox's hash chain up to and with this entry
    PRIMARY KEY (session, kind, round, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE payloads (
    session BLOB NOT NULL REFERENCES sessions (session),
    digest  BLOB NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (session, digest)
) STRICT;
