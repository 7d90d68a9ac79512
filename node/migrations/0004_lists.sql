-- Open sessions: who has asked to take part (list 0) and who has solved (list 1), in consensus order.

CREATE TABLE listings (
    session   BLOB    NOT NULL REFERENCES sessions (session),
    list      INTEGER NOT NULL,
    position  INTEGER NOT NULL,
    key       BLOB    NOT NULL,
    operation BLOB    NOT NULL,
    head      BLOB    NOT NULL,        -- the list's hash chain up to and with this key
    PRIMARY KEY (session, list, position)
) STRICT, WITHOUT ROWID;

-- Two phases come before those that there were.
UPDATE sessions SET phase = phase + 2;
