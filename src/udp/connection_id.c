/* connection_id: see connection_id.h. */
#include "udp/connection_id.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * An id is 24 bits of the second and 40 bits of the MAC. A forger who sends a million
 * packets a second from a false address needs 12 days for one that is taken.
 * The MAC is over the whole second, so the 24 bits cannot be used a second time round.
 */
enum { SECOND_BITS = 24, MAC_BITS = 64 - SECOND_BITS };
static const uint64_t mac_mask = (UINT64_C(1) << MAC_BITS) - 1;
static const uint32_t second_mask = (UINT32_C(1) << SECOND_BITS) - 1;

_Static_assert(CONNECTION_KEY_BYTES == 2 * crypto_shorthash_KEYBYTES, "a SipHash key for each family");
_Static_assert(crypto_shorthash_BYTES == 8, "the MAC is one word");

static uint64_t mac_of(const struct connection_key *key, const struct address *address, uint32_t second)
{
    uint8_t message[sizeof second + sizeof address->ip];
    bool is_ipv4 = address->family == 4;
    memcpy(message, &second, sizeof second);
    memcpy(message + sizeof second, address->ip, sizeof address->ip);

    uint64_t mac;
    (void)crypto_shorthash((uint8_t *)&mac, message, sizeof second + (is_ipv4 ? 4 : sizeof address->ip),
                           key->bytes + (is_ipv4 ? 0 : crypto_shorthash_KEYBYTES));
    return mac & mac_mask;
}

uint64_t connection_id_make(const struct connection_key *key, const struct address *address, int64_t now_s)
{
    uint32_t second = (uint32_t)now_s;
    return (uint64_t)(second & second_mask) << MAC_BITS | mac_of(key, address, second);
}

bool connection_id_check(const struct connection_key *key, const struct address *address, uint64_t id, int64_t now_s,
                         uint32_t lifetime_s)
{
    /* Counted from the next second, see the header. */
    uint32_t next = (uint32_t)now_s + 1;
    uint32_t age = (next - (uint32_t)(id >> MAC_BITS)) & second_mask;
    uint32_t oldest = lifetime_s < second_mask ? lifetime_s + 1 : second_mask;
    if (age > oldest)
        return false;

    /* One comparison of a whole word: its time tells nothing of where they differ. */
    return ((mac_of(key, address, next - age) ^ id) & mac_mask) == 0;
}

static int read_key(struct connection_key *key, int fd, const char *path, struct error *error)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return error_set(error, "%s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return error_set(error, "%s: found something that is no regular file", path);
    if ((status.st_mode & 077) != 0)
        return error_set(error, "%s: found mode %04o, allowed 0600: others could read the key", path,
                         (unsigned)(status.st_mode & 07777));
    if (status.st_size != CONNECTION_KEY_BYTES)
        return error_set(error, "%s: found %lld bytes, allowed %d; without the file a new key is made", path,
                         (long long)status.st_size, CONNECTION_KEY_BYTES);

    ssize_t got = pread(fd, key->bytes, sizeof key->bytes, 0);
    if (got < 0)
        return error_set(error, "%s: %s", path, strerror(errno));
    if (got != CONNECTION_KEY_BYTES)
        return error_set(error, "%s: found %zd bytes, allowed %d", path, got, CONNECTION_KEY_BYTES);
    return 0;
}

static int open_and_read_key(struct connection_key *key, const char *path, struct error *error)
{
    /* O_NONBLOCK: a fifo of that name must not hold up the start. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        int reason = errno;
        (void)error_set(error, "%s: %s", path, strerror(reason));
        return reason == ENOENT ? -ENOENT : -1;
    }
    int result = read_key(key, fd, path, error);
    (void)close(fd);
    return result;
}

static int sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int result = fsync(fd);
    (void)close(fd);
    return result;
}

/*
 * The key gets its name by link(), which never replaces a file: of two trackers
 * that start at once, both end up with the key of the first.
 */
static int create_key(const char *state_dir, const char *path, struct error *error)
{
    char temporary[PATH_MAX];
    if (snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= (int)sizeof temporary)
        return error_set(error, "%s: %s", path, strerror(ENAMETOOLONG));
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return error_set(error, "%s: %s", temporary, strerror(errno));

    struct connection_key key;
    randombytes_buf(key.bytes, sizeof key.bytes);
    errno = EIO; /* for a short write, which sets none */
    bool is_written = write(fd, key.bytes, sizeof key.bytes) == (ssize_t)sizeof key.bytes && fsync(fd) == 0;
    int reason = errno;
    explicit_bzero(&key, sizeof key);
    (void)close(fd);

    if (is_written) {
        reason = link(temporary, path) == 0 || errno == EEXIST ? 0 : errno;
        if (reason == 0 && sync_directory(state_dir) != 0)
            reason = errno;
    }
    (void)unlink(temporary);
    return reason == 0 ? 0 : error_set(error, "%s: %s", path, strerror(reason));
}

int connection_key_load(struct connection_key *key, const char *state_dir, struct error *error)
{
    if (sodium_init() < 0)
        return error_set(error, "libsodium cannot be used on this machine");

    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/udp.key", state_dir) >= (int)sizeof path)
        return error_set(error, "%s: %s", state_dir, strerror(ENAMETOOLONG));

    int result = open_and_read_key(key, path, error);
    if (result == -ENOENT && create_key(state_dir, path, error) == 0)
        result = open_and_read_key(key, path, error);
    return result == 0 ? 0 : -1;
}
