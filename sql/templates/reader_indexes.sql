-- The indexes of a generation that were made for the reader: schema and name, quoted, and the name alone.
SELECT format('%I.%I', n.nspname, c.relname), c.relname
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.indrelid = {{table_literal}}::regclass AND c.relname LIKE {{pattern_literal}}
