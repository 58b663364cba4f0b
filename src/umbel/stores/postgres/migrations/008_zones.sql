-- When the tasks of each run of order numbers had events: searches for times look at few of them; see zones.py.
CREATE TABLE zone (
    part integer NOT NULL,
    number bigint NOT NULL,                 -- n / 2048
    slot smallint NOT NULL,
    first_at double precision NOT NULL,     -- of any time of any task touched, as in `share`
    last_at double precision NOT NULL,
    PRIMARY KEY (part, number, slot)
) WITH (fillfactor = 70);
-- What `book` counted of commits that enter no zones when the part began: its zones tell all while that is what it
-- counts. NULL: the part was begun without zones.
ALTER TABLE part ADD COLUMN unnoted bigint;
