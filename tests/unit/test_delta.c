/* A delta as JSON, and its names. */
#include <criterion/criterion.h>
#include <jansson.h>

#include "delta_maker.h"
#include "deltas/delta.h"

static struct delta example(void)
{
    struct delta delta = {
        .seq = 8123,
        .time_ms = 1763885000999,
        .user_id = 7,
        .torrent_id = 3,
        .peer_id = "-qB4630-abcdefghijkl",
        .uploaded = 1048576,
        .credited_uploaded = 1048576,
        .seed_time_s = 1800,
        .source = {.family = 4, .ip = {192, 0, 2, 7}, .port = 51413},
    };
    for (uint8_t i = 0; i < 16; i++)
        delta.user[i] = (uint8_t)(i * 0x11);
    for (uint8_t i = 0; i < 20; i++)
        delta.info_hash[i] = i;
    return delta;
}

Test(delta_json, has_the_fields_of_the_specification_in_their_order)
{
    char text[DELTA_JSON_BYTES];
    struct delta delta = example();
    size_t length = delta_json(&delta, true, text, sizeof(text));
    cr_assert_str_eq(text,
                     "{\"seq\":8123,\"time\":1763885000,\"user\":\"00112233445566778899aabbccddeeff\",\"user_id\":7,"
                     "\"info_hash\":\"000102030405060708090a0b0c0d0e0f10111213\",\"torrent_id\":3,"
                     "\"event\":\"none\",\"uploaded\":1048576,\"downloaded\":0,\"credited_uploaded\":1048576,"
                     "\"credited_downloaded\":0,\"quarantined\":0,\"left\":0,"
                     "\"seed_time\":1800,\"leech_time\":0,\"snatched\":false,"
                     "\"peer_id\":\"2d7142343633302d6162636465666768696a6b6c\",\"ip\":\"192.0.2.7\",\"port\":51413,"
                     "\"client\":\"-qB4630-\"}");
    cr_assert_eq(length, strlen(text));
}

Test(delta_json, leaves_addresses_out_where_they_are_not_wanted)
{
    char text[DELTA_JSON_BYTES];
    struct delta delta = example();
    delta_json(&delta, false, text, sizeof(text));
    cr_assert_eq(strstr(text, "peer_id"), NULL);
    cr_assert_eq(strstr(text, "\"ip\""), NULL);
    cr_assert_eq(strstr(text, "port"), NULL);
    cr_assert_neq(strstr(text, "\"client\":\"-qB4630-\""), NULL);
}

Test(delta_json, never_tells_the_address_of_a_user_who_hides_it)
{
    char text[DELTA_JSON_BYTES];
    struct delta delta = example();
    delta.flags = DELTA_HIDE_ADDRESS;
    delta_json(&delta, true, text, sizeof(text));
    cr_assert_eq(strstr(text, "192.0.2.7"), NULL);
    cr_assert_eq(strstr(text, "peer_id"), NULL);
}

Test(delta_json, an_expired_session_has_no_address)
{
    char text[DELTA_JSON_BYTES];
    struct delta delta = example();
    delta.event = EVENT_EXPIRED;
    delta.source.family = 0;
    delta_json(&delta, true, text, sizeof(text));
    cr_assert_eq(strstr(text, "\"ip\""), NULL);
    cr_assert_neq(strstr(text, "\"event\":\"expired\""), NULL);
    cr_assert_neq(strstr(text, "peer_id"), NULL);
}

Test(delta_json, says_when_a_snatch_was_made)
{
    char text[DELTA_JSON_BYTES];
    struct delta delta = example();
    delta.flags = DELTA_SNATCHED;
    delta.event = EVENT_COMPLETED;
    delta_json(&delta, true, text, sizeof(text));
    cr_assert_neq(strstr(text, "\"snatched\":true"), NULL);
    cr_assert_neq(strstr(text, "\"event\":\"completed\""), NULL);
}

Test(delta_json, a_buffer_that_is_too_small_gets_nothing)
{
    char text[DELTA_JSON_BYTES];
    struct delta delta = example();
    size_t length = delta_json(&delta, true, text, sizeof(text));
    char small[DELTA_JSON_BYTES];
    cr_assert_eq(delta_json(&delta, true, small, length), 0);
    cr_assert_eq(delta_json(&delta, true, small, length + 1), length);
    cr_assert_str_eq(small, text);
}

Test(delta_json, any_delta_is_json_that_fits)
{
    uint64_t random = 5;
    for (int i = 0; i < 20000; i++) {
        char text[DELTA_JSON_BYTES];
        struct delta delta = maker_wild(&random);
        delta.seq = maker_number(&random, UINT64_MAX);
        size_t length = delta_json(&delta, true, text, sizeof(text));
        cr_assert_eq(length, strlen(text));
        cr_assert_lt(length, sizeof(text));
        json_error_t error;
        json_t *json = json_loads(text, 0, &error);
        /* jansson reads signed integers only. */
        if (json == NULL)
            cr_assert_neq(strstr(error.text, "big"), NULL, "%s in %s", error.text, text);
        json_decref(json);
    }
}

Test(delta_client, is_printable_whatever_the_peer_id_is)
{
    char text[DELTA_CLIENT_BYTES];
    delta_client(text, (const uint8_t *)"-T\x01\"\\\xff\x7f~");
    cr_assert_str_eq(text, "-T?\"\\??~");
}

Test(delta_event, paused_is_told_as_none)
{
    cr_assert_str_eq(delta_event_name(EVENT_PAUSED), "none");
    cr_assert_str_eq(delta_event_name(EVENT_NONE), "none");
    cr_assert_str_eq(delta_event_name(EVENT_STARTED), "started");
    cr_assert_str_eq(delta_event_name(EVENT_STOPPED), "stopped");
}
