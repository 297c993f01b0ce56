/* snapshot: a store as bytes and back, into as many workers as there are then; and slices beside moves. */
#include "storage/snapshot.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "storage/seed_marks.h"
#include "storage/swarm.h"
#include "tracker/worker_private.h"

enum { USERS = 60, TORRENTS = 40, SESSIONS = 6000, LARGE = 4000, BLOCKS_MAX = 64 };

#define NOW_MS INT64_C(1795500000000)

static struct users *users;
static struct clients *clients;
static struct multipliers multipliers = {.upload_percent = 100, .download_percent = 100};

static void fault(void *context, const char *message)
{
    (void)context;
    cr_assert_fail("%s", message);
}

struct made {
    struct config *config;
    struct tracker *tracker;
};

static struct made make_tracker(unsigned workers)
{
    char yaml[64];
    snprintf(yaml, sizeof yaml, "tracker: {workers: %u}\n", workers);
    struct made made = {.config = config_parse("test.yaml", yaml, strlen(yaml), fault, NULL)};
    const struct tracker_parts parts = {.users = users, .clients = clients, .multipliers = &multipliers};
    struct error error;
    made.tracker = tracker_new(made.config, &parts, &error);
    cr_assert_not_null(made.tracker);
    return made;
}

static void free_tracker(struct made *made)
{
    tracker_free(made->tracker);
    config_free(made->config);
}

/* Every third user registered itself and has no row yet. */
static void add_users(void)
{
    for (int i = 0; i < USERS; i++) {
        char passkey[32];
        snprintf(passkey, sizeof passkey, "passkey-%d", i);
        bool made;
        if (i % 3 == 0) {
            users_read_begin();
            cr_assert_not_null(users_register(users, passkey, strlen(passkey), USERS, &made));
            users_read_end();
            continue;
        }
        const struct user_facts facts = {.id = i, .passkey = passkey, .enabled = true, .can_leech = true};
        cr_assert_eq(users_put(users, &facts), 0);
    }
}

static void set_up(void)
{
    users_thread_register();
    users = users_new();
    clients = clients_new();
    cr_assert(users != NULL && clients != NULL);
    add_users();
    srand(7);
}

static void tear_down(void)
{
    clients_free(clients);
    users_free(users);
    users_thread_unregister();
}

TestSuite(snapshot, .init = set_up, .fini = tear_down, .timeout = 120);

static uint64_t pick_number(uint64_t below)
{
    return (uint64_t)rand() % below;
}

/* The swarm of a number, on the worker that owns it; made where it is not known. */
static struct torrents *owner_of(const struct made *made, const uint8_t *info_hash)
{
    return made->tracker->workers[torrent_owner(info_hash, made->tracker->count)]->context.torrents;
}

static void make_hash(uint8_t *info_hash, uint32_t number)
{
    memset(info_hash, 'a', INFO_HASH_BYTES);
    uint32_t mixed = number * 2654435761u;
    memcpy(info_hash, &mixed, sizeof mixed);
}

static void make_peer_id(uint8_t *peer_id, uint32_t number)
{
    char text[32];
    snprintf(text, sizeof text, "-T%c0001-%012u", 'A' + (int)(number % 7), number);
    memcpy(peer_id, text, PEER_ID_BYTES);
}

static void fill_session(struct torrents *torrents, struct torrent *torrent, uint32_t slot, uint32_t number)
{
    struct session *session = swarm_session(torrent, slot);
    session->uploaded = pick_number(3) ? pick_number(1u << 30) : COUNTER_MAX;
    session->downloaded = pick_number(1u << 30);
    session->key = (uint32_t)pick_number(1u << 31);
    session->port = (uint16_t)(1024 + number % 60000);
    session_set_last_ms(session, NOW_MS - (int64_t)pick_number(1u << 30));
    enum swarm_place place = (enum swarm_place)pick_number(3);
    const uint64_t lefts[] = {1, 1 + pick_number(1u << 30), COUNTER_MAX};
    session_set_left(session, place == PLACE_SEEDER ? 0 : lefts[pick_number(3)]);
    session->flags |= (uint8_t)(pick_number(2) * SESSION_BEGAN_LEECHING | pick_number(2) * SESSION_SNATCHED);
    if (place == PLACE_TOMBSTONE)
        session->flags |= (uint8_t)(pick_number(2) * SESSION_STOPPED);
    slot = swarm_move(torrents, torrent, slot, place);
    if (place == PLACE_TOMBSTONE)
        return;
    swarm_session(torrent, slot)->flags |=
        (uint8_t)(pick_number(2) * SESSION_GIVEN_PEER | pick_number(2) * SESSION_PARTIAL);
    uint64_t families = pick_number(4);
    struct address address = {.family = 4, .port = swarm_session(torrent, slot)->port};
    memcpy(address.ip, &number, sizeof number);
    if (families & 1)
        cr_assert_eq(swarm_set_endpoint(torrent, slot, &address), 0);
    address.family = 6;
    memset(address.ip + 4, 0x20, 12);
    if (families & 2)
        cr_assert_eq(swarm_set_endpoint(torrent, slot, &address), 0);
    swarm_list_session(torrent, slot, pick_number(4) > 0);
}

