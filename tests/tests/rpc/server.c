/* Serves CALC on a port, UDP and TCP, without a rpcbind: server PORT. */
#include "calc.h"
#include <arpa/inet.h>
#include <rpc/svc_soc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

extern void calc_1(struct svc_req *request, SVCXPRT *transport);

int *add_1_svc(int a, int b, struct svc_req *request) {
    static int sum;
    sum = a + b;
    return &sum;
}

char **echo_1_svc(char *text, struct svc_req *request) {
    static char *kept;
    kept = text;
    return &kept;
}

list *reverse_1_svc(list from, struct svc_req *request) {
    static list reversed;
    reversed = NULL;
    while (from != NULL) {
        node *next = from->next;
        from->next = reversed;
        reversed = from;
        from = next;
    }
    return &reversed;
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
    int port = argc > 1 ? atoi(argv[1]) : 0;
    SVCXPRT *udp = svcudp_create(bound(SOCK_DGRAM, port));
    int listening = bound(SOCK_STREAM, port);
    listen(listening, 16);
    SVCXPRT *tcp = svctcp_create(listening, 0, 0);
    if (!udp || !tcp || !svc_register(udp, CALC, CALC_V1, calc_1, 0) ||
        !svc_register(tcp, CALC, CALC_V1, calc_1, 0)) {
        fprintf(stderr, "the services can't be made\n");
        return 1;
    }
    printf("serving\n");
    fflush(stdout);
    svc_run();
    return 1;
}
