        IF v_rippled > 0 THEN
            v_body := v_body || (SELECT string_agg({{range_json}}, ',') FROM unnest({{range_arguments}}) AS b ({{range_names}})
                                 WHERE EXISTS (SELECT FROM {{table}} t WHERE {{ripple_matches}}));
        END IF;