static struct torrent *make_torrent(const struct made *made, uint32_t number)
{
    uint8_t info_hash[INFO_HASH_BYTES];
    make_hash(info_hash, number);
    struct torrents *torrents = owner_of(made, info_hash);
    struct torrent *torrent = torrents_find(torrents, info_hash);
    if (torrent == NULL) {
        torrent = torrents_add(torrents, info_hash);
        torrent->id = number % 2 ? number : 0;
    }
    return torrent;
}

static void add_session(const struct made *made, uint32_t which, uint32_t number)
{
    struct torrent *torrent = make_torrent(made, which);
    struct torrents *torrents = owner_of(made, torrent->info_hash);
    uint8_t peer_id[PEER_ID_BYTES];
    make_peer_id(peer_id, number);
    uint32_t user = number % USERS;
    fill_session(torrents, torrent, swarm_add(torrents, torrent, user, peer_id), number);
    if (pick_number(4) == 0) {
        struct seed_mark *mark = seed_marks_make(torrents_seed_marks(torrents), torrent_number(torrent), user);
        mark->seed_s = (uint32_t)pick_number(1u << 30);
        mark->leech_s = (uint32_t)pick_number(1u << 30);
    }
}

/* Torrent 0 gets half of all, so that it is large. */
static struct made make_store(unsigned workers)
{
    struct made made = make_tracker(workers);
    for (uint32_t i = 0; i < SESSIONS; i++)
        add_session(&made, i % 2 ? 0 : (uint32_t)pick_number(TORRENTS), i);
    return made;
}

/* --- the bytes --- */

struct blocks {
    uint8_t *data[BLOCKS_MAX];
    size_t sizes[BLOCKS_MAX];
    size_t count;
};
static struct blocks saved;

static int keep_block(void *context, const uint8_t *data, size_t size)
{
    struct blocks *blocks = context;
    cr_assert_lt(blocks->count, BLOCKS_MAX);
    blocks->data[blocks->count] = malloc(size);
    memcpy(blocks->data[blocks->count], data, size);
    blocks->sizes[blocks->count++] = size;
    return 0;
}

static uint64_t save(const struct made *made)
{
    uint64_t sessions = 0;
    cr_assert_eq(tracker_save(made->tracker, keep_block, &saved, &sessions), 0);
    return sessions;
}

static void load(const struct made *made)
{
    struct tracker_loading *loading = tracker_load_begin(made->tracker);
    cr_assert_not_null(loading);
    for (size_t i = 0; i < saved.count; i++)
        cr_assert_eq(tracker_load(loading, saved.data[i], saved.sizes[i]), 0, "block %zu", i);
    cr_assert_eq(tracker_load_end(loading), 0);
}

static void drop_blocks(void)
{
    for (size_t i = 0; i < saved.count; i++)
        free(saved.data[i]);
    saved.count = 0;
}

/* --- comparing --- */

static void expect_same_session(const struct torrent *one, uint32_t slot, const struct torrent *other, uint32_t at)
{
    const struct session *a = swarm_session(one, slot), *b = swarm_session(other, at);
    cr_assert_eq(a->uploaded, b->uploaded);
    cr_assert_eq(a->downloaded, b->downloaded);
    cr_assert_eq(session_left(a), session_left(b));
    cr_assert_eq(session_last_ms(a), session_last_ms(b));
    cr_assert_eq(a->key, b->key);
    cr_assert_eq(a->port, b->port);
    cr_assert_eq(a->flags, b->flags, "flags %x and %x", a->flags, b->flags);
    cr_assert_eq(swarm_place(one, slot), swarm_place(other, at));
    for (int family = 4; family <= 6; family += 2) {
        struct address address = swarm_endpoint(one, slot, family), wanted = swarm_endpoint(other, at, family);
        cr_assert_eq(address.family, wanted.family);
        cr_assert(address.family == 0 || address_same_ip(&address, &wanted));
        cr_assert_eq(address.port, wanted.port);
    }
}

