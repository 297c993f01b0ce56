/* The generators' engine: see load.h. Runs in the generator's threads. */
#include "bench/load.h"

#include <netinet/in.h>
#include <string.h>

enum {
    MOVE_ONE_IN = 256,       /* turns at which a peer changes its address */
    LATE_ONE_IN = 64,        /* announces that an older copy of follows */
    FOLLOW_UP_MS = 5 * 1000, /* older ones are dropped */
    LOOK_AHEAD = 64,         /* peers that are passed over at most because they wait for an answer */
    WAIT_MAX_NS = 10 * 1000 * 1000,
};

static bool is_open_loop(const struct load_thread *thread)
{
    return thread->load->settings.rate > 0 && (thread->phase == PHASE_RUN || thread->phase == PHASE_WARM_UP);
}

uint32_t load_due(const struct load_thread *thread, uint32_t limit)
{
    if (thread->phase == PHASE_DRAIN)
        return 0;
    if (thread->phase == PHASE_RUN && thread->budget < limit)
        limit = (uint32_t)thread->budget;
    if (!is_open_loop(thread))
        return limit;
    double due = (double)(thread->now_ns - thread->phase_start_ns) / thread->interval_ns + 1;
    uint64_t scheduled = (uint64_t)due;
    if (scheduled <= thread->issued)
        return 0;
    uint64_t count = scheduled - thread->issued;
    return count < limit ? (uint32_t)count : limit;
}

int64_t load_wait_ns(const struct load_thread *thread)
{
    if (!is_open_loop(thread) || (thread->phase == PHASE_RUN && thread->budget == 0))
        return WAIT_MAX_NS;
    int64_t next = thread->phase_start_ns + (int64_t)((double)thread->issued * thread->interval_ns);
    int64_t wait = next - thread->now_ns;
    if (wait < 0)
        return 0;
    return wait < WAIT_MAX_NS ? wait : WAIT_MAX_NS;
}

/* The list of requests in flight, by the time of sending. */

static void list_append(struct load_thread *thread, uint32_t index)
{
    struct request *request = &thread->requests[index];
    request->older = thread->newest;
    request->newer = REQUEST_NONE;
    if (thread->newest != REQUEST_NONE)
        thread->requests[thread->newest].newer = index;
    else
        thread->oldest = index;
    thread->newest = index;
}

static void list_remove(struct load_thread *thread, uint32_t index)
{
    const struct request *request = &thread->requests[index];
    if (request->older != REQUEST_NONE)
        thread->requests[request->older].newer = request->newer;
    else
        thread->oldest = request->newer;
    if (request->newer != REQUEST_NONE)
        thread->requests[request->newer].older = request->older;
    else
        thread->newest = request->older;
}

static void finish(struct load_thread *thread, uint32_t index)
{
    struct request *request = &thread->requests[index];
    list_remove(thread, index);
    request->attempts = 0;
    request->generation++;
    thread->lanes[request->lane].in_flight--;
    if (request->action == ACTION_ANNOUNCE)
        thread->peers[request->peer].in_flight--;
    thread->free_requests[thread->free_count++] = index;
}

uint32_t load_expired(const struct load_thread *thread)
{
    if (thread->oldest == REQUEST_NONE)
        return REQUEST_NONE;
    int64_t age = thread->now_ns - thread->requests[thread->oldest].sent_ns;
    return age >= thread->load->settings.timeout_ns ? thread->oldest : REQUEST_NONE;
}

/* What a peer says soon after something else. Where there is no room, it does not say it. */
static void follow_up(struct load_thread *thread, uint16_t lane_index, uint32_t peer, bool late)
{
    struct lane *lane = &thread->lanes[lane_index];
    if (lane->follow_tail - lane->follow_head == FOLLOW_UPS)
        return;
    lane->follow_ups[lane->follow_tail++ % FOLLOW_UPS] = (struct follow_up){peer, late, thread->now_ns};
    thread->peers[peer].in_flight++;
}

