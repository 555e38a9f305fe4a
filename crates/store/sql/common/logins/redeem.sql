-- Whoever deletes the row has redeemed it; nobody else can.
DELETE FROM logins WHERE hash = $1 AND expires_at > $2
