/* Answers null calls with libtirpc, by UDP and TCP: server PORT. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <rpc/rpc.h>
#include <rpc/svc_soc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define PROGRAM 0x20746701

static void answer(struct svc_req *request, SVCXPRT *transport) {
    if (request->rq_proc == NULLPROC) {
        svc_sendreply(transport, (xdrproc_t)xdr_void, NULL);
    } else {
        svcerr_noproc(transport);
    }
}

static int bound(int kind, int port) {
    int fd = socket(AF_INET, kind, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        perror("bind");
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv) {
    int port = argc > 1 ? atoi(argv[1]) : 0, on = 1;
    SVCXPRT *udp = svcudp_create(bound(SOCK_DGRAM, port));
    int listening = bound(SOCK_STREAM, port);
    setsockopt(listening, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    listen(listening, 16);
    SVCXPRT *tcp = svctcp_create(listening, 0, 0);
    if (!udp || !tcp || !svc_register(udp, PROGRAM, 1, answer, 0) || !svc_register(tcp, PROGRAM, 1, answer, 0)) {
        fprintf(stderr, "the services can't be made\n");
        return 1;
    }
    printf("serving\n");
    fflush(stdout);
    svc_run();
    return 1;
}
