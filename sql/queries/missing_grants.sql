-- The statements that give the group roles what they lack in this database, in the order in which to run them; no row
-- when nothing is missing. Asked and run by `daybook migrate` and `daybook views apply`. A new bookkeeping table needs
-- its lines under `bookkeeping`; roles that do not exist are passed over.
WITH
-- What a worker and a reader may do with the bookkeeping; NULL: all columns. A reader verifies: it sees where dead
-- letters are and why, but not what was in them, and not the key of the fingerprints.
bookkeeping (role_name, table_name, privileges, columns) AS (VALUES
    ('daybook_write', 'migration',   ARRAY['SELECT'],                               NULL),
    ('daybook_write', 'generation',  ARRAY['SELECT'],                               NULL),
    -- A worker pauses a view by itself, and notes which Kafka cluster it reads.
    ('daybook_write', 'generation',  ARRAY['UPDATE'], ARRAY['cluster_id', 'paused', 'paused_at']),
    ('daybook_write', 'view_head',   ARRAY['SELECT', 'UPDATE'],                     NULL),
    ('daybook_write', 'position',    ARRAY['SELECT', 'INSERT', 'UPDATE'],           NULL),
    ('daybook_write', 'seen',        ARRAY['SELECT', 'INSERT', 'UPDATE'],           NULL),
    ('daybook_write', 'change',      ARRAY['INSERT'],                               NULL),
    ('daybook_write', 'dead_letter', ARRAY['INSERT'],                               NULL),
    ('daybook_read',  'log_partition', ARRAY['SELECT'],                             NULL),
    -- ON CONFLICT has to see the key.
    ('daybook_write', 'dead_letter', ARRAY['SELECT'], ARRAY['generation', 'topic', 'partition', 'record_offset',
                                                            'superseded_by']),
    ('daybook_read',  'migration',   ARRAY['SELECT'],                               NULL),
    ('daybook_read',  'generation',  ARRAY['SELECT'], ARRAY['id', 'view', 'state', 'table_name', 'table_oid', 'definition',
                                                            'definition_text', 'created_at', 'cluster_id', 'paused',
                                                            'paused_at', 'reader', 'description']),
    ('daybook_read',  'view_head',   ARRAY['SELECT'],                               NULL),
    ('daybook_read',  'change',      ARRAY['SELECT'],                               NULL),
    ('daybook_read',  'position',    ARRAY['SELECT'],                               NULL),
    ('daybook_read',  'position_move', ARRAY['SELECT'],                             NULL),
    ('daybook_read',  'dead_letter', ARRAY['SELECT'], ARRAY['id', 'generation', 'topic', 'partition', 'record_offset', 'superseded_by',
                                                            'record_time', 'code', 'event_type', 'state', 'created_at'])
),
role AS (SELECT oid, rolname AS name FROM pg_roles WHERE rolname IN ('daybook_migrate', 'daybook_write', 'daybook_read')),
owner AS (SELECT oid, name FROM role WHERE name = 'daybook_migrate'),
view_table AS (
    SELECT c.oid, c.relowner, c.relnamespace, g.definition ->> 'kind' AS kind
    FROM daybook.generation g JOIN pg_class c ON c.oid = g.table_oid
    WHERE g.state = 'live'
),
own_table AS (
    SELECT c.oid, c.relname, c.relowner FROM pg_class c
    WHERE c.relnamespace = 'daybook'::regnamespace AND c.relkind IN ('r', 'p')
),
own_function AS (SELECT p.oid, p.proowner FROM pg_proc p WHERE p.pronamespace = 'daybook'::regnamespace),
-- Where views are, and where the next ones will be made.
view_schema AS (
    SELECT n.oid, n.nspname FROM pg_namespace n
    WHERE n.oid IN (SELECT relnamespace FROM view_table)
       OR n.nspname = (SELECT c.name FROM unnest(current_schemas(false)) WITH ORDINALITY AS c (name, place)
                       WHERE c.name <> 'daybook' ORDER BY c.place LIMIT 1)
),
missing (step, statement) AS (
    SELECT 1, format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', s.nspname, o.name)
    FROM view_schema s, owner o
    WHERE s.nspname <> 'daybook' AND NOT (has_schema_privilege(o.oid, s.oid, 'CREATE') AND has_schema_privilege(o.oid, s.oid, 'USAGE'))
    UNION ALL
    SELECT 2, format('ALTER SCHEMA daybook OWNER TO %I', o.name)
    FROM pg_namespace n, owner o WHERE n.nspname = 'daybook' AND n.nspowner <> o.oid
    UNION ALL
    SELECT 3, format('ALTER TABLE %s OWNER TO %I', t.oid::regclass, o.name)
    FROM (SELECT oid, relowner FROM own_table UNION SELECT oid, relowner FROM view_table) t, owner o
    WHERE t.relowner <> o.oid
    UNION ALL
    SELECT 3, format('ALTER ROUTINE %s OWNER TO %I', f.oid::regprocedure, o.name)
    FROM own_function f, owner o WHERE f.proowner <> o.oid
    UNION ALL
    SELECT 4, format('GRANT USAGE ON SCHEMA %I TO %I', s.nspname, r.name)
    FROM (SELECT oid, nspname FROM view_schema UNION SELECT oid, nspname FROM pg_namespace WHERE nspname = 'daybook') s,
         role r
    WHERE NOT has_schema_privilege(r.oid, s.oid, 'USAGE')
    UNION ALL
    SELECT 5, format('GRANT %s ON %s TO %I',
                     (SELECT string_agg(p || CASE WHEN b.columns IS NULL THEN '' ELSE
                             (SELECT ' (' || string_agg(format('%I', c), ', ') || ')' FROM unnest(b.columns) AS c) END, ', ')
                      FROM unnest(b.privileges) AS p),
                     t.oid::regclass, r.name)
    FROM bookkeeping b JOIN role r ON r.name = b.role_name JOIN own_table t ON t.relname = b.table_name
    WHERE EXISTS (SELECT FROM unnest(b.privileges) AS p WHERE CASE WHEN b.columns IS NULL
                  THEN NOT has_table_privilege(r.oid, t.oid, p)
                  ELSE EXISTS (SELECT FROM unnest(b.columns) AS c WHERE NOT has_column_privilege(r.oid, t.oid, c, p)) END)
    UNION ALL
    SELECT 5, format('GRANT EXECUTE ON ROUTINE %s TO %I', f.oid::regprocedure, r.name)
    FROM own_function f, role r
    WHERE r.name = 'daybook_write' AND NOT has_function_privilege(r.oid, f.oid, 'EXECUTE')
    UNION ALL
    SELECT 5, format('GRANT %s ON %s TO %I', array_to_string(w.privileges, ', '), t.oid::regclass, r.name)
    FROM view_table t,
         (VALUES ('daybook_write', ARRAY['SELECT', 'INSERT', 'UPDATE']), ('daybook_read', ARRAY['SELECT'])) AS w (role_name, privileges)
         JOIN role r ON r.name = w.role_name
    WHERE EXISTS (SELECT FROM unnest(w.privileges) AS p WHERE NOT has_table_privilege(r.oid, t.oid, p))
    UNION ALL
    -- Rows of a `latest` view can go, and what is known of them is beside them.
    SELECT 5, format('GRANT DELETE ON %s TO %I', t.oid::regclass, r.name)
    FROM view_table t, role r
    WHERE t.kind = 'latest' AND r.name = 'daybook_write' AND NOT has_table_privilege(r.oid, t.oid, 'DELETE')
    UNION ALL
    SELECT 5, format('GRANT %s ON %s TO %I', array_to_string(w.privileges, ', '), t.oid::regclass, r.name)
    FROM own_table t,
         (VALUES ('daybook_write', ARRAY['SELECT', 'INSERT', 'UPDATE']), ('daybook_read', ARRAY['SELECT'])) AS w (role_name, privileges)
         JOIN role r ON r.name = w.role_name
    WHERE t.relname ~ '^state_[0-9]+$'
      AND EXISTS (SELECT FROM unnest(w.privileges) AS p WHERE NOT has_table_privilege(r.oid, t.oid, p))
)
SELECT statement FROM missing ORDER BY step, statement
