SELECT COUNT(*) AS n FROM sqlite_master WHERE type = 'table' AND name = 'mb_migrations'
