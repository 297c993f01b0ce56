/* What a connection id is good for, and the file that holds the key. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "udp/connection_id.h"

enum { LIFETIME_S = 120 };
static const int64_t now_s = 1763885000;

static struct connection_key key;
static char folder[64];
static char key_path[96];

static struct address address_of(const char *text)
{
    struct address address;
    cr_assert(address_parse_ip(&address, text, strlen(text)));
    return address;
}

static void make_folder(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/privtrak-test-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(key_path, sizeof key_path, "%s/udp.key", folder);
    cr_assert_eq(connection_key_load(&key, folder, NULL), 0);
}

static void remove_folder(void)
{
    (void)unlink(key_path);
    (void)rmdir(folder);
}

TestSuite(connection_id, .init = make_folder, .fini = remove_folder);

Test(connection_id, is_good_for_its_lifetime_and_less_than_twice_that)
{
    const char *addresses[] = {"192.0.2.7", "2001:db8::7"};
    const uint32_t lifetimes[] = {1, 2, LIFETIME_S, 86400};
    for (size_t a = 0; a < 2; a++) {
        struct address address = address_of(addresses[a]);
        uint64_t id = connection_id_make(&key, &address, now_s);
        for (size_t l = 0; l < 4; l++) {
            for (uint32_t age = 0; age <= lifetimes[l]; age += lifetimes[l] > 1000 ? 97 : 1)
                cr_assert(connection_id_check(&key, &address, id, now_s + age, lifetimes[l]), "%u s old", age);
            cr_assert(connection_id_check(&key, &address, id, now_s + lifetimes[l], lifetimes[l]));
            cr_assert_not(connection_id_check(&key, &address, id, now_s + lifetimes[l] + 1, lifetimes[l]));
            cr_assert_not(connection_id_check(&key, &address, id, now_s + 2 * (int64_t)lifetimes[l], lifetimes[l]));
        }
    }
}

Test(connection_id, from_a_worker_whose_clock_is_a_second_ahead_is_good)
{
    struct address address = address_of("192.0.2.7");
    uint64_t id = connection_id_make(&key, &address, now_s + 1);
    cr_assert(connection_id_check(&key, &address, id, now_s, LIFETIME_S));
    id = connection_id_make(&key, &address, now_s + 2);
    cr_assert_not(connection_id_check(&key, &address, id, now_s, LIFETIME_S));
}

Test(connection_id, does_not_come_back_when_its_24_bits_of_time_do)
{
    struct address address = address_of("192.0.2.7");
    uint64_t id = connection_id_make(&key, &address, now_s);
    cr_assert_not(connection_id_check(&key, &address, id, now_s + (1 << 24), LIFETIME_S));
    cr_assert_not(connection_id_check(&key, &address, id, now_s + (1 << 24) + 5, LIFETIME_S));
}

Test(connection_id, follows_a_lifetime_that_was_changed)
{
    struct address address = address_of("192.0.2.7");
    uint64_t id = connection_id_make(&key, &address, now_s);
    cr_assert(connection_id_check(&key, &address, id, now_s + 500, 600));
    cr_assert_not(connection_id_check(&key, &address, id, now_s + 500, LIFETIME_S));
    cr_assert(connection_id_check(&key, &address, id, now_s + 500, UINT32_MAX));
}

Test(connection_id, ignores_the_port)
{
    struct address address = address_of("192.0.2.7");
    address.port = 1234;
    uint64_t id = connection_id_make(&key, &address, now_s);
    address.port = 4321;
    cr_assert(connection_id_check(&key, &address, id, now_s, LIFETIME_S));
}

Test(connection_id, is_bad_for_any_other_address)
{
    struct address ipv4 = address_of("192.0.2.7");
    struct address ipv6 = address_of("2001:db8::7");
    for (unsigned bit = 0; bit < 128; bit++) {
        struct address other4 = ipv4;
        other4.ip[bit / 8 % 4] ^= (uint8_t)(1U << bit % 8);
        struct address other6 = ipv6;
        other6.ip[bit / 8] ^= (uint8_t)(1U << bit % 8);
        cr_assert_not(connection_id_check(&key, &other4, connection_id_make(&key, &ipv4, now_s), now_s, LIFETIME_S));
        cr_assert_not(connection_id_check(&key, &other6, connection_id_make(&key, &ipv6, now_s), now_s, LIFETIME_S));
    }
}

Test(connection_id, is_bad_with_any_bit_changed)
{
    struct address address = address_of("192.0.2.7");
    uint64_t id = connection_id_make(&key, &address, now_s);
    for (unsigned bit = 0; bit < 64; bit++)
        cr_assert_not(connection_id_check(&key, &address, id ^ (UINT64_C(1) << bit), now_s, LIFETIME_S), "%u", bit);
}

Test(connection_id, is_bad_under_another_key)
{
    struct address address = address_of("2001:db8::7");
    struct connection_key other = key;
    other.bytes[CONNECTION_KEY_BYTES - 1] ^= 1;
    uint64_t id = connection_id_make(&key, &address, now_s);
    cr_assert_not(connection_id_check(&other, &address, id, now_s, LIFETIME_S));
}

Test(connection_id, key_is_the_same_after_a_restart)
{
    struct connection_key again;
    cr_assert_eq(connection_key_load(&again, folder, NULL), 0);
    cr_assert_arr_eq(again.bytes, key.bytes, sizeof key.bytes);
}

Test(connection_id, key_file_is_private_and_alone_in_its_folder)
{
    struct stat status;
    cr_assert_eq(stat(key_path, &status), 0);
    cr_assert_eq(status.st_mode & 07777, 0600);
    cr_assert_eq(status.st_size, CONNECTION_KEY_BYTES);
    cr_assert_eq(unlink(key_path), 0);
    cr_assert_eq(rmdir(folder), 0, "something else was left there");
}

Test(connection_id, keys_of_two_trackers_differ)
{
    struct connection_key first = key;
    cr_assert_eq(unlink(key_path), 0);
    cr_assert_eq(connection_key_load(&key, folder, NULL), 0);
    cr_assert_arr_neq(first.bytes, key.bytes, sizeof key.bytes);
}

static void expect_refused(const char *reason)
{
    struct error error = {""};
    cr_assert_eq(connection_key_load(&key, folder, &error), -1);
    cr_assert_not_null(strstr(error.text, "udp.key"), "%s", error.text);
    cr_assert_not_null(strstr(error.text, reason), "%s", error.text);
}

Test(connection_id, key_of_another_length_is_refused)
{
    cr_assert_eq(truncate(key_path, 31), 0);
    expect_refused("found 31 bytes");
    cr_assert_eq(truncate(key_path, 33), 0);
    expect_refused("found 33 bytes");
    cr_assert_eq(truncate(key_path, 0), 0);
    expect_refused("found 0 bytes");
}

Test(connection_id, key_that_others_may_read_is_refused)
{
    cr_assert_eq(chmod(key_path, 0640), 0);
    expect_refused("found mode 0640");
    cr_assert_eq(chmod(key_path, 0602), 0);
    expect_refused("found mode 0602");
}

Test(connection_id, key_that_is_no_regular_file_is_refused)
{
    cr_assert_eq(unlink(key_path), 0);
    cr_assert_eq(mkfifo(key_path, 0600), 0);
    expect_refused("no regular file");
    cr_assert_eq(unlink(key_path), 0);
    cr_assert_eq(symlink("/dev/zero", key_path), 0);
    expect_refused("symbolic links");
}

Test(connection_id, missing_state_directory_is_named)
{
    cr_assert_eq(unlink(key_path), 0);
    cr_assert_eq(rmdir(folder), 0);
    expect_refused("No such file");
}
