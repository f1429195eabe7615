-- What the replicas of a fleet share, and the functions by which they do. Made by `mailshim fleet init` as the schema's
-- owner; may be run again at any time. The role that replicas sign in as needs USAGE, EXECUTE and DML on it, no more.
--
-- Every time is this server's clock_timestamp(), read after the lock on the mailbox's row: a clock that was read before
-- would let two replicas have the same moment.

create schema if not exists {schema};

create table if not exists {schema}.meta (
    only_row boolean primary key default true check (only_row),
    version int not null
);

create table if not exists {schema}.mailbox (
    id bigint generated always as identity primary key,
    name text not null unique,
    -- The pace: when mails went within the last minute, and when those go that are booked. Sorted, each once.
    sent timestamptz[] not null default '{}',
    -- Bookings are not synced: another server, or this one started again, may have lost some, so that the minute counts
    -- as full.
    server_started timestamptz not null default pg_postmaster_start_time(),
    full_until timestamptz not null default '-infinity',
    paused_until timestamptz not null default '-infinity',
    paused_by text not null default '',
    -- The breaker on sign-ins: null where it is closed. Past its time one replica probes.
    breaker_until timestamptz,
    breaker_lasts interval,
    breaker_by text not null default '',
    trial_by text not null default '',
    trial_until timestamptz not null default '-infinity',
    -- Fewer connections than configured, after a 432; null for all.
    connections int,
    grow_at timestamptz
);

-- A connection is a lease: `epoch` grows with each taking, and every write by a holder carries it.
create table if not exists {schema}.slot (
    mailbox bigint not null references {schema}.mailbox on delete cascade,
    n int not null,
    pod text not null,
    epoch bigint not null default 1,
    taken timestamptz not null,
    until timestamptz not null,
    primary key (mailbox, n)
);

create table if not exists {schema}.waiting (
    mailbox bigint not null references {schema}.mailbox on delete cascade,
    pod text not null,
    since timestamptz not null,
    seen timestamptz not null,
    primary key (mailbox, pod)
);

create table if not exists {schema}.pod (
    name text primary key,
    seen timestamptz not null,
    connections int not null,
    per_minute int not null,
    per_day bigint not null,
    version text not null,
    reached boolean not null default true
);

create table if not exists {schema}.recipients (
    mailbox bigint not null references {schema}.mailbox on delete cascade,
    -- Ten minutes each, counted from 1970.
    step bigint not null,
    count bigint not null,
    primary key (mailbox, step)
);

create or replace function {schema}.stamp_of(t timestamptz) returns bigint language sql immutable as
$$ select round(extract(epoch from t) * 1000000)::bigint $$;

-- Those that still count at `now`, without the one that is given back.
create or replace function {schema}.counted(sent timestamptz[], now timestamptz, back bigint)
returns timestamptz[] language sql immutable as
$$ select coalesce(array_agg(t order by t), '{}') from unnest(sent) t
   where t > now - interval '61 seconds' and (back is null or {schema}.stamp_of(t) <> back) $$;

-- The next free time: an exact sliding window. It never lies before the last one, so that whatever window of a minute one
-- looks through, the last mail in it was judged by all the others. The minute has 61 seconds: a mail may be late by half
-- a second without being stamped again, and the next minute's mails must not come too close behind it.
create or replace function {schema}.next_free(sent timestamptz[], now timestamptz, per_minute int)
returns timestamptz language sql immutable as
$$ select case
     when per_minute <= 0 then now
     else greatest(
       now,
       sent[cardinality(sent)] + interval '1 microsecond',
       case when cardinality(sent) >= per_minute
            then sent[cardinality(sent) - per_minute + 1] + interval '61 seconds' end)
   end $$;

create or replace function {schema}.milliseconds(i interval) returns bigint language sql immutable as
$$ select greatest(0, ceil(extract(epoch from i) * 1000))::bigint $$;

create or replace function {schema}.open_mailbox(name_ text) returns bigint language plpgsql as $$
declare found_id bigint;
begin
    insert into {schema}.mailbox (name) values (name_) on conflict (name) do nothing;
    select id into found_id from {schema}.mailbox where name = name_;
    return found_id;
end $$;

-- A turn for one mail. `booked`: it goes in `wait` ms, counted as `stamp`. `later`: nothing is booked; the wait.
-- `lost`: the slot is another's. `paused`, `refused`, `used_up`: for `wait` ms, because of `words`.
create or replace function {schema}.reserve(
    mailbox_ bigint, pod_ text, n_ int, epoch_ bigint, per_minute_ int, per_day_ bigint, recipients_ int,
    back_ bigint, horizon_ bigint,
    out state text, out wait bigint, out stamp bigint, out others boolean, out words text)
