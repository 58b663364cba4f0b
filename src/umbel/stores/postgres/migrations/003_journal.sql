-- What people entered; of one kind and key the latest entry.
CREATE TABLE journal (
    kind text NOT NULL,
    key text COLLATE "C" NOT NULL,
    at double precision NOT NULL,
    texts text NOT NULL,
    PRIMARY KEY (kind, key)
);
CREATE INDEX journal_at ON journal (kind, at);
