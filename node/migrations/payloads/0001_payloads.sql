-- Payloads that travel beside consensus, in a database of their own: it is synced to the disk on every commit, and what is deleted in
-- it is overwritten.

CREATE TABLE payloads (
    operation BLOB    NOT NULL UNIQUE,
    session   BLOB    NOT NULL,
    kind      INTEGER NOT NULL,
    round     INTEGER NOT NULL,
    author    BLOB    NOT NULL,
    gateway   BLOB    NOT NULL,        -- the node that last asked to keep it, while the board has not accepted the write
    expiry_ms INTEGER NOT NULL,        -- of the block time; means nothing once the board has accepted the write
    length    INTEGER NOT NULL,
    payload   BLOB    NOT NULL         -- last, so that the others are read without it
) STRICT;

CREATE INDEX payloads_by_session ON payloads (session);
