/*
 * client_approval: which client programs are welcome, by the beginning of the peer
 * id. `allow`: only those with an allowing rule; `deny`: all but those with a denying one. The
 * longest rule that fits decides.
 */
#include "middleware/stages.h"

static bool is_welcome(struct context *context, const struct announce *announce)
{
    const struct client_rule *rule = clients_match(context->clients, announce->peer_id);
    if (context->config->middleware.client_mode == CLIENTS_ALLOW)
        return rule != NULL && rule->allowed;
    return rule == NULL || rule->allowed;
}

static void client_approval_run(struct stage *stage, struct batch *batch)
{
    (void)stage;
    if (batch->context->config->middleware.client_mode == CLIENTS_OFF)
        return;
    for (unsigned i = 0; i < batch->count; i++) {
        struct announce *announce = batch->announces[i];
        if (announce->verdict == VERDICT_ACCEPTED && !is_welcome(batch->context, announce))
            announce_refuse(announce, VERDICT_REFUSED, "your client program is not allowed here", 0);
    }
}

const struct stage_type stage_client_approval = {
    .name = "client_approval",
    .run = client_approval_run,
};