static void expect_same_mark(struct torrents *a, const struct torrent *one, struct torrents *b,
                             const struct torrent *other, uint32_t user)
{
    const struct seed_mark *mark = seed_marks_find(torrents_seed_marks(a), torrent_number(one), user);
    if (mark == NULL)
        return;
    const struct seed_mark kept = *mark;
    const struct seed_mark *back = seed_marks_find(torrents_seed_marks(b), torrent_number(other), user);
    cr_assert_not_null(back);
    cr_assert_eq(back->seed_s, kept.seed_s);
    cr_assert_eq(back->leech_s, kept.leech_s);
}

static void expect_same_swarm(struct torrents *a, const struct torrent *one, struct torrents *b)
{
    const struct torrent *other = torrents_find(b, one->info_hash);
    cr_assert_not_null(other);
    cr_assert_eq(other->seeders, one->seeders);
    cr_assert_eq(other->leechers, one->leechers);
    cr_assert_eq(other->tombstones, one->tombstones);
    cr_assert_eq(other->holes4, one->holes4);
    cr_assert_eq(other->id, one->id);
    for (uint32_t slot = 0; slot < swarm_total(one); slot++) {
        uint8_t peer_id[PEER_ID_BYTES];
        swarm_unpack_peer_id(a, swarm_session(one, slot), peer_id);
        uint32_t at = swarm_find(b, other, swarm_user(one, slot), peer_id);
        cr_assert_neq(at, SLOT_NONE);
        expect_same_session(one, slot, other, at);
        if (swarm_place(one, slot) != PLACE_TOMBSTONE)
            expect_same_mark(a, one, b, other, swarm_user(one, slot));
    }
}

static void expect_same_stores(const struct made *one, const struct made *other)
{
    for (unsigned i = 0; i < one->tracker->count; i++) {
        struct torrents *torrents = one->tracker->workers[i]->context.torrents;
        for (uint32_t number = 0; number < torrents_count(torrents); number++) {
            const struct torrent *torrent = torrents_at(torrents, number);
            expect_same_swarm(torrents, torrent, owner_of(other, torrent->info_hash));
        }
    }
}

static void round_trip(unsigned workers, unsigned workers_then)
{
    struct made one = make_store(workers);
    cr_assert_eq(save(&one), SESSIONS);
    struct made other = make_tracker(workers_then);
    load(&other);
    expect_same_stores(&one, &other);
    free_tracker(&one);
    free_tracker(&other);
    drop_blocks();
}

Test(snapshot, store_comes_back_into_as_many_workers)
{
    round_trip(2, 2);
}

Test(snapshot, store_comes_back_into_more_workers)
{
    round_trip(1, 5);
}

Test(snapshot, store_comes_back_into_fewer_workers)
{
    round_trip(4, 1);
}

Test(snapshot, loading_twice_changes_nothing)
{
    struct made one = make_store(2), other = make_tracker(3);
    save(&one);
    load(&other);
    load(&other);
    expect_same_stores(&one, &other);
    free_tracker(&one);
    free_tracker(&other);
    drop_blocks();
}

Test(snapshot, many_small_swarms_come_back)
{
    struct made one = make_tracker(2), other = make_tracker(3);
    for (uint32_t i = 0; i < SESSIONS; i++)
        add_session(&one, i / 2, i);
    cr_assert_eq(save(&one), SESSIONS);
    load(&other);
    expect_same_stores(&one, &other);
    free_tracker(&one);
    free_tracker(&other);
    drop_blocks();
}

Test(snapshot, empty_tracker_gives_no_block)
{
    struct made one = make_tracker(3);
    cr_expect_eq(save(&one), 0);
    cr_expect_eq(saved.count, 0);
    free_tracker(&one);
}

static int refuse_block(void *context, const uint8_t *data, size_t size)
{
    (void)context;
    (void)data;
    (void)size;
    return -EIO;
}

Test(snapshot, block_that_cannot_be_written_ends_the_saving)
{
    struct made one = make_store(2);
    uint64_t sessions;
    cr_expect_eq(tracker_save(one.tracker, refuse_block, NULL, &sessions), -EIO);
    free_tracker(&one);
}

