-- A partition of a log, for its file.
COPY (SELECT {{columns}} FROM {{table}} ORDER BY {{key}}) TO STDOUT (FORMAT csv, HEADER)
