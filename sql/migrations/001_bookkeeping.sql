-- Bookkeeping: what the worker knows beside the views' own tables.
-- Idempotent: every statement may run again on a database that has it.

CREATE SCHEMA IF NOT EXISTS daybook;

CREATE TABLE IF NOT EXISTS daybook.migration (
    version     int PRIMARY KEY,
    name        text NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One materialization of a view: a definition, a start for each partition, a table.
CREATE TABLE IF NOT EXISTS daybook.generation (
    id               int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    view             text NOT NULL,
    state            text NOT NULL CHECK (state IN ('live', 'retired')),
    table_name       text NOT NULL,
    table_oid        oid NOT NULL,
    definition       jsonb NOT NULL,
    definition_text  text NOT NULL,       -- canonical; what a worker compares its own file with
    fingerprint_key  bytea NOT NULL CHECK (length(fingerprint_key) = 16),
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- A view has one live generation.
CREATE UNIQUE INDEX IF NOT EXISTS generation_live ON daybook.generation (view) WHERE state = 'live';

-- The number of the last commit (contiguous, in commit order) and a random mark of it: after a failover to a
-- standby that lagged, the same number can come again for other content; the mark tells.
CREATE TABLE IF NOT EXISTS daybook.view_head (
    generation  int PRIMARY KEY REFERENCES daybook.generation,
    seq         bigint NOT NULL DEFAULT 0,
    nonce       uuid NOT NULL DEFAULT gen_random_uuid()
) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

-- Where the view is in the log. next_offset is the next offset to READ. A worker that takes a partition
-- raises its epoch; a commit names the epoch and the offset that it expects, and changes nothing when
-- either is not the stored one.
CREATE TABLE IF NOT EXISTS daybook.position (
    generation    int NOT NULL REFERENCES daybook.generation,
    topic         text NOT NULL,
    partition     int NOT NULL,
    start_offset  bigint NOT NULL,        -- where this generation began
    next_offset   bigint NOT NULL,
    epoch         bigint NOT NULL DEFAULT 0,
    owner         text NOT NULL DEFAULT '',
    updated_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (generation, topic, partition),
    CHECK (next_offset >= start_offset AND start_offset >= 0)
) WITH (fillfactor = 20, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

-- Fingerprints of the events that the rows contain, 16 bytes each, in the order of commits. A small commit
-- appends to the open (newest) row, a large one makes a row of its own; no index on what changes, so that
-- appending is a HOT update. EXTERNAL: random bytes do not compress.
CREATE TABLE IF NOT EXISTS daybook.seen (
    generation    int NOT NULL REFERENCES daybook.generation,
    first_seq     bigint NOT NULL,
    last_seq      bigint NOT NULL,
    fingerprints  bytea NOT NULL CHECK (length(fingerprints) % 16 = 0),
    PRIMARY KEY (generation, first_seq)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE daybook.seen ALTER COLUMN fingerprints SET STORAGE EXTERNAL;

-- Events that could not be applied, as they were in the log.
CREATE TABLE IF NOT EXISTS daybook.dead_letter (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    generation     int NOT NULL REFERENCES daybook.generation,
    topic          text NOT NULL,
    partition      int NOT NULL,
    record_offset  bigint NOT NULL,
    record_time    timestamptz,
    record_key     bytea,
    record_value   bytea,
    headers        jsonb NOT NULL DEFAULT '[]',
    code           text NOT NULL,
    detail         text NOT NULL,
    event_source   text,
    event_id       text,
    event_type     text,
    state          text NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'redriven', 'discarded')),
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (generation, topic, partition, record_offset)
);
CREATE INDEX IF NOT EXISTS dead_letter_code ON daybook.dead_letter (generation, state, code);

-- A worker takes partitions: waits for a commit that is under way, raises the epoch, and learns where to
-- read on. A partition that the generation never had begins at p_starts, the first offset in the log.
CREATE OR REPLACE FUNCTION daybook.take(
    p_generation int, p_owner text, p_topics text[], p_partitions int[], p_starts bigint[])
RETURNS TABLE (topic text, partition int, next_offset bigint, epoch bigint)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock(1684108395, p_generation);
    RETURN QUERY
    INSERT INTO daybook.position AS p (generation, topic, partition, start_offset, next_offset, epoch, owner)
    SELECT p_generation, b.topic, b.partition, b.start, b.start, 1, p_owner
    FROM unnest(p_topics, p_partitions, p_starts) AS b (topic, partition, start)
    ORDER BY b.topic, b.partition
    ON CONFLICT (generation, topic, partition)
    DO UPDATE SET epoch = p.epoch + 1, owner = p_owner, updated_at = clock_timestamp()
    RETURNING p.topic, p.partition, p.next_offset, p.epoch;
END
$$;