language plpgsql as $$
declare
    m {schema}.mailbox;
    now_ timestamptz;
    free timestamptz;
    step_ bigint;
    used bigint;
    first_step bigint;
begin
    -- In this transaction, not as the function's own setting: that would be gone before the commit.
    perform set_config('synchronous_commit', 'off', true);
    select * into m from {schema}.mailbox where id = mailbox_ for update;
    now_ := clock_timestamp();
    wait := 0;
    stamp := 0;
    words := '';
    others := exists (select from {schema}.waiting w
                      where w.mailbox = mailbox_ and w.pod <> pod_ and w.seen > now_ - interval '6 seconds');
    m.sent := {schema}.counted(m.sent, now_, back_);
    if m.server_started <> pg_postmaster_start_time() then
        m.server_started := pg_postmaster_start_time();
        m.full_until := now_ + interval '60 seconds';
    end if;
    step_ := floor(extract(epoch from now_) / 600)::bigint;
    if back_ is not null and per_day_ > 0 then
        perform {schema}.give_back(mailbox_, recipients_, now_);
    end if;
    if n_ is not null then
        update {schema}.slot s set until = now_ + interval '30 seconds'
        where s.mailbox = mailbox_ and s.n = n_ and s.pod = pod_ and s.epoch = epoch_;
        if not found then state := 'lost'; end if;
    end if;
    if state is null and m.breaker_until > now_ and m.trial_by <> pod_ then
        state := 'refused';
        wait := {schema}.milliseconds(m.breaker_until - now_);
        words := m.breaker_by;
    elsif state is null and m.paused_until > now_ then
        state := 'paused';
        wait := {schema}.milliseconds(m.paused_until - now_);
        words := m.paused_by;
    end if;
    if state is null and per_day_ > 0 then
        delete from {schema}.recipients r where r.mailbox = mailbox_ and r.step < step_ - 144;
        select coalesce(sum(r.count), 0), min(r.step) into used, first_step
        from {schema}.recipients r where r.mailbox = mailbox_;
        if used >= per_day_ then
            state := 'used_up';
            wait := {schema}.milliseconds(to_timestamp((first_step + 145) * 600) - now_);
        end if;
    end if;
    if state is null then
        free := greatest({schema}.next_free(m.sent, now_, per_minute_), m.full_until);
        wait := {schema}.milliseconds(free - now_);
        if wait <= horizon_ then
            m.sent := m.sent || free;
            state := 'booked';
            stamp := {schema}.stamp_of(free);
            if per_day_ > 0 then
                insert into {schema}.recipients as r (mailbox, step, count) values (mailbox_, step_, recipients_)
                on conflict (mailbox, step) do update set count = r.count + excluded.count;
            end if;
        else
            state := 'later';
        end if;
    end if;
    update {schema}.mailbox set sent = m.sent, server_started = m.server_started, full_until = m.full_until
    where id = mailbox_;
end $$;

create or replace function {schema}.give_back(mailbox_ bigint, recipients_ int, now_ timestamptz) returns void
language sql as $$
    update {schema}.recipients r set count = greatest(0, r.count - recipients_)
    where r.mailbox = mailbox_
      and r.step = (select max(step) from {schema}.recipients where mailbox = mailbox_)
$$;

-- A slot for one connection. `taken`: slot n with its epoch. `later`: ask again in `wait` ms; one keeps one's place in
-- the line by asking. `refused`, `paused`: for `wait` ms, because of `words`. Past the breaker's time one replica probes.
create or replace function {schema}.take(
    mailbox_ bigint, pod_ text, connections_ int,
    out state text, out n_ int, out epoch_ bigint, out wait bigint, out words text)
language plpgsql as $$
declare
    m {schema}.mailbox;
    now_ timestamptz;
    since_ timestamptz;
    mine bigint;
    allowed int;
    free int;
    ahead int;
