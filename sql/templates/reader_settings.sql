-- Stores how the reader serves a view. Changes one row when that is not what is stored already. Rendered by sql/render.cpp.
UPDATE daybook.generation SET reader = {{reader}} WHERE id = {{generation}} AND reader IS DISTINCT FROM {{reader}}
