// The names in an array by index, found through an open-addressed table of indices.
#include "trainer/domains.h"

#include <string.h>

#include "base/hash.h"
#include "trainer/json.h"

struct domains {
    char **names;      // [known_max + 1], index 0 unused
    uint32_t *buckets; // [bucket_count] index or 0; linear probing, at most half full
    size_t bucket_count;
    size_t known_max, count;
    uint64_t refused;
};

enum status domains_new(size_t known_max, struct domains **ret_domains, struct error *err) {
    struct domains *domains = memory_new(1, sizeof *domains);
    if (domains == NULL)
        return error_no_memory(err, sizeof *domains, "domains");
    domains->known_max = known_max;
    domains->bucket_count = 16;
    while (domains->bucket_count < 2 * (known_max + 1))
        domains->bucket_count *= 2;
    domains->names = memory_new(known_max + 1, sizeof *domains->names);
    domains->buckets = memory_new(domains->bucket_count, sizeof *domains->buckets);
    if (domains->names == NULL || domains->buckets == NULL) {
        domains_free(domains);
        return error_no_memory(err, known_max * sizeof(char *), "domain names");
    }
    *ret_domains = domains;
    return STATUS_OK;
}

void domains_free(struct domains *domains) {
    if (domains == NULL)
        return;
    if (domains->names != NULL)
        for (size_t i = 1; i <= domains->count; i++)
            memory_free(domains->names[i]);
    memory_free(domains->names);
    memory_free(domains->buckets);
    memory_free(domains);
}

// Length of the UTF-8 sequence that begins at `text`, or 0 when it is none (RFC 3629: no overlong
// forms, no surrogates, nothing beyond U+10FFFF; no NUL either, as names are C strings).
static size_t utf8_sequence(const unsigned char *text, size_t left) {
    unsigned char lead = text[0];
    if (lead < 0x80)
        return lead == 0 ? 0 : 1;
    size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || left < length)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((lead == 0xe0 && text[1] < 0xa0) || (lead == 0xed && text[1] > 0x9f) ||
        (lead == 0xf0 && text[1] < 0x90) || (lead == 0xf4 && text[1] > 0x8f))
        return 0;
    return length;
}

static bool name_usable(const char *text, size_t length) {
    if (length > DOMAINS_NAME_MAX)
        return false;
    for (size_t i = 0; i < length;) {
        size_t sequence = utf8_sequence((const unsigned char *)text + i, length - i);
        if (sequence == 0)
            return false;
        i += sequence;
    }
    return true;
}

// The bucket that holds the text, or the empty one where it would go.
static size_t bucket_of(const struct domains *domains, const char *text, size_t length) {
    size_t mask = domains->bucket_count - 1;
    size_t at = (size_t)hash_bytes(text, length, 0) & mask;
    while (domains->buckets[at] != 0) {
        const char *name = domains->names[domains->buckets[at]];
        if (strlen(name) == length && memcmp(name, text, length) == 0)
            break;
        at = (at + 1) & mask;
    }
    return at;
}

enum status domains_index(struct domains *domains, const char *text, size_t length,
                          uint32_t *ret_index, bool *ret_added, struct error *err) {
    uint32_t index = 0;
    bool added = false;
    if (length > 0 && name_usable(text, length)) {
        size_t at = bucket_of(domains, text, length);
        index = domains->buckets[at];
        if (index == 0 && domains->count < domains->known_max) {
            char *name = memory_new(length + 1, 1);
            if (name == NULL)
                return error_no_memory(err, length + 1, "a domain's name");
            memcpy(name, text, length);
            index = (uint32_t)++domains->count;
            domains->names[index] = name;
            domains->buckets[at] = index;
            added = true;
        }
    }
    if (index == 0 && length > 0)
        domains->refused++;
    *ret_index = index;
    *ret_added = added;
    return STATUS_OK;
}

size_t domains_count(const struct domains *domains) {
    return domains->count;
}

const char *domains_name(const struct domains *domains, uint32_t index) {
    REQUIRE(index <= domains->count);
    return index == 0 ? "unknown" : domains->names[index];
}

uint64_t domains_refused(const struct domains *domains) {
    return domains->refused;
}

void domains_json(const struct domains *domains, struct buffer *into) {
    buffer_append_byte(into, '[');
    for (size_t i = 1; i <= domains->count; i++) {
        if (i > 1)
            buffer_append_byte(into, ',');
        json_put_string(into, domains->names[i], strlen(domains->names[i]));
    }
    buffer_append_byte(into, ']');
}

void domains_save(const struct domains *domains, struct buffer *into) {
    wire_put_long(into, (int64_t)domains->refused);
    wire_put_long(into, (int64_t)domains->count);
    for (size_t i = 1; i <= domains->count; i++)
        wire_put_string(into, domains->names[i]);
}

enum status domains_load(struct domains *domains, struct wire *in, struct error *err) {
    REQUIRE(domains->count == 0);
    int64_t refused = wire_get_long(in);
    int64_t count = wire_get_long(in);
    for (int64_t i = 0; i < count && !in->bad; i++) {
        size_t length = 0;
        const unsigned char *text = wire_get_bytes(in, &length);
        uint32_t index = 0;
        bool added = false;
        if (in->bad)
            break;
        enum status status =
            domains_index(domains, (const char *)text, length, &index, &added, err);
        if (status != STATUS_OK)
            return status;
        in->bad |= !added;
    }
    if (in->bad || count < 0)
        return error_set(err, STATUS_CORRUPT, "could not read the domains: malformed");
    domains->refused = (uint64_t)refused;
    return STATUS_OK;
}
