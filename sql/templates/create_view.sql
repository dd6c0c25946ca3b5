-- Creates a view's table, its generation and its bookkeeping. Rendered by sql/render.cpp from a definition.
-- fillfactor 50 leaves room for HOT updates: rows of recent days change all the time. A log's rows do not change; its table
-- is divided by time.
CREATE TABLE {{table}} (
    {{columns}},
    PRIMARY KEY ({{key}})
) {{storage}};

INSERT INTO daybook.generation (view, state, table_name, table_oid, definition, definition_text, fingerprint_key)
VALUES ({{view_literal}}, 'live', {{table_literal}}, {{table_literal}}::regclass, {{definition_literal}}, {{definition_literal}},
        uuid_send(gen_random_uuid()));
INSERT INTO daybook.view_head (generation)
SELECT id FROM daybook.generation WHERE view = {{view_literal}} AND state = 'live';
SELECT daybook.make_seen(id) FROM daybook.generation WHERE view = {{view_literal}} AND state = 'live';
SELECT daybook.make_change(id) FROM daybook.generation WHERE view = {{view_literal}} AND state = 'live';
