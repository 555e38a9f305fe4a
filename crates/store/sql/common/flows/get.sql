SELECT class, state FROM flows ORDER BY class
