/* docs/openapi.yaml and the table of routes say the same: paths, methods, statuses, fields. */
#include <ctype.h>
#include <yaml.h>

#include "test_admin.h"

static yaml_document_t document;

static void load(void)
{
    yaml_parser_t parser;
    FILE *file = fopen("docs/openapi.yaml", "r");
    cr_assert(file != NULL, "to be run in the repository's root");
    cr_assert(yaml_parser_initialize(&parser) == 1);
    yaml_parser_set_input_file(&parser, file);
    cr_assert(yaml_parser_load(&parser, &document) == 1, "%s, line %zu", parser.problem, parser.problem_mark.line + 1);
    yaml_parser_delete(&parser);
    (void)fclose(file);
    site_open();
}

static void unload(void)
{
    yaml_document_delete(&document);
    site_close();
}

TestSuite(openapi, .init = load, .fini = unload);

static const char *scalar(int index)
{
    const yaml_node_t *node = yaml_document_get_node(&document, index);
    return node != NULL && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : "";
}

/* The member of a mapping; NULL: none. */
static yaml_node_t *member(const yaml_node_t *node, const char *key)
{
    if (node == NULL || node->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        if (strcmp(scalar(pair->key), key) == 0)
            return yaml_document_get_node(&document, pair->value);
    }
    return NULL;
}

static size_t size_of(const yaml_node_t *node)
{
    return node != NULL && node->type == YAML_MAPPING_NODE
               ? (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start)
               : 0;
}

static yaml_node_t *paths(void)
{
    return member(yaml_document_get_root_node(&document), "paths");
}

/* What the route may answer, each once; returns how many. */
static size_t statuses_of(const struct admin_route *route, int statuses[static 2 * ROUTE_STATUSES_MAX])
{
    int own[ROUTE_STATUSES_MAX];
    size_t count = 0;
    size_t own_count = route_own_statuses(route, own);
    for (size_t i = 0; i < own_count; i++)
        statuses[count++] = own[i];
    for (size_t i = 0; i < ROUTE_STATUSES_MAX && route->statuses[i] != 0; i++) {
        size_t j = 0;
        while (j < count && statuses[j] != route->statuses[i])
            j++;
        if (j == count)
            statuses[count++] = route->statuses[i];
    }
    return count;
}

static void check_route(const struct admin_route *route)
{
    char method[8];
    int statuses[2 * ROUTE_STATUSES_MAX];
    (void)snprintf(method, sizeof method, "%s", method_name(route->method));
    for (char *c = method; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    yaml_node_t *operation = member(member(paths(), route->pattern), method);
    cr_assert(operation != NULL, "%s %s is not in the document", method, route->pattern);
    yaml_node_t *responses = member(operation, "responses");
    size_t count = statuses_of(route, statuses);
    for (size_t i = 0; i < count; i++) {
        char text_of_status[8];
        (void)snprintf(text_of_status, sizeof text_of_status, "%d", statuses[i]);
        cr_expect(member(responses, text_of_status) != NULL, "%s %s: %d is not in the document", method, route->pattern,
                  statuses[i]);
    }
    cr_expect_eq(size_of(responses), count, "%s %s: the document has statuses that the table has not", method,
                 route->pattern);
    bool takes_body = (route->flags & (ROUTE_BODY | ROUTE_MAYBE_BODY)) != 0;
    cr_expect_eq(member(operation, "requestBody") != NULL, takes_body, "%s %s: requestBody", method, route->pattern);
}

Test(openapi, every_route_is_described_with_what_it_answers)
{
    for (size_t i = 0; admin_routes[i] != NULL; i++) {
        for (const struct admin_route *route = admin_routes[i]; route->pattern != NULL; route++)
            check_route(route);
    }
}

static bool route_exists(const char *path, const char *method)
{
    for (size_t i = 0; admin_routes[i] != NULL; i++) {
        for (const struct admin_route *route = admin_routes[i]; route->pattern != NULL; route++) {
            if (strcmp(route->pattern, path) == 0 && strcasecmp(method_name(route->method), method) == 0)
                return true;
        }
    }
    return false;
}

Test(openapi, every_operation_described_is_there)
{
    yaml_node_t *all = paths();
    size_t count = 0;
    for (yaml_node_pair_t *path = all->data.mapping.pairs.start; path < all->data.mapping.pairs.top; path++) {
        yaml_node_t *operations = yaml_document_get_node(&document, path->value);
        yaml_node_pair_t *operation = operations->data.mapping.pairs.start;
        for (; operation < operations->data.mapping.pairs.top; operation++) {
            if (strcmp(scalar(operation->key), "parameters") == 0)
                continue;
            count++;
            cr_expect(route_exists(scalar(path->key), scalar(operation->key)), "%s %s", scalar(operation->key),
                      scalar(path->key));
        }
    }
    cr_assert_gt(count, 25);
}

/* The members of the object are the schema's properties, all of them and no others. */
static void check_fields(const char *schema, json_t *object)
{
    yaml_node_t *root = yaml_document_get_root_node(&document);
    yaml_node_t *properties = member(member(member(member(root, "components"), "schemas"), schema), "properties");
    const char *name;
    const json_t *value;
    cr_assert(properties != NULL && json_is_object(object), "%s", schema);
    json_object_foreach (object, name, value) {
        cr_expect(member(properties, name) != NULL, "%s.%s is not in the document", schema, name);
    }
    cr_expect_eq(size_of(properties), json_object_size(object), "%s: the document has more", schema);
}

static void check_answer(const char *schema, json_t *answer)
{
    check_fields(schema, answer);
    json_decref(answer);
}

Test(openapi, fields_are_those_of_the_answers)
{
    static struct peer_view peer;
    check_answer("User", ask(METHOD_POST, "/api/v1/users", "{}", 201));
    check_answer("Torrent", ask(METHOD_POST, "/api/v1/torrents", "{\"info_hash\":\"" HASH_A "\"}", 201));
    check_answer("Client", ask(METHOD_PUT, "/api/v1/clients/-qB", "{\"allowed\":true}", 201));
    check_answer("Multipliers", ask(METHOD_GET, "/api/v1/multipliers", NULL, 200));
    struct user_facts facts = {.id = 1, .passkey = "pk"};
    cr_assert_eq(users_put(site.backend.parts.users, &facts), 0);
    fake.view = (struct torrent_view){.known = true, .peers = &peer, .peer_count = 1};
    json_t *answer = ask(METHOD_GET, "/api/v1/torrents/" HASH_A "/peers", NULL, 200);
    check_fields("Peer", json_array_get(json_object_get(answer, "peers"), 0));
    json_decref(answer);
}

Test(openapi, fields_of_the_stats_are_those_of_the_answer)
{
    fake.ledger.sink_count = 1;
    fake.ledger.sinks[0].name = "database";
    json_t *stats = ask(METHOD_GET, "/api/v1/stats", NULL, 200);
    check_fields("Stats", stats);
    check_fields("Latency", json_object_get(stats, "latency_udp"));
    check_fields("Journal", json_object_get(stats, "journal"));
    check_fields("Sink", json_array_get(json_object_get(stats, "sinks"), 0));
    check_fields(
        "Results",
        json_object_get(json_object_get(json_object_get(json_object_get(stats, "requests"), "http"), "4"), "scrape"));
    json_decref(stats);
    check_answer("Readiness", ask(METHOD_GET, "/readyz", NULL, 200));
}
