-- Workflows beyond commands. How a run came to be (its inputs, its parent, what triggered it) never changes, so it stands
-- beside `source` and not in `head`; a run of before has none of it.
ALTER TABLE runs ADD COLUMN origin JSONB NOT NULL DEFAULT '{"inputs": {}}';
