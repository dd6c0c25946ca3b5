-- Beside the rows of a `latest` view, generation {{generation}}: of each part of each row where its state came from, also of
-- parts that are gone. A state that is not newer changes nothing. Rendered by sql/render_states.cpp.
CREATE TABLE IF NOT EXISTS daybook.state_{{generation}} (
    {{columns}},
    part           int NOT NULL,
    version        bigint NOT NULL,
    topic          int NOT NULL,          -- the topic's place among the view's topics by name
    partition      int NOT NULL,
    record_offset  bigint NOT NULL,
    gone           boolean NOT NULL,
    PRIMARY KEY ({{key}}, part)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05)
