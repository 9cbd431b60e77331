// One whole line a call, formatted in a bounded local buffer and written under a lock.
#include "base/logger.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

// Escaping makes a byte at most six, so that no line of whole fields is ever cut.
enum { FIELDS_MAX = 4096, LINE_MAX = 8 * FIELDS_MAX };

static struct {
    pthread_mutex_t lock;
    FILE *stream;
    enum logger_level least;
    enum logger_format format;
} logger = {.lock = PTHREAD_MUTEX_INITIALIZER, .least = LOGGER_INFO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void logger_setup(FILE *stream, enum logger_level least, enum logger_format format) {
    pthread_mutex_lock(&logger.lock);
    logger.stream = stream;
    logger.least = least;
    logger.format = format;
    pthread_mutex_unlock(&logger.lock);
}

// Text of at most `size` bytes, always terminated; what does not fit is left out.
struct line {
    char text[LINE_MAX];
    size_t length;
};

static void line_add(struct line *line, char character) {
    if (line->length + 1 < sizeof line->text)
        line->text[line->length++] = character;
}

static void line_add_text(struct line *line, const char *text) {
    while (*text)
        line_add(line, *text++);
}

// Bytes of the UTF-8 character at `text`, or 0 when it is none (RFC 3629, section 4).
static size_t character_length(const char *text, size_t left) {
    const unsigned char *at = (const unsigned char *)text;
    size_t length = at[0] < 0x80                    ? 1
                    : at[0] >= 0xc2 && at[0] < 0xe0 ? 2
                    : at[0] >= 0xe0 && at[0] < 0xf0 ? 3
                    : at[0] >= 0xf0 && at[0] < 0xf5 ? 4
                                                    : 0;
    if (length > left)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool beyond = (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf4 && at[1] > 0x8f);
    return overlong || beyond ? 0 : length;
}

// Quotes, backslashes and control characters escaped as in JSON; what is no UTF-8 becomes U+FFFD.
static void line_add_escaped(struct line *line, const char *text, size_t length) {
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0, bytes; i < length; i += bytes ? bytes : 1) {
        unsigned char c = (unsigned char)text[i];
        bytes = character_length(text + i, length - i);
        if (bytes == 0) {
            line_add_text(line, "\xef\xbf\xbd");
        } else if (c == '"' || c == '\\') {
            line_add(line, '\\');
            line_add(line, (char)c);
        } else if (c == '\n') {
            line_add_text(line, "\\n");
        } else if (c < 0x20) {
            line_add_text(line, "\\u00");
            line_add(line, hex[c >> 4]);
            line_add(line, hex[c & 15]);
        } else {
            for (size_t k = 0; k < bytes; k++)
                line_add(line, text[i + k]);
        }
    }
}

static bool needs_quotes(const char *text, size_t length) {
    if (length == 0)
        return true;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c <= ' ' || c == '"' || c == '=' || c == '\\')
            return true;
    }
    return false;
}

// JSON writes numbers and the words true and false bare, all else as text.
static bool is_bare(const char *text, size_t length) {
    if ((length == 4 && memcmp(text, "true", 4) == 0) ||
        (length == 5 && memcmp(text, "false", 5) == 0))
        return true;
    size_t i = length > 0 && text[0] == '-' ? 1 : 0;
    size_t whole = 0, fraction = 0;
    if (length - i > 1 && text[i] == '0' && text[i + 1] != '.')
        return false;
    for (; i < length && text[i] >= '0' && text[i] <= '9'; i++)
        whole++;
    if (i < length && text[i] == '.')
        for (i++; i < length && text[i] >= '0' && text[i] <= '9'; i++)
            fraction++;
    return whole > 0 && i == length && (fraction > 0 || text[length - 1] != '.');
}

static void line_add_pair(struct line *line, const char *key, size_t key_length, const char *value,
                          size_t value_length) {
    bool json = logger.format == LOGGER_JSON;
    if (line->length > 0)
        line_add(line, json ? ',' : ' ');
    if (json)
        line_add(line, '"');
    line_add_escaped(line, key, key_length);
    line_add_text(line, json ? "\":" : "=");
    bool quoted = json ? !is_bare(value, value_length) : needs_quotes(value, value_length);
    if (quoted)
        line_add(line, '"');
    line_add_escaped(line, value, value_length);
    if (quoted)
        line_add(line, '"');
}

static void line_add_word(struct line *line, const char *key, const char *value) {
    line_add_pair(line, key, strlen(key), value, strlen(value));
}

// Fields come as key=value key="value with spaces"; a quoted value ends at the quote that a space
// or the end follows, so that quotes inside messages do no harm.
static void line_add_fields(struct line *line, const char *fields) {
    while (*fields) {
        while (*fields == ' ')
            fields++;
        const char *equals = strchr(fields, '=');
        if (!equals)
            return;
        const char *value = equals + 1, *end;
        if (*value == '"') {
            end = ++value;
            while (*end && !(*end == '"' && (end[1] == ' ' || end[1] == '\0')))
                end++;
            line_add_pair(line, fields, (size_t)(equals - fields), value, (size_t)(end - value));
            fields = *end ? end + 1 : end;
        } else {
            end = value;
            while (*end && *end != ' ')
                end++;
            line_add_pair(line, fields, (size_t)(equals - fields), value, (size_t)(end - value));
            fields = end;
        }
    }
}

static void line_add_time(struct line *line) {
    struct timespec now;
    struct tm parts;
    char day[32], text[48];
    if (clock_gettime(CLOCK_REALTIME, &now) != 0 || !gmtime_r(&now.tv_sec, &parts) ||
        strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &parts) == 0)
        return;
    snprintf(text, sizeof text, "%s.%03ldZ", day, now.tv_nsec / 1000000L);
    line_add_word(line, "time", text);
}

void logger_line(enum logger_level level, const char *stage, const char *event, const char *fields,
                 ...) {
    char text[FIELDS_MAX];
    va_list arguments;
    va_start(arguments, fields);
    int length = vsnprintf(text, sizeof text, fields, arguments);
    va_end(arguments);
    if (length < 0)
        text[0] = '\0';
    pthread_mutex_lock(&logger.lock);
    FILE *stream = logger.stream ? logger.stream : stderr;
    if (level >= logger.least) {
        struct line line = {.length = 0};
        line_add_time(&line);
        line_add_word(&line, "level", level_names[level]);
        line_add_word(&line, "stage", stage);
        line_add_word(&line, "event", event);
        line_add_fields(&line, text);
        bool json = logger.format == LOGGER_JSON;
        fprintf(stream, json ? "{%.*s}\n" : "%.*s\n", (int)line.length, line.text);
        fflush(stream);
    }
    pthread_mutex_unlock(&logger.lock);
}

void logger_error(const char *stage, const char *event, const struct error *err) {
    logger_line(LOGGER_ERROR, stage, event, "status=%s reason=\"%s\"", status_name(err->status),
                err->message);
}
