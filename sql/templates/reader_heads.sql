-- One look at the change feeds of all views, in one snapshot. First the live generations with their last commits and how they are served, then the
-- entries of each generation that is read, from the last one known on, which is read again: another nonce under the same
-- seq means that the database fell back.
SELECT g.id AS generation, h.seq, h.nonce, 'head' AS kind, concat(g.reader, g.description) AS body, '{}'::text[] AS topics,
       '{}'::int[] AS partitions, '{}'::bigint[] AS next_offsets
FROM daybook.generation g JOIN daybook.view_head h ON h.generation = g.id WHERE g.state = 'live'
