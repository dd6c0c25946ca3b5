-- An index that lists of the reader need. It is made while the view's workers wait: CONCURRENTLY can't be in a transaction.
CREATE INDEX {{index}} ON {{table}} ({{columns}})
