-- Whether `rollup` has rows of ten minutes (step 600) beside the others: it has if there is a row here. A segment that was
-- begun without them has them once it is sealed.
CREATE TABLE tens (
    id INTEGER PRIMARY KEY CHECK (id = 1)
) STRICT;
