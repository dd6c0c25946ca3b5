-- The views that there are to read, and how they are served: the members of the definition that may change.
-- Without a head a generation can't be followed.
SELECT g.id, g.view, g.table_name, g.definition_text,
       jsonb_strip_nulls(jsonb_build_object('description', nullif(g.description, ''), 'reader', g.reader))::text,
       EXISTS (SELECT FROM daybook.view_head h WHERE h.generation = g.id)
FROM daybook.generation g WHERE g.state = 'live' ORDER BY g.view
