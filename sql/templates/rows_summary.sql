    -- Of a `summary` view. Parameters: rows in key order, key columns (k), changes (c), and for balances the batch's running
    -- level at that date (v); then the ripple: keys (lk) with the dates between which later rows rise by that level (lv).
    -- 7. Rows. First those that exist, by their changes and, for a balance, by the running level of the batch
    --    at that date. A value that leaves its column's type raises 22003, and nothing of the batch happens.
    --    Readers are told the rows of a small batch (9.); they are returned here, which spares finding them again.
    IF cardinality(p_k1) > 0 THEN
        v_tells_rows := cardinality(p_k1) <= {{feed_rows_max}};
        IF v_tells_rows THEN
            WITH changed AS (
{{update}}
                RETURNING {{row_json}} AS json)
            SELECT count(*), string_agg(changed.json, ',') INTO v_updated, v_body FROM changed;
        ELSE
{{update}};
            GET DIAGNOSTICS v_updated = ROW_COUNT;
        END IF;
{{ripple}}
        -- New rows only when some were not there. A new row's balance is that of the row before it (which holds
        -- all of the batch up to its own date by now) plus the batch's changes since: all of those are new rows too.
        IF v_updated < cardinality(p_k1) THEN
            WITH changed AS (
                INSERT INTO {{table}} AS t ({{insert_columns}}, updated_at)
                SELECT {{insert_values}}, v_now{{to_updated_at}}
                FROM unnest({{row_arguments}}) AS b ({{row_names}})
                {{insert_before}}
                WHERE NOT EXISTS (SELECT FROM {{table}} t WHERE {{row_matches}}){{insert_window}}
                RETURNING CASE WHEN v_tells_rows THEN {{row_json}} END AS json)
            SELECT concat_ws(',', v_body, string_agg(changed.json, ',')) INTO v_body FROM changed;
        END IF;
    END IF;
