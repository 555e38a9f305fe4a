DELETE FROM logins WHERE expires_at <= $1
