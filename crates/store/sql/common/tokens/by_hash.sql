SELECT id, tenant, name, hash, scopes, created_at, expires_at, last_used_at, revoked_at
FROM tokens
WHERE hash = $1
