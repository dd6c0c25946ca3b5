-- What `log` views need: their tables are divided by time into partitions, which come when events need them and go when
-- `daybook archive` has written them to a file.
-- Idempotent: every statement may run again on a database that has it.

-- Of a `log` view: rows before this were archived. Events that would make such a row are passed over.
ALTER TABLE daybook.view_head ADD COLUMN IF NOT EXISTS rows_from timestamptz;

CREATE TABLE IF NOT EXISTS daybook.log_partition (
    generation   int NOT NULL REFERENCES daybook.generation,
    begins       timestamptz NOT NULL,
    ends         timestamptz NOT NULL,
    table_name   text NOT NULL,           -- schema and name, quoted
    detached_at  timestamptz,             -- no part of the view any more; stays until its file is written
    PRIMARY KEY (generation, begins)
);

-- Makes the partitions that rows of these times need, in UTC. p_unit: day or month.
-- As its owner, since a worker may not make tables. Attached, rather than made as partitions at once, so that readers of
-- the view are not locked out.
CREATE OR REPLACE FUNCTION daybook.make_partitions(p_generation int, p_unit text, p_times timestamptz[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_begins timestamptz;
    v_ends timestamptz;
    v_table text;
    v_parent text;
BEGIN
    FOR v_begins IN SELECT date_trunc(p_unit, t.at, 'UTC') AS begins FROM unnest(p_times) AS t (at)
                    EXCEPT SELECT p.begins FROM daybook.log_partition p WHERE p.generation = p_generation
                    ORDER BY begins LOOP
        -- Each query of the whole view locks all of them. Events with absurd times must not make that impossible.
        IF (SELECT count(*) FROM daybook.log_partition p WHERE p.generation = p_generation) >= 1000 THEN
            RAISE EXCEPTION 'the view has 1000 partitions and would need one for %: archive old ones, or divide it by month', v_begins
                USING ERRCODE = 'check_violation';
        END IF;
        SELECT g.table_oid::regclass::text INTO v_parent FROM daybook.generation g WHERE g.id = p_generation;
        v_ends := ((v_begins AT TIME ZONE 'UTC') + ('1 ' || p_unit)::interval) AT TIME ZONE 'UTC';
        v_table := format('daybook.log_%s_%s', p_generation, to_char(v_begins AT TIME ZONE 'UTC', 'YYYYMMDD'));
        EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', v_table, v_parent);
        EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', v_parent, v_table, v_begins, v_ends);
        INSERT INTO daybook.log_partition (generation, begins, ends, table_name) VALUES (p_generation, v_begins, v_ends, v_table);
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION daybook.make_partitions(int, text, timestamptz[]) FROM PUBLIC;

-- Takes a partition out of its view: its rows are gone for readers, who are told to ask again, and no event makes rows of
-- its time, or of any time before, any more. It waits at most 200 ms for those who read the view, so that nobody queues
-- behind it (SQLSTATE 55P03: try again).
CREATE OR REPLACE FUNCTION daybook.detach_partition(p_generation int, p_begins timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_partition daybook.log_partition;
    v_ends timestamptz;
    v_parent text;
BEGIN
    PERFORM pg_advisory_xact_lock(1684108395, p_generation);
    SELECT p.ends INTO v_ends FROM daybook.log_partition p
    WHERE p.generation = p_generation AND p.begins = p_begins AND p.detached_at IS NULL;
    IF NOT FOUND THEN
        RETURN;  -- another run did it
    END IF;
    SELECT g.table_oid::regclass::text INTO v_parent FROM daybook.generation g WHERE g.id = p_generation;
    PERFORM set_config('lock_timeout', '200ms', true);  -- not for the lock of the view
    -- With those before it that came since the caller looked: the next run writes them.
    FOR v_partition IN SELECT p.* FROM daybook.log_partition p
                       WHERE p.generation = p_generation AND p.begins <= p_begins AND p.detached_at IS NULL
                       ORDER BY p.begins LOOP
        EXECUTE format('ALTER TABLE %s DETACH PARTITION %s', v_parent, v_partition.table_name);
        UPDATE daybook.log_partition p SET detached_at = clock_timestamp()
        WHERE p.generation = p_generation AND p.begins = v_partition.begins;
    END LOOP;
    WITH head AS (
        UPDATE daybook.view_head h
        SET rows_from = GREATEST(h.rows_from, v_ends), seq = h.seq + 1, nonce = gen_random_uuid()
        WHERE h.generation = p_generation RETURNING h.seq, h.nonce, h.change_slot)
    INSERT INTO daybook.change (generation, slot, seq, nonce, committed_at, kind, topics, partitions, next_offsets, body)
    SELECT p_generation, h.change_slot, h.seq, h.nonce, clock_timestamp(), 'reset', '{}', '{}', '{}', '' FROM head h;
END
$$;
REVOKE ALL ON FUNCTION daybook.detach_partition(int, timestamptz) FROM PUBLIC;
