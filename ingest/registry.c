// The schema registry's client, on libcurl and jansson.
#include "ingest/registry.h"

#include <curl/curl.h>
#include <jansson.h>
#include <string.h>

struct answer {
    uint32_t id;
    char *text; // NULL: the registry has no such schema
    size_t length;
};

struct registry {
    const struct ingest_registry *settings;
    const struct clock *clock;
    CURL *curl;
    struct answer *answers; // [settings->cache_schemas], in the order they came, from `first` on
    size_t count;
    size_t first;
    struct buffer body; // of the answer being read
    bool too_long;
};

static size_t slot_of(const struct registry *registry, size_t i) {
    return (registry->first + i) % (size_t)registry->settings->cache_schemas;
}

static const struct answer *answer_find(const struct registry *registry, uint32_t id) {
    for (size_t i = 0; i < registry->count; i++) {
        const struct answer *answer = &registry->answers[slot_of(registry, i)];
        if (answer->id == id)
            return answer;
    }
    return NULL;
}

// Keeps a copy of the text (NULL: none); the oldest answer gives way.
static enum status answer_keep(struct registry *registry, uint32_t id, const char *text,
                               size_t length, struct error *err) {
    struct answer answer = {.id = id, .length = length};
    if (text != NULL) {
        answer.text = memory_new(length + 1, 1);
        if (answer.text == NULL)
            return error_no_memory(err, length, "a schema");
        memcpy(answer.text, text, length);
    }
    if (registry->count == (size_t)registry->settings->cache_schemas) {
        memory_free(registry->answers[registry->first].text);
        registry->first = slot_of(registry, 1);
        registry->count--;
    }
    registry->answers[slot_of(registry, registry->count++)] = answer;
    return STATUS_OK;
}

static void answers_drop(struct registry *registry) {
    for (size_t i = 0; i < registry->count; i++)
        memory_free(registry->answers[slot_of(registry, i)].text);
    registry->count = registry->first = 0;
}

static size_t body_take(char *bytes, size_t size, size_t count, void *self) {
    struct registry *registry = self;
    if (registry->body.length + size * count > (size_t)registry->settings->answer_bytes_max) {
        registry->too_long = true;
        return 0; // libcurl ends the transfer
    }
    buffer_append(&registry->body, bytes, size * count);
    return registry->body.failed ? 0 : size * count;
}

enum status registry_new(const struct ingest_registry *settings, const struct clock *clock,
                         struct registry **ret_registry, struct error *err) {
    struct registry *registry = memory_new(1, sizeof(*registry));
    if (registry == NULL)
        return error_no_memory(err, sizeof(*registry), "the schema registry");
    registry->settings = settings;
    registry->clock = clock;
    buffer_init(&registry->body);
    registry->answers = memory_new((size_t)settings->cache_schemas, sizeof(*registry->answers));
    registry->curl = curl_easy_init();
    if (registry->answers == NULL || registry->curl == NULL) {
        registry_free(registry);
        return error_no_memory(err, sizeof(*registry), "the schema registry");
    }
    *ret_registry = registry;
    return STATUS_OK;
}

void registry_free(struct registry *registry) {
    if (registry == NULL)
        return;
    if (registry->answers != NULL)
        answers_drop(registry);
    memory_free(registry->answers);
    buffer_deinit(&registry->body);
    if (registry->curl != NULL)
        curl_easy_cleanup(registry->curl);
    memory_free(registry);
}

bool registry_knows(const struct registry *registry, uint32_t id) {
    return answer_find(registry, id) != NULL;
}

// One request. STATUS_OK with the HTTP code and the body, or STATUS_UNAVAILABLE, STATUS_INVALID.
static enum status request(struct registry *registry, const char *url, const char *user,
                           long *ret_code, struct error *err) {
    CURL *curl = registry->curl;
    char reason[CURL_ERROR_SIZE] = "";
    buffer_reset(&registry->body);
    registry->too_long = false;
    curl_easy_reset(curl);
    bool set =
        curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)registry->settings->timeout_ms) ==
            CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, body_take) == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, registry) == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason) == CURLE_OK &&
        (user == NULL || (curl_easy_setopt(curl, CURLOPT_USERPWD, user) == CURLE_OK &&
                          curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC) == CURLE_OK));
    if (!set)
        return error_set(err, STATUS_INVALID, "could not ask the schema registry: %s is no address",
                         url);
    CURLcode code = curl_easy_perform(curl);
    if (registry->too_long)
        return error_set(err, STATUS_INVALID,
                         "the answer of %s is longer than `ingest.registry.answer_bytes_max`", url);
    if (registry->body.failed)
        return error_no_memory(err, registry->body.length, "the schema registry's answer");
    if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL)
        return error_set(err, STATUS_INVALID, "could not ask the schema registry: %s is no address",
                         url);
    if (code != CURLE_OK)
        return error_set(err, STATUS_UNAVAILABLE, "could not reach the schema registry at %s: %s",
                         url, reason[0] != '\0' ? reason : curl_easy_strerror(code));
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, ret_code);
    return STATUS_OK;
}

