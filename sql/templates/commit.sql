-- The commit of a view: ONE call, in autocommit, does all of a batch or nothing. ARCHITECTURE.md
-- walks through it. Rendered by sql/render.cpp from a definition; generation {{generation}}, table {{table}}.
--
-- VOLATILE: each statement takes a fresh snapshot, so that everything after the lock sees what the former
-- holder of the lock wrote. That is what makes balances right (a single statement's snapshot would be older
-- than its wait for the lock).
--
-- Returns one row. outcome:
--   applied      all of it; seq and nonce are this commit's
--   fenced       an epoch or a position is not the stored one: nothing changed
--   duplicates   hits holds the 12-byte identities of this batch that others committed since known_seq: nothing changed
--   behind       too much was committed since known_seq to look through it under the lock: nothing changed
--   paused       a person has to resume the view first, detail says why: nothing changed
--   retired      the generation is not live or its table was replaced: nothing changed
CREATE OR REPLACE FUNCTION daybook.commit_{{generation}}(
    p_known_seq bigint,          -- every chunk of fingerprints up to here was checked by the caller
    p_topics text[], p_partitions int[], p_epochs bigint[], p_from bigint[], p_to bigint[],
    p_anchor_offsets bigint[], p_anchor_times bigint[], p_anchor_hashes bigint[],  -- NULL: the stored one stays
    p_seen bytea,                -- fingerprints of this batch's events, 16 bytes each: 12 identity, 4 content
    p_dead_topics text[], p_dead_partitions int[], p_dead_offsets bigint[], p_dead_times bigint[],
    p_dead_keys bytea[], p_dead_values bytea[], p_dead_headers text[], p_dead_codes text[], p_dead_details text[],
    p_dead_sources text[], p_dead_ids text[], p_dead_types text[],
    -- What the step of the view's kind (7.) takes.
    {{row_parameters}})
