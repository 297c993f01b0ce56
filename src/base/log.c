/*
 * log: see log.h. A line is put together on the caller's stack and leaves with
 * one write, so lines of several threads never mix (files are opened with
 * O_APPEND). No lock is held while writing: where the file changes, the new one
 * takes over the old one's descriptor number.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    MESSAGE_BYTES = 2048,
    OUTPUT_BYTES = 6 * MESSAGE_BYTES + 512, /* every byte as \u00NN, and what stands around */
    THREAD_NAME_BYTES = 16,
    TIME_BYTES = 32,
    LOG_FILE_MODE = 0640,
};

struct line {
    enum log_level level;
    const char *subject;
    char thread[THREAD_NAME_BYTES];
    char time[TIME_BYTES];
    char message[MESSAGE_BYTES];
};

/* Text that grows up to a bound; what is beyond is dropped. */
struct output {
    char *bytes;
    size_t size;
    size_t length;
};

static const char *const level_names[] = {"error", "warning", "info", "debug"};

static atomic_int current_level = LOG_LEVEL_INFO;
static atomic_int current_format = LOG_FORMAT_TEXT;
static atomic_int current_fd = STDERR_FILENO;

static pthread_mutex_t file_lock = PTHREAD_MUTEX_INITIALIZER;
static char *file_name;  /* NULL: stderr */
static int file_fd = -1; /* once used, the number stays ours for good */

static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;
static char kept[LOG_KEPT_LINES][LOG_LINE_BYTES];
static size_t kept_total;

static void put(struct output *output, const char *text, size_t length)
{
    size_t room = output->size - output->length;
    if (length > room)
        length = room;
    memcpy(output->bytes + output->length, text, length);
    output->length += length;
}

static void put_text(struct output *output, const char *text)
{
    put(output, text, strlen(text));
}

