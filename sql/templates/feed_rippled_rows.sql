            UNION ALL
            SELECT {{row_json}}
            FROM unnest({{range_arguments}}) AS b ({{range_names}}) JOIN {{table}} t ON {{ripple_matches}}
            WHERE v_rippled > 0