begin
    perform set_config('synchronous_commit', 'off', true);
    select * into m from {schema}.mailbox where id = mailbox_ for update;
    now_ := clock_timestamp();
    n_ := 0;
    epoch_ := 0;
    wait := 0;
    words := '';
    if m.breaker_until is not null then
        if m.breaker_until > now_ then
            state := 'refused';
            wait := {schema}.milliseconds(m.breaker_until - now_);
            words := m.breaker_by;
            return;
        elsif m.trial_until > now_ and m.trial_by <> pod_ then
            state := 'refused';
            wait := {schema}.milliseconds(m.trial_until - now_);
            words := m.breaker_by;
            return;
        end if;
    end if;
    allowed := connections_;
    if m.connections is not null then
        while m.grow_at <= now_ and m.connections < connections_ loop
            m.connections := m.connections + 1;
            m.grow_at := m.grow_at + interval '120 seconds';
        end loop;
        if m.connections >= connections_ then
            m.connections := null;
            m.grow_at := null;
        else
            allowed := m.connections;
        end if;
        update {schema}.mailbox set connections = m.connections, grow_at = m.grow_at where id = mailbox_;
    end if;
    insert into {schema}.waiting as w (mailbox, pod, since, seen) values (mailbox_, pod_, now_, now_)
    on conflict (mailbox, pod) do update
        set seen = now_, since = case when w.seen < now_ - interval '6 seconds' then now_ else w.since end
    returning since into since_;
    -- Until its holder has surely closed the connection a slot is taken, whoever has it.
    select allowed - count(*) into free from {schema}.slot s
    where s.mailbox = mailbox_ and s.until + interval '15 seconds' > now_;
    select count(*) into mine from {schema}.slot s
    where s.mailbox = mailbox_ and s.pod = pod_ and s.until > now_;
    -- Who has fewer comes first, then who waits longer.
    select count(*) into ahead from {schema}.waiting w
    where w.mailbox = mailbox_ and w.pod <> pod_ and w.seen > now_ - interval '6 seconds'
      and ((select count(*) from {schema}.slot s
            where s.mailbox = mailbox_ and s.pod = w.pod and s.until > now_), w.since) < (mine, since_);
    if ahead >= free then
        state := 'later';
        wait := least(2500, 250 + 250 * ahead);
        return;
    end if;
    -- A taking that the server forgot would be a fourth connection.
    perform set_config('synchronous_commit', 'on', true);
    select g into n_ from generate_series(1, 1000) g
    where not exists (select from {schema}.slot s
                      where s.mailbox = mailbox_ and s.n = g and s.until + interval '15 seconds' > now_)
    order by g limit 1;
    insert into {schema}.slot as s (mailbox, n, pod, taken, until)
    values (mailbox_, n_, pod_, now_, now_ + interval '30 seconds')
    on conflict (mailbox, n) do update
        set pod = excluded.pod, epoch = s.epoch + 1, taken = excluded.taken, until = excluded.until
    returning s.epoch into epoch_;
    delete from {schema}.waiting w where w.mailbox = mailbox_ and w.pod = pod_;
    if m.breaker_until is not null then
        update {schema}.mailbox set trial_by = pod_, trial_until = now_ + interval '60 seconds' where id = mailbox_;
        words := 'probe';
    end if;
    state := 'taken';
end $$;

create or replace function {schema}.release(mailbox_ bigint, pod_ text, n_ int, epoch_ bigint) returns void
language plpgsql as $$
begin
    perform set_config('synchronous_commit', 'off', true);
    update {schema}.slot set until = '-infinity', pod = ''
    where mailbox = mailbox_ and n = n_ and pod = pod_ and epoch = epoch_;
end $$;

-- A mail that was booked did not go: its place in the minute, and its recipients, are another's.
create or replace function {schema}.withdraw(mailbox_ bigint, stamp_ bigint, recipients_ int) returns void
language plpgsql as $$
declare now_ timestamptz;
begin
    perform set_config('synchronous_commit', 'off', true);
    perform 1 from {schema}.mailbox where id = mailbox_ for update;
    now_ := clock_timestamp();
    update {schema}.mailbox set sent = {schema}.counted(sent, now_, stamp_) where id = mailbox_;
    perform {schema}.give_back(mailbox_, recipients_, now_);
end $$;

-- What one replica was told by Office 365: `pause` for ms_, `fewer` connections and a pause (432), `breaker` for ms_ at
-- first and most_ at most, `signed_in`, `probe_ended`.
create or replace function {schema}.tell(
    mailbox_ bigint, pod_ text, what text, ms_ bigint, most_ bigint, words_ text) returns void
language plpgsql as $$
declare
    m {schema}.mailbox;
    now_ timestamptz;
    lasts interval := ms_ * interval '1 millisecond';
