-- SQLite has one table.
SELECT 0 AS day WHERE false
