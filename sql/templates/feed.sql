    -- A rippled row is never one of the batch's own.
    IF {{nothing_changed}} THEN
        v_kind := 'none';
    ELSIF cardinality(p_k1) + v_rippled <= {{feed_rows_max}} THEN
        v_kind := 'rows';
{{feed_rippled_rows}}        v_body := '[' || v_body || ']';
    ELSIF cardinality(p_k1) <= {{feed_keys_max}} THEN
        v_kind := 'keys';
        SELECT '{"keys":[' || string_agg({{key_json}}, ',') || '],"ranges":[' INTO v_body
        FROM unnest({{key_arguments}}) AS b ({{key_names}});
{{feed_ranges}}        v_body := v_body || ']}';
    ELSE
        v_kind := 'reset';
        v_body := '';
    END IF;
    INSERT INTO daybook.change (generation, slot, seq, nonce, committed_at, kind, topics, partitions, next_offsets, body)
    VALUES ({{generation}}, v_change_slot, v_seq, v_nonce, v_now, v_kind, p_topics, p_partitions, p_to, v_body);
