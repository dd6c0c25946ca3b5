-- The statements that make Daybook's group roles and let this user hand tables over to the first of them; no row when
-- all is there. daybook_migrate owns what Daybook makes, daybook_write is a worker, daybook_read looks and verifies.
SELECT format('CREATE ROLE %I NOLOGIN', r.name), 1 AS step
FROM unnest(ARRAY['daybook_migrate', 'daybook_write', 'daybook_read']) AS r (name)
WHERE NOT EXISTS (SELECT FROM pg_roles p WHERE p.rolname = r.name)
UNION ALL
SELECT format('GRANT %I TO %I', p.rolname, current_user), 2
FROM pg_roles p
WHERE p.rolname = 'daybook_migrate' AND NOT pg_has_role(current_user, p.oid, 'USAGE')
ORDER BY step
