INSERT INTO logins (hash, expires_at) VALUES ($1, $2)
