-- The views that there are to read.
SELECT id, view, table_name, definition_text FROM daybook.generation WHERE state = 'live' ORDER BY view