Test(snapshot, sessions_of_users_that_are_gone_are_passed_over)
{
    struct made one = make_tracker(1), other = make_tracker(1);
    add_session(&one, 1, 1); /* of the user with the row 1 */
    add_session(&one, 1, 2);
    save(&one);
    struct users *kept = users;
    users = users_new();
    const struct user_facts facts = {.id = 2, .passkey = "passkey-2", .enabled = true};
    cr_assert_eq(users_put(users, &facts), 0);
    other.tracker->parts.users = users;
    load(&other);
    uint8_t info_hash[INFO_HASH_BYTES];
    make_hash(info_hash, 1);
    cr_expect_eq(swarm_total(torrents_find(owner_of(&other, info_hash), info_hash)), 1);
    free_tracker(&one);
    free_tracker(&other);
    users_free(users);
    users = kept;
    drop_blocks();
}

Test(snapshot, day_of_a_deleted_torrent_goes_on)
{
    struct made one = make_tracker(1), other = make_tracker(2);
    struct torrent *torrent = make_torrent(&one, 1);
    torrent->state = TORRENT_DELETED;
    torrent_make_extra(torrent)->deleted_at_s = 12345;
    save(&one);
    struct torrent *then = make_torrent(&other, 1);
    then->state = TORRENT_DELETED;
    torrent_make_extra(then)->deleted_at_s = 99999; /* when the registry loaded it */
    load(&other);
    cr_expect_eq(torrent_extra(then)->deleted_at_s, 12345);
    free_tracker(&one);
    free_tracker(&other);
    drop_blocks();
}

/* --- damage --- */

static int take_torrent(void *context, const struct saved_torrent *torrent)
{
    (void)context;
    (void)torrent;
    return 0;
}

static int take_session(void *context, const struct saved_user *user, const struct saved_session *session)
{
    (void)context;
    (void)user;
    (void)session;
    return 0;
}

static int take_mark(void *context, const struct saved_user *user, uint32_t seed_s, uint32_t leech_s)
{
    (void)context;
    (void)user;
    (void)seed_s;
    (void)leech_s;
    return 0;
}

static const struct snapshot_reader taker = {.session = take_session, .mark = take_mark, .torrent = take_torrent};

/* A store of one small swarm, as one block. */
static void save_small(void)
{
    struct made one = make_tracker(1);
    for (uint32_t i = 0; i < 6; i++)
        add_session(&one, 1, i);
    save(&one);
    cr_assert_eq(saved.count, 1);
    free_tracker(&one);
}

Test(snapshot, every_cut_off_block_is_refused)
{
    save_small();
    for (size_t size = 1; size < saved.sizes[0]; size++) {
        uint8_t *exact = malloc(size); /* so that a sanitiser sees a step beyond */
        memcpy(exact, saved.data[0], size);
        cr_assert_eq(snapshot_read(exact, size, &taker), -EBADMSG, "%zu bytes", size);
        free(exact);
    }
    cr_expect_eq(snapshot_read(saved.data[0], saved.sizes[0], &taker), 0);
    drop_blocks();
}

Test(snapshot, damaged_blocks_are_read_without_harm)
{
    save_small();
    uint8_t *damaged = malloc(saved.sizes[0]);
    for (size_t at = 0; at < saved.sizes[0]; at++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(damaged, saved.data[0], saved.sizes[0]);
            damaged[at] ^= (uint8_t)(1 << bit);
            int result = snapshot_read(damaged, saved.sizes[0], &taker);
            cr_assert(result == 0 || result == -EBADMSG);
        }
    free(damaged);
    drop_blocks();
}

/* A swarm is in order where each of its sessions is found, in its slot, and is what its place says. */
static void expect_order(struct torrents *torrents, const struct torrent *torrent)
{
    for (uint32_t slot = 0; slot < swarm_total(torrent); slot++) {
        uint8_t peer_id[PEER_ID_BYTES];
        const struct session *session = swarm_session(torrent, slot);
        swarm_unpack_peer_id(torrents, session, peer_id);
        cr_assert_eq(swarm_find(torrents, torrent, swarm_user(torrent, slot), peer_id), slot);
        cr_assert_eq(swarm_place(torrent, slot) == PLACE_SEEDER, slot < torrent->seeders);
        if (swarm_place(torrent, slot) == PLACE_TOMBSTONE)
            cr_assert_eq(session->flags & (SESSION_HAS4 | SESSION_HAS6), 0);
    }
}

static void load_damaged(const uint8_t *data, size_t size)
{
    struct made made = make_tracker(2);
    struct tracker_loading *loading = tracker_load_begin(made.tracker);
    int result = tracker_load(loading, data, size);
    cr_assert(result == 0 || result == -EBADMSG);
    cr_assert_eq(tracker_load_end(loading), 0);
    for (unsigned i = 0; i < made.tracker->count; i++) {
        struct torrents *torrents = made.tracker->workers[i]->context.torrents;
        for (uint32_t number = 0; number < torrents_count(torrents); number++)
            expect_order(torrents, torrents_at(torrents, number));
    }
    free_tracker(&made);
}