/* How many bytes at `text` are one whole UTF-8 character beyond ASCII; 0 where they are none. */
static size_t utf8_length(const unsigned char *text)
{
    size_t length = text[0] >= 0xc2 && text[0] < 0xe0 ? 2 : text[0] >= 0xe0 && text[0] < 0xf0 ? 3 : 4;
    if (text[0] < 0xc2 || text[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    }
    bool overlong = (text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xf0 && text[1] < 0x90);
    bool surrogate = text[0] == 0xed && text[1] >= 0xa0;
    bool beyond = text[0] == 0xf4 && text[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : length;
}

/* Writes `text` so that it stays on one line, and within a JSON string where `json`. */
static void put_escaped(struct output *output, const char *text, bool json)
{
    while (*text != '\0') {
        unsigned char c = (unsigned char)*text;
        size_t length = c < 0x80 ? 1 : utf8_length((const unsigned char *)text);
        char escape[8];
        if (length == 0 || c < 0x20 || c == 0x7f) {
            (void)snprintf(escape, sizeof escape, json ? "\\u%04x" : "\\x%02x", c);
            put_text(output, escape);
            text++;
            continue;
        }
        if (json && (c == '"' || c == '\\'))
            put(output, "\\", 1);
        put(output, text, length);
        text += length;
    }
}

static void put_line_as_text(struct output *output, const struct line *line)
{
    put_text(output, line->time);
    put(output, " ", 1);
    put_text(output, level_names[line->level]);
    put(output, " ", 1);
    put_escaped(output, line->thread, false);
    put(output, " ", 1);
    put_text(output, line->subject);
    put(output, ": ", 2);
    put_escaped(output, line->message, false);
}

static void put_line_as_json(struct output *output, const struct line *line)
{
    put_text(output, "{\"time\":\"");
    put_text(output, line->time);
    put_text(output, "\",\"level\":\"");
    put_text(output, level_names[line->level]);
    put_text(output, "\",\"thread\":\"");
    put_escaped(output, line->thread, true);
    put_text(output, "\",\"subject\":\"");
    put_escaped(output, line->subject, true);
    put_text(output, "\",\"message\":\"");
    put_escaped(output, line->message, true);
    put_text(output, "\"}");
}

static void keep_line(const struct line *line)
{
    pthread_mutex_lock(&kept_lock);
    char *slot = kept[kept_total % LOG_KEPT_LINES];
    struct output output = {.bytes = slot, .size = LOG_LINE_BYTES - 1};
    put_line_as_text(&output, line);
    slot[output.length] = '\0';
    kept_total++;
    pthread_mutex_unlock(&kept_lock);
}

static void write_output(const char *bytes, size_t length)
{
    int fd = atomic_load(&current_fd);
    while (length > 0) {
        ssize_t written = write(fd, bytes, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return; /* a log that cannot be written must not stop the tracker */
        bytes += written;
        length -= (size_t)written;
    }
}

/* The wall clock, not clock_now_ms: a log is compared with other logs of the machine. */
static void format_time(char text[static TIME_BYTES])
{
    struct timespec now;
    struct tm utc;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    size_t length = strftime(text, TIME_BYTES, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(text + length, TIME_BYTES - length, ".%03dZ", (int)(now.tv_nsec / 1000000));
}

bool log_wants(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&current_level, memory_order_relaxed);
}

void log_write(enum log_level level, const char *subject, const char *format, ...)
{
    int saved_errno = errno;
    if (!log_wants(level))
        return;
    struct line line = {.level = level, .subject = subject};
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line.message, sizeof line.message, format, arguments);
    va_end(arguments);
    format_time(line.time);
    if (pthread_getname_np(pthread_self(), line.thread, sizeof line.thread) != 0)
        line.thread[0] = '\0';

    char bytes[OUTPUT_BYTES];
    struct output output = {.bytes = bytes, .size = sizeof bytes - 1};
    if (atomic_load(&current_format) == LOG_FORMAT_JSON)
        put_line_as_json(&output, &line);
    else
        put_line_as_text(&output, &line);
    bytes[output.length++] = '\n';
    write_output(bytes, output.length);
    if (level <= LOG_LEVEL_WARNING)
        keep_line(&line);
    errno = saved_errno;
}

/* Opens without waiting for the reader of a named pipe, but writes to it as usual. */
static int open_file(const char *file)
{
    int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, LOG_FILE_MODE);
    if (fd >= 0)
        (void)fcntl(fd, F_SETFL, O_APPEND);
    return fd;
}

/* Lets `fd` take over the number of the log's descriptor, under which other threads write at this moment. */
static void take_over(int fd)
{
    if (file_fd < 0) {
        file_fd = fd;
    } else {
        (void)dup3(fd, file_fd, O_CLOEXEC);
        (void)close(fd);
    }
    atomic_store(&current_fd, file_fd);
}

static int change_file(const char *file, struct error *error)
{
    if (file[0] == '\0') {
        atomic_store(&current_fd, STDERR_FILENO);
        if (file_fd >= 0)
            (void)dup3(STDERR_FILENO, file_fd, O_CLOEXEC); /* lets go of the file */
        free(file_name);
        file_name = NULL;
        return 0;
    }
    char *name = strdup(file);
    if (name == NULL)
        return error_set(error, "out of memory");
    int fd = open_file(file);
    if (fd < 0) {
        free(name);
        return error_set(error, "log file %s cannot be opened: %s", file, strerror(errno));
    }
    take_over(fd);
    free(file_name);
    file_name = name;
    return 0;
}

int log_configure(enum log_level level, enum log_format format, const char *file, struct error *error)
{
    pthread_mutex_lock(&file_lock);
    int result = change_file(file, error);
    if (result == 0) {
        atomic_store(&current_level, (int)level);
        atomic_store(&current_format, (int)format);
    }
    pthread_mutex_unlock(&file_lock);
    return result;
}

void log_reopen(void)
{
    int fd = -1;
    int reason = 0;
    pthread_mutex_lock(&file_lock);
    bool wanted = file_name != NULL;
    if (wanted) {
        fd = open_file(file_name);
        reason = errno;
        if (fd >= 0)
            take_over(fd);
    }
    pthread_mutex_unlock(&file_lock);
    if (wanted && fd < 0)
        log_error("log", "file cannot be reopened, going on with the old one: %s", strerror(reason));
}

const char *log_safe(char *buffer, size_t size, const void *bytes, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *from = bytes;
    size_t used = 0;
    size_t cut = 0; /* the last place behind which "..." still fits */
    for (size_t i = 0; i < length; i++) {
        bool plain = from[i] > ' ' && from[i] < 0x7f && from[i] != '"' && from[i] != '\\';
        if (used + 4 <= size)
            cut = used;
        if (used + (plain ? 1 : 4) + 1 > size) {
            memcpy(buffer + cut, "...", 3);
            used = cut + 3;
            break;
        }
        if (plain) {
            buffer[used++] = (char)from[i];
        } else {
            buffer[used++] = '\\';
            buffer[used++] = 'x';
            buffer[used++] = digits[from[i] >> 4];
            buffer[used++] = digits[from[i] & 15];
        }
    }
    buffer[used] = '\0';
    return buffer;
}

bool log_limit_passed(long long *next_s)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (now.tv_sec < *next_s)
        return false;
    *next_s = (long long)now.tv_sec + 1;
    return true;
}

size_t log_recent(char (*lines)[LOG_LINE_BYTES], size_t size)
{
    pthread_mutex_lock(&kept_lock);
    size_t count = kept_total < LOG_KEPT_LINES ? kept_total : LOG_KEPT_LINES;
    if (count > size)
        count = size;
    for (size_t i = 0; i < count; i++)
        memcpy(lines[i], kept[(kept_total - 1 - i) % LOG_KEPT_LINES], LOG_LINE_BYTES);
    pthread_mutex_unlock(&kept_lock);
    return count;
}
