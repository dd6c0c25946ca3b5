-- Old fingerprints leave by whole tables. Each generation has three (slots); commits fill one, and when the two newest
-- hold the window the third is truncated and filled next: no dead rows, whatever the rate.
-- Idempotent: every statement may run again on a database that has it.

-- How many fingerprints were ever stored, where the current slot began and where the one before it did, in that number.
ALTER TABLE daybook.view_head
    ADD COLUMN IF NOT EXISTS seen_events bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS seen_slot smallint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS seen_slot_from bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS seen_previous_from bigint NOT NULL DEFAULT 0;

DO $$
BEGIN
    IF (SELECT c.relkind FROM pg_class c WHERE c.oid = 'daybook.seen'::regclass) = 'r' THEN
        -- No worker may commit between this and `daybook views apply`, which makes these functions again: those that are
        -- there would store fingerprints of the former form.
        DECLARE
            v_function regprocedure;
        BEGIN
            FOR v_function IN SELECT p.oid::regprocedure FROM pg_proc p
                              WHERE p.pronamespace = 'daybook'::regnamespace AND p.proname ~ '^commit_[0-9]+$' LOOP
                EXECUTE format('DROP FUNCTION %s', v_function);
            END LOOP;
        END;
        ALTER TABLE daybook.seen RENAME TO seen_before_004;
    END IF;
END
$$;

-- Fingerprints of the events that the rows contain, 16 bytes each, in the order of commits. A small commit appends to
-- the open (newest) row, a large one makes a row of its own; no index on what changes, so that appending is a HOT update.
-- EXTERNAL: random bytes do not compress. A row is deleted by truncating its table only: see expire_seen().
CREATE TABLE IF NOT EXISTS daybook.seen (
    generation    int NOT NULL,
    slot          smallint NOT NULL,
    first_seq     bigint NOT NULL,        -- commits whose fingerprints it holds
    last_seq      bigint NOT NULL,
    first_event   bigint NOT NULL,        -- how many fingerprints the generation had stored before this row's first
    committed_at  timestamptz NOT NULL,   -- of first_seq
    fingerprints  bytea NOT NULL CHECK (length(fingerprints) % 16 = 0)
) PARTITION BY RANGE (generation, slot);
ALTER TABLE daybook.seen ALTER COLUMN fingerprints SET STORAGE EXTERNAL;

-- The three tables of a generation.
CREATE OR REPLACE FUNCTION daybook.make_seen(p_generation int) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_table text;
BEGIN
    FOR v_slot IN 0..2 LOOP
        v_table := format('daybook.seen_%s_%s', p_generation, v_slot);
        CONTINUE WHEN to_regclass(v_table) IS NOT NULL;
        -- No row but the open one ever changes: an insert leaves nothing to vacuum.
        EXECUTE format('CREATE TABLE %s (LIKE daybook.seen INCLUDING CONSTRAINTS INCLUDING STORAGE, PRIMARY KEY (first_seq))'
                       ' WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.05,'
                       ' autovacuum_vacuum_insert_threshold = -1, toast.autovacuum_vacuum_insert_threshold = -1)', v_table);
        EXECUTE format('CREATE INDEX ON %s (first_event)', v_table);
        -- Attached: made as a partition at once it would lock out the commits of all views.
        EXECUTE format('ALTER TABLE daybook.seen ATTACH PARTITION %s FOR VALUES FROM (%s, %s) TO (%s, %s)',
                       v_table, p_generation, v_slot, p_generation, v_slot + 1);
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION daybook.make_seen(int) FROM PUBLIC;

