-- Positions that a person moved back are read again, perhaps from another log: what is there is judged anew, and the
-- dead letters of the former reading keep their bytes beside the new ones.
-- Idempotent: every statement may run again on a database that has it.

ALTER TABLE daybook.dead_letter
    ADD COLUMN IF NOT EXISTS superseded_by bigint NOT NULL DEFAULT 0;  -- daybook.position_move; 0: it is the current one
ALTER TABLE daybook.dead_letter
    DROP CONSTRAINT IF EXISTS dead_letter_generation_topic_partition_record_offset_key;
CREATE UNIQUE INDEX IF NOT EXISTS dead_letter_record
    ON daybook.dead_letter (generation, topic, partition, record_offset, superseded_by);