Test(snapshot, damaged_blocks_are_loaded_without_harm)
{
    save_small();
    uint8_t *damaged = malloc(saved.sizes[0]);
    for (size_t at = 0; at < saved.sizes[0]; at++) {
        memcpy(damaged, saved.data[0], saved.sizes[0]);
        damaged[at] ^= (uint8_t)(1 << pick_number(8));
        load_damaged(damaged, saved.sizes[0]);
    }
    free(damaged);
    drop_blocks();
}

Test(snapshot, session_that_comes_twice_is_one)
{
    save_small();
    struct made other = make_tracker(1);
    uint8_t info_hash[INFO_HASH_BYTES];
    make_hash(info_hash, 1);
    size_t head = INFO_HASH_BYTES + 2; /* the row's number and no deletion, a byte each */
    size_t parts = saved.sizes[0] - head - 1;
    uint8_t *twice = malloc(head + 2 * parts + 1);
    memcpy(twice, saved.data[0], head + parts);
    memcpy(twice + head + parts, saved.data[0] + head, parts + 1);
    struct tracker_loading *loading = tracker_load_begin(other.tracker);
    cr_assert_eq(tracker_load(loading, twice, head + 2 * parts + 1), 0);
    cr_assert_eq(tracker_load_end(loading), 0);
    struct torrents *torrents = owner_of(&other, info_hash);
    cr_expect_eq(swarm_total(torrents_find(torrents, info_hash)), 6);
    free(twice);
    free_tracker(&other);
    drop_blocks();
}

Test(snapshot, unknown_part_is_refused)
{
    uint8_t block[INFO_HASH_BYTES + 3] = {0};
    block[INFO_HASH_BYTES + 2] = 9;
    cr_expect_eq(snapshot_read(block, sizeof block, &taker), -EBADMSG);
    block[INFO_HASH_BYTES + 2] = 0;
    cr_expect_eq(snapshot_read(block, sizeof block, &taker), 0);
}

static int stop_reading(void *context, const struct saved_user *user, const struct saved_session *session)
{
    (void)context;
    (void)user;
    (void)session;
    return -ENOMEM;
}

Test(snapshot, reader_may_stop)
{
    save_small();
    struct snapshot_reader stopper = taker;
    stopper.session = stop_reading;
    cr_expect_eq(snapshot_read(saved.data[0], saved.sizes[0], &stopper), -ENOMEM);
    drop_blocks();
}

/* --- slices beside the running work --- */

static bool met[LARGE * 2];

static int note_session(void *context, const struct saved_user *user, const struct saved_session *session)
{
    (void)context;
    (void)user;
    char digits[13] = "";
    memcpy(digits, session->peer_id + 8, 12);
    met[strtoul(digits, NULL, 10) % (LARGE * 2)] = true;
    return 0;
}

static void move_some(struct torrents *torrents, struct torrent *torrent)
{
    for (int i = 0; i < 20; i++)
        swarm_move(torrents, torrent, (uint32_t)pick_number(swarm_total(torrent)), (enum swarm_place)pick_number(3));
}

Test(snapshot, large_swarm_is_whole_although_slots_move_between_slices)
{
    struct made one = make_tracker(1);
    for (uint32_t i = 0; i < LARGE; i++)
        add_session(&one, 1, i);
    struct torrents *torrents = one.tracker->workers[0]->context.torrents;
    struct torrent *torrent = torrents_at(torrents, 0);
    struct snapshot_walk walk = {.torrent = 0};
    struct bytes bytes = {.data = NULL};
    uint32_t more = LARGE;
    struct snapshot_reader reader = taker;
    reader.session = note_session;
    for (bool done = false; !done;) {
        bytes.length = 0;
        users_read_begin();
        done = snapshot_write(&walk, torrents, users, 50, &bytes);
        users_read_end();
        cr_assert_eq(snapshot_read(bytes.data, bytes.length, &reader), 0);
        move_some(torrents, torrent);
        for (int i = 0; i < 10 && more < LARGE * 2; i++)
            add_session(&one, 1, more++); /* splits buckets of the index */
    }
    for (uint32_t i = 0; i < LARGE; i++)
        cr_assert(met[i], "session %u is not in", i);
    bytes_clear(&bytes);
    free_tracker(&one);
}
