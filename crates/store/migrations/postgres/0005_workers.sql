-- What an operator wants of a worker; it hears that when it next says that it is alive. 'end': finish, give back, sign off.
ALTER TABLE workers ADD COLUMN wish TEXT COLLATE "C" NOT NULL DEFAULT '' CHECK (wish IN ('', 'end'));
