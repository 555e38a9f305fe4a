-- The one writer holds everything already.
SELECT id FROM runs WHERE id IN (SELECT value FROM json_each($1))
