SELECT hash, tenant, scopes, created_at, expires_at FROM sessions WHERE hash = $1 AND expires_at > $2