// Reads the body of a good answer. NOT_FOUND: not an Avro schema that stands alone.
static enum status answer_read(struct registry *registry, uint32_t id, const char *url,
                               struct error *err) {
    const char *why = NULL;
    enum status status;
    json_t *json = json_loadb((const char *)registry->body.data, registry->body.length, 0, NULL);
    const json_t *text = json_object_get(json, "schema");
    const char *type = json_string_value(json_object_get(json, "schemaType"));
    if (!json_is_string(text)) {
        json_decref(json);
        return error_set(err, STATUS_UNAVAILABLE, "%s gave no answer of a schema registry", url);
    }
    if (type != NULL && strcmp(type, "AVRO") != 0)
        why = "is not an Avro schema";
    else if (json_array_size(json_object_get(json, "references")) > 0)
        why = "refers to other schemas, which is not supported";
    if (why == NULL) {
        status = answer_keep(registry, id, json_string_value(text), json_string_length(text), err);
    } else {
        status = answer_keep(registry, id, NULL, 0, err);
        if (status == STATUS_OK)
            status = error_set(err, STATUS_NOT_FOUND, "schema %u of the registry %s", id, why);
    }
    json_decref(json);
    return status;
}

// Asks once.
static enum status ask(struct registry *registry, uint32_t id, const char *user,
                       struct error *err) {
    char url[2048];
    long code = 0;
    const char *base = registry->settings->url;
    size_t length = strlen(base);
    while (length > 0 && base[length - 1] == '/')
        length--;
    int written = snprintf(url, sizeof(url), "%.*s/schemas/ids/%u", (int)length, base, id);
    if (written < 0 || (size_t)written >= sizeof(url))
        return error_set(err, STATUS_INVALID, "the schema registry's address is too long");
    enum status status = request(registry, url, user, &code, err);
    if (status != STATUS_OK)
        return status;
    if (code == 200)
        return answer_read(registry, id, url, err);
    if (code == 404) {
        status = answer_keep(registry, id, NULL, 0, err);
        return status != STATUS_OK
                   ? status
                   : error_set(err, STATUS_NOT_FOUND, "the registry has no schema %u", id);
    }
    if (code == 401 || code == 403)
        return error_set(err, STATUS_INVALID, "the schema registry at %s refused access (%ld)", url,
                         code);
    return error_set(err, STATUS_UNAVAILABLE, "the schema registry at %s answered %ld", url, code);
}

enum status registry_schema(struct registry *registry, uint32_t id, const char **ret_text,
                            size_t *ret_length, struct error *err) {
    const struct ingest_registry *settings = registry->settings;
    const struct answer *answer = answer_find(registry, id);
    enum status status = STATUS_OK;
    int64_t wait_ms = settings->retry_backoff_ms;
    struct buffer user;
    buffer_init(&user);
    if (settings->user[0] != '\0') {
        buffer_append_text(&user, "%s:%s", settings->user, settings->password);
        buffer_append_byte(&user, 0);
        if (user.failed)
            return error_no_memory(err, user.length, "the schema registry's password");
    }
    for (int64_t i = 0; answer == NULL && i < settings->attempts; i++) {
        if (i > 0) {
            registry->clock->sleep_ms(registry->clock, wait_ms);
            wait_ms = wait_ms < 30000 ? wait_ms * 2 : wait_ms;
        }
        status = ask(registry, id, (const char *)user.data, err);
        if (status != STATUS_UNAVAILABLE)
            break;
    }
    buffer_deinit(&user);
    if (status != STATUS_OK)
        return status;
    answer = answer_find(registry, id);
    REQUIRE(answer != NULL);
    if (answer->text == NULL)
        return error_set(err, STATUS_NOT_FOUND, "the registry has no Avro schema %u", id);
    *ret_text = answer->text;
    *ret_length = answer->length;
    return STATUS_OK;
}

// Saved: count, then for each id, length + 1 (0 = no such schema), text; all uint64 little-endian.
static enum status put_number(const struct sink *sink, uint64_t value, struct error *err) {
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
    return sink_put(sink, bytes, sizeof(bytes), err);
}

static enum status get_number(const struct source *source, uint64_t *ret_value, struct error *err) {
    unsigned char bytes[8];
    enum status status = source_get(source, bytes, sizeof(bytes), err);
    uint64_t value = 0;
    for (int i = 7; status == STATUS_OK && i >= 0; i--)
        value = value << 8 | bytes[i];
    *ret_value = value;
    return status;
}

enum status registry_save(const struct registry *registry, const struct sink *sink,
                          struct error *err) {
    enum status status = put_number(sink, registry->count, err);
    for (size_t i = 0; status == STATUS_OK && i < registry->count; i++) {
        const struct answer *answer = &registry->answers[slot_of(registry, i)];
        status = put_number(sink, answer->id, err);
        if (status == STATUS_OK)
            status = put_number(sink, answer->text == NULL ? 0 : answer->length + 1, err);
        if (status == STATUS_OK && answer->text != NULL)
            status = sink_put(sink, answer->text, answer->length, err);
    }
    return status;
}

enum status registry_load(struct registry *registry, const struct source *source,
                          struct error *err) {
    uint64_t count;
    enum status status = get_number(source, &count, err);
    answers_drop(registry);
    for (uint64_t i = 0; status == STATUS_OK && i < count; i++) {
        uint64_t id;
        uint64_t length = 0;
        status = get_number(source, &id, err);
        if (status == STATUS_OK)
            status = get_number(source, &length, err);
        if (status == STATUS_OK && (id > UINT32_MAX || length > (UINT64_C(1) << 30)))
            status =
                error_set(err, STATUS_CORRUPT, "the schemas kept in the checkpoint are damaged");
        if (status != STATUS_OK)
            break;
        char *text = length > 0 ? memory_new((size_t)length, 1) : NULL;
        if (length > 0 && text == NULL)
            return error_no_memory(err, (size_t)length, "a schema");
        if (length > 0)
            status = source_get(source, text, (size_t)length - 1, err);
        if (status == STATUS_OK)
            status =
                answer_keep(registry, (uint32_t)id, text, length > 0 ? (size_t)length - 1 : 0, err);
        memory_free(text);
    }
    return status;
}
