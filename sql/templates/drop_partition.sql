-- Its file is written. Only what is detached goes.
DELETE FROM daybook.log_partition WHERE generation = {{generation}} AND begins = {{begins}} AND detached_at IS NOT NULL;
DROP TABLE IF EXISTS {{table}}
