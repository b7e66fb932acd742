-- What is in stock.
CREATE TABLE stock (item TEXT PRIMARY KEY, count INTEGER NOT NULL);
INSERT INTO stock VALUES ('book', 10);
