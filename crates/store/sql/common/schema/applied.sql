SELECT name, checksum FROM mb_migrations ORDER BY name
