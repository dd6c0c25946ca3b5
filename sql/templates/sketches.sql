-- What views with quantiles or distinct values need: sketches as arrays of integers (core/sketch.h has their form),
-- merged by the commit function and read by generated columns. Integers only: each machine and each order gives the same.
-- Made by `daybook views apply`.

-- Counts of the same bucket are added up.
CREATE OR REPLACE FUNCTION daybook.merge_counts(p_sketch bigint[], p_more bigint[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT array_agg((m.bucket << 40) | m.events ORDER BY m.bucket)
    FROM (SELECT e >> 40 AS bucket, sum(e & 1099511627775)::bigint AS events
          FROM unnest(p_sketch || p_more) AS e GROUP BY e >> 40) m
$$;

-- Of the same register the greatest rank stays.
CREATE OR REPLACE FUNCTION daybook.merge_ranks(p_sketch bigint[], p_more bigint[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT array_agg(m.entry ORDER BY m.entry)
    FROM (SELECT max(e) AS entry FROM unnest(p_sketch || p_more) AS e GROUP BY e >> 8) m
$$;

-- The middle of the bucket that holds the value of rank floor(q * (n - 1)), counted from 0.
CREATE OR REPLACE FUNCTION daybook.quantile_of(p_sketch bigint[], p_millionths int) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_entry bigint;
    v_left bigint := 0;
    v_bucket bigint;
    v_shift int;
BEGIN
    FOREACH v_entry IN ARRAY p_sketch LOOP
        v_left := v_left + (v_entry & 1099511627775);
    END LOOP;
    v_left := p_millionths * (v_left - 1) / 1000000;
    FOREACH v_entry IN ARRAY p_sketch LOOP
        v_left := v_left - (v_entry & 1099511627775);
        EXIT WHEN v_left < 0;
    END LOOP;
    v_bucket := abs(v_entry >> 40);
    IF v_bucket >= 128 THEN
        -- 64 buckets to each power of two; the middle of this one's integers.
        v_shift := v_bucket / 64 - 1;
        v_bucket := ((v_bucket - v_shift * 64) << v_shift) + ((1::bigint << v_shift) - 1) / 2;
    END IF;
    RETURN CASE WHEN v_entry < 0 THEN -v_bucket ELSE v_bucket END;
END
$$;

-- About how many different values there were (O. Ertl, "New cardinality estimation algorithms for HyperLogLog sketches",
-- 2017, the improved estimator, in fixed point): 4096^2 / (2 ln 2) / (4096 * sigma(share of empty registers) + sum of 2^-rank).
CREATE OR REPLACE FUNCTION daybook.distinct_of(p_sketch bigint[]) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_empty bigint := 4096 - coalesce(cardinality(p_sketch), 0);
    v_entry bigint;
    v_ranks bigint := 0;     -- times 2^36
    v_share bigint;          -- times 2^30
    v_sigma bigint;          -- times 2^30
    v_weight bigint := 1;
BEGIN
    IF v_empty = 4096 THEN
        RETURN 0;
    END IF;
    FOREACH v_entry IN ARRAY p_sketch LOOP
        v_ranks := v_ranks + (68719476736 >> (v_entry & 255)::int);
    END LOOP;
    v_share := v_empty << 18;
    v_sigma := v_share;
    LOOP
        v_share := (v_share * v_share) >> 30;
        EXIT WHEN v_share = 0;
        v_sigma := v_sigma + v_share * v_weight;
        v_weight := v_weight * 2;
    END LOOP;
    v_ranks := v_ranks + (v_sigma << 18);
    -- 12102203 * 2^36, rounded to the nearest.
    RETURN (831657057512849408 + v_ranks / 2) / v_ranks;
END
$$;
