-- The rows to have in memory at the start: the newest days, as many as are wanted.
SELECT h.seq, h.nonce, page.json FROM daybook.view_head h
CROSS JOIN LATERAL (SELECT {{row_json}} AS json FROM {{table}} t {{order}} LIMIT {{limit}}) page
WHERE h.generation = {{generation}}