RETURNS TABLE (outcome text, seq bigint, nonce uuid, hits bytea, detail text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_live boolean;
    v_paused text;
    v_head bigint;
    v_first bigint;
    v_bytes bigint;
    v_unseen bytea;
    v_hits bytea;
    v_owned int;
    v_seq bigint;
    v_nonce uuid;
    v_slot smallint;
    v_seen_events bigint;
    v_now timestamptz;
    v_updated int := 0;
    v_rippled int := 0;
    v_tells_rows boolean;
    v_change_slot smallint;
    v_kind text;
    v_body text := '';
BEGIN
    -- 1. One committer at a time, first come first served.
    PERFORM pg_advisory_xact_lock(1684108395, {{generation}});

    -- 2. The generation is the one that this function was made for, and not paused.
    SELECT g.state = 'live' AND g.table_oid = to_regclass({{table_literal}}), g.paused INTO v_live, v_paused
    FROM daybook.generation g WHERE g.id = {{generation}};
    IF v_paused IS NOT NULL THEN
        RETURN QUERY SELECT 'paused', NULL::bigint, NULL::uuid, NULL::bytea, v_paused;
        RETURN;
    END IF;
    IF v_live IS NOT TRUE THEN
        RETURN QUERY SELECT 'retired', NULL::bigint, NULL::uuid, NULL::bytea, NULL::text;
        RETURN;
    END IF;

    -- 3. The caller owns its partitions and stands where the view stands.
    SELECT count(*) INTO v_owned
    FROM unnest(p_topics, p_partitions, p_epochs, p_from) AS b (topic, partition, epoch, from_offset)
    JOIN daybook.position p ON p.generation = {{generation}} AND p.topic = b.topic AND p.partition = b.partition
    WHERE p.epoch = b.epoch AND p.next_offset = b.from_offset;
    IF v_owned <> cardinality(p_topics) THEN
        RETURN QUERY SELECT 'fenced', NULL::bigint, NULL::uuid, NULL::bytea, NULL::text;
        RETURN;
    END IF;

    -- 4. No event of this batch was committed by another worker since the caller last looked.
    SELECT h.seq INTO v_head FROM daybook.view_head h WHERE h.generation = {{generation}};
    IF v_head > p_known_seq THEN
        -- The first row that can hold something newer is the last one that began at or before known_seq + 1.
        v_first := coalesce((SELECT max(o.first_seq) FROM daybook.seen o
                             WHERE o.generation = {{generation}} AND o.first_seq <= p_known_seq + 1), 0);
        SELECT coalesce(sum(length(s.fingerprints)), 0) INTO v_bytes FROM daybook.seen s
        WHERE s.generation = {{generation}} AND s.first_seq >= v_first AND s.last_seq > p_known_seq;
        IF v_bytes > {{unseen_bytes_max}} THEN
            RETURN QUERY SELECT 'behind', NULL::bigint, NULL::uuid, NULL::bytea, NULL::text;
            RETURN;
        END IF;
        IF v_bytes > 0 AND length(p_seen) > 0 THEN
            -- Taken together once: substr() of a value in TOAST would fetch it again for each fingerprint.
            SELECT string_agg(s.fingerprints, ''::bytea) INTO v_unseen FROM daybook.seen s
            WHERE s.generation = {{generation}} AND s.first_seq >= v_first AND s.last_seq > p_known_seq;
            SELECT string_agg(mine.identity, ''::bytea) INTO v_hits
            FROM (SELECT substr(p_seen, 16 * i + 1, 12) AS identity
                  FROM generate_series(0, length(p_seen) / 16 - 1) AS i) mine
            WHERE mine.identity IN (SELECT substr(v_unseen, 16 * i + 1, 12)
                                    FROM generate_series(0, length(v_unseen) / 16 - 1) AS i);
            IF v_hits IS NOT NULL THEN
                RETURN QUERY SELECT 'duplicates', NULL::bigint, NULL::uuid, v_hits, NULL::text;
                RETURN;
            END IF;
        END IF;
    END IF;

    -- 5. Positions move; the commit gets its number. clock_timestamp() after the lock: now() is the time
    --    before the wait and would go backwards from one commit to the next.
    v_now := clock_timestamp();
    UPDATE daybook.position p
    SET next_offset = b.to_offset, updated_at = v_now,
        anchor_offset = coalesce(b.anchor_offset, p.anchor_offset),
        anchor_time_ms = coalesce(b.anchor_time_ms, p.anchor_time_ms),
        anchor_hash = coalesce(b.anchor_hash, p.anchor_hash)
    FROM unnest(p_topics, p_partitions, p_to, p_anchor_offsets, p_anchor_times, p_anchor_hashes)
         AS b (topic, partition, to_offset, anchor_offset, anchor_time_ms, anchor_hash)
    WHERE p.generation = {{generation}} AND p.topic = b.topic AND p.partition = b.partition;
    UPDATE daybook.view_head h
    SET seq = h.seq + 1, nonce = gen_random_uuid(), seen_events = h.seen_events + length(p_seen) / 16
    WHERE h.generation = {{generation}}
    RETURNING h.seq, h.nonce, h.seen_slot, h.seen_events - length(p_seen) / 16, h.change_slot
    INTO v_seq, v_nonce, v_slot, v_seen_events, v_change_slot;

    -- 6. Fingerprints: into the open row while it is small enough to stay in its page, else into a new one.
    IF length(p_seen) > 0 THEN
        UPDATE daybook.seen s SET fingerprints = s.fingerprints || p_seen, last_seq = v_seq
        WHERE length(p_seen) < 1900 AND s.generation = {{generation}} AND s.slot = v_slot
          AND s.first_seq = (SELECT max(o.first_seq) FROM daybook.seen o
                             WHERE o.generation = {{generation}} AND o.slot = v_slot)
          AND length(s.fingerprints) + length(p_seen) <= 1900;
        IF NOT FOUND THEN
            INSERT INTO daybook.seen (generation, slot, first_seq, last_seq, first_event, committed_at, fingerprints)
            VALUES ({{generation}}, v_slot, v_seq, v_seq, v_seen_events, v_now, p_seen);
        END IF;
    END IF;

{{rows}}
    -- 8. What could not be applied.
    IF cardinality(p_dead_topics) > 0 THEN
        INSERT INTO daybook.dead_letter (generation, topic, partition, record_offset, record_time, record_key, record_value,
                                         headers, code, detail, event_source, event_id, event_type)
        SELECT {{generation}}, b.topic, b.partition, b.record_offset, to_timestamp(b.time_ms / 1000.0), b.record_key,
               b.record_value, b.headers::jsonb, b.code, b.detail, b.event_source, b.event_id, b.event_type
        FROM unnest(p_dead_topics, p_dead_partitions, p_dead_offsets, p_dead_times, p_dead_keys, p_dead_values, p_dead_headers,
                    p_dead_codes, p_dead_details, p_dead_sources, p_dead_ids, p_dead_types)
             AS b (topic, partition, record_offset, time_ms, record_key, record_value, headers, code, detail, event_source,
                   event_id, event_type)
        ON CONFLICT (generation, topic, partition, record_offset, superseded_by) DO NOTHING;
    END IF;

    -- 9. The feed: what readers that keep rows in memory have to know. docs/feed.md
{{feed}}
    RETURN QUERY SELECT 'applied', v_seq, v_nonce, NULL::bytea, NULL::text;
END
$$;
