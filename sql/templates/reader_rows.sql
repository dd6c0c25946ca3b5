-- Rows by key, many at once: $1 and so on are the key columns as arrays. With the number of the last commit in the
-- same snapshot. kind: row; carried (no row on that date: the balances of the date before, no flows); absent.
SELECT b.number, h.seq, h.nonce,
       CASE WHEN t.{{first_key}} IS NOT NULL THEN 'row' {{carried_kind}}ELSE 'absent' END AS kind,
       CASE WHEN t.{{first_key}} IS NOT NULL THEN {{row_json}} {{carried_json}}END AS json
FROM unnest({{arguments}}) WITH ORDINALITY AS b ({{names}}, number)
JOIN daybook.view_head h ON h.generation = {{generation}}
LEFT JOIN {{table}} t ON {{matches}}
{{carried}}
