-- Where a generation stands: its last commit, and its positions as of that commit. One row for each partition, or one
-- with nulls when it has none.
SELECT h.seq, h.nonce, p.topic, p.partition, p.next_offset
FROM daybook.view_head h LEFT JOIN daybook.position p ON p.generation = h.generation
WHERE h.generation = {{generation}}
