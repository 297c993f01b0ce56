#include "database/lists.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"

enum { AT_ONCE_ROWS = 4096, PUT_ROWS = 4096 };

/* Makes room for one more element. `array` is the address of a pointer to elements of `size` bytes. */
static int grow(void *array, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return 0;
    size_t wanted = *room ? 2 * *room : 64;
    void **pointer = array;
    void *grown = reallocarray(*pointer, wanted, size);
    if (!grown)
        return -ENOMEM;
    *pointer = grown;
    *room = wanted;
    return 0;
}

static void drop_torrents(struct listed_rows *rows)
{
    for (size_t i = 0; i < rows->torrent_count; i++)
        free((char *)rows->torrents[i].reason);
    rows->torrent_count = 0;
}

void listed_rows_clear(struct listed_rows *rows)
{
    drop_torrents(rows);
    free(rows->users);
    free(rows->torrents);
    *rows = (struct listed_rows){.users = NULL};
}

void lists_reset(struct lists *lists)
{
    const struct registry_parts *parts = lists->parts;
    (void)putter_end(lists->putter);
    listed_rows_clear(&lists->rows);
    free(lists->users_gone);
    free(lists->torrents_gone);
    free(lists->clients);
    bool at_once = lists->at_once;
    memset(lists, 0, sizeof(*lists));
    lists->parts = parts;
    lists->at_once = at_once;
}

static struct user_facts facts_of(const struct listed_user *user)
{
    return (struct user_facts){.id = user->id,
                               .passkey = user->passkey,
                               .enabled = user->enabled,
                               .can_leech = user->can_leech,
                               .hide_address = user->hide_address,
                               .upload_percent = user->upload_percent,
                               .download_percent = user->download_percent};
}

/* A user whose passkey has to be free for another; where it stands now is asked for at the end. */
struct moved_user {
    int64_t id;
    bool settled;
};

struct moving {
    struct users *users;
    struct moved_user *moved;
    size_t count, room;
};

static int64_t holder_of(struct users *users, const char *passkey, struct user_facts *facts)
{
    users_read_begin();
    const struct user *holder = users_find(users, passkey, strlen(passkey));
    int64_t id = holder ? holder->id : 0;
    if (holder)
        *facts = (struct user_facts){.id = id,
                                     .enabled = (holder->flags & USER_ENABLED) != 0,
                                     .can_leech = (holder->flags & USER_CAN_LEECH) != 0,
                                     .hide_address = (holder->flags & USER_HIDE_ADDRESS) != 0,
                                     .upload_percent = holder->upload_percent,
                                     .download_percent = holder->download_percent};
    users_read_end();
    return id;
}

/* Gives the holder of a passkey a random one for the moment: the two may have swapped theirs. */
static int move_aside(struct moving *moving, const char *passkey)
{
    struct user_facts facts;
    int64_t id = holder_of(moving->users, passkey, &facts);
    if (id == 0 || grow(&moving->moved, moving->count, &moving->room, sizeof(*moving->moved)) != 0)
        return -1;
    uint8_t bytes[PASSKEY_MAX / 2];
    char random[PASSKEY_MAX + 1];
    randombytes_buf(bytes, sizeof(bytes));
    hex_encode(random, bytes, sizeof(bytes));
    facts.passkey = random;
    if (users_put(moving->users, &facts) != 0)
        return -1;
    moving->moved[moving->count++] = (struct moved_user){.id = id};
    return 0;
}

static int put_user(struct moving *moving, const struct listed_user *user)
{
    struct user_facts facts = facts_of(user);
    int result = users_put(moving->users, &facts);
    if (result == -EEXIST && move_aside(moving, user->passkey) == 0)
        result = users_put(moving->users, &facts);
    if (result == -EEXIST) {
        log_warning("registry", "user left out id=%" PRId64 " reason=\"its passkey belongs to another\"", user->id);
        result = 0;
    }
    for (size_t i = 0; i < moving->count; i++)
        moving->moved[i].settled |= moving->moved[i].id == user->id;
    return result;
}

