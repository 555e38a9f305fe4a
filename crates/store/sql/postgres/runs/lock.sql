-- Always in this order, so that two transactions with several runs cannot wait for each other.
SELECT id FROM runs WHERE id = ANY($1) ORDER BY id FOR UPDATE
