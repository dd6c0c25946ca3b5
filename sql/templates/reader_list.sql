-- One page of a list, its rows and the columns that it is ordered by as text; the number of the last commit in the
-- same snapshot (a row of its own, so that an empty page has it too).
SELECT h.seq, h.nonce, page.json, {{place_names}}
FROM daybook.view_head h LEFT JOIN LATERAL (
    SELECT {{row_json}} AS json, {{places}}, row_number() OVER (ORDER BY {{order}}) AS number
    FROM {{table}} t WHERE {{conditions}}
    ORDER BY {{order}} LIMIT {{limit}}) page ON true
WHERE h.generation = {{generation}} ORDER BY page.number
