-- The views that there are to read.
SELECT id, view, table_name, definition_text, coalesce(reader::text, '') FROM daybook.generation WHERE state = 'live' ORDER BY view
