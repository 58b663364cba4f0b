-- What the catalog says of sealed segments.

ALTER TABLE segment ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;  -- how often it was rewritten; part of its file's name
ALTER TABLE segment ADD COLUMN sealed_at REAL NOT NULL DEFAULT 0;
ALTER TABLE segment ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0;     -- of its tasks, by rules of retention