begin
    perform set_config('synchronous_commit', 'off', true);
    select * into m from {schema}.mailbox where id = mailbox_ for update;
    now_ := clock_timestamp();
    if what in ('pause', 'fewer') and m.paused_until < now_ + lasts then
        m.paused_until := now_ + lasts;
        m.paused_by := words_;
    end if;
    if what = 'fewer' then
        m.connections := greatest(1, coalesce(m.connections, most_::int) - 1);
        m.grow_at := now_ + interval '120 seconds';
    elsif what = 'breaker' then
        -- Of those that were on their way together the first has opened it.
        if m.breaker_until is null or m.breaker_until <= now_ or m.trial_by = pod_ then
            m.breaker_lasts := case when m.breaker_until is null then lasts
                                    else least(m.breaker_lasts * 2, most_ * interval '1 millisecond') end;
            m.breaker_until := now_ + m.breaker_lasts;
            m.breaker_by := words_;
            m.trial_by := '';
            m.trial_until := '-infinity';
        end if;
    elsif what = 'signed_in' then
        m.breaker_until := null;
        m.breaker_lasts := null;
        m.breaker_by := '';
        m.trial_by := '';
        m.trial_until := '-infinity';
    elsif what = 'probe_ended' and m.trial_by = pod_ then
        m.trial_by := '';
        m.trial_until := '-infinity';
    end if;
    update {schema}.mailbox set
        paused_until = m.paused_until, paused_by = m.paused_by, connections = m.connections, grow_at = m.grow_at,
        breaker_until = m.breaker_until, breaker_lasts = m.breaker_lasts, breaker_by = m.breaker_by,
        trial_by = m.trial_by, trial_until = m.trial_until
    where id = mailbox_;
end $$;

-- One replica's heartbeat, which renews all of its slots and brings back how things stand: a row `fleet` (replicas, then
-- the smallest connections, messages a minute and recipients a day of any), a row `slot` for each that is still held,
-- a row `mailbox` for each (a = 1: others wait for a slot; b: ms that it is paused for, because of words), and a row
-- `refused` where its breaker is not closed (a: ms).
create or replace function {schema}.renew(
    pod_ text, version_ text, connections_ int, per_minute_ int, per_day_ bigint,
    mailboxes_ bigint[], slot_mailboxes_ bigint[], slots_ int[], epochs_ bigint[])
returns table (kind text, mailbox bigint, n int, epoch bigint, a bigint, b bigint, c bigint, words text)
language plpgsql as $$
#variable_conflict use_column
declare now_ timestamptz := clock_timestamp();
begin
    perform set_config('synchronous_commit', 'off', true);
    insert into {schema}.pod as p (name, seen, connections, per_minute, per_day, version)
    values (pod_, now_, connections_, per_minute_, per_day_, version_)
    on conflict (name) do update set seen = now_, connections = excluded.connections,
        per_minute = excluded.per_minute, per_day = excluded.per_day, version = excluded.version;
    delete from {schema}.pod p where p.seen < now_ - interval '1 day';
    return query
        select 'fleet'::text, 0::bigint, count(*)::int, 0::bigint, min(p.connections)::bigint,
               coalesce(min(nullif(p.per_minute, 0)), 0)::bigint, coalesce(min(nullif(p.per_day, 0)), 0)::bigint, ''::text
        from {schema}.pod p where p.seen > now_ - interval '45 seconds';
    return query
        update {schema}.slot s set until = now_ + interval '30 seconds'
        from unnest(slot_mailboxes_, slots_, epochs_) as held (mailbox, n, epoch)
        where s.mailbox = held.mailbox and s.n = held.n and s.epoch = held.epoch and s.pod = pod_
        returning 'slot'::text, s.mailbox, s.n, s.epoch, 0::bigint, 0::bigint, 0::bigint, ''::text;
    return query
        select 'mailbox'::text, m.id, 0, 0::bigint,
               (exists (select from {schema}.waiting w where w.mailbox = m.id and w.pod <> pod_
                        and w.seen > now_ - interval '6 seconds'))::int::bigint,
               case when m.paused_until > now_ then {schema}.milliseconds(m.paused_until - now_) else 0 end,
               0::bigint, m.paused_by
        from {schema}.mailbox m where m.id = any (mailboxes_)
        union all
        select 'refused'::text, m.id, 0, 0::bigint,
               {schema}.milliseconds(
                   greatest(m.breaker_until, case when m.trial_by <> pod_ then m.trial_until end) - now_),
               0::bigint, 0::bigint, m.breaker_by
        from {schema}.mailbox m where m.id = any (mailboxes_) and m.breaker_until is not null;
end $$;

-- The lowest version of mailshim's schema that this one can be used by stays 1.
insert into {schema}.meta (version) values ({version})
on conflict (only_row) do update set version = greatest({schema}.meta.version, excluded.version);
