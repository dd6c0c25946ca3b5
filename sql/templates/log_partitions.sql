-- The partitions of a log, detached ones among them, in the order of time.
SELECT to_char(p.begins AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(p.ends AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       (extract(epoch FROM p.ends) * 1000000)::bigint, p.table_name, p.detached_at IS NOT NULL,
       greatest(coalesce((SELECT c.reltuples FROM pg_class c WHERE c.oid = to_regclass(p.table_name)), 0), 0)::bigint
FROM daybook.log_partition p WHERE p.generation = {{generation}} ORDER BY p.begins
