// libyaml behind one function; owns nothing that outlives the call but the document it gives.
#include "config/document_load.h"

enum { BRACKETS_MAX = 200 };

// "FILE:LINE: expected YAML, found a mistake: ..." of what the parser stopped at.
static enum status syntax_mistake(const char *name, const yaml_parser_t *parser, const char *text,
                                  size_t length, struct error *err) {
    size_t line = parser->problem_mark.line + 1;
    if (parser->error == YAML_READER_ERROR) { // bytes that are no UTF-8 have an offset alone
        line = 1;
        for (size_t i = 0; i < length && i < parser->problem_offset; i++)
            line += text[i] == '\n';
    }
    return error_set(err, STATUS_INVALID, "%s:%zu: expected YAML, found a mistake: %s", name, line,
                     parser->problem ? parser->problem : "memory is out");
}

// libyaml's time grows with the square of the brackets that are open at once, so they are bounded
// before it sees them. Brackets inside texts count as well: no settings come near the bound.
static enum status check_brackets(const char *name, const char *text, size_t length,
                                  struct error *err) {
    size_t open = 0, line = 1;
    for (size_t i = 0; i < length; i++) {
        line += text[i] == '\n';
        if (text[i] == '[' || text[i] == '{')
            open++;
        else if ((text[i] == ']' || text[i] == '}') && open > 0)
            open--;
        if (open > BRACKETS_MAX)
            return error_set(err, STATUS_INVALID,
                             "%s:%zu: expected at most %d open brackets, found more", name, line,
                             BRACKETS_MAX);
    }
    return STATUS_OK;
}

static enum status load(const char *name, const char *text, size_t length,
                        yaml_document_t *ret_document, struct error *err) {
    yaml_parser_t parser;
    yaml_document_t next;
    if (!yaml_parser_initialize(&parser))
        return error_no_memory(err, sizeof parser, "the YAML parser");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
    enum status status = STATUS_OK;
    if (!yaml_parser_load(&parser, ret_document)) {
        status = syntax_mistake(name, &parser, text, length, err);
        goto done;
    }
    if (!yaml_parser_load(&parser, &next)) {
        status = syntax_mistake(name, &parser, text, length, err);
    } else {
        const yaml_node_t *second = yaml_document_get_root_node(&next);
        if (second)
            status =
                error_set(err, STATUS_INVALID, "%s:%zu: expected one YAML document, found a second",
                          name, second->start_mark.line + 1);
        yaml_document_delete(&next);
    }
    if (status != STATUS_OK)
        yaml_document_delete(ret_document);
done:
    yaml_parser_delete(&parser);
    return status;
}

enum status document_load(const char *name, const char *text, size_t length,
                          yaml_document_t *ret_document, struct error *err) {
    enum status status = check_brackets(name, text, length, err);
    return status == STATUS_OK ? load(name, text, length, ret_document, err) : status;
}
