-- Tasks that were written again after they had ended, until the segment is sealed: readers look at them each time.
CREATE TABLE late (
    n INTEGER PRIMARY KEY
) STRICT;
