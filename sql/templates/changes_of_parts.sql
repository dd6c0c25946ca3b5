(SELECT {{key_values}}, bool_or(NOT b.gone) AS is_there, {{parts}}
                      FROM unnest({{row_arguments}}) AS b ({{row_names}})
                      WHERE EXISTS (SELECT FROM {{state_table}} s WHERE {{state_is_in_place}})
                      GROUP BY {{key_values}})
