INSERT INTO workflows (digest, tenant, doc) VALUES ($1, $2, $3) ON CONFLICT (digest) DO NOTHING
