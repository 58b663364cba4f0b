-- What alerting remembers; see alerts/book.py. The lead is a row as well: its data says who has it, `at` until when.
CREATE TABLE alert (
    shelf text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    at double precision NOT NULL,
    data text NOT NULL,
    PRIMARY KEY (shelf, key)
);
CREATE INDEX alert_at ON alert (shelf, at);
