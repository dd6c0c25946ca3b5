UNION ALL
-- By its number in the text: PostgreSQL then looks at the tables of this generation only.
(SELECT c.generation, c.seq, c.nonce, c.kind, c.body, c.topics, c.partitions, c.next_offsets FROM daybook.change c
 WHERE c.generation = {{generation}} AND c.seq >= {{seq}} ORDER BY c.seq LIMIT {{limit}})
