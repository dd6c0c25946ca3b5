(SELECT b.*, NOT b.gone AS is_there FROM unnest({{row_arguments}}) AS b ({{row_names}})
                      WHERE EXISTS (SELECT FROM {{state_table}} s WHERE {{state_is_in_place}}))
