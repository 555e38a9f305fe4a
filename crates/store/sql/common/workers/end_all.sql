-- Those that do nothing but one embedded run are its own affair.
UPDATE workers SET wish = 'end' WHERE seen_at >= $1 AND affinity = '' AND wish <> 'end'
