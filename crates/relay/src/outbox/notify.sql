-- Wakes the relays of the outbox at every commit that wrote to it, instead of at their next look. PostgreSQL lets
-- transactions that notify commit one after the other: on a database that is busy with writing, leave it out.
create function quash_outbox_notify() returns trigger language plpgsql as $$
begin
    notify quash_outbox;
    return null;
end
$$;
create trigger quash_outbox_notify after insert on quash_outbox
    for each statement execute function quash_outbox_notify();
