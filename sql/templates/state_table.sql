-- Beside the rows of a `latest` view, generation {{generation}}: of each part of each row where its state came from, also of
-- parts that are gone. A state that is not newer changes nothing. Rendered by sql/render_states.cpp.
CREATE TABLE IF NOT EXISTS daybook.state_{{generation}} (
    {{columns}},
    -- With names that no key column can have.
    _part           int NOT NULL,
    _version        bigint NOT NULL,
    _topic          int NOT NULL,          -- the topic's place among the view's topics by name
    _partition      int NOT NULL,
    _record_offset  bigint NOT NULL,
    _gone           boolean NOT NULL,
    PRIMARY KEY ({{key}}, _part)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05)
