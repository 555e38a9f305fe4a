INSERT INTO limits (tenant, kind, key) VALUES ($1, $2, $3) ON CONFLICT (tenant, kind, key) DO NOTHING