-- What was stored before: into the first slot. When it was committed is not known: as if now, which makes the window in
-- seconds look shorter than it is rather than longer.
DO $$
BEGIN
    PERFORM daybook.make_seen(g.id) FROM daybook.generation g;
    IF to_regclass('daybook.seen_before_004') IS NOT NULL THEN
        INSERT INTO daybook.seen (generation, slot, first_seq, last_seq, first_event, committed_at, fingerprints)
        SELECT s.generation, 0, s.first_seq, s.last_seq,
               sum(length(s.fingerprints) / 16) OVER (PARTITION BY s.generation ORDER BY s.first_seq) - length(s.fingerprints) / 16,
               clock_timestamp(), s.fingerprints
        FROM daybook.seen_before_004 s ORDER BY s.generation, s.first_seq;
        UPDATE daybook.view_head h SET seen_events = s.events
        FROM (SELECT generation, sum(length(fingerprints) / 16) AS events FROM daybook.seen_before_004 GROUP BY generation) s
        WHERE h.generation = s.generation;
        DROP TABLE daybook.seen_before_004;
    END IF;
END
$$;

-- Drops what the newest p_window fingerprints of a generation do not need, if that is a whole slot. Outcome:
--   kept      nothing is to be dropped yet
--   dropped   the oldest slot was emptied and is filled from now on
--   busy      somebody reads the oldest slot: nothing changed; ask again later
-- And the age of the oldest fingerprint in the window (NULL: there is none).
--
-- Commits never wait for a reader: the table lock is taken at once or not at all, and behind the lock of the view,
-- which holds off the commits for the few milliseconds of the TRUNCATE.
-- As its owner, since a worker may not truncate.
CREATE OR REPLACE FUNCTION daybook.expire_seen(p_generation int, p_window bigint)
RETURNS TABLE (outcome text, oldest_seconds bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_head daybook.view_head;
    v_oldest smallint;
    v_since timestamptz;
    v_outcome text := 'kept';
BEGIN
    -- Each generation by its number in the text: a plan for any generation would lock the tables of all.
    SELECT h.* INTO v_head FROM daybook.view_head h WHERE h.generation = p_generation;
    EXECUTE format('SELECT coalesce((SELECT s.committed_at FROM daybook.seen s WHERE s.generation = %1$s AND s.first_event <= $1'
                   ' ORDER BY s.first_event DESC LIMIT 1), (SELECT s.committed_at FROM daybook.seen s'
                   ' WHERE s.generation = %1$s ORDER BY s.first_event LIMIT 1))', p_generation)
        INTO v_since USING v_head.seen_events - p_window;
    IF v_head.seen_events - v_head.seen_slot_from >= (p_window + 1) / 2
       AND v_head.seen_events - v_head.seen_previous_from >= p_window THEN
        PERFORM pg_advisory_xact_lock(1684108395, p_generation);
        SELECT h.* INTO v_head FROM daybook.view_head h WHERE h.generation = p_generation;
        -- Still: another worker may have been first.
        IF v_head.seen_events - v_head.seen_slot_from >= (p_window + 1) / 2
           AND v_head.seen_events - v_head.seen_previous_from >= p_window THEN
            v_oldest := (v_head.seen_slot + 1) % 3;
            BEGIN
                EXECUTE format('LOCK TABLE daybook.seen_%s_%s IN ACCESS EXCLUSIVE MODE NOWAIT', p_generation, v_oldest);
                EXECUTE format('TRUNCATE daybook.seen_%s_%s', p_generation, v_oldest);
                UPDATE daybook.view_head h
                SET seen_slot = v_oldest, seen_previous_from = h.seen_slot_from, seen_slot_from = h.seen_events
                WHERE h.generation = p_generation;
                v_outcome := 'dropped';
            EXCEPTION WHEN lock_not_available THEN
                v_outcome := 'busy';
            END;
        END IF;
    END IF;
    RETURN QUERY SELECT v_outcome, CASE WHEN v_since IS NOT NULL
                                        THEN greatest(0, extract(epoch FROM clock_timestamp() - v_since))::bigint END;
END
$$;
REVOKE ALL ON FUNCTION daybook.expire_seen(int, bigint) FROM PUBLIC;
