-- Workers notify after their commits.
LISTEN daybook_change_{{generation}}
