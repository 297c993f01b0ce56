/*
 * webhook: the sink that posts each batch as a JSON array to a URL. At least once:
 * where an answer is lost the batch comes again, under the same Idempotency-Key as long
 * as it is the same batch. The position is kept in a file of ours, for the other side is not asked.
 * Runs on the thread sink-webhook; interrupt may come from any.
 *
 *   Idempotency-Key: <instance>-<first seq>-<last seq>
 *   X-Privtrak-Signature: sha256=<HMAC-SHA256 of the body in hex>, keyed with the text of state_dir/webhook.key
 */
#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "deltas/sink.h"
#include "deltas/sinks/position.h"
#include "deltas/state_file.h"

enum { KEY_BYTES_MAX = 256, ANSWER_BYTES = 160, BODY_BYTES_KEPT = 4 << 20 };

struct sink {
    struct position kept;
    uint64_t seq; /* taken for good */
    bool include_address;
    char key[KEY_BYTES_MAX];
    CURL *easy;
    CURLM *multi;
    _Atomic bool interrupted;
    char *body;
    size_t body_size;
    char answer[ANSWER_BYTES]; /* the beginning of what the other side said, for the reason */
    size_t answer_length;
};

static size_t take_answer(char *bytes, size_t size, size_t count, void *context)
{
    struct sink *sink = context;
    for (size_t i = 0; i < size * count && sink->answer_length + 1 < sizeof(sink->answer); i++)
        sink->answer[sink->answer_length++] = bytes[i] >= 0x20 && bytes[i] < 0x7f ? bytes[i] : ' ';
    sink->answer[sink->answer_length] = '\0';
    return size * count;
}

/* The key is text: what stands in the file, without the line's end. Made at the first start. */
static int load_key(struct sink *sink, const char *state_dir, struct error *error)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/webhook.key", state_dir);
    ssize_t length = state_file_read(path, sink->key, sizeof(sink->key), error);
    if (length >= 0) {
        sink->key[strcspn(sink->key, "\r\n")] = '\0';
        return sink->key[0] != '\0' ? 0 : error_set(error, "%s: found an empty key", path);
    }
    if (length != -ENOENT)
        return -1;
    uint8_t bytes[32];
    char text[66];
    if (sodium_init() < 0)
        return error_set(error, "no random numbers: sodium_init failed");
    randombytes_buf(bytes, sizeof(bytes));
    hex_encode(sink->key, bytes, sizeof(bytes));
    (void)snprintf(text, sizeof(text), "%.64s\n", sink->key);
    return state_file_write(path, text, strlen(text), error);
}

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready;

