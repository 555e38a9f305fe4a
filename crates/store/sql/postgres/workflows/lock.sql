-- Versions of a name are numbered one after the other, even when two bring one at the same time.
SELECT 1 AS name FROM pg_advisory_xact_lock(hashtextextended($1 || '/' || $2, 7308327812))
