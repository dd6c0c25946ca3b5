-- Stores how the reader serves a view and what it says of it. Changes one row when that is not what is stored already. Rendered by sql/render.cpp.
UPDATE daybook.generation SET reader = {{reader}}, description = {{description}}
WHERE id = {{generation}} AND (reader, description) IS DISTINCT FROM ({{reader}}, {{description}})
