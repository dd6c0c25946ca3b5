-- What became of dead letters, and which of them have their copy in the dead-letter topic.
-- Idempotent: every statement may run again on a database that has it.

-- A generation that takes over from another one inherits what was settled there: it copies the rows that are redriven or
-- discarded under its own number. (generation, topic, partition, record_offset) is unique, so that a record is settled
-- once in each generation, and the original of a corrected event is not applied beside the corrected one.
ALTER TABLE daybook.dead_letter
    ADD COLUMN IF NOT EXISTS settled_at timestamptz,          -- when it was redriven or discarded
    ADD COLUMN IF NOT EXISTS settled_by text,
    ADD COLUMN IF NOT EXISTS reason text,                     -- why it was discarded
    ADD COLUMN IF NOT EXISTS redriven_partition int,          -- where it was published again, in the same topic
    ADD COLUMN IF NOT EXISTS redriven_offset bigint,
    ADD COLUMN IF NOT EXISTS copied_at timestamptz;           -- its copy is in the dead-letter topic; NULL: not yet

CREATE INDEX IF NOT EXISTS dead_letter_not_copied ON daybook.dead_letter (generation, id) WHERE copied_at IS NULL;
