
        -- Late changes: rows of later dates, up to the key's next date in the batch, rise by the same level.
        IF cardinality(p_lk1) > 0 THEN
            UPDATE {{table}} t SET {{ripple_assignments}}, updated_at = GREATEST(t.updated_at, v_now{{to_updated_at}})
            FROM unnest({{ripple_arguments}}) AS b ({{ripple_names}})
            WHERE {{ripple_matches}};
            GET DIAGNOSTICS v_rippled = ROW_COUNT;
        END IF;