static void init_curl(void)
{
    curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int make_handles(struct sink *sink, const struct config_sink *settings, struct error *error)
{
    pthread_once(&curl_once, init_curl);
    sink->easy = curl_ready == CURLE_OK ? curl_easy_init() : NULL;
    sink->multi = curl_ready == CURLE_OK ? curl_multi_init() : NULL;
    if (sink->easy == NULL || sink->multi == NULL)
        return error_set(error, "libcurl cannot be initialised");
    long timeout_ms = (long)settings->timeout_s * 1000;
    bool good = curl_easy_setopt(sink->easy, CURLOPT_URL, settings->url) == CURLE_OK &&
                curl_easy_setopt(sink->easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
                curl_easy_setopt(sink->easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
                curl_easy_setopt(sink->easy, CURLOPT_TIMEOUT_MS, timeout_ms) == CURLE_OK &&
                curl_easy_setopt(sink->easy, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms) == CURLE_OK &&
                curl_easy_setopt(sink->easy, CURLOPT_USERAGENT, "privtrak") == CURLE_OK &&
                curl_easy_setopt(sink->easy, CURLOPT_WRITEFUNCTION, take_answer) == CURLE_OK &&
                curl_easy_setopt(sink->easy, CURLOPT_WRITEDATA, sink) == CURLE_OK &&
                curl_easy_setopt(sink->easy, CURLOPT_POST, 1L) == CURLE_OK;
    return good ? 0 : error_set(error, "libcurl does not know an option; it is too old");
}

static void webhook_close(struct sink *sink)
{
    if (sink->multi != NULL)
        curl_multi_cleanup(sink->multi);
    if (sink->easy != NULL)
        curl_easy_cleanup(sink->easy);
    position_clear(&sink->kept);
    explicit_bzero(sink->key, sizeof(sink->key));
    free(sink->body);
    free(sink);
}

static struct sink *webhook_open(const struct sink_settings *settings, struct error *error)
{
    struct sink *sink = calloc(1, sizeof(*sink));
    if (sink == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    sink->include_address = settings->config->deltas.include_address;
    if (position_init(&sink->kept, settings, error) != 0 || position_read(&sink->kept, &sink->seq, error) != 0 ||
        load_key(sink, settings->config->tracker.state_dir, error) != 0 ||
        make_handles(sink, settings->sink, error) != 0) {
        webhook_close(sink);
        return NULL;
    }
    return sink;
}

static enum sink_result webhook_position(struct sink *sink, uint64_t *seq, struct error *error)
{
    (void)error;
    *seq = sink->seq;
    return SINK_TAKEN;
}

/* Writes the array into the sink's body; returns its length, 0 out of memory. */
static size_t write_body(struct sink *sink, const struct delta *deltas, size_t count)
{
    size_t length = 0;
    for (size_t i = 0; i < count; i++) {
        if (sink->body_size - length < DELTA_JSON_BYTES + 8) {
            size_t size = sink->body_size == 0 ? 64 << 10 : 2 * sink->body_size;
            char *body = realloc(sink->body, size);
            if (body == NULL)
                return 0;
            sink->body = body;
            sink->body_size = size;
        }
        sink->body[length++] = i == 0 ? '[' : ',';
        length += delta_json(&deltas[i], sink->include_address, sink->body + length, sink->body_size - length);
    }
    sink->body[length++] = ']';
    return length;
}

static struct curl_slist *add_header(struct curl_slist *list, const char *line, bool *failed)
{
    struct curl_slist *longer = curl_slist_append(list, line);
    *failed = *failed || longer == NULL;
    return longer != NULL ? longer : list;
}

/* NULL: out of memory. */
static struct curl_slist *make_headers(const struct sink *sink, const struct delta *deltas, size_t count, size_t length)
{
    char line[256];
    uint8_t digest[EVP_MAX_MD_SIZE];
    char digest_text[2 * EVP_MAX_MD_SIZE + 1];
    unsigned digest_size = 0;
    if (HMAC(EVP_sha256(), sink->key, (int)strlen(sink->key), (const unsigned char *)sink->body, length, digest,
             &digest_size) == NULL)
        return NULL;
    hex_encode(digest_text, digest, digest_size);

    bool failed = false;
    struct curl_slist *list = add_header(NULL, "Content-Type: application/json", &failed);
    list = add_header(list, "Expect:", &failed); /* no waiting for a 100 before the body */
    (void)snprintf(line, sizeof(line), "Idempotency-Key: %s-%" PRIu64 "-%" PRIu64, sink->kept.instance, deltas[0].seq,
                   deltas[count - 1].seq);
    list = add_header(list, line, &failed);
    (void)snprintf(line, sizeof(line), "X-Privtrak-Signature: sha256=%s", digest_text);
    list = add_header(list, line, &failed);
    if (!failed)
        return list;
    curl_slist_free_all(list);
    return NULL;
}

/* Runs the transfer until it ends or is interrupted. */
static CURLcode transfer(struct sink *sink)
{
    int running = 1;
    if (curl_multi_add_handle(sink->multi, sink->easy) != CURLM_OK)
        return CURLE_FAILED_INIT;
    while (running > 0 && !atomic_load(&sink->interrupted)) {
        if (curl_multi_perform(sink->multi, &running) != CURLM_OK ||
            (running > 0 && curl_multi_poll(sink->multi, NULL, 0, 1000, NULL) != CURLM_OK))
            break;
    }
    CURLcode code = CURLE_ABORTED_BY_CALLBACK;
    int left;
    const CURLMsg *message = curl_multi_info_read(sink->multi, &left);
    if (running == 0 && message != NULL && message->msg == CURLMSG_DONE)
        code = message->data.result;
    curl_multi_remove_handle(sink->multi, sink->easy);
    return code;
}

static enum sink_result judge(struct sink *sink, CURLcode code, struct error *error)
{
    if (code != CURLE_OK) {
        error_set(error, "%s", atomic_load(&sink->interrupted) ? "interrupted" : curl_easy_strerror(code));
        return SINK_RETRY;
    }
    long status = 0;
    curl_easy_getinfo(sink->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200 && status < 300)
        return SINK_TAKEN;
    bool is_about_us = status == 401 || status == 403 || status == 407;
    error_set(error, "HTTP %ld%s%s%s", status, is_about_us ? " (who we are is not accepted: see the sink's url)" : "",
              sink->answer_length > 0 ? ": " : "", sink->answer);
    /* No record is at fault for wrong credentials: all would be parked for them. */
    bool may_pass = status < 400 || is_about_us || status == 408 || status == 429 || status >= 500;
    return may_pass ? SINK_RETRY : SINK_REJECTED;
}

static enum sink_result post(struct sink *sink, const struct delta *deltas, size_t count, struct error *error)
{
    size_t length = write_body(sink, deltas, count);
    struct curl_slist *headers = length > 0 ? make_headers(sink, deltas, count, length) : NULL;
    if (headers == NULL) {
        error_set(error, "out of memory");
        return SINK_RETRY;
    }
    sink->answer_length = 0;
    sink->answer[0] = '\0';
    curl_easy_setopt(sink->easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(sink->easy, CURLOPT_POSTFIELDS, sink->body);
    curl_easy_setopt(sink->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)length);
    enum sink_result result = judge(sink, transfer(sink), error);
    curl_easy_setopt(sink->easy, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    if (sink->body_size > BODY_BYTES_KEPT) {
        free(sink->body);
        sink->body = NULL;
        sink->body_size = 0;
    }
    return result;
}

/* What was taken is taken, whether or not its number can be written down: at worst it comes again after a restart. */
static void keep_position(struct sink *sink, uint64_t seq)
{
    struct error error;
    sink->seq = seq;
    if (position_write(&sink->kept, seq, &error) != 0)
        LOG_LIMITED(LOG_LEVEL_WARNING, "webhook", "%s; deltas may come again after a restart", error.text);
}

static enum sink_result webhook_deliver(struct sink *sink, const struct delta *deltas, size_t count,
                                        struct error *error)
{
    while (count > 0 && deltas->seq <= sink->seq) {
        deltas++;
        count--;
    }
    if (count == 0)
        return SINK_TAKEN;
    enum sink_result result = post(sink, deltas, count, error);
    if (result == SINK_TAKEN)
        keep_position(sink, deltas[count - 1].seq);
    return result;
}

static enum sink_result webhook_park(struct sink *sink, const struct delta *delta, const char *reason,
                                     struct error *error)
{
    if (position_park(&sink->kept, delta, reason, sink->include_address, error) != 0)
        return SINK_RETRY;
    keep_position(sink, delta->seq);
    return SINK_TAKEN;
}

static void webhook_set_include_address(struct sink *sink, bool include)
{
    sink->include_address = include;
}

static void webhook_interrupt(struct sink *sink)
{
    atomic_store(&sink->interrupted, true);
    curl_multi_wakeup(sink->multi);
}

const struct sink_type sink_webhook_type = {
    .name = "webhook",
    .open = webhook_open,
    .position = webhook_position,
    .deliver = webhook_deliver,
    .park = webhook_park,
    .set_include_address = webhook_set_include_address,
    .interrupt = webhook_interrupt,
    .close = webhook_close,
};
