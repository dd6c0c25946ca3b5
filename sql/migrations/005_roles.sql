-- Workers run with few rights (docs/security.md), and what they call must not find other people's functions or tables:
-- the search path is fixed. The commit functions have it from their template. The roles themselves and their grants are
-- brought up to date by each `daybook migrate` and `daybook views apply`: sql/queries.
ALTER FUNCTION daybook.take(int, text, text, text[], int[], bigint[]) SET search_path = pg_catalog, pg_temp;
