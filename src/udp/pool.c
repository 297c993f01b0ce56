/* pool: requests and scrapes that outlive their batch; made when first needed, bounded, and used again. */
#include "udp/frontend.h"

#include <stdlib.h>

struct udp_request *udp_request_take(struct udp_frontend *frontend)
{
    struct udp_request *request = frontend->free_requests;
    if (request != NULL) {
        frontend->free_requests = request->next_free;
        return request;
    }
    if (frontend->made_request_count == UDP_LATE_MAX || (request = calloc(1, sizeof *request)) == NULL)
        return NULL;
    frontend->made_request_count++;
    request->next_made = frontend->made_requests;
    frontend->made_requests = request;
    return request;
}

struct udp_scrape *udp_scrape_take(struct udp_frontend *frontend)
{
    struct udp_scrape *scrape = frontend->free_scrapes;
    if (scrape != NULL) {
        frontend->free_scrapes = scrape->next_free;
        return scrape;
    }
    if (frontend->made_scrape_count == UDP_SCRAPES_MAX || (scrape = calloc(1, sizeof *scrape)) == NULL)
        return NULL;
    frontend->made_scrape_count++;
    scrape->next_made = frontend->made_scrapes;
    frontend->made_scrapes = scrape;
    return scrape;
}

void udp_scrape_release(struct udp_frontend *frontend, struct udp_scrape *scrape)
{
    scrape->next_free = frontend->free_scrapes;
    frontend->free_scrapes = scrape;
}

uint64_t udp_request_submitted(struct udp_frontend *frontend, struct udp_request *request)
{
    request->is_pending = true;
    if (!request->is_late)
        frontend->pending_count++;
    return request->generation;
}

void udp_request_finish(struct udp_frontend *frontend, struct udp_request *request)
{
    if (request->is_late) {
        request->is_late = false;
        request->generation++;
        request->next_free = frontend->free_requests;
        frontend->free_requests = request;
    } else if (request->is_pending) {
        frontend->pending_count--;
    }
    request->is_pending = false;
}

static void detach(struct udp_frontend *frontend, unsigned place)
{
    struct udp_request *request = frontend->inbox.requests[place];
    struct udp_request *successor = udp_request_take(frontend);
    if (successor == NULL) {
        /* Its place is needed: the answer will find another generation, and the client asks again. */
        request->is_pending = false;
        request->generation++;
        return;
    }
    request->is_late = true;
    request->received_ns = frontend->batch_ns;
    frontend->inbox.requests[place] = successor;
    udp_inbox_arm(&frontend->inbox, place);
}

void udp_detach_pending(struct udp_frontend *frontend, unsigned batch_count)
{
    for (unsigned i = 0; frontend->pending_count > 0 && i < batch_count; i++) {
        if (frontend->inbox.requests[i]->is_pending) {
            frontend->pending_count--;
            detach(frontend, i);
        }
    }
}

void udp_pools_free(struct udp_frontend *frontend)
{
    while (frontend->made_requests != NULL) {
        struct udp_request *request = frontend->made_requests;
        frontend->made_requests = request->next_made;
        free(request);
    }
    while (frontend->made_scrapes != NULL) {
        struct udp_scrape *scrape = frontend->made_scrapes;
        frontend->made_scrapes = scrape->next_made;
        free(scrape);
    }
}
