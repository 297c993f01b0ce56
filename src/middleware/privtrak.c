/*
 * privtrak: the account. Compares the announce's counters with the session's baseline,
 * says what is credited, counts seed and leech time and the snatch, and decides what becomes of
 * the session. Rule numbers are those of section 6 of the specification.
 */
#include "deltas/delta.h"
#include "middleware/accounting.h"
#include "middleware/departure.h"
#include "middleware/stages.h"
#include "tracker/tracker.h"

enum {
    SESSIONS_KEPT = 256, /* of one user on one torrent, tombstones included: bounds what a restart loop can store */
};

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Rule 9: upload percent is the largest of global, user and torrent, download percent the smallest. */
static struct accounting_terms terms_of(const struct context *context, const struct announce *announce)
{
    const struct multipliers *global = context->multipliers;
    uint32_t up = 100, down = 100;
    int64_t until_s = __atomic_load_n(&global->until_s, __ATOMIC_RELAXED);
    if (until_s == 0 || context->now_ms / 1000 < until_s) {
        up = __atomic_load_n(&global->upload_percent, __ATOMIC_RELAXED);
        down = __atomic_load_n(&global->download_percent, __ATOMIC_RELAXED);
    }
    return (struct accounting_terms){
        .max_rate = context->config->middleware.max_rate_bytes_per_s,
        .upload_percent = larger(up, larger(announce->user->upload_percent, torrent_upload_percent(announce->torrent))),
        .download_percent =
            smaller(down, smaller(announce->user->download_percent, torrent_download_percent(announce->torrent))),
    };
}

static uint8_t place_in_swarm(const struct announce *announce)
{
    return announce->left == 0 ? PLACE_SEEDER : PLACE_LEECHER;
}

static void count_twin(struct context *context, struct announce *announce)
{
    announce->credit.flags |= DELTA_DUPLICATE;
    counter_add(&context->counters->duplicates, 1);
}

/* Forgets the user's oldest tombstone where there are too many; a snatch that it knew of goes on to the new session. */
static void bound_sessions(struct context *context, struct announce *announce)
{
    const struct others *others = &announce->others;
    if (others->count >= SESSIONS_KEPT && others->oldest != SLOT_NONE)
        swarm_remove(context->torrents, announce->torrent, others->oldest);
}

/* Rules 1, 4 and 5: a session that was unknown. Nothing is credited. */
static void first_announce(struct context *context, struct announce *announce)
{
    if (announce->event == EVENT_STOPPED) {
        announce->verdict = VERDICT_EMPTY;
        return;
    }
    if (announce->ends_with_failure) {
        announce_refuse(announce, VERDICT_REFUSED, announce->failure, 0);
        return;
    }
    bound_sessions(context, announce);
    announce->slot = swarm_add(context->torrents, announce->torrent, announce->user->index, announce->peer_id);
    if (announce->slot == SLOT_NONE) {
        announce_refuse(announce, VERDICT_OVERLOAD, "the tracker is out of memory", 60);
        return;
    }
    struct session *session = swarm_session(announce->torrent, announce->slot);
    announce->session = session;
    session->uploaded = announce->uploaded;
    session->downloaded = announce->downloaded;
    session->flags = (uint8_t)((announce->left > 0 ? SESSION_BEGAN_LEECHING : 0) |
                               (announce->others.has_snatched ? SESSION_SNATCHED : 0));
    announce->credit.flags |= DELTA_FIRST;
    if (announce->others.has_twin)
        count_twin(context, announce);
    announce->place = place_in_swarm(announce);
    announce->changes_session = true;
    announce->takes_endpoint = true;
}

/* Rule 10, for the gap that this announce ends; `place` is where the session was in it. */
static void count_time(struct context *context, struct announce *announce, enum swarm_place place)
{
    const struct session *session = announce->session;
    if (place == PLACE_TOMBSTONE)
        return;
    struct seed_marks *marks = torrents_seed_marks(context->torrents);
    uint32_t torrent = torrent_number(announce->torrent), user = announce->user->index;
    struct seed_mark none = {.seed_s = 0};
    bool is_alone = announce->others.active == 0;
    struct seed_mark *mark = NULL;
    if (!is_alone)
        mark = seed_marks_make(marks, torrent, user);
    else if (announce->others.count > 0 || departure_keeps_marks(context->config)) /* else departure has dropped it */
        mark = seed_marks_find(marks, torrent, user);
    if (mark == NULL)
        mark = &none;
    uint32_t from_s = (uint32_t)(session_last_since_base(session) / 1000);
    uint32_t now_s = (uint32_t)((context->now_ms - TIME_BASE_MS) / 1000);
    uint32_t longest_s = context->config->middleware.seed_time_gap_s;
    if (place == PLACE_SEEDER)
        announce->credit.seed_time_s = accounting_time(from_s, now_s, longest_s, &mark->seed_s);
    else
        announce->credit.leech_time_s = accounting_time(from_s, now_s, longest_s, &mark->leech_s);
    if (mark != &none && is_alone)
        seed_marks_drop(marks, torrent, user); /* alone again, and no mark reaches beyond now */
}

/* Rule 6. */
static void count_snatch(struct announce *announce, struct session *session)
{
    bool completes = announce->left == 0 || announce->event == EVENT_COMPLETED;
    bool has_snatched = announce->others.has_snatched || session->flags & SESSION_SNATCHED;
    if (!completes || has_snatched || !(session->flags & SESSION_BEGAN_LEECHING))
        return;
    session->flags |= SESSION_SNATCHED;
    announce->torrent->snatches++;
    announce->credit.flags |= DELTA_SNATCHED;
}