static bool next_follow_up(struct load_thread *thread, struct lane *lane, struct request *request)
{
    while (lane->follow_head != lane->follow_tail) {
        const struct follow_up *next = &lane->follow_ups[lane->follow_head++ % FOLLOW_UPS];
        request->peer = next->peer;
        request->late = next->late;
        if (thread->now_ns - next->made_ns < INT64_C(1000000) * FOLLOW_UP_MS)
            return true;
        thread->peers[next->peer].in_flight--;
    }
    return false;
}

/* Two idle peers of different lanes change places, and with that their addresses. */
static void move_peer(struct load_thread *thread, const struct lane *lane, uint32_t peer)
{
    const struct lane *other = &thread->lanes[random_below(&thread->random, thread->lane_count)];
    if (other == lane || other->family != lane->family || other->peer_count == 0)
        return;
    struct peer *there = &thread->peers[other->first_peer + random_below(&thread->random, other->peer_count)];
    if (there->in_flight > 0)
        return;
    struct peer moved = thread->peers[peer];
    thread->peers[peer] = *there;
    *there = moved;
}

/* The lane's next peer that waits for nothing. */
static bool next_turn(struct load_thread *thread, struct lane *lane, uint32_t *peer)
{
    for (uint32_t i = 0; i < LOOK_AHEAD && i < lane->peer_count; i++) {
        *peer = lane->first_peer + lane->cursor;
        lane->cursor = lane->cursor + 1 == lane->peer_count ? 0 : lane->cursor + 1;
        if (thread->peers[*peer].in_flight == 0)
            return true;
    }
    return false;
}

/* While filling every peer has one turn; while settling those have one whose last announce nobody knows the fate of. */
static bool next_visit(struct load_thread *thread, struct lane *lane, uint32_t *peer)
{
    while (lane->visited < lane->peer_count) {
        *peer = lane->first_peer + lane->visited++;
        bool wanted = thread->phase == PHASE_FILL || (thread->peers[*peer].flags & PEER_UNCERTAIN) != 0;
        if (wanted && thread->peers[*peer].in_flight == 0)
            return true;
    }
    return false;
}

static bool choose_announce(struct load_thread *thread, uint16_t lane_index, struct request *request)
{
    struct lane *lane = &thread->lanes[lane_index];
    uint32_t peer;
    if (thread->phase == PHASE_FILL || thread->phase == PHASE_SETTLE) {
        if (!next_visit(thread, lane, &peer))
            return false;
    } else {
        if (!next_turn(thread, lane, &peer))
            return false;
        if (random_below(&thread->random, MOVE_ONE_IN) == 0)
            move_peer(thread, lane, peer);
    }
    peer_advance(&thread->load->world, &thread->peers[peer], &thread->random);
    thread->peers[peer].in_flight++;
    if ((thread->peers[peer].flags & PEER_DUAL) != 0 && lane->sibling != lane_index)
        follow_up(thread, lane->sibling, peer, false);
    request->peer = peer;
    request->late = false;
    return true;
}

static void choose_scrape(struct load_thread *thread, const struct lane *lane, struct request *request)
{
    request->action = ACTION_SCRAPE;
    request->peer = lane->first_peer + lane->cursor;
    request->hashes = (uint8_t)(1 + random_below(&thread->random, SCRAPE_HASHES));
    request->late = false;
}

