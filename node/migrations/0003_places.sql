-- Where an accepted write stands, for who asks for its proof.

CREATE INDEX entries_by_operation ON entries (operation);
