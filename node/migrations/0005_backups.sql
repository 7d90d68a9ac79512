-- What the board knows of parties' backups, which outlives them and their sessions' messages.

CREATE TABLE backups (
    session BLOB    NOT NULL REFERENCES sessions (session),
    party   INTEGER NOT NULL,
    stored  BLOB    NOT NULL,          -- borsh of ledger::StoredBackup
    PRIMARY KEY (session, party)
) STRICT, WITHOUT ROWID;
