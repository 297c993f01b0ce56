/* steering: the kernel's filter that brings a datagram to the worker that owns its torrent. */
#include "udp/listen.h"

#include <linux/filter.h>

#include "udp/packet.h"

int udp_steer(int fd, unsigned workers)
{
    /* Offset 0 is the first byte of the payload, and a load is big endian, as in torrent_owner. */
    const uint32_t any_word = (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM);
    const uint32_t action_offset = 8;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, PACKET_OWNER_OFFSET + INFO_HASH_BYTES, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, action_offset),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_CONNECT, 2, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, PACKET_OWNER_OFFSET),
        BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, any_word),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, workers),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program);
}
