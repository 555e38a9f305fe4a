SELECT COUNT(*) AS n FROM pg_class WHERE oid = to_regclass('mb_migrations')
