                UPDATE {{table}} t SET {{update_assignments}}, updated_at = GREATEST(t.updated_at, v_now{{to_updated_at}})
                FROM unnest({{row_arguments}}) AS b ({{row_names}})
                WHERE {{row_matches}}