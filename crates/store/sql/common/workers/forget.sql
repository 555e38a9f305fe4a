DELETE FROM workers WHERE seen_at < $1
