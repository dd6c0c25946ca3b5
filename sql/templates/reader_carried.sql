LEFT JOIN LATERAL (SELECT {{carried_columns}} FROM {{table}} o
                   WHERE t.{{first_key}} IS NULL AND {{same_entity}} AND o.{{date}} < b.{{date_name}}
                   ORDER BY o.{{date}} DESC LIMIT 1) c ON true
