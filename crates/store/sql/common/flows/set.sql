INSERT INTO flows (class, state) VALUES ($1, $2) ON CONFLICT (class) DO UPDATE SET state = excluded.state
