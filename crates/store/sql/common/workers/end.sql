UPDATE workers SET wish = 'end' WHERE id = $1
