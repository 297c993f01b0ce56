#include "deltas/delta.h"

const char *delta_event_name(uint8_t event)
{
    switch (event) {
    case EVENT_STARTED:
        return "started";
    case EVENT_COMPLETED:
        return "completed";
    case EVENT_STOPPED:
        return "stopped";
    case EVENT_EXPIRED:
        return "expired";
    default:
        return "none";
    }
}

void delta_client(char text[static DELTA_CLIENT_BYTES], const uint8_t *peer_id)
{
    for (int i = 0; i < DELTA_CLIENT_BYTES - 1; i++)
        text[i] = peer_id[i] >= 0x20 && peer_id[i] < 0x7f ? (char)peer_id[i] : '?';
    text[DELTA_CLIENT_BYTES - 1] = '\0';
}
