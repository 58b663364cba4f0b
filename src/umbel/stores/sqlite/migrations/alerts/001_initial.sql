-- What alerting remembers; see alerts/book.py. The lead is a row as well: its data says who has it, `at` until when.
CREATE TABLE alert (
    shelf TEXT NOT NULL,
    key TEXT NOT NULL,
    at REAL NOT NULL,                       -- UTC seconds
    data TEXT NOT NULL,
    PRIMARY KEY (shelf, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_at ON alert (shelf, at);