uint32_t load_take(struct load_thread *thread, uint16_t lane_index)
{
    struct lane *lane = &thread->lanes[lane_index];
    if (thread->free_count == 0)
        return REQUEST_NONE;
    uint32_t index = thread->free_requests[thread->free_count - 1];
    struct request *request = &thread->requests[index];
    request->action = ACTION_ANNOUNCE;
    if (!next_follow_up(thread, lane, request)) {
        double scrape = thread->load->settings.scrape;
        bool normal = thread->phase == PHASE_RUN || thread->phase == PHASE_WARM_UP;
        if (normal && lane->peer_count > 0 && scrape > 0 && random_unit(&thread->random) * 100 < scrape)
            choose_scrape(thread, lane, request);
        else if (!choose_announce(thread, lane_index, request))
            return REQUEST_NONE;
    }
    thread->free_count--;
    request->lane = lane_index;
    request->attempts = 1;
    request->sent_ns = thread->now_ns;
    request->scheduled_ns = thread->now_ns;
    if (is_open_loop(thread)) {
        request->scheduled_ns = thread->phase_start_ns + (int64_t)((double)thread->issued * thread->interval_ns);
        int64_t late_ns = thread->now_ns - request->scheduled_ns;
        histogram_add(&thread->lateness, late_ns > 0 ? (uint64_t)late_ns : 0);
    }
    thread->issued++;
    if (thread->phase == PHASE_RUN)
        thread->budget--;
    lane->in_flight++;
    list_append(thread, index);
    count_add(&thread->counts.requests, 1);
    count_add(request->action == ACTION_SCRAPE ? &thread->counts.scrapes : &thread->counts.announces, 1);
    count_add(&thread->counts.late_copies, request->late);
    return index;
}

void load_describe(const struct load_thread *thread, uint32_t index, struct peer_announce *announce)
{
    const struct request *request = &thread->requests[index];
    peer_describe(&thread->load->world, &thread->peers[request->peer], request->late, announce);
}

void load_scrape_hash(const struct load_thread *thread, uint32_t index, uint32_t i,
                      uint8_t info_hash[static INFO_HASH_BYTES])
{
    const struct request *request = &thread->requests[index];
    const struct lane *lane = &thread->lanes[request->lane];
    uint32_t place = (request->peer - lane->first_peer + i) % lane->peer_count;
    world_info_hash(&thread->load->world, thread->peers[lane->first_peer + place].torrent, info_hash);
}

enum passkey_form load_passkey_form(const struct load_thread *thread, uint32_t index)
{
    int form = thread->load->settings.passkey_form;
    if (form == FORM_MIXED)
        form = (int)(thread->peers[thread->requests[index].peer].user % FORM_MIXED);
    return (enum passkey_form)form;
}

/* Tells the model of an announce that the target has answered with a success. */
static void account(struct load_thread *thread, uint32_t index)
{
    const struct request *request = &thread->requests[index];
    const struct peer *peer = &thread->peers[request->peer];
    if (request->late && thread->now_ns - request->scheduled_ns > INT64_C(1000000) * LATE_COPY_RISK_MS) {
        thread->ambiguous++;
        return;
    }
    struct peer_announce said;
    peer_describe(&thread->load->world, peer, request->late, &said);
    struct accounted_announce announce = {
        .user = peer->user,
        .torrent = peer->torrent,
        .key = said.key,
        .port = said.port,
        .event = said.event,
        .uploaded = said.uploaded,
        .downloaded = said.downloaded,
        .left = said.left,
        .time_ms = thread->now_ns / 1000000,
    };
    memcpy(announce.peer_id, said.peer_id, sizeof announce.peer_id);
    if (accounting_apply(thread->accounting, &announce, NULL) < 0)
        error_set(&thread->error, "out of memory for the ledger");
}

static void count_success(struct load_thread *thread, const struct request *request, uint32_t peers, size_t bytes)
{
    histogram_add(&thread->latency, (uint64_t)(thread->now_ns - request->scheduled_ns));
    count_add(&thread->counts.replies, 1);
    count_add(&thread->counts.reply_bytes, bytes);
    if (request->action == ACTION_ANNOUNCE) {
        count_add(&thread->counts.announce_replies, 1);
        count_add(&thread->counts.peers, peers);
    }
}

