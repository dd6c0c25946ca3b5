LEFT JOIN LATERAL (SELECT t.{{date}} AS on_date, {{before_columns}} FROM {{table}} t
                               WHERE {{same_key}} ORDER BY t.{{date}} DESC LIMIT 1) before ON true
