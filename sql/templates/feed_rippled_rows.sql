        IF v_rippled > 0 THEN
            SELECT v_body || ',' || string_agg({{row_json}}, ',') INTO v_body
            FROM unnest({{range_arguments}}) AS b ({{range_names}}) JOIN {{table}} t ON {{ripple_matches}};
        END IF;
