-- A view can be paused; positions know the record before them and the cluster that they belong to.
-- Idempotent: every statement may run again on a database that has it.

ALTER TABLE daybook.generation
    ADD COLUMN IF NOT EXISTS cluster_id text,       -- of the Kafka cluster that it reads; set by the first worker
    ADD COLUMN IF NOT EXISTS paused text,           -- why nothing is committed until a person resumes it; NULL: it runs
    ADD COLUMN IF NOT EXISTS paused_at timestamptz;

-- The last record that was applied before next_offset. If the log shows another one at that offset, it is not the log
-- that was read. All three or none.
ALTER TABLE daybook.position
    ADD COLUMN IF NOT EXISTS anchor_offset bigint,
    ADD COLUMN IF NOT EXISTS anchor_time_ms bigint,
    ADD COLUMN IF NOT EXISTS anchor_hash bigint;    -- 64 bits of key and value

-- What people did to positions: verify leaves out what was skipped.
CREATE TABLE IF NOT EXISTS daybook.position_move (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    generation   int NOT NULL REFERENCES daybook.generation,
    topic        text NOT NULL,
    partition    int NOT NULL,
    start_offset bigint NOT NULL,        -- of the position before the move
    from_offset  bigint NOT NULL,
    to_offset    bigint NOT NULL,
    moved_by     text NOT NULL DEFAULT session_user,
    moved_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A worker takes partitions: waits for a commit that is under way, raises the epoch, and learns where to
-- read on. A partition that the generation never had begins at p_starts, the first offset in the log.
-- outcome: taken (a row for each partition), or one row: paused (detail: why), other_cluster (detail: the one it reads).
DROP FUNCTION IF EXISTS daybook.take(int, text, text[], int[], bigint[]);
CREATE OR REPLACE FUNCTION daybook.take(
    p_generation int, p_cluster_id text, p_owner text, p_topics text[], p_partitions int[], p_starts bigint[])
RETURNS TABLE (outcome text, detail text, topic text, partition int, next_offset bigint, epoch bigint,
               anchor_offset bigint, anchor_time_ms bigint, anchor_hash bigint)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    v_cluster_id text;
    v_paused text;
BEGIN
    PERFORM pg_advisory_xact_lock(1684108395, p_generation);
    UPDATE daybook.generation g SET cluster_id = p_cluster_id WHERE g.id = p_generation AND g.cluster_id IS NULL;
    SELECT g.cluster_id, g.paused INTO v_cluster_id, v_paused FROM daybook.generation g WHERE g.id = p_generation;
    IF v_cluster_id <> p_cluster_id THEN
        RETURN QUERY SELECT 'other_cluster', v_cluster_id, NULL::text, NULL::int, NULL::bigint, NULL::bigint,
                            NULL::bigint, NULL::bigint, NULL::bigint;
        RETURN;
    END IF;
    IF v_paused IS NOT NULL THEN
        RETURN QUERY SELECT 'paused', v_paused, NULL::text, NULL::int, NULL::bigint, NULL::bigint,
                            NULL::bigint, NULL::bigint, NULL::bigint;
        RETURN;
    END IF;
    RETURN QUERY
    INSERT INTO daybook.position AS p (generation, topic, partition, start_offset, next_offset, epoch, owner)
    SELECT p_generation, b.topic, b.partition, b.start, b.start, 1, p_owner
    FROM unnest(p_topics, p_partitions, p_starts) AS b (topic, partition, start)
    ORDER BY b.topic, b.partition
    ON CONFLICT (generation, topic, partition)
    DO UPDATE SET epoch = p.epoch + 1, owner = p_owner, updated_at = clock_timestamp()
    RETURNING 'taken', NULL::text, p.topic, p.partition, p.next_offset, p.epoch,
              p.anchor_offset, p.anchor_time_ms, p.anchor_hash;
END
$$;