/* Those moved aside that came with no row of their own in this read: their rows as they are now, or gone. */
static int settle(struct moving *moving, struct database *database)
{
    int result = 0;
    for (size_t i = 0; i < moving->count && result == 0; i++) {
        if (moving->moved[i].settled)
            continue;
        struct user_row row;
        struct error error;
        enum database_result found = database_user_get(database, moving->moved[i].id, &row, &error);
        if (found != DATABASE_OK) {
            users_remove(moving->users, moving->moved[i].id);
            continue;
        }
        struct user_facts facts = {.id = row.id,
                                   .passkey = row.passkey,
                                   .enabled = row.enabled,
                                   .can_leech = row.can_leech,
                                   .hide_address = row.hide_address,
                                   .upload_percent = row.upload_percent,
                                   .download_percent = row.download_percent};
        if (users_put(moving->users, &facts) == -ENOMEM)
            result = -ENOMEM;
    }
    return result;
}

static int put_users(const struct registry_parts *parts, struct listed_rows *rows, struct database *database)
{
    struct moving moving = {.users = parts->users};
    int result = 0;
    for (size_t i = 0; i < rows->user_count && result == 0; i++)
        result = put_user(&moving, &rows->users[i]);
    if (result == 0)
        result = settle(&moving, database);
    free(moving.moved);
    rows->user_count = 0;
    return result;
}

/* In portions: the workers look at their mail between them. */
static int put_torrents(const struct registry_parts *parts, struct listed_rows *rows)
{
    int result = 0;
    for (size_t i = 0; i < rows->torrent_count && result == 0; i += PUT_ROWS) {
        size_t left = rows->torrent_count - i;
        result = tracker_put_torrents(parts->tracker, rows->torrents + i, left < PUT_ROWS ? left : PUT_ROWS);
    }
    drop_torrents(rows);
    return result;
}

int lists_put(const struct registry_parts *parts, struct listed_rows *rows, struct database *database)
{
    int result = put_users(parts, rows, database);
    return result == 0 ? put_torrents(parts, rows) : result;
}

/* During the first load, where enough have come. */
static int put_at_once(struct lists *lists)
{
    if (!lists->at_once || lists->rows.user_count + lists->rows.torrent_count < AT_ONCE_ROWS)
        return 0;
    if (lists->putter == NULL)
        lists->putter = putter_new(lists->parts);
    /* Passkeys are unique within one read of a table, so no one stands in another's way. */
    return lists->putter != NULL ? putter_give(lists->putter, &lists->rows)
                                 : lists_put(lists->parts, &lists->rows, NULL);
}

static int read_begin(void *context, bool whole)
{
    struct lists *lists = context;
    lists_reset(lists);
    lists->whole = whole;
    return 0;
}

static int read_user(void *context, const struct user_row *row)
{
    struct lists *lists = context;
    struct listed_rows *rows = &lists->rows;
    if (grow(&rows->users, rows->user_count, &rows->user_room, sizeof(*rows->users)) != 0)
        return -ENOMEM;
    lists->users_put++;
    struct listed_user *user = &rows->users[rows->user_count++];
    *user = (struct listed_user){.id = row->id,
                                 .upload_percent = row->upload_percent,
                                 .download_percent = row->download_percent,
                                 .enabled = row->enabled,
                                 .can_leech = row->can_leech,
                                 .hide_address = row->hide_address};
    memcpy(user->passkey, row->passkey, sizeof(user->passkey));
    return put_at_once(lists);
}

static int read_user_gone(void *context, int64_t id)
{
    struct lists *lists = context;
    if (grow(&lists->users_gone, lists->user_gone_count, &lists->user_gone_room, sizeof(*lists->users_gone)) != 0)
        return -ENOMEM;
    lists->users_gone[lists->user_gone_count++] = id;
    return 0;
}

