DROP TABLE IF EXISTS quotes;
CREATE TABLE quotes (id INTEGER PRIMARY KEY, quote TEXT NOT NULL, author TEXT NOT NULL);
INSERT INTO quotes (quote, author) VALUES ('Now is better than never.', 'Tim Peters');
