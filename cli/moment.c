// Moments to text and back; see moment.h.
#include "cli/moment.h"

#include <string.h>
#include <time.h>

// ".123" or nothing, then "Z" or nothing; advances *text.
static int fraction_ms(const char **text) {
    int ms = 0, scale = 100;
    if (**text == '.')
        for ((*text)++; **text >= '0' && **text <= '9'; (*text)++, scale /= 10)
            ms += (**text - '0') * scale;
    if (**text == 'Z')
        (*text)++;
    return ms;
}

static bool parse_date(const char *text, int64_t *ret_ms) {
    struct tm utc = {0};
    int date = 0, time = 0, ms = 0;
    if (sscanf(text, "%4d-%2d-%2d%n", &utc.tm_year, &utc.tm_mon, &utc.tm_mday, &date) != 3 ||
        date == 0 || utc.tm_mon < 1 || utc.tm_mon > 12 || utc.tm_mday < 1 || utc.tm_mday > 31)
        return false;
    const char *rest = text + date;
    if (*rest == 'T') {
        if (sscanf(rest, "T%2d:%2d:%2d%n", &utc.tm_hour, &utc.tm_min, &utc.tm_sec, &time) != 3 ||
            time == 0 || utc.tm_hour > 23 || utc.tm_min > 59 || utc.tm_sec > 59)
            return false;
        rest += time;
        ms = fraction_ms(&rest);
    }
    utc.tm_year -= 1900;
    utc.tm_mon -= 1;
    *ret_ms = (int64_t)timegm(&utc) * 1000 + ms;
    return *rest == '\0';
}

static bool parse_number(const char *text, int64_t *ret_ms) {
    size_t digits = strspn(text, "0123456789");
    if (digits < 5 || digits > 16 || text[digits] != '\0')
        return false;
    *ret_ms = strtoll(text, NULL, 10);
    return true;
}

bool moment_parse(const struct command *command, const char *name, const char *text, size_t length,
                  int64_t *ret_ms) {
    char own[MOMENT_TEXT_MAX] = "";
    int64_t ms;
    if (length < sizeof own) {
        memcpy(own, text, length);
        own[length] = '\0';
    }
    if (parse_number(own, &ms) || parse_date(own, &ms)) {
        *ret_ms = ms;
        return true;
    }
    fprintf(stderr,
            "freshet %s: %s: expected a time of day in UTC, such as 2022-04-29 or "
            "2022-04-29T06:00:00, or milliseconds since 1970, found '%.*s'\n",
            command->name, name, (int)length, text);
    return false;
}

void moment_print(int64_t ms, char text[MOMENT_TEXT_MAX]) {
    time_t seconds = (time_t)(ms / 1000 - (ms % 1000 < 0));
    struct tm utc;
    size_t length = 0;
    if (gmtime_r(&seconds, &utc))
        length = strftime(text, MOMENT_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &utc);
    int64_t part = ms - (int64_t)seconds * 1000;
    if (length == 0)
        snprintf(text, MOMENT_TEXT_MAX, "%lld", (long long)ms);
    else if (part > 0)
        snprintf(text + length, MOMENT_TEXT_MAX - length, ".%03d", (int)part);
}
