-- A standby has no notifications.
SELECT pg_is_in_recovery()
