CREATE TABLE goods (name text PRIMARY KEY, cents integer NOT NULL);

INSERT INTO goods VALUES ('apple', 40), ('bread', 310), ('cheese', 725);

