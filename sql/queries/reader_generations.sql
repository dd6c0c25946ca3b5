-- The views that there are to read, and how they are served: the members of the definition that may change.
SELECT id, view, table_name, definition_text, jsonb_strip_nulls(jsonb_build_object('description', nullif(description, ''), 'reader', reader))::text
FROM daybook.generation WHERE state = 'live' ORDER BY view