/* Rule 12: too early; counted, but no peers. */
static bool is_too_early(const struct context *context, const struct announce *announce, const struct session *session,
                         bool in_swarm)
{
    uint16_t family_flag = announce->source.family == 4 ? SESSION_HAS4 : SESSION_HAS6;
    if (!in_swarm || announce->event == EVENT_COMPLETED || announce->event == EVENT_STOPPED ||
        !(session->flags & family_flag) || !(session->flags & SESSION_GIVEN_PEER))
        return false;
    int64_t least_ms = (int64_t)context->config->tracker.min_announce_interval_s * 1000;
    return context->now_ms - session_last_ms(session) < least_ms;
}

/* Rule 2, last part: it changes nothing, but that `stopped` ends the session and a new family's endpoint is taken. */
static void late_announce(struct context *context, struct announce *announce, struct session *session, bool in_swarm)
{
    announce->is_late = true;
    bool has_family = session->flags & (announce->source.family == 4 ? SESSION_HAS4 : SESSION_HAS6);
    if (announce->event == EVENT_STOPPED && in_swarm) {
        session->flags |= SESSION_STOPPED;
        session_set_last_ms(session, context->now_ms);
        announce->place = PLACE_TOMBSTONE;
        announce->changes_session = true;
    } else if (in_swarm && !has_family && announce->event != EVENT_STOPPED) {
        announce->takes_endpoint = true;
        announce->changes_session = true;
    }
}

/* Sets the amounts of an announce that is no late copy, and moves the baseline. */
static void credit_difference(struct context *context, struct announce *announce, struct session *session,
                              enum arrival arrival)
{
    if (arrival == ARRIVAL_RESTART) {
        announce->credit.flags |= DELTA_RESET;
        counter_add(&context->counters->resets, 1);
    } else if (announce->others.has_twin) {
        count_twin(context, announce);
    } else if (announce->uploaded > session->uploaded || announce->downloaded > session->downloaded) {
        struct accounting_terms terms = terms_of(context, announce);
        accounting_credit(&announce->credit, announce->uploaded - session->uploaded,
                          announce->downloaded - session->downloaded, context->now_ms - session_last_ms(session),
                          &terms);
        if (announce->credit.flags & DELTA_CLAMPED)
            counter_add(&context->counters->clamps, 1);
    }
    session->uploaded = announce->uploaded;
    session->downloaded = announce->downloaded;
}

/* Counted, but the session stays out (rule 2: overtaken by its stop). Its stop keeps its time. */
static void announce_after_stop(struct announce *announce)
{
    announce->place = PLACE_TOMBSTONE;
    announce->wants_no_peers = true;
    const struct credit *credit = &announce->credit;
    announce->changes_session = credit->uploaded > 0 || credit->downloaded > 0 || credit->flags != 0;
}

/* What the session is from now on. */
static void settle_session(struct context *context, struct announce *announce, struct session *session)
{
    session_set_last_ms(session, context->now_ms);
    announce->changes_session = true;
    if (announce->event == EVENT_STOPPED || announce->ends_with_failure) {
        announce->place = PLACE_TOMBSTONE;
        if (announce->event == EVENT_STOPPED)
            session->flags |= SESSION_STOPPED;
    } else {
        announce->place = place_in_swarm(announce);
        announce->takes_endpoint = true;
        session->flags &= (uint8_t)~SESSION_STOPPED;
    }
}

static void next_announce(struct context *context, struct announce *announce)
{
    struct session *session = announce->session;
    enum swarm_place place = swarm_place(announce->torrent, announce->slot);
    bool in_swarm = place != PLACE_TOMBSTONE;
    announce->place = (uint8_t)place;
    announce->wants_no_peers = is_too_early(context, announce, session, in_swarm);
    enum arrival arrival = accounting_arrival(session, in_swarm, announce, context->now_ms);
    if (arrival == ARRIVAL_LATE) {
        late_announce(context, announce, session, in_swarm);
        return;
    }
    bool after_stop = accounting_is_after_stop(session, in_swarm, announce, context->now_ms);
    count_time(context, announce, place);
    credit_difference(context, announce, session, arrival);
    count_snatch(announce, session);
    session_set_left(session, announce->left);
    if (after_stop)
        announce_after_stop(announce);
    else
        settle_session(context, announce, session);
}

/* Rule 11: who is told to wait gets no peers, with a warning. */
static void apply_rights(struct announce *announce)
{
    if (announce->torrent->state == TORRENT_PENDING) {
        const struct torrent_extra *extra = torrent_extra(announce->torrent);
        announce->wants_no_peers = true;
        announce->warning =
            extra != NULL && extra->reason != NULL ? extra->reason : "this torrent waits for the moderators' approval";
    } else if (announce->left > 0 && !(announce->user->flags & USER_CAN_LEECH)) {
        announce->wants_no_peers = true;
        announce->warning = "you have no right to leech at present";
    }
}

static void privtrak_run(struct context *context, struct announce *announce)
{
    if (announce->verdict != VERDICT_ACCEPTED)
        return;
    if (announce->session == NULL)
        first_announce(context, announce);
    else
        next_announce(context, announce);
    if (announce->verdict != VERDICT_ACCEPTED)
        return;
    apply_rights(announce);
    if (announce->is_late)
        return;
    struct session *session = announce->session;
    if (announce->credit.flags & DELTA_FIRST) {
        session_set_left(session, announce->left);
        session_set_last_ms(session, context->now_ms);
    }
    session->key = announce->key;
    session->port = announce->source.port;
}

const struct stage_type stage_privtrak = {
    .name = "privtrak",
    .run_one = privtrak_run,
};
