    -- 7. Rows of a `log` view. Parameters: keys (k), in that order; where the event came from; values (c). Of two events
    --    with one key the one that is first by its place in the log counts, whichever comes first to here.
    IF cardinality(p_k1) > 0 THEN
        DECLARE
            v_rows_from timestamptz;
        BEGIN
            SELECT coalesce(h.rows_from, '-infinity') INTO v_rows_from FROM daybook.view_head h WHERE h.generation = {{generation}};
            PERFORM daybook.make_partitions({{generation}}, '{{unit}}', (SELECT array_agg(b.at) FROM unnest({{times}}) AS b (at)
                                                             WHERE b.at >= v_rows_from));
            v_tells_rows := cardinality(p_k1) <= {{feed_rows_max}};
            WITH changed AS (
                INSERT INTO {{table}} AS t ({{insert_columns}}, _topic, _partition, _offset, updated_at)
                SELECT {{insert_values}}, b.topic, b.partition, b.record_offset, v_now{{to_updated_at}}
                FROM unnest({{row_arguments}}) AS b ({{row_names}})
                WHERE {{time}} >= v_rows_from
                ON CONFLICT ({{key_columns}}) DO UPDATE
                SET {{assignments}}, _topic = excluded._topic, _partition = excluded._partition, _offset = excluded._offset,
                    updated_at = GREATEST(t.updated_at, excluded.updated_at)
                WHERE (t._topic, t._partition, t._offset) > (excluded._topic, excluded._partition, excluded._offset)
                RETURNING CASE WHEN v_tells_rows THEN {{row_json}} END AS json)
            SELECT count(*), concat_ws(',', string_agg(changed.json, ',')) INTO v_updated, v_body FROM changed;
        END;
    END IF;
