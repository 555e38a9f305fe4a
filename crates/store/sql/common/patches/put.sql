INSERT INTO patches (digest, tenant, created_at, diff) VALUES ($1, $2, $3, $4) ON CONFLICT (digest) DO NOTHING
