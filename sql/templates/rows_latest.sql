    -- 7. Rows of a `latest` view. Parameters: keys (k) and the number of a part of the row, in that order; where the state
    --    came from; its version; whether the part is gone; values (c), NULL for columns of other parts.
    --    First the states: the newer one of each part takes its place beside the rows, an older one changes nothing.
    --    Then the rows of those that are in place now. (What was in place before is written again with the same values.)
    IF cardinality(p_k1) > 0 THEN
        v_tells_rows := cardinality(p_k1) <= {{feed_rows_max}};
        INSERT INTO {{state_table}} AS s ({{key_columns}}, _part, _version, _topic, _partition, _record_offset, _gone)
        SELECT {{key_values}}, b.part, b.version, b.topic, b.partition, b.record_offset, b.gone
        FROM unnest({{order_arguments}}) AS b ({{order_names}})
        ON CONFLICT ({{key_columns}}, _part) DO UPDATE
        SET _version = excluded._version, _topic = excluded._topic, _partition = excluded._partition,
            _record_offset = excluded._record_offset, _gone = excluded._gone
        WHERE (s._version, s._topic, s._partition, s._record_offset)
              < (excluded._version, excluded._topic, excluded._partition, excluded._record_offset);
        GET DIAGNOSTICS v_updated = ROW_COUNT;
        -- A row is there while one of its parts is.
        IF v_updated > 0 AND true = ANY (p_gone) THEN
            WITH changed AS (
                DELETE FROM {{table}} t
                USING unnest({{key_arguments}}, p_gone) AS b ({{key_names}}, gone)
                WHERE b.gone AND {{row_matches}}
                  AND NOT EXISTS (SELECT FROM {{state_table}} s WHERE {{state_matches}} AND NOT s._gone)
                RETURNING CASE WHEN v_tells_rows THEN {{gone_json}} END AS json)
            SELECT concat_ws(',', string_agg(changed.json, ',')) INTO v_body FROM changed;
        END IF;
        IF v_updated > 0 THEN
            WITH changed AS (
                UPDATE {{table}} t SET {{assignments}}, updated_at = GREATEST(t.updated_at, v_now{{to_updated_at}})
                FROM {{changes}} b
                WHERE {{row_matches}}
                RETURNING CASE WHEN v_tells_rows THEN {{row_json}} END AS json)
            SELECT concat_ws(',', nullif(v_body, ''), string_agg(changed.json, ',')) INTO v_body FROM changed;
            WITH changed AS (
                INSERT INTO {{table}} AS t ({{insert_columns}}, updated_at)
                SELECT {{insert_values}}, v_now{{to_updated_at}}
                FROM {{changes}} b
                WHERE b.is_there AND NOT EXISTS (SELECT FROM {{table}} t WHERE {{row_matches}})
                RETURNING CASE WHEN v_tells_rows THEN {{row_json}} END AS json)
            SELECT concat_ws(',', nullif(v_body, ''), string_agg(changed.json, ',')) INTO v_body FROM changed;
        END IF;
    END IF;