void load_succeeded(struct load_thread *thread, uint32_t index, uint32_t peers, size_t bytes)
{
    struct request *request = &thread->requests[index];
    count_success(thread, request, peers, bytes);
    if (request->action == ACTION_ANNOUNCE) {
        struct peer *peer = &thread->peers[request->peer];
        if (thread->accounting != NULL)
            account(thread, index);
        bool settles = !request->late && (peer->flags & PEER_PENDING) != 0;
        if (settles)
            peer_settle(peer);
        /* The copy travels behind what overtook it: over the same lane, and only where nothing else is on its way. */
        bool normal = thread->phase == PHASE_RUN || thread->phase == PHASE_WARM_UP;
        if (settles && normal && peer->in_flight == 1 && peer_can_be_late(peer) &&
            random_below(&thread->random, LATE_ONE_IN) == 0)
            follow_up(thread, request->lane, request->peer, true);
    }
    finish(thread, index);
}

socklen_t load_source_address(const struct load_thread *thread, uint16_t lane, struct sockaddr_storage *address)
{
    bool is_ipv6 = thread->lanes[lane].family == 6;
    if (is_ipv6 || !endpoint_is_loopback(&thread->load->settings.targets[0]))
        return 0;
    /* From 127.0.1.1 on, so that the addresses that services are bound to stay free. */
    uint32_t number = (uint32_t)(thread->index * thread->lane_count + lane);
    struct sockaddr_in in = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(UINT32_C(0x7f000101) + number / 250 * 256 + number % 250),
    };
    memcpy(address, &in, sizeof in);
    return sizeof in;
}

void load_note(struct load_thread *thread, const char *reason, size_t length)
{
    char text[FAILURE_TEXT_BYTES];
    length = length < sizeof text ? length : sizeof text - 1;
    for (size_t i = 0; i < length; i++)
        text[i] = reason[i] >= ' ' && reason[i] <= '~' ? reason[i] : '?';
    text[length] = '\0';
    size_t i = 0;
    while (i < thread->failure_count && strcmp(thread->failures[i].text, text) != 0)
        i++;
    if (i == FAILURES_MAX) /* the last kind takes all that are too many */
        memcpy(thread->failures[--i].text, "others", sizeof "others");
    else if (i == thread->failure_count)
        memcpy(thread->failures[thread->failure_count++].text, text, sizeof text);
    thread->failures[i].count++;
    count_add(&thread->counts.failures, 1);
}

void load_failed(struct load_thread *thread, uint32_t index, const char *reason, size_t length)
{
    const struct request *request = &thread->requests[index];
    load_note(thread, reason, length);
    /* It stays pending. Where an earlier copy had no answer, that one may have been taken. */
    if (request->action == ACTION_ANNOUNCE && !request->late && request->attempts > 1 &&
        (thread->peers[request->peer].flags & PEER_PENDING) != 0)
        thread->peers[request->peer].flags |= PEER_UNCERTAIN;
    finish(thread, index);
}

void load_lost(struct load_thread *thread, uint32_t index)
{
    const struct request *request = &thread->requests[index];
    if (request->action == ACTION_ANNOUNCE) {
        struct peer *peer = &thread->peers[request->peer];
        peer->flags |= PEER_RESENT;
        if (!request->late && (peer->flags & PEER_PENDING) != 0)
            peer->flags |= PEER_UNCERTAIN;
    }
    count_add(&thread->counts.lost, 1);
    finish(thread, index);
}

bool load_again(struct load_thread *thread, uint32_t index)
{
    struct request *request = &thread->requests[index];
    if (request->attempts > thread->load->settings.retries) {
        load_lost(thread, index);
        return false;
    }
    if (request->action == ACTION_ANNOUNCE)
        thread->peers[request->peer].flags |= PEER_RESENT;
    request->attempts++;
    request->sent_ns = thread->now_ns;
    list_remove(thread, index);
    list_append(thread, index);
    count_add(&thread->counts.resent, 1);
    return true;
}
