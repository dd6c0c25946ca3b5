-- The change feed: what each commit changed, in the order of commits, for readers that keep rows in memory. docs/feed.md
-- describes an entry to those who read it. Each generation has three tables (slots); commits fill one, and when it is
-- full the oldest is truncated and filled next.
-- Idempotent: every statement may run again on a database that has it.

-- The slot that commits fill, and the last commit before its first one.
ALTER TABLE daybook.view_head
    ADD COLUMN IF NOT EXISTS change_slot smallint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS change_slot_after bigint NOT NULL DEFAULT 0;

-- No worker may commit between this and `daybook views apply`, which makes these functions again: those that are there
-- write no entries, and every reader would load all of its rows again after each commit.
DO $$
DECLARE
    v_function regprocedure;
BEGIN
    IF to_regclass('daybook.change') IS NULL THEN
        FOR v_function IN SELECT p.oid::regprocedure FROM pg_proc p
                          WHERE p.pronamespace = 'daybook'::regnamespace AND p.proname ~ '^commit_[0-9]+$' LOOP
            EXECUTE format('DROP FUNCTION %s', v_function);
        END LOOP;
    END IF;
END
$$;

CREATE TABLE IF NOT EXISTS daybook.change (
    generation    int NOT NULL,
    slot          smallint NOT NULL,
    seq           bigint NOT NULL,        -- of view_head: without gaps
    nonce         uuid NOT NULL,          -- of view_head: after a failover the same seq can come again for other content
    committed_at  timestamptz NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('rows', 'keys', 'reset', 'none')),
    -- Where the view stands in these partitions after the commit. They replace what was known, downwards as well.
    topics        text[] NOT NULL,
    partitions    int[] NOT NULL,
    next_offsets  bigint[] NOT NULL,
    body          text NOT NULL           -- JSON; empty for `reset` and `none`
) PARTITION BY RANGE (generation, slot);

-- Bodies shrink to a fifth. lz4 takes a tenth of pglz's time, but a server may have been built without it.
DO $$
BEGIN
    ALTER TABLE daybook.change ALTER COLUMN body SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported OR invalid_parameter_value THEN
    NULL;
END
$$;

-- The three tables of a generation.
CREATE OR REPLACE FUNCTION daybook.make_change(p_generation int) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_table text;
BEGIN
    FOR v_slot IN 0..2 LOOP
        v_table := format('daybook.change_%s_%s', p_generation, v_slot);
        CONTINUE WHEN to_regclass(v_table) IS NOT NULL;
        -- Rows are only added, and leave with their table: there is nothing to vacuum.
        EXECUTE format('CREATE TABLE %s (LIKE daybook.change INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING COMPRESSION,'
                       ' PRIMARY KEY (seq)) WITH (autovacuum_vacuum_insert_threshold = -1,'
                       ' toast.autovacuum_vacuum_insert_threshold = -1)', v_table);
        -- Attached: made as a partition at once it would lock out the commits of all views.
        EXECUTE format('ALTER TABLE daybook.change ATTACH PARTITION %s FOR VALUES FROM (%s, %s) TO (%s, %s)',
                       v_table, p_generation, v_slot, p_generation, v_slot + 1);
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION daybook.make_change(int) FROM PUBLIC;
SELECT daybook.make_change(g.id) FROM daybook.generation g WHERE g.state = 'live';

-- Goes on to the next slot, emptying it, once the current one holds p_entries entries or p_bytes bytes: two full slots
-- stay. Outcome:
--   kept      the current slot is not full
--   dropped   the oldest slot was emptied and is filled from now on
--   busy      somebody reads the oldest slot: nothing changed; ask again later
-- The lock of the view holds off commits for the few milliseconds of the TRUNCATE, and for at most 20 ms before it: when
-- many readers poll there is hardly an instant in which nobody reads, and a lock taken "now or not at all" would fail for
-- ever. In the queue it comes after the polls that run; one that begins meanwhile waits as long as the commits do.
-- As its owner, since a worker may not truncate.
CREATE OR REPLACE FUNCTION daybook.expire_change(p_generation int, p_entries bigint, p_bytes bigint)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_slot smallint;
    v_entries bigint;
BEGIN
    -- Without the lock, and again behind it: another worker may have been first.
    FOR v_look IN 1..2 LOOP
        SELECT h.change_slot, h.seq - h.change_slot_after INTO v_slot, v_entries
        FROM daybook.view_head h WHERE h.generation = p_generation;
        IF v_entries < p_entries
           AND pg_total_relation_size(format('daybook.change_%s_%s', p_generation, v_slot)::regclass) < p_bytes THEN
            RETURN 'kept';
        END IF;
        PERFORM pg_advisory_xact_lock(1684108395, p_generation);
    END LOOP;
    v_slot := (v_slot + 1) % 3;
    PERFORM set_config('lock_timeout', '20ms', true);  -- not for the lock of the view: commits under way may take longer
    EXECUTE format('TRUNCATE daybook.change_%s_%s', p_generation, v_slot);
    UPDATE daybook.view_head h SET change_slot = v_slot, change_slot_after = h.seq WHERE h.generation = p_generation;
    RETURN 'dropped';
EXCEPTION WHEN lock_not_available THEN
    RETURN 'busy';
END
$$;
REVOKE ALL ON FUNCTION daybook.expire_change(int, bigint, bigint) FROM PUBLIC;

-- A person moves positions: workers are fenced and read on from there. Without anchors, of any cluster, and not paused; dead
-- letters of what is read again are superseded. And readers are told: a commit without rows of its own, that changed they
-- don't know what. Its positions are all that the view has.
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
    WITH head AS (
        UPDATE daybook.view_head h SET seq = h.seq + 1, nonce = gen_random_uuid()
        WHERE h.generation = p_generation RETURNING h.seq, h.nonce, h.change_slot)
    INSERT INTO daybook.change (generation, slot, seq, nonce, committed_at, kind, topics, partitions, next_offsets, body)
    SELECT p_generation, h.change_slot, h.seq, h.nonce, clock_timestamp(), 'reset', p.topics, p.partitions, p.next_offsets, ''
    FROM head h CROSS JOIN (
        SELECT coalesce(array_agg(topic ORDER BY topic, partition), '{}') AS topics,
               coalesce(array_agg(partition ORDER BY topic, partition), '{}') AS partitions,
               coalesce(array_agg(next_offset ORDER BY topic, partition), '{}') AS next_offsets
        FROM daybook.position WHERE generation = p_generation) p;
END
$$;
