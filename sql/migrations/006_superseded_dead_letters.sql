-- Positions that a person moved back are read again, perhaps from another log: what is there is judged anew, and the
-- dead letters of the former reading keep their bytes beside the new ones.
-- Idempotent: every statement may run again on a database that has it.

ALTER TABLE daybook.dead_letter
    ADD COLUMN IF NOT EXISTS superseded_by bigint NOT NULL DEFAULT 0;  -- daybook.position_move; 0: it is the current one
ALTER TABLE daybook.dead_letter
    DROP CONSTRAINT IF EXISTS dead_letter_generation_topic_partition_record_offset_key;
CREATE UNIQUE INDEX IF NOT EXISTS dead_letter_record
    ON daybook.dead_letter (generation, topic, partition, record_offset, superseded_by);

CREATE OR REPLACE FUNCTION daybook.move_positions(p_generation int, p_topics text[], p_partitions int[], p_offsets bigint[])
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1684108395, p_generation);
    WITH moved AS (
        INSERT INTO daybook.position_move (generation, topic, partition, start_offset, from_offset, to_offset)
        SELECT p.generation, p.topic, p.partition, p.start_offset, p.next_offset, b.next_offset
        FROM unnest(p_topics, p_partitions, p_offsets) AS b (topic, partition, next_offset)
        JOIN daybook.position p ON p.generation = p_generation AND p.topic = b.topic AND p.partition = b.partition
        WHERE p.next_offset <> b.next_offset
        ORDER BY p.topic, p.partition
        RETURNING id, topic, partition, to_offset)
    UPDATE daybook.dead_letter d SET superseded_by = m.id
    FROM moved m
    WHERE d.generation = p_generation AND d.topic = m.topic AND d.partition = m.partition
      AND d.record_offset >= m.to_offset AND d.superseded_by = 0;
    UPDATE daybook.position p
    SET next_offset = b.next_offset, start_offset = least(p.start_offset, b.next_offset), epoch = p.epoch + 1,
        anchor_offset = NULL, anchor_time_ms = NULL, anchor_hash = NULL, updated_at = clock_timestamp()
    FROM unnest(p_topics, p_partitions, p_offsets) AS b (topic, partition, next_offset)
    WHERE p.generation = p_generation AND p.topic = b.topic AND p.partition = b.partition;
    UPDATE daybook.generation SET paused = NULL, paused_at = NULL, cluster_id = NULL WHERE id = p_generation;
END
$$;
