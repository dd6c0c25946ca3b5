-- The views that there are to read, and how (the definition's member `reader`, which may change).
SELECT id, view, table_name, definition_text, coalesce(reader::text, '') FROM daybook.generation WHERE state = 'live' ORDER BY view
