-- There is one writer.
SELECT $1 || '/' || $2 AS name