static int read_torrent(void *context, const struct torrent_row *row)
{
    struct lists *lists = context;
    struct listed_rows *rows = &lists->rows;
    if (grow(&rows->torrents, rows->torrent_count, &rows->torrent_room, sizeof(*rows->torrents)) != 0)
        return -ENOMEM;
    char *reason = NULL;
    if (row->reason[0] != '\0' && !(reason = strdup(row->reason)))
        return -ENOMEM;
    lists->torrents_put++;
    struct torrent_facts *facts = &rows->torrents[rows->torrent_count++];
    *facts = (struct torrent_facts){.id = row->id,
                                    .state = row->state,
                                    .reason = reason,
                                    .upload_percent = row->upload_percent,
                                    .download_percent = row->download_percent,
                                    .snatches = row->snatches};
    memcpy(facts->info_hash, row->info_hash, INFO_HASH_BYTES);
    return put_at_once(lists);
}

static int read_torrent_gone(void *context, const uint8_t *info_hash)
{
    struct lists *lists = context;
    if (grow(&lists->torrents_gone, lists->torrent_gone_count, &lists->torrent_gone_room,
             sizeof(*lists->torrents_gone)) != 0)
        return -ENOMEM;
    memcpy(lists->torrents_gone[lists->torrent_gone_count++], info_hash, INFO_HASH_BYTES);
    return 0;
}

static int read_clients(void *context, const struct client_row *rows, size_t count)
{
    struct lists *lists = context;
    lists->clients = reallocarray(NULL, count + 1, sizeof(*rows));
    if (!lists->clients)
        return -ENOMEM;
    if (count > 0)
        memcpy(lists->clients, rows, count * sizeof(*rows));
    lists->client_count = count;
    lists->has_clients = true;
    return 0;
}

static int read_multipliers(void *context, const struct multipliers *multipliers)
{
    struct lists *lists = context;
    lists->multipliers = *multipliers;
    lists->has_multipliers = true;
    return 0;
}

struct database_reader lists_reader(struct lists *lists)
{
    return (struct database_reader){.context = lists,
                                    .begin = read_begin,
                                    .user = read_user,
                                    .user_gone = read_user_gone,
                                    .torrent = read_torrent,
                                    .torrent_gone = read_torrent_gone,
                                    .clients = read_clients,
                                    .multipliers = read_multipliers};
}

static void store_multipliers(struct multipliers *to, const struct multipliers *from)
{
    __atomic_store_n(&to->upload_percent, from->upload_percent, __ATOMIC_RELAXED);
    __atomic_store_n(&to->download_percent, from->download_percent, __ATOMIC_RELAXED);
    __atomic_store_n(&to->until_s, from->until_s, __ATOMIC_RELAXED);
}

static int apply_users(struct lists *lists, struct database *database)
{
    struct users *users = lists->parts->users;
    bool sweeps = lists->whole && !lists->at_once;
    for (size_t i = 0; i < lists->user_gone_count; i++)
        users_remove(users, lists->users_gone[i]);
    if (sweeps)
        users_mark_all(users);
    int result = put_users(lists->parts, &lists->rows, database);
    if (sweeps && result == 0)
        users_sweep(users);
    return result;
}

static int apply_torrents(struct lists *lists)
{
    struct tracker *tracker = lists->parts->tracker;
    bool sweeps = lists->whole && !lists->at_once;
    int result = 0;
    if (lists->torrent_gone_count > 0)
        result = tracker_remove_torrents(tracker, (const uint8_t(*)[INFO_HASH_BYTES])lists->torrents_gone,
                                         lists->torrent_gone_count);
    if (sweeps && result == 0)
        tracker_mark_torrents(tracker);
    if (result == 0)
        result = put_torrents(lists->parts, &lists->rows);
    if (sweeps && result == 0)
        tracker_sweep_torrents(tracker);
    return result;
}

int lists_apply(struct lists *lists, struct database *database)
{
    if (lists->has_multipliers)
        store_multipliers(lists->parts->multipliers, &lists->multipliers);
    int result = putter_end(lists->putter);
    lists->putter = NULL;
    if (result == 0)
        result = apply_users(lists, database);
    return result == 0 ? apply_torrents(lists) : result;
}
