-- How each epoch's threshold key was made: nodes that restart find their shares here.

CREATE TABLE generations (
    epoch  INTEGER PRIMARY KEY,
    stored BLOB    NOT NULL            -- borsh of wire::Generation
) STRICT;
